//! What FFA_FEATURES and FFA_VERSION answer to a virtual machine.

use tantalum_ffa::feature::{NOTIFICATION_PENDING_INTERRUPT, Query};
use tantalum_ffa::{Call, Status, Version, answer, function as f};
use tantalum_types::CallRegisters;

use super::below::{Below, ask};

/// Gives the version that the hypervisor speaks, to the SPMC and to its virtual machines.
pub const RELAY_VERSION: Version = Version::V1_1;

/// Is the interrupt that tells a virtual CPU that notifications are pending: a software-generated one, which is all that
/// Linux takes. It uses 0 to 7 for itself.
pub const NOTIFICATION_INTERRUPT: u32 = 8;

/// Lists every call that is served, with the version that brought it.
const CALLS: &[(u32, Version)] = &[
    (f::ERROR, Version::V1_0),
    (f::SUCCESS_32, Version::V1_0),
    (f::SUCCESS_64, Version::V1_0),
    (f::INTERRUPT, Version::V1_0),
    (f::VERSION, Version::V1_0),
    (f::FEATURES, Version::V1_0),
    (f::RX_RELEASE, Version::V1_0),
    (f::RXTX_MAP_32, Version::V1_0),
    (f::RXTX_MAP_64, Version::V1_0),
    (f::RXTX_UNMAP, Version::V1_0),
    (f::PARTITION_INFO_GET, Version::V1_0),
    (f::ID_GET, Version::V1_0),
    (f::SPM_ID_GET, Version::V1_1),
    (f::YIELD, Version::V1_0),
    (f::RUN, Version::V1_0),
    (f::DIRECT_REQ_32, Version::V1_0),
    (f::DIRECT_REQ_64, Version::V1_0),
    (f::DIRECT_RESP_32, Version::V1_0),
    (f::DIRECT_RESP_64, Version::V1_0),
    (f::NOTIFICATION_BIND, Version::V1_1),
    (f::NOTIFICATION_UNBIND, Version::V1_1),
    (f::NOTIFICATION_SET, Version::V1_1),
    (f::NOTIFICATION_GET, Version::V1_1),
    (f::MSG_SEND2, Version::V1_1),
    (f::MEM_DONATE_32, Version::V1_0),
    (f::MEM_DONATE_64, Version::V1_0),
    (f::MEM_LEND_32, Version::V1_0),
    (f::MEM_LEND_64, Version::V1_0),
    (f::MEM_SHARE_32, Version::V1_0),
    (f::MEM_SHARE_64, Version::V1_0),
    (f::MEM_RECLAIM, Version::V1_0),
    (f::MEM_FRAG_RX, Version::V1_0),
    (f::MEM_FRAG_TX, Version::V1_0),
];

/// Lists what of them a virtual machine only gets, as an answer.
const ANSWERS: [u32; 7] = [
    f::ERROR,
    f::SUCCESS_32,
    f::SUCCESS_64,
    f::INTERRUPT,
    f::DIRECT_RESP_32,
    f::DIRECT_RESP_64,
    f::MEM_FRAG_RX,
];

/// Tells whether a virtual machine that speaks `version` can make the call in these registers.
pub(super) fn is_offered(registers: &CallRegisters, version: Version) -> bool {
    let [x0, ..] = registers.0;
    let is_called = |function: u32| u64::from(function) == x0 & 0xffff_ffff;
    CALLS.iter().any(|(function, since)| is_called(*function) && version >= *since)
        && !ANSWERS.into_iter().any(is_called)
}

/// Answers FFA_FEATURES: what is served here as the SPMC describes it, and what the hypervisor itself brings.
///
/// # Errors
/// NOT_SUPPORTED if it is not there for this version, otherwise as the SPMC says.
pub(super) fn features(
    version: Version,
    id: u32,
    input: u32,
    below: &impl Below,
) -> Result<CallRegisters, Status> {
    match Query::new(id) {
        Query::Function(function) => {
            let known = |(served, since): &(u32, Version)| *served == function && version >= *since;
            if !CALLS.iter().any(known) {
                return Err(Status::NotSupported);
            }
            ask(below, &Call::Features { id, input }).or_else(|status| match (function, status) {
                // The hypervisor serves it alone.
                (f::YIELD, Status::NotSupported) if input == 0 => Ok(success()),
                _ => Err(status),
            })
        }
        Query::Feature(NOTIFICATION_PENDING_INTERRUPT) if version >= Version::V1_1 => {
            if input != 0 {
                return Err(Status::InvalidParameters);
            }
            return Ok(answer::success32([NOTIFICATION_INTERRUPT, 0, 0, 0, 0, 0]));
        }
        Query::Feature(_) | Query::Malformed => Err(Status::NotSupported),
    }
    .map(|answer| answer.encode())
}

const fn success() -> Call {
    Call::Success32 { target: tantalum_ffa::Target::NONE, results: [0; 6] }
}

/// Holds which version a virtual machine speaks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Negotiation {
    /// The version that was agreed on; the hypervisor's own until one is.
    agreed: Option<Version>,
    /// Whether it has made another call than FFA_VERSION.
    frozen: bool,
}

impl Negotiation {
    /// Assumes the hypervisor's own version until another is asked for.
    pub(super) const fn new() -> Self {
        Self { agreed: None, frozen: false }
    }

    /// Returns the version that is spoken.
    pub(super) const fn version(&self) -> Version {
        match self.agreed {
            Some(version) => version,
            None => RELAY_VERSION,
        }
    }

    /// Ends the negotiation, and returns the version.
    pub(super) const fn freeze(&mut self) -> Version {
        self.frozen = true;
        self.version()
    }

    /// Answers FFA_VERSION, and from then on the lower of both versions is spoken; `None` is NOT_SUPPORTED.
    pub(super) fn request(&mut self, requested: u32) -> Option<Version> {
        let requested =
            Version::from_raw(requested).filter(|version| version.major == RELAY_VERSION.major)?;
        let agreed = requested.min(RELAY_VERSION);
        if self.frozen && agreed != self.version() {
            return None;
        }
        self.agreed = Some(agreed);
        Some(RELAY_VERSION)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_settled_once() {
        let mut negotiation = Negotiation::new();
        for refused in [0x8001_0001, 0, 0x2_0000, 0xffff_ffff] {
            assert_eq!(negotiation.request(refused), None, "{refused:#x}");
        }
        assert_eq!(negotiation.request(0x1_0002), Some(Version::V1_1));
        assert_eq!(negotiation.request(0x1_0000), Some(Version::V1_1));
        assert_eq!(negotiation.freeze(), Version::V1_0);
        assert_eq!(negotiation.request(0x1_0001), None);
        assert_eq!(negotiation.request(0x1_0000), Some(Version::V1_1));
        assert_eq!(negotiation.freeze(), Version::V1_0);
    }
}
