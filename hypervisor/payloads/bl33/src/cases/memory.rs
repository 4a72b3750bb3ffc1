//! Memory that the normal world donates, lends and shares, seen from its hypervisor: this suite.

use tantalum_ffa::{Call, MemoryTransaction, Status, Version, Width, function as f};
use tantalum_types::EndpointId;

use crate::descriptor::{Descriptor, EXECUTE, Encoded, NO_EXECUTE, READ_ONLY, READ_WRITE, Receiver, ZERO};
use crate::endpoint::{ECHO, IRQ, NOBODY, RELAY, SELF, command, request};
use crate::machine::cpus;
use crate::machine::memory::{PAGE, Pages};
use crate::mailbox::Mailbox;
use crate::test::{Answer, Case, Test, cases, registers};

pub(crate) const CASES: &[Case] = cases![
    memory_features,
    memory_without_buffer,
    memory_share_and_reclaim,
    memory_lend_and_reclaim,
    memory_donate,
    memory_two_borrowers,
    memory_zeroed,
    memory_twice,
    memory_handles,
    memory_reclaim_refused,
    memory_hypervisor_retrieve,
    memory_hypervisor_retrieve_refused,
    memory_lengths_refused,
    memory_header_refused,
    memory_receivers_refused,
    memory_ranges_refused,
    memory_addresses_refused,
    memory_offsets_refused,
    memory_fragments,
    memory_fragments_refused,
    memory_runs_out,
    memory_other_calls_refused,
    memory_from_eight_cpus,
    memory_of_a_vm,
    memory_of_a_stopped_borrower,
];

/// Is how memory is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Share,
    Lend,
    Donate,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Share, Self::Lend, Self::Donate];

    fn call(self, width: Width, total_length: usize, fragment_length: usize) -> Call {
        let transaction = MemoryTransaction {
            width,
            total_length: total_length as u32,
            fragment_length: fragment_length as u32,
            address: 0,
            page_count: 0,
        };
        match self {
            Self::Share => Call::MemShare(transaction),
            Self::Lend => Call::MemLend(transaction),
            Self::Donate => Call::MemDonate(transaction),
        }
    }

    /// Returns the flags with which a receiver names the kind.
    fn flags(self) -> u64 {
        match self {
            Self::Share => 1 << 3,
            Self::Lend => 2 << 3,
            Self::Donate => 3 << 3,
        }
    }
}

fn there(t: &Test) -> bool {
    t.since(Version::V1_0, f::MEM_SHARE_64)
}

/// Returns pages that are not buffers; numbers count from 0.
fn page(number: usize) -> Pages {
    Pages::at(0x1000 + number, 1)
}

const INVALID: Status = Status::InvalidParameters;

/// Is a range of a descriptor: an address and a number of pages.
type Range = (u64, u32);

const TO_ECHO: &[Receiver] = &[(ECHO, READ_WRITE, 0)];

/// Donated memory has its permissions from the receiver.
const TO_ECHO_FOR_EVER: &[Receiver] = &[(ECHO, 0, 0)];

/// Returns a descriptor of `ranges` for "echo" in the kind `kind`: what is lent or donated to one has its attributes
/// from the receiver.
fn describe<'a>(kind: Kind, ranges: &'a [(u64, u32)]) -> Descriptor<'a> {
    let receivers = if kind == Kind::Donate { TO_ECHO_FOR_EVER } else { TO_ECHO };
    let mut descriptor = Descriptor::new(receivers, ranges);
    if kind != Kind::Share {
        descriptor.attributes = 0;
    }
    descriptor
}

/// Sends memory whose descriptor is in the TX buffer, and returns the answer.
#[track_caller]
fn send_bytes(
    t: &Test,
    mailbox: &Mailbox<'_>,
    kind: Kind,
    encoded: &Encoded,
) -> tantalum_types::CallRegisters {
    let bytes = encoded.bytes();
    mailbox.tx.write(0, bytes);
    t.call(&kind.call(Width::Bits64, bytes.len(), bytes.len()))
}

/// Sends memory and returns its handle.
#[track_caller]
fn send(t: &Test, mailbox: &Mailbox<'_>, kind: Kind, descriptor: &Descriptor<'_>) -> u64 {
    let answer = send_bytes(t, mailbox, kind, &descriptor.encode(t.version()));
    let [w2, w3, ..] = t.is_success(&answer);
    u64::from(w3) << 32 | u64::from(w2)
}

/// Asserts that a descriptor is refused with `status`.
#[track_caller]
fn refused(
    t: &Test,
    mailbox: &Mailbox<'_>,
    kind: Kind,
    descriptor: &Descriptor<'_>,
    status: Status,
    what: &str,
) {
    let answer = send_bytes(t, mailbox, kind, &descriptor.encode(t.version()));
    let as_expected = matches!(Call::decode(&answer), Ok(Call::Error { status: got, .. }) if got == status);
    t.check(as_expected, format_args!("{kind:?}, {what}: expected {status}, got {}", Answer(&answer)));
    t.nothing_behind(&answer, 4);
}

fn reclaim(handle: u64) -> Call {
    Call::MemReclaim { handle, flags: 0 }
}

/// Lets a partition carry out a command about memory, and returns the error code and x5.
#[track_caller]
fn lets(t: &Test, partition: EndpointId, command: u64, arguments: [u64; 4]) -> (u32, u64) {
    let [x4, x5, x6, x7] = arguments;
    let [result, code, value, ..] = t.ask(&request(partition, [command, x4, x5, x6, x7]));
    t.equal("result of the partition", result, 0);
    (code as u32, value)
}

