//! An execution context: its state, and what may happen in each state.
//!
//! The state is an enum and every transition a total function of it, so a state that makes no sense cannot be
//! built and a caller is told why a step is refused (FF-A 1.1, section 7.3 and chapter 8).

use tantalum_ffa::Status;
use tantalum_types::{CallRegisters, CpuIndex, EndpointId, VcpuId};

use crate::run_model::{self, Cycle, Verdict};
use crate::timer::Timer;
use crate::vm::VmEvent;

/// Says who waits for the answer to a direct request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// An endpoint of the normal world, by its id.
    NormalWorld(EndpointId),
    /// An execution context of another partition.
    Partition(VcpuId),
    /// Nobody any more: an endpoint that has been stopped meanwhile.
    Nobody(EndpointId),
}

/// Says what an execution context was given the processing element for (FF-A 1.1, section 8.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RunModel {
    /// To initialise itself.
    Init,
    /// To do what it likes: the normal world's scheduler called FFA_RUN.
    Run,
    /// To answer a direct request.
    DirectRequest {
        /// Who asked, and waits.
        origin: Origin,
    },
    /// To answer a direct request to a service of it.
    ServiceRequest {
        /// Who asked, and waits.
        origin: Origin,
    },
    /// To take note of a virtual machine; the hypervisor waits.
    VmMessage {
        /// What has become of it.
        event: VmEvent,
        /// The virtual machine.
        vm: EndpointId,
    },
    /// To take note that its processing element goes off; the SPMD waits.
    PowerMessage,
    /// To handle a secure interrupt that came while it waited: the SPMC itself schedules it, and lets what the
    /// interrupt has stopped go on when it waits again.
    SecureInterrupt,
}

impl RunModel {
    const fn origin_mut(&mut self) -> Option<&mut Origin> {
        match self {
            Self::DirectRequest { origin } | Self::ServiceRequest { origin } => Some(origin),
            Self::Init | Self::Run | Self::VmMessage { .. } | Self::SecureInterrupt | Self::PowerMessage => {
                None
            }
        }
    }
}

/// Says what happens when an execution context has initialised itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AfterInit {
    /// The processing element goes on with its boot.
    NextInBoot,
    /// What a secure interrupt has stopped goes on.
    AfterInterrupt,
    /// Somebody who waits gets an answer.
    Answer {
        /// Who waits.
        to: Origin,
        /// What he gets.
        registers: CallRegisters,
    },
    /// A request that came before there was anybody to serve it is served.
    Serve {
        /// What it is, and who waits for its answer.
        model: RunModel,
        /// The request.
        registers: CallRegisters,
    },
}

/// Names who waits for an execution context to end its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waiter {
    /// The boot of the processing element.
    Boot,
    /// The normal world.
    NormalWorld,
    /// An execution context of another partition.
    Partition(VcpuId),
    /// The processing element, to go off.
    Power,
    /// What a secure interrupt has stopped.
    Interrupted,
}

/// Says where in its life an execution context is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// It has not been started on its processing element.
    Off,
    /// It has called FFA_MSG_WAIT and waits for work.
    Waiting,
    /// It runs on a processing element.
    Running(RunModel),
    /// It has sent a direct request and waits for the answer.
    Blocked {
        /// What it was given the processing element for.
        model: RunModel,
        /// The execution context that answers.
        callee: VcpuId,
    },
    /// An interrupt of the normal world stopped it; FFA_RUN lets it go on.
    Preempted(RunModel),
    /// It has called FFA_YIELD, which is the other way to be blocked; FFA_RUN lets it go on.
    Yielded(RunModel),
    /// A secure interrupt of another partition stopped it, or kept it from going on; the SPMC lets it go on.
    Interrupted(RunModel),
    /// It did what it may not, or gave up. It never runs again.
    Aborted,
}

/// Says how an execution context goes on that FFA_RUN was called for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resumption {
    /// Where it was interrupted.
    Interrupted,
    /// Behind its FFA_YIELD.
    Yielded,
}

/// Is an execution context as the SPMC sees it; its registers belong to the machine.
#[derive(Debug)]
pub(crate) struct Vcpu {
    state: State,
    /// What happens when it has initialised itself. Means nothing in another run model.
    after_init: AfterInit,
    log: crate::console::LineBuffer,
    /// Its EL1 physical timer.
    pub timer: Timer,
    /// The processing element that watches its timer: the one on which it was last set up.
    pub timer_cpu: Option<CpuIndex>,
}

