//! Stopping a partition that did what it may not, and starting it again.
//!
//! Nobody is torn out of what he does. The execution context at fault ends here and now, and whoever waits for it is
//! answered by ABORTED. Those that wait for work end with it. Those that run on other processing elements are
//! called, and end at their next event; those that were preempted, or wait for somebody's answer, end when their
//! turn comes. With the last of them the partition is settled: what it had is given back, and if its manifest asks
//! for it, its memory is restored and it begins anew on the processing element that saw the last one end. Its other
//! execution contexts begin when the normal world next asks for them, or when their processing element starts. While
//! others have part of its memory it does not begin anew; once they have given all back, it does when it is next asked.

use core::fmt;

use tantalum_ffa::{Status, answer};
use tantalum_hal::{Entry, Platform};
use tantalum_types::{CallRegisters, CpuIndex, EndpointId, MAX_PARTITIONS, VcpuId};

use crate::lifecycle::{Life, Outcome, Rest};
use crate::partition::Partition;
use crate::schedule::enter;
use crate::spmc::{Cpu, Spmc, Step};
use crate::vcpu::{AfterInit, Origin, RunModel, State, Vcpu, Waiter};
use crate::vm::KnownVms;

impl Spmc {
    /// Stops the partition of the execution context that runs, since it did what it may not or gave up, and
    /// tells whoever waits for it.
    pub(crate) fn abort_running<P: Platform>(
        &self,
        cpu: &mut Cpu,
        running: VcpuId,
        why: fmt::Arguments<'_>,
        platform: &P,
    ) -> Step {
        let Some(partition) = self.partition(running.partition) else {
            return self.to_normal_world(cpu, answer::error(Status::Aborted));
        };
        if partition.life.abort(partition.manifest().abort_action) {
            // A warning: whatever a partition does to itself is no error of the SPMC.
            log::warn!("partition {} {} is stopped: {why}", partition.id(), partition.name());
            // Its interrupts are silenced before this processing element goes on.
            cpu.to_configure.insert(running.partition);
            call_in(partition, running, platform);
        }
        self.end_turn(cpu, running, platform)
    }

    /// Ends `from`, which runs here and whose partition is being stopped: starts the partition again if this was the
    /// last of it and it may, and tells whoever waits.
    pub(crate) fn end_turn<P: Platform>(&self, cpu: &mut Cpu, from: VcpuId, platform: &P) -> Step {
        let waiter = self.with_vcpu(from, Vcpu::abort).flatten();
        // A processing element that goes off is no place to begin.
        if waiter != Some(Waiter::Power)
            && let Some(partition) = self.partition(from.partition)
            && self.settle(cpu, partition, platform)
            && let Some(action) = self.begin_anew(cpu, partition, from, after_restart(waiter))
        {
            return action;
        }
        self.tell_aborted(cpu, from, waiter)
    }

    /// Ends `from`, which runs here and whose partition is being stopped, and tells whoever waits for it.
    pub(crate) fn unwind(&self, cpu: &mut Cpu, from: VcpuId) -> Step {
        let waiter = self.with_vcpu(from, Vcpu::abort).flatten();
        self.note_end(cpu, from);
        self.tell_aborted(cpu, from, waiter)
    }

    /// Notes that `ended` has come to its end where the rest of its partition cannot be seen to: should it have been the
    /// last one, that is done before this processing element goes on.
    fn note_end(&self, cpu: &mut Cpu, ended: VcpuId) {
        cpu.to_configure.insert(ended.partition);
    }

    /// Tells `waiter`, who waits for `from`, that it has ended, or whoever waits for him in turn if his partition is
    /// being stopped too.
    fn tell_aborted(&self, cpu: &mut Cpu, from: VcpuId, waiter: Option<Waiter>) -> Step {
        let (mut from, mut waiter) = (from, waiter);
        // Each turn ends one execution context of the chain, which has each partition once.
        for _ in 0..MAX_PARTITIONS {
            let caller = match waiter {
                Some(Waiter::Partition(caller)) => caller,
                Some(Waiter::Boot) => return self.boot_next(cpu),
                Some(Waiter::Power) => return self.go_off(cpu),
                Some(Waiter::Interrupted) => return self.after_interrupt(cpu),
                Some(Waiter::NormalWorld) | None => break,
            };
            if self.with_vcpu(caller, |vcpu| vcpu.unblock(from)) != Some(Ok(())) {
                // It was ended while it waited, so this chain has lost its head.
                break;
            }
            if let Some(partition) = self.partition(caller.partition)
                && !partition.is_aborted()
            {
                return enter(cpu, partition, caller, &Entry::Answer(answer::error(Status::Aborted)));
            }
            waiter = self.with_vcpu(caller, Vcpu::abort).flatten();
            self.note_end(cpu, caller);
            from = caller;
        }
        self.end_chain(cpu, answer::error(Status::Aborted))
    }

