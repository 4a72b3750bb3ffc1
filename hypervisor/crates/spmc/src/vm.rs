//! Virtual machines of the normal world, for which their hypervisor speaks: their RX/TX buffers.

use tantalum_ffa::Status;
use tantalum_types::{EndpointId, Pa, PageRange};

use crate::mailbox::Mailbox;

/// Bounds the VMs that have buffers at a time.
pub(crate) const MAX_VMS: usize = 16;

/// Holds the buffers of every VM that has some.
#[derive(Debug)]
pub(crate) struct VmMailboxes {
    mailboxes: [Option<(EndpointId, Mailbox)>; MAX_VMS],
}

impl VmMailboxes {
    /// Builds the state in which no VM has buffers.
    pub(crate) const fn new() -> Self {
        Self { mailboxes: [const { None }; MAX_VMS] }
    }

    /// Returns the buffers of the VM `id`, if it has some.
    pub(crate) fn get(&mut self, id: EndpointId) -> Option<&mut Mailbox> {
        self.mailboxes.iter_mut().flatten().find(|(known, _)| *known == id).map(|(_, mailbox)| mailbox)
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
        let slot = self.mailboxes.iter_mut().find(|slot| slot.is_none()).ok_or(Status::NoMemory)?;
        *slot = Some((id, mailbox));
        Ok(())
    }

    /// Gives the VM `id` its buffers back and returns them.
    ///
    /// # Errors
    /// INVALID_PARAMETERS if it has none.
    pub(crate) fn unmap(&mut self, id: EndpointId) -> Result<[PageRange<Pa>; 2], Status> {
        let mine =
            |slot: &&mut Option<(EndpointId, Mailbox)>| slot.as_ref().is_some_and(|(known, _)| *known == id);
        let slot = self.mailboxes.iter_mut().find(mine).ok_or(Status::InvalidParameters)?;
        let (_, mut mailbox) = slot.take().ok_or(Status::InvalidParameters)?;
        mailbox.unmap()
    }

    /// Tells whether a VM has a page of `tx` or `rx` as its buffer.
    pub(crate) fn overlaps(&self, tx: &PageRange<Pa>, rx: &PageRange<Pa>) -> bool {
        self.mailboxes.iter().flatten().any(|(_, mailbox)| mailbox.overlaps(tx) || mailbox.overlaps(rx))
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
}
