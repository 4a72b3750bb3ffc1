//! Lines that no good run prints: panics, oopses, errors, stalls, at every level.

use crate::milestones::{Level, Stage};
use crate::session::Console;
use crate::stamp::Stamp;

/// How bad a fault is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Something said that it failed, and went on.
    Error,
    /// Something stopped for good.
    Panic,
}

/// A fault seen on a console.
#[derive(Clone, Debug)]
pub struct Fault {
    /// Who had it.
    pub level: Level,
    /// How bad it is.
    pub severity: Severity,
    /// The line, without printk's stamp.
    pub text: String,
    /// When it came.
    pub stamp: Stamp,
    /// The scenario that was running.
    pub scenario: Option<String>,
}

impl Fault {
    /// Orders faults by how well they explain the others, best first in descending order.
    ///
    /// A panic of the SPMC brings Linux down, a panic of Linux reboots, and TF-A has no
    /// quieter way to reset this machine than a panic of its own. So the last in this chain
    /// explains a run only when nothing before it spoke.
    pub fn weight(&self) -> (Severity, u8) {
        let cause = match self.level {
            Level::Spmc | Level::Partition => 4,
            Level::Pkvm | Level::Vmm => 3,
            Level::Linux | Level::BareMetal => 2,
            Level::Init => 1,
            Level::Bl1 | Level::Bl2 | Level::Bl31 | Level::Qemu => 0,
        };
        (self.severity, cause)
    }

    /// The fault in a few words, for the verdict.
    pub fn summary(&self) -> String {
        let what = match self.severity {
            Severity::Panic => "panic",
            Severity::Error => "error",
        };
        format!("{what} in {}", self.level)
    }
}

/// Tells whether a line is a fault. `stage` is the last stage that was reached; `stamped`
/// says that the line came with printk's stamp, so that the kernel printed it.
pub fn recognise(
    console: Console,
    text: &str,
    stamped: bool,
    stage: Option<Stage>,
) -> Option<(Level, Severity)> {
    match console {
        Console::Secure => recognise_secure(text),
        Console::Normal if text.contains("tantalum-init: ERROR") => Some((Level::Init, Severity::Error)),
        Console::Normal if stamped => recognise_kernel(text),
        Console::Normal => {
            // The kernel's own lines may lose their stamp when two writers share a line.
            recognise_kernel(text).or_else(|| recognise_firmware(text, stage))
        }
        Console::Qemu => None,
    }
}

fn recognise_secure(text: &str) -> Option<(Level, Severity)> {
    let rest = text.strip_prefix("[spmc] ")?;
    if rest.starts_with("PANIC") {
        return Some((Level::Spmc, Severity::Panic));
    }
    rest.starts_with("ERROR").then_some((Level::Spmc, Severity::Error))
}

fn recognise_kernel(text: &str) -> Option<(Level, Severity)> {
    let has = |needle: &str| text.contains(needle);
    if has("nVHE hyp panic") || has("nVHE hyp BUG") || has("HYP panic") {
        return Some((Level::Pkvm, Severity::Panic));
    }
    if text.starts_with("bl33: PANIC") || text.starts_with("guest: PANIC") {
        return Some((Level::BareMetal, Severity::Panic));
    }
    if let Some(rest) = text.strip_prefix("[vmm] ") {
        if rest.starts_with("PANIC") {
            return Some((Level::Vmm, Severity::Panic));
        }
        return rest.starts_with("ERROR").then_some((Level::Vmm, Severity::Error));
    }
    if has("Kernel panic - not syncing") {
        return Some((Level::Linux, Severity::Panic));
    }
    let stall = has("rcu: INFO:") && (has("self-detected stall") || has("detected stalls"))
        || has("rcu: INFO: rcu_sched self-detected")
        || has("soft lockup")
        || has("hard LOCKUP")
        || text.starts_with("INFO: task ") && has(" blocked for more than ");
    let oops = has("Internal error:")
        || has("Oops")
        || has("Unable to handle kernel")
        || text.starts_with("BUG:")
        || has("kernel BUG at ");
    (stall || oops).then_some((Level::Linux, Severity::Error))
}

