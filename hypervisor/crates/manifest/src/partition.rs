//! A partition's manifest (FF-A 1.1, section 5.2; Arm's device tree binding for it).

use heapless::Vec;
use tantalum_types::{AddressSpace, EndpointId, MAX_VCPUS, Pa, PageRange, Uuid};

use crate::error::{ManifestError, Name, name};
use crate::regions::{self, DeviceRegion, MAX_DEVICE_REGIONS, MAX_MEMORY_REGIONS, MemoryRegion, RxTxBuffers};
use crate::services::{self, MAX_UUIDS, Messaging};
use crate::tree::{Fields, Node, Tree};

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
        "id",
        "sri-interrupts-policy",
        "lifecycle-support",
        "abort-action",
        "time-slice-mem",
    ],
    nodes: &["boot-info", "rx_tx-info", "memory-regions", "device-regions", "services"],
    unserved: &[
        ("auxiliary-id", "a partition has one id; remove it"),
        ("image-uuid", "only FF-A 1.3 reports it; remove it"),
        ("rx-tx-buffer", "name the two buffers in a node \"rx_tx-info\""),
        ("run-time-model", "FF-A 1.1 has \"ns-interrupts-action\" in its place; say that"),
        ("has-primary-scheduler", "the normal world schedules; remove it"),
        ("stream-endpoint-ids", "there is no SMMU; remove it"),
        ("live-activation-support", "live activation came with FF-A 1.3; remove it"),
        ("live-activation-register", "live activation came with FF-A 1.3; remove it"),
        ("live-state-buffer-info", "live activation came with FF-A 1.3; remove it"),
    ],
};
const BOOT_INFO: Fields = Fields {
    properties: &["compatible", "ffa_manifest"],
    nodes: &[],
    unserved: &[("hob_list", "a package has a manifest and an image, and no HOBs; remove it")],
};

/// Describes how one partition behaves and what it is to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionManifest {
    /// The name, in `description`; empty where there is none.
    pub name: Name,
    /// The FF-A version that the partition expects, in `ffa-version`: major in bits 30:16, minor in 15:0.
    pub ffa_version: u32,
    /// The UUIDs of its services, in `uuid` or in `services`: at least one, none nil, no two the same.
    pub uuids: Vec<Uuid, MAX_UUIDS>,
    /// The messages of each service, in the order of `uuids`.
    pub methods: Vec<Messaging, MAX_UUIDS>,
    /// The id that it expects, in `id`. [`crate::check_partition`] refuses another one than it gets.
    pub id: Option<EndpointId>,
    /// The number of its execution contexts, in `execution-ctx-count`, at least 1.
    pub context_count: usize,
    /// Its memory: `load-address` and `mem-size`.
    pub memory: PageRange<Pa>,
    /// Where it is entered, in bytes from the load address, in `entrypoint-offset`; inside `memory`.
    pub entry_point_offset: u64,
    /// When it is booted, in `boot-order`: lower first, and those without one last.
    pub boot_order: Option<u16>,
    /// The messages that its services send and receive, all together, in `messaging-method`.
    pub messaging: Messaging,
    /// What happens to an interrupt of the normal world while it runs, in `ns-interrupts-action`.
    pub ns_interrupts_action: NsInterruptsAction,
    /// What happens to an interrupt of another partition while it runs, in `other-s-interrupts-action`.
    pub other_secure_interrupts_action: OtherSecureInterruptsAction,
    /// When its interrupts make the normal world schedule it, in `sri-interrupts-policy`.
    pub sri_policy: SriPolicy,
    /// How managed exit is signalled; `Some` exactly if `ns_interrupts_action` is managed exit.
    pub managed_exit: Option<ManagedExitLine>,
    /// Whether it takes part in notifications, in `notification-support`.
    pub notification_support: bool,
    /// Which of x0 to x3 takes the address of the boot information, in `gp-register-num`; `Some` exactly if it
    /// wants boot information, in `boot-info`.
    pub boot_info_register: Option<usize>,
    /// Whether it is told that a CPU goes off, bit 0 of `power-management-messages`.
    pub cpu_off_message: bool,
    /// What becomes of it when it fails, in `abort-action`.
    pub abort_action: AbortAction,
    /// Whether it can go through every state of the life cycle of FF-A 1.3, in `lifecycle-support`: a promise
    /// of the partition. What is asked of it without is less.
    pub lifecycle_support: bool,
    /// The news about virtual machines that it subscribes to, in `vm-availability-messages`.
    pub vm_availability: VmAvailability,
    /// Its message buffers, in `rx_tx-info`, if it does not bring them itself by FFA_RXTX_MAP.
    pub rx_tx: Option<RxTxBuffers>,
    /// Further memory that it is to have, in `memory-regions`.
    pub memory_regions: Vec<MemoryRegion, MAX_MEMORY_REGIONS>,
    /// Devices that it is to have, in `device-regions`.
    pub device_regions: Vec<DeviceRegion, MAX_DEVICE_REGIONS>,
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

