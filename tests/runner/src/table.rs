//! The table at the end of a run, also made from a `JUnit` file.

use crate::junit::{Case, Outcome, Suite, Totals};
use crate::stamp::readable;
use crate::style::{Style, Tone};
use std::fmt::Write as _;

/// Writes the table of a suite, its verdict and its totals.
pub fn render(suite: &Suite, style: Style) -> String {
    let width = suite.cases.iter().map(|case| case.name.chars().count()).max().unwrap_or(0).max(8);
    let mut out = String::new();
    let head =
        format!("{:>4}  {:<width$}  {:<6}  {:>10}  {:>9}", "#", "scenario", "result", "assertions", "time");
    let _ = writeln!(out, "{}", style.paint(Tone::Strong, &head));
    for case in &suite.cases {
        row(&mut out, case, width, style);
    }
    out.push('\n');
    if let Some(verdict) = &suite.verdict {
        let tone = if suite.passed { Tone::Good } else { Tone::Bad };
        let _ = writeln!(out, "{}", style.paint(tone, &format!("{}: {verdict}", suite.name)));
    }
    let _ = writeln!(out, "{}", Totals::of(&suite.cases));
    out
}

fn row(out: &mut String, case: &Case, width: usize, style: Style) {
    let (tone, word) = match case.outcome {
        Outcome::Passed => (Tone::Good, "pass"),
        Outcome::Skipped(_) => (Tone::Quiet, "skip"),
        Outcome::Failed(_) => (Tone::Bad, "FAIL"),
        Outcome::Error(_) => (Tone::Bad, "ERROR"),
    };
    let number = case.number.map(|n| n.to_string()).unwrap_or_default();
    let assertions = case.assertions.map(|n| n.to_string()).unwrap_or_default();
    let time = case.time.map(readable).unwrap_or_default();
    let result = style.paint(tone, &format!("{word:<6}"));
    let line = format!("{number:>4}  {:<width$}  {result}  {assertions:>10}  {time:>9}", case.name);
    let _ = writeln!(out, "{}", line.trim_end());
    if let Some(message) = case.outcome.message().filter(|message| !message.is_empty()) {
        let _ = writeln!(out, "{:6}{}", "", style.paint(tone, message));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_table_reads_well_without_colour() {
        let mut ids = Case::new("ids", "");
        ids.number = Some(2);
        ids.assertions = Some(14);
        ids.time = Some(Duration::from_millis(12));
        let mut bad = Case::new("direct_refused", "");
        bad.number = Some(13);
        bad.outcome = Outcome::Failed("direct.c:8: expected 1, got 2".into());
        let suite = Suite {
            name: "e2e".into(),
            passed: false,
            verdict: Some("FAILED: scenario 13 direct_refused".into()),
            cases: vec![ids, bad],
        };
        let expected = "   #  scenario        result  assertions       time\n   \
            2  ids             pass            14    12.0 ms\n  \
            13  direct_refused  FAIL\n      \
            direct.c:8: expected 1, got 2\n\n\
            e2e: FAILED: scenario 13 direct_refused\n\
            1 passed, 1 failed\n";
        assert_eq!(render(&suite, Style::PLAIN), expected);
    }
}
