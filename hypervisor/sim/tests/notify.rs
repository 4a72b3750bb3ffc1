//! Notifications: who may bind, signal and read them, who is told, and every refusal.

// What goes wrong in a helper has to stop the test there.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation
)]

mod agent;

use agent::{Agent, done, negotiate, status};
use tantalum_ffa::notification::{NotificationList, PendingNotifications, set_for_vcpu};
use tantalum_ffa::{Call, Status, Target, Width};
use tantalum_sim::manifests::CPUS;
use tantalum_sim::script::{Script, serve, trap};
use tantalum_sim::{Sim, SimBuilder};
use tantalum_types::{CpuIndex, EndpointId};

const HOST: EndpointId = EndpointId::HYPERVISOR;
const VM: EndpointId = EndpointId::new(5);
/// Has an execution context on every processing element.
const MANY: EndpointId = EndpointId::new(0x8001);
/// Has one.
const ONE: EndpointId = EndpointId::new(0x8002);
/// Has one, and receives no notifications.
const DEAF: EndpointId = EndpointId::new(0x8003);
const ABSENT: EndpointId = EndpointId::new(0x8008);

const INVALID: Result<(), Status> = Err(Status::InvalidParameters);
const DENIED: Result<(), Status> = Err(Status::Denied);
const NOT_SUPPORTED: Result<(), Status> = Err(Status::NotSupported);

const FROM_ALL: u32 = 0xf;
const DELAYED: u32 = 2;

struct Setup {
    sim: Sim,
    many: Agent,
    one: Agent,
    deaf: Agent,
}

fn setup() -> Setup {
    let setup = setup_1_0();
    negotiate(&setup.sim, 0x1_0001);
    setup
}

fn setup_1_0() -> Setup {
    let [many, one, deaf] = [MANY, ONE, DEAF].map(Agent::new);
    let receives = |manifest: &mut tantalum_sim::dtb::Node| {
        manifest.set("notification-support", tantalum_sim::dtb::Flag)
    };
    let sim = SimBuilder::new()
        .partition_with("many", many.scripts(CPUS), receives)
        .partition_with("one", one.scripts(1), receives)
        .partition("deaf", deaf.scripts(1))
        .boot();
    Setup { sim, many, one, deaf }
}

fn create(endpoint: EndpointId, vcpu_count: u32) -> Call {
    Call::NotificationBitmapCreate { endpoint, vcpu_count }
}

fn destroy(endpoint: EndpointId) -> Call {
    Call::NotificationBitmapDestroy { endpoint }
}

fn bind(sender: EndpointId, receiver: EndpointId, flags: u32, bitmap: u64) -> Call {
    Call::NotificationBind { sender, receiver, flags, bitmap }
}

fn unbind(sender: EndpointId, receiver: EndpointId, bitmap: u64) -> Call {
    Call::NotificationUnbind { sender, receiver, bitmap }
}

fn set(sender: EndpointId, receiver: EndpointId, flags: u32, bitmap: u64) -> Call {
    Call::NotificationSet { sender, receiver, flags, bitmap }
}

fn get(receiver: EndpointId, vcpu: u16, flags: u32) -> Call {
    Call::NotificationGet { receiver, vcpu, flags }
}

fn info(width: Width) -> Call {
    Call::NotificationInfoGet { width }
}

impl Setup {
    fn host(&self, call: Call) -> Result<(), Status> {
        status(self.sim.ask(0, call))
    }

    fn sri(&self) -> usize {
        let raised = self.sim.machine().raised_sgis();
        assert!(raised.iter().all(|sgi| *sgi == 8));
        raised.len()
    }

    /// Returns who is listed, and with which execution contexts.
    fn listed(&self, width: Width) -> Vec<(u16, Vec<u16>)> {
        let list = NotificationList::decode(&self.sim.ask(0, info(width))).unwrap();
        list.entries().map(|(id, vcpus)| (id.raw(), vcpus.to_vec())).collect()
    }

    fn host_gets(&self, vcpu: u16) -> PendingNotifications {
        gets(self.sim.ask(0, get(HOST, vcpu, 0b0101)))
    }
}

