//! The targets that are runs of the SPMC: everybody does anything, on two processing elements.
//!
//! What must come of it is not known here, that is the reference model's; but some things must never be. No step stops
//! the SPMC, no execution context runs twice, no address is reached in the wrong space, no interrupt is ended that is
//! not active, and none is lost.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use tantalum_ffa::{Call, FrameworkMessage, Target, answer};
use tantalum_hal::{
    Action, Entry, Event, ForeignInterrupts, InterruptLine, PhysicalMemory, RegisterAccess, TimerAccess,
    TimerRegister, Trap, TrapKind,
};
use tantalum_sim::dtb::Flag;
use tantalum_sim::manifests::{self, partition_base};
use tantalum_sim::script::{Script, wait};
use tantalum_sim::{Sim, SimBuilder};
use tantalum_types::{CallRegisters, CpuIndex, EndpointId, Ipa, Pa, VcpuId};

const CPUS: usize = 2;
const PARTITIONS: u64 = 4;
/// Is where the normal world has its buffers, TX first.
const BUFFERS: u64 = 0x4000_0000;
/// Is where a partition has its buffers, behind its beginning.
const OWN_BUFFERS: u64 = 0x8000;
/// Lists the interrupts of the device, which the second partition owns.
const DEVICE: [u32; 2] = [40, 41];
const GET: u64 = 0xff04;
const DEACTIVATE: u64 = 0xff08;

/// Bounds the steps of what has to end.
const MAX_STEPS: usize = 2000;

/// Counts the steps in which everybody finishes what he is at.
const ROUNDS: usize = 160;

/// Says whether each step is printed.
pub(crate) static IS_TRACED: AtomicBool = AtomicBool::new(false);

/// Prints what has happened on `cpu`, where `running` ran, and what follows.
fn trace(cpu: usize, running: Option<usize>, event: &Event, action: &Action) {
    let registers = |registers: &CallRegisters| format!("{:x?}", &registers.0[..4]);
    let event = match event {
        Event::PartitionCall(call) | Event::NormalWorldCall(call) => registers(call),
        other => format!("{other:?}"),
    };
    let next = match action {
        Action::CallNormalWorld(call) => format!("normal world {}", registers(call)),
        Action::Run { vcpu, entry: Entry::Answer(call), signals, .. } => {
            format!("p{}.{} {} irq {}", vcpu.partition.get(), vcpu.index.get(), registers(call), signals.irq)
        }
        Action::Run { vcpu, entry, signals, .. } => {
            format!("p{}.{} {entry:?} irq {}", vcpu.partition.get(), vcpu.index.get(), signals.irq)
        }
        Action::Halt => "halt".into(),
    };
    let who = running.map_or("normal world".into(), |partition| format!("p{partition}"));
    eprintln!("CPU {cpu} {who}: {event} -> {next}");
}

/// Reads an input from its beginning; behind its end it is zero.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((byte, rest)) => {
                self.0 = rest;
                *byte
            }
            None => 0,
        }
    }

    /// Reads a number: a small one, one that means something, or any.
    fn number(&mut self, known: &[u64]) -> u64 {
        let byte = self.byte();
        match byte % 4 {
            0 => u64::from(byte / 4),
            1 | 2 => {
                let which = usize::from(byte / 4);
                known.get(which % known.len().max(1)).copied().unwrap_or(0)
            }
            _ => (0..1 + byte / 4 % 8).fold(0, |number, _| number << 8 | u64::from(self.byte())),
        }
    }
}

/// Is the machine, and who has the turn on each processing element.
struct Wild {
    sim: Sim,
    turns: [Option<(VcpuId, ForeignInterrupts)>; CPUS],
    /// Whether a processing element is on.
    on: [bool; CPUS],
    /// Numbers that mean something: ids, addresses, handles.
    known: Vec<u64>,
    /// How many edges of each interrupt of the device have come, and how many were got.
    edges: [usize; 2],
    got: [usize; 2],
    /// Who asked last, for each execution context: what it has to answer.
    asked: std::collections::HashMap<VcpuId, Call>,
}

