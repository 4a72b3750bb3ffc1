//! Interrupts on the simulated machine: secure ones in every state of their owner, those of the normal world, the calls
//! about them, timers.

// What goes wrong in a helper has to stop the test there.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation
)]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};

use tantalum_ffa::notification::NotificationList;
use tantalum_ffa::{Call, DirectMessage, FrameworkMessage, Status, Target, Uuid, Width, answer};
use tantalum_hal::{
    ForeignInterrupts, InterruptLine, InterruptSetting, Platform, TimerRegister, VirtualInterrupts,
};
use tantalum_sim::dtb::Node;
use tantalum_sim::guest::{NO_INTERRUPT, guest};
use tantalum_sim::manifests::{CPUS, DEVICE_BASE, device_regions, region};
use tantalum_sim::script::{Script, echo};
use tantalum_sim::{Guest, Machine, Sim, SimBuilder};
use tantalum_types::{CpuIndex, EndpointId};

const FIRST: EndpointId = EndpointId::new(0x8001);
const SECOND: EndpointId = EndpointId::new(0x8002);
const THIRD: EndpointId = EndpointId::new(0x8003);
const PAYLOAD: [u64; 5] = [1, 2, 3, 4, 5];
const SCHEDULE_RECEIVER: u32 = 8;

/// Functions of the calls about interrupts.
const ENABLE: u64 = 0xff03;
const GET: u64 = 0xff04;
const DEACTIVATE: u64 = 0xff08;
const RECONFIGURE: u64 = 0xff09;
const SEND_IPI: u64 = 0xff0a;
const FAILURE: u64 = u64::MAX;

/// Attributes of shared interrupts, to which the priority is added.
const EDGE: u32 = 0x900;
const LEVEL: u32 = 0xb00;
/// The same of private ones.
const PRIVATE_EDGE: u32 = 0x500;

/// Notes what happened, in order: who, on which processing element, and what.
type Log = Arc<Mutex<Vec<(u16, usize, String)>>>;

fn note(log: &Log, who: EndpointId, cpu: usize, what: impl Into<String>) {
    log.lock().unwrap().push((who.raw(), cpu, what.into()));
}

fn noted(log: &Log) -> Vec<String> {
    log.lock().unwrap().iter().map(|(who, cpu, what)| format!("{who:x}@{cpu} {what}")).collect()
}

fn cpu(index: usize) -> CpuIndex {
    CpuIndex::new(index).unwrap()
}

fn request(receiver: EndpointId, payload: [u64; 5]) -> Call {
    request_from(EndpointId::HYPERVISOR, receiver, payload)
}

fn request_from(sender: EndpointId, receiver: EndpointId, payload: [u64; 5]) -> Call {
    Call::DirectRequest(DirectMessage { width: Width::Bits64, sender, receiver, framework: None, payload })
}

fn run(endpoint: EndpointId, vcpu: u16) -> Call {
    Call::Run { target: Target { endpoint, vcpu } }
}

fn payload(answer: Call) -> [u64; 5] {
    match answer {
        Call::DirectResponse(message) => message.payload,
        other => panic!("{other:?} is no direct response"),
    }
}

fn preempted(answer: Call, endpoint: EndpointId) {
    assert_eq!(answer, Call::Interrupt { target: Target { endpoint, vcpu: 0 }, intid: 0 });
}

/// Lets a manifest claim the device on page `page`, with these interrupts and their attributes.
fn owns(page: u64, interrupts: &[(u32, u32)]) -> impl FnOnce(&mut Node) {
    let cells = interrupts.iter().flat_map(|(intid, attributes)| [*intid, *attributes]);
    let cells: Vec<u8> = cells.flat_map(u32::to_be_bytes).collect();
    move |manifest| {
        let device = region("device", DEVICE_BASE + page * 0x1000, 1, 3).with("interrupts", cells);
        manifest.add(device_regions([device]));
    }
}

/// Begins a machine with three pages of devices.
fn machine() -> SimBuilder {
    SimBuilder::new().spmc_manifest(|manifest| {
        for page in 1..3 {
            let base = DEVICE_BASE + page * 0x1000;
            manifest.add(
                Node::new(&format!("memory@{base:x}"))
                    .with("device_type", "device-memory")
                    .with("reg", [base, 0x1000_u64]),
            );
        }
    })
}

/// Gets every pending interrupt, notes it, lets its line go down, and deactivates it if it is physical.
fn drain(guest: &mut Guest, who: EndpointId, log: &Log) {
    loop {
        let intid = guest.paravirtual(GET, [0; 3]);
        if intid == NO_INTERRUPT {
            return;
        }
        note(log, who, guest.cpu(), format!("{intid}"));
        if intid >= 16 {
            guest.set_level(intid as u32, false);
        }
        assert_eq!(guest.paravirtual(DEACTIVATE, [intid, intid, 0]), 0);
    }
}

/// Enables `intids` and handles them by [`drain`].
fn enable(guest: &mut Guest, who: EndpointId, intids: &[u32], log: &Log) {
    for intid in intids {
        assert_eq!(guest.paravirtual(ENABLE, [u64::from(*intid), 1, 0]), 0);
    }
    let log = log.clone();
    guest.handle_interrupts(move |guest| drain(guest, who, &log));
}

/// Is a partition that handles `intids`, lets `serve` serve each request, and answers it by its payload.
fn owner(
    who: EndpointId,
    intids: &[u32],
    log: &Log,
    serve: impl Fn(&mut Guest, &DirectMessage) + Send + Sync + 'static,
) -> Script {
    let (intids, log) = (intids.to_vec(), log.clone());
    guest(move |guest| {
        enable(guest, who, &intids, &log);
        let mut news = guest.wait();
        loop {
            news = match news {
                Call::DirectRequest(request) => {
                    serve(guest, &request);
                    guest.respond(&request, request.payload)
                }
                Call::Interrupt { intid, .. } => {
                    note(&log, who, guest.cpu(), format!("told {intid}"));
                    guest.wait()
                }
                Call::Run { .. } => {
                    note(&log, who, guest.cpu(), "run");
                    guest.wait()
                }
                other => panic!("{other:?} is nothing to wait for"),
            };
        }
    })
}

/// Is a partition that raises an interrupt on each request, which stops it, and answers by the payload.
fn victim(who: EndpointId, intid: u32, log: &Log) -> Script {
    let own = log.clone();
    owner(who, &[], log, move |guest, _| {
        guest.set_level(intid, true);
        guest.stopped_by(InterruptLine::Secure);
        note(&own, who, guest.cpu(), "goes on");
    })
}

/// Sends each request on to `next` and takes the answer.
fn asks(guest: &mut Guest, own: EndpointId, next: EndpointId, payload: [u64; 5]) -> [u64; 5] {
    match guest.call(request_from(own, next, payload)) {
        Call::DirectResponse(message) => message.payload,
        other => panic!("{other:?} is no answer"),
    }
}

fn kicked(sim: &Sim) -> Vec<usize> {
    sim.machine().kicks().iter().map(|cpu| cpu.get()).collect()
}

fn ended(sim: &Sim, intid: u32) -> usize {
    sim.machine().ended_interrupts().iter().filter(|(_, ended)| *ended == intid).count()
}

/// Returns how interrupt `intid` was set up last.
fn setting(sim: &Sim, intid: u32) -> Option<InterruptSetting> {
    let settings = sim.machine().interrupt_settings();
    settings.iter().rev().find(|(_, found, _)| *found == intid).map(|(_, _, setting)| *setting)
}

// --- Secure interrupts in each state of their owner

