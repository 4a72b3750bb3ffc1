//! The QEMU virt board: addresses and devices.
//!
//! The machine is `-M virt,secure=on,virtualization=on,gic-version=3` as TF-A's `qemu` port divides it. [`vm`] is the
//! normal world's part of it; all else is the Secure world's.

#![no_std]

mod board;
pub mod console;
mod interrupts;
mod platform;
mod serial;
pub mod vm;

pub use board::{WrongMemory, cpu_index, secure_regions, spmc_manifest};
pub use platform::QemuVirt;