fn gets(answer: Call) -> PendingNotifications {
    match answer {
        Call::Success32 { target: Target::NONE, results } => PendingNotifications::decode(results),
        other => panic!("{other:?}"),
    }
}

fn from_partitions(bitmap: u64) -> PendingNotifications {
    PendingNotifications { from_partitions: bitmap, ..PendingNotifications::default() }
}

fn from_vms(bitmap: u64) -> PendingNotifications {
    PendingNotifications { from_vms: bitmap, ..PendingNotifications::default() }
}

// --- Who may call at all

#[test]
fn nobody_below_1_1_knows_of_notifications() {
    let setup = setup_1_0();
    for call in [
        create(HOST, 1),
        destroy(HOST),
        bind(ONE, HOST, 0, 1),
        unbind(ONE, HOST, 1),
        set(HOST, ONE, 0, 1),
        get(HOST, 0, 1),
        info(Width::Bits64),
        Call::RxAcquire { endpoint: VM },
    ] {
        assert_eq!(setup.host(call), NOT_SUPPORTED, "{call:?}");
    }
    assert_eq!(setup.host(Call::Features { id: 0x8400_007d, input: 0 }), NOT_SUPPORTED);
    assert_eq!(setup.host(Call::Features { id: 2, input: 0 }), NOT_SUPPORTED);
}

#[test]
fn bitmaps_and_lists_are_the_normal_worlds() {
    let setup = setup();
    for call in [create(ONE, 1), create(HOST, 1), destroy(HOST), info(Width::Bits32), info(Width::Bits64)] {
        assert_eq!(status(setup.one.ask(&setup.sim, 0, call)), NOT_SUPPORTED, "{call:?}");
    }
}

#[test]
fn who_receives_none_may_signal_all_the_same() {
    let setup = setup();
    let deaf = |call| status(setup.deaf.ask(&setup.sim, 0, call));
    for call in [bind(HOST, DEAF, 0, 1), unbind(HOST, DEAF, 1), get(DEAF, 0, 1), get(ONE, 0, 1)] {
        assert_eq!(deaf(call), NOT_SUPPORTED, "{call:?}");
    }
    assert_eq!(setup.host(set(HOST, DEAF, 0, 1)), DENIED);
    assert_eq!(setup.host(create(HOST, 1)), Ok(()));
    assert_eq!(setup.host(bind(DEAF, HOST, 0, 1)), Ok(()));
    assert_eq!(deaf(set(DEAF, HOST, 0, 1)), Ok(()));
    assert_eq!(setup.host_gets(0), from_partitions(1));
}

#[test]
fn features_say_who_may() {
    let setup = setup();
    let features = |id| Call::Features { id, input: 0 };
    let number = |answer| match answer {
        Call::Success32 { results: [w2, ..], .. } => Ok(w2),
        Call::Error { status, .. } => Err(status),
        other => panic!("{other:?}"),
    };
    let refused = Err(Status::NotSupported);
    let (all, receivers, normal) =
        ([0x8400_0081], [0x8400_007f, 0x8400_0080, 0x8400_0082], [0x8400_007d, 0x8400_007e, 0x8400_0083]);
    for id in all.into_iter().chain(receivers).chain(normal).chain([0xc400_0083, 0x8400_0084]) {
        assert_eq!(number(setup.sim.ask(0, features(id))), Ok(0), "{id:#x}");
    }
    for id in receivers {
        assert_eq!(number(setup.one.ask(&setup.sim, 0, features(id))), Ok(0), "{id:#x}");
        assert_eq!(number(setup.deaf.ask(&setup.sim, 0, features(id))), refused, "{id:#x}");
    }
    for id in normal.into_iter().chain([0xc400_0083, 0x8400_0084]) {
        assert_eq!(number(setup.one.ask(&setup.sim, 0, features(id))), refused, "{id:#x}");
    }
    assert_eq!(number(setup.deaf.ask(&setup.sim, 0, features(all[0]))), Ok(0));
    // The interrupts, by their numbers.
    assert_eq!(number(setup.sim.ask(0, features(1))), refused);
    assert_eq!(number(setup.sim.ask(0, features(2))), Ok(8));
    assert_eq!(number(setup.one.ask(&setup.sim, 0, features(1))), Ok(5));
    assert_eq!(number(setup.one.ask(&setup.sim, 0, features(2))), refused);
    let with_input = Call::Features { id: 2, input: 1 };
    assert_eq!(number(setup.sim.ask(0, with_input)), Err(Status::InvalidParameters));
}

