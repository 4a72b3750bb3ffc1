//! Flags of memory management.

use bitflags::bitflags;

bitflags! {
    /// Says how a transaction is to be done (DEN0140, tables 1.21 to 1.23). Which flags may be set depends on
    /// the call: see [`Self::OF_SEND`], [`Self::OF_RETRIEVE_REQUEST`] and [`Self::OF_RETRIEVE_RESPONSE`].
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct TransactionFlags: u32 {
        /// Fill the memory with zeros: before the first receiver sees it if the sender says so, before the
        /// retrieval if a receiver does.
        const ZERO_MEMORY = 1 << 0;
        /// The operation may be done in time slices.
        const TIME_SLICE = 1 << 1;
        /// Fill the memory with zeros once the receiver has relinquished it.
        const ZERO_AFTER_RELINQUISH = 1 << 2;
        /// The two bits of [`TransactionKind`].
        const KIND = 0b11 << 3;
        /// The exponent of the alignment that the receiver wishes for.
        const ALIGNMENT = 0b1111 << 5;
        /// [`Self::ALIGNMENT`] holds a wish.
        const ALIGNMENT_VALID = 1 << 9;
        /// The list of borrowers may be left out of the request, all but the caller; since 1.2.
        const BYPASS_MULTI_BORROWER_CHECK = 1 << 10;
    }
}

impl TransactionFlags {
    /// Holds what the sender of memory may ask for.
    pub const OF_SEND: Self = Self::ZERO_MEMORY.union(Self::TIME_SLICE);

    /// Holds what a receiver may ask for.
    pub const OF_RETRIEVE_REQUEST: Self = Self::all();

    /// Holds what the answer to a receiver may say.
    pub const OF_RETRIEVE_RESPONSE: Self = Self::ZERO_MEMORY.union(Self::KIND);

    /// Returns the kind of transaction that the flags name; `None` is left open.
    pub const fn kind(self) -> Option<TransactionKind> {
        match self.bits() >> 3 & 0b11 {
            1 => Some(TransactionKind::Share),
            2 => Some(TransactionKind::Lend),
            3 => Some(TransactionKind::Donate),
            _ => None,
        }
    }

    /// Returns the flags with the kind set to `kind`.
    #[must_use]
    pub const fn with_kind(self, kind: TransactionKind) -> Self {
        self.difference(Self::KIND).union(kind.flags())
    }
}

/// Names what happens to the owner of memory (DEN0140, section 1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TransactionKind {
    /// Owner and borrowers have access.
    Share,
    /// Borrowers have access, the owner has not.
    Lend,
    /// The receiver becomes the owner.
    Donate,
}

impl TransactionKind {
    /// Lists every kind.
    pub const ALL: [Self; 3] = [Self::Share, Self::Lend, Self::Donate];

    /// Returns the flags that name the kind.
    pub const fn flags(self) -> TransactionFlags {
        TransactionFlags::from_bits_retain(match self {
            Self::Share => 1 << 3,
            Self::Lend => 2 << 3,
            Self::Donate => 3 << 3,
        })
    }
}

bitflags! {
    /// Says how FFA_MEM_RECLAIM takes memory back (DEN0140, table 2.29).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct ReclaimFlags: u32 {
        /// Fill the memory with zeros before the owner sees it.
        const ZERO_MEMORY = 1 << 0;
        /// The operation may be done in time slices.
        const TIME_SLICE = 1 << 1;
    }
}

bitflags! {
    /// Says how FFA_MEM_RELINQUISH gives memory back (DEN0140, table 2.25).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct RelinquishFlags: u32 {
        /// Fill the memory with zeros once the caller has no access any more.
        const ZERO_MEMORY = 1 << 0;
        /// The operation may be done in time slices.
        const TIME_SLICE = 1 << 1;
    }
}

bitflags! {
    /// Says more about a receiver (DEN0140, table 1.15).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct ReceiverFlags: u8 {
        /// The request is not made for this borrower; a proxy makes it for others.
        const NON_RETRIEVAL_BORROWER = 1 << 0;
    }
}
