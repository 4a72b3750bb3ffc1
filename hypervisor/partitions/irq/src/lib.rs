//! Secure Partition that owns a secure interrupt.
#![no_std]