#[test]
fn one_that_comes_in_the_normal_world_is_handled_and_the_normal_world_goes_on() {
    let log = Log::default();
    let sim = machine()
        .partition_with("owner", [owner(FIRST, &[40], &log, |_, _| {})], owns(0, &[(40, LEVEL)]))
        .boot();
    assert_eq!(setting(&sim, 40).map(|it| (it.enabled, it.secure, it.target.get())), Some((true, true, 0)));
    for round in 1..4 {
        sim.machine().set_level(cpu(0), 40, true);
        assert_eq!(sim.idle(0), 1);
        assert_eq!(noted(&log), ["8001@0 40", "8001@0 told 40"].repeat(round));
        assert_eq!(ended(&sim, 40), round);
        assert!(!sim.machine().is_active(cpu(0), 40));
    }
    assert_eq!(payload(sim.ask(2, request(FIRST, PAYLOAD))), PAYLOAD);
    assert_eq!(kicked(&sim), [], "nobody else was disturbed");
}

#[test]
fn one_whose_owner_runs_is_seen_at_once() {
    let log = Log::default();
    let own = log.clone();
    let script = owner(FIRST, &[40], &log, move |guest, _| {
        guest.set_level(40, true);
        guest.stopped_by(InterruptLine::Secure);
        note(&own, FIRST, guest.cpu(), "goes on");
    });
    let sim = machine().partition_with("owner", [script], owns(0, &[(40, LEVEL)])).boot();
    assert_eq!(payload(sim.ask(0, request(FIRST, PAYLOAD))), PAYLOAD);
    assert_eq!(noted(&log), ["8001@0 40", "8001@0 goes on"]);
    assert_eq!(ended(&sim, 40), 1);
}

#[test]
fn one_whose_owner_runs_elsewhere_is_sent_there() {
    let log = Log::default();
    let (running, is_running) = channel();
    let (go_on, may_go_on) = channel();
    let (running, may_go_on) = (Mutex::new(running), Mutex::new(may_go_on));
    let script = owner(FIRST, &[40], &log, move |guest, _| {
        running.lock().unwrap().send(()).unwrap();
        may_go_on.lock().unwrap().recv().unwrap();
        guest.stopped_by(InterruptLine::Secure);
    });
    let sim = machine().partition_with("owner", [script], owns(0, &[(40, LEVEL)])).boot();
    std::thread::scope(|scope| {
        let asker = scope.spawn(|| payload(sim.ask(3, request(FIRST, PAYLOAD))));
        is_running.recv().unwrap();
        sim.machine().set_level(cpu(0), 40, true);
        assert_eq!(sim.idle(0), 1);
        assert_eq!(kicked(&sim), [3]);
        assert_eq!(noted(&log), [] as [&str; 0], "it is busy");
        go_on.send(()).unwrap();
        assert_eq!(asker.join().unwrap(), PAYLOAD);
    });
    assert_eq!(noted(&log), ["8001@3 40"]);
    assert_eq!((ended(&sim, 40), ended(&sim, Machine::KICK)), (1, 1));
}

/// Sends each request on to `next`; its call is ended by an interrupt if `ended` says so, and then it lets `next` go on.
fn interrupted_asker(log: &Log, next: EndpointId, ended: bool) -> Script {
    let own = log.clone();
    owner(FIRST, &[40], log, move |guest, request| {
        let target = Target { endpoint: next, vcpu: 0 };
        let mut answer = guest.call(request_from(FIRST, next, request.payload));
        if ended {
            assert_eq!(answer, Call::Interrupt { target, intid: 0 });
            note(&own, FIRST, guest.cpu(), "goes on");
            answer = guest.call(Call::Run { target });
        }
        assert_eq!(payload(answer), request.payload);
        note(&own, FIRST, guest.cpu(), "answered");
    })
}

#[test]
fn one_whose_owner_waits_for_an_answer_ends_its_call_if_the_other_gives_way() {
    for (queue, expected) in [
        (false, vec!["8001@0 40", "8001@0 goes on", "8002@0 goes on", "8001@0 answered"]),
        (true, vec!["8002@0 goes on", "8001@0 40", "8001@0 answered"]),
    ] {
        let log = Log::default();
        let sim = machine()
            .partition_with("owner", [interrupted_asker(&log, SECOND, !queue)], owns(0, &[(40, LEVEL)]))
            .partition_with("victim", [victim(SECOND, 40, &log)], move |manifest| {
                if queue {
                    queues(manifest);
                }
            })
            .boot();
        for round in 1..3 {
            assert_eq!(payload(sim.ask(0, request(FIRST, PAYLOAD))), PAYLOAD);
            assert_eq!(noted(&log), expected.repeat(round));
            assert_eq!(ended(&sim, 40), round);
        }
        assert_eq!(payload(sim.ask(0, request(SECOND, PAYLOAD))), PAYLOAD, "nobody is left behind");
    }
}

#[test]
fn one_whose_owner_waits_for_a_chain_ends_its_call_if_all_of_that_give_way() {
    for (queue, expected) in [
        (false, vec!["8001@0 40", "8001@0 goes on", "8002@0 goes on", "8003@0 answered", "8001@0 answered"]),
        (true, vec!["8002@0 goes on", "8003@0 answered", "8001@0 40", "8001@0 answered"]),
    ] {
        let log = Log::default();
        let own = log.clone();
        let between = owner(THIRD, &[], &log, move |guest, request| {
            asks(guest, THIRD, SECOND, request.payload);
            note(&own, THIRD, guest.cpu(), "answered");
        });
        let sim = machine()
            .partition_with("owner", [interrupted_asker(&log, THIRD, !queue)], owns(0, &[(40, LEVEL)]))
            .partition("victim", [victim(SECOND, 40, &log)])
            .partition_with("between", [between], move |manifest| {
                if queue {
                    queues(manifest);
                }
            })
            .boot();
        assert_eq!(payload(sim.ask(0, request(FIRST, PAYLOAD))), PAYLOAD);
        assert_eq!(noted(&log), expected);
        for receiver in [SECOND, THIRD] {
            assert_eq!(payload(sim.ask(0, request(receiver, PAYLOAD))), PAYLOAD);
        }
    }
}

#[test]
fn one_whose_owner_waits_for_an_answer_while_it_handles_another_waits_too() {
    // The SPMC gave this turn: it is not to be stopped.
    let log = Log::default();
    let own = log.clone();
    let script = guest(move |guest| {
        for intid in [40, 41] {
            assert_eq!(guest.paravirtual(ENABLE, [intid, 1, 0]), 0);
        }
        let handler = own.clone();
        guest.handle_interrupts(move |guest| drain(guest, FIRST, &handler));
        assert_eq!(guest.wait(), Call::Interrupt { target: Target::NONE, intid: 41 });
        assert_eq!(asks(guest, FIRST, SECOND, PAYLOAD), PAYLOAD);
        note(&own, FIRST, guest.cpu(), "answered");
    });
    let sim = machine()
        .partition_with("owner", [script], owns(0, &[(40, LEVEL), (41, EDGE)]))
        .partition("victim", [victim(SECOND, 40, &log)])
        .boot();
    sim.machine().raise(cpu(0), 41);
    assert_eq!(sim.idle(0), 1);
    assert_eq!(noted(&log), ["8001@0 41", "8002@0 goes on", "8001@0 40", "8001@0 answered"]);
}

/// Returns whom the normal world's scheduler is told of.
fn listed(sim: &Sim) -> Vec<(u16, Vec<u16>)> {
    match sim.ask(0, Call::NotificationInfoGet { width: Width::Bits64 }) {
        Call::Error { status: Status::NoData, .. } => vec![],
        answer => {
            let list = NotificationList::decode(&answer).unwrap();
            list.entries().map(|(id, vcpus)| (id.raw(), vcpus.to_vec())).collect()
        }
    }
}

