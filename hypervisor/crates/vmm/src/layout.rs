//! Where things lie in the memory of a virtual machine: as on QEMU's board `virt`, where a guest looks for them.

/// Is the address of the distributor.
pub const DISTRIBUTOR: u64 = 0x0800_0000;

/// Is the address of the redistributor of the first virtual CPU; the others follow.
pub const REDISTRIBUTORS: u64 = 0x080a_0000;

/// Is the address of the serial port, of [`DEVICE_SIZE`] bytes.
pub const UART: u64 = 0x0900_0000;

/// Is its interrupt.
pub const UART_INTID: u32 = 33;

/// Is the address of the clock, of [`DEVICE_SIZE`] bytes.
pub const CLOCK: u64 = 0x0901_0000;

/// Is its interrupt.
pub const CLOCK_INTID: u32 = 34;

/// Counts the bytes of a PrimeCell's registers.
pub const DEVICE_SIZE: u64 = 0x1000;

/// Is the address of the first virtio device; each of the others is [`VIRTIO_SIZE`] above the one before.
pub const VIRTIO: u64 = 0x0a00_0000;

/// Counts the bytes of a virtio device's registers.
pub const VIRTIO_SIZE: u64 = 0x200;

/// Is the interrupt of the first virtio device; each of the others has the next.
pub const VIRTIO_INTID: u32 = 48;

/// Is the first address of memory.
pub const MEMORY: u64 = 0x4000_0000;

/// Is how far into the memory the kernel lies, before its own offset: a multiple of 2 MiB, as it wants. The device tree
/// lies below.
pub const KERNEL_OFFSET: u64 = 0x20_0000;

/// Bounds the bytes of the device tree.
pub const TREE_SIZE: usize = 0x2000;

/// Is the interrupt of the EL1 physical timer.
pub const PHYSICAL_TIMER_INTID: u32 = 30;

/// Is the interrupt of the EL1 virtual timer.
pub const VIRTUAL_TIMER_INTID: u32 = 27;
