//! The loop: an input that was worth keeping, a change of it, the target, and whether that was worth keeping too.

use std::path::PathBuf;

use crate::coverage;
use crate::mutate::{Random, mutate};
use crate::targets::Target;

/// Returns the folder of a target's inputs.
pub fn corpus_of(target: &Target) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name)
}

/// Runs a target.
pub struct Fuzzer {
    target: &'static Target,
    random: Random,
    inputs: Vec<Vec<u8>>,
    seen: Vec<[u8; 8]>,
    /// The input that runs, for whoever finds the program stopped.
    last: Vec<u8>,
}

impl Fuzzer {
    /// Begins with the target's seeds and `inputs`, and runs each of them.
    pub fn new(target: &'static Target, inputs: Vec<Vec<u8>>, seed: u64) -> Self {
        let mut fuzzer =
            Self { target, random: Random(seed), inputs: Vec::new(), seen: Vec::new(), last: Vec::new() };
        for input in (target.seeds)().into_iter().chain(inputs) {
            fuzzer.try_out(input.clone());
            if !fuzzer.inputs.contains(&input) {
                fuzzer.inputs.push(input);
            }
        }
        fuzzer
    }

    /// Makes up an input and runs it. Returns it if it has reached something new.
    pub fn step(&mut self) -> Option<Vec<u8>> {
        let mut input = self.inputs[self.random.below(self.inputs.len())].clone();
        let other = self.random.below(self.inputs.len());
        mutate(&mut self.random, &mut input, &self.inputs[other], self.target.limit);
        let new = self.try_out(input.clone());
        if new {
            self.inputs.push(input.clone());
        }
        new.then_some(input)
    }

    /// Runs an input and tells whether it has reached something new.
    pub fn is_worth_keeping(&mut self, input: &[u8]) -> bool {
        self.try_out(input.to_vec())
    }

    /// Returns the input that was run last.
    pub fn last(&self) -> &[u8] {
        &self.last
    }

    /// Returns the number of inputs that are worth keeping.
    pub fn kept(&self) -> usize {
        self.inputs.len()
    }

    /// Tells whether there are counters.
    pub fn sees_coverage() -> bool {
        coverage::count() > 0
    }

    fn try_out(&mut self, input: Vec<u8>) -> bool {
        self.last = input;
        coverage::clear();
        (self.target.run)(&self.last);
        coverage::is_new(&mut self.seen)
    }
}
