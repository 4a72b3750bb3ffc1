//! FFA_MEM_DONATE, FFA_MEM_LEND, FFA_MEM_SHARE, and FFA_MEM_FRAG_TX which goes on with them.

use crate::sync::MutexGuard;
use heapless::Vec;
use tantalum_ffa::memory::{
    Composite, Constituent, Constituents, DataAccess, Handle, Layout, Transaction, TransactionFlags,
    TransactionKind,
};
use tantalum_ffa::{Call, MemoryTransaction, Status, answer};
use tantalum_hal::Platform;
use tantalum_stage2::{Access, Attributes, MemoryType};
use tantalum_types::{CallRegisters, EndpointId, Pa, PageRange};

use super::extent::Extent;
use super::ledger::Ledger;
use super::offer::{permitted, valid};
use super::party::Party;
use super::record::{Borrower, Phase, Share};
use super::{HEAD_SIZE, RANGES_AT_A_TIME};
use crate::common::Caller;
use crate::mailbox::Mailbox;
use crate::spmc::Spmc;

/// Bounds the ranges that are filled with zeros between two looks at the ledger.
const ZEROED_AT_A_TIME: usize = 16;

impl Spmc {
    /// Offers memory to others. If more fragments of the descriptor are to come, asks for the next.
    ///
    /// # Errors
    /// INVALID_PARAMETERS, DENIED: see [`Self::check_offer`]. DENIED if a page is not the caller's to give away or is
    /// part of another transaction or of a buffer; NO_MEMORY if the caller has as many transactions or ranges as
    /// it may have. Nothing has changed then.
    pub(super) fn send(
        &self,
        caller: &Caller<'_>,
        kind: TransactionKind,
        call: &MemoryTransaction,
        platform: &impl Platform,
    ) -> Result<CallRegisters, Status> {
        // Only the TX buffer carries descriptors.
        valid(call.address == 0 && call.page_count == 0)?;
        valid(call.fragment_length <= call.total_length)?;
        let mailbox = caller.endpoint().mailbox.lock();
        let mut head = [0; HEAD_SIZE];
        let length = usize::try_from(call.fragment_length).unwrap_or(usize::MAX).min(HEAD_SIZE);
        let head = head.get_mut(..length).unwrap_or_default();
        mailbox.copy_from_tx(head, platform)?;
        let decoded = Transaction::decode(Layout::of_version(caller.version()), head)?;
        valid(decoded.total_length == call.total_length)?;
        let ranges_at = length.saturating_sub(decoded.constituents.len());
        let ranges_at = u32::try_from(ranges_at).map_err(|_| Status::InvalidParameters)?;
        let offer = decoded.transaction;
        self.check_offer(caller, kind, &offer)?;
        let composite = offer.composite.ok_or(Status::InvalidParameters)?;

        let mut ledger = self.ledger.lock();
        ledger.claims.can_take(caller.party(), composite.range_count)?;
        let share = new_share(caller.party(), kind, call.total_length, &offer, composite);
        let handle = ledger.add(share, platform.now())?;
        let fragment = ranges_at..call.fragment_length;
        let taken = self.take_ranges(&mut ledger, handle, caller, &mailbox, fragment, platform);
        let result = taken.and_then(|()| received(&mut ledger, handle, call.fragment_length));
        self.next_step(ledger, handle, result, platform)
    }

