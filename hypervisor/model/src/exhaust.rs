//! Every run there is, of a few kinds of steps: breadth first, each state of the model once.
//!
//! A state is reached by its shortest run, which is made anew on a fresh machine for each step that is tried from it:
//! the SPMC itself takes every transition, and is compared with the model after each, as in the random runs. Two
//! states that are the same to the model count as one.

use std::collections::{HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::config::{CPUS, SPS};
use crate::model::Model;
use crate::run::{Failure, caught};
use crate::step::{Act, Step};
use crate::world::World;

/// Says what was gone through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Explored {
    /// How many states.
    pub states: usize,
    /// How many steps between them.
    pub transitions: usize,
    /// How many steps the farthest state is away from the boot.
    pub depth: usize,
    /// Whether these are all there are.
    pub complete: bool,
}

/// Goes through call chains of three partitions on two processing elements: requests, answers, waiting, yielding,
/// running, interrupts of the normal world, notifications that interrupt, and a partition that is stopped. Stops
/// after so many states, or behind so many steps.
///
/// # Errors
/// Returns a run in which the SPMC does something else than the model says.
pub fn chains(seed: u64, states: usize, depth: usize) -> Result<Explored, Failure> {
    let step = |cpu: usize, act, args| vec![Step { cpu: cpu as u8, act, args }];
    let mut alphabet = Vec::new();
    for cpu in 0..CPUS {
        for sp in 0..SPS as u16 {
            alphabet.push(step(cpu, Act::Request, [sp, 8, 0, 0, 0, 0]));
            // A multiple of four, so that it is this one and not one that makes sense.
            alphabet.push(step(cpu, Act::Run, [[12, 4, 8][usize::from(sp)], 1, 0, 0, 0, 0]));
        }
        for (act, args) in [
            (Act::Respond, [1, 1, 0, 0, 0, 0]),
            (Act::Wait, [1, 0, 0, 0, 0, 0]),
            (Act::Yield, [0, 0, 0, 0, 0, 0]),
            (Act::Interrupted, [0; 6]),
            (Act::Trap, [0; 6]),
            (Act::Set, [0, 0, 1, 1, 0, 0]),
            (Act::Take, [0; 6]),
        ] {
            alphabet.push(step(cpu, act, args));
        }
    }
    let mut beginning = step(0, Act::Version, [0; 6]);
    beginning.extend(step(0, Act::Request, [1, 8, 0, 0, 0, 0]));
    beginning.extend(step(0, Act::Bind, [1, 9, 0, 1, 0, 0]));
    beginning.extend(step(0, Act::Respond, [1, 1, 0, 0, 0, 0]));
    explore(seed, &beginning, &alphabet, Model::chain_state, states, depth)
}

/// Goes through what can become of one page that partition 0 offers to both others, by each of the three kinds of
/// transaction and with every end: retrieved, relinquished, reclaimed, and each of them stopped.
///
/// # Errors
/// As [`chains`].
pub fn one_share(seed: u64, kind: u16, states: usize, depth: usize) -> Result<Explored, Failure> {
    let step = |act, args| Step { cpu: 0, act, args };
    // Each partition gets a turn, does one thing, and answers.
    let by = |sp: u16, act, args| {
        vec![step(Act::Request, [sp, 8, 0, 0, 0, 0]), step(act, args), step(Act::Respond, [1, 1, 0, 0, 0, 0])]
    };
    // To both, or to the second alone: a donation has one receiver.
    let to = if kind == 2 { 1 } else { 6 };
    let mut alphabet = vec![by(0, Act::Offer, [3 + kind, 0, 1, to, 50, 1])];
    for sp in 0..SPS as u16 {
        for wish in [0, 9, 21] {
            alphabet.push(by(sp, Act::Retrieve, [1, 8, wish, 7, 0, 0]));
        }
        // With and without zeros afterwards.
        alphabet.push(by(sp, Act::Retrieve, [1, 8, 5, 1, 0, 0]));
        alphabet.push(by(sp, Act::Relinquish, [1, 1, 8, 0, 0, 0]));
        alphabet.push(by(sp, Act::Relinquish, [1, 0, 8, 0, 0, 0]));
        alphabet.push(by(sp, Act::Reclaim, [1, 1, 0, 0, 0, 0]));
        alphabet.push(by(sp, Act::Reclaim, [1, 0, 0, 0, 0, 0]));
        alphabet.push(by(sp, Act::Release, [1, 0, 0, 0, 0, 0]));
        alphabet.push(vec![step(Act::Request, [sp, 8, 0, 0, 0, 0]), step(Act::Trap, [0; 6])]);
    }
    let mut beginning = vec![step(Act::Version, [0; 6])];
    for sp in 0..SPS as u16 {
        beginning.extend(by(sp, Act::Map, [0, 0, 2, 0, 0, 0]));
    }
    explore(seed, &beginning, &alphabet, Model::memory_state, states, depth)
}

fn explore(
    seed: u64,
    beginning: &[Step],
    alphabet: &[Vec<Step>],
    state: fn(&Model) -> String,
    most: usize,
    depth: usize,
) -> Result<Explored, Failure> {
    let hash = |model: &Model| {
        let mut hasher = DefaultHasher::new();
        state(model).hash(&mut hasher);
        hasher.finish()
    };
    let mut explored = Explored { complete: true, ..Explored::default() };
    let mut known = HashSet::new();
    let mut queue: VecDeque<Vec<usize>> = VecDeque::from([Vec::new()]);
    known.insert(reach(seed, beginning, alphabet, &[]).map(|model| hash(&model))?);
    while let Some(way) = queue.pop_front() {
        explored.states += 1;
        explored.depth = explored.depth.max(way.len());
        for letter in 0..alphabet.len() {
            let mut way = way.clone();
            way.push(letter);
            let model = reach(seed, beginning, alphabet, &way)?;
            explored.transitions += 1;
            if known.insert(hash(&model)) {
                if known.len() <= most && way.len() <= depth {
                    queue.push_back(way);
                } else {
                    explored.complete = false;
                }
            }
        }
    }
    Ok(explored)
}

/// Makes the steps of a way on a fresh machine.
fn reach(seed: u64, beginning: &[Step], alphabet: &[Vec<Step>], way: &[usize]) -> Result<Model, Failure> {
    let steps: Vec<Step> =
        beginning.iter().chain(way.iter().flat_map(|letter| &alphabet[*letter])).copied().collect();
    let mut model = None;
    caught(|| {
        let mut world = World::new(seed);
        steps.iter().for_each(|step| world.step(step));
        model = Some(world.model.clone());
    })
    .map_err(|message| Failure { seed, steps: steps.clone(), message })?;
    Ok(model.unwrap())
}
