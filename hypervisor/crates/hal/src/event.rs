//! What can happen to a processing element, and what can be done with it next.
//!
//! There are two forms of both. [`Event`] and [`Action`] are whole values, which a test, a simulation or a trace can keep
//! and compare. [`Arrival`] and [`Turn`] say the same without the eighteen registers of a call, which stay where they
//! are: that is what a machine goes by, since copying them is much of what a call costs.

use tantalum_types::{CallRegisters, Ipa, Pa, PartitionIndex, VcpuId, VcpuIndex};

/// Names what a processing element came back with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The processing element was started, by a cold boot or by the normal world's CPU_ON.
    Started,
    /// A call has come from the SPMD: one of the normal world's that it forwards, or its own.
    NormalWorldCall(CallRegisters),
    /// The running execution context has executed SMC or HVC.
    PartitionCall(CallRegisters),
    /// The running execution context has done what it may not; it stopped at the instruction that did.
    PartitionTrap(Trap),
    /// A physical interrupt was signalled while an execution context ran; it stopped between instructions.
    Interrupt(InterruptLine),
    /// The running execution context has reached for a register of its EL1 physical timer, which is emulated; it
    /// stopped behind the instruction that did.
    TimerAccess(TimerAccess),
}

/// Describes an access to a register of the EL1 physical timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimerAccess {
    /// Which one.
    pub register: TimerRegister,
    /// What was done with it.
    pub access: RegisterAccess,
}

/// Names a register of the EL1 physical timer (Arm ARM, D24.10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimerRegister {
    /// CNTP_CTL_EL0: bit 0 enables the timer, bit 1 masks its interrupt, bit 2 says that its condition is met.
    Control,
    /// CNTP_CVAL_EL0: the condition is met when the counter is at or above it.
    CompareValue,
    /// CNTP_TVAL_EL0: the compare value less the counter, as a signed number of 32 bits.
    TimerValue,
}

/// Says what an instruction that was trapped does with a system register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegisterAccess {
    /// It reads into a general-purpose register, which [`Entry::Register`] names again.
    Read {
        /// x0 to x30, or 31 for none.
        to: u8,
    },
    /// It writes.
    Write {
        /// The value.
        value: u64,
    },
}

/// Names the line on which a physical interrupt is signalled to S-EL2 (GICv3, section 4.6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InterruptLine {
    /// IRQ: an interrupt of Secure Group 1, for a partition or for the SPMC.
    Secure,
    /// FIQ: an interrupt of Non-secure Group 1, for the normal world.
    Foreign,
    /// FIQ: an interrupt of Group 0, for EL3.
    Group0,
}

/// Describes why an execution context cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trap {
    /// What it did.
    pub kind: TrapKind,
    /// Where: the address of the instruction in its own virtual address space.
    pub pc: u64,
    /// ESR_EL2 as the machine reported it, for the log.
    pub syndrome: u64,
}

/// Names what an execution context did that it may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrapKind {
    /// It read or wrote memory that stage 2 does not let it.
    DataAbort {
        /// The page it reached for.
        address: Ipa,
        /// Whether it wrote.
        write: bool,
    },
    /// It fetched an instruction from memory that stage 2 does not let it execute.
    InstructionAbort {
        /// The page it reached for.
        address: Ipa,
    },
    /// It used an instruction or a system register that is not offered to partitions.
    Instruction,
    /// A System Error was taken while it ran.
    SystemError,
}

/// Names what a processing element shall do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Call the SPMD with these registers, which ends the SPMC's turn; the next event is what the call
    /// brings back.
    CallNormalWorld(CallRegisters),
    /// Run an execution context until it calls, traps or is interrupted.
    Run {
        /// The execution context.
        vcpu: VcpuId,
        /// How it goes on.
        entry: Entry,
        /// The address spaces it sees.
        roots: Stage2Roots,
        /// Whether interrupts of the normal world stop it.
        foreign: ForeignInterrupts,
        /// Which virtual interrupts are signalled to it.
        signals: VirtualInterrupts,
    },
    /// Do nothing for ever: the machine cannot go on. The reason has been logged.
    Halt,
}

/// Says what becomes of interrupts of the normal world while an execution context runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForeignInterrupts {
    /// They stop it: the next event may be [`Event::Interrupt`] with [`InterruptLine::Foreign`].
    Taken,
    /// They stay pending in the interrupt controller until the normal world runs again.
    Masked,
}

/// Says which virtual interrupts are signalled to an execution context (HCR_EL2.VI and VF). They are levels: each
/// stays until the execution context is run without it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VirtualInterrupts {
    /// Whether a virtual IRQ is.
    pub irq: bool,
    /// Whether a virtual FIQ is.
    pub fiq: bool,
}

