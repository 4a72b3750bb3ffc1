//! The life of partitions on the simulated machine: stopping in every state, telling who waits, starting again.

// What goes wrong in a helper has to stop the test there.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation
)]

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tantalum_ffa::{Call, DirectMessage, FrameworkMessage, Status, Target, Uuid, Version, Width};
use tantalum_hal::{Event, ForeignInterrupts, InterruptLine, PhysicalMemory, TrapKind};
use tantalum_sim::dtb::Node;
use tantalum_sim::manifests::{self, CPUS, partition_base};
use tantalum_sim::script::{Script, call, echo, serve, trap, wait};
use tantalum_sim::{Context, Sim, SimBuilder};
use tantalum_types::{CpuIndex, EndpointId, Ipa, Pa};

const FIRST: EndpointId = EndpointId::new(0x8001);
const SECOND: EndpointId = EndpointId::new(0x8002);
const THIRD: EndpointId = EndpointId::new(0x8003);
const PAYLOAD: [u64; 5] = [1, 2, 3, 4, 5];

/// Commands to the partitions of these tests, in the first word of a request.
const FAULT: u64 = 0xdead;
const INTERRUPTED: u64 = 0x1111;
const ASK: u64 = 0x2222;

fn request(receiver: EndpointId, payload: [u64; 5]) -> Call {
    request_from(EndpointId::HYPERVISOR, receiver, payload)
}

fn request_from(sender: EndpointId, receiver: EndpointId, payload: [u64; 5]) -> Call {
    Call::DirectRequest(DirectMessage { width: Width::Bits64, sender, receiver, framework: None, payload })
}

fn run(endpoint: EndpointId, vcpu: u16) -> Call {
    Call::Run { target: Target { endpoint, vcpu } }
}

fn payload(answer: Call) -> [u64; 5] {
    match answer {
        Call::DirectResponse(message) => message.payload,
        other => panic!("{other:?} is no direct response"),
    }
}

fn is_interrupt(answer: Call, endpoint: EndpointId, vcpu: u16) -> bool {
    matches!(answer, Call::Interrupt { target, .. } if target == Target { endpoint, vcpu })
}

fn restarts(manifest: &mut Node) {
    manifest.set("abort-action", 2_u32);
}

fn echoes() -> Vec<Script> {
    (0..CPUS).map(|_| echo()).collect()
}

/// Serves as [`servant`], and counts the starts of the whole partition.
fn counted(starts: &Arc<AtomicUsize>) -> Script {
    let starts = starts.clone();
    let mut script = servant();
    Box::new(move |context| {
        if context.start().is_some() {
            starts.fetch_add(1, Ordering::Relaxed);
        }
        script(context)
    })
}

/// Echoes; faults on FAULT; is interrupted by the normal world on INTERRUPTED, and answers when it goes on; sends
/// the rest of the message to the partition in the second word on ASK, and passes on what comes back.
fn servant() -> Script {
    let mut open: Option<DirectMessage> = None;
    Box::new(move |context| {
        if context.start().is_some() {
            open = None;
            return Ok(wait());
        }
        if let Some(asked) = open.take() {
            if asked.payload[0] == ASK {
                let [x0, _, x2, x3, x4, ..] = context.answer().0;
                return Ok(call(Call::DirectResponse(asked.answer([x0, x2, x3, x4, 0]))));
            }
            return Ok(call(Call::DirectResponse(asked.answer(asked.payload))));
        }
        let Some(asked) = context.request() else { return Ok(wait()) };
        let [command, next, a, b, c] = asked.payload;
        match command {
            FAULT => Err(TrapKind::Instruction),
            INTERRUPTED => {
                open = Some(asked);
                Ok(Event::Interrupt(InterruptLine::Foreign))
            }
            ASK => {
                open = Some(asked);
                let next = EndpointId::new(next as u16);
                Ok(call(request_from(asked.receiver, next, [a, b, c, 0, 0])))
            }
            _ => Ok(call(Call::DirectResponse(asked.answer(asked.payload)))),
        }
    })
}

