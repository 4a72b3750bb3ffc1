//! Reads and writes little-endian fields from the front.

use super::{DescriptorError, Part};

/// Reads the fields of one part of a descriptor.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    part: Part,
}

impl<'a> Reader<'a> {
    /// Begins at the front of `bytes`.
    pub(super) const fn new(bytes: &'a [u8], part: Part) -> Self {
        Self { bytes, part }
    }

    /// Begins at `offset` of `bytes`.
    pub(super) fn at(bytes: &'a [u8], offset: u32, part: Part) -> Result<Self, DescriptorError> {
        let rest = usize::try_from(offset).ok().and_then(|offset| bytes.get(offset..));
        Ok(Self { bytes: rest.ok_or(DescriptorError::Truncated(part))?, part })
    }

    /// Takes the next `N` bytes.
    pub(super) fn take<const N: usize>(&mut self) -> Result<[u8; N], DescriptorError> {
        let (field, rest) =
            self.bytes.split_first_chunk::<N>().ok_or(DescriptorError::Truncated(self.part))?;
        self.bytes = rest;
        Ok(*field)
    }

    pub(super) fn u8(&mut self) -> Result<u8, DescriptorError> {
        self.take().map(u8::from_le_bytes)
    }

    pub(super) fn u16(&mut self) -> Result<u16, DescriptorError> {
        self.take().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, DescriptorError> {
        self.take().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, DescriptorError> {
        self.take().map(u64::from_le_bytes)
    }

    /// Takes `N` bytes that must be zero.
    pub(super) fn zero<const N: usize>(&mut self) -> Result<(), DescriptorError> {
        if self.take::<N>()? == [0; N] { Ok(()) } else { Err(DescriptorError::Reserved(self.part)) }
    }

    /// Returns what was not read.
    pub(super) const fn rest(self) -> &'a [u8] {
        self.bytes
    }
}

/// Writes fields, and counts them.
pub(super) struct Writer<'a> {
    bytes: &'a mut [u8],
    written: usize,
}

impl<'a> Writer<'a> {
    /// Begins at the front of `bytes`.
    pub(super) const fn new(bytes: &'a mut [u8]) -> Self {
        Self { bytes, written: 0 }
    }

    /// Writes the next bytes.
    pub(super) fn put<const N: usize>(&mut self, field: [u8; N]) -> Result<(), DescriptorError> {
        let end = self.written.checked_add(N).ok_or(DescriptorError::BufferTooSmall)?;
        let place = self.bytes.get_mut(self.written..end).ok_or(DescriptorError::BufferTooSmall)?;
        place.copy_from_slice(&field);
        self.written = end;
        Ok(())
    }

    /// Writes `N` bytes of zero.
    pub(super) fn zero<const N: usize>(&mut self) -> Result<(), DescriptorError> {
        self.put([0; N])
    }

    /// Returns the number of bytes written.
    pub(super) const fn written(&self) -> usize {
        self.written
    }
}
