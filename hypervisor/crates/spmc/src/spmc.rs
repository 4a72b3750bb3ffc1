//! The SPMC itself: what it knows, how it is built at boot, and where events arrive.

use crate::sync::Mutex;
use heapless::Vec;
use tantalum_ffa::Version;
use tantalum_hal::{Action, Arrival, Event, Platform, Turn};
use tantalum_manifest::{
    AbortAction, Package, PartitionEntry, PartitionManifest, SpmcManifest, check_partition,
};
use tantalum_stage2::TablePool;
use tantalum_types::{
    Address, CallRegisters, CpuIndex, EndpointId, MAX_PARTITIONS, Pa, PageRange, PartitionIndex, VcpuId,
};

use crate::endpoint::Endpoint;
use crate::interrupt::{Interrupted, MachineInterrupts, PartitionSet};
use crate::notify::{Notifications, SCHEDULE_RECEIVER_SGI};
use crate::partition::{Partition, PartitionError, TABLE_PAGES};
use crate::pristine::Pristine;
use crate::share::Ledger;
use crate::vm::VmMailboxes;

/// Bounds a partition's manifest in bytes.
const MAX_MANIFEST_SIZE: usize = 4096;

/// Is the Secure Partition Manager Core.
///
/// A new one is zero in every byte, which takes care: lists that grow, and enums in which zero is the state at first. So
/// it needs no place in the image, which the linker script checks.
#[derive(Debug)]
pub struct Spmc {
    /// By their places in the SPMC's manifest; `None` is one that was left out.
    partitions: Vec<Option<Partition>, MAX_PARTITIONS>,
    boot_order: Vec<PartitionIndex, MAX_PARTITIONS>,
    /// The hypervisor of the normal world, or its OS kernel where there is none.
    pub(crate) normal_world: Endpoint,
    /// The buffers of the virtual machines that the hypervisor speaks for.
    pub(crate) vms: Mutex<VmMailboxes>,
    /// Who may signal what to whom, and what is pending.
    pub(crate) notifications: Mutex<Notifications>,
    pub(crate) normal_memory: Vec<PageRange<Pa>, { tantalum_manifest::MAX_REGIONS }>,
    /// The pages for translation tables. Nobody who has locked them waits for another lock.
    pub(crate) tables: Mutex<TablePool<TABLE_PAGES>>,
    /// Who has which memory.
    pub(crate) ledger: Mutex<Ledger>,
    pub(crate) machine: MachineInterrupts,
}

/// Says what a processing element does next; what belongs to it is in its [`Cpu`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Step {
    /// It calls the SPMD with the registers in `normal_world`, as [`Action::CallNormalWorld`] says.
    CallNormalWorld,
    /// It gives an execution context the turn that is in `turn`, as [`Action::Run`] says.
    Run,
}

/// Holds what one processing element is at. It belongs to that processing element alone.
///
/// The registers of a call stay where the machine has put them, and those of an answer are put where the machine finds
/// them.
#[derive(Debug)]
pub struct Cpu {
    /// x0 to x17 of the last call that came from the SPMD, and then of the answer to it.
    pub normal_world: CallRegisters,
    /// x0 to x17 of the last call of an execution context, and then of the answer to it.
    pub partition: CallRegisters,
    /// The turn of the execution context that runs, or ran last.
    pub turn: Turn,
    index: CpuIndex,
    /// The execution context that runs, or none while the normal world does.
    pub(crate) current: Option<VcpuId>,
    /// How many partitions of the boot order have had their turn on this processing element.
    pub(crate) booted: usize,
    /// Whether partitions still initialise themselves on this processing element, or learn that it goes off: the
    /// normal world cannot take over.
    pub(crate) booting: bool,
    /// How many partitions of the boot order have had their turn to learn that this processing element goes off;
    /// `None` while it does not.
    pub(crate) going_off: Option<usize>,
    /// Whether the normal world's scheduler is to be told of notifications when the normal world has its turn.
    pub(crate) schedule_receiver: bool,
    /// What goes on here when the execution context that handles a secure interrupt waits again, if one does.
    pub(crate) interrupted: Option<Interrupted>,
    /// Which partitions have an execution context that is to be run here for an interrupt, once nobody is in the way.
    pub(crate) to_wake: PartitionSet,
    /// Whose interrupts are to be set up or silenced here before this processing element goes on.
    pub(crate) to_configure: PartitionSet,
    /// Whether this processing element is about to go off.
    pub(crate) leaving: bool,
}

