//! Level-sensitive and edge-triggered interrupts, what is spurious, what is disabled while it is pending.

use crate::machine::gic::{self, private, send, sgi, shared};
use crate::machine::timer::{ENABLE, MASK, VIRTUAL, micros};
use crate::machine::{cpus, interrupts};
use crate::test::{Case, Test, cases};

pub(crate) const CASES: &[Case] = cases![
    trigger:
    spurious, disabled_while_pending, level_goes_away, level_comes_again, level_stays, level_and_software, edge_once,
    edge_twice, edge_of_active, other_group,
];

const SGI: usize = 11;

fn spurious(t: &Test) {
    cpus::on_all(|_| {
        interrupts::masked(|| {
            for _ in 0..10 {
                t.equal("nothing to acknowledge", gic::acknowledge_nothing(), gic::SPURIOUS);
            }
        });
    });
}

fn disabled_while_pending(t: &Test) {
    interrupts::masked(|| {
        let own = private(cpus::current(), SGI);
        own.prepare(0xa0);
        send(sgi(SGI, 1 << cpus::current()));
        t.check(gic::is_signalled(), format_args!("not signalled"));
        own.enable(false);
        t.check(!gic::is_signalled(), format_args!("signalled while disabled"));
        t.equal("nothing to acknowledge", gic::acknowledge_nothing(), gic::SPURIOUS);
        t.check(own.is_pending(), format_args!("not pending any more"));
        own.enable(true);
        t.equal("acknowledged", gic::acknowledge(), SGI as u64);
        gic::end(SGI as u64);
        own.retire();
    });
}

/// Runs a case with the virtual timer as the source of a level and interrupts masked.
fn with_level(work: impl Fn(gic::Interrupt)) {
    interrupts::masked(|| {
        VIRTUAL.prepare();
        work(private(cpus::current(), VIRTUAL.intid));
        VIRTUAL.retire();
    });
}

/// Raises the level.
fn raise() {
    VIRTUAL.fire_at(VIRTUAL.now());
    settle();
}

/// Lowers it.
fn lower() {
    VIRTUAL.control.write(ENABLE | MASK);
    settle();
}

/// Lets a change come through.
fn settle() {
    VIRTUAL.wait_for(VIRTUAL.now() + micros(20));
}

fn level_goes_away(t: &Test) {
    with_level(|line| {
        raise();
        t.check(line.is_pending() && gic::is_signalled(), format_args!("not pending"));
        lower();
        t.check(!line.is_pending() && !gic::is_signalled(), format_args!("pending without its level"));
        t.equal("nothing to acknowledge", gic::acknowledge_nothing(), gic::SPURIOUS);
    });
}

fn level_comes_again(t: &Test) {
    with_level(|line| {
        raise();
        t.equal("acknowledged", gic::acknowledge(), VIRTUAL.intid as u64);
        lower();
        gic::end(VIRTUAL.intid as u64);
        t.equal("nothing to acknowledge", gic::acknowledge_nothing(), gic::SPURIOUS);
        t.check(!line.is_active() && !line.is_pending(), format_args!("it is not over"));
        raise();
        t.equal("acknowledged", gic::acknowledge(), VIRTUAL.intid as u64);
        lower();
        gic::end(VIRTUAL.intid as u64);
    });
}

fn level_stays(t: &Test) {
    with_level(|line| {
        raise();
        for _ in 0..5 {
            t.equal("acknowledged", gic::acknowledge(), VIRTUAL.intid as u64);
            t.check(line.is_active(), format_args!("not active"));
            gic::end(VIRTUAL.intid as u64);
            // The level is still there, so it comes again.
            settle();
        }
        lower();
        t.check(!line.is_pending(), format_args!("pending without its level"));
        t.equal("nothing to acknowledge", gic::acknowledge_nothing(), gic::SPURIOUS);
    });
}

fn level_and_software(t: &Test) {
    // What software has made pending stays until it is taken, whatever the level.
    interrupts::masked(|| {
        let spi = shared(gic::FREE.start);
        spi.prepare(0xa0);
        spi.set_edge(false);
        spi.set_route(cpus::current() as u64);
        spi.pend(true);
        t.check(spi.is_pending(), format_args!("not pending"));
        t.equal("acknowledged", gic::acknowledge(), gic::FREE.start as u64);
        t.check(!spi.is_pending(), format_args!("pending although it was taken"));
        gic::end(gic::FREE.start as u64);
        t.equal("nothing to acknowledge", gic::acknowledge_nothing(), gic::SPURIOUS);
        spi.set_edge(true);
        spi.retire();
    });
}

/// Runs a case with an SPI that is an edge, to this CPU, and interrupts masked.
fn with_edge(work: impl Fn(gic::Interrupt)) {
    interrupts::masked(|| {
        let spi = shared(gic::FREE.start);
        spi.prepare(0xa0);
        spi.set_edge(true);
        spi.set_route(cpus::current() as u64);
        work(spi);
        spi.retire();
    });
}

fn edge_once(t: &Test) {
    with_edge(|spi| {
        spi.pend(true);
        t.equal("acknowledged", gic::acknowledge(), gic::FREE.start as u64);
        gic::end(gic::FREE.start as u64);
        t.equal("nothing to acknowledge", gic::acknowledge_nothing(), gic::SPURIOUS);
    });
}

fn edge_twice(t: &Test) {
    with_edge(|spi| {
        // Two before the first is taken are one.
        spi.pend(true);
        spi.pend(true);
        t.equal("acknowledged", gic::acknowledge(), gic::FREE.start as u64);
        gic::end(gic::FREE.start as u64);
        t.equal("nothing to acknowledge", gic::acknowledge_nothing(), gic::SPURIOUS);
    });
}

fn edge_of_active(t: &Test) {
    with_edge(|spi| {
        // Made active by its register it does not come, until it is inactive.
        spi.activate(true);
        spi.pend(true);
        t.equal("nothing to acknowledge", gic::acknowledge_nothing(), gic::SPURIOUS);
        spi.activate(false);
        t.equal("acknowledged", gic::acknowledge(), gic::FREE.start as u64);
        gic::end(gic::FREE.start as u64);
    });
}

fn other_group(t: &Test) {
    // Of Group 0, it is not for who takes Group 1.
    with_edge(|spi| {
        spi.enable(false);
        spi.set_group1(false);
        spi.enable(true);
        spi.pend(true);
        t.equal("nothing to acknowledge", gic::acknowledge_nothing(), gic::SPURIOUS);
        t.check(spi.is_pending(), format_args!("not pending"));
        spi.set_group1(true);
        t.equal("acknowledged", gic::acknowledge(), gic::FREE.start as u64);
        gic::end(gic::FREE.start as u64);
    });
}
