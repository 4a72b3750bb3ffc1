//! Memory that partitions donate, lend and share, and access to it.

use core::error::Error;
use core::fmt;
use core::sync::atomic::AtomicU64;

use tantalum_ffa::memory::{
    Constituent, Constituents, DescriptorError, Handle, Layout, ReclaimFlags, Relinquish, Transaction,
    TransactionKind, encode_constituents,
};
use tantalum_ffa::{Call, MemoryTransaction, Status, Width};
use tantalum_types::{AddressSpace, EndpointId};

use crate::buffers::{BUFFER_SIZE, Buffers};
use crate::spmc::{CallError, Spmc, unexpected};

/// Counts the words of a page.
pub const WORDS_PER_PAGE: usize = 512;

/// Is a page of memory that others may read and write at the same time.
pub type PageWords = [AtomicU64; WORDS_PER_PAGE];

/// Gives access to memory: the partition's own, and what it has borrowed.
pub trait Memory {
    /// Returns the RX and TX buffers.
    fn buffers(&self) -> &Buffers;

    /// Returns the address of one of the pages that the partition has for others, or `None` if there is no such
    /// one. Nothing else lies in them.
    fn spare_page(&self, index: usize) -> Option<u64>;

    /// Runs `work` on the page at `address` in the address space `space`, and returns whether it did: it does not
    /// from within `work`. An access that the SPMC does not permit ends the partition.
    fn with_page(&self, address: u64, space: AddressSpace, work: &mut dyn FnMut(&PageWords)) -> bool;
}

/// Says why memory was not given or taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryError {
    /// A call failed.
    Call(CallError),
    /// What the SPMC described cannot be read, or what it is told cannot be written.
    Descriptor(DescriptorError),
    /// The partition was built without access to memory.
    NoAccess,
}

impl MemoryError {
    /// Returns what the SPMC refused with, if it did.
    pub const fn status(self) -> Option<Status> {
        match self {
            Self::Call(CallError::Refused(status)) => Some(status),
            Self::Call(CallError::Answer(_)) | Self::Descriptor(_) | Self::NoAccess => None,
        }
    }
}

impl From<CallError> for MemoryError {
    fn from(error: CallError) -> Self {
        Self::Call(error)
    }
}

impl From<DescriptorError> for MemoryError {
    fn from(error: DescriptorError) -> Self {
        Self::Descriptor(error)
    }
}

impl fmt::Display for MemoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call(error) => error.fmt(f),
            Self::Descriptor(error) => error.fmt(f),
            Self::NoAccess => f.write_str("there is no access to memory"),
        }
    }
}

impl Error for MemoryError {}

