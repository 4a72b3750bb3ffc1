//! The hypervisor of virtual machines, at NS-EL2, as a function from events to actions.
//!
//! It touches the machine only through `tantalum_hal::vm`, so all of it runs on the host as well.
//!
//! | module | what lives there |
//! |---|---|
//! | [`vgic`] | the interrupt controller of a virtual machine: distributor, redistributors, list registers |
//! | [`devices`] | emulated devices without queues: the serial port and the clock |

#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::arithmetic_side_effects, clippy::cast_possible_truncation))]

#[cfg(test)]
extern crate std;

pub mod devices;
pub mod vgic;
