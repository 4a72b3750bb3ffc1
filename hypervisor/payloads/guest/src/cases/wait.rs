//! WFI and WFE: what ends them, and that nothing is missed.

use core::sync::atomic::{AtomicBool, Ordering};

use tantalum_payload::call;
use tantalum_payload::cpu::wait_until;

use crate::machine::{cpus, gic, interrupts, sysreg, timer};
use crate::test::{Case, Test, cases};

pub(crate) const CASES: &[Case] = cases![wait: pending_and_masked, timer_while_masked, interrupt_of_another, not_before, event_of_own, event_of_another, many_sleeps];

const KNOCK: usize = 6;

fn pending_and_masked(t: &Test) {
    cpus::on_all(|cpu| {
        let knock = gic::private(cpu, KNOCK);
        knock.prepare(0xa0);
        interrupts::masked(|| {
            let before = interrupts::count(cpu, KNOCK);
            gic::send(gic::sgi(KNOCK, 1 << cpu));
            for _ in 0..5 {
                // It stays pending, so each of them ends at once.
                sysreg::wfi();
            }
            t.equal("taken while masked", (interrupts::count(cpu, KNOCK) - before).into(), 0);
            t.check(gic::is_signalled(), format_args!("ISR_EL1 shows nothing"));
        });
        sysreg::isb();
        interrupts::sleep_until(|| interrupts::count(cpu, KNOCK) > 0);
        knock.retire();
    });
}

fn timer_while_masked(t: &Test) {
    cpus::on_all(|_| {
        timer::VIRTUAL.prepare();
        interrupts::masked(|| {
            let before = timer::VIRTUAL.count();
            let at = timer::VIRTUAL.now() + timer::micros(300);
            timer::VIRTUAL.fire_at(at);
            while timer::VIRTUAL.control.read() & timer::STATUS == 0 {
                sysreg::wfi();
            }
            t.check(timer::VIRTUAL.now() >= at, format_args!("the timer's status came early"));
            t.equal("taken while masked", (timer::VIRTUAL.count() - before).into(), 0);
            timer::VIRTUAL.control.write(0);
        });
        timer::VIRTUAL.retire();
    });
}

fn interrupt_of_another(t: &Test) {
    for cpu in cpus::others() {
        let asleep = AtomicBool::new(false);
        let awake = AtomicBool::new(false);
        cpus::on_first(cpu + 1, |own| {
            if own == cpu {
                gic::private(cpu, KNOCK).prepare(0xa0);
                let before = interrupts::count(cpu, KNOCK);
                interrupts::masked(|| {
                    asleep.store(true, Ordering::Release);
                    sysreg::wfi();
                });
                interrupts::sleep_until(|| interrupts::count(cpu, KNOCK) > before);
                awake.store(true, Ordering::Release);
                gic::private(cpu, KNOCK).retire();
            } else if own == 0 {
                wait_until(|| asleep.load(Ordering::Acquire));
                call::wait(timer::micros(50));
                gic::send(gic::sgi(KNOCK, 1 << cpu));
                wait_until(|| awake.load(Ordering::Acquire));
            }
        });
        t.check(awake.load(Ordering::Acquire), format_args!("CPU {cpu} sleeps"));
    }
}

fn not_before(t: &Test) {
    // With nothing pending, and the timer as the only source, it sleeps until that.
    timer::VIRTUAL.prepare();
    for micros in [100, 1_000, 3_000] {
        let before = timer::VIRTUAL.count();
        let at = timer::VIRTUAL.now() + timer::micros(micros);
        timer::VIRTUAL.fire_at(at);
        interrupts::sleep_until(|| timer::VIRTUAL.count() > before);
        t.check(timer::VIRTUAL.now() >= at, format_args!("awake before {micros} us"));
    }
    timer::VIRTUAL.retire();
}

fn event_of_own(t: &Test) {
    cpus::on_all(|_| {
        for _ in 0..20 {
            sysreg::sevl();
            sysreg::wfe();
        }
        t.check(true, format_args!("WFE comes back"));
    });
}

fn event_of_another(t: &Test) {
    for cpu in cpus::others() {
        let awake = AtomicBool::new(false);
        let ready = AtomicBool::new(false);
        cpus::on_first(cpu + 1, |own| {
            if own == cpu {
                ready.store(true, Ordering::Release);
                // An event of before may end the first one.
                for _ in 0..2 {
                    sysreg::wfe();
                }
                awake.store(true, Ordering::Release);
            } else if own == 0 {
                wait_until(|| ready.load(Ordering::Acquire));
                while !awake.load(Ordering::Acquire) {
                    sysreg::sev();
                    tantalum_payload::cpu::relax();
                }
            }
        });
        t.check(awake.load(Ordering::Acquire), format_args!("CPU {cpu} sleeps"));
    }
}

fn many_sleeps(t: &Test) {
    // Two CPUs wake each other in turn; one wake-up that is missed and both sleep for ever.
    let turn = core::sync::atomic::AtomicUsize::new(0);
    const ROUNDS: usize = 200;
    cpus::on_first(2, |cpu| {
        gic::private(cpu, KNOCK).prepare(0xa0);
        for round in 0..ROUNDS {
            let own = round * 2 + cpu;
            interrupts::sleep_until(|| turn.load(Ordering::Acquire) == own);
            turn.store(own + 1, Ordering::Release);
            gic::send(gic::sgi(KNOCK, 1 << (1 - cpu)));
        }
    });
    t.equal("turns", turn.load(Ordering::Acquire) as u64, 2 * ROUNDS as u64);
    for cpu in 0..2 {
        cpus::on(cpu, || gic::private(cpu, KNOCK).retire());
    }
}
