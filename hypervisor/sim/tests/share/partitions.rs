//! Memory of partitions: shared, lent, donated to other partitions, to several of them.

use tantalum_ffa::memory::{
    DataAccess, InstructionAccess, Layout, List, MemoryAttributes, Permissions, Receiver, RelinquishFlags,
    Transaction, TransactionFlags, TransactionKind,
};
use tantalum_ffa::{Call, Status, Width};
use tantalum_sim::manifests::partition_base;
use tantalum_types::{EndpointId, Ipa, Pa};

use crate::bench::*;

const SHARE: TransactionKind = TransactionKind::Share;
const LEND: TransactionKind = TransactionKind::Lend;
const DONATE: TransactionKind = TransactionKind::Donate;
const NONE: RelinquishFlags = RelinquishFlags::empty();
const ZERO: RelinquishFlags = RelinquishFlags::ZERO_MEMORY;

#[test]
fn who_shares_keeps_access_and_who_lends_does_not() {
    for (kind, owner) in [(SHARE, "rwx"), (LEND, "---")] {
        let bench = bench(2);
        let page = own_page(0, 0);
        let (ipa, neighbour) = (Ipa::secure(page), Ipa::secure(page + PAGE));
        assert_eq!(bench.access(0, ipa), "rwx");
        assert_eq!(bench.access(1, ipa), "---");
        let handle = bench.offer(Who::Sp(0), kind, &[sp(1)], &[range(page, 1)]).unwrap();
        assert_eq!(bench.access(0, ipa), owner);
        assert_eq!(bench.access(0, neighbour), "rwx");
        let (answer, ranges) = bench.retrieve(1, sp(0), handle, kind, &[sp(1)]).unwrap();
        assert_eq!(ranges, [range(page, 1)]);
        assert!(!answer.attributes.non_secure);
        assert_eq!((bench.access(0, ipa), bench.access(1, ipa)), (owner.into(), "rw-".into()));
        assert_eq!(bench.access(1, neighbour), "---");
        assert_eq!(bench.reclaim(Who::Sp(0), handle, 0), Err(Status::Denied));
        assert_eq!(bench.reclaim(Who::Sp(1), handle, 0), Err(Status::InvalidParameters));
        assert_eq!(bench.reclaim(Who::Host, handle, 0), Err(Status::InvalidParameters));
        assert_eq!(bench.relinquish(Who::Sp(0), handle, NONE), Err(Status::InvalidParameters));
        assert_eq!(bench.relinquish(Who::Sp(1), handle, NONE), Ok(()));
        assert_eq!((bench.access(0, ipa), bench.access(1, ipa)), (owner.into(), "---".into()));
        assert_eq!(bench.reclaim(Who::Sp(0), handle, 0), Ok(()));
        assert_eq!((bench.access(0, ipa), bench.access(1, ipa)), ("rwx".into(), "---".into()));
    }
}

#[test]
fn nothing_of_a_partition_goes_to_the_normal_world() {
    let bench = bench(2);
    let page = own_page(0, 0);
    for receivers in [&[HOST][..], &[EndpointId::new(3)], &[sp(1), HOST]] {
        for kind in [SHARE, LEND] {
            let refused = bench.offer(Who::Sp(0), kind, receivers, &[range(page, 1)]);
            assert_eq!(refused, Err(Status::Denied), "{receivers:?}");
        }
    }
    assert_eq!(bench.offer(Who::Sp(0), DONATE, &[HOST], &[range(page, 1)]), Err(Status::Denied));
    for unknown in [sp(2), EndpointId::SPMC, EndpointId::SPMD, EndpointId::new(0xffc0)] {
        let refused = bench.offer(Who::Sp(0), SHARE, &[unknown], &[range(page, 1)]);
        assert_eq!(refused, Err(Status::InvalidParameters), "{unknown}");
    }
    let spoofed = encode(Layout::V1_1, &offer(sp(1), SHARE, &[sp(0)]), &[range(page, 1)]);
    assert_eq!(bench.send(Who::Sp(0), SHARE, &spoofed), Err(Status::Denied));
    assert_eq!(bench.access(0, Ipa::secure(page)), "rwx");
}