#[track_caller]
fn retrieve(t: &Test, partition: EndpointId, handle: u64, kind: Kind, permissions: u8) -> u32 {
    let sender = u64::from(SELF.raw()) | u64::from(crate::descriptor::NORMAL) << 16;
    lets(t, partition, command::RETRIEVE, [handle, sender, kind.flags(), permissions.into()]).0
}

#[track_caller]
fn retrieves(t: &Test, partition: EndpointId, handle: u64, kind: Kind, permissions: u8) {
    let code = retrieve(t, partition, handle, kind, permissions);
    t.equal("code of the retrieval", code.into(), 0);
}

#[track_caller]
fn relinquishes(t: &Test, partition: EndpointId, handle: u64) {
    let (code, _) = lets(t, partition, command::RELINQUISH, [handle, 0, 0, 0]);
    t.equal("code of the relinquishment", code.into(), 0);
}

fn memory_features(t: &Test) {
    if !there(t) {
        return;
    }
    for id in [
        f::MEM_DONATE_32,
        f::MEM_DONATE_64,
        f::MEM_LEND_32,
        f::MEM_LEND_64,
        f::MEM_SHARE_32,
        f::MEM_SHARE_64,
        f::MEM_RECLAIM,
        f::MEM_FRAG_TX,
        f::MEM_FRAG_RX,
    ] {
        t.succeeds(&Call::Features { id, input: 0 });
        t.refused(&Call::Features { id, input: 1 }, Status::InvalidParameters);
    }
    for id in [f::MEM_OP_PAUSE, f::MEM_OP_RESUME] {
        t.refused(&Call::Features { id, input: 0 }, Status::NotSupported);
    }
}

fn memory_without_buffer(t: &Test) {
    if !there(t) {
        return;
    }
    for kind in Kind::ALL {
        t.refused(&kind.call(Width::Bits64, 112, 112), Status::Denied);
    }
}

/// Both see the same memory, and the partition no longer when it has given it back.
fn memory_share_and_reclaim(t: &Test) {
    if !there(t) {
        return;
    }
    let mailbox = Mailbox::new(t);
    let memory = page(0);
    for width in [Width::Bits32, Width::Bits64] {
        memory.fill(0);
        memory.set_word(0x100, 0x1122_3344_5566_7788);
        let encoded = describe(Kind::Share, &[(memory.address(), 1)]).encode(t.version());
        mailbox.tx.write(0, encoded.bytes());
        let size = encoded.bytes().len();
        let [w2, w3, ..] = t.succeeds(&Kind::Share.call(width, size, size));
        let handle = u64::from(w3) << 32 | u64::from(w2);
        retrieves(t, ECHO, handle, Kind::Share, READ_WRITE);
        let (code, seen) = lets(t, ECHO, command::READ, [handle, 0x100, 0, 0]);
        t.equal("code", code.into(), 0);
        t.equal("what the partition sees", seen, 0x1122_3344_5566_7788);
        lets(t, ECHO, command::WRITE, [handle, 0xff8, 0xcafe, 0]);
        t.equal("what it has written", memory.word(0xff8), 0xcafe);
        t.refused(&reclaim(handle), Status::Denied);
        relinquishes(t, ECHO, handle);
        t.succeeds(&reclaim(handle));
        t.equal("what it has written", memory.word(0xff8), 0xcafe);
        t.refused(&reclaim(handle), Status::InvalidParameters);
    }
}

fn memory_lend_and_reclaim(t: &Test) {
    if !there(t) {
        return;
    }
    let mailbox = Mailbox::new(t);
    let memory = page(0);
    memory.set_word(0, 7);
    for _ in 0..3 {
        let handle = send(t, &mailbox, Kind::Lend, &describe(Kind::Lend, &[(memory.address(), 1)]));
        let code = |status: Status| u64::from(status.to_raw());
        let others = retrieve(t, IRQ, handle, Kind::Lend, READ_WRITE | NO_EXECUTE);
        t.equal("retrieved by another", others.into(), code(Status::Denied));
        let shared = retrieve(t, ECHO, handle, Kind::Share, READ_WRITE | NO_EXECUTE);
        t.equal("retrieved as another kind", shared.into(), code(INVALID));
        let open = retrieve(t, ECHO, handle, Kind::Lend, READ_WRITE);
        t.equal("retrieved without a word about execution", open.into(), code(INVALID));
        let executed = retrieve(t, ECHO, handle, Kind::Lend, READ_WRITE | EXECUTE);
        t.equal("retrieved to be executed", executed.into(), code(Status::Denied));
        retrieves(t, ECHO, handle, Kind::Lend, READ_WRITE | NO_EXECUTE);
        let (_, seen) = lets(t, ECHO, command::READ, [handle, 0, 0, 0]);
        t.equal("what the partition sees", seen, 7);
        t.refused(&reclaim(handle), Status::Denied);
        relinquishes(t, ECHO, handle);
        t.succeeds(&reclaim(handle));
    }
}

