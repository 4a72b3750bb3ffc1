//! Which pages are spoken for: those of every transaction, and every endpoint's buffers.

use heapless::Vec;
use tantalum_types::{Pa, PageRange};

use super::extent::Extent;
use super::party::{PARTIES, Party};
use crate::share::ClaimError;

/// Keeps at most `N` ranges, of which no two overlap, under a quota for each owner.
///
/// The ranges of one transaction form a list in the order in which they were claimed. All of them together are also
/// kept in the order of their addresses, so that a range costs one binary search to check; to take it in moves two
/// bytes for each range behind it.
#[derive(Debug)]
pub(crate) struct Claims<const N: usize> {
    extents: [Extent; N],
    /// The place behind each in its list, or the next free one.
    next: [Place; N],
    /// The first free place among those that were used before.
    free: Place,
    /// How many places were ever used.
    used_ever: u16,
    in_order: Vec<u16, N>,
    used: [u16; PARTIES],
}

/// Names a place in the pool, counted from 1, or none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Place(u16);

impl Place {
    const NONE: Self = Self(0);

    /// Names the place with the index `index`.
    fn at(index: u16) -> Self {
        Self(index.saturating_add(1))
    }

    /// Returns the index of the place, or `None`.
    fn index(self) -> Option<usize> {
        self.0.checked_sub(1).map(usize::from)
    }
}

/// Is a list of claimed ranges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct List {
    first: Place,
    last: Place,
    length: u16,
}

impl List {
    /// Lists no ranges.
    pub(crate) const EMPTY: Self = Self { first: Place::NONE, last: Place::NONE, length: 0 };

    /// Returns the number of ranges.
    pub(crate) const fn len(&self) -> u16 {
        self.length
    }
}

impl<const N: usize> Claims<N> {
    /// Keeps no ranges.
    pub(crate) const fn new() -> Self {
        Self {
            extents: [Extent::EMPTY; N],
            next: [Place::NONE; N],
            free: Place::NONE,
            used_ever: 0,
            in_order: Vec::new(),
            used: [0; PARTIES],
        }
    }

    /// Checks that `party` can claim `count` more ranges.
    ///
    /// # Errors
    /// Says so if that is more than its quota.
    pub(crate) fn can_take(&self, party: Party, count: u32) -> Result<(), ClaimError> {
        let left = party.range_quota().saturating_sub(self.used_by(party));
        if count > u32::from(left) { Err(ClaimError::QuotaUsedUp) } else { Ok(()) }
    }

    /// Returns how many ranges `party` has claimed.
    pub(crate) fn used_by(&self, party: Party) -> u16 {
        self.used.get(party.slot()).copied().unwrap_or(0)
    }

    /// Appends `extent`, which is not empty, to the ranges that `party` has claimed in `list`.
    ///
    /// # Errors
    /// Says so if part of it is claimed already or the quota is used up; then nothing has changed.
    pub(crate) fn claim(&mut self, party: Party, list: &mut List, extent: Extent) -> Result<(), ClaimError> {
        let at = self.free_place(extent)?;
        self.can_take(party, 1)?;
        let index = self.take_place()?;
        if let Some(place) = self.extents.get_mut(usize::from(index)) {
            *place = extent;
        }
        self.set_next(Place::at(index), Place::NONE);
        // There are as many entries as places, and one was free.
        if self.in_order.push(index).is_ok()
            && let Some(behind) = self.in_order.get_mut(at..)
            && !behind.is_empty()
        {
            behind.rotate_right(1);
        }
        if list.first == Place::NONE {
            list.first = Place::at(index);
        } else {
            self.set_next(list.last, Place::at(index));
        }
        list.last = Place::at(index);
        list.length = list.length.saturating_add(1);
        if let Some(used) = self.used.get_mut(party.slot()) {
            *used = used.saturating_add(1);
        }
        Ok(())
    }

    /// Gives up every range in `list` of `party`, and empties it.
    pub(crate) fn release(&mut self, party: Party, list: &mut List) {
        let mut place = list.first;
        while let Some(index) = place.index() {
            if let Some(extent) = self.extents.get_mut(index) {
                *extent = Extent::EMPTY;
            }
            place = self.next_of(place);
        }
        let extents = &self.extents;
        self.in_order
            .retain(|index| extents.get(usize::from(*index)).is_some_and(|extent| !extent.is_empty()));
        if list.first != Place::NONE {
            self.set_next(list.last, self.free);
            self.free = list.first;
        }
        if let Some(used) = self.used.get_mut(party.slot()) {
            *used = used.saturating_sub(list.length);
        }
        *list = List::EMPTY;
    }

    /// Gives up the range `extent` that `party` has claimed in a list which is not kept.
    pub(crate) fn release_one(&mut self, party: Party, extent: Extent) {
        let at = self.in_order.partition_point(|index| self.extent(*index).first() < extent.first());
        let index = self.in_order.get(at).copied().filter(|index| self.extent(*index) == extent);
        if let Some(index) = index {
            let place = Place::at(index);
            self.release(party, &mut List { first: place, last: place, length: 1 });
        }
    }

