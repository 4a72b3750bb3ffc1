//! The trace as a sequence chart: a line for each who speaks, an arrow for each step.

use super::escape::escape;
use crate::trace::{self, Message, Partitions, Place, Tone, Trace};
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// The most steps that are drawn. More would make the file heavy and nobody would read them.
const MOST: usize = 400;
/// The width of the lane of each who speaks, and the height of a step.
const LANE: usize = 84;
const ROW: usize = 24;

/// Says what is there and what is shown.
pub fn note(trace: &Trace, count: usize) -> String {
    let shown = match count.checked_sub(MOST) {
        None | Some(0) => String::new(),
        Some(_) => format!(" The chart has the last {MOST}; <code>trace.txt</code> has all."),
    };
    format!(
        "What entered and left the SPMC, by its own record: {}. Times are seconds of the system counter.{shown}",
        escape(&trace::summary(trace))
    )
}

/// Draws the chart of messages in the order of time.
pub fn chart(messages: &[Message], partitions: &Partitions) -> String {
    let messages = messages.get(messages.len().saturating_sub(MOST)..).unwrap_or_default();
    // Everybody of the whole chart, in the order of ids; the first two are always there.
    let mut places = BTreeSet::from([Place::NormalWorld, Place::Spmc]);
    places.extend(messages.iter().flat_map(|message| [message.from, message.to]));
    let places: Vec<Place> = places.into_iter().collect();
    let cpus: BTreeSet<usize> = messages.iter().map(|message| message.cpu).collect();

    let mut out = String::from(
        "<div class=\"card sequence\">\n<form class=\"filter\" data-list=\"steps\">\n\
         <input type=\"search\" placeholder=\"Filter steps\" aria-label=\"Filter steps\">\n",
    );
    for cpu in cpus {
        let count = messages.iter().filter(|message| message.cpu == cpu).count();
        let _ = writeln!(
            out,
            "<label><input type=\"checkbox\" data-class=\"cpu{cpu}\" checked> CPU {cpu} <span>{count}</span></label>"
        );
    }
    let width = places.len() * LANE;
    let _ = write!(
        out,
        "<output></output>\n</form>\n<div class=\"steps-scroll\" tabindex=\"0\" style=\"--lanes: {width}px; --lane: {LANE}px\">\n\
         <div class=\"who\"><span></span>"
    );
    for place in &places {
        let _ = write!(out, "<b>{}</b>", escape(&partitions.name(*place)));
    }
    out.push_str("</div>\n<ol id=\"steps\">\n");
    for message in messages {
        step(&mut out, message, &places);
    }
    out.push_str("</ol>\n</div>\n</div>\n");
    out
}

fn step(out: &mut String, message: &Message, places: &[Place]) {
    let tone = match message.tone {
        Tone::Call => "call",
        Tone::Answer => "answer",
        Tone::Error => "error",
        Tone::Interrupt => "interrupt",
        Tone::Fault => "fault",
    };
    // Where something comes in from the normal world, something new begins.
    let begins = if message.from == Place::NormalWorld { " begins" } else { "" };
    let _ = writeln!(
        out,
        "<li class=\"cpu{cpu} {tone}{begins}\"><time>{time:.6}</time><i>cpu{cpu}</i>{arrow}\
         <b>{name}</b><span>{detail}</span></li>",
        cpu = message.cpu,
        time = message.time.as_secs_f64(),
        arrow = arrow(message, places),
        name = escape(&message.name),
        detail = escape(&message.detail),
    );
}

/// Draws an arrow between two lanes, or a dot for what concerns the SPMC alone.
fn arrow(message: &Message, places: &[Place]) -> String {
    let middle = |place| places.iter().position(|other| *other == place).unwrap_or(0) * LANE + LANE / 2;
    let (from, to) = (middle(message.from), middle(message.to));
    let (width, y) = (places.len() * LANE, ROW / 2);
    let (top, bottom) = (y - 4, y + 4);
    let shape = match to.cmp(&from) {
        std::cmp::Ordering::Equal => format!("<circle cx=\"{from}\" cy=\"{y}\" r=\"4\"/>"),
        std::cmp::Ordering::Greater => format!(
            "<path d=\"M{from} {y}H{end}\"/><path class=\"head\" d=\"M{to} {y}l-8 -4v8z\"/>",
            end = to - 8,
        ),
        std::cmp::Ordering::Less => format!(
            "<path d=\"M{from} {y}H{end}\"/><path class=\"head\" d=\"M{to} {y}L{end} {top}V{bottom}z\"/>",
            end = to + 8,
        ),
    };
    let mut lines = String::new();
    for lane in 0..places.len() {
        let _ = write!(lines, "M{} 0V{ROW}", lane * LANE + LANE / 2);
    }
    format!(
        "<svg width=\"{width}\" height=\"{ROW}\" aria-hidden=\"true\"><path class=\"life\" d=\"{lines}\"/>{shape}</svg>"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn message(cpu: usize, from: Place, to: Place, name: &str) -> Message {
        Message {
            time: Duration::from_millis(1),
            cpu,
            from,
            to,
            name: name.into(),
            detail: "a < b".into(),
            tone: Tone::Call,
        }
    }

    #[test]
    fn arrows_go_from_lane_to_lane() {
        let partition = Place::Partition(0x8001);
        let names = Partitions::from_lines(["[sp 8001 echo] ready"]);
        let there = message(0, Place::NormalWorld, Place::Spmc, "FFA_RUN");
        let back = message(1, partition, Place::Spmc, "FFA_YIELD");
        let html = chart(&[there, back, message(1, Place::Spmc, Place::Spmc, "CPU started")], &names);
        assert!(html.contains("<b>normal</b><b>SPMC</b><b>echo</b>"), "{html}");
        assert!(html.contains("<li class=\"cpu0 call begins\">"));
        assert!(html.contains("d=\"M42 12H118\"/><path class=\"head\" d=\"M126 12l-8 -4v8z\""));
        assert!(html.contains("d=\"M210 12H134\"/><path class=\"head\" d=\"M126 12L134 8V16z\""));
        assert!(html.contains("<circle cx=\"126\""));
        assert!(html.contains("a &lt; b"));
        assert!(html.contains("data-class=\"cpu1\" checked> CPU 1 <span>2</span>"));
    }

    #[test]
    fn the_chart_has_an_end() {
        let many: Vec<_> = (0..MOST + 5)
            .map(|at| message(0, Place::NormalWorld, Place::Spmc, &format!("step{at}.")))
            .collect();
        let html = chart(&many, &Partitions::default());
        assert_eq!(html.matches("<li ").count(), MOST);
        assert!(!html.contains("step4.") && html.contains("step5."));
        assert!(note(&Trace::default(), many.len()).contains("the last 400"));
        assert!(!note(&Trace::default(), MOST).contains("the last"));
    }
}
