//! Virtual machines of the normal world, for which their hypervisor speaks: their RX/TX buffers, and which of them
//! partitions know (FF-A 1.2, section 18.3).

use heapless::Vec;
use tantalum_ffa::{Call, DirectMessage, FrameworkMessage, Status};
use tantalum_hal::Platform;
use tantalum_types::{EndpointId, Pa, PageRange};

use crate::mailbox::Mailbox;
use crate::partition::Running;
use crate::run_model::Cycle;
use crate::spmc::{Cpu, Spmc, Step};
use crate::vcpu::{Origin, RunModel};

/// Bounds the VMs that have buffers at a time.
pub(crate) const MAX_VMS: usize = 16;

/// Holds the buffers of every VM that has some.
#[derive(Debug)]
pub(crate) struct VmMailboxes {
    mailboxes: Vec<(EndpointId, Mailbox), MAX_VMS>,
}

impl VmMailboxes {
    /// Builds the state in which no VM has buffers.
    pub(crate) const fn new() -> Self {
        Self { mailboxes: Vec::new() }
    }

    /// Returns the buffers of the VM `id`, if it has some.
    pub(crate) fn get(&mut self, id: EndpointId) -> Option<&mut Mailbox> {
        self.mailboxes.iter_mut().find(|(known, _)| *known == id).map(|(_, mailbox)| mailbox)
    }

    /// Takes the buffers of the VM `id`, which are memory of the normal world.
    ///
    /// # Errors
    /// DENIED if it has some, or another VM has a page of these; INVALID_PARAMETERS if the two overlap; NO_MEMORY
    /// if [`MAX_VMS`] others have some.
    pub(crate) fn map(&mut self, id: EndpointId, tx: PageRange<Pa>, rx: PageRange<Pa>) -> Result<(), Status> {
        if self.get(id).is_some() || self.overlaps(&tx, &rx) {
            return Err(Status::Denied);
        }
        let mut mailbox = Mailbox::new();
        mailbox.map(tx, rx)?;
        self.mailboxes.push((id, mailbox)).map_err(|_| Status::NoMemory)
    }

    /// Gives the VM `id` its buffers back and returns them.
    ///
    /// # Errors
    /// INVALID_PARAMETERS if it has none.
    pub(crate) fn unmap(&mut self, id: EndpointId) -> Result<[PageRange<Pa>; 2], Status> {
        let at =
            self.mailboxes.iter().position(|(known, _)| *known == id).ok_or(Status::InvalidParameters)?;
        let (_, mut mailbox) = self.mailboxes.swap_remove(at);
        mailbox.unmap()
    }

    /// Tells whether a VM has a page of `tx` or `rx` as its buffer.
    pub(crate) fn overlaps(&self, tx: &PageRange<Pa>, rx: &PageRange<Pa>) -> bool {
        self.mailboxes.iter().any(|(_, mailbox)| mailbox.overlaps(tx) || mailbox.overlaps(rx))
    }
}

/// Says what has become of a virtual machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum VmEvent {
    /// It was created.
    Created,
    /// It was destroyed.
    Destroyed,
}

impl VmEvent {
    /// Returns the message that answers the one about it.
    const fn response(self) -> FrameworkMessage {
        match self {
            Self::Created => FrameworkMessage::VmCreatedResponse,
            Self::Destroyed => FrameworkMessage::VmDestroyedResponse,
        }
    }
}

/// Says what a partition knows of a virtual machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    /// It is being told that it was created.
    Creating,
    /// It has taken note that it was created.
    Available,
    /// It is being told that it was destroyed.
    Destroying,
}

/// Holds which virtual machines one partition knows, if it wants to hear of their creation and their destruction.
///
/// One that wants to hear of only one of the two could not be followed: it is told, and nothing is kept.
#[derive(Debug)]
pub(crate) struct KnownVms {
    vms: [Option<(EndpointId, Known)>; MAX_VMS],
}

impl KnownVms {
    /// Builds the state in which a partition knows of none.
    pub(crate) const fn new() -> Self {
        Self { vms: [None; MAX_VMS] }
    }

