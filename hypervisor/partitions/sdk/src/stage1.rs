//! The partition's own translation: stage 1 of EL1, virtual addresses equal to those that stage 2 knows.
//!
//! It is there for the caches, which are off without it, and so that code cannot be written and data cannot be
//! executed. 39 bits of address and the 4 KiB granule make three levels; only pages are used, no blocks.

use core::ops::Range;
use core::sync::atomic::AtomicU64;

use tantalum_types::AddressSpace;

/// Counts the pages for tables: the root, one of the second level for the image and one for the window, and for
/// each 2 MiB that something lies in one of the third. The window's own is beside them.
pub(crate) const TABLE_COUNT: usize = 9;

/// Is where the window begins, through which memory is seen that is not the image's: pages for which there is one
/// entry each, which come and go. No memory of the board lies at these addresses.
pub(crate) const WINDOW: u64 = 1 << 38;

const ENTRY_COUNT: usize = 512;
const PAGE_SIZE: u64 = 4096;

/// Bounds the addresses that the tables reach.
const ADDRESS_LIMIT: u64 = 1 << 39;

/// MAIR_EL1: attribute 0 is Device-nGnRE, attribute 1 is Normal write-back, read and write allocate.
pub(crate) const MAIR: u64 = 0xff04;

/// TCR_EL1 but for the physical address size: T0SZ = 25, write-back and inner shareable walks, 4 KiB granule,
/// no walks for the upper half of the addresses.
pub(crate) const TCR: u64 = 1 << 23 | 3 << 12 | 1 << 10 | 1 << 8 | 25;

/// SCTLR_EL1: MMU and caches on, stack alignment checked, nothing both writable and executable, and the bits
/// that are one without later extensions (11, 20, 22, 23, 28, 29).
pub(crate) const SCTLR: u64 = 0x30d0_0800 | 1 << 19 | 1 << 12 | 1 << 3 | 1 << 2 | 1;

const VALID: u64 = 1;
const TABLE_OR_PAGE: u64 = 1 << 1;
const ATTRIBUTE_NORMAL: u64 = 1 << 2;
const NON_SECURE: u64 = 1 << 5;
const READ_ONLY: u64 = 1 << 7;
const INNER_SHAREABLE: u64 = 3 << 8;
const ACCESSED: u64 = 1 << 10;
const PRIVILEGED_EXECUTE_NEVER: u64 = 1 << 53;
const UNPRIVILEGED_EXECUTE_NEVER: u64 = 1 << 54;
const ADDRESS_MASK: u64 = 0x0000_007f_ffff_f000;
const OUTPUT_MASK: u64 = 0x0000_ffff_ffff_f000;

/// Says what lies in a range of addresses and so what may be done with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contents {
    /// Instructions: read and executed.
    Code,
    /// Memory that is only read.
    Constants,
    /// Memory that is read and written.
    Data,
    /// Registers of a device.
    Device,
}

impl Contents {
    const fn attributes(self) -> u64 {
        let memory = ACCESSED | INNER_SHAREABLE | ATTRIBUTE_NORMAL | UNPRIVILEGED_EXECUTE_NEVER;
        match self {
            Self::Code => memory | READ_ONLY,
            Self::Constants => memory | READ_ONLY | PRIVILEGED_EXECUTE_NEVER,
            Self::Data => memory | PRIVILEGED_EXECUTE_NEVER,
            Self::Device => ACCESSED | PRIVILEGED_EXECUTE_NEVER | UNPRIVILEGED_EXECUTE_NEVER,
        }
    }
}

/// Says why a range cannot be mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MapError {
    /// It does not start and end on a page, or ends beyond the 39 bits of address.
    Range,
    /// Part of it is mapped already, as something else.
    Occupied,
    /// It needs more tables than there are.
    OutOfTables,
}

/// Returns the entry of the window that shows the page that `address` of the address space `space` lies in, for
/// reading and writing data: what of that is permitted is for the SPMC's translation to say.
pub(crate) const fn window_entry(address: u64, space: AddressSpace) -> u64 {
    let space = match space {
        AddressSpace::Secure => 0,
        AddressSpace::NonSecure => NON_SECURE,
    };
    address & OUTPUT_MASK | space | Contents::Data.attributes() | TABLE_OR_PAGE | VALID
}

