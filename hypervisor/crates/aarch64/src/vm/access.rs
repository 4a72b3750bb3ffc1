//! Where in its memory a virtual CPU reached.

use aarch64_cpu::registers::{FAR_EL2, HPFAR_EL2, PAR_EL1, Readable as _, Writeable as _};

/// Returns the virtual address of the fault.
pub(super) fn virtual_address() -> u64 {
    FAR_EL2.get()
}

/// Returns the page of an IPA that stage 2 does not map, as the processing element reports it.
pub(super) fn faulting_page() -> u64 {
    (HPFAR_EL2.get() & 0x0fff_ffff_fff0) << 8
}

/// Returns the page that a virtual address of the virtual CPU means; `None` if its stage 1 has changed meanwhile, so that
/// it has to fault again to know.
pub(super) fn translate(address: u64) -> Option<u64> {
    // PAR_EL1 is the virtual CPU's, so it gets its old value back.
    let before = PAR_EL1.get();
    // SAFETY: the registers of EL1 are the virtual CPU's, and translating an address writes PAR_EL1 and nothing else.
    unsafe { core::arch::asm!("at s1e1r, {}", "isb", in(reg) address, options(nostack, preserves_flags)) };
    let par = PAR_EL1.get();
    PAR_EL1.set(before);
    (par & 1 == 0).then_some(par & 0x000f_ffff_ffff_f000)
}
