//! Owns the QEMU process: starts it, listens to everything it says, ends it.
//!
//! The two consoles are anonymous pipes, which QEMU opens by their names under `/proc` of
//! this process; so nothing is left behind on disk. Standard input and output carry QMP.

mod channel;

use crate::error::{Error, Result};
use crate::lines::LineSplitter;
use crate::qemu::Wiring;
use crate::qmp::{self, CpuState, Message};
use crate::session::{Console, Event, Exit, Record, Session, Stop};
use crate::trace::Memory;
use channel::{Channel, Source};
use std::ffi::OsString;
use std::io::{PipeWriter, Write};
use std::os::fd::AsRawFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How often limits are looked at when nothing is said.
const TICK: Duration = Duration::from_millis(100);
/// How long QEMU may take to answer on its control channel.
const QMP_LIMIT: Duration = Duration::from_secs(10);
/// How long the last bytes may take to arrive after QEMU went away.
const DRAIN_LIMIT: Duration = Duration::from_secs(2);

/// Runs QEMU to its end, or to the end of the session's patience, and gives the record.
///
/// `arguments` makes the command line from the wiring; `memory` becomes the machine's; `observe`
/// is told every event as it comes; `interrupted` ends the run when somebody sets it.
pub fn supervise(
    qemu: &Path,
    memory: Option<&Memory>,
    arguments: impl Fn(&Wiring<'_>) -> Vec<OsString>,
    session: Session,
    interrupted: &Arc<AtomicBool>,
    observe: &mut dyn FnMut(&Event, &Record),
) -> Result<Record> {
    let mut channel = Channel::new();
    let normal = channel.pipe(Source::Console(Console::Normal))?;
    let secure = channel.pipe(Source::Console(Console::Secure))?;
    let process = own_process()?;
    let path_of = |pipe: &PipeWriter| process.join(format!("fd/{}", pipe.as_raw_fd()));
    let memory = memory.map(|memory| memory.path(&process));
    let wiring =
        Wiring::Files { normal: &path_of(&normal), secure: &path_of(&secure), memory: memory.as_deref() };

    let start = Instant::now();
    let mut child = spawn(qemu, &arguments(&wiring))?;
    if let Some(stdout) = child.stdout.take() {
        channel.listen(Source::Qmp, stdout);
    }
    if let Some(stderr) = child.stderr.take() {
        channel.listen(Source::Console(Console::Qemu), stderr);
    }
    let control = Control { stdin: child.stdin.take(), child: Reaper(child) };
    let run = Run {
        start,
        session,
        channel,
        control,
        splitters: Source::ALL.map(|source| match source {
            Source::Console(_) => LineSplitter::for_console(),
            Source::Qmp => LineSplitter::for_control(),
        }),
        shutdown_reason: None,
        registers: None,
        observe,
        held: Some((normal, secure)),
    };
    run.finish(interrupted)
}

fn spawn(qemu: &Path, arguments: &[OsString]) -> Result<Child> {
    Command::new(qemu)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Ctrl-C shall reach the runner alone, which then ends QEMU and writes its reports.
        .process_group(0)
        .spawn()
        .map_err(|error| {
            Error::new(format!(
                "cannot start QEMU as {}: {error}; give --qemu the path of qemu-system-aarch64",
                qemu.display()
            ))
        })
}

/// Names this process's folder in /proc, by which another process can open files and write
/// ends of pipes of this one. The number that /proc has for this process is asked of /proc,
/// since it may belong to another process namespace.
fn own_process() -> Result<PathBuf> {
    let own = std::fs::read_link("/proc/self")
        .map_err(|error| Error::new(format!("/proc is needed to connect QEMU's consoles: {error}")))?;
    Ok(Path::new("/proc").join(own))
}

/// Ends the child when it goes out of scope, whatever happens.
struct Reaper(Child);

impl Drop for Reaper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Control {
    stdin: Option<ChildStdin>,
    child: Reaper,
}

impl Control {
    /// Sends commands; a QEMU that no longer listens is dealt with elsewhere.
    fn send(&mut self, commands: &[&str]) {
        if let Some(stdin) = &mut self.stdin {
            for command in commands {
                let _ = writeln!(stdin, "{command}");
            }
            let _ = stdin.flush();
        }
    }
}

struct Run<'a> {
    start: Instant,
    session: Session,
    channel: Channel,
    control: Control,
    splitters: [LineSplitter; 4],
    shutdown_reason: Option<String>,
    registers: Option<Vec<CpuState>>,
    observe: &'a mut dyn FnMut(&Event, &Record),
    /// The consoles' write ends. They are kept open until QEMU is gone, since it opens its
    /// own only after it has started.
    held: Option<(PipeWriter, PipeWriter)>,
}

