//! The registers of a device that the manifest gives to the partition.

use core::error::Error;
use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};

use crate::service::Boot;

/// Counts the bytes of the registers of one device: a page.
pub const DEVICE_SIZE: usize = 0x1000;

/// Says that the registers of a device cannot be mapped in the partition's own translation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CannotMap {
    /// Where they lie.
    pub address: usize,
}

impl fmt::Display for CannotMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the device at {:#x} cannot be mapped", self.address)
    }
}

impl Error for CannotMap {}

/// Is a device, one page of registers of 32 bits each. On the host it is not there: it reads as zero.
#[derive(Debug)]
pub struct Device {
    address: usize,
    mapped: AtomicBool,
}

impl Device {
    /// Names the device whose registers begin at `address`, which is that of the manifest.
    pub const fn at(address: usize) -> Self {
        Self { address, mapped: AtomicBool::new(false) }
    }

    /// Maps the registers. `boot` shows that the partition starts, and that no other execution context has begun.
    ///
    /// # Errors
    /// Says so if they do not begin on a page, or lie too far from everything else.
    pub fn map(&self, boot: &Boot<'_>) -> Result<(), CannotMap> {
        let _ = boot;
        imp::map(self.address).ok_or(CannotMap { address: self.address })?;
        self.mapped.store(true, Ordering::Release);
        Ok(())
    }

    /// Reads the register at `offset`; zero if there is none or the registers are not mapped.
    pub fn read(&self, offset: usize) -> u32 {
        self.register(offset).map(imp::read).unwrap_or_default()
    }

    /// Writes the register at `offset`, if there is one and the registers are mapped.
    pub fn write(&self, offset: usize, value: u32) {
        if let Some(register) = self.register(offset) {
            imp::write(register, value);
        }
    }

    fn register(&self, offset: usize) -> Option<usize> {
        let inside = offset < DEVICE_SIZE && offset.is_multiple_of(4) && self.mapped.load(Ordering::Acquire);
        if inside { self.address.checked_add(offset) } else { None }
    }
}

#[cfg(target_os = "none")]
mod imp {
    use core::arch::asm;

    pub(super) use crate::machine::map_device as map;

    pub(super) fn read(register: usize) -> u32 {
        let value: u32;
        // SAFETY: the register is mapped, and lies outside of everything that Rust knows of.
        unsafe {
            asm!("ldr {:w}, [{}]", out(reg) value, in(reg) register, options(nostack, preserves_flags))
        };
        value
    }

    pub(super) fn write(register: usize, value: u32) {
        // SAFETY: as above; a device of the partition reaches no memory but by what the partition tells it.
        unsafe { asm!("str {:w}, [{}]", in(reg) value, in(reg) register, options(nostack, preserves_flags)) };
    }
}

#[cfg(not(target_os = "none"))]
mod imp {
    pub(super) fn map(_address: usize) -> Option<()> {
        None
    }

    pub(super) fn read(_register: usize) -> u32 {
        0
    }

    pub(super) fn write(_register: usize, _value: u32) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_the_registers_of_one_page() {
        let device = Device { address: 0x0901_0000, mapped: AtomicBool::new(true) };
        assert_eq!(device.register(0), Some(0x0901_0000));
        assert_eq!(device.register(0xffc), Some(0x0901_0ffc));
        assert_eq!(device.register(2), None);
        assert_eq!(device.register(0x1000), None);
        assert_eq!(Device::at(0x0901_0000).register(0), None);
    }
}
