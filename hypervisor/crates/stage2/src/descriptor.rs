//! The descriptors of stage 2 with the 4 KiB granule (Arm ARM, D8.3).

use tantalum_types::{AddressSpace, Pa};

use crate::attributes::{Access, Attributes, Execute, MemoryType};

/// Counts the descriptors in a table.
pub(crate) const ENTRIES: usize = 512;

/// Lets the walker use the descriptor. Software may use every other bit of one that it may not use.
const VALID: u64 = 1;
/// Makes a valid descriptor a table at levels 1 and 2 and a page at level 3; without it, it is a block.
const TABLE_OR_PAGE: u64 = 1 << 1;
/// Holds the memory type: outer in bits 5:4, inner in 3:2 (HCR_EL2.FWB = 0).
const MEMATTR_MASK: u64 = 0b1111 << 2;
const MEMATTR_NORMAL_WRITE_BACK: u64 = 0b1111 << 2;
const MEMATTR_DEVICE_NGNRNE: u64 = 0b0000 << 2;
/// Holds the data access: read, write.
const S2AP_READ: u64 = 1 << 6;
const S2AP_WRITE: u64 = 1 << 7;
const SHAREABILITY_INNER: u64 = 0b11 << 8;
/// Spares the fault on the first access, which nobody wants to know about.
const ACCESS_FLAG: u64 = 1 << 10;
/// Makes it executable neither at EL1 nor at EL0 (bits 54:53 are 0b10, with and without FEAT_XNX).
const EXECUTE_NEVER: u64 = 1 << 54;
/// Holds an output or table address of up to 48 bits.
const ADDRESS_MASK: u64 = 0x0000_ffff_ffff_f000;

/// Names a level of lookup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    /// 1 GiB for each descriptor.
    One,
    /// 2 MiB for each descriptor.
    Two,
    /// 4 KiB for each descriptor.
    Three,
}

impl Level {
    /// Returns how many address bits one descriptor covers.
    pub(crate) const fn shift(self) -> u32 {
        match self {
            Self::One => 30,
            Self::Two => 21,
            Self::Three => 12,
        }
    }

    /// Returns how many bytes one descriptor covers.
    pub(crate) const fn span(self) -> u64 {
        1_u64.wrapping_shl(self.shift())
    }

    /// Returns the level below, or `None` for the last.
    pub(crate) const fn next(self) -> Option<Self> {
        match self {
            Self::One => Some(Self::Two),
            Self::Two => Some(Self::Three),
            Self::Three => None,
        }
    }

    /// Returns which descriptor of its table translates `ipa`, below [`ENTRIES`].
    pub(crate) const fn index(self, ipa: u64) -> usize {
        // Nine bits fit into every usize.
        #[allow(clippy::cast_possible_truncation)]
        let index = (ipa.wrapping_shr(self.shift()) & 0x1ff) as usize;
        index
    }

    /// Returns the first address that the descriptor for `ipa` covers.
    pub(crate) const fn floor(self, ipa: u64) -> u64 {
        ipa & !self.span().wrapping_sub(1)
    }

    /// Returns the first address behind what the descriptor for `ipa` covers.
    pub(crate) const fn next_boundary(self, ipa: u64) -> u64 {
        self.floor(ipa).saturating_add(self.span())
    }

    /// Tells whether `address` is the first that some descriptor covers.
    pub(crate) const fn is_aligned(self, address: u64) -> bool {
        self.floor(address) == address
    }
}

/// Holds one descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Descriptor(pub(crate) u64);

impl Descriptor {
    /// Translates nothing.
    pub(crate) const EMPTY: Self = Self(0);

    /// Points to a table of the next level at `table`, a page-aligned physical address.
    pub(crate) const fn table(table: u64) -> Self {
        Self((table & ADDRESS_MASK) | TABLE_OR_PAGE | VALID)
    }

