//! The life of a partition, from its memory as it was loaded to the day it is stopped, and perhaps again.
//!
//! A partition that does what it may not is not stopped at once: its execution contexts may be in the middle of
//! something on several processing elements, and each of them has somebody who waits. So it is dying until each has
//! come to its end and everybody has been told. Only then what it had is given back, and only then may it begin anew:
//! at once, or when others have given back the last page that they have of it.
//!
//! The state is one atomic byte that every processing element reads, and every change is one of the transitions
//! below, made by exactly one of them.

use crate::sync::atomic::{AtomicU8, Ordering};

use tantalum_manifest::AbortAction;

/// Says where in its life a partition is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Life {
    /// Its memory is as it was loaded, and nothing of it has run since.
    Fresh = 0,
    /// Its first execution context initialises itself.
    Booting = 1,
    /// It serves.
    Live = 2,
    /// It is being stopped, for good: somebody may still be in the middle of something.
    Dying = 3,
    /// It is being stopped, and begins anew when everybody has come to an end.
    DyingToRestart = 4,
    /// One processing element gives back what it had.
    Burying = 5,
    /// One processing element gives back what it had and then restores its memory.
    Restoring = 6,
    /// It is stopped for good.
    Stopped = 7,
    /// It begins anew once all its memory is its own again, of which others have some.
    Incomplete = 8,
}

/// Says how the rest has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The partition's memory is as it was loaded.
    Fresh,
    /// Others have part of its memory.
    Incomplete,
    /// The partition cannot begin anew.
    Over,
}

/// Says what is left to do with a partition of which nothing runs any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    /// To give back what it had.
    Bury,
    /// To give back what it had and to restore its memory.
    Restore,
}

impl Life {
    const ALL: [Self; 9] = [
        Self::Fresh,
        Self::Booting,
        Self::Live,
        Self::Dying,
        Self::DyingToRestart,
        Self::Burying,
        Self::Restoring,
        Self::Stopped,
        Self::Incomplete,
    ];

    /// Begins the first life or the next: who gets `Some` starts the first execution context.
    const fn claimed(self) -> Option<Self> {
        match self {
            Self::Fresh => Some(Self::Booting),
            Self::Booting
            | Self::Live
            | Self::Dying
            | Self::DyingToRestart
            | Self::Burying
            | Self::Restoring
            | Self::Stopped
            | Self::Incomplete => None,
        }
    }

    /// Ends the initialisation.
    const fn initialised(self) -> Option<Self> {
        match self {
            Self::Booting => Some(Self::Live),
            Self::Fresh
            | Self::Live
            | Self::Dying
            | Self::DyingToRestart
            | Self::Burying
            | Self::Restoring
            | Self::Stopped
            | Self::Incomplete => None,
        }
    }

    /// Begins to stop the partition.
    ///
    /// One that cannot even initialise itself is not given another chance: it would fail for ever.
    const fn aborted(self, action: AbortAction) -> Option<Self> {
        match (self, action) {
            (Self::Live, AbortAction::Restart) => Some(Self::DyingToRestart),
            (Self::Live, AbortAction::Stop | AbortAction::Destroy | AbortAction::Propagate)
            | (Self::Fresh | Self::Booting, _) => Some(Self::Dying),
            (
                Self::Dying
                | Self::DyingToRestart
                | Self::Burying
                | Self::Restoring
                | Self::Stopped
                | Self::Incomplete,
                _,
            ) => None,
        }
    }

    /// Goes on when nothing of the partition runs or waits for somebody any more: who gets `Some` does the rest.
    const fn settled(self) -> Option<(Self, Rest)> {
        match self {
            Self::Dying => Some((Self::Burying, Rest::Bury)),
            Self::DyingToRestart => Some((Self::Restoring, Rest::Restore)),
            Self::Fresh
            | Self::Booting
            | Self::Live
            | Self::Burying
            | Self::Restoring
            | Self::Stopped
            | Self::Incomplete => None,
        }
    }

