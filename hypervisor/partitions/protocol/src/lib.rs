//! The messages that the test partitions answer.
#![no_std]