#[test]
fn one_whose_owner_is_preempted_is_seen_when_it_goes_on() {
    let log = Log::default();
    let script = owner(FIRST, &[40], &log, |guest, _| guest.stopped_by(InterruptLine::Foreign));
    let sim = machine().partition_with("owner", [script], owns(0, &[(40, LEVEL)])).boot();
    sim.call(0, Call::Version { requested: 0x1_0001 });
    preempted(sim.ask(0, request(FIRST, PAYLOAD)), FIRST);
    assert_eq!(listed(&sim), [], "nothing is pending");
    sim.machine().set_level(cpu(0), 40, true);
    assert_eq!(sim.idle(0), 1);
    assert_eq!(noted(&log), [] as [&str; 0]);
    assert_eq!(sim.machine().raised_sgis(), [SCHEDULE_RECEIVER], "the scheduler learns");
    assert_eq!(listed(&sim), [(0x8001, vec![])], "of whom");
    assert_eq!(listed(&sim), [], "once");
    // It may go on anywhere, since it is the only one of its partition.
    assert_eq!(payload(sim.ask(2, run(FIRST, 0))), PAYLOAD);
    assert_eq!(noted(&log), ["8001@2 40"]);
    assert_eq!(ended(&sim, 40), 1);
}

#[test]
fn one_that_comes_while_another_runs_stops_it_if_it_gives_way() {
    let log = Log::default();
    let sim = machine()
        .partition_with("owner", [owner(FIRST, &[40], &log, |_, _| {})], owns(0, &[(40, LEVEL)]))
        .partition_with("victim", [victim(SECOND, 40, &log)], |manifest| {
            manifest.set("other-s-interrupts-action", 1_u32);
        })
        .boot();
    assert_eq!(payload(sim.ask(0, request(SECOND, PAYLOAD))), PAYLOAD);
    assert_eq!(noted(&log), ["8001@0 40", "8001@0 told 40", "8002@0 goes on"]);
    assert_eq!(ended(&sim, 40), 1);
}

fn queues(manifest: &mut Node) {
    manifest.set("ns-interrupts-action", 0_u32);
    manifest.set("other-s-interrupts-action", 0_u32);
}

#[test]
fn one_that_comes_while_another_runs_waits_for_it_if_it_queues() {
    let log = Log::default();
    let sim = machine()
        .partition_with("owner", [owner(FIRST, &[40], &log, |_, _| {})], owns(0, &[(40, LEVEL)]))
        .partition_with("victim", [victim(SECOND, 40, &log)], queues)
        .boot();
    assert_eq!(payload(sim.ask(0, request(SECOND, PAYLOAD))), PAYLOAD);
    assert_eq!(noted(&log), ["8002@0 goes on", "8001@0 40", "8001@0 told 40"], "before the normal world");
    assert_eq!(ended(&sim, 40), 1);
}

#[test]
fn one_of_a_chain_that_queues_lets_all_queue() {
    for (queue, expected) in [
        (false, ["8001@0 40", "8001@0 told 40", "8002@0 goes on", "8003@0 answered"]),
        (true, ["8002@0 goes on", "8003@0 answered", "8001@0 40", "8001@0 told 40"]),
    ] {
        let log = Log::default();
        let own = log.clone();
        let asker = owner(THIRD, &[], &log, move |guest, request| {
            asks(guest, THIRD, SECOND, request.payload);
            note(&own, THIRD, guest.cpu(), "answered");
        });
        let sim = machine()
            .partition_with("owner", [owner(FIRST, &[40], &log, |_, _| {})], owns(0, &[(40, LEVEL)]))
            .partition("victim", [victim(SECOND, 40, &log)])
            .partition_with("asker", [asker], move |manifest| {
                if queue {
                    queues(manifest);
                }
            })
            .boot();
        assert_eq!(payload(sim.ask(0, request(THIRD, PAYLOAD))), PAYLOAD);
        assert_eq!(noted(&log), expected);
    }
}

#[test]
fn nobody_sees_one_whose_owner_was_stopped() {
    let log = Log::default();
    let script = owner(FIRST, &[40, 41], &log, |guest, _| guest.fault());
    let sim = machine()
        .partition_with("owner", [script], owns(0, &[(40, LEVEL), (41, EDGE)]))
        .partition("other", [echo()])
        .boot();
    assert_eq!(sim.refusal(0, request(FIRST, PAYLOAD)), Status::Aborted);
    for intid in [40, 41] {
        assert_eq!(setting(&sim, intid).map(|it| it.enabled), Some(false));
        sim.machine().set_level(cpu(0), intid, true);
    }
    assert_eq!(sim.idle(0), 0, "they are not even signalled");
    assert_eq!(noted(&log), [] as [&str; 0]);
    assert_eq!(payload(sim.ask(0, request(SECOND, PAYLOAD))), PAYLOAD);
}

/// Is an owner that faults when it handles its interrupt.
fn faulty(log: &Log) -> Script {
    let log = log.clone();
    guest(move |guest| {
        assert_eq!(guest.paravirtual(ENABLE, [40, 1, 0]), 0);
        let log = log.clone();
        guest.handle_interrupts(move |guest| {
            note(&log, FIRST, guest.cpu(), "faults");
            guest.fault();
        });
    })
}

#[test]
fn an_owner_that_is_stopped_while_it_handles_one_leaves_the_others_unharmed() {
    let log = Log::default();
    let sim = machine()
        .partition_with("owner", [faulty(&log)], owns(0, &[(40, LEVEL)]))
        .partition("victim", [victim(SECOND, 40, &log)])
        .boot();
    assert_eq!(payload(sim.ask(0, request(SECOND, PAYLOAD))), PAYLOAD, "in another partition");
    assert_eq!(noted(&log), ["8001@0 faults", "8002@0 goes on"]);
    assert_eq!((ended(&sim, 40), sim.machine().is_active(cpu(0), 40)), (1, false));
    assert_eq!(setting(&sim, 40).map(|it| it.enabled), Some(false));

    let log = Log::default();
    let sim = machine().partition_with("owner", [faulty(&log)], owns(0, &[(40, LEVEL)])).boot();
    sim.machine().set_level(cpu(0), 40, true);
    assert_eq!(sim.idle(0), 1, "in the normal world");
    assert_eq!((ended(&sim, 40), noted(&log)), (1, vec!["8001@0 faults".into()]));
}

#[test]
fn an_owner_that_begins_anew_handles_them_again() {
    let log = Log::default();
    let script = owner(FIRST, &[40], &log, |guest, _| guest.fault());
    let sim = machine()
        .partition_with("owner", [script], |manifest| {
            manifest.set("abort-action", 2_u32);
            owns(0, &[(40, LEVEL)])(manifest);
        })
        .boot();
    assert_eq!(sim.refusal(0, request(FIRST, PAYLOAD)), Status::Aborted);
    sim.machine().set_level(cpu(0), 40, true);
    assert_eq!(sim.idle(0), 1);
    assert_eq!(noted(&log), ["8001@0 40", "8001@0 told 40"]);
}

#[test]
fn one_that_is_stopped_in_a_handler_that_begins_anew_goes_on_after_that() {
    let log = Log::default();
    let sim = machine()
        .partition_with("owner", [faulty(&log)], |manifest| {
            manifest.set("abort-action", 2_u32);
            owns(0, &[(40, EDGE)])(manifest);
        })
        .partition(
            "victim",
            [owner(SECOND, &[], &log, |guest, _| {
                guest.raise(40);
                guest.stopped_by(InterruptLine::Secure);
            })],
        )
        .boot();
    assert_eq!(payload(sim.ask(0, request(SECOND, PAYLOAD))), PAYLOAD);
    assert_eq!(noted(&log), ["8001@0 faults"]);
    assert_eq!(ended(&sim, 40), 1);
    assert_eq!(setting(&sim, 40).map(|it| it.enabled), Some(true), "its new life has it again");
}

