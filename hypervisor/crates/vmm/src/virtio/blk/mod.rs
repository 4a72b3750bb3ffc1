//! The block device (virtio 1.2, section 5.2).
//!
//! A request is taken from the queue into a slot, with its descriptors, and done in pieces of at most what the backend
//! moves at once. A backend finishes a piece when it likes; its buffer is the only one between guest memory and the disk.

mod backend;
mod request;

use super::budget::{Budget, Progress};
use super::chain::Malformed;
use super::memory::GuestMemory;
use super::transport::{Effect, Transport};

pub use backend::{BlockBackend, BlockConfig, IDENTIFIER_LENGTH, IoError, Operation, SECTOR_SIZE, Submitted};
use request::{Slot, Step};

const DEVICE_ID: u32 = 2;
const QUEUE_SIZE: u16 = 128;

/// Bounds how many requests a device has taken at a time, and so the tags that it gives to a backend: 0 to this number.
pub const BLOCK_REQUESTS: usize = 8;

/// Bounds the data buffers of a request: a chain has a header and a status as well.
const SEGMENTS_MAX: u32 = 30;
/// Bounds a data buffer in bytes, as the driver is told.
const SEGMENT_SIZE_MAX: u32 = 0x1_0000;
/// Bounds the data of a request in bytes.
const DATA_MAX: u32 = SEGMENTS_MAX * SEGMENT_SIZE_MAX;
/// Bounds a discard or write-zeroes request in sectors: 4 MiB.
const ERASE_MAX: u32 = 0x2000;

const VIRTIO_BLK_F_SIZE_MAX: u64 = 1 << 1;
const VIRTIO_BLK_F_SEG_MAX: u64 = 1 << 2;
const VIRTIO_BLK_F_RO: u64 = 1 << 5;
const VIRTIO_BLK_F_BLK_SIZE: u64 = 1 << 6;
const VIRTIO_BLK_F_FLUSH: u64 = 1 << 9;
const VIRTIO_BLK_F_DISCARD: u64 = 1 << 13;
const VIRTIO_BLK_F_WRITE_ZEROES: u64 = 1 << 14;

/// Is a block device of a virtual machine.
#[derive(Debug)]
pub struct Block {
    transport: Transport<1>,
    config: BlockConfig,
    slots: [Slot; BLOCK_REQUESTS],
}

impl Block {
    /// Builds a device.
    pub const fn new(config: BlockConfig) -> Self {
        let mut features =
            VIRTIO_BLK_F_SIZE_MAX | VIRTIO_BLK_F_SEG_MAX | VIRTIO_BLK_F_BLK_SIZE | VIRTIO_BLK_F_FLUSH;
        if config.read_only {
            features |= VIRTIO_BLK_F_RO;
        } else if config.erase {
            features |= VIRTIO_BLK_F_DISCARD | VIRTIO_BLK_F_WRITE_ZEROES;
        }
        Self {
            transport: Transport::new(DEVICE_ID, features, QUEUE_SIZE),
            config,
            slots: [const { Slot::new() }; BLOCK_REQUESTS],
        }
    }

    /// Returns what `size` bytes at `offset` of its registers read as.
    pub fn read(&self, offset: u64, size: u8) -> u64 {
        self.transport.read(offset, size, &self.configuration())
    }

    /// Writes `size` bytes at `offset` of its registers, and tells whether [`Self::run`] has something to do.
    pub fn write(&mut self, offset: u64, size: u8, value: u64) -> bool {
        let effect = self.transport.write(offset, size, value);
        if matches!(effect, Effect::Reset | Effect::QueueReset(_)) {
            // What a backend has begun it will end; nobody is told then.
            self.slots.iter_mut().for_each(Slot::abandon);
        }
        effect == Effect::Run
    }

    /// Tells whether its interrupt line is up. It may change with every write and every run.
    pub fn interrupt(&self) -> bool {
        self.transport.interrupt()
    }

    /// Takes requests, has the backend do them, and tells the driver what is done, as far as the budget goes.
    ///
    /// Has to be called after a write says so, when the backend has finished something, and as [`Progress`] says.
    pub fn run(
        &mut self,
        memory: &impl GuestMemory,
        backend: &mut impl BlockBackend,
        budget: &mut Budget,
    ) -> Progress {
        let result = self.work(memory, backend, budget);
        match self.transport.end_run(result, memory) {
            Ok(progress) => progress,
            Err(Malformed) => {
                self.slots.iter_mut().for_each(Slot::abandon);
                Progress::Idle
            }
        }
    }

