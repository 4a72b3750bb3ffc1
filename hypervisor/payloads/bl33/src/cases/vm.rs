//! VMs whose hypervisor this suite is: their buffers, indirect messages, and requests in their names.

use tantalum_ffa::{Call, PartitionProperties, Status, Version, function as f};
use tantalum_types::EndpointId;

use crate::endpoint::{ECHO, ECHO_SPARE, IRQ, NOBODY, SELF};
use crate::machine::memory::Pages;
use crate::mailbox::{Mailbox, map};
use crate::test::{Case, Test, cases, registers};

pub(crate) const CASES: &[Case] = cases![
    vm_buffers,
    vm_buffers_refused,
    vm_buffers_taken,
    vm_rx_ownership,
    vm_rx_acquire_refused,
    message_refused_without_buffers,
    message_refused,
    message_to_partition,
];

const VM: EndpointId = EndpointId::new(5);
const OTHER_VM: EndpointId = EndpointId::new(6);

/// The forwarded form: the addresses are in the TX buffer.
const FORWARDED: Call = map(0, 0, 0);

fn there(t: &Test) -> bool {
    t.since(Version::V1_1, f::RX_ACQUIRE)
}

/// Is the description of a VM's buffers.
#[derive(Clone)]
struct Buffers {
    endpoint: EndpointId,
    rx_offset: u32,
    tx_offset: u32,
    rx: (u64, u32),
    tx: (u64, u32),
}

impl Buffers {
    /// Describes two pages for a VM.
    fn new(endpoint: EndpointId, page: usize) -> Self {
        let address = |number| Pages::at(number, 1).address();
        Self { endpoint, rx_offset: 16, tx_offset: 48, rx: (address(page), 1), tx: (address(page + 1), 1) }
    }

    /// Writes it to the TX buffer and makes the call.
    fn forward(&self, mailbox: &Mailbox<'_>) {
        mailbox.tx.fill(0);
        mailbox.tx.write(0, &self.endpoint.raw().to_le_bytes());
        mailbox.tx.write(4, &self.rx_offset.to_le_bytes());
        mailbox.tx.write(8, &self.tx_offset.to_le_bytes());
        for (at, (address, pages)) in [(16, self.rx), (48, self.tx)] {
            mailbox.tx.write(at, &pages.to_le_bytes());
            mailbox.tx.write(at + 4, &1_u32.to_le_bytes());
            mailbox.tx.write(at + 16, &address.to_le_bytes());
            mailbox.tx.write(at + 24, &pages.to_le_bytes());
        }
    }
}

fn unmap(endpoint: EndpointId) -> Call {
    Call::RxtxUnmap { endpoint }
}

fn vm_buffers(t: &Test) {
    if !there(t) {
        return;
    }
    t.refused(&unmap(VM), Status::InvalidParameters);
    let mailbox = Mailbox::new(t);
    for _ in 0..2 {
        Buffers::new(VM, 128).forward(&mailbox);
        t.succeeds(&FORWARDED);
        t.refused(&FORWARDED, Status::Denied);
        Buffers::new(OTHER_VM, 130).forward(&mailbox);
        t.succeeds(&FORWARDED);
        t.succeeds(&unmap(VM));
        t.refused(&unmap(VM), Status::InvalidParameters);
        t.succeeds(&unmap(OTHER_VM));
    }
}

fn vm_buffers_refused(t: &Test) {
    if !there(t) {
        return;
    }
    t.check(t.call(&FORWARDED).0[0] == f::ERROR.into(), format_args!("without a TX buffer it is taken"));
    let mailbox = Mailbox::new(t);
    let good = Buffers::new(VM, 128);
    for bad in [
        Buffers { endpoint: SELF, ..good.clone() },
        Buffers { endpoint: ECHO, ..good.clone() },
        Buffers { endpoint: NOBODY, ..good.clone() },
        Buffers { endpoint: EndpointId::SPMC, ..good.clone() },
        Buffers { rx_offset: 4, ..good.clone() },
        Buffers { rx_offset: 17, ..good.clone() },
        Buffers { tx_offset: 4095, ..good.clone() },
        Buffers { tx_offset: 4080, ..good.clone() },
        Buffers { rx_offset: u32::MAX, ..good.clone() },
        Buffers { rx_offset: 0xffff_fff8, ..good.clone() },
        Buffers { tx_offset: 4096, ..good.clone() },
        Buffers { rx: (0x0e10_0000, 1), ..good.clone() },
        Buffers { tx: (0x0e30_0000, 1), ..good.clone() },
        Buffers { tx: (0x0900_0000, 1), ..good.clone() },
        Buffers { rx: (good.rx.0 + 8, 1), ..good.clone() },
        Buffers { rx: (good.rx.0, 0), ..good.clone() },
        Buffers { rx: good.tx, ..good.clone() },
    ] {
        bad.forward(&mailbox);
        t.refused(&FORWARDED, Status::InvalidParameters);
    }
    t.refused(&unmap(VM), Status::InvalidParameters);
}

/// A page is the buffer of one endpoint.
fn vm_buffers_taken(t: &Test) {
    if !there(t) {
        return;
    }
    let mailbox = Mailbox::new(t);
    Buffers::new(VM, 128).forward(&mailbox);
    t.succeeds(&FORWARDED);
    for taken in [128, 129] {
        Buffers { tx: (Pages::at(taken, 1).address(), 1), ..Buffers::new(OTHER_VM, 140) }.forward(&mailbox);
        t.refused(&FORWARDED, Status::Denied);
    }
    for own in [mailbox.tx, mailbox.rx] {
        Buffers { rx: (own.address(), 1), ..Buffers::new(OTHER_VM, 140) }.forward(&mailbox);
        t.refused(&FORWARDED, Status::Denied);
    }
    t.succeeds(&unmap(VM));
}