/// Asks the partition `first` to ask `next`, and returns what came back to it: x0 and the status.
fn asked(answer: Call) -> (u64, u32) {
    let [x0, x2, ..] = payload(answer);
    (x0, x2 as u32)
}

const TOLD_ABORTED: (u64, u32) = (0x8400_0060, Status::Aborted.to_raw());

// --- Restart

#[test]
fn one_that_stays_stopped_is_not_started_again() {
    for action in [None, Some(0_u32), Some(1)] {
        let starts = Arc::new(AtomicUsize::new(0));
        let sim = SimBuilder::new()
            .partition_with("one", [counted(&starts)], |manifest| {
                if let Some(action) = action {
                    manifest.set("abort-action", action);
                }
            })
            .boot();
        assert_eq!(payload(sim.ask(0, request(FIRST, PAYLOAD))), PAYLOAD);
        assert_eq!(sim.refusal(0, request(FIRST, [FAULT, 0, 0, 0, 0])), Status::Aborted);
        for cpu in 0..CPUS {
            assert_eq!(sim.refusal(cpu, request(FIRST, PAYLOAD)), Status::Aborted);
            assert_eq!(sim.refusal(cpu, run(FIRST, 0)), Status::Aborted);
        }
        assert_eq!(starts.load(Ordering::Relaxed), 1);
    }
}

#[test]
fn an_action_that_is_not_served_is_refused_by_name() {
    let sim = SimBuilder::new()
        .partition_with("one", [echo()], |manifest| manifest.set("abort-action", 3_u32))
        .partition("two", [echo()])
        .boot();
    assert_eq!(sim.refusal(0, request(FIRST, PAYLOAD)), Status::InvalidParameters);
    assert_eq!(payload(sim.ask(0, request(SECOND, PAYLOAD))), PAYLOAD);
}

#[test]
fn the_caller_is_told_and_the_partition_serves_again() {
    let starts = Arc::new(AtomicUsize::new(0));
    let sim = SimBuilder::new()
        .partition_with("one", [counted(&starts)], restarts)
        .partition("two", [servant()])
        .boot();
    for round in 1..5 {
        assert_eq!(sim.refusal(1, request(FIRST, [FAULT, 0, 0, 0, 0])), Status::Aborted);
        assert_eq!(starts.load(Ordering::Relaxed), round + 1);
        assert_eq!(payload(sim.ask(2, request(FIRST, PAYLOAD))), PAYLOAD);
        assert_eq!(payload(sim.ask(2, request(SECOND, PAYLOAD))), PAYLOAD);
    }
}

#[test]
fn the_chain_is_told_and_goes_on() {
    let sim = SimBuilder::new()
        .partition_with("one", [servant()], restarts)
        .partition("two", [servant()])
        .partition("three", (0..CPUS).map(|_| servant()))
        .boot();
    let to_first = [ASK, FIRST.raw().into(), FAULT, 0, 0];
    assert_eq!(asked(sim.ask(3, request(SECOND, to_first))), TOLD_ABORTED);
    assert_eq!(asked(sim.ask(3, request(THIRD, to_first))), TOLD_ABORTED);
    assert_eq!(payload(sim.ask(3, request(FIRST, PAYLOAD))), PAYLOAD);
    // Three of them: the last one faults, the one in the middle hears of it and says so.
    let [x0, ..] =
        payload(sim.ask(3, request(THIRD, [ASK, SECOND.raw().into(), ASK, FIRST.raw().into(), FAULT])));
    assert_eq!(x0, 0xc400_0070, "the one in the middle answers");
}