/// Is the memory of the tables; the first one is the root.
#[derive(Debug)]
#[repr(C, align(4096))]
pub(crate) struct Tables {
    entries: [[u64; ENTRY_COUNT]; TABLE_COUNT],
    /// The window's entries. Each belongs to one execution context.
    pub(crate) window: [AtomicU64; ENTRY_COUNT],
    /// How many are in use besides the root.
    used: usize,
}

impl Tables {
    /// Builds tables that map nothing.
    pub(crate) const fn new() -> Self {
        let window = [const { AtomicU64::new(0) }; ENTRY_COUNT];
        Self { entries: [[0; ENTRY_COUNT]; TABLE_COUNT], window, used: 0 }
    }

    /// Puts the window where it is to be. `base` is the address of these tables.
    pub(crate) fn open_window(&mut self, base: u64) -> Result<(), MapError> {
        const OFFSET: u64 = (TABLE_COUNT as u64) << 12;
        let at = base.checked_add(OFFSET).ok_or(MapError::Range)?;
        let second = self.next_table(base, 0, WINDOW, 30)?;
        *self.entry(second, WINDOW, 21)? = at | TABLE_OR_PAGE | VALID;
        Ok(())
    }

    /// Maps the pages in `range` to themselves. `base` is the address of these tables.
    ///
    /// An entry is written once and never changed, so nothing has to be dropped from the TLBs.
    pub(crate) fn map(&mut self, base: u64, range: Range<u64>, contents: Contents) -> Result<(), MapError> {
        let Range { start, end } = range;
        if !start.is_multiple_of(PAGE_SIZE) || !end.is_multiple_of(PAGE_SIZE) || end > ADDRESS_LIMIT {
            return Err(MapError::Range);
        }
        let mut address = start;
        while address < end {
            let second = self.next_table(base, 0, address, 30)?;
            let third = self.next_table(base, second, address, 21)?;
            let page = address | contents.attributes() | TABLE_OR_PAGE | VALID;
            let entry = self.entry(third, address, 12)?;
            match *entry {
                0 => *entry = page,
                same if same == page => {}
                _ => return Err(MapError::Occupied),
            }
            address = address.checked_add(PAGE_SIZE).ok_or(MapError::Range)?;
        }
        Ok(())
    }

    /// Returns the number of the table behind the entry for `address` in table `table`, a new one if there is
    /// none yet.
    fn next_table(&mut self, base: u64, table: usize, address: u64, shift: u32) -> Result<usize, MapError> {
        let next = *self.entry(table, address, shift)?;
        if next & VALID != 0 {
            let offset = (next & ADDRESS_MASK).checked_sub(base).ok_or(MapError::OutOfTables)?;
            return usize::try_from(offset >> 12).map_err(|_| MapError::OutOfTables);
        }
        let free =
            self.used.checked_add(1).filter(|free| *free < TABLE_COUNT).ok_or(MapError::OutOfTables)?;
        let offset = u64::try_from(free).map_err(|_| MapError::OutOfTables)? << 12;
        let at = base.checked_add(offset).ok_or(MapError::Range)?;
        *self.entry(table, address, shift)? = at | TABLE_OR_PAGE | VALID;
        self.used = free;
        Ok(free)
    }

