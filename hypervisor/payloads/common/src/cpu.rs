//! Which CPU this is, and how it waits for another.

use core::arch::asm;

/// Returns the index of this CPU: the lowest part of its affinity.
pub fn current() -> usize {
    let affinity: usize;
    // SAFETY: reading the register has no effect.
    unsafe { asm!("mrs {}, mpidr_el1", out(reg) affinity, options(nomem, nostack, preserves_flags)) };
    affinity & 0xff
}

/// Lets others go on while this CPU waits for them. Where one host thread runs all CPUs, YIELD ends this one's turn.
pub fn relax() {
    // SAFETY: it is a hint.
    unsafe { asm!("yield", options(nomem, nostack, preserves_flags)) };
}

/// Waits until `ready`.
pub fn wait_until(ready: impl Fn() -> bool) {
    while !ready() {
        relax();
    }
}

/// Has a lock wait by [`relax`].
pub struct Relax;

impl spin::RelaxStrategy for Relax {
    fn relax() {
        relax();
    }
}

/// Is a lock that waits by [`relax`].
pub type Mutex<T> = spin::mutex::Mutex<T, Relax>;