/// The page is the partition's for ever.
fn memory_donate(t: &Test) {
    if !there(t) {
        return;
    }
    let mailbox = Mailbox::new(t);
    // A page for each version that runs in one boot: one.
    let memory = page(0x800);
    let ranges = [(memory.address(), 1)];
    let handle = send(t, &mailbox, Kind::Donate, &describe(Kind::Donate, &ranges));
    refused(t, &mailbox, Kind::Share, &describe(Kind::Share, &ranges), Status::Denied, "what is out");
    // Nobody has taken it yet, so it can be taken back.
    t.succeeds(&reclaim(handle));
    let handle = send(t, &mailbox, Kind::Donate, &describe(Kind::Donate, &ranges));
    retrieves(t, ECHO, handle, Kind::Donate, READ_WRITE | NO_EXECUTE);
    t.refused(&reclaim(handle), INVALID);
    for kind in Kind::ALL {
        refused(t, &mailbox, kind, &describe(kind, &ranges), Status::Denied, "what is out");
    }
}

fn memory_two_borrowers(t: &Test) {
    if !there(t) {
        return;
    }
    let mailbox = Mailbox::new(t);
    let memory = page(0);
    let ranges = [(memory.address(), 1)];
    let receivers = [(ECHO, READ_WRITE, 0), (RELAY, READ_ONLY, 0)];
    let descriptor = Descriptor::new(&receivers, &ranges);
    refused(t, &mailbox, Kind::Donate, &descriptor, INVALID, "to two");
    for kind in [Kind::Share, Kind::Lend] {
        let handle = send(t, &mailbox, kind, &descriptor);
        t.succeeds(&reclaim(handle));
    }
}

/// Memory is filled with zeros where the sender says so, and where it may.
fn memory_zeroed(t: &Test) {
    if !there(t) {
        return;
    }
    let mailbox = Mailbox::new(t);
    let memory = page(0);
    let ranges = [(memory.address(), 1)];
    memory.fill(0x77);
    let zeroed = Descriptor { flags: ZERO, ..describe(Kind::Share, &ranges) };
    refused(t, &mailbox, Kind::Share, &zeroed, INVALID, "zeroed");
    t.check(memory.is_filled(0, 0x77), format_args!("the refused one has changed the memory"));
    let handle = send(t, &mailbox, Kind::Lend, &Descriptor { flags: ZERO, ..describe(Kind::Lend, &ranges) });
    t.check(memory.is_filled(0, 0), format_args!("lent memory is not zeroed"));
    memory.fill(0x66);
    t.succeeds(&Call::MemReclaim { handle, flags: 1 });
    t.check(memory.is_filled(0, 0), format_args!("reclaimed memory is not zeroed"));
}

/// What is lent or shared can be neither again, also in part.
fn memory_twice(t: &Test) {
    if !there(t) {
        return;
    }
    let mailbox = Mailbox::new(t);
    let (first, last) = (page(0).address(), page(3).address());
    for kind in [Kind::Share, Kind::Lend] {
        let handle = send(t, &mailbox, kind, &describe(kind, &[(first, 4)]));
        for again in Kind::ALL {
            for ranges in [[(first, 1)], [(last, 1)], [(last, 2)], [(first - PAGE as u64, 2)], [(first, 4)]] {
                refused(t, &mailbox, again, &describe(again, &ranges), Status::Denied, "what is out");
            }
        }
        t.succeeds(&reclaim(handle));
    }
    // Nothing of the refused ones is left.
    let handle = send(t, &mailbox, Kind::Lend, &describe(Kind::Lend, &[(first - PAGE as u64, 6)]));
    t.succeeds(&reclaim(handle));
}

/// Handles of memory that is out are all different, and none is what it was.
fn memory_handles(t: &Test) {
    if !there(t) {
        return;
    }
    let mailbox = Mailbox::new(t);
    let mut handles = [0; 8];
    for (number, handle) in handles.iter_mut().enumerate() {
        *handle = send(t, &mailbox, Kind::Share, &describe(Kind::Share, &[(page(number).address(), 1)]));
        t.equal("bit 63 of the handle, which the SPMC gives", *handle >> 63, 0);
    }
    for (number, handle) in handles.iter().enumerate() {
        t.check(!handles[..number].contains(handle), format_args!("the handle {handle:#x} is there twice"));
    }
    for handle in handles {
        t.succeeds(&reclaim(handle));
    }
}

fn memory_reclaim_refused(t: &Test) {
    if !there(t) {
        return;
    }
    for handle in [0, 1, 0xffff, 1 << 32, 1 << 63, u64::MAX, u64::MAX >> 1] {
        t.refused(&reclaim(handle), Status::InvalidParameters);
    }
    let mailbox = Mailbox::new(t);
    let handle = send(t, &mailbox, Kind::Lend, &describe(Kind::Lend, &[(page(0).address(), 1)]));
    let [low, high] = [handle & 0xffff_ffff, handle >> 32];
    for bit in 2..32 {
        t.refused_raw(&registers(f::MEM_RECLAIM, [low, high, 1 << bit]), Status::InvalidParameters);
    }
    for wrong in [handle ^ 1, handle ^ 1 << 40, !handle] {
        t.refused(&reclaim(wrong), Status::InvalidParameters);
    }
    // It is not the partition's to reclaim.
    t.lets_fail(ECHO, [f::MEM_RECLAIM, low as u32, high as u32, 0], INVALID);
    t.succeeds(&reclaim(handle));
}

