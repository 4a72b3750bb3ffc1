//! Direct requests, and who goes on with those that were stopped.

use tantalum_ffa::{Call, DirectMessage, Status, Target, Width};
use tantalum_hal::{Event, InterruptLine};
use tantalum_sim::SimBuilder;
use tantalum_sim::script::{Script, call, wait};
use tantalum_types::{CpuIndex, EndpointId};

use crate::bench::{Bench, CPUS, sp};
use crate::world::*;

const ONE: EndpointId = EndpointId::new(0x8001);
const EACH: EndpointId = EndpointId::new(0x8002);

/// Asks [`yielding`] to be interrupted by the normal world instead.
const INTERRUPTED: u64 = 1 << 32;

/// Is a partition that yields as often as x3 says, and then answers with who has asked and x4.
fn yielding() -> Script {
    let mut open: Option<(DirectMessage, u64)> = None;
    Box::new(move |context| {
        if let Some(request) = context.request() {
            open = Some((request, request.payload[0]));
        }
        let Some((request, left)) = &mut open else { return Ok(wait()) };
        if *left > INTERRUPTED {
            *left -= 1;
            return Ok(Event::Interrupt(InterruptLine::Foreign));
        }
        *left &= INTERRUPTED - 1;
        if *left > 0 {
            *left -= 1;
            return Ok(call(Call::Yield { target: Target::NONE, timeout: 0 }));
        }
        let answer = request.answer([u64::from(request.sender.raw()), request.payload[1], 0, 0, 0]);
        open = None;
        Ok(call(Call::DirectResponse(answer)))
    })
}

fn world() -> World {
    let sim = SimBuilder::new()
        .partition("one", [yielding()])
        .partition("each", (0..CPUS).map(|_| yielding()))
        .boot();
    sim.call(0, Call::Version { requested: 0x1_0001 });
    World::of(Bench::around(sim))
}

fn request(vm: usize, receiver: EndpointId, yields: u64, value: u64) -> Call {
    Call::DirectRequest(DirectMessage {
        width: Width::Bits64,
        sender: id(vm),
        receiver,
        framework: None,
        payload: [yields, value, 0, 0, 0],
    })
}

fn answered(vm: usize, sender: EndpointId, value: u64) -> Call {
    Call::DirectResponse(DirectMessage {
        width: Width::Bits64,
        sender,
        receiver: id(vm),
        framework: None,
        payload: [u64::from(id(vm).raw()), value, 0, 0, 0],
    })
}

fn target(endpoint: EndpointId, vcpu: u16) -> Target {
    Target { endpoint, vcpu }
}

fn run(endpoint: EndpointId, vcpu: u16) -> Call {
    Call::Run { target: target(endpoint, vcpu) }
}

fn yielded(endpoint: EndpointId, vcpu: u16) -> Call {
    Call::Yield { target: target(endpoint, vcpu), timeout: 0 }
}

fn refused(answer: Call) -> Status {
    let Call::Error { status, .. } = answer else { panic!("{answer:?}") };
    status
}

#[test]
fn a_partition_learns_who_asks_and_answers_it() {
    let world = world();
    for cpu in 0..CPUS {
        for vm in 0..2 {
            for partition in [ONE, EACH] {
                let answer = world.ask_on(cpu, vm, request(vm, partition, 0, 77));
                assert_eq!(answer, answered(vm, partition, 77));
            }
        }
    }
    for nobody in [sp(5), EndpointId::SPMC, EndpointId::SPMD, id(1), EndpointId::HYPERVISOR] {
        assert_eq!(refused(world.ask(0, request(0, nobody, 0, 0))), Status::InvalidParameters, "{nobody}");
        assert_eq!(refused(world.ask(0, run(nobody, 0))), Status::InvalidParameters, "{nobody}");
    }
}

#[test]
fn who_has_asked_goes_on_and_nobody_else() {
    let world = world();
    assert_eq!(world.ask_on(1, 0, request(0, ONE, 2, 5)), yielded(ONE, 0));
    assert_eq!(world.ask_on(1, 0, request(0, EACH, 1, 6)), yielded(EACH, 1));
    // Another virtual machine neither goes on with it nor comes in between, wherever it is.
    for cpu in 0..CPUS {
        assert_eq!(refused(world.ask_on(cpu, 1, run(ONE, 0))), Status::Busy);
        assert_eq!(refused(world.ask_on(cpu, 1, request(1, ONE, 0, 0))), Status::Busy);
    }
    assert_eq!(refused(world.ask_on(1, 1, run(EACH, 1))), Status::Busy);
    assert_eq!(refused(world.ask_on(1, 0, request(0, EACH, 0, 0))), Status::Busy);
    // On other processing elements are others of its execution contexts.
    assert_eq!(world.ask_on(2, 1, request(1, EACH, 0, 9)), answered(1, EACH, 9));
    assert_eq!(refused(world.ask_on(2, 0, run(EACH, 1))), Status::InvalidParameters);
    // One that runs anywhere goes on anywhere.
    assert_eq!(world.ask_on(3, 0, run(ONE, 0)), yielded(ONE, 0));
    assert_eq!(world.ask_on(0, 0, run(ONE, 0)), answered(0, ONE, 5));
    assert_eq!(world.ask_on(1, 0, run(EACH, 1)), answered(0, EACH, 6));
    assert_eq!(world.ask_on(0, 1, request(1, ONE, 0, 3)), answered(1, ONE, 3));
}

#[test]
fn an_interrupt_of_the_normal_world_stops_a_call_until_it_is_gone_on_with() {
    let world = world();
    for partition in [ONE, EACH] {
        let stopped = Call::Interrupt { target: target(partition, 0), intid: 0 };
        assert_eq!(world.ask(0, request(0, partition, INTERRUPTED + 2, 4)), stopped);
        assert_eq!(refused(world.ask(1, run(partition, 0))), Status::Busy);
        assert_eq!(world.ask(0, run(partition, 0)), stopped);
        assert_eq!(world.ask(0, run(partition, 0)), answered(0, partition, 4));
    }
}

#[test]
fn what_was_asked_by_one_that_is_gone_is_finished_for_nobody() {
    let world = world();
    assert_eq!(world.ask_on(1, 0, request(0, ONE, 2, 5)), yielded(ONE, 0));
    assert!(world.relay.stop(index(0), &world.spmc(0), &world.memory));
    // It still needs more time than it gets at once.
    assert_eq!(refused(world.ask(1, request(1, ONE, 0, 0))), Status::Busy);
    assert_eq!(world.ask(1, request(1, ONE, 0, 8)), answered(1, ONE, 8));
    // Or it gets time when there is nothing else to do.
    assert_eq!(world.relay.start(index(0), 2, &world.spmc(0)), Ok(()));
    assert_eq!(world.ask_on(1, 0, request(0, ONE, 3, 5)), yielded(ONE, 0));
    assert!(world.relay.stop(index(0), &world.spmc(0), &world.memory));
    world.relay.work(CpuIndex::new(2).unwrap(), &world.spmc(2));
    assert_eq!(world.ask(1, request(1, ONE, 0, 8)), answered(1, ONE, 8));
}

#[test]
fn a_partition_that_waits_can_be_given_time() {
    let world = world();
    assert_eq!(world.ask_on(2, 0, run(EACH, 2)), Call::MsgWait { retain_rx: false });
    for wrong in [1, 3, 8, u16::MAX] {
        assert_eq!(refused(world.ask_on(2, 0, run(EACH, wrong))), Status::InvalidParameters);
    }
}
