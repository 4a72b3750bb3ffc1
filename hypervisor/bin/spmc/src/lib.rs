//! The SPMC as TF-A's BL32 on QEMU virt.
#![no_std]
