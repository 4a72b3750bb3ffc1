//! Calls by SMC, with every register known before and looked at after.

use tantalum_types::CallRegisters;

use super::cpus;

/// Holds what the assembly loads before the call and stores after it.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(C, align(16))]
struct Frame {
    general: [u64; 31],
    padding: u64,
    vector: [[u64; 2]; 32],
}

unsafe extern "C" {
    fn bl33_call(frame: *mut Frame);
}

/// Says which register a call has changed that it must leave alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leak {
    /// x18 to x30.
    General(usize, u64),
    /// v0 to v31.
    Vector(usize, [u64; 2]),
}

/// Makes a call. Also returns the first register among x18 to x30 and v0 to v31 that it has changed.
pub(crate) fn smc(registers: &CallRegisters) -> (CallRegisters, Option<Leak>) {
    // What one CPU has in its registers is not what another has.
    let cpu = (cpus::current() as u64) << 32;
    let mut before = Frame { general: [0; 31], padding: 0, vector: [[0; 2]; 32] };
    for (number, register) in before.general.iter_mut().enumerate() {
        *register = registers.0.get(number).copied().unwrap_or(0x5afe_0000_0000_0000 | cpu | number as u64);
    }
    for (number, register) in before.vector.iter_mut().enumerate() {
        *register =
            [0xf0f0_0000_0000_0000 | cpu | number as u64, 0x0f0f_0000_0000_0000 | cpu | number as u64];
    }
    let mut after = before;
    // SAFETY: the function has the frame for itself, and keeps to the procedure call standard. What the call
    // makes others write is memory that is reached through `memory` only.
    unsafe { bl33_call(&mut after) };

    let general = (18..31).find(|n| after.general[*n] != before.general[*n]);
    let vector = (0..32).find(|n| after.vector[*n] != before.vector[*n]);
    let leak = general
        .map(|n| Leak::General(n, after.general[n]))
        .or_else(|| vector.map(|n| Leak::Vector(n, after.vector[n])));
    let mut answer = CallRegisters::ZERO;
    answer.0.copy_from_slice(&after.general[..18]);
    (answer, leak)
}
