//! The serial port, a PL011 (DDI 0183): what it is, its registers, its FIFO, its interrupt.
//!
//! The console of the suite is the same port, so nothing is printed while its settings are not the usual ones.

use crate::machine::gic::{self, shared};
use crate::machine::{cpus, interrupts, mmio};
use crate::test::{Case, Test, cases};

pub(crate) const CASES: &[Case] = cases![
    uart:
    identity, flags_when_idle, settings, mask, transmit_interrupt, clear, interrupt_arrives, from_all_cpus, loopback,
    reserved,
];

const UART: usize = 0x0900_0000;
const DR: usize = 0x000;
const FR: usize = 0x018;
const IBRD: usize = 0x024;
const FBRD: usize = 0x028;
const LCR_H: usize = 0x02c;
const CR: usize = 0x030;
const IFLS: usize = 0x034;
const IMSC: usize = 0x038;
const RIS: usize = 0x03c;
const MIS: usize = 0x040;
const ICR: usize = 0x044;
const INTID: usize = 33;

const TRANSMIT: u32 = 1 << 5;
const RECEIVE: u32 = 1 << 4;
/// Is every interrupt that there is.
const ALL: u32 = 0x7ff;

fn read(offset: usize) -> u32 {
    mmio::read32(UART + offset)
}

fn write(offset: usize, value: u32) {
    mmio::write32(UART + offset, value);
}

fn identity(t: &Test) {
    for (at, value) in [0x11, 0x10].into_iter().enumerate() {
        t.equal("peripheral ID", (read(0xfe0 + 4 * at) & 0xff).into(), value);
    }
    t.equal("designer and part", (read(0xfe4) >> 4 & 0xf).into(), 1);
    for (at, value) in [0x0d, 0xf0, 0x05, 0xb1].into_iter().enumerate() {
        t.equal("component ID", read(0xff0 + 4 * at).into(), value);
    }
}

fn flags_when_idle(t: &Test) {
    tantalum_payload::cpu::wait_until(|| read(FR) & 1 << 7 != 0);
    let flags = read(FR);
    t.equal("the transmitter is empty", (flags >> 7 & 1).into(), 1);
    t.equal("the transmitter is full", (flags >> 5 & 1).into(), 0);
    t.equal("the transmitter is busy", (flags >> 3 & 1).into(), 0);
    t.equal("the receiver is empty", (flags >> 4 & 1).into(), 1);
}

fn settings(t: &Test) {
    let before = [IBRD, FBRD, LCR_H, IFLS].map(read);
    for (offset, value) in [(IBRD, 0x1234), (FBRD, 0x2a), (LCR_H, 0x70), (IFLS, 0x12)] {
        write(offset, value);
        let got = read(offset);
        t.equal("setting", got.into(), value.into());
    }
    for (offset, value) in [IBRD, FBRD, LCR_H, IFLS].into_iter().zip(before) {
        write(offset, value);
    }
    t.equal("UARTEN, TXE, RXE", (read(CR) & 0x301).into(), 0x301);
}

fn mask(t: &Test) {
    for value in [TRANSMIT, RECEIVE, TRANSMIT | RECEIVE, ALL, 0] {
        write(IMSC, value);
        let (mask, raw, masked) = (read(IMSC), read(RIS), read(MIS));
        write(IMSC, 0);
        t.equal("mask", mask.into(), value.into());
        t.equal("raw and mask", masked.into(), (raw & value).into());
    }
}

fn transmit_interrupt(t: &Test) {
    // What is sent leaves the transmitter with room, which it says. Each line of the console does that.
    let raw = read(RIS);
    t.equal("room to transmit", (raw & TRANSMIT).into(), TRANSMIT.into());
    write(IMSC, TRANSMIT);
    let masked = read(MIS);
    write(IMSC, 0);
    t.equal("masked status", masked.into(), TRANSMIT.into());
    t.equal("masked status without mask", read(MIS).into(), 0);
}

fn clear(t: &Test) {
    write(ICR, TRANSMIT);
    let after = read(RIS);
    t.equal("after it was cleared", (after & TRANSMIT).into(), 0);
    write(ICR, ALL);
    let after = read(RIS);
    t.equal("all cleared", (after & !TRANSMIT).into(), 0);
}

/// Silences the port, as an interrupt's handler does.
fn silence(_: usize) {
    write(IMSC, 0);
    write(ICR, ALL);
}

fn interrupt_arrives(t: &Test) {
    let spi = shared(INTID);
    interrupts::on_arrival(INTID, Some(silence));
    for target in 0..cpus::count() {
        spi.prepare(0xa0);
        spi.set_edge(false);
        spi.set_route(target as u64);
        let before = interrupts::count(target, INTID);
        // The line that this prints leaves it with room.
        tantalum_payload::console::line(format_args!("# the port interrupts CPU {target}"));
        write(IMSC, TRANSMIT);
        tantalum_payload::cpu::wait_until(|| interrupts::count(target, INTID) > before);
        t.equal("interrupts", (interrupts::count(target, INTID) - before).into(), 1);
        t.check(!spi.is_pending(), format_args!("it is pending although the port is silent"));
        spi.retire();
    }
    interrupts::on_arrival(INTID, None);
    spi.set_route(0);
    // Masked it is no level.
    tantalum_payload::console::line(format_args!("# the port does not interrupt"));
    t.check(!spi.is_pending(), format_args!("it is pending although it is masked"));
}

fn from_all_cpus(t: &Test) {
    cpus::on_all(|cpu| {
        for _ in 0..50 {
            t.equal("component ID", read(0xff4).into(), 0xf0);
            t.check(read(FR) & 1 << 4 != 0, format_args!("CPU {cpu}: something was received"));
        }
    });
}

fn loopback(t: &Test) {
    const LOOPBACK: u32 = 1 << 7;
    let control = read(CR);
    write(CR, control | LOOPBACK);
    let kept = read(CR) & LOOPBACK != 0;
    if kept {
        // It may go out too, where an empty line does no harm.
        write(DR, u32::from(b'\n'));
    }
    let came = kept && read(FR) & 1 << 4 == 0;
    let byte = if came { read(DR) } else { 0 };
    write(CR, control);
    write(ICR, ALL);
    if !came {
        return t.skip("the port has no loopback");
    }
    t.equal("what was sent", (byte & 0xff).into(), b'\n'.into());
    t.check(read(FR) & 1 << 4 != 0, format_args!("something is left"));
}

fn reserved(t: &Test) {
    for offset in [0x04c, 0x100, 0x7fc] {
        write(offset, u32::MAX);
        t.equal("read", read(offset).into(), 0);
    }
    // What is read only stays.
    write(RIS, u32::MAX);
    write(MIS, u32::MAX);
    write(0xff0, 0);
    t.equal("component ID", read(0xff0).into(), 0x0d);
    t.equal("masked status", read(MIS).into(), 0);
    t.equal("nothing to acknowledge", gic::acknowledge_nothing(), gic::SPURIOUS);
}
