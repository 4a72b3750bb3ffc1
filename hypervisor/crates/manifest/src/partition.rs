//! A partition's manifest (FF-A 1.1, section 5.2; Arm's device tree binding for it).

use heapless::Vec;
use tantalum_types::{AddressSpace, MAX_VCPUS, Pa, PageRange, RangeError, Uuid};

use crate::error::{ManifestError, Name, name};
use crate::tree::{Fields, Node, Tree};

/// Bounds the UUIDs of one partition.
pub const MAX_UUIDS: usize = 4;
/// Bounds the memory regions of one partition.
pub const MAX_MEMORY_REGIONS: usize = 8;
/// Bounds the device regions of one partition.
pub const MAX_DEVICE_REGIONS: usize = 8;
/// Bounds the interrupts of one device region.
pub const MAX_INTERRUPTS: usize = 4;

const COMPATIBLE: [&str; 2] = ["arm,ffa-manifest-1.0", "arm,ffa-manifest-1.1"];

const PARTITION: Fields = Fields {
    properties: &[
        "compatible",
        "description",
        "ffa-version",
        "uuid",
        "execution-ctx-count",
        "exception-level",
        "execution-state",
        "load-address",
        "mem-size",
        "entrypoint-offset",
        "xlat-granule",
        "boot-order",
        "messaging-method",
        "managed-exit",
        "managed-exit-virq",
        "ns-interrupts-action",
        "other-s-interrupts-action",
        "notification-support",
        "gp-register-num",
        "power-management-messages",
        "vm-availability-messages",
    ],
    nodes: &["boot-info", "rx_tx-info", "memory-regions", "device-regions"],
    unserved: &[
        "id",
        "auxiliary-id",
        "image-uuid",
        "services",
        "rx-tx-buffer",
        "run-time-model",
        "has-primary-scheduler",
        "time-slice-mem",
        "stream-endpoint-ids",
        "sri-interrupts-policy",
        "lifecycle-support",
        "abort-action",
        "live-activation-support",
        "live-activation-register",
        "live-state-buffer-info",
    ],
};
const BOOT_INFO: Fields =
    Fields { properties: &["compatible", "ffa_manifest"], nodes: &[], unserved: &["hob_list"] };
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
    unserved: &["smmu-id", "stream-ids", "stream-ids-access-permissions"],
};
const DEVICE_REGION: Fields = Fields {
    properties: &[
        "description",
        "pages-count",
        "attributes",
        "base-address",
        "interrupts",
        "exclusive-access",
    ],
    nodes: &[],
    unserved: &["smmu-id", "stream-ids", "interrupts-target"],
};

/// Describes how one partition behaves and what it is to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionManifest {
    /// The name, in `description`; empty where there is none.
    pub name: Name,
    /// The FF-A version that the partition expects, in `ffa-version`: major in bits 30:16, minor in 15:0.
    pub ffa_version: u32,
    /// The UUIDs of its services, in `uuid`: at least one, none nil, no two the same.
    pub uuids: Vec<Uuid, MAX_UUIDS>,
    /// The number of its execution contexts, in `execution-ctx-count`, at least 1.
    pub context_count: usize,
    /// Its memory: `load-address` and `mem-size`.
    pub memory: PageRange<Pa>,
    /// Where it is entered, in bytes from the load address, in `entrypoint-offset`; inside `memory`.
    pub entry_point_offset: u64,
    /// When it is booted, in `boot-order`: lower first, and those without one last.
    pub boot_order: Option<u16>,
    /// The messages that it sends and receives, in `messaging-method`.
    pub messaging: Messaging,
    /// What happens to an interrupt of the normal world while it runs, in `ns-interrupts-action`.
    pub ns_interrupts_action: NsInterruptsAction,
    /// What happens to an interrupt of another partition while it runs, in `other-s-interrupts-action`.
    pub other_secure_interrupts_action: OtherSecureInterruptsAction,
    /// How managed exit is signalled; `Some` exactly if `ns_interrupts_action` is managed exit.
    pub managed_exit: Option<ManagedExitLine>,
    /// Whether it takes part in notifications, in `notification-support`.
    pub notification_support: bool,
    /// Which of x0 to x3 takes the address of the boot information, in `gp-register-num`; `Some` exactly if it
    /// wants boot information, in `boot-info`.
    pub boot_info_register: Option<usize>,
    /// Whether it is told that a CPU goes off, bit 0 of `power-management-messages`.
    pub cpu_off_message: bool,
    /// The news about virtual machines that it subscribes to, in `vm-availability-messages`.
    pub vm_availability: VmAvailability,
    /// Its message buffers, in `rx_tx-info`, if it does not bring them itself by FFA_RXTX_MAP.
    pub rx_tx: Option<RxTxBuffers>,
    /// Further memory that it is to have, in `memory-regions`.
    pub memory_regions: Vec<MemoryRegion, MAX_MEMORY_REGIONS>,
    /// Devices that it is to have, in `device-regions`.
    pub device_regions: Vec<DeviceRegion, MAX_DEVICE_REGIONS>,
}

