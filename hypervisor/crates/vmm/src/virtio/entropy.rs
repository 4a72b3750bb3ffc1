//! The entropy device (virtio 1.2, section 5.4).

use super::budget::{Budget, Progress};
use super::chain::{Chain, Malformed};
use super::memory::GuestMemory;
use super::transport::{Effect, Transport};

const DEVICE_ID: u32 = 4;
const QUEUE_SIZE: u16 = 8;

/// Bounds how many bytes one buffer gets, however large it is (section 5.4.6.2).
const CHUNK: usize = 64;

/// Gives random bytes.
pub trait EntropySource {
    /// Fills `to` from the front, and returns how many bytes are random: none if there are none now.
    fn fill(&mut self, to: &mut [u8]) -> usize;
}

/// Is an entropy device of a virtual machine.
#[derive(Debug)]
pub struct Entropy {
    transport: Transport<1>,
    chain: Chain,
}

impl Entropy {
    /// Builds a device.
    pub const fn new() -> Self {
        Self { transport: Transport::new(DEVICE_ID, 0, QUEUE_SIZE), chain: Chain::new() }
    }

    /// Returns what `size` bytes at `offset` of its registers read as.
    pub fn read(&self, offset: u64, size: u8) -> u64 {
        self.transport.read(offset, size, &[])
    }

    /// Writes `size` bytes at `offset` of its registers, and tells whether [`Self::run`] has something to do.
    pub fn write(&mut self, offset: u64, size: u8, value: u64) -> bool {
        self.transport.write(offset, size, value) == Effect::Run
    }

    /// Tells whether its interrupt line is up. It may change with every write and every run.
    pub fn interrupt(&self) -> bool {
        self.transport.interrupt()
    }

    /// Fills the driver's buffers as far as the budget goes.
    ///
    /// Has to be called after a write says so, and as [`Progress`] says.
    pub fn run(
        &mut self,
        memory: &impl GuestMemory,
        source: &mut impl EntropySource,
        budget: &mut Budget,
    ) -> Progress {
        if !self.transport.is_live() {
            return Progress::Idle;
        }
        let result = self.work(memory, source, budget);
        self.transport.end_run(result, memory).unwrap_or(Progress::Idle)
    }

    fn work(
        &mut self,
        memory: &impl GuestMemory,
        source: &mut impl EntropySource,
        budget: &mut Budget,
    ) -> Result<Progress, Malformed> {
        let Some((queue, features)) = self.transport.queue(0) else { return Ok(Progress::Idle) };
        while queue.has_next(features, memory)? {
            if budget.is_spent() {
                return Ok(Progress::More);
            }
            let mut bytes = [0; CHUNK];
            let random = source.fill(&mut bytes).min(CHUNK);
            if random == 0 {
                return Ok(Progress::Blocked);
            }
            queue.take(&mut self.chain, features, memory, budget)?;
            let length = usize::try_from(self.chain.writable()).unwrap_or(CHUNK).min(random);
            let random = bytes.get(..length).ok_or(Malformed)?;
            self.chain.write(&mut self.chain.writer(), random, memory)?;
            queue.give_back(self.chain.head(), u32::try_from(length).map_err(|_| Malformed)?, memory)?;
            budget.spend(1);
        }
        Ok(Progress::Idle)
    }
}

impl Default for Entropy {
    fn default() -> Self {
        Self::new()
    }
}
