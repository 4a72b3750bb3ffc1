//! The virtio devices of virtual machines, and what is behind them.
//!
//! A device works when its driver notifies it, on the processing element of the driver. What is left then, and what others
//! bring, is done by the processing element of the virtual machine's first virtual CPU.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use heapless::Vec;
use spin::Mutex;
use tantalum_hal::vm::Host;
use tantalum_hal::{InterruptSetting, Trigger};
use tantalum_manifest::{BlockBackend as Backend, MAX_PORTS, MAX_VIRTIO_DEVICES, PortLimit, VirtioDevice};
use tantalum_types::{CpuIndex, Ipa, Pa, PageRange};

use crate::cpu::Cpu;
use crate::disk::{DiskOn, MachineDisk};
use crate::layout::VIRTIO_INTID;
use crate::vgic::VcpuSet;
use crate::virtio::{
    Block, BlockConfig, Budget, Console, ConsoleBackend, Entropy, EntropySource, GuestMemory,
    IDENTIFIER_LENGTH, Net, NetPort, OutOfMemory, Progress, RamDisk, SECTOR_SIZE,
};
use crate::vm::Vm;
use crate::vmm::Vmm;
use crate::vswitch::{Limit, PortConfig, Switch};

/// Counts the frames that can wait for a port.
const QUEUE: usize = 256;

/// How many times in a second it is tried again what a backend has refused.
const RETRIES: u64 = 1000;

/// The priority of a disk's interrupt, in the middle.
const DISK_PRIORITY: u8 = 0x80;

/// Is the network between the virtual machines.
pub(crate) type Network = Switch<MAX_PORTS, QUEUE>;

/// Is a virtio device with what is behind it. Of zeroes is none.
// There is no heap to put the large ones on.
#[allow(clippy::large_enum_variant)]
#[derive(Debug)]
#[repr(u8)]
pub(crate) enum Device {
    /// There is none.
    Absent,
    /// A disk in memory.
    RamDisk(Block, RamDisk),
    /// A block device of the machine, by its number.
    Disk(Block, usize),
    /// A network device, at a port of the switch.
    Network(Net, usize),
    /// A console, and what was written of a line.
    Console(Console, Line),
    /// A source of random bytes.
    Entropy(Entropy),
}

/// Is a line that is not complete.
pub(crate) type Line = Vec<u8, 128>;

/// Is a device and its interrupt line.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) device: Device,
    up: bool,
}

/// Is the devices of one virtual machine.
#[derive(Debug)]
pub(crate) struct Devices {
    slots: [Mutex<Slot>; MAX_VIRTIO_DEVICES],
    /// A bit for each device that has something to do, and perhaps for some that have nothing.
    pending: AtomicU32,
    /// For each device when it has, the complement of a system count: so the greatest one comes first, and zero never.
    urgency: [AtomicU64; MAX_VIRTIO_DEVICES],
}

impl Devices {
    pub(crate) const fn new() -> Self {
        Self {
            slots: [const { Mutex::new(Slot { device: Device::Absent, up: false }) }; MAX_VIRTIO_DEVICES],
            pending: AtomicU32::new(0),
            urgency: [const { AtomicU64::new(0) }; MAX_VIRTIO_DEVICES],
        }
    }

    /// Puts the device that `build` returns into place `index`.
    ///
    /// A device is large, and who reads a manifest needs much of the stack already: so each kind of device is built in a
    /// frame of its own, which is gone when the next one is built.
    #[inline(never)]
    fn put(&self, index: usize, build: impl FnOnce() -> Device) {
        if let Some(slot) = self.slots.get(index) {
            slot.lock().device = build();
        }
    }

    /// Resets every device, as its driver does. Nobody runs the virtual machine.
    pub(crate) fn reset(&self) {
        for slot in &self.slots {
            let mut slot = slot.lock();
            let _no_work = slot.device.write(STATUS, 4, 0);
            if let Device::Console(_, line) = &mut slot.device {
                line.clear();
            }
            slot.up = false;
        }
        self.pending.store(0, Ordering::SeqCst);
        for urgency in &self.urgency {
            urgency.store(0, Ordering::SeqCst);
        }
    }

    /// Returns when something is to be done, as a system count; the greatest one if nothing is.
    pub(crate) fn due(&self) -> u64 {
        if self.pending.load(Ordering::SeqCst) == 0 {
            return u64::MAX;
        }
        let urgencies = self.urgency.iter().map(|urgency| urgency.load(Ordering::SeqCst));
        !urgencies.max().unwrap_or(0)
    }

