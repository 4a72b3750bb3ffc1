//! Names of memory in transactions.

use core::fmt;

/// Names memory that was donated, lent or shared, from then until it is reclaimed (DEN0140, section 1.9.2).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Handle(u64);

impl Handle {
    /// Stands where there is no handle yet: a sender leaves the field zero.
    pub const NONE: Self = Self(0);

    /// Says that a handle was never allocated.
    pub const INVALID: Self = Self(u64::MAX);

    /// Takes a handle as the ABI carries it.
    pub const fn new(raw: u64) -> Self {
        Self(raw)
    }

    /// Returns the handle as the ABI carries it.
    pub const fn raw(self) -> u64 {
        self.0
    }

    /// Tells whether a hypervisor of the normal world allocated the handle, by bit 63; else the SPMC did.
    pub const fn is_of_hypervisor(self) -> bool {
        self.0 >> 63 != 0
    }

    /// Joins the halves that w2 and w3 of FFA_SUCCESS carry.
    pub const fn from_words(low: u32, high: u32) -> Self {
        Self((high as u64) << 32 | low as u64)
    }

    /// Splits the handle into the halves that w2 and w3 of FFA_SUCCESS carry.
    pub const fn to_words(self) -> [u32; 2] {
        [(self.0 & 0xffff_ffff) as u32, (self.0 >> 32) as u32]
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}
