//! Indirect messages, who owns which buffers, and virtual machines for which a hypervisor speaks.

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
use tantalum_ffa::notification::PendingNotifications;
use tantalum_ffa::{
    BufferDescription, Call, DirectMessage, EndpointBuffers, FrameworkMessage, MessageHeader, PartitionInfo,
    PartitionProperties, Status, Uuid, Version, Width,
};
use tantalum_hal::{Event, PhysicalMemory};
use tantalum_sim::dtb::{Flag, Node};
use tantalum_sim::manifests::{CPUS, partition_base, partition_uuid};
use tantalum_sim::script::{Script, call, wait};
use tantalum_sim::{Sim, SimBuilder};
use tantalum_types::{CallRegisters, EndpointId, Pa};

const HOST: EndpointId = EndpointId::HYPERVISOR;
const VM: EndpointId = EndpointId::new(5);
const FIRST: EndpointId = EndpointId::new(0x8001);
const SECOND: EndpointId = EndpointId::new(0x8002);
/// Takes no indirect messages.
const MUTE: EndpointId = EndpointId::new(0x8003);
const ABSENT: EndpointId = EndpointId::new(0x8008);

const INVALID: Result<(), Status> = Err(Status::InvalidParameters);
const DENIED: Result<(), Status> = Err(Status::Denied);

const PAGE: usize = 0x1000;
const HOST_TX: u64 = 0x4000_0000;
const HOST_RX: u64 = 0x4000_1000;
const VM_TX: u64 = 0x4001_0000;
const VM_RX: u64 = 0x4001_1000;

struct Setup {
    sim: Sim,
    first: Agent,
    second: Agent,
    mute: Agent,
}

fn indirect(manifest: &mut Node) {
    manifest.set("messaging-method", 7_u32);
    manifest.set("notification-support", Flag);
}

fn setup_with(version: u32, edit_second: impl FnOnce(&mut Node)) -> Setup {
    let [first, second, mute] = [FIRST, SECOND, MUTE].map(Agent::new);
    let sim = SimBuilder::new()
        .partition_with("first", first.scripts(CPUS), indirect)
        .partition_with("second", second.scripts(1), |manifest| {
            indirect(manifest);
            edit_second(manifest);
        })
        .partition_with("mute", mute.scripts(1), |manifest| manifest.set("notification-support", Flag))
        .boot();
    negotiate(&sim, version);
    Setup { sim, first, second, mute }
}

/// Boots partitions and a host that speak 1.1, all with buffers.
fn setup() -> Setup {
    let setup = setup_with(0x1_0001, |_| {});
    setup.map_all();
    setup
}

fn tx_of(index: usize) -> Pa {
    Pa::secure(partition_base(index) + 0x8000)
}

fn rx_of(index: usize) -> Pa {
    Pa::secure(partition_base(index) + 0x9000)
}

fn map_call(tx: u64, rx: u64, page_count: u32) -> Call {
    Call::RxtxMap { width: Width::Bits64, tx, rx, page_count }
}

fn release(endpoint: EndpointId) -> Call {
    Call::RxRelease { endpoint }
}

const SEND: Call = Call::MsgSend2 { sender: HOST, flags: 0 };

fn header(sender: EndpointId, receiver: EndpointId, size: u32) -> MessageHeader {
    MessageHeader { sender, receiver, offset: 24, size, uuid: Uuid::nil() }
}

impl Setup {
    fn map_all(&self) {
        for (index, agent) in [&self.first, &self.second, &self.mute].into_iter().enumerate() {
            let map = map_call(tx_of(index).raw(), rx_of(index).raw(), 1);
            assert_eq!(status(agent.ask(&self.sim, 0, map)), Ok(()));
        }
        assert_eq!(self.host(map_call(HOST_TX, HOST_RX, 1)), Ok(()));
    }

    fn host(&self, call: Call) -> Result<(), Status> {
        status(self.sim.ask(0, call))
    }

    fn write(&self, at: Pa, bytes: &[u8]) {
        self.sim.machine().write(at, bytes).unwrap();
    }

    /// Puts a message of 1.1 into a TX buffer: its header, and its bytes where the header says.
    fn compose(&self, tx: Pa, header: &MessageHeader, bytes: &[u8]) {
        self.write(tx, &header.encode(Version::V1_1)[..20]);
        self.write(Pa::new(tx.space(), tx.raw() + u64::from(header.offset)), bytes);
    }

    fn first_sends(&self, header: &MessageHeader, bytes: &[u8]) -> Result<(), Status> {
        self.compose(tx_of(0), header, bytes);
        status(self.first.ask(&self.sim, 0, SEND))
    }

