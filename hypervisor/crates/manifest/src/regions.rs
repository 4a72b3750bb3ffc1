//! Memory regions, device regions and message buffers of a partition's manifest.

use heapless::Vec;
use tantalum_types::{AddressSpace, Pa, PageRange, RangeError};

use crate::error::{ManifestError, Name};
use crate::tree::{Fields, Node};

/// Bounds the memory regions of one partition.
pub const MAX_MEMORY_REGIONS: usize = 8;
/// Bounds the device regions of one partition.
pub const MAX_DEVICE_REGIONS: usize = 8;
/// Bounds the interrupts of one device region.
pub const MAX_INTERRUPTS: usize = 4;

/// Is said of fields about devices that reach memory by themselves.
const NO_SMMU: &str = "there is no SMMU to keep a device to its memory; remove it";

const RX_TX: Fields =
    Fields { properties: &["compatible", "rx-buffer", "tx-buffer"], nodes: &[], unserved: &[] };
const REGIONS: Fields = Fields { properties: &["compatible"], nodes: &[], unserved: &[] };
const MEMORY_REGION: Fields = Fields {
    properties: &[
        "description",
        "pages-count",
        "attributes",
        "base-address",
        "load-address-relative-offset",
        // The compiler gives it to a node that another one refers to.
        "phandle",
    ],
    nodes: &[],
    unserved: &[("smmu-id", NO_SMMU), ("stream-ids", NO_SMMU), ("stream-ids-access-permissions", NO_SMMU)],
};
const DEVICE_REGION: Fields = Fields {
    properties: &[
        "description",
        "pages-count",
        "attributes",
        "base-address",
        "interrupts",
        "interrupts-target",
        "exclusive-access",
    ],
    nodes: &[],
    unserved: &[("smmu-id", NO_SMMU), ("stream-ids", NO_SMMU)],
};
/// Names the memory regions that are a partition's message buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RxTxBuffers {
    /// What the partition receives into.
    pub rx: PageRange<Pa>,
    /// What the partition sends from.
    pub tx: PageRange<Pa>,
}

/// Says what a partition may do with a region (bits of `attributes`). It may always read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegionAttributes {
    /// Bit 1: it may write. Never together with `execute`.
    pub write: bool,
    /// Bit 2: it may execute. Never for devices and for Non-secure memory.
    pub execute: bool,
}

/// Describes memory that a partition is to have beside its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryRegion {
    /// The name of the node.
    pub name: Name,
    /// Where it lies: `base-address` or the load address and `load-address-relative-offset`, `pages-count`, and
    /// the address space by bit 3 of `attributes`.
    pub range: PageRange<Pa>,
    /// What the partition may do with it.
    pub attributes: RegionAttributes,
}

/// Describes the registers of a device that a partition is to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceRegion {
    /// The name of the node.
    pub name: Name,
    /// Where its registers lie: `base-address` and `pages-count`, Secure.
    pub range: PageRange<Pa>,
    /// What the partition may do with them.
    pub attributes: RegionAttributes,
    /// Its interrupts, in `interrupts`.
    pub interrupts: Vec<DeviceInterrupt, MAX_INTERRUPTS>,
    /// Whether no other partition may have it, in `exclusive-access`.
    pub exclusive: bool,
}

/// Describes a secure interrupt of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceInterrupt {
    /// The number: 16 to 31 is private to each processing element, 32 to 1019 shared.
    pub intid: u32,
    /// The priority: 0 is the highest, 255 the lowest.
    pub priority: u8,
    /// Whether it is level-triggered rather than edge-triggered.
    pub level: bool,
    /// The MPIDR affinity of the processing element that it goes to, in `interrupts-target`; `None` where nothing
    /// is said, and for private ones.
    pub target: Option<u64>,
}