    /// Yields the ranges in `list`, in the order in which they were claimed.
    pub(crate) fn ranges(&self, list: &List) -> Ranges<'_, N> {
        Ranges { claims: self, next: list.first }
    }

    /// Returns where in the order `extent` belongs.
    ///
    /// # Errors
    /// Says so if part of it is claimed.
    fn free_place(&self, extent: Extent) -> Result<usize, ClaimError> {
        let at = self.in_order.partition_point(|index| self.extent(*index).first() < extent.first());
        let before = at.checked_sub(1).and_then(|before| self.in_order.get(before));
        let behind = self.in_order.get(at);
        let clear = before.is_none_or(|index| self.extent(*index).end() <= extent.first())
            && behind.is_none_or(|index| self.extent(*index).first() >= extent.end());
        if clear { Ok(at) } else { Err(ClaimError::Overlap) }
    }

    fn extent(&self, index: u16) -> Extent {
        self.extents.get(usize::from(index)).copied().unwrap_or(Extent::EMPTY)
    }

    fn next_of(&self, place: Place) -> Place {
        place.index().and_then(|index| self.next.get(index)).copied().unwrap_or(Place::NONE)
    }

    fn set_next(&mut self, place: Place, next: Place) {
        if let Some(link) = place.index().and_then(|index| self.next.get_mut(index)) {
            *link = next;
        }
    }

    fn take_place(&mut self) -> Result<u16, ClaimError> {
        match self.free.0.checked_sub(1) {
            Some(index) => {
                self.free = self.next_of(self.free);
                Ok(index)
            }
            None if usize::from(self.used_ever) < N => {
                let index = self.used_ever;
                self.used_ever = index.saturating_add(1);
                Ok(index)
            }
            None => Err(ClaimError::QuotaUsedUp),
        }
    }
}

/// Yields claimed ranges.
#[derive(Debug)]
pub(crate) struct Ranges<'a, const N: usize> {
    claims: &'a Claims<N>,
    next: Place,
}

impl<const N: usize> Clone for Ranges<'_, N> {
    fn clone(&self) -> Self {
        Self { claims: self.claims, next: self.next }
    }
}

impl<const N: usize> Iterator for Ranges<'_, N> {
    type Item = PageRange<Pa>;

    fn next(&mut self) -> Option<PageRange<Pa>> {
        let extent = *self.claims.extents.get(self.next.index()?)?;
        self.next = self.claims.next_of(self.next);
        extent.range()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extent(page: u64, count: u64) -> Extent {
        Extent::new(&PageRange::new(Pa::non_secure(page << 12), count).unwrap()).unwrap()
    }

    fn pages(claims: &Claims<64>, list: &List) -> std::vec::Vec<(u64, u64)> {
        claims.ranges(list).map(|range| (range.start().raw() >> 12, range.page_count())).collect()
    }

    #[test]
    fn keeps_the_order_in_which_ranges_were_claimed() {
        let mut claims = Claims::<64>::new();
        let mut list = List::EMPTY;
        for (page, count) in [(50, 2), (10, 5), (30, 1), (15, 15), (60, 1), (52, 8)] {
            claims.claim(Party::NormalWorld, &mut list, extent(page, count)).unwrap();
        }
        assert_eq!(pages(&claims, &list), [(50, 2), (10, 5), (30, 1), (15, 15), (60, 1), (52, 8)]);
        assert_eq!((list.len(), claims.used_by(Party::NormalWorld)), (6, 6));
    }

    #[test]
    fn refuses_what_is_claimed_and_changes_nothing() {
        let mut claims = Claims::<64>::new();
        let (mut first, mut second) = (List::EMPTY, List::EMPTY);
        claims.claim(Party::NormalWorld, &mut first, extent(10, 5)).unwrap();
        claims.claim(Party::NormalWorld, &mut first, extent(20, 5)).unwrap();
        for (page, count) in [(10, 5), (9, 2), (14, 1), (14, 7), (8, 100), (12, 1), (24, 9)] {
            let refused = claims.claim(Party::NormalWorld, &mut second, extent(page, count));
            assert_eq!(refused, Err(ClaimError::Overlap), "{count} pages from {page}");
        }
        assert_eq!(second, List::EMPTY);
        assert_eq!(claims.used_by(Party::NormalWorld), 2);
        claims.claim(Party::NormalWorld, &mut second, extent(15, 5)).unwrap();
        // The same numbers in the other space are other pages.
        let secure = Extent::new(&PageRange::new(Pa::secure(10 << 12), 5).unwrap()).unwrap();
        assert!(claims.claim(Party::NormalWorld, &mut second, secure).is_ok());
    }

    #[test]
    fn gives_up_a_single_range() {
        let mut claims = Claims::<64>::new();
        let mut list = List::EMPTY;
        claims.claim(Party::NormalWorld, &mut list, extent(10, 1)).unwrap();
        claims.claim(Party::NormalWorld, &mut List::default(), extent(20, 2)).unwrap();
        claims.release_one(Party::NormalWorld, extent(20, 1));
        claims.release_one(Party::NormalWorld, extent(21, 1));
        assert_eq!(claims.used_by(Party::NormalWorld), 2, "that is not what was claimed");
        claims.release_one(Party::NormalWorld, extent(20, 2));
        assert_eq!(claims.used_by(Party::NormalWorld), 1);
        assert_eq!(pages(&claims, &list), [(10, 1)]);
        claims.claim(Party::NormalWorld, &mut list, extent(20, 2)).unwrap();
    }

    #[test]
    fn takes_every_place_again() {
        let mut claims = Claims::<64>::new();
        for round in 0..10 {
            let mut lists = [List::EMPTY; 4];
            for page in 0..64 {
                let list = &mut lists[page as usize % 4];
                claims.claim(Party::NormalWorld, list, extent(page * 2 + round, 1)).unwrap();
            }
            let refused = claims.claim(Party::NormalWorld, &mut lists[0], extent(1000, 1));
            assert_eq!(refused, Err(ClaimError::QuotaUsedUp), "every place is taken");
            for list in &mut lists {
                claims.release(Party::NormalWorld, list);
            }
            assert_eq!(claims.used_by(Party::NormalWorld), 0);
        }
    }
}
