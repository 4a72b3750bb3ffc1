//! The console device (virtio 1.2, section 5.3), with one port.

use heapless::Vec;

use super::budget::{Budget, Progress};
use super::chain::{Chain, Cursor, Malformed};
use super::memory::GuestMemory;
use super::transport::{Effect, Transport};

const DEVICE_ID: u32 = 3;
const QUEUE_SIZE: u16 = 64;
const RECEIVE: usize = 0;
const TRANSMIT: usize = 1;

/// Is how many bytes move at a time.
const CHUNK: usize = 128;

/// Is what a console writes to and reads from.
pub trait ConsoleBackend {
    /// Takes bytes that the virtual machine has written, and returns how many: fewer than all if there is no room, and
    /// the others come again.
    fn write(&mut self, bytes: &[u8]) -> usize;

    /// Gives bytes for the virtual machine to read, and returns how many: none if there are none now. Whoever has some
    /// runs the device.
    fn read(&mut self, to: &mut [u8]) -> usize;
}

/// Is a console of a virtual machine.
#[derive(Debug)]
pub struct Console {
    transport: Transport<2>,
    /// What the driver writes, and how far it was read if it is not given back yet.
    output: Chain,
    reader: Option<Cursor>,
    /// What was read and not taken by the backend yet.
    pending: Vec<u8, CHUNK>,
    /// The buffers for input at work, and the input that did not fit into the last ones.
    input: Chain,
    unread: Vec<u8, CHUNK>,
}

impl Console {
    /// Builds a device.
    pub const fn new() -> Self {
        Self {
            transport: Transport::new(DEVICE_ID, 0, QUEUE_SIZE),
            output: Chain::new(),
            reader: None,
            pending: Vec::new(),
            input: Chain::new(),
            unread: Vec::new(),
        }
    }

    /// Returns what `size` bytes at `offset` of its registers read as.
    pub fn read(&self, offset: u64, size: u8) -> u64 {
        // No feature of section 5.3.3 is offered, so nothing of `virtio_console_config` means anything.
        self.transport.read(offset, size, &[])
    }

    /// Writes `size` bytes at `offset` of its registers, and tells whether [`Self::run`] has something to do.
    pub fn write(&mut self, offset: u64, size: u8, value: u64) -> bool {
        let effect = self.transport.write(offset, size, value);
        if matches!(effect, Effect::Reset | Effect::QueueReset(TRANSMIT)) {
            self.reader = None;
        }
        effect == Effect::Run
    }

    /// Tells whether its interrupt line is up. It may change with every write and every run.
    pub fn interrupt(&self) -> bool {
        self.transport.interrupt()
    }

    /// Moves bytes both ways as far as the budget goes.
    ///
    /// Has to be called after a write says so, when there is input, and as [`Progress`] says.
    pub fn run(
        &mut self,
        memory: &impl GuestMemory,
        backend: &mut impl ConsoleBackend,
        budget: &mut Budget,
    ) -> Progress {
        if !self.transport.is_live() {
            return Progress::Idle;
        }
        let received = self.receive(memory, backend, budget);
        let result = received.and_then(|()| self.transmit(memory, backend, budget));
        match self.transport.end_run(result, memory) {
            Ok(_) if budget.is_spent() => Progress::More,
            Ok(progress) => progress,
            Err(Malformed) => {
                self.reader = None;
                Progress::Idle
            }
        }
    }

    /// Gives input to the driver, as far as it has buffers for it.
    fn receive(
        &mut self,
        memory: &impl GuestMemory,
        backend: &mut impl ConsoleBackend,
        budget: &mut Budget,
    ) -> Result<(), Malformed> {
        let Some((queue, features)) = self.transport.queue(RECEIVE) else { return Ok(()) };
        while !budget.is_spent() && queue.has_next(features, memory)? {
            if self.unread.is_empty() {
                let mut bytes = [0; CHUNK];
                let length = backend.read(&mut bytes).min(CHUNK);
                let input = bytes.get(..length).ok_or(Malformed)?;
                self.unread.extend_from_slice(input).map_err(|_| Malformed)?;
            }
            if self.unread.is_empty() {
                break;
            }
            queue.take(&mut self.input, features, memory, budget)?;
            let room = usize::try_from(self.input.writable()).unwrap_or(CHUNK).min(self.unread.len());
            let input = self.unread.get(..room).ok_or(Malformed)?;
            self.input.write(&mut self.input.writer(), input, memory)?;
            self.unread.drain(..room);
            queue.give_back(self.input.head(), u32::try_from(room).map_err(|_| Malformed)?, memory)?;
            budget.spend(1);
        }
        Ok(())
    }

    /// Takes output from the driver, as far as there is room for it.
    fn transmit(
        &mut self,
        memory: &impl GuestMemory,
        backend: &mut impl ConsoleBackend,
        budget: &mut Budget,
    ) -> Result<Progress, Malformed> {
        let Some((queue, features)) = self.transport.queue(TRANSMIT) else { return Ok(Progress::Idle) };
        while !budget.is_spent() {
            if !self.pending.is_empty() {
                let taken = backend.write(&self.pending).min(self.pending.len());
                self.pending.drain(..taken);
                if !self.pending.is_empty() {
                    return Ok(Progress::Blocked);
                }
            }
            let mut cursor = match self.reader {
                Some(cursor) => cursor,
                None if queue.take(&mut self.output, features, memory, budget)? => self.output.reader(),
                None => return Ok(Progress::Idle),
            };
            let mut bytes = [0; CHUNK];
            let chunk = self.output.read_some(&mut cursor, &mut bytes, memory)?;
            budget.spend(1);
            if chunk.is_empty() {
                self.reader = None;
                queue.give_back(self.output.head(), 0, memory)?;
            } else {
                self.reader = Some(cursor);
                self.pending.extend_from_slice(chunk).map_err(|_| Malformed)?;
            }
        }
        Ok(Progress::More)
    }
}

impl Default for Console {
    fn default() -> Self {
        Self::new()
    }
}
