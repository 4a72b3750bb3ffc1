//! Long runs of the SPMC against its reference model.
//!
//!     tantalum-model STEPS [SEED]     random steps; prints a script that fails, shrunk
//!     tantalum-model replay FILE      a script
//!     tantalum-model exhaust STATES   every run of call chains, and of one share, up to so many states each

#![forbid(unsafe_code)]
#![allow(clippy::arithmetic_side_effects)]

use std::process::ExitCode;
use std::time::Instant;

/// Counts the steps between two signs of life.
const REPORT: u64 = 250_000;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["replay", file] => match std::fs::read_to_string(file).map_err(|error| error.to_string()) {
            Ok(text) => match tantalum_model::replay(&text) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => fail(&error),
            },
            Err(error) => fail(&format!("{file}: {error}")),
        },
        ["exhaust", states] => match states.parse() {
            Ok(states) => exhaust(states),
            Err(_) => usage(),
        },
        [steps, rest @ ..] if rest.len() <= 1 => {
            let seed = rest.first().map_or(Some(1), |seed| seed.parse().ok());
            match (steps.parse(), seed) {
                (Ok(steps), Some(seed)) => random(steps, seed),
                _ => usage(),
            }
        }
        _ => usage(),
    }
}

fn usage() -> ExitCode {
    fail("usage: tantalum-model STEPS [SEED] | replay FILE | exhaust STATES")
}

fn fail(why: &str) -> ExitCode {
    eprintln!("{why}");
    ExitCode::FAILURE
}

/// Goes through everything with each kind of machine: who gives way and who does not.
fn exhaust(states: usize) -> ExitCode {
    let say = |what: &str, result: Result<tantalum_model::Explored, tantalum_model::Failure>| match result {
        Ok(tantalum_model::Explored { states, transitions, depth, complete }) => {
            let all = if complete { "all" } else { "the first" };
            println!("{what}: {all} {states} states, {transitions} steps, at most {depth} deep");
            true
        }
        Err(failure) => {
            println!("{what}: a difference:\n{failure}");
            false
        }
    };
    let mut good = true;
    for (seed, machine) in [(0, "all give way"), (4, "the third does not give way")] {
        good &= say(&format!("call chains, {machine}"), tantalum_model::chains(seed, states, usize::MAX));
    }
    for (kind, name) in [(0, "shared"), (1, "lent"), (2, "donated")] {
        let result = tantalum_model::one_share(0, kind, states, usize::MAX);
        good &= say(&format!("one page {name}"), result);
    }
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn random(steps: u64, seed: u64) -> ExitCode {
    let begin = Instant::now();
    let mut done = 0;
    let mut part = 0;
    let mut tally = tantalum_model::Tally::default();
    while done < steps {
        let seed = seed.wrapping_add(part);
        let count = REPORT.min(steps - done);
        match tantalum_model::run(seed, count) {
            Ok(counted) => {
                done += count;
                tally.add(&counted);
            }
            Err(failure) => {
                println!("a difference, after {done} steps and some, seed {seed}:\n{failure}");
                return ExitCode::FAILURE;
            }
        }
        part += 1;
        eprintln!("{done} steps without a difference, {} s", begin.elapsed().as_secs());
    }
    print!("{tally}");
    println!("{done} steps from seed {seed} without a difference");
    ExitCode::SUCCESS
}