    /// Lets the second partition take the interrupt and read the notification of a message.
    fn second_is_told(&self) {
        assert_eq!(self.second.take_interrupt(&self.sim, 0), Some(5));
        assert_eq!(self.spm_notifications(&self.second, SECOND), 1);
    }

    fn spm_notifications(&self, agent: &Agent, id: EndpointId) -> u32 {
        let get = Call::NotificationGet { receiver: id, vcpu: 0, flags: 4 };
        match agent.ask(&self.sim, 0, get) {
            Call::Success32 { results, .. } => PendingNotifications::decode(results).from_spm,
            other => panic!("{other:?}"),
        }
    }
}

// --- Messages

#[test]
fn a_message_is_carried_to_the_receivers_buffer() {
    let setup = setup();
    setup.write(rx_of(1), &[0xaa; PAGE]);
    let text = b"from the first to the second";
    assert_eq!(setup.first_sends(&header(FIRST, SECOND, 28), text), Ok(()));
    let rx: [u8; 64] = setup.sim.machine().bytes(rx_of(1));
    let found = MessageHeader::decode(Version::V1_1, rx.first_chunk().unwrap()).unwrap();
    assert_eq!(found, header(FIRST, SECOND, 28));
    assert_eq!(rx[24..52], *text);
    // One at a time, and whose it is stays whose it was.
    assert_eq!(setup.first_sends(&header(FIRST, SECOND, 4), b"more"), Err(Status::Busy));
    assert_eq!(setup.sim.machine().bytes::<64>(rx_of(1)), rx);
    let second = |call| status(setup.second.ask(&setup.sim, 0, call));
    assert_eq!(second(release(HOST)), DENIED, "it has not been told that there is one");
    setup.second_is_told();
    assert_eq!(second(release(HOST)), Ok(()));
    assert_eq!(second(release(HOST)), DENIED);
    // Nothing of a longer message is left behind a shorter one.
    assert_eq!(setup.first_sends(&header(FIRST, SECOND, 4), b"more"), Ok(()));
    let rx: [u8; 64] = setup.sim.machine().bytes(rx_of(1));
    assert_eq!(rx[24..28], *b"more");
    assert_eq!(rx[28..52], [0; 24]);
}

#[test]
fn every_size_up_to_the_whole_buffer() {
    let setup = setup();
    let bytes: Vec<u8> = (0..PAGE).map(|index| (index * 7 + index / 256) as u8).collect();
    for size in [0, 1, 255, 256, 257, 1000, PAGE - 24] {
        assert_eq!(setup.first_sends(&header(FIRST, SECOND, size as u32), &bytes[..size]), Ok(()), "{size}");
        let rx: [u8; PAGE] = setup.sim.machine().bytes(rx_of(1));
        assert_eq!(rx[24..24 + size], bytes[..size]);
        setup.second_is_told();
        status(setup.second.ask(&setup.sim, 0, release(HOST))).unwrap();
    }
}

#[test]
fn the_header_is_the_receivers_versions() {
    let setup = setup_with(0x1_0002, |manifest| manifest.set("ffa-version", 0x0001_0002_u32));
    setup.map_all();
    // From 1.1 to 1.2: no UUID was given, so the receiver finds none, and not the message's first bytes.
    let short = MessageHeader { offset: 20, ..header(FIRST, SECOND, 20) };
    assert_eq!(setup.first_sends(&short, &[0xbb; 20]), Ok(()));
    let rx: [u8; 64] = setup.sim.machine().bytes(rx_of(1));
    let found = MessageHeader::decode(Version::V1_2, rx.first_chunk().unwrap()).unwrap();
    assert_eq!(found, MessageHeader { offset: 40, ..short });
    assert_eq!(rx[40..60], [0xbb; 20]);
    // From 1.2 to 1.1, for a service that the receiver offers, or does not.
    let mut message =
        MessageHeader { sender: SECOND, receiver: FIRST, offset: 40, size: 3, uuid: partition_uuid(0) };
    let second_sends = |message: &MessageHeader| {
        setup.write(tx_of(1), &message.encode(Version::V1_2));
        setup.write(Pa::secure(tx_of(1).raw() + 40), b"abc");
        status(setup.second.ask(&setup.sim, 0, SEND))
    };
    assert_eq!(second_sends(&MessageHeader { uuid: partition_uuid(1), ..message }), INVALID);
    assert_eq!(second_sends(&MessageHeader { offset: 39, ..message }), INVALID, "within the header of 1.2");
    assert_eq!(second_sends(&message), Ok(()));
    let rx: [u8; 64] = setup.sim.machine().bytes(rx_of(0));
    assert_eq!(rx[24..27], *b"abc");
    assert_eq!(rx[20..24], [0; 4]);
    // The host speaks 1.2 as well.
    message.receiver = HOST;
    assert_eq!(second_sends(&message), Ok(()));
    let rx: [u8; 64] = setup.sim.machine().bytes(Pa::non_secure(HOST_RX));
    assert_eq!(MessageHeader::decode(Version::V1_2, rx.first_chunk().unwrap()), Ok(message));
    assert_eq!(rx[40..43], *b"abc");
}

