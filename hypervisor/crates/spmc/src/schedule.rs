//! Starting, waiting, running, preempting and stopping execution contexts (FF-A 1.1, chapter 8).
//!
//! A call chain is not kept anywhere of its own: it is the links from an execution context to who asked it
//! (its [`Origin`]) and from a blocked one to whom it asked. Its head was given the processing element by the
//! normal world. A chain never spans processing elements, and since nobody is entered who does not wait, it
//! has no cycle and at most one execution context of each partition.

use tantalum_ffa::{Call, Status, Target, answer};
use tantalum_hal::{Action, Entry, ForeignInterrupts, Platform, VirtualInterrupts};
use tantalum_types::{CallRegisters, CpuIndex, MAX_PARTITIONS, PartitionIndex, VcpuId};

use crate::lifecycle::Life;
use crate::partition::{Partition, Running};
use crate::spmc::{Cpu, Spmc};
use crate::vcpu::{AfterInit, Origin, RunModel, State, Vcpu, Waiter};

impl Spmc {
    /// Lets every partition that has an execution context for this processing element initialise it, one
    /// after the other, and then gives the processing element back to the SPMD.
    pub(crate) fn start_cpu(&self, cpu: &mut Cpu) -> Action {
        cpu.current = None;
        cpu.booted = 0;
        cpu.booting = true;
        cpu.going_off = None;
        self.boot_next(cpu)
    }

    /// Starts the next execution context of the boot order that has not been started on this processing
    /// element, or ends the boot.
    pub(crate) fn boot_next(&self, cpu: &mut Cpu) -> Action {
        while let Some(partition) = self.in_boot_order(cpu.booted) {
            cpu.booted = cpu.booted.saturating_add(1);
            let Some(id) = boot_vcpu(partition, cpu.index()) else { continue };
            let Some(mut vcpu) = partition.vcpu(id.index) else { continue };
            // The lock keeps the partition in the life that is looked at.
            let Some(first) = begins_in_boot(partition) else { continue };
            match vcpu.start(AfterInit::NextInBoot) {
                Ok(()) => {
                    return enter(cpu, partition, id, Entry::Start(partition.start_of(id.index, first)));
                }
                // It is still in the middle of a request from before its processing element went off, which
                // FFA_RUN lets it finish.
                Err(status) => log::debug!("partition {} is not started: {status}", partition.id()),
            }
        }
        cpu.booting = false;
        if cpu.index().get() == 0 {
            log::info!("boot complete: {} partitions", self.live_partitions().count());
        }
        self.to_normal_world(cpu, answer::msg_wait())
    }

    /// Runs `id`, whose state says that it runs, unless its partition has been stopped in the meantime by what
    /// another of its execution contexts did.
    pub(crate) fn run(&self, cpu: &mut Cpu, id: VcpuId, entry: Entry) -> Action {
        match self.partition(id.partition) {
            Some(partition) if !partition.is_aborted() => enter(cpu, partition, id, entry),
            _ => self.unwind(cpu, id),
        }
    }

    /// Gives the processing element to the normal world.
    ///
    /// Its x8 to x17 come back as they were: no answer that comes this way uses them, and the SMC Calling Convention
    /// (1.1, section 2.6) lets a caller rely on what the answer does not use. The SPMD leaves that to the SPMC.
    pub(crate) fn to_normal_world(&self, cpu: &mut Cpu, mut registers: CallRegisters) -> Action {
        cpu.current = None;
        for (register, kept) in registers.0.iter_mut().skip(8).zip(&cpu.normal_world_extra) {
            *register = *kept;
        }
        Action::CallNormalWorld(registers)
    }

    /// Gives the processing element to the normal world with an answer in x0 to x17.
    pub(crate) fn to_normal_world_whole(&self, cpu: &mut Cpu, registers: CallRegisters) -> Action {
        cpu.current = None;
        Action::CallNormalWorld(registers)
    }

    /// Answers FFA_MSG_WAIT of `caller`, which runs.
    ///
    /// # Errors
    /// As [`crate::vcpu::Vcpu::wait`].
    pub(crate) fn msg_wait(
        &self,
        cpu: &mut Cpu,
        caller: &Running<'_>,
        retain_rx: bool,
    ) -> Result<Action, Status> {
        let mut vcpu = caller.vcpu()?;
        let model = vcpu.wait()?;
        let after = vcpu.after_init();
        if let (RunModel::Init, AfterInit::Serve { model, .. }) = (model, after) {
            // Under the same lock, so that the request for which it was started is the first.
            vcpu.enter(model)?;
        }
        drop(vcpu);
        if !retain_rx {
            // Waiting for the next message is a release of the last one, if there was one.
            let _ = caller.partition.endpoint.mailbox.lock().release();
        }
        Ok(match model {
            RunModel::Init => {
                caller.partition.life.initialised();
                match after {
                    AfterInit::NextInBoot => self.boot_next(cpu),
                    AfterInit::Answer { to, registers } => self.answer_origin(cpu, to, caller.id, registers),
                    AfterInit::Serve { registers, .. } => self.run(cpu, caller.id, Entry::Answer(registers)),
                }
            }
            RunModel::Run
            | RunModel::DirectRequest { .. }
            | RunModel::ServiceRequest { .. }
            | RunModel::PowerMessage => self.to_normal_world(cpu, answer::msg_wait()),
        })
    }

