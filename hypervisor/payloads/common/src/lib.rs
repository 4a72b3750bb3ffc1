//! What the bare-metal suites share, whichever exception level they run at.
//!
//! | module | what it has |
//! |---|---|
//! | `call` | HVC and SMC with every register known before and looked at after |
//! | `console` | the serial port, lines with times |
//! | `counter` | how many instructions something takes |
//! | `cpu` | which CPU this is, and how it waits for another |
//! | `report` | cases, and what they assert, as KTAP |
//! | `workers` | work for the other CPUs |

#![no_std]
// A panic is how a test fails when it has nothing left to go on; the suite reports it and the runner names it.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

pub mod call;
pub mod console;
pub mod counter;
pub mod cpu;
pub mod report;
pub mod workers;

use core::arch::global_asm;

global_asm!(include_str!("call.S"));
