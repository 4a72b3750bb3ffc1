//! The timers of EL1 and the count.

use super::gic;
use super::interrupts::{self, PHYSICAL_TIMER, VIRTUAL_TIMER};
use super::sysreg::{self, Register};
use super::{cpus, sysreg::read};

/// Control bits.
pub(crate) const ENABLE: u64 = 1;
pub(crate) const MASK: u64 = 2;
pub(crate) const STATUS: u64 = 4;

/// Is one of the two timers.
#[derive(Clone, Copy)]
pub(crate) struct Timer {
    pub(crate) control: Register,
    pub(crate) compare: Register,
    pub(crate) value: Register,
    /// Its interrupt.
    pub(crate) intid: usize,
    count: fn() -> u64,
    silence: fn(usize),
}

/// Is the virtual timer.
pub(crate) const VIRTUAL: Timer = Timer {
    control: sysreg::CNTV_CTL_EL0,
    compare: sysreg::CNTV_CVAL_EL0,
    value: sysreg::CNTV_TVAL_EL0,
    intid: VIRTUAL_TIMER,
    count: virtual_count,
    silence: |_| sysreg::CNTV_CTL_EL0.write(0),
};

/// Is the physical timer.
pub(crate) const PHYSICAL: Timer = Timer {
    control: sysreg::CNTP_CTL_EL0,
    compare: sysreg::CNTP_CVAL_EL0,
    value: sysreg::CNTP_TVAL_EL0,
    intid: PHYSICAL_TIMER,
    count: physical_count,
    silence: |_| sysreg::CNTP_CTL_EL0.write(0),
};

fn virtual_count() -> u64 {
    sysreg::isb();
    read::cntvct_el0()
}

fn physical_count() -> u64 {
    sysreg::isb();
    read::cntpct_el0()
}

/// Returns how many ticks `micros` microseconds are.
pub(crate) fn micros(micros: u64) -> u64 {
    tantalum_payload::console::ticks_per_second() * micros / 1_000_000
}

impl Timer {
    /// Returns the count that the timer compares with.
    pub(crate) fn now(&self) -> u64 {
        (self.count)()
    }

    /// Sets its interrupt up on this CPU, where it turns the timer off; see [`Self::retire`].
    pub(crate) fn prepare(&self) {
        self.control.write(0);
        interrupts::on_arrival(self.intid, Some(self.silence));
        gic::private(cpus::current(), self.intid).prepare(0xa0);
    }

    /// Turns the timer and its interrupt off on this CPU.
    pub(crate) fn retire(&self) {
        self.control.write(0);
        gic::private(cpus::current(), self.intid).retire();
    }

    /// Lets it fire at the count `at`.
    pub(crate) fn fire_at(&self, at: u64) {
        self.compare.write(at);
        self.control.write(ENABLE);
    }

    /// Returns how often its interrupt has arrived on this CPU.
    pub(crate) fn count(&self) -> u32 {
        interrupts::count(cpus::current(), self.intid)
    }

    /// Waits until the count is `at`.
    pub(crate) fn wait_for(&self, at: u64) {
        while self.now() < at {
            tantalum_payload::cpu::relax();
        }
    }
}