// --- Bitmaps

#[test]
fn bitmaps_are_made_once_for_endpoints_of_the_normal_world() {
    let setup = setup();
    for (endpoint, vcpu_count) in [(ONE, 1), (EndpointId::SPMC, 1), (HOST, 0), (HOST, 9), (HOST, u32::MAX)] {
        assert_eq!(setup.host(create(endpoint, vcpu_count)), INVALID, "{endpoint} {vcpu_count}");
    }
    assert_eq!(setup.host(destroy(ONE)), INVALID);
    assert_eq!(setup.host(destroy(HOST)), DENIED, "there are none");
    for id in [0, 0x7fff] {
        assert_eq!(setup.sim.ask(0, create(EndpointId::new(id), 8)), done());
        assert_eq!(setup.host(create(EndpointId::new(id), 8)), DENIED);
    }
    for id in 1..15 {
        assert_eq!(setup.host(create(EndpointId::new(id), 1)), Ok(()));
    }
    assert_eq!(setup.host(create(EndpointId::new(15), 1)), Err(Status::NoMemory));
    assert_eq!(setup.host(destroy(EndpointId::new(0x7fff))), Ok(()));
    assert_eq!(setup.host(create(EndpointId::new(15), 1)), Ok(()));
}

#[test]
fn bitmaps_with_something_pending_stay() {
    let setup = setup();
    setup.host(create(HOST, 4)).unwrap();
    setup.host(bind(ONE, HOST, 0, 1)).unwrap();
    status(setup.one.ask(&setup.sim, 0, set(ONE, HOST, 0, 1))).unwrap();
    assert_eq!(setup.host(destroy(HOST)), DENIED);
    setup.host_gets(0);
    assert_eq!(setup.host(destroy(HOST)), Ok(()));
    // With the bitmaps go the bindings.
    setup.host(create(HOST, 4)).unwrap();
    assert_eq!(status(setup.one.ask(&setup.sim, 0, set(ONE, HOST, 0, 1))), DENIED);
}

// --- Bindings

#[test]
fn the_normal_world_binds_for_itself_and_for_vms() {
    let setup = setup();
    assert_eq!(setup.host(bind(ONE, HOST, 0, 1)), DENIED, "there are no bitmaps");
    assert_eq!(setup.host(unbind(ONE, HOST, 1)), DENIED);
    setup.host(create(HOST, 4)).unwrap();
    setup.host(create(VM, 1)).unwrap();
    for call in [
        bind(ONE, HOST, 0, 0),
        bind(ABSENT, HOST, 0, 1),
        bind(EndpointId::SPMC, HOST, 0, 1),
        bind(HOST, HOST, 0, 1),
        bind(VM, HOST, 0, 1),
        bind(ONE, MANY, 0, 1),
        bind(HOST, ONE, 0, 1),
        bind(ONE, HOST, 2, 1),
        unbind(ONE, HOST, 0),
        unbind(HOST, ONE, 1),
    ] {
        assert_eq!(setup.host(call), INVALID, "{call:?}");
    }
    for receiver in [HOST, VM] {
        assert_eq!(setup.sim.ask(0, bind(ONE, receiver, 0, 3)), done());
        assert_eq!(setup.host(bind(ONE, receiver, 0, 2)), DENIED, "it is bound already");
        assert_eq!(setup.host(bind(MANY, receiver, 1, 6)), DENIED, "one of them is bound to another");
        assert_eq!(setup.host(unbind(MANY, receiver, 1)), DENIED);
        assert_eq!(setup.host(unbind(ONE, receiver, 5)), DENIED, "one of them is not bound");
        assert_eq!(setup.sim.ask(0, unbind(ONE, receiver, 2)), done());
        assert_eq!(setup.host(bind(MANY, receiver, 1, 6)), Ok(()));
    }
}

