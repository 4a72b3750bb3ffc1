//! The RX and TX buffers of a partition.

use core::hint::spin_loop;
use core::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use crate::spmc::{CallError, Spmc};

/// Counts the bytes of a buffer: one page.
pub const BUFFER_SIZE: usize = 4096;

/// Is a buffer that the SPMC reads or writes as well: bytes that may change at any time, so they are copied.
#[derive(Debug)]
#[repr(C, align(4096))]
pub struct Buffer([AtomicU8; BUFFER_SIZE]);

impl Buffer {
    const fn new() -> Self {
        Self([const { AtomicU8::new(0) }; BUFFER_SIZE])
    }

    /// Returns its address.
    pub fn address(&self) -> u64 {
        // An address has at most 64 bits.
        self.0.as_ptr().expose_provenance() as u64
    }

    /// Copies `bytes` to the front; what does not fit is left out.
    pub fn write(&self, bytes: &[u8]) {
        for (to, from) in self.0.iter().zip(bytes) {
            to.store(*from, Ordering::Relaxed);
        }
    }

    /// Copies the front to `bytes`; what it does not have is left as it is.
    pub fn read(&self, bytes: &mut [u8]) {
        for (to, from) in bytes.iter_mut().zip(&self.0) {
            *to = from.load(Ordering::Relaxed);
        }
    }
}

/// Keeps the RX and TX buffers, one page each, for one user at a time.
#[derive(Debug)]
pub struct Buffers {
    tx: Buffer,
    rx: Buffer,
    mapped: AtomicBool,
    taken: AtomicBool,
}

impl Buffers {
    /// Builds buffers that the SPMC does not know of yet.
    pub const fn new() -> Self {
        Self {
            tx: Buffer::new(),
            rx: Buffer::new(),
            mapped: AtomicBool::new(false),
            taken: AtomicBool::new(false),
        }
    }

    /// Returns the buffer that the SPMC reads, to a fake of it.
    #[cfg(test)]
    pub(crate) const fn tx(&self) -> &Buffer {
        &self.tx
    }

    /// Returns the buffer that the SPMC writes, to a fake of it.
    #[cfg(test)]
    pub(crate) const fn rx(&self) -> &Buffer {
        &self.rx
    }

    /// Takes the buffers, waiting for another execution context that has them, and tells the SPMC about them if
    /// it does not know yet.
    ///
    /// # Errors
    /// Passes on what the SPMC says.
    pub fn take<'a>(&'a self, spmc: &Spmc<'_>) -> Result<TakenBuffers<'a>, CallError> {
        while self.taken.swap(true, Ordering::Acquire) {
            spin_loop();
        }
        let taken = TakenBuffers(self);
        if !self.mapped.load(Ordering::Relaxed) {
            spmc.map_buffers(self.tx.address(), self.rx.address(), 1)?;
            self.mapped.store(true, Ordering::Relaxed);
        }
        Ok(taken)
    }
}

impl Default for Buffers {
    fn default() -> Self {
        Self::new()
    }
}

/// Has the buffers until it is dropped.
#[derive(Debug)]
pub struct TakenBuffers<'a>(&'a Buffers);

impl TakenBuffers<'_> {
    /// Returns the buffer that the SPMC reads.
    pub const fn tx(&self) -> &Buffer {
        &self.0.tx
    }

    /// Returns the buffer that the SPMC writes.
    pub const fn rx(&self) -> &Buffer {
        &self.0.rx
    }

    /// Takes the buffers from the SPMC. It is told about them again when they are taken the next time.
    ///
    /// # Errors
    /// Passes on what the SPMC says.
    pub fn unmap(self, spmc: &Spmc<'_>) -> Result<(), CallError> {
        spmc.unmap_buffers()?;
        self.0.mapped.store(false, Ordering::Relaxed);
        Ok(())
    }
}

impl Drop for TakenBuffers<'_> {
    fn drop(&mut self) {
        self.0.taken.store(false, Ordering::Release);
    }
}
