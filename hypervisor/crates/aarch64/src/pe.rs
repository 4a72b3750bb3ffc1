//! A processing element: carries out actions and says what came of them.

use core::ptr;

use aarch64_cpu::asm::barrier::{SY, isb};
use aarch64_cpu::registers::{
    CNTHCTL_EL2, CNTVOFF_EL2, CPTR_EL2, ESR_EL2, FAR_EL2, HCR_EL2, HPFAR_EL2, ID_AA64DFR0_EL1,
    ID_AA64MMFR0_EL1, ID_AA64MMFR1_EL1, ID_AA64PFR0_EL1, ID_AA64PFR1_EL1, MDCR_EL2, MIDR_EL1, PAR_EL1,
    Readable as _, VMPIDR_EL2, VTCR_EL2, VTTBR_EL2, Writeable as _,
};

use tantalum_hal::{
    Arrival, InterruptLine, Stage2Roots, TimerAccess, Trap, TrapKind, Turn, VirtualInterrupts, Way,
};
use tantalum_types::{AddressSpace, CallRegisters, CpuIndex, Ipa, VcpuId};

use crate::context::{self, Context, FpRegisters, Slot, SystemRegisters, exit};
use crate::gic::{self, PriorityMask};
use crate::sysreg;
use crate::trapped::{Instruction, Use};
use crate::{cache, smc, timer};

/// HCR_EL2 for partitions, but for the two virtual interrupts. WFI and WFE do not trap: a context that waits in one
/// goes on with the interrupt that is signalled to EL2 or to itself, and costs nobody more than one that spins. Nothing
/// of it has an effect on EL2 itself but the routing of interrupts, which are masked there, so it stays as it is while
/// the hypervisor runs.
const HCR: u64 = {
    let stage_2 = 1 /* VM */ | 1 << 1 /* SWIO */;
    let interrupts_to_el2 = 1 << 3 /* FMO */ | 1 << 4 /* IMO */ | 1 << 5 /* AMO */;
    // A context may go on elsewhere: what it does for one processing element holds for all.
    let broadcast = 1 << 9 /* FB */ | 1 << 10 /* BSU: inner shareable */;
    // SMC; implementation-defined registers; ACTLR_EL1; cache maintenance by set and way; LORegions; error records.
    let traps = 1 << 19 /* TSC */ | 1 << 20 /* TIDCP */ | 1 << 21 /* TACR */ | 1 << 22 /* TSW */
        | 1 << 35 /* TLOR */ | 1 << 36 /* TERR */;
    let external_aborts_to_el2 = 1 << 37; // TEA
    let aarch64 = 1 << 31; // RW
    let pointer_authentication = 1 << 40 /* APK */ | 1 << 41 /* API */;
    stage_2
        | interrupts_to_el2
        | broadcast
        | traps
        | external_aborts_to_el2
        | aarch64
        | pointer_authentication
};

/// VTCR_EL2 but for the sizes: 39 bits of IPA from level 1, write-back and inner shareable walks. Tables of the
/// Non-secure IPA space lie in Secure memory (NSW = 0), what it maps in Non-secure memory (NSA = 1).
const VTCR: u64 = 1 << 31 | 1 << 30 | 3 << 12 | 1 << 10 | 1 << 8 | 1 << 6 | 25;

/// VSTCR_EL2: the same sizes. Tables of the Secure IPA space and what it maps lie in Secure memory (SW = SA = 0).
const VSTCR: u64 = 1 << 31 | 1 << 6 | 25;

/// CPTR_EL2 while the floating-point registers hold what belongs to the running context: traps of activity
/// monitors, trace, SVE and SME, and the bits that are one.
const CPTR: u64 = 1 << 30 /* TAM */ | 1 << 20 /* TTA */ | 1 << 12 /* TSM */ | 1 << 8 /* TZ */ | 0x22ff;

/// CPTR_EL2 while they hold somebody else's.
const CPTR_TRAP_FP: u64 = CPTR | 1 << 10;

/// MDCR_EL2: traps of the debug, performance monitor, profiling and trace registers.
const MDCR: u64 = 1 << 19 /* TTRF */ | 1 << 14 /* TPMS */ | 1 << 11 /* TDRA */ | 1 << 10 /* TDOSA */
    | 1 << 9 /* TDA */ | 1 << 6 /* TPM */ | 1 << 5 /* TPMCR */;

/// CNTHCTL_EL2: EL1 may read the counters. The physical timer traps (EL1PCEN = 0), and so does the virtual timer
/// where FEAT_ECV lets it: both belong to the normal world.
const CNTHCTL: u64 = 1;
const CNTHCTL_TRAP_VIRTUAL_TIMER: u64 = 1 << 13;

