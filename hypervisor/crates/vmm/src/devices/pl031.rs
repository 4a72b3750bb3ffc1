//! The clock: Arm PrimeCell Real Time Clock PL031 (Arm DDI 0224). It counts seconds, and raises an interrupt when the
//! count is a chosen one. It always runs.
//!
//! Times are nanoseconds of the host's clock since 1970; the virtual machine may set its own clock to something else.

use super::{Answer, cut, identification, register};

const SECOND: u64 = 1_000_000_000;

/// Counts the seconds after which the counter comes round.
const ROUND: u64 = 1 << 32;

/// Is a clock.
#[derive(Debug)]
pub struct Pl031 {
    /// What the counter is ahead of the host's seconds, modulo 2^32.
    ahead: u32,
    /// MR.
    chosen: u32,
    /// What was last written to LR.
    loaded: u32,
    /// The second of the host in which the counter is the chosen one next.
    next: u64,
    mask: bool,
    raised: bool,
}

impl Pl031 {
    /// Builds the state after reset: it says what the host says. `now` is the host's time.
    pub const fn new(now: u64) -> Self {
        // The first second in which the counter, which is not zero at first, is zero.
        let next = (now / SECOND).wrapping_shr(32).wrapping_add(1).wrapping_shl(32);
        Self { ahead: 0, chosen: 0, loaded: 0, next, mask: false, raised: false }
    }

    /// Tells whether the interrupt line is up.
    pub const fn interrupt(&self) -> bool {
        self.raised && self.mask
    }

    /// Lets time pass until `now`, and returns whether the interrupt line is up.
    #[must_use = "the interrupt line has to follow"]
    pub fn pass(&mut self, now: u64) -> bool {
        let second = now / SECOND;
        if second >= self.next {
            self.raised = true;
            self.next = self.next_after(second);
        }
        self.interrupt()
    }

    /// Returns when [`Self::pass`] has to be called: when the interrupt line goes up if nothing else happens.
    pub const fn alarm(&self) -> Option<u64> {
        if self.mask && !self.raised { Some(self.next.saturating_mul(SECOND)) } else { None }
    }

    /// Reads `size` bytes at `offset`.
    pub fn read(&mut self, offset: u32, size: u8, now: u64) -> Answer {
        let interrupt = self.pass(now);
        let value = register(offset, size).map_or(0, |offset| match offset {
            0x00 => self.count(now / SECOND),
            0x04 => self.chosen,
            0x08 => self.loaded,
            0x0c => 1,
            0x10 => self.mask.into(),
            0x14 => self.raised.into(),
            0x18 => interrupt.into(),
            _ => identification(offset, [0x31, 0x10, 0x04, 0x00]),
        });
        Answer { value: cut(value, size), interrupt }
    }

    /// Writes `size` bytes at `offset` and returns whether the interrupt line is up.
    #[must_use = "the interrupt line has to follow"]
    pub fn write(&mut self, offset: u32, size: u8, value: u32, now: u64) -> bool {
        let _up = self.pass(now);
        let second = now / SECOND;
        let value = cut(value, size);
        match register(offset, size) {
            Some(0x04) => {
                self.chosen = value;
                self.choose(second);
            }
            Some(0x08) => {
                self.loaded = value;
                self.ahead = self.ahead.wrapping_add(value.wrapping_sub(self.count(second)));
                self.choose(second);
            }
            Some(0x10) => self.mask = value & 1 != 0,
            Some(0x1c) if value & 1 != 0 => self.raised = false,
            _ => {}
        }
        self.interrupt()
    }

    /// Returns what the counter is in this second of the host.
    fn count(&self, second: u64) -> u32 {
        u32::try_from(second & (ROUND - 1)).unwrap_or_default().wrapping_add(self.ahead)
    }

    /// Looks whether the counter is the chosen one now, or else when it is next.
    fn choose(&mut self, second: u64) {
        if self.count(second) == self.chosen {
            self.raised = true;
        }
        self.next = self.next_after(second);
    }

