//! Pages of RAM that others may see: buffers, and memory to share.
//!
//! They are never the subject of a reference: others write them at any time.

use core::ptr::{with_exposed_provenance, with_exposed_provenance_mut};

/// Counts the bytes of a page.
pub(crate) const PAGE: usize = 4096;

/// Is where the pages begin: RAM that nothing else uses, above the payload.
const START: usize = 0x7000_0000;
/// Counts the pages.
const COUNT: usize = 0x8000;

/// Is a page of RAM, or several in a row, for buffers and sharing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pages {
    start: usize,
    count: usize,
}

impl Pages {
    /// Returns `count` pages from number `first` on. Which case uses which is its own affair: cases run one at a
    /// time.
    pub(crate) fn at(first: usize, count: usize) -> Self {
        assert!(first + count <= COUNT, "no such pages: {count} from {first}");
        Self { start: START + first * PAGE, count }
    }

    /// Returns the address.
    pub(crate) fn address(&self) -> u64 {
        self.start as u64
    }

    /// Returns the size in bytes.
    pub(crate) fn size(&self) -> usize {
        self.count * PAGE
    }

    /// Writes `bytes` from `offset` on.
    pub(crate) fn write(&self, offset: usize, bytes: &[u8]) {
        assert!(offset + bytes.len() <= self.size(), "beyond the page");
        for (at, byte) in bytes.iter().enumerate() {
            // SAFETY: it is RAM of the pages above, which only this module reaches, and only like this.
            unsafe { with_exposed_provenance_mut::<u8>(self.start + offset + at).write_volatile(*byte) };
        }
    }

    /// Reads `bytes` from `offset` on.
    pub(crate) fn read(&self, offset: usize, bytes: &mut [u8]) {
        assert!(offset + bytes.len() <= self.size(), "beyond the page");
        for (at, byte) in bytes.iter_mut().enumerate() {
            // SAFETY: as above.
            *byte = unsafe { with_exposed_provenance::<u8>(self.start + offset + at).read_volatile() };
        }
    }

    /// Writes `byte` all over.
    pub(crate) fn fill(&self, byte: u8) {
        for page in 0..self.count {
            self.write(page * PAGE, &[byte; PAGE]);
        }
    }

    /// Tells whether every byte from `offset` on is `byte`.
    pub(crate) fn is_filled(&self, offset: usize, byte: u8) -> bool {
        (offset..self.size()).all(|at| {
            let mut found = [0];
            self.read(at, &mut found);
            found == [byte]
        })
    }

    /// Reads a word of 64 bits.
    pub(crate) fn word(&self, offset: usize) -> u64 {
        let mut bytes = [0; 8];
        self.read(offset, &mut bytes);
        u64::from_le_bytes(bytes)
    }
    /// Writes a word of 64 bits.
    pub(crate) fn set_word(&self, offset: usize, value: u64) {
        self.write(offset, &value.to_le_bytes());
    }
}
