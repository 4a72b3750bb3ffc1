//! Commands about memory: a partition donates, lends, shares, retrieves, relinquishes, reclaims and looks at it as it
//! is told to.
//!
//! Memory is named by its handle, or by [`OWN`] for the spare pages of the partition itself. Places in it are
//! counted from its beginning, whatever ranges it is made of. An answer has 0 or an error code in x4: the SPMC's own.

use core::sync::atomic::Ordering;

use spin::Mutex;
use tantalum_ffa::memory::{
    Composite, Constituent, Handle, List, MemoryAttributes, Permissions, Receiver, ReclaimFlags, Relinquish,
    RelinquishFlags, Transaction, TransactionFlags, TransactionKind,
};
use tantalum_sdk::{CallError, MemoryError, PageWords, Spmc, WORDS_PER_PAGE};
use tantalum_types::{AddressSpace, EndpointId};

use crate::{low, result};

/// Stands for a handle where the partition's own spare pages are meant.
pub const OWN: u64 = u64::MAX;

/// Command words, in x3 of a request.
pub mod command {
    /// Retrieves the memory x4. x5: bits 15:0 the sender, bits 31:16 the attributes. x6: the flags. x7: bits 7:0 the
    /// permissions asked for; another receiver in bits 31:16 with its permissions in bits 15:8, or zero; bit 32: that
    /// one comes first; bits 63:48 the tag.
    /// Answer: x5 bits 31:0 pages, bits 63:32 ranges. x6: bits 15:0 the attributes, bits 23:16 the permissions of the
    /// first record, bits 31:24 the number of records. x7: bits 31:0 the flags, bits 63:32 of the tag its low half.
    pub const RETRIEVE: u64 = 0x5441_0100;
    /// Gives the memory x4 back, with the flags x5.
    pub const RELINQUISH: u64 = 0x5441_0101;
    /// Reads the word at byte x5 of the memory x4: x5.
    pub const READ: u64 = 0x5441_0102;
    /// Writes x6 as the word at byte x5 of the memory x4.
    pub const WRITE: u64 = 0x5441_0103;
    /// Fills pages from x5 on, x6 of them, of the memory x4 with [`pattern`](super::pattern) of the seed x7.
    pub const FILL: u64 = 0x5441_0104;
    /// Computes the [`checksum`](super::checksum) of pages from x5 on, x6 of them, of the memory x4: x5.
    pub const CHECKSUM: u64 = 0x5441_0105;
    /// Donates, lends or shares spare pages. x4: bits 7:0 the kind (1 share, 2 lend, 3 donate), bits 15:8 the first
    /// page, bits 23:16 how many, each of them a range, bits 47:32 the attributes. x5: the receiver in bits 15:0 with
    /// its permissions in bits 31:16, the second one in bits 47:32 and 63:48, or zero. x6: the flags. x7: the tag.
    /// Answer: x5 the handle.
    pub const SEND: u64 = 0x5441_0106;
    /// Takes the memory x4 back, with the flags x5.
    pub const RECLAIM: u64 = 0x5441_0107;
    /// Reads the word at the address x4, or writes x6 there if bit 0 of x5 is set, in the Non-secure address space if
    /// bit 1 is: x5 is what was read. Where it has no access, this ends the partition.
    pub const TOUCH: u64 = 0x5441_0108;
    /// Returns the address of the spare page x4: x5.
    pub const SPARE_PAGE: u64 = 0x5441_0109;
}

/// Says that the partition does not have the memory or the place in it: a result.
pub const NOT_THERE: u64 = 0x101;

/// Says that what the SPMC described cannot be read: a result.
pub const MALFORMED: u64 = 0x102;

/// Bounds the ranges of memory that a partition keeps track of.
const MAX_RANGES: usize = 1024;

/// Bounds the number of handles that a partition keeps track of.
const MAX_SETS: usize = 2;

