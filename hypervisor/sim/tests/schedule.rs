//! Giving the processing element away and getting it back on the simulated machine: FFA_YIELD, FFA_RUN, chains.

// What goes wrong in a helper has to stop the test there.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation
)]

use std::sync::Mutex;
use std::sync::mpsc::channel;

use tantalum_ffa::{Call, DirectMessage, FrameworkMessage, Status, Target, Width};
use tantalum_hal::{ForeignInterrupts, InterruptLine, TimerRegister};
use tantalum_sim::guest::guest;
use tantalum_sim::manifests::CPUS;
use tantalum_sim::script::{Script, echo};
use tantalum_sim::{Guest, Sim, SimBuilder};
use tantalum_types::{CpuIndex, EndpointId};

const FIRST: EndpointId = EndpointId::new(0x8001);
const SECOND: EndpointId = EndpointId::new(0x8002);
const THIRD: EndpointId = EndpointId::new(0x8003);
const PAYLOAD: [u64; 5] = [1, 2, 3, 4, 5];
/// More than 32 bits of nanoseconds.
const TIMEOUT: u64 = 0x0000_0012_3456_789a;
const SUCCESS: Call = Call::Success32 { target: Target::NONE, results: [0; 6] };

fn request(receiver: EndpointId, payload: [u64; 5]) -> Call {
    request_from(EndpointId::HYPERVISOR, receiver, payload)
}

fn request_from(sender: EndpointId, receiver: EndpointId, payload: [u64; 5]) -> Call {
    Call::DirectRequest(DirectMessage { width: Width::Bits64, sender, receiver, framework: None, payload })
}

fn target(endpoint: EndpointId, vcpu: u16) -> Target {
    Target { endpoint, vcpu }
}

fn run(endpoint: EndpointId, vcpu: u16) -> Call {
    Call::Run { target: target(endpoint, vcpu) }
}

fn yields(timeout: u64) -> Call {
    Call::Yield { target: Target::NONE, timeout }
}

fn payload(answer: Call) -> [u64; 5] {
    match answer {
        Call::DirectResponse(message) => message.payload,
        other => panic!("{other:?} is no direct response"),
    }
}

fn refused(answer: Call) -> Status {
    match answer {
        Call::Error { status, .. } => status,
        other => panic!("{other:?} is no refusal"),
    }
}

/// Is a partition that lets `serve` serve each request and answers it by its payload.
fn server(serve: impl Fn(&mut Guest, &DirectMessage) + Send + Sync + 'static) -> Script {
    guest(move |guest| serve_all(guest, &serve))
}

fn serve_all(guest: &mut Guest, serve: &impl Fn(&mut Guest, &DirectMessage)) {
    let mut news = guest.wait();
    loop {
        news = match news {
            Call::DirectRequest(request) => {
                serve(guest, &request);
                guest.respond(&request, request.payload)
            }
            _ => guest.wait(),
        };
    }
}

fn yielding() -> Script {
    server(|guest, _| assert_eq!(guest.call(yields(TIMEOUT)), SUCCESS))
}

// --- FFA_YIELD

#[test]
fn who_yields_goes_on_by_run() {
    let sim = SimBuilder::new().partition("one", [yielding()]).boot();
    for place in [0, 2] {
        let yielded = Call::Yield { target: target(FIRST, 0), timeout: TIMEOUT };
        assert_eq!(sim.ask(place, request(FIRST, PAYLOAD)), yielded);
        assert_eq!(sim.refusal(1, request(FIRST, PAYLOAD)), Status::Busy, "it is blocked");
        // The only one of its partition may go on anywhere.
        assert_eq!(payload(sim.ask(3, run(FIRST, 0))), PAYLOAD);
    }
    assert_eq!(sim.refusal(0, yields(0)), Status::NotSupported, "not the normal world's");
}

#[test]
fn who_is_run_yields_as_often_as_it_likes() {
    let script = guest(|guest| {
        assert!(matches!(guest.wait(), Call::Run { .. }));
        for round in 0..3 {
            assert_eq!(guest.call(yields(round)), SUCCESS);
        }
    });
    let sim = SimBuilder::new().partition("one", [script]).boot();
    for round in 0..3 {
        let yielded = Call::Yield { target: target(FIRST, 0), timeout: round };
        assert_eq!(sim.ask(1, run(FIRST, 0)), yielded);
    }
    assert!(matches!(sim.ask(1, run(FIRST, 0)), Call::MsgWait { .. }));
}

