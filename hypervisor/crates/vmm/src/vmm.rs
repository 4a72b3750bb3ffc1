//! The hypervisor itself: what it knows, how it is built at boot, and where events arrive.

use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use heapless::Vec;
use spin::Mutex;
use tantalum_hal::vm::{Action, Entry, Event, Exception, Fault, Host};
use tantalum_manifest::VmsManifest;
use tantalum_stage2::TablePool;
use tantalum_types::{CpuIndex, MAX_VMS, PAGE_SIZE, Pa, PageRange, VcpuIndex, VmIndex, VmVcpuId};

use crate::console::Console;
use crate::cpu::Cpu;
use crate::disk::{DISK_MEMORY, MAX_DISKS, MachineDisk};
use crate::ffa::Relay;
use crate::load::{self, Buffer};
use crate::vcpu::{State, Vcpu};
use crate::vgic::{Entered, VcpuSet};
use crate::virtio_devices::{Devices, Network};
use crate::vm::{Power, Vm};

/// Is how long the switch remembers where an address is, in seconds (IEEE 802.1Q, table 8-6).
const ADDRESS_AGE: u64 = 300;

/// How long a frame waits for a port whose queue is full, as a part of a second: TCP sends again what it has heard nothing
/// of for that long, so it need not wait longer.
const PATIENCE: u64 = 5;

/// Counts the pages for translation tables that [`Vmm`] shares out.
pub const TABLE_PAGES: usize = 64;

/// Is the hypervisor of virtual machines.
///
/// A new one is zero in every byte, so it needs no place in an image.
#[derive(Debug)]
pub struct Vmm {
    /// By their places in the manifest; `None` is one that was left out.
    vms: Vec<Option<Vm>, MAX_VMS>,
    /// The pages for translation tables. Nobody who has locked them waits for another lock.
    pub(crate) tables: Mutex<TablePool<TABLE_PAGES>>,
    pub(crate) console: Console,
    /// The virtio devices of each virtual machine.
    devices: [Devices; MAX_VMS],
    pub(crate) network: Mutex<Network>,
    pub(crate) disks: [MachineDisk; MAX_DISKS],
    /// Memory through which files are copied.
    buffer: Mutex<Buffer>,
    /// Whether the first processing element has begun.
    begun: AtomicBool,
    /// Whether it is known which virtual machines there are.
    settled: AtomicBool,
    /// How many virtual machines are not off.
    live: AtomicUsize,
    /// The nanoseconds from 1970 to when the system counter was zero.
    pub(crate) epoch: u64,
    /// The FF-A calls of virtual machines.
    pub(crate) relay: Relay,
}

impl Vmm {
    /// Builds one that has no virtual machine.
    pub const fn new() -> Self {
        Self {
            vms: Vec::new(),
            tables: Mutex::new(TablePool::new(0)),
            console: Console::new(),
            devices: [const { Devices::new() }; MAX_VMS],
            network: Mutex::new(Network::new()),
            disks: [const { MachineDisk::new() }; MAX_DISKS],
            buffer: Mutex::new([0; _]),
            begun: AtomicBool::new(false),
            settled: AtomicBool::new(false),
            live: AtomicUsize::new(0),
            epoch: 0,
            relay: Relay::new(),
        }
    }

    /// Takes in the manifest, once, before the first event. A virtual machine whose memory cannot be mapped is left out,
    /// which the log says.
    pub fn configure<H: Host>(&mut self, manifest: &VmsManifest, host: &H) {
        let count = manifest.vms.len();
        // A share for each, so that nobody can starve another.
        self.tables.get_mut().set_quota(TABLE_PAGES.checked_div(count).unwrap_or(0));
        let now = crate::clock::nanoseconds(host.now(), host.frequency());
        self.epoch = host.wall_clock().saturating_mul(1_000_000_000).saturating_sub(now);
        let network = self.network.get_mut();
        network.set_age(host.frequency().saturating_mul(ADDRESS_AGE));
        network.set_patience(host.frequency().checked_div(PATIENCE).unwrap_or(0));
        let mut spare = manifest.vms.last().map_or(u64::MAX, |last| last.memory.end());
        for (index, vm) in VmIndex::all().zip(&manifest.vms) {
            let built = Vm::new(index, vm, self.epoch.saturating_add(now), self.tables.get_mut(), host);
            match &built {
                Ok(_) => log::info!(
                    "vm {}: {} vCPUs, {} MiB at {}",
                    vm.name,
                    vm.cpus.len(),
                    vm.memory.size() >> 20,
                    vm.memory.start()
                ),
                Err(error) => log::error!("vm {} is left out: {error}", vm.name),
            }
            if vm.terminal || count == 1 {
                self.console.give(index);
            }
            // There are as many places as virtual machines in a manifest.
            let _ = self.vms.push(built.ok());
            // Disks of the machine get their buffers behind what the virtual machines have of the pool.
            let take = || {
                let range = PageRange::from_size(Pa::non_secure(spare), DISK_MEMORY).ok()?;
                spare = range.end();
                manifest.memory_pool.contains_range(&range).then_some(range)
            };
            if let Some(vm) = self.vm(index) {
                self.build_devices(vm, take, host);
            }
        }
        // So do messages to and from the SPMC, a page for each direction.
        let page = |start: u64| PageRange::new(Pa::non_secure(start), 1).ok();
        let [tx, rx] = [page(spare), page(spare.saturating_add(PAGE_SIZE))]
            .map(|page| page.filter(|page| manifest.memory_pool.contains_range(page)));
        self.find_partitions(tx.zip(rx), host);
    }

