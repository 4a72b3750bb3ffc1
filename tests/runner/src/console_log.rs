//! console.log: everything that the consoles said, with labels and times.

use crate::session::{Console, LogLine, Record};
use crate::stamp::{Clock, seconds};
use std::fmt::Write as _;

/// Writes the log.
///
/// By the host's clock, the consoles are merged in the order of arrival. The virtual clock
/// cannot merge them: the firmware prints no times, so the order between two consoles is
/// known to the host's scheduler alone. There, each console stands by itself.
pub fn render(record: &Record, clock: Clock) -> String {
    let mut out = String::new();
    match clock {
        Clock::Host => {
            for line in &record.log {
                let time = seconds(line.stamp.host, 3);
                let _ = writeln!(out, "{time:>8} {}", labelled(line));
            }
        }
        Clock::Virtual => {
            for console in [Console::Secure, Console::Normal, Console::Qemu] {
                for line in record.log.iter().filter(|line| line.console == console) {
                    let _ = writeln!(out, "{}", labelled(line));
                }
            }
        }
    }
    out
}

fn labelled(line: &LogLine) -> String {
    format!("{:<6} | {}", line.console.label(), line.text).trim_end().to_owned()
}
