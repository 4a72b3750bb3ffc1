//! Tests of the program as a whole: arguments in, processes and files out.

// Helpers outside test functions stop at the first thing that is not as it says, too.
#![allow(clippy::unwrap_used, clippy::format_collect)]

mod process;
mod support;
mod trace;
mod usage;
mod vms;
