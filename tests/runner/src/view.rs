//! The run, live on the terminal: one line for each event, with its time.

use crate::ktap::Status;
use crate::milestones::{Band, Stage};
use crate::scenarios::ScenarioList;
use crate::session::{Console, Event, LogLine, Record, ScenarioRun};
use crate::stamp::{Clock, readable, seconds};
use crate::style::{Style, Tone};
use std::io::Write;
use std::time::Duration;

/// How much of each console is shown when something went wrong.
const TAIL: usize = 16;

/// Writes the live view.
pub struct View<'a, W: Write> {
    out: W,
    style: Style,
    list: Option<&'a ScenarioList>,
    /// A line is on the screen that the next one shall replace.
    pending: bool,
}

impl<'a, W: Write> View<'a, W> {
    /// Makes a view. Errors of the output are not the run's errors: they are left aside.
    pub fn new(out: W, style: Style, list: Option<&'a ScenarioList>) -> Self {
        Self { out, style, list, pending: false }
    }

    /// Writes a plain line.
    pub fn say(&mut self, text: &str) {
        self.clear();
        let _ = writeln!(self.out, "{text}");
        let _ = self.out.flush();
    }

    /// Shows an event.
    pub fn event(&mut self, event: &Event, record: &Record) {
        match event {
            // The scenario's own line follows at once.
            Event::Milestone(milestone) if milestone.stage == Stage::FirstScenario => {}
            Event::Milestone(milestone) => {
                let word = if milestone.stage.band() == Band::Off { "off  " } else { "boot " };
                let label = self.style.paint(Tone::Notable, word);
                self.row(milestone.stamp.host, &label, &milestone.label);
                if record.plan.is_none() {
                    self.wait("boot ", "...");
                }
            }
            Event::Began { name, .. } => {
                let text = format!("{} ...", self.title(name));
                self.wait("test ", &text);
            }
            Event::Ended(run) => self.ended(run),
            Event::Fault(fault) => {
                let label = self.style.paint(Tone::Bad, "FAULT");
                self.row(fault.stamp.host, &label, &format!("{}: {}", fault.summary(), fault.text));
            }
        }
    }

    /// Shows the last lines of the consoles, for a run that went wrong.
    pub fn tails(&mut self, record: &Record) {
        for console in Console::ALL {
            let lines = record.tail(console, TAIL);
            if lines.is_empty() && console == Console::Qemu {
                continue;
            }
            self.say("");
            let title = format!("last lines of the {} console:", console.label());
            self.say(&self.style.paint(Tone::Strong, &title));
            if lines.is_empty() {
                self.say("  (it said nothing)");
            }
            for LogLine { text, .. } in lines {
                self.say(&format!("  {text}"));
            }
        }
    }

    fn ended(&mut self, run: &ScenarioRun) {
        let (tone, word) = match run.status {
            Some(Status::Passed) => (Tone::Good, "pass "),
            Some(Status::Skipped) => (Tone::Quiet, "skip "),
            Some(Status::Failed) | None => (Tone::Bad, "FAIL "),
        };
        let host = run.ended.map(|stamp| stamp.host).unwrap_or_default();
        let time = run
            .ended
            .zip(run.began)
            .and_then(|(ended, began)| ended.since(&began, Clock::Host))
            .map(readable)
            .unwrap_or_default();
        let assertions = match run.assertions {
            Some(1) => "1 assertion".into(),
            Some(count) => format!("{count} assertions"),
            None => String::new(),
        };
        let text = format!("{:<34}{assertions:>16}{time:>11}", self.title(&run.name));
        self.row(host, &self.style.paint(tone, word), text.trim_end());
        if run.status == Some(Status::Failed) {
            for text in &run.diagnostics {
                self.say(&format!("{:22}{text}", ""));
            }
        }
    }

    fn title(&self, name: &str) -> String {
        let number = self.list.and_then(|list| list.find(name)).map(|scenario| scenario.number);
        number.map_or_else(|| format!("   {name}"), |number| format!("{number:>2} {name}"))
    }

    fn row(&mut self, at: Duration, label: &str, text: &str) {
        let time = self.style.paint(Tone::Quiet, &format!("{:>8} s", seconds(at, 2)));
        self.say(&format!("{time}  {label}  {text}"));
    }

    /// Shows, on a terminal only, what is being waited for; the next line replaces it.
    fn wait(&mut self, label: &str, text: &str) {
        if self.style.live {
            self.clear();
            let row = self.style.paint(Tone::Quiet, &format!("{:>10}  {label}  {text}", ""));
            let _ = write!(self.out, "{row}");
            let _ = self.out.flush();
            self.pending = true;
        }
    }

    fn clear(&mut self) {
        if std::mem::take(&mut self.pending) {
            let _ = write!(self.out, "\r\u{1b}[K");
        }
    }
}