    /// Says what shall happen next on `cpu`, on which `event` has happened.
    ///
    /// A call holds eighteen registers: this is inlined into the loop of the processing element, and what is behind it
    /// takes them by reference, so that they are not copied on the way.
    #[inline(always)]
    pub fn handle<H: Host>(&self, cpu: &mut Cpu, event: Event, host: &H) -> Action {
        match &event {
            Event::Interrupt => return self.interrupt(cpu, host),
            Event::Started => return self.start(cpu, host),
            _ => {}
        }
        let Some(running) = cpu.current.and_then(|current| self.local(cpu, current)) else {
            return self.schedule(cpu, host);
        };
        match &event {
            Event::Call { immediate, registers, .. } => self.call(cpu, running, *immediate, registers, host),
            Event::Access(access) => self.access(cpu, running, access, host),
            Event::Register(trap) => self.register(cpu, running, trap, host),
            Event::Wait => self.wait(cpu, running, Entry::Resume, host),
            Event::Fault(fault) => self.fault(cpu, running, fault, host),
            Event::Started | Event::Interrupt => Action::Halt,
        }
    }

    /// Lets a processing element that was started take part. The first one starts the others.
    fn start<H: Host>(&self, cpu: &mut Cpu, host: &H) -> Action {
        *cpu = Cpu::new(cpu.index);
        self.listen_to_partitions(cpu, host);
        for vm in self.vms() {
            for (index, vcpu) in VcpuIndex::all().zip(&vm.vcpus) {
                if vcpu.home() == cpu.index {
                    cpu.adopt(VmVcpuId { vm: vm.index(), index });
                }
            }
        }
        if !self.begun.swap(true, Ordering::SeqCst) {
            self.begin(cpu, host);
        }
        self.schedule(cpu, host)
    }

    /// Starts the other processing elements, and then the virtual machines whose processing elements are there.
    fn begin<H: Host>(&self, cpu: &Cpu, host: &H) {
        let others =
            || CpuIndex::all().filter(|other| *other != cpu.index && self.vms().any(|vm| vm.uses(*other)));
        let mut missing = [false; tantalum_types::MAX_CPUS];
        for other in others() {
            if let Some(missing) = missing.get_mut(other.get()) {
                *missing = !host.start_cpu(other);
            }
        }
        let is_missing = |cpu: CpuIndex| missing.get(cpu.get()).copied().unwrap_or(true);
        for vm in self.vms() {
            match vm.vcpus.iter().map(Vcpu::home).find(|home| is_missing(*home)) {
                Some(home) => log::error!(
                    "vm {} is left out: there is no CPU {}; correct its \"cpus\"",
                    vm.name(),
                    home.get()
                ),
                None => {
                    self.live.fetch_add(1, Ordering::SeqCst);
                    vm.set_power(Power::Loading);
                }
            }
        }
        self.settled.store(true, Ordering::SeqCst);
        others().filter(|other| !is_missing(*other)).for_each(|other| host.kick(other));
    }

