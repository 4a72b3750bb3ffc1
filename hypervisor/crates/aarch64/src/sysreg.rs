//! Access to system registers by name.
//!
//! A name is what the assembler takes: the architectural name, or the generic form `S<op0>_<op1>_C<n>_C<m>_<op2>`
//! for registers of extensions that the target's baseline does not have.

/// Reads a system register. Unsafe, because some reads have effects or are undefined where an extension is
/// missing.
macro_rules! read {
    ($name:literal) => {{
        let value: u64;
        core::arch::asm!(concat!("mrs {}, ", $name), out(reg) value, options(nomem, nostack, preserves_flags));
        value
    }};
}

/// Writes a system register. Unsafe, because most of them change what instructions do.
macro_rules! write {
    ($name:literal, $value:expr) => {{
        let value: u64 = $value;
        core::arch::asm!(concat!("msr ", $name, ", {}"), in(reg) value, options(nostack, preserves_flags));
    }};
}

/// Waits until what was written to system registers takes effect on the instructions that follow.
#[inline(always)]
pub(crate) fn isb() {
    // SAFETY: a barrier changes no state that Rust knows of.
    unsafe { core::arch::asm!("isb", options(nostack, preserves_flags)) }
}

/// Waits until stores and maintenance of this processing element are complete for its inner shareable domain.
#[inline(always)]
pub(crate) fn dsb_ish() {
    // SAFETY: a barrier changes no state that Rust knows of.
    unsafe { core::arch::asm!("dsb ish", options(nostack, preserves_flags)) }
}

/// Waits until stores of this processing element are visible to its inner shareable domain, table walkers
/// included.
#[inline(always)]
pub(crate) fn dsb_ishst() {
    // SAFETY: a barrier changes no state that Rust knows of.
    unsafe { core::arch::asm!("dsb ishst", options(nostack, preserves_flags)) }
}

pub(crate) use {read, write};
