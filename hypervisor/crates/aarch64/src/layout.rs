//! Where the image's parts lie, as its linker script says.
//!
//! The linker script of an image defines these symbols, each part starting on a page of its own:
//! `__text_start`, `__text_end`, `__rodata_start`, `__rodata_end`, `__data_start` (initialised and zeroed data,
//! stage-1 tables and emergency stacks), `__data_end`, `__bss_start`, `__bss_end`, `__image_end`. The sections
//! `.stage1_tables`, `.emergency_stacks` and `.stacks` have no contents; `.stacks` is not part of the data, since it
//! is not mapped as a whole. From `__boot_stack_start` to the stacks there is what the first one has more than the others,
//! for the first processing element also boots: that takes the more, the more an image builds.

use core::cell::UnsafeCell;
use core::ops::Range;

use tantalum_types::{MAX_CPUS, PAGE_SIZE};

/// Counts the bytes of a stack. A multiple of a page, because the page below it is its guard.
pub(crate) const STACK_SIZE: usize = 0x3000;

/// Counts the bytes from one stack to the next: a stack and the guard page below it.
pub(crate) const STACK_STRIDE: usize = STACK_SIZE + GUARD_SIZE;

/// Counts the bytes below a stack that are never mapped, so that an overflow faults at once.
pub(crate) const GUARD_SIZE: usize = 0x1000;

/// Counts the bytes of the stack on which a fault of the hypervisor itself is reported.
pub(crate) const EMERGENCY_STACK_SIZE: usize = 0x800;

const _: () = assert!((STACK_SIZE as u64).is_multiple_of(PAGE_SIZE) && GUARD_SIZE as u64 == PAGE_SIZE);

macro_rules! part {
    ($(#[$doc:meta])* $name:ident, $start:ident, $end:ident) => {
        $(#[$doc])*
        pub fn $name() -> Range<u64> {
            unsafe extern "C" {
                static $start: u8;
                static $end: u8;
            }
            // The symbols have addresses only: nothing is read through them.
            (&raw const $start).addr() as u64..(&raw const $end).addr() as u64
        }
    };
}

part! {
    /// Returns the instructions.
    text, __text_start, __text_end
}
part! {
    /// Returns the constants.
    rodata, __rodata_start, __rodata_end
}
part! {
    /// Returns everything that is written, but for the stacks.
    data, __data_start, __data_end
}
part! {
    /// Returns the whole image.
    image, __text_start, __image_end
}

/// Is memory for stacks. Only the stack pointer ever points into it.
#[repr(C, align(4096))]
pub(crate) struct Stacks<const SIZE: usize>(UnsafeCell<[u8; SIZE]>);

// SAFETY: nobody reaches the bytes by way of the static: they belong to the code that runs on them.
unsafe impl<const SIZE: usize> Sync for Stacks<SIZE> {}

/// The stacks. The linker script puts the extra bytes of the first one below them.
#[unsafe(link_section = ".stacks")]
pub(crate) static STACKS: Stacks<{ MAX_CPUS * STACK_STRIDE }> =
    Stacks(UnsafeCell::new([0; MAX_CPUS * STACK_STRIDE]));

/// The stacks for faults of the hypervisor.
#[unsafe(link_section = ".emergency_stacks")]
pub(crate) static EMERGENCY_STACKS: Stacks<{ MAX_CPUS * EMERGENCY_STACK_SIZE }> =
    Stacks(UnsafeCell::new([0; MAX_CPUS * EMERGENCY_STACK_SIZE]));

/// Returns each stack without its guard.
pub(crate) fn each_stack() -> impl Iterator<Item = Range<u64>> {
    unsafe extern "C" {
        static __boot_stack_start: u8;
    }
    // The symbol has an address only: nothing is read through it.
    let lowest = (&raw const __boot_stack_start).addr() as u64;
    // A handful of stacks within an image of a few hundred KiB: nothing wraps.
    let start = (&raw const STACKS).addr() as u64;
    (0..MAX_CPUS as u64).map(move |cpu| {
        let own = start.wrapping_add(cpu.wrapping_mul(STACK_STRIDE as u64));
        let below = if cpu == 0 { lowest } else { own };
        below.wrapping_add(GUARD_SIZE as u64)..own.wrapping_add(STACK_STRIDE as u64)
    })
}