    fn work(
        &mut self,
        memory: &impl GuestMemory,
        backend: &mut impl BlockBackend,
        budget: &mut Budget,
    ) -> Result<Progress, Malformed> {
        loop {
            // What the backend has finished is taken even if nothing else may be done: it makes room for others.
            while let Some(tag) = self.complete(memory, backend, budget)? {
                self.finish(tag, memory)?;
                if budget.is_spent() {
                    return Ok(Progress::More);
                }
            }
            if !self.transport.is_live() {
                return Ok(Progress::Idle);
            }
            let taken = self.take(memory, budget)?;
            let submitted = self.submit(memory, backend, budget)?;
            if budget.is_spent() {
                return Ok(Progress::More);
            }
            match submitted {
                Begun::Some => {}
                Begun::None if taken => {}
                Begun::None => return Ok(Progress::Idle),
                // The end of one of ours makes room.
                Begun::Busy if self.slots.iter().any(Slot::is_waiting) => return Ok(Progress::Idle),
                Begun::Busy => return Ok(Progress::Blocked),
            }
        }
    }

    /// Takes one piece that the backend has finished, and returns the tag of its request.
    fn complete(
        &mut self,
        memory: &impl GuestMemory,
        backend: &mut impl BlockBackend,
        budget: &mut Budget,
    ) -> Result<Option<usize>, Malformed> {
        let slots = &mut self.slots;
        let mut outcome = Ok(None);
        let any = backend.complete(|tag, result| {
            let index = usize::from(tag);
            if let Some(slot) = slots.get_mut(index) {
                outcome = slot.complete(result, memory, budget).map(|()| Some(index));
            }
        });
        if any { outcome.map(|tag| tag.or(Some(BLOCK_REQUESTS))) } else { Ok(None) }
    }

    /// Gives a request back to the driver if all of it is done.
    fn finish(&mut self, index: usize, memory: &impl GuestMemory) -> Result<(), Malformed> {
        let Some(slot) = self.slots.get_mut(index) else { return Ok(()) };
        let Some((head, written)) = slot.finish(memory)? else { return Ok(()) };
        let Some((queue, _)) = self.transport.queue(0) else { return Ok(()) };
        queue.give_back(head, written, memory)
    }

    /// Takes requests while there is room, and tells whether there was one.
    fn take(&mut self, memory: &impl GuestMemory, budget: &mut Budget) -> Result<bool, Malformed> {
        let mut taken = false;
        for index in 0..BLOCK_REQUESTS {
            let Some(slot) = self.slots.get_mut(index).filter(|slot| slot.is_free()) else { continue };
            let Some((queue, features)) = self.transport.queue(0) else { break };
            if budget.is_spent() || !queue.take(&mut slot.chain, features, memory, budget)? {
                break;
            }
            slot.begin(&self.config, memory)?;
            taken = true;
            self.finish(index, memory)?;
        }
        Ok(taken)
    }

    /// Has the backend begin the next piece of each request that waits for that.
    fn submit(
        &mut self,
        memory: &impl GuestMemory,
        backend: &mut impl BlockBackend,
        budget: &mut Budget,
    ) -> Result<Begun, Malformed> {
        let mut begun = Begun::None;
        for (slot, tag) in self.slots.iter_mut().zip(0..) {
            if budget.is_spent() {
                break;
            }
            match slot.submit(tag, memory, backend, budget)? {
                Step::Nothing => {}
                Step::Begun => begun = Begun::Some,
                Step::Busy if begun == Begun::Some => return Ok(Begun::Some),
                Step::Busy => return Ok(Begun::Busy),
            }
        }
        Ok(begun)
    }

    /// Returns `virtio_blk_config` (section 5.2.4).
    fn configuration(&self) -> [u8; 60] {
        let mut bytes = [0; 60];
        let mut put = |offset: usize, field: &[u8]| {
            for (to, from) in bytes.iter_mut().skip(offset).zip(field) {
                *to = *from;
            }
        };
        put(0, &self.config.sectors.to_le_bytes());
        put(8, &SEGMENT_SIZE_MAX.to_le_bytes());
        put(12, &SEGMENTS_MAX.to_le_bytes());
        put(20, &512u32.to_le_bytes());
        if self.config.erase && !self.config.read_only {
            put(36, &ERASE_MAX.to_le_bytes());
            put(40, &1u32.to_le_bytes());
            put(44, &1u32.to_le_bytes());
            put(48, &ERASE_MAX.to_le_bytes());
            put(52, &1u32.to_le_bytes());
            put(56, &[1]);
        }
        bytes
    }
}

/// Says what became of the requests that wait for the backend to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Begun {
    /// There was none.
    None,
    /// At least one was begun.
    Some,
    /// The backend could not begin any.
    Busy,
}
