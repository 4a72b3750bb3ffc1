//! Atomic operations on memory that all CPUs use.

use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

use crate::machine::{cpus, gic, interrupts};
use crate::test::{Case, Test, cases};

pub(crate) const CASES: &[Case] = cases![atomics: add, exchange, compare_and_exchange, bits, small_and_large, message_passing, with_interrupts];

const ROUNDS: u64 = 2_000;

fn add(t: &Test) {
    let sum = AtomicU64::new(0);
    cpus::on_all(|cpu| {
        for round in 0..ROUNDS {
            sum.fetch_add(round + cpu as u64, Ordering::Relaxed);
        }
    });
    let count = cpus::count() as u64;
    let expected = count * (ROUNDS * (ROUNDS - 1) / 2) + ROUNDS * (count * (count - 1) / 2);
    t.equal("sum", sum.load(Ordering::Acquire), expected);
}

fn exchange(t: &Test) {
    // Each value that is put in comes out once.
    let cell = AtomicU64::new(0);
    let (put, got) = (AtomicU64::new(0), AtomicU64::new(0));
    cpus::on_all(|cpu| {
        for round in 1..=ROUNDS {
            let value = (cpu as u64 + 1) << 32 | round;
            put.fetch_add(value, Ordering::Relaxed);
            got.fetch_add(cell.swap(value, Ordering::AcqRel), Ordering::Relaxed);
        }
    });
    let sum = got.load(Ordering::Acquire).wrapping_add(cell.load(Ordering::Acquire));
    t.equal("sum of what came out", sum, put.load(Ordering::Acquire));
}

fn compare_and_exchange(t: &Test) {
    let cell = AtomicU64::new(0);
    let won = AtomicU64::new(0);
    cpus::on_all(|_| {
        for _ in 0..ROUNDS {
            let seen = cell.load(Ordering::Acquire);
            if cell.compare_exchange(seen, seen + 1, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                won.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    t.equal("value", cell.load(Ordering::Acquire), won.load(Ordering::Acquire));
    t.check(won.load(Ordering::Acquire) >= ROUNDS, format_args!("less than one CPU's share succeeded"));
}

fn bits(t: &Test) {
    let cell = AtomicU64::new(0);
    cpus::on_all(|cpu| {
        for _ in 0..ROUNDS {
            let own = 0xff << (cpu * 8);
            cell.fetch_or(own, Ordering::AcqRel);
            let seen = cell.fetch_and(!own, Ordering::AcqRel) & own;
            if seen != own {
                t.equal("own bits", seen, own);
            }
        }
    });
    t.equal("what is left", cell.load(Ordering::Acquire), 0);
}

fn small_and_large(t: &Test) {
    let (small, middle) = (AtomicU8::new(0), AtomicU32::new(0));
    cpus::on_all(|_| {
        for _ in 0..ROUNDS {
            small.fetch_add(1, Ordering::Relaxed);
            middle.fetch_add(3, Ordering::Relaxed);
        }
    });
    let count = cpus::count() as u64 * ROUNDS;
    t.equal("a byte", small.load(Ordering::Acquire).into(), count & 0xff);
    t.equal("a word", middle.load(Ordering::Acquire).into(), (count * 3) & 0xffff_ffff);
}

fn message_passing(t: &Test) {
    // Who sees the flag sees what was written before it.
    let data: [AtomicU64; 8] = [const { AtomicU64::new(0) }; 8];
    let flag = AtomicU64::new(0);
    cpus::on_all(|cpu| {
        for round in 0..200_u64 {
            let turn = round * cpus::count() as u64 + cpu as u64;
            tantalum_payload::cpu::wait_until(|| flag.load(Ordering::Acquire) == turn);
            let old = data.iter().filter(|word| word.load(Ordering::Relaxed) != turn).count();
            if old > 0 {
                t.equal("old words", old as u64, 0);
            }
            data.iter().for_each(|word| word.store(turn + 1, Ordering::Relaxed));
            flag.store(turn + 1, Ordering::Release);
        }
    });
    t.equal("turns", flag.load(Ordering::Acquire), 200 * cpus::count() as u64);
}

fn with_interrupts(t: &Test) {
    // An interrupt between the halves of an exclusive access does not let it succeed wrongly.
    const SGI: usize = 12;
    let sum = AtomicU64::new(0);
    (0..cpus::count()).for_each(|cpu| gic::private(cpu, SGI).prepare(0xa0));
    let before = interrupts::count_all(SGI);
    cpus::on_all(|cpu| {
        for round in 0..ROUNDS {
            if round % 64 == 0 {
                gic::send(gic::sgi(SGI, 1 << ((cpu + 1) % cpus::count())));
            }
            sum.fetch_add(1, Ordering::Relaxed);
        }
    });
    t.equal("sum", sum.load(Ordering::Acquire), ROUNDS * cpus::count() as u64);
    t.check(interrupts::count_all(SGI) > before, format_args!("no interrupt came"));
    (0..cpus::count()).for_each(|cpu| gic::private(cpu, SGI).retire());
}
