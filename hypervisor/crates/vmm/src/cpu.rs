//! What one processing element is at.

use heapless::Vec;
use tantalum_types::{CpuIndex, MAX_VCPUS, MAX_VMS, VmVcpuId};

use crate::timer::PhysicalTimer;

/// Bounds the virtual CPUs that one processing element runs: it may have all that there are.
const MAX_LOCALS: usize = MAX_VMS * MAX_VCPUS;

/// Holds what one processing element is at. It belongs to that processing element alone.
#[derive(Debug)]
pub struct Cpu {
    pub(crate) index: CpuIndex,
    /// The virtual CPUs that it runs.
    pub(crate) locals: Vec<Local, MAX_LOCALS>,
    /// The one of them that it runs now.
    pub(crate) current: Option<usize>,
    /// The one of them whose interrupts its virtual CPU interface holds.
    pub(crate) loaded: Option<usize>,
    /// Since when, as a system count, it runs the current one.
    pub(crate) since: u64,
    /// When the current one has had its turn, if another one waits for its own.
    pub(crate) slice_end: Option<u64>,
    /// When the hypervisor's timer comes.
    pub(crate) armed: Option<u64>,
    /// Whether one of its virtual CPUs was woken while another one runs.
    pub(crate) woken: bool,
    /// Whether the interrupt of the virtual timer is active and stands for nobody's.
    pub(crate) stray_timer: bool,
}

/// Is a virtual CPU on the processing element that runs it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Local {
    pub(crate) id: VmVcpuId,
    /// How long it has run, as counts of the system counter, compared with the others here.
    pub(crate) used: u64,
    /// When its virtual timer raises its interrupt, while its registers are not in the processing element.
    pub(crate) virtual_deadline: Option<u64>,
    pub(crate) physical_timer: PhysicalTimer,
    /// Whether the line of its physical timer is up, as its interrupt controller knows it.
    pub(crate) physical_line: bool,
}

impl Cpu {
    /// Builds the state of a processing element that has not been started.
    pub const fn new(index: CpuIndex) -> Self {
        Self {
            index,
            locals: Vec::new(),
            current: None,
            loaded: None,
            since: 0,
            slice_end: None,
            armed: None,
            woken: false,
            stray_timer: false,
        }
    }

    /// Returns which processing element it is.
    pub const fn index(&self) -> CpuIndex {
        self.index
    }

    /// Takes over a virtual CPU.
    pub(crate) fn adopt(&mut self, id: VmVcpuId) {
        let local = Local {
            id,
            used: 0,
            virtual_deadline: None,
            physical_timer: PhysicalTimer::OFF,
            physical_line: false,
        };
        // There is room for all that there are.
        let _ = self.locals.push(local);
    }

    pub(crate) fn local(&self, index: usize) -> Option<&Local> {
        self.locals.get(index)
    }

    /// Returns the physical timer of the current one.
    pub(crate) fn current_timer(&mut self) -> Option<&mut PhysicalTimer> {
        self.locals.get_mut(self.current?).map(|local| &mut local.physical_timer)
    }

    /// Counts the time until `now` for the current one.
    pub(crate) fn account(&mut self, now: u64) {
        let spent = now.saturating_sub(self.since);
        self.since = now;
        if let Some(local) = self.current.and_then(|current| self.locals.get_mut(current)) {
            local.used = local.used.saturating_add(spent);
        }
    }
}
