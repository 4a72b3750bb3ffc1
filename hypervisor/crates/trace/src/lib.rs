//! A ring of everything that enters and leaves the SPMC, for who wants to see afterwards what happened.
//!
//! The SPMC is a function from an event to an action, so a recorder beside the loop that calls it sees all there is.
//! [`Recorder`] is that recorder: one for each processing element, with a ring of its own, so that none waits for
//! another. [`layout`] says what lies in a ring, byte by byte; whoever reads one goes by it.
//!
//! The rings lie in memory of the normal world ([`layout::BASE`]), because that is where somebody outside of the
//! machine can read: an emulator shows the Secure world's memory to nobody. They hold registers of partitions, so an
//! image with a recorder keeps no secrets. It is a build of its own; others have no recorder in them.

#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::cast_possible_truncation
    )
)]

#[cfg(test)]
extern crate std;

pub mod layout;
mod record;
mod recorder;
#[cfg(test)]
mod tests;

pub use record::Record;
pub use recorder::{Counters, Recorder};