impl VirtualInterrupts {
    /// Signals none.
    pub const NONE: Self = Self { irq: false, fiq: false };
}

/// Says how an execution context goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// From the beginning, with nothing left of an earlier life.
    Start(VcpuStart),
    /// Behind its call, with these registers as the answer.
    Answer(CallRegisters),
    /// Where it was interrupted, with every register as it was.
    Resume,
    /// Behind an instruction that was to read a system register, with what it has read.
    Register {
        /// The general-purpose register, x0 to x30, or 31 for none.
        to: u8,
        /// What it now holds.
        value: u64,
    },
}

/// Describes an execution context that begins; every register not named here is zero or has its reset value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VcpuStart {
    /// The first instruction. Stage 1 is off, so this is an address of the Secure IPA space.
    pub entry_point: Ipa,
    /// Which of x0 to x3 holds the boot information, from 0 (FF-A 1.1, section 5.4).
    pub boot_info_register: usize,
    /// The address of the boot information, or 0 where there is none.
    pub boot_info: u64,
    /// What MPIDR_EL1 shall read as, without its RES1 bit.
    pub mpidr: u64,
}

/// Names what a processing element came back with. The registers of a call are where they were to be left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// As [`Event::Started`].
    Started,
    /// As [`Event::NormalWorldCall`].
    NormalWorldCall,
    /// As [`Event::PartitionCall`].
    PartitionCall,
    /// As [`Event::PartitionTrap`].
    PartitionTrap(Trap),
    /// As [`Event::Interrupt`].
    Interrupt(InterruptLine),
    /// As [`Event::TimerAccess`].
    TimerAccess(TimerAccess),
}

impl Arrival {
    /// Returns the event; `registers` are those of the call if it is one.
    pub const fn with(self, registers: &CallRegisters) -> Event {
        match self {
            Self::Started => Event::Started,
            Self::NormalWorldCall => Event::NormalWorldCall(*registers),
            Self::PartitionCall => Event::PartitionCall(*registers),
            Self::PartitionTrap(trap) => Event::PartitionTrap(trap),
            Self::Interrupt(line) => Event::Interrupt(line),
            Self::TimerAccess(access) => Event::TimerAccess(access),
        }
    }
}

/// Describes a turn of an execution context. The registers of an answer are where they were to be left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// The execution context.
    pub vcpu: VcpuId,
    /// How it goes on.
    pub way: Way,
    /// The address spaces it sees.
    pub roots: Stage2Roots,
    /// Whether interrupts of the normal world stop it.
    pub foreign: ForeignInterrupts,
    /// Which virtual interrupts are signalled to it.
    pub signals: VirtualInterrupts,
}

/// Says how an execution context goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// As [`Entry::Start`].
    Start(VcpuStart),
    /// As [`Entry::Answer`].
    Answer,
    /// As [`Entry::Resume`].
    Resume,
    /// As [`Entry::Register`].
    Register {
        /// The general-purpose register, x0 to x30, or 31 for none.
        to: u8,
        /// What it now holds.
        value: u64,
    },
}

impl Turn {
    /// Stands where there was no turn yet.
    pub const NONE: Self = Self {
        vcpu: VcpuId { partition: PartitionIndex::FIRST, index: VcpuIndex::FIRST },
        way: Way::Resume,
        roots: Stage2Roots { secure: Pa::secure(0), non_secure: Pa::secure(0), vmid: 0 },
        foreign: ForeignInterrupts::Masked,
        signals: VirtualInterrupts::NONE,
    };

    /// Returns the action; `registers` are those of the answer if it is one.
    pub const fn with(&self, registers: &CallRegisters) -> Action {
        let entry = match self.way {
            Way::Start(start) => Entry::Start(start),
            Way::Answer => Entry::Answer(*registers),
            Way::Resume => Entry::Resume,
            Way::Register { to, value } => Entry::Register { to, value },
        };
        let Self { vcpu, way: _, roots, foreign, signals } = *self;
        Action::Run { vcpu, entry, roots, foreign, signals }
    }
}

/// Names the stage-2 translation of a partition: one root for each of the two IPA spaces, which share a VMID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stage2Roots {
    /// The translation table of the Secure IPA space (VSTTBR_EL2).
    pub secure: Pa,
    /// The translation table of the Non-secure IPA space (VTTBR_EL2).
    pub non_secure: Pa,
    /// The VMID that tags both in the TLBs, never zero.
    pub vmid: u16,
}
