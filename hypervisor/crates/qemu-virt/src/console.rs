//! The log on the secure serial port.

use core::fmt::{self, Write};

use arm_pl011_uart::{DataBits, LineConfig, PL011Registers, Parity, StopBits, Uart, UniqueMmioPointer};
use log::{LevelFilter, Log, Metadata, Record};
use spin::Mutex;

use crate::board;

/// Bounds how often a panic looks whether somebody still prints.
const PANIC_PATIENCE: u32 = 1_000_000;

/// Is the serial port from when the log was started.
static UART: Mutex<Option<Uart<'static>>> = Mutex::new(None);

static LOG: ConsoleLog = ConsoleLog;

/// Prints each record as a line of its own: `[spmc] LEVEL: text`.
struct ConsoleLog;

impl Log for ConsoleLog {
    fn enabled(&self, _metadata: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        if let Some(uart) = UART.lock().as_mut() {
            // Writing to the port cannot fail.
            let _ = writeln!(uart, "[spmc] {}: {}", record.level(), record.args());
        }
    }

    fn flush(&self) {}
}

/// Starts the log.
///
/// # Safety
/// The secure serial port must be mapped, and nobody else may use it. To be called once.
pub unsafe fn start(level: LevelFilter) {
    if let Some(registers) = board::registers::<PL011Registers>(board::SECURE_UART) {
        // SAFETY: these are the registers, as our caller promises, and this is their only pointer.
        let mut uart = Uart::new(unsafe { UniqueMmioPointer::new(registers) });
        let line = LineConfig { data_bits: DataBits::Bits8, parity: Parity::None, stop_bits: StopBits::One };
        // The only error is a baud rate that the clock cannot make, and this one it can.
        let _ = uart.enable(line, 115_200, board::UART_CLOCK);
        *UART.lock() = Some(uart);
    }
    // Nobody has set another logger: this is called once.
    let _ = log::set_logger(&LOG);
    log::set_max_level(level);
}

/// Writes bytes, unchanged and in one piece.
pub(crate) fn write(bytes: &[u8]) {
    if let Some(uart) = UART.lock().as_mut() {
        for byte in bytes {
            while uart.is_tx_fifo_full() {}
            uart.write_word(*byte);
        }
    }
}

/// Writes a line even if whoever has the port never gives it back, for when the hypervisor is broken.
pub fn write_panic(line: fmt::Arguments<'_>) {
    for _ in 0..PANIC_PATIENCE {
        if let Some(mut guard) = UART.try_lock() {
            if let Some(uart) = guard.as_mut() {
                let _ = writeln!(uart, "{line}");
            }
            return;
        }
    }
    if let Some(registers) = board::registers::<PL011Registers>(board::SECURE_UART) {
        // SAFETY: the port is mapped since the log was started, or the lock would be free. Whoever has the other
        // pointer hangs or has panicked itself; at worst two lines mix.
        let mut uart = Uart::new(unsafe { UniqueMmioPointer::new(registers) });
        let _ = writeln!(uart, "{line}");
    }
}