impl Vcpu {
    /// Builds an execution context that has not been started.
    pub(crate) const fn new() -> Self {
        Self {
            state: State::Off,
            after_init: AfterInit::NextInBoot,
            log: crate::console::LineBuffer::new(),
            timer: Timer::new(),
            timer_cpu: None,
        }
    }

    /// Returns where in its life the execution context is.
    pub(crate) fn state(&self) -> State {
        self.state
    }

    /// Tells whether the execution context is in the middle of something.
    pub(crate) fn is_at_work(&self) -> bool {
        match self.state {
            State::Off | State::Waiting | State::Aborted => false,
            State::Running(_)
            | State::Blocked { .. }
            | State::Preempted(_)
            | State::Yielded(_)
            | State::Interrupted(_) => true,
        }
    }

    /// Returns what the execution context has logged since its last whole line.
    pub(crate) fn log_mut(&mut self) -> &mut crate::console::LineBuffer {
        &mut self.log
    }

    /// Starts the execution context so that it initialises itself, and notes what happens then.
    ///
    /// # Errors
    /// Refuses one that runs or has been stopped for good; one that waits is started again, as after its
    /// processing element was off.
    pub(crate) fn start(&mut self, after: AfterInit) -> Result<(), Status> {
        match self.state {
            State::Off | State::Waiting => {
                self.state = State::Running(RunModel::Init);
                self.after_init = after;
                self.timer = Timer::new();
                Ok(())
            }
            State::Running(_)
            | State::Blocked { .. }
            | State::Preempted(_)
            | State::Yielded(_)
            | State::Interrupted(_) => Err(Status::Busy),
            State::Aborted => Err(Status::Aborted),
        }
    }

    /// Gives a waiting execution context the processing element.
    ///
    /// # Errors
    /// BUSY if it is at work already, DENIED before it is initialised, ABORTED if it has been stopped.
    pub(crate) fn enter(&mut self, model: RunModel) -> Result<(), Status> {
        match self.state {
            State::Waiting => {
                self.state = State::Running(model);
                Ok(())
            }
            State::Running(_)
            | State::Blocked { .. }
            | State::Preempted(_)
            | State::Yielded(_)
            | State::Interrupted(_) => Err(Status::Busy),
            State::Off => Err(Status::Denied),
            State::Aborted => Err(Status::Aborted),
        }
    }

    /// Ends the work of a running execution context that calls FFA_MSG_WAIT, and returns what it was for.
    ///
    /// # Errors
    /// DENIED while a direct request is open, or if it does not run.
    pub(crate) fn wait(&mut self) -> Result<RunModel, Status> {
        let model = self.running()?;
        run_model::check(&model, Cycle::MsgWait)?;
        self.state = State::Waiting;
        Ok(model)
    }

    /// Ends the work of an execution context that runs for `model`, which is a request or FFA_RUN; `None` if it does not.
    #[inline(always)]
    pub(crate) fn wait_after(&mut self, model: RunModel) -> Option<()> {
        match (self.state, model) {
            (
                State::Running(RunModel::DirectRequest { origin }),
                RunModel::DirectRequest { origin: other },
            )
            | (
                State::Running(RunModel::ServiceRequest { origin }),
                RunModel::ServiceRequest { origin: other },
            ) if origin == other => {}
            (State::Running(RunModel::Run), RunModel::Run) => {}
            _ => return None,
        }
        self.state = State::Waiting;
        Some(())
    }

    /// Returns what happens now that the execution context has initialised itself.
    pub(crate) fn after_init(&self) -> AfterInit {
        self.after_init
    }

    /// Ends the work of a running execution context that answers a direct request from `asker`, and returns
    /// who waits for the answer.
    ///
    /// # Errors
    /// DENIED if it does not run for a direct request of the first form, INVALID_PARAMETERS if the request came
    /// from another.
    pub(crate) fn respond(&mut self, asker: EndpointId) -> Result<Origin, Status> {
        let origin = self.asked_by(asker, Cycle::DirectResponse)?;
        self.state = State::Waiting;
        Ok(origin)
    }

    /// Ends the work of a running execution context that answers a direct request of `asker` to a service of it,
    /// and returns who waits for the answer.
    ///
    /// # Errors
    /// As [`Self::respond`], for the second form.
    pub(crate) fn respond_for_service(&mut self, asker: EndpointId) -> Result<Origin, Status> {
        let origin = self.asked_by(asker, Cycle::ServiceResponse)?;
        self.state = State::Waiting;
        Ok(origin)
    }

