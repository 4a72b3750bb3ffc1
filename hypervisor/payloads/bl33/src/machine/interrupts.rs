//! The GIC and the timers of EL2 and EL1, and a count of the interrupts that arrived.

use core::arch::asm;
use core::ptr::with_exposed_provenance_mut;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::cpus;

/// Wakes a CPU: an SGI of our own.
pub(crate) const WAKE: usize = 1;
/// Is the SGI by which the secure world asks the scheduler to run a receiver.
pub(crate) const SCHEDULE_RECEIVER: usize = 8;
/// Is the physical timer of EL2.
pub(crate) const TIMER_EL2: usize = 26;
/// Is the physical timer of EL1.
pub(crate) const TIMER_EL1: usize = 30;

const DISTRIBUTOR_CONTROL: usize = 0x0800_0000;
/// Affinity routing and Group 1, in the view of the normal world.
const DISTRIBUTOR_ON: u32 = 1 << 4 | 1 << 1;
const REDISTRIBUTORS: usize = 0x080a_0000;
const REDISTRIBUTOR_SIZE: usize = 0x2_0000;
/// From the redistributor's start: the registers of SGIs and PPIs.
const SET_ENABLE: usize = 0x1_0100;
const PRIORITY: usize = 0x1_0400;
/// There is nothing to acknowledge.
const SPURIOUS: u32 = 1020;

/// Counts what arrived, by CPU and interrupt.
static ARRIVED: [[AtomicU32; 32]; cpus::COUNT] = [const { [const { AtomicU32::new(0) }; 32] }; cpus::COUNT];

/// Is after how many ticks the timer of EL2 fires again, by CPU; zero where it does not.
static PERIODS: [AtomicU64; cpus::COUNT] = [const { AtomicU64::new(0) }; cpus::COUNT];

fn write(address: usize, value: u32) {
    // SAFETY: all addresses are of the GIC's registers, mapped as device memory, and set up nobody's interrupts
    // but ours.
    unsafe { with_exposed_provenance_mut::<u32>(address).write_volatile(value) };
}

/// Sets up the GIC for this CPU and lets interrupts in.
pub(super) fn set_up(cpu: usize) {
    write(DISTRIBUTOR_CONTROL, DISTRIBUTOR_ON);
    let redistributor = REDISTRIBUTORS + cpu * REDISTRIBUTOR_SIZE;
    for intid in [WAKE, SCHEDULE_RECEIVER, TIMER_EL2, TIMER_EL1] {
        let at = redistributor + PRIORITY + intid;
        // SAFETY: as in `write`; priorities may be written by byte.
        unsafe { with_exposed_provenance_mut::<u8>(at).write_volatile(0xa0) };
        write(redistributor + SET_ENABLE, 1 << intid);
    }
    // SAFETY: turns on the CPU interface, for Group 1 at any priority, and unmasks IRQs: the vectors are in place.
    unsafe {
        asm!(
            "msr icc_sre_el2, {sre}",
            "isb",
            "msr icc_pmr_el1, {mask}",
            "msr icc_ctlr_el1, xzr",
            "msr icc_igrpen1_el1, {one}",
            "isb",
            "msr daifclr, #2",
            sre = in(reg) 0xf_u64,
            mask = in(reg) 0xff_u64,
            one = in(reg) 1_u64,
            options(nostack),
        );
    }
}

/// Takes the interrupts that are pending. Each timer is turned off when it has fired, unless it is to fire again.
pub(super) extern "C" fn arrived() {
    loop {
        let intid: u64;
        // SAFETY: acknowledges an interrupt, as its handler must.
        unsafe { asm!("mrs {}, icc_iar1_el1", "dsb sy", out(reg) intid, options(nostack)) };
        let number = (intid & 0xff_ffff) as usize;
        if intid & 0xff_ffff >= SPURIOUS.into() {
            return;
        }
        if let Some(count) = ARRIVED[cpus::current()].get(number) {
            count.fetch_add(1, Ordering::AcqRel);
        }
        match number {
            TIMER_EL2 => match PERIODS[cpus::current()].load(Ordering::Acquire) {
                0 => turn_off_el2_timer(),
                period => fire_el2_timer(period),
            },
            // SAFETY: the timer is ours.
            TIMER_EL1 => unsafe { asm!("msr cntp_ctl_el0, xzr", "isb", options(nostack)) },
            _ => {}
        }
        // SAFETY: ends the interrupt that was acknowledged.
        unsafe { asm!("msr icc_eoir1_el1, {}", "isb", in(reg) intid, options(nostack)) };
    }
}

/// Returns how often `intid` has arrived on the CPU `cpu`.
pub(crate) fn count(cpu: usize, intid: usize) -> u32 {
    ARRIVED[cpu][intid].load(Ordering::Acquire)
}

/// Lets the physical timer of EL2 of this CPU fire once after `ticks`.
pub(crate) fn fire_el2_timer(ticks: u64) {
    // SAFETY: the timer is ours, and its interrupt only counts.
    unsafe {
        asm!("msr cnthp_tval_el2, {}", "msr cnthp_ctl_el2, {}", "isb", in(reg) ticks, in(reg) 1_u64,
            options(nostack));
    }
}

/// Lets the physical timer of EL2 of this CPU fire, and again `ticks` after each time that it was seen.
pub(crate) fn repeat_el2_timer(ticks: u64) {
    PERIODS[cpus::current()].store(ticks, Ordering::Release);
    fire_el2_timer(ticks);
}

/// Ends what [`repeat_el2_timer`] has begun.
pub(crate) fn stop_el2_timer() {
    PERIODS[cpus::current()].store(0, Ordering::Release);
    turn_off_el2_timer();
}

fn turn_off_el2_timer() {
    // SAFETY: the timer is ours.
    unsafe { asm!("msr cnthp_ctl_el2, xzr", "isb", options(nostack)) };
}

/// Lets the physical timer of EL1 of this CPU fire once after `ticks`.
pub(crate) fn fire_el1_timer(ticks: u64) {
    // SAFETY: the timer is ours, and its interrupt only counts.
    unsafe {
        asm!("msr cntp_tval_el0, {}", "msr cntp_ctl_el0, {}", "isb", in(reg) ticks, in(reg) 1_u64,
            options(nostack));
    }
}

/// Wakes another CPU.
pub(super) fn wake(cpu: usize) {
    let value = (WAKE as u64) << 24 | 1 << cpu;
    // SAFETY: sends our own SGI, after what was written before is visible.
    unsafe { asm!("dsb ishst", "msr icc_sgi1r_el1, {}", "isb", in(reg) value, options(nostack)) };
}

/// Runs `work` with interrupts masked on this CPU.
pub(crate) fn masked<T>(work: impl FnOnce() -> T) -> T {
    // SAFETY: masking interrupts has no effect on memory.
    unsafe { asm!("msr daifset, #2", options(nostack)) };
    let result = work();
    // SAFETY: they were not masked: nobody nests this.
    unsafe { asm!("msr daifclr, #2", options(nostack)) };
    result
}

/// Waits for an interrupt unless `ready`, without missing one in between.
pub(super) fn sleep_unless(ready: &dyn Fn() -> bool) {
    masked(|| {
        if !ready() {
            // SAFETY: it waits; an interrupt ends that although it is masked.
            unsafe { asm!("wfi", options(nostack)) };
        }
    });
}