    /// Does the rest once nothing of a partition that is being stopped runs or waits any more. Returns whether the
    /// partition is fresh now and this processing element is to start it.
    pub(crate) fn settle<P: Platform>(&self, cpu: &Cpu, partition: &Partition, platform: &P) -> bool {
        if partition.life.now() == Life::Incomplete {
            // Nobody takes from it again what it has: it is in no state to give.
            return self.has_all_its_memory(partition.index())
                && partition.life.complete()
                && self.restore(partition, true, platform);
        }
        if !bury(partition, |_, _| {}) {
            return false;
        }
        let Some(rest) = partition.life.settle() else { return false };
        let whole = self.give_back(cpu, partition, platform);
        match rest {
            Rest::Restore => self.restore(partition, whole, platform),
            Rest::Bury => {
                partition.life.rested(Outcome::Over);
                false
            }
        }
    }

    /// Lets a partition that may begin anew be as it was loaded, if its memory is `whole`, and returns whether it is.
    fn restore<P: Platform>(&self, partition: &Partition, whole: bool, platform: &P) -> bool {
        let outcome = match whole {
            true if restored(partition, platform) => {
                self.claim_manifest_buffers(partition);
                Outcome::Fresh
            }
            true => Outcome::Over,
            false => Outcome::Incomplete,
        };
        partition.life.rested(outcome);
        outcome == Outcome::Fresh
    }

    /// Does the rest of every partition of which the last execution context was tied to this processing element, which
    /// goes off. Those that may begin anew do so when they are next asked.
    pub(crate) fn settle_all<P: Platform>(&self, cpu: &Cpu, platform: &P) {
        for partition in self.partitions().filter(|partition| partition.is_aborted()) {
            self.settle(cpu, partition, platform);
        }
    }

    /// Gives back what a partition had of others, of which nothing runs any more. Returns whether its own memory is
    /// all its own again.
    fn give_back<P: Platform>(&self, cpu: &Cpu, partition: &Partition, platform: &P) -> bool {
        self.silence(cpu, partition, platform);
        self.settle_memory(partition, platform);
        // Nobody delivers into its buffers any more.
        partition.endpoint.reset(partition.endpoint.negotiation.version());
        self.reset_notifications(partition);
        *partition.known_vms.lock() = KnownVms::new();
        // And who still serves it does so for nobody.
        for other in self.partitions().filter(|other| other.index() != partition.index()) {
            for (_, mut vcpu) in other.each_vcpu() {
                vcpu.forget_asker(|asker| asker.partition == partition.index());
            }
        }
        let whole = self.has_all_its_memory(partition.index());
        if !whole {
            log::info!("partition {} {}: others have memory of it", partition.id(), partition.name());
        }
        whole
    }

    /// Starts the first execution context of a fresh partition on this processing element, or returns `None` if
    /// somebody else does. `after` says who waits for it.
    fn begin_anew(&self, cpu: &mut Cpu, partition: &Partition, id: VcpuId, after: AfterInit) -> Option<Step> {
        if !partition.life.claim() {
            return None;
        }
        partition.vcpu(id.index)?.start(after).ok()?;
        log::info!("partition {} {} begins anew", partition.id(), partition.name());
        Some(self.begin(cpu, partition, id, true))
    }

    /// Starts the partition `id` again if it was stopped, may begin anew and has not for want of somebody who saw it
    /// end; the caller is from the normal world and gets ABORTED when it has.
    #[cold]
    pub(crate) fn revive<P: Platform>(&self, cpu: &mut Cpu, id: EndpointId, platform: &P) -> Option<Step> {
        let partition = self.partition_by_id(id)?;
        let vcpu = partition.vcpu_on(cpu.index())?;
        if !self.settle(cpu, partition, platform) {
            return None;
        }
        self.begin_anew(cpu, partition, vcpu, after_restart(Some(Waiter::NormalWorld)))
    }

