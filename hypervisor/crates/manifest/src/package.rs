//! The header of a partition's package, as TF-A's `sptool` writes it.

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
        let _ = (header, mem_size);
        Err(ManifestError::BadPackage("it cannot be read yet"))
    }
}
