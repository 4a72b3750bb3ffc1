//! Secure interrupts in the GICv3. TF-A has initialised it; what is done here is for one interrupt at a time.

use arm_gic::gicv3::registers::{Gicd, GicrSgi};
use arm_gic::gicv3::{GicCpuInterface, GicError, GicV3, Group, SecureIntGroup};
use arm_gic::{IntId, InterruptGroup, UniqueMmioPointer};
use spin::Mutex;
use tantalum_types::{CpuIndex, MAX_CPUS};

use crate::board;

/// The priority of secure interrupts for partitions: of the Secure half, below what EL3 may use.
const PRIORITY: u8 = 0x40;

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

/// Takes the pending secure interrupt of the highest priority and ends it.
pub(crate) fn take() -> Option<u32> {
    let intid = GicCpuInterface::get_and_acknowledge_interrupt(InterruptGroup::Group1)?;
    GicCpuInterface::end_interrupt(intid, InterruptGroup::Group1);
    Some(intid.into())
}

/// Enables or disables a secure interrupt on `cpu`.
pub(crate) fn configure(cpu: CpuIndex, intid: u32, enable: bool) {
    let done = GIC.lock().as_mut().map(|gic| configure_in(gic, cpu, intid, enable));
    if let Some(Err(error)) = done {
        log::error!("secure interrupt {intid} cannot be set up: {error}");
    }
}

fn configure_in(gic: &mut GicV3<'_>, cpu: CpuIndex, intid: u32, enable: bool) -> Result<(), GicError> {
    let Some(intid) = known(intid) else {
        return Err(GicError::InvalidGicdIntid(IntId::SPECIAL_NONE));
    };
    let element = Some(cpu.get());
    if enable {
        gic.set_group(intid, element, Group::Secure(SecureIntGroup::Group1S))?;
        gic.set_interrupt_priority(intid, element, PRIORITY)?;
        if !intid.is_private() {
            // The affinity of a processing element is its index.
            gic.distributor().set_routing(intid, Some(cpu.get() as u64))?;
        }
    }
    gic.enable_interrupt(intid, element, enable)
}

/// Returns the interrupt with the number `intid`, if it is one that devices or processing elements can raise.
fn known(intid: u32) -> Option<IntId> {
    match intid {
        0..16 => Some(IntId::sgi(intid)),
        16..32 => Some(IntId::ppi(intid.checked_sub(16)?)),
        32..1020 => Some(IntId::spi(intid.checked_sub(32)?)),
        _ => None,
    }
}
