//! System registers whose use by a context traps to EL2, and what becomes of each use.
//!
//! Identification registers do not trap, so a context sees what the processing element has. Some of that is not
//! for partitions, and software that sets it up without a need, as operating systems do, shall not end for it:
//!
//! | registers | what becomes of a use |
//! |---|---|
//! | EL1 physical timer | an event: the hypervisor emulates it |
//! | debug, OS lock, trace, performance and activity monitors, profiling | reads zero, writes are ignored |
//! | ACTLR_EL1, limited ordering regions, error records | reads zero, writes are ignored |
//! | cache maintenance by set and way | ignored: it has no meaning for one who may run on any processing element |
//! | everything else: the GIC's CPU interface, the EL1 virtual timer, implementation-defined registers | a trap |
//!
//! QEMU (10.0) does not trap the use of the GIC's CPU interface at S-EL1, as ICH_HCR_EL2 asks: there a context reaches the
//! physical one. What it writes to the priority mask is undone when it comes back (`gic::PriorityMask`).

use tantalum_hal::{RegisterAccess, TimerRegister};

/// Says what becomes of an instruction that was trapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// It accesses the EL1 physical timer.
    Timer(TimerRegister),
    /// Its register reads zero and its writes are ignored.
    Ignored,
    /// It is not for contexts.
    Refused,
}

/// Is an MRS, MSR or SYS instruction, as ESR_EL2.ISS describes it (Arm ARM, D24.2.40, class 0x18).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Instruction {
    op0: u8,
    op1: u8,
    crn: u8,
    crm: u8,
    op2: u8,
    /// The general-purpose register, x0 to x30, or 31 for the zero register.
    pub(crate) register: u8,
    /// Whether it reads the system register.
    pub(crate) reads: bool,
}

impl Instruction {
    /// Takes the instruction from ESR_EL2.
    pub(crate) const fn from_syndrome(syndrome: u64) -> Self {
        Self {
            op0: field(syndrome, 20, 0x3),
            op1: field(syndrome, 14, 0x7),
            crn: field(syndrome, 10, 0xf),
            crm: field(syndrome, 1, 0xf),
            op2: field(syndrome, 17, 0x7),
            register: field(syndrome, 5, 0x1f),
            reads: syndrome & 1 != 0,
        }
    }

    /// Says what becomes of it.
    pub(crate) const fn meaning(&self) -> Use {
        match (self.op0, self.op1, self.crn, self.crm, self.op2) {
            (3, 3, 14, 2, 0) => Use::Timer(TimerRegister::TimerValue),
            (3, 3, 14, 2, 1) => Use::Timer(TimerRegister::Control),
            (3, 3, 14, 2, 2) => Use::Timer(TimerRegister::CompareValue),
            // Debug, OS lock, trace.
            (2, ..)
            // ACTLR_EL1; TRFCR_EL1; ERRIDR_EL1 and ERRSELR_EL1, ERX*_EL1; LOR*_EL1.
            | (3, 0, 1, 0, 1)
            | (3, 0, 1, 2, 1)
            | (3, 0, 5, 3..=5, _)
            | (3, 0, 10, 4, _)
            // Performance monitors, statistical profiling, trace buffer.
            | (3, 0 | 3, 9, ..)
            | (3, 3, 14, 8..=15, _)
            // Activity monitors.
            | (3, 3, 13, 2..=15, _)
            // DC ISW, CSW, CISW and their forms for tags.
            | (1, 0, 7, 6 | 10 | 14, 2 | 4 | 6) => Use::Ignored,
            _ => Use::Refused,
        }
    }

    /// Says what it does with its system register; `value` is what its general-purpose register holds.
    pub(crate) const fn access(&self, value: u64) -> RegisterAccess {
        if self.reads { RegisterAccess::Read { to: self.register } } else { RegisterAccess::Write { value } }
    }
}

/// Returns the field of `syndrome` at `bit`; `mask` has at most 8 bits.
const fn field(syndrome: u64, bit: u32, mask: u8) -> u8 {
    let [low, ..] = (syndrome >> bit).to_le_bytes();
    low & mask
}
