//! PSCI, by SMC.

use tantalum_payload::call::smc;
use tantalum_types::CallRegisters;

const CPU_OFF: u64 = 0x8400_0002;
const CPU_ON: u64 = 0xc400_0003;
const AFFINITY_INFO: u64 = 0xc400_0004;
const SYSTEM_OFF: u64 = 0x8400_0008;

/// AFFINITY_INFO's answer about a CPU that is off.
const OFF: u64 = 1;

fn call(function: u64, parameters: [u64; 3]) -> u64 {
    let [x1, x2, x3] = parameters;
    let (answer, _) = smc(&CallRegisters::from_first_eight([function, x1, x2, x3, 0, 0, 0, 0]));
    answer.0[0]
}

/// Turns the CPU `cpu` on: it begins at `entry` with `context` in x0.
pub(super) fn cpu_on(cpu: usize, entry: u64, context: usize) -> Result<(), i64> {
    match call(CPU_ON, [cpu as u64, entry, context as u64]) {
        0 => Ok(()),
        error => Err(error.cast_signed()),
    }
}

/// Turns this CPU off.
pub(super) fn cpu_off() {
    let error = call(CPU_OFF, [0; 3]);
    panic!("CPU_OFF came back with {:#x}", error);
}

/// Tells whether a CPU is on or on its way.
pub(super) fn is_on(cpu: usize) -> bool {
    call(AFFINITY_INFO, [cpu as u64, 0, 0]) != OFF
}

/// Turns the machine off.
pub(super) fn system_off() -> ! {
    call(SYSTEM_OFF, [0; 3]);
    panic!("SYSTEM_OFF came back");
}
