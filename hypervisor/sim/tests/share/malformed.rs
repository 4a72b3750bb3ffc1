//! Descriptors and calls that are wrong in one place each, and that nothing has changed after any of them.

use tantalum_ffa::memory::{
    Cacheability, DataAccess, DeviceKind, Handle, InstructionAccess, Layout, List, MemoryAttributes,
    MemoryType, Permissions, Receiver, ReceiverFlags, RelinquishFlags, Shareability, Transaction,
    TransactionFlags, TransactionKind,
};
use tantalum_ffa::{Call, Status, Width};
use tantalum_types::{EndpointId, Ipa};

use crate::bench::*;

const SHARE: TransactionKind = TransactionKind::Share;
const LEND: TransactionKind = TransactionKind::Lend;
const DONATE: TransactionKind = TransactionKind::Donate;
const NONE: RelinquishFlags = RelinquishFlags::empty();
const INVALID: Status = Status::InvalidParameters;
const DENIED: Status = Status::Denied;

/// Checks that everything can still be sent, and that nobody has got anything.
fn check_untouched(bench: &Bench, what: &str) {
    assert_eq!(bench.access(0, Ipa::non_secure(NS)), "---", "{what}");
    for kind in [SHARE, LEND] {
        let handle = bench.offer(Who::Host, kind, &[sp(0)], &[range(NS, 4)]);
        let handle = handle.unwrap_or_else(|status| panic!("after {what}: {status}"));
        assert_eq!(bench.reclaim(Who::Host, handle, 0), Ok(()), "{what}");
    }
}

/// Puts `bytes` at `offset` of a descriptor.
fn patched(descriptor: &[u8], offset: usize, bytes: &[u8]) -> Vec<u8> {
    let mut descriptor = descriptor.to_vec();
    descriptor[offset..offset + bytes.len()].copy_from_slice(bytes);
    descriptor
}

