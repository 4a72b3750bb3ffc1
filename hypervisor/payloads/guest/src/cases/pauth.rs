//! Each CPU keeps its keys for pointer authentication, whatever runs in between.

use super::sysregs::disturb;
use crate::machine::sysreg::{self, Register, read};
use crate::machine::{cpus, interrupts, timer};
use crate::test::{Case, Test, cases};

pub(crate) const CASES: &[Case] = cases![pauth: keys_are_kept, signs_alike, keys_differ];

const KEYS: [Register; 10] = [
    sysreg::APIAKEYLO_EL1,
    sysreg::APIAKEYHI_EL1,
    sysreg::APIBKEYLO_EL1,
    sysreg::APIBKEYHI_EL1,
    sysreg::APDAKEYLO_EL1,
    sysreg::APDAKEYHI_EL1,
    sysreg::APDBKEYLO_EL1,
    sysreg::APDBKEYHI_EL1,
    sysreg::APGAKEYLO_EL1,
    sysreg::APGAKEYHI_EL1,
];

/// Tells whether the CPU has pointer authentication, for addresses and in general, and skips the case if not.
fn offered(t: &Test) -> bool {
    let isar1 = read::id_aa64isar1_el1();
    let address = isar1 >> 4 & 0xff != 0;
    let generic = isar1 >> 24 & 0xff != 0;
    if !(address && generic) {
        t.skip("the CPU has no pointer authentication");
    }
    address && generic
}

fn key(cpu: usize, index: usize) -> u64 {
    0x9e37_79b9_7f4a_7c15_u64.wrapping_mul((cpu * 16 + index + 1) as u64)
}

fn set_keys(cpu: usize) {
    for (index, register) in KEYS.iter().enumerate() {
        register.write(key(cpu, index));
    }
}

fn clear_keys() {
    KEYS.iter().for_each(|register| register.write(0));
}

fn keys_are_kept(t: &Test) {
    if !offered(t) {
        return;
    }
    cpus::on_all(|cpu| {
        interrupts::masked(|| {
            timer::VIRTUAL.prepare();
            set_keys(cpu);
            disturb();
            for (index, register) in KEYS.iter().enumerate() {
                let (got, expected) = (register.read(), key(cpu, index));
                t.check(
                    got == expected,
                    format_args!("{} of CPU {cpu}: {got:#x}, expected {expected:#x}", register.name),
                );
            }
            clear_keys();
            timer::VIRTUAL.retire();
        });
    });
}

const VALUE: u64 = 0x12_3456_7890;
const MODIFIER: u64 = 0x55aa;

fn signs_alike(t: &Test) {
    if !offered(t) {
        return;
    }
    cpus::on_all(|cpu| {
        interrupts::masked(|| {
            timer::VIRTUAL.prepare();
            set_keys(cpu);
            sysreg::enable_signing(true);
            let before = sysreg::sign(VALUE, MODIFIER);
            disturb();
            t.equal("signatures", sysreg::sign(VALUE, MODIFIER), before);
            sysreg::enable_signing(false);
            clear_keys();
            timer::VIRTUAL.retire();
        });
    });
}

fn keys_differ(t: &Test) {
    if !offered(t) {
        return;
    }
    interrupts::masked(|| {
        sysreg::enable_signing(true);
        set_keys(1);
        let one = sysreg::sign(VALUE, MODIFIER);
        set_keys(2);
        let two = sysreg::sign(VALUE, MODIFIER);
        t.check(one != two, format_args!("two sets of keys both sign as {one:#x}"));
        t.check(
            sysreg::sign(VALUE, MODIFIER + 1) != two,
            format_args!("two modifiers both sign as {two:#x}"),
        );
        sysreg::enable_signing(false);
        clear_keys();
    });
}
