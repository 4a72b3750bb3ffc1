//! Direct requests to a service by its UUID, and their responses: the second form (FF-A 1.2, sections 15.4 and 15.5).
//!
//! They carry x4 to x17, so both ends have to speak FF-A 1.2.

use tantalum_ffa::{Call, Status, Uuid, Version};
use tantalum_hal::{Entry, Platform};
use tantalum_types::{EndpointId, VcpuId};

use crate::partition::{Partition, Running};
use crate::run_model::Cycle;
use crate::spmc::{Cpu, Spmc, Step};
use crate::vcpu::{Origin, RunModel};

/// Is a request of the second form.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ServiceRequest {
    /// Who sends.
    pub sender: EndpointId,
    /// Who receives.
    pub receiver: EndpointId,
    /// The service, or nil.
    pub uuid: Uuid,
    /// x4 to x17.
    pub payload: [u64; 14],
}

/// Is a response of the second form.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ServiceResponse {
    /// Who sends.
    pub sender: EndpointId,
    /// Who receives.
    pub receiver: EndpointId,
    /// x4 to x17.
    pub payload: [u64; 14],
}

impl Spmc {
    /// Carries a request of the normal world to a service of a partition.
    ///
    /// # Errors
    /// NOT_SUPPORTED if the normal world does not speak FF-A 1.2, INVALID_PARAMETERS if the sender, the receiver or
    /// the service is none, DENIED if the receiver takes no such requests or does not speak FF-A 1.2, BUSY if it is at
    /// work, ABORTED if it has been stopped.
    pub(crate) fn service_request_from_normal_world(
        &self,
        cpu: &mut Cpu,
        request: &ServiceRequest,
    ) -> Result<Step, Status> {
        if self.normal_world.negotiation.version() < Version::V1_2 {
            return Err(Status::NotSupported);
        }
        if request.sender.is_secure() {
            return Err(Status::InvalidParameters);
        }
        let (_, callee) = self.service_receiver(cpu, request)?;
        self.enter_for_service(cpu, callee, Origin::NormalWorld(request.sender), request)
    }

    /// Carries a request of one partition to a service of another.
    ///
    /// # Errors
    /// As [`Spmc::service_request_from_normal_world`]; DENIED as well if the caller's manifest does not let it send, or
    /// if the receiver itself waits for this chain.
    pub(crate) fn service_request_from_partition(
        &self,
        cpu: &mut Cpu,
        caller: &Running<'_>,
        request: &ServiceRequest,
    ) -> Result<Step, Status> {
        if caller.partition.endpoint.negotiation.version() < Version::V1_2 {
            return Err(Status::NotSupported);
        }
        let own = request.sender == caller.partition.id();
        // The normal world is never the servant of a partition.
        if !own || request.receiver == request.sender || !request.receiver.is_secure() {
            return Err(Status::InvalidParameters);
        }
        if !caller.partition.manifest().messaging.sends_direct2 || cpu.going_off.is_some() {
            return Err(Status::Denied);
        }
        let (partition, callee) = self.service_receiver(cpu, request)?;
        // Nobody else changes the state of an execution context that runs here, or waits for what runs here.
        caller.vcpu()?.block(callee, Cycle::DirectRequest)?;
        self.enter_for_service(cpu, callee, Origin::Partition(caller.id), request).map_err(|status| {
            let _ = self.with_vcpu(caller.id, |vcpu| vcpu.unblock(callee));
            let cycle = status == Status::Busy && self.waits_for(partition.index(), caller.id);
            if cycle { Status::Denied } else { status }
        })
    }

    /// Carries the answer of the execution context that runs to whoever asked a service of it.
    ///
    /// # Errors
    /// INVALID_PARAMETERS if the message is not from the caller to who asked, DENIED if nobody did or by the first
    /// form.
    pub(crate) fn service_response(
        &self,
        cpu: &mut Cpu,
        caller: &Running<'_>,
        response: &ServiceResponse,
        platform: &impl Platform,
    ) -> Result<Step, Status> {
        let ServiceResponse { sender, receiver, payload } = *response;
        if sender != caller.partition.id() {
            return Err(Status::InvalidParameters);
        }
        self.prepare_to_wait(cpu, caller, platform, |vcpu| {
            vcpu.asked_by(receiver, Cycle::ServiceResponse).map(|_| ())
        })?;
        let origin = caller.vcpu()?.respond_for_service(receiver)?;
        let registers = Call::DirectResponse2 { sender, receiver, payload }.encode();
        Ok(match origin {
            Origin::NormalWorld(_) => self.to_normal_world_whole(cpu, &registers),
            Origin::Partition(_) | Origin::Nobody(_) => self.answer_origin(cpu, origin, caller.id, registers),
        })
    }

    /// Returns the partition that receives `request` and the execution context of it that serves requests on this
    /// processing element.
    fn service_receiver(&self, cpu: &Cpu, request: &ServiceRequest) -> Result<(&Partition, VcpuId), Status> {
        let partition = self.partition_by_id(request.receiver).ok_or(Status::InvalidParameters)?;
        if partition.is_aborted() {
            return Err(Status::Aborted);
        }
        if !partition.offers(&request.uuid) {
            return Err(Status::InvalidParameters);
        }
        let speaks = partition.endpoint.negotiation.version() >= Version::V1_2;
        if !speaks || !partition.takes_service_requests(&request.uuid) {
            return Err(Status::Denied);
        }
        let vcpu = partition.vcpu_on(cpu.index()).ok_or(Status::InvalidParameters)?;
        Ok((partition, vcpu))
    }

    /// Gives the processing element to `callee` so that it answers `request`.
    fn enter_for_service(
        &self,
        cpu: &mut Cpu,
        callee: VcpuId,
        origin: Origin,
        request: &ServiceRequest,
    ) -> Result<Step, Status> {
        let ServiceRequest { sender, receiver, uuid, payload } = *request;
        let registers = Call::DirectRequest2 { sender, receiver, uuid, payload }.encode();
        let model = RunModel::ServiceRequest { origin };
        let partition = self.partition(callee.partition).ok_or(Status::InvalidParameters)?;
        let mut vcpu = partition.idle_vcpu(callee.index)?;
        let entered = vcpu.enter(model);
        drop(vcpu);
        match entered {
            Ok(()) => {
                self.begin_turn(partition, callee, model);
                Ok(self.run(cpu, callee, Entry::Answer(registers)))
            }
            // It has not begun yet.
            Err(Status::Denied) => self.start_to_serve(cpu, callee, model, registers),
            Err(status) => Err(status),
        }
    }
}
