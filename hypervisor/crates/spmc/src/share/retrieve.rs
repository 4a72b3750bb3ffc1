//! FFA_MEM_RETRIEVE_REQ, and FFA_MEM_FRAG_RX which goes on with it.

use tantalum_ffa::memory::{
    Composite, Handle, Layout, List, MAX_RECEIVERS, Receiver, Transaction, TransactionFlags, TransactionKind,
};
use tantalum_ffa::{Call, MemoryTransaction, Status, Version};
use tantalum_hal::Platform;
use tantalum_types::{AddressSpace, CallRegisters, EndpointId};

use super::HEAD_SIZE;
use super::ledger::Ledger;
use super::offer::{permitted, valid};
use super::party::Party;
use super::record::{Phase, Retrieved, Share};
use super::request::{Grant, check_request};
use super::response::{Fragment, offset_of, retrieve_response, write_first, write_next};
use super::send::named_sender;
use crate::common::Caller;
use crate::mailbox::Mailbox;
use crate::spmc::Spmc;

impl Spmc {
    /// Gives memory that was offered to the caller, and describes it in its RX buffer.
    ///
    /// A hypervisor that names no receiver is told about memory of its own world, which it does not get.
    ///
    /// # Errors
    /// NO_MEMORY if the caller has no RX buffer, BUSY while it owns it; INVALID_PARAMETERS if there is no such offer;
    /// INVALID_PARAMETERS, DENIED: see [`check_request`]. DENIED if the caller has the memory already; NO_MEMORY if
    /// the caller has too few translation tables, or too many ranges were donated to it. Nothing has changed then.
    pub(super) fn retrieve(
        &self,
        caller: &Caller<'_>,
        call: &MemoryTransaction,
        platform: &impl Platform,
    ) -> Result<CallRegisters, Status> {
        valid(call.address == 0 && call.page_count == 0)?;
        // A request names a few endpoints: it is never in fragments.
        valid(call.fragment_length == call.total_length)?;
        let mut mailbox = caller.endpoint().mailbox.lock();
        mailbox.check_rx_free()?;
        let mut bytes = [0; HEAD_SIZE];
        let length = usize::try_from(call.total_length).map_err(|_| Status::InvalidParameters)?;
        let bytes = bytes.get_mut(..length).ok_or(Status::InvalidParameters)?;
        mailbox.copy_from_tx(bytes, platform)?;
        let layout = Layout::of_version(caller.version());
        let decoded = Transaction::decode(layout, bytes)?;
        valid(decoded.total_length == call.total_length)?;
        let request = decoded.transaction;

        let mut ledger = self.ledger.lock();
        let share = ledger.share(request.handle).ok_or(Status::InvalidParameters)?;
        match share.phase {
            Phase::Offered => {}
            Phase::Arriving { .. } => return Err(Status::InvalidParameters),
            Phase::AtWork => return Err(Status::Busy),
        }
        if request.receivers.is_empty() {
            return tell_hypervisor(&mut ledger, caller, &request, layout, &mut mailbox, platform);
        }
        let space = space_of(&ledger, share);
        let grant = check_request(share, space, &request, caller.version(), |endpoint| match caller {
            Caller::NormalWorld(_) => !endpoint.is_secure(),
            Caller::Partition(partition) => endpoint == partition.id(),
        })?;
        if share.kind == TransactionKind::Donate {
            ledger.ownership.can_move(share.owner, caller.party(), share.ranges.len().into())?;
        }
        let answer = answer_to(share, &grant, caller.version());
        let total_length = answer.total_length(layout)?;
        let fragment = write_first(&ledger, share, &answer, layout, &mailbox, platform)?;
        if let Caller::Partition(partition) = caller {
            partition.map_all(ledger.ranges(share), grant.mapping, &self.tables, platform)?;
        }
        commit(&mut ledger, request.handle, caller.party(), &grant, fragment);
        mailbox.hand_over(fragment.length.into(), platform);
        Ok(retrieve_response(total_length, fragment))
    }