#[test]
fn what_is_no_message_is_refused() {
    let setup = setup();
    let usual = header(FIRST, SECOND, 8);
    for (message, expected) in [
        (MessageHeader { sender: SECOND, ..usual }, INVALID),
        (MessageHeader { sender: HOST, ..usual }, INVALID),
        (MessageHeader { receiver: FIRST, ..usual }, INVALID),
        (MessageHeader { receiver: ABSENT, ..usual }, INVALID),
        (MessageHeader { receiver: EndpointId::SPMC, ..usual }, INVALID),
        (MessageHeader { receiver: VM, ..usual }, INVALID),
        (MessageHeader { receiver: MUTE, ..usual }, DENIED),
        (MessageHeader { offset: 19, ..usual }, INVALID),
        (MessageHeader { offset: 0, ..usual }, INVALID),
        (MessageHeader { offset: 0x1000, size: 1, ..usual }, INVALID),
        (MessageHeader { size: 0xff0, ..usual }, INVALID),
        (MessageHeader { offset: u32::MAX, size: u32::MAX, ..usual }, INVALID),
        // The header that the receiver gets is longer.
        (MessageHeader { offset: 20, size: 0xfec, ..usual }, Err(Status::NoMemory)),
    ] {
        setup.write(tx_of(0), &message.encode(Version::V1_1)[..20]);
        assert_eq!(status(setup.first.ask(&setup.sim, 0, SEND)), expected, "{message:?}");
    }
    setup.compose(tx_of(0), &usual, &[0; 8]);
    for byte in 0..4 {
        setup.write(Pa::secure(tx_of(0).raw() + byte), &[1]);
        assert_eq!(status(setup.first.ask(&setup.sim, 0, SEND)), INVALID, "a flag");
        setup.write(Pa::secure(tx_of(0).raw() + byte), &[0]);
    }
    for (sender, flags) in [(VM, 0), (FIRST, 0)] {
        assert_eq!(status(setup.first.ask(&setup.sim, 0, Call::MsgSend2 { sender, flags })), INVALID);
    }
    for flags in [1, 4, 1 << 31] {
        let raw = CallRegisters::from_first_eight([0x8400_0086, 0, flags, 0, 0, 0, 0, 0]);
        assert_eq!(status(Call::decode(&setup.first.raw(&setup.sim, 0, raw)).unwrap()), INVALID);
    }
    assert_eq!(status(setup.mute.ask(&setup.sim, 0, SEND)), DENIED);
    // None of that has reached the second.
    assert_eq!(setup.spm_notifications(&setup.second, SECOND), 0);
    assert_eq!(status(setup.second.ask(&setup.sim, 0, release(HOST))), DENIED);
    assert_eq!(status(setup.first.ask(&setup.sim, 0, SEND)), Ok(()));
}

#[test]
fn without_buffers_there_is_no_message() {
    let setup = setup_with(0x1_0001, |_| {});
    assert_eq!(status(setup.first.ask(&setup.sim, 0, SEND)), DENIED);
    assert_eq!(setup.host(SEND), DENIED);
    let map = map_call(tx_of(0).raw(), rx_of(0).raw(), 1);
    status(setup.first.ask(&setup.sim, 0, map)).unwrap();
    assert_eq!(setup.first_sends(&header(FIRST, SECOND, 4), b"text"), DENIED);
    assert_eq!(setup.first_sends(&header(FIRST, HOST, 4), b"text"), DENIED);
}

#[test]
fn an_old_host_has_no_indirect_messages() {
    let setup = setup_with(0x1_0000, |_| {});
    setup.map_all();
    assert_eq!(setup.host(SEND), Err(Status::NotSupported));
    assert_eq!(setup.host(Call::Features { id: 0x8400_0086, input: 0 }), Err(Status::NotSupported));
    assert_eq!(setup.first_sends(&header(FIRST, HOST, 4), b"text"), DENIED);
}

