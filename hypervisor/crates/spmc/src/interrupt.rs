//! Physical interrupts, and partitions that do what they may not.

use tantalum_ffa::{Call, answer};
use tantalum_hal::{Action, Entry, InterruptLine, InterruptSetting, Platform, Trap, TrapKind, Trigger};
use tantalum_types::{CpuIndex, VcpuId};

use crate::spmc::{Cpu, Spmc};

impl Spmc {
    /// Handles an interrupt that stopped an execution context.
    pub(crate) fn interrupt(&self, cpu: &mut Cpu, line: InterruptLine, platform: &impl Platform) -> Action {
        let Some(running) = cpu.current else {
            return self.to_normal_world(cpu, answer::msg_wait());
        };
        match line {
            InterruptLine::Foreign => self.preempt(cpu, running),
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

    /// Stops the partition that runs, since it did what it may not, and settles its memory.
    pub(crate) fn partition_trap(&self, cpu: &mut Cpu, trap: &Trap, platform: &impl Platform) -> Action {
        let Some(running) = cpu.current else {
            return self.to_normal_world(cpu, answer::msg_wait());
        };
        let Some(partition) = self.partition(running.partition) else {
            return self.to_normal_world(cpu, answer::msg_wait());
        };
        if partition.is_allowed(trap.kind, platform) {
            // Another processing element was changing the mapping.
            return self.run(cpu, running, Entry::Resume);
        }
        let action = self.stop_for(cpu, running, trap);
        self.settle_memory(partition, platform);
        action
    }

    /// Stops the partition of the execution context that runs for what `trap` says.
    fn stop_for(&self, cpu: &mut Cpu, running: VcpuId, trap: &Trap) -> Action {
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
