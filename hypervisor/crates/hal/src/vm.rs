//! What the hypervisor of virtual machines, at NS-EL2, asks of a machine.
//!
//! It is a function from an [`Event`] on a processing element to an [`Action`] for it, as the SPMC is. All addresses
//! are of the Non-secure space.

use tantalum_types::{CallRegisters, CpuIndex, Ipa, Pa, VmVcpuId};

use crate::platform::{CodeMemory, InterruptSetting, PhysicalMemory, TableMemory, Tlb, VmId};

/// Names what a processing element came back with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The processing element was started: the first one by the firmware, the others by [`Host::start_cpu`].
    Started,
    /// The virtual CPU has executed HVC or SMC; it stopped behind the instruction.
    Call {
        /// Which of the two.
        conduit: Conduit,
        /// The immediate of the instruction. Zero is the SMC Calling Convention's.
        immediate: u16,
        /// x0 to x17.
        registers: CallRegisters,
    },
    /// The virtual CPU has reached for memory that stage 2 does not map, by an instruction that the machine has decoded;
    /// it stopped behind the instruction, which waits for [`Entry::Register`] if it reads.
    Access(Access),
    /// The virtual CPU has reached for a system register that is emulated; it stopped behind the instruction.
    Register(RegisterTrap),
    /// The virtual CPU waits for an interrupt (WFI); it stopped behind the instruction.
    Wait,
    /// The virtual CPU has done what cannot be emulated; it stopped at the instruction.
    Fault(Fault),
    /// A physical interrupt is pending. A virtual CPU that ran stopped between instructions.
    Interrupt,
}

/// Names the instruction that makes a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conduit {
    /// HVC.
    Hvc,
    /// SMC.
    Smc,
}

/// Says which way data go between a general-purpose register and a device or system register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Into the general-purpose register `to`, 0 to 30, or 31 for none, which [`Entry::Register`] names again.
    Read {
        /// The register.
        to: u8,
    },
    /// Out of one.
    Write {
        /// What was in it, cut to the size of the access.
        value: u64,
    },
}

/// Describes a load or store of one general-purpose register (ESR_EL2.ISS with ISV set).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// The first byte.
    pub address: Ipa,
    /// The virtual address of it (FAR_EL2).
    pub virtual_address: u64,
    /// How many bytes: 1, 2, 4 or 8.
    pub size: u8,
    /// Which way.
    pub direction: Direction,
    /// Whether what is read is sign-extended, to 64 bits if `wide` and else to 32.
    pub sign_extend: bool,
    /// Whether the general-purpose register is an X register.
    pub wide: bool,
}

/// Describes an MRS or MSR that was trapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegisterTrap {
    /// Which system register.
    pub register: SystemRegister,
    /// Which way.
    pub direction: Direction,
}

/// Names a system register by its encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SystemRegister {
    /// op0, 2 or 3.
    pub op0: u8,
    /// op1, 0 to 7.
    pub op1: u8,
    /// CRn, 0 to 15.
    pub crn: u8,
    /// CRm, 0 to 15.
    pub crm: u8,
    /// op2, 0 to 7.
    pub op2: u8,
}

impl SystemRegister {
    /// Names a register by its five numbers.
    pub const fn new(op0: u8, op1: u8, crn: u8, crm: u8, op2: u8) -> Self {
        Self { op0, op1, crn, crm, op2 }
    }
}

/// Says what a virtual CPU did that cannot be emulated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It fetched an instruction from where stage 2 maps nothing that may be executed.
    InstructionAbort {
        /// The page.
        address: Ipa,
        /// The virtual address.
        virtual_address: u64,
    },
    /// It reached for memory that stage 2 does not let it, by an instruction of which the machine does not say what it
    /// does: a pair, a cache operation, a walk of its own tables.
    DataAbort {
        /// The page.
        address: Ipa,
        /// The virtual address.
        virtual_address: u64,
        /// Whether it wrote.
        write: bool,
    },
    /// It used an instruction that it is not offered.
    Instruction {
        /// ESR_EL2, for the log.
        syndrome: u64,
    },
    /// A System Error was taken while it ran.
    SystemError {
        /// ESR_EL2, for the log.
        syndrome: u64,
    },
}

/// Names what a processing element shall do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Run a virtual CPU until it calls, reaches for what is emulated, waits, faults, or an interrupt comes.
    ///
    /// Its registers stay in the processing element until another one is run there; of those are the virtual timer's,
    /// but not what [`VirtualInterface`] reaches.
    Run {
        /// The virtual CPU.
        vcpu: VmVcpuId,
        /// How it goes on.
        entry: Entry,
        /// What memory it sees.
        translation: Translation,
        /// Whether nobody else waits for the processing element: then WFI may wait in place, and [`Event::Wait`] need
        /// not come. An interrupt, physical or virtual, ends the wait in either case.
        alone: bool,
    },
    /// Wait until an interrupt is pending, and come back with [`Event::Interrupt`].
    Idle,
    /// Turn the machine off.
    PowerOff,
    /// Begin anew as after power-on.
    Reset,
    /// Do nothing for ever: the machine cannot go on. The reason has been logged.
    Halt,
}

