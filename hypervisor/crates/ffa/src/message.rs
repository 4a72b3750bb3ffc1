//! Direct messages.

use tantalum_types::EndpointId;

/// Tells calls with 32-bit parameters from calls with 64-bit ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Width {
    /// The SMC32 form: only the low halves of the registers count.
    Bits32,
    /// The SMC64 form.
    Bits64,
}

/// Names the messages that the framework itself sends, by bits 7:0 of w2 (FF-A 1.2, section 7.2 and chapter
/// 18).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum FrameworkMessage {
    /// Asks to carry out a PSCI function: x3 is its function identifier, x4 to x6 its parameters.
    PsciRequest = 0,
    /// Says that the processing element comes back from a low-power state: w3 says which.
    WarmBoot = 1,
    /// Answers a power management request: w3 is a PSCI status.
    PmResponse = 2,
    /// Says that a VM was created: w3 and w4 are a memory handle, w5 is the VM's id.
    VmCreated = 4,
    /// Answers that a VM was created.
    VmCreatedResponse = 5,
    /// Says that a VM was destroyed: w3 and w4 are a memory handle, w5 is the VM's id.
    VmDestroyed = 6,
    /// Answers that a VM was destroyed.
    VmDestroyedResponse = 7,
    /// Forwards FFA_VERSION of the normal world: w3 is the version that was asked for.
    VersionRequest = 8,
    /// Answers FFA_VERSION of the normal world: w3 is the result.
    VersionResponse = 9,
}

impl FrameworkMessage {
    /// Marks w2 of a framework message.
    const FLAG: u32 = 1 << 31;

    /// Lists every framework message.
    pub const ALL: [Self; 9] = [
        Self::PsciRequest,
        Self::WarmBoot,
        Self::PmResponse,
        Self::VmCreated,
        Self::VmCreatedResponse,
        Self::VmDestroyed,
        Self::VmDestroyedResponse,
        Self::VersionRequest,
        Self::VersionResponse,
    ];

    /// Returns w2 of the message.
    pub const fn to_raw(self) -> u32 {
        Self::FLAG | self as u32
    }

    /// Returns the message that `raw` as w2 names, or `None` if bit 31 is clear or the rest names no message.
    pub const fn from_raw(raw: u32) -> Option<Self> {
        if raw & Self::FLAG == 0 {
            return None;
        }
        Some(match raw & !Self::FLAG {
            0 => Self::PsciRequest,
            1 => Self::WarmBoot,
            2 => Self::PmResponse,
            4 => Self::VmCreated,
            5 => Self::VmCreatedResponse,
            6 => Self::VmDestroyed,
            7 => Self::VmDestroyedResponse,
            8 => Self::VersionRequest,
            9 => Self::VersionResponse,
            _ => return None,
        })
    }
}

/// Carries a direct request or a direct response (FF-A 1.2, sections 15.2 and 15.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DirectMessage {
    /// Which form of the call carries the message; an answer has the form of its request.
    pub width: Width,
    /// Who sends.
    pub sender: EndpointId,
    /// Who receives.
    pub receiver: EndpointId,
    /// Which message of the framework it is, or `None` if partitions have agreed on what it means.
    pub framework: Option<FrameworkMessage>,
    /// x3 to x7. In the 32-bit form the high halves are zero.
    pub payload: [u64; 5],
}

impl DirectMessage {
    /// Builds the message that answers this one: back to its sender, in the same form.
    #[inline]
    #[must_use]
    pub const fn answer(&self, payload: [u64; 5]) -> Self {
        Self { width: self.width, sender: self.receiver, receiver: self.sender, framework: None, payload }
    }

    /// Builds the message of the framework that answers this one.
    #[must_use]
    pub const fn framework_answer(&self, message: FrameworkMessage, payload: [u64; 5]) -> Self {
        Self { framework: Some(message), ..self.answer(payload) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn framework_messages_are_numbered() {
        let known = (0..0x1_0000).filter_map(|number| FrameworkMessage::from_raw(1 << 31 | number));
        assert!(known.eq(FrameworkMessage::ALL));
        for message in FrameworkMessage::ALL {
            assert_eq!(FrameworkMessage::from_raw(message.to_raw()), Some(message));
        }
        assert_eq!(FrameworkMessage::VersionRequest.to_raw(), 0x8000_0008);
        assert_eq!(FrameworkMessage::from_raw(8), None);
    }
}
