//! The machine's console, which the virtual machines share.
//!
//! One of them has the terminal: what is typed goes to its serial port, and what it writes is shown at once and as it
//! is. Of any other, each line is shown when it is complete, with its name before it. Ctrl-T gives the terminal to the
//! next one. One that is alone has the terminal.

use core::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use heapless::{Deque, Vec};
use spin::Mutex;
use tantalum_hal::vm::Host;
use tantalum_types::VmIndex;

use crate::devices::pl011::LINE;

/// Gives the terminal to the next virtual machine.
const SWITCH: u8 = 0x14;

/// Bounds what is typed and not yet read.
const TYPED: usize = 256;

/// Stands for no virtual machine; one more than its index for each other.
const NOBODY: u8 = 0;

/// Is the console.
#[derive(Debug)]
pub struct Console {
    terminal: AtomicU8,
    /// Whether something is typed and not yet read, so that the lock need not be taken to see that nothing is.
    waiting: AtomicBool,
    typed: Mutex<Deque<u8, TYPED>>,
    /// Whether the last that was shown of the terminal is a line that is not complete.
    open: AtomicBool,
}

impl Default for Console {
    fn default() -> Self {
        Self::new()
    }
}

impl Console {
    /// Builds one whose terminal nobody has.
    pub const fn new() -> Self {
        Self {
            terminal: AtomicU8::new(NOBODY),
            waiting: AtomicBool::new(false),
            typed: Mutex::new(Deque::new()),
            open: AtomicBool::new(false),
        }
    }

    /// Returns who has the terminal.
    pub fn terminal(&self) -> Option<VmIndex> {
        VmIndex::new(usize::from(self.terminal.load(Ordering::Relaxed)).checked_sub(1)?)
    }

    /// Gives the terminal to a virtual machine.
    pub fn give(&self, vm: VmIndex) {
        let place = u8::try_from(vm.get()).ok().and_then(|index| index.checked_add(1));
        self.terminal.store(place.unwrap_or(NOBODY), Ordering::Relaxed);
    }

    /// Shows what `vm` has written: if it has not the terminal, a line.
    pub fn show(&self, vm: VmIndex, name: &str, bytes: &[u8], host: &impl Host) {
        if self.terminal() == Some(vm) {
            if let Some(last) = bytes.last() {
                self.open.store(*last != b'\n', Ordering::Relaxed);
                host.write_console(bytes);
            }
            return;
        }
        self.show_line(name, "", bytes, host);
    }

    /// Shows a line of a virtual machine's, with its name and that of what it was written to before it.
    pub fn show_line(&self, name: &str, device: &str, line: &[u8], host: &impl Host) {
        let text = line.trim_ascii_end();
        if text.is_empty() {
            return;
        }
        let mut line = Vec::<u8, { LINE + 48 }>::new();
        let start: &[u8] = if self.open.swap(false, Ordering::Relaxed) { b"\r\n" } else { b"" };
        for part in [start, b"[vm ", name.as_bytes(), device.as_bytes(), b"] ", text, b"\r\n"] {
            // A name and a line fit; what would not is cut off.
            let _ = line.extend_from_slice(part);
        }
        host.write_console(&line);
    }

    /// Reads what has been typed. Returns whether the terminal is to be given to the next one, and drops what there is no
    /// room for.
    pub fn read(&self, host: &impl Host) -> bool {
        let mut switch = false;
        let mut buffer = [0; 32];
        let mut typed = self.typed.lock();
        loop {
            let count = host.read_console(&mut buffer);
            let Some(bytes) = buffer.get(..count).filter(|bytes| !bytes.is_empty()) else { break };
            for byte in bytes {
                if *byte == SWITCH {
                    switch = true;
                } else {
                    let _ = typed.push_back(*byte);
                }
            }
        }
        self.waiting.store(!typed.is_empty(), Ordering::Relaxed);
        switch
    }

    /// Tells whether something is typed and not yet read.
    pub fn is_waiting(&self) -> bool {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Takes at most `room` bytes of what was typed.
    pub fn take(&self, room: usize) -> Vec<u8, 16> {
        let mut bytes = Vec::new();
        let mut typed = self.typed.lock();
        while bytes.len() < room.min(16)
            && let Some(byte) = typed.pop_front()
        {
            let _ = bytes.push(byte);
        }
        self.waiting.store(!typed.is_empty(), Ordering::Relaxed);
        bytes
    }
}
