//! The pages that stage-2 tables are made of.

use core::sync::atomic::{AtomicU64, Ordering};

use tantalum_types::{AddressSpace, PAGE_SIZE, Pa};

use aarch64_cpu::asm::barrier::{ISHST, dsb};

const ENTRY_COUNT: usize = 512;

#[repr(C, align(4096))]
struct Table([AtomicU64; ENTRY_COUNT]);

/// Holds `N` pages of 512 descriptors.
pub struct TablePool<const N: usize>([Table; N]);

impl<const N: usize> TablePool<N> {
    /// Builds the pool with every descriptor zero, which is invalid.
    pub const fn new() -> Self {
        Self([const { Table([const { AtomicU64::new(0) }; ENTRY_COUNT]) }; N])
    }

    /// Returns how many pages there are.
    pub const fn page_count(&self) -> usize {
        N
    }

    /// Returns the physical address of page `page`, which lies in `space` as the whole image does, or `None` if there is
    /// no such page.
    pub fn address(&self, page: usize, space: AddressSpace) -> Option<Pa> {
        let table: *const Table = self.0.get(page)?;
        // The hypervisor's virtual addresses are physical ones.
        let address = table.addr() as u64;
        debug_assert!(address.is_multiple_of(PAGE_SIZE));
        Some(Pa::new(space, address))
    }

    /// Returns descriptor `index` of page `page`; zero if there is no such one.
    pub fn load(&self, page: usize, index: usize) -> u64 {
        self.entry(page, index).map_or(0, |entry| entry.load(Ordering::Relaxed))
    }

    /// Replaces descriptor `index` of page `page` and returns when walkers see it; does nothing if there is no
    /// such one.
    pub fn store(&self, page: usize, index: usize, descriptor: u64) {
        if let Some(entry) = self.entry(page, index) {
            // Whoever built what the descriptor points to did so before.
            entry.store(descriptor, Ordering::Release);
            dsb(ISHST);
        }
    }

    fn entry(&self, page: usize, index: usize) -> Option<&AtomicU64> {
        self.0.get(page)?.0.get(index)
    }
}

impl<const N: usize> Default for TablePool<N> {
    fn default() -> Self {
        Self::new()
    }
}
