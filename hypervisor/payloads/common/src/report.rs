//! Cases, and what they assert, as KTAP.
//!
//! A failed assertion prints where it stands, what was expected and what came; the case goes on, and has failed.

use core::fmt;
use core::panic::Location;
use core::sync::atomic::{AtomicU32, Ordering};

use crate::console::line;

/// Is a case: its name in the list of what must pass, and what it does with the suite's own `T`.
pub struct Case<T> {
    /// Its name.
    pub name: &'static str,
    /// What it does.
    pub run: fn(&T),
}

/// Lists functions as cases by their own names, or with the name of what they are about in front: `cases![a, b]`,
/// `cases![psci: version, features]`.
#[macro_export]
macro_rules! cases {
    ($about:ident: $($case:ident),* $(,)?) => {
        &[$($crate::report::Case {
            name: concat!(stringify!($about), "_", stringify!($case)),
            run: $case,
        }),*]
    };
    ($($case:ident),* $(,)?) => {
        &[$($crate::report::Case { name: stringify!($case), run: $case }),*]
    };
}

/// Bounds the failures of a case that are printed.
const MOST_FAILURES: u32 = 10;

/// Counts what a case asserts while it runs. It may be used on several CPUs at once.
pub struct Report {
    name: &'static str,
    assertions: AtomicU32,
    failures: AtomicU32,
}

impl Report {
    /// Begins a case.
    pub fn begin(name: &'static str) -> Self {
        line(format_args!("# begin {name}"));
        Self { name, assertions: AtomicU32::new(0), failures: AtomicU32::new(0) }
    }

    /// Ends it: prints its result, with the number `index`, and tells whether it has passed. `skipped` says why the
    /// case could not be run.
    pub fn end(&self, index: usize, skipped: Option<fmt::Arguments<'_>>) -> bool {
        let passed = self.failures.load(Ordering::Acquire) == 0;
        let assertions = self.assertions.load(Ordering::Acquire);
        match skipped {
            Some(reason) if passed => line(format_args!("ok {index} - {} # SKIP {reason}", self.name)),
            _ => {
                let verdict = if passed { "ok" } else { "not ok" };
                line(format_args!("{verdict} {index} - {} # assertions={assertions}", self.name));
            }
        }
        passed
    }

    /// Returns the name of the case.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Asserts that `holds`; `what` says what should be so.
    #[track_caller]
    pub fn check(&self, holds: bool, what: fmt::Arguments<'_>) {
        self.assertions.fetch_add(1, Ordering::AcqRel);
        if !holds && self.failures.fetch_add(1, Ordering::AcqRel) < MOST_FAILURES {
            let at = Location::caller();
            let file = at.file().rsplit('/').next().unwrap_or_default();
            line(format_args!("# {}: {file}:{}: {what}", self.name, at.line()));
        }
    }

    /// Asserts that `got` is `expected`.
    #[track_caller]
    pub fn equal(&self, what: &str, got: u64, expected: u64) {
        self.check(got == expected, format_args!("{what}: expected {expected:#x}, got {got:#x}"));
    }
}

/// Runs the cases that are `wanted` one after the other by `run`, which gets each with its number and tells whether it
/// has passed. Returns how many have not, and how many there are.
pub fn run_all<T>(
    suites: &[&[Case<T>]],
    wanted: impl Fn(&Case<T>) -> bool,
    run: impl Fn(usize, &Case<T>) -> bool,
) -> (usize, usize) {
    let cases = || suites.iter().flat_map(|cases| cases.iter()).filter(|case| wanted(case));
    let count = cases().count();
    line(format_args!("KTAP version 1"));
    line(format_args!("1..{count}"));
    let failed = cases().enumerate().filter(|(index, case)| !run(index + 1, case)).count();
    line(format_args!("# tantalum: done"));
    (failed, count)
}
