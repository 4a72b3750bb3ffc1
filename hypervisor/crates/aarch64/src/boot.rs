//! From the firmware's jump to the image to Rust code with the MMU and the caches on.
//!
//! The firmware enters the first processing element at the start of the image with the MMU off and the address of a
//! device tree in x0, TF-A that of the SPMC manifest, and the others, each time they are turned on, where
//! [`warm_entry`] says. What an image has to define:
//!
//! | symbol | what it is |
//! |---|---|
//! | `tantalum_cpu_index` | assembly that returns the index of this processing element in x0 and changes nothing but x0, x1 and the flags; an index of `MAX_CPUS` or more says that the element is one too many |
//! | `tantalum_early_map` | `extern "C" fn() -> bool`, which calls [`stage1::build`]; it runs with the MMU off and so must not use atomic operations or the zeroed data |
//! | `tantalum_cold_main` | `extern "C" fn(tree: u64, cpu: usize) -> !` |
//! | `tantalum_warm_main` | `extern "C" fn(cpu: usize) -> !` |
//! | `tantalum_refusal` | absolute symbol: the function id of the SMC, with zero in x1 and -1 in x2, by which an element says that it cannot go on. To FFA_ERROR, NOT_SUPPORTED, TF-A goes on without the SPMC on that element |

use core::arch::global_asm;

use tantalum_types::MAX_CPUS;

use crate::{layout, stage1};

global_asm!(
    include_str!("entry.S"),
    MAX_CPUS = const MAX_CPUS,
    STACKS = sym layout::STACKS,
    STACK_STRIDE = const layout::STACK_STRIDE,
    STACK_SIZE = const layout::STACK_SIZE,
    MAIR = const stage1::MAIR,
    TCR = const stage1::TCR,
    SCTLR = const stage1::SCTLR,
    TABLES = sym stage1::TABLES,
    TABLES_SIZE = const size_of::<stage1::Tables>(),
);

/// Returns the address at which the firmware shall enter processing elements that are turned on later.
pub fn warm_entry() -> u64 {
    unsafe extern "C" {
        static tantalum_warm_entry: u8;
    }
    (&raw const tantalum_warm_entry).addr() as u64
}
