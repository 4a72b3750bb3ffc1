//! Random sequences on the controller with few list registers and on the reference, in which nothing is lost, nothing
//! comes twice, and the most urgent one comes first.

use std::cell::Cell;
use std::vec;
use std::vec::Vec;

use proptest::prelude::*;
use tantalum_types::VcpuIndex;

use super::interface::{Interface, SPURIOUS};
use super::reference::Reference;
use crate::vgic::{Entered, Frame, SgiRegister, VcpuSet, Vgic};

const VCPUS: usize = 3;

/// Lists the interrupts that occur: of each kind some.
const INTIDS: [u32; 12] = [0, 1, 15, 16, 20, 27, 32, 33, 34, 63, 64, 95];

/// Is the private interrupt that stands for a physical one.
const TIMER: u32 = 27;

/// Names a register with one field for each interrupt.
#[derive(Clone, Copy, Debug)]
enum Register {
    Enable,
    Disable,
    Pend,
    Unpend,
    Activate,
    Deactivate,
}

/// Is one step, of virtual CPU `cpu` or of a device.
#[derive(Clone, Debug)]
enum Step {
    Acknowledge { cpu: usize },
    End { cpu: usize },
    Deactivate { cpu: usize, which: usize },
    SetUp { cpu: usize, mask: u8, groups: u32, separate: bool },
    Forward { cpu: usize, groups: u32 },
    Write { cpu: usize, owner: usize, register: Register, intid: u32 },
    Group { cpu: usize, owner: usize, intid: u32, group1: bool },
    Priority { cpu: usize, owner: usize, intid: u32, priority: u8 },
    Trigger { cpu: usize, owner: usize, intid: u32, edge: bool },
    Route { cpu: usize, intid: u32, route: u64 },
    Sleep { cpu: usize, asleep: bool },
    Send { cpu: usize, register: SgiRegister, intid: u32, targets: u16, others: bool },
    Line { owner: usize, intid: u32, up: bool },
    Pulse { intid: u32 },
    Timer { cpu: usize },
    TimerGone { cpu: usize },
    Move { cpu: usize },
    ReadPending { cpu: usize, owner: usize, intid: u32 },
    ReadActive { cpu: usize, owner: usize, intid: u32 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let cpu = || 0..VCPUS;
    let intid = || proptest::sample::select(INTIDS.as_slice());
    let shared = || proptest::sample::select(&INTIDS[6..]);
    let register = prop_oneof![
        4 => Just(Register::Enable),
        1 => Just(Register::Disable),
        3 => Just(Register::Pend),
        1 => Just(Register::Unpend),
        1 => Just(Register::Activate),
        1 => Just(Register::Deactivate),
    ];
    let sgi = prop_oneof![
        4 => Just(SgiRegister::Sgi1),
        2 => Just(SgiRegister::Sgi0),
        1 => Just(SgiRegister::AliasSgi1)
    ];
    let route = prop_oneof![
        6 => 0..VCPUS as u64,
        1 => Just(1 << 31),
        1 => Just(7),
        1 => Just(1 << 8),
    ];
    let mask = prop_oneof![4 => Just(0xff_u8), 1 => any::<u8>().prop_map(|mask| mask & 0xf8)];
    let step = prop_oneof![
        14 => cpu().prop_map(|cpu| Step::Acknowledge { cpu }),
        12 => cpu().prop_map(|cpu| Step::End { cpu }),
        4 => (cpu(), 0..4_usize).prop_map(|(cpu, which)| Step::Deactivate { cpu, which }),
        1 => (cpu(), mask, 0..4_u32, any::<bool>())
            .prop_map(|(cpu, mask, groups, separate)| Step::SetUp { cpu, mask, groups, separate }),
        1 => (cpu(), 0..4_u32).prop_map(|(cpu, groups)| Step::Forward { cpu, groups }),
        14 => (cpu(), cpu(), register, intid())
            .prop_map(|(cpu, owner, register, intid)| Step::Write { cpu, owner, register, intid }),
        2 => (cpu(), cpu(), intid(), any::<bool>())
            .prop_map(|(cpu, owner, intid, group1)| Step::Group { cpu, owner, intid, group1 }),
        4 => (cpu(), cpu(), intid(), 0..8_u8)
            .prop_map(|(cpu, owner, intid, level)| Step::Priority { cpu, owner, intid, priority: level << 5 | 7 }),
        2 => (cpu(), cpu(), intid(), any::<bool>())
            .prop_map(|(cpu, owner, intid, edge)| Step::Trigger { cpu, owner, intid, edge }),
        3 => (cpu(), shared(), route).prop_map(|(cpu, intid, route)| Step::Route { cpu, intid, route }),
        1 => (cpu(), any::<bool>()).prop_map(|(cpu, asleep)| Step::Sleep { cpu, asleep }),
        4 => (cpu(), sgi, 0..16_u32, any::<u16>(), any::<bool>())
            .prop_map(|(cpu, register, intid, targets, others)| {
                let intid = if intid < 14 { intid & 1 } else { 15 };
                Step::Send { cpu, register, intid, targets, others }
            }),
        10 => (cpu(), intid(), any::<bool>()).prop_map(|(owner, intid, up)| Step::Line { owner, intid, up }),
        3 => shared().prop_map(|intid| Step::Pulse { intid }),
        4 => cpu().prop_map(|cpu| Step::Timer { cpu }),
        1 => cpu().prop_map(|cpu| Step::TimerGone { cpu }),
        2 => cpu().prop_map(|cpu| Step::Move { cpu }),
        2 => (cpu(), cpu(), intid()).prop_map(|(cpu, owner, intid)| Step::ReadPending { cpu, owner, intid }),
        2 => (cpu(), cpu(), intid()).prop_map(|(cpu, owner, intid)| Step::ReadActive { cpu, owner, intid }),
    ];
    proptest::collection::vec(step, 1..120)
}

/// Holds both, and the processing elements that the virtual CPUs run on.
struct Bench {
    vgic: Vgic,
    list_registers: usize,
    counts_every_end: bool,
    interfaces: Vec<Interface>,
    loaded: Vec<bool>,
    /// Whether the physical timer interrupt is active on each processing element.
    physical: Vec<Cell<bool>>,
    reference: Reference,
}

fn index(cpu: usize) -> VcpuIndex {
    VcpuIndex::new(cpu).unwrap()
}

impl Bench {
    fn new(list_registers: usize, counts_every_end: bool) -> Self {
        let bench = Self {
            vgic: Vgic::new(VCPUS),
            list_registers,
            counts_every_end,
            interfaces: (0..VCPUS)
                .map(|_| Interface::new(list_registers).counting_every_end(counts_every_end))
                .collect(),
            loaded: vec![true; VCPUS],
            physical: vec![Cell::new(false); VCPUS],
            reference: Reference::new(VCPUS),
        };
        for cpu in 0..VCPUS {
            bench.vgic.load(index(cpu), &bench.interfaces[cpu]);
            bench.enter(cpu);
        }
        bench
    }

