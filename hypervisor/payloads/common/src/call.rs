//! Calls by HVC and SMC, with every register known before and looked at after.

use tantalum_types::CallRegisters;

use crate::{console, cpu};

/// Holds what the assembly loads before the call and stores after it.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(C, align(16))]
struct Frame {
    general: [u64; 31],
    padding: u64,
    vector: [[u64; 2]; 32],
}

unsafe extern "C" {
    fn payload_smc(frame: *mut Frame);
    fn payload_hvc(frame: *mut Frame);
    fn payload_wait(frame: *mut Frame);
}

/// Names the instruction that makes a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conduit {
    /// HVC.
    Hvc,
    /// SMC.
    Smc,
}

/// Says which register a call has changed that it must leave alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leak {
    /// x18 to x30.
    General(usize, u64),
    /// v0 to v31.
    Vector(usize, [u64; 2]),
}

/// Fills a frame: the first registers are given, the others are what only this CPU has.
fn frame(first: &[u64]) -> Frame {
    let cpu = (cpu::current() as u64) << 32;
    let mut frame = Frame { general: [0; 31], padding: 0, vector: [[0; 2]; 32] };
    for (number, register) in frame.general.iter_mut().enumerate() {
        *register = first.get(number).copied().unwrap_or(0x5afe_0000_0000_0000 | cpu | number as u64);
    }
    for (number, register) in frame.vector.iter_mut().enumerate() {
        let own = cpu | number as u64;
        *register = [0xf0f0_0000_0000_0000 | own, 0x0f0f_0000_0000_0000 | own];
    }
    frame
}

/// Returns the first register that has changed, among the general ones from `first` on and all others.
fn changed(before: &Frame, after: &Frame, first: usize) -> Option<Leak> {
    let general = (first..31).find(|n| after.general[*n] != before.general[*n]);
    let vector = (0..32).find(|n| after.vector[*n] != before.vector[*n]);
    general
        .map(|n| Leak::General(n, after.general[n]))
        .or_else(|| vector.map(|n| Leak::Vector(n, after.vector[n])))
}

/// Makes a call. Also returns the first register among x18 to x30 and v0 to v31 that it has changed.
pub fn call(conduit: Conduit, registers: &CallRegisters) -> (CallRegisters, Option<Leak>) {
    let before = frame(&registers.0);
    let mut after = before;
    // SAFETY: the function has the frame for itself, and keeps to the procedure call standard. What the call
    // makes others write is memory of which no references exist.
    unsafe {
        match conduit {
            Conduit::Hvc => payload_hvc(&mut after),
            Conduit::Smc => payload_smc(&mut after),
        }
    }
    let mut answer = CallRegisters::ZERO;
    answer.0.copy_from_slice(&after.general[..18]);
    (answer, changed(&before, &after, 18))
}

/// Makes a call by SMC, as [`call`] does.
pub fn smc(registers: &CallRegisters) -> (CallRegisters, Option<Leak>) {
    call(Conduit::Smc, registers)
}

/// Waits for `ticks` of the virtual count without making a call, and returns the first register that has changed
/// meanwhile.
pub fn wait(ticks: u64) -> Option<Leak> {
    let before = frame(&[console::ticks().saturating_add(ticks)]);
    let mut after = before;
    // SAFETY: as above; it makes no call.
    unsafe { payload_wait(&mut after) };
    changed(&before, &after, 2)
}
