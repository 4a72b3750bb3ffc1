//! Exceptions that a virtual CPU is given, as the processing element itself would take them to EL1 (Arm ARM, D1.3).

use aarch64_cpu::registers::{
    ELR_EL1, ESR_EL1, FAR_EL1, Readable as _, SCTLR_EL1, SPSR_EL1, VBAR_EL1, Writeable as _,
};
use tantalum_hal::vm::Exception;

use super::context::Context;
use super::syndrome::syndrome;

/// Parts of PSTATE.
const AARCH32: u64 = 1 << 4;
const MODE: u64 = 0xf;
const EL1_OWN_STACK: u64 = 0x5;
const EL1_SHARED_STACK: u64 = 0x4;
const MASKED: u64 = 0xf << 6;
const SSBS: u64 = 1 << 12;
const PAN: u64 = 1 << 22;
/// Flags, and DIT: what an exception leaves as it is.
const KEPT: u64 = 0xf << 28 | 1 << 24 | PAN;

/// Bits of SCTLR_EL1: PAN stays as it is on an exception; SSBS on an exception.
const SCTLR_SPAN: u64 = 1 << 23;
const SCTLR_DSSBS: u64 = 1 << 44;

/// Lets `context` go on in its own exception vector.
///
/// Its system registers must be those of this processing element.
#[cold]
pub(super) fn inject(context: &mut Context, exception: Exception) {
    let before = context.registers.pstate;
    let from_el0 = before & AARCH32 != 0 || before & MODE == 0;
    let (syndrome, address) = syndrome(exception, from_el0);
    ESR_EL1.set(syndrome);
    if let Some(address) = address {
        FAR_EL1.set(address);
    }
    ELR_EL1.set(context.instruction);
    SPSR_EL1.set(before);

    let vector = if before & AARCH32 != 0 {
        0x600
    } else if before & MODE == 0 {
        0x400
    } else if before & MODE == EL1_SHARED_STACK {
        0
    } else {
        0x200
    };
    context.registers.pc = (VBAR_EL1.get() & !0x7ff).wrapping_add(vector);
    let control = SCTLR_EL1.get();
    let mut pstate = before & KEPT | MASKED | EL1_OWN_STACK;
    if control & SCTLR_SPAN == 0 {
        pstate |= PAN;
    }
    if control & SCTLR_DSSBS != 0 {
        pstate |= SSBS;
    }
    context.registers.pstate = pstate;
}
