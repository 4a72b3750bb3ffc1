//! System registers, by their names. Reading one has no effect; writing one that matters to the program is kept to
//! what it can bear by the cases.

use core::arch::asm;

macro_rules! readable {
    ($($name:ident)*) => {$(
        #[doc = concat!("Reads ", stringify!($name), ".")]
        pub(crate) fn $name() -> u64 {
            let value: u64;
            // SAFETY: reading the register has no effect on the program.
            unsafe {
                asm!(
                    ".arch armv8.4-a",
                    concat!("mrs {}, ", stringify!($name)),
                    out(reg) value,
                    options(nostack, preserves_flags)
                );
            }
            value
        }
    )*};
}

/// Reads what holds no state of the program's, or state that is only looked at.
pub(crate) mod read {
    use super::asm;

    readable! {
        midr_el1 mpidr_el1 revidr_el1 ctr_el0 dczid_el0 clidr_el1 currentel daif isr_el1
        sctlr_el1
        id_aa64pfr0_el1 id_aa64pfr1_el1 id_aa64dfr0_el1 id_aa64dfr1_el1 id_aa64isar0_el1
        id_aa64isar1_el1 id_aa64mmfr0_el1 id_aa64mmfr1_el1 id_aa64mmfr2_el1
        cntfrq_el0 cntvct_el0 cntpct_el0
        icc_iar1_el1 icc_hppir1_el1 icc_rpr_el1
    }
}

/// Writes what takes effect by being written.
pub(crate) mod write {
    use super::asm;

    macro_rules! writable {
        ($($name:ident)*) => {$(
            #[doc = concat!("Writes ", stringify!($name), ".")]
            pub(crate) fn $name(value: u64) {
                // SAFETY: it acts on the GIC's CPU interface, which is the suite's. Memory that another CPU reads once
                // it is interrupted is written before.
                unsafe {
                    asm!(
                        "dsb ishst",
                        concat!("msr ", stringify!($name), ", {}"),
                        "isb",
                        in(reg) value,
                        options(nostack, preserves_flags)
                    );
                }
            }
        )*};
    }

    writable! {
        icc_eoir1_el1 icc_dir_el1 icc_sgi1r_el1
    }
}

/// Is a system register that can be read and written.
#[derive(Clone, Copy)]
pub(crate) struct Register {
    /// Its name.
    pub(crate) name: &'static str,
    read: fn() -> u64,
    write: fn(u64),
}

impl Register {
    /// Reads it.
    pub(crate) fn read(&self) -> u64 {
        (self.read)()
    }

    /// Writes it.
    pub(crate) fn write(&self, value: u64) {
        (self.write)(value);
    }
}

macro_rules! registers {
    ($($constant:ident $name:literal),* $(,)?) => {$(
        #[doc = concat!("Is ", $name, ".")]
        pub(crate) const $constant: Register = Register {
            name: $name,
            read: || {
                let value: u64;
                // SAFETY: reading the register has no effect on the program.
                unsafe {
                    asm!(
                        ".arch armv8.4-a",
                        concat!("mrs {}, ", $name),
                        out(reg) value,
                        options(nostack, preserves_flags)
                    );
                }
                value
            },
            write: |value| {
                // SAFETY: none of the registers listed decides how the program's own memory or code is reached,
                // except for some at EL0, which the program never runs at; the timers and the CPU interface of the GIC
                // are the suite's.
                unsafe {
                    asm!(
                        ".arch armv8.4-a",
                        concat!("msr ", $name, ", {}"),
                        "isb",
                        in(reg) value,
                        options(nostack, preserves_flags)
                    );
                }
            },
        };
    )*};
}

registers! {
    TPIDR_EL0 "tpidr_el0",
    TPIDRRO_EL0 "tpidrro_el0",
    TPIDR_EL1 "tpidr_el1",
    SP_EL0 "sp_el0",
    ELR_EL1 "elr_el1",
    FAR_EL1 "far_el1",
    PAR_EL1 "par_el1",
    ESR_EL1 "esr_el1",
    CONTEXTIDR_EL1 "contextidr_el1",
    CNTKCTL_EL1 "cntkctl_el1",
    CSSELR_EL1 "csselr_el1",
    TTBR1_EL1 "ttbr1_el1",
    APIAKEYLO_EL1 "apiakeylo_el1",
    APIAKEYHI_EL1 "apiakeyhi_el1",
    APIBKEYLO_EL1 "apibkeylo_el1",
    APIBKEYHI_EL1 "apibkeyhi_el1",
    APDAKEYLO_EL1 "apdakeylo_el1",
    APDAKEYHI_EL1 "apdakeyhi_el1",
    APDBKEYLO_EL1 "apdbkeylo_el1",
    APDBKEYHI_EL1 "apdbkeyhi_el1",
    APGAKEYLO_EL1 "apgakeylo_el1",
    APGAKEYHI_EL1 "apgakeyhi_el1",
    CNTV_CTL_EL0 "cntv_ctl_el0",
    CNTV_CVAL_EL0 "cntv_cval_el0",
    CNTV_TVAL_EL0 "cntv_tval_el0",
    CNTP_CTL_EL0 "cntp_ctl_el0",
    CNTP_CVAL_EL0 "cntp_cval_el0",
    CNTP_TVAL_EL0 "cntp_tval_el0",
    ICC_PMR_EL1 "icc_pmr_el1",
    ICC_BPR1_EL1 "icc_bpr1_el1",
    ICC_CTLR_EL1 "icc_ctlr_el1",
    ICC_SRE_EL1 "icc_sre_el1",
    ICC_IGRPEN1_EL1 "icc_igrpen1_el1",
    MDSCR_EL1 "mdscr_el1",
    DBGBVR0_EL1 "dbgbvr0_el1",
    DBGBCR0_EL1 "dbgbcr0_el1",
    DBGBVR1_EL1 "dbgbvr1_el1",
    DBGBCR1_EL1 "dbgbcr1_el1",
    DBGWVR0_EL1 "dbgwvr0_el1",
    DBGWCR0_EL1 "dbgwcr0_el1",
    OSDLR_EL1 "osdlr_el1",
    PMCR_EL0 "pmcr_el0",
    PMCNTENSET_EL0 "pmcntenset_el0",
    PMCNTENCLR_EL0 "pmcntenclr_el0",
    PMOVSCLR_EL0 "pmovsclr_el0",
    PMSELR_EL0 "pmselr_el0",
    PMCCNTR_EL0 "pmccntr_el0",
    PMXEVTYPER_EL0 "pmxevtyper_el0",
    PMUSERENR_EL0 "pmuserenr_el0",
    PMINTENSET_EL1 "pmintenset_el1",
    PMINTENCLR_EL1 "pmintenclr_el1",
    PMCCFILTR_EL0 "pmccfiltr_el0",
}

