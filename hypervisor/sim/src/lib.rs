//! A machine on the host: memory tagged by address space, TLBs that keep stale entries, scripted partitions.
//!
//! [`Machine`] implements everything that `tantalum-hal` asks of a machine, and is stricter than a real one:
//! it remembers every access that named the wrong address space, and a TLB forgets nothing until it is told
//! to. [`Sim`] puts the SPMC on such a machine, with [`Script`]s in the place of partitions, and makes calls
//! of the normal world. [`dtb`] and [`manifests`] build the device trees that go with it.
//!
//! This is test code: it panics, with a message, when a test or the code under test does what it must not.

#![forbid(unsafe_code)]
// What goes wrong here has to stop the test at the place where it does.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation
)]

pub mod dtb;
mod gic;
pub mod guest;
mod machine;
pub mod manifests;
mod mmu;
pub mod script;
mod sim;

pub use guest::Guest;
pub use machine::{Machine, Spmd, TABLE_PAGES};
pub use mmu::AccessKind;
pub use script::{Context, Script};
pub use sim::{Sim, SimBuilder};
