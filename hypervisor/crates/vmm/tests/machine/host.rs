//! The machine: memory, tables, interrupts and time.

use std::cell::Cell;
use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, OnceLock};

use tantalum_hal::vm::{Host, ListRegister, ListState, VirtualInterface};
use tantalum_hal::{AccessError, CodeMemory, InterruptSetting, PhysicalMemory, TableMemory, Tlb, VmId};
use tantalum_types::{CallRegisters, CpuIndex, Ipa, MAX_CPUS, Pa, PageRange};
use tantalum_vmm::TABLE_PAGES;

/// Is the first address of RAM, and how many bytes there are.
pub const RAM: u64 = 0x4000_0000;
pub const RAM_SIZE: u64 = 0x200_0000;

/// Is how often the counter counts in a second.
pub const FREQUENCY: u64 = 1_000_000;

const TABLES: u64 = 0x3000_0000;
pub const KICK: u32 = 1;
pub const TIMER: u32 = 26;
pub const VIRTUAL_TIMER: u32 = 27;
pub const MAINTENANCE: u32 = 25;
pub const CONSOLE: u32 = 33;

thread_local! {
    static CPU: Cell<usize> = const { Cell::new(0) };
}

/// Is what belongs to one processing element.
#[derive(Debug)]
pub struct Element {
    pub pending: BTreeSet<u32>,
    pub active: BTreeSet<u32>,
    pub timer: Option<u64>,
    /// When the virtual timer of the virtual CPU whose registers are here comes.
    pub virtual_timer: Option<u64>,
    pub started: bool,
    lists: [ListRegister; 4],
    control: u32,
    machine_control: u32,
    priorities: [[u32; 4]; 2],
}

impl Default for Element {
    fn default() -> Self {
        Self {
            pending: BTreeSet::new(),
            active: BTreeSet::new(),
            timer: None,
            virtual_timer: None,
            started: false,
            lists: [ListRegister::EMPTY; 4],
            control: 0,
            machine_control: 0,
            priorities: [[0; 4]; 2],
        }
    }
}

/// Is the machine.
pub struct Machine {
    ram: Mutex<Vec<u8>>,
    tables: Mutex<Vec<u64>>,
    pub elements: [Mutex<Element>; MAX_CPUS],
    bells: [Condvar; MAX_CPUS],
    pub now: AtomicU64,
    pub shown: Mutex<Vec<u8>>,
    pub typed: Mutex<VecDeque<u8>>,
    /// Processing elements that do not exist.
    pub missing: Mutex<BTreeSet<usize>>,
    /// Runs when the virtual CPU interface is asked for its priority mask, as who looks for an interrupt does.
    pub when_looked_at: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

impl Machine {
    pub fn new() -> Self {
        Self {
            ram: Mutex::new(vec![0xa5; RAM_SIZE as usize]),
            tables: Mutex::new(vec![0; TABLE_PAGES * 512]),
            elements: Default::default(),
            bells: Default::default(),
            now: AtomicU64::new(1000),
            shown: Mutex::default(),
            typed: Mutex::default(),
            missing: Mutex::default(),
            when_looked_at: OnceLock::new(),
        }
    }

    /// Lets this thread act for a processing element.
    pub fn act_for(cpu: usize) {
        CPU.set(cpu);
    }

    fn element<R>(&self, with: impl FnOnce(&mut Element) -> R) -> R {
        with(&mut self.elements[CPU.get()].lock().unwrap())
    }

    /// Makes an interrupt pending on a processing element.
    pub fn raise(&self, cpu: usize, intid: u32) {
        self.elements[cpu].lock().unwrap().pending.insert(intid);
        self.bells[cpu].notify_all();
    }

    /// Tells whether an interrupt would be taken on a processing element now.
    pub fn has_interrupt(&self, cpu: usize) -> bool {
        self.signalled(&self.elements[cpu].lock().unwrap()).is_some()
    }

