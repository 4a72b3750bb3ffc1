//! The partition's own translation: stage 1 of EL1, virtual addresses equal to those that stage 2 knows.
//!
//! It is there for the caches, which are off without it, and so that code cannot be written and data cannot be
//! executed. 39 bits of address and the 4 KiB granule make three levels; only pages are used, no blocks.

use core::ops::Range;

/// Counts the pages for tables: the root, one of the second level, and for each 2 MiB that something lies in
/// one of the third.
pub(crate) const TABLE_COUNT: usize = 8;

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
const READ_ONLY: u64 = 1 << 7;
const INNER_SHAREABLE: u64 = 3 << 8;
const ACCESSED: u64 = 1 << 10;
const PRIVILEGED_EXECUTE_NEVER: u64 = 1 << 53;
const UNPRIVILEGED_EXECUTE_NEVER: u64 = 1 << 54;
const ADDRESS_MASK: u64 = 0x0000_007f_ffff_f000;

/// Says what lies in a range of addresses and so what may be done with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contents {
    /// Instructions: read and executed.
    Code,
    /// Memory that is only read.
    Constants,
    /// Memory that is read and written.
    Data,
}

impl Contents {
    const fn attributes(self) -> u64 {
        let memory = ACCESSED | INNER_SHAREABLE | ATTRIBUTE_NORMAL | UNPRIVILEGED_EXECUTE_NEVER;
        match self {
            Self::Code => memory | READ_ONLY,
            Self::Constants => memory | READ_ONLY | PRIVILEGED_EXECUTE_NEVER,
            Self::Data => memory | PRIVILEGED_EXECUTE_NEVER,
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

/// Is the memory of the tables; the first one is the root.
#[derive(Debug)]
#[repr(C, align(4096))]
pub(crate) struct Tables {
    entries: [[u64; ENTRY_COUNT]; TABLE_COUNT],
    /// How many are in use besides the root.
    used: usize,
}

impl Tables {
    /// Builds tables that map nothing.
    pub(crate) const fn new() -> Self {
        Self { entries: [[0; ENTRY_COUNT]; TABLE_COUNT], used: 0 }
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

    const BASE: u64 = 0x0e30_8000;

    /// Walks the tables as the MMU does.
    fn walk(tables: &Tables, address: u64) -> Option<u64> {
        let mut table = BASE;
        for shift in [30, 21, 12] {
            let number = usize::try_from((table - BASE) / PAGE_SIZE).unwrap();
            let entry = tables.entries[number][usize::try_from(address >> shift & 0x1ff).unwrap()];
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
        for contents in [Contents::Code, Contents::Constants, Contents::Data] {
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
        // One table of the third level for each 2 MiB; one is used, five are left.
        for index in 1..=5 {
            tables.map(BASE, index << 21..(index << 21) + 0x1000, Contents::Data).unwrap();
        }
        assert_eq!(tables.map(BASE, 6 << 21..(6 << 21) + 0x1000, Contents::Data), Err(MapError::OutOfTables));
    }
}
