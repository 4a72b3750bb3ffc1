//! How much a device does at a time, and what is left.

/// Counts what a device may still do before it has to let the CPU go.
///
/// A unit pays for one access to guest memory of at most a page, and for what a backend does with a page. Whoever runs a
/// device bounds its time with it; what is left then is done by the next run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget(u32);

impl Budget {
    /// Lets a device do about twenty requests of 4 KiB at a time.
    pub const NORMAL: Self = Self(256);

    /// Builds a budget of `units`.
    pub const fn new(units: u32) -> Self {
        Self(units)
    }

    /// Returns how many units are left.
    pub const fn left(&self) -> u32 {
        self.0
    }

    /// Tells whether nothing is left.
    pub(crate) const fn is_spent(&self) -> bool {
        self.0 == 0
    }

    /// Takes `units`, and what is left if that is less: what was begun is finished, so that there is always progress.
    pub(crate) fn spend(&mut self, units: u32) {
        self.0 = self.0.saturating_sub(units);
    }

    /// Takes what moving `bytes` costs: one unit, and one for each whole page.
    pub(crate) fn spend_bytes(&mut self, bytes: u64) {
        let pages = u32::try_from(bytes >> 12).unwrap_or(u32::MAX);
        self.spend(pages.saturating_add(1));
    }
}

/// Says what a run has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Nothing that can be done now: the driver will notify, or the backend will say that it has something.
    Idle,
    /// The budget was spent: run again soon, without waiting for anything.
    More,
    /// The backend takes or gives nothing just now and will not say when it does: run again after a while.
    Blocked,
}
