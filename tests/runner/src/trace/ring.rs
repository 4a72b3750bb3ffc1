//! From bytes to records. `hypervisor/crates/trace/src/layout.rs` says what lies where.

use super::decode::{Message, decode};
use crate::error::{Error, Result};

/// Where each CPU's ring begins is its number times this.
pub const RING_SIZE: usize = 0x10_0000;
/// The most CPUs there are.
pub const MAX_CPUS: usize = 8;

/// How long a record is.
pub const RECORD_SIZE: usize = 168;

const HEADER_SIZE: usize = 64;
const CAPACITY: u64 = 6241;
const MAGIC: u64 = u64::from_le_bytes(*b"tantrace");

/// What all CPUs have recorded.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    /// A ring for each CPU that was started.
    pub rings: Vec<Ring>,
}

/// What one CPU has recorded.
#[derive(Clone, Debug)]
pub struct Ring {
    /// Its number.
    pub cpu: usize,
    /// How many ticks of the system counter make a second.
    pub frequency: u64,
    /// What the ring holds, oldest first.
    pub records: Vec<Record>,
}

/// One event or action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its number on its CPU, from 1.
    pub sequence: u64,
    /// The system counter.
    pub ticks: u64,
    /// What it is.
    pub kind: u8,
    /// Of which sort.
    pub detail: u8,
    /// Who had the turn, or gets it: 0 for the normal world.
    pub endpoint: u16,
    /// Which execution context of a partition.
    pub context: u16,
    /// Registers and other values.
    pub values: [u64; 18],
}

impl Trace {
    /// Reads the rings from the memory that they lie in. What is cut off at the end counts as never written.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let mut rings = Vec::new();
        for (cpu, ring) in bytes.chunks(RING_SIZE).take(MAX_CPUS).enumerate() {
            rings.extend(Ring::parse(cpu, ring)?);
        }
        if rings.is_empty() {
            return Err(Error::new("there is no trace in it: is the image one that records?"));
        }
        Ok(Self { rings })
    }

    /// Decodes all records, in the order of time.
    pub fn messages(&self) -> Vec<Message> {
        let mut messages: Vec<_> = self
            .rings
            .iter()
            .flat_map(|ring| ring.records.iter().map(move |record| (record.ticks, decode(ring, record))))
            .collect();
        // A stable sort: what a CPU did in one tick keeps its order.
        messages.sort_by_key(|(ticks, _)| *ticks);
        messages.into_iter().map(|(_, message)| message).collect()
    }
}

impl Ring {
    fn parse(cpu: usize, bytes: &[u8]) -> Result<Option<Self>> {
        let header: Vec<u64> = words(bytes).take(4).collect();
        let [MAGIC, size, capacity, frequency] = header[..] else { return Ok(None) };
        if (size, capacity) != (RECORD_SIZE as u64, CAPACITY) || frequency == 0 {
            return Err(Error::new(format!(
                "the trace of CPU {cpu} has another layout than this program knows: \
                 {capacity} records of {size} bytes, {frequency} Hz"
            )));
        }
        let body = bytes.get(HEADER_SIZE..).unwrap_or_default();
        let mut records: Vec<Record> = (0..CAPACITY)
            .zip(body.chunks_exact(RECORD_SIZE))
            .filter_map(|(slot, bytes)| Record::parse(bytes).filter(|record| record.belongs(slot)))
            .collect();
        records.sort_by_key(|record| record.sequence);
        Ok(Some(Self { cpu, frequency, records }))
    }

    /// Tells how many records were made and are not there any more. One that was being written when the machine
    /// stopped counts too, if it has taken an older one's place.
    pub fn lost(&self) -> u64 {
        let made = self.records.last().map_or(0, |record| record.sequence);
        made.saturating_sub(self.records.len() as u64)
    }
}

impl Record {
    /// Reads a record; `None` for one that was never finished.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let words: Vec<u64> = words(bytes).collect();
        let [sequence, ticks, what, values @ ..] = words.as_slice() else { return None };
        let [kind, detail, _, _, endpoint @ .., c0, c1] = what.to_le_bytes();
        (*sequence != 0).then_some(Self {
            sequence: *sequence,
            ticks: *ticks,
            kind,
            detail,
            endpoint: u16::from_le_bytes(endpoint),
            context: u16::from_le_bytes([c0, c1]),
            values: values.try_into().ok()?,
        })
    }

    /// Tells whether this is the place that its number leads to: a number that is half written leads elsewhere.
    fn belongs(&self, slot: u64) -> bool {
        (self.sequence - 1) % CAPACITY == slot
    }
}

fn words(bytes: &[u8]) -> impl Iterator<Item = u64> {
    bytes.chunks_exact(8).filter_map(|word| word.try_into().ok()).map(u64::from_le_bytes)
}
