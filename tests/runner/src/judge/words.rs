//! Sentences about where a run stood and why it ended.

use super::Judge;
use crate::faults::Fault;
use crate::milestones::{Level, Stage};
use crate::qmp::{self, CpuState};
use crate::session::{Console, End, Exit, Stop};

impl Judge<'_> {
    /// Says why the run did not end as it should, unless a fault already says it.
    pub(super) fn end_problem(&self) -> Option<String> {
        match self.record.end.as_ref()? {
            End::Exited(exit) => self.exit_problem(exit),
            End::Stopped(Stop::Fault, _) => None,
            End::Stopped(Stop::Interrupted, _) => Some(format!("interrupted {}", self.place())),
            End::Stopped(stop, cpus) => Some(format!(
                "{stop} {}; last milestone: {}; {}",
                self.place(),
                self.last_milestone(),
                self.hanging(cpus)
            )),
        }
    }

    fn exit_problem(&self, exit: &Exit) -> Option<String> {
        let reason = exit.reason.as_deref().map(|r| format!(" ({r})")).unwrap_or_default();
        if !exit.clean {
            let said = self
                .record
                .tail(Console::Qemu, 1)
                .first()
                .map(|line| format!(": {}", line.text))
                .unwrap_or_default();
            return Some(format!(
                "QEMU ended with {}{reason} {}; last milestone: {}{said}",
                exit.how,
                self.place(),
                self.last_milestone()
            ));
        }
        if self.record.milestone(Stage::PowerOff).is_some() {
            return None;
        }
        Some(format!(
            "the machine went off{reason} {} without {} power-off; last milestone: {}",
            self.place(),
            if self.expect.normal_world.has_suite() { "the suite's" } else { "init's" },
            self.last_milestone()
        ))
    }

    /// Says, for scenarios that never ran, what came first.
    pub(super) fn cut_short(&self) -> String {
        if let Some(fault) = self.record.worst_fault() {
            return format!("{} {}", fault.summary(), self.place_of(fault));
        }
        match self.record.end.as_ref() {
            Some(End::Stopped(stop, _)) => format!("{stop} {}", self.place()),
            Some(End::Exited(exit)) if !exit.clean => format!("QEMU ended with {}", exit.how),
            _ if self.record.milestone(Stage::Plan).is_none() => "no plan was announced".into(),
            _ if self.record.milestone(Stage::Done).is_none() => "the test module ended early".into(),
            _ => "the test module does not have it".into(),
        }
    }

    pub(super) fn interrupted(&self) -> bool {
        matches!(self.record.end, Some(End::Stopped(Stop::Interrupted, _)))
    }

    /// Says where the run stands at its end.
    pub(super) fn place(&self) -> String {
        if let Some(running) = self.record.running() {
            return format!("in scenario {}", self.title(&running.name));
        }
        match self.record.scenarios.last() {
            None => "during boot".into(),
            Some(_) if self.record.milestone(Stage::Done).is_some() => "at power-off".into(),
            Some(last) => format!("after scenario {}", self.title(&last.name)),
        }
    }

    /// Says where a fault was seen.
    pub(super) fn place_of(&self, fault: &Fault) -> String {
        match &fault.scenario {
            Some(name) => format!("in scenario {}", self.title(name)),
            None if self.in_boot(fault) => "during boot".into(),
            None => "outside the scenarios".into(),
        }
    }

    fn title(&self, name: &str) -> String {
        match self.expect.list.and_then(|list| list.find(name)) {
            Some(scenario) => format!("{} {name}", scenario.number),
            None => name.to_owned(),
        }
    }

    fn last_milestone(&self) -> String {
        self.record.furthest().map_or_else(|| "none".into(), |m| m.label.clone())
    }

    fn hanging(&self, cpus: &[CpuState]) -> String {
        // The CPUs cannot tell the bare-metal suite, nor our hypervisor, from another one.
        let suite = self.expect.normal_world.has_suite();
        let at_el2 = |cpu: &CpuState| cpu.level() == Some(Level::Pkvm);
        if let Some(cpu) = qmp::suspect(cpus).filter(|cpu| !(suite && at_el2(cpu))) {
            if self.expect.normal_world.has_vms() && at_el2(cpu) {
                return format!("CPU {} in {} at pc {:#x}", cpu.cpu, Level::Vmm, cpu.pc);
            }
            return cpu.to_string();
        }
        let stage = self.record.furthest().map(|m| m.stage);
        match cpus.first() {
            Some(_) if stage >= Some(Stage::Linux) => return format!("every CPU waits in {}", Level::Linux),
            Some(_) if stage >= Some(Stage::BareMetal) => {
                return format!("no CPU hangs below {}", Level::BareMetal);
            }
            Some(cpu) => return cpu.to_string(),
            None => {}
        }
        // Without a word from QEMU, what came last is the best guess.
        match stage {
            None => format!("{} never spoke", Level::Bl1),
            Some(_) if self.record.running().is_some() => {
                "the hanging level is unknown, QEMU did not answer".into()
            }
            Some(stage) => format!("probably in {}", stage.level_after()),
        }
    }
}
