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

/// Lays descriptors out as the SDK's version of FF-A does.
const LAYOUT: Layout = Layout::V1_1;

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
        let start = transaction.encode(LAYOUT, &mut bytes)?;
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
        let length = request.encode(LAYOUT, &mut bytes)?;
        buffers.tx().write(bytes.get(..length).unwrap_or(&bytes));
        let call = Call::MemRetrieveRequest(described(length)?);
        let (total, first) = match self.call(&call)? {
            Call::MemRetrieveResponse { total_length, fragment_length } => (total_length, fragment_length),
            other => return Err(unexpected(&other.encode()).into()),
        };
        buffers.rx().read(&mut bytes);
        self.release_rx()?;
        let decoded = Transaction::decode(LAYOUT, fragment(&bytes, first)?)?;
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