    /// Begins with much enabled, so that something happens.
    fn set_up(&mut self) {
        for cpu in 0..VCPUS {
            self.run(&Step::SetUp { cpu, mask: 0xff, groups: 3, separate: cpu == 2 });
            self.run(&Step::Sleep { cpu, asleep: cpu == 0 });
            for intid in INTIDS.into_iter().filter(|intid| *intid < 32) {
                self.run(&Step::Write { cpu, owner: cpu, register: Register::Enable, intid });
                self.run(&Step::Group { cpu, owner: cpu, intid, group1: intid != 1 });
            }
        }
        for intid in &INTIDS[6..] {
            self.run(&Step::Write { cpu: 0, owner: 0, register: Register::Enable, intid: *intid });
            self.run(&Step::Group { cpu: 0, owner: 0, intid: *intid, group1: *intid != 34 });
        }
        self.run(&Step::Forward { cpu: 0, groups: 3 });
    }

    /// Does what is left to do.
    fn finish(&self, cpu: usize, entered: Entered) {
        assert_eq!(entered.ended & !(1 << TIMER), 0);
        if entered.ended != 0 {
            assert!(self.physical[cpu].replace(false), "what is ended was active");
        }
        self.serve(entered.concerned);
    }

    /// Lets a virtual CPU out and in again, and takes the maintenance interrupts that follow from that.
    fn enter(&self, cpu: usize) {
        self.finish(cpu, self.vgic.enter(index(cpu), &self.interfaces[cpu]));
        if self.interfaces[cpu].is_maintenance_needed() {
            self.vgic.maintain(index(cpu));
            let entered = self.vgic.enter(index(cpu), &self.interfaces[cpu]);
            self.finish(cpu, entered);
            assert!(!self.interfaces[cpu].is_maintenance_needed(), "the maintenance interrupt stays");
        }
        self.interfaces[cpu].check();
        for intid in self.interfaces[cpu].deactivated.take() {
            assert_eq!(intid, TIMER);
            assert!(self.physical[cpu].replace(false), "what is deactivated was active");
        }
    }