    /// Goes on when all its memory is the partition's own again: who gets `Some` restores it.
    const fn completed(self) -> Option<Self> {
        match self {
            Self::Incomplete => Some(Self::Restoring),
            Self::Fresh
            | Self::Booting
            | Self::Live
            | Self::Dying
            | Self::DyingToRestart
            | Self::Burying
            | Self::Restoring
            | Self::Stopped => None,
        }
    }

    /// Ends the rest.
    const fn rested(self, outcome: Outcome) -> Option<Self> {
        match (self, outcome) {
            (Self::Restoring, Outcome::Fresh) => Some(Self::Fresh),
            (Self::Restoring, Outcome::Incomplete) => Some(Self::Incomplete),
            (Self::Restoring, Outcome::Over) | (Self::Burying, _) => Some(Self::Stopped),
            (
                Self::Fresh
                | Self::Booting
                | Self::Live
                | Self::Dying
                | Self::DyingToRestart
                | Self::Stopped
                | Self::Incomplete,
                _,
            ) => None,
        }
    }
}

/// Holds where in its life a partition is, for every processing element to read.
#[derive(Debug)]
pub(crate) struct Lifecycle(AtomicU8);

impl Lifecycle {
    /// Builds the state of a partition that has just been loaded.
    pub(crate) const fn new() -> Self {
        Self(AtomicU8::new(Life::Fresh as u8))
    }

    /// Returns where in its life the partition is.
    pub(crate) fn now(&self) -> Life {
        from_raw(self.0.load(Ordering::Acquire))
    }

    /// Tells whether the partition is being stopped or has been.
    ///
    /// Read on every event, so it is one comparison.
    #[inline]
    pub(crate) fn is_over(&self) -> bool {
        self.0.load(Ordering::Relaxed) > Life::Live as u8
    }

    /// Claims a fresh partition: true for exactly one caller, who starts its first execution context.
    pub(crate) fn claim(&self) -> bool {
        self.change(|life| life.claimed().map(|next| (next, ()))).is_some()
    }

    /// Notes that the first execution context has initialised the partition; does nothing for the others.
    pub(crate) fn initialised(&self) {
        let _ = self.change(|life| life.initialised().map(|next| (next, ())));
    }

    /// Begins to stop the partition: true for the first one who does.
    pub(crate) fn abort(&self, action: AbortAction) -> bool {
        self.change(|life| life.aborted(action).map(|next| (next, ()))).is_some()
    }

    /// Takes up the rest once nothing of a dying partition runs any more: `Some` for exactly one caller, who then
    /// calls [`Self::rested`].
    pub(crate) fn settle(&self) -> Option<Rest> {
        self.change(Life::settled)
    }

    /// Takes up the rest again, since all its memory is the partition's own: true for exactly one caller, who then
    /// restores it and calls [`Self::rested`].
    pub(crate) fn complete(&self) -> bool {
        self.change(|life| life.completed().map(|next| (next, ()))).is_some()
    }

    /// Ends the rest.
    pub(crate) fn rested(&self, outcome: Outcome) {
        let _ = self.change(|life| life.rested(outcome).map(|next| (next, ())));
    }

    /// Makes a transition that exists in the present state, and returns what comes with it.
    fn change<T>(&self, transition: impl Fn(Life) -> Option<(Life, T)>) -> Option<T> {
        let mut now = self.0.load(Ordering::Acquire);
        loop {
            let (next, result) = transition(from_raw(now))?;
            match self.0.compare_exchange(now, next as u8, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Some(result),
                Err(other) => now = other,
            }
        }
    }
}

