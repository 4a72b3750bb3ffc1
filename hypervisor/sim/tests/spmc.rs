//! The SPMC on the simulated machine: boot, discovery, messages, refusals, preemption, aborts, isolation.

// What goes wrong in a helper has to stop the test there.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tantalum_ffa::{
    Call, ConsoleText, DirectMessage, FrameworkMessage, PartitionInfo, PartitionProperties, Status, Target,
    Uuid, Version, Width,
};
use tantalum_hal::{Event, ForeignInterrupts, InterruptLine, PhysicalMemory, TrapKind};
use tantalum_sim::manifests::{self, CPUS, partition_base, partition_uuid};
use tantalum_sim::script::{self, Script, call, echo, serve, wait};
use tantalum_sim::{Sim, SimBuilder};
use tantalum_types::{CallRegisters, CpuIndex, EndpointId, Ipa, Pa};

const ECHO: EndpointId = EndpointId::new(0x8001);
const SECOND: EndpointId = EndpointId::new(0x8002);
const THIRD: EndpointId = EndpointId::new(0x8003);
const PAYLOAD: [u64; 5] = [1, 2, 3, 4, 5];
const TX: u64 = 0x4000_0000;
const RX: u64 = 0x4001_0000;

fn echoes() -> Vec<Script> {
    (0..CPUS).map(|_| echo()).collect()
}

/// Boots one echo on every processing element, and two others with one execution context.
fn three(second: Script, third: Script) -> Sim {
    SimBuilder::new()
        .partition("echo", echoes())
        .partition("second", [second])
        .partition("third", [third])
        .boot()
}

fn request(receiver: EndpointId, payload: [u64; 5]) -> Call {
    request_from(EndpointId::HYPERVISOR, receiver, payload)
}

fn request_from(sender: EndpointId, receiver: EndpointId, payload: [u64; 5]) -> Call {
    Call::DirectRequest(DirectMessage { width: Width::Bits64, sender, receiver, framework: None, payload })
}

/// Returns the payload of the direct response that `answer` must be.
fn payload(answer: Call) -> [u64; 5] {
    match answer {
        Call::DirectResponse(message) => message.payload,
        other => panic!("{other:?} is no direct response"),
    }
}

/// Returns what a script got as the answer to its call, sent back as a payload: x0 to x3.
fn first_words(answer: &CallRegisters) -> [u64; 5] {
    let [x0, x1, x2, x3, ..] = answer.0;
    [x0, x1, x2, x3, 0]
}

/// Makes `calls` one after the other when a request comes, and answers with the answer to the last.
fn caller(calls: impl Fn(u64) -> Vec<Call> + Send + 'static) -> Script {
    let mut left: Vec<Call> = Vec::new();
    let mut open: Option<DirectMessage> = None;
    Box::new(move |context| {
        if open.is_none() {
            let Some(request) = context.request() else { return Ok(wait()) };
            left = calls(request.payload[0]);
            left.reverse();
            open = Some(request);
        }
        match left.pop() {
            Some(next) => Ok(call(next)),
            None => {
                let request = open.take().unwrap();
                Ok(call(Call::DirectResponse(request.answer(first_words(&context.answer())))))
            }
        }
    })
}

/// Sends each request on to `next` and passes the answer back, one added to its first word.
fn relay(own: EndpointId, next: EndpointId) -> Script {
    let mut open: Option<DirectMessage> = None;
    Box::new(move |context| match open.take() {
        None => match context.request() {
            Some(request) => {
                open = Some(request);
                Ok(call(request_from(own, next, request.payload)))
            }
            None => Ok(wait()),
        },
        Some(request) => {
            let mut payload = match Call::decode(&context.answer()) {
                Ok(Call::DirectResponse(message)) => message.payload,
                _ => first_words(&context.answer()),
            };
            payload[0] += 1;
            Ok(call(Call::DirectResponse(request.answer(payload))))
        }
    })
}

// --- Boot

#[test]
fn boots_every_execution_context_where_it_belongs() {
    let starts = Arc::new(std::sync::Mutex::new(Vec::new()));
    let watch = || {
        let starts = starts.clone();
        Box::new(move |context: &mut tantalum_sim::Context<'_>| {
            if let Some(start) = context.start() {
                starts.lock().unwrap().push((context.vcpu, context.cpu.get(), start));
            }
            Ok(wait())
        }) as Script
    };
    SimBuilder::new().partition("many", (0..CPUS).map(|_| watch())).partition("one", [watch()]).boot();
    let starts = starts.lock().unwrap();
    let order: Vec<_> =
        starts.iter().map(|(vcpu, cpu, _)| (vcpu.partition.get(), vcpu.index.get(), *cpu)).collect();
    assert_eq!(order, [(0, 0, 0), (1, 0, 0), (0, 1, 1), (0, 2, 2), (0, 3, 3)]);
    for (vcpu, _, start) in starts.iter() {
        let base = partition_base(vcpu.partition.get());
        assert_eq!(start.entry_point, Ipa::secure(base + manifests::IMAGE_OFFSET));
        assert_eq!(start.boot_info_register, 0);
        assert_eq!(start.mpidr & 0xff, vcpu.index.get() as u64);
    }
}

