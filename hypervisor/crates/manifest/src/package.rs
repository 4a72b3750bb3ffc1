//! The header of a partition's package, as TF-A's `sptool` writes it.

use tantalum_types::PAGE_SIZE;

use crate::error::ManifestError;

/// Says where a package has its manifest and its image.
///
/// The offsets count from the beginning of the package, which is the partition's load address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Package {
    /// Where the manifest begins, in bytes.
    pub manifest_offset: u64,
    /// How long the manifest is, in bytes, not zero.
    pub manifest_size: u64,
    /// Where the image begins, in bytes, a multiple of 4 KiB.
    pub image_offset: u64,
    /// How long the image is, in bytes, not zero.
    pub image_size: u64,
}

impl Package {
    /// Counts the bytes that [`Package::parse`] needs of the package's beginning.
    pub const HEADER_SIZE: usize = 24;

    /// Reads the header from the first [`Package::HEADER_SIZE`] bytes of a package in a partition of `mem_size`
    /// bytes. Afterwards the manifest and the image are known to lie behind the header, apart from each other
    /// and inside the partition.
    ///
    /// # Errors
    /// Says what is wrong with the header: too short, another magic number, a version other than 1 and 2, an
    /// offset or a size out of bounds.
    pub fn parse(header: &[u8], mem_size: u64) -> Result<Self, ManifestError> {
        let (words, _) = header.as_chunks::<4>();
        let [magic, version, manifest_offset, manifest_size, image_offset, image_size, ..] = *words else {
            return Err(ManifestError::BadPackage("its header has less than 24 bytes"));
        };
        if magic != *b"SPKG" {
            return Err(ManifestError::BadPackage("it does not begin with \"SPKG\"; pack it with sptool"));
        }
        if !matches!(u32::from_le_bytes(version), 1 | 2) {
            return Err(ManifestError::BadPackage("its header's version is not 1 or 2"));
        }
        let number = |bytes| u64::from(u32::from_le_bytes(bytes));
        let package = Self {
            manifest_offset: number(manifest_offset),
            manifest_size: number(manifest_size),
            image_offset: number(image_offset),
            image_size: number(image_size),
        };
        package.check(mem_size).map_err(ManifestError::BadPackage)?;
        Ok(package)
    }

    fn check(&self, mem_size: u64) -> Result<(), &'static str> {
        // None of these sums wraps: each number has 32 bits.
        let manifest_end = self.manifest_offset.saturating_add(self.manifest_size);
        let image_end = self.image_offset.saturating_add(self.image_size);
        if self.manifest_size == 0 || self.image_size == 0 {
            return Err("it has no manifest or no image");
        }
        if self.manifest_offset < Self::HEADER_SIZE as u64 || self.image_offset < Self::HEADER_SIZE as u64 {
            return Err("its manifest or its image overlaps its header");
        }
        if manifest_end > self.image_offset && image_end > self.manifest_offset {
            return Err("its manifest and its image overlap");
        }
        if manifest_end > mem_size || image_end > mem_size {
            return Err("it does not fit into the partition's memory; raise \"mem-size\" in both manifests");
        }
        if !self.image_offset.is_multiple_of(PAGE_SIZE) {
            return Err("its image does not begin on a page");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use std::string::{String, ToString};
    use std::vec::Vec;

    use super::*;

    fn header(words: [u32; 6]) -> Vec<u8> {
        words.into_iter().flat_map(u32::to_le_bytes).collect()
    }

    const SPKG: u32 = 0x474b_5053;
    const GOOD: [u32; 6] = [SPKG, 2, 0x1000, 0x3000, 0x4000, 0x1234];

    fn why(words: [u32; 6], mem_size: u64) -> String {
        Package::parse(&header(words), mem_size).unwrap_err().to_string()
    }

    #[test]
    fn reads_what_sptool_writes() {
        for version in [1, 2] {
            let mut words = GOOD;
            words[1] = version;
            let package = Package::parse(&header(words), 0x10_0000).unwrap();
            assert_eq!((package.manifest_offset, package.manifest_size), (0x1000, 0x3000));
            assert_eq!((package.image_offset, package.image_size), (0x4000, 0x1234));
        }
        // The last byte of the image may be the last of the partition.
        assert!(Package::parse(&header(GOOD), 0x5234).is_ok());
    }

    #[test]
    fn says_what_is_wrong() {
        let change = |index: usize, value: u32| {
            let mut words = GOOD;
            words[index] = value;
            words
        };
        let size = 0x10_0000;
        assert!(Package::parse(&header(GOOD)[..23], size).unwrap_err().to_string().contains("24 bytes"));
        assert!(why(change(0, 0), size).contains("SPKG"));
        assert!(why(change(1, 3), size).contains("version"));
        assert!(why(change(3, 0), size).contains("no manifest"));
        assert!(why(change(5, 0), size).contains("no manifest or no image"));
        assert!(why(change(2, 23), size).contains("overlaps its header"));
        assert!(why(change(4, 0), size).contains("overlaps its header"));
        assert!(why(change(3, 0x3001), size).contains("manifest and its image overlap"));
        assert!(why(change(5, u32::MAX), size).contains("mem-size"));
        assert!(why(GOOD, 0x5233).contains("mem-size"));
        assert!(why(change(4, 0x4008), size).contains("page"));
        assert!(why(change(2, u32::MAX), size).contains("mem-size"));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_it_accepts_lies_in_the_partition(
            words in proptest::array::uniform4(prop_oneof![0_u32..0x9000, any::<u32>()]),
            mem_size in 0_u64..0x10_000,
        ) {
            let [manifest_offset, manifest_size, image_offset, image_size] = words;
            let words = [SPKG, 2, manifest_offset, manifest_size, image_offset & !0xfff, image_size];
            if let Ok(package) = Package::parse(&header(words), mem_size) {
                let manifest = package.manifest_offset..package.manifest_offset + package.manifest_size;
                let image = package.image_offset..package.image_offset + package.image_size;
                prop_assert!(manifest.end <= mem_size && image.end <= mem_size);
                prop_assert!(manifest.end <= image.start || image.end <= manifest.start);
                prop_assert!(manifest.start >= 24 && image.start >= 24);
            }
        }
    }
}
