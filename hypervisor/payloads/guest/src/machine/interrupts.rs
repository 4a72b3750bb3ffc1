//! Taking interrupts, and counting them.

use core::arch::asm;
use core::sync::atomic::{AtomicU32, Ordering};

use tantalum_payload::cpu::Mutex;

use super::gic::{self, register};
use super::sysreg::{ICC_BPR1_EL1, ICC_CTLR_EL1, ICC_IGRPEN1_EL1, ICC_PMR_EL1, ICC_SRE_EL1};
use super::{cpus, mmio};

/// Wakes a CPU that has nothing to do: an SGI of our own. The others are for cases.
pub(crate) const WAKE: usize = 15;
/// Is the virtual timer.
pub(crate) const VIRTUAL_TIMER: usize = 27;
/// Is the physical timer of EL1.
pub(crate) const PHYSICAL_TIMER: usize = 30;

/// Bounds the numbers of interrupts that are counted.
const NUMBERS: usize = 320;

/// Affinity routing, Groups 1 and 0.
pub(crate) const DISTRIBUTOR_ON: u32 = 1 << 4 | 1 << 1 | 1;

/// Counts what arrived, by CPU and interrupt.
static ARRIVED: [[AtomicU32; NUMBERS]; cpus::MOST] =
    [const { [const { AtomicU32::new(0) }; NUMBERS] }; cpus::MOST];

/// Is what is done about an interrupt, whose number it gets, before it is ended, such as to silence a device.
type Hook = fn(usize);

static HOOKS: [Mutex<Option<Hook>>; NUMBERS] = [const { Mutex::new(None) }; NUMBERS];

/// Sets up the GIC for this CPU and lets interrupts in.
pub(super) fn set_up(cpu: usize) {
    ICC_SRE_EL1.write(1);
    let control = gic::DISTRIBUTOR + register::CTLR;
    if mmio::read32(control) & DISTRIBUTOR_ON != DISTRIBUTOR_ON {
        mmio::write32(control, DISTRIBUTOR_ON);
    }
    // Wake the redistributor where it sleeps.
    let waker = gic::redistributor(cpu) + register::GICR_WAKER;
    if mmio::read32(waker) & 1 << 1 != 0 {
        mmio::write32(waker, 0);
        tantalum_payload::cpu::wait_until(|| mmio::read32(waker) & 1 << 2 == 0);
    }
    gic::private(cpu, WAKE).prepare(0xa0);
    reset_interface();
    unmask();
}

/// Gives the CPU interface its usual settings.
pub(crate) fn reset_interface() {
    ICC_PMR_EL1.write(0xff);
    ICC_BPR1_EL1.write(0);
    ICC_CTLR_EL1.write(0);
    ICC_IGRPEN1_EL1.write(1);
}

/// Takes the interrupts that are pending.
pub(super) extern "C" fn arrived() {
    loop {
        let intid = gic::acknowledge();
        if intid >= 1020 {
            return;
        }
        let number = intid as usize;
        let hook = HOOKS.get(number).and_then(|hook| *hook.lock());
        if let Some(hook) = hook {
            hook(number);
        }
        if let Some(count) = ARRIVED[cpus::current()].get(number) {
            count.fetch_add(1, Ordering::AcqRel);
        }
        gic::end(intid);
    }
}

/// Returns how often `intid` has arrived on the CPU `cpu`.
pub(crate) fn count(cpu: usize, intid: usize) -> u32 {
    ARRIVED[cpu][intid].load(Ordering::Acquire)
}

/// Returns how often `intid` has arrived on all CPUs.
pub(crate) fn count_all(intid: usize) -> u32 {
    (0..cpus::count()).map(|cpu| count(cpu, intid)).sum()
}

/// Has `hook` done each time that `intid` arrives; `None` for nothing.
pub(crate) fn on_arrival(intid: usize, hook: Option<Hook>) {
    // Its interrupt must not come while this CPU has the lock.
    masked(|| *HOOKS[intid].lock() = hook);
}

/// Wakes another CPU.
pub(super) fn wake(cpu: usize) {
    gic::send(gic::sgi(WAKE, 1 << cpu));
}

/// Lets interrupts of higher priority in while one is handled: those that are pending are taken before it goes on.
pub(crate) fn nest() {
    // SAFETY: what an exception overwrites is kept around those that come; the vectors are in place.
    unsafe {
        asm!(
            "mrs {elr}, elr_el1",
            "mrs {spsr}, spsr_el1",
            "msr daifclr, #2",
            "isb",
            "nop",
            "msr daifset, #2",
            "msr elr_el1, {elr}",
            "msr spsr_el1, {spsr}",
            elr = out(reg) _,
            spsr = out(reg) _,
        );
    }
}

/// Masks interrupts on this CPU.
pub(crate) fn mask() {
    // SAFETY: it has no effect on memory.
    unsafe { asm!("msr daifset, #2", options(nostack)) };
}

/// Lets interrupts in on this CPU.
pub(crate) fn unmask() {
    // SAFETY: the vectors are in place.
    unsafe { asm!("msr daifclr, #2", options(nostack)) };
}

/// Tells whether interrupts are masked on this CPU.
fn are_masked() -> bool {
    super::sysreg::read::daif() & 1 << 7 != 0
}

/// Runs `work` with interrupts masked on this CPU.
pub(crate) fn masked<T>(work: impl FnOnce() -> T) -> T {
    let before = are_masked();
    mask();
    let result = work();
    if !before {
        unmask();
    }
    result
}

/// Waits for an interrupt unless `ready`, without missing one in between.
pub(crate) fn sleep_unless(ready: &dyn Fn() -> bool) {
    masked(|| {
        if !ready() {
            super::sysreg::wfi();
        }
    });
}

/// Sleeps until `ready`, which an interrupt brings about.
pub(crate) fn sleep_until(ready: impl Fn() -> bool) {
    while !ready() {
        sleep_unless(&ready);
    }
}
