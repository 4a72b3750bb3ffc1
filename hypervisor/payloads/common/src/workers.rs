//! Work for the other CPUs.

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crate::cpu::{self, Mutex};

/// Is work for a CPU: somebody waits for its end and keeps what it refers to until then.
type Work = &'static (dyn Fn() + Sync);

/// Is what a CPU is given.
struct Slot {
    up: AtomicBool,
    /// Whether the work was taken and is not done.
    busy: AtomicBool,
    work: Mutex<Option<Work>>,
    /// Counts how often it has become ready for work.
    ready: AtomicU32,
}

/// Holds what each of `N` CPUs is given to do.
pub struct Workers<const N: usize> {
    slots: [Slot; N],
    /// Wakes a CPU that sleeps.
    wake: fn(usize),
}

impl<const N: usize> Workers<N> {
    /// Makes it for CPUs of which none is up, and which `wake` wakes.
    pub const fn new(wake: fn(usize)) -> Self {
        let slots = [const {
            Slot {
                up: AtomicBool::new(false),
                busy: AtomicBool::new(false),
                work: Mutex::new(None),
                ready: AtomicU32::new(0),
            }
        }; N];
        Self { slots, wake }
    }

    /// Says whether a CPU is up.
    pub fn set_up(&self, cpu: usize, up: bool) {
        self.slots[cpu].up.store(up, Ordering::Release);
    }

    /// Tells whether a CPU is up.
    pub fn is_up(&self, cpu: usize) -> bool {
        self.slots[cpu].up.load(Ordering::Acquire)
    }

    /// Runs `work` on the CPU `cpu` and waits for its end.
    pub fn on(&self, cpu: usize, work: impl Fn() + Sync) {
        if cpu == cpu::current() {
            return work();
        }
        self.start(cpu, &work);
        self.wait(cpu);
    }

    /// Runs `work` on the first `count` CPUs at once, each with its index, and waits for their end.
    pub fn on_first(&self, count: usize, work: impl Fn(usize) + Sync) {
        let work = &work;
        let each: [_; N] = core::array::from_fn(|cpu| move || work(cpu));
        let own = cpu::current();
        let others = || each.iter().enumerate().take(count).filter(|(cpu, _)| *cpu != own);
        for (cpu, work) in others() {
            self.start(cpu, work);
        }
        if own < count {
            work(own);
        }
        others().for_each(|(cpu, _)| self.wait(cpu));
    }

    /// Gives the CPU `cpu` work that it does not come back from: `gone` tells when it has not.
    pub fn dismiss(&self, cpu: usize, work: &'static (dyn Fn() + Sync), gone: impl Fn() -> bool) {
        self.start(cpu, work);
        cpu::wait_until(gone);
        self.set_up(cpu, false);
        self.slots[cpu].busy.store(false, Ordering::Release);
    }

    /// Gives the CPU `cpu` work that may end by [`Self::serve`] being called anew, and waits until it is ready for more.
    pub fn restart(&self, cpu: usize, work: &'static (dyn Fn() + Sync)) {
        let ready = &self.slots[cpu].ready;
        let before = ready.load(Ordering::Acquire);
        self.start(cpu, work);
        cpu::wait_until(|| ready.load(Ordering::Acquire) != before);
        self.slots[cpu].busy.store(false, Ordering::Release);
    }

    /// Gives work to another CPU. Who calls this calls [`Self::wait`] before the work goes out of scope.
    fn start(&self, cpu: usize, work: &(dyn Fn() + Sync)) {
        // SAFETY: only the lifetime is changed, and every caller waits until the work is done.
        let work = unsafe { core::mem::transmute::<&(dyn Fn() + Sync), Work>(work) };
        assert!(self.is_up(cpu), "CPU {cpu} is off");
        let slot = &self.slots[cpu];
        slot.busy.store(true, Ordering::Release);
        *slot.work.lock() = Some(work);
        (self.wake)(cpu);
    }

    fn wait(&self, cpu: usize) {
        cpu::wait_until(|| !self.slots[cpu].busy.load(Ordering::Acquire));
    }

    /// Does on the CPU `cpu`, which is this one, what it is given, for ever. `sleep_unless` waits for an interrupt
    /// unless what it is given is so.
    pub fn serve(&self, cpu: usize, sleep_unless: impl Fn(&dyn Fn() -> bool)) -> ! {
        let slot = &self.slots[cpu];
        slot.ready.fetch_add(1, Ordering::AcqRel);
        self.set_up(cpu, true);
        loop {
            let work = slot.work.lock().take();
            match work {
                Some(work) => {
                    work();
                    slot.ready.fetch_add(1, Ordering::AcqRel);
                    slot.busy.store(false, Ordering::Release);
                }
                None => sleep_unless(&|| slot.work.lock().is_some()),
            }
        }
    }
}
