//! Notifications of virtual machines (FF-A 1.1, chapter 10). The SPMC keeps them; the hypervisor is the scheduler whom it
//! tells about pending ones.

use core::sync::atomic::Ordering;

use tantalum_ffa::notification::{GET_FROM_HYPERVISOR, GET_FROM_VMS, NotificationList};
use tantalum_ffa::{Call, Status, Width};
use tantalum_types::{CallRegisters, CpuIndex, MAX_PARTITIONS, MAX_VMS, VcpuIndex, VmIndex, VmVcpuId};

use super::below::{Below, ask, permitted, valid};
use super::{Caller, Relay, Vm, vm_of};

/// Bounds the answers that are asked for at a time. Partitions can make notifications pending as fast as they are read.
const MAX_LISTS: usize = 16;

/// Bounds the execution contexts that are given time at a time: each one of every partition once.
const MAX_TURNS: usize = MAX_PARTITIONS;

/// Says whom the hypervisor has to tell something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use = "who has notifications has to be told"]
pub struct Scheduled {
    /// Has a bit for each virtual CPU of each virtual machine that has to get
    /// [`NOTIFICATION_INTERRUPT`](super::NOTIFICATION_INTERRUPT).
    interrupted: [u8; MAX_VMS],
    /// Has a bit for each processing element on which [`Relay::work`] has something to do.
    cpus: u8,
}

impl Scheduled {
    /// Yields the virtual CPUs that have to get the interrupt that says that notifications are pending.
    pub fn interrupted(&self) -> impl Iterator<Item = VmVcpuId> {
        VmIndex::all().zip(self.interrupted).flat_map(|(vm, bits)| {
            let wanted = move |vcpu: &VcpuIndex| has_bit(bits, vcpu.as_u16());
            VcpuIndex::all().filter(wanted).map(move |index| VmVcpuId { vm, index })
        })
    }

    /// Yields the other processing elements that have to be kicked, and then call [`Relay::work`].
    pub fn kicked(&self) -> impl Iterator<Item = CpuIndex> {
        let bits = self.cpus;
        CpuIndex::all().filter(move |cpu| has_bit(bits, cpu.as_u16()))
    }
}

const fn has_bit(bits: u8, index: u16) -> bool {
    match bits.checked_shr(index as u32) {
        Some(bits) => bits & 1 != 0,
        None => false,
    }
}

fn bit(index: u16) -> u8 {
    1_u8.checked_shl(index.into()).unwrap_or_default()
}

/// Answers a call about notifications: what a virtual machine says of itself is true, and what it says of others is
/// about partitions.
pub(super) fn notification_call(
    caller: Caller,
    vm: &Vm,
    call: &Call,
    below: &impl Below,
) -> Result<CallRegisters, Status> {
    let id = caller.id();
    match *call {
        Call::NotificationBind { sender, receiver, .. }
        | Call::NotificationUnbind { sender, receiver, .. } => {
            valid(receiver == id && sender.is_secure())?;
        }
        Call::NotificationSet { sender, receiver, .. } => {
            return if sender == id && receiver.is_secure() {
                ask(below, call).map(|answer| answer.encode())
            } else {
                Err(Status::InvalidParameters)
            };
        }
        Call::NotificationGet { receiver, flags, .. } => {
            // Between virtual machines there are none.
            valid(receiver == id && flags & (GET_FROM_VMS | GET_FROM_HYPERVISOR) == 0)?;
        }
        _ => return Err(Status::NotSupported),
    }
    permitted(vm.has_notifications)?;
    ask(below, call).map(|answer| answer.encode())
}

impl Relay {
    /// Finds out why the schedule receiver interrupt has come to `cpu`, which is this processing element: who has
    /// notifications, and to which partitions [`Self::work`] has to give time.
    pub fn schedule(&self, cpu: CpuIndex, below: &impl Below) -> Scheduled {
        let mut scheduled = Scheduled::default();
        for _ in 0..MAX_LISTS {
            let Ok(answer) = ask(below, &Call::NotificationInfoGet { width: Width::Bits64 }) else { break };
            let Some(list) = NotificationList::decode(&answer) else { break };
            for (endpoint, vcpus) in list.entries() {
                if endpoint.is_secure() {
                    let mut turns = self.turns.lock();
                    self.has_work.store(true, Ordering::SeqCst);
                    let here = [cpu.as_u16()];
                    for vcpu in if vcpus.is_empty() { &here } else { vcpus } {
                        let belongs = turns.wait(endpoint, *vcpu).filter(|other| *other != cpu);
                        scheduled.cpus |= belongs.map_or(0, |other| bit(other.as_u16()));
                    }
                } else if let Some(bits) =
                    vm_of(endpoint).and_then(|vm| scheduled.interrupted.get_mut(vm.get()))
                {
                    // Any virtual CPU will do for what is for all of them.
                    for vcpu in if vcpus.is_empty() { &[0] } else { vcpus } {
                        *bits |= bit(*vcpu);
                    }
                }
            }
            if !list.has_more() {
                break;
            }
        }
        scheduled
    }

    /// Tells whether a partition may need time on some processing element.
    pub fn has_work(&self) -> bool {
        self.has_work.load(Ordering::SeqCst)
    }

    /// Gives time to partitions that need it on `cpu`, which is this processing element. One that is stopped by an
    /// interrupt of the normal world goes on the next time.
    pub fn work(&self, cpu: CpuIndex, below: &impl Below) {
        if !self.has_work() {
            return;
        }
        for _ in 0..MAX_TURNS {
            if !self.run_next(cpu, below) {
                break;
            }
        }
        // With the lock held, nobody asks for more in between.
        let turns = self.turns.lock();
        self.has_work.store(turns.has_next(), Ordering::SeqCst);
    }
}