#[test]
fn a_partition_sends_only_what_it_owns() {
    let bench = bench(2);
    for address in [
        own_page(1, 0),
        partition_base(0) - PAGE,
        partition_base(0) + 0x10_0000,
        tantalum_sim::manifests::SPMC_BASE,
        NS,
        // Its buffers.
        partition_base(0) + 0x8000,
        partition_base(0) + 0x9000,
    ] {
        let refused = bench.offer(Who::Sp(0), SHARE, &[sp(1)], &[range(address, 1)]);
        assert_eq!(refused, Err(Status::Denied), "{address:#x}");
    }
    // What it has borrowed is not its own, in no address space.
    let handle = bench.offer(Who::Host, SHARE, &[sp(0)], &[range(NS, 1)]).unwrap();
    bench.retrieve(0, HOST, handle, SHARE, &[sp(0)]).unwrap();
    assert_eq!(bench.offer(Who::Sp(0), SHARE, &[sp(1)], &[range(NS, 1)]), Err(Status::Denied));
    let lent = bench.offer(Who::Sp(1), LEND, &[sp(0)], &[range(own_page(1, 0), 1)]).unwrap();
    bench.retrieve(0, sp(1), lent, LEND, &[sp(0)]).unwrap();
    assert_eq!(bench.offer(Who::Sp(0), LEND, &[sp(1)], &[range(own_page(1, 0), 1)]), Err(Status::Denied));
    // Nor is it a place for buffers.
    assert_eq!(ok(bench.sp_call(0, &[], Call::RxtxUnmap { endpoint: HOST })), Ok(()));
    let map = |tx, rx| {
        let map = Call::RxtxMap { width: Width::Bits64, tx, rx, page_count: 1 };
        ok(bench.sp_call(0, &[], map))
    };
    let own = partition_base(0);
    assert_eq!(map(own_page(1, 0), own + 0x9000), Err(Status::InvalidParameters));
    assert_eq!(map(own + 0x8000, own + 0x9000), Ok(()));
    // Nor is what it has lent.
    let lent = bench.offer(Who::Sp(0), SHARE, &[sp(1)], &[range(own_page(0, 0), 1)]).unwrap();
    assert_eq!(ok(bench.sp_call(0, &[], Call::RxtxUnmap { endpoint: HOST })), Ok(()));
    assert_eq!(map(own + 0x8000, own_page(0, 0)), Err(Status::Denied));
    assert_eq!(map(own + 0x8000, own + 0x9000), Ok(()));
    assert_eq!(bench.reclaim(Who::Sp(0), lent, 0), Ok(()));
}

#[test]
fn code_can_be_lent_but_not_shared() {
    let bench = bench(2);
    let page = own_page(0, 0);
    let asks = |handle, kind, instruction| {
        let mut wish = request(sp(0), handle, kind, &[sp(1)]);
        let data = DataAccess::ReadOnly;
        wish.receivers = List::of_one(Receiver::new(sp(1), Permissions { data, instruction }));
        bench.retrieve_with(Who::Sp(1), Layout::V1_1, &wish).map(|_| ())
    };
    let lent = bench.offer(Who::Sp(0), LEND, &[sp(1)], &[range(page, 1)]).unwrap();
    let open = asks(lent, LEND, InstructionAccess::NotSpecified);
    assert_eq!(open, Err(Status::InvalidParameters), "the only borrower must say");
    assert_eq!(asks(lent, LEND, InstructionAccess::Executable), Ok(()));
    assert_eq!(bench.access(1, Ipa::secure(page)), "r-x");
    assert_eq!(bench.relinquish(Who::Sp(1), lent, ZERO), Err(Status::Denied), "it cannot write");
    assert_eq!(bench.relinquish(Who::Sp(1), lent, NONE), Ok(()));
    assert_eq!(bench.reclaim(Who::Sp(0), lent, 0), Ok(()));

    let shared = bench.offer(Who::Sp(0), SHARE, &[sp(1)], &[range(page, 1)]).unwrap();
    for instruction in [InstructionAccess::Executable, InstructionAccess::NotExecutable] {
        assert_eq!(asks(shared, SHARE, instruction), Err(Status::InvalidParameters));
    }
    assert_eq!(asks(shared, SHARE, InstructionAccess::NotSpecified), Ok(()));
    assert_eq!(bench.access(1, Ipa::secure(page)), "r--");

    // Never what the normal world could change behind its back.
    let foreign = bench.offer(Who::Host, LEND, &[sp(1)], &[range(NS, 1)]).unwrap();
    let mut wish = request(HOST, foreign, LEND, &[sp(1)]);
    let permissions = Permissions { data: DataAccess::ReadOnly, instruction: InstructionAccess::Executable };
    wish.receivers = List::of_one(Receiver::new(sp(1), permissions));
    let refused = bench.retrieve_with(Who::Sp(1), Layout::V1_1, &wish);
    assert_eq!(refused.unwrap_err(), Status::Denied);
}

