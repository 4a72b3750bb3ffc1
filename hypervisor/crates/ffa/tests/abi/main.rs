//! Tests of the whole ABI, through the public interface.
#![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing, clippy::unwrap_used)]

mod against_arm_ffa;
mod codec;
mod memory;
mod strategies;
mod text;
