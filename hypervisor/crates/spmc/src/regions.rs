//! The memory and device regions that a partition's manifest asks for, in its stage 2.
//!
//! Where they may lie, and that no two partitions have the same, is checked by `tantalum_manifest` before.

use tantalum_hal::{TableMemory, Tlb};
use tantalum_manifest::{Name, PartitionManifest, RegionAttributes};
use tantalum_stage2::{Access, Attributes, Execute, MemoryType, Stage2, TablePool};
use tantalum_types::AddressSpace;

use crate::partition::{PartitionError, TABLE_PAGES};

/// Maps the regions of `manifest`, whose own memory is mapped already, each at its physical address: Secure ones
/// in `secure`, Non-secure ones in `non_secure`. A region in the partition's own memory narrows what may be done
/// there.
///
/// # Errors
/// Names the region that cannot be mapped: too few table pages are left, or it lies beyond what a partition can
/// address.
pub(crate) fn map_regions(
    manifest: &PartitionManifest,
    secure: &mut Stage2,
    non_secure: &mut Stage2,
    pool: &mut TablePool<TABLE_PAGES>,
    platform: &(impl TableMemory + Tlb),
) -> Result<(), PartitionError> {
    for region in &manifest.memory_regions {
        let attributes = attributes(region.attributes, MemoryType::Normal);
        let ipa = region.range.to_identical_ipa();
        let table = match region.range.start().space() {
            AddressSpace::Secure => &mut *secure,
            AddressSpace::NonSecure => &mut *non_secure,
        };
        let done = if manifest.memory.contains_range(&region.range) {
            table.protect(ipa, attributes, pool, platform, platform)
        } else {
            table.map(ipa, region.range, attributes, pool, platform, platform)
        };
        done.map_err(in_region(&region.name))?;
    }
    for region in &manifest.device_regions {
        let attributes = attributes(region.attributes, MemoryType::Device);
        secure
            .map(region.range.to_identical_ipa(), region.range, attributes, pool, platform, platform)
            .map_err(in_region(&region.name))?;
    }
    Ok(())
}

fn in_region(name: &Name) -> impl FnOnce(tantalum_stage2::Stage2Error) -> PartitionError {
    let name = name.clone();
    |error| PartitionError::Region { name, error }
}

fn attributes(allowed: RegionAttributes, memory: MemoryType) -> Attributes {
    Attributes {
        access: if allowed.write { Access::ReadWrite } else { Access::ReadOnly },
        execute: if allowed.execute { Execute::Allowed } else { Execute::Never },
        memory,
    }
}