/// Builds the hypervisor's own question about memory, and returns the answer.
#[track_caller]
fn look_up(t: &Test, mailbox: &Mailbox<'_>, handle: u64) -> tantalum_types::CallRegisters {
    let descriptor = Descriptor { handle, attributes: 0, ..Descriptor::new(&[], &[]) };
    let encoded = descriptor.encode(t.version());
    // All of it is zero but the handle.
    let size = encoded.bytes().len();
    mailbox.tx.fill(0);
    mailbox.tx.write(8, &handle.to_le_bytes());
    t.call(&Call::MemRetrieveRequest(MemoryTransaction {
        width: Width::Bits64,
        total_length: size as u32,
        fragment_length: size as u32,
        address: 0,
        page_count: 0,
    }))
}

/// A hypervisor looks up what it lent: the answer names sender, receivers and ranges.
fn memory_hypervisor_retrieve(t: &Test) {
    if !there(t) {
        return;
    }
    let mailbox = Mailbox::new(t);
    let ranges = [(page(0).address(), 2), (page(7).address(), 1)];
    let descriptor = Descriptor { tag: 0x1234, ..describe(Kind::Lend, &ranges) };
    let handle = send(t, &mailbox, Kind::Lend, &descriptor);
    let answer = look_up(t, &mailbox, handle);
    let Ok(Call::MemRetrieveResponse { total_length, fragment_length }) = Call::decode(&answer) else {
        t.check(false, format_args!("expected FFA_MEM_RETRIEVE_RESP, got {}", Answer(&answer)));
        t.succeeds(&reclaim(handle));
        return;
    };
    t.nothing_behind(&answer, 3);
    t.equal("length of the fragment", fragment_length.into(), total_length.into());
    t.equal("handle", mailbox.rx.word(8), handle);
    let (header, _) = Descriptor::layout(t.version());
    let half = |at: usize| mailbox.rx.word(at & !7) >> (at % 8 * 8) & 0xffff_ffff;
    t.equal("sender", half(0) & 0xffff, SELF.raw().into());
    t.equal("number of receivers", half(28), 1);
    t.equal("receiver", half(header) & 0xffff, ECHO.raw().into());
    let composite = half(header + 4) as usize;
    t.check(
        composite.is_multiple_of(8) && composite < 0x400,
        format_args!("the ranges are at {composite:#x}"),
    );
    t.equal("pages", half(composite), 3);
    t.equal("ranges", half(composite + 4), 2);
    for (index, (address, pages)) in ranges.into_iter().enumerate() {
        t.equal("address", mailbox.rx.word(composite + 16 * (index + 1)), address);
        t.equal("pages", half(composite + 16 * (index + 1) + 8), pages.into());
    }
    let end = total_length as usize;
    t.equal("length", end as u64, composite as u64 + 16 * 3);
    // The RX buffer has the answer in it, so there is no room for another.
    t.is_error(&look_up(t, &mailbox, handle), Status::Busy);
    mailbox.release();
    for offset in [total_length, total_length + 16, u32::MAX] {
        t.refused(&Call::MemFragRx { handle, offset, endpoint: SELF }, Status::InvalidParameters);
    }
    t.succeeds(&reclaim(handle));
}

fn memory_hypervisor_retrieve_refused(t: &Test) {
    if !there(t) {
        return;
    }
    let mailbox = Mailbox::new(t);
    for handle in [0, 1 << 63, u64::MAX] {
        t.is_error(&look_up(t, &mailbox, handle), Status::InvalidParameters);
    }
    let handle = send(t, &mailbox, Kind::Lend, &describe(Kind::Lend, &[(page(0).address(), 1)]));
    t.succeeds(&reclaim(handle));
    t.is_error(&look_up(t, &mailbox, handle), Status::InvalidParameters);
    t.refused(&crate::mailbox::RELEASE, Status::Denied);
}

fn memory_lengths_refused(t: &Test) {
    if !there(t) {
        return;
    }
    let mailbox = Mailbox::new(t);
    let encoded = describe(Kind::Share, &[(page(0).address(), 1)]).encode(t.version());
    mailbox.tx.write(0, encoded.bytes());
    let size = encoded.bytes().len();
    for kind in Kind::ALL {
        for (total, fragment) in [
            (0, 0),
            (size, 0),
            (size, size + 1),
            (size - 1, size - 1),
            (size - 16, size - 16),
            (16, 16),
            (size, 16),
            (size, 4097),
            (8192, 4097),
            (u32::MAX as usize, u32::MAX as usize),
        ] {
            let answer = t.call(&kind.call(Width::Bits64, total, fragment));
            t.is_error(&answer, Status::InvalidParameters);
        }
        // A buffer elsewhere is not offered.
        let mut call = kind.call(Width::Bits64, size, size).encode();
        call.0[3] = page(9).address();
        call.0[4] = 1;
        t.refused_raw(&call, Status::InvalidParameters);
    }
    let handle = send(t, &mailbox, Kind::Share, &describe(Kind::Share, &[(page(0).address(), 1)]));
    t.succeeds(&reclaim(handle));
}

