//! Guest memory and backends.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::vec;
use std::vec::Vec;

use tantalum_hal::{AccessError, PhysicalMemory};
use tantalum_types::{Ipa, Pa, PageRange};

use super::super::*;

/// Is where memory begins.
pub(in super::super) const BASE: u64 = 0x4000_0000;

/// Is memory from [`BASE`] on that counts accesses and knows which bytes were read.
pub(in super::super) struct Memory {
    bytes: RefCell<Vec<u8>>,
    /// What was read since [`Memory::forget_reads`].
    reads: RefCell<Vec<std::ops::Range<usize>>>,
    pub(in super::super) accesses: Cell<usize>,
    pub(in super::super) moved: Cell<usize>,
    /// How many accesses were refused.
    pub(in super::super) refused: Cell<usize>,
}

impl Memory {
    pub(in super::super) fn new(size: usize) -> Self {
        Self {
            bytes: RefCell::new(vec![0; size]),
            reads: RefCell::default(),
            accesses: Cell::new(0),
            moved: Cell::new(0),
            refused: Cell::new(0),
        }
    }

    fn at(&self, address: u64, length: usize) -> Option<std::ops::Range<usize>> {
        let start = usize::try_from(address.checked_sub(BASE)?).ok()?;
        let end = start.checked_add(length)?;
        (end <= self.bytes.borrow().len()).then_some(start..end)
    }

    /// Reads as the driver does.
    pub(in super::super) fn peek(&self, address: u64, length: usize) -> Vec<u8> {
        self.bytes.borrow()[self.at(address, length).unwrap()].to_vec()
    }

    /// Writes as the driver does.
    pub(in super::super) fn poke(&self, address: u64, bytes: &[u8]) {
        let at = self.at(address, bytes.len()).unwrap();
        self.bytes.borrow_mut()[at].copy_from_slice(bytes);
    }

    pub(in super::super) fn peek16(&self, address: u64) -> u16 {
        u16::from_le_bytes(self.peek(address, 2).try_into().unwrap())
    }

    pub(in super::super) fn forget_reads(&self) {
        self.reads.borrow_mut().clear();
        self.accesses.set(0);
        self.moved.set(0);
    }

    /// Returns how often the byte at an address was read that was read most often, of those in a range.
    pub(in super::super) fn most_reads(&self, address: u64, length: usize) -> usize {
        let reads = self.reads.borrow();
        let range = self.at(address, length).unwrap();
        let count = |at| reads.iter().filter(|read| read.contains(&at)).count();
        // The count is highest where some read begins, or at the first byte.
        let first = count(range.start);
        reads.iter().map(|read| read.start).filter(|at| range.contains(at)).map(count).fold(first, usize::max)
    }

    fn count(&self, length: usize) {
        self.accesses.set(self.accesses.get() + 1);
        self.moved.set(self.moved.get() + length);
    }
}

impl GuestMemory for Memory {
    fn read(&self, from: Ipa, to: &mut [u8]) -> Result<(), OutOfMemory> {
        self.count(to.len());
        let Some(at) = self.at(from.raw(), to.len()) else {
            self.refused.set(self.refused.get() + 1);
            return Err(OutOfMemory);
        };
        to.copy_from_slice(&self.bytes.borrow()[at.clone()]);
        self.reads.borrow_mut().push(at);
        Ok(())
    }

    fn write(&self, to: Ipa, from: &[u8]) -> Result<(), OutOfMemory> {
        self.count(from.len());
        let Some(at) = self.at(to.raw(), from.len()) else {
            self.refused.set(self.refused.get() + 1);
            return Err(OutOfMemory);
        };
        self.bytes.borrow_mut()[at].copy_from_slice(from);
        Ok(())
    }

    fn contains(&self, from: Ipa, length: u32) -> bool {
        self.at(from.raw(), length as usize).is_some()
    }
}

impl PhysicalMemory for Memory {
    fn read(&self, from: Pa, to: &mut [u8]) -> Result<(), AccessError> {
        GuestMemory::read(self, Ipa::non_secure(from.raw()), to).map_err(|_| AccessError { address: from })
    }

    fn write(&self, to: Pa, from: &[u8]) -> Result<(), AccessError> {
        GuestMemory::write(self, Ipa::non_secure(to.raw()), from).map_err(|_| AccessError { address: to })
    }

    fn zero(&self, range: &PageRange<Pa>) -> Result<(), AccessError> {
        PhysicalMemory::write(self, range.start(), &vec![0; range.size() as usize])
    }
}

/// Is a disk that does what it is asked when it likes, in any order.
pub(in super::super) struct SlowDisk {
    pub(in super::super) content: Vec<u8>,
    /// What was accepted: the tag, what it is, and the data of a write.
    pub(in super::super) accepted: Vec<(u16, Operation, Vec<u8>, bool)>,
    /// How many may be accepted at a time.
    pub(in super::super) depth: usize,
    /// What may be finished now; at first everything.
    pub(in super::super) may_finish: usize,
    /// Which of those accepted is done next.
    pub(in super::super) order: usize,
    pub(in super::super) fails: bool,
    pub(in super::super) limit: u32,
    pub(in super::super) log: Vec<Operation>,
}