#[test]
fn memory_is_as_it_was_when_it_began_first() {
    const SIZE: usize = manifests::PARTITION_SIZE as usize;
    let base = partition_base(1);
    let secret = [0x5a; 4096];
    let script = {
        serve(move |context, request| {
            if request.payload[0] != FAULT {
                return Ok(call(Call::DirectResponse(request.answer(request.payload))));
            }
            // Its boot information, its manifest, its image, its data, its last page.
            for offset in [0, 0x1000, 0x2000, 0x4000, 0x8000, manifests::PARTITION_SIZE - 4096] {
                context.write(Ipa::secure(base + offset), &secret)?;
            }
            Err(TrapKind::SystemError)
        })
    };
    let sim =
        SimBuilder::new().partition("other", [echo()]).partition_with("one", [script], restarts).build();
    sim.start_cpu(0);
    let bytes = |sim: &Sim| {
        let mut bytes = vec![0; SIZE];
        sim.machine().read(Pa::secure(base), &mut bytes).unwrap();
        bytes
    };
    let before = bytes(&sim);
    assert_eq!(before[0x1000..0x1004], [0xd0, 0x0d, 0xfe, 0xed]);
    for _ in 0..3 {
        assert_eq!(sim.refusal(0, request(SECOND, [FAULT, 0, 0, 0, 0])), Status::Aborted);
        assert!(bytes(&sim) == before, "the memory has changed");
        assert_eq!(payload(sim.ask(0, request(SECOND, PAYLOAD))), PAYLOAD);
    }
    // It begins with its caches off.
    let published = sim.machine().published();
    assert_eq!(published.len(), 3);
    assert_eq!((published[0].start(), published[0].size()), (Pa::secure(base), SIZE as u64));
}

#[test]
fn nobody_reaches_the_copy() {
    // The copy is made at the end of the Secure memory, which the first one tries to read.
    let script = serve(|context, request| {
        let top = manifests::SECURE_BASE + manifests::SECURE_SIZE;
        context.read::<1>(Ipa::secure(top - 0x1000 * request.payload[0]))?;
        Ok(call(Call::DirectResponse(request.answer([0; 5]))))
    });
    let sim = SimBuilder::new().partition_with("one", [script], restarts).boot();
    let copy: [u8; 4] =
        sim.machine().bytes(Pa::secure(manifests::SECURE_BASE + manifests::SECURE_SIZE - 0x4000));
    assert_eq!(copy, [0xd0, 0x0d, 0xfe, 0xed], "the manifest is the first page of the copy");
    for page in 1..5 {
        assert_eq!(sim.refusal(0, request(FIRST, [page, 0, 0, 0, 0])), Status::Aborted);
    }
}

#[test]
fn one_for_whose_copy_there_is_no_room_is_left_out() {
    let sim = SimBuilder::new()
        .partition_with("one", [echo()], restarts)
        .partition("two", [echo()])
        .spmc_manifest(|tree| {
            // Secure memory for the SPMC and the two partitions, and nothing more.
            let size = partition_base(2) - manifests::SECURE_BASE;
            let name = format!("memory@{:x}", manifests::SECURE_BASE);
            let memory = tree.at(&name);
            memory.set("reg", [manifests::SECURE_BASE, size]);
            tree.at("attribute").set("binary_size", (partition_base(0) - manifests::SPMC_BASE) as u32);
        })
        .boot();
    assert_eq!(sim.refusal(0, request(FIRST, PAYLOAD)), Status::InvalidParameters);
    assert_eq!(payload(sim.ask(0, request(SECOND, PAYLOAD))), PAYLOAD);
}

#[test]
fn one_that_cannot_initialise_itself_again_stays_stopped() {
    let starts = Arc::new(AtomicUsize::new(0));
    let script = {
        let starts = starts.clone();
        let mut script = servant();
        Box::new(move |context: &mut Context<'_>| {
            if context.start().is_some() && starts.fetch_add(1, Ordering::Relaxed) > 0 {
                return Err(TrapKind::SystemError);
            }
            script(context)
        }) as Script
    };
    let sim =
        SimBuilder::new().partition_with("one", [script], restarts).partition("two", [servant()]).boot();
    let to_first = [ASK, FIRST.raw().into(), FAULT, 0, 0];
    assert_eq!(asked(sim.ask(0, request(SECOND, to_first))), TOLD_ABORTED);
    for cpu in 0..CPUS {
        assert_eq!(sim.refusal(cpu, request(FIRST, PAYLOAD)), Status::Aborted);
    }
    assert_eq!(starts.load(Ordering::Relaxed), 2);
    assert_eq!(payload(sim.ask(0, request(SECOND, PAYLOAD))), PAYLOAD);
}

