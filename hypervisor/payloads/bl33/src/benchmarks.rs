//! How many instructions calls take: from the SMC of the normal world to its next instruction, EL3's share included.
//!
//! The figures are true where the machine's clock counts instructions (`--accel icount` of the runner). The first of a
//! kind can cost more than the next ones, so both are printed, in the form that the runner reads:
//! `# NAME: first N, steady N instructions`. What they may be is in `tests/benchmarks/budgets.txt`.

#![forbid(unsafe_code)]

use core::sync::atomic::{AtomicU64, Ordering};

use tantalum_ffa::{Call, DirectMessage, MemoryTransaction, Target, Uuid, Version, Width, function as f};
use tantalum_types::{CallRegisters, EndpointId};

use crate::descriptor::{Descriptor, NORMAL, READ_WRITE};
use crate::endpoint::{ECHO, RELAY, SELF, command, request};
use crate::machine::cpus;
use crate::machine::memory::Pages;
use crate::mailbox::{Mailbox, RELEASE, UNMAP, map};
use crate::test::{Case, Test, cases};
use tantalum_payload::call::Conduit;
use tantalum_payload::console::{line, ticks, ticks_per_second};
use tantalum_payload::counter::{self, Pace};

pub(crate) const CASES: &[Case] = cases![
    version,
    features,
    id_get,
    partition_info_get,
    rxtx_map,
    rx_release,
    direct_req_32,
    direct_req_64,
    direct_req2,
    run,
    share_1_page,
    share_16_pages,
    share_512_pages,
    share_4096_pages,
    share_8_ranges,
    share_64_ranges,
    share_600_ranges,
    direct_req_64_beside_64_shares,
    notification,
    secure_interrupt,
    direct_1_cpu,
    direct_2_cpus,
    direct_4_cpus,
    direct_8_cpus,
];

/// Counts the calls after the first one.
const REPEATS: u64 = 64;

/// Prints what `once` takes the first time, and the mean of `repeats` more.
fn report(t: &Test, repeats: u64, once: impl Fn() -> u64) {
    let pace = Pace::measure();
    let first = pace.instructions(once());
    let steady = pace.instructions((0..repeats).map(|_| once()).sum::<u64>()) / repeats;
    line(format_args!("# {}: first {first}, steady {steady} instructions", t.name()));
}

/// Measures a call that is answered by `function`, after `prepare` each time.
#[track_caller]
fn measure(t: &Test, call: &CallRegisters, function: u32, prepare: impl Fn()) {
    report(t, REPEATS, || {
        prepare();
        timed(t, call, function)
    });
}

/// Makes a call that is answered by `function`, and returns how many ticks it takes.
#[track_caller]
fn timed(t: &Test, call: &CallRegisters, function: u32) -> u64 {
    let (answer, ticks) = counter::timed_call(Conduit::Smc, call);
    t.equal("answered by", answer.0[0], function.into());
    ticks
}

fn version(t: &Test) {
    let call = Call::Version { requested: t.version().to_raw() }.encode();
    measure(t, &call, Version::V1_2.to_raw(), || ());
}

fn features(t: &Test) {
    measure(t, &Call::Features { id: f::RXTX_MAP_64, input: 0 }.encode(), f::SUCCESS_32, || ());
}

fn id_get(t: &Test) {
    measure(t, &Call::IdGet.encode(), f::SUCCESS_32, || ());
}

const INFO: Call = Call::PartitionInfoGet { uuid: Uuid::nil(), count_only: false };

fn partition_info_get(t: &Test) {
    let mailbox = Mailbox::new(t);
    measure(t, &INFO.encode(), f::SUCCESS_32, || {
        t.call(&RELEASE);
    });
    mailbox.release();
}

fn rxtx_map(t: &Test) {
    let (tx, rx) = (Pages::at(0, 1), Pages::at(64, 1));
    measure(t, &map(tx.address(), rx.address(), 1).encode(), f::SUCCESS_32, || {
        t.call(&UNMAP);
    });
    t.succeeds(&UNMAP);
}

fn rx_release(t: &Test) {
    let _mailbox = Mailbox::new(t);
    measure(t, &RELEASE.encode(), f::SUCCESS_32, || {
        t.succeeds(&INFO);
    });
}

