//! The EL1 physical timer of a virtual CPU, which is emulated (Arm ARM, D12.2): the machine's own is not its.

use tantalum_hal::vm::SystemRegister;

const ENABLE: u64 = 1;
const MASK: u64 = 1 << 1;
const CONDITION: u64 = 1 << 2;

/// Names its registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimerRegister {
    /// CNTP_TVAL_EL0.
    Value,
    /// CNTP_CTL_EL0.
    Control,
    /// CNTP_CVAL_EL0.
    Compare,
}

impl TimerRegister {
    /// Finds the one with this encoding.
    pub const fn at(register: SystemRegister) -> Option<Self> {
        match register {
            SystemRegister { op0: 3, op1: 3, crn: 14, crm: 2, op2: 0 } => Some(Self::Value),
            SystemRegister { op0: 3, op1: 3, crn: 14, crm: 2, op2: 1 } => Some(Self::Control),
            SystemRegister { op0: 3, op1: 3, crn: 14, crm: 2, op2: 2 } => Some(Self::Compare),
            _ => None,
        }
    }
}

/// Holds the registers of a timer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PhysicalTimer {
    control: u64,
    compare: u64,
}

impl PhysicalTimer {
    /// Is off, as after reset.
    pub const OFF: Self = Self { control: 0, compare: 0 };

    /// Reads a register at the system count `now`.
    pub const fn read(&self, register: TimerRegister, now: u64) -> u64 {
        match register {
            TimerRegister::Value => self.compare.wrapping_sub(now) & 0xffff_ffff,
            TimerRegister::Control => {
                let met = self.control & ENABLE != 0 && now >= self.compare;
                self.control | if met { CONDITION } else { 0 }
            }
            TimerRegister::Compare => self.compare,
        }
    }

    /// Writes a register at the system count `now`.
    pub const fn write(&mut self, register: TimerRegister, value: u64, now: u64) {
        match register {
            TimerRegister::Value => {
                // A signed number of 32 bits.
                let low = value & 0xffff_ffff;
                let extended = if low & 1 << 31 != 0 { low | !0xffff_ffff } else { low };
                self.compare = now.wrapping_add(extended);
            }
            TimerRegister::Control => self.control = value & (ENABLE | MASK),
            TimerRegister::Compare => self.compare = value,
        }
    }

    /// Tells whether its interrupt line is up at the system count `now`.
    pub const fn line(&self, now: u64) -> bool {
        self.control & (ENABLE | MASK) == ENABLE && now >= self.compare
    }

    /// Returns the system count at which its interrupt line goes up, if that is later than `now`.
    pub const fn deadline(&self, now: u64) -> Option<u64> {
        if self.control & (ENABLE | MASK) == ENABLE && now < self.compare { Some(self.compare) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_counts_down_to_the_condition() {
        let mut timer = PhysicalTimer::OFF;
        timer.write(TimerRegister::Value, 100, 1000);
        assert_eq!(
            (timer.read(TimerRegister::Compare, 0), timer.read(TimerRegister::Value, 1040)),
            (1100, 60)
        );
        assert_eq!((timer.deadline(1000), timer.line(2000)), (None, false), "it is off");
        timer.write(TimerRegister::Control, 0xff, 1000);
        assert_eq!((timer.deadline(1000), timer.line(2000)), (None, false), "it is masked");
        assert_eq!(timer.read(TimerRegister::Control, 1100), 7);
        timer.write(TimerRegister::Control, 1, 1000);
        assert_eq!((timer.deadline(1099), timer.line(1099)), (Some(1100), false));
        assert_eq!((timer.deadline(1100), timer.line(1100)), (None, true));
        assert_eq!(
            (timer.read(TimerRegister::Control, 1099), timer.read(TimerRegister::Control, 1100)),
            (1, 5)
        );
        assert_eq!(timer.read(TimerRegister::Value, 1101), 0xffff_ffff);
    }

    #[test]
    fn a_negative_value_is_in_the_past() {
        let mut timer = PhysicalTimer::OFF;
        timer.write(TimerRegister::Value, 0xffff_fffe, 1000);
        assert_eq!(timer.read(TimerRegister::Compare, 0), 998);
    }
}