/// Says how a virtual CPU goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// From the beginning: EL1 with its stage 1 off and every exception masked. What is not named is zero or has its reset
    /// value.
    Start(Start),
    /// With these registers in x0 to x17.
    Answer(CallRegisters),
    /// With every register as it was.
    Resume,
    /// With `value` in a general-purpose register.
    Register {
        /// x0 to x30, or 31 for none.
        to: u8,
        /// What it now holds.
        value: u64,
    },
    /// In its own exception vector, as if its last instruction had failed: the address of the exception is that of the
    /// instruction which [`Event::Access`], [`Event::Register`] or [`Event::Fault`] was about.
    Exception(Exception),
}

/// Describes how a virtual CPU begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// The first instruction, an address of its own memory.
    pub entry_point: u64,
    /// x0.
    pub x0: u64,
    /// What MPIDR_EL1 reads as, without the bit that is one.
    pub mpidr: u64,
    /// What the virtual counter is behind the physical one: CNTVOFF_EL2.
    pub counter_offset: u64,
}

/// Names a synchronous exception that a virtual CPU gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exception {
    /// An instruction that does not exist: exception class 0.
    Undefined,
    /// A synchronous external abort of a data access at this virtual address.
    DataAbort {
        /// FAR_EL1.
        virtual_address: u64,
        /// ESR_EL1.ISS.WnR: whether it wrote.
        write: bool,
    },
    /// A synchronous external abort of an instruction fetch.
    InstructionAbort {
        /// FAR_EL1.
        virtual_address: u64,
    },
}

/// Names the stage-2 translation of a virtual machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Translation {
    /// The table of level 1 (VTTBR_EL2).
    pub root: Pa,
    /// The VMID that tags it in the TLBs, never zero.
    pub vmid: VmId,
}

/// Holds one virtual interrupt of the virtual CPU interface (`ICH_LR<n>_EL2`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListRegister {
    /// The number that the virtual CPU sees.
    pub intid: u32,
    /// How urgent it is: 0 is the highest, 255 the lowest.
    pub priority: u8,
    /// Whether it is of Group 1.
    pub group1: bool,
    /// Where in its life it is. [`ListState::Invalid`] makes the rest meaningless.
    pub state: ListState,
    /// The physical interrupt that is deactivated with it, if it stands for one.
    pub physical: Option<u32>,
    /// Whether its end raises the maintenance interrupt. Only for one that does not stand for a physical one.
    pub maintenance_at_end: bool,
}

impl ListRegister {
    /// Holds none.
    pub const EMPTY: Self = Self {
        intid: 0,
        priority: 0,
        group1: false,
        state: ListState::Invalid,
        physical: None,
        maintenance_at_end: false,
    };
}

/// Says where in its life a virtual interrupt is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListState {
    /// There is none.
    Invalid,
    /// It has come and was not acknowledged.
    Pending,
    /// It was acknowledged and not deactivated.
    Active,
    /// It was acknowledged and has come again.
    PendingAndActive,
}

/// Is the virtual CPU interface of the processing element that asks (GICv3, chapter 12.4): what it holds is of the
/// virtual CPU that runs next there, and somebody has to change it when that is another.
pub trait VirtualInterface {
    /// Returns how many list registers there are, 1 to 16.
    fn list_register_count(&self) -> usize;

    /// Returns list register `index`; an empty one if there is no such.
    fn list_register(&self, index: usize) -> ListRegister;

    /// Replaces list register `index`; does nothing if there is no such.
    fn set_list_register(&self, index: usize, value: ListRegister);

    /// Returns a bit for each list register that is empty and asks for nothing (ICH_ELRSR_EL2).
    fn empty_list_registers(&self) -> u16;

    /// Returns ICH_HCR_EL2.
    fn control(&self) -> u32;

    /// Replaces ICH_HCR_EL2.
    fn set_control(&self, value: u32);

    /// Returns ICH_VMCR_EL2: what the virtual CPU has set in its CPU interface.
    fn machine_control(&self) -> u32;

    /// Replaces ICH_VMCR_EL2.
    fn set_machine_control(&self, value: u32);

    /// Returns `ICH_AP0R<n>_EL2` and `ICH_AP1R<n>_EL2`, of each the first four; what there is not is zero.
    fn active_priorities(&self) -> [[u32; 4]; 2];

    /// Replaces them.
    fn set_active_priorities(&self, value: &[[u32; 4]; 2]);
}

/// Describes a block device of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disk {
    /// How many sectors of 512 bytes it has.
    pub sectors: u64,
    /// Whether it cannot be written.
    pub read_only: bool,
    /// The INTID of the shared, level-sensitive interrupt that says that a request has ended. The machine has set it up,
    /// for its first processing element.
    pub intid: u32,
}

