//! What FF-A 1.2 has added: requests to services, and descriptions of partitions in registers.

use tantalum_ffa::{Call, PartitionInfo, PartitionProperties, Status, Uuid, Version, function as f};
use tantalum_types::{CallRegisters, EndpointId};

use crate::endpoint::{ECHO, IRQ, NOBODY, PARTITIONS, SELF, UNKNOWN_UUID};
use crate::machine::{cpus, interrupts};
use crate::test::{Answer, Case, Test, cases, registers};

pub(crate) const CASES: &[Case] = cases![
    info_regs_all,
    info_regs_by_uuid,
    info_regs_refused,
    service_request,
    service_request_from_eight_cpus,
    service_request_refused,
    spmd_messages_refused,
];

fn info(uuid: Uuid, start_index: u16, tag: u16) -> Call {
    Call::PartitionInfoGetRegs { uuid, start_index, tag }
}

/// Reads the answer: the last index, the current one, the tag, and the size of a record; then the records.
#[track_caller]
fn described(t: &Test, answer: &CallRegisters) -> Option<([u16; 4], [PartitionInfo; 5])> {
    let Ok(Call::Success64 { results: [sizes, words @ ..], .. }) = Call::decode(answer) else {
        t.check(false, format_args!("expected FFA_SUCCESS (64-bit), got {}", Answer(answer)));
        return None;
    };
    let sizes = [0, 16, 32, 48].map(|shift| (sizes >> shift) as u16);
    let records = core::array::from_fn(|index| {
        PartitionInfo::decode_registers([words[3 * index], words[3 * index + 1], words[3 * index + 2]])
    });
    Some((sizes, records))
}

fn there(t: &Test) -> bool {
    if t.version() < Version::V1_2 {
        t.refused(&info(Uuid::nil(), 0, 0), Status::NotSupported);
    }
    t.since(Version::V1_2, f::PARTITION_INFO_GET_REGS)
}

fn info_regs_all(t: &Test) {
    if !there(t) {
        return;
    }
    let Some(([last, current, tag, size], records)) = described(t, &t.call(&info(Uuid::nil(), 0, 0))) else {
        return;
    };
    t.equal("last index", last.into(), PARTITIONS.len() as u64 - 1);
    t.equal("current index", current.into(), PARTITIONS.len() as u64 - 1);
    t.equal("size of a record", size.into(), PartitionInfo::SIZE as u64);
    for ((id, contexts, uuid), record) in PARTITIONS.into_iter().zip(records) {
        t.equal("id", record.id.raw().into(), id.raw().into());
        t.equal("execution contexts", record.execution_context_count.into(), contexts.into());
        t.check(record.uuid == uuid, format_args!("{id}: expected {uuid}, got {}", record.uuid));
    }
    // From each index on, with the tag of the first answer.
    for (start, (id, ..)) in PARTITIONS.into_iter().enumerate() {
        // The first question has no answer before it.
        let tag = if start == 0 { 0 } else { tag };
        if let Some((_, records)) = described(t, &t.call(&info(Uuid::nil(), start as u16, tag))) {
            t.equal("first id", records[0].id.raw().into(), id.raw().into());
        }
    }
}

fn info_regs_by_uuid(t: &Test) {
    if !there(t) {
        return;
    }
    for (id, _, uuid) in PARTITIONS {
        if let Some(([last, current, ..], records)) = described(t, &t.call(&info(uuid, 0, 0))) {
            t.check((last, current) == (0, 0), format_args!("{id}: indices {last} and {current}"));
            t.equal("id", records[0].id.raw().into(), id.raw().into());
            t.check(records[0].uuid.is_nil(), format_args!("the UUID that was asked for is told again"));
        }
    }
}

fn info_regs_refused(t: &Test) {
    if !there(t) {
        return;
    }
    t.refused(&info(UNKNOWN_UUID, 0, 0), Status::InvalidParameters);
    let Some(([_, _, tag, _], _)) = described(t, &t.call(&info(Uuid::nil(), 0, 0))) else { return };
    for start in [3, 4, 0xffff] {
        t.refused(&info(Uuid::nil(), start, tag), Status::InvalidParameters);
    }
    t.refused(&info(PARTITIONS[0].2, 1, tag), Status::InvalidParameters);
    // What an earlier answer did not give: the list may have changed in between.
    t.refused(&info(Uuid::nil(), 1, !tag), Status::Retry);
    // The 32-bit form does not exist.
    t.is_unknown(&registers(0x8400_008b, [0, 0, 0]));
}

