//! What FFA_FEATURES answers: exactly the calls that this SPMC serves, to those it serves them.

use tantalum_ffa::feature::{
    BufferGranularity, MANAGED_EXIT_INTERRUPT, NOTIFICATION_PENDING_INTERRUPT, Query,
    SCHEDULE_RECEIVER_INTERRUPT, rxtx_map_properties,
};
use tantalum_ffa::{Status, Version, function as f};

use crate::common::Caller;
use crate::mailbox::MAX_BUFFER_PAGES;
use crate::notify::SCHEDULE_RECEIVER_SGI;
use crate::virtual_interrupts::{MANAGED_EXIT, NOTIFICATION_PENDING};

/// Says who can make a call.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Offered {
    /// Every endpoint.
    All,
    /// The normal world only.
    NormalWorld,
    /// Partitions only.
    Partitions,
    /// Partitions with more than one execution context only.
    MultiProcessor,
    /// The normal world, and partitions that receive notifications.
    Receivers,
    /// The normal world, and partitions that use indirect messages.
    Indirect,
}

/// Lists every call that is served.
const CALLS: &[(u32, Offered)] = &[
    (f::ERROR, Offered::All),
    (f::SUCCESS_32, Offered::All),
    (f::SUCCESS_64, Offered::All),
    (f::INTERRUPT, Offered::All),
    (f::VERSION, Offered::All),
    (f::FEATURES, Offered::All),
    (f::RX_RELEASE, Offered::All),
    (f::RXTX_MAP_32, Offered::All),
    (f::RXTX_MAP_64, Offered::All),
    (f::RXTX_UNMAP, Offered::All),
    (f::PARTITION_INFO_GET, Offered::All),
    (f::ID_GET, Offered::All),
    (f::SPM_ID_GET, Offered::All),
    (f::MSG_WAIT, Offered::Partitions),
    (f::YIELD, Offered::Partitions),
    (f::RUN, Offered::All),
    (f::DIRECT_REQ_32, Offered::All),
    (f::DIRECT_REQ_64, Offered::All),
    (f::DIRECT_RESP_32, Offered::All),
    (f::DIRECT_RESP_64, Offered::All),
    (f::NOTIFICATION_BITMAP_CREATE, Offered::NormalWorld),
    (f::NOTIFICATION_BITMAP_DESTROY, Offered::NormalWorld),
    (f::NOTIFICATION_BIND, Offered::Receivers),
    (f::NOTIFICATION_UNBIND, Offered::Receivers),
    (f::NOTIFICATION_SET, Offered::All),
    (f::NOTIFICATION_GET, Offered::Receivers),
    (f::NOTIFICATION_INFO_GET_32, Offered::NormalWorld),
    (f::NOTIFICATION_INFO_GET_64, Offered::NormalWorld),
    (f::RX_ACQUIRE, Offered::NormalWorld),
    (f::MSG_SEND2, Offered::Indirect),
    (f::SECONDARY_EP_REGISTER_32, Offered::MultiProcessor),
    (f::SECONDARY_EP_REGISTER_64, Offered::MultiProcessor),
    (f::MEM_DONATE_32, Offered::All),
    (f::MEM_DONATE_64, Offered::All),
    (f::MEM_LEND_32, Offered::All),
    (f::MEM_LEND_64, Offered::All),
    (f::MEM_SHARE_32, Offered::All),
    (f::MEM_SHARE_64, Offered::All),
    (f::MEM_RETRIEVE_REQ_32, Offered::All),
    (f::MEM_RETRIEVE_REQ_64, Offered::All),
    (f::MEM_RETRIEVE_RESP, Offered::All),
    (f::MEM_RELINQUISH, Offered::All),
    (f::MEM_RECLAIM, Offered::All),
    (f::MEM_FRAG_RX, Offered::All),
    (f::MEM_FRAG_TX, Offered::All),
    (f::CONSOLE_LOG_32, Offered::Partitions),
    (f::CONSOLE_LOG_64, Offered::Partitions),
    (f::PARTITION_INFO_GET_REGS, Offered::All),
    (f::DIRECT_REQ2, Offered::All),
    (f::DIRECT_RESP2, Offered::All),
];

/// Says for FFA_MEM_RETRIEVE_REQ that the NS bit tells in which address space memory lies: the caller, which since 1.1
/// must, that it knows the bit; the SPMC that it sets it.
const RETRIEVE_NS_BIT: u32 = 1 << 1;

/// Says for FFA_MEM_RETRIEVE_REQ that a hypervisor may ask about memory that its world has sent.
const RETRIEVE_BY_HYPERVISOR: u32 = 1 << 2;

