//! A partition as a program: what it does is written from top to bottom, and it takes virtual interrupts as a processor
//! does, between any two of its steps.
//!
//! The program runs on a thread of its own, which has the word only while its execution context does.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use tantalum_ffa::{Call, DirectMessage, answer};
use tantalum_hal::{
    Entry, Event, ForeignInterrupts, InterruptLine, RegisterAccess, TimerAccess, TimerRegister, TrapKind,
    VirtualInterrupts,
};
use tantalum_types::{CallRegisters, CpuIndex, VcpuId};

use crate::script::{Script, trap};

/// Answers "which interrupt is pending?" where there is none.
pub const NO_INTERRUPT: u64 = 0xffff_ffff;

/// Bounds how often virtual interrupts stop a program in one place: more means that they never end.
const MAX_INTERRUPTS: usize = 1000;

/// Handles virtual interrupts. They are masked meanwhile.
type Handler = Box<dyn FnMut(&mut Guest) + Send>;

/// Is what a program learns when it gets the word.
#[derive(Clone, Copy, Debug)]
struct Turn {
    cpu: CpuIndex,
    vcpu: VcpuId,
    entry: Entry,
    foreign: ForeignInterrupts,
    signals: VirtualInterrupts,
}

/// Is what a program wants of the machine.
enum Wish {
    /// To end its turn with this event.
    End(Event),
    /// An edge of an interrupt to come.
    Raise(u32),
    /// The line of an interrupt to be up or down.
    Level(u32, bool),
}

/// Is the program's end of the world.
pub struct Guest {
    wishes: Sender<Wish>,
    turns: Receiver<Turn>,
    turn: Turn,
    handler: Option<Handler>,
    masked: bool,
}

impl Guest {
    /// Returns where the program runs.
    pub fn cpu(&self) -> usize {
        self.turn.cpu.get()
    }

    /// Returns the number of its execution context.
    pub fn vcpu(&self) -> usize {
        self.turn.vcpu.index.get()
    }

    /// Returns which virtual interrupts were signalled when the program last got the word.
    pub fn signals(&self) -> VirtualInterrupts {
        self.turn.signals
    }

    /// Returns what the SPMC had decided about interrupts of the normal world then.
    pub fn foreign(&self) -> ForeignInterrupts {
        self.turn.foreign
    }

    /// Lets `handler` handle virtual interrupts from the next step on.
    pub fn handle_interrupts(&mut self, handler: impl FnMut(&mut Guest) + Send + 'static) {
        self.handler = Some(Box::new(handler));
    }

    /// Masks virtual interrupts, or no longer.
    pub fn mask(&mut self, masked: bool) {
        self.masked = masked;
    }

    /// Lets an edge of an interrupt come.
    pub fn raise(&mut self, intid: u32) {
        self.wish(Wish::Raise(intid));
    }

    /// Lets the line of an interrupt be up or down.
    pub fn set_level(&mut self, intid: u32, up: bool) {
        self.wish(Wish::Level(intid, up));
    }

    /// Makes a call and returns the registers of the answer.
    pub fn call_registers(&mut self, registers: CallRegisters) -> CallRegisters {
        match self.step(Event::PartitionCall(registers)) {
            Entry::Answer(registers) => registers,
            other => panic!("a call is answered by {other:?}"),
        }
    }

    /// Makes a call and returns the answer.
    pub fn call(&mut self, call: Call) -> Call {
        let registers = self.call_registers(call.encode());
        Call::decode(&registers).unwrap_or_else(|error| panic!("the answer {registers:x?}: {error}"))
    }

    /// Waits, and returns what comes.
    pub fn wait(&mut self) -> Call {
        let registers = self.call_registers(answer::msg_wait());
        Call::decode(&registers).unwrap_or_else(|error| panic!("the answer {registers:x?}: {error}"))
    }

    /// Answers a direct request, and returns what comes next.
    pub fn respond(&mut self, request: &DirectMessage, payload: [u64; 5]) -> Call {
        self.call(Call::DirectResponse(request.answer(payload)))
    }

