//! The real-time clock, a PL031 (DDI 0224): its count, its alarm.

use tantalum_payload::console::ticks_per_second;
use tantalum_payload::cpu::wait_until;

use crate::machine::gic::shared;
use crate::machine::timer::VIRTUAL;
use crate::machine::{cpus, interrupts, mmio, timer};
use crate::test::{Case, Test, cases};

pub(crate) const CASES: &[Case] =
    cases![rtc: identity, reads_alike, set, counts_and_alarms, mask, from_all_cpus];

const RTC: usize = 0x0901_0000;
const DR: usize = 0x00;
const MR: usize = 0x04;
const LR: usize = 0x08;
const CR: usize = 0x0c;
const IMSC: usize = 0x10;
const RIS: usize = 0x14;
const MIS: usize = 0x18;
const ICR: usize = 0x1c;
const INTID: usize = 34;

fn read(offset: usize) -> u32 {
    mmio::read32(RTC + offset)
}

fn write(offset: usize, value: u32) {
    mmio::write32(RTC + offset, value);
}

fn identity(t: &Test) {
    for (at, value) in [0x31, 0x10].into_iter().enumerate() {
        t.equal("peripheral ID", (read(0xfe0 + 4 * at) & 0xff).into(), value);
    }
    for (at, value) in [0x0d, 0xf0, 0x05, 0xb1].into_iter().enumerate() {
        t.equal("component ID", read(0xff0 + 4 * at).into(), value);
    }
    t.equal("it is on", (read(CR) & 1).into(), 1);
}

fn reads_alike(t: &Test) {
    let (first, second) = (read(DR), read(DR));
    t.check(second - first <= 1, format_args!("{first} and {second} seconds"));
    t.check(first > 1_600_000_000, format_args!("{first} seconds are before this was written"));
}

fn set(t: &Test) {
    let before = read(DR);
    for value in [0, 1_000_000, before + 1_000] {
        write(LR, value);
        t.equal("what was loaded", read(LR).into(), value.into());
        let now = read(DR);
        t.check(now.wrapping_sub(value) <= 1, format_args!("{now} seconds, loaded {value}"));
    }
    write(LR, before);
}

fn silence(_: usize) {
    write(ICR, 1);
}

fn counts_and_alarms(t: &Test) {
    // The alarm comes at the second that it is set to: one that begins within a second.
    let spi = shared(INTID);
    spi.prepare(0xa0);
    spi.set_edge(false);
    spi.set_route(cpus::current() as u64);
    interrupts::on_arrival(INTID, Some(silence));
    let before = interrupts::count_all(INTID);
    let begin = (read(DR), VIRTUAL.now());
    // What an earlier match has left.
    write(ICR, 1);
    write(MR, begin.0 + 1);
    t.equal("match", read(MR).into(), u64::from(begin.0) + 1);
    write(IMSC, 1);
    interrupts::sleep_until(|| interrupts::count_all(INTID) > before);
    let waited = VIRTUAL.now() - begin.1;
    t.equal("interrupts", (interrupts::count_all(INTID) - before).into(), 1);
    t.equal("seconds", read(DR).into(), u64::from(begin.0) + 1);
    t.check(
        waited <= ticks_per_second() + timer::micros(20_000),
        format_args!("{waited} ticks for a second of {}", ticks_per_second()),
    );
    t.equal("raw status after it was cleared", read(RIS).into(), 0);
    write(IMSC, 0);
    interrupts::on_arrival(INTID, None);
    spi.retire();
}

fn mask(t: &Test) {
    // An alarm at this very second comes at once; masked it is seen and does not interrupt.
    let spi = shared(INTID);
    write(IMSC, 0);
    write(MR, read(DR));
    wait_until(|| read(RIS) == 1 || read(DR) != read(MR));
    let raw = read(RIS);
    t.equal("masked status", read(MIS).into(), 0);
    t.check(!spi.is_pending(), format_args!("it is pending although it is masked"));
    if raw == 1 {
        write(IMSC, 1);
        t.equal("mask", read(IMSC).into(), 1);
        t.equal("masked status", read(MIS).into(), 1);
        t.check(spi.is_pending(), format_args!("it is not pending"));
        write(ICR, 1);
        t.check(!spi.is_pending(), format_args!("it is pending although it was cleared"));
        write(IMSC, 0);
    }
}

fn from_all_cpus(t: &Test) {
    let now = read(DR);
    cpus::on_all(|cpu| {
        for _ in 0..20 {
            let other = read(DR);
            t.check(other - now <= 1, format_args!("CPU {cpu}: {other} seconds after {now}"));
        }
    });
}
