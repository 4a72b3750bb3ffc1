//! Memory that virtual machines donate, lend and share (DEN0140, sections 2.1 to 2.3, 2.6 to 2.8).
//!
//! A descriptor is read once, checked, and written anew with physical addresses into the hypervisor's TX buffer, fragment
//! by fragment as it comes. Before the SPMC gets to know of pages that their owner is not to reach any more, they are
//! taken from it; they are given back when the SPMC has ended the transaction, and not before.

use heapless::Vec;
use tantalum_ffa::memory::{Constituent, Handle, Layout, Transaction, TransactionKind};
use tantalum_ffa::{Call, MemoryTransaction, Status, Width, answer};
use tantalum_types::{CallRegisters, EndpointId, Ipa, PageRange, VmIndex};

use super::below::{Below, Buffers, VmMemory, command, permitted, read, valid, write};
use super::ledger::{Arriving, Ledger, MAX_RANGES, Share, Slot};
use super::{Caller, Relay, Vm, endpoint_of};

/// Bounds the bytes in which the head of a descriptor has to be: all of it but its ranges.
const HEAD_SIZE: usize = 512;

/// Counts the bytes of a range.
const RANGE: u32 = 16;

/// Is the layout in which the hypervisor writes descriptors.
const LAYOUT: Layout = Layout::V1_1;

/// Holds ranges with physical addresses.
type Ranges = Vec<[u8; Constituent::SIZE], MAX_RANGES>;

/// Is what one step of a transaction needs.
struct Step<'a, B, M> {
    vm: VmIndex,
    /// Where the virtual machine writes fragments.
    from: Buffers,
    own: &'a Buffers,
    below: &'a B,
    memory: &'a M,
}

impl Relay {
    pub(super) fn memory_call(
        &self,
        caller: Caller,
        vm: &mut Vm,
        call: &Call,
        below: &impl Below,
        memory: &impl VmMemory,
    ) -> Result<CallRegisters, Status> {
        if let Call::MemReclaim { handle, flags } = *call {
            return reclaim(caller.vm, &mut vm.ledger, Handle::new(handle), flags, below, memory);
        }
        let from = vm.buffers.ok_or(Status::Denied)?.physical;
        let own = self.own.lock();
        let own = own.as_ref().ok_or(Status::NotSupported)?;
        let step = Step { vm: caller.vm, from, own, below, memory };
        let layout = Layout::of_version(vm.negotiation.version());
        match *call {
            Call::MemDonate(transaction) => {
                step.send(&mut vm.ledger, layout, TransactionKind::Donate, &transaction)
            }
            Call::MemLend(transaction) => {
                step.send(&mut vm.ledger, layout, TransactionKind::Lend, &transaction)
            }
            Call::MemShare(transaction) => {
                step.send(&mut vm.ledger, layout, TransactionKind::Share, &transaction)
            }
            Call::MemFragTx { handle, length, endpoint } => {
                valid(endpoint == EndpointId::HYPERVISOR)?;
                step.send_on(&mut vm.ledger, Handle::new(handle), length)
            }
            _ => Err(Status::NotSupported),
        }
    }
}

