//! From a record to test cases and one verdict.

mod scenarios;
#[cfg(test)]
mod tests;
mod words;

use crate::faults::{Fault, Severity};
use crate::junit::{Case, Outcome, Suite};
use crate::milestones::Stage;
use crate::qemu::NormalWorld;
use crate::scenarios::ScenarioList;
use crate::session::{Record, ScenarioRun};
use crate::stamp::Clock;

/// What a run is held to.
#[derive(Debug)]
pub struct Expectations<'a> {
    /// The committed list; without it only the guest's own plan counts.
    pub list: Option<&'a ScenarioList>,
    /// How many CPUs must come up.
    pub cpus: u32,
    /// What must run in the normal world.
    pub normal_world: NormalWorld,
    /// Which clock the reports use.
    pub clock: Clock,
}

/// Judges a record. The suite's verdict is set; its first case is the boot, its last two the
/// plan and the power-off, and between them are the scenarios by number.
pub fn judge(name: &str, record: &Record, expect: &Expectations<'_>) -> Suite {
    let judge = Judge { record, expect };
    let scenarios = judge.scenarios();
    let boot = judge.boot();
    let plan = judge.plan();
    let power_off = judge.power_off();
    let verdict = judge.verdict(&boot, &scenarios, &plan, &power_off);
    let mut cases = vec![boot];
    cases.extend(scenarios);
    cases.extend([plan, power_off]);
    Suite {
        name: name.to_owned(),
        passed: cases.iter().all(|case| !case.outcome.is_bad()),
        verdict: Some(verdict),
        cases,
    }
}

struct Judge<'a> {
    record: &'a Record,
    expect: &'a Expectations<'a>,
}

