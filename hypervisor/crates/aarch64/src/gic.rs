//! The processing element's side of the GIC, as far as partitions are concerned (GICv3, chapter 12).

use aarch64_cpu::asm::barrier::{ISHST, SY, dsb, isb};
use aarch64_cpu::registers::{MPIDR_EL1, Readable as _};
use tantalum_types::CpuIndex;

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

/// Makes a write of ICC_EOIR1_EL1 drop the running priority and no more, on this processing element: an interrupt stays
/// active, and so is not signalled again, until [`deactivate`].
pub(crate) fn split_end_of_interrupt() {
    // SAFETY: ICC_CTLR_EL1 of the Secure state configures how the Secure world ends interrupts, and nothing else does
    // so but the hypervisor.
    unsafe {
        let control = sysreg::read!("s3_0_c12_c12_4");
        sysreg::write!("s3_0_c12_c12_4", control | 1 << 1); // EOImode
    }
    isb(SY);
}

/// Deactivates an interrupt that was acknowledged: a private one on this processing element, a shared one anywhere.
pub fn deactivate(intid: u32) {
    // SAFETY: deactivating an interrupt, ICC_DIR_EL1, only lets it be signalled again.
    unsafe { sysreg::write!("s3_0_c12_c11_1", u64::from(intid)) };
    isb(SY);
}

/// Makes an SGI pending on this processing element that is the normal world's: ICC_ASGI1R_EL1, which raises interrupts
/// of the other Security state's Group 1.
pub fn raise_non_secure_sgi(sgi: u32) {
    raise(sgi, own_affinity(), |value| {
        // SAFETY: the SGI is the normal world's to handle.
        unsafe { sysreg::write!("s3_0_c12_c11_6", value) };
    });
}

/// Makes an SGI of Secure Group 1 pending on another processing element: ICC_SGI1R_EL1.
pub fn raise_secure_sgi(sgi: u32, cpu: CpuIndex) {
    // Aff0 is the index: the board numbers processing elements so.
    raise(sgi, cpu.get() as u64, |value| {
        // SAFETY: the hypervisor handles the SGI.
        unsafe { sysreg::write!("s3_0_c12_c11_5", value) };
    });
}

fn own_affinity() -> u64 {
    MPIDR_EL1.get() & 0xff
}

/// Builds the value that names `sgi` and the processing element with affinity 0.0.0.`aff0`, and writes it once what was
/// stored before can be seen by whoever takes the interrupt.
fn raise(sgi: u32, aff0: u64, write: impl FnOnce(u64)) {
    let (range, bit) = (aff0 >> 4, aff0 & 0xf);
    dsb(ISHST);
    write(u64::from(sgi & 0xf) << 24 | range << 44 | 1 << bit);
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