    /// Kicks those who are concerned.
    fn serve(&self, concerned: VcpuSet) {
        for vcpu in concerned.iter() {
            if self.loaded[vcpu.get()] {
                self.enter(vcpu.get());
            }
        }
    }

    fn write(&mut self, cpu: usize, owner: usize, intid: u32, base: u32, size: u8, value: u32) {
        let (frame, page) =
            if intid < 32 { (Frame::Redistributor(index(owner)), 0x1_0000) } else { (Frame::Distributor, 0) };
        let concerned =
            self.vgic.write(index(cpu), &self.interfaces[cpu], frame, page + base, size, value.into());
        self.serve(concerned);
        self.enter(cpu);
    }

    /// Reads the bit of an interrupt, once more if somebody had to be asked.
    fn read(&mut self, cpu: usize, owner: usize, intid: u32, base: u32) -> bool {
        let (frame, page) =
            if intid < 32 { (Frame::Redistributor(index(owner)), 0x1_0000) } else { (Frame::Distributor, 0) };
        let offset = page + base + intid / 32 * 4;
        let read = || self.vgic.read(index(cpu), &self.interfaces[cpu], frame, offset, 4);
        let (_, concerned) = read();
        self.serve(concerned);
        let (value, _) = read();
        self.serve(concerned);
        self.enter(cpu);
        value & 1 << (intid % 32) != 0
    }

    /// Tells whether `cpu` runs, so that it can do something.
    fn runs(&self, cpu: usize) -> bool {
        self.loaded[cpu]
    }

    fn is_acknowledged(&self, intid: u32, owner: usize) -> bool {
        let by = |cpu: usize| self.reference.cpus[cpu].acknowledged.iter().any(|one| one.intid == intid);
        (0..VCPUS).any(|cpu| (intid >= 32 || cpu == owner) && by(cpu))
    }

