//! The processing element's side of the GIC, as far as partitions are concerned (GICv3, chapter 12).

use aarch64_cpu::asm::barrier::{SY, isb};

use crate::sysreg;

/// The lowest priority value that an interrupt of Non-secure Group 1 has in the Secure view.
const FIRST_NON_SECURE_PRIORITY: u64 = 0x80;

/// ICH_HCR_EL2: traps of every access of EL1 to the CPU interface, the virtual CPU interface off.
const ICH_HCR: u64 = 1 << 12 | 1 << 11 | 1 << 10;

/// Keeps the GIC's registers from partitions. Whatever the hypervisor of the normal world has in the list
/// registers stays its own.
pub(crate) fn keep_from_partitions() {
    // SAFETY: the registers configure what EL1 can reach, and EL3 gives each world its own ICH_HCR_EL2 and
    // ICC_SRE_EL2. SRE and the bypass bits keep their values; only Enable, which lets EL1 use ICC_SRE_EL1, goes.
    unsafe {
        sysreg::write!("s3_4_c12_c11_0", ICH_HCR);
        let sre = sysreg::read!("s3_4_c12_c9_5");
        sysreg::write!("s3_4_c12_c9_5", sre & !(1 << 3));
    }
    isb(SY);
}

/// Keeps interrupts of the normal world pending while it lives.
pub(crate) struct ForeignMask {
    before: u64,
}

impl ForeignMask {
    pub(crate) fn new() -> Self {
        // SAFETY: the priority mask only decides which interrupts are signalled.
        let before = unsafe {
            let before = sysreg::read!("s3_0_c4_c6_0");
            sysreg::write!("s3_0_c4_c6_0", before.min(FIRST_NON_SECURE_PRIORITY));
            before
        };
        isb(SY);
        Self { before }
    }
}

impl Drop for ForeignMask {
    fn drop(&mut self) {
        // SAFETY: as above.
        unsafe { sysreg::write!("s3_0_c4_c6_0", self.before) };
    }
}
