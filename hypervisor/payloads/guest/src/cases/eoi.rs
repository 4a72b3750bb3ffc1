//! Ending interrupts in one step and in two (ICC_CTLR_EL1.EOImode).

use crate::machine::gic::{self, Interrupt, private, send, sgi, shared};
use crate::machine::sysreg::{ICC_CTLR_EL1, read, write};
use crate::machine::{cpus, interrupts, timer};
use crate::test::{Case, Test, cases};

pub(crate) const CASES: &[Case] = cases![
    eoi:
    one_step, two_steps, two_steps_of_an_spi, not_again_before_deactivation, deactivated_out_of_order,
    deactivated_by_register, timer_in_two_steps, on_each_cpu,
];

const FIRST: usize = 9;
const SECOND: usize = 10;
const TWO_STEPS: u64 = 1 << 1;

/// Runs a case on this CPU with interrupts masked and the mode set, with two SGIs of priorities 0xa0 and 0x80.
fn alone(mode: u64, work: impl Fn([Interrupt; 2])) {
    interrupts::masked(|| {
        let cpu = cpus::current();
        let two = [(FIRST, 0xa0), (SECOND, 0x80)].map(|(intid, priority)| {
            let own = private(cpu, intid);
            own.prepare(priority);
            own
        });
        ICC_CTLR_EL1.write(mode);
        work(two);
        two.iter().for_each(Interrupt::retire);
        interrupts::reset_interface();
    });
}

fn send_to_self(intid: usize) {
    send(sgi(intid, 1 << cpus::current()));
}

#[track_caller]
fn takes(t: &Test, intid: usize) {
    t.equal("acknowledged", gic::acknowledge(), intid as u64);
}

#[track_caller]
fn is_idle(t: &Test) {
    t.equal("running priority", read::icc_rpr_el1() & 0xff, 0xff);
}

fn one_step(t: &Test) {
    alone(0, |[first, _]| {
        t.equal("EOImode", ICC_CTLR_EL1.read() & TWO_STEPS, 0);
        send_to_self(FIRST);
        takes(t, FIRST);
        t.check(first.is_active(), format_args!("not active"));
        gic::end(FIRST as u64);
        t.check(!first.is_active(), format_args!("active after its end"));
        is_idle(t);
    });
}

fn two_steps(t: &Test) {
    alone(TWO_STEPS, |[first, _]| {
        t.equal("EOImode", ICC_CTLR_EL1.read() & TWO_STEPS, TWO_STEPS);
        send_to_self(FIRST);
        takes(t, FIRST);
        gic::end(FIRST as u64);
        is_idle(t);
        t.check(first.is_active(), format_args!("not active after the priority has dropped"));
        write::icc_dir_el1(FIRST as u64);
        t.check(!first.is_active(), format_args!("active after it was deactivated"));
    });
}

fn two_steps_of_an_spi(t: &Test) {
    alone(TWO_STEPS, |_| {
        let spi = shared(gic::FREE.start);
        spi.prepare(0xa0);
        spi.set_edge(true);
        spi.set_route(cpus::current() as u64);
        for _ in 0..5 {
            spi.pend(true);
            takes(t, gic::FREE.start);
            gic::end(gic::FREE.start as u64);
            t.check(spi.is_active() && !spi.is_pending(), format_args!("not active alone"));
            write::icc_dir_el1(gic::FREE.start as u64);
            t.check(!spi.is_active(), format_args!("active after it was deactivated"));
        }
        spi.retire();
    });
}

fn not_again_before_deactivation(t: &Test) {
    alone(TWO_STEPS, |[first, _]| {
        send_to_self(FIRST);
        takes(t, FIRST);
        gic::end(FIRST as u64);
        send_to_self(FIRST);
        t.check(first.is_pending() && first.is_active(), format_args!("not both pending and active"));
        t.check(!gic::is_signalled(), format_args!("signalled while it is active"));
        t.equal("nothing to acknowledge", gic::acknowledge_nothing(), gic::SPURIOUS);
        // Others come meanwhile, lower ones too.
        send_to_self(SECOND);
        takes(t, SECOND);
        gic::end(SECOND as u64);
        write::icc_dir_el1(SECOND as u64);
        write::icc_dir_el1(FIRST as u64);
        takes(t, FIRST);
        gic::end(FIRST as u64);
        write::icc_dir_el1(FIRST as u64);
        is_idle(t);
    });
}

fn deactivated_out_of_order(t: &Test) {
    alone(TWO_STEPS, |[first, second]| {
        send_to_self(FIRST);
        takes(t, FIRST);
        send_to_self(SECOND);
        takes(t, SECOND);
        gic::end(SECOND as u64);
        gic::end(FIRST as u64);
        is_idle(t);
        write::icc_dir_el1(FIRST as u64);
        t.check(!first.is_active() && second.is_active(), format_args!("the wrong one is deactivated"));
        write::icc_dir_el1(SECOND as u64);
        t.check(!second.is_active(), format_args!("active after it was deactivated"));
    });
}

fn deactivated_by_register(t: &Test) {
    alone(TWO_STEPS, |[first, _]| {
        send_to_self(FIRST);
        takes(t, FIRST);
        gic::end(FIRST as u64);
        first.activate(false);
        t.check(!first.is_active(), format_args!("active after ICACTIVER"));
        send_to_self(FIRST);
        takes(t, FIRST);
        gic::end(FIRST as u64);
        write::icc_dir_el1(FIRST as u64);
    });
}

fn timer_in_two_steps(t: &Test) {
    alone(TWO_STEPS, |_| {
        timer::VIRTUAL.prepare();
        for _ in 0..5 {
            timer::VIRTUAL.fire_at(timer::VIRTUAL.now());
            while !gic::is_signalled() {
                tantalum_payload::cpu::relax();
            }
            takes(t, timer::VIRTUAL.intid);
            gic::end(timer::VIRTUAL.intid as u64);
            t.equal("not again", gic::acknowledge_nothing(), gic::SPURIOUS);
            timer::VIRTUAL.control.write(0);
            write::icc_dir_el1(timer::VIRTUAL.intid as u64);
            t.equal("nor afterwards", gic::acknowledge_nothing(), gic::SPURIOUS);
        }
        timer::VIRTUAL.retire();
    });
}

fn on_each_cpu(t: &Test) {
    cpus::on_all(|_| {
        alone(TWO_STEPS, |[first, _]| {
            for _ in 0..20 {
                send_to_self(FIRST);
                takes(t, FIRST);
                gic::end(FIRST as u64);
                write::icc_dir_el1(FIRST as u64);
            }
            t.check(!first.is_active(), format_args!("active"));
        });
    });
}
