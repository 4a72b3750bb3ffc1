//! The boot, told by console lines: which stage was reached and which software runs then.

use crate::session::Console;
use crate::stamp::Stamp;
use std::fmt;

/// The software levels of the stack, named where something went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// The emulator itself.
    Qemu,
    /// TF-A's first loader.
    Bl1,
    /// TF-A's second loader.
    Bl2,
    /// TF-A's resident monitor with the SPMD.
    Bl31,
    /// The Secure Partition Manager Core: the software under test.
    Spmc,
    /// A Secure Partition.
    Partition,
    /// The hypervisor of the normal world, in Linux.
    Pkvm,
    /// Tantalum's hypervisor of the normal world.
    Vmm,
    /// The kernel of the normal world.
    Linux,
    /// User space: init of the initramfs.
    Init,
    /// The bare-metal suite in place of Linux.
    BareMetal,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Qemu => "QEMU",
            Self::Bl1 => "TF-A BL1 (EL3)",
            Self::Bl2 => "TF-A BL2 (S-EL1)",
            Self::Bl31 => "TF-A BL31 (EL3)",
            Self::Spmc => "the SPMC (S-EL2)",
            Self::Partition => "a Secure Partition (S-EL1)",
            Self::Pkvm => "pKVM (NS-EL2)",
            Self::Vmm => "the hypervisor (NS-EL2)",
            Self::Linux => "Linux (NS-EL1)",
            Self::Init => "init (NS-EL0)",
            Self::BareMetal => "the bare-metal suite",
        })
    }
}

/// The stages, in the order of a good boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// BL1 speaks.
    Bl1,
    /// BL2 speaks.
    Bl2,
    /// BL31 speaks.
    Bl31,
    /// The SPMC's first line.
    Spmc,
    /// The first line of a partition.
    Partition,
    /// The SPMC has initialised its partitions.
    SpmcReady,
    /// The first line of the bare-metal suite.
    BareMetal,
    /// The hypervisor's first line.
    Vmm,
    /// A VM starts.
    Vm,
    /// Linux's first line.
    Linux,
    /// All CPUs that came up are up.
    Smp,
    /// pKVM holds NS-EL2.
    Pkvm,
    /// init runs.
    Userspace,
    /// The FF-A driver found the SPMC.
    FfaDriver,
    /// The test plan was announced.
    Plan,
    /// The first scenario began.
    FirstScenario,
    /// The test module is done.
    Done,
    /// init, or the bare-metal suite, asks for power-off.
    PowerOff,
    /// QEMU went away.
    Off,
}

impl Stage {
    /// The software that runs after this stage and is to blame first when nothing follows.
    pub fn level_after(self) -> Level {
        match self {
            Self::Bl1 => Level::Bl1,
            Self::Bl2 => Level::Bl2,
            Self::Bl31 | Self::SpmcReady | Self::PowerOff => Level::Bl31,
            Self::Spmc | Self::Partition => Level::Spmc,
            Self::BareMetal => Level::BareMetal,
            Self::Vmm => Level::Vmm,
            Self::Vm | Self::Linux | Self::Smp | Self::Pkvm => Level::Linux,
            Self::Userspace | Self::FfaDriver | Self::Plan | Self::FirstScenario | Self::Done => Level::Init,
            Self::Off => Level::Qemu,
        }
    }

    /// The band of the timeline that the stage belongs to.
    pub fn band(self) -> Band {
        match self {
            Self::Bl1 | Self::Bl2 | Self::Bl31 => Band::Firmware,
            Self::Spmc | Self::Partition | Self::SpmcReady => Band::Secure,
            Self::BareMetal
            | Self::Vmm
            | Self::Vm
            | Self::Linux
            | Self::Smp
            | Self::Pkvm
            | Self::Userspace
            | Self::FfaDriver => Band::Linux,
            Self::Plan | Self::FirstScenario | Self::Done => Band::Scenarios,
            Self::PowerOff | Self::Off => Band::Off,
        }
    }
}

/// Groups of stages, each with a colour of its own in the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Band {
    /// TF-A at EL3 and S-EL1.
    Firmware,
    /// The secure world.
    Secure,
    /// The normal world's boot.
    Linux,
    /// The test module.
    Scenarios,
    /// The way down.
    Off,
}

