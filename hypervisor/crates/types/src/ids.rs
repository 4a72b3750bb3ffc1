//! Identifiers of endpoints, partitions, execution contexts and processing elements.

use core::fmt;

/// Bounds the number of Secure Partitions: 8, as in TF-A's loader, or fewer in an image that knows which it is for.
///
/// Most of the SPMC's memory is theirs, so what builds such an image says how many they are, by a digit in the variable
/// `TANTALUM_PARTITIONS`.
pub const MAX_PARTITIONS: usize = match option_env!("TANTALUM_PARTITIONS") {
    Some(text) => match text.as_bytes() {
        [digit @ b'1'..=b'8'] => (*digit & 0xf) as usize,
        _ => panic!("TANTALUM_PARTITIONS is not a digit from 1 to 8"),
    },
    None => 8,
};

/// Bounds the number of execution contexts of a partition, one for each processing element.
pub const MAX_VCPUS: usize = 8;

/// Bounds the number of virtual machines.
pub const MAX_VMS: usize = 8;

/// Bounds the number of processing elements.
pub const MAX_CPUS: usize = 8;

/// Names an FF-A endpoint or component by its 16-bit id (FF-A 1.1, section 6.1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointId(u16);

impl EndpointId {
    /// Names the hypervisor of the normal world, or its OS kernel where there is no hypervisor.
    pub const HYPERVISOR: Self = Self(0);
    /// Names the SPMC.
    pub const SPMC: Self = Self(0x8000);
    /// Names the SPMD in EL3.
    pub const SPMD: Self = Self(0xffff);

    /// Names the endpoint with the id `id`.
    pub const fn new(id: u16) -> Self {
        Self(id)
    }

    /// Returns the id as the ABI carries it.
    pub const fn raw(self) -> u16 {
        self.0
    }

    /// Tells whether the id belongs to the Secure world: its bit 15 is set.
    pub const fn is_secure(self) -> bool {
        self.0 & 0x8000 != 0
    }
}

impl fmt::Debug for EndpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for EndpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#06x}", self.0)
    }
}

macro_rules! bounded_index {
    ($(#[$doc:meta])* $name:ident, $limit:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u8);

        impl $name {
            /// Is the index 0.
            pub const FIRST: Self = Self(0);

            /// Builds the index, or `None` if it is not below the compiled-in maximum.
            pub const fn new(index: usize) -> Option<Self> {
                if index < $limit {
                    // The maximum is below 256.
                    #[allow(clippy::cast_possible_truncation)]
                    Some(Self(index as u8))
                } else {
                    None
                }
            }

            /// Returns the index as a number below the compiled-in maximum.
            pub const fn get(self) -> usize {
                self.0 as usize
            }

            /// Returns the index as the ABI carries it.
            pub const fn as_u16(self) -> u16 {
                self.0 as u16
            }

            /// Yields every index in ascending order.
            pub fn all() -> impl Iterator<Item = Self> {
                (0..$limit).filter_map(Self::new)
            }
        }
    };
}

bounded_index! {
    /// Counts Secure Partitions in the order of the SPMC manifest, from 0.
    PartitionIndex, MAX_PARTITIONS
}

bounded_index! {
    /// Counts the execution contexts of one partition, from 0 (FF-A 1.1, section 4.6).
    VcpuIndex, MAX_VCPUS
}

bounded_index! {
    /// Counts virtual machines in the order of their manifest, from 0.
    VmIndex, MAX_VMS
}

bounded_index! {
    /// Counts processing elements by their linear core id, from 0.
    CpuIndex, MAX_CPUS
}

impl PartitionIndex {
    /// Returns the endpoint id of the partition: 0x8001 for the first.
    pub const fn endpoint_id(self) -> EndpointId {
        EndpointId(0x8001_u16.wrapping_add(self.as_u16()))
    }
}

impl EndpointId {
    /// Returns the index of the partition that has this id, if the id is one that a partition can have.
    pub const fn partition_index(self) -> Option<PartitionIndex> {
        match self.0.checked_sub(0x8001) {
            Some(index) => PartitionIndex::new(index as usize),
            None => None,
        }
    }
}

/// Names one execution context of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VcpuId {
    /// The partition that the execution context belongs to.
    pub partition: PartitionIndex,
    /// The execution context within the partition.
    pub index: VcpuIndex,
}

/// Names one virtual CPU of one virtual machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VmVcpuId {
    /// The virtual machine that the virtual CPU belongs to.
    pub vm: VmIndex,
    /// The virtual CPU within the virtual machine.
    pub index: VcpuIndex,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partition_ids_start_behind_the_spmc() {
        let ids: [u16; 3] = [0x8001, 0x8002, 0x8003];
        assert!(PartitionIndex::all().take(3).map(|p| p.endpoint_id().raw()).eq(ids));
    }

    #[test]
    fn only_partition_ids_name_partitions() {
        for id in 0..=u16::MAX {
            let id = EndpointId::new(id);
            match id.partition_index() {
                Some(index) => assert_eq!(index.endpoint_id(), id),
                None => assert!(id.raw() <= 0x8000 || id.raw() > 0x8008),
            }
        }
    }

    #[test]
    fn an_index_stays_below_its_maximum() {
        assert!(CpuIndex::new(MAX_CPUS).is_none());
        assert_eq!(CpuIndex::all().count(), MAX_CPUS);
    }
}
