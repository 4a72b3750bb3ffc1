//! Which calls there are, in which version, and that nobody speaks in the name of another.

use tantalum_ffa::feature::{
    MANAGED_EXIT_INTERRUPT, NOTIFICATION_PENDING_INTERRUPT, SCHEDULE_RECEIVER_INTERRUPT,
};
use tantalum_ffa::memory::TransactionKind;
use tantalum_ffa::{Call, ConsoleText, DirectMessage, Status, Target, Uuid, Width, answer, function as f};
use tantalum_hal::{AccessError, PhysicalMemory};
use tantalum_types::{CallRegisters, CpuIndex, EndpointId, Pa, PageRange, VcpuIndex};
use tantalum_vmm::ffa::{Below, Caller, NOTIFICATION_INTERRUPT, Relay};

use crate::bench::{encode, offer, range, sp};
use crate::world::*;

const OTHERS: [EndpointId; 5] = [
    EndpointId::HYPERVISOR,
    EndpointId::new(2),
    EndpointId::new(3),
    EndpointId::SPMC,
    EndpointId::new(0x8001),
];

/// Answers every call as firmware does that knows none.
struct Nobody;

impl Below for Nobody {
    fn call(&self, _: &CallRegisters) -> CallRegisters {
        answer::unknown_function()
    }
}

impl PhysicalMemory for Nobody {
    fn read(&self, from: Pa, _: &mut [u8]) -> Result<(), AccessError> {
        Err(AccessError { address: from })
    }

    fn write(&self, to: Pa, _: &[u8]) -> Result<(), AccessError> {
        Err(AccessError { address: to })
    }

    fn zero(&self, range: &PageRange<Pa>) -> Result<(), AccessError> {
        Err(AccessError { address: range.start() })
    }
}

#[test]
fn without_an_spmc_nothing_is_supported() {
    let relay = Relay::new();
    assert_eq!(relay.find(own_buffers(), &Nobody), Ok(false));
    assert_eq!(relay.start(index(0), 4, &Nobody), Ok(()));
    assert_eq!(relay.schedule_receiver_interrupt(), None);
    let caller = Caller { vm: index(0), vcpu: VcpuIndex::default(), cpu: CpuIndex::default() };
    for function in f::ALL {
        let registers = CallRegisters::from_first_eight([u64::from(*function), 1, 2, 3, 4, 5, 6, 7]);
        let answer = relay.call(caller, &registers, &Nobody, &Memory::default());
        assert_eq!(answer.0[0], u64::MAX, "{function:#x}");
    }
    assert!(relay.stop(index(0), &Nobody, &Memory::default()));
}

#[test]
fn each_has_its_id_and_version() {
    let world = World::new(1);
    for vm in 0..2 {
        assert_eq!(world.results(vm, Call::IdGet).unwrap()[0], vm as u32 + 1);
        assert_eq!(world.results(vm, Call::SpmIdGet).unwrap()[0], 0x8000);
    }
    let world = World::of(crate::bench::bench(1));
    let version = |vm, requested| world.raw_on(0, vm, Call::Version { requested }.encode()).0[0];
    assert_eq!(version(0, 0x1_0000), 0x1_0001);
    assert_eq!(version(1, 0x1_0002), 0x1_0001);
    assert_eq!(version(1, 0x2_0000), u64::MAX);
    assert!(world.does(0, Call::IdGet).is_ok() && world.does(1, Call::IdGet).is_ok());
    assert_eq!(version(0, 0x1_0001), u64::MAX, "it is settled");
    assert_eq!(version(1, 0x1_0001), 0x1_0001);
    // What a version does not know is not there.
    let get = Call::NotificationGet { receiver: id(0), vcpu: 0, flags: 1 };
    assert_eq!(world.does(0, get), Err(Status::NotSupported));
    assert_eq!(world.does(0, Call::SpmIdGet), Err(Status::NotSupported));
    assert_eq!(world.does(1, Call::NotificationGet { receiver: id(1), vcpu: 0, flags: 1 }), Ok(()));
    // One that begins anew may choose again.
    assert_eq!(world.relay.start(index(0), 2, &world.spmc(0)), Err(Status::Denied), "it has bitmaps");
    assert!(world.relay.stop(index(0), &world.spmc(0), &world.memory));
    assert_eq!(world.relay.start(index(0), 2, &world.spmc(0)), Ok(()));
    assert_eq!(version(0, 0x1_0001), 0x1_0001);
}

#[test]
fn features_are_the_calls_that_are_served() {
    let world = World::new(1);
    let feature = |id| world.results(0, Call::Features { id, input: 0 });
    assert_eq!(feature(NOTIFICATION_PENDING_INTERRUPT).map(|results| results[0]), Ok(NOTIFICATION_INTERRUPT));
    assert_eq!(
        feature(SCHEDULE_RECEIVER_INTERRUPT),
        Err(Status::NotSupported),
        "it does not schedule partitions"
    );
    assert_eq!(feature(MANAGED_EXIT_INTERRUPT), Err(Status::NotSupported));
    for function in f::ALL {
        let registers = CallRegisters::from_first_eight([u64::from(*function), 0, 0, 0, 0, 0, 0, 0]);
        let answered = Call::decode(&world.raw_on(0, 0, registers));
        let refused = matches!(answered, Ok(Call::Error { status: Status::NotSupported, .. }));
        let answers = [
            f::ERROR,
            f::SUCCESS_32,
            f::SUCCESS_64,
            f::INTERRUPT,
            f::DIRECT_RESP_32,
            f::DIRECT_RESP_64,
            f::MEM_FRAG_RX,
        ];
        if !answers.contains(function) && ![f::VERSION, f::FEATURES].contains(function) {
            let offered = feature(*function).is_ok();
            assert_eq!(offered, !refused, "{function:#x}: offered {offered}, {answered:?}");
        }
    }
    for absent in
        [f::RX_ACQUIRE, f::MSG_WAIT, f::NOTIFICATION_BITMAP_CREATE, f::MEM_RETRIEVE_REQ_32, f::DIRECT_REQ2]
    {
        assert_eq!(feature(absent), Err(Status::NotSupported), "{absent:#x}");
    }
}

