//! Removal of stale stage-2 translations.

use aarch64_cpu::asm::barrier::{ISH, ISHST, SY, dsb, isb};
use aarch64_cpu::registers::{Readable as _, VTTBR_EL2, Writeable as _};
use tantalum_hal::VmId;
use tantalum_types::{AddressSpace, Ipa, PAGE_SHIFT};

/// Says in the operand of TLBI IPAS2E1IS that the address lies in the Non-secure IPA space.
const NON_SECURE_IPA: u64 = 1 << 63;

/// Runs `maintenance` with `vmid` as the VMID that TLB maintenance for EL1 and EL0 means.
fn with_vmid(vmid: VmId, maintenance: impl FnOnce()) {
    // Stores to tables come first.
    dsb(ISHST);
    // Nothing is translated by VTTBR_EL2 while EL2 runs, and interrupts are masked.
    let current = VTTBR_EL2.get();
    VTTBR_EL2.set(u64::from(vmid.0) << 48);
    isb(SY);
    maintenance();
    dsb(ISH);
    VTTBR_EL2.set(current);
    isb(SY);
}

/// Forgets on every processing element what stage 2 of `vmid` says about the page of `ipa`, at Secure EL2.
pub fn invalidate_page(vmid: VmId, ipa: Ipa) {
    let space = match ipa.space() {
        AddressSpace::Secure => 0,
        AddressSpace::NonSecure => NON_SECURE_IPA,
    };
    invalidate(vmid, space | page(ipa));
}

/// Forgets on every processing element what stage 2 of `vmid` says about the page of `ipa`, at Non-secure EL2, where there
/// is one address space.
pub fn invalidate_vm_page(vmid: VmId, ipa: Ipa) {
    invalidate(vmid, page(ipa));
}

/// Returns the page of `ipa` as the operand of TLBI IPAS2E1IS has it.
fn page(ipa: Ipa) -> u64 {
    ipa.raw() >> PAGE_SHIFT & 0xf_ffff_ffff
}

#[inline(always)]
fn invalidate(vmid: VmId, operand: u64) {
    with_vmid(vmid, || {
        // SAFETY: forgetting translations is always sound. TLBs may also hold the two stages combined under the
        // virtual address, which is not known here, so all of stage 1 of this VMID goes, once stage 2 is gone.
        unsafe {
            core::arch::asm!(
                "tlbi ipas2e1is, {}",
                "dsb ish",
                "tlbi vmalle1is",
                in(reg) operand,
                options(nostack, preserves_flags)
            );
        }
    });
}

/// Forgets on every processing element everything of `vmid`.
pub fn invalidate_all(vmid: VmId) {
    with_vmid(vmid, || {
        // SAFETY: forgetting translations is always sound.
        unsafe { core::arch::asm!("tlbi vmalls12e1is", options(nostack, preserves_flags)) }
    });
}