    /// Notes that a device has something to do at the system count `at`, and tells whether that is before what was noted.
    fn note(&self, index: usize, at: u64) -> bool {
        let Some(urgency) = self.urgency.get(index) else { return false };
        let before = urgency.fetch_max(!at, Ordering::SeqCst);
        // Who takes it clears the bit first: so there is a bit wherever there is an urgency, as soon as this returns.
        self.pending.fetch_or(bit(index), Ordering::SeqCst);
        !at > before
    }

    /// Takes note of a device, and tells whether it has something to do at the system count `now`.
    fn take_due(&self, index: usize, now: u64) -> bool {
        let Some(urgency) = self.urgency.get(index) else { return false };
        // Zero is never due, since no count is the greatest one.
        if self.pending.load(Ordering::SeqCst) & bit(index) == 0 || !urgency.load(Ordering::SeqCst) > now {
            return false;
        }
        self.pending.fetch_and(!bit(index), Ordering::SeqCst);
        urgency.swap(0, Ordering::SeqCst) != 0
    }
}

/// Is the register of a device whose zero resets it (virtio 1.2, section 4.2.2).
const STATUS: u64 = 0x070;

impl Device {
    fn read(&self, offset: u64, size: u8) -> u64 {
        match self {
            Self::Absent => crate::virtio::absent(offset, size),
            Self::RamDisk(block, _) | Self::Disk(block, _) => block.read(offset, size),
            Self::Network(net, _) => net.read(offset, size),
            Self::Console(console, _) => console.read(offset, size),
            Self::Entropy(entropy) => entropy.read(offset, size),
        }
    }

    /// Writes to a register, and says whether there is something to do.
    fn write(&mut self, offset: u64, size: u8, value: u64) -> bool {
        match self {
            Self::Absent => false,
            Self::RamDisk(block, _) | Self::Disk(block, _) => block.write(offset, size, value),
            Self::Network(net, _) => net.write(offset, size, value),
            Self::Console(console, _) => console.write(offset, size, value),
            Self::Entropy(entropy) => entropy.write(offset, size, value),
        }
    }

    fn interrupt(&self) -> bool {
        match self {
            Self::Absent => false,
            Self::RamDisk(block, _) | Self::Disk(block, _) => block.interrupt(),
            Self::Network(net, _) => net.interrupt(),
            Self::Console(console, _) => console.interrupt(),
            Self::Entropy(entropy) => entropy.interrupt(),
        }
    }
}

/// Says what else has to be done after a device has worked.
#[derive(Clone, Copy, Debug)]
struct Worked {
    progress: Progress,
    /// A bit for each port of the switch to which it has sent, or whose frame it let wait before.
    reached: u32,
    /// When it began, as a system count.
    since: u64,
}

impl Vmm {
    /// Reads a register of a virtio device.
    pub(crate) fn read_virtio(&self, vm: &Vm, index: usize, offset: u32, size: u8) -> u64 {
        let slot = self.devices(vm.index()).and_then(|devices| devices.slots.get(index));
        slot.map_or(0, |slot| slot.lock().device.read(offset.into(), size))
    }

    /// Writes to a register of a virtio device, which then does what there is to do.
    pub(crate) fn write_virtio<H: Host>(
        &self,
        cpu: &mut Cpu,
        vm: &Vm,
        index: usize,
        (offset, size, value): (u32, u8, u64),
        host: &H,
    ) {
        let Some(devices) = self.devices(vm.index()) else { return };
        let Some(slot) = devices.slots.get(index) else { return };
        let mut slot = slot.lock();
        let work = slot.device.write(offset.into(), size, value);
        let worked = work.then(|| self.work(&mut slot.device, vm, host));
        let concerned = slot.set_line(vm, index);
        drop(slot);
        self.concern(cpu, vm, concerned, host);
        if let Some(worked) = worked {
            self.follow_up(cpu, vm, index, worked, host);
        }
    }

    /// Lets a device do what it has to do.
    #[inline(never)]
    pub(crate) fn run_device<H: Host>(&self, cpu: &mut Cpu, vm: &Vm, index: usize, host: &H) {
        let Some(devices) = self.devices(vm.index()) else { return };
        let Some(slot) = devices.slots.get(index) else { return };
        let mut slot = slot.lock();
        let worked = self.work(&mut slot.device, vm, host);
        let concerned = slot.set_line(vm, index);
        drop(slot);
        self.concern(cpu, vm, concerned, host);
        self.follow_up(cpu, vm, index, worked, host);
    }

