//! The machine: a virtual machine of QEMU's virt board as its kernel sees it, at EL1. The only module with `unsafe`,
//! beside what all suites share in `tantalum_payload`.
//!
//! | module | what it has |
//! |---|---|
//! | `cpus` | the CPUs: how each was entered, starting them, running work on them |
//! | `exceptions` | doing what raises an exception, and looking at it |
//! | `gic` | the registers of the GIC |
//! | `interrupts` | taking interrupts, and counting them |
//! | `memory` | RAM to work on |
//! | `mmio` | registers of devices |
//! | `psci` | PSCI |
//! | `sysreg` | system registers |
//! | `timer` | the timers and the count |
//! | `tree` | the device tree |
//! | `window` | pages that cases map where they like |

pub(crate) mod cpus;
pub(crate) mod exceptions;
pub(crate) mod gic;
pub(crate) mod interrupts;
pub(crate) mod memory;
pub(crate) mod mmio;
pub(crate) mod psci;
pub(crate) mod sysreg;
pub(crate) mod timer;
pub(crate) mod tree;
pub(crate) mod window;

use core::arch::{asm, global_asm};
use core::panic::PanicInfo;

use tantalum_payload::console;

use cpus::Entered;

global_asm!(
    include_str!("entry.S"),
    MAIN = sym main,
    SECONDARY_MAIN = sym cpus::secondary_main,
    INTERRUPT = sym interrupts::arrived,
    SYNCHRONOUS = sym exceptions::arrived,
    FAULT = sym fault,
);

/// Goes on from the entry code on the boot CPU.
extern "C" fn main(entered: &Entered) -> ! {
    cpus::record(entered);
    tree::set(entered.x0);
    mmio::write32(UART_CONTROL, UART_ON);
    interrupts::set_up(cpus::current());
    crate::main();
    console::line(format_args!("guest: power off"));
    psci::system_off()
}

/// UARTCR, and in it what lets the port transmit and receive: no firmware has done so.
const UART_CONTROL: usize = 0x0900_0030;
const UART_ON: u32 = 0x301;

/// Returns where the suite lies in memory: its first byte and the one behind its last.
pub(crate) fn image() -> (u64, u64) {
    let (start, end): (u64, u64);
    // SAFETY: takes two addresses.
    unsafe {
        asm!(
            "adrp {}, __image_start",
            "adrp {}, __image_end",
            out(reg) start,
            out(reg) end,
            options(nomem, nostack, preserves_flags)
        );
    }
    (start, end)
}

/// Reports an exception of which none is expected.
extern "C" fn fault(vector: usize, syndrome: u64, pc: u64, address: u64) -> ! {
    let (start, _) = image();
    let offset = pc.wrapping_sub(start);
    panic!("exception {vector} at image + {offset:#x}: ESR_EL1 {syndrome:#x}, FAR_EL1 {address:#x}");
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    console::panic_line(format_args!("guest: PANIC on CPU {}: {info}", cpus::current()));
    loop {
        // SAFETY: it waits.
        unsafe { asm!("msr daifset, #0xf", "wfi", options(nomem, nostack)) };
    }
}
