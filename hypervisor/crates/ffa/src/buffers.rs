//! What a hypervisor puts into its TX buffer when it forwards a VM's FFA_RXTX_MAP (FF-A 1.2, section 13.5).

use tantalum_types::EndpointId;

use crate::Status;

/// Names the VM whose buffers are mapped, and says where in the TX buffer each of them is described.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndpointBuffers {
    /// The VM.
    pub endpoint: EndpointId,
    /// Where the RX buffer is described, in bytes from the beginning of the TX buffer.
    pub rx_offset: u32,
    /// Where the TX buffer is described.
    pub tx_offset: u32,
}

impl EndpointBuffers {
    /// Counts the bytes of the descriptor.
    pub const SIZE: usize = Self::LENGTH as usize;

    const LENGTH: u32 = 16;

    /// Reads the descriptor.
    ///
    /// # Errors
    /// INVALID_PARAMETERS if an offset is not a multiple of 8, or the descriptions overlap it or each other.
    pub fn decode(bytes: &[u8; Self::SIZE]) -> Result<Self, Status> {
        let [e0, e1, _, _, r0, r1, r2, r3, t0, t1, t2, t3, ..] = *bytes;
        let rx_offset = u32::from_le_bytes([r0, r1, r2, r3]);
        let tx_offset = u32::from_le_bytes([t0, t1, t2, t3]);
        let misplaced = |offset: u32| !offset.is_multiple_of(8) || offset < Self::LENGTH;
        if misplaced(rx_offset)
            || misplaced(tx_offset)
            || rx_offset.abs_diff(tx_offset) < BufferDescription::LENGTH
        {
            return Err(Status::InvalidParameters);
        }
        Ok(Self { endpoint: EndpointId::new(u16::from_le_bytes([e0, e1])), rx_offset, tx_offset })
    }

    /// Builds the descriptor.
    pub fn encode(&self) -> [u8; Self::SIZE] {
        let [e0, e1] = self.endpoint.raw().to_le_bytes();
        let [r0, r1, r2, r3] = self.rx_offset.to_le_bytes();
        let [t0, t1, t2, t3] = self.tx_offset.to_le_bytes();
        [e0, e1, 0, 0, r0, r1, r2, r3, t0, t1, t2, t3, 0, 0, 0, 0]
    }
}

/// Describes one buffer: a composite memory region (memory management supplement 1.2, section 1.11.1) of one
/// range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BufferDescription {
    /// Where it is.
    pub address: u64,
    /// Its size in pages of 4 KiB.
    pub page_count: u32,
}

impl BufferDescription {
    /// Counts the bytes of the description.
    pub const SIZE: usize = Self::LENGTH as usize;

    const LENGTH: u32 = 32;

    /// Reads the description.
    ///
    /// # Errors
    /// INVALID_PARAMETERS if it has another number of ranges than one, or the range another number of pages than
    /// the region: a buffer is one piece.
    pub fn decode(bytes: &[u8; Self::SIZE]) -> Result<Self, Status> {
        let mut words = [0; 8];
        for (word, four) in words.iter_mut().zip(bytes.as_chunks::<4>().0) {
            *word = u32::from_le_bytes(*four);
        }
        let [total, ranges, _, _, low, high, page_count, _] = words;
        if ranges != 1 || total != page_count {
            return Err(Status::InvalidParameters);
        }
        Ok(Self { address: u64::from(high) << 32 | u64::from(low), page_count })
    }

    /// Builds the description.
    pub fn encode(&self) -> [u8; Self::SIZE] {
        let [low, high] = [self.address & 0xffff_ffff, self.address >> 32];
        let pages = u64::from(self.page_count);
        let mut bytes = [0; Self::SIZE];
        for (to, pair) in bytes.chunks_exact_mut(8).zip([1 << 32 | pages, 0, high << 32 | low, pages]) {
            to.copy_from_slice(&pair.to_le_bytes());
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUFFERS: EndpointBuffers =
        EndpointBuffers { endpoint: EndpointId::new(0x1234), rx_offset: 16, tx_offset: 48 };

    #[test]
    fn the_descriptor_and_back() {
        let bytes = BUFFERS.encode();
        assert_eq!(bytes, [0x34, 0x12, 0, 0, 16, 0, 0, 0, 48, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(EndpointBuffers::decode(&bytes), Ok(BUFFERS));
    }

    #[test]
    fn descriptions_lie_behind_each_other() {
        for (rx_offset, tx_offset) in [(0, 48), (16, 8), (16, 40), (16, 16), (20, 56), (16, 49), (48, 24)] {
            let bytes = EndpointBuffers { rx_offset, tx_offset, ..BUFFERS }.encode();
            assert_eq!(
                EndpointBuffers::decode(&bytes),
                Err(Status::InvalidParameters),
                "{rx_offset} {tx_offset}"
            );
        }
        let swapped = EndpointBuffers { rx_offset: 48, tx_offset: 16, ..BUFFERS };
        assert_eq!(EndpointBuffers::decode(&swapped.encode()), Ok(swapped));
    }

    #[test]
    fn a_buffer_is_one_range() {
        let buffer = BufferDescription { address: 0x1_2345_6000, page_count: 2 };
        let bytes = buffer.encode();
        assert_eq!(bytes[..8], [2, 0, 0, 0, 1, 0, 0, 0]);
        assert_eq!(bytes[16..28], [0, 0x60, 0x45, 0x23, 1, 0, 0, 0, 2, 0, 0, 0]);
        assert_eq!(BufferDescription::decode(&bytes), Ok(buffer));
        for (byte, value) in [(0, 3), (4, 0), (4, 2), (24, 1)] {
            let mut wrong = bytes;
            wrong[byte] = value;
            assert_eq!(BufferDescription::decode(&wrong), Err(Status::InvalidParameters));
        }
    }
}