/// Names the messages that a partition sends and receives (bits of `messaging-method`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Messaging {
    /// Bit 0: it receives direct requests.
    pub receives_direct: bool,
    /// Bit 1: it sends direct requests.
    pub sends_direct: bool,
    /// Bit 2: it sends and receives indirect messages.
    pub indirect: bool,
    /// Bit 9: it receives direct requests of the second form, FFA_MSG_SEND_DIRECT_REQ2.
    pub receives_direct2: bool,
    /// Bit 10: it sends direct requests of the second form.
    pub sends_direct2: bool,
}

/// Names what happens to an interrupt of the normal world while a partition runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NsInterruptsAction {
    /// It waits until the partition is done.
    Queued,
    /// The partition is asked to finish early.
    ManagedExit,
    /// It preempts the partition.
    Signaled,
}

/// Names what happens to a secure interrupt of another partition while a partition runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtherSecureInterruptsAction {
    /// It waits until the partition is done.
    Queued,
    /// It preempts the partition.
    Signaled,
}

/// Names the virtual interrupt line that tells a partition to finish early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ManagedExitLine {
    /// IRQ, asked for by `managed-exit-virq`.
    Irq,
    /// FIQ, what it is without.
    Fiq,
}

/// Names the news about virtual machines that a partition subscribes to (bits of `vm-availability-messages`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VmAvailability {
    /// Bit 0: a virtual machine was created.
    pub created: bool,
    /// Bit 1: a virtual machine was destroyed.
    pub destroyed: bool,
}

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
}

impl PartitionManifest {
    /// Reads the manifest from the bytes of a flattened device tree; what follows the tree is ignored.
    ///
    /// # Errors
    /// Says which field is wrong and what would be right.
    pub fn parse(blob: &[u8]) -> Result<Self, ManifestError> {
        let tree = Tree::new(blob)?;
        let root = tree.root()?;
        if !root.text("compatible")?.is_some_and(|found| COMPATIBLE.contains(&found)) {
            return Err(ManifestError::NotCompatible {
                expected: "\"arm,ffa-manifest-1.0\" or \"arm,ffa-manifest-1.1\"",
            });
        }
        root.check_fields(&PARTITION)?;
        check_kind(&root)?;
        let memory = PageRange::from_size(
            Pa::secure(root.required_number("load-address")?),
            root.required_number("mem-size")?,
        )
        .map_err(|reason| bad_range(&root, "load-address", reason))?;
        let entry_point_offset = root.number("entrypoint-offset")?.unwrap_or(0);
        if entry_point_offset >= memory.size() || !entry_point_offset.is_multiple_of(4) {
            return Err(root.bad("entrypoint-offset", "a multiple of 4 below \"mem-size\""));
        }
        let ns_interrupts_action = parse_ns_interrupts_action(&root)?;
        let (regions, buffers) = parse_memory(&root, &memory)?;
        Ok(Self {
            name: root.text("description")?.map(name).unwrap_or_default(),
            ffa_version: parse_version(&root)?,
            uuids: parse_uuids(&root)?,
            context_count: parse_context_count(&root)?,
            memory,
            entry_point_offset,
            boot_order: root
                .cell("boot-order")?
                .map(u16::try_from)
                .transpose()
                .map_err(|_| root.bad("boot-order", "at most 0xffff"))?,
            messaging: parse_messaging(&root)?,
            ns_interrupts_action,
            other_secure_interrupts_action: parse_other_s_interrupts_action(&root, ns_interrupts_action)?,
            managed_exit: parse_managed_exit(&root, ns_interrupts_action)?,
            notification_support: root.flag("notification-support")?,
            boot_info_register: parse_boot_info(&root)?,
            cpu_off_message: parse_power_management(&root)?,
            vm_availability: parse_vm_availability(&root)?,
            rx_tx: buffers,
            memory_regions: regions,
            device_regions: parse_devices(&root)?,
        })
    }
}

/// Checks the fields that say what kind of partition it is: there is one kind.
fn check_kind(root: &Node<'_, '_>) -> Result<(), ManifestError> {
    if root.required_cell("exception-level")? != 2 {
        return Err(root.bad("exception-level", "2 (S-EL1), the only one that is served"));
    }
    if root.required_cell("execution-state")? != 0 {
        return Err(root.bad("execution-state", "0 (AArch64), the only one that is served"));
    }
    if root.cell("xlat-granule")?.unwrap_or(0) != 0 {
        return Err(root.bad("xlat-granule", "0 (4 KiB), the only one that is served"));
    }
    Ok(())
}