#[test]
fn boots_in_the_order_that_the_manifests_ask_for() {
    let order = Arc::new(std::sync::Mutex::new(Vec::new()));
    let watch = |order: &Arc<std::sync::Mutex<Vec<usize>>>| {
        let order = order.clone();
        Box::new(move |context: &mut tantalum_sim::Context<'_>| {
            if context.start().is_some() {
                order.lock().unwrap().push(context.vcpu.partition.get());
            }
            Ok(wait())
        }) as Script
    };
    SimBuilder::new()
        .partition_with("last", [watch(&order)], |manifest| manifest.remove("boot-order"))
        .partition_with("second", [watch(&order)], |manifest| manifest.set("boot-order", 7_u32))
        .partition_with("first", [watch(&order)], |manifest| manifest.set("boot-order", 3_u32))
        .boot();
    assert_eq!(*order.lock().unwrap(), [2, 1, 0]);
}

#[test]
fn tells_a_partition_where_its_manifest_is() {
    let found = Arc::new(AtomicU64::new(0));
    let script = {
        let found = found.clone();
        Box::new(move |context: &mut tantalum_sim::Context<'_>| {
            if let Some(start) = context.start() {
                let blob: [u8; 64] = context.read(Ipa::secure(start.boot_info))?;
                let info = tantalum_ffa::boot_info::BootInfo::decode(&blob).unwrap();
                let magic: [u8; 4] = context.read(Ipa::secure(info.address))?;
                found.store(u64::from(u32::from_be_bytes(magic)), Ordering::Relaxed);
            }
            Ok(wait())
        }) as Script
    };
    SimBuilder::new().partition("one", [script]).boot();
    assert_eq!(found.load(Ordering::Relaxed), 0xd00d_feed);
}

#[test]
fn goes_on_without_a_partition_whose_manifest_is_wrong() {
    let sim = SimBuilder::new()
        .partition("echo", echoes())
        .partition_with("typo", [echo()], |manifest| manifest.set("boot-oder", 1_u32))
        .partition_with("greedy", [echo()], |manifest| manifest.set("load-address", partition_base(0) as u32))
        .partition("last", [echo()])
        .boot();
    assert_eq!(payload(sim.ask(0, request(ECHO, PAYLOAD))), PAYLOAD);
    assert_eq!(sim.refusal(0, request(SECOND, PAYLOAD)), Status::InvalidParameters);
    assert_eq!(sim.refusal(0, request(THIRD, PAYLOAD)), Status::InvalidParameters);
    // The others keep the ids that the SPMC's manifest gives them.
    assert_eq!(payload(sim.ask(0, request(EndpointId::new(0x8004), PAYLOAD))), PAYLOAD);
}

#[test]
fn goes_on_without_a_partition_that_fails_its_initialisation() {
    let sim = three(script::broken(), echo());
    assert_eq!(sim.refusal(0, request(SECOND, PAYLOAD)), Status::Aborted);
    assert_eq!(payload(sim.ask(0, request(THIRD, PAYLOAD))), PAYLOAD);
    assert_eq!(count(&sim, Uuid::nil()), 2);
}

// --- Version, features, ids

#[test]
fn settles_the_version_with_the_first_other_call() {
    let sim = three(echo(), echo());
    let version = |requested| sim.call(0, Call::Version { requested }).0[0];
    let refused = u64::from(Status::NotSupported.to_raw());
    assert_eq!(version(0x2_0000), refused);
    assert_eq!(version(0x8000_0000), refused);
    assert_eq!(version(0x1_0001), u64::from(Version::V1_2.to_raw()));
    assert_eq!(version(0x1_0002), u64::from(Version::V1_2.to_raw()));
    assert_eq!(version(0x1_0001), u64::from(Version::V1_2.to_raw()));
    assert_eq!(sim.ask(0, Call::IdGet), success([0, 0]));
    assert_eq!(version(0x1_0000), refused);
    assert_eq!(version(0x1_0001), u64::from(Version::V1_2.to_raw()));
}

fn success([w2, w3]: [u32; 2]) -> Call {
    Call::Success32 { target: Target::NONE, results: [w2, w3, 0, 0, 0, 0] }
}