/// Says when a secure interrupt makes the normal world schedule a partition, by the schedule receiver interrupt,
/// instead of having it run at once (bits of `sri-interrupts-policy`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SriPolicy {
    /// Bit 0: when an interrupt of it comes while it waits.
    pub while_waiting: bool,
    /// Bit 1: when it begins to wait with interrupts pending.
    pub entering_waiting: bool,
}

/// Names what becomes of a partition that fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AbortAction {
    /// 0, and where nothing is said: it is not run any more, and its memory stays as it is.
    #[default]
    Stop,
    /// 1: it is not run any more, and what it had is given back.
    Destroy,
    /// 2: it is started again from the beginning.
    Restart,
    /// 3: its failure is that of the whole system.
    Propagate,
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

impl PartitionManifest {
    /// Reads the manifest from the bytes of a flattened device tree; what follows the tree is ignored.
    ///
    /// # Errors
    /// Says which field is wrong and what would be right.
    pub fn parse(blob: &[u8]) -> Result<Self, ManifestError> {
        Self::read(blob, None)
    }

    /// Reads the manifest of a partition that was loaded to the beginning of `memory`: as
    /// [`PartitionManifest::parse`], and `load-address` and `mem-size` can be left out, as by a partition that
    /// does not depend on its address.
    ///
    /// # Errors
    /// Says which field is wrong and what would be right.
    pub fn parse_loaded(blob: &[u8], memory: &PageRange<Pa>) -> Result<Self, ManifestError> {
        Self::read(blob, Some(memory))
    }

    fn read(blob: &[u8], loaded: Option<&PageRange<Pa>>) -> Result<Self, ManifestError> {
        let tree = Tree::new(blob)?;
        let root = tree.root()?;
        if !root.text("compatible")?.is_some_and(|found| COMPATIBLE.contains(&found)) {
            return Err(ManifestError::NotCompatible {
                expected: "\"arm,ffa-manifest-1.0\" or \"arm,ffa-manifest-1.1\"",
            });
        }
        root.check_fields(&PARTITION)?;
        check_kind(&root)?;
        let memory = parse_own_memory(&root, loaded)?;
        let entry_point_offset = root.number("entrypoint-offset")?.unwrap_or(0);
        if entry_point_offset >= memory.size() || !entry_point_offset.is_multiple_of(4) {
            return Err(root.bad("entrypoint-offset", "a multiple of 4 below \"mem-size\""));
        }
        // Never is a call on memory cut into slices of time, so whoever wants that has it.
        let _ = root.flag("time-slice-mem")?;
        let services = services::parse(&root)?;
        let ns_interrupts_action = parse_ns_interrupts_action(&root)?;
        let (memory_regions, rx_tx) = regions::parse_memory(&root, &memory)?;
        let manifest = Self {
            name: root.text("description")?.map(name).unwrap_or_default(),
            ffa_version: parse_version(&root)?,
            messaging: services.messaging(),
            uuids: services.uuids,
            methods: services.methods,
            id: parse_id(&root)?,
            context_count: parse_context_count(&root)?,
            memory,
            entry_point_offset,
            boot_order: root
                .cell("boot-order")?
                .map(u16::try_from)
                .transpose()
                .map_err(|_| root.bad("boot-order", "at most 0xffff"))?,
            ns_interrupts_action,
            other_secure_interrupts_action: parse_other_s_interrupts_action(&root, ns_interrupts_action)?,
            sri_policy: parse_sri_policy(&root)?,
            managed_exit: parse_managed_exit(&root, ns_interrupts_action)?,
            notification_support: root.flag("notification-support")?,
            boot_info_register: parse_boot_info(&root)?,
            cpu_off_message: parse_power_management(&root)?,
            abort_action: parse_abort_action(&root)?,
            lifecycle_support: root.flag("lifecycle-support")?,
            vm_availability: parse_vm_availability(&root)?,
            rx_tx,
            memory_regions,
            device_regions: regions::parse_devices(&root)?,
        };
        manifest.check_version(&root)?;
        Ok(manifest)
    }

    /// Returns the messages of the service `uuid`, if it is one of the partition's; of all of them together for
    /// the nil UUID.
    pub fn messaging_of(&self, uuid: &Uuid) -> Option<Messaging> {
        if uuid.is_nil() {
            return Some(self.messaging);
        }
        self.services().find(|(own, _)| *own == uuid).map(|(_, messaging)| *messaging)
    }

