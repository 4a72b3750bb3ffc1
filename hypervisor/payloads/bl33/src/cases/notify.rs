//! Notifications of the normal world and of its VMs. This suite is their hypervisor.

use tantalum_ffa::{Call, PartitionProperties, Status, Version, Width, function as f};
use tantalum_types::EndpointId;

use crate::endpoint::{ECHO, IRQ, NOBODY, RELAY, SELF};
use crate::machine::cpus;
use crate::machine::interrupts::{self, SCHEDULE_RECEIVER};
use crate::test::{Answer, Case, Test, cases, registers};

pub(crate) const CASES: &[Case] = cases![
    features_of_notifications,
    notify_bitmaps,
    notify_bitmap_ids,
    notify_bitmaps_run_out,
    notify_bind_refused,
    notify_bind_twice,
    notify_from_partition,
    notify_delayed,
    notify_per_vcpu,
    notify_many_receivers,
    notify_pending_stays,
    notify_set_refused,
    notify_get_refused,
    notify_info_get_nothing,
    notify_partition,
    notify_from_eight_cpus,
    notify_interrupts_the_cpu,
];

const VM: EndpointId = EndpointId::new(5);
const OTHER_VM: EndpointId = EndpointId::new(0x7fff);
const PER_VCPU: u32 = 1;
const DELAY: u32 = 2;
const FROM_PARTITIONS: u32 = 1;

