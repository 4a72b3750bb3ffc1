//! Who owns memory and has a quota: the normal world as a whole, and each partition.

use tantalum_types::{MAX_PARTITIONS, PartitionIndex};

/// Counts the owners of memory.
pub(crate) const PARTIES: usize = MAX_PARTITIONS.saturating_add(1);

/// Counts the ranges that the normal world may have in transactions and buffers at a time: one transaction of 600,
/// which is what a kernel makes of a few MiB of scattered pages, and about as many in others.
pub(crate) const NORMAL_WORLD_RANGES: usize = 1280;

/// Counts the ranges that each partition may have; its memory is in few pieces.
pub(crate) const PARTITION_RANGES: usize = 96;

/// Counts the transactions that the normal world may have open at a time. A driver keeps one for each buffer.
pub(crate) const NORMAL_WORLD_SHARES: usize = 64;

/// Counts the transactions that each partition may have open.
pub(crate) const PARTITION_SHARES: usize = 4;

/// Is an owner of memory. The SPMC does not know which virtual machine of the normal world has which page: its
/// hypervisor sees to that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Party {
    /// The normal world, with all its virtual machines.
    NormalWorld,
    /// A partition.
    Partition(PartitionIndex),
}

impl Party {
    /// Returns a number below [`PARTIES`].
    pub(crate) const fn slot(self) -> usize {
        match self {
            Self::Partition(index) => index.get(),
            Self::NormalWorld => MAX_PARTITIONS,
        }
    }

    /// Returns how many ranges it may have.
    pub(crate) const fn range_quota(self) -> u16 {
        // Both are far below 2^16.
        #[allow(clippy::cast_possible_truncation)]
        match self {
            Self::NormalWorld => NORMAL_WORLD_RANGES as u16,
            Self::Partition(_) => PARTITION_RANGES as u16,
        }
    }

    /// Returns how many transactions it may have open.
    pub(crate) const fn share_quota(self) -> usize {
        match self {
            Self::NormalWorld => NORMAL_WORLD_SHARES,
            Self::Partition(_) => PARTITION_SHARES,
        }
    }
}
