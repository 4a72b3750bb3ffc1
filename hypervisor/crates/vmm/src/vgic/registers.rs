//! What the registers of the distributor and of a redistributor have in common (GICv3, IHI 0069, chapter 12).

/// Names a register that has a field for each interrupt, by what it does with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    /// GICD_IGROUPR, GICR_IGROUPR0.
    Group,
    /// ISENABLER.
    SetEnable,
    /// ICENABLER.
    ClearEnable,
    /// ISPENDR.
    SetPending,
    /// ICPENDR.
    ClearPending,
    /// ISACTIVER.
    SetActive,
    /// ICACTIVER.
    ClearActive,
    /// IPRIORITYR.
    Priority,
    /// ICFGR.
    Config,
}

impl Field {
    /// Tells whether the register is about what a list register knows better.
    pub(super) const fn is_state(self) -> bool {
        matches!(self, Self::SetPending | Self::ClearPending | Self::SetActive | Self::ClearActive)
    }

    /// Returns the places in a bank of the interrupts whose state is at `offset` and may be known better to a list
    /// register; `base` is the number of the first interrupt of the bank.
    pub(super) const fn states_at(offset: u32, size: u8, base: u32) -> u64 {
        match Self::at(offset, size) {
            Some((field, first)) if field.is_state() && first >= base => {
                match 0xffff_ffff_u64.checked_shl(first.wrapping_sub(base)) {
                    Some(states) => states,
                    None => 0,
                }
            }
            _ => 0,
        }
    }

    /// Finds the register at `offset` of the distributor or of a redistributor's second page, and the first interrupt
    /// that an access of `size` bytes there is about. `None` if there is none that can be accessed so.
    pub(super) const fn at(offset: u32, size: u8) -> Option<(Self, u32)> {
        let field = match offset {
            0x080..0x100 => Self::Group,
            0x100..0x180 => Self::SetEnable,
            0x180..0x200 => Self::ClearEnable,
            0x200..0x280 => Self::SetPending,
            0x280..0x300 => Self::ClearPending,
            0x300..0x380 => Self::SetActive,
            0x380..0x400 => Self::ClearActive,
            0x400..0x800 => Self::Priority,
            0xc00..0xd00 => Self::Config,
            _ => return None,
        };
        match (field, size) {
            (Self::Priority, 1) => return Some((field, offset & 0x3ff)),
            (_, 4) if offset & 3 == 0 => {}
            _ => return None,
        }
        let first = match field {
            Self::Priority => offset & 0x3ff,
            Self::Config => (offset & 0xff).wrapping_mul(4),
            _ => (offset & 0x7f).wrapping_mul(8),
        };
        Some((field, first))
    }
}

/// Is GICD_IIDR and GICR_IIDR: a product of our own, written for Arm's architecture.
pub(super) const IIDR: u32 = 0x5400_043b;

/// Returns what the identification registers at the end of a frame read as, of which the architecture gives one a
/// meaning: PIDR2 has the version, GICv3.
pub(super) const fn identification(offset: u32) -> u32 {
    match offset {
        0xffd0 => 0x44,
        0xffe0 => 0x92,
        0xffe4 => 0xb4,
        0xffe8 => 0x3b,
        0xfff0 => 0x0d,
        0xfff4 => 0xf0,
        0xfff8 => 0x05,
        0xfffc => 0xb1,
        _ => 0,
    }
}

/// Returns the part of a 64-bit register that an access of 4 or 8 bytes at `offset` reads; zero for other sizes.
pub(super) const fn part(register: u64, offset: u32, size: u8) -> u64 {
    match (size, offset & 7) {
        (8, 0) => register,
        (4, 0) => register & 0xffff_ffff,
        (4, 4) => register >> 32,
        _ => 0,
    }
}

/// Returns a 64-bit register after an access of 4 or 8 bytes at `offset` has written `value`; unchanged for other sizes.
pub(super) const fn with_part(register: u64, offset: u32, size: u8, value: u64) -> u64 {
    match (size, offset & 7) {
        (8, 0) => value,
        (4, 0) => register & !0xffff_ffff | value & 0xffff_ffff,
        (4, 4) => register & 0xffff_ffff | value << 32,
        _ => register,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_register_is_found_by_whole_words() {
        assert_eq!(Field::at(0x080, 4), Some((Field::Group, 0)));
        assert_eq!(Field::at(0x104, 4), Some((Field::SetEnable, 32)));
        assert_eq!(Field::at(0x3fc, 4), Some((Field::ClearActive, 992)));
        assert_eq!(Field::at(0x423, 1), Some((Field::Priority, 35)));
        assert_eq!(Field::at(0x424, 4), Some((Field::Priority, 36)));
        assert_eq!(Field::at(0xc08, 4), Some((Field::Config, 32)));
        for (offset, size) in [(0x80, 1), (0x80, 2), (0x80, 8), (0x82, 4), (0x422, 2), (0x421, 4), (0xc00, 1)]
        {
            assert_eq!(Field::at(offset, size), None, "{offset:#x} {size}");
        }
        for offset in [0, 0x7c, 0x800, 0xbfc, 0xd00, 0xffe8] {
            assert_eq!(Field::at(offset, 4), None, "{offset:#x}");
        }
    }

    #[test]
    fn a_wide_register_is_reached_in_halves() {
        let register = 0x1122_3344_5566_7788;
        assert_eq!(part(register, 0x6100, 8), register);
        assert_eq!(part(register, 0x6100, 4), 0x5566_7788);
        assert_eq!(part(register, 0x6104, 4), 0x1122_3344);
        assert_eq!((part(register, 0x6104, 8), part(register, 0x6100, 2)), (0, 0));
        assert_eq!(with_part(register, 0x6100, 8, 5), 5);
        assert_eq!(with_part(register, 0x6100, 4, 5), 0x1122_3344_0000_0005);
        assert_eq!(with_part(register, 0x6104, 4, 5), 0x5_5566_7788);
        assert_eq!(with_part(register, 0x6101, 1, 5), register);
    }
}
