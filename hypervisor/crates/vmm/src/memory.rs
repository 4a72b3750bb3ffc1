//! The memory of a virtual machine.

use tantalum_hal::{AccessError, PhysicalMemory};
use tantalum_types::{Address, Ipa, Pa, PageRange};

use crate::layout::MEMORY;

/// Says that memory of a virtual machine cannot be reached: it has none there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutsideMemory;

impl From<AccessError> for OutsideMemory {
    fn from(_: AccessError) -> Self {
        Self
    }
}

/// Is the memory of a virtual machine: it begins at [`MEMORY`] and is one piece of the machine's.
#[derive(Clone, Copy, Debug)]
pub struct GuestMemory {
    range: PageRange<Pa>,
}

impl GuestMemory {
    /// Builds it from the machine's memory behind it.
    pub const fn new(range: PageRange<Pa>) -> Self {
        Self { range }
    }

    /// Returns the machine's memory behind it.
    pub const fn range(&self) -> &PageRange<Pa> {
        &self.range
    }

    /// Returns how many bytes it has.
    pub fn size(&self) -> u64 {
        self.range.size()
    }

    /// Returns where the `size` bytes at `ipa` lie, if all of them are its.
    pub fn locate(&self, ipa: u64, size: u64) -> Option<Pa> {
        let offset = ipa.checked_sub(MEMORY)?;
        let end = offset.checked_add(size)?;
        if end > self.size() { None } else { self.range.start().checked_add(offset) }
    }

    /// Returns the addresses by which the virtual machine knows it.
    pub fn ipa_range(&self) -> Option<PageRange<Ipa>> {
        PageRange::new(Ipa::non_secure(MEMORY), self.range.page_count()).ok()
    }

    /// Copies `to.len()` bytes at `ipa` into `to`.
    ///
    /// # Errors
    /// Says so if not all of them are its.
    pub fn read(&self, ipa: u64, to: &mut [u8], host: &impl PhysicalMemory) -> Result<(), OutsideMemory> {
        let size = u64::try_from(to.len()).map_err(|_| OutsideMemory)?;
        let at = self.locate(ipa, size).ok_or(OutsideMemory)?;
        Ok(host.read(at, to)?)
    }

    /// Copies `from` to the bytes at `ipa`.
    ///
    /// # Errors
    /// Says so, and writes nothing, if not all of them are its.
    pub fn write(&self, ipa: u64, from: &[u8], host: &impl PhysicalMemory) -> Result<(), OutsideMemory> {
        let size = u64::try_from(from.len()).map_err(|_| OutsideMemory)?;
        let at = self.locate(ipa, size).ok_or(OutsideMemory)?;
        Ok(host.write(at, from)?)
    }
}