    /// Starts an execution context that has not been since its partition began or its processing element came up,
    /// and lets it serve what it is asked, by `registers`, as soon as it has initialised itself.
    ///
    /// # Errors
    /// DENIED while the processing element boots, which starts everybody in his turn, or if the partition has other
    /// execution contexts for that; BUSY while the first one initialises the partition; ABORTED if it was stopped.
    #[cold]
    pub(crate) fn start_to_serve(
        &self,
        cpu: &mut Cpu,
        id: VcpuId,
        model: RunModel,
        registers: CallRegisters,
    ) -> Result<Step, Status> {
        let partition = self.partition(id.partition).ok_or(Status::InvalidParameters)?;
        if cpu.booting {
            return Err(Status::Denied);
        }
        // The lock keeps the partition in the life that is looked at.
        let mut vcpu = partition.vcpu(id.index).ok_or(Status::InvalidParameters)?;
        let first = match partition.life.now() {
            Life::Fresh if partition.life.claim() => true,
            Life::Fresh | Life::Booting => return Err(Status::Busy),
            Life::Live => false,
            Life::Dying
            | Life::DyingToRestart
            | Life::Burying
            | Life::Restoring
            | Life::Stopped
            | Life::Incomplete => return Err(Status::Aborted),
        };
        vcpu.start(AfterInit::Serve { model, registers })?;
        drop(vcpu);
        Ok(self.begin(cpu, partition, id, first))
    }

    /// Ends what the execution contexts of stopped partitions still had to do on a processing element that goes off.
    /// Who waits for them learns it when the normal world lets him go on.
    pub(crate) fn end_on(&self, cpu: CpuIndex) {
        for partition in self.partitions().filter(|partition| partition.is_aborted()) {
            if let Some(id) = partition.vcpu_on(cpu).filter(|_| partition.is_multi_processor()) {
                self.with_vcpu(id, Vcpu::abort);
            }
        }
    }
}

/// Stops the execution contexts of a partition that wait for work, and calls the processing elements on which
/// others run, so that they end too.
fn call_in<P: Platform>(partition: &Partition, running: VcpuId, platform: &P) {
    bury(partition, |index, state| {
        // An execution context that may run elsewhere is tied to the processing element of its number.
        if index != running.index.get()
            && matches!(state, State::Running(_))
            && let Some(cpu) = CpuIndex::new(index)
        {
            platform.kick(cpu);
        }
    });
}

/// Stops the execution contexts of a partition that is being stopped, as far as nobody waits for them, and calls
/// `left` with the number and the state of each other. Returns whether there is none.
fn bury(partition: &Partition, left: impl Fn(usize, State)) -> bool {
    let mut all = true;
    for (index, mut vcpu) in partition.each_vcpu() {
        // Looked at under each lock: where somebody else has settled the partition meanwhile, the execution
        // contexts belong to its next life.
        if !matches!(partition.life.now(), Life::Dying | Life::DyingToRestart) {
            return false;
        }
        if !vcpu.bury() {
            all = false;
            left(index.get(), vcpu.state());
        }
    }
    all
}

/// Puts a partition into the state in which it was loaded, and says whether that went well.
fn restored<P: Platform>(partition: &Partition, platform: &P) -> bool {
    match partition.restore(platform) {
        Ok(()) => true,
        Err(error) => {
            log::error!("partition {} {} cannot begin anew: {error}", partition.id(), partition.name());
            false
        }
    }
}

/// Says what happens when a partition that begins anew has initialised itself: `waiter` learns that it was stopped.
fn after_restart(waiter: Option<Waiter>) -> AfterInit {
    let registers = answer::error(Status::Aborted);
    match waiter {
        Some(Waiter::Boot) => AfterInit::NextInBoot,
        Some(Waiter::Interrupted) => AfterInit::AfterInterrupt,
        Some(Waiter::Partition(caller)) => AfterInit::Answer { to: Origin::Partition(caller), registers },
        Some(Waiter::NormalWorld | Waiter::Power) | None => {
            AfterInit::Answer { to: Origin::NormalWorld(EndpointId::HYPERVISOR), registers }
        }
    }
}