fn parse_version(root: &Node<'_, '_>) -> Result<u32, ManifestError> {
    let version = root.required_cell("ffa-version")?;
    if version >> 16 == 1 {
        Ok(version)
    } else {
        Err(root.bad("ffa-version", "0x00010000 and the minor version: 0x00010001 for FF-A 1.1"))
    }
}

/// Reads UUIDs of four cells each, which are the values of the registers that carry them in FF-A: the first
/// byte of the UUID is the lowest of the first register.
fn parse_uuids(root: &Node<'_, '_>) -> Result<Vec<Uuid, MAX_UUIDS>, ManifestError> {
    const EXPECTED: &str = "UUIDs of four cells each, all of them different and none nil";
    let mut cells = root.cells("uuid", 4, EXPECTED)?;
    let mut uuids = Vec::new();
    while let (Some(a), Some(b), Some(c), Some(d)) = (cells.next(), cells.next(), cells.next(), cells.next())
    {
        let mut bytes = [0; 16];
        for (to, cell) in bytes.chunks_exact_mut(4).zip([a, b, c, d]) {
            to.copy_from_slice(&cell.to_le_bytes());
        }
        let uuid = Uuid::from_bytes(bytes);
        if uuid.is_nil() || uuids.contains(&uuid) {
            return Err(root.bad("uuid", EXPECTED));
        }
        uuids.push(uuid).map_err(|_| ManifestError::TooMany { field: "uuid", limit: MAX_UUIDS })?;
    }
    if uuids.is_empty() { Err(root.missing("uuid")) } else { Ok(uuids) }
}

fn parse_context_count(root: &Node<'_, '_>) -> Result<usize, ManifestError> {
    let count = root.required_cell("execution-ctx-count")?;
    match usize::try_from(count) {
        Ok(count) if (1..=MAX_VCPUS).contains(&count) => Ok(count),
        _ => Err(root.bad("execution-ctx-count", "from 1 to 8")),
    }
}

fn parse_messaging(root: &Node<'_, '_>) -> Result<Messaging, ManifestError> {
    let bits = root.required_cell("messaging-method")?;
    if bits & !0b110_0000_0111 != 0 {
        return Err(root.bad("messaging-method", "a sum of bits 0, 1, 2, 9 and 10"));
    }
    let has = |bit: u32| bits & bit != 0;
    Ok(Messaging {
        receives_direct: has(1 << 0),
        sends_direct: has(1 << 1),
        indirect: has(1 << 2),
        receives_direct2: has(1 << 9),
        sends_direct2: has(1 << 10),
    })
}

fn parse_ns_interrupts_action(root: &Node<'_, '_>) -> Result<NsInterruptsAction, ManifestError> {
    let managed_exit = root.flag("managed-exit")?;
    let action = match root.cell("ns-interrupts-action")? {
        Some(0) => NsInterruptsAction::Queued,
        Some(1) => NsInterruptsAction::ManagedExit,
        Some(2) => NsInterruptsAction::Signaled,
        Some(_) => {
            return Err(root.bad("ns-interrupts-action", "0 (queued), 1 (managed exit) or 2 (signaled)"));
        }
        // What FF-A 1.0 had instead.
        None if managed_exit => NsInterruptsAction::ManagedExit,
        None => return Err(root.missing("ns-interrupts-action")),
    };
    if managed_exit && action != NsInterruptsAction::ManagedExit {
        return Err(root.bad("ns-interrupts-action", "1 (managed exit) where there is \"managed-exit\""));
    }
    Ok(action)
}

fn parse_other_s_interrupts_action(
    root: &Node<'_, '_>,
    ns_action: NsInterruptsAction,
) -> Result<OtherSecureInterruptsAction, ManifestError> {
    match root.cell("other-s-interrupts-action")? {
        // A partition that keeps secure interrupts waiting must not be interruptible by the normal world's.
        Some(0) if ns_action != NsInterruptsAction::Queued => {
            Err(root.bad("other-s-interrupts-action", "1 unless \"ns-interrupts-action\" is 0 (queued)"))
        }
        Some(0) => Ok(OtherSecureInterruptsAction::Queued),
        Some(1) | None => Ok(OtherSecureInterruptsAction::Signaled),
        Some(_) => Err(root.bad("other-s-interrupts-action", "0 (queued) or 1 (signaled)")),
    }
}

