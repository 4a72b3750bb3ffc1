//! The descriptor that answers a retrieve request, in the caller's RX buffer, fragment by fragment.

use tantalum_ffa::memory::{Constituent, Layout, Transaction, encode_constituents};
use tantalum_ffa::{Call, Status};
use tantalum_hal::PhysicalMemory;
use tantalum_types::CallRegisters;

use super::RANGES_AT_A_TIME;
use super::ledger::Ledger;
use super::record::Share;
use crate::mailbox::Mailbox;

/// Bounds the part of an answer in front of its ranges in bytes.
const ANSWER_HEAD_SIZE: usize = 256;

/// Counts the bytes of a range.
const RANGE_SIZE: u32 = 16;

/// The same as a wider number.
const RANGE_SIZE_64: u64 = 16;

/// Is a fragment that was written into an RX buffer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fragment {
    /// The bytes of the fragment.
    pub length: u32,
    /// The number of ranges that the caller knows of then.
    pub told: u16,
}

/// Writes the first fragment of `answer` into the RX buffer, which is free. The caller owns it once
/// [`Mailbox::hand_over`] is called.
///
/// # Errors
/// ABORTED if the buffer cannot be written, NO_MEMORY if it is too small.
pub(super) fn write_first(
    ledger: &Ledger,
    share: &Share,
    answer: &Transaction,
    layout: Layout,
    mailbox: &Mailbox,
    memory: &impl PhysicalMemory,
) -> Result<Fragment, Status> {
    let mut head = [0; ANSWER_HEAD_SIZE];
    let length = answer.encode(layout, &mut head)?;
    let head = head.get(..length).unwrap_or_default();
    mailbox.write_rx(0, head, memory)?;
    write_ranges(ledger, share, 0, u32::try_from(length).unwrap_or(u32::MAX), mailbox, memory)
}

/// Writes a further fragment, which begins with range `from`.
///
/// # Errors
/// As [`write_first`].
pub(super) fn write_next(
    ledger: &Ledger,
    share: &Share,
    from: u16,
    mailbox: &Mailbox,
    memory: &impl PhysicalMemory,
) -> Result<Fragment, Status> {
    write_ranges(ledger, share, from, 0, mailbox, memory)
}

/// Writes ranges from `from` on behind the first `at` bytes of the RX buffer, as many as fit.
fn write_ranges(
    ledger: &Ledger,
    share: &Share,
    from: u16,
    at: u32,
    mailbox: &Mailbox,
    memory: &impl PhysicalMemory,
) -> Result<Fragment, Status> {
    let room = mailbox.rx_size().saturating_sub(at.into()) / RANGE_SIZE_64;
    let fits = usize::try_from(room).unwrap_or(usize::MAX);
    let mut ranges = ledger.ranges(share).skip(from.into()).take(fits).map(|range| Constituent {
        address: range.start().raw(),
        // It was taken from such a count.
        page_count: u32::try_from(range.page_count()).unwrap_or(u32::MAX),
    });
    let mut length = at;
    loop {
        let mut bytes = [0; RANGES_AT_A_TIME.saturating_mul(Constituent::SIZE)];
        let size = encode_constituents(&mut ranges, &mut bytes);
        let Some(bytes) = bytes.get(..size).filter(|bytes| !bytes.is_empty()) else { break };
        mailbox.write_rx(length.into(), bytes, memory)?;
        length = length.saturating_add(u32::try_from(size).unwrap_or(u32::MAX));
    }
    let count = length.saturating_sub(at) / RANGE_SIZE;
    Ok(Fragment { length, told: from.saturating_add(u16::try_from(count).unwrap_or(u16::MAX)) })
}

/// Returns where the fragment begins whose first range is `told`, in a descriptor of `total_length` bytes.
pub(super) fn offset_of(share: &Share, told: u16, total_length: u32) -> u32 {
    let left = share.composite.range_count.saturating_sub(told.into());
    total_length.saturating_sub(left.saturating_mul(RANGE_SIZE))
}

/// Answers that the first fragment is in the RX buffer.
pub(super) fn retrieve_response(total_length: u32, fragment: Fragment) -> CallRegisters {
    Call::MemRetrieveResponse { total_length, fragment_length: fragment.length }.encode()
}
