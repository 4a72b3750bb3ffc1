//! PSCI's CPU_ON: what is passed on, and each of its errors.

use tantalum_payload::call;

use crate::machine::psci::{self, call, error, function as f};
use crate::machine::{cpus, timer, tree};
use crate::test::{Case, Test, cases};

pub(crate) const CASES: &[Case] = cases![
    psci_on:
    already_on, itself, unknown_cpus, reserved_bits, context, context_32, entry_registers, entry_outside_memory, twice_at_once,
];

fn already_on(t: &Test) {
    for cpu in cpus::others() {
        t.same("CPU_ON", psci::cpu_on(cpu as u64, cpus::entry_point(), 0), error::ALREADY_ON);
        t.same(
            "CPU_ON, 32 bits",
            call(f::CPU_ON_32, [cpu as u64, cpus::entry_point(), 0]),
            error::ALREADY_ON,
        );
    }
}

fn itself(t: &Test) {
    cpus::on_all(|cpu| {
        t.same("CPU_ON", psci::cpu_on(cpu as u64, cpus::entry_point(), 0), error::ALREADY_ON);
    });
}

fn unknown_cpus(t: &Test) {
    for target in [cpus::count() as u64, 0xff, 0x100, 0x1_0000, 1 << 32, 0xff_00ff_ffff] {
        t.same("CPU_ON", psci::cpu_on(target, cpus::entry_point(), 0), error::INVALID_PARAMETERS);
    }
}

fn reserved_bits(t: &Test) {
    for bit in [24, 30, 31, 40, 63] {
        let target = 1 | 1 << bit;
        t.same("CPU_ON", psci::cpu_on(target, cpus::entry_point(), 0), error::INVALID_PARAMETERS);
    }
}

fn context(t: &Test) {
    for cpu in cpus::others() {
        let context = 0xfeed_face_dead_0000 | cpu as u64;
        cpus::turn_off(cpu);
        t.check(cpus::turn_on_with(cpu, context).is_ok(), format_args!("CPU {cpu} does not come back"));
        t.equal("x0", cpus::entered(cpu).x0, context);
    }
}

fn context_32(t: &Test) {
    let cpu = cpus::count() - 1;
    cpus::turn_off(cpu);
    let turned_on =
        cpus::wait_for_up(cpu, || call(f::CPU_ON_32, [cpu as u64, cpus::entry_point(), 0xc0de_0032]));
    t.same("CPU_ON, 32 bits", turned_on, 0);
    t.equal("x0", cpus::entered(cpu).x0, 0xc0de_0032);
}

fn entry_registers(t: &Test) {
    let cpu = cpus::count() - 1;
    cpus::turn_off(cpu);
    t.check(cpus::turn_on_with(cpu, 5).is_ok(), format_args!("CPU {cpu} does not come back"));
    let entered = cpus::entered(cpu);
    t.equal("CurrentEL", entered.currentel, 1 << 2);
    t.equal("DAIF", entered.daif, 0xf << 6);
    t.equal("SPSel", entered.spsel, 1);
    t.equal("SCTLR_EL1.M", entered.sctlr_el1 & 1, 0);
    t.equal("SCTLR_EL1.C", entered.sctlr_el1 >> 2 & 1, 0);
}

fn entry_outside_memory(t: &Test) {
    if crate::on_reference() {
        return t.skip("QEMU starts a CPU wherever it is told");
    }
    let cpu = cpus::count() - 1;
    cpus::turn_off(cpu);
    let (ram, size) = tree::ram();
    for entry in [0, 0x0900_0000, ram - 4, ram + size, 1 << 47] {
        t.same("CPU_ON", psci::cpu_on(cpu as u64, entry, 0), error::INVALID_ADDRESS);
        t.same("AFFINITY_INFO", psci::affinity_info(cpu as u64, 0), psci::OFF);
    }
    t.check(cpus::turn_on(cpu).is_ok(), format_args!("CPU {cpu} does not come back"));
}

fn twice_at_once(t: &Test) {
    // The second call comes while the first one is at work or when it is done.
    let cpu = cpus::count() - 1;
    cpus::turn_off(cpu);
    let mut second = 0;
    let first = cpus::wait_for_up(cpu, || {
        let first = psci::cpu_on(cpu as u64, cpus::entry_point(), 1);
        second = psci::cpu_on(cpu as u64, cpus::entry_point(), 2);
        first
    });
    t.same("the first", first, 0);
    t.check(second == error::ALREADY_ON || second == error::ON_PENDING, format_args!("the second: {second}"));
    call::wait(timer::micros(100));
    t.equal("x0", cpus::entered(cpu).x0, 1);
    t.same("the third", psci::cpu_on(cpu as u64, cpus::entry_point(), 3), error::ALREADY_ON);
}
