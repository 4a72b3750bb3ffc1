//! The CPUs: starting them, and running work on them.

use tantalum_payload::workers::Workers;

use super::{interrupts, power};

pub(crate) use tantalum_payload::cpu::current;

/// Counts the CPUs of the machine.
pub(crate) const COUNT: usize = 8;

static WORKERS: Workers<COUNT> = Workers::new(interrupts::wake);

unsafe extern "C" {
    fn bl33_secondary_entry();
}

/// Turns a CPU on and waits until it is up.
///
/// # Errors
/// Returns PSCI's error code.
pub(crate) fn turn_on(cpu: usize) -> Result<(), i64> {
    WORKERS.set_up(cpu, false);
    power::cpu_on(cpu, bl33_secondary_entry as *const () as u64, cpu)?;
    tantalum_payload::cpu::wait_until(|| WORKERS.is_up(cpu));
    Ok(())
}

/// Turns a CPU off and waits until it is.
pub(crate) fn turn_off(cpu: usize) {
    WORKERS.dismiss(cpu, &|| power::cpu_off(), || !power::is_on(cpu));
}

/// Runs `work` on the CPU `cpu` and waits for its end.
pub(crate) fn on(cpu: usize, work: impl Fn() + Sync) {
    WORKERS.on(cpu, work);
}

/// Runs `work` on all CPUs at once, each with its index, and waits for their end.
pub(crate) fn on_all(work: impl Fn(usize) + Sync) {
    WORKERS.on_first(COUNT, work);
}

/// Goes on from the entry code on other CPUs: does what it is given.
pub(super) extern "C" fn secondary_main(cpu: usize) -> ! {
    interrupts::set_up(cpu);
    WORKERS.serve(cpu, interrupts::sleep_unless)
}

/// Marks the boot CPU, which nobody turned on, as up.
pub(crate) fn adopt_boot_cpu() {
    WORKERS.set_up(0, true);
}
