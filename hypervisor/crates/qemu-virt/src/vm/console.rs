//! The serial port of the normal world: what virtual machines and the hypervisor print, and what is typed.

use core::fmt::{self, Write};

use arm_pl011_uart::{
    DataBits, Interrupts, LineConfig, PL011Registers, Parity, StopBits, Uart, UniqueMmioPointer,
};
use log::{LevelFilter, Log, Metadata, Record};
use spin::Mutex;

use super::layout;
use crate::board;

/// Bounds how often a panic looks whether somebody still prints.
const PANIC_PATIENCE: u32 = 1_000_000;

/// Is the serial port from when it was started.
static UART: Mutex<Option<Uart<'static>>> = Mutex::new(None);

static LOG: ConsoleLog = ConsoleLog;

/// Prints each record as a line of its own: `[vmm] LEVEL: text`.
struct ConsoleLog;

impl Log for ConsoleLog {
    fn enabled(&self, _metadata: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        if let Some(uart) = UART.lock().as_mut() {
            // Writing to the port cannot fail.
            let _ = write!(uart, "[vmm] {}: {}\r\n", record.level(), record.args());
        }
    }

    fn flush(&self) {}
}

/// Starts the console: the log, and the interrupt for what is typed.
///
/// # Safety
/// The serial port must be mapped, and nobody else may use it. To be called once.
pub unsafe fn start(level: LevelFilter) {
    if let Some(registers) = board::registers::<PL011Registers>(layout::UART) {
        // SAFETY: these are the registers, as our caller promises, and this is their only pointer.
        let mut uart = Uart::new(unsafe { UniqueMmioPointer::new(registers) });
        let line = LineConfig { data_bits: DataBits::Bits8, parity: Parity::None, stop_bits: StopBits::One };
        // The only error is a baud rate that the clock cannot make, and this one it can.
        let _ = uart.enable(line, 115_200, board::UART_CLOCK);
        uart.set_interrupt_masks(Interrupts::RXI | Interrupts::RTI);
        *UART.lock() = Some(uart);
    }
    // Nobody has set another logger: this is called once.
    let _ = log::set_logger(&LOG);
    log::set_max_level(level);
}

/// Writes bytes, unchanged and in one piece.
pub(super) fn write(bytes: &[u8]) {
    if let Some(uart) = UART.lock().as_mut() {
        for byte in bytes {
            while uart.is_tx_fifo_full() {}
            uart.write_word(*byte);
        }
    }
}

/// Reads what was typed, and returns how many bytes that is.
pub(super) fn read(to: &mut [u8]) -> usize {
    let mut count: usize = 0;
    if let Some(uart) = UART.lock().as_mut() {
        for place in to {
            // A byte that came with an error is none.
            let Ok(Some(byte)) = uart.read_word() else { break };
            *place = byte;
            count = count.saturating_add(1);
        }
        uart.clear_interrupts(Interrupts::RTI);
    }
    count
}

/// Writes a line even if whoever has the port never gives it back, for when the hypervisor is broken.
pub fn write_panic(line: fmt::Arguments<'_>) {
    for _ in 0..PANIC_PATIENCE {
        if let Some(mut guard) = UART.try_lock() {
            if let Some(uart) = guard.as_mut() {
                let _ = write!(uart, "{line}\r\n");
            }
            return;
        }
    }
    if let Some(registers) = board::registers::<PL011Registers>(layout::UART) {
        // SAFETY: the port is mapped since the console was started, or the lock would be free. Whoever has the other
        // pointer hangs or has panicked itself; at worst two lines mix.
        let mut uart = Uart::new(unsafe { UniqueMmioPointer::new(registers) });
        let _ = write!(uart, "{line}\r\n");
    }
}