/// Exception classes of ESR_EL2 (Arm ARM, D24.2.40).
mod class {
    pub(super) const FP: u64 = 0x07;
    pub(super) const HVC: u64 = 0x16;
    pub(super) const SMC: u64 = 0x17;
    pub(super) const SYSTEM_REGISTER: u64 = 0x18;
    pub(super) const INSTRUCTION_ABORT: u64 = 0x20;
    pub(super) const DATA_ABORT: u64 = 0x24;
}

/// Says why a context came back that has not called.
enum Exit {
    /// It can go on: what stopped it has been seen to.
    Retry,
    /// A physical interrupt was signalled.
    Interrupt(InterruptLine),
    /// It uses its timer.
    Timer(TimerAccess),
    /// It did what it may not.
    Trap(TrapKind),
}

/// Says why a processing element cannot run the hypervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsupported(pub(crate) &'static str);

impl core::fmt::Display for Unsupported {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.0)
    }
}

impl core::error::Error for Unsupported {}

/// Is one processing element: what its registers hold and for whom.
///
/// EL1's system registers and the floating-point registers exist once for both worlds and all partitions, and
/// EL3 switches neither. So they are switched late: when a context runs they become its own, and before the
/// normal world goes on they become its again. A call that runs no context pays nothing; the floating-point
/// registers move only when a context uses them.
///
/// The keys of pointer authentication EL3 does switch, where it lets the Secure world have them at all (TF-A's
/// CTX_INCLUDE_PAUTH_REGS=1, which `tfa/default.nix` sets): so the normal world's are none of our business, and ours stay
/// those of the context that ran last, however often the normal world runs in between. With a TF-A that is built without
/// it the access of the SPMC itself is undefined, and the boot ends there. The case `keys_of_both_worlds` of the
/// bare-metal suite shows that nobody has another one's.
///
/// A context is put away before the next one is taken: another processing element may wait for it, and nobody who
/// waits holds anything.
pub struct ProcessingElement {
    index: CpuIndex,
    normal_world_system: SystemRegisters,
    normal_world_fp: FpRegisters,
    /// Whose system registers EL1 has; the normal world's if `None`. This slot, and no other, is held.
    loaded: Option<&'static Slot>,
    /// Whose keys of pointer authentication the Secure world has here.
    keys: Option<&'static Slot>,
    /// Whose floating-point registers are loaded.
    fp: FpOwner,
    /// Whether CPTR_EL2 is [`CPTR_TRAP_FP`].
    fp_trapped: bool,
    roots: Option<Stage2Roots>,
    /// What HCR_EL2.VI and VF are.
    signals: VirtualInterrupts,
}

/// Says whose floating-point registers are loaded.
#[derive(Clone, Copy, PartialEq, Eq)]
enum FpOwner {
    /// The normal world's.
    NormalWorld,
    /// Those of the context whose system registers are loaded.
    Context,
    /// What a context left behind that is put away. Nobody may see it.
    Nobody,
}

