//! The QEMU virt board: addresses and devices.
#![no_std]
