//! The Secure Partition Manager Core as a function from events to actions.
//!
//! [`Spmc::handle`] takes what happened on a processing element and says what shall happen there next. It
//! touches the machine only through `tantalum_hal`, so all of it runs on the host as well.
//!
//! | module | what lives there |
//! |---|---|
//! | `spmc` | the SPMC itself: what it knows, how it is built at boot, where events arrive |
//! | `normal_world`, `partition_call` | which calls each kind of caller may make |
//! | `common` | calls that every endpoint makes: discovery of the SPMC, buffers |
//! | `features`, `discovery` | what FFA_FEATURES and FFA_PARTITION_INFO_GET answer |
//! | `direct`, `service` | direct requests and responses, of the first form and of the second |
//! | `straight` | the same between the normal world and a partition that waits, from the registers as they are |
//! | `notify` | notifications, and the interrupts that announce them |
//! | `indirect` | indirect messages, and the buffers that carry them |
//! | `schedule` | starting, waiting, running, preempting and stopping execution contexts |
//! | `share` | memory that is donated, lent and shared |
//! | `run_model` | which calls an execution context may make, by what it runs for |
//! | `interrupt`, `power` | physical interrupts and what they stop; messages of the SPMD |
//! | `virtual_interrupts`, `timer`, `paravirtual` | what of them an execution context sees, its timer, its calls about them |
//! | `lifecycle`, `abort`, `pristine` | the life of a partition; stopping one, and starting it again from a copy |
//! | `regions` | the memory and devices that a manifest asks for |
//! | `sync` | locks and atomic words, or those of a test that runs threads in every order |
//! | `partition`, `vcpu`, `shared_vcpu`, `endpoint`, `mailbox`, `vm`, `version`, `console` | the objects and their states |
//!
//! Locks: the mailbox of an endpoint, all notifications, an execution context, and the setting of an interrupt.
//! Nobody holds two of them at a time, with these exceptions: who copies from one mailbox into another holds both,
//! taken in the order of the endpoints' ids; with a mailbox's lock held, that of the notifications may be taken; an
//! execution context that logs holds its own lock while the machine takes the log's. Memory management takes a
//! mailbox and then its own locks, in an order that `share` describes.

#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::arithmetic_side_effects, clippy::cast_possible_truncation))]

#[cfg(test)]
extern crate std;

#[cfg(all(test, shuttle))]
mod interleavings;

mod abort;
mod common;
mod console;
mod direct;
mod discovery;
mod endpoint;
mod features;
mod indirect;
mod interrupt;
mod lifecycle;
mod mailbox;
mod normal_world;
mod notify;
mod paravirtual;
mod partition;
mod partition_call;
#[cfg(all(test, not(shuttle)))]
mod pools;
mod power;
mod pristine;
mod regions;
mod run_model;
mod schedule;
mod service;
mod share;
mod shared_vcpu;
mod spmc;
mod straight;
mod sync;
mod timer;
mod vcpu;
mod version;
mod virtual_interrupts;
mod vm;

pub use partition::TABLE_PAGES;
pub use spmc::{Cpu, Spmc, Step};
pub use version::SPMC_VERSION;
