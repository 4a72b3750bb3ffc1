//! What the cases assert, beside what `tantalum_payload::report` has.
//!
//! What a machine need not have, a case asks for by [`Test::skip`]; the list `tests/scenarios/guest.txt` says where it
//! must not be skipped.

use core::ops::Deref;

use tantalum_payload::cpu::Mutex;
use tantalum_payload::report::{self, Report};

use crate::machine::exceptions::Caught;

pub(crate) use tantalum_payload::cases;

/// Is a case, by its name in `tests/scenarios/guest.txt`.
pub(crate) type Case = report::Case<Test>;

/// Is a case that runs. It may be used on several CPUs at once.
pub(crate) struct Test {
    report: Report,
    /// Why it cannot be run here.
    skipped: Mutex<Option<&'static str>>,
}

impl Deref for Test {
    type Target = Report;

    fn deref(&self) -> &Report {
        &self.report
    }
}

impl Test {
    /// Runs the case with the number `index` and tells whether it passed.
    pub(crate) fn run(index: usize, case: &Case) -> bool {
        let test = Self { report: Report::begin(case.name), skipped: Mutex::new(None) };
        (case.run)(&test);
        let skipped = *test.skipped.lock();
        match skipped {
            None => test.end(index, None),
            Some(reason) => test.end(index, Some(format_args!("{reason}"))),
        }
    }

    /// Says that the machine does not have what the case is about.
    pub(crate) fn skip(&self, reason: &'static str) {
        *self.skipped.lock() = Some(reason);
    }

    /// Asserts that `got` is `expected`, of signed numbers.
    #[track_caller]
    pub(crate) fn same(&self, what: &str, got: i64, expected: i64) {
        self.check(got == expected, format_args!("{what}: expected {expected}, got {got}"));
    }

    /// Asserts that an exception of this class came, once, and returns it.
    #[track_caller]
    pub(crate) fn raises(&self, what: &str, caught: Option<Caught>, class: u64) -> Option<Caught> {
        let good = caught.is_some_and(|caught| caught.class() == class && caught.count == 1);
        self.check(good, format_args!("{what}: expected one exception of class {class:#x}, got {caught:x?}"));
        caught
    }
}
