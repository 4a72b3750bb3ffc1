//! PSCI 1.1, by the conduit that the device tree names.

use core::sync::atomic::{AtomicBool, Ordering};

use tantalum_payload::call::{self, Conduit, Leak};
use tantalum_types::CallRegisters;

/// Function ids.
pub(crate) mod function {
    pub(crate) const VERSION: u64 = 0x8400_0000;
    pub(crate) const CPU_SUSPEND_32: u64 = 0x8400_0001;
    pub(crate) const CPU_SUSPEND: u64 = 0xc400_0001;
    pub(crate) const CPU_OFF: u64 = 0x8400_0002;
    pub(crate) const CPU_ON_32: u64 = 0x8400_0003;
    pub(crate) const CPU_ON: u64 = 0xc400_0003;
    pub(crate) const AFFINITY_INFO_32: u64 = 0x8400_0004;
    pub(crate) const AFFINITY_INFO: u64 = 0xc400_0004;
    pub(crate) const MIGRATE: u64 = 0xc400_0005;
    pub(crate) const MIGRATE_INFO_TYPE: u64 = 0x8400_0006;
    pub(crate) const SYSTEM_OFF: u64 = 0x8400_0008;
    pub(crate) const SYSTEM_RESET: u64 = 0x8400_0009;
    pub(crate) const FEATURES: u64 = 0x8400_000a;
}

/// Error codes.
pub(crate) mod error {
    pub(crate) const NOT_SUPPORTED: i64 = -1;
    pub(crate) const INVALID_PARAMETERS: i64 = -2;
    pub(crate) const ALREADY_ON: i64 = -4;
    pub(crate) const ON_PENDING: i64 = -5;
    pub(crate) const INVALID_ADDRESS: i64 = -9;
}

/// AFFINITY_INFO's answers.
pub(crate) const ON: i64 = 0;
pub(crate) const OFF: i64 = 1;

static BY_SMC: AtomicBool = AtomicBool::new(false);

/// Sets the conduit.
pub(crate) fn set_conduit(conduit: Conduit) {
    BY_SMC.store(conduit == Conduit::Smc, Ordering::Release);
}

/// Returns the conduit.
pub(crate) fn conduit() -> Conduit {
    if BY_SMC.load(Ordering::Acquire) { Conduit::Smc } else { Conduit::Hvc }
}

/// Makes a call by `conduit`. Returns x0 to x17, and the first other register that has changed.
pub(crate) fn call_by(
    conduit: Conduit,
    function: u64,
    parameters: [u64; 3],
) -> (CallRegisters, Option<Leak>) {
    let [x1, x2, x3] = parameters;
    call::call(conduit, &CallRegisters::from_first_eight([function, x1, x2, x3, 0, 0, 0, 0]))
}

/// Makes a call, and returns x0 as it is signed: to 32 bits, which every answer of PSCI has.
pub(crate) fn call(function: u64, parameters: [u64; 3]) -> i64 {
    let (answer, _) = call_by(conduit(), function, parameters);
    i64::from(answer.0[0] as u32 as i32)
}

/// Turns a CPU on.
pub(crate) fn cpu_on(target: u64, entry: u64, context: u64) -> i64 {
    call(function::CPU_ON, [target, entry, context])
}

/// Turns this CPU off. Comes back only with an error.
pub(crate) fn cpu_off() -> i64 {
    call(function::CPU_OFF, [0; 3])
}

/// Asks about a CPU.
pub(crate) fn affinity_info(target: u64, level: u64) -> i64 {
    call(function::AFFINITY_INFO, [target, level, 0])
}

/// Turns the machine off.
pub(super) fn system_off() -> ! {
    call(function::SYSTEM_OFF, [0; 3]);
    panic!("SYSTEM_OFF came back");
}
