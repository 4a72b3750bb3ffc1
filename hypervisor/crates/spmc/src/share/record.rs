//! A transaction: memory that was donated, lent or shared, from then until it is reclaimed.

use heapless::Vec;
use tantalum_ffa::memory::{Composite, Handle, MAX_RECEIVERS, MemoryAttributes, Receiver, TransactionKind};
use tantalum_stage2::Attributes;
use tantalum_types::EndpointId;

use super::claims::List;
use super::party::Party;

/// Is a transaction.
#[derive(Debug)]
pub(crate) struct Share {
    /// Its name.
    pub handle: Handle,
    /// What becomes of the owner.
    pub kind: TransactionKind,
    /// Who owns the memory.
    pub owner: Party,
    /// The endpoint that sent it: the owner, or one of the normal world's.
    pub sender: EndpointId,
    /// What the sender chose for receivers to see.
    pub tag: u64,
    /// Whether the sender had the memory filled with zeros.
    pub zeroed: bool,
    /// The attributes that the sender stated.
    pub attributes: MemoryAttributes,
    /// How the owner had the memory mapped.
    pub owners_mapping: Attributes,
    /// Those to whom it is offered.
    pub borrowers: Vec<Borrower, MAX_RECEIVERS>,
    /// What the descriptor announces: the numbers of pages and of ranges.
    pub composite: Composite,
    /// The memory.
    pub ranges: List,
    /// How far the transaction has come.
    pub phase: Phase,
    /// Whether the memory has to be filled with zeros when no borrower has it any more.
    pub zero_when_free: bool,
    /// Whether the owner was stopped: the memory goes back to it as soon as no borrower has it.
    pub owner_gone: bool,
    /// How many ranges the hypervisor has been told of that retrieves on its own behalf, while it does.
    pub told_hypervisor: Option<u16>,
}

/// Says how far a transaction has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// More fragments are to come.
    Arriving {
        /// How many bytes of the descriptor are there.
        received: u32,
        /// How many bytes it has.
        total_length: u32,
        /// How many pages the ranges that are there have.
        pages: u32,
    },
    /// Borrowers can retrieve the memory.
    Offered,
    /// Somebody is at work on it, without the ledger's lock.
    AtWork,
}

/// Is an endpoint to which memory is offered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Borrower {
    /// What it is offered.
    pub offer: Receiver,
    /// What it has made of it, if it has retrieved the memory.
    pub retrieved: Option<Retrieved>,
}

/// Says how a borrower has retrieved memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retrieved {
    /// Whether it may write it.
    pub writable: bool,
    /// Whether the memory has to be filled with zeros when it gives it back.
    pub zero_afterwards: bool,
    /// How many ranges it has been told of.
    pub told: u16,
}

impl Share {
    /// Tells whether a borrower has the memory.
    pub(crate) fn is_retrieved(&self) -> bool {
        self.borrowers.iter().any(|borrower| borrower.retrieved.is_some())
    }

    /// Tells whether the owner has no access to the memory while the transaction lasts.
    pub(crate) fn is_taken_from_owner(&self) -> bool {
        self.kind != TransactionKind::Share || self.owner_gone
    }

    /// Returns the borrower `endpoint`, if it is one.
    pub(crate) fn borrower_mut(&mut self, endpoint: EndpointId) -> Option<&mut Borrower> {
        self.borrowers.iter_mut().find(|borrower| borrower.offer.endpoint == endpoint)
    }
}