/// A stage that was reached.
#[derive(Clone, Debug)]
pub struct Milestone {
    /// Which stage.
    pub stage: Stage,
    /// What to call it, with what the line told: versions, names, counts.
    pub label: String,
    /// When.
    pub stamp: Stamp,
}

/// Tells which stage a line (without printk's stamp) announces, if any.
pub fn recognise(console: Console, text: &str) -> Option<(Stage, String)> {
    match console {
        Console::Normal => recognise_normal(text),
        Console::Secure => recognise_secure(text),
        Console::Qemu => None,
    }
}

fn recognise_normal(text: &str) -> Option<(Stage, String)> {
    if let Some(notice) = text.strip_prefix("NOTICE:") {
        return recognise_firmware(notice.trim_start());
    }
    if let Some(rest) = text.strip_prefix("bl33: ").or_else(|| text.strip_prefix("guest: ")) {
        return recognise_bare_metal(rest);
    }
    if let Some(rest) = text.strip_prefix("[vmm] INFO: ") {
        return recognise_vmm(rest);
    }
    if text.starts_with("Booting Linux on physical CPU") {
        return Some((Stage::Linux, "Linux starts".into()));
    }
    if let Some(rest) = text.strip_prefix("smp: Brought up ") {
        let cpus = rest.rsplit(", ").next().unwrap_or(rest);
        return Some((Stage::Smp, format!("{cpus} up")));
    }
    if text.contains("Protected") && text.contains("VHE mode initialized successfully") {
        let mode = if text.contains("hVHE") { "hVHE" } else { "nVHE" };
        return Some((Stage::Pkvm, format!("pKVM initialised ({mode})")));
    }
    if text.contains("tantalum-init: userspace is up") {
        return Some((Stage::Userspace, "user space is up".into()));
    }
    if let Some(rest) = text.strip_prefix("ARM FF-A: Firmware version ") {
        let version = rest.split(' ').next().unwrap_or(rest);
        return Some((Stage::FfaDriver, format!("FF-A driver, version {version}")));
    }
    if text.contains("tantalum-init: power off") {
        return Some((Stage::PowerOff, "init powers off".into()));
    }
    None
}

fn recognise_bare_metal(text: &str) -> Option<(Stage, String)> {
    if text.starts_with("starts at ") {
        return Some((Stage::BareMetal, format!("bare-metal suite {text}")));
    }
    if text.ends_with(" CPUs up") {
        return Some((Stage::Smp, text.to_owned()));
    }
    (text == "power off").then(|| (Stage::PowerOff, "the suite powers off".into()))
}

fn recognise_vmm(info: &str) -> Option<(Stage, String)> {
    if let Some(rest) = info.strip_prefix("Tantalum VMM ") {
        let version = rest.split(' ').next().unwrap_or(rest);
        return Some((Stage::Vmm, format!("hypervisor starts ({version})")));
    }
    let rest = info.strip_prefix("vm ")?;
    let (name, _) = rest.split_once(" starts")?;
    Some((Stage::Vm, format!("VM {name} starts")))
}

fn recognise_firmware(notice: &str) -> Option<(Stage, String)> {
    if notice.starts_with("Booting Trusted Firmware") || notice.starts_with("BL1: v") {
        return Some((Stage::Bl1, "BL1 starts".into()));
    }
    if let Some(version) = notice.strip_prefix("BL2: v") {
        return Some((Stage::Bl2, format!("BL2 starts ({})", number(version))));
    }
    if let Some(version) = notice.strip_prefix("BL31: v") {
        return Some((Stage::Bl31, format!("BL31 starts ({})", number(version))));
    }
    None
}

/// The number alone, of a version such as `2.12.1(release):2.12.1`.
fn number(version: &str) -> &str {
    version.split(['(', ':', ' ']).next().unwrap_or(version)
}

