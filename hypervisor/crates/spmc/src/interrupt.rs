//! Physical interrupts and what they stop, and partitions that do what they may not.
//!
//! A secure interrupt is taken from the interrupt controller at once, which keeps it active so that it is not signalled
//! again, and becomes a pending virtual interrupt of the execution context that owns it. What happens then depends on
//! what that one does (FF-A 1.2, tables 9.1 and 9.2):
//!
//! | owner | what happens |
//! |---|---|
//! | waits | it is run with FFA_INTERRUPT, and what was stopped goes on when it waits again |
//! | waits, and the call chain that runs here queues interrupts of others | the same, when the chain ends |
//! | waits, and another one handles an interrupt here | the same, when that one waits again |
//! | waits, and its manifest prefers to be scheduled | the normal world's scheduler is told |
//! | runs here or on another processing element | it sees the interrupt at once |
//! | waits for an answer of the call chain that runs here, which lets others' interrupts stop it | its call ends with FFA_INTERRUPT; it lets the chain go on by FFA_RUN |
//! | waits for another answer, or was stopped by an interrupt of another | it sees the interrupt when it goes on |
//! | is preempted or has yielded | the same, and the normal world's scheduler is told |
//! | is off or was stopped for good | nobody sees it; it is disabled and ended |
//!
//! It stays active until the partition deactivates it, or waits again after it has got it.

use crate::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use heapless::Vec;
use tantalum_ffa::{Call, Status, Target, answer};
use tantalum_hal::{
    Entry, InterruptLine, InterruptSetting, Platform, RegisterAccess, TimerAccess, Trap, TrapKind, Trigger,
};
use tantalum_manifest::{NsInterruptsAction, OtherSecureInterruptsAction};
use tantalum_types::{CpuIndex, MAX_CPUS, MAX_PARTITIONS, PartitionIndex, VcpuId, VcpuIndex};

use crate::partition::{Partition, Running};
use crate::schedule::{enter, target_of};
use crate::spmc::{Cpu, Spmc, Step};
use crate::vcpu::{RunModel, State, Vcpu};
use crate::virtual_interrupts::{ContextInterrupts, TIMER};

/// Says what goes on when the execution context that handles a secure interrupt waits again.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Interrupted {
    /// The normal world, by the call that is prepared for it.
    NormalWorld,
    /// An execution context, and how.
    Partition {
        /// Which one.
        id: VcpuId,
        /// How it goes on.
        entry: Entry,
    },
}

/// Is a set of partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PartitionSet(u8);

const _: () = assert!(MAX_PARTITIONS <= 8, "a set of partitions has 8 bits");

impl PartitionSet {
    /// Has no partition.
    pub(crate) const EMPTY: Self = Self(0);

    /// Tells whether the set has no partition.
    #[inline]
    pub(crate) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Adds a partition.
    pub(crate) fn insert(&mut self, index: PartitionIndex) {
        self.0 |= 1_u8.wrapping_shl(u32::from(index.as_u16()));
    }

    /// Returns the partitions of both sets.
    const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Removes the first partition and returns it.
    pub(crate) fn take_first(&mut self) -> Option<PartitionIndex> {
        let first = PartitionIndex::all().find(|index| self.0 >> index.as_u16() & 1 != 0)?;
        self.0 &= !1_u8.wrapping_shl(u32::from(first.as_u16()));
        Some(first)
    }
}

/// Holds what the SPMC knows of the processing elements for the sake of interrupts.
#[derive(Debug)]
pub(crate) struct MachineInterrupts {
    /// The affinity of each processing element.
    pub cpus: Vec<u64, MAX_CPUS>,
    /// A bit for each processing element that is on.
    online: AtomicU32,
    /// For each processing element a bit for each private interrupt that somebody elsewhere wants to end.
    ends: [AtomicU32; MAX_CPUS],
    /// For each processing element a bit for each partition that has begun elsewhere and has private interrupts there.
    begun: [AtomicU8; MAX_CPUS],
}

impl MachineInterrupts {
    /// Knows nothing yet.
    pub(crate) const fn new() -> Self {
        Self {
            cpus: Vec::new(),
            online: AtomicU32::new(0),
            ends: [const { AtomicU32::new(0) }; MAX_CPUS],
            begun: [const { AtomicU8::new(0) }; MAX_CPUS],
        }
    }