impl Run<'_> {
    fn finish(mut self, interrupted: &AtomicBool) -> Result<Record> {
        loop {
            if let Some((source, bytes)) = self.channel.next(TICK) {
                self.take(source, &bytes);
            }
            if let Some(status) = self.exit_status()? {
                self.drain();
                let exit = describe(status, self.shutdown_reason.take());
                return Ok(self.session.exited(self.start.elapsed(), exit));
            }
            let stop = if interrupted.load(Ordering::Relaxed) {
                Some(Stop::Interrupted)
            } else {
                self.session.overdue(self.start.elapsed())
            };
            if let Some(stop) = stop {
                return Ok(self.stop(stop));
            }
        }
    }

    fn exit_status(&mut self) -> Result<Option<ExitStatus>> {
        let status = self.control.child.0.try_wait();
        status.map_err(|error| Error::new(format!("cannot wait for QEMU: {error}")))
    }

    fn stop(mut self, stop: Stop) -> Record {
        let now = self.start.elapsed();
        let hang = matches!(stop, Stop::Silent(_) | Stop::TooLong(_));
        let cpus = if hang { self.ask_registers() } else { Vec::new() };
        let _ = self.control.child.0.kill();
        let _ = self.control.child.0.wait();
        self.drain();
        self.session.stopped(now, stop, cpus)
    }

    /// Asks where the CPUs are. Consoles are still read meanwhile, so that QEMU never waits
    /// for a full pipe.
    fn ask_registers(&mut self) -> Vec<CpuState> {
        self.control.send(&[qmp::STOP, qmp::REGISTERS]);
        let asked = Instant::now();
        while self.registers.is_none() && asked.elapsed() < QMP_LIMIT {
            if let Some((source, bytes)) = self.channel.next(TICK) {
                self.take(source, &bytes);
            }
        }
        self.registers.take().unwrap_or_default()
    }

    /// Takes what is still in the pipes, then what came without a newline at its end.
    fn drain(&mut self) {
        self.held = None;
        self.control.stdin = None;
        let began = Instant::now();
        while self.channel.is_open() && began.elapsed() < DRAIN_LIMIT {
            if let Some((source, bytes)) = self.channel.next(TICK) {
                self.take(source, &bytes);
            }
        }
        for console in Console::ALL {
            let source = Source::Console(console);
            let rest = self.splitters.get_mut(source.index()).and_then(LineSplitter::finish);
            if let Some(line) = rest {
                self.line(source, &line);
            }
        }
    }

    fn take(&mut self, source: Source, bytes: &[u8]) {
        let mut lines = Vec::new();
        if let Some(splitter) = self.splitters.get_mut(source.index()) {
            splitter.push(bytes, &mut lines);
        }
        if matches!(source, Source::Console(Console::Normal | Console::Secure)) {
            self.session.heard(self.start.elapsed());
        }
        for line in lines {
            self.line(source, &line);
        }
    }

    fn line(&mut self, source: Source, line: &str) {
        match source {
            Source::Console(console) => {
                for event in self.session.line(self.start.elapsed(), console, line) {
                    (self.observe)(&event, self.session.record());
                }
            }
            Source::Qmp => match qmp::parse(line) {
                Some(Message::Greeting(version)) => {
                    self.session.qemu_version(version);
                    self.control.send(&[qmp::CAPABILITIES]);
                }
                Some(Message::Shutdown(reason)) => self.shutdown_reason = Some(reason),
                Some(Message::Registers(cpus)) => self.registers = Some(cpus),
                None => {}
            },
        }
    }
}

fn describe(status: ExitStatus, reason: Option<String>) -> Exit {
    let how = match (status.code(), status.signal()) {
        (Some(code), _) => format!("status {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "an unknown status".into(),
    };
    Exit { how, clean: status.success(), reason }
}
