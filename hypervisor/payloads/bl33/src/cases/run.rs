//! FFA_RUN, and interrupts of the normal world that take the CPU from a partition.
//!
//! The timer is made to fire while interrupts are masked here: then it is pending when the partition is entered,
//! and takes the CPU from it at once.

use tantalum_ffa::{Call, DirectMessage, Status, Target};
use tantalum_types::{CallRegisters, EndpointId};

use crate::endpoint::{ECHO, IRQ, NOBODY, PARTITIONS, RELAY, command, request};
use crate::machine::cpus;
use crate::machine::interrupts::{self, TIMER_EL1, TIMER_EL2};
use crate::test::{Answer, Case, Test, cases};
use tantalum_payload::console::ticks_per_second;

pub(crate) const CASES: &[Case] = cases![
    run_unknown_target,
    run_wrong_context,
    run_waiting_partition,
    run_preempted_partition,
    run_uniprocessor_and_timer,
    run_preempted_by_el1_timer,
    run_preempted_again_and_again,
    run_preempted_is_busy,
    run_preempted_elsewhere,
    run_preempted_chain,
    run_preempted_anywhere,
    run_preempted_on_eight_cpus,
];

fn run(endpoint: EndpointId, vcpu: u16) -> Call {
    Call::Run { target: Target { endpoint, vcpu } }
}

fn run_unknown_target(t: &Test) {
    for endpoint in [
        NOBODY,
        EndpointId::HYPERVISOR,
        EndpointId::SPMC,
        EndpointId::SPMD,
        EndpointId::new(1),
        EndpointId::new(0x8009),
    ] {
        for vcpu in [0, 1] {
            t.refused(&run(endpoint, vcpu), Status::InvalidParameters);
        }
    }
}

/// An execution context of a multi-processor partition runs on its own CPU only.
fn run_wrong_context(t: &Test) {
    for vcpu in [1, 7, 8, 0xffff] {
        t.refused(&run(ECHO, vcpu), Status::InvalidParameters);
    }
    cpus::on(5, || {
        for vcpu in [0, 4, 6, 8] {
            t.refused(&run(ECHO, vcpu), Status::InvalidParameters);
        }
    });
    for vcpu in [1, 8] {
        t.refused(&run(IRQ, vcpu), Status::InvalidParameters);
    }
    t.echoes(ECHO);
}

/// A waiting partition gets the CPU, has nothing to do and gives it back.
fn run_waiting_partition(t: &Test) {
    for (id, ..) in PARTITIONS {
        let answer = t.call(&run(id, 0));
        t.check(
            matches!(Call::decode(&answer), Ok(Call::MsgWait { .. })),
            format_args!("{id}: expected FFA_MSG_WAIT, got {}", Answer(&answer)),
        );
        t.nothing_behind(&answer, 8);
        t.echoes(id);
    }
}

/// Makes a call while the timer of EL2 is pending, and lets it in afterwards.
#[track_caller]
fn with_timer(t: &Test, call: &Call) -> CallRegisters {
    let cpu = cpus::current();
    let before = interrupts::count(cpu, TIMER_EL2);
    let answer = interrupts::masked(|| {
        interrupts::fire_el2_timer(0);
        t.call(call)
    });
    t.equal("interrupts of the timer", (interrupts::count(cpu, TIMER_EL2) - before).into(), 1);
    answer
}

/// Asserts that an answer says that `id` on this CPU was interrupted.
#[track_caller]
fn is_interrupted(t: &Test, answer: &CallRegisters, endpoint: EndpointId) -> Target {
    let vcpu = if endpoint == IRQ { 0 } else { cpus::current() as u16 };
    let expected = Target { endpoint, vcpu };
    match Call::decode(answer) {
        Ok(Call::Interrupt { target, intid }) => {
            t.check(target == expected, format_args!("expected {expected:?}, got {target:?}"));
            t.equal("interrupt number, which is not told", intid.into(), 0);
            t.nothing_behind(answer, 3);
        }
        _ => t.check(false, format_args!("expected FFA_INTERRUPT, got {}", Answer(answer))),
    }
    expected
}

const PAYLOAD: [u64; 5] = [11, 22, 33, 44, u64::MAX];

/// Interrupts a request to `id`, and returns the request.
#[track_caller]
fn interrupted(t: &Test, id: EndpointId) -> (DirectMessage, Target) {
    let message = request(id, PAYLOAD);
    let answer = with_timer(t, &Call::DirectRequest(message));
    let target = is_interrupted(t, &answer, id);
    (message, target)
}

/// Resumes until the answer is there.
#[track_caller]
fn resume(t: &Test, message: &DirectMessage, target: Target) -> [u64; 5] {
    let answer = t.call(&Call::Run { target });
    t.is_response(message, &answer)
}

fn run_preempted_partition(t: &Test) {
    for id in [ECHO, RELAY] {
        let (message, target) = interrupted(t, id);
        let payload = resume(t, &message, target);
        t.check(payload == PAYLOAD, format_args!("{id}: got {payload:x?}"));
    }
}