impl SlowDisk {
    pub(in super::super) fn new(sectors: usize) -> Self {
        Self {
            content: (0..sectors * 512).map(|index| (index / 512 + index) as u8).collect(),
            accepted: Vec::new(),
            depth: 4,
            may_finish: usize::MAX,
            order: 0,
            fails: false,
            limit: 4096,
            log: Vec::new(),
        }
    }
}

impl BlockBackend for SlowDisk {
    fn transfer_limit(&self) -> u32 {
        self.limit
    }

    fn erase_limit(&self) -> u32 {
        16
    }

    fn submit(&mut self, tag: u16, operation: Operation, fill: impl FnOnce(&mut [u8]) -> bool) -> Submitted {
        assert!(usize::from(tag) < BLOCK_REQUESTS);
        assert!(self.accepted.iter().all(|(other, ..)| *other != tag), "tag {tag} has work already");
        if self.accepted.len() >= self.depth {
            return Submitted::Busy;
        }
        let mut data = Vec::new();
        let mut whole = true;
        if let Operation::Write { bytes, .. } = operation {
            data.resize(bytes as usize, 0);
            whole = fill(&mut data);
        }
        self.log.push(operation);
        self.accepted.push((tag, operation, data, whole));
        Submitted::Accepted
    }

    fn complete(&mut self, done: impl FnOnce(u16, Result<&[u8], IoError>)) -> bool {
        if self.accepted.is_empty() || self.may_finish == 0 {
            return false;
        }
        self.may_finish -= usize::from(self.may_finish != usize::MAX);
        let (tag, operation, data, whole) = self.accepted.remove(self.order % self.accepted.len());
        if self.fails || !whole {
            done(tag, Err(IoError));
            return true;
        }
        let at = |sector: u64, bytes: u32| {
            let start = sector as usize * 512;
            assert_ne!(bytes, 0);
            assert_eq!(bytes % 512, 0);
            start..start + bytes as usize
        };
        match operation {
            Operation::Read { sector, bytes } => {
                assert!(bytes <= self.limit);
                done(tag, Ok(&self.content[at(sector, bytes)]));
                return true;
            }
            Operation::Write { sector, bytes } => {
                assert!(bytes <= self.limit);
                self.content[at(sector, bytes)].copy_from_slice(&data);
            }
            Operation::Flush => {}
            Operation::Discard { sector, sectors } | Operation::WriteZeroes { sector, sectors, .. } => {
                assert!(sectors <= 16);
                self.content[at(sector, sectors * 512)].fill(0);
            }
        }
        done(tag, Ok(&[]));
        true
    }
}

/// Is a network that keeps what was sent, and gives what a test puts in.
#[derive(Default)]
pub(in super::super) struct Cable {
    pub(in super::super) sent: Vec<Vec<u8>>,
    pub(in super::super) coming: VecDeque<Vec<u8>>,
    /// How many frames more it takes, if that is limited.
    pub(in super::super) room: Option<usize>,
}

impl NetPort for Cable {
    fn send(&mut self, header: &[u8; 14], rest: usize, fill: impl FnOnce(&mut [u8]) -> bool) -> bool {
        assert!(rest <= 1504);
        if self.room == Some(0) {
            return false;
        }
        self.room = self.room.map(|room| room - 1);
        let mut frame = header.to_vec();
        frame.resize(14 + rest, 0);
        if fill(&mut frame[14..]) {
            self.sent.push(frame);
        }
        true
    }

    fn has_frame(&self) -> bool {
        !self.coming.is_empty()
    }

    fn receive(&mut self, take: impl FnOnce(&[u8])) {
        if let Some(frame) = self.coming.pop_front() {
            take(&frame);
        }
    }
}

/// Is somebody who reads and types.
#[derive(Default)]
pub(in super::super) struct Tty {
    pub(in super::super) shown: Vec<u8>,
    /// How much more can be shown, if that is limited.
    pub(in super::super) room: Option<usize>,
    pub(in super::super) typed: VecDeque<u8>,
}

impl ConsoleBackend for Tty {
    fn write(&mut self, bytes: &[u8]) -> usize {
        let length = bytes.len().min(self.room.unwrap_or(usize::MAX));
        self.room = self.room.map(|room| room - length);
        self.shown.extend_from_slice(&bytes[..length]);
        length
    }

    fn read(&mut self, to: &mut [u8]) -> usize {
        let length = to.len().min(self.typed.len());
        to.iter_mut().zip(self.typed.drain(..length)).for_each(|(to, from)| *to = from);
        length
    }
}

/// Counts, and says that that is random.
pub(in super::super) struct Source {
    pub(in super::super) next: u8,
    pub(in super::super) left: usize,
}

impl EntropySource for Source {
    fn fill(&mut self, to: &mut [u8]) -> usize {
        let length = to.len().min(self.left);
        self.left -= length;
        for byte in &mut to[..length] {
            self.next = self.next.wrapping_add(1);
            *byte = self.next;
        }
        length
    }
}
