//! What a stage-2 mapping allows, and what kind of memory it reaches.

use tantalum_types::Pa;

/// Says whether a partition may write a page; it may always read what is mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// Reads only.
    ReadOnly,
    /// Reads and writes.
    ReadWrite,
}

/// Says whether a partition may fetch instructions from a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Execute {
    /// Never, at neither EL1 nor EL0.
    Never,
    /// At EL1 and EL0.
    Allowed,
}

/// Names the kind of memory behind a page. Stage 1 can only make it stricter while HCR_EL2.FWB is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MemoryType {
    /// Normal memory, inner and outer write-back cacheable, inner shareable.
    Normal,
    /// Device-nGnRnE: every access happens once, in order, and is not merged.
    Device,
}

/// Describes a mapping but for its addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Attributes {
    /// Whether the partition may write.
    pub access: Access,
    /// Whether the partition may execute. Never for Non-secure and for device memory.
    pub execute: Execute,
    /// The kind of memory.
    pub memory: MemoryType,
}

impl Attributes {
    /// Describes a partition's own memory: read, write, execute; its stage 1 says more.
    pub const OWN_MEMORY: Self =
        Self { access: Access::ReadWrite, execute: Execute::Allowed, memory: MemoryType::Normal };
    /// Describes data that a partition may read and write.
    pub const DATA: Self =
        Self { access: Access::ReadWrite, execute: Execute::Never, memory: MemoryType::Normal };
    /// Describes data that a partition may only read.
    pub const READ_ONLY_DATA: Self =
        Self { access: Access::ReadOnly, execute: Execute::Never, memory: MemoryType::Normal };
    /// Describes the registers of a device.
    pub const DEVICE: Self =
        Self { access: Access::ReadWrite, execute: Execute::Never, memory: MemoryType::Device };
}

/// Names what an intermediate physical address is mapped to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// The physical address behind the address that was asked for, offset in the page included.
    pub pa: Pa,
    /// What the mapping allows.
    pub attributes: Attributes,
}
