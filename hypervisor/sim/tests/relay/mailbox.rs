//! Buffers of virtual machines, and what goes through them.

use tantalum_ffa::{Call, MessageHeader, PartitionInfo, Status, Uuid, Version};
use tantalum_hal::PhysicalMemory;
use tantalum_sim::dtb::Flag;
use tantalum_sim::manifests::{partition_base, partition_uuid};
use tantalum_types::{EndpointId, Pa};
use tantalum_vmm::ffa::PageState;

use crate::bench::{PAGE, bench, bench_with, sp};
use crate::world::*;

const NONE: EndpointId = EndpointId::HYPERVISOR;

fn info(uuid: Uuid, count_only: bool) -> Call {
    Call::PartitionInfoGet { uuid, count_only }
}

#[test]
fn buffers_are_pages_of_ones_own() {
    let world = World::of(bench(1));
    let invalid = Err(Status::InvalidParameters);
    let end = RAM + RAM_PAGES * PAGE;
    for (tx, rx, count) in [
        (0, 0, 0),
        (VM_TX, VM_RX, 0),
        (VM_TX, VM_RX, 17),
        (VM_TX, VM_RX, 63),
        (VM_TX, VM_TX, 1),
        (VM_TX, VM_RX, 2),
        (VM_TX + 8, VM_RX, 1),
        (RAM - PAGE, VM_RX, 1),
        (VM_TX, end, 1),
        (end - PAGE, VM_RX, 2),
        (base(0), VM_RX, 1),
        (0x0e10_0000, VM_RX, 1),
        (u64::MAX - 0xfff, VM_RX, 1),
    ] {
        assert_eq!(world.does(0, map(tx, rx, count)), invalid, "{tx:#x} {rx:#x} {count}");
        assert_eq!(world.state(0, VM_TX), PageState::Owned);
    }
    assert_eq!(world.does(0, Call::RxtxUnmap { endpoint: NONE }), invalid);
    for _ in 0..2 {
        // Both see their RAM at the same addresses.
        for vm in 0..2 {
            assert_eq!(world.does(vm, map(VM_TX, VM_RX, 1)), Ok(()));
            assert_eq!(world.does(vm, map(page(0), page(1), 1)), Err(Status::Denied));
            assert_eq!(world.state(vm, VM_TX), PageState::Buffer);
            assert_eq!(world.state(vm, VM_RX), PageState::Buffer);
        }
        for vm in 0..2 {
            assert_eq!(world.does(vm, Call::RxtxUnmap { endpoint: NONE }), Ok(()));
            assert_eq!(world.state(vm, VM_TX), PageState::Owned);
        }
    }
    assert_eq!(world.does(0, map(RAM + 16 * PAGE, RAM + 32 * PAGE, 16)), Ok(()));
}

#[test]
fn without_buffers_nothing_goes_through_them() {
    let world = World::of(bench(1));
    for call in [
        info(Uuid::nil(), false),
        Call::RxRelease { endpoint: NONE },
        Call::MsgSend2 { sender: NONE, flags: 0 },
        Call::MemFragTx { handle: 1, length: 16, endpoint: NONE },
        crate::bench::begin(tantalum_ffa::memory::TransactionKind::Share, 96, 96),
    ] {
        assert_eq!(world.does(0, call), Err(Status::Denied), "{call:?}");
    }
    assert_eq!(world.results(0, info(Uuid::nil(), true)).unwrap()[0], 1);
}

