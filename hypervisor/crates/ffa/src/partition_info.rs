//! What partitions learn about each other.

use bitflags::bitflags;
use tantalum_types::EndpointId;
use uuid::Uuid;

use crate::Version;
use crate::uuids::{uuid_from_pair, uuid_to_pair};

bitflags! {
    /// Says what a partition can do (FF-A 1.2, table 6.1).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct PartitionProperties: u32 {
        /// Can receive direct requests.
        const RECEIVES_DIRECT = 1 << 0;
        /// Can send direct requests.
        const SENDS_DIRECT = 1 << 1;
        /// Can send and receive indirect messages.
        const INDIRECT = 1 << 2;
        /// Can receive notifications; since 1.1.
        const NOTIFICATIONS = 1 << 3;
        /// Wants to know of created VMs; since 1.1.
        const VM_CREATED = 1 << 6;
        /// Wants to know of destroyed VMs; since 1.1.
        const VM_DESTROYED = 1 << 7;
        /// Runs in the AArch64 state; since 1.1.
        const AARCH64 = 1 << 8;
        /// Can receive direct requests to a service; since 1.2.
        const RECEIVES_DIRECT2 = 1 << 9;
        /// Can send direct requests to a service; since 1.2.
        const SENDS_DIRECT2 = 1 << 10;
    }
}

impl PartitionProperties {
    /// Returns the properties that a caller of the version `version` knows; to it, the others are reserved.
    #[must_use]
    pub fn known_in(self, version: Version) -> Self {
        let mut known = Self::RECEIVES_DIRECT | Self::SENDS_DIRECT | Self::INDIRECT;
        if version >= Version::V1_1 {
            known |= Self::NOTIFICATIONS | Self::VM_CREATED | Self::VM_DESTROYED | Self::AARCH64;
        }
        if version >= Version::V1_2 {
            known |= Self::RECEIVES_DIRECT2 | Self::SENDS_DIRECT2;
        }
        self & known
    }
}

/// Describes a partition to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PartitionInfo {
    /// Its id.
    pub id: EndpointId,
    /// The number of its execution contexts.
    pub execution_context_count: u16,
    /// What it can do.
    pub properties: PartitionProperties,
    /// The service that it offers; nil where the caller has named it.
    pub uuid: Uuid,
}

/// Holds a partition's description as FFA_PARTITION_INFO_GET puts it into the RX buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionInfoRecord {
    bytes: [u8; PartitionInfo::SIZE],
    size: usize,
}

impl PartitionInfoRecord {
    /// Returns the bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.size).unwrap_or(&self.bytes)
    }
}

impl PartitionInfo {
    /// Counts the bytes of a description since FF-A 1.1.
    pub const SIZE: usize = 24;

    /// Counts the bytes of a description in FF-A 1.0: the UUID is missing.
    pub const SIZE_1_0: usize = 8;

    /// Returns the number of bytes of a description for a caller of the version `version`.
    pub const fn record_size(version: Version) -> usize {
        if version.minor == 0 { Self::SIZE_1_0 } else { Self::SIZE }
    }

    /// Builds the description for a caller of the version `version`, with the UUID if it did not name one.
    pub fn encode(&self, version: Version, with_uuid: bool) -> PartitionInfoRecord {
        let [first, low, high] = self.encode_registers(version, with_uuid);
        let mut bytes = [0; Self::SIZE];
        for (to, from) in bytes.chunks_exact_mut(8).zip([first, low, high]) {
            to.copy_from_slice(&from.to_le_bytes());
        }
        PartitionInfoRecord { bytes, size: Self::record_size(version) }
    }

    /// Builds the description as three registers of the answer to FFA_PARTITION_INFO_GET_REGS.
    pub fn encode_registers(&self, version: Version, with_uuid: bool) -> [u64; 3] {
        let [low, high] = if with_uuid { uuid_to_pair(&self.uuid) } else { [0, 0] };
        let first = u64::from(self.properties.known_in(version).bits()) << 32
            | u64::from(self.execution_context_count) << 16
            | u64::from(self.id.raw());
        [first, low, high]
    }

    /// Reads a description of 8 or 24 bytes; `None` if there are fewer. Properties that are not known are
    /// left out.
    pub fn decode(record: &[u8]) -> Option<Self> {
        let (first, rest) = record.split_first_chunk::<8>()?;
        let [i0, i1, c0, c1, properties @ ..] = *first;
        let uuid = match rest.first_chunk::<16>() {
            Some(bytes) => Uuid::from_bytes(*bytes),
            None => Uuid::nil(),
        };
        Some(Self {
            id: EndpointId::new(u16::from_le_bytes([i0, i1])),
            execution_context_count: u16::from_le_bytes([c0, c1]),
            properties: PartitionProperties::from_bits_truncate(u32::from_le_bytes(properties)),
            uuid,
        })
    }

    /// Reads a description from three registers.
    pub fn decode_registers(registers: [u64; 3]) -> Self {
        let [first, low, high] = registers;
        let [i0, i1, c0, c1, properties @ ..] = first.to_le_bytes();
        Self {
            id: EndpointId::new(u16::from_le_bytes([i0, i1])),
            execution_context_count: u16::from_le_bytes([c0, c1]),
            properties: PartitionProperties::from_bits_truncate(u32::from_le_bytes(properties)),
            uuid: uuid_from_pair([low, high]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const INFO: PartitionInfo = PartitionInfo {
        id: EndpointId::new(0x8001),
        execution_context_count: 4,
        properties: PartitionProperties::all(),
        uuid: Uuid::from_bytes([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]),
    };

    #[test]
    fn the_record_grows_with_the_version() {
        let old = INFO.encode(Version::V1_0, true);
        assert_eq!(old.as_bytes(), [1, 0x80, 4, 0, 7, 0, 0, 0]);
        let newer = INFO.encode(Version::V1_1, true);
        assert_eq!(newer.as_bytes()[..8], [1, 0x80, 4, 0, 0xcf, 1, 0, 0]);
        assert_eq!(newer.as_bytes()[8..], (1..=16).collect::<Vec<u8>>());
        let newest = INFO.encode(Version::V1_2, false);
        assert_eq!(newest.as_bytes()[..8], [1, 0x80, 4, 0, 0xcf, 7, 0, 0]);
        assert_eq!(newest.as_bytes()[8..], [0; 16]);
    }

    proptest! {
        #[test]
        fn record_and_back(id: u16, count: u16, bits: u32, uuid: [u8; 16]) {
            let info = PartitionInfo {
                id: EndpointId::new(id),
                execution_context_count: count,
                properties: PartitionProperties::from_bits_truncate(bits),
                uuid: Uuid::from_bytes(uuid),
            };
            let record = info.encode(Version::V1_2, true);
            prop_assert_eq!(PartitionInfo::decode(record.as_bytes()), Some(info));
            let registers = info.encode_registers(Version::V1_2, true);
            prop_assert_eq!(PartitionInfo::decode_registers(registers), info);
        }

        #[test]
        fn decoding_takes_any_bytes(bytes: Vec<u8>) {
            prop_assert_eq!(PartitionInfo::decode(&bytes).is_some(), bytes.len() >= 8);
        }
    }
}