    /// Loads another part of a virtual machine, and starts its first virtual CPU when it is complete.
    pub(crate) fn load<H: Host>(&self, vm: &Vm, first: &Vcpu, host: &H) {
        match load::step(vm, &mut self.buffer.lock(), host) {
            Ok(None) => {}
            Ok(Some(start)) => {
                vm.set_power(Power::On);
                self.start_relay(vm, host);
                vm.set_counter_offset(start.counter_offset);
                if first.turn_on(start).is_ok() {
                    log::info!("vm {} starts at {:#x}", vm.name(), start.entry_point);
                }
            }
            Err(error) => {
                log::error!("vm {} is off: {error}", vm.name());
                vm.set_power(Power::Off);
                self.live.fetch_sub(1, Ordering::SeqCst);
            }
        }
    }

    /// Turns a virtual machine off or begins to reset it, if that is not being done.
    pub(crate) fn begin_to_stop<H: Host>(&self, cpu: &Cpu, vm: &Vm, to: Power, host: &H) {
        if vm.begin_to_stop(to) {
            let others = CpuIndex::all().filter(|other| *other != cpu.index && vm.uses(*other));
            others.for_each(|other| host.kick(other));
        }
    }

    /// Finishes to turn off or reset a virtual machine whose virtual CPUs have all stopped.
    pub(crate) fn finish_stop<H: Host>(&self, cpu: &Cpu, vm: &Vm, host: &H) {
        // What a partition keeps is not there for another life.
        let whole = self.relay.stop(vm.index(), host, &self.memories(host));
        let resets = vm.power() == Power::Resetting && whole;
        if !whole {
            log::warn!("vm {}: partitions have kept some of its memory", vm.name());
        }
        vm.uart.lock().device.flush(&mut |text| self.console.show(vm.index(), vm.name(), text, host));
        if resets {
            log::info!("vm {} is reset", vm.name());
            vm.reset(self.nanoseconds(host));
            if let Some(devices) = self.devices(vm.index()) {
                devices.reset();
            }
            vm.set_power(Power::Loading);
            if let Some(first) = vm.vcpus.first().map(Vcpu::home).filter(|first| *first != cpu.index) {
                host.kick(first);
            }
        } else {
            log::info!("vm {} is off", vm.name());
            vm.set_power(Power::Off);
            if self.live.fetch_sub(1, Ordering::SeqCst) == 1 {
                log::info!("every vm is off");
            }
        }
    }

    /// Tells whether every virtual machine is off.
    pub(crate) fn is_over(&self) -> bool {
        self.settled.load(Ordering::SeqCst) && self.live.load(Ordering::SeqCst) == 0
    }

    /// Takes the interrupts that are pending on `cpu`, on which a virtual CPU may have been running.
    fn interrupt<H: Host>(&self, cpu: &mut Cpu, host: &H) -> Action {
        self.take_interrupts(cpu, host);
        if cpu.locals.len() == 1
            && let Some(running) = cpu.current.and_then(|current| self.local(cpu, current))
            && running.1.state() == State::Running
            && !running.0.power().is_stopping()
        {
            // It has this processing element for itself.
            let now = host.now();
            self.expire(cpu, now, host);
            self.arm(cpu, now, host);
            return self.go_on(cpu, running, Entry::Resume, host);
        }
        self.schedule(cpu, host)
    }

    /// Takes the interrupts that are pending on `cpu`.
    pub(crate) fn take_interrupts<H: Host>(&self, cpu: &mut Cpu, host: &H) {
        while let Some(intid) = host.take_interrupt(cpu.index) {
            if intid == H::VIRTUAL_TIMER {
                self.virtual_timer(cpu, host);
                continue;
            }
            if intid == H::TIMER {
                // Its line has to be down before it is ended.
                host.set_timer(None);
                cpu.armed = None;
            } else if intid == H::MAINTENANCE {
                self.maintenance(cpu, host);
            } else if intid == H::CONSOLE {
                self.console_input(cpu, host);
            } else if self.relay.schedule_receiver_interrupt() == Some(intid) {
                self.schedule_partitions(cpu, host);
            } else if intid != H::KICK {
                match self.disks.iter().find_map(|disk| disk.owner(intid)) {
                    Some((vm, device)) => {
                        if let Some(vm) = self.vm(vm) {
                            self.run_device(cpu, vm, device, host);
                        }
                    }
                    None => log::warn!("interrupt {intid} is nobody's"),
                }
            }
            host.end_interrupt(cpu.index, intid);
        }
        if self.relay.has_work() {
            self.run_partitions(cpu, host);
        }
    }

