//! The CPUs: how each was entered, starting them, running work on them.

use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tantalum_payload::cpu::wait_until;
use tantalum_payload::workers::Workers;

use super::{interrupts, psci};

pub(crate) use tantalum_payload::cpu::current;

/// Bounds the number of CPUs.
pub(crate) const MOST: usize = 8;

static WORKERS: Workers<MOST> = Workers::new(interrupts::wake);

/// Is how many CPUs the device tree has.
static COUNT: AtomicUsize = AtomicUsize::new(1);

unsafe extern "C" {
    fn guest_secondary_entry();
}

/// Is what the registers were where a CPU began.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub(crate) struct Entered {
    pub(crate) x0: u64,
    pub(crate) x1: u64,
    pub(crate) x2: u64,
    pub(crate) x3: u64,
    pub(crate) sctlr_el1: u64,
    pub(crate) currentel: u64,
    pub(crate) daif: u64,
    pub(crate) spsel: u64,
}

/// Keeps what [`Entered`] has, by CPU.
static ENTERED: [[AtomicU64; 8]; MOST] = [const { [const { AtomicU64::new(0) }; 8] }; MOST];

/// Keeps how this CPU was entered.
pub(super) fn record(entered: &Entered) {
    let Entered { x0, x1, x2, x3, sctlr_el1, currentel, daif, spsel } = *entered;
    for (to, value) in ENTERED[current()].iter().zip([x0, x1, x2, x3, sctlr_el1, currentel, daif, spsel]) {
        to.store(value, Ordering::Release);
    }
}

/// Returns how a CPU was entered the last time.
pub(crate) fn entered(cpu: usize) -> Entered {
    let [x0, x1, x2, x3, sctlr_el1, currentel, daif, spsel] =
        core::array::from_fn(|at| ENTERED[cpu][at].load(Ordering::Acquire));
    Entered { x0, x1, x2, x3, sctlr_el1, currentel, daif, spsel }
}

/// Returns how many CPUs there are.
pub(crate) fn count() -> usize {
    COUNT.load(Ordering::Acquire)
}

/// Sets how many CPUs there are, and takes the boot CPU in, which nobody turned on.
pub(crate) fn set_count(count: usize) {
    assert!((1..=MOST).contains(&count), "{count} CPUs are more than {MOST}");
    COUNT.store(count, Ordering::Release);
    WORKERS.set_up(current(), true);
}

/// Returns the address at which CPUs begin.
pub(crate) fn entry_point() -> u64 {
    guest_secondary_entry as *const () as u64
}

/// Turns a CPU on, with `context` in its x0, and waits until it is up.
///
/// # Errors
/// Returns PSCI's error code.
pub(crate) fn turn_on_with(cpu: usize, context: u64) -> Result<(), i64> {
    match wait_for_up(cpu, || psci::cpu_on(cpu as u64, entry_point(), context)) {
        0 => Ok(()),
        error => Err(error),
    }
}

/// Waits until the CPU `cpu` is up, if `call`, which turns it on, says that it will be; returns what it says.
pub(crate) fn wait_for_up(cpu: usize, call: impl FnOnce() -> i64) -> i64 {
    WORKERS.set_up(cpu, false);
    let answer = call();
    if answer == 0 {
        wait_until(|| WORKERS.is_up(cpu));
    }
    answer
}

/// Turns a CPU on and waits until it is up.
///
/// # Errors
/// Returns PSCI's error code.
pub(crate) fn turn_on(cpu: usize) -> Result<(), i64> {
    turn_on_with(cpu, 0)
}

/// Turns a CPU off and waits until it is.
pub(crate) fn turn_off(cpu: usize) {
    WORKERS.dismiss(
        cpu,
        &|| {
            interrupts::mask();
            let error = psci::cpu_off();
            panic!("CPU_OFF came back with {error}");
        },
        || psci::affinity_info(cpu as u64, 0) == psci::OFF,
    );
}

/// Is the state, the context and the answer of [`power_down`].
static SUSPENDED: [AtomicU64; 3] = [const { AtomicU64::new(0) }; 3];
/// Is what the answer is while there is none.
const NO_ANSWER: u64 = u64::MAX;

/// Has a CPU suspend itself, with an interrupt pending, and waits until it is back. Returns what the call returned;
/// `None` if it did not, and the CPU began at the entry point.
pub(crate) fn power_down(cpu: usize, state: u64, context: u64) -> Option<i64> {
    let [to_state, to_context, answer] = &SUSPENDED;
    to_state.store(state, Ordering::Release);
    to_context.store(context, Ordering::Release);
    answer.store(NO_ANSWER, Ordering::Release);
    WORKERS.restart(cpu, &|| {
        let [state, context, answer] = &SUSPENDED;
        interrupts::mask();
        // Something is pending, so that it does not sleep for long.
        interrupts::wake(current());
        let parameters = [state.load(Ordering::Acquire), entry_point(), context.load(Ordering::Acquire)];
        answer.store(psci::call(psci::function::CPU_SUSPEND, parameters) as u64, Ordering::Release);
        interrupts::unmask();
    });
    let answer = answer.load(Ordering::Acquire);
    (answer != NO_ANSWER).then_some(answer as i64)
}

/// Tells whether a CPU is one that was turned on and came up.
pub(crate) fn is_up(cpu: usize) -> bool {
    WORKERS.is_up(cpu)
}

/// Runs `work` on the CPU `cpu` and waits for its end.
pub(crate) fn on(cpu: usize, work: impl Fn() + Sync) {
    WORKERS.on(cpu, work);
}

/// Runs `work` on all CPUs at once, each with its index, and waits for their end.
pub(crate) fn on_all(work: impl Fn(usize) + Sync) {
    WORKERS.on_first(count(), work);
}

/// Runs `work` on the first `count` CPUs at once.
pub(crate) fn on_first(count: usize, work: impl Fn(usize) + Sync) {
    WORKERS.on_first(count, work);
}

/// Returns the indices of all CPUs but this one.
pub(crate) fn others() -> impl Iterator<Item = usize> {
    let own = current();
    (0..count()).filter(move |cpu| *cpu != own)
}

/// Goes on from the entry code on other CPUs: does what it is given.
pub(super) extern "C" fn secondary_main(entered: &Entered) -> ! {
    record(entered);
    interrupts::set_up(current());
    WORKERS.serve(current(), interrupts::sleep_unless)
}

/// Lets all CPUs that call it go on together, again and again.
pub(crate) struct Barrier {
    arrived: AtomicUsize,
    round: AtomicUsize,
    members: usize,
}

impl Barrier {
    /// Makes one for `members` CPUs.
    pub(crate) const fn new(members: usize) -> Self {
        Self { arrived: AtomicUsize::new(0), round: AtomicUsize::new(0), members }
    }

    /// Waits until all members do.
    pub(crate) fn wait(&self) {
        let round = self.round.load(Ordering::Acquire);
        if self.arrived.fetch_add(1, Ordering::AcqRel) + 1 == self.members {
            self.arrived.store(0, Ordering::Release);
            self.round.store(round + 1, Ordering::Release);
        } else {
            wait_until(|| self.round.load(Ordering::Acquire) != round);
        }
    }
}
