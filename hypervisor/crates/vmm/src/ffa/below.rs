//! What the relay asks of what is below it: the SPMC, by SMC; and of the rest of the hypervisor: whose memory is whose.

use tantalum_ffa::{Call, Status};
use tantalum_hal::PhysicalMemory;
use tantalum_hal::vm::Host;
use tantalum_types::{Address, CallRegisters, Ipa, Pa, PageRange, VmIndex};

/// Carries calls to the SPMC.
pub trait Below: PhysicalMemory {
    /// Makes a call to the SPMC, through EL3, and returns x0 to x17 of the answer.
    fn call(&self, registers: &CallRegisters) -> CallRegisters;
}

impl<H: Host> Below for H {
    fn call(&self, registers: &CallRegisters) -> CallRegisters {
        self.call_firmware(registers)
    }
}

/// Knows the memory of virtual machines, and takes pages from them and gives them back.
pub trait VmMemory {
    /// Returns the physical pages behind `pages`, in one piece; `None` unless all of them are the RAM of `vm`, whether or
    /// not they were taken from it.
    fn physical(&self, vm: VmIndex, pages: &PageRange<Ipa>) -> Option<PageRange<Pa>>;

    /// Takes pages from `vm`: when this returns, none of its virtual CPUs and none of its devices reaches them.
    ///
    /// # Errors
    /// NO_MEMORY if there are not enough translation tables. Nothing has changed then.
    fn take(&self, vm: VmIndex, pages: &PageRange<Ipa>) -> Result<(), Status>;

    /// Gives pages back that were taken from `vm`.
    fn give_back(&self, vm: VmIndex, pages: &PageRange<Ipa>);
}

/// Makes a call and returns the answer, decoded.
///
/// # Errors
/// As the SPMC says; ABORTED if its answer is none.
pub(super) fn ask(below: &impl Below, call: &Call) -> Result<Call, Status> {
    match Call::decode(&below.call(&call.encode())) {
        Ok(Call::Error { status, .. }) => Err(status),
        Ok(answer) => Ok(answer),
        Err(_) => Err(Status::Aborted),
    }
}

/// Makes a call that succeeds without results.
///
/// # Errors
/// As [`ask`].
pub(super) fn command(below: &impl Below, call: &Call) -> Result<[u32; 6], Status> {
    match ask(below, call)? {
        Call::Success32 { results, .. } => Ok(results),
        _ => Err(Status::Aborted),
    }
}

/// Is a pair of RX and TX buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buffers {
    /// What its owner writes.
    pub tx: PageRange<Pa>,
    /// What its owner reads.
    pub rx: PageRange<Pa>,
}

/// Returns where `length` bytes begin at `offset` of a buffer, if they lie in it.
pub(super) fn within(buffer: &PageRange<Pa>, offset: u64, length: usize) -> Result<Pa, Status> {
    let end = u64::try_from(length).ok().and_then(|length| offset.checked_add(length));
    match (end, buffer.start().checked_add(offset)) {
        (Some(end), Some(start)) if end <= buffer.size() => Ok(start),
        _ => Err(Status::InvalidParameters),
    }
}

/// Copies bytes at `offset` of a buffer, once.
///
/// # Errors
/// INVALID_PARAMETERS if they do not lie in it, ABORTED if there is no memory.
pub(super) fn read(
    below: &impl PhysicalMemory,
    buffer: &PageRange<Pa>,
    offset: u64,
    to: &mut [u8],
) -> Result<(), Status> {
    let from = within(buffer, offset, to.len())?;
    below.read(from, to).map_err(|_| Status::Aborted)
}

/// Writes bytes at `offset` of a buffer.
///
/// # Errors
/// As [`read`].
pub(super) fn write(
    below: &impl PhysicalMemory,
    buffer: &PageRange<Pa>,
    offset: u64,
    from: &[u8],
) -> Result<(), Status> {
    let to = within(buffer, offset, from.len())?;
    below.write(to, from).map_err(|_| Status::Aborted)
}

/// Refuses a parameter unless `holds`.
pub(super) fn valid(holds: bool) -> Result<(), Status> {
    if holds { Ok(()) } else { Err(Status::InvalidParameters) }
}

/// Refuses a caller unless `holds`.
pub(super) fn permitted(holds: bool) -> Result<(), Status> {
    if holds { Ok(()) } else { Err(Status::Denied) }
}