/// Reads the memory regions, and which of them are the message buffers.
pub(crate) fn parse_memory(
    root: &Node<'_, '_>,
    own: &PageRange<Pa>,
) -> Result<(Vec<MemoryRegion, MAX_MEMORY_REGIONS>, Option<RxTxBuffers>), ManifestError> {
    let handles = root.child("rx_tx-info").map(|node| parse_rx_tx(&node)).transpose()?;
    let (mut rx, mut tx) = (None, None);
    let mut regions = Vec::new();
    if let Some(node) = root.child("memory-regions") {
        node.check_properties(&REGIONS)?;
        node.check_compatible("arm,ffa-manifest-memory-regions", "\"arm,ffa-manifest-memory-regions\"")?;
        for node in node.children() {
            let region = parse_memory_region(&node, own)?;
            let handle = node.cell("phandle")?;
            if let (Some((rx_handle, tx_handle)), Some(handle)) = (handles, handle) {
                if handle == rx_handle {
                    rx = Some(region.clone());
                }
                if handle == tx_handle {
                    tx = Some(region.clone());
                }
            }
            regions
                .push(region)
                .map_err(|_| ManifestError::TooMany { field: "memory-regions", limit: MAX_MEMORY_REGIONS })?;
        }
        if regions.is_empty() {
            return Err(node.bad("memory-regions", "left out where there is no region in it"));
        }
    }
    let buffers = match root.child("rx_tx-info") {
        None => None,
        Some(node) => Some(check_buffers(&node, rx, tx)?),
    };
    Ok((regions, buffers))
}

/// Reads the phandles of the receive and of the send buffer.
fn parse_rx_tx(node: &Node<'_, '_>) -> Result<(u32, u32), ManifestError> {
    node.check_fields(&RX_TX)?;
    node.check_compatible("arm,ffa-manifest-rx_tx-buffer", "\"arm,ffa-manifest-rx_tx-buffer\"")?;
    Ok((node.required_cell("rx-buffer")?, node.required_cell("tx-buffer")?))
}

fn check_buffers(
    node: &Node<'_, '_>,
    rx: Option<MemoryRegion>,
    tx: Option<MemoryRegion>,
) -> Result<RxTxBuffers, ManifestError> {
    let rx = rx.ok_or_else(|| node.bad("rx-buffer", "a reference to a node in \"memory-regions\""))?;
    let tx = tx.ok_or_else(|| node.bad("tx-buffer", "a reference to a node in \"memory-regions\""))?;
    if rx.range.overlaps(&tx.range) {
        return Err(node.bad("tx-buffer", "another region than \"rx-buffer\""));
    }
    if rx.range.page_count() != tx.range.page_count() {
        return Err(node.bad("tx-buffer", "as many pages as \"rx-buffer\""));
    }
    if !tx.attributes.write {
        return Err(node.bad("tx-buffer", "a region that the partition may write"));
    }
    if rx.range.start().space() != AddressSpace::Secure || tx.range.start().space() != AddressSpace::Secure {
        return Err(node.bad("rx-buffer", "like \"tx-buffer\", in Secure memory"));
    }
    Ok(RxTxBuffers { rx: rx.range, tx: tx.range })
}

fn parse_memory_region(node: &Node<'_, '_>, own: &PageRange<Pa>) -> Result<MemoryRegion, ManifestError> {
    node.check_fields(&MEMORY_REGION)?;
    let _ = node.text("description")?;
    let (space, attributes) = parse_attributes(node)?;
    if attributes.execute && (attributes.write || space == AddressSpace::NonSecure) {
        return Err(node.bad("attributes", "executable for Secure memory that is not writable only"));
    }
    let base = node.number("base-address")?;
    let offset = node.number("load-address-relative-offset")?;
    let (field, start) = match (base, offset) {
        (Some(base), None) => ("base-address", Some(base)),
        (None, Some(offset)) => ("load-address-relative-offset", own.start().raw().checked_add(offset)),
        (Some(_), Some(_)) => {
            return Err(node.bad("base-address", "left out where there is \"load-address-relative-offset\""));
        }
        (None, None) => return Err(node.missing("base-address")),
    };
    let start = start.ok_or_else(|| node.bad_range(field, RangeError::TooLarge))?;
    let range = PageRange::new(Pa::new(space, start), u64::from(node.required_cell("pages-count")?))
        .map_err(|reason| node.bad_range(field, reason))?;
    Ok(MemoryRegion { name: node.label(), range, attributes })
}