impl ProcessingElement {
    /// Prepares the processing element that this runs on.
    ///
    /// # Errors
    /// Says what it lacks, or has without the hypervisor knowing how to handle it.
    ///
    /// # Safety
    /// `index` must be the index of this processing element, and nobody else may have a value of this type for
    /// it unless that one is never used again.
    pub unsafe fn new(index: CpuIndex) -> Result<Self, Unsupported> {
        let (pfr0, pfr1) = (ID_AA64PFR0_EL1.get(), ID_AA64PFR1_EL1.get());
        let (mmfr0, mmfr1) = (ID_AA64MMFR0_EL1.get(), ID_AA64MMFR1_EL1.get());
        if field(pfr0, 36) == 0 {
            return Err(Unsupported("Secure EL2 (FEAT_SEL2) is missing"));
        }
        if field(pfr0, 32) != 0 || field(pfr1, 24) != 0 {
            return Err(Unsupported(
                "SVE and SME state cannot be kept apart yet: turn them off (sve=off,sme=off)",
            ));
        }
        // At most 48 bits of address, and VMIDs of 16 bits where there are any.
        let sizes = (mmfr0 & 0xf).min(5) << 16 | u64::from(field(mmfr1, 4) == 2) << 19;
        let virtual_timer = if field(mmfr0, 60) != 0 { CNTHCTL_TRAP_VIRTUAL_TIMER } else { 0 };
        let counters = match field(ID_AA64DFR0_EL1.get(), 8) {
            0 | 0xf => 0,
            // SAFETY: there is a performance monitor. MDCR_EL2.HPMN zero would be unpredictable, so it gets N.
            _ => (unsafe { sysreg::read!("pmcr_el0") }) >> 11 & 0x1f,
        };
        // SAFETY: these registers configure the execution of EL1 and EL0, which does not run yet, and EL3 keeps
        // them apart from the normal world's. VSTCR_EL2 and VSTTBR_EL2 exist in the Secure state only.
        unsafe {
            HCR_EL2.set(HCR);
            VTCR_EL2.set(VTCR | sizes);
            sysreg::write!("s3_4_c2_c6_2", VSTCR);
            CPTR_EL2.set(CPTR_TRAP_FP);
            MDCR_EL2.set(MDCR | counters);
            CNTHCTL_EL2.set(CNTHCTL | virtual_timer);
            CNTVOFF_EL2.set(0);
            sysreg::write!("hstr_el2", 0);
            sysreg::write!("vpidr_el2", MIDR_EL1.get());
            // Translations of an earlier life of this memory.
            core::arch::asm!("tlbi alle1", "dsb nsh", options(nostack, preserves_flags));
        }
        gic::keep_from_partitions();
        gic::split_end_of_interrupt();
        // Whatever an earlier life of the processing element has asked for.
        timer::set(None);
        Ok(Self {
            index,
            normal_world_system: SystemRegisters::RESET,
            normal_world_fp: FpRegisters::RESET,
            loaded: None,
            keys: None,
            fp: FpOwner::NormalWorld,
            fp_trapped: true,
            roots: None,
            signals: VirtualInterrupts::NONE,
        })
    }

    /// Lets the normal world go on, by a call of the SPMD with `registers`, which are then those of the next call.
    #[inline(always)]
    pub fn call_normal_world(&mut self, registers: &mut CallRegisters) {
        if self.loaded.is_some() {
            self.return_registers();
        }
        smc::call(registers);
    }

    /// Sets which virtual interrupts are signalled to the context that runs next.
    #[inline]
    fn signal(&mut self, signals: VirtualInterrupts) {
        if signals != self.signals {
            let irq = u64::from(signals.irq) << 7;
            let fiq = u64::from(signals.fiq) << 6;
            HCR_EL2.set(HCR | irq | fiq);
            self.signals = signals;
        }
    }

    /// Gives the normal world its registers back.
    fn return_registers(&mut self) {
        self.put_away();
        // SAFETY: EL1 does not run; the registers are used when the normal world goes on.
        unsafe { context::tantalum_load_system(&raw const self.normal_world_system) };
        if self.fp == FpOwner::Nobody {
            self.trap_fp(false);
            // SAFETY: the registers do not trap.
            unsafe { context::tantalum_load_fp(&raw const self.normal_world_fp) };
            self.fp = FpOwner::NormalWorld;
        }
    }

    /// Saves the registers of whoever has them, and gives its slot back if it is a context.
    fn put_away(&mut self) {
        let Some(slot) = self.loaded.take() else {
            // SAFETY: the place is ours.
            unsafe { context::tantalum_save_system(&raw mut self.normal_world_system) };
            return;
        };
        // SAFETY: the slot is held, and the registers are its context's.
        unsafe {
            let context = slot.context();
            context::tantalum_save_system(&raw mut (*context).system);
            context::tantalum_save_keys(&raw mut (*context).keys);
        }
        if self.fp == FpOwner::Context {
            self.trap_fp(false);
            // SAFETY: as above, and the registers do not trap.
            unsafe { context::tantalum_save_fp(&raw mut (*slot.context()).fp) };
            self.fp = FpOwner::Nobody;
        }
        // SAFETY: the slot is held, and nothing of it is needed here any more.
        unsafe { slot.release() };
    }

