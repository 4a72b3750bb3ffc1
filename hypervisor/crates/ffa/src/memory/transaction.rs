//! The descriptor of a memory transaction.

use tantalum_types::EndpointId;

use super::fields::{Reader, Writer};
use super::receiver::RecordSize;
use super::{
    Constituent, DescriptorError, Handle, List, MAX_RECEIVERS, MemoryAttributes, Part, Receiver,
    TransactionFlags,
};
use crate::Version;

/// Names a layout of the descriptor (DEN0140, tables 1.20 and 1.16; FF-A 1.0, table 5.19).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Layout {
    /// FF-A 1.0: a header of 32 bytes, records of 16 bytes right behind it.
    V1_0,
    /// FF-A 1.1: a header of 48 bytes, which says where the records are; they have 16 bytes.
    V1_1,
    /// FF-A 1.2: the same with records of 32 bytes. What is read may have records of 16 bytes too.
    V1_2,
}

impl Layout {
    /// Lists every layout.
    pub const ALL: [Self; 3] = [Self::V1_0, Self::V1_1, Self::V1_2];

    /// Returns the layout that an endpoint of the version `version` uses.
    pub const fn of_version(version: Version) -> Self {
        match version.minor {
            0 => Self::V1_0,
            1 => Self::V1_1,
            _ => Self::V1_2,
        }
    }

    /// Counts the bytes of the header.
    const fn header_size(self) -> u32 {
        match self {
            Self::V1_0 => 32,
            Self::V1_1 | Self::V1_2 => 48,
        }
    }

    /// Returns the size of the records that are written.
    pub(super) const fn record_size(self) -> RecordSize {
        match self {
            Self::V1_0 | Self::V1_1 => RecordSize::Short,
            Self::V1_2 => RecordSize::Long,
        }
    }

    /// Returns the size of records that are read, of which the header says `size`.
    const fn read_record_size(self, size: u32) -> Result<RecordSize, DescriptorError> {
        match (self, size) {
            (Self::V1_0, _) | (Self::V1_1 | Self::V1_2, 16) => Ok(RecordSize::Short),
            (Self::V1_2, 32) => Ok(RecordSize::Long),
            _ => Err(DescriptorError::RecordSize(size)),
        }
    }
}

/// Announces ranges (DEN0140, table 1.12).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Composite {
    /// The number of pages of 4 KiB in all ranges.
    pub total_pages: u32,
    /// The number of ranges.
    pub range_count: u32,
}

impl Composite {
    const SIZE: u32 = 16;

    fn decode(bytes: &[u8], offset: u32) -> Result<Self, DescriptorError> {
        let mut fields = Reader::at(bytes, offset, Part::Composite)?;
        let composite = Self { total_pages: fields.u32()?, range_count: fields.u32()? };
        fields.zero::<8>()?;
        if composite.range_count == 0 {
            return Err(DescriptorError::NoRange);
        }
        if composite.total_pages == 0 {
            return Err(DescriptorError::NoPages);
        }
        Ok(composite)
    }
}

/// Describes a memory transaction (DEN0140, table 1.20), apart from its ranges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// The endpoint that donates, lends or shares the memory.
    pub sender: EndpointId,
    /// The attributes of the memory.
    pub attributes: MemoryAttributes,
    /// How it is to be done, or was.
    pub flags: TransactionFlags,
    /// The memory; none when it is sent.
    pub handle: Handle,
    /// What the sender chose for the receivers to see, of no meaning here.
    pub tag: u64,
    /// Those who receive the memory. None where a hypervisor asks on its own behalf.
    pub receivers: List<Receiver>,
    /// Announces the ranges; none where the handle says which they are.
    pub composite: Option<Composite>,
}

/// Holds what the first fragment of a descriptor says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decoded<'a> {
    /// The descriptor.
    pub transaction: Transaction,
    /// The ranges that are in the fragment: the rest of its bytes. Empty if it announces no ranges. See
    /// [`Constituents`](super::Constituents).
    pub constituents: &'a [u8],
    /// The size in bytes of the whole descriptor with all its ranges, which the caller has to announce too.
    pub total_length: u32,
}

