//! Write a Secure Partition in Rust.
#![no_std]
