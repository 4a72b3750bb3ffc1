//! Random numbers of the processing element (FEAT_RNG).

use aarch64_cpu::registers::{ID_AA64ISAR0_EL1, Readable as _};

/// Returns random bits; `None` if the processing element makes none, or none now.
pub fn number() -> Option<u64> {
    if ID_AA64ISAR0_EL1.get() >> 60 == 0 {
        return None;
    }
    let (value, failed): (u64, u64);
    // SAFETY: RNDR is there, and reading it has no effect but on the flags: Z says that there is no number.
    unsafe {
        core::arch::asm!(
            "mrs {value}, s3_3_c2_c4_0",
            "cset {failed}, eq",
            value = out(reg) value,
            failed = out(reg) failed,
            options(nomem, nostack)
        );
    }
    (failed == 0).then_some(value)
}