    /// Notes that the partition is being told what has become of the VM `id`.
    ///
    /// # Errors
    /// INVALID_PARAMETERS if that cannot have become of it after what the partition was told before, BUSY if it is
    /// being told of it already, NO_MEMORY if it knows of [`MAX_VMS`] others.
    fn begin(&mut self, id: EndpointId, event: VmEvent) -> Result<(), Status> {
        let known = self.vms.iter_mut().flatten().find(|(known, _)| *known == id);
        match (known, event) {
            (Some((_, Known::Creating | Known::Destroying)), _) => Err(Status::Busy),
            (Some((_, known)), VmEvent::Destroyed) => {
                *known = Known::Destroying;
                Ok(())
            }
            (Some(_), VmEvent::Created) | (None, VmEvent::Destroyed) => Err(Status::InvalidParameters),
            (None, VmEvent::Created) => {
                let slot = self.vms.iter_mut().find(|slot| slot.is_none()).ok_or(Status::NoMemory)?;
                *slot = Some((id, Known::Creating));
                Ok(())
            }
        }
    }

    /// Notes what the partition has answered, if it is being told of the VM `id`: whether it has taken note.
    fn end(&mut self, id: EndpointId, noted: bool) {
        for slot in &mut self.vms {
            *slot = match *slot {
                Some((known, state)) if known == id => match (state, noted) {
                    (Known::Creating, true) | (Known::Destroying, false) => Some((id, Known::Available)),
                    (Known::Creating, false) | (Known::Destroying, true) => None,
                    (Known::Available, _) => Some((id, state)),
                },
                other => other,
            };
        }
    }
}

impl Spmc {
    /// Carries a message of the hypervisor about a virtual machine to a partition.
    ///
    /// # Errors
    /// INVALID_PARAMETERS if it is no such message, not the hypervisor's, about no VM, to nobody, or to a partition
    /// that does not want to hear of it, or if that cannot have become of the VM; BUSY if the partition is at work or
    /// being told of this VM already; NO_MEMORY if it knows of too many; ABORTED if it has been stopped.
    pub(crate) fn vm_message(&self, cpu: &mut Cpu, message: &DirectMessage) -> Result<Step, Status> {
        let event = match message.framework {
            Some(FrameworkMessage::VmCreated) => VmEvent::Created,
            Some(FrameworkMessage::VmDestroyed) => VmEvent::Destroyed,
            _ => return Err(Status::InvalidParameters),
        };
        // w3 and w4 are a handle of memory that describes the VM, which is for the partition to look at.
        let [_, _, id, ..] = message.payload;
        let vm = EndpointId::new(u16::try_from(id).map_err(|_| Status::InvalidParameters)?);
        if message.sender != EndpointId::HYPERVISOR || vm == EndpointId::HYPERVISOR || vm.is_secure() {
            return Err(Status::InvalidParameters);
        }
        let partition = self.partition_by_id(message.receiver).ok_or(Status::InvalidParameters)?;
        if partition.is_aborted() {
            return Err(Status::Aborted);
        }
        let wanted = partition.manifest().vm_availability;
        let wants = match event {
            VmEvent::Created => wanted.created,
            VmEvent::Destroyed => wanted.destroyed,
        };
        let callee = partition.vcpu_on(cpu.index()).filter(|_| wants).ok_or(Status::InvalidParameters)?;
        let follows = wanted.created && wanted.destroyed;
        if follows {
            partition.known_vms.lock().begin(vm, event)?;
        }
        self.enter(cpu, callee, RunModel::VmMessage { event, vm }, message).inspect_err(|_| {
            if follows {
                partition.known_vms.lock().end(vm, false);
            }
        })
    }

