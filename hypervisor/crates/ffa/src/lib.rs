//! The Firmware Framework for Arm A-profile ABI: calls, registers, descriptors, errors.
//!
//! Covers FF-A 1.0 to 1.2 (Arm DEN0077A, memory management in DEN0140). A call is decoded once, into a typed
//! [`Call`], and everything behind works on that; an answer is encoded once. What each endpoint's version
//! changes, such as the size of a partition's description, is a parameter of the encoding here and of nothing
//! else.
//!
//! Nothing here panics, whatever the registers and bytes hold.

#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::arithmetic_side_effects))]

pub mod answer;
pub mod boot_info;
mod buffers;
mod call;
pub mod feature;
pub mod function;
mod indirect;
pub mod memory;
mod message;
pub mod notification;
mod partition_info;
mod status;
mod uuids;
mod version;

pub use buffers::{BufferDescription, EndpointBuffers};
pub use call::{Call, ConsoleText, DecodeError, MemoryTransaction, Target};
pub use indirect::MessageHeader;
pub use message::{DirectMessage, FrameworkMessage, Width};
pub use partition_info::{PartitionInfo, PartitionInfoRecord, PartitionProperties};
pub use status::Status;
pub use uuid::Uuid;
pub use uuids::{uuid_from_pair, uuid_from_words, uuid_to_pair, uuid_to_words};
pub use version::Version;
