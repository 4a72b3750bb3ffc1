//! A machine on the host, and virtual CPUs that do what a test says.

mod host;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use tantalum_hal::PhysicalMemory;
use tantalum_hal::vm::{
    Access, Action, Conduit, Direction, Entry, Event, Host, RegisterTrap, SystemRegister,
};
use tantalum_manifest::VmsManifest;
use tantalum_sim::dtb::Node;
use tantalum_types::{CallRegisters, CpuIndex, Ipa, Pa, VcpuIndex, VmIndex, VmVcpuId};
use tantalum_vmm::{Cpu, Vmm};

pub use host::{CONSOLE, FREQUENCY, Machine, RAM, RAM_SIZE};

/// Is where the kernel lies, and how long it is.
pub const KERNEL: u64 = RAM;
pub const KERNEL_SIZE: u64 = 0x1_2345;
/// Is where the initial file system lies, and how long it is.
pub const INITRAMFS: u64 = RAM + 0x10_0000;
pub const INITRAMFS_SIZE: u64 = 0x1fff;
/// Is where the memory of virtual machines begins.
pub const POOL: u64 = RAM + 0x20_0000;
pub const VM_SIZE: u64 = 0x40_0000;

/// Is what a virtual CPU does: it is told how it goes on, and says what it does next.
pub type Script = Box<dyn FnMut(&mut Guest<'_>, Entry) -> Event + Send>;

/// Is what a virtual CPU can reach without the hypervisor.
pub struct Guest<'a> {
    pub machine: &'a Machine,
    pub cpu: usize,
}

/// Is a hypervisor on a machine.
pub struct Bench {
    pub machine: Machine,
    pub vmm: Arc<Vmm>,
    cpus: Vec<Mutex<Cpu>>,
    scripts: HashMap<VmVcpuId, Mutex<Script>>,
    over: AtomicBool,
    /// The virtual timer of each virtual CPU whose registers are in no processing element.
    timers: Mutex<HashMap<VmVcpuId, Option<u64>>>,
    /// Whose registers are in each processing element.
    holders: Mutex<HashMap<usize, VmVcpuId>>,
}

pub fn id(vm: usize, vcpu: usize) -> VmVcpuId {
    VmVcpuId { vm: VmIndex::new(vm).unwrap(), index: VcpuIndex::new(vcpu).unwrap() }
}

/// Describes a virtual machine whose virtual CPUs run on `cpus`.
pub fn vm<const N: usize>(name: &str, cpus: [u32; N]) -> Node {
    Node::new(name)
        .with("compatible", "tantalum,vm")
        .with("cpus", cpus)
        .with("memory-size", VM_SIZE)
        .with("kernel", [KERNEL, KERNEL_SIZE])
        .with("bootargs", "console=ttyAMA0")
}

pub fn manifest(vms: impl IntoIterator<Item = Node>) -> VmsManifest {
    let mut root = Node::new("");
    root.set("compatible", "tantalum,vms");
    root.set("memory-pool", [POOL, RAM + RAM_SIZE - POOL]);
    vms.into_iter().for_each(|vm| root.add(vm));
    VmsManifest::parse(&root.to_blob()).unwrap_or_else(|error| panic!("{error}"))
}

/// Returns the bytes of a kernel.
pub fn kernel() -> Vec<u8> {
    let mut kernel: Vec<u8> = (0..KERNEL_SIZE).map(|at| ((at * 7) >> 3) as u8).collect();
    kernel[8..16].fill(0);
    kernel[16..24].copy_from_slice(&0x2_0000_u64.to_le_bytes());
    kernel[24..32].copy_from_slice(&0xa_u64.to_le_bytes());
    kernel[56..60].copy_from_slice(b"ARM\x64");
    kernel
}

impl Bench {
    /// Builds a machine with virtual machines, whose virtual CPUs do what `scripts` say.
    pub fn new(
        vms: impl IntoIterator<Item = Node>,
        scripts: impl IntoIterator<Item = (VmVcpuId, Script)>,
    ) -> Box<Self> {
        let machine = Machine::new();
        machine.write(Pa::non_secure(KERNEL), &kernel()).unwrap();
        machine.write(Pa::non_secure(INITRAMFS), &[0x77; INITRAMFS_SIZE as usize]).unwrap();
        // It is larger than the stack of a test.
        let builder = std::thread::Builder::new().stack_size(64 << 20);
        let vmm = builder.spawn(|| Box::new(Vmm::new())).unwrap().join().unwrap();
        let mut bench = Box::new(Self {
            machine,
            vmm: vmm.into(),
            cpus: CpuIndex::all().map(|cpu| Mutex::new(Cpu::new(cpu))).collect(),
            scripts: scripts.into_iter().map(|(id, script)| (id, Mutex::new(script))).collect(),
            over: AtomicBool::new(false),
            timers: Mutex::default(),
            holders: Mutex::default(),
        });
        let manifest = manifest(vms);
        let Self { machine, vmm, .. } = &mut *bench;
        Arc::get_mut(vmm).unwrap().configure(&manifest, machine);
        bench
    }