fn memory_header_refused(t: &Test) {
    if !there(t) {
        return;
    }
    let mailbox = Mailbox::new(t);
    let ranges = [(page(0).address(), 1)];
    for kind in Kind::ALL {
        let good = describe(kind, &ranges);
        for sender in [ECHO, IRQ, NOBODY, EndpointId::SPMC] {
            let descriptor = Descriptor { sender, ..good.clone() };
            refused(t, &mailbox, kind, &descriptor, Status::Denied, "another sender");
        }
        refused(t, &mailbox, kind, &Descriptor { handle: 1, ..good.clone() }, INVALID, "a handle");
        for flags in [2, 4, 1 << 3, 1 << 5, 1 << 10, 1 << 31] {
            refused(t, &mailbox, kind, &Descriptor { flags, ..good.clone() }, INVALID, "flags");
        }
    }
    let good = describe(Kind::Share, &ranges);
    // Reserved values, the NS bit that only an answer has, and a reserved bit.
    for attributes in [0x1f, 0x11, 0x20, 0x28, 0x2d, 0x30, 0x3f, 0x6f, 0xaf] {
        let descriptor = Descriptor { attributes, ..good.clone() };
        refused(t, &mailbox, Kind::Share, &descriptor, INVALID, "no attributes");
    }
    // No type, devices, memory past the caches or not coherent: what the RAM here is not.
    for attributes in [0, 0x10, 0x14, 0x18, 0x1c, 0x24, 0x26, 0x27, 0x2c, 0x2e] {
        let descriptor = Descriptor { attributes, ..good.clone() };
        refused(t, &mailbox, Kind::Share, &descriptor, Status::Denied, "attributes");
    }
    // Who lends to one, or donates, leaves the type to the receiver.
    for kind in [Kind::Lend, Kind::Donate] {
        let descriptor = Descriptor { attributes: crate::descriptor::NORMAL, ..describe(kind, &ranges) };
        refused(t, &mailbox, kind, &descriptor, INVALID, "a type");
    }
    let handle = send(t, &mailbox, Kind::Share, &good);
    t.succeeds(&reclaim(handle));
}

fn memory_receivers_refused(t: &Test) {
    if !there(t) {
        return;
    }
    let mailbox = Mailbox::new(t);
    let ranges = [(page(0).address(), 1)];
    for kind in Kind::ALL {
        let attributes = describe(kind, &ranges).attributes;
        // What the new owner may do, the donor does not say; every other sender does.
        let data = if kind == Kind::Donate { 0 } else { READ_WRITE };
        let other = READ_WRITE - data;
        let cases: [(&[Receiver], Status, &str); 14] = [
            (&[], INVALID, "no receiver"),
            (&[(NOBODY, data, 0)], INVALID, "nobody"),
            (&[(SELF, data, 0)], INVALID, "the sender"),
            (&[(EndpointId::SPMC, data, 0)], INVALID, "the SPMC"),
            (&[(EndpointId::new(5), data, 0)], Status::Denied, "a VM alone"),
            (&[(ECHO, 3, 0)], INVALID, "reserved data access"),
            (&[(ECHO, other, 0)], INVALID, "data access"),
            (&[(ECHO, data | EXECUTE, 0)], INVALID, "execution"),
            (&[(ECHO, data | NO_EXECUTE, 0)], INVALID, "no execution"),
            (&[(ECHO, data | 3 << 2, 0)], INVALID, "reserved instruction access"),
            (&[(ECHO, data | 1 << 4, 0)], INVALID, "reserved permissions"),
            (&[(ECHO, data | 1 << 7, 0)], INVALID, "reserved permissions"),
            (&[(ECHO, data, 1)], INVALID, "a flag that is for answers"),
            (&[(ECHO, data, 2)], INVALID, "reserved flags"),
        ];
        for (receivers, status, what) in cases {
            let descriptor = Descriptor { attributes, ..Descriptor::new(receivers, &ranges) };
            refused(t, &mailbox, kind, &descriptor, status, what);
        }
        // Several receivers, who have the type from the sender.
        let cases: [(&[Receiver], Status, &str); 3] = [
            (&[(ECHO, data, 0), (ECHO, data, 0)], INVALID, "the same twice"),
            (&[(ECHO, data, 0), (NOBODY, data, 0)], INVALID, "and nobody"),
            (
                &[(ECHO, data, 0), (EndpointId::new(5), data, 0), (EndpointId::new(6), data, 0)],
                if kind == Kind::Donate { INVALID } else { Status::Denied },
                "and two VMs",
            ),
        ];
        for (receivers, status, what) in cases {
            refused(t, &mailbox, kind, &Descriptor::new(receivers, &ranges), status, what);
        }
    }
    let handle = send(t, &mailbox, Kind::Share, &describe(Kind::Share, &ranges));
    t.succeeds(&reclaim(handle));
}

fn memory_ranges_refused(t: &Test) {
    if !there(t) {
        return;
    }
    let mailbox = Mailbox::new(t);
    let (first, second) = (page(0).address(), page(1).address());
    for kind in Kind::ALL {
        let cases: [(&[Range], Status, &str); 9] = [
            (&[(first, 0)], INVALID, "no page"),
            (&[(first, 1), (second, 0)], INVALID, "no page in the second range"),
            (&[(first + 1, 1)], INVALID, "off the page"),
            (&[(first + 0x800, 1)], INVALID, "off the page"),
            (&[(first, 1), (first, 1)], Status::Denied, "the same page twice"),
            (&[(first, 2), (second, 1)], Status::Denied, "overlap"),
            (&[(first, u32::MAX)], Status::Denied, "more pages than there are"),
            (&[(u64::MAX - 0xfff, 1)], INVALID, "an end beyond all addresses"),
            (&[(first, u32::MAX), (second, 2)], Status::Denied, "a sum that wraps"),
        ];
        for (ranges, status, what) in cases {
            refused(t, &mailbox, kind, &describe(kind, ranges), status, what);
        }
        let ranges = [(first, 1), (page(4).address(), 1)];
        let good = describe(kind, &ranges);
        for total_pages in [0, 1, 3, u32::MAX] {
            let bad = Descriptor { total_pages: Some(total_pages), ..good.clone() };
            refused(t, &mailbox, kind, &bad, INVALID, "another number of pages");
        }
        for range_count in [0, 1, 3, 0x1000_0000, u32::MAX] {
            let bad = Descriptor { range_count: Some(range_count), ..good.clone() };
            refused(t, &mailbox, kind, &bad, INVALID, "another number of ranges");
        }
    }
    let handle =
        send(t, &mailbox, Kind::Share, &describe(Kind::Share, &[(first, 1), (page(4).address(), 1)]));
    t.succeeds(&reclaim(handle));
}

