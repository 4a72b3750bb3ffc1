//! Device trees turned into validated, typed configuration.
//!
//! The SPMC reads three things at boot: its own manifest, the header of each partition's package, and the
//! partition's manifest in it. The hypervisor of virtual machines reads one, [`VmsManifest`]. Whatever is wrong with one of them becomes a [`ManifestError`] that names the
//! field and says what would be right. A field that is not known is an error as well, so that a typing error
//! cannot silently switch a restriction off.

#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::arithmetic_side_effects, clippy::cast_possible_truncation))]

#[cfg(test)]
extern crate std;

mod check;
mod error;
mod machine;
mod package;
mod partition;
mod regions;
mod services;
mod spmc;
mod tree;
mod validate;
mod vm;
mod vm_device;

pub use check::check_partition;
pub use error::{ManifestError, Name};
pub use machine::machine_memory;
pub use package::Package;
pub use partition::{
    AbortAction, ManagedExitLine, NsInterruptsAction, OtherSecureInterruptsAction, PartitionManifest,
    SriPolicy, VmAvailability,
};
pub use regions::{
    DeviceInterrupt, DeviceRegion, MAX_DEVICE_REGIONS, MAX_INTERRUPTS, MAX_MEMORY_REGIONS, MemoryRegion,
    RegionAttributes, RxTxBuffers,
};
pub use services::{MAX_UUIDS, Messaging};
pub use spmc::{MAX_REGIONS, PartitionEntry, SpmcManifest};
pub use vm::{FileRange, MAX_BOOTARGS, MAX_VIRTIO_DEVICES, MEMORY_UNIT, VmManifest, VmsManifest};
pub use vm_device::{BlockBackend, MAX_PORTS, PortLimit, VirtioDevice};