impl Wild {
    fn new(restarts: bool) -> Self {
        let waits = |count: usize| (0..count).map(|_| -> Script { Box::new(|_| Ok(wait())) });
        let sim = SimBuilder::new()
            .cpus(CPUS)
            .partition_with("many", waits(CPUS), |manifest| {
                manifest.set("ffa-version", 0x1_0002_u32);
                manifest.set("messaging-method", 0x607_u32);
                manifest.set("notification-support", Flag);
                manifest.set("power-management-messages", 1_u32);
                if restarts {
                    manifest.set("abort-action", 2_u32);
                }
            })
            .partition_with("owner", waits(1), |manifest| {
                manifest.set("messaging-method", 7_u32);
                manifest.set("notification-support", Flag);
                let cells = [DEVICE[0], 0x900, DEVICE[1], 0x900];
                let base = manifests::DEVICE_BASE;
                let device = manifests::region("device", base, 1, 3).with("interrupts", cells);
                manifest.add(manifests::device_regions([device]));
            })
            .partition_with("exits", waits(1), |manifest| {
                manifest.set("ffa-version", 0x1_0002_u32);
                manifest.set("messaging-method", 0x603_u32);
                manifest.set("ns-interrupts-action", 1_u32);
                manifest.set("managed-exit", Flag);
            })
            .partition_with("old", waits(1), |manifest| {
                manifest.set("ffa-version", 0x1_0000_u32);
                manifest.set("ns-interrupts-action", 0_u32);
                manifest.set("other-s-interrupts-action", 0_u32);
            })
            .boot();
        let mut known = vec![0x8000, 0x8001, 0x8002, 0x8003, 0x8004, 0, 1, 0xffff, 0x8001_0000, 0x8002];
        known.extend([
            0x1_0002,
            0x1_0001,
            40,
            41,
            3,
            4,
            5,
            9,
            BUFFERS,
            BUFFERS + 0x1000,
            BUFFERS + 0x10_0000,
        ]);
        for index in 0..PARTITIONS as usize {
            let base = partition_base(index);
            known.extend([base, base + OWN_BUFFERS, base + OWN_BUFFERS + 0x1000, base + 0x2_0000]);
        }
        let mut wild = Self {
            sim,
            turns: [None; CPUS],
            on: [true; CPUS],
            known,
            edges: [0; 2],
            got: [0; 2],
            asked: Default::default(),
        };
        wild.sim.call(0, Call::Version { requested: 0x1_0002 });
        wild.handle(0, Event::NormalWorldCall(map(BUFFERS)));
        for index in 0..PARTITIONS {
            wild.handle(0, Event::NormalWorldCall(request(0, 0x8001 + index, [0; 5])));
            wild.handle(0, Event::PartitionCall(map(partition_base(index as usize) + OWN_BUFFERS)));
            if index == 1 {
                for intid in DEVICE {
                    let registers = [0xff03, intid.into(), 1, 0, 0, 0, 0, 0];
                    wild.handle(0, Event::PartitionCall(CallRegisters::from_first_eight(registers)));
                }
            }
            wild.respond(0);
        }
        wild
    }

