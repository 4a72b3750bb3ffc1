//! The tables of one intermediate physical address space.

use tantalum_hal::{TableMemory, Tlb, VmId};
use tantalum_types::{Address, AddressSpace, Ipa, PAGE_SIZE, Pa, PageRange, PartitionIndex};

use crate::attributes::{Attributes, Execute, Mapping, MemoryType};
use crate::descriptor::{Descriptor, ENTRIES, Level};
use crate::error::Stage2Error;
use crate::pool::TablePool;

/// Counts the bits of an intermediate physical address: VTCR_EL2.T0SZ and VSTCR_EL2.T0SZ are 64 less this, 25.
pub const IPA_BITS: u32 = 39;

/// Bounds the pages that are invalidated in the TLBs one by one. More of them cost more than to look up the
/// partition's other pages again.
const SINGLE_INVALIDATIONS: u64 = 32;

/// Translates one intermediate physical address space of one partition, or that of one virtual machine.
///
/// The tables use the 4 KiB granule, 39 bits of address and start at level 1 (T0SZ = 25, SL0 = 1). HCR_EL2.FWB
/// is 0. In the Secure world, addresses of the Secure space come out in Secure physical memory and those of the Non-secure space in
/// Non-secure physical memory: VSTCR_EL2.SA = 0, VTCR_EL2.NSA = 1. The tables of both lie in Secure memory:
/// VSTCR_EL2.SW = 0, VTCR_EL2.NSW = 0. A descriptor of stage 2 has no NS bit: it cannot reach the other
/// space.
///
/// The caller serialises changes of one table. While a block is split or attributes change, another
/// processing element can take a translation fault on a page that is mapped: whoever handles such a fault
/// asks [`Stage2::translate`] under the same lock and, if the access is allowed after all, resumes.
///
/// Blocks are split when part of them changes and are not put together again.
#[derive(Debug)]
pub struct Stage2 {
    owner: PartitionIndex,
    space: AddressSpace,
    vmid: VmId,
    root_page: usize,
    root: Pa,
}

/// Names one descriptor: where the walk for an address ends.
#[derive(Clone, Copy, Debug)]
struct Slot {
    level: Level,
    page: usize,
    index: usize,
}

impl Slot {
    fn load<M: TableMemory + ?Sized>(self, memory: &M) -> Descriptor {
        Descriptor(memory.load(self.page, self.index))
    }

    fn store<M: TableMemory + ?Sized>(self, memory: &M, descriptor: Descriptor) {
        memory.store(self.page, self.index, descriptor.0);
    }
}

/// Counts the descriptors that an operation has taken away, to choose how to invalidate the TLBs.
#[derive(Clone, Copy, Debug, Default)]
struct Broken {
    /// Descriptors of level 3.
    pages: u64,
    /// Whether a block or a table was among them.
    larger: bool,
}

impl Broken {
    fn add(&mut self, level: Level) {
        match level {
            Level::Three => self.pages = self.pages.saturating_add(1),
            Level::One | Level::Two => self.larger = true,
        }
    }
}

