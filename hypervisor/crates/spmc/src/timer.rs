//! The EL1 physical timer of an execution context, which is emulated (Arm ARM, D11.2).
//!
//! The machine traps every access. The interrupt is pended once for each time that the timer is set up, when its
//! condition is met: a level that stays up would come again and again until the timer is set up anew, which a partition
//! does in its handler anyway.

use tantalum_hal::TimerRegister;

/// Enables the timer, in CNTP_CTL_EL0.
const ENABLE: u64 = 1 << 0;
/// Masks its interrupt.
const MASK: u64 = 1 << 1;
/// Says that its condition is met.
const STATUS: u64 = 1 << 2;

/// Is the timer of one execution context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timer {
    control: u64,
    compare: u64,
    /// Whether its interrupt has been pended since it was set up.
    fired: bool,
}

impl Timer {
    /// Begins with a timer that is off.
    pub(crate) const fn new() -> Self {
        Self { control: 0, compare: 0, fired: false }
    }

    /// Returns what `register` reads as when the system counter stands at `now`.
    pub(crate) const fn read(&self, register: TimerRegister, now: u64) -> u64 {
        match register {
            TimerRegister::Control => {
                self.control | if self.control & ENABLE != 0 && now >= self.compare { STATUS } else { 0 }
            }
            TimerRegister::CompareValue => self.compare,
            TimerRegister::TimerValue => self.compare.wrapping_sub(now) & 0xffff_ffff,
        }
    }

    /// Lets `register` be `value` when the system counter stands at `now`.
    pub(crate) const fn write(&mut self, register: TimerRegister, value: u64, now: u64) {
        match register {
            TimerRegister::Control => self.control = value & (ENABLE | MASK),
            TimerRegister::CompareValue => self.compare = value,
            TimerRegister::TimerValue => {
                // Bits 31:0 are a signed number.
                let offset =
                    if value & 1 << 31 == 0 { value & 0xffff_ffff } else { value | 0xffff_ffff_0000_0000 };
                self.compare = now.wrapping_add(offset);
            }
        }
        self.fired = false;
    }

    /// Returns when the interrupt is to be pended, if it still is.
    pub(crate) const fn deadline(&self) -> Option<u64> {
        if self.control & (ENABLE | MASK) == ENABLE && !self.fired { Some(self.compare) } else { None }
    }

    /// Tells whether the interrupt is to be pended at `now`, which it then has been.
    pub(crate) fn fire(&mut self, now: u64) -> bool {
        let due = self.deadline().is_some_and(|deadline| now >= deadline);
        self.fired |= due;
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use TimerRegister::{CompareValue, Control, TimerValue};

    #[test]
    fn the_status_is_computed_from_the_counter() {
        let mut timer = Timer::new();
        assert_eq!(timer.read(Control, u64::MAX), 0, "off");
        timer.write(CompareValue, 100, 0);
        timer.write(Control, u64::MAX, 0);
        assert_eq!(timer.read(Control, 99), ENABLE | MASK);
        assert_eq!(timer.read(Control, 100), ENABLE | MASK | STATUS);
        assert_eq!(timer.read(CompareValue, 5), 100);
    }

    #[test]
    fn the_timer_value_is_a_signed_distance() {
        let mut timer = Timer::new();
        timer.write(TimerValue, 50, 1000);
        assert_eq!(timer.read(CompareValue, 0), 1050);
        assert_eq!(timer.read(TimerValue, 1040), 10);
        assert_eq!(timer.read(TimerValue, 1051), 0xffff_ffff);
        timer.write(TimerValue, 0xffff_fff6, 1000);
        assert_eq!(timer.read(CompareValue, 0), 990);
        // The high half is not looked at.
        timer.write(TimerValue, 0xabcd_0000_0000_0001, 1000);
        assert_eq!(timer.read(CompareValue, 0), 1001);
        // The counter wraps, some day.
        timer.write(TimerValue, 2, u64::MAX);
        assert_eq!(timer.read(CompareValue, 0), 1);
    }

    #[test]
    fn fires_once_for_each_time_that_it_is_set_up() {
        let mut timer = Timer::new();
        timer.write(CompareValue, 100, 0);
        assert_eq!((timer.deadline(), timer.fire(200)), (None, false), "off");
        timer.write(Control, ENABLE, 0);
        assert_eq!((timer.deadline(), timer.fire(99)), (Some(100), false));
        assert!(timer.fire(100));
        assert_eq!((timer.deadline(), timer.fire(300)), (None, false));
        timer.write(Control, ENABLE | MASK, 300);
        assert_eq!((timer.deadline(), timer.fire(300)), (None, false), "masked");
        timer.write(Control, ENABLE, 300);
        assert!(timer.fire(300), "its condition is still met");
    }
}
