//! The suites, in the order in which they run.

#![forbid(unsafe_code)]

mod atomics;
mod blk;
mod blk_errors;
mod boot;
mod count;
mod debug;
mod eoi;
mod exceptions;
mod external;
mod ffa;
mod fp;
mod gicd;
mod gicd_access;
mod gicr;
mod hostile_queue;
mod hotplug;
mod ids;
mod many;
mod mmio;
mod mmu;
mod net;
mod pauth;
mod priority;
mod progress;
mod psci;
mod psci_on;
mod psci_state;
mod ptimer;
mod ram;
mod rng;
mod rtc;
mod serial;
mod sgi;
mod smccc;
mod smp;
mod spi;
mod sysregs;
mod tree;
mod trigger;
mod uart;
mod virtio_probe;
mod vtimer;
mod wait;

use crate::test::Case;

pub(crate) use smccc::offers;

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
    gicd::CASES,
    gicd_access::CASES,
    gicr::CASES,
    sgi::CASES,
    spi::CASES,
    priority::CASES,
    eoi::CASES,
    many::CASES,
    trigger::CASES,
    uart::CASES,
    rtc::CASES,
    ram::CASES,
    mmu::CASES,
    atomics::CASES,
    smp::CASES,
    progress::CASES,
    virtio_probe::CASES,
    blk::CASES,
    blk_errors::CASES,
    rng::CASES,
    serial::CASES,
    net::CASES,
    hostile_queue::CASES,
];