#[test]
fn a_partition_binds_for_itself() {
    let setup = setup();
    let one = |call| status(setup.one.ask(&setup.sim, 0, call));
    for call in [
        bind(HOST, ONE, 0, 0),
        bind(HOST, MANY, 0, 1),
        bind(HOST, HOST, 0, 1),
        bind(ONE, ONE, 0, 1),
        bind(ABSENT, ONE, 0, 1),
        bind(EndpointId::SPMC, ONE, 0, 1),
        bind(HOST, ONE, 4, 1),
        unbind(HOST, MANY, 1),
        unbind(HOST, ONE, 0),
    ] {
        assert_eq!(one(call), INVALID, "{call:?}");
    }
    assert_eq!(one(bind(HOST, ONE, 0, 1)), Ok(()));
    assert_eq!(one(bind(VM, ONE, 0, 1)), DENIED);
    assert_eq!(one(bind(MANY, ONE, 0, 1)), Ok(()), "partitions have bits of their own");
    assert_eq!(one(unbind(VM, ONE, 1)), DENIED);
    setup.host(set(HOST, ONE, 0, 1)).unwrap();
    assert_eq!(one(unbind(HOST, ONE, 1)), DENIED, "it is pending");
    setup.one.ask(&setup.sim, 0, get(ONE, 0, FROM_ALL));
    assert_eq!(one(unbind(HOST, ONE, 1)), Ok(()));
    assert_eq!(setup.host(set(HOST, ONE, 0, 1)), DENIED);
}

// --- Signals

#[test]
fn the_normal_world_signals_as_itself_and_for_vms() {
    let setup = setup();
    for call in [
        bind(HOST, MANY, 0, 0b0001),
        bind(HOST, MANY, 1, 0b0010),
        bind(VM, MANY, 0, 0b0100),
        bind(ONE, MANY, 0, 0b1000),
    ] {
        status(setup.many.ask(&setup.sim, 0, call)).unwrap();
    }
    for call in [
        set(ONE, MANY, 0, 0b1000),
        set(HOST, HOST, 0, 1),
        set(HOST, VM, 0, 1),
        set(HOST, ABSENT, 0, 1),
        set(HOST, EndpointId::SPMC, 0, 1),
        set(HOST, MANY, 0, 0),
        set(HOST, MANY, DELAYED, 0b0001),
        set(HOST, MANY, 4, 0b0001),
        set(HOST, MANY, 1 << 16, 0b0001),
        set(HOST, MANY, set_for_vcpu(0), 0b0001),
        set(HOST, MANY, 0, 0b0010),
        set(HOST, MANY, 0, 0b0011),
        set(HOST, MANY, set_for_vcpu(4), 0b0010),
        set(HOST, MANY, set_for_vcpu(u16::MAX), 0b0010),
    ] {
        assert_eq!(setup.host(call), INVALID, "{call:?}");
    }
    for call in [
        set(HOST, MANY, 0, 0b0100),
        set(VM, MANY, 0, 0b0001),
        set(HOST, MANY, 0, 0b1001),
        set(HOST, ONE, 0, 1),
        set(EndpointId::new(6), MANY, 0, 0b0100),
    ] {
        assert_eq!(setup.host(call), DENIED, "{call:?}");
    }
    assert_eq!(setup.sri(), 0);
    assert_eq!(gets(setup.many.ask(&setup.sim, 0, get(MANY, 0, FROM_ALL))), from_vms(0));
    assert_eq!(setup.sim.ask(0, set(VM, MANY, 0, 0b0100)), done());
    assert_eq!(setup.sim.ask(0, set(HOST, MANY, 0, 0b0001)), done());
    assert_eq!(setup.sim.ask(0, set(HOST, MANY, set_for_vcpu(3), 0b0010)), done());
    assert_eq!(gets(setup.many.ask(&setup.sim, 0, get(MANY, 0, FROM_ALL))), from_vms(0b0101));
    assert_eq!(gets(setup.many.ask(&setup.sim, 0, get(MANY, 3, FROM_ALL))), from_vms(0b0010));
}