#[test]
fn everybody_learns_its_own_id_and_the_spmcs() {
    let sim = three(caller(|_| vec![Call::IdGet]), caller(|_| vec![Call::SpmIdGet]));
    assert_eq!(sim.ask(1, Call::IdGet), success([0, 0]));
    assert_eq!(sim.ask(1, Call::SpmIdGet), success([0x8000, 0]));
    assert_eq!(payload(sim.ask(0, request(SECOND, PAYLOAD)))[2], 0x8002);
    assert_eq!(payload(sim.ask(0, request(THIRD, PAYLOAD)))[2], 0x8000);
}

#[test]
fn features_depend_on_the_caller() {
    let query = |id: u64| vec![Call::Features { id: id as u32, input: 0 }];
    let sim = SimBuilder::new()
        .partition("one", [caller(query)])
        .partition("many", (0..CPUS).map(|_| caller(query)))
        .boot();
    let of = |receiver, id: u32| {
        let [x0, _, x2, _, _] = payload(sim.ask(0, request(receiver, [u64::from(id), 0, 0, 0, 0])));
        if x0 == 0x8400_0061 { Ok(x2 as u32) } else { Err((x2 as u32).cast_signed()) }
    };
    let normal = |id| match sim.ask(0, Call::Features { id, input: 0 }) {
        Call::Success32 { results: [w2, ..], .. } => Ok(w2),
        Call::Error { status, .. } => Err(status.code()),
        other => panic!("{other:?}"),
    };
    let (msg_wait, run, secondary, log) = (0x8400_006b, 0x8400_006d, 0x8400_0087, 0x8400_008a);
    for id in [msg_wait, secondary, log] {
        assert_eq!(normal(id), Err(-1), "{id:#x}");
        assert_eq!(of(SECOND, id), Ok(0), "{id:#x}");
    }
    assert_eq!(of(ECHO, secondary), Err(-1), "one execution context needs no second entry");
    assert_eq!(normal(run), Ok(0));
    assert_eq!(of(ECHO, run), Ok(0));
    assert_eq!((normal(0x8400_006c), of(ECHO, 0x8400_006c)), (Err(-1), Ok(0)), "FFA_YIELD");
    // Notifications, time slices and what does not exist.
    for id in [0x8400_0078, 0x8400_0079, 0x8400_0088, 0x8400_007d, 0x8400_00ff, 0, 5, 0x8400_0060 | 1 << 30] {
        assert_eq!(normal(id), Err(-1), "{id:#x}");
    }
    // To a caller of 1.1 or less w2 says the smallest buffer and nothing else.
    assert_eq!(normal(0xc400_0066), Ok(0));
}

// --- Buffers and discovery

fn map(sim: &Sim, tx: u64, rx: u64, page_count: u32) -> Call {
    sim.ask(0, Call::RxtxMap { width: Width::Bits64, tx, rx, page_count })
}

fn status(answer: Call) -> Result<(), Status> {
    match answer {
        Call::Success32 { .. } => Ok(()),
        Call::Error { status, .. } => Err(status),
        other => panic!("{other:?}"),
    }
}

fn info(sim: &Sim, uuid: Uuid, count_only: bool) -> Call {
    sim.ask(0, Call::PartitionInfoGet { uuid, count_only })
}

fn count(sim: &Sim, uuid: Uuid) -> u32 {
    match info(sim, uuid, true) {
        Call::Success32 { results: [count, ..], .. } => count,
        other => panic!("{other:?}"),
    }
}

#[test]
fn buffers_are_mapped_once_and_only_in_memory_of_the_caller() {
    let sim = three(
        caller(|_| {
            let base = partition_base(0);
            vec![Call::RxtxMap { width: Width::Bits64, tx: base + 0x8000, rx: base + 0x9000, page_count: 1 }]
        }),
        caller(|_| {
            let base = partition_base(2);
            vec![Call::RxtxMap { width: Width::Bits64, tx: base + 0x8000, rx: base + 0x9000, page_count: 1 }]
        }),
    );
    let invalid = Err(Status::InvalidParameters);
    let unmap = || status(sim.ask(0, Call::RxtxUnmap { endpoint: EndpointId::HYPERVISOR }));
    assert_eq!(unmap(), invalid);
    for (tx, rx, pages) in [
        (TX, TX, 1),
        (TX + 1, RX, 1),
        (TX, RX + 0x800, 1),
        (TX, RX, 0),
        (TX, RX, 17),
        (TX, TX + 0x1000, 2),
        // Secure memory by its number, and memory that is not there.
        (partition_base(0), RX, 1),
        (TX, manifests::SPMC_BASE, 1),
        (TX, 0xc000_0000, 1),
        (TX, 0xffff_ffff_ffff_f000, 1),
    ] {
        assert_eq!(status(map(&sim, tx, rx, pages)), invalid, "{tx:#x} {rx:#x} {pages}");
    }
    assert_eq!(status(map(&sim, TX, RX, 1)), Ok(()));
    assert_eq!(status(map(&sim, TX + 0x2000, RX + 0x2000, 1)), Err(Status::Denied));
    assert_eq!(unmap(), Ok(()));
    assert_eq!(unmap(), invalid);
    assert_eq!(status(map(&sim, TX + 0x2000, RX + 0x2000, 1)), Ok(()));
    assert_eq!(
        sim.refusal(0, Call::RxtxUnmap { endpoint: ECHO }),
        Status::InvalidParameters,
        "a partition is no virtual machine to speak for"
    );
    // A partition may use its own memory and not another's.
    let [x0, _, x2, ..] = payload(sim.ask(0, request(SECOND, PAYLOAD)));
    assert_eq!((x0, x2 as u32), (0x8400_0060, Status::InvalidParameters.to_raw()));
    assert_eq!(payload(sim.ask(0, request(THIRD, PAYLOAD)))[0], 0x8400_0061);
}

