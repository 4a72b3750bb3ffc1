//! The QEMU command line: which machine, and where everything lies in its memory.

mod vms;

use crate::image::Image;
use crate::trace;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Where BL31 enters the normal world (`PRELOADED_BL33_BASE` of the firmware).
const BL33_ADDRESS: u64 = 0x6000_0000;
/// Where the initramfs is put, far above the kernel. Linux learns it by `initrd=`.
const INITRAMFS_ADDRESS: u64 = 0x6800_0000;

/// How QEMU executes the CPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accel {
    /// One host thread for all CPUs: the cheapest, and steady on small machines.
    Single,
    /// One host thread for each CPU: real parallelism, and its races.
    Multi,
    /// One host thread and a virtual clock that counts instructions: a run repeats itself
    /// exactly.
    Icount,
}

impl Accel {
    /// Reads the word of the command line.
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "single" => Self::Single,
            "multi" => Self::Multi,
            "icount" => Self::Icount,
            _ => return None,
        })
    }

    /// The word of the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Single => "single",
            Self::Multi => "multi",
            Self::Icount => "icount",
        }
    }
}

/// What runs in the normal world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormalWorld {
    /// Linux at NS-EL1 with pKVM at NS-EL2.
    Pkvm,
    /// Linux alone, which speaks with the firmware itself.
    Linux,
    /// The bare-metal suite at NS-EL2.
    BareMetal,
    /// Our hypervisor at NS-EL2 with its VMs, and nothing below it.
    Vmm,
    /// Our hypervisor with its VMs, above TF-A and the SPMC.
    FullStack,
    /// What else is in a VM, at EL1 of a machine of its own: the same without a hypervisor.
    Guest,
    /// The bare-metal suite for VMs, at EL1 of a machine of its own.
    GuestSuite,
}

impl NormalWorld {
    /// Says it in a few words.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Pkvm => "Linux under pKVM",
            Self::Linux => "Linux alone",
            Self::BareMetal => "bare-metal suite",
            Self::Vmm => "hypervisor",
            Self::FullStack => "hypervisor above the SPMC",
            Self::Guest => "Linux without a hypervisor",
            Self::GuestSuite => "bare-metal suite for VMs without a hypervisor",
        }
    }

    /// Tells whether TF-A and the SPMC are there.
    pub fn has_firmware(self) -> bool {
        !matches!(self, Self::Vmm | Self::Guest | Self::GuestSuite)
    }

    /// Tells whether our hypervisor is there.
    pub fn has_vms(self) -> bool {
        matches!(self, Self::Vmm | Self::FullStack)
    }

    /// Tells whether Linux has the init of a VM, which runs jobs.
    pub fn has_jobs(self) -> bool {
        self.has_vms() || self == Self::Guest
    }

    /// Tells whether a bare-metal suite is what there is.
    pub fn has_suite(self) -> bool {
        matches!(self, Self::BareMetal | Self::GuestSuite)
    }

    /// What a list of scenarios calls it, where they differ by that.
    pub fn place(self) -> &'static str {
        match self {
            Self::Vmm => "vmm",
            Self::FullStack => "fullstack",
            Self::GuestSuite => "reference",
            _ => "",
        }
    }

    /// The machine in QEMU's words.
    fn board(self) -> &'static str {
        match self {
            Self::Guest | Self::GuestSuite => "virt,gic-version=3",
            Self::Vmm => "virt,virtualization=on,gic-version=3",
            _ => "virt,secure=on,virtualization=on,gic-version=3",
        }
    }
}

/// What Linux's init shall do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Run the scenarios and power off.
    Test,
    /// Give a shell.
    Console,
}

/// The machine and what it boots with.
#[derive(Clone, Debug)]
pub struct Machine {
    /// How the CPUs are executed.
    pub accel: Accel,
    /// How many.
    pub cpus: u32,
    /// QEMU's word for the size of memory, such as `2G`.
    pub memory: String,
    /// What runs in the normal world.
    pub normal_world: NormalWorld,
    /// What init shall do.
    pub mode: Mode,
    /// Where writes to the disk go, if they shall be kept: a copy of the image's disk.
    pub disk: Option<PathBuf>,
    /// The image's SPMC records what it does, at the end of memory.
    pub trace: bool,
    /// More words for the command line.
    pub append: Vec<String>,
}

/// What the two serial ports and the monitor are connected to.
#[derive(Debug)]
pub enum Wiring<'a> {
    /// Each port into a file of its own, and QMP on standard input and output.
    Files {
        /// The first port: TF-A and the normal world.
        normal: &'a Path,
        /// The secure port: the SPMC and its partitions.
        secure: &'a Path,
        /// The machine's memory, if it shall be a file too.
        memory: Option<&'a Path>,
    },
    /// The first port and the monitor on the terminal, the secure port into a file.
    Terminal {
        /// The secure port.
        secure: &'a Path,
    },
}

