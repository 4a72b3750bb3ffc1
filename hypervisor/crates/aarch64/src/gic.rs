//! The processing element's side of the GIC, as far as partitions are concerned (GICv3, chapter 12).

use aarch64_cpu::asm::barrier::{ISHST, SY, dsb, isb};
use aarch64_cpu::registers::{MPIDR_EL1, Readable as _};
use tantalum_hal::ForeignInterrupts;
use tantalum_types::CpuIndex;

use crate::sysreg;

/// The lowest priority value that an interrupt of Non-secure Group 1 has in the Secure view.
const FIRST_NON_SECURE_PRIORITY: u64 = 0x80;

/// The lowest INTID that names no interrupt.
const FIRST_SPECIAL_INTID: u64 = 1020;

/// The offset of GICD_ICACTIVER<n> and GICR_ICACTIVER0.
const CLEAR_ACTIVE: usize = 0x380;

/// The size of a redistributor's registers, and where in them those of SGIs and PPIs begin.
const REDISTRIBUTOR_STRIDE: usize = 0x2_0000;
const SGI_FRAME: usize = 0x1_0000;

/// ICH_HCR_EL2: traps of every access of EL1 to the CPU interface, the virtual CPU interface off.
const ICH_HCR: u64 = 1 << 12 | 1 << 11 | 1 << 10;

/// Keeps the GIC's registers from partitions; QEMU (10.0) lets S-EL1 reach them all the same. Whatever the hypervisor of
/// the normal world has in the list registers stays its own.
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
/// active, and so is not signalled again, until it is deactivated in the distributor or a redistributor.
///
/// Not by ICC_DIR_EL1: QEMU (10.0) ignores that for Secure Group 1 at S-EL2.
pub(crate) fn split_end_of_interrupt() {
    // SAFETY: ICC_CTLR_EL1 of the Secure state configures how the Secure world ends interrupts, and nothing else does
    // so but the hypervisor.
    unsafe {
        let control = sysreg::read!("s3_0_c12_c12_4");
        sysreg::write!("s3_0_c12_c12_4", control | 1 << 1); // EOImode
    }
    isb(SY);
}

/// Tells whether the interrupt that is signalled as FIQ is one of Group 0: ICC_HPPIR0_EL1, which has the INTID of the
/// pending interrupt of the highest priority if that is of Group 0, and 1023 if not.
pub(crate) fn group0_is_pending() -> bool {
    // SAFETY: reading the register has no effect. FIQs come to S-EL2, so it does not trap to EL3.
    let intid = unsafe { sysreg::read!("s3_0_c12_c8_2") } & 0xff_ffff;
    intid < FIRST_SPECIAL_INTID
}

/// Deactivates an interrupt that was acknowledged, in the distributor at `distributor` if it is shared, and if it is
/// private in the redistributor of `cpu`, those of GICv3 lying one after the other from `redistributors`.
///
/// # Safety
/// The registers must be mapped, and `intid` must be below 1020.
pub unsafe fn deactivate(distributor: usize, redistributors: usize, cpu: CpuIndex, intid: u32) {
    let (word, bit) = ((intid >> 5) as usize, intid & 31);
    let offset = CLEAR_ACTIVE.wrapping_add(word.wrapping_mul(4));
    let register = if word == 0 {
        let frames = cpu.get().wrapping_mul(REDISTRIBUTOR_STRIDE).wrapping_add(SGI_FRAME);
        redistributors.wrapping_add(frames).wrapping_add(offset)
    } else {
        distributor.wrapping_add(offset)
    };
    // SAFETY: the register is mapped, as our caller promises, and takes a word. What the owner of the interrupt did
    // to its device is to be seen by the device first.
    unsafe {
        core::arch::asm!(
            "dsb sy",
            "str {value:w}, [{register}]",
            value = in(reg) 1_u32 << bit,
            register = in(reg) register,
            options(nostack, preserves_flags)
        );
    }
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

/// Is the priority mask while a context runs: keeps interrupts of the normal world pending if that is wanted, and gives
/// the normal world its own mask back in any case, since a context may be able to write the register.
pub(crate) struct PriorityMask {
    before: u64,
}

impl PriorityMask {
    #[inline(always)]
    pub(crate) fn new(foreign: ForeignInterrupts) -> Self {
        // SAFETY: reading the register has no effect.
        let before = unsafe { sysreg::read!("s3_0_c4_c6_0") };
        if foreign == ForeignInterrupts::Masked {
            // SAFETY: the priority mask only decides which interrupts are signalled.
            unsafe { sysreg::write!("s3_0_c4_c6_0", before.min(FIRST_NON_SECURE_PRIORITY)) };
            isb(SY);
        }
        Self { before }
    }
}

impl Drop for PriorityMask {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: as in `new`.
        unsafe { sysreg::write!("s3_0_c4_c6_0", self.before) };
    }
}
