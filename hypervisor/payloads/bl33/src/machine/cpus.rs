//! The CPUs: starting them, and running work on them.

use core::arch::asm;
use core::sync::atomic::{AtomicBool, Ordering};

use spin::Mutex;

use super::{interrupts, power};

/// Counts the CPUs of the machine.
pub(crate) const COUNT: usize = 8;

/// Is work for a CPU: somebody waits for its end and keeps what it refers to until then.
type Work = &'static (dyn Fn() + Sync);

/// Is what a CPU is given.
struct Slot {
    up: AtomicBool,
    /// Whether the work was taken and is not done.
    busy: AtomicBool,
    work: Mutex<Option<Work>>,
}

static SLOTS: [Slot; COUNT] =
    [const { Slot { up: AtomicBool::new(false), busy: AtomicBool::new(false), work: Mutex::new(None) } };
        COUNT];

unsafe extern "C" {
    fn bl33_secondary_entry();
}

/// Returns the index of this CPU.
pub(crate) fn current() -> usize {
    let affinity: usize;
    // SAFETY: reading the register has no effect.
    unsafe { asm!("mrs {}, mpidr_el1", out(reg) affinity, options(nomem, nostack, preserves_flags)) };
    affinity & 0xff
}

/// Turns a CPU on and waits until it is up.
///
/// # Errors
/// Returns PSCI's error code.
pub(crate) fn turn_on(cpu: usize) -> Result<(), i64> {
    SLOTS[cpu].up.store(false, Ordering::Release);
    power::cpu_on(cpu, bl33_secondary_entry as *const () as u64, cpu)?;
    while !SLOTS[cpu].up.load(Ordering::Acquire) {
        core::hint::spin_loop();
    }
    Ok(())
}

/// Turns a CPU off and waits until it is.
pub(crate) fn turn_off(cpu: usize) {
    start(cpu, &|| power::cpu_off());
    while power::is_on(cpu) {
        core::hint::spin_loop();
    }
    SLOTS[cpu].busy.store(false, Ordering::Release);
}

/// Runs `work` on the CPU `cpu` and waits for its end.
pub(crate) fn on(cpu: usize, work: impl Fn() + Sync) {
    if cpu == current() {
        return work();
    }
    start(cpu, &work);
    wait(cpu);
}

/// Runs `work` on all CPUs at once, each with its index, and waits for their end.
pub(crate) fn on_all(work: impl Fn(usize) + Sync) {
    let work = &work;
    let each: [_; COUNT] = core::array::from_fn(|cpu| move || work(cpu));
    let own = current();
    for (cpu, work) in each.iter().enumerate().filter(|(cpu, _)| *cpu != own) {
        start(cpu, work);
    }
    work(own);
    (0..COUNT).filter(|cpu| *cpu != own).for_each(wait);
}

/// Gives work to another CPU. Who calls this calls [`wait`] before the work goes out of scope.
fn start(cpu: usize, work: &(dyn Fn() + Sync)) {
    // SAFETY: only the lifetime is changed, and every caller waits until the work is done.
    let work = unsafe { core::mem::transmute::<&(dyn Fn() + Sync), Work>(work) };
    let slot = &SLOTS[cpu];
    assert!(slot.up.load(Ordering::Acquire), "CPU {cpu} is off");
    slot.busy.store(true, Ordering::Release);
    *slot.work.lock() = Some(work);
    interrupts::wake(cpu);
}

fn wait(cpu: usize) {
    while SLOTS[cpu].busy.load(Ordering::Acquire) {
        core::hint::spin_loop();
    }
}

/// Goes on from the entry code on other CPUs: does what it is given.
pub(super) extern "C" fn secondary_main(cpu: usize) -> ! {
    interrupts::set_up(cpu);
    let slot = &SLOTS[cpu];
    slot.up.store(true, Ordering::Release);
    loop {
        let work = slot.work.lock().take();
        match work {
            Some(work) => {
                work();
                slot.busy.store(false, Ordering::Release);
            }
            None => interrupts::sleep_unless(|| slot.work.lock().is_some()),
        }
    }
}

/// Marks the boot CPU, which nobody turned on, as up.
pub(crate) fn adopt_boot_cpu() {
    SLOTS[0].up.store(true, Ordering::Release);
}
