//! A partition that makes the call that a test wants, when a direct request gives it time.

use std::sync::{Arc, Mutex};

use tantalum_ffa::{Call, DirectMessage, Status, Target, Width};
use tantalum_hal::{Event, VirtualInterrupts};
use tantalum_sim::Sim;
use tantalum_sim::script::{Script, call, wait};
use tantalum_types::{CallRegisters, EndpointId};

/// Is the paravirtual call that takes the pending interrupt.
pub(crate) const TAKE_INTERRUPT: CallRegisters =
    CallRegisters::from_first_eight([0xff04, 0, 0, 0, 0, 0, 0, 0]);

/// Is the partition as the test sees it.
#[derive(Clone)]
pub(crate) struct Agent {
    id: EndpointId,
    cell: Arc<Mutex<Cell>>,
}

#[derive(Default)]
struct Cell {
    next: Option<CallRegisters>,
    answer: Option<CallRegisters>,
    signals: VirtualInterrupts,
    framework: Option<DirectMessage>,
}

impl Agent {
    /// Builds the partition with the id `id`; [`Self::scripts`] are its execution contexts.
    pub(crate) fn new(id: EndpointId) -> Self {
        Self { id, cell: Arc::default() }
    }

    /// Returns the script of each execution context.
    pub(crate) fn scripts(&self, count: usize) -> Vec<Script> {
        (0..count).map(|_| self.script()).collect()
    }

    fn script(&self) -> Script {
        let cell = self.cell.clone();
        let mut open: Option<DirectMessage> = None;
        Box::new(move |context| {
            let mut cell = cell.lock().unwrap();
            if let Some(request) = open.take() {
                cell.answer = Some(context.answer());
                return Ok(call(Call::DirectResponse(request.answer(request.payload))));
            }
            let Some(request) = context.request() else { return Ok(wait()) };
            cell.signals = context.signals;
            if request.framework.is_some() {
                cell.framework = Some(request);
            }
            match cell.next.take() {
                Some(next) => {
                    open = Some(request);
                    Ok(Event::PartitionCall(next))
                }
                None => Ok(call(Call::DirectResponse(request.answer(request.payload)))),
            }
        })
    }

    /// Lets the partition make a call on `cpu`, and returns the answer, x0 to x17.
    pub(crate) fn raw(&self, sim: &Sim, cpu: usize, registers: CallRegisters) -> CallRegisters {
        self.cell.lock().unwrap().next = Some(registers);
        self.enter(sim, cpu);
        self.cell.lock().unwrap().answer.take().expect("the partition has got no answer")
    }

    /// Lets the partition make a call on `cpu`, and returns the answer.
    pub(crate) fn ask(&self, sim: &Sim, cpu: usize, call: Call) -> Call {
        Call::decode(&self.raw(sim, cpu, call.encode())).unwrap()
    }

    /// Lets the partition take the interrupt that is pending on `cpu`, and returns its number.
    pub(crate) fn take_interrupt(&self, sim: &Sim, cpu: usize) -> Option<u32> {
        let [number, ..] = self.raw(sim, cpu, TAKE_INTERRUPT).0;
        u32::try_from(number & 0xffff_ffff).ok().filter(|number| *number != u32::MAX)
    }

    /// Gives the partition time on `cpu`, and returns which virtual interrupts were signalled to it then.
    pub(crate) fn enter(&self, sim: &Sim, cpu: usize) -> VirtualInterrupts {
        let request = DirectMessage {
            width: Width::Bits64,
            sender: EndpointId::HYPERVISOR,
            receiver: self.id,
            framework: None,
            payload: [0; 5],
        };
        match sim.ask(cpu, Call::DirectRequest(request)) {
            Call::DirectResponse(_) => self.cell.lock().unwrap().signals,
            other => panic!("{} answers by {other:?}", self.id),
        }
    }
}

/// Returns what a call was refused with, or nothing if it succeeded.
pub(crate) fn status(answer: Call) -> Result<(), Status> {
    match answer {
        Call::Success32 { .. } => Ok(()),
        Call::Error { status, .. } => Err(status),
        other => panic!("{other:?}"),
    }
}

/// Lets the normal world speak FF-A 1.1.
pub(crate) fn negotiate(sim: &Sim, version: u32) {
    sim.call(0, Call::Version { requested: version });
}

/// Returns the answer that succeeds with nothing in it.
pub(crate) const fn done() -> Call {
    Call::Success32 { target: Target::NONE, results: [0; 6] }
}
