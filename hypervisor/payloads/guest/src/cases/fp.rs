//! Each CPU keeps its floating-point and SIMD registers, whatever runs in between. Every call of the suite asserts so
//! too, see `tantalum_payload::call`.

use tantalum_payload::call;

use super::sysregs::disturb;
use crate::machine::cpus::Barrier;
use crate::machine::{cpus, gic, interrupts, psci, sysreg, timer};
use crate::test::{Case, Test, cases};

pub(crate) const CASES: &[Case] = cases![fp: control, over_time, over_calls, over_interrupts];

fn control(t: &Test) {
    cpus::on_all(|cpu| {
        interrupts::masked(|| {
            timer::VIRTUAL.prepare();
            let before = sysreg::floating_point_control();
            // Rounding modes, flush to zero; flags of exceptions that have come.
            let own =
                [(cpu as u64 & 3) << 22 | 1 << 24, 0x8000_0000 & (cpu as u64) << 31 | 0x1f & !(cpu as u64)];
            let own = [own[0], own[1] & 0x1f];
            sysreg::set_floating_point_control(own);
            disturb();
            let after = sysreg::floating_point_control();
            t.check(after == own, format_args!("CPU {cpu}: FPCR and FPSR {after:x?}, expected {own:x?}"));
            sysreg::set_floating_point_control(before);
            timer::VIRTUAL.retire();
        });
    });
}

fn over_time(t: &Test) {
    // Longer than any time slice, on all CPUs at once.
    cpus::on_all(|cpu| {
        for _ in 0..3 {
            let changed = call::wait(timer::micros(4_000));
            t.check(changed.is_none(), format_args!("CPU {cpu}: {changed:x?}"));
        }
    });
}

fn over_calls(t: &Test) {
    cpus::on_all(|cpu| {
        for _ in 0..50 {
            let (_, changed) = psci::call_by(psci::conduit(), psci::function::VERSION, [0; 3]);
            t.check(changed.is_none(), format_args!("CPU {cpu}: {changed:x?}"));
        }
    });
}

const KNOCK: usize = 3;

fn over_interrupts(t: &Test) {
    let together = Barrier::new(cpus::count());
    cpus::on_all(|cpu| {
        gic::private(cpu, KNOCK).prepare(0xa0);
        let before = interrupts::count(cpu, KNOCK);
        together.wait();
        for round in 0..10 {
            let next = (cpu + 1) % cpus::count();
            gic::send(gic::sgi(KNOCK, 1 << next));
            let changed = call::wait(timer::micros(50));
            t.check(changed.is_none(), format_args!("CPU {cpu} in round {round}: {changed:x?}"));
        }
        together.wait();
        call::wait(timer::micros(50));
        let came = interrupts::count(cpu, KNOCK) - before;
        t.check((1..=10).contains(&came), format_args!("CPU {cpu}: {came} interrupts came"));
        gic::private(cpu, KNOCK).retire();
    });
}
