//! Network (virtio-net): two ports of one machine that reach each other through a switch.

use crate::machine::memory::Pages;
use crate::test::{Case, Test, cases};
use crate::virtio::queue::{Buffer, Queue};
use crate::virtio::{Device, kind, of_kind};

pub(crate) const CASES: &[Case] =
    cases![net: address, there_and_back, sizes, in_order, many, without_buffers, broadcast_content];

const MAC: u64 = 1 << 5;

/// Counts the bytes of a frame's header in a queue (virtio_net_hdr).
const HEADER: usize = 12;
/// Is what a frame has at least, and at most, without its check sum.
const SHORTEST: usize = 60;
const LONGEST: usize = 1514;
/// Is the room for a frame with its header.
const ROOM: usize = 2048;

/// Is a port at work.
struct Port {
    device: Device,
    receive: Queue,
    transmit: Queue,
    /// Frames that come: [`ROOM`] bytes for each descriptor.
    incoming: Pages,
    outgoing: Pages,
    address: [u8; 6],
}

/// Counts the buffers that a port has for frames that come.
const BUFFERS: u16 = 32;

impl Port {
    fn begin(device: Device, first: usize, buffers: u16) -> Self {
        device.begin(MAC);
        let receive = Queue::new(device, 0, first);
        let transmit = Queue::new(device, 1, first + 3);
        device.go();
        let port = Self {
            device,
            receive,
            transmit,
            incoming: Pages::at(first + 6, 16),
            outgoing: Pages::at(first + 22, 1),
            address: core::array::from_fn(|at| device.config8(at)),
        };
        port.incoming.clear();
        port.outgoing.clear();
        (0..buffers.min(port.receive.size)).for_each(|slot| port.give(slot));
        port.receive.notify();
        // What came while nobody listened.
        while let Some((slot, _)) = port.receive.take() {
            port.give(slot as u16);
            port.receive.notify();
        }
        port
    }

    /// Offers the room number `slot` for a frame.
    fn give(&self, slot: u16) {
        let address = self.incoming.address() + u64::from(slot) * ROOM as u64;
        self.receive.chain(slot, &[Buffer::write(address, ROOM as u32)]);
        self.receive.offer(slot);
    }

    /// Sends a frame of `size` bytes, to `to`, with `number` in it.
    fn send(&self, to: [u8; 6], size: usize, number: u32) {
        let frame = HEADER;
        self.outgoing.fill(0, HEADER, 0);
        for (at, byte) in to.into_iter().chain(self.address).chain([0x88, 0xb5]).enumerate() {
            self.outgoing.write8(frame + at, byte);
        }
        for (at, byte) in number.to_be_bytes().into_iter().enumerate() {
            self.outgoing.write8(frame + 14 + at, byte);
        }
        for at in 18..size {
            self.outgoing.write8(frame + at, content(number, at));
        }
        self.transmit.ask(&[Buffer::read(self.outgoing.address(), (HEADER + size) as u32)]);
    }

    /// Waits for a frame, and returns where it is and its size.
    fn receive(&self) -> Option<(usize, usize)> {
        let (slot, written) = self.receive.wait()?;
        Some((slot as usize * ROOM, written as usize - HEADER))
    }

    /// Asserts that the next frame that comes is what another port has sent.
    #[track_caller]
    fn expects(&self, t: &Test, from: [u8; 6], size: usize, number: u32) {
        let Some((at, got)) = self.receive() else { return t.check(false, format_args!("no frame came")) };
        t.equal("size", got as u64, size as u64);
        let byte = |offset: usize| self.incoming.read8(at + HEADER + offset);
        let sender: [u8; 6] = core::array::from_fn(|offset| byte(6 + offset));
        t.check(sender == from, format_args!("from {sender:x?}"));
        let found = u32::from_be_bytes(core::array::from_fn(|offset| byte(14 + offset)));
        t.equal("number", found.into(), number.into());
        let wrong = (18..size).filter(|offset| byte(*offset) != content(number, *offset)).count();
        t.equal("bytes that differ", wrong as u64, 0);
        self.give((at / ROOM) as u16);
        self.receive.notify();
    }
}

/// Returns the byte at an offset of frame `number`.
fn content(number: u32, at: usize) -> u8 {
    (number as usize * 31 + at * 7) as u8
}

/// Does something with two ports, or skips the case.
fn with(t: &Test, work: impl FnOnce(&Port, &Port)) {
    let mut ports = of_kind(kind::NETWORK);
    let (Some(first), Some(second)) = (ports.next(), ports.next()) else {
        return t.skip("there are no two ports of a network");
    };
    let first = Port::begin(first, 700, BUFFERS);
    let second = Port::begin(second, 740, BUFFERS);
    work(&first, &second);
    for port in [first, second] {
        t.check(!port.device.needs_reset(), format_args!("the device has given up"));
        port.device.end();
    }
}

const ALL: [u8; 6] = [0xff; 6];

fn address(t: &Test) {
    with(t, |first, second| {
        t.check(first.address != second.address, format_args!("both are {:x?}", first.address));
        for port in [first, second] {
            t.equal("an address of one port", u64::from(port.address[0] & 1), 0);
            t.check(port.address != [0; 6], format_args!("no address"));
        }
    });
}

fn there_and_back(t: &Test) {
    with(t, |first, second| {
        for number in 0..10 {
            first.send(second.address, SHORTEST, number);
            second.expects(t, first.address, SHORTEST, number);
            second.send(first.address, SHORTEST, number + 100);
            first.expects(t, second.address, SHORTEST, number + 100);
        }
    });
}

fn sizes(t: &Test) {
    with(t, |first, second| {
        for (number, size) in (0..).zip([SHORTEST, 61, 64, 127, 512, 1000, 1500, LONGEST]) {
            first.send(second.address, size, number);
            second.expects(t, first.address, size, number);
        }
    });
}

fn in_order(t: &Test) {
    with(t, |first, second| {
        // As many as there is room for, before one is taken.
        let count = u32::from(BUFFERS.min(second.receive.size));
        for number in 0..count {
            first.send(second.address, 100, number);
        }
        for number in 0..count {
            second.expects(t, first.address, 100, number);
        }
    });
}

fn many(t: &Test) {
    with(t, |first, second| {
        for number in 0..300 {
            let size = SHORTEST + (number as usize * 37) % 1000;
            first.send(second.address, size, number);
            second.expects(t, first.address, size, number);
        }
    });
}

fn without_buffers(t: &Test) {
    // Who has no room for frames loses them, or gets them later; who sends is not kept from going on.
    if crate::on_reference() {
        return t.skip("QEMU's hub lets who sends wait for who receives");
    }
    let mut ports = of_kind(kind::NETWORK);
    let (Some(first), Some(second)) = (ports.next(), ports.next()) else {
        return t.skip("there are no two ports of a network");
    };
    let first = Port::begin(first, 700, BUFFERS);
    let second = Port::begin(second, 740, 0);
    for number in 0..5 {
        first.send(second.address, 100, number);
    }
    t.check(!second.receive.is_used(), format_args!("a frame came although there is no room"));
    second.send(first.address, 100, 7);
    first.expects(t, second.address, 100, 7);
    first.device.end();
    second.device.end();
}

fn broadcast_content(t: &Test) {
    with(t, |first, second| {
        for number in 0..20 {
            first.send(ALL, 200, number);
            second.expects(t, first.address, 200, number);
        }
        t.check(!first.receive.is_used(), format_args!("a port hears what it has sent"));
    });
}