    /// Returns the processing element with the MPIDR affinity `affinity`.
    pub(crate) fn cpu_with_affinity(&self, affinity: u64) -> Option<CpuIndex> {
        CpuIndex::new(self.cpus.iter().position(|cpu| *cpu == affinity)?)
    }

    /// Notes that a processing element is on.
    pub(crate) fn come_online(&self, cpu: CpuIndex) {
        self.online.fetch_or(bit(cpu), Ordering::Relaxed);
    }

    /// Notes that a processing element goes off, and returns one that is on.
    fn go_offline(&self, cpu: CpuIndex) -> Option<CpuIndex> {
        let left = self.online.fetch_and(!bit(cpu), Ordering::Relaxed) & !bit(cpu);
        CpuIndex::all().find(|cpu| left & bit(*cpu) != 0)
    }

    /// Asks `cpu` to end private interrupt `intid`, below 32, when it is kicked.
    fn ask_to_end(&self, cpu: CpuIndex, intid: u32) {
        if let Some(ends) = self.ends.get(cpu.get()) {
            ends.fetch_or(1_u32.wrapping_shl(intid), Ordering::Release);
        }
    }

    /// Asks `cpu` to set up the private interrupts of partition `index` when it is kicked.
    fn ask_to_set_up(&self, cpu: CpuIndex, index: PartitionIndex) {
        if let Some(begun) = self.begun.get(cpu.get()) {
            begun.fetch_or(1_u8.wrapping_shl(u32::from(index.as_u16())), Ordering::Release);
        }
    }

    /// Returns the partitions whose private interrupts `cpu` was asked to set up.
    fn asked_to_set_up(&self, cpu: CpuIndex) -> PartitionSet {
        PartitionSet(self.begun.get(cpu.get()).map_or(0, |begun| begun.swap(0, Ordering::Acquire)))
    }

    /// Yields the private interrupts that `cpu` was asked to end.
    fn asked_to_end(&self, cpu: CpuIndex) -> impl Iterator<Item = u32> {
        let ends = self.ends.get(cpu.get()).map_or(0, |ends| ends.swap(0, Ordering::Acquire));
        (0..u32::BITS).filter(move |intid| ends >> intid & 1 != 0)
    }
}

fn bit(cpu: CpuIndex) -> u32 {
    1_u32.wrapping_shl(u32::from(cpu.as_u16()))
}

impl Spmc {
    /// Makes virtual interrupt `intid` pending for `target`, which sees it at once if it runs and else when it is
    /// entered, and says whether the partition can have it.
    pub(crate) fn pend(&self, cpu: &mut Cpu, target: VcpuId, intid: u32, platform: &impl Platform) -> bool {
        let can =
            self.partition(target.partition).is_some_and(|partition| partition.pend(target.index, intid));
        if can {
            self.wake(cpu, target, platform);
        }
        can
    }

    /// Lets `target`, for which an interrupt has been made pending, see it as soon as its state lets it.
    pub(crate) fn wake(&self, cpu: &mut Cpu, target: VcpuId, platform: &impl Platform) {
        let Some(partition) = self.partition(target.partition) else { return };
        let Some(interrupts) = partition.interrupts(target.index) else { return };
        // One that begins to run after this look has seen that the interrupt is pending.
        let Some(state) = self.with_vcpu(target, |vcpu| vcpu.state()) else { return };
        match state {
            State::Waiting if !interrupts.any_urgent() => {}
            State::Waiting if partition.manifest().sri_policy.while_waiting => cpu.schedule_receiver = true,
            State::Waiting => match partition.home_of(target.index) {
                Some(home) if home != cpu.index() => platform.kick(home),
                _ => cpu.to_wake.insert(target.partition),
            },
            State::Running(_) => {
                if cpu.current != Some(target)
                    && let Some(other) = interrupts.runs_on()
                {
                    platform.kick(other);
                }
            }
            State::Preempted(_) | State::Yielded(_) => cpu.schedule_receiver = true,
            // It sees it when it goes on.
            State::Blocked { .. } | State::Interrupted(_) => {}
            State::Off | State::Aborted => {}
        }
    }