impl Transaction {
    /// Reads the first fragment of a descriptor: the whole of `fragment`, with nothing behind it.
    ///
    /// The header, the records of endpoints and the header of the ranges must be in it; the ranges are for
    /// [`Constituents`](super::Constituents) to read. Every reserved field must be zero, and the parts may not
    /// overlap. What depends on the call (which flags, whether there must be receivers or ranges) is not checked.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn decode(layout: Layout, fragment: &[u8]) -> Result<Decoded<'_>, DescriptorError> {
        let mut header = Reader::new(fragment, Part::Header);
        let sender = EndpointId::new(header.u16()?);
        let attributes = match layout {
            Layout::V1_0 => {
                let raw = header.u8()?.into();
                header.zero::<1>()?;
                raw
            }
            Layout::V1_1 | Layout::V1_2 => header.u16()?,
        };
        let attributes = MemoryAttributes::decode(attributes)?;
        if layout == Layout::V1_0 && attributes.non_secure {
            return Err(DescriptorError::Reserved(Part::Header));
        }
        let flags = header.u32()?;
        let flags = TransactionFlags::from_bits(flags).ok_or(DescriptorError::Flags(flags))?;
        let handle = Handle::new(header.u64()?);
        let tag = header.u64()?;
        let (size, count, offset) = match layout {
            Layout::V1_0 => {
                header.zero::<4>()?;
                (RecordSize::Short.bytes(), header.u32()?, layout.header_size())
            }
            Layout::V1_1 | Layout::V1_2 => {
                let fields = (header.u32()?, header.u32()?, header.u32()?);
                header.zero::<12>()?;
                fields
            }
        };
        let mut transaction =
            Self { sender, attributes, flags, handle, tag, receivers: List::EMPTY, composite: None };
        if count == 0 {
            // Nobody looks for records then, wherever they would be.
            return Ok(Decoded { transaction, constituents: &[], total_length: layout.header_size() });
        }
        let size = layout.read_record_size(size)?;
        if offset % 16 != 0 || offset < layout.header_size() {
            return Err(DescriptorError::RecordOffset(offset));
        }
        let end = count
            .checked_mul(size.bytes())
            .and_then(|length| offset.checked_add(length))
            .ok_or(DescriptorError::Truncated(Part::Receiver))?;
        // All of them must be there, before it is said that they are too many to keep.
        Reader::at(fragment, end, Part::Receiver)?;
        if !usize::try_from(count).is_ok_and(|count| count <= MAX_RECEIVERS) {
            return Err(DescriptorError::TooManyReceivers(count));
        }
        let mut composite_at = None;
        let mut at = offset;
        for _ in 0..count {
            let (receiver, composite) = Receiver::decode(fragment, at, size)?;
            transaction.receivers.push(receiver).ok_or(DescriptorError::TooManyReceivers(count))?;
            if *composite_at.get_or_insert(composite) != composite {
                return Err(DescriptorError::SeveralComposites);
            }
            at = at.checked_add(size.bytes()).ok_or(DescriptorError::TooLong)?;
        }
        let Some(composite_at) = composite_at.filter(|offset| *offset != 0) else {
            return Ok(Decoded { transaction, constituents: &[], total_length: end });
        };
        if composite_at % 8 != 0 || composite_at < end {
            return Err(DescriptorError::CompositeOffset(composite_at));
        }
        let composite = Composite::decode(fragment, composite_at)?;
        transaction.composite = Some(composite);
        let constituents_at = composite_at.checked_add(Composite::SIZE).ok_or(DescriptorError::TooLong)?;
        Ok(Decoded {
            transaction,
            constituents: Reader::at(fragment, constituents_at, Part::Composite)?.rest(),
            total_length: with_ranges(constituents_at, composite.range_count)?,
        })
    }

    /// Writes the descriptor up to where its ranges begin, and returns the number of bytes. The ranges go right
    /// behind; see [`encode_constituents`](super::encode_constituents).
    ///
    /// # Errors
    /// Says so if it does not fit, or the layout has no place for a value.
    pub fn encode(&self, layout: Layout, into: &mut [u8]) -> Result<usize, DescriptorError> {
        if self.composite.is_some() && self.receivers.is_empty() {
            // Only a record says where the ranges are.
            return Err(DescriptorError::NoReceiver);
        }
        let mut fields = Writer::new(into);
        let records_end = self.records_end(layout)?;
        let count = u32::try_from(self.receivers.len()).map_err(|_| DescriptorError::TooLong)?;
        fields.put(self.sender.raw().to_le_bytes())?;
        if layout == Layout::V1_0 && self.attributes.non_secure {
            return Err(DescriptorError::NotInLayout(Part::Header));
        }
        // The byte that 1.0 reserves behind them is zero in every layout.
        fields.put(self.attributes.encode().to_le_bytes())?;
        fields.put(self.flags.bits().to_le_bytes())?;
        fields.put(self.handle.raw().to_le_bytes())?;
        fields.put(self.tag.to_le_bytes())?;
        match layout {
            Layout::V1_0 => {
                fields.zero::<4>()?;
                fields.put(count.to_le_bytes())?;
            }
            Layout::V1_1 | Layout::V1_2 => {
                fields.put(layout.record_size().bytes().to_le_bytes())?;
                fields.put(count.to_le_bytes())?;
                fields.put(layout.header_size().to_le_bytes())?;
                fields.zero::<12>()?;
            }
        }
        // Records end at a multiple of 16 bytes, so the ranges' header follows at once.
        let composite_at = if self.composite.is_some() { records_end } else { 0 };
        for receiver in self.receivers.as_slice() {
            receiver.encode(composite_at, layout, &mut fields)?;
        }
        if let Some(composite) = &self.composite {
            fields.put(composite.total_pages.to_le_bytes())?;
            fields.put(composite.range_count.to_le_bytes())?;
            fields.zero::<8>()?;
        }
        Ok(fields.written())
    }

    /// Returns the size in bytes of the whole descriptor with its ranges, as [`Self::encode`] lays it out.
    ///
    /// # Errors
    /// Says so if 32 bits do not hold it.
    pub fn total_length(&self, layout: Layout) -> Result<u32, DescriptorError> {
        let records_end = self.records_end(layout)?;
        let Some(composite) = self.composite else { return Ok(records_end) };
        let constituents_at = records_end.checked_add(Composite::SIZE).ok_or(DescriptorError::TooLong)?;
        with_ranges(constituents_at, composite.range_count)
    }

    fn records_end(&self, layout: Layout) -> Result<u32, DescriptorError> {
        u32::try_from(self.receivers.len())
            .ok()
            .and_then(|count| count.checked_mul(layout.record_size().bytes()))
            .and_then(|length| length.checked_add(layout.header_size()))
            .ok_or(DescriptorError::TooLong)
    }
}

/// Returns where a descriptor ends whose ranges begin at `offset`.
fn with_ranges(offset: u32, range_count: u32) -> Result<u32, DescriptorError> {
    u32::try_from(Constituent::SIZE)
        .ok()
        .and_then(|size| size.checked_mul(range_count))
        .and_then(|length| length.checked_add(offset))
        .ok_or(DescriptorError::TooLong)
}
