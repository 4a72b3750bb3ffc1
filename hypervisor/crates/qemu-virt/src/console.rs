//! The log on the secure serial port.

use core::fmt;

use log::LevelFilter;

use crate::board;
use crate::serial::SerialPort;

static PORT: SerialPort = SerialPort::new(board::SECURE_UART, "spmc", "\n");

/// Starts the log.
///
/// # Safety
/// The secure serial port must be mapped, and nobody else may use it. To be called once.
pub unsafe fn start(level: LevelFilter) {
    // SAFETY: passed on to our caller; the image has no other port.
    unsafe { PORT.start(level) };
}

/// Writes bytes, unchanged and in one piece.
pub(crate) fn write(bytes: &[u8]) {
    PORT.write(bytes);
}

/// Writes a line even if whoever has the port never gives it back, for when the hypervisor is broken.
pub fn write_panic(line: fmt::Arguments<'_>) {
    PORT.write_panic(line);
}
