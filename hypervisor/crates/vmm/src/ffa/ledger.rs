//! Which pages of a virtual machine are what: its own, its buffers, shared, lent, donated.
//!
//! A page of which the ledger says nothing is owned and nobody else's. Every other one is in one extent.

use heapless::Vec;
use tantalum_ffa::Status;
use tantalum_ffa::memory::{Handle, TransactionKind};
use tantalum_types::{Ipa, PageRange};

/// Bounds the transactions that a virtual machine may have open: its part of what the SPMC lets the normal world have.
pub const MAX_SHARES: usize = 8;

/// Bounds the ranges of its memory in them and in its buffers. As many go into one page of a descriptor.
pub const MAX_RANGES: usize = 160;

/// Says what a page of a virtual machine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageState {
    /// It is the virtual machine's alone.
    Owned,
    /// It is an RX or TX buffer, which the SPMC reaches too.
    Buffer,
    /// It is shared with partitions.
    Shared,
    /// It is lent to partitions: the virtual machine does not reach it.
    Lent,
    /// It was donated to a partition, or is about to be: the virtual machine does not reach it.
    Donated,
}

/// Names a transaction of a virtual machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot(u8);

/// Says what an extent belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holder {
    Buffers,
    Share(Slot),
    /// A donation that its receiver has accepted: there is no transaction any more.
    Gone,
}

/// Is pages that belong to one thing.
#[derive(Clone, Copy, Debug)]
struct Extent {
    pages: PageRange<Ipa>,
    holder: Holder,
}

/// Says how much of a descriptor is still to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Arriving {
    /// The size in bytes of the whole descriptor, as the virtual machine counts.
    pub total_length: u32,
    /// How many bytes of it have come.
    pub received: u32,
}

/// Is a transaction.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share {
    pub kind: TransactionKind,
    /// None until the SPMC has given one.
    pub handle: Handle,
    /// Present while fragments are to come.
    pub arriving: Option<Arriving>,
}

impl Share {
    /// Tells whether its owner does not reach the memory.
    pub(super) const fn is_taken(&self) -> bool {
        matches!(self.kind, TransactionKind::Lend | TransactionKind::Donate)
    }
}

/// Is the place of a transaction. With a tag of its own, so that a free one is zero in every byte.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
enum Place {
    Free,
    Taken(Share),
}

impl Place {
    const fn share(&self) -> Option<&Share> {
        match self {
            Self::Free => None,
            Self::Taken(share) => Some(share),
        }
    }
}

/// Holds what of a virtual machine's memory is not simply its own.
#[derive(Debug)]
pub(super) struct Ledger {
    extents: Vec<Extent, MAX_RANGES>,
    shares: [Place; MAX_SHARES],
}

impl Ledger {
    /// Builds the ledger of one that owns all its memory.
    pub(super) const fn new() -> Self {
        Self { extents: Vec::new(), shares: [Place::Free; MAX_SHARES] }
    }

    /// Returns what the page at `page` is.
    pub(super) fn state(&self, page: Ipa) -> PageState {
        match self.extents.iter().find(|extent| extent.pages.contains(page)).map(|extent| extent.holder) {
            None => PageState::Owned,
            Some(Holder::Buffers) => PageState::Buffer,
            Some(Holder::Gone) => PageState::Donated,
            Some(Holder::Share(slot)) => match self.share(slot).map(|share| share.kind) {
                Some(TransactionKind::Share) => PageState::Shared,
                Some(TransactionKind::Lend) => PageState::Lent,
                Some(TransactionKind::Donate) | None => PageState::Donated,
            },
        }
    }

    /// Begins a transaction.
    ///
    /// # Errors
    /// NO_MEMORY if there are too many, or `range_count` more ranges are.
    pub(super) fn begin(&mut self, share: Share, range_count: u32) -> Result<Slot, Status> {
        let room = MAX_RANGES.saturating_sub(self.extents.len());
        if usize::try_from(range_count).map_or(true, |count| count > room) {
            return Err(Status::NoMemory);
        }
        let free = (0..).zip(&mut self.shares).find(|(_, place)| place.share().is_none());
        let (index, place) = free.ok_or(Status::NoMemory)?;
        *place = Place::Taken(share);
        Ok(Slot(index))
    }

    /// Returns a transaction.
    pub(super) fn share(&self, slot: Slot) -> Option<&Share> {
        self.shares.get(usize::from(slot.0))?.share()
    }

    /// Returns a transaction for a change.
    pub(super) fn share_mut(&mut self, slot: Slot) -> Option<&mut Share> {
        match self.shares.get_mut(usize::from(slot.0))? {
            Place::Free => None,
            Place::Taken(share) => Some(share),
        }
    }

    /// Finds the transaction with this handle.
    pub(super) fn find(&self, handle: Handle) -> Option<Slot> {
        let known = |place: &Place| place.share().is_some_and(|share| share.handle == handle);
        let found = (0..).zip(&self.shares).find(|(_, place)| known(place));
        found.filter(|_| handle != Handle::NONE).map(|(index, _)| Slot(index))
    }

    /// Yields the names of all transactions that there can be.
    pub(super) fn slots(&self) -> impl Iterator<Item = Slot> + use<> {
        (0..).map(Slot).take(MAX_SHARES)
    }

    /// Adds pages to a transaction.
    ///
    /// # Errors
    /// DENIED if one of them is not simply owned, NO_MEMORY if there are too many ranges.
    pub(super) fn add(&mut self, slot: Slot, pages: PageRange<Ipa>) -> Result<(), Status> {
        self.claim(pages, Holder::Share(slot))
    }

    /// Takes pages out again that were added last and could not be taken from their owner.
    pub(super) fn forget(&mut self, pages: &PageRange<Ipa>) {
        self.extents.retain(|extent| extent.pages != *pages);
    }

