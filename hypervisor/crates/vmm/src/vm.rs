//! A virtual machine: its memory, its devices, its virtual CPUs, and whether it is on.

use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use heapless::Vec;
use spin::Mutex;
use tantalum_hal::VmId;
use tantalum_hal::vm::{Host, Translation};
use tantalum_manifest::VmManifest;
use tantalum_stage2::{Access, Attributes, Stage2, Stage2Error, TablePool};
use tantalum_types::{AddressSpace, CpuIndex, Ipa, MAX_VCPUS, PartitionIndex, VcpuIndex, VmIndex};

use crate::devices::pl011::Pl011;
use crate::devices::pl031::Pl031;
use crate::load::Progress;
use crate::memory::GuestMemory;
use crate::vcpu::Vcpu;
use crate::vgic::{VcpuSet, Vgic};

/// Bounds the lines that are logged about what a virtual machine does wrong.
const COMPLAINTS: u32 = 16;

/// Says whether a virtual machine is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Power {
    /// Its kernel is being put into its memory.
    Loading,
    /// It is on.
    On,
    /// Its virtual CPUs are stopped, and then it is turned off.
    TurningOff,
    /// Its virtual CPUs are stopped, and then it begins anew.
    Resetting,
    /// It is off.
    Off,
}

impl Power {
    const fn from_raw(raw: u8) -> Self {
        match raw {
            0 => Self::Loading,
            1 => Self::On,
            2 => Self::TurningOff,
            3 => Self::Resetting,
            _ => Self::Off,
        }
    }

    /// Tells whether virtual CPUs are to be stopped.
    pub const fn is_stopping(self) -> bool {
        matches!(self, Self::TurningOff | Self::Resetting)
    }
}

/// Is a device and its interrupt line.
#[derive(Debug)]
pub(crate) struct Wired<D> {
    pub(crate) device: D,
    up: bool,
}

impl<D> Wired<D> {
    const fn new(device: D) -> Self {
        Self { device, up: false }
    }

    /// Lets the line be up or down, and returns whom that concerns. The device stays locked meanwhile, so that the last
    /// one who changes it says how the line is.
    pub(crate) fn set_line(&mut self, vgic: &Vgic, intid: u32, up: bool) -> VcpuSet {
        if self.up == up {
            return VcpuSet::EMPTY;
        }
        self.up = up;
        vgic.set_line(intid, up)
    }
}

/// Is a virtual machine.
#[derive(Debug)]
pub struct Vm {
    index: VmIndex,
    pub(crate) manifest: VmManifest,
    pub(crate) memory: GuestMemory,
    pub(crate) translation: Translation,
    /// What its memory is mapped to. Nobody who has locked it waits for another lock but that of the tables.
    pub(crate) stage2: Mutex<Stage2>,
    pub(crate) vgic: Vgic,
    pub(crate) uart: Mutex<Wired<Pl011>>,
    pub(crate) clock: Mutex<Wired<Pl031>>,
    /// When the clock raises its interrupt, as a system count; the greatest one if it does not.
    pub(crate) alarm: AtomicU64,
    /// What its virtual counter is behind the system counter.
    counter_offset: AtomicU64,
    pub(crate) vcpus: Vec<Vcpu, MAX_VCPUS>,
    power: AtomicU8,
    /// How many virtual CPUs have stopped.
    stopped: AtomicUsize,
    /// How much of it has been loaded. Of the CPU of its first virtual CPU.
    pub(crate) progress: Mutex<Progress>,
    complaints: AtomicU32,
}

impl Vm {
    /// Builds virtual machine `index`, whose memory is mapped.
    ///
    /// # Errors
    /// Says so if its memory cannot be mapped.
    pub fn new<const N: usize, H: Host>(
        index: VmIndex,
        manifest: &VmManifest,
        now: u64,
        tables: &mut TablePool<N>,
        host: &H,
    ) -> Result<Self, Stage2Error> {
        let memory = GuestMemory::new(manifest.memory);
        // There are as many owners of tables as virtual machines at most, and VMID 0 is nobody's.
        let owner = PartitionIndex::new(index.get()).ok_or(Stage2Error::TableMemory)?;
        let vmid = VmId(index.as_u16().wrapping_add(1));
        let mut stage2 = Stage2::new(owner, AddressSpace::NonSecure, vmid, tables, host)?;
        let ipa = memory.ipa_range().ok_or(Stage2Error::OutOfRange)?;
        if let Err(error) = stage2.map(ipa, *memory.range(), Attributes::OWN_MEMORY, tables, host, host) {
            stage2.destroy(tables, host, host);
            return Err(error);
        }
        Ok(Self {
            index,
            manifest: manifest.clone(),
            memory,
            translation: Translation { root: stage2.root(), vmid },
            stage2: Mutex::new(stage2),
            vgic: Vgic::new(manifest.cpus.len()),
            uart: Mutex::new(Wired::new(Pl011::new())),
            clock: Mutex::new(Wired::new(Pl031::new(now))),
            alarm: AtomicU64::new(u64::MAX),
            counter_offset: AtomicU64::new(0),
            vcpus: manifest.cpus.iter().map(|cpu| Vcpu::new(*cpu)).collect(),
            power: AtomicU8::new(Power::Off as u8),
            stopped: AtomicUsize::new(0),
            progress: Mutex::new(Progress::Begin),
            complaints: AtomicU32::new(0),
        })
    }

