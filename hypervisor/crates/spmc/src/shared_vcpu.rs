//! An execution context that every processing element can reach, under its lock.
//!
//! The lock is fair: whoever asks for it first has it first. That has a price where many ask for work of one that is at
//! it for somebody else: each of them would stand in the queue in front of the one who has to lock it in order to answer,
//! and where processing elements themselves take turns, as under an emulator, the queue would go on by one place for
//! each turn. So whether it is at work is also said beside the lock, and who only wants to give it work need not queue to
//! be told that it is busy.

use crate::sync::atomic::{AtomicBool, Ordering};
use core::ops::{Deref, DerefMut};

use crate::sync::{Mutex, MutexGuard};

use crate::vcpu::Vcpu;

/// Is an execution context with its lock.
#[derive(Debug)]
pub(crate) struct SharedVcpu {
    vcpu: Mutex<Vcpu>,
    /// Whether it was at work when it was unlocked last.
    at_work: AtomicBool,
}

/// Is an execution context that is locked.
#[derive(Debug)]
pub(crate) struct VcpuGuard<'a> {
    vcpu: MutexGuard<'a, Vcpu>,
    at_work: &'a AtomicBool,
}

impl SharedVcpu {
    /// Builds an execution context that has not been started.
    pub(crate) const fn new() -> Self {
        Self { vcpu: Mutex::new(Vcpu::new()), at_work: AtomicBool::new(false) }
    }

    /// Locks it.
    #[inline]
    pub(crate) fn lock(&self) -> VcpuGuard<'_> {
        VcpuGuard { vcpu: self.vcpu.lock(), at_work: &self.at_work }
    }

    /// Tells, without the lock, whether it is in the middle of something.
    ///
    /// Who has seen the end of its work sees it idle: the end is written before the lock is given back.
    #[inline]
    pub(crate) fn is_at_work(&self) -> bool {
        self.at_work.load(Ordering::Relaxed)
    }
}

impl Deref for VcpuGuard<'_> {
    type Target = Vcpu;

    #[inline]
    fn deref(&self) -> &Vcpu {
        &self.vcpu
    }
}

impl DerefMut for VcpuGuard<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut Vcpu {
        &mut self.vcpu
    }
}

impl Drop for VcpuGuard<'_> {
    #[inline]
    fn drop(&mut self) {
        // Still under the lock, which is given back when the fields are dropped.
        self.at_work.store(self.vcpu.is_at_work(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vcpu::{AfterInit, RunModel};
    use tantalum_ffa::Status;

    #[test]
    fn what_is_said_beside_the_lock_follows_the_state() {
        let shared = SharedVcpu::new();
        assert!(!shared.is_at_work());
        shared.lock().start(AfterInit::NextInBoot).unwrap();
        assert!(shared.is_at_work());
        shared.lock().wait().unwrap();
        assert!(!shared.is_at_work());
        shared.lock().enter(RunModel::Run).unwrap();
        assert!(shared.is_at_work());
        // Known while somebody else has the lock.
        let mut locked = shared.lock();
        assert!(shared.is_at_work());
        locked.preempt().unwrap();
        drop(locked);
        assert!(shared.is_at_work(), "also while it does not run");
        assert_eq!(shared.lock().enter(RunModel::Run), Err(Status::Busy));
        shared.lock().abort();
        assert!(!shared.is_at_work());
    }
}
