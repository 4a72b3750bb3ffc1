//! The bare-metal suite for virtual machines: what a kernel at EL1 sees of the machine that it is given.
//!
//! It is a Linux Image by its header, entered as one, and goes by the device tree; so it runs on QEMU's virt board
//! itself, which is the reference for what it asserts, and in a virtual machine of ours. Each file of `cases` is a suite
//! about one thing; `test` has the assertions, `virtio` a driver, `machine` the board. Its output is KTAP on the console,
//! in the form that the scenarios of `tests/kmod` have.

#![no_std]
#![no_main]
// A panic is how a test fails when it has nothing left to go on; the machine reports it and the runner names it.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

mod benchmarks;
mod cases;
mod hostile;
mod machine;
mod test;
mod virtio;

use machine::{cpus, memory, psci, sysreg, tree};
use tantalum_payload::call::Conduit;
use tantalum_payload::console::line;
use tantalum_payload::report::run_all;
use test::Test;

/// Tells whether the machine is QEMU itself, with no hypervisor of ours between: `guest.reference=1` says so.
fn on_reference() -> bool {
    tree::argument("guest.reference=") == Some("1")
}

/// Returns the number that the command line has behind `name`.
fn number(name: &str) -> Option<u64> {
    tree::argument(name)?.parse().ok()
}

/// Does what the command line asks for: all cases, or with `guest.only=NAME` those whose names begin so; with
/// `guest.benchmarks=1` those of `benchmarks` instead; with `guest.hostile=SEED` what `hostile` has.
fn main() {
    line(format_args!("guest: starts at EL{}", sysreg::read::currentel() >> 2));
    let by_smc = tree::compatible("arm,psci-1.0").any(|node| tree::is_text(&node, "method", "smc"));
    psci::set_conduit(if by_smc { Conduit::Smc } else { Conduit::Hvc });
    memory::check();
    cpus::set_count(tree::cpus().count());
    for cpu in cpus::others() {
        if let Err(error) = cpus::turn_on(cpu) {
            panic!("CPU {cpu} does not come up: PSCI error {error}");
        }
    }
    line(format_args!("guest: {} CPUs up", cpus::count()));
    if let Some(seed) = number("guest.hostile=") {
        return hostile::run(seed, number("guest.rounds="));
    }
    let suites: &[&[test::Case]] =
        if number("guest.benchmarks=").is_some() { &[benchmarks::CASES] } else { cases::ALL };
    let only = tree::argument("guest.only=").unwrap_or_default();
    let (failed, count) = run_all(suites, |case| case.name.starts_with(only), Test::run);
    line(format_args!("guest: {failed} of {count} cases failed"));
}