impl Spmc<'_> {
    /// Donates, lends or shares the memory in `ranges`, as `transaction` says, and returns its handle. The
    /// descriptor has to fit into one page.
    ///
    /// # Errors
    /// Passes on what the SPMC says, or says that the descriptor is too long.
    pub fn send_memory(
        &self,
        kind: TransactionKind,
        transaction: &Transaction,
        ranges: &[Constituent],
    ) -> Result<Handle, MemoryError> {
        let buffers = self.memory().ok_or(MemoryError::NoAccess)?.buffers().take(self)?;
        let mut bytes = [0; BUFFER_SIZE];
        let start = transaction.encode(Layout::of_version(self.spoken()), &mut bytes)?;
        let mut left = ranges.iter().copied();
        let written = encode_constituents(&mut left, bytes.get_mut(start..).unwrap_or_default());
        if left.len() > 0 {
            return Err(DescriptorError::BufferTooSmall.into());
        }
        let written = bytes.get(..start.saturating_add(written)).unwrap_or(&bytes);
        buffers.tx().write(written);
        let described = described(written.len())?;
        let call = match kind {
            TransactionKind::Share => Call::MemShare(described),
            TransactionKind::Lend => Call::MemLend(described),
            TransactionKind::Donate => Call::MemDonate(described),
        };
        let [low, high, ..] = self.simple(&call)?;
        Ok(Handle::from_words(low, high))
    }

    /// Asks for memory as `request` says, and returns what the SPMC says about it. Its ranges are passed to
    /// `each`, in order.
    ///
    /// # Errors
    /// Passes on what the SPMC says. If its answer cannot be read, the memory may be the partition's all the same.
    pub fn retrieve_memory(
        &self,
        request: &Transaction,
        each: &mut dyn FnMut(Constituent),
    ) -> Result<Transaction, MemoryError> {
        let buffers = self.memory().ok_or(MemoryError::NoAccess)?.buffers().take(self)?;
        let mut bytes = [0; BUFFER_SIZE];
        let layout = Layout::of_version(self.spoken());
        let length = request.encode(layout, &mut bytes)?;
        buffers.tx().write(bytes.get(..length).unwrap_or(&bytes));
        let call = Call::MemRetrieveRequest(described(length)?);
        let (total, first) = match self.call(&call)? {
            Call::MemRetrieveResponse { total_length, fragment_length } => (total_length, fragment_length),
            other => return Err(unexpected(&other.encode()).into()),
        };
        buffers.rx().read(&mut bytes);
        self.release_rx()?;
        let decoded = Transaction::decode(layout, fragment(&bytes, first)?)?;
        for range in Constituents::new(decoded.constituents)? {
            each(range?);
        }
        let transaction = decoded.transaction;
        let mut offset = first;
        while offset < total {
            let call =
                Call::MemFragRx { handle: transaction.handle.raw(), offset, endpoint: EndpointId::new(0) };
            let length = match self.call(&call)? {
                Call::MemFragTx { length, .. } if length > 0 => length,
                other => return Err(unexpected(&other.encode()).into()),
            };
            buffers.rx().read(&mut bytes);
            self.release_rx()?;
            for range in Constituents::new(fragment(&bytes, length)?)? {
                each(range?);
            }
            offset = offset.checked_add(length).ok_or(DescriptorError::TooLong)?;
        }
        Ok(transaction)
    }

    /// Gives borrowed memory back.
    ///
    /// # Errors
    /// Passes on what the SPMC says.
    pub fn relinquish_memory(&self, relinquish: &Relinquish) -> Result<(), MemoryError> {
        let buffers = self.memory().ok_or(MemoryError::NoAccess)?.buffers().take(self)?;
        let mut bytes = [0; 64];
        let length = relinquish.encode(&mut bytes)?;
        buffers.tx().write(bytes.get(..length).unwrap_or(&bytes));
        self.simple(&Call::MemRelinquish)?;
        Ok(())
    }

    /// Takes lent or shared memory back.
    ///
    /// # Errors
    /// Passes on what the SPMC says.
    pub fn reclaim_memory(&self, handle: Handle, flags: ReclaimFlags) -> Result<(), MemoryError> {
        self.simple(&Call::MemReclaim { handle: handle.raw(), flags: flags.bits() })?;
        Ok(())
    }
}

/// Describes a descriptor of `length` bytes that is whole in the TX buffer.
fn described(length: usize) -> Result<MemoryTransaction, DescriptorError> {
    let length = u32::try_from(length).map_err(|_| DescriptorError::TooLong)?;
    Ok(MemoryTransaction {
        width: Width::Bits64,
        total_length: length,
        fragment_length: length,
        address: 0,
        page_count: 0,
    })
}