/// Answers FFA_FEATURES of `caller` for the function or feature `id`: w2 and w3 of the answer.
///
/// # Errors
/// NOT_SUPPORTED if it is not there for this caller, INVALID_PARAMETERS if there are input properties, which
/// no served call but FFA_MEM_RETRIEVE_REQ has, or there is not the one that it must have.
pub(crate) fn features(caller: &Caller<'_>, id: u32, input: u32) -> Result<[u32; 2], Status> {
    let function = match Query::new(id) {
        Query::Function(function) => function,
        Query::Feature(feature) => return interrupt_of(caller, feature, input).map(|intid| [intid, 0]),
        Query::Malformed => return Err(Status::NotSupported),
    };
    let (_, offered) = CALLS.iter().find(|(call, _)| *call == function).ok_or(Status::NotSupported)?;
    let reaches = match (offered, caller) {
        (Offered::All, _)
        | (Offered::NormalWorld, Caller::NormalWorld(_))
        | (Offered::Partitions, Caller::Partition(_)) => true,
        (Offered::MultiProcessor, Caller::Partition(partition)) => partition.is_multi_processor(),
        (Offered::Receivers | Offered::Indirect, Caller::NormalWorld(_)) => true,
        (Offered::Receivers, Caller::Partition(partition)) => partition.manifest().notification_support,
        (Offered::Indirect, Caller::Partition(partition)) => partition.manifest().messaging.indirect,
        (Offered::NormalWorld, Caller::Partition(_))
        | (Offered::Partitions | Offered::MultiProcessor, Caller::NormalWorld(_)) => false,
    };
    if !reaches || caller.version() < since(function) {
        return Err(Status::NotSupported);
    }
    let retrieves = matches!(function, f::MEM_RETRIEVE_REQ_32 | f::MEM_RETRIEVE_REQ_64);
    let expected = if retrieves && caller.version() >= Version::V1_1 {
        RETRIEVE_NS_BIT
    } else if retrieves {
        input & RETRIEVE_NS_BIT
    } else {
        0
    };
    if input != expected {
        return Err(Status::InvalidParameters);
    }
    Ok(match function {
        f::RXTX_MAP_32 | f::RXTX_MAP_64 => {
            // Older callers take the high half for reserved.
            let maximum = if caller.version() >= Version::V1_2 { MAX_BUFFER_PAGES } else { 0 };
            [rxtx_map_properties(BufferGranularity::Size4K, maximum), 0]
        }
        _ if retrieves => [RETRIEVE_NS_BIT | RETRIEVE_BY_HYPERVISOR, 0],
        _ => [0, 0],
    })
}

/// Returns the number of the interrupt that stands for `feature` (FF-A 1.2, table 13.14): every feature that has a
/// number is one.
///
/// # Errors
/// As [`features`].
fn interrupt_of(caller: &Caller<'_>, feature: u32, input: u32) -> Result<u32, Status> {
    let intid = match (feature, caller) {
        (SCHEDULE_RECEIVER_INTERRUPT, Caller::NormalWorld(_)) => SCHEDULE_RECEIVER_SGI,
        (NOTIFICATION_PENDING_INTERRUPT, Caller::Partition(_)) => NOTIFICATION_PENDING,
        (MANAGED_EXIT_INTERRUPT, Caller::Partition(partition))
            if partition.manifest().managed_exit.is_some() =>
        {
            MANAGED_EXIT
        }
        _ => return Err(Status::NotSupported),
    };
    if caller.version() < Version::V1_1 {
        return Err(Status::NotSupported);
    }
    if input != 0 { Err(Status::InvalidParameters) } else { Ok(intid) }
}

/// Returns the version that brought a call.
fn since(function: u32) -> Version {
    match function {
        f::NOTIFICATION_BITMAP_CREATE
        | f::NOTIFICATION_BITMAP_DESTROY
        | f::NOTIFICATION_BIND
        | f::NOTIFICATION_UNBIND
        | f::NOTIFICATION_SET
        | f::NOTIFICATION_GET
        | f::NOTIFICATION_INFO_GET_32
        | f::NOTIFICATION_INFO_GET_64
        | f::RX_ACQUIRE
        | f::MSG_SEND2
        | f::SECONDARY_EP_REGISTER_32
        | f::SECONDARY_EP_REGISTER_64 => Version::V1_1,
        // The driver in Linux 6.12 uses what is offered to it, whatever version it speaks.
        f::PARTITION_INFO_GET_REGS | f::DIRECT_REQ2 | f::DIRECT_RESP2 => Version::V1_2,
        _ => Version::V1_0,
    }
}
