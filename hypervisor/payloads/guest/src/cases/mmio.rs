//! Loads and stores of every form that a hypervisor is told about, at registers that hold what is written.

use crate::machine::gic::{DISTRIBUTOR, register};
use crate::machine::{cpus, mmio};
use crate::test::{Case, Test, cases};

pub(crate) const CASES: &[Case] = cases![mmio: bytes_in_a_word, half_words, words, double_words, signed, into_nothing, from_nothing, identity_bytes, on_all_cpus];

/// Is the priorities of SPIs that no device has, or one that is not at work.
const PRIORITIES: usize = DISTRIBUTOR + register::IPRIORITYR + 44;

fn bytes_in_a_word(t: &Test) {
    mmio::write32(PRIORITIES, 0);
    for (at, value) in [0x80, 0xa0, 0xc0, 0xe0].into_iter().enumerate() {
        mmio::write8(PRIORITIES + at, value);
        t.equal("byte", mmio::read8(PRIORITIES + at).into(), value.into());
    }
    t.equal("word", mmio::read32(PRIORITIES).into(), 0xe0c0_a080);
    mmio::write8(PRIORITIES + 2, 0x40);
    t.equal("word", mmio::read32(PRIORITIES).into(), 0xe040_a080);
}

fn half_words(t: &Test) {
    // The divisor of the serial port's clock, which nothing depends on here.
    const DIVISOR: usize = 0x0900_0024;
    let before = mmio::read16(DIVISOR);
    for value in [0x1234, 0xffff, 0, before] {
        mmio::write16(DIVISOR, value);
        t.equal("half word", mmio::read16(DIVISOR).into(), value.into());
        t.equal("word", mmio::read32(DIVISOR).into(), value.into());
    }
}

fn words(t: &Test) {
    for value in [0xf8f0_e8e0_u32, 0x0810_2040, 0, 0x8080_8080] {
        mmio::write32(PRIORITIES + 4, value);
        t.equal("word", mmio::read32(PRIORITIES + 4).into(), value.into());
        t.equal("its first byte", mmio::read8(PRIORITIES + 4).into(), u64::from(value & 0xff));
    }
}

fn double_words(t: &Test) {
    let route = DISTRIBUTOR + register::IROUTER + 46 * 8;
    for value in [1_u64, 1 << 31, 0] {
        mmio::write64(route, value);
        t.equal("route", mmio::read64(route), value);
        t.equal("its lower half", mmio::read32(route).into(), value & 0xffff_ffff);
    }
}

fn signed(t: &Test) {
    mmio::write32(PRIORITIES, 0x80f0_10f8);
    t.equal("LDRSB", mmio::read8_signed(PRIORITIES), 0xffff_ffff_ffff_fff8);
    t.equal("LDRSB", mmio::read8_signed(PRIORITIES + 1), 0x10);
    t.equal("LDRSW", mmio::read32_signed(PRIORITIES), 0xffff_ffff_80f0_10f8);
    mmio::write32(PRIORITIES, 0);
}

fn into_nothing(t: &Test) {
    for _ in 0..10 {
        mmio::read32_into_nothing(DISTRIBUTOR + register::TYPER);
    }
    // What is no register did not become one.
    t.equal("word", mmio::read32(PRIORITIES).into(), 0);
}

fn from_nothing(t: &Test) {
    mmio::write32(PRIORITIES, 0x4040_4040);
    mmio::write32(PRIORITIES, 0);
    t.equal("word", mmio::read32(PRIORITIES).into(), 0);
}

fn identity_bytes(t: &Test) {
    // PL011 and PL031 by their component identification, which is B105F00D.
    for device in [0x0900_0000, 0x0901_0000] {
        for (at, value) in [0x0d, 0xf0, 0x05, 0xb1].into_iter().enumerate() {
            t.equal("component ID", mmio::read32(device + 0xff0 + 4 * at).into(), value);
        }
    }
}

fn on_all_cpus(t: &Test) {
    cpus::on_all(|cpu| {
        let own = PRIORITIES + cpu;
        for round in 0..100_u8 {
            mmio::write8(own, round & 0xf << 4);
            let got = mmio::read8(own);
            t.check(got == round & 0xf << 4, format_args!("CPU {cpu}: {got:#x} in round {round}"));
        }
        mmio::write8(own, 0);
    });
}
