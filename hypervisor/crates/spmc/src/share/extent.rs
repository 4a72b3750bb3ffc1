//! Ranges of pages as the ledger keeps them, in eight bytes.

use tantalum_stage2::IPA_BITS;
use tantalum_types::{AddressSpace, PAGE_SHIFT, Pa, PageRange};

/// Marks a page of the Non-secure address space, above the number of any page that stage 2 can map.
const NON_SECURE: u32 = 1 << IPA_BITS.saturating_sub(PAGE_SHIFT);

/// Names consecutive pages of one address space, below the limit of a partition's addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    first: u32,
    count: u32,
}

impl Extent {
    /// Names no page; stands where no range is kept.
    pub(crate) const EMPTY: Self = Self { first: 0, count: 0 };

    /// Names the pages of `range`, or returns `None` if it ends beyond what stage 2 can map.
    pub(crate) fn new(range: &PageRange<Pa>) -> Option<Self> {
        if range.end().checked_shr(IPA_BITS).is_none_or(|above| above != 0) && range.end() != 1 << IPA_BITS {
            return None;
        }
        let page = u32::try_from(range.start().raw() >> PAGE_SHIFT).ok()?;
        let space = match range.start().space() {
            AddressSpace::Secure => 0,
            AddressSpace::NonSecure => NON_SECURE,
        };
        Some(Self { first: page | space, count: u32::try_from(range.page_count()).ok()? })
    }

    /// Returns the pages; `None` if there are none.
    pub(crate) fn range(self) -> Option<PageRange<Pa>> {
        let space = if self.first & NON_SECURE == 0 { AddressSpace::Secure } else { AddressSpace::NonSecure };
        let page = u64::from(self.first & !NON_SECURE);
        PageRange::new(Pa::new(space, page << PAGE_SHIFT), self.count.into()).ok()
    }

    /// Returns a number by which pages are in order, the Secure ones first.
    pub(crate) const fn first(self) -> u32 {
        self.first
    }

    /// Returns the number of the page behind the last.
    pub(crate) const fn end(self) -> u32 {
        // Both are below 2^28.
        self.first.saturating_add(self.count)
    }

    /// Tells whether it names no page.
    pub(crate) const fn is_empty(self) -> bool {
        self.count == 0
    }

    /// Returns the pages before `page`, and those from it on, of which one can be empty.
    pub(crate) fn split_at(self, page: u32) -> (Self, Self) {
        let at = page.clamp(self.first, self.end());
        let before = Self { first: self.first, count: at.saturating_sub(self.first) };
        (before, Self { first: at, count: self.end().saturating_sub(at) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(range: PageRange<Pa>) {
        assert_eq!(Extent::new(&range).unwrap().range(), Some(range));
    }

    #[test]
    fn keeps_what_stage_2_can_map() {
        round_trip(PageRange::new(Pa::secure(0), 1).unwrap());
        round_trip(PageRange::new(Pa::non_secure(0x4000_0000), 0x8_0000).unwrap());
        let limit = 1 << IPA_BITS;
        round_trip(PageRange::new(Pa::non_secure(limit - 0x1000), 1).unwrap());
        round_trip(PageRange::new(Pa::secure(0), limit >> PAGE_SHIFT).unwrap());
        assert_eq!(Extent::new(&PageRange::new(Pa::secure(limit - 0x1000), 2).unwrap()), None);
        assert_eq!(Extent::new(&PageRange::new(Pa::secure(limit), 1).unwrap()), None);
    }

    #[test]
    fn keeps_the_spaces_apart() {
        let secure = Extent::new(&PageRange::new(Pa::secure(0x1000), 4).unwrap()).unwrap();
        let other = Extent::new(&PageRange::new(Pa::non_secure(0x1000), 4).unwrap()).unwrap();
        assert!(secure.end() < other.first());
    }

    #[test]
    fn splits_where_it_is_told() {
        let extent = Extent::new(&PageRange::new(Pa::secure(0x1000), 4).unwrap()).unwrap();
        let (before, behind) = extent.split_at(3);
        assert_eq!((before.first(), before.end(), behind.first(), behind.end()), (1, 3, 3, 5));
        assert!(extent.split_at(0).0.is_empty());
        assert!(extent.split_at(9).1.is_empty());
    }
}
