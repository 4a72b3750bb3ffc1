//! What a sender may offer: the checks of a descriptor that need no page to be looked at (DEN0140, section 1.10).

use tantalum_ffa::Status;
use tantalum_ffa::memory::{
    DataAccess, Handle, InstructionAccess, MemoryType, Receiver, Transaction, TransactionFlags,
    TransactionKind,
};
use tantalum_types::EndpointId;

use crate::common::Caller;
use crate::partition::Partition;
use crate::spmc::Spmc;

impl Spmc {
    /// Checks a descriptor that the caller sends to donate, lend or share memory, but for its ranges.
    ///
    /// # Errors
    /// INVALID_PARAMETERS if a field has a value that it may not have in such a descriptor, DENIED if the caller may
    /// not send for that endpoint, to that receiver, or with those attributes.
    pub(super) fn check_offer(
        &self,
        caller: &Caller<'_>,
        kind: TransactionKind,
        offer: &Transaction,
    ) -> Result<(), Status> {
        let receivers = offer.receivers.as_slice();
        let alone = receivers.len() == 1;
        let zero = offer.flags.contains(TransactionFlags::ZERO_MEMORY);
        valid(offer.handle == Handle::NONE)?;
        valid(offer.composite.is_some() && !receivers.is_empty())?;
        valid(TransactionFlags::ZERO_MEMORY.contains(offer.flags))?;
        // Who shares memory goes on using it.
        valid(!(zero && kind == TransactionKind::Share))?;
        valid(!offer.attributes.non_secure)?;
        valid(alone || kind != TransactionKind::Donate)?;
        permitted(match caller {
            Caller::NormalWorld(_) => !offer.sender.is_secure(),
            Caller::Partition(partition) => offer.sender == partition.id(),
        })?;
        match offer.attributes.memory_type {
            // The only receiver says how it wants to have the memory.
            memory_type if alone && kind != TransactionKind::Share => {
                valid(memory_type == MemoryType::NotSpecified)?;
            }
            memory_type => permitted(memory_type == MemoryType::NORMAL)?,
        }
        for (index, receiver) in receivers.iter().enumerate() {
            valid(receiver.endpoint != offer.sender)?;
            let earlier = receivers.iter().take(index);
            valid(earlier.map(|other| other.endpoint).all(|other| other != receiver.endpoint))?;
            check_permissions(kind, receiver)?;
            self.check_receiver(caller, receiver.endpoint, receivers)?;
        }
        Ok(())
    }

    /// Checks that memory can be sent to `receiver`, one of `receivers`.
    fn check_receiver(
        &self,
        caller: &Caller<'_>,
        receiver: EndpointId,
        receivers: &[Receiver],
    ) -> Result<(), Status> {
        if receiver.is_secure() {
            let partition = self.partition_by_id(receiver).ok_or(Status::InvalidParameters)?;
            return permitted(!Partition::is_aborted(partition));
        }
        // Among endpoints of the normal world its hypervisor sees to everything; here such a receiver only has a
        // place beside partitions, and what belongs to a partition never goes to the normal world.
        let others = receivers.iter().filter(|other| !other.endpoint.is_secure()).count();
        permitted(caller.is_normal_world() && others == 1 && receivers.len() > 1)
    }
}

/// Checks what a sender says of the permissions of `receiver`.
fn check_permissions(kind: TransactionKind, receiver: &Receiver) -> Result<(), Status> {
    valid(receiver.flags.is_empty())?;
    valid(receiver.permissions.instruction == InstructionAccess::NotSpecified)?;
    // The new owner has all access.
    let open = receiver.permissions.data == DataAccess::NotSpecified;
    valid(open == (kind == TransactionKind::Donate))
}

/// Refuses a parameter unless `holds`.
pub(super) fn valid(holds: bool) -> Result<(), Status> {
    if holds { Ok(()) } else { Err(Status::InvalidParameters) }
}

/// Refuses a caller unless `holds`.
pub(super) fn permitted(holds: bool) -> Result<(), Status> {
    if holds { Ok(()) } else { Err(Status::Denied) }
}
