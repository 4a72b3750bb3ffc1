//! Messages of the SPMD, which are framework messages (FF-A 1.2, chapter 18; TF-A's SPMD), and what partitions hear
//! of them.

use tantalum_ffa::{Call, DirectMessage, FrameworkMessage, Status, Width};
use tantalum_hal::{Entry, Platform};
use tantalum_types::{CpuIndex, EndpointId, VcpuId};

use crate::partition::{Partition, Running};
use crate::run_model::Cycle;
use crate::spmc::{Cpu, Spmc, Step};
use crate::vcpu::{RunModel, Vcpu};

/// Names the PSCI function CPU_OFF (PSCI 1.1, section 5.1).
const PSCI_CPU_OFF: u64 = 0x8400_0002;

/// Is PSCI's answer that all went well.
const PSCI_SUCCESS: u64 = 0;

/// Is PSCI's answer to a request that is not known, as w3 carries it.
const PSCI_NOT_SUPPORTED: u64 = 0xffff_ffff;

impl Spmc {
    /// Answers a message of the SPMD.
    ///
    /// # Errors
    /// INVALID_PARAMETERS if it is no framework message that asks for something.
    pub(crate) fn spmd_message(&self, cpu: &mut Cpu, message: &DirectMessage) -> Result<Step, Status> {
        let [first, ..] = message.payload;
        let (kind, result) = match message.framework {
            Some(FrameworkMessage::VersionRequest) => {
                (FrameworkMessage::VersionResponse, self.normal_world_version(first))
            }
            Some(FrameworkMessage::PsciRequest) => {
                if first == PSCI_CPU_OFF {
                    // The normal world does not run here again before it has been on and off.
                    cpu.booting = true;
                    cpu.going_off = Some(0);
                    return Ok(self.go_off(cpu));
                }
                (FrameworkMessage::PmResponse, PSCI_NOT_SUPPORTED)
            }
            Some(FrameworkMessage::WarmBoot) => (FrameworkMessage::PmResponse, PSCI_SUCCESS),
            _ => return Err(Status::InvalidParameters),
        };
        let answer = message.framework_answer(kind, [result, 0, 0, 0, 0]);
        Ok(self.to_normal_world(cpu, Call::DirectResponse(answer).encode()))
    }

    /// Answers FFA_VERSION of the normal world, which the SPMD turns into a message.
    ///
    /// A refusal is -1 in all 64 bits: that is how the SPMD passes it on, and pKVM compares all of them.
    fn normal_world_version(&self, requested: u64) -> u64 {
        let answer = u32::try_from(requested)
            .ok()
            .and_then(|requested| self.normal_world.negotiation.request(requested).ok());
        match answer {
            Some(version) => u64::from(version.to_raw()),
            None => u64::MAX,
        }
    }

    /// Tells the next partition that wants to know that this processing element goes off, or, after the last one,
    /// puts the execution contexts here off and lets the SPMD go on.
    ///
    /// The answer is always success: EL3 takes anything else for the end of the machine.
    pub(crate) fn go_off(&self, cpu: &mut Cpu) -> Step {
        while let Some(partition) = cpu.going_off.and_then(|position| self.in_boot_order(position)) {
            cpu.going_off = cpu.going_off.and_then(|position| position.checked_add(1));
            if partition.is_aborted() || !partition.manifest().cpu_off_message {
                continue;
            }
            let Some(id) = own_vcpu(partition, cpu.index()) else { continue };
            // One that is in the middle of something hears nothing; it goes on when its processing element does.
            if self.with_vcpu(id, |vcpu| vcpu.enter(RunModel::PowerMessage)) == Some(Ok(())) {
                self.begin_turn(partition, id, RunModel::PowerMessage);
                let message = DirectMessage {
                    width: Width::Bits32,
                    sender: EndpointId::SPMC,
                    receiver: partition.id(),
                    framework: Some(FrameworkMessage::PsciRequest),
                    payload: [PSCI_CPU_OFF, 0, 0, 0, 0],
                };
                return self.run(cpu, id, Entry::Answer(Call::DirectRequest(message).encode()));
            }
        }
        self.put_off(cpu.index());
        cpu.leaving = true;
        cpu.booting = false;
        cpu.going_off = None;
        let answer = DirectMessage {
            width: Width::Bits32,
            sender: EndpointId::SPMC,
            receiver: EndpointId::SPMD,
            framework: Some(FrameworkMessage::PmResponse),
            payload: [PSCI_SUCCESS, 0, 0, 0, 0],
        };
        self.to_normal_world(cpu, Call::DirectResponse(answer).encode())
    }

    /// Takes the answer of the execution context that runs to the message that its processing element goes off.
    ///
    /// # Errors
    /// INVALID_PARAMETERS if it is no such answer, DENIED if there was no such message.
    #[cold]
    pub(crate) fn framework_response(
        &self,
        cpu: &mut Cpu,
        caller: &Running<'_>,
        message: &DirectMessage,
        platform: &impl Platform,
    ) -> Result<Step, Status> {
        match message.framework {
            Some(FrameworkMessage::VmCreatedResponse | FrameworkMessage::VmDestroyedResponse) => {
                return self.vm_response(cpu, caller, message, platform);
            }
            Some(FrameworkMessage::PmResponse) if message.receiver == EndpointId::SPMC => {}
            _ => return Err(Status::InvalidParameters),
        }
        self.prepare_to_wait(cpu, caller, platform, |vcpu| vcpu.may(Cycle::PowerResponse))?;
        caller.vcpu()?.respond_to_power()?;
        let [result, ..] = message.payload;
        if result != PSCI_SUCCESS {
            // It cannot keep a processing element on: that is the normal world's to say.
            log::warn!(
                "partition {} does not want CPU {} off: {result:#x}",
                caller.partition.id(),
                cpu.index().get()
            );
        }
        Ok(self.go_off(cpu))
    }

    /// Ends the life of every execution context that is tied to a processing element.
    fn put_off(&self, cpu: CpuIndex) {
        self.end_on(cpu);
        for partition in self.live_partitions() {
            let Some(id) = own_vcpu(partition, cpu) else { continue };
            if let Some(Err(status)) = self.with_vcpu(id, Vcpu::power_off) {
                // It keeps its state and can go on when its processing element comes back.
                log::debug!("partition {} context {}: not put off: {status}", partition.id(), id.index.get());
                self.cut_off(id);
            }
        }
    }

    /// Cuts the call chain of `id`, which stays in the middle of something until its processing element comes back,
    /// where it touches execution contexts that are not tied to that one: they go on elsewhere.
    ///
    /// One that `id` has asked answers nobody. One that has asked `id`, and `id` itself if it waits for an answer,
    /// learns by ABORTED that it will get none when the normal world lets it go on.
    fn cut_off(&self, id: VcpuId) {
        let moves = |id: VcpuId| self.partition(id.partition).is_some_and(|it| !it.is_multi_processor());
        let _ = self.with_vcpu(id, |vcpu| vcpu.forget_asker(moves));
        for partition in self.live_partitions().filter(|partition| !partition.is_multi_processor()) {
            for (_, mut vcpu) in partition.each_vcpu() {
                vcpu.forget_asker(|asker| asker == id);
            }
        }
    }
}

/// Returns the execution context of a multi-processor partition that is tied to `cpu`.
fn own_vcpu(partition: &Partition, cpu: CpuIndex) -> Option<VcpuId> {
    partition.vcpu_on(cpu).filter(|_| partition.is_multi_processor())
}
