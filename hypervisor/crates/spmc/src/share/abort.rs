//! What becomes of the memory of a partition that is stopped.
//!
//! - What it has borrowed goes back, as if it had relinquished it.
//! - What it has sent and nobody has retrieved becomes its own again; so does a descriptor of which fragments are
//!   still to come.
//! - What others have retrieved from it stays with them until they relinquish it. Nobody can retrieve it any more, and
//!   the stopped partition has no access, even to what it has shared. When the last borrower has given it back, it
//!   is filled with zeros and becomes the partition's own again.
//! - What was donated to it stays its own, and what it has donated stays the receiver's.
//! - Its buffers are no longer buffers.
//!
//! So a partition can begin a new life once [`Spmc::has_all_its_memory`] says that nobody has part of it, be it long
//! after its end.

use crate::sync::MutexGuard;
use tantalum_ffa::memory::{Handle, TransactionKind};
use tantalum_hal::Platform;
use tantalum_types::{EndpointId, PartitionIndex};

use super::ledger::Ledger;
use super::party::Party;
use super::record::{Phase, Retrieved};
use crate::common::Caller;
use crate::partition::Partition;
use crate::spmc::Spmc;

/// Says what is to be done with a transaction.
enum Step {
    /// Its borrower, which was stopped, gives the memory back.
    TakeBack(Retrieved),
    /// What it was doing ends: nobody but the owner has the memory.
    End,
    /// Its borrowers keep the memory until they relinquish it.
    Orphan,
    /// The donation to it is complete, though it has not read all of the answer.
    Forget,
}

impl Spmc {
    /// Takes from `partition`, which was stopped and never runs again as it was, what it has borrowed, and settles
    /// what it has sent. To be called once when it is stopped, with no lock held.
    pub(crate) fn settle_memory(&self, partition: &Partition, platform: &impl Platform) {
        let index = partition.index();
        let mut at = 0;
        loop {
            let ledger = self.ledger.lock();
            let Some((handle, next)) = ledger.next(at) else { break };
            at = next;
            let step = ledger.share(handle).and_then(|share| {
                let borrowed = share
                    .borrowers
                    .iter()
                    .find(|borrower| borrower.offer.endpoint == partition.id())
                    .and_then(|borrower| borrower.retrieved);
                match borrowed {
                    Some(_) if share.kind == TransactionKind::Donate => Some(Step::Forget),
                    Some(retrieved) => Some(Step::TakeBack(retrieved)),
                    None if share.owner != Party::Partition(index) => None,
                    None if share.is_retrieved() || share.phase == Phase::AtWork => Some(Step::Orphan),
                    None => Some(Step::End),
                }
            });
            let Some(step) = step else { continue };
            self.carry_out(ledger, handle, partition, step, platform);
        }
        // There may be none.
        let _ = self.rxtx_unmap(&Caller::Partition(partition), EndpointId::HYPERVISOR);
    }

    /// Claims the buffers that the manifest gives to `partition`, if it does, when it begins its first life or another.
    pub(crate) fn claim_manifest_buffers(&self, partition: &Partition) {
        let Some(buffers) = partition.manifest().rx_tx else { return };
        let party = Party::Partition(partition.index());
        if self.ledger.lock().claim_buffers(party, &[buffers.tx, buffers.rx]).is_err() {
            // They lie in its own memory, all of which it has.
            log::error!("partition {}: its message buffers are part of a transaction", partition.id());
        }
    }

    /// Tells whether a partition that was stopped has all its memory: nobody has part of it borrowed, and none was
    /// donated away.
    pub(crate) fn has_all_its_memory(&self, index: PartitionIndex) -> bool {
        let Some(partition) = self.partition(index) else { return false };
        let ledger = self.ledger.lock();
        let mut at = 0;
        while let Some((handle, next)) = ledger.next(at) {
            at = next;
            if ledger.share(handle).is_some_and(|share| share.owner == Party::Partition(index)) {
                return false;
            }
        }
        self.is_owned(&ledger, Party::Partition(index), &partition.manifest().memory)
    }

    fn carry_out<'a>(
        &'a self,
        mut ledger: MutexGuard<'a, Ledger>,
        handle: Handle,
        partition: &Partition,
        step: Step,
        platform: &impl Platform,
    ) {
        match step {
            Step::TakeBack(retrieved) => {
                let done = self.take_back(ledger, handle, partition.id(), retrieved, false, platform);
                if let Err(status) = done {
                    log::error!("partition {}: what it borrowed is not given back: {status}", partition.id());
                }
            }
            Step::End => {
                let offered = ledger.share(handle).is_some_and(|share| share.phase == Phase::Offered);
                if offered {
                    self.return_to_stopped(&mut ledger, handle, platform);
                } else {
                    ledger.remove(handle);
                }
            }
            Step::Orphan => {
                let shared = ledger.share(handle).filter(|share| !share.is_taken_from_owner());
                if let Some(share) = shared
                    && let Err(status) = partition.unmap_all(ledger.ranges(share), &self.tables, platform)
                {
                    log::error!("partition {}: what it shares stays mapped: {status}", partition.id());
                }
                if let Some(share) = ledger.share_mut(handle) {
                    share.owner_gone = true;
                }
            }
            Step::Forget => ledger.remove(handle),
        }
    }
}