#[test]
fn describes_partitions_as_the_callers_version_says() {
    for (version, size, said) in [(0x1_0000, 8, 0), (0x1_0001, 24, 24), (0x1_0002, 24, 24)] {
        let sim = three(echo(), echo());
        sim.call(0, Call::Version { requested: version });
        assert_eq!(status(info(&sim, Uuid::nil(), false)), Err(Status::Denied), "no buffer yet");
        sim.machine().write(Pa::non_secure(RX), &[0xaa; 0x1000]).unwrap();
        assert_eq!(status(map(&sim, TX, RX, 1)), Ok(()));
        assert_eq!(info(&sim, Uuid::nil(), false), success([3, said]));
        let bytes: [u8; 96] = sim.machine().bytes(Pa::non_secure(RX));
        for index in 0..3 {
            let found = PartitionInfo::decode(&bytes[index * size..][..size]).unwrap();
            assert_eq!(found.id.raw(), 0x8001 + index as u16);
            assert_eq!(found.execution_context_count, if index == 0 { CPUS as u16 } else { 1 });
            assert!(found.properties.contains(PartitionProperties::RECEIVES_DIRECT));
            assert!(!found.properties.contains(PartitionProperties::SENDS_DIRECT), "not to the normal world");
            assert_eq!(found.properties.contains(PartitionProperties::AARCH64), version > 0x1_0000);
            if size == 24 {
                assert_eq!(found.uuid, partition_uuid(index));
            }
        }
        // The RX buffer is the caller's until it gives it back.
        assert_eq!(status(info(&sim, Uuid::nil(), false)), Err(Status::Busy));
        assert_eq!(count(&sim, Uuid::nil()), 3);
        let release = || status(sim.ask(0, Call::RxRelease { endpoint: EndpointId::HYPERVISOR }));
        assert_eq!(release(), Ok(()));
        assert_eq!(release(), Err(Status::Denied));
        // One by its UUID; nothing of the longer list is left behind it.
        assert_eq!(info(&sim, partition_uuid(1), false), success([1, said]));
        let bytes: [u8; 96] = sim.machine().bytes(Pa::non_secure(RX));
        let found = PartitionInfo::decode(&bytes[..size]).unwrap();
        assert_eq!((found.id.raw(), found.uuid), (0x8002, Uuid::nil()));
        assert!(bytes[size..3 * size].iter().all(|byte| *byte == 0));
        assert_eq!(release(), Ok(()));
        assert_eq!(status(info(&sim, partition_uuid(7), false)), Err(Status::InvalidParameters));
    }
}

// --- Direct messages

#[test]
fn carries_a_request_and_its_answer_unchanged() {
    let sim = three(echo(), echo());
    let wide = [u64::MAX, 0x0123_4567_89ab_cdef, 0, 1, 1 << 63];
    for cpu in 0..CPUS {
        assert_eq!(payload(sim.ask(cpu, request(ECHO, wide))), wide);
    }
    let narrow = DirectMessage {
        width: Width::Bits32,
        sender: EndpointId::HYPERVISOR,
        receiver: ECHO,
        framework: None,
        payload: [0xffff_ffff, 2, 3, 4, 5],
    };
    let answer = sim.ask(0, Call::DirectRequest(narrow));
    assert_eq!(answer, Call::DirectResponse(narrow.answer(narrow.payload)));
}

