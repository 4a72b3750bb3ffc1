//! Notifications (FF-A 1.1, chapter 10 and sections 16.1 to 16.7).
//!
//! An endpoint binds each of its 64 notifications per direction, from partitions and from VMs, to who may signal it.
//! Signalling makes it pending. Two are told: the normal world's scheduler, by the schedule receiver interrupt and
//! FFA_NOTIFICATION_INFO_GET, so that the receiver is given time; and a receiver that is a partition, by the
//! notification pending interrupt. The receiver reads what is pending, which clears it.
//!
//! | module | what lives there |
//! |---|---|
//! | `receiver` | bindings and pending notifications of one endpoint: rules and state, no calls |
//! | `table` | who can receive, and whose news have not been reported |
//!
//! Lock: one for all notifications. It may be taken with a mailbox's lock held, and none is taken while it is.

mod receiver;
mod table;

use tantalum_ffa::notification::{
    BIND_PER_VCPU, DELAY_SCHEDULE_RECEIVER, GET_FROM_HYPERVISOR, GET_FROM_PARTITIONS, GET_FROM_SPM,
    GET_FROM_VMS, NotificationList, RX_FULL, SET_PER_VCPU, vcpu_of_set,
};
use tantalum_ffa::{Call, Status, Version, Width, answer};
use tantalum_hal::Platform;
use tantalum_types::{CallRegisters, EndpointId, VcpuId, VcpuIndex};

use crate::common::Caller;
use crate::partition::Partition;
use crate::spmc::{Cpu, Spmc};
use crate::virtual_interrupts::NOTIFICATION_PENDING;
use receiver::{Scope, Signalled, Wanted};
pub(crate) use table::Notifications;

/// Is the SGI that is given to the normal world as its schedule receiver interrupt. TF-A makes 8 to 15 Secure, and
/// Linux uses 0 to 7.
pub(crate) const SCHEDULE_RECEIVER_SGI: u32 = 8;

/// Carries the parameters of FFA_NOTIFICATION_SET.
#[derive(Clone, Copy)]
struct Set {
    sender: EndpointId,
    receiver: EndpointId,
    flags: u32,
    bitmap: u64,
}

impl Spmc {
    /// Answers a call about notifications, or returns `None` if `call` is not one.
    pub(crate) fn notification_call<P: Platform>(
        &self,
        cpu: &mut Cpu,
        caller: &Caller<'_>,
        call: &Call,
        platform: &P,
    ) -> Option<Result<CallRegisters, Status>> {
        let done = |result: Result<(), Status>| result.map(|()| answer::success());
        let old = caller.version() < Version::V1_1;
        Some(match *call {
            Call::NotificationBitmapCreate { .. }
            | Call::NotificationBitmapDestroy { .. }
            | Call::NotificationBind { .. }
            | Call::NotificationUnbind { .. }
            | Call::NotificationSet { .. }
            | Call::NotificationGet { .. }
            | Call::NotificationInfoGet { .. }
                if old =>
            {
                Err(Status::NotSupported)
            }
            Call::NotificationBitmapCreate { endpoint, vcpu_count } => {
                done(self.bitmap_create(caller, endpoint, vcpu_count))
            }
            Call::NotificationBitmapDestroy { endpoint } => done(self.bitmap_destroy(caller, endpoint)),
            Call::NotificationBind { sender, receiver, flags, bitmap } => {
                done(self.notification_bind(caller, sender, receiver, flags, bitmap))
            }
            Call::NotificationUnbind { sender, receiver, bitmap } => {
                done(self.notification_unbind(caller, sender, receiver, bitmap))
            }
            Call::NotificationSet { sender, receiver, flags, bitmap } => {
                let set = Set { sender, receiver, flags, bitmap };
                done(self.notification_set(cpu, caller, &set, platform))
            }
            Call::NotificationGet { receiver, vcpu, flags } => {
                self.notification_get(caller, receiver, vcpu, flags)
            }
            Call::NotificationInfoGet { width } => self.notification_info_get(caller, width),
            _ => return None,
        })
    }

    /// Makes the bitmaps of an endpoint of the normal world.
    ///
    /// # Errors
    /// NOT_SUPPORTED to a partition; otherwise as [`Notifications::create`].
    fn bitmap_create(&self, caller: &Caller<'_>, id: EndpointId, vcpu_count: u32) -> Result<(), Status> {
        only_normal_world(caller)?;
        let vcpu_count = usize::try_from(vcpu_count).map_err(|_| Status::InvalidParameters)?;
        self.notifications.lock().create(id, vcpu_count)
    }

    /// Removes the bitmaps of an endpoint of the normal world.
    ///
    /// # Errors
    /// NOT_SUPPORTED to a partition; otherwise as [`Notifications::destroy`].
    fn bitmap_destroy(&self, caller: &Caller<'_>, id: EndpointId) -> Result<(), Status> {
        only_normal_world(caller)?;
        self.notifications.lock().destroy(id)
    }