    /// Takes the next fragment of a descriptor.
    ///
    /// # Errors
    /// INVALID_PARAMETERS if there is no such transaction of this sender with fragments to come. Every other error
    /// ends the transaction: INVALID_PARAMETERS if the fragment is not what is left, otherwise as [`Self::send`].
    pub(super) fn send_on(
        &self,
        caller: &Caller<'_>,
        handle: u64,
        length: u32,
        endpoint: EndpointId,
        platform: &impl Platform,
    ) -> Result<CallRegisters, Status> {
        let handle = Handle::new(handle);
        let mailbox = caller.endpoint().mailbox.lock();
        let mut ledger = self.ledger.lock();
        let share = ledger.share(handle).ok_or(Status::InvalidParameters)?;
        let Phase::Arriving { received: before, .. } = share.phase else {
            return Err(Status::InvalidParameters);
        };
        valid(share.owner == caller.party() && endpoint == named_sender(share))?;
        let after = before.saturating_add(length);
        let taken = self.take_ranges(&mut ledger, handle, caller, &mailbox, 0..length, platform);
        let result =
            taken.and_then(|()| valid(length > 0)).and_then(|()| received(&mut ledger, handle, after));
        self.next_step(ledger, handle, result, platform)
    }

    /// Answers a fragment that was taken: asks for the next, or makes the offer. Ends the transaction on an error.
    fn next_step<'a>(
        &'a self,
        mut ledger: MutexGuard<'a, Ledger>,
        handle: Handle,
        result: Result<Option<CallRegisters>, Status>,
        platform: &impl Platform,
    ) -> Result<CallRegisters, Status> {
        match result {
            Ok(Some(next)) => Ok(next),
            Ok(None) => self.complete(ledger, handle, platform),
            Err(status) => {
                ledger.remove(handle);
                Err(status)
            }
        }
    }

    /// Reads the ranges in the bytes `fragment` of the TX buffer, each once, and claims them.
    fn take_ranges(
        &self,
        ledger: &mut Ledger,
        handle: Handle,
        caller: &Caller<'_>,
        mailbox: &Mailbox,
        fragment: core::ops::Range<u32>,
        platform: &impl Platform,
    ) -> Result<(), Status> {
        let mut at = fragment.start;
        while at < fragment.end {
            let mut bytes = [0; RANGES_AT_A_TIME.saturating_mul(Constituent::SIZE)];
            let left = usize::try_from(fragment.end.saturating_sub(at)).unwrap_or(usize::MAX);
            let size = left.min(bytes.len());
            let bytes = bytes.get_mut(..size).unwrap_or_default();
            mailbox.copy_from_tx_at(at, bytes, platform)?;
            for range in Constituents::new(bytes)? {
                self.take_range(ledger, handle, caller, &range?, platform)?;
            }
            at = at.saturating_add(u32::try_from(size).unwrap_or(u32::MAX));
        }
        Ok(())
    }

    /// Claims one range of the caller's for a transaction.
    fn take_range(
        &self,
        ledger: &mut Ledger,
        handle: Handle,
        caller: &Caller<'_>,
        range: &Constituent,
        platform: &impl Platform,
    ) -> Result<(), Status> {
        let (pages, mapping) = self.owned_pages(ledger, caller, range, platform)?;
        let (share, claims) = ledger.share_and_claims(handle).ok_or(Status::Aborted)?;
        let Phase::Arriving { pages: so_far, .. } = &mut share.phase else { return Err(Status::Aborted) };
        if *so_far == 0 {
            share.owners_mapping = mapping;
        }
        let announced =
            so_far.checked_add(range.page_count).filter(|sum| *sum <= share.composite.total_pages);
        *so_far = announced.ok_or(Status::InvalidParameters)?;
        // One transaction is memory of one kind: what is taken from the owner is given back to it in one way.
        permitted(share.owners_mapping == mapping && may_offer(share))?;
        let first = claims.ranges(&share.ranges).next();
        permitted(first.is_none_or(|first| first.start().space() == pages.start().space()))?;
        let extent = Extent::new(&pages).ok_or(Status::Denied)?;
        Ok(claims.claim(share.owner, &mut share.ranges, extent)?)
    }

    /// Returns the physical pages of a range that the caller owns, and how it has them mapped.
    ///
    /// # Errors
    /// INVALID_PARAMETERS if the range cannot be, DENIED if a page is not the caller's.
    fn owned_pages(
        &self,
        ledger: &Ledger,
        caller: &Caller<'_>,
        range: &Constituent,
        platform: &impl Platform,
    ) -> Result<(PageRange<Pa>, Attributes), Status> {
        let count = range.page_count.into();
        let in_space = |start: Pa| PageRange::new(start, count).map_err(|_| Status::InvalidParameters);
        let (pages, mapping) = match caller {
            Caller::NormalWorld(_) => (in_space(Pa::non_secure(range.address))?, Attributes::DATA),
            Caller::Partition(partition) => {
                let secure = in_space(Pa::secure(range.address))?;
                let non_secure = in_space(Pa::non_secure(range.address))?;
                [secure, non_secure]
                    .into_iter()
                    .find_map(|pages| Some((pages, partition.mapping_of(&pages, platform)?)))
                    .ok_or(Status::Denied)?
            }
        };
        permitted(self.is_owned(ledger, caller.party(), &pages))?;
        Ok((pages, mapping))
    }

    /// Tells whether `party` owns all of `pages`.
    pub(crate) fn is_owned(&self, ledger: &Ledger, party: Party, pages: &PageRange<Pa>) -> bool {
        let Some(extent) = Extent::new(pages) else { return false };
        ledger.ownership.owns(party, extent, |range| match party {
            Party::NormalWorld => self.normal_memory.iter().any(|memory| memory.contains_range(range)),
            Party::Partition(index) => {
                self.partition(index).is_some_and(|partition| partition.has_at_first(range))
                    && self.others(index).all(|other| !other.has_part_at_first(range))
            }
        })
    }

    /// Makes the offer, now that all its ranges are claimed: takes the memory from the owner where the transaction
    /// says so, and fills it with zeros where the sender says so.
    fn complete<'a>(
        &'a self,
        mut ledger: MutexGuard<'a, Ledger>,
        handle: Handle,
        platform: &impl Platform,
    ) -> Result<CallRegisters, Status> {
        let Some(share) = ledger.share(handle) else { return Err(Status::Aborted) };
        let zero = share.zeroed;
        if share.is_taken_from_owner()
            && let Party::Partition(owner) = share.owner
            && let Some(owner) = self.partition(owner)
            && let Err(status) = owner.unmap_all(ledger.ranges(share), &self.tables, platform)
        {
            ledger.remove(handle);
            return Err(status);
        }
        if let Some(share) = ledger.share_mut(handle) {
            share.phase = if zero { Phase::AtWork } else { Phase::Offered };
        }
        drop(ledger);
        if zero {
            let done = self.fill_with_zeros(handle, platform);
            let mut ledger = self.ledger.lock();
            if let Err(status) = done {
                if let Some(share) = ledger.share(handle) {
                    self.give_back_to_owner(&ledger, share, platform)?;
                }
                ledger.remove(handle);
                return Err(status);
            }
            if let Some(share) = ledger.share_mut(handle) {
                share.phase = Phase::Offered;
                // The owner may have been stopped by what another of its execution contexts did.
                if share.owner_gone {
                    self.return_to_stopped(&mut ledger, handle, platform);
                }
            }
        }
        let [low, high] = handle.to_words();
        Ok(answer::success32([low, high, 0, 0, 0, 0]))
    }

    /// Maps the memory of a transaction for its owner again, if it was taken from it.
    ///
    /// # Errors
    /// NO_MEMORY if the owner has no translation tables left for it.
    pub(super) fn give_back_to_owner(
        &self,
        ledger: &Ledger,
        share: &Share,
        platform: &impl Platform,
    ) -> Result<(), Status> {
        match share.owner {
            Party::Partition(owner) if share.is_taken_from_owner() => match self.partition(owner) {
                Some(owner) => {
                    owner.map_all(ledger.ranges(share), share.owners_mapping, &self.tables, platform)
                }
                None => Ok(()),
            },
            Party::Partition(_) | Party::NormalWorld => Ok(()),
        }
    }

    /// Fills the memory of a transaction that is marked as being at work on with zeros, without holding the ledger.
    ///
    /// # Errors
    /// ABORTED if part of it cannot be reached.
    pub(super) fn fill_with_zeros(&self, handle: Handle, platform: &impl Platform) -> Result<(), Status> {
        let mut done: usize = 0;
        loop {
            let mut batch: Vec<PageRange<Pa>, ZEROED_AT_A_TIME> = Vec::new();
            {
                let ledger = self.ledger.lock();
                let Some(share) = ledger.share(handle) else { return Ok(()) };
                for range in ledger.ranges(share).skip(done).take(ZEROED_AT_A_TIME) {
                    // There are as many places.
                    let _ = batch.push(range);
                }
            }
            if batch.is_empty() {
                return Ok(());
            }
            for range in &batch {
                platform.zero(range).map_err(|_| Status::Aborted)?;
            }
            done = done.saturating_add(batch.len());
        }
    }
}

