//! Records what enters and leaves the SPMC.

use tantalum_aarch64::pe::ProcessingElement;
use tantalum_aarch64::timer;
use tantalum_hal::{Action, Arrival, Event, Platform as _, Turn};
use tantalum_qemu_virt::QemuVirt;
use tantalum_spmc::TABLE_PAGES;
use tantalum_trace::{Counters, Recorder};
use tantalum_types::{CallRegisters, CpuIndex};

use crate::PLATFORM;

static COUNTERS: Counters = Counters::new();

/// Is a processing element that records what it is told and what it came back with, if there is memory for it.
pub(crate) struct Traced {
    element: ProcessingElement,
    recorder: Option<Recorder<'static, QemuVirt<TABLE_PAGES>>>,
}

impl Traced {
    /// Begins to record on `cpu`, which `element` and this processing element are, and which has just been started.
    pub(crate) fn start(element: ProcessingElement, cpu: CpuIndex) -> Self {
        let recorder = Recorder::new(&PLATFORM, &COUNTERS, cpu, timer::frequency());
        let recorder =
            recorder.inspect_err(|error| log::error!("CPU {} is not traced: {error}", cpu.get())).ok();
        if let Some(recorder) = &recorder {
            recorder.event(PLATFORM.now(), None, &Event::Started);
        }
        Self { element, recorder }
    }

    /// As [`ProcessingElement::call_normal_world`].
    pub(crate) fn call_normal_world(&mut self, registers: &mut CallRegisters) {
        let action = Action::CallNormalWorld(*registers);
        self.record(&action);
        self.element.call_normal_world(registers);
        self.record_arrival(&action, Arrival::NormalWorldCall, registers);
    }

    /// As [`ProcessingElement::run`].
    pub(crate) fn run(&mut self, turn: &Turn, registers: &mut CallRegisters) -> Arrival {
        let action = turn.with(registers);
        self.record(&action);
        let arrival = self.element.run(turn, registers);
        self.record_arrival(&action, arrival, registers);
        arrival
    }

    fn record(&self, action: &Action) {
        if let Some(recorder) = &self.recorder {
            recorder.action(PLATFORM.now(), action);
        }
    }

    fn record_arrival(&self, action: &Action, arrival: Arrival, registers: &CallRegisters) {
        if let Some(recorder) = &self.recorder {
            recorder.event(PLATFORM.now(), Some(action), &arrival.with(registers));
        }
    }
}
