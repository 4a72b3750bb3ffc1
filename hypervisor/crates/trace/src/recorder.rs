//! What writes the records.

use core::sync::atomic::{AtomicU64, Ordering};

use tantalum_hal::{AccessError, Action, Event, PhysicalMemory};
use tantalum_types::{CpuIndex, MAX_CPUS, Pa};

use crate::layout::{self, CAPACITY, MAGIC, RECORD_SIZE, RECORD_WORDS};
use crate::record::Record;

/// Counts the records of each processing element. It outlives the recorders, since a processing element that is
/// turned off and on again goes on in its ring.
pub struct Counters([AtomicU64; MAX_CPUS]);

impl Counters {
    /// Begins at nothing recorded.
    pub const fn new() -> Self {
        Self([const { AtomicU64::new(0) }; MAX_CPUS])
    }
}

impl Default for Counters {
    fn default() -> Self {
        Self::new()
    }
}

/// Writes down what enters and leaves the SPMC on one processing element.
///
/// Nothing of what is recorded is ever read again here: whatever the normal world does to the memory of a ring, it
/// spoils the trace and nothing else.
pub struct Recorder<'a, M> {
    memory: &'a M,
    ring: Pa,
    count: &'a AtomicU64,
}

impl<'a, M: PhysicalMemory> Recorder<'a, M> {
    /// Begins to record on `cpu`, or goes on after it has been off. `frequency` is how many ticks of the system counter
    /// make a second.
    ///
    /// # Errors
    /// Says so if the ring does not lie in RAM of the normal world.
    pub fn new(
        memory: &'a M,
        counters: &'a Counters,
        cpu: CpuIndex,
        frequency: u64,
    ) -> Result<Self, AccessError> {
        let ring = layout::ring(cpu);
        let count = counters.0.get(cpu.get()).ok_or(AccessError { address: ring })?;
        // The last record of a full ring, so that nothing is missing only later.
        memory.write(at(ring, layout::offset(CAPACITY as u64)), &[0; RECORD_SIZE])?;
        memory.write(ring, &bytes::<4, 32>([MAGIC, RECORD_SIZE as u64, CAPACITY as u64, frequency]))?;
        Ok(Self { memory, ring, count })
    }

    /// Records what the processing element came back with at `now` after `turn`; `None` if it has just been started.
    pub fn event(&self, now: u64, turn: Option<&Action>, event: &Event) {
        self.record(now, &Record::of_event(turn, event));
    }

    /// Records what the processing element is about to do at `now`.
    pub fn action(&self, now: u64, action: &Action) {
        self.record(now, &Record::of_action(action));
    }

    fn record(&self, now: u64, record: &Record) {
        // This processing element alone writes its count.
        let sequence = self.count.load(Ordering::Relaxed).wrapping_add(1);
        self.count.store(sequence, Ordering::Relaxed);
        let place = at(self.ring, layout::offset(sequence));
        // The machine may stop anywhere in between: what is half written has no number.
        let words: [u64; RECORD_WORDS] = record.words(now);
        let _ = self.memory.write(place, &bytes::<RECORD_WORDS, RECORD_SIZE>(words));
        let _ = self.memory.write(place, &sequence.to_le_bytes());
    }
}

/// Returns the address `offset` bytes into a ring.
const fn at(ring: Pa, offset: u64) -> Pa {
    Pa::new(ring.space(), ring.raw().wrapping_add(offset))
}

/// Returns the bytes of words, little-endian.
fn bytes<const WORDS: usize, const BYTES: usize>(words: [u64; WORDS]) -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    for (to, word) in bytes.chunks_exact_mut(8).zip(words) {
        to.copy_from_slice(&word.to_le_bytes());
    }
    bytes
}