    /// Reports an event and carries out what follows.
    fn handle(&mut self, cpu: usize, event: Event) -> Action {
        let taking = matches!(event, Event::PartitionCall(call) if call.0[0] == GET);
        let taker = self.turns[cpu].map(|(id, _)| id.partition.get());
        let action = self.sim.decide(cpu, event);
        if IS_TRACED.load(Ordering::Relaxed) {
            trace(cpu, taker, &event, &action);
        }
        match action {
            Action::CallNormalWorld(registers) => {
                self.turns[cpu] = None;
                self.learn(&registers);
            }
            Action::Run { vcpu, entry, foreign, .. } => {
                let elsewhere =
                    self.turns.iter().enumerate().any(|(other, turn)| {
                        other != cpu && turn.is_some_and(|(running, _)| running == vcpu)
                    });
                assert!(!elsewhere, "{vcpu:?} runs twice");
                self.turns[cpu] = Some((vcpu, foreign));
                if let Entry::Answer(registers) = entry {
                    self.learn(&registers);
                    let got = DEVICE.iter().position(|intid| registers.0[0] == u64::from(*intid));
                    if let Some(which) = got.filter(|_| taking && taker == Some(1)) {
                        self.got[which] += 1;
                        assert!(self.got[which] <= self.edges[which], "an interrupt came out of nowhere");
                    }
                    if let Ok(call @ (Call::DirectRequest(_) | Call::DirectRequest2 { .. })) =
                        Call::decode(&registers)
                    {
                        self.asked.insert(vcpu, call);
                    }
                }
            }
            Action::Halt => panic!("the SPMC has halted: {}", self.sim.machine().log_text()),
        }
        action
    }

    /// Remembers handles.
    fn learn(&mut self, registers: &CallRegisters) {
        if let Ok(Call::Success32 { results: [low, high, ..], .. }) = Call::decode(registers)
            && high != 0
        {
            // As the two words that the calls carry it in.
            self.known.extend([u64::from(low), u64::from(high)]);
        }
    }

    /// Lets the SPMC take secure interrupts that are signalled on `cpu`, as the hardware does before anything else.
    fn interrupt(&mut self, cpu: usize) {
        let index = CpuIndex::new(cpu).unwrap();
        for count in 0.. {
            if !self.on[cpu] || self.sim.machine().secure_interrupt(index).is_none() {
                return;
            }
            assert!(count < MAX_STEPS, "secure interrupts never end");
            let event = match self.turns[cpu] {
                Some(_) => Event::Interrupt(InterruptLine::Secure),
                None => Event::NormalWorldCall(Call::Interrupt { target: Target::NONE, intid: 0 }.encode()),
            };
            self.handle(cpu, event);
        }
    }

    fn raise(&mut self, cpu: usize, which: usize) {
        let machine = self.sim.machine();
        let index = CpuIndex::new(cpu).unwrap();
        if !machine.has_edge(index, DEVICE[which]) {
            self.edges[which] += 1;
        }
        machine.raise(index, DEVICE[which]);
    }

    /// Lets who runs on `cpu` answer whoever asked it, or else wait.
    fn respond(&mut self, cpu: usize) {
        let Some((id, _)) = self.turns[cpu] else { return };
        let registers = match self.asked.get(&id) {
            Some(Call::DirectRequest(request)) => {
                Call::DirectResponse(request.answer([1, 2, 3, 4, 5])).encode()
            }
            Some(Call::DirectRequest2 { sender, receiver, .. }) => {
                Call::DirectResponse2 { sender: *receiver, receiver: *sender, payload: [7; 14] }.encode()
            }
            _ => answer::msg_wait(),
        };
        if self.is_refused(cpu, registers) {
            self.is_refused(cpu, answer::msg_wait());
        }
    }

    /// Lets who runs on `cpu` make a call, and returns whether it was refused.
    fn is_refused(&mut self, cpu: usize, registers: CallRegisters) -> bool {
        let before = self.turns[cpu].map(|(id, _)| id);
        let action = self.handle(cpu, Event::PartitionCall(registers));
        match action {
            Action::Run { vcpu, entry: Entry::Answer(registers), .. } => {
                before == Some(vcpu) && matches!(Call::decode(&registers), Ok(Call::Error { .. }))
            }
            _ => false,
        }
    }

