//! Secure Partition that relays direct messages.
#![no_std]