/// Asks the second; as often as that gives the processing element back, lets it go on.
fn patient(log: fn(Call)) -> Script {
    server(move |guest, request| {
        let mut answer = guest.call(request_from(FIRST, SECOND, request.payload));
        while !matches!(answer, Call::DirectResponse(_)) {
            log(answer);
            answer = guest.call(run(SECOND, 0));
        }
        assert_eq!(payload(answer), request.payload);
    })
}

#[test]
fn who_was_asked_by_a_partition_yields_to_it() {
    let sim = SimBuilder::new()
        .partition(
            "asker",
            [patient(|answer| {
                assert_eq!(answer, Call::Yield { target: target(SECOND, 0), timeout: TIMEOUT });
            })],
        )
        .partition("yielding", [yielding()])
        .boot();
    assert_eq!(payload(sim.ask(0, request(FIRST, PAYLOAD))), PAYLOAD);
    assert_eq!(payload(sim.ask(3, request(FIRST, PAYLOAD))), PAYLOAD);
}

#[test]
fn who_initialises_itself_or_hears_of_power_does_not_yield() {
    let scripts = (0..CPUS).map(|_| {
        guest(|guest| {
            assert_eq!(refused(guest.call(yields(0))), Status::Denied);
            assert_eq!(refused(guest.call(run(SECOND, 0))), Status::Denied);
            let Call::DirectRequest(message) = guest.wait() else { panic!("no message") };
            assert_eq!(message.framework, Some(FrameworkMessage::PsciRequest));
            assert_eq!(guest.foreign(), ForeignInterrupts::Masked);
            for refused_call in [yields(0), run(SECOND, 0), request_from(FIRST, SECOND, PAYLOAD)] {
                assert_eq!(refused(guest.call(refused_call)), Status::Denied, "{refused_call:?}");
            }
            assert_eq!(refused(guest.wait()), Status::Denied);
            let answer = message.framework_answer(FrameworkMessage::PmResponse, [0; 5]);
            guest.call(Call::DirectResponse(answer));
        })
    });
    let sim = SimBuilder::new()
        .partition_with("many", scripts, |manifest| manifest.set("power-management-messages", 1_u32))
        .partition("two", [echo()])
        .boot();
    let off = sim.spmd_message(FrameworkMessage::PsciRequest, [0x8400_0002, 0, 0, 0, 0]);
    match sim.ask(2, off) {
        Call::DirectResponse(message) => assert_eq!(message.payload[0], 0),
        other => panic!("{other:?}"),
    }
}

#[test]
fn who_handles_an_interrupt_goes_on_though_it_yields() {
    let script = guest(|guest| {
        assert_eq!(guest.paravirtual(0xff03, [3, 1, 0]), 0);
        guest.set_timer(TimerRegister::CompareValue, 10);
        guest.set_timer(TimerRegister::Control, 1);
        assert!(matches!(guest.wait(), Call::Interrupt { intid: 3, .. }));
        assert_eq!(guest.call(yields(TIMEOUT)), SUCCESS);
        assert_eq!(guest.paravirtual(0xff04, [0; 3]), 3);
        assert_eq!(payload(guest.call(request_from(FIRST, SECOND, PAYLOAD))), PAYLOAD, "it may ask");
        let answer = DirectMessage {
            width: Width::Bits64,
            sender: FIRST,
            receiver: EndpointId::HYPERVISOR,
            framework: None,
            payload: PAYLOAD,
        };
        assert_eq!(refused(guest.call(Call::DirectResponse(answer))), Status::Denied, "nobody asked");
    });
    let asked = server(|guest, _| assert_eq!(guest.foreign(), ForeignInterrupts::Masked));
    let sim = SimBuilder::new().partition("one", [script]).partition("two", [asked]).boot();
    sim.machine().set_counter(10);
    assert_eq!(sim.idle(0), 1);
}

// --- FFA_RUN of partitions

