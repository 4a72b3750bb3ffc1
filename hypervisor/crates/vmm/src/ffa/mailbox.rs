//! RX/TX buffers of virtual machines, and what goes through them (FF-A 1.1, chapter 7 and section 13.6 to 13.8).

use tantalum_ffa::{
    BufferDescription, Call, EndpointBuffers, PartitionInfo, Status, Uuid, Version, Width, answer,
};
use tantalum_types::{CallRegisters, EndpointId, Ipa, PAGE_SIZE, PageRange};

use super::below::{Below, Buffers, VmMemory, ask, command, permitted, read, valid, write};
use super::{Caller, Relay, Vm, VmBuffers};

/// Bounds the pages of a buffer, as the SPMC does.
const MAX_BUFFER_PAGES: u32 = 16;

/// Places of the two descriptions behind the descriptor.
const RX_OFFSET: u32 = 16;
const TX_OFFSET: u32 = 48;

/// Makes the SPMC describe partitions, and calls `each` for every one of them.
///
/// `own` are the hypervisor's buffers, of which the caller has the lock.
pub(super) fn describe(
    own: Buffers,
    uuid: &Uuid,
    below: &impl Below,
    mut each: impl FnMut(&PartitionInfo) -> Result<(), Status>,
) -> Result<u32, Status> {
    let [count, ..] = command(below, &Call::PartitionInfoGet { uuid: *uuid, count_only: false })?;
    let size = u64::try_from(PartitionInfo::SIZE).map_err(|_| Status::Aborted)?;
    let described = (0..u64::from(count)).try_for_each(|index| {
        let mut record = [0; PartitionInfo::SIZE];
        read(below, &own.rx, index.saturating_mul(size), &mut record)?;
        each(&PartitionInfo::decode(&record).ok_or(Status::Aborted)?)
    });
    let released = command(below, &Call::RxRelease { endpoint: EndpointId::HYPERVISOR });
    described.and(released).map(|_| count)
}

impl Relay {
    pub(super) fn mailbox_call(
        &self,
        caller: Caller,
        vm: &mut Vm,
        call: &Call,
        below: &impl Below,
        memory: &impl VmMemory,
    ) -> Result<CallRegisters, Status> {
        let id = caller.id();
        match *call {
            Call::RxtxMap { tx, rx, page_count, .. } => {
                self.map(caller, vm, [tx, rx], page_count, below, memory)?;
            }
            Call::RxtxUnmap { endpoint } => {
                valid(endpoint == EndpointId::HYPERVISOR && vm.buffers.is_some())?;
                command(below, &Call::RxtxUnmap { endpoint: id })?;
                vm.ledger.remove_buffers();
                vm.buffers = None;
            }
            Call::RxRelease { endpoint } => {
                // In FF-A 1.0 the field is reserved; since then it is the hypervisor's.
                valid(endpoint == EndpointId::HYPERVISOR)?;
                permitted(vm.buffers.is_some())?;
                command(below, &Call::RxRelease { endpoint: id })?;
            }
            Call::MsgSend2 { sender, flags } => {
                valid(sender == EndpointId::HYPERVISOR && flags == 0)?;
                permitted(vm.buffers.is_some())?;
                command(below, &Call::MsgSend2 { sender: id, flags })?;
            }
            Call::PartitionInfoGet { ref uuid, count_only: true } => {
                let results = command(below, &Call::PartitionInfoGet { uuid: *uuid, count_only: true })?;
                return Ok(answer::success32(results));
            }
            Call::PartitionInfoGet { ref uuid, count_only: false } => {
                return self.partition_info(caller, vm, uuid, below);
            }
            _ => return Err(Status::NotSupported),
        }
        Ok(answer::success())
    }