#[test]
fn donated_memory_belongs_to_the_receiver() {
    let bench = bench(3);
    let page = own_page(0, 0);
    let ipa = Ipa::secure(page);
    let handle = bench.offer(Who::Sp(0), DONATE, &[sp(1)], &[range(page, 2)]).unwrap();
    assert_eq!(bench.access(0, ipa), "---");
    // As long as it is not retrieved the owner can take it back.
    assert_eq!(bench.reclaim(Who::Sp(0), handle, 0), Ok(()));
    assert_eq!(bench.access(0, ipa), "rwx");

    let handle = bench.offer(Who::Sp(0), DONATE, &[sp(1)], &[range(page, 2)]).unwrap();
    bench.retrieve(1, sp(0), handle, DONATE, &[sp(1)]).unwrap();
    assert_eq!((bench.access(0, ipa), bench.access(1, ipa)), ("---".into(), "rw-".into()));
    assert_eq!(bench.reclaim(Who::Sp(0), handle, 0), Err(Status::InvalidParameters));
    assert_eq!(bench.relinquish(Who::Sp(1), handle, NONE), Err(Status::InvalidParameters));
    assert_eq!(bench.offer(Who::Sp(0), LEND, &[sp(2)], &[range(page, 1)]), Err(Status::Denied));
    // The new owner does with it what it likes, page by page.
    let lent = bench.offer(Who::Sp(1), LEND, &[sp(2)], &[range(page, 1)]).unwrap();
    bench.retrieve(2, sp(1), lent, LEND, &[sp(2)]).unwrap();
    assert_eq!((bench.access(1, ipa), bench.access(2, ipa)), ("---".into(), "rw-".into()));
    assert_eq!(bench.access(1, Ipa::secure(page + PAGE)), "rw-");
    assert_eq!(bench.relinquish(Who::Sp(2), lent, NONE), Ok(()));
    assert_eq!(bench.reclaim(Who::Sp(1), lent, 0), Ok(()));
    assert_eq!(bench.access(1, ipa), "rw-");
    // And gives part of it back.
    let back = bench.offer(Who::Sp(1), DONATE, &[sp(0)], &[range(page, 1)]).unwrap();
    bench.retrieve(0, sp(1), back, DONATE, &[sp(0)]).unwrap();
    assert_eq!((bench.access(0, ipa), bench.access(1, ipa)), ("rw-".into(), "---".into()));
    assert!(bench.offer(Who::Sp(0), LEND, &[sp(2)], &[range(page, 1)]).is_ok());
    assert_eq!(bench.offer(Who::Sp(0), LEND, &[sp(2)], &[range(page + PAGE, 1)]), Err(Status::Denied));
}

#[test]
fn memory_that_the_normal_world_donates_is_lost_to_it() {
    let bench = bench(2);
    let handle = bench.offer(Who::Host, DONATE, &[sp(0)], &[range(NS, 2)]).unwrap();
    bench.retrieve(0, HOST, handle, DONATE, &[sp(0)]).unwrap();
    assert_eq!(bench.access(0, Ipa::non_secure(NS)), "rw-");
    assert_eq!(bench.offer(Who::Host, SHARE, &[sp(1)], &[range(NS + PAGE, 1)]), Err(Status::Denied));
    assert_eq!(ok(bench.sim.ask(0, Call::RxtxUnmap { endpoint: HOST })), Ok(()));
    let map = Call::RxtxMap { width: Width::Bits64, tx: NS, rx: RX, page_count: 1 };
    assert_eq!(ok(bench.sim.ask(0, map)), Err(Status::Denied));
    // The partition shares it in the space where it lies.
    let shared = bench.offer(Who::Sp(0), SHARE, &[sp(1)], &[range(NS, 1)]).unwrap();
    let (answer, _) = bench.retrieve(1, sp(0), shared, SHARE, &[sp(1)]).unwrap();
    assert!(answer.attributes.non_secure);
    assert_eq!(bench.access(1, Ipa::non_secure(NS)), "rw-");
    // Both spaces in one transaction are refused.
    let both = [range(NS + PAGE, 1), range(own_page(0, 0), 1)];
    assert_eq!(bench.offer(Who::Sp(0), SHARE, &[sp(1)], &both), Err(Status::Denied));
}

