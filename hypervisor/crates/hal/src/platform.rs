//! The services that a hypervisor asks of a machine while it decides.

use core::error::Error;
use core::fmt;

use tantalum_types::{CallRegisters, CpuIndex, Ipa, Pa, PageRange};

/// Tags the translations of one partition in the TLBs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VmId(pub u16);

/// Says that physical memory cannot be reached: no RAM of the machine lies there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccessError {
    /// The first byte that cannot be reached.
    pub address: Pa,
}

impl fmt::Display for AccessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no memory at {}", self.address)
    }
}

impl Error for AccessError {}

/// Gives access to memory that somebody else may write at the same time.
///
/// Bytes are copied, never lent: no reference into such memory exists. Each byte is read or written exactly
/// once, in ascending order, so what was checked is what was read.
pub trait PhysicalMemory {
    /// Copies `to.len()` bytes at `from` into `to`.
    ///
    /// # Errors
    /// Says so, and may have written part of `to`, if not all of it is RAM of that address space.
    fn read(&self, from: Pa, to: &mut [u8]) -> Result<(), AccessError>;

    /// Copies `from` to the `from.len()` bytes at `to`.
    ///
    /// # Errors
    /// Says so, and writes nothing, if not all of it is RAM of that address space.
    fn write(&self, to: Pa, from: &[u8]) -> Result<(), AccessError>;

    /// Writes zero to every byte of `range`.
    ///
    /// # Errors
    /// Says so, and writes nothing, if not all of it is RAM of that address space.
    fn zero(&self, range: &PageRange<Pa>) -> Result<(), AccessError>;
}

/// Gives access to the pages set aside for translation tables, 512 descriptors of 8 bytes each.
///
/// Only the hypervisor writes them, but the MMU of any processing element may read them at any time: a write
/// is one 64-bit store and is visible to the table walkers when it returns.
pub trait TableMemory {
    /// Returns how many pages there are.
    fn page_count(&self) -> usize;

    /// Returns the physical address of page `page`, or `None` if there is no such page.
    fn address(&self, page: usize) -> Option<Pa>;

    /// Returns descriptor `index` of page `page`; zero, an invalid descriptor, if there is no such one.
    fn load(&self, page: usize, index: usize) -> u64;

    /// Replaces descriptor `index` of page `page`; does nothing if there is no such one.
    fn store(&self, page: usize, index: usize, descriptor: u64);
}

/// Removes stale translations from the TLBs of every processing element.
pub trait Tlb {
    /// Forgets what stage 2 of `vmid` said about the page of `ipa`, and everything derived from it. Returns
    /// when no processing element uses it any more.
    fn invalidate_page(&self, vmid: VmId, ipa: Ipa);

    /// Forgets everything of `vmid`. Returns when no processing element uses it any more.
    fn invalidate_all(&self, vmid: VmId);
}

/// Is the machine below a hypervisor.
///
/// Every method may be called on any processing element at any time, so implementations lock what they need.
pub trait Platform: PhysicalMemory + TableMemory + Tlb {
    /// Calls the SPMD and returns its answer. Only for calls that the SPMD answers itself.
    fn call_spmd(&self, call: &CallRegisters) -> CallRegisters;

    /// Writes bytes to the log, unchanged. A whole line per call keeps lines of different processing elements
    /// apart.
    fn log(&self, bytes: &[u8]);

    /// Takes the highest-priority pending interrupt of Secure Group 1 from the interrupt controller, drops its
    /// priority and deactivates it, and returns its INTID; `None` if there is none.
    fn take_secure_interrupt(&self, cpu: CpuIndex) -> Option<u32>;

    /// Enables or disables a shared or private interrupt of Secure Group 1 and, if shared, routes it to `cpu`.
    fn configure_secure_interrupt(&self, cpu: CpuIndex, intid: u32, enable: bool);
}
