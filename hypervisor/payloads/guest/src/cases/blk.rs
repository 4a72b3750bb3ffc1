//! A disk (virtio-blk): reading, writing, and what else it does.

use crate::machine::gic;
use crate::test::{Case, Test, cases};
use crate::virtio::block::{self, DISCARD, Disk, FLUSH, OK, SECTOR, WRITE_ZEROES, pattern, request};
use crate::virtio::queue::{Buffer, INDIRECT, indirect_table};
use crate::virtio::{feature, status};

pub(crate) const CASES: &[Case] = cases![
    blk:
    setting_up, one_sector, many_sectors, every_part, last_sector, segments, uneven_segments, split_header, indirect,
    flush, get_id, discard, write_zeroes, many_at_once, queue_wraps, keeps_over_reset, interrupts_once, read_only_reads,
    without_data,
];

/// Does something with the disk that may be written, or skips the case.
fn with(t: &Test, work: impl FnOnce(&Disk)) {
    let Some(device) = Disk::find(false) else { return t.skip("there is no disk that may be written") };
    let disk = Disk::begin(device);
    work(&disk);
    t.equal("status at the end", (disk.device.status() & status::NEEDS_RESET).into(), 0);
    disk.end();
}

#[track_caller]
fn succeeds(t: &Test, what: &str, answer: u8) {
    t.equal(what, answer.into(), OK.into());
}

fn setting_up(t: &Test) {
    with(t, |disk| {
        let expected = status::ACKNOWLEDGE | status::DRIVER | status::FEATURES_OK | status::DRIVER_OK;
        t.equal("status", disk.device.status().into(), expected.into());
        t.check(disk.sectors() >= 2048, format_args!("{} sectors", disk.sectors()));
        t.equal("capacity by bytes", disk.device.config8(0).into(), disk.sectors() & 0xff);
        t.equal("version 1", disk.features >> 32 & 1, 1);
        t.check(disk.queue.size >= 16, format_args!("a queue of {}", disk.queue.size));
    });
}

fn one_sector(t: &Test) {
    with(t, |disk| {
        for (sector, seed) in [(0, 1), (1, 2), (77, 3)] {
            disk.fill(1, seed);
            succeeds(t, "write", disk.request(request::WRITE, sector, 1));
        }
        for (sector, seed) in [(77, 3), (0, 1), (1, 2)] {
            disk.clear();
            succeeds(t, "read", disk.request(request::READ, sector, 1));
            t.equal("words that differ", disk.differs(1, seed), 0);
            t.check(disk.data.is_filled(SECTOR, SECTOR, 0), format_args!("more was read than asked for"));
        }
    });
}

fn many_sectors(t: &Test) {
    with(t, |disk| {
        for sectors in [2, 8, 127] {
            disk.fill(sectors, sectors as u64);
            succeeds(t, "write", disk.request(request::WRITE, 100, sectors));
            disk.clear();
            succeeds(t, "read", disk.request(request::READ, 100, sectors));
            t.equal("words that differ", disk.differs(sectors, sectors as u64), 0);
        }
    });
}

fn every_part(t: &Test) {
    with(t, |disk| {
        let step = disk.sectors() / 16;
        for part in 0..16 {
            disk.fill(8, 0x100 + part);
            succeeds(t, "write", disk.request(request::WRITE, part * step, 8));
        }
        for part in 0..16 {
            disk.clear();
            succeeds(t, "read", disk.request(request::READ, part * step, 8));
            t.equal("words that differ", disk.differs(8, 0x100 + part), 0);
        }
    });
}

fn last_sector(t: &Test) {
    with(t, |disk| {
        disk.fill(1, 9);
        let last = disk.sectors() - 1;
        succeeds(t, "write", disk.request(request::WRITE, last, 1));
        disk.clear();
        succeeds(t, "read", disk.request(request::READ, last, 1));
        t.equal("words that differ", disk.differs(1, 9), 0);
    });
}

/// Returns buffers of these sizes, in a row or backwards in memory.
fn pieces<const N: usize>(disk: &Disk, sizes: [u32; N], write: bool) -> [Buffer; N] {
    let mut at = 0;
    sizes.map(|size| {
        let buffer = Buffer { address: disk.data.address() + u64::from(at), size, write };
        at += size;
        buffer
    })
}

fn segments(t: &Test) {
    with(t, |disk| {
        let sizes = [512, 1024, 512, 4096, 512, 1536];
        disk.fill(16, 4);
        let (answer, _) = disk.request_with(request::WRITE, 300, &pieces(disk, sizes, false));
        succeeds(t, "write", answer);
        disk.clear();
        let (answer, written) = disk.request_with(request::READ, 300, &pieces(disk, sizes, true));
        succeeds(t, "read", answer);
        t.equal("bytes that the device says it has written", written.into(), 16 * SECTOR as u64 + 1);
        t.equal("words that differ", disk.differs(16, 4), 0);
    });
}

