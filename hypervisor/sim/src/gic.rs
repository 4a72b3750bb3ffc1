//! The interrupt controller: what is pending and what is active, for each processing element and shared.

use std::collections::BTreeMap;

use tantalum_hal::{InterruptSetting, Trigger};
use tantalum_types::{CpuIndex, MAX_CPUS};

/// Is an interrupt.
#[derive(Clone, Copy, Debug)]
struct Interrupt {
    setting: InterruptSetting,
    /// Whether an edge has come that has not been taken.
    edge: bool,
    /// Whether its line is up.
    level: bool,
    active: bool,
}

impl Interrupt {
    /// Builds one that nobody has set up: enabled, so that it shows whether somebody handles it.
    fn new(target: CpuIndex) -> Self {
        let setting =
            InterruptSetting { enabled: true, priority: 0x80, trigger: Trigger::Edge, secure: true, target };
        Self { setting, edge: false, level: false, active: false }
    }

    fn is_signalled(&self) -> bool {
        self.setting.enabled && (self.edge || self.level) && !self.active
    }
}

/// Is the interrupt controller. Numbers below 32 are private to a processing element.
#[derive(Default)]
pub(crate) struct Gic {
    private: [BTreeMap<u32, Interrupt>; MAX_CPUS],
    shared: BTreeMap<u32, Interrupt>,
    /// What was done to it that a real one answers by going wrong silently.
    pub(crate) mistakes: Vec<String>,
}

impl Gic {
    fn interrupt(&mut self, cpu: CpuIndex, intid: u32) -> &mut Interrupt {
        let bank = if intid < 32 { &mut self.private[cpu.get()] } else { &mut self.shared };
        bank.entry(intid).or_insert_with(|| Interrupt::new(cpu))
    }

    /// Lets an edge come.
    pub(crate) fn edge(&mut self, cpu: CpuIndex, intid: u32) {
        self.interrupt(cpu, intid).edge = true;
    }

    /// Lets the line of an interrupt be up or down.
    pub(crate) fn level(&mut self, cpu: CpuIndex, intid: u32, up: bool) {
        self.interrupt(cpu, intid).level = up;
    }

    /// Sets an interrupt up.
    pub(crate) fn configure(&mut self, cpu: CpuIndex, intid: u32, setting: &InterruptSetting) {
        self.interrupt(cpu, intid).setting = *setting;
    }

    /// Returns the most urgent interrupt of the Secure or of the Non-secure group that is signalled to `cpu`.
    pub(crate) fn signalled(&self, cpu: CpuIndex, secure: bool) -> Option<u32> {
        let shared = self.shared.iter().filter(|(_, interrupt)| interrupt.setting.target == cpu);
        let candidates = self.private[cpu.get()].iter().chain(shared);
        candidates
            .filter(|(_, interrupt)| interrupt.is_signalled() && interrupt.setting.secure == secure)
            .min_by_key(|(intid, interrupt)| (interrupt.setting.priority, **intid))
            .map(|(intid, _)| *intid)
    }

    /// Takes the most urgent secure interrupt that is signalled to `cpu`, which becomes active.
    pub(crate) fn take(&mut self, cpu: CpuIndex) -> Option<u32> {
        let intid = self.signalled(cpu, true)?;
        let interrupt = self.interrupt(cpu, intid);
        interrupt.edge = false;
        interrupt.active = true;
        Some(intid)
    }

    /// Deactivates an interrupt, which must be active: on `cpu` if it is private.
    pub(crate) fn end(&mut self, cpu: CpuIndex, intid: u32) {
        let interrupt = self.interrupt(cpu, intid);
        let was_active = std::mem::replace(&mut interrupt.active, false);
        if !was_active {
            self.mistakes.push(format!("interrupt {intid} is ended on {cpu:?}, where it is not active"));
        }
    }

    /// Tells whether an edge has come that was not taken.
    pub(crate) fn has_edge(&mut self, cpu: CpuIndex, intid: u32) -> bool {
        self.interrupt(cpu, intid).edge
    }

    /// Tells whether an interrupt is active.
    pub(crate) fn is_active(&mut self, cpu: CpuIndex, intid: u32) -> bool {
        self.interrupt(cpu, intid).active
    }
}