    /// Makes a call with registers of the input.
    fn call(&mut self, cpu: usize, input: &mut Input<'_>) {
        let function = match input.byte() {
            byte @ 0..0xa0 => 0x8400_0060 + u64::from(byte % 0x40),
            byte @ 0xa0..0xe0 => 0xc400_0060 + u64::from(byte % 0x40),
            byte @ 0xe0..0xf0 => 0xff00 + u64::from(byte % 16),
            _ => input.number(&self.known),
        };
        let mut registers = CallRegisters::ZERO;
        registers.0[0] = function;
        let count = usize::from(input.byte()) % 18;
        for register in &mut registers.0[1..=count] {
            *register = input.number(&self.known);
        }
        let ids = input.byte();
        if ids.is_multiple_of(2) {
            // Two ids in one register, the caller's mostly first.
            let own = self.turns[cpu].map_or(0, |(id, _)| u64::from(id.partition.endpoint_id().raw()));
            registers.0[1] = (own << 16) | (0x8001 + u64::from(ids / 2) % PARTITIONS);
        }
        // FFA_VERSION and what else the SPMD keeps from the SPMC do not come this way.
        let event = match self.turns[cpu] {
            Some(_) => Event::PartitionCall(registers),
            None => Event::NormalWorldCall(registers),
        };
        self.handle(cpu, event);
    }

    /// Writes bytes of the input into the TX buffer of whoever has the turn.
    fn write(&mut self, cpu: usize, input: &mut Input<'_>) {
        let count = usize::from(input.byte());
        let (bytes, rest) = input.0.split_at(count.min(input.0.len()));
        let at = match self.turns[cpu] {
            Some((id, _)) => Pa::secure(partition_base(id.partition.get()) + OWN_BUFFERS),
            None => Pa::non_secure(BUFFERS),
        };
        self.sim.machine().write(at, bytes).unwrap();
        self.sim.machine().tamper(at, if count % 2 == 0 { 512 } else { 0 });
        input.0 = rest;
    }

    /// Turns a processing element off or on, where the normal world has the turn.
    fn power(&mut self, cpu: usize) {
        if self.turns[cpu].is_some() {
            return;
        }
        if self.on[cpu] {
            let message =
                self.sim.spmd_message(FrameworkMessage::PsciRequest, [0x8400_0002, 0, 0, 0, 0]).encode();
            self.handle(cpu, Event::NormalWorldCall(message));
            self.end_turn_for_power(cpu);
            self.on[cpu] = false;
        } else {
            self.on[cpu] = true;
            self.sim.reset_cpu(cpu);
            self.handle(cpu, Event::Started);
            self.end_turn_for_power(cpu);
        }
    }

    /// Lets those answer who are told that a processing element goes off, or wait who begin on it.
    fn end_turn_for_power(&mut self, cpu: usize) {
        for _ in 0..MAX_STEPS {
            let Some((id, _)) = self.turns[cpu] else { return };
            let answers = Call::DirectResponse(tantalum_ffa::DirectMessage {
                width: tantalum_ffa::Width::Bits32,
                sender: id.partition.endpoint_id(),
                receiver: EndpointId::new(0x8000),
                framework: Some(FrameworkMessage::PmResponse),
                payload: [0; 5],
            });
            if self.is_refused(cpu, answers.encode()) {
                self.is_refused(cpu, answer::msg_wait());
            }
        }
        panic!("a processing element never comes to its end");
    }

