//! A partition's manifest (FF-A 1.1, section 5.2; Arm's device tree binding for it).

use heapless::Vec;
use tantalum_types::{Pa, PageRange, Uuid};

use crate::error::{ManifestError, Name};

/// Bounds the UUIDs of one partition.
pub const MAX_UUIDS: usize = 4;
/// Bounds the memory regions of one partition.
pub const MAX_MEMORY_REGIONS: usize = 8;
/// Bounds the device regions of one partition.
pub const MAX_DEVICE_REGIONS: usize = 8;
/// Bounds the interrupts of one device region.
pub const MAX_INTERRUPTS: usize = 4;

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
        let _ = blob;
        Err(ManifestError::NotADeviceTree("it cannot be read yet"))
    }
}
