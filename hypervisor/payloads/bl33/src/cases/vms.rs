//! Messages of the hypervisor about virtual machines, to the partition whose manifest wants them: "relay".

use tantalum_ffa::{Call, DirectMessage, FrameworkMessage, PartitionProperties, Status, Version, Width};
use tantalum_types::{CallRegisters, EndpointId};

use crate::endpoint::{ECHO, IRQ, NOBODY, RELAY, SELF, command, request};
use crate::machine::cpus;
use crate::machine::interrupts;
use crate::test::{Case, Test, cases};

pub(crate) const CASES: &[Case] = cases![
    vms_subscription,
    vms_come_and_go,
    vms_answers,
    vms_refused,
    vms_run_out,
    vms_busy_and_interrupted,
];

const CREATED: FrameworkMessage = FrameworkMessage::VmCreated;
const DESTROYED: FrameworkMessage = FrameworkMessage::VmDestroyed;

/// Builds a message about a VM, with a memory handle.
fn message(framework: FrameworkMessage, vm: u16) -> DirectMessage {
    let framework = Some(framework);
    let payload = [0x1234_5678, 0x9abc_def0, vm.into(), 0, 0];
    DirectMessage { width: Width::Bits32, framework, ..request(RELAY, payload) }
}

/// Asserts that an answer is the partition's to a message, with a status.
#[track_caller]
fn is_answer(t: &Test, answer: &CallRegisters, message: &DirectMessage, status: u32) {
    let response = if message.framework == Some(CREATED) {
        FrameworkMessage::VmCreatedResponse
    } else {
        FrameworkMessage::VmDestroyedResponse
    };
    let expected = Call::DirectResponse(message.framework_answer(response, [status.into(), 0, 0, 0, 0]));
    t.check(
        Call::decode(answer) == Ok(expected),
        format_args!("expected {expected:x?}, got {}", crate::test::Answer(answer)),
    );
    t.nothing_behind(answer, 8);
}

#[track_caller]
fn told(t: &Test, framework: FrameworkMessage, vm: u16, status: u32) {
    let message = message(framework, vm);
    is_answer(t, &t.call(&Call::DirectRequest(message)), &message, status);
}

#[track_caller]
fn refused(t: &Test, framework: FrameworkMessage, vm: u16, status: Status) {
    t.refused(&Call::DirectRequest(message(framework, vm)), status);
}

/// Lets the partition answer with a status from now on, and returns how many messages it has seen: of creations, of
/// destructions, the last VM, the last handle.
#[track_caller]
fn answers_with(t: &Test, status: u32) -> [u64; 4] {
    t.tells(RELAY, command::VMS, [status.into(), 0, 0, 0])
}

/// Who wants such messages says so in its properties, in the versions that know them.
fn vms_subscription(t: &Test) {
    let both = PartitionProperties::VM_CREATED | PartitionProperties::VM_DESTROYED;
    for partition in [ECHO, IRQ, RELAY] {
        let wants = partition == RELAY && t.version() >= Version::V1_1;
        let properties = t.properties(partition);
        let expected = if wants { both } else { PartitionProperties::empty() };
        t.check(properties & both == expected, format_args!("{partition}: {properties:?}"));
    }
}

/// A VM is created once and destroyed once, then the next may have its id.
fn vms_come_and_go(t: &Test) {
    let before = answers_with(t, 0);
    for round in 0..2 {
        for vm in [1, 0x7fff] {
            refused(t, DESTROYED, vm, Status::InvalidParameters);
            told(t, CREATED, vm, 0);
            refused(t, CREATED, vm, Status::InvalidParameters);
        }
        // On another CPU it is the same partition.
        cpus::on(5, || refused(t, CREATED, 1, Status::InvalidParameters));
        cpus::on(6, || told(t, DESTROYED, 1, 0));
        refused(t, DESTROYED, 1, Status::InvalidParameters);
        told(t, DESTROYED, 0x7fff, 0);
        // What is refused the partition does not see.
        let after = answers_with(t, 0);
        t.equal("creations that it saw", after[0] - before[0], 2 * (round + 1));
        t.equal("destructions that it saw", after[1] - before[1], 2 * (round + 1));
        t.check(after[2..] == [0x7fff, 0x9abc_def0_1234_5678], format_args!("it saw {after:x?}"));
    }
}

