//! A Secure Partition: what its manifest says, its execution contexts and its address spaces.

use crate::sync::atomic::{AtomicU64, Ordering};
use core::error::Error;
use core::fmt;

use crate::sync::Mutex;
use heapless::Vec;
use tantalum_ffa::boot_info::BootInfo;
use tantalum_ffa::{PartitionInfo, PartitionProperties, Status, Version};
use tantalum_hal::{
    AccessError, CodeMemory, InterruptSetting, PhysicalMemory, Stage2Roots, TableMemory, Tlb, TrapKind,
    Trigger, VcpuStart, VmId,
};
use tantalum_manifest::{
    AbortAction, ManagedExitLine, ManifestError, Messaging, Name, Package, PartitionManifest,
};
use tantalum_stage2::{Access, Attributes, Execute, Mapping, Stage2, Stage2Error, TablePool};
use tantalum_types::{
    Address, AddressSpace, CpuIndex, EndpointId, Ipa, MAX_PARTITIONS, MAX_VCPUS, PAGE_SIZE, Pa, PageRange,
    PartitionIndex, Uuid, VcpuId, VcpuIndex,
};

use crate::endpoint::Endpoint;
use crate::lifecycle::Lifecycle;
use crate::mailbox::MAX_BUFFER_PAGES;
use crate::pristine::Pristine;
use crate::regions::map_regions;
use crate::shared_vcpu::{SharedVcpu, VcpuGuard};
use crate::virtual_interrupts::{
    ContextInterrupts, Line, MANAGED_EXIT, NOTIFICATION_PENDING, OwnedInterrupts,
};
use crate::vm::KnownVms;

/// Counts the table pages of each partition.
///
/// Four go to its two roots and to a memory of up to 2 MiB; with the others it can borrow memory that lies scattered over
/// as many pieces of 2 MiB, less one for each GiB. That is more than a driver's buffers take. It is not enough for pages
/// spread over all the normal world's memory, which would take a table for each page: then the borrower is told that
/// there is no memory.
///
/// What eight regions of memory and one of a device take, each in a piece of 2 MiB of its own, is fifteen, so fewer would
/// turn manifests down that this accepts.
const PAGES_EACH: usize = 16;

/// Counts the table pages for all partitions together, of which each that is named in the SPMC's manifest may have its
/// share. They are the largest part of the SPMC's memory.
pub const TABLE_PAGES: usize = PAGES_EACH * MAX_PARTITIONS;

/// Is a Secure Partition.
#[derive(Debug)]
pub(crate) struct Partition {
    index: PartitionIndex,
    manifest: PartitionManifest,
    vcpus: Vec<SharedVcpu, MAX_VCPUS>,
    interrupts: [ContextInterrupts; MAX_VCPUS],
    owned_interrupts: OwnedInterrupts,
    /// The partition as a caller.
    pub endpoint: Endpoint,
    roots: Stage2Roots,
    tables: Mutex<Tables>,
    boot_info: u64,
    secondary_entry: AtomicU64,
    /// Where in its life it is.
    pub life: Lifecycle,
    /// The virtual machines that it has been told of.
    pub known_vms: Mutex<KnownVms>,
    package: Package,
    /// What it begins anew from; `Some` exactly if its manifest asks for that.
    pristine: Option<Pristine>,
}

/// Counts the bytes of a place for a partition.
#[cfg(all(test, not(shuttle)))]
pub(crate) const SIZE: usize = size_of::<Option<Partition>>();

/// Returns the names and the bytes of the pools that each partition has its own of.
#[cfg(all(test, not(shuttle)))]
pub(crate) const fn sizes() -> [(&'static str, usize); 4] {
    [
        ("states of execution contexts", size_of::<Vec<SharedVcpu, MAX_VCPUS>>()),
        (
            "interrupts of partitions",
            size_of::<[ContextInterrupts; MAX_VCPUS]>() + size_of::<OwnedInterrupts>(),
        ),
        ("mailboxes of partitions", size_of::<Endpoint>()),
        ("what partitions begin anew from", size_of::<Option<Pristine>>()),
    ]
}

/// Holds the translation of both IPA spaces. Whoever changes a mapping takes the lock around it.
#[derive(Debug)]
struct Tables {
    secure: Stage2,
    non_secure: Stage2,
}

impl Tables {
    fn of(&self, space: AddressSpace) -> &Stage2 {
        match space {
            AddressSpace::Secure => &self.secure,
            AddressSpace::NonSecure => &self.non_secure,
        }
    }

    fn of_mut(&mut self, space: AddressSpace) -> &mut Stage2 {
        match space {
            AddressSpace::Secure => &mut self.secure,
            AddressSpace::NonSecure => &mut self.non_secure,
        }
    }
}

/// Is an execution context that runs, together with its partition.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Running<'a> {
    /// The partition.
    pub partition: &'a Partition,
    /// The execution context.
    pub id: VcpuId,
}