#[test]
fn bytes_that_are_no_descriptor_are_refused() {
    let bench = bench(1);
    let good = encode(Layout::V1_1, &offer(HOST, SHARE, &[sp(0)]), &[range(NS, 2), range(NS + 2 * PAGE, 1)]);
    // The header has 48 bytes, the record 16, the ranges' header 16.
    let cases: [(&str, usize, &[u8]); 26] = [
        ("attributes that do not exist", 2, &[0x3f]),
        ("a reserved bit of the attributes", 2, &[0xaf]),
        ("the NS bit, which only an answer has", 2, &[0x6f]),
        ("a flag that does not exist", 5, &[0x10]),
        ("the kind, which only a receiver states", 4, &[0x08]),
        ("zeros, though the sender goes on using the memory", 4, &[0x01]),
        ("time slices", 4, &[0x02]),
        ("a handle", 8, &[1]),
        ("records of another size", 24, &[24]),
        ("records of no size", 24, &[0]),
        ("no records", 28, &[0]),
        ("more records than there are", 28, &[2]),
        ("an absurd number of records", 28, &[0xff, 0xff, 0xff, 0xff]),
        ("records within the header", 32, &[32]),
        ("records at a wrong place", 32, &[56]),
        ("records behind the end", 32, &[0, 0xff, 0xff, 0xff]),
        ("a reserved field of the header", 36, &[1]),
        ("reserved permissions", 50, &[0x03]),
        ("the right to execute", 50, &[0x0a]),
        ("a flag of the record", 51, &[1]),
        ("no ranges", 52, &[0]),
        ("ranges within the records", 52, &[48]),
        ("ranges behind the end", 52, &[0xf0, 0xff]),
        ("a reserved field of the record", 56, &[1]),
        ("another number of ranges", 68, &[3]),
        ("another number of pages", 64, &[4]),
    ];
    for (what, offset, bytes) in cases {
        let refused = bench.send(Who::Host, SHARE, &patched(&good, offset, bytes));
        assert_eq!(refused, Err(INVALID), "{what}");
        check_untouched(&bench, what);
    }
    let cases: [(&str, usize, &[u8], Status); 8] = [
        ("fewer pages", 64, &[2], INVALID),
        ("a reserved field of the ranges' header", 72, &[1], INVALID),
        ("an address within a page", 80, &[1], INVALID),
        ("a range without pages", 88, &[0], INVALID),
        ("a reserved field of a range", 92, &[1], INVALID),
        (
            "a range that ends beyond all addresses",
            80,
            &[0, 0xf0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            INVALID,
        ),
        ("a range that is nobody's", 80, &[0, 0, 0, 0, 0x70], DENIED),
        ("the same range twice", 96, &NS.to_le_bytes(), DENIED),
    ];
    for (what, offset, bytes, status) in cases {
        let refused = bench.send(Who::Host, SHARE, &patched(&good, offset, bytes));
        assert_eq!(refused, Err(status), "{what}");
        check_untouched(&bench, what);
    }
}

#[test]
fn calls_that_do_not_fit_their_descriptor_are_refused() {
    let bench = bench(1);
    let good = encode(Layout::V1_1, &offer(HOST, SHARE, &[sp(0)]), &[range(NS, 1)]);
    let length = good.len() as u32;
    for (total, fragment) in [
        (length - 16, length),
        (length, length + 16),
        (length + 16, length + 16),
        (0, 0),
        (length, 0),
        (u32::MAX, u32::MAX),
    ] {
        let refused = ok(bench.call(Who::Host, &good, Call::MemShare(transaction(total, fragment))));
        assert_eq!(refused, Err(INVALID), "{total} {fragment}");
        check_untouched(&bench, "a wrong length");
    }
    // A descriptor elsewhere than in the TX buffer.
    for (address, page_count) in [(NS, 1), (0, 1), (NS, 0)] {
        let call = tantalum_ffa::MemoryTransaction {
            width: Width::Bits64,
            address,
            page_count,
            ..transaction(length, length)
        };
        assert_eq!(ok(bench.call(Who::Host, &good, Call::MemShare(call))), Err(INVALID));
        assert_eq!(ok(bench.call(Who::Host, &good, Call::MemRetrieveRequest(call))), Err(INVALID));
    }
    // Without buffers.
    assert_eq!(ok(bench.sim.ask(0, Call::RxtxUnmap { endpoint: HOST })), Ok(()));
    assert_eq!(bench.send(Who::Host, SHARE, &good), Err(DENIED));
}

#[test]
fn offers_that_break_a_rule_are_refused() {
    let bench = bench(3);
    let with = |kind, receivers: &[EndpointId], change: &dyn Fn(&mut Transaction)| {
        let mut sent = offer(HOST, kind, receivers);
        change(&mut sent);
        bench.send(Who::Host, kind, &encode(Layout::V1_1, &sent, &[range(NS, 1)]))
    };
    let permit = |data, instruction| {
        move |sent: &mut Transaction| {
            sent.receivers = List::of_one(Receiver::new(sp(0), Permissions { data, instruction }));
        }
    };
    let attributes = |memory_type| {
        move |sent: &mut Transaction| sent.attributes = MemoryAttributes { non_secure: false, memory_type }
    };
    let open = InstructionAccess::NotSpecified;
    let one = [sp(0)];
    let two = [sp(0), sp(1)];
    let normal = MemoryType::NORMAL;
    let uncached = MemoryType::Normal(Cacheability::NonCacheable, Shareability::Inner);
    let unshared = MemoryType::Normal(Cacheability::WriteBack, Shareability::NonShareable);
    let device = MemoryType::Device(DeviceKind::NGnRnE);
    let cases: Vec<(&str, Result<Handle, Status>, Status)> = vec![
        ("a share without data access", with(SHARE, &one, &permit(DataAccess::NotSpecified, open)), INVALID),
        ("a loan without data access", with(LEND, &one, &permit(DataAccess::NotSpecified, open)), INVALID),
        ("a donation with data access", with(DONATE, &one, &permit(DataAccess::ReadWrite, open)), INVALID),
        (
            "a loan of code",
            with(LEND, &one, &permit(DataAccess::ReadOnly, InstructionAccess::Executable)),
            INVALID,
        ),
        (
            "a loan that forbids execution",
            with(LEND, &one, &permit(DataAccess::ReadOnly, InstructionAccess::NotExecutable)),
            INVALID,
        ),
        ("a donation to two", with(DONATE, &two, &|_| {}), INVALID),
        ("one receiver twice", with(SHARE, &[sp(0), sp(0)], &|_| {}), INVALID),
        ("a loan to one that names a type", with(LEND, &one, &attributes(normal)), INVALID),
        ("a donation that names a type", with(DONATE, &one, &attributes(normal)), INVALID),
        ("a share without a type", with(SHARE, &one, &attributes(MemoryType::NotSpecified)), DENIED),
        ("a loan to two without a type", with(LEND, &two, &attributes(MemoryType::NotSpecified)), DENIED),
        ("memory past the caches", with(SHARE, &one, &attributes(uncached)), DENIED),
        ("memory that is not coherent", with(SHARE, &one, &attributes(unshared)), DENIED),
        ("memory as a device", with(SHARE, &one, &attributes(device)), DENIED),
        ("a loan to two as a device", with(LEND, &two, &attributes(device)), DENIED),
        ("a receiver that is the sender", with(SHARE, &[HOST, sp(0)], &|_| {}), INVALID),
        ("a partition that does not exist", with(SHARE, &[sp(3)], &|_| {}), INVALID),
        ("the SPMC", with(SHARE, &[EndpointId::SPMC], &|_| {}), INVALID),
        (
            "a partition as the sender",
            with(SHARE, &one, &|sent: &mut Transaction| sent.sender = sp(1)),
            DENIED,
        ),
        (
            "a loan for a proxy",
            with(SHARE, &one, &|sent: &mut Transaction| {
                let mut receiver = Receiver::new(sp(0), Permissions::READ_ONLY);
                receiver.flags = ReceiverFlags::NON_RETRIEVAL_BORROWER;
                sent.receivers = List::of_one(receiver);
            }),
            INVALID,
        ),
    ];
    for (what, refused, status) in cases {
        assert_eq!(refused, Err(status), "{what}");
    }
    check_untouched(&bench, "all of them");
}

#[test]
fn requests_that_break_a_rule_are_refused() {
    let bench = bench(3);
    let lent = bench.offer(Who::Host, LEND, &[sp(0)], &[range(NS, 1)]).unwrap();
    let mut reads = offer(HOST, SHARE, &[sp(0)]);
    reads.receivers = List::of_one(Receiver::new(sp(0), Permissions::READ_ONLY));
    let reads = encode(Layout::V1_1, &reads, &[range(NS + PAGE, 1)]);
    let shared = bench.send(Who::Host, SHARE, &reads).unwrap();
    let ask = |handle, kind, receivers: &[EndpointId], change: &dyn Fn(&mut Transaction)| {
        let mut wish = request(HOST, handle, kind, receivers);
        change(&mut wish);
        bench.retrieve_with(Who::Sp(0), Layout::V1_1, &wish).map(|_| ())
    };
    let permit = |data, instruction| {
        move |wish: &mut Transaction| {
            wish.receivers = List::of_one(Receiver::new(sp(0), Permissions { data, instruction }));
        }
    };
    let flags = |flags| move |wish: &mut Transaction| wish.flags |= flags;
    let attributes =
        |raw| move |wish: &mut Transaction| wish.attributes = MemoryAttributes::decode(raw).unwrap();
    let one = [sp(0)];
    let (open, never) = (InstructionAccess::NotSpecified, InstructionAccess::NotExecutable);
    let other = Handle::new(lent.raw() ^ 0x100);
    let cases: Vec<(&str, Result<(), Status>, Status)> = vec![
        ("another handle", ask(other, LEND, &one, &|_| {}), INVALID),
        ("another tag", ask(lent, LEND, &one, &|wish: &mut Transaction| wish.tag = 0), INVALID),
        (
            "another kind",
            ask(lent, LEND, &one, &|wish: &mut Transaction| wish.flags = SHARE.flags()),
            INVALID,
        ),
        ("another sender", ask(lent, LEND, &one, &|wish: &mut Transaction| wish.sender = sp(1)), DENIED),
        ("another receiver", ask(lent, LEND, &[sp(1)], &|_| {}), DENIED),
        ("a receiver more", ask(lent, LEND, &[sp(0), sp(1)], &|_| {}), INVALID),
        ("more than was offered", ask(shared, SHARE, &one, &permit(DataAccess::ReadWrite, open)), DENIED),
        ("no word about execution", ask(lent, LEND, &one, &permit(DataAccess::ReadWrite, open)), INVALID),
        ("a word about execution", ask(shared, SHARE, &one, &permit(DataAccess::ReadOnly, never)), INVALID),
        (
            "execution of what the normal world writes",
            ask(lent, LEND, &one, &permit(DataAccess::ReadOnly, InstructionAccess::Executable)),
            DENIED,
        ),
        ("time slices", ask(lent, LEND, &one, &flags(TransactionFlags::TIME_SLICE)), INVALID),
        ("an alignment", ask(lent, LEND, &one, &flags(TransactionFlags::ALIGNMENT_VALID)), INVALID),
        ("an alignment", ask(lent, LEND, &one, &flags(TransactionFlags::ALIGNMENT)), INVALID),
        ("zeros nobody wrote", ask(lent, LEND, &one, &flags(TransactionFlags::ZERO_MEMORY)), DENIED),
        ("zeros in shared memory", ask(shared, SHARE, &one, &flags(TransactionFlags::ZERO_MEMORY)), INVALID),
        (
            "zeros in shared memory afterwards",
            ask(shared, SHARE, &one, &flags(TransactionFlags::ZERO_AFTER_RELINQUISH)),
            INVALID,
        ),
        ("the NS bit, which only an answer has", ask(lent, LEND, &one, &attributes(0x6f)), INVALID),
        ("memory past the caches", ask(lent, LEND, &one, &attributes(0x27)), DENIED),
        ("memory as a device", ask(lent, LEND, &one, &attributes(0x10)), DENIED),
    ];
    for (what, refused, status) in cases {
        assert_eq!(refused, Err(status), "{what}");
    }
    // To read what was lent for writing, and to want it without zeros, is fine; zeros need the right to write.
    let zero_later = |wish: &mut Transaction| {
        permit(DataAccess::ReadOnly, never)(wish);
        wish.flags |= TransactionFlags::ZERO_AFTER_RELINQUISH;
    };
    assert_eq!(ask(lent, LEND, &one, &zero_later), Err(DENIED));
    assert_eq!(bench.access(0, Ipa::non_secure(NS)), "---");
    assert_eq!(ask(lent, LEND, &one, &permit(DataAccess::ReadOnly, never)), Ok(()));
    assert_eq!(bench.access(0, Ipa::non_secure(NS)), "r--");
    // A request says nothing about ranges, and has the length that it says.
    let good = encode(Layout::V1_1, &request(HOST, shared, SHARE, &one), &[]);
    let with_ranges = encode(Layout::V1_1, &request(HOST, shared, SHARE, &one), &[range(NS + PAGE, 1)]);
    assert_eq!(bench.retrieve_bytes(Who::Sp(0), Layout::V1_1, &with_ranges).unwrap_err(), INVALID);
    let length = good.len() as u32;
    for (total, fragment) in [(length, length - 16), (length + 16, length + 16), (0, 0), (1024, 1024)] {
        let call = Call::MemRetrieveRequest(transaction(total, fragment));
        assert_eq!(ok(bench.sp_call(0, &good, call)), Err(INVALID), "{total} {fragment}");
    }
    assert!(bench.retrieve_bytes(Who::Sp(0), Layout::V1_1, &good).is_ok());
}

#[test]
fn what_is_given_back_is_named_exactly() {
    let bench = bench(2);
    let handle = bench.offer(Who::Host, SHARE, &[sp(0)], &[range(NS, 1)]).unwrap();
    bench.retrieve(0, HOST, handle, SHARE, &[sp(0)]).unwrap();
    let good = {
        let mut bytes = vec![0; 18];
        let endpoints = List::of_one(sp(0));
        tantalum_ffa::memory::Relinquish { handle, flags: NONE, endpoints }.encode(&mut bytes).unwrap();
        bytes
    };
    let other = patched(&good, 16, &sp(1).raw().to_le_bytes());
    for (what, bytes) in [
        ("another handle", patched(&good, 1, &[good[1] ^ 1])),
        ("zeros in shared memory", patched(&good, 8, &[1])),
        ("time slices", patched(&good, 8, &[2])),
        ("a flag that does not exist", patched(&good, 8, &[4])),
        ("no endpoint", patched(&good, 12, &[0])),
        ("two endpoints", [patched(&good, 12, &[2]), vec![1, 0x80]].concat()),
        ("another endpoint", other),
    ] {
        assert_eq!(ok(bench.sp_call(0, &bytes, Call::MemRelinquish)), Err(INVALID), "{what}");
        assert_eq!(bench.access(0, Ipa::non_secure(NS)), "rw-", "{what}");
    }
    assert_eq!(ok(bench.sp_call(1, &good, Call::MemRelinquish)), Err(INVALID));
    assert_eq!(ok(bench.call(Who::Host, &good, Call::MemRelinquish)), Err(INVALID));
    assert_eq!(ok(bench.sp_call(0, &good, Call::MemRelinquish)), Ok(()));
}

#[test]
fn what_is_not_offered_is_not_supported() {
    let bench = bench(1);
    for call in [
        Call::MemOpPause { handle: 0 },
        Call::MemOpResume { handle: 0 },
        Call::MemPermGet { width: Width::Bits32, address: 0 },
        Call::MemPermSet { width: Width::Bits32, address: 0, page_count: 1, permissions: 0 },
    ] {
        assert_eq!(bench.sim.refusal(0, call), Status::NotSupported);
        assert_eq!(ok(bench.sp_call(0, &[], call)), Err(Status::NotSupported));
    }
}

#[test]
fn features_tell_of_retrieval() {
    use tantalum_ffa::Version;
    let features = |bench: &Bench, input| match bench.sim.ask(0, Call::Features { id: 0x8400_0074, input }) {
        Call::Success32 { results: [w2, ..], .. } => Ok(w2),
        Call::Error { status, .. } => Err(status),
        other => panic!("{other:?}"),
    };
    let new = bench(1);
    assert_eq!(features(&new, 2), Ok(6));
    for input in [0, 1, 3, 4, 6] {
        assert_eq!(features(&new, input), Err(INVALID), "{input}");
    }
    let old = bench_of(&[Version::V1_1], Version::V1_0);
    assert_eq!((features(&old, 0), features(&old, 2)), (Ok(6), Ok(6)));
    assert_eq!(features(&old, 4), Err(INVALID));
}
