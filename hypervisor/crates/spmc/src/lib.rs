//! The Secure Partition Manager Core as a function from events to actions.
#![no_std]
