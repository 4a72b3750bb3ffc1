//! ESR_EL1 of the exceptions that a virtual CPU is given (Arm ARM, ESR_EL1).

use tantalum_hal::vm::Exception;

/// Exception classes for aborts from EL0. Those from EL1 are one above.
const INSTRUCTION_ABORT: u64 = 0x20;
const DATA_ABORT: u64 = 0x24;

/// IL, and the fault status of a synchronous external abort.
const LONG_INSTRUCTION: u64 = 1 << 25;
const EXTERNAL_ABORT: u64 = 0x10;

/// Says that a data access wrote (WnR).
const WRITE_NOT_READ: u64 = 1 << 6;

/// Returns ESR_EL1 for `exception`, and FAR_EL1 if it has an address.
pub(super) const fn syndrome(exception: Exception, from_el0: bool) -> (u64, Option<u64>) {
    let from_el1 = if from_el0 { 0 } else { 1 };
    match exception {
        Exception::Undefined => (LONG_INSTRUCTION, None),
        Exception::DataAbort { virtual_address, write } => {
            let direction = if write { WRITE_NOT_READ } else { 0 };
            let class = (DATA_ABORT | from_el1) << 26;
            (class | LONG_INSTRUCTION | direction | EXTERNAL_ABORT, Some(virtual_address))
        }
        Exception::InstructionAbort { virtual_address } => {
            let class = (INSTRUCTION_ABORT | from_el1) << 26;
            (class | LONG_INSTRUCTION | EXTERNAL_ABORT, Some(virtual_address))
        }
    }
}
