//! The machine: QEMU's virt board as the normal world sees it at EL2. The only module with `unsafe`. What it shares
//! with other suites is in `tantalum_payload`.
//!
//! | module | what it has |
//! |---|---|
//! | `cpus` | the CPUs: starting them, running work on them |
//! | `interrupts` | the GIC, the timers, and a count of what arrived |
//! | `keys` | the keys of pointer authentication |
//! | `memory` | pages to share and to use as buffers |
//! | `power` | PSCI |

pub(crate) mod cpus;
pub(crate) mod interrupts;
pub(crate) mod keys;
pub(crate) mod memory;
pub(crate) mod power;

use core::arch::{asm, global_asm};
use core::panic::PanicInfo;
use core::ptr::with_exposed_provenance;

use tantalum_payload::console;

use crate::Job;

global_asm!(
    include_str!("entry.S"),
    MAIN = sym main,
    SECONDARY_MAIN = sym cpus::secondary_main,
    INTERRUPT = sym interrupts::arrived,
    FAULT = sym fault,
);

/// Goes on from the entry code on the boot CPU.
extern "C" fn main(device_tree: usize) -> ! {
    interrupts::set_up(0);
    let argument = |name: &[u8], radix| boot_argument(device_tree, name, radix);
    let asked = |name| argument(name, 10).is_some_and(|number| number != 0);
    let job = match argument(b"bl33.soak=", 10) {
        Some(count) => Job::Soak { count },
        None if asked(b"bl33.benchmarks=") => Job::Benchmarks,
        None if asked(b"bl33.resident=") => Job::Resident,
        None => Job::Suite,
    };
    crate::main(argument(b"bl33.version=", 16), &job);
    console::line(format_args!("bl33: power off"));
    power::system_off()
}

/// Finds the word `name` in the device tree, where the boot arguments are, and returns the number behind it, which is
/// written in the base `radix`.
fn boot_argument(device_tree: usize, name: &[u8], radix: u32) -> Option<u32> {
    let size = {
        let header = with_exposed_provenance::<[u8; 8]>(device_tree);
        // SAFETY: TF-A puts the device tree where it says; its second word is its size.
        let [_, _, _, _, size @ ..] = unsafe { header.read() };
        u32::from_be_bytes(size) as usize
    };
    assert!(size <= 0x10_0000, "the device tree at {device_tree:#x} has {size:#x} bytes");
    // SAFETY: as above, and nobody writes it any more.
    let tree = unsafe { core::slice::from_raw_parts(with_exposed_provenance::<u8>(device_tree), size) };
    let at = tree.windows(name.len()).position(|window| window == name)?;
    let digits = tree[at + name.len()..].iter().map_while(|digit| char::from(*digit).to_digit(radix));
    Some(digits.fold(0_u32, |number, digit| number.wrapping_mul(radix).wrapping_add(digit)))
}

/// Reports an exception of which none is expected.
extern "C" fn fault(vector: usize, syndrome: u64, pc: usize, address: u64) -> ! {
    panic!("exception {vector} at {pc:#x}: ESR_EL2 {syndrome:#x}, FAR_EL2 {address:#x}");
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    console::panic_line(format_args!("bl33: PANIC: {info}"));
    loop {
        // SAFETY: it waits.
        unsafe { asm!("msr daifset, #0xf", "wfi", options(nomem, nostack)) };
    }
}
