//! The Arm A-profile machine at EL2: entry, vectors, contexts, system registers.
//!
//! The crate turns an [`Action`](tantalum_hal::Action) of a hypervisor into instructions, and what the
//! processing element does next into an [`Event`](tantalum_hal::Event). It is the only crate with assembly, and
//! it knows no board: a board passes it memory maps and gives its entry code two symbols (see [`boot`]).
//!
//! Everything here runs at EL2 with HCR_EL2.E2H = 0, on one stack per processing element, with every interrupt masked.
//! Addresses are physical: virtual and physical addresses are the same numbers. `pe`, `context`, `trapped`, `timer` and
//! `gic` are of Secure EL2; [`vm`] is the hypervisor of virtual machines' side, at Non-secure EL2; the rest is for both.

#![no_std]

pub mod boot;
pub mod cache;
mod context;
mod fault;
pub mod gic;
pub mod layout;
pub mod memory;
pub mod pe;
pub mod smc;
pub mod stage1;
mod sysreg;
pub mod tables;
pub mod timer;
pub mod tlb;
mod trapped;
pub mod vm;

pub use fault::halt;
