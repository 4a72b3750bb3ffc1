//! What is written down of an event and of an action.

use tantalum_hal::{
    Action, Entry, Event, ForeignInterrupts, InterruptLine, RegisterAccess, TimerRegister, TrapKind,
};
use tantalum_types::{CallRegisters, EndpointId, VcpuId};

use crate::layout::RECORD_WORDS;

/// Numbers the kinds of records, as [`layout`](crate::layout) lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Kind {
    Started = 1,
    NormalWorldCall = 2,
    PartitionCall = 3,
    Trap = 4,
    Interrupt = 5,
    Timer = 6,
    ToNormalWorld = 7,
    Start = 8,
    Answer = 9,
    Resume = 10,
    Register = 11,
    Halt = 12,
}

/// Is a record but for its sequence number and its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    kind: Kind,
    detail: u8,
    endpoint: EndpointId,
    context: u16,
    values: [u64; 18],
}

impl Record {
    /// Describes what a processing element came back with after `turn`; `None` if it has just been started.
    pub fn of_event(turn: Option<&Action>, event: &Event) -> Self {
        let record = Self::of(match turn {
            Some(Action::Run { vcpu, .. }) => Some(*vcpu),
            Some(Action::CallNormalWorld(_) | Action::Halt) | None => None,
        });
        match event {
            Event::Started => record.kind(Kind::Started, 0),
            Event::NormalWorldCall(call) => record.kind(Kind::NormalWorldCall, 0).call(call),
            Event::PartitionCall(call) => record.kind(Kind::PartitionCall, 0).call(call),
            Event::PartitionTrap(trap) => {
                let (detail, address, write) = match trap.kind {
                    TrapKind::DataAbort { address, write } => (0, address.raw(), u64::from(write)),
                    TrapKind::InstructionAbort { address } => (1, address.raw(), 0),
                    TrapKind::Instruction => (2, 0, 0),
                    TrapKind::SystemError => (3, 0, 0),
                };
                record.kind(Kind::Trap, detail).values([address, write, trap.pc, trap.syndrome])
            }
            Event::Interrupt(line) => {
                let detail = match line {
                    InterruptLine::Secure => 0,
                    InterruptLine::Foreign => 1,
                    InterruptLine::Group0 => 2,
                };
                record.kind(Kind::Interrupt, detail)
            }
            Event::TimerAccess(access) => {
                let detail = match access.register {
                    TimerRegister::Control => 0,
                    TimerRegister::CompareValue => 1,
                    TimerRegister::TimerValue => 2,
                };
                let (write, value) = match access.access {
                    RegisterAccess::Read { to } => (0, u64::from(to)),
                    RegisterAccess::Write { value } => (1, value),
                };
                record.kind(Kind::Timer, detail).values([write, value, 0, 0])
            }
        }
    }

    /// Describes what a processing element is to do.
    pub fn of_action(action: &Action) -> Self {
        match action {
            Action::CallNormalWorld(call) => Self::of(None).kind(Kind::ToNormalWorld, 0).call(call),
            Action::Run { vcpu, entry, foreign, signals, roots: _ } => {
                let signals = u8::from(*foreign == ForeignInterrupts::Taken)
                    | u8::from(signals.irq) << 1
                    | u8::from(signals.fiq) << 2;
                let record = Self::of(Some(*vcpu));
                match entry {
                    Entry::Start(start) => record.kind(Kind::Start, signals).values([
                        start.entry_point.raw(),
                        start.boot_info,
                        start.mpidr,
                        0,
                    ]),
                    Entry::Answer(answer) => record.kind(Kind::Answer, signals).call(answer),
                    Entry::Resume => record.kind(Kind::Resume, signals),
                    Entry::Register { to, value } => {
                        record.kind(Kind::Register, signals).values([u64::from(*to), *value, 0, 0])
                    }
                }
            }
            Action::Halt => Self::of(None).kind(Kind::Halt, 0),
        }
    }

    /// Returns the words of the record. The sequence number in them is still to be set.
    pub fn words(&self, now: u64) -> [u64; RECORD_WORDS] {
        let mut words = [0; RECORD_WORDS];
        let [_, time, what, values @ ..] = &mut words;
        *time = now;
        *what = self.kind as u64
            | u64::from(self.detail) << 8
            | u64::from(self.endpoint.raw()) << 32
            | u64::from(self.context) << 48;
        *values = self.values;
        words
    }

    /// Begins a record about an execution context, or about the normal world.
    fn of(vcpu: Option<VcpuId>) -> Self {
        Self {
            kind: Kind::Started,
            detail: 0,
            endpoint: vcpu.map_or(EndpointId::HYPERVISOR, |vcpu| vcpu.partition.endpoint_id()),
            context: vcpu.map_or(0, |vcpu| vcpu.index.as_u16()),
            values: [0; 18],
        }
    }

    fn kind(self, kind: Kind, detail: u8) -> Self {
        Self { kind, detail, ..self }
    }

    fn call(self, call: &CallRegisters) -> Self {
        Self { values: call.0, ..self }
    }

    fn values(mut self, first: [u64; 4]) -> Self {
        let [a, b, c, d, ..] = &mut self.values;
        [*a, *b, *c, *d] = first;
        self
    }
}
