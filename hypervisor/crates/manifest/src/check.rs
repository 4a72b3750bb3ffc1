//! What must hold between a partition's manifest, the SPMC's and those of the other partitions.

use tantalum_types::{AddressSpace, Pa, PageRange, PartitionIndex};

use crate::error::{ManifestError, Name, name};
use crate::partition::PartitionManifest;
use crate::regions::DeviceInterrupt;
use crate::spmc::SpmcManifest;

/// Checks the manifest `candidate` of partition `index` against the SPMC's manifest and against those of the
/// partitions that were `accepted` before. An error is the fault of the candidate: the others can go on
/// without it.
///
/// # Errors
/// Says which field is wrong and what would be right.
pub fn check_partition<'a>(
    spmc: &SpmcManifest,
    index: PartitionIndex,
    accepted: impl IntoIterator<Item = &'a PartitionManifest>,
    candidate: &PartitionManifest,
) -> Result<(), ManifestError> {
    check_against_entry(spmc, index, candidate)?;
    check_memory(spmc, index, candidate)?;
    check_memory_regions(spmc, index, candidate)?;
    check_device_regions(spmc, candidate)?;
    for other in accepted {
        check_against_other(other, candidate)?;
    }
    Ok(())
}

/// Checks that the partition's manifest says what the SPMC's says about it.
fn check_against_entry(
    spmc: &SpmcManifest,
    index: PartitionIndex,
    candidate: &PartitionManifest,
) -> Result<(), ManifestError> {
    let entry = spmc.partitions.get(index.get()).ok_or(ManifestError::MissingNode("vm"))?;
    if candidate.id.is_some_and(|id| id != index.endpoint_id()) {
        return Err(ManifestError::OtherId { given: index.endpoint_id() });
    }
    if candidate.memory.start().raw() != entry.load_address {
        return Err(ManifestError::Contradiction { field: "load-address", spmc_field: "load_address" });
    }
    if candidate.memory.size() != entry.mem_size {
        return Err(ManifestError::Contradiction { field: "mem-size", spmc_field: "mem_size" });
    }
    if u32::try_from(candidate.context_count) != Ok(entry.context_count) {
        return Err(ManifestError::Contradiction { field: "execution-ctx-count", spmc_field: "vcpu_count" });
    }
    if candidate.context_count != 1 && candidate.context_count != spmc.cpus.len() {
        return Err(ManifestError::BadValue {
            node: name("/"),
            field: "execution-ctx-count",
            expected: "1 or the number of CPUs in the SPMC manifest",
        });
    }
    Ok(())
}

/// Checks that the partition's own memory may be given to it.
fn check_memory(
    spmc: &SpmcManifest,
    index: PartitionIndex,
    candidate: &PartitionManifest,
) -> Result<(), ManifestError> {
    let field = name("load-address");
    let memory = &candidate.memory;
    inside(&field, memory, &spmc.secure_memory, "a node of device_type \"memory\"")?;
    apart(&field, memory, &spmc.image, "the SPMC")?;
    // Of two partitions that were given the same memory, the one that comes later is at fault.
    for entry in spmc.partitions.iter().take(index.get()) {
        if let Ok(other) = entry.memory() {
            apart(&field, memory, &other, &entry.name)?;
        }
    }
    Ok(())
}