#[test]
fn one_that_never_initialised_itself_is_given_no_second_chance() {
    let starts = Arc::new(AtomicUsize::new(0));
    let script = {
        let starts = starts.clone();
        Box::new(move |_: &mut Context<'_>| {
            starts.fetch_add(1, Ordering::Relaxed);
            Ok(Event::PartitionCall(tantalum_ffa::answer::error(Status::Aborted)))
        }) as Script
    };
    let sim = SimBuilder::new().partition_with("one", [script], restarts).partition("two", [echo()]).boot();
    assert_eq!(sim.refusal(0, request(FIRST, PAYLOAD)), Status::Aborted);
    assert_eq!(starts.load(Ordering::Relaxed), 1);
    assert_eq!(payload(sim.ask(0, request(SECOND, PAYLOAD))), PAYLOAD);
}

#[test]
fn what_it_agreed_on_is_forgotten() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let script = {
        let told = told.clone();
        let mut step = 0;
        Box::new(move |context: &mut Context<'_>| {
            if context.start().is_some() {
                step = 0;
            } else if step <= 3 {
                let [x0, _, x2, ..] = context.answer().0;
                told.lock().unwrap().push((x0, x2));
            }
            step += 1;
            let base = partition_base(0);
            Ok(match step {
                1 => call(Call::Version { requested: Version::V1_0.to_raw() }),
                2 => call(Call::RxtxMap {
                    width: Width::Bits64,
                    tx: base + 0x8000,
                    rx: base + 0x9000,
                    page_count: 1,
                }),
                // Frozen by now, with 1.0.
                3 => call(Call::Version { requested: Version::V1_1.to_raw() }),
                _ => match context.request() {
                    Some(request) if request.payload[0] == FAULT => trap(TrapKind::Instruction),
                    Some(request) => call(Call::DirectResponse(request.answer(request.payload))),
                    None => wait(),
                },
            })
        }) as Script
    };
    let sim = SimBuilder::new().partition_with("one", [script], restarts).boot();
    let first = told.lock().unwrap().clone();
    assert_eq!(first, [(0x1_0002, 0), (0x8400_0061, 0), (u64::MAX, 0)]);
    for _ in 0..2 {
        told.lock().unwrap().clear();
        assert_eq!(sim.refusal(0, request(FIRST, [FAULT, 0, 0, 0, 0])), Status::Aborted);
        assert_eq!(*told.lock().unwrap(), first, "negotiated and mapped as the first time");
    }
}

// --- Several execution contexts

#[test]
fn the_first_execution_context_of_a_new_life_is_where_it_was_stopped() {
    let log = Arc::new(Mutex::new(Vec::new()));
    let script = |index: usize| {
        let log = log.clone();
        let mut script = servant();
        let mut registering = false;
        Box::new(move |context: &mut Context<'_>| {
            if let Some(start) = context.start() {
                let entry = start.entry_point.raw() - partition_base(0);
                log.lock().unwrap().push((index, entry, start.boot_info != 0));
                registering = entry == manifests::IMAGE_OFFSET;
                if registering {
                    let entry = partition_base(0) + 0x5000;
                    return Ok(call(Call::SecondaryEpRegister { width: Width::Bits64, entry }));
                }
            } else if registering {
                registering = false;
                assert_eq!(context.answer().0[0], 0x8400_0061, "it may say where the others begin");
                return Ok(wait());
            }
            script(context)
        }) as Script
    };
    let sim = SimBuilder::new().partition_with("many", (0..CPUS).map(script), restarts).boot();
    assert_eq!(
        *log.lock().unwrap(),
        [(0, 0x4000, true), (1, 0x5000, false), (2, 0x5000, false), (3, 0x5000, false)]
    );
    log.lock().unwrap().clear();
    assert_eq!(sim.refusal(2, request(FIRST, [FAULT, 0, 0, 0, 0])), Status::Aborted);
    assert_eq!(*log.lock().unwrap(), [(2, 0x4000, true)]);
    // The others begin with the first call for them, and serve it.
    assert_eq!(payload(sim.ask(0, request(FIRST, PAYLOAD))), PAYLOAD);
    assert_eq!(payload(sim.ask(2, request(FIRST, PAYLOAD))), PAYLOAD);
    assert!(matches!(sim.ask(3, run(FIRST, 3)), Call::MsgWait { .. }));
    assert_eq!(*log.lock().unwrap(), [(2, 0x4000, true), (0, 0x5000, false), (3, 0x5000, false)]);
    assert_eq!(payload(sim.ask(3, request(FIRST, PAYLOAD))), PAYLOAD);
    // One that has not begun when its processing element comes up begins then.
    sim.start_cpu(1);
    assert_eq!(log.lock().unwrap().last(), Some(&(1, 0x5000, false)));
}

