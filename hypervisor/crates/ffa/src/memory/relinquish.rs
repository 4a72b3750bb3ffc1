//! The descriptor that gives memory back.

use tantalum_types::EndpointId;

use super::fields::{Reader, Writer};
use super::{DescriptorError, Handle, List, Part, RelinquishFlags};

/// Says who gives which memory back (DEN0140, table 2.25).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relinquish {
    /// The memory.
    pub handle: Handle,
    /// How.
    pub flags: RelinquishFlags,
    /// Who.
    pub endpoints: List<EndpointId>,
}

impl Relinquish {
    /// Reads the descriptor from the front of a TX buffer; what is behind it does not matter.
    ///
    /// # Errors
    /// Says so if the bytes end early, a flag is not known, or there is no endpoint or too many.
    pub fn decode(bytes: &[u8]) -> Result<Self, DescriptorError> {
        let mut fields = Reader::new(bytes, Part::Relinquish);
        let handle = Handle::new(fields.u64()?);
        let flags = fields.u32()?;
        let flags = RelinquishFlags::from_bits(flags).ok_or(DescriptorError::Flags(flags))?;
        let count = fields.u32()?;
        if count == 0 {
            return Err(DescriptorError::NoReceiver);
        }
        let mut endpoints = List::EMPTY;
        for _ in 0..count {
            let endpoint = EndpointId::new(fields.u16()?);
            endpoints.push(endpoint).ok_or(DescriptorError::TooManyReceivers(count))?;
        }
        Ok(Self { handle, flags, endpoints })
    }

    /// Writes the descriptor and returns the number of bytes.
    ///
    /// # Errors
    /// Says so if it does not fit.
    pub fn encode(&self, into: &mut [u8]) -> Result<usize, DescriptorError> {
        let mut fields = Writer::new(into);
        fields.put(self.handle.raw().to_le_bytes())?;
        fields.put(self.flags.bits().to_le_bytes())?;
        let count = u32::try_from(self.endpoints.len()).map_err(|_| DescriptorError::BufferTooSmall)?;
        fields.put(count.to_le_bytes())?;
        for endpoint in self.endpoints.as_slice() {
            fields.put(endpoint.raw().to_le_bytes())?;
        }
        Ok(fields.written())
    }
}
