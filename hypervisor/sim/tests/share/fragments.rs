//! Descriptors that come and go in fragments, and what a hypervisor is told.

use tantalum_ffa::memory::{Constituent, Handle, Layout, RelinquishFlags, TransactionKind};
use tantalum_ffa::{Call, Status};
use tantalum_types::{EndpointId, Ipa};

use crate::bench::*;

const SHARE: TransactionKind = TransactionKind::Share;
const LEND: TransactionKind = TransactionKind::Lend;
const NONE: RelinquishFlags = RelinquishFlags::empty();
const INVALID: Status = Status::InvalidParameters;

/// Returns every other page, in an order that is neither up nor down.
fn scattered(count: u64) -> Vec<Constituent> {
    (0..count).map(|index| range(NS + (index * 7 % count) * 2 * PAGE, 1)).collect()
}

#[test]
fn six_hundred_ranges_come_and_go() {
    let bench = bench(1);
    let ranges = scattered(600);
    let bytes = encode(Layout::V1_1, &offer(HOST, SHARE, &[sp(0)]), &ranges);
    let handle = bench.send_in(Who::Host, SHARE, &bytes, 4096).unwrap();
    let (answer, told) = bench.retrieve(0, HOST, handle, SHARE, &[sp(0)]).unwrap();
    assert_eq!(told, ranges, "in the order of the sender");
    assert_eq!(answer.composite.unwrap().total_pages, 600);
    for range in [&ranges[0], &ranges[253], &ranges[599]] {
        assert_eq!(bench.access(0, Ipa::non_secure(range.address)), "rw-");
        assert_eq!(bench.access(0, Ipa::non_secure(range.address + PAGE)), "---");
    }
    // What pKVM does before it reclaims memory for the host.
    let (answer, told) = bench.ask_for_all(handle, HOST).unwrap();
    assert_eq!(told, ranges);
    assert_eq!((answer.sender, answer.receivers[0].endpoint), (HOST, sp(0)));
    assert_eq!(bench.relinquish(Who::Sp(0), handle, NONE), Ok(()));
    for range in [&ranges[0], &ranges[253], &ranges[599]] {
        assert_eq!(bench.access(0, Ipa::non_secure(range.address)), "---");
    }
    assert_eq!(bench.reclaim(Who::Host, handle, 0), Ok(()));
    // Nothing is left, neither ranges nor translation tables.
    for _ in 0..4 {
        let handle = bench.send_in(Who::Host, LEND, &lend(&ranges), 4096).unwrap();
        bench.retrieve(0, HOST, handle, LEND, &[sp(0)]).unwrap();
        assert_eq!(bench.relinquish(Who::Sp(0), handle, NONE), Ok(()));
        assert_eq!(bench.reclaim(Who::Host, handle, 0), Ok(()));
    }
}

#[test]
fn to_be_told_of_a_donation_does_not_end_it() {
    let bench = bench(1);
    let donate = TransactionKind::Donate;
    let ranges = scattered(600);
    let bytes = encode(Layout::V1_1, &offer(HOST, donate, &[sp(0)]), &ranges);
    for _ in 0..2 {
        let handle = bench.send_in(Who::Host, donate, &bytes, 4096).unwrap();
        let (_, told) = bench.ask_for_all(handle, HOST).unwrap();
        assert_eq!(told, ranges);
        let taken = bench.retrieve(0, HOST, handle, donate, &[sp(0)]);
        assert_eq!(taken.unwrap_err(), Status::NoMemory, "it is there, and more than a partition may own");
        assert_eq!(bench.reclaim(Who::Host, handle, 0), Ok(()), "nobody has taken it");
    }
}

fn lend(ranges: &[Constituent]) -> Vec<u8> {
    encode(Layout::V1_1, &offer(HOST, LEND, &[sp(0)]), ranges)
}