impl Stage2 {
    /// Builds an empty table of the address space `space` that takes its pages on the quota of `owner`: one at
    /// once.
    ///
    /// Tables of the Secure world lie in Secure memory. Those in Non-secure memory are of the normal world, which
    /// has no other space: it may execute from it.
    ///
    /// # Errors
    /// Says so if there is no table page for the root, one of the pages that the pool counts has no page-aligned
    /// address in `memory`, they do not all lie in one space, or it is one that cannot have tables of `space`.
    pub fn new<const N: usize, M: TableMemory + ?Sized>(
        owner: PartitionIndex,
        space: AddressSpace,
        vmid: VmId,
        pool: &mut TablePool<N>,
        memory: &M,
    ) -> Result<Self, Stage2Error> {
        // Checked once for all pages, so that nothing can go wrong half way through a change.
        let world = memory.address(0).map_or(AddressSpace::Secure, Pa::space);
        let usable = |address: Pa| {
            address.is_page_aligned()
                && address.space() == world
                && (world == AddressSpace::Secure || address.space() == space)
        };
        if memory.page_count() < N || !(0..N).all(|page| memory.address(page).is_some_and(usable)) {
            return Err(Stage2Error::TableMemory);
        }
        let root_page = pool.allocate(owner)?;
        let Some(root) = memory.address(root_page) else {
            pool.free(root_page);
            return Err(Stage2Error::TableMemory);
        };
        clear(root_page, memory);
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
        _tlb: &T,
    ) -> Result<(), Stage2Error> {
        let (start, end) = self.bounds(&ipa)?;
        if pa.start().space() != self.space {
            return Err(Stage2Error::WrongSpace);
        }
        if pa.page_count() != ipa.page_count() {
            return Err(Stage2Error::SizeMismatch);
        }
        self.check_attributes(attributes)?;
        let pa_start = pa.start().raw();
        // Both lie below 2^48 and `address` below `end`, so the sum lies in `pa` and does not wrap.
        let output = |address: u64| pa_start.wrapping_add(address.wrapping_sub(start));

        let mut needed: u64 = 0;
        let mut address = start;
        while address < end {
            let (slot, descriptor) = self.walk(address, memory)?;
            if !descriptor.is_empty() {
                return Err(Stage2Error::MappedAlready);
            }
            let chunk_end = end.min(slot.level.next_boundary(address));
            needed = needed.saturating_add(tables_for(slot.level, address, chunk_end, output(address)));
            address = chunk_end;
        }
        pool.can_take(self.owner, usize::try_from(needed).unwrap_or(usize::MAX))?;

        // An empty descriptor is in no TLB, so nothing has to be invalidated when it becomes valid.
        let mut address = start;
        while address < end {
            let (slot, _) = self.walk(address, memory)?;
            let chunk_end = end.min(slot.level.next_boundary(address));
            if fits_leaf(slot.level, address, chunk_end, output(address)) {
                slot.store(memory, Descriptor::leaf(slot.level, output(address), attributes));
                address = chunk_end;
            } else {
                let (page, table) = self.allocate(pool, memory)?;
                clear(page, memory);
                slot.store(memory, table);
            }
        }
        Ok(())
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
        let (start, end) = self.bounds(&ipa)?;
        self.isolate(start, end, pool, memory, tlb)?;
        let mut broken = Broken::default();
        let mut address = start;
        while address < end {
            let (slot, _) = self.walk(address, memory)?;
            slot.store(memory, Descriptor::EMPTY);
            broken.add(slot.level);
            address = slot.level.next_boundary(address);
        }
        broken.larger |= self.detach_empty_tables(start, end, memory);
        self.invalidate(start, end, broken, tlb);
        self.free_detached_tables(start, end, pool, memory);
        Ok(())
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
        let (start, end) = self.bounds(&ipa)?;
        self.check_attributes(attributes)?;
        self.isolate(start, end, pool, memory, tlb)?;
        // Break every descriptor, invalidate once, then make: the broken ones keep the address meanwhile.
        let mut broken = Broken::default();
        let mut address = start;
        while address < end {
            let (slot, descriptor) = self.walk(address, memory)?;
            if descriptor.attributes() != attributes {
                slot.store(memory, descriptor.broken());
                broken.add(slot.level);
            }
            address = slot.level.next_boundary(address);
        }
        self.invalidate(start, end, broken, tlb);
        let mut address = start;
        while address < end {
            let (slot, descriptor) = self.walk(address, memory)?;
            if !descriptor.is_valid() {
                slot.store(memory, Descriptor::leaf(slot.level, descriptor.address(), attributes));
            }
            address = slot.level.next_boundary(address);
        }
        Ok(())
    }

    /// Returns what `ipa` is mapped to, or `None` if it is not mapped or of the other address space.
    pub fn translate<M: TableMemory + ?Sized>(&self, ipa: Ipa, memory: &M) -> Option<Mapping> {
        if ipa.space() != self.space || ipa.raw().wrapping_shr(IPA_BITS) != 0 {
            return None;
        }
        let (slot, descriptor) = self.walk(ipa.raw(), memory).ok()?;
        descriptor.is_valid().then(|| Mapping {
            pa: descriptor.output(slot.level, self.space, ipa.raw()),
            attributes: descriptor.attributes(),
        })
    }

    /// Tells whether every page of `range` is mapped and `predicate` holds for each, given the page's first
    /// address and mapping.
    pub fn is_mapped_with<M: TableMemory + ?Sized>(
        &self,
        range: &PageRange<Ipa>,
        memory: &M,
        mut predicate: impl FnMut(Ipa, Mapping) -> bool,
    ) -> bool {
        range.pages().all(|ipa| self.translate(ipa, memory).is_some_and(|mapping| predicate(ipa, mapping)))
    }