    fn signalled(&self, element: &Element) -> Option<u32> {
        let now = self.now.load(Ordering::SeqCst);
        let due = |deadline: Option<u64>| deadline.is_some_and(|deadline| deadline <= now);
        let lines = [(TIMER, due(element.timer)), (VIRTUAL_TIMER, due(element.virtual_timer))];
        let up = lines.into_iter().filter(|(_, up)| *up).map(|(intid, _)| intid);
        element.pending.iter().copied().chain(up).find(|intid| !element.active.contains(intid))
    }

    /// Waits until an interrupt would be taken, or `over` is true.
    pub fn wait(&self, cpu: usize, over: impl Fn() -> bool) {
        let mut element = self.elements[cpu].lock().unwrap();
        while self.signalled(&element).is_none() && !over() {
            let pause = std::time::Duration::from_millis(10);
            element = self.bells[cpu].wait_timeout(element, pause).unwrap().0;
        }
    }

    pub fn advance(&self, counts: u64) {
        self.now.fetch_add(counts, Ordering::SeqCst);
    }

    /// Lets the virtual CPU acknowledge its most urgent pending interrupt.
    pub fn acknowledge(&self) -> Option<u32> {
        self.element(|element| {
            let ready = element.lists.iter_mut().filter(|list| list.state == ListState::Pending);
            let list = ready.min_by_key(|list| list.priority)?;
            list.state = ListState::Active;
            Some(list.intid)
        })
    }

    /// Lets the virtual CPU end an interrupt that it has acknowledged.
    pub fn end(&self, intid: u32) {
        self.element(|element| {
            let list = element.lists.iter_mut().find(|list| list.intid == intid);
            let list = list.expect("what is ended was acknowledged");
            if let Some(physical) = list.physical {
                element.active.remove(&physical);
            }
            *list = ListRegister::EMPTY;
        });
    }

    /// Turns the virtual CPU interface on, as software does: Group 1, and every priority.
    pub fn open_interface(&self) {
        self.element(|element| element.machine_control = 0xff << 24 | 2);
    }

    pub fn shown(&self) -> String {
        String::from_utf8_lossy(&self.shown.lock().unwrap()).into()
    }

    fn place(address: Pa, length: usize) -> Result<std::ops::Range<usize>, AccessError> {
        let start = address.raw().checked_sub(RAM).ok_or(AccessError { address })? as usize;
        let end = start.checked_add(length).filter(|end| *end <= RAM_SIZE as usize);
        Ok(start..end.ok_or(AccessError { address })?)
    }
}

impl PhysicalMemory for Machine {
    fn read(&self, from: Pa, to: &mut [u8]) -> Result<(), AccessError> {
        to.copy_from_slice(&self.ram.lock().unwrap()[Self::place(from, to.len())?]);
        Ok(())
    }

    fn write(&self, to: Pa, from: &[u8]) -> Result<(), AccessError> {
        self.ram.lock().unwrap()[Self::place(to, from.len())?].copy_from_slice(from);
        Ok(())
    }

    fn zero(&self, range: &PageRange<Pa>) -> Result<(), AccessError> {
        self.ram.lock().unwrap()[Self::place(range.start(), range.size() as usize)?].fill(0);
        Ok(())
    }
}

impl CodeMemory for Machine {
    fn publish(&self, _range: &PageRange<Pa>) {}
}

impl TableMemory for Machine {
    fn page_count(&self) -> usize {
        TABLE_PAGES
    }

    fn address(&self, page: usize) -> Option<Pa> {
        (page < TABLE_PAGES).then(|| Pa::non_secure(TABLES + page as u64 * 4096))
    }

    fn load(&self, page: usize, index: usize) -> u64 {
        self.tables.lock().unwrap()[page * 512 + index]
    }

    fn store(&self, page: usize, index: usize, descriptor: u64) {
        self.tables.lock().unwrap()[page * 512 + index] = descriptor;
    }
}

impl Tlb for Machine {
    fn invalidate_page(&self, _vmid: VmId, _ipa: Ipa) {}

