//! What a partition does with the processing element itself: interrupts masked or not, its timer, the counter, and
//! registers that are to keep what they hold.
//!
//! On the host, where partitions are tested, there is no such processing element: interrupts never come, the counter
//! counts how often it is read, and registers keep what they hold.

use core::sync::atomic::AtomicU32;

use tantalum_types::CallRegisters;

use crate::spmc::Spmc;

/// Holds the registers of the emulated EL1 physical timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timer {
    /// CNTP_CTL_EL0: bit 0 enabled, bit 1 masked, bit 2 condition met.
    pub control: u64,
    /// CNTP_CVAL_EL0.
    pub compare: u64,
    /// CNTP_TVAL_EL0.
    pub left: u64,
}

/// Says what came of holding a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// How many registers have changed.
    pub changed: u64,
    /// How often the loop went round.
    pub turns: u64,
}

/// Names what a partition can do that it may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offence {
    /// It reads an address that is not its own.
    Read,
    /// It jumps to one.
    Jump,
    /// It makes a call that is none, by its immediate.
    Call,
    /// It executes no instruction, which its own exception handler reports before it gives up.
    Undefined,
}

/// Holds what the registers of the keys of pointer authentication do: APIAKeyLo_EL1, APIAKeyHi_EL1, and so on with APIB,
/// APDA, APDB and APGA.
pub type Keys = [u64; 10];

pub use imp::{arm_timer, counter, exchange_keys, hold, hold_call, interruptible, look, offend, timer};

#[cfg(target_os = "none")]
mod imp {
    use core::arch::asm;

    use super::{AtomicU32, CallRegisters, Held, Keys, Offence, Spmc, Timer};

    /// Writes a register of a key of pointer authentication, and returns what it held.
    macro_rules! exchange_key {
        ($register:literal, $value:expr) => {{
            let before: u64;
            // SAFETY: partitions are built without pointer authentication, so nothing depends on the key.
            unsafe {
                asm!(
                    concat!("mrs {}, ", $register),
                    concat!("msr ", $register, ", {}"),
                    "isb",
                    out(reg) before,
                    in(reg) $value,
                    options(nostack, preserves_flags)
                );
            }
            before
        }};
    }

    unsafe extern "C" {
        fn tantalum_sdk_hold(seed: u64, deadline: u64, stop: *const u32, turns: *mut u64) -> u64;
        fn tantalum_sdk_hold_call(seed: u64, registers: *mut CallRegisters) -> u64;
        fn tantalum_sdk_look(seed: u64) -> u64;
    }

    /// Runs `work` with IRQ and FIQ unmasked. Everywhere else they are masked.
    pub fn interruptible<T>(work: impl FnOnce() -> T) -> T {
        // SAFETY: the vectors handle both, and keep every register.
        unsafe { asm!("msr daifclr, #3", options(nostack, preserves_flags)) };
        let result = work();
        // SAFETY: what is masked comes later.
        unsafe { asm!("msr daifset, #3", options(nostack, preserves_flags)) };
        result
    }

    /// Does what a partition may not. It does not come back from that.
    pub fn offend(offence: Offence) {
        // Stage 1 is turned off where it would be in the way: the fault is to be the SPMC's to see.
        // SAFETY: nothing of the partition runs on this execution context afterwards.
        unsafe {
            match offence {
                Offence::Read => asm!(
                    "msr daifset, #15",
                    "mrs x9, sctlr_el1",
                    "bic x9, x9, #1",
                    "msr sctlr_el1, x9",
                    "isb",
                    "mov x9, #0x1000",
                    "ldr x9, [x9]",
                    out("x9") _
                ),
                Offence::Jump => asm!(
                    "msr daifset, #15",
                    "mrs x9, sctlr_el1",
                    "bic x9, x9, #1",
                    "msr sctlr_el1, x9",
                    "isb",
                    "mov x9, #0x2000",
                    "br x9",
                    out("x9") _
                ),
                Offence::Call => asm!("hvc #1"),
                Offence::Undefined => asm!("udf #0"),
            }
        }
    }

    /// Returns the count of the system counter.
    pub fn counter() -> u64 {
        let value: u64;
        // SAFETY: reading the register has no effect.
        unsafe { asm!("isb", "mrs {}, cntpct_el0", out(reg) value, options(nostack, preserves_flags)) };
        value
    }

    /// Lets the timer's interrupt be pending as long as the counter is at or above `deadline`; `None` turns it off.
    pub fn arm_timer(deadline: Option<u64>) {
        // SAFETY: the timer is the partition's, and raises an interrupt that it handles.
        unsafe {
            match deadline {
                Some(deadline) => asm!(
                    "msr cntp_cval_el0, {}",
                    "msr cntp_ctl_el0, {}",
                    in(reg) deadline,
                    in(reg) 1_u64,
                    options(nostack, preserves_flags)
                ),
                None => asm!("msr cntp_ctl_el0, xzr", options(nostack, preserves_flags)),
            }
        }
    }

