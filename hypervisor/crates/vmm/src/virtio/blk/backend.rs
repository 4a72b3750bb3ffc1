//! What a block device asks of a disk.

use core::error::Error;
use core::fmt;

/// Gives the size of a sector in bytes: the unit of every position on a disk.
pub const SECTOR_SIZE: u32 = 512;

/// Gives the length in bytes of what VIRTIO_BLK_T_GET_ID returns.
pub const IDENTIFIER_LENGTH: usize = 20;

/// Describes a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockConfig {
    /// Its size.
    pub sectors: u64,
    /// Whether writes are refused.
    pub read_only: bool,
    /// Whether its backend can discard and write zeroes.
    pub erase: bool,
    /// Its name, filled up with zeroes.
    pub identifier: [u8; IDENTIFIER_LENGTH],
}

/// Says that the disk has failed to do something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IoError;

impl fmt::Display for IoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the disk has failed")
    }
}

impl Error for IoError {}

/// Names a piece of work. Its sectors are all on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Read `bytes`, a multiple of 512 and at most [`BlockBackend::transfer_limit`], from `sector` on.
    Read {
        /// The first sector.
        sector: u64,
        /// How many bytes.
        bytes: u32,
    },
    /// Write as many.
    Write {
        /// The first sector.
        sector: u64,
        /// How many bytes.
        bytes: u32,
    },
    /// Make durable what was written.
    Flush,
    /// Forget what is in at most [`BlockBackend::erase_limit`] sectors.
    Discard {
        /// The first sector.
        sector: u64,
        /// How many.
        sectors: u32,
    },
    /// Make as many sectors read as zero.
    WriteZeroes {
        /// The first sector.
        sector: u64,
        /// How many.
        sectors: u32,
        /// Whether they may be forgotten.
        unmap: bool,
    },
}

/// Says what became of a piece of work that a backend was asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Submitted {
    /// It was begun, or done already: [`BlockBackend::complete`] will say so.
    Accepted,
    /// Nothing was done: there is no room until something else is finished.
    Busy,
}

/// Does the work of a block device.
///
/// A disk that works by itself says when it is done, by an interrupt: who owns it runs the device then. One that does not
/// finishes what it has accepted by the next [`Self::complete`].
pub trait BlockBackend {
    /// Returns how many bytes one operation can move: a multiple of 512, not zero.
    fn transfer_limit(&self) -> u32;

    /// Returns how many sectors one operation can discard or fill with zeroes, not zero.
    fn erase_limit(&self) -> u32;

    /// Begins a piece of work. Its tag is below [`BLOCK_REQUESTS`](super::BLOCK_REQUESTS), and no other piece of this
    /// device has it until it is finished.
    ///
    /// If it is a write that has room, `fill` is called once with a buffer for its data, of just the length; if that
    /// says `false`, the data are not there: the backend does nothing and finishes the piece with an error.
    fn submit(&mut self, tag: u16, operation: Operation, fill: impl FnOnce(&mut [u8]) -> bool) -> Submitted;

    /// Takes a piece of work that is finished, if there is one, and calls `done` once with its tag and, if it was a read,
    /// its data. Tells whether it did.
    fn complete(&mut self, done: impl FnOnce(u16, Result<&[u8], IoError>)) -> bool;
}
