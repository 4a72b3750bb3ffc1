//! Records what enters and leaves the SPMC.

use tantalum_aarch64::pe::ProcessingElement;
use tantalum_aarch64::timer;
use tantalum_hal::{Action, Event, Platform as _};
use tantalum_qemu_virt::QemuVirt;
use tantalum_spmc::TABLE_PAGES;
use tantalum_trace::{Counters, Recorder};
use tantalum_types::CpuIndex;

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

    /// Carries out an action and returns what the processing element came back with.
    pub(crate) fn perform(&mut self, action: &Action) -> Event {
        if let Some(recorder) = &self.recorder {
            recorder.action(PLATFORM.now(), action);
        }
        let event = self.element.perform(action);
        if let Some(recorder) = &self.recorder {
            recorder.event(PLATFORM.now(), Some(action), &event);
        }
        event
    }
}