/// What the partition did not take note of has not become known to it.
fn vms_answers(t: &Test) {
    let denied = Status::Denied.to_raw();
    answers_with(t, denied);
    told(t, CREATED, 9, denied);
    refused(t, DESTROYED, 9, Status::InvalidParameters);
    told(t, CREATED, 9, denied);
    answers_with(t, 0);
    told(t, CREATED, 9, 0);
    answers_with(t, denied);
    told(t, DESTROYED, 9, denied);
    refused(t, CREATED, 9, Status::InvalidParameters);
    answers_with(t, 0);
    told(t, DESTROYED, 9, 0);
    refused(t, DESTROYED, 9, Status::InvalidParameters);
}

/// About no VM, from no hypervisor, to nobody who wants to know.
fn vms_refused(t: &Test) {
    for framework in [CREATED, DESTROYED] {
        for vm in [0, ECHO.raw(), EndpointId::SPMC.raw(), 0xffff] {
            refused(t, framework, vm, Status::InvalidParameters);
        }
        let good = message(framework, 7);
        let large = [0, 0, 0x1_0000, 0, 0];
        for bad in [
            DirectMessage { sender: EndpointId::new(5), ..good },
            DirectMessage { sender: ECHO, ..good },
            DirectMessage { receiver: ECHO, ..good },
            DirectMessage { receiver: IRQ, ..good },
            DirectMessage { receiver: NOBODY, ..good },
            DirectMessage { receiver: EndpointId::SPMC, ..good },
            DirectMessage { receiver: SELF, ..good },
            DirectMessage { payload: large, ..good },
        ] {
            t.refused(&Call::DirectRequest(bad), Status::InvalidParameters);
        }
    }
    for framework in [FrameworkMessage::VmCreatedResponse, FrameworkMessage::VmDestroyedResponse] {
        t.refused(&Call::DirectRequest(message(framework, 7)), Status::InvalidParameters);
        t.refused(&Call::DirectResponse(message(framework, 7)), Status::NotSupported);
    }
    refused(t, DESTROYED, 7, Status::InvalidParameters);
}

/// The SPMC follows some VMs for each partition; one too many is NO_MEMORY, and there is room again afterwards.
fn vms_run_out(t: &Test) {
    answers_with(t, 0);
    let mut count = 0;
    while count < 100 {
        let message = message(CREATED, 0x300 + count);
        let answer = t.call(&Call::DirectRequest(message));
        if matches!(Call::decode(&answer), Ok(Call::Error { .. })) {
            t.is_error(&answer, Status::NoMemory);
            break;
        }
        is_answer(t, &answer, &message, 0);
        count += 1;
    }
    t.check((4..100).contains(&count), format_args!("{count} VMs are followed"));
    told(t, DESTROYED, 0x301, 0);
    told(t, CREATED, 0x300 + count, 0);
    for vm in (0..=count).filter(|vm| *vm != 1) {
        told(t, DESTROYED, 0x300 + vm, 0);
    }
}

/// A message of the framework waits for nobody, is interrupted as others are, and is not told twice meanwhile.
fn vms_busy_and_interrupted(t: &Test) {
    answers_with(t, 0);
    let interrupted = |call: &Call| {
        let answer = interrupts::masked(|| {
            interrupts::fire_el2_timer(0);
            t.call(call)
        });
        match Call::decode(&answer) {
            Ok(Call::Interrupt { target, .. }) => Some(target),
            _ => {
                t.check(false, format_args!("expected FFA_INTERRUPT, got {}", crate::test::Answer(&answer)));
                None
            }
        }
    };
    // The partition is at work on something else.
    let other = request(RELAY, [1, 2, 3, 4, 5]);
    let Some(target) = interrupted(&Call::DirectRequest(other)) else { return };
    refused(t, CREATED, 3, Status::Busy);
    let payload = t.is_response(&other, &t.call(&Call::Run { target }));
    t.check(payload == other.payload, format_args!("got {payload:x?}"));
    // What was refused has left nothing.
    for framework in [CREATED, DESTROYED] {
        let message = message(framework, 3);
        let Some(target) = interrupted(&Call::DirectRequest(message)) else { return };
        // Also by another execution context, which has nothing to do.
        for again in [CREATED, DESTROYED] {
            refused(t, again, 3, Status::Busy);
            cpus::on(4, || refused(t, again, 3, Status::Busy));
        }
        is_answer(t, &t.call(&Call::Run { target }), &message, 0);
    }
    refused(t, DESTROYED, 3, Status::InvalidParameters);
}