    /// Makes a call about interrupts and returns x0 of the answer.
    pub fn paravirtual(&mut self, function: u64, arguments: [u64; 3]) -> u64 {
        let [x1, x2, x3] = arguments;
        self.call_registers(CallRegisters::from_first_eight([function, x1, x2, x3, 0, 0, 0, 0])).0[0]
    }

    /// Is stopped by a physical interrupt, and goes on.
    pub fn stopped_by(&mut self, line: InterruptLine) {
        let entry = self.step(Event::Interrupt(line));
        assert_eq!(entry, Entry::Resume, "it goes on as it was");
    }

    /// Does what it may not.
    pub fn fault(&mut self) -> ! {
        let entry = self.step(trap(TrapKind::Instruction));
        panic!("it goes on by {entry:?} after a fault");
    }

    /// Reads a register of the timer.
    pub fn timer(&mut self, register: TimerRegister) -> u64 {
        let access = TimerAccess { register, access: RegisterAccess::Read { to: 5 } };
        match self.step(Event::TimerAccess(access)) {
            Entry::Register { to: 5, value } => value,
            other => panic!("a read of {register:?} ends by {other:?}"),
        }
    }

    /// Writes a register of the timer.
    pub fn set_timer(&mut self, register: TimerRegister, value: u64) {
        let access = TimerAccess { register, access: RegisterAccess::Write { value } };
        assert_eq!(self.step(Event::TimerAccess(access)), Entry::Resume, "a write of {register:?}");
    }

    /// Ends the turn by `event`; returns how it goes on, after every virtual interrupt has been handled.
    fn step(&mut self, event: Event) -> Entry {
        self.wish(Wish::End(event));
        self.turn = next(&self.turns);
        let entry = self.turn.entry;
        for _ in 0..MAX_INTERRUPTS {
            let VirtualInterrupts { irq, fiq } = self.turn.signals;
            if self.masked || !(irq || fiq) {
                return entry;
            }
            let Some(mut handler) = self.handler.take() else { return entry };
            self.masked = true;
            handler(self);
            self.masked = false;
            self.handler = Some(handler);
        }
        panic!("virtual interrupts never end");
    }

    fn wish(&self, wish: Wish) {
        if self.wishes.send(wish).is_err() {
            end();
        }
    }
}

/// Waits for the word.
fn next(turns: &Receiver<Turn>) -> Turn {
    turns.recv().unwrap_or_else(|_| end())
}

/// Ends the program's thread silently: its machine is gone, or it begins anew on another one.
fn end() -> ! {
    std::panic::resume_unwind(Box::new(()))
}

/// Runs `program` from its beginning each time that the execution context starts. When it ends, it waits for ever.
pub fn guest(program: impl Fn(&mut Guest) + Send + Sync + 'static) -> Script {
    let program = Arc::new(program);
    let mut ends: Option<(Sender<Turn>, Mutex<Receiver<Wish>>)> = None;
    Box::new(move |context| {
        let turn = Turn {
            cpu: context.cpu,
            vcpu: context.vcpu,
            entry: context.entry,
            foreign: context.foreign,
            signals: context.signals,
        };
        if context.start().is_some() {
            let (to_guest, turns) = channel();
            let (wishes, from_guest) = channel();
            let program = program.clone();
            std::thread::spawn(move || {
                let turn = next(&turns);
                let mut guest = Guest { wishes, turns, turn, handler: None, masked: false };
                program(&mut guest);
                loop {
                    guest.wait();
                }
            });
            ends = Some((to_guest, Mutex::new(from_guest)));
        }
        let (to_guest, from_guest) = ends.as_ref().expect("it has been started");
        to_guest.send(turn).expect("its program has failed");
        loop {
            match from_guest.lock().unwrap().recv().expect("its program has failed") {
                Wish::End(event) => return Ok(event),
                Wish::Raise(intid) => context.machine.raise(context.cpu, intid),
                Wish::Level(intid, up) => context.machine.set_level(context.cpu, intid, up),
            }
        }
    })
}
