//! The options of `run`, shared by the commands that boot an image.

use super::text;
use crate::error::{Error, Result};
use crate::qemu::{Accel, Machine, Mode, NormalWorld};
use crate::run::Options;
use crate::session::Limits;
use crate::stamp::Clock;
use crate::trace;
use lexopt::{Arg, Parser};
use std::path::PathBuf;
use std::time::Duration;

/// Options as they are read; [`RunArguments::finish`] makes them whole.
pub struct RunArguments {
    /// What init shall do.
    pub mode: Mode,
    /// How many runs there shall be; `None` where it is one always.
    pub repeat: Option<u64>,
    /// How many messages of the trace to print, where it is printed.
    pub last: Option<usize>,
    name: String,
    image: Option<PathBuf>,
    qemu: PathBuf,
    out: Option<PathBuf>,
    expect: Option<PathBuf>,
    accel: Accel,
    clock: Option<Clock>,
    cpus: u32,
    memory: String,
    normal_world: NormalWorld,
    disk: Option<PathBuf>,
    append: Vec<String>,
    only: Vec<String>,
    trace: bool,
    /// The trace is printed at the end.
    prints: bool,
    limits: Limits,
}

impl RunArguments {
    /// The defaults.
    pub fn new(name: &str) -> Self {
        Self {
            mode: Mode::Test,
            repeat: None,
            name: name.to_owned(),
            image: None,
            qemu: "qemu-system-aarch64".into(),
            out: None,
            expect: None,
            accel: Accel::Single,
            clock: None,
            cpus: 4,
            memory: "2G".into(),
            normal_world: NormalWorld::Pkvm,
            disk: None,
            append: Vec::new(),
            only: Vec::new(),
            trace: false,
            prints: false,
            last: None,
            limits: Limits { quiet: Duration::from_mins(1), total: Duration::from_mins(15) },
        }
    }

    /// The defaults of a run whose trace is printed.
    pub fn traced() -> Self {
        Self { trace: true, prints: true, ..Self::new("trace") }
    }

    /// Reads all options that are left.
    pub fn read(&mut self, args: &mut Parser) -> Result<()> {
        while let Some(arg) = args.next()? {
            let Arg::Long(option) = arg else { return Err(arg.unexpected().into()) };
            match option {
                "image" => self.image = Some(args.value()?.into()),
                "qemu" => self.qemu = args.value()?.into(),
                "out" => self.out = Some(args.value()?.into()),
                "expect" => self.expect = Some(args.value()?.into()),
                "name" => self.name = text(args)?,
                "memory" => self.memory = text(args)?,
                "append" => self.append.push(text(args)?),
                "only" => self.only.extend(text(args)?.split(',').map(str::to_owned)),
                "trace" => self.trace = true,
                "last" if self.prints => self.last = Some(last(args)?),
                "without-pkvm" => self.normal_world = NormalWorld::Linux,
                "bare-metal" => self.normal_world = NormalWorld::BareMetal,
                "vmm" => self.normal_world = NormalWorld::Vmm,
                "fullstack" => self.normal_world = NormalWorld::FullStack,
                "guest" => self.normal_world = NormalWorld::Guest,
                "guest-suite" => self.normal_world = NormalWorld::GuestSuite,
                "disk" => self.disk = Some(args.value()?.into()),
                "cpus" => self.cpus = u32::try_from(positive(args, "--cpus", 512)?).unwrap_or(512),
                "quiet-limit" => self.limits.quiet = seconds(args, "--quiet-limit")?,
                "repeat" if self.repeat.is_some() => {
                    self.repeat = Some(positive(args, "--repeat", 1_000_000)?);
                }
                "limit" => self.limits.total = seconds(args, "--limit")?,
                "accel" => {
                    let word = text(args)?;
                    self.accel = Accel::parse(&word).ok_or_else(|| {
                        Error::new(format!("--accel {word}: it is single, multi or icount"))
                    })?;
                }
                "times" => {
                    self.clock = Some(match text(args)?.as_str() {
                        "host" => Clock::Host,
                        "virtual" => Clock::Virtual,
                        word => {
                            return Err(Error::new(format!("--times {word}: it is host or virtual")));
                        }
                    });
                }
                _ => return Err(arg.unexpected().into()),
            }
        }
        Ok(())
    }

    /// Fills in what follows from the rest.
    pub fn finish(mut self) -> Result<Options> {
        if self.trace && self.memory != trace::SIZE {
            return Err(Error::new(format!(
                "--trace: the SPMC records at the end of {}; --memory must be that",
                trace::SIZE
            )));
        }
        if !self.only.is_empty() {
            if self.normal_world.has_suite() {
                return Err(Error::new("--only: the bare-metal suite runs all its cases"));
            }
            if self.normal_world.has_jobs() {
                return Err(Error::new("--only: a VM runs the jobs that its command line names"));
            }
            self.append.push(format!("tantalum.scenarios={}", self.only.join(",")));
        }
        let clock = self.clock.unwrap_or(match self.accel {
            Accel::Icount => Clock::Virtual,
            Accel::Single | Accel::Multi => Clock::Host,
        });
        Ok(Options {
            name: self.name,
            image: self
                .image
                .ok_or_else(|| Error::new("--image is missing: the folder of a composed image"))?,
            qemu: self.qemu,
            out: self.out,
            expect: self.expect,
            machine: Machine {
                accel: self.accel,
                cpus: self.cpus,
                memory: self.memory,
                normal_world: self.normal_world,
                mode: self.mode,
                disk: self.disk,
                trace: self.trace,
                append: self.append,
            },
            only: self.only,
            clock,
            limits: self.limits,
        })
    }
}

/// Reads the number of messages to print.
pub fn last(args: &mut Parser) -> Result<usize> {
    Ok(usize::try_from(positive(args, "--last", 1_000_000)?).unwrap_or(usize::MAX))
}

fn seconds(args: &mut Parser, option: &str) -> Result<Duration> {
    Ok(Duration::from_secs(positive(args, option, 1_000_000)?))
}

fn positive(args: &mut Parser, option: &str, most: u64) -> Result<u64> {
    let word = text(args)?;
    match word.parse() {
        Ok(number) if (1..=most).contains(&number) => Ok(number),
        _ => Err(Error::new(format!("{option} {word}: it is a number from 1 to {most}"))),
    }
}