    /// Tells whether the normal world's scheduler is to give `id`, an execution context of `partition`, time for the
    /// interrupts that are pending for it: where [`Self::wake`] and the end of a turn leave it to it.
    pub(crate) fn is_scheduled_for_interrupts(&self, partition: &Partition, id: VcpuId) -> bool {
        let policy = partition.manifest().sri_policy;
        match self.with_vcpu(id, |vcpu| vcpu.state()) {
            Some(State::Waiting) => policy.while_waiting || policy.entering_waiting,
            Some(State::Preempted(_) | State::Yielded(_)) => true,
            Some(
                State::Off
                | State::Running(_)
                | State::Blocked { .. }
                | State::Interrupted(_)
                | State::Aborted,
            )
            | None => false,
        }
    }

    /// Handles an interrupt that stopped an execution context.
    pub(crate) fn interrupt(&self, cpu: &mut Cpu, line: InterruptLine, platform: &impl Platform) -> Step {
        let Some(running) = cpu.current else {
            return self.to_normal_world(cpu, answer::msg_wait());
        };
        match line {
            InterruptLine::Foreign => self.foreign_interrupt(cpu, running),
            InterruptLine::Group0 => {
                // The SPMD handles it and comes back; a refusal leaves it pending, and nothing else can be done.
                let _ = platform.call_spmd(&Call::El3InterruptHandle.encode());
                self.run(cpu, running, Entry::Resume)
            }
            InterruptLine::Secure => {
                self.take_interrupts(cpu, platform);
                match self.interrupt_blocked(cpu, running) {
                    Some(action) => action,
                    None => self.interrupt_or_run(cpu, running, Entry::Resume),
                }
            }
        }
    }

    /// Lets the last one of the chain that ends in `running`, and that waits for an answer of it, handle its secure
    /// interrupt: its call ends with FFA_INTERRUPT, and it lets whom it has called go on by FFA_RUN (FF-A 1.2, section
    /// 9.2). `None` if there is no such one, or if it has to wait: because one of those that would be stopped does not
    /// give way to others' interrupts, because it could not call FFA_RUN, or because the normal world does not
    /// schedule this chain.
    fn interrupt_blocked(&self, cpu: &mut Cpu, running: VcpuId) -> Option<Step> {
        if cpu.booting || cpu.interrupted.is_some() {
            return None;
        }
        let mut callee = running;
        let mut target = None;
        for id in self.chain_from(running).skip(1) {
            if !self.partition(callee.partition).is_some_and(gives_way) {
                return None;
            }
            if self.interrupts_of(id).is_some_and(ContextInterrupts::any_urgent) {
                target = Some(id);
                break;
            }
            callee = id;
        }
        let target = target?;
        if self.with_vcpu(target, |vcpu| vcpu.may_run_later()) != Some(true) {
            return None;
        }
        self.with_vcpu(running, Vcpu::preempt)?.ok()?;
        Some(self.answer_blocked(cpu, target, callee, answer::interrupt(target_of(callee), 0)))
    }

    /// Handles a secure interrupt that stopped the normal world, which then goes on.
    pub(crate) fn interrupt_in_normal_world(&self, cpu: &mut Cpu, platform: &impl Platform) -> Step {
        self.take_interrupts(cpu, platform);
        self.to_normal_world(cpu, Call::NormalWorldResume.encode())
    }

    /// Handles an interrupt of the normal world that stopped `running`: by what the most restrictive one of its call
    /// chain wants (FF-A 1.2, section 9.3).
    fn foreign_interrupt(&self, cpu: &mut Cpu, running: VcpuId) -> Step {
        let action = self.interrupts_of(running).map(ContextInterrupts::action);
        match action {
            Some(NsInterruptsAction::Signaled) => self.preempt(cpu, running),
            Some(NsInterruptsAction::ManagedExit) => self.managed_exit(cpu, running),
            Some(NsInterruptsAction::Queued) | None => self.run(cpu, running, Entry::Resume),
        }
    }

    /// Tells the last one of the chain that ends in `running` that has asked for it to finish early. Interrupts of the
    /// normal world then wait until it has.
    ///
    /// Whoever it has asked itself, and they in turn, are preempted; it may let them go on by FFA_RUN later.
    fn managed_exit(&self, cpu: &mut Cpu, running: VcpuId) -> Step {
        let mut callee = None;
        let mut exiting = None;
        for id in self.chain_from(running) {
            let own = self.partition(id.partition).map(|partition| partition.manifest().ns_interrupts_action);
            if own == Some(NsInterruptsAction::ManagedExit) {
                exiting = Some(id);
                break;
            }
            callee = Some(id);
        }
        let Some((exiting, interrupts)) = exiting.and_then(|id| Some((id, self.interrupts_of(id)?))) else {
            return self.preempt(cpu, running);
        };
        let Some(callee) = callee else {
            interrupts.begin_exit();
            return self.run(cpu, exiting, Entry::Resume);
        };
        if self.with_vcpu(running, Vcpu::preempt) != Some(Ok(())) {
            return self.run(cpu, running, Entry::Resume);
        }
        interrupts.begin_exit();
        self.answer_blocked(cpu, exiting, callee, answer::interrupt(target_of(callee), 0))
    }

