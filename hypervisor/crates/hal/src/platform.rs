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

/// Lets memory that was written become code.
pub trait CodeMemory {
    /// Makes what was written to `range`, which is RAM that [`PhysicalMemory`] reaches, visible to who reads it past
    /// the caches, and lets every processing element fetch instructions from it anew.
    fn publish(&self, range: &PageRange<Pa>);
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
pub trait Platform: PhysicalMemory + CodeMemory + TableMemory + Tlb {
    /// Calls the SPMD and returns its answer. Only for calls that the SPMD answers itself.
    fn call_spmd(&self, call: &CallRegisters) -> CallRegisters;

    /// Writes bytes to the log, unchanged. A whole line per call keeps lines of different processing elements
    /// apart.
    fn log(&self, bytes: &[u8]);

    /// Acknowledges the highest-priority pending interrupt of Secure Group 1 on `cpu`, which is this processing
    /// element, drops the running priority, and returns its INTID; `None` if there is none. The interrupt stays
    /// active, so that it is not signalled again, until [`Self::end_interrupt`].
    fn take_secure_interrupt(&self, cpu: CpuIndex) -> Option<u32>;

    /// Deactivates an interrupt that [`Self::take_secure_interrupt`] has returned. A private one ends on the
    /// processing element that took it: `cpu`, which is this one.
    fn end_interrupt(&self, cpu: CpuIndex, intid: u32);

    /// Sets up an interrupt, 16 to 1019: private to `cpu`, which is this processing element, or shared. The machine
    /// has set up [`Self::KICK`] and [`Self::TIMER`] itself when the processing element started.
    fn configure_interrupt(&self, cpu: CpuIndex, intid: u32, setting: &InterruptSetting);

    /// Makes SGI `sgi`, 0 to 15, on `cpu` an interrupt of Non-secure Group 1, enabled: it is the normal world's from
    /// then on. `cpu` is this processing element.
    fn donate_sgi(&self, cpu: CpuIndex, sgi: u32);

    /// Makes SGI `sgi`, which has been donated, pending on this processing element, for the normal world.
    fn raise_donated_sgi(&self, sgi: u32);

    /// Makes another processing element take [`Event::Interrupt`](crate::Event::Interrupt), or come to the SPMC by
    /// FFA_INTERRUPT: an SGI of Secure Group 1 that [`Self::take_secure_interrupt`] returns there as
    /// [`Self::KICK`].
    fn kick(&self, cpu: CpuIndex);

    /// Is the INTID of the SGI that [`Self::kick`] sends.
    const KICK: u32;

    /// Is the INTID of the private interrupt that [`Self::set_timer`] asks for.
    const TIMER: u32;

    /// Returns the count of the system counter, CNTPCT_EL0.
    fn now(&self) -> u64;

    /// Lets the hypervisor's own timer on this processing element raise [`Self::TIMER`] once the system counter is at
    /// or above `deadline`, and not before; `None` turns it off, and takes an interrupt back that it has raised.
    fn set_timer(&self, deadline: Option<u64>);
}

/// Says how an interrupt is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InterruptSetting {
    /// Whether it is signalled at all.
    pub enabled: bool,
    /// How urgent it is among the secure ones: 0 is the highest, 255 the lowest.
    pub priority: u8,
    /// What makes it pending.
    pub trigger: Trigger,
    /// Whether it is the Secure world's, Secure Group 1, or the normal world's, Non-secure Group 1.
    pub secure: bool,
    /// Where a shared one is signalled.
    pub target: CpuIndex,
}

/// Says what makes an interrupt pending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// A change of its line.
    Edge,
    /// The state of its line.
    Level,
}
