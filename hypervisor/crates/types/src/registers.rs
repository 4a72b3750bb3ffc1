//! The general-purpose registers that carry an FF-A call.

/// Holds x0 to x17 of a call or of its answer (SMC Calling Convention 1.2, section 2.5).
///
/// Most calls use x0 to x7; the others are zero unless both ends speak FF-A 1.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct CallRegisters(pub [u64; 18]);

impl CallRegisters {
    /// Holds zero in every register.
    pub const ZERO: Self = Self([0; 18]);

    /// Builds a call from its first eight registers; the others are zero.
    pub const fn from_first_eight(first: [u64; 8]) -> Self {
        let [x0, x1, x2, x3, x4, x5, x6, x7] = first;
        Self([x0, x1, x2, x3, x4, x5, x6, x7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
    }

    /// Replaces the first eight registers.
    #[inline]
    pub const fn set_first_eight(&mut self, first: [u64; 8]) {
        let [x0, x1, x2, x3, x4, x5, x6, x7, ..] = &mut self.0;
        [*x0, *x1, *x2, *x3, *x4, *x5, *x6, *x7] = first;
    }

    /// Returns the first eight registers.
    #[inline]
    pub const fn first_eight(&self) -> [u64; 8] {
        let [x0, x1, x2, x3, x4, x5, x6, x7, ..] = self.0;
        [x0, x1, x2, x3, x4, x5, x6, x7]
    }
}

impl Default for CallRegisters {
    fn default() -> Self {
        Self::ZERO
    }
}
