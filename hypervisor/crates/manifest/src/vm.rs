//! The manifest of the virtual machines, which describes all that a machine runs.

use heapless::{String, Vec};
use tantalum_types::{CpuIndex, MAX_VCPUS, MAX_VMS, Pa, PageRange};

use crate::error::{ManifestError, Name, name};
use crate::tree::{Fields, Node, Tree};
use crate::vm_device::{VirtioDevice, check_devices};

/// Bounds the virtio devices of a virtual machine.
pub const MAX_VIRTIO_DEVICES: usize = 8;

/// Bounds the bytes of a kernel's command line.
pub const MAX_BOOTARGS: usize = 512;

/// Is what the memory of a virtual machine is counted in, in bytes: blocks of it need no table of level 3.
pub const MEMORY_UNIT: u64 = 0x20_0000;

/// Bounds the memory of a virtual machine in bytes: with more, it would not fit into the 39 bits of its addresses.
const MAX_MEMORY: u64 = 1 << 38;

const COMPATIBLE: &str = "tantalum,vms";

const ROOT: Fields = Fields { properties: &["compatible", "memory-pool"], nodes: &[], unserved: &[] };
const VM: Fields = Fields {
    properties: &["compatible", "cpus", "memory-size", "terminal", "kernel", "initramfs", "bootargs"],
    nodes: &[],
    unserved: &[],
};

/// Describes all virtual machines of a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VmsManifest {
    /// The memory that the virtual machines get theirs from.
    pub memory_pool: PageRange<Pa>,
    /// The virtual machines in order. There is at least one.
    pub vms: Vec<VmManifest, MAX_VMS>,
}

/// Describes a virtual machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VmManifest {
    /// Its name, at most 15 characters.
    pub name: Name,
    /// For each virtual CPU, the CPU that runs it. There is at least one.
    pub cpus: Vec<CpuIndex, MAX_VCPUS>,
    /// Its memory, part of the pool: it begins and ends at a multiple of [`MEMORY_UNIT`].
    pub memory: PageRange<Pa>,
    /// Whether the machine's serial port is its.
    pub terminal: bool,
    /// Where its kernel lies, an Image of Linux.
    pub kernel: FileRange,
    /// Where its initial file system lies, if it has one.
    pub initramfs: Option<FileRange>,
    /// The command line of its kernel.
    pub bootargs: String<MAX_BOOTARGS>,
    /// Its virtio devices in the order of their addresses.
    pub devices: Vec<VirtioDevice, MAX_VIRTIO_DEVICES>,
}

/// Says where a file lies in memory: at least one byte, below 2^48.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileRange {
    /// The first byte.
    pub start: Pa,
    /// How many bytes.
    pub size: u64,
}

impl FileRange {
    /// Returns the number of the first byte behind it.
    pub const fn end(&self) -> u64 {
        // The parser bounds the sum, so saturating never happens.
        self.start.raw().saturating_add(self.size)
    }

    /// Tells whether it has a byte in common with `other`.
    pub const fn overlaps(&self, other: &Self) -> bool {
        self.start.raw() < other.end() && other.start.raw() < self.end()
    }

    /// Tells whether it has a byte in common with the pages of `range`.
    pub fn touches(&self, range: &PageRange<Pa>) -> bool {
        self.start.raw() < range.end() && range.start().raw() < self.end()
    }
}

impl VmsManifest {
    /// Reads the manifest from the bytes of a flattened device tree; what follows the tree is ignored.
    ///
    /// # Errors
    /// Says which node and property is wrong and what would be right.
    pub fn parse(blob: &[u8]) -> Result<Self, ManifestError> {
        let tree = Tree::new(blob)?;
        let root = tree.root()?;
        root.check_properties(&ROOT)?;
        if root.text("compatible")? != Some(COMPATIBLE) {
            return Err(ManifestError::NotCompatible { expected: COMPATIBLE });
        }
        let pool = file(&root, "memory-pool")?.ok_or_else(|| root.missing("memory-pool"))?;
        if pool.start.raw() & MEMORY_UNIT.wrapping_sub(1) != 0 {
            return Err(root.bad("memory-pool", "from a multiple of 2 MiB on, so that blocks map it"));
        }
        let memory_pool = PageRange::from_size(pool.start, pool.size)
            .map_err(|reason| root.bad_range("memory-pool", reason))?;
        let mut manifest = Self { memory_pool, vms: Vec::new() };
        let mut free = pool.start.raw();
        for node in root.children() {
            if root.children().filter(|other| other.name() == node.name()).count() > 1 {
                return Err(ManifestError::Twice { node: root.label(), field: node.label() });
            }
            let vm = parse_vm(&node, &manifest, free)?;
            free = vm.memory.end();
            manifest
                .vms
                .push(vm)
                .map_err(|_| ManifestError::TooMany { field: "nodes of virtual machines", limit: MAX_VMS })?;
        }
        if manifest.vms.is_empty() {
            return Err(ManifestError::MissingNode("of a virtual machine"));
        }
        check_devices(&manifest.vms, &manifest.memory_pool)?;
        Ok(manifest)
    }
}

