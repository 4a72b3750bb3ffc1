//! The machine: its memory, tables, TLBs, interrupts, log and SPMD.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use tantalum_hal::{
    AccessError, CodeMemory, InterruptSetting, PhysicalMemory, Platform, TableMemory, Tlb, VmId,
};
use tantalum_types::{
    Address, AddressSpace, CallRegisters, CpuIndex, Ipa, MAX_CPUS, PAGE_SIZE, Pa, PageRange,
};

use crate::gic::Gic;
use crate::manifests;
use crate::mmu::TlbEntry;

/// Counts the pages for translation tables.
pub const TABLE_PAGES: usize = tantalum_spmc::TABLE_PAGES;

/// Is where the pages for translation tables lie: at the end of the SPMC's image.
const TABLE_BASE: u64 = manifests::SPMC_BASE + 0x8_0000;

const ENTRIES: usize = 512;

type Page = [u8; PAGE_SIZE as usize];

thread_local! {
    /// Is the processing element that the thread acts for.
    static CPU: Cell<CpuIndex> = const { Cell::new(CpuIndex::new(0).unwrap()) };
}

/// Answers calls to the SPMD in a test.
pub type Spmd = Box<dyn FnMut(&CallRegisters) -> CallRegisters + Send>;

/// Is a machine with RAM at the addresses that [`manifests`] names.
///
/// A page belongs to one address space; the same number in the other is no memory, unlike on QEMU. Each
/// processing element has a TLB, which keeps what it has seen until it is told to forget it.
pub struct Machine {
    ram: Vec<PageRange<Pa>>,
    pages: Mutex<HashMap<Pa, Box<Page>>>,
    tables: Mutex<Vec<u64>>,
    pub(crate) tlbs: [Mutex<HashMap<(u16, Ipa), TlbEntry>>; MAX_CPUS],
    gic: Mutex<Gic>,
    interrupt_settings: Mutex<Vec<(CpuIndex, u32, InterruptSetting)>>,
    ended_interrupts: Mutex<Vec<(CpuIndex, u32)>>,
    donated_sgis: Mutex<Vec<(CpuIndex, u32)>>,
    raised_sgis: Mutex<Vec<u32>>,
    kicks: Mutex<Vec<CpuIndex>>,
    counter: AtomicU64,
    deadlines: Mutex<[Option<u64>; MAX_CPUS]>,
    log: Mutex<String>,
    spmd: Mutex<Option<Spmd>>,
    wrong_space: Mutex<Vec<Pa>>,
    published: Mutex<Vec<PageRange<Pa>>>,
    /// Bytes that somebody changes as soon as the SPMC has read them: a page, and how many of its first ones.
    tampered: Mutex<Option<(Pa, usize)>>,
}

impl Default for Machine {
    fn default() -> Self {
        Self::new()
    }
}

impl Machine {
    /// Builds a machine whose memory is all zero.
    pub fn new() -> Self {
        let ram = |start: Pa, size| PageRange::from_size(start, size).unwrap();
        Self {
            ram: vec![
                ram(Pa::secure(manifests::SECURE_BASE), manifests::SECURE_SIZE),
                ram(Pa::non_secure(manifests::NON_SECURE_BASE), manifests::NON_SECURE_SIZE),
            ],
            pages: Mutex::default(),
            tables: Mutex::new(vec![u64::MAX; TABLE_PAGES * ENTRIES]),
            tlbs: Default::default(),
            gic: Mutex::default(),
            interrupt_settings: Mutex::default(),
            ended_interrupts: Mutex::default(),
            donated_sgis: Mutex::default(),
            raised_sgis: Mutex::default(),
            kicks: Mutex::default(),
            counter: AtomicU64::new(0),
            deadlines: Mutex::default(),
            log: Mutex::default(),
            spmd: Mutex::default(),
            wrong_space: Mutex::default(),
            published: Mutex::default(),
            tampered: Mutex::default(),
        }
    }

