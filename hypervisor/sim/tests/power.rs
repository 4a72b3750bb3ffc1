//! Processing elements that go off and on, on the simulated machine: who hears of it, what becomes of what is there.

// What goes wrong in a helper has to stop the test there.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation
)]

use std::sync::{Arc, Mutex};

use tantalum_ffa::{Call, DirectMessage, FrameworkMessage, Status, Target, Width};
use tantalum_hal::{Event, ForeignInterrupts, InterruptLine, TrapKind};
use tantalum_sim::dtb::Node;
use tantalum_sim::guest::guest;
use tantalum_sim::manifests::CPUS;
use tantalum_sim::script::{Script, call, echo, wait};
use tantalum_sim::{Context, Sim, SimBuilder};
use tantalum_types::EndpointId;

const FIRST: EndpointId = EndpointId::new(0x8001);
const SECOND: EndpointId = EndpointId::new(0x8002);
const PAYLOAD: [u64; 5] = [1, 2, 3, 4, 5];
const CPU_OFF: u64 = 0x8400_0002;
const INTERRUPTED: u64 = 0x1111;
const ASK: u64 = 0x2222;

/// Notes who heard of what: the partition, the number of the execution context, x3 of the message.
type Heard = Arc<Mutex<Vec<(u16, usize, u64)>>>;

fn subscribes(manifest: &mut Node) {
    manifest.set("power-management-messages", 1_u32);
}

fn request(receiver: EndpointId, payload: [u64; 5]) -> Call {
    Call::DirectRequest(DirectMessage {
        width: Width::Bits64,
        sender: EndpointId::HYPERVISOR,
        receiver,
        framework: None,
        payload,
    })
}

fn payload(answer: Call) -> [u64; 5] {
    match answer {
        Call::DirectResponse(message) => message.payload,
        other => panic!("{other:?} is no direct response"),
    }
}

/// Tells the SPMC that `cpu` goes off, and returns the PSCI status that it answers.
fn off(sim: &Sim, cpu: usize) -> u64 {
    match sim.ask(cpu, sim.spmd_message(FrameworkMessage::PsciRequest, [CPU_OFF, 0, 0, 0, 0])) {
        Call::DirectResponse(answer) => {
            assert_eq!(answer.framework, Some(FrameworkMessage::PmResponse));
            assert_eq!((answer.sender, answer.receiver), (EndpointId::SPMC, EndpointId::SPMD));
            answer.payload[0]
        }
        other => panic!("{other:?}"),
    }
}

fn on(sim: &Sim, cpu: usize) {
    assert!(matches!(Call::decode(&sim.start_cpu(cpu)), Ok(Call::MsgWait { .. })));
}

/// Lets `respond` say what an execution context does on a message of the framework, and otherwise echoes, or is
/// interrupted once by INTERRUPTED.
fn listener(
    heard: &Heard,
    mut respond: impl FnMut(&DirectMessage) -> Result<Event, TrapKind> + Send + 'static,
) -> Script {
    let heard = heard.clone();
    let mut inner = echo();
    let mut open: Option<DirectMessage> = None;
    Box::new(move |context: &mut Context<'_>| {
        if let Some(asked) = open.take() {
            return Ok(call(Call::DirectResponse(asked.answer(asked.payload))));
        }
        match context.request() {
            Some(message) if message.framework.is_some() => {
                let index = context.vcpu.index.get();
                heard.lock().unwrap().push((message.receiver.raw(), index, message.payload[0]));
                assert_eq!(message.sender, EndpointId::SPMC);
                assert_eq!(context.foreign, ForeignInterrupts::Masked, "nobody could take over");
                respond(&message)
            }
            Some(message) if message.payload[0] == INTERRUPTED => {
                open = Some(message);
                Ok(Event::Interrupt(InterruptLine::Foreign))
            }
            _ => inner(context),
        }
    })
}

fn agrees(message: &DirectMessage) -> Result<Event, TrapKind> {
    Ok(call(Call::DirectResponse(message.framework_answer(FrameworkMessage::PmResponse, [0; 5]))))
}

fn listeners(heard: &Heard) -> Vec<Script> {
    (0..CPUS).map(|_| listener(heard, agrees)).collect()
}

#[test]
fn who_asked_for_it_hears_of_it_in_turn() {
    let heard = Heard::default();
    let sim = SimBuilder::new()
        .partition_with("first", listeners(&heard), subscribes)
        .partition("deaf", listeners(&heard))
        .partition_with("one", [listener(&heard, agrees)], subscribes)
        .partition_with("last", listeners(&heard), subscribes)
        .boot();
    assert_eq!(off(&sim, 2), 0);
    // One with a single execution context goes on elsewhere.
    assert_eq!(*heard.lock().unwrap(), [(0x8001, 2, CPU_OFF), (0x8004, 2, CPU_OFF)]);
    for id in 1..=4 {
        let receiver = EndpointId::new(0x8000 + id);
        assert_eq!(payload(sim.ask(0, request(receiver, PAYLOAD))), PAYLOAD);
    }
    on(&sim, 2);
    for id in 1..=4 {
        let receiver = EndpointId::new(0x8000 + id);
        assert_eq!(payload(sim.ask(2, request(receiver, PAYLOAD))), PAYLOAD);
    }
}

