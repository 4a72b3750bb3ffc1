//! The hypervisor's own translation: stage 1 of Secure EL2, virtual addresses equal to physical ones.
//!
//! The tables are built before the MMU is on and only grow afterwards, so no entry is ever changed once a walker
//! may have seen it. 39 bits of address and the 4 KiB granule make three levels.

use core::cell::UnsafeCell;
use core::error::Error;
use core::fmt;
use core::ops::Range;

use crate::layout;
use aarch64_cpu::asm::barrier::{ISHST, SY, dsb, isb};

/// Counts the pages for tables: the root, and for each 1 GiB or 2 MiB that is not mapped as one block another.
const TABLE_COUNT: usize = 8;

const ENTRY_COUNT: usize = 512;

/// Bounds the addresses that the tables reach.
const ADDRESS_LIMIT: u64 = 1 << 39;

/// MAIR_EL2: attribute 0 is Device-nGnRE, attribute 1 is Normal write-back, read and write allocate.
pub(crate) const MAIR: u64 = 0xff04;

/// TCR_EL2 but for the physical address size: T0SZ = 25, write-back and inner shareable walks, 4 KiB granule,
/// and bits 23 and 31, which are one.
pub(crate) const TCR: u64 = 1 << 31 | 1 << 23 | 3 << 12 | 1 << 10 | 1 << 8 | 25;

/// SCTLR_EL2: MMU and caches on, stack alignment checked, nothing both writable and executable, and the bits
/// that are one where E2H = 0 (4, 5, 11, 16, 18, 22, 23, 28, 29).
pub(crate) const SCTLR: u64 = 0x30c5_0830 | 1 << 19 | 1 << 12 | 1 << 3 | 1 << 2 | 1;

const VALID: u64 = 1;
const TABLE_OR_PAGE: u64 = 1 << 1;
const ATTRIBUTE_NORMAL: u64 = 1 << 2;
const NON_SECURE: u64 = 1 << 5;
const AP_RES1: u64 = 1 << 6; // AP[1] of a regime with one privilege level
const READ_ONLY: u64 = 1 << 7;
const INNER_SHAREABLE: u64 = 3 << 8;
const ACCESSED: u64 = 1 << 10;
const EXECUTE_NEVER: u64 = 1 << 54;
const ADDRESS_MASK: u64 = 0x0000_ffff_ffff_f000;

/// Says what lies in a range of addresses and so what the hypervisor may do with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contents {
    /// Instructions of the hypervisor: read and executed, never written.
    Code,
    /// Secure memory that is only read.
    Constants,
    /// Secure memory that is read and written.
    Data,
    /// Memory of the normal world, read and written.
    NormalWorld,
    /// Registers of a device.
    Device,
}

impl Contents {
    const fn attributes(self) -> u64 {
        let memory = ACCESSED | AP_RES1 | INNER_SHAREABLE | ATTRIBUTE_NORMAL;
        match self {
            Self::Code => memory | READ_ONLY,
            Self::Constants => memory | READ_ONLY | EXECUTE_NEVER,
            Self::Data => memory | EXECUTE_NEVER,
            Self::NormalWorld => memory | EXECUTE_NEVER | NON_SECURE,
            Self::Device => ACCESSED | AP_RES1 | EXECUTE_NEVER,
        }
    }
}

/// Names a range of addresses and what lies there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region {
    /// The addresses, from page to page.
    pub range: Range<u64>,
    /// What lies there.
    pub contents: Contents,
}

/// Says why a region cannot be mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapError {
    /// It does not start and end on a page.
    Unaligned,
    /// It ends beyond the 39 bits of address that the tables reach.
    TooHigh,
    /// Part of it is mapped already.
    Occupied,
    /// It needs more tables than there are.
    OutOfTables,
}

impl fmt::Display for MapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unaligned => "does not start and end on a page",
            Self::TooHigh => "ends beyond the 39 bits of address that the hypervisor maps",
            Self::Occupied => "is mapped already in part",
            Self::OutOfTables => "needs more translation tables than the hypervisor has",
        })
    }
}

impl Error for MapError {}

#[repr(C, align(4096))]
pub(crate) struct Tables {
    /// The first one is the root.
    entries: UnsafeCell<[[u64; ENTRY_COUNT]; TABLE_COUNT]>,
    /// How many tables are in use besides the root.
    extra: UnsafeCell<usize>,
}

// SAFETY: the cells are only reached from `map`, which one processing element at a time may call.
unsafe impl Sync for Tables {}

/// The tables. The entry code zeroes the section, and drops it from the data cache after it was written with
/// the MMU off.
#[unsafe(link_section = ".stage1_tables")]
pub(crate) static TABLES: Tables =
    Tables { entries: UnsafeCell::new([[0; ENTRY_COUNT]; TABLE_COUNT]), extra: UnsafeCell::new(0) };