fn direct_req_32(t: &Test) {
    let message = DirectMessage { width: Width::Bits32, ..request(ECHO, [1, 2, 3, 4, 5]) };
    measure(t, &Call::DirectRequest(message).encode(), f::DIRECT_RESP_32, || ());
}

fn direct_req_64(t: &Test) {
    let message = request(ECHO, [1, 2, 3, 4, 5]);
    measure(t, &Call::DirectRequest(message).encode(), f::DIRECT_RESP_64, || ());
}

fn direct_req2(t: &Test) {
    let payload = core::array::from_fn(|index| index as u64);
    let call = Call::DirectRequest2 { sender: SELF, receiver: ECHO, uuid: Uuid::nil(), payload };
    measure(t, &call.encode(), f::DIRECT_RESP2, || ());
}

fn run(t: &Test) {
    let call = Call::Run { target: Target { endpoint: ECHO, vcpu: 0 } };
    measure(t, &call.encode(), f::MSG_WAIT, || ());
}

/// Is the number of the first page that is shared: on a multiple of 2 MiB.
const SHARED: usize = 0x1000;

/// Returns the address of a page and a number of pages.
fn range(first: usize, count: usize) -> (u64, u32) {
    (Pages::at(first, count).address(), count as u32)
}

/// Shares memory whose descriptor is in the TX buffer, and returns its handle and how many ticks that takes.
#[track_caller]
fn share(t: &Test, length: usize) -> (u64, u64) {
    let transaction = MemoryTransaction {
        width: Width::Bits64,
        total_length: length as u32,
        fragment_length: length as u32,
        address: 0,
        page_count: 0,
    };
    let (answer, ticks) = counter::timed_call(Conduit::Smc, &Call::MemShare(transaction).encode());
    let [w2, w3, ..] = t.is_success(&CallRegisters::from_first_eight(answer.first_eight()));
    (u64::from(w3) << 32 | u64::from(w2), ticks)
}

/// Lets "echo" carry out a command about memory, and returns how many ticks that takes, the message included.
#[track_caller]
fn lets(t: &Test, word: u64, handle: u64) -> u64 {
    let sender = u64::from(SELF.raw()) | u64::from(NORMAL) << 16;
    let arguments = match word {
        command::RETRIEVE => [word, handle, sender, 1 << 3, READ_WRITE.into()],
        _ => [word, handle, 0, 0, 0],
    };
    let (answer, ticks) =
        counter::timed_call(Conduit::Smc, &Call::DirectRequest(request(ECHO, arguments)).encode());
    let [_, _, _, result, code, ..] = answer.0;
    t.equal("result and code of the partition", result | code, 0);
    ticks
}

/// Measures a whole life of shared memory: SHARE, RETRIEVE and RELINQUISH by "echo", each at the cost of a message
/// beside, and RECLAIM.
fn measure_share(t: &Test, ranges: &[(u64, u32)]) {
    let mailbox = Mailbox::of_size(t, 3);
    let encoded = Descriptor::new(&[(ECHO, READ_WRITE, 0)], ranges).encode(t.version());
    mailbox.tx.write(0, encoded.bytes());
    report(t, 4, || {
        let (handle, shared) = share(t, encoded.bytes().len());
        let retrieved = lets(t, command::RETRIEVE, handle);
        let relinquished = lets(t, command::RELINQUISH, handle);
        let reclaimed = timed(t, &Call::MemReclaim { handle, flags: 0 }.encode(), f::SUCCESS_32);
        shared + retrieved + relinquished + reclaimed
    });
}

fn share_1_page(t: &Test) {
    measure_share(t, &[range(SHARED, 1)]);
}

fn share_16_pages(t: &Test) {
    measure_share(t, &[range(SHARED, 16)]);
}

fn share_512_pages(t: &Test) {
    measure_share(t, &[range(SHARED, 512)]);
}

fn share_4096_pages(t: &Test) {
    measure_share(t, &[range(SHARED, 4096)]);
}

/// Shares single pages of which no two touch.
fn measure_ranges<const N: usize>(t: &Test) {
    measure_share(t, &core::array::from_fn::<_, N, _>(|index| range(SHARED + 2 * index, 1)));
}

