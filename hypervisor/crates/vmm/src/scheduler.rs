//! Which virtual CPU a processing element runs, and when it is asked again.
//!
//! Each virtual CPU has a processing element that runs it. Where it is the only one it keeps it. Where there are several,
//! the one that has run least is next: those that could always run take turns, and one that was woken comes soon, since
//! it has run less. Nobody can save up much: who falls behind the one that has run most by more than two turns
//! is counted as if it did not.

use tantalum_hal::vm::{Action, Entry, Host};
use tantalum_types::VmVcpuId;

use crate::cpu::Cpu;
use crate::layout::PHYSICAL_TIMER_INTID;
use crate::vcpu::{State, Vcpu};
use crate::virtio_devices::Devices;
use crate::vm::{Power, Vm};
use crate::vmm::Vmm;

/// How many turns there are in a second, if others wait.
const TURNS: u64 = 250;

/// How many parts a turn has. The current virtual CPU goes on unless another one has run less by more than one.
const PARTS: u64 = 4;

/// Returns how long a turn is, in counts of the system counter.
pub(crate) fn turn(host: &impl Host) -> u64 {
    host.frequency().checked_div(TURNS).unwrap_or(0)
}

impl Vmm {
    /// Lets `cpu` run what is to run there now, or idle.
    pub(crate) fn schedule<H: Host>(&self, cpu: &mut Cpu, host: &H) -> Action {
        let turn = turn(host);
        let mut now = host.now();
        cpu.account(now);
        cpu.woken = false;
        let previous = cpu.current.take();
        if let Some((_, vcpu, _)) = previous.and_then(|index| self.local(cpu, index)) {
            vcpu.preempt();
        }
        loop {
            self.stop_locals(cpu, host);
            if self.is_over() {
                return Action::PowerOff;
            }
            self.expire(cpu, now, host);
            let Some(next) = self.pick(cpu, previous, turn) else {
                cpu.slice_end = None;
                self.arm(cpu, now, host);
                return Action::Idle;
            };
            let Some((vm, vcpu, id)) = self.local(cpu, next) else { return Action::Halt };
            if vm.power() == Power::Loading {
                cpu.since = now;
                cpu.current = Some(next);
                self.load(vm, vcpu, host);
                now = host.now();
                cpu.account(now);
                cpu.current = None;
                self.take_interrupts(cpu, host);
                continue;
            }
            let Some(entry) = vcpu.run() else { continue };
            self.switch(cpu, next, &entry, host);
            cpu.current = Some(next);
            cpu.since = now;
            let others = self.has_others(cpu, next);
            cpu.slice_end = if others { Some(now.saturating_add(turn)) } else { None };
            self.arm(cpu, now, host);
            return self.enter(cpu, vm, id, entry, host);
        }
    }

    /// Lets the current virtual CPU go on by `entry`, unless another one is to run now.
    #[inline]
    pub(crate) fn go_on<H: Host>(
        &self,
        cpu: &mut Cpu,
        (vm, vcpu, id): (&Vm, &Vcpu, VmVcpuId),
        entry: Entry,
        host: &H,
    ) -> Action {
        if cpu.woken {
            vcpu.go_on_by(entry);
            return self.schedule(cpu, host);
        }
        self.enter(cpu, vm, id, entry, host)
    }

    /// Lets the virtual CPU that is loaded and running go on by `entry`.
    #[inline]
    fn enter<H: Host>(&self, cpu: &mut Cpu, vm: &Vm, id: VmVcpuId, entry: Entry, host: &H) -> Action {
        let entered = vm.vgic.enter(id.index, host);
        self.settle(cpu, vm, entered, host);
        Action::Run { vcpu: id, entry, translation: vm.translation, alone: cpu.slice_end.is_none() }
    }

    /// Lets the current virtual CPU wait for an interrupt, and then go on by `entry`.
    pub(crate) fn wait<H: Host>(
        &self,
        cpu: &mut Cpu,
        (vm, vcpu, id): (&Vm, &Vcpu, VmVcpuId),
        entry: Entry,
        host: &H,
    ) -> Action {
        // Whoever makes an interrupt pending from now on sees that it waits.
        vcpu.wait(entry);
        let (wakes, entered) = vm.vgic.wait(id.index, host);
        self.settle(cpu, vm, entered, host);
        if wakes {
            vcpu.wake();
        }
        self.schedule(cpu, host)
    }

    /// Chooses the virtual CPU that has run least of those that can run. The `previous` one has a lead.
    fn pick(&self, cpu: &mut Cpu, previous: Option<usize>, turn: u64) -> Option<usize> {
        if cpu.locals.len() > 1 {
            let most = cpu.locals.iter().map(|local| local.used).max().unwrap_or(0);
            let least = most.saturating_sub(turn.saturating_mul(2));
            cpu.locals.iter_mut().for_each(|local| local.used = local.used.max(least));
        }
        // Others have their turn once the current one's is over.
        let over = cpu.slice_end.is_some_and(|end| cpu.since >= end);
        let lead = if over { 0 } else { turn.checked_div(PARTS).unwrap_or(0) };
        let order = |index: usize, used: u64| {
            let lead = if Some(index) == previous { lead } else { 0 };
            (used.saturating_sub(lead), Some(index) == previous)
        };
        cpu.locals
            .iter()
            .enumerate()
            .filter(|(_, local)| self.is_runnable(local.id))
            .min_by_key(|(index, local)| order(*index, local.used))
            .map(|(index, _)| index)
    }

