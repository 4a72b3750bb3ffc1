//! Calls of partitions about their virtual interrupts. They are not FF-A's, so they end no version negotiation.
//!
//! The numbers and their meaning are those of the interface that partitions written for S-EL1 know:
//!
//! | function | arguments | result |
//! |---|---|---|
//! | 0xFF03 enable | interrupt, 1 or 0, line: 0 IRQ, 1 FIQ | 0 or -1 |
//! | 0xFF04 get | | the interrupt, no longer pending; 0xffffffff if there is none |
//! | 0xFF08 deactivate | physical interrupt, virtual interrupt, which are the same | 0 or -1 |
//! | 0xFF09 reconfigure | interrupt; 0 target, 1 security state, 2 enable; affinity, 1 Secure, 1 enabled | 0 or -1 |
//! | 0xFF0A send IPI | execution context of the caller's partition | 0 or -1 |

use tantalum_hal::Platform;
use tantalum_types::{CallRegisters, VcpuId, VcpuIndex};

use crate::partition::Running;
use crate::spmc::{Cpu, Spmc};
use crate::virtual_interrupts::{IPI, Line};

const INTERRUPT_ENABLE: u32 = 0xff03;
const INTERRUPT_GET: u32 = 0xff04;
const INTERRUPT_DEACTIVATE: u32 = 0xff08;
const INTERRUPT_RECONFIGURE: u32 = 0xff09;
const SEND_IPI: u32 = 0xff0a;

/// Answers INTERRUPT_GET where there is none.
const NO_INTERRUPT: u64 = 0xffff_ffff;

const SUCCESS: u64 = 0;
const FAILURE: u64 = u64::MAX;

/// Names what INTERRUPT_RECONFIGURE changes.
mod command {
    pub(super) const TARGET: u64 = 0;
    pub(super) const SECURITY_STATE: u64 = 1;
    pub(super) const ENABLE: u64 = 2;
}

impl Spmc {
    /// Answers a call about virtual interrupts: x0 of the answer, or `None` if `function` is not one.
    pub(crate) fn paravirtual_call(
        &self,
        cpu: &mut Cpu,
        caller: &Running<'_>,
        function: u32,
        registers: &CallRegisters,
        platform: &impl Platform,
    ) -> Option<u64> {
        let [_, x1, x2, x3, ..] = registers.0;
        let done = match function {
            INTERRUPT_ENABLE => enable(caller, x1, x2, x3),
            INTERRUPT_GET => {
                let taken = caller
                    .partition
                    .interrupts(caller.id.index)
                    .and_then(|interrupts| interrupts.take(caller.partition.owned_interrupts()));
                return Some(taken.map_or(NO_INTERRUPT, u64::from));
            }
            INTERRUPT_DEACTIVATE => self.deactivate(cpu, caller, x1, x2, platform),
            INTERRUPT_RECONFIGURE => self.reconfigure(cpu, caller, x1, x2, x3, platform),
            SEND_IPI => self.send_ipi(cpu, caller, x1, platform),
            _ => return None,
        };
        Some(if done.is_some() { SUCCESS } else { FAILURE })
    }

    /// Ends a physical interrupt of the caller, which from then on may come again. What is only virtual needs no end.
    fn deactivate(
        &self,
        cpu: &Cpu,
        caller: &Running<'_>,
        physical: u64,
        virtual_one: u64,
        platform: &impl Platform,
    ) -> Option<()> {
        if physical != virtual_one {
            return None;
        }
        let intid = u32::try_from(physical).ok()?;
        let owned = caller.partition.owned_interrupts();
        let slot = owned.slot(intid)?;
        if owned.get(intid).is_none() {
            return Some(());
        }
        if !caller.partition.interrupts(caller.id.index)?.end(slot) {
            return None;
        }
        self.end_physical(cpu, caller.partition, caller.id.index, intid, platform);
        Some(())
    }

    /// Changes how a physical interrupt of the caller is.
    fn reconfigure(
        &self,
        cpu: &Cpu,
        caller: &Running<'_>,
        intid: u64,
        what: u64,
        value: u64,
        platform: &impl Platform,
    ) -> Option<()> {
        let owned = caller.partition.owned_interrupts().get(u32::try_from(intid).ok()?)?;
        let mut setting = (*owned.current.lock())?;
        match (what, value) {
            (command::TARGET, affinity) if !owned.is_private() => {
                setting.target = self.machine.cpu_with_affinity(affinity)?;
            }
            (command::SECURITY_STATE, 0 | 1) => setting.secure = value == 1,
            (command::ENABLE, 0 | 1) => setting.enabled = value == 1,
            _ => return None,
        }
        *owned.current.lock() = Some(setting);
        platform.configure_interrupt(cpu.index(), owned.intid, &setting);
        Some(())
    }

    /// Sends an interrupt to an execution context of the caller's partition, if it has several.
    fn send_ipi(
        &self,
        cpu: &mut Cpu,
        caller: &Running<'_>,
        target: u64,
        platform: &impl Platform,
    ) -> Option<()> {
        if !caller.partition.is_multi_processor() {
            return None;
        }
        let index = VcpuIndex::new(usize::try_from(target).ok()?)?;
        caller.partition.vcpu(index)?;
        let target = VcpuId { partition: caller.id.partition, index };
        if caller.partition.pend(index, IPI) {
            self.wake(cpu, target, platform);
        }
        Some(())
    }
}

/// Enables or disables an interrupt of the caller.
fn enable(caller: &Running<'_>, intid: u64, enabled: u64, line: u64) -> Option<()> {
    let slot = caller.partition.owned_interrupts().slot(u32::try_from(intid).ok()?)?;
    let interrupts = caller.partition.interrupts(caller.id.index)?;
    let line = match line {
        0 => Line::Irq,
        1 => Line::Fiq,
        _ => return None,
    };
    if enabled == 0 {
        interrupts.disable(slot);
    } else {
        interrupts.enable(slot, line);
    }
    Some(())
}
