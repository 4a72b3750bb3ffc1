//! `runner run`: boot, watch, judge, report.

use crate::console_log;
use crate::error::{Error, Result};
use crate::image::Image;
use crate::judge::{self, Expectations};
use crate::junit::Suite;
use crate::milestones::Stage;
use crate::qemu::Machine;
use crate::report::{self, Report};
use crate::scenarios::ScenarioList;
use crate::session::{Event, Limits, Session};
use crate::stamp::Clock;
use crate::style::Style;
use crate::supervise;
use crate::table;
use crate::trace::{self, Memory, Partitions, Trace};
use crate::view::View;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// What a run is asked to do.
#[derive(Debug)]
pub struct Options {
    /// The name of the suite.
    pub name: String,
    /// The folder of the image.
    pub image: PathBuf,
    /// QEMU.
    pub qemu: PathBuf,
    /// Where reports go, if anywhere.
    pub out: Option<PathBuf>,
    /// The scenario list, if any.
    pub expect: Option<PathBuf>,
    /// The machine.
    pub machine: Machine,
    /// The scenarios to run; all if empty.
    pub only: Vec<String>,
    /// The clock of the reports.
    pub clock: Clock,
    /// When to give up.
    pub limits: Limits,
}

/// Runs and gives the judged suite. Reports are written whatever the outcome; an error means
/// that there was nothing to judge.
pub fn run(options: &Options) -> Result<Suite> {
    Ok(traced(options)?.0)
}

/// Runs likewise, and gives the trace too, if the run is to have one and does.
pub fn traced(options: &Options) -> Result<(Suite, Option<(Trace, Partitions)>)> {
    let image = Image::open(&options.image, options.machine.normal_world)?;
    let mut list = options.expect.as_deref().map(ScenarioList::read).transpose()?;
    list = list.map(|list| list.at(options.machine.normal_world.place()));
    if !options.only.is_empty() {
        list = list.map(|list| list.only(&options.only)).transpose()?;
    }
    let memory = if options.machine.trace { Some(Memory::new()?) } else { None };
    if let Some(out) = &options.out {
        prepare(out)?;
    }

    let style = Style::of_stdout();
    let mut view = View::new(std::io::stdout(), style, list.as_ref());
    view.say(&format!(
        "{}: {}, {} CPUs, {} memory, TCG {}",
        options.name,
        image.dir().display(),
        options.machine.cpus,
        options.machine.memory,
        options.machine.accel.name()
    ));
    let record = supervise::supervise(
        &options.qemu,
        memory.as_ref(),
        |wiring| options.machine.arguments(&image, wiring),
        Session::new(options.limits),
        &interruption()?,
        &mut |event, record| view.event(event, record),
    )?;

    if let Some(off) = record.milestone(Stage::Off) {
        view.event(&Event::Milestone(off.clone()), &record);
    }

    let expectations = Expectations {
        list: list.as_ref(),
        cpus: options.machine.cpus,
        normal_world: options.machine.normal_world,
        clock: options.clock,
    };
    let suite = judge::judge(&options.name, &record, &expectations);
    if !suite.passed {
        view.tails(&record);
    }
    view.say("");
    view.say(table::render(&suite, style).trim_end());
    // Whatever is wrong with the trace, it says nothing about what ran.
    let rings = memory.map(|memory| memory.rings()).transpose()?;
    let trace = rings.as_deref().and_then(|rings| {
        Trace::parse(rings).inspect_err(|error| view.say(&format!("no trace: {error}"))).ok()
    });
    let partitions = Partitions::from_lines(record.log.iter().map(|line| line.text.as_str()));
    if let Some(out) = &options.out {
        let report = Report {
            suite: &suite,
            record: &record,
            clock: options.clock,
            machine: &options.machine,
            image: &image,
            trace: trace.as_ref().map(|trace| (trace, &partitions)),
        };
        write(out, "junit.xml", suite.to_xml())?;
        write(out, "report.html", report::html(&report))?;
        write(out, "console.log", console_log::render(&record, options.clock))?;
        if let (Some(trace), Some(rings)) = (&trace, &rings) {
            write(out, trace::FILE, rings)?;
            write(out, "trace.txt", trace::render(trace, &partitions, None))?;
        }
    }
    Ok((suite, trace.map(|trace| (trace, partitions))))
}

/// Makes the folder and shows that it can be written, before minutes are spent on a run.
pub fn prepare(out: &Path) -> Result<()> {
    let probe = out.join(".runner");
    fs::create_dir_all(out)
        .and_then(|()| fs::write(&probe, ""))
        .and_then(|()| fs::remove_file(&probe))
        .map_err(|error| Error::new(format!("cannot write to {}: {error}", out.display())))
}

/// Writes a file of a report.
pub fn write(out: &Path, name: &str, content: impl AsRef<[u8]>) -> Result<()> {
    let file = out.join(name);
    fs::write(&file, content).map_err(|error| Error::new(format!("cannot write {}: {error}", file.display())))
}

/// A flag that SIGINT and SIGTERM set, so that an interrupted run still ends QEMU and still
/// writes what it has. The second signal ends the runner at once.
fn interruption() -> Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&flag))
            .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&flag)))
            .map_err(|error| Error::new(format!("cannot listen to signals: {error}")))?;
    }
    Ok(flag)
}
