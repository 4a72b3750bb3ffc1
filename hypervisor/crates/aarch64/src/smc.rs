//! Calls to EL3.

use core::arch::global_asm;

use tantalum_types::CallRegisters;

// EL3 keeps x18 and above for us (it has a context of its own for this world), so it is an ordinary function that
// spares the compiler the copying of eighteen operands.
global_asm!(
    ".section .text.smc, \"ax\"",
    ".balign 16",
    "tantalum_smc:",
    "	stp	x30, x0, [sp, #-16]!",
    "	ldp	x16, x17, [x0, #128]",
    "	ldp	x14, x15, [x0, #112]",
    "	ldp	x12, x13, [x0, #96]",
    "	ldp	x10, x11, [x0, #80]",
    "	ldp	x8, x9, [x0, #64]",
    "	ldp	x6, x7, [x0, #48]",
    "	ldp	x4, x5, [x0, #32]",
    "	ldp	x2, x3, [x0, #16]",
    "	ldp	x0, x1, [x0]",
    "	smc	#0",
    "	ldr	x30, [sp, #8]",
    "	stp	x0, x1, [x30]",
    "	stp	x2, x3, [x30, #16]",
    "	stp	x4, x5, [x30, #32]",
    "	stp	x6, x7, [x30, #48]",
    "	stp	x8, x9, [x30, #64]",
    "	stp	x10, x11, [x30, #80]",
    "	stp	x12, x13, [x30, #96]",
    "	stp	x14, x15, [x30, #112]",
    "	stp	x16, x17, [x30, #128]",
    "	ldr	x30, [sp], #16",
    "	ret",
);

unsafe extern "C" {
    fn tantalum_smc(registers: *mut CallRegisters);
}

/// Calls EL3 with x0 to x17, which are then as it answers.
#[inline(always)]
pub fn call(registers: &mut CallRegisters) {
    // SAFETY: the function reads the eighteen registers of the call, writes those of the answer to the same place, and
    // keeps to the procedure call standard. What EL3 does is part of the machine: it cannot reach memory that Rust
    // reasons about other than by what the caller has agreed with it before.
    unsafe { tantalum_smc(registers) };
}
