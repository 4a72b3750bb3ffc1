//! What lies where in the normal world.

use core::ops::Range;
use core::slice;

use tantalum_aarch64::layout;
use tantalum_aarch64::stage1::{Contents, Region};

/// The GIC: the distributor, and the redistributors of all processing elements.
const GIC: Range<u64> = 0x0800_0000..0x0840_0000;

/// The serial port, the clock and what lies beside them.
const PERIPHERALS: Range<u64> = 0x0900_0000..0x0920_0000;

/// The slots of virtio devices.
const VIRTIO: Range<u64> = 0x0a00_0000..0x0a20_0000;

/// The PL011.
pub(super) const UART: usize = 0x0900_0000;

/// The interrupt of the PL011: SPI 1.
pub(super) const UART_INTID: u32 = 33;

/// The PL031.
pub(super) const CLOCK: usize = 0x0901_0000;

/// RAM.
pub(super) const MEMORY: Range<u64> = 0x4000_0000..0xc000_0000;

/// Where the manifest of the virtual machines lies, and how much room it has.
const MANIFEST: Range<u64> = 0x6100_0000..0x6110_0000;

/// Returns the memory and the devices that the hypervisor uses besides its image.
pub fn regions() -> [Region; 5] {
    let image = layout::image();
    let device = |range| Region { range, contents: Contents::Device };
    let memory = |range| Region { range, contents: Contents::Data };
    [
        device(GIC),
        device(PERIPHERALS),
        device(VIRTIO),
        memory(MEMORY.start..image.start),
        memory(image.end..MEMORY.end),
    ]
}

/// Returns the bytes at the place where the manifest of the virtual machines lies.
pub fn vm_manifest() -> &'static [u8] {
    let size = MANIFEST.end.wrapping_sub(MANIFEST.start);
    let start = core::ptr::with_exposed_provenance(usize::try_from(MANIFEST.start).unwrap_or(0));
    // SAFETY: the memory is mapped, and given to no virtual machine, so nobody writes it.
    unsafe { slice::from_raw_parts(start, usize::try_from(size).unwrap_or(0)) }
}