    /// Maps what the descriptor covers at `level` to `output`, which is aligned to the level's span.
    pub(crate) const fn leaf(level: Level, output: u64, attributes: Attributes) -> Self {
        let kind = match level {
            Level::One | Level::Two => 0,
            Level::Three => TABLE_OR_PAGE,
        };
        let memory = match attributes.memory {
            MemoryType::Normal => MEMATTR_NORMAL_WRITE_BACK | SHAREABILITY_INNER,
            MemoryType::Device => MEMATTR_DEVICE_NGNRNE,
        };
        let access = match attributes.access {
            Access::ReadOnly => S2AP_READ,
            Access::ReadWrite => S2AP_READ | S2AP_WRITE,
        };
        let execute = match attributes.execute {
            Execute::Never => EXECUTE_NEVER,
            Execute::Allowed => 0,
        };
        Self((output & ADDRESS_MASK) | memory | access | execute | ACCESS_FLAG | kind | VALID)
    }

    /// Tells whether the walker may use it.
    pub(crate) const fn is_valid(self) -> bool {
        self.0 & VALID != 0
    }

    /// Tells whether it is empty; one that is neither valid nor empty is between break and make.
    pub(crate) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Tells whether it points to a table, valid or broken, when found at `level`.
    pub(crate) const fn is_table(self, level: Level) -> bool {
        !matches!(level, Level::Three) && self.0 & TABLE_OR_PAGE != 0
    }

    /// Returns the same descriptor for software's eyes only: the walker may not use it.
    pub(crate) const fn broken(self) -> Self {
        Self(self.0 & !VALID)
    }

    /// Returns the output address of a leaf or the address of a table.
    pub(crate) const fn address(self) -> u64 {
        self.0 & ADDRESS_MASK
    }

    /// Returns what a leaf allows.
    pub(crate) const fn attributes(self) -> Attributes {
        Attributes {
            access: if self.0 & S2AP_WRITE != 0 { Access::ReadWrite } else { Access::ReadOnly },
            execute: if self.0 & EXECUTE_NEVER != 0 { Execute::Never } else { Execute::Allowed },
            memory: if self.0 & MEMATTR_MASK == MEMATTR_DEVICE_NGNRNE {
                MemoryType::Device
            } else {
                MemoryType::Normal
            },
        }
    }

    /// Returns where `ipa` lies in physical memory of `space` by this leaf, found at `level`.
    pub(crate) const fn output(self, level: Level, space: AddressSpace, ipa: u64) -> Pa {
        Pa::new(space, self.address() | (ipa & level.span().wrapping_sub(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodes_as_the_architecture_says() {
        // Descriptors worked out by hand from the Arm ARM's figures D8-14 and D8-15.
        assert_eq!(Descriptor::leaf(Level::Three, 0x0e30_0000, Attributes::OWN_MEMORY).0, 0x0e30_07ff);
        assert_eq!(Descriptor::leaf(Level::Three, 0x0e30_0000, Attributes::DATA).0, 0x0040_0000_0e30_07ff);
        assert_eq!(
            Descriptor::leaf(Level::Three, 0x4000_0000, Attributes::READ_ONLY_DATA).0,
            0x0040_0000_4000_077f
        );
        assert_eq!(Descriptor::leaf(Level::Three, 0x0904_0000, Attributes::DEVICE).0, 0x0040_0000_0904_04c3);
        assert_eq!(Descriptor::leaf(Level::Two, 0x0e20_0000, Attributes::OWN_MEMORY).0, 0x0e20_07fd);
        assert_eq!(Descriptor::table(0x0e10_3000).0, 0x0e10_3003);
    }

    #[test]
    fn decodes_what_it_encodes() {
        for access in [Access::ReadOnly, Access::ReadWrite] {
            for execute in [Execute::Never, Execute::Allowed] {
                for memory in [MemoryType::Normal, MemoryType::Device] {
                    let attributes = Attributes { access, execute, memory };
                    for level in [Level::One, Level::Two, Level::Three] {
                        let leaf = Descriptor::leaf(level, 0x7fff_c000_0000, attributes);
                        assert_eq!(leaf.attributes(), attributes);
                        assert_eq!(leaf.address(), 0x7fff_c000_0000);
                        assert!(leaf.is_valid() && !leaf.is_table(level));
                        assert!(!leaf.broken().is_valid() && !leaf.broken().is_empty());
                    }
                }
            }
        }
    }
}