#[test]
fn the_host_writes_and_is_written_to() {
    let setup = setup();
    setup.host(Call::NotificationBitmapCreate { endpoint: HOST, vcpu_count: 4 }).unwrap();
    let host_sends = |message: &MessageHeader| {
        setup.compose(Pa::non_secure(HOST_TX), message, b"from the host");
        setup.host(SEND)
    };
    for (message, expected) in [
        (header(FIRST, SECOND, 13), INVALID),
        (header(VM, FIRST, 13), INVALID),
        (header(HOST, HOST, 13), INVALID),
        (header(HOST, VM, 13), INVALID),
        (header(HOST, ABSENT, 13), INVALID),
        (header(HOST, MUTE, 13), DENIED),
        (header(HOST, FIRST, 13), Ok(())),
        (header(HOST, FIRST, 13), Err(Status::Busy)),
    ] {
        assert_eq!(host_sends(&message), expected, "{message:?}");
    }
    for call in [Call::MsgSend2 { sender: FIRST, flags: 0 }, Call::MsgSend2 { sender: VM, flags: 0 }] {
        assert_eq!(setup.host(call), INVALID, "{call:?}");
    }
    assert_eq!(setup.host(Call::MsgSend2 { sender: HOST, flags: 2 }), INVALID);
    assert_eq!(setup.sim.machine().bytes::<37>(rx_of(0))[24..], *b"from the host");

    assert_eq!(setup.first_sends(&header(FIRST, HOST, 11), b"to the host"), Ok(()));
    assert_eq!(setup.sim.machine().bytes::<35>(Pa::non_secure(HOST_RX))[24..], *b"to the host");
    let get = Call::NotificationGet { receiver: HOST, vcpu: 0, flags: 5 };
    let pending = PendingNotifications { from_spm: 1, ..PendingNotifications::default() };
    let answer = |pending: &PendingNotifications| match done() {
        Call::Success32 { target, .. } => Call::Success32 { target, results: pending.encode() },
        other => other,
    };
    assert_eq!(setup.sim.ask(0, get), answer(&pending));
    assert_eq!(setup.sim.ask(0, get), done());
    // A list of partitions has no room now.
    let list = Call::PartitionInfoGet { uuid: Uuid::nil(), count_only: false };
    assert_eq!(setup.host(list), Err(Status::Busy));
    assert_eq!(setup.host(release(HOST)), Ok(()));
    assert_eq!(setup.host(release(HOST)), DENIED);
    assert_eq!(setup.host(list), Ok(()));
}

// --- Who is told

#[test]
fn the_receiver_and_the_scheduler_are_told() {
    let setup = setup();
    assert_eq!(setup.first_sends(&header(FIRST, SECOND, 4), b"text"), Ok(()));
    assert_eq!(setup.sim.machine().raised_sgis(), [8]);
    assert!(setup.second.enter(&setup.sim, 0).irq);
    assert_eq!(setup.second.take_interrupt(&setup.sim, 0), Some(5));
    assert_eq!(setup.spm_notifications(&setup.second, SECOND), 1);
    assert_eq!(setup.spm_notifications(&setup.second, SECOND), 0);
    status(setup.second.ask(&setup.sim, 0, release(HOST))).unwrap();
    // Delayed: on the way out.
    setup.compose(tx_of(0), &header(FIRST, SECOND, 4), b"text");
    let delayed = Call::MsgSend2 { sender: HOST, flags: 2 };
    assert_eq!(status(setup.first.ask(&setup.sim, 0, delayed)), Ok(()));
    assert_eq!(setup.sim.machine().raised_sgis(), [8, 8]);
    // What it does not know of it cannot release, and it is still news to the scheduler.
    assert_eq!(status(setup.second.ask(&setup.sim, 0, release(HOST))), DENIED);
    let info = Call::NotificationInfoGet { width: Width::Bits64 };
    assert!(matches!(setup.sim.ask(0, info), Call::Success64 { .. }));
    assert_eq!(status(setup.second.ask(&setup.sim, 0, release(HOST))), DENIED, "the scheduler knows");
    setup.second_is_told();
    status(setup.second.ask(&setup.sim, 0, release(HOST))).unwrap();
    assert_eq!(setup.sim.refusal(0, info), Status::NoData);
}

#[test]
fn who_receives_no_notifications_owns_a_message_at_once() {
    let agent = Agent::new(FIRST);
    let sim = SimBuilder::new()
        .partition_with("plain", agent.scripts(1), |manifest| manifest.set("messaging-method", 7_u32))
        .boot();
    negotiate(&sim, 0x1_0001);
    status(agent.ask(&sim, 0, map_call(tx_of(0).raw(), rx_of(0).raw(), 1))).unwrap();
    status(sim.ask(0, map_call(HOST_TX, HOST_RX, 1))).unwrap();
    let message = header(HOST, FIRST, 4);
    sim.machine().write(Pa::non_secure(HOST_TX), &message.encode(Version::V1_1)).unwrap();
    for _ in 0..2 {
        assert_eq!(status(sim.ask(0, SEND)), Ok(()));
        assert_eq!(status(sim.ask(0, SEND)), Err(Status::Busy));
        assert_eq!(status(agent.ask(&sim, 0, release(HOST))), Ok(()));
        assert_eq!(status(agent.ask(&sim, 0, release(HOST))), DENIED);
    }
}