    /// Carries the answer of the execution context that runs to a message about a virtual machine.
    ///
    /// # Errors
    /// DENIED if there was no such message; INVALID_PARAMETERS if it is not the answer to that, or not to the
    /// hypervisor.
    pub(crate) fn vm_response(
        &self,
        cpu: &mut Cpu,
        caller: &Running<'_>,
        message: &DirectMessage,
        platform: &impl Platform,
    ) -> Result<Step, Status> {
        if message.receiver != EndpointId::HYPERVISOR {
            return Err(Status::InvalidParameters);
        }
        let (event, vm) = caller.vcpu()?.vm_message()?;
        if message.framework != Some(event.response()) {
            return Err(Status::InvalidParameters);
        }
        self.prepare_to_wait(cpu, caller, platform, |vcpu| vcpu.may(Cycle::VmResponse))?;
        caller.vcpu()?.respond_to_vm()?;
        let [status, ..] = message.payload;
        caller.partition.known_vms.lock().end(vm, status & 0xffff_ffff == 0);
        let origin = Origin::NormalWorld(EndpointId::HYPERVISOR);
        Ok(self.answer_origin(cpu, origin, caller.id, Call::DirectResponse(*message).encode()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(number: u64) -> PageRange<Pa> {
        PageRange::new(Pa::non_secure(number << 12), 1).unwrap()
    }

    fn vm(id: u16) -> EndpointId {
        EndpointId::new(id)
    }

    #[test]
    fn buffers_are_the_vms_alone() {
        let mut vms = VmMailboxes::new();
        assert_eq!(vms.unmap(vm(1)), Err(Status::InvalidParameters));
        assert_eq!(vms.map(vm(1), page(2), page(2)), Err(Status::InvalidParameters));
        assert_eq!(vms.map(vm(1), page(2), page(3)), Ok(()));
        assert_eq!(vms.map(vm(1), page(4), page(5)), Err(Status::Denied));
        for (tx, rx) in [(2, 6), (6, 2), (3, 6), (6, 3)] {
            assert_eq!(vms.map(vm(2), page(tx), page(rx)), Err(Status::Denied), "{tx} {rx}");
        }
        assert_eq!(vms.map(vm(2), page(6), page(7)), Ok(()));
        assert_eq!(vms.unmap(vm(1)), Ok([page(2), page(3)]));
        assert!(vms.get(vm(1)).is_none());
        assert_eq!(vms.map(vm(3), page(3), page(2)), Ok(()));
    }

    #[test]
    fn there_are_few() {
        let mut vms = VmMailboxes::new();
        for id in 1..=16 {
            assert_eq!(vms.map(vm(id), page(u64::from(id) * 2), page(u64::from(id) * 2 + 1)), Ok(()));
        }
        assert_eq!(vms.map(vm(17), page(100), page(101)), Err(Status::NoMemory));
        vms.unmap(vm(5)).unwrap();
        assert_eq!(vms.map(vm(17), page(100), page(101)), Ok(()));
    }

    #[test]
    fn a_vm_is_known_between_its_creation_and_its_destruction() {
        use VmEvent::{Created, Destroyed};
        let mut known = KnownVms::new();
        assert_eq!(known.begin(vm(1), Destroyed), Err(Status::InvalidParameters));
        // A partition that does not take note has not been told.
        for noted in [false, true] {
            assert_eq!(known.begin(vm(1), Created), Ok(()));
            assert_eq!(known.begin(vm(1), Created), Err(Status::Busy));
            assert_eq!(known.begin(vm(1), Destroyed), Err(Status::Busy));
            known.end(vm(1), noted);
        }
        assert_eq!(known.begin(vm(1), Created), Err(Status::InvalidParameters));
        known.end(vm(1), false);
        for noted in [false, true] {
            assert_eq!(known.begin(vm(1), Destroyed), Ok(()));
            assert_eq!(known.begin(vm(1), Destroyed), Err(Status::Busy));
            known.end(vm(1), noted);
        }
        assert_eq!(known.begin(vm(1), Destroyed), Err(Status::InvalidParameters));
    }

    #[test]
    fn few_vms_are_known() {
        let mut known = KnownVms::new();
        for id in 1..=16 {
            assert_eq!(known.begin(vm(id), VmEvent::Created), Ok(()));
            known.end(vm(id), true);
        }
        assert_eq!(known.begin(vm(17), VmEvent::Created), Err(Status::NoMemory));
        assert_eq!(known.begin(vm(4), VmEvent::Destroyed), Ok(()));
        known.end(vm(4), true);
        assert_eq!(known.begin(vm(17), VmEvent::Created), Ok(()));
    }
}
