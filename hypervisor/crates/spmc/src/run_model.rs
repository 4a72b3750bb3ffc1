//! Which calls that end or lend a turn an execution context may make, by what it was given the processing element for
//! (FF-A 1.2, section 8.3 and tables 8.1 to 8.4).

use tantalum_ffa::Status;

use crate::vcpu::RunModel;

/// Names the calls whose legality depends on the run model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cycle {
    /// FFA_MSG_WAIT.
    MsgWait,
    /// FFA_MSG_SEND_DIRECT_RESP.
    DirectResponse,
    /// FFA_MSG_SEND_DIRECT_RESP2.
    ServiceResponse,
    /// FFA_MSG_SEND_DIRECT_RESP to a message about a virtual machine.
    VmResponse,
    /// FFA_MSG_SEND_DIRECT_RESP to a power management message.
    PowerResponse,
    /// FFA_MSG_SEND_DIRECT_REQ in each form.
    DirectRequest,
    /// FFA_RUN.
    Run,
    /// FFA_YIELD.
    Yield,
    /// What belongs to the initialisation only: FFA_SECONDARY_EP_REGISTER, and FFA_ERROR to give up.
    Initialise,
}

/// Says what becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is carried out, if its parameters and the states of others let it.
    Allowed,
    /// It succeeds and does nothing.
    NoEffect,
    /// It is refused by DENIED.
    Denied,
}

/// Says what becomes of `call` of an execution context that runs for `model`. This is the table: a row for each model,
/// a column for each call.
#[inline]
pub(crate) const fn verdict(model: &RunModel, call: Cycle) -> Verdict {
    use Cycle::{
        DirectRequest, DirectResponse, Initialise, MsgWait, PowerResponse, Run, ServiceResponse, VmResponse,
        Yield,
    };
    use Verdict::{Allowed, Denied, NoEffect};
    match (model, call) {
        (RunModel::Init, MsgWait | DirectRequest | Initialise) => Allowed,
        (RunModel::Init, DirectResponse | ServiceResponse | VmResponse | PowerResponse | Run | Yield) => {
            Denied
        }

        (RunModel::Run, MsgWait | DirectRequest | Run | Yield) => Allowed,
        (RunModel::Run, DirectResponse | ServiceResponse | VmResponse | PowerResponse | Initialise) => Denied,

        (RunModel::DirectRequest { .. }, DirectResponse | DirectRequest | Run | Yield) => Allowed,
        (
            RunModel::DirectRequest { .. },
            MsgWait | ServiceResponse | VmResponse | PowerResponse | Initialise,
        ) => Denied,

        (RunModel::ServiceRequest { .. }, ServiceResponse | DirectRequest | Run | Yield) => Allowed,
        (
            RunModel::ServiceRequest { .. },
            MsgWait | DirectResponse | VmResponse | PowerResponse | Initialise,
        ) => Denied,

        // It is a direct request of the hypervisor, with an answer of its own.
        (RunModel::VmMessage { .. }, VmResponse | DirectRequest | Run | Yield) => Allowed,
        (
            RunModel::VmMessage { .. },
            MsgWait | DirectResponse | ServiceResponse | PowerResponse | Initialise,
        ) => Denied,

        // The processing element goes off: the answer is all that is wanted.
        (RunModel::PowerMessage, PowerResponse) => Allowed,
        (
            RunModel::PowerMessage,
            MsgWait | DirectResponse | ServiceResponse | VmResponse | DirectRequest | Run | Yield
            | Initialise,
        ) => Denied,

        (RunModel::SecureInterrupt, MsgWait | DirectRequest | Run) => Allowed,
        // The SPMC gave the cycles and wants none back before the interrupt is handled.
        (RunModel::SecureInterrupt, Yield) => NoEffect,
        (
            RunModel::SecureInterrupt,
            DirectResponse | ServiceResponse | VmResponse | PowerResponse | Initialise,
        ) => Denied,
    }
}

/// Checks that an execution context that runs for `model` may make `call`.
///
/// # Errors
/// DENIED if it may not.
#[inline]
pub(crate) const fn check(model: &RunModel, call: Cycle) -> Result<(), Status> {
    match verdict(model, call) {
        Verdict::Allowed | Verdict::NoEffect => Ok(()),
        Verdict::Denied => Err(Status::Denied),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vcpu::Origin;
    use crate::vm::VmEvent;
    use tantalum_types::EndpointId;

    #[test]
    fn every_call_of_every_model() {
        const A: Verdict = Verdict::Allowed;
        const N: Verdict = Verdict::NoEffect;
        const D: Verdict = Verdict::Denied;
        let calls = [
            Cycle::MsgWait,
            Cycle::DirectResponse,
            Cycle::ServiceResponse,
            Cycle::VmResponse,
            Cycle::PowerResponse,
            Cycle::DirectRequest,
            Cycle::Run,
            Cycle::Yield,
            Cycle::Initialise,
        ];
        let origin = Origin::NormalWorld(EndpointId::HYPERVISOR);
        let (event, vm) = (VmEvent::Created, EndpointId::new(3));
        let table = [
            (RunModel::Init, [A, D, D, D, D, A, D, D, A]),
            (RunModel::Run, [A, D, D, D, D, A, A, A, D]),
            (RunModel::DirectRequest { origin }, [D, A, D, D, D, A, A, A, D]),
            (RunModel::ServiceRequest { origin }, [D, D, A, D, D, A, A, A, D]),
            (RunModel::VmMessage { event, vm }, [D, D, D, A, D, A, A, A, D]),
            (RunModel::PowerMessage, [D, D, D, D, A, D, D, D, D]),
            (RunModel::SecureInterrupt, [A, D, D, D, D, A, A, N, D]),
        ];
        for (model, row) in table {
            for (call, expected) in calls.into_iter().zip(row) {
                assert_eq!(verdict(&model, call), expected, "{call:?} in {model:?}");
                assert_eq!(check(&model, call).is_err(), expected == D, "{call:?} in {model:?}");
            }
        }
    }
}