    /// Reads the timer.
    pub fn timer() -> Timer {
        let (control, compare, left): (u64, u64, u64);
        // SAFETY: reading the registers has no effect.
        unsafe {
            asm!(
                "mrs {}, cntp_ctl_el0",
                "mrs {}, cntp_cval_el0",
                "mrs {}, cntp_tval_el0",
                out(reg) control,
                out(reg) compare,
                out(reg) left,
                options(nostack, preserves_flags)
            );
        }
        Timer { control, compare, left }
    }

    /// Fills x9 to x28, v0 to v31, FPCR and FPSR with a pattern made of `seed`, spins until the system counter is at
    /// or above `deadline` or `stop` is not zero, and looks at the registers again.
    pub fn hold(seed: u64, deadline: u64, stop: &AtomicU32) -> Held {
        let mut turns = 0;
        // SAFETY: the function keeps to the procedure call standard, reads `stop` and writes `turns`.
        let changed = unsafe { tantalum_sdk_hold(seed, deadline, stop.as_ptr(), &mut turns) };
        Held { changed, turns }
    }

    /// Makes a call with a pattern made of `seed` in x18 to x28, v0 to v31, FPCR and FPSR. Returns what comes back, and
    /// how many of those registers have changed.
    pub fn hold_call(_spmc: &Spmc<'_>, seed: u64, call: &CallRegisters) -> (CallRegisters, u64) {
        let mut registers = *call;
        // SAFETY: as with every call: the function keeps to the procedure call standard, and what the SPMC writes is
        // memory that this partition has agreed on with it by an earlier call.
        let changed = unsafe { tantalum_sdk_hold_call(seed, &mut registers) };
        (registers, changed)
    }

    /// Counts the halves of v0 to v31, and FPCR and FPSR, that hold the pattern made of `seed`, which this partition
    /// has not filled them with: whatever it finds is somebody else's.
    pub fn look(seed: u64) -> u64 {
        // SAFETY: the function keeps to the procedure call standard.
        unsafe { tantalum_sdk_look(seed) }
    }

    /// Sets the keys of pointer authentication of this execution context, and returns what they were.
    pub fn exchange_keys(keys: Keys) -> Keys {
        let [ia_low, ia_high, ib_low, ib_high, da_low, da_high, db_low, db_high, ga_low, ga_high] = keys;
        [
            exchange_key!("s3_0_c2_c1_0", ia_low),
            exchange_key!("s3_0_c2_c1_1", ia_high),
            exchange_key!("s3_0_c2_c1_2", ib_low),
            exchange_key!("s3_0_c2_c1_3", ib_high),
            exchange_key!("s3_0_c2_c2_0", da_low),
            exchange_key!("s3_0_c2_c2_1", da_high),
            exchange_key!("s3_0_c2_c2_2", db_low),
            exchange_key!("s3_0_c2_c2_3", db_high),
            exchange_key!("s3_0_c2_c3_0", ga_low),
            exchange_key!("s3_0_c2_c3_1", ga_high),
        ]
    }
}

#[cfg(not(target_os = "none"))]
mod imp {
    use core::sync::atomic::{AtomicU64, Ordering};

    use super::{AtomicU32, CallRegisters, Held, Keys, Offence, Spmc, Timer};

    static COUNTER: AtomicU64 = AtomicU64::new(0);
    static KEYS: [AtomicU64; 10] = [const { AtomicU64::new(0) }; 10];

    /// Does nothing: there is nobody who could stop the partition.
    pub fn offend(_offence: Offence) {}

    /// Runs `work`.
    pub fn interruptible<T>(work: impl FnOnce() -> T) -> T {
        work()
    }

    /// Returns how often this was called before.
    pub fn counter() -> u64 {
        COUNTER.fetch_add(1, Ordering::Relaxed)
    }

    /// Does nothing.
    pub fn arm_timer(_deadline: Option<u64>) {}

    /// Returns a timer that is off.
    pub fn timer() -> Timer {
        Timer { control: 0, compare: 0, left: 0 }
    }

    /// Finds every register as it was, after one turn.
    pub fn hold(_seed: u64, _deadline: u64, _stop: &AtomicU32) -> Held {
        Held { changed: 0, turns: 1 }
    }

    /// Makes a call, and finds every register as it was.
    pub fn hold_call(spmc: &Spmc<'_>, _seed: u64, call: &CallRegisters) -> (CallRegisters, u64) {
        (spmc.raw(call), 0)
    }

    /// Finds nothing.
    pub fn look(_seed: u64) -> u64 {
        0
    }

    /// Sets keys that nothing uses, and returns what they were.
    pub fn exchange_keys(keys: Keys) -> Keys {
        let mut keys = keys.into_iter();
        KEYS.each_ref().map(|key| key.swap(keys.next().unwrap_or_default(), Ordering::Relaxed))
    }
}