#[test]
fn one_that_nobody_owns_is_disabled() {
    let sim = machine().partition("other", [echo()]).boot();
    sim.machine().set_level(cpu(2), 99, true);
    assert_eq!(sim.idle(2), 1);
    assert_eq!((ended(&sim, 99), setting(&sim, 99).map(|it| it.enabled)), (1, Some(false)));
    assert!(sim.machine().log_text().is_empty());
}

// --- Many at once

#[test]
fn a_burst_is_handled_by_urgency_and_each_once() {
    let log = Log::default();
    let sim = machine()
        .partition_with(
            "owner",
            [owner(FIRST, &[40, 41, 42], &log, |_, _| {})],
            owns(0, &[(40, LEVEL + 3), (41, EDGE + 1), (42, EDGE + 2)]),
        )
        .boot();
    for intid in [40, 42, 41] {
        sim.machine().raise(cpu(0), intid);
    }
    assert_eq!(sim.idle(0), 1);
    assert_eq!(noted(&log), ["8001@0 41", "8001@0 42", "8001@0 40", "8001@0 told 41"]);
    for intid in [40, 41, 42] {
        assert_eq!(ended(&sim, intid), 1);
    }
}

#[test]
fn those_of_two_owners_are_handled_one_after_the_other() {
    let log = Log::default();
    let sim = machine()
        .partition_with("first", [owner(FIRST, &[40], &log, |_, _| {})], owns(0, &[(40, LEVEL)]))
        .partition_with("second", [owner(SECOND, &[50], &log, |_, _| {})], owns(1, &[(50, LEVEL)]))
        .boot();
    sim.machine().set_level(cpu(0), 50, true);
    sim.machine().set_level(cpu(0), 40, true);
    assert_eq!(sim.idle(0), 1);
    assert_eq!(noted(&log), ["8001@0 40", "8001@0 told 40", "8002@0 50", "8002@0 told 50"]);
    assert_eq!((ended(&sim, 40), ended(&sim, 50)), (1, 1));
}

#[test]
fn one_that_comes_while_another_one_is_handled_waits() {
    let log = Log::default();
    let first = {
        let log = log.clone();
        guest(move |guest| {
            assert_eq!(guest.paravirtual(ENABLE, [40, 1, 0]), 0);
            let log = log.clone();
            guest.handle_interrupts(move |guest| {
                assert_eq!(guest.foreign(), ForeignInterrupts::Masked);
                drain(guest, FIRST, &log);
                guest.set_level(50, true);
                guest.stopped_by(InterruptLine::Secure);
                note(&log, FIRST, guest.cpu(), "done");
            });
        })
    };
    let sim = machine()
        .partition_with("first", [first], owns(0, &[(40, LEVEL)]))
        .partition_with("second", [owner(SECOND, &[50], &log, |_, _| {})], owns(1, &[(50, LEVEL)]))
        .partition("victim", [victim(THIRD, 40, &log)])
        .boot();
    assert_eq!(payload(sim.ask(0, request(THIRD, PAYLOAD))), PAYLOAD);
    let expected = ["8001@0 40", "8001@0 done", "8002@0 50", "8002@0 told 50", "8003@0 goes on"];
    assert_eq!(noted(&log), expected);
}

#[test]
fn one_that_comes_again_before_its_end_is_handled_again_after_it() {
    let log = Log::default();
    let own = log.clone();
    let script = guest(move |guest| {
        assert_eq!(guest.paravirtual(ENABLE, [41, 1, 0]), 0);
        let own = own.clone();
        let mut left = 1;
        guest.handle_interrupts(move |guest| {
            assert_eq!(guest.paravirtual(GET, [0; 3]), 41);
            note(&own, FIRST, guest.cpu(), "got");
            if left > 0 {
                left -= 1;
                guest.raise(41);
            }
            assert_eq!(guest.paravirtual(GET, [0; 3]), NO_INTERRUPT, "it is active");
            note(&own, FIRST, guest.cpu(), "ends");
            // From here on it may come again, and it does so at once.
            assert_eq!(guest.paravirtual(DEACTIVATE, [41, 41, 0]), 0);
        });
    });
    let sim = machine().partition_with("owner", [script], owns(0, &[(41, EDGE)])).boot();
    sim.machine().raise(cpu(0), 41);
    sim.idle(0);
    assert_eq!(noted(&log), ["8001@0 got", "8001@0 ends"].repeat(2));
    assert_eq!(ended(&sim, 41), 2);
}

#[test]
fn one_that_is_not_deactivated_ends_when_its_owner_waits() {
    let script = guest(|guest| {
        assert_eq!(guest.paravirtual(ENABLE, [41, 1, 0]), 0);
        guest.handle_interrupts(|guest| assert_eq!(guest.paravirtual(GET, [0; 3]), 41));
    });
    let sim = machine().partition_with("owner", [script], owns(0, &[(41, EDGE)])).boot();
    for round in 1..4 {
        sim.machine().raise(cpu(0), 41);
        assert_eq!(sim.idle(0), 1);
        assert_eq!((ended(&sim, 41), sim.machine().is_active(cpu(0), 41)), (round, false));
    }
}

// --- What an owner wants and does not want

#[test]
fn one_that_is_disabled_stays_pending() {
    let log = Log::default();
    let script = owner(FIRST, &[41], &log, |guest, request| {
        assert_eq!(guest.paravirtual(ENABLE, [41, request.payload[0], 0]), 0);
    });
    let sim = machine().partition_with("owner", [script], owns(0, &[(41, EDGE)])).boot();
    payload(sim.ask(0, request(FIRST, [0; 5])));
    sim.machine().raise(cpu(0), 41);
    assert_eq!((sim.idle(0), noted(&log).len()), (1, 0));
    payload(sim.ask(0, request(FIRST, [1, 0, 0, 0, 0])));
    assert_eq!(noted(&log), ["8001@0 41"]);
}

#[test]
fn an_owner_that_does_not_get_its_interrupt_is_not_run_for_ever() {
    let turns = Log::default();
    let own = turns.clone();
    let script = guest(move |guest| {
        assert_eq!(guest.paravirtual(ENABLE, [41, 1, 0]), 0);
        loop {
            let news = guest.wait();
            assert_eq!(guest.signals(), VirtualInterrupts { irq: true, fiq: false });
            note(&own, FIRST, guest.cpu(), format!("{news:?}"));
        }
    });
    let sim = machine().partition_with("owner", [script], owns(0, &[(41, EDGE)])).boot();
    sim.machine().raise(cpu(0), 41);
    assert_eq!((sim.idle(0), noted(&turns).len()), (1, 1));
    assert!(matches!(sim.ask(0, run(FIRST, 0)), Call::MsgWait { .. }));
    assert_eq!(
        noted(&turns).len(),
        3,
        "once because it is run, once because it waits with something pending"
    );
}

#[test]
fn who_answers_with_something_pending_handles_it_before_the_answer_arrives() {
    let log = Log::default();
    let own = log.clone();
    let script = guest(move |guest| {
        assert_eq!(guest.paravirtual(ENABLE, [41, 1, 0]), 0);
        loop {
            let Call::DirectRequest(request) = guest.wait() else { panic!("no request") };
            guest.raise(41);
            guest.stopped_by(InterruptLine::Secure);
            assert_eq!(guest.signals(), VirtualInterrupts { irq: true, fiq: false });
            // Its answer is taken, and it has a turn for the interrupt.
            let news = guest.respond(&request, request.payload);
            assert_eq!(news, Call::Interrupt { target: Target::NONE, intid: 41 });
            drain(guest, FIRST, &own);
        }
    });
    let own = log.clone();
    let asker = owner(SECOND, &[], &log, move |guest, request| {
        assert_eq!(asks(guest, SECOND, FIRST, request.payload), request.payload);
        note(&own, SECOND, guest.cpu(), "answered");
    });
    let sim = machine()
        .partition_with("owner", [script], owns(0, &[(41, EDGE)]))
        .partition("asker", [asker])
        .boot();
    assert_eq!(payload(sim.ask(0, request(FIRST, PAYLOAD))), PAYLOAD);
    assert_eq!(noted(&log), ["8001@0 41"]);
    assert_eq!(payload(sim.ask(0, request(SECOND, PAYLOAD))), PAYLOAD);
    assert_eq!(noted(&log), ["8001@0 41", "8001@0 41", "8002@0 answered"]);
    assert_eq!(ended(&sim, 41), 2);
}

