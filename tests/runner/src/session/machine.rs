//! The state machine: lines and time in, a record out.

use super::{Console, End, Event, Exit, LogLine, Record, ScenarioRun, Stop};
use crate::faults::{self, Fault, Severity};
use crate::ktap::{self, Ktap, Status};
use crate::milestones::{self, Milestone, Stage};
use crate::qmp::CpuState;
use crate::stamp::{Stamp, split_printk};
use std::time::Duration;

/// After a panic, silence of this length means that its last words are out.
const PANIC_SILENCE: Duration = Duration::from_secs(1);
/// A panic that never stops talking is cut off after this long.
const PANIC_LIMIT: Duration = Duration::from_secs(10);
/// After an error that may or may not be survived, silence of this length means it was not.
const ERROR_SILENCE: Duration = Duration::from_secs(15);

/// When to give up. These are host times and decide about nothing else.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The longest silence on all consoles.
    pub quiet: Duration,
    /// The longest run.
    pub total: Duration,
}

/// Records a run.
#[derive(Debug)]
pub struct Session {
    limits: Limits,
    record: Record,
    last_output: Duration,
    guest: Option<Duration>,
    panicked: Option<Duration>,
}

impl Session {
    /// Starts recording at host time zero.
    pub fn new(limits: Limits) -> Self {
        Self { limits, record: Record::default(), last_output: Duration::ZERO, guest: None, panicked: None }
    }

    /// What was recorded so far.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// Notes QEMU's version.
    pub fn qemu_version(&mut self, version: String) {
        self.record.qemu_version = Some(version);
    }

    /// Notes that a console is alive although its line is not complete yet.
    pub fn heard(&mut self, now: Duration) {
        self.last_output = now;
    }

    /// Takes a line and tells what it brought about.
    pub fn line(&mut self, now: Duration, console: Console, raw: &str) -> Vec<Event> {
        self.heard(now);
        let (time, text) = split_printk(raw);
        if console == Console::Normal && time.is_some() {
            self.guest = time;
        }
        // The secure console has no clock of its own, and its place among the stamped lines
        // is up to the host's scheduling: it gets none, rather than a wrong one.
        let guest = if console == Console::Normal { self.guest } else { None };
        let stamp = Stamp { host: now, guest };
        self.record.log.push(LogLine { console, stamp, text: raw.to_owned() });
        if raw.is_empty() {
            return Vec::new();
        }

        let mut events = Vec::new();
        let stage = self.record.furthest().map(|m| m.stage);
        if let Some((level, severity)) = faults::recognise(console, text, time.is_some(), stage) {
            self.fault(level, severity, text, stamp, &mut events);
        }
        if let Some((stage, label)) = milestones::recognise(console, text) {
            self.milestone(stage, label, stamp, &mut events);
        }
        if console == Console::Normal
            && let Some(line) = ktap::parse(text)
        {
            self.protocol(&line, stamp, &mut events);
        }
        events
    }

    /// Tells whether the run must be ended now.
    pub fn overdue(&self, now: Duration) -> Option<Stop> {
        let silent = now.saturating_sub(self.last_output);
        if let Some(at) = self.panicked {
            let over = silent >= PANIC_SILENCE || now.saturating_sub(at) >= PANIC_LIMIT;
            return over.then_some(Stop::Fault);
        }
        if !self.record.faults.is_empty() && silent >= ERROR_SILENCE.min(self.limits.quiet) {
            return Some(Stop::Fault);
        }
        if silent >= self.limits.quiet {
            return Some(Stop::Silent(self.limits.quiet));
        }
        (now >= self.limits.total).then_some(Stop::TooLong(self.limits.total))
    }

    /// Ends the recording: QEMU went away.
    pub fn exited(mut self, now: Duration, exit: Exit) -> Record {
        if exit.clean {
            let stamp = Stamp { host: now, guest: self.guest };
            self.milestone(Stage::Off, "machine is off".into(), stamp, &mut Vec::new());
        }
        self.record.ended = now;
        self.record.end = Some(End::Exited(exit));
        self.record
    }

    /// Ends the recording: the runner ended QEMU.
    pub fn stopped(mut self, now: Duration, stop: Stop, cpus: Vec<CpuState>) -> Record {
        self.record.ended = now;
        self.record.end = Some(End::Stopped(stop, cpus));
        self.record
    }

