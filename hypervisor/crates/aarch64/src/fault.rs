//! Faults of the hypervisor itself.

use aarch64_cpu::asm::wfe;
use aarch64_cpu::registers::{ELR_EL2, ESR_EL2, FAR_EL2, Readable as _};

/// Reports an exception that the hypervisor has caused or that it cannot have: there is nothing to go back to.
#[expect(clippy::panic, reason = "the hypervisor is broken: the panic handler reports it and stops")]
pub(crate) extern "C" fn report(vector: u64, stack: u64, link: u64) -> ! {
    let (esr, elr, far) = (ESR_EL2.get(), ELR_EL2.get(), FAR_EL2.get());
    panic!(
        "exception {vector} taken by the hypervisor: ESR_EL2 {esr:#x}, ELR_EL2 {elr:#x}, FAR_EL2 {far:#x}, \
         SP {stack:#x}, x30 {link:#x}"
    );
}

/// Stops this processing element for ever.
pub fn halt() -> ! {
    loop {
        wfe();
    }
}