/// Reads a virtual machine whose memory begins at `free`, after those of `before`.
fn parse_vm(node: &Node<'_, '_>, before: &VmsManifest, free: u64) -> Result<VmManifest, ManifestError> {
    node.check_properties(&VM)?;
    node.check_compatible("tantalum,vm", "\"tantalum,vm\": each node of the root is a virtual machine")?;
    if node.name().len() > 15 {
        return Err(ManifestError::BadName { node: node.label(), expected: "at most 15 characters long" });
    }
    let terminal = node.flag("terminal")?;
    if terminal && before.vms.iter().any(|other| other.terminal) {
        return Err(node.bad("terminal", "in one virtual machine only; remove it from the others"));
    }
    let kernel = file(node, "kernel")?.ok_or_else(|| node.missing("kernel"))?;
    let initramfs = file(node, "initramfs")?;
    for (field, range) in [("kernel", Some(kernel)), ("initramfs", initramfs)] {
        if range.is_some_and(|range| range.touches(&before.memory_pool)) {
            return Err(node.bad(field, "outside of \"memory-pool\", or a virtual machine may overwrite it"));
        }
    }
    let bootargs = String::try_from(node.text("bootargs")?.unwrap_or_default())
        .map_err(|_| node.bad("bootargs", "at most 512 characters long"))?;
    let mut devices = Vec::new();
    for child in node.children() {
        let within = |error: ManifestError| error.within(node.name());
        if node.children().filter(|other| other.name() == child.name()).count() > 1 {
            return Err(ManifestError::Twice { node: node.label(), field: child.label() });
        }
        let device = VirtioDevice::parse(&child).map_err(within)?;
        devices
            .push(device)
            .map_err(|_| ManifestError::TooMany { field: "virtio device", limit: MAX_VIRTIO_DEVICES })?;
    }
    Ok(VmManifest {
        name: name(node.name()),
        cpus: parse_cpus(node)?,
        memory: parse_memory(node, &before.memory_pool, free)?,
        terminal,
        kernel,
        initramfs,
        bootargs,
        devices,
    })
}

fn parse_cpus(node: &Node<'_, '_>) -> Result<Vec<CpuIndex, MAX_VCPUS>, ManifestError> {
    const EXPECTED: &str = "one to eight numbers of CPUs, each from 0 to 7: one for each virtual CPU";
    let mut cpus = Vec::new();
    for cell in node.cells("cpus", 1, EXPECTED)? {
        let cpu = usize::try_from(cell).ok().and_then(CpuIndex::new);
        let cpu = cpu.ok_or_else(|| node.bad("cpus", EXPECTED))?;
        cpus.push(cpu).map_err(|_| node.bad("cpus", EXPECTED))?;
    }
    if cpus.is_empty() { Err(node.missing("cpus")) } else { Ok(cpus) }
}

/// Takes the memory of a virtual machine from the pool, from `free` on.
fn parse_memory(
    node: &Node<'_, '_>,
    pool: &PageRange<Pa>,
    free: u64,
) -> Result<PageRange<Pa>, ManifestError> {
    let size = node.required_number("memory-size")?;
    if size == 0 || size > MAX_MEMORY || size & MEMORY_UNIT.wrapping_sub(1) != 0 {
        return Err(node.bad("memory-size", "a multiple of 2 MiB, at most 256 GiB"));
    }
    if size > pool.end().saturating_sub(free) {
        return Err(
            node.bad("memory-size", "no more than the virtual machines before leave of \"memory-pool\"")
        );
    }
    PageRange::from_size(Pa::non_secure(free), size).map_err(|reason| node.bad_range("memory-size", reason))
}

/// Reads a place in memory, an address and a size of two cells each.
pub(crate) fn file(node: &Node<'_, '_>, field: &'static str) -> Result<Option<FileRange>, ManifestError> {
    const EXPECTED: &str = "an address and a size below 2^48, two cells each, of at least one byte";
    let mut cells = node.cells(field, 4, EXPECTED)?;
    let mut number = || Some(u64::from(cells.next()?) << 32 | u64::from(cells.next()?));
    let (Some(start), Some(size)) = (number(), number()) else { return Ok(None) };
    let end = start.checked_add(size).filter(|end| *end <= 1 << 48);
    if size == 0 || end.is_none() || cells.next().is_some() {
        return Err(node.bad(field, EXPECTED));
    }
    Ok(Some(FileRange { start: Pa::non_secure(start), size }))
}
