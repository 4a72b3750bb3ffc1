//! The command line.

mod options;

use crate::bench;
use crate::error::{Error, Result};
use crate::expect;
use crate::image::Image;
use crate::junit::Totals;
use crate::libtest;
use crate::qemu::{Mode, Wiring};
use crate::run::{self, Options};
use crate::style::Style;
use crate::sum;
use crate::table;
use crate::trace;
use lexopt::{Arg, Parser};
use options::RunArguments;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{BufRead, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

const HELP: &str = include_str!("cli/help.txt");

/// The exit status of a run that was judged and found wanting.
const BAD: u8 = 1;
/// The exit status when there was nothing to judge: wrong usage, missing files.
const UNUSABLE: u8 = 2;

/// Does what the arguments ask for.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    // Anywhere on the line: who asks for help may have a wrapper that adds options in front.
    let help = args.iter().skip(1).any(|arg| arg == "--help" || arg == "-h");
    let result = if help { print(HELP) } else { dispatch(Parser::from_iter(args)) };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(BAD),
        Err(error) => {
            eprintln!("runner: {error}");
            ExitCode::from(UNUSABLE)
        }
    }
}

/// Runs a command; the result says whether what it judged was good.
fn dispatch(mut args: Parser) -> Result<bool> {
    let command = match args.next()? {
        Some(Arg::Value(word)) => word.to_string_lossy().into_owned(),
        Some(Arg::Short('V') | Arg::Long("version")) => {
            return print(concat!("runner ", env!("CARGO_PKG_VERSION"), "\n"));
        }
        Some(other) => return Err(other.unexpected().into()),
        None => return Err(Error::new("which command? `runner help` lists them")),
    };
    match command.as_str() {
        "help" => print(HELP),
        "run" => {
            let mut parsed = RunArguments::new("e2e");
            parsed.repeat = Some(1);
            parsed.read(&mut args)?;
            let times = parsed.repeat.unwrap_or(1);
            run_times(times, &parsed.finish()?)
        }
        "expect-failure" => expect_failure(&mut args),
        "trace" => show_trace(&mut args),
        "console" => console(&mut args),
        "show" => show(&mut args),
        "sum" => sum_files(&mut args),
        "libtest" => read_libtest(&mut args),
        "bench" => judge_figures(&mut args),
        other => Err(Error::new(format!("there is no command {other}; `runner help` lists them"))),
    }
}

fn print(text: &str) -> Result<bool> {
    std::io::stdout()
        .write_all(text.as_bytes())
        .map_err(|error| Error::new(format!("cannot write: {error}")))?;
    Ok(true)
}

/// Runs again and again, and ends with the first run that fails, whose report is left.
fn run_times(times: u64, options: &Options) -> Result<bool> {
    for number in 1..=times {
        if times > 1 {
            print(&format!("run {number} of {times}\n"))?;
        }
        if !run::run(options)?.passed {
            return Ok(false);
        }
    }
    Ok(true)
}

fn expect_failure(args: &mut Parser) -> Result<bool> {
    let mut pattern = None;
    while pattern.is_none() {
        match args.next()? {
            Some(Arg::Long("verdict")) => pattern = Some(text(args)?),
            Some(Arg::Long("verdict-file")) => {
                pattern = Some(expect::read_pattern(&PathBuf::from(args.value()?))?);
            }
            Some(other) => return Err(other.unexpected().into()),
            None => {
                return Err(Error::new(
                    "expect-failure needs --verdict or --verdict-file, then `run` and its options",
                ));
            }
        }
    }
    match args.next()? {
        Some(Arg::Value(word)) if word == "run" => {}
        _ => return Err(Error::new("after the verdict comes `run` with its options")),
    }
    let mut parsed = RunArguments::new("breakage");
    parsed.read(args)?;
    let suite = expect::expect_failure(&pattern.unwrap_or_default(), parsed.finish()?)?;
    print(&format!("\n{}", table::render(&suite, Style::of_stdout())))?;
    Ok(suite.passed)
}

fn console(args: &mut Parser) -> Result<bool> {
    let mut parsed = RunArguments::new("console");
    parsed.mode = Mode::Console;
    parsed.read(args)?;
    let options = parsed.finish()?;
    if options.machine.trace {
        return Err(Error::new("--trace: a console is not traced; `runner trace run` is"));
    }
    let image = Image::open(&options.image, options.machine.normal_world)?;
    let out = options.out.unwrap_or_else(std::env::temp_dir);
    run::prepare(&out)?;
    let secure = out.join(format!("tantalum-secure-{}.log", std::process::id()));
    let wiring = Wiring::Terminal { secure: &secure };
    println!("Ctrl-A X ends QEMU. The secure console goes to {}", secure.display());
    // QEMU takes this process's place, so that the terminal is its own.
    let error = Command::new(&options.qemu).args(options.machine.arguments(&image, &wiring)).exec();
    Err(Error::new(format!("cannot start QEMU as {}: {error}", options.qemu.display())))
}