    /// Returns who waits for the answer `call` to a direct request from `asker`.
    ///
    /// # Errors
    /// DENIED if no such answer is due, INVALID_PARAMETERS if the request came from another.
    pub(crate) fn asked_by(&self, asker: EndpointId, call: Cycle) -> Result<Origin, Status> {
        let model = self.running()?;
        run_model::check(&model, call)?;
        match model {
            RunModel::DirectRequest { origin } | RunModel::ServiceRequest { origin } => {
                if origin.endpoint() == asker { Ok(origin) } else { Err(Status::InvalidParameters) }
            }
            RunModel::Init
            | RunModel::Run
            | RunModel::VmMessage { .. }
            | RunModel::PowerMessage
            | RunModel::SecureInterrupt => Err(Status::Denied),
        }
    }

    /// Checks that a running execution context may make `call`.
    ///
    /// # Errors
    /// DENIED if it may not, or if it does not run.
    pub(crate) fn may(&self, call: Cycle) -> Result<(), Status> {
        run_model::check(&self.running()?, call)
    }

    /// Returns which virtual machine a running execution context takes note of, and what has become of it.
    ///
    /// # Errors
    /// DENIED if it does not run for that.
    pub(crate) fn vm_message(&self) -> Result<(VmEvent, EndpointId), Status> {
        match self.running()? {
            RunModel::VmMessage { event, vm } => Ok((event, vm)),
            _ => Err(Status::Denied),
        }
    }

    /// Ends the work of a running execution context that has taken note of a virtual machine.
    ///
    /// # Errors
    /// DENIED if it does not run for that.
    pub(crate) fn respond_to_vm(&mut self) -> Result<(), Status> {
        self.may(Cycle::VmResponse)?;
        self.state = State::Waiting;
        Ok(())
    }

    /// Ends the work of a running execution context that has taken note of a power management message.
    ///
    /// # Errors
    /// DENIED if it does not run for one.
    pub(crate) fn respond_to_power(&mut self) -> Result<(), Status> {
        self.may(Cycle::PowerResponse)?;
        self.state = State::Waiting;
        Ok(())
    }

    /// Takes the processing element from a running execution context that calls FFA_YIELD, and returns who gave it;
    /// `None` if the call has no effect.
    ///
    /// # Errors
    /// DENIED if it may not yield, or if it does not run.
    pub(crate) fn yield_time(&mut self) -> Result<Option<Waiter>, Status> {
        let model = self.running()?;
        match run_model::verdict(&model, Cycle::Yield) {
            Verdict::Allowed => {
                self.state = State::Yielded(model);
                Ok(self.waiter())
            }
            Verdict::NoEffect => Ok(None),
            Verdict::Denied => Err(Status::Denied),
        }
    }

    /// Blocks a running execution context that makes `call` until `callee` answers.
    ///
    /// # Errors
    /// DENIED if it may not make the call, or if it does not run.
    pub(crate) fn block(&mut self, callee: VcpuId, call: Cycle) -> Result<(), Status> {
        let model = self.running()?;
        run_model::check(&model, call)?;
        self.state = State::Blocked { model, callee };
        Ok(())
    }

    /// Tells whether an execution context that waits for an answer may let whom it has asked go on by FFA_RUN, should
    /// it go on before.
    pub(crate) fn may_run_later(&self) -> bool {
        matches!(self.state, State::Blocked { model, .. } if run_model::check(&model, Cycle::Run).is_ok())
    }

    /// Lets an execution context that `callee` has answered go on.
    ///
    /// # Errors
    /// DENIED if it does not wait for `callee`.
    pub(crate) fn unblock(&mut self, callee: VcpuId) -> Result<(), Status> {
        match self.state {
            State::Blocked { model, callee: expected } if expected == callee => {
                self.state = State::Running(model);
                Ok(())
            }
            State::Off
            | State::Waiting
            | State::Running(_)
            | State::Blocked { .. }
            | State::Preempted(_)
            | State::Yielded(_)
            | State::Interrupted(_)
            | State::Aborted => Err(Status::Denied),
        }
    }

    /// Takes the processing element from a running execution context.
    ///
    /// # Errors
    /// DENIED if it does not run.
    pub(crate) fn preempt(&mut self) -> Result<(), Status> {
        self.state = State::Preempted(self.running()?);
        Ok(())
    }

