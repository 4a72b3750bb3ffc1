//! Direct requests.

use core::sync::atomic::{AtomicU64, Ordering};

use tantalum_ffa::{Call, DirectMessage, FrameworkMessage, Status, Uuid, Version, Width, function as f};
use tantalum_types::{CallRegisters, EndpointId};

use crate::endpoint::{ECHO, IRQ, NOBODY, PARTITIONS, RELAY, SELF, command, request};
use crate::machine::cpus;
use crate::test::{Case, Test, cases, registers};

pub(crate) const CASES: &[Case] = cases![
    direct_64_full_payload,
    direct_32_ignores_high_halves,
    direct_keeps_registers,
    direct_identity,
    direct_unknown_receiver,
    direct_to_itself,
    direct_to_the_spmc,
    direct_spoofed_sender,
    direct_vm_sender,
    direct_reserved_flags,
    direct_framework_messages,
    direct_response_refused,
    direct2_by_version,
    direct_state_is_kept_apart,
    direct_chain_of_two,
    direct_chain_of_three,
    direct_chain_in_32_bits,
    direct_eight_cpus,
    direct_uniprocessor_from_eight_cpus,
    direct_uniprocessor_migrates,
    direct_chains_from_eight_cpus,
];

fn direct_64_full_payload(t: &Test) {
    for (id, ..) in PARTITIONS {
        t.echoes(id);
    }
    for bit in 0..64 {
        let payload = [1 << bit, !(1 << bit), 0, u64::MAX, 1 << (63 - bit)];
        let answer = t.ask(&request(ECHO, payload));
        t.check(answer == payload, format_args!("expected {payload:x?}, got {answer:x?}"));
    }
}

fn direct_32_ignores_high_halves(t: &Test) {
    let payload = [0xffff_ffff_8765_4321, 1 << 32, u64::MAX, 0xffff_ffff_0000_0000, 0x1_0000_0001];
    let message = DirectMessage { width: Width::Bits32, ..request(ECHO, payload) };
    let mut registers = Call::DirectRequest(message).encode();
    registers.0[3..8].copy_from_slice(&payload);
    // Those of w0 to w2 are none of the call's either.
    registers.0[1] |= 0x5555_5555 << 32;
    registers.0[2] |= 0x5555_5555 << 32;
    let answer = t.raw(&registers);
    let got = t.is_response(&message, &answer);
    let expected = payload.map(|word| word & 0xffff_ffff);
    t.check(got == expected, format_args!("expected {expected:x?}, got {got:x?}"));
}

/// What the answer does not use of x8 to x17 is as it was or zero. What is behind x17 every call checks.
fn direct_keeps_registers(t: &Test) {
    let message = request(ECHO, [1, 2, 3, 4, 5]);
    let mut call = Call::DirectRequest(message).encode();
    for (number, register) in call.0.iter_mut().enumerate().skip(8) {
        *register = 0xc0de_0000_0000_0000 | number as u64;
    }
    let answer = t.raw(&call);
    for number in 8..18 {
        let (before, after) = (call.0[number], answer.0[number]);
        t.check(after == before || after == 0, format_args!("x{number} was {before:#x} and is {after:#x}"));
    }
    t.check(answer.0[3..8] == [1, 2, 3, 4, 5], format_args!("the payload is {:x?}", &answer.0[3..8]));
}

fn direct_identity(t: &Test) {
    cpus::on_all(|cpu| {
        let [result, own, spmc, version, mpidr] = t.ask(&request(ECHO, [command::IDENTITY, 0, 0, 0, 0]));
        t.equal("result", result, 0);
        t.equal("its id", own, ECHO.raw().into());
        t.equal("the SPMC's id", spmc, EndpointId::SPMC.raw().into());
        t.equal("the SPMC's version", version, Version::V1_2.to_raw().into());
        // A multi-processor partition runs on the execution context of the CPU that asks.
        t.equal("its affinity", mpidr & 0xff, cpu as u64);
    });
}

/// Asserts that a request is refused and that the receiver still answers.
#[track_caller]
fn refused(t: &Test, message: &DirectMessage, status: Status) {
    for width in [Width::Bits32, Width::Bits64] {
        t.refused(&Call::DirectRequest(DirectMessage { width, ..*message }), status);
    }
}

