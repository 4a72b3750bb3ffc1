//! Starting, waiting, running, preempting and stopping execution contexts (FF-A 1.1, chapter 8).
//!
//! A call chain is not kept anywhere of its own: it is the links from an execution context to who asked it
//! (its [`Origin`]) and from a blocked one to whom it asked. Its head was given the processing element by the
//! normal world, or by the SPMC for a secure interrupt; of the latter there is one at a time on a processing
//! element, and what it has interrupted goes on behind it. A chain never spans processing elements, and since nobody
//! is entered who does not wait or owe the caller an answer, it has no cycle and at most one execution context of each
//! partition.

use core::fmt;

use tantalum_ffa::{Call, Status, Target, answer};
use tantalum_hal::{Action, Entry, ForeignInterrupts, Platform, VirtualInterrupts};
use tantalum_types::{CallRegisters, CpuIndex, MAX_PARTITIONS, PartitionIndex, VcpuId};

use crate::interrupt::Interrupted;
use crate::partition::{Partition, Running};
use crate::run_model::Cycle;
use crate::spmc::{Cpu, Spmc};
use crate::vcpu::{Origin, Resumption, RunModel, State, Vcpu};
use crate::virtual_interrupts::more_restrictive;

impl Spmc {
    /// Lets every partition that has an execution context for this processing element initialise it, one
    /// after the other, and then gives the processing element back to the SPMD.
    pub(crate) fn start_cpu(&self, cpu: &mut Cpu) -> Action {
        cpu.current = None;
        cpu.booted = 0;
        cpu.booting = true;
        self.machine.come_online(cpu.index());
        for partition in self.all_partitions() {
            // Whether or not an execution context begins here: the interrupts that are private to this processing
            // element are to be set up on it.
            cpu.to_configure.insert(partition.index());
        }
        self.boot_next(cpu)
    }

