//! Changes of many ranges that happen wholly or not at all.

use tantalum_hal::{TableMemory, Tlb};
use tantalum_types::{Ipa, PageRange};

use crate::attributes::Attributes;
use crate::error::Stage2Error;
use crate::pool::TablePool;
use crate::table::Stage2;

impl Stage2 {
    /// Maps every range of `ranges` to the same addresses of physical memory, with `attributes`.
    ///
    /// # Errors
    /// As [`Stage2::map`] for any of them; then none is mapped, and no table page is taken.
    pub fn map_all_identically<const N: usize, M: TableMemory + ?Sized, T: Tlb + ?Sized>(
        &mut self,
        ranges: impl Iterator<Item = PageRange<Ipa>> + Clone,
        attributes: Attributes,
        pool: &mut TablePool<N>,
        memory: &M,
        tlb: &T,
    ) -> Result<(), Stage2Error> {
        for (done, range) in ranges.clone().enumerate() {
            let Err(error) = self.map(range, range.to_identical_pa(), attributes, pool, memory, tlb) else {
                continue;
            };
            for range in ranges.take(done) {
                // What was mapped as one range is unmapped without a split, so it needs no table.
                let _ = self.unmap(range, pool, memory, tlb);
            }
            return Err(error);
        }
        Ok(())
    }

    /// Unmaps every range of `ranges`, of which no two overlap. When this returns no processing element uses the
    /// old translations any more.
    ///
    /// # Errors
    /// As [`Stage2::unmap`] for any of them; then all are mapped as they were, though a block may have become a
    /// table that says the same.
    pub fn unmap_all<const N: usize, M: TableMemory + ?Sized, T: Tlb + ?Sized>(
        &mut self,
        ranges: impl Iterator<Item = PageRange<Ipa>> + Clone,
        pool: &mut TablePool<N>,
        memory: &M,
        tlb: &T,
    ) -> Result<(), Stage2Error> {
        for range in ranges.clone() {
            self.make_separable(&range, pool, memory, tlb)?;
        }
        for range in ranges {
            self.unmap(range, pool, memory, tlb)?;
        }
        Ok(())
    }
}