/// Returns the word number `index` of memory that is filled with the seed `seed`.
pub const fn pattern(seed: u64, index: u64) -> u64 {
    seed.wrapping_add(index.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// Goes on with a checksum, zero at first, by the next word.
pub const fn checksum(sum: u64, word: u64) -> u64 {
    (sum ^ word).wrapping_mul(0x0100_0000_01b3).rotate_left(7)
}

/// Remembers what was retrieved.
#[derive(Debug)]
struct Set {
    handle: Option<Handle>,
    space: AddressSpace,
    count: usize,
    ranges: [Constituent; MAX_RANGES],
}

impl Set {
    const EMPTY: Self = Self {
        handle: None,
        space: AddressSpace::Secure,
        count: 0,
        ranges: [Constituent { address: 0, page_count: 0 }; MAX_RANGES],
    };

    fn page(&self, mut page: u64) -> Option<u64> {
        for range in self.ranges.get(..self.count)? {
            let pages = u64::from(range.page_count);
            match page.checked_sub(pages) {
                None => return range.address.checked_add(page.checked_mul(4096)?),
                Some(left) => page = left,
            }
        }
        None
    }
}

/// Carries the commands out.
#[derive(Debug)]
pub struct Memory {
    sets: Mutex<[Set; MAX_SETS]>,
}

impl Memory {
    /// Has retrieved nothing yet.
    pub const fn new() -> Self {
        Self { sets: Mutex::new([const { Set::EMPTY }; MAX_SETS]) }
    }

    /// Answers a command, or returns `None` if it is none of these.
    pub(crate) fn answer(
        &self,
        spmc: &Spmc<'_>,
        own: EndpointId,
        [word, arguments @ ..]: [u64; 5],
    ) -> Option<[u64; 5]> {
        let [x4, x5, x6, x7] = arguments;
        let memory = Handle::new(x4);
        let result = match word {
            command::RETRIEVE => self.retrieve(spmc, own, arguments),
            command::RELINQUISH => self.relinquish(spmc, own, memory, x5),
            command::READ => self.word(spmc, x4, x5, None),
            command::WRITE => self.word(spmc, x4, x5, Some(x6)),
            command::FILL => self.pages(spmc, x4, x5, x6, &mut |page, words| fill(page, words, x7)),
            command::CHECKSUM => {
                let mut sum = 0;
                self.pages(spmc, x4, x5, x6, &mut |_, words| {
                    for word in words {
                        sum = checksum(sum, word.load(Ordering::Relaxed));
                    }
                })
                .map(|_| [sum, 0, 0])
            }
            command::SEND => send(spmc, own, arguments),
            command::RECLAIM => {
                let flags = ReclaimFlags::from_bits_retain(low(x5));
                spmc.reclaim_memory(memory, flags).map(|()| [0; 3]).map_err(Failure::from)
            }
            command::TOUCH => touch(spmc, x4, x5, x6),
            command::SPARE_PAGE => spare_page(spmc, x4).map(|address| [address, 0, 0]),
            _ => return None,
        };
        Some(match result {
            Ok([x5, x6, x7]) => [result::OK, 0, x5, x6, x7],
            Err(failure) => failure.answer(),
        })
    }

    fn retrieve(
        &self,
        spmc: &Spmc<'_>,
        own: EndpointId,
        [handle, x5, x6, x7]: [u64; 4],
    ) -> Result<[u64; 3], Failure> {
        let handle = Handle::new(handle);
        let mut sets = self.sets.lock();
        let set = sets.iter_mut().find(|set| set.handle.is_none()).ok_or(Failure::NotThere)?;
        let [s0, s1, a0, a1, ..] = x5.to_le_bytes();
        let [own_permissions, other_permissions, o0, o1, first, _, t0, t1] = x7.to_le_bytes();
        let mut receivers = List::of_one(receiver(own, own_permissions)?);
        let other = EndpointId::new(u16::from_le_bytes([o0, o1]));
        if other.raw() != 0 {
            let own = receiver(own, own_permissions)?;
            let other = receiver(other, other_permissions)?;
            let both = if first == 0 { [own, other] } else { [other, own] };
            receivers = List::from_slice(&both).ok_or(Failure::NotThere)?;
        }
        let request = Transaction {
            sender: EndpointId::new(u16::from_le_bytes([s0, s1])),
            attributes: MemoryAttributes::decode(u16::from_le_bytes([a0, a1]))?,
            flags: TransactionFlags::from_bits_retain(low(x6)),
            handle,
            tag: u16::from_le_bytes([t0, t1]).into(),
            receivers,
            composite: None,
        };
        set.count = 0;
        let Set { count, ranges, .. } = &mut *set;
        let mut fits = true;
        let answer = spmc.retrieve_memory(&request, &mut |range| match ranges.get_mut(*count) {
            Some(place) => {
                *place = range;
                *count = count.wrapping_add(1);
            }
            None => fits = false,
        })?;
        set.handle = Some(handle);
        set.space = if answer.attributes.non_secure { AddressSpace::NonSecure } else { AddressSpace::Secure };
        let composite =
            answer.composite.filter(|_| fits && answer.handle == handle).ok_or(Failure::Malformed)?;
        let permissions = answer.receivers.first().map_or(0, |receiver| receiver.permissions.encode());
        let receivers = u64::try_from(answer.receivers.len()).unwrap_or(u64::MAX);
        Ok([
            u64::from(composite.range_count) << 32 | u64::from(composite.total_pages),
            receivers << 24 | u64::from(permissions) << 16 | u64::from(answer.attributes.encode()),
            (answer.tag & 0xffff_ffff) << 32 | u64::from(answer.flags.bits()),
        ])
    }

    fn relinquish(
        &self,
        spmc: &Spmc<'_>,
        own: EndpointId,
        handle: Handle,
        flags: u64,
    ) -> Result<[u64; 3], Failure> {
        let flags = RelinquishFlags::from_bits_retain(low(flags));
        spmc.relinquish_memory(&Relinquish { handle, flags, endpoints: List::of_one(own) })?;
        for set in self.sets.lock().iter_mut().filter(|set| set.handle == Some(handle)) {
            set.handle = None;
        }
        Ok([0; 3])
    }

    /// Returns where a page of the memory is.
    fn find(&self, spmc: &Spmc<'_>, memory: u64, page: u64) -> Result<(u64, AddressSpace), Failure> {
        if memory == OWN {
            return Ok((spare_page(spmc, page)?, AddressSpace::Secure));
        }
        let sets = self.sets.lock();
        let set = sets.iter().find(|set| set.handle == Some(Handle::new(memory)));
        let set = set.ok_or(Failure::NotThere)?;
        Ok((set.page(page).ok_or(Failure::NotThere)?, set.space))
    }

    /// Reads a word and writes it if there is something to write.
    fn word(&self, spmc: &Spmc<'_>, memory: u64, at: u64, value: Option<u64>) -> Result<[u64; 3], Failure> {
        let (address, space) = self.find(spmc, memory, at >> 12)?;
        access(spmc, address | at & 0xfff, space, value)
    }

    fn pages(
        &self,
        spmc: &Spmc<'_>,
        memory: u64,
        first: u64,
        count: u64,
        work: &mut dyn FnMut(u64, &PageWords),
    ) -> Result<[u64; 3], Failure> {
        for page in first..first.saturating_add(count) {
            let (address, space) = self.find(spmc, memory, page)?;
            with_page(spmc, address, space, &mut |words| work(page, words))?;
        }
        Ok([0; 3])
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

/// Says why a command was not carried out.
enum Failure {
    NotThere,
    Malformed,
    Memory(MemoryError),
}

impl Failure {
    fn answer(self) -> [u64; 5] {
        match self {
            Self::NotThere | Self::Memory(MemoryError::NoAccess) => [NOT_THERE, 0, 0, 0, 0],
            Self::Malformed | Self::Memory(MemoryError::Descriptor(_)) => [MALFORMED, 0, 0, 0, 0],
            Self::Memory(MemoryError::Call(CallError::Refused(status))) => {
                [result::OK, status.to_raw().into(), 0, 0, 0]
            }
            Self::Memory(MemoryError::Call(CallError::Answer(function))) => {
                [result::UNEXPECTED, function.into(), 0, 0, 0]
            }
        }
    }
}

impl<E: Into<MemoryError>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Memory(error.into())
    }
}

fn receiver(endpoint: EndpointId, permissions: u8) -> Result<Receiver, Failure> {
    Ok(Receiver::new(endpoint, Permissions::decode(permissions)?))
}

fn send(spmc: &Spmc<'_>, own: EndpointId, [x4, x5, x6, tag]: [u64; 4]) -> Result<[u64; 3], Failure> {
    let [kind, first, count, _, a0, a1, ..] = x4.to_le_bytes();
    let kind = match kind {
        1 => TransactionKind::Share,
        2 => TransactionKind::Lend,
        3 => TransactionKind::Donate,
        _ => return Err(Failure::NotThere),
    };
    let [e0, e1, p0, _, f0, f1, p1, _] = x5.to_le_bytes();
    let mut receivers = List::of_one(receiver(EndpointId::new(u16::from_le_bytes([e0, e1])), p0)?);
    let second = EndpointId::new(u16::from_le_bytes([f0, f1]));
    if second.raw() != 0 {
        receivers.push(receiver(second, p1)?).ok_or(Failure::NotThere)?;
    }
    let mut ranges = [Constituent { address: 0, page_count: 1 }; 4];
    let ranges = ranges.get_mut(..count.into()).ok_or(Failure::NotThere)?;
    for (range, page) in ranges.iter_mut().zip(u64::from(first)..) {
        range.address = spare_page(spmc, page)?;
    }
    let transaction = Transaction {
        sender: own,
        attributes: MemoryAttributes::decode(u16::from_le_bytes([a0, a1]))?,
        flags: TransactionFlags::from_bits_retain(low(x6)),
        handle: Handle::NONE,
        tag,
        receivers,
        composite: Some(Composite { total_pages: count.into(), range_count: count.into() }),
    };
    Ok([spmc.send_memory(kind, &transaction, ranges)?.raw(), 0, 0])
}

fn touch(spmc: &Spmc<'_>, address: u64, how: u64, value: u64) -> Result<[u64; 3], Failure> {
    let space = if how & 2 != 0 { AddressSpace::NonSecure } else { AddressSpace::Secure };
    access(spmc, address, space, (how & 1 != 0).then_some(value))
}

fn spare_page(spmc: &Spmc<'_>, page: u64) -> Result<u64, Failure> {
    let memory = spmc.memory().ok_or(MemoryError::NoAccess)?;
    let page = usize::try_from(page).map_err(|_| Failure::NotThere)?;
    memory.spare_page(page).ok_or(Failure::NotThere)
}

fn access(
    spmc: &Spmc<'_>,
    address: u64,
    space: AddressSpace,
    value: Option<u64>,
) -> Result<[u64; 3], Failure> {
    let index = usize::try_from(address >> 3 & 0x1ff).map_err(|_| Failure::NotThere)?;
    let mut read = 0;
    with_page(spmc, address & !0xfff, space, &mut |words| {
        let Some(word) = words.get(index) else { return };
        match value {
            Some(value) => word.store(value, Ordering::Relaxed),
            None => read = word.load(Ordering::Relaxed),
        }
    })?;
    Ok([read, 0, 0])
}

fn with_page(
    spmc: &Spmc<'_>,
    address: u64,
    space: AddressSpace,
    work: &mut dyn FnMut(&PageWords),
) -> Result<(), Failure> {
    let memory = spmc.memory().ok_or(MemoryError::NoAccess)?;
    if memory.with_page(address, space, work) { Ok(()) } else { Err(Failure::NotThere) }
}

fn fill(page: u64, words: &PageWords, seed: u64) {
    let first = page.wrapping_mul(WORDS_PER_PAGE as u64);
    for (index, word) in (first..).zip(words) {
        word.store(pattern(seed, index), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::collections::{BTreeMap, VecDeque};
    use tantalum_ffa::memory::{DataAccess, Layout, encode_constituents};
    use tantalum_ffa::{Call, Status, answer};
    use tantalum_sdk::{BUFFER_SIZE, Buffers, Conduit, Memory as Access};
    use tantalum_types::CallRegisters;

    const OWN_ID: EndpointId = EndpointId::new(0x8001);
    const LENDER: EndpointId = EndpointId::new(0x8003);
    const HANDLE: u64 = 0x77;

    /// Has two spare pages at 0x1000 and 0x2000, and every Non-secure page; answers calls as it was told to.
    #[derive(Default)]
    struct Fake {
        buffers: Buffers,
        answers: RefCell<VecDeque<CallRegisters>>,
        calls: RefCell<Vec<Call>>,
        pages: RefCell<BTreeMap<(u64, bool), &'static PageWords>>,
    }

    impl Conduit for Fake {
        fn call(&self, registers: &CallRegisters) -> CallRegisters {
            match Call::decode(registers).unwrap() {
                Call::RxtxMap { .. } | Call::RxRelease { .. } => answer::success(),
                call => {
                    self.calls.borrow_mut().push(call);
                    self.answers.borrow_mut().pop_front().expect("no answer is prepared")
                }
            }
        }

        fn memory(&self) -> Option<&dyn Access> {
            Some(self)
        }
    }

    impl Access for Fake {
        fn buffers(&self) -> &Buffers {
            &self.buffers
        }

        fn spare_page(&self, index: usize) -> Option<u64> {
            [0x1000, 0x2000].get(index).copied()
        }

        fn with_page(&self, address: u64, space: AddressSpace, work: &mut dyn FnMut(&PageWords)) -> bool {
            assert_eq!(address % 4096, 0);
            let key = (address, space == AddressSpace::NonSecure);
            let page = *self.pages.borrow_mut().entry(key).or_insert_with(|| {
                Box::leak(Box::new([const { core::sync::atomic::AtomicU64::new(0) }; WORDS_PER_PAGE]))
            });
            work(page);
            true
        }
    }

    impl Fake {
        fn answering(answers: impl IntoIterator<Item = CallRegisters>) -> Self {
            Self { answers: RefCell::new(answers.into_iter().collect()), ..Self::default() }
        }

        fn ask(&self, memory: &Memory, words: [u64; 5]) -> [u64; 5] {
            memory.answer(&Spmc::new(self), OWN_ID, words).unwrap()
        }

        fn tx(&self) -> [u8; BUFFER_SIZE] {
            let mut bytes = [0; BUFFER_SIZE];
            self.buffers.take(&Spmc::new(self)).unwrap().tx().read(&mut bytes);
            bytes
        }

        /// Puts a description of borrowed Non-secure memory into the RX buffer: 2 pages at 0x9000, 1 at 0x5000.
        fn describe(&self) -> CallRegisters {
            let transaction = Transaction {
                sender: LENDER,
                attributes: MemoryAttributes { non_secure: true, ..MemoryAttributes::NORMAL },
                flags: TransactionKind::Share.flags(),
                handle: Handle::new(HANDLE),
                tag: 0x1234_5678_9abc_def0,
                receivers: List::of_one(Receiver::new(OWN_ID, Permissions::READ_WRITE)),
                composite: Some(Composite { total_pages: 3, range_count: 2 }),
            };
            let mut bytes = [0; BUFFER_SIZE];
            let start = transaction.encode(Layout::V1_1, &mut bytes).unwrap();
            let ranges = [(0x9000, 2), (0x5000, 1)];
            let mut ranges =
                ranges.map(|(address, page_count)| Constituent { address, page_count }).into_iter();
            let length = start + encode_constituents(&mut ranges, &mut bytes[start..]);
            // The fake writes what the SPMC would; to this side the buffer is only read.
            let buffers = self.buffers.take(&Spmc::new(self)).unwrap();
            buffers.rx().write(&bytes[..length]);
            let length = u32::try_from(length).unwrap();
            Call::MemRetrieveResponse { total_length: length, fragment_length: length }.encode()
        }
    }

    const fn code(status: Status) -> u64 {
        status.to_raw() as u64
    }

    #[test]
    fn words_that_are_no_commands_are_left_to_others() {
        let fake = Fake::default();
        for word in [0, 0x5441_00ff, 0x5441_010a, 0x5441_0200] {
            assert_eq!(Memory::new().answer(&Spmc::new(&fake), OWN_ID, [word, 1, 2, 3, 4]), None);
        }
    }

    #[test]
    fn own_pages_are_read_and_written() {
        let (fake, memory) = (Fake::default(), Memory::new());
        assert_eq!(fake.ask(&memory, [command::SPARE_PAGE, 1, 0, 0, 0]), [0, 0, 0x2000, 0, 0]);
        assert_eq!(fake.ask(&memory, [command::SPARE_PAGE, 2, 0, 0, 0]), [NOT_THERE, 0, 0, 0, 0]);
        assert_eq!(fake.ask(&memory, [command::FILL, OWN, 0, 2, 7]), [0; 5]);
        assert_eq!(fake.ask(&memory, [command::READ, OWN, 4096 + 24, 0, 0]), [0, 0, pattern(7, 515), 0, 0]);
        assert_eq!(fake.ask(&memory, [command::WRITE, OWN, 4096 + 24, 99, 0]), [0; 5]);
        assert_eq!(fake.ask(&memory, [command::TOUCH, 0x2018, 0, 0, 0]), [0, 0, 99, 0, 0]);
        assert_eq!(fake.ask(&memory, [command::TOUCH, 0x2018, 1, 98, 0]), [0; 5]);
        assert_eq!(fake.ask(&memory, [command::TOUCH, 0x2018, 2, 0, 0]), [0; 5], "in the other space");
        let words = (0..512).map(|index| if index == 3 { 98 } else { pattern(7, 512 + index) });
        let sum = words.fold(0, checksum);
        assert_eq!(fake.ask(&memory, [command::CHECKSUM, OWN, 1, 1, 0]), [0, 0, sum, 0, 0]);
        assert_eq!(fake.ask(&memory, [command::CHECKSUM, OWN, 1, 2, 0]), [NOT_THERE, 0, 0, 0, 0]);
        assert_eq!(fake.ask(&memory, [command::READ, HANDLE, 0, 0, 0]), [NOT_THERE, 0, 0, 0, 0]);
    }

    #[test]
    fn borrowed_memory_is_in_its_own_order_and_space() {
        let fake = Fake::default();
        let memory = Memory::new();
        let response = fake.describe();
        fake.answers.borrow_mut().extend([response, answer::success()]);
        let wish = 0x0042_0000_0000_0000 | u64::from(Permissions::READ_WRITE.encode());
        let retrieve = [command::RETRIEVE, HANDLE, 0x2f << 16 | 0x8003, 8, wish];
        let told = [0, 0, 2 << 32 | 3, 1 << 24 | 2 << 16 | 0x6f, 0x9abc_def0 << 32 | 8];
        assert_eq!(fake.ask(&memory, retrieve), told);
        let tx = fake.tx();
        let request = Transaction::decode(Layout::V1_1, &tx[..64]).unwrap().transaction;
        assert_eq!((request.sender, request.tag, request.handle.raw()), (LENDER, 0x42, HANDLE));
        assert_eq!(request.flags, TransactionKind::Share.flags());
        assert_eq!(request.receivers.as_slice(), [Receiver::new(OWN_ID, Permissions::READ_WRITE)]);

        // The third page is the one at 0x5000.
        assert_eq!(fake.ask(&memory, [command::WRITE, HANDLE, 2 * 4096 + 8, 5, 0]), [0; 5]);
        assert_eq!(fake.ask(&memory, [command::TOUCH, 0x5008, 2, 0, 0]), [0, 0, 5, 0, 0]);
        assert_eq!(fake.ask(&memory, [command::TOUCH, 0x5008, 0, 0, 0]), [0; 5]);
        assert_eq!(fake.ask(&memory, [command::READ, HANDLE, 3 * 4096, 0, 0]), [NOT_THERE, 0, 0, 0, 0]);

        assert_eq!(fake.ask(&memory, [command::RELINQUISH, HANDLE, 1, 0, 0]), [0; 5]);
        let relinquished = Relinquish::decode(&fake.tx()).unwrap();
        assert_eq!(relinquished.endpoints.as_slice(), [OWN_ID]);
        assert_eq!(relinquished.flags, RelinquishFlags::ZERO_MEMORY);
        assert_eq!(fake.ask(&memory, [command::READ, HANDLE, 0, 0, 0]), [NOT_THERE, 0, 0, 0, 0]);
    }

    #[test]
    fn another_borrower_is_named_where_it_belongs() {
        for (first, ids) in [(0, [0x8001, 0x8002]), (1, [0x8002, 0x8001])] {
            let fake = Fake::answering([answer::error(Status::Denied)]);
            let wish = first << 32 | 0x8002 << 16 | 1 << 8 | 2;
            let retrieve = [command::RETRIEVE, HANDLE, 0x2f << 16 | 0x8003, 8, wish];
            assert_eq!(fake.ask(&Memory::new(), retrieve), [0, code(Status::Denied), 0, 0, 0]);
            let tx = fake.tx();
            let request = Transaction::decode(Layout::V1_1, &tx[..80]).unwrap().transaction;
            assert!(request.receivers.iter().map(|receiver| receiver.endpoint.raw()).eq(ids));
            let other = request.receivers.iter().find(|receiver| receiver.endpoint.raw() == 0x8002).unwrap();
            assert_eq!(other.permissions.data, DataAccess::ReadOnly);
        }
    }

    #[test]
    fn pages_are_given_as_they_were_asked_for() {
        for (number, kind) in (1..).zip(TransactionKind::ALL) {
            let fake =
                Fake::answering([answer::success32([0x77, 1, 0, 0, 0, 0]), answer::error(Status::Busy)]);
            let memory = Memory::new();
            let pages = 0x2f << 32 | 2 << 16 | number;
            let to = 1 << 48 | 0x8003 << 32 | 2 << 16 | 0x8002;
            assert_eq!(fake.ask(&memory, [command::SEND, pages, to, 1, 9]), [0, 0, 0x1_0000_0077, 0, 0]);
            let tx = fake.tx();
            let sent = Transaction::decode(Layout::V1_1, &tx[..128]).unwrap();
            let receivers: Vec<_> =
                sent.transaction.receivers.iter().map(|to| (to.endpoint.raw(), to.permissions)).collect();
            assert_eq!(receivers, [(0x8002, Permissions::READ_WRITE), (0x8003, Permissions::READ_ONLY)]);
            assert_eq!((sent.transaction.tag, sent.transaction.sender), (9, OWN_ID));
            let right = matches!(
                (kind, fake.calls.borrow()[0]),
                (TransactionKind::Share, Call::MemShare(_))
                    | (TransactionKind::Lend, Call::MemLend(_))
                    | (TransactionKind::Donate, Call::MemDonate(_))
            );
            assert!(right, "{kind:?}");
            assert_eq!(fake.ask(&memory, [command::RECLAIM, 5, 1, 0, 0]), [0, code(Status::Busy), 0, 0, 0]);
            assert_eq!(fake.calls.borrow()[1], Call::MemReclaim { handle: 5, flags: 1 });
            // Not a kind, and not that many pages.
            for pages in [4, 1 | 3 << 16, 1 | 2 << 8 | 1 << 16] {
                assert_eq!(fake.ask(&memory, [command::SEND, pages, to, 0, 0]), [NOT_THERE, 0, 0, 0, 0]);
            }
        }
    }
}
