//! What a driver must not do: the device gives up on it (DEVICE_NEEDS_RESET) or fails the request, and after a reset all
//! is well.

use crate::machine::memory::{PAGE, Pages};
use crate::machine::tree;
use crate::test::{Case, Test, cases};
use crate::virtio::block::{Disk, OK, request};
use crate::virtio::queue::{Buffer, INDIRECT, NEXT, Queue, WRITE, describe_in};
use crate::virtio::{config_changes, feature, kind, of_kind};

pub(crate) const CASES: &[Case] = cases![
    hostile_queue:
    head_out_of_range, next_out_of_range, loop_of_one, loop_of_three, offered_too_many, outside_memory, across_the_end,
    address_wraps, order_of_buffers, no_header, no_answer, indirect_size, indirect_nested, indirect_outside,
    queue_outside, entropy_outside, says_so, again_and_again,
];

/// Is behind RAM, and not a device.
fn nowhere() -> u64 {
    let (ram, size) = tree::ram();
    ram + size + 0x10_0000
}

/// Lets a disk's driver do something wrong: the device gives up, and works after a reset. Skips the case where there is
/// no disk.
fn misbehave(t: &Test, wrong: impl Fn(&Disk)) {
    misbehave_but(t, true, wrong);
}

/// Lets a disk's driver name memory that there is not. QEMU answers such requests, with or without an error; what is
/// not memory is of no use to it, and no harm. Our devices have to give up.
fn name_nothing(t: &Test, wrong: impl Fn(&Disk)) {
    misbehave_but(t, !crate::on_reference(), wrong);
}

fn misbehave_but(t: &Test, strict: bool, wrong: impl Fn(&Disk)) {
    let Some(device) = Disk::find(false) else { return t.skip("there is no disk that may be written") };
    let disk = Disk::begin(device);
    wrong(&disk);
    let used = disk.queue.wait();
    if strict || used.is_none() {
        t.check(used.is_none(), format_args!("it was used: {used:x?}"));
        t.check(disk.device.needs_reset(), format_args!("the device goes on"));
    }
    disk.end();
    well(t);
}

/// Asserts that the disk works.
#[track_caller]
fn well(t: &Test) {
    let Some(device) = Disk::find(false) else { return };
    let disk = Disk::begin(device);
    disk.fill(1, 77);
    t.equal("write after a reset", disk.request(request::WRITE, 800, 1).into(), OK.into());
    disk.clear();
    t.equal("read after a reset", disk.request(request::READ, 800, 1).into(), OK.into());
    t.equal("words that differ", disk.differs(1, 77), 0);
    disk.end();
}

/// Offers the chain that begins with `head` and notifies.
fn offer(queue: &Queue, head: u16) {
    queue.offer(head);
    queue.notify();
}

fn head_out_of_range(t: &Test) {
    for head in [64, 0x7fff, 0xffff] {
        misbehave(t, |disk| offer(&disk.queue, head));
    }
}

fn next_out_of_range(t: &Test) {
    for next in [64, 0xffff] {
        misbehave(t, |disk| {
            let (header, _) = disk.header(0, request::READ, 0);
            disk.queue.describe(0, header.address, 16, NEXT, next);
            offer(&disk.queue, 0);
        });
    }
}

fn loop_of_one(t: &Test) {
    misbehave(t, |disk| {
        let (header, _) = disk.header(0, request::WRITE, 0);
        disk.queue.describe(0, header.address, 16, NEXT, 0);
        offer(&disk.queue, 0);
    });
}

fn loop_of_three(t: &Test) {
    misbehave(t, |disk| {
        let (header, _) = disk.header(0, request::WRITE, 0);
        disk.queue.describe(0, header.address, 16, NEXT, 1);
        disk.queue.describe(1, disk.data.address(), 512, NEXT, 2);
        disk.queue.describe(2, disk.data.address(), 512, NEXT, 1);
        offer(&disk.queue, 0);
    });
}

fn offered_too_many(t: &Test) {
    misbehave(t, |disk| {
        disk.queue.set_offered(disk.queue.offered().wrapping_add(disk.queue.size + 1));
        disk.queue.notify();
    });
}

/// Offers a read of one sector to this address.
fn read_to(disk: &Disk, address: u64, size: u32) {
    let (header, answer) = disk.header(0, request::READ, 0);
    disk.queue.chain(0, &[header, Buffer::write(address, size), answer]);
    offer(&disk.queue, 0);
}

fn outside_memory(t: &Test) {
    for address in [nowhere(), 1 << 40, 0xffff_ffff_ffff_f000] {
        name_nothing(t, |disk| read_to(disk, address, 512));
    }
}