    /// Yields the Secure memory that is the partition's alone: what it was loaded into, and the Secure memory regions
    /// outside of that.
    pub fn own_memory(&self) -> impl Iterator<Item = &PageRange<Pa>> {
        let apart = |range: &&PageRange<Pa>| {
            range.start().space() == AddressSpace::Secure && !self.memory.contains_range(range)
        };
        let regions = self.memory_regions.iter().map(|region| &region.range).filter(apart);
        core::iter::once(&self.memory).chain(regions)
    }

    /// Yields the services: their UUIDs and their messages.
    pub fn services(&self) -> impl Iterator<Item = (&Uuid, &Messaging)> {
        self.uuids.iter().zip(&self.methods)
    }

    /// Checks that the partition asks for nothing that its version of FF-A does not have.
    fn check_version(&self, root: &Node<'_, '_>) -> Result<(), ManifestError> {
        let minor = self.ffa_version & 0xffff;
        if minor < 2 && (self.messaging.receives_direct2 || self.messaging.sends_direct2) {
            return Err(root.bad(
                "ffa-version",
                "at least 0x00010002 where \"messaging-method\" has bit 9 or 10: FF-A 1.2 brought them",
            ));
        }
        if minor < 1 && self.messaging.indirect {
            return Err(root.bad(
                "ffa-version",
                "at least 0x00010001 where \"messaging-method\" has bit 2: that of FF-A 1.0 is not served",
            ));
        }
        if minor < 1 && self.notification_support {
            return Err(
                root.bad("ffa-version", "at least 0x00010001 where there is \"notification-support\"")
            );
        }
        Ok(())
    }
}

/// Reads where the partition lies. The SPMC manifest knows it as well, so it can be left out.
fn parse_own_memory(
    root: &Node<'_, '_>,
    loaded: Option<&PageRange<Pa>>,
) -> Result<PageRange<Pa>, ManifestError> {
    let start = match (root.number("load-address")?, loaded) {
        (Some(start), _) => Pa::secure(start),
        (None, Some(loaded)) => loaded.start(),
        (None, None) => return Err(root.missing("load-address")),
    };
    let size = match (root.number("mem-size")?, loaded) {
        (Some(size), _) => size,
        (None, Some(loaded)) => loaded.size(),
        (None, None) => return Err(root.missing("mem-size")),
    };
    PageRange::from_size(start, size).map_err(|reason| root.bad_range("load-address", reason))
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

fn parse_id(root: &Node<'_, '_>) -> Result<Option<EndpointId>, ManifestError> {
    let Some(id) = root.cell("id")? else { return Ok(None) };
    let id = u16::try_from(id).ok().map(EndpointId::new).filter(|id| id.is_secure());
    id.map(Some).ok_or_else(|| root.bad("id", "from 0x8001 to 0x8008, the ids of Secure Partitions"))
}

fn parse_context_count(root: &Node<'_, '_>) -> Result<usize, ManifestError> {
    let count = root.required_cell("execution-ctx-count")?;
    match usize::try_from(count) {
        Ok(count) if (1..=MAX_VCPUS).contains(&count) => Ok(count),
        _ => Err(root.bad("execution-ctx-count", "from 1 to 8")),
    }
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

fn parse_sri_policy(root: &Node<'_, '_>) -> Result<SriPolicy, ManifestError> {
    let bits = root.cell("sri-interrupts-policy")?.unwrap_or(0);
    if bits > 0b11 {
        return Err(root.bad("sri-interrupts-policy", "a sum of bits 0 and 1"));
    }
    Ok(SriPolicy { while_waiting: bits & 0b01 != 0, entering_waiting: bits & 0b10 != 0 })
}

fn parse_abort_action(root: &Node<'_, '_>) -> Result<AbortAction, ManifestError> {
    match root.cell("abort-action")? {
        Some(0) | None => Ok(AbortAction::Stop),
        Some(1) => Ok(AbortAction::Destroy),
        Some(2) => Ok(AbortAction::Restart),
        Some(3) => Ok(AbortAction::Propagate),
        Some(_) => Err(root.bad("abort-action", "0 (stop), 1 (destroy), 2 (restart) or 3 (propagate)")),
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
    node.check_compatible("arm,ffa-manifest-boot-info", "\"arm,ffa-manifest-boot-info\"")?;
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
        _ => Err(root.bad(
            "power-management-messages",
            "0 or 1: of its messages, bit 0, CPU_OFF, is the only one that the firmware relays",
        )),
    }
}

fn parse_vm_availability(root: &Node<'_, '_>) -> Result<VmAvailability, ManifestError> {
    let bits = root.cell("vm-availability-messages")?.unwrap_or(0);
    if bits > 0b11 {
        return Err(root.bad("vm-availability-messages", "a sum of bits 0 and 1"));
    }
    Ok(VmAvailability { created: bits & 0b01 != 0, destroyed: bits & 0b10 != 0 })
}