impl<B: Below, M: VmMemory> Step<'_, B, M> {
    /// Begins a transaction with the first fragment of its descriptor.
    ///
    /// # Errors
    /// INVALID_PARAMETERS if the descriptor is not as it should be or a receiver is no partition; DENIED if the sender is
    /// another, or a page is not the virtual machine's or not its alone; NO_MEMORY if it has too many transactions,
    /// ranges or tables; otherwise as the SPMC says. Nothing has changed then.
    fn send(
        &self,
        ledger: &mut Ledger,
        layout: Layout,
        kind: TransactionKind,
        call: &MemoryTransaction,
    ) -> Result<CallRegisters, Status> {
        // Only the TX buffer carries descriptors.
        valid(call.address == 0 && call.page_count == 0)?;
        valid(call.fragment_length <= call.total_length)?;
        let mut head = [0; HEAD_SIZE];
        let length = usize::try_from(call.fragment_length).unwrap_or(usize::MAX).min(HEAD_SIZE);
        let head = head.get_mut(..length).unwrap_or_default();
        read(self.below, &self.from.tx, 0, head)?;
        let decoded = Transaction::decode(layout, head)?;
        valid(decoded.total_length == call.total_length)?;
        let ranges_at = u32::try_from(length.saturating_sub(decoded.constituents.len()))
            .map_err(|_| Status::InvalidParameters)?;
        let offer = decoded.transaction;
        permitted(offer.sender == endpoint_of(self.vm))?;
        valid(offer.receivers.iter().all(|receiver| receiver.endpoint.is_secure()))?;
        let composite = offer.composite.ok_or(Status::InvalidParameters)?;

        let mut written = [0; HEAD_SIZE];
        let head_length = offer.encode(LAYOUT, &mut written)?;
        let total_length = offer.total_length(LAYOUT)?;
        let written = written.get(..head_length).unwrap_or_default();

        let arriving = Arriving { total_length: call.total_length, received: call.fragment_length };
        let share = Share { kind, handle: Handle::NONE, arriving: Some(arriving) };
        let slot = ledger.begin(share, composite.range_count)?;
        let fragment = ranges_at..call.fragment_length;
        let prepared = self.take_ranges(ledger, slot, fragment).and_then(|ranges| {
            write(self.below, &self.own.tx, 0, written)?;
            let fragment_length = self.write_ranges(head_length, &ranges)?;
            let transaction = MemoryTransaction {
                width: Width::Bits32,
                total_length,
                fragment_length,
                address: 0,
                page_count: 0,
            };
            Ok(match kind {
                TransactionKind::Donate => Call::MemDonate(transaction),
                TransactionKind::Lend => Call::MemLend(transaction),
                TransactionKind::Share => Call::MemShare(transaction),
            })
        });
        let prepared = prepared.inspect_err(|_| self.undo(ledger, slot))?;
        self.proceed(ledger, slot, &prepared)
    }

    /// Goes on with the next fragment.
    ///
    /// # Errors
    /// INVALID_PARAMETERS if there is no such transaction with fragments to come. Every other error ends the transaction:
    /// INVALID_PARAMETERS if the fragment is not what is left; otherwise as [`Self::send`].
    fn send_on(&self, ledger: &mut Ledger, handle: Handle, length: u32) -> Result<CallRegisters, Status> {
        let slot = ledger.find(handle).ok_or(Status::InvalidParameters)?;
        let share = ledger.share_mut(slot).ok_or(Status::InvalidParameters)?;
        let arriving = share.arriving.as_mut().ok_or(Status::InvalidParameters)?;
        arriving.received = arriving.received.saturating_add(length);
        let fits = length > 0 && arriving.received <= arriving.total_length;
        let prepared = valid(fits)
            .and_then(|()| self.take_ranges(ledger, slot, 0..length))
            .and_then(|ranges| self.write_ranges(0, &ranges));
        let length = prepared.inspect_err(|_| {
            // It was not offered to anybody yet, and is not going to be.
            let given_up = command(self.below, &Call::MemReclaim { handle: handle.raw(), flags: 0 });
            if given_up.is_ok() {
                self.undo(ledger, slot);
            }
        })?;
        let endpoint = endpoint_of(self.vm);
        self.proceed(ledger, slot, &Call::MemFragTx { handle: handle.raw(), length, endpoint })
    }

    /// Makes a call that carries a fragment to the SPMC, and answers as it does: asks for the next one, or says that all
    /// is done.
    ///
    /// # Errors
    /// As the SPMC says, which has ended the transaction then; ABORTED if what it says makes no sense. In that case
    /// nothing is given back, since nobody knows who has it.
    fn proceed(&self, ledger: &mut Ledger, slot: Slot, call: &Call) -> Result<CallRegisters, Status> {
        let answer = Call::decode(&self.below.call(&call.encode())).map_err(|_| Status::Aborted)?;
        let share = ledger.share_mut(slot).ok_or(Status::Aborted)?;
        let left = share.arriving.filter(|arriving| arriving.received < arriving.total_length);
        match (answer, left) {
            (Call::Success32 { results: [low, high, ..], .. }, None) => {
                share.handle = Handle::from_words(low, high);
                share.arriving = None;
                Ok(answer::success32([low, high, 0, 0, 0, 0]))
            }
            (Call::MemFragRx { handle, .. }, Some(arriving)) => {
                share.handle = Handle::new(handle);
                let offset = arriving.received;
                Ok(Call::MemFragRx { handle, offset, endpoint: EndpointId::HYPERVISOR }.encode())
            }
            (Call::Error { status, .. }, _) => {
                self.undo(ledger, slot);
                Err(status)
            }
            _ => Err(Status::Aborted),
        }
    }

    /// Reads the ranges in the bytes `fragment` of the virtual machine's TX buffer, each once, enters them into the
    /// ledger, takes them from it if it is not to reach them, and returns where they are.
    fn take_ranges(
        &self,
        ledger: &mut Ledger,
        slot: Slot,
        fragment: core::ops::Range<u32>,
    ) -> Result<Ranges, Status> {
        let mut ranges = Ranges::new();
        let length = fragment.end.saturating_sub(fragment.start);
        valid(length.is_multiple_of(RANGE))?;
        let taken = ledger.share(slot).is_some_and(Share::is_taken);
        for index in 0..length / RANGE {
            let mut bytes = [0; Constituent::SIZE];
            let at = fragment.start.saturating_add(index.saturating_mul(RANGE));
            read(self.below, &self.from.tx, at.into(), &mut bytes)?;
            let range = Constituent::decode(&bytes)?;
            let pages = PageRange::new(Ipa::non_secure(range.address), range.page_count.into())
                .map_err(|_| Status::Denied)?;
            let physical = self.memory.physical(self.vm, &pages).ok_or(Status::Denied)?;
            let range = Constituent { address: physical.start().raw(), page_count: range.page_count };
            ranges.push(range.encode()).map_err(|_| Status::NoMemory)?;
            ledger.add(slot, pages)?;
            if taken {
                self.memory.take(self.vm, &pages).inspect_err(|_| ledger.forget(&pages))?;
            }
        }
        Ok(ranges)
    }

    /// Writes ranges into the hypervisor's TX buffer behind `head` bytes, and returns the length of all.
    fn write_ranges(&self, head: usize, ranges: &Ranges) -> Result<u32, Status> {
        let mut at = u64::try_from(head).map_err(|_| Status::NoMemory)?;
        for range in ranges {
            write(self.below, &self.own.tx, at, range)?;
            at = at.saturating_add(RANGE.into());
        }
        u32::try_from(at).map_err(|_| Status::NoMemory)
    }

    /// Ends a transaction that the SPMC does not know of.
    fn undo(&self, ledger: &mut Ledger, slot: Slot) {
        give_back(self.vm, ledger, slot, self.memory);
    }
}

