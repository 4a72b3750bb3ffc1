//! Descriptors of memory transactions, written byte by byte (Arm DEN0140), so that a fault in the SPMC's own codec
//! does not hide itself.

use tantalum_ffa::Version;
use tantalum_types::EndpointId;

use crate::endpoint::SELF;

/// Is Normal memory, write-back, inner shareable.
pub(crate) const NORMAL: u16 = 0x2f;
/// Permits to read.
pub(crate) const READ_ONLY: u8 = 1;
/// Permits to read and write.
pub(crate) const READ_WRITE: u8 = 2;
/// Permits no execution, beside the above.
pub(crate) const NO_EXECUTE: u8 = 1 << 2;
/// Permits execution, beside the above.
pub(crate) const EXECUTE: u8 = 2 << 2;
/// Fills the memory with zeros before the receiver sees it: a flag.
pub(crate) const ZERO: u32 = 1;

/// Is who receives memory: with permissions and flags.
pub(crate) type Receiver = (EndpointId, u8, u8);

/// Is a descriptor. A case changes what is to be wrong in it.
#[derive(Clone)]
pub(crate) struct Descriptor<'a> {
    pub(crate) sender: EndpointId,
    pub(crate) attributes: u16,
    pub(crate) flags: u32,
    pub(crate) handle: u64,
    pub(crate) tag: u64,
    pub(crate) receivers: &'a [Receiver],
    /// Addresses and numbers of pages; none are written if there are none.
    pub(crate) ranges: &'a [(u64, u32)],
    /// The number of pages that is said; else the sum of the ranges'.
    pub(crate) total_pages: Option<u32>,
    /// The number of ranges that is said; else that of the ranges.
    pub(crate) range_count: Option<u32>,
}

/// Bounds a descriptor in bytes.
const LIMIT: usize = 0x2800;

/// Holds the bytes of a descriptor.
pub(crate) struct Encoded {
    bytes: [u8; LIMIT],
    size: usize,
}

impl Encoded {
    /// Returns the bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.size]
    }

    /// Puts a value at an offset.
    pub(crate) fn put<const N: usize>(&mut self, at: usize, value: [u8; N]) {
        self.bytes[at..at + N].copy_from_slice(&value);
        self.size = self.size.max(at + N);
    }
}

impl<'a> Descriptor<'a> {
    /// Describes memory of this suite for `receivers`.
    pub(crate) fn new(receivers: &'a [Receiver], ranges: &'a [(u64, u32)]) -> Self {
        Self {
            sender: SELF,
            attributes: NORMAL,
            flags: 0,
            handle: 0,
            tag: 0,
            receivers,
            ranges,
            total_pages: None,
            range_count: None,
        }
    }

    /// Counts the bytes of the header and of a record in the layout of `version`.
    pub(crate) fn layout(version: Version) -> (usize, usize) {
        match version.minor {
            0 => (32, 16),
            1 => (48, 16),
            _ => (48, 32),
        }
    }

    /// Returns the offset of the ranges' header.
    pub(crate) fn composite(&self, version: Version) -> usize {
        let (header, record) = Self::layout(version);
        header + record * self.receivers.len()
    }

    /// Writes the descriptor in the layout of `version`.
    pub(crate) fn encode(&self, version: Version) -> Encoded {
        let (header, record) = Self::layout(version);
        let mut to = Encoded { bytes: [0; LIMIT], size: 0 };
        to.put(0, self.sender.raw().to_le_bytes());
        to.put(2, self.attributes.to_le_bytes());
        to.put(4, self.flags.to_le_bytes());
        to.put(8, self.handle.to_le_bytes());
        to.put(16, self.tag.to_le_bytes());
        to.put(28, (self.receivers.len() as u32).to_le_bytes());
        if version > Version::V1_0 {
            to.put(24, (record as u32).to_le_bytes());
            to.put(32, (header as u32).to_le_bytes());
            to.put(36, [0; 12]);
        }
        let composite = if self.ranges.is_empty() { 0 } else { self.composite(version) };
        for (index, (endpoint, permissions, flags)) in self.receivers.iter().enumerate() {
            let at = header + index * record;
            to.put(at, endpoint.raw().to_le_bytes());
            to.put(at + 2, [*permissions, *flags]);
            to.put(at + 4, (composite as u32).to_le_bytes());
            to.put(at + record - 8, [0; 8]);
        }
        if composite != 0 {
            let total = self.ranges.iter().map(|(_, pages)| *pages).fold(0, u32::wrapping_add);
            to.put(composite, self.total_pages.unwrap_or(total).to_le_bytes());
            let count = self.range_count.unwrap_or(self.ranges.len() as u32);
            to.put(composite + 4, count.to_le_bytes());
            to.put(composite + 8, [0; 8]);
            for (index, (address, pages)) in self.ranges.iter().enumerate() {
                let at = composite + 16 * (index + 1);
                to.put(at, address.to_le_bytes());
                to.put(at + 8, pages.to_le_bytes());
                to.put(at + 12, [0; 4]);
            }
        }
        to
    }
}