    fn fault(
        &mut self,
        level: milestones::Level,
        severity: Severity,
        text: &str,
        stamp: Stamp,
        events: &mut Vec<Event>,
    ) {
        if severity == Severity::Panic && self.panicked.is_none() {
            self.panicked = Some(stamp.host);
        }
        let scenario = self.record.running().map(|s| s.name.clone());
        let fault = Fault { level, severity, text: text.to_owned(), stamp, scenario };
        events.push(Event::Fault(fault.clone()));
        self.record.faults.push(fault);
    }

    fn milestone(&mut self, stage: Stage, label: String, stamp: Stamp, events: &mut Vec<Event>) {
        // Each partition has a milestone of its own; every other stage is reached once, by
        // its first line (the driver is loaded again by a scenario, for one).
        let known = self
            .record
            .milestones
            .iter()
            .any(|m| m.stage == stage && (stage != Stage::Partition || m.label == label));
        if known {
            return;
        }
        let milestone = Milestone { stage, label, stamp };
        events.push(Event::Milestone(milestone.clone()));
        self.record.milestones.push(milestone);
    }

    fn breach(&mut self, text: String) {
        if !self.record.breaches.contains(&text) {
            self.record.breaches.push(text);
        }
    }

    fn protocol(&mut self, line: &Ktap<'_>, stamp: Stamp, events: &mut Vec<Event>) {
        match *line {
            Ktap::Version => {}
            Ktap::Plan(count) => self.plan(count, stamp, events),
            Ktap::Begin(name) => self.begin(name, stamp, events),
            Ktap::Diagnostic { name, text } => {
                if let Some(run) = self.record.scenarios.iter_mut().rev().find(|s| s.name == name) {
                    run.diagnostics.push(text.to_owned());
                }
            }
            Ktap::Result { status, index, name, assertions, reason } => {
                self.number(index, name);
                self.result(status, name, assertions, reason, stamp, events);
            }
            Ktap::Done => {
                self.milestone(Stage::Done, "scenarios are done".into(), stamp, events);
            }
        }
    }

    fn plan(&mut self, count: u32, stamp: Stamp, events: &mut Vec<Event>) {
        if self.record.plan.is_some() {
            self.breach("the plan was announced twice: the test module ran twice".into());
            return;
        }
        self.record.plan = Some(count);
        self.milestone(Stage::Plan, format!("{count} scenarios announced"), stamp, events);
    }

    fn begin(&mut self, name: &str, stamp: Stamp, events: &mut Vec<Event>) {
        if let Some(running) = self.record.running() {
            let text = format!("{name} began before {} gave its result", running.name);
            self.breach(text);
        }
        if self.record.scenarios.iter().any(|s| s.name == name) {
            self.breach(format!("{name} ran twice"));
            return;
        }
        self.milestone(Stage::FirstScenario, "first scenario begins".into(), stamp, events);
        self.record.scenarios.push(new_run(name, Some(stamp)));
        events.push(Event::Began { name: name.to_owned(), stamp });
    }

    fn number(&mut self, index: u32, name: &str) {
        let given = self.record.scenarios.iter().filter(|s| s.status.is_some()).count();
        let next = u32::try_from(given).unwrap_or(u32::MAX).saturating_add(1);
        if index != next {
            self.breach(format!("{name} has result number {index} where {next} was due"));
        }
    }

    fn result(
        &mut self,
        status: Status,
        name: &str,
        assertions: Option<u32>,
        reason: &str,
        stamp: Stamp,
        events: &mut Vec<Event>,
    ) {
        let scenarios = &mut self.record.scenarios;
        let at = scenarios.iter().position(|s| s.name == name).unwrap_or_else(|| {
            scenarios.push(new_run(name, None));
            scenarios.len() - 1
        });
        let Some(run) = scenarios.get_mut(at) else { return };
        if run.status.is_some() {
            // The worse of two results stands.
            if status == Status::Failed {
                run.status = Some(status);
            }
            self.breach(format!("{name} gave two results"));
            return;
        }
        run.status = Some(status);
        run.ended = Some(stamp);
        run.assertions = assertions;
        reason.clone_into(&mut run.reason);
        let unannounced = run.began.is_none();
        events.push(Event::Ended(run.clone()));
        if unannounced {
            self.breach(format!("{name} gave a result without having begun"));
        }
    }
}

fn new_run(name: &str, began: Option<Stamp>) -> ScenarioRun {
    ScenarioRun {
        name: name.to_owned(),
        began,
        ended: None,
        status: None,
        assertions: None,
        diagnostics: Vec::new(),
        reason: String::new(),
    }
}
