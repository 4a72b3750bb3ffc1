//! The board as the hypervisor's platform.

use spin::RwLock;
use tantalum_aarch64::stage1::{self, Contents, Region};
use tantalum_aarch64::tables::TablePool;
use tantalum_aarch64::{cache, gic, memory, smc, timer, tlb};
use tantalum_hal::{
    AccessError, CodeMemory, InterruptSetting, PhysicalMemory, Platform, TableMemory, Tlb, VmId,
};
use tantalum_types::{AddressSpace, CallRegisters, CpuIndex, Ipa, Pa, PageRange};

use crate::board::{NORMAL_WORLD_MEMORY, PARTITION_MEMORY, WrongMemory};
use crate::{console, interrupts};

/// Bounds the ranges of the normal world's RAM.
const MAX_RANGES: usize = 8;

/// Is the board, with `TABLES` pages for the translation tables of partitions.
pub struct QemuVirt<const TABLES: usize> {
    tables: TablePool<TABLES>,
    /// The normal world's RAM: ranges of addresses, of which those not in use are empty. All zero at first, so that
    /// the board needs no place in the image.
    normal_world: RwLock<[(u64, u64); MAX_RANGES]>,
}

impl<const TABLES: usize> QemuVirt<TABLES> {
    /// Builds the board, with no RAM of the normal world.
    pub const fn new() -> Self {
        Self { tables: TablePool::new(), normal_world: RwLock::new([(0, 0); MAX_RANGES]) }
    }

    /// Takes the devices into use.
    ///
    /// # Safety
    /// What [`crate::secure_regions`] names must be mapped, and nobody else may use it. To be called once.
    pub unsafe fn start(&self) {
        // SAFETY: passed on to our caller.
        unsafe { interrupts::start() };
    }

    /// Takes the interrupts of this processing element, which is `cpu`, into use, each time it has been turned on.
    pub fn start_cpu(&self, cpu: CpuIndex) {
        interrupts::start_cpu(cpu);
    }

    /// Adds RAM of the normal world, so that it can be read and written from now on.
    ///
    /// # Errors
    /// Says what is wrong with it.
    ///
    /// # Safety
    /// There must be RAM of the normal world, and only the first processing element may run the hypervisor yet.
    pub unsafe fn add_normal_world_memory(&self, range: PageRange<Pa>) -> Result<(), WrongMemory> {
        let start = range.start();
        if start.space() != AddressSpace::NonSecure
            || start.raw() < NORMAL_WORLD_MEMORY.start
            || range.end() > NORMAL_WORLD_MEMORY.end
        {
            return Err(WrongMemory::NotHere(range));
        }
        let mut known = self.normal_world.write();
        let free = known.iter_mut().find(|(start, end)| start == end).ok_or(WrongMemory::TooMany(range))?;
        let region = Region { range: start.raw()..range.end(), contents: Contents::NormalWorld };
        // SAFETY: passed on to our caller.
        unsafe { stage1::map(&region) }.map_err(|error| WrongMemory::Unmappable(range, error))?;
        *free = (start.raw(), range.end());
        Ok(())
    }

    /// Returns where `length` bytes at `address` can be reached.
    ///
    /// # Errors
    /// Says so if not all of them are memory of partitions or of the normal world.
    fn reach(&self, address: Pa, length: u64) -> Result<usize, AccessError> {
        let error = AccessError { address };
        let start = address.raw();
        let end = start.checked_add(length).ok_or(error)?;
        let inside = |memory: (u64, u64)| memory.0 <= start && end <= memory.1;
        let reachable = match address.space() {
            AddressSpace::Secure => inside((PARTITION_MEMORY.start, PARTITION_MEMORY.end)),
            AddressSpace::NonSecure => self.normal_world.read().iter().any(|memory| inside(*memory)),
        };
        if reachable { usize::try_from(start).map_err(|_| error) } else { Err(error) }
    }
}