#[test]
fn a_message_that_nobody_was_told_of_survives_waiting() {
    let first = Agent::new(FIRST);
    // Reads its notifications only when the test says so.
    let second: Script = {
        let mut open = None;
        let mut looks = 0;
        Box::new(move |context| {
            if let Some(request) = context.request() {
                open = Some(request);
                looks += 1;
                let next = match looks {
                    1 => map_call(tx_of(1).raw(), rx_of(1).raw(), 1),
                    _ => Call::NotificationGet { receiver: SECOND, vcpu: 0, flags: 4 },
                };
                return Ok(call(next));
            }
            match open.take() {
                Some(request) => Ok(call(Call::DirectResponse(request.answer([0; 5])))),
                // It takes the interrupt and does nothing about it.
                None if context.start().is_none()
                    && matches!(Call::decode(&context.answer()), Ok(Call::Interrupt { .. })) =>
                {
                    Ok(Event::PartitionCall(agent::TAKE_INTERRUPT))
                }
                None => Ok(wait()),
            }
        })
    };
    let sim = SimBuilder::new()
        .partition_with("first", first.scripts(1), indirect)
        .partition_with("second", [second], indirect)
        .boot();
    negotiate(&sim, 0x1_0001);
    let ask = |receiver| {
        let request =
            DirectMessage { width: Width::Bits64, sender: HOST, receiver, framework: None, payload: [0; 5] };
        assert!(matches!(sim.ask(0, Call::DirectRequest(request)), Call::DirectResponse(_)));
    };
    let run = || {
        let target = tantalum_ffa::Target { endpoint: SECOND, vcpu: 0 };
        assert!(matches!(sim.ask(0, Call::Run { target }), Call::MsgWait { .. }));
    };
    ask(SECOND);
    status(first.ask(&sim, 0, map_call(tx_of(0).raw(), rx_of(0).raw(), 1))).unwrap();
    let send = || {
        sim.machine().write(tx_of(0), &header(FIRST, SECOND, 4).encode(Version::V1_1)[..20]).unwrap();
        status(first.ask(&sim, 0, SEND))
    };
    assert_eq!(send(), Ok(()));
    run();
    assert_eq!(send(), Err(Status::Busy), "it waits again, but has not been told");
    ask(SECOND);
    assert_eq!(send(), Err(Status::Busy), "it has been told, and still reads");
    run();
    assert_eq!(send(), Ok(()), "by waiting it says that it has read");
}

#[test]
fn descriptions_say_who_writes_and_who_listens() {
    let setup = setup_with(0x1_0001, |manifest| manifest.set("vm-availability-messages", 3_u32));
    setup.map_all();
    setup.host(Call::PartitionInfoGet { uuid: Uuid::nil(), count_only: false }).unwrap();
    let bytes: [u8; 72] = setup.sim.machine().bytes(Pa::non_secure(HOST_RX));
    let of = |index: usize| PartitionInfo::decode(&bytes[index * 24..][..24]).unwrap().properties;
    let both = PartitionProperties::INDIRECT | PartitionProperties::NOTIFICATIONS;
    let vms = PartitionProperties::VM_CREATED | PartitionProperties::VM_DESTROYED;
    assert_eq!(of(0) & (both | vms), both);
    assert_eq!(of(1) & (both | vms), both | vms);
    assert_eq!(of(2) & (both | vms), PartitionProperties::NOTIFICATIONS);
}

// --- Buffers of virtual machines

fn describe(setup: &Setup, endpoint: EndpointId, tx: (u64, u32), rx: (u64, u32)) {
    let descriptor = EndpointBuffers { endpoint, rx_offset: 16, tx_offset: 48 };
    let buffer = |(address, page_count)| BufferDescription { address, page_count }.encode();
    let bytes = [descriptor.encode().as_slice(), &buffer(rx), &buffer(tx)].concat();
    setup.write(Pa::non_secure(HOST_TX), &bytes);
}

const FORWARDED: Call = Call::RxtxMap { width: Width::Bits64, tx: 0, rx: 0, page_count: 0 };