#[test]
fn nobody_can_keep_it_on() {
    let refuses = |message: &DirectMessage| {
        let denied = u64::from(Status::Denied.to_raw());
        Ok(call(Call::DirectResponse(
            message.framework_answer(FrameworkMessage::PmResponse, [denied, 0, 0, 0, 0]),
        )))
    };
    let faults = |_: &DirectMessage| Err(TrapKind::SystemError);
    for dies in [false, true] {
        let heard = Heard::default();
        let scripts: Vec<Script> = (0..CPUS)
            .map(|_| if dies { listener(&heard, faults) } else { listener(&heard, refuses) })
            .collect();
        let sim = SimBuilder::new()
            .partition_with("first", scripts, |manifest| {
                subscribes(manifest);
                manifest.set("abort-action", 2_u32);
            })
            .partition_with("last", listeners(&heard), subscribes)
            .boot();
        assert_eq!(off(&sim, 1), 0, "anything else would end the machine");
        assert_eq!(heard.lock().unwrap().len(), 2, "the next one hears of it all the same");
        // One that died of it begins anew when it is next asked.
        assert_eq!(payload(sim.ask(0, request(FIRST, PAYLOAD))), PAYLOAD);
        assert_eq!(payload(sim.ask(0, request(SECOND, PAYLOAD))), PAYLOAD);
        on(&sim, 1);
        assert_eq!(payload(sim.ask(1, request(FIRST, PAYLOAD))), PAYLOAD);
    }
}

#[test]
fn while_it_listens_a_partition_can_only_answer() {
    let notes: Arc<Mutex<Vec<i32>>> = Arc::default();
    let script = |index: usize| {
        let notes = notes.clone();
        let mut message: Option<DirectMessage> = None;
        let mut step = 0;
        let mut inner = echo();
        Box::new(move |context: &mut Context<'_>| {
            if index != 1 {
                return inner(context);
            }
            if let Some(found) = context.request()
                && found.framework.is_some()
            {
                message = Some(found);
                step = 0;
            } else if message.is_some() {
                let answer = context.answer();
                assert_eq!(answer.0[0], 0x8400_0060);
                notes.lock().unwrap().push((answer.0[2] as u32).cast_signed());
            }
            let Some(found) = message else { return inner(context) };
            step += 1;
            let own = found.receiver;
            let direct = DirectMessage {
                width: Width::Bits64,
                sender: own,
                receiver: SECOND,
                framework: None,
                payload: PAYLOAD,
            };
            let wrong = DirectMessage { receiver: EndpointId::HYPERVISOR, ..found.answer([0; 5]) };
            Ok(match step {
                1 => wait(),
                2 => call(Call::DirectRequest(direct)),
                3 => call(Call::Run { target: Target { endpoint: SECOND, vcpu: 0 } }),
                4 => call(Call::Yield { target: Target::NONE, timeout: 0 }),
                5 => call(Call::DirectResponse(found.answer([0; 5]))),
                6 => call(Call::DirectResponse(
                    found.framework_answer(FrameworkMessage::VmCreatedResponse, [0; 5]),
                )),
                7 => call(Call::DirectResponse(DirectMessage {
                    framework: Some(FrameworkMessage::PmResponse),
                    ..wrong
                })),
                _ => {
                    message = None;
                    return agrees(&found);
                }
            })
        }) as Script
    };
    let sim = SimBuilder::new()
        .partition_with("first", (0..CPUS).map(script), subscribes)
        .partition("second", [echo()])
        .boot();
    assert_eq!(off(&sim, 1), 0);
    let (denied, invalid) = (Status::Denied.code(), Status::InvalidParameters.code());
    // An answer of another kind, and one to somebody else, are not what the message asks for.
    assert_eq!(*notes.lock().unwrap(), [denied, denied, denied, denied, denied, invalid, invalid]);
}

