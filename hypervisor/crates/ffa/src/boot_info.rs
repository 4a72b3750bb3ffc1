//! What a partition is told when it begins (FF-A 1.2, section 5.4).
//!
//! The SPMC writes a blob, a header and an array of descriptors, into memory of the partition and passes its
//! address in the register that the manifest names. Tantalum's blob has one descriptor: the partition's
//! manifest, a flattened device tree, by its address.

use core::error::Error;
use core::fmt;

const SIGNATURE: u32 = 0x0ffa;
const HEADER_SIZE: u32 = 32;
const DESCRIPTOR_SIZE: u32 = 32;

/// Describes contents of a descriptor given by its address, and a name that is text.
const FLAGS_BY_ADDRESS: u16 = 0;

/// Names the manifest to people; consumers go by the type.
const NAME: [u8; 16] = *b"FF-A manifest\0\0\0";

/// Names the type of a descriptor: standard, flattened device tree.
const TYPE_FDT: u8 = 0;

/// Says where a flattened device tree is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BootInfo {
    /// Its address, as the partition sees it.
    pub address: u64,
    /// Its size in bytes.
    pub size: u32,
}

impl BootInfo {
    /// Counts the bytes of the blob.
    pub const BLOB_SIZE: usize = 64;

    /// Builds the blob.
    pub fn encode(&self) -> [u8; Self::BLOB_SIZE] {
        let mut blob = [0; Self::BLOB_SIZE];
        let header = [
            SIGNATURE,
            // The format has not changed since.
            crate::Version::V1_1.to_raw(),
            HEADER_SIZE.wrapping_add(DESCRIPTOR_SIZE),
            DESCRIPTOR_SIZE,
            1,
            HEADER_SIZE,
        ];
        let (header_bytes, descriptor_bytes) = blob.split_at_mut(HEADER_SIZE as usize);
        for (to, from) in header_bytes.chunks_exact_mut(4).zip(header) {
            to.copy_from_slice(&from.to_le_bytes());
        }
        let fields = NAME
            .into_iter()
            .chain([TYPE_FDT, 0])
            .chain(FLAGS_BY_ADDRESS.to_le_bytes())
            .chain(self.size.to_le_bytes())
            .chain(self.address.to_le_bytes());
        for (to, from) in descriptor_bytes.iter_mut().zip(fields) {
            *to = from;
        }
        blob
    }

    /// Finds the flattened device tree in a blob of any producer.
    ///
    /// # Errors
    /// Says what is wrong with the blob.
    pub fn decode(blob: &[u8]) -> Result<Self, BootInfoError> {
        let mut header = Fields(blob);
        if header.word()? != SIGNATURE {
            return Err(BootInfoError::Signature);
        }
        let version = header.word()?;
        if !matches!(crate::Version::from_raw(version), Some(version) if version.major == 1 && version.minor >= 1)
        {
            return Err(BootInfoError::Version(version));
        }
        let _blob_size = header.word()?;
        let size = usize::try_from(header.word()?).map_err(|_| BootInfoError::Truncated)?;
        if size < DESCRIPTOR_SIZE as usize {
            return Err(BootInfoError::Truncated);
        }
        let count = usize::try_from(header.word()?).map_err(|_| BootInfoError::Truncated)?;
        let offset = usize::try_from(header.word()?).map_err(|_| BootInfoError::Truncated)?;
        let array = blob.get(offset..).ok_or(BootInfoError::Truncated)?;
        for index in 0..count {
            let start = index.checked_mul(size).ok_or(BootInfoError::Truncated)?;
            let mut descriptor = Fields(array.get(start..).ok_or(BootInfoError::Truncated)?);
            let _name: [u8; 16] = descriptor.take()?;
            let [kind, _reserved] = descriptor.take()?;
            let flags = u16::from_le_bytes(descriptor.take()?);
            let size = descriptor.word()?;
            let address = u64::from_le_bytes(descriptor.take()?);
            if kind == TYPE_FDT && flags >> 2 & 3 == FLAGS_BY_ADDRESS {
                return Ok(Self { address, size });
            }
        }
        Err(BootInfoError::NoManifest)
    }
}