impl Judge<'_> {
    fn boot(&self) -> Case {
        let from = if self.expect.normal_world.has_firmware() { "BL1" } else { "the machine's start" };
        let mut case = Case::new("boot", format!("the whole stack comes up, from {from} to the test plan"));
        case.time = self.record.milestone(Stage::Plan).and_then(|m| m.stamp.by(self.expect.clock));
        case.details = self.boot_shortcomings();
        let fault = best(self.record.faults.iter().filter(|f| self.in_boot(f)));
        case.outcome = if let Some(fault) = fault {
            Outcome::Error(format!("{}: {}", fault.summary(), fault.text))
        } else if !self.tests_began()
            && let Some(problem) = self.end_problem()
        {
            Outcome::Error(problem)
        } else if let Some(first) = case.details.first() {
            Outcome::Failed(first.clone())
        } else {
            Outcome::Passed
        };
        case
    }

    fn boot_shortcomings(&self) -> Vec<String> {
        let mut missing = Vec::new();
        // The FF-A driver is no part of it: scenarios load it, after those that must come first.
        for (stage, what) in [
            (Stage::Bl1, "TF-A BL1"),
            (Stage::Bl2, "TF-A BL2"),
            (Stage::Bl31, "TF-A BL31"),
            (Stage::Spmc, "the SPMC"),
            (Stage::SpmcReady, "the end of the SPMC's boot"),
            (Stage::BareMetal, "the bare-metal suite"),
            (Stage::Vmm, "the hypervisor"),
            (Stage::Vm, "a VM"),
            (Stage::Linux, "Linux"),
            (Stage::Smp, "the other CPUs"),
            (Stage::Pkvm, "pKVM in protected mode"),
            (Stage::Userspace, "user space"),
            (Stage::Plan, "the test plan"),
        ] {
            let world = self.expect.normal_world;
            let due = match stage {
                Stage::Bl1 | Stage::Bl2 | Stage::Bl31 | Stage::Spmc | Stage::SpmcReady => {
                    world.has_firmware()
                }
                Stage::Pkvm => world == NormalWorld::Pkvm,
                Stage::BareMetal => world.has_suite(),
                Stage::Vmm | Stage::Vm => world.has_vms(),
                // In a VM a suite may be in its place.
                Stage::Linux | Stage::Userspace => {
                    let in_vm = world.has_vms() && self.record.milestone(Stage::BareMetal).is_some();
                    !world.has_suite() && !in_vm
                }
                // How many CPUs a VM has is for its own scenarios to say.
                Stage::Smp => !world.has_vms(),
                _ => true,
            };
            if !due {
                continue;
            }
            match self.record.milestone(stage) {
                None => missing.push(format!("{what} was never seen")),
                Some(smp) if stage == Stage::Smp => {
                    let count = smp.label.split(' ').next().and_then(|n| n.parse().ok());
                    if count != Some(self.expect.cpus) {
                        missing.push(format!("{} instead of {}", smp.label, self.expect.cpus));
                    }
                }
                Some(_) => {}
            }
        }
        missing
    }

    fn plan(&self) -> Case {
        let mut case = Case::new("plan", "scenarios are announced once and each gives one result");
        let results = self.record.scenarios.iter().filter(|s| s.status.is_some()).count();
        case.details.clone_from(&self.record.breaches);
        match self.record.plan {
            None => case.details.insert(0, "no plan was announced".into()),
            Some(plan) if usize::try_from(plan) != Ok(results) => {
                case.details.insert(0, format!("the plan says {plan} scenarios, {results} gave a result"));
            }
            Some(_) => {}
        }
        if let Some(list) = self.expect.list {
            for run in &self.record.scenarios {
                if list.find(&run.name).is_none() {
                    case.details.push(format!("{} is not in the scenario list", run.name));
                }
            }
        }
        if let Some(first) = case.details.first() {
            case.outcome = Outcome::Failed(first.clone());
        }
        case
    }

    fn power_off(&self) -> Case {
        let mut case = Case::new("power_off", "the scenarios end, the machine powers off, no stray fault");
        let stray = self.record.faults.iter().filter(|f| f.scenario.is_none() && !self.in_boot(f));
        case.outcome = if let Some(fault) = best(stray) {
            Outcome::Error(format!("{}: {}", fault.summary(), fault.text))
        } else if let Some(problem) = self.end_problem() {
            if self.tests_began() && self.record.running().is_none() {
                Outcome::Error(problem)
            } else {
                Outcome::Failed(format!("not run: {}", self.cut_short()))
            }
        } else if self.record.milestone(Stage::Off).is_none() {
            Outcome::Failed(format!("not run: {}", self.cut_short()))
        } else if !self.record.done() {
            Outcome::Failed("the test module never said that it was done".into())
        } else {
            Outcome::Passed
        };
        case
    }

    fn verdict(&self, boot: &Case, scenarios: &[Case], plan: &Case, power_off: &Case) -> String {
        let worst = self.record.worst_fault();
        let fault_line =
            |fault: &Fault| format!("FAILED: {} {}: {}", fault.summary(), self.place_of(fault), fault.text);
        if self.interrupted() {
            return format!("FAILED: interrupted {}", self.place());
        }
        if let Some(fault) = worst.filter(|f| f.severity == Severity::Panic) {
            return fault_line(fault);
        }
        if let Some(problem) = self.end_problem() {
            return format!("FAILED: {problem}");
        }
        if let Some(fault) = worst {
            return fault_line(fault);
        }
        if let Some(message) = boot.outcome.message() {
            return format!("FAILED: boot: {message}");
        }
        let bad: Vec<_> = scenarios.iter().filter(|case| case.outcome.is_bad()).collect();
        if let [first, rest @ ..] = bad.as_slice() {
            let message = first.outcome.message().unwrap_or_default();
            let more = match rest.len() {
                0 => String::new(),
                n => format!(" (and {n} more)"),
            };
            return format!("FAILED: scenario {}: {message}{more}", first.title());
        }
        for case in [plan, power_off] {
            if let Some(message) = case.outcome.message().filter(|_| case.outcome.is_bad()) {
                return format!("FAILED: {}: {message}", case.name);
            }
        }
        let assertions: u32 = scenarios.iter().filter_map(|case| case.assertions).sum();
        let passed = scenarios.iter().filter(|c| c.outcome == Outcome::Passed).count();
        let through = match self.expect.normal_world {
            NormalWorld::Pkvm => " through pKVM",
            NormalWorld::Linux => "",
            NormalWorld::BareMetal => " from NS-EL2",
            NormalWorld::Vmm => " under the hypervisor",
            NormalWorld::FullStack => " under the hypervisor, above the SPMC",
            NormalWorld::Guest | NormalWorld::GuestSuite => " without a hypervisor",
        };
        format!("passed: {passed} scenarios, {assertions} assertions, {} CPUs{through}", self.expect.cpus)
    }

    fn tests_began(&self) -> bool {
        !self.record.scenarios.is_empty()
    }

    fn in_boot(&self, fault: &Fault) -> bool {
        let first = self.record.scenarios.first().and_then(first_stamp);
        fault.scenario.is_none() && first.is_none_or(|first| fault.stamp.host <= first)
    }
}

fn first_stamp(run: &ScenarioRun) -> Option<std::time::Duration> {
    run.began.or(run.ended).map(|stamp| stamp.host)
}

/// The fault that explains most; the first one among equals.
fn best<'a>(faults: impl DoubleEndedIterator<Item = &'a Fault>) -> Option<&'a Fault> {
    faults.rev().max_by_key(|fault| fault.weight())
}
