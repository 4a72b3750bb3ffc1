//! Which calls a partition may make (the Secure virtual FF-A instance).

use tantalum_ffa::{Call, ConsoleText, DecodeError, Status, Version, answer, function};
use tantalum_hal::{Entry, Platform};
use tantalum_types::CallRegisters;

use crate::common::{Caller, check_extra};
use crate::partition::Running;
use crate::run_model::Cycle;
use crate::service::{ServiceRequest, ServiceResponse};
use crate::spmc::{Cpu, Spmc, Step};

impl Spmc {
    /// Handles a call of the execution context that runs.
    #[inline(never)]
    pub(crate) fn partition_call<P: Platform>(&self, cpu: &mut Cpu, platform: &P) -> Step {
        let running =
            cpu.current.and_then(|id| Some(Running { partition: self.partition(id.partition)?, id }));
        let Some(running) = running else {
            // Nothing runs that could have called.
            return self.to_normal_world(cpu, answer::error(Status::Denied));
        };
        let [function, ..] = cpu.partition.0;
        let result = match &Call::decode(&cpu.partition) {
            Ok(call) => self.serve_partition(cpu, &running, call, platform),
            Err(DecodeError::UnknownFunction(function)) => {
                let mut registers = cpu.partition;
                match self.paravirtual_call(cpu, &running, *function, &registers, platform) {
                    Some(result) => {
                        let [x0, ..] = &mut registers.0;
                        *x0 = result;
                        Ok(self.run(cpu, running.id, Entry::Answer(registers)))
                    }
                    None => Err(Status::NotSupported),
                }
            }
            Err(error) => Err(error.status()),
        };
        match result {
            Ok(action) => action,
            Err(status) => self.run(cpu, running.id, Entry::Answer(refusal(function, status))),
        }
    }

    fn serve_partition<P: Platform>(
        &self,
        cpu: &mut Cpu,
        running: &Running<'_>,
        call: &Call,
        platform: &P,
    ) -> Result<Step, Status> {
        let negotiation = &running.partition.endpoint.negotiation;
        if let Call::Version { requested } = call {
            let version = answer::version(negotiation.request(*requested).ok());
            return Ok(self.run(cpu, running.id, Entry::Answer(version)));
        }
        negotiation.freeze();
        let answer = match call {
            Call::DirectResponse(message) => return self.response(cpu, running, message, platform),
            Call::DirectRequest(message) => return self.request_from_partition(cpu, running, message),
            Call::Run { target } => {
                check_extra(negotiation.version(), &cpu.partition)?;
                return self.run_by_partition(cpu, running, *target, platform);
            }
            Call::Yield { timeout, .. } => return self.yield_call(cpu, running, *timeout),
            Call::DirectRequest2 { sender, receiver, uuid, payload } => {
                let request =
                    ServiceRequest { sender: *sender, receiver: *receiver, uuid: *uuid, payload: *payload };
                return self.service_request_from_partition(cpu, running, &request);
            }
            Call::DirectResponse2 { sender, receiver, payload } => {
                let response = ServiceResponse { sender: *sender, receiver: *receiver, payload: *payload };
                return self.service_response(cpu, running, &response, platform);
            }
            Call::MsgWait { retain_rx } => {
                check_extra(negotiation.version(), &cpu.partition)?;
                if *retain_rx && negotiation.version() < Version::V1_2 {
                    // The flag is reserved before.
                    return Err(Status::InvalidParameters);
                }
                return self.msg_wait(cpu, running, *retain_rx, platform);
            }
            Call::Error { status, .. } => return self.give_up(cpu, running, *status, platform),
            // It is what the SPMC says to a partition.
            Call::Interrupt { .. } => return Err(Status::Denied),
            Call::ConsoleLog(text) => console_log(running, text, platform),
            Call::SecondaryEpRegister { entry, .. } => secondary_ep_register(running, *entry),
            _ => {
                let caller = Caller::Partition(running.partition);
                self.common_call(&caller, call, platform)
                    .or_else(|| self.message_call(cpu, &caller, call, platform))
                    .unwrap_or(Err(Status::NotSupported))
            }
        }?;
        Ok(self.run(cpu, running.id, Entry::Answer(answer)))
    }

    /// Stops a partition that says that it cannot initialise itself (FF-A 1.1, section 8.3.1).
    ///
    /// # Errors
    /// NOT_SUPPORTED if it does something else, or says something else than ABORTED.
    fn give_up<P: Platform>(
        &self,
        cpu: &mut Cpu,
        running: &Running<'_>,
        status: Status,
        platform: &P,
    ) -> Result<Step, Status> {
        let initialises = running.vcpu()?.may(Cycle::Initialise).is_ok();
        if !initialises || status != Status::Aborted {
            return Err(Status::NotSupported);
        }
        let why = format_args!("it failed to initialise: {status}");
        Ok(self.abort_running(cpu, running.id, why, platform))
    }
}

/// Answers a call of a partition that was refused.
///
/// What is not FF-A's gets the answer of the SMC Calling Convention, so that a partition may look for other
/// services without an FFA_ERROR that it does not expect.
fn refusal(function: u64, status: Status) -> CallRegisters {
    match u32::try_from(function & 0xffff_ffff) {
        Ok(function) if function::is_ffa(function) => answer::error(status),
        _ => answer::unknown_function(),
    }
}

/// Writes characters of a partition to the log.
fn console_log(
    running: &Running<'_>,
    text: &ConsoleText,
    platform: &impl Platform,
) -> Result<CallRegisters, Status> {
    running.vcpu()?.log_mut().push(text.characters(), running.partition, platform);
    Ok(answer::success())
}

/// Remembers where the partition's execution contexts on other processing elements begin.
fn secondary_ep_register(running: &Running<'_>, entry: u64) -> Result<CallRegisters, Status> {
    running.vcpu()?.may(Cycle::Initialise)?;
    running.partition.register_secondary_entry(entry)?;
    Ok(answer::success())
}