#[test]
fn several_borrowers_have_their_own_permissions() {
    let bench = bench(4);
    let page = own_page(0, 0);
    let ipa = Ipa::secure(page);
    let both = [sp(1), sp(2)];
    for (kind, owner) in [(SHARE, "rwx"), (LEND, "---")] {
        let mut sent = offer(sp(0), kind, &both);
        let writes = Receiver::new(sp(1), Permissions::READ_WRITE);
        let reads = Receiver::new(sp(2), Permissions::READ_ONLY);
        sent.receivers = List::from_slice(&[writes, reads]).unwrap();
        let handle = bench.send(Who::Sp(0), kind, &encode(Layout::V1_1, &sent, &[range(page, 1)])).unwrap();
        let (answer, _) = bench.retrieve(2, sp(0), handle, kind, &both).unwrap();
        assert_eq!(answer.receivers.len(), 1, "each is told of itself only");
        assert_eq!(answer.receivers[0].permissions.data, DataAccess::ReadOnly);
        let views = || [0, 1, 2, 3].map(|index| bench.access(index, ipa));
        assert_eq!(views(), [owner, "---", "r--", "---"]);
        bench.retrieve(1, sp(0), handle, kind, &both).unwrap();
        assert_eq!(views(), [owner, "rw-", "r--", "---"]);
        let again = bench.retrieve(1, sp(0), handle, kind, &both);
        assert_eq!(again.unwrap_err(), Status::Denied, "it has it already");
        let stranger = bench.retrieve(3, sp(0), handle, kind, &both);
        assert_eq!(stranger.unwrap_err(), Status::InvalidParameters, "it does not name itself");
        let stranger = bench.retrieve(3, sp(0), handle, kind, &[sp(3), sp(2)]);
        assert_eq!(stranger.unwrap_err(), Status::Denied);
        assert_eq!(bench.relinquish(Who::Sp(3), handle, NONE), Err(Status::InvalidParameters));
        assert_eq!(bench.relinquish(Who::Sp(1), handle, NONE), Ok(()));
        assert_eq!(views(), [owner, "---", "r--", "---"]);
        assert_eq!(bench.reclaim(Who::Sp(0), handle, 0), Err(Status::Denied));
        assert_eq!(bench.relinquish(Who::Sp(2), handle, NONE), Ok(()));
        assert_eq!(bench.reclaim(Who::Sp(0), handle, 0), Ok(()));
        assert_eq!(views(), ["rwx", "---", "---", "---"]);
    }
}

#[test]
fn zeros_wait_for_the_last_of_several_borrowers() {
    let bench = bench(3);
    let page = own_page(0, 0);
    let both = [sp(1), sp(2)];
    let handle = bench.offer(Who::Sp(0), LEND, &both, &[range(page, 1)]).unwrap();
    bench.retrieve(1, sp(0), handle, LEND, &both).unwrap();
    bench.retrieve(2, sp(0), handle, LEND, &both).unwrap();
    bench.fill(Pa::secure(page), 5);
    assert_eq!(bench.relinquish(Who::Sp(1), handle, ZERO), Ok(()));
    assert_eq!(bench.byte(Pa::secure(page)), 5, "somebody works with it");
    assert_eq!(bench.relinquish(Who::Sp(2), handle, NONE), Ok(()));
    assert_eq!(bench.byte(Pa::secure(page)), 0);
}

