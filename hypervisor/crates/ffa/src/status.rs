//! Error codes.

use core::error::Error;
use core::fmt;

/// Names why a call was refused (FF-A 1.2, table 12.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum Status {
    /// The call or the feature is not there for this caller.
    NotSupported = -1,
    /// A parameter has a value that it may not have.
    InvalidParameters = -2,
    /// There is not enough memory to complete the call.
    NoMemory = -3,
    /// Something that the call needs is in use; it may be repeated later.
    Busy = -4,
    /// The call was interrupted.
    Interrupted = -5,
    /// The caller, or the state it is in, does not permit the call.
    Denied = -6,
    /// The call may be repeated at once.
    Retry = -7,
    /// The callee has ended while it served the call.
    Aborted = -8,
    /// There is nothing to report.
    NoData = -9,
    /// The callee cannot serve the call yet.
    NotReady = -10,
}

impl Status {
    /// Lists every error, in the order of the codes.
    pub const ALL: [Self; 10] = [
        Self::NotSupported,
        Self::InvalidParameters,
        Self::NoMemory,
        Self::Busy,
        Self::Interrupted,
        Self::Denied,
        Self::Retry,
        Self::Aborted,
        Self::NoData,
        Self::NotReady,
    ];

    /// Returns the error code, a number below zero.
    pub const fn code(self) -> i32 {
        self as i32
    }

    /// Returns the error code as a 32-bit register carries it.
    pub const fn to_raw(self) -> u32 {
        self.code().cast_unsigned()
    }

    /// Returns the error with the code `code`, or `None` if there is no such one.
    pub const fn from_code(code: i32) -> Option<Self> {
        Some(match code {
            -1 => Self::NotSupported,
            -2 => Self::InvalidParameters,
            -3 => Self::NoMemory,
            -4 => Self::Busy,
            -5 => Self::Interrupted,
            -6 => Self::Denied,
            -7 => Self::Retry,
            -8 => Self::Aborted,
            -9 => Self::NoData,
            -10 => Self::NotReady,
            _ => return None,
        })
    }

    /// Returns the name of the error as the specification spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotSupported => "NOT_SUPPORTED",
            Self::InvalidParameters => "INVALID_PARAMETERS",
            Self::NoMemory => "NO_MEMORY",
            Self::Busy => "BUSY",
            Self::Interrupted => "INTERRUPTED",
            Self::Denied => "DENIED",
            Self::Retry => "RETRY",
            Self::Aborted => "ABORTED",
            Self::NoData => "NO_DATA",
            Self::NotReady => "NOT_READY",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Error for Status {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_count_down_from_minus_one() {
        for (status, code) in Status::ALL.into_iter().zip((-10..=-1).rev()) {
            assert_eq!(status.code(), code);
            assert_eq!(Status::from_code(code), Some(status));
        }
        for code in [0, 1, -11, i32::MIN, i32::MAX] {
            assert_eq!(Status::from_code(code), None);
        }
    }
}
