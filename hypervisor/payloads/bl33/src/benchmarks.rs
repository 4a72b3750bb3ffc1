//! How many instructions a call takes: from the SMC of the normal world to its next instruction, EL3's share included.
//!
//! The figures are true where the machine's clock counts instructions (`--accel icount` of the runner). The first call
//! of a kind can cost more than the next ones, so both are printed. A case fails when the mean of the later ones is
//! above its budget.

#![forbid(unsafe_code)]

use tantalum_ffa::{Call, DirectMessage, Target, Uuid, Version, Width, function as f};
use tantalum_types::CallRegisters;

use crate::endpoint::{ECHO, request};
use crate::mailbox::{Mailbox, RELEASE};
use crate::test::{Case, Test, cases};
use tantalum_payload::call::Conduit;
use tantalum_payload::console::line;
use tantalum_payload::counter;

pub(crate) const CASES: &[Case] =
    cases![version, features, id_get, partition_info_get, rx_release, direct_req_32, direct_req_64, run,];

/// Counts the calls after the first one.
const REPEATS: u64 = 64;

/// Measures a call that is answered by `function`, after `prepare` each time.
#[track_caller]
fn measure(t: &Test, call: &CallRegisters, function: u32, budget: u64, prepare: impl Fn()) {
    let pace = counter::Pace::measure();
    let once = || {
        prepare();
        let (answer, ticks) = counter::timed_call(Conduit::Smc, call);
        t.equal("answered by", answer, function.into());
        pace.instructions(ticks)
    };
    let first = once();
    let steady = (0..REPEATS).map(|_| once()).sum::<u64>() / REPEATS;
    line(format_args!("# {}: first {first}, steady {steady} instructions, budget {budget}", t.name()));
    t.check(steady <= budget, format_args!("{steady} instructions are more than {budget}"));
}

fn version(t: &Test) {
    let call = Call::Version { requested: t.version().to_raw() }.encode();
    measure(t, &call, Version::V1_2.to_raw(), 1700, || ());
}

fn features(t: &Test) {
    measure(t, &Call::Features { id: f::RXTX_MAP_64, input: 0 }.encode(), f::SUCCESS_32, 1700, || ());
}

fn id_get(t: &Test) {
    measure(t, &Call::IdGet.encode(), f::SUCCESS_32, 1700, || ());
}

const INFO: Call = Call::PartitionInfoGet { uuid: Uuid::nil(), count_only: false };

fn partition_info_get(t: &Test) {
    let mailbox = Mailbox::new(t);
    measure(t, &INFO.encode(), f::SUCCESS_32, 4000, || {
        t.call(&RELEASE);
    });
    mailbox.release();
}

fn rx_release(t: &Test) {
    let _mailbox = Mailbox::new(t);
    measure(t, &RELEASE.encode(), f::SUCCESS_32, 1700, || {
        t.succeeds(&INFO);
    });
}

fn direct_req_32(t: &Test) {
    let message = DirectMessage { width: Width::Bits32, ..request(ECHO, [1, 2, 3, 4, 5]) };
    measure(t, &Call::DirectRequest(message).encode(), f::DIRECT_RESP_32, 2300, || ());
}

fn direct_req_64(t: &Test) {
    let message = request(ECHO, [1, 2, 3, 4, 5]);
    measure(t, &Call::DirectRequest(message).encode(), f::DIRECT_RESP_64, 2300, || ());
}

fn run(t: &Test) {
    let call = Call::Run { target: Target { endpoint: ECHO, vcpu: 0 } };
    measure(t, &call.encode(), f::MSG_WAIT, 2300, || ());
}
