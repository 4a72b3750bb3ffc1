//! The SPMC's own manifest (TOS_FW_CONFIG of TF-A).

use heapless::Vec;
use tantalum_types::{AddressSpace, EndpointId, MAX_CPUS, MAX_PARTITIONS, PAGE_SIZE, Pa, PageRange};

use crate::error::{ManifestError, Name, name};
use crate::tree::{Fields, Node, Tree};

/// Bounds the ranges of each kind of memory.
pub const MAX_REGIONS: usize = 8;

const COMPATIBLE: &str = "arm,ffa-core-manifest-1.0";

/// Holds the bits of MPIDR_EL1 that name a processing element: Aff3 in 39:32, Aff2 to Aff0 in 23:0.
const MPIDR_AFFINITY: u64 = 0xff_00ff_ffff;

const VM_NAMES: [&str; 8] = ["vm1", "vm2", "vm3", "vm4", "vm5", "vm6", "vm7", "vm8"];

const ROOT: Fields =
    Fields { properties: &["compatible", "#address-cells", "#size-cells"], nodes: &[], unserved: &[] };
const ATTRIBUTE: Fields = Fields {
    properties: &["spmc_id", "maj_ver", "min_ver", "exec_state", "load_address", "entrypoint", "binary_size"],
    nodes: &[],
    unserved: &[],
};
const HYPERVISOR: Fields = Fields {
    properties: &["compatible"],
    nodes: &[],
    unserved: &[("ffa_tee_enabled", "it is for a hypervisor of the normal world; remove it")],
};
const VM: Fields = Fields {
    properties: &["is_ffa_partition", "debug_name", "load_address", "vcpu_count", "mem_size"],
    nodes: &[],
    unserved: &[
        ("smc_whitelist", "a partition calls the SPMC only, and nothing is passed on to EL3; remove it"),
        (
            "smc_whitelist_permissive",
            "a partition calls the SPMC only, and nothing is passed on to EL3; remove it",
        ),
    ],
};
const CPUS: Fields = Fields { properties: &["#address-cells", "#size-cells"], nodes: &[], unserved: &[] };
const CPU: Fields =
    Fields { properties: &["device_type", "reg", "enable-method", "compatible"], nodes: &[], unserved: &[] };