fn uneven_segments(t: &Test) {
    with(t, |disk| {
        // Only the sum has to be of whole sectors.
        let sizes = [8, 504, 1000, 24, 2560];
        disk.fill(8, 5);
        succeeds(t, "write", disk.request_with(request::WRITE, 320, &pieces(disk, sizes, false)).0);
        disk.clear();
        succeeds(t, "read", disk.request_with(request::READ, 320, &pieces(disk, sizes, true)).0);
        t.equal("words that differ", disk.differs(8, 5), 0);
    });
}

fn split_header(t: &Test) {
    with(t, |disk| {
        // How a message is cut into buffers is the driver's affair (2.7.4).
        disk.fill(1, 6);
        succeeds(t, "write", disk.request(request::WRITE, 340, 1));
        disk.clear();
        let (header, answer) = disk.header(0, request::READ, 340);
        let buffers = [
            Buffer::read(header.address, 8),
            Buffer::read(header.address + 8, 8),
            Buffer::write(disk.data.address(), 512),
            answer,
        ];
        t.check(disk.queue.ask(&buffers).is_some(), format_args!("it is not used"));
        succeeds(t, "read", disk.answer(0));
        t.equal("words that differ", disk.differs(1, 6), 0);
    });
}

fn indirect(t: &Test) {
    with(t, |disk| {
        if disk.features & feature::INDIRECT == 0 {
            return t.skip("the device takes no indirect descriptors");
        }
        let table = crate::machine::memory::Pages::at(640, 1);
        for (kind, write) in [(request::WRITE, false), (request::READ, true)] {
            if write {
                disk.clear();
            } else {
                disk.fill(8, 7);
            }
            let (header, answer) = disk.header(0, kind, 360);
            let [first, second] = pieces(disk, [1024, 3072], write);
            let size = indirect_table(&table, 0, &[header, first, second, answer]);
            disk.queue.describe(3, table.address(), size, INDIRECT, 0);
            disk.queue.offer(3);
            disk.queue.notify();
            t.equal("head", disk.queue.wait().map_or(u64::MAX, |(head, _)| head.into()), 3);
            succeeds(t, "indirect", disk.answer(0));
        }
        t.equal("words that differ", disk.differs(8, 7), 0);
    });
}

fn flush(t: &Test) {
    with(t, |disk| {
        if disk.features & FLUSH == 0 {
            return t.skip("the device takes no FLUSH");
        }
        disk.fill(1, 8);
        succeeds(t, "write", disk.request(request::WRITE, 380, 1));
        succeeds(t, "flush", disk.request_with(request::FLUSH, 0, &[]).0);
        disk.clear();
        succeeds(t, "read", disk.request(request::READ, 380, 1));
        t.equal("words that differ", disk.differs(1, 8), 0);
    });
}

fn get_id(t: &Test) {
    with(t, |disk| {
        disk.data.fill(0, 64, 0xaa);
        let buffer = Buffer::write(disk.data.address(), 20);
        succeeds(t, "id", disk.request_with(request::GET_ID, 0, &[buffer]).0);
        let first = disk.data.read8(0);
        t.check(first == 0 || first.is_ascii_graphic(), format_args!("an id that begins with {first:#x}"));
        t.check(disk.data.is_filled(20, 44, 0xaa), format_args!("it is longer than 20 bytes"));
    });
}

fn discard(t: &Test) {
    with(t, |disk| {
        if disk.features & DISCARD == 0 {
            return t.skip("the device takes no DISCARD");
        }
        disk.fill(24, 10);
        succeeds(t, "write", disk.request(request::WRITE, 400, 24));
        succeeds(t, "discard", disk.range(request::DISCARD, 408, 8));
        // What is discarded reads as anything; its neighbours are as they were.
        disk.clear();
        succeeds(t, "read", disk.request(request::READ, 400, 24));
        t.equal("words that differ ahead", disk.differs(8, 10), 0);
        let behind = (16 * SECTOR..24 * SECTOR).step_by(8);
        let wrong = behind.filter(|at| disk.data.read64(*at) != pattern(10, *at)).count();
        t.equal("words that differ behind", wrong as u64, 0);
        // And it can be written again.
        disk.fill(8, 11);
        succeeds(t, "write", disk.request(request::WRITE, 408, 8));
        disk.clear();
        succeeds(t, "read", disk.request(request::READ, 408, 8));
        t.equal("words that differ", disk.differs(8, 11), 0);
    });
}

