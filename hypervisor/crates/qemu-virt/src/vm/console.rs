//! The serial port of the normal world: what virtual machines and the hypervisor print, and what is typed.

use core::fmt;

use arm_pl011_uart::Interrupts;
use log::LevelFilter;

use super::layout;
use crate::serial::SerialPort;

static PORT: SerialPort = SerialPort::new(layout::UART, "vmm", "\r\n");

/// Starts the console: the log, and the interrupt for what is typed.
///
/// # Safety
/// The serial port must be mapped, and nobody else may use it. To be called once.
pub unsafe fn start(level: LevelFilter) {
    // SAFETY: passed on to our caller; the image has no other port.
    unsafe { PORT.start(level) };
    PORT.with(|uart| uart.set_interrupt_masks(Interrupts::RXI | Interrupts::RTI));
}

/// Writes bytes, unchanged and in one piece.
pub(super) fn write(bytes: &[u8]) {
    PORT.write(bytes);
}

/// Reads what was typed, and returns how many bytes that is.
pub(super) fn read(to: &mut [u8]) -> usize {
    let read = PORT.with(|uart| {
        let mut count: usize = 0;
        for place in to {
            // A byte that came with an error is none.
            let Ok(Some(byte)) = uart.read_word() else { break };
            *place = byte;
            count = count.saturating_add(1);
        }
        uart.clear_interrupts(Interrupts::RTI);
        count
    });
    read.unwrap_or(0)
}

/// Writes a line even if whoever has the port never gives it back, for when the hypervisor is broken.
pub fn write_panic(line: fmt::Arguments<'_>) {
    PORT.write_panic(line);
}
