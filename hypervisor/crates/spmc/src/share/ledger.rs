//! The ledger: every transaction, every claimed page, every change of ownership.

use heapless::Vec;
use tantalum_ffa::memory::Handle;
use tantalum_types::{MAX_PARTITIONS, Pa, PageRange};

use super::ClaimError;
use super::claims::{Claims, List, Ranges};
use super::extent::Extent;
use super::ownership::Ownership;
use super::party::{NORMAL_WORLD_RANGES, NORMAL_WORLD_SHARES, PARTITION_RANGES, PARTITION_SHARES, Party};
use super::record::{Phase, Share};

/// Counts the ranges that can be claimed at a time: everybody's quota.
const RANGES: usize = NORMAL_WORLD_RANGES.saturating_add(PARTITION_RANGES.saturating_mul(MAX_PARTITIONS));

/// Counts the transactions: everybody's quota.
const SHARES: usize = NORMAL_WORLD_SHARES.saturating_add(PARTITION_SHARES.saturating_mul(MAX_PARTITIONS));

/// Counts the low bits of a handle that say which place it has in the ledger.
const INDEX_BITS: u32 = 8;

/// Leaves bit 63 clear, by which an endpoint knows that the SPMC, not a hypervisor, has allocated a handle.
const COUNT_MASK: u64 = (1 << 63_u32.saturating_sub(INDEX_BITS)) - 1;

/// Spreads consecutive numbers over all the bits of a handle. Odd, so that no two of them become the same.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

const _: () = assert!(SHARES <= 1 << INDEX_BITS, "a place must fit into its bits of a handle");

/// Is the ledger.
#[derive(Debug)]
pub(crate) struct Ledger {
    /// The places that were ever used.
    shares: Vec<Option<Share>, SHARES>,
    /// Which pages are spoken for.
    pub(super) claims: Claims<RANGES>,
    /// Who owns pages that were donated.
    pub(super) ownership: Ownership,
    /// How many handles were made, starting at a number that depends on the time of the first.
    handles: u64,
}

impl Ledger {
    /// Builds a ledger without entries.
    pub(crate) const fn new() -> Self {
        Self { shares: Vec::new(), claims: Claims::new(), ownership: Ownership::new(), handles: 0 }
    }

    /// Claims the pages of an endpoint's buffers, so that they can be part of no transaction.
    ///
    /// # Errors
    /// Says so if one of them is claimed already, or the quota of `party` is used up.
    pub(crate) fn claim_buffers(
        &mut self,
        party: Party,
        buffers: &[PageRange<Pa>; 2],
    ) -> Result<(), ClaimError> {
        let mut list = List::EMPTY;
        for range in buffers {
            let claimed = match Extent::new(range) {
                Some(extent) => self.claims.claim(party, &mut list, extent),
                None => Err(ClaimError::QuotaUsedUp),
            };
            if let Err(error) = claimed {
                self.claims.release(party, &mut list);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Gives up the claim of an endpoint's buffers.
    pub(crate) fn release_buffers(&mut self, party: Party, buffers: &[PageRange<Pa>; 2]) {
        for extent in buffers.iter().filter_map(Extent::new) {
            self.claims.release_one(party, extent);
        }
    }

    /// Adds a transaction, after naming it, and returns its handle. `time` makes handles harder to guess.
    ///
    /// # Errors
    /// Says so if its owner has as many transactions as it may have.
    pub(super) fn add(&mut self, mut share: Share, time: u64) -> Result<Handle, ClaimError> {
        let has = self.shares.iter().flatten().filter(|other| other.owner == share.owner).count();
        if has >= share.owner.share_quota() {
            return Err(ClaimError::QuotaUsedUp);
        }
        let free = self.shares.iter().position(Option::is_none);
        let index = free.unwrap_or(self.shares.len());
        if self.handles == 0 {
            self.handles = time;
        }
        self.handles = self.handles.wrapping_add(1);
        let count = self.handles.wrapping_mul(SPREAD) & COUNT_MASK;
        // A place has its bits to itself.
        let handle = Handle::new(count << INDEX_BITS | u64::try_from(index).unwrap_or(0));
        share.handle = handle;
        match self.shares.get_mut(index) {
            Some(place) => *place = Some(share),
            None => self.shares.push(Some(share)).map_err(|_| ClaimError::QuotaUsedUp)?,
        }
        Ok(handle)
    }

    /// Returns the transaction that `handle` names.
    pub(super) fn share(&self, handle: Handle) -> Option<&Share> {
        self.shares.get(index(handle))?.as_ref().filter(|share| share.handle == handle)
    }

    /// Returns the transaction that `handle` names, to change it.
    pub(super) fn share_mut(&mut self, handle: Handle) -> Option<&mut Share> {
        self.shares.get_mut(index(handle))?.as_mut().filter(|share| share.handle == handle)
    }

    /// Returns the transaction that `handle` names, to change it, and the claims that it is part of.
    pub(super) fn share_and_claims(&mut self, handle: Handle) -> Option<(&mut Share, &mut Claims<RANGES>)> {
        let share = self.shares.get_mut(index(handle))?.as_mut().filter(|share| share.handle == handle)?;
        Some((share, &mut self.claims))
    }

    /// Ends a transaction: its pages are nobody's any more but the owner's.
    pub(super) fn remove(&mut self, handle: Handle) {
        let Some(place) = self.shares.get_mut(index(handle)) else { return };
        if let Some(mut share) = place.take_if(|share| share.handle == handle) {
            self.claims.release(share.owner, &mut share.ranges);
        }
    }

    /// Ends every transaction of `owner` of which fragments are still to come.
    pub(crate) fn remove_unfinished(&mut self, owner: Party) {
        for place in &mut self.shares {
            let unfinished =
                |share: &mut Share| share.owner == owner && matches!(share.phase, Phase::Arriving { .. });
            if let Some(mut share) = place.take_if(unfinished) {
                self.claims.release(owner, &mut share.ranges);
            }
        }
    }

    /// Makes `owner` the owner of the memory of a transaction. It must have been checked that there is room.
    pub(super) fn donate(&mut self, handle: Handle, owner: Party) {
        let Some(share) = self.shares.get(index(handle)).and_then(Option::as_ref) else { return };
        for range in self.claims.ranges(&share.ranges) {
            if let Some(extent) = Extent::new(&range) {
                self.ownership.set_owner(extent, owner);
            }
        }
    }

    /// Returns the memory of a transaction.
    pub(super) fn ranges(&self, share: &Share) -> Ranges<'_, RANGES> {
        self.claims.ranges(&share.ranges)
    }

    /// Returns the handle of the transaction in the first place from `at` on, and the place behind.
    pub(super) fn next(&self, at: usize) -> Option<(Handle, usize)> {
        let (index, share) = self
            .shares
            .iter()
            .enumerate()
            .skip(at)
            .find_map(|(index, share)| Some((index, share.as_ref()?)))?;
        Some((share.handle, index.saturating_add(1)))
    }
}

/// Returns the place that `handle` names.
fn index(handle: Handle) -> usize {
    usize::try_from(handle.raw() & ((1 << INDEX_BITS) - 1)).unwrap_or(usize::MAX)
}
