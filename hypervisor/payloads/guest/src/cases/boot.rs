//! How the boot CPU and the others are entered (booting.rst; PSCI 1.1, section 6.4).

use crate::machine::sysreg::read;
use crate::machine::{cpus, image, tree};
use crate::test::{Case, Test, cases};

pub(crate) const CASES: &[Case] =
    cases![boot: registers, exception_level, mmu_off, masked, place, secondaries];

fn registers(t: &Test) {
    let entered = cpus::entered(0);
    t.check(entered.x0 != 0 && entered.x0.is_multiple_of(8), format_args!("x0 is {:#x}", entered.x0));
    t.equal("x1", entered.x1, 0);
    t.equal("x2", entered.x2, 0);
    t.equal("x3", entered.x3, 0);
}

fn exception_level(t: &Test) {
    for cpu in 0..cpus::count() {
        t.equal("CurrentEL", cpus::entered(cpu).currentel, 1 << 2);
        t.equal("SPSel", cpus::entered(cpu).spsel, 1);
    }
}

fn mmu_off(t: &Test) {
    for cpu in 0..cpus::count() {
        let sctlr = cpus::entered(cpu).sctlr_el1;
        t.equal("SCTLR_EL1.M", sctlr & 1, 0);
        t.equal("SCTLR_EL1.C", sctlr >> 2 & 1, 0);
        t.equal("SCTLR_EL1.EE", sctlr >> 25 & 1, 0);
    }
}

fn masked(t: &Test) {
    for cpu in 0..cpus::count() {
        t.equal("DAIF", cpus::entered(cpu).daif, 0xf << 6);
    }
}

fn place(t: &Test) {
    let (start, end) = image();
    let (ram, size) = tree::ram();
    t.equal("alignment of the image to 2 MiB", start % 0x20_0000, 0);
    t.check(start >= ram && end <= ram + size, format_args!("{start:#x} to {end:#x} is not in RAM"));
    let (tree, tree_size) = tree::place();
    t.check(
        tree >= end || tree + tree_size <= start,
        format_args!("device tree at {tree:#x} is in the image"),
    );
    t.check(
        tree >= ram && tree + tree_size <= ram + size,
        format_args!("device tree at {tree:#x} is not in RAM"),
    );
    t.check(tree_size <= 0x20_0000, format_args!("device tree of {tree_size:#x} bytes"));
}

fn secondaries(t: &Test) {
    for cpu in cpus::others() {
        t.check(cpus::is_up(cpu), format_args!("CPU {cpu} is not up"));
        t.equal("context of CPU_ON", cpus::entered(cpu).x0, 0);
        cpus::on(cpu, || t.equal("MPIDR_EL1.Aff0", read::mpidr_el1() & 0xff, cpu as u64));
    }
}
