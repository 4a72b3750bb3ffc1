//! What the two worlds may not see or lose of each other: registers while interrupts of either come, Secure interrupts
//! while nothing Secure runs, partitions that fail, CPUs that go off.

use tantalum_ffa::{Call, Status, Target};

use crate::endpoint::{ECHO, FIRST_MARK, IRQ, PARTITIONS, RELAY, TIMER_INTERRUPT, command, request, result};
use crate::machine::cpus;
use crate::machine::interrupts;
use crate::machine::keys;
use crate::test::{Answer, Case, Test, cases};
use tantalum_payload::call::wait;
use tantalum_payload::console::ticks_per_second;
use tantalum_types::EndpointId;

pub(crate) const CASES: &[Case] = cases![
    registers_of_both_worlds,
    secure_interrupts_in_the_normal_world,
    secure_interrupt_follows_its_owner,
    abort_and_restart,
    abort_in_a_chain,
    abort_on_every_cpu,
    cpu_off_is_told,
    cpu_off_with_a_timer,
    cpu_off_in_the_middle,
    keys_of_both_worlds,
];

/// Returns how many ticks a number of microseconds has.
fn micros(count: u64) -> u64 {
    ticks_per_second() / 1_000_000 * count
}

/// Each side has all its general and vector registers full; interrupts take the CPU from one to the other again and
/// again. Neither finds anything of the other's, or of another CPU's. What the normal world finds every call checks.
fn registers_of_both_worlds(t: &Test) {
    cpus::on_all(|cpu| {
        for partition in [ECHO, RELAY] {
            for round in 0..4 {
                let seed = (cpu << 8 | round << 4) as u64;
                // It holds its registers for longer than the timer lets it alone.
                let message = request(partition, [command::HOLD, micros(400), seed, 0, 0]);
                interrupts::repeat_el2_timer(micros(100));
                let mut answer = t.call(&Call::DirectRequest(message));
                let mut interrupted = 0;
                while let Ok(Call::Interrupt { target, .. }) = Call::decode(&answer) {
                    interrupted += 1;
                    answer = t.call(&Call::Run { target });
                }
                interrupts::stop_el2_timer();
                let [result, changed, ..] = t.is_response(&message, &answer);
                t.check([result, changed] == [0, 0], format_args!("CPU {cpu}: {result}, {changed} changed"));
                t.check(interrupted > 0, format_args!("CPU {cpu}: {partition} was not interrupted"));
            }
        }
    });
}

/// Returns how often a partition's timer has come.
#[track_caller]
fn timers(t: &Test, partition: EndpointId) -> [u64; 4] {
    t.tells(partition, command::COUNTS, [TIMER_INTERRUPT.into(), 0, 0, 0])
}

/// The timer of each execution context fires while its CPU is in the normal world: each fires once, and the normal
/// world's registers are as they were.
fn secure_interrupts_in_the_normal_world(t: &Test) {
    let before = timers(t, ECHO);
    cpus::on_all(|cpu| {
        for _ in 0..3 {
            t.tells(ECHO, command::ARM_TIMER, [micros(50), 0, 0, 0]);
            let changed = wait(micros(500));
            t.check(changed.is_none(), format_args!("CPU {cpu}: it finds {changed:x?}"));
        }
    });
    let after = timers(t, ECHO);
    t.equal("timers that came", after[0] - before[0], 24);
    // They came to somebody who waited, by FFA_INTERRUPT.
    t.equal("timers that came by FFA_INTERRUPT", after[3] - before[3], 24);
    for (id, ..) in PARTITIONS {
        t.echoes(id);
    }
}

/// A uniprocessor partition's timer fires once wherever it was armed, also when the partition runs elsewhere by then.
fn secure_interrupt_follows_its_owner(t: &Test) {
    for (armed_on, asked_on) in [(0, 0), (3, 3), (3, 6), (7, 1)] {
        let before = timers(t, IRQ);
        cpus::on(armed_on, || _ = t.tells(IRQ, command::ARM_TIMER, [micros(300), 0, 0, 0]));
        cpus::on(asked_on, || {
            t.echoes(IRQ);
            let changed = wait(micros(1_000));
            t.check(changed.is_none(), format_args!("CPU {asked_on}: it finds {changed:x?}"));
            let after = timers(t, IRQ);
            t.check(
                after[0] - before[0] == 1,
                format_args!(
                    "armed on CPU {armed_on}, asked on {asked_on}: came {} times",
                    after[0] - before[0]
                ),
            );
        });
    }
}

