//! Identification registers.

use core::sync::atomic::{AtomicU64, Ordering};

use crate::machine::cpus;
use crate::machine::sysreg::read;
use crate::test::{Case, Test, cases};

pub(crate) const CASES: &[Case] = cases![ids: mpidr, midr, alike, exception_levels, floating_point, gic, translation, caches, not_offered, debug];

fn mpidr(t: &Test) {
    for cpu in 0..cpus::count() {
        cpus::on(cpu, || {
            let mpidr = read::mpidr_el1();
            t.equal("bit 31", mpidr >> 31 & 1, 1);
            t.equal("U: a processor of several", mpidr >> 30 & 1, 0);
            t.equal("affinity", mpidr & 0xff_00ff_ffff, cpu as u64);
        });
    }
}

fn midr(t: &Test) {
    let first = read::midr_el1();
    t.check(first >> 4 & 0xfff != 0, format_args!("MIDR_EL1 {first:#x} has no part number"));
    t.equal("architecture by the ID registers", first >> 16 & 0xf, 0xf);
    cpus::on_all(|_| t.equal("MIDR_EL1", read::midr_el1(), first));
}

type Read = fn() -> u64;

const SAME: [(&str, Read); 13] = [
    ("REVIDR_EL1", read::revidr_el1),
    ("CTR_EL0", read::ctr_el0),
    ("DCZID_EL0", read::dczid_el0),
    ("CLIDR_EL1", read::clidr_el1),
    ("ID_AA64PFR0_EL1", read::id_aa64pfr0_el1),
    ("ID_AA64PFR1_EL1", read::id_aa64pfr1_el1),
    ("ID_AA64DFR0_EL1", read::id_aa64dfr0_el1),
    ("ID_AA64DFR1_EL1", read::id_aa64dfr1_el1),
    ("ID_AA64ISAR0_EL1", read::id_aa64isar0_el1),
    ("ID_AA64ISAR1_EL1", read::id_aa64isar1_el1),
    ("ID_AA64MMFR0_EL1", read::id_aa64mmfr0_el1),
    ("ID_AA64MMFR1_EL1", read::id_aa64mmfr1_el1),
    ("ID_AA64MMFR2_EL1", read::id_aa64mmfr2_el1),
];

fn alike(t: &Test) {
    let first: [AtomicU64; SAME.len()] = core::array::from_fn(|at| AtomicU64::new(SAME[at].1()));
    cpus::on_all(|_| {
        for ((name, read), first) in SAME.iter().zip(&first) {
            t.equal(name, read(), first.load(Ordering::Relaxed));
        }
    });
}

fn exception_levels(t: &Test) {
    let pfr0 = read::id_aa64pfr0_el1();
    t.check(pfr0 & 0xf != 0, format_args!("EL0 is not there"));
    t.check(pfr0 >> 4 & 0xf != 0, format_args!("EL1 is not there"));
}

fn floating_point(t: &Test) {
    let pfr0 = read::id_aa64pfr0_el1();
    t.check(pfr0 >> 16 & 0xf != 0xf, format_args!("no floating point"));
    t.equal("Advanced SIMD is as floating point", pfr0 >> 20 & 0xf, pfr0 >> 16 & 0xf);
}

fn gic(t: &Test) {
    t.check(read::id_aa64pfr0_el1() >> 24 & 0xf != 0, format_args!("the GIC has no system registers"));
}

fn translation(t: &Test) {
    let mmfr0 = read::id_aa64mmfr0_el1();
    t.check((1..=6).contains(&(mmfr0 & 0xf)), format_args!("PARange {}", mmfr0 & 0xf));
    t.check(mmfr0 >> 28 & 0xf != 0xf, format_args!("no granule of 4 KiB"));
}

fn caches(t: &Test) {
    let line = read::ctr_el0() >> 16 & 0xf;
    t.check((2..=9).contains(&line), format_args!("DminLine {line}"));
    t.check(read::dczid_el0() & 0xf <= 9, format_args!("DCZID_EL0 {:#x}", read::dczid_el0()));
}

fn not_offered(t: &Test) {
    // Registers that no one keeps over a switch here are not to be offered.
    let pfr0 = read::id_aa64pfr0_el1();
    t.equal("SVE", pfr0 >> 32 & 0xf, 0);
    t.equal("SME", read::id_aa64pfr1_el1() >> 24 & 0xf, 0);
}

fn debug(t: &Test) {
    let dfr0 = read::id_aa64dfr0_el1();
    t.check(dfr0 & 0xf >= 6, format_args!("DebugVer {}", dfr0 & 0xf));
}