fn direct_unknown_receiver(t: &Test) {
    for receiver in [NOBODY, EndpointId::new(0x8004), EndpointId::new(0x8009), EndpointId::new(0xfffe)] {
        refused(t, &request(receiver, [0; 5]), Status::InvalidParameters);
    }
    // Ids of VMs, of which there are none that could receive.
    for receiver in [EndpointId::new(1), EndpointId::new(0x7fff)] {
        refused(t, &request(receiver, [0; 5]), Status::InvalidParameters);
    }
}

fn direct_to_itself(t: &Test) {
    refused(t, &request(SELF, [0; 5]), Status::InvalidParameters);
}

fn direct_to_the_spmc(t: &Test) {
    refused(t, &request(EndpointId::SPMC, [0; 5]), Status::InvalidParameters);
}

/// The normal world speaks for no secure endpoint, least of all for the SPMD.
fn direct_spoofed_sender(t: &Test) {
    for sender in [ECHO, IRQ, RELAY, NOBODY, EndpointId::SPMC, EndpointId::SPMD] {
        refused(t, &DirectMessage { sender, ..request(ECHO, [0; 5]) }, Status::InvalidParameters);
    }
    t.echoes(ECHO);
}

/// A hypervisor speaks for its VMs: the answer goes to who asked.
fn direct_vm_sender(t: &Test) {
    for vm in [1, 5, 0x7ffe, 0x7fff] {
        for width in [Width::Bits32, Width::Bits64] {
            let sender = EndpointId::new(vm);
            let message = DirectMessage { width, sender, ..request(ECHO, [1, 2, 3, 4, vm.into()]) };
            let answer = t.call(&Call::DirectRequest(message));
            // Among other things, that its receiver is the VM.
            let payload = t.is_response(&message, &answer);
            t.check(payload == message.payload, format_args!("the payload is {payload:x?}"));
            refused(t, &DirectMessage { receiver: sender, ..message }, Status::InvalidParameters);
        }
    }
}

/// w2 is zero in what partitions say to each other.
fn direct_reserved_flags(t: &Test) {
    for function in [f::DIRECT_REQ_32, f::DIRECT_REQ_64] {
        for bit in 0..31 {
            let call = registers(function, [ECHO.raw().into(), 1 << bit]);
            t.refused_raw(&call, Status::InvalidParameters);
        }
        for unknown in [0x8000_0003, 0x8000_000a, 0x8000_00ff, 0xffff_ffff] {
            t.refused_raw(&registers(function, [ECHO.raw().into(), unknown]), Status::InvalidParameters);
        }
    }
    t.echoes(ECHO);
}

/// Messages of the framework are not the normal world's to make up, but for those about VMs: see `vms`.
fn direct_framework_messages(t: &Test) {
    for framework in FrameworkMessage::ALL {
        for receiver in [ECHO, IRQ, NOBODY, EndpointId::SPMC] {
            let message = DirectMessage { framework: Some(framework), ..request(receiver, [0; 5]) };
            refused(t, &message, Status::InvalidParameters);
        }
    }
    t.echoes(ECHO);
}

/// Nobody asked the normal world.
fn direct_response_refused(t: &Test) {
    for width in [Width::Bits32, Width::Bits64] {
        let message = DirectMessage { width, ..request(ECHO, [0; 5]) };
        t.refused(&Call::DirectResponse(message), Status::NotSupported);
    }
    let call = Call::DirectResponse2 { sender: SELF, receiver: ECHO, payload: [0; 14] };
    t.refused(&call, Status::NotSupported);
}

/// Requests to services are there since 1.2.
fn direct2_by_version(t: &Test) {
    if t.version() >= Version::V1_2 {
        return direct_chain_of_two(t);
    }
    let (id, _, uuid) = PARTITIONS[0];
    for uuid in [uuid, Uuid::nil()] {
        let call = Call::DirectRequest2 { sender: SELF, receiver: id, uuid, payload: [0; 14] };
        t.refused(&call, Status::NotSupported);
    }
    t.refused(&Call::Features { id: f::DIRECT_REQ2, input: 0 }, Status::NotSupported);
}

/// A value that one partition keeps does not reach the others.
fn direct_state_is_kept_apart(t: &Test) {
    for round in 1..4 {
        for (id, ..) in PARTITIONS {
            let value = round << 16 | u64::from(id.raw());
            let [result, previous, ..] = t.ask(&request(id, [command::EXCHANGE, value, 0, 0, 0]));
            t.equal("result", result, 0);
            let expected = if round == 1 { previous } else { (round - 1) << 16 | u64::from(id.raw()) };
            t.equal("what it kept", previous, expected);
        }
    }
}

