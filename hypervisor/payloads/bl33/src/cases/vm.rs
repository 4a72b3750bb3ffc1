//! VMs whose hypervisor this suite is: their buffers, indirect messages, and requests in their names.

use tantalum_ffa::{Call, PartitionProperties, Status, Version, function as f};
use tantalum_types::EndpointId;

use crate::endpoint::{ECHO, IRQ, NOBODY, RELAY, SELF, checksum, command, pattern};
use crate::machine::interrupts::{self, SCHEDULE_RECEIVER};
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
    message_too_long,
    message_from_vm,
    message_from_partition,
    vm_buffers_run_out,
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
    t.refused(&FORWARDED, Status::Denied);
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

/// Returns x4 of a word with two endpoints.
fn ids((sender, receiver): (EndpointId, EndpointId)) -> u64 {
    u64::from(sender.raw()) << 16 | u64::from(receiver.raw())
}

/// Asserts what has arrived at a partition, which is told so by the framework: a message of the seed `seed`.
///
/// It is told while it is at work. Who is told while it waits, and waits on, has given the message back.
#[track_caller]
fn has_received(t: &Test, partition: EndpointId, from: EndpointId, seed: u64, size: usize) {
    let noted = t.tells(partition, command::NOTED, [0; 4]);
    t.check(noted == [1, 0, 0, 1], format_args!("{partition} has noted {noted:x?}"));
    let [code, place, got_size, sum] = t.tells(partition, command::RECEIVE, [0; 4]);
    t.equal("code of the partition", code, 0);
    t.equal("sender and receiver", place & 0xffff_ffff, ids((from, partition)));
    // Where a message begins that is for a caller of the partition's version.
    t.equal("place of the message", place >> 32, if partition == ECHO { 40 } else { 24 });
    t.equal("size of the message", got_size, size as u64);
    t.equal("checksum of the message", sum, checksum(seed, size));
}

/// Writes a whole message.
fn write_message(
    t: &Test,
    mailbox: &Mailbox<'_>,
    ids: (EndpointId, EndpointId),
    offset: u32,
    seed: u64,
    size: usize,
) {
    message(t, mailbox, ids, offset, size as u32);
    for index in 0..size {
        mailbox.tx.write(offset as usize + index, &[pattern(seed, index)]);
    }
}

/// A partition that takes messages gets one at a time, all of it and as it was sent.
fn message_to_partition(t: &Test) {
    if !t.since(Version::V1_1, f::MSG_SEND2) {
        return;
    }
    let mailbox = Mailbox::new(t);
    let offset = usual(t);
    for size in [4096 - offset + 1, 4096, u32::MAX, u32::MAX - offset] {
        message(t, &mailbox, (SELF, ECHO), offset, size);
        t.refused(&SEND, Status::InvalidParameters);
    }
    message(t, &mailbox, (SELF, ECHO), 4096, 8);
    t.refused(&SEND, Status::InvalidParameters);

    for receiver in [ECHO, IRQ, RELAY] {
        t.check(
            t.properties_in(&mailbox, receiver).contains(PartitionProperties::INDIRECT),
            format_args!("{receiver} takes no messages"),
        );
        message(t, &mailbox, (SELF, receiver), offset, 8);
        t.refused(&SEND, Status::Denied);
        t.tells(receiver, command::BUFFERS, [1, 0, 0, 0]);
        // What earlier cases have signalled.
        t.tells(receiver, command::NOTED, [0; 4]);
        for (seed, offset, size) in [(1, offset, 1), (2, offset, 8), (3, offset + 8, 1000), (4, 2048, 2048)] {
            write_message(t, &mailbox, (SELF, receiver), offset, seed, size);
            t.succeeds(&SEND);
            // What is sent is what was there: it was copied.
            mailbox.tx.fill(0xee);
            write_message(t, &mailbox, (SELF, receiver), offset, seed + 1, size);
            t.refused(&SEND, Status::Busy);
            has_received(t, receiver, SELF, seed, size);
            t.equal("release", t.tells(receiver, command::RELEASE, [0; 4])[0], 0);
            let again = t.tells(receiver, command::RELEASE, [0; 4]);
            t.equal("release again", again[0], Status::Denied.to_raw().into());
        }
        t.tells(receiver, command::BUFFERS, [0; 4]);
        t.refused(&SEND, Status::Denied);
    }
    // That there were messages has been told; the partitions have read them, so nothing is left.
    _ = t.call(&INFO);
    t.refused(&INFO, Status::NoData);
}