impl<'a> Running<'a> {
    /// Locks the execution context.
    ///
    /// # Errors
    /// ABORTED if the partition has no such one.
    pub(crate) fn vcpu(&self) -> Result<VcpuGuard<'a>, Status> {
        self.partition.vcpu(self.id.index).ok_or(Status::Aborted)
    }
}

/// Says why a partition cannot be built. The SPMC goes on without it.
#[derive(Debug)]
pub(crate) enum PartitionError {
    /// Its package, its manifest, or how it fits with the others.
    Manifest(ManifestError),
    /// Its address spaces.
    Stage2(Stage2Error),
    /// Its memory is no RAM.
    Memory(AccessError),
    /// Its memory is not what the SPMC's manifest gives to partitions.
    OutsideSecureMemory(PageRange<Pa>),
    /// Its manifest has more bytes than the SPMC reads.
    ManifestTooLarge(u64),
    /// Its boot information does not fit.
    BootInfo,
    /// It is to begin anew after it was stopped, and there is no memory for a copy of its package.
    NoCopy,
    /// A region of memory or of a device that it asks for.
    Region {
        /// The name of the region's node.
        name: Name,
        /// Why it cannot be mapped.
        error: Stage2Error,
    },
    /// Its message buffers have more pages than the SPMC takes.
    BuffersTooLarge,
    /// An interrupt of a device that it asks for is one of the SPMC's own.
    ReservedInterrupt(u32),
    /// It asks for something that this SPMC cannot give yet.
    Unsupported(&'static str),
}

impl fmt::Display for PartitionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Manifest(error) => error.fmt(f),
            Self::Stage2(error) => error.fmt(f),
            Self::Memory(error) => error.fmt(f),
            Self::OutsideSecureMemory(range) => write!(
                f,
                "its {} KiB at {} are not in a memory node of the SPMC's manifest",
                range.size() >> 10,
                range.start()
            ),
            Self::ManifestTooLarge(size) => {
                write!(f, "its manifest has {size} bytes: at most 4096 are read")
            }
            Self::BootInfo => f.write_str("its boot information does not fit in a page"),
            Self::NoCopy => f.write_str(
                "abort-action: no Secure memory is left for the copy of its package that a restart needs",
            ),
            Self::Region { name, error } => write!(f, "its region \"{name}\" cannot be mapped: {error}"),
            Self::BuffersTooLarge => {
                write!(f, "\"rx_tx-info\" has to name buffers of at most {MAX_BUFFER_PAGES} pages each")
            }
            Self::ReservedInterrupt(intid) => {
                write!(f, "the interrupt {intid} is the SPMC's own: remove it from \"interrupts\"")
            }
            Self::Unsupported(what) => write!(f, "{what} is not supported: leave it out of the manifest"),
        }
    }
}

impl Error for PartitionError {}

impl From<ManifestError> for PartitionError {
    fn from(error: ManifestError) -> Self {
        Self::Manifest(error)
    }
}

impl From<Stage2Error> for PartitionError {
    fn from(error: Stage2Error) -> Self {
        Self::Stage2(error)
    }
}

impl From<AccessError> for PartitionError {
    fn from(error: AccessError) -> Self {
        Self::Memory(error)
    }
}

