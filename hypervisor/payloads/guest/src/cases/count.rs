//! The counts that the timers go by.

use core::sync::atomic::{AtomicU64, Ordering};

use tantalum_payload::cpu::wait_until;

use crate::machine::sysreg::read;
use crate::machine::timer::{PHYSICAL, VIRTUAL};
use crate::machine::{cpus, timer};
use crate::test::{Case, Test, cases};

pub(crate) const CASES: &[Case] = cases![count: frequency, goes_on, goes_on_over_cpus, physical, offset];

fn frequency(t: &Test) {
    let own = read::cntfrq_el0();
    t.check((1_000_000..=1_000_000_000).contains(&own), format_args!("{own} a second"));
    cpus::on_all(|_| t.equal("CNTFRQ_EL0", read::cntfrq_el0(), own));
}

fn goes_on(t: &Test) {
    cpus::on_all(|cpu| {
        let mut last = VIRTUAL.now();
        let begin = last;
        while last - begin < timer::micros(100) {
            let now = VIRTUAL.now();
            t.check(now >= last, format_args!("CPU {cpu}: {now:#x} comes after {last:#x}"));
            last = now;
        }
    });
}

/// Reads a count on one CPU after the other.
fn in_turn(t: &Test, read: fn() -> u64) {
    let turn = AtomicU64::new(0);
    let last = AtomicU64::new(0);
    cpus::on_all(|cpu| {
        for round in 0..16 {
            let own = round * cpus::count() as u64 + cpu as u64;
            wait_until(|| turn.load(Ordering::Acquire) == own);
            let now = read();
            let before = last.swap(now, Ordering::AcqRel);
            t.check(now >= before, format_args!("CPU {cpu}: {now:#x} comes after {before:#x}"));
            turn.store(own + 1, Ordering::Release);
        }
    });
}

fn goes_on_over_cpus(t: &Test) {
    in_turn(t, || VIRTUAL.now());
}

fn physical(t: &Test) {
    in_turn(t, || PHYSICAL.now());
}

fn offset(t: &Test) {
    // The two differ by the same on all CPUs, as near as two reads can tell.
    let near = timer::micros(200);
    let own = PHYSICAL.now().wrapping_sub(VIRTUAL.now());
    cpus::on_all(|cpu| {
        let other = PHYSICAL.now().wrapping_sub(VIRTUAL.now());
        let apart = own.abs_diff(other);
        t.check(apart <= near, format_args!("CPU {cpu}: the counts are {other:#x} apart, not {own:#x}"));
    });
}