    /// Returns its place in the manifest.
    pub const fn index(&self) -> VmIndex {
        self.index
    }

    /// Returns its name.
    pub fn name(&self) -> &str {
        &self.manifest.name
    }

    /// Returns whether one of its virtual CPUs is run by `cpu`.
    pub(crate) fn uses(&self, cpu: CpuIndex) -> bool {
        self.vcpus.iter().any(|vcpu| vcpu.home() == cpu)
    }

    /// Returns when its clock raises its interrupt, as a system count; the greatest one if it does not.
    pub(crate) fn alarm(&self) -> u64 {
        self.alarm.load(Ordering::SeqCst)
    }

    /// Returns what its virtual counter is behind the system counter.
    pub(crate) fn counter_offset(&self) -> u64 {
        self.counter_offset.load(Ordering::Relaxed)
    }

    pub(crate) fn set_counter_offset(&self, offset: u64) {
        self.counter_offset.store(offset, Ordering::Relaxed);
    }

    /// Tells whether stage 2 lets it reach `ipa`. Then another processing element has changed that since it could not.
    pub(crate) fn may_access(&self, ipa: Ipa, write: bool, host: &impl Host) -> bool {
        let mapping = self.stage2.lock().translate(ipa, host);
        mapping.is_some_and(|mapping| !write || mapping.attributes.access == Access::ReadWrite)
    }

    /// Returns the virtual CPU `index`, if there is one.
    pub fn vcpu(&self, index: VcpuIndex) -> Option<&Vcpu> {
        self.vcpus.get(index.get())
    }

    /// Returns the virtual CPU of which MPIDR_EL1 says `mpidr`, if there is one: its number, in Aff0.
    pub fn vcpu_at(&self, mpidr: u64) -> Option<(VcpuIndex, &Vcpu)> {
        let index = usize::try_from(mpidr).ok().and_then(VcpuIndex::new)?;
        self.vcpu(index).map(|vcpu| (index, vcpu))
    }

    /// Returns whether it is on.
    pub fn power(&self) -> Power {
        Power::from_raw(self.power.load(Ordering::SeqCst))
    }

    pub(crate) fn set_power(&self, power: Power) {
        self.power.store(power as u8, Ordering::SeqCst);
    }

    /// Begins to turn it off or to reset it, and says whether it was on.
    pub(crate) fn begin_to_stop(&self, to: Power) -> bool {
        self.power.compare_exchange(Power::On as u8, to as u8, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    /// Takes note that a virtual CPU has stopped, and says whether it was the last.
    pub(crate) fn count_stopped(&self) -> bool {
        self.stopped.fetch_add(1, Ordering::SeqCst).checked_add(1) == Some(self.vcpus.len())
    }

    /// Puts everything but the memory into its state after power-on. Its virtual CPUs are stopped.
    pub(crate) fn reset(&self, now: u64) {
        self.vgic.reset();
        *self.uart.lock() = Wired::new(Pl011::new());
        *self.clock.lock() = Wired::new(Pl031::new(now));
        self.alarm.store(u64::MAX, Ordering::SeqCst);
        *self.progress.lock() = Progress::Begin;
        self.stopped.store(0, Ordering::SeqCst);
        self.vcpus.iter().for_each(Vcpu::reset);
    }

    /// Tells whether something that it does wrong is to be logged: the first few times only, so that it cannot fill the
    /// log.
    pub(crate) fn may_complain(&self) -> bool {
        let below = |count: u32| if count < COMPLAINTS { count.checked_add(1) } else { None };
        self.complaints.fetch_update(Ordering::Relaxed, Ordering::Relaxed, below).is_ok()
    }
}
