//! The board as the machine below the hypervisor of virtual machines.

use core::ptr::with_exposed_provenance;

use tantalum_aarch64::stage1::MapError;
use tantalum_aarch64::tables::TablePool;
use tantalum_aarch64::vm::{firmware, interface, random, timer};
use tantalum_aarch64::{cache, layout as image, memory, smc, tlb};
use tantalum_hal::vm::{Disk, DiskEnd, DiskRequest, Host, ListRegister, VirtualInterface};
use tantalum_hal::{AccessError, CodeMemory, InterruptSetting, PhysicalMemory, TableMemory, Tlb, VmId};
use tantalum_types::{AddressSpace, CallRegisters, CpuIndex, Ipa, Pa, PageRange};

use super::layout::Memory;
use super::{console, disk, interrupts, layout};

/// Is the board, with `TABLES` pages for the translation tables of virtual machines.
pub struct VmHost<const TABLES: usize> {
    tables: TablePool<TABLES>,
    memory: Memory,
}

impl<const TABLES: usize> VmHost<TABLES> {
    /// Builds the board.
    pub const fn new() -> Self {
        Self { tables: TablePool::new(), memory: Memory::new() }
    }

    /// Takes the devices into use.
    ///
    /// # Safety
    /// What [`super::regions`] names must be mapped, and nobody else may use it. To be called once.
    pub unsafe fn start(&self) {
        // SAFETY: passed on to our caller.
        unsafe { interrupts::start() };
        disk::start();
    }

    /// Maps the RAM of the machine up to `end`.
    ///
    /// # Errors
    /// Says why it cannot be mapped.
    ///
    /// # Safety
    /// There must be RAM, and only the first processing element may run the hypervisor yet.
    pub unsafe fn extend_memory(&self, end: u64) -> Result<(), MapError> {
        // SAFETY: passed on to our caller.
        unsafe { self.memory.extend(end) }
    }

    /// Takes the interrupts of this processing element, which is `cpu`, into use, each time it has been turned on.
    pub fn start_cpu_interrupts(&self, cpu: CpuIndex) {
        interrupts::start_cpu(cpu);
    }

    /// Returns where `length` bytes at `address` can be reached.
    ///
    /// # Errors
    /// Says so if not all of them are RAM beside the hypervisor's image.
    fn reach(&self, address: Pa, length: u64) -> Result<usize, AccessError> {
        let error = AccessError { address };
        let start = address.raw();
        let end = start.checked_add(length).ok_or(error)?;
        let image = image::image();
        let is_ram = layout::MEMORY.raw() <= start && end <= self.memory.end();
        let is_ours = start < image.end && image.start < end;
        if is_ram && !is_ours && address.space() == AddressSpace::NonSecure {
            usize::try_from(start).map_err(|_| error)
        } else {
            Err(error)
        }
    }
}