    fn entry(&mut self, table: usize, address: u64, shift: u32) -> Result<&mut u64, MapError> {
        let index = address.checked_shr(shift).ok_or(MapError::Range)? & 0x1ff;
        let index = usize::try_from(index).map_err(|_| MapError::Range)?;
        self.entries.get_mut(table).and_then(|table| table.get_mut(index)).ok_or(MapError::OutOfTables)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::sync::atomic::Ordering;

    const BASE: u64 = 0x0e30_8000;

    /// Walks the tables as the MMU does.
    fn walk(tables: &Tables, address: u64) -> Option<u64> {
        let mut table = BASE;
        for shift in [30, 21, 12] {
            let number = usize::try_from((table - BASE) / PAGE_SIZE).unwrap();
            let index = usize::try_from(address >> shift & 0x1ff).unwrap();
            let entry = match tables.entries.get(number) {
                Some(table) => table[index],
                None => {
                    assert_eq!(number, TABLE_COUNT, "beyond the window's table");
                    tables.window[index].load(Ordering::Relaxed)
                }
            };
            if entry & 3 != 3 {
                return None;
            }
            if shift == 12 {
                return Some(entry);
            }
            assert_ne!(entry & ADDRESS_MASK, table, "a table that points at itself");
            table = entry & 0x0000_ffff_ffff_f000;
        }
        None
    }

    #[test]
    fn maps_each_page_to_itself_and_no_other() {
        let mut tables = Tables::new();
        tables.map(BASE, 0x0e30_4000..0x0e30_6000, Contents::Code).unwrap();
        tables.map(BASE, 0x0e30_6000..0x0e30_7000, Contents::Constants).unwrap();
        // Over a boundary of 2 MiB.
        tables.map(BASE, 0x0e3f_f000..0x0e40_1000, Contents::Data).unwrap();
        let expected = [
            (0x0e30_3000, None),
            (0x0e30_4000, Some(Contents::Code)),
            (0x0e30_5000, Some(Contents::Code)),
            (0x0e30_6000, Some(Contents::Constants)),
            (0x0e30_7000, None),
            (0x0e3f_e000, None),
            (0x0e3f_f000, Some(Contents::Data)),
            (0x0e40_0000, Some(Contents::Data)),
            (0x0e40_1000, None),
            (0x4e30_4000, None),
        ];
        for (address, contents) in expected {
            let page = contents.map(|contents| contents.attributes() | address | 3);
            assert_eq!(walk(&tables, address), page, "{address:#x}");
        }
    }

    #[test]
    fn nothing_is_both_writable_and_executable() {
        for contents in [Contents::Code, Contents::Constants, Contents::Data, Contents::Device] {
            let attributes = contents.attributes();
            assert!(attributes & (READ_ONLY | PRIVILEGED_EXECUTE_NEVER) != 0);
            assert!(attributes & UNPRIVILEGED_EXECUTE_NEVER != 0);
        }
    }

    #[test]
    fn refuses_what_it_cannot_map() {
        let mut tables = Tables::new();
        assert_eq!(tables.map(BASE, 0x1000..0x1fff, Contents::Data), Err(MapError::Range));
        assert_eq!(tables.map(BASE, 0..(1 << 39) + 0x1000, Contents::Data), Err(MapError::Range));
        tables.map(BASE, 0x1000..0x2000, Contents::Data).unwrap();
        assert_eq!(tables.map(BASE, 0x1000..0x2000, Contents::Data), Ok(()));
        assert_eq!(tables.map(BASE, 0x1000..0x2000, Contents::Code), Err(MapError::Occupied));
        // One table of the third level for each 2 MiB; one is used, six are left.
        for index in 1..=6 {
            tables.map(BASE, index << 21..(index << 21) + 0x1000, Contents::Data).unwrap();
        }
        assert_eq!(tables.map(BASE, 7 << 21..(7 << 21) + 0x1000, Contents::Data), Err(MapError::OutOfTables));
    }

    #[test]
    fn the_window_shows_any_page_of_either_space() {
        let mut tables = Tables::new();
        tables.map(BASE, 0x0e30_4000..0x0e30_6000, Contents::Code).unwrap();
        tables.open_window(BASE).unwrap();
        assert_eq!(walk(&tables, WINDOW), None);
        let slot = WINDOW + 3 * PAGE_SIZE;
        for (space, bit) in [(AddressSpace::Secure, 0), (AddressSpace::NonSecure, 1 << 5)] {
            tables.window[3].store(window_entry(0xffff_ffff_f123, space), Ordering::Relaxed);
            let expected = 0xffff_ffff_f000 | bit | Contents::Data.attributes() | 3;
            assert_eq!(walk(&tables, slot), Some(expected));
            assert_eq!(walk(&tables, slot + PAGE_SIZE), None);
        }
        assert!(walk(&tables, 0x0e30_4000).is_some());
    }

    #[test]
    fn the_window_lies_behind_the_tables() {
        assert_eq!(core::mem::offset_of!(Tables, window), TABLE_COUNT * 4096);
    }
}