/// Names what a block device is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskOperation {
    /// Fill the segments from the disk.
    Read,
    /// Write the segments to the disk.
    Write,
    /// Make what was written last. There are no segments.
    Flush,
}

/// Names a piece of RAM that a block device reads or writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskSegment {
    /// The first byte.
    pub address: Pa,
    /// How many bytes, never zero.
    pub length: u32,
}

/// Is a request to a block device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskRequest<'a> {
    /// Comes back with [`DiskEnd`].
    pub tag: u16,
    /// What is asked for.
    pub operation: DiskOperation,
    /// The first sector.
    pub sector: u64,
    /// The memory, whole sectors in total. The device uses it by itself until the request has ended.
    pub segments: &'a [DiskSegment],
}

/// Says that a request to a block device has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskEnd {
    /// The request's.
    pub tag: u16,
    /// Whether all of it was done.
    pub succeeded: bool,
}

/// Is the machine below a hypervisor of virtual machines.
///
/// Every method may be called on any processing element at any time, so implementations lock what they need.
pub trait Host: PhysicalMemory + CodeMemory + TableMemory + Tlb + VirtualInterface {
    /// Is the INTID of the SGI that [`Self::kick`] sends.
    const KICK: u32;

    /// Is the INTID of the private interrupt that [`Self::set_timer`] asks for.
    const TIMER: u32;

    /// Is the INTID of the private interrupt of the virtual timer, on the machine as for virtual machines.
    const VIRTUAL_TIMER: u32;

    /// Is the INTID of the private interrupt that the virtual CPU interface raises.
    const MAINTENANCE: u32;

    /// Is the INTID of the shared interrupt that says that the console has input.
    const CONSOLE: u32;

    /// Writes bytes to the console, unchanged. A whole line per call keeps lines of different processing elements apart.
    fn write_console(&self, bytes: &[u8]);

    /// Reads what has been typed, and returns how many bytes that is: none if nothing has.
    fn read_console(&self, to: &mut [u8]) -> usize;

    /// Acknowledges the pending interrupt of the highest priority on `cpu`, which is this processing element, drops the
    /// running priority, and returns its INTID; `None` if there is none. It stays active, so that it is not signalled
    /// again, until [`Self::end_interrupt`], or until a virtual CPU ends the virtual one that stands for it.
    fn take_interrupt(&self, cpu: CpuIndex) -> Option<u32>;

    /// Deactivates an interrupt that [`Self::take_interrupt`] has returned.
    fn end_interrupt(&self, cpu: CpuIndex, intid: u32);

    /// Sets up an interrupt, 16 to 1019: private to `cpu`, which is this processing element, or shared. The machine has
    /// set up the ones that this trait names when the processing element started.
    fn configure_interrupt(&self, cpu: CpuIndex, intid: u32, setting: &InterruptSetting);

    /// Makes another processing element come back with [`Event::Interrupt`] and find [`Self::KICK`].
    fn kick(&self, cpu: CpuIndex);

    /// Starts another processing element, which comes with [`Event::Started`], and says whether that is possible.
    fn start_cpu(&self, cpu: CpuIndex) -> bool;

    /// Makes a call to EL3, and returns x0 to x17.
    fn call_firmware(&self, call: &CallRegisters) -> CallRegisters;

    /// Returns the count of the system counter, CNTPCT_EL0.
    fn now(&self) -> u64;

    /// Returns how often it counts in a second.
    fn frequency(&self) -> u64;

    /// Lets the hypervisor's own timer on this processing element raise [`Self::TIMER`] once the system counter is at or
    /// above `deadline`, and not before; `None` turns it off, and takes an interrupt back that it has raised.
    fn set_timer(&self, deadline: Option<u64>);

    /// Returns the system count at which the virtual timer of the virtual CPU whose registers this processing element
    /// holds raises its interrupt; `None` if it is off or masked.
    fn virtual_timer(&self) -> Option<u64>;

    /// Returns the seconds since 1970 of the board's clock.
    fn wall_clock(&self) -> u64;

    /// Returns random bits, or `None` if the machine has none now.
    fn random(&self) -> Option<u64>;

    /// Describes block device `disk`, counted from 0; `None` if there is no such one, as on a machine without any.
    fn disk(&self, disk: usize) -> Option<Disk> {
        let _ = disk;
        None
    }

    /// Gives a request to block device `disk`, and says whether that has room for it: it takes 16 requests of 6 segments at
    /// the least, and at most 126 segments in one. What the request names must lie in the RAM of one virtual machine and
    /// within the disk, and stay that virtual machine's until [`Self::finish_disk`] returns the request.
    fn start_disk(&self, disk: usize, request: &DiskRequest<'_>) -> bool {
        let _ = (disk, request);
        false
    }

    /// Takes back a request that block device `disk` has ended, in any order; `None` if there is none. The interrupt of
    /// the device is not raised any more by those that were returned.
    fn finish_disk(&self, disk: usize) -> Option<DiskEnd> {
        let _ = disk;
        None
    }
}