const MEMORY: Fields = Fields { properties: &["device_type", "reg"], nodes: &[], unserved: &[] };

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
        let tree = Tree::new(blob)?;
        let root = tree.root()?;
        root.check_properties(&ROOT)?;
        if root.text("compatible")? != Some(COMPATIBLE) {
            return Err(ManifestError::NotCompatible { expected: COMPATIBLE });
        }
        for field in ["#address-cells", "#size-cells"] {
            if root.required_cell(field)? != 2 {
                return Err(root.bad(field, "2, so that a number in \"reg\" has 64 bits"));
            }
        }
        let mut manifest = Self::parse_attribute(&child(&root, "attribute")?)?;
        manifest.partitions = parse_hypervisor(&child(&root, "hypervisor")?)?;
        manifest.cpus = parse_cpus(&child(&root, "cpus")?)?;
        for node in root.children() {
            match node.name() {
                "attribute" | "hypervisor" | "cpus" => {}
                memory if memory.starts_with("memory@") => manifest.add_memory(&node)?,
                other if other.starts_with("interrupt-controller") => {
                    return Err(ManifestError::Unsupported {
                        node: root.label(),
                        field: "interrupt-controller",
                        instead: "the SPMC is built for its board and knows where the GIC is; remove it",
                    });
                }
                other => {
                    return Err(ManifestError::UnknownField { node: root.label(), field: name(other) });
                }
            }
        }
        manifest.check()?;
        Ok(manifest)
    }

    /// Reads what EL3 reads as well.
    fn parse_attribute(node: &Node<'_, '_>) -> Result<Self, ManifestError> {
        node.check_fields(&ATTRIBUTE)?;
        if node.required_cell("spmc_id")? != u32::from(EndpointId::SPMC.raw()) {
            return Err(node.bad("spmc_id", "0x8000"));
        }
        let (major, minor) = (node.required_cell("maj_ver")?, node.required_cell("min_ver")?);
        if major != 1 {
            return Err(node.bad("maj_ver", "1"));
        }
        let minor = u16::try_from(minor).map_err(|_| node.bad("min_ver", "a minor version of FF-A"))?;
        if node.required_cell("exec_state")? != 0 {
            return Err(node.bad("exec_state", "0 (AArch64)"));
        }
        let load_address = Pa::secure(node.required_number("load_address")?);
        let size = node
            .required_number("binary_size")?
            .checked_next_multiple_of(PAGE_SIZE)
            .ok_or_else(|| node.bad("binary_size", "a number of bytes below 2^48"))?;
        let image = PageRange::from_size(load_address, size).map_err(|reason| ManifestError::BadRange {
            node: node.label(),
            field: "load_address",
            reason,
        })?;
        let entry_point = Pa::secure(node.required_number("entrypoint")?);
        if !image.contains(entry_point) {
            return Err(node.bad("entrypoint", "an address from load_address on within binary_size"));
        }
        Ok(Self {
            id: EndpointId::SPMC,
            ffa_version: 1 << 16 | u32::from(minor),
            image,
            entry_point,
            partitions: Vec::new(),
            cpus: Vec::new(),
            secure_memory: Vec::new(),
            non_secure_memory: Vec::new(),
            device_memory: Vec::new(),
        })
    }

    /// Reads the ranges of a node of memory or of devices.
    fn add_memory(&mut self, node: &Node<'_, '_>) -> Result<(), ManifestError> {
        node.check_fields(&MEMORY)?;
        let (space, regions) = match node.required_text("device_type")? {
            "memory" => (AddressSpace::Secure, &mut self.secure_memory),
            "ns-memory" => (AddressSpace::NonSecure, &mut self.non_secure_memory),
            "device-memory" => (AddressSpace::Secure, &mut self.device_memory),
            "ns-device-memory" => {
                return Err(ManifestError::Unsupported {
                    node: node.label(),
                    field: "ns-device-memory",
                    instead: "partitions can have Secure devices only; remove the node",
                });
            }
            _ => {
                return Err(node.bad("device_type", "\"memory\", \"ns-memory\" or \"device-memory\""));
            }
        };
        let mut cells = node.cells("reg", 4, "pairs of a 64-bit address and a 64-bit size")?;
        let mut found = false;
        while let (Some(start), Some(size)) = (pair(&mut cells), pair(&mut cells)) {
            found = true;
            let range = PageRange::from_size(Pa::new(space, start), size)
                .map_err(|reason| ManifestError::BadRange { node: node.label(), field: "reg", reason })?;
            regions.push(range).map_err(|_| ManifestError::TooMany { field: "reg", limit: MAX_REGIONS })?;
        }
        if found { Ok(()) } else { Err(node.missing("reg")) }
    }

    /// Checks how the parts fit together.
    fn check(&self) -> Result<(), ManifestError> {
        if !self.secure_memory.iter().any(|memory| memory.contains_range(&self.image)) {
            return Err(ManifestError::Outside {
                field: name("load_address"),
                range: self.image,
                expected: "a node of device_type \"memory\"",
            });
        }
        let secure = self.secure_memory.iter().map(|range| ("memory", range));
        let non_secure = self.non_secure_memory.iter().map(|range| ("ns-memory", range));
        let devices = self.device_memory.iter().map(|range| ("device-memory", range));
        let all = secure.chain(non_secure).chain(devices);
        for (position, (kind, range)) in all.clone().enumerate() {
            for (other_kind, other) in all.clone().skip(position.saturating_add(1)) {
                // Both worlds may reach the same RAM by the same number, so the spaces do not count here.
                if range.start().raw() < other.end() && other.start().raw() < range.end() {
                    let (field, range, other) = (name(kind), *range, name(other_kind));
                    return Err(ManifestError::Overlap { field, range, other });
                }
            }
        }
        Ok(())
    }
}