    /// Makes one step of the input. `tame` leaves out what stops partitions and processing elements.
    fn step(&mut self, input: &mut Input<'_>, tame: bool) {
        let byte = input.byte();
        let cpu = usize::from(byte % 2);
        if !self.on[cpu] {
            if (byte / 2).is_multiple_of(4) {
                self.power(cpu);
            }
            return;
        }
        self.interrupt(cpu);
        let runs = self.turns[cpu];
        match byte / 2 % 16 {
            0..=3 if !tame => self.call(cpu, input),
            4 if !tame => self.write(cpu, input),
            5 => self.raise(cpu, usize::from(byte / 32) % 2),
            6 | 7 => self.respond(cpu),
            8 if runs.is_some_and(|(_, foreign)| foreign == ForeignInterrupts::Taken) => {
                self.handle(cpu, Event::Interrupt(InterruptLine::Foreign));
            }
            9 if runs.is_some() => {
                self.handle(
                    cpu,
                    Event::PartitionCall(CallRegisters::from_first_eight([GET, 0, 0, 0, 0, 0, 0, 0])),
                );
            }
            10 if runs.is_some() => {
                let intid = u64::from(DEVICE[usize::from(byte / 32) % 2]);
                let registers = [DEACTIVATE, intid, intid, 0, 0, 0, 0, 0];
                self.handle(cpu, Event::PartitionCall(CallRegisters::from_first_eight(registers)));
            }
            11 => {
                let to = 0x8001 + u64::from(byte / 32) % PARTITIONS;
                let from = runs.map_or(0, |(id, _)| u64::from(id.partition.endpoint_id().raw()));
                let registers = request(from, to, [1, 2, 3, 4, 5]);
                let event = match runs {
                    Some(_) => Event::PartitionCall(registers),
                    None => Event::NormalWorldCall(registers),
                };
                self.handle(cpu, event);
            }
            12 => {
                let id = 0x8001 + u64::from(byte / 32) % PARTITIONS;
                let vcpu = if id == 0x8001 { cpu as u64 } else { 0 };
                let registers =
                    CallRegisters::from_first_eight([0x8400_006d, id << 16 | vcpu, 0, 0, 0, 0, 0, 0]);
                let event = match runs {
                    Some(_) => Event::PartitionCall(registers),
                    None => Event::NormalWorldCall(registers),
                };
                self.handle(cpu, event);
            }
            13 if runs.is_some() => {
                let registers =
                    [answer::msg_wait(), Call::Yield { target: Target::NONE, timeout: 0 }.encode()];
                self.handle(cpu, Event::PartitionCall(registers[usize::from(byte / 32) % 2]));
            }
            14 if runs.is_some() && !tame => {
                let kind = match byte / 32 {
                    0 => TrapKind::Instruction,
                    1 => TrapKind::SystemError,
                    2 => TrapKind::InstructionAbort { address: Ipa::secure(input.number(&self.known)) },
                    _ => TrapKind::DataAbort {
                        address: Ipa::non_secure(input.number(&self.known)),
                        write: true,
                    },
                };
                self.handle(cpu, Event::PartitionTrap(Trap { kind, pc: 0, syndrome: 0 }));
            }
            15 if !tame => match byte / 32 {
                0..=3 => self.power(cpu),
                4 | 5 => {
                    let now = self.sim.machine().counter().wrapping_add(input.byte().into());
                    self.sim.machine().set_counter(now);
                }
                _ if runs.is_some() => {
                    let register =
                        [TimerRegister::Control, TimerRegister::CompareValue, TimerRegister::TimerValue]
                            [usize::from(input.byte()) % 3];
                    let access = match input.byte() % 2 {
                        0 => RegisterAccess::Read { to: 3 },
                        _ => RegisterAccess::Write { value: input.number(&self.known) },
                    };
                    self.handle(cpu, Event::TimerAccess(TimerAccess { register, access }));
                }
                _ => {}
            },
            _ => {}
        }
    }