    /// Lets `sender` signal notifications to `receiver`.
    ///
    /// # Errors
    /// As [`Self::check_binding`]; INVALID_PARAMETERS if there are none in `bitmap`; DENIED if the receiver has no
    /// bitmaps or one of the notifications is bound.
    fn notification_bind(
        &self,
        caller: &Caller<'_>,
        sender: EndpointId,
        receiver: EndpointId,
        flags: u32,
        bitmap: u64,
    ) -> Result<(), Status> {
        self.check_binding(caller, sender, receiver, bitmap)?;
        let per_vcpu = flags & BIND_PER_VCPU != 0;
        let mut notifications = self.notifications.lock();
        notifications.receiver(receiver).ok_or(Status::Denied)?.bind(sender, per_vcpu, bitmap)
    }

    /// Takes notifications of `receiver` from `sender`.
    ///
    /// # Errors
    /// As [`Self::notification_bind`], but DENIED if one of them is not bound to the sender, or is pending.
    fn notification_unbind(
        &self,
        caller: &Caller<'_>,
        sender: EndpointId,
        receiver: EndpointId,
        bitmap: u64,
    ) -> Result<(), Status> {
        self.check_binding(caller, sender, receiver, bitmap)?;
        self.notifications.lock().receiver(receiver).ok_or(Status::Denied)?.unbind(sender, bitmap)
    }

    /// Checks who binds whose notifications to whom.
    ///
    /// # Errors
    /// NOT_SUPPORTED to a partition that receives no notifications; INVALID_PARAMETERS if the receiver is not the
    /// caller or an endpoint that the caller speaks for, if the sender cannot be one, or if there are none in
    /// `bitmap`.
    fn check_binding(
        &self,
        caller: &Caller<'_>,
        sender: EndpointId,
        receiver: EndpointId,
        bitmap: u64,
    ) -> Result<(), Status> {
        let fits = match caller {
            // Notifications between VMs are the hypervisor's own.
            Caller::NormalWorld(_) => !receiver.is_secure() && sender.is_secure(),
            Caller::Partition(partition) => {
                receives(partition)?;
                receiver == partition.id() && sender != receiver
            }
        };
        let exists = !sender.is_secure() || self.partition_by_id(sender).is_some();
        if fits && exists && bitmap != 0 { Ok(()) } else { Err(Status::InvalidParameters) }
    }

    /// Signals notifications, and tells who must know.
    ///
    /// # Errors
    /// INVALID_PARAMETERS if the sender is not the caller or a VM that the caller speaks for, if the receiver
    /// cannot be one, if the flags are not right for the caller or for how the notifications are bound, or if there
    /// are none in the bitmap; DENIED if one of them is not bound to the sender; ABORTED if the receiver has been
    /// stopped.
    fn notification_set(
        &self,
        cpu: &mut Cpu,
        caller: &Caller<'_>,
        set: &Set,
        platform: &impl Platform,
    ) -> Result<(), Status> {
        let delayed = set.flags & DELAY_SCHEDULE_RECEIVER != 0;
        let fits = match caller {
            // It is the normal world's scheduler that would be delayed, and it runs already.
            Caller::NormalWorld(_) => !set.sender.is_secure() && set.receiver.is_secure() && !delayed,
            Caller::Partition(partition) => set.sender == partition.id() && set.receiver != set.sender,
        };
        if !fits || set.bitmap == 0 {
            return Err(Status::InvalidParameters);
        }
        let scope = match (set.flags & SET_PER_VCPU != 0, vcpu_of_set(set.flags)) {
            (true, vcpu) => Scope::Vcpu(usize::from(vcpu)),
            (false, 0) => Scope::Global,
            (false, _) => return Err(Status::InvalidParameters),
        };
        if set.receiver.is_secure() {
            let partition = self.partition_by_id(set.receiver).ok_or(Status::InvalidParameters)?;
            if partition.is_aborted() {
                return Err(Status::Aborted);
            }
        }
        let signalled = self
            .notifications
            .lock()
            .receiver(set.receiver)
            .ok_or(Status::Denied)?
            .set(set.sender, scope, set.bitmap)?;
        self.announce(cpu, set.receiver, scope, signalled, delayed, platform);
        Ok(())
    }

    /// Reads and clears pending notifications.
    ///
    /// # Errors
    /// NOT_SUPPORTED to a partition that receives no notifications; INVALID_PARAMETERS if the receiver is not the
    /// caller or an endpoint that the caller speaks for, if it has no bitmaps or no such execution context, or if
    /// the normal world asks for what its own endpoints signal to each other.
    fn notification_get(
        &self,
        caller: &Caller<'_>,
        receiver: EndpointId,
        vcpu: u16,
        flags: u32,
    ) -> Result<CallRegisters, Status> {
        let fits = match caller {
            Caller::NormalWorld(_) => {
                !receiver.is_secure() && flags & (GET_FROM_VMS | GET_FROM_HYPERVISOR) == 0
            }
            Caller::Partition(partition) => {
                receives(partition)?;
                receiver == partition.id()
            }
        };
        if !fits {
            return Err(Status::InvalidParameters);
        }
        let wanted = Wanted {
            from_partitions: flags & GET_FROM_PARTITIONS != 0,
            from_vms: flags & GET_FROM_VMS != 0,
            from_spm: flags & GET_FROM_SPM != 0,
        };
        let mut notifications = self.notifications.lock();
        let receiver = notifications.receiver(receiver).ok_or(Status::InvalidParameters)?;
        let pending = receiver.get(usize::from(vcpu), wanted)?;
        Ok(answer::success32(pending.encode()))
    }