/// Returns the names and the bytes of the pools that there is one of.
#[cfg(all(test, not(shuttle)))]
pub(crate) fn sizes() -> [(&'static str, usize); 4] {
    [
        ("share transactions and the ledger of pages", size_of::<Mutex<Ledger>>()),
        ("mailboxes of the normal world", size_of::<Endpoint>() + size_of::<Mutex<VmMailboxes>>()),
        ("notification tables", size_of::<Mutex<Notifications>>()),
        ("which stage-2 tables are free", size_of::<Mutex<TablePool<TABLE_PAGES>>>()),
    ]
}

impl Cpu {
    /// Builds the state of a processing element that has just been started.
    pub const fn new(index: CpuIndex) -> Self {
        Self {
            normal_world: CallRegisters::ZERO,
            partition: CallRegisters::ZERO,
            turn: Turn::NONE,
            index,
            current: None,
            booted: 0,
            booting: true,
            going_off: None,
            schedule_receiver: false,
            interrupted: None,
            to_wake: PartitionSet::EMPTY,
            to_configure: PartitionSet::EMPTY,
            leaving: false,
        }
    }

    /// Returns which processing element it is.
    pub fn index(&self) -> CpuIndex {
        self.index
    }
}

impl Spmc {
    /// Builds an SPMC that knows no partition and no memory of the normal world yet.
    pub const fn new() -> Self {
        Self {
            partitions: Vec::new(),
            boot_order: Vec::new(),
            normal_world: Endpoint::new(Version::V1_0),
            vms: Mutex::new(VmMailboxes::new()),
            notifications: Mutex::new(Notifications::new()),
            normal_memory: Vec::new(),
            tables: Mutex::new(TablePool::new(0)),
            ledger: Mutex::new(Ledger::new()),
            machine: MachineInterrupts::new(),
        }
    }

    /// Takes in the SPMC's manifest and the packages that it names, once, before the first event.
    ///
    /// A partition whose package or manifest is wrong is left out, which the log says.
    pub fn configure(&mut self, manifest: &SpmcManifest, platform: &impl Platform) {
        self.normal_memory = manifest.non_secure_memory.clone();
        // A share for each, so that nobody can starve another.
        self.tables.get_mut().set_quota(TABLE_PAGES.checked_div(manifest.partitions.len()).unwrap_or(0));
        self.machine.cpus = manifest.cpus.clone();
        for (index, entry) in PartitionIndex::all().zip(&manifest.partitions) {
            let _ = self.partitions.push(None);
            match self.load(index, entry, manifest, platform) {
                Ok(partition) => {
                    log::info!(
                        "partition {} {}: {} execution contexts, {} KiB at {}",
                        partition.id(),
                        partition.name(),
                        partition.manifest().context_count,
                        partition.manifest().memory.size() >> 10,
                        partition.manifest().memory.start(),
                    );
                    self.reset_notifications(&partition);
                    if let Some(slot) = self.partitions.get_mut(index.get()) {
                        *slot = Some(partition);
                    }
                }
                Err(error) => {
                    log::error!("partition {} {} is left out: {error}", index.endpoint_id(), entry.name);
                }
            }
        }
        self.keep_packages(manifest, platform);
        self.partitions().for_each(|partition| self.claim_manifest_buffers(partition));
        self.order_boot();
    }

    /// Copies the packages of the partitions that may begin anew. One for whose copy there is no room is left out.
    fn keep_packages(&mut self, spmc: &SpmcManifest, platform: &impl Platform) {
        for index in PartitionIndex::all() {
            let Some(partition) = self.partition(index) else { continue };
            if partition.manifest().abort_action != AbortAction::Restart {
                continue;
            }
            let others = self.partitions();
            let kept = Pristine::keep(
                partition.package(),
                &partition.manifest().memory,
                spmc,
                others.clone().map(Partition::manifest),
                others.filter_map(Partition::pristine),
                platform,
            );
            let kept = kept.map_err(PartitionError::from).and_then(|kept| kept.ok_or(PartitionError::NoCopy));
            let Some(slot) = self.partitions.get_mut(index.get()) else { continue };
            match (kept, slot.as_mut()) {
                (Ok(pristine), Some(partition)) => {
                    log::info!(
                        "partition {} {}: {} KiB of its package are kept at {}",
                        partition.id(),
                        partition.name(),
                        pristine.range().size() >> 10,
                        pristine.range().start(),
                    );
                    partition.set_pristine(pristine);
                }
                (Err(error), _) => {
                    log::error!("partition {} is left out: {error}", index.endpoint_id());
                    *slot = None;
                }
                (Ok(_), None) => {}
            }
        }
    }

    /// Says what shall happen next on `cpu`, on which `event` has happened.
    pub fn handle<P: Platform>(&self, cpu: &mut Cpu, event: Event, platform: &P) -> Action {
        self.handle_by::<P, true>(cpu, event, platform)
    }

    /// As [`Self::handle`]; `STRAIGHT` as for [`Self::step`].
    pub fn handle_by<P: Platform, const STRAIGHT: bool>(
        &self,
        cpu: &mut Cpu,
        event: Event,
        platform: &P,
    ) -> Action {
        let arrival = match event {
            Event::Started => Arrival::Started,
            Event::NormalWorldCall(registers) => {
                cpu.normal_world = registers;
                Arrival::NormalWorldCall
            }
            Event::PartitionCall(registers) => {
                cpu.partition = registers;
                Arrival::PartitionCall
            }
            Event::PartitionTrap(trap) => Arrival::PartitionTrap(trap),
            Event::Interrupt(line) => Arrival::Interrupt(line),
            Event::TimerAccess(access) => Arrival::TimerAccess(access),
        };
        match self.step::<P, STRAIGHT>(cpu, &arrival, platform) {
            Step::CallNormalWorld => Action::CallNormalWorld(cpu.normal_world),
            Step::Run => cpu.turn.with(&cpu.partition),
        }
    }

    /// As [`Self::handle`], with the registers of calls and answers where they are in `cpu`.
    ///
    /// `STRAIGHT` says whether what is common may go the straight way, which leads to the same.
    #[inline(always)]
    pub fn step<P: Platform, const STRAIGHT: bool>(
        &self,
        cpu: &mut Cpu,
        arrival: &Arrival,
        platform: &P,
    ) -> Step {
        let step = self.decide::<P, STRAIGHT>(cpu, arrival, platform);
        if cpu.leaving || !cpu.to_configure.is_empty() {
            self.configure_interrupts(cpu, platform);
        }
        if cpu.schedule_receiver && step == Step::CallNormalWorld {
            cpu.schedule_receiver = false;
            platform.raise_donated_sgi(SCHEDULE_RECEIVER_SGI);
        }
        step
    }

    /// As [`Self::step`], for what is no call.
    #[cold]
    pub fn step_aside<P: Platform>(&self, cpu: &mut Cpu, arrival: &Arrival, platform: &P) -> Step {
        self.step::<P, false>(cpu, arrival, platform)
    }

    #[inline(always)]
    fn decide<P: Platform, const STRAIGHT: bool>(
        &self,
        cpu: &mut Cpu,
        arrival: &Arrival,
        platform: &P,
    ) -> Step {
        if let Some(current) = cpu.current
            && self.partition(current.partition).is_none_or(Partition::is_aborted)
        {
            // Another of its execution contexts did what it may not, while this one ran here.
            return self.end_turn(cpu, current, platform);
        }
        match arrival {
            Arrival::NormalWorldCall => {
                if STRAIGHT && let Some(step) = self.request_straight(cpu) {
                    return step;
                }
                self.normal_world_call(cpu, platform)
            }
            Arrival::PartitionCall => {
                if STRAIGHT && let Some(step) = self.end_of_turn_straight(cpu) {
                    return step;
                }
                self.partition_call(cpu, platform)
            }
            Arrival::Interrupt(line) => self.interrupt(cpu, *line, platform),
            Arrival::PartitionTrap(trap) => self.partition_trap(cpu, trap, platform),
            Arrival::TimerAccess(access) => self.timer_access(cpu, *access, platform),
            Arrival::Started => {
                platform.donate_sgi(cpu.index, SCHEDULE_RECEIVER_SGI);
                self.start_cpu(cpu)
            }
        }
    }

    /// Returns the partition with the index `index`, if there is one.
    pub(crate) fn partition(&self, index: PartitionIndex) -> Option<&Partition> {
        self.partitions.get(index.get())?.as_ref()
    }

    /// Returns the partition with the endpoint id `id`, if there is one.
    pub(crate) fn partition_by_id(&self, id: EndpointId) -> Option<&Partition> {
        self.partition(id.partition_index()?)
    }

    /// Returns every partition but the one with the index `index`, stopped ones too.
    pub(crate) fn others(&self, index: PartitionIndex) -> impl Iterator<Item = &Partition> {
        self.partitions.iter().flatten().filter(move |partition| partition.index() != index)
    }

    /// Returns every partition, in the order of their ids.
    pub(crate) fn partitions(&self) -> impl Iterator<Item = &Partition> + Clone {
        self.partitions.iter().flatten()
    }

    /// Returns every partition that has not been stopped, in the order of their ids.
    pub(crate) fn live_partitions(&self) -> impl Iterator<Item = &Partition> {
        self.partitions.iter().flatten().filter(|partition| !partition.is_aborted())
    }

    /// Returns the partition that has its turn at place `position` of the boot order.
    pub(crate) fn in_boot_order(&self, position: usize) -> Option<&Partition> {
        self.partition(*self.boot_order.get(position)?)
    }

    /// Reads the package of partition `index` and builds the partition.
    fn load<P: Platform>(
        &mut self,
        index: PartitionIndex,
        entry: &PartitionEntry,
        spmc: &SpmcManifest,
        platform: &P,
    ) -> Result<Partition, PartitionError> {
        let memory = entry.memory()?;
        if !spmc.secure_memory.iter().any(|secure| secure.contains_range(&memory)) {
            return Err(PartitionError::OutsideSecureMemory(memory));
        }
        let mut header = [0; Package::HEADER_SIZE];
        platform.read(memory.start(), &mut header)?;
        let package = Package::parse(&header, memory.size())?;

        let mut blob = [0; MAX_MANIFEST_SIZE];
        let size = usize::try_from(package.manifest_size).unwrap_or(usize::MAX);
        let blob = blob.get_mut(..size).ok_or(PartitionError::ManifestTooLarge(package.manifest_size))?;
        let at = memory
            .start()
            .checked_add(package.manifest_offset)
            .ok_or(PartitionError::ManifestTooLarge(package.manifest_offset))?;
        platform.read(at, blob)?;
        let manifest = PartitionManifest::parse_loaded(blob, &memory)?;

        let accepted = self.partitions.iter().flatten().map(Partition::manifest);
        check_partition(spmc, index, accepted, &manifest)?;
        let mut interrupts = manifest.device_regions.iter().flat_map(|region| &region.interrupts);
        if let Some(own) = interrupts.find(|interrupt| [P::KICK, P::TIMER].contains(&interrupt.intid)) {
            return Err(PartitionError::ReservedInterrupt(own.intid));
        }
        Partition::new(index, manifest, &package, self.tables.get_mut(), platform)
    }

    /// Puts the partitions into the boot order that they ask for; those that do not ask come last.
    ///
    /// Picking the next one again and again is slower than sorting, and for a handful of partitions 16 KiB smaller.
    fn order_boot(&mut self) {
        let place = |partition: &Partition| {
            let wish = partition.manifest().boot_order.map_or(u32::MAX, u32::from);
            (wish, partition.index())
        };
        self.boot_order.clear();
        let mut last = None;
        while let Some(next) = self
            .partitions
            .iter()
            .flatten()
            .map(place)
            .filter(|next| last.is_none_or(|last| *next > last))
            .min()
        {
            // There are as many places as partitions.
            let _ = self.boot_order.push(next.1);
            last = Some(next);
        }
    }
}

impl Default for Spmc {
    fn default() -> Self {
        Self::new()
    }
}