const INFO: Call = Call::NotificationInfoGet { width: tantalum_ffa::Width::Bits64 };

/// More than the receiver's buffer holds.
fn message_too_long(t: &Test) {
    if !t.since(Version::V1_1, f::MSG_SEND2) {
        return;
    }
    let mailbox = Mailbox::of_size(t, 2);
    t.tells(ECHO, command::BUFFERS, [1, 0, 0, 0]);
    let offset = usual(t);
    // The header before it has 40 bytes at the receiver.
    for size in [4096 - 39, 4096, 8192 - offset] {
        message(t, &mailbox, (SELF, ECHO), offset, size);
        t.refused(&SEND, Status::NoMemory);
    }
    write_message(t, &mailbox, (SELF, ECHO), offset, 9, 4096 - 40);
    t.succeeds(&SEND);
    has_received(t, ECHO, SELF, 9, 4096 - 40);
    t.tells(ECHO, command::RELEASE, [0; 4]);
    t.tells(ECHO, command::BUFFERS, [0; 4]);
    _ = t.call(&INFO);
}

/// Messages of VMs, of which the hypervisor names the sender.
fn message_from_vm(t: &Test) {
    if !t.since(Version::V1_1, f::MSG_SEND2) {
        return;
    }
    let mailbox = Mailbox::new(t);
    let buffers = Buffers::new(VM, 128);
    buffers.forward(&mailbox);
    t.succeeds(&FORWARDED);
    t.tells(RELAY, command::BUFFERS, [1, 0, 0, 0]);
    let tx = Pages::at(129, 1);
    let send = Call::MsgSend2 { sender: VM, flags: 0 };
    let offset = usual(t);
    let write = |ids: (EndpointId, EndpointId), seed, size: usize| {
        tx.fill(0);
        tx.write(8, &offset.to_le_bytes());
        tx.write(12, &ids.1.raw().to_le_bytes());
        tx.write(14, &ids.0.raw().to_le_bytes());
        tx.write(16, &(size as u32).to_le_bytes());
        for index in 0..size {
            tx.write(offset as usize + index, &[pattern(seed, index)]);
        }
    };
    for ids in [(SELF, RELAY), (OTHER_VM, RELAY), (ECHO, RELAY), (VM, OTHER_VM), (VM, SELF)] {
        write(ids, 1, 8);
        t.refused(&send, Status::InvalidParameters);
    }
    write((VM, RELAY), 5, 600);
    t.refused(&Call::MsgSend2 { sender: OTHER_VM, flags: 0 }, Status::InvalidParameters);
    t.succeeds(&send);
    has_received(t, RELAY, VM, 5, 600);
    t.tells(RELAY, command::RELEASE, [0; 4]);
    t.tells(RELAY, command::BUFFERS, [0; 4]);
    t.succeeds(&unmap(VM));
    _ = t.call(&INFO);
}

