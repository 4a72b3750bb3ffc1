//! Version negotiation: each endpoint settles on a version of FF-A once (FF-A 1.2, section 13.2).

use crate::sync::atomic::{AtomicU32, Ordering};

use tantalum_ffa::{Status, Version};

/// Gives the highest version that the SPMC speaks.
pub const SPMC_VERSION: Version = Version::V1_2;

/// Marks, in bit 31 which no version uses, that the endpoint has made a call other than FFA_VERSION.
const FROZEN: u32 = 1 << 31;

/// Holds what one endpoint and the SPMC have agreed on.
///
/// Every call of an endpoint passes here, from several processing elements at once, so it is one atomic word
/// that is only read once it is frozen: the version by how it differs from 1.0, which so is zero, and [`FROZEN`].
#[derive(Debug)]
pub(crate) struct Negotiation(AtomicU32);

impl Negotiation {
    /// Assumes `version` for an endpoint until it asks for another.
    pub(crate) const fn new(version: Version) -> Self {
        Self(AtomicU32::new(word_of(version)))
    }

    /// Returns the version that the endpoint speaks.
    #[inline]
    pub(crate) fn version(&self) -> Version {
        // What is stored came from a version, which has bit 31 clear.
        let word = self.0.load(Ordering::Relaxed) & !FROZEN;
        Version::from_raw(word ^ Version::V1_0.to_raw()).unwrap_or(SPMC_VERSION)
    }

    /// Ends the negotiation: the endpoint has made another call.
    #[inline]
    pub(crate) fn freeze(&self) {
        if self.0.load(Ordering::Relaxed) & FROZEN == 0 {
            self.0.fetch_or(FROZEN, Ordering::Relaxed);
        }
    }

    /// Assumes `version` again, as for an endpoint that has made no call yet.
    pub(crate) fn reset(&self, version: Version) {
        self.0.store(word_of(version), Ordering::Relaxed);
    }

    /// Answers FFA_VERSION with `requested`, and from then on speaks the lower of both versions.
    ///
    /// # Errors
    /// NOT_SUPPORTED if bit 31 is set, the major version is another, or the negotiation has ended with another
    /// version.
    pub(crate) fn request(&self, requested: u32) -> Result<Version, Status> {
        let requested = Version::from_raw(requested).ok_or(Status::NotSupported)?;
        if requested.major != SPMC_VERSION.major {
            return Err(Status::NotSupported);
        }
        let agreed = word_of(requested.min(SPMC_VERSION));
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| match now & FROZEN {
                0 => Some(agreed),
                _ if now & !FROZEN == agreed => Some(now),
                _ => None,
            })
            .map_err(|_| Status::NotSupported)?;
        Ok(SPMC_VERSION)
    }
}

/// Returns how a version is kept that is not frozen.
const fn word_of(version: Version) -> u32 {
    (version.to_raw() ^ Version::V1_0.to_raw()) & !FROZEN
}

#[cfg(test)]
mod tests {
    use super::*;

    const V1_0: u32 = 0x1_0000;
    const V1_1: u32 = 0x1_0001;
    const V1_3: u32 = 0x1_0003;

    #[test]
    fn settles_on_the_lower_version() {
        let negotiation = Negotiation::new(Version::V1_0);
        assert_eq!(negotiation.request(V1_1), Ok(SPMC_VERSION));
        assert_eq!(negotiation.version(), Version::V1_1);
        assert_eq!(negotiation.request(V1_3), Ok(SPMC_VERSION));
        assert_eq!(negotiation.version(), SPMC_VERSION);
    }

    #[test]
    fn refuses_what_is_no_compatible_version() {
        let negotiation = Negotiation::new(Version::V1_1);
        for requested in [0x8001_0001, 0, 0x2_0000, 0x0_ffff, u32::MAX] {
            assert_eq!(negotiation.request(requested), Err(Status::NotSupported));
            assert_eq!(negotiation.version(), Version::V1_1);
        }
    }

    #[test]
    fn is_frozen_by_another_call() {
        let negotiation = Negotiation::new(Version::V1_0);
        assert!(negotiation.request(V1_1).is_ok());
        negotiation.freeze();
        assert_eq!(negotiation.request(V1_0), Err(Status::NotSupported));
        assert_eq!(negotiation.request(V1_1), Ok(SPMC_VERSION));
        assert_eq!(negotiation.version(), Version::V1_1);
    }
}
