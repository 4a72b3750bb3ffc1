//! The source of entropy (virtio-rng).

use crate::machine::memory::Pages;
use crate::test::{Case, Test, cases};
use crate::virtio::queue::{Buffer, Queue};
use crate::virtio::{Device, kind, of_kind};

pub(crate) const CASES: &[Case] = cases![rng: fills, differs, several_buffers, many_at_once, large];

const QUEUE_PAGES: usize = 600;
const DATA_PAGES: usize = 620;

/// Does something with the device, or skips the case.
fn with(t: &Test, work: impl FnOnce(&Device, &Queue, &Pages)) {
    let Some(device) = of_kind(kind::ENTROPY).next() else { return t.skip("there is no source of entropy") };
    device.begin(0);
    let queue = Queue::new(device, 0, QUEUE_PAGES);
    device.go();
    let data = Pages::at(DATA_PAGES, 4);
    data.clear();
    work(&device, &queue, &data);
    t.check(!device.needs_reset(), format_args!("the device has given up"));
    device.end();
}

/// Counts the words that are zero.
fn zero_words(data: &Pages, size: usize) -> usize {
    (0..size).step_by(8).filter(|at| data.read64(*at) == 0).count()
}

fn fills(t: &Test) {
    with(t, |_, queue, data| {
        let mut last = 0;
        for size in [1_u32, 16, 64, 256] {
            data.clear();
            let written = queue.ask(&[Buffer::write(data.address(), size)]).unwrap_or(0);
            t.check((1..=size).contains(&written), format_args!("{written} of {size} bytes"));
            let behind = written as usize;
            last = behind;
            t.check(
                data.is_filled(behind, 512 - behind, 0),
                format_args!("more than {written} bytes are written"),
            );
        }
        t.check(zero_words(data, last / 8 * 8) < 4, format_args!("it is mostly zero"));
    });
}

fn differs(t: &Test) {
    with(t, |_, queue, data| {
        for at in 0..8 {
            let buffer = Buffer::write(data.address() + at * 16, 16);
            t.equal("bytes", queue.ask(&[buffer]).unwrap_or(0).into(), 16);
        }
        for one in 0..8 {
            for other in 0..one {
                t.check(
                    data.read64(one * 16) != data.read64(other * 16),
                    format_args!("{one} and {other} are the same"),
                );
            }
        }
    });
}

fn several_buffers(t: &Test) {
    with(t, |_, queue, data| {
        let buffers = [0, 1, 2].map(|at| Buffer::write(data.address() + at * 64, 32));
        let written = queue.ask(&buffers).unwrap_or(0);
        t.check((1..=96).contains(&written), format_args!("{written} of 96 bytes"));
        t.check(data.is_filled(32, 32, 0) && data.is_filled(96, 32, 0), format_args!("the gaps are written"));
    });
}

fn many_at_once(t: &Test) {
    with(t, |_, queue, data| {
        let count = queue.size.min(8);
        for at in 0..count {
            let buffer = Buffer::write(data.address() + u64::from(at) * 32, 32);
            queue.chain(at, &[buffer]);
            queue.offer(at);
        }
        queue.notify();
        let mut seen = 0;
        for _ in 0..count {
            let Some((head, written)) = queue.wait() else { break };
            t.check((1..=32).contains(&written), format_args!("{written} of 32 bytes"));
            seen |= 1 << head;
        }
        t.equal("requests that were used", seen, (1 << count) - 1);
    });
}

fn large(t: &Test) {
    with(t, |_, queue, data| {
        let size = data.size() as u32;
        let written = queue.ask(&[Buffer::write(data.address(), size)]).unwrap_or(0);
        t.check((1..=size).contains(&written), format_args!("{written} of {size} bytes"));
        let behind = (written as usize).next_multiple_of(8);
        t.check(data.is_filled(behind, data.size() - behind, 0), format_args!("more is written than said"));
    });
}