/// A partition that wants a managed exit is told to hurry, by FIQ, and answers; the normal world gets the answer and
/// then its interrupt. One that answers before it lets the FIQ in has done what it asks for, so it never comes. Nobody
/// who does not want a managed exit is told.
fn run_uniprocessor_and_timer(t: &Test) {
    let exits = |partition| t.tells(partition, command::EXITS, [0; 4]);
    for cpu in [0, 4, 7] {
        cpus::on(cpu, || {
            let before = exits(IRQ);
            let message = request(IRQ, PAYLOAD);
            let answer = with_timer(t, &Call::DirectRequest(message));
            let payload = t.is_response(&message, &answer);
            t.check(payload == PAYLOAD, format_args!("got {payload:x?}"));
            t.check(exits(IRQ) == before, format_args!("a managed exit came after the answer"));

            // While it is at work with interrupts let in, the exit comes as FIQ and ends the work at once.
            let message = request(IRQ, [command::HOLD, ticks_per_second(), 7, 0, 0]);
            let answer = with_timer(t, &Call::DirectRequest(message));
            let [result, changed, _, held, _] = t.is_response(&message, &answer);
            t.check([result, changed, held] == [0, 0, 1], format_args!("held {result} {changed} {held}"));
            let after = exits(IRQ);
            t.equal("managed exits by FIQ", after[2] - before[2], 1);
            t.equal("managed exits by IRQ", after[1] - before[1], 0);

            let (message, target) = interrupted(t, ECHO);
            let payload = resume(t, &message, target);
            t.check(payload == PAYLOAD, format_args!("got {payload:x?}"));
        });
    }
    t.check(exits(ECHO) == [0; 4], format_args!("echo was asked for managed exits"));
}

fn run_preempted_by_el1_timer(t: &Test) {
    let before = interrupts::count(0, TIMER_EL1);
    let message = request(ECHO, PAYLOAD);
    let answer = interrupts::masked(|| {
        interrupts::fire_el1_timer(0);
        t.call(&Call::DirectRequest(message))
    });
    let target = is_interrupted(t, &answer, ECHO);
    t.equal("interrupts of the timer", (interrupts::count(0, TIMER_EL1) - before).into(), 1);
    let payload = resume(t, &message, target);
    t.check(payload == PAYLOAD, format_args!("got {payload:x?}"));
}

/// As long as the interrupt is there, FFA_RUN comes back with it.
fn run_preempted_again_and_again(t: &Test) {
    let (message, target) = interrupted(t, ECHO);
    for _ in 0..20 {
        let answer = with_timer(t, &Call::Run { target });
        is_interrupted(t, &answer, ECHO);
    }
    let payload = resume(t, &message, target);
    t.check(payload == PAYLOAD, format_args!("got {payload:x?}"));
}

fn run_preempted_is_busy(t: &Test) {
    let (message, target) = interrupted(t, ECHO);
    t.refused(&Call::DirectRequest(message), Status::Busy);
    t.refused(&Call::DirectRequest(request(ECHO, [command::EXCHANGE, 0, 0, 0, 0])), Status::Busy);
    // Others are not concerned, and a chain that wants it learns so.
    t.echoes(IRQ);
    let busy = t.ask(&request(RELAY, [command::RELAY, ECHO.raw().into(), 0, 0, 0]));
    t.check(busy[..2] == [2, Status::Busy.to_raw().into()], format_args!("relay said {busy:x?}"));
    let payload = resume(t, &message, target);
    t.check(payload == PAYLOAD, format_args!("got {payload:x?}"));
    // The request is answered, so there is nothing to go on with but the wait for the next.
    t.echoes(ECHO);
}

/// The CPUs of a multi-processor partition are independent of each other.
fn run_preempted_elsewhere(t: &Test) {
    let (message, target) = interrupted(t, ECHO);
    cpus::on(1, || {
        t.refused(&Call::Run { target }, Status::InvalidParameters);
        t.echoes(ECHO);
    });
    let payload = resume(t, &message, target);
    t.check(payload == PAYLOAD, format_args!("got {payload:x?}"));
}

/// Sends a request along a chain with the timer set to `delay`, and resumes until the answer is there. Returns how
/// often it was interrupted.
#[track_caller]
fn chain_with_timer(t: &Test, delay: u64) -> u64 {
    let hops = u64::from(ECHO.raw()) << 16 | u64::from(IRQ.raw());
    let message = request(RELAY, [command::RELAY, hops, delay, 0, 0]);
    let mut count = 0;
    let mut answer = interrupts::masked(|| {
        interrupts::fire_el2_timer(delay);
        t.call(&Call::DirectRequest(message))
    });
    while let Ok(Call::Interrupt { target, .. }) = Call::decode(&answer) {
        // The head of the chain is who the normal world knows.
        is_interrupted(t, &answer, RELAY);
        count += 1;
        answer = t.call(&Call::Run { target });
    }
    let [result, _, value, hops, _] = t.is_response(&message, &answer);
    t.check([result, value, hops] == [0, delay + 1, 2], format_args!("got {result:x} {value:x} {hops:x}"));
    count
}

fn run_preempted_chain(t: &Test) {
    t.equal("interrupts", chain_with_timer(t, 0), 1);
    t.check(chain_with_timer(t, 62_500_000) == 0, format_args!("a timer that does not fire interrupts"));
    interrupts::fire_el2_timer(0);
}

/// Wherever in the chain of three the interrupt comes, nothing is lost.
fn run_preempted_anywhere(t: &Test) {
    let interrupted = (0..2000).step_by(10).map(|delay| chain_with_timer(t, delay)).sum::<u64>();
    t.check(interrupted >= 20, format_args!("only {interrupted} of 200 chains were interrupted"));
    interrupts::fire_el2_timer(0);
    for (id, ..) in PARTITIONS {
        t.echoes(id);
    }
}

fn run_preempted_on_eight_cpus(t: &Test) {
    cpus::on_all(|cpu| {
        for round in 0..20 {
            let (message, target) = interrupted(t, ECHO);
            let payload = resume(t, &message, target);
            t.check(payload == PAYLOAD, format_args!("CPU {cpu}, round {round}: got {payload:x?}"));
        }
    });
}