fn across_the_end(t: &Test) {
    let (ram, size) = tree::ram();
    name_nothing(t, |disk| read_to(disk, ram + size - 512, 1024));
}

fn address_wraps(t: &Test) {
    name_nothing(t, |disk| read_to(disk, u64::MAX - 255, 512));
}

fn order_of_buffers(t: &Test) {
    // What the device reads comes before what it writes.
    misbehave(t, |disk| {
        let (header, answer) = disk.header(0, request::WRITE, 0);
        disk.queue.chain(0, &[header, answer, Buffer::read(disk.data.address(), 512)]);
        offer(&disk.queue, 0);
    });
}

fn no_header(t: &Test) {
    misbehave(t, |disk| {
        let (header, answer) = disk.header(0, request::READ, 0);
        disk.queue.chain(0, &[Buffer { size: 8, ..header }, answer]);
        offer(&disk.queue, 0);
    });
}

fn no_answer(t: &Test) {
    misbehave(t, |disk| {
        let (header, _) = disk.header(0, request::FLUSH, 0);
        disk.queue.chain(0, &[header]);
        offer(&disk.queue, 0);
    });
}

/// Lets a disk's driver do something wrong with an indirect table, which is in a page of its own.
fn misbehave_indirectly(t: &Test, wrong: impl Fn(&Disk, &Pages)) {
    let Some(device) = Disk::find(false) else { return t.skip("there is no disk that may be written") };
    if device.features() & feature::INDIRECT == 0 {
        return t.skip("the device takes no indirect descriptors");
    }
    misbehave(t, |disk| {
        let table = Pages::at(640, 1);
        table.clear();
        wrong(disk, &table);
        offer(&disk.queue, 0);
    });
}

fn indirect_size(t: &Test) {
    for size in [0, 8, 17, 24] {
        misbehave_indirectly(t, |disk, table| {
            let (header, _) = disk.header(0, request::READ, 0);
            describe_in(table, 0, header.address, 16, 0, 0);
            disk.queue.describe(0, table.address(), size, INDIRECT, 0);
        });
    }
}

fn indirect_nested(t: &Test) {
    misbehave_indirectly(t, |disk, table| {
        describe_in(table, 0, table.address() + 64, 32, INDIRECT, 0);
        let (header, answer) = disk.header(0, request::FLUSH, 0);
        describe_in(table, 64, header.address, 16, NEXT, 1);
        describe_in(table, 80, answer.address, 1, WRITE, 0);
        disk.queue.describe(0, table.address(), 32, INDIRECT, 0);
    });
}

fn indirect_outside(t: &Test) {
    misbehave_indirectly(t, |disk, _| disk.queue.describe(0, nowhere(), 64, INDIRECT, 0));
}

fn queue_outside(t: &Test) {
    let Some(device) = Disk::find(false) else { return t.skip("there is no disk that may be written") };
    let disk = Disk::begin(device);
    disk.device.reset();
    device.begin(0);
    disk.queue.place(nowhere(), nowhere() + PAGE as u64, nowhere() + 2 * PAGE as u64);
    device.go();
    disk.queue.notify();
    disk.queue.notify();
    t.check(!disk.queue.is_used(), format_args!("it was used"));
    disk.end();
    well(t);
}

fn entropy_outside(t: &Test) {
    let Some(device) = of_kind(kind::ENTROPY).next() else { return t.skip("there is no source of entropy") };
    device.begin(0);
    let queue = Queue::new(device, 0, 600);
    device.go();
    let used = queue.ask(&[Buffer::write(nowhere(), 64)]);
    if !crate::on_reference() {
        t.check(used.is_none() && device.needs_reset(), format_args!("the device goes on: {used:?}"));
    }
    device.begin(0);
    let queue = Queue::new(device, 0, 600);
    device.go();
    let data = Pages::at(620, 1);
    let written = queue.ask(&[Buffer::write(data.address(), 64)]).unwrap_or(0);
    t.check(written > 0, format_args!("it does not work after a reset"));
    device.end();
}

fn says_so(t: &Test) {
    // It tells by an interrupt that its status has changed.
    let before = config_changes();
    misbehave(t, |disk| offer(&disk.queue, 0xffff));
    if Disk::find(false).is_some() {
        t.check(config_changes() > before, format_args!("no interrupt says so"));
    }
}

fn again_and_again(t: &Test) {
    for round in 0..10_u16 {
        misbehave(t, |disk| offer(&disk.queue, 0x100 + round));
        name_nothing(t, |disk| read_to(disk, nowhere() + u64::from(round) * 4096, 512));
    }
}
