//! Memory management: donate, lend and share memory, retrieve it, relinquish it, reclaim it (Arm DEN0140).
//!
//! The [`Ledger`] owns the truth about pages: who owns each, and which transaction has it. The stage-2 tables of
//! partitions follow from it and are changed by the calls here only. What the owner lends is unmapped from it and
//! mapped again when it is reclaimed; what a borrower retrieves is mapped for it at the same address.
//!
//! - `send`, `offer`: FFA_MEM_DONATE, LEND, SHARE and FRAG_TX
//! - `retrieve`, `request`, `response`: FFA_MEM_RETRIEVE_REQ and FRAG_RX
//! - `give_back`: FFA_MEM_RELINQUISH and RECLAIM
//! - `abort`: what becomes of the memory of a partition that is stopped
//! - `ledger`, `record`: the ledger and its transactions
//! - `claims`, `ownership`, `extent`, `party`: which pages are spoken for, who owns them, under which quota
//!
//! Locks: first the mailbox of the caller, then the ledger, then the tables of one partition, then the pool of table
//! pages. Nobody waits for anything else with one of them held. The ledger is held for as long as one fragment
//! takes to check, or the ranges of one transaction to map or unmap; memory is filled with zeros without it, while
//! the transaction is marked as being at work on.

mod abort;
mod claims;
mod extent;
mod give_back;
mod ledger;
mod offer;
mod ownership;
mod party;
mod record;
mod request;
mod response;
mod retrieve;
mod send;

use tantalum_ffa::{Call, Status};
use tantalum_hal::Platform;
use tantalum_types::CallRegisters;

pub(crate) use ledger::Ledger;
pub(crate) use party::Party;

use crate::common::Caller;
use crate::spmc::Spmc;

/// Bounds the part of a descriptor in front of its ranges in bytes. What this implementation keeps needs 192.
const HEAD_SIZE: usize = 512;

/// Counts the ranges that are copied from or to a buffer at a time.
const RANGES_AT_A_TIME: usize = 32;

/// Says why pages cannot be claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClaimError {
    /// A page is part of another transaction, or of a buffer.
    Overlap,
    /// The owner has as many ranges or transactions as it may have.
    QuotaUsedUp,
}

impl From<ClaimError> for Status {
    fn from(error: ClaimError) -> Self {
        match error {
            ClaimError::Overlap => Self::Denied,
            ClaimError::QuotaUsedUp => Self::NoMemory,
        }
    }
}

impl Spmc {
    /// Answers a call of memory management, or returns `None` if `call` is not one.
    pub(crate) fn memory_call(
        &self,
        caller: &Caller<'_>,
        call: &Call,
        platform: &impl Platform,
    ) -> Option<Result<CallRegisters, Status>> {
        use tantalum_ffa::memory::TransactionKind as Kind;
        Some(match *call {
            Call::MemShare(ref call) => self.send(caller, Kind::Share, call, platform),
            Call::MemLend(ref call) => self.send(caller, Kind::Lend, call, platform),
            Call::MemDonate(ref call) => self.send(caller, Kind::Donate, call, platform),
            Call::MemFragTx { handle, length, endpoint } => {
                self.send_on(caller, handle, length, endpoint, platform)
            }
            Call::MemRetrieveRequest(ref call) => self.retrieve(caller, call, platform),
            Call::MemFragRx { handle, offset, endpoint } => {
                self.retrieve_on(caller, handle, offset, endpoint, platform)
            }
            Call::MemRelinquish => self.relinquish(caller, platform),
            Call::MemReclaim { handle, flags } => self.reclaim(caller, handle, flags, platform),
            _ => return None,
        })
    }
}