fn parse_managed_exit(
    root: &Node<'_, '_>,
    ns_action: NsInterruptsAction,
) -> Result<Option<ManagedExitLine>, ManifestError> {
    match (ns_action, root.flag("managed-exit-virq")?) {
        (NsInterruptsAction::ManagedExit, true) => Ok(Some(ManagedExitLine::Irq)),
        (NsInterruptsAction::ManagedExit, false) => Ok(Some(ManagedExitLine::Fiq)),
        (NsInterruptsAction::Queued | NsInterruptsAction::Signaled, true) => {
            Err(root.bad("ns-interrupts-action", "1 (managed exit) where there is \"managed-exit-virq\""))
        }
        (NsInterruptsAction::Queued | NsInterruptsAction::Signaled, false) => Ok(None),
    }
}

fn parse_boot_info(root: &Node<'_, '_>) -> Result<Option<usize>, ManifestError> {
    let register = root.cell("gp-register-num")?;
    let Some(node) = root.child("boot-info") else {
        return match register {
            Some(_) => Err(ManifestError::MissingNode("boot-info")),
            None => Ok(None),
        };
    };
    node.check_fields(&BOOT_INFO)?;
    check_compatible(&node, "arm,ffa-manifest-boot-info", "\"arm,ffa-manifest-boot-info\"")?;
    if !node.flag("ffa_manifest")? {
        return Err(node.missing("ffa_manifest"));
    }
    match usize::try_from(register.ok_or_else(|| root.missing("gp-register-num"))?) {
        Ok(register) if register <= 3 => Ok(Some(register)),
        _ => Err(root.bad("gp-register-num", "from 0 to 3")),
    }
}

fn parse_power_management(root: &Node<'_, '_>) -> Result<bool, ManifestError> {
    match root.cell("power-management-messages")?.unwrap_or(0) {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(root.bad("power-management-messages", "0 or 1: CPU_OFF is the only one that is served")),
    }
}

fn parse_vm_availability(root: &Node<'_, '_>) -> Result<VmAvailability, ManifestError> {
    let bits = root.cell("vm-availability-messages")?.unwrap_or(0);
    if bits > 0b11 {
        return Err(root.bad("vm-availability-messages", "a sum of bits 0 and 1"));
    }
    Ok(VmAvailability { created: bits & 0b01 != 0, destroyed: bits & 0b10 != 0 })
}

/// Reads the memory regions, and which of them are the message buffers.
fn parse_memory(
    root: &Node<'_, '_>,
    own: &PageRange<Pa>,
) -> Result<(Vec<MemoryRegion, MAX_MEMORY_REGIONS>, Option<RxTxBuffers>), ManifestError> {
    let handles = root.child("rx_tx-info").map(|node| parse_rx_tx(&node)).transpose()?;
    let (mut rx, mut tx) = (None, None);
    let mut regions = Vec::new();
    if let Some(node) = root.child("memory-regions") {
        node.check_properties(&REGIONS)?;
        check_compatible(&node, "arm,ffa-manifest-memory-regions", "\"arm,ffa-manifest-memory-regions\"")?;
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
    check_compatible(node, "arm,ffa-manifest-rx_tx-buffer", "\"arm,ffa-manifest-rx_tx-buffer\"")?;
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
    let start = start.ok_or_else(|| bad_range(node, field, RangeError::TooLarge))?;
    let range = PageRange::new(Pa::new(space, start), u64::from(node.required_cell("pages-count")?))
        .map_err(|reason| bad_range(node, field, reason))?;
    Ok(MemoryRegion { name: node.label(), range, attributes })
}

fn parse_devices(root: &Node<'_, '_>) -> Result<Vec<DeviceRegion, MAX_DEVICE_REGIONS>, ManifestError> {
    let mut regions = Vec::new();
    let Some(node) = root.child("device-regions") else { return Ok(regions) };
    node.check_properties(&REGIONS)?;
    check_compatible(&node, "arm,ffa-manifest-device-regions", "\"arm,ffa-manifest-device-regions\"")?;
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
        .map_err(|reason| bad_range(&node, "base-address", reason))?;
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
            .push(DeviceInterrupt { intid, priority, level: attributes & (1 << 9) != 0 })
            .map_err(|_| ManifestError::TooMany { field: "interrupts", limit: MAX_INTERRUPTS })?;
    }
    Ok(interrupts)
}

fn check_compatible(node: &Node<'_, '_>, value: &str, expected: &'static str) -> Result<(), ManifestError> {
    if node.text("compatible")? == Some(value) { Ok(()) } else { Err(node.bad("compatible", expected)) }
}

fn bad_range(node: &Node<'_, '_>, field: &'static str, reason: RangeError) -> ManifestError {
    ManifestError::BadRange { node: node.label(), field, reason }
}