#[test]
fn a_borrower_may_leave_the_others_out_since_1_2() {
    use tantalum_ffa::Version;
    let bench = bench_of(&[Version::V1_2, Version::V1_2, Version::V1_2, Version::V1_1], Version::V1_2);
    let page = own_page(0, 0);
    let bypass = TransactionFlags::BYPASS_MULTI_BORROWER_CHECK;
    let several = [sp(1), sp(2), sp(3)];
    let bytes = encode(Layout::V1_2, &offer(sp(0), SHARE, &several), &[range(page, 1)]);
    let handle = bench.send(Who::Sp(0), SHARE, &bytes).unwrap();
    let mut wish = request(sp(0), handle, SHARE, &[sp(2)]);
    let short = bench.retrieve_with(Who::Sp(2), Layout::V1_2, &wish);
    assert_eq!(short.unwrap_err(), Status::InvalidParameters);
    wish.flags |= bypass;
    assert!(bench.retrieve_with(Who::Sp(2), Layout::V1_2, &wish).is_ok());
    let mut wish = request(sp(0), handle, SHARE, &[sp(3)]);
    wish.flags |= bypass;
    let old = bench.retrieve_with(Who::Sp(3), Layout::V1_1, &wish);
    assert_eq!(old.unwrap_err(), Status::InvalidParameters);
    let mut wish = request(sp(0), handle, SHARE, &several);
    wish.flags |= bypass;
    let all = bench.retrieve_with(Who::Sp(1), Layout::V1_2, &wish);
    assert_eq!(all.unwrap_err(), Status::InvalidParameters);
    // With one borrower there is nothing to leave out.
    let bytes = encode(Layout::V1_2, &offer(sp(0), SHARE, &[sp(1)]), &[range(page + PAGE, 1)]);
    let alone = bench.send(Who::Sp(0), SHARE, &bytes).unwrap();
    let mut wish = request(sp(0), alone, SHARE, &[sp(1)]);
    wish.flags |= bypass;
    let refused = bench.retrieve_with(Who::Sp(1), Layout::V1_2, &wish);
    assert_eq!(refused.unwrap_err(), Status::InvalidParameters);
}

#[test]
fn a_virtual_machine_can_borrow_beside_partitions_only() {
    let bench = bench(1);
    let (vm, other) = (EndpointId::new(1), EndpointId::new(2));
    let ranges = [range(NS, 1)];
    assert_eq!(bench.offer(Who::Host, SHARE, &[vm], &ranges), Err(Status::Denied));
    assert_eq!(bench.offer(Who::Host, SHARE, &[sp(0), vm, other], &ranges), Err(Status::Denied));
    let both = [sp(0), vm];
    let handle = bench.offer(Who::Host, SHARE, &both, &ranges).unwrap();
    let wish = request(HOST, handle, SHARE, &both);
    bench.retrieve_with(Who::Host, Layout::V1_1, &wish).unwrap();
    bench.retrieve(0, HOST, handle, SHARE, &both).unwrap();
    assert_eq!(bench.relinquish(Who::Sp(0), handle, NONE), Ok(()));
    assert_eq!(bench.reclaim(Who::Host, handle, 0), Err(Status::Denied));
    let mut bytes = [0; 18];
    let endpoints = List::of_one(vm);
    tantalum_ffa::memory::Relinquish { handle, flags: NONE, endpoints }.encode(&mut bytes).unwrap();
    assert_eq!(ok(bench.call(Who::Host, &bytes, Call::MemRelinquish)), Ok(()));
    assert_eq!(bench.reclaim(Who::Host, handle, 0), Ok(()));
}

#[test]
fn a_partition_has_a_quota_of_transactions_and_ranges() {
    let bench = bench(2);
    let page = own_page(0, 0);
    let handles: Vec<_> = (0..4)
        .map(|index| bench.offer(Who::Sp(0), SHARE, &[sp(1)], &[range(page + index * PAGE, 1)]).unwrap())
        .collect();
    let fifth = bench.offer(Who::Sp(0), SHARE, &[sp(1)], &[range(page + 8 * PAGE, 1)]);
    assert_eq!(fifth, Err(Status::NoMemory));
    for handle in handles {
        assert_eq!(bench.reclaim(Who::Sp(0), handle, 0), Ok(()));
    }
    // Two ranges are its buffers.
    let ranges: Vec<_> = (0..95).map(|index| range(page + index * 2 * PAGE, 1)).collect();
    assert_eq!(bench.offer(Who::Sp(0), SHARE, &[sp(1)], &ranges), Err(Status::NoMemory));
    let handle = bench.offer(Who::Sp(0), LEND, &[sp(1)], &ranges[..94]).unwrap();
    assert_eq!(bench.access(0, Ipa::secure(page)), "---");
    assert_eq!(bench.access(0, Ipa::secure(page + PAGE)), "rwx");
    assert_eq!(bench.reclaim(Who::Sp(0), handle, 0), Ok(()));
    assert_eq!(bench.access(0, Ipa::secure(page)), "rwx");
}