#[test]
fn an_execution_context_begins_in_the_middle_of_a_chain() {
    let sim = SimBuilder::new()
        .partition_with("many", (0..CPUS).map(|_| servant()), restarts)
        .partition("two", [servant()])
        .boot();
    assert_eq!(sim.refusal(0, request(FIRST, [FAULT, 0, 0, 0, 0])), Status::Aborted);
    let [x0, _, x3, ..] = payload(sim.ask(3, request(SECOND, [ASK, FIRST.raw().into(), 7, 8, 9])));
    assert_eq!((x0, x3), (0xc400_0070, 7));
}

#[test]
fn an_interrupt_in_the_new_beginning_goes_to_the_normal_world() {
    let again = Arc::new(AtomicUsize::new(0));
    let script = |_| {
        let again = again.clone();
        let mut script = servant();
        Box::new(move |context: &mut Context<'_>| {
            if context.start().is_some() && again.load(Ordering::Relaxed) > 0 {
                assert_eq!(context.foreign, ForeignInterrupts::Taken);
                return Ok(Event::Interrupt(InterruptLine::Foreign));
            }
            script(context)
        }) as Script
    };
    let sim = SimBuilder::new()
        .partition_with("many", (0..CPUS).map(script), restarts)
        .partition("two", [servant()])
        .boot();
    again.store(1, Ordering::Relaxed);
    // The partition's new beginning, in a chain: the head is run, and then hears of the end.
    let answer = sim.ask(1, request(SECOND, [ASK, FIRST.raw().into(), FAULT, 0, 0]));
    assert!(is_interrupt(answer, SECOND, 0), "{answer:?}");
    // Nobody serves meanwhile.
    assert_eq!(sim.refusal(0, request(FIRST, PAYLOAD)), Status::Busy);
    assert_eq!(sim.refusal(1, request(FIRST, PAYLOAD)), Status::Busy);
    assert_eq!(asked(sim.ask(1, run(SECOND, 0))), TOLD_ABORTED);
    // Another one's beginning, for a request that is served at last.
    let answer = sim.ask(2, request(FIRST, PAYLOAD));
    assert!(is_interrupt(answer, FIRST, 2), "{answer:?}");
    assert_eq!(payload(sim.ask(2, run(FIRST, 2))), PAYLOAD);
}

#[test]
fn the_partition_begins_anew_when_the_last_one_has_been_told() {
    let starts = Arc::new(AtomicUsize::new(0));
    let sim = SimBuilder::new()
        .partition_with("many", (0..CPUS).map(|_| counted(&starts)), restarts)
        .partition("two", [servant()])
        .boot();
    assert_eq!(starts.load(Ordering::Relaxed), CPUS);
    // One is preempted, one more in a chain; a third faults.
    assert!(is_interrupt(sim.ask(1, request(FIRST, [INTERRUPTED, 0, 0, 0, 0])), FIRST, 1));
    assert!(is_interrupt(
        sim.ask(2, request(SECOND, [ASK, FIRST.raw().into(), INTERRUPTED, 0, 0])),
        SECOND,
        0
    ));
    assert_eq!(sim.refusal(3, request(FIRST, [FAULT, 0, 0, 0, 0])), Status::Aborted);
    assert_eq!(sim.machine().kicks(), [], "nobody runs");
    for cpu in 0..CPUS {
        assert_eq!(sim.refusal(cpu, request(FIRST, PAYLOAD)), Status::Aborted);
    }
    assert_eq!(starts.load(Ordering::Relaxed), CPUS, "somebody has not been told");
    assert_eq!(sim.refusal(1, run(FIRST, 1)), Status::Aborted);
    assert_eq!(starts.load(Ordering::Relaxed), CPUS);
    assert_eq!(asked(sim.ask(2, run(SECOND, 0))), TOLD_ABORTED);
    assert_eq!(starts.load(Ordering::Relaxed), CPUS + 1);
    for cpu in 0..CPUS {
        assert_eq!(payload(sim.ask(cpu, request(FIRST, PAYLOAD))), PAYLOAD);
    }
    assert_eq!(starts.load(Ordering::Relaxed), 2 * CPUS);
}

