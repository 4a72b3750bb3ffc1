//! Which calls the normal world may make (the Non-secure physical FF-A instance).

use tantalum_ffa::{Call, Status, answer};
use tantalum_hal::Platform;
use tantalum_types::{CallRegisters, EndpointId};

use crate::common::{Caller, check_extra};
use crate::service::ServiceRequest;
use crate::spmc::{Cpu, Spmc, Step};

impl Spmc {
    /// Handles a call that the SPMD has forwarded or made.
    #[inline(never)]
    pub(crate) fn normal_world_call<P: Platform>(&self, cpu: &mut Cpu, platform: &P) -> Step {
        let result = match &Call::decode(&cpu.normal_world) {
            Ok(call) => self.serve_normal_world(cpu, call, platform),
            Err(error) => Err(error.status()),
        };
        match result {
            Ok(action) => action,
            Err(Status::Aborted) => self
                .receiver_of(&cpu.normal_world)
                .and_then(|receiver| self.revive(cpu, receiver, platform))
                .unwrap_or_else(|| self.to_normal_world(cpu, answer::error(Status::Aborted))),
            Err(status) => self.to_normal_world(cpu, answer::error(status)),
        }
    }

    fn serve_normal_world<P: Platform>(
        &self,
        cpu: &mut Cpu,
        call: &Call,
        platform: &P,
    ) -> Result<Step, Status> {
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
            Call::DirectRequest2 { sender, receiver, uuid, payload } => {
                let request =
                    ServiceRequest { sender: *sender, receiver: *receiver, uuid: *uuid, payload: *payload };
                self.service_request_from_normal_world(cpu, &request)
            }
            Call::Run { target } => {
                check_extra(self.normal_world.negotiation.version(), &cpu.normal_world)?;
                self.run_call(cpu, *target, platform)
            }
            Call::PartitionInfoGetRegs { uuid, start_index, tag } => self
                .partition_info_get_regs(&Caller::NormalWorld(&self.normal_world), uuid, *start_index, *tag)
                .map(|registers| self.to_normal_world_whole(cpu, &registers)),
            _ => {
                let caller = Caller::NormalWorld(&self.normal_world);
                self.common_call(&caller, call, platform)
                    .or_else(|| self.message_call(cpu, &caller, call, platform))
                    .unwrap_or(Err(Status::NotSupported))
                    .map(|registers| self.to_normal_world(cpu, registers))
            }
        }
    }

    /// Returns the partition that a call which was answered by ABORTED is for.
    fn receiver_of(&self, registers: &CallRegisters) -> Option<EndpointId> {
        match Call::decode(registers).ok()? {
            Call::DirectRequest(message) => Some(message.receiver),
            Call::DirectRequest2 { receiver, .. } => Some(receiver),
            Call::Run { target } => Some(target.endpoint),
            _ => None,
        }
    }
}