#[test]
fn a_partition_runs_nobody_but_who_owes_it_an_answer() {
    let yielded = |guest: &mut Guest, own, next| {
        assert!(matches!(guest.call(request_from(own, next, PAYLOAD)), Call::Yield { .. }));
    };
    let first = server(move |guest, request| {
        if request.payload[0] == 0 {
            // The second one stays blocked, and owes the first one an answer.
            yielded(guest, FIRST, SECOND);
            return;
        }
        let attempts = [
            (run(EndpointId::HYPERVISOR, 0), Status::Denied),
            (run(EndpointId::new(1), 0), Status::Denied),
            (run(FIRST, 0), Status::Denied),
            (run(EndpointId::new(0x8007), 0), Status::InvalidParameters),
            (run(EndpointId::SPMC, 0), Status::InvalidParameters),
            (run(SECOND, 1), Status::InvalidParameters),
            (run(THIRD, 0), Status::Denied),
            (run(EndpointId::new(0x8004), (guest.cpu() as u16 + 1) % CPUS as u16), Status::InvalidParameters),
            (run(EndpointId::new(0x8004), guest.cpu() as u16), Status::Denied),
            (run(EndpointId::new(0x8005), 0), Status::Aborted),
        ];
        for (attempt, expected) in attempts {
            assert_eq!(refused(guest.call(attempt)), expected, "{attempt:?}");
        }
        assert_eq!(refused(guest.call(request_from(FIRST, SECOND, PAYLOAD))), Status::Busy);
        assert_eq!(payload(guest.call(run(SECOND, 0))), PAYLOAD);
        assert_eq!(refused(guest.call(run(SECOND, 0))), Status::Denied, "it waits");
    });
    let third = server(|guest, _| {
        assert_eq!(refused(guest.call(run(SECOND, 0))), Status::Denied, "it owes another one");
        assert_eq!(refused(guest.call(request_from(THIRD, SECOND, PAYLOAD))), Status::Busy);
    });
    let sim = SimBuilder::new()
        .partition("first", [first])
        .partition("second", [yielding()])
        .partition("third", [third])
        .partition("many", (0..CPUS).map(|_| echo()))
        .partition("stopped", [server(|guest, _| guest.fault())])
        .boot();
    assert_eq!(sim.refusal(1, request(EndpointId::new(0x8005), PAYLOAD)), Status::Aborted);
    payload(sim.ask(1, request(FIRST, [0; 5])));
    payload(sim.ask(2, request(THIRD, PAYLOAD)));
    assert_eq!(sim.refusal(1, run(SECOND, 0)), Status::Denied, "it is not the normal world's to run");
    // The first one answers for itself meanwhile, and lets the second go on where it is then.
    payload(sim.ask(3, request(FIRST, PAYLOAD)));
}

#[test]
fn nobody_in_the_chain_is_run() {
    let first = server(|guest, request| {
        let [command, ..] = request.payload;
        if command == 0 {
            assert_eq!(payload(guest.call(request_from(FIRST, SECOND, PAYLOAD))), PAYLOAD);
        }
    });
    let second = server(|guest, _| {
        assert_eq!(refused(guest.call(run(FIRST, 0))), Status::Denied);
        assert_eq!(refused(guest.call(request_from(SECOND, FIRST, PAYLOAD))), Status::Denied);
    });
    let sim = SimBuilder::new().partition("first", [first]).partition("second", [second]).boot();
    assert_eq!(payload(sim.ask(0, request(FIRST, [0; 5]))), [0; 5]);
}

#[test]
fn a_chain_that_a_partition_lets_go_on_goes_on_as_a_whole() {
    // The first asks the second, which asks the third, which yields to the second, which yields to the first.
    let second = server(|guest, request| {
        assert!(matches!(guest.call(request_from(SECOND, THIRD, request.payload)), Call::Yield { .. }));
        assert_eq!(guest.call(yields(7)), SUCCESS);
        assert_eq!(payload(guest.call(run(THIRD, 0))), request.payload);
    });
    let sim = SimBuilder::new()
        .partition(
            "first",
            [patient(|answer| {
                assert_eq!(answer, Call::Yield { target: target(SECOND, 0), timeout: 7 });
            })],
        )
        .partition("second", [second])
        .partition("third", [yielding()])
        .boot();
    assert_eq!(payload(sim.ask(0, request(FIRST, PAYLOAD))), PAYLOAD);
}

