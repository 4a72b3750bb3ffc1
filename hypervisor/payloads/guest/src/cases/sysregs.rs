//! Each CPU keeps its own system registers, whatever runs in between: calls, interrupts, other CPUs, other machines.

use tantalum_payload::call;

use crate::machine::sysreg::{self, Register};
use crate::machine::{cpus, interrupts, psci, timer};
use crate::test::{Case, Test, cases};

pub(crate) const CASES: &[Case] = cases![sysregs: thread_pointers, exception_state, translation_state, timer_access, while_others_write, over_sleep];

/// Lets as much come between as can: a call, a while in which an interrupt of the hypervisor may come, a sleep.
pub(super) fn disturb() {
    psci::call(psci::function::VERSION, [0; 3]);
    call::wait(timer::micros(150));
    let deadline = timer::VIRTUAL.now() + timer::micros(100);
    timer::VIRTUAL.fire_at(deadline);
    // Interrupts are masked, so the timer only ends the sleep.
    while timer::VIRTUAL.now() < deadline {
        sysreg::wfi();
    }
    timer::VIRTUAL.control.write(0);
}

/// Asserts on all CPUs that these registers keep what is written, bit by bit as far as each has them. Those that have
/// all bits of `whole` must take them all.
fn keeps(t: &Test, registers: &[(Register, u64)]) {
    cpus::on_all(|cpu| {
        interrupts::masked(|| {
            timer::VIRTUAL.prepare();
            let before: [u64; 8] =
                core::array::from_fn(|at| registers.get(at).map_or(0, |(it, _)| it.read()));
            for (index, (register, whole)) in registers.iter().enumerate() {
                register.write(pattern(cpu, index) & whole);
            }
            disturb();
            for (index, (register, whole)) in registers.iter().enumerate() {
                let got = register.read();
                let expected = pattern(cpu, index) & whole;
                t.check(
                    got == expected,
                    format_args!("{} of CPU {cpu}: expected {expected:#x}, got {got:#x}", register.name),
                );
            }
            for ((register, _), before) in registers.iter().zip(before) {
                register.write(before);
            }
            timer::VIRTUAL.retire();
        });
    });
}

fn pattern(cpu: usize, index: usize) -> u64 {
    0x5a5a_0123_4567_89a8_u64.rotate_left((cpu * 8 + index) as u32) ^ (cpu as u64) << 60
}

const ALL: u64 = u64::MAX;
const LOWER: u64 = 0xffff_ffff;

fn thread_pointers(t: &Test) {
    keeps(
        t,
        &[
            (sysreg::TPIDR_EL0, ALL),
            (sysreg::TPIDRRO_EL0, ALL),
            (sysreg::TPIDR_EL1, ALL),
            (sysreg::SP_EL0, ALL),
            (sysreg::CONTEXTIDR_EL1, LOWER),
        ],
    );
}

fn exception_state(t: &Test) {
    keeps(t, &[(sysreg::ELR_EL1, ALL), (sysreg::FAR_EL1, ALL), (sysreg::ESR_EL1, LOWER)]);
}

fn translation_state(t: &Test) {
    // The upper half of the addresses is off, so its root is of no effect.
    keeps(t, &[(sysreg::TTBR1_EL1, 0xff_ffff_f000), (sysreg::PAR_EL1, 1), (sysreg::CSSELR_EL1, 1 << 1)]);
}

fn timer_access(t: &Test) {
    keeps(t, &[(sysreg::CNTKCTL_EL1, 0x3), (sysreg::CNTP_CVAL_EL0, ALL)]);
}

fn while_others_write(t: &Test) {
    // Each CPU has a value of its own, and all write at once, again and again.
    cpus::on_all(|cpu| {
        for round in 0..200_u64 {
            let value = (cpu as u64) << 32 | round;
            sysreg::TPIDR_EL1.write(value);
            sysreg::TPIDR_EL0.write(!value);
            if round % 10 == 0 {
                psci::call(psci::function::VERSION, [0; 3]);
            }
            t.check(
                sysreg::TPIDR_EL1.read() == value && sysreg::TPIDR_EL0.read() == !value,
                format_args!("CPU {cpu} in round {round}: {:#x}", sysreg::TPIDR_EL1.read()),
            );
        }
    });
}

fn over_sleep(t: &Test) {
    // What a CPU has is there when it is woken by another one after a while.
    for cpu in cpus::others() {
        cpus::on(cpu, || sysreg::TPIDRRO_EL0.write(pattern(cpu, 7)));
    }
    call::wait(timer::micros(500));
    for cpu in cpus::others() {
        cpus::on(cpu, || t.equal("TPIDRRO_EL0", sysreg::TPIDRRO_EL0.read(), pattern(cpu, 7)));
    }
}