    /// Gives the processing element back to an execution context that was preempted or has yielded, and says how it
    /// goes on.
    ///
    /// # Errors
    /// DENIED if neither is so.
    pub(crate) fn resume(&mut self) -> Result<Resumption, Status> {
        let (model, how) = match self.state {
            State::Preempted(model) => (model, Resumption::Interrupted),
            State::Yielded(model) => (model, Resumption::Yielded),
            State::Off
            | State::Waiting
            | State::Running(_)
            | State::Blocked { .. }
            | State::Interrupted(_)
            | State::Aborted => return Err(Status::Denied),
        };
        self.state = State::Running(model);
        Ok(how)
    }

    /// Takes the processing element from a running execution context for a secure interrupt of another partition.
    ///
    /// # Errors
    /// DENIED if it does not run.
    pub(crate) fn interrupt(&mut self) -> Result<(), Status> {
        self.state = State::Interrupted(self.running()?);
        Ok(())
    }

    /// Gives the processing element back to an execution context after [`Self::interrupt`].
    ///
    /// # Errors
    /// DENIED if that is not what stopped it.
    pub(crate) fn end_interrupt(&mut self) -> Result<(), Status> {
        let State::Interrupted(model) = self.state else { return Err(Status::Denied) };
        self.state = State::Running(model);
        Ok(())
    }

    /// Returns what a running execution context runs for.
    ///
    /// # Errors
    /// DENIED if it does not run.
    fn running(&self) -> Result<RunModel, Status> {
        match self.state {
            State::Running(model) => Ok(model),
            State::Off
            | State::Waiting
            | State::Blocked { .. }
            | State::Preempted(_)
            | State::Yielded(_)
            | State::Interrupted(_)
            | State::Aborted => Err(Status::Denied),
        }
    }

    /// Returns who waits for the execution context to end its turn, if it has one.
    pub(crate) fn waiter(&self) -> Option<Waiter> {
        match self.state {
            State::Running(model)
            | State::Preempted(model)
            | State::Yielded(model)
            | State::Interrupted(model)
            | State::Blocked { model, .. } => Some(self.waiter_of(model)),
            State::Off | State::Waiting | State::Aborted => None,
        }
    }

    fn waiter_of(&self, model: RunModel) -> Waiter {
        let model = match (model, self.after_init) {
            (RunModel::Init, AfterInit::NextInBoot) => return Waiter::Boot,
            (RunModel::Init, AfterInit::AfterInterrupt) => return Waiter::Interrupted,
            (RunModel::Init, AfterInit::Answer { to, .. }) => RunModel::DirectRequest { origin: to },
            (RunModel::Init, AfterInit::Serve { model, .. }) => model,
            (model, _) => model,
        };
        match model {
            RunModel::DirectRequest { origin } | RunModel::ServiceRequest { origin } => match origin {
                Origin::NormalWorld(_) | Origin::Nobody(_) => Waiter::NormalWorld,
                Origin::Partition(caller) => Waiter::Partition(caller),
            },
            RunModel::PowerMessage => Waiter::Power,
            RunModel::SecureInterrupt => Waiter::Interrupted,
            RunModel::Run | RunModel::Init | RunModel::VmMessage { .. } => Waiter::NormalWorld,
        }
    }

    /// Notes that no execution context of which `gone` holds waits for this one any more.
    pub(crate) fn forget_asker(&mut self, gone: impl Fn(VcpuId) -> bool) {
        let forget = |origin: &mut Origin| {
            if let Origin::Partition(asker) = *origin
                && gone(asker)
            {
                *origin = Origin::Nobody(asker.partition.endpoint_id());
            }
        };
        match &mut self.after_init {
            AfterInit::Answer { to, .. } => forget(to),
            AfterInit::Serve { model, .. } => {
                if let Some(origin) = model.origin_mut() {
                    forget(origin);
                }
            }
            AfterInit::NextInBoot | AfterInit::AfterInterrupt => {}
        }
        match &mut self.state {
            State::Running(model)
            | State::Preempted(model)
            | State::Yielded(model)
            | State::Interrupted(model)
            | State::Blocked { model, .. } => {
                if let Some(origin) = model.origin_mut() {
                    forget(origin);
                }
            }
            State::Off | State::Waiting | State::Aborted => {}
        }
    }

