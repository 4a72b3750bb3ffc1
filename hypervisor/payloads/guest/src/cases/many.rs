//! More interrupts at once than a virtual CPU interface holds: none is lost and the order is kept.

use tantalum_payload::cpu::wait_until;

use crate::machine::gic::{self, Interrupt, private, send, sgi, shared};
use crate::machine::sysreg::{ICC_CTLR_EL1, ICC_PMR_EL1, read, write};
use crate::machine::{cpus, interrupts};
use crate::test::{Case, Test, cases};

pub(crate) const CASES: &[Case] = cases![many: pending_in_order, arrive_all, higher_comes_late, nested_deeply, active_at_once, on_all_cpus, again_and_again];

/// Counts the SGIs and SPIs that are used: 0 to 14, and those that no device has.
const SGIS: usize = 15;
const COUNT: usize = SGIS + 6;

/// Returns interrupt number `index` of them on this CPU.
fn interrupt(index: usize) -> Interrupt {
    if index < SGIS { private(cpus::current(), index) } else { shared(gic::FREE.start + index - SGIS) }
}

/// Returns a priority for each, all different, in no order that the numbers have.
fn priority(index: usize) -> u8 {
    (index * 8 % 21) as u8 * 8 + 0x10
}

/// Sets `count` of them up on this CPU.
fn prepare(count: usize) {
    for index in 0..count {
        let it = interrupt(index);
        it.prepare(priority(index));
        if index >= SGIS {
            it.set_edge(true);
            it.set_route(cpus::current() as u64);
        }
    }
}

fn retire(count: usize) {
    (0..count).for_each(|index| interrupt(index).retire());
}

fn pend(index: usize) {
    if index < SGIS {
        send(sgi(index, 1 << cpus::current()));
    } else {
        interrupt(index).pend(true);
    }
}

/// Returns the numbers below `count` by priority, the highest first.
fn by_priority(count: usize) -> impl Iterator<Item = usize> {
    (0..=u8::MAX).filter_map(move |wanted| (0..count).find(|index| priority(*index) == wanted))
}

/// Takes them all in order.
fn takes_in_order(t: &Test, count: usize) {
    for index in by_priority(count) {
        t.equal("acknowledged", gic::acknowledge(), interrupt(index).intid as u64);
        gic::end(interrupt(index).intid as u64);
    }
    t.equal("nothing is left", gic::acknowledge_nothing(), gic::SPURIOUS);
}

fn pending_in_order(t: &Test) {
    interrupts::masked(|| {
        prepare(COUNT);
        (0..COUNT).for_each(pend);
        takes_in_order(t, COUNT);
        retire(COUNT);
    });
}

fn arrive_all(t: &Test) {
    let cpu = cpus::current();
    prepare(COUNT);
    let before: [u32; COUNT] = core::array::from_fn(|index| interrupts::count(cpu, interrupt(index).intid));
    interrupts::masked(|| (0..COUNT).for_each(pend));
    let came = |index: usize| interrupts::count(cpu, interrupt(index).intid) - before[index];
    wait_until(|| (0..COUNT).all(|index| came(index) > 0));
    for index in 0..COUNT {
        t.equal("interrupts", came(index).into(), 1);
    }
    retire(COUNT);
}

fn higher_comes_late(t: &Test) {
    // With all places taken by lower ones, one that is higher than all of them comes first all the same.
    interrupts::masked(|| {
        prepare(COUNT);
        let highest = by_priority(COUNT).next().unwrap_or_default();
        ICC_PMR_EL1.write(0);
        (0..COUNT).filter(|index| *index != highest).for_each(pend);
        pend(highest);
        ICC_PMR_EL1.write(0xff);
        takes_in_order(t, COUNT);
        retire(COUNT);
    });
}

/// Is how deep they are nested: there are 16 levels at least.
const DEPTH: usize = 15;

fn nested_deeply(t: &Test) {
    // Each one preempts the one before, so that all of them are active at once.
    interrupts::masked(|| {
        let level = |index: usize| 0xf0 - 0x10 * index as u8;
        prepare(DEPTH);
        for index in 0..DEPTH {
            interrupt(index).set_priority(level(index));
            pend(index);
            t.equal("acknowledged", gic::acknowledge(), index as u64);
            t.equal("running priority", read::icc_rpr_el1() & 0xff, level(index).into());
        }
        for index in 0..DEPTH {
            t.check(interrupt(index).is_active(), format_args!("{index} is not active"));
        }
        for index in (0..DEPTH).rev() {
            t.equal("running priority", read::icc_rpr_el1() & 0xff, level(index).into());
            gic::end(index as u64);
            t.check(!interrupt(index).is_active(), format_args!("{index} is active after its end"));
        }
        t.equal("running priority", read::icc_rpr_el1() & 0xff, 0xff);
        retire(DEPTH);
    });
}

fn active_at_once(t: &Test) {
    // In two steps any number of them can be active, and is deactivated in any order.
    interrupts::masked(|| {
        prepare(COUNT);
        ICC_CTLR_EL1.write(1 << 1);
        (0..COUNT).for_each(pend);
        for index in by_priority(COUNT) {
            t.equal("acknowledged", gic::acknowledge(), interrupt(index).intid as u64);
            gic::end(interrupt(index).intid as u64);
        }
        for index in 0..COUNT {
            t.check(interrupt(index).is_active(), format_args!("{} is not active", interrupt(index).intid));
        }
        for index in (0..COUNT).map(|index| index * 8 % COUNT) {
            write::icc_dir_el1(interrupt(index).intid as u64);
            t.check(!interrupt(index).is_active(), format_args!("{} is active", interrupt(index).intid));
        }
        t.equal("nothing is left", gic::acknowledge_nothing(), gic::SPURIOUS);
        interrupts::reset_interface();
        retire(COUNT);
    });
}

fn on_all_cpus(t: &Test) {
    // Set up one after the other: on a virtual clock of instructions, CPUs that wait for a lock of the hypervisor take
    // long.
    for cpu in 0..cpus::count() {
        cpus::on(cpu, || prepare(SGIS));
    }
    cpus::on_all(|_| {
        interrupts::masked(|| {
            (0..SGIS).for_each(pend);
            takes_in_order(t, SGIS);
        });
    });
    for cpu in 0..cpus::count() {
        cpus::on(cpu, || retire(SGIS));
    }
}

fn again_and_again(t: &Test) {
    interrupts::masked(|| {
        prepare(COUNT);
        for round in 0..20 {
            let some = |index: &usize| !(index * 7 + round).is_multiple_of(3);
            (0..COUNT).filter(some).for_each(pend);
            for index in by_priority(COUNT).filter(some) {
                t.equal("acknowledged", gic::acknowledge(), interrupt(index).intid as u64);
                gic::end(interrupt(index).intid as u64);
            }
            t.equal("nothing is left", gic::acknowledge_nothing(), gic::SPURIOUS);
        }
        retire(COUNT);
    });
}