    /// Describes more of the memory that the caller has retrieved.
    ///
    /// # Errors
    /// INVALID_PARAMETERS unless the caller has begun to retrieve the memory, `offset` is where the next fragment
    /// begins, and `endpoint` is the sender where a hypervisor asks and zero otherwise; as [`Self::retrieve`] for the
    /// RX buffer.
    pub(super) fn retrieve_on(
        &self,
        caller: &Caller<'_>,
        handle: u64,
        offset: u32,
        endpoint: EndpointId,
        platform: &impl Platform,
    ) -> Result<CallRegisters, Status> {
        let handle = Handle::new(handle);
        let mut mailbox = caller.endpoint().mailbox.lock();
        mailbox.check_rx_free()?;
        let mut ledger = self.ledger.lock();
        let share = ledger.share(handle).ok_or(Status::InvalidParameters)?;
        let layout = Layout::of_version(caller.version());
        let (told, records) = progress(share, caller).ok_or(Status::InvalidParameters)?;
        let named = if caller.is_normal_world() { named_sender(share) } else { EndpointId::HYPERVISOR };
        valid(endpoint == named)?;
        let total_length = total_length(share, records, layout)?;
        valid(offset == offset_of(share, told, total_length) && offset < total_length)?;
        let fragment = write_next(&ledger, share, told, &mailbox, platform)?;
        let donated = share.kind == TransactionKind::Donate;
        if let Some(share) = ledger.share_mut(handle) {
            note_progress(share, caller, fragment.told);
        }
        if donated && is_told(&ledger, handle) {
            ledger.remove(handle);
        }
        mailbox.hand_over(fragment.length.into(), platform);
        Ok(Call::MemFragTx { handle: handle.raw(), length: fragment.length, endpoint }.encode())
    }
}

/// Tells a hypervisor about memory that its world has sent, all of it and to whom (DEN0140, section 2.4.5).
///
/// # Errors
/// INVALID_PARAMETERS if the caller is no hypervisor or the memory is not of its world; as
/// [`Spmc::retrieve`] for the RX buffer.
fn tell_hypervisor(
    ledger: &mut Ledger,
    caller: &Caller<'_>,
    request: &Transaction,
    layout: Layout,
    mailbox: &mut Mailbox,
    platform: &impl Platform,
) -> Result<CallRegisters, Status> {
    let share = ledger.share(request.handle).ok_or(Status::InvalidParameters)?;
    valid(caller.is_normal_world() && share.owner == Party::NormalWorld)?;
    permitted(request.sender == share.sender)?;
    let mut receivers = List::EMPTY;
    for borrower in &share.borrowers {
        receivers.push(for_version(borrower.offer, caller.version())).ok_or(Status::NoMemory)?;
    }
    let answer = Transaction {
        sender: share.sender,
        attributes: share.attributes,
        flags: flags_of(share),
        handle: share.handle,
        tag: share.tag,
        receivers,
        composite: Some(share.composite),
    };
    let total_length = answer.total_length(layout)?;
    let fragment = write_first(ledger, share, &answer, layout, mailbox, platform)?;
    if let Some(share) = ledger.share_mut(request.handle) {
        share.told_hypervisor = still_to_tell(share, fragment.told);
    }
    mailbox.hand_over(fragment.length.into(), platform);
    Ok(retrieve_response(total_length, fragment))
}

/// Builds the answer to a borrower.
fn answer_to(share: &Share, grant: &Grant, version: Version) -> Transaction {
    Transaction {
        sender: share.sender,
        attributes: grant.attributes,
        flags: flags_of(share),
        handle: share.handle,
        tag: share.tag,
        receivers: List::of_one(for_version(grant.receiver, version)),
        composite: Some(share.composite),
    }
}

/// Returns the flags of an answer.
fn flags_of(share: &Share) -> TransactionFlags {
    let zeroed = if share.zeroed { TransactionFlags::ZERO_MEMORY } else { TransactionFlags::empty() };
    zeroed.with_kind(share.kind)
}

