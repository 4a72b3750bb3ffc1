//! Secure Partition that echoes direct messages.
#![no_std]