/// Sends a message along `hops` behind `first` and asserts that it was there.
#[track_caller]
fn chain(t: &Test, width: Width, first: EndpointId, hops: &[EndpointId], value: u64) {
    let list = hops.iter().rev().fold(0, |list, hop| list << 16 | u64::from(hop.raw()));
    let list = if width == Width::Bits32 { list & 0xffff_ffff } else { list };
    let message = DirectMessage { width, ..request(first, [command::RELAY, list, value, 0, 0]) };
    let [result, end, back, count, trail] = t.ask(&message);
    let (bits, mask) = if width == Width::Bits32 { (4, 0xf) } else { (16, 0xffff) };
    let expected = core::iter::once(&first)
        .chain(hops)
        .fold(0, |trail, hop| trail << bits | u64::from(hop.raw()) & mask);
    let got = [result, end, back, count, trail];
    let expected = [0, 0, value + 1, hops.len() as u64, expected];
    t.check(got == expected, format_args!("{first} to {hops:?}: expected {expected:x?}, got {got:x?}"));
}

fn direct_chain_of_two(t: &Test) {
    chain(t, Width::Bits64, RELAY, &[ECHO], 7);
    chain(t, Width::Bits64, RELAY, &[IRQ], 8);
}

fn direct_chain_of_three(t: &Test) {
    chain(t, Width::Bits64, RELAY, &[IRQ, ECHO], 1 << 40);
}

fn direct_chain_in_32_bits(t: &Test) {
    chain(t, Width::Bits32, RELAY, &[IRQ, ECHO], 9);
}

const ROUNDS: u64 = 200;

fn direct_eight_cpus(t: &Test) {
    let sum = AtomicU64::new(0);
    cpus::on_all(|cpu| {
        for round in 0..ROUNDS {
            let payload = [cpu as u64, round, !round, 1 << 63 | round, 0];
            let answer = t.ask(&request(ECHO, payload));
            t.check(answer == payload, format_args!("CPU {cpu}: expected {payload:x?}, got {answer:x?}"));
            sum.fetch_add(answer[1], Ordering::AcqRel);
        }
    });
    t.equal("sum of the rounds", sum.into_inner(), 8 * (0..ROUNDS).sum::<u64>());
}

/// One execution context serves one at a time; the others are told that it is busy, and nobody waits.
fn direct_uniprocessor_from_eight_cpus(t: &Test) {
    let served = AtomicU64::new(0);
    cpus::on_all(|cpu| {
        for round in 0..ROUNDS {
            let message = request(IRQ, [cpu as u64, round, 3, 4, 5]);
            let answer = t.call(&Call::DirectRequest(message));
            match Call::decode(&answer) {
                Ok(Call::Error { .. }) => t.is_error(&answer, Status::Busy),
                _ => {
                    let payload = t.is_response(&message, &answer);
                    t.check(payload == message.payload, format_args!("CPU {cpu}: got {payload:x?}"));
                    served.fetch_add(1, Ordering::AcqRel);
                }
            }
        }
    });
    t.check(served.into_inner() >= ROUNDS, format_args!("fewer were served than one CPU has sent"));
    t.echoes(IRQ);
}

/// A uniprocessor partition runs on whichever CPU asks, and keeps its state on the way.
fn direct_uniprocessor_migrates(t: &Test) {
    let mut last = None;
    for cpu in [3, 7, 0, 5, 1, 6, 2, 4] {
        cpus::on(cpu, || t.echoes(IRQ));
        let previous = AtomicU64::new(0);
        cpus::on(cpu, || {
            let [_, kept, ..] = t.ask(&request(IRQ, [command::EXCHANGE, cpu as u64, 0, 0, 0]));
            previous.store(kept, Ordering::Release);
        });
        if let Some(last) = last {
            t.equal("what it kept", previous.into_inner(), last);
        }
        last = Some(cpu as u64);
    }
}

fn direct_chains_from_eight_cpus(t: &Test) {
    cpus::on_all(|cpu| {
        for round in 0..ROUNDS / 4 {
            chain(t, Width::Bits64, RELAY, &[ECHO], (cpu as u64) << 32 | round);
        }
    });
    let _: CallRegisters = t.call(&Call::IdGet);
}
