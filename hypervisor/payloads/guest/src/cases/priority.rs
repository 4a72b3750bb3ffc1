//! Priorities: order, the mask, preemption, groups of priorities (GICv3, section 4.8).

use crate::machine::gic::{self, Interrupt, private, send, sgi};
use crate::machine::sysreg::{ICC_BPR1_EL1, ICC_PMR_EL1, read};
use crate::machine::{cpus, interrupts};
use crate::test::{Case, Test, cases};

pub(crate) const CASES: &[Case] = cases![
    priority:
    order, mask, mask_of_all, running, preemption, equal_does_not_preempt, groups_of_priorities, highest_pending,
    changed_while_pending, nested_in_handler, on_each_cpu,
];

const LOW: usize = 1;
const MIDDLE: usize = 2;
const HIGH: usize = 3;

/// Sets three SGIs of this CPU up with priorities 0xc0, 0xa0 and 0x80.
fn prepare() -> [Interrupt; 3] {
    let cpu = cpus::current();
    [(LOW, 0xc0), (MIDDLE, 0xa0), (HIGH, 0x80)].map(|(intid, priority)| {
        let own = private(cpu, intid);
        own.prepare(priority);
        own
    })
}

fn send_to_self(intid: usize) {
    send(sgi(intid, 1 << cpus::current()));
}

/// Acknowledges what must be `intid`.
#[track_caller]
fn takes(t: &Test, intid: usize) {
    t.equal("acknowledged", gic::acknowledge(), intid as u64);
}

/// Asserts that there is nothing to take.
#[track_caller]
fn takes_nothing(t: &Test) {
    t.check(!gic::is_signalled(), format_args!("something is signalled"));
    t.equal("nothing to acknowledge", gic::acknowledge_nothing(), gic::SPURIOUS);
}

/// Runs a case on this CPU with interrupts masked, and leaves the CPU interface as it was.
fn alone(work: impl Fn([Interrupt; 3])) {
    interrupts::masked(|| {
        let three = prepare();
        work(three);
        three.iter().for_each(Interrupt::retire);
        interrupts::reset_interface();
    });
}

fn order(t: &Test) {
    alone(|_| {
        for intid in [LOW, HIGH, MIDDLE] {
            send_to_self(intid);
        }
        for intid in [HIGH, MIDDLE, LOW] {
            takes(t, intid);
            gic::end(intid as u64);
        }
        takes_nothing(t);
    });
}

fn mask(t: &Test) {
    alone(|_| {
        ICC_PMR_EL1.write(0xa0);
        t.equal("mask", ICC_PMR_EL1.read(), 0xa0);
        send_to_self(LOW);
        send_to_self(MIDDLE);
        takes_nothing(t);
        send_to_self(HIGH);
        t.check(gic::is_signalled(), format_args!("what is above the mask is not signalled"));
        takes(t, HIGH);
        gic::end(HIGH as u64);
        ICC_PMR_EL1.write(0xb0);
        takes(t, MIDDLE);
        gic::end(MIDDLE as u64);
        takes_nothing(t);
        ICC_PMR_EL1.write(0xf0);
        takes(t, LOW);
        gic::end(LOW as u64);
    });
}

fn mask_of_all(t: &Test) {
    alone(|_| {
        ICC_PMR_EL1.write(0);
        send_to_self(HIGH);
        takes_nothing(t);
        ICC_PMR_EL1.write(0xff);
        takes(t, HIGH);
        gic::end(HIGH as u64);
    });
}

fn running(t: &Test) {
    alone(|_| {
        t.equal("idle", read::icc_rpr_el1() & 0xff, 0xff);
        send_to_self(LOW);
        takes(t, LOW);
        t.equal("running", read::icc_rpr_el1() & 0xff, 0xc0);
        send_to_self(HIGH);
        takes(t, HIGH);
        t.equal("running", read::icc_rpr_el1() & 0xff, 0x80);
        gic::end(HIGH as u64);
        t.equal("running", read::icc_rpr_el1() & 0xff, 0xc0);
        gic::end(LOW as u64);
        t.equal("idle", read::icc_rpr_el1() & 0xff, 0xff);
    });
}

