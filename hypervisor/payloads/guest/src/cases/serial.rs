//! The console (virtio-console). What it sends goes to whatever the host has connected; nothing comes in.

use crate::machine::memory::Pages;
use crate::test::{Case, Test, cases};
use crate::virtio::queue::{Buffer, Queue};
use crate::virtio::{Device, kind, of_kind};

pub(crate) const CASES: &[Case] = cases![serial: sends, sends_much, several_buffers, receives_nothing];

const RECEIVE_PAGES: usize = 600;
const TRANSMIT_PAGES: usize = 603;
const DATA_PAGES: usize = 620;

/// Does something with the device, its receive queue and its transmit queue, or skips the case.
fn with(t: &Test, work: impl FnOnce(&Device, &Queue, &Queue, &Pages)) {
    let Some(device) = of_kind(kind::CONSOLE).next() else { return t.skip("there is no virtio console") };
    device.begin(0);
    let receive = Queue::new(device, 0, RECEIVE_PAGES);
    let transmit = Queue::new(device, 1, TRANSMIT_PAGES);
    device.go();
    let data = Pages::at(DATA_PAGES, 4);
    data.clear();
    work(&device, &receive, &transmit, &data);
    t.check(!device.needs_reset(), format_args!("the device has given up"));
    device.end();
}

fn write(data: &Pages, at: usize, text: &[u8]) -> Buffer {
    for (offset, byte) in text.iter().enumerate() {
        data.write8(at + offset, *byte);
    }
    Buffer::read(data.address() + at as u64, text.len() as u32)
}

fn sends(t: &Test) {
    with(t, |_, _, transmit, data| {
        for text in [&b"a line from virtio-console\n"[..], b"x", b"\n"] {
            let written = transmit.ask(&[write(data, 0, text)]);
            t.check(written == Some(0), format_args!("it has written {written:?} bytes"));
        }
    });
}

fn sends_much(t: &Test) {
    with(t, |_, _, transmit, data| {
        data.fill(0, 4096, b'.');
        for _ in 0..usize::from(transmit.size) + 3 {
            let written = transmit.ask(&[Buffer::read(data.address(), 200)]);
            t.check(written == Some(0), format_args!("it has written {written:?} bytes"));
        }
        let end = transmit.ask(&[write(data, 0, b"\n")]);
        t.check(end == Some(0), format_args!("it has written {end:?} bytes"));
    });
}

fn several_buffers(t: &Test) {
    with(t, |_, _, transmit, data| {
        let buffers = [write(data, 0, b"in "), write(data, 64, b"three "), write(data, 128, b"parts\n")];
        let written = transmit.ask(&buffers);
        t.check(written == Some(0), format_args!("it has written {written:?} bytes"));
    });
}

fn receives_nothing(t: &Test) {
    with(t, |_, receive, transmit, data| {
        receive.chain(0, &[Buffer::write(data.address() + 4096, 64)]);
        receive.offer(0);
        receive.notify();
        let written = transmit.ask(&[write(data, 0, b"nobody answers\n")]);
        t.check(written == Some(0), format_args!("it has written {written:?} bytes"));
        t.check(!receive.is_used(), format_args!("something was received"));
        t.check(data.is_filled(4096, 64, 0), format_args!("something was written"));
    });
}
