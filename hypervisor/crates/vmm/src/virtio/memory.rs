//! What a device asks of guest memory.

use core::error::Error;
use core::fmt;
use core::sync::atomic::{Ordering, fence};

use tantalum_types::Ipa;

/// Says that not all of the bytes are memory of the virtual machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfMemory;

impl fmt::Display for OutOfMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not memory of the virtual machine")
    }
}

impl Error for OutOfMemory {}

/// Gives a device access to the memory of its virtual machine, which writes it at the same time.
///
/// Bytes are copied, never lent. Each is read or written exactly once, and an access of two bytes at an even address is
/// one access of the machine (single-copy atomic): so is an index of a ring.
pub trait GuestMemory {
    /// Copies `to.len()` bytes at `from` into `to`.
    ///
    /// # Errors
    /// Says so, and may have written part of `to`, if not all of it is memory that the virtual machine may read.
    fn read(&self, from: Ipa, to: &mut [u8]) -> Result<(), OutOfMemory>;

    /// Copies `from` to the `from.len()` bytes at `to`.
    ///
    /// # Errors
    /// Says so, and writes nothing, if not all of it is memory that the virtual machine may write.
    fn write(&self, to: Ipa, from: &[u8]) -> Result<(), OutOfMemory>;

    /// Tells whether `length` bytes at `from` do not wrap and are memory of the virtual machine.
    fn contains(&self, from: Ipa, length: u32) -> bool;

    /// Reads an index that the driver writes. What the driver wrote before the index is seen by what is read after it:
    /// load, then a load-acquire barrier.
    ///
    /// # Errors
    /// As [`Self::read`].
    fn load_index(&self, from: Ipa) -> Result<u16, OutOfMemory> {
        let mut bytes = [0; 2];
        self.read(from, &mut bytes)?;
        fence(Ordering::Acquire);
        Ok(u16::from_le_bytes(bytes))
    }

    /// Writes an index that the driver reads. A driver that sees it sees everything that was written before: a
    /// store-release barrier, then store.
    ///
    /// # Errors
    /// As [`Self::write`].
    fn store_index(&self, to: Ipa, value: u16) -> Result<(), OutOfMemory> {
        fence(Ordering::Release);
        self.write(to, &value.to_le_bytes())
    }

    /// Orders what was written before it against what is read after it, on both sides of a ring: of a device and a driver
    /// that each write an index and then read what the other asks for, one sees the other's.
    fn barrier(&self) {
        fence(Ordering::SeqCst);
    }
}
