//! Where the image's parts lie, as its linker script says.
//!
//! The linker script of an image defines these symbols, each part starting on a page of its own:
//! `__text_start`, `__text_end`, `__rodata_start`, `__rodata_end`, `__data_start` (initialised and zeroed data,
//! stage-1 tables and emergency stacks), `__data_end`, `__bss_start`, `__bss_end`, `__stacks_start`,
//! `__image_end`.

use core::ops::Range;

use tantalum_types::{MAX_CPUS, PAGE_SIZE};

/// Counts the bytes of a stack. A multiple of a page, because the page below it is its guard.
pub const STACK_SIZE: usize = 0x4000;

/// Counts the bytes from one stack to the next: a stack and the guard page below it.
pub const STACK_STRIDE: usize = STACK_SIZE + GUARD_SIZE;

/// Counts the bytes below a stack that are never mapped, so that an overflow faults at once.
pub const GUARD_SIZE: usize = 0x1000;

/// Counts the bytes of the stack on which a fault of the hypervisor itself is reported.
pub(crate) const EMERGENCY_STACK_SIZE: usize = 0x800;

const _: () = assert!(STACK_SIZE as u64 % PAGE_SIZE == 0 && GUARD_SIZE as u64 == PAGE_SIZE);

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
    /// Returns the stacks with the guard pages below them.
    stacks, __stacks_start, __image_end
}
part! {
    /// Returns the whole image.
    image, __text_start, __image_end
}

/// Returns each stack without its guard.
pub fn each_stack() -> impl Iterator<Item = Range<u64>> {
    let start = stacks().start;
    (0..MAX_CPUS as u64).map(move |cpu| {
        // A handful of stacks within an image of a few hundred KiB: nothing wraps.
        let bottom = start.wrapping_add(cpu.wrapping_mul(STACK_STRIDE as u64)).wrapping_add(GUARD_SIZE as u64);
        bottom..bottom.wrapping_add(STACK_SIZE as u64)
    })
}