/// Returns the state with the number `raw`. Only numbers of states are stored.
fn from_raw(raw: u8) -> Life {
    Life::ALL.get(usize::from(raw)).copied().unwrap_or(Life::Stopped)
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::Life::{Booting, Burying, Dying, DyingToRestart, Fresh, Incomplete, Live, Restoring, Stopped};
    use super::*;

    #[test]
    fn every_state_has_its_number() {
        for life in Life::ALL {
            assert_eq!(from_raw(life as u8), life);
        }
        assert_eq!(from_raw(9), Stopped);
    }

    #[test]
    fn each_transition_exists_where_it_makes_sense_and_nowhere_else() {
        type Transition = fn(Life) -> Option<Life>;
        type Row = [Option<Life>; 9];
        const NO: Option<Life> = None;
        let table: [(&str, Transition, Row); 9] = [
            ("claim", Life::claimed, [Some(Booting), NO, NO, NO, NO, NO, NO, NO, NO]),
            ("initialised", Life::initialised, [NO, Some(Live), NO, NO, NO, NO, NO, NO, NO]),
            (
                "abort, stop",
                |life| life.aborted(AbortAction::Stop),
                [Some(Dying), Some(Dying), Some(Dying), NO, NO, NO, NO, NO, NO],
            ),
            (
                "abort, restart",
                |life| life.aborted(AbortAction::Restart),
                [Some(Dying), Some(Dying), Some(DyingToRestart), NO, NO, NO, NO, NO, NO],
            ),
            (
                "settled",
                |life| life.settled().map(|(next, _)| next),
                [NO, NO, NO, Some(Burying), Some(Restoring), NO, NO, NO, NO],
            ),
            ("completed", Life::completed, [NO, NO, NO, NO, NO, NO, NO, NO, Some(Restoring)]),
            (
                "over",
                |life| life.rested(Outcome::Over),
                [NO, NO, NO, NO, NO, Some(Stopped), Some(Stopped), NO, NO],
            ),
            (
                "incomplete",
                |life| life.rested(Outcome::Incomplete),
                [NO, NO, NO, NO, NO, Some(Stopped), Some(Incomplete), NO, NO],
            ),
            (
                "restored",
                |life| life.rested(Outcome::Fresh),
                [NO, NO, NO, NO, NO, Some(Stopped), Some(Fresh), NO, NO],
            ),
        ];
        for (name, transition, expected) in table {
            for (life, expected) in Life::ALL.into_iter().zip(expected) {
                assert_eq!(transition(life), expected, "{name} of {life:?}");
            }
        }
    }

    #[test]
    fn who_is_over_is_not_entered() {
        for life in Life::ALL {
            let lifecycle = Lifecycle(AtomicU8::new(life as u8));
            assert_eq!(lifecycle.is_over(), !matches!(life, Fresh | Booting | Live), "{life:?}");
            assert_eq!(lifecycle.now(), life);
        }
    }

    #[test]
    fn one_of_many_does_each_step() {
        let lifecycle = Lifecycle::new();
        let winners = |step: fn(&Lifecycle) -> bool| {
            let count = core::sync::atomic::AtomicUsize::new(0);
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        if step(&lifecycle) {
                            count.fetch_add(1, Ordering::Relaxed);
                        }
                    });
                }
            });
            count.into_inner()
        };
        for _ in 0..50 {
            assert_eq!(winners(Lifecycle::claim), 1);
            lifecycle.initialised();
            assert_eq!(winners(|lifecycle| lifecycle.abort(AbortAction::Restart)), 1);
            assert_eq!(winners(|lifecycle| lifecycle.settle() == Some(Rest::Restore)), 1);
            lifecycle.rested(Outcome::Incomplete);
            assert_eq!(winners(Lifecycle::complete), 1);
            lifecycle.rested(Outcome::Fresh);
        }
        assert!(lifecycle.claim());
        assert!(lifecycle.abort(AbortAction::Restart));
        assert_eq!(lifecycle.settle(), Some(Rest::Bury));
        lifecycle.rested(Outcome::Fresh);
        assert_eq!(lifecycle.now(), Stopped);
    }
}