    /// Stops the execution context and returns who waits for it, if it was in the middle of something.
    pub(crate) fn abort(&mut self) -> Option<Waiter> {
        let waiter = self.waiter();
        self.state = State::Aborted;
        waiter
    }

    /// Stops the execution context if nobody waits for it. Returns whether it is stopped.
    pub(crate) fn bury(&mut self) -> bool {
        match self.state {
            State::Off | State::Waiting | State::Aborted => {
                self.state = State::Aborted;
                true
            }
            State::Running(_)
            | State::Blocked { .. }
            | State::Preempted(_)
            | State::Yielded(_)
            | State::Interrupted(_) => false,
        }
    }

    /// Lets an execution context that was stopped begin anew, since its partition does.
    pub(crate) fn revive(&mut self) {
        *self = Self::new();
    }

    /// Forgets the execution context's life, since its processing element goes off.
    ///
    /// # Errors
    /// BUSY if it is in the middle of something; ABORTED if it has been stopped, which it stays.
    pub(crate) fn power_off(&mut self) -> Result<(), Status> {
        match self.state {
            State::Off | State::Waiting => {
                self.state = State::Off;
                Ok(())
            }
            State::Running(_)
            | State::Blocked { .. }
            | State::Preempted(_)
            | State::Yielded(_)
            | State::Interrupted(_) => Err(Status::Busy),
            State::Aborted => Err(Status::Aborted),
        }
    }
}

impl Default for Vcpu {
    fn default() -> Self {
        Self::new()
    }
}

