//! Runs a target for as long as it is told.
//!
//!     tantalum-fuzz list
//!     tantalum-fuzz TARGET SECONDS [SEED] [--corpus FOLDER] [--keep FOLDER]
//!     tantalum-fuzz replay TARGET FILE...     prints what the SPMC does, step by step
//!     tantalum-fuzz merge TARGET FROM TO
//!
//! Inputs are read from the target's folder of the corpus, or FOLDER; what reaches something new is written to the
//! folder of `--keep`, and an input that fails to `TARGET.failed` in the working directory.
#![allow(clippy::arithmetic_side_effects)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use tantalum_fuzz::{Fuzzer, TARGETS, Target, corpus_of};

/// Bounds the inputs of a target that are merged.
const MERGED: usize = 32;

fn main() -> ExitCode {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut option = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        let value = arguments.drain(at..(at + 2).min(arguments.len())).nth(1);
        value.map(PathBuf::from)
    };
    let (corpus, keep) = (option("--corpus"), option("--keep"));
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let find = |name: &str| TARGETS.iter().find(|target| target.name == name);
    match words.as_slice() {
        ["list"] => {
            TARGETS.iter().for_each(|target| println!("{:20} {}", target.name, target.about));
            ExitCode::SUCCESS
        }
        ["replay", name, files @ ..] => match find(name) {
            Some(target) => {
                tantalum_fuzz::trace_steps();
                for file in files {
                    match std::fs::read(file) {
                        Ok(bytes) => (target.run)(&bytes),
                        Err(error) => return fail(&format!("{file}: {error}")),
                    }
                }
                println!("{} inputs are fine", files.len());
                ExitCode::SUCCESS
            }
            None => usage(),
        },
        ["merge", name, from, to] => match find(name) {
            Some(target) => merge(target, Path::new(from), Path::new(to)),
            None => usage(),
        },
        [name, seconds, rest @ ..] if rest.len() <= 1 => {
            let seed = rest.first().map_or(Some(1), |seed| seed.parse().ok());
            match (find(name), seconds.parse(), seed) {
                (Some(target), Ok(seconds), Some(seed)) => {
                    let corpus = corpus.unwrap_or_else(|| corpus_of(target));
                    fuzz(target, Duration::from_secs(seconds), seed, &corpus, keep.as_deref())
                }
                _ => usage(),
            }
        }
        _ => usage(),
    }
}

fn usage() -> ExitCode {
    fail(
        "usage: tantalum-fuzz list | TARGET SECONDS [SEED] [--corpus FOLDER] [--keep FOLDER] | replay TARGET FILE...",
    )
}

fn fail(why: &str) -> ExitCode {
    eprintln!("{why}");
    ExitCode::FAILURE
}

/// Reads every file of a folder, in the order of their names; none if there is no such folder.
fn inputs(folder: &Path) -> Vec<Vec<u8>> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths.iter().filter_map(|path| std::fs::read(path).ok()).collect()
}

fn fuzz(target: &'static Target, time: Duration, seed: u64, corpus: &Path, keep: Option<&Path>) -> ExitCode {
    let begin = Instant::now();
    let mut fuzzer = Fuzzer::new(target, inputs(corpus), seed);
    if !Fuzzer::sees_coverage() {
        eprintln!("this program has no coverage counters: inputs are changed blindly");
    }
    let (mut runs, mut said) = (0_u64, Duration::ZERO);
    loop {
        match catch_unwind(AssertUnwindSafe(|| fuzzer.step())) {
            Ok(Some(input)) => {
                if let Some(folder) = keep {
                    let name = format!("{:016x}", hash(&input));
                    let written = std::fs::create_dir_all(folder)
                        .and_then(|()| std::fs::write(folder.join(name), &input));
                    if let Err(error) = written {
                        return fail(&format!("{}: {error}", folder.display()));
                    }
                }
            }
            Ok(None) => {}
            Err(_) => {
                let name = format!("{}.failed", target.name);
                let written = std::fs::write(&name, fuzzer.last());
                return fail(&match written {
                    Ok(()) => format!("{} failed after {runs} runs: {name}", target.name),
                    Err(error) => format!("{} failed after {runs} runs; {name}: {error}", target.name),
                });
            }
        }
        runs += 1;
        let elapsed = begin.elapsed();
        if elapsed >= said + Duration::from_secs(10) || elapsed >= time {
            said = elapsed;
            eprintln!("{}: {runs} runs, {} s, {} inputs", target.name, elapsed.as_secs(), fuzzer.kept());
            if elapsed >= time {
                println!("{}: {runs} runs without a failure, seed {seed}", target.name);
                return ExitCode::SUCCESS;
            }
        }
    }
}

/// Copies the inputs of a folder that are worth keeping, the shortest first, to another one.
fn merge(target: &'static Target, from: &Path, to: &Path) -> ExitCode {
    let mut found = inputs(from);
    found.sort_by_key(Vec::len);
    let mut fuzzer = Fuzzer::new(target, Vec::new(), 0);
    let mut count = 0;
    for input in found {
        if fuzzer.is_worth_keeping(&input) && count < MERGED {
            count += 1;
            let written = std::fs::create_dir_all(to)
                .and_then(|()| std::fs::write(to.join(format!("{:016x}", hash(&input))), &input));
            if let Err(error) = written {
                return fail(&format!("{}: {error}", to.display()));
            }
        }
    }
    println!("{}: {count} inputs are kept", target.name);
    ExitCode::SUCCESS
}

/// Names an input by its bytes (FNV-1a).
fn hash(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}
