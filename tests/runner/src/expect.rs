//! `runner expect-failure`: a run that must fail, and for the right reason.
//!
//! Tests of the tests: an image with a known defect is booted, and the case passes only when
//! the run fails with the verdict that the defect must give.

use crate::error::{Error, Result};
use crate::glob;
use crate::junit::{Case, Outcome, Suite};
use crate::run::{self, Options};
use std::fs;
use std::path::Path;

/// Reads a verdict pattern from a file: its one line that is not empty and no comment.
pub fn read_pattern(path: &Path) -> Result<String> {
    let text = fs::read_to_string(path)
        .map_err(|error| Error::new(format!("cannot read {}: {error}", path.display())))?;
    let mut lines = text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#'));
    match (lines.next(), lines.next()) {
        (Some(pattern), None) => Ok(pattern.to_owned()),
        _ => Err(Error::new(format!("{} must hold exactly one verdict line", path.display()))),
    }
}

/// Runs, and gives a suite of one case that says whether the run failed as it should. The
/// reports of the run itself go into the folder `run` of the output.
pub fn expect_failure(pattern: &str, mut options: Options) -> Result<Suite> {
    let out = options.out.take();
    if let Some(out) = &out {
        run::prepare(out)?;
        options.out = Some(out.join("run"));
    }
    let suite = run::run(&options)?;
    let verdict = suite.verdict.unwrap_or_default();
    let mut case = Case::new(options.name.as_str(), "a deliberate breakage is caught");
    case.outcome = judge(pattern, suite.passed, &verdict);
    case.details = vec![format!("expected: {pattern}"), format!("verdict:  {verdict}")];
    let caught = case.outcome == Outcome::Passed;
    let result = Suite {
        name: "breakages".into(),
        passed: caught,
        verdict: Some(match case.outcome.message() {
            None => format!("caught: {verdict}"),
            Some(message) => format!("NOT CAUGHT: {message}"),
        }),
        cases: vec![case],
    };
    if let Some(out) = &out {
        run::write(out, "junit.xml", result.to_xml())?;
    }
    Ok(result)
}

fn judge(pattern: &str, passed: bool, verdict: &str) -> Outcome {
    if passed {
        return Outcome::Failed("the run passed although it was broken on purpose".into());
    }
    if glob::matches(pattern, verdict) {
        return Outcome::Passed;
    }
    Outcome::Failed(format!("the run failed, but not as expected: {verdict}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_failure_is_a_success() {
        let pattern = "FAILED: panic in *";
        assert_eq!(judge(pattern, false, "FAILED: panic in the SPMC"), Outcome::Passed);
        assert!(judge(pattern, false, "FAILED: hang").is_bad());
        assert!(judge(pattern, true, "FAILED: panic in the SPMC").is_bad());
        assert!(judge(pattern, true, "passed: 12 scenarios").is_bad());
    }
}