#[test]
fn an_answer_to_no_message_is_refused() {
    let script: Script = {
        let mut open: Option<DirectMessage> = None;
        Box::new(move |context| match (context.request(), open.take()) {
            (Some(found), _) => {
                open = Some(found);
                let answer = DirectMessage { receiver: EndpointId::SPMC, ..found.answer([0; 5]) };
                let framework = Some(FrameworkMessage::PmResponse);
                Ok(call(Call::DirectResponse(DirectMessage { framework, ..answer })))
            }
            (None, Some(found)) => {
                let [x0, _, x2, ..] = context.answer().0;
                Ok(call(Call::DirectResponse(found.answer([x0, x2, 0, 0, 0]))))
            }
            (None, None) => Ok(wait()),
        })
    };
    let sim = SimBuilder::new().partition("one", [script]).boot();
    let [x0, x2, ..] = payload(sim.ask(0, request(FIRST, PAYLOAD)));
    assert_eq!((x0, x2 as u32), (0x8400_0060, Status::Denied.to_raw()));
}

#[test]
fn what_is_in_the_middle_of_something_goes_on_later() {
    let heard = Heard::default();
    let sim = SimBuilder::new()
        .partition_with("many", listeners(&heard), subscribes)
        .partition_with("one", [listener(&heard, agrees)], subscribes)
        .boot();
    let interrupted = [INTERRUPTED, 7, 0, 0, 0];
    assert!(matches!(sim.ask(1, request(FIRST, interrupted)), Call::Interrupt { .. }));
    assert!(matches!(sim.ask(1, request(SECOND, interrupted)), Call::Interrupt { .. }));
    assert_eq!(off(&sim, 1), 0);
    assert_eq!(*heard.lock().unwrap(), [], "it cannot listen");
    // One that is tied to it waits, the other one goes on anywhere.
    assert_eq!(sim.refusal(0, run(FIRST, 1)), Status::InvalidParameters);
    assert_eq!(payload(sim.ask(0, run(SECOND, 0))), interrupted);
    on(&sim, 1);
    assert_eq!(sim.refusal(1, request(FIRST, PAYLOAD)), Status::Busy);
    assert_eq!(payload(sim.ask(1, run(FIRST, 1))), interrupted);
    assert_eq!(payload(sim.ask(1, request(FIRST, PAYLOAD))), PAYLOAD);
}

/// Is an execution context that sends each request which begins with ASK on to `next`, and answers by what its call
/// returned; an interrupt of the normal world stops it once if a request begins with INTERRUPTED.
fn asker(next: EndpointId) -> Script {
    guest(move |guest| {
        let mut news = guest.wait();
        loop {
            news = match news {
                Call::DirectRequest(asked) => {
                    let answer = match asked.payload {
                        [ASK, rest @ ..] => {
                            let [first, second, third, fourth] = rest;
                            let forwarded = DirectMessage {
                                sender: asked.receiver,
                                receiver: next,
                                payload: [first, second, third, fourth, 0],
                                ..asked
                            };
                            match guest.call(Call::DirectRequest(forwarded)) {
                                Call::DirectResponse(message) => message.payload,
                                Call::Error { status, .. } => [u64::from(status.to_raw()); 5],
                                other => panic!("{other:?}"),
                            }
                        }
                        [INTERRUPTED, ..] => {
                            guest.stopped_by(InterruptLine::Foreign);
                            asked.payload
                        }
                        _ => asked.payload,
                    };
                    guest.respond(&asked, answer)
                }
                _ => guest.wait(),
            };
        }
    })
}

fn run(endpoint: EndpointId, vcpu: u16) -> Call {
    Call::Run { target: Target { endpoint, vcpu } }
}

const ABORTED: [u64; 5] = [0xffff_fff8; 5];

#[test]
fn who_waits_for_one_that_stays_behind_learns_so_elsewhere() {
    let sim = SimBuilder::new()
        .partition("many", (0..CPUS).map(|_| asker(SECOND)))
        .partition("one", [asker(FIRST)])
        .boot();
    let chain = request(SECOND, [ASK, INTERRUPTED, 0, 0, 0]);
    let target = Target { endpoint: SECOND, vcpu: 0 };
    assert_eq!(sim.ask(1, chain), Call::Interrupt { target, intid: 0 });
    assert_eq!(sim.refusal(0, run(SECOND, 0)), Status::Denied, "it goes on there");
    assert_eq!(off(&sim, 1), 0);
    // The normal world's scheduler lets it go on; it learns that there is no answer, and works again.
    assert_eq!(sim.refusal(2, request(SECOND, PAYLOAD)), Status::Busy);
    assert_eq!(payload(sim.ask(2, run(SECOND, 0))), ABORTED);
    for cpu in [0, 2, 3] {
        assert_eq!(payload(sim.ask(cpu, request(SECOND, PAYLOAD))), PAYLOAD);
        assert_eq!(payload(sim.ask(cpu, request(FIRST, PAYLOAD))), PAYLOAD);
    }
    // The one that stayed behind answers nobody, and works again.
    on(&sim, 1);
    assert_eq!(sim.refusal(1, request(FIRST, PAYLOAD)), Status::Busy);
    assert_eq!(sim.refusal(1, run(FIRST, 1)), Status::Aborted);
    assert_eq!(payload(sim.ask(1, request(FIRST, PAYLOAD))), PAYLOAD);
    assert_eq!(payload(sim.ask(1, request(SECOND, [ASK, 1, 2, 3, 4]))), [1, 2, 3, 4, 0]);
}