#[test]
fn who_waits_for_another_is_ended_with_its_answer() {
    let starts = Arc::new(AtomicUsize::new(0));
    let sim = SimBuilder::new()
        .partition_with("many", (0..CPUS).map(|_| counted(&starts)), restarts)
        .partition("two", [servant()])
        .boot();
    // The first one waits for the second, which is preempted; then another of its execution contexts faults.
    let answer = sim.ask(1, request(FIRST, [ASK, SECOND.raw().into(), INTERRUPTED, 0, 0]));
    assert!(is_interrupt(answer, FIRST, 1));
    assert_eq!(sim.refusal(0, request(FIRST, [FAULT, 0, 0, 0, 0])), Status::Aborted);
    assert_eq!(sim.refusal(0, request(SECOND, PAYLOAD)), Status::Busy, "it serves the dying one");
    // The second one goes on, and its answer ends the first.
    assert_eq!(sim.refusal(1, run(FIRST, 1)), Status::Aborted);
    assert_eq!(payload(sim.ask(0, request(SECOND, PAYLOAD))), PAYLOAD);
    // Nobody saw the end who could have started it; the next call does, and is served: who had waited was told.
    assert_eq!(payload(sim.ask(2, request(FIRST, PAYLOAD))), PAYLOAD);
    assert_eq!(payload(sim.ask(1, request(FIRST, PAYLOAD))), PAYLOAD);
}

#[test]
fn who_runs_elsewhere_is_called_and_ends() {
    // On CPU 1 it runs until it is told that another one has faulted, then it takes the call.
    let faulted = Arc::new(AtomicU64::new(0));
    let running = Arc::new(AtomicU64::new(0));
    let script = |index: usize| {
        let (faulted, running) = (faulted.clone(), running.clone());
        serve(move |_, request| {
            if index == 1 && faulted.load(Ordering::Acquire) == 0 {
                running.store(1, Ordering::Release);
                while faulted.load(Ordering::Acquire) == 0 {
                    std::thread::yield_now();
                }
                return Ok(Event::Interrupt(InterruptLine::Secure));
            }
            if request.payload[0] == FAULT {
                return Err(TrapKind::Instruction);
            }
            Ok(call(Call::DirectResponse(request.answer(request.payload))))
        })
    };
    let sim = SimBuilder::new().partition_with("many", (0..CPUS).map(script), restarts).boot();
    std::thread::scope(|scope| {
        let looped = scope.spawn(|| sim.refusal(1, request(FIRST, PAYLOAD)));
        while running.load(Ordering::Acquire) == 0 {
            std::thread::yield_now();
        }
        assert_eq!(sim.refusal(0, request(FIRST, [FAULT, 0, 0, 0, 0])), Status::Aborted);
        assert_eq!(sim.machine().kicks(), [CpuIndex::new(1).unwrap()]);
        assert_eq!(sim.refusal(2, request(FIRST, PAYLOAD)), Status::Aborted, "one still runs");
        faulted.store(1, Ordering::Release);
        assert_eq!(looped.join().unwrap(), Status::Aborted);
    });
    // The call that was meant for it comes to the SPMC later and disturbs nobody.
    assert_eq!(sim.ask(1, Call::Interrupt { target: Target::NONE, intid: 0 }), Call::NormalWorldResume);
    assert_eq!(sim.machine().interrupt_settings(), []);
    for cpu in 0..CPUS {
        assert_eq!(payload(sim.ask(cpu, request(FIRST, PAYLOAD))), PAYLOAD);
    }
}