    /// Unmaps everything and gives every table page back to the pool.
    pub fn destroy<const N: usize, M: TableMemory + ?Sized, T: Tlb + ?Sized>(
        self,
        pool: &mut TablePool<N>,
        memory: &M,
        tlb: &T,
    ) {
        for index in 0..ENTRIES {
            let slot = Slot { level: Level::One, page: self.root_page, index };
            slot.store(memory, slot.load(memory).broken());
        }
        tlb.invalidate_all(self.vmid);
        for index in 0..ENTRIES {
            let slot = Slot { level: Level::One, page: self.root_page, index };
            let Some(middle) = child(slot.load(memory), Level::One, memory) else { continue };
            for index in 0..ENTRIES {
                let slot = Slot { level: Level::Two, page: middle, index };
                if let Some(last) = child(slot.load(memory), Level::Two, memory) {
                    pool.free(last);
                }
            }
            pool.free(middle);
        }
        pool.free(self.root_page);
    }

    /// Checks that all of `ipa` is mapped and splits the blocks that reach beyond either end, so that it can be
    /// unmapped without another table.
    pub(crate) fn make_separable<const N: usize, M: TableMemory + ?Sized, T: Tlb + ?Sized>(
        &mut self,
        ipa: &PageRange<Ipa>,
        pool: &mut TablePool<N>,
        memory: &M,
        tlb: &T,
    ) -> Result<(), Stage2Error> {
        let (start, end) = self.bounds(ipa)?;
        self.isolate(start, end, pool, memory, tlb)
    }

    /// Returns the first and the end address of `ipa` after checking that it can be translated here.
    fn bounds(&self, ipa: &PageRange<Ipa>) -> Result<(u64, u64), Stage2Error> {
        if ipa.start().space() != self.space {
            return Err(Stage2Error::WrongSpace);
        }
        if ipa.end() > 1 << IPA_BITS {
            return Err(Stage2Error::OutOfRange);
        }
        Ok((ipa.start().raw(), ipa.end()))
    }

    fn check_attributes(&self, attributes: Attributes) -> Result<(), Stage2Error> {
        // The Secure world executes nothing that the normal world can write.
        let data_only = self.space != self.root.space() || attributes.memory == MemoryType::Device;
        if data_only && attributes.execute == Execute::Allowed {
            return Err(Stage2Error::NeverExecutable);
        }
        Ok(())
    }

    /// Follows the tables for `address` to the first descriptor that is not a valid table.
    fn walk<M: TableMemory + ?Sized>(
        &self,
        address: u64,
        memory: &M,
    ) -> Result<(Slot, Descriptor), Stage2Error> {
        let mut slot = Slot { level: Level::One, page: self.root_page, index: Level::One.index(address) };
        loop {
            let descriptor = slot.load(memory);
            match slot.level.next() {
                Some(next) if descriptor.is_valid() && descriptor.is_table(slot.level) => {
                    let page = page_at(descriptor.address(), memory).ok_or(Stage2Error::TableMemory)?;
                    slot = Slot { level: next, page, index: next.index(address) };
                }
                _ => return Ok((slot, descriptor)),
            }
        }
    }

    /// Takes a table page and returns its index and the descriptor that points to it.
    fn allocate<const N: usize, M: TableMemory + ?Sized>(
        &self,
        pool: &mut TablePool<N>,
        memory: &M,
    ) -> Result<(usize, Descriptor), Stage2Error> {
        let page = pool.allocate(self.owner)?;
        match memory.address(page) {
            Some(address) => Ok((page, Descriptor::table(address.raw()))),
            None => {
                pool.free(page);
                Err(Stage2Error::TableMemory)
            }
        }
    }

