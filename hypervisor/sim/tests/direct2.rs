//! What FF-A 1.2 adds, on the simulated machine: direct requests to services, descriptions in registers, and what
//! depends on the version at the edge.

// What goes wrong in a helper has to stop the test there.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation
)]

use std::sync::{Arc, Mutex};

use tantalum_ffa::{
    Call, DirectMessage, PartitionInfo, PartitionProperties, Status, Target, Uuid, Version, Width, function,
};
use tantalum_hal::{Event, InterruptLine, TrapKind};
use tantalum_sim::dtb::Node;
use tantalum_sim::manifests::{CPUS, partition_base, partition_uuid};
use tantalum_sim::script::{Script, call, echo, trap, wait};
use tantalum_sim::{Context, Sim, SimBuilder};
use tantalum_types::{CallRegisters, EndpointId};

const FIRST: EndpointId = EndpointId::new(0x8001);
const SECOND: EndpointId = EndpointId::new(0x8002);
const PAYLOAD: [u64; 14] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, u64::MAX];
const V1_2: u32 = 0x1_0002;

/// Lets a partition send and receive both forms of requests, and speak FF-A 1.2 from the beginning.
fn modern(manifest: &mut Node) {
    manifest.set("ffa-version", V1_2);
    manifest.set("messaging-method", 0x603_u32);
}

fn to_service(receiver: EndpointId, uuid: Uuid, payload: [u64; 14]) -> Call {
    Call::DirectRequest2 { sender: EndpointId::HYPERVISOR, receiver, uuid, payload }
}

fn plain(receiver: EndpointId) -> Call {
    Call::DirectRequest(DirectMessage {
        width: Width::Bits64,
        sender: EndpointId::HYPERVISOR,
        receiver,
        framework: None,
        payload: [1, 2, 3, 4, 5],
    })
}

/// Returns the request of the second form that came, if one did.
fn service_request(context: &Context<'_>) -> Option<(EndpointId, EndpointId, Uuid, [u64; 14])> {
    if context.start().is_some() || matches!(context.entry, tantalum_hal::Entry::Resume) {
        return None;
    }
    match Call::decode(&context.answer()) {
        Ok(Call::DirectRequest2 { sender, receiver, uuid, payload }) => {
            Some((sender, receiver, uuid, payload))
        }
        _ => None,
    }
}

/// Answers requests of both forms with what they brought, the second with the first half of the UUID in front.
fn both() -> Script {
    let mut plain = echo();
    Box::new(move |context| match service_request(context) {
        Some((sender, receiver, uuid, mut payload)) => {
            payload[0] = uuid.as_u64_pair().0;
            Ok(call(Call::DirectResponse2 { sender: receiver, receiver: sender, payload }))
        }
        None => plain(context),
    })
}

/// Speaks FF-A 1.1 from its first call on, and then does what `script` says.
fn negotiates_1_1(mut script: Script) -> Script {
    let mut agreed = false;
    Box::new(move |context| {
        if !agreed && context.start().is_some() {
            return Ok(call(Call::Version { requested: Version::V1_1.to_raw() }));
        }
        if !agreed {
            agreed = true;
            return Ok(wait());
        }
        script(context)
    })
}

fn boot(script: Script) -> Sim {
    let sim = SimBuilder::new().partition_with("one", [script], modern).partition("old", [both()]).boot();
    sim.call(0, Call::Version { requested: V1_2 });
    sim
}

#[test]
fn a_service_gets_all_registers_and_so_does_its_caller() {
    let sim = boot(both());
    for uuid in [Uuid::nil(), partition_uuid(0)] {
        let mut expected = PAYLOAD;
        expected[0] = uuid.as_u64_pair().0;
        assert_eq!(
            sim.ask(2, to_service(FIRST, uuid, PAYLOAD)),
            Call::DirectResponse2 { sender: FIRST, receiver: EndpointId::HYPERVISOR, payload: expected }
        );
    }
    assert!(matches!(sim.ask(2, plain(FIRST)), Call::DirectResponse(_)), "the first form works beside it");
}

