//! The counter, which counts instructions where the machine runs on a clock of instructions (QEMU's icount).

use tantalum_types::CallRegisters;

unsafe extern "C" {
    fn bl33_timed_call(registers: *mut CallRegisters) -> u64;
    fn bl33_timed_loop(rounds: u64) -> u64;
}

/// Counts the instructions that the loop for comparison has, twice its rounds.
const KNOWN: u64 = 1 << 20;

/// Is the pace of the counter.
#[derive(Clone, Copy)]
pub(crate) struct Pace {
    ticks_of_known: u64,
}

impl Pace {
    /// Compares the counter with a loop of [`KNOWN`] instructions.
    pub(crate) fn measure() -> Self {
        // SAFETY: it counts down, and keeps to the procedure call standard.
        Self { ticks_of_known: unsafe { bl33_timed_loop(KNOWN / 2) } }
    }

    /// Returns how many instructions go by in `ticks`.
    pub(crate) fn instructions(self, ticks: u64) -> u64 {
        ticks * KNOWN / self.ticks_of_known.max(1)
    }
}

/// Makes a call. Returns x0 to x7 of the answer, the others being those of the call, and how many ticks went by, up to one
/// more or less than is true.
pub(crate) fn timed_call(registers: &CallRegisters) -> (CallRegisters, u64) {
    let mut registers = *registers;
    // SAFETY: the function has the registers for itself, and keeps to the procedure call standard.
    let ticks = unsafe { bl33_timed_call(&mut registers) };
    (registers, ticks)
}