    /// Returns the first second after this one in which the counter is the chosen one.
    fn next_after(&self, second: u64) -> u64 {
        let distance = u64::from(self.chosen.wrapping_sub(self.count(second)));
        second.saturating_add(if distance == 0 { ROUND } else { distance })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const COUNT: u32 = 0x00;
    const CHOSEN: u32 = 0x04;
    const LOAD: u32 = 0x08;
    const CONTROL: u32 = 0x0c;
    const MASK: u32 = 0x10;
    const RAISED: u32 = 0x14;
    const MASKED: u32 = 0x18;
    const CLEAR: u32 = 0x1c;

    /// Is a time in 2026, half a second after `seconds` have passed.
    fn at(seconds: u64) -> u64 {
        (START + seconds) * SECOND + SECOND / 2
    }

    const START: u64 = 1_790_000_000;

    fn read(clock: &mut Pl031, offset: u32, now: u64) -> u32 {
        clock.read(offset, 4, now).value
    }

    #[test]
    fn drivers_find_the_device() {
        let mut clock = Pl031::new(at(0));
        let bytes =
            |clock: &mut Pl031, base: u32| [0, 4, 8, 12].map(|offset| read(clock, base + offset, at(0)));
        assert_eq!(bytes(&mut clock, 0xfe0), [0x31, 0x10, 0x04, 0x00]);
        assert_eq!(bytes(&mut clock, 0xff0), [0x0d, 0xf0, 0x05, 0xb1]);
        assert_eq!(read(&mut clock, CONTROL, at(0)), 1);
        let _up = clock.write(CONTROL, 4, 0, at(0));
        assert_eq!(read(&mut clock, CONTROL, at(0)), 1, "it cannot be stopped");
    }

    #[test]
    fn it_says_what_the_host_says_until_it_is_set() {
        let mut clock = Pl031::new(at(0));
        assert_eq!(u64::from(read(&mut clock, COUNT, at(3))), START + 3);
        assert!(!clock.write(LOAD, 4, 100, at(4)));
        assert_eq!(read(&mut clock, LOAD, at(4)), 100);
        assert_eq!((read(&mut clock, COUNT, at(4)), read(&mut clock, COUNT, at(14))), (100, 110));
        assert!(!clock.write(LOAD, 4, u32::MAX, at(20)));
        assert_eq!(read(&mut clock, COUNT, at(22)), 1, "it comes round");
        assert_eq!(read(&mut clock, RAISED, at(21)), 1, "and has been zero, which was chosen at first");
    }

    #[test]
    fn the_alarm_comes_in_its_second() {
        let mut clock = Pl031::new(at(0));
        let chosen = u32::try_from(START + 10).unwrap();
        assert!(!clock.write(CHOSEN, 4, chosen, at(0)));
        assert_eq!(clock.alarm(), None, "nobody waits for it");
        assert!(!clock.write(MASK, 4, 1, at(0)));
        let when = clock.alarm().unwrap();
        assert_eq!(when, (START + 10) * SECOND);
        assert!(!clock.pass(when - 1));
        assert_eq!(read(&mut clock, RAISED, when - 1), 0);
        assert!(clock.pass(when));
        assert_eq!((read(&mut clock, RAISED, when), read(&mut clock, MASKED, when)), (1, 1));
        assert_eq!(clock.alarm(), None, "it is there");
        assert!(!clock.write(MASK, 4, 0, when));
        assert_eq!((read(&mut clock, RAISED, when), read(&mut clock, MASKED, when)), (1, 0));
        assert!(clock.write(MASK, 4, 1, when));
        assert!(clock.write(CLEAR, 4, 0, when));
        assert!(!clock.write(CLEAR, 4, 1, when), "in that second it does not come again");
        assert_eq!(clock.alarm(), Some((START + 10 + ROUND) * SECOND));
    }

    #[test]
    fn a_time_that_is_now_has_come() {
        let mut clock = Pl031::new(at(0));
        assert!(!clock.write(MASK, 4, 1, at(0)));
        assert!(clock.write(CHOSEN, 4, u32::try_from(START + 5).unwrap(), at(5)));
        assert!(!clock.write(CLEAR, 4, 1, at(5)));
        // Setting the clock brings it near, or there.
        assert!(!clock.write(CHOSEN, 4, 1000, at(5)));
        assert!(!clock.write(LOAD, 4, 998, at(5)));
        assert_eq!(clock.alarm(), Some((START + 7) * SECOND));
        assert!(clock.write(LOAD, 4, 1000, at(5)));
    }

    #[test]
    fn what_does_not_exist_is_zero() {
        let mut clock = Pl031::new(at(0));
        for (offset, size) in
            [(CHOSEN, 8), (CHOSEN + 1, 1), (CHOSEN + 2, 2), (0x20, 4), (0xfdc, 4), (0x1000, 4)]
        {
            assert!(!clock.write(offset, size, 7, at(0)));
            assert_eq!(clock.read(offset, size, at(0)), Answer { value: 0, interrupt: false });
        }
        assert_eq!(read(&mut clock, CHOSEN, at(0)), 0);
        assert!(!clock.write(CHOSEN, 2, 0x0001_0002, at(0)));
        assert_eq!(clock.read(CHOSEN, 1, at(0)).value, 2);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Steps through time second by second, and compares with one that is asked once at the end.
        #[test]
        fn the_alarm_is_not_missed_however_seldom_it_is_looked_at(
            load in any::<u32>(), distance in 1..40_u32, jump in 0..60_u64,
        ) {
            let mut clock = Pl031::new(at(0));
            let _up = clock.write(MASK, 4, 1, at(0));
            let _up = clock.write(LOAD, 4, load, at(0));
            let _up = clock.write(CHOSEN, 4, load.wrapping_add(distance), at(0));
            let _up = clock.write(CLEAR, 4, 1, at(0));
            prop_assert_eq!(clock.pass(at(jump)), jump >= u64::from(distance));
            prop_assert_eq!(read(&mut clock, COUNT, at(jump)), load.wrapping_add(jump as u32));
        }

        #[test]
        fn any_access_has_an_answer(
            accesses in proptest::collection::vec(
                (0..0x1004_u32, 0..9_u8, any::<u32>(), any::<bool>(), any::<u64>()), 0..100),
        ) {
            let mut clock = Pl031::new(0);
            for (offset, size, value, write, now) in accesses {
                let up = if write { clock.write(offset, size, value, now) } else { clock.read(offset, size, now).interrupt };
                prop_assert_eq!(up, clock.interrupt());
            }
        }
    }
}
