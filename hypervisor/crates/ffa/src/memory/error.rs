//! What can be wrong with a descriptor.

use core::error::Error;
use core::fmt;

use crate::Status;

/// Names a part of a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// The header of a memory transaction.
    Header,
    /// The record of an endpoint.
    Receiver,
    /// The header of the ranges.
    Composite,
    /// A range.
    Constituent,
    /// The descriptor that gives memory back.
    Relinquish,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Header => "the header of the transaction",
            Self::Receiver => "an endpoint's record",
            Self::Composite => "the header of the ranges",
            Self::Constituent => "a range",
            Self::Relinquish => "the descriptor to relinquish",
        })
    }
}

/// Says what is wrong with a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DescriptorError {
    /// The bytes end within this part.
    Truncated(Part),
    /// A reserved field or bit of this part is not zero.
    Reserved(Part),
    /// The memory region attributes hold a reserved value, or bits that their memory type does not have.
    Attributes(u16),
    /// The memory access permissions hold a reserved value.
    Permissions(u8),
    /// Flags are set that the descriptor does not have.
    Flags(u32),
    /// The records of endpoints have a size in bytes that the version does not know.
    RecordSize(u32),
    /// The records of endpoints begin within the header, or not at a multiple of 16 bytes.
    RecordOffset(u32),
    /// There are more endpoints than [`MAX_RECEIVERS`](super::MAX_RECEIVERS).
    TooManyReceivers(u32),
    /// There is no endpoint.
    NoReceiver,
    /// The header of the ranges begins within the records of endpoints, or not at a multiple of 8 bytes.
    CompositeOffset(u32),
    /// Endpoints disagree about where the header of the ranges is.
    SeveralComposites,
    /// There is no range.
    NoRange,
    /// A range has no pages, or the ranges announce none in total.
    NoPages,
    /// A range begins at an address that is not a multiple of 4 KiB.
    Alignment(u64),
    /// A range ends beyond the 64-bit address space; the number is where it begins.
    Overflow(u64),
    /// The sizes in the descriptor add up to more than 32 bits can count.
    TooLong,
    /// What is to be written does not fit into the buffer.
    BufferTooSmall,
    /// The layout has no place for this part's value.
    NotInLayout(Part),
}

impl DescriptorError {
    /// Returns the error to answer with.
    pub const fn status(self) -> Status {
        match self {
            // Legal, but more than this implementation keeps.
            Self::TooManyReceivers(_) | Self::BufferTooSmall => Status::NoMemory,
            Self::Truncated(_)
            | Self::Reserved(_)
            | Self::Attributes(_)
            | Self::Permissions(_)
            | Self::Flags(_)
            | Self::RecordSize(_)
            | Self::RecordOffset(_)
            | Self::NoReceiver
            | Self::CompositeOffset(_)
            | Self::SeveralComposites
            | Self::NoRange
            | Self::NoPages
            | Self::Alignment(_)
            | Self::Overflow(_)
            | Self::TooLong
            | Self::NotInLayout(_) => Status::InvalidParameters,
        }
    }
}

impl From<DescriptorError> for Status {
    fn from(error: DescriptorError) -> Self {
        error.status()
    }
}

impl fmt::Display for DescriptorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated(part) => write!(f, "the bytes end within {part}"),
            Self::Reserved(part) => write!(f, "a reserved field of {part} is not zero"),
            Self::Attributes(raw) => write!(f, "no memory has the attributes {raw:#x}"),
            Self::Permissions(raw) => write!(f, "no memory has the permissions {raw:#x}"),
            Self::Flags(raw) => write!(f, "the flags {raw:#x} are not all known"),
            Self::RecordSize(size) => write!(f, "an endpoint's record cannot have {size} bytes"),
            Self::RecordOffset(offset) => write!(f, "endpoints' records cannot begin at {offset:#x}"),
            Self::TooManyReceivers(count) => write!(f, "{count} endpoints are too many"),
            Self::NoReceiver => f.write_str("there is no endpoint"),
            Self::CompositeOffset(offset) => write!(f, "the ranges' header cannot begin at {offset:#x}"),
            Self::SeveralComposites => f.write_str("endpoints disagree about where the ranges are"),
            Self::NoRange => f.write_str("there is no range"),
            Self::NoPages => f.write_str("a range has no pages"),
            Self::Alignment(address) => write!(f, "the range at {address:#x} is not page aligned"),
            Self::Overflow(address) => write!(f, "the range at {address:#x} ends beyond 64 bits"),
            Self::TooLong => f.write_str("the descriptor is longer than 32 bits can count"),
            Self::BufferTooSmall => f.write_str("the descriptor does not fit into the buffer"),
            Self::NotInLayout(part) => write!(f, "this version has no place for a value of {part}"),
        }
    }
}

impl Error for DescriptorError {}
