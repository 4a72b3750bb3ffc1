//! CPUs go off and come back, again and again, while others work.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::machine::{cpus, gic, interrupts, psci, sysreg, timer};
use crate::test::{Case, Test, cases};

pub(crate) const CASES: &[Case] =
    cases![hotplug: each_many_times, all_at_once, while_others_work, timer_afterwards, nothing_is_left];

const TIMES: u64 = 50;

fn each_many_times(t: &Test) {
    for cpu in cpus::others() {
        for time in 0..TIMES {
            cpus::turn_off(cpu);
            t.same("AFFINITY_INFO", psci::affinity_info(cpu as u64, 0), psci::OFF);
            let back = cpus::turn_on_with(cpu, time << 8 | cpu as u64);
            t.check(back.is_ok(), format_args!("CPU {cpu} does not come back: {back:?}"));
            t.equal("x0", cpus::entered(cpu).x0, time << 8 | cpu as u64);
        }
    }
}

fn all_at_once(t: &Test) {
    for _ in 0..10 {
        cpus::others().for_each(cpus::turn_off);
        for cpu in cpus::others() {
            t.same("AFFINITY_INFO", psci::affinity_info(cpu as u64, 0), psci::OFF);
        }
        for cpu in cpus::others() {
            t.check(cpus::turn_on(cpu).is_ok(), format_args!("CPU {cpu} does not come back"));
        }
    }
}

fn while_others_work(t: &Test) {
    let (mover, moved) = (1, cpus::count() - 1);
    if mover == moved {
        return t.skip("there are less than three CPUs");
    }
    let done = AtomicBool::new(false);
    let worked = AtomicU64::new(0);
    cpus::on_first(mover + 1, |cpu| {
        if cpu == mover {
            for _ in 0..20 {
                cpus::turn_off(moved);
                t.check(cpus::turn_on(moved).is_ok(), format_args!("CPU {moved} does not come back"));
            }
            done.store(true, Ordering::Release);
        } else {
            while !done.load(Ordering::Acquire) {
                worked.fetch_add(1, Ordering::AcqRel);
                t.same("AFFINITY_INFO", psci::affinity_info(0, 0), psci::ON);
                tantalum_payload::cpu::relax();
            }
        }
    });
    t.check(worked.load(Ordering::Acquire) > 0, format_args!("the others did not get on"));
}

fn timer_afterwards(t: &Test) {
    for cpu in cpus::others() {
        cpus::turn_off(cpu);
        t.check(cpus::turn_on(cpu).is_ok(), format_args!("CPU {cpu} does not come back"));
        cpus::on(cpu, || {
            timer::VIRTUAL.prepare();
            let before = timer::VIRTUAL.count();
            timer::VIRTUAL.fire_at(timer::VIRTUAL.now() + timer::micros(50));
            interrupts::sleep_until(|| timer::VIRTUAL.count() > before);
            t.equal("interrupts", (timer::VIRTUAL.count() - before).into(), 1);
            timer::VIRTUAL.retire();
        });
    }
}

const KNOCK: usize = 5;

fn nothing_is_left(t: &Test) {
    // A CPU begins with its timers off and its CPU interface empty, whatever it was at.
    let cpu = cpus::count() - 1;
    cpus::on(cpu, || {
        interrupts::masked(|| {
            timer::VIRTUAL.compare.write(0);
            timer::VIRTUAL.control.write(timer::ENABLE | timer::MASK);
            sysreg::TPIDR_EL1.write(0x1234);
        });
    });
    cpus::turn_off(cpu);
    t.check(cpus::turn_on(cpu).is_ok(), format_args!("CPU {cpu} does not come back"));
    cpus::on(cpu, || {
        timer::VIRTUAL.control.write(0);
        t.equal("running priority", sysreg::read::icc_rpr_el1() & 0xff, 0xff);
        gic::private(cpu, KNOCK).prepare(0xa0);
        let before = interrupts::count(cpu, KNOCK);
        gic::send(gic::sgi(KNOCK, 1 << cpu));
        interrupts::sleep_until(|| interrupts::count(cpu, KNOCK) > before);
        gic::private(cpu, KNOCK).retire();
    });
}