/// Nothing but the normal world's own RAM is its to give.
fn memory_addresses_refused(t: &Test) {
    if !there(t) {
        return;
    }
    let mailbox = Mailbox::new(t);
    for kind in Kind::ALL {
        for address in [
            0x0e00_0000,
            0x0e10_0000,
            0x0e30_0000,
            0x0e40_0000,
            0x0eff_f000,
            0,
            0x0800_0000,
            0x0904_0000,
            0x3fff_f000,
            0xc000_0000,
            1 << 40,
        ] {
            refused(t, &mailbox, kind, &describe(kind, &[(address, 1)]), Status::Denied, "not its RAM");
            let ranges = [(page(0).address(), 1), (address, 1)];
            refused(t, &mailbox, kind, &describe(kind, &ranges), Status::Denied, "also not its RAM");
        }
        for address in [1 << 48, 1 << 52] {
            refused(t, &mailbox, kind, &describe(kind, &[(address, 1)]), INVALID, "no physical address");
        }
        refused(t, &mailbox, kind, &describe(kind, &[(0xbfff_f000, 2)]), Status::Denied, "beyond RAM");
        // Its own mailbox is in use by the SPMC.
        for own in [mailbox.tx, mailbox.rx] {
            refused(t, &mailbox, kind, &describe(kind, &[(own.address(), 1)]), Status::Denied, "its mailbox");
        }
    }
}

fn memory_offsets_refused(t: &Test) {
    if !there(t) {
        return;
    }
    let mailbox = Mailbox::new(t);
    let ranges = [(page(0).address(), 1)];
    let good = describe(Kind::Share, &ranges);
    let (header, _) = Descriptor::layout(t.version());
    let composite = good.composite(t.version()) as u32;
    let patched = |at: usize, value: u32| {
        let mut encoded = good.encode(t.version());
        encoded.put(at, value.to_le_bytes());
        encoded
    };
    for offset in [0, 1, 8, composite + 4, composite + 16, 4096, 0xffff_fff0, u32::MAX] {
        t.is_error(
            &send_bytes(t, &mailbox, Kind::Share, &patched(header + 4, offset)),
            Status::InvalidParameters,
        );
    }
    for count in [0, 2, 5, 0x1000, 0x1000_0000, u32::MAX] {
        t.is_error(&send_bytes(t, &mailbox, Kind::Share, &patched(28, count)), Status::InvalidParameters);
    }
    if t.version() > Version::V1_0 {
        for size in [0, 8, 15, 17, 24, 48, 0x8000_0000, u32::MAX] {
            t.is_error(&send_bytes(t, &mailbox, Kind::Share, &patched(24, size)), Status::InvalidParameters);
        }
        for offset in [0, 47, 52, 4096, 0xffff_fff0, u32::MAX] {
            t.is_error(
                &send_bytes(t, &mailbox, Kind::Share, &patched(32, offset)),
                Status::InvalidParameters,
            );
        }
    }
    let handle = send(t, &mailbox, Kind::Share, &good);
    t.succeeds(&reclaim(handle));
}

/// Counts the ranges of the long descriptor: several fragments in, several back.
const MANY: usize = 600;

fn many() -> [(u64, u32); MANY] {
    core::array::from_fn(|number| (page(0x100 + 2 * number).address(), 1))
}

/// Sends the long descriptor in fragments of at most a page, and returns the handle.
#[track_caller]
fn send_many(t: &Test, mailbox: &Mailbox<'_>, kind: Kind) -> u64 {
    let ranges = many();
    let encoded = describe(kind, &ranges).encode(t.version());
    let bytes = encoded.bytes();
    mailbox.tx.write(0, &bytes[..PAGE]);
    let mut answer = t.call(&kind.call(Width::Bits64, bytes.len(), PAGE));
    let mut sent = PAGE;
    while let Ok(Call::MemFragRx { handle, offset, endpoint }) = Call::decode(&answer) {
        t.equal("offset that is asked for", offset.into(), sent as u64);
        t.equal("endpoint that is asked", endpoint.raw().into(), 0);
        t.nothing_behind(&answer, 5);
        let rest = &bytes[sent.min(bytes.len())..];
        if rest.is_empty() {
            t.check(false, format_args!("more is asked for than there is"));
            return handle;
        }
        // Fragments may have any size.
        let part = rest.len().min(PAGE - 16);
        mailbox.tx.write(0, &rest[..part]);
        answer = t.call(&Call::MemFragTx { handle, length: part as u32, endpoint: SELF });
        sent += part;
    }
    let [w2, w3, ..] = t.is_success(&answer);
    t.equal("bytes that were sent", sent as u64, bytes.len() as u64);
    u64::from(w3) << 32 | u64::from(w2)
}

