//! Words with one bit for each interrupt, or for each virtual CPU.

use tantalum_types::VcpuIndex;

/// Returns the word in which only bit `index`, below 64, is set.
pub(super) const fn bit(index: u32) -> u64 {
    1_u64.wrapping_shl(index)
}

/// Yields the numbers of the bits that are set, from the lowest.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bits(pub u64);

impl Iterator for Bits {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        if self.0 == 0 {
            return None;
        }
        let index = self.0.trailing_zeros();
        self.0 &= self.0.wrapping_sub(1);
        Some(index)
    }
}

/// Is a set of virtual CPUs of one virtual machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VcpuSet(u64);

impl VcpuSet {
    /// Has no member.
    pub const EMPTY: Self = Self(0);

    /// Holds one virtual CPU.
    pub const fn one(vcpu: VcpuIndex) -> Self {
        Self(1_u64.wrapping_shl(vcpu.as_u16() as u32))
    }

    /// Tells whether it has no member.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Tells whether `vcpu` is a member.
    pub const fn contains(self, vcpu: VcpuIndex) -> bool {
        self.0 & Self::one(vcpu).0 != 0
    }

    /// Returns the members of both.
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Returns the members other than `vcpu`.
    pub const fn without(self, vcpu: VcpuIndex) -> Self {
        Self(self.0 & !Self::one(vcpu).0)
    }

    /// Yields the members, from the lowest.
    pub fn iter(self) -> impl Iterator<Item = VcpuIndex> {
        Bits(self.0).filter_map(|index| VcpuIndex::new(usize::try_from(index).ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_come_from_the_lowest() {
        assert!(Bits(0).next().is_none());
        assert!(Bits(1 << 63 | 0b1010).eq([1, 3, 63]));
    }

    #[test]
    fn a_set_has_the_members_that_were_put_in() {
        let [a, b, c] = [0, 3, 7].map(|index| VcpuIndex::new(index).unwrap());
        let set = VcpuSet::one(a).union(VcpuSet::one(c));
        assert!(set.contains(a) && !set.contains(b) && set.contains(c));
        assert!(set.iter().eq([a, c]));
        assert!(set.without(a).without(b).iter().eq([c]));
        assert!(set.without(a).without(c).is_empty());
    }
}
