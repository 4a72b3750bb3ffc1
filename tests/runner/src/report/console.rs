//! The consoles, with filters.

use super::escape::escape;
use crate::ktap::{self, Ktap, Status};
use crate::session::{Console, LogLine, Record};
use crate::stamp::{Clock, seconds, split_printk};
use crate::vms::split_vm;
use crate::{faults, milestones};
use std::fmt::Write as _;

/// Writes the controls and the log.
pub fn log(record: &Record, clock: Clock) -> String {
    let mut out = String::from(
        "<div class=\"card\">\n<form class=\"filter\" data-list=\"log\">\n\
         <input type=\"search\" placeholder=\"Filter lines\" aria-label=\"Filter lines\">\n",
    );
    for console in Console::ALL {
        let count = record.log.iter().filter(|line| line.console == console).count();
        if count > 0 {
            let label = console.label();
            let _ = writeln!(
                out,
                "<label><input type=\"checkbox\" data-class=\"{label}\" checked> {label} <span>{count}</span></label>"
            );
        }
    }
    out.push_str(
        "<label><input type=\"checkbox\" data-marks> marked lines only</label>\n\
         <output></output>\n</form>\n<ol class=\"log\" id=\"log\" tabindex=\"0\">\n",
    );
    for line in record.lines(clock) {
        write_line(&mut out, line, clock);
    }
    out.push_str("</ol>\n</div>\n");
    out
}

fn write_line(out: &mut String, line: &LogLine, clock: Clock) {
    let label = line.console.label();
    let mark = mark(line).map(|mark| format!(" {mark}")).unwrap_or_default();
    let time = match clock {
        Clock::Host => format!("<time>{}</time>", seconds(line.stamp.host, 3)),
        Clock::Virtual => String::new(),
    };
    let _ = writeln!(
        out,
        "<li class=\"{label}{mark}\">{time}<i>{label}</i><span>{}</span></li>",
        escape(&line.text)
    );
}

/// What makes a line worth finding again.
fn mark(line: &LogLine) -> Option<&'static str> {
    let (vm, text) = split_vm(&line.text);
    let (time, text) = split_printk(text);
    // The way TF-A powers the machine off looks like a panic; here, without the state of the
    // run, only lines that are faults at any time count.
    let stage = Some(milestones::Stage::PowerOff);
    if faults::recognise(line.console, text, time.is_some() || !vm.is_empty(), stage).is_some() {
        return Some("mark bad");
    }
    if line.console == Console::Normal {
        match ktap::parse(text) {
            Some(Ktap::Result { status: Status::Passed, .. }) => return Some("mark good"),
            Some(Ktap::Result { status: Status::Failed, .. }) => return Some("mark bad"),
            Some(Ktap::Diagnostic { text, .. }) if ktap::is_assertion(text) => return Some("mark bad"),
            _ => {}
        }
    }
    milestones::recognise(line.console, text).map(|_| "mark milestone")
}