/// Lets a partition send and receive requests of both forms, and speak FF-A 1.2 from the beginning.
fn modern(manifest: &mut Node) {
    manifest.set("ffa-version", 0x1_0002_u32);
    manifest.set("messaging-method", 0x603_u32);
}

/// What a request of the second form brings in x4 to x17; its answer brings the complement of each.
const WHOLE: [u64; 14] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, u64::MAX];

fn service_request(sender: EndpointId, receiver: EndpointId) -> Call {
    Call::DirectRequest2 { sender, receiver, uuid: Uuid::nil(), payload: WHOLE }
}

/// Is [`SECOND`], which is stopped by interrupt `intid` in each request and then answers it; `owned` are those that it
/// handles itself, when it is told of them.
fn interrupted_service(intid: u32, owned: &'static [u32], log: &Log) -> Script {
    let log = log.clone();
    guest(move |guest| {
        for intid in owned {
            assert_eq!(guest.paravirtual(ENABLE, [u64::from(*intid), 1, 0]), 0);
        }
        let mut news = guest.wait();
        loop {
            news = match news {
                Call::DirectRequest2 { sender, receiver, payload, .. } => {
                    guest.set_level(intid, true);
                    guest.stopped_by(InterruptLine::Secure);
                    note(&log, SECOND, guest.cpu(), "answers");
                    let payload = payload.map(|word| !word);
                    guest.call(Call::DirectResponse2 { sender: receiver, receiver: sender, payload })
                }
                Call::Interrupt { .. } => {
                    drain(guest, SECOND, &log);
                    guest.wait()
                }
                other => panic!("{other:?} is nothing to wait for"),
            };
        }
    })
}

#[test]
fn an_answer_of_the_second_form_that_is_held_up_arrives_with_all_its_registers() {
    let answers = WHOLE.map(|word| !word);
    // Another partition has to handle an interrupt before the answer arrives, or whoever answers has to itself.
    for (intid, owned, handled) in
        [(40, &[][..], &["8001@0 40", "8001@0 told 40"][..]), (41, &[41][..], &["8002@0 41"][..])]
    {
        let log = Log::default();
        let own = log.clone();
        let asker = guest(move |guest| {
            let mut news = guest.wait();
            loop {
                let Call::DirectRequest2 { sender, receiver, .. } = news else { panic!("{news:?}") };
                let answer = guest.call(service_request(receiver, SECOND));
                note(&own, receiver, guest.cpu(), "answered");
                let Call::DirectResponse2 { payload, .. } = answer else { panic!("{answer:?}") };
                news = guest.call(Call::DirectResponse2 { sender: receiver, receiver: sender, payload });
            }
        });
        let sim = machine()
            .partition_with("owner", [owner(FIRST, &[40], &log, |_, _| {})], owns(0, &[(40, LEVEL)]))
            .partition_with("service", [interrupted_service(intid, owned, &log)], |manifest| {
                modern(manifest);
                queues(manifest);
                owns(1, &[(41, LEVEL)])(manifest);
            })
            .partition_with("asker", [asker], modern)
            .boot();
        sim.call(0, Call::Version { requested: 0x1_0002 });
        let mut expected = Vec::new();
        for receiver in [SECOND, THIRD] {
            assert_eq!(
                sim.ask(0, service_request(EndpointId::HYPERVISOR, receiver)),
                Call::DirectResponse2 {
                    sender: receiver,
                    receiver: EndpointId::HYPERVISOR,
                    payload: answers
                },
                "{intid}"
            );
            expected.push("8002@0 answers");
            expected.extend(handled);
        }
        expected.push("8003@0 answered");
        assert_eq!(noted(&log), expected, "the interrupt comes between the answer and its arrival");
        assert_eq!(ended(&sim, intid), 2);
    }
}

#[test]
fn one_that_prefers_to_be_scheduled_is() {
    let log = Log::default();
    let script = owner(FIRST, &[40], &log, |_, _| {});
    let sim = machine()
        .partition_with("owner", [script], |manifest| {
            manifest.set("sri-interrupts-policy", 1_u32);
            owns(0, &[(40, LEVEL)])(manifest);
        })
        .boot();
    sim.call(0, Call::Version { requested: 0x1_0001 });
    for round in 1..3 {
        sim.machine().set_level(cpu(0), 40, true);
        assert_eq!((sim.idle(0), noted(&log).len()), (1, 2 * (round - 1)));
        assert_eq!(sim.machine().raised_sgis(), vec![SCHEDULE_RECEIVER; round]);
        assert_eq!(listed(&sim), [(0x8001, vec![])]);
        assert_eq!(listed(&sim), []);
        assert!(matches!(sim.ask(0, run(FIRST, 0)), Call::MsgWait { .. }));
        assert_eq!(noted(&log), ["8001@0 40", "8001@0 run"].repeat(round));
        assert_eq!(ended(&sim, 40), round);
    }
    // What it has seen before anybody asked is no news.
    sim.machine().set_level(cpu(0), 40, true);
    assert_eq!(sim.idle(0), 1);
    assert!(matches!(sim.ask(0, run(FIRST, 0)), Call::MsgWait { .. }));
    assert_eq!(listed(&sim), []);
}

#[test]
fn one_that_prefers_to_be_scheduled_rather_than_to_wait_no_longer_is() {
    let log = Log::default();
    let script = owner(FIRST, &[41], &log, |guest, request| {
        if request.payload[0] == 0 {
            guest.mask(true);
            guest.raise(41);
            guest.stopped_by(InterruptLine::Secure);
        } else {
            guest.mask(false);
        }
    });
    let sim = machine()
        .partition_with("owner", [script], |manifest| {
            manifest.set("sri-interrupts-policy", 2_u32);
            owns(0, &[(41, EDGE)])(manifest);
        })
        .boot();
    sim.call(0, Call::Version { requested: 0x1_0001 });
    payload(sim.ask(0, request(FIRST, [0; 5])));
    assert_eq!(noted(&log).len(), 0);
    assert_eq!(sim.machine().raised_sgis(), [SCHEDULE_RECEIVER]);
    assert_eq!(listed(&sim), [(0x8001, vec![])]);
    payload(sim.ask(0, request(FIRST, PAYLOAD)));
    assert!(matches!(sim.ask(0, run(FIRST, 0)), Call::MsgWait { .. }));
    assert_eq!(noted(&log), ["8001@0 41", "8001@0 run"]);
}

// --- The calls

