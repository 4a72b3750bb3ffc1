//! A processing element: carries out actions and says what came of them.

use core::ptr;

use aarch64_cpu::asm::barrier::{SY, dsb, isb};
use aarch64_cpu::asm::wfi;
use aarch64_cpu::registers::{
    CNTHCTL_EL2, CPTR_EL2, ESR_EL2, HCR_EL2, ID_AA64DFR0_EL1, ID_AA64ISAR1_EL1, ID_AA64MMFR0_EL1,
    ID_AA64MMFR1_EL1, ID_AA64PFR0_EL1, MDCR_EL2, MIDR_EL1, Readable as _, VMPIDR_EL2, VTCR_EL2, VTTBR_EL2,
    Writeable as _,
};
use tantalum_hal::vm::{Access, Action, Conduit, Direction, Entry, Event, Fault, RegisterTrap, Translation};
use tantalum_types::{CpuIndex, Ipa, MAX_VMS, VcpuIndex, VmVcpuId};

use super::context::{self, Context, Slot};
use super::trap::{Abort, DataAbort, SystemInstruction, Trap};
use super::{access, firmware, identification, inject, interface, timer};
use crate::context::{
    exit, tantalum_enter, tantalum_load_fp, tantalum_load_system, tantalum_save_fp, tantalum_save_system,
};
use crate::fault::halt;
use crate::pe::Unsupported;
use crate::{cache, sysreg};