fn recognise_firmware(text: &str, stage: Option<Stage>) -> Option<(Level, Severity)> {
    if stage >= Some(Stage::PowerOff) {
        // Power-off ends in "PANIC in EL3" on this machine: that is how TF-A's port stops QEMU.
        return None;
    }
    let level = match stage {
        None | Some(Stage::Bl1) => Level::Bl1,
        Some(Stage::Bl2) => Level::Bl2,
        Some(_) => Level::Bl31,
    };
    let panic = text.starts_with("PANIC in EL3")
        || text.starts_with("PANIC at PC")
        || text.contains("Unhandled Exception")
        || text.contains("Unhandled Interrupt Exception")
        || text.contains("Unhandled External Abort")
        || text.starts_with("ASSERT: ");
    if panic {
        return Some((level, Severity::Panic));
    }
    text.starts_with("ERROR: ").then_some((level, Severity::Error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kernel(text: &str) -> Option<(Level, Severity)> {
        recognise(Console::Normal, text, true, Some(Stage::Userspace))
    }

    fn firmware(text: &str, stage: Option<Stage>) -> Option<(Level, Severity)> {
        recognise(Console::Normal, text, false, stage)
    }

    #[test]
    fn firmware_panics_are_laid_at_the_stage_that_runs() {
        let panic = |level| Some((level, Severity::Panic));
        assert_eq!(firmware("PANIC at PC : 0x00001234", None), panic(Level::Bl1));
        assert_eq!(firmware("PANIC at PC : 0x00001234", Some(Stage::Bl2)), panic(Level::Bl2));
        assert_eq!(firmware("PANIC in EL3.", Some(Stage::Pkvm)), panic(Level::Bl31));
        assert_eq!(firmware("Unhandled Exception in EL3.", Some(Stage::Bl31)), panic(Level::Bl31));
        assert_eq!(
            firmware("ERROR:   SPMC initialisation failed 0xfffffffe", Some(Stage::Bl31)),
            Some((Level::Bl31, Severity::Error))
        );
    }

    #[test]
    fn powering_off_is_no_fault() {
        for text in ["ERROR:   QEMU System Power off: with GPIO.", "PANIC in EL3."] {
            assert_eq!(firmware(text, Some(Stage::PowerOff)), None);
        }
    }

    #[test]
    fn kernel_faults() {
        let panic = |level| Some((level, Severity::Panic));
        assert_eq!(kernel("Kernel panic - not syncing: Attempted to kill init!"), panic(Level::Linux));
        assert_eq!(kernel("Kernel panic - not syncing: HYP panic:"), panic(Level::Pkvm));
        assert_eq!(kernel("[vmm] PANIC: src/a.rs:7: x"), panic(Level::Vmm));
        assert_eq!(kernel("[vmm] ERROR: vm one: x"), Some((Level::Vmm, Severity::Error)));
        assert_eq!(kernel("[vmm] WARN: vm one: x"), None);
        assert_eq!(kernel("bl33: PANIC: exception 4 at 0x60000000"), panic(Level::BareMetal));
        assert_eq!(kernel("guest: PANIC on CPU 2: exception 4"), panic(Level::BareMetal));
        assert_eq!(kernel("kvm [1]: nVHE hyp panic at: [<ffff800080012345>] x!"), panic(Level::Pkvm));
        for text in [
            "Internal error: Oops: 0000000096000004 [#1] SMP",
            "BUG: scheduling while atomic: insmod/55/0x00000002",
            "Unable to handle kernel NULL pointer dereference at virtual address 0",
            "rcu: INFO: rcu_sched self-detected stall on CPU",
            "rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:",
            "watchdog: BUG: soft lockup - CPU#1 stuck for 22s!",
            "INFO: task insmod:55 blocked for more than 120 seconds.",
        ] {
            assert_eq!(kernel(text), Some((Level::Linux, Severity::Error)), "{text}");
        }
        assert_eq!(kernel("Memory: 2000000K/2097152K available"), None);
        assert_eq!(kernel("tantalum-init: ERROR: insmod failed"), Some((Level::Init, Severity::Error)));
    }

    #[test]
    fn spmc_faults() {
        let secure = |text| recognise(Console::Secure, text, false, Some(Stage::Plan));
        assert_eq!(secure("[spmc] PANIC: src/mailbox.rs:12: broken"), Some((Level::Spmc, Severity::Panic)));
        assert_eq!(secure("[spmc] ERROR: partition 2: x"), Some((Level::Spmc, Severity::Error)));
        assert_eq!(secure("[spmc] WARN: refused"), None);
        assert_eq!(secure("[sp 8001 echo] PANIC in EL3"), None);
    }

    #[test]
    fn causes_outweigh_consequences() {
        let fault = |level, severity| Fault {
            level,
            severity,
            text: String::new(),
            stamp: Stamp::default(),
            scenario: None,
        };
        let spmc = fault(Level::Spmc, Severity::Panic);
        let linux = fault(Level::Linux, Severity::Panic);
        let el3 = fault(Level::Bl31, Severity::Panic);
        let error = fault(Level::Spmc, Severity::Error);
        assert!(spmc.weight() > linux.weight());
        assert!(linux.weight() > el3.weight());
        assert!(el3.weight() > error.weight());
    }
}
