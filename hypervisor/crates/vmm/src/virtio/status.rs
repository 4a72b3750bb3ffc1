//! The device status field (virtio 1.2, sections 2.1 and 3.1.1).

/// Holds the bits of the device status field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Status(u8);

impl Status {
    /// Says nothing: the device is reset.
    pub(crate) const RESET: Self = Self(0);
    pub(crate) const ACKNOWLEDGE: u8 = 1;
    pub(crate) const DRIVER: u8 = 2;
    pub(crate) const DRIVER_OK: u8 = 4;
    pub(crate) const FEATURES_OK: u8 = 8;
    pub(crate) const DEVICE_NEEDS_RESET: u8 = 64;
    pub(crate) const FAILED: u8 = 128;

    /// Returns the field.
    pub(crate) const fn raw(self) -> u8 {
        self.0
    }

    /// Tells whether all of `bits` are set.
    pub(crate) const fn has(self, bits: u8) -> bool {
        self.0 & bits == bits
    }

    /// Tells whether the device may look at its queues.
    pub(crate) const fn is_live(self) -> bool {
        self.has(Self::DRIVER_OK) && self.0 & (Self::DEVICE_NEEDS_RESET | Self::FAILED) == 0
    }

    /// Sets DEVICE_NEEDS_RESET.
    pub(crate) const fn needs_reset(self) -> Self {
        Self(self.0 | Self::DEVICE_NEEDS_RESET)
    }

    /// Returns the field after the driver has written `value`, other than zero; `acceptable` says whether the device takes
    /// the features that the driver has chosen.
    ///
    /// A bit is set only if those are that come before it, and no bit goes away: section 3.1.1 knows no other order.
    pub(crate) const fn written(self, value: u8, acceptable: bool) -> Self {
        let mut bits = self.0 | value & (Self::ACKNOWLEDGE | Self::FAILED);
        if bits & Self::ACKNOWLEDGE != 0 {
            bits |= value & Self::DRIVER;
        }
        if bits & Self::DRIVER != 0 && acceptable {
            bits |= value & Self::FEATURES_OK;
        }
        if bits & Self::FEATURES_OK != 0 {
            bits |= value & Self::DRIVER_OK;
        }
        Self(bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_set_in_their_order_only() {
        let ok = |status: Status, value| status.written(value, true);
        assert_eq!(ok(Status::RESET, Status::DRIVER).raw(), 0);
        assert_eq!(ok(Status::RESET, Status::FEATURES_OK | Status::DRIVER_OK).raw(), 0);
        let driver = ok(Status::RESET, 3);
        assert_eq!(driver.raw(), 3);
        assert_eq!(driver.written(15, false).raw(), 3, "features that are not taken leave FEATURES_OK clear");
        assert_eq!(ok(driver, Status::DRIVER_OK).raw(), 3);
        assert_eq!(ok(driver, 15).raw(), 15);
        assert_eq!(ok(ok(driver, 15), 1).raw(), 15, "a bit does not go away");
    }

    #[test]
    fn the_driver_does_not_set_what_is_the_device_s() {
        assert_eq!(Status::RESET.written(0x7f, true).raw(), 15);
        assert!(!Status::RESET.written(0xff, true).is_live(), "FAILED stops the device");
        assert!(!Status::RESET.written(15, true).needs_reset().is_live());
        assert!(Status::RESET.written(15, true).is_live());
    }
}
