//! Shared interrupts, made pending by software: where they go, and when.

use tantalum_payload::call;
use tantalum_payload::cpu::wait_until;

use crate::machine::gic::{self, shared};
use crate::machine::{cpus, interrupts, timer};
use crate::test::{Case, Test, cases};

pub(crate) const CASES: &[Case] = cases![spi: to_each_cpu, to_any, each_number, disabled, taken_back, route_moves, while_active, to_nobody, from_all_cpus];

const SPI: usize = gic::FREE.start;

/// Sets an SPI up as an edge for one CPU.
fn prepare(intid: usize, target: usize) -> gic::Interrupt {
    let spi = shared(intid);
    spi.prepare(0xa0);
    spi.set_edge(true);
    spi.set_route(target as u64);
    spi
}

/// Asserts that it arrives at one CPU, once.
#[track_caller]
fn arrives(t: &Test, intid: usize, target: usize, make: impl FnOnce()) {
    let before: [u32; cpus::MOST] = core::array::from_fn(|cpu| interrupts::count(cpu, intid));
    make();
    wait_until(|| interrupts::count(target, intid) > before[target]);
    call::wait(timer::micros(20));
    for (cpu, before) in before.iter().enumerate().take(cpus::count()) {
        t.equal("interrupts", (interrupts::count(cpu, intid) - before).into(), (cpu == target).into());
    }
}

fn to_each_cpu(t: &Test) {
    for target in 0..cpus::count() {
        let spi = prepare(SPI, target);
        arrives(t, SPI, target, || spi.pend(true));
        // A virtual CPU interface may keep an end to itself until its CPU asks for something.
        cpus::on(target, || _ = spi.is_active());
        t.check(!spi.is_pending() && !spi.is_active(), format_args!("it is not over"));
        spi.retire();
    }
}

fn to_any(t: &Test) {
    let spi = prepare(SPI, 0);
    spi.set_route(1 << 31);
    for _ in 0..10 {
        let before = interrupts::count_all(SPI);
        spi.pend(true);
        wait_until(|| interrupts::count_all(SPI) > before);
        call::wait(timer::micros(20));
        t.equal("interrupts", (interrupts::count_all(SPI) - before).into(), 1);
    }
    spi.retire();
    spi.set_route(0);
}

fn each_number(t: &Test) {
    for intid in gic::FREE {
        let target = intid % cpus::count();
        let spi = prepare(intid, target);
        arrives(t, intid, target, || spi.pend(true));
        spi.retire();
    }
}

fn disabled(t: &Test) {
    let spi = prepare(SPI, 1);
    spi.enable(false);
    let before = interrupts::count_all(SPI);
    spi.pend(true);
    call::wait(timer::micros(50));
    t.equal("while disabled", (interrupts::count_all(SPI) - before).into(), 0);
    t.check(spi.is_pending(), format_args!("it is not pending"));
    arrives(t, SPI, 1, || spi.enable(true));
    spi.retire();
}

fn taken_back(t: &Test) {
    let spi = prepare(SPI, 1);
    spi.enable(false);
    spi.pend(true);
    spi.pend(false);
    let before = interrupts::count_all(SPI);
    spi.enable(true);
    call::wait(timer::micros(50));
    t.equal("interrupts", (interrupts::count_all(SPI) - before).into(), 0);
    spi.retire();
}

fn route_moves(t: &Test) {
    // What is pending goes where the route is when it can be taken.
    let spi = prepare(SPI, 0);
    spi.enable(false);
    spi.pend(true);
    for target in (0..cpus::count()).rev() {
        spi.set_route(target as u64);
        arrives(t, SPI, target, || spi.enable(true));
        spi.enable(false);
        spi.pend(true);
    }
    spi.retire();
    spi.set_route(0);
}

fn while_active(t: &Test) {
    // It comes again when the first is over, and not before.
    interrupts::masked(|| {
        let spi = prepare(SPI, cpus::current());
        spi.pend(true);
        t.equal("acknowledged", gic::acknowledge(), SPI as u64);
        t.check(spi.is_active() && !spi.is_pending(), format_args!("it is not active alone"));
        spi.pend(true);
        t.check(spi.is_active() && spi.is_pending(), format_args!("it is not both active and pending"));
        t.equal("nothing to acknowledge", gic::acknowledge_nothing(), gic::SPURIOUS);
        gic::end(SPI as u64);
        t.check(!spi.is_active() && spi.is_pending(), format_args!("it is not pending alone"));
        t.equal("acknowledged again", gic::acknowledge(), SPI as u64);
        gic::end(SPI as u64);
        t.check(!spi.is_active() && !spi.is_pending(), format_args!("it is not over"));
        spi.retire();
    });
}

fn to_nobody(t: &Test) {
    let spi = prepare(SPI, 0);
    spi.enable(false);
    // A CPU that there is not.
    spi.set_route(0xf0);
    spi.enable(true);
    let before = interrupts::count_all(SPI);
    spi.pend(true);
    call::wait(timer::micros(50));
    t.equal("interrupts", (interrupts::count_all(SPI) - before).into(), 0);
    t.check(spi.is_pending(), format_args!("it is not pending"));
    spi.retire();
    spi.set_route(0);
}

fn from_all_cpus(t: &Test) {
    // Each CPU makes one pending for the next CPU, again and again.
    const COUNT: u32 = 100;
    cpus::on_all(|cpu| {
        let Some(intid) = gic::FREE.clone().nth(cpu) else { return };
        let target = (cpu + 1) % cpus::count();
        let spi = prepare(intid, target);
        let before = interrupts::count(target, intid);
        for number in 0..COUNT {
            spi.pend(true);
            wait_until(|| interrupts::count(target, intid) - before > number);
        }
        t.equal("interrupts", (interrupts::count(target, intid) - before).into(), COUNT.into());
        spi.retire();
    });
}