    /// Gives an execution context its turn, until it calls, traps or is interrupted. `registers` are those of the answer
    /// with which it goes on, if it does, and then those of its call, if it has called.
    #[inline(always)]
    pub fn run(&mut self, turn: &Turn, registers: &mut CallRegisters) -> Arrival {
        self.signal(turn.signals);
        let Some(slot) = context::slot(turn.vcpu) else { refuse(turn.vcpu) };
        let starts = matches!(turn.way, Way::Start(_));
        let switches = !self.loaded.is_some_and(|loaded| ptr::eq(loaded, slot));
        if switches || starts {
            self.put_away();
            slot.hold(self.index);
            self.loaded = Some(slot);
        }
        // SAFETY: the slot is held by this processing element, and this is the only reference to its context
        // until the context is entered.
        let context = unsafe { &mut *slot.context() };
        match &turn.way {
            Way::Answer => {}
            Way::Start(start) => {
                context.start(start);
                // The context reads the page past the caches until it turns them on.
                let page = start.boot_info & !0xfff;
                if page != 0 {
                    // SAFETY: a partition's own memory is mapped at the same address as in its Secure IPA space.
                    unsafe { cache::clean_and_invalidate(&(page..page.wrapping_add(0x1000))) };
                }
                cache::invalidate_instruction_caches();
                *registers = context.kept();
            }
            Way::Resume => *registers = context.kept(),
            Way::Register { to, value } => {
                context.set_register(*to, *value);
                *registers = context.kept();
            }
        }
        if switches || starts {
            load_system_registers(context);
            let has_keys =
                context.keys_on == Some(self.index) && self.keys.is_some_and(|owner| ptr::eq(owner, slot));
            if !has_keys {
                // SAFETY: EL1 does not run; the keys are used when the context is entered.
                unsafe { context::tantalum_load_keys(&raw const context.keys) };
                self.keys = Some(slot);
                context.keys_on = Some(self.index);
            }
        }
        self.translate_by(&turn.roots);
        let fp_trapped = self.fp != FpOwner::Context;
        if fp_trapped != self.fp_trapped {
            self.trap_fp(fp_trapped);
        }

        let mask = PriorityMask::new(turn.foreign);
        let arrival = loop {
            // SAFETY: the context is this processing element's, its system registers are loaded, and stage 2 is
            // the partition's. Whatever runs reaches only the memory that stage 2 gives it.
            let reason = unsafe { context::tantalum_enter(&raw mut context.registers, registers) };
            if has_called(reason, context) {
                break Arrival::PartitionCall;
            }
            context.keep(registers);
            match self.judge(reason, context) {
                Exit::Retry => *registers = context.kept(),
                Exit::Interrupt(line) => break Arrival::Interrupt(line),
                Exit::Timer(access) => break Arrival::TimerAccess(access),
                Exit::Trap(kind) => {
                    let pc = context.registers.pc;
                    break Arrival::PartitionTrap(Trap { kind, pc, syndrome: syndrome() });
                }
            }
        };
        drop(mask);
        arrival
    }

    /// Says what it means that a context came back that has not called.
    #[inline(never)]
    fn judge(&mut self, reason: u64, context: &mut Context) -> Exit {
        match reason {
            exit::SYNCHRONOUS => {
                let syndrome = syndrome();
                match syndrome >> 26 & 0x3f {
                    class::FP => {
                        self.own_fp_registers(context);
                        Exit::Retry
                    }
                    class::INSTRUCTION_ABORT | class::DATA_ABORT => abort(syndrome),
                    class::SYSTEM_REGISTER => system_register(syndrome, context),
                    _ => Exit::Trap(TrapKind::Instruction),
                }
            }
            exit::IRQ => Exit::Interrupt(InterruptLine::Secure),
            exit::FIQ if gic::group0_is_pending() => Exit::Interrupt(InterruptLine::Group0),
            exit::FIQ => Exit::Interrupt(InterruptLine::Foreign),
            _ => Exit::Trap(TrapKind::SystemError),
        }
    }

    /// Makes the floating-point registers those of `context`, which is about to use them.
    #[cold]
    fn own_fp_registers(&mut self, context: &Context) {
        self.trap_fp(false);
        // SAFETY: the registers do not trap, and both places are ours.
        unsafe {
            if self.fp == FpOwner::NormalWorld {
                context::tantalum_save_fp(&raw mut self.normal_world_fp);
            }
            context::tantalum_load_fp(&raw const context.fp);
        }
        self.fp = FpOwner::Context;
    }

    /// Sets whether the use of floating-point registers traps.
    fn trap_fp(&mut self, trap: bool) {
        CPTR_EL2.set(if trap { CPTR_TRAP_FP } else { CPTR });
        isb(SY);
        self.fp_trapped = trap;
    }

    /// Makes stage 2 that of a partition.
    #[inline(always)]
    fn translate_by(&mut self, roots: &Stage2Roots) {
        if self.roots.as_ref() == Some(roots) {
            return;
        }
        // SAFETY: EL1 does not run; the roots are used when the context is entered, and the hypervisor promises
        // that they are tables which let the partition reach nothing but its own.
        unsafe {
            sysreg::write!("s3_4_c2_c6_0", roots.secure.raw());
            VTTBR_EL2.set(u64::from(roots.vmid) << 48 | roots.non_secure.raw());
        }
        self.roots = Some(*roots);
    }
}