fn recognise_secure(text: &str) -> Option<(Stage, String)> {
    if let Some(rest) = text.strip_prefix("[sp ") {
        let (who, _) = rest.split_once(']')?;
        let (id, name) = who.split_once(' ').unwrap_or((who, ""));
        return Some((Stage::Partition, format!("partition {name} ({id}) speaks")));
    }
    let info = text.strip_prefix("[spmc] INFO: ")?;
    if let Some(rest) = info.strip_prefix("Tantalum SPMC ") {
        let version = rest.split(' ').next().unwrap_or(rest);
        return Some((Stage::Spmc, format!("SPMC starts ({version})")));
    }
    let rest = info.strip_prefix("boot complete: ")?;
    Some((Stage::SpmcReady, format!("SPMC ready, {rest}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal(text: &str) -> Option<(Stage, String)> {
        recognise(Console::Normal, text)
    }

    #[test]
    fn the_boot_is_recognised() {
        let stage = |text| normal(text).map(|(stage, _)| stage);
        assert_eq!(stage("NOTICE:  Booting Trusted Firmware"), Some(Stage::Bl1));
        assert_eq!(stage("NOTICE:  BL2: v2.12.1(release):2.12.1"), Some(Stage::Bl2));
        assert_eq!(stage("NOTICE:  BL1: Booting BL31"), None);
        assert_eq!(stage("NOTICE:  BL31: v2.12.1(release):2.12.1"), Some(Stage::Bl31));
        assert_eq!(stage("Booting Linux on physical CPU 0x0000000000 [0x000f0510]"), Some(Stage::Linux));
        assert_eq!(stage("tantalum-init: userspace is up"), Some(Stage::Userspace));
    }

    #[test]
    fn the_boot_of_the_bare_metal_suite_is_recognised() {
        let start = normal("bl33: starts at NS-EL2, FF-A 1.2");
        assert_eq!(start, Some((Stage::BareMetal, "bare-metal suite starts at NS-EL2, FF-A 1.2".into())));
        assert_eq!(normal("bl33: 8 CPUs up"), Some((Stage::Smp, "8 CPUs up".into())));
        assert_eq!(normal("bl33: power off"), Some((Stage::PowerOff, "the suite powers off".into())));
        assert_eq!(normal("bl33: 0 of 85 cases failed"), None);
        let start = normal("guest: starts at EL1");
        assert_eq!(start, Some((Stage::BareMetal, "bare-metal suite starts at EL1".into())));
        assert_eq!(normal("guest: 4 CPUs up"), Some((Stage::Smp, "4 CPUs up".into())));
    }

    #[test]
    fn the_boot_of_the_hypervisor_is_recognised() {
        let start = normal("[vmm] INFO: Tantalum VMM 0.1.0 at NS-EL2");
        assert_eq!(start, Some((Stage::Vmm, "hypervisor starts (0.1.0)".into())));
        let vm = normal("[vmm] INFO: vm one starts: 2 vCPUs, 256 MiB");
        assert_eq!(vm, Some((Stage::Vm, "VM one starts".into())));
        assert_eq!(normal("[vmm] INFO: vm one is off"), None);
    }

    #[test]
    fn labels_tell_what_the_line_told() {
        let label = |found: Option<(Stage, String)>| found.map(|(_, label)| label);
        assert_eq!(label(normal("smp: Brought up 1 node, 4 CPUs")).as_deref(), Some("4 CPUs up"));
        assert_eq!(
            label(normal("kvm [1]: Protected hVHE mode initialized successfully")).as_deref(),
            Some("pKVM initialised (hVHE)")
        );
        assert_eq!(
            label(normal("ARM FF-A: Firmware version 1.1 found")).as_deref(),
            Some("FF-A driver, version 1.1")
        );
        let secure = |text| label(recognise(Console::Secure, text));
        assert_eq!(
            secure("[spmc] INFO: Tantalum SPMC 0.1.0 at S-EL2").as_deref(),
            Some("SPMC starts (0.1.0)")
        );
        assert_eq!(
            secure("[spmc] INFO: boot complete: 3 partitions").as_deref(),
            Some("SPMC ready, 3 partitions")
        );
        assert_eq!(secure("[sp 8001 echo] ready").as_deref(), Some("partition echo (8001) speaks"));
    }

    #[test]
    fn a_console_speaks_only_for_itself() {
        assert_eq!(recognise(Console::Secure, "NOTICE:  BL31: v2.12.1"), None);
        assert_eq!(normal("[spmc] INFO: boot complete: 3 partitions"), None);
    }
}