pub(crate) fn parse_devices(
    root: &Node<'_, '_>,
) -> Result<Vec<DeviceRegion, MAX_DEVICE_REGIONS>, ManifestError> {
    let mut regions = Vec::new();
    let Some(node) = root.child("device-regions") else { return Ok(regions) };
    node.check_properties(&REGIONS)?;
    node.check_compatible("arm,ffa-manifest-device-regions", "\"arm,ffa-manifest-device-regions\"")?;
    for node in node.children() {
        node.check_fields(&DEVICE_REGION)?;
        let _ = node.text("description")?;
        let (space, attributes) = parse_attributes(&node)?;
        if attributes.execute || space == AddressSpace::NonSecure {
            return Err(node.bad("attributes", "1 (read) or 3 (read and write) for a device"));
        }
        let range = PageRange::new(
            Pa::secure(node.required_number("base-address")?),
            u64::from(node.required_cell("pages-count")?),
        )
        .map_err(|reason| node.bad_range("base-address", reason))?;
        let region = DeviceRegion {
            name: node.label(),
            range,
            attributes,
            interrupts: parse_interrupts(&node)?,
            exclusive: node.flag("exclusive-access")?,
        };
        regions
            .push(region)
            .map_err(|_| ManifestError::TooMany { field: "device-regions", limit: MAX_DEVICE_REGIONS })?;
    }
    if regions.is_empty() {
        return Err(node.bad("device-regions", "left out where there is no region in it"));
    }
    Ok(regions)
}

/// Reads bit 0 (read), 1 (write), 2 (execute) and 3 (Non-secure) of `attributes`.
fn parse_attributes(node: &Node<'_, '_>) -> Result<(AddressSpace, RegionAttributes), ManifestError> {
    let bits = node.required_cell("attributes")?;
    if bits > 0b1111 || bits & 0b0001 == 0 {
        return Err(node.bad("attributes", "1 (read), plus 2 (write), 4 (execute), 8 (non-secure)"));
    }
    let space = if bits & 0b1000 == 0 { AddressSpace::Secure } else { AddressSpace::NonSecure };
    Ok((space, RegionAttributes { write: bits & 0b0010 != 0, execute: bits & 0b0100 != 0 }))
}

/// Reads pairs of an interrupt id and its attributes: priority in bits 7:0, secure in 8, level-triggered in 9,
/// type in 11:10 (2 shared, 1 private).
fn parse_interrupts(node: &Node<'_, '_>) -> Result<Vec<DeviceInterrupt, MAX_INTERRUPTS>, ManifestError> {
    let mut cells = node.cells("interrupts", 2, "pairs of an id and attributes")?;
    let mut interrupts: Vec<DeviceInterrupt, MAX_INTERRUPTS> = Vec::new();
    while let (Some(intid), Some(attributes)) = (cells.next(), cells.next()) {
        let kind = match intid {
            16..=31 => 1,
            32..=1019 => 2,
            _ => return Err(node.bad("interrupts", "ids from 16 to 1019")),
        };
        if attributes >> 10 != kind {
            return Err(node.bad("interrupts", "of type 1 (bits 11:10) up to id 31 and of type 2 from 32 on"));
        }
        if attributes & (1 << 8) == 0 {
            return Err(node.bad("interrupts", "secure (bit 8)"));
        }
        if interrupts.iter().any(|other| other.intid == intid) {
            return Err(node.bad("interrupts", "a list with each id once"));
        }
        let [priority, ..] = attributes.to_le_bytes();
        interrupts
            .push(DeviceInterrupt { intid, priority, level: attributes & (1 << 9) != 0, target: None })
            .map_err(|_| ManifestError::TooMany { field: "interrupts", limit: MAX_INTERRUPTS })?;
    }
    parse_targets(node, &mut interrupts)?;
    Ok(interrupts)
}

/// Reads triples of an interrupt id, the upper and the lower 32 bits of an MPIDR.
fn parse_targets(node: &Node<'_, '_>, interrupts: &mut [DeviceInterrupt]) -> Result<(), ManifestError> {
    const FIELD: &str = "interrupts-target";
    let mut cells = node.cells(FIELD, 3, "triples of an id and the two halves of an MPIDR")?;
    while let (Some(intid), Some(high), Some(low)) = (cells.next(), cells.next(), cells.next()) {
        let interrupt = interrupts
            .iter_mut()
            .find(|interrupt| interrupt.intid == intid)
            .ok_or_else(|| node.bad(FIELD, "for ids that \"interrupts\" has"))?;
        if intid < 32 {
            return Err(
                node.bad(FIELD, "for ids from 32 on: one below is private to each processing element")
            );
        }
        let target = u64::from(high) << 32 | u64::from(low);
        if interrupt.target.replace(target).is_some() {
            return Err(node.bad(FIELD, "a list with each id once"));
        }
    }
    Ok(())
}