#[test]
fn a_service_answers_the_vm_that_its_hypervisor_speaks_for() {
    let sim = boot(both());
    for vm in [1, 5, 0x7fff].map(EndpointId::new) {
        let request =
            Call::DirectRequest2 { sender: vm, receiver: FIRST, uuid: Uuid::nil(), payload: PAYLOAD };
        let mut payload = PAYLOAD;
        payload[0] = 0;
        let answer = Call::DirectResponse2 { sender: FIRST, receiver: vm, payload };
        assert_eq!(sim.ask(1, request), answer);
    }
    for sender in [0x8001, 0x8002, 0x8000, 0xffff, 0xffc0].map(EndpointId::new) {
        let request = Call::DirectRequest2 { sender, receiver: FIRST, uuid: Uuid::nil(), payload: PAYLOAD };
        assert_eq!(sim.refusal(1, request), Status::InvalidParameters, "{sender}");
    }
}

#[test]
fn who_does_not_speak_1_2_has_no_service_requests() {
    let sim = SimBuilder::new().partition_with("one", [both()], modern).boot();
    let old = |receiver| sim.refusal(0, to_service(receiver, Uuid::nil(), PAYLOAD));
    assert_eq!(old(FIRST), Status::NotSupported, "the normal world speaks 1.0 so far");
}

#[test]
fn each_rule_of_a_service_request_has_its_error() {
    let sim = SimBuilder::new()
        .partition_with("one", [both()], modern)
        .partition_with("old", [negotiates_1_1(both())], modern)
        .partition_with("mute", [both()], |manifest| {
            manifest.set("ffa-version", V1_2);
            manifest.set("messaging-method", 0x403_u32);
        })
        .boot();
    sim.call(0, Call::Version { requested: V1_2 });
    let refused = |receiver, uuid| sim.refusal(0, to_service(receiver, uuid, PAYLOAD));
    let invalid = Status::InvalidParameters;
    assert_eq!(refused(FIRST, partition_uuid(1)), invalid, "the service is another one's");
    assert_eq!(refused(FIRST, Uuid::from_u128(5)), invalid);
    assert_eq!(refused(EndpointId::new(0x8004), Uuid::nil()), invalid);
    assert_eq!(refused(EndpointId::SPMC, Uuid::nil()), invalid);
    assert_eq!(refused(EndpointId::HYPERVISOR, Uuid::nil()), invalid);
    assert_eq!(refused(SECOND, Uuid::nil()), Status::Denied, "it speaks 1.1");
    assert_eq!(refused(EndpointId::new(0x8003), Uuid::nil()), Status::Denied, "it takes none");
    let spoofed =
        Call::DirectRequest2 { sender: SECOND, receiver: FIRST, uuid: Uuid::nil(), payload: PAYLOAD };
    assert_eq!(sim.refusal(0, spoofed), invalid);
    let response =
        Call::DirectResponse2 { sender: EndpointId::HYPERVISOR, receiver: FIRST, payload: PAYLOAD };
    assert_eq!(sim.refusal(0, response), Status::NotSupported);
}

/// Makes `calls` one after the other on a request of either form, notes what comes back, then answers by `answer`.
fn tries(calls: Vec<Call>, answer: Call, notes: &Arc<Mutex<Vec<CallRegisters>>>) -> Script {
    let notes = notes.clone();
    let mut left = Vec::new();
    let mut open = false;
    Box::new(move |context| {
        if !open {
            if context.start().is_some() || context.answer().0[0] == 0x8400_006b {
                return Ok(wait());
            }
            open = true;
            left = calls.clone();
            left.reverse();
        } else {
            notes.lock().unwrap().push(context.answer());
        }
        match left.pop() {
            Some(next) => Ok(call(next)),
            None => {
                open = false;
                Ok(call(answer))
            }
        }
    })
}

fn errors(notes: &Arc<Mutex<Vec<CallRegisters>>>) -> Vec<i32> {
    notes
        .lock()
        .unwrap()
        .iter()
        .map(|answer| {
            assert_eq!(answer.0[0], 0x8400_0060, "{answer:x?}");
            (answer.0[2] as u32).cast_signed()
        })
        .collect()
}