#[test]
fn a_partition_signals_as_itself() {
    let setup = setup();
    let one = |call| status(setup.one.ask(&setup.sim, 0, call));
    setup.host(create(HOST, 4)).unwrap();
    setup.host(bind(ONE, HOST, 0, 1)).unwrap();
    setup.host(bind(ONE, HOST, 1, 2)).unwrap();
    status(setup.many.ask(&setup.sim, 0, bind(ONE, MANY, 0, 1))).unwrap();
    for call in [
        set(MANY, HOST, 0, 1),
        set(HOST, HOST, 0, 1),
        set(ONE, ONE, 0, 1),
        set(ONE, ABSENT, 0, 1),
        set(ONE, HOST, 0, 0),
        set(ONE, HOST, 0, 2),
        set(ONE, HOST, set_for_vcpu(0), 1),
        set(ONE, HOST, set_for_vcpu(4), 2),
    ] {
        assert_eq!(one(call), INVALID, "{call:?}");
    }
    for call in [set(ONE, VM, 0, 1), set(ONE, HOST, 0, 4), set(ONE, DEAF, 0, 1), set(ONE, MANY, 0, 2)] {
        assert_eq!(one(call), DENIED, "{call:?}");
    }
    assert_eq!(one(set(ONE, HOST, 0, 1)), Ok(()));
    assert_eq!(one(set(ONE, HOST, set_for_vcpu(1) | DELAYED, 2)), Ok(()));
    assert_eq!(one(set(ONE, MANY, DELAYED, 1)), Ok(()));
    assert_eq!(setup.host_gets(0), from_partitions(1));
    assert_eq!(setup.host_gets(1), from_partitions(2));
    assert_eq!(gets(setup.many.ask(&setup.sim, 0, get(MANY, 0, 1))), from_partitions(1));
}

#[test]
fn a_partition_that_was_stopped_is_not_signalled() {
    let faulty: Script = serve(|_, _| Ok(trap(tantalum_hal::TrapKind::Instruction)));
    let sim = SimBuilder::new()
        .partition_with("faulty", [faulty], |manifest| {
            manifest.set("notification-support", tantalum_sim::dtb::Flag);
        })
        .boot();
    negotiate(&sim, 0x1_0001);
    assert_eq!(sim.refusal(0, set(HOST, MANY, 0, 1)), Status::Denied);
    let request = tantalum_ffa::DirectMessage {
        width: Width::Bits64,
        sender: HOST,
        receiver: MANY,
        framework: None,
        payload: [0; 5],
    };
    assert_eq!(sim.refusal(0, Call::DirectRequest(request)), Status::Aborted);
    assert_eq!(sim.refusal(0, set(HOST, MANY, 0, 1)), Status::Aborted);
}

// --- Reading

#[test]
fn everybody_reads_its_own() {
    let setup = setup();
    assert_eq!(setup.host(get(HOST, 0, 1)), INVALID, "there are no bitmaps");
    setup.host(create(HOST, 4)).unwrap();
    setup.host(create(VM, 1)).unwrap();
    for call in [
        get(HOST, 0, 0b0010),
        get(HOST, 0, 0b1000),
        get(HOST, 0, 0b1_0000),
        get(HOST, 4, 1),
        get(VM, 1, 1),
        get(EndpointId::new(6), 0, 1),
        get(ONE, 0, 1),
    ] {
        assert_eq!(setup.host(call), INVALID, "{call:?}");
    }
    for call in [get(MANY, 0, 1), get(HOST, 0, 1), get(ONE, 1, 1), get(ONE, 0, 0x10)] {
        assert_eq!(status(setup.one.ask(&setup.sim, 0, call)), INVALID, "{call:?}");
    }
    assert_eq!(setup.sim.ask(0, get(HOST, 0, 0)), done());
    assert_eq!(setup.one.ask(&setup.sim, 0, get(ONE, 0, FROM_ALL)), done());
    setup.host(bind(ONE, VM, 0, 1 << 40)).unwrap();
    status(setup.one.ask(&setup.sim, 0, set(ONE, VM, 0, 1 << 40))).unwrap();
    assert_eq!(setup.host_gets(0), from_partitions(0));
    assert_eq!(gets(setup.sim.ask(0, get(VM, 0, 1))), from_partitions(1 << 40));
    assert_eq!(gets(setup.sim.ask(0, get(VM, 0, 1))), from_partitions(0));
}

// --- The scheduler