impl Partition {
    /// Builds partition `index` from its manifest, which has been checked: gives it its memory, the regions and
    /// the message buffers that the manifest names, and nothing else, and writes its boot information over the header of its package, which nobody needs any more.
    ///
    /// # Errors
    /// Says why it cannot be built; the table pages that it took are lost to it, not to others.
    pub(crate) fn new(
        index: PartitionIndex,
        manifest: PartitionManifest,
        package: &Package,
        pool: &mut TablePool<TABLE_PAGES>,
        platform: &(impl PhysicalMemory + TableMemory + Tlb),
    ) -> Result<Self, PartitionError> {
        refuse_unsupported(&manifest)?;
        // VMID 0 is left to mean nobody.
        let vmid = VmId(index.as_u16().saturating_add(1));
        let mut secure = Stage2::new(index, AddressSpace::Secure, vmid, pool, platform)?;
        let mut non_secure = Stage2::new(index, AddressSpace::NonSecure, vmid, pool, platform)?;
        secure.map(
            manifest.memory.to_identical_ipa(),
            manifest.memory,
            Attributes::OWN_MEMORY,
            pool,
            platform,
            platform,
        )?;
        map_regions(&manifest, &mut secure, &mut non_secure, pool, platform)?;
        let boot_info = match manifest.boot_info_register {
            Some(_) => write_boot_info(&manifest, package, platform)?,
            None => 0,
        };
        let mut vcpus = Vec::new();
        for _ in 0..manifest.context_count {
            // The count was checked against the same maximum.
            let _ = vcpus.push(SharedVcpu::new());
        }
        let endpoint = Endpoint::new(first_version(&manifest));
        if manifest.rx_tx.is_some_and(|buffers| buffers.rx.page_count() > u64::from(MAX_BUFFER_PAGES)) {
            return Err(PartitionError::BuffersTooLarge);
        }
        let partition = Self {
            index,
            endpoint,
            roots: Stage2Roots { secure: secure.root(), non_secure: non_secure.root(), vmid: vmid.0 },
            tables: Mutex::new(Tables { secure, non_secure }),
            owned_interrupts: owned_interrupts(&manifest),
            manifest,
            vcpus,
            interrupts: [const { ContextInterrupts::new() }; MAX_VCPUS],
            boot_info,
            secondary_entry: AtomicU64::new(0),
            life: Lifecycle::new(),
            known_vms: Mutex::new(KnownVms::new()),
            package: *package,
            pristine: None,
        };
        partition.map_manifest_buffers();
        Ok(partition)
    }

    /// Gives the partition, which has no message buffers, those that its manifest names, if it does.
    pub(crate) fn map_manifest_buffers(&self) {
        if let Some(buffers) = self.manifest.rx_tx {
            // They have been found apart.
            let _ = self.endpoint.mailbox.lock().map(buffers.tx, buffers.rx);
        }
    }

    /// Returns the partition's place in the SPMC's manifest.
    pub(crate) fn index(&self) -> PartitionIndex {
        self.index
    }

    /// Returns the partition's endpoint id.
    pub(crate) fn id(&self) -> EndpointId {
        self.index.endpoint_id()
    }

    /// Returns the partition's name, for people.
    pub(crate) fn name(&self) -> &str {
        &self.manifest.name
    }

    /// Returns what the partition's manifest says.
    pub(crate) fn manifest(&self) -> &PartitionManifest {
        &self.manifest
    }

    /// Returns the roots of the partition's address spaces.
    pub(crate) fn roots(&self) -> &Stage2Roots {
        &self.roots
    }

    /// Tells whether the partition has one execution context for each processing element, which stay there.
    pub(crate) fn is_multi_processor(&self) -> bool {
        self.vcpus.len() > 1
    }

    /// Returns the execution context that serves calls on `cpu`: its own one of a multi-processor partition,
    /// the only one of another; `None` if the partition has none there.
    pub(crate) fn vcpu_on(&self, cpu: CpuIndex) -> Option<VcpuId> {
        let index = if self.is_multi_processor() { cpu.get() } else { 0 };
        self.vcpus.get(index)?;
        Some(VcpuId { partition: self.index, index: VcpuIndex::new(index)? })
    }

    /// Returns the processing element that one of the partition's execution contexts is tied to, if it is tied.
    pub(crate) fn home_of(&self, index: VcpuIndex) -> Option<CpuIndex> {
        if self.is_multi_processor() { CpuIndex::new(index.get()) } else { None }
    }

