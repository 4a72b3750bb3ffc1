//! Descriptors of memory management (Arm DEN0140, FF-A memory management protocol 1.2).
//!
//! One descriptor serves every transaction: [`Transaction`] holds what the sender of memory offers to whom, what
//! a receiver asks for, and what it is answered. Behind it come the ranges of memory, one [`Constituent`] each,
//! which may go on in further fragments. [`Relinquish`] gives memory back.
//!
//! How the descriptor is laid out depends on the version of the endpoint that writes or reads it: a [`Layout`].
//! Everything here works on bytes that the caller owns; what others can write must be copied first.
//!
//! - `transaction`: the descriptor as a whole; decodes and encodes
//! - `receiver`: the records of those who receive memory
//! - `constituent`: ranges of memory
//! - `attributes`, `flags`, `handle`: the typed values in them
//! - `relinquish`: the descriptor that gives memory back
//! - `list`: a bounded list
//! - `fields`: reads and writes fields
//! - `error`: what can be wrong

mod attributes;
mod constituent;
mod error;
mod fields;
mod flags;
mod handle;
mod list;
mod receiver;
mod relinquish;
mod transaction;

pub use attributes::{
    Cacheability, DataAccess, DeviceKind, InstructionAccess, MemoryAttributes, MemoryType, Permissions,
    Shareability,
};
pub use constituent::{Constituent, Constituents, encode_constituents};
pub use error::{DescriptorError, Part};
pub use flags::{ReceiverFlags, ReclaimFlags, RelinquishFlags, TransactionFlags, TransactionKind};
pub use handle::Handle;
pub use list::{Filler, List};
pub use receiver::Receiver;
pub use relinquish::Relinquish;
pub use transaction::{Composite, Decoded, Layout, Transaction};

/// Bounds the number of endpoints in one transaction.
pub const MAX_RECEIVERS: usize = 4;
