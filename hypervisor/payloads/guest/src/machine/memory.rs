//! RAM to work on, which devices may see: pages behind the suite's image.
//!
//! They are never the subject of a reference: others write them at any time.

use core::ptr::{with_exposed_provenance, with_exposed_provenance_mut};

use super::{image, tree};

/// Counts the bytes of a page.
pub(crate) const PAGE: usize = 4096;

/// Counts the pages that cases may use.
pub(crate) const COUNT: usize = 2048;

/// Returns where the pages begin.
fn start() -> usize {
    let (_, end) = image();
    (end as usize).next_multiple_of(0x20_0000)
}

/// Asserts that the pages are RAM and do not hold the device tree.
pub(crate) fn check() {
    let (start, end) = (start() as u64, (start() + COUNT * PAGE) as u64);
    let (ram, size) = tree::ram();
    assert!(
        start >= ram && end <= ram + size,
        "{start:#x} to {end:#x} is not in {size:#x} bytes from {ram:#x}"
    );
    let (tree, size) = tree::place();
    assert!(tree + size <= start || tree >= end, "the device tree at {tree:#x} is in the way");
}

/// Is a page of RAM, or several in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pages {
    start: usize,
    count: usize,
}

macro_rules! accesses {
    ($($read:ident $write:ident $type:ty;)*) => {$(
        #[doc = concat!("Reads ", stringify!($type), " at `offset`.")]
        pub(crate) fn $read(&self, offset: usize) -> $type {
            let at = self.check(offset, size_of::<$type>());
            // SAFETY: it is RAM of the pages above, aligned, which only this module reaches, and only like this.
            unsafe { with_exposed_provenance::<$type>(at).read_volatile() }
        }

        #[doc = concat!("Writes ", stringify!($type), " at `offset`.")]
        pub(crate) fn $write(&self, offset: usize, value: $type) {
            let at = self.check(offset, size_of::<$type>());
            // SAFETY: as above.
            unsafe { with_exposed_provenance_mut::<$type>(at).write_volatile(value) };
        }
    )*};
}

impl Pages {
    /// Returns `count` pages from number `first` on. Which case uses which is its own affair: cases run one at a
    /// time.
    pub(crate) fn at(first: usize, count: usize) -> Self {
        assert!(first + count <= COUNT, "no such pages: {count} from {first}");
        Self { start: start() + first * PAGE, count }
    }

    /// Returns the address.
    pub(crate) fn address(&self) -> u64 {
        self.start as u64
    }

    /// Returns the size in bytes.
    pub(crate) fn size(&self) -> usize {
        self.count * PAGE
    }

    /// Returns `size` bytes from `offset` on, as far as whole accesses are concerned.
    fn check(&self, offset: usize, size: usize) -> usize {
        assert!(
            offset.is_multiple_of(size) && offset + size <= self.size(),
            "{offset:#x} of {:#x}",
            self.size()
        );
        self.start + offset
    }

    accesses! {
        read8 write8 u8;
        read16 write16 u16;
        read32 write32 u32;
        read64 write64 u64;
    }

    /// Writes `byte` from `offset` on, `size` times.
    pub(crate) fn fill(&self, offset: usize, size: usize, byte: u8) {
        let word = u64::from_ne_bytes([byte; 8]);
        let end = offset + size;
        let mut at = offset;
        while at < end {
            if at.is_multiple_of(8) && at + 8 <= end {
                self.write64(at, word);
                at += 8;
            } else {
                self.write8(at, byte);
                at += 1;
            }
        }
    }

    /// Tells whether `size` bytes from `offset` on are all `byte`.
    pub(crate) fn is_filled(&self, offset: usize, size: usize, byte: u8) -> bool {
        (offset..offset + size).all(|at| self.read8(at) == byte)
    }

    /// Makes all of it zero.
    pub(crate) fn clear(&self) {
        self.fill(0, self.size(), 0);
    }
}

/// Calls `visit` with an address in each page of RAM that holds neither the image nor the device tree.
pub(crate) fn each_free_page(mut visit: impl FnMut(u64)) {
    let (ram, size) = tree::ram();
    let (image, image_end) = image();
    let (tree, tree_size) = tree::place();
    let tree_end = (tree + tree_size).next_multiple_of(PAGE as u64);
    let tree = tree & !(PAGE as u64 - 1);
    for page in (ram..ram + size).step_by(PAGE) {
        if !(image..image_end).contains(&page) && !(tree..tree_end).contains(&page) {
            visit(page);
        }
    }
}

/// Writes a word at an address that [`each_free_page`] has given.
pub(crate) fn write_free(address: u64, value: u64) {
    // SAFETY: it is RAM that nobody uses: neither the program nor the device tree is there.
    unsafe { with_exposed_provenance_mut::<u64>(address as usize).write_volatile(value) };
}

/// Reads it.
pub(crate) fn read_free(address: u64) -> u64 {
    // SAFETY: as above.
    unsafe { with_exposed_provenance::<u64>(address as usize).read_volatile() }
}