    /// Gives `registers` as the answer of `callee` to who asked it.
    pub(crate) fn answer_origin(
        &self,
        cpu: &mut Cpu,
        origin: Origin,
        callee: VcpuId,
        registers: CallRegisters,
    ) -> Action {
        match origin {
            Origin::NormalWorld(_) => self.to_normal_world(cpu, registers),
            Origin::Partition(asker) => self.answer_blocked(cpu, asker, callee, registers),
        }
    }

    /// Answers FFA_RUN of the normal world: lets the chain that begins at `target` go on.
    ///
    /// # Errors
    /// INVALID_PARAMETERS if there is no such execution context or it does not belong on this processing
    /// element, BUSY if it runs, DENIED if it has nothing to go on with, ABORTED if it has been stopped.
    pub(crate) fn run_call<P: Platform>(
        &self,
        cpu: &mut Cpu,
        target: Target,
        platform: &P,
    ) -> Result<Action, Status> {
        let partition = self.partition_by_id(target.endpoint).ok_or(Status::InvalidParameters)?;
        let head = partition.vcpu_on(cpu.index()).ok_or(Status::InvalidParameters)?;
        if head.index.as_u16() != target.vcpu {
            return Err(Status::InvalidParameters);
        }
        let registers = Call::Run { target }.encode();
        match self.with_vcpu(head, |vcpu| vcpu.state()).ok_or(Status::InvalidParameters)? {
            State::Waiting => {
                self.with_vcpu(head, |vcpu| vcpu.enter(RunModel::Run)).ok_or(Status::InvalidParameters)??;
                Ok(self.run(cpu, head, Entry::Answer(registers)))
            }
            State::Preempted(_) | State::Blocked { .. } => {
                if let Some(Waiter::Partition(_)) = self.waiter_of(head) {
                    // Only the head of a chain is the normal world's to run.
                    return Err(Status::Denied);
                }
                match self.end_of(head, cpu.index())? {
                    End::Preempted(tail) => {
                        self.with_vcpu(tail, Vcpu::resume).ok_or(Status::Aborted)??;
                        if self.partition(tail.partition).is_none_or(Partition::is_aborted) {
                            return Ok(self.end_turn(cpu, tail, platform));
                        }
                        Ok(self.run(cpu, tail, Entry::Resume))
                    }
                    End::Lost { caller, callee } => {
                        let lost = answer::error(Status::Aborted);
                        Ok(self.answer_blocked(cpu, caller, callee, lost))
                    }
                }
            }
            State::Running(_) => Err(Status::Busy),
            State::Off => self.start_to_serve(cpu, head, RunModel::Run, registers),
            State::Aborted => Err(Status::Aborted),
        }
    }

    /// Takes the processing element from the execution context that runs and tells the normal world so, which
    /// lets the whole chain go on by FFA_RUN of its head.
    pub(crate) fn preempt(&self, cpu: &mut Cpu, running: VcpuId) -> Action {
        if self.with_vcpu(running, Vcpu::preempt) != Some(Ok(())) {
            return self.run(cpu, running, Entry::Resume);
        }
        let head = self.head_of(running);
        self.to_normal_world(cpu, answer::interrupt(target_of(head), 0))
    }

    /// Lets `caller`, which waits for `callee`, go on with `registers` as the answer.
    pub(crate) fn answer_blocked(
        &self,
        cpu: &mut Cpu,
        caller: VcpuId,
        callee: VcpuId,
        registers: CallRegisters,
    ) -> Action {
        match self.with_vcpu(caller, |vcpu| vcpu.unblock(callee)) {
            Some(Ok(())) => self.run(cpu, caller, Entry::Answer(registers)),
            // It was ended while it waited, so this chain has lost its head.
            _ => self.to_normal_world(cpu, answer::error(Status::Aborted)),
        }
    }

