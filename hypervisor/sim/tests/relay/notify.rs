//! Notifications of virtual machines.

use tantalum_ffa::notification::{
    BIND_PER_VCPU, GET_FROM_HYPERVISOR, GET_FROM_PARTITIONS, GET_FROM_SPM, GET_FROM_VMS,
    PendingNotifications, set_for_vcpu,
};
use tantalum_ffa::{Call, Status, Version};
use tantalum_sim::dtb::Flag;
use tantalum_types::{CpuIndex, VcpuIndex, VmVcpuId};

use crate::bench::{bench_with, ok, sp};
use crate::world::*;

fn world() -> World {
    World::of(bench_with(&[Version::V1_1], Version::V1_1, |_, manifest| {
        manifest.set("notification-support", Flag)
    }))
}

fn bind(vm: usize, flags: u32, bitmap: u64) -> Call {
    Call::NotificationBind { sender: sp(0), receiver: id(vm), flags, bitmap }
}

fn get(world: &World, vm: usize, vcpu: u16, flags: u32) -> PendingNotifications {
    let get = Call::NotificationGet { receiver: id(vm), vcpu, flags };
    PendingNotifications::decode(world.results(vm, get).unwrap())
}

fn interrupted(world: &World) -> Vec<VmVcpuId> {
    let scheduled = world.relay.schedule(CpuIndex::default(), &world.spmc(0));
    assert_eq!(scheduled.kicked().count(), 0);
    world.relay.work(CpuIndex::default(), &world.spmc(0));
    assert!(!world.relay.has_work(), "everybody had time");
    scheduled.interrupted().collect()
}

fn vcpu(vm: usize, vcpu: usize) -> VmVcpuId {
    VmVcpuId { vm: index(vm), index: VcpuIndex::new(vcpu).unwrap() }
}

#[test]
fn a_partition_notifies_a_virtual_machine() {
    let world = world();
    assert_eq!(world.relay.schedule_receiver_interrupt(), Some(8));
    assert!(interrupted(&world).is_empty());
    assert_eq!(world.does(0, bind(0, 0, 0b11)), Ok(()));
    assert_eq!(world.does(1, bind(1, BIND_PER_VCPU, 0b100)), Ok(()));
    assert_eq!(world.does(0, bind(0, 0, 0b10)), Err(Status::Denied), "it is bound");
    let set = |vm, flags, bitmap| {
        let set = Call::NotificationSet { sender: sp(0), receiver: id(vm), flags, bitmap };
        ok(world.bench.sp_call(0, &[], set))
    };
    assert_eq!(set(0, 0, 0b10), Ok(()));
    assert_eq!(set(1, set_for_vcpu(1), 0b100), Ok(()));
    assert_eq!(interrupted(&world), [vcpu(0, 0), vcpu(1, 1)]);
    assert!(interrupted(&world).is_empty(), "they were told");
    assert_eq!(get(&world, 1, 0, GET_FROM_PARTITIONS).from_partitions, 0);
    assert_eq!(get(&world, 1, 1, GET_FROM_PARTITIONS).from_partitions, 0b100);
    assert_eq!(get(&world, 0, 0, GET_FROM_PARTITIONS | GET_FROM_SPM).from_partitions, 0b10);
    assert_eq!(get(&world, 0, 0, GET_FROM_PARTITIONS).from_partitions, 0, "it was read");
    let unbind = |bitmap| Call::NotificationUnbind { sender: sp(0), receiver: id(0), bitmap };
    assert_eq!(world.does(0, unbind(0b11)), Ok(()));
    assert_eq!(set(0, 0, 0b1), Err(Status::Denied));
}

#[test]
fn a_virtual_machine_notifies_a_partition() {
    let world = world();
    let bind = Call::NotificationBind { sender: id(1), receiver: sp(0), flags: 0, bitmap: 1 << 40 };
    assert_eq!(ok(world.bench.sp_call(0, &[], bind)), Ok(()));
    let set =
        |vm: usize| Call::NotificationSet { sender: id(vm), receiver: sp(0), flags: 0, bitmap: 1 << 40 };
    assert_eq!(world.does(0, set(0)), Err(Status::Denied), "it is another one's");
    assert_eq!(world.does(1, set(1)), Ok(()));
    // The partition is given time, and does not use it.
    assert!(interrupted(&world).is_empty());
    let get = Call::NotificationGet { receiver: sp(0), vcpu: 0, flags: GET_FROM_VMS };
    let Call::Success32 { results, .. } = world.bench.sp_call(0, &[], get) else { panic!() };
    assert_eq!(PendingNotifications::decode(results).from_vms, 1 << 40);
}

#[test]
fn what_is_between_virtual_machines_is_refused() {
    let world = world();
    let invalid = Err(Status::InvalidParameters);
    for sender in [id(0), id(1), tantalum_types::EndpointId::HYPERVISOR] {
        let bind = Call::NotificationBind { sender, receiver: id(0), flags: 0, bitmap: 1 };
        assert_eq!(world.does(0, bind), invalid);
        assert_eq!(world.does(0, Call::NotificationUnbind { sender, receiver: id(0), bitmap: 1 }), invalid);
        let set = Call::NotificationSet { sender: id(0), receiver: sender, flags: 0, bitmap: 1 };
        assert_eq!(world.does(0, set), invalid);
    }
    for flags in [GET_FROM_VMS, GET_FROM_HYPERVISOR, 0xf] {
        let get = Call::NotificationGet { receiver: id(0), vcpu: 0, flags };
        assert_eq!(world.does(0, get), invalid);
    }
}

#[test]
fn one_that_is_gone_has_no_notifications() {
    let world = world();
    assert!(world.relay.stop(index(0), &world.spmc(0), &world.memory));
    assert_eq!(world.does(0, bind(0, 0, 1)), Err(Status::Denied));
    assert_eq!(world.relay.start(index(0), 2, &world.spmc(0)), Ok(()));
    assert_eq!(world.does(0, bind(0, 0, 1)), Ok(()));
}
