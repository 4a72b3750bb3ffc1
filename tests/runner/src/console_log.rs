//! console.log: everything that the consoles said, with labels and times.

use crate::session::Record;
use crate::stamp::{Clock, seconds};
use std::fmt::Write as _;

/// Writes the log.
pub fn render(record: &Record, clock: Clock) -> String {
    let mut out = String::new();
    for line in record.lines(clock) {
        let text = format!("{:<6} | {}", line.console.label(), line.text);
        if clock == Clock::Host {
            let _ = write!(out, "{:>8} ", seconds(line.stamp.host, 3));
        }
        let _ = writeln!(out, "{}", text.trim_end());
    }
    out
}
