//! Secure Partitions, as virtual machines reach them through the relay.

use tantalum_ffa::Status;
use tantalum_hal::vm::{Entry, Host};
use tantalum_hal::{InterruptSetting, Trigger};
use tantalum_stage2::Attributes;
use tantalum_types::{CallRegisters, Ipa, Pa, PageRange, VmIndex, VmVcpuId};

use crate::cpu::Cpu;
use crate::ffa::{Buffers, Caller, NOTIFICATION_INTERRUPT, VmMemory};
use crate::scheduler::turn;
use crate::vcpu::Vcpu;
use crate::vm::Vm;
use crate::vmm::Vmm;

/// Is the priority of the schedule receiver interrupt: below those of the hypervisor's own.
const PRIORITY: u8 = 0xc0;

/// Is the memory of all virtual machines.
pub(crate) struct Memories<'a, H> {
    vmm: &'a Vmm,
    host: &'a H,
}

impl<H: Host> VmMemory for Memories<'_, H> {
    fn physical(&self, vm: VmIndex, pages: &PageRange<Ipa>) -> Option<PageRange<Pa>> {
        let start = self.vmm.vm(vm)?.memory.locate(pages.start().raw(), pages.size())?;
        PageRange::new(start, pages.page_count()).ok()
    }

    fn take(&self, vm: VmIndex, pages: &PageRange<Ipa>) -> Result<(), Status> {
        let vm = self.vmm.vm(vm).ok_or(Status::InvalidParameters)?;
        vm.memory.take(pages, Status::NoMemory, || {
            let mut stage2 = vm.stage2.lock();
            let unmapped = stage2.unmap(*pages, &mut self.vmm.tables.lock(), self.host, self.host);
            unmapped.map_err(|_| Status::NoMemory)
        })
    }

    fn give_back(&self, vm: VmIndex, pages: &PageRange<Ipa>) {
        let Some((vm, physical)) = self.vmm.vm(vm).zip(self.physical(vm, pages)) else { return };
        let given = vm.memory.give_back(pages, || {
            let mut stage2 = vm.stage2.lock();
            let tables = &mut self.vmm.tables.lock();
            stage2.map(*pages, physical, Attributes::OWN_MEMORY, tables, self.host, self.host)
        });
        if let Err(error) = given {
            // It has used its tables up for other loans. The page is its own, but it does not reach it.
            log::warn!("vm {}: {pages:?} is not mapped again: {error}", vm.name());
        }
    }
}

impl Vmm {
    /// Gives access to the memory of all virtual machines.
    pub(crate) const fn memories<'a, H: Host>(&'a self, host: &'a H) -> Memories<'a, H> {
        Memories { vmm: self, host }
    }

    /// Looks for an SPMC, at boot. `buffers` are a TX and an RX buffer, pages of RAM that are nobody else's; `None` if
    /// there was no memory for them.
    pub(crate) fn find_partitions<H: Host>(&self, buffers: Option<(PageRange<Pa>, PageRange<Pa>)>, host: &H) {
        let Some((tx, rx)) = buffers else {
            log::warn!("there is no FF-A: make the pool of memory two pages larger");
            return;
        };
        match self.relay.find(Buffers { tx, rx }, host) {
            Ok(true) => log::info!("there is an SPMC"),
            Ok(false) => {}
            Err(status) => log::error!("there is no FF-A: the SPMC answers {status}"),
        }
    }

    /// Lets the schedule receiver interrupt come on `cpu`, which was started.
    pub(crate) fn listen_to_partitions<H: Host>(&self, cpu: &Cpu, host: &H) {
        if let Some(intid) = self.relay.schedule_receiver_interrupt() {
            let setting = InterruptSetting {
                enabled: true,
                priority: PRIORITY,
                trigger: Trigger::Edge,
                secure: false,
                target: cpu.index(),
            };
            host.configure_interrupt(cpu.index(), intid, &setting);
        }
    }

    /// Lets a virtual machine that begins be known to the SPMC.
    pub(crate) fn start_relay<H: Host>(&self, vm: &Vm, host: &H) {
        let count = u32::try_from(vm.vcpus.len()).unwrap_or(u32::MAX);
        if let Err(status) = self.relay.start(vm.index(), count, host) {
            log::warn!("vm {} has no notifications: the SPMC answers {status}", vm.name());
        }
    }

    /// Serves an FF-A call.
    pub(crate) fn ffa_call<H: Host>(
        &self,
        cpu: &Cpu,
        (vm, _, id): (&Vm, &Vcpu, VmVcpuId),
        registers: &CallRegisters,
        host: &H,
    ) -> Entry {
        let caller = Caller { vm: vm.index(), vcpu: id.index, cpu: cpu.index() };
        Entry::Answer(self.relay.call(caller, registers, host, &self.memories(host)))
    }

    /// Serves the schedule receiver interrupt.
    pub(crate) fn schedule_partitions<H: Host>(&self, cpu: &mut Cpu, host: &H) {
        let scheduled = self.relay.schedule(cpu.index(), host);
        for id in scheduled.interrupted() {
            if let Some(vm) = self.vm(id.vm) {
                let concerned = vm.vgic.pulse_private(id.index, NOTIFICATION_INTERRUPT);
                self.concern(cpu, vm, concerned, host);
            }
        }
        scheduled.kicked().for_each(|other| host.kick(other));
    }
    /// Gives partitions that need it time on `cpu`, a turn at most.
    pub(crate) fn run_partitions<H: Host>(&self, cpu: &mut Cpu, host: &H) {
        let end = host.now().saturating_add(turn(host));
        cpu.armed = Some(end);
        host.set_timer(Some(end));
        self.relay.work(cpu.index(), host);
    }
}
