//! What lies where in the normal world.

use core::ops::Range;
use core::slice;
use core::sync::atomic::{AtomicU64, Ordering};

use tantalum_aarch64::layout;
use tantalum_aarch64::stage1::{self, Contents, MapError, Region};
use tantalum_types::Pa;

/// The GIC: the distributor, and the redistributors of all processing elements.
const GIC: Range<u64> = 0x0800_0000..0x0840_0000;

/// The serial port, the clock and what lies beside them.
const PERIPHERALS: Range<u64> = 0x0900_0000..0x0920_0000;

/// The slots of virtio devices, and what lies beside them.
const VIRTIO: Range<u64> = 0x0a00_0000..0x0a20_0000;
pub(super) const VIRTIO_BASE: usize = 0x0a00_0000;
pub(super) const VIRTIO_STRIDE: usize = 0x200;
pub(super) const VIRTIO_SLOTS: usize = 32;

/// The interrupt of the first slot: SPI 16.
pub(super) const VIRTIO_INTID: u32 = 48;

/// The PL011.
pub(super) const UART: usize = 0x0900_0000;

/// The interrupt of the PL011: SPI 1.
pub(super) const UART_INTID: u32 = 33;

/// The PL031.
pub(super) const CLOCK: usize = 0x0901_0000;

/// The RAM that is known before the machine's device tree has been read: enough for the image, and for where QEMU and
/// TF-A put that tree.
const FIRST_MEMORY: Range<u64> = 0x4000_0000..0x8000_0000;

/// The first byte of RAM.
pub const MEMORY: Pa = Pa::non_secure(FIRST_MEMORY.start);

/// Bounds the bytes of the machine's device tree: QEMU gives it 1 MiB, TF-A the same.
const TREE_SIZE: u64 = 0x10_0000;

/// Where the manifest of the virtual machines lies, and how much room it has.
const MANIFEST: Range<u64> = 0x6100_0000..0x6110_0000;

/// Returns the memory and the devices that the hypervisor uses at first, besides its image.
pub fn regions() -> [Region; 5] {
    let image = layout::image();
    let device = |range| Region { range, contents: Contents::Device };
    let memory = |range| Region { range, contents: Contents::Data };
    [
        device(GIC),
        device(PERIPHERALS),
        device(VIRTIO),
        memory(FIRST_MEMORY.start..image.start),
        memory(image.end..FIRST_MEMORY.end),
    ]
}

/// Is RAM from [`MEMORY`] up to some address.
pub(super) struct Memory(AtomicU64);

impl Memory {
    /// Knows of no more than what is mapped at first.
    pub(super) const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Returns the address behind the last byte.
    pub(super) fn end(&self) -> u64 {
        self.0.load(Ordering::Relaxed).max(FIRST_MEMORY.end)
    }

    /// Maps RAM up to `end`.
    ///
    /// # Errors
    /// Says why it cannot be mapped.
    ///
    /// # Safety
    /// There must be RAM, and only the first processing element may run the hypervisor yet.
    pub(super) unsafe fn extend(&self, end: u64) -> Result<(), MapError> {
        let range = self.end()..end;
        if !range.is_empty() {
            // SAFETY: passed on to our caller.
            unsafe { stage1::map(&Region { range, contents: Contents::Data })? };
            self.0.store(end, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// Returns the bytes at the place where the manifest of the virtual machines lies.
pub fn vm_manifest() -> &'static [u8] {
    // SAFETY: the memory is mapped, and given to no virtual machine, so nobody writes it.
    unsafe { bytes(&MANIFEST) }
}

/// Returns the bytes at `address`, where the machine's device tree lies; `None` if they are not all RAM that is known at
/// first and beside the image.
pub fn machine_tree(address: u64) -> Option<&'static [u8]> {
    let range = address..address.checked_add(TREE_SIZE)?;
    let image = layout::image();
    let is_known = FIRST_MEMORY.start <= range.start && range.end <= FIRST_MEMORY.end;
    let is_ours = range.start < image.end && image.start < range.end;
    // SAFETY: the memory is mapped, and no virtual machine runs before the bytes have been read.
    (is_known && !is_ours).then(|| unsafe { bytes(&range) })
}

/// Returns the bytes of a range.
///
/// # Safety
/// They must be mapped as Normal memory, and nobody may write them while they are looked at.
unsafe fn bytes(range: &Range<u64>) -> &'static [u8] {
    let size = range.end.saturating_sub(range.start);
    let start = core::ptr::with_exposed_provenance(usize::try_from(range.start).unwrap_or(0));
    // SAFETY: as our caller promises.
    unsafe { slice::from_raw_parts(start, usize::try_from(size).unwrap_or(0)) }
}
