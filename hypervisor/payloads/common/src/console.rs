//! The serial port, and lines with times.

use core::arch::asm;
use core::fmt::{self, Write};
use core::ptr::with_exposed_provenance_mut;

use crate::cpu::{Mutex, relax};

const DATA: usize = 0x0900_0000;
const FLAGS: usize = 0x0900_0018;
const TRANSMIT_FULL: u32 = 1 << 5;

/// Is the board's PL011. Without a firmware that has set it up it transmits all the same.
struct Port;

static PORT: Mutex<Port> = Mutex::new(Port);

impl Write for Port {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            // SAFETY: these are the registers of the port, mapped as device memory, and we have the lock or panic.
            unsafe {
                while with_exposed_provenance_mut::<u32>(FLAGS).read_volatile() & TRANSMIT_FULL != 0 {
                    relax();
                }
                with_exposed_provenance_mut::<u32>(DATA).write_volatile(byte.into());
            }
        }
        Ok(())
    }
}

/// Writes a line, with the time in front as Linux does.
pub fn line(text: fmt::Arguments<'_>) {
    write(&mut PORT.lock(), text);
}

/// Writes a line whoever has the port.
pub fn panic_line(text: fmt::Arguments<'_>) {
    write(&mut Port, text);
}

fn write(port: &mut Port, text: fmt::Arguments<'_>) {
    let (seconds, micros) = time();
    // Writing to the port cannot fail.
    let _ = write!(port, "[{seconds:5}.{micros:06}] {text}\r\n");
}

/// Returns the time since the machine was started, in seconds and microseconds.
fn time() -> (u64, u64) {
    let now = ticks();
    let frequency = ticks_per_second();
    (now / frequency, now % frequency * 1_000_000 / frequency)
}

/// Returns the virtual count, which is the physical one less the offset that a hypervisor has set.
pub fn ticks() -> u64 {
    let count: u64;
    // SAFETY: reading the register has no effect.
    unsafe { asm!("isb", "mrs {}, cntvct_el0", out(reg) count, options(nomem, nostack)) };
    count
}

/// Returns how much the count grows in a second.
pub fn ticks_per_second() -> u64 {
    let frequency: u64;
    // SAFETY: reading the register has no effect.
    unsafe { asm!("mrs {}, cntfrq_el0", out(reg) frequency, options(nomem, nostack)) };
    frequency.max(1)
}
