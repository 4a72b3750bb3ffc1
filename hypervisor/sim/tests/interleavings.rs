//! Two processing elements at once, on one machine, in many orders of everything that they do to locks and atomic
//! words.
//!
//! `RUSTFLAGS="--cfg shuttle" cargo test -p tantalum-sim --test interleavings` runs them. A lock that is never given
//! back, or two that are taken in two orders, is a deadlock, which is noticed.
#![cfg(shuttle)]
#![allow(clippy::unwrap_used, clippy::panic, clippy::arithmetic_side_effects)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use shuttle::scheduler::RandomScheduler;
use shuttle::thread;
use tantalum_ffa::{Call, DirectMessage, Status, Width};
use tantalum_hal::TrapKind;
use tantalum_sim::dtb::Flag;
use tantalum_sim::script::{Script, call, serve};
use tantalum_sim::{Sim, SimBuilder};
use tantalum_types::EndpointId;

/// Counts the orders that are tried.
const ORDERS: usize = 300;

const HOST: EndpointId = EndpointId::HYPERVISOR;
const FIRST: EndpointId = EndpointId::new(0x8001);
const SECOND: EndpointId = EndpointId::new(0x8002);

/// Is the payload that makes a partition do what it may not.
const FAULT: u64 = 0xdead;

fn in_many_orders(body: impl Fn() + Send + Sync + 'static) {
    let scheduler = RandomScheduler::new_from_seed(0x7461_6e74, ORDERS);
    // Frames of the SPMC and of the machine around it are larger than those that shuttle expects.
    let mut config = shuttle::Config::default();
    config.stack_size = 1 << 24;
    shuttle::Runner::new(scheduler, config).run(body);
}

fn servant() -> Script {
    serve(|_, request| {
        if request.payload[0] == FAULT {
            return Err(TrapKind::Instruction);
        }
        Ok(call(Call::DirectResponse(request.answer(request.payload))))
    })
}

fn machine(restarts: bool) -> Arc<Sim> {
    let sim = SimBuilder::new()
        .cpus(2)
        .partition_with("many", (0..2).map(|_| servant()), |manifest| {
            manifest.set("notification-support", Flag);
            if restarts {
                manifest.set("abort-action", 2_u32);
            }
        })
        .partition_with("one", [servant()], |manifest| manifest.set("notification-support", Flag))
        .boot();
    sim.call(0, Call::Version { requested: 0x1_0001 });
    Arc::new(sim)
}

fn request(receiver: EndpointId, first: u64) -> Call {
    let payload = [first, 2, 3, 4, 5];
    let (width, sender, framework) = (Width::Bits64, HOST, None);
    Call::DirectRequest(DirectMessage { width, sender, receiver, framework, payload })
}

/// Runs two things at once, each on its own processing element.
fn both(sim: &Arc<Sim>, one: impl FnOnce(&Sim) + Send + 'static, other: impl FnOnce(&Sim)) {
    let machine = sim.clone();
    let one = thread::spawn(move || one(&machine));
    other(sim);
    one.join().unwrap();
}

#[test]
fn one_is_served_and_the_other_is_told_busy() {
    in_many_orders(|| {
        let sim = machine(false);
        let served = Arc::new(AtomicUsize::new(0));
        let counted = served.clone();
        let ask = move |cpu: usize, counted: &AtomicUsize, sim: &Sim| match sim.ask(cpu, request(SECOND, 1)) {
            Call::DirectResponse(answer) => {
                assert_eq!(answer.payload, [1, 2, 3, 4, 5]);
                counted.fetch_add(1, Relaxed);
            }
            Call::Error { status, .. } => assert_eq!(status, Status::Busy),
            other => panic!("{other:?}"),
        };
        both(&sim, move |sim| ask(1, &counted, sim), |sim| ask(0, &served, sim));
        assert!(served.load(Relaxed) >= 1);
    });
}

#[test]
fn a_partition_is_stopped_while_it_serves_elsewhere() {
    for restarts in [false, true] {
        in_many_orders(move || {
            let sim = machine(restarts);
            both(
                &sim,
                |sim| assert_eq!(sim.refusal(1, request(FIRST, FAULT)), Status::Aborted),
                |sim| match sim.ask(0, request(FIRST, 1)) {
                    Call::DirectResponse(_) => {}
                    Call::Error { status, .. } => {
                        assert!(matches!(status, Status::Aborted | Status::Busy), "{status}");
                    }
                    other => panic!("{other:?}"),
                },
            );
            sim.idle(0);
            sim.idle(1);
            match sim.ask(0, request(FIRST, 1)) {
                Call::DirectResponse(_) => assert!(restarts),
                Call::Error { status: Status::Aborted, .. } => {}
                other => panic!("{other:?}"),
            }
        });
    }
}

#[test]
fn notifications_of_two_at_once_are_both_there() {
    in_many_orders(|| {
        let sim = machine(false);
        let create =
            |endpoint| Call::NotificationBitmapCreate { endpoint: EndpointId::new(endpoint), vcpu_count: 1 };
        let destroy = |endpoint| Call::NotificationBitmapDestroy { endpoint: EndpointId::new(endpoint) };
        let works = |sim: &Sim, cpu, call| assert!(matches!(sim.ask(cpu, call), Call::Success32 { .. }));
        both(
            &sim,
            move |sim| {
                works(sim, 1, create(1));
                works(sim, 1, destroy(1));
            },
            |sim| works(sim, 0, create(2)),
        );
        assert_eq!(sim.refusal(0, create(2)), Status::Denied);
        works(&sim, 0, create(1));
    });
}
