//! Which calls the normal world may make (the Non-secure physical FF-A instance).

use tantalum_ffa::{Call, Status, answer};
use tantalum_hal::{Action, Platform};
use tantalum_types::{CallRegisters, EndpointId};

use crate::common::Caller;
use crate::spmc::{Cpu, Spmc};

impl Spmc {
    /// Handles a call that the SPMD has forwarded or made.
    pub(crate) fn normal_world_call<P: Platform>(
        &self,
        cpu: &mut Cpu,
        registers: &CallRegisters,
        platform: &P,
    ) -> Action {
        let result = Call::decode(registers)
            .map_err(|error| error.status())
            .and_then(|call| self.serve_normal_world(cpu, &call, platform));
        match result {
            Ok(action) => action,
            Err(status) => self.to_normal_world(cpu, answer::error(status)),
        }
    }

    fn serve_normal_world<P: Platform>(
        &self,
        cpu: &mut Cpu,
        call: &Call,
        platform: &P,
    ) -> Result<Action, Status> {
        match call {
            // Neither the SPMD's messages nor an interrupt is a call of the normal world's, so neither ends
            // its version negotiation.
            Call::DirectRequest(message) if message.sender == EndpointId::SPMD => {
                return self.spmd_message(cpu, message);
            }
            Call::Interrupt { .. } => return Ok(self.interrupt_in_normal_world(cpu, platform)),
            _ => self.normal_world.negotiation.freeze(),
        }
        match call {
            Call::DirectRequest(message) => self.request_from_normal_world(cpu, message),
            Call::Run { target } => self.run_call(cpu, *target),
            _ => {
                let caller = Caller::NormalWorld(&self.normal_world);
                self.message_call(cpu, &caller, call, platform)
                    .or_else(|| self.common_call(&caller, call, platform))
                    .unwrap_or(Err(Status::NotSupported))
                    .map(|registers| self.to_normal_world(cpu, registers))
            }
        }
    }
}