impl<const TABLES: usize> Default for VmHost<TABLES> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const TABLES: usize> PhysicalMemory for VmHost<TABLES> {
    fn read(&self, from: Pa, to: &mut [u8]) -> Result<(), AccessError> {
        let address = self.reach(from, to.len() as u64)?;
        // SAFETY: the memory is mapped at its own address and holds nothing of Rust's; the slice is ours.
        unsafe { memory::copy(with_exposed_provenance(address), to.as_mut_ptr(), to.len()) };
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

impl<const TABLES: usize> CodeMemory for VmHost<TABLES> {
    fn publish(&self, range: &PageRange<Pa>) {
        // What cannot be reached was not written either.
        if self.reach(range.start(), range.size()).is_ok() {
            // SAFETY: the memory is mapped at its own address.
            unsafe { cache::clean_and_invalidate(&(range.start().raw()..range.end())) };
            cache::invalidate_instruction_caches();
        }
    }
}

impl<const TABLES: usize> TableMemory for VmHost<TABLES> {
    fn page_count(&self) -> usize {
        self.tables.page_count()
    }

    fn address(&self, page: usize) -> Option<Pa> {
        self.tables.address(page, AddressSpace::NonSecure)
    }

    fn load(&self, page: usize, index: usize) -> u64 {
        self.tables.load(page, index)
    }

    fn store(&self, page: usize, index: usize, descriptor: u64) {
        self.tables.store(page, index, descriptor);
    }
}

impl<const TABLES: usize> Tlb for VmHost<TABLES> {
    fn invalidate_page(&self, vmid: VmId, ipa: Ipa) {
        tlb::invalidate_vm_page(vmid, ipa);
    }

    fn invalidate_all(&self, vmid: VmId) {
        tlb::invalidate_all(vmid);
    }
}

impl<const TABLES: usize> VirtualInterface for VmHost<TABLES> {
    fn list_register_count(&self) -> usize {
        interface::list_register_count()
    }

    fn list_register(&self, index: usize) -> ListRegister {
        interface::list_register(index)
    }

    fn set_list_register(&self, index: usize, value: ListRegister) {
        interface::set_list_register(index, value);
    }

    fn empty_list_registers(&self) -> u16 {
        interface::empty_list_registers()
    }

    fn control(&self) -> u32 {
        interface::control()
    }

    fn set_control(&self, value: u32) {
        interface::set_control(value);
    }

    fn machine_control(&self) -> u32 {
        interface::machine_control()
    }

    fn set_machine_control(&self, value: u32) {
        interface::set_machine_control(value);
    }

    fn active_priorities(&self) -> [[u32; 4]; 2] {
        interface::active_priorities()
    }

    fn set_active_priorities(&self, value: &[[u32; 4]; 2]) {
        interface::set_active_priorities(value);
    }
}

impl<const TABLES: usize> Host for VmHost<TABLES> {
    const KICK: u32 = interrupts::KICK;

    const TIMER: u32 = timer::INTID;

    const VIRTUAL_TIMER: u32 = timer::VIRTUAL_INTID;

    const MAINTENANCE: u32 = interface::MAINTENANCE;

    const CONSOLE: u32 = layout::UART_INTID;

    fn write_console(&self, bytes: &[u8]) {
        console::write(bytes);
    }

    fn read_console(&self, to: &mut [u8]) -> usize {
        console::read(to)
    }

    fn take_interrupt(&self, _cpu: CpuIndex) -> Option<u32> {
        interface::take()
    }

    fn end_interrupt(&self, _cpu: CpuIndex, intid: u32) {
        interface::deactivate(intid);
    }

    fn configure_interrupt(&self, cpu: CpuIndex, intid: u32, setting: &InterruptSetting) {
        interrupts::configure(cpu, intid, setting);
    }

    fn kick(&self, cpu: CpuIndex) {
        interface::raise(Self::KICK, 0, cpu_affinity(cpu));
    }

    fn start_cpu(&self, cpu: CpuIndex) -> bool {
        firmware::cpu_on(cpu_affinity(cpu).into())
    }

    // There are many callers, and next to the call itself it is nothing to get here.
    #[inline(never)]
    fn call_firmware(&self, call: &CallRegisters) -> CallRegisters {
        let mut registers = *call;
        timer::at_physical_count(|| smc::call(&mut registers));
        registers
    }

    fn now(&self) -> u64 {
        timer::now()
    }

    fn frequency(&self) -> u64 {
        timer::frequency()
    }

    fn set_timer(&self, deadline: Option<u64>) {
        timer::set(deadline);
    }

    fn virtual_timer(&self) -> Option<u64> {
        timer::virtual_deadline()
    }

    fn wall_clock(&self) -> u64 {
        let data = with_exposed_provenance::<u32>(layout::CLOCK);
        // SAFETY: the first register of the PL031, its time, is mapped as device memory, and reading it has no effect.
        u64::from(unsafe { data.read_volatile() })
    }

    fn random(&self) -> Option<u64> {
        random::number()
    }

    fn disk(&self, disk: usize) -> Option<Disk> {
        disk::with(disk, |disk| disk.describe())
    }

    fn start_disk(&self, disk: usize, request: &DiskRequest<'_>) -> bool {
        disk::with(disk, |disk| disk.submit(request)).unwrap_or(false)
    }

    fn finish_disk(&self, disk: usize) -> Option<DiskEnd> {
        disk::with(disk, |disk| disk.finish()).flatten()
    }
}

/// Returns Aff0 of a processing element: its index, of which there are less than Aff0 has values on this board.
fn cpu_affinity(cpu: CpuIndex) -> u8 {
    u8::try_from(cpu.get()).unwrap_or(0)
}