/// A partition that fails is stopped, its caller is told, and it begins anew as its manifest says.
fn abort_and_restart(t: &Test) {
    for (partition, _, _) in PARTITIONS {
        for way in 0..5 {
            let mark = 0x100 + way;
            t.tells(partition, command::LIFE, [mark, 0, 0, 0]);
            let kept = t.tells(partition, command::LIFE, [mark, 0, 0, 0])[1];
            t.equal("the mark", kept, mark);
            t.refused(
                &Call::DirectRequest(request(partition, [command::FAIL, way, 0, 0, 0])),
                Status::Aborted,
            );
            let fresh = t.tells(partition, command::LIFE, [mark, 0, 0, 0]);
            t.check(fresh[..2] == [1, FIRST_MARK], format_args!("{partition} is not anew: {fresh:x?}"));
        }
    }
    everybody_works(t);
}

/// Who asked the one that fails is told, not who asked before.
fn abort_in_a_chain(t: &Test) {
    for (first, second) in [(RELAY, ECHO), (RELAY, IRQ), (ECHO, IRQ), (IRQ, RELAY)] {
        t.tells(first, command::LIFE, [0x77, 0, 0, 0]);
        let arguments = [second.raw().into(), command::FAIL, 0, 0];
        let [code, ..] = t.tells(first, command::FORWARD, arguments);
        t.equal("what it was told", code, Status::Aborted.to_raw().into());
        t.equal("the mark", t.tells(first, command::LIFE, [0x77, 0, 0, 0])[1], 0x77);
        t.equal("the mark", t.tells(second, command::LIFE, [0x78, 0, 0, 0])[1], FIRST_MARK);
    }
    everybody_works(t);
}

/// One execution context fails while others work: each of them is answered or told ABORTED or BUSY, none hangs.
fn abort_on_every_cpu(t: &Test) {
    for failing in [0, 2, 7] {
        cpus::on_all(|cpu| {
            if cpu == failing {
                let fail = request(ECHO, [command::FAIL, 0, 0, 0, 0]);
                t.refused(&Call::DirectRequest(fail), Status::Aborted);
                return;
            }
            for round in 0..20 {
                let message = request(ECHO, [cpu as u64, round, 3, 4, 5]);
                let answer = t.call(&Call::DirectRequest(message));
                match Call::decode(&answer) {
                    Ok(Call::Error { status: Status::Busy | Status::Aborted, .. }) => {}
                    _ => {
                        let payload = t.is_response(&message, &answer);
                        t.check(payload == message.payload, format_args!("CPU {cpu}: got {payload:x?}"));
                    }
                }
            }
        });
        everybody_works(t);
    }
}

/// Asserts that every partition answers on every CPU, and that chains work.
fn everybody_works(t: &Test) {
    for cpu in 0..cpus::COUNT {
        cpus::on(cpu, || {
            for (id, ..) in PARTITIONS {
                t.echoes(id);
            }
            let hops = u64::from(ECHO.raw()) << 16 | u64::from(IRQ.raw());
            let [result, _, value, count, _] = t.ask(&request(RELAY, [command::RELAY, hops, 41, 0, 0]));
            t.check([result, value, count] == [result::OK, 42, 2], format_args!("CPU {cpu}: no chain"));
        });
    }
}

/// Partitions that want to know learn once that a CPU goes off, and keep what they had.
fn cpu_off_is_told(t: &Test) {
    for cpu in [2, 7] {
        let off = |partition, mark| t.tells(partition, command::LIFE, [mark, 0, 0, 0]);
        let before = [ECHO, IRQ, RELAY].map(|partition| off(partition, 0x99)[2]);
        cpus::turn_off(cpu);
        let after = [ECHO, IRQ, RELAY].map(|partition| {
            let [_, mark, off, _] = off(partition, 0x99);
            t.equal("the mark", mark, 0x99);
            off
        });
        let told = [0, 1, 2].map(|index| after[index] - before[index]);
        t.check(told == [1, 0, 1], format_args!("they were told {told:?} times of CPU {cpu}"));
        t.check(cpus::turn_on(cpu).is_ok(), format_args!("CPU {cpu} does not come back"));
    }
    everybody_works(t);
}