/// Returns what a caller of `version` can be told of a receiver.
fn for_version(receiver: Receiver, version: Version) -> Receiver {
    if version >= Version::V1_2 { receiver } else { Receiver { implementation_defined: [0; 2], ..receiver } }
}

/// Notes that the borrower has the memory; what was donated is its own from then on.
fn commit(ledger: &mut Ledger, handle: Handle, borrower: Party, grant: &Grant, fragment: Fragment) {
    let Some(share) = ledger.share_mut(handle) else { return };
    let donated = share.kind == TransactionKind::Donate;
    if let Some(entry) = share.borrower_mut(grant.endpoint) {
        entry.retrieved = Some(Retrieved {
            writable: grant.mapping.access == tantalum_stage2::Access::ReadWrite,
            zero_afterwards: grant.zero_afterwards,
            told: fragment.told,
        });
    }
    if donated {
        ledger.donate(handle, borrower);
        if is_told(ledger, handle) {
            ledger.remove(handle);
        }
    }
}

/// Tells whether every borrower has the memory and knows all its ranges.
fn is_told(ledger: &Ledger, handle: Handle) -> bool {
    ledger.share(handle).is_none_or(|share| {
        let all = share.ranges.len();
        share
            .borrowers
            .iter()
            .all(|borrower| borrower.retrieved.is_some_and(|retrieved| retrieved.told >= all))
    })
}

/// Returns how many ranges the caller has been told of, and how many receivers it was told of.
fn progress(share: &Share, caller: &Caller<'_>) -> Option<(u16, usize)> {
    if let (Caller::NormalWorld(_), Some(told)) = (caller, share.told_hypervisor) {
        return Some((told, share.borrowers.len()));
    }
    let borrower = share.borrowers.iter().find(|borrower| is_callers(caller, borrower.offer.endpoint))?;
    Some((borrower.retrieved?.told, 1))
}

/// Notes how many ranges the caller has been told of.
fn note_progress(share: &mut Share, caller: &Caller<'_>, told: u16) {
    if caller.is_normal_world() && share.told_hypervisor.is_some() {
        share.told_hypervisor = still_to_tell(share, told);
        return;
    }
    let own = share.borrowers.iter_mut().find(|borrower| is_callers(caller, borrower.offer.endpoint));
    if let Some(retrieved) = own.and_then(|borrower| borrower.retrieved.as_mut()) {
        retrieved.told = told;
    }
}

/// Returns `told` unless these are all ranges.
fn still_to_tell(share: &Share, told: u16) -> Option<u16> {
    (told < share.ranges.len()).then_some(told)
}

/// Tells whether `endpoint` is the caller, or one for which it speaks.
fn is_callers(caller: &Caller<'_>, endpoint: EndpointId) -> bool {
    match caller {
        Caller::NormalWorld(_) => !endpoint.is_secure(),
        Caller::Partition(partition) => endpoint == partition.id(),
    }
}

/// Returns the size of the answer that describes `records` receivers.
fn total_length(share: &Share, records: usize, layout: Layout) -> Result<u32, Status> {
    let mut receivers = List::EMPTY;
    for borrower in share.borrowers.iter().take(records.min(MAX_RECEIVERS)) {
        receivers.push(borrower.offer).ok_or(Status::NoMemory)?;
    }
    let shape = Transaction {
        sender: share.sender,
        attributes: share.attributes,
        flags: TransactionFlags::empty(),
        handle: share.handle,
        tag: share.tag,
        receivers,
        composite: Some(Composite { ..share.composite }),
    };
    Ok(shape.total_length(layout)?)
}

/// Returns the address space in which the memory lies.
fn space_of(ledger: &Ledger, share: &Share) -> AddressSpace {
    // A transaction has at least one range, and all in one space.
    ledger.ranges(share).next().map_or(AddressSpace::NonSecure, |range| range.start().space())
}
