//! A chain of descriptors, copied out of guest memory and checked (virtio 1.2, sections 2.7.4 and 2.7.5).

use heapless::Vec;
use tantalum_types::Ipa;

use super::memory::{GuestMemory, OutOfMemory};

/// Bounds the buffers of a chain. A device tells its driver where it can; the others never need that many.
pub(crate) const MAX_SEGMENTS: usize = 32;

/// Says that the driver has broken a rule of section 2.7: the device stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

impl From<OutOfMemory> for Malformed {
    fn from(_: OutOfMemory) -> Self {
        Self
    }
}

/// Names guest memory that a device may read, or write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Segment {
    address: u64,
    length: u32,
}

/// Holds the buffers of one request: those that the device reads, and then those that it writes.
#[derive(Debug)]
pub(crate) struct Chain {
    segments: Vec<Segment, MAX_SEGMENTS>,
    /// How many of them the device reads.
    readable_count: usize,
    readable: u32,
    writable: u32,
    head: u16,
}

/// Says how far a part of a chain has been read or written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor {
    segment: usize,
    end: usize,
    offset: u32,
}

impl Chain {
    /// Builds an empty one.
    pub(crate) const fn new() -> Self {
        Self { segments: Vec::new(), readable_count: 0, readable: 0, writable: 0, head: 0 }
    }

    /// Forgets what it holds and begins the chain of descriptor `head`.
    pub(crate) fn begin(&mut self, head: u16) {
        self.segments.clear();
        self.readable_count = 0;
        self.readable = 0;
        self.writable = 0;
        self.head = head;
    }

    /// Adds a buffer.
    ///
    /// # Errors
    /// If it is not memory of the virtual machine, is one to read behind one to write, makes the chain longer than 2^32 - 1
    /// bytes, or is one too many.
    pub(crate) fn push(
        &mut self,
        address: u64,
        length: u32,
        writable: bool,
        memory: &impl GuestMemory,
    ) -> Result<(), Malformed> {
        if !writable && self.readable_count < self.segments.len() {
            return Err(Malformed);
        }
        if length != 0 && !memory.contains(Ipa::non_secure(address), length) {
            return Err(Malformed);
        }
        self.readable.checked_add(self.writable).and_then(|sum| sum.checked_add(length)).ok_or(Malformed)?;
        self.segments.push(Segment { address, length }).map_err(|_| Malformed)?;
        // The sum of both does not wrap, so neither does one of them.
        if writable {
            self.writable = self.writable.saturating_add(length);
        } else {
            self.readable = self.readable.saturating_add(length);
            self.readable_count = self.segments.len();
        }
        Ok(())
    }

    /// Returns the number of its first descriptor, by which the driver knows it.
    pub(crate) fn head(&self) -> u16 {
        self.head
    }

    /// Returns how many bytes the device may read.
    pub(crate) fn readable(&self) -> u32 {
        self.readable
    }

    /// Returns how many bytes the device may write.
    pub(crate) fn writable(&self) -> u32 {
        self.writable
    }

    /// Returns how many buffers it has.
    pub(crate) fn segment_count(&self) -> usize {
        self.segments.len()
    }

    /// Returns where reading begins.
    pub(crate) fn reader(&self) -> Cursor {
        Cursor { segment: 0, end: self.readable_count, offset: 0 }
    }

    /// Returns where writing begins.
    pub(crate) fn writer(&self) -> Cursor {
        Cursor { segment: self.readable_count, end: self.segments.len(), offset: 0 }
    }

    /// Copies the next `to.len()` bytes into `to`.
    ///
    /// # Errors
    /// If there are fewer, or what was guest memory is not any more.
    pub(crate) fn read(
        &self,
        cursor: &mut Cursor,
        to: &mut [u8],
        memory: &impl GuestMemory,
    ) -> Result<(), Malformed> {
        let mut rest = to;
        while !rest.is_empty() {
            let (address, length) = self.next(cursor, rest.len())?;
            let (now, later) = rest.split_at_mut_checked(length).ok_or(Malformed)?;
            memory.read(address, now)?;
            rest = later;
        }
        Ok(())
    }

    /// Copies the next bytes into `to` as far as there are any, and returns those.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub(crate) fn read_some<'a>(
        &self,
        cursor: &mut Cursor,
        to: &'a mut [u8],
        memory: &impl GuestMemory,
    ) -> Result<&'a [u8], Malformed> {
        let mut filled = 0;
        while let Some(rest) = to.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            let Ok((address, length)) = self.next(cursor, rest.len()) else { break };
            memory.read(address, rest.get_mut(..length).ok_or(Malformed)?)?;
            filled = filled.saturating_add(length);
        }
        to.get(..filled).ok_or(Malformed)
    }

    /// Copies `from` to the next bytes that are to be written.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub(crate) fn write(
        &self,
        cursor: &mut Cursor,
        from: &[u8],
        memory: &impl GuestMemory,
    ) -> Result<(), Malformed> {
        let mut rest = from;
        while !rest.is_empty() {
            let (address, length) = self.next(cursor, rest.len())?;
            let (now, later) = rest.split_at_checked(length).ok_or(Malformed)?;
            memory.write(address, now)?;
            rest = later;
        }
        Ok(())
    }

    /// Writes the last byte of those that are to be written.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub(crate) fn write_last(&self, byte: u8, memory: &impl GuestMemory) -> Result<(), Malformed> {
        let last = self.segments.iter().skip(self.readable_count).rev().find(|segment| segment.length != 0);
        let segment = last.ok_or(Malformed)?;
        let address = segment.address.wrapping_add(segment.length.into()).wrapping_sub(1);
        Ok(memory.write(Ipa::non_secure(address), &[byte])?)
    }

    /// Returns the next bytes that lie in one buffer, at most `most`, and moves on behind them.
    fn next(&self, cursor: &mut Cursor, most: usize) -> Result<(Ipa, usize), Malformed> {
        while cursor.segment < cursor.end {
            let segment = self.segments.get(cursor.segment).ok_or(Malformed)?;
            let left = segment.length.saturating_sub(cursor.offset);
            if left != 0 {
                let now = u32::try_from(most).unwrap_or(u32::MAX).min(left);
                // The buffer was shown not to wrap.
                let address = segment.address.wrapping_add(cursor.offset.into());
                cursor.offset = cursor.offset.saturating_add(now);
                return Ok((Ipa::non_secure(address), usize::try_from(now).map_err(|_| Malformed)?));
            }
            cursor.segment = cursor.segment.saturating_add(1);
            cursor.offset = 0;
        }
        Err(Malformed)
    }
}
