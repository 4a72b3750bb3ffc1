//! The time of day, which virtual machines read from their clocks.

use core::sync::atomic::Ordering;

use tantalum_hal::vm::Host;

use crate::cpu::Cpu;
use crate::layout::CLOCK_INTID;
use crate::vm::Vm;
use crate::vmm::Vmm;

const SECOND: u64 = 1_000_000_000;

/// Returns how many nanoseconds `count` counts of a counter take that counts `frequency` times in a second.
pub fn nanoseconds(count: u64, frequency: u64) -> u64 {
    scale(count, frequency, SECOND)
}

/// Returns how many counts there are in `nanoseconds`.
pub fn counts(nanoseconds: u64, frequency: u64) -> u64 {
    scale(nanoseconds, SECOND, frequency)
}

/// Turns a number of units of which there are `from` in a second into those of which there are `to`.
fn scale(number: u64, from: u64, to: u64) -> u64 {
    let seconds = number.checked_div(from).unwrap_or(0);
    let rest = number.checked_rem(from).unwrap_or(0);
    let part = rest.saturating_mul(to).checked_div(from).unwrap_or(0);
    seconds.saturating_mul(to).saturating_add(part)
}

impl Vmm {
    /// Returns the nanoseconds since 1970.
    pub(crate) fn nanoseconds(&self, host: &impl Host) -> u64 {
        self.epoch.saturating_add(nanoseconds(host.now(), host.frequency()))
    }

    /// Raises the alarm of a virtual machine's clock if it is due at the system count `now`.
    pub(crate) fn look_at_clock<H: Host>(&self, cpu: &mut Cpu, vm: &Vm, now: u64, host: &H) {
        if vm.alarm() > now {
            return;
        }
        let time = self.nanoseconds(host);
        let mut clock = vm.clock.lock();
        let up = clock.device.pass(time);
        let concerned = clock.set_line(&vm.vgic, CLOCK_INTID, up);
        self.note_alarm(vm, clock.device.alarm(), host);
        drop(clock);
        self.concern(cpu, vm, concerned, host);
    }

    /// Takes note of when a clock, which is locked, raises its interrupt.
    pub(crate) fn note_alarm<H: Host>(&self, vm: &Vm, alarm: Option<u64>, host: &H) {
        let frequency = host.frequency();
        // One more, since what is cut off must not make it too early.
        let count = alarm
            .map_or(u64::MAX, |alarm| counts(alarm.saturating_sub(self.epoch), frequency).saturating_add(1));
        vm.alarm.store(count, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_second_is_a_second() {
        assert_eq!(nanoseconds(62_500_000, 62_500_000), SECOND);
        assert_eq!(counts(SECOND, 62_500_000), 62_500_000);
        assert_eq!(nanoseconds(5, 0), 0);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn an_alarm_is_never_too_early(time in 0..u64::MAX >> 24, frequency in 1_000_000..1_000_000_001_u64) {
            let at = counts(time, frequency) + 1;
            prop_assert!(nanoseconds(at, frequency) + 1 >= time);
        }
    }
}