/// Takes memory back, or gives up a transaction of which fragments are still to come.
///
/// # Errors
/// INVALID_PARAMETERS if the virtual machine has no such transaction; otherwise as the SPMC says.
fn reclaim(
    vm: VmIndex,
    ledger: &mut Ledger,
    handle: Handle,
    flags: u32,
    below: &impl Below,
    memory: &impl VmMemory,
) -> Result<CallRegisters, Status> {
    let slot = ledger.find(handle).ok_or(Status::InvalidParameters)?;
    let share = *ledger.share(slot).ok_or(Status::InvalidParameters)?;
    match command(below, &Call::MemReclaim { handle: handle.raw(), flags }) {
        Ok(_) => {
            give_back(vm, ledger, slot, memory);
            Ok(answer::success())
        }
        Err(Status::InvalidParameters) if flags == 0 && share.kind == TransactionKind::Donate => {
            // Its receiver has it for good, so the transaction has ended.
            ledger.give_up(slot);
            Err(Status::InvalidParameters)
        }
        Err(status) => Err(status),
    }
}

/// Ends a transaction that the SPMC has ended: everything is its owner's again.
fn give_back(vm: VmIndex, ledger: &mut Ledger, slot: Slot, memory: &impl VmMemory) {
    if ledger.share(slot).is_some_and(Share::is_taken) {
        for pages in ledger.pages(slot) {
            memory.give_back(vm, &pages);
        }
    }
    ledger.end(slot);
}

/// Takes everything back that partitions do not have any more.
pub(super) fn take_all_back(vm: VmIndex, ledger: &mut Ledger, below: &impl Below, memory: &impl VmMemory) {
    for slot in ledger.slots() {
        if let Some(share) = ledger.share(slot).copied() {
            let _ = reclaim(vm, ledger, share.handle, 0, below, memory);
        }
    }
}
