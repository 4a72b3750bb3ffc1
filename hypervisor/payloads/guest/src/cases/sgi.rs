//! Software-generated interrupts (GICv3, section 4.4).

use core::sync::atomic::{AtomicU64, Ordering};

use tantalum_payload::call;
use tantalum_payload::cpu::wait_until;

use crate::machine::gic::{ALL_BUT_SELF, private, send, sgi};
use crate::machine::{cpus, interrupts, timer};
use crate::test::{Case, Test, cases};

pub(crate) const CASES: &[Case] = cases![
    sgi:
    to_each, to_self, to_all_but_self, to_several, each_number, to_nobody, disabled, taken_back, every_pair,
    storm_is_counted, storm_from_all,
];

const SGI: usize = 8;
/// Lists the numbers that the suite does not need itself.
const NUMBERS: core::ops::Range<usize> = 0..15;

/// Sets SGI number `intid` up on all CPUs, and returns how often it has arrived on each.
fn prepare(intid: usize) -> [u32; cpus::MOST] {
    for cpu in 0..cpus::count() {
        private(cpu, intid).prepare(0xa0);
    }
    core::array::from_fn(|cpu| interrupts::count(cpu, intid))
}

fn retire(intid: usize) {
    (0..cpus::count()).for_each(|cpu| private(cpu, intid).retire());
}

/// Asserts how often it has arrived since, on the CPUs in `targets` and on the others.
#[track_caller]
fn arrived(t: &Test, intid: usize, before: &[u32], targets: u64) {
    let expected = |cpu: usize| u32::from(targets >> cpu & 1 == 1);
    wait_until(|| (0..cpus::count()).all(|cpu| interrupts::count(cpu, intid) - before[cpu] >= expected(cpu)));
    call::wait(timer::micros(20));
    for (cpu, before) in before.iter().enumerate().take(cpus::count()) {
        t.equal("interrupts", (interrupts::count(cpu, intid) - before).into(), expected(cpu).into());
    }
}

fn to_each(t: &Test) {
    for target in 0..cpus::count() {
        let before = prepare(SGI);
        send(sgi(SGI, 1 << target));
        arrived(t, SGI, &before, 1 << target);
    }
    retire(SGI);
}

fn to_self(t: &Test) {
    let before = prepare(SGI);
    cpus::on_all(|cpu| {
        send(sgi(SGI, 1 << cpu));
        wait_until(|| interrupts::count(cpu, SGI) > before[cpu]);
        t.equal("interrupts", (interrupts::count(cpu, SGI) - before[cpu]).into(), 1);
    });
    retire(SGI);
}

fn to_all_but_self(t: &Test) {
    let all = (1 << cpus::count()) - 1;
    for sender in 0..cpus::count() {
        let before = prepare(SGI);
        cpus::on(sender, || send(sgi(SGI, 0) | ALL_BUT_SELF));
        arrived(t, SGI, &before, all & !(1 << sender));
    }
    retire(SGI);
}

fn to_several(t: &Test) {
    for targets in 1..1_u64 << cpus::count().min(4) {
        let before = prepare(SGI);
        send(sgi(SGI, targets));
        arrived(t, SGI, &before, targets);
    }
    retire(SGI);
}

fn each_number(t: &Test) {
    let target = cpus::count() - 1;
    for intid in NUMBERS {
        let before = prepare(intid);
        send(sgi(intid, 1 << target));
        arrived(t, intid, &before, 1 << target);
        retire(intid);
    }
}

fn to_nobody(t: &Test) {
    let before = prepare(SGI);
    // CPUs that there are not, in this cluster and in others.
    send(sgi(SGI, 1 << 15));
    send(sgi(SGI, 0));
    send(sgi(SGI, 1) | 1 << 16);
    send(sgi(SGI, 1) | 1 << 32);
    send(sgi(SGI, 1) | 1 << 48);
    arrived(t, SGI, &before, 0);
    retire(SGI);
}

fn disabled(t: &Test) {
    let target = cpus::count() - 1;
    let before = prepare(SGI);
    private(target, SGI).enable(false);
    send(sgi(SGI, 1 << target));
    call::wait(timer::micros(50));
    t.equal("while disabled", (interrupts::count(target, SGI) - before[target]).into(), 0);
    t.check(private(target, SGI).is_pending(), format_args!("it is not pending"));
    private(target, SGI).enable(true);
    arrived(t, SGI, &before, 1 << target);
    retire(SGI);
}

fn taken_back(t: &Test) {
    let target = cpus::count() - 1;
    let before = prepare(SGI);
    private(target, SGI).enable(false);
    send(sgi(SGI, 1 << target));
    private(target, SGI).pend(false);
    private(target, SGI).enable(true);
    arrived(t, SGI, &before, 0);
    retire(SGI);
}

fn every_pair(t: &Test) {
    for sender in 0..cpus::count() {
        for target in 0..cpus::count() {
            let before = prepare(SGI);
            cpus::on(sender, || send(sgi(SGI, 1 << target)));
            arrived(t, SGI, &before, 1 << target);
        }
    }
    retire(SGI);
}

fn storm_is_counted(t: &Test) {
    // One that is pending takes up the next one, so each is sent when the last has arrived: none is lost, none is twice.
    const COUNT: u32 = 1_000;
    let target = cpus::count() - 1;
    let before = prepare(SGI);
    for number in 0..COUNT {
        send(sgi(SGI, 1 << target));
        wait_until(|| interrupts::count(target, SGI) - before[target] > number);
    }
    call::wait(timer::micros(50));
    t.equal("interrupts", (interrupts::count(target, SGI) - before[target]).into(), COUNT.into());
    retire(SGI);
}

fn storm_from_all(t: &Test) {
    // Each CPU has a number of its own and sends it round, as fast as it arrives.
    const COUNT: u32 = 200;
    let before: [[u32; cpus::MOST]; cpus::MOST] =
        core::array::from_fn(|number| if number < cpus::count() { prepare(number) } else { [0; cpus::MOST] });
    let sent = AtomicU64::new(0);
    cpus::on_all(|cpu| {
        let target = (cpu + 1) % cpus::count();
        for number in 0..COUNT {
            send(sgi(cpu, 1 << target));
            sent.fetch_add(1, Ordering::AcqRel);
            wait_until(|| interrupts::count(target, cpu) - before[cpu][target] > number);
        }
    });
    let came: u32 = (0..cpus::count())
        .map(|number| {
            (0..cpus::count()).map(|cpu| interrupts::count(cpu, number) - before[number][cpu]).sum::<u32>()
        })
        .sum();
    t.equal("interrupts", came.into(), sent.load(Ordering::Acquire));
    (0..cpus::count()).for_each(retire);
}
