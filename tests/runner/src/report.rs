//! report.html: one file that holds the whole story of a run, readable without a network.

mod console;
mod escape;
mod scenarios;
mod sequence;
mod timeline;

use crate::image::Image;
use crate::junit::{Suite, Totals};
use crate::qemu::{Accel, Machine};
use crate::session::Record;
use crate::stamp::Clock;
use crate::trace::{Partitions, Trace};
use escape::escape;
use std::fmt::Write as _;

/// What a report is made of.
pub struct Report<'a> {
    /// The judged cases.
    pub suite: &'a Suite,
    /// What was seen.
    pub record: &'a Record,
    /// The clock of the times in it.
    pub clock: Clock,
    /// The machine that ran.
    pub machine: &'a Machine,
    /// The image that was booted.
    pub image: &'a Image,
    /// What the SPMC recorded, if it did, and the partitions' names.
    pub trace: Option<(&'a Trace, &'a Partitions)>,
}

/// Writes the report.
pub fn html(report: &Report<'_>) -> String {
    let suite = report.suite;
    let mut out = String::new();
    let state = if suite.passed { "passed" } else { "failed" };
    let _ = write!(
        out,
        "<!doctype html>\n<html lang=\"en\" data-state=\"{state}\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{} {state} - Tantalum</title>\n<style>\n{}</style>\n</head>\n<body>\n<main>\n",
        escape(&suite.name),
        include_str!("report/style.css"),
    );
    header(&mut out, report);
    section(&mut out, "timeline", "Timeline", timeline::note(report.clock), &timeline::svg(report));
    section(&mut out, "scenarios", "Scenarios", "", &scenarios::table(suite));
    if let Some((trace, partitions)) = report.trace {
        let messages = trace.messages();
        section(
            &mut out,
            "trace",
            "Trace",
            &sequence::note(trace, messages.len()),
            &sequence::chart(&messages, partitions),
        );
    }
    section(&mut out, "consoles", "Consoles", "", &console::log(report.record, report.clock));
    section(&mut out, "image", "What ran", "", &provenance(report));
    let _ =
        write!(out, "</main>\n<script>\n{}</script>\n</body>\n</html>\n", include_str!("report/script.js"));
    out
}

fn header(out: &mut String, report: &Report<'_>) {
    let suite = report.suite;
    let totals = Totals::of(&suite.cases);
    let word = if suite.passed { "Passed" } else { "Failed" };
    let verdict = suite.verdict.as_deref().unwrap_or_default();
    let sentence = verdict.split_once(": ").map_or(verdict, |(_, rest)| rest);
    let _ = write!(
        out,
        "<header>\n<p class=\"brand\">Tantalum <span>{}</span></p>\n<h1>{word}</h1>\n\
         <p class=\"verdict\">{}</p>\n<ul class=\"facts\">\n",
        escape(&suite.name),
        escape(sentence)
    );
    let machine = report.machine;
    let accel = match machine.accel {
        Accel::Single => "one thread for all CPUs",
        Accel::Multi => "a thread for each CPU",
        Accel::Icount => "virtual time",
    };
    let qemu = report.record.qemu_version.as_deref().unwrap_or("of unknown version");
    let facts = [
        ("cases", totals.to_string()),
        ("machine", format!("{} CPUs, {} memory", machine.cpus, machine.memory)),
        ("normal world", machine.normal_world.describe().to_owned()),
        ("emulator", format!("QEMU {qemu}, {accel}")),
    ];
    for (name, value) in facts {
        let _ = writeln!(out, "<li><b>{name}</b> {}</li>", escape(&value));
    }
    out.push_str("</ul>\n</header>\n");
}

fn section(out: &mut String, id: &str, title: &str, note: &str, body: &str) {
    let note = if note.is_empty() { String::new() } else { format!("<p class=\"note\">{note}</p>\n") };
    let _ = write!(out, "<section id=\"{id}\">\n<h2>{title}</h2>\n{note}{body}</section>\n");
}

/// What was booted, exactly enough to find it again.
fn provenance(report: &Report<'_>) -> String {
    let mut out = String::from("<div class=\"card\"><table class=\"files\">\n<tbody>\n");
    for file in report.image.files() {
        let _ = writeln!(
            out,
            "<tr><th scope=\"row\">{}</th><td><code>{}</code></td></tr>",
            escape(&file.name),
            file.sha256
        );
    }
    let _ = write!(
        out,
        "<tr><th scope=\"row\">command line</th><td><code>{}</code></td></tr>\n</tbody>\n</table></div>\n",
        escape(&report.machine.kernel_arguments(report.image))
    );
    out
}
