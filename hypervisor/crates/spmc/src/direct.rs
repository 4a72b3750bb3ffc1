//! Direct requests and responses (FF-A 1.2, chapter 7).

use tantalum_ffa::{Call, DirectMessage, Status};
use tantalum_hal::{Action, Entry, Platform};
use tantalum_manifest::NsInterruptsAction;
use tantalum_types::{EndpointId, VcpuId};

use crate::partition::{Partition, Running};
use crate::run_model::Cycle;
use crate::spmc::{Cpu, Spmc};
use crate::vcpu::{Origin, RunModel};
use crate::virtual_interrupts::more_restrictive;

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
    ) -> Result<Action, Status> {
        // No virtual machine is known, so nobody else can have sent it. Framework messages that a hypervisor
        // may send are about virtual machines.
        if message.sender != EndpointId::HYPERVISOR || message.framework.is_some() {
            return Err(Status::InvalidParameters);
        }
        let (partition, callee) = self.receiver(cpu, message.receiver)?;
        let action = partition.manifest().ns_interrupts_action;
        self.enter(cpu, callee, Origin::NormalWorld(message.sender), action, message)
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
    ) -> Result<Action, Status> {
        let own = message.sender == caller.partition.id();
        if !own || message.receiver == message.sender || message.framework.is_some() {
            return Err(Status::InvalidParameters);
        }
        if !message.receiver.is_secure() {
            // The normal world is never the servant of a partition.
            return Err(Status::InvalidParameters);
        }
        if !caller.partition.manifest().messaging.sends_direct {
            return Err(Status::Denied);
        }
        let (partition, callee) = self.receiver(cpu, message.receiver)?;
        let restriction =
            caller.partition.interrupts(caller.id.index).map_or(NsInterruptsAction::Queued, |i| i.action());
        let action = more_restrictive(restriction, partition.manifest().ns_interrupts_action);
        // Nobody else changes the state of an execution context that runs here, or is blocked on what runs here.
        caller.vcpu()?.block(callee, Cycle::DirectRequest)?;
        self.enter(cpu, callee, Origin::Partition(caller.id), action, message).map_err(|status| {
            let _ = self.with_vcpu(caller.id, |vcpu| vcpu.unblock(callee));
            let cycle = status == Status::Busy && self.chain_contains(caller.id, partition.index());
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
    ) -> Result<Action, Status> {
        if message.sender != caller.partition.id() || message.framework.is_some() {
            return Err(Status::InvalidParameters);
        }
        let unhandled = match caller.partition.interrupts(caller.id.index) {
            Some(interrupts) if !interrupts.is_quiet() => {
                caller.vcpu()?.asked_by(message.receiver)?;
                self.end_turn(cpu, caller, interrupts, platform)
            }
            _ => false,
        };
        let origin = caller.vcpu()?.respond(message.receiver)?;
        if unhandled {
            cpu.to_wake.insert(caller.id.partition);
        }
        let registers = Call::DirectResponse(*message).encode();
        Ok(match origin {
            Origin::NormalWorld(_) => self.to_normal_world(cpu, registers),
            Origin::Partition(asker) => self.answer_blocked(cpu, asker, caller.id, registers),
        })
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
    fn enter(
        &self,
        cpu: &mut Cpu,
        callee: VcpuId,
        origin: Origin,
        action: NsInterruptsAction,
        message: &DirectMessage,
    ) -> Result<Action, Status> {
        let partition = self.partition(callee.partition).ok_or(Status::InvalidParameters)?;
        let mut vcpu = partition.vcpu(callee.index).ok_or(Status::InvalidParameters)?;
        vcpu.enter(RunModel::DirectRequest { origin })?;
        drop(vcpu);
        partition.begin_turn(callee.index, action);
        Ok(self.run(cpu, callee, Entry::Answer(Call::DirectRequest(*message).encode())))
    }
}