/// Prints the trace of a report, or of a run that is made for it.
fn show_trace(args: &mut Parser) -> Result<bool> {
    let usage = || Error::new("trace needs a report with a trace, or `run` and its options");
    let what = match args.next()? {
        Some(Arg::Value(word)) => PathBuf::from(word),
        Some(other) => return Err(other.unexpected().into()),
        None => return Err(usage()),
    };
    if what.as_os_str() == "run" {
        let mut parsed = RunArguments::traced();
        parsed.read(args)?;
        let last = parsed.last;
        let (suite, trace) = run::traced(&parsed.finish()?)?;
        let Some((trace, partitions)) = trace else { return Ok(false) };
        print(&format!("\n{}", trace::render(&trace, &partitions, last)))?;
        return Ok(suite.passed);
    }
    let mut last = None;
    while let Some(arg) = args.next()? {
        match arg {
            Arg::Long("last") => last = Some(options::last(args)?),
            other => return Err(other.unexpected().into()),
        }
    }
    let (trace, partitions) = trace::read(&what)?;
    print(&trace::render(&trace, &partitions, last))
}

fn show(args: &mut Parser) -> Result<bool> {
    let mut good = true;
    for path in values(args, "show needs a report folder or a JUnit file")? {
        let (tables, all_good) = sum::show(&path, Style::of_stdout())?;
        print(&tables)?;
        good &= all_good;
    }
    Ok(good)
}

fn sum_files(args: &mut Parser) -> Result<bool> {
    let (totals, problems) = sum::sum(&values(args, "sum needs JUnit files")?);
    for problem in problems {
        eprintln!("runner: {problem}");
    }
    print(&format!("{totals}\n"))?;
    Ok(totals.good())
}

fn read_libtest(args: &mut Parser) -> Result<bool> {
    let mut name = String::from("unit");
    let mut out = None;
    while let Some(arg) = args.next()? {
        match arg {
            Arg::Long("name") => name = text(args)?,
            Arg::Long("out") => out = Some(PathBuf::from(args.value()?)),
            other => return Err(other.unexpected().into()),
        }
    }
    let Some(out) = out else {
        return Err(Error::new("libtest needs --out FILE for the JUnit file"));
    };
    let suite = libtest::parse(&name, &tee_stdin()?);
    std::fs::write(&out, suite.to_xml())
        .map_err(|error| Error::new(format!("cannot write {}: {error}", out.display())))?;
    print(&format!("{name}: {}\n", Totals::of(&suite.cases)))?;
    for case in suite.cases.iter().filter(|case| case.outcome.is_bad()) {
        print(&format!("  {}: {}\n", case.name, case.outcome.message().unwrap_or_default()))?;
    }
    Ok(suite.passed)
}

/// Holds the figures of a report against their budgets, and adds bench.json, bench.txt, bench.svg and bench.xml to it.
fn judge_figures(args: &mut Parser) -> Result<bool> {
    let (mut budgets, mut report, mut files) = (None, None, Vec::new());
    while let Some(arg) = args.next()? {
        match arg {
            Arg::Long("budgets") => budgets = Some(PathBuf::from(args.value()?)),
            Arg::Long("figures") => files.push(PathBuf::from(args.value()?)),
            Arg::Value(path) if report.is_none() => report = Some(PathBuf::from(path)),
            other => return Err(other.unexpected().into()),
        }
    }
    let (Some(budgets), Some(report)) = (budgets, report) else {
        return Err(Error::new("bench needs --budgets FILE and a report folder"));
    };
    files.push(report.join("console.log"));
    let mut figures = BTreeMap::new();
    for file in &files {
        figures.extend(bench::read_figures(&read_text(file)?));
    }
    let (rows, unknown) = bench::rows(bench::read_budgets(&read_text(&budgets)?)?, &figures);
    let table = bench::table(&rows);
    let suite = bench::suite(&rows, &unknown);
    for (name, contents) in [
        ("bench.json", bench::json(&rows)),
        ("bench.txt", table.clone()),
        ("bench.svg", bench::chart(&rows)),
        ("bench.xml", suite.to_xml()),
    ] {
        let path = report.join(name);
        std::fs::write(&path, contents)
            .map_err(|error| Error::new(format!("cannot write {}: {error}", path.display())))?;
    }
    print(&format!("\n{table}\n"))?;
    for name in unknown {
        print(&format!("{name} has no budget\n"))?;
    }
    print(&format!("{}\n", Totals::of(&suite.cases)))?;
    Ok(suite.passed)
}

fn read_text(path: &Path) -> Result<String> {
    std::fs::read_to_string(path)
        .map_err(|error| Error::new(format!("cannot read {}: {error}", path.display())))
}

/// Reads standard input and shows it as it comes, so that a long test run is not silent.
fn tee_stdin() -> Result<String> {
    let mut text = String::new();
    let mut input = std::io::stdin().lock();
    let mut line = Vec::new();
    loop {
        line.clear();
        let count = input
            .read_until(b'\n', &mut line)
            .map_err(|error| Error::new(format!("cannot read standard input: {error}")))?;
        if count == 0 {
            return Ok(text);
        }
        let part = String::from_utf8_lossy(&line);
        print(&part)?;
        text.push_str(&part);
    }
}

fn values(args: &mut Parser, usage: &str) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    while let Some(arg) = args.next()? {
        match arg {
            Arg::Value(path) => paths.push(PathBuf::from(path)),
            other => return Err(other.unexpected().into()),
        }
    }
    if paths.is_empty() {
        return Err(Error::new(usage));
    }
    Ok(paths)
}

/// The value of an option, as text.
fn text(args: &mut Parser) -> Result<String> {
    let value = args.value()?;
    value.into_string().map_err(|value| Error::new(format!("{} is not valid text", value.to_string_lossy())))
}
