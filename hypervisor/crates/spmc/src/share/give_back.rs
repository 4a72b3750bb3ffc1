//! FFA_MEM_RELINQUISH and FFA_MEM_RECLAIM.

use crate::sync::MutexGuard;
use tantalum_ffa::memory::{Handle, ReclaimFlags, Relinquish, RelinquishFlags, TransactionKind};
use tantalum_ffa::{Status, answer};
use tantalum_hal::Platform;
use tantalum_types::{CallRegisters, EndpointId};

use super::ledger::Ledger;
use super::offer::{permitted, valid};
use super::party::Party;
use super::record::{Phase, Retrieved};
use crate::common::Caller;
use crate::spmc::Spmc;

/// Counts the bytes of the descriptor with one endpoint, the only number there can be.
const RELINQUISH_SIZE: usize = 18;

impl Spmc {
    /// Takes memory from a borrower that gives it back.
    ///
    /// With several borrowers, the memory is filled with zeros only once none of them has it any more.
    ///
    /// # Errors
    /// INVALID_PARAMETERS if the descriptor is wrong or the caller does not have the memory, or asks for zeros in
    /// memory that its owner goes on using; DENIED if it does so and may not write; BUSY while somebody else is at
    /// work on the memory. Nothing has changed then.
    pub(super) fn relinquish(
        &self,
        caller: &Caller<'_>,
        platform: &impl Platform,
    ) -> Result<CallRegisters, Status> {
        let mut bytes = [0; RELINQUISH_SIZE];
        caller.endpoint().mailbox.lock().copy_from_tx(&mut bytes, platform)?;
        // More than one endpoint ends beyond these bytes.
        let request = Relinquish::decode(&bytes)?;
        let &[endpoint] = request.endpoints.as_slice() else { return Err(Status::InvalidParameters) };
        valid(match caller {
            Caller::NormalWorld(_) => !endpoint.is_secure(),
            Caller::Partition(partition) => endpoint == partition.id(),
        })?;
        valid(!request.flags.contains(RelinquishFlags::TIME_SLICE))?;
        let zero = request.flags.contains(RelinquishFlags::ZERO_MEMORY);

        let ledger = self.ledger.lock();
        let share = ledger.share(request.handle).ok_or(Status::InvalidParameters)?;
        match share.phase {
            Phase::Offered => {}
            Phase::Arriving { .. } => return Err(Status::InvalidParameters),
            Phase::AtWork => return Err(Status::Busy),
        }
        // What was donated belongs to the caller.
        valid(share.kind != TransactionKind::Donate)?;
        let borrower = share.borrowers.iter().find(|borrower| borrower.offer.endpoint == endpoint);
        let retrieved = borrower.and_then(|borrower| borrower.retrieved).ok_or(Status::InvalidParameters)?;
        if zero {
            valid(share.kind != TransactionKind::Share)?;
            permitted(retrieved.writable)?;
        }
        self.take_back(ledger, request.handle, endpoint, retrieved, zero, platform)?;
        Ok(answer::success())
    }

    /// Takes memory from the borrower `endpoint`, which has it, and does what is due when nobody has it any more.
    ///
    /// # Errors
    /// ABORTED if the memory cannot be unmapped, which does not happen, or not be filled with zeros.
    pub(super) fn take_back<'a>(
        &'a self,
        mut ledger: MutexGuard<'a, Ledger>,
        handle: Handle,
        endpoint: EndpointId,
        retrieved: Retrieved,
        zero: bool,
        platform: &impl Platform,
    ) -> Result<(), Status> {
        let share = ledger.share(handle).ok_or(Status::InvalidParameters)?;
        if let Some(partition) = self.partition_by_id(endpoint) {
            let unmapped = partition.unmap_all(ledger.ranges(share), &self.tables, platform);
            unmapped.map_err(|_| Status::Aborted)?;
        }
        let Some(share) = ledger.share_mut(handle) else { return Ok(()) };
        share.zero_when_free |= zero || retrieved.zero_afterwards;
        if let Some(borrower) = share.borrower_mut(endpoint) {
            borrower.retrieved = None;
        }
        if share.is_retrieved() {
            return Ok(());
        }
        let (zero, ends) = (share.zero_when_free || share.owner_gone, share.owner_gone);
        if zero {
            share.phase = Phase::AtWork;
            drop(ledger);
            let filled = self.fill_with_zeros(handle, platform);
            ledger = self.ledger.lock();
            filled?;
            if let Some(share) = ledger.share_mut(handle) {
                share.zero_when_free = false;
                share.phase = Phase::Offered;
            }
        }
        // The owner may have been stopped while the memory was filled.
        if ends || ledger.share(handle).is_some_and(|share| share.owner_gone) {
            self.return_to_stopped(&mut ledger, handle, platform);
        }
        Ok(())
    }

    /// Gives memory back to its owner and ends the transaction, also one of which fragments are still to come.
    ///
    /// # Errors
    /// INVALID_PARAMETERS if there is no such transaction of the caller's, or the time-slice flag is set; DENIED while
    /// a borrower has the memory; BUSY while somebody else is at work on it; NO_MEMORY if the owner has no
    /// translation tables left for it, when nobody has it but it may have been filled with zeros already.
    pub(super) fn reclaim(
        &self,
        caller: &Caller<'_>,
        handle: u64,
        flags: u32,
        platform: &impl Platform,
    ) -> Result<CallRegisters, Status> {
        let flags = ReclaimFlags::from_bits(flags).ok_or(Status::InvalidParameters)?;
        valid(!flags.contains(ReclaimFlags::TIME_SLICE))?;
        let handle = Handle::new(handle);
        let mut ledger = self.ledger.lock();
        let share = ledger.share_mut(handle).ok_or(Status::InvalidParameters)?;
        valid(share.owner == caller.party() && !share.owner_gone)?;
        match share.phase {
            Phase::Offered => {}
            // It was not taken from its owner, nor offered to anybody yet: the sender gives up on the fragments to come.
            // pKVM does so when it finds that the host may not give away a page in one of them, and stops
            // the machine if it cannot.
            Phase::Arriving { .. } => {
                ledger.remove(handle);
                return Ok(answer::success());
            }
            Phase::AtWork => return Err(Status::Busy),
        }
        permitted(!share.is_retrieved())?;
        if flags.contains(ReclaimFlags::ZERO_MEMORY) {
            permitted(share.owners_mapping.access == tantalum_stage2::Access::ReadWrite)?;
            permitted(share.owners_mapping.memory == tantalum_stage2::MemoryType::Normal)?;
            share.phase = Phase::AtWork;
            drop(ledger);
            let filled = self.fill_with_zeros(handle, platform);
            ledger = self.ledger.lock();
            if let Some(share) = ledger.share_mut(handle) {
                share.phase = Phase::Offered;
            }
            filled?;
        }
        let share = ledger.share(handle).ok_or(Status::Aborted)?;
        self.give_back_to_owner(&ledger, share, platform)?;
        ledger.remove(handle);
        Ok(answer::success())
    }

    /// Gives memory that nobody has back to its owner, which was stopped, and ends the transaction.
    pub(super) fn return_to_stopped(&self, ledger: &mut Ledger, handle: Handle, platform: &impl Platform) {
        let Some(share) = ledger.share(handle) else { return };
        if let Err(status) = self.give_back_to_owner(ledger, share, platform)
            && let Party::Partition(owner) = share.owner
        {
            // It is the owner's and nobody else's, but cannot be reached until the owner is built again.
            log::error!("partition {}: memory is not mapped again: {status}", owner.endpoint_id());
        }
        ledger.remove(handle);
    }
}
