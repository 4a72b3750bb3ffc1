//! The registers of an execution context, the pool that they live in, and the code that switches them.

use core::arch::global_asm;
use core::cell::UnsafeCell;
use core::mem::offset_of;
use core::sync::atomic::{AtomicU8, Ordering};

use tantalum_hal::VcpuStart;
use tantalum_types::{CallRegisters, CpuIndex, MAX_PARTITIONS, MAX_VCPUS, VcpuId};

use crate::{fault, layout};

/// Why an execution context came back, as the vectors report it.
pub(crate) mod exit {
    pub(crate) const SYNCHRONOUS: u64 = 0;
    pub(crate) const IRQ: u64 = 1;
    pub(crate) const FIQ: u64 = 2;
    pub(crate) const SYSTEM_ERROR: u64 = 3;
}

global_asm!(
    include_str!("context.S"),
    SYNCHRONOUS = const exit::SYNCHRONOUS,
    IRQ = const exit::IRQ,
    FIQ = const exit::FIQ,
    SYSTEM_ERROR = const exit::SYSTEM_ERROR,
    PC = const offset_of!(Registers, pc),
    EMERGENCY_STACKS = sym layout::EMERGENCY_STACKS,
    EMERGENCY_STACK_SIZE = const layout::EMERGENCY_STACK_SIZE,
    fault = sym fault::report,
);

unsafe extern "C" {
    /// Runs the execution context until it comes back, and returns why it did. Its x0 to x17 are those in `call`, before
    /// and after.
    pub(crate) fn tantalum_enter(registers: *mut Registers, call: *mut CallRegisters) -> u64;
    /// Stores the system registers of EL1 and EL0.
    pub(crate) fn tantalum_save_system(to: *mut SystemRegisters);
    /// Loads the system registers of EL1 and EL0.
    pub(crate) fn tantalum_load_system(from: *const SystemRegisters);
    /// Stores the keys of pointer authentication.
    pub(crate) fn tantalum_save_keys(to: *mut Keys);
    /// Loads the keys of pointer authentication.
    pub(crate) fn tantalum_load_keys(from: *const Keys);
    /// Stores the floating-point and SIMD registers, which must not trap.
    pub(crate) fn tantalum_save_fp(to: *mut FpRegisters);
    /// Loads the floating-point and SIMD registers, which must not trap.
    pub(crate) fn tantalum_load_fp(from: *const FpRegisters);
}

/// PSTATE in which an execution context begins: EL1 with its own stack pointer, every exception masked.
const PSTATE_START: u64 = 0x3c5;

/// SCTLR_EL1 out of reset: MMU, caches and checks off, and the bits that are one (11, 20, 22, 23, 28, 29).
const SCTLR_EL1_RESET: u64 = 0x30d0_0800;

/// BTYPE and SS of a saved PSTATE, which belong to one instruction and go when it is skipped.
const PSTATE_OF_ONE_INSTRUCTION: u64 = 1 << 21 | 3 << 10;

/// Holds the registers that change with every entry. The assembly knows the layout.
///
/// x0 to x17 are here only while the execution context does not run and is not behind a call of its own: that is where
/// it goes on with an answer.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Registers {
    pub(crate) x: [u64; 31],
    reserved: u64, // keeps `pc` where a pair of registers can be stored at once
    pub(crate) pc: u64,
    pub(crate) pstate: u64,
}

/// Holds the system registers of EL1 and EL0, in the order in which the assembly stores them.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct SystemRegisters {
    sctlr: u64,
    others: [u64; 21],
    csselr: u64,
}

/// Holds the keys of pointer authentication.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Keys([u64; 10]);

impl Keys {
    pub(crate) const ZERO: Self = Self([0; 10]);
}

impl SystemRegisters {
    pub(crate) const RESET: Self = Self { sctlr: SCTLR_EL1_RESET, others: [0; 21], csselr: 0 };
}

/// Holds q0 to q31, FPCR and FPSR.
#[derive(Clone, Copy)]
#[repr(C, align(16))]
pub(crate) struct FpRegisters {
    q: [u64; 64],
    fpcr: u64,
    fpsr: u64,
}

impl FpRegisters {
    pub(crate) const RESET: Self = Self { q: [0; 64], fpcr: 0, fpsr: 0 };
}

const _: () = {
    assert!(offset_of!(Registers, pc) == 256);
    assert!(size_of::<SystemRegisters>() == 184);
    assert!(offset_of!(FpRegisters, fpcr) == 512);
};

