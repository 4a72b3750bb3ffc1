//! The physical timer of EL1, and what is asserted of both timers.

use core::sync::atomic::{AtomicU32, Ordering};

use tantalum_payload::call;

use crate::machine::timer::{self, ENABLE, MASK, PHYSICAL, STATUS, Timer, micros};
use crate::machine::{cpus, gic, interrupts};
use crate::test::{Case, Test, cases};

pub(crate) const CASES: &[Case] = cases![
    ptimer:
    physical_fires, physical_value_is_relative, physical_past_deadline, physical_masked, physical_disabled, physical_cancel,
    physical_far_deadline, physical_status, physical_per_cpu, physical_again_and_again, both_at_once,
];

fn physical_fires(t: &Test) {
    fires(t, PHYSICAL);
}

fn physical_value_is_relative(t: &Test) {
    value_is_relative(t, PHYSICAL);
}

fn physical_past_deadline(t: &Test) {
    past_deadline(t, PHYSICAL);
}

fn physical_masked(t: &Test) {
    masked(t, PHYSICAL);
}

fn physical_disabled(t: &Test) {
    disabled(t, PHYSICAL);
}

fn physical_cancel(t: &Test) {
    cancel(t, PHYSICAL);
}

fn physical_far_deadline(t: &Test) {
    far_deadline(t, PHYSICAL);
}

fn physical_status(t: &Test) {
    status(t, PHYSICAL);
}

fn physical_per_cpu(t: &Test) {
    per_cpu(t, PHYSICAL);
}

fn physical_again_and_again(t: &Test) {
    again_and_again(t, PHYSICAL);
}

fn both_at_once(t: &Test) {
    cpus::on_all(|cpu| {
        PHYSICAL.prepare();
        timer::VIRTUAL.prepare();
        let before = [PHYSICAL.count(), timer::VIRTUAL.count()];
        PHYSICAL.fire_at(PHYSICAL.now() + micros(100));
        timer::VIRTUAL.fire_at(timer::VIRTUAL.now() + micros(150));
        interrupts::sleep_until(|| PHYSICAL.count() > before[0] && timer::VIRTUAL.count() > before[1]);
        let came = [PHYSICAL.count() - before[0], timer::VIRTUAL.count() - before[1]];
        t.check(came == [1, 1], format_args!("CPU {cpu}: {came:?}"));
        PHYSICAL.retire();
        timer::VIRTUAL.retire();
    });
}

/// Fires once, at the time it is to.
pub(super) fn fires(t: &Test, timer: Timer) {
    cpus::on_all(|cpu| {
        timer.prepare();
        let before = timer.count();
        let at = timer.now() + micros(150);
        timer.fire_at(at);
        interrupts::sleep_until(|| timer.count() > before);
        t.check(timer.now() >= at, format_args!("CPU {cpu}: too early"));
        call::wait(micros(100));
        t.equal("interrupts", (timer.count() - before).into(), 1);
        timer.retire();
    });
}

/// The value counts down to the deadline, and is signed.
pub(super) fn value_is_relative(t: &Test, timer: Timer) {
    timer.control.write(0);
    timer.compare.write(timer.now() + 1_000_000);
    let value = timer.value.read();
    t.check((1..=1_000_000).contains(&(value & 0xffff_ffff)), format_args!("value {value:#x}"));
    timer.value.write(500_000);
    let ahead = timer.compare.read().wrapping_sub(timer.now());
    t.check(ahead <= 500_000, format_args!("{ahead:#x} ahead of the count"));
    timer.value.write((-1000_i64) as u64 & 0xffff_ffff);
    let behind = timer.now().wrapping_sub(timer.compare.read());
    t.check((1000..100_000_000).contains(&behind), format_args!("{behind:#x} behind the count"));
}

/// A deadline that has passed fires at once.
pub(super) fn past_deadline(t: &Test, timer: Timer) {
    timer.prepare();
    for deadline in [0, 1, timer.now() - 1, timer.now()] {
        let before = timer.count();
        timer.fire_at(deadline);
        interrupts::sleep_until(|| timer.count() > before);
        t.equal("interrupts", (timer.count() - before).into(), 1);
    }
    timer.retire();
}

/// The mask keeps the interrupt back and not the status.
pub(super) fn masked(t: &Test, timer: Timer) {
    timer.prepare();
    let before = timer.count();
    timer.compare.write(timer.now());
    timer.control.write(ENABLE | MASK);
    call::wait(micros(50));
    t.equal("control", timer.control.read(), ENABLE | MASK | STATUS);
    t.equal("interrupts", (timer.count() - before).into(), 0);
    timer.control.write(ENABLE);
    interrupts::sleep_until(|| timer.count() > before);
    t.equal("interrupts", (timer.count() - before).into(), 1);
    timer.retire();
}

/// A timer that is off does nothing.
pub(super) fn disabled(t: &Test, timer: Timer) {
    timer.prepare();
    let before = timer.count();
    timer.compare.write(timer.now());
    timer.control.write(0);
    call::wait(micros(50));
    t.equal("enable and mask", timer.control.read() & (ENABLE | MASK), 0);
    t.equal("interrupts", (timer.count() - before).into(), 0);
    t.check(!gic::private(cpus::current(), timer.intid).is_pending(), format_args!("it is pending"));
    timer.retire();
}