    /// Returns what has been logged.
    pub fn log_text(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Returns every address that was accessed in a space in which it is no memory, though it is in the other.
    /// On a real machine such an access can cross the wall between the worlds: there must be none.
    pub fn wrong_space_accesses(&self) -> Vec<Pa> {
        self.wrong_space.lock().unwrap().clone()
    }

    /// Returns all memory that was written to be code.
    pub fn published(&self) -> Vec<PageRange<Pa>> {
        self.published.lock().unwrap().clone()
    }

    /// Lets an edge of an interrupt come: a private one of `cpu`, or a shared one, which goes to `cpu` if nobody has
    /// set it up.
    pub fn raise(&self, cpu: CpuIndex, intid: u32) {
        self.gic.lock().unwrap().edge(cpu, intid);
    }

    /// Lets the line of an interrupt be up or down.
    pub fn set_level(&self, cpu: CpuIndex, intid: u32, up: bool) {
        self.gic.lock().unwrap().level(cpu, intid, up);
    }

    /// Returns the secure interrupt that is signalled to `cpu`, if one is.
    pub fn secure_interrupt(&self, cpu: CpuIndex) -> Option<u32> {
        self.gic.lock().unwrap().signalled(cpu, true)
    }

    /// Returns the interrupt of the normal world that is signalled to `cpu`, if one is.
    pub fn normal_interrupt(&self, cpu: CpuIndex) -> Option<u32> {
        self.gic.lock().unwrap().signalled(cpu, false)
    }

    /// Tells whether an interrupt has been taken and not been ended.
    pub fn is_active(&self, cpu: CpuIndex, intid: u32) -> bool {
        self.gic.lock().unwrap().is_active(cpu, intid)
    }

    /// Tells whether an edge of an interrupt has come that was not taken.
    pub fn has_edge(&self, cpu: CpuIndex, intid: u32) -> bool {
        self.gic.lock().unwrap().has_edge(cpu, intid)
    }

    /// Returns what was done to the interrupt controller that it does not stand, as text.
    pub fn interrupt_mistakes(&self) -> Vec<String> {
        self.gic.lock().unwrap().mistakes.clone()
    }

    /// Names the processing element that this thread acts for from now on.
    pub(crate) fn act_for(cpu: CpuIndex) {
        CPU.set(cpu);
    }

    /// Returns every change of an interrupt's setting: on which processing element, which one, how it is to be.
    pub fn interrupt_settings(&self) -> Vec<(CpuIndex, u32, InterruptSetting)> {
        self.interrupt_settings.lock().unwrap().clone()
    }

    /// Returns every interrupt that has been deactivated, and where.
    pub fn ended_interrupts(&self) -> Vec<(CpuIndex, u32)> {
        self.ended_interrupts.lock().unwrap().clone()
    }

    /// Returns every SGI that was given to the normal world, and on which processing element.
    pub fn donated_sgis(&self) -> Vec<(CpuIndex, u32)> {
        self.donated_sgis.lock().unwrap().clone()
    }

    /// Returns every SGI that was made pending for the normal world.
    pub fn raised_sgis(&self) -> Vec<u32> {
        self.raised_sgis.lock().unwrap().clone()
    }

    /// Counts the SGIs that were made pending for the normal world.
    pub fn raised_sgi_count(&self) -> usize {
        self.raised_sgis.lock().unwrap().len()
    }

    /// Lets somebody change each of the first `size` bytes of `page` as soon as the SPMC has read it, from now until this
    /// is called again with none: so what is read twice is not the same.
    pub fn tamper(&self, page: Pa, size: usize) {
        *self.tampered.lock().unwrap() = (size > 0).then_some((page, size));
    }

    /// Returns every processing element that was called to the SPMC.
    pub fn kicks(&self) -> Vec<CpuIndex> {
        self.kicks.lock().unwrap().clone()
    }

    /// Lets the system counter stand at `now`.
    pub fn set_counter(&self, now: u64) {
        self.counter.store(now, Ordering::Relaxed);
        self.update_timers();
    }

    /// Returns where the system counter stands.
    pub fn counter(&self) -> u64 {
        self.counter.load(Ordering::Relaxed)
    }

    /// Returns when the hypervisor's timer on `cpu` is to go off, if it is on.
    pub fn deadline(&self, cpu: CpuIndex) -> Option<u64> {
        self.deadlines.lock().unwrap()[cpu.get()]
    }

    /// Lets the line of the hypervisor's timer be what its deadline says, on every processing element.
    fn update_timers(&self) {
        let deadlines = *self.deadlines.lock().unwrap();
        for (cpu, deadline) in CpuIndex::all().zip(deadlines) {
            let up = deadline.is_some_and(|deadline| self.now() >= deadline);
            self.gic.lock().unwrap().level(cpu, Self::TIMER, up);
        }
    }

    /// Lets `spmd` answer calls to the SPMD from now on.
    pub fn set_spmd(&self, spmd: Spmd) {
        *self.spmd.lock().unwrap() = Some(spmd);
    }

    /// Returns `N` bytes of physical memory, which must be there.
    pub fn bytes<const N: usize>(&self, from: Pa) -> [u8; N] {
        let mut bytes = [0; N];
        self.read(from, &mut bytes).unwrap();
        bytes
    }

    /// Returns descriptor `index` of the translation table at `table`, which must be a table page.
    pub(crate) fn descriptor(&self, table: Pa, index: usize) -> u64 {
        let offset = table.raw().checked_sub(TABLE_BASE).map(|offset| (offset / PAGE_SIZE) as usize);
        let page = offset.filter(|page| *page < TABLE_PAGES && table.space() == AddressSpace::Secure);
        let page = page.unwrap_or_else(|| panic!("the walker reads a table at {table}, where there is none"));
        self.load(page, index)
    }

    /// Calls `each` with every piece of `size` bytes at `start` that lies in one page, after checking all.
    fn in_pages(
        &self,
        start: Pa,
        size: usize,
        mut each: impl FnMut(&mut Page, core::ops::Range<usize>, usize),
    ) -> Result<(), AccessError> {
        let mut pieces = Vec::new();
        let mut done = 0;
        while done < size {
            let address = start.checked_add(done as u64).ok_or(AccessError { address: start })?;
            if !self.ram.iter().any(|ram| ram.contains(address)) {
                self.note(address);
                return Err(AccessError { address });
            }
            let offset = (address.raw() % PAGE_SIZE) as usize;
            let length = (size - done).min(PAGE_SIZE as usize - offset);
            pieces.push((Pa::new(address.space(), address.raw() - offset as u64), offset, length, done));
            done += length;
        }
        let mut pages = self.pages.lock().unwrap();
        for (page, offset, length, done) in pieces {
            let page = pages.entry(page).or_insert_with(|| Box::new([0; PAGE_SIZE as usize]));
            each(page, offset..offset + length, done);
        }
        Ok(())
    }

    /// Changes what is tampered with among `size` bytes that have just been read at `from`.
    fn change_what_was_read(&self, from: Pa, size: usize) {
        let Some((page, limit)) = *self.tampered.lock().unwrap() else { return };
        let offset = match from.raw().checked_sub(page.raw()) {
            Some(offset) if from.space() == page.space() && offset < limit as u64 => offset as usize,
            _ => return,
        };
        if let Some(page) = self.pages.lock().unwrap().get_mut(&page) {
            for byte in &mut page[offset..(offset + size).min(limit)] {
                *byte = !*byte;
            }
        }
    }

    fn note(&self, address: Pa) {
        let other = match address.space() {
            AddressSpace::Secure => Pa::non_secure(address.raw()),
            AddressSpace::NonSecure => Pa::secure(address.raw()),
        };
        if self.ram.iter().any(|ram| ram.contains(other)) {
            self.wrong_space.lock().unwrap().push(address);
        }
    }
}

impl PhysicalMemory for Machine {
    fn read(&self, from: Pa, to: &mut [u8]) -> Result<(), AccessError> {
        self.in_pages(from, to.len(), |page, range, done| {
            let length = range.len();
            to[done..done + length].copy_from_slice(&page[range]);
        })?;
        self.change_what_was_read(from, to.len());
        Ok(())
    }

