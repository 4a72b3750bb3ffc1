//! Times: of the host, and of the guest by the kernel's own stamps.

use std::time::Duration;

/// Which clock the written reports use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// Seconds of the host since QEMU was started.
    Host,
    /// Only what the guest itself printed. Two runs of a deterministic guest then give
    /// the same bytes. Firmware lines carry no time and keep only their order.
    Virtual,
}

/// When a line came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// Host time since the start of QEMU.
    pub host: Duration,
    /// Time since the kernel started, if the kernel has printed one so far.
    pub guest: Option<Duration>,
}

impl Stamp {
    /// Gives the time by the given clock; the virtual clock may not have started.
    pub fn by(&self, clock: Clock) -> Option<Duration> {
        match clock {
            Clock::Host => Some(self.host),
            Clock::Virtual => self.guest,
        }
    }

    /// Gives the time from an earlier stamp to this one. The guest's own stamps are
    /// preferred, also under the host clock: they are not delayed by pipes or scheduling.
    pub fn since(&self, earlier: &Self, clock: Clock) -> Option<Duration> {
        match (self.guest, earlier.guest, clock) {
            (Some(end), Some(start), _) => Some(end.saturating_sub(start)),
            (_, _, Clock::Host) => Some(self.host.saturating_sub(earlier.host)),
            (_, _, Clock::Virtual) => None,
        }
    }
}

/// Splits printk's prefix `[    1.234567] ` off a line.
///
/// A caller id in a second pair of brackets (`[    1.234567][   T42] `) is dropped too.
pub fn split_printk(line: &str) -> (Option<Duration>, &str) {
    match parse_printk(line) {
        Some((time, rest)) => (Some(time), rest),
        None => (None, line),
    }
}

fn parse_printk(line: &str) -> Option<(Duration, &str)> {
    let (inside, rest) = line.strip_prefix('[')?.split_once(']')?;
    let (seconds, micros) = inside.trim_start().split_once('.')?;
    if micros.len() != 6 || !seconds.bytes().chain(micros.bytes()).all(|b| b.is_ascii_digit()) {
        return None;
    }
    let time = Duration::from_secs(seconds.parse().ok()?) + Duration::from_micros(micros.parse().ok()?);
    Some((time, strip_caller(rest)))
}

fn strip_caller(rest: &str) -> &str {
    let after = rest.strip_prefix('[').and_then(|r| r.split_once(']')).and_then(|(id, after)| {
        let id = id.trim_start();
        (id.starts_with(['T', 'C']) && id.len() > 1).then_some(after)
    });
    let rest = after.unwrap_or(rest);
    rest.strip_prefix(' ').unwrap_or(rest)
}

/// Writes a duration as seconds with the given number of decimals.
pub fn seconds(time: Duration, decimals: usize) -> String {
    format!("{:.*}", decimals, time.as_secs_f64())
}

/// Writes a duration for people: milliseconds below a second, seconds above.
pub fn readable(time: Duration) -> String {
    if time < Duration::from_secs(1) {
        format!("{:.1} ms", time.as_secs_f64() * 1000.0)
    } else {
        format!("{:.2} s", time.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printk_prefix_is_split_off() {
        let (time, rest) = split_printk("[    1.234567] ok 1 - ids");
        assert_eq!(time, Some(Duration::from_micros(1_234_567)));
        assert_eq!(rest, "ok 1 - ids");
    }

    #[test]
    fn caller_id_is_dropped() {
        let (time, rest) = split_printk("[   12.000001][   T42]   indented");
        assert_eq!(time, Some(Duration::from_micros(12_000_001)));
        assert_eq!(rest, "  indented");
    }

    #[test]
    fn durations_are_readable() {
        assert_eq!(readable(Duration::from_micros(449)), "0.4 ms");
        assert_eq!(readable(Duration::from_micros(12_345)), "12.3 ms");
        assert_eq!(readable(Duration::from_millis(1726)), "1.73 s");
    }

    #[test]
    fn other_brackets_are_left_alone() {
        for line in ["[spmc] INFO: x", "[    1.23] short", "[   x.234567] y", "[1.234567", ""] {
            assert_eq!(split_printk(line), (None, line));
        }
    }

    #[test]
    fn guest_time_is_preferred_and_the_virtual_clock_never_falls_back() {
        let at = |host, guest: Option<u64>| Stamp {
            host: Duration::from_millis(host),
            guest: guest.map(Duration::from_millis),
        };
        let (a, b) = (at(100, Some(10)), at(300, Some(15)));
        assert_eq!(b.since(&a, Clock::Host), Some(Duration::from_millis(5)));
        let (a, b) = (at(100, None), at(300, Some(15)));
        assert_eq!(b.since(&a, Clock::Host), Some(Duration::from_millis(200)));
        assert_eq!(b.since(&a, Clock::Virtual), None);
    }
}