#[test]
fn refuses_requests_that_are_not_right() {
    let sim = SimBuilder::new()
        .partition("echo", echoes())
        .partition_with("mute", [echo()], |manifest| manifest.set("messaging-method", 2_u32))
        .boot();
    let invalid = Status::InvalidParameters;
    assert_eq!(sim.refusal(0, request_from(ECHO, SECOND, PAYLOAD)), invalid, "in a partition's name");
    assert_eq!(sim.refusal(0, request(EndpointId::HYPERVISOR, PAYLOAD)), invalid, "to itself");
    assert_eq!(sim.refusal(0, request(THIRD, PAYLOAD)), invalid, "there are two");
    assert_eq!(sim.refusal(0, request(EndpointId::new(0x8009), PAYLOAD)), invalid);
    assert_eq!(sim.refusal(0, request(EndpointId::SPMC, PAYLOAD)), invalid);
    assert_eq!(sim.refusal(0, request(SECOND, PAYLOAD)), Status::Denied, "it receives none");
    let mut reserved = request(ECHO, PAYLOAD).encode();
    reserved.0[2] = 1;
    assert_eq!(sim.raw(0, reserved).0[2] as u32, invalid.to_raw());
    let response = request(ECHO, PAYLOAD);
    let Call::DirectRequest(message) = response else { panic!() };
    assert_eq!(sim.refusal(0, Call::DirectResponse(message)), Status::NotSupported);
    assert_eq!(sim.refusal(0, Call::MsgWait { retain_rx: false }), Status::NotSupported);
    // A message of the framework that only the SPMD may send.
    let message = DirectMessage { framework: Some(FrameworkMessage::PsciRequest), ..message };
    assert_eq!(sim.refusal(0, Call::DirectRequest(message)), invalid);
    assert_eq!(payload(sim.ask(0, request(ECHO, PAYLOAD))), PAYLOAD);
}

#[test]
fn what_is_no_call_is_not_supported() {
    let sim = three(echo(), echo());
    for function in [0x8400_0097_u64, 0x8400_006a, 0xc400_0063, 0x8400_0000, 0, u64::MAX] {
        let answer = sim.raw(0, CallRegisters::from_first_eight([function, 0, 0, 0, 0, 0, 0, 0]));
        assert_eq!((answer.0[0], answer.0[2] as u32), (0x8400_0060, Status::NotSupported.to_raw()));
    }
}

#[test]
fn a_chain_goes_there_and_back() {
    let sim = three(relay(SECOND, ECHO), relay(THIRD, SECOND));
    assert_eq!(payload(sim.ask(2, request(SECOND, [10, 0, 0, 0, 7]))), [11, 0, 0, 0, 7]);
    assert_eq!(payload(sim.ask(3, request(THIRD, [10, 0, 0, 0, 7]))), [12, 0, 0, 0, 7]);
}

#[test]
fn a_chain_has_no_cycle() {
    let sim = three(relay(SECOND, THIRD), relay(THIRD, SECOND));
    // The innermost gets DENIED as its answer, which travels back as a payload: FFA_ERROR + 1 + 1.
    let [x0, _, x2, ..] = payload(sim.ask(0, request(THIRD, PAYLOAD)));
    assert_eq!((x0, x2 as u32), (0x8400_0060 + 2, Status::Denied.to_raw()));
    // The chain is gone and everybody answers again.
    let [x0, ..] = payload(sim.ask(0, request(SECOND, PAYLOAD)));
    assert_eq!(x0, 0x8400_0060 + 2);
}

#[test]
fn a_partition_cannot_speak_for_others() {
    let attempts: [(Call, Status); 8] = [
        (request_from(ECHO, THIRD, PAYLOAD), Status::InvalidParameters),
        (request_from(SECOND, SECOND, PAYLOAD), Status::InvalidParameters),
        (request_from(SECOND, EndpointId::HYPERVISOR, PAYLOAD), Status::InvalidParameters),
        (request_from(SECOND, EndpointId::new(0x8007), PAYLOAD), Status::InvalidParameters),
        (Call::Run { target: Target { endpoint: THIRD, vcpu: 0 } }, Status::Denied),
        (Call::Interrupt { target: Target::NONE, intid: 0 }, Status::Denied),
        (Call::Interrupt { target: Target { endpoint: SECOND, vcpu: 0 }, intid: 40 }, Status::Denied),
        (Call::NormalWorldResume, Status::NotSupported),
    ];
    for (attempt, expected) in attempts {
        let sim = three(caller(move |_| vec![attempt]), echo());
        let [x0, _, x2, ..] = payload(sim.ask(0, request(SECOND, PAYLOAD)));
        assert_eq!((x0, x2 as u32), (0x8400_0060, expected.to_raw()), "{attempt:?}");
    }
}

