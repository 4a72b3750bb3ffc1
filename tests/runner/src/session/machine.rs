//! The state machine: lines and time in, a record out.

use super::{Console, End, Event, Exit, LogLine, Record, ScenarioRun, Stop};
use crate::faults::{self, Fault, Severity};
use crate::ktap::{self, Ktap, Status};
use crate::milestones::{self, Milestone, Stage};
use crate::qmp::CpuState;
use crate::stamp::{Stamp, split_printk};
use crate::vms::{qualified, split_vm};
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

/// Where a line came from, and when.
#[derive(Clone, Copy)]
struct Origin<'a> {
    /// The VM; empty for the machine itself.
    vm: &'a str,
    stamp: Stamp,
}

/// Records a run.
#[derive(Debug)]
pub struct Session {
    limits: Limits,
    record: Record,
    last_output: Duration,
    /// The last time that the kernel of each VM printed.
    guests: Vec<(String, Duration)>,
    panicked: Option<Duration>,
}

impl Session {
    /// Starts recording at host time zero.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            record: Record::default(),
            last_output: Duration::ZERO,
            guests: Vec::new(),
            panicked: None,
        }
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
        let (vm, line) = if console == Console::Normal { split_vm(raw) } else { ("", raw) };
        let (time, text) = split_printk(line);
        // The secure console has no clock of its own, and its place among the stamped lines
        // is up to the host's scheduling: it gets none, rather than a wrong one.
        let guest = if console == Console::Normal { self.guest_time(vm, time) } else { None };
        let stamp = Stamp { host: now, guest };
        self.record.log.push(LogLine { console, stamp, text: raw.to_owned() });
        // A VM may print what it likes, but it does not speak for the hypervisor.
        if raw.is_empty() || !vm.is_empty() && text.starts_with("[vmm] ") {
            return Vec::new();
        }

        let from = Origin { vm, stamp };
        let mut events = Vec::new();
        let stage = self.record.furthest().map(|m| m.stage);
        // What a VM says is never the firmware's.
        let stamped = time.is_some() || !vm.is_empty();
        if let Some((level, severity)) = faults::recognise(console, text, stamped, stage) {
            self.fault(level, severity, from, text, &mut events);
        }
        if let Some((stage, label)) = milestones::recognise(console, text) {
            self.milestone(stage, from, &label, &mut events);
        }
        if console == Console::Normal
            && let Some(line) = ktap::parse(text)
        {
            self.protocol(from, &line, &mut events);
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
            let guest = self.guests.iter().map(|(_, time)| *time).max();
            let stamp = Stamp { host: now, guest };
            self.milestone(Stage::Off, Origin { vm: "", stamp }, "machine is off", &mut Vec::new());
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

    /// Takes the time that a line came with, and gives the last one of its VM.
    fn guest_time(&mut self, vm: &str, time: Option<Duration>) -> Option<Duration> {
        let known = self.guests.iter_mut().find(|(name, _)| name == vm);
        match (known, time) {
            (Some((_, last)), Some(time)) => *last = time,
            (Some((_, last)), None) => return Some(*last),
            (None, Some(time)) => self.guests.push((vm.to_owned(), time)),
            (None, None) => {}
        }
        time
    }

    fn fault(
        &mut self,
        level: milestones::Level,
        severity: Severity,
        from: Origin<'_>,
        text: &str,
        events: &mut Vec<Event>,
    ) {
        if severity == Severity::Panic && self.panicked.is_none() {
            self.panicked = Some(from.stamp.host);
        }
        // What goes wrong in a VM is its own scenario's; anything else may be of whichever runs.
        let vm = from.vm;
        let running = if vm.is_empty() { self.record.running() } else { self.record.running_in(vm) };
        let scenario = running.map(|s| s.name.clone());
        let text = if vm.is_empty() { text.to_owned() } else { format!("{vm}: {text}") };
        let fault = Fault { level, severity, text, stamp: from.stamp, scenario };
        events.push(Event::Fault(fault.clone()));
        self.record.faults.push(fault);
    }

    fn milestone(&mut self, stage: Stage, from: Origin<'_>, label: &str, events: &mut Vec<Event>) {
        let Origin { vm, stamp } = from;
        let label = if vm.is_empty() { label.to_owned() } else { format!("{vm}: {label}") };
        // Each partition and each VM has milestones of its own; every other stage is reached
        // once, by its first line (the driver is loaded again by a scenario, for one).
        let several = matches!(stage, Stage::Partition | Stage::Vm) || !vm.is_empty();
        let known = self.record.milestones.iter().any(|m| m.stage == stage && (!several || m.label == label));
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

    fn protocol(&mut self, from: Origin<'_>, line: &Ktap<'_>, events: &mut Vec<Event>) {
        let vm = from.vm;
        match *line {
            Ktap::Version => {}
            Ktap::Plan(count) => self.plan(from, count, events),
            Ktap::Begin(name) => self.begin(from, &qualified(vm, name), events),
            Ktap::Diagnostic { name, text } => {
                let name = qualified(vm, name);
                if let Some(run) = self.record.scenarios.iter_mut().rev().find(|s| s.name == name) {
                    run.diagnostics.push(text.to_owned());
                }
            }
            Ktap::Result { status, index, name, assertions, reason } => {
                let name = qualified(vm, name);
                self.number(vm, index, &name);
                self.result(from, status, &name, assertions, reason, events);
            }
            Ktap::Done => self.milestone(Stage::Done, from, "scenarios are done", events),
        }
    }

    fn plan(&mut self, from: Origin<'_>, count: u32, events: &mut Vec<Event>) {
        if self.record.planned.iter().any(|planned| planned == from.vm) {
            self.breach("the plan was announced twice: the test module ran twice".into());
            return;
        }
        self.record.planned.push(from.vm.to_owned());
        self.record.plan = Some(self.record.plan.unwrap_or(0).saturating_add(count));
        self.milestone(Stage::Plan, from, &format!("{count} scenarios announced"), events);
    }

    fn begin(&mut self, from: Origin<'_>, name: &str, events: &mut Vec<Event>) {
        if let Some(running) = self.record.running_in(from.vm) {
            let text = format!("{name} began before {} gave its result", running.name);
            self.breach(text);
        }
        if self.record.scenarios.iter().any(|s| s.name == name) {
            self.breach(format!("{name} ran twice"));
            return;
        }
        let stamp = from.stamp;
        self.milestone(Stage::FirstScenario, Origin { vm: "", stamp }, "first scenario begins", events);
        self.record.scenarios.push(new_run(from.vm, name, Some(stamp)));
        events.push(Event::Began { name: name.to_owned(), stamp });
    }

    fn number(&mut self, vm: &str, index: u32, name: &str) {
        let given = self.record.scenarios.iter().filter(|s| s.vm == vm && s.status.is_some()).count();
        let next = u32::try_from(given).unwrap_or(u32::MAX).saturating_add(1);
        if index != next {
            self.breach(format!("{name} has result number {index} where {next} was due"));
        }
    }

    fn result(
        &mut self,
        from: Origin<'_>,
        status: Status,
        name: &str,
        assertions: Option<u32>,
        reason: &str,
        events: &mut Vec<Event>,
    ) {
        let scenarios = &mut self.record.scenarios;
        let at = scenarios.iter().position(|s| s.name == name).unwrap_or_else(|| {
            scenarios.push(new_run(from.vm, name, None));
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
        run.ended = Some(from.stamp);
        run.assertions = assertions;
        reason.clone_into(&mut run.reason);
        let unannounced = run.began.is_none();
        events.push(Event::Ended(run.clone()));
        if unannounced {
            self.breach(format!("{name} gave a result without having begun"));
        }
    }
}

fn new_run(vm: &str, name: &str, began: Option<Stamp>) -> ScenarioRun {
    ScenarioRun {
        name: name.to_owned(),
        vm: vm.to_owned(),
        began,
        ended: None,
        status: None,
        assertions: None,
        diagnostics: Vec::new(),
        reason: String::new(),
    }
}