impl<const TABLES: usize> Default for QemuVirt<TABLES> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const TABLES: usize> PhysicalMemory for QemuVirt<TABLES> {
    fn read(&self, from: Pa, to: &mut [u8]) -> Result<(), AccessError> {
        let address = self.reach(from, to.len() as u64)?;
        // SAFETY: the memory is mapped at its own address and holds nothing of Rust's; the slice is ours.
        unsafe { memory::copy(core::ptr::with_exposed_provenance(address), to.as_mut_ptr(), to.len()) };
        Ok(())
    }

    fn write(&self, to: Pa, from: &[u8]) -> Result<(), AccessError> {
        let address = self.reach(to, from.len() as u64)?;
        // SAFETY: as above.
        unsafe { memory::copy(from.as_ptr(), core::ptr::with_exposed_provenance_mut(address), from.len()) };
        Ok(())
    }

    fn zero(&self, range: &PageRange<Pa>) -> Result<(), AccessError> {
        let address = self.reach(range.start(), range.size())?;
        // SAFETY: as above.
        unsafe { memory::zero_pages(core::ptr::with_exposed_provenance_mut(address), range.page_count()) };
        Ok(())
    }
}

impl<const TABLES: usize> CodeMemory for QemuVirt<TABLES> {
    fn publish(&self, range: &PageRange<Pa>) {
        // What cannot be reached was not written either.
        if self.reach(range.start(), range.size()).is_ok() {
            // SAFETY: the memory is mapped at its own address.
            unsafe { cache::clean_and_invalidate(&(range.start().raw()..range.end())) };
            cache::invalidate_instruction_caches();
        }
    }
}

impl<const TABLES: usize> TableMemory for QemuVirt<TABLES> {
    fn page_count(&self) -> usize {
        self.tables.page_count()
    }

    fn address(&self, page: usize) -> Option<Pa> {
        self.tables.address(page, AddressSpace::Secure)
    }

    fn load(&self, page: usize, index: usize) -> u64 {
        self.tables.load(page, index)
    }

    fn store(&self, page: usize, index: usize, descriptor: u64) {
        self.tables.store(page, index, descriptor);
    }
}

impl<const TABLES: usize> Tlb for QemuVirt<TABLES> {
    fn invalidate_page(&self, vmid: VmId, ipa: Ipa) {
        tlb::invalidate_page(vmid, ipa);
    }

    fn invalidate_all(&self, vmid: VmId) {
        tlb::invalidate_all(vmid);
    }
}

impl<const TABLES: usize> Platform for QemuVirt<TABLES> {
    fn call_spmd(&self, call: &CallRegisters) -> CallRegisters {
        let mut registers = *call;
        smc::call(&mut registers);
        registers
    }

    fn log(&self, bytes: &[u8]) {
        console::write(bytes);
    }

    fn take_secure_interrupt(&self, _cpu: CpuIndex) -> Option<u32> {
        interrupts::take()
    }

    fn end_interrupt(&self, cpu: CpuIndex, intid: u32) {
        interrupts::end(cpu, intid);
    }

    fn configure_interrupt(&self, cpu: CpuIndex, intid: u32, setting: &InterruptSetting) {
        interrupts::configure(cpu, intid, setting);
    }

    fn donate_sgi(&self, cpu: CpuIndex, sgi: u32) {
        interrupts::donate_sgi(cpu, sgi);
    }

    fn raise_donated_sgi(&self, sgi: u32) {
        gic::raise_non_secure_sgi(sgi);
    }

    fn kick(&self, cpu: CpuIndex) {
        gic::raise_secure_sgi(Self::KICK, cpu);
    }

    const KICK: u32 = interrupts::KICK;

    const TIMER: u32 = timer::INTID;

    fn now(&self) -> u64 {
        timer::now()
    }

    fn set_timer(&self, deadline: Option<u64>) {
        timer::set(deadline);
    }
}
