//! Cache maintenance by address.

use core::ops::Range;

use crate::sysreg;

/// Returns the bytes in the smallest data cache line.
fn line_size() -> u64 {
    // SAFETY: CTR_EL0 can be read at EL2 and reading it has no effect.
    let ctr = unsafe { sysreg::read!("ctr_el0") };
    4 << (ctr >> 16 & 0xf)
}

/// Writes what the data caches hold of `range` back to memory and drops it from them, so that somebody who
/// reads or writes it past the caches, and we after him, see what was last written.
///
/// # Safety
/// The hypervisor must have all of `range` mapped.
pub unsafe fn clean_and_invalidate(range: &Range<u64>) {
    let line = line_size();
    let mut address = range.start & line.wrapping_neg();
    while address < range.end {
        // SAFETY: the address is mapped, as our caller promises; cleaning and invalidating changes no contents.
        unsafe { core::arch::asm!("dc civac, {}", in(reg) address, options(nostack, preserves_flags)) };
        address = address.wrapping_add(line); // ranges lie far below the top of the address space
    }
    // SAFETY: a barrier changes no state that Rust knows of.
    unsafe { core::arch::asm!("dsb sy", options(nostack, preserves_flags)) };
}

/// Makes every processing element fetch instructions anew.
pub fn invalidate_instruction_caches() {
    // SAFETY: dropping cached instructions changes no contents.
    unsafe { core::arch::asm!("ic ialluis", "dsb ish", "isb", options(nostack, preserves_flags)) };
}