#[test]
fn who_yielded_to_one_that_was_stopped_meanwhile_can_still_go_on() {
    let first = server(|guest, _| {
        assert!(matches!(guest.call(request_from(FIRST, SECOND, PAYLOAD)), Call::Yield { .. }));
        guest.fault();
    });
    let sim = SimBuilder::new().partition("first", [first]).partition("second", [yielding()]).boot();
    assert_eq!(sim.refusal(0, request(FIRST, PAYLOAD)), Status::Aborted);
    assert_eq!(sim.refusal(0, request(SECOND, PAYLOAD)), Status::Busy);
    // Its answer is nobody's any more, but it is there for the next one.
    sim.ask(0, run(SECOND, 0));
    assert!(matches!(sim.ask(0, request(SECOND, PAYLOAD)), Call::Yield { .. }));
    assert_eq!(payload(sim.ask(0, run(SECOND, 0))), PAYLOAD);
}

// --- FFA_RUN of the normal world

#[test]
fn a_chain_that_is_tied_to_a_processing_element_goes_on_there() {
    let many = (0..CPUS).map(|_| server(|guest, _| guest.stopped_by(InterruptLine::Foreign)));
    let sim = SimBuilder::new()
        .partition(
            "first",
            [server(|guest, request| {
                assert_eq!(
                    payload(guest.call(request_from(FIRST, SECOND, request.payload))),
                    request.payload
                );
            })],
        )
        .partition("many", many)
        .boot();
    let interrupted = Call::Interrupt { target: target(FIRST, 0), intid: 0 };
    assert_eq!(sim.ask(1, request(FIRST, PAYLOAD)), interrupted);
    assert_eq!(sim.refusal(2, run(FIRST, 0)), Status::Denied);
    assert_eq!(payload(sim.ask(1, run(FIRST, 0))), PAYLOAD);
}

#[test]
fn who_a_secure_interrupt_has_stopped_is_busy() {
    let (handling, is_handling) = channel();
    let (go_on, may_go_on) = channel();
    let (handling, may_go_on) = (Mutex::new(handling), Mutex::new(may_go_on));
    // Its timer interrupts the victim, and its handler takes its time.
    let owner = guest(move |guest| {
        assert_eq!(guest.paravirtual(0xff03, [3, 1, 0]), 0);
        guest.set_timer(TimerRegister::CompareValue, 10);
        guest.set_timer(TimerRegister::Control, 1);
        assert!(matches!(guest.wait(), Call::Interrupt { intid: 3, .. }));
        handling.lock().unwrap().send(()).unwrap();
        may_go_on.lock().unwrap().recv().unwrap();
        assert_eq!(guest.paravirtual(0xff04, [0; 3]), 3);
    });
    let (running, is_running) = channel();
    let (tick, has_ticked) = channel();
    let (running, has_ticked) = (Mutex::new(running), Mutex::new(has_ticked));
    let victim = server(move |guest, _| {
        running.lock().unwrap().send(()).unwrap();
        has_ticked.lock().unwrap().recv().unwrap();
        guest.stopped_by(InterruptLine::Secure);
    });
    let sim: Sim = SimBuilder::new().partition("owner", [owner]).partition("victim", [victim]).boot();
    std::thread::scope(|scope| {
        let asker = scope.spawn(|| payload(sim.ask(0, request(SECOND, PAYLOAD))));
        is_running.recv().unwrap();
        sim.machine().set_counter(10);
        tick.send(()).unwrap();
        is_handling.recv().unwrap();
        assert!(sim.machine().secure_interrupt(CpuIndex::new(0).unwrap()).is_none(), "it has been taken");
        for endpoint in [FIRST, SECOND] {
            assert_eq!(sim.refusal(1, request(endpoint, PAYLOAD)), Status::Busy);
            assert_eq!(sim.refusal(1, run(endpoint, 0)), Status::Busy);
        }
        go_on.send(()).unwrap();
        assert_eq!(asker.join().unwrap(), PAYLOAD);
    });
}