#[test]
fn calls_about_interrupts_that_are_not_ones_own_fail() {
    let script = guest(|guest| {
        // No interrupt of its own, or no line.
        for arguments in [[41, 1, 0], [0, 1, 0], [8, 1, 0], [1019, 1, 0], [u64::MAX, 1, 0], [40, 1, 2]] {
            assert_eq!(guest.paravirtual(ENABLE, arguments), FAILURE, "{arguments:?}");
        }
        for intid in [3, 4, 5, 9, 40] {
            assert_eq!(guest.paravirtual(ENABLE, [intid, 1, 1]), 0);
            assert_eq!(guest.paravirtual(ENABLE, [intid, 0, 0]), 0);
        }
        assert_eq!(guest.paravirtual(GET, [0; 3]), NO_INTERRUPT);
        // Nothing to end, another's, two that differ.
        for arguments in [[40, 40, 0], [41, 41, 0], [40, 41, 0], [1 << 32 | 40, 1 << 32 | 40, 0]] {
            assert_eq!(guest.paravirtual(DEACTIVATE, arguments), FAILURE, "{arguments:?}");
        }
        assert_eq!(guest.paravirtual(DEACTIVATE, [5, 5, 0]), 0, "what is only virtual needs no end");
        for arguments in [[41, 2, 1], [3, 2, 1], [40, 3, 0], [40, 0, 77], [40, 1, 2], [40, 2, 2], [24, 0, 0]]
        {
            assert_eq!(guest.paravirtual(RECONFIGURE, arguments), FAILURE, "{arguments:?}");
        }
        assert_eq!(guest.paravirtual(SEND_IPI, [0; 3]), FAILURE, "it has one execution context");
        assert_eq!(guest.paravirtual(0xff05, [0; 3]), FAILURE, "no such call");
        // None of them is FF-A's: the version is still open.
        assert_eq!(guest.call_registers(Call::Version { requested: 0x1_0000 }.encode()).0[0], 0x1_0002);
        assert_eq!(guest.call_registers(Call::Version { requested: 0x1_0001 }.encode()).0[0], 0x1_0002);
    });
    let sim = machine()
        .partition_with("first", [script], owns(0, &[(40, EDGE), (24, PRIVATE_EDGE)]))
        .partition_with("second", [echo()], owns(1, &[(41, EDGE)]))
        .boot();
    assert!(!sim.machine().log_text().contains("stopped"));
    assert_eq!(payload(sim.ask(0, request(SECOND, PAYLOAD))), PAYLOAD);
}

#[test]
fn an_owner_changes_how_its_interrupt_is() {
    let log = Log::default();
    let script = owner(FIRST, &[40], &log, |guest, request| {
        let [what, value, ..] = request.payload;
        assert_eq!(guest.paravirtual(RECONFIGURE, [40, what, value]), 0);
    });
    let sim = machine().partition_with("owner", [script], owns(0, &[(40, LEVEL)])).boot();
    let change = |what, value| {
        payload(sim.ask(0, request(FIRST, [what, value, 0, 0, 0])));
        let InterruptSetting { enabled, secure, target, .. } = setting(&sim, 40).unwrap();
        (enabled, secure, target.get())
    };
    assert_eq!(change(0, 2), (true, true, 2));
    sim.machine().set_level(cpu(2), 40, true);
    assert_eq!((sim.idle(0), sim.idle(2)), (0, 1));
    assert_eq!(noted(&log), ["8001@2 40", "8001@2 told 40"]);
    assert_eq!(change(2, 0), (false, true, 2));
    assert_eq!(change(2, 1), (true, true, 2));
    assert_eq!(change(1, 0), (true, false, 2), "the normal world has it now");
    assert_eq!(change(1, 1), (true, true, 2));
}

fn contexts(who: EndpointId, intids: &[u32], log: &Log) -> Vec<Script> {
    (0..CPUS)
        .map(|_| {
            owner(who, intids, log, |guest, request| {
                assert_eq!(guest.paravirtual(SEND_IPI, [request.payload[0], 0, 0]), request.payload[1]);
            })
        })
        .collect()
}

#[test]
fn execution_contexts_send_interrupts_to_each_other() {
    let log = Log::default();
    let sim = machine().partition("many", contexts(FIRST, &[9], &log)).boot();
    payload(sim.ask(0, request(FIRST, [2, 0, 0, 0, 0])));
    assert_eq!((kicked(&sim), noted(&log).len()), (vec![2], 0));
    assert_eq!(sim.idle(2), 1);
    assert_eq!(noted(&log), ["8001@2 9", "8001@2 told 9"]);
    log.lock().unwrap().clear();
    payload(sim.ask(1, request(FIRST, [1, 0, 0, 0, 0])));
    assert_eq!(noted(&log), ["8001@1 9"], "to itself");
    payload(sim.ask(1, request(FIRST, [4, FAILURE, 0, 0, 0])));
    payload(sim.ask(1, request(FIRST, [u64::MAX, FAILURE, 0, 0, 0])));
    assert_eq!(kicked(&sim), [2]);
}

#[test]
fn the_scheduler_learns_which_execution_contexts_prefer_to_be_scheduled() {
    let log = Log::default();
    let sim = machine()
        .partition_with("many", contexts(FIRST, &[24], &log), |manifest| {
            manifest.set("sri-interrupts-policy", 1_u32);
            owns(0, &[(24, PRIVATE_EDGE)])(manifest);
        })
        .boot();
    sim.call(0, Call::Version { requested: 0x1_0001 });
    for place in [3, 1] {
        sim.machine().raise(cpu(place), 24);
        assert_eq!((sim.idle(place), noted(&log).len()), (1, 0));
    }
    assert_eq!(listed(&sim), [(0x8001, vec![1]), (0x8001, vec![3])]);
    assert_eq!(listed(&sim), []);
    // The one that has had its turn is listed again for the next.
    assert!(matches!(sim.ask(3, run(FIRST, 3)), Call::MsgWait { .. }));
    sim.machine().raise(cpu(3), 24);
    assert_eq!(sim.idle(3), 1);
    assert_eq!(listed(&sim), [(0x8001, vec![3])]);
    for place in [3, 1] {
        assert!(matches!(sim.ask(place, run(FIRST, place as u16)), Call::MsgWait { .. }));
    }
    let expected = ["8001@3 24", "8001@3 run", "8001@3 24", "8001@3 run", "8001@1 24", "8001@1 run"];
    assert_eq!(noted(&log), expected);
}

#[test]
fn a_private_interrupt_is_each_execution_contexts_own() {
    let log = Log::default();
    let sim =
        machine().partition_with("many", contexts(FIRST, &[24], &log), owns(0, &[(24, PRIVATE_EDGE)])).boot();
    for place in [2, 0, 3] {
        sim.machine().raise(cpu(place), 24);
        assert_eq!(sim.idle(place), 1);
        assert!(!sim.machine().is_active(cpu(place), 24));
    }
    let expected =
        ["8001@2 24", "8001@2 told 24", "8001@0 24", "8001@0 told 24", "8001@3 24", "8001@3 told 24"];
    assert_eq!(noted(&log), expected);
}

#[test]
fn a_private_interrupt_of_one_that_moves_about_ends_where_it_came() {
    let log = Log::default();
    let script = owner(FIRST, &[24], &log, |guest, _| guest.stopped_by(InterruptLine::Foreign));
    let sim = machine().partition_with("owner", [script], owns(0, &[(24, PRIVATE_EDGE)])).boot();
    preempted(sim.ask(0, request(FIRST, PAYLOAD)), FIRST);
    sim.machine().raise(cpu(0), 24);
    assert_eq!(sim.idle(0), 1);
    assert_eq!(payload(sim.ask(3, run(FIRST, 0))), PAYLOAD);
    assert_eq!((noted(&log), kicked(&sim)), (vec!["8001@3 24".into()], vec![0]));
    assert_eq!(sim.idle(0), 1);
    assert!(!sim.machine().is_active(cpu(0), 24));
}

fn off(sim: &Sim, place: usize) {
    let off = sim.spmd_message(FrameworkMessage::PsciRequest, [0x8400_0002, 0, 0, 0, 0]);
    assert!(matches!(sim.ask(place, off), Call::DirectResponse(_)));
}

