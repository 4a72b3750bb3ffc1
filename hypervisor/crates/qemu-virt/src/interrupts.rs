//! Secure interrupts in the GICv3. TF-A has initialised it; what is done here is for one interrupt at a time.
//!
//! The lock is for registers that several interrupts share. Whoever has it runs with every interrupt masked and waits
//! for nobody, and an interrupt is taken and ended without it.

use arm_gic::gicv3::registers::{Gicd, GicrSgi};
use arm_gic::gicv3::{GicCpuInterface, GicError, GicV3, Group, SecureIntGroup};
use arm_gic::{IntId, InterruptGroup, UniqueMmioPointer};
use spin::Mutex;
use tantalum_aarch64::{gic, timer};
use tantalum_hal::{InterruptSetting, Trigger};
use tantalum_types::{CpuIndex, MAX_CPUS};

use crate::board;

/// The SGI by which processing elements call each other to the SPMC. TF-A gives 8 to 15 to Secure Group 1.
pub(crate) const KICK: u32 = 9;

/// The highest priority of secure interrupts for partitions: of the Secure half, below what EL3 may use.
const PRIORITY: u8 = 0x40;

/// The priority of what the SPMC raises for itself, above those.
const OWN_PRIORITY: u8 = 0x20;

/// The priority of an SGI that is given to the normal world: what Linux gives to its own interrupts, as the Secure
/// world sees it.
const NON_SECURE_PRIORITY: u8 = 0xd0;

static GIC: Mutex<Option<GicV3<'static>>> = Mutex::new(None);

/// Takes the GIC into use.
///
/// # Safety
/// The distributor and the redistributors must be mapped, and in this world nobody else may use them. To be
/// called once.
pub(crate) unsafe fn start() {
    let distributor = board::registers::<Gicd>(board::GIC_DISTRIBUTOR);
    let redistributors = board::registers::<GicrSgi>(board::GIC_REDISTRIBUTORS);
    let (Some(distributor), Some(redistributors)) = (distributor, redistributors) else { return };
    // SAFETY: these are the registers, as our caller promises, and these are their only pointers.
    let gic = unsafe { GicV3::new(UniqueMmioPointer::new(distributor), redistributors, MAX_CPUS) };
    match gic {
        Ok(gic) => *GIC.lock() = Some(gic),
        Err(error) => log::error!("secure interrupts cannot be used: {error}"),
    }
}

/// Sets up, on this processing element, which is `cpu`, the interrupts that the SPMC raises for itself.
pub(crate) fn start_cpu(cpu: CpuIndex) {
    for intid in [KICK, timer::INTID] {
        with_gic(intid, |gic, id| {
            let element = Some(cpu.get());
            gic.enable_interrupt(id, element, false)?;
            gic.set_group(id, element, Group::Secure(SecureIntGroup::Group1S))?;
            gic.set_interrupt_priority(id, element, OWN_PRIORITY)?;
            if !id.is_sgi() {
                gic.set_trigger(id, element, arm_gic::Trigger::Level)?;
            }
            gic.enable_interrupt(id, element, true)
        });
    }
}

/// Acknowledges the pending secure interrupt of the highest priority and drops the running priority; it stays active.
pub(crate) fn take() -> Option<u32> {
    let id = GicCpuInterface::get_and_acknowledge_interrupt(InterruptGroup::Group1)?;
    let intid = u32::from(id);
    // The others say that nothing is to be done here: nothing was acknowledged.
    known(intid)?;
    GicCpuInterface::end_interrupt(id, InterruptGroup::Group1);
    Some(intid)
}

/// Deactivates an interrupt: a private one of this processing element, which is `cpu`, or a shared one.
pub(crate) fn end(cpu: CpuIndex, intid: u32) {
    if known(intid).is_none() {
        return;
    }
    // SAFETY: the registers are mapped since `start`; each bit that is written as one ends the activity of one
    // interrupt and no other, so nothing of it conflicts with what is done under the lock.
    unsafe {
        gic::deactivate(board::GIC_DISTRIBUTOR, board::GIC_REDISTRIBUTORS, cpu, intid);
    }
}

/// Sets up an interrupt, which is private to `cpu` or shared.
pub(crate) fn configure(cpu: CpuIndex, intid: u32, setting: &InterruptSetting) {
    let group = if setting.secure { Group::Secure(SecureIntGroup::Group1S) } else { Group::Group1NS };
    // The lower half of the priorities is the Secure world's, and of that the upper quarter EL3's.
    let priority = PRIORITY | setting.priority >> 2;
    with_gic(intid, |gic, id| configure_in(gic, cpu, id, setting, group, priority));
}

/// Makes an SGI of `cpu` the normal world's.
pub(crate) fn donate_sgi(cpu: CpuIndex, sgi: u32) {
    with_gic(sgi, |gic, id| {
        let element = Some(cpu.get());
        gic.enable_interrupt(id, element, false)?;
        gic.set_group(id, element, Group::Group1NS)?;
        gic.set_interrupt_priority(id, element, NON_SECURE_PRIORITY)?;
        gic.enable_interrupt(id, element, true)
    });
}

/// Does something with an interrupt, and says so if it cannot be done.
fn with_gic(intid: u32, change: impl FnOnce(&mut GicV3<'_>, IntId) -> Result<(), GicError>) {
    let Some(id) = known(intid) else {
        log::error!("there is no interrupt {intid}");
        return;
    };
    let done = GIC.lock().as_mut().map(|gic| change(gic, id));
    if let Some(Err(error)) = done {
        log::error!("interrupt {intid} cannot be set up: {error}");
    }
}

/// Sets up an interrupt, which is private to `cpu` or shared, in `group` and with `priority`; all else is as `setting` says.
///
/// # Errors
/// As the crate has them: there is no such interrupt or processing element.
pub(crate) fn configure_in(
    gic: &mut GicV3<'_>,
    cpu: CpuIndex,
    intid: IntId,
    setting: &InterruptSetting,
    group: Group,
    priority: u8,
) -> Result<(), GicError> {
    let element = Some(cpu.get());
    // Changed while it is off, as the architecture asks for (GICv3, section 12.9.9).
    gic.enable_interrupt(intid, element, false)?;
    if !setting.enabled {
        return Ok(());
    }
    gic.set_group(intid, element, group)?;
    gic.set_interrupt_priority(intid, element, priority)?;
    let trigger = match setting.trigger {
        Trigger::Edge => arm_gic::Trigger::Edge,
        Trigger::Level => arm_gic::Trigger::Level,
    };
    // An SGI is a change by nature.
    if !intid.is_sgi() {
        gic.set_trigger(intid, element, trigger)?;
    }
    if !intid.is_private() {
        // The affinity of a processing element is its index.
        gic.distributor().set_routing(intid, Some(setting.target.get() as u64))?;
    }
    gic.enable_interrupt(intid, element, true)
}

/// Returns the interrupt with the number `intid`, if it is one that devices or processing elements can raise.
pub(crate) fn known(intid: u32) -> Option<IntId> {
    match intid {
        0..16 => Some(IntId::sgi(intid)),
        16..32 => Some(IntId::ppi(intid.checked_sub(16)?)),
        32..1020 => Some(IntId::spi(intid.checked_sub(32)?)),
        _ => None,
    }
}
