//! A PL011 that a hypervisor prints to: its log, and whatever else has to come out.

use core::fmt::{self, Write};

use arm_pl011_uart::{DataBits, LineConfig, PL011Registers, Parity, StopBits, Uart, UniqueMmioPointer};
use log::{LevelFilter, Log, Metadata, Record};
use spin::Mutex;

use crate::board;

/// Bounds how often a panic looks whether somebody still prints.
const PANIC_PATIENCE: u32 = 1_000_000;

/// Is a serial port with its lock.
pub(crate) struct SerialPort {
    address: usize,
    /// Stands before each record of the log.
    name: &'static str,
    line_end: &'static str,
    /// The port from when it was started.
    uart: Mutex<Option<Uart<'static>>>,
}

impl SerialPort {
    /// Names the port at `address`, where records of the log begin with `name` and lines end with `line_end`.
    pub(crate) const fn new(address: usize, name: &'static str, line_end: &'static str) -> Self {
        Self { address, name, line_end, uart: Mutex::new(None) }
    }

    /// Starts the port, and has it print the log: each record as a line of its own, `[name] LEVEL: text`.
    ///
    /// # Safety
    /// The port must be mapped, and nobody else may use it. To be called once, and for one port.
    pub(crate) unsafe fn start(&'static self, level: LevelFilter) {
        if let Some(registers) = board::registers::<PL011Registers>(self.address) {
            // SAFETY: these are the registers, as our caller promises, and this is their only pointer.
            let mut uart = Uart::new(unsafe { UniqueMmioPointer::new(registers) });
            let line =
                LineConfig { data_bits: DataBits::Bits8, parity: Parity::None, stop_bits: StopBits::One };
            // The only error is a baud rate that the clock cannot make, and this one it can.
            let _ = uart.enable(line, 115_200, board::UART_CLOCK);
            *self.uart.lock() = Some(uart);
        }
        // Nobody has set another logger: this is called once.
        let _ = log::set_logger(self);
        log::set_max_level(level);
    }

    /// Does something with the port, or returns `None` before it is started.
    pub(crate) fn with<T>(&self, what: impl FnOnce(&mut Uart<'static>) -> T) -> Option<T> {
        self.uart.lock().as_mut().map(what)
    }

    /// Writes bytes, unchanged and in one piece.
    pub(crate) fn write(&self, bytes: &[u8]) {
        self.with(|uart| {
            for byte in bytes {
                while uart.is_tx_fifo_full() {}
                uart.write_word(*byte);
            }
        });
    }

    /// Writes a line even if whoever has the port never gives it back, for when the hypervisor is broken.
    pub(crate) fn write_panic(&self, line: fmt::Arguments<'_>) {
        for _ in 0..PANIC_PATIENCE {
            if let Some(mut guard) = self.uart.try_lock() {
                if let Some(uart) = guard.as_mut() {
                    self.print(uart, line);
                }
                return;
            }
        }
        if let Some(registers) = board::registers::<PL011Registers>(self.address) {
            // SAFETY: the port is mapped since it was started, or the lock would be free. Whoever has the other pointer
            // hangs or has panicked itself; at worst two lines mix.
            let mut uart = Uart::new(unsafe { UniqueMmioPointer::new(registers) });
            self.print(&mut uart, line);
        }
    }

    /// Writes a line.
    #[inline(never)]
    fn print(&self, uart: &mut Uart<'static>, line: fmt::Arguments<'_>) {
        // Writing to the port cannot fail.
        let _ = uart.write_fmt(line);
        let _ = uart.write_str(self.line_end);
    }
}

impl Log for SerialPort {
    fn enabled(&self, _metadata: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        self.with(|uart| {
            self.print(uart, format_args!("[{}] {}: {}", self.name, record.level(), record.args()));
        });
    }

    fn flush(&self) {}
}