    /// Makes pages buffers.
    ///
    /// # Errors
    /// As [`Self::add`]. Nothing has changed then.
    pub(super) fn add_buffers(&mut self, tx: PageRange<Ipa>, rx: PageRange<Ipa>) -> Result<(), Status> {
        self.claim(tx, Holder::Buffers)?;
        self.claim(rx, Holder::Buffers).inspect_err(|_| self.forget(&tx))
    }

    /// Lets buffers be pages like others.
    pub(super) fn remove_buffers(&mut self) {
        self.extents.retain(|extent| extent.holder != Holder::Buffers);
    }

    /// Yields the pages of a transaction.
    pub(super) fn pages(&self, slot: Slot) -> impl Iterator<Item = PageRange<Ipa>> {
        let of_slot = move |extent: &&Extent| extent.holder == Holder::Share(slot);
        self.extents.iter().filter(of_slot).map(|extent| extent.pages)
    }

    /// Ends a transaction: its pages are owned again.
    pub(super) fn end(&mut self, slot: Slot) {
        self.extents.retain(|extent| extent.holder != Holder::Share(slot));
        self.free(slot);
    }

    /// Ends a transaction of which the pages do not come back.
    pub(super) fn give_up(&mut self, slot: Slot) {
        for extent in self.extents.iter_mut().filter(|extent| extent.holder == Holder::Share(slot)) {
            extent.holder = Holder::Gone;
        }
        self.free(slot);
    }

    /// Tells whether all memory is simply owned.
    pub(super) fn is_empty(&self) -> bool {
        self.extents.is_empty() && self.shares.iter().all(|place| place.share().is_none())
    }

    fn free(&mut self, slot: Slot) {
        if let Some(place) = self.shares.get_mut(usize::from(slot.0)) {
            *place = Place::Free;
        }
    }

    fn claim(&mut self, pages: PageRange<Ipa>, holder: Holder) -> Result<(), Status> {
        if self.extents.iter().any(|extent| extent.pages.overlaps(&pages)) {
            return Err(Status::Denied);
        }
        self.extents.push(Extent { pages, holder }).map_err(|_| Status::NoMemory)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pages(number: u64, count: u64) -> PageRange<Ipa> {
        PageRange::new(Ipa::non_secure(number << 12), count).unwrap()
    }

    fn share(kind: TransactionKind, handle: u64) -> Share {
        Share { kind, handle: Handle::new(handle), arriving: None }
    }

    #[test]
    fn a_page_is_one_thing_at_a_time() {
        let mut ledger = Ledger::new();
        ledger.add_buffers(pages(1, 1), pages(2, 1)).unwrap();
        let lent = ledger.begin(share(TransactionKind::Lend, 7), 2).unwrap();
        ledger.add(lent, pages(10, 4)).unwrap();
        for taken in [pages(1, 1), pages(0, 2), pages(13, 1), pages(9, 2), pages(5, 100)] {
            assert_eq!(ledger.add(lent, taken), Err(Status::Denied), "{taken:?}");
            assert_eq!(ledger.add_buffers(pages(20, 1), taken), Err(Status::Denied));
        }
        let states = [0, 1, 2, 10, 13, 14].map(|page| ledger.state(Ipa::non_secure(page << 12 | 0xfff)));
        use PageState::{Buffer, Lent, Owned};
        assert_eq!(states, [Owned, Buffer, Buffer, Lent, Lent, Owned]);
        ledger.remove_buffers();
        ledger.end(lent);
        assert!(ledger.is_empty());
    }

    #[test]
    fn a_donation_that_was_accepted_stays_gone() {
        let mut ledger = Ledger::new();
        let slot = ledger.begin(share(TransactionKind::Donate, 7), 1).unwrap();
        ledger.add(slot, pages(10, 1)).unwrap();
        assert_eq!(ledger.state(Ipa::non_secure(10 << 12)), PageState::Donated);
        ledger.give_up(slot);
        assert_eq!(ledger.find(Handle::new(7)), None);
        assert_eq!(ledger.state(Ipa::non_secure(10 << 12)), PageState::Donated);
        assert!(!ledger.is_empty());
    }

    #[test]
    fn handles_find_their_transaction() {
        let mut ledger = Ledger::new();
        let begun = share(TransactionKind::Share, 0);
        let first = ledger.begin(begun, 1).unwrap();
        assert_eq!(ledger.find(Handle::NONE), None, "it has none yet");
        ledger.share_mut(first).unwrap().handle = Handle::new(9);
        let second = ledger.begin(share(TransactionKind::Lend, 10), 1).unwrap();
        assert_eq!(ledger.find(Handle::new(9)), Some(first));
        assert_eq!(ledger.find(Handle::new(10)), Some(second));
        assert_eq!(ledger.find(Handle::new(11)), None);
    }

    #[test]
    fn there_are_few() {
        let mut ledger = Ledger::new();
        let one = share(TransactionKind::Share, 1);
        assert_eq!(ledger.begin(one, MAX_RANGES as u32 + 1), Err(Status::NoMemory));
        for _ in 0..MAX_SHARES {
            assert!(ledger.begin(one, 1).is_ok());
        }
        assert_eq!(ledger.begin(one, 1), Err(Status::NoMemory));
        let slot = ledger.slots().next().unwrap();
        for page in 0..MAX_RANGES as u64 {
            assert_eq!(ledger.add(slot, pages(page * 2, 1)), Ok(()));
        }
        assert_eq!(ledger.add(slot, pages(1, 1)), Err(Status::NoMemory));
        assert_eq!(ledger.add_buffers(pages(1, 1), pages(3, 1)), Err(Status::NoMemory));
    }
}