    /// Lets `running`, whose state says that it runs, go on with `entry`, but first whoever has to handle a secure
    /// interrupt, if the chain of `running` gives way to it.
    pub(crate) fn interrupt_or_run(&self, cpu: &mut Cpu, running: VcpuId, entry: Entry) -> Step {
        if !cpu.to_wake.is_empty()
            && !cpu.booting
            && cpu.interrupted.is_none()
            && self.gives_way(running)
            && self.with_vcpu(running, Vcpu::interrupt) == Some(Ok(()))
        {
            if let Some(action) = self.run_for_interrupt(cpu, Interrupted::Partition { id: running, entry }) {
                return action;
            }
            // Nobody had to. This undoes what has just been done.
            let _ = self.with_vcpu(running, Vcpu::end_interrupt);
        }
        self.run(cpu, running, entry)
    }

    /// Tells whether everybody of the chain that ends in `running` lets secure interrupts of others stop it.
    fn gives_way(&self, running: VcpuId) -> bool {
        self.chain_from(running).all(|id| self.partition(id.partition).is_some_and(gives_way))
    }

    /// Runs the next execution context that waits and has a secure interrupt to handle, and lets `then` go on when it
    /// waits again; `None` if there is none.
    pub(crate) fn run_for_interrupt(&self, cpu: &mut Cpu, then: Interrupted) -> Option<Step> {
        while let Some(index) = cpu.to_wake.take_first() {
            let Some(partition) = self.partition(index).filter(|partition| !partition.is_aborted()) else {
                continue;
            };
            let Some(id) = partition.vcpu_on(cpu.index()) else { continue };
            let Some(interrupts) = partition.interrupts(id.index) else { continue };
            let Some(intid) = interrupts.peek(partition.owned_interrupts()) else { continue };
            // One that is no longer waiting sees the interrupt where it runs.
            if self.with_vcpu(id, |vcpu| vcpu.enter(RunModel::SecureInterrupt)) != Some(Ok(())) {
                continue;
            }
            // Interrupts of the normal world wait: its scheduler did not give this turn and cannot give another.
            interrupts.begin_turn(NsInterruptsAction::Queued);
            cpu.interrupted = Some(then);
            let registers = answer::interrupt(Target::NONE, intid);
            return Some(enter(cpu, partition, id, &Entry::Answer(registers)));
        }
        None
    }

    /// Lets go on what a secure interrupt has stopped, or whoever has to handle the next one.
    pub(crate) fn after_interrupt(&self, cpu: &mut Cpu) -> Step {
        match cpu.interrupted.take() {
            Some(Interrupted::NormalWorld) => self.go_to_normal_world(cpu),
            Some(Interrupted::Partition { id, entry }) => {
                // Only this processing element changes the state of what it has interrupted.
                let _ = self.with_vcpu(id, Vcpu::end_interrupt);
                self.interrupt_or_run(cpu, id, entry)
            }
            None => self.to_normal_world(cpu, answer::msg_wait()),
        }
    }