#[test]
fn interrupts_go_elsewhere_when_their_processing_element_goes_off() {
    let log = Log::default();
    let script = owner(FIRST, &[3, 40], &log, |guest, _| {
        guest.set_timer(TimerRegister::CompareValue, 500);
        guest.set_timer(TimerRegister::Control, 1);
    });
    let sim = machine().partition_with("owner", [script], owns(0, &[(40, LEVEL)])).boot();
    payload(sim.ask(0, request(FIRST, PAYLOAD)));
    assert_eq!(sim.machine().deadline(cpu(0)), Some(500));
    off(&sim, 0);
    assert_eq!(sim.machine().deadline(cpu(0)), None);
    assert_eq!((setting(&sim, 40).unwrap().target.get(), kicked(&sim)), (1, vec![1]));
    assert_eq!(sim.idle(1), 1);
    assert_eq!(sim.machine().deadline(cpu(1)), Some(500));
    sim.machine().set_counter(500);
    sim.machine().set_level(cpu(1), 40, true);
    sim.idle(1);
    assert_eq!(noted(&log), ["8001@1 3", "8001@1 40", "8001@1 told 3"]);
}

#[test]
fn a_processing_element_that_comes_back_has_its_private_interrupts() {
    let log = Log::default();
    let sim =
        machine().partition_with("many", contexts(FIRST, &[24], &log), owns(0, &[(24, PRIVATE_EDGE)])).boot();
    off(&sim, 2);
    sim.machine().raise(cpu(2), 24);
    assert_eq!(sim.machine().secure_interrupt(cpu(2)), None);
    sim.start_cpu(2);
    sim.idle(2);
    assert_eq!(noted(&log), ["8001@2 24", "8001@2 told 24"]);
}

// --- Timers

#[test]
fn a_timer_wakes_its_owner() {
    let log = Log::default();
    let script = owner(FIRST, &[3], &log, |guest, request| {
        let [in_ticks, ..] = request.payload;
        guest.set_timer(TimerRegister::TimerValue, in_ticks);
        guest.set_timer(TimerRegister::Control, 1);
        assert_eq!(guest.timer(TimerRegister::Control), 1);
        assert_eq!(guest.timer(TimerRegister::TimerValue), in_ticks);
    });
    let sim = machine().partition("owner", [script]).boot();
    sim.machine().set_counter(1000);
    payload(sim.ask(2, request(FIRST, [50, 0, 0, 0, 0])));
    assert_eq!(sim.machine().deadline(cpu(2)), Some(1050));
    sim.machine().set_counter(1049);
    assert_eq!(sim.idle(2), 0);
    sim.machine().set_counter(1050);
    assert_eq!(sim.idle(2), 1);
    assert_eq!(noted(&log), ["8001@2 3", "8001@2 told 3"]);
    assert_eq!(sim.machine().deadline(cpu(2)), None, "once for each time that it is set up");
    sim.machine().set_counter(9000);
    assert_eq!(sim.idle(2), 0);
}

#[test]
fn a_timer_whose_time_has_come_interrupts_at_once_and_says_so() {
    let log = Log::default();
    let own = log.clone();
    let script = owner(FIRST, &[3], &log, move |guest, _| {
        guest.mask(true);
        guest.set_timer(TimerRegister::CompareValue, 10);
        guest.set_timer(TimerRegister::Control, 3);
        assert_eq!((guest.timer(TimerRegister::Control), guest.signals().irq), (7, false), "masked");
        guest.set_timer(TimerRegister::Control, 1);
        assert_eq!((guest.timer(TimerRegister::Control), guest.signals().irq), (5, true));
        guest.set_timer(TimerRegister::Control, 0);
        assert_eq!((guest.timer(TimerRegister::Control), guest.signals().irq), (0, false), "taken back");
        guest.mask(false);
        note(&own, FIRST, guest.cpu(), "unmasked");
        guest.set_timer(TimerRegister::Control, 1);
    });
    let sim = machine().partition("owner", [script]).boot();
    sim.machine().set_counter(1000);
    payload(sim.ask(0, request(FIRST, PAYLOAD)));
    assert_eq!(noted(&log), ["8001@0 unmasked", "8001@0 3"]);
}

#[test]
fn the_machines_timer_stands_at_the_nearest_of_all() {
    let log = Log::default();
    let script = |who| {
        owner(who, &[3], &log, |guest, request| {
            guest.set_timer(TimerRegister::CompareValue, request.payload[0]);
            guest.set_timer(TimerRegister::Control, request.payload[1]);
        })
    };
    let sim = machine().partition("first", [script(FIRST)]).partition("second", [script(SECOND)]).boot();
    payload(sim.ask(0, request(FIRST, [300, 1, 0, 0, 0])));
    payload(sim.ask(0, request(SECOND, [200, 1, 0, 0, 0])));
    assert_eq!(sim.machine().deadline(cpu(0)), Some(200));
    sim.machine().set_counter(250);
    assert_eq!(sim.idle(0), 1);
    assert_eq!(sim.machine().deadline(cpu(0)), Some(300));
    payload(sim.ask(0, request(FIRST, [300, 0, 0, 0, 0])));
    assert_eq!(sim.machine().deadline(cpu(0)), None);
    assert_eq!(noted(&log), ["8002@0 3", "8002@0 told 3"]);
}

// --- Interrupts of the normal world

fn exits(virq: bool) -> impl FnOnce(&mut Node) {
    move |manifest| {
        manifest.set("ns-interrupts-action", 1_u32);
        manifest.set("managed-exit", tantalum_sim::dtb::Flag);
        if virq {
            manifest.set("managed-exit-virq", tantalum_sim::dtb::Flag);
        }
    }
}

#[test]
fn a_managed_exit_is_signalled_once_and_ends_with_the_answer() {
    for virq in [false, true] {
        let log = Log::default();
        let own = log.clone();
        let script = owner(FIRST, &[], &log, move |guest, _| {
            guest.mask(true);
            assert_eq!(
                (guest.foreign(), guest.signals()),
                (ForeignInterrupts::Taken, VirtualInterrupts::NONE)
            );
            guest.stopped_by(InterruptLine::Foreign);
            assert_eq!(
                guest.foreign(),
                ForeignInterrupts::Masked,
                "the normal world waits until it has finished"
            );
            assert_eq!(guest.signals(), VirtualInterrupts { irq: virq, fiq: !virq });
            if virq {
                note(&own, FIRST, guest.cpu(), guest.paravirtual(GET, [0; 3]).to_string());
                assert_eq!(guest.signals(), VirtualInterrupts::NONE);
                assert_eq!(guest.paravirtual(GET, [0; 3]), NO_INTERRUPT, "once");
            }
        });
        let sim = machine().partition_with("owner", [script], exits(virq)).boot();
        for round in 1..3 {
            assert_eq!(payload(sim.ask(0, request(FIRST, PAYLOAD))), PAYLOAD);
            // The one who did not get it does not have it any more in its next turn.
            assert_eq!(noted(&log), if virq { vec!["8001@0 4"; round] } else { vec![] });
        }
    }
}

#[test]
fn in_a_chain_the_most_restrictive_action_counts() {
    let seen = |asker: u32, callee: u32| {
        let foreign = Arc::new(Mutex::new(None));
        let own = foreign.clone();
        let log = Log::default();
        let set = |action: u32| {
            move |manifest: &mut Node| match action {
                1 => exits(true)(manifest),
                action => manifest.set("ns-interrupts-action", action),
            }
        };
        let sim = machine()
            .partition_with(
                "asker",
                [owner(FIRST, &[], &log, |guest, request| {
                    asks(guest, FIRST, SECOND, request.payload);
                })],
                set(asker),
            )
            .partition_with(
                "callee",
                [owner(SECOND, &[], &log, move |guest, _| *own.lock().unwrap() = Some(guest.foreign()))],
                set(callee),
            )
            .boot();
        payload(sim.ask(0, request(FIRST, PAYLOAD)));
        let foreign = foreign.lock().unwrap();
        foreign.unwrap()
    };
    use ForeignInterrupts::{Masked, Taken};
    for (asker, callee, expected) in [
        (0, 0, Masked),
        (0, 1, Masked),
        (0, 2, Masked),
        (1, 0, Masked),
        (1, 1, Taken),
        (1, 2, Taken),
        (2, 0, Masked),
        (2, 1, Taken),
        (2, 2, Taken),
    ] {
        assert_eq!(seen(asker, callee), expected, "{asker} asks {callee}");
    }
}