fn there(t: &Test) -> bool {
    t.since(Version::V1_1, f::NOTIFICATION_BITMAP_CREATE)
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

fn get(receiver: EndpointId, vcpu: u16, flags: u32) -> Call {
    Call::NotificationGet { receiver, vcpu, flags }
}

const INFO: Call = Call::NotificationInfoGet { width: Width::Bits64 };

/// Returns w1 of a call with sender and receiver.
fn ids(sender: EndpointId, receiver: EndpointId) -> u32 {
    u32::from(sender.raw()) << 16 | u32::from(receiver.raw())
}

/// Lets a partition signal notifications below 32.
#[track_caller]
fn signal(t: &Test, sender: EndpointId, receiver: EndpointId, flags: u32, bitmap: u32) {
    t.lets_succeed(sender, [f::NOTIFICATION_SET, ids(sender, receiver), flags, bitmap]);
}

/// Asserts what is pending from partitions.
#[track_caller]
fn pending(t: &Test, receiver: EndpointId, vcpu: u16, expected: u64) {
    let [w2, w3, rest @ ..] = t.succeeds(&get(receiver, vcpu, FROM_PARTITIONS));
    t.equal("pending notifications", u64::from(w3) << 32 | u64::from(w2), expected);
    t.check(rest == [0; 4], format_args!("w4 to w7 are {rest:x?}"));
}

/// Asserts the entries of the next list: each an endpoint, and its execution contexts. Their order is the SPMC's.
#[track_caller]
fn listed(t: &Test, expected: &[&[u16]]) {
    let answer = t.call(&INFO);
    let Ok(Call::Success64 { results: [flags, words @ ..], .. }) = Call::decode(&answer) else {
        return t.check(false, format_args!("expected FFA_SUCCESS (64-bit), got {}", Answer(&answer)));
    };
    t.equal("more is pending", flags & 1, 0);
    t.equal("number of entries", flags >> 7 & 0x1f, expected.len() as u64);
    let id = |number: usize| (words[number / 4] >> (number % 4 * 16)) as u16;
    let mut at = 0;
    for entry in 0..expected.len().min((flags >> 7 & 0x1f) as usize) {
        let length = 1 + (flags >> (12 + 2 * entry) & 3) as usize;
        let mut ids = [0; 4];
        for (number, to) in ids[..length].iter_mut().enumerate() {
            *to = id(at + number);
        }
        at += length;
        t.check(
            expected.contains(&&ids[..length]),
            format_args!("{:x?} is listed; expected {expected:x?}", &ids[..length]),
        );
    }
}

fn features_of_notifications(t: &Test) {
    for id in [
        f::NOTIFICATION_BITMAP_CREATE,
        f::NOTIFICATION_BITMAP_DESTROY,
        f::NOTIFICATION_BIND,
        f::NOTIFICATION_UNBIND,
        f::NOTIFICATION_SET,
        f::NOTIFICATION_GET,
        f::NOTIFICATION_INFO_GET_32,
        f::NOTIFICATION_INFO_GET_64,
        f::RX_ACQUIRE,
        f::MSG_SEND2,
    ] {
        if !t.since(Version::V1_1, id) && t.version() > Version::V1_0 {
            return;
        }
    }
    let schedule_receiver = Call::Features { id: 2, input: 0 };
    if t.version() > Version::V1_0 {
        let [intid, ..] = t.succeeds(&schedule_receiver);
        t.equal("the schedule receiver interrupt", intid.into(), SCHEDULE_RECEIVER as u64);
    } else {
        t.refused(&schedule_receiver, Status::NotSupported);
        t.refused(&create(SELF, 8), Status::NotSupported);
        t.refused(&INFO, Status::NotSupported);
    }
}

fn notify_bitmaps(t: &Test) {
    if !there(t) {
        return;
    }
    for id in [SELF, VM, OTHER_VM] {
        t.refused(&destroy(id), Status::Denied);
        t.succeeds(&create(id, 8));
        t.refused(&create(id, 8), Status::Denied);
        t.refused(&create(id, 1), Status::Denied);
    }
    for id in [OTHER_VM, SELF, VM] {
        t.succeeds(&destroy(id));
        t.refused(&destroy(id), Status::Denied);
    }
}

fn notify_bitmap_ids(t: &Test) {
    if !there(t) {
        return;
    }
    for id in [ECHO, NOBODY, EndpointId::SPMC, EndpointId::SPMD] {
        t.refused(&create(id, 1), Status::InvalidParameters);
        t.refused(&destroy(id), Status::InvalidParameters);
    }
    t.refused(&create(VM, 0), Status::InvalidParameters);
    t.refused(&create(VM, u32::MAX), Status::InvalidParameters);
    for bit in 16..32 {
        t.refused_raw(
            &registers(f::NOTIFICATION_BITMAP_CREATE, [5 | 1 << bit, 1]),
            Status::InvalidParameters,
        );
        t.refused_raw(&registers(f::NOTIFICATION_BITMAP_DESTROY, [5 | 1 << bit]), Status::InvalidParameters);
    }
    // Partitions have theirs from the SPMC.
    t.lets_fail(ECHO, [f::NOTIFICATION_BITMAP_CREATE, 5, 1, 0], Status::NotSupported);
    t.lets_fail(ECHO, [f::NOTIFICATION_BITMAP_DESTROY, 5, 0, 0], Status::NotSupported);
    t.refused(&destroy(VM), Status::Denied);
}

/// There is room for some VMs, and who is one too many learns it.
fn notify_bitmaps_run_out(t: &Test) {
    if !there(t) {
        return;
    }
    let vm = |number| EndpointId::new(0x100 + number);
    let made = (0..0x400)
        .take_while(|number| {
            let answer = t.call(&create(vm(*number), 8));
            let made = matches!(Call::decode(&answer), Ok(Call::Success32 { .. }));
            if !made {
                t.is_error(&answer, Status::NoMemory);
            }
            made
        })
        .count();
    t.check((4..0x400).contains(&made), format_args!("{made} VMs have bitmaps"));
    for number in 0..made as u16 {
        t.succeeds(&destroy(vm(number)));
    }
    t.succeeds(&create(VM, 1));
    t.succeeds(&destroy(VM));
}

fn notify_bind_refused(t: &Test) {
    if !there(t) {
        return;
    }
    t.refused(&bind(ECHO, SELF, 0, 1), Status::Denied);
    t.refused(&unbind(ECHO, SELF, 1), Status::Denied);
    t.succeeds(&create(SELF, 8));
    for (sender, receiver, bitmap) in [
        (ECHO, SELF, 0),
        (NOBODY, SELF, 1),
        (SELF, SELF, 1),
        (VM, SELF, 1),
        (SELF, ECHO, 1),
        (IRQ, ECHO, 1),
        (EndpointId::SPMC, SELF, 1),
        (EndpointId::SPMD, SELF, 1),
    ] {
        t.refused(&bind(sender, receiver, 0, bitmap), Status::InvalidParameters);
        t.refused(&unbind(sender, receiver, bitmap), Status::InvalidParameters);
    }
    let w1 = u64::from(ids(ECHO, SELF));
    for bit in 1..32 {
        t.refused_raw(&registers(f::NOTIFICATION_BIND, [w1, 1 << bit, 1]), Status::InvalidParameters);
    }
    t.refused(&bind(ECHO, VM, 0, 1), Status::Denied);
    t.refused(&unbind(ECHO, SELF, u64::MAX), Status::Denied);
    t.succeeds(&destroy(SELF));
}

fn notify_bind_twice(t: &Test) {
    if !there(t) {
        return;
    }
    t.succeeds(&create(SELF, 8));
    t.succeeds(&bind(ECHO, SELF, 0, 0x8000_0000_0000_0003));
    for (sender, bitmap) in [(ECHO, 2), (IRQ, 1), (IRQ, 1 << 63), (RELAY, 0xff), (ECHO, u64::MAX)] {
        t.refused(&bind(sender, SELF, 0, bitmap), Status::Denied);
    }
    // A refused one has bound nothing.
    t.succeeds(&bind(IRQ, SELF, PER_VCPU, 0xfc));
    t.refused(&unbind(IRQ, SELF, 1), Status::Denied);
    t.refused(&unbind(ECHO, SELF, 7), Status::Denied);
    t.succeeds(&unbind(ECHO, SELF, 1));
    t.refused(&unbind(ECHO, SELF, 1), Status::Denied);
    t.succeeds(&bind(RELAY, SELF, 0, 1));
    t.succeeds(&unbind(RELAY, SELF, 1));
    t.succeeds(&unbind(ECHO, SELF, 0x8000_0000_0000_0002));
    t.succeeds(&unbind(IRQ, SELF, 0xfc));
    t.succeeds(&destroy(SELF));
}

/// A partition signals: the interrupt comes, the list names the normal world once, the bitmap is read once.
fn notify_from_partition(t: &Test) {
    if !there(t) {
        return;
    }
    t.succeeds(&create(SELF, 8));
    t.succeeds(&bind(ECHO, SELF, 0, 0x8000_0001));
    t.lets_fail(ECHO, [f::NOTIFICATION_SET, ids(ECHO, SELF), 0, 2], Status::Denied);
    t.lets_fail(IRQ, [f::NOTIFICATION_SET, ids(IRQ, SELF), 0, 1], Status::Denied);
    t.lets_fail(IRQ, [f::NOTIFICATION_SET, ids(ECHO, SELF), 0, 1], Status::InvalidParameters);
    t.refused(&INFO, Status::NoData);

    let before = interrupts::count(0, SCHEDULE_RECEIVER);
    signal(t, ECHO, SELF, 0, 1);
    t.equal("schedule receiver interrupts", (interrupts::count(0, SCHEDULE_RECEIVER) - before).into(), 1);
    signal(t, ECHO, SELF, 0, 0x8000_0000);
    listed(t, &[&[0]]);
    t.refused(&INFO, Status::NoData);
    pending(t, SELF, 0, 0x8000_0001);
    pending(t, SELF, 0, 0);
    t.succeeds(&unbind(ECHO, SELF, 0x8000_0001));
    t.succeeds(&destroy(SELF));
}

/// With the delay flag the interrupt comes when the normal world does.
fn notify_delayed(t: &Test) {
    if !there(t) {
        return;
    }
    t.succeeds(&create(SELF, 8));
    t.succeeds(&bind(RELAY, SELF, 0, 1));
    cpus::on(3, || {
        let before = interrupts::count(3, SCHEDULE_RECEIVER);
        signal(t, RELAY, SELF, DELAY, 1);
        t.equal("schedule receiver interrupts", (interrupts::count(3, SCHEDULE_RECEIVER) - before).into(), 1);
    });
    listed(t, &[&[0]]);
    pending(t, SELF, 0, 1);
    t.succeeds(&unbind(RELAY, SELF, 1));
    t.succeeds(&destroy(SELF));
}

fn notify_per_vcpu(t: &Test) {
    if !there(t) {
        return;
    }
    t.succeeds(&create(SELF, 8));
    t.succeeds(&bind(ECHO, SELF, PER_VCPU, 4));
    t.succeeds(&bind(ECHO, SELF, 0, 8));
    // The kind of the signal is that of the binding.
    t.lets_fail(ECHO, [f::NOTIFICATION_SET, ids(ECHO, SELF), 0, 4], Status::InvalidParameters);
    t.lets_fail(ECHO, [f::NOTIFICATION_SET, ids(ECHO, SELF), PER_VCPU, 8], Status::InvalidParameters);
    t.lets_fail(
        ECHO,
        [f::NOTIFICATION_SET, ids(ECHO, SELF), PER_VCPU | 8 << 16, 4],
        Status::InvalidParameters,
    );
    for vcpu in [3, 7] {
        signal(t, ECHO, SELF, PER_VCPU | vcpu << 16, 4);
    }
    signal(t, ECHO, SELF, 0, 8);
    pending(t, SELF, 2, 8);
    pending(t, SELF, 3, 4);
    pending(t, SELF, 3, 0);
    t.refused(&unbind(ECHO, SELF, 4), Status::Denied);
    listed(t, &[&[0, 7]]);
    pending(t, SELF, 7, 4);
    t.refused(&INFO, Status::NoData);
    t.succeeds(&unbind(ECHO, SELF, 12));
    t.succeeds(&destroy(SELF));
}

/// One list names several endpoints, those of VMs with their execution contexts.
fn notify_many_receivers(t: &Test) {
    if !there(t) {
        return;
    }
    for (id, vcpus) in [(SELF, 8), (VM, 2), (OTHER_VM, 4)] {
        t.succeeds(&create(id, vcpus));
    }
    t.succeeds(&bind(ECHO, SELF, 0, 1));
    t.succeeds(&bind(ECHO, VM, 0, 1));
    t.succeeds(&bind(ECHO, OTHER_VM, PER_VCPU, 1));
    signal(t, ECHO, SELF, 0, 1);
    signal(t, ECHO, VM, 0, 1);
    for vcpu in [0, 1, 3] {
        signal(t, ECHO, OTHER_VM, PER_VCPU | vcpu << 16, 1);
    }
    listed(t, &[&[0], &[VM.raw()], &[OTHER_VM.raw(), 0, 1, 3]]);
    t.refused(&INFO, Status::NoData);
    pending(t, SELF, 0, 1);
    pending(t, VM, 1, 1);
    for (vcpu, expected) in [(0, 1), (1, 1), (2, 0), (3, 1)] {
        pending(t, OTHER_VM, vcpu, expected);
    }
    for id in [SELF, VM, OTHER_VM] {
        t.succeeds(&unbind(ECHO, id, 1));
        t.succeeds(&destroy(id));
    }
}

/// What is pending can neither be unbound nor destroyed.
fn notify_pending_stays(t: &Test) {
    if !there(t) {
        return;
    }
    t.succeeds(&create(VM, 2));
    t.succeeds(&bind(ECHO, VM, 0, 3));
    signal(t, ECHO, VM, 0, 1);
    t.refused(&unbind(ECHO, VM, 1), Status::Denied);
    t.refused(&unbind(ECHO, VM, 3), Status::Denied);
    t.refused(&destroy(VM), Status::Denied);
    t.succeeds(&unbind(ECHO, VM, 2));
    // That it was listed does not make it less pending.
    listed(t, &[&[VM.raw()]]);
    t.refused(&destroy(VM), Status::Denied);
    pending(t, VM, 0, 1);
    t.succeeds(&unbind(ECHO, VM, 1));
    t.succeeds(&destroy(VM));
    t.refused(&get(VM, 0, FROM_PARTITIONS), Status::InvalidParameters);
}

fn notify_set_refused(t: &Test) {
    if !there(t) {
        return;
    }
    let set = |sender, receiver, flags, bitmap| Call::NotificationSet { sender, receiver, flags, bitmap };
    for (sender, receiver, flags, bitmap) in [
        (SELF, ECHO, 0, 0),
        (SELF, ECHO, DELAY, 1),
        (SELF, ECHO, 3 << 16, 1),
        (ECHO, IRQ, 0, 1),
        (ECHO, SELF, 0, 1),
        (EndpointId::SPMC, ECHO, 0, 1),
        (SELF, SELF, 0, 1),
        (SELF, VM, 0, 1),
        (SELF, NOBODY, 0, 1),
        (SELF, EndpointId::SPMC, 0, 1),
    ] {
        t.refused(&set(sender, receiver, flags, bitmap), Status::InvalidParameters);
    }
    let w1 = u64::from(ids(SELF, ECHO));
    for bit in 2..16 {
        t.refused_raw(&registers(f::NOTIFICATION_SET, [w1, 1 << bit, 1]), Status::InvalidParameters);
    }
    t.refused(&set(SELF, ECHO, 0, 1), Status::Denied);
    t.refused(&set(VM, RELAY, 0, u64::MAX), Status::Denied);
    t.refused(&INFO, Status::NoData);
}

fn notify_get_refused(t: &Test) {
    if !there(t) {
        return;
    }
    t.refused(&get(SELF, 0, FROM_PARTITIONS), Status::InvalidParameters);
    t.succeeds(&create(SELF, 8));
    for (receiver, vcpu, flags) in [
        (ECHO, 0, 1),
        (VM, 0, 1),
        (NOBODY, 0, 1),
        (SELF, 8, 1),
        (SELF, 0xffff, 1),
        (SELF, 0, 2),
        (SELF, 0, 8),
    ] {
        t.refused(&get(receiver, vcpu, flags), Status::InvalidParameters);
    }
    for bit in 4..32 {
        t.refused_raw(&registers(f::NOTIFICATION_GET, [0, 1 | 1 << bit]), Status::InvalidParameters);
    }
    pending(t, SELF, 0, 0);
    t.succeeds(&destroy(SELF));
}

fn notify_info_get_nothing(t: &Test) {
    if !there(t) {
        return;
    }
    for width in [Width::Bits32, Width::Bits64] {
        t.refused(&Call::NotificationInfoGet { width }, Status::NoData);
    }
    t.lets_fail(ECHO, [f::NOTIFICATION_INFO_GET_32, 0, 0, 0], Status::NotSupported);
}

/// The normal world signals to a partition that has bound it.
fn notify_partition(t: &Test) {
    if !there(t) {
        return;
    }
    t.check(
        t.properties(ECHO).contains(PartitionProperties::NOTIFICATIONS),
        format_args!("echo takes no notifications"),
    );
    let call = [f::NOTIFICATION_BIND, ids(SELF, ECHO), 0, 0x10];
    let set = |flags, bitmap| Call::NotificationSet { sender: SELF, receiver: ECHO, flags, bitmap };
    t.lets_succeed(ECHO, call);
    t.lets_fail(ECHO, call, Status::Denied);
    t.lets_fail(ECHO, [f::NOTIFICATION_BIND, ids(ECHO, ECHO), 0, 1], Status::InvalidParameters);
    t.lets_fail(ECHO, [f::NOTIFICATION_BIND, ids(SELF, IRQ), 0, 1], Status::InvalidParameters);
    t.refused(&set(0, 0x11), Status::Denied);
    t.succeeds(&set(0, 0x10));
    t.lets_fail(ECHO, [f::NOTIFICATION_UNBIND, ids(SELF, ECHO), 0, 0x10], Status::Denied);
    // Bit 1: from VMs, of which the hypervisor is one.
    t.lets_succeed(ECHO, [f::NOTIFICATION_GET, ids(EndpointId::new(0), ECHO), 2, 0]);
    t.lets_succeed(ECHO, [f::NOTIFICATION_UNBIND, ids(SELF, ECHO), 0, 0x10]);
    t.refused(&set(0, 0x10), Status::Denied);
    // Whether the list named it depends on whether the partition ran first. Now nothing is left.
    _ = t.call(&INFO);
    t.refused(&INFO, Status::NoData);
}

/// Each CPU's execution context signals its own bit; none is lost.
fn notify_from_eight_cpus(t: &Test) {
    if !there(t) {
        return;
    }
    t.succeeds(&create(SELF, 8));
    t.succeeds(&bind(ECHO, SELF, 0, 0xff_ffff));
    for _ in 0..10 {
        cpus::on_all(|cpu| {
            for round in 0..3 {
                signal(t, ECHO, SELF, 0, 1 << (cpu * 3 + round));
            }
        });
        pending(t, SELF, 0, 0xff_ffff);
    }
    _ = t.call(&INFO);
    t.refused(&INFO, Status::NoData);
    t.succeeds(&unbind(ECHO, SELF, 0xff_ffff));
    t.succeeds(&destroy(SELF));
}

/// The interrupt comes to the CPU on which the partition has signalled, at once and delayed, and to no other.
fn notify_interrupts_the_cpu(t: &Test) {
    if !there(t) {
        return;
    }
    t.succeeds(&create(SELF, 8));
    t.succeeds(&bind(ECHO, SELF, PER_VCPU, 2));
    for cpu in 0..cpus::COUNT {
        for flags in [0, DELAY] {
            let counts = || -> [u32; cpus::COUNT] {
                core::array::from_fn(|cpu| interrupts::count(cpu, SCHEDULE_RECEIVER))
            };
            let before = counts();
            cpus::on(cpu, || signal(t, ECHO, SELF, PER_VCPU | flags | (cpu as u32) << 16, 2));
            let after = counts();
            for other in 0..cpus::COUNT {
                let expected = u64::from(other == cpu);
                t.equal("interrupts", (after[other] - before[other]).into(), expected);
            }
            // Each names its own execution context.
            listed(t, &[&[0, cpu as u16]]);
            pending(t, SELF, cpu as u16, 2);
        }
    }
    t.refused(&INFO, Status::NoData);
    t.succeeds(&unbind(ECHO, SELF, 2));
    t.succeeds(&destroy(SELF));
}
