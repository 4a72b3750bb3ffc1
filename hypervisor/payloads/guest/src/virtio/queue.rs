//! A split virtqueue (virtio 1.2, section 2.7).

use core::cell::Cell;

use super::{Device, register};
use crate::machine::memory::{PAGE, Pages};
use crate::machine::{interrupts, sysreg};

/// Flags of a descriptor.
pub(crate) const NEXT: u16 = 1;
pub(crate) const WRITE: u16 = 2;
pub(crate) const INDIRECT: u16 = 4;

/// Counts the pages that a queue takes.
pub(crate) const PAGES: usize = 3;

/// Is a virtqueue that lies in three pages: descriptors, what the driver offers, what the device has used.
pub(crate) struct Queue {
    /// Whose it is.
    pub(crate) device: Device,
    index: u32,
    /// How many descriptors it has.
    pub(crate) size: u16,
    pages: Pages,
    offered: Cell<u16>,
    taken: Cell<u16>,
}

/// Is one buffer of a request: its address, its size, and whether the device writes it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Buffer {
    pub(crate) address: u64,
    pub(crate) size: u32,
    pub(crate) write: bool,
}

impl Buffer {
    /// Is one that the device reads.
    pub(crate) fn read(address: u64, size: u32) -> Self {
        Self { address, size, write: false }
    }

    /// Is one that the device writes.
    pub(crate) fn write(address: u64, size: u32) -> Self {
        Self { address, size, write: true }
    }

    fn flags(&self, last: bool) -> u16 {
        let written = if self.write { WRITE } else { 0 };
        let chained = if last { 0 } else { NEXT };
        written | chained
    }
}

const DRIVER: usize = PAGE;
const DEVICE: usize = 2 * PAGE;

impl Queue {
    /// Makes queue `index` of `device`, of at most 64 descriptors, in the pages from number `first` on, and tells the
    /// device.
    pub(crate) fn new(device: Device, index: u32, first: usize) -> Self {
        let pages = Pages::at(first, PAGES);
        pages.clear();
        device.write(register::QUEUE_SELECT, index);
        let size = device.read(register::QUEUE_SIZE_MAX).min(64) as u16;
        let queue = Self { device, index, size, pages, offered: Cell::new(0), taken: Cell::new(0) };
        queue.place(pages.address(), pages.address() + DRIVER as u64, pages.address() + DEVICE as u64);
        queue
    }

    /// Tells the device where the queue lies.
    pub(crate) fn place(&self, descriptors: u64, driver: u64, device: u64) {
        let to = &self.device;
        to.write(register::QUEUE_SELECT, self.index);
        to.write(register::QUEUE_SIZE, self.size.into());
        for (offset, address) in [
            (register::QUEUE_DESCRIPTORS, descriptors),
            (register::QUEUE_DRIVER, driver),
            (register::QUEUE_DEVICE, device),
        ] {
            to.write(offset, address as u32);
            to.write(offset + 4, (address >> 32) as u32);
        }
        to.write(register::QUEUE_READY, 1);
    }

    /// Writes descriptor `at`.
    pub(crate) fn describe(&self, at: u16, address: u64, size: u32, flags: u16, next: u16) {
        describe_in(&self.pages, usize::from(at) * 16, address, size, flags, next);
    }

    /// Writes a chain of descriptors from number `first` on, in a row.
    pub(crate) fn chain(&self, first: u16, buffers: &[Buffer]) {
        for (at, buffer) in (first..).zip(buffers) {
            let last = usize::from(at - first) + 1 == buffers.len();
            self.describe(at, buffer.address, buffer.size, buffer.flags(last), at + 1);
        }
    }

    /// Offers the chain that begins with descriptor `head`, without telling the device.
    pub(crate) fn offer(&self, head: u16) {
        let number = self.offered.get();
        self.pages.write16(DRIVER + 4 + usize::from(number % self.size) * 2, head);
        sysreg::dmb();
        self.set_offered(number.wrapping_add(1));
    }

    /// Sets how many chains it says that it has offered.
    pub(crate) fn set_offered(&self, number: u16) {
        self.offered.set(number);
        self.pages.write16(DRIVER + 2, number);
        sysreg::dmb();
    }

    /// Returns how many chains it says that it has offered.
    pub(crate) fn offered(&self) -> u16 {
        self.offered.get()
    }

    /// Tells the device that something is offered.
    pub(crate) fn notify(&self) {
        self.device.write(register::QUEUE_NOTIFY, self.index);
    }

    /// Tells whether the device has used something that was not taken yet.
    pub(crate) fn is_used(&self) -> bool {
        self.pages.read16(DEVICE + 2) != self.taken.get()
    }

    /// Takes the next chain that the device has used: its head, and how many bytes the device has written.
    pub(crate) fn take(&self) -> Option<(u32, u32)> {
        if !self.is_used() {
            return None;
        }
        sysreg::dmb();
        let at = DEVICE + 4 + usize::from(self.taken.get() % self.size) * 8;
        self.taken.set(self.taken.get().wrapping_add(1));
        Some((self.pages.read32(at), self.pages.read32(at + 4)))
    }

    /// Sleeps until the device has used something, and takes it. A device that has given up has not: `None`.
    pub(crate) fn wait(&self) -> Option<(u32, u32)> {
        interrupts::sleep_until(|| self.is_used() || self.device.needs_reset());
        self.take()
    }

    /// Offers one chain from descriptor 0 on, and waits until it is used. Returns how many bytes the device has written.
    pub(crate) fn ask(&self, buffers: &[Buffer]) -> Option<u32> {
        self.chain(0, buffers);
        self.offer(0);
        self.notify();
        self.wait().map(|(_, written)| written)
    }
}

/// Writes a descriptor at `offset` of some pages.
pub(crate) fn describe_in(pages: &Pages, offset: usize, address: u64, size: u32, flags: u16, next: u16) {
    pages.write64(offset, address);
    pages.write32(offset + 8, size);
    pages.write16(offset + 12, flags);
    pages.write16(offset + 14, next);
}

/// Writes a chain as a table for an indirect descriptor, from `offset` on, and returns its size.
pub(crate) fn indirect_table(pages: &Pages, offset: usize, buffers: &[Buffer]) -> u32 {
    for (at, buffer) in buffers.iter().enumerate() {
        let flags = buffer.flags(at + 1 == buffers.len());
        describe_in(pages, offset + at * 16, buffer.address, buffer.size, flags, at as u16 + 1);
    }
    buffers.len() as u32 * 16
}
