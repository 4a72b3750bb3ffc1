//! The hypervisor's own timer, CNTHPS, and the system counter (Arm ARM, chapter D12).

use aarch64_cpu::asm::barrier::{SY, isb};
use aarch64_cpu::registers::{CNTFRQ_EL0, CNTPCT_EL0, Readable as _};

use crate::sysreg;

/// Is the INTID of the interrupt of the Secure EL2 physical timer (Base System Architecture, section 3.8).
pub const INTID: u32 = 20;

/// Returns the count of the system counter.
pub fn now() -> u64 {
    isb(SY);
    CNTPCT_EL0.get()
}

/// Returns the ticks of the system counter in a second, as the firmware has set them.
pub fn frequency() -> u64 {
    CNTFRQ_EL0.get()
}

/// Lets the timer of this processing element fire when the system counter reaches `deadline`, or never.
pub fn set(deadline: Option<u64>) {
    // SAFETY: the timer is the hypervisor's, and raises an interrupt that it handles.
    unsafe {
        match deadline {
            Some(deadline) => {
                sysreg::write!("s3_4_c14_c5_2", deadline); // CNTHPS_CVAL_EL2
                sysreg::write!("s3_4_c14_c5_1", 1); // CNTHPS_CTL_EL2.ENABLE
            }
            None => sysreg::write!("s3_4_c14_c5_1", 0),
        }
    }
    isb(SY);
}