    fn invalidate_all(&self, _vmid: VmId) {}
}

impl VirtualInterface for Machine {
    fn list_register_count(&self) -> usize {
        4
    }

    fn list_register(&self, index: usize) -> ListRegister {
        self.element(|element| element.lists.get(index).copied().unwrap_or(ListRegister::EMPTY))
    }

    fn set_list_register(&self, index: usize, value: ListRegister) {
        self.element(|element| element.lists[index] = value);
    }

    fn empty_list_registers(&self) -> u16 {
        self.element(|element| {
            let empty = |list: &ListRegister| u16::from(list.state == ListState::Invalid);
            (0..).zip(&element.lists).map(|(index, list)| empty(list) << index).sum()
        })
    }

    fn control(&self) -> u32 {
        self.element(|element| element.control)
    }

    fn set_control(&self, value: u32) {
        self.element(|element| element.control = value);
    }

    fn machine_control(&self) -> u32 {
        if let Some(look) = self.when_looked_at.get() {
            look();
        }
        self.element(|element| element.machine_control)
    }

    fn set_machine_control(&self, value: u32) {
        self.element(|element| element.machine_control = value);
    }

    fn active_priorities(&self) -> [[u32; 4]; 2] {
        self.element(|element| element.priorities)
    }

    fn set_active_priorities(&self, value: &[[u32; 4]; 2]) {
        self.element(|element| element.priorities = *value);
    }
}

impl Host for Machine {
    const KICK: u32 = KICK;
    const TIMER: u32 = TIMER;
    const VIRTUAL_TIMER: u32 = VIRTUAL_TIMER;
    const MAINTENANCE: u32 = MAINTENANCE;
    const CONSOLE: u32 = CONSOLE;

    fn write_console(&self, bytes: &[u8]) {
        self.shown.lock().unwrap().extend_from_slice(bytes);
    }

    fn read_console(&self, to: &mut [u8]) -> usize {
        let mut typed = self.typed.lock().unwrap();
        let count = typed.len().min(to.len());
        to.iter_mut().zip(typed.drain(..count)).for_each(|(to, byte)| *to = byte);
        count
    }

    fn take_interrupt(&self, cpu: CpuIndex) -> Option<u32> {
        let mut element = self.elements[cpu.get()].lock().unwrap();
        let intid = self.signalled(&element)?;
        element.pending.remove(&intid);
        element.active.insert(intid);
        Some(intid)
    }

    fn end_interrupt(&self, cpu: CpuIndex, intid: u32) {
        self.elements[cpu.get()].lock().unwrap().active.remove(&intid);
    }

    fn configure_interrupt(&self, _cpu: CpuIndex, _intid: u32, _setting: &InterruptSetting) {}

    fn kick(&self, cpu: CpuIndex) {
        self.raise(cpu.get(), KICK);
    }

    fn start_cpu(&self, cpu: CpuIndex) -> bool {
        let exists = !self.missing.lock().unwrap().contains(&cpu.get());
        self.elements[cpu.get()].lock().unwrap().started = exists;
        exists
    }

    fn call_firmware(&self, _call: &CallRegisters) -> CallRegisters {
        CallRegisters([u64::MAX; 18])
    }

    fn now(&self) -> u64 {
        self.now.load(Ordering::SeqCst)
    }

    fn frequency(&self) -> u64 {
        FREQUENCY
    }

    fn set_timer(&self, deadline: Option<u64>) {
        self.element(|element| element.timer = deadline);
    }

    fn virtual_timer(&self) -> Option<u64> {
        self.element(|element| element.virtual_timer)
    }

    fn wall_clock(&self) -> u64 {
        1_790_000_000
    }

    fn random(&self) -> Option<u64> {
        Some(0x0123_4567_89ab_cdef)
    }
}
