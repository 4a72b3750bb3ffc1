//! Requests of a disk (virtio 1.2, section 5.2).

use super::queue::{Buffer, Queue};
use super::{Device, feature, kind, of_kind};
use crate::machine::memory::Pages;

/// Features.
pub(crate) const READ_ONLY: u64 = 1 << 5;
pub(crate) const FLUSH: u64 = 1 << 9;
pub(crate) const DISCARD: u64 = 1 << 13;
pub(crate) const WRITE_ZEROES: u64 = 1 << 14;

/// Kinds of requests.
pub(crate) mod request {
    pub(crate) const READ: u32 = 0;
    pub(crate) const WRITE: u32 = 1;
    pub(crate) const FLUSH: u32 = 4;
    pub(crate) const GET_ID: u32 = 8;
    pub(crate) const DISCARD: u32 = 11;
    pub(crate) const WRITE_ZEROES: u32 = 13;
}

/// Answers.
pub(crate) const OK: u8 = 0;
pub(crate) const IO_ERROR: u8 = 1;
pub(crate) const UNSUPPORTED: u8 = 2;
/// Is what the answer is before there is one.
pub(crate) const UNTOUCHED: u8 = 0xee;

/// Counts the bytes of a sector.
pub(crate) const SECTOR: usize = 512;

/// Is where the queue, the headers and the data of requests lie among the pages.
const QUEUE_PAGES: usize = 600;
const HEADER_PAGES: usize = 610;
const DATA_PAGES: usize = 612;

/// Is a disk at work.
pub(crate) struct Disk {
    pub(crate) device: Device,
    pub(crate) queue: Queue,
    pub(crate) features: u64,
    header: Pages,
    /// Is memory for what is read and written: 64 KiB.
    pub(crate) data: Pages,
}

impl Disk {
    /// Finds the first disk that may be written or not.
    pub(crate) fn find(read_only: bool) -> Option<Device> {
        of_kind(kind::BLOCK).find(|device| (device.features() & READ_ONLY != 0) == read_only)
    }

    /// Sets a disk to work.
    pub(crate) fn begin(device: Device) -> Self {
        let features = device.begin(READ_ONLY | FLUSH | DISCARD | WRITE_ZEROES | feature::INDIRECT);
        let queue = Queue::new(device, 0, QUEUE_PAGES);
        device.go();
        Self { device, queue, features, header: Pages::at(HEADER_PAGES, 1), data: Pages::at(DATA_PAGES, 16) }
    }

    /// Stops it.
    pub(crate) fn end(self) {
        self.device.end();
    }

    /// Returns how many sectors it has.
    pub(crate) fn sectors(&self) -> u64 {
        self.device.config64(0)
    }

    /// Writes the header of request number `slot`, and returns the buffers for it and for the answer.
    pub(crate) fn header(&self, slot: usize, kind: u32, sector: u64) -> (Buffer, Buffer) {
        let at = slot * 32;
        self.header.write32(at, kind);
        self.header.write32(at + 4, 0);
        self.header.write64(at + 8, sector);
        self.header.write8(at + 16, UNTOUCHED);
        let address = self.header.address() + at as u64;
        (Buffer::read(address, 16), Buffer::write(address + 16, 1))
    }

    /// Returns the answer to request number `slot`.
    pub(crate) fn answer(&self, slot: usize) -> u8 {
        self.header.read8(slot * 32 + 16)
    }

    /// Makes a request with these buffers between header and answer, and returns the answer; how many bytes were
    /// written is the second. A device that has given up leaves the answer untouched.
    pub(crate) fn request_with(&self, kind: u32, sector: u64, data: &[Buffer]) -> (u8, u32) {
        let (header, answer) = self.header(0, kind, sector);
        let mut buffers = [Buffer::default(); 20];
        buffers[0] = header;
        buffers[1..=data.len()].copy_from_slice(data);
        buffers[data.len() + 1] = answer;
        let written = self.queue.ask(&buffers[..data.len() + 2]).unwrap_or(0);
        (self.answer(0), written)
    }

    /// Makes a request about `sectors` sectors of data at the beginning of [`Self::data`].
    pub(crate) fn request(&self, kind: u32, sector: u64, sectors: usize) -> u8 {
        let size = (sectors * SECTOR) as u32;
        let data = Buffer { address: self.data.address(), size, write: kind != request::WRITE };
        self.request_with(kind, sector, &[data]).0
    }

    /// Makes a request about ranges of sectors that carry no data: discards, zeroes.
    pub(crate) fn range(&self, kind: u32, sector: u64, sectors: u32) -> u8 {
        let at = self.data.size() - 16;
        self.data.write64(at, sector);
        self.data.write32(at + 8, sectors);
        self.data.write32(at + 12, 0);
        self.request_with(kind, 0, &[Buffer::read(self.data.address() + at as u64, 16)]).0
    }

    /// Fills `sectors` sectors of data with a pattern that `seed` and the place decide.
    pub(crate) fn fill(&self, sectors: usize, seed: u64) {
        for at in (0..sectors * SECTOR).step_by(8) {
            self.data.write64(at, pattern(seed, at));
        }
    }

    /// Counts the words of `sectors` sectors of data that do not have that pattern.
    pub(crate) fn differs(&self, sectors: usize, seed: u64) -> u64 {
        (0..sectors * SECTOR).step_by(8).filter(|at| self.data.read64(*at) != pattern(seed, *at)).count()
            as u64
    }

    /// Clears the data.
    pub(crate) fn clear(&self) {
        self.data.clear();
    }
}

/// Returns the word of a pattern at an offset.
pub(crate) fn pattern(seed: u64, at: usize) -> u64 {
    (seed << 32 | at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
