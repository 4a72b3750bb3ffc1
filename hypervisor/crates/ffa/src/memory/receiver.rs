//! Records of those who receive memory.

use tantalum_types::EndpointId;

use super::fields::{Reader, Writer};
use super::{DescriptorError, Layout, Part, Permissions, ReceiverFlags};

/// Describes what an endpoint may do with the memory (DEN0140, tables 1.15 and 1.16).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Receiver {
    /// The endpoint.
    pub endpoint: EndpointId,
    /// What it may do.
    pub permissions: Permissions,
    /// More about it.
    pub flags: ReceiverFlags,
    /// What owner and borrower have agreed on; since 1.2, and there only in records of 32 bytes. Else zero.
    pub implementation_defined: [u64; 2],
}

impl Receiver {
    /// Describes an endpoint with the permissions `permissions`.
    pub const fn new(endpoint: EndpointId, permissions: Permissions) -> Self {
        Self { endpoint, permissions, flags: ReceiverFlags::empty(), implementation_defined: [0; 2] }
    }

    /// Reads a record of `size` bytes and returns it with the offset of the ranges' header.
    pub(super) fn decode(
        bytes: &[u8],
        offset: u32,
        size: RecordSize,
    ) -> Result<(Self, u32), DescriptorError> {
        let mut fields = Reader::at(bytes, offset, Part::Receiver)?;
        let endpoint = EndpointId::new(fields.u16()?);
        let permissions = Permissions::decode(fields.u8()?)?;
        let flags =
            ReceiverFlags::from_bits(fields.u8()?).ok_or(DescriptorError::Reserved(Part::Receiver))?;
        let composite = fields.u32()?;
        let implementation_defined = match size {
            RecordSize::Short => [0; 2],
            RecordSize::Long => [fields.u64()?, fields.u64()?],
        };
        fields.zero::<8>()?;
        Ok((Self { endpoint, permissions, flags, implementation_defined }, composite))
    }

    /// Writes the record.
    pub(super) fn encode(
        &self,
        composite: u32,
        layout: Layout,
        into: &mut Writer<'_>,
    ) -> Result<(), DescriptorError> {
        into.put(self.endpoint.raw().to_le_bytes())?;
        into.put([self.permissions.encode(), self.flags.bits()])?;
        into.put(composite.to_le_bytes())?;
        match layout.record_size() {
            RecordSize::Short if self.implementation_defined != [0; 2] => {
                return Err(DescriptorError::NotInLayout(Part::Receiver));
            }
            RecordSize::Short => {}
            RecordSize::Long => {
                let [low, high] = self.implementation_defined;
                into.put(low.to_le_bytes())?;
                into.put(high.to_le_bytes())?;
            }
        }
        into.zero::<8>()
    }
}

/// Names a size of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RecordSize {
    /// 16 bytes.
    Short,
    /// 32 bytes: with an implementation-defined value.
    Long,
}

impl RecordSize {
    /// Counts the bytes.
    pub(super) const fn bytes(self) -> u32 {
        match self {
            Self::Short => 16,
            Self::Long => 32,
        }
    }
}