/// Reads FPCR and FPSR.
pub(crate) fn floating_point_control() -> [u64; 2] {
    let (control, status): (u64, u64);
    // SAFETY: the program does not use floating point.
    unsafe {
        asm!(".arch_extension fp", "mrs {}, fpcr", "mrs {}, fpsr", ".arch_extension nofp", out(reg) control, out(reg) status,
            options(nostack, preserves_flags));
    }
    [control, status]
}

/// Writes FPCR and FPSR.
pub(crate) fn set_floating_point_control([control, status]: [u64; 2]) {
    // SAFETY: as above.
    unsafe {
        asm!(".arch_extension fp", "msr fpcr, {}", "msr fpsr, {}", ".arch_extension nofp", in(reg) control, in(reg) status,
            options(nostack, preserves_flags));
    }
}

unsafe extern "C" {
    fn guest_sign(value: u64, modifier: u64) -> u64;
}

/// Signs a value by each of the five keys for pointer authentication, and combines the results.
pub(crate) fn sign(value: u64, modifier: u64) -> u64 {
    // SAFETY: it keeps to the procedure call standard; cases ask for it only where the CPU has the instructions.
    unsafe { guest_sign(value, modifier) }
}

/// Enables pointer authentication by all keys (SCTLR_EL1.EnIA, EnIB, EnDA, EnDB) or disables it, which is how the program
/// is compiled.
pub(crate) fn enable_signing(enable: bool) {
    let bits: u64 = 1 << 31 | 1 << 30 | 1 << 27 | 1 << 13;
    let sctlr = read::sctlr_el1() & !bits | if enable { bits } else { 0 };
    // SAFETY: the program's own code has no instruction that these bits change.
    unsafe { asm!("msr sctlr_el1, {}", "isb", in(reg) sctlr, options(nostack, preserves_flags)) };
}

/// Orders accesses to memory, as devices see them.
pub(crate) fn dmb() {
    // SAFETY: it only orders.
    unsafe { asm!("dmb sy", options(nostack, preserves_flags)) };
}

/// Lets nothing behind it happen before what is ahead.
pub(crate) fn isb() {
    // SAFETY: it only orders.
    unsafe { asm!("isb", options(nostack, preserves_flags)) };
}

/// Waits for an interrupt.
pub(crate) fn wfi() {
    // SAFETY: it waits.
    unsafe { asm!("wfi", options(nostack, preserves_flags)) };
}

/// Waits for an event.
pub(crate) fn wfe() {
    // SAFETY: it waits.
    unsafe { asm!("wfe", options(nostack, preserves_flags)) };
}

/// Sends an event to all CPUs.
pub(crate) fn sev() {
    // SAFETY: it wakes those that wait.
    unsafe { asm!("dsb ishst", "sev", options(nostack, preserves_flags)) };
}

/// Sends an event to this CPU.
pub(crate) fn sevl() {
    // SAFETY: as above.
    unsafe { asm!("sevl", options(nostack, preserves_flags)) };
}

/// Cleans and invalidates the data cache at a page, and the instruction cache.
pub(crate) fn maintain_caches(address: u64, size: usize) {
    for line in (address..address + size as u64).step_by(64) {
        // SAFETY: it changes no memory's content.
        unsafe {
            asm!("dc civac, {0}", "dc cvau, {0}", "ic ivau, {0}", in(reg) line, options(nostack, preserves_flags));
        }
    }
    // SAFETY: as above.
    unsafe { asm!("dsb ish", "ic iallu", "dsb ish", "isb", options(nostack, preserves_flags)) };
}

/// Asks where a virtual address leads for reading at EL1: PAR_EL1.
pub(crate) fn translate(address: u64) -> u64 {
    let par: u64;
    // SAFETY: it only looks.
    unsafe {
        asm!("at s1e1r, {}", "isb", "mrs {}, par_el1", in(reg) address, out(reg) par, options(nostack, preserves_flags));
    }
    par
}
