//! Runs: from a seed, from a script; shrinking one that fails.

use std::cell::Cell;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use crate::config::{CPUS, SPS};
use crate::model::Expect;
use crate::step::{Act, Random, Step, Tally};
use crate::world::World;

/// Counts the steps after which a run begins anew, with other partitions: those that were stopped are missed.
const EPISODE: u64 = 500;

/// Bounds how often shrinking tries, unless [`TRIES`] says how often.
const MAX_TRIES: usize = 4000;

/// Names the variable of the environment that does: whoever only wants to know whether a run fails need not wait.
const TRIES: &str = "TANTALUM_MODEL_TRIES";

/// Is a run that has failed.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Names the machine, and what was drawn.
    pub seed: u64,
    /// What was done, shrunk.
    pub steps: Vec<Step>,
    /// What went wrong in the last step.
    pub message: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}", self.message, script_text(self.seed, &self.steps))
    }
}

/// Returns the text of a script, which [`replay`] reads again.
pub fn script_text(seed: u64, steps: &[Step]) -> String {
    let mut text = format!("seed {seed}\n");
    for step in steps {
        text.push_str(&format!("{step}\n"));
    }
    text
}

/// Makes `steps` steps that the seed `seed` names, and returns what came of them.
///
/// # Errors
/// Returns the first run of up to 500 steps in which the SPMC does something else than the model says, shrunk.
pub fn run(seed: u64, steps: u64) -> Result<Tally, Failure> {
    let mut tally = Tally::default();
    let mut episodes = Random(seed);
    let mut done = 0;
    while done < steps {
        let seed = episodes.next();
        let count = EPISODE.min(steps - done);
        let drawn = draw(seed, count);
        done += drawn.steps.len() as u64;
        tally.add(&drawn.tally);
        if let Some(message) = drawn.message {
            return Err(shrink(seed, drawn.steps, message));
        }
    }
    Ok(tally)
}

/// Is what was drawn and what came of it.
struct Drawn {
    steps: Vec<Step>,
    message: Option<String>,
    tally: Tally,
}

/// Draws and makes steps, and returns them with what went wrong.
fn draw(seed: u64, count: u64) -> Drawn {
    let mut steps = Vec::new();
    let mut tally = Tally::default();
    let message = caught(|| {
        let mut world = World::new(seed);
        let mut random = Random(seed ^ 0x7461_6e74_616c_756d);
        for step in beginning(&mut random) {
            steps.push(step);
            world.step(&step);
        }
        while (steps.len() as u64) < count {
            let cpu = random.below(CPUS as u64) as usize;
            let step = pick(&world, &mut random, cpu);
            steps.push(step);
            world.step(&step);
        }
        tally = world.tally;
    });
    Drawn { steps, message: message.err(), tally }
}

/// Draws a step on `cpu`: mostly one that is not refused.
fn pick(world: &World, random: &mut Random, cpu: usize) -> Step {
    let normal = world.model.runs_on(cpu).is_none();
    let mut step = Step::draw(random, cpu, normal);
    for _ in 0..random.below(6) {
        let plan = world.model.clone().plan(&step);
        if plan.is_some_and(|plan| !matches!(plan.expect, Expect::Refused(_))) {
            break;
        }
        step = Step::draw(random, cpu, normal);
    }
    step
}

/// Begins a run: everybody settles on a version and has buffers, mostly.
fn beginning(random: &mut Random) -> Vec<Step> {
    let step = |act, args| Step { cpu: 0, act, args };
    let version = [0, 0, 1, 1, 2, 3][random.below(6) as usize];
    let mut steps = vec![step(Act::Version, [version, 0, 0, 0, 0, 0]), step(Act::Map, [0, 0, 2, 0, 0, 0])];
    for sp in 0..SPS as u16 {
        steps.push(step(Act::Request, [sp, 8, 0, 0, 0, 0]));
        steps.push(step(Act::Map, [0, 0, 2, 0, 0, 0]));
        steps.push(step(Act::Respond, [1, 1, 0, 0, 0, 0]));
    }
    steps
}

/// Makes the steps of a script.
///
/// # Errors
/// Says what is wrong with the text, or what the SPMC does otherwise than the model says.
pub fn replay(text: &str) -> Result<(), String> {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let seed = lines.next().and_then(|line| line.strip_prefix("seed ")).and_then(|seed| seed.parse().ok());
    let seed = seed.ok_or("a script begins with \"seed NUMBER\"")?;
    let steps = lines.map(str::parse).collect::<Result<Vec<Step>, String>>()?;
    match attempt(seed, &steps) {
        None => Ok(()),
        Some((count, message)) => Err(format!("step {count}, {}: {message}", steps[count - 1])),
    }
}

/// Makes steps. Returns how many were made, and what went wrong in the last one, if it did.
fn attempt(seed: u64, steps: &[Step]) -> Option<(usize, String)> {
    let mut count = 0;
    caught(|| {
        let mut world = World::new(seed);
        for step in steps {
            count += 1;
            world.step(step);
        }
    })
    .err()
    .map(|message| (count, message))
}

/// Leaves out what the failure does not need.
fn shrink(seed: u64, steps: Vec<Step>, message: String) -> Failure {
    let mut best = Failure { seed, steps, message };
    let most = std::env::var(TRIES).ok().and_then(|tries| tries.parse().ok()).unwrap_or(MAX_TRIES);
    let mut tries = 0;
    let mut size = best.steps.len() / 2;
    while size > 0 && tries < most {
        let mut at = 0;
        let mut smaller = false;
        while at < best.steps.len() && tries < most {
            let mut steps = best.steps.clone();
            steps.drain(at..(at + size).min(steps.len()));
            tries += 1;
            match attempt(seed, &steps) {
                Some((count, message)) => {
                    steps.truncate(count);
                    best = Failure { seed, steps, message };
                    smaller = true;
                }
                None => at += size,
            }
        }
        if !smaller {
            size /= 2;
        }
    }
    best
}

thread_local! {
    static IS_CAUGHT: Cell<bool> = const { Cell::new(false) };
}

/// Runs `body` and returns the message with which it panics, which is not printed.
pub(crate) fn caught(body: impl FnOnce()) -> Result<(), String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !IS_CAUGHT.get() {
                usual(info);
            }
        }));
    });
    IS_CAUGHT.set(true);
    let result = catch_unwind(AssertUnwindSafe(body));
    IS_CAUGHT.set(false);
    result.map_err(|payload| match payload.downcast::<String>() {
        Ok(message) => *message,
        Err(payload) => payload.downcast_ref::<&str>().map_or("a panic", |text| *text).into(),
    })
}
