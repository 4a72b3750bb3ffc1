//! The registers of virtual CPUs, and the pool that they live in.

use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicU8, Ordering};

use tantalum_hal::vm::Start;
use tantalum_types::{CallRegisters, CpuIndex, MAX_VCPUS, MAX_VMS, VmVcpuId};

use super::timer::VirtualTimer;
use crate::context::{FpRegisters, Registers, SystemRegisters};

/// PSTATE in which a virtual CPU begins: EL1 with its own stack pointer, every exception masked.
const PSTATE_START: u64 = 0x3c5;

/// IL, SS and BTYPE of a saved PSTATE, which belong to one instruction and go when it is done.
const PSTATE_OF_ONE_INSTRUCTION: u64 = 3 << 20 | 3 << 10;

/// Holds everything of a virtual CPU that another one could overwrite.
pub(super) struct Context {
    pub(super) registers: Registers,
    pub(super) system: SystemRegisters,
    pub(super) fp: FpRegisters,
    pub(super) timer: VirtualTimer,
    /// What MPIDR_EL1 reads as.
    pub(super) mpidr: u64,
    /// The address of the instruction that the last exit was about.
    pub(super) instruction: u64,
}

impl Context {
    /// Puts every register into the state in which a virtual CPU begins.
    pub(super) fn start(&mut self, start: &Start) {
        self.registers.x = [0; 31];
        self.set_register(0, start.x0);
        self.registers.pc = start.entry_point;
        self.registers.pstate = PSTATE_START;
        self.system = SystemRegisters::RESET;
        self.fp = FpRegisters::RESET;
        self.timer = VirtualTimer::reset(start.counter_offset);
        self.mpidr = start.mpidr | 1 << 31;
        self.instruction = start.entry_point;
    }

    /// Puts the answer to a call into x0 to x17.
    #[inline(always)]
    pub(super) fn answer(&mut self, answer: &CallRegisters) {
        let (registers, _) = self.registers.x.split_at_mut(answer.0.len());
        registers.copy_from_slice(&answer.0);
    }

    /// Returns x0 to x17.
    #[inline(always)]
    pub(super) fn call(&self) -> CallRegisters {
        // The closure is never called: there are more registers than that.
        CallRegisters(self.registers.x.first_chunk().copied().unwrap_or([0; 18]))
    }

    /// Returns x0 to x30; any other register is the zero register.
    pub(super) fn register(&self, from: u8) -> u64 {
        self.registers.x.get(usize::from(from)).copied().unwrap_or(0)
    }

    /// Puts `value` into x0 to x30; any other register is the zero register, which keeps nothing.
    pub(super) fn set_register(&mut self, to: u8, value: u64) {
        if let Some(register) = self.registers.x.get_mut(usize::from(to)) {
            *register = value;
        }
    }

    /// Steps over the instruction that was trapped, which has `size` bytes.
    pub(super) fn skip_instruction(&mut self, size: u64) {
        self.registers.pc = self.registers.pc.wrapping_add(size);
        self.registers.pstate &= !PSTATE_OF_ONE_INSTRUCTION;
    }
}

/// Holds a context and which processing element may touch it.
pub(super) struct Slot {
    /// 0, or the index of the processing element plus 1.
    holder: AtomicU8,
    /// All zero at first, which every register may be, so that the pool needs no place in the image.
    context: UnsafeCell<MaybeUninit<Context>>,
}

// SAFETY: the context is reached through `context` only, whose caller has the slot held.
unsafe impl Sync for Slot {}

impl Slot {
    /// Holds the slot for `cpu`, which must not hold any.
    ///
    /// The hypervisor never runs a virtual CPU on two processing elements. One that it gives to another has been put
    /// away before, or is so a moment later: until then, wait.
    pub(super) fn hold(&self, cpu: CpuIndex) {
        let own = holder(cpu);
        while self.holder.compare_exchange_weak(0, own, Ordering::Acquire, Ordering::Relaxed).is_err() {
            core::hint::spin_loop();
        }
    }

    /// Gives the slot back.
    ///
    /// # Safety
    /// This processing element holds it, and has nothing of the context left in its registers.
    pub(super) unsafe fn release(&self) {
        self.holder.store(0, Ordering::Release);
    }

    /// Returns the context.
    pub(super) const fn context(&self) -> *mut Context {
        self.context.get().cast()
    }
}

fn holder(cpu: CpuIndex) -> u8 {
    // An index is below 256.
    u8::try_from(cpu.get()).unwrap_or(u8::MAX).saturating_add(1)
}

static SLOTS: [[Slot; MAX_VCPUS]; MAX_VMS] = [const {
    [const { Slot { holder: AtomicU8::new(0), context: UnsafeCell::new(MaybeUninit::zeroed()) } }; MAX_VCPUS]
}; MAX_VMS];

/// Returns the slot of a virtual CPU.
pub(super) fn slot(vcpu: VmVcpuId) -> Option<&'static Slot> {
    SLOTS.get(vcpu.vm.get())?.get(vcpu.index.get())
}