    /// Applies `change` to an execution context, or returns `None` if there is no such one.
    pub(crate) fn with_vcpu<T>(&self, id: VcpuId, change: impl FnOnce(&mut Vcpu) -> T) -> Option<T> {
        Some(change(&mut *self.partition(id.partition)?.vcpu(id.index)?))
    }

    /// Tells whether an execution context of `partition` is part of the chain that ends in `tail`.
    pub(crate) fn chain_contains(&self, tail: VcpuId, partition: PartitionIndex) -> bool {
        self.chain_from(tail).any(|id| id.partition == partition)
    }

    /// Returns the execution context to which the normal world gave the processing element on which `tail`
    /// runs or ran.
    fn head_of(&self, tail: VcpuId) -> VcpuId {
        self.chain_from(tail).last().unwrap_or(tail)
    }

    /// Yields the chain that ends in `tail`, from its end to its head.
    fn chain_from(&self, tail: VcpuId) -> impl Iterator<Item = VcpuId> {
        core::iter::successors(Some(tail), |id| match self.waiter_of(*id)? {
            Waiter::Partition(caller) => Some(caller),
            Waiter::Boot | Waiter::NormalWorld | Waiter::Power => None,
        })
        // A chain has each partition once. This only says so to the reader, and to the processor.
        .take(MAX_PARTITIONS)
    }

    /// Returns who waits for an execution context, if it is in the middle of something.
    fn waiter_of(&self, id: VcpuId) -> Option<Waiter> {
        self.with_vcpu(id, |vcpu| vcpu.waiter())?
    }

    /// Returns what the chain that begins at `head`, which does not run, has at its end.
    ///
    /// # Errors
    /// BUSY if the chain runs, DENIED if one of its execution contexts is tied to another processing element than
    /// `cpu`, so that it goes on there or not at all.
    fn end_of(&self, head: VcpuId, cpu: CpuIndex) -> Result<End, Status> {
        let mut at = head;
        for _ in 0..MAX_PARTITIONS {
            if self.partition(at.partition).and_then(|partition| partition.vcpu_on(cpu)) != Some(at) {
                return Err(Status::Denied);
            }
            let callee = match self.with_vcpu(at, |vcpu| vcpu.state()).ok_or(Status::Aborted)? {
                State::Blocked { callee, .. } => callee,
                State::Preempted(_) => return Ok(End::Preempted(at)),
                State::Running(_) => return Err(Status::Busy),
                State::Off | State::Waiting | State::Aborted => return Err(Status::Denied),
            };
            if self.waiter_of(callee) != Some(Waiter::Partition(at)) {
                return Ok(End::Lost { caller: at, callee });
            }
            at = callee;
        }
        Err(Status::Denied)
    }
}

/// Says how a chain that does not run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// In an execution context that was preempted.
    Preempted(VcpuId),
    /// In an execution context that waits for one that was ended and does not know of it any more.
    Lost {
        /// The one that waits.
        caller: VcpuId,
        /// The one that it waits for.
        callee: VcpuId,
    },
}

/// Gives the processing element to `id`, an execution context of `partition` whose state says that it runs.
#[inline]
pub(crate) fn enter(cpu: &mut Cpu, partition: &Partition, id: VcpuId, entry: Entry) -> Action {
    cpu.current = Some(id);
    // While partitions initialise themselves there is nobody who could take over.
    let foreign = if cpu.booting { ForeignInterrupts::Masked } else { partition.foreign_interrupts() };
    Action::Run { vcpu: id, entry, roots: partition.roots(), foreign, signals: VirtualInterrupts::NONE }
}

/// Returns the execution context of `partition` that is to be started when `cpu` comes up: each of a
/// multi-processor partition on its own processing element, that of another partition on the first one only.
fn boot_vcpu(partition: &Partition, cpu: CpuIndex) -> Option<VcpuId> {
    if !partition.is_multi_processor() && cpu.get() != 0 {
        return None;
    }
    partition.vcpu_on(cpu)
}

/// Says whether an execution context that begins in the boot of its processing element is the first of the
/// partition's life; `None` if it does not begin then.
fn begins_in_boot(partition: &Partition) -> Option<bool> {
    match partition.life.now() {
        Life::Fresh => partition.life.claim().then_some(true),
        // The only execution context has begun already, wherever it is.
        Life::Live => partition.is_multi_processor().then_some(false),
        // The first execution context is at it elsewhere; the others begin when they are asked.
        Life::Booting => None,
        Life::Dying | Life::DyingToRestart | Life::Burying | Life::Restoring | Life::Stopped => None,
    }
}

/// Returns how the ABI names an execution context.
fn target_of(id: VcpuId) -> Target {
    Target { endpoint: id.partition.endpoint_id(), vcpu: id.index.as_u16() }
}