    fn write(&self, to: Pa, from: &[u8]) -> Result<(), AccessError> {
        self.in_pages(to, from.len(), |page, range, done| {
            let length = range.len();
            page[range].copy_from_slice(&from[done..done + length]);
        })
    }

    fn zero(&self, range: &PageRange<Pa>) -> Result<(), AccessError> {
        self.in_pages(range.start(), range.size() as usize, |page, _, _| page.fill(0))
    }
}

impl CodeMemory for Machine {
    fn publish(&self, range: &PageRange<Pa>) {
        self.published.lock().unwrap().push(*range);
    }
}

impl TableMemory for Machine {
    fn page_count(&self) -> usize {
        TABLE_PAGES
    }

    fn address(&self, page: usize) -> Option<Pa> {
        (page < TABLE_PAGES).then(|| Pa::secure(TABLE_BASE + page as u64 * PAGE_SIZE))
    }

    fn load(&self, page: usize, index: usize) -> u64 {
        self.tables.lock().unwrap().get(page * ENTRIES + index).copied().unwrap_or(0)
    }

    fn store(&self, page: usize, index: usize, descriptor: u64) {
        if let Some(slot) = self.tables.lock().unwrap().get_mut(page * ENTRIES + index) {
            *slot = descriptor;
        }
    }
}

impl Tlb for Machine {
    fn invalidate_page(&self, vmid: VmId, ipa: Ipa) {
        let page = Ipa::new(ipa.space(), ipa.raw() & !(PAGE_SIZE - 1));
        for tlb in &self.tlbs {
            tlb.lock().unwrap().remove(&(vmid.0, page));
        }
    }

