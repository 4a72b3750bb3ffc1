//! The straight way of requests between the normal world and partitions, held against the general way: whatever calls
//! come, in whatever order, both give the same answers, show the partitions the same, and leave the SPMC in the same state.

// What goes wrong in a helper has to stop the test there.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use tantalum_ffa::{Call, DirectMessage, Target, Uuid, Width, answer, function as f};
use tantalum_hal::{Event, TrapKind};
use tantalum_sim::dtb::Node;
use tantalum_sim::manifests::partition_base;
use tantalum_sim::script::{Script, call, trap};
use tantalum_sim::{Sim, SimBuilder};
use tantalum_types::{CallRegisters, EndpointId};

/// What a partition does when it has its turn, if it is to do something else than what is asked of it.
#[derive(Clone, Debug)]
enum Deed {
    /// What is asked of it.
    Duty,
    /// Its duty, with one bit of one register changed.
    Spoilt(usize, u32),
    /// A call with these registers.
    Raw(CallRegisters),
    /// A call that fills its RX buffer.
    Fill,
    /// Something that it may not.
    Trap,
}

/// What happens next.
#[derive(Clone, Debug)]
struct Step {
    cpu: usize,
    registers: CallRegisters,
    deeds: Vec<Deed>,
}

fn endpoint() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => Just(0x8001_u64), 3 => Just(0x8002), 2 => Just(0x8003), 1 => Just(0x8004), 1 => Just(0), 1 => Just(0x8000), 1 => Just(7),
        1 => any::<u16>().prop_map(u64::from)
    ]
}

fn function() -> impl Strategy<Value = u32> {
    prop_oneof![
        4 => Just(f::DIRECT_REQ_32),
        4 => Just(f::DIRECT_REQ_64),
        4 => Just(f::DIRECT_REQ2),
        4 => Just(f::RUN),
        1 => Just(f::DIRECT_RESP_32),
        1 => Just(f::DIRECT_RESP_64),
        1 => Just(f::DIRECT_RESP2),
        2 => Just(f::MSG_WAIT),
        1 => Just(f::YIELD),
        1 => Just(f::FEATURES),
        1 => Just(f::VERSION),
        1 => Just(f::ID_GET),
        1 => Just(f::RX_RELEASE),
        1 => Just(f::PARTITION_INFO_GET),
        1 => prop::sample::select(f::ALL),
    ]
}

/// Registers of a call that may well be right, and may be wrong in any place.
fn registers() -> impl Strategy<Value = CallRegisters> {
    let sender = prop_oneof![6 => Just(0_u64), 1 => Just(3), 1 => endpoint()];
    let mostly_zero = || prop_oneof![9 => Just(0_u64), 1 => any::<u64>()];
    let own = (function(), sender, endpoint(), mostly_zero(), mostly_zero(), mostly_zero());
    let rest =
        (any::<[u64; 5]>(), mostly_zero(), 0..16_usize, prop_oneof![8 => Just(0_u64), 1 => any::<u64>()]);
    (own, rest).prop_map(|((function, sender, receiver, x2, high, x3), (payload, extra, place, waits))| {
        let mut registers = [0; 18];
        registers[0] = u64::from(function) | high << 32;
        registers[1] = if function == f::RUN { receiver << 16 | sender & 1 } else { sender << 16 | receiver };
        registers[1] |= extra << 32;
        registers[2] = x2;
        match function {
            f::MSG_WAIT => registers[3] = waits,
            f::DIRECT_REQ2 | f::DIRECT_RESP2 => {
                registers[3] = x3;
                registers[4..9].copy_from_slice(&payload);
            }
            f::RUN => {}
            // Of everybody, which fills the RX buffer.
            f::PARTITION_INFO_GET => registers[1] = 0,
            _ => registers[3..8].copy_from_slice(&payload),
        }
        if place >= 8 {
            registers[place] |= extra;
        }
        CallRegisters(registers)
    })
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        12 => Just(Deed::Duty),
        4 => (0..18_usize, 0..64_u32).prop_map(|(register, bit)| Deed::Spoilt(register, bit)),
        4 => registers().prop_map(Deed::Raw),
        3 => Just(Deed::Fill),
        1 => Just(Deed::Trap),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    (0..2_usize, registers(), prop::collection::vec(deed(), 0..4)).prop_map(|(cpu, registers, deeds)| Step {
        cpu,
        registers,
        deeds,
    })
}

/// What the scripts of a machine share: what they are to do, and what they have seen.
#[derive(Default)]
struct Shared {
    deeds: Vec<Deed>,
    seen: String,
}