#[test]
fn an_answer_has_the_form_of_its_request() {
    let plain_answer = Call::DirectResponse(DirectMessage {
        width: Width::Bits64,
        sender: FIRST,
        receiver: EndpointId::HYPERVISOR,
        framework: None,
        payload: [0; 5],
    });
    let answer = |receiver| Call::DirectResponse2 { sender: FIRST, receiver, payload: PAYLOAD };
    let notes = Arc::default();
    // To a request of the second form.
    let attempts = vec![
        plain_answer,
        answer(SECOND),
        Call::DirectResponse2 { sender: SECOND, receiver: EndpointId::HYPERVISOR, payload: PAYLOAD },
        Call::MsgWait { retain_rx: false },
    ];
    let sim = boot(tries(attempts, answer(EndpointId::HYPERVISOR), &notes));
    let reply = sim.ask(0, to_service(FIRST, Uuid::nil(), PAYLOAD));
    assert!(matches!(reply, Call::DirectResponse2 { payload: PAYLOAD, .. }), "{reply:?}");
    let (denied, invalid) = (Status::Denied.code(), Status::InvalidParameters.code());
    assert_eq!(errors(&notes), [denied, invalid, invalid, denied]);
    // To one of the first.
    let notes = Arc::default();
    let sim = boot(tries(vec![answer(EndpointId::HYPERVISOR)], plain_answer, &notes));
    assert!(matches!(sim.ask(0, plain(FIRST)), Call::DirectResponse(_)));
    assert_eq!(errors(&notes), [denied]);
}

/// Sends a request of the second form on to `next` and answers with what came back: its x0 and x4.
fn sends_on(own: EndpointId, next: EndpointId) -> Script {
    let mut open = None;
    let mut other = both();
    Box::new(move |context| {
        if let Some((sender, payload)) = open.take() {
            let answer = context.answer();
            let mut payload: [u64; 14] = payload;
            [payload[0], payload[1], payload[2]] = [answer.0[0], answer.0[2], answer.0[17]];
            return Ok(call(Call::DirectResponse2 { sender: own, receiver: sender, payload }));
        }
        match service_request(context) {
            Some((sender, _, _, payload)) => {
                open = Some((sender, payload));
                Ok(call(Call::DirectRequest2 { sender: own, receiver: next, uuid: Uuid::nil(), payload }))
            }
            None => other(context),
        }
    })
}

fn chained(sim: &Sim) -> (u64, u64, u64) {
    match sim.ask(1, to_service(FIRST, Uuid::nil(), PAYLOAD)) {
        Call::DirectResponse2 { payload: [x0, x2, x17, ..], .. } => (x0, x2, x17),
        other => panic!("{other:?}"),
    }
}

#[test]
fn services_ask_each_other() {
    let two = |next: fn(&mut Node), second: Script| {
        let sim = SimBuilder::new()
            .partition_with("one", [sends_on(FIRST, SECOND)], next)
            .partition_with("two", [second], modern)
            .boot();
        sim.call(0, Call::Version { requested: V1_2 });
        sim
    };
    assert_eq!(chained(&two(modern, both())), (0xc400_008e, 0, u64::MAX));
    let error = |status: Status| (0x8400_0060, u64::from(status.to_raw()), 0);
    // In a circle; the innermost hears of it, and answers with the rest of what it got.
    let (x0, _, _) = chained(&two(modern, sends_on(SECOND, FIRST)));
    assert_eq!(x0, 0xc400_008e);
    let silent: fn(&mut Node) = |manifest| {
        modern(manifest);
        manifest.set("messaging-method", 0x203_u32);
    };
    assert_eq!(chained(&two(silent, both())), error(Status::Denied), "it sends none");
    let dies: Script = Box::new(|context| {
        if service_request(context).is_some() { Ok(trap(TrapKind::Instruction)) } else { Ok(wait()) }
    });
    assert_eq!(chained(&two(modern, dies)), error(Status::Aborted));
}

#[test]
fn a_preempted_service_goes_on_by_run() {
    let mut open = None;
    let script: Script = Box::new(move |context| {
        if let Some((sender, payload)) = open.take() {
            return Ok(call(Call::DirectResponse2 { sender: FIRST, receiver: sender, payload }));
        }
        match service_request(context) {
            Some((sender, _, _, payload)) => {
                open = Some((sender, payload));
                Ok(Event::Interrupt(InterruptLine::Foreign))
            }
            None => Ok(wait()),
        }
    });
    let sim = boot(script);
    let target = Target { endpoint: FIRST, vcpu: 0 };
    assert!(matches!(sim.ask(0, to_service(FIRST, Uuid::nil(), PAYLOAD)), Call::Interrupt { .. }));
    assert_eq!(sim.refusal(0, to_service(FIRST, Uuid::nil(), PAYLOAD)), Status::Busy);
    let reply = sim.ask(0, Call::Run { target });
    assert!(matches!(reply, Call::DirectResponse2 { payload: PAYLOAD, .. }), "{reply:?}");
}

// --- Descriptions in registers

fn regs(uuid: Uuid, start_index: u16, tag: u16) -> Call {
    Call::PartitionInfoGetRegs { uuid, start_index, tag }
}