impl Origin {
    /// Returns the id of the endpoint that asked.
    pub(crate) fn endpoint(self) -> EndpointId {
        match self {
            Self::NormalWorld(endpoint) | Self::Nobody(endpoint) => endpoint,
            Self::Partition(vcpu) => vcpu.partition.endpoint_id(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tantalum_types::{PartitionIndex, VcpuIndex};

    fn id(partition: usize) -> VcpuId {
        VcpuId { partition: PartitionIndex::new(partition).unwrap(), index: VcpuIndex::new(0).unwrap() }
    }

    fn in_state(state: State) -> Vcpu {
        Vcpu { state, ..Vcpu::new() }
    }

    const NORMAL: Origin = Origin::NormalWorld(EndpointId::HYPERVISOR);
    const SERVING: RunModel = RunModel::DirectRequest { origin: NORMAL };

    /// Lists one state of each kind.
    fn states() -> [State; 11] {
        [
            State::Off,
            State::Waiting,
            State::Running(RunModel::Init),
            State::Running(RunModel::Run),
            State::Running(SERVING),
            State::Blocked { model: SERVING, callee: id(1) },
            State::Preempted(SERVING),
            State::Aborted,
            State::Running(RunModel::SecureInterrupt),
            State::Yielded(SERVING),
            State::Interrupted(SERVING),
        ]
    }

    /// Checks what one step answers in each of [`states`], and that a refused step changes nothing.
    fn check<T: PartialEq + core::fmt::Debug>(
        step: impl Fn(&mut Vcpu) -> Result<T, Status>,
        expected: [Result<State, Status>; 11],
    ) {
        for (state, expected) in states().into_iter().zip(expected) {
            let mut vcpu = in_state(state);
            match (step(&mut vcpu), expected) {
                (Ok(_), Ok(after)) => assert_eq!(vcpu.state(), after, "from {state:?}"),
                (Err(status), Err(wanted)) => {
                    assert_eq!(status, wanted, "from {state:?}");
                    assert_eq!(vcpu.state(), state);
                }
                (result, expected) => panic!("from {state:?}: {result:?}, not {expected:?}"),
            }
        }
    }

    const BUSY: Result<State, Status> = Err(Status::Busy);
    const DENIED: Result<State, Status> = Err(Status::Denied);
    const ABORTED: Result<State, Status> = Err(Status::Aborted);

    #[test]
    fn only_who_waits_is_entered() {
        let entered = Ok(State::Running(SERVING));
        let expected = [DENIED, entered, BUSY, BUSY, BUSY, BUSY, BUSY, ABORTED, BUSY, BUSY, BUSY];
        check(|vcpu| vcpu.enter(SERVING), expected);
    }

    #[test]
    fn only_who_is_idle_is_started() {
        let started = Ok(State::Running(RunModel::Init));
        let start = |vcpu: &mut Vcpu| vcpu.start(AfterInit::NextInBoot);
        let all = |idle| [idle, idle, BUSY, BUSY, BUSY, BUSY, BUSY, ABORTED, BUSY, BUSY, BUSY];
        check(start, all(started));
        check(Vcpu::power_off, all(Ok(State::Off)));
    }

    #[test]
    fn nobody_waits_with_a_request_open() {
        let waits = Ok(State::Waiting);
        let mut expected = [DENIED; 11];
        for state in [2, 3, 8] {
            expected[state] = waits;
        }
        check(Vcpu::wait, expected);
    }

    #[test]
    fn only_a_request_is_answered() {
        let done = Ok(State::Waiting);
        let mut none = [DENIED; 11];
        none[4] = done;
        check(|vcpu| vcpu.respond(EndpointId::HYPERVISOR), none);
        let mut vcpu = in_state(State::Running(SERVING));
        assert_eq!(vcpu.respond(id(0).partition.endpoint_id()), Err(Status::InvalidParameters));
        assert_eq!(vcpu.state(), State::Running(SERVING));
    }

    #[test]
    fn only_the_callee_unblocks() {
        let goes_on = Ok(State::Running(SERVING));
        let mut expected = [DENIED; 11];
        expected[5] = goes_on;
        check(|vcpu| vcpu.unblock(id(1)), expected);
        check(|vcpu| vcpu.unblock(id(2)), [DENIED; 11]);
    }

    #[test]
    fn preempting_and_blocking_keep_what_the_turn_was_for() {
        for model in [RunModel::Init, RunModel::Run, SERVING] {
            let mut vcpu = in_state(State::Running(model));
            vcpu.preempt().unwrap();
            assert_eq!(vcpu.state(), State::Preempted(model));
            vcpu.resume().unwrap();
            vcpu.block(id(1), Cycle::DirectRequest).unwrap();
            assert_eq!(vcpu.state(), State::Blocked { model, callee: id(1) });
            vcpu.unblock(id(1)).unwrap();
            assert_eq!(vcpu.state(), State::Running(model));
        }
        let mut expected = [DENIED; 11];
        expected[6] = Ok(State::Running(SERVING));
        expected[9] = Ok(State::Running(SERVING));
        check(Vcpu::resume, expected);
    }

    #[test]
    fn who_a_secure_interrupt_has_stopped_goes_on_by_its_end_only() {
        let mut expected = [DENIED; 11];
        let models = [(2, RunModel::Init), (3, RunModel::Run), (4, SERVING), (8, RunModel::SecureInterrupt)];
        for (state, model) in models {
            expected[state] = Ok(State::Interrupted(model));
        }
        check(Vcpu::interrupt, expected);
        let mut expected = [DENIED; 11];
        expected[10] = Ok(State::Running(SERVING));
        check(Vcpu::end_interrupt, expected);
    }

    #[test]
    fn yielding_keeps_what_the_turn_was_for() {
        let mut expected = [DENIED; 11];
        expected[3] = Ok(State::Yielded(RunModel::Run));
        expected[4] = Ok(State::Yielded(SERVING));
        expected[8] = Ok(State::Running(RunModel::SecureInterrupt));
        check(Vcpu::yield_time, expected);
        assert_eq!(in_state(State::Running(RunModel::SecureInterrupt)).yield_time(), Ok(None));
        assert_eq!(in_state(State::Running(SERVING)).yield_time(), Ok(Some(Waiter::NormalWorld)));
        assert_eq!(in_state(State::Yielded(SERVING)).resume(), Ok(Resumption::Yielded));
    }

    #[test]
    fn an_aborted_one_stays_so() {
        for state in states() {
            let mut vcpu = in_state(state);
            let waits = !matches!(state, State::Off | State::Waiting | State::Aborted);
            assert_eq!(vcpu.abort().is_some(), waits, "{state:?}");
            assert_eq!(vcpu.state(), State::Aborted);
            assert_eq!(vcpu.abort(), None);

            let mut vcpu = in_state(state);
            assert_eq!(vcpu.bury(), !waits);
            assert_eq!(vcpu.state(), if waits { state } else { State::Aborted });
        }
    }

    #[test]
    fn each_kind_of_request_has_its_kind_of_answer() {
        let service = RunModel::ServiceRequest { origin: NORMAL };
        let vm = RunModel::VmMessage { event: VmEvent::Created, vm: EndpointId::new(3) };
        let models = [
            RunModel::Init,
            RunModel::Run,
            SERVING,
            service,
            vm,
            RunModel::PowerMessage,
            RunModel::SecureInterrupt,
        ];
        for model in models {
            let answered = |step: fn(&mut Vcpu) -> bool| step(&mut in_state(State::Running(model)));
            assert_eq!(answered(|vcpu| vcpu.respond(EndpointId::HYPERVISOR).is_ok()), model == SERVING);
            let as_service = answered(|vcpu| vcpu.respond_for_service(EndpointId::HYPERVISOR).is_ok());
            assert_eq!(as_service, model == service);
            assert_eq!(answered(|vcpu| vcpu.respond_to_power().is_ok()), model == RunModel::PowerMessage);
            assert_eq!(answered(|vcpu| vcpu.respond_to_vm().is_ok()), model == vm);
            assert_eq!(answered(|vcpu| vcpu.vm_message().is_ok()), model == vm);
            let waits = answered(|vcpu| vcpu.wait().is_ok());
            assert_eq!(waits, matches!(model, RunModel::Init | RunModel::Run | RunModel::SecureInterrupt));
        }
        let mut vcpu = in_state(State::Running(service));
        let other = id(0).partition.endpoint_id();
        assert_eq!(vcpu.respond_for_service(other), Err(Status::InvalidParameters));
        assert_eq!(vcpu.state(), State::Running(service));
    }

    #[test]
    fn who_waits_is_known_in_every_run_model() {
        let asker = Origin::Partition(id(3));
        let registers = CallRegisters::ZERO;
        let of = |model, after_init| Vcpu { after_init, ..in_state(State::Preempted(model)) }.waiter();
        let boot = AfterInit::NextInBoot;
        assert_eq!(of(RunModel::Init, boot), Some(Waiter::Boot));
        assert_eq!(of(RunModel::Run, boot), Some(Waiter::NormalWorld));
        assert_eq!(of(SERVING, boot), Some(Waiter::NormalWorld));
        assert_eq!(of(RunModel::PowerMessage, boot), Some(Waiter::Power));
        let vm = RunModel::VmMessage { event: VmEvent::Destroyed, vm: EndpointId::new(3) };
        assert_eq!(of(vm, boot), Some(Waiter::NormalWorld));
        assert_eq!(of(RunModel::SecureInterrupt, boot), Some(Waiter::Interrupted));
        assert_eq!(of(RunModel::Init, AfterInit::AfterInterrupt), Some(Waiter::Interrupted));
        let asked = RunModel::ServiceRequest { origin: asker };
        assert_eq!(of(asked, boot), Some(Waiter::Partition(id(3))));
        // What happens after the initialisation counts during it only.
        let answer = |to| AfterInit::Answer { to, registers };
        assert_eq!(of(RunModel::Init, answer(asker)), Some(Waiter::Partition(id(3))));
        assert_eq!(of(RunModel::Init, answer(NORMAL)), Some(Waiter::NormalWorld));
        assert_eq!(of(SERVING, answer(asker)), Some(Waiter::NormalWorld));
        let serve = AfterInit::Serve { model: asked, registers };
        assert_eq!(of(RunModel::Init, serve), Some(Waiter::Partition(id(3))));
        for state in [State::Off, State::Waiting, State::Aborted] {
            assert_eq!(in_state(state).waiter(), None);
        }
    }

    #[test]
    fn a_stopped_asker_is_forgotten_and_others_are_not() {
        let asked = RunModel::DirectRequest { origin: Origin::Partition(id(3)) };
        let mut vcpu = in_state(State::Yielded(asked));
        vcpu.forget_asker(|asker| asker == id(2));
        assert_eq!(vcpu.state(), State::Yielded(asked));
        vcpu.forget_asker(|asker| asker == id(3));
        let nobody = Origin::Nobody(id(3).partition.endpoint_id());
        assert_eq!(vcpu.state(), State::Yielded(RunModel::DirectRequest { origin: nobody }));
        assert_eq!(vcpu.waiter(), Some(Waiter::NormalWorld));
        vcpu.resume().unwrap();
        assert_eq!(vcpu.respond(id(3).partition.endpoint_id()), Ok(nobody), "it need not know");
    }

    #[test]
    fn others_are_registered_while_it_initialises_itself_only() {
        let same = Ok(State::Running(RunModel::Init));
        let mut expected = [DENIED; 11];
        expected[2] = same;
        check(|vcpu| vcpu.may(Cycle::Initialise), expected);
    }
}