fn unmap(endpoint: EndpointId) -> Call {
    Call::RxtxUnmap { endpoint }
}

#[test]
fn a_hypervisor_maps_the_buffers_of_its_vms() {
    let setup = setup();
    let map = |endpoint, tx, rx| {
        describe(&setup, endpoint, tx, rx);
        setup.host(FORWARDED)
    };
    for (endpoint, tx, rx, expected) in [
        (HOST, (VM_TX, 1), (VM_RX, 1), INVALID),
        (FIRST, (VM_TX, 1), (VM_RX, 1), INVALID),
        (EndpointId::SPMC, (VM_TX, 1), (VM_RX, 1), INVALID),
        (VM, (VM_TX, 1), (VM_TX, 1), INVALID),
        (VM, (VM_TX, 2), (VM_RX, 2), INVALID),
        (VM, (VM_TX, 1), (VM_RX + 0x1000, 2), INVALID),
        (VM, (VM_TX, 0), (VM_RX, 0), INVALID),
        (VM, (VM_TX, 17), (VM_RX + 0x2_0000, 17), INVALID),
        (VM, (VM_TX + 8, 1), (VM_RX, 1), INVALID),
        // Secure memory by its number, and memory that is not there.
        (VM, (partition_base(0), 1), (VM_RX, 1), INVALID),
        (VM, (0xffff_ffff_ffff_f000, 1), (VM_RX, 1), INVALID),
        // The hypervisor's own.
        (VM, (HOST_TX, 1), (VM_RX, 1), DENIED),
        (VM, (VM_TX, 1), (HOST_RX, 1), DENIED),
        (VM, (VM_TX, 1), (VM_RX, 1), Ok(())),
        (VM, (VM_TX + 0x8000, 1), (VM_RX + 0x8000, 1), DENIED),
        // Another VM's.
        (EndpointId::new(6), (VM_RX, 1), (VM_RX + 0x8000, 1), DENIED),
        (EndpointId::new(6), (VM_TX + 0x8000, 1), (VM_RX + 0x8000, 1), Ok(())),
    ] {
        assert_eq!(map(endpoint, tx, rx), expected, "{endpoint} {tx:x?} {rx:x?}");
    }
    // A descriptor that reaches out of the hypervisor's buffer.
    for (rx_offset, tx_offset) in [(16, 0x1000), (0xff0, 48), (16, 0xffff_fff8), (16, 24), (0, 48), (17, 64)]
    {
        let descriptor = EndpointBuffers { endpoint: EndpointId::new(7), rx_offset, tx_offset };
        setup.write(Pa::non_secure(HOST_TX), &descriptor.encode());
        assert_eq!(setup.host(FORWARDED), INVALID, "{rx_offset} {tx_offset}");
    }
    for (endpoint, expected) in [
        (FIRST, INVALID),
        (EndpointId::new(7), INVALID),
        (VM, Ok(())),
        (VM, INVALID),
        (HOST, Ok(())),
        (HOST, INVALID),
    ] {
        assert_eq!(setup.host(unmap(endpoint)), expected, "{endpoint}");
    }
    // The hypervisor cannot take what is still a VM's, nor forward without its own buffer.
    assert_eq!(setup.host(FORWARDED), DENIED);
    assert_eq!(setup.host(map_call(VM_TX + 0x8000, HOST_RX, 1)), DENIED);
    assert_eq!(setup.host(map_call(VM_TX, VM_RX, 1)), Ok(()));
    // A partition speaks for nobody.
    for call in [FORWARDED, unmap(VM), release(VM)] {
        assert_eq!(status(setup.first.ask(&setup.sim, 0, call)), INVALID, "{call:?}");
    }
    let acquire = Call::RxAcquire { endpoint: VM };
    assert_eq!(status(setup.first.ask(&setup.sim, 0, acquire)), Err(Status::NotSupported));
}

