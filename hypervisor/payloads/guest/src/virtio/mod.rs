//! A driver for virtio over MMIO (virtio 1.2), made for tests: everything that a driver can do wrong it can do.
//!
//! | module | what it has |
//! |---|---|
//! | here | finding devices, their registers, their settings |
//! | `queue` | a split virtqueue |
//! | `block` | requests of a disk |

#![forbid(unsafe_code)]

pub(crate) mod block;
pub(crate) mod queue;

use core::sync::atomic::{AtomicU32, Ordering};

use crate::machine::gic::shared;
use crate::machine::{cpus, interrupts, mmio, tree};

/// Registers (virtio 1.2, section 4.2.2).
pub(crate) mod register {
    pub(crate) const MAGIC: usize = 0x000;
    pub(crate) const VERSION: usize = 0x004;
    pub(crate) const DEVICE_ID: usize = 0x008;
    pub(crate) const VENDOR_ID: usize = 0x00c;
    pub(crate) const DEVICE_FEATURES: usize = 0x010;
    pub(crate) const DEVICE_FEATURES_SELECT: usize = 0x014;
    pub(crate) const DRIVER_FEATURES: usize = 0x020;
    pub(crate) const DRIVER_FEATURES_SELECT: usize = 0x024;
    pub(crate) const QUEUE_SELECT: usize = 0x030;
    pub(crate) const QUEUE_SIZE_MAX: usize = 0x034;
    pub(crate) const QUEUE_SIZE: usize = 0x038;
    pub(crate) const QUEUE_READY: usize = 0x044;
    pub(crate) const QUEUE_NOTIFY: usize = 0x050;
    pub(crate) const INTERRUPT_STATUS: usize = 0x060;
    pub(crate) const INTERRUPT_ACK: usize = 0x064;
    pub(crate) const STATUS: usize = 0x070;
    pub(crate) const QUEUE_DESCRIPTORS: usize = 0x080;
    pub(crate) const QUEUE_DRIVER: usize = 0x090;
    pub(crate) const QUEUE_DEVICE: usize = 0x0a0;
    pub(crate) const CONFIG: usize = 0x100;
}

/// Bits of the device's status.
pub(crate) mod status {
    pub(crate) const ACKNOWLEDGE: u32 = 1;
    pub(crate) const DRIVER: u32 = 2;
    pub(crate) const DRIVER_OK: u32 = 4;
    pub(crate) const FEATURES_OK: u32 = 8;
    pub(crate) const NEEDS_RESET: u32 = 64;
}

/// Kinds of devices.
pub(crate) mod kind {
    pub(crate) const NETWORK: u32 = 1;
    pub(crate) const BLOCK: u32 = 2;
    pub(crate) const CONSOLE: u32 = 3;
    pub(crate) const ENTROPY: u32 = 4;
}

/// Features that every kind may have.
pub(crate) mod feature {
    pub(crate) const INDIRECT: u64 = 1 << 28;
    pub(crate) const VERSION_1: u64 = 1 << 32;
}

/// Is what the magic number reads as: "virt".
pub(crate) const MAGIC: u32 = 0x7472_6976;

/// Is a transport, with a device or without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Device {
    base: usize,
    /// Its interrupt.
    pub(crate) intid: usize,
}

/// Lists the transports that the device tree has.
pub(crate) fn all() -> impl Iterator<Item = Device> {
    tree::compatible("virtio,mmio").filter_map(|node| {
        let (base, _) = tree::reg(&node, 0)?;
        Some(Device { base: base as usize, intid: tree::spi(&node)? })
    })
}

/// Lists the devices of a kind, in the order of their addresses.
pub(crate) fn of_kind(kind: u32) -> impl Iterator<Item = Device> {
    // The device tree may have them in any order.
    let mut last = 0;
    core::iter::from_fn(move || {
        let next = all()
            .filter(|device| device.base > last && device.kind() == kind)
            .min_by_key(|device| device.base)?;
        last = next.base;
        Some(next)
    })
}

/// Counts the interrupts that said that the configuration, or the status, has changed.
static CONFIG_CHANGES: AtomicU32 = AtomicU32::new(0);

