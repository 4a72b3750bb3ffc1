//! The hypervisor of virtual machines, at NS-EL2, as a function from events to actions.
//!
//! It touches the machine only through `tantalum_hal::vm`, so all of it runs on the host as well.
//!
//! | module | what lives there |
//! |---|---|
//! | [`vmm`] | the hypervisor itself: where events arrive, how virtual machines begin and end |
//! | `cpu`, `scheduler` | what a processing element is at, and what it runs |
//! | [`vm`], [`vcpu`] | a virtual machine and its virtual CPUs |
//! | `trap_handlers` | what becomes of calls, and of accesses to devices and system registers |
//! | [`psci`], [`traps`], [`mmio`], [`layout`] | what there is to call and to reach |
//! | `timer`, `clock`, `console` | time, and what is shown and typed |
//! | [`load`], [`image`], [`device_tree`], [`fdt`], [`memory`] | what a virtual machine finds in its memory |
//! | [`vgic`] | the interrupt controller of a virtual machine: distributor, redistributors, list registers |
//! | [`devices`] | emulated devices without queues: the serial port and the clock |
//! | [`ffa`], `partitions` | FF-A calls of virtual machines, relayed to the SPMC |
//! | `virtio_devices`, `disk` | the virtio devices of virtual machines, and what is behind them |
//! | [`virtio`] | devices with queues: disks, networks, consoles, random numbers |
//! | [`vswitch`] | the network between virtual machines |
//!
//! # Locks
//!
//! | lock | of | what it guards | who holds it may take |
//! |---|---|---|---|
//! | `Vmm::buffer` | all | memory to copy through | `Vm::progress` |
//! | `Vm::progress` | a virtual machine | how much of it is loaded | none |
//! | those of virtio devices | a virtual machine | a device and its line | those of `vgic`, `Vmm::network`, those of disks |
//! | `Vmm::network` | all | the switch | none |
//! | those of disks | all | a block device of the machine | none |
//! | `Vm::uart`, `Vm::clock` | a virtual machine | a device and its line | those of `vgic`, `Console::typed` |
//! | those of `vgic` | a virtual machine | see [`vgic`] | see there |
//! | `Console::typed` | all | what was typed | none |
//! | `Vm::stage2` | a virtual machine | its translation | `Vmm::tables` |
//! | `Vmm::tables` | all | the pages for translation tables | none |
//! | `Relay::vms` | a virtual machine | its FF-A buffers and transactions | `Relay::own`, `Vm::stage2` |
//! | `Relay::own` | all | the hypervisor's own buffers | `Relay::turns`, `Vm::stage2` |
//! | `GuestMemory::taken` | a virtual machine | what it has lent | `Vm::stage2` |
//! | `Relay::turns` | all | what partitions are at | none |
//! | `Vcpu::next` | a virtual CPU | how it goes on | none |
//!
//! Kicks are sent and virtual CPUs are woken while none is held.

#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::arithmetic_side_effects, clippy::cast_possible_truncation))]

#[cfg(test)]
extern crate std;

pub mod clock;
pub mod console;
mod cpu;
pub mod device_tree;
pub mod devices;
mod disk;
pub mod fdt;
pub mod ffa;
pub mod image;
pub mod layout;
pub mod load;
pub mod memory;
pub mod mmio;
mod partitions;
pub mod psci;
mod scheduler;
pub mod timer;
mod trap_handlers;
pub mod traps;
pub mod vcpu;
pub mod vgic;
pub mod virtio;
mod virtio_devices;
pub mod vm;
pub mod vmm;
pub mod vswitch;

pub use cpu::Cpu;
pub use vmm::{TABLE_PAGES, Vmm};
