//! Test cases, and `JUnit` files of them, written and read.

mod read;
mod write;

pub use read::read;

use std::time::Duration;

/// What a case came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It passed.
    Passed,
    /// It was skipped, and may be.
    Skipped(String),
    /// What it checks does not hold.
    Failed(String),
    /// It could not be carried through: a panic, a hang, a crash.
    Error(String),
}

impl Outcome {
    /// Whether it counts as failed.
    pub fn is_bad(&self) -> bool {
        matches!(self, Self::Failed(_) | Self::Error(_))
    }

    /// The message, unless it passed.
    pub fn message(&self) -> Option<&str> {
        match self {
            Self::Passed => None,
            Self::Skipped(message) | Self::Failed(message) | Self::Error(message) => Some(message),
        }
    }
}

/// One test case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// Its name.
    pub name: String,
    /// The scenario's number.
    pub number: Option<u32>,
    /// What it shows.
    pub description: String,
    /// What it came to.
    pub outcome: Outcome,
    /// How many assertions it made.
    pub assertions: Option<u32>,
    /// How long it took.
    pub time: Option<Duration>,
    /// What it said.
    pub details: Vec<String>,
}

impl Case {
    /// Makes a case that has passed so far.
    pub fn new(name: impl Into<String>, description: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            number: None,
            description: description.into(),
            outcome: Outcome::Passed,
            assertions: None,
            time: None,
            details: Vec::new(),
        }
    }

    /// The number, if there is one, and the name.
    pub fn title(&self) -> String {
        match self.number {
            Some(number) => format!("{number} {}", self.name),
            None => self.name.clone(),
        }
    }
}

/// A suite of cases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suite {
    /// Its name.
    pub name: String,
    /// Nothing in it is bad.
    pub passed: bool,
    /// The one line that sums it up, where there is one.
    pub verdict: Option<String>,
    /// Its cases.
    pub cases: Vec<Case>,
}

/// How many cases came to what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Passed.
    pub passed: usize,
    /// Failed or in error.
    pub failed: usize,
    /// Skipped.
    pub skipped: usize,
}

impl Totals {
    /// Counts cases.
    pub fn of<'a>(cases: impl IntoIterator<Item = &'a Case>) -> Self {
        let mut totals = Self::default();
        for case in cases {
            match case.outcome {
                Outcome::Passed => totals.passed += 1,
                Outcome::Skipped(_) => totals.skipped += 1,
                Outcome::Failed(_) | Outcome::Error(_) => totals.failed += 1,
            }
        }
        totals
    }

    /// Whether this is a success: something passed and nothing failed.
    pub fn good(&self) -> bool {
        self.failed == 0 && self.passed > 0
    }
}

impl std::fmt::Display for Totals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)?;
        if self.skipped > 0 {
            write!(f, ", {} skipped", self.skipped)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suite() -> Suite {
        let mut good = Case::new("ids", "who is who <&\"'>");
        good.number = Some(2);
        good.assertions = Some(9);
        good.time = Some(Duration::from_micros(12_345));
        let mut bad = Case::new("features", "");
        bad.outcome = Outcome::Failed("a.c:1: expected <x>, got \u{1}\u{fffe}\"y\"".into());
        bad.details = vec!["a.c:1: first ]]> line".into(), "second & last".into()];
        let mut error = Case::new("hang", "");
        error.outcome = Outcome::Error("hang: no output\nfor 60 s".into());
        let mut skipped = Case::new("later", "");
        skipped.outcome = Outcome::Skipped("planned".into());
        Suite {
            name: "e2e".into(),
            passed: false,
            verdict: Some("FAILED: scenario features".into()),
            cases: vec![good, bad, error, skipped],
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let suites = read(&suite().to_xml()).unwrap();
        let mut expected = suite();
        // Characters that XML cannot carry are replaced, and time has microseconds.
        expected.cases[1].outcome = Outcome::Failed("a.c:1: expected <x>, got ??\"y\"".into());
        assert_eq!(suites, [expected]);
        assert_eq!(Totals::of(&suites[0].cases).to_string(), "1 passed, 2 failed, 1 skipped");
    }

    #[test]
    fn nothing_run_is_no_success() {
        assert!(!Totals::default().good());
        assert!(!Totals::of(&suite().cases).good());
        assert!(Totals::of(&suite().cases[..1]).good());
    }

    #[test]
    fn other_writers_files_are_read() {
        let text = r#"<?xml version="1.0"?>
            <testsuites><testsuite name="a"><testcase name="x" time="0.5"/>
            <testcase name="y"><failure message="m">text</failure><system-out>o</system-out></testcase>
            </testsuite><testsuite name="b"><testcase classname="c" name="z"><skipped/></testcase>
            </testsuite></testsuites>"#;
        let suites = read(text).unwrap();
        assert_eq!(suites.len(), 2);
        assert_eq!(suites[0].cases[1].outcome, Outcome::Failed("m".into()));
        assert_eq!(suites[1].cases[0].outcome, Outcome::Skipped(String::new()));
        assert!(!suites[0].passed);
    }

    #[test]
    fn broken_files_are_refused() {
        for text in ["", "not xml", "<testsuite name=\"a\">", "<html></html>", "<testsuite><testcase/>"] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
