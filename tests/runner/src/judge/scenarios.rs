//! One test case for each scenario that is expected or that ran.

use super::{Judge, best};
use crate::junit::{Case, Outcome};
use crate::ktap::{self, Status};
use crate::scenarios::Scenario;
use crate::session::ScenarioRun;

impl Judge<'_> {
    pub(super) fn scenarios(&self) -> Vec<Case> {
        let mut cases: Vec<Case> = self.record.scenarios.iter().map(|run| self.ran(run)).collect();
        if let Some(list) = self.expect.list {
            for scenario in list.expected() {
                if !cases.iter().any(|case| case.name == scenario.name) {
                    let mut case = self.case(&scenario.name);
                    case.outcome = Outcome::Failed(format!("not run: {}", self.cut_short()));
                    cases.push(case);
                }
            }
        }
        // By number; those without one follow in the order they ran.
        cases.sort_by_key(|case| case.number.unwrap_or(u32::MAX));
        cases
    }

    fn case(&self, name: &str) -> Case {
        let known = self.known(name);
        let mut case = Case::new(name, known.map_or("", |s| s.description.as_str()));
        case.number = known.map(|s| s.number);
        case
    }

    fn known(&self, name: &str) -> Option<&Scenario> {
        self.expect.list.and_then(|list| list.find(name))
    }

    fn ran(&self, run: &ScenarioRun) -> Case {
        let mut case = self.case(&run.name);
        case.assertions = run.assertions;
        case.time =
            run.ended.zip(run.began).and_then(|(ended, began)| ended.since(&began, self.expect.clock));
        case.details.clone_from(&run.diagnostics);
        let faults = self.record.faults.iter();
        let fault = best(faults.filter(|f| f.scenario.as_deref() == Some(run.name.as_str())));
        case.outcome = match (fault, run.status) {
            (Some(fault), _) => Outcome::Error(format!("{}: {}", fault.summary(), fault.text)),
            (None, None) => {
                Outcome::Error(self.end_problem().unwrap_or_else(|| "began, but gave no result".into()))
            }
            (None, Some(Status::Failed)) => Outcome::Failed(first_failure(run)),
            (None, Some(Status::Skipped)) => self.skipped(run),
            (None, Some(Status::Passed)) => passed(run),
        };
        case
    }

    fn skipped(&self, run: &ScenarioRun) -> Outcome {
        let reason = if run.reason.is_empty() { "no reason given" } else { &run.reason };
        let expected = self.known(&run.name).is_some_and(|s| s.since.is_some());
        if expected {
            Outcome::Failed(format!("skipped, but it must pass: {reason}"))
        } else {
            Outcome::Skipped(reason.to_owned())
        }
    }
}

/// A scenario that asserted nothing has shown nothing.
fn passed(run: &ScenarioRun) -> Outcome {
    match run.assertions {
        Some(0) => Outcome::Failed("passed without one assertion".into()),
        None => Outcome::Failed("passed without saying how many assertions it made".into()),
        Some(_) => Outcome::Passed,
    }
}

fn first_failure(run: &ScenarioRun) -> String {
    let assertion = run.diagnostics.iter().find(|text| ktap::is_assertion(text));
    match assertion.or(run.diagnostics.first()) {
        Some(text) => text.clone(),
        None => "failed without saying why".into(),
    }
}