#[test]
fn partitions_are_described_in_the_version_of_who_asks() {
    for (requested, version, size) in [(0x1_0001, Version::V1_1, 24), (0x1_0000, Version::V1_0, 0)] {
        let world = World::of(bench(2));
        world.raw_on(0, 0, Call::Version { requested }.encode());
        assert_eq!(world.does(0, map(VM_TX, VM_RX, 1)), Ok(()));
        world.write(0, VM_RX, &[0xaa; PAGE as usize]);
        let results = world.results(0, info(Uuid::nil(), false)).unwrap();
        assert_eq!(results[..2], [2, size]);
        let bytes: [u8; PAGE as usize] = world.read(0, VM_RX);
        let record = PartitionInfo::record_size(version);
        for index in 0..2 {
            let described = PartitionInfo::decode(&bytes[index * record..][..record]).unwrap();
            assert_eq!((described.id, described.execution_context_count), (sp(index), 1));
            let uuid = if version == Version::V1_0 { Uuid::nil() } else { partition_uuid(index) };
            assert_eq!(described.uuid, uuid);
        }
        assert!(bytes[2 * record..].iter().all(|byte| *byte == 0), "nothing of old is left");
        // It is its owner's until it is released.
        assert_eq!(world.does(0, info(Uuid::nil(), false)), Err(Status::Busy));
        assert_eq!(world.does(0, Call::RxRelease { endpoint: NONE }), Ok(()));
        assert_eq!(world.does(0, Call::RxRelease { endpoint: NONE }), Err(Status::Denied));
        assert_eq!(world.results(0, info(partition_uuid(1), false)).unwrap()[0], 1);
        assert_eq!(world.read::<2>(0, VM_RX), sp(1).raw().to_le_bytes());
        assert_eq!(world.does(0, Call::RxRelease { endpoint: NONE }), Ok(()));
        // A refusal leaves nothing behind.
        let unknown = info(partition_uuid(7), false);
        for _ in 0..2 {
            assert_eq!(world.does(0, unknown), Err(Status::InvalidParameters));
        }
        assert_eq!(world.does(0, info(Uuid::nil(), false)), Ok(()));
    }
}

#[test]
fn messages_go_between_virtual_machines_and_partitions() {
    let world = World::of(bench_with(&[Version::V1_1], Version::V1_1, |_, manifest| {
        manifest.set("messaging-method", 7_u32);
        manifest.set("notification-support", Flag);
    }));
    for vm in 0..2 {
        assert_eq!(world.does(vm, map(VM_TX, VM_RX, 1)), Ok(()));
    }
    let message = |sender, receiver, text: &[u8]| {
        let header =
            MessageHeader { sender, receiver, offset: 24, size: text.len() as u32, uuid: Uuid::nil() };
        let mut bytes = header.encode(Version::V1_1)[..24].to_vec();
        bytes.extend_from_slice(text);
        bytes
    };
    let send = Call::MsgSend2 { sender: NONE, flags: 0 };
    world.write(1, VM_TX, &message(id(1), sp(0), b"from the second"));
    assert_eq!(world.does(1, send), Ok(()));
    let rx = Pa::secure(partition_base(0) + 0x9000);
    let mut got = [0; 39];
    world.bench.sim.machine().read(rx, &mut got).unwrap();
    assert_eq!(got[..], message(id(1), sp(0), b"from the second"));
    // Neither in the name of another, nor to another virtual machine.
    for (sender, receiver) in [(id(1), sp(0)), (NONE, sp(0)), (id(0), id(1)), (id(0), NONE), (id(0), id(0))] {
        world.write(0, VM_TX, &message(sender, receiver, b"x"));
        assert_eq!(world.does(0, send), Err(Status::InvalidParameters), "{sender} {receiver}");
    }
    assert_eq!(world.does(0, Call::MsgSend2 { sender: NONE, flags: 2 }), Err(Status::InvalidParameters));
    // The answer comes into the buffer of who is meant.
    let text = message(sp(0), id(1), b"to the second");
    assert_eq!(crate::bench::ok(world.bench.sp_call(0, &text, send)), Ok(()));
    assert_eq!(world.read::<37>(1, VM_RX)[..], text);
    assert_eq!(world.read::<37>(0, VM_RX), [0; 37]);
    assert_eq!(world.does(0, Call::RxRelease { endpoint: NONE }), Err(Status::Denied));
    assert_eq!(world.does(1, info(Uuid::nil(), false)), Err(Status::Busy));
}