#[test]
fn the_schedule_receiver_interrupt_is_donated_everywhere() {
    let setup = setup();
    let donated: Vec<_> = CpuIndex::all().take(CPUS).map(|cpu| (cpu, 8)).collect();
    assert_eq!(setup.sim.machine().donated_sgis(), donated);
    // A processing element that comes back finds it its own again.
    setup.sim.start_cpu(1);
    assert_eq!(setup.sim.machine().donated_sgis().len(), CPUS + 1);
}

#[test]
fn the_scheduler_is_told_at_once_or_when_it_has_its_turn() {
    let setup = setup();
    setup.host(create(HOST, 4)).unwrap();
    setup.host(bind(MANY, HOST, 0, 0b1111)).unwrap();
    // The machine counts; the script looks at how many there were when its call came back.
    let raised_within = |flags, bitmap| {
        let before = setup.sri();
        status(setup.many.ask(&setup.sim, 2, set(MANY, HOST, flags, bitmap))).unwrap();
        setup.sri() - before
    };
    assert_eq!(raised_within(0, 0b0001), 1);
    assert_eq!(raised_within(DELAYED, 0b0010), 1);
    // What it has been told of already is no news, until it has been read.
    setup.listed(Width::Bits64);
    assert_eq!(raised_within(0, 0b0011), 0);
    assert_eq!(raised_within(DELAYED, 0b0011), 0);
    assert_eq!(setup.host_gets(0), from_partitions(0b0011));
    assert_eq!(raised_within(0, 0b0011), 1);
    assert_eq!(raised_within(0, 0b0100), 1);
}

#[test]
fn a_delayed_interrupt_waits_for_the_exit() {
    let many = Agent::new(MANY);
    let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let one: Script = {
        let mut step = 0;
        let mut open = None;
        Box::new(move |context| {
            if let Some(request) = context.request() {
                open = Some(request);
                step = 1;
                return Ok(tantalum_sim::script::call(set(ONE, HOST, DELAYED, 1)));
            }
            let Some(request) = open else { return Ok(tantalum_sim::script::wait()) };
            step += 1;
            if step == 2 {
                // Another call, of which the normal world sees nothing.
                return Ok(tantalum_sim::script::call(Call::IdGet));
            }
            open = None;
            Ok(tantalum_sim::script::call(Call::DirectResponse(request.answer([0; 5]))))
        })
    };
    let sim = SimBuilder::new().partition("many", many.scripts(CPUS)).partition("one", [one]).boot();
    negotiate(&sim, 0x1_0001);
    sim.ask(0, create(HOST, 4));
    sim.ask(0, bind(ONE, HOST, 0, 1));
    let request = tantalum_ffa::DirectMessage {
        width: Width::Bits64,
        sender: HOST,
        receiver: ONE,
        framework: None,
        payload: [0; 5],
    };
    let answer = sim.ask(0, Call::DirectRequest(request));
    assert!(matches!(answer, Call::DirectResponse(_)));
    seen.lock().unwrap().extend(sim.machine().raised_sgis());
    assert_eq!(*seen.lock().unwrap(), [8], "once, for the only exit after it was signalled");
    many.enter(&sim, 0);
    assert_eq!(sim.machine().raised_sgis(), [8], "and not again");
}

#[test]
fn each_endpoint_is_listed_once_until_there_are_news() {
    let setup = setup();
    assert_eq!(setup.host(info(Width::Bits64)), Err(Status::NoData));
    assert_eq!(setup.host(info(Width::Bits32)), Err(Status::NoData));
    setup.host(create(HOST, 4)).unwrap();
    setup.host(create(VM, 8)).unwrap();
    for receiver in [HOST, VM] {
        setup.host(bind(ONE, receiver, 0, 1)).unwrap();
        setup.host(bind(ONE, receiver, 1, 2)).unwrap();
    }
    status(setup.many.ask(&setup.sim, 0, bind(HOST, MANY, 1, 1))).unwrap();
    let one = |call| status(setup.one.ask(&setup.sim, 0, call)).unwrap();
    one(set(ONE, HOST, 0, 1));
    one(set(ONE, HOST, set_for_vcpu(2), 2));
    for vcpu in [0, 1, 5, 7] {
        one(set(ONE, VM, set_for_vcpu(vcpu), 2));
    }
    setup.host(set(HOST, MANY, set_for_vcpu(3), 1)).unwrap();
    let all = [(0, vec![]), (0, vec![2]), (5, vec![0, 1, 5]), (5, vec![7]), (0x8001, vec![3])];
    assert_eq!(setup.listed(Width::Bits64), all);
    assert_eq!(setup.host(info(Width::Bits64)), Err(Status::NoData));
    one(set(ONE, HOST, 0, 1));
    assert_eq!(setup.host(info(Width::Bits64)), Err(Status::NoData), "it is still the same one");
    setup.host_gets(0);
    one(set(ONE, HOST, 0, 1));
    assert_eq!(setup.listed(Width::Bits32), [(0, vec![])]);
}