fn share_8_ranges(t: &Test) {
    measure_ranges::<8>(t);
}

fn share_64_ranges(t: &Test) {
    measure_ranges::<64>(t);
}

fn share_600_ranges(t: &Test) {
    measure_ranges::<600>(t);
}

/// Measures a message while as much memory is shared as can be.
fn direct_req_64_beside_64_shares(t: &Test) {
    let mailbox = Mailbox::new(t);
    let handles: [u64; 64] = core::array::from_fn(|index| {
        let ranges = [range(SHARED + 2 * index, 1)];
        let encoded = Descriptor::new(&[(ECHO, READ_WRITE, 0)], &ranges).encode(t.version());
        mailbox.tx.write(0, encoded.bytes());
        share(t, encoded.bytes().len()).0
    });
    direct_req_64(t);
    for handle in handles {
        t.succeeds(&Call::MemReclaim { handle, flags: 0 });
    }
}

/// Measures FFA_NOTIFICATION_SET to a partition and the message in which its callback runs.
fn notification(t: &Test) {
    const BIT: u64 = 1 << 4;
    let ends =
        |sender: EndpointId, receiver: EndpointId| u32::from(sender.raw()) << 16 | u32::from(receiver.raw());
    t.lets_succeed(ECHO, [f::NOTIFICATION_BIND, ends(SELF, ECHO), 0, BIT as u32]);
    let set = Call::NotificationSet { sender: SELF, receiver: ECHO, flags: 0, bitmap: BIT }.encode();
    let noted = Call::DirectRequest(request(ECHO, [command::NOTED, 0, 0, 0, 0])).encode();
    report(t, REPEATS, || {
        let set = timed(t, &set, f::SUCCESS_32);
        let (answer, called) = counter::timed_call(Conduit::Smc, &noted);
        let [_, _, _, _, count, _, from_vms, ..] = answer.0;
        t.equal("callbacks", count, 1);
        t.equal("what VMs have signalled", from_vms, BIT);
        set + called
    });
    t.lets_succeed(ECHO, [f::NOTIFICATION_UNBIND, ends(SELF, ECHO), 0, BIT as u32]);
}

/// Measures how long the normal world stands still for a secure interrupt: the timer of "echo", to its handler and back.
fn secure_interrupt(t: &Test) {
    let wait = ticks_per_second() / 20_000;
    report(t, REPEATS, || {
        t.tells(ECHO, command::ARM_TIMER, [wait, 0, 0, 0]);
        let begin = ticks();
        let (mut longest, mut last) = (0, begin);
        while last - begin < 2 * wait {
            let now = ticks();
            longest = longest.max(now - last);
            last = now;
        }
        longest
    });
}

/// Measures a message while `count` CPUs send one after the other, each to the execution context of a partition on it:
/// the median of each CPU, of which the largest counts. If one had to wait for another in half of its messages it would be
/// more than of one CPU.
///
/// QEMU runs the CPUs in turns, and what another one does in its turn counts too, so the few messages in which that
/// happens are set aside by taking the median, and with them any wait that is not in half of the messages.
fn measure_cpus(t: &Test, count: usize) {
    const MESSAGES: usize = 129;
    let receivers = [ECHO, RELAY];
    report(t, 4, || {
        let worst = AtomicU64::new(0);
        cpus::on_all(|cpu| {
            if cpu < count {
                let call = Call::DirectRequest(request(receivers[cpu % 2], [1, 2, 3, 4, 5])).encode();
                let mut each: [u64; MESSAGES] = core::array::from_fn(|_| timed(t, &call, f::DIRECT_RESP_64));
                let (_, median, _) = each.select_nth_unstable(MESSAGES / 2);
                worst.fetch_max(*median, Ordering::AcqRel);
            }
        });
        worst.load(Ordering::Acquire)
    });
}

fn direct_1_cpu(t: &Test) {
    measure_cpus(t, 1);
}

fn direct_2_cpus(t: &Test) {
    measure_cpus(t, 2);
}

fn direct_4_cpus(t: &Test) {
    measure_cpus(t, 4);
}

fn direct_8_cpus(t: &Test) {
    measure_cpus(t, 8);
}
