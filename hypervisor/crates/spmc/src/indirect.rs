//! Indirect messages, and the RX/TX buffers that carry them (FF-A 1.2, section 7.3, chapter 13 and section 15.4).
//!
//! The hypervisor of the normal world speaks for its VMs: it names the VM whose buffers are mapped, released or
//! sent from. Buffers belong to one endpoint alone.
//!
//! Whoever takes the locks of two mailboxes takes that of the endpoint with the lower id first; those of all VMs are
//! one lock.

use tantalum_ffa::notification::DELAY_SCHEDULE_RECEIVER;
use tantalum_ffa::{BufferDescription, Call, EndpointBuffers, MessageHeader, Status, Version, answer};
use tantalum_hal::{PhysicalMemory, Platform};
use tantalum_types::{CallRegisters, EndpointId, Pa, PageRange};

use crate::common::Caller;
use crate::mailbox::{MAX_BUFFER_PAGES, Mailbox};
use crate::partition::Partition;
use crate::share::Party;
use crate::spmc::{Cpu, Spmc};

impl Spmc {
    /// Answers a call about notifications or indirect messages, or returns `None` if `call` is not one.
    pub(crate) fn message_call<P: Platform>(
        &self,
        cpu: &mut Cpu,
        caller: &Caller<'_>,
        call: &Call,
        platform: &P,
    ) -> Option<Result<CallRegisters, Status>> {
        match *call {
            Call::MsgSend2 { sender, flags } => {
                Some(self.msg_send2(cpu, caller, sender, flags, platform).map(|()| answer::success()))
            }
            _ => self.notification_call(cpu, caller, call, platform),
        }
    }

    /// Carries the message in the TX buffer of the caller, or of the VM `vm` that the caller speaks for, into the
    /// RX buffer of its receiver.
    ///
    /// # Errors
    /// NOT_SUPPORTED before FF-A 1.1; INVALID_PARAMETERS if the message is not as it should be, not from its
    /// sender, or to nobody; DENIED if one side does not use indirect messages or has no buffers; BUSY if the
    /// receiver has not released its RX buffer; NO_MEMORY if that is too small; ABORTED if the receiver has been
    /// stopped.
    pub(crate) fn msg_send2(
        &self,
        cpu: &mut Cpu,
        caller: &Caller<'_>,
        vm: EndpointId,
        flags: u32,
        platform: &impl Platform,
    ) -> Result<(), Status> {
        let version = caller.version();
        if version < Version::V1_1 {
            return Err(Status::NotSupported);
        }
        let sender = match caller {
            Caller::NormalWorld(_) => {
                if vm.is_secure() || flags != 0 {
                    return Err(Status::InvalidParameters);
                }
                vm
            }
            Caller::Partition(partition) => {
                if vm != EndpointId::HYPERVISOR {
                    return Err(Status::InvalidParameters);
                }
                uses_indirect(partition)?;
                partition.id()
            }
        };
        let mut bytes = [0; MessageHeader::SIZE];
        self.with_mailbox(sender, |mailbox| mailbox.copy_from_tx(&mut bytes, platform))?;
        let header = MessageHeader::decode(version, &bytes)?;
        if header.sender != sender || header.receiver == sender {
            return Err(Status::InvalidParameters);
        }
        let version = self.version_of_receiver(caller, &header)?;
        let offset = MessageHeader::usual_offset(version);
        let new_header = MessageHeader { offset, ..header }.encode(version);
        let length = usize::try_from(offset).map_err(|_| Status::InvalidParameters)?;
        let new_header = new_header.get(..length).ok_or(Status::InvalidParameters)?;

        let signalled = self.with_two_mailboxes(sender, header.receiver, |from, to| {
            from.send(header.offset, header.size, new_header, to, platform)?;
            Ok(self.signal_rx_full(header.receiver))
        })?;
        if let Some(signalled) = signalled {
            let delayed = flags & DELAY_SCHEDULE_RECEIVER != 0;
            self.announce_message(cpu, header.receiver, signalled, delayed, platform);
        }
        Ok(())
    }

    /// Checks the receiver of a message and returns the version that it speaks.
    fn version_of_receiver(&self, caller: &Caller<'_>, header: &MessageHeader) -> Result<Version, Status> {
        let version = if header.receiver.is_secure() {
            let partition = self.partition_by_id(header.receiver).ok_or(Status::InvalidParameters)?;
            if partition.is_aborted() {
                return Err(Status::Aborted);
            }
            uses_indirect(partition)?;
            if !partition.offers(&header.uuid) {
                return Err(Status::InvalidParameters);
            }
            partition.endpoint.negotiation.version()
        } else {
            if caller.is_normal_world() {
                // Messages between VMs are the hypervisor's own.
                return Err(Status::InvalidParameters);
            }
            self.normal_world.negotiation.version()
        };
        if version < Version::V1_1 { Err(Status::Denied) } else { Ok(version) }
    }

