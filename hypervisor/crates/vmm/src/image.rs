//! The header of a kernel's Image (Linux, Documentation/arch/arm64/booting.rst).

use core::error::Error;
use core::fmt;

/// Counts the bytes of the header.
pub const HEADER_SIZE: usize = 64;

const MAGIC: u32 = 0x644d_5241;

/// Says what is wrong with an Image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageError {
    /// It has no header, or the header has not the magic number.
    NotAnImage,
    /// The header does not say how much memory it needs, which those of before Linux 3.17 do not.
    NoSize,
    /// It is larger than the memory that it says it needs, or begins too far into its memory.
    Inconsistent,
    /// It is for a big-endian processor.
    BigEndian,
}

impl fmt::Display for ImageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAnImage => "it is not an arm64 Image: give one that is not compressed",
            Self::NoSize => {
                "its header does not say how much memory it needs: give one of Linux 3.17 or later"
            }
            Self::Inconsistent => "its header contradicts its size: the file may be cut off",
            Self::BigEndian => "it is for a big-endian processor: give a little-endian one",
        })
    }
}

impl Error for ImageError {}

/// Says how an Image is to be placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Image {
    /// How far behind a multiple of 2 MiB it begins, and is entered.
    pub text_offset: u64,
    /// How much memory it needs from there on, in bytes.
    pub memory_size: u64,
}

impl Image {
    /// Reads the header of an Image that is `file_size` bytes long.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn parse(header: &[u8; HEADER_SIZE], file_size: u64) -> Result<Self, ImageError> {
        let word = |at: usize| {
            let bytes = header.get(at..)?.first_chunk::<8>()?;
            Some(u64::from_le_bytes(*bytes))
        };
        let magic = header.get(56..).and_then(|rest| rest.first_chunk::<4>()).copied();
        if magic.map(u32::from_le_bytes) != Some(MAGIC) {
            return Err(ImageError::NotAnImage);
        }
        let text_offset = word(8).ok_or(ImageError::NotAnImage)?;
        let memory_size = word(16).ok_or(ImageError::NotAnImage)?;
        let flags = word(24).ok_or(ImageError::NotAnImage)?;
        if memory_size == 0 {
            return Err(ImageError::NoSize);
        }
        if flags & 1 != 0 {
            return Err(ImageError::BigEndian);
        }
        if file_size > memory_size || text_offset >= 0x20_0000 {
            return Err(ImageError::Inconsistent);
        }
        Ok(Self { text_offset, memory_size })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(text_offset: u64, memory_size: u64, flags: u64) -> [u8; HEADER_SIZE] {
        let mut header = [0; HEADER_SIZE];
        header[8..16].copy_from_slice(&text_offset.to_le_bytes());
        header[16..24].copy_from_slice(&memory_size.to_le_bytes());
        header[24..32].copy_from_slice(&flags.to_le_bytes());
        header[56..60].copy_from_slice(b"ARM\x64");
        header
    }

    #[test]
    fn reads_what_linux_writes() {
        let image = Image::parse(&header(0, 0x9a_0000, 0xa), 0x66_0000);
        assert_eq!(image, Ok(Image { text_offset: 0, memory_size: 0x9a_0000 }));
        assert_eq!(Image::parse(&header(0x8_0000, 64, 2), 64).unwrap().text_offset, 0x8_0000);
    }

    #[test]
    fn refuses_what_cannot_be_run() {
        assert_eq!(Image::parse(&[0; 64], 64), Err(ImageError::NotAnImage));
        assert_eq!(Image::parse(&header(0, 0, 2), 64), Err(ImageError::NoSize));
        assert_eq!(Image::parse(&header(0, 64, 3), 64), Err(ImageError::BigEndian));
        assert_eq!(Image::parse(&header(0, 63, 2), 64), Err(ImageError::Inconsistent));
        assert_eq!(Image::parse(&header(0x20_0000, 64, 2), 64), Err(ImageError::Inconsistent));
        assert_eq!(Image::parse(&header(u64::MAX, u64::MAX, 2), 64), Err(ImageError::Inconsistent));
    }
}
