//! Debug and performance registers may be there or not; reaching for them harms nobody.

use crate::machine::exceptions::{catch, class};
use crate::machine::sysreg::{self, Register, read};
use crate::machine::{cpus, psci};
use crate::test::{Case, Test, cases};

pub(crate) const CASES: &[Case] = cases![debug: breakpoints, watchpoints, monitor_control, performance_control, performance_counters, afterwards];

/// Reads a register, writes `value`, reads it again and writes zero. Either all of it works or each access is
/// undefined; if the CPU says that it has the register, it has.
fn reach_for(t: &Test, register: Register, value: u64, has: bool) {
    let mut raised = 0;
    let mut reach = |access: &dyn Fn()| {
        if let Some(caught) = catch(access) {
            raised += 1;
            t.check(
                caught.class() == class::UNKNOWN || caught.class() == class::TRAPPED_REGISTER,
                format_args!("{}: {caught:x?}", register.name),
            );
        }
    };
    reach(&|| _ = register.read());
    reach(&|| register.write(value));
    reach(&|| _ = register.read());
    reach(&|| register.write(0));
    let expected = raised == 0 || !has && raised == 4;
    t.check(expected, format_args!("{}: {raised} of 4 accesses are undefined", register.name));
}

fn breakpoints(t: &Test) {
    reach_for(t, sysreg::DBGBVR0_EL1, 0x1000, true);
    reach_for(t, sysreg::DBGBCR0_EL1, 0, true);
    reach_for(t, sysreg::DBGBVR1_EL1, 0x2000, true);
    reach_for(t, sysreg::DBGBCR1_EL1, 0, true);
}

fn watchpoints(t: &Test) {
    reach_for(t, sysreg::DBGWVR0_EL1, 0x1000, true);
    reach_for(t, sysreg::DBGWCR0_EL1, 0, true);
}

fn monitor_control(t: &Test) {
    reach_for(t, sysreg::MDSCR_EL1, 0, true);
    reach_for(t, sysreg::OSDLR_EL1, 0, true);
}

fn has_counters() -> bool {
    !matches!(read::id_aa64dfr0_el1() >> 8 & 0xf, 0 | 0xf)
}

fn performance_control(t: &Test) {
    for register in [sysreg::PMCR_EL0, sysreg::PMSELR_EL0, sysreg::PMUSERENR_EL0, sysreg::PMCCFILTR_EL0] {
        reach_for(t, register, 0, has_counters());
    }
}

fn performance_counters(t: &Test) {
    for register in [
        sysreg::PMCNTENSET_EL0,
        sysreg::PMCNTENCLR_EL0,
        sysreg::PMOVSCLR_EL0,
        sysreg::PMCCNTR_EL0,
        sysreg::PMXEVTYPER_EL0,
        sysreg::PMINTENSET_EL1,
        sysreg::PMINTENCLR_EL1,
    ] {
        reach_for(t, register, 1, has_counters());
    }
}

fn afterwards(t: &Test) {
    cpus::on_all(|_| {
        t.check(psci::call(psci::function::VERSION, [0; 3]) > 0, format_args!("PSCI is gone"));
    });
}
