//! The GIC's CPU interface of this processing element, and the virtual one (GICv3, chapters 8.2 and 12.4 to 12.7).

use aarch64_cpu::asm::barrier::{ISHST, SY, dsb, isb};
use tantalum_hal::vm::{ListRegister, ListState};

use crate::{gic, sysreg};

/// Is the INTID of the maintenance interrupt of the virtual CPU interface (Base System Architecture, section 3.8).
pub const MAINTENANCE: u32 = 25;

/// ICC_SRE_EL2: system registers at EL2, no bypass, and EL1 may use ICC_SRE_EL1.
const SRE: u64 = 0xf;

/// Bounds the list registers of any implementation.
const MAX_LIST_REGISTERS: usize = 16;

/// Takes the CPU interface into use: interrupts of Group 1 at every priority, whose end is split from their
/// deactivation. The virtual one is off and holds nothing.
pub fn start() {
    // SAFETY: nobody else handles interrupts at EL2, and EL1 does not run yet.
    unsafe {
        sysreg::write!("s3_4_c12_c9_5", SRE);
        isb(SY);
        sysreg::write!("s3_4_c12_c11_0", 0); // ICH_HCR_EL2
        sysreg::write!("s3_4_c12_c11_7", 0); // ICH_VMCR_EL2
        sysreg::write!("s3_0_c4_c6_0", 0xff); // ICC_PMR_EL1
        sysreg::write!("s3_0_c12_c12_3", 0); // ICC_BPR1_EL1
    }
    for index in 0..list_register_count() {
        set_list_register(index, ListRegister::EMPTY);
    }
    set_active_priorities(&[[0; 4]; 2]);
    gic::split_end_of_interrupt();
    // SAFETY: as above.
    unsafe { sysreg::write!("s3_0_c12_c12_7", 1) }; // ICC_IGRPEN1_EL1
    isb(SY);
}

/// Acknowledges the pending interrupt of the highest priority, drops the running priority, and returns its INTID; `None`
/// if there is none.
pub fn take() -> Option<u32> {
    // SAFETY: acknowledging is what is asked for. The barrier keeps what the handler does behind it.
    let intid = unsafe {
        let intid = sysreg::read!("s3_0_c12_c12_0");
        core::arch::asm!("dsb sy", options(nostack, preserves_flags));
        intid & 0xff_ffff
    };
    // 1020 to 1023 say that there is nothing to take.
    if intid >= 1020 {
        return None;
    }
    // SAFETY: drops the priority of what was just acknowledged.
    unsafe { sysreg::write!("s3_0_c12_c12_1", intid) };
    u32::try_from(intid).ok()
}

/// Deactivates an interrupt that was taken on this processing element.
pub fn deactivate(intid: u32) {
    // What was done to the device is to be seen by it first.
    // SAFETY: ends the activity of an interrupt whose end is asked for (ICC_DIR_EL1).
    unsafe {
        core::arch::asm!("dsb sy", options(nostack, preserves_flags));
        sysreg::write!("s3_0_c12_c11_1", u64::from(intid));
    }
    isb(SY);
}

/// Makes an SGI of Group 1 pending on the processing element with affinity 0.0.`aff1`.`aff0`.
pub fn raise(sgi: u32, aff1: u8, aff0: u8) {
    let (range, bit) = (u64::from(aff0 >> 4), aff0 & 0xf);
    let value = u64::from(sgi & 0xf) << 24 | range << 44 | u64::from(aff1) << 16 | 1 << bit;
    dsb(ISHST);
    // SAFETY: the interrupt is the hypervisor's own (ICC_SGI1R_EL1).
    unsafe { sysreg::write!("s3_0_c12_c11_5", value) };
    isb(SY);
}

/// Returns how many list registers there are, 1 to 16.
pub fn list_register_count() -> usize {
    // SAFETY: reading ICH_VTR_EL2 has no effect.
    let last = unsafe { sysreg::read!("s3_4_c12_c11_1") } & 0x1f;
    usize::try_from(last).unwrap_or(0).saturating_add(1).min(MAX_LIST_REGISTERS)
}

/// Reads the register with the name `$name`, or writes it.
macro_rules! one {
    (read(), $name:literal) => {
        sysreg::read!($name)
    };
    (write($value:expr), $name:literal) => {
        sysreg::write!($name, $value)
    };
}

/// Reads or writes the register that stands beside `$index`, if any does.
macro_rules! choose {
    ($index:expr, $do:ident $value:tt, $($number:pat => $name:literal,)*) => {
        match $index {
            // SAFETY: the register exists, since its number is below the count of them; what it holds is of a virtual CPU
            // that does not run now.
            $($number => unsafe { one!($do $value, $name) },)*
            _ => Default::default(),
        }
    };
}

/// Reads or writes `ICH_LR<index>_EL2`.
macro_rules! list_register {
    ($index:expr, $do:ident $value:tt) => {
        choose!(
            $index, $do $value,
            0 => "s3_4_c12_c12_0", 1 => "s3_4_c12_c12_1", 2 => "s3_4_c12_c12_2", 3 => "s3_4_c12_c12_3",
            4 => "s3_4_c12_c12_4", 5 => "s3_4_c12_c12_5", 6 => "s3_4_c12_c12_6", 7 => "s3_4_c12_c12_7",
            8 => "s3_4_c12_c13_0", 9 => "s3_4_c12_c13_1", 10 => "s3_4_c12_c13_2", 11 => "s3_4_c12_c13_3",
            12 => "s3_4_c12_c13_4", 13 => "s3_4_c12_c13_5", 14 => "s3_4_c12_c13_6", 15 => "s3_4_c12_c13_7",
        )
    };
}

