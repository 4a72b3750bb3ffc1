//! The boot timeline: a row for each milestone, drawn to scale.

use super::Report;
use super::escape::escape;
use crate::junit::Outcome;
use crate::ktap::Status;
use crate::milestones::{Band, Milestone, Stage};
use crate::stamp::{Clock, Stamp, readable, seconds};
use std::fmt::Write as _;
use std::time::Duration;

const WIDTH: f64 = 960.0;
const ROW: f64 = 24.0;
const TOP: f64 = 30.0;
const LABELS: f64 = 250.0;
/// Room at the right for the duration beside the last bar.
const RIGHT: f64 = 64.0;
/// The width of a row that has no time: the virtual clock starts with Linux.
const STEP: f64 = 14.0;

/// A sentence about the clock.
pub fn note(clock: Clock) -> &'static str {
    match clock {
        Clock::Host => "Seconds on the host since QEMU was started. Each bar lasts until the next milestone.",
        Clock::Virtual => {
            "Virtual seconds since Linux started, by the kernel's own stamps: they are the same in every run. \
             What comes before has an order, but no clock."
        }
    }
}

struct Row<'a> {
    label: &'a str,
    band: &'static str,
    at: Option<Duration>,
    /// It happens while scenarios run, so it does not end what was there before.
    aside: bool,
    /// Parts of the bar with a name and a colour of their own.
    parts: Vec<Part<'a>>,
}

struct Part<'a> {
    name: &'a str,
    class: &'static str,
    from: Duration,
    to: Duration,
}

/// Draws the timeline.
pub fn svg(report: &Report<'_>) -> String {
    let mut milestones: Vec<&Milestone> = report.record.milestones.iter().collect();
    if report.clock == Clock::Virtual {
        // The order of arrival is the host's; this one is the guest's.
        milestones.sort_by_key(|m| (m.stamp.guest.is_some(), m.stamp.guest, m.stage));
    }
    let mut rows: Vec<Row<'_>> = Vec::new();
    let mut testing = false;
    for milestone in milestones {
        testing |= milestone.stage == Stage::FirstScenario;
        let parts = if milestone.stage == Stage::FirstScenario { parts(report) } else { Vec::new() };
        rows.push(Row {
            label: &milestone.label,
            band: class(milestone.stage.band()),
            at: milestone.stamp.by(report.clock),
            aside: testing && milestone.stage < Stage::FirstScenario,
            parts,
        });
    }
    rows.extend(broken(report));
    if rows.is_empty() {
        return "<p class=\"card empty\">Nothing was seen.</p>\n".into();
    }
    draw(&rows)
}

/// The scenarios, as parts of one bar.
fn parts<'a>(report: &Report<'a>) -> Vec<Part<'a>> {
    let mut parts = Vec::new();
    for run in &report.record.scenarios {
        let times = run.began.zip(run.ended);
        let times = times.and_then(|(a, b)| a.by(report.clock).zip(b.by(report.clock)));
        let Some((from, to)) = times else { continue };
        let class = match run.status {
            Some(Status::Failed) | None => "broken",
            Some(Status::Passed | Status::Skipped) => "part",
        };
        parts.push(Part { name: &run.name, class, from, to });
    }
    parts
}

/// The row of a panic or a hang.
fn broken<'a>(report: &Report<'a>) -> Option<Row<'a>> {
    let case = report.suite.cases.iter().find(|case| matches!(case.outcome, Outcome::Error(_)))?;
    let ended = Stamp { host: report.record.ended, guest: None };
    let stamp = report.record.worst_fault().map_or(ended, |fault| fault.stamp);
    // Without a time of its own it lies at the end of what has one.
    let last = report.record.log.iter().filter_map(|line| line.stamp.by(report.clock)).max();
    Some(Row {
        label: case.outcome.message().unwrap_or_default(),
        band: "broken",
        at: stamp.by(report.clock).or(last),
        aside: false,
        parts: Vec::new(),
    })
}

fn class(band: Band) -> &'static str {
    match band {
        Band::Firmware => "firmware",
        Band::Secure => "secure",
        Band::Linux => "linux",
        Band::Scenarios => "scenarios",
        Band::Off => "off",
    }
}

/// Where times lie: rows without one come first, in equal steps.
struct Scale {
    origin: f64,
    per_second: f64,
    span: f64,
}

