//! Stage-2 page tables over any table memory and TLB.
//!
//! A partition of the Secure world has two intermediate physical address spaces, Secure and Non-secure, and one
//! [`Stage2`] for each. What a table says is changed only by the Arm architecture's break-before-make rule, and
//! a change either happens wholly or not at all: the table pages it needs are counted before the first
//! descriptor is written.

#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::arithmetic_side_effects, clippy::cast_possible_truncation))]

mod attributes;
mod descriptor;
mod error;
mod many;
mod pool;
mod table;

#[cfg(test)]
extern crate std;
#[cfg(test)]
mod tests;

pub use attributes::{Access, Attributes, Execute, Mapping, MemoryType};
pub use error::{PoolError, Stage2Error};
pub use pool::TablePool;
pub use table::{IPA_BITS, Stage2};
