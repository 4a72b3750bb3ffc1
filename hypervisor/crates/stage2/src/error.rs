//! Why a stage-2 table cannot be changed as asked.

use core::error::Error;
use core::fmt;

/// Says why a table page cannot be had. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolError {
    /// The owner has as many table pages as it may have.
    QuotaUsedUp,
    /// Every table page is in use.
    Empty,
}

impl fmt::Display for PoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::QuotaUsedUp => "the partition's quota of translation tables is used up",
            Self::Empty => "every translation table page is in use",
        })
    }
}

impl Error for PoolError {}

/// Says why an operation on a stage-2 table is refused. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage2Error {
    /// There are not enough table pages for it.
    Pool(PoolError),
    /// An address lies in the other address space than the table's.
    WrongSpace,
    /// The range reaches beyond the 39 bits of intermediate physical address.
    OutOfRange,
    /// The intermediate and the physical range differ in size.
    SizeMismatch,
    /// Execution is asked for from Non-secure or from device memory.
    NeverExecutable,
    /// Part of the range is mapped already.
    MappedAlready,
    /// Part of the range is not mapped.
    NotMapped,
    /// The machine has fewer table pages than the pool counts, or a descriptor names a page that is none.
    TableMemory,
}

impl fmt::Display for Stage2Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pool(error) => fmt::Display::fmt(error, f),
            Self::WrongSpace => f.write_str("the address lies in the other address space"),
            Self::OutOfRange => f.write_str("the range ends beyond the 39-bit address space of a partition"),
            Self::SizeMismatch => f.write_str("the two ranges differ in size"),
            Self::NeverExecutable => f.write_str("non-secure and device memory is never executable"),
            Self::MappedAlready => f.write_str("part of the range is mapped already"),
            Self::NotMapped => f.write_str("part of the range is not mapped"),
            Self::TableMemory => f.write_str("the memory for translation tables is not as it should be"),
        }
    }
}

impl Error for Stage2Error {}

impl From<PoolError> for Stage2Error {
    fn from(error: PoolError) -> Self {
        Self::Pool(error)
    }
}