fn write_zeroes(t: &Test) {
    with(t, |disk| {
        if disk.features & WRITE_ZEROES == 0 {
            return t.skip("the device takes no WRITE_ZEROES");
        }
        disk.fill(24, 12);
        succeeds(t, "write", disk.request(request::WRITE, 440, 24));
        succeeds(t, "zeroes", disk.range(request::WRITE_ZEROES, 448, 8));
        disk.data.fill(0, 24 * SECTOR, 0xff);
        succeeds(t, "read", disk.request(request::READ, 440, 24));
        t.equal("words that differ ahead", disk.differs(8, 12), 0);
        t.check(disk.data.is_filled(8 * SECTOR, 8 * SECTOR, 0), format_args!("it is not zero"));
    });
}

/// Offers `count` requests of a sector each at once, and waits for all.
fn at_once(t: &Test, disk: &Disk, kind: u32, sector: u64, count: usize) {
    for slot in 0..count {
        let (header, answer) = disk.header(slot, kind, sector + slot as u64);
        let address = disk.data.address() + (slot * SECTOR) as u64;
        let data = Buffer { address, size: SECTOR as u32, write: kind == request::READ };
        disk.queue.chain(slot as u16 * 3, &[header, data, answer]);
        disk.queue.offer(slot as u16 * 3);
    }
    disk.queue.notify();
    let mut seen = 0_u64;
    for _ in 0..count {
        let Some((head, _)) = disk.queue.wait() else { break };
        seen |= 1 << (head / 3);
        t.equal("head", u64::from(head % 3), 0);
    }
    t.equal("requests that were used", seen, (1 << count) - 1);
    for slot in 0..count {
        succeeds(t, "request", disk.answer(slot));
    }
}

fn many_at_once(t: &Test) {
    with(t, |disk| {
        let count = usize::from(disk.queue.size / 3).min(20);
        disk.fill(count, 13);
        at_once(t, disk, request::WRITE, 500, count);
        disk.clear();
        at_once(t, disk, request::READ, 500, count);
        t.equal("words that differ", disk.differs(count, 13), 0);
    });
}

fn queue_wraps(t: &Test) {
    with(t, |disk| {
        for round in 0..u64::from(disk.queue.size) * 2 + 5 {
            disk.fill(1, round);
            let answer = disk.request(request::WRITE, 600 + round % 7, 1);
            if answer != OK {
                succeeds(t, "write", answer);
            }
        }
        disk.clear();
        succeeds(t, "read", disk.request(request::READ, 600, 7));
        let last = (0..7).all(|at| disk.data.read64(at * SECTOR) != 0);
        t.check(last, format_args!("something was not written"));
    });
}

fn keeps_over_reset(t: &Test) {
    with(t, |disk| {
        disk.fill(4, 14);
        succeeds(t, "write", disk.request(request::WRITE, 620, 4));
        disk.device.reset();
        t.equal("status", disk.device.status().into(), 0);
    });
    with(t, |disk| {
        disk.clear();
        succeeds(t, "read", disk.request(request::READ, 620, 4));
        t.equal("words that differ", disk.differs(4, 14), 0);
    });
}

fn interrupts_once(t: &Test) {
    with(t, |disk| {
        let intid = disk.device.intid;
        let before = crate::machine::interrupts::count_all(intid);
        for _ in 0..5 {
            succeeds(t, "read", disk.request(request::READ, 0, 1));
        }
        let came = crate::machine::interrupts::count_all(intid) - before;
        t.check((1..=5).contains(&came), format_args!("{came} interrupts for 5 requests"));
        t.check(!gic::shared(intid).is_pending(), format_args!("the interrupt is pending"));
    });
}

fn read_only_reads(t: &Test) {
    let Some(device) = Disk::find(true) else { return t.skip("there is no disk that is read only") };
    let disk = Disk::begin(device);
    t.equal("read only", disk.features & block::READ_ONLY, block::READ_ONLY);
    disk.data.fill(0, 8 * SECTOR, 0xff);
    succeeds(t, "read", disk.request(request::READ, 0, 8));
    t.check(!disk.data.is_filled(0, 8 * SECTOR, 0xff), format_args!("nothing was read"));
    disk.end();
}

fn without_data(t: &Test) {
    with(t, |disk| {
        // A request for no sector at all is answered, in whatever way, and nothing else.
        let (answer, _) = disk.request_with(request::READ, 0, &[]);
        t.check(answer != block::UNTOUCHED, format_args!("it is not answered"));
        succeeds(t, "read", disk.request(request::READ, 0, 1));
    });
}
