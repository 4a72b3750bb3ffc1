//! Calls that are not the normal world's, and what is no call at all.

use tantalum_ffa::{Call, ConsoleText, Status, Target, Width, answer, function as f};

use crate::endpoint::{ECHO, PARTITIONS};
use crate::machine::cpus;
use crate::test::{Answer, Case, Test, cases, registers};

pub(crate) const CASES: &[Case] = cases![
    refused_answers,
    refused_waiting,
    refused_secondary_entry,
    refused_spmd_calls,
    refused_permissions,
    refused_console_log,
    refused_legacy_messages,
    refused_unknown_functions,
    cpu_off_and_on,
    everybody_lives,
];

/// An answer to nobody's question.
fn refused_answers(t: &Test) {
    t.refused_raw(&answer::success(), Status::NotSupported);
    t.refused_raw(&answer::success64([0; 16]), Status::NotSupported);
    t.refused_raw(&answer::error(Status::Aborted), Status::NotSupported);
    t.refused_raw(&answer::interrupt(Target { endpoint: ECHO, vcpu: 0 }, 0), Status::NotSupported);
    t.refused(&Call::MemRetrieveResponse { total_length: 64, fragment_length: 64 }, Status::NotSupported);
    t.all_is_well();
}

fn refused_waiting(t: &Test) {
    t.refused(&Call::MsgWait { retain_rx: false }, Status::NotSupported);
    t.refused(&Call::MsgWait { retain_rx: true }, Status::NotSupported);
    t.refused(&Call::Yield { target: Target::NONE, timeout: 0 }, Status::NotSupported);
    t.echoes(ECHO);
}

fn refused_secondary_entry(t: &Test) {
    for width in [Width::Bits32, Width::Bits64] {
        let entry = 0x6000_0000;
        t.refused(&Call::SecondaryEpRegister { width, entry }, Status::NotSupported);
    }
}

fn refused_spmd_calls(t: &Test) {
    for call in [Call::NormalWorldResume, Call::El3InterruptHandle] {
        let answer = t.call(&call);
        let refused = matches!(
            Call::decode(&answer),
            Ok(Call::Error { status: Status::NotSupported | Status::Denied, .. })
        ) || answer.0[0] == u64::MAX;
        t.check(refused, format_args!("{call:?}: got {}", Answer(&answer)));
    }
    t.all_is_well();
}

fn refused_permissions(t: &Test) {
    for width in [Width::Bits32, Width::Bits64] {
        let address = 0x7000_0000;
        t.refused(&Call::MemPermGet { width, address }, Status::NotSupported);
        let call = Call::MemPermSet { width, address, page_count: 1, permissions: 0 };
        t.refused(&call, Status::NotSupported);
    }
}

fn refused_console_log(t: &Test) {
    for width in [Width::Bits32, Width::Bits64] {
        let (text, _) = ConsoleText::take(width, b"from the normal world\n").expect("there is text");
        t.refused(&Call::ConsoleLog(text), Status::NotSupported);
    }
}

fn refused_legacy_messages(t: &Test) {
    for function in [0x8400_006a, 0x8400_006e] {
        t.refused_raw(&registers(function, [0, 0]), Status::NotSupported);
    }
}

/// Numbers in FF-A's range without a function. All registers are full, which must not matter.
fn refused_unknown_functions(t: &Test) {
    let range = (0x8400_0060..=0x8400_0097).flat_map(|function| [function, function | 0x4000_0000]);
    for function in range.filter(|function| !f::ALL.contains(function)) {
        t.is_unknown(&registers(function, [u64::MAX; 7]));
    }
    t.all_is_well();
}

/// A CPU goes off and comes back, and partitions work on it again.
fn cpu_off_and_on(t: &Test) {
    for cpu in [1, 7] {
        for _ in 0..2 {
            cpus::turn_off(cpu);
            t.echoes(ECHO);
            t.check(cpus::turn_on(cpu).is_ok(), format_args!("CPU {cpu} does not come back"));
            cpus::on(cpu, || {
                for (id, ..) in PARTITIONS {
                    t.echoes(id);
                }
            });
        }
    }
}

/// Nothing of all this has harmed anybody.
fn everybody_lives(t: &Test) {
    cpus::on_all(|cpu| {
        for (id, contexts, _) in PARTITIONS {
            if contexts > 1 || cpu == 0 {
                t.echoes(id);
            }
        }
    });
    let count = t.succeeds(&Call::PartitionInfoGet { uuid: tantalum_ffa::Uuid::nil(), count_only: true });
    t.equal("number of partitions", count[0].into(), PARTITIONS.len() as u64);
}