impl Scale {
    fn of(rows: &[Row<'_>]) -> Self {
        let untimed = rows.iter().filter(|row| row.at.is_none()).count();
        let origin = LABELS + STEP * f64::from(u32::try_from(untimed).unwrap_or(0));
        let span = rows.iter().filter_map(|row| row.at).max().unwrap_or_default().as_secs_f64().max(0.001);
        Self { origin, per_second: (WIDTH - RIGHT - origin).max(1.0) / span, span }
    }

    fn x(&self, time: Duration) -> f64 {
        self.origin + time.as_secs_f64() * self.per_second
    }
}

fn draw(rows: &[Row<'_>]) -> String {
    let scale = Scale::of(rows);
    let count = f64::from(u32::try_from(rows.len()).unwrap_or(u32::MAX));
    let height = TOP + count * ROW + 6.0;
    let mut out = format!(
        "<div class=\"card scroll\"><svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"Boot timeline\">\n"
    );
    axis(&mut out, &scale, height);
    let mut untimed = 0.0;
    for (at, row) in rows.iter().enumerate() {
        let y = TOP + f64::from(u32::try_from(at).unwrap_or(0)) * ROW;
        let (x, width, time) = match row.at {
            None => {
                untimed += 1.0;
                (LABELS + STEP * (untimed - 1.0), STEP, String::new())
            }
            Some(time) => {
                let next = rows.iter().skip(at + 1).find(|next| !next.aside).filter(|_| !row.aside);
                let next = next.and_then(|next| next.at).unwrap_or(time);
                let x = scale.x(time);
                (x, (scale.x(next) - x).max(0.0), seconds(time, 3))
            }
        };
        bar(&mut out, row, y, x, width, &time);
        for part in &row.parts {
            draw_part(&mut out, part, &scale, y);
        }
    }
    out.push_str("</svg></div>\n");
    out
}

fn bar(out: &mut String, row: &Row<'_>, y: f64, x: f64, width: f64, time: &str) {
    let (text_y, bar_y, bar_height) = (y + 16.0, y + 5.0, ROW - 10.0);
    let band = row.band;
    let _ = writeln!(
        out,
        "<g class=\"{band}{5}\"><title>{0}{1}{time}</title>\
         <text class=\"label\" x=\"0\" y=\"{text_y}\">{2}</text>\
         <rect x=\"{x:.1}\" y=\"{bar_y}\" width=\"{3:.1}\" height=\"{bar_height}\" rx=\"2\"/>\
         <text class=\"time\" x=\"{4:.1}\" y=\"{text_y}\">{time}</text></g>",
        escape(row.label),
        if time.is_empty() { "" } else { ": " },
        escape(&shortened(row)),
        width.max(2.5),
        x + width.max(2.5) + 6.0,
        if row.parts.is_empty() { "" } else { " parts" },
    );
}

fn draw_part(out: &mut String, part: &Part<'_>, scale: &Scale, y: f64) {
    let (from, to) = (scale.x(part.from), scale.x(part.to));
    let _ = writeln!(
        out,
        "<g class=\"{}\"><title>{}: {}</title>\
         <rect x=\"{from:.1}\" y=\"{}\" width=\"{:.1}\" height=\"{}\"/></g>",
        part.class,
        escape(part.name),
        readable(part.to.saturating_sub(part.from)),
        y + 5.0,
        // A hair of the bar below shows between two parts.
        (to - from - 0.8).max(0.8),
        ROW - 10.0,
    );
}

/// Labels keep to their column; the whole text is in the title. What broke the run comes last
/// and far to the right, so that its label has the room before it.
fn shortened(row: &Row<'_>) -> String {
    let most = if row.band == "broken" { 90 } else { 38 };
    let label = row.label;
    if label.chars().count() <= most {
        return label.to_owned();
    }
    label.chars().take(most - 1).chain(['\u{2026}']).collect()
}

fn axis(out: &mut String, scale: &Scale, height: f64) {
    let step = [0.001, 0.005, 0.01, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 60.0, 120.0, 300.0]
        .into_iter()
        .find(|step| scale.span / step <= 8.0)
        .unwrap_or(600.0);
    let decimals = if step < 0.1 { 3 } else { usize::from(step < 1.0) };
    let mut tick: f64 = 0.0;
    while tick <= scale.span {
        let x = scale.origin + tick * scale.per_second;
        let _ = writeln!(
            out,
            "<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{0}\" y2=\"{height}\"/>\
             <text class=\"tick\" x=\"{x:.1}\" y=\"14\">{tick:.decimals$} s</text>",
            TOP - 8.0
        );
        tick += step;
    }
    if scale.origin > LABELS {
        let _ = writeln!(out, "<text class=\"tick start\" x=\"{LABELS}\" y=\"14\">firmware</text>");
    }
}
