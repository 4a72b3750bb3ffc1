//! The virtio devices of virtual machines in their manifest.

use tantalum_types::{PAGE_SIZE, Pa, PageRange};

use crate::error::ManifestError;
use crate::tree::{Fields, Node};
use crate::vm::{FileRange, VmManifest, file};

/// Bounds the ports of the switch between virtual machines.
pub const MAX_PORTS: usize = 8;

/// Is the least limit in bytes: what one whole frame has, or none would ever pass.
const FRAME: u32 = 1518;

const fn fields(properties: &'static [&'static str]) -> Fields {
    Fields { properties, nodes: &[], unserved: &[] }
}

const BLOCK: Fields = fields(&["compatible", "ram", "disk", "read-only"]);
const NETWORK: Fields = fields(&["compatible", "port", "mac", "limit"]);
const PLAIN: Fields = fields(&["compatible"]);

/// Describes a virtio device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VirtioDevice {
    /// A block device.
    Block {
        /// What is behind it.
        backend: BlockBackend,
        /// Whether it refuses to be written.
        read_only: bool,
    },
    /// A network device.
    Network {
        /// The port of the switch that it is connected to, below [`MAX_PORTS`].
        port: u8,
        /// Its address.
        mac: [u8; 6],
        /// What it may send, if that is limited.
        limit: Option<PortLimit>,
    },
    /// A console.
    Console,
    /// A source of random bytes.
    Entropy,
}

/// Says what a network device may send in a second; after silence, as much at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortLimit {
    /// How many frames, at least one.
    pub frames: u32,
    /// How many bytes, headers among them, at least one whole frame.
    pub bytes: u32,
}

/// Says what is behind a block device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockBackend {
    /// Memory, whole pages: what is written is lost at the end.
    Ram(FileRange),
    /// The machine's block device of this number.
    Disk(u32),
}

impl VirtioDevice {
    /// Reads a device.
    pub(crate) fn parse(node: &Node<'_, '_>) -> Result<Self, ManifestError> {
        match node.required_text("compatible")? {
            "tantalum,blk" => Self::parse_block(node),
            "tantalum,net" => Self::parse_network(node),
            "tantalum,console" => node.check_fields(&PLAIN).map(|()| Self::Console),
            "tantalum,rng" => node.check_fields(&PLAIN).map(|()| Self::Entropy),
            _ => Err(node.bad(
                "compatible",
                "\"tantalum,blk\", \"tantalum,net\", \"tantalum,console\" or \"tantalum,rng\"",
            )),
        }
    }

    fn parse_block(node: &Node<'_, '_>) -> Result<Self, ManifestError> {
        node.check_fields(&BLOCK)?;
        let backend = match (file(node, "ram")?, node.cell("disk")?) {
            (Some(ram), None) if (ram.start.raw() | ram.size) & PAGE_SIZE.wrapping_sub(1) == 0 => {
                BlockBackend::Ram(ram)
            }
            (Some(_), None) => {
                return Err(node.bad("ram", "of whole pages: address and size multiples of 4 KiB"));
            }
            (None, Some(disk)) => BlockBackend::Disk(disk),
            (None, None) => return Err(node.missing("ram")),
            (Some(_), Some(_)) => return Err(node.bad("disk", "without \"ram\": remove one of them")),
        };
        Ok(Self::Block { backend, read_only: node.flag("read-only")? })
    }

    fn parse_network(node: &Node<'_, '_>) -> Result<Self, ManifestError> {
        node.check_fields(&NETWORK)?;
        let port = node.required_cell("port")?;
        let port = u8::try_from(port).ok().filter(|port| usize::from(*port) < MAX_PORTS);
        let port = port.ok_or_else(|| node.bad("port", "the number of a port, from 0 to 7"))?;
        let mac = node.bytes("mac").ok_or_else(|| node.missing("mac"))?;
        match <[u8; 6]>::try_from(mac) {
            // Bit 0 of the first byte marks the address of a group.
            Ok(mac) if mac[0] & 1 == 0 && mac != [0; 6] => {
                Ok(Self::Network { port, mac, limit: parse_limit(node)? })
            }
            _ => Err(node.bad("mac", "the six bytes of one device's address: the first is even")),
        }
    }
}

fn parse_limit(node: &Node<'_, '_>) -> Result<Option<PortLimit>, ManifestError> {
    const EXPECTED: &str =
        "frames and bytes in a second, a cell each: at least 1 and 1518, or nothing could be sent";
    let mut cells = node.cells("limit", 2, EXPECTED)?;
    let (Some(frames), Some(bytes)) = (cells.next(), cells.next()) else { return Ok(None) };
    if frames == 0 || bytes < FRAME || cells.next().is_some() {
        return Err(node.bad("limit", EXPECTED));
    }
    Ok(Some(PortLimit { frames, bytes }))
}

/// Checks that no two virtual machines get what only one can have.
pub(crate) fn check_devices(vms: &[VmManifest], pool: &PageRange<Pa>) -> Result<(), ManifestError> {
    let all = vms.iter().flat_map(|vm| vm.devices.iter().map(move |device| (vm, device)));
    for (position, (vm, device)) in all.clone().enumerate() {
        let bad = |field, expected| Err(ManifestError::BadValue { node: vm.name.clone(), field, expected });
        if let VirtioDevice::Block { backend: BlockBackend::Ram(ram), .. } = device
            && ram.touches(pool)
        {
            return bad("ram", "outside of \"memory-pool\", or a virtual machine may overwrite it");
        }
        if let VirtioDevice::Block { backend: BlockBackend::Ram(ram), read_only: false } = device
            && vms.iter().any(|vm| files(vm).any(|file| file.overlaps(ram)))
        {
            return bad("ram", "apart from every kernel and initramfs, or writes change them");
        }
        for (_, other) in all.clone().take(position) {
            if let Some((field, expected)) = conflict(device, other) {
                return bad(field, expected);
            }
        }
    }
    Ok(())
}

fn files(vm: &VmManifest) -> impl Iterator<Item = &FileRange> {
    core::iter::once(&vm.kernel).chain(&vm.initramfs)
}

/// Returns which field of a device cannot be as it is because of another device, and what would be right.
fn conflict(device: &VirtioDevice, other: &VirtioDevice) -> Option<(&'static str, &'static str)> {
    use BlockBackend::{Disk, Ram};
    use VirtioDevice::{Block, Network};
    match (device, other) {
        (Network { port, .. }, Network { port: theirs, .. }) if port == theirs => {
            Some(("port", "one that no other network device has"))
        }
        (Network { mac, .. }, Network { mac: theirs, .. }) if mac == theirs => {
            Some(("mac", "one that no other network device has"))
        }
        (Block { backend: Disk(disk), .. }, Block { backend: Disk(theirs), .. }) if disk == theirs => {
            Some(("disk", "one that no other block device has"))
        }
        (
            Block { backend: Ram(ram), read_only },
            Block { backend: Ram(theirs), read_only: theirs_read_only },
        ) if ram.overlaps(theirs) && !(*read_only && *theirs_read_only) => {
            Some(("ram", "apart from that of every other block device, or \"read-only\" in all that have it"))
        }
        _ => None,
    }
}
