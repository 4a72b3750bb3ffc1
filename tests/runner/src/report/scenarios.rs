//! The table of cases, with failed assertions unfolded.

use super::escape::escape;
use crate::junit::{Case, Outcome, Suite};
use crate::stamp::readable;
use std::fmt::Write as _;

/// Writes the table.
pub fn table(suite: &Suite) -> String {
    let mut out = String::from(
        "<div class=\"card\"><table class=\"cases\">\n<thead><tr><th class=\"num\">#</th><th>Scenario</th>\
         <th>Result</th><th class=\"num\">Assertions</th><th class=\"num\">Time</th></tr></thead>\n<tbody>\n",
    );
    for case in &suite.cases {
        row(&mut out, case);
    }
    out.push_str("</tbody>\n</table></div>\n");
    out
}

fn row(out: &mut String, case: &Case) {
    let (class, word) = match case.outcome {
        Outcome::Passed => ("good", "passed"),
        Outcome::Skipped(_) => ("quiet", "skipped"),
        Outcome::Failed(_) => ("bad", "failed"),
        Outcome::Error(_) => ("bad", "error"),
    };
    let number = case.number.map(|n| n.to_string()).unwrap_or_default();
    let assertions = case.assertions.map(|n| n.to_string()).unwrap_or_default();
    let time = case.time.map(readable).unwrap_or_default();
    let _ = writeln!(
        out,
        "<tr class=\"{class}\"><td class=\"num\">{number}</td><td><b>{}</b><p>{}</p>{}</td>\
         <td><span class=\"pill\">{word}</span></td><td class=\"num\">{assertions}</td>\
         <td class=\"num\">{time}</td></tr>",
        escape(&case.name),
        escape(&case.description),
        notes(case)
    );
}

fn notes(case: &Case) -> String {
    let mut out = String::new();
    let message = case.outcome.message().filter(|message| !message.is_empty());
    if let Some(message) = message {
        let _ = write!(out, "<p class=\"message\">{}</p>", escape(message));
    }
    // The message repeats the first detail; alone, it needs no second showing.
    let rest: Vec<_> = case.details.iter().filter(|text| Some(text.as_str()) != message).collect();
    if rest.is_empty() {
        return out;
    }
    let open = if case.outcome.is_bad() { " open" } else { "" };
    let more = if message.is_some() { " more" } else { "" };
    let lines = if rest.len() == 1 { "line" } else { "lines" };
    let what = format!("{}{more} {lines}", rest.len());
    let _ = write!(out, "<details{open}><summary>{what}</summary><ul>");
    for text in rest {
        let _ = write!(out, "<li>{}</li>", escape(text));
    }
    out.push_str("</ul></details>");
    out
}
