//! The pages set aside for translation tables, shared out under a quota.

use tantalum_types::{MAX_PARTITIONS, PartitionIndex};

use crate::error::PoolError;

/// Shares out `N` table pages by index. Each owner has at most its quota of them, so that none can starve
/// another: with a quota of `N` by the number of owners or less, an owner's pages are always there for it.
#[derive(Debug)]
pub struct TablePool<const N: usize> {
    owners: [Option<PartitionIndex>; N],
    used: [usize; MAX_PARTITIONS],
    most_used: [usize; MAX_PARTITIONS],
    quota: usize,
}

impl<const N: usize> TablePool<N> {
    /// Builds a pool of free pages of which each owner may have `quota`.
    pub const fn new(quota: usize) -> Self {
        Self { owners: [None; N], used: [0; MAX_PARTITIONS], most_used: [0; MAX_PARTITIONS], quota }
    }

    /// Takes a free page for `owner` and returns its index, below `N`. What the page holds is unknown.
    ///
    /// # Errors
    /// Says so if the quota of `owner` is used up or no page is free.
    pub fn allocate(&mut self, owner: PartitionIndex) -> Result<usize, PoolError> {
        self.can_take(owner, 1)?;
        let (page, slot) =
            self.owners.iter_mut().enumerate().find(|(_, slot)| slot.is_none()).ok_or(PoolError::Empty)?;
        *slot = Some(owner);
        if let (Some(used), Some(most)) =
            (self.used.get_mut(owner.get()), self.most_used.get_mut(owner.get()))
        {
            *used = used.saturating_add(1);
            *most = (*most).max(*used);
        }
        Ok(page)
    }

    /// Gives back page `page`. Does nothing if it is free or there is no such page.
    pub fn free(&mut self, page: usize) {
        let Some(owner) = self.owners.get_mut(page).and_then(Option::take) else { return };
        if let Some(used) = self.used.get_mut(owner.get()) {
            *used = used.saturating_sub(1);
        }
    }

    /// Checks that `owner` can take `count` more pages. While nobody else allocates, they then can be had.
    ///
    /// # Errors
    /// Says so if that exceeds the quota of `owner` or the number of free pages.
    pub fn can_take(&self, owner: PartitionIndex, count: usize) -> Result<(), PoolError> {
        if count > self.quota.saturating_sub(self.used_by(owner)) {
            return Err(PoolError::QuotaUsedUp);
        }
        if count > self.free_count() {
            return Err(PoolError::Empty);
        }
        Ok(())
    }

    /// Returns how many pages `owner` has.
    pub fn used_by(&self, owner: PartitionIndex) -> usize {
        self.used.get(owner.get()).copied().unwrap_or(0)
    }

    /// Returns the highest number of pages that `owner` had at a time.
    pub fn most_used_by(&self, owner: PartitionIndex) -> usize {
        self.most_used.get(owner.get()).copied().unwrap_or(0)
    }

    /// Returns how many pages nobody has.
    pub fn free_count(&self) -> usize {
        self.owners.iter().filter(|owner| owner.is_none()).count()
    }

    /// Lets each owner have `quota` pages from now on. Who has more keeps them.
    pub const fn set_quota(&mut self, quota: usize) {
        self.quota = quota;
    }

    /// Returns how many pages each owner may have.
    pub const fn quota(&self) -> usize {
        self.quota
    }
}
