//! The hypervisor's own timer, CNTHP, and the virtual timer of virtual CPUs, CNTV (Arm ARM, chapter D12).

use aarch64_cpu::asm::barrier::{SY, isb};
use aarch64_cpu::registers::{
    CNTHP_CTL_EL2, CNTV_CTL_EL0, CNTV_CVAL_EL0, CNTVOFF_EL2, Readable as _, Writeable as _,
};

use crate::sysreg;
pub use crate::timer::{frequency, now};

/// Is the INTID of the interrupt of the Non-secure EL2 physical timer (Base System Architecture, section 3.8).
pub const INTID: u32 = 26;

/// Is the INTID of the interrupt of the virtual timer.
pub const VIRTUAL_INTID: u32 = 27;

/// ENABLE and IMASK of CNTV_CTL_EL0.
const ENABLE: u64 = 1;
const MASK: u64 = 1 << 1;

/// Lets the hypervisor's timer of this processing element fire when the system counter reaches `deadline`, or never.
pub fn set(deadline: Option<u64>) {
    match deadline {
        Some(deadline) => {
            // SAFETY: the timer is the hypervisor's.
            unsafe { sysreg::write!("cnthp_cval_el2", deadline) };
            CNTHP_CTL_EL2.set(ENABLE);
        }
        None => CNTHP_CTL_EL2.set(0),
    }
    isb(SY);
}

/// Returns the system count at which the virtual timer of this processing element fires; `None` if it does not.
pub fn virtual_deadline() -> Option<u64> {
    let control = CNTV_CTL_EL0.get();
    // Compare values far ahead of the counter may go past its end: they never come.
    (control & (ENABLE | MASK) == ENABLE).then(|| CNTV_CVAL_EL0.get().saturating_add(CNTVOFF_EL2.get()))
}

/// Makes a call during which the virtual counter of this processing element is the physical one, and the virtual timer
/// fires when it does otherwise.
///
/// The secure world has a CNTVOFF_EL2 of its own, which is zero, but the timer is one for both worlds: compared with a
/// counter that is ahead, it fires at once and all the time, and no partition gets on.
pub fn at_physical_count<T>(call: impl FnOnce() -> T) -> T {
    let (offset, compare_value) = (CNTVOFF_EL2.get(), CNTV_CVAL_EL0.get());
    // In an order in which it does not fire in between.
    CNTV_CVAL_EL0.set(compare_value.saturating_add(offset));
    CNTVOFF_EL2.set(0);
    isb(SY);
    let result = call();
    CNTVOFF_EL2.set(offset);
    CNTV_CVAL_EL0.set(compare_value);
    isb(SY);
    result
}

/// Holds the virtual timer of a virtual CPU, and what its counter is behind the physical one.
#[derive(Clone, Copy)]
pub(super) struct VirtualTimer {
    control: u64,
    compare_value: u64,
    offset: u64,
}

impl VirtualTimer {
    /// Builds the timer of a virtual CPU that begins.
    pub(super) const fn reset(offset: u64) -> Self {
        Self { control: 0, compare_value: 0, offset }
    }

    /// Takes the timer out of this processing element, where none fires until the next is loaded.
    pub(super) fn save(&mut self) {
        self.control = CNTV_CTL_EL0.get() & (ENABLE | MASK);
        CNTV_CTL_EL0.set(0);
        self.compare_value = CNTV_CVAL_EL0.get();
    }

    /// Makes the timer this processing element's.
    pub(super) fn load(&self) {
        CNTV_CTL_EL0.set(0);
        CNTVOFF_EL2.set(self.offset);
        CNTV_CVAL_EL0.set(self.compare_value);
        CNTV_CTL_EL0.set(self.control);
    }
}

/// Turns the virtual timer of this processing element off, whatever it was set to.
pub(super) fn stop_virtual() {
    CNTV_CTL_EL0.set(0);
}
