//! What ESR_EL2 says of a virtual CPU that came back (Arm ARM, D24.2.40).

use tantalum_hal::vm::SystemRegister;

/// Exception classes.
mod class {
    pub(super) const WAIT: u64 = 0x01;
    pub(super) const FP: u64 = 0x07;
    pub(super) const HVC: u64 = 0x16;
    pub(super) const SMC: u64 = 0x17;
    pub(super) const SYSTEM_REGISTER: u64 = 0x18;
    pub(super) const INSTRUCTION_ABORT: u64 = 0x20;
    pub(super) const DATA_ABORT: u64 = 0x24;
}

/// Is a synchronous exception from a virtual CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trap {
    /// WFI.
    WaitForInterrupt,
    /// One of the other instructions that wait, each of which may end at any time.
    OtherWait,
    /// Use of the floating-point registers.
    Fp,
    /// HVC with an immediate.
    Hvc(u16),
    /// SMC with an immediate.
    Smc(u16),
    /// MRS, MSR or SYS.
    System(SystemInstruction),
    /// A fetch.
    InstructionAbort(Abort),
    /// A load or store, or an instruction for a cache.
    DataAbort(DataAbort),
    /// Anything else.
    Other,
}

/// Says what an abort was about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Abort {
    /// Stage 2 has no place or says no; the processing element names the page.
    Page,
    /// Stage 2 says no, and the page is to be found out.
    Permission,
    /// Something outside of the processing element failed.
    External,
}

/// Is a data abort.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DataAbort {
    pub(super) abort: Abort,
    /// Whether it is that of a store.
    pub(super) write: bool,
    /// What the instruction does, if the processing element says so.
    pub(super) transfer: Option<Transfer>,
}

/// Is a load or store of one general-purpose register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Transfer {
    /// 1, 2, 4 or 8 bytes.
    pub(super) size: u8,
    pub(super) register: u8,
    pub(super) sign_extend: bool,
    pub(super) wide: bool,
    /// The bytes of the instruction itself.
    pub(super) instruction_size: u64,
}

/// Is an MRS, MSR or SYS instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SystemInstruction {
    pub(super) system: SystemRegister,
    /// The general-purpose register, x0 to x30, or 31 for the zero register.
    pub(super) register: u8,
    pub(super) reads: bool,
}

impl Trap {
    /// Decodes ESR_EL2 of a synchronous exception from AArch64 EL1, or from EL0 below it.
    pub(super) const fn from_syndrome(syndrome: u64) -> Self {
        match syndrome >> 26 & 0x3f {
            class::WAIT if syndrome & 3 == 0 => Self::WaitForInterrupt,
            class::WAIT => Self::OtherWait,
            class::FP => Self::Fp,
            class::HVC => Self::Hvc(immediate(syndrome)),
            class::SMC => Self::Smc(immediate(syndrome)),
            class::SYSTEM_REGISTER => Self::System(SystemInstruction::from_syndrome(syndrome)),
            class::INSTRUCTION_ABORT => Self::InstructionAbort(Abort::from_syndrome(syndrome)),
            class::DATA_ABORT => Self::DataAbort(DataAbort::from_syndrome(syndrome)),
            _ => Self::Other,
        }
    }
}

impl Abort {
    const fn from_syndrome(syndrome: u64) -> Self {
        let on_walk = syndrome & 1 << 7 != 0; // S1PTW: HPFAR_EL2 names the page then, whatever the fault is
        match syndrome >> 2 & 0xf {
            // Address size, translation, access flag.
            0..=2 => Self::Page,
            3 if on_walk => Self::Page,
            3 => Self::Permission,
            _ => Self::External,
        }
    }
}

impl DataAbort {
    const fn from_syndrome(syndrome: u64) -> Self {
        let described = syndrome & 1 << 24 != 0; // ISV
        let on_walk = syndrome & 1 << 7 != 0;
        let for_cache = syndrome & 1 << 8 != 0; // CM
        let transfer = if described && !on_walk && !for_cache {
            Some(Transfer {
                size: 1 << field(syndrome, 22, 0x3),
                register: field(syndrome, 16, 0x1f),
                sign_extend: syndrome & 1 << 21 != 0,
                wide: syndrome & 1 << 15 != 0,
                instruction_size: if syndrome & 1 << 25 != 0 { 4 } else { 2 },
            })
        } else {
            None
        };
        // A walk that stores is one that updates a flag in the table; WnR is of the instruction.
        Self { abort: Abort::from_syndrome(syndrome), write: syndrome & 1 << 6 != 0, transfer }
    }
}

impl SystemInstruction {
    const fn from_syndrome(syndrome: u64) -> Self {
        Self {
            system: SystemRegister::new(
                field(syndrome, 20, 0x3),
                field(syndrome, 14, 0x7),
                field(syndrome, 10, 0xf),
                field(syndrome, 1, 0xf),
                field(syndrome, 17, 0x7),
            ),
            register: field(syndrome, 5, 0x1f),
            reads: syndrome & 1 != 0,
        }
    }

    /// Tells whether it reads zero and its writes are ignored, so that software which sets up what it does not use need
    /// not be told that it is not there: debug and the OS lock, ACTLR_EL1, cache maintenance by set and way, which has
    /// no meaning for one whose caches are shared.
    pub(super) const fn is_ignored(&self) -> bool {
        let SystemRegister { op0, op1, crn, crm, op2 } = self.system;
        matches!(
            (op0, op1, crn, crm, op2),
            (2, 0 | 3, ..) | (3, 0, 1, 0, 1) | (1, 0, 7, 6 | 10 | 14, 2 | 4 | 6)
        )
    }
}

/// Returns the immediate of HVC or SMC.
const fn immediate(syndrome: u64) -> u16 {
    let [low, high, ..] = syndrome.to_le_bytes();
    u16::from_le_bytes([low, high])
}

/// Returns the field of `syndrome` at `bit`; `mask` has at most 8 bits.
const fn field(syndrome: u64, bit: u32, mask: u8) -> u8 {
    let [low, ..] = (syndrome >> bit).to_le_bytes();
    low & mask
}