fn request2(receiver: EndpointId, uuid: Uuid, payload: [u64; 14]) -> Call {
    Call::DirectRequest2 { sender: SELF, receiver, uuid, payload }
}

/// The partition answers with all fourteen registers, or says in its properties that it takes no such requests.
fn service_request(t: &Test) {
    if !t.since(Version::V1_2, f::DIRECT_REQ2) {
        return;
    }
    let payload: [u64; 14] =
        core::array::from_fn(|number| 0x0101_0101_0101_0101 << (number % 8) | number as u64);
    for (id, _, uuid) in PARTITIONS {
        let takes = t.properties(id).contains(PartitionProperties::RECEIVES_DIRECT2);
        t.check(takes == (id == ECHO), format_args!("{id} takes such requests: {takes}"));
        for uuid in [uuid, Uuid::nil()] {
            let call = request2(id, uuid, payload);
            if !takes {
                t.refused(&call, Status::Denied);
                continue;
            }
            answers(t, &call, &payload, SELF);
        }
    }
}

/// Asserts that "echo" answers a request to its service, to `sender`, with what it brought.
#[track_caller]
fn answers(t: &Test, call: &Call, payload: &[u64; 14], sender: EndpointId) {
    let answer = t.call(call);
    let expected = Call::DirectResponse2 { sender: ECHO, receiver: sender, payload: *payload };
    t.check(
        Call::decode(&answer) == Ok(expected),
        format_args!("expected {expected:x?}, got {}", Answer(&answer)),
    );
}

/// From eight CPUs, each with its own fourteen registers, in the name of VMs and interrupted.
fn service_request_from_eight_cpus(t: &Test) {
    if !t.since(Version::V1_2, f::DIRECT_REQ2) {
        return;
    }
    cpus::on_all(|cpu| {
        for round in 0..50 {
            let payload = core::array::from_fn(|number| (cpu << 32 | round << 8 | number) as u64);
            let sender = EndpointId::new(cpu as u16);
            let call = Call::DirectRequest2 { sender, receiver: ECHO, uuid: Uuid::nil(), payload };
            if round % 5 == 0 {
                // It is pending when the partition is entered.
                let answer = interrupts::masked(|| {
                    interrupts::fire_el2_timer(0);
                    t.call(&call)
                });
                let Ok(Call::Interrupt { target, .. }) = Call::decode(&answer) else {
                    return t.check(false, format_args!("expected FFA_INTERRUPT, got {}", Answer(&answer)));
                };
                t.check(target.endpoint == ECHO, format_args!("{target:?} was interrupted"));
                answers(t, &Call::Run { target }, &payload, sender);
            } else {
                answers(t, &call, &payload, sender);
            }
        }
    });
}

fn service_request_refused(t: &Test) {
    if !t.since(Version::V1_2, f::DIRECT_REQ2) {
        return;
    }
    t.refused(&request2(NOBODY, Uuid::nil(), [0; 14]), Status::InvalidParameters);
    t.refused(&request2(SELF, Uuid::nil(), [0; 14]), Status::InvalidParameters);
    t.refused(&request2(EndpointId::SPMC, Uuid::nil(), [0; 14]), Status::InvalidParameters);
    for sender in [ECHO, IRQ, EndpointId::SPMC, EndpointId::SPMD] {
        let call = Call::DirectRequest2 { sender, receiver: ECHO, uuid: Uuid::nil(), payload: [0; 14] };
        t.refused(&call, Status::InvalidParameters);
    }
    // A service of somebody else, or of nobody.
    t.refused(&request2(ECHO, PARTITIONS[1].2, [0; 14]), Status::InvalidParameters);
    t.refused(&request2(ECHO, UNKNOWN_UUID, [0; 14]), Status::InvalidParameters);
    // An answer of the other form to a request of this form is nobody's to make here.
    let answer = Call::DirectResponse2 { sender: SELF, receiver: ECHO, payload: [0; 14] };
    t.refused(&answer, Status::NotSupported);
}

/// Messages in the name of the SPMD would put off CPUs and change versions.
fn spmd_messages_refused(t: &Test) {
    for number in 0..16 {
        for function in [f::DIRECT_REQ_32, f::DIRECT_REQ_64] {
            for receiver in [EndpointId::SPMC, ECHO] {
                let w1 = u64::from(EndpointId::SPMD.raw()) << 16 | u64::from(receiver.raw());
                let call = registers(function, [w1, 1 << 31 | number, 0x8400_0002, 0x1_0000]);
                t.refused_raw(&call, Status::InvalidParameters);
            }
        }
    }
    t.echoes(ECHO);
    t.all_is_well();
}