    /// Passes the interrupt of the virtual timer on to the virtual CPU whose registers are here. It stays active until
    /// that has ended it.
    fn virtual_timer<H: Host>(&self, cpu: &mut Cpu, host: &H) {
        match cpu.loaded.and_then(|loaded| self.local(cpu, loaded)) {
            Some((vm, vcpu, id)) => {
                vm.vgic.pend_linked(id.index, host, H::VIRTUAL_TIMER);
                vcpu.wake();
            }
            // Of one that was turned off: until others are here, it would come again and again.
            None => cpu.stray_timer = true,
        }
    }

    /// Lets the virtual CPU interface be filled anew, so that it asks no longer.
    fn maintenance<H: Host>(&self, cpu: &mut Cpu, host: &H) {
        let Some((vm, _, id)) = cpu.loaded.and_then(|loaded| self.local(cpu, loaded)) else { return };
        vm.vgic.maintain(id.index);
        let entered = vm.vgic.enter(id.index, host);
        self.settle(cpu, vm, entered, host);
    }

    /// Does what is left to do after list registers were changed.
    #[inline]
    pub(crate) fn settle<H: Host>(&self, cpu: &mut Cpu, vm: &Vm, entered: Entered, host: &H) {
        if entered.ended != 0 {
            for intid in 16..32 {
                if entered.ended & 1_u32.wrapping_shl(intid) != 0 {
                    host.end_interrupt(cpu.index, intid);
                }
            }
        }
        self.concern(cpu, vm, entered.concerned, host);
    }

    /// Lets virtual CPUs know that there is something for them in their interrupt controller.
    #[inline]
    pub(crate) fn concern<H: Host>(&self, cpu: &mut Cpu, vm: &Vm, concerned: VcpuSet, host: &H) {
        if concerned.is_empty() {
            return;
        }
        for index in concerned.iter() {
            let Some(vcpu) = vm.vcpu(index) else { continue };
            let was_waiting = vcpu.wake();
            if vcpu.home() == cpu.index {
                cpu.woken |= was_waiting;
            } else if was_waiting || vcpu.state() == State::Running {
                host.kick(vcpu.home());
            }
        }
    }

    /// Answers what cannot be emulated by an exception, or goes on if it could be done by now.
    fn fault<H: Host>(
        &self,
        cpu: &mut Cpu,
        running: (&Vm, &Vcpu, VmVcpuId),
        fault: &Fault,
        host: &H,
    ) -> Action {
        let (vm, _, id) = running;
        let exception = match *fault {
            Fault::DataAbort { address, virtual_address, write } => {
                if vm.may_access(address, write, host) {
                    return self.go_on(cpu, running, Entry::Resume, host);
                }
                Exception::DataAbort { virtual_address, write }
            }
            Fault::InstructionAbort { address, virtual_address } => {
                if vm.may_access(address, false, host) {
                    return self.go_on(cpu, running, Entry::Resume, host);
                }
                Exception::InstructionAbort { virtual_address }
            }
            Fault::Instruction { .. } => Exception::Undefined,
            Fault::SystemError { syndrome } => {
                log::error!(
                    "vm {} is turned off: vCPU {} met a System Error, {syndrome:#x}",
                    vm.name(),
                    id.index.get()
                );
                self.begin_to_stop(cpu, vm, Power::TurningOff, host);
                return self.schedule(cpu, host);
            }
        };
        if vm.may_complain() {
            log::info!("vm {}: vCPU {}: {fault:x?}", vm.name(), id.index.get());
        }
        self.go_on(cpu, running, Entry::Exception(exception), host)
    }

    /// Returns the virtual machine `index`, if there is one.
    pub fn vm(&self, index: VmIndex) -> Option<&Vm> {
        self.vms.get(index.get())?.as_ref()
    }

    /// Returns the virtio devices of virtual machine `index`.
    pub(crate) fn devices(&self, index: VmIndex) -> Option<&Devices> {
        self.devices.get(index.get())
    }

    /// Returns every virtual machine.
    pub(crate) fn vms(&self) -> impl Iterator<Item = &Vm> {
        self.vms.iter().flatten()
    }

    /// Returns the virtual CPU in place `index` of `cpu`.
    pub(crate) fn local(&self, cpu: &Cpu, index: usize) -> Option<(&Vm, &Vcpu, VmVcpuId)> {
        let id = cpu.local(index)?.id;
        let vm = self.vm(id.vm)?;
        Some((vm, vm.vcpu(id.index)?, id))
    }
}

impl Default for Vmm {
    fn default() -> Self {
        Self::new()
    }
}
