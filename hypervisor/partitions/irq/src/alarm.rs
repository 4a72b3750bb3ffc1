//! The alarm of the PL031 real-time clock, a device whose secure interrupt this partition owns (PL031 Technical
//! Reference Manual, chapter 3).

use tantalum_sdk::{Boot, CannotMap, Device};

/// Is the interrupt of the clock.
pub(crate) const INTID: u32 = 34;

/// The registers: seconds since some time, the seconds of the alarm, the interrupt's mask and its end.
const DATA: usize = 0x00;
const MATCH: usize = 0x04;
const MASK: usize = 0x10;
const CLEAR: usize = 0x1c;

/// Is the alarm.
pub(crate) struct Alarm {
    clock: Device,
}

impl Alarm {
    /// Names the alarm of the board.
    pub(crate) const fn new() -> Self {
        Self { clock: Device::at(0x0901_0000) }
    }

    /// Takes the alarm into use, off.
    pub(crate) fn start(&self, boot: &Boot<'_>) -> Result<(), CannotMap> {
        self.clock.map(boot)?;
        self.stop();
        Ok(())
    }

    /// Lets the alarm go off in `seconds`; at once if that is zero. Returns the clock's time in seconds.
    pub(crate) fn arm(&self, seconds: u32) -> u32 {
        let now = self.clock.read(DATA);
        self.clock.write(MASK, 1);
        self.clock.write(MATCH, now.wrapping_add(seconds));
        now
    }

    /// Turns the alarm off, and takes back that it asks for an interrupt.
    pub(crate) fn stop(&self) {
        self.clock.write(MASK, 0);
        self.clock.write(CLEAR, 1);
    }
}
