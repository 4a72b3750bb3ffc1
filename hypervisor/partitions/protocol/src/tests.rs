//! Partitions on a fake SPMC: three of them, of which the relay can name each other.

use super::*;
use std::cell::RefCell;
use std::string::String;

use tantalum_ffa::{Call, FrameworkMessage, Status, Version, answer, function};
use tantalum_sdk::Conduit;

const HOST: EndpointId = EndpointId::new(0);

/// Answers the calls of the partition `caller`, and lets the others answer direct requests at once.
struct FakeSpmc<'a> {
    caller: EndpointId,
    partitions: &'a [Protocol],
    log: &'a RefCell<String>,
}

impl Conduit for FakeSpmc<'_> {
    fn call(&self, registers: &CallRegisters) -> CallRegisters {
        match Call::decode(registers) {
            Ok(Call::Version { .. }) => answer::version(Some(Version::V1_2)),
            Ok(Call::IdGet) => answer::success32([self.caller.raw().into(), 0, 0, 0, 0, 0]),
            Ok(Call::SpmIdGet) => answer::success32([0x8000, 0, 0, 0, 0, 0]),
            Ok(Call::Features { id: function::RXTX_MAP_64, input }) => {
                answer::success32([input + 1, 0x77, 0, 0, 0, 0])
            }
            Ok(Call::Features { .. }) => answer::error(Status::NotSupported),
            Ok(Call::ConsoleLog(text)) => {
                self.log.borrow_mut().extend(text.characters().map(char::from));
                answer::success()
            }
            Ok(Call::DirectRequest(request)) => {
                assert_eq!(request.sender, self.caller, "a spoofed sender");
                match request.receiver.raw().checked_sub(0x8001).map(usize::from) {
                    Some(index) if index < self.partitions.len() && request.receiver != self.caller => {
                        let payload = ask(self.partitions, self.log, &request);
                        Call::DirectResponse(request.answer(payload)).encode()
                    }
                    _ => answer::error(Status::InvalidParameters),
                }
            }
            Ok(Call::Yield { .. }) => answer::success(),
            Ok(_) => answer::error(Status::Denied),
            Err(error) => answer::error(error.status()),
        }
    }
}

fn ask(partitions: &[Protocol], log: &RefCell<String>, request: &DirectMessage) -> [u64; 5] {
    let index = usize::from(request.receiver.raw() - 0x8001);
    let fake = FakeSpmc { caller: request.receiver, partitions, log };
    partitions[index].answer(&Spmc::new(&fake), 0x8000_0002, request)
}

struct Machine {
    partitions: [Protocol; 3],
    log: RefCell<String>,
}

impl Machine {
    fn new() -> Self {
        Self { partitions: ["echo", "irq", "relay"].map(Protocol::new), log: RefCell::default() }
    }

    fn send(&self, receiver: u16, width: Width, payload: [u64; 5]) -> [u64; 5] {
        let receiver = EndpointId::new(receiver);
        let request = DirectMessage { width, sender: HOST, receiver, framework: None, payload };
        ask(&self.partitions, &self.log, &request)
    }
}

#[test]
fn what_is_no_command_comes_back() {
    let machine = Machine::new();
    for payload in [[u64::MAX; 5], [0, 1, 2, 3, 4], [0x5441_0007, 1, 2, 3, 4], [0x1_5441_0001, 0, 0, 0, 0]] {
        assert_eq!(machine.send(0x8001, Width::Bits64, payload), payload);
    }
}

#[test]
fn a_partition_says_who_it_is() {
    let answer = Machine::new().send(0x8002, Width::Bits64, [command::IDENTITY, 0, 0, 0, 0]);
    assert_eq!(answer, [0, 0x8002, 0x8000, 0x10002, 0x8000_0002]);
}

#[test]
fn each_partition_keeps_its_own_value() {
    let machine = Machine::new();
    let exchange =
        |receiver, value| machine.send(receiver, Width::Bits64, [command::EXCHANGE, value, 0, 0, 0]);
    assert_eq!(exchange(0x8001, 11), [0, 0, 1, 0, 0]);
    assert_eq!(exchange(0x8002, 22), [0, 0, 1, 0, 0]);
    assert_eq!(exchange(0x8001, 12), [0, 11, 2, 0, 0]);
    assert_eq!(exchange(0x8002, 23), [0, 22, 2, 0, 0]);
    assert_eq!(exchange(0x8003, 33), [0, 0, 1, 0, 0]);
}