#[test]
fn a_chain_is_not_run_where_a_part_of_it_does_not_belong() {
    let sim = SimBuilder::new()
        .partition("many", (0..CPUS).map(|_| servant()))
        .partition("two", [servant()])
        .boot();
    let answer = sim.ask(1, request(SECOND, [ASK, FIRST.raw().into(), INTERRUPTED, 0, 0]));
    assert!(is_interrupt(answer, SECOND, 0));
    assert_eq!(sim.refusal(0, run(SECOND, 0)), Status::Denied, "the first one's context is tied to CPU 1");
    let [x0, ..] = payload(sim.ask(1, run(SECOND, 0)));
    assert_eq!(x0, 0xc400_0070);
}

// --- Giving up

#[test]
fn an_error_ends_the_initialisation_and_nothing_else() {
    let give_up = Call::Error { target: Target::NONE, status: Status::Aborted, argument: 0 };
    let script = {
        let mut open: Option<DirectMessage> = None;
        Box::new(move |context: &mut Context<'_>| {
            if let Some(asked) = open.take() {
                let [x0, _, x2, ..] = context.answer().0;
                return Ok(call(Call::DirectResponse(asked.answer([x0, x2, 0, 0, 0]))));
            }
            open = context.request();
            Ok(if open.is_some() { call(give_up) } else { wait() })
        }) as Script
    };
    let other = {
        // Another error than ABORTED means nothing; it then waits after all.
        Box::new(move |context: &mut Context<'_>| {
            if context.start().is_some() {
                return Ok(call(Call::Error { target: Target::NONE, status: Status::Denied, argument: 0 }));
            }
            match context.request() {
                Some(asked) => Ok(call(Call::DirectResponse(asked.answer(asked.payload)))),
                None => {
                    assert_eq!(context.answer().0[2] as u32, Status::NotSupported.to_raw());
                    Ok(wait())
                }
            }
        }) as Script
    };
    let sim = SimBuilder::new().partition("one", [script]).partition("two", [other]).boot();
    let expected = (0x8400_0060, Status::NotSupported.to_raw());
    assert_eq!(asked(sim.ask(0, request(FIRST, PAYLOAD))), expected, "it is no call while it serves");
    assert_eq!(payload(sim.ask(0, request(SECOND, PAYLOAD))), PAYLOAD);
}

// --- Power

