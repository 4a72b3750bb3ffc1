//! Pages that cases map where they like: 512 of them, from 256 GiB on, above all that the identity map has.

use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering};

use super::memory::PAGE;

/// Is where the window begins.
const START: u64 = 1 << 38;
/// Counts its pages.
pub(crate) const COUNT: usize = 512;

#[repr(C, align(4096))]
struct Table([AtomicU64; COUNT]);

static LEVEL2: Table = Table([const { AtomicU64::new(0) }; COUNT]);
static LEVEL3: Table = Table([const { AtomicU64::new(0) }; COUNT]);

unsafe extern "C" {
    /// Is the table of level 1, in the entry code.
    static guest_level1: Table;
}

/// Says what a page is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Read, write and execute, write-back.
    Normal,
    /// Read and write, without caches.
    NonCacheable,
    /// Read only.
    ReadOnly,
    /// Read and write, not to be executed.
    NoExecute,
    /// Read and write, of a device.
    Device,
}

impl Kind {
    fn bits(self) -> u64 {
        const ACCESS: u64 = 1 << 10;
        const INNER_SHAREABLE: u64 = 3 << 8;
        const PRIVILEGED_NO_EXECUTE: u64 = 1 << 53;
        const READ_ONLY: u64 = 1 << 7;
        const PAGE_DESCRIPTOR: u64 = 3;
        let attribute = |index: u64| index << 2;
        PAGE_DESCRIPTOR
            | ACCESS
            | match self {
                Self::Normal => attribute(1) | INNER_SHAREABLE,
                Self::NonCacheable => attribute(2) | INNER_SHAREABLE | PRIVILEGED_NO_EXECUTE,
                Self::ReadOnly => attribute(1) | INNER_SHAREABLE | READ_ONLY | PRIVILEGED_NO_EXECUTE,
                Self::NoExecute => attribute(1) | INNER_SHAREABLE | PRIVILEGED_NO_EXECUTE,
                Self::Device => attribute(0) | PRIVILEGED_NO_EXECUTE,
            }
    }
}

/// Returns the virtual address of page `index`.
pub(crate) fn address(index: usize) -> u64 {
    assert!(index < COUNT, "the window has no page {index}");
    START + (index * PAGE) as u64
}

/// Maps page `index` to a physical address, and returns its virtual one.
pub(crate) fn map(index: usize, physical: u64, kind: Kind) -> u64 {
    // Break before make.
    unmap(index);
    set(index, physical | kind.bits());
    address(index)
}

/// Takes page `index` out.
pub(crate) fn unmap(index: usize) {
    set(index, 0);
}

fn set(index: usize, entry: u64) {
    const TABLE_DESCRIPTOR: u64 = 3;
    // SAFETY: the entry code has it, as a table of this form.
    let level1 = unsafe { &guest_level1.0 };
    level1[(START >> 30) as usize].store(LEVEL2.0.as_ptr() as u64 | TABLE_DESCRIPTOR, Ordering::Release);
    LEVEL2.0[0].store(LEVEL3.0.as_ptr() as u64 | TABLE_DESCRIPTOR, Ordering::Release);
    LEVEL3.0[index].store(entry, Ordering::Release);
    let page = address(index) >> 12;
    // SAFETY: the program itself uses nothing of the window.
    unsafe {
        asm!("dsb ishst", "tlbi vaae1is, {}", "dsb ish", "isb", in(reg) page, options(nostack, preserves_flags));
    }
}

/// Reads a word in the window, which is mapped there.
pub(crate) fn read(address: u64) -> u64 {
    check(address);
    let value: u64;
    // SAFETY: no memory that the program refers to is mapped there.
    unsafe { asm!("ldr {}, [{}]", out(reg) value, in(reg) address, options(nostack, preserves_flags)) };
    value
}

/// Writes a word in the window, which is mapped there.
pub(crate) fn write(address: u64, value: u64) {
    check(address);
    // SAFETY: as above.
    unsafe { asm!("str {}, [{}]", in(reg) value, in(reg) address, options(nostack, preserves_flags)) };
}

/// Calls code in the window, which returns, and returns its x0.
pub(crate) fn call(address: u64) -> u64 {
    check(address);
    let value: u64;
    // SAFETY: cases put code there that keeps to the procedure call standard.
    unsafe { asm!("blr {}", in(reg) address, lateout("x0") value, clobber_abi("C")) };
    value
}

fn check(at: u64) {
    assert!((START..START + (COUNT * PAGE) as u64).contains(&at), "{at:#x} is not in the window");
}