#[test]
fn regions_are_sent_as_they_are_mapped() {
    use tantalum_ffa::Version;
    use tantalum_sim::dtb::Node;
    use tantalum_sim::manifests::{DEVICE_BASE, device_regions, memory_regions, region, uart};
    let (readable, narrowed) = (own_page(0, 8), own_page(0, 9));
    let edit = |index: usize, manifest: &mut Node| {
        if index == 0 {
            manifest.add(device_regions([uart()]));
            manifest.add(memory_regions([
                region("constants", own_page(0, 8), 1, 1),
                region("data", own_page(0, 9), 1, 3),
            ]));
        }
    };
    let bench = bench_with(&[Version::V1_1; 3], Version::V1_1, edit);
    // A device goes to one borrower, for a time.
    let device = [range(DEVICE_BASE, 1)];
    for (kind, to) in [(SHARE, &[sp(1)][..]), (DONATE, &[sp(1)]), (LEND, &[sp(1), sp(2)])] {
        assert_eq!(bench.offer(Who::Sp(0), kind, to, &device), Err(Status::Denied), "{kind:?} to {to:?}");
    }
    let zeroed = Transaction { flags: TransactionFlags::ZERO_MEMORY, ..offer(sp(0), LEND, &[sp(1)]) };
    let refused = bench.send(Who::Sp(0), LEND, &encode(Layout::V1_1, &zeroed, &device));
    assert_eq!(refused, Err(Status::Denied));
    let lent = bench.offer(Who::Sp(0), LEND, &[sp(1)], &device).unwrap();
    assert_eq!(bench.access(0, Ipa::secure(DEVICE_BASE)), "---");
    let wrong = bench.retrieve(1, sp(0), lent, LEND, &[sp(1)]);
    assert_eq!(wrong.unwrap_err(), Status::Denied, "it is not Normal memory");
    let mut wish = request(sp(0), lent, LEND, &[sp(1)]);
    wish.attributes = MemoryAttributes::decode(0x10).unwrap();
    let (answer, _) = bench.retrieve_with(Who::Sp(1), Layout::V1_1, &wish).unwrap();
    assert_eq!(answer.attributes.encode(), 0x10);
    assert_eq!(bench.relinquish(Who::Sp(1), lent, NONE), Ok(()));
    assert_eq!(bench.reclaim(Who::Sp(0), lent, 1), Err(Status::Denied), "nobody writes zeros to a device");
    assert_eq!(bench.reclaim(Who::Sp(0), lent, 0), Ok(()));

    // What the owner may not write, nobody may.
    let constants = [range(readable, 1)];
    assert_eq!(bench.offer(Who::Sp(0), SHARE, &[sp(1)], &constants), Err(Status::Denied));
    let mut sent = offer(sp(0), LEND, &[sp(1)]);
    sent.receivers = List::of_one(Receiver::new(sp(1), Permissions::READ_ONLY));
    let handle = bench.send(Who::Sp(0), LEND, &encode(Layout::V1_1, &sent, &constants)).unwrap();
    assert_eq!(bench.reclaim(Who::Sp(0), handle, 1), Err(Status::Denied));
    assert_eq!(bench.reclaim(Who::Sp(0), handle, 0), Ok(()));
    assert_eq!(bench.access(0, Ipa::secure(readable)), "r--", "as it was");
    // And what the owner may not execute, neither. Memory of two kinds makes two transactions.
    let handle = bench.offer(Who::Sp(0), LEND, &[sp(1)], &[range(narrowed, 1)]).unwrap();
    let mut wish = request(sp(0), handle, LEND, &[sp(1)]);
    let permissions = Permissions { data: DataAccess::ReadOnly, instruction: InstructionAccess::Executable };
    wish.receivers = List::of_one(Receiver::new(sp(1), permissions));
    assert_eq!(bench.retrieve_with(Who::Sp(1), Layout::V1_1, &wish).unwrap_err(), Status::Denied);
    assert_eq!(bench.reclaim(Who::Sp(0), handle, 0), Ok(()));
    assert_eq!(bench.access(0, Ipa::secure(narrowed)), "rw-", "as it was");
    let both = bench.offer(Who::Sp(0), LEND, &[sp(1)], &[range(narrowed, 1), range(own_page(0, 10), 1)]);
    assert_eq!(both, Err(Status::Denied));
    let both = bench.offer(Who::Sp(0), LEND, &[sp(1)], &[range(narrowed, 2)]);
    assert_eq!(both, Err(Status::Denied));
}
