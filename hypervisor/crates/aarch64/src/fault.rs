//! Faults of the hypervisor itself.

use crate::sysreg;

/// Reports an exception that the hypervisor has caused or that it cannot have: there is nothing to go back to.
#[expect(clippy::panic, reason = "the hypervisor is broken: the panic handler reports it and stops")]
pub(crate) extern "C" fn report(vector: u64, stack: u64, link: u64) -> ! {
    // SAFETY: EL2 can read these at any time, and reading them has no effect.
    let (esr, elr, far) =
        unsafe { (sysreg::read!("esr_el2"), sysreg::read!("elr_el2"), sysreg::read!("far_el2")) };
    panic!(
        "exception {vector} taken by the hypervisor: ESR_EL2 {esr:#x}, ELR_EL2 {elr:#x}, FAR_EL2 {far:#x}, \
         SP {stack:#x}, x30 {link:#x}"
    );
}

/// Stops this processing element for ever.
pub fn halt() -> ! {
    loop {
        // SAFETY: waiting changes no state that Rust knows of.
        unsafe { core::arch::asm!("wfe", options(nomem, nostack, preserves_flags)) }
    }
}