/// Holds everything of an execution context that another one could overwrite.
pub(crate) struct Context {
    pub(crate) registers: Registers,
    pub(crate) system: SystemRegisters,
    pub(crate) keys: Keys,
    /// The processing element that has had the keys last, unless they have changed since.
    pub(crate) keys_on: Option<CpuIndex>,
    pub(crate) fp: FpRegisters,
    /// What MPIDR_EL1 reads as.
    pub(crate) mpidr: u64,
}

impl Context {
    const ZERO: Self = Self {
        registers: Registers { x: [0; 31], reserved: 0, pc: 0, pstate: 0 },
        // All zero, so that the pool needs no place in the image. An execution context starts before it runs.
        system: SystemRegisters { sctlr: 0, others: [0; 21], csselr: 0 },
        keys: Keys::ZERO,
        keys_on: None,
        fp: FpRegisters::RESET,
        mpidr: 0,
    };

    /// Puts every register into the state in which an execution context begins.
    pub(crate) fn start(&mut self, start: &VcpuStart) {
        self.registers.x = [0; 31];
        if let Some(register) = self.registers.x.get_mut(start.boot_info_register) {
            *register = start.boot_info;
        }
        self.registers.pc = start.entry_point.raw();
        self.registers.pstate = PSTATE_START;
        self.system = SystemRegisters::RESET;
        self.keys = Keys::ZERO;
        self.keys_on = None;
        self.fp = FpRegisters::RESET;
        self.mpidr = start.mpidr | 1 << 31;
    }

    /// Keeps x0 to x17 of the execution context, which did not end its turn with a call.
    pub(crate) fn keep(&mut self, first: &CallRegisters) {
        let (registers, _) = self.registers.x.split_at_mut(first.0.len());
        registers.copy_from_slice(&first.0);
    }

    /// Returns x0 to x17 as they were kept.
    pub(crate) fn kept(&self) -> CallRegisters {
        // The other value is never used: there are more registers than that.
        CallRegisters(self.registers.x.first_chunk().copied().unwrap_or([0; 18]))
    }

    /// Returns x0 to x30; any other register is the zero register.
    pub(crate) fn register(&self, from: u8) -> u64 {
        self.registers.x.get(usize::from(from)).copied().unwrap_or(0)
    }

    /// Puts `value` into x0 to x30; any other register is the zero register, which keeps nothing.
    pub(crate) fn set_register(&mut self, to: u8, value: u64) {
        if let Some(register) = self.registers.x.get_mut(usize::from(to)) {
            *register = value;
        }
    }

    /// Steps over the instruction that was trapped.
    pub(crate) fn skip_instruction(&mut self) {
        self.registers.pc = self.registers.pc.wrapping_add(4);
        self.registers.pstate &= !PSTATE_OF_ONE_INSTRUCTION;
    }
}

/// Holds a context and which processing element may touch it.
pub(crate) struct Slot {
    /// 0, or the index of the processing element plus 1.
    holder: AtomicU8,
    context: UnsafeCell<Context>,
}

// SAFETY: the context is reached through `context` only, whose caller has the slot held.
unsafe impl Sync for Slot {}

impl Slot {
    /// Holds the slot for `cpu`, which must not hold any.
    ///
    /// The hypervisor never runs a context on two processing elements. But the one that it ran on last may be told
    /// first that it waits for work, and put it away a moment later: until then, wait.
    pub(crate) fn hold(&self, cpu: CpuIndex) {
        let own = holder(cpu);
        while self.holder.compare_exchange_weak(0, own, Ordering::Acquire, Ordering::Relaxed).is_err() {
            core::hint::spin_loop();
        }
    }

    /// Gives the slot back.
    ///
    /// # Safety
    /// This processing element holds it, and has nothing of the context left in its registers.
    pub(crate) unsafe fn release(&self) {
        self.holder.store(0, Ordering::Release);
    }

    /// Returns the context.
    pub(crate) const fn context(&self) -> *mut Context {
        self.context.get()
    }
}

fn holder(cpu: CpuIndex) -> u8 {
    // An index is below 256.
    u8::try_from(cpu.get()).unwrap_or(u8::MAX).saturating_add(1)
}

static SLOTS: [[Slot; MAX_VCPUS]; MAX_PARTITIONS] = [const {
    [const { Slot { holder: AtomicU8::new(0), context: UnsafeCell::new(Context::ZERO) } }; MAX_VCPUS]
}; MAX_PARTITIONS];

/// Returns the slot of an execution context.
pub(crate) fn slot(vcpu: VcpuId) -> Option<&'static Slot> {
    SLOTS.get(vcpu.partition.get())?.get(vcpu.index.get())
}
