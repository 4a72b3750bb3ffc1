//! FF-A calls of virtual machines, relayed to the SPMC on the simulated machine.

// What goes wrong in a helper has to stop the test there.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    unreachable_pub
)]

#[path = "../share/bench.rs"]
// What of it is not needed here is needed there.
#[allow(dead_code)]
mod bench;
mod calls;
mod direct;
mod mailbox;
mod memory;
mod model;
mod notify;
mod world;
