//! Copies to and from memory that somebody else may write at the same time.
//!
//! The bytes never become a Rust reference: assembly copies them, each exactly once and in ascending order.

use core::arch::{asm, global_asm};

use tantalum_types::PAGE_SIZE;

global_asm!(include_str!("copy.S"));

/// Lets a device see what was written to memory before it is told to look, and what it has written be read after it has
/// said so.
pub fn order_before_device() {
    // SAFETY: a barrier changes no state that Rust knows of.
    unsafe { asm!("dsb sy", options(nostack, preserves_flags)) };
}

/// Copies `length` bytes from `from` to `to` in ascending order, each once.
///
/// # Safety
/// Both ranges must be mapped as Normal memory and must not overlap; the one of the two that is not shared must
/// be valid for the access in Rust's sense.
pub unsafe fn copy(from: *const u8, to: *mut u8, length: usize) {
    // SAFETY: exactly `length` bytes are read and written, at addresses that our caller promises can be; Normal
    // memory takes unaligned accesses, since SCTLR_EL2.A is zero.
    unsafe {
        asm!(
            "	subs	{left}, {left}, #16",
            "	b.lo	3f",
            "2:	ldp	{a}, {b}, [{from}], #16",
            "	stp	{a}, {b}, [{to}], #16",
            "	subs	{left}, {left}, #16",
            "	b.hs	2b",
            "3:	tbz	{left}, #3, 4f",
            "	ldr	{a}, [{from}], #8",
            "	str	{a}, [{to}], #8",
            "4:	tbz	{left}, #2, 5f",
            "	ldr	{a:w}, [{from}], #4",
            "	str	{a:w}, [{to}], #4",
            "5:	tbz	{left}, #1, 6f",
            "	ldrh	{a:w}, [{from}], #2",
            "	strh	{a:w}, [{to}], #2",
            "6:	tbz	{left}, #0, 7f",
            "	ldrb	{a:w}, [{from}]",
            "	strb	{a:w}, [{to}]",
            "7:",
            left = inout(reg) length => _,
            from = inout(reg) from => _,
            to = inout(reg) to => _,
            a = out(reg) _,
            b = out(reg) _,
            options(nostack),
        );
    }
}

/// Writes zero to `page_count` pages at `to`.
///
/// # Safety
/// The pages must be mapped as Normal memory and must not be anything that Rust reasons about.
pub unsafe fn zero_pages(to: *mut u8, page_count: u64) {
    // A product of a range that exists does not wrap.
    let length = page_count.wrapping_mul(PAGE_SIZE);
    if length == 0 {
        return;
    }
    // SAFETY: exactly `length` bytes are written, a multiple of 64, at addresses that our caller promises can be.
    unsafe {
        asm!(
            "2:	stp	xzr, xzr, [{to}]",
            "	stp	xzr, xzr, [{to}, #16]",
            "	stp	xzr, xzr, [{to}, #32]",
            "	stp	xzr, xzr, [{to}, #48]",
            "	add	{to}, {to}, #64",
            "	subs	{left}, {left}, #64",
            "	b.ne	2b",
            to = inout(reg) to => _,
            left = inout(reg) length => _,
            options(nostack),
        );
    }
}
