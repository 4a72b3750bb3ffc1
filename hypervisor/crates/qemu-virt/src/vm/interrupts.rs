//! Interrupts of the normal world in the GICv3, which nobody has set up before where there is no firmware.
//!
//! The lock is for registers that several interrupts share. Whoever has it runs with every interrupt masked and waits
//! for nobody, and an interrupt is taken and ended without it.

use arm_gic::UniqueMmioPointer;
use arm_gic::gicv3::registers::{Gicd, GicrSgi};
use arm_gic::gicv3::{GicError, GicV3, Group};
use spin::Mutex;
use tantalum_aarch64::vm::{interface, timer};
use tantalum_hal::{InterruptSetting, Trigger};
use tantalum_types::{CpuIndex, MAX_CPUS};

use super::layout;
use crate::board;
use crate::interrupts::{configure_in, known};

/// The SGI by which processing elements call each other to the hypervisor. Firmware keeps 8 to 15 for the Secure world.
pub(super) const KICK: u32 = 1;

/// The priority of the interrupts that the hypervisor sets up for itself, in the middle.
const PRIORITY: u8 = 0x80;

/// The lowest priority that is signalled, of those that every implementation tells apart.
const LOWEST_PRIORITY: u8 = 0xf0;

static GIC: Mutex<Option<GicV3<'static>>> = Mutex::new(None);

/// Takes the distributor into use: every interrupt is of Group 1, and none is enabled but the serial port's, which comes to
/// the first processing element.
///
/// # Safety
/// The distributor and the redistributors must be mapped, and in this world nobody else may use them. To be
/// called once.
pub(super) unsafe fn start() {
    let distributor = board::registers::<Gicd>(board::GIC_DISTRIBUTOR);
    let redistributors = board::registers::<GicrSgi>(board::GIC_REDISTRIBUTORS);
    let (Some(distributor), Some(redistributors)) = (distributor, redistributors) else { return };
    // SAFETY: these are the registers, as our caller promises, and these are their only pointers.
    let gic = unsafe { GicV3::new(UniqueMmioPointer::new(distributor), redistributors, MAX_CPUS) };
    match gic {
        Ok(mut gic) => {
            gic.distributor().enable_all_interrupts(false);
            // What the crate names after the Secure view has the same place in the Non-secure one.
            gic.distributor().configure_default_settings();
            *GIC.lock() = Some(gic);
            enable_shared(layout::UART_INTID);
        }
        Err(error) => log::error!("interrupts cannot be used: {error}"),
    }
}

/// Enables a level-sensitive shared interrupt of a device, on the first processing element.
pub(super) fn enable_shared(intid: u32) {
    let first = CpuIndex::default();
    let setting = InterruptSetting {
        enabled: true,
        priority: PRIORITY,
        trigger: Trigger::Level,
        secure: false,
        target: first,
    };
    configure(first, intid, &setting);
}

/// Takes the redistributor of this processing element, which is `cpu`, into use, with the interrupts that the hypervisor
/// needs for itself.
pub(super) fn start_cpu(cpu: CpuIndex) {
    let started = GIC.lock().as_mut().map(|gic| {
        // That it is awake already is no error.
        let _ = gic.redistributor_mark_core_awake(cpu.get());
        let mut redistributor = gic.redistributor(cpu.get())?;
        redistributor.configure_default_settings();
        for intid in [KICK, interface::MAINTENANCE, timer::INTID, timer::VIRTUAL_INTID] {
            let Some(id) = known(intid) else { continue };
            redistributor.set_interrupt_priority(id, PRIORITY)?;
            redistributor.enable_interrupt(id, true)?;
        }
        Ok::<(), GicError>(())
    });
    if let Some(Err(error)) = started {
        log::error!("interrupts of processing element {} cannot be set up: {error}", cpu.get());
    }
}

/// Sets up an interrupt, which is private to `cpu` or shared.
pub(super) fn configure(cpu: CpuIndex, intid: u32, setting: &InterruptSetting) {
    let Some(id) = known(intid) else {
        log::error!("there is no interrupt {intid}");
        return;
    };
    let priority = setting.priority.min(LOWEST_PRIORITY);
    let configure = |gic: &mut _| configure_in(gic, cpu, id, setting, Group::Group1NS, priority);
    let done = GIC.lock().as_mut().map(configure);
    if let Some(Err(error)) = done {
        log::error!("interrupt {intid} cannot be set up: {error}");
    }
}