    /// Lets the devices of a virtual machine do what they have to do at the system count `now`. Its first virtual CPU is
    /// of this processing element.
    pub(crate) fn run_due_devices<H: Host>(&self, cpu: &mut Cpu, vm: &Vm, now: u64, host: &H) {
        let Some(devices) = self.devices(vm.index()) else { return };
        if devices.due() > now {
            return;
        }
        for index in 0..MAX_VIRTIO_DEVICES {
            if devices.take_due(index, now) {
                self.run_device(cpu, vm, index, host);
            }
        }
    }

    /// Lets a device work for a bounded time.
    fn work<H: Host>(&self, device: &mut Device, vm: &Vm, host: &H) -> Worked {
        let memory = View { vm, host };
        let since = host.now();
        let mut budget = Budget::NORMAL;
        let mut reached = 0;
        let progress = match device {
            Device::Absent => Progress::Idle,
            Device::RamDisk(block, disk) => block.run(&memory, &mut disk.on(host), &mut budget),
            Device::Disk(block, disk) => match self.disks.get(*disk) {
                Some(machine) => {
                    let mut backend = DiskOn { work: &mut machine.work.lock(), disk: *disk, host };
                    block.run(&memory, &mut backend, &mut budget)
                }
                None => Progress::Idle,
            },
            Device::Network(net, port) => {
                let mut port = Port { network: &self.network, port: *port, now: since, reached: 0 };
                let progress = net.run(&memory, &mut port, &mut budget);
                reached = port.reached;
                progress
            }
            Device::Console(console, line) => {
                let mut output = Output { vmm: self, vm, line, host };
                console.run(&memory, &mut output, &mut budget)
            }
            Device::Entropy(entropy) => entropy.run(&memory, &mut Random(host), &mut budget),
        };
        Worked { progress, reached, since }
    }

    /// Sees to it that what is left is done later, and that those to which was sent look.
    fn follow_up<H: Host>(&self, cpu: &mut Cpu, vm: &Vm, index: usize, worked: Worked, host: &H) {
        let now = host.now();
        match worked.progress {
            Progress::Idle => {}
            Progress::More => {
                // Others of its processing element have as much time as it has taken.
                let pause = if self.has_neighbours(vm) { now.saturating_sub(worked.since) } else { 0 };
                self.remind(cpu, vm, index, now.saturating_add(pause), host);
            }
            Progress::Blocked => {
                let pause = host.frequency().checked_div(RETRIES).unwrap_or(0);
                self.remind(cpu, vm, index, now.saturating_add(pause), host);
            }
        }
        if worked.reached != 0 {
            for port in (0..MAX_PORTS).filter(|port| worked.reached & bit(*port) != 0) {
                if let Some((vm, index)) = self.at_port(port) {
                    self.remind(cpu, vm, index, now, host);
                }
            }
        }
    }

    /// Lets the processing element of the virtual machine's first virtual CPU run a device at the system count `at`.
    #[inline(never)]
    fn remind<H: Host>(&self, cpu: &mut Cpu, vm: &Vm, index: usize, at: u64, host: &H) {
        let Some(devices) = self.devices(vm.index()) else { return };
        let earlier = devices.note(index, at);
        match vm.vcpus.first().map(crate::vcpu::Vcpu::home) {
            Some(home) if home == cpu.index => cpu.woken = true,
            // Who has noted an earlier time has kicked it.
            Some(home) if earlier => host.kick(home),
            _ => {}
        }
    }

    /// Tells whether another virtual machine has a virtual CPU on the processing element that works for the devices of `vm`.
    fn has_neighbours(&self, vm: &Vm) -> bool {
        let home = vm.vcpus.first().map(crate::vcpu::Vcpu::home);
        home.is_some_and(|home| self.vms().any(|other| other.index() != vm.index() && other.uses(home)))
    }

    /// Returns the device at a port of the switch.
    fn at_port(&self, port: usize) -> Option<(&Vm, usize)> {
        self.vms().find_map(|vm| {
            let is_there = |device: &VirtioDevice| {
                matches!(device, VirtioDevice::Network { port: own, .. } if usize::from(*own) == port)
            };
            vm.manifest.devices.iter().position(is_there).map(|index| (vm, index))
        })
    }

