//! The counter, which counts instructions where the machine runs on a clock of instructions (QEMU's icount).

use tantalum_types::CallRegisters;

use crate::call::Conduit;

unsafe extern "C" {
    fn payload_timed_smc(registers: *mut CallRegisters) -> u64;
    fn payload_timed_hvc(registers: *mut CallRegisters) -> u64;
    fn payload_timed_read(address: usize) -> u64;
    fn payload_timed_loop(rounds: u64) -> u64;
}

/// Counts the instructions that the loop for comparison has, twice its rounds.
const KNOWN: u64 = 1 << 20;

/// Is the pace of the counter.
#[derive(Clone, Copy)]
pub struct Pace {
    ticks_of_known: u64,
}

impl Pace {
    /// Compares the counter with a loop of `KNOWN` instructions.
    pub fn measure() -> Self {
        // SAFETY: it counts down, and keeps to the procedure call standard.
        Self { ticks_of_known: unsafe { payload_timed_loop(KNOWN / 2) } }
    }

    /// Returns how many instructions go by in `ticks`.
    pub fn instructions(self, ticks: u64) -> u64 {
        ticks * KNOWN / self.ticks_of_known.max(1)
    }
}

/// Makes a call. Returns x0 to x7 of the answer, the others being those of the call, and how many ticks went by, up to one
/// more or less than is true.
pub fn timed_call(conduit: Conduit, registers: &CallRegisters) -> (CallRegisters, u64) {
    let mut registers = *registers;
    // SAFETY: the function has the registers for itself, and keeps to the procedure call standard.
    let ticks = unsafe {
        match conduit {
            Conduit::Hvc => payload_timed_hvc(&mut registers),
            Conduit::Smc => payload_timed_smc(&mut registers),
        }
    };
    (registers, ticks)
}

/// Reads a register of a device, and returns how many ticks went by.
///
/// # Safety
/// At `address` there is a register of 32 bits, and reading it has no effect that anybody minds.
pub unsafe fn timed_read(address: usize) -> u64 {
    // SAFETY: the caller says so; the function keeps to the procedure call standard.
    unsafe { payload_timed_read(address) }
}
