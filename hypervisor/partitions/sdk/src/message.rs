//! Notifications and indirect messages, as a partition sends and receives them.

use core::sync::atomic::{AtomicU32, Ordering};

use tantalum_ffa::notification::{
    BIND_PER_VCPU, GET_FROM_HYPERVISOR, GET_FROM_PARTITIONS, GET_FROM_SPM, GET_FROM_VMS, PendingNotifications,
};
use tantalum_ffa::{Call, MessageHeader, Status, Version, feature};
use tantalum_types::EndpointId;

use crate::buffers::BUFFER_SIZE;
use crate::interrupt::Line;
use crate::memory::MemoryError;
use crate::spmc::{CallError, Spmc};

/// Asks for notifications from everybody.
pub const FROM_ALL: u32 = GET_FROM_PARTITIONS | GET_FROM_VMS | GET_FROM_SPM | GET_FROM_HYPERVISOR;

/// The number of the notification pending interrupt, or [`NO_INTERRUPT`].
static PENDING_INTERRUPT: AtomicU32 = AtomicU32::new(NO_INTERRUPT);

/// Is the number of no interrupt.
const NO_INTERRUPT: u32 = u32::MAX;

/// Tells whether `intid` is the notification pending interrupt, and the partition wants to know.
pub(crate) fn is_notification(intid: u32) -> bool {
    intid != NO_INTERRUPT && intid == PENDING_INTERRUPT.load(Ordering::Acquire)
}

impl Spmc<'_> {
    /// Lets [`Partition::notified`](crate::Partition::notified) be called when notifications are pending.
    ///
    /// # Errors
    /// Passes on what the SPMC says.
    pub fn enable_notifications(&self) -> Result<(), CallError> {
        let [intid, _] = self.features(feature::NOTIFICATION_PENDING_INTERRUPT, 0)?;
        // It may be on already, as the manifest says.
        let _ = self.enable_interrupt(intid, Some(Line::Irq));
        PENDING_INTERRUPT.store(intid, Ordering::Release);
        Ok(())
    }

    /// Lets `sender` signal the notifications of `bitmap` to `receiver`, which is this partition.
    ///
    /// # Errors
    /// Passes on what the SPMC says.
    pub fn bind_notifications(
        &self,
        sender: EndpointId,
        receiver: EndpointId,
        per_vcpu: bool,
        bitmap: u64,
    ) -> Result<(), CallError> {
        let flags = if per_vcpu { BIND_PER_VCPU } else { 0 };
        self.simple(&Call::NotificationBind { sender, receiver, flags, bitmap }).map(|_| ())
    }

    /// Takes the notifications of `bitmap` from `sender`.
    ///
    /// # Errors
    /// Passes on what the SPMC says.
    pub fn unbind_notifications(
        &self,
        sender: EndpointId,
        receiver: EndpointId,
        bitmap: u64,
    ) -> Result<(), CallError> {
        self.simple(&Call::NotificationUnbind { sender, receiver, bitmap }).map(|_| ())
    }

    /// Signals the notifications of `bitmap` from `sender`, which is this partition. `flags` are those of
    /// [`tantalum_ffa::notification`].
    ///
    /// # Errors
    /// Passes on what the SPMC says.
    pub fn set_notifications(
        &self,
        sender: EndpointId,
        receiver: EndpointId,
        flags: u32,
        bitmap: u64,
    ) -> Result<(), CallError> {
        self.simple(&Call::NotificationSet { sender, receiver, flags, bitmap }).map(|_| ())
    }

    /// Reads and clears the notifications that are pending for `receiver`, which is this partition, and for its
    /// execution context `vcpu`. `flags` say whose; [`FROM_ALL`] stands for everybody.
    ///
    /// # Errors
    /// Passes on what the SPMC says.
    pub fn get_notifications(
        &self,
        receiver: EndpointId,
        vcpu: u16,
        flags: u32,
    ) -> Result<PendingNotifications, CallError> {
        self.simple(&Call::NotificationGet { receiver, vcpu, flags }).map(PendingNotifications::decode)
    }

    /// Sends `size` bytes as an indirect message; `fill` writes them. The header says from whom to whom, and where
    /// in the buffer the message is to be.
    ///
    /// # Errors
    /// Passes on what the SPMC says.
    pub fn send_message(
        &self,
        header: &MessageHeader,
        flags: u32,
        fill: &mut dyn FnMut(&mut [u8]),
    ) -> Result<(), MemoryError> {
        let buffers = self.memory().ok_or(MemoryError::NoAccess)?.buffers().take(self)?;
        let mut bytes = [0; BUFFER_SIZE];
        let message = bytes.get_mut(place_of(header)).unwrap_or_default();
        fill(message);
        // Before FF-A 1.2, what stands behind the first words is the message's.
        let length = if self.spoken() < Version::V1_2 { 20 } else { MessageHeader::SIZE };
        for (to, from) in bytes.iter_mut().zip(header.encode(self.spoken())).take(length) {
            *to = from;
        }
        buffers.tx().write(&bytes);
        self.simple(&Call::MsgSend2 { sender: EndpointId::new(0), flags })?;
        Ok(())
    }

    /// Reads the indirect message in the RX buffer: returns its header, and passes its bytes to `read`. The buffer
    /// stays as it is until [`Self::release_rx`].
    ///
    /// # Errors
    /// Passes on what the SPMC says; INVALID_PARAMETERS if what is in the buffer is no message.
    pub fn receive_message(&self, read: &mut dyn FnMut(&[u8])) -> Result<MessageHeader, MemoryError> {
        let buffers = self.memory().ok_or(MemoryError::NoAccess)?.buffers().take(self)?;
        let mut bytes = [0; BUFFER_SIZE];
        buffers.rx().read(&mut bytes);
        let refused = MemoryError::Call(CallError::Refused(Status::InvalidParameters));
        let front = bytes.first_chunk().ok_or(refused)?;
        let header = MessageHeader::decode(self.spoken(), front).map_err(|_| refused)?;
        read(bytes.get(place_of(&header)).ok_or(refused)?);
        Ok(header)
    }
}

