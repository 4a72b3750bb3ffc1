//! The registers of common answers.

use tantalum_types::CallRegisters;

use crate::function as f;
use crate::{Call, Status, Target, Version};

/// Answers that the call succeeded and has no results.
pub fn success() -> CallRegisters {
    success32([0; 6])
}

/// Answers that the call succeeded, with its results in w2 to w7.
pub fn success32(results: [u32; 6]) -> CallRegisters {
    let [w2, w3, w4, w5, w6, w7] = results.map(u64::from);
    CallRegisters::from_first_eight([u64::from(f::SUCCESS_32), 0, w2, w3, w4, w5, w6, w7])
}

/// Answers that the call succeeded, with its results in x2 to x17.
pub fn success64(results: [u64; 16]) -> CallRegisters {
    Call::Success64 { target: Target::NONE, results }.encode()
}

/// Answers that the call failed.
pub fn error(status: Status) -> CallRegisters {
    Call::Error { target: Target::NONE, status, argument: 0 }.encode()
}

/// Answers that the callee was interrupted, or tells one that waits that there is an interrupt for it.
pub fn interrupt(target: Target, intid: u32) -> CallRegisters {
    Call::Interrupt { target, intid }.encode()
}

/// Waits for a message: how an execution context ends its turn without an answer.
pub fn msg_wait() -> CallRegisters {
    Call::MsgWait { retain_rx: false }.encode()
}

/// Answers FFA_VERSION, which has its result in x0 and knows no FFA_ERROR; `None` is NOT_SUPPORTED.
///
/// A refusal is -1 in all 64 bits: the hypervisor in Linux compares all of them.
pub const fn version(version: Option<Version>) -> CallRegisters {
    match version {
        Some(version) => CallRegisters::from_first_eight([version.to_raw() as u64, 0, 0, 0, 0, 0, 0, 0]),
        None => unknown_function(),
    }
}

/// Answers a call that is not FF-A's and that nobody serves: -1 in x0 (SMC Calling Convention 1.2, section
/// 5.2).
pub const fn unknown_function() -> CallRegisters {
    CallRegisters::from_first_eight([u64::MAX, 0, 0, 0, 0, 0, 0, 0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_version_is_minus_one_in_64_bits() {
        assert_eq!(version(None).0[0], u64::MAX);
        assert_eq!(version(Some(Version::V1_2)).0[0], 0x10002);
    }

    #[test]
    fn success_is_the_call() {
        let results = [1, u32::MAX, 3, 4, 5, 6];
        assert_eq!(success32(results), Call::Success32 { target: Target::NONE, results }.encode());
    }

    #[test]
    fn an_error_is_not_sign_extended() {
        let regs = error(Status::Denied).first_eight();
        assert_eq!(regs, [0x8400_0060, 0, 0xffff_fffa, 0, 0, 0, 0, 0]);
    }
}