#[test]
fn a_list_ends_where_its_registers_do() {
    let setup = setup();
    for id in 0..16 {
        setup.host(create(EndpointId::new(id), 8)).unwrap();
        setup.host(bind(ONE, EndpointId::new(id), 1, 1)).unwrap();
        for vcpu in 0..2 {
            let call = set(ONE, EndpointId::new(id), set_for_vcpu(vcpu), 1);
            status(setup.one.ask(&setup.sim, 0, call)).unwrap();
        }
    }
    // Three ids for each: six fit in twenty, with an endpoint and one execution context of the seventh.
    let list = NotificationList::decode(&setup.sim.ask(0, info(Width::Bits64))).unwrap();
    assert!(list.has_more());
    assert_eq!(list.entries().count(), 7);
    assert_eq!(list.entries().last(), Some((EndpointId::new(6), [0].as_slice())));
    let list = NotificationList::decode(&setup.sim.ask(0, info(Width::Bits32))).unwrap();
    assert!(list.has_more());
    assert_eq!(list.entries().next(), Some((EndpointId::new(6), [1].as_slice())));
}

// --- The receiver

#[test]
fn a_partition_is_interrupted_once() {
    let setup = setup();
    status(setup.one.ask(&setup.sim, 0, bind(HOST, ONE, 0, 3))).unwrap();
    assert!(!setup.one.enter(&setup.sim, 0).irq);
    setup.host(set(HOST, ONE, 0, 1)).unwrap();
    setup.host(set(HOST, ONE, 0, 2)).unwrap();
    assert!(setup.one.enter(&setup.sim, 0).irq);
    assert_eq!(setup.one.take_interrupt(&setup.sim, 0), Some(5));
    assert_eq!(setup.one.take_interrupt(&setup.sim, 0), None);
    // It has not looked yet, so more of them are no new edge.
    setup.host(set(HOST, ONE, 0, 1)).unwrap();
    assert!(!setup.one.enter(&setup.sim, 0).irq);
    assert_eq!(gets(setup.one.ask(&setup.sim, 0, get(ONE, 0, FROM_ALL))), from_vms(3));
    setup.host(set(HOST, ONE, 0, 1)).unwrap();
    assert!(setup.one.enter(&setup.sim, 0).irq);
    assert_eq!(setup.one.take_interrupt(&setup.sim, 0), Some(5));
}

#[test]
fn the_execution_context_that_is_meant_is_interrupted() {
    let setup = setup();
    status(setup.many.ask(&setup.sim, 0, bind(HOST, MANY, 0, 1))).unwrap();
    status(setup.many.ask(&setup.sim, 0, bind(HOST, MANY, 1, 2))).unwrap();
    setup.host(set(HOST, MANY, set_for_vcpu(2), 2)).unwrap();
    for cpu in 0..CPUS {
        assert_eq!(setup.many.enter(&setup.sim, cpu).irq, cpu == 2, "{cpu}");
    }
    assert_eq!(setup.many.take_interrupt(&setup.sim, 2), Some(5));
    // One for all of them interrupts where it was signalled.
    status(setup.sim.ask(3, set(HOST, MANY, 0, 1))).unwrap();
    for cpu in 0..CPUS {
        assert_eq!(setup.many.enter(&setup.sim, cpu).irq, cpu == 3, "{cpu}");
    }
    assert_eq!(gets(setup.many.ask(&setup.sim, 1, get(MANY, 1, FROM_ALL))), from_vms(1));
    assert_eq!(gets(setup.many.ask(&setup.sim, 2, get(MANY, 2, FROM_ALL))), from_vms(2));
}