    /// Builds the devices of a virtual machine. `spare` gives memory for the buffers of a disk of the machine. One that
    /// cannot be had is left out, which the log says.
    pub(crate) fn build_devices<H: Host>(
        &self,
        vm: &Vm,
        mut spare: impl FnMut() -> Option<PageRange<Pa>>,
        host: &H,
    ) {
        let Some(devices) = self.devices(vm.index()) else { return };
        for (index, device) in vm.manifest.devices.iter().enumerate() {
            match *device {
                VirtioDevice::Block { backend: Backend::Ram(file), read_only } => {
                    let Ok(range) = PageRange::from_size(file.start, file.size) else { continue };
                    let sectors = range.size() >> SECTOR_SIZE.trailing_zeros();
                    let identifier = identifier(vm.name(), index);
                    let config = BlockConfig { sectors, read_only, erase: true, identifier };
                    devices.put(index, || Device::RamDisk(Block::new(config), RamDisk::new(range)));
                }
                VirtioDevice::Block { backend: Backend::Disk(number), read_only } => {
                    match self.take_disk(vm, index, number, &mut spare, host) {
                        Ok((disk, sectors, never_written)) => {
                            let read_only = read_only || never_written;
                            let identifier = identifier(vm.name(), index);
                            let config = BlockConfig { sectors, read_only, erase: false, identifier };
                            devices.put(index, || Device::Disk(Block::new(config), disk));
                        }
                        Err(why) => {
                            log::error!("vm {}: there is no device {index}: {why}", vm.name());
                        }
                    }
                }
                VirtioDevice::Network { port, mac, limit } => {
                    let second = |limit: PortLimit| Limit {
                        frames: limit.frames,
                        bytes: limit.bytes,
                        slice: u32::try_from(host.frequency()).unwrap_or(u32::MAX),
                    };
                    let config = PortConfig { mac, limit: limit.map(second) };
                    // The manifest's ports and addresses are each one device's.
                    self.network.lock().connect(port.into(), config, host.now());
                    devices.put(index, || Device::Network(Net::new(mac), port.into()));
                }
                VirtioDevice::Console => {
                    devices.put(index, || Device::Console(Console::new(), Line::new()));
                }
                VirtioDevice::Entropy => devices.put(index, || Device::Entropy(Entropy::new())),
            }
        }
    }

    /// Takes a block device of the machine for a virtual one, and returns its place, its sectors, and whether it cannot be
    /// written.
    fn take_disk<H: Host>(
        &self,
        vm: &Vm,
        index: usize,
        number: u32,
        spare: &mut impl FnMut() -> Option<PageRange<Pa>>,
        host: &H,
    ) -> Result<(usize, u64, bool), &'static str> {
        let number = usize::try_from(number).unwrap_or(usize::MAX);
        let machine: &MachineDisk =
            self.disks.get(number).ok_or("the number of its \"disk\" has to be below 4")?;
        let disk = host.disk(number).ok_or("the machine has no disk of that number; give it one")?;
        let memory = spare().ok_or("\"memory-pool\" has no 256 KiB left for its buffers; raise its size")?;
        machine.give(vm.index(), index, disk.intid, memory);
        // It comes to where the device does what is left to do.
        let home = vm.vcpus.first().map_or_else(CpuIndex::default, crate::vcpu::Vcpu::home);
        let setting = InterruptSetting {
            enabled: true,
            priority: DISK_PRIORITY,
            trigger: Trigger::Level,
            secure: false,
            target: home,
        };
        host.configure_interrupt(home, disk.intid, &setting);
        Ok((number, disk.sectors, disk.read_only))
    }
}

impl Slot {
    /// Lets the interrupt line follow the device, which stays locked meanwhile, and returns whom that concerns.
    fn set_line(&mut self, vm: &Vm, index: usize) -> VcpuSet {
        let up = self.device.interrupt();
        if up == self.up {
            return VcpuSet::EMPTY;
        }
        self.up = up;
        let intid = u32::try_from(index).unwrap_or(0).saturating_add(VIRTIO_INTID);
        vm.vgic.set_line(intid, up)
    }
}

/// Is the memory of a virtual machine for its devices.
struct View<'a, H> {
    vm: &'a Vm,
    host: &'a H,
}

