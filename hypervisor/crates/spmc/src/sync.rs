//! Locks and atomic words, in one place so that a test can take others.
//!
//! With `--cfg shuttle` they are those of the `shuttle` crate, which runs threads one at a time and switches at each of
//! these operations, in every order or in many that a seed names. It takes the operations for sequentially consistent.

#[cfg(not(shuttle))]
pub(crate) use core::sync::atomic;
#[cfg(not(shuttle))]
pub(crate) use spin::{Mutex, MutexGuard};

#[cfg(shuttle)]
pub(crate) use shuttle::sync::{MutexGuard, atomic};
#[cfg(shuttle)]
pub(crate) use under_shuttle::Mutex;

#[cfg(shuttle)]
mod under_shuttle {
    use super::MutexGuard;

    /// Is a lock with the interface of `spin`'s.
    #[derive(Debug)]
    pub(crate) struct Mutex<T>(shuttle::sync::Mutex<T>);

    #[allow(clippy::unwrap_used)]
    impl<T> Mutex<T> {
        pub(crate) const fn new(value: T) -> Self {
            Self(shuttle::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().unwrap()
        }

        pub(crate) fn get_mut(&mut self) -> &mut T {
            self.0.get_mut().unwrap()
        }
    }
}