/// Reads or writes `ICH_AP<group>R<index>_EL2`.
macro_rules! active_priority {
    ($group:expr, $index:expr, $do:ident $value:tt) => {
        choose!(
            ($group, $index), $do $value,
            (0, 0) => "s3_4_c12_c8_0", (0, 1) => "s3_4_c12_c8_1",
            (0, 2) => "s3_4_c12_c8_2", (0, 3) => "s3_4_c12_c8_3",
            (_, 0) => "s3_4_c12_c9_0", (_, 1) => "s3_4_c12_c9_1",
            (_, 2) => "s3_4_c12_c9_2", (_, 3) => "s3_4_c12_c9_3",
        )
    };
}

/// Parts of a list register.
const MAINTENANCE_AT_END: u64 = 1 << 41;
const GROUP1: u64 = 1 << 60;
const PHYSICAL: u64 = 1 << 61;

/// Returns list register `index`; an empty one if there is no such.
pub fn list_register(index: usize) -> ListRegister {
    if index >= list_register_count() {
        return ListRegister::EMPTY;
    }
    let value: u64 = list_register!(index, read());
    let physical = value >> 32 & 0x3ff;
    let [intid0, intid1, intid2, intid3, _, _, priority, _] = value.to_le_bytes();
    ListRegister {
        intid: u32::from_le_bytes([intid0, intid1, intid2, intid3]),
        priority,
        group1: value & GROUP1 != 0,
        state: match value >> 62 {
            0 => ListState::Invalid,
            1 => ListState::Pending,
            2 => ListState::Active,
            _ => ListState::PendingAndActive,
        },
        physical: if value & PHYSICAL != 0 { u32::try_from(physical).ok() } else { None },
        maintenance_at_end: value & (PHYSICAL | MAINTENANCE_AT_END) == MAINTENANCE_AT_END,
    }
}

/// Replaces list register `index`; does nothing if there is no such one.
pub fn set_list_register(index: usize, register: ListRegister) {
    if index >= list_register_count() {
        return;
    }
    let state: u64 = match register.state {
        ListState::Invalid => 0,
        ListState::Pending => 1,
        ListState::Active => 2,
        ListState::PendingAndActive => 3,
    };
    let link = match register.physical {
        Some(physical) => PHYSICAL | u64::from(physical & 0x3ff) << 32,
        None if register.maintenance_at_end => MAINTENANCE_AT_END,
        None => 0,
    };
    let group = if register.group1 { GROUP1 } else { 0 };
    let value = u64::from(register.intid) | link | u64::from(register.priority) << 48 | group | state << 62;
    list_register!(index, write(value));
}

/// Returns a bit for each list register that is empty (ICH_ELRSR_EL2).
pub fn empty_list_registers() -> u16 {
    // SAFETY: reading the register has no effect.
    let [low, high, ..] = unsafe { sysreg::read!("s3_4_c12_c11_5") }.to_le_bytes();
    u16::from_le_bytes([low, high])
}

/// Returns ICH_HCR_EL2.
pub fn control() -> u32 {
    // SAFETY: reading the register has no effect.
    low_word(unsafe { sysreg::read!("s3_4_c12_c11_0") })
}

/// Replaces ICH_HCR_EL2.
pub fn set_control(value: u32) {
    // SAFETY: the register configures the virtual CPU interface, whose user does not run now.
    unsafe { sysreg::write!("s3_4_c12_c11_0", u64::from(value)) };
}

/// Returns ICH_VMCR_EL2.
pub fn machine_control() -> u32 {
    // SAFETY: reading the register has no effect.
    low_word(unsafe { sysreg::read!("s3_4_c12_c11_7") })
}

/// Replaces ICH_VMCR_EL2.
pub fn set_machine_control(value: u32) {
    // SAFETY: as for ICH_HCR_EL2.
    unsafe { sysreg::write!("s3_4_c12_c11_7", u64::from(value)) };
}

/// Returns `ICH_AP0R<n>_EL2` and `ICH_AP1R<n>_EL2`; zero for those that there are not.
pub fn active_priorities() -> [[u32; 4]; 2] {
    let mut values = [[0; 4]; 2];
    let count = active_priority_count();
    for (group, values) in values.iter_mut().enumerate() {
        for (index, value) in values.iter_mut().enumerate().take(count) {
            *value = low_word(active_priority!(group, index, read()));
        }
    }
    values
}

/// Replaces `ICH_AP0R<n>_EL2` and `ICH_AP1R<n>_EL2`, as far as they exist.
pub fn set_active_priorities(values: &[[u32; 4]; 2]) {
    let count = active_priority_count();
    for (group, values) in values.iter().enumerate() {
        for (index, value) in values.iter().enumerate().take(count) {
            active_priority!(group, index, write(u64::from(*value)));
        }
    }
}

/// Returns how many registers of active priorities each group has: one for 5 bits of preemption, two for 6, four for 7.
fn active_priority_count() -> usize {
    // SAFETY: reading ICH_VTR_EL2 has no effect.
    match unsafe { sysreg::read!("s3_4_c12_c11_1") } >> 26 & 7 {
        5 => 2,
        6 => 4,
        _ => 1,
    }
}

fn low_word(value: u64) -> u32 {
    let [a, b, c, d, ..] = value.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}