    /// Lets everybody finish what he is at, and take every interrupt that is there for him.
    fn finish(&mut self) {
        let mut next = [0; CPUS];
        for round in 0..ROUNDS {
            let cpu = round % CPUS;
            self.interrupt(cpu);
            match self.turns[cpu] {
                Some((id, _)) => {
                    while id.partition.get() == 1 && self.takes(cpu) {}
                    // Whoever owes it an answer is its to run. Most owe it none.
                    for other in (0x8001..).take(PARTITIONS as usize) {
                        let vcpu = if other == 0x8001 { cpu as u64 } else { 0 };
                        let registers = [0x8400_006d, other << 16 | vcpu, 0, 0, 0, 0, 0, 0];
                        if self.turns[cpu].is_some_and(|(running, _)| running == id) {
                            self.is_refused(cpu, CallRegisters::from_first_eight(registers));
                        }
                    }
                    if self.turns[cpu].is_some_and(|(running, _)| running == id) {
                        self.respond(cpu);
                    }
                }
                // Everybody is run in turn, those who were stopped and those who wait. At last nobody is run any more.
                None if round < ROUNDS - ROUNDS / 4 => {
                    next[cpu] += 1;
                    let index = next[cpu] % PARTITIONS;
                    let vcpu = if index == 0 { cpu as u64 } else { 0 };
                    let registers = [0x8400_006d, (0x8001 + index) << 16 | vcpu, 0, 0, 0, 0, 0, 0];
                    self.handle(cpu, Event::NormalWorldCall(CallRegisters::from_first_eight(registers)));
                }
                None => {}
            }
        }
        assert!(self.turns.iter().all(Option::is_none), "somebody never ends");
    }

    /// Takes an interrupt and ends it, and returns whether there was one.
    fn takes(&mut self, cpu: usize) -> bool {
        let before = self.got;
        let owner = self.turns[cpu].map(|(id, _)| id);
        self.handle(cpu, Event::PartitionCall(CallRegisters::from_first_eight([GET, 0, 0, 0, 0, 0, 0, 0])));
        let Some(which) = (0..2).find(|which| self.got[*which] != before[*which]) else { return false };
        let intid = DEVICE[which].into();
        let registers = [DEACTIVATE, intid, intid, 0, 0, 0, 0, 0];
        self.handle(cpu, Event::PartitionCall(CallRegisters::from_first_eight(registers)));
        self.interrupt(cpu);
        self.turns[cpu].map(|(id, _)| id) == owner
    }
}

fn map(tx: u64) -> CallRegisters {
    CallRegisters::from_first_eight([0xc400_0066, tx, tx + 0x1000, 1, 0, 0, 0, 0])
}

fn request(from: u64, to: u64, [x3, x4, x5, x6, x7]: [u64; 5]) -> CallRegisters {
    CallRegisters::from_first_eight([0xc400_006f, from << 16 | to, 0, x3, x4, x5, x6, x7])
}

/// Lets everybody do anything.
pub(crate) fn calls(bytes: &[u8]) {
    let mut input = Input(bytes);
    let restarts = input.byte() % 2 == 0;
    let mut wild = Wild::new(restarts);
    while !input.0.is_empty() {
        wild.step(&mut input, false);
    }
}

/// Lets interrupts come to an owner that does anything that it may, and counts them.
pub(crate) fn interrupts(bytes: &[u8]) {
    let mut input = Input(bytes);
    let mut wild = Wild::new(false);
    while !input.0.is_empty() {
        wild.step(&mut input, true);
    }
    wild.finish();
    assert_eq!(wild.got, wild.edges, "interrupts that were got, and that have come");
}

/// Returns inputs to begin with: every kind of step, and a few that get somewhere.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    static SEEDS: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    SEEDS
        .get_or_init(|| {
            let step = |kind: u8, cpu: u8, more: u8| more << 5 | kind << 1 | cpu;
            let mut all: Vec<Vec<u8>> = (0..16).map(|kind| vec![0, step(kind, 0, 1), 7, 3, 5, 9]).collect();
            // A request, an interrupt while it is served, the interrupt taken and ended, the answer.
            let served = [(11, 1), (5, 0), (9, 0), (10, 0), (6, 0), (11, 0), (8, 0), (5, 1), (12, 1), (9, 0)];
            all.push(served.iter().map(|(kind, more)| step(*kind, 0, *more)).collect());
            all.push(served.iter().map(|(kind, more)| step(*kind, 1, *more)).collect());
            // Everybody is stopped, and begins anew.
            all.push(vec![0, step(11, 0, 0), step(14, 0, 0), step(11, 1, 0), step(6, 1, 0), step(15, 1, 0)]);
            all
        })
        .clone()
}
