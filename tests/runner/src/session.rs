//! What a run is made of, and the state machine that records it.
//!
//! [`Session`] never does input or output and never asks for the time: it is told both.
//! So every way in which a boot can go wrong is tested on transcripts.

mod machine;
#[cfg(test)]
pub mod tests;

pub use machine::{Limits, Session};

use crate::faults::Fault;
use crate::ktap::Status;
use crate::milestones::{self, Milestone, Stage};
use crate::qmp::CpuState;
use crate::stamp::{Clock, Stamp};
use std::fmt;
use std::time::Duration;

/// Where a line came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Console {
    /// The first UART: TF-A and Linux.
    Normal,
    /// The secure UART: the SPMC and its partitions.
    Secure,
    /// QEMU's own words.
    Qemu,
}

impl Console {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Normal, Self::Secure, Self::Qemu];

    /// The label in logs.
    pub fn label(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Secure => "secure",
            Self::Qemu => "qemu",
        }
    }
}

/// One line of a console.
#[derive(Clone, Debug)]
pub struct LogLine {
    /// Where it came from.
    pub console: Console,
    /// When it came.
    pub stamp: Stamp,
    /// The line as it was printed, cleaned of control characters.
    pub text: String,
}

/// One scenario as the guest told it.
#[derive(Clone, Debug)]
pub struct ScenarioRun {
    /// Its name, with that of its VM before it if there are several.
    pub name: String,
    /// The VM that it runs in; empty for the machine itself.
    pub vm: String,
    /// When it began, if it said so.
    pub began: Option<Stamp>,
    /// When its result came.
    pub ended: Option<Stamp>,
    /// Its result, if one came.
    pub status: Option<Status>,
    /// How many assertions it made.
    pub assertions: Option<u32>,
    /// What it said, failed assertions first to last.
    pub diagnostics: Vec<String>,
    /// Why it was skipped.
    pub reason: String,
}

/// Why the run was ended before QEMU went away by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// No console said anything for this long.
    Silent(Duration),
    /// The whole run took longer than this.
    TooLong(Duration),
    /// A fault was seen and its last words were waited for.
    Fault,
    /// The person at the terminal, or a signal, asked for it.
    Interrupted,
}

/// How QEMU went away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    /// Its exit status in words: `status 1`, `signal 11`.
    pub how: String,
    /// It exited with status 0.
    pub clean: bool,
    /// The reason that QEMU itself gave, such as `guest-shutdown` or `guest-reset`.
    pub reason: Option<String>,
}

/// How the run ended.
#[derive(Clone, Debug)]
pub enum End {
    /// QEMU went away.
    Exited(Exit),
    /// The runner ended it; the CPUs' states are from just before, if QEMU told them.
    Stopped(Stop, Vec<CpuState>),
}

/// Everything that was seen in a run.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// Every line of every console, in the order of arrival.
    pub log: Vec<LogLine>,
    /// Stages that were reached, in the order of arrival.
    pub milestones: Vec<Milestone>,
    /// The number of scenarios announced, by each VM if there are several.
    pub plan: Option<u32>,
    /// The VMs that announced some, in the order of arrival. The machine itself has no name.
    pub planned: Vec<String>,
    /// Scenarios that began or gave a result, in this order.
    pub scenarios: Vec<ScenarioRun>,
    /// Faults, in the order of arrival.
    pub faults: Vec<Fault>,
    /// Breaches of the test protocol.
    pub breaches: Vec<String>,
    /// How it ended.
    pub end: Option<End>,
    /// Host time at the end.
    pub ended: Duration,
    /// The version of QEMU, if it said it.
    pub qemu_version: Option<String>,
}

impl Record {
    /// Finds the milestone of a stage.
    pub fn milestone(&self, stage: Stage) -> Option<&Milestone> {
        self.milestones.iter().find(|m| m.stage == stage)
    }

    /// The furthest stage. The two consoles race, so this is not always the last to arrive.
    pub fn furthest(&self) -> Option<&Milestone> {
        self.milestones.iter().reduce(|best, m| if m.stage >= best.stage { m } else { best })
    }

    /// The scenario that has begun and not ended; the last one to begin, if VMs have several.
    pub fn running(&self) -> Option<&ScenarioRun> {
        self.scenarios.iter().rev().find(|s| s.status.is_none())
    }

    /// The scenario of a VM that has begun and not ended.
    pub fn running_in(&self, vm: &str) -> Option<&ScenarioRun> {
        self.scenarios.iter().rev().find(|s| s.status.is_none() && s.vm == vm)
    }

    /// Tells whether everybody who announced scenarios said that they are done.
    pub fn done(&self) -> bool {
        let done = self.milestones.iter().filter(|m| m.stage == Stage::Done).count();
        done > 0 && done >= self.planned.len()
    }

    /// The fault that explains the others best.
    pub fn worst_fault(&self) -> Option<&Fault> {
        self.faults.iter().rev().max_by_key(|fault| fault.weight())
    }

    /// All lines, in the order that the clock knows.
    ///
    /// By the host's clock that is the order of arrival. The order of arrival of two consoles
    /// is up to the host's scheduler, so the virtual clock cannot use it. It puts them
    /// together as the boot does: the firmware, the SPMC until its boot is complete, then all
    /// of Linux, and after it what the secure world said meanwhile.
    pub fn lines(&self, clock: Clock) -> Vec<&LogLine> {
        if clock == Clock::Host {
            return self.log.iter().collect();
        }
        let mut spmc_booted = false;
        let mut linux_started = false;
        let mut keyed: Vec<(u8, &LogLine)> = Vec::with_capacity(self.log.len());
        for line in &self.log {
            let part = match line.console {
                Console::Normal => {
                    linux_started |= line.stamp.guest.is_some();
                    if linux_started { 2 } else { 0 }
                }
                Console::Secure => {
                    let part = if spmc_booted { 3 } else { 1 };
                    let stage = milestones::recognise(line.console, &line.text).map(|(stage, _)| stage);
                    spmc_booted |= stage == Some(Stage::SpmcReady);
                    part
                }
                Console::Qemu => 4,
            };
            keyed.push((part, line));
        }
        // A stable sort: each console keeps its own order.
        keyed.sort_by_key(|(part, _)| *part);
        keyed.into_iter().map(|(_, line)| line).collect()
    }

    /// The last lines of a console.
    pub fn tail(&self, console: Console, count: usize) -> Vec<&LogLine> {
        let mut lines: Vec<_> =
            self.log.iter().rev().filter(|line| line.console == console).take(count).collect();
        lines.reverse();
        lines
    }
}

/// What a line brought about, for whoever shows the run live.
#[derive(Clone, Debug)]
pub enum Event {
    /// A stage was reached.
    Milestone(Milestone),
    /// A scenario began.
    Began {
        /// Its name.
        name: String,
        /// When.
        stamp: Stamp,
    },
    /// A scenario gave its result.
    Ended(ScenarioRun),
    /// A fault was seen.
    Fault(Fault),
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent(limit) => write!(f, "hang: no output for {} s", limit.as_secs()),
            Self::TooLong(limit) => write!(f, "hang: not done after {} s", limit.as_secs()),
            Self::Fault => f.write_str("stopped after a fault"),
            Self::Interrupted => f.write_str("interrupted"),
        }
    }
}