    fn invalidate_all(&self, vmid: VmId) {
        for tlb in &self.tlbs {
            tlb.lock().unwrap().retain(|(found, _), _| *found != vmid.0);
        }
    }
}

impl Platform for Machine {
    fn call_spmd(&self, call: &CallRegisters) -> CallRegisters {
        match self.spmd.lock().unwrap().as_mut() {
            Some(spmd) => spmd(call),
            None => panic!("a call to the SPMD that the test does not expect: {call:x?}"),
        }
    }

    fn log(&self, bytes: &[u8]) {
        self.log.lock().unwrap().push_str(&String::from_utf8_lossy(bytes));
    }

    fn take_secure_interrupt(&self, cpu: CpuIndex) -> Option<u32> {
        self.gic.lock().unwrap().take(cpu)
    }

    fn end_interrupt(&self, cpu: CpuIndex, intid: u32) {
        self.ended_interrupts.lock().unwrap().push((cpu, intid));
        self.gic.lock().unwrap().end(cpu, intid);
    }

    fn configure_interrupt(&self, cpu: CpuIndex, intid: u32, setting: &InterruptSetting) {
        self.interrupt_settings.lock().unwrap().push((cpu, intid, *setting));
        self.gic.lock().unwrap().configure(cpu, intid, setting);
    }

    fn donate_sgi(&self, cpu: CpuIndex, sgi: u32) {
        self.donated_sgis.lock().unwrap().push((cpu, sgi));
    }

    fn raise_donated_sgi(&self, sgi: u32) {
        self.raised_sgis.lock().unwrap().push(sgi);
    }

    fn kick(&self, cpu: CpuIndex) {
        self.kicks.lock().unwrap().push(cpu);
        self.raise(cpu, Self::KICK);
    }

    const KICK: u32 = 9;

    const TIMER: u32 = 20;

    fn now(&self) -> u64 {
        self.counter.load(Ordering::Relaxed)
    }

    fn set_timer(&self, deadline: Option<u64>) {
        self.deadlines.lock().unwrap()[CPU.get().get()] = deadline;
        self.update_timers();
    }
}
