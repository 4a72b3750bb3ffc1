//! The straight way between the normal world and a partition: a request to one that waits, and the end of its turn.
//!
//! What is common and has no effect on anybody else is carried out here from the registers as they are, without taking
//! them apart into a [`tantalum_ffa::Call`] and putting them together again. Each function makes the same checks, in the
//! same order, as the general way, which `direct`, `service` and `schedule` are. At the first thing that is out of the
//! ordinary, an error above all, it returns `None` and has changed nothing: then the general way decides. So there is one
//! place that says what is refused and how, and `sim/tests/straight.rs` shows that both ways lead to the same.

use tantalum_ffa::{Uuid, Version, function as f, uuid_from_pair};
use tantalum_hal::Way;
use tantalum_types::{CallRegisters, EndpointId, VcpuId};

use crate::common::check_extra;
use crate::partition::Partition;
use crate::schedule::give_turn;
use crate::spmc::{Cpu, Spmc, Step};
use crate::vcpu::{Origin, RunModel};

impl Spmc {
    /// Carries FFA_MSG_SEND_DIRECT_REQ, FFA_MSG_SEND_DIRECT_REQ2 or FFA_RUN of the normal world to an execution context
    /// that waits.
    #[inline(always)]
    pub(crate) fn request_straight(&self, cpu: &mut Cpu) -> Option<Step> {
        let [x0, x1, x2, x3, ..] = cpu.normal_world.0;
        let (high, receiver) = halves(x1);
        match low(x0) {
            function @ (f::DIRECT_REQ_32 | f::DIRECT_REQ_64) => {
                let sender = high;
                // Framework messages, those of the SPMD among them, are not for partitions to agree on.
                if sender.is_secure() || low(x2) != 0 {
                    return None;
                }
                let (partition, callee) = self.live(cpu, receiver)?;
                if !partition.manifest().messaging.receives_direct {
                    return None;
                }
                let model = RunModel::DirectRequest { origin: Origin::NormalWorld(sender) };
                self.hand_over(partition, callee, model)?;
                let message = eight(&cpu.normal_world, function);
                cpu.partition.set_first_eight(message);
                clear_extra(&mut cpu.partition);
                Some(give_turn(cpu, partition, callee, Way::Answer))
            }
            f::RUN => {
                let (partition, callee) = self.live(cpu, high)?;
                if callee.index.as_u16() != receiver.raw() {
                    return None;
                }
                check_extra(self.normal_world.negotiation.version(), &cpu.normal_world).ok()?;
                self.hand_over(partition, callee, RunModel::Run)?;
                cpu.partition.set_first_eight([f::RUN.into(), low(x1).into(), 0, 0, 0, 0, 0, 0]);
                clear_extra(&mut cpu.partition);
                Some(give_turn(cpu, partition, callee, Way::Answer))
            }
            f::DIRECT_REQ2 => {
                let sender = high;
                if self.normal_world.negotiation.version() < Version::V1_2 || sender.is_secure() {
                    return None;
                }
                let (partition, callee) = self.live(cpu, receiver)?;
                // A request to no service in particular is what most are.
                let speaks = partition.endpoint.negotiation.version() >= Version::V1_2;
                if uuid_from_pair([x2, x3]) != Uuid::nil()
                    || !speaks
                    || !partition.takes_service_requests(&Uuid::nil())
                {
                    return None;
                }
                let model = RunModel::ServiceRequest { origin: Origin::NormalWorld(sender) };
                self.hand_over(partition, callee, model)?;
                cpu.partition = cpu.normal_world;
                narrow(&mut cpu.partition);
                Some(give_turn(cpu, partition, callee, Way::Answer))
            }
            _ => None,
        }
    }