    /// Locks one of the partition's execution contexts, if it has it. Nobody holds two such locks.
    pub(crate) fn vcpu(&self, index: VcpuIndex) -> Option<VcpuGuard<'_>> {
        self.vcpus.get(index.get()).map(SharedVcpu::lock)
    }

    /// Locks one of the partition's execution contexts to give it work.
    ///
    /// # Errors
    /// INVALID_PARAMETERS if the partition does not have it, BUSY if it is at work already, for which nobody waits.
    #[inline]
    pub(crate) fn idle_vcpu(&self, index: VcpuIndex) -> Result<VcpuGuard<'_>, Status> {
        let vcpu = self.vcpus.get(index.get()).ok_or(Status::InvalidParameters)?;
        if vcpu.is_at_work() { Err(Status::Busy) } else { Ok(vcpu.lock()) }
    }

    /// Tells whether the partition is being stopped because of what it did, or has been: then nobody enters any of
    /// its execution contexts.
    #[inline]
    pub(crate) fn is_aborted(&self) -> bool {
        self.life.is_over()
    }

    /// Returns what the partition's package consists of.
    pub(crate) fn package(&self) -> &Package {
        &self.package
    }

    /// Returns the copy of its package that the partition begins anew from, if it may.
    pub(crate) fn pristine(&self) -> Option<&Pristine> {
        self.pristine.as_ref()
    }

    /// Remembers the copy of its package that the partition begins anew from.
    pub(crate) fn set_pristine(&mut self, pristine: Pristine) {
        self.pristine = Some(pristine);
    }

    /// Yields the partition's execution contexts, each locked in turn.
    pub(crate) fn each_vcpu(&self) -> impl Iterator<Item = (VcpuIndex, VcpuGuard<'_>)> {
        VcpuIndex::all().zip(&self.vcpus).map(|(index, vcpu)| (index, vcpu.lock()))
    }

    /// Puts the partition, of which nothing runs, into the state in which it was loaded: its memory, and what the
    /// SPMC remembers of it.
    ///
    /// # Errors
    /// Says why it cannot be; the partition must not run then.
    pub(crate) fn restore(
        &self,
        platform: &(impl PhysicalMemory + CodeMemory),
    ) -> Result<(), PartitionError> {
        let memory = &self.manifest.memory;
        let pristine = self.pristine.as_ref().ok_or(PartitionError::NoCopy)?;
        pristine.restore(memory, platform)?;
        if self.manifest.boot_info_register.is_some() {
            write_boot_info(&self.manifest, &self.package, platform)?;
        }
        // Its first instructions run with the caches off.
        platform.publish(memory);
        self.secondary_entry.store(0, Ordering::Relaxed);
        self.endpoint.reset(first_version(&self.manifest));
        self.map_manifest_buffers();
        for (_, mut vcpu) in self.each_vcpu() {
            vcpu.revive();
        }
        Ok(())
    }

    /// Remembers where execution contexts other than the first begin.
    ///
    /// # Errors
    /// NOT_SUPPORTED if the partition has only one, or speaks FF-A 1.0, INVALID_PARAMETERS if `entry` is not in its
    /// memory.
    pub(crate) fn register_secondary_entry(&self, entry: u64) -> Result<(), Status> {
        if !self.is_multi_processor() || self.endpoint.negotiation.version() < Version::V1_1 {
            return Err(Status::NotSupported);
        }
        // An instruction lies on a multiple of four bytes, and address 0 stands for none.
        if entry == 0 || !entry.is_multiple_of(4) || !self.manifest.memory.contains(Pa::secure(entry)) {
            return Err(Status::InvalidParameters);
        }
        self.secondary_entry.store(entry, Ordering::Relaxed);
        Ok(())
    }

    /// Says how execution context `index` begins. The `first` one of the partition's life begins where the image
    /// says, the others where the first one has said.
    pub(crate) fn start_of(&self, index: VcpuIndex, first: bool) -> VcpuStart {
        let registered = self.secondary_entry.load(Ordering::Relaxed);
        let own = self.manifest.memory.start().raw().saturating_add(self.manifest.entry_point_offset);
        let (entry, boot_info) =
            if first || registered == 0 { (own, self.boot_info) } else { (registered, 0) };
        VcpuStart {
            entry_point: Ipa::secure(entry),
            boot_info_register: self.manifest.boot_info_register.unwrap_or(0),
            boot_info,
            // A partition finds the number of its execution context in Aff0, on whichever processing element
            // a uniprocessor one may be.
            mpidr: u64::from(index.as_u16()),
        }
    }

    /// Returns the virtual interrupts of one of the partition's execution contexts, if it has it.
    #[inline]
    pub(crate) fn interrupts(&self, index: VcpuIndex) -> Option<&ContextInterrupts> {
        self.interrupts.get(index.get())
    }

    /// Returns the physical interrupts that the partition owns.
    pub(crate) fn owned_interrupts(&self) -> &OwnedInterrupts {
        &self.owned_interrupts
    }

    /// Makes interrupt `intid` pending for one of the partition's execution contexts, and says whether it can have it.
    pub(crate) fn pend(&self, index: VcpuIndex, intid: u32) -> bool {
        match (self.interrupts(index), self.owned_interrupts.slot(intid)) {
            (Some(interrupts), Some(slot)) => {
                interrupts.pend(slot);
                true
            }
            _ => false,
        }
    }

    /// Lets the virtual interrupts of an execution context be as they are when it begins: those that the framework
    /// signals are enabled, on the line that the manifest names.
    pub(crate) fn reset_interrupts(&self, index: VcpuIndex) {
        let Some(interrupts) = self.interrupts(index) else { return };
        interrupts.reset();
        let line = match self.manifest.managed_exit {
            Some(ManagedExitLine::Irq) => Some(Line::Irq),
            Some(ManagedExitLine::Fiq) => Some(Line::Fiq),
            None => None,
        };
        if let (Some(line), Some(slot)) = (line, self.owned_interrupts.slot(MANAGED_EXIT)) {
            interrupts.enable(slot, line);
        }
        if let (true, Some(slot)) =
            (self.manifest.notification_support, self.owned_interrupts.slot(NOTIFICATION_PENDING))
        {
            interrupts.enable(slot, Line::Irq);
        }
    }

    /// Returns the physical pages behind `page_count` pages at `ipa`, which are the partition's own to write.
    ///
    /// # Errors
    /// INVALID_PARAMETERS if the address is not page aligned or not all of it is the partition's memory.
    pub(crate) fn own_pages(&self, ipa: u64, page_count: u64) -> Result<PageRange<Pa>, Status> {
        let range = PageRange::new(Ipa::secure(ipa), page_count).map_err(|_| Status::InvalidParameters)?;
        let pages = range.to_identical_pa();
        let own = self.manifest.own_memory().any(|own| own.contains_range(&pages));
        if own { Ok(pages) } else { Err(Status::InvalidParameters) }
    }

    /// Tells whether all of `range` is memory or a device that the manifest gives to the partition, Secure ones: what
    /// is Non-secure belongs to the normal world.
    pub(crate) fn has_at_first(&self, range: &PageRange<Pa>) -> bool {
        self.at_first().any(|own| own.contains_range(range))
    }

    /// Tells whether part of `range` is.
    pub(crate) fn has_part_at_first(&self, range: &PageRange<Pa>) -> bool {
        self.at_first().any(|own| own.overlaps(range))
    }

    fn at_first(&self) -> impl Iterator<Item = &PageRange<Pa>> {
        let regions = self.manifest.memory_regions.iter().map(|region| &region.range);
        let devices = self.manifest.device_regions.iter().map(|region| &region.range);
        let is_secure = |range: &&PageRange<Pa>| range.start().space() == AddressSpace::Secure;
        core::iter::once(&self.manifest.memory).chain(regions).chain(devices).filter(is_secure)
    }

    /// Returns how all of `pages` is mapped at the same address; `None` if part of it is not mapped there, or
    /// differently from the rest.
    pub(crate) fn mapping_of(&self, pages: &PageRange<Pa>, memory: &impl TableMemory) -> Option<Attributes> {
        let tables = self.tables.lock();
        let stage2 = tables.of(pages.start().space());
        let ipa = pages.to_identical_ipa();
        let attributes = stage2.translate(ipa.start(), memory)?.attributes;
        let same = |ipa: Ipa, mapping: Mapping| {
            mapping.attributes == attributes && mapping.pa == Pa::new(ipa.space(), ipa.raw())
        };
        stage2.is_mapped_with(&ipa, memory, same).then_some(attributes)
    }

    /// Tells whether stage 2 lets the partition do with `ipa` what it was stopped at, which it may not have done a
    /// moment ago: another processing element changes a mapping by breaking it first.
    pub(crate) fn is_allowed(&self, kind: TrapKind, memory: &impl TableMemory) -> bool {
        let (address, write, execute) = match kind {
            TrapKind::DataAbort { address, write } => (address, write, false),
            TrapKind::InstructionAbort { address } => (address, false, true),
            TrapKind::Instruction | TrapKind::SystemError => return false,
        };
        let mapping = self.tables.lock().of(address.space()).translate(address, memory);
        mapping.is_some_and(|mapping| {
            (!write || mapping.attributes.access == Access::ReadWrite)
                && (!execute || mapping.attributes.execute == Execute::Allowed)
        })
    }

    /// Maps every range of `ranges`, all of one address space, at the same addresses.
    ///
    /// # Errors
    /// NO_MEMORY if there are not enough table pages, DENIED if something is mapped there already. Nothing is mapped
    /// then.
    pub(crate) fn map_all(
        &self,
        ranges: impl Iterator<Item = PageRange<Pa>> + Clone,
        attributes: Attributes,
        pool: &Mutex<TablePool<TABLE_PAGES>>,
        platform: &(impl TableMemory + Tlb),
    ) -> Result<(), Status> {
        let Some(first) = ranges.clone().next() else { return Ok(()) };
        let mut tables = self.tables.lock();
        let ranges = ranges.map(|range| range.to_identical_ipa());
        tables
            .of_mut(first.start().space())
            .map_all_identically(ranges, attributes, &mut *pool.lock(), platform, platform)
            .map_err(refusal)
    }

    /// Unmaps every range of `ranges`, all of one address space. When this returns the partition cannot reach them any
    /// more on any processing element.
    ///
    /// # Errors
    /// NO_MEMORY if there are not enough table pages to split a block, DENIED if part of it is not mapped. Everything
    /// is mapped as it was then.
    pub(crate) fn unmap_all(
        &self,
        ranges: impl Iterator<Item = PageRange<Pa>> + Clone,
        pool: &Mutex<TablePool<TABLE_PAGES>>,
        platform: &(impl TableMemory + Tlb),
    ) -> Result<(), Status> {
        let Some(first) = ranges.clone().next() else { return Ok(()) };
        let mut tables = self.tables.lock();
        let ranges = ranges.map(|range| range.to_identical_ipa());
        tables
            .of_mut(first.start().space())
            .unmap_all(ranges, &mut *pool.lock(), platform, platform)
            .map_err(refusal)
    }

    /// Tells whether the partition offers a service under `uuid`; the nil UUID is offered by all.
    pub(crate) fn offers(&self, uuid: &Uuid) -> bool {
        uuid.is_nil() || self.manifest.uuids.contains(uuid)
    }

    /// Tells whether the partition takes requests of the second form to the service `uuid`; to the nil UUID if any of
    /// its services does.
    pub(crate) fn takes_service_requests(&self, uuid: &Uuid) -> bool {
        if uuid.is_nil() {
            return self.manifest.messaging.receives_direct2;
        }
        let mut services = self.manifest.services();
        services.any(|(service, method)| service == uuid && method.receives_direct2)
    }

    /// Describes the partition to the normal world or to another partition.
    ///
    /// Whether it may send direct requests is of no use to the normal world, which it cannot send any.
    pub(crate) fn info(&self, to_normal_world: bool) -> PartitionInfo {
        let messaging = &self.manifest.messaging;
        let mut properties = PartitionProperties::AARCH64;
        properties.set(PartitionProperties::RECEIVES_DIRECT, messaging.receives_direct);
        properties.set(PartitionProperties::SENDS_DIRECT, messaging.sends_direct && !to_normal_world);
        let vms = &self.manifest.vm_availability;
        properties.set(PartitionProperties::VM_CREATED, vms.created);
        properties.set(PartitionProperties::VM_DESTROYED, vms.destroyed);
        properties.set(PartitionProperties::RECEIVES_DIRECT2, messaging.receives_direct2);
        properties.set(PartitionProperties::SENDS_DIRECT2, messaging.sends_direct2 && !to_normal_world);
        properties.set(PartitionProperties::INDIRECT, messaging.indirect);
        properties.set(PartitionProperties::NOTIFICATIONS, self.manifest.notification_support);
        PartitionInfo {
            id: self.id(),
            execution_context_count: u16::try_from(self.vcpus.len()).unwrap_or(u16::MAX),
            properties,
            uuid: self.manifest.uuids.first().copied().unwrap_or(Uuid::nil()),
        }
    }
}

