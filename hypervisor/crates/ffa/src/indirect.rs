//! What stands before an indirect message in the TX and RX buffers (FF-A 1.2, section 7.3).

use tantalum_types::EndpointId;
use uuid::Uuid;

use crate::{Status, Version};

/// Is the header of an indirect message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageHeader {
    /// Who sends.
    pub sender: EndpointId,
    /// Who receives.
    pub receiver: EndpointId,
    /// Where the message begins, in bytes from the beginning of the buffer.
    pub offset: u32,
    /// How many bytes the message has.
    pub size: u32,
    /// Which service of the receiver it is for, or nil; since 1.2.
    pub uuid: Uuid,
}

impl MessageHeader {
    /// Counts the bytes of the header since FF-A 1.2.
    pub const SIZE: usize = Self::LENGTH as usize;

    const LENGTH: u32 = 40;

    /// Counts the bytes of the header in FF-A 1.1, which has no UUID.
    const SIZE_1_1: u32 = 20;

    /// Is where a message for an endpoint that speaks `version` begins if nobody wants it elsewhere: the first
    /// multiple of 8 bytes behind the header.
    pub const fn usual_offset(version: Version) -> u32 {
        if version.major == 1 && version.minor < 2 { 24 } else { Self::LENGTH }
    }

    /// Reads the header of a message that an endpoint which speaks `version` sends.
    ///
    /// # Errors
    /// INVALID_PARAMETERS if flags are set, of which there are none, or the message begins within the header.
    pub fn decode(version: Version, bytes: &[u8; Self::SIZE]) -> Result<Self, Status> {
        let (words, uuid) = bytes.split_first_chunk::<24>().ok_or(Status::InvalidParameters)?;
        let [flags, _, offset, ids, size, _] = words_of(words);
        let new = version >= Version::V1_2;
        let smallest = if new { Self::usual_offset(version) } else { Self::SIZE_1_1 };
        if flags != 0 || offset < smallest {
            return Err(Status::InvalidParameters);
        }
        let [r0, r1, s0, s1] = ids.to_le_bytes();
        let uuid = match uuid.first_chunk::<16>() {
            Some(uuid) if new => Uuid::from_bytes(*uuid),
            _ => Uuid::nil(),
        };
        Ok(Self {
            sender: EndpointId::new(u16::from_le_bytes([s0, s1])),
            receiver: EndpointId::new(u16::from_le_bytes([r0, r1])),
            offset,
            size,
            uuid,
        })
    }

    /// Builds the header for an endpoint which speaks `version`; an older one than 1.2 gets no UUID.
    pub fn encode(&self, version: Version) -> [u8; Self::SIZE] {
        let [r0, r1] = self.receiver.raw().to_le_bytes();
        let [s0, s1] = self.sender.raw().to_le_bytes();
        let words = [0, 0, self.offset, u32::from_le_bytes([r0, r1, s0, s1]), self.size, 0];
        let mut bytes = [0; Self::SIZE];
        for (to, word) in bytes.chunks_exact_mut(4).zip(words) {
            to.copy_from_slice(&word.to_le_bytes());
        }
        if version >= Version::V1_2
            && let Some(to) = bytes.last_chunk_mut::<16>()
        {
            *to = *self.uuid.as_bytes();
        }
        bytes
    }
}

fn words_of(bytes: &[u8; 24]) -> [u32; 6] {
    let mut words = [0; 6];
    for (word, four) in words.iter_mut().zip(bytes.as_chunks::<4>().0) {
        *word = u32::from_le_bytes(*four);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEADER: MessageHeader = MessageHeader {
        sender: EndpointId::new(0x8003),
        receiver: EndpointId::new(0x8001),
        offset: 40,
        size: 100,
        uuid: Uuid::from_bytes([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]),
    };

    #[test]
    fn the_header_grows_with_the_version() {
        let bytes = HEADER.encode(Version::V1_2);
        let words = [0, 0, 0, 0, 0, 0, 0, 0, 40, 0, 0, 0, 1, 0x80, 3, 0x80, 100, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(bytes[..24], words);
        assert_eq!(bytes[24..], (1..=16).collect::<Vec<u8>>());
        assert_eq!(HEADER.encode(Version::V1_1)[24..], [0; 16]);
        assert_eq!(MessageHeader::decode(Version::V1_2, &bytes), Ok(HEADER));
        // To an older sender these bytes are part of its message, or of nothing.
        let old = MessageHeader { uuid: Uuid::nil(), ..HEADER };
        assert_eq!(MessageHeader::decode(Version::V1_1, &bytes), Ok(old));
    }

    #[test]
    fn a_message_begins_behind_its_header() {
        for (version, smallest) in [(Version::V1_1, 20), (Version::V1_2, 40)] {
            let at = |offset| {
                let bytes = MessageHeader { offset, ..HEADER }.encode(version);
                MessageHeader::decode(version, &bytes).map(|header| header.offset)
            };
            for offset in 0..smallest {
                assert_eq!(at(offset), Err(Status::InvalidParameters), "{version} {offset}");
            }
            assert_eq!(at(smallest), Ok(smallest));
            assert_eq!(at(u32::MAX), Ok(u32::MAX));
            assert!(MessageHeader::usual_offset(version) >= smallest);
            assert_eq!(MessageHeader::usual_offset(version) % 8, 0);
        }
    }

    #[test]
    fn there_are_no_flags() {
        for byte in 0..4 {
            let mut bytes = HEADER.encode(Version::V1_2);
            bytes[byte] = 1;
            assert_eq!(MessageHeader::decode(Version::V1_2, &bytes), Err(Status::InvalidParameters));
        }
    }

    proptest! {
        #[test]
        fn header_and_back(sender: u16, receiver: u16, offset in 40_u32.., size: u32, uuid: [u8; 16]) {
            let header = MessageHeader {
                sender: EndpointId::new(sender),
                receiver: EndpointId::new(receiver),
                offset,
                size,
                uuid: Uuid::from_bytes(uuid),
            };
            prop_assert_eq!(MessageHeader::decode(Version::V1_2, &header.encode(Version::V1_2)), Ok(header));
        }

        #[test]
        fn decoding_takes_any_bytes(bytes: [u8; 20], rest: [u8; 20]) {
            let mut all = [0; MessageHeader::SIZE];
            all[..20].copy_from_slice(&bytes);
            all[20..].copy_from_slice(&rest);
            if let Ok(header) = MessageHeader::decode(Version::V1_1, &all) {
                prop_assert!(header.offset >= 20);
            }
        }
    }
}
