//! The memory of a virtual machine.

use heapless::Vec;
use spin::RwLock;
use tantalum_hal::{AccessError, PhysicalMemory};
use tantalum_types::{Address, Ipa, Pa, PageRange};

use crate::ffa::MAX_RANGES;

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
///
/// Pages that it has lent or donated are not its own meanwhile: nothing is copied to or from them in its name.
#[derive(Debug)]
pub struct GuestMemory {
    range: PageRange<Pa>,
    /// The pages that were taken from it. Locked for reading while bytes are copied.
    taken: RwLock<Vec<PageRange<Ipa>, MAX_RANGES>>,
}

impl GuestMemory {
    /// Builds it from the machine's memory behind it.
    pub const fn new(range: PageRange<Pa>) -> Self {
        Self { range, taken: RwLock::new(Vec::new()) }
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
        let taken = self.taken.read();
        if is_in(&taken, ipa, size) {
            return Err(OutsideMemory);
        }
        Ok(host.read(at, to)?)
    }

    /// Copies `from` to the bytes at `ipa`.
    ///
    /// # Errors
    /// Says so, and writes nothing, if not all of them are its.
    pub fn write(&self, ipa: u64, from: &[u8], host: &impl PhysicalMemory) -> Result<(), OutsideMemory> {
        let size = u64::try_from(from.len()).map_err(|_| OutsideMemory)?;
        let at = self.locate(ipa, size).ok_or(OutsideMemory)?;
        let taken = self.taken.read();
        if is_in(&taken, ipa, size) {
            return Err(OutsideMemory);
        }
        Ok(host.write(at, from)?)
    }

    /// Takes pages from it by `unmap`. When this returns, nothing is being copied to or from them in its name.
    ///
    /// # Errors
    /// As `unmap`, or says that there are too many. Nothing has changed then.
    pub fn take<E>(
        &self,
        pages: &PageRange<Ipa>,
        full: E,
        unmap: impl FnOnce() -> Result<(), E>,
    ) -> Result<(), E> {
        let mut taken = self.taken.write();
        if taken.is_full() {
            return Err(full);
        }
        unmap()?;
        // There is room for one more.
        let _ = taken.push(*pages);
        Ok(())
    }

    /// Gives pages back that were taken from it, by `map`.
    ///
    /// # Errors
    /// As `map`. They stay taken then.
    pub fn give_back<E>(&self, pages: &PageRange<Ipa>, map: impl FnOnce() -> Result<(), E>) -> Result<(), E> {
        let mut taken = self.taken.write();
        map()?;
        taken.retain(|other| other != pages);
        Ok(())
    }
}

/// Tells whether one of the `size` bytes at `ipa`, which do not wrap, lies in `taken`.
fn is_in(taken: &[PageRange<Ipa>], ipa: u64, size: u64) -> bool {
    let end = ipa.saturating_add(size);
    taken.iter().any(|pages| pages.start().raw() < end && ipa < pages.end())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Is memory that holds nothing and takes everything.
    struct Anything;

    impl PhysicalMemory for Anything {
        fn read(&self, _: Pa, _: &mut [u8]) -> Result<(), AccessError> {
            Ok(())
        }

        fn write(&self, _: Pa, _: &[u8]) -> Result<(), AccessError> {
            Ok(())
        }

        fn zero(&self, _: &PageRange<Pa>) -> Result<(), AccessError> {
            Ok(())
        }
    }

    #[test]
    fn nothing_is_copied_from_pages_that_were_taken() {
        let memory = GuestMemory::new(PageRange::new(Pa::non_secure(0x8000_0000), 16).unwrap());
        let pages = PageRange::new(Ipa::non_secure(MEMORY + 0x2000), 2).unwrap();
        let copy = |ipa: u64, size: usize| {
            let read = memory.read(MEMORY + ipa, &mut [0; 0x3000][..size], &Anything);
            assert_eq!(memory.write(MEMORY + ipa, &[0; 0x3000][..size], &Anything), read);
            read.is_ok()
        };
        assert!(copy(0x2000, 8));
        assert_eq!(memory.take(&pages, (), || Err(())), Err(()));
        assert!(copy(0x2000, 8), "nothing was taken");
        assert_eq!(memory.take(&pages, (), || Ok(())), Ok(()));
        for (ipa, size) in [(0x2000, 1), (0x3fff, 1), (0x1fff, 2), (0x3ff8, 16), (0x1000, 0x3000)] {
            assert!(!copy(ipa, size), "{ipa:#x} {size}");
        }
        assert!(copy(0x1ff8, 8) && copy(0x4000, 8));
        assert_eq!(memory.give_back(&pages, || Err(())), Err(()));
        assert!(!copy(0x2000, 8), "nothing was given back");
        assert_eq!(memory.give_back(&pages, || Ok::<(), ()>(())), Ok(()));
        assert!(copy(0x2000, 8));
    }
}
