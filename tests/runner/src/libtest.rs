//! `cargo test` output to `JUnit`.
//!
//! The stable test harness prints text only. What it prints is read strictly: each test
//! binary that starts must come to its `test result:` line, and the counts there must be the
//! counts seen. So a crash, a build error or an empty run can never pass.

use crate::junit::{Case, Outcome, Suite, Totals};

/// Reads the whole output of `cargo test`, standard error included.
pub fn parse(name: &str, text: &str) -> Suite {
    let mut parser = Parser::default();
    for line in text.lines() {
        parser.line(line.trim_end());
    }
    let cases = parser.finish();
    let totals = Totals::of(&cases);
    Suite { name: name.to_owned(), passed: totals.good(), verdict: None, cases }
}

#[derive(Default)]
struct Parser {
    cases: Vec<Case>,
    /// The binary that is announced or running, as cargo names it.
    binary: String,
    /// A binary has started and not come to its result; and where its cases begin.
    open: Option<usize>,
    /// The test whose captured output is being printed.
    failure: Option<usize>,
    /// A test's line that came without its result: its output stands in between.
    unfinished: Option<usize>,
    errors: Vec<String>,
    runs: usize,
}

impl Parser {
    fn line(&mut self, line: &str) {
        let trimmed = line.trim_start();
        if let Some(rest) = trimmed.strip_prefix("Running ") {
            self.close_crashed();
            self.binary = binary_name(rest);
        } else if let Some(rest) = trimmed.strip_prefix("Doc-tests ") {
            self.close_crashed();
            self.binary = format!("{rest} (doc)");
        } else if is_start(line) {
            self.close_crashed();
            self.open = Some(self.cases.len());
            self.runs += 1;
        } else if let Some(rest) = line.strip_prefix("test result: ") {
            self.result(rest);
        } else if let Some(rest) = line.strip_prefix("test ").filter(|_| self.open.is_some()) {
            self.test(rest);
        } else if let Some(name) = line.strip_prefix("---- ").and_then(|l| l.strip_suffix(" ----")) {
            let name = name.strip_suffix(" stdout").unwrap_or(name);
            self.failure = self.position(name);
        } else if line == "failures:" {
            self.failure = None;
        } else if line == "error" || line.starts_with("error:") || line.starts_with("error[") {
            self.errors.push(line.to_owned());
        } else {
            self.output(line);
        }
    }

    fn position(&self, name: &str) -> Option<usize> {
        let full = self.full(name);
        let from = self.open.unwrap_or(0);
        self.cases.iter().skip(from).position(|case| case.name == full).map(|at| at + from)
    }

    fn full(&self, name: &str) -> String {
        if self.binary.is_empty() { name.to_owned() } else { format!("{}::{name}", self.binary) }
    }

    fn test(&mut self, rest: &str) {
        let Some((name, result)) =
            rest.rsplit_once(" ... ").or_else(|| rest.strip_suffix(" ...").map(|name| (name, "")))
        else {
            return;
        };
        let mut case = Case::new(self.full(name.trim_end_matches(" - should panic")), "");
        if let Some(outcome) = outcome(result) {
            case.outcome = outcome;
        } else {
            case.outcome = Outcome::Error("it gave no result".into());
            self.unfinished = Some(self.cases.len());
        }
        self.cases.push(case);
    }

    fn output(&mut self, line: &str) {
        if let Some(at) = self.unfinished
            && let Some(outcome) = outcome(line)
        {
            if let Some(case) = self.cases.get_mut(at) {
                case.outcome = outcome;
            }
            self.unfinished = None;
            return;
        }
        if let Some(case) = self.failure.and_then(|at| self.cases.get_mut(at))
            && !line.is_empty()
        {
            if case.outcome == Outcome::Failed(String::new()) {
                case.outcome = Outcome::Failed(line.to_owned());
            }
            case.details.push(line.to_owned());
        }
    }

    fn result(&mut self, rest: &str) {
        let Some(from) = self.open.take() else {
            self.errors.push(format!("a result without a start: {rest}"));
            return;
        };
        self.failure = None;
        self.unfinished = None;
        let seen = Totals::of(self.cases.iter().skip(from));
        let count = |word: &str| {
            rest.split(['.', ';'])
                .filter_map(|part| part.trim().strip_suffix(word))
                .find_map(|number| number.trim().parse::<usize>().ok())
        };
        let told = Totals {
            passed: count("passed").unwrap_or(usize::MAX),
            failed: count("failed").unwrap_or(usize::MAX),
            skipped: count("ignored").unwrap_or(usize::MAX),
        };
        if seen != told {
            self.errors.push(format!("{}: tests seen ({seen}) are not those counted: {rest}", self.binary));
        }
    }

    /// A binary that started and never came to its result has crashed.
    fn close_crashed(&mut self) {
        if self.open.take().is_some() {
            self.errors.push(format!("{} ended without a result: it crashed", self.binary));
        }
        self.failure = None;
        self.unfinished = None;
    }