#[test]
fn who_was_asked_by_one_that_stays_behind_goes_on_elsewhere() {
    let sim = SimBuilder::new()
        .partition("many", (0..CPUS).map(|_| asker(SECOND)))
        .partition("one", [asker(FIRST)])
        .boot();
    let chain = request(FIRST, [ASK, INTERRUPTED, 0, 0, 0]);
    let target = Target { endpoint: FIRST, vcpu: 1 };
    assert_eq!(sim.ask(1, chain), Call::Interrupt { target, intid: 0 });
    assert_eq!(sim.refusal(0, run(SECOND, 0)), Status::Denied, "it is not the head of the chain");
    assert_eq!(off(&sim, 1), 0);
    assert_eq!(sim.refusal(0, run(SECOND, 0)), Status::Aborted, "nobody takes its answer");
    for cpu in [0, 2, 3] {
        assert_eq!(payload(sim.ask(cpu, request(SECOND, PAYLOAD))), PAYLOAD);
    }
    // It may even be asked again, and by the same partition.
    assert_eq!(payload(sim.ask(2, request(FIRST, [ASK, 1, 2, 3, 4]))), [1, 2, 3, 4, 0]);
    on(&sim, 1);
    assert_eq!(payload(sim.ask(1, run(FIRST, 1))), ABORTED);
    assert_eq!(payload(sim.ask(1, request(FIRST, [ASK, 1, 2, 3, 4]))), [1, 2, 3, 4, 0]);
}

#[test]
fn one_between_two_that_stay_behind_goes_on_elsewhere() {
    let third = EndpointId::new(0x8003);
    let sim = SimBuilder::new()
        .partition("many", (0..CPUS).map(|_| asker(SECOND)))
        .partition("one", [asker(third)])
        .partition("others", (0..CPUS).map(|_| asker(FIRST)))
        .boot();
    let chain = request(FIRST, [ASK, ASK, INTERRUPTED, 0, 0]);
    assert!(matches!(sim.ask(3, chain), Call::Interrupt { .. }));
    assert_eq!(off(&sim, 3), 0);
    assert_eq!(sim.refusal(0, run(SECOND, 0)), Status::Aborted, "it has heard so too, and answers nobody");
    assert_eq!(payload(sim.ask(0, request(FIRST, [ASK, ASK, 7, 8, 9]))), [7, 8, 9, 0, 0]);
    on(&sim, 3);
    assert_eq!(sim.refusal(3, run(third, 3)), Status::Aborted);
    assert_eq!(payload(sim.ask(3, run(FIRST, 3))), ABORTED);
    assert_eq!(payload(sim.ask(3, request(FIRST, [ASK, ASK, 7, 8, 9]))), [7, 8, 9, 0, 0]);
}

#[test]
fn all_go_off_and_the_last_comes_back() {
    let heard = Heard::default();
    let sim = SimBuilder::new()
        .partition_with("many", listeners(&heard), subscribes)
        .partition("one", [echo()])
        .boot();
    for cpu in (0..CPUS).rev() {
        assert_eq!(off(&sim, cpu), 0);
    }
    let order: Vec<usize> = heard.lock().unwrap().iter().map(|(_, index, _)| *index).collect();
    assert_eq!(order, [3, 2, 1, 0]);
    for cpu in [0, 3, 1, 2] {
        on(&sim, cpu);
        assert_eq!(payload(sim.ask(cpu, request(FIRST, PAYLOAD))), PAYLOAD);
        assert_eq!(payload(sim.ask(cpu, request(SECOND, PAYLOAD))), PAYLOAD);
    }
}

#[test]
fn other_messages_of_power_are_acknowledged_or_unknown() {
    let sim = SimBuilder::new().partition("one", [echo()]).boot();
    let ask = |message, first| match sim.ask(0, sim.spmd_message(message, [first, 0, 0, 0, 0])) {
        Call::DirectResponse(answer) => (answer.framework.unwrap(), answer.payload[0]),
        other => panic!("{other:?}"),
    };
    assert_eq!(ask(FrameworkMessage::WarmBoot, 0), (FrameworkMessage::PmResponse, 0));
    let suspend = 0xc400_0001;
    assert_eq!(ask(FrameworkMessage::PsciRequest, suspend), (FrameworkMessage::PmResponse, 0xffff_ffff));
    let nonsense = sim.spmd_message(FrameworkMessage::PmResponse, [0; 5]);
    assert_eq!(sim.refusal(0, nonsense), Status::InvalidParameters);
}
