//! Starting, waiting, running, preempting and stopping execution contexts (FF-A 1.1, chapter 8).
//!
//! A call chain is not kept anywhere of its own: it is the links from an execution context to who asked it
//! (its [`Origin`]) and from a blocked one to whom it asked. Its head was given the processing element by the
//! normal world, or by the SPMC for a secure interrupt; of the latter there is one at a time on a processing
//! element, and what it has interrupted goes on behind it. A chain never spans processing elements, and since nobody
//! is entered who does not wait or owe the caller an answer, it has no cycle and at most one execution context of each
//! partition.

use tantalum_ffa::{Call, Status, Target, answer};
use tantalum_hal::{Entry, ForeignInterrupts, Platform, Stage2Roots, VirtualInterrupts, Way};
use tantalum_manifest::NsInterruptsAction;
use tantalum_types::{CallRegisters, CpuIndex, MAX_PARTITIONS, PartitionIndex, VcpuId};

use crate::interrupt::Interrupted;
use crate::lifecycle::Life;
use crate::partition::{Partition, Running};
use crate::run_model::Cycle;
use crate::spmc::{Cpu, Spmc, Step};
use crate::vcpu::{AfterInit, Origin, Resumption, RunModel, State, Vcpu, Waiter};
use crate::virtual_interrupts::{ContextInterrupts, more_restrictive};

impl Spmc {
    /// Lets every partition that has an execution context for this processing element initialise it, one
    /// after the other, and then gives the processing element back to the SPMD.
    pub(crate) fn start_cpu(&self, cpu: &mut Cpu) -> Step {
        cpu.current = None;
        cpu.booted = 0;
        cpu.booting = true;
        cpu.going_off = None;
        cpu.interrupted = None;
        self.machine.come_online(cpu.index());
        for partition in self.partitions() {
            // Whether or not an execution context begins here: the interrupts that are private to this processing
            // element are to be set up on it.
            cpu.to_configure.insert(partition.index());
        }
        self.boot_next(cpu)
    }