    /// Takes the buffers of the caller, or of a VM that it speaks for.
    ///
    /// # Errors
    /// INVALID_PARAMETERS if they are not whole pages of the endpoint's own memory, too large, or overlap; DENIED if
    /// the endpoint has buffers, or a page of these is another's, or part of a transaction; NO_MEMORY if too many VMs have
    /// some, or their owner has too many ranges.
    pub(crate) fn rxtx_map(
        &self,
        caller: &Caller<'_>,
        tx: u64,
        rx: u64,
        page_count: u32,
        memory: &impl PhysicalMemory,
    ) -> Result<(), Status> {
        match caller {
            Caller::NormalWorld(endpoint) if (tx, rx, page_count) == (0, 0, 0) => {
                self.forwarded_map(&mut endpoint.mailbox.lock(), memory)
            }
            Caller::NormalWorld(endpoint) => {
                let [tx, rx] = self.normal_buffers([(tx, page_count), (rx, page_count)])?;
                let mut mailbox = endpoint.mailbox.lock();
                if self.vms.lock().overlaps(&tx, &rx) {
                    return Err(Status::Denied);
                }
                self.map_claimed(&mut mailbox, Party::NormalWorld, tx, rx)
            }
            Caller::Partition(partition) => {
                let pages = checked_page_count(page_count)?;
                let (tx, rx) = (partition.own_pages(tx, pages)?, partition.own_pages(rx, pages)?);
                self.map_claimed(&mut partition.endpoint.mailbox.lock(), caller.party(), tx, rx)
            }
        }
    }

    /// Takes the buffers of a VM, which the hypervisor describes in its own TX buffer.
    fn forwarded_map(&self, hypervisor: &mut Mailbox, memory: &impl PhysicalMemory) -> Result<(), Status> {
        let mut bytes = [0; EndpointBuffers::SIZE];
        hypervisor.copy_from_tx(&mut bytes, memory)?;
        let endpoint = EndpointBuffers::decode(&bytes)?;
        if endpoint.endpoint.is_secure() || endpoint.endpoint == EndpointId::HYPERVISOR {
            return Err(Status::InvalidParameters);
        }
        let describe = |offset| -> Result<(u64, u32), Status> {
            let mut bytes = [0; BufferDescription::SIZE];
            hypervisor.copy_from_tx_at(offset, &mut bytes, memory)?;
            let buffer = BufferDescription::decode(&bytes)?;
            Ok((buffer.address, buffer.page_count))
        };
        let (tx, rx) = (describe(endpoint.tx_offset)?, describe(endpoint.rx_offset)?);
        if tx.1 != rx.1 {
            return Err(Status::InvalidParameters);
        }
        let [tx, rx] = self.normal_buffers([tx, rx])?;
        if hypervisor.overlaps(&tx) || hypervisor.overlaps(&rx) {
            return Err(Status::Denied);
        }
        let mut vms = self.vms.lock();
        vms.map(endpoint.endpoint, tx, rx)?;
        self.claim_buffers(Party::NormalWorld, &[tx, rx]).inspect_err(|_| {
            let _ = vms.unmap(endpoint.endpoint);
        })
    }

    /// Takes the buffers of an endpoint, which `party` owns: memory in a transaction is no buffer, nor may it become
    /// part of one while it is.
    fn map_claimed(
        &self,
        mailbox: &mut Mailbox,
        party: Party,
        tx: PageRange<Pa>,
        rx: PageRange<Pa>,
    ) -> Result<(), Status> {
        mailbox.map(tx, rx)?;
        self.claim_buffers(party, &[tx, rx]).inspect_err(|_| {
            let _ = mailbox.unmap();
        })
    }

    /// Gives the caller, or a VM that it speaks for, its buffers back.
    ///
    /// # Errors
    /// INVALID_PARAMETERS if there are none, or the caller does not speak for `endpoint`.
    pub(crate) fn rxtx_unmap(&self, caller: &Caller<'_>, endpoint: EndpointId) -> Result<(), Status> {
        let id = spoken_for(caller, endpoint)?;
        if id.is_secure() || id == EndpointId::HYPERVISOR {
            let mut mailbox = caller.endpoint().mailbox.lock();
            let buffers = mailbox.unmap()?;
            self.clear_rx_full(id);
            let mut ledger = self.ledger.lock();
            ledger.release_buffers(caller.party(), &buffers);
            // What was being sent by them has no end.
            ledger.remove_unfinished(caller.party());
        } else {
            let mut vms = self.vms.lock();
            let buffers = vms.unmap(id)?;
            self.clear_rx_full(id);
            self.ledger.lock().release_buffers(Party::NormalWorld, &buffers);
        }
        Ok(())
    }