#[test]
fn an_answer_goes_to_who_asked_and_nobody_else() {
    let wrong = |receiver| {
        let mut tried: Option<DirectMessage> = None;
        Box::new(move |context: &mut tantalum_sim::Context<'_>| match tried.take() {
            None => match context.request() {
                Some(request) => {
                    tried = Some(request);
                    Ok(call(Call::DirectResponse(DirectMessage { receiver, ..request.answer(PAYLOAD) })))
                }
                None => Ok(wait()),
            },
            Some(request) => {
                let refused = first_words(&context.answer());
                Ok(call(Call::DirectResponse(request.answer(refused))))
            }
        }) as Script
    };
    for receiver in [ECHO, THIRD, EndpointId::new(1), EndpointId::SPMD] {
        let sim = three(wrong(receiver), echo());
        let [x0, _, x2, ..] = payload(sim.ask(0, request(SECOND, PAYLOAD)));
        assert_eq!((x0, x2 as u32), (0x8400_0060, Status::InvalidParameters.to_raw()), "{receiver}");
    }
}

#[test]
fn a_partition_at_work_is_busy() {
    // The second waits for the normal world's interrupt in the middle of a request.
    let sim = three(serve(|_, _| Ok(Event::Interrupt(InterruptLine::Foreign))), echo());
    assert!(matches!(sim.ask(0, request(SECOND, PAYLOAD)), Call::Interrupt { .. }));
    assert_eq!(sim.refusal(0, request(SECOND, PAYLOAD)), Status::Busy);
    assert_eq!(sim.refusal(1, request(SECOND, PAYLOAD)), Status::Busy);
    assert_eq!(payload(sim.ask(0, request(THIRD, PAYLOAD))), PAYLOAD);
}

// --- Preemption

/// Is interrupted `times` times by the normal world on each request before it answers.
fn interrupted(times: usize) -> Script {
    let mut open: Option<DirectMessage> = None;
    let mut left = 0;
    Box::new(move |context| {
        if let Some(request) = context.request() {
            assert_eq!(context.foreign, ForeignInterrupts::Taken);
            left = times;
            open = Some(request);
        }
        let Some(request) = open else { return Ok(wait()) };
        if left > 0 {
            left -= 1;
            return Ok(Event::Interrupt(InterruptLine::Foreign));
        }
        open = None;
        Ok(call(Call::DirectResponse(request.answer(request.payload))))
    })
}

fn run(endpoint: EndpointId, vcpu: u16) -> Call {
    Call::Run { target: Target { endpoint, vcpu } }
}

#[test]
fn an_interrupt_of_the_normal_world_preempts_and_run_resumes() {
    let sim = three(interrupted(3), relay(THIRD, SECOND));
    let mut answer = sim.ask(1, request(SECOND, PAYLOAD));
    for _ in 0..3 {
        let Call::Interrupt { target, .. } = answer else { panic!("{answer:?}") };
        assert_eq!(target, Target { endpoint: SECOND, vcpu: 0 });
        answer = sim.ask(1, run(SECOND, 0));
    }
    assert_eq!(payload(answer), PAYLOAD);
    assert_eq!(sim.machine().log_text(), "");
}

#[test]
fn a_chain_is_preempted_and_resumed_as_a_whole() {
    let sim = three(interrupted(2), relay(THIRD, SECOND));
    let mut answer = sim.ask(1, request(THIRD, PAYLOAD));
    for _ in 0..2 {
        let Call::Interrupt { target, .. } = answer else { panic!("{answer:?}") };
        assert_eq!(target, Target { endpoint: THIRD, vcpu: 0 }, "the head is what the caller can run");
        assert_eq!(sim.refusal(1, run(SECOND, 0)), Status::Denied, "only the head is the caller's to run");
        answer = sim.ask(1, run(THIRD, 0));
    }
    assert_eq!(payload(answer), [2, 2, 3, 4, 5]);
}

#[test]
fn run_is_refused_where_there_is_nothing_to_run() {
    let sim = three(echo(), echo());
    let invalid = Status::InvalidParameters;
    assert_eq!(sim.refusal(0, run(EndpointId::new(0x8004), 0)), invalid);
    assert_eq!(sim.refusal(0, run(EndpointId::HYPERVISOR, 0)), invalid);
    assert_eq!(sim.refusal(0, run(SECOND, 1)), invalid, "it has one");
    assert_eq!(sim.refusal(0, run(ECHO, 1)), invalid, "that one is tied to another processing element");
    // A waiting one may do what it likes; it waits again at once.
    assert!(matches!(sim.ask(1, run(ECHO, 1)), Call::MsgWait { .. }));
}