/// Reads fields from the front.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], BootInfoError> {
        let (field, rest) = self.0.split_first_chunk::<N>().ok_or(BootInfoError::Truncated)?;
        self.0 = rest;
        Ok(*field)
    }

    fn word(&mut self) -> Result<u32, BootInfoError> {
        Ok(u32::from_le_bytes(self.take()?))
    }
}

/// Says what is wrong with a boot information blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BootInfoError {
    /// It does not begin with 0x0ffa.
    Signature,
    /// Its version is none that this code knows; the number is the raw one.
    Version(u32),
    /// It ends within what it announces.
    Truncated,
    /// It has no flattened device tree.
    NoManifest,
}

impl fmt::Display for BootInfoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signature => f.write_str("the boot information does not begin with 0x0ffa"),
            Self::Version(raw) => write!(f, "the boot information has the unknown version {raw:#x}"),
            Self::Truncated => f.write_str("the boot information ends within what it announces"),
            Self::NoManifest => f.write_str("the boot information names no device tree"),
        }
    }
}

impl Error for BootInfoError {}

#[cfg(test)]
mod tests {
    use super::*;
    use arm_ffa::boot_info as reference;
    use proptest::prelude::*;

    #[test]
    fn each_fault_has_its_error() {
        let blob = BootInfo { address: 0x0e30_1000, size: 0x800 }.encode();
        assert_eq!(BootInfo::decode(&blob[..63]), Err(BootInfoError::Truncated));
        assert_eq!(BootInfo::decode(&[]), Err(BootInfoError::Truncated));
        for (at, value, error) in [
            (0, 0xfb, BootInfoError::Signature),
            (4, 0, BootInfoError::Version(0x10000)),
            (7, 0x80, BootInfoError::Version(0x8001_0001)),
            (12, 31, BootInfoError::Truncated),
            (16, 0, BootInfoError::NoManifest),
            (23, 0xff, BootInfoError::Truncated),
            (48, 1, BootInfoError::NoManifest),
            (50, 4, BootInfoError::NoManifest),
        ] {
            let mut bad = blob;
            bad[at] = value;
            assert_eq!(BootInfo::decode(&bad), Err(error), "byte {at}");
        }
    }

    proptest! {
        #[test]
        fn blob_and_back(address: u64, size: u32) {
            let info = BootInfo { address, size };
            prop_assert_eq!(BootInfo::decode(&info.encode()), Ok(info));
        }

        #[test]
        fn decoding_takes_any_bytes(mut blob: Vec<u8>, valid_start: bool) {
            if valid_start {
                for (to, from) in blob.iter_mut().zip([0xfa, 0x0f, 0, 0, 1, 0, 1, 0]) {
                    *to = from;
                }
            }
            let _ = BootInfo::decode(&blob);
        }

        #[test]
        fn reads_what_another_producer_writes(manifest in proptest::collection::vec(any::<u8>(), 1..256)) {
            #[repr(align(8))]
            struct Aligned([u8; 1024]);
            let mut buffer = Aligned([0; 1024]);
            let descriptor = reference::BootInfo {
                name: reference::BootInfoName::NullTermString(c"manifest"),
                typ: reference::BootInfoType::Std(reference::BootInfoStdId::Fdt),
                contents: reference::BootInfoContents::Address { content_buf: &manifest },
            };
            reference::BootInfo::pack(arm_ffa::Version(1, 1), &[descriptor], &mut buffer.0, Some(0x4000_0000));
            let info = BootInfo::decode(&buffer.0).unwrap();
            prop_assert_eq!(info.size as usize, manifest.len());
            let offset = usize::try_from(info.address - 0x4000_0000).unwrap();
            prop_assert_eq!(&buffer.0[offset..][..manifest.len()], &manifest[..]);
        }
    }
}