/// Says how a call is refused that stage 2 does not allow.
fn refusal(error: Stage2Error) -> Status {
    match error {
        Stage2Error::Pool(_) => Status::NoMemory,
        Stage2Error::MappedAlready
        | Stage2Error::NotMapped
        | Stage2Error::NeverExecutable
        | Stage2Error::OutOfRange => Status::Denied,
        Stage2Error::WrongSpace | Stage2Error::SizeMismatch | Stage2Error::TableMemory => Status::Aborted,
    }
}

/// Returns the version of FF-A that a partition is taken to speak until it says so itself.
fn first_version(manifest: &PartitionManifest) -> Version {
    Version::from_raw(manifest.ffa_version).unwrap_or(Version::V1_0).min(crate::version::SPMC_VERSION)
}

impl Partition {
    /// Describes the partition to whoever asks for `uuid`: that service, or for the nil UUID, each of its services
    /// if the caller `knows_services`, and otherwise all of them as one. Each has its own messages.
    pub(crate) fn infos(
        &self,
        uuid: &Uuid,
        knows_services: bool,
        to_normal_world: bool,
    ) -> impl Iterator<Item = PartitionInfo> {
        let all = self.info(to_normal_world);
        let as_one = uuid.is_nil() && !knows_services;
        let services = self.manifest.services().filter(move |(own, _)| uuid.is_nil() || *own == uuid);
        let each = services.map(move |(own, messaging)| PartitionInfo {
            uuid: *own,
            properties: all.properties.difference(not_of(messaging)),
            ..all
        });
        each.filter(move |_| !as_one).chain(as_one.then_some(all))
    }
}

