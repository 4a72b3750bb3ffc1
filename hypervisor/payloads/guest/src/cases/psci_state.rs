//! PSCI's AFFINITY_INFO in each state, and CPU_SUSPEND.

use crate::machine::psci::{self, call, error, function as f};
use crate::machine::sysreg::read;
use crate::machine::{cpus, gic, interrupts, timer};
use crate::test::{Case, Test, cases};

pub(crate) const CASES: &[Case] = cases![
    psci_state:
    all_on, off_and_on, unknown_cpus, levels, standby, standby_with_pending, power_down, suspend_reserved_bits, asked_from_all,
];

fn all_on(t: &Test) {
    for cpu in 0..cpus::count() {
        t.same("AFFINITY_INFO", psci::affinity_info(cpu as u64, 0), psci::ON);
        t.same("AFFINITY_INFO, 32 bits", call(f::AFFINITY_INFO_32, [cpu as u64, 0, 0]), psci::ON);
    }
}

fn off_and_on(t: &Test) {
    for cpu in cpus::others() {
        cpus::turn_off(cpu);
        for other in 0..cpus::count() {
            let expected = if other == cpu { psci::OFF } else { psci::ON };
            t.same("AFFINITY_INFO", psci::affinity_info(other as u64, 0), expected);
        }
        t.check(cpus::turn_on(cpu).is_ok(), format_args!("CPU {cpu} does not come back"));
        t.same("AFFINITY_INFO", psci::affinity_info(cpu as u64, 0), psci::ON);
    }
}

fn unknown_cpus(t: &Test) {
    for target in [cpus::count() as u64, 0xff, 0x100, 1 << 32, 1 << 31, 1 << 63] {
        t.same("AFFINITY_INFO", psci::affinity_info(target, 0), error::INVALID_PARAMETERS);
    }
}

fn levels(t: &Test) {
    // Levels above that of CPUs need not be known since PSCI 1.0; where they are, they are on.
    for level in 1..=3 {
        let answer = psci::affinity_info(0, level);
        t.check(
            answer == psci::ON || answer == error::INVALID_PARAMETERS,
            format_args!("level {level}: {answer}"),
        );
    }
}

const STANDBY: u64 = 0;
const POWER_DOWN: u64 = 1 << 16;

fn standby(t: &Test) {
    cpus::on_all(|_| {
        timer::VIRTUAL.prepare();
        let before = timer::VIRTUAL.count();
        let at = timer::VIRTUAL.now() + timer::micros(200);
        timer::VIRTUAL.fire_at(at);
        while timer::VIRTUAL.count() == before {
            t.same("CPU_SUSPEND", call(f::CPU_SUSPEND, [STANDBY, 0, 0]), 0);
        }
        t.check(timer::VIRTUAL.now() >= at, format_args!("it came back too early"));
        timer::VIRTUAL.retire();
    });
}

const KNOCK: usize = 4;

fn standby_with_pending(t: &Test) {
    // What is pending ends it at once, although it is masked.
    cpus::on_all(|cpu| {
        interrupts::masked(|| {
            gic::private(cpu, KNOCK).prepare(0xa0);
            gic::send(gic::sgi(KNOCK, 1 << cpu));
            t.same("CPU_SUSPEND", call(f::CPU_SUSPEND, [STANDBY, 0, 0]), 0);
            t.check(read::isr_el1() & 1 << 7 != 0, format_args!("nothing is pending"));
            t.equal("acknowledged", gic::acknowledge(), KNOCK as u64);
            gic::end(KNOCK as u64);
            gic::private(cpu, KNOCK).retire();
        });
    });
}

fn power_down(t: &Test) {
    // It may be taken for a standby, or go through the entry point with the context.
    for cpu in cpus::others() {
        let context = 0x5155_0000 | cpu as u64;
        match cpus::power_down(cpu, POWER_DOWN, context) {
            Some(answer) => t.same("CPU_SUSPEND", answer, 0),
            None => t.equal("x0", cpus::entered(cpu).x0, context),
        }
        t.same("AFFINITY_INFO", psci::affinity_info(cpu as u64, 0), psci::ON);
        cpus::on(cpu, || t.equal("CPU", cpus::current() as u64, cpu as u64));
    }
}

fn suspend_reserved_bits(t: &Test) {
    for bit in [17, 20, 23, 26, 31] {
        let answer = call(f::CPU_SUSPEND, [1 << bit, cpus::entry_point(), 0]);
        t.same("CPU_SUSPEND", answer, error::INVALID_PARAMETERS);
    }
}

fn asked_from_all(t: &Test) {
    let cpu = cpus::count() - 1;
    cpus::turn_off(cpu);
    for asker in 0..cpu {
        cpus::on(asker, || t.same("AFFINITY_INFO", psci::affinity_info(cpu as u64, 0), psci::OFF));
    }
    // And it is turned on by another one than the boot CPU.
    cpus::on(cpu - 1, || {
        t.check(cpus::turn_on(cpu).is_ok(), format_args!("CPU {cpu} does not come back"));
    });
    for asker in 0..cpus::count() {
        cpus::on(asker, || t.same("AFFINITY_INFO", psci::affinity_info(cpu as u64, 0), psci::ON));
    }
}