fn memory_fragments(t: &Test) {
    if !there(t) {
        return;
    }
    let mailbox = Mailbox::new(t);
    for kind in Kind::ALL {
        let handle = send_many(t, &mailbox, kind);
        let mut answer = look_up(t, &mailbox, handle);
        let Ok(Call::MemRetrieveResponse { total_length, fragment_length }) = Call::decode(&answer) else {
            t.check(false, format_args!("expected FFA_MEM_RETRIEVE_RESP, got {}", Answer(&answer)));
            t.succeeds(&reclaim(handle));
            return;
        };
        let (header, record) = Descriptor::layout(t.version());
        t.check(
            total_length as usize >= header + record.min(16) + 16 * (MANY + 1),
            format_args!("the answer has {total_length} bytes"),
        );
        let composite = header + 16;
        let composite = if record > 16 { composite + 16 } else { composite };
        let mut seen = 0;
        let mut ranges_in = |from: usize, to: u32| {
            for at in (from..to as usize).step_by(16) {
                let (address, pages) = (mailbox.rx.word(at), mailbox.rx.word(at + 8));
                let expected = (page(0x100 + 2 * seen).address(), 1);
                t.check(
                    (address, pages) == expected,
                    format_args!("range {seen}: expected {expected:x?}, got {address:#x} and {pages:#x}"),
                );
                seen += 1;
            }
        };
        ranges_in(composite + 16, fragment_length);
        let mut received = fragment_length;
        while received < total_length {
            mailbox.release();
            answer = t.call(&Call::MemFragRx { handle, offset: received, endpoint: SELF });
            match Call::decode(&answer) {
                Ok(Call::MemFragTx { handle: of, length, .. }) if length > 0 => {
                    t.equal("handle", of, handle);
                    ranges_in(0, length);
                    received += length;
                }
                _ => {
                    t.check(false, format_args!("expected FFA_MEM_FRAG_TX, got {}", Answer(&answer)));
                    break;
                }
            }
        }
        // The last range is the last thing in the last fragment.
        t.equal("bytes that were received", received.into(), total_length.into());
        t.equal("ranges that were received", seen as u64, MANY as u64);
        mailbox.release();
        t.succeeds(&reclaim(handle));
    }
}

fn memory_fragments_refused(t: &Test) {
    if !there(t) {
        return;
    }
    let mailbox = Mailbox::new(t);
    let frag = |handle, length, endpoint| Call::MemFragTx { handle, length, endpoint };
    t.refused(&frag(0, 16, SELF), Status::InvalidParameters);
    t.refused(&frag(u64::MAX, 16, SELF), Status::InvalidParameters);
    t.refused(&Call::MemFragRx { handle: 0, offset: 0, endpoint: SELF }, Status::InvalidParameters);
    for bit in 0..16 {
        t.refused_raw(&registers(f::MEM_FRAG_TX, [0, 0, 16, 1 << bit]), Status::InvalidParameters);
        t.refused_raw(&registers(f::MEM_FRAG_RX, [0, 0, 0, 1 << bit]), Status::InvalidParameters);
    }
    // Begun, and then broken off by a fragment that cannot be: nothing is left of it.
    let ranges = many();
    let encoded = describe(Kind::Lend, &ranges).encode(t.version());
    mailbox.tx.write(0, &encoded.bytes()[..PAGE]);
    let answer = t.call(&Kind::Lend.call(Width::Bits64, encoded.bytes().len(), PAGE));
    let Ok(Call::MemFragRx { handle, .. }) = Call::decode(&answer) else {
        return t.check(false, format_args!("expected FFA_MEM_FRAG_RX, got {}", Answer(&answer)));
    };
    // The sender may give up before the rest has come.
    t.succeeds(&reclaim(handle));
    t.refused(&frag(handle, 16, SELF), Status::InvalidParameters);
    mailbox.tx.write(0, &encoded.bytes()[..PAGE]);
    let answer = t.call(&Kind::Lend.call(Width::Bits64, encoded.bytes().len(), PAGE));
    let Ok(Call::MemFragRx { handle, .. }) = Call::decode(&answer) else {
        return t.check(false, format_args!("expected FFA_MEM_FRAG_RX, got {}", Answer(&answer)));
    };
    // Longer than the buffer, empty, and full of what is no range: each ends the transaction, and the memory is free.
    t.refused(&frag(handle, 0xffff_0000, SELF), INVALID);
    t.refused(&frag(handle, 16, SELF), INVALID);
    for length in [0, 4096] {
        mailbox.tx.write(0, &encoded.bytes()[..PAGE]);
        let answer = t.call(&Kind::Lend.call(Width::Bits64, encoded.bytes().len(), PAGE));
        let Ok(Call::MemFragRx { handle, .. }) = Call::decode(&answer) else {
            return t.check(false, format_args!("expected FFA_MEM_FRAG_RX, got {}", Answer(&answer)));
        };
        mailbox.tx.fill(0xff);
        t.refused(&frag(handle, length, SELF), INVALID);
        t.refused(&reclaim(handle), INVALID);
    }
    let handle = send_many(t, &mailbox, Kind::Lend);
    t.succeeds(&reclaim(handle));
}

