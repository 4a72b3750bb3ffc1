//! Time is shared: each CPU gets on whatever the others do, also where a hypervisor has fewer of them.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::machine::timer::{VIRTUAL, micros};
use crate::machine::{cpus, interrupts, psci, sysreg};
use crate::test::{Case, Test, cases};

pub(crate) const CASES: &[Case] = cases![progress: all_busy, one_waits_for_busy_ones, calls_meanwhile, timers_meanwhile, sleepers_and_workers];

/// Is how long a CPU may go without getting on: longer than all the others' time slices.
fn patience() -> u64 {
    micros(400_000)
}

fn all_busy(t: &Test) {
    // Nobody gives its time away; all see each other get on.
    let counts: [AtomicU64; cpus::MOST] = [const { AtomicU64::new(0) }; cpus::MOST];
    let members = cpus::count();
    cpus::on_all(|cpu| {
        let begin = VIRTUAL.now();
        let all_moved = || counts.iter().take(members).all(|count| count.load(Ordering::Acquire) > 100);
        while !all_moved() && VIRTUAL.now() - begin < patience() {
            counts[cpu].fetch_add(1, Ordering::AcqRel);
        }
        t.check(all_moved(), format_args!("CPU {cpu} sees {counts:?}"));
    });
}

fn one_waits_for_busy_ones(t: &Test) {
    let stop = AtomicBool::new(false);
    let begin = VIRTUAL.now();
    let waited = AtomicU64::new(0);
    cpus::on_all(|cpu| {
        if cpu == 0 {
            VIRTUAL.prepare();
            let before = VIRTUAL.count();
            let at = VIRTUAL.now() + micros(500);
            VIRTUAL.fire_at(at);
            interrupts::sleep_until(|| VIRTUAL.count() > before);
            waited.store(VIRTUAL.now() - begin, Ordering::Release);
            VIRTUAL.retire();
            stop.store(true, Ordering::Release);
        } else {
            // Without YIELD, by which others would get on.
            while !stop.load(Ordering::Acquire) && VIRTUAL.now() - begin < patience() {
                core::hint::spin_loop();
            }
        }
    });
    t.check(stop.load(Ordering::Acquire), format_args!("the one that slept did not wake"));
    let waited = waited.load(Ordering::Acquire);
    t.check(waited < patience(), format_args!("it slept for {waited} ticks"));
}

fn calls_meanwhile(t: &Test) {
    let done = AtomicU64::new(0);
    cpus::on_all(|_| {
        for _ in 0..300 {
            t.check(psci::call(psci::function::VERSION, [0; 3]) > 0, format_args!("PSCI is gone"));
        }
        done.fetch_add(1, Ordering::AcqRel);
    });
    t.equal("CPUs that came through", done.load(Ordering::Acquire), cpus::count() as u64);
}

fn timers_meanwhile(t: &Test) {
    cpus::on_all(|cpu| {
        VIRTUAL.prepare();
        let before = VIRTUAL.count();
        let begin = VIRTUAL.now();
        for number in 1..=10 {
            VIRTUAL.fire_at(begin + number * micros(200));
            // Busy, not asleep.
            while u64::from(VIRTUAL.count() - before) < number && VIRTUAL.now() - begin < patience() {
                core::hint::spin_loop();
            }
        }
        t.equal("interrupts", (VIRTUAL.count() - before).into(), 10);
        t.check(VIRTUAL.now() - begin < patience(), format_args!("CPU {cpu}: they came late"));
        VIRTUAL.retire();
    });
}

fn sleepers_and_workers(t: &Test) {
    let slept = AtomicU64::new(0);
    cpus::on_all(|cpu| {
        if cpu % 2 == 0 {
            VIRTUAL.prepare();
            for _ in 0..20 {
                let before = VIRTUAL.count();
                VIRTUAL.fire_at(VIRTUAL.now() + micros(50));
                interrupts::sleep_until(|| VIRTUAL.count() > before);
                slept.fetch_add(1, Ordering::AcqRel);
            }
            VIRTUAL.retire();
        } else {
            let begin = VIRTUAL.now();
            while VIRTUAL.now() - begin < micros(1_000) {
                sysreg::isb();
            }
        }
    });
    t.equal("sleeps", slept.load(Ordering::Acquire), 20 * cpus::count().div_ceil(2) as u64);
}