/// A deadline that is taken back does not come.
pub(super) fn cancel(t: &Test, timer: Timer) {
    timer.prepare();
    let before = timer.count();
    for by_compare in [false, true] {
        timer.fire_at(timer.now() + micros(200));
        call::wait(micros(20));
        if by_compare {
            timer.compare.write(u64::MAX);
        } else {
            timer.control.write(0);
        }
        call::wait(micros(400));
        t.equal("interrupts", (timer.count() - before).into(), 0);
    }
    timer.retire();
}

/// Deadlines that are very far do not come, nor wrap.
pub(super) fn far_deadline(t: &Test, timer: Timer) {
    timer.prepare();
    let before = timer.count();
    for ahead in [1 << 33, 1 << 47, u64::MAX / 2] {
        timer.fire_at(timer.now() + ahead);
        call::wait(micros(50));
        t.equal("status", timer.control.read(), ENABLE);
    }
    timer.fire_at(u64::MAX);
    call::wait(micros(50));
    t.equal("status", timer.control.read(), ENABLE);
    t.equal("interrupts", (timer.count() - before).into(), 0);
    timer.retire();
}

/// The status says whether the deadline has passed.
pub(super) fn status(t: &Test, timer: Timer) {
    timer.control.write(0);
    timer.compare.write(timer.now() + micros(200));
    timer.control.write(ENABLE | MASK);
    t.equal("status before", timer.control.read() & STATUS, 0);
    call::wait(micros(250));
    t.equal("status after", timer.control.read() & STATUS, STATUS);
    timer.compare.write(timer.now() + micros(10_000));
    t.equal("status of the next", timer.control.read() & STATUS, 0);
    timer.control.write(0);
}

/// The interrupt is pending as long as the timer says so.
pub(super) fn pending_is_level(t: &Test, timer: Timer) {
    let line = gic::private(cpus::current(), timer.intid);
    interrupts::masked(|| {
        timer.prepare();
        t.check(!line.is_pending(), format_args!("pending before"));
        timer.fire_at(timer.now());
        timer.wait_for(timer.now() + micros(20));
        t.check(line.is_pending(), format_args!("not pending"));
        t.check(gic::is_signalled(), format_args!("not signalled"));
        timer.compare.write(timer.now() + micros(100_000));
        timer.wait_for(timer.now() + micros(20));
        t.check(!line.is_pending(), format_args!("pending after the deadline has moved"));
        t.equal("nothing to acknowledge", gic::acknowledge_nothing(), gic::SPURIOUS);
        timer.retire();
    });
}

/// Each CPU has one of its own.
pub(super) fn per_cpu(t: &Test, timer: Timer) {
    for cpu in 0..cpus::count() {
        let fired: [AtomicU32; cpus::MOST] = [const { AtomicU32::new(0) }; cpus::MOST];
        let together = cpus::Barrier::new(cpus::count());
        cpus::on_all(|own| {
            timer.prepare();
            let before = timer.count();
            together.wait();
            if own == cpu {
                timer.fire_at(timer.now() + micros(50));
                interrupts::sleep_until(|| timer.count() > before);
            }
            together.wait();
            fired[own].store(timer.count() - before, Ordering::Release);
            timer.retire();
        });
        for (own, fired) in fired.iter().enumerate().take(cpus::count()) {
            t.equal("interrupts", fired.load(Ordering::Acquire).into(), (own == cpu).into());
        }
    }
}

/// Periods do not drift: each deadline follows from the one before.
pub(super) fn again_and_again(t: &Test, timer: Timer) {
    timer.prepare();
    let before = timer.count();
    let begin = timer.now();
    let period = micros(100);
    const PERIODS: u64 = 40;
    for number in 1..=PERIODS {
        let seen = timer.count();
        timer.fire_at(begin + number * period);
        interrupts::sleep_until(|| timer.count() > seen);
        t.check(timer.now() >= begin + number * period, format_args!("period {number} is short"));
    }
    t.equal("interrupts", (timer.count() - before).into(), PERIODS);
    timer.retire();
}

/// The timers of all CPUs fire at one time.
pub(super) fn all_cpus_at_once(t: &Test, timer: Timer) {
    let at = timer.now() + micros(2_000);
    cpus::on_all(|cpu| {
        timer.prepare();
        let before = timer.count();
        timer.fire_at(at);
        interrupts::sleep_until(|| timer.count() > before);
        t.check(timer.now() >= at, format_args!("CPU {cpu}: too early"));
        t.equal("interrupts", (timer.count() - before).into(), 1);
        timer.retire();
    });
}

/// A deadline that moves ahead or back is the one that counts.
pub(super) fn deadline_moves(t: &Test, timer: Timer) {
    timer.prepare();
    let before = timer.count();
    let begin = timer.now();
    timer.fire_at(begin + micros(100_000));
    timer.compare.write(begin + micros(100));
    interrupts::sleep_until(|| timer.count() > before);
    t.check(timer.now() < begin + micros(50_000), format_args!("the first deadline counted"));
    let begin = timer.now();
    timer.fire_at(begin + micros(100));
    timer.compare.write(begin + micros(1_000));
    interrupts::sleep_until(|| timer.count() > before + 1);
    t.check(timer.now() >= begin + micros(1_000), format_args!("the first deadline counted"));
    timer.retire();
}
