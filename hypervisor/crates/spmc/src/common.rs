//! Calls that the normal world and partitions make alike.

use tantalum_ffa::{Call, Status, Version, answer};
use tantalum_hal::Platform;
use tantalum_types::{CallRegisters, EndpointId, Pa, PageRange};

use crate::endpoint::Endpoint;
use crate::features::features;
use crate::partition::Partition;
use crate::share::Party;
use crate::spmc::Spmc;

/// Is whoever makes a call.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Caller<'a> {
    /// The hypervisor of the normal world, or its OS kernel where there is none.
    NormalWorld(&'a Endpoint),
    /// A partition.
    Partition(&'a Partition),
}

impl<'a> Caller<'a> {
    /// Returns what is kept of the caller.
    pub(crate) fn endpoint(&self) -> &'a Endpoint {
        match self {
            Self::NormalWorld(endpoint) => endpoint,
            Self::Partition(partition) => &partition.endpoint,
        }
    }

    /// Returns the version of FF-A that the caller speaks.
    pub(crate) fn version(&self) -> Version {
        self.endpoint().negotiation.version()
    }

    /// Tells whether the caller is the normal world's.
    pub(crate) fn is_normal_world(&self) -> bool {
        matches!(self, Self::NormalWorld(_))
    }

    /// Returns whose memory and quota the caller's are.
    pub(crate) fn party(&self) -> Party {
        match self {
            Self::NormalWorld(_) => Party::NormalWorld,
            Self::Partition(partition) => Party::Partition(partition.index()),
        }
    }

    /// Returns the caller's id.
    pub(crate) fn id(&self) -> EndpointId {
        match self {
            Self::NormalWorld(_) => EndpointId::HYPERVISOR,
            Self::Partition(partition) => partition.id(),
        }
    }
}

impl Spmc {
    /// Answers a call that every endpoint may make, or returns `None` if `call` is not one.
    pub(crate) fn common_call(
        &self,
        caller: &Caller<'_>,
        call: &Call,
        platform: &impl Platform,
    ) -> Option<Result<CallRegisters, Status>> {
        Some(match *call {
            Call::Features { id, input } => features(caller, id, input).map(success_pair),
            Call::IdGet => Ok(success_pair([u32::from(caller.id().raw()), 0])),
            Call::SpmIdGet => Ok(success_pair([u32::from(EndpointId::SPMC.raw()), 0])),
            Call::RxtxMap { tx, rx, page_count, .. } => {
                self.rxtx_map(caller, tx, rx, page_count, platform).map(|()| answer::success())
            }
            Call::RxtxUnmap { endpoint } => self.rxtx_unmap(caller, endpoint).map(|()| answer::success()),
            Call::RxRelease { endpoint } => self.rx_release(caller, endpoint).map(|()| answer::success()),
            Call::RxAcquire { endpoint } => self.rx_acquire(caller, endpoint).map(|()| answer::success()),
            Call::PartitionInfoGet { ref uuid, count_only } => {
                self.partition_info_get(caller, uuid, count_only, platform).map(success_pair)
            }
            Call::PartitionInfoGetRegs { ref uuid, start_index, tag } => {
                self.partition_info_get_regs(caller, uuid, start_index, tag)
            }
            _ => return self.memory_call(caller, call, platform),
        })
    }

    /// Claims the pages of an endpoint's buffers, which `party` must own.
    ///
    /// # Errors
    /// DENIED if it does not, or they are part of a transaction or of other buffers.
    pub(crate) fn claim_buffers(&self, party: Party, buffers: &[PageRange<Pa>; 2]) -> Result<(), Status> {
        let mut ledger = self.ledger.lock();
        if !buffers.iter().all(|buffer| self.is_owned(&ledger, party, buffer)) {
            return Err(Status::Denied);
        }
        Ok(ledger.claim_buffers(party, buffers)?)
    }

    /// Returns `page_count` pages at `address`, which are RAM of the normal world.
    pub(crate) fn normal_pages(&self, address: u64, page_count: u64) -> Result<PageRange<Pa>, Status> {
        let pages =
            PageRange::new(Pa::non_secure(address), page_count).map_err(|_| Status::InvalidParameters)?;
        if self.normal_memory.iter().any(|memory| memory.contains_range(&pages)) {
            Ok(pages)
        } else {
            Err(Status::InvalidParameters)
        }
    }
}

/// Checks x8 to x17 of a call that has no use for them: who speaks FF-A 1.2 leaves them zero, who does not need not
/// know of them (FF-A 1.2, section 12.2).
///
/// # Errors
/// INVALID_PARAMETERS if they are not.
pub(crate) fn check_extra(version: Version, registers: &CallRegisters) -> Result<(), Status> {
    let used = registers.0.iter().skip(8).any(|register| *register != 0);
    if used && version >= Version::V1_2 { Err(Status::InvalidParameters) } else { Ok(()) }
}

/// Answers success with w2 and w3.
fn success_pair([w2, w3]: [u32; 2]) -> CallRegisters {
    answer::success32([w2, w3, 0, 0, 0, 0])
}