#[test]
fn nobody_speaks_in_the_name_of_another() {
    let world = World::new(1);
    let invalid = Err(Status::InvalidParameters);
    for forged in OTHERS {
        let message = DirectMessage {
            width: Width::Bits64,
            sender: forged,
            receiver: sp(0),
            framework: None,
            payload: [0; 5],
        };
        assert_eq!(world.does(0, Call::DirectRequest(message)), invalid);
        let partition = sp(0);
        for call in [
            Call::NotificationBind { sender: partition, receiver: forged, flags: 0, bitmap: 1 },
            Call::NotificationUnbind { sender: partition, receiver: forged, bitmap: 1 },
            Call::NotificationSet { sender: forged, receiver: partition, flags: 0, bitmap: 1 },
            Call::NotificationGet { receiver: forged, vcpu: 0, flags: 1 },
        ] {
            assert_eq!(world.does(0, call), invalid, "{call:?}");
        }
        // The field for a hypervisor is not for a virtual machine, whatever it holds.
        if forged != EndpointId::HYPERVISOR {
            for call in [
                Call::RxtxUnmap { endpoint: forged },
                Call::RxRelease { endpoint: forged },
                Call::MsgSend2 { sender: forged, flags: 0 },
                Call::MemFragTx { handle: 1, length: 16, endpoint: forged },
            ] {
                assert_eq!(world.does(0, call), invalid, "{call:?}");
            }
        }
        let kind = TransactionKind::Share;
        let bytes =
            encode(tantalum_ffa::memory::Layout::V1_1, &offer(forged, kind, &[sp(0)]), &[range(page(0), 1)]);
        assert_eq!(world.send_in(0, kind, &bytes, bytes.len()), Err(Status::Denied), "{forged}");
    }
    assert_eq!(world.does(0, Call::RxtxUnmap { endpoint: EndpointId::HYPERVISOR }), Ok(()));
}

#[test]
fn what_only_others_may_do_is_not_supported() {
    let world = World::new(1);
    let (text, _) = ConsoleText::take(Width::Bits32, b"x").unwrap();
    let message = DirectMessage {
        width: Width::Bits32,
        sender: id(0),
        receiver: sp(0),
        framework: None,
        payload: [0; 5],
    };
    for call in [
        Call::RxAcquire { endpoint: id(0) },
        Call::NotificationBitmapCreate { endpoint: id(0), vcpu_count: 1 },
        Call::NotificationBitmapDestroy { endpoint: id(1) },
        Call::NotificationInfoGet { width: Width::Bits64 },
        Call::NotificationInfoGet { width: Width::Bits32 },
        Call::MsgWait { retain_rx: false },
        Call::DirectResponse(message),
        Call::Interrupt { target: Target::NONE, intid: 0 },
        Call::NormalWorldResume,
        Call::El3InterruptHandle,
        Call::ConsoleLog(text),
        Call::MemRelinquish,
        Call::MemRetrieveRequest(crate::bench::transaction(64, 64)),
        Call::MemFragRx { handle: 1, offset: 0, endpoint: EndpointId::HYPERVISOR },
        Call::PartitionInfoGetRegs { uuid: Uuid::nil(), start_index: 0, tag: 0 },
        Call::SecondaryEpRegister { width: Width::Bits64, entry: 0 },
        Call::Error { target: Target::NONE, status: Status::Aborted, argument: 0 },
    ] {
        assert_eq!(world.does(0, call), Err(Status::NotSupported), "{call:?}");
    }
    assert_eq!(world.does(0, Call::Yield { target: Target::NONE, timeout: 0 }), Ok(()));
}

#[test]
fn a_partition_hears_no_message_of_the_framework_from_a_virtual_machine() {
    let world = World::new(1);
    for framework in tantalum_ffa::FrameworkMessage::ALL {
        let message = DirectMessage {
            width: Width::Bits32,
            sender: id(0),
            receiver: sp(0),
            framework: Some(framework),
            payload: [0; 5],
        };
        assert_eq!(world.does(0, Call::DirectRequest(message)), Err(Status::InvalidParameters));
    }
}

#[test]
fn registers_that_no_answer_uses_are_the_callers() {
    let world = World::new(1);
    let message = DirectMessage {
        width: Width::Bits64,
        sender: id(0),
        receiver: sp(5),
        framework: None,
        payload: [0; 5],
    };
    for call in [
        Call::IdGet,
        Call::Version { requested: 0x1_0001 },
        Call::DirectRequest(message),
        Call::PartitionInfoGet { uuid: Uuid::nil(), count_only: true },
        Call::MsgWait { retain_rx: false },
    ] {
        let mut registers = call.encode();
        registers.0[8..].copy_from_slice(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
        assert_eq!(world.raw_on(0, 0, registers).0[8..], registers.0[8..], "{call:?}");
    }
}
