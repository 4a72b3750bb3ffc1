//! Addresses: physical, intermediate physical and virtual, each a type of its own.

use core::fmt;

/// Counts the bits of an offset within a page of the 4 KiB granule.
pub const PAGE_SHIFT: u32 = 12;

/// Gives the size in bytes of a page of the 4 KiB granule, the only one the hypervisor uses.
pub const PAGE_SIZE: u64 = 1 << PAGE_SHIFT;

/// Names one of the two address spaces that a Security state can reach (Arm ARM, D8.2.1).
///
/// The same number in the two spaces names two different pieces of memory.
///
/// Not from zero on: so zero can stand for no address, and what holds none at first needs no place in an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AddressSpace {
    /// Memory that only the Secure state can reach.
    Secure = 1,
    /// Memory of the normal world, which the Secure state can reach as well.
    NonSecure = 2,
}

/// Behaves as an address that pages can be counted from.
pub trait Address: Copy + Eq + Ord + fmt::Debug {
    /// Returns the address as a number of bytes from zero.
    fn raw(self) -> u64;

    /// Returns the address `bytes` further on in the same space, or `None` if that wraps.
    fn checked_add(self, bytes: u64) -> Option<Self>;

    /// Tells whether both addresses lie in the same address space.
    fn same_space(self, other: Self) -> bool;

    /// Tells whether the address is the first of a 4 KiB page.
    fn is_page_aligned(self) -> bool {
        self.raw().trailing_zeros() >= PAGE_SHIFT
    }
}

macro_rules! spaced_address {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name {
            space: AddressSpace,
            raw: u64,
        }

        impl $name {
            /// Builds the address `raw` of the address space `space`.
            pub const fn new(space: AddressSpace, raw: u64) -> Self {
                Self { space, raw }
            }

            /// Builds the address `raw` of the Secure address space.
            pub const fn secure(raw: u64) -> Self {
                Self::new(AddressSpace::Secure, raw)
            }

            /// Builds the address `raw` of the Non-secure address space.
            pub const fn non_secure(raw: u64) -> Self {
                Self::new(AddressSpace::NonSecure, raw)
            }

            /// Returns the address space that the address lies in.
            pub const fn space(self) -> AddressSpace {
                self.space
            }

            /// Returns the address as a number of bytes from zero.
            pub const fn raw(self) -> u64 {
                self.raw
            }
        }

        impl Address for $name {
            fn raw(self) -> u64 {
                self.raw
            }

            fn checked_add(self, bytes: u64) -> Option<Self> {
                Some(Self { space: self.space, raw: self.raw.checked_add(bytes)? })
            }

            fn same_space(self, other: Self) -> bool {
                self.space == other.space
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let space = match self.space {
                    AddressSpace::Secure => "secure",
                    AddressSpace::NonSecure => "non-secure",
                };
                write!(f, "{space} {:#x}", self.raw)
            }
        }
    };
}

spaced_address! {
    /// Names a byte of physical memory.
    Pa
}

spaced_address! {
    /// Names a byte of a partition's memory as the partition sees it, before stage 2.
    Ipa
}

/// Names a byte in the hypervisor's own virtual address space.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Va(u64);

impl Va {
    /// Builds the virtual address `raw`.
    pub const fn new(raw: u64) -> Self {
        Self(raw)
    }

    /// Returns the address as a number of bytes from zero.
    pub const fn raw(self) -> u64 {
        self.0
    }
}