    /// Takes the buffers of a virtual machine, and hands them to the SPMC under its id.
    fn map(
        &self,
        caller: Caller,
        vm: &mut Vm,
        [tx, rx]: [u64; 2],
        page_count: u32,
        below: &impl Below,
        memory: &impl VmMemory,
    ) -> Result<(), Status> {
        valid((1..=MAX_BUFFER_PAGES).contains(&page_count))?;
        let pages = |address| {
            let pages = PageRange::new(Ipa::non_secure(address), page_count.into());
            pages.map_err(|_| Status::InvalidParameters)
        };
        let (tx, rx) = (pages(tx)?, pages(rx)?);
        valid(!tx.overlaps(&rx))?;
        permitted(vm.buffers.is_none())?;
        let place = |pages| memory.physical(caller.vm, pages).ok_or(Status::InvalidParameters);
        let physical = Buffers { tx: place(&tx)?, rx: place(&rx)? };
        let own = self.own.lock();
        let own = own.as_ref().ok_or(Status::NotSupported)?;
        vm.ledger.add_buffers(tx, rx)?;
        let descriptor =
            EndpointBuffers { endpoint: caller.id(), rx_offset: RX_OFFSET, tx_offset: TX_OFFSET };
        let description = |buffer: &PageRange<_>| {
            BufferDescription { address: tantalum_types::Address::raw(buffer.start()), page_count }.encode()
        };
        let written = write(below, &own.tx, 0, &descriptor.encode())
            .and_then(|()| write(below, &own.tx, RX_OFFSET.into(), &description(&physical.rx)))
            .and_then(|()| write(below, &own.tx, TX_OFFSET.into(), &description(&physical.tx)));
        let forwarded = Call::RxtxMap { width: Width::Bits64, tx: 0, rx: 0, page_count: 0 };
        written.and_then(|()| command(below, &forwarded)).inspect_err(|_| vm.ledger.remove_buffers())?;
        vm.buffers = Some(VmBuffers { physical });
        Ok(())
    }

    /// Describes partitions in the RX buffer of a virtual machine, which the hypervisor fills as the SPMC would.
    fn partition_info(
        &self,
        caller: Caller,
        vm: &Vm,
        uuid: &Uuid,
        below: &impl Below,
    ) -> Result<CallRegisters, Status> {
        let version = vm.negotiation.version();
        let rx = vm.buffers.ok_or(Status::Denied)?.physical.rx;
        let own = self.own.lock();
        let own = own.as_ref().ok_or(Status::NotSupported)?;
        ask(below, &Call::RxAcquire { endpoint: caller.id() }).map_err(|status| match status {
            // It has not released what is in there.
            Status::Denied => Status::Busy,
            other => other,
        })?;
        let mut at = 0_u64;
        let described = describe(*own, uuid, below, |info| {
            let record = info.encode(version, uuid.is_nil());
            write(below, &rx, at, record.as_bytes()).map_err(|status| match status {
                Status::InvalidParameters => Status::NoMemory,
                other => other,
            })?;
            at = at.saturating_add(u64::try_from(record.as_bytes().len()).unwrap_or(0));
            Ok(())
        });
        let cleared = described.and_then(|count| clear(below, &rx, at).map(|()| count));
        match cleared {
            Ok(count) => {
                let size = u32::try_from(PartitionInfo::SIZE).unwrap_or(0);
                let size = if version == Version::V1_0 { 0 } else { size };
                Ok(answer::success32([count, size, 0, 0, 0, 0]))
            }
            Err(status) => {
                // Nothing was delivered.
                let _ = command(below, &Call::RxRelease { endpoint: caller.id() });
                Err(status)
            }
        }
    }
}

/// Writes zeros behind what was delivered: what was there before is nobody's business.
fn clear(below: &impl Below, rx: &PageRange<tantalum_types::Pa>, from: u64) -> Result<(), Status> {
    const ZEROS: [u8; 64] = [0; 64];
    let end = rx.size().max(PAGE_SIZE);
    let mut at = from;
    while at < end {
        let length = usize::try_from(end.saturating_sub(at)).unwrap_or(64).min(64);
        write(below, rx, at, ZEROS.get(..length).unwrap_or(&ZEROS))?;
        at = at.saturating_add(64);
    }
    Ok(())
}