    /// Checks that all from `start` to `end` is mapped, then splits the blocks that reach beyond either end.
    /// Changes nothing on an error.
    fn isolate<const N: usize, M: TableMemory + ?Sized, T: Tlb + ?Sized>(
        &self,
        start: u64,
        end: u64,
        pool: &mut TablePool<N>,
        memory: &M,
        tlb: &T,
    ) -> Result<(), Stage2Error> {
        let mut address = start;
        while address < end {
            let (slot, descriptor) = self.walk(address, memory)?;
            if !descriptor.is_valid() {
                return Err(Stage2Error::NotMapped);
            }
            address = slot.level.next_boundary(address);
        }

        let mut needed: usize = 0;
        for level in [Level::One, Level::Two] {
            let at_start = self.must_split(level, start, memory)?;
            let at_end = self.must_split(level, end, memory)?;
            let same = level.floor(start) == level.floor(end);
            let tables = match (at_start, at_end) {
                (true, true) if !same => 2,
                (false, false) => 0,
                _ => 1,
            };
            needed = needed.saturating_add(tables);
        }
        pool.can_take(self.owner, needed)?;

        self.split_at(start, pool, memory, tlb)?;
        self.split_at(end, pool, memory, tlb)
    }

    /// Tells whether a table of the level below `level` is needed for `boundary` to lie between two leaves.
    fn must_split<M: TableMemory + ?Sized>(
        &self,
        level: Level,
        boundary: u64,
        memory: &M,
    ) -> Result<bool, Stage2Error> {
        if level.is_aligned(boundary) {
            return Ok(false);
        }
        let (slot, descriptor) = self.walk(boundary, memory)?;
        // A block of 1 GiB becomes blocks of 2 MiB first, and then the one of them at the boundary pages.
        let at_or_above = slot.level == level || slot.level == Level::One;
        Ok(descriptor.is_valid() && slot.level != Level::Three && at_or_above)
    }

    /// Splits blocks until `boundary` lies between two leaves.
    fn split_at<const N: usize, M: TableMemory + ?Sized, T: Tlb + ?Sized>(
        &self,
        boundary: u64,
        pool: &mut TablePool<N>,
        memory: &M,
        tlb: &T,
    ) -> Result<(), Stage2Error> {
        for level in [Level::One, Level::Two] {
            if level.is_aligned(boundary) {
                continue;
            }
            let (slot, block) = self.walk(boundary, memory)?;
            let Some(next) = slot.level.next() else { continue };
            if slot.level != level || !block.is_valid() {
                continue;
            }
            let (page, table) = self.allocate(pool, memory)?;
            let mut output = block.address();
            for index in 0..ENTRIES {
                let leaf = Descriptor::leaf(next, output, block.attributes());
                Slot { level: next, page, index }.store(memory, leaf);
                output = output.wrapping_add(next.span());
            }
            // Replacing a block by a table of the same translations still needs the break, or a TLB could
            // hold both (Arm ARM, D8.16.1).
            slot.store(memory, Descriptor::EMPTY);
            tlb.invalidate_all(self.vmid);
            slot.store(memory, table);
        }
        Ok(())
    }

    /// Breaks the descriptors of tables between `start` and `end` that have become empty; returns whether
    /// there are any. The broken descriptors keep the addresses for [`Self::free_detached_tables`].
    fn detach_empty_tables<M: TableMemory + ?Sized>(&self, start: u64, end: u64, memory: &M) -> bool {
        let mut detached = false;
        let mut address = start;
        while address < end {
            let outer = Slot { level: Level::One, page: self.root_page, index: Level::One.index(address) };
            let outer_end = end.min(Level::One.next_boundary(address));
            if let Some(middle) = child(outer.load(memory), Level::One, memory) {
                while address < outer_end {
                    let slot = Slot { level: Level::Two, page: middle, index: Level::Two.index(address) };
                    let descriptor = slot.load(memory);
                    if let Some(last) = child(descriptor, Level::Two, memory)
                        && all_in(last, memory, Descriptor::is_empty)
                    {
                        slot.store(memory, descriptor.broken());
                        detached = true;
                    }
                    address = Level::Two.next_boundary(address);
                }
                if all_in(middle, memory, |descriptor| !descriptor.is_valid()) {
                    outer.store(memory, outer.load(memory).broken());
                    detached = true;
                }
            }
            address = outer_end;
        }
        detached
    }

