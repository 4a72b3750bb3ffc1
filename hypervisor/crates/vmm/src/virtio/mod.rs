//! Virtio devices of a virtual machine (Virtual I/O Device, version 1.2).
//!
//! A device is a state that is told of accesses to its registers and then asked to work: `write` says whether there is
//! work, `run` does a bounded part of it, `interrupt` says how its interrupt line is. Guest memory, the backend and the
//! budget are arguments of `run`; no device keeps them.
//!
//! What a driver does wrong reaches its own device only: the device sets DEVICE_NEEDS_RESET, and does nothing more until
//! the driver resets it. Nothing in guest memory is read twice.
//!
//! | module | what lives there |
//! |---|---|
//! | `memory` | what a device asks of guest memory, and in which order accesses are seen |
//! | `budget` | how much a device may do at a time |
//! | `queue`, `chain` | split virtqueues (section 2.7): rings, and chains of descriptors |
//! | `transport`, `status` | the registers of section 4.2.2, and the device's life |
//! | `blk`, `net`, `console`, `entropy` | the devices of sections 5.2, 5.1, 5.3 and 5.4 |
//! | `ram_disk` | a disk in a range of physical memory |

mod blk;
mod budget;
mod chain;
mod console;
mod entropy;
mod memory;
mod net;
mod queue;
mod ram_disk;
mod status;
mod transport;

#[cfg(test)]
mod tests;

pub use blk::{
    BLOCK_REQUESTS, Block, BlockBackend, BlockConfig, IDENTIFIER_LENGTH, IoError, Operation, SECTOR_SIZE,
    Submitted,
};
pub use budget::{Budget, Progress};
pub use console::{Console, ConsoleBackend};
pub use entropy::{Entropy, EntropySource};
pub use memory::{GuestMemory, OutOfMemory};
pub(crate) use net::{ETHERNET_HEADER, FRAME_MAX};
pub use net::{Net, NetPort};
pub use ram_disk::RamDisk;
pub use transport::{REGISTERS_SIZE, absent};