/// A timer of a uniprocessor partition comes although the CPU on which it was armed has gone off. An execution context
/// that only that CPU runs begins anew with it, and a new one has armed no timer.
fn cpu_off_with_a_timer(t: &Test) {
    let before = (timers(t, IRQ)[0], timers(t, ECHO)[0]);
    cpus::on(3, || {
        t.tells(ECHO, command::ARM_TIMER, [micros(2_000), 0, 0, 0]);
        t.tells(IRQ, command::ARM_TIMER, [micros(2_000), 0, 0, 0]);
    });
    cpus::turn_off(3);
    _ = wait(micros(4_000));
    t.echoes(IRQ);
    t.equal("timers of the uniprocessor partition", timers(t, IRQ)[0] - before.0, 1);
    t.check(cpus::turn_on(3).is_ok(), format_args!("CPU 3 does not come back"));
    cpus::on(3, || t.echoes(ECHO));
    t.equal("timers of the multi-processor partition", timers(t, ECHO)[0] - before.1, 0);
    everybody_works(t);
}

/// Who was interrupted when its CPU went off goes on when it is back.
fn cpu_off_in_the_middle(t: &Test) {
    let payload = [3, 1, 4, 1, 5];
    let message = request(ECHO, payload);
    cpus::on(3, || {
        let answer = interrupts::masked(|| {
            interrupts::fire_el2_timer(0);
            t.call(&Call::DirectRequest(message))
        });
        let interrupted = matches!(Call::decode(&answer), Ok(Call::Interrupt { .. }));
        t.check(interrupted, format_args!("expected FFA_INTERRUPT, got {}", Answer(&answer)));
    });
    cpus::turn_off(3);
    t.echoes(ECHO);
    t.check(cpus::turn_on(3).is_ok(), format_args!("CPU 3 does not come back"));
    cpus::on(3, || {
        t.refused(&Call::DirectRequest(message), Status::Busy);
        let target = Target { endpoint: ECHO, vcpu: 3 };
        let got = t.is_response(&message, &t.call(&Call::Run { target }));
        t.check(got == payload, format_args!("got {got:x?}"));
    });
    everybody_works(t);
}

/// Returns the keys of pointer authentication that `seed` makes, as the partitions make them too.
fn keys_of(seed: u64) -> [u64; 10] {
    core::array::from_fn(|index| (seed << 8 | index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// Lets a partition set its keys by `seed`. It must have found all those that `before` makes, if it has set any before,
/// and none that `other` makes, whoever that is.
fn change_keys(t: &Test, partition: EndpointId, seed: u64, before: Option<u64>, other: u64) {
    let [own, others, first, _] =
        t.tells(partition, command::KEYS, [seed, before.unwrap_or_default(), other, 0]);
    t.check(
        others == 0 && before.is_none_or(|_| own == 10),
        format_args!("{partition}: {own} of its own keys, {others} of others', the first {first:#x}"),
    );
}

/// Everybody has keys of pointer authentication of his own, the normal world on each CPU and each execution context of
/// a partition, and keeps them whoever has run in between.
///
/// The SPMC switches them between execution contexts only; the worlds are kept apart by EL3, if TF-A is built with
/// CTX_INCLUDE_PAUTH_REGS=1.
fn keys_of_both_worlds(t: &Test) {
    if !keys::offered() {
        return t.check(false, format_args!("the CPU has no pointer authentication"));
    }
    let seed = |who: u64, cpu: usize, round: u64| who << 16 | (cpu as u64) << 8 | round;
    let kept = |cpu, round, after: &str| {
        t.check(
            keys::read() == keys_of(seed(1, cpu, round)),
            format_args!("CPU {cpu}: after {after} the normal world has {:x?}", keys::read()),
        );
    };
    cpus::on_all(|cpu| {
        let found = keys::read();
        for round in 0..4_u64 {
            let normal = seed(1, cpu, round);
            keys::write(keys_of(normal));
            for (who, partition, other) in [(2, ECHO, normal), (3, RELAY, seed(2, cpu, round))] {
                let before = round.checked_sub(1).map(|round| seed(who, cpu, round));
                change_keys(t, partition, seed(who, cpu, round), before, other);
                kept(cpu, round, "a partition has changed its own");
            }
            // From one to the other and back.
            t.tells(RELAY, command::RELAY, [ECHO.raw().into(), 0, 0, 0]);
            kept(cpu, round, "a chain");
        }
        keys::write(found);
    });
    // One with a single execution context takes them along.
    let mut before = None;
    for cpu in [3, 7, 0, 5, 5, 1] {
        let next = seed(4, cpu, 0);
        cpus::on(cpu, || change_keys(t, IRQ, next, before, seed(2, cpu, 3)));
        before = Some(next);
    }
}