fn off(sim: &Sim, cpu: usize) {
    let message = sim.spmd_message(FrameworkMessage::PsciRequest, [0x8400_0002, 0, 0, 0, 0]);
    match sim.ask(cpu, message) {
        Call::DirectResponse(answer) => {
            assert_eq!((answer.framework, answer.payload), (Some(FrameworkMessage::PmResponse), [0; 5]));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_dying_one_on_a_processing_element_that_goes_off_is_forgotten_there() {
    let starts = Arc::new(AtomicUsize::new(0));
    let sim = SimBuilder::new()
        .partition_with("many", (0..CPUS).map(|_| counted(&starts)), restarts)
        .partition("two", [servant()])
        .boot();
    // On CPU 1 the second one waits for the first, which is preempted and then stopped from elsewhere.
    let answer = sim.ask(1, request(SECOND, [ASK, FIRST.raw().into(), INTERRUPTED, 0, 0]));
    assert!(is_interrupt(answer, SECOND, 0));
    assert_eq!(sim.refusal(0, request(FIRST, [FAULT, 0, 0, 0, 0])), Status::Aborted);
    off(&sim, 1);
    // With the last of it gone it begins anew.
    assert_eq!(payload(sim.ask(0, request(FIRST, PAYLOAD))), PAYLOAD);
    // Who waited for it hears of it when he is run.
    sim.start_cpu(1);
    assert_eq!(sim.refusal(1, request(SECOND, PAYLOAD)), Status::Busy);
    assert_eq!(asked(sim.ask(1, run(SECOND, 0))), TOLD_ABORTED);
    assert_eq!(payload(sim.ask(1, request(SECOND, PAYLOAD))), PAYLOAD);
    assert_eq!(payload(sim.ask(1, request(FIRST, PAYLOAD))), PAYLOAD);
}

#[test]
fn one_that_lives_is_not_started_again_by_the_first_processing_element() {
    let starts = Arc::new(AtomicUsize::new(0));
    let sim = SimBuilder::new().partition("one", [counted(&starts)]).boot();
    off(&sim, 0);
    assert_eq!(payload(sim.ask(1, request(FIRST, PAYLOAD))), PAYLOAD);
    sim.start_cpu(0);
    assert_eq!(payload(sim.ask(0, request(FIRST, PAYLOAD))), PAYLOAD);
    assert_eq!(starts.load(Ordering::Relaxed), 1);
}

// --- Races

#[test]
fn four_processing_elements_stop_and_start_it_all_the_time() {
    let starts = Arc::new(AtomicUsize::new(0));
    let sim = SimBuilder::new()
        .partition_with("many", (0..CPUS).map(|_| counted(&starts)), restarts)
        .partition("two", echoes())
        .partition("three", (0..CPUS).map(|_| servant()))
        .boot();
    let (served, stopped) = (AtomicUsize::new(0), AtomicUsize::new(0));
    // How the processing elements meet is up to the host, so they go on until each thing has happened often enough.
    // On a host that is busy with something else that takes more rounds, never as many as MOST.
    const ENOUGH: usize = 100;
    const FEWEST: u64 = 500;
    const MOST: u64 = 200_000;
    let counts = || [&served, &stopped, &*starts].map(|count| count.load(Ordering::Relaxed));
    let enough = || counts().into_iter().all(|count| count >= ENOUGH);
    std::thread::scope(|scope| {
        for cpu in 0..CPUS {
            let (sim, served, stopped, enough) = (&sim, &served, &stopped, &enough);
            scope.spawn(move || {
                for round in (0..MOST).take_while(|round| *round < FEWEST || !enough()) {
                    let words = [cpu as u64, round, 0, 0, 0];
                    assert_eq!(payload(sim.ask(cpu, request(SECOND, words))), words);
                    let first = if round % 16 == cpu as u64 * 4 { FAULT } else { round };
                    // Straight, or through the third one.
                    let through = round % 3 == 0;
                    let words = if through {
                        [ASK, FIRST.raw().into(), first, round, 0]
                    } else {
                        [first, round, 0, 0, 0]
                    };
                    let receiver = if through { THIRD } else { FIRST };
                    match sim.ask(cpu, request(receiver, words)) {
                        Call::Error { status: Status::Aborted, .. } if !through => {
                            stopped.fetch_add(1, Ordering::Relaxed);
                        }
                        // Its first execution context is not ready on another processing element.
                        Call::Error { status: Status::Busy, .. } if !through => {}
                        Call::DirectResponse(message) if through => match message.payload {
                            [0x8400_0060, status, ..] => assert!(
                                status as u32 == Status::Aborted.to_raw()
                                    || status as u32 == Status::Busy.to_raw(),
                                "{status:#x}"
                            ),
                            [function, _, x3, x4, _] => {
                                assert_eq!((function, x3, x4), (0xc400_0070, first, round))
                            }
                        },
                        answer => {
                            assert_eq!(payload(answer), words);
                            served.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                }
            });
        }
    });
    assert!(enough(), "served, stopped, started: {:?}", counts());
    // It serves in the end, after perhaps one more beginning.
    let _ = sim.ask(0, request(FIRST, PAYLOAD));
    for cpu in 0..CPUS {
        assert_eq!(payload(sim.ask(cpu, request(FIRST, PAYLOAD))), PAYLOAD);
    }
    let count = |sim: &Sim| match sim.ask(0, Call::PartitionInfoGet { uuid: Uuid::nil(), count_only: true }) {
        Call::Success32 { results: [count, ..], .. } => count,
        other => panic!("{other:?}"),
    };
    assert_eq!(count(&sim), 3);
}