    /// Takes the RX buffer back from the caller, or from a VM that it speaks for.
    ///
    /// Who receives notifications owns a message once it has read the one that tells of it (FF-A 1.1, section
    /// 7.2.2): what it does not know of it cannot release.
    ///
    /// # Errors
    /// INVALID_PARAMETERS if the caller does not speak for `endpoint`, DENIED if the endpoint does not own the
    /// buffer, has not been told yet that there is a message in it, or has none.
    pub(crate) fn rx_release(&self, caller: &Caller<'_>, endpoint: EndpointId) -> Result<(), Status> {
        let id = spoken_for(caller, endpoint)?;
        self.with_mailbox(id, |mailbox| {
            if self.is_rx_full_pending(id) {
                return Err(Status::Denied);
            }
            mailbox.release()
        })
    }

    /// Takes the RX buffer back from a partition that waits for its next message, unless it has not been told yet
    /// that there is one in the buffer.
    pub(crate) fn release_read_rx(&self, partition: &Partition) {
        let mut mailbox = partition.endpoint.mailbox.lock();
        if !self.is_rx_full_pending(partition.id()) {
            // Most have nothing to release.
            let _ = mailbox.release();
        }
    }

    /// Makes a VM the owner of its RX buffer, so that its hypervisor can fill it.
    ///
    /// # Errors
    /// NOT_SUPPORTED to a partition and before FF-A 1.1; INVALID_PARAMETERS if the VM has no buffers; DENIED if it
    /// owns its RX buffer already.
    pub(crate) fn rx_acquire(&self, caller: &Caller<'_>, vm: EndpointId) -> Result<(), Status> {
        if !caller.is_normal_world() || caller.version() < Version::V1_1 {
            return Err(Status::NotSupported);
        }
        self.vms.lock().get(vm).ok_or(Status::InvalidParameters)?.acquire()
    }

    /// Returns buffers that are RAM of the normal world, from their addresses and sizes in pages.
    fn normal_buffers(&self, buffers: [(u64, u32); 2]) -> Result<[PageRange<Pa>; 2], Status> {
        let [first, second] =
            buffers.map(|(address, page_count)| self.normal_pages(address, checked_page_count(page_count)?));
        Ok([first?, second?])
    }

    /// Applies `change` to the buffers of endpoint `id`.
    ///
    /// # Errors
    /// INVALID_PARAMETERS if there is no such partition, or no such VM with buffers; otherwise as `change`.
    fn with_mailbox<T>(
        &self,
        id: EndpointId,
        change: impl FnOnce(&mut Mailbox) -> Result<T, Status>,
    ) -> Result<T, Status> {
        if id.is_secure() {
            let partition = self.partition_by_id(id).ok_or(Status::InvalidParameters)?;
            change(&mut partition.endpoint.mailbox.lock())
        } else if id == EndpointId::HYPERVISOR {
            change(&mut self.normal_world.mailbox.lock())
        } else {
            change(self.vms.lock().get(id).ok_or(Status::InvalidParameters)?)
        }
    }

    /// Applies `change` to the buffers of two endpoints that are not both VMs.
    ///
    /// # Errors
    /// As [`Self::with_mailbox`].
    fn with_two_mailboxes<T>(
        &self,
        from: EndpointId,
        to: EndpointId,
        change: impl FnOnce(&mut Mailbox, &mut Mailbox) -> Result<T, Status>,
    ) -> Result<T, Status> {
        if from < to {
            self.with_mailbox(from, |from| self.with_mailbox(to, |to| change(from, to)))
        } else {
            self.with_mailbox(to, |to| self.with_mailbox(from, |from| change(from, to)))
        }
    }
}

/// Returns the endpoint that a call is for: the caller, unless it names a VM and is the hypervisor.
///
/// # Errors
/// INVALID_PARAMETERS if the caller does not speak for `endpoint`.
fn spoken_for(caller: &Caller<'_>, endpoint: EndpointId) -> Result<EndpointId, Status> {
    match caller {
        Caller::NormalWorld(_) if !endpoint.is_secure() => Ok(endpoint),
        Caller::Partition(partition) if endpoint == EndpointId::HYPERVISOR => Ok(partition.id()),
        Caller::NormalWorld(_) | Caller::Partition(_) => Err(Status::InvalidParameters),
    }
}

/// Checks that a partition's manifest lets it send and receive indirect messages.
fn uses_indirect(partition: &Partition) -> Result<(), Status> {
    if partition.manifest().messaging.indirect { Ok(()) } else { Err(Status::Denied) }
}

/// Returns the size of a buffer in pages if it is one that a buffer may have.
fn checked_page_count(page_count: u32) -> Result<u64, Status> {
    if page_count == 0 || page_count > u32::from(MAX_BUFFER_PAGES) {
        return Err(Status::InvalidParameters);
    }
    Ok(page_count.into())
}
