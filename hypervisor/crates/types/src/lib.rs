//! Addresses, page ranges and identifiers that every crate of the hypervisor shares.
//!
//! An address never travels without its address space, a range is never empty and never wraps, and an
//! identifier is never just a number: what these types rule out need not be checked anywhere else.

#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::arithmetic_side_effects))]

mod address;
mod ids;
mod range;
mod registers;

pub use address::{Address, AddressSpace, Ipa, PAGE_SHIFT, PAGE_SIZE, Pa, Va};
pub use ids::{
    CpuIndex, EndpointId, MAX_CPUS, MAX_PARTITIONS, MAX_VCPUS, MAX_VMS, PartitionIndex, VcpuId, VcpuIndex,
    VmIndex, VmVcpuId,
};
pub use range::{PageRange, Pages, RangeError};
pub use registers::CallRegisters;
pub use uuid::Uuid;
