//! A reference model of the SPMC, and random runs of both against each other.
//!
//! The model says what the SPMC has to answer, who has to run next, and which memory each partition then sees. It is
//! written from the specification and the decisions in `CAVEATS.md`, for clarity, with other data structures than the
//! SPMC's: one record for each page where the SPMC keeps ranges, call chains as lists where the SPMC keeps links, one
//! record for each notification where the SPMC keeps words of bits. Where several reasons to refuse a call hold, it
//! says all of them, and the SPMC may tell any.
//!
//! A run is a list of [`Step`]s, each of which a processing element makes by whoever has its turn there: the normal
//! world or an execution context. A run is named by a seed; one that fails shrinks to a short script, which can be kept
//! as a test.
//!
//! | module | what lives there |
//! |---|---|
//! | `step` | what can be done in a step, its text, and how steps are drawn |
//! | `config` | the machine: which partitions there are, and which pages they have |
//! | `model` | the model: who calls what, and what comes of it |
//! | `model::chain` | who runs, who waits for whom, who was stopped |
//! | `model::memory` | owners, borrowers and transactions, page by page |
//! | `model::buffers` | RX/TX buffers, what is in them, and indirect messages |
//! | `model::notify` | notifications, one by one |
//! | `world` | the SPMC on the simulated machine, and the comparison after each step |
//! | `exhaust` | every run there is, of a few kinds of steps |
//! | `run` | runs: from a seed, from a script; shrinking one that fails |

#![forbid(unsafe_code)]
// What goes wrong here has to stop the run at the place where it does.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation
)]

mod config;
mod exhaust;
mod model;
mod run;
mod step;
mod world;

pub use exhaust::{Explored, chains, one_share};
pub use run::{Failure, replay, run, script_text};
pub use step::{Act, Step, Tally};