impl Machine {
    /// The command line of the normal world.
    pub fn kernel_arguments(&self, image: &Image) -> String {
        let mut words = match self.normal_world {
            NormalWorld::Pkvm | NormalWorld::Linux => format!(
                "console=ttyAMA0 initrd={INITRAMFS_ADDRESS:#x},{} kvm-arm.mode={} tantalum.mode={}",
                image.initramfs().map_or(0, |initramfs| initramfs.size),
                if self.normal_world == NormalWorld::Pkvm { "protected" } else { "none" },
                match self.mode {
                    Mode::Test => "test",
                    Mode::Console => "console",
                }
            ),
            // As the manifest of VMs would have it.
            NormalWorld::Guest => {
                let root =
                    if image.disk().is_some() { " root=/dev/vda rootfstype=ext2 rw init=/init" } else { "" };
                format!("console=ttyAMA0 printk.devkmsg=on{root}")
            }
            NormalWorld::GuestSuite => String::from("guest.reference=1"),
            // Linux's words are in the manifest of VMs.
            NormalWorld::BareMetal | NormalWorld::Vmm | NormalWorld::FullStack => String::new(),
        };
        if self.mode == Mode::Test && !words.is_empty() && !self.normal_world.has_suite() {
            // The runner lives by these lines: with their times, and down to level info.
            words.push_str(" printk.time=1 loglevel=7");
        }
        if self.trace {
            let _ = write!(words, " {}", trace::KERNEL_ARGUMENT);
        }
        for word in &self.append {
            let _ = write!(words, " {word}");
        }
        words.trim_start().to_owned()
    }

    /// The arguments of QEMU.
    pub fn arguments(&self, image: &Image, wiring: &Wiring<'_>) -> Vec<OsString> {
        let mut args = Arguments::default();
        let machine = self.normal_world.board();
        if let Wiring::Files { memory: Some(memory), .. } = wiring {
            args.pair("-M", format!("{machine},memory-backend=memory"));
            let size = &self.memory;
            args.pair(
                "-object",
                joined(&format!("memory-backend-file,id=memory,share=on,size={size},mem-path="), memory),
            );
        } else {
            args.pair("-M", machine);
        }
        args.pair("-cpu", "max,sme=off,sve=off,pauth-impdef=on");
        args.pair("-smp", self.cpus.to_string());
        args.pair("-m", &self.memory);
        match self.accel {
            Accel::Single => args.pair("-accel", "tcg,thread=single"),
            Accel::Multi => args.pair("-accel", "tcg,thread=multi"),
            Accel::Icount => {
                args.pair("-accel", "tcg,thread=single");
                args.pair("-icount", "shift=2,sleep=off");
                // Nothing of the host may reach the guest: neither its clock nor its
                // randomness (the device tree's seeds, and the CPU's RNDR).
                args.pair("-rtc", "base=2026-01-01T00:00:00,clock=vm");
                args.pair("-seed", "1");
            }
        }
        for word in ["-nodefaults", "-no-reboot"] {
            args.one(word);
        }
        args.pair("-display", "none");
        args.pair("-nic", "none");
        match wiring {
            Wiring::Files { normal, secure, memory: _ } => {
                args.pair("-chardev", joined("file,id=normal,path=", normal));
                args.pair("-chardev", joined("file,id=secure,path=", secure));
                args.pair("-serial", "chardev:normal");
                args.pair("-serial", "chardev:secure");
                args.pair("-chardev", "stdio,id=qmp,signal=off");
                args.pair("-mon", "chardev=qmp,mode=control");
            }
            Wiring::Terminal { secure } => {
                args.pair("-serial", "mon:stdio");
                args.pair("-serial", joined("file:", secure));
            }
        }
        if self.normal_world.has_firmware() {
            args.pair("-bios", image.flash());
        }
        match self.normal_world {
            NormalWorld::Pkvm | NormalWorld::Linux | NormalWorld::BareMetal => {
                // TF-A finds Linux and the initramfs in memory. -kernel is there only because QEMU
                // takes -append with it alone; the copy it makes is never used.
                args.pair("-device", loader(&image.bl33(), BL33_ADDRESS));
                if let Some(initramfs) = image.initramfs() {
                    args.pair("-device", loader(&initramfs.path, INITRAMFS_ADDRESS));
                }
            }
            NormalWorld::Vmm => vms::load(&mut args, image),
            NormalWorld::FullStack => {
                args.pair("-device", loader(&image.bl33(), BL33_ADDRESS));
                vms::load(&mut args, image);
            }
            NormalWorld::Guest => {
                if let Some(initramfs) = image.initramfs() {
                    args.pair("-initrd", &initramfs.path);
                }
                vms::guest_devices(&mut args);
            }
            NormalWorld::GuestSuite => vms::suite_devices(&mut args),
        }
        if let Some(disk) = image.disk() {
            vms::disk(&mut args, &disk, self.disk.as_deref());
        }
        args.pair("-kernel", image.bl33());
        args.pair("-append", self.kernel_arguments(image));
        args.0
    }
}

#[derive(Default)]
struct Arguments(Vec<OsString>);

impl Arguments {
    fn one(&mut self, word: impl Into<OsString>) {
        self.0.push(word.into());
    }

    fn pair(&mut self, option: &str, value: impl Into<OsString>) {
        self.0.extend([option.into(), value.into()]);
    }
}

fn joined(prefix: &str, path: &Path) -> OsString {
    let mut out = OsString::from(prefix);
    out.push(escape_commas(path));
    out
}

fn loader(path: &Path, address: u64) -> OsString {
    let mut out = joined("loader,file=", path);
    out.push(format!(",addr={address:#x},force-raw=on"));
    out
}

/// QEMU's option parser takes a doubled comma for a comma.
fn escape_commas(path: &Path) -> OsString {
    match path.to_str() {
        Some(text) if text.contains(',') => text.replace(',', ",,").into(),
        _ => path.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_in_paths_are_doubled() {
        assert_eq!(
            loader(Path::new("/a,b/Image"), 0x6000_0000),
            "loader,file=/a,,b/Image,addr=0x60000000,force-raw=on"
        );
    }

    #[test]
    fn accel_words_go_both_ways() {
        for accel in [Accel::Single, Accel::Multi, Accel::Icount] {
            assert_eq!(Accel::parse(accel.name()), Some(accel));
        }
        assert_eq!(Accel::parse("kvm"), None);
    }
}
