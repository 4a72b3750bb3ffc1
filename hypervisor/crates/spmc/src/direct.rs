//! Direct requests and responses (FF-A 1.2, chapter 7).

use tantalum_ffa::{Call, DirectMessage, Status};
use tantalum_hal::{Entry, Platform};
use tantalum_types::{EndpointId, VcpuId};

use crate::partition::{Partition, Running};
use crate::run_model::Cycle;
use crate::spmc::{Cpu, Spmc, Step};
use crate::vcpu::{Origin, RunModel};

impl Spmc {
    /// Carries a direct request of the normal world to a partition.
    ///
    /// # Errors
    /// INVALID_PARAMETERS if the sender or the receiver is none, DENIED if the receiver takes no direct
    /// requests, BUSY if it is at work, ABORTED if it has been stopped.
    #[inline]
    pub(crate) fn request_from_normal_world(
        &self,
        cpu: &mut Cpu,
        message: &DirectMessage,
    ) -> Result<Step, Status> {
        // A hypervisor forwards requests of its virtual machines; who of them may ask is for it to say.
        if message.sender.is_secure() {
            return Err(Status::InvalidParameters);
        }
        if message.framework.is_some() {
            return self.vm_message(cpu, message);
        }
        let (_, callee) = self.receiver(cpu, message.receiver)?;
        let origin = Origin::NormalWorld(message.sender);
        self.enter(cpu, callee, RunModel::DirectRequest { origin }, message)
    }

    /// Carries a direct request of one partition to another.
    ///
    /// # Errors
    /// As [`Spmc::request_from_normal_world`]; DENIED as well if the caller's manifest does not let it send, or
    /// if the receiver itself waits for this chain.
    pub(crate) fn request_from_partition(
        &self,
        cpu: &mut Cpu,
        caller: &Running<'_>,
        message: &DirectMessage,
    ) -> Result<Step, Status> {
        let own = message.sender == caller.partition.id();
        if !own || message.receiver == message.sender || message.framework.is_some() {
            return Err(Status::InvalidParameters);
        }
        if !message.receiver.is_secure() {
            // The normal world is never the servant of a partition.
            return Err(Status::InvalidParameters);
        }
        if !caller.partition.manifest().messaging.sends_direct || cpu.going_off.is_some() {
            return Err(Status::Denied);
        }
        let (partition, callee) = self.receiver(cpu, message.receiver)?;
        let model = RunModel::DirectRequest { origin: Origin::Partition(caller.id) };
        // Nobody else changes the state of an execution context that runs here, or waits for what runs here.
        caller.vcpu()?.block(callee, Cycle::DirectRequest)?;
        self.enter(cpu, callee, model, message).map_err(|status| {
            let _ = self.with_vcpu(caller.id, |vcpu| vcpu.unblock(callee));
            let cycle = status == Status::Busy && self.waits_for(partition.index(), caller.id);
            if cycle { Status::Denied } else { status }
        })
    }

    /// Carries the answer of the execution context that runs to whoever asked it.
    ///
    /// # Errors
    /// INVALID_PARAMETERS if the message is not from the caller to who asked, DENIED if nobody did.
    #[inline]
    pub(crate) fn response(
        &self,
        cpu: &mut Cpu,
        caller: &Running<'_>,
        message: &DirectMessage,
        platform: &impl Platform,
    ) -> Result<Step, Status> {
        if message.sender != caller.partition.id() {
            return Err(Status::InvalidParameters);
        }
        if message.framework.is_some() {
            return self.framework_response(cpu, caller, message, platform);
        }
        self.prepare_to_wait(cpu, caller, platform, |vcpu| {
            vcpu.asked_by(message.receiver, Cycle::DirectResponse).map(|_| ())
        })?;
        let origin = caller.vcpu()?.respond(message.receiver)?;
        let registers = Call::DirectResponse(*message).encode();
        Ok(self.answer_origin(cpu, origin, caller.id, registers))
    }

    /// Returns the partition `id` and the execution context of it that serves requests on this processing
    /// element.
    #[inline]
    fn receiver(&self, cpu: &Cpu, id: EndpointId) -> Result<(&Partition, VcpuId), Status> {
        let partition = self.partition_by_id(id).ok_or(Status::InvalidParameters)?;
        if partition.is_aborted() {
            return Err(Status::Aborted);
        }
        if !partition.manifest().messaging.receives_direct {
            return Err(Status::Denied);
        }
        let vcpu = partition.vcpu_on(cpu.index()).ok_or(Status::InvalidParameters)?;
        Ok((partition, vcpu))
    }

    /// Gives the processing element to `callee` so that it answers `message`.
    #[inline]
    pub(crate) fn enter(
        &self,
        cpu: &mut Cpu,
        callee: VcpuId,
        model: RunModel,
        message: &DirectMessage,
    ) -> Result<Step, Status> {
        let partition = self.partition(callee.partition).ok_or(Status::InvalidParameters)?;
        let mut vcpu = partition.idle_vcpu(callee.index)?;
        let entered = vcpu.enter(model);
        drop(vcpu);
        if entered.is_ok() {
            self.begin_turn(partition, callee, model);
        }
        let registers = Call::DirectRequest(*message).encode();
        match entered {
            Ok(()) => Ok(self.run(cpu, callee, Entry::Answer(registers))),
            // It has not begun yet.
            Err(Status::Denied) => self.start_to_serve(cpu, callee, model, registers),
            Err(status) => Err(status),
        }
    }
}
