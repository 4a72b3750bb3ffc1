//! The bus: which device an address belongs to.

use tantalum_hal::vm::Access;
use tantalum_types::VcpuIndex;

use crate::layout::{CLOCK, DEVICE_SIZE, DISTRIBUTOR, REDISTRIBUTORS, UART, VIRTIO, VIRTIO_SIZE};
use crate::vgic::{DISTRIBUTOR_SIZE, Frame, REDISTRIBUTOR_SIZE};

/// Names what lies at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    /// The interrupt controller.
    Gic(Frame),
    /// The serial port.
    Uart,
    /// The clock.
    Clock,
    /// A virtio device.
    Virtio(usize),
}

/// Finds the device that `size` bytes at `address` belong to, and how far into it they begin. `vcpus` and `virtio` say how
/// many virtual CPUs and virtio devices there are.
pub fn find(address: u64, size: u8, vcpus: usize, virtio: usize) -> Option<(Device, u32)> {
    let within = |base: u64, length: u64| {
        let offset = address.checked_sub(base)?;
        if offset.checked_add(size.into())? <= length { u32::try_from(offset).ok() } else { None }
    };
    let nth = |base: u64, stride: u64| {
        let offset = address.checked_sub(base)?;
        usize::try_from(offset.checked_div(stride)?).ok()
    };
    if let Some(index) = nth(VIRTIO, VIRTIO_SIZE).filter(|index| *index < virtio) {
        let base = VIRTIO.saturating_add(VIRTIO_SIZE.saturating_mul(u64::try_from(index).ok()?));
        return within(base, VIRTIO_SIZE).map(|offset| (Device::Virtio(index), offset));
    }
    if let Some(offset) = within(UART, DEVICE_SIZE) {
        return Some((Device::Uart, offset));
    }
    if let Some(offset) = within(DISTRIBUTOR, DISTRIBUTOR_SIZE) {
        return Some((Device::Gic(Frame::Distributor), offset));
    }
    if let Some(index) = nth(REDISTRIBUTORS, REDISTRIBUTOR_SIZE).filter(|index| *index < vcpus) {
        let base =
            REDISTRIBUTORS.saturating_add(REDISTRIBUTOR_SIZE.saturating_mul(u64::try_from(index).ok()?));
        let owner = VcpuIndex::new(index)?;
        return within(base, REDISTRIBUTOR_SIZE)
            .map(|offset| (Device::Gic(Frame::Redistributor(owner)), offset));
    }
    within(CLOCK, DEVICE_SIZE).map(|offset| (Device::Clock, offset))
}

/// Returns what a load puts into its register.
pub const fn extend(access: &Access, value: u64) -> u64 {
    let bits = (access.size as u32).wrapping_mul(8);
    if bits >= 64 {
        return value;
    }
    let mask = 1_u64.wrapping_shl(bits).wrapping_sub(1);
    let value = value & mask;
    let negative = access.sign_extend && value.wrapping_shr(bits.wrapping_sub(1)) & 1 != 0;
    match (negative, access.wide) {
        (false, _) => value,
        (true, true) => value | !mask,
        (true, false) => (value | !mask) & 0xffff_ffff,
    }
}

#[cfg(test)]
mod tests {
    use tantalum_hal::vm::Direction;
    use tantalum_types::Ipa;

    use super::*;

    #[test]
    fn each_address_is_of_one_device() {
        let find = |address, size| find(address, size, 2, 3);
        let redistributor = |index| Device::Gic(Frame::Redistributor(VcpuIndex::new(index).unwrap()));
        assert_eq!(find(0x0800_0004, 4), Some((Device::Gic(Frame::Distributor), 4)));
        assert_eq!(find(0x0800_fffc, 8), None, "it ends behind the frame");
        assert_eq!(find(0x080a_0008, 8), Some((redistributor(0), 8)));
        assert_eq!(find(0x080d_fffc, 4), Some((redistributor(1), 0x1_fffc)));
        assert_eq!(find(0x080e_0000, 4), None, "there is no third virtual CPU");
        assert_eq!(find(0x0900_0fff, 1), Some((Device::Uart, 0xfff)));
        assert_eq!(find(0x0900_1000, 1), None);
        assert_eq!(find(0x0901_0000, 4), Some((Device::Clock, 0)));
        assert_eq!(find(0x0a00_0250, 4), Some((Device::Virtio(1), 0x50)));
        assert_eq!(find(0x0a00_03fe, 4), None, "it ends in the next device");
        assert_eq!(find(0x0a00_0600, 4), None, "there is no fourth device");
        for nowhere in [0, 0x07ff_fffc, 0x3fff_ffff, 0x4000_0000, u64::MAX - 3, u64::MAX] {
            assert_eq!(find(nowhere, 4), None, "{nowhere:#x}");
        }
    }

    #[test]
    fn loads_extend_as_they_say() {
        let access = |size, sign_extend, wide| Access {
            address: Ipa::non_secure(0),
            virtual_address: 0,
            size,
            direction: Direction::Read { to: 0 },
            sign_extend,
            wide,
        };
        assert_eq!(extend(&access(1, false, true), 0x1ff), 0xff);
        assert_eq!(extend(&access(1, true, true), 0x80), 0xffff_ffff_ffff_ff80);
        assert_eq!(extend(&access(2, true, false), 0x8000), 0xffff_8000);
        assert_eq!(extend(&access(4, true, true), 0x7fff_ffff), 0x7fff_ffff);
        assert_eq!(extend(&access(4, false, false), u64::MAX), 0xffff_ffff);
        assert_eq!(extend(&access(8, true, true), u64::MAX), u64::MAX);
    }
}
