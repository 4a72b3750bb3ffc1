//! The calls to PSCI (Power State Coordination Interface 1.1) that the hypervisor makes for itself.

use tantalum_types::CallRegisters;

use crate::fault::halt;
use crate::{boot, smc};

const CPU_ON_64: u64 = 0xc400_0003;
const SYSTEM_OFF: u64 = 0x8400_0008;
const SYSTEM_RESET: u64 = 0x8400_0009;

fn call(function: u64, arguments: [u64; 3]) -> u64 {
    let [x1, x2, x3] = arguments;
    let mut registers = CallRegisters::from_first_eight([function, x1, x2, x3, 0, 0, 0, 0]);
    smc::call(&mut registers);
    let [x0, ..] = registers.first_eight();
    x0
}

/// Turns on the processing element whose affinity is `affinity`, as MPIDR_EL1 has it, and says whether that is under
/// way. It comes to `tantalum_warm_main`.
pub fn cpu_on(affinity: u64) -> bool {
    call(CPU_ON_64, [affinity, boot::warm_entry(), 0]) == 0
}

/// Turns the machine off.
pub fn system_off() -> ! {
    call(SYSTEM_OFF, [0; 3]);
    halt()
}

/// Begins anew as after power-on.
pub fn system_reset() -> ! {
    call(SYSTEM_RESET, [0; 3]);
    halt()
}