/// Silences a device whose interrupt has come.
fn acknowledge(intid: usize) {
    let base = 0x0a00_0000 + (intid - 48) * 0x200;
    let reasons = mmio::read32(base + register::INTERRUPT_STATUS);
    if reasons & 2 != 0 {
        CONFIG_CHANGES.fetch_add(1, Ordering::AcqRel);
    }
    mmio::write32(base + register::INTERRUPT_ACK, reasons);
    // A device that has given up need not listen any more: QEMU's keeps its interrupt up until it is reset.
    if mmio::read32(base + register::STATUS) & status::NEEDS_RESET != 0 {
        shared(intid).enable(false);
    }
}

/// Returns how many interrupts said that a configuration or a status has changed.
pub(crate) fn config_changes() -> u32 {
    CONFIG_CHANGES.load(Ordering::Acquire)
}

impl Device {
    /// Reads a register.
    pub(crate) fn read(&self, offset: usize) -> u32 {
        mmio::read32(self.base + offset)
    }

    /// Writes a register.
    pub(crate) fn write(&self, offset: usize, value: u32) {
        mmio::write32(self.base + offset, value);
    }

    /// Returns which kind it is of; 0 is none.
    pub(crate) fn kind(&self) -> u32 {
        self.read(register::DEVICE_ID)
    }

    /// Reads a byte of the configuration.
    pub(crate) fn config8(&self, offset: usize) -> u8 {
        mmio::read8(self.base + register::CONFIG + offset)
    }

    /// Reads 32 bits of the configuration.
    pub(crate) fn config32(&self, offset: usize) -> u32 {
        self.read(register::CONFIG + offset)
    }

    /// Reads 64 bits of the configuration, by halves.
    pub(crate) fn config64(&self, offset: usize) -> u64 {
        u64::from(self.config32(offset)) | u64::from(self.config32(offset + 4)) << 32
    }

    /// Resets it, and waits until that is done.
    pub(crate) fn reset(&self) {
        self.write(register::STATUS, 0);
        tantalum_payload::cpu::wait_until(|| self.status() == 0);
    }

    /// Returns its status.
    pub(crate) fn status(&self) -> u32 {
        self.read(register::STATUS)
    }

    /// Adds to its status.
    pub(crate) fn add_status(&self, bits: u32) {
        self.write(register::STATUS, self.status() | bits);
    }

    /// Returns the features that it offers.
    pub(crate) fn features(&self) -> u64 {
        let half = |index| {
            self.write(register::DEVICE_FEATURES_SELECT, index);
            u64::from(self.read(register::DEVICE_FEATURES))
        };
        half(0) | half(1) << 32
    }

    /// Tells it which features the driver takes.
    pub(crate) fn take_features(&self, features: u64) {
        for (index, half) in [features as u32, (features >> 32) as u32].into_iter().enumerate() {
            self.write(register::DRIVER_FEATURES_SELECT, index as u32);
            self.write(register::DRIVER_FEATURES, half);
        }
    }

    /// Resets it and agrees with it on those of `wanted` that it offers, and on version 1. Its interrupt then arrives on
    /// this CPU and is acknowledged. Returns the features. Queues and [`Self::go`] are next.
    pub(crate) fn begin(&self, wanted: u64) -> u64 {
        self.reset();
        let interrupt = shared(self.intid);
        interrupt.prepare(0xa0);
        interrupt.set_edge(false);
        interrupt.set_route(cpus::current() as u64);
        interrupts::on_arrival(self.intid, Some(acknowledge));
        self.add_status(status::ACKNOWLEDGE);
        self.add_status(status::DRIVER);
        let features = self.features() & (wanted | feature::VERSION_1);
        self.take_features(features);
        self.add_status(status::FEATURES_OK);
        features
    }

    /// Tells it that the driver is ready.
    pub(crate) fn go(&self) {
        self.add_status(status::DRIVER_OK);
    }

    /// Resets it and takes its interrupt out of use.
    pub(crate) fn end(&self) {
        self.reset();
        shared(self.intid).retire();
        interrupts::on_arrival(self.intid, None);
    }

    /// Tells whether it has given up on its driver.
    pub(crate) fn needs_reset(&self) -> bool {
        self.status() & status::NEEDS_RESET != 0
    }
}
