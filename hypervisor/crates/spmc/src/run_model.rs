//! Which calls that end or lend a turn an execution context may make, by what it was given the processing element for
//! (FF-A 1.2, section 8.3 and tables 8.1 to 8.4).

use tantalum_ffa::Status;

use crate::vcpu::RunModel;

/// Names the calls whose legality depends on the run model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cycle {
    /// FFA_MSG_WAIT.
    MsgWait,
    /// FFA_MSG_SEND_DIRECT_RESP in each form.
    DirectResponse,
    /// FFA_MSG_SEND_DIRECT_REQ in each form.
    DirectRequest,
    /// FFA_RUN.
    Run,
    /// FFA_YIELD.
    Yield,
    /// FFA_SECONDARY_EP_REGISTER.
    SecondaryEpRegister,
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
pub(crate) const fn verdict(model: &RunModel, call: Cycle) -> Verdict {
    use Cycle::{DirectRequest, DirectResponse, MsgWait, Run, SecondaryEpRegister, Yield};
    use Verdict::{Allowed, Denied, NoEffect};
    match (model, call) {
        (RunModel::Init, MsgWait | DirectRequest | SecondaryEpRegister) => Allowed,
        (RunModel::Init, DirectResponse | Run | Yield) => Denied,

        (RunModel::Run, MsgWait | DirectRequest | Run | Yield) => Allowed,
        (RunModel::Run, DirectResponse | SecondaryEpRegister) => Denied,

        (RunModel::DirectRequest { .. }, DirectResponse | DirectRequest | Run | Yield) => Allowed,
        (RunModel::DirectRequest { .. }, MsgWait | SecondaryEpRegister) => Denied,

        (RunModel::SecureInterrupt, MsgWait | DirectRequest | Run) => Allowed,
        // The SPMC gave the cycles and wants none back before the interrupt is handled.
        (RunModel::SecureInterrupt, Yield) => NoEffect,
        (RunModel::SecureInterrupt, DirectResponse | SecondaryEpRegister) => Denied,
    }
}

/// Checks that an execution context that runs for `model` may make `call`.
///
/// # Errors
/// DENIED if it may not.
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
    use tantalum_types::EndpointId;

    #[test]
    fn every_call_of_every_model() {
        use Verdict::{Allowed, Denied, NoEffect};
        let calls = [
            Cycle::MsgWait,
            Cycle::DirectResponse,
            Cycle::DirectRequest,
            Cycle::Run,
            Cycle::Yield,
            Cycle::SecondaryEpRegister,
        ];
        let request = RunModel::DirectRequest { origin: Origin::NormalWorld(EndpointId::HYPERVISOR) };
        let table = [
            (RunModel::Init, [Allowed, Denied, Allowed, Denied, Denied, Allowed]),
            (RunModel::Run, [Allowed, Denied, Allowed, Allowed, Allowed, Denied]),
            (request, [Denied, Allowed, Allowed, Allowed, Allowed, Denied]),
            (RunModel::SecureInterrupt, [Allowed, Denied, Allowed, Allowed, NoEffect, Denied]),
        ];
        for (model, row) in table {
            for (call, expected) in calls.into_iter().zip(row) {
                assert_eq!(verdict(&model, call), expected, "{call:?} in {model:?}");
                assert_eq!(check(&model, call).is_err(), expected == Denied, "{call:?} in {model:?}");
            }
        }
    }
}