    fn finish(mut self) -> Vec<Case> {
        self.close_crashed();
        let failed = Totals::of(&self.cases).failed > 0;
        // cargo repeats failing tests as an error of its own; that one says nothing new.
        self.errors
            .retain(|e| !(failed && (e.starts_with("error: test failed") || e.contains("target failed"))));
        if self.runs == 0 && self.errors.is_empty() {
            self.errors.push("no test binary ran".into());
        } else if self.cases.is_empty() && self.errors.is_empty() {
            self.errors.push("no test ran".into());
        }
        for case in &mut self.cases {
            if case.outcome == Outcome::Failed(String::new()) {
                case.outcome = Outcome::Failed("failed".into());
            }
        }
        if let Some(first) = self.errors.first() {
            let mut case = Case::new("cargo test", "");
            case.outcome = Outcome::Error(first.clone());
            case.details = self.errors;
            self.cases.push(case);
        }
        self.cases
    }
}

/// `running 3 tests`
fn is_start(line: &str) -> bool {
    line.strip_prefix("running ")
        .and_then(|rest| rest.strip_suffix(" tests").or_else(|| rest.strip_suffix(" test")))
        .is_some_and(|count| count.parse::<usize>().is_ok())
}

fn outcome(word: &str) -> Option<Outcome> {
    // With --report-time, a time follows the word.
    let word = word.split(" <").next().unwrap_or(word);
    match word {
        "ok" => Some(Outcome::Passed),
        "FAILED" => Some(Outcome::Failed(String::new())),
        "ignored" => Some(Outcome::Skipped("ignored".into())),
        _ => word.strip_prefix("ignored, ").map(|why| Outcome::Skipped(why.to_owned())),
    }
}

/// From `unittests src/lib.rs (target/debug/deps/spmc-0123456789abcdef)` to `spmc`; an
/// integration test keeps the name of its file.
fn binary_name(rest: &str) -> String {
    let file = rest.rsplit('/').next().unwrap_or(rest).trim_end_matches(')');
    file.rsplit_once('-').map_or(file, |(name, _)| name).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "\
   Compiling a v0.1.0
     Running unittests src/lib.rs (target/debug/deps/stage2-0123456789abcdef)

running 3 tests
test map::one ... ok
test map::two - should panic ... ok
test slow ... ignored, takes a minute

test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s

   Doc-tests ffa

running 0 tests

test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
";

    fn totals(text: &str) -> (usize, usize, usize) {
        let totals = Totals::of(&parse("unit", text).cases);
        (totals.passed, totals.failed, totals.skipped)
    }

    fn last_message(text: &str) -> String {
        let suite = parse("unit", text);
        assert!(!suite.passed);
        suite.cases.last().and_then(|c| c.outcome.message()).unwrap_or_default().to_owned()
    }

    #[test]
    fn a_good_run() {
        let suite = parse("unit", GOOD);
        assert!(suite.passed);
        assert_eq!(totals(GOOD), (2, 0, 1));
        assert_eq!(suite.cases[0].name, "stage2::map::one");
        assert_eq!(suite.cases[1].name, "stage2::map::two");
    }

    #[test]
    fn a_failing_test_brings_its_output() {
        let text = "\
     Running tests/all.rs (target/debug/deps/all-0123456789abcdef)
running 1 test
test one ... FAILED

failures:

---- one stdout ----

thread 'one' panicked at src/lib.rs:3:5:
assertion failed

failures:
    one

test result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s

error: test failed, to rerun pass `--test all`
";
        let suite = parse("unit", text);
        assert_eq!(totals(text), (0, 1, 0));
        assert_eq!(suite.cases[0].outcome.message(), Some("thread 'one' panicked at src/lib.rs:3:5:"));
        assert_eq!(suite.cases[0].details.len(), 2);
    }

    #[test]
    fn a_crash_is_a_failure() {
        let cut = GOOD.split("test result").next().unwrap_or_default();
        assert!(last_message(cut).contains("stage2 ended without a result"));
        let text = format!("{cut}error: test failed, to rerun pass `--lib`\n");
        assert!(last_message(&text).contains("error: test failed"));
    }

    #[test]
    fn output_between_a_test_and_its_result() {
        let text = "running 1 test\ntest one ...\nhello\nok\n\ntest result: ok. 1 passed; 0 failed; 0 ignored; 0 measured\n";
        assert_eq!(totals(text), (1, 0, 0));
        let text = "running 1 test\ntest one ... hello\nok\n\ntest result: ok. 1 passed; 0 failed; 0 ignored; 0 measured\n";
        assert_eq!(totals(text), (1, 0, 0));
    }

    #[test]
    fn counts_must_agree() {
        let text = GOOD.replace("2 passed", "3 passed");
        assert!(last_message(&text).contains("are not those counted"));
    }

    #[test]
    fn nothing_is_a_failure() {
        assert_eq!(last_message(""), "no test binary ran");
        assert_eq!(last_message("error: could not compile `x`\n"), "error: could not compile `x`");
        let empty = "running 0 tests\n\ntest result: ok. 0 passed; 0 failed; 0 ignored; 0 measured\n";
        assert_eq!(last_message(empty), "no test ran");
    }
}
