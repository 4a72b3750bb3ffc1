//! The suites, in the order in which they run.

#![forbid(unsafe_code)]

mod boot;
mod count;
mod debug;
mod exceptions;
mod external;
mod ffa;
mod fp;
mod hotplug;
mod ids;
mod mmio;
mod pauth;
mod psci;
mod psci_on;
mod psci_state;
mod ptimer;
mod smccc;
mod sysregs;
mod tree;
mod vtimer;
mod wait;

use crate::test::Case;

/// Lists all suites.
pub(crate) const ALL: &[&[Case]] = &[
    boot::CASES,
    tree::CASES,
    ids::CASES,
    sysregs::CASES,
    fp::CASES,
    pauth::CASES,
    debug::CASES,
    count::CASES,
    exceptions::CASES,
    mmio::CASES,
    external::CASES,
    psci::CASES,
    psci_on::CASES,
    psci_state::CASES,
    hotplug::CASES,
    smccc::CASES,
    ffa::CASES,
    wait::CASES,
    vtimer::CASES,
    ptimer::CASES,
];
