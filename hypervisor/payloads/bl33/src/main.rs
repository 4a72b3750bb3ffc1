//! The bare-metal FF-A suite: what the normal world sees of the SPMC, from NS-EL2 and on eight CPUs.
//!
//! It takes Linux's place, so it makes the calls that a hypervisor between keeps from Linux, with any registers.
//! Each case is a function in `cases`; `test` has the assertions about calls, `endpoint` who is called, `mailbox` and
//! `descriptor` what goes through memory, `machine` the board. Its output is KTAP on the normal world's console, in
//! the form that the scenarios of `tests/kmod` have.
//!
//! The version of FF-A that it negotiates is `bl33.version=` on the command line, a hexadecimal number. Every case
//! runs in each version, and asserts what is right in that version.
//!
//! With `bl33.soak=` and a decimal number there is one case only: so many messages from several CPUs at once, while
//! interrupts of both worlds come.
//! With `bl33.benchmarks=1` the cases are those of `benchmarks` instead: how many instructions a call takes.
//! With `bl33.resident=1` they are those about the partition "resident", which is in an image of its own.

#![no_std]
#![no_main]
// A panic is how a test fails when it has nothing left to go on; the machine reports it and the runner names it.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

mod benchmarks;
mod cases;
mod descriptor;
mod endpoint;
mod machine;
mod mailbox;
mod test;

use core::sync::atomic::Ordering;

use machine::cpus;
use tantalum_ffa::Version;
use tantalum_payload::console::line;
use tantalum_payload::report::run_all;
use test::Test;

/// Says what is to be run.
enum Job {
    /// Every case.
    Suite,
    /// One case of `count` messages.
    Soak {
        /// How many.
        count: u32,
    },
    /// The benchmarks.
    Benchmarks,
    /// The cases about the partition "resident".
    Resident,
}

/// Does `job`. `version` is what the command line asks for.
fn main(version: Option<u32>, job: &Job) {
    let version =
        version.map_or(Some(Version::V1_2), Version::from_raw).expect("bl33.version= is no version");
    line(format_args!("bl33: starts at NS-EL2, FF-A {version}"));
    cpus::adopt_boot_cpu();
    for cpu in 1..cpus::COUNT {
        if let Err(error) = cpus::turn_on(cpu) {
            panic!("CPU {cpu} does not come up: PSCI error {error}");
        }
    }
    line(format_args!("bl33: {} CPUs up", cpus::COUNT));

    let cases = match *job {
        Job::Suite => cases::ALL,
        Job::Soak { count } => {
            cases::soak::LONG_COUNT.store(count, Ordering::Release);
            &[cases::soak::LONG]
        }
        Job::Benchmarks => &[benchmarks::CASES],
        Job::Resident => &[cases::resident::CASES],
    };
    let (failed, count) = run_all(cases, |_| true, |index, case| Test::run(index, case, version));
    line(format_args!("bl33: {failed} of {count} cases failed"));
}
