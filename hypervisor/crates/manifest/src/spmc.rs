//! The SPMC's own manifest (TOS_FW_CONFIG of TF-A).

use heapless::Vec;
use tantalum_types::{EndpointId, MAX_CPUS, MAX_PARTITIONS, Pa, PageRange};

use crate::error::{ManifestError, Name, name};

/// Bounds the ranges of each kind of memory.
pub const MAX_REGIONS: usize = 8;

/// Describes the machine and the partitions on it, as the firmware's builder laid them out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpmcManifest {
    /// The id of the SPMC, in `attribute/spmc_id`.
    pub id: EndpointId,
    /// The FF-A version that the SPMD was told, as FFA_VERSION encodes it: major in bits 30:16, minor in 15:0.
    pub ffa_version: u32,
    /// The memory that the SPMC itself occupies: `load_address` and `binary_size`, rounded up to a page.
    pub image: PageRange<Pa>,
    /// The address at which EL3 enters the SPMC, in `image`.
    pub entry_point: Pa,
    /// The partitions in order: the first is 0x8001.
    pub partitions: Vec<PartitionEntry, MAX_PARTITIONS>,
    /// The MPIDR affinity values of the processing elements, in order, without duplicates.
    pub cpus: Vec<u64, MAX_CPUS>,
    /// Secure RAM that the SPMC and the partitions may have.
    pub secure_memory: Vec<PageRange<Pa>, MAX_REGIONS>,
    /// RAM of the normal world.
    pub non_secure_memory: Vec<PageRange<Pa>, MAX_REGIONS>,
    /// Secure devices that partitions may claim.
    pub device_memory: Vec<PageRange<Pa>, MAX_REGIONS>,
}

/// Describes one partition as the SPMC manifest does, in `hypervisor/vmN`.
///
/// The numbers are as they were found: a fault in them is the fault of this partition only, and
/// [`PartitionEntry::memory`] and [`crate::check_partition`] find it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionEntry {
    /// The name, in `debug_name`.
    pub name: Name,
    /// The physical address that its package was loaded to, in `load_address`.
    pub load_address: u64,
    /// How much memory it has from there on, in bytes, in `mem_size`.
    pub mem_size: u64,
    /// The number of its execution contexts, in `vcpu_count`.
    pub context_count: u32,
}

impl PartitionEntry {
    /// Returns the memory of the partition.
    ///
    /// # Errors
    /// Says so if the address and the size do not make a range of pages.
    pub fn memory(&self) -> Result<PageRange<Pa>, ManifestError> {
        PageRange::from_size(Pa::secure(self.load_address), self.mem_size).map_err(|reason| {
            ManifestError::BadRange { node: name(&self.name), field: "load_address", reason }
        })
    }
}

impl SpmcManifest {
    /// Reads the manifest from the bytes of a flattened device tree; what follows the tree is ignored.
    ///
    /// # Errors
    /// Says which field is wrong and what would be right.
    pub fn parse(blob: &[u8]) -> Result<Self, ManifestError> {
        let _ = blob;
        Err(ManifestError::NotADeviceTree("it cannot be read yet"))
    }
}
