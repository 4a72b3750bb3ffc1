//! Calls of the SMC Calling Convention that a virtual machine makes (Arm DEN 0028), of which most are PSCI 1.1's
//! (Arm DEN 0022).

/// Says that a function is not there, or not here.
pub const NOT_SUPPORTED: i64 = -1;
/// Says that an argument is wrong.
pub const INVALID_PARAMETERS: i64 = -2;
/// Says that the virtual CPU is on.
pub const ALREADY_ON: i64 = -4;
/// Says that the virtual CPU was turned on before and has not run yet.
pub const ON_PENDING: i64 = -5;
/// Says that the virtual machine is about to be turned off or reset.
pub const INTERNAL_FAILURE: i64 = -6;
/// Says that the address is not one of the virtual machine's memory.
pub const INVALID_ADDRESS: i64 = -9;

/// Is what PSCI_VERSION returns: 1.1.
const VERSION_OF_PSCI: i64 = 0x1_0001;
/// Is what SMCCC_VERSION returns: 1.2, the first that returns more than four registers. FF-A needs it, and Linux does not
/// look for FF-A below it.
const VERSION_OF_SMCCC: i64 = 0x1_0002;
/// Says that nobody has to be moved before a virtual CPU is turned off: there is no Trusted OS.
const MIGRATION_NOT_REQUIRED: i64 = 2;

/// Makes a function identifier one whose arguments have 64 bits.
const BITS_64: u32 = 1 << 30;

const SMCCC_VERSION: u32 = 0x8000_0000;
const SMCCC_ARCH_FEATURES: u32 = 0x8000_0001;
const PSCI_VERSION: u32 = 0x8400_0000;
const CPU_SUSPEND: u32 = 0x8400_0001;
const CPU_OFF: u32 = 0x8400_0002;
const CPU_ON: u32 = 0x8400_0003;
const AFFINITY_INFO: u32 = 0x8400_0004;
const MIGRATE_INFO_TYPE: u32 = 0x8400_0006;
const SYSTEM_OFF: u32 = 0x8400_0008;
const SYSTEM_RESET: u32 = 0x8400_0009;
const PSCI_FEATURES: u32 = 0x8400_000a;
const SYSTEM_RESET2: u32 = 0x8400_0012;

/// Bits of `power_state` in its original format that may be set: the level, the type, the identifier.
const POWER_STATE: u32 = 0x0301_ffff;
const POWER_DOWN: u32 = 1 << 16;

/// Is what a call asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// A number that does not depend on anything.
    Constant(i64),
    /// CPU_ON.
    TurnOn {
        /// Whom: what its MPIDR_EL1 says.
        target: u64,
        /// Where it begins.
        entry_point: u64,
        /// Its x0.
        context: u64,
    },
    /// CPU_OFF.
    TurnOff,
    /// CPU_SUSPEND that returns.
    Standby,
    /// CPU_SUSPEND that begins anew.
    PowerDown {
        /// Where.
        entry_point: u64,
        /// Its x0.
        context: u64,
    },
    /// AFFINITY_INFO of one virtual CPU.
    AffinityInfo {
        /// Whose.
        target: u64,
    },
    /// SYSTEM_OFF.
    SystemOff,
    /// SYSTEM_RESET and SYSTEM_RESET2.
    SystemReset,
}

impl Request {
    /// Decodes a call from its first four registers. What is not known is [`NOT_SUPPORTED`].
    pub fn decode([x0, x1, x2, x3]: [u64; 4]) -> Self {
        let function = low(x0);
        let wide = function & BITS_64 != 0;
        let argument = |value: u64| if wide { value } else { u64::from(low(value)) };
        match function & !BITS_64 {
            CPU_SUSPEND => Self::suspend(low(x1), argument(x2), argument(x3)),
            CPU_ON => Self::TurnOn { target: argument(x1), entry_point: argument(x2), context: argument(x3) },
            AFFINITY_INFO if low(x2) == 0 => Self::AffinityInfo { target: argument(x1) },
            AFFINITY_INFO => Self::Constant(INVALID_PARAMETERS),
            // Of the reset types, only the architecture's first; those of vendors are not known.
            SYSTEM_RESET2 if low(x1) == 0 => Self::SystemReset,
            SYSTEM_RESET2 => {
                let vendors = low(x1) & 1 << 31 != 0;
                Self::Constant(if vendors { NOT_SUPPORTED } else { INVALID_PARAMETERS })
            }
            _ if wide => Self::Constant(NOT_SUPPORTED),
            SMCCC_VERSION => Self::Constant(VERSION_OF_SMCCC),
            PSCI_VERSION => Self::Constant(VERSION_OF_PSCI),
            SMCCC_ARCH_FEATURES => Self::Constant(match low(x1) {
                SMCCC_VERSION | SMCCC_ARCH_FEATURES => 0,
                _ => NOT_SUPPORTED,
            }),
            CPU_OFF => Self::TurnOff,
            MIGRATE_INFO_TYPE => Self::Constant(MIGRATION_NOT_REQUIRED),
            SYSTEM_OFF => Self::SystemOff,
            SYSTEM_RESET => Self::SystemReset,
            PSCI_FEATURES => Self::Constant(Self::features(low(x1))),
            _ => Self::Constant(NOT_SUPPORTED),
        }
    }