fn fragment(bytes: &[u8], length: u32) -> Result<&[u8], DescriptorError> {
    let length = usize::try_from(length).map_err(|_| DescriptorError::TooLong)?;
    bytes.get(..length).ok_or(DescriptorError::TooLong)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spmc::Conduit;
    use std::cell::RefCell;
    use std::collections::VecDeque;
    use tantalum_ffa::answer;
    use tantalum_ffa::memory::{
        Composite, List, MemoryAttributes, Permissions, Receiver, RelinquishFlags, TransactionFlags,
    };
    use tantalum_types::CallRegisters;

    const HANDLE: Handle = Handle::new(0x12_3456_789a);
    const LAYOUT: Layout = Layout::V1_1;

    /// Answers each call as it was told to, after writing the RX buffer, and keeps what was in the TX buffer.
    struct Fake {
        buffers: Buffers,
        answers: RefCell<VecDeque<(CallRegisters, Vec<u8>)>>,
        calls: RefCell<Vec<(Call, Vec<u8>)>>,
    }

    impl Fake {
        fn new(answers: impl IntoIterator<Item = (CallRegisters, Vec<u8>)>) -> Self {
            // The buffers are mapped first.
            let answers = [(answer::success(), Vec::new())].into_iter().chain(answers).collect();
            Self { buffers: Buffers::new(), answers: RefCell::new(answers), calls: RefCell::default() }
        }

        fn made(&self) -> Vec<(Call, Vec<u8>)> {
            assert!(self.answers.borrow().is_empty(), "fewer calls than answers");
            let mut calls = self.calls.borrow().clone();
            let (map, _) = calls.remove(0);
            assert!(
                matches!(map, Call::RxtxMap { page_count: 1, tx, rx, .. } if tx % 4096 == 0 && rx % 4096 == 0)
            );
            calls
        }
    }

    impl Conduit for Fake {
        fn call(&self, registers: &CallRegisters) -> CallRegisters {
            let mut tx = vec![0; BUFFER_SIZE];
            self.buffers.tx().read(&mut tx);
            self.calls.borrow_mut().push((Call::decode(registers).unwrap(), tx));
            let (answer, rx) = self.answers.borrow_mut().pop_front().expect("no answer is prepared");
            self.buffers.rx().write(&rx);
            answer
        }

        fn memory(&self) -> Option<&dyn Memory> {
            Some(self)
        }
    }

    impl Memory for Fake {
        fn buffers(&self) -> &Buffers {
            &self.buffers
        }

        fn spare_page(&self, _index: usize) -> Option<u64> {
            None
        }

        fn with_page(&self, _: u64, _: AddressSpace, _: &mut dyn FnMut(&PageWords)) -> bool {
            false
        }
    }

    fn ranges(count: u32) -> Vec<Constituent> {
        (0..count).map(|n| Constituent { address: u64::from(n) << 13, page_count: 1 }).collect()
    }

    fn transaction(count: Option<u32>) -> Transaction {
        Transaction {
            sender: EndpointId::new(0x8003),
            attributes: MemoryAttributes::NORMAL,
            flags: TransactionFlags::empty(),
            handle: HANDLE,
            tag: 9,
            receivers: List::of_one(Receiver::new(EndpointId::new(0x8001), Permissions::READ_WRITE)),
            composite: count.map(|range_count| Composite { total_pages: range_count, range_count }),
        }
    }

    /// Answers with a descriptor of `count` ranges, `first` of them in the first fragment and the others in
    /// fragments of 256.
    fn response(count: u32, first: u32) -> Vec<(CallRegisters, Vec<u8>)> {
        let transaction = transaction(Some(count));
        let total_length = transaction.total_length(LAYOUT).unwrap();
        let mut bytes = vec![0; 1 << 16];
        let head = transaction.encode(LAYOUT, &mut bytes).unwrap();
        encode_constituents(&mut ranges(count).into_iter(), &mut bytes[head..]);
        let mut at = head + 16 * usize::try_from(first).unwrap();
        let fragment_length = u32::try_from(at).unwrap();
        let mut answers = vec![(
            Call::MemRetrieveResponse { total_length, fragment_length }.encode(),
            bytes[..at].to_vec(),
        )];
        while at < usize::try_from(total_length).unwrap() {
            let length = 4096.min(usize::try_from(total_length).unwrap() - at);
            let call = Call::MemFragTx {
                handle: HANDLE.raw(),
                length: u32::try_from(length).unwrap(),
                endpoint: EndpointId::new(0),
            };
            answers.push((answer::success(), Vec::new()));
            answers.push((call.encode(), bytes[at..at + length].to_vec()));
            at += length;
        }
        answers.push((answer::success(), Vec::new()));
        answers
    }

    #[test]
    fn what_is_sent_is_described_in_the_tx_buffer() {
        let [low, high] = HANDLE.to_words();
        for kind in TransactionKind::ALL {
            let fake = Fake::new([(answer::success32([low, high, 0, 0, 0, 0]), Vec::new())]);
            let sent = Transaction { handle: Handle::NONE, ..transaction(Some(3)) };
            assert_eq!(Spmc::new(&fake).send_memory(kind, &sent, &ranges(3)), Ok(HANDLE));
            let made = fake.made();
            let [(call, tx)] = made.as_slice() else { panic!("{made:?}") };
            let described = match (kind, call) {
                (TransactionKind::Share, Call::MemShare(described))
                | (TransactionKind::Lend, Call::MemLend(described))
                | (TransactionKind::Donate, Call::MemDonate(described)) => described,
                _ => panic!("{call:?}"),
            };
            assert_eq!((described.total_length, described.fragment_length), (128, 128));
            let decoded = Transaction::decode(LAYOUT, &tx[..128]).unwrap();
            assert_eq!(decoded.transaction, sent);
            let read: Result<Vec<_>, _> = Constituents::new(decoded.constituents).unwrap().collect();
            assert_eq!(read, Ok(ranges(3)));
        }
    }

    #[test]
    fn what_does_not_fit_is_not_sent() {
        let fake = Fake::new([]);
        let sent =
            Spmc::new(&fake).send_memory(TransactionKind::Share, &transaction(Some(300)), &ranges(300));
        assert_eq!(sent, Err(DescriptorError::BufferTooSmall.into()));
        assert_eq!(fake.made(), []);
    }

    #[test]
    fn what_is_retrieved_may_come_in_fragments() {
        for (count, first) in [(1, 1), (251, 251), (252, 251), (640, 251), (5, 0), (600, 1)] {
            let fake = Fake::new(response(count, first));
            let mut read = Vec::new();
            let answer = Spmc::new(&fake).retrieve_memory(&transaction(None), &mut |range| read.push(range));
            assert_eq!(answer, Ok(transaction(Some(count))));
            assert_eq!(read, ranges(count));
            // The buffer is given back after each fragment, and each asks for what was not there yet.
            let mut told = 80 + 16 * first;
            let made = fake.made();
            let (request, tx) = &made[0];
            assert!(matches!(request, Call::MemRetrieveRequest(request) if request.total_length == 64));
            assert_eq!(Transaction::decode(LAYOUT, &tx[..64]).unwrap().transaction, transaction(None));
            for (index, (call, _)) in made.iter().enumerate().skip(1) {
                if index % 2 == 1 {
                    assert!(matches!(call, Call::RxRelease { .. }));
                } else {
                    let endpoint = EndpointId::new(0);
                    assert_eq!(*call, Call::MemFragRx { handle: HANDLE.raw(), offset: told, endpoint });
                    told += 4096;
                }
            }
        }
    }

    #[test]
    fn an_answer_that_makes_no_sense_is_an_error() {
        // Longer than the buffer; no descriptor; a fragment of nothing, which would never end.
        let long = Call::MemRetrieveResponse { total_length: 5000, fragment_length: 5000 }.encode();
        let none = Call::MemRetrieveResponse { total_length: 64, fragment_length: 64 }.encode();
        let mut empty = response(2, 1);
        empty[2].0 =
            Call::MemFragTx { handle: HANDLE.raw(), length: 0, endpoint: EndpointId::new(0) }.encode();
        empty.truncate(3);
        for answers in [
            vec![(long, Vec::new()), (answer::success(), Vec::new())],
            vec![(none, vec![0xff; 64]), (answer::success(), Vec::new())],
            empty,
        ] {
            let fake = Fake::new(answers);
            let answer = Spmc::new(&fake).retrieve_memory(&transaction(None), &mut |_| ());
            assert!(answer.is_err());
            fake.made();
        }
    }

    #[test]
    fn refusals_are_passed_on_and_the_buffers_are_free_again() {
        let refused = || (answer::error(Status::Denied), Vec::new());
        let fake = Fake::new([refused(), refused(), refused(), refused()]);
        let spmc = Spmc::new(&fake);
        let denied = MemoryError::Call(CallError::Refused(Status::Denied));
        assert_eq!(denied.status(), Some(Status::Denied));
        let own = EndpointId::new(0x8001);
        let relinquish =
            Relinquish { handle: HANDLE, flags: RelinquishFlags::ZERO_MEMORY, endpoints: List::of_one(own) };
        assert_eq!(spmc.retrieve_memory(&transaction(None), &mut |_| ()), Err(denied));
        let sent = spmc.send_memory(TransactionKind::Lend, &transaction(Some(1)), &ranges(1));
        assert_eq!(sent, Err(denied));
        assert_eq!(spmc.relinquish_memory(&relinquish), Err(denied));
        assert_eq!(spmc.reclaim_memory(HANDLE, ReclaimFlags::ZERO_MEMORY), Err(denied));
        let made = fake.made();
        let (call, tx) = &made[2];
        assert_eq!(*call, Call::MemRelinquish);
        assert_eq!(Relinquish::decode(tx), Ok(relinquish));
        assert_eq!(made[3].0, Call::MemReclaim { handle: HANDLE.raw(), flags: 1 });
    }

    #[test]
    fn without_memory_nothing_is_asked() {
        struct Bare;
        impl Conduit for Bare {
            fn call(&self, _: &CallRegisters) -> CallRegisters {
                panic!("a call");
            }
        }
        let spmc = Spmc::new(&Bare);
        assert_eq!(spmc.retrieve_memory(&transaction(None), &mut |_| ()), Err(MemoryError::NoAccess));
    }
}
