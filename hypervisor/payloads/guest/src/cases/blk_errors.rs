//! Requests of a disk that must fail do so by their answer, and change nothing.

use crate::test::{Case, Test, cases};
use crate::virtio::block::{Disk, IO_ERROR, OK, SECTOR, UNSUPPORTED, request};
use crate::virtio::queue::Buffer;

pub(crate) const CASES: &[Case] = cases![
    blk_errors:
    beyond_the_end, across_the_end, far_beyond, unknown_request, parts_of_sectors, write_to_read_only, discard_beyond,
    next_one_succeeds,
];

fn with(t: &Test, read_only: bool, work: impl FnOnce(&Disk)) {
    let Some(device) = Disk::find(read_only) else { return t.skip("there is no such disk") };
    let disk = Disk::begin(device);
    work(&disk);
    t.check(!disk.device.needs_reset(), format_args!("the device has given up"));
    disk.end();
}

#[track_caller]
fn fails(t: &Test, what: &str, answer: u8) {
    t.equal(what, answer.into(), IO_ERROR.into());
}

fn beyond_the_end(t: &Test) {
    with(t, false, |disk| {
        disk.fill(1, 1);
        for kind in [request::WRITE, request::READ] {
            fails(t, "behind the last sector", disk.request(kind, disk.sectors(), 1));
        }
    });
}

fn across_the_end(t: &Test) {
    with(t, false, |disk| {
        let last = disk.sectors() - 1;
        disk.fill(1, 2);
        t.equal("write", disk.request(request::WRITE, last, 1).into(), OK.into());
        disk.fill(2, 3);
        fails(t, "the last sector and one more", disk.request(request::WRITE, last, 2));
        disk.clear();
        t.equal("read", disk.request(request::READ, last, 1).into(), OK.into());
        t.equal("words that differ", disk.differs(1, 2), 0);
        fails(t, "the last sector and one more", disk.request(request::READ, last, 2));
    });
}

fn far_beyond(t: &Test) {
    with(t, false, |disk| {
        for sector in [u64::MAX, u64::MAX / 512, u64::MAX / 512 + 1, 1 << 55, 1 << 63] {
            fails(t, "read", disk.request(request::READ, sector, 1));
            fails(t, "write", disk.request(request::WRITE, sector, 8));
        }
    });
}

fn unknown_request(t: &Test) {
    with(t, false, |disk| {
        for kind in [77, 0x7fff_fffe, 0x4000_0000] {
            let answer = disk.request(kind, 0, 1);
            t.equal("an unknown request", answer.into(), UNSUPPORTED.into());
        }
    });
}

fn parts_of_sectors(t: &Test) {
    with(t, false, |disk| {
        for size in [1, 511, 513, 1000] {
            let buffer = Buffer::write(disk.data.address(), size);
            fails(t, "a read", disk.request_with(request::READ, 0, &[buffer]).0);
            let buffer = Buffer::read(disk.data.address(), size);
            fails(t, "a write", disk.request_with(request::WRITE, 0, &[buffer]).0);
        }
    });
}

fn write_to_read_only(t: &Test) {
    with(t, true, |disk| {
        disk.clear();
        t.equal("read", disk.request(request::READ, 3, 1).into(), OK.into());
        let before: [u64; 8] = core::array::from_fn(|at| disk.data.read64(at * 8));
        disk.fill(1, 4);
        fails(t, "write", disk.request(request::WRITE, 3, 1));
        t.equal("read", disk.request(request::READ, 3, 1).into(), OK.into());
        let same = (0..8).all(|at| disk.data.read64(at * 8) == before[at]);
        t.check(same, format_args!("it was written"));
    });
}

fn discard_beyond(t: &Test) {
    with(t, false, |disk| {
        if disk.features & crate::virtio::block::DISCARD == 0 {
            return t.skip("the device takes no DISCARD");
        }
        fails(t, "behind the end", disk.range(request::DISCARD, disk.sectors(), 8));
        fails(t, "across the end", disk.range(request::DISCARD, disk.sectors() - 4, 8));
        fails(t, "far beyond", disk.range(request::DISCARD, u64::MAX - 1, 8));
    });
}

fn next_one_succeeds(t: &Test) {
    with(t, false, |disk| {
        for round in 0..10 {
            fails(t, "behind the last sector", disk.request(request::READ, disk.sectors() + round, 1));
            disk.fill(1, round);
            t.equal("write", disk.request(request::WRITE, 700, 1).into(), OK.into());
            disk.data.fill(0, SECTOR, 0);
            t.equal("read", disk.request(request::READ, 700, 1).into(), OK.into());
            t.equal("words that differ", disk.differs(1, round), 0);
        }
    });
}