#[test]
fn a_relay_passes_on_and_leaves_its_trail() {
    let machine = Machine::new();
    let relay = |width, hops| machine.send(0x8003, width, [command::RELAY, hops, 41, 0, 0]);
    assert_eq!(relay(Width::Bits64, 0), [0, 0, 42, 0, 0x8003]);
    assert_eq!(relay(Width::Bits64, 0x8001), [0, 0, 42, 1, 0x8003_8001]);
    assert_eq!(relay(Width::Bits64, 0x8001_8002), [0, 0, 42, 2, 0x8003_8002_8001]);
    assert_eq!(relay(Width::Bits32, 0x8001_8002), [0, 0, 42, 2, 0x321]);
}

#[test]
fn a_refused_hop_is_reported_to_the_first_sender() {
    let machine = Machine::new();
    let code = Status::InvalidParameters.to_raw().into();
    let relay = |hops| machine.send(0x8003, Width::Bits64, [command::RELAY, hops, 41, 0, 0]);
    assert_eq!(relay(0x8004), [result::REFUSED, code, 0, 0, 0]);
    assert_eq!(relay(0x8001_8001), [result::REFUSED, code, 0, 0, 0]);
}

#[test]
fn features_are_passed_on() {
    let machine = Machine::new();
    let ask = |id, input| machine.send(0x8001, Width::Bits64, [command::FEATURES, id, input, 0, 0]);
    assert_eq!(ask(function::RXTX_MAP_64.into(), 4), [0, 0, 5, 0x77, 0]);
    assert_eq!(ask(0x42, 0), [0, 0xffff_ffff, 0, 0, 0]);
}

#[test]
fn a_raw_call_shows_what_comes_back() {
    let machine = Machine::new();
    let ask = |w0, w1| machine.send(0x8001, Width::Bits64, [command::RAW, w0, w1, 0, 0]);
    assert_eq!(ask(function::ID_GET.into(), 0), [0, 0x8400_0061, 0, 0x8001, 0]);
    assert_eq!(ask(0x8400_00aa, 0), [0, 0x8400_0060, 0, 0xffff_ffff, 0]);
    assert_eq!(ask(function::RX_RELEASE.into(), 0), [0, 0x8400_0060, 0, 0xffff_fffa, 0]);
}

#[test]
fn a_line_can_be_asked_for() {
    let machine = Machine::new();
    assert_eq!(machine.send(0x8002, Width::Bits32, [command::LOG, 0, 0, 0, 0]), [0, 0, 0, 0, 0]);
    assert_eq!(machine.log.borrow().as_str(), "irq was asked to log a line\n");
}

#[test]
fn interrupts_are_counted_by_number_and_by_how_they_came() {
    use tantalum_sdk::{Delivery, Line};
    let machine = Machine::new();
    let interrupts = &machine.partitions[1].interrupts;
    interrupts.handle(3, Delivery::Message);
    interrupts.handle(34, Delivery::Exception(Line::Irq));
    interrupts.handle(3, Delivery::Exception(Line::Irq));
    interrupts.handle(3, Delivery::Exception(Line::Fiq));
    interrupts.managed_exit(Delivery::Exception(Line::Fiq));
    let ask = |word, intid| machine.send(0x8002, Width::Bits64, [word, intid, 0, 0, 0]);
    assert_eq!(ask(interrupt::command::COUNTS, 3), [result::OK, 3, 1, 1, 1]);
    assert_eq!(ask(interrupt::command::COUNTS, 34), [result::OK, 1, 1, 0, 0]);
    assert_eq!(ask(interrupt::command::COUNTS, 35), [result::OK, 0, 0, 0, 0]);
    assert_eq!(ask(interrupt::command::EXITS, 0), [result::OK, 1, 0, 1, 0]);
}

#[test]
fn a_chain_holds_registers_and_a_missing_hop_is_named() {
    let machine = Machine::new();
    let hold = |hops| machine.send(0x8003, Width::Bits64, [interrupt::command::HOLD, 5, 7, hops, 0]);
    assert_eq!(hold(0), [result::OK, 0, 1, 0, 0]);
    assert_eq!(hold(0x8001_8002), [result::OK, 0, 1, 0, 0]);
    assert_eq!(hold(0x8009), [result::REFUSED, Status::InvalidParameters.to_raw().into(), 0, 0, 0]);
}