    /// Gives back the tables whose descriptors between `start` and `end` are broken, and empties those.
    fn free_detached_tables<const N: usize, M: TableMemory + ?Sized>(
        &self,
        start: u64,
        end: u64,
        pool: &mut TablePool<N>,
        memory: &M,
    ) {
        let mut address = start;
        while address < end {
            let outer = Slot { level: Level::One, page: self.root_page, index: Level::One.index(address) };
            let outer_end = end.min(Level::One.next_boundary(address));
            if let Some(middle) = child(outer.load(memory), Level::One, memory) {
                while address < outer_end {
                    let slot = Slot { level: Level::Two, page: middle, index: Level::Two.index(address) };
                    free_if_broken(slot, pool, memory);
                    address = Level::Two.next_boundary(address);
                }
                free_if_broken(outer, pool, memory);
            }
            address = outer_end;
        }
    }

    /// Removes from the TLBs what the descriptors counted in `broken`, between `start` and `end`, said.
    fn invalidate<T: Tlb + ?Sized>(&self, start: u64, end: u64, broken: Broken, tlb: &T) {
        if broken.larger || broken.pages > SINGLE_INVALIDATIONS {
            tlb.invalidate_all(self.vmid);
        } else if broken.pages > 0 {
            let mut address = start;
            while address < end {
                tlb.invalidate_page(self.vmid, Ipa::new(self.space, address));
                address = address.saturating_add(PAGE_SIZE);
            }
        }
    }
}

/// Gives back the table that the descriptor in `slot` points to, if it is broken, and empties it.
fn free_if_broken<const N: usize, M: TableMemory + ?Sized>(slot: Slot, pool: &mut TablePool<N>, memory: &M) {
    let descriptor = slot.load(memory);
    if !descriptor.is_valid()
        && let Some(page) = child(descriptor, slot.level, memory)
    {
        slot.store(memory, Descriptor::EMPTY);
        pool.free(page);
    }
}

/// Returns the page of the table that `descriptor`, found at `level` and valid or broken, points to.
fn child<M: TableMemory + ?Sized>(descriptor: Descriptor, level: Level, memory: &M) -> Option<usize> {
    if descriptor.is_table(level) { page_at(descriptor.address(), memory) } else { None }
}

/// Returns the index of the table page at physical address `address`.
fn page_at<M: TableMemory + ?Sized>(address: u64, memory: &M) -> Option<usize> {
    let is_at = |page: &usize| memory.address(*page).is_some_and(|found| found.raw() == address);
    // Machines set one run of pages aside, so the first guess is right; the search is for those that do not.
    let guess = memory.address(0).and_then(|first| address.checked_sub(first.raw())).and_then(|offset| {
        usize::try_from(Level::Three.floor(offset).wrapping_shr(Level::Three.shift())).ok()
    });
    guess.filter(is_at).or_else(|| (0..memory.page_count()).find(is_at))
}

/// Empties every descriptor of table page `page`.
fn clear<M: TableMemory + ?Sized>(page: usize, memory: &M) {
    for index in 0..ENTRIES {
        memory.store(page, index, Descriptor::EMPTY.0);
    }
}

/// Tells whether `predicate` holds for every descriptor of table page `page`.
fn all_in<M: TableMemory + ?Sized>(page: usize, memory: &M, predicate: impl Fn(Descriptor) -> bool) -> bool {
    (0..ENTRIES).all(|index| predicate(Descriptor(memory.load(page, index))))
}

/// Tells whether one leaf of `level` maps exactly from `start` to `end` to `output`.
fn fits_leaf(level: Level, start: u64, end: u64, output: u64) -> bool {
    level.is_aligned(start) && level.is_aligned(output) && level.next_boundary(start) == end
}

/// Counts the tables needed to map from `start` to `end` to `output`, where all of it is covered by one empty
/// descriptor of `level`.
fn tables_for(level: Level, start: u64, end: u64, output: u64) -> u64 {
    if fits_leaf(level, start, end, output) {
        return 0;
    }
    match level {
        Level::Three => 0,
        Level::Two => 1,
        Level::One => {
            // One table of level 2, and one of level 3 for each 2 MiB of it that no block can map.
            let span = Level::Two.shift();
            let last = Level::Two.floor(end.saturating_sub(1)).wrapping_shr(span);
            let first = start.wrapping_shr(span);
            let touched = last.saturating_sub(first).saturating_add(1);
            let congruent = Level::Two.is_aligned(start ^ output);
            let first_whole = if Level::Two.is_aligned(start) { first } else { first.saturating_add(1) };
            let blocks = if congruent { end.wrapping_shr(span).saturating_sub(first_whole) } else { 0 };
            touched.saturating_sub(blocks).saturating_add(1)
        }
    }
}