/// Returns the properties that a service without those messages does not have.
fn not_of(messaging: &Messaging) -> PartitionProperties {
    let mut properties = PartitionProperties::empty();
    properties.set(PartitionProperties::RECEIVES_DIRECT, !messaging.receives_direct);
    properties.set(PartitionProperties::SENDS_DIRECT, !messaging.sends_direct);
    properties.set(PartitionProperties::INDIRECT, !messaging.indirect);
    properties.set(PartitionProperties::RECEIVES_DIRECT2, !messaging.receives_direct2);
    properties.set(PartitionProperties::SENDS_DIRECT2, !messaging.sends_direct2);
    properties
}

/// Refuses what a manifest may ask for and this SPMC does not give, rather than ignore it.
fn refuse_unsupported(manifest: &PartitionManifest) -> Result<(), PartitionError> {
    let refused = [(manifest.abort_action == AbortAction::Propagate, "abort-action 3 (propagate)")];
    match refused.into_iter().find(|(asked, _)| *asked) {
        Some((_, what)) => Err(PartitionError::Unsupported(what)),
        None => Ok(()),
    }
}

/// Lists the interrupts of the devices that a manifest gives to its partition, as they are when it begins.
fn owned_interrupts(manifest: &PartitionManifest) -> OwnedInterrupts {
    let mut owned = OwnedInterrupts::new();
    for interrupt in manifest.device_regions.iter().flat_map(|region| &region.interrupts) {
        let setting = InterruptSetting {
            enabled: true,
            priority: interrupt.priority,
            trigger: if interrupt.level { Trigger::Level } else { Trigger::Edge },
            secure: true,
            target: CpuIndex::default(),
        };
        // There is room for as many as a manifest can name.
        let _ = owned.add(interrupt.intid, setting, interrupt.target);
    }
    owned
}

/// Writes the boot information into the first page of the partition's memory and returns its address.
fn write_boot_info(
    manifest: &PartitionManifest,
    package: &Package,
    memory: &impl PhysicalMemory,
) -> Result<u64, PartitionError> {
    let at = manifest.memory.start();
    if package.manifest_offset < PAGE_SIZE || package.image_offset < PAGE_SIZE {
        return Err(PartitionError::BootInfo);
    }
    let tree = at.checked_add(package.manifest_offset).ok_or(PartitionError::BootInfo)?;
    let size = u32::try_from(package.manifest_size).map_err(|_| PartitionError::BootInfo)?;
    memory.write(at, &BootInfo { address: tree.raw(), size }.encode())?;
    Ok(at.raw())
}