#[test]
fn keys_are_told_apart_by_their_seeds() {
    let machine = Machine::new();
    let set = |seed, expected, unexpected| {
        machine.send(0x8001, Width::Bits64, [interrupt::command::KEYS, seed, expected, unexpected, 0])
    };
    assert_eq!(set(1, 5, 6)[..3], [result::OK, 0, 0]);
    assert_eq!(set(2, 1, 3), [result::OK, 10, 0, interrupt::keys(1)[0], 0]);
    assert_eq!(set(3, 1, 2), [result::OK, 0, 10, interrupt::keys(2)[0], 0]);
    let pairs = interrupt::keys(1).into_iter().zip(interrupt::keys(2));
    assert!(pairs.into_iter().all(|(one, other)| one != other));
}

#[test]
fn a_life_is_told_from_the_next_by_its_mark() {
    use lifecycle::command::{LIFE, LOOP, YIELD};
    assert_ne!(LIFE, LOOP);
    let machine = Machine::new();
    let ask = |word, value| machine.send(0x8001, Width::Bits64, [word, value, 0, 0, 0]);
    assert_eq!(ask(LIFE, 7), [result::OK, 1, lifecycle::FIRST_MARK, 0, 0]);
    assert_eq!(ask(LIFE, 8), [result::OK, 2, 7, 0, 0]);
    assert_eq!(tell(&machine, FrameworkMessage::PsciRequest, [0x8400_0002, 0, 0]), [0; 5]);
    assert_eq!(tell(&machine, FrameworkMessage::VmCreated, [0, 0, 5]), [0; 5]);
    assert_eq!(ask(LIFE, 9), [result::OK, 3, 8, 1, 0]);
    assert_eq!(ask(YIELD, 3), [result::OK, 3, 0, 0, 0]);
    assert_eq!(ask(YIELD, 0), [result::OK, 0, 0, 0, 0]);
}

/// Tells a partition something in the name of the framework.
fn tell(machine: &Machine, message: FrameworkMessage, [x3, x4, x5]: [u64; 3]) -> [u64; 5] {
    let request = DirectMessage {
        width: Width::Bits32,
        sender: EndpointId::new(0),
        receiver: EndpointId::new(0x8001),
        framework: Some(message),
        payload: [x3, x4, x5, 0, 0],
    };
    machine.partitions[0].lifecycle.framework_message(message, &request)
}

#[test]
fn what_is_said_of_virtual_machines_is_kept_and_answered_as_told() {
    use FrameworkMessage::{VmCreated, VmDestroyed, WarmBoot};
    let machine = Machine::new();
    let ask = |status| machine.send(0x8001, Width::Bits64, [lifecycle::command::VMS, status, 0, 0, 0]);
    assert_eq!(ask(7), [result::OK, 0, 0, 0, 0]);
    assert_eq!(tell(&machine, VmCreated, [1, 2, 5]), [7, 0, 0, 0, 0]);
    assert_eq!(tell(&machine, WarmBoot, [1, 0, 0]), [0; 5]);
    assert_eq!(ask(0), [result::OK, 1, 0, 5, 2 << 32 | 1]);
    assert_eq!(tell(&machine, VmDestroyed, [3, 0, 6]), [0; 5]);
    assert_eq!(ask(0), [result::OK, 1, 1, 6, 3]);
}

#[test]
fn a_command_is_passed_on_with_its_error() {
    use lifecycle::command::{FORWARD, LIFE};
    let machine = Machine::new();
    let forward = |to| machine.send(0x8003, Width::Bits64, [FORWARD, to, LIFE, 7, 0]);
    assert_eq!(forward(0x8001), [result::OK, 0, result::OK, 1, lifecycle::FIRST_MARK]);
    let invalid = Status::InvalidParameters.to_raw().into();
    assert_eq!(forward(0x8009), [result::OK, invalid, 0, 0, 0]);
}

#[test]
fn only_known_ways_to_fail_are_tried() {
    use lifecycle::{FAILURES, Failure};
    for way in 0..FAILURES {
        assert!(Failure::from_raw(way).is_some());
    }
    assert_eq!(Failure::from_raw(FAILURES), None);
    let answer = Machine::new().send(0x8001, Width::Bits64, [lifecycle::command::FAIL, 99, 0, 0, 0]);
    assert_eq!(answer, [result::UNEXPECTED, 99, 0, 0, 0]);
}

#[test]
#[should_panic(expected = "the partition was asked to")]
fn a_partition_panics_when_asked() {
    Machine::new().send(0x8001, Width::Bits64, [lifecycle::command::FAIL, 4, 0, 0, 0]);
}