/// A partition's message for the normal world and for a VM: it is there as it was sent, the interrupt and the
/// framework's notification say so, and it stays until it is released.
fn message_from_partition(t: &Test) {
    if !t.since(Version::V1_1, f::MSG_SEND2) {
        return;
    }
    let mailbox = Mailbox::new(t);
    Buffers::new(VM, 128).forward(&mailbox);
    t.succeeds(&FORWARDED);
    let version = usual(t);
    for receiver in [SELF, VM] {
        t.succeeds(&Call::NotificationBitmapCreate { endpoint: receiver, vcpu_count: 8 });
    }
    for (sender, place) in [(ECHO, 40), (IRQ, 24), (RELAY, 24)] {
        for (receiver, rx) in [(SELF, mailbox.rx), (VM, Pages::at(128, 1))] {
            rx.fill(0xa5);
            for (seed, size) in [(7, 1500), (8, 16)] {
                let send = |seed| {
                    let how = [ids((sender, receiver)), size, seed, place];
                    t.tells(sender, command::SEND, how)[0]
                };
                let before = interrupts::count(0, SCHEDULE_RECEIVER);
                t.equal("code of the partition", send(seed), 0);
                t.equal("interrupts", (interrupts::count(0, SCHEDULE_RECEIVER) - before).into(), 1);
                t.equal("code while it is full", send(seed + 1), Status::Busy.to_raw().into());
                let half = |at: usize| rx.word(at & !7) >> (at % 8 * 8) & 0xffff_ffff;
                t.equal("flags", half(0), 0);
                t.equal("place of the message", half(8), version.into());
                t.equal("receiver and sender", half(12), ids((sender, receiver)));
                t.equal("size", half(16), size);
                let arrived = (0..size as usize).all(|index| {
                    let mut byte = [0];
                    rx.read(version as usize + index, &mut byte);
                    byte == [pattern(seed, index)]
                });
                t.check(
                    arrived,
                    format_args!("from {sender} to {receiver}: the message is not what was sent"),
                );
                let end = version as usize + size as usize;
                let longer = version as usize + 1500;
                let behind = (end..longer).all(|at| {
                    let mut byte = [1];
                    rx.read(at, &mut byte);
                    byte == [0]
                });
                t.check(behind, format_args!("something of the earlier message is behind it"));
                // Bit 2 of the flags: what the SPM signals. Its first notification: the RX buffer is full.
                let get = Call::NotificationGet { receiver, vcpu: 0, flags: 4 };
                t.check(
                    t.succeeds(&get) == [0, 0, 0, 0, 1, 0],
                    format_args!("the buffer is not said to be full"),
                );
                t.check(t.succeeds(&get) == [0; 6], format_args!("it is said twice"));
                t.succeeds(&Call::RxRelease { endpoint: receiver });
                t.refused(&Call::RxRelease { endpoint: receiver }, Status::Denied);
                // The list names it until it was asked for.
                _ = t.call(&INFO);
                t.refused(&INFO, Status::NoData);
            }
        }
        // Nobody else, and not in others' names.
        for ids in [(sender, OTHER_VM), (sender, sender), (SELF, VM), (NOBODY, SELF)].map(ids) {
            let [code, ..] = t.tells(sender, command::SEND, [ids, 8, 1, place]);
            t.equal("code", code, Status::InvalidParameters.to_raw().into());
        }
        t.tells(sender, command::BUFFERS, [0; 4]);
    }
    // Nobody releases what he has not been told of.
    t.tells(RELAY, command::SEND, [ids((RELAY, SELF)), 8, 1, 24]);
    t.refused(&Call::RxRelease { endpoint: SELF }, Status::Denied);
    let get = Call::NotificationGet { receiver: SELF, vcpu: 0, flags: 4 };
    t.check(t.succeeds(&get) == [0, 0, 0, 0, 1, 0], format_args!("the buffer is not said to be full"));
    t.succeeds(&Call::RxRelease { endpoint: SELF });
    t.tells(RELAY, command::BUFFERS, [0; 4]);
    _ = t.call(&INFO);
    for receiver in [SELF, VM] {
        t.succeeds(&Call::NotificationBitmapDestroy { endpoint: receiver });
    }
    t.succeeds(&unmap(VM));
}

/// There is room for the buffers of some VMs; who is one too many learns it.
fn vm_buffers_run_out(t: &Test) {
    if !there(t) {
        return;
    }
    let mailbox = Mailbox::new(t);
    let vm = |number: usize| EndpointId::new(0x200 + number as u16);
    let mut count = 0;
    while count < 100 {
        Buffers::new(vm(count), 128 + 2 * count).forward(&mailbox);
        let answer = t.call(&FORWARDED);
        if !matches!(Call::decode(&answer), Ok(Call::Success32 { .. })) {
            t.is_error(&answer, Status::NoMemory);
            break;
        }
        count += 1;
    }
    t.check((4..100).contains(&count), format_args!("{count} VMs have buffers"));
    t.succeeds(&unmap(vm(1)));
    Buffers::new(vm(count), 128 + 2 * count).forward(&mailbox);
    t.succeeds(&FORWARDED);
    for number in (0..=count).filter(|number| *number != 1) {
        t.succeeds(&unmap(vm(number)));
    }
}