    fn run(&mut self, step: &Step) {
        match *step {
            Step::Acknowledge { cpu } if self.runs(cpu) => {
                let allowed = self.reference.signalled(cpu);
                let intid = self.interfaces[cpu].acknowledge();
                if allowed.is_empty() {
                    assert_eq!(intid, SPURIOUS, "nothing is signalled");
                } else {
                    assert!(allowed.contains(&intid), "{intid} came, not one of {allowed:?}");
                    self.reference.acknowledge(cpu, intid);
                }
                self.maintain(cpu);
            }
            Step::End { cpu } if self.runs(cpu) => {
                let Some(running) = self.reference.cpus[cpu].running() else { return };
                self.interfaces[cpu].end(running.intid);
                self.reference.end(cpu);
                self.maintain(cpu);
            }
            Step::Deactivate { cpu, which } if self.runs(cpu) && self.reference.cpus[cpu].separate => {
                let dropped = self.reference.cpus[cpu].acknowledged.iter().filter(|one| !one.running);
                let Some(one) = dropped.copied().nth(which) else { return };
                if self.interfaces[cpu].deactivate_by_number(one.intid) {
                    self.maintain(cpu);
                } else {
                    self.vgic.deactivate(index(cpu), &self.interfaces[cpu], one.intid);
                    self.enter(cpu);
                }
                self.reference.deactivate(cpu, one.intid);
            }
            Step::SetUp { cpu, mask, groups, separate } if self.runs(cpu) => {
                // How interrupts are ended does not change while some are not.
                let model = &mut self.reference.cpus[cpu];
                let separate = if model.acknowledged.is_empty() { separate } else { model.separate };
                (model.mask, model.groups, model.separate) = (mask, groups, separate);
                self.interfaces[cpu].set_up(mask, groups, separate);
                self.maintain(cpu);
            }
            Step::Forward { cpu, groups } if self.runs(cpu) => {
                self.reference.groups = groups;
                self.write(cpu, cpu, 32, 0, 4, groups);
            }
            Step::Write { cpu, owner, register, intid } if self.runs(cpu) => {
                if matches!(register, Register::Activate | Register::Deactivate)
                    && self.is_acknowledged(intid, owner)
                {
                    // Only who has acknowledged an interrupt ends it, and only so.
                    return;
                }
                let interrupt = self.reference.interrupt(owner, intid);
                let base = match register {
                    Register::Enable => {
                        interrupt.enabled = true;
                        0x100
                    }
                    Register::Disable => {
                        interrupt.enabled = false;
                        0x180
                    }
                    Register::Pend => {
                        interrupt.latch = true;
                        0x200
                    }
                    Register::Unpend => {
                        interrupt.latch = false;
                        0x280
                    }
                    Register::Activate => {
                        interrupt.active = true;
                        0x300
                    }
                    Register::Deactivate => {
                        self.reference.clear_active(owner, intid);
                        0x380
                    }
                };
                self.write(cpu, owner, intid, base + intid / 32 * 4, 4, 1 << (intid % 32));
            }
            Step::Group { cpu, owner, intid, group1 } if self.runs(cpu) => {
                self.reference.interrupt(owner, intid).group1 = group1;
                let mut word = 0;
                for other in intid / 32 * 32..intid / 32 * 32 + 32 {
                    word |= u32::from(self.reference.interrupt(owner, other).group1) << (other % 32);
                }
                self.write(cpu, owner, intid, 0x80 + intid / 32 * 4, 4, word);
            }
            Step::Priority { cpu, owner, intid, priority }
                if self.runs(cpu) && !self.is_acknowledged(intid, owner) =>
            {
                self.reference.interrupt(owner, intid).priority = priority & 0xf8;
                self.write(cpu, owner, intid, 0x400 + intid, 1, priority.into());
            }
            Step::Trigger { cpu, owner, intid, edge } if self.runs(cpu) => {
                if intid >= 16 {
                    self.reference.interrupt(owner, intid).edge = edge;
                }
                let mut word = 0;
                for other in intid / 16 * 16..intid / 16 * 16 + 16 {
                    let set = other == intid && edge
                        || other != intid && self.reference.interrupt(owner, other).edge;
                    word |= u32::from(set) << (other % 16 * 2 + 1);
                }
                self.write(cpu, owner, intid, 0xc00 + intid / 16 * 4, 4, word);
            }
            Step::Route { cpu, intid, route } if self.runs(cpu) => {
                self.reference.interrupt(0, intid).route = route;
                let offset = 0x6000 + intid * 8;
                let vgic = &self.vgic;
                let concerned =
                    vgic.write(index(cpu), &self.interfaces[cpu], Frame::Distributor, offset, 8, route);
                self.serve(concerned);
                self.enter(cpu);
            }
            Step::Sleep { cpu, asleep } if self.runs(cpu) => {
                self.reference.cpus[cpu].awake = !asleep;
                let frame = Frame::Redistributor(index(cpu));
                let value = if asleep { 2 } else { 0 };
                let concerned = self.vgic.write(index(cpu), &self.interfaces[cpu], frame, 0x14, 4, value);
                self.serve(concerned);
                self.enter(cpu);
            }
            Step::Send { cpu, register, intid, targets, others } if self.runs(cpu) => {
                let reaches = |other: usize| if others { other != cpu } else { targets & 1 << other != 0 };
                for other in (0..VCPUS).filter(|other| reaches(*other)) {
                    let interrupt = self.reference.interrupt(other, intid);
                    interrupt.latch |= interrupt.group1 == (register == SgiRegister::Sgi1);
                }
                let value = u64::from(intid) << 24 | u64::from(others) << 40 | u64::from(targets);
                let concerned = self.vgic.send(index(cpu), register, value);
                self.serve(concerned);
                self.enter(cpu);
            }
            Step::Line { owner, intid, up } if intid >= 16 && intid != TIMER => {
                self.reference.set_line(owner, intid, up);
                let concerned = if intid < 32 {
                    self.vgic.set_private_line(index(owner), intid, up)
                } else {
                    self.vgic.set_line(intid, up)
                };
                self.serve(concerned);
                if !up {
                    // An interrupt that has come and gone again comes to who is not told in time.
                    self.enter_all();
                }
            }
            Step::Pulse { intid } => {
                self.reference.interrupt(0, intid).latch = true;
                let concerned = self.vgic.pulse(intid);
                self.serve(concerned);
            }
            Step::Timer { cpu } if self.runs(cpu) && !self.physical[cpu].get() => {
                self.physical[cpu].set(true);
                let interrupt = self.reference.interrupt(cpu, TIMER);
                (interrupt.linked, interrupt.line) = (true, true);
                self.vgic.pend_linked(index(cpu), &self.interfaces[cpu], TIMER);
                self.enter(cpu);
            }
            Step::TimerGone { cpu } if self.runs(cpu) => {
                let interrupt = self.reference.interrupt(cpu, TIMER);
                if interrupt.linked && !interrupt.active {
                    (interrupt.linked, interrupt.line) = (false, false);
                }
                self.vgic.retract_linked(index(cpu), &self.interfaces[cpu], TIMER);
                self.enter(cpu);
            }
            Step::Move { cpu } if self.runs(cpu) => {
                let (wakes, entered) = self.vgic.wait(index(cpu), &self.interfaces[cpu]);
                assert_eq!(wakes, self.reference.wakes(cpu), "whether {cpu} wakes");
                self.finish(cpu, entered);
                let interrupt = self.reference.interrupt(cpu, TIMER);
                if interrupt.linked {
                    (interrupt.linked, interrupt.line) = (false, false);
                }
                let entered = self.vgic.save(index(cpu), &self.interfaces[cpu]);
                self.loaded[cpu] = false;
                self.finish(cpu, entered);
                assert!(!self.physical[cpu].get(), "another one can have the timer");
                assert!(!self.interfaces[cpu].is_maintenance_needed());
            }
            Step::Move { cpu } => {
                assert_eq!(self.vgic.wakes(index(cpu)), self.reference.wakes(cpu), "whether {cpu} wakes");
                let interface = Interface::new(self.list_registers);
                self.interfaces[cpu] = interface.counting_every_end(self.counts_every_end);
                self.vgic.load(index(cpu), &self.interfaces[cpu]);
                self.loaded[cpu] = true;
                self.enter(cpu);
            }
            Step::ReadPending { cpu, owner, intid } if self.runs(cpu) => {
                let expected = self.reference.interrupt(owner, intid).is_pending();
                assert_eq!(self.read(cpu, owner, intid, 0x200), expected, "whether {intid} is pending");
            }
            Step::ReadActive { cpu, owner, intid } if self.runs(cpu) => {
                let expected = self.reference.interrupt(owner, intid).active;
                assert_eq!(self.read(cpu, owner, intid, 0x380), expected, "whether {intid} is active");
            }
            _ => {}
        }
    }