/// Returns the last index, the current one, the tag, the size and the descriptions.
fn described(answer: Call) -> (u16, u16, u16, u16, Vec<PartitionInfo>) {
    let Call::Success64 { results, .. } = answer else { panic!("{answer:?}") };
    let [last, current, tag, size] = core::array::from_fn(|i| (results[0] >> (16 * i)) as u16);
    let records = results[1..].chunks_exact(3).filter(|record| record[0] != 0);
    let infos = records.map(|record| PartitionInfo::decode_registers(record.try_into().unwrap()));
    (last, current, tag, size, infos.collect())
}

#[test]
fn seven_partitions_are_described_in_two_calls() {
    let mut builder = SimBuilder::new();
    for index in 0..7 {
        builder = builder.partition_with(&format!("p{index}"), [echo()], modern);
    }
    let sim = builder.boot();
    assert_eq!(sim.refusal(0, regs(Uuid::nil(), 0, 0)), Status::NotSupported, "the caller speaks 1.0");
    let sim2 = {
        let mut builder = SimBuilder::new();
        for index in 0..7 {
            builder = builder.partition_with(&format!("p{index}"), [echo()], modern);
        }
        let sim = builder.boot();
        sim.call(0, Call::Version { requested: V1_2 });
        sim
    };
    let (last, current, tag, size, first) = described(sim2.ask(0, regs(Uuid::nil(), 0, 0)));
    assert_eq!((last, current, size, first.len()), (6, 4, 24, 5));
    let (last, current, again, size, rest) = described(sim2.ask(0, regs(Uuid::nil(), current + 1, tag)));
    assert_eq!((last, current, again, size, rest.len()), (6, 6, tag, 24, 2));
    for (index, info) in first.iter().chain(&rest).enumerate() {
        assert_eq!(info.id.raw(), 0x8001 + index as u16);
        assert_eq!(info.uuid, partition_uuid(index));
        assert!(info.properties.contains(PartitionProperties::RECEIVES_DIRECT2));
        assert!(!info.properties.contains(PartitionProperties::SENDS_DIRECT2), "not to the normal world");
    }
    // One by its UUID, which the caller knows.
    let (last, current, _, _, one) = described(sim2.ask(0, regs(partition_uuid(3), 0, 0)));
    assert_eq!((last, current, one.len()), (0, 0, 1));
    assert_eq!((one[0].id.raw(), one[0].uuid), (0x8004, Uuid::nil()));
    for (start_index, tag, expected) in [
        (7, tag, Status::InvalidParameters),
        (u16::MAX, tag, Status::InvalidParameters),
        (0, tag, Status::InvalidParameters),
        (1, 0, Status::Retry),
        (1, tag + 1, Status::Retry),
    ] {
        assert_eq!(sim2.refusal(0, regs(Uuid::nil(), start_index, tag)), expected, "{start_index} {tag}");
    }
    assert_eq!(sim2.refusal(0, regs(Uuid::from_u128(1), 0, 0)), Status::InvalidParameters);
}

#[test]
fn a_change_between_two_calls_is_noticed() {
    let fails: Script = Box::new(|context| {
        Ok(if context.request().is_some() { trap(TrapKind::Instruction) } else { wait() })
    });
    let sim = SimBuilder::new().partition("one", [fails]).partition("two", [echo()]).boot();
    sim.call(0, Call::Version { requested: V1_2 });
    let (last, _, tag, _, infos) = described(sim.ask(0, regs(Uuid::nil(), 0, 0)));
    assert_eq!((last, infos.len()), (1, 2));
    assert_eq!(sim.refusal(0, plain(FIRST)), Status::Aborted);
    assert_eq!(sim.refusal(0, regs(Uuid::nil(), 1, tag)), Status::Retry);
    let (last, _, again, _, infos) = described(sim.ask(0, regs(Uuid::nil(), 0, 0)));
    assert_eq!((last, infos.len()), (0, 1));
    assert_ne!(again, tag);
}

// --- Versions at the edge

#[test]
fn what_1_2_adds_is_offered_to_who_speaks_it() {
    let added = [function::DIRECT_REQ2, function::DIRECT_RESP2, function::PARTITION_INFO_GET_REGS];
    for (version, offered) in [(0x1_0000, false), (0x1_0001, false), (V1_2, true), (0x1_0003, true)] {
        let sim = SimBuilder::new().partition("one", [echo()]).boot();
        sim.call(0, Call::Version { requested: version });
        for id in added {
            let answer = sim.ask(0, Call::Features { id, input: 0 });
            assert_eq!(matches!(answer, Call::Success32 { .. }), offered, "{id:#x} in {version:#x}");
        }
    }
}