    fn suspend(power_state: u32, entry_point: u64, context: u64) -> Self {
        match (power_state & !POWER_STATE, power_state & POWER_DOWN) {
            (0, 0) => Self::Standby,
            (0, _) => Self::PowerDown { entry_point, context },
            _ => Self::Constant(INVALID_PARAMETERS),
        }
    }

    /// Answers PSCI_FEATURES: zero is what every function has, and CPU_SUSPEND in its original format.
    const fn features(function: u32) -> i64 {
        match function {
            SMCCC_VERSION | PSCI_VERSION | CPU_OFF | MIGRATE_INFO_TYPE | SYSTEM_OFF | SYSTEM_RESET
            | PSCI_FEATURES => 0,
            _ => match function & !BITS_64 {
                CPU_SUSPEND | CPU_ON | AFFINITY_INFO | SYSTEM_RESET2 => 0,
                _ => NOT_SUPPORTED,
            },
        }
    }
}

/// Returns the lower half, which holds an argument of 32 bits.
const fn low(value: u64) -> u32 {
    // Masked to what the type holds.
    #[allow(clippy::cast_possible_truncation)]
    let low = (value & 0xffff_ffff) as u32;
    low
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_found_by_their_numbers() {
        let decode = |x0| Request::decode([x0, 0, 0, 0]);
        assert_eq!(decode(0x8400_0000), Request::Constant(0x1_0001));
        assert_eq!(decode(0x8000_0000), Request::Constant(0x1_0002));
        assert_eq!(decode(0xdead_0000_8400_0002), Request::TurnOff, "the upper half does not count");
        assert_eq!(decode(0x8400_0006), Request::Constant(2));
        assert_eq!(decode(0x8400_0008), Request::SystemOff);
        assert_eq!(decode(0x8400_0009), Request::SystemReset);
        // Neither has a form of 64 bits.
        assert_eq!(decode(0xc400_0008), Request::Constant(NOT_SUPPORTED));
        assert_eq!(decode(0xc400_0000), Request::Constant(NOT_SUPPORTED));
        for unknown in [0, 0x8400_0005, 0x8400_0060, 0xc600_0000, u64::MAX] {
            assert_eq!(decode(unknown), Request::Constant(NOT_SUPPORTED), "{unknown:#x}");
        }
    }

    #[test]
    fn arguments_have_the_width_of_the_function() {
        let call = [1 << 40 | 1, 2 << 40 | 0x4020_0000, 3 << 40 | 5];
        let [x1, x2, x3] = call;
        assert_eq!(
            Request::decode([0xc400_0003, x1, x2, x3]),
            Request::TurnOn { target: x1, entry_point: x2, context: x3 }
        );
        assert_eq!(
            Request::decode([0x8400_0003, x1, x2, x3]),
            Request::TurnOn { target: 1, entry_point: 0x4020_0000, context: 5 }
        );
    }

    #[test]
    fn a_power_state_says_whether_the_call_returns() {
        let suspend = |state| Request::decode([0xc400_0001, state, 0x4020_0000, 9]);
        assert_eq!(suspend(0), Request::Standby);
        assert_eq!(suspend(0x0101_0001), Request::PowerDown { entry_point: 0x4020_0000, context: 9 });
        assert_eq!(suspend(1 << 30), Request::Constant(INVALID_PARAMETERS));
        assert_eq!(suspend(1 << 17), Request::Constant(INVALID_PARAMETERS));
    }

    #[test]
    fn what_is_offered_is_served() {
        let features = |function| Request::decode([0x8400_000a, function, 0, 0]);
        for function in (0x8400_0000..0x8400_0020).chain(0xc400_0000..0xc400_0020) {
            let offered = features(function) == Request::Constant(0);
            // What PSCI_FEATURES is asked about is there.
            let argument = if function == 0x8400_000a { 0x8400_0000 } else { 0 };
            let served = Request::decode([function, argument, 0, 0]) != Request::Constant(NOT_SUPPORTED);
            assert_eq!(offered, served, "{function:#x}");
        }
        assert_eq!(features(0x8000_0000), Request::Constant(0));
        assert_eq!(features(0x8000_0001), Request::Constant(NOT_SUPPORTED));
    }

    #[test]
    fn resets_of_other_kinds_are_refused() {
        let reset = |kind| Request::decode([0xc400_0012, kind, 0, 0]);
        assert_eq!(reset(0), Request::SystemReset);
        assert_eq!(reset(1), Request::Constant(INVALID_PARAMETERS));
        assert_eq!(reset(0x8000_0000), Request::Constant(NOT_SUPPORTED));
    }
}