/// Returns the endpoint that FFA_MEM_FRAG_TX and FFA_MEM_FRAG_RX name between sender and SPMC: only a hypervisor
/// speaks for others.
pub(super) fn named_sender(share: &Share) -> EndpointId {
    match share.owner {
        Party::NormalWorld => share.sender,
        Party::Partition(_) => EndpointId::HYPERVISOR,
    }
}

/// Begins a transaction whose ranges are still to come.
fn new_share(
    owner: Party,
    kind: TransactionKind,
    total_length: u32,
    offer: &Transaction,
    composite: Composite,
) -> Share {
    Share {
        handle: Handle::NONE,
        kind,
        owner,
        sender: offer.sender,
        tag: offer.tag,
        zeroed: offer.flags.contains(TransactionFlags::ZERO_MEMORY),
        attributes: offer.attributes,
        owners_mapping: Attributes::DATA,
        borrowers: offer.receivers.iter().map(|offer| Borrower { offer: *offer, retrieved: None }).collect(),
        composite,
        ranges: super::claims::List::EMPTY,
        phase: Phase::Arriving { received: 0, total_length, pages: 0 },
        zero_when_free: false,
        owner_gone: false,
        told_hypervisor: None,
    }
}

/// Tells whether memory that is mapped for its owner as it is may be offered as it is.
fn may_offer(share: &Share) -> bool {
    let reads_only = |borrower: &Borrower| borrower.offer.permissions.data == DataAccess::ReadOnly;
    let access = match share.owners_mapping.access {
        Access::ReadWrite => true,
        Access::ReadOnly => !share.zeroed && share.borrowers.iter().all(reads_only),
    };
    let memory = match share.owners_mapping.memory {
        MemoryType::Normal => true,
        // Two users of one device would be in each other's way, and it cannot be filled with anything.
        MemoryType::Device => {
            share.kind == TransactionKind::Lend && share.borrowers.len() == 1 && !share.zeroed
        }
    };
    access && memory
}

/// Notes that the first `received` bytes of a descriptor are there. Returns the request for the next fragment, or
/// `None` if there is none.
///
/// # Errors
/// INVALID_PARAMETERS if these are more bytes than were announced, or another number of pages.
fn received(ledger: &mut Ledger, handle: Handle, received: u32) -> Result<Option<CallRegisters>, Status> {
    let share = ledger.share_mut(handle).ok_or(Status::Aborted)?;
    let Phase::Arriving { received: so_far, total_length, pages } = &mut share.phase else {
        return Err(Status::Aborted);
    };
    valid(received <= *total_length)?;
    *so_far = received;
    if received == *total_length {
        valid(*pages == share.composite.total_pages)?;
        return Ok(None);
    }
    let (handle, endpoint) = (handle.raw(), named_sender(share));
    Ok(Some(Call::MemFragRx { handle, offset: received, endpoint }.encode()))
}
