//! The machine's memory as a file.

use super::ring::{MAX_CPUS, RECORD_SIZE, RING_SIZE};
use crate::error::{Error, Result};
use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// How much memory the machine must have, as QEMU writes it: the SPMC records at the end of so much.
pub const SIZE: &str = "2G";
/// Leaves the rings out of Linux's memory.
pub const KERNEL_ARGUMENT: &str = "mem=2040M";

const BYTES: u64 = 0x8000_0000;
/// Where the rings begin, from the start of memory at 0x40000000.
const OFFSET: u64 = 0x7f80_0000;

/// A file that is the machine's memory. It has no name any more, so it goes when nobody uses it.
#[derive(Debug)]
pub struct Memory(File);

impl Memory {
    /// Makes it, all zero.
    pub fn new() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("tantalum-memory-{}", std::process::id()));
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path);
        file.and_then(|file| {
            std::fs::remove_file(&path)?;
            file.set_len(BYTES)?;
            Ok(Self(file))
        })
        .map_err(|error| {
            Error::new(format!("cannot make {} for the machine's memory: {error}", path.display()))
        })
    }

    /// A path by which QEMU can open it while this process lives.
    pub fn path(&self, process: &Path) -> PathBuf {
        process.join(format!("fd/{}", self.0.as_raw_fd()))
    }

    /// Reads the rings, without the zeros at their end.
    pub fn rings(&self) -> Result<Vec<u8>> {
        let mut bytes = vec![0; MAX_CPUS * RING_SIZE];
        self.0
            .read_exact_at(&mut bytes, OFFSET)
            .map_err(|error| Error::new(format!("cannot read the machine's memory: {error}")))?;
        let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        // The last record may end in zeros that are its own.
        bytes.truncate(used + RECORD_SIZE);
        Ok(bytes)
    }
}