    /// Carries FFA_MSG_SEND_DIRECT_RESP or FFA_MSG_SEND_DIRECT_RESP2 to the normal world, or ends by FFA_MSG_WAIT a turn
    /// that FFA_RUN has given.
    #[inline(always)]
    pub(crate) fn end_of_turn_straight(&self, cpu: &mut Cpu) -> Option<Step> {
        let id = cpu.current?;
        let partition = self.partition(id.partition)?;
        // Interrupts are to be seen to, or somebody has to handle one before the normal world goes on.
        if !partition.interrupts(id.index)?.is_quiet() || !cpu.to_wake.is_empty() {
            return None;
        }
        let [x0, x1, x2, x3, ..] = cpu.partition.0;
        let (sender, asker) = halves(x1);
        match low(x0) {
            function @ (f::DIRECT_RESP_32 | f::DIRECT_RESP_64) => {
                if sender != partition.id() || low(x2) != 0 {
                    return None;
                }
                let origin = Origin::NormalWorld(asker);
                self.end_turn_for(partition, id, RunModel::DirectRequest { origin })?;
                let message = eight(&cpu.partition, function);
                cpu.normal_world.set_first_eight(message);
            }
            f::MSG_WAIT => {
                let [_, _, _, _, x4, x5, x6, x7, ..] = cpu.partition.0;
                // Whether it keeps its RX buffer, in bit 0 of w2, is for the general way.
                if low(x1 | x2 | x3 | x4 | x5 | x6 | x7) != 0 {
                    return None;
                }
                check_extra(partition.endpoint.negotiation.version(), &cpu.partition).ok()?;
                self.end_turn_for(partition, id, RunModel::Run)?;
                self.release_read_rx(partition);
                cpu.normal_world.set_first_eight([f::MSG_WAIT.into(), 0, 0, 0, 0, 0, 0, 0]);
            }
            f::DIRECT_RESP2 => {
                if sender != partition.id() || x2 != 0 || x3 != 0 {
                    return None;
                }
                let origin = Origin::NormalWorld(asker);
                self.end_turn_for(partition, id, RunModel::ServiceRequest { origin })?;
                cpu.normal_world = cpu.partition;
                narrow(&mut cpu.normal_world);
            }
            _ => return None,
        }
        cpu.current = None;
        Some(Step::CallNormalWorld)
    }

    /// Returns the partition `id`, which has not been stopped, and the execution context of it that serves requests on
    /// this processing element.
    #[inline(always)]
    fn live(&self, cpu: &Cpu, id: EndpointId) -> Option<(&Partition, VcpuId)> {
        let partition = self.partition_by_id(id).filter(|partition| !partition.is_aborted())?;
        Some((partition, partition.vcpu_on(cpu.index())?))
    }

    /// Gives `callee`, an execution context of `partition` that waits, a turn for `model`; `None` if it does not wait.
    #[inline(always)]
    fn hand_over(&self, partition: &Partition, callee: VcpuId, model: RunModel) -> Option<()> {
        partition.idle_vcpu(callee.index).ok()?.enter(model).ok()?;
        self.normal_world.negotiation.freeze();
        // It is the head of its chain, so nobody else's wishes count.
        partition.interrupts(callee.index)?.begin_turn(partition.manifest().ns_interrupts_action);
        Some(())
    }

    /// Ends the turn of `id`, an execution context of `partition`, if that was for `model`.
    #[inline(always)]
    fn end_turn_for(&self, partition: &Partition, id: VcpuId, model: RunModel) -> Option<()> {
        partition.vcpu(id.index)?.wait_after(model)?;
        partition.endpoint.negotiation.freeze();
        Some(())
    }
}

/// Returns the low half of a register.
#[inline(always)]
const fn low(register: u64) -> u32 {
    (register & 0xffff_ffff) as u32
}

/// Returns the ids in bits 31:16 and in bits 15:0 of a register.
#[inline(always)]
const fn halves(register: u64) -> (EndpointId, EndpointId) {
    let [b0, b1, b2, b3, ..] = register.to_le_bytes();
    (EndpointId::new(u16::from_le_bytes([b2, b3])), EndpointId::new(u16::from_le_bytes([b0, b1])))
}

/// Returns x0 to x7 of a direct message by `function`: what belongs to it, and zero in place of the rest.
#[inline(always)]
fn eight(registers: &CallRegisters, function: u32) -> [u64; 8] {
    let [_, x1, _, x3, x4, x5, x6, x7] = registers.first_eight();
    let own = match f::width(function) {
        tantalum_ffa::Width::Bits32 => 0xffff_ffff,
        tantalum_ffa::Width::Bits64 => u64::MAX,
    };
    [function.into(), low(x1).into(), 0, x3 & own, x4 & own, x5 & own, x6 & own, x7 & own]
}

/// Leaves of x0 and x1, which carry 32 bits each, what belongs to a message.
#[inline(always)]
fn narrow(registers: &mut CallRegisters) {
    let [x0, x1, ..] = &mut registers.0;
    (*x0, *x1) = (low(*x0).into(), low(*x1).into());
}

/// Writes zero to x8 to x17.
#[inline(always)]
fn clear_extra(registers: &mut CallRegisters) {
    let [_, _, _, _, _, _, _, _, extra @ ..] = &mut registers.0;
    *extra = [0; 10];
}