impl<H: Host> GuestMemory for View<'_, H> {
    fn read(&self, from: Ipa, to: &mut [u8]) -> Result<(), OutOfMemory> {
        self.vm.memory.read(from.raw(), to, self.host).map_err(|_| OutOfMemory)
    }

    fn write(&self, to: Ipa, from: &[u8]) -> Result<(), OutOfMemory> {
        self.vm.memory.write(to.raw(), from, self.host).map_err(|_| OutOfMemory)
    }

    fn contains(&self, from: Ipa, length: u32) -> bool {
        self.vm.memory.locate(from.raw(), length.into()).is_some()
    }
}

/// Is a port of the switch, which is locked for one frame at a time.
struct Port<'a> {
    network: &'a Mutex<Network>,
    port: usize,
    now: u64,
    reached: u32,
}

impl NetPort for Port<'_> {
    fn send(&mut self, header: &[u8; 14], rest: usize, fill: impl FnOnce(&mut [u8]) -> bool) -> bool {
        let reached = self.network.lock().send(self.port, self.now, header, rest, fill);
        self.reached |= reached.unwrap_or(0);
        reached.is_some()
    }

    fn has_frame(&self) -> bool {
        self.network.lock().has_frame(self.port)
    }

    fn receive(&mut self, take: impl FnOnce(&[u8])) {
        let mut network = self.network.lock();
        network.take(self.port, take);
        self.reached |= network.take_ready();
    }
}

/// Shows what is written to a console, line by line.
struct Output<'a, H> {
    vmm: &'a Vmm,
    vm: &'a Vm,
    line: &'a mut Line,
    host: &'a H,
}

impl<H: Host> ConsoleBackend for Output<'_, H> {
    fn write(&mut self, bytes: &[u8]) -> usize {
        for byte in bytes {
            // A line that is too long is shown in parts.
            let complete = *byte == b'\n' || self.line.push(*byte).is_err();
            if complete {
                self.vmm.console.show_line(self.vm.name(), " hvc0", self.line, self.host);
                self.line.clear();
                if *byte != b'\n' {
                    let _ = self.line.push(*byte);
                }
            }
        }
        bytes.len()
    }

    fn read(&mut self, _to: &mut [u8]) -> usize {
        0
    }
}

/// Is the machine's source of random bits.
struct Random<'a, H>(&'a H);

impl<H: Host> EntropySource for Random<'_, H> {
    fn fill(&mut self, to: &mut [u8]) -> usize {
        let mut filled: usize = 0;
        for chunk in to.chunks_mut(8) {
            let Some(bits) = self.0.random() else { break };
            for (to, from) in chunk.iter_mut().zip(bits.to_le_bytes()) {
                *to = from;
            }
            filled = filled.saturating_add(chunk.len());
        }
        filled
    }
}

/// Names a disk: by its virtual machine and its place there.
fn identifier(name: &str, index: usize) -> [u8; IDENTIFIER_LENGTH] {
    let mut identifier = [0; IDENTIFIER_LENGTH];
    let digit = u8::try_from(index).ok().and_then(|index| b'0'.checked_add(index)).unwrap_or(b'?');
    for (to, from) in identifier.iter_mut().zip(name.bytes().take(17).chain([b'-', digit])) {
        *to = from;
    }
    identifier
}

/// Returns the word in which only bit `index`, below 32, is set.
fn bit(index: usize) -> u32 {
    u32::try_from(index).ok().and_then(|index| 1_u32.checked_shl(index)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::Devices;

    #[test]
    fn a_device_that_waits_does_not_delay_another() {
        let devices = Devices::new();
        assert_eq!(devices.due(), u64::MAX);
        assert!(devices.note(2, 100));
        assert!(devices.note(5, 1000), "its own first");
        assert_eq!(devices.due(), 100);
        assert!(!devices.note(2, 500), "it is to be run before");
        assert!(devices.note(5, 900));
        assert!(!devices.take_due(2, 99) && !devices.take_due(5, 99));
        assert!(devices.take_due(2, 100) && !devices.take_due(2, 100), "once");
        assert!(!devices.take_due(5, 100));
        assert_eq!(devices.due(), 900, "what is not due stays");
        assert!(devices.take_due(5, 901));
        assert_eq!(devices.due(), u64::MAX);
        devices.note(7, 3);
        devices.reset();
        assert_eq!(devices.due(), u64::MAX);
        assert!(!devices.take_due(7, u64::MAX));
    }
}
