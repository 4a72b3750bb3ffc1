//! Records what enters and leaves the SPMC.

use tantalum_aarch64::timer;
use tantalum_hal::{Action, Event, Platform as _};
use tantalum_qemu_virt::QemuVirt;
use tantalum_spmc::TABLE_PAGES;
use tantalum_trace::{Counters, Recorder};
use tantalum_types::CpuIndex;

use crate::PLATFORM;

static COUNTERS: Counters = Counters::new();

/// Records on one processing element, if there is memory for it.
pub(crate) struct Trace(Option<Recorder<'static, QemuVirt<TABLE_PAGES>>>);

impl Trace {
    /// Begins to record on `cpu`, which is this processing element and has just been started.
    pub(crate) fn start(cpu: CpuIndex) -> Self {
        let recorder = match Recorder::new(&PLATFORM, &COUNTERS, cpu, timer::frequency()) {
            Ok(recorder) => recorder,
            Err(error) => {
                log::error!("CPU {} is not traced: {error}", cpu.get());
                return Self(None);
            }
        };
        recorder.event(PLATFORM.now(), None, &Event::Started);
        Self(Some(recorder))
    }

    /// Records what is about to be done.
    pub(crate) fn action(&self, action: &Action) {
        if let Some(recorder) = &self.0 {
            recorder.action(PLATFORM.now(), action);
        }
    }

    /// Records what came back from it.
    pub(crate) fn event(&self, turn: &Action, event: &Event) {
        if let Some(recorder) = &self.0 {
            recorder.event(PLATFORM.now(), Some(turn), event);
        }
    }
}