#[test]
fn a_vm_writes_and_is_written_to_through_its_hypervisor() {
    let setup = setup();
    describe(&setup, VM, (VM_TX, 1), (VM_RX, 1));
    setup.host(FORWARDED).unwrap();
    setup.host(Call::NotificationBitmapCreate { endpoint: VM, vcpu_count: 1 }).unwrap();

    setup.compose(Pa::non_secure(VM_TX), &header(VM, FIRST, 9), b"from a VM");
    assert_eq!(setup.host(Call::MsgSend2 { sender: VM, flags: 0 }), Ok(()));
    assert_eq!(setup.sim.machine().bytes::<33>(rx_of(0))[24..], *b"from a VM");
    setup.compose(Pa::non_secure(VM_TX), &header(HOST, FIRST, 9), b"from a VM");
    assert_eq!(setup.host(Call::MsgSend2 { sender: VM, flags: 0 }), INVALID, "in the host's name");

    assert_eq!(setup.first_sends(&header(FIRST, VM, 7), b"to a VM"), Ok(()));
    assert_eq!(setup.sim.machine().bytes::<31>(Pa::non_secure(VM_RX))[24..], *b"to a VM");
    assert_eq!(setup.first_sends(&header(FIRST, VM, 7), b"to a VM"), Err(Status::Busy));
    let get = Call::NotificationGet { receiver: VM, vcpu: 0, flags: 4 };
    let Call::Success32 { results, .. } = setup.sim.ask(0, get) else { panic!() };
    assert_eq!(PendingNotifications::decode(results).from_spm, 1);

    // Who owns the RX buffer: the VM, until it is released; then the hypervisor may take it for it.
    let acquire = |endpoint| setup.host(Call::RxAcquire { endpoint });
    assert_eq!(acquire(VM), DENIED);
    assert_eq!(acquire(HOST), INVALID);
    assert_eq!(acquire(FIRST), INVALID);
    assert_eq!(acquire(EndpointId::new(6)), INVALID);
    assert_eq!(setup.host(release(FIRST)), INVALID);
    assert_eq!(setup.host(release(EndpointId::new(6))), INVALID);
    assert_eq!(setup.host(release(HOST)), DENIED, "that is the host's own");
    assert_eq!(setup.host(release(VM)), Ok(()));
    assert_eq!(setup.host(release(VM)), DENIED);
    assert_eq!(acquire(VM), Ok(()));
    assert_eq!(acquire(VM), DENIED);
    assert_eq!(setup.first_sends(&header(FIRST, VM, 7), b"to a VM"), Err(Status::Busy));
    // Whatever the hypervisor put there, nothing of it is left behind the next message.
    setup.write(Pa::non_secure(VM_RX), &[0xcc; PAGE]);
    assert_eq!(setup.host(release(VM)), Ok(()));
    assert_eq!(setup.first_sends(&header(FIRST, VM, 7), b"to a VM"), Ok(()));
    let rx: [u8; PAGE] = setup.sim.machine().bytes(Pa::non_secure(VM_RX));
    assert!(rx[31..].iter().all(|byte| *byte == 0));
    // Buffers that are unmapped take their notification along.
    assert_eq!(setup.host(unmap(VM)), Ok(()));
    assert_eq!(setup.host(Call::NotificationBitmapDestroy { endpoint: VM }), Ok(()));
}

// --- Virtual machines as senders, and partitions that hear of them

#[test]
fn a_vm_is_answered() {
    let setup = setup();
    for sender in [1, 0x7fff].map(EndpointId::new) {
        let request =
            DirectMessage { width: Width::Bits64, sender, receiver: FIRST, framework: None, payload: [7; 5] };
        let answer = setup.sim.ask(0, Call::DirectRequest(request));
        assert_eq!(answer, Call::DirectResponse(request.answer([7; 5])));
    }
}

fn about(vm: u64, receiver: EndpointId, message: FrameworkMessage) -> DirectMessage {
    DirectMessage {
        width: Width::Bits32,
        sender: HOST,
        receiver,
        framework: Some(message),
        payload: [0x1234, 0x5678, vm, 0, 0],
    }
}

/// Answers messages about VMs with what `answer` says, and everything else with what came.
fn subscriber(answer: impl Fn(&DirectMessage) -> Call + Send + 'static) -> Script {
    let mut refused = false;
    Box::new(move |context| match context.request() {
        Some(request) if request.framework.is_some() => {
            refused = false;
            Ok(call(answer(&request)))
        }
        Some(request) => Ok(call(Call::DirectResponse(request.answer(request.payload)))),
        None => {
            // The answer was refused: wait for the next one, which must be refused as well, then do it right.
            match (Call::decode(&CallRegisters::ZERO), refused) {
                (_, false) => {
                    refused = true;
                    Ok(wait())
                }
                (_, true) => Ok(call(Call::DirectResponse(
                    about(9, SECOND, FrameworkMessage::VmCreated)
                        .framework_answer(FrameworkMessage::VmCreatedResponse, [0; 5]),
                ))),
            }
        }
    })
}

fn with_subscriber(bits: u32, script: Script) -> Sim {
    let sim = SimBuilder::new()
        .partition("first", Agent::new(FIRST).scripts(1))
        .partition_with("second", [script], |manifest| manifest.set("vm-availability-messages", bits))
        .boot();
    negotiate(&sim, 0x1_0001);
    sim
}