    /// Sees to the interrupts of `caller`, which is about to wait if `may` lets it.
    ///
    /// # Errors
    /// As `may`, and nothing is changed then.
    #[inline]
    pub(crate) fn prepare_to_wait(
        &self,
        cpu: &mut Cpu,
        caller: &Running<'_>,
        platform: &impl Platform,
        may: impl FnOnce(&Vcpu) -> Result<(), Status>,
    ) -> Result<(), Status> {
        match caller.partition.interrupts(caller.id.index) {
            Some(interrupts) if !interrupts.is_quiet() => {
                may(&*caller.vcpu()?)?;
                if self.finish_interrupts(cpu, caller, interrupts, platform) {
                    cpu.to_wake.insert(caller.id.partition);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Ends the physical interrupts that `caller`, which is about to wait, has got, and says whether it is to be run
    /// again at once for others.
    ///
    /// One that has had its turn for an interrupt and got none does not want them now.
    #[cold]
    fn finish_interrupts(
        &self,
        cpu: &mut Cpu,
        caller: &Running<'_>,
        interrupts: &ContextInterrupts,
        platform: &impl Platform,
    ) -> bool {
        interrupts.end_exit();
        for intid in interrupts.end_handled(caller.partition.owned_interrupts()) {
            self.end_physical(cpu, caller.partition, caller.id.index, intid, platform);
        }
        if !interrupts.any() {
            return false;
        }
        let state = self.with_vcpu(caller.id, |vcpu| vcpu.state());
        if state == Some(State::Running(RunModel::SecureInterrupt)) && !interrupts.has_got() {
            return false;
        }
        if caller.partition.manifest().sri_policy.entering_waiting {
            cpu.schedule_receiver = true;
            return false;
        }
        true
    }

    /// Ends a physical interrupt of context `index` of `partition` where it was taken.
    pub(crate) fn end_physical(
        &self,
        cpu: &Cpu,
        partition: &Partition,
        index: VcpuIndex,
        intid: u32,
        platform: &impl Platform,
    ) {
        let owned = partition.owned_interrupts().get(intid).filter(|owned| owned.is_private());
        let place = owned.and_then(|owned| {
            partition.home_of(index).or_else(|| (*owned.current.lock()).map(|setting| setting.target))
        });
        match place {
            Some(other) if other != cpu.index() => {
                self.machine.ask_to_end(other, intid);
                platform.kick(other);
            }
            _ => platform.end_interrupt(cpu.index(), intid),
        }
    }

    /// Takes every pending secure interrupt of this processing element and finds out who shall handle it.
    fn take_interrupts<P: Platform>(&self, cpu: &mut Cpu, platform: &P) {
        while let Some(intid) = platform.take_secure_interrupt(cpu.index()) {
            if intid == P::KICK {
                // Ended first: what comes after the look around kicks again.
                platform.end_interrupt(cpu.index(), intid);
                self.look_around(cpu, platform);
            } else if intid == P::TIMER {
                self.fire_timers(cpu, platform);
                platform.end_interrupt(cpu.index(), intid);
            } else if !self.give_to_owner(cpu, intid, platform) {
                log::warn!("secure interrupt {intid} is nobody's that can handle it: it is disabled");
                platform.configure_interrupt(cpu.index(), intid, &silenced(cpu.index()));
                platform.end_interrupt(cpu.index(), intid);
            }
        }
    }

    /// Makes a physical interrupt that has been taken pending for its owner, and says whether there is one.
    fn give_to_owner(&self, cpu: &mut Cpu, intid: u32, platform: &impl Platform) -> bool {
        let owner = self.live_partitions().find_map(|partition| {
            let slot = partition.owned_interrupts().slot(intid)?;
            partition.owned_interrupts().get(intid)?;
            Some((partition, slot, partition.vcpu_on(cpu.index())?))
        });
        let Some((partition, slot, target)) = owner else { return false };
        let off = self
            .with_vcpu(target, |vcpu| vcpu.state())
            .is_none_or(|state| matches!(state, State::Off | State::Aborted));
        match partition.interrupts(target.index) {
            Some(interrupts) if !off => {
                interrupts.pend(slot);
                self.wake(cpu, target, platform);
                true
            }
            _ => false,
        }
    }

    /// Does what other processing elements may have asked this one for.
    fn look_around(&self, cpu: &mut Cpu, platform: &impl Platform) {
        for intid in self.machine.asked_to_end(cpu.index()) {
            platform.end_interrupt(cpu.index(), intid);
        }
        cpu.to_configure = cpu.to_configure.union(self.machine.asked_to_set_up(cpu.index()));
        self.fire_timers(cpu, platform);
        for partition in self.live_partitions() {
            let Some(id) = partition.vcpu_on(cpu.index()) else { continue };
            let Some(interrupts) = partition.interrupts(id.index) else { continue };
            // Another one's execution context that moves about is here only if it has just been.
            let here = partition.is_multi_processor() || interrupts.runs_on() == Some(cpu.index());
            let waits = self.with_vcpu(id, |vcpu| vcpu.state()) == Some(State::Waiting);
            if here && waits && interrupts.any_urgent() && !partition.manifest().sri_policy.while_waiting {
                cpu.to_wake.insert(id.partition);
            }
        }
    }

    /// Carries out an access of the execution context that runs to its timer.
    pub(crate) fn timer_access(&self, cpu: &mut Cpu, access: TimerAccess, platform: &impl Platform) -> Step {
        let Some(running) = cpu.current else {
            return self.to_normal_world(cpu, answer::msg_wait());
        };
        let now = platform.now();
        match access.access {
            RegisterAccess::Read { to } => {
                let value =
                    self.with_vcpu(running, |vcpu| vcpu.timer.read(access.register, now)).unwrap_or(0);
                self.run(cpu, running, Entry::Register { to, value })
            }
            RegisterAccess::Write { value } => {
                let place = cpu.index();
                let _ = self.with_vcpu(running, |vcpu| {
                    vcpu.timer.write(access.register, value, now);
                    vcpu.timer_cpu = Some(place);
                });
                if let Some(partition) = self.partition(running.partition)
                    && let Some(slot) = partition.owned_interrupts().slot(TIMER)
                    && let Some(interrupts) = partition.interrupts(running.index)
                {
                    // What it was set up for before is gone.
                    interrupts.retract(slot);
                }
                self.fire_timers(cpu, platform);
                self.run(cpu, running, Entry::Resume)
            }
        }
    }

    /// Makes the interrupts of timers pending whose time has come on this processing element, and sets the machine's
    /// timer to the next.
    fn fire_timers(&self, cpu: &mut Cpu, platform: &impl Platform) {
        let now = platform.now();
        let mut next: Option<u64> = None;
        for partition in self.live_partitions() {
            let Some(id) = partition.vcpu_on(cpu.index()) else { continue };
            let place = cpu.index();
            let watched = self.with_vcpu(id, |vcpu| {
                let watched = vcpu.timer_cpu == Some(place) && vcpu.state() != State::Off;
                watched.then(|| (vcpu.timer.fire(now), vcpu.timer.deadline()))
            });
            let Some((fired, deadline)) = watched.flatten() else { continue };
            if fired && partition.pend(id.index, TIMER) {
                self.wake(cpu, id, platform);
            }
            next = [next, deadline].into_iter().flatten().min();
        }
        platform.set_timer(next);
    }

    /// Carries out what was noted: the interrupts of partitions that have begun or been stopped, and of those that go on
    /// without this processing element, are set up or silenced; what is left of those that were stopped is seen to.
    pub(crate) fn configure_interrupts(&self, cpu: &mut Cpu, platform: &impl Platform) {
        if cpu.leaving {
            cpu.leaving = false;
            self.settle_all(cpu, platform);
            self.leave(cpu, platform);
        }
        while let Some(index) = cpu.to_configure.take_first() {
            let Some(partition) = self.partition(index) else { continue };
            if partition.is_aborted() {
                self.silence(cpu, partition, platform);
                // One that may begin anew now does so when it is next asked.
                self.settle(cpu, partition, platform);
            } else {
                self.set_up(cpu, partition, platform);
            }
        }
    }

    /// Sets up the interrupts of a partition's devices: the shared ones when it begins, the private ones on each
    /// processing element that it has an execution context on.
    fn set_up(&self, cpu: &Cpu, partition: &Partition, platform: &impl Platform) {
        let Some(id) = partition.vcpu_on(cpu.index()) else { return };
        if self.with_vcpu(id, |vcpu| vcpu.state() == State::Off) != Some(false) {
            return;
        }
        for owned in partition.owned_interrupts().iter() {
            let mut current = owned.current.lock();
            let begins = current.is_none();
            let setting = *current.get_or_insert_with(|| InterruptSetting {
                target: owned
                    .target
                    .and_then(|affinity| self.machine.cpu_with_affinity(affinity))
                    .unwrap_or(owned.initial.target),
                ..owned.initial
            });
            drop(current);
            let here = partition.is_multi_processor() || setting.target == cpu.index();
            if if owned.is_private() { here } else { begins } {
                platform.configure_interrupt(cpu.index(), owned.intid, &setting);
            } else if owned.is_private() && begins {
                self.machine.ask_to_set_up(setting.target, partition.index());
                platform.kick(setting.target);
            }
        }
    }

    /// Disables the interrupts of a partition that has been stopped, and ends those that it has not.
    pub(crate) fn silence(&self, cpu: &Cpu, partition: &Partition, platform: &impl Platform) {
        for owned in partition.owned_interrupts().iter() {
            let setting = owned.current.lock().take();
            if let Some(setting) = setting {
                platform.configure_interrupt(
                    cpu.index(),
                    owned.intid,
                    &InterruptSetting { enabled: false, ..setting },
                );
            }
        }
        for index in VcpuIndex::all() {
            let Some(interrupts) = partition.interrupts(index) else { continue };
            for intid in interrupts.end_all(partition.owned_interrupts()) {
                self.end_physical(cpu, partition, index, intid, platform);
            }
        }
    }

    /// Hands what this processing element, which goes off, does for execution contexts that are not tied to it to
    /// another one, and ends what is left of the others.
    fn leave(&self, cpu: &Cpu, platform: &impl Platform) {
        let here = cpu.index();
        let heir = self.machine.go_offline(here);
        platform.set_timer(None);
        let mut handed = false;
        for partition in self.live_partitions() {
            let Some(id) = partition.vcpu_on(here) else { continue };
            for owned in partition.owned_interrupts().iter() {
                let setting = *owned.current.lock();
                let Some(mut setting) = setting else { continue };
                if owned.is_private() {
                    setting.enabled = false;
                } else if let (true, Some(heir)) = (setting.target == here, heir) {
                    setting.target = heir;
                    *owned.current.lock() = Some(setting);
                } else {
                    continue;
                }
                platform.configure_interrupt(here, owned.intid, &setting);
            }
            if partition.is_multi_processor() {
                let off = self.with_vcpu(id, |vcpu| vcpu.state() == State::Off) == Some(true);
                if let (true, Some(interrupts)) = (off, partition.interrupts(id.index)) {
                    for intid in interrupts.end_all(partition.owned_interrupts()) {
                        platform.end_interrupt(here, intid);
                    }
                }
            } else {
                handed |= self.with_vcpu(id, |vcpu| {
                    let moves = vcpu.timer_cpu == Some(here);
                    if moves {
                        vcpu.timer_cpu = heir;
                    }
                    moves
                }) == Some(true);
            }
        }
        if let (true, Some(heir)) = (handed, heir) {
            platform.kick(heir);
        }
    }

    /// Returns the virtual interrupts of an execution context.
    #[inline]
    pub(crate) fn interrupts_of(&self, id: VcpuId) -> Option<&ContextInterrupts> {
        self.partition(id.partition)?.interrupts(id.index)
    }

    /// Stops the partition that runs, since it did what it may not.
    pub(crate) fn partition_trap<P: Platform>(&self, cpu: &mut Cpu, trap: &Trap, platform: &P) -> Step {
        let Some(running) = cpu.current else {
            return self.to_normal_world(cpu, answer::msg_wait());
        };
        if self
            .partition(running.partition)
            .is_some_and(|partition| partition.is_allowed(trap.kind, platform))
        {
            // Another processing element was changing the mapping.
            return self.run(cpu, running, Entry::Resume);
        }
        let (pc, syndrome) = (trap.pc, trap.syndrome);
        match trap.kind {
            TrapKind::DataAbort { address, write } => {
                let what = if write { "wrote to" } else { "read from" };
                self.abort_running(
                    cpu,
                    running,
                    format_args!("it {what} {address}, which is not its own, at pc {pc:#x}"),
                    platform,
                )
            }
            TrapKind::InstructionAbort { address } => self.abort_running(
                cpu,
                running,
                format_args!("it jumped to {address}, which it may not execute, pc {pc:#x}"),
                platform,
            ),
            TrapKind::Instruction => self.abort_running(
                cpu,
                running,
                format_args!("it used an instruction that it may not at pc {pc:#x}, syndrome {syndrome:#x}"),
                platform,
            ),
            TrapKind::SystemError => self.abort_running(
                cpu,
                running,
                format_args!("a System Error came while it ran at pc {pc:#x}, syndrome {syndrome:#x}"),
                platform,
            ),
        }
    }
}

/// Tells whether a partition lets secure interrupts of others stop it.
fn gives_way(partition: &Partition) -> bool {
    partition.manifest().other_secure_interrupts_action == OtherSecureInterruptsAction::Signaled
}

/// Says how an interrupt is that nobody wants.
const fn silenced(cpu: CpuIndex) -> InterruptSetting {
    InterruptSetting { enabled: false, priority: u8::MAX, trigger: Trigger::Level, secure: true, target: cpu }
}
