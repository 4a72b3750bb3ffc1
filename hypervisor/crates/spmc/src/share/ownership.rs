//! Who owns a page that no longer belongs to whom the manifests gave it: memory that was donated.

use heapless::Vec;
use tantalum_types::{Pa, PageRange};

use super::extent::Extent;
use super::party::Party;
use crate::share::ClaimError;

/// Counts the ranges of donated memory.
const MOVED_RANGES: usize = 256;

/// Counts the ranges of donated memory that each partition may own.
const MOVED_QUOTA: usize = MOVED_RANGES / tantalum_types::MAX_PARTITIONS;

/// Keeps the ranges that have changed hands, in the order of their addresses, none overlapping another.
#[derive(Debug)]
pub(crate) struct Ownership {
    moved: Vec<Moved, MOVED_RANGES>,
}

/// Is a range with its new owner.
#[derive(Clone, Copy, Debug)]
struct Moved {
    extent: Extent,
    owner: Party,
}

impl Ownership {
    /// Knows of no range that has changed hands.
    pub(crate) const fn new() -> Self {
        Self { moved: Vec::new() }
    }

    /// Tells whether `party` owns every page of `extent`, where `at_first` says whether all of a range was its own
    /// at first.
    pub(crate) fn owns(
        &self,
        party: Party,
        extent: Extent,
        at_first: impl Fn(&PageRange<Pa>) -> bool,
    ) -> bool {
        let original = |extent: Extent| extent.range().is_none_or(|range| at_first(&range));
        let mut left = extent;
        let begin = self.moved.partition_point(|moved| moved.extent.end() <= extent.first());
        for moved in self.moved.iter().skip(begin) {
            let (before, rest) = left.split_at(moved.extent.first());
            let (inside, behind) = rest.split_at(moved.extent.end());
            if !original(before) || !(inside.is_empty() || moved.owner == party) {
                return false;
            }
            left = behind;
            if left.is_empty() {
                return true;
            }
        }
        original(left)
    }

    /// Checks that `count` ranges can change hands from `from` to `to`.
    ///
    /// # Errors
    /// Says so if one of them would have more ranges then than it may.
    pub(crate) fn can_move(&self, from: Party, to: Party, count: usize) -> Result<(), ClaimError> {
        // What leaves the middle of a donated range leaves two pieces of it behind.
        let fits = |party: Party| {
            let has = self.moved.iter().filter(|moved| moved.owner == party).count();
            has == 0 && party == from || has.saturating_add(count) <= MOVED_QUOTA
        };
        if fits(from) && fits(to) { Ok(()) } else { Err(ClaimError::QuotaUsedUp) }
    }

    /// Makes `owner` the owner of `extent`. It must have been checked that there is room.
    pub(crate) fn set_owner(&mut self, extent: Extent, owner: Party) {
        let mut at = self.moved.partition_point(|moved| moved.extent.end() <= extent.first());
        while let Some(moved) = self.moved.get(at).copied() {
            let (before, rest) = moved.extent.split_at(extent.first());
            let (inside, behind) = rest.split_at(extent.end());
            if inside.is_empty() {
                break;
            }
            let _ = self.moved.remove(at);
            for piece in [before, behind] {
                if !piece.is_empty() && self.insert(at, Moved { extent: piece, owner: moved.owner }) {
                    at = at.saturating_add(1);
                }
            }
            if !behind.is_empty() {
                // The new range lies before it.
                at = at.saturating_sub(1);
                break;
            }
        }
        self.insert(at, Moved { extent, owner });
    }

    fn insert(&mut self, at: usize, moved: Moved) -> bool {
        at <= self.moved.len() && self.moved.insert(at, moved).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tantalum_types::PartitionIndex;

    fn extent(page: u64, count: u64) -> Extent {
        Extent::new(&PageRange::new(Pa::secure(page << 12), count).unwrap()).unwrap()
    }

    fn party(index: usize) -> Party {
        Party::Partition(PartitionIndex::new(index).unwrap())
    }

    /// Compares with one owner for each page, for a fixed but wild sequence of donations.
    #[test]
    fn agrees_with_an_owner_for_each_page() {
        const PAGES: u64 = 64;
        let mut ownership = Ownership::new();
        let mut owners = [0_usize; PAGES as usize];
        let mut random: u64 = 1;
        for _ in 0..2000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let first = (random >> 33) % PAGES;
            let count = 1 + (random >> 40) % (PAGES - first).min(9);
            let owner = (random >> 50) as usize % 3;
            ownership.set_owner(extent(first, count), party(owner));
            owners[first as usize..(first + count) as usize].fill(owner);
            let sorted = ownership.moved.windows(2).all(|two| two[0].extent.end() <= two[1].extent.first());
            assert!(sorted, "{ownership:?}");
            for page in 0..PAGES {
                for owner in 0..3 {
                    let owns = ownership.owns(party(owner), extent(page, 1), |_| owner == 0);
                    assert_eq!(owns, owners[page as usize] == owner, "page {page}, {ownership:?}");
                }
            }
            for owner in 0..3 {
                let owns = ownership.owns(party(owner), extent(first, count), |_| owner == 0);
                let expected = owners[first as usize..(first + count) as usize].iter().all(|o| *o == owner);
                assert_eq!(owns, expected);
            }
        }
    }

    #[test]
    fn has_a_quota_for_each_owner() {
        let mut ownership = Ownership::new();
        assert!(ownership.can_move(party(0), party(1), MOVED_QUOTA).is_ok());
        assert!(ownership.can_move(party(0), party(1), MOVED_QUOTA + 1).is_err());
        for page in 0..MOVED_QUOTA as u64 {
            ownership.set_owner(extent(page * 2, 1), party(1));
        }
        assert!(ownership.can_move(party(0), party(1), 1).is_err());
        assert!(ownership.can_move(party(0), party(2), 1).is_ok());
        assert!(ownership.can_move(party(1), party(2), 1).is_err(), "it may have to keep two pieces of one");
    }
}
