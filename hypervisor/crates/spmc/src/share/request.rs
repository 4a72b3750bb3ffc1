//! What a borrower may ask for: the checks of a retrieve request against what was offered (DEN0140, section 1.11).

use tantalum_ffa::memory::{
    DataAccess, DeviceKind, InstructionAccess, MemoryAttributes, MemoryType, Permissions, Receiver,
    ReceiverFlags, Transaction, TransactionFlags, TransactionKind,
};
use tantalum_ffa::{Status, Version};
use tantalum_stage2::{self as stage2, Access, Attributes, Execute};
use tantalum_types::{AddressSpace, EndpointId};

use super::offer::{permitted, valid};
use super::record::Share;

/// Says how a borrower gets the memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Grant {
    /// The borrower.
    pub endpoint: EndpointId,
    /// How the memory is mapped for it.
    pub mapping: Attributes,
    /// What it is told of that.
    pub receiver: Receiver,
    /// The attributes that it is told.
    pub attributes: MemoryAttributes,
    /// Whether the memory has to be filled with zeros when it gives it back.
    pub zero_afterwards: bool,
}

/// Decides how the borrower for whom `is_own` holds gets the memory of `share`, which lies in `space`.
///
/// # Errors
/// INVALID_PARAMETERS if a field has a value that it may not have in such a request or does not say what the sender
/// said, DENIED if more is asked for than was offered.
pub(super) fn check_request(
    share: &Share,
    space: AddressSpace,
    request: &Transaction,
    version: Version,
    is_own: impl Fn(EndpointId) -> bool,
) -> Result<Grant, Status> {
    let receivers = request.receivers.as_slice();
    let several = share.borrowers.len() > 1;
    let bypass = request.flags.contains(TransactionFlags::BYPASS_MULTI_BORROWER_CHECK);
    check_flags(request.flags)?;
    // Which pages it gets, the sender has said.
    valid(request.composite.is_none())?;
    valid(!bypass || version >= Version::V1_2 && several && receivers.len() == 1)?;
    permitted(!share.owner_gone)?;
    permitted(request.sender == share.sender)?;
    valid(request.tag == share.tag)?;
    valid(request.flags.kind().is_none_or(|kind| kind == share.kind))?;
    valid(bypass || receivers.len() == share.borrowers.len())?;

    let mut own = None;
    for (index, receiver) in receivers.iter().enumerate() {
        let offered = if bypass {
            share.borrowers.iter().find(|borrower| borrower.offer.endpoint == receiver.endpoint)
        } else {
            share.borrowers.get(index).filter(|borrower| borrower.offer.endpoint == receiver.endpoint)
        };
        let offered = offered.ok_or(Status::Denied)?;
        let permissions = check_permissions(share, &offered.offer, receiver, space)?;
        let same = receiver.implementation_defined == offered.offer.implementation_defined;
        valid(same || version < Version::V1_2)?;
        if is_own(receiver.endpoint) {
            valid(receiver.flags.is_empty() && own.is_none())?;
            permitted(offered.retrieved.is_none())?;
            own = Some((offered.offer, permissions));
        } else {
            valid(ReceiverFlags::NON_RETRIEVAL_BORROWER.contains(receiver.flags))?;
        }
    }
    let (offer, permissions) = own.ok_or(Status::InvalidParameters)?;
    let (wants_zeroed, zero_afterwards) = (
        request.flags.contains(TransactionFlags::ZERO_MEMORY),
        request.flags.contains(TransactionFlags::ZERO_AFTER_RELINQUISH),
    );
    if wants_zeroed || zero_afterwards {
        // Who shares memory goes on using it.
        valid(share.kind != TransactionKind::Share)?;
        permitted(permissions.data == DataAccess::ReadWrite)?;
        permitted(!wants_zeroed || share.zeroed)?;
    }
    let memory_type = check_attributes(share, request.attributes)?;
    let access = match permissions.data {
        DataAccess::ReadWrite => Access::ReadWrite,
        DataAccess::ReadOnly | DataAccess::NotSpecified => Access::ReadOnly,
    };
    let execute = match permissions.instruction {
        InstructionAccess::Executable => Execute::Allowed,
        InstructionAccess::NotExecutable | InstructionAccess::NotSpecified => Execute::Never,
    };
    Ok(Grant {
        endpoint: offer.endpoint,
        mapping: Attributes { access, execute, memory: share.owners_mapping.memory },
        receiver: Receiver { permissions, ..offer },
        attributes: MemoryAttributes {
            // Callers of 1.0 take the bit for reserved.
            non_secure: space == AddressSpace::NonSecure && version >= Version::V1_1,
            memory_type,
        },
        zero_afterwards,
    })
}

/// Refuses what is not offered: time slices, a wish for an alignment.
fn check_flags(flags: TransactionFlags) -> Result<(), Status> {
    let refused = TransactionFlags::TIME_SLICE
        .union(TransactionFlags::ALIGNMENT)
        .union(TransactionFlags::ALIGNMENT_VALID);
    valid(!flags.intersects(refused))
}

/// Decides what the borrower `wish` may do, who was offered `offer`.
fn check_permissions(
    share: &Share,
    offer: &Receiver,
    wish: &Receiver,
    space: AddressSpace,
) -> Result<Permissions, Status> {
    let data = match (offer.permissions.data, wish.permissions.data) {
        (DataAccess::ReadOnly, DataAccess::ReadWrite) => return Err(Status::Denied),
        (DataAccess::ReadOnly, _) | (_, DataAccess::ReadOnly) => DataAccess::ReadOnly,
        (DataAccess::NotSpecified | DataAccess::ReadWrite, _) => DataAccess::ReadWrite,
    };
    // Only who has the memory for itself may execute it, and has to say whether it wants to.
    let alone = share.kind != TransactionKind::Share && share.borrowers.len() == 1;
    let instruction = match wish.permissions.instruction {
        wish if (wish == InstructionAccess::NotSpecified) == alone => return Err(Status::InvalidParameters),
        InstructionAccess::NotSpecified | InstructionAccess::NotExecutable => {
            InstructionAccess::NotExecutable
        }
        InstructionAccess::Executable => {
            // What others can write behind a partition's back is never its code.
            let secret = space == AddressSpace::Secure
                && share.owners_mapping.memory == stage2::MemoryType::Normal
                && share.owners_mapping.execute == Execute::Allowed;
            permitted(secret)?;
            InstructionAccess::Executable
        }
    };
    Ok(Permissions { data, instruction })
}

/// Checks the attributes that a borrower states, and returns the type of the memory.
fn check_attributes(share: &Share, stated: MemoryAttributes) -> Result<MemoryType, Status> {
    valid(!stated.non_secure)?;
    let memory_type = match share.owners_mapping.memory {
        stage2::MemoryType::Normal => MemoryType::NORMAL,
        stage2::MemoryType::Device => MemoryType::Device(DeviceKind::NGnRnE),
    };
    permitted(matches!(stated.memory_type, MemoryType::NotSpecified) || stated.memory_type == memory_type)?;
    Ok(memory_type)
}