/// HCR_EL2 while WFI waits in place. Nothing of it has an effect on EL2 itself but the routing of interrupts, which are
/// masked there, so it stays as it is while the hypervisor runs.
const HCR: u64 = {
    let stage_2 = 1 /* VM */ | 1 << 1 /* SWIO */;
    let interrupts_to_el2 = 1 << 3 /* FMO */ | 1 << 4 /* IMO */ | 1 << 5 /* AMO */;
    // Virtual CPUs of one virtual machine may share a processing element, so what one does for it holds for all.
    let broadcast = 1 << 9 /* FB */ | 1 << 10 /* BSU: inner shareable */;
    // Identification registers; SMC; implementation-defined registers; ACTLR_EL1; cache maintenance by set and way;
    // LORegions; error records.
    let traps = 1 << 18 /* TID3 */ | 1 << 19 /* TSC */ | 1 << 20 /* TIDCP */ | 1 << 21 /* TACR */
        | 1 << 22 /* TSW */ | 1 << 35 /* TLOR */ | 1 << 36 /* TERR */;
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

/// HCR_EL2 while WFI traps.
const HCR_TRAP_WAIT: u64 = HCR | 1 << 13; // TWI

/// HCRX_EL2: the memory copy instructions are there.
const HCRX: u64 = 1 << 11; // MSCEn

/// VTCR_EL2 but for the sizes: 39 bits of IPA from level 1, write-back and inner shareable walks.
const VTCR: u64 = 1 << 31 | 3 << 12 | 1 << 10 | 1 << 8 | 1 << 6 | 25;

/// CPTR_EL2 while the floating-point registers hold what belongs to the virtual CPU that is loaded: traps of activity
/// monitors, trace, SVE and SME, and the bits that are one.
const CPTR: u64 = 1 << 30 /* TAM */ | 1 << 20 /* TTA */ | 1 << 12 /* TSM */ | 1 << 8 /* TZ */ | 0x22ff;

/// CPTR_EL2 while they hold somebody else's.
const CPTR_TRAP_FP: u64 = CPTR | 1 << 10;

/// MDCR_EL2: traps of the debug, performance monitor, profiling and trace registers.
const MDCR: u64 = 1 << 19 /* TTRF */ | 1 << 14 /* TPMS */ | 1 << 11 /* TDRA */ | 1 << 10 /* TDOSA */
    | 1 << 9 /* TDA */ | 1 << 6 /* TPM */ | 1 << 5 /* TPMCR */;

/// CNTHCTL_EL2: EL1 may read the counters. The physical timer traps (EL1PCEN = 0).
const CNTHCTL: u64 = 1;

/// Is one processing element: what its registers hold and for whom.
///
/// The registers of a virtual CPU stay loaded until another one runs. Its floating-point registers are loaded when it
/// first uses them.
pub struct VmElement {
    index: CpuIndex,
    /// Whose registers EL1 has. This slot, and no other, is held.
    loaded: Option<&'static Slot>,
    /// Whether the floating-point registers are those of the virtual CPU that is loaded. Else they are trapped.
    has_fp: bool,
    /// Whether WFI traps.
    traps_wait: bool,
    /// Whether ESB leaves something in a register of its own (FEAT_RAS).
    has_ras: bool,
    translation: Option<Translation>,
    /// Which virtual CPU of each virtual machine ran here last.
    last: [Option<VcpuIndex>; MAX_VMS],
}

impl VmElement {
    /// Prepares the processing element that this runs on.
    ///
    /// # Errors
    /// Says what it lacks.
    ///
    /// # Safety
    /// `index` must be the index of this processing element, and nobody else may have a value of this type for
    /// it unless that one is never used again.
    pub unsafe fn new(index: CpuIndex) -> Result<Self, Unsupported> {
        let (isar1, isar2) = (ID_AA64ISAR1_EL1.get(), {
            // SAFETY: reading an identification register has no effect.
            unsafe { sysreg::read!("s3_0_c0_c6_2") }
        });
        let (mmfr0, mmfr1) = (ID_AA64MMFR0_EL1.get(), ID_AA64MMFR1_EL1.get());
        if field(isar1, 4) == 0 && field(isar1, 8) == 0 && field(isar2, 12) == 0 {
            return Err(Unsupported("pointer authentication (FEAT_PAuth) is missing"));
        }
        // At most 48 bits of address, and VMIDs of 16 bits where there are any.
        let sizes = (mmfr0 & 0xf).min(5) << 16 | u64::from(field(mmfr1, 4) == 2) << 19;
        let counters = match field(ID_AA64DFR0_EL1.get(), 8) {
            0 | 0xf => 0,
            // SAFETY: there is a performance monitor. MDCR_EL2.HPMN zero would be unpredictable, so it gets N.
            _ => (unsafe { sysreg::read!("pmcr_el0") }) >> 11 & 0x1f,
        };
        // SAFETY: these registers configure the execution of EL1 and EL0, which does not run yet.
        unsafe {
            HCR_EL2.set(HCR_TRAP_WAIT);
            if field(mmfr1, 40) != 0 {
                sysreg::write!("s3_4_c1_c2_2", HCRX);
            }
            if field(mmfr0, 56) != 0 {
                // Fine-grained traps: none, and what each of these registers has inverted is not told of.
                sysreg::write!("s3_4_c1_c1_4", 0); // HFGRTR_EL2
                sysreg::write!("s3_4_c1_c1_5", 0); // HFGWTR_EL2
                sysreg::write!("s3_4_c1_c1_6", 0); // HFGITR_EL2
                sysreg::write!("s3_4_c3_c1_4", 0); // HDFGRTR_EL2
                sysreg::write!("s3_4_c3_c1_5", 0); // HDFGWTR_EL2
            }
            VTCR_EL2.set(VTCR | sizes);
            CPTR_EL2.set(CPTR_TRAP_FP);
            MDCR_EL2.set(MDCR | counters);
            CNTHCTL_EL2.set(CNTHCTL);
            sysreg::write!("hstr_el2", 0);
            sysreg::write!("vpidr_el2", MIDR_EL1.get());
            sysreg::write!("mdscr_el1", 0);
            // Translations of an earlier life of this memory.
            core::arch::asm!("tlbi alle1", "dsb nsh", options(nostack, preserves_flags));
        }
        timer::set(None);
        timer::stop_virtual();
        interface::start();
        Ok(Self {
            index,
            loaded: None,
            has_fp: false,
            traps_wait: true,
            has_ras: field(ID_AA64PFR0_EL1.get(), 28) != 0,
            translation: None,
            last: [None; MAX_VMS],
        })
    }

    /// Carries out an action and returns what the processing element came back with.
    #[inline(always)]
    pub fn perform(&mut self, action: &Action) -> Event {
        match action {
            Action::Run { vcpu, entry, translation, alone } => {
                self.trap_wait(!alone);
                self.run(*vcpu, entry, translation)
            }
            Action::Idle => {
                // An interrupt ends it although it is masked.
                dsb(SY);
                wfi();
                Event::Interrupt
            }
            Action::PowerOff => firmware::system_off(),
            Action::Reset => firmware::system_reset(),
            Action::Halt => halt(),
        }
    }

    /// Sets whether WFI traps.
    #[inline]
    fn trap_wait(&mut self, trap: bool) {
        if trap != self.traps_wait {
            HCR_EL2.set(if trap { HCR_TRAP_WAIT } else { HCR });
            self.traps_wait = trap;
        }
    }

    /// Saves the registers of the virtual CPU that is loaded, if one is, and gives its slot back.
    fn put_away(&mut self) {
        let Some(slot) = self.loaded.take() else { return };
        // SAFETY: the slot is held, the registers are its context's, and those that are saved do not trap.
        unsafe {
            let context = &mut *slot.context();
            tantalum_save_system(&raw mut context.system);
            context.timer.save();
            if self.has_fp {
                tantalum_save_fp(&raw mut context.fp);
            }
        }
        self.trap_fp(true);
        // SAFETY: the slot is held, and nothing of it is needed here any more.
        unsafe { slot.release() };
    }

    /// Runs a virtual CPU until it calls, reaches for what is emulated, waits, faults or is interrupted.
    fn run(&mut self, vcpu: VmVcpuId, entry: &Entry, translation: &Translation) -> Event {
        let Some(slot) = context::slot(vcpu) else { refuse(vcpu) };
        let switches = !self.loaded.is_some_and(|loaded| ptr::eq(loaded, slot));
        let starts = matches!(entry, Entry::Start(_));
        if switches || starts {
            self.put_away();
            slot.hold(self.index);
            self.loaded = Some(slot);
        }
        // SAFETY: the slot is held by this processing element, and this is the only reference to its context
        // until the context is entered.
        let context = unsafe { &mut *slot.context() };
        if let Entry::Start(start) = entry {
            context.start(start);
            cache::invalidate_instruction_caches();
        }
        if switches || starts {
            load(context);
            if self.has_ras {
                // VDISR_EL2, of which virtual CPUs are not told, but which they can write by the name of DISR_EL1.
                // SAFETY: the register is there, and only they have a use of it.
                unsafe { sysreg::write!("s3_4_c12_c1_1", 0) };
            }
            self.translate_by(vcpu, translation, starts);
        }
        match entry {
            Entry::Start(_) | Entry::Resume => {}
            Entry::Answer(answer) => context.answer(answer),
            Entry::Register { to, value } => context.set_register(*to, *value),
            Entry::Exception(exception) => inject::inject(context, *exception),
        }
        loop {
            let registers = &raw mut context.registers;
            // SAFETY: the context is this processing element's, its system registers are loaded, and stage 2 is its
            // virtual machine's. Whatever runs reaches only the memory that stage 2 gives it. x0 to x17 stay in the
            // context, of whose registers they are the first eighteen.
            let reason = unsafe { tantalum_enter(registers, (&raw mut (*registers).x).cast()) };
            context.instruction = context.registers.pc;
            if let Some(event) = self.judge(reason, context) {
                return event;
            }
        }
    }

    /// Says what it means that a virtual CPU came back; `None` if it can go on.
    #[inline(always)]
    fn judge(&mut self, reason: u64, context: &mut Context) -> Option<Event> {
        match reason {
            exit::SYNCHRONOUS => {}
            // FIQs are of Group 0, which there is not at NS-EL2: an acknowledgement finds nothing, or what is pending.
            exit::IRQ | exit::FIQ => return Some(Event::Interrupt),
            _ => return Some(Event::Fault(Fault::SystemError { syndrome: syndrome() })),
        }
        match Trap::from_syndrome(syndrome()) {
            Trap::WaitForInterrupt => {
                context.skip_instruction(4);
                Some(Event::Wait)
            }
            Trap::OtherWait => {
                context.skip_instruction(4);
                None
            }
            Trap::Hvc(immediate) => {
                Some(Event::Call { conduit: Conduit::Hvc, immediate, registers: context.call() })
            }
            Trap::Smc(immediate) => {
                context.skip_instruction(4);
                Some(Event::Call { conduit: Conduit::Smc, immediate, registers: context.call() })
            }
            Trap::DataAbort(abort) => data_abort(abort, context),
            Trap::System(instruction) => system_instruction(instruction, context),
            Trap::Fp => {
                self.own_fp_registers(context);
                None
            }
            Trap::InstructionAbort(abort) => instruction_abort(abort),
            Trap::Other => Some(Event::Fault(Fault::Instruction { syndrome: syndrome() })),
        }
    }

    /// Makes the floating-point registers those of `context`, which is about to use them.
    #[cold]
    fn own_fp_registers(&mut self, context: &Context) {
        self.trap_fp(false);
        // SAFETY: the registers do not trap, and nobody has anything in them.
        unsafe { tantalum_load_fp(&raw const context.fp) };
    }

    /// Sets whether the use of floating-point registers traps.
    fn trap_fp(&mut self, trap: bool) {
        CPTR_EL2.set(if trap { CPTR_TRAP_FP } else { CPTR });
        isb(SY);
        self.has_fp = !trap;
    }

    /// Makes stage 2 that of the virtual machine of `vcpu`.
    fn translate_by(&mut self, vcpu: VmVcpuId, translation: &Translation, starts: bool) {
        if self.translation != Some(*translation) {
            // EL1 does not run; the hypervisor promises that the root is that of tables which let the virtual machine
            // reach nothing but its own.
            VTTBR_EL2.set(u64::from(translation.vmid.0) << 48 | translation.root.raw());
            self.translation = Some(*translation);
        }
        // To the TLBs, the virtual CPUs of a virtual machine are one. But what two of them call by the same ASID may be
        // two things, as may be what one does before and after it begins anew.
        let Some(last) = self.last.get_mut(vcpu.vm.get()) else { return };
        if *last != Some(vcpu.index) || starts {
            isb(SY);
            // SAFETY: forgetting translations is always sound.
            unsafe { core::arch::asm!("tlbi vmalle1", "dsb nsh", options(nostack, preserves_flags)) };
            *last = Some(vcpu.index);
        }
    }
}

/// Loads the registers of EL1 that `context` keeps, its timer, and MPIDR_EL1 as it sees it.
fn load(context: &Context) {
    // SAFETY: EL1 does not run; the registers are used when the context is entered.
    unsafe { tantalum_load_system(&raw const context.system) };
    context.timer.load();
    VMPIDR_EL2.set(context.mpidr);
}

/// Stops when the logic names a virtual CPU that cannot be.
#[cold]
#[expect(clippy::panic, reason = "the hypervisor is broken: the panic handler reports it and stops")]
fn refuse(vcpu: VmVcpuId) -> ! {
    panic!("virtual CPU {vcpu:?} does not exist");
}

/// Returns the 4-bit field of an identification register at `bit`.
const fn field(register: u64, bit: u32) -> u64 {
    register >> bit & 0xf
}

/// Returns ESR_EL2.
fn syndrome() -> u64 {
    ESR_EL2.get()
}

/// Says what a data abort means.
fn data_abort(abort: DataAbort, context: &mut Context) -> Option<Event> {
    let virtual_address = access::virtual_address();
    let page = match abort.abort {
        Abort::Page => access::faulting_page(),
        Abort::Permission => access::translate(virtual_address)?,
        Abort::External => return Some(Event::Fault(Fault::SystemError { syndrome: syndrome() })),
    };
    let Some(transfer) = abort.transfer else {
        let address = Ipa::non_secure(page);
        return Some(Event::Fault(Fault::DataAbort { address, virtual_address, write: abort.write }));
    };
    let direction = if abort.write {
        let value = context.register(transfer.register);
        let unused = 64_u32.saturating_sub(u32::from(transfer.size).saturating_mul(8));
        Direction::Write { value: value << unused >> unused }
    } else {
        Direction::Read { to: transfer.register }
    };
    context.skip_instruction(transfer.instruction_size);
    Some(Event::Access(Access {
        address: Ipa::non_secure(page | virtual_address & 0xfff),
        virtual_address,
        size: transfer.size,
        direction,
        sign_extend: transfer.sign_extend,
        wide: transfer.wide,
    }))
}

/// Says what an abort of a fetch means.
#[cold]
fn instruction_abort(abort: Abort) -> Option<Event> {
    let virtual_address = access::virtual_address();
    let page = match abort {
        Abort::Page => access::faulting_page(),
        Abort::Permission => access::translate(virtual_address)?,
        Abort::External => return Some(Event::Fault(Fault::SystemError { syndrome: syndrome() })),
    };
    let address = Ipa::non_secure(page);
    Some(Event::Fault(Fault::InstructionAbort { address, virtual_address }))
}

/// Says what the use of a system register that traps means, and steps over it.
fn system_instruction(instruction: SystemInstruction, context: &mut Context) -> Option<Event> {
    let SystemInstruction { system: register, register: general, reads } = instruction;
    context.skip_instruction(4);
    let told = if instruction.is_ignored() { Some(0) } else { identification::read(register) };
    if let Some(value) = told {
        if reads {
            context.set_register(general, value);
        }
        return None;
    }
    let direction = if reads {
        Direction::Read { to: general }
    } else {
        Direction::Write { value: context.register(general) }
    };
    Some(Event::Register(RegisterTrap { register, direction }))
}