/// Reads `hypervisor/vmN`, N from 1 on without a gap.
fn parse_hypervisor(node: &Node<'_, '_>) -> Result<Vec<PartitionEntry, MAX_PARTITIONS>, ManifestError> {
    node.check_properties(&HYPERVISOR)?;
    if node.children().count() > MAX_PARTITIONS {
        return Err(ManifestError::TooMany { field: "vm", limit: MAX_PARTITIONS });
    }
    for child in node.children() {
        if !VM_NAMES.contains(&child.name()) {
            return Err(ManifestError::UnknownField { node: node.label(), field: child.label() });
        }
        if node.children().filter(|other| other.name() == child.name()).count() > 1 {
            return Err(ManifestError::Twice { node: node.label(), field: child.label() });
        }
    }
    let mut entries = Vec::new();
    for (vm_name, _) in VM_NAMES.into_iter().zip(node.children()) {
        let vm = node.child(vm_name).ok_or(ManifestError::MissingNode(vm_name))?;
        vm.check_fields(&VM)?;
        if !vm.flag("is_ffa_partition")? {
            return Err(vm.missing("is_ffa_partition"));
        }
        let entry = PartitionEntry {
            name: name(vm.required_text("debug_name")?),
            load_address: vm.required_number("load_address")?,
            mem_size: vm.required_number("mem_size")?,
            context_count: vm.required_cell("vcpu_count")?,
        };
        // There are as many places as names.
        let _ = entries.push(entry);
    }
    Ok(entries)
}

/// Reads the affinities of the processing elements.
fn parse_cpus(node: &Node<'_, '_>) -> Result<Vec<u64, MAX_CPUS>, ManifestError> {
    node.check_properties(&CPUS)?;
    if node.required_cell("#address-cells")? != 2 {
        return Err(node.bad("#address-cells", "2, so that \"reg\" of a CPU has 64 bits"));
    }
    if node.required_cell("#size-cells")? != 0 {
        return Err(node.bad("#size-cells", "0: a CPU has no size"));
    }
    let mut cpus = Vec::new();
    for cpu in node.children() {
        if !cpu.name().starts_with("cpu@") {
            return Err(ManifestError::UnknownField { node: node.label(), field: cpu.label() });
        }
        cpu.check_fields(&CPU)?;
        if cpu.text("device_type")? != Some("cpu") {
            return Err(cpu.bad("device_type", "\"cpu\""));
        }
        let mut cells = cpu.cells("reg", 2, "one 64-bit MPIDR affinity")?;
        let mpidr = pair(&mut cells).ok_or_else(|| cpu.missing("reg"))?;
        if cells.next().is_some() || mpidr & !MPIDR_AFFINITY != 0 {
            return Err(cpu.bad("reg", "the four affinity fields of one MPIDR, the other bits 0"));
        }
        if cpus.contains(&mpidr) {
            return Err(cpu.bad("reg", "another affinity than that of the other CPUs"));
        }
        cpus.push(mpidr).map_err(|_| ManifestError::TooMany { field: "cpu", limit: MAX_CPUS })?;
    }
    if cpus.is_empty() { Err(ManifestError::MissingNode("cpu@0")) } else { Ok(cpus) }
}

fn child<'b, 'a: 'b>(root: &Node<'b, 'a>, name: &'static str) -> Result<Node<'b, 'a>, ManifestError> {
    if root.children().filter(|child| child.name() == name).count() > 1 {
        return Err(ManifestError::Twice { node: root.label(), field: crate::error::name(name) });
    }
    root.child(name).ok_or(ManifestError::MissingNode(name))
}

/// Takes a number of two cells.
fn pair(cells: &mut impl Iterator<Item = u32>) -> Option<u64> {
    let high = u64::from(cells.next()?);
    let low = u64::from(cells.next()?);
    Some(high << 32 | low)
}
