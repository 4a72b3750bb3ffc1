//! A fixed part of the random runs, and every script that a run once failed by.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

/// Counts the steps of each run.
const STEPS: u64 = 10_000;

#[test]
fn the_spmc_does_what_the_model_says() {
    let mut tally = tantalum_model::Tally::default();
    for seed in 1..=3 {
        match tantalum_model::run(seed, STEPS) {
            Ok(counted) => tally.add(&counted),
            Err(failure) => panic!("{failure}"),
        }
    }
    // A run in which everything is refused shows nothing.
    assert!(tally.is_everything_done(3), "{tally}");
}

#[test]
fn what_once_went_wrong_does_not_any_more() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        if let Err(error) = tantalum_model::replay(&text) {
            panic!("{}: {error}", path.display());
        }
        count += 1;
    }
    assert!(count > 0);
}

#[test]
fn a_text_that_is_no_script_is_refused() {
    for text in ["", "seed x", "seed 1\n0 Fly 1 2 3 4 5 6", "0 Wait 1 2 3 4 5 6"] {
        assert!(tantalum_model::replay(text).is_err(), "{text}");
    }
}

#[test]
fn every_run_of_a_few_steps_of_call_chains() {
    for seed in [0, 4] {
        let explored = tantalum_model::chains(seed, 12, 4).unwrap_or_else(|failure| panic!("{failure}"));
        assert!(explored.states >= 12 && !explored.complete, "{explored:?}");
    }
}

#[test]
fn every_run_of_a_few_steps_of_one_share() {
    for kind in 0..3 {
        let explored = tantalum_model::one_share(0, kind, 6, 4).unwrap_or_else(|failure| panic!("{failure}"));
        assert!(explored.states >= 6 && !explored.complete, "{explored:?}");
    }
}