fn check_memory_regions(
    spmc: &SpmcManifest,
    index: PartitionIndex,
    candidate: &PartitionManifest,
) -> Result<(), ManifestError> {
    for (position, region) in candidate.memory_regions.iter().enumerate() {
        let range = &region.range;
        match range.start().space() {
            AddressSpace::Secure => {
                inside(&region.name, range, &spmc.secure_memory, "a node of device_type \"memory\"")?;
            }
            AddressSpace::NonSecure => {
                inside(&region.name, range, &spmc.non_secure_memory, "a node of device_type \"ns-memory\"")?;
            }
        }
        apart(&region.name, range, &spmc.image, "the SPMC")?;
        // A region may say more about part of the partition's own memory, or lie outside of it.
        if !candidate.memory.contains_range(range) {
            apart(&region.name, range, &candidate.memory, "part of the partition's own memory")?;
        }
        for other in candidate.memory_regions.iter().skip(position.saturating_add(1)) {
            apart(&region.name, range, &other.range, &other.name)?;
        }
        for (other, entry) in PartitionIndex::all().zip(&spmc.partitions) {
            if let Ok(memory) = entry.memory()
                && other != index
            {
                apart(&region.name, range, &memory, &entry.name)?;
            }
        }
    }
    Ok(())
}

fn check_device_regions(spmc: &SpmcManifest, candidate: &PartitionManifest) -> Result<(), ManifestError> {
    for (position, region) in candidate.device_regions.iter().enumerate() {
        inside(&region.name, &region.range, &spmc.device_memory, "a node of device_type \"device-memory\"")?;
        let targets = region.interrupts.iter().filter_map(|interrupt| interrupt.target);
        if targets.into_iter().any(|target| !spmc.cpus.contains(&target)) {
            return Err(ManifestError::BadValue {
                node: region.name.clone(),
                field: "interrupts-target",
                expected: "the MPIDR affinity of a CPU in the SPMC manifest",
            });
        }
        for other in candidate.device_regions.iter().skip(position.saturating_add(1)) {
            apart(&region.name, &region.range, &other.range, &other.name)?;
            if shares_interrupt(&region.interrupts, &other.interrupts) {
                let by = candidate.name.clone();
                return Err(ManifestError::Taken { field: "interrupts", by });
            }
        }
    }
    Ok(())
}

/// Checks that the partition takes nothing that another one has.
fn check_against_other(
    other: &PartitionManifest,
    candidate: &PartitionManifest,
) -> Result<(), ManifestError> {
    let taken = |field| ManifestError::Taken { field, by: other.name.clone() };
    if candidate.uuids.iter().any(|uuid| other.uuids.contains(uuid)) {
        return Err(taken("uuid"));
    }
    if candidate.boot_order.is_some() && candidate.boot_order == other.boot_order {
        return Err(taken("boot-order"));
    }
    apart(&name("load-address"), &candidate.memory, &other.memory, &other.name)?;
    for region in &candidate.memory_regions {
        for theirs in &other.memory_regions {
            apart(&region.name, &region.range, &theirs.range, &other.name)?;
        }
    }
    for theirs in &other.memory_regions {
        apart(&name("load-address"), &candidate.memory, &theirs.range, &other.name)?;
    }
    for region in &candidate.device_regions {
        for theirs in &other.device_regions {
            if region.exclusive || theirs.exclusive {
                apart(&region.name, &region.range, &theirs.range, &other.name)?;
            }
            if shares_interrupt(&region.interrupts, &theirs.interrupts) {
                return Err(taken("interrupts"));
            }
        }
    }
    Ok(())
}

fn shares_interrupt(ours: &[DeviceInterrupt], theirs: &[DeviceInterrupt]) -> bool {
    ours.iter().any(|interrupt| theirs.iter().any(|other| other.intid == interrupt.intid))
}

fn inside(
    field: &Name,
    range: &PageRange<Pa>,
    memory: &[PageRange<Pa>],
    expected: &'static str,
) -> Result<(), ManifestError> {
    if memory.iter().any(|memory| memory.contains_range(range)) {
        Ok(())
    } else {
        Err(ManifestError::Outside { field: field.clone(), range: *range, expected })
    }
}

fn apart(
    field: &Name,
    range: &PageRange<Pa>,
    other: &PageRange<Pa>,
    other_name: &str,
) -> Result<(), ManifestError> {
    if range.overlaps(other) {
        Err(ManifestError::Overlap { field: field.clone(), range: *range, other: name(other_name) })
    } else {
        Ok(())
    }
}
