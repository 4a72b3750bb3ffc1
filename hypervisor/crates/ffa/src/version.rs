//! Versions of the ABI.

use core::fmt;

/// Names a version of FF-A (FF-A 1.2, section 13.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// Changes when calls change incompatibly; at most 0x7fff.
    pub major: u16,
    /// Changes when calls are added.
    pub minor: u16,
}

impl Version {
    /// Names FF-A 1.0.
    pub const V1_0: Self = Self { major: 1, minor: 0 };
    /// Names FF-A 1.1.
    pub const V1_1: Self = Self { major: 1, minor: 1 };
    /// Names FF-A 1.2.
    pub const V1_2: Self = Self { major: 1, minor: 2 };

    /// Reads a version as FFA_VERSION carries it, or returns `None` if bit 31, which must be zero, is set:
    /// then the number is an error code or meant for something else.
    pub const fn from_raw(raw: u32) -> Option<Self> {
        if raw >> 31 != 0 {
            return None;
        }
        let [b0, b1, b2, b3] = raw.to_le_bytes();
        Some(Self { major: u16::from_le_bytes([b2, b3]), minor: u16::from_le_bytes([b0, b1]) })
    }

    /// Returns the version as FFA_VERSION carries it.
    pub const fn to_raw(self) -> u32 {
        let [b0, b1] = self.minor.to_le_bytes();
        let [b2, b3] = self.major.to_le_bytes();
        u32::from_le_bytes([b0, b1, b2, b3 & 0x7f])
    }

    /// Tells whether who implements this version can serve a caller of version `caller`: the major versions
    /// are equal, and nothing was added since that the caller may ask for.
    pub const fn is_compatible_with(self, caller: Self) -> bool {
        self.major == caller.major && self.minor >= caller.minor
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn knows_the_encoding() {
        assert_eq!(Version::V1_2.to_raw(), 0x0001_0002);
        assert_eq!(Version::from_raw(0x0001_0001), Some(Version::V1_1));
        assert_eq!(Version::from_raw(0xffff_ffff), None);
        assert_eq!(Version::from_raw(0x8001_0001), None);
    }

    #[test]
    fn serves_older_minors_of_the_same_major() {
        assert!(Version::V1_2.is_compatible_with(Version::V1_0));
        assert!(Version::V1_2.is_compatible_with(Version::V1_2));
        assert!(!Version::V1_1.is_compatible_with(Version::V1_2));
        assert!(!Version::V1_2.is_compatible_with(Version { major: 2, minor: 0 }));
        assert!(!Version::V1_2.is_compatible_with(Version { major: 0, minor: 9 }));
    }

    proptest! {
        #[test]
        fn raw_and_back(raw in 0..=i32::MAX.unsigned_abs()) {
            prop_assert_eq!(Version::from_raw(raw).unwrap().to_raw(), raw);
        }
    }
}
