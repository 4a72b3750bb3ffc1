//! How much a port may send.

/// Limits what a port may send: a bucket holds as much as comes in during one slice of time, and fills evenly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// How many frames.
    pub frames: u32,
    /// How many bytes, headers among them.
    pub bytes: u32,
    /// In which time, in the caller's unit, not zero.
    pub slice: u32,
}

/// Holds what a port may still send.
#[derive(Debug)]
pub(super) struct Allowance {
    frames: Bucket,
    bytes: Bucket,
}

impl Allowance {
    /// Holds nothing.
    pub(super) const EMPTY: Self = Self { frames: Bucket::new(0, 0), bytes: Bucket::new(0, 0) };

    /// Holds as much as a limit allows.
    pub(super) const fn full(limit: &Limit, now: u64) -> Self {
        Self { frames: Bucket::new(limit.frames, now), bytes: Bucket::new(limit.bytes, now) }
    }

    /// Takes a frame of `bytes`, or nothing, and tells whether it did.
    pub(super) fn take(&mut self, limit: &Limit, bytes: u32, now: u64) -> bool {
        self.frames.refill(limit.frames, limit.slice, now);
        self.bytes.refill(limit.bytes, limit.slice, now);
        match (self.frames.level.checked_sub(1), self.bytes.level.checked_sub(bytes)) {
            (Some(frames), Some(bytes)) => {
                self.frames.level = frames;
                self.bytes.level = bytes;
                true
            }
            _ => false,
        }
    }
}

/// Is what may still be sent of one unit.
#[derive(Debug)]
struct Bucket {
    level: u32,
    /// Up to when it was filled, and the part of a unit that has come in, as a number of which a slice is a whole unit.
    since: u64,
    fraction: u64,
}

impl Bucket {
    const fn new(level: u32, now: u64) -> Self {
        Self { level, since: now, fraction: 0 }
    }

    /// Adds what has come in at `rate` per `slice`, up to `rate`.
    fn refill(&mut self, rate: u32, slice: u32, now: u64) {
        let slice = u64::from(slice);
        // A product of two numbers of 32 bits and a number of 32 bits do not overflow.
        let elapsed = now.saturating_sub(self.since).min(slice);
        let earned = elapsed.saturating_mul(rate.into()).saturating_add(self.fraction);
        let whole = earned.checked_div(slice).unwrap_or(0);
        let fraction = earned.checked_rem(slice).unwrap_or(0);
        self.level = self.level.saturating_add(u32::try_from(whole).unwrap_or(u32::MAX)).min(rate);
        // A full bucket takes nothing more, not even a part.
        self.fraction = if self.level == rate { 0 } else { fraction };
        self.since = now.max(self.since);
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Over any time a port that has used up what it had sends just what has come in since.
        #[test]
        fn a_port_gets_its_share(gaps in prop::collection::vec(0u64..40, 1..300), frames in 2u32..50) {
            let limit = Limit { frames, bytes: u32::MAX, slice: 1000 };
            let mut allowance = Allowance::full(&limit, 0);
            let mut now = 0;
            let mut sent: Vec<u64> = Vec::new();
            while allowance.take(&limit, 1, now) {
                sent.push(now);
            }
            prop_assert_eq!(sent.len(), frames as usize);
            for gap in gaps {
                now += gap;
                while allowance.take(&limit, 1, now) {
                    sent.push(now);
                }
                let earned = now * u64::from(frames) / u64::from(limit.slice);
                prop_assert_eq!(sent.len() as u64, u64::from(frames) + earned, "at {}", now);
            }
        }
    }
}