#[test]
fn registers_that_must_be_zero_are_in_1_2() {
    let run = Call::Run { target: Target { endpoint: FIRST, vcpu: 0 } };
    for (version, checked) in [(0x1_0001, false), (V1_2, true)] {
        for register in 8..18 {
            let sim = SimBuilder::new().partition("one", [echo()]).boot();
            sim.call(0, Call::Version { requested: version });
            let mut registers = run.encode();
            registers.0[register] = 1;
            let answer = sim.raw(0, registers);
            let expected = if checked { 0x8400_0060 } else { 0x8400_006b };
            assert_eq!(answer.0[0], expected, "x{register} in {version:#x}");
            if checked {
                assert_eq!(answer.0[2] as u32, Status::InvalidParameters.to_raw());
            }
            assert_eq!(answer.0[register], 1, "it comes back as it was");
        }
    }
}

#[test]
fn a_partition_is_held_to_its_own_version() {
    for (version, error) in [(0x1_0001_u32, false), (V1_2, true)] {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let script: Script = {
            let seen = seen.clone();
            Box::new(move |context| {
                if context.start().is_none() {
                    seen.lock().unwrap().push(context.answer().0[0]);
                    return Ok(wait());
                }
                let mut registers = wait_registers();
                registers.0[17] = 1;
                Ok(Event::PartitionCall(registers))
            })
        };
        let sim = SimBuilder::new()
            .partition_with("one", [script], move |manifest| manifest.set("ffa-version", version))
            .partition("two", (0..CPUS).map(|_| echo()))
            .boot();
        let refused = seen.lock().unwrap().first().copied() == Some(0x8400_0060);
        assert_eq!(refused, error, "{version:#x}");
        assert_eq!(Version::from_raw(version).unwrap() >= Version::V1_2, error);
        drop(sim);
    }
}

#[test]
fn what_a_version_does_not_know_is_refused_to_who_speaks_it() {
    // The flag of FFA_MSG_WAIT that keeps the RX buffer, and the entry of further execution contexts.
    let entry = Call::SecondaryEpRegister { width: Width::Bits64, entry: partition_base(0) + 0x4000 };
    let (done, unknown, invalid) = (0, Status::NotSupported.to_raw(), Status::InvalidParameters.to_raw());
    for (version, wait_is, entry_is) in
        [(0x1_0000_u32, invalid, unknown), (0x1_0001, invalid, done), (V1_2, done, done)]
    {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let script = |index: usize| {
            let seen = seen.clone();
            let mut calls = vec![Call::MsgWait { retain_rx: true }, entry];
            Box::new(move |context: &mut Context<'_>| {
                if index == 0 && context.start().is_none() {
                    let [x0, _, x2, ..] = context.answer().0;
                    seen.lock().unwrap().push(if x0 == 0x8400_0060 { x2 as u32 } else { 0 });
                }
                Ok(calls.pop().filter(|_| index == 0).map_or_else(wait, call))
            }) as Script
        };
        let sim = SimBuilder::new()
            .partition_with("one", (0..CPUS).map(script), move |manifest| {
                manifest.set("ffa-version", version)
            })
            .boot();
        // One that waits is told so by what wakes it.
        let _ = sim.call(0, Call::Run { target: Target { endpoint: FIRST, vcpu: 0 } });
        assert_eq!(seen.lock().unwrap()[..2], [entry_is, wait_is], "{version:#x}");
    }
}

fn wait_registers() -> CallRegisters {
    tantalum_ffa::answer::msg_wait()
}

#[test]
fn nothing_of_an_old_caller_reaches_the_registers_of_a_partition() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let script: Script = {
        let seen = seen.clone();
        let mut inner = echo();
        Box::new(move |context| {
            if context.request().is_some() {
                seen.lock().unwrap().push(context.answer());
            }
            inner(context)
        })
    };
    let sim = SimBuilder::new().partition("one", [script]).boot();
    let mut registers = plain(FIRST).encode();
    for register in 8..18 {
        registers.0[register] = 0x1111 * register as u64;
    }
    let answer = sim.raw(0, registers);
    assert_eq!(seen.lock().unwrap()[0].0[8..], [0; 10]);
    assert_eq!(answer.0[8..], registers.0[8..], "the caller finds its own");
}
