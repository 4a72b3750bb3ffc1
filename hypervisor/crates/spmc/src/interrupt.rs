//! Physical interrupts, and partitions that do what they may not.

use tantalum_ffa::{Call, answer};
use tantalum_hal::{Action, Entry, InterruptLine, InterruptSetting, Platform, Trap, TrapKind, Trigger};
use tantalum_types::{CpuIndex, VcpuId};

use crate::spmc::{Cpu, Spmc};
use crate::vcpu::State;
use crate::virtual_interrupts::ContextInterrupts;

impl Spmc {
    /// Makes virtual interrupt `intid` pending for `target`, which sees it at once if it runs and else when it is
    /// entered, and says whether the partition can have it. `cpu` is this processing element.
    #[allow(dead_code)] // until the next commit
    pub(crate) fn pend(&self, cpu: &Cpu, target: VcpuId, intid: u32, platform: &impl Platform) -> bool {
        let Some(partition) = self.partition(target.partition) else { return false };
        if !partition.pend(target.index, intid) {
            return false;
        }
        // One that begins to run after this look has seen that the interrupt is pending.
        let runs = partition.vcpu(target.index).is_some_and(|vcpu| matches!(vcpu.state(), State::Running(_)));
        if runs
            && cpu.current != Some(target)
            && let Some(other) = partition.interrupts(target.index).and_then(ContextInterrupts::runs_on)
        {
            platform.kick(other);
        }
        true
    }

    /// Handles an interrupt that stopped an execution context.
    pub(crate) fn interrupt(&self, cpu: &mut Cpu, line: InterruptLine, platform: &impl Platform) -> Action {
        let Some(running) = cpu.current else {
            return self.to_normal_world(cpu, answer::msg_wait());
        };
        match line {
            InterruptLine::Foreign => self.preempt(cpu, running),
            InterruptLine::Group0 => {
                // The SPMD handles it and comes back; a refusal leaves it pending, and nothing else can be done.
                let _ = platform.call_spmd(&Call::El3InterruptHandle.encode());
                self.run(cpu, running, Entry::Resume)
            }
            InterruptLine::Secure => {
                drain(cpu.index(), platform);
                self.run(cpu, running, Entry::Resume)
            }
        }
    }

    /// Handles a secure interrupt that stopped the normal world, which then goes on.
    pub(crate) fn interrupt_in_normal_world(&self, cpu: &mut Cpu, platform: &impl Platform) -> Action {
        drain(cpu.index(), platform);
        self.to_normal_world(cpu, Call::NormalWorldResume.encode())
    }

    /// Stops the partition that runs: it has no timer yet.
    pub(crate) fn timer_access(&self, cpu: &mut Cpu) -> Action {
        match cpu.current {
            Some(running) => self.abort_running(cpu, running, format_args!("it used the physical timer")),
            None => self.to_normal_world(cpu, answer::msg_wait()),
        }
    }

    /// Stops the partition that runs, since it did what it may not.
    pub(crate) fn partition_trap(&self, cpu: &mut Cpu, trap: &Trap) -> Action {
        let Some(running) = cpu.current else {
            return self.to_normal_world(cpu, answer::msg_wait());
        };
        let (pc, syndrome) = (trap.pc, trap.syndrome);
        match trap.kind {
            TrapKind::DataAbort { address, write } => {
                let what = if write { "wrote to" } else { "read from" };
                self.abort_running(
                    cpu,
                    running,
                    format_args!("it {what} {address}, which is not its own, at pc {pc:#x}"),
                )
            }
            TrapKind::InstructionAbort { address } => self.abort_running(
                cpu,
                running,
                format_args!("it jumped to {address}, which it may not execute, pc {pc:#x}"),
            ),
            TrapKind::Instruction => self.abort_running(
                cpu,
                running,
                format_args!("it used an instruction that it may not at pc {pc:#x}, syndrome {syndrome:#x}"),
            ),
            TrapKind::SystemError => self.abort_running(
                cpu,
                running,
                format_args!("a System Error came while it ran at pc {pc:#x}, syndrome {syndrome:#x}"),
            ),
        }
    }
}

/// Takes every pending secure interrupt. No partition can own one yet, so each is spurious and silenced.
fn drain(cpu: CpuIndex, platform: &impl Platform) {
    while let Some(intid) = platform.take_secure_interrupt(cpu) {
        log::warn!("secure interrupt {intid} belongs to no partition: it is disabled");
        platform.configure_interrupt(cpu, intid, &silenced(cpu));
        platform.end_interrupt(cpu, intid);
    }
}

/// Says how an interrupt is that nobody wants.
const fn silenced(cpu: CpuIndex) -> InterruptSetting {
    InterruptSetting { enabled: false, priority: u8::MAX, trigger: Trigger::Level, secure: true, target: cpu }
}