/// Takes note of everything, but for VM 13.
fn polite() -> Script {
    subscriber(|request| {
        let response = match request.framework {
            Some(FrameworkMessage::VmCreated) => FrameworkMessage::VmCreatedResponse,
            _ => FrameworkMessage::VmDestroyedResponse,
        };
        let status = if request.payload[2] == 13 { u64::from(Status::Retry.to_raw()) } else { 0 };
        Call::DirectResponse(request.framework_answer(response, [status, 0, 0, 0, 0]))
    })
}

#[test]
fn a_partition_that_asked_for_it_hears_of_vms() {
    use FrameworkMessage::{VmCreated, VmCreatedResponse, VmDestroyed, VmDestroyedResponse};
    let sim = with_subscriber(3, polite());
    let told = |vm, message, response| {
        let request = about(vm, SECOND, message);
        let Call::DirectResponse(answer) = sim.ask(0, Call::DirectRequest(request)) else {
            panic!("{message:?} of {vm} is refused")
        };
        assert_eq!((answer.sender, answer.receiver, answer.framework), (SECOND, HOST, Some(response)));
        answer.payload[0]
    };
    let refused = |vm, receiver, message| sim.refusal(0, Call::DirectRequest(about(vm, receiver, message)));
    let invalid = Status::InvalidParameters;
    assert_eq!(refused(4, FIRST, VmCreated), invalid, "it has not asked for it");
    assert_eq!(refused(4, ABSENT, VmCreated), invalid);
    assert_eq!(refused(0, SECOND, VmCreated), invalid, "the host is no VM");
    assert_eq!(refused(0x8001, SECOND, VmCreated), invalid);
    assert_eq!(refused(0x1_0004, SECOND, VmCreated), invalid);
    assert_eq!(refused(4, SECOND, VmDestroyed), invalid, "it was not created");
    for message in [VmCreatedResponse, VmDestroyedResponse, FrameworkMessage::WarmBoot] {
        assert_eq!(refused(4, SECOND, message), invalid);
    }
    let as_vm = DirectMessage { sender: VM, ..about(4, SECOND, VmCreated) };
    assert_eq!(sim.refusal(0, Call::DirectRequest(as_vm)), invalid, "a VM says nothing of others");
    for _ in 0..2 {
        assert_eq!(told(4, VmCreated, VmCreatedResponse), 0);
        assert_eq!(refused(4, SECOND, VmCreated), invalid);
        assert_eq!(told(5, VmCreated, VmCreatedResponse), 0);
        assert_eq!(told(4, VmDestroyed, VmDestroyedResponse), 0);
        assert_eq!(refused(4, SECOND, VmDestroyed), invalid);
        assert_eq!(told(5, VmDestroyed, VmDestroyedResponse), 0);
    }
    // One that does not take note is told again.
    for _ in 0..2 {
        assert_ne!(told(13, VmCreated, VmCreatedResponse), 0);
    }
    assert_eq!(refused(13, SECOND, VmDestroyed), invalid);
}

#[test]
fn a_partition_hears_of_what_it_asked_for_only() {
    use FrameworkMessage::{VmCreated, VmDestroyed};
    for (bits, heard, unheard) in [(1, VmCreated, VmDestroyed), (2, VmDestroyed, VmCreated)] {
        let sim = with_subscriber(bits, polite());
        for vm in 1..40 {
            let answer = sim.ask(0, Call::DirectRequest(about(vm, SECOND, heard)));
            assert!(matches!(answer, Call::DirectResponse(_)), "{vm}: {answer:?}");
        }
        let refusal = sim.refusal(0, Call::DirectRequest(about(1, SECOND, unheard)));
        assert_eq!(refusal, Status::InvalidParameters);
    }
}

#[test]
fn a_message_about_a_vm_has_its_own_answer() {
    // An ordinary answer, then FFA_MSG_WAIT, then the right one: the first two are refused.
    let sim = with_subscriber(3, subscriber(|request| Call::DirectResponse(request.answer([0; 5]))));
    let request = about(9, SECOND, FrameworkMessage::VmCreated);
    let answer = sim.ask(0, Call::DirectRequest(request));
    let expected = request.framework_answer(FrameworkMessage::VmCreatedResponse, [0; 5]);
    assert_eq!(answer, Call::DirectResponse(expected));
    // The other way round: a message about no VM is not answered as if it were.
    let wrong = subscriber(|request| {
        Call::DirectResponse(request.framework_answer(FrameworkMessage::VmDestroyedResponse, [0; 5]))
    });
    let sim = with_subscriber(3, wrong);
    assert_eq!(sim.ask(0, Call::DirectRequest(request)), Call::DirectResponse(expected));
}