    /// Takes the maintenance interrupt if it is raised: what a virtual CPU does to its own interface is not trapped.
    fn maintain(&self, cpu: usize) {
        for intid in self.interfaces[cpu].deactivated.take() {
            assert_eq!(intid, TIMER);
            assert!(self.physical[cpu].replace(false), "what is deactivated was active");
        }
        if self.interfaces[cpu].is_maintenance_needed() {
            self.vgic.maintain(index(cpu));
            self.enter(cpu);
        }
    }

    fn enter_all(&self) {
        for cpu in (0..VCPUS).filter(|cpu| self.loaded[*cpu]) {
            self.enter(cpu);
        }
    }

    /// Compares what the virtual CPUs that run could get.
    fn compare(&mut self) {
        for cpu in (0..VCPUS).filter(|cpu| self.loaded[*cpu]) {
            let expected = self.reference.most_urgent(cpu);
            let found = self.interfaces[cpu].most_urgent().map(|(_, register)| register);
            match (&expected, &found) {
                (None, None) => {}
                (Some((priority, intids)), Some(register)) => {
                    assert_eq!(*priority, register.priority, "{cpu} has {register:?}, not of {intids:?}");
                    assert!(intids.contains(&register.intid), "{cpu} has {register:?}, not of {intids:?}");
                }
                _ => panic!("{cpu} has {found:?}, not {expected:?}"),
            }
            let linked = self.reference.interrupt(cpu, TIMER).linked;
            assert_eq!(self.physical[cpu].get(), linked, "whether the physical timer of {cpu} is active");
        }
    }
}

/// Runs the steps with so many list registers, on an interface of either kind.
fn check(list_registers: usize, counts_every_end: bool, steps: &[Step]) {
    let mut bench = Bench::new(list_registers, counts_every_end);
    bench.set_up();
    bench.compare();
    for step in steps {
        bench.run(step);
        bench.compare();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_comes_is_what_the_reference_says(
        list_registers in 1..=4_usize,
        counts_every_end in any::<bool>(),
        steps in steps(),
    ) {
        check(list_registers, counts_every_end, &steps);
    }
}
