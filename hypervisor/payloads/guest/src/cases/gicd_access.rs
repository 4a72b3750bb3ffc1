//! What the distributor has not reads as zero and ignores writes, and sizes of access.

use crate::machine::gic::{self, DISTRIBUTOR, distributor, register as r, set_distributor, shared};
use crate::machine::{cpus, mmio};
use crate::test::{Case, Test, cases};

pub(crate) const CASES: &[Case] = cases![
    gicd_access:
    reserved, of_older_versions, private_words, beyond_the_last, read_only, priorities_by_byte_and_word, routes_by_half,
    special_numbers,
];

fn reserved(t: &Test) {
    for offset in [0x0020, 0x003c, 0x0070, 0xc000, 0xffbc] {
        t.equal("read", distributor(offset).into(), 0);
        set_distributor(offset, u32::MAX);
        t.equal("read after a write", distributor(offset).into(), 0);
    }
}

fn of_older_versions(t: &Test) {
    // With affinity routing there are no target lists.
    for offset in [r::ITARGETSR, r::ITARGETSR + 0x20, r::SGIR] {
        set_distributor(offset, 0x0101_0101);
        t.equal("read", distributor(offset).into(), 0);
    }
}

fn private_words(t: &Test) {
    // Those of SGIs and PPIs are in the redistributors.
    for register in
        [r::IGROUPR, r::ISENABLER, r::ICENABLER, r::ISPENDR, r::ICPENDR, r::ISACTIVER, r::ICACTIVER]
    {
        set_distributor(register, u32::MAX);
        t.equal("read", distributor(register).into(), 0);
    }
    for offset in [r::IPRIORITYR, r::IPRIORITYR + 28, r::ICFGR, r::ICFGR + 4] {
        set_distributor(offset, u32::MAX);
        t.equal("read", distributor(offset).into(), 0);
    }
    t.check(
        gic::private(cpus::current(), crate::machine::interrupts::WAKE).is_enabled(),
        format_args!("the redistributor has changed"),
    );
}

fn beyond_the_last(t: &Test) {
    let lines = gic::lines();
    if lines >= 1020 {
        return t.skip("the distributor has all interrupts");
    }
    for register in [r::IGROUPR, r::ISENABLER, r::ISPENDR, r::ISACTIVER] {
        let offset = register + lines / 8;
        set_distributor(offset, u32::MAX);
        t.equal("read", distributor(offset).into(), 0);
    }
    let offset = r::IPRIORITYR + lines;
    set_distributor(offset, u32::MAX);
    t.equal("priority", distributor(offset).into(), 0);
}

fn read_only(t: &Test) {
    for offset in [r::TYPER, r::IIDR, r::PIDR2] {
        let before = distributor(offset);
        set_distributor(offset, !before);
        t.equal("read after a write", distributor(offset).into(), before.into());
    }
}

fn priorities_by_byte_and_word(t: &Test) {
    let at = DISTRIBUTOR + r::IPRIORITYR + 44;
    mmio::write32(at, 0x4030_2010);
    for byte in 0..4 {
        t.equal("byte", mmio::read8(at + byte).into(), 0x10 * (byte as u64 + 1));
    }
    mmio::write8(at + 1, 0xe0);
    t.equal("word", mmio::read32(at).into(), 0x4030_e010);
    mmio::write32(at, 0xa0a0_a0a0);
}

fn routes_by_half(t: &Test) {
    let spi = shared(gic::FREE.start);
    let at = DISTRIBUTOR + r::IROUTER + gic::FREE.start * 8;
    mmio::write64(at, 0);
    mmio::write32(at, 1);
    t.equal("route", spi.route(), 1);
    t.equal("upper half", mmio::read32(at + 4).into(), 0);
    mmio::write64(at, 0);
}

fn special_numbers(t: &Test) {
    // Nobody ends what there is not.
    for intid in [1020, 1021, 1022, 1023] {
        gic::end(intid);
    }
    t.equal("nothing to acknowledge", gic::acknowledge_nothing(), gic::SPURIOUS);
}