/// Does what `shared` says, and its duty when that says nothing: answers who has asked, and waits if nobody has.
fn actor(shared: Arc<Mutex<Shared>>) -> Script {
    let mut owed: Option<CallRegisters> = None;
    Box::new(move |context| {
        let mut shared = shared.lock().unwrap();
        let (entry, foreign, signals) = (context.entry, context.foreign, context.signals);
        writeln!(shared.seen, "{:?}: {entry:x?} {foreign:?} {signals:?}", context.vcpu).unwrap();
        if context.start().is_some() {
            owed = None;
            let own = partition_base(context.vcpu.partition.get());
            let (tx, rx) = (own + 0x1_0000, own + 0x1_1000);
            return Ok(call(Call::RxtxMap { width: Width::Bits64, tx, rx, page_count: 1 }));
        }
        if let tantalum_hal::Entry::Answer(registers) = context.entry {
            match Call::decode(&registers) {
                Ok(Call::DirectRequest(request)) => {
                    owed = Some(Call::DirectResponse(request.answer(request.payload)).encode());
                }
                Ok(Call::DirectRequest2 { sender, receiver, payload, .. }) => {
                    owed =
                        Some(Call::DirectResponse2 { sender: receiver, receiver: sender, payload }.encode());
                }
                Ok(Call::Run { .. }) => owed = None,
                _ => {}
            }
        }
        let duty = owed.unwrap_or_else(answer::msg_wait);
        match shared.deeds.pop() {
            None | Some(Deed::Duty) => Ok(Event::PartitionCall(duty)),
            Some(Deed::Spoilt(register, bit)) => {
                let mut registers = duty;
                registers.0[register] ^= 1 << bit;
                Ok(Event::PartitionCall(registers))
            }
            Some(Deed::Raw(registers)) => Ok(Event::PartitionCall(registers)),
            Some(Deed::Fill) => Ok(call(Call::PartitionInfoGet { uuid: Uuid::nil(), count_only: false })),
            Some(Deed::Trap) => Ok(trap(TrapKind::Instruction)),
        }
    })
}

fn modern(manifest: &mut Node) {
    manifest.set("ffa-version", 0x1_0002_u32);
    manifest.set("messaging-method", 0x603_u32);
}

/// Builds a machine, with the scripts' shared state.
fn boot(build: impl FnOnce(SimBuilder) -> SimBuilder) -> (Sim, Arc<Mutex<Shared>>) {
    let shared = Arc::new(Mutex::new(Shared::default()));
    let script = || actor(Arc::clone(&shared));
    let builder = SimBuilder::new()
        .cpus(2)
        .partition_with("all", [script(), script()], modern)
        .partition_with("one", [script()], |_| {})
        .partition_with("deaf", [script()], |manifest| {
            manifest.set("ffa-version", 0x1_0002_u32);
            manifest.set("messaging-method", 2_u32);
        });
    (build(builder).boot(), shared)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn both_ways_lead_to_the_same(
        version in prop::sample::select(vec![0x1_0000_u32, 0x1_0001, 0x1_0002]),
        steps in prop::collection::vec(step(), 1..24),
    ) {
        let (straight, its) = boot(|builder| builder);
        let (general, theirs) = boot(SimBuilder::generally);
        for sim in [&straight, &general] {
            sim.call(0, Call::Version { requested: version });
        }
        for step in steps {
            let answers = [(&straight, &its), (&general, &theirs)].map(|(sim, shared)| {
                shared.lock().unwrap().deeds = step.deeds.clone();
                sim.raw(step.cpu, step.registers)
            });
            prop_assert_eq!(answers[0], answers[1], "{:x?}", step);
            let seen = [&its, &theirs].map(|shared| std::mem::take(&mut shared.lock().unwrap().seen));
            prop_assert_eq!(&seen[0], &seen[1], "{:x?}", step);
        }
        prop_assert_eq!(straight.state_text(), general.state_text());
    }
}

/// What the generator above is made of is answered, so that it is not errors only that are compared.
#[test]
fn what_is_common_goes_through() {
    let (sim, _) = boot(|builder| builder);
    sim.call(0, Call::Version { requested: 0x1_0002 });
    let (sender, receiver) = (EndpointId::HYPERVISOR, EndpointId::new(0x8001));
    let payload = [1, 2, 3, 4, 5];
    for width in [Width::Bits32, Width::Bits64] {
        let message = DirectMessage { width, sender, receiver, framework: None, payload };
        assert_eq!(sim.ask(0, Call::DirectRequest(message)), Call::DirectResponse(message.answer(payload)));
    }
    let words = [7; 14];
    let request = Call::DirectRequest2 { sender, receiver, uuid: Uuid::nil(), payload: words };
    assert_eq!(
        sim.ask(1, request),
        Call::DirectResponse2 { sender: receiver, receiver: sender, payload: words }
    );
    let target = Target { endpoint: receiver, vcpu: 1 };
    assert_eq!(sim.ask(1, Call::Run { target }), Call::MsgWait { retain_rx: false });
}
