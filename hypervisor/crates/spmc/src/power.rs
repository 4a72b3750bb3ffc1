//! Messages of the SPMD, which are framework messages (FF-A 1.2, chapter 18; TF-A's SPMD).

use tantalum_ffa::{Call, DirectMessage, FrameworkMessage, Status};
use tantalum_hal::Action;

use crate::spmc::{Cpu, Spmc};

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
    pub(crate) fn spmd_message(&self, cpu: &mut Cpu, message: &DirectMessage) -> Result<Action, Status> {
        let [first, ..] = message.payload;
        let (kind, result) = match message.framework {
            Some(FrameworkMessage::VersionRequest) => {
                (FrameworkMessage::VersionResponse, self.normal_world_version(first))
            }
            Some(FrameworkMessage::PsciRequest) => {
                let result = if first == PSCI_CPU_OFF {
                    self.cpu_off(cpu);
                    PSCI_SUCCESS
                } else {
                    PSCI_NOT_SUPPORTED
                };
                (FrameworkMessage::PmResponse, result)
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

    /// Ends the life of every execution context that is tied to this processing element.
    fn cpu_off(&self, cpu: &mut Cpu) {
        cpu.leaving = true;
        for partition in self.live_partitions().filter(|partition| partition.is_multi_processor()) {
            let Some(id) = partition.vcpu_on(cpu.index()) else { continue };
            let Some(mut vcpu) = partition.vcpu(id.index) else { continue };
            if let Err(status) = vcpu.power_off() {
                // It keeps its state and can go on when its processing element comes back.
                log::debug!("partition {} context {}: not put off: {status}", partition.id(), id.index.get());
            }
        }
    }
}