    /// Tells whether another virtual CPU than `current` could run on `cpu`.
    fn has_others(&self, cpu: &Cpu, current: usize) -> bool {
        cpu.locals.len() > 1
            && cpu
                .locals
                .iter()
                .enumerate()
                .any(|(index, local)| index != current && self.is_runnable(local.id))
    }

    fn is_runnable(&self, id: VmVcpuId) -> bool {
        let Some(vm) = self.vm(id.vm) else { return false };
        match vm.power() {
            // Its first virtual CPU's turns are used to load it.
            Power::Loading => id.index.get() == 0,
            _ => vm.vcpu(id.index).is_some_and(|vcpu| vcpu.state().is_runnable()),
        }
    }

    /// Makes the virtual CPU `next` the one whose interrupts are in the virtual CPU interface.
    fn switch<H: Host>(&self, cpu: &mut Cpu, next: usize, entry: &Entry, host: &H) {
        let starts = matches!(entry, Entry::Start(_));
        if cpu.loaded == Some(next) && !starts {
            return;
        }
        self.unload(cpu, host);
        if cpu.stray_timer {
            cpu.stray_timer = false;
            host.end_interrupt(cpu.index, H::VIRTUAL_TIMER);
        }
        let Some((vm, _, id)) = self.local(cpu, next) else { return };
        if starts {
            vm.vgic.reset_interface(id.index);
        }
        vm.vgic.load(id.index, host);
        cpu.loaded = Some(next);
        if let Some(local) = cpu.locals.get_mut(next) {
            local.virtual_deadline = None;
            if starts {
                local.physical_timer = crate::timer::PhysicalTimer::OFF;
                local.physical_line = false;
            }
        }
    }

    /// Takes the virtual CPU that is loaded out of the virtual CPU interface.
    pub(crate) fn unload<H: Host>(&self, cpu: &mut Cpu, host: &H) {
        let Some(index) = cpu.loaded.take() else { return };
        let Some((vm, _, id)) = self.local(cpu, index) else { return };
        let entered = vm.vgic.save(id.index, host);
        self.settle(cpu, vm, entered, host);
        if let Some(local) = cpu.locals.get_mut(index) {
            local.virtual_deadline = host.virtual_timer();
        }
    }

    /// Stops the virtual CPUs of `cpu` whose virtual machine is to be turned off or reset.
    fn stop_locals<H: Host>(&self, cpu: &mut Cpu, host: &H) {
        for index in 0..cpu.locals.len() {
            let Some((vm, vcpu, _)) = self.local(cpu, index) else { continue };
            if !vm.power().is_stopping() || !vcpu.stop() {
                continue;
            }
            if cpu.loaded == Some(index) {
                self.unload(cpu, host);
            }
            if vm.count_stopped() {
                self.finish_stop(cpu, vm, host);
            }
        }
    }

    /// Does what is due at the system count `now`.
    pub(crate) fn expire<H: Host>(&self, cpu: &mut Cpu, now: u64, host: &H) {
        for index in 0..cpu.locals.len() {
            let Some((vm, vcpu, id)) = self.local(cpu, index) else { continue };
            let loaded = cpu.loaded == Some(index);
            let Some(local) = cpu.locals.get_mut(index) else { continue };
            let up = local.physical_timer.line(now);
            if up != local.physical_line {
                local.physical_line = up;
                let concerned = vm.vgic.set_private_line(id.index, PHYSICAL_TIMER_INTID, up);
                self.concern(cpu, vm, concerned, host);
            } else if !loaded && local.virtual_deadline.is_some_and(|deadline| deadline <= now) {
                vcpu.wake();
            }
            if id.index.get() == 0 {
                self.look_at_clock(cpu, vm, now, host);
                self.run_due_devices(cpu, vm, now, host);
            }
        }
    }

    /// Lets the hypervisor's timer come when something is due next.
    pub(crate) fn arm<H: Host>(&self, cpu: &mut Cpu, now: u64, host: &H) {
        let mut deadline = cpu.slice_end.unwrap_or(u64::MAX);
        if self.relay.has_work() {
            // Partitions that were stopped go on after a turn of others.
            deadline = deadline.min(now.saturating_add(turn(host)));
        }
        for (index, local) in cpu.locals.iter().enumerate() {
            let Some(vm) = self.vm(local.id.vm) else { continue };
            deadline = deadline.min(local.physical_timer.deadline(now).unwrap_or(u64::MAX));
            if cpu.loaded != Some(index)
                && let Some(own) = local.virtual_deadline
                && vm.vcpu(local.id.index).is_some_and(|vcpu| vcpu.state() == State::Waiting)
            {
                deadline = deadline.min(own);
            }
            if local.id.index.get() == 0 {
                let due = self.devices(local.id.vm).map_or(u64::MAX, Devices::due);
                deadline = deadline.min(vm.alarm()).min(due);
            }
        }
        let deadline = if deadline == u64::MAX { None } else { Some(deadline) };
        if deadline != cpu.armed {
            cpu.armed = deadline;
            host.set_timer(deadline);
        }
    }
}
