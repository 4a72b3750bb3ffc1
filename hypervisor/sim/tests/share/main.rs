//! Memory management on the simulated machine: who may reach which page, through TLBs that keep stale entries.

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

mod bench;
mod fragments;
mod malformed;
mod model;
mod normal_world;
mod partitions;
mod races;
mod stopped;
mod versions;
