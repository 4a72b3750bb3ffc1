//! Ranges of memory.

use tantalum_types::PAGE_SIZE;

use super::fields::Reader;
use super::{DescriptorError, Part};

/// Describes consecutive pages of 4 KiB (DEN0140, table 1.13).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Constituent {
    /// The address of the first page, as the sender of the memory sees it; a multiple of 4 KiB.
    pub address: u64,
    /// The number of pages, at least one.
    pub page_count: u32,
}

impl Constituent {
    /// Counts the bytes of a range in a descriptor.
    pub const SIZE: usize = 16;

    /// Reads a range.
    ///
    /// # Errors
    /// Says so if the reserved field is not zero, the address is not page aligned, or there are no pages or too
    /// many.
    pub fn decode(bytes: &[u8; Self::SIZE]) -> Result<Self, DescriptorError> {
        let mut fields = Reader::new(bytes, Part::Constituent);
        let address = fields.u64()?;
        let page_count = fields.u32()?;
        fields.zero::<4>()?;
        if address % PAGE_SIZE != 0 {
            return Err(DescriptorError::Alignment(address));
        }
        if page_count == 0 {
            return Err(DescriptorError::NoPages);
        }
        // A count of 32 bits times 4 KiB does not wrap.
        let size = PAGE_SIZE.wrapping_mul(page_count.into());
        if address.checked_add(size).is_none() {
            return Err(DescriptorError::Overflow(address));
        }
        Ok(Self { address, page_count })
    }

    /// Returns the range as the descriptor carries it.
    pub fn encode(&self) -> [u8; Self::SIZE] {
        let [a0, a1, a2, a3, a4, a5, a6, a7] = self.address.to_le_bytes();
        let [c0, c1, c2, c3] = self.page_count.to_le_bytes();
        [a0, a1, a2, a3, a4, a5, a6, a7, c0, c1, c2, c3, 0, 0, 0, 0]
    }
}

/// Reads ranges one after the other from the part of a descriptor that one fragment holds.
#[derive(Clone, Debug)]
pub struct Constituents<'a>(&'a [[u8; Constituent::SIZE]]);

impl<'a> Constituents<'a> {
    /// Begins at the front of `bytes`: what [`Decoded::constituents`](super::Decoded::constituents) holds, or the
    /// whole of a further fragment.
    ///
    /// # Errors
    /// Says so if a range is cut in two: fragments hold whole ranges.
    pub fn new(bytes: &'a [u8]) -> Result<Self, DescriptorError> {
        match bytes.as_chunks() {
            (ranges, []) => Ok(Self(ranges)),
            _ => Err(DescriptorError::Truncated(Part::Constituent)),
        }
    }
}

impl Iterator for Constituents<'_> {
    type Item = Result<Constituent, DescriptorError>;

    fn next(&mut self) -> Option<Self::Item> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(Constituent::decode(first))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.0.len(), Some(self.0.len()))
    }
}

impl ExactSizeIterator for Constituents<'_> {}

/// Writes ranges into `into` until they end or it is full, and returns the number of bytes written.
///
/// Takes no more from `ranges` than it writes, so that the next fragment goes on with it.
pub fn encode_constituents(ranges: &mut impl Iterator<Item = Constituent>, into: &mut [u8]) -> usize {
    let (places, _) = into.as_chunks_mut::<{ Constituent::SIZE }>();
    let mut written = 0_usize;
    for place in places {
        let Some(range) = ranges.next() else { break };
        *place = range.encode();
        written = written.wrapping_add(Constituent::SIZE);
    }
    written
}