    /// Lists who has notifications, or interrupts that it is to be scheduled for, that were not reported before.
    ///
    /// # Errors
    /// NOT_SUPPORTED to a partition, NO_DATA if there is nobody.
    fn notification_info_get(&self, caller: &Caller<'_>, width: Width) -> Result<CallRegisters, Status> {
        only_normal_world(caller)?;
        let mut list = self.notifications.lock().report(width);
        if !list.has_more() {
            self.list_interrupted(&mut list);
        }
        if list.is_empty() { Err(Status::NoData) } else { Ok(list.encode().encode()) }
    }

    /// Adds the execution contexts to `list` for whose interrupts the schedule receiver interrupt was raised.
    fn list_interrupted(&self, list: &mut NotificationList) {
        for partition in self.live_partitions() {
            for index in VcpuIndex::all().take(partition.manifest().context_count) {
                let Some(interrupts) = partition.interrupts(index) else { continue };
                let id = VcpuId { partition: partition.index(), index };
                if !interrupts.is_unreported() || !self.is_scheduled_for_interrupts(partition, id) {
                    continue;
                }
                if !list.push(partition.id(), &[index.as_u16()]) {
                    list.set_more();
                    return;
                }
                interrupts.report();
            }
        }
    }

    /// Makes the notification pending that says that there is a message in the RX buffer of `receiver`, and returns
    /// what has to follow; `None` if it receives no notifications. To be called with the lock of its mailbox held.
    pub(crate) fn signal_rx_full(&self, receiver: EndpointId) -> Option<Signalled> {
        Some(self.notifications.lock().receiver(receiver)?.set_from_spm(RX_FULL))
    }

    /// Takes the notification about the message in the RX buffer of `receiver` back, since it has been read or is
    /// gone. To be called with the lock of its mailbox held.
    pub(crate) fn clear_rx_full(&self, receiver: EndpointId) {
        if let Some(receiver) = self.notifications.lock().receiver(receiver) {
            receiver.clear_from_spm(RX_FULL);
        }
    }

    /// Tells whether `receiver` has not yet been told of the message in its RX buffer.
    pub(crate) fn is_rx_full_pending(&self, receiver: EndpointId) -> bool {
        self.notifications.lock().receiver(receiver).is_some_and(|receiver| receiver.has_from_spm(RX_FULL))
    }

    /// Tells who must know of the message that has come into the RX buffer of `receiver`.
    pub(crate) fn announce_message(
        &self,
        cpu: &mut Cpu,
        receiver: EndpointId,
        signalled: Signalled,
        delayed: bool,
        platform: &impl Platform,
    ) {
        self.announce(cpu, receiver, Scope::Global, signalled, delayed, platform);
    }

    /// Lets a partition begin without notifications: none bound, none pending.
    pub(crate) fn reset_notifications(&self, partition: &Partition) {
        if partition.manifest().notification_support {
            // The count was checked when the manifest was.
            let count = partition.manifest().context_count;
            let _ = self.notifications.lock().add_partition(partition.index(), count);
        }
    }

    /// Returns the execution context of partition `receiver` that gets the notification pending interrupt: the one
    /// that is meant, or else, if all are, the one that belongs on this processing element, since what comes next is
    /// likely that the sender, or the scheduler that it interrupts here, gives it the processing element.
    fn interrupted_by(&self, cpu: &Cpu, receiver: EndpointId, scope: Scope) -> Option<VcpuId> {
        let partition = self.partition_by_id(receiver)?;
        match scope {
            Scope::Global => partition.vcpu_on(cpu.index()),
            Scope::Vcpu(index) => {
                Some(VcpuId { partition: partition.index(), index: VcpuIndex::new(index)? })
            }
        }
    }

    /// Interrupts whoever must know that notifications have become pending.
    fn announce(
        &self,
        cpu: &mut Cpu,
        receiver: EndpointId,
        scope: Scope,
        signalled: Signalled,
        delayed: bool,
        platform: &impl Platform,
    ) {
        if signalled.interrupt
            && let Some(target) = self.interrupted_by(cpu, receiver, scope)
        {
            self.pend(cpu, target, NOTIFICATION_PENDING, platform);
        }
        if !signalled.schedule {
            return;
        }
        if delayed {
            cpu.schedule_receiver = true;
        } else {
            platform.raise_donated_sgi(SCHEDULE_RECEIVER_SGI);
        }
    }
}

/// Checks that the normal world calls.
fn only_normal_world(caller: &Caller<'_>) -> Result<(), Status> {
    if caller.is_normal_world() { Ok(()) } else { Err(Status::NotSupported) }
}

/// Checks that a partition has asked to receive notifications.
fn receives(partition: &Partition) -> Result<(), Status> {
    if partition.manifest().notification_support { Ok(()) } else { Err(Status::NotSupported) }
}