    /// Starts the next execution context of the boot order that has not been started on this processing
    /// element, or ends the boot.
    fn boot_next(&self, cpu: &mut Cpu) -> Action {
        while let Some(partition) = self.in_boot_order(cpu.booted) {
            cpu.booted = cpu.booted.saturating_add(1);
            let Some(id) = boot_vcpu(partition, cpu.index()) else { continue };
            let Some(mut vcpu) = partition.vcpu(id.index) else { continue };
            match vcpu.start() {
                Ok(()) => {
                    drop(vcpu);
                    partition.reset_interrupts(id.index);
                    cpu.to_configure.insert(id.partition);
                    return enter(cpu, partition, id, Entry::Start(partition.start_of(id.index)));
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
    /// Its x8 to x17 come back as they were: no answer that exists uses them, and the SMC Calling Convention
    /// (1.1, section 2.6) lets a caller rely on what the answer does not use. The SPMD leaves that to the SPMC.
    pub(crate) fn to_normal_world(&self, cpu: &mut Cpu, mut registers: CallRegisters) -> Action {
        cpu.current = None;
        for (register, kept) in registers.0.iter_mut().skip(8).zip(&cpu.normal_world_extra) {
            *register = *kept;
        }
        if !cpu.to_wake.is_empty()
            && let Some(action) = self.run_for_interrupt(cpu, Interrupted::NormalWorld(registers))
        {
            return action;
        }
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
        platform: &impl Platform,
    ) -> Result<Action, Status> {
        let unhandled = match caller.partition.interrupts(caller.id.index) {
            Some(interrupts) if !interrupts.is_quiet() => {
                caller.vcpu()?.may(Cycle::MsgWait)?;
                self.end_turn(cpu, caller, interrupts, platform)
            }
            _ => false,
        };
        let model = caller.vcpu()?.wait()?;
        if unhandled {
            cpu.to_wake.insert(caller.id.partition);
        }
        if !retain_rx {
            // Waiting for the next message is a release of the last one, if there was one.
            let _ = caller.partition.endpoint.mailbox.lock().release();
        }
        Ok(match model {
            RunModel::Init => self.boot_next(cpu),
            RunModel::SecureInterrupt => self.after_interrupt(cpu),
            RunModel::Run | RunModel::DirectRequest { .. } => self.to_normal_world(cpu, answer::msg_wait()),
        })
    }

    /// Answers FFA_RUN of the normal world: lets the chain that begins at `target` go on.
    ///
    /// # Errors
    /// INVALID_PARAMETERS if there is no such execution context or it does not belong on this processing
    /// element, BUSY if it runs, DENIED if it has nothing to go on with, ABORTED if it has been stopped.
    pub(crate) fn run_call(&self, cpu: &mut Cpu, target: Target) -> Result<Action, Status> {
        let partition = self.partition_by_id(target.endpoint).ok_or(Status::InvalidParameters)?;
        let head = partition.vcpu_on(cpu.index()).ok_or(Status::InvalidParameters)?;
        if head.index.as_u16() != target.vcpu {
            return Err(Status::InvalidParameters);
        }
        if partition.is_aborted() {
            return Err(Status::Aborted);
        }
        match self.with_vcpu(head, |vcpu| vcpu.state()).ok_or(Status::InvalidParameters)? {
            State::Waiting => {
                self.with_vcpu(head, |vcpu| vcpu.enter(RunModel::Run)).ok_or(Status::InvalidParameters)??;
                partition.begin_turn(head.index, partition.manifest().ns_interrupts_action);
                Ok(self.run(cpu, head, Entry::Answer(Call::Run { target }.encode())))
            }
            State::Preempted(model) | State::Yielded(model) | State::Blocked { model, .. } => {
                if let RunModel::DirectRequest { origin: Origin::Partition(caller) } = model
                    && self.partition(caller.partition).is_some_and(|caller| !caller.is_aborted())
                {
                    // Only the head of a chain is the normal world's to run.
                    return Err(Status::Denied);
                }
                self.resume_chain(cpu, head, None)
            }
            State::Running(_) | State::Interrupted(_) => Err(Status::Busy),
            State::Off => Err(Status::Denied),
            State::Aborted => Err(Status::Aborted),
        }
    }

    /// Answers FFA_RUN of a partition: lets an execution context go on that it has asked itself and that gave the
    /// processing element back before it answered.
    ///
    /// # Errors
    /// INVALID_PARAMETERS if there is no such execution context or it does not belong on this processing element,
    /// BUSY if it runs, ABORTED if it has been stopped, DENIED if the caller may not, as for the normal world, the
    /// partitions of its own chain and everybody who does not owe it an answer.
    pub(crate) fn run_by_partition(
        &self,
        cpu: &mut Cpu,
        caller: &Running<'_>,
        target: Target,
    ) -> Result<Action, Status> {
        caller.vcpu()?.may(Cycle::Run)?;
        if !target.endpoint.is_secure() {
            return Err(Status::Denied);
        }
        let partition = self.partition_by_id(target.endpoint).ok_or(Status::InvalidParameters)?;
        let id = partition.vcpu_on(cpu.index()).ok_or(Status::InvalidParameters)?;
        if id.index.as_u16() != target.vcpu {
            return Err(Status::InvalidParameters);
        }
        if self.chain_contains(caller.id, id.partition) {
            return Err(Status::Denied);
        }
        if partition.is_aborted() {
            return Err(Status::Aborted);
        }
        match self.with_vcpu(id, |vcpu| vcpu.state()).ok_or(Status::InvalidParameters)? {
            State::Preempted(model) | State::Yielded(model) | State::Blocked { model, .. } => {
                match model {
                    RunModel::DirectRequest { origin: Origin::Partition(asker) } if asker == caller.id => {}
                    _ => return Err(Status::Denied),
                }
                let action = self.resume_chain(cpu, id, Some(caller))?;
                // Nobody else changes the state of an execution context that runs here.
                caller.vcpu()?.block(id, Cycle::Run)?;
                Ok(action)
            }
            State::Running(_) | State::Interrupted(_) => Err(Status::Busy),
            State::Waiting | State::Off => Err(Status::Denied),
            State::Aborted => Err(Status::Aborted),
        }
    }

    /// Lets the chain that begins at `head` go on where it stopped; `caller` is who gives it the processing element,
    /// or none if that is the normal world.
    ///
    /// # Errors
    /// As [`Self::tail_of`]; DENIED if part of the chain is tied to another processing element.
    fn resume_chain(
        &self,
        cpu: &mut Cpu,
        head: VcpuId,
        caller: Option<&Running<'_>>,
    ) -> Result<Action, Status> {
        let tail = self.tail_of(head)?;
        let here = |id: VcpuId| self.partition(id.partition)?.vcpu_on(cpu.index());
        if self.chain_from(tail).any(|id| here(id) != Some(id)) {
            return Err(Status::Denied);
        }
        let partition = self.partition(tail.partition).ok_or(Status::Aborted)?;
        let how = self.with_vcpu(tail, Vcpu::resume).ok_or(Status::Aborted)??;
        if let Some(interrupts) = partition.interrupts(tail.index) {
            interrupts.end_exit();
            let restriction = caller.and_then(|caller| caller.partition.interrupts(caller.id.index));
            if let Some(restriction) = restriction {
                interrupts.begin_turn(more_restrictive(restriction.action(), interrupts.action()));
            }
        }
        let entry = match how {
            Resumption::Interrupted => Entry::Resume,
            Resumption::Yielded => Entry::Answer(answer::success()),
        };
        Ok(self.run(cpu, tail, entry))
    }

    /// Answers FFA_YIELD of `caller`: gives the processing element back to who gave it, who may let the caller go on
    /// by FFA_RUN, best after `timeout` nanoseconds.
    ///
    /// # Errors
    /// As [`Vcpu::yield_time`].
    pub(crate) fn yield_call(
        &self,
        cpu: &mut Cpu,
        caller: &Running<'_>,
        timeout: u64,
    ) -> Result<Action, Status> {
        let Some(model) = caller.vcpu()?.yield_time()? else {
            return Ok(self.run(cpu, caller.id, Entry::Answer(answer::success())));
        };
        let registers = Call::Yield { target: target_of(caller.id), timeout }.encode();
        Ok(match model {
            RunModel::DirectRequest { origin: Origin::Partition(asker) } => {
                self.answer_blocked(cpu, asker, caller.id, registers)
            }
            RunModel::DirectRequest { origin: Origin::NormalWorld(_) }
            | RunModel::Run
            | RunModel::Init
            | RunModel::SecureInterrupt => self.to_normal_world(cpu, registers),
        })
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

    /// Stops the partition of the execution context that runs, since it did what it may not or gave up, and
    /// tells whoever waits for it.
    pub(crate) fn abort_running(&self, cpu: &mut Cpu, running: VcpuId, why: fmt::Arguments<'_>) -> Action {
        let Some(partition) = self.partition(running.partition) else {
            return self.to_normal_world(cpu, answer::error(Status::Aborted));
        };
        partition.set_aborted();
        // Its interrupts are silenced before this processing element goes on.
        cpu.to_configure.insert(running.partition);
        // A warning: whatever a partition does to itself is no error of the SPMC.
        log::warn!("partition {} {} is stopped: {why}", partition.id(), partition.name());
        self.unwind(cpu, running)
    }

    /// Ends the turn of `from`, whose partition has been stopped, and tells whoever waits for it, or else
    /// whoever waits for them.
    pub(crate) fn unwind(&self, cpu: &mut Cpu, from: VcpuId) -> Action {
        let mut at = from;
        // Each turn ends one execution context of the chain, which has each partition once.
        for _ in 0..MAX_PARTITIONS {
            let was = self.with_vcpu(at, Vcpu::abort);
            let model = match was {
                Some(
                    State::Running(model)
                    | State::Preempted(model)
                    | State::Yielded(model)
                    | State::Interrupted(model)
                    | State::Blocked { model, .. },
                ) => model,
                Some(State::Off | State::Waiting | State::Aborted) | None => break,
            };
            let caller = match model {
                RunModel::DirectRequest { origin: Origin::Partition(caller) } => caller,
                RunModel::DirectRequest { origin: Origin::NormalWorld(_) } | RunModel::Run => break,
                RunModel::Init => return self.boot_next(cpu),
                RunModel::SecureInterrupt => return self.after_interrupt(cpu),
            };
            if let Some(partition) = self.partition(caller.partition)
                && !partition.is_aborted()
                && self.with_vcpu(caller, |vcpu| vcpu.unblock(at)) == Some(Ok(()))
            {
                return enter(cpu, partition, caller, Entry::Answer(answer::error(Status::Aborted)));
            }
            at = caller;
        }
        self.end_chain(cpu, answer::error(Status::Aborted))
    }

    /// Ends a chain whose head cannot be told how, which the normal world is told if it began the chain.
    fn end_chain(&self, cpu: &mut Cpu, registers: CallRegisters) -> Action {
        if cpu.interrupted.is_some() {
            self.after_interrupt(cpu)
        } else {
            self.to_normal_world(cpu, registers)
        }
    }

    /// Lets `caller`, which waits for `callee`, go on with `registers` as the answer.
    pub(crate) fn answer_blocked(
        &self,
        cpu: &mut Cpu,
        caller: VcpuId,
        callee: VcpuId,
        registers: CallRegisters,
    ) -> Action {
        if self.with_vcpu(caller, |vcpu| vcpu.unblock(callee)) != Some(Ok(())) {
            // It has been stopped in the meantime, and who waits for it was told.
            return self.end_chain(cpu, answer::error(Status::Aborted));
        }
        if cpu.to_wake.is_empty() {
            return self.run(cpu, caller, Entry::Answer(registers));
        }
        self.interrupt_or_run(cpu, caller, Entry::Answer(registers))
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
    pub(crate) fn chain_from(&self, tail: VcpuId) -> impl Iterator<Item = VcpuId> {
        core::iter::successors(Some(tail), |id| match self.partition(id.partition)?.vcpu(id.index)?.state() {
            State::Running(model)
            | State::Preempted(model)
            | State::Yielded(model)
            | State::Interrupted(model)
            | State::Blocked { model, .. } => match model {
                RunModel::DirectRequest { origin: Origin::Partition(caller) } => Some(caller),
                RunModel::DirectRequest { origin: Origin::NormalWorld(_) }
                | RunModel::Init
                | RunModel::Run
                | RunModel::SecureInterrupt => None,
            },
            State::Off | State::Waiting | State::Aborted => None,
        })
        // A chain has each partition once. This only says so to the reader, and to the processor.
        .take(MAX_PARTITIONS)
    }

    /// Returns the preempted end of the chain that begins at `head`.
    ///
    /// # Errors
    /// BUSY if the chain runs, ABORTED if its end has been stopped, DENIED if it was not preempted.
    fn tail_of(&self, head: VcpuId) -> Result<VcpuId, Status> {
        let mut at = head;
        for _ in 0..MAX_PARTITIONS {
            match self.with_vcpu(at, |vcpu| vcpu.state()).ok_or(Status::Aborted)? {
                State::Blocked { callee, .. } => at = callee,
                State::Preempted(_) | State::Yielded(_) => return Ok(at),
                State::Running(_) | State::Interrupted(_) => return Err(Status::Busy),
                State::Aborted => return Err(Status::Aborted),
                State::Off | State::Waiting => return Err(Status::Denied),
            }
        }
        Err(Status::Denied)
    }
}

/// Gives the processing element to `id`, an execution context of `partition` whose state says that it runs.
#[inline]
pub(crate) fn enter(cpu: &mut Cpu, partition: &Partition, id: VcpuId, entry: Entry) -> Action {
    cpu.current = Some(id);
    let (signals, mut foreign) = match partition.interrupts(id.index) {
        Some(interrupts) => interrupts.enter_on(cpu.index()),
        None => (VirtualInterrupts::NONE, ForeignInterrupts::Masked),
    };
    if cpu.booting {
        // While partitions initialise themselves there is nobody who could take over.
        foreign = ForeignInterrupts::Masked;
    }
    Action::Run { vcpu: id, entry, roots: partition.roots(), foreign, signals }
}

/// Returns the execution context of `partition` that is to be started when `cpu` comes up: each of a
/// multi-processor partition on its own processing element, that of another partition on the first one only.
fn boot_vcpu(partition: &Partition, cpu: CpuIndex) -> Option<VcpuId> {
    if partition.is_aborted() || (!partition.is_multi_processor() && cpu.get() != 0) {
        return None;
    }
    partition.vcpu_on(cpu)
}

/// Returns how the ABI names an execution context.
pub(crate) fn target_of(id: VcpuId) -> Target {
    Target { endpoint: id.partition.endpoint_id(), vcpu: id.index.as_u16() }
}