/// Returns the bytes of the buffer that the message is to be in, or is.
fn place_of(header: &MessageHeader) -> core::ops::Range<usize> {
    let start = usize::try_from(header.offset).unwrap_or(usize::MAX);
    start..start.saturating_add(usize::try_from(header.size).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::Fake;
    use tantalum_ffa::answer;

    const OWN: EndpointId = EndpointId::new(0x8001);
    const HOST: EndpointId = EndpointId::new(0);

    #[test]
    fn notifications_are_bound_signalled_and_read() {
        let pending =
            PendingNotifications { from_partitions: 1, from_vms: 2 << 40, from_spm: 1, from_hypervisor: 0 };
        let fake = Fake::new([
            answer::success(),
            answer::success(),
            answer::success32(pending.encode()),
            answer::error(Status::Denied),
        ]);
        let spmc = Spmc::new(&fake);
        assert_eq!(spmc.bind_notifications(HOST, OWN, true, 6), Ok(()));
        assert_eq!(spmc.set_notifications(OWN, HOST, 2, 1 << 63), Ok(()));
        assert_eq!(spmc.get_notifications(OWN, 3, FROM_ALL), Ok(pending));
        assert_eq!(spmc.unbind_notifications(HOST, OWN, 6), Err(CallError::Refused(Status::Denied)));
        assert_eq!(
            fake.made(),
            [
                Call::NotificationBind { sender: HOST, receiver: OWN, flags: 1, bitmap: 6 },
                Call::NotificationSet { sender: OWN, receiver: HOST, flags: 2, bitmap: 1 << 63 },
                Call::NotificationGet { receiver: OWN, vcpu: 3, flags: 0xf },
                Call::NotificationUnbind { sender: HOST, receiver: OWN, bitmap: 6 },
            ]
        );
    }

    #[test]
    fn without_buffers_there_are_no_messages() {
        let fake = Fake::new([]);
        let spmc = Spmc::new(&fake);
        let header = MessageHeader {
            sender: OWN,
            receiver: HOST,
            offset: 24,
            size: 4,
            uuid: tantalum_ffa::Uuid::nil(),
        };
        assert_eq!(spmc.send_message(&header, 0, &mut |_| {}), Err(MemoryError::NoAccess));
        assert_eq!(spmc.receive_message(&mut |_| {}), Err(MemoryError::NoAccess));
    }

    #[test]
    fn a_message_is_where_its_header_says() {
        let header = MessageHeader {
            sender: OWN,
            receiver: HOST,
            offset: 24,
            size: 4,
            uuid: tantalum_ffa::Uuid::nil(),
        };
        assert_eq!(place_of(&header), 24..28);
        let huge = MessageHeader { offset: u32::MAX, size: u32::MAX, ..header };
        assert!([0_u8; BUFFER_SIZE].get(place_of(&huge)).is_none());
    }
}