    /// Reports `event` on `cpu` and carries out what follows, until it idles or the machine is off; returns that action.
    pub fn event(&self, cpu: usize, event: Event) -> Action {
        Machine::act_for(cpu);
        let mut state = self.cpus[cpu].try_lock().expect("this processing element is at work already");
        let mut event = event;
        for _ in 0..1_000_000 {
            match self.vmm.handle(&mut state, event, &self.machine) {
                Action::Run { vcpu, entry, translation, .. } => {
                    assert_ne!(translation.vmid.0, 0, "VMID 0 is nobody's");
                    let script = self.scripts.get(&vcpu).unwrap_or_else(|| panic!("{vcpu:?} has no script"));
                    let mut script = script.try_lock().unwrap_or_else(|_| panic!("{vcpu:?} runs twice"));
                    self.switch(cpu, vcpu, &entry);
                    // One that is interrupted before its first instruction still goes on as it was to.
                    if self.machine.has_interrupt(cpu) && entry == Entry::Resume {
                        event = Event::Interrupt;
                        continue;
                    }
                    event = script(&mut Guest { machine: &self.machine, cpu }, entry);
                }
                Action::Idle if self.machine.has_interrupt(cpu) => event = Event::Interrupt,
                action => {
                    if action != Action::Idle {
                        self.over.store(true, Ordering::SeqCst);
                    }
                    return action;
                }
            }
        }
        panic!("it never ends; the last event was {event:x?} on CPU {cpu}");
    }

    /// Puts the registers of a virtual CPU into a processing element.
    fn switch(&self, cpu: usize, vcpu: VmVcpuId, entry: &Entry) {
        let mut timers = self.timers.lock().unwrap();
        let before = self.holders.lock().unwrap().insert(cpu, vcpu);
        let timer = &mut self.machine.elements[cpu].lock().unwrap().virtual_timer;
        if let Some(before) = before.filter(|before| *before != vcpu) {
            timers.insert(before, *timer);
            *timer = timers.remove(&vcpu).flatten();
        }
        if matches!(entry, Entry::Start(_)) {
            *timer = None;
        }
    }

    /// Starts every processing element that the first one starts, in turn, and then lets all of them work until all idle
    /// or the machine is off.
    pub fn boot(&self) -> Action {
        let mut last = self.event(0, Event::Started);
        for cpu in 1..self.cpus.len() {
            let started = core::mem::take(&mut self.machine.elements[cpu].lock().unwrap().started);
            if started && last == Action::Idle {
                last = self.event(cpu, Event::Started);
            }
        }
        if last == Action::Idle { self.settle() } else { last }
    }

    /// Lets all processing elements take their interrupts until there are none.
    pub fn settle(&self) -> Action {
        while let Some(cpu) = (0..self.cpus.len()).find(|cpu| self.machine.has_interrupt(*cpu)) {
            let action = self.event(cpu, Event::Interrupt);
            if action != Action::Idle {
                return action;
            }
        }
        Action::Idle
    }

    /// Lets time pass until the next timer, and what follows happen; says so if there is none.
    pub fn tick(&self) -> Option<Action> {
        let deadline = self.machine.elements.iter().filter_map(|element| {
            let element = element.lock().unwrap();
            let own = element.virtual_timer.filter(|_| !element.active.contains(&host::VIRTUAL_TIMER));
            element.timer.into_iter().chain(own).min()
        });
        let deadline = deadline.min()?;
        let now = self.machine.now.load(Ordering::SeqCst);
        self.machine.now.store(deadline.max(now), Ordering::SeqCst);
        Some(self.settle())
    }

    /// Runs each of the processing elements `0..count` in a thread of its own until the machine is off.
    pub fn run_in_threads(&self, count: usize) {
        std::thread::scope(|scope| {
            for cpu in 0..count {
                scope.spawn(move || {
                    Machine::act_for(cpu);
                    let started = || self.machine.elements[cpu].lock().unwrap().started;
                    while cpu != 0 && !started() && !self.is_over() {
                        std::thread::yield_now();
                    }
                    let mut event = Event::Started;
                    while !self.is_over() && self.event(cpu, event) == Action::Idle {
                        self.machine.wait(cpu, || self.is_over());
                        event = Event::Interrupt;
                    }
                });
            }
        });
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }
}

/// Makes a call with four registers.
pub fn hvc(registers: [u64; 4]) -> Event {
    let [x0, x1, x2, x3] = registers;
    let registers = CallRegisters::from_first_eight([x0, x1, x2, x3, 0, 0, 0, 0]);
    Event::Call { conduit: Conduit::Hvc, immediate: 0, registers }
}

pub fn write(address: u64, size: u8, value: u64) -> Event {
    access(address, size, Direction::Write { value })
}

pub fn read(address: u64, size: u8) -> Event {
    access(address, size, Direction::Read { to: 3 })
}

pub fn access(address: u64, size: u8, direction: Direction) -> Event {
    Event::Access(Access {
        address: Ipa::non_secure(address),
        virtual_address: address | 0xffff_0000_0000_0000,
        size,
        direction,
        sign_extend: false,
        wide: true,
    })
}

/// Writes a system register, named by its five numbers.
pub fn msr(register: [u8; 5], value: u64) -> Event {
    let [op0, op1, crn, crm, op2] = register;
    let register = SystemRegister::new(op0, op1, crn, crm, op2);
    Event::Register(RegisterTrap { register, direction: Direction::Write { value } })
}

/// Does these things in turn, and keeps how it went on after each; then it waits for ever.
pub fn list(events: Vec<Event>) -> (Script, Arc<Mutex<Vec<Entry>>>) {
    let entries = Arc::new(Mutex::new(Vec::new()));
    let kept = entries.clone();
    let mut events = events.into_iter();
    let script = Box::new(move |_: &mut Guest<'_>, entry| {
        kept.lock().unwrap().push(entry);
        events.next().unwrap_or(Event::Wait)
    });
    (script, entries)
}

/// Returns what is in x0 or another register when a virtual CPU goes on.
pub fn value(entry: &Entry) -> i64 {
    match entry {
        Entry::Register { value, .. } => value.cast_signed(),
        Entry::Answer(registers) => registers.0[0].cast_signed(),
        other => panic!("it goes on by {other:?}"),
    }
}

/// Returns the time, for scripts.
pub fn now(guest: &Guest<'_>) -> u64 {
    guest.machine.now()
}
