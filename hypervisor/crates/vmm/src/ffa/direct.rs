//! Direct requests of virtual machines, and FFA_RUN, which goes on with them (FF-A 1.1, sections 8.2 and 14.3).
//!
//! While a partition works, interrupts of the normal world may stop it: the virtual machine learns so by FFA_INTERRUPT, the
//! hypervisor handles the interrupt, and the virtual machine goes on by FFA_RUN. Nobody else can, so that nobody else
//! gets the answer.

use core::sync::atomic::Ordering;

use tantalum_ffa::{Call, Status};
use tantalum_types::{CallRegisters, CpuIndex};

use super::below::{Below, valid};
use super::turns::{Client, Context, Turn};
use super::{Caller, Relay};

impl Relay {
    pub(super) fn direct_call(
        &self,
        caller: Caller,
        call: &Call,
        below: &impl Below,
    ) -> Result<CallRegisters, Status> {
        let client = Some(caller.vm);
        match call {
            Call::DirectRequest(message) => {
                valid(message.sender == caller.id() && message.framework.is_none())?;
                let context = self.turns.lock().context(message.receiver, caller.cpu)?;
                self.finish_for_nobody(context, below);
                self.begin(context, Turn::Free, client)?;
            }
            Call::Run { target } => {
                let context = self.turns.lock().context(target.endpoint, caller.cpu)?;
                valid(context.target() == *target)?;
                self.finish_for_nobody(context, below);
                let turn = self.turns.lock().turn(context);
                let expected = if turn == Turn::Free { turn } else { Turn::Stopped(client) };
                self.begin(context, expected, client)?;
            }
            _ => return Err(Status::NotSupported),
        }
        let context = self.context_of(call, caller.cpu)?;
        let answer = self.enter(context, client, call, below)?;
        match answer {
            // An answer to somebody else's request cannot come, since nobody else's turn is gone on with.
            Call::DirectResponse(message) if message.receiver != caller.id() => Err(Status::Aborted),
            answer => Ok(answer.encode()),
        }
    }

    fn context_of(&self, call: &Call, cpu: CpuIndex) -> Result<Context, Status> {
        let endpoint = match call {
            Call::DirectRequest(message) => message.receiver,
            Call::Run { target } => target.endpoint,
            _ => return Err(Status::InvalidParameters),
        };
        self.turns.lock().context(endpoint, cpu)
    }

    /// Notes that an execution context begins to run for `client`, if it is at what it is expected to be at.
    ///
    /// # Errors
    /// BUSY if it is at something else.
    fn begin(&self, context: Context, expected: Turn, client: Client) -> Result<(), Status> {
        let mut turns = self.turns.lock();
        if turns.turn(context) != expected {
            return Err(Status::Busy);
        }
        turns.set(context, Turn::Running(client));
        Ok(())
    }

    /// Makes a call that gives the processing element to an execution context, and notes what it is at afterwards.
    ///
    /// # Errors
    /// As the SPMC says; ABORTED if its answer is none.
    fn enter(
        &self,
        context: Context,
        client: Client,
        call: &Call,
        below: &impl Below,
    ) -> Result<Call, Status> {
        let answer = Call::decode(&below.call(&call.encode()));
        let turn = match answer {
            Ok(Call::Interrupt { .. } | Call::Yield { .. }) => Turn::Stopped(client),
            _ => Turn::Free,
        };
        let mut turns = self.turns.lock();
        turns.set(context, turn);
        if turn == Turn::Stopped(None) {
            self.has_work.store(true, Ordering::SeqCst);
        }
        drop(turns);
        match answer {
            Ok(Call::Error { status, .. }) => Err(status),
            Ok(answer) => Ok(answer),
            Err(_) => Err(Status::Aborted),
        }
    }

    /// Lets an execution context go on that has stopped while it worked for nobody, so that it can work for somebody.
    fn finish_for_nobody(&self, context: Context, below: &impl Below) {
        if self.begin(context, Turn::Stopped(None), None).is_ok() {
            let _ = self.enter(context, None, &Call::Run { target: context.target() }, below);
        }
    }

    /// Gives time to an execution context for which it was asked, or that has stopped while it worked for nobody, and
    /// says whether there was one.
    pub(super) fn run_next(&self, cpu: CpuIndex, below: &impl Below) -> bool {
        let mut turns = self.turns.lock();
        let Some(context) = turns.next(cpu) else { return false };
        turns.set(context, Turn::Running(None));
        drop(turns);
        let _ = self.enter(context, None, &Call::Run { target: context.target() }, below);
        true
    }
}