#[test]
fn a_partition_that_queues_them_is_not_interrupted() {
    let seen = Arc::new(std::sync::Mutex::new(None));
    let script = {
        let seen = seen.clone();
        serve(move |context, request| {
            *seen.lock().unwrap() = Some(context.foreign);
            Ok(call(Call::DirectResponse(request.answer(request.payload))))
        })
    };
    let sim = SimBuilder::new()
        .partition_with("queues", [script], |manifest| manifest.set("ns-interrupts-action", 0_u32))
        .boot();
    assert_eq!(payload(sim.ask(0, request(ECHO, PAYLOAD))), PAYLOAD);
    assert_eq!(*seen.lock().unwrap(), Some(ForeignInterrupts::Masked));
}

// --- Aborts and isolation

fn reaches(address: u64, write: bool) -> Script {
    serve(move |context, request| {
        let ipa = Ipa::secure(address);
        if write {
            context.write(ipa, &[1])?;
        } else {
            context.read::<1>(ipa)?;
        }
        Ok(call(Call::DirectResponse(request.answer([0; 5]))))
    })
}

#[test]
fn a_partition_reaches_its_own_memory_and_nothing_else() {
    for write in [false, true] {
        let own = partition_base(1);
        for address in [own, own + manifests::PARTITION_SIZE - 1] {
            let sim = three(reaches(address, write), echo());
            assert_eq!(payload(sim.ask(0, request(SECOND, PAYLOAD))), [0; 5], "{address:#x}");
        }
        for address in [
            own - 1,
            own + manifests::PARTITION_SIZE,
            manifests::SPMC_BASE,
            partition_base(0),
            partition_base(2),
            manifests::DEVICE_BASE,
            manifests::NON_SECURE_BASE,
            0,
            (1 << 39) + own,
        ] {
            let sim = three(reaches(address, write), echo());
            assert_eq!(sim.refusal(0, request(SECOND, PAYLOAD)), Status::Aborted, "{address:#x}");
            assert_eq!(sim.refusal(0, request(SECOND, PAYLOAD)), Status::Aborted, "it stays stopped");
            assert_eq!(payload(sim.ask(0, request(THIRD, PAYLOAD))), PAYLOAD, "others are unharmed");
        }
    }
}

#[test]
fn the_non_secure_space_of_a_partition_is_empty() {
    for address in [manifests::NON_SECURE_BASE, partition_base(1), manifests::SPMC_BASE] {
        let script = serve(move |context, request| {
            context.read::<1>(Ipa::non_secure(address))?;
            Ok(call(Call::DirectResponse(request.answer([0; 5]))))
        });
        let sim = three(script, echo());
        assert_eq!(sim.refusal(0, request(SECOND, PAYLOAD)), Status::Aborted, "{address:#x}");
    }
}

#[test]
fn an_abort_tells_the_caller_in_the_chain() {
    let sim = three(serve(|_, _| Ok(script::trap(TrapKind::Instruction))), relay(THIRD, SECOND));
    let [x0, _, x2, ..] = payload(sim.ask(0, request(THIRD, PAYLOAD)));
    assert_eq!((x0, x2 as u32), (0x8400_0060 + 1, Status::Aborted.to_raw()));
    // The one in the middle is alive, and learns each time.
    let [x0, _, x2, ..] = payload(sim.ask(0, request(THIRD, PAYLOAD)));
    assert_eq!((x0, x2 as u32), (0x8400_0060 + 1, Status::Aborted.to_raw()));
    assert_eq!(count(&sim, Uuid::nil()), 2, "the stopped one is not listed");
}

#[test]
fn an_abort_in_one_execution_context_stops_all() {
    let fails_on_one = |cpu: usize| {
        if cpu == 1 { serve(|_, _| Ok(script::trap(TrapKind::SystemError))) } else { echo() }
    };
    let sim = SimBuilder::new().partition("many", (0..CPUS).map(fails_on_one)).boot();
    assert_eq!(payload(sim.ask(0, request(ECHO, PAYLOAD))), PAYLOAD);
    assert_eq!(sim.refusal(1, request(ECHO, PAYLOAD)), Status::Aborted);
    for cpu in 0..CPUS {
        assert_eq!(sim.refusal(cpu, request(ECHO, PAYLOAD)), Status::Aborted);
        assert_eq!(sim.refusal(cpu, run(ECHO, cpu as u16)), Status::Aborted);
    }
}

// --- Console, interrupts, power

fn text(line: &str) -> Call {
    let (text, rest) = ConsoleText::take(Width::Bits64, line.as_bytes()).unwrap();
    assert!(rest.is_empty());
    Call::ConsoleLog(text)
}