    /// Starts the next execution context of the boot order that has not been started on this processing
    /// element, or ends the boot.
    pub(crate) fn boot_next(&self, cpu: &mut Cpu) -> Step {
        while let Some(partition) = self.in_boot_order(cpu.booted) {
            cpu.booted = cpu.booted.saturating_add(1);
            let Some(id) = boot_vcpu(partition, cpu.index()) else { continue };
            let Some(mut vcpu) = partition.vcpu(id.index) else { continue };
            // The lock keeps the partition in the life that is looked at.
            let Some(first) = begins_in_boot(partition) else { continue };
            let started = vcpu.start(AfterInit::NextInBoot);
            drop(vcpu);
            match started {
                Ok(()) => return self.begin(cpu, partition, id, first),
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

    /// Gives the processing element to `id`, an execution context of `partition` that begins to initialise itself;
    /// `first` says whether it is the first of the partition's life.
    pub(crate) fn begin(&self, cpu: &mut Cpu, partition: &Partition, id: VcpuId, first: bool) -> Step {
        partition.reset_interrupts(id.index);
        cpu.to_configure.insert(id.partition);
        // It cannot finish early before it has begun.
        let own = match partition.manifest().ns_interrupts_action {
            NsInterruptsAction::Signaled => NsInterruptsAction::Signaled,
            NsInterruptsAction::ManagedExit | NsInterruptsAction::Queued => NsInterruptsAction::Queued,
        };
        let chain = match self.waiter_of(id) {
            Some(Waiter::NormalWorld) => own,
            Some(Waiter::Partition(asker)) => self.action_of(asker),
            Some(Waiter::Boot | Waiter::Power | Waiter::Interrupted) | None => NsInterruptsAction::Queued,
        };
        if let Some(interrupts) = partition.interrupts(id.index) {
            interrupts.begin_turn(more_restrictive(chain, own));
        }
        give_turn(cpu, partition, id, Way::Start(partition.start_of(id.index, first)))
    }

    /// Runs `id`, whose state says that it runs, unless its partition has been stopped in the meantime by what
    /// another of its execution contexts did.
    pub(crate) fn run(&self, cpu: &mut Cpu, id: VcpuId, entry: Entry) -> Step {
        match self.partition(id.partition) {
            Some(partition) if !partition.is_aborted() => enter(cpu, partition, id, &entry),
            _ => self.unwind(cpu, id),
        }
    }

    /// Gives the processing element to the normal world.
    ///
    /// Its x8 to x17 come back as they were: no answer that comes this way uses them, and the SMC Calling Convention
    /// (1.1, section 2.6) lets a caller rely on what the answer does not use. The SPMD leaves that to the SPMC.
    pub(crate) fn to_normal_world(&self, cpu: &mut Cpu, registers: CallRegisters) -> Step {
        cpu.normal_world.set_first_eight(registers.first_eight());
        self.go_to_normal_world(cpu)
    }

    /// Gives the processing element to the normal world with an answer in x0 to x17.
    pub(crate) fn to_normal_world_whole(&self, cpu: &mut Cpu, registers: &CallRegisters) -> Step {
        cpu.normal_world = *registers;
        self.go_to_normal_world(cpu)
    }

    /// Gives the processing element to the normal world, whose registers are where it finds them; first to whoever has
    /// to handle a secure interrupt.
    #[inline]
    pub(crate) fn go_to_normal_world(&self, cpu: &mut Cpu) -> Step {
        cpu.current = None;
        if !cpu.to_wake.is_empty()
            && let Some(step) = self.run_for_interrupt(cpu, Interrupted::NormalWorld)
        {
            return step;
        }
        Step::CallNormalWorld
    }

    /// Ends a chain whose head cannot be told how, which the normal world is told if it began the chain.
    pub(crate) fn end_chain(&self, cpu: &mut Cpu, registers: CallRegisters) -> Step {
        if cpu.interrupted.is_some() {
            self.after_interrupt(cpu)
        } else {
            self.to_normal_world(cpu, registers)
        }
    }

    /// Says what interrupts of the normal world do to the chain that ends in `id`.
    #[inline]
    fn action_of(&self, id: VcpuId) -> NsInterruptsAction {
        self.interrupts_of(id).map_or(NsInterruptsAction::Queued, ContextInterrupts::action)
    }

    /// Notes that `id`, an execution context of `partition`, begins a turn for `model`, in which interrupts of the
    /// normal world do what the most restrictive one of its chain wants.
    #[inline]
    pub(crate) fn begin_turn(&self, partition: &Partition, id: VcpuId, model: RunModel) {
        let own = partition.manifest().ns_interrupts_action;
        let action = match model {
            RunModel::DirectRequest { origin } | RunModel::ServiceRequest { origin } => match origin {
                Origin::NormalWorld(_) | Origin::Nobody(_) => own,
                Origin::Partition(asker) => more_restrictive(self.action_of(asker), own),
            },
            RunModel::Run | RunModel::VmMessage { .. } => own,
            // The normal world's scheduler did not give this turn and cannot give another.
            RunModel::Init | RunModel::PowerMessage | RunModel::SecureInterrupt => NsInterruptsAction::Queued,
        };
        if let Some(interrupts) = partition.interrupts(id.index) {
            interrupts.begin_turn(action);
        }
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
    ) -> Result<Step, Status> {
        self.prepare_to_wait(cpu, caller, platform, |vcpu| vcpu.may(Cycle::MsgWait))?;
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
            self.release_read_rx(caller.partition);
        }
        Ok(match model {
            RunModel::Init => {
                caller.partition.life.initialised();
                match after {
                    AfterInit::NextInBoot => self.boot_next(cpu),
                    AfterInit::Answer { to, registers } => self.answer_origin(cpu, to, caller.id, registers),
                    AfterInit::AfterInterrupt => self.after_interrupt(cpu),
                    AfterInit::Serve { model, registers } => {
                        self.begin_turn(caller.partition, caller.id, model);
                        self.run(cpu, caller.id, Entry::Answer(registers))
                    }
                }
            }
            RunModel::SecureInterrupt => self.after_interrupt(cpu),
            RunModel::Run
            | RunModel::DirectRequest { .. }
            | RunModel::ServiceRequest { .. }
            | RunModel::VmMessage { .. }
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
    ) -> Step {
        match origin {
            Origin::NormalWorld(_) => self.to_normal_world(cpu, registers),
            Origin::Partition(asker) => self.answer_blocked(cpu, asker, callee, registers),
            Origin::Nobody(_) => self.end_chain(cpu, answer::error(Status::Aborted)),
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
    ) -> Result<Step, Status> {
        let partition = self.partition_by_id(target.endpoint).ok_or(Status::InvalidParameters)?;
        let head = partition.vcpu_on(cpu.index()).ok_or(Status::InvalidParameters)?;
        if head.index.as_u16() != target.vcpu {
            return Err(Status::InvalidParameters);
        }
        let registers = Call::Run { target }.encode();
        match self.with_vcpu(head, |vcpu| vcpu.state()).ok_or(Status::InvalidParameters)? {
            State::Waiting => {
                self.with_vcpu(head, |vcpu| vcpu.enter(RunModel::Run)).ok_or(Status::InvalidParameters)??;
                self.begin_turn(partition, head, RunModel::Run);
                Ok(self.run(cpu, head, Entry::Answer(registers)))
            }
            State::Preempted(_) | State::Yielded(_) | State::Blocked { .. } => {
                if let Some(Waiter::Partition(caller)) = self.waiter_of(head)
                    && self.partition(caller.partition).is_some_and(|partition| !partition.is_aborted())
                {
                    // Only the head of a chain is the normal world's to run.
                    return Err(Status::Denied);
                }
                self.resume_chain(cpu, head, None, platform)
            }
            State::Running(_) | State::Interrupted(_) => Err(Status::Busy),
            State::Off => self.start_to_serve(cpu, head, RunModel::Run, registers),
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
        platform: &impl Platform,
    ) -> Result<Step, Status> {
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
        match self.with_vcpu(id, |vcpu| vcpu.state()).ok_or(Status::InvalidParameters)? {
            State::Preempted(_) | State::Yielded(_) | State::Blocked { .. } => {
                if self.waiter_of(id) != Some(Waiter::Partition(caller.id)) {
                    return Err(Status::Denied);
                }
                // Nobody else changes the state of an execution context that runs here, or waits for what runs here.
                caller.vcpu()?.block(id, Cycle::Run)?;
                self.resume_chain(cpu, id, Some(caller), platform).inspect_err(|_| {
                    let _ = self.with_vcpu(caller.id, |vcpu| vcpu.unblock(id));
                })
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
    /// As [`Self::end_of`].
    fn resume_chain<P: Platform>(
        &self,
        cpu: &mut Cpu,
        head: VcpuId,
        caller: Option<&Running<'_>>,
        platform: &P,
    ) -> Result<Step, Status> {
        let tail = match self.end_of(head, cpu.index())? {
            End::Stopped(tail) => tail,
            End::Lost { caller, callee } => {
                let lost = answer::error(Status::Aborted);
                return Ok(self.answer_blocked(cpu, caller, callee, lost));
            }
        };
        let how = self.with_vcpu(tail, Vcpu::resume).ok_or(Status::Aborted)??;
        if self.partition(tail.partition).is_none_or(Partition::is_aborted) {
            return Ok(self.end_turn(cpu, tail, platform));
        }
        if let Some(interrupts) = self.interrupts_of(tail) {
            interrupts.end_exit();
            if let Some(caller) = caller {
                interrupts.begin_turn(more_restrictive(self.action_of(caller.id), interrupts.action()));
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
    ) -> Result<Step, Status> {
        let Some(waiter) = caller.vcpu()?.yield_time()? else {
            return Ok(self.run(cpu, caller.id, Entry::Answer(answer::success())));
        };
        let registers = Call::Yield { target: target_of(caller.id), timeout }.encode();
        let waits = |asker| {
            let state = self.with_vcpu(asker, |vcpu| vcpu.state());
            matches!(state, Some(State::Blocked { callee, .. }) if callee == caller.id)
        };
        Ok(match waiter {
            Waiter::Partition(asker) if waits(asker) => self.answer_blocked(cpu, asker, caller.id, registers),
            // Its asker does not wait any more and is being stopped: it was the normal world that ran it.
            Waiter::Partition(_)
            | Waiter::NormalWorld
            | Waiter::Boot
            | Waiter::Power
            | Waiter::Interrupted => self.to_normal_world(cpu, registers),
        })
    }

    /// Takes the processing element from the execution context that runs and tells the normal world so, which
    /// lets the whole chain go on by FFA_RUN of its head.
    pub(crate) fn preempt(&self, cpu: &mut Cpu, running: VcpuId) -> Step {
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
    ) -> Step {
        match self.with_vcpu(caller, |vcpu| vcpu.unblock(callee)) {
            Some(Ok(())) if cpu.to_wake.is_empty() => self.run(cpu, caller, Entry::Answer(registers)),
            Some(Ok(())) => self.interrupt_or_run(cpu, caller, Entry::Answer(registers)),
            // It was ended while it waited, so this chain has lost its head.
            _ => self.end_chain(cpu, answer::error(Status::Aborted)),
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

    /// Tells whether an execution context of `partition` goes on only when `tail` has answered: it is part of the chain,
    /// or waits for one that is and whose partition is being stopped, and is told so when this chain ends.
    pub(crate) fn waits_for(&self, partition: PartitionIndex, tail: VcpuId) -> bool {
        let links = core::iter::successors(Some(tail), |id| match self.waiter_of(*id)? {
            Waiter::Partition(caller) => Some(caller),
            Waiter::Boot | Waiter::NormalWorld | Waiter::Power | Waiter::Interrupted => None,
        });
        links.take(MAX_PARTITIONS).any(|id| id.partition == partition)
    }

    /// Returns the execution context to which the normal world gave the processing element on which `tail`
    /// runs or ran.
    fn head_of(&self, tail: VcpuId) -> VcpuId {
        self.chain_from(tail).last().unwrap_or(tail)
    }

    /// Yields the chain that ends in `tail`, from its end to its head. Whoever was asked by one whose partition is being
    /// stopped is a head: nobody waits for the answer, and the normal world may run it.
    pub(crate) fn chain_from(&self, tail: VcpuId) -> impl Iterator<Item = VcpuId> {
        core::iter::successors(Some(tail), |id| match self.waiter_of(*id)? {
            Waiter::Partition(caller) => {
                self.partition(caller.partition).filter(|asker| !asker.is_aborted()).map(|_| caller)
            }
            Waiter::Boot | Waiter::NormalWorld | Waiter::Power | Waiter::Interrupted => None,
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
                State::Preempted(_) | State::Yielded(_) => return Ok(End::Stopped(at)),
                State::Running(_) | State::Interrupted(_) => return Err(Status::Busy),
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
    /// In an execution context that was preempted or has yielded.
    Stopped(VcpuId),
    /// In an execution context that waits for one that was ended and does not know of it any more.
    Lost {
        /// The one that waits.
        caller: VcpuId,
        /// The one that it waits for.
        callee: VcpuId,
    },
}

/// Gives the processing element to `id`, an execution context of `partition` whose state says that it runs.
pub(crate) fn enter(cpu: &mut Cpu, partition: &Partition, id: VcpuId, entry: &Entry) -> Step {
    let way = match entry {
        Entry::Start(start) => Way::Start(*start),
        Entry::Answer(registers) => {
            cpu.partition = *registers;
            Way::Answer
        }
        Entry::Resume => Way::Resume,
        Entry::Register { to, value } => Way::Register { to: *to, value: *value },
    };
    give_turn(cpu, partition, id, way)
}

/// Gives the processing element to `id`, an execution context of `partition` whose state says that it runs, and whose
/// registers are where it finds them.
#[inline(always)]
pub(crate) fn give_turn(cpu: &mut Cpu, partition: &Partition, id: VcpuId, way: Way) -> Step {
    cpu.current = Some(id);
    let (signals, mut foreign) = match partition.interrupts(id.index) {
        Some(interrupts) => interrupts.enter_on(cpu.index()),
        None => (VirtualInterrupts::NONE, ForeignInterrupts::Masked),
    };
    if cpu.booting {
        // While partitions initialise themselves there is nobody who could take over.
        foreign = ForeignInterrupts::Masked;
    }
    // One by one: a whole one would be put together elsewhere and copied.
    let Stage2Roots { secure, non_secure, vmid } = partition.roots();
    let turn = &mut cpu.turn;
    turn.vcpu = id;
    turn.way = way;
    turn.roots.secure = *secure;
    turn.roots.non_secure = *non_secure;
    turn.roots.vmid = *vmid;
    turn.foreign = foreign;
    turn.signals = signals;
    Step::Run
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
        Life::Dying
        | Life::DyingToRestart
        | Life::Burying
        | Life::Restoring
        | Life::Stopped
        | Life::Incomplete => None,
    }
}

/// Returns how the ABI names an execution context.
pub(crate) fn target_of(id: VcpuId) -> Target {
    Target { endpoint: id.partition.endpoint_id(), vcpu: id.index.as_u16() }
}
