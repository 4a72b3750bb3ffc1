//! CPUs work together: locks, barriers, interrupts between them.

use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tantalum_payload::cpu::{Mutex, wait_until};

use crate::machine::{cpus, gic, interrupts, sysreg};
use crate::test::{Case, Test, cases};

pub(crate) const CASES: &[Case] =
    cases![smp: lock, lock_with_interrupts, barrier, ping_pong, round_trip, work_on_each, events];

fn lock(t: &Test) {
    // What is not atomic by itself is so under a lock.
    let cell = Mutex::new([0_u64; 4]);
    const ROUNDS: u64 = 500;
    cpus::on_all(|_| {
        for _ in 0..ROUNDS {
            let mut words = cell.lock();
            let next = words[0] + 1;
            for word in words.iter_mut() {
                *word = next;
            }
        }
    });
    let words = *cell.lock();
    t.check(words.iter().all(|word| *word == ROUNDS * cpus::count() as u64), format_args!("{words:?}"));
}

const SGI: usize = 13;

fn lock_with_interrupts(t: &Test) {
    static CELL: Mutex<u64> = Mutex::new(0);
    fn hook(_: usize) {
        *CELL.lock() += 1;
    }
    *CELL.lock() = 0;
    (0..cpus::count()).for_each(|cpu| gic::private(cpu, SGI).prepare(0xa0));
    let before = interrupts::count_all(SGI);
    interrupts::on_arrival(SGI, Some(hook));
    const ROUNDS: u64 = 200;
    cpus::on_all(|cpu| {
        for round in 0..ROUNDS {
            interrupts::masked(|| *CELL.lock() += 1);
            if round % 10 == 0 {
                gic::send(gic::sgi(SGI, 1 << ((cpu + 1) % cpus::count())));
            }
        }
    });
    // Those that are on their way.
    tantalum_payload::call::wait(crate::machine::timer::micros(50));
    interrupts::on_arrival(SGI, None);
    let came = u64::from(interrupts::count_all(SGI) - before);
    t.equal("count", *CELL.lock(), ROUNDS * cpus::count() as u64 + came);
    t.check(came > 0, format_args!("no interrupt came"));
    (0..cpus::count()).for_each(|cpu| gic::private(cpu, SGI).retire());
}

fn barrier(t: &Test) {
    let barrier = cpus::Barrier::new(cpus::count());
    let inside = AtomicUsize::new(0);
    cpus::on_all(|_| {
        for _ in 0..100 {
            inside.fetch_add(1, Ordering::AcqRel);
            barrier.wait();
            let seen = inside.load(Ordering::Acquire);
            if seen != cpus::count() {
                t.equal("CPUs inside", seen as u64, cpus::count() as u64);
            }
            barrier.wait();
            inside.fetch_sub(1, Ordering::AcqRel);
            barrier.wait();
        }
    });
    t.equal("CPUs inside at the end", inside.load(Ordering::Acquire) as u64, 0);
}

fn ping_pong(t: &Test) {
    // Each interrupt is answered by one; the counts of both sides are exact.
    const COUNT: u32 = 300;
    for other in cpus::others() {
        for cpu in [0, other] {
            gic::private(cpu, SGI).prepare(0xa0);
        }
        let before = [0, other].map(|cpu| interrupts::count(cpu, SGI));
        cpus::on_first(other + 1, |cpu| {
            let (from, to) = match cpu {
                0 => (0, other),
                cpu if cpu == other => (1, 0),
                _ => return,
            };
            for number in 0..COUNT {
                if from == 1 {
                    interrupts::sleep_until(|| interrupts::count(other, SGI) - before[1] > number);
                }
                gic::send(gic::sgi(SGI, 1 << to));
                if from == 0 {
                    interrupts::sleep_until(|| interrupts::count(0, SGI) - before[0] > number);
                }
            }
        });
        t.equal("pings", (interrupts::count(other, SGI) - before[1]).into(), COUNT.into());
        t.equal("pongs", (interrupts::count(0, SGI) - before[0]).into(), COUNT.into());
        for cpu in [0, other] {
            gic::private(cpu, SGI).retire();
        }
    }
}

fn round_trip(t: &Test) {
    // One interrupt goes round through all CPUs, passed on by handlers.
    static ROUNDS: AtomicU64 = AtomicU64::new(0);
    const COUNT: u64 = 400;
    fn hook(_: usize) {
        if ROUNDS.fetch_add(1, Ordering::AcqRel) + 1 < COUNT {
            gic::send(gic::sgi(SGI, 1 << ((cpus::current() + 1) % cpus::count())));
        }
    }
    ROUNDS.store(0, Ordering::Release);
    (0..cpus::count()).for_each(|cpu| gic::private(cpu, SGI).prepare(0xa0));
    interrupts::on_arrival(SGI, Some(hook));
    gic::send(gic::sgi(SGI, 1));
    wait_until(|| ROUNDS.load(Ordering::Acquire) >= COUNT);
    t.equal("interrupts", ROUNDS.load(Ordering::Acquire), COUNT);
    interrupts::on_arrival(SGI, None);
    (0..cpus::count()).for_each(|cpu| gic::private(cpu, SGI).retire());
}

fn work_on_each(t: &Test) {
    for cpu in 0..cpus::count() {
        for _ in 0..20 {
            cpus::on(cpu, || t.equal("CPU", cpus::current() as u64, cpu as u64));
        }
    }
}

fn events(t: &Test) {
    // Who waits for an event does so in vain only if nobody sends one.
    let turn = AtomicUsize::new(0);
    const ROUNDS: usize = 50;
    cpus::on_all(|cpu| {
        for round in 0..ROUNDS {
            let own = round * cpus::count() + cpu;
            while turn.load(Ordering::Acquire) != own {
                sysreg::wfe();
            }
            turn.store(own + 1, Ordering::Release);
            sysreg::sev();
        }
    });
    t.equal("turns", turn.load(Ordering::Acquire) as u64, (ROUNDS * cpus::count()) as u64);
}
