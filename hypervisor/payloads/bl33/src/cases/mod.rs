//! The cases, in the order in which they run: first those about the version, which the first other call freezes.

#![forbid(unsafe_code)]

mod direct;
mod discovery;
mod mailbox;
mod memory;
mod notify;
mod refused;
pub(crate) mod resident;
mod run;
mod services;
pub(crate) mod soak;
mod version;
mod vm;
mod vms;
mod worlds;

use crate::test::Case;

/// Lists all cases.
pub(crate) const ALL: &[&[Case]] = &[
    version::CASES,
    discovery::CASES,
    mailbox::CASES,
    direct::CASES,
    run::CASES,
    services::CASES,
    notify::CASES,
    vm::CASES,
    vms::CASES,
    memory::CASES,
    worlds::CASES,
    soak::CASES,
    refused::CASES,
];
