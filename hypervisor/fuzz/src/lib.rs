//! Arbitrary bytes for everything that takes bytes or registers from somebody else.
//!
//! A [`Target`] takes bytes and panics if something is wrong: if the code under test panics, or if a property does not
//! hold. The inputs that were worth keeping lie in `corpus/TARGET`; the tests run each of them, and as many mutations
//! as a fixed seed makes. The program runs for as long as it is told, and where it is built with coverage counters it
//! keeps the inputs that reach something new.
//!
//! | module | what lives there |
//! |---|---|
//! | `targets` | the targets that are functions of bytes: descriptors, manifests, packages, boot information |
//! | `machine` | the targets that are runs of the SPMC: calls with any registers and buffers, interrupts |
//! | `virtio` | the targets that are drivers of virtio devices |
//! | `mutate` | making one input out of another |
//! | `coverage` | the counters that the compiler puts in |
//! | `fuzzer` | the loop around all that, and the corpus |

// What goes wrong here has to stop the run at the place where it does.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation
)]

mod coverage;
mod fuzzer;
mod machine;
mod mutate;
mod targets;
mod virtio;

pub use fuzzer::{Fuzzer, corpus_of};
pub use targets::{TARGETS, Target};

/// Prints each step of the SPMC from now on.
pub fn trace_steps() {
    machine::IS_TRACED.store(true, std::sync::atomic::Ordering::Relaxed);
}
