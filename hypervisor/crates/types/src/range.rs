//! Ranges of whole pages that are never empty and never wrap.

use core::error::Error;
use core::fmt;

use crate::address::{Address, Ipa, PAGE_SHIFT, PAGE_SIZE, Pa};

/// Bounds every address: an implementation has at most 52 bits of physical address (Arm ARM, D8.2), and the
/// 4 KiB granule without FEAT_LPA2, which is what the hypervisor programs, has 48.
const ADDRESS_LIMIT: u64 = 1 << 48;

/// Says why a range of pages cannot exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RangeError {
    /// The first address, or a size in bytes, is not a multiple of 4 KiB.
    Unaligned,
    /// The range has no pages.
    Empty,
    /// The range ends beyond the 48-bit address space.
    TooLarge,
}

impl fmt::Display for RangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unaligned => "not a multiple of 4 KiB",
            Self::Empty => "no pages",
            Self::TooLarge => "ends beyond the 48-bit address space",
        })
    }
}

impl Error for RangeError {}

/// Names at least one page of 4 KiB, consecutive in one address space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PageRange<A> {
    start: A,
    page_count: u64,
}

impl<A: Address> PageRange<A> {
    /// Builds the range of `page_count` pages from `start`.
    ///
    /// # Errors
    /// Says so if `start` is not page aligned, `page_count` is zero, or the end lies beyond 48 bits.
    pub fn new(start: A, page_count: u64) -> Result<Self, RangeError> {
        if !start.is_page_aligned() {
            return Err(RangeError::Unaligned);
        }
        if page_count == 0 {
            return Err(RangeError::Empty);
        }
        let size = page_count.checked_mul(PAGE_SIZE).ok_or(RangeError::TooLarge)?;
        let end = start.raw().checked_add(size).ok_or(RangeError::TooLarge)?;
        if end > ADDRESS_LIMIT {
            return Err(RangeError::TooLarge);
        }
        Ok(Self { start, page_count })
    }

    /// Builds the range of `size` bytes from `start`.
    ///
    /// # Errors
    /// As [`PageRange::new`], and if `size` is not a multiple of 4 KiB.
    pub fn from_size(start: A, size: u64) -> Result<Self, RangeError> {
        if size.trailing_zeros() < PAGE_SHIFT {
            return Err(RangeError::Unaligned);
        }
        Self::new(start, size >> PAGE_SHIFT)
    }

    /// Returns the first address of the range.
    pub fn start(&self) -> A {
        self.start
    }

    /// Returns the number of pages, at least one.
    pub fn page_count(&self) -> u64 {
        self.page_count
    }

    /// Returns the number of bytes, a multiple of 4 KiB and at most 2^48.
    pub fn size(&self) -> u64 {
        // The constructor bounds the product, so saturating never happens.
        self.page_count.saturating_mul(PAGE_SIZE)
    }

    /// Returns the number of the first byte behind the range, at most 2^48.
    pub fn end(&self) -> u64 {
        // The constructor bounds the sum, so saturating never happens.
        self.start.raw().saturating_add(self.size())
    }

    /// Tells whether `address` lies in the range, in the same address space.
    pub fn contains(&self, address: A) -> bool {
        self.start.same_space(address) && address.raw() >= self.start.raw() && address.raw() < self.end()
    }

    /// Tells whether every page of `other` lies in this range, in the same address space.
    pub fn contains_range(&self, other: &Self) -> bool {
        self.start.same_space(other.start)
            && other.start.raw() >= self.start.raw()
            && other.end() <= self.end()
    }

    /// Tells whether both ranges have a page of the same address space in common.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.start.same_space(other.start) && self.start.raw() < other.end() && other.start.raw() < self.end()
    }

    /// Returns the first address of each page in turn.
    pub fn pages(&self) -> Pages<A> {
        Pages { next: Some(self.start), left: self.page_count }
    }
}

impl PageRange<Ipa> {
    /// Returns the physical range of the same number in the same space, as identity mappings use it.
    pub fn to_identical_pa(&self) -> PageRange<Pa> {
        PageRange { start: Pa::new(self.start.space(), self.start.raw()), page_count: self.page_count }
    }
}

impl PageRange<Pa> {
    /// Returns the intermediate physical range of the same number in the same space, as identity mappings
    /// use it.
    pub fn to_identical_ipa(&self) -> PageRange<Ipa> {
        PageRange { start: Ipa::new(self.start.space(), self.start.raw()), page_count: self.page_count }
    }
}

/// Yields the first address of each page of a range.
#[derive(Clone, Debug)]
pub struct Pages<A> {
    next: Option<A>,
    left: u64,
}

impl<A: Address> Iterator for Pages<A> {
    type Item = A;

    fn next(&mut self) -> Option<A> {
        self.left = self.left.checked_sub(1)?;
        let page = self.next?;
        self.next = page.checked_add(PAGE_SIZE);
        Some(page)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: u64, pages: u64) -> PageRange<Pa> {
        PageRange::new(Pa::secure(start), pages).unwrap()
    }

    #[test]
    fn refuses_what_cannot_be_a_range() {
        assert_eq!(PageRange::new(Pa::secure(1), 1), Err(RangeError::Unaligned));
        assert_eq!(PageRange::new(Pa::secure(0), 0), Err(RangeError::Empty));
        assert_eq!(PageRange::new(Pa::secure(0), u64::MAX), Err(RangeError::TooLarge));
        assert_eq!(PageRange::new(Pa::secure(0xffff_ffff_ffff_f000), 1), Err(RangeError::TooLarge));
        assert_eq!(PageRange::new(Pa::secure((1 << 48) - 0x1000), 2), Err(RangeError::TooLarge));
        assert!(PageRange::new(Pa::secure((1 << 48) - 0x1000), 1).is_ok());
        assert_eq!(PageRange::from_size(Pa::secure(0), 0x1800), Err(RangeError::Unaligned));
        assert_eq!(PageRange::from_size(Pa::secure(0), 0), Err(RangeError::Empty));
    }

    #[test]
    fn overlap_needs_a_common_page_of_one_space() {
        assert!(range(0x1000, 2).overlaps(&range(0x2000, 1)));
        assert!(!range(0x1000, 2).overlaps(&range(0x3000, 1)));
        let other_space = PageRange::new(Pa::non_secure(0x1000), 2).unwrap();
        assert!(!range(0x1000, 2).overlaps(&other_space));
        assert!(!range(0x1000, 2).contains_range(&other_space));
        assert!(!range(0x1000, 2).contains(Pa::non_secure(0x1000)));
    }

    #[test]
    fn yields_each_page_once() {
        let pages: [u64; 2] = [0x1000, 0x2000];
        assert!(range(0x1000, 2).pages().map(|p| p.raw()).eq(pages));
        assert_eq!(range((1 << 48) - 0x1000, 1).pages().count(), 1);
    }
}