/// There is room for some transactions; who has too many learns it, and others are not concerned.
fn memory_runs_out(t: &Test) {
    if !there(t) {
        return;
    }
    let mailbox = Mailbox::new(t);
    let mut handles = [0; 0x400];
    let mut count = 0;
    while count < handles.len() {
        let ranges = [(page(2 * count).address(), 1)];
        let encoded = describe(Kind::Share, &ranges).encode(t.version());
        let answer = send_bytes(t, &mailbox, Kind::Share, &encoded);
        if !matches!(Call::decode(&answer), Ok(Call::Success32 { .. })) {
            t.is_error(&answer, Status::NoMemory);
            break;
        }
        handles[count] = answer.0[3] << 32 | answer.0[2];
        count += 1;
    }
    t.check(count >= 8, format_args!("only {count} transactions"));
    t.check(count < handles.len(), format_args!("the SPMC has no limit"));
    for handle in &handles[..count] {
        t.succeeds(&reclaim(*handle));
    }
    let handle = send(t, &mailbox, Kind::Lend, &describe(Kind::Lend, &[(page(0).address(), 1)]));
    t.succeeds(&reclaim(handle));
}

fn memory_other_calls_refused(t: &Test) {
    if !there(t) {
        return;
    }
    for handle in [0, u64::MAX] {
        t.refused(&Call::MemOpPause { handle }, Status::NotSupported);
        t.refused(&Call::MemOpResume { handle }, Status::NotSupported);
    }
    t.refused(&Call::MemRelinquish, Status::Denied);
    let _mailbox = Mailbox::new(t);
    t.refused(&Call::MemRelinquish, INVALID);
    t.all_is_well();
}

/// Reclaims and lookups from eight CPUs at once: each handle goes once.
fn memory_from_eight_cpus(t: &Test) {
    use core::sync::atomic::{AtomicU32, Ordering};
    if !there(t) {
        return;
    }
    let mailbox = Mailbox::new(t);
    for round in 0..8 {
        let handle = send(t, &mailbox, Kind::Lend, &describe(Kind::Lend, &[(page(round).address(), 1)]));
        let reclaimed = AtomicU32::new(0);
        cpus::on_all(|_| {
            let answer = t.call(&reclaim(handle));
            match Call::decode(&answer) {
                Ok(Call::Success32 { .. }) => _ = reclaimed.fetch_add(1, Ordering::AcqRel),
                _ => t.is_error(&answer, Status::InvalidParameters),
            }
        });
        t.equal("number of CPUs that reclaimed", reclaimed.into_inner().into(), 1);
    }
}

/// A hypervisor sends its VMs' memory in their names: the borrower has to name that VM.
fn memory_of_a_vm(t: &Test) {
    if !there(t) {
        return;
    }
    let mailbox = Mailbox::new(t);
    let memory = page(0);
    let ranges = [(memory.address(), 1)];
    let vm = EndpointId::new(5);
    let retrieve = |sender: EndpointId, handle, kind: Kind, permissions: u8| {
        let sender = u64::from(sender.raw()) | u64::from(crate::descriptor::NORMAL) << 16;
        lets(t, ECHO, command::RETRIEVE, [handle, sender, kind.flags(), permissions.into()]).0
    };
    for kind in [Kind::Share, Kind::Lend] {
        memory.set_word(0, 0x5151);
        let permissions = if kind == Kind::Share { READ_WRITE } else { READ_WRITE | NO_EXECUTE };
        let handle = send(t, &mailbox, kind, &Descriptor { sender: vm, ..describe(kind, &ranges) });
        for wrong in [SELF, EndpointId::new(6)] {
            let code = retrieve(wrong, handle, kind, permissions);
            t.equal("retrieved from another", code.into(), Status::Denied.to_raw().into());
        }
        t.equal("retrieved from the VM", retrieve(vm, handle, kind, permissions).into(), 0);
        let (_, seen) = lets(t, ECHO, command::READ, [handle, 0, 0, 0]);
        t.equal("what the partition sees", seen, 0x5151);
        t.refused(&reclaim(handle), Status::Denied);
        relinquishes(t, ECHO, handle);
        t.succeeds(&reclaim(handle));
    }
    // Not to itself, and not in the name of who is no VM.
    let receivers = [(vm, READ_WRITE, 0)];
    let own = Descriptor { sender: vm, ..Descriptor::new(&receivers, &ranges) };
    refused(t, &mailbox, Kind::Share, &own, INVALID, "a VM to itself");
}

/// What a partition has borrowed when it is stopped is the owner's to take back, and the next life has nothing of it.
fn memory_of_a_stopped_borrower(t: &Test) {
    if !there(t) {
        return;
    }
    let mailbox = Mailbox::new(t);
    let memory = page(0);
    for kind in [Kind::Share, Kind::Lend] {
        let permissions = if kind == Kind::Share { READ_WRITE } else { READ_WRITE | NO_EXECUTE };
        let handle = send(t, &mailbox, kind, &describe(kind, &[(memory.address(), 1)]));
        retrieves(t, ECHO, handle, kind, permissions);
        t.refused(&reclaim(handle), Status::Denied);
        t.refused(&Call::DirectRequest(request(ECHO, [command::FAIL, 0, 0, 0, 0])), Status::Aborted);
        t.echoes(ECHO);
        t.succeeds(&reclaim(handle));
        t.refused(&reclaim(handle), INVALID);
        // It is free to go out again.
        let handle = send(t, &mailbox, kind, &describe(kind, &[(memory.address(), 1)]));
        t.succeeds(&reclaim(handle));
    }
}