#[test]
fn lines_of_a_partition_bear_its_name_and_cannot_steer_the_terminal() {
    let sim = three(caller(|_| vec![text("hello, "), text("world\n[spmc] fake\x1b[2J\n")]), echo());
    assert_eq!(payload(sim.ask(0, request(SECOND, PAYLOAD)))[0], 0x8400_0061);
    assert_eq!(sim.machine().log_text(), "[sp 8002 second] hello, world\n[sp 8002 second] [spmc] fake.[2J\n");
    assert_eq!(sim.refusal(0, text("x")), Status::NotSupported, "the normal world has its own log");
}

#[test]
fn a_secure_interrupt_that_nobody_owns_is_silenced() {
    let sim = three(echo(), echo());
    sim.machine().raise(CpuIndex::new(2).unwrap(), 40);
    let answer = sim.ask(2, Call::Interrupt { target: Target::NONE, intid: 0 });
    assert_eq!(answer, Call::NormalWorldResume);
    let [(cpu, 40, setting)] = sim.machine().interrupt_settings()[..] else { panic!("it is not silenced") };
    assert_eq!((cpu.get(), setting.enabled), (2, false));
    assert_eq!(sim.machine().ended_interrupts(), [(cpu, 40)]);
    // It is no call of the normal world, so the version is still open.
    assert_eq!(sim.call(0, Call::Version { requested: 0x1_0001 }).0[0], 0x1_0002);
}

#[test]
fn a_secure_interrupt_does_not_disturb_who_runs() {
    let mut open: Option<DirectMessage> = None;
    let script: Script = Box::new(move |context| match (context.request(), open.take()) {
        (Some(request), _) => {
            open = Some(request);
            Ok(Event::Interrupt(InterruptLine::Secure))
        }
        (None, Some(request)) => Ok(call(Call::DirectResponse(request.answer(request.payload)))),
        (None, None) => Ok(wait()),
    });
    let sim = three(script, echo());
    sim.machine().raise(CpuIndex::new(0).unwrap(), 41);
    assert_eq!(payload(sim.ask(0, request(SECOND, PAYLOAD))), PAYLOAD);
    assert_eq!(sim.machine().interrupt_settings().len(), 1);
}

#[test]
fn a_processing_element_goes_off_and_comes_back() {
    let sim = three(echo(), echo());
    const CPU_OFF: u64 = 0x8400_0002;
    let off = sim.spmd_message(FrameworkMessage::PsciRequest, [CPU_OFF, 0, 0, 0, 0]);
    match sim.ask(3, off) {
        Call::DirectResponse(message) => {
            assert_eq!(message.framework, Some(FrameworkMessage::PmResponse));
            assert_eq!((message.receiver, message.payload[0]), (EndpointId::SPMD, 0));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(payload(sim.ask(0, request(ECHO, PAYLOAD))), PAYLOAD);
    let answer = sim.start_cpu(3);
    assert!(matches!(Call::decode(&answer), Ok(Call::MsgWait { .. })));
    assert_eq!(payload(sim.ask(3, request(ECHO, PAYLOAD))), PAYLOAD);
}

#[test]
fn other_execution_contexts_begin_where_the_first_one_says() {
    let entries = Arc::new(std::sync::Mutex::new(Vec::new()));
    let script = |index: usize| {
        let entries = entries.clone();
        let mut registered = index != 0;
        Box::new(move |context: &mut tantalum_sim::Context<'_>| {
            if let Some(start) = context.start() {
                entries.lock().unwrap().push(start.entry_point.raw() - partition_base(0));
            }
            if !registered {
                registered = true;
                let entry = partition_base(0) + 0x5000;
                return Ok(call(Call::SecondaryEpRegister { width: Width::Bits64, entry }));
            }
            Ok(wait())
        }) as Script
    };
    SimBuilder::new().partition("many", (0..CPUS).map(script)).boot();
    assert_eq!(*entries.lock().unwrap(), [0x4000, 0x5000, 0x5000, 0x5000]);
}

// --- Many at once

#[test]
fn four_processing_elements_at_once_keep_their_answers_apart() {
    let sim = three(echo(), echo());
    std::thread::scope(|scope| {
        for cpu in 0..CPUS {
            let sim = &sim;
            scope.spawn(move || {
                for round in 0..500 {
                    let words = [cpu as u64, round, 0, 0, 0];
                    assert_eq!(payload(sim.ask(cpu, request(ECHO, words))), words);
                    // The one with a single execution context serves one at a time.
                    match sim.ask(cpu, request(SECOND, words)) {
                        Call::Error { status, .. } => assert_eq!(status, Status::Busy),
                        answer => assert_eq!(payload(answer), words),
                    }
                }
            });
        }
    });
    assert_eq!(payload(sim.ask(0, request(SECOND, PAYLOAD))), PAYLOAD, "nobody holds it for ever");
}