#[test]
fn a_managed_exit_reaches_the_one_in_the_chain_who_has_asked_for_it() {
    let log = Log::default();
    let own = log.clone();
    let asker = owner(FIRST, &[], &log, move |guest, request| {
        guest.mask(true);
        let target = Target { endpoint: SECOND, vcpu: 0 };
        if request.payload[0] == 0 {
            assert_eq!(
                guest.call(request_from(FIRST, SECOND, PAYLOAD)),
                Call::Interrupt { target, intid: 0 }
            );
            assert_eq!(guest.signals(), VirtualInterrupts { irq: false, fiq: true });
            assert_eq!(guest.foreign(), ForeignInterrupts::Masked);
            note(&own, FIRST, guest.cpu(), "exits");
        } else {
            assert_eq!(payload(guest.call(Call::Run { target })), PAYLOAD);
            note(&own, FIRST, guest.cpu(), "has the answer");
        }
    });
    let own = log.clone();
    let callee = owner(SECOND, &[], &log, move |guest, _| {
        guest.stopped_by(InterruptLine::Foreign);
        note(&own, SECOND, guest.cpu(), "goes on");
    });
    let sim = machine().partition_with("asker", [asker], exits(false)).partition("callee", [callee]).boot();
    assert_eq!(payload(sim.ask(0, request(FIRST, [0; 5]))), [0; 5]);
    assert_eq!(sim.refusal(0, run(SECOND, 0)), Status::Denied, "it is the asker's to run");
    assert_eq!(sim.refusal(0, request(SECOND, PAYLOAD)), Status::Busy);
    assert_eq!(payload(sim.ask(0, request(FIRST, PAYLOAD))), PAYLOAD);
    assert_eq!(noted(&log), ["8001@0 exits", "8002@0 goes on", "8001@0 has the answer"]);
    assert_eq!(payload(sim.ask(0, request(FIRST, [0; 5]))), [0; 5], "and again");
}

#[test]
fn a_chain_whose_end_exits_is_preempted_before_it() {
    let log = Log::default();
    let own = log.clone();
    let asker = owner(FIRST, &[], &log, move |guest, request| {
        asks(guest, FIRST, SECOND, request.payload);
        // Still pending, and now nobody is asked to finish first.
        guest.stopped_by(InterruptLine::Foreign);
        note(&own, FIRST, guest.cpu(), "goes on");
    });
    let callee = owner(SECOND, &[], &log, |guest, _| {
        guest.mask(true);
        guest.stopped_by(InterruptLine::Foreign);
        assert!(guest.signals().fiq);
    });
    let sim = machine().partition("asker", [asker]).partition_with("callee", [callee], exits(false)).boot();
    preempted(sim.ask(0, request(FIRST, PAYLOAD)), FIRST);
    assert_eq!(payload(sim.ask(0, run(FIRST, 0))), PAYLOAD);
    assert_eq!(noted(&log), ["8001@0 goes on"]);
}

#[test]
fn an_interrupt_of_group_0_is_el3s() {
    let log = Log::default();
    let own = log.clone();
    let script = owner(FIRST, &[], &log, move |guest, _| {
        guest.stopped_by(InterruptLine::Group0);
        note(&own, FIRST, guest.cpu(), "goes on");
    });
    let sim = machine().partition("owner", [script]).boot();
    let own = log.clone();
    sim.machine().set_spmd(Box::new(move |call| {
        assert_eq!(*call, Call::El3InterruptHandle.encode());
        note(&own, EndpointId::SPMD, 0, "handles it");
        answer::success()
    }));
    assert_eq!(payload(sim.ask(0, request(FIRST, PAYLOAD))), PAYLOAD);
    assert_eq!(noted(&log), ["ffff@0 handles it", "8001@0 goes on"]);
}

#[test]
fn a_private_interrupt_is_set_up_where_it_comes_though_its_owner_begins_anew_elsewhere() {
    let log = Log::default();
    let script = owner(FIRST, &[24], &log, |guest, _| guest.fault());
    let sim = machine()
        .partition_with("owner", [script], |manifest| {
            manifest.set("abort-action", 2_u32);
            owns(0, &[(24, PRIVATE_EDGE)])(manifest);
        })
        .boot();
    assert_eq!(sim.refusal(2, request(FIRST, PAYLOAD)), Status::Aborted);
    assert_eq!(kicked(&sim), [0]);
    sim.machine().raise(cpu(0), 24);
    sim.idle(0);
    assert_eq!(noted(&log), ["8001@0 24", "8001@0 told 24"]);
}

// --- Many processing elements at once

/// Tells the others when the thread of a processing element fails, so that they do not wait for it for ever.
struct Alarm<'a>(&'a AtomicBool);

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}

#[test]
fn four_processing_elements_at_once_lose_none_and_double_none() {
    const ROUNDS: usize = 300;
    let handled: Arc<[AtomicUsize; CPUS]> = Arc::default();
    let count = handled.clone();
    let one = guest(move |guest| {
        for intid in 40..44 {
            assert_eq!(guest.paravirtual(ENABLE, [intid, 1, 0]), 0);
        }
        let count = count.clone();
        guest.handle_interrupts(move |guest| {
            loop {
                let intid = guest.paravirtual(GET, [0; 3]);
                if intid == NO_INTERRUPT {
                    return;
                }
                assert_eq!(guest.paravirtual(DEACTIVATE, [intid, intid, 0]), 0);
                count[intid as usize - 40].fetch_add(1, Ordering::SeqCst);
            }
        });
        let mut news = guest.wait();
        loop {
            news = match news {
                Call::DirectRequest(request) => guest.respond(&request, request.payload),
                _ => guest.wait(),
            };
        }
    });
    let sim = machine()
        .partition_with("one", [one], |manifest| {
            let cells = (40..44).flat_map(|intid| [intid, EDGE]).flat_map(u32::to_be_bytes);
            let targets = (0..4).flat_map(|cpu| [40 + cpu, 0, cpu]).flat_map(u32::to_be_bytes);
            let device = region("device", DEVICE_BASE, 1, 3)
                .with("interrupts", cells.collect::<Vec<u8>>())
                .with("interrupts-target", targets.collect::<Vec<u8>>());
            manifest.add(device_regions([device]));
        })
        .partition("many", contexts(SECOND, &[9], &Log::default()))
        .boot();
    let failed = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for place in 0..CPUS {
            let (sim, handled, failed) = (&sim, &handled, &failed);
            scope.spawn(move || {
                let _alarm = Alarm(failed);
                for round in 0..ROUNDS {
                    assert_eq!(handled[place].load(Ordering::SeqCst), round, "of CPU {place}");
                    sim.machine().raise(cpu(place), 40 + place as u32);
                    // Once a round: without end they would keep the other one from what they stop there, for which
                    // this one may wait.
                    let next = [(place as u64 + 1) % CPUS as u64, 0, 0, 0, 0];
                    payload(sim.ask(place, request(SECOND, next)));
                    while handled[place].load(Ordering::SeqCst) == round {
                        assert!(!failed.load(Ordering::Relaxed), "another processing element has failed");
                        sim.idle(place);
                        match sim.ask(place, request(FIRST, PAYLOAD)) {
                            Call::Error { status, .. } => assert_eq!(status, Status::Busy),
                            answer => assert_eq!(payload(answer), PAYLOAD),
                        }
                    }
                }
            });
        }
    });
    for place in 0..CPUS {
        sim.idle(place);
        let intid = 40 + place as u32;
        assert_eq!(handled[place].load(Ordering::SeqCst), ROUNDS);
        assert_eq!((ended(&sim, intid), sim.machine().is_active(cpu(place), intid)), (ROUNDS, false));
    }
}
