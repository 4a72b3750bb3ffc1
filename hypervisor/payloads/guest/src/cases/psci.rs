//! PSCI 1.1: versions, features, and what there is not.

use tantalum_payload::call::Conduit;

use super::smccc::offers;
use crate::machine::cpus;
use crate::machine::psci::{call, call_by, error, function as f};
use crate::test::{Case, Test, cases};

pub(crate) const CASES: &[Case] = cases![psci: version, version_everywhere, by_hvc, by_smc, features, features_of_nothing, suspend_features, migrate, keeps_registers];

fn version(t: &Test) {
    let version = call(f::VERSION, [0; 3]);
    t.check((0x1_0001..0x2_0000).contains(&version), format_args!("PSCI {version:#x} is not 1.1 or newer"));
}

fn version_everywhere(t: &Test) {
    let version = call(f::VERSION, [0; 3]);
    cpus::on_all(|_| t.same("version", call(f::VERSION, [0; 3]), version));
}

fn by(t: &Test, conduit: Conduit) {
    if !offers(conduit) {
        return t.skip("the machine does not take this conduit");
    }
    let (answer, leak) = call_by(conduit, f::VERSION, [0; 3]);
    t.equal("version", answer.0[0], call(f::VERSION, [0; 3]) as u64);
    t.check(leak.is_none(), format_args!("{leak:x?}"));
    let (answer, _) = call_by(conduit, f::AFFINITY_INFO, [0; 3]);
    t.equal("the boot CPU is on", answer.0[0], 0);
    let (answer, _) = call_by(conduit, 0x8400_00ff, [0; 3]);
    t.equal("what there is not", answer.0[0] & 0xffff_ffff, 0xffff_ffff);
}

fn by_hvc(t: &Test) {
    by(t, Conduit::Hvc);
}

fn by_smc(t: &Test) {
    by(t, Conduit::Smc);
}

fn features(t: &Test) {
    for function in [
        f::CPU_SUSPEND_32,
        f::CPU_SUSPEND,
        f::CPU_OFF,
        f::CPU_ON_32,
        f::CPU_ON,
        f::AFFINITY_INFO_32,
        f::AFFINITY_INFO,
        f::SYSTEM_OFF,
        f::SYSTEM_RESET,
        f::FEATURES,
        f::VERSION,
    ] {
        let answer = call(f::FEATURES, [function, 0, 0]);
        t.check(answer >= 0, format_args!("{function:#x}: {answer}"));
    }
}

fn features_of_nothing(t: &Test) {
    for function in [0x8400_001f, 0x8400_00ff, 0xc400_00ff, 0x8600_0000, 0x0400_0000, 0] {
        t.same("features", call(f::FEATURES, [function, 0, 0]), error::NOT_SUPPORTED);
    }
}

fn suspend_features(t: &Test) {
    let features = call(f::FEATURES, [f::CPU_SUSPEND, 0, 0]);
    t.same("both widths alike", call(f::FEATURES, [f::CPU_SUSPEND_32, 0, 0]), features);
    t.check(features & !3 == 0, format_args!("reserved bits in {features:#x}"));
}

fn migrate(t: &Test) {
    t.same("MIGRATE_INFO_TYPE: nothing has to migrate", call(f::MIGRATE_INFO_TYPE, [0; 3]), 2);
    t.same("MIGRATE", call(f::MIGRATE, [1, 0, 0]), error::NOT_SUPPORTED);
}

fn keeps_registers(t: &Test) {
    for function in [f::VERSION, f::FEATURES, f::AFFINITY_INFO, f::CPU_ON, 0x8400_00ff] {
        // CPU_ON of this CPU is refused.
        let (answer, leak) = call_by(crate::machine::psci::conduit(), function, [0; 3]);
        t.check(leak.is_none(), format_args!("{function:#x}: {leak:x?}"));
        let changed = (1..18).find(|at| answer.0[*at] != 0);
        t.check(changed.is_none(), format_args!("{function:#x} changes x{}", changed.unwrap_or(0)));
    }
}