fn preemption(t: &Test) {
    alone(|_| {
        send_to_self(MIDDLE);
        takes(t, MIDDLE);
        send_to_self(LOW);
        takes_nothing(t);
        send_to_self(HIGH);
        t.check(gic::is_signalled(), format_args!("the higher one is not signalled"));
        takes(t, HIGH);
        takes_nothing(t);
        gic::end(HIGH as u64);
        takes_nothing(t);
        gic::end(MIDDLE as u64);
        takes(t, LOW);
        gic::end(LOW as u64);
    });
}

fn equal_does_not_preempt(t: &Test) {
    alone(|[low, ..]| {
        low.set_priority(0xa0);
        send_to_self(MIDDLE);
        takes(t, MIDDLE);
        send_to_self(LOW);
        takes_nothing(t);
        gic::end(MIDDLE as u64);
        takes(t, LOW);
        gic::end(LOW as u64);
    });
}

fn groups_of_priorities(t: &Test) {
    alone(|[low, _, high]| {
        // 0xa0 and 0x80 differ in bit 5 only: with the binary point at 5 they are of one group, bits 7 and 6.
        ICC_BPR1_EL1.write(6);
        let point = ICC_BPR1_EL1.read();
        t.equal("binary point", point, 6);
        high.set_priority(0x80);
        low.set_priority(0x40);
        send_to_self(MIDDLE);
        takes(t, MIDDLE);
        send_to_self(HIGH);
        takes_nothing(t);
        send_to_self(LOW);
        takes(t, LOW);
        gic::end(LOW as u64);
        gic::end(MIDDLE as u64);
        takes(t, HIGH);
        gic::end(HIGH as u64);
    });
}

fn highest_pending(t: &Test) {
    alone(|_| {
        t.equal("none", read::icc_hppir1_el1() & 0xff_ffff, gic::SPURIOUS);
        send_to_self(LOW);
        t.equal("the only one", read::icc_hppir1_el1() & 0xff_ffff, LOW as u64);
        send_to_self(HIGH);
        t.equal("the higher one", read::icc_hppir1_el1() & 0xff_ffff, HIGH as u64);
        takes(t, HIGH);
        t.equal("the one that is left", read::icc_hppir1_el1() & 0xff_ffff, LOW as u64);
        gic::end(HIGH as u64);
        takes(t, LOW);
        gic::end(LOW as u64);
    });
}

fn changed_while_pending(t: &Test) {
    alone(|[low, ..]| {
        ICC_PMR_EL1.write(0);
        send_to_self(LOW);
        send_to_self(HIGH);
        low.set_priority(0x40);
        ICC_PMR_EL1.write(0xff);
        takes(t, LOW);
        t.equal("running", read::icc_rpr_el1() & 0xff, 0x40);
        gic::end(LOW as u64);
        takes(t, HIGH);
        gic::end(HIGH as u64);
    });
}

fn nested_in_handler(t: &Test) {
    /// Lets the higher one in while this one is at work.
    fn hook(_: usize) {
        send_to_self(HIGH);
        // The handler's own return address is kept where it is; only what is higher can come.
        interrupts::nest();
    }
    let cpu = cpus::current();
    let three = prepare();
    let before = [LOW, HIGH].map(|intid| interrupts::count(cpu, intid));
    interrupts::on_arrival(LOW, Some(hook));
    send_to_self(LOW);
    interrupts::sleep_until(|| interrupts::count(cpu, LOW) > before[0]);
    interrupts::on_arrival(LOW, None);
    t.equal("the lower one", (interrupts::count(cpu, LOW) - before[0]).into(), 1);
    t.equal("the higher one", (interrupts::count(cpu, HIGH) - before[1]).into(), 1);
    t.equal("idle", read::icc_rpr_el1() & 0xff, 0xff);
    three.iter().for_each(Interrupt::retire);
}

fn on_each_cpu(t: &Test) {
    cpus::on_all(|_| {
        alone(|_| {
            for intid in [LOW, MIDDLE, HIGH] {
                send_to_self(intid);
            }
            for intid in [HIGH, MIDDLE, LOW] {
                takes(t, intid);
                gic::end(intid as u64);
            }
        });
    });
}