#[test]
fn fragments_have_any_size_of_whole_ranges() {
    let bench = bench(1);
    let ranges = scattered(20);
    let bytes = lend(&ranges);
    for size in (80..bytes.len() + 16).step_by(16) {
        let handle = bench.send_in(Who::Host, LEND, &bytes, size).unwrap();
        let (_, told) = bench.retrieve(0, HOST, handle, LEND, &[sp(0)]).unwrap();
        assert_eq!(told, ranges, "fragments of {size} bytes");
        assert_eq!(bench.relinquish(Who::Sp(0), handle, NONE), Ok(()));
        assert_eq!(bench.reclaim(Who::Host, handle, 0), Ok(()));
    }
    for size in [16, 48, 64, 72, 79, 81, 88, 104] {
        assert_eq!(bench.send_in(Who::Host, LEND, &bytes, size), Err(INVALID), "fragments of {size} bytes");
    }
    let handle = bench.send_in(Who::Host, LEND, &bytes, 96).unwrap();
    assert_eq!(bench.reclaim(Who::Host, handle, 0), Ok(()), "nothing was left");
}

/// Begins to send a descriptor of which `left` ranges are still to come.
fn begun(bench: &Bench, who: Who, bytes: &[u8], left: usize) -> (u64, u32, EndpointId) {
    let first = bytes.len() - left * 16;
    match bench.call(who, &bytes[..first], begin(LEND, bytes.len(), first)) {
        Call::MemFragRx { handle, offset, endpoint } => (handle, offset, endpoint),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_wrong_fragment_ends_the_transaction() {
    let bench = bench(2);
    let ranges = scattered(10);
    let bytes = lend(&ranges);
    let rest = bytes[bytes.len() - 48..].to_vec();
    let edited = |at: usize, byte: u8| {
        let mut rest = rest.clone();
        rest[at] = byte;
        rest
    };
    let overlapping: Vec<u8> = ranges[..3].iter().flat_map(Constituent::encode).collect();
    let foreign: Vec<u8> = [range(own_page(1, 0), 3)].iter().flat_map(Constituent::encode).collect();
    let too_long = [rest.clone(), range(NS + 0x100_0000, 1).encode().to_vec()].concat();
    let cases: [(&str, &[u8], Status); 9] = [
        ("no bytes", &[], INVALID),
        ("half a range", &rest[..24], INVALID),
        ("too many ranges", &too_long, INVALID),
        ("a range without pages", &edited(8, 0), INVALID),
        ("more pages than announced", &edited(8, 2), INVALID),
        ("an address within a page", &edited(16, 8), INVALID),
        ("a reserved field", &edited(12, 1), INVALID),
        ("a range that is there already", &overlapping, Status::Denied),
        ("memory of a partition", &foreign, Status::Denied),
    ];
    for (what, wrong, expected) in cases {
        let (handle, ..) = begun(&bench, Who::Host, &bytes, 3);
        let length = wrong.len() as u32;
        let next = Call::MemFragTx { handle, length, endpoint: HOST };
        assert_eq!(ok(bench.call(Who::Host, wrong, next)), Err(expected), "{what}");
        let again = Call::MemFragTx { handle, length: 48, endpoint: HOST };
        assert_eq!(ok(bench.call(Who::Host, &rest, again)), Err(INVALID), "{what}: it has ended");
        let handle = bench.send_in(Who::Host, LEND, &bytes, 4096).unwrap();
        assert_eq!(bench.reclaim(Who::Host, handle, 0), Ok(()), "{what}: nothing is left");
    }
}

#[test]
fn only_its_sender_goes_on_with_a_transaction() {
    let bench = bench(2);
    let vm = EndpointId::new(9);
    let ranges = scattered(4);
    let bytes = encode(Layout::V1_1, &offer(vm, LEND, &[sp(0)]), &ranges);
    let (handle, offset, endpoint) = begun(&bench, Who::Host, &bytes, 2);
    assert_eq!((offset as usize, endpoint), (bytes.len() - 32, vm));
    let rest = &bytes[bytes.len() - 32..];
    let next = |handle, endpoint| Call::MemFragTx { handle, length: 32, endpoint };
    // None of these changes anything.
    assert_eq!(ok(bench.call(Who::Host, rest, next(handle, HOST))), Err(INVALID));
    assert_eq!(ok(bench.call(Who::Host, rest, next(handle, EndpointId::new(8)))), Err(INVALID));
    assert_eq!(ok(bench.call(Who::Host, rest, next(handle ^ 0x100, vm))), Err(INVALID));
    assert_eq!(ok(bench.call(Who::Sp(0), rest, next(handle, vm))), Err(INVALID));
    assert_eq!(ok(bench.call(Who::Sp(0), rest, next(handle, HOST))), Err(INVALID));
    // It is not there yet for anybody.
    let named = Handle::new(handle);
    assert_eq!(bench.retrieve(0, vm, named, LEND, &[sp(0)]).unwrap_err(), INVALID);
    assert_eq!(bench.relinquish(Who::Sp(0), named, NONE), Err(INVALID));
    assert_eq!(bench.ask_for_all(named, vm).unwrap_err(), INVALID);
    // But its pages are taken.
    assert_eq!(bench.offer(Who::Host, SHARE, &[sp(0)], &ranges[..1]), Err(Status::Denied));
    assert!(bench.offer(Who::Host, SHARE, &[sp(1)], &ranges[2..]).is_ok(), "these are not there yet");
    let done = bench.call(Who::Host, rest, next(handle, vm));
    assert_eq!(ok(done), Err(Status::Denied), "and now somebody else has them");
}

#[test]
fn unmapping_the_buffers_ends_what_was_being_sent() {
    let bench = bench(1);
    let bytes = lend(&scattered(4));
    let (handle, ..) = begun(&bench, Who::Host, &bytes, 2);
    bench.map_buffers(1);
    let next = Call::MemFragTx { handle, length: 32, endpoint: HOST };
    assert_eq!(ok(bench.call(Who::Host, &bytes[bytes.len() - 32..], next)), Err(INVALID));
    assert!(bench.send(Who::Host, LEND, &bytes).is_ok());
}

#[test]
fn the_rest_of_an_answer_is_read_in_order() {
    let bench = bench(2);
    let ranges = scattered(300);
    let handle = bench.send_in(Who::Host, SHARE, &share(&ranges), 4096).unwrap();
    let next = |offset, endpoint| Call::MemFragRx { handle: handle.raw(), offset, endpoint };
    assert_eq!(ok(bench.sp_call(0, &[], next(4096, HOST))), Err(INVALID), "not retrieved");
    let bytes = encode(Layout::V1_1, &request(HOST, handle, SHARE, &[sp(0)]), &[]);
    let length = bytes.len() as u32;
    let retrieve = Call::MemRetrieveRequest(transaction(length, length));
    let (total, first) = match bench.sp_call(0, &bytes, retrieve) {
        Call::MemRetrieveResponse { total_length, fragment_length } => (total_length, fragment_length),
        other => panic!("{other:?}"),
    };
    assert_eq!((total, first), (48 + 16 + 16 + 300 * 16, 4096));
    assert_eq!(ok(bench.sp_call(0, &[], next(first, HOST))), Err(Status::Busy), "it reads the first");
    assert_eq!(bench.release_rx(Who::Sp(0)), Ok(()));
    for wrong in [0, first - 16, first + 16, total, u32::MAX] {
        assert_eq!(ok(bench.sp_call(0, &[], next(wrong, HOST))), Err(INVALID), "{wrong}");
    }
    assert_eq!(ok(bench.sp_call(0, &[], next(first, sp(0)))), Err(INVALID));
    assert_eq!(ok(bench.sp_call(1, &[], next(first, HOST))), Err(INVALID));
    assert_eq!(ok(bench.call(Who::Host, &[], next(first, HOST))), Err(INVALID));
    match bench.sp_call(0, &[], next(first, HOST)) {
        Call::MemFragTx { handle: of, length, endpoint } => {
            assert_eq!((of, length, endpoint), (handle.raw(), total - first, HOST));
        }
        other => panic!("{other:?}"),
    }
    // What was behind the shorter fragment is gone.
    assert!(bench.rx(Who::Sp(0), 4096)[(total - first) as usize..].iter().all(|byte| *byte == 0));
    assert_eq!(bench.release_rx(Who::Sp(0)), Ok(()));
    assert_eq!(ok(bench.sp_call(0, &[], next(total, HOST))), Err(INVALID), "that was all");
    // Who does not want to know the rest may give the memory back.
    let again = bench.relinquish(Who::Sp(0), handle, NONE);
    assert_eq!(again, Ok(()));
    assert!(matches!(bench.sp_call(0, &bytes, retrieve), Call::MemRetrieveResponse { .. }));
    assert_eq!(bench.release_rx(Who::Sp(0)), Ok(()));
    assert_eq!(bench.relinquish(Who::Sp(0), handle, NONE), Ok(()));
    assert_eq!(ok(bench.sp_call(0, &[], next(first, HOST))), Err(INVALID));
    assert_eq!(bench.reclaim(Who::Host, handle, 0), Ok(()));
}

fn share(ranges: &[Constituent]) -> Vec<u8> {
    encode(Layout::V1_1, &offer(HOST, SHARE, &[sp(0)]), ranges)
}

#[test]
fn a_borrower_needs_a_free_rx_buffer() {
    let bench = bench(1);
    let handle = bench.offer(Who::Host, SHARE, &[sp(0)], &[range(NS, 1)]).unwrap();
    let bytes = encode(Layout::V1_1, &request(HOST, handle, SHARE, &[sp(0)]), &[]);
    let length = bytes.len() as u32;
    let retrieve = Call::MemRetrieveRequest(transaction(length, length));
    let info = Call::PartitionInfoGet { uuid: tantalum_ffa::Uuid::nil(), count_only: false };
    assert_eq!(ok(bench.sp_call(0, &[], info)), Ok(()));
    assert_eq!(ok(bench.sp_call(0, &bytes, retrieve)), Err(Status::Busy));
    assert_eq!(bench.access(0, Ipa::non_secure(NS)), "---");
    assert_eq!(ok(bench.sp_call(0, &[], Call::RxtxUnmap { endpoint: HOST })), Ok(()));
    assert_eq!(ok(bench.sp_call(0, &bytes, retrieve)), Err(Status::NoMemory));
    assert_eq!(bench.access(0, Ipa::non_secure(NS)), "---");
}

#[test]
fn translation_tables_run_out_without_a_trace() {
    let bench = bench(4);
    // A page in every piece of 2 MiB: each takes a table.
    let far: Vec<_> = (0..100).map(|index| range(NS + index * 0x20_0000, 1)).collect();
    let handle = bench.send_in(Who::Host, SHARE, &share(&far), 4096).unwrap();
    let refused = bench.retrieve(0, HOST, handle, SHARE, &[sp(0)]);
    assert_eq!(refused.unwrap_err(), Status::NoMemory);
    for range in [&far[0], &far[20], &far[99]] {
        assert_eq!(bench.access(0, Ipa::non_secure(range.address)), "---");
    }
    assert_eq!(bench.reclaim(Who::Host, handle, 0), Ok(()), "nobody has it");
    // What fits, fits again and again.
    for _ in 0..3 {
        let handle = bench.send_in(Who::Host, SHARE, &share(&far[..26]), 4096).unwrap();
        bench.retrieve(0, HOST, handle, SHARE, &[sp(0)]).unwrap();
        assert_eq!(bench.access(0, Ipa::non_secure(far[25].address)), "rw-");
        assert_eq!(bench.relinquish(Who::Sp(0), handle, NONE), Ok(()));
        assert_eq!(bench.reclaim(Who::Host, handle, 0), Ok(()));
    }
}

#[test]
fn only_a_hypervisor_is_told_without_being_a_receiver() {
    let bench = bench(2);
    let (vm, both) = (EndpointId::new(3), [sp(0), sp(1)]);
    let bytes = encode(Layout::V1_1, &offer(vm, SHARE, &both), &[range(NS, 3)]);
    let handle = bench.send(Who::Host, SHARE, &bytes).unwrap();
    let (answer, ranges) = bench.ask_for_all(handle, vm).unwrap();
    assert_eq!(ranges, [range(NS, 3)]);
    assert_eq!(answer.receivers.iter().map(|receiver| receiver.endpoint).collect::<Vec<_>>(), both);
    assert_eq!(answer.sender, vm);
    assert_eq!(bench.ask_for_all(handle, HOST).unwrap_err(), Status::Denied, "another has sent it");
    let mut ask = request(vm, handle, SHARE, &[]);
    ask.attributes = tantalum_ffa::memory::MemoryAttributes::NOT_SPECIFIED;
    let refused = bench.retrieve_with(Who::Sp(0), Layout::V1_1, &ask);
    assert_eq!(refused.unwrap_err(), INVALID);
    let secret = bench.offer(Who::Sp(0), SHARE, &[sp(1)], &[range(own_page(0, 0), 1)]).unwrap();
    assert_eq!(bench.ask_for_all(secret, sp(0)).unwrap_err(), INVALID);
    assert_eq!(bench.reclaim(Who::Host, handle, 0), Ok(()));
    assert_eq!(bench.ask_for_all(handle, vm).unwrap_err(), INVALID);
}