/// Tells whether a context came back because it has called, and steps over its call then.
#[inline(always)]
fn has_called(reason: u64, context: &mut Context) -> bool {
    if reason != exit::SYNCHRONOUS {
        return false;
    }
    // An immediate other than zero is no call of the calling convention.
    let syndrome = syndrome();
    match syndrome >> 26 & 0x3f {
        class::SMC if syndrome & 0xffff == 0 => {
            context.skip_instruction();
            true
        }
        class => class == class::HVC && syndrome & 0xffff == 0,
    }
}

/// Loads the registers of EL1 that `context` keeps, and MPIDR_EL1 as it sees it.
fn load_system_registers(context: &Context) {
    // SAFETY: EL1 does not run; the registers are used when the context is entered.
    unsafe {
        context::tantalum_load_system(&raw const context.system);
        VMPIDR_EL2.set(context.mpidr);
    }
}

/// Stops when the logic names a context that cannot be.
#[cold]
#[expect(clippy::panic, reason = "the hypervisor is broken: the panic handler reports it and stops")]
fn refuse(vcpu: VcpuId) -> ! {
    panic!("execution context {vcpu:?} does not exist");
}

/// Returns the 4-bit field of an identification register at `bit`.
const fn field(register: u64, bit: u32) -> u64 {
    register >> bit & 0xf
}

/// Returns ESR_EL2.
fn syndrome() -> u64 {
    ESR_EL2.get()
}

/// Says what the use of a system register that traps means, and steps over it unless it is refused.
#[cold]
fn system_register(syndrome: u64, context: &mut Context) -> Exit {
    let instruction = Instruction::from_syndrome(syndrome);
    let meaning = instruction.meaning();
    if meaning == Use::Refused {
        return Exit::Trap(TrapKind::Instruction);
    }
    context.skip_instruction();
    match meaning {
        Use::Timer(register) => {
            let access = instruction.access(context.register(instruction.register));
            Exit::Timer(TimerAccess { register, access })
        }
        Use::Ignored | Use::Refused => {
            if instruction.reads {
                context.set_register(instruction.register, 0);
            }
            Exit::Retry
        }
    }
}

/// Says what an abort of a context means.
#[cold]
fn abort(syndrome: u64) -> Exit {
    let status = syndrome & 0x3f;
    // 0b00xxyy: address size, translation, access flag and permission faults. The others are external.
    if status & 0x30 != 0 {
        return Exit::Trap(TrapKind::SystemError);
    }
    let on_walk = syndrome & 1 << 7 != 0; // S1PTW
    let address = if on_walk {
        // Stage 1 was reading its own tables, which lie in the Secure IPA space.
        Ipa::secure(faulting_page())
    } else {
        // Asking stage 1 answers for permission faults too, for which HPFAR_EL2 says nothing, and it gives the
        // address space: HPFAR_EL2.NS of QEMU (10.0) is the wrong way round.
        match translate(far()) {
            Some(address) => address,
            None => return Exit::Retry,
        }
    };
    Exit::Trap(if syndrome >> 26 & 0x3f == class::INSTRUCTION_ABORT {
        TrapKind::InstructionAbort { address }
    } else {
        TrapKind::DataAbort { address, write: syndrome & 1 << 6 != 0 }
    })
}

fn far() -> u64 {
    FAR_EL2.get()
}

/// Returns the page of the faulting IPA as the processing element reports it.
fn faulting_page() -> u64 {
    (HPFAR_EL2.get() & 0x0fff_ffff_fff0) << 8
}

/// Returns the page that a virtual address of the context means; `None` if stage 1 has changed meanwhile or cannot
/// be read, so that the context has to fault again to know.
fn translate(address: u64) -> Option<Ipa> {
    // PAR_EL1 is the context's, so it gets its old value back.
    let before = PAR_EL1.get();
    // SAFETY: the registers of EL1 are the context's, and translating an address writes PAR_EL1 and nothing else.
    unsafe { core::arch::asm!("at s1e1r, {}", "isb", in(reg) address, options(nostack, preserves_flags)) };
    let par = PAR_EL1.get();
    PAR_EL1.set(before);
    if par & 1 != 0 {
        return None;
    }
    let space = if par & 1 << 9 != 0 { AddressSpace::NonSecure } else { AddressSpace::Secure };
    Some(Ipa::new(space, par & 0x000f_ffff_ffff_f000))
}