fn vm_rx_ownership(t: &Test) {
    if !there(t) {
        return;
    }
    let mailbox = Mailbox::new(t);
    Buffers::new(VM, 128).forward(&mailbox);
    t.succeeds(&FORWARDED);
    let (acquire, release) = (Call::RxAcquire { endpoint: VM }, Call::RxRelease { endpoint: VM });
    t.refused(&release, Status::Denied);
    for _ in 0..2 {
        t.succeeds(&acquire);
        t.refused(&acquire, Status::Denied);
        t.succeeds(&release);
        t.refused(&release, Status::Denied);
    }
    t.succeeds(&unmap(VM));
    t.refused(&acquire, Status::InvalidParameters);
    t.refused(&release, Status::InvalidParameters);
}

fn vm_rx_acquire_refused(t: &Test) {
    if !there(t) {
        return;
    }
    for endpoint in [VM, OTHER_VM, ECHO, NOBODY, EndpointId::SPMC] {
        t.refused(&Call::RxAcquire { endpoint }, Status::InvalidParameters);
    }
    for bit in 16..32 {
        t.refused_raw(&registers(f::RX_ACQUIRE, [5 | 1 << bit]), Status::InvalidParameters);
    }
    t.lets_fail(ECHO, [f::RX_ACQUIRE, 5, 0, 0], Status::NotSupported);
}

const SEND: Call = Call::MsgSend2 { sender: SELF, flags: 0 };

/// Writes the header of a message in the caller's layout.
fn message(t: &Test, mailbox: &Mailbox<'_>, ids: (EndpointId, EndpointId), offset: u32, size: u32) {
    mailbox.tx.fill(0);
    mailbox.tx.write(8, &offset.to_le_bytes());
    let (sender, receiver) = ids;
    mailbox.tx.write(12, &receiver.raw().to_le_bytes());
    mailbox.tx.write(14, &sender.raw().to_le_bytes());
    mailbox.tx.write(16, &size.to_le_bytes());
    let _ = t;
}

/// Returns the offset at which messages usually begin.
fn usual(t: &Test) -> u32 {
    if t.version() >= Version::V1_2 { 40 } else { 24 }
}

fn message_refused_without_buffers(t: &Test) {
    if !t.since(Version::V1_1, f::MSG_SEND2) {
        return;
    }
    t.refused(&SEND, Status::Denied);
    t.refused(&Call::MsgSend2 { sender: VM, flags: 0 }, Status::InvalidParameters);
}

fn message_refused(t: &Test) {
    if !t.since(Version::V1_1, f::MSG_SEND2) {
        return;
    }
    let mailbox = Mailbox::new(t);
    let offset = usual(t);
    for (ids, offset, size) in [
        ((ECHO, IRQ), offset, 8),
        ((VM, ECHO), offset, 8),
        ((SELF, SELF), offset, 8),
        ((SELF, NOBODY), offset, 8),
        ((SELF, EndpointId::SPMC), offset, 8),
        ((SELF, VM), offset, 8),
        ((SELF, ECHO), 0, 8),
        ((SELF, ECHO), 16, 8),
    ] {
        message(t, &mailbox, ids, offset, size);
        t.refused(&SEND, Status::InvalidParameters);
    }
    message(t, &mailbox, (SELF, ECHO), offset, 8);
    for sender in [ECHO, EndpointId::SPMC] {
        t.refused(&Call::MsgSend2 { sender, flags: 0 }, Status::InvalidParameters);
    }
    for bit in 0..16 {
        t.refused_raw(&registers(f::MSG_SEND2, [1 << bit, 0]), Status::InvalidParameters);
    }
    for bit in (0..32).filter(|bit| *bit != 1) {
        t.refused_raw(&registers(f::MSG_SEND2, [0, 1 << bit]), Status::InvalidParameters);
    }
}

/// A partition that takes messages gets one at a time.
fn message_to_partition(t: &Test) {
    if !t.since(Version::V1_1, f::MSG_SEND2) {
        return;
    }
    let takes = t.properties(ECHO).contains(PartitionProperties::INDIRECT);
    let mailbox = Mailbox::new(t);
    let offset = usual(t);
    message(t, &mailbox, (SELF, ECHO), offset, 8);
    if !takes {
        t.refused(&SEND, Status::Denied);
        return;
    }
    for size in [4096 - offset + 1, 4096, u32::MAX, u32::MAX - offset] {
        message(t, &mailbox, (SELF, ECHO), offset, size);
        t.refused(&SEND, Status::InvalidParameters);
    }
    message(t, &mailbox, (SELF, ECHO), 4096, 8);
    t.refused(&SEND, Status::InvalidParameters);

    message(t, &mailbox, (SELF, ECHO), offset, 8);
    t.refused(&SEND, Status::Denied);
    t.lets_succeed(ECHO, [f::RXTX_MAP_32, ECHO_SPARE, ECHO_SPARE + 0x1000, 1]);
    for _ in 0..2 {
        t.succeeds(&SEND);
        t.refused(&SEND, Status::Busy);
        // What it has not been told of is not its own yet. It is told before it waits, and to wait is to release.
        t.lets_fail(ECHO, [f::RX_RELEASE, 0, 0, 0], Status::Denied);
    }
    t.lets_fail(ECHO, [f::RX_RELEASE, 0, 0, 0], Status::Denied);
    t.lets_succeed(ECHO, [f::RXTX_UNMAP, 0, 0, 0]);
    t.refused(&SEND, Status::Denied);
    // That there was a message has been told; whether it still was news then is the SPMC's affair.
    _ = t.call(&Call::NotificationInfoGet { width: tantalum_ffa::Width::Bits64 });
}
