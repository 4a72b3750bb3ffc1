//! What lies where.

use core::arch::global_asm;
use core::error::Error;
use core::fmt;
use core::ops::Range;
use core::ptr::NonNull;
use core::slice;

use tantalum_aarch64::stage1::{Contents, MapError, Region};
use tantalum_types::{CpuIndex, MAX_CPUS, Pa, PageRange};

/// The pages in Secure SRAM to which TF-A loads TB_FW_CONFIG and TOS_FW_CONFIG, the SPMC's manifest.
const FIRMWARE_CONFIGS: Range<u64> = 0x0e00_1000..0x0e00_3000;

/// Secure DRAM above the SPMC's image: packages and memory of partitions.
pub(crate) const PARTITION_MEMORY: Range<u64> = 0x0e30_0000..0x0f00_0000;

/// Where RAM of the normal world can be.
pub(crate) const NORMAL_WORLD_MEMORY: Range<u64> = 0x4000_0000..0x80_0000_0000;

/// The secure PL011, QEMU's second serial port.
pub(crate) const SECURE_UART: usize = 0x0904_0000;

/// The clock of the PL011 in Hz.
pub(crate) const UART_CLOCK: u32 = 24_000_000;

pub(crate) const GIC_DISTRIBUTOR: usize = 0x0800_0000;
pub(crate) const GIC_REDISTRIBUTORS: usize = 0x080a_0000;
const GIC_DISTRIBUTOR_SIZE: u64 = 0x1_0000;
const GIC_REDISTRIBUTOR_SIZE: u64 = 0x2_0000;

/// Counts the bytes of the secure PL011's page.
const UART_SIZE: u64 = 0x1000;

// QEMU numbers processing elements in Aff0, from 0 to 15, and then in Aff1, and so does TF-A's port. That makes
// Aff0 the index of each that the hypervisor has room for.
global_asm!(
    ".section .text.cpu_index, \"ax\"",
    ".balign 4",
    ".global tantalum_cpu_index",
    "tantalum_cpu_index:",
    "	mrs	x0, mpidr_el1",
    "	movz	x1, #0xff, lsl #32", // Aff3
    "	movk	x1, #0xff, lsl #16", // Aff2
    "	movk	x1, #0xffff",        // Aff1, Aff0
    "	and	x0, x0, x1",
    "	ret",
    ".size tantalum_cpu_index, . - tantalum_cpu_index",
);

/// Returns the index of a processing element from the number that the entry code passes.
pub fn cpu_index(number: usize) -> Option<CpuIndex> {
    CpuIndex::new(number)
}

/// Returns the Secure memory and the devices that the SPMC uses besides its image.
pub const fn secure_regions() -> [Region; 5] {
    const fn device(start: usize, size: u64) -> Region {
        let start = start as u64;
        // Constants far below the top of the address space.
        Region { range: start..start.wrapping_add(size), contents: Contents::Device }
    }
    [
        Region { range: FIRMWARE_CONFIGS, contents: Contents::Constants },
        Region { range: PARTITION_MEMORY, contents: Contents::Data },
        device(GIC_DISTRIBUTOR, GIC_DISTRIBUTOR_SIZE),
        device(GIC_REDISTRIBUTORS, GIC_REDISTRIBUTOR_SIZE.wrapping_mul(MAX_CPUS as u64)),
        device(SECURE_UART, UART_SIZE),
    ]
}

/// Returns a pointer to the registers of the device at `address`.
pub(crate) fn registers<T>(address: usize) -> Option<NonNull<T>> {
    NonNull::new(core::ptr::with_exposed_provenance_mut(address))
}

/// Returns the bytes from `address`, which TF-A passes, to the end of the page it loads the SPMC's manifest to;
/// `None` if it does not lie there.
pub fn spmc_manifest(address: u64) -> Option<&'static [u8]> {
    if !FIRMWARE_CONFIGS.contains(&address) {
        return None;
    }
    let size = FIRMWARE_CONFIGS.end.checked_sub(address)?;
    let start = core::ptr::with_exposed_provenance(usize::try_from(address).ok()?);
    // SAFETY: the pages are mapped read-only. Nobody writes them after TF-A has entered the SPMC: they are Secure
    // memory that is given to no partition.
    Some(unsafe { slice::from_raw_parts(start, usize::try_from(size).ok()?) })
}

/// Says why memory of the normal world cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WrongMemory {
    /// The board has no RAM of the normal world there.
    NotHere(PageRange<Pa>),
    /// The hypervisor keeps no more ranges.
    TooMany(PageRange<Pa>),
    /// It cannot be mapped.
    Unmappable(PageRange<Pa>, MapError),
}

impl fmt::Display for WrongMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotHere(range) => write!(
                f,
                "{:#x} bytes at {}: the normal world's RAM lies between {:#x} and {:#x} on this board",
                range.size(),
                range.start(),
                NORMAL_WORLD_MEMORY.start,
                NORMAL_WORLD_MEMORY.end
            ),
            Self::TooMany(range) => {
                write!(f, "{:#x} bytes at {}: too many ranges of RAM", range.size(), range.start())
            }
            Self::Unmappable(range, error) => {
                write!(f, "{:#x} bytes at {}: it {error}", range.size(), range.start())
            }
        }
    }
}

impl Error for WrongMemory {}