/// Maps the image itself, then each of `regions`.
///
/// # Errors
/// Says why the first region that cannot be mapped cannot.
///
/// # Safety
/// As for [`map`].
pub unsafe fn build(regions: &[Region]) -> Result<(), MapError> {
    let parts = [
        (layout::text(), Contents::Code),
        (layout::rodata(), Contents::Constants),
        (layout::data(), Contents::Data),
    ];
    for (range, contents) in parts {
        // SAFETY: the linker script says that this is what lies there; the rest is passed on to our caller.
        unsafe { map(&Region { range, contents })? };
    }
    for range in layout::each_stack() {
        // SAFETY: as above.
        unsafe { map(&Region { range, contents: Contents::Data })? };
    }
    for region in regions {
        // SAFETY: passed on to our caller.
        unsafe { map(region)? };
    }
    Ok(())
}

/// Maps a region, in the largest blocks that its alignment allows.
///
/// # Errors
/// Says why it cannot be mapped. Part of it may be mapped then.
///
/// # Safety
/// Only one processing element may call this at a time, and what the region names must really lie there.
pub unsafe fn map(region: &Region) -> Result<(), MapError> {
    let Range { start, end } = region.range;
    if (start | end) & 0xfff != 0 {
        return Err(MapError::Unaligned);
    }
    if end > ADDRESS_LIMIT {
        return Err(MapError::TooHigh);
    }
    let mut address = start;
    while address < end {
        let left = end.wrapping_sub(address); // the loop condition says that it does not wrap
        let level = block_level(address, left);
        // SAFETY: our caller is the only one in here.
        unsafe { map_block(address, level, region.contents.attributes())? };
        address = address.wrapping_add(1 << shift(level)); // at most `end`
    }
    dsb(ISHST);
    isb(SY);
    Ok(())
}

/// Returns the lowest bit of an address that selects the entry of a table of `level`.
const fn shift(level: u32) -> u32 {
    match level {
        1 => 30,
        2 => 21,
        _ => 12,
    }
}

/// Returns the level of the largest block that starts at `address` and has at most `left` bytes.
fn block_level(address: u64, left: u64) -> u32 {
    let fits = |level| address.trailing_zeros() >= shift(level) && left >= 1 << shift(level);
    if fits(1) {
        1
    } else if fits(2) {
        2
    } else {
        3
    }
}

/// Makes the entry of `level` for `address` a block, or a page where `level` is 3.
///
/// # Safety
/// Only one processing element may call this at a time.
unsafe fn map_block(address: u64, level: u32, attributes: u64) -> Result<(), MapError> {
    let tables: *mut [u64; ENTRY_COUNT] = TABLES.entries.get().cast();
    let mut table = tables;
    let mut current = 1;
    loop {
        let index = usize::try_from(address >> shift(current)).unwrap_or(0) & 0x1ff;
        // SAFETY: `table` is one of ours, and the index is below 512.
        let entry = unsafe { table.cast::<u64>().add(index) };
        // Volatile, because walkers read the entries and, before the MMU is on, nothing but plain single
        // accesses may be made of this: an access to memory of Device type has to be aligned.
        // SAFETY: the entry lies in one of our tables and nobody else writes it.
        let descriptor = unsafe { entry.read_volatile() };
        if current == level {
            if descriptor != 0 {
                return Err(MapError::Occupied);
            }
            let kind = if level == 3 { VALID | TABLE_OR_PAGE } else { VALID };
            // SAFETY: as above.
            unsafe { entry.write_volatile(address | attributes | kind) };
            return Ok(());
        }
        if descriptor == 0 {
            // SAFETY: our caller is the only one in here.
            let extra = unsafe { TABLES.extra.get().read_volatile() }.wrapping_add(1);
            if extra >= TABLE_COUNT {
                return Err(MapError::OutOfTables);
            }
            // SAFETY: as above, and the table is within the array.
            let next = unsafe {
                TABLES.extra.get().write_volatile(extra);
                tables.add(extra)
            };
            // The table is empty; a walker that sees the entry finds it so.
            dsb(ISHST);
            // SAFETY: as above.
            unsafe { entry.write_volatile(next.addr() as u64 | VALID | TABLE_OR_PAGE) };
            table = next;
        } else if descriptor & TABLE_OR_PAGE == 0 {
            return Err(MapError::Occupied);
        } else {
            let offset = (descriptor & ADDRESS_MASK).wrapping_sub(tables.addr() as u64);
            // SAFETY: every table descriptor was written above, so it names one of our tables.
            table = unsafe { tables.byte_add(usize::try_from(offset).unwrap_or(0)) };
        }
        current = if current == 1 { 2 } else { 3 };
    }
}
