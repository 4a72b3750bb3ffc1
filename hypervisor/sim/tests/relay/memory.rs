//! Memory that virtual machines send to partitions, and what becomes of every page.

use tantalum_ffa::memory::{
    Constituent, Handle, Layout, MemoryType, RelinquishFlags, TransactionFlags, TransactionKind,
};
use tantalum_ffa::{Call, Status, Version};
use tantalum_types::{EndpointId, Ipa};
use tantalum_vmm::ffa::{MAX_RANGES, MAX_SHARES, PageState};

use crate::bench::{PAGE, Who, begin, bench, encode, offer, range, sp};
use crate::world::*;

const DONATE: TransactionKind = TransactionKind::Donate;
const LEND: TransactionKind = TransactionKind::Lend;
const SHARE: TransactionKind = TransactionKind::Share;
const NONE: RelinquishFlags = RelinquishFlags::empty();

/// Is the state of a page in a transaction.
fn state_in(kind: TransactionKind) -> PageState {
    match kind {
        TransactionKind::Donate => PageState::Donated,
        TransactionKind::Lend => PageState::Lent,
        TransactionKind::Share => PageState::Shared,
    }
}

#[test]
fn a_partition_borrows_the_pages_that_are_meant() {
    for kind in [SHARE, LEND] {
        for vm in 0..2 {
            let world = World::new(1);
            let ranges = [range(page(0), 2), range(page(9), 1)];
            let handle = world.offer(vm, kind, &[sp(0)], &ranges).unwrap();
            for number in [0, 1, 9] {
                assert_eq!(world.state(vm, page(number)), state_in(kind));
                assert_eq!(world.state(1 - vm, page(number)), PageState::Owned);
            }
            assert_eq!(world.state(vm, page(2)), PageState::Owned);
            let (answer, got) = world.bench.retrieve(0, id(vm), handle, kind, &[sp(0)]).unwrap();
            assert_eq!((answer.sender, answer.tag), (id(vm), 0x7a67));
            assert!(answer.attributes.non_secure && answer.attributes.memory_type == MemoryType::NORMAL);
            let at =
                |range: &Constituent| Constituent { address: physical(vm, range.address).raw(), ..*range };
            assert_eq!(got, ranges.each_ref().map(at));
            assert_eq!(world.bench.access(0, Ipa::non_secure(physical(vm, page(9)).raw())), "rw-");
            assert_eq!(world.bench.access(0, Ipa::non_secure(physical(1 - vm, page(9)).raw())), "---");

            assert_eq!(world.reclaim(vm, handle), Err(Status::Denied), "it has it");
            assert_eq!(world.state(vm, page(9)), state_in(kind));
            assert_eq!(world.bench.relinquish(Who::Sp(0), handle, NONE), Ok(()));
            assert_eq!(world.reclaim(1 - vm, handle), Err(Status::InvalidParameters), "it is another one's");
            assert_eq!(world.reclaim(vm, handle), Ok(()));
            assert_eq!(world.state(vm, page(0)), PageState::Owned);
            assert_eq!(world.reclaim(vm, handle), Err(Status::InvalidParameters));
        }
    }
}

#[test]
fn a_donation_comes_back_until_it_is_accepted() {
    let world = World::new(1);
    let handle = world.offer(0, DONATE, &[sp(0)], &[range(page(0), 1)]).unwrap();
    assert_eq!(world.state(0, page(0)), PageState::Donated);
    assert_eq!(world.reclaim(0, handle), Ok(()));
    assert_eq!(world.state(0, page(0)), PageState::Owned);

    let handle = world.offer(0, DONATE, &[sp(0)], &[range(page(0), 1)]).unwrap();
    assert!(world.bench.retrieve(0, id(0), handle, DONATE, &[sp(0)]).is_ok());
    for _ in 0..2 {
        assert_eq!(world.reclaim(0, handle), Err(Status::InvalidParameters));
        assert_eq!(world.state(0, page(0)), PageState::Donated);
    }
    assert_eq!(world.offer(0, SHARE, &[sp(0)], &[range(page(0), 1)]), Err(Status::Denied));
    assert!(!world.relay.stop(index(0), &world.spmc(0), &world.memory), "it never comes back");
}

#[test]
fn only_what_is_ones_own_alone_can_be_sent() {
    let world = World::new(1);
    let lent = world.offer(0, LEND, &[sp(0)], &[range(page(5), 2)]).unwrap();
    let end = RAM + RAM_PAGES * PAGE;
    for kind in TransactionKind::ALL {
        for wrong in [
            range(VM_TX, 1),
            range(VM_RX, 1),
            range(page(5), 1),
            range(page(6), 10),
            range(page(4), 2),
            range(RAM - PAGE, 1),
            range(end, 1),
            range(end - PAGE, 2),
            range(RAM, u32::MAX - 1),
            range(base(1), 1),
            range(0x0e10_0000, 1),
            range(0x0900_0000, 1),
            range(1 << 47, 1),
        ] {
            let refused = world.offer(0, kind, &[sp(0)], &[range(page(0), 1), wrong]);
            assert_eq!(refused, Err(Status::Denied), "{wrong:x?}");
            assert_eq!(world.state(0, page(0)), PageState::Owned, "nothing has changed");
        }
        let twice = world.offer(0, kind, &[sp(0)], &[range(page(0), 2), range(page(1), 1)]);
        assert_eq!(twice, Err(Status::Denied));
        assert_eq!(world.state(0, page(1)), PageState::Owned);
    }
    // The other one has pages of the same numbers.
    assert!(world.offer(1, LEND, &[sp(0)], &[range(page(5), 2)]).is_ok());
    assert_eq!(world.reclaim(0, lent), Ok(()));
    assert_eq!(world.does(0, map(page(0), page(1), 1)), Err(Status::Denied));
}

#[test]
fn pages_in_a_transaction_are_no_buffers() {
    let world = World::of(bench(1));
    assert_eq!(world.does(0, map(VM_TX, VM_RX, 1)), Ok(()));
    let handle = world.offer(0, SHARE, &[sp(0)], &[range(page(0), 1)]).unwrap();
    assert_eq!(world.does(0, Call::RxtxUnmap { endpoint: EndpointId::HYPERVISOR }), Ok(()));
    for (tx, rx) in [(page(0), VM_RX), (VM_TX, page(0))] {
        assert_eq!(world.does(0, map(tx, rx, 1)), Err(Status::Denied));
        assert_eq!((world.state(0, VM_TX), world.state(0, VM_RX)), (PageState::Owned, PageState::Owned));
    }
    assert_eq!(world.reclaim(0, handle), Ok(()), "that needs no buffers");
    assert_eq!(world.does(0, map(page(0), VM_RX, 1)), Ok(()));
}

#[test]
fn descriptors_are_checked() {
    let world = World::new(2);
    let good = offer(id(0), LEND, &[sp(0)]);
    let send = |kind, transaction: &tantalum_ffa::memory::Transaction| {
        let bytes = encode(Layout::V1_1, transaction, &[range(page(0), 1)]);
        let result = world.send_in(0, kind, &bytes, bytes.len());
        if result.is_err() {
            assert_eq!(world.state(0, page(0)), PageState::Owned);
        }
        result
    };
    let invalid = Err(Status::InvalidParameters);
    for receiver in [id(1), id(0), EndpointId::HYPERVISOR, sp(7)] {
        assert_eq!(send(LEND, &offer(id(0), LEND, &[receiver])), invalid, "{receiver}");
        assert_eq!(send(SHARE, &offer(id(0), SHARE, &[sp(0), receiver])), invalid, "{receiver}");
    }
    for sender in [id(1), EndpointId::HYPERVISOR, sp(0)] {
        assert_eq!(send(LEND, &offer(sender, LEND, &[sp(0)])), Err(Status::Denied), "{sender}");
    }
    let mut wrong = good;
    wrong.handle = Handle::new(1);
    assert_eq!(send(LEND, &wrong), invalid);
    let mut wrong = good;
    wrong.flags = TransactionFlags::TIME_SLICE;
    assert_eq!(send(LEND, &wrong), invalid);
    assert_eq!(send(DONATE, &offer(id(0), DONATE, &[sp(0), sp(1)])), invalid);
    // Lengths that are not those of the descriptor, and other buffers than the TX buffer.
    let bytes = encode(Layout::V1_1, &good, &[range(page(0), 1)]);
    world.write(0, VM_TX, &bytes);
    for (total, fragment) in
        [(0, 0), (95, 95), (96, 97), (97, 96), (4096, 4096), (u32::MAX, u32::MAX), (96, 47)]
    {
        assert_eq!(
            world.does(0, begin(LEND, total as usize, fragment as usize)),
            Err(Status::InvalidParameters),
            "{total} {fragment}"
        );
    }
    for (address, page_count) in [(VM_TX, 1), (VM_TX, 0), (0, 1)] {
        let transaction =
            tantalum_ffa::MemoryTransaction { address, page_count, ..crate::bench::transaction(96, 96) };
        assert_eq!(world.does(0, Call::MemLend(transaction)), Err(Status::InvalidParameters));
    }
    let both = send(SHARE, &offer(id(0), SHARE, &[sp(0), sp(1)])).unwrap();
    for index in 0..2 {
        assert!(world.bench.retrieve(index, id(0), both, SHARE, &[sp(0), sp(1)]).is_ok());
    }
}

#[test]
fn an_older_layout_is_understood() {
    let world = World::of(bench(1));
    world.raw_on(0, 0, Call::Version { requested: Version::V1_0.to_raw() }.encode());
    assert_eq!(world.does(0, map(VM_TX, VM_RX, 1)), Ok(()));
    let bytes = encode(Layout::V1_0, &offer(id(0), SHARE, &[sp(0)]), &[range(page(0), 1), range(page(2), 1)]);
    for size in [bytes.len(), bytes.len() - 16] {
        let handle = world.send_in(0, SHARE, &bytes, size).unwrap();
        let (_, got) = world.bench.retrieve(0, id(0), handle, SHARE, &[sp(0)]).unwrap();
        assert_eq!(got.len(), 2);
        assert_eq!(world.bench.relinquish(Who::Sp(0), handle, NONE), Ok(()));
        assert_eq!(world.reclaim(0, handle), Ok(()));
    }
}

#[test]
fn fragments_are_one_transaction() {
    let world = World::new(1);
    let ranges: Vec<Constituent> = (0..20).map(|number| range(page(2 * number), 1)).collect();
    let bytes = encode(Layout::V1_1, &offer(id(0), LEND, &[sp(0)]), &ranges);
    for size in [bytes.len() - 16, 96, 80 + 16 * 7, 112] {
        let handle = world.send_in(0, LEND, &bytes, size).unwrap();
        let (_, got) = world.bench.retrieve(0, id(0), handle, LEND, &[sp(0)]).unwrap();
        assert_eq!(got.len(), 20);
        assert_eq!(world.state(0, page(38)), PageState::Lent);
        assert_eq!(world.bench.relinquish(Who::Sp(0), handle, NONE), Ok(()));
        assert_eq!(world.reclaim(0, handle), Ok(()));
        assert_eq!(world.state(0, page(0)), PageState::Owned);
    }
}

/// Sends the first fragment of a loan of pages 0 and 2, then 4, and returns the handle.
fn half_a_loan(world: &World) -> Handle {
    let ranges = [range(page(0), 1), range(page(2), 1), range(page(4), 1)];
    let bytes = encode(Layout::V1_1, &offer(id(0), LEND, &[sp(0)]), &ranges);
    world.write(0, VM_TX, &bytes[..bytes.len() - 16]);
    match world.ask(0, begin(LEND, bytes.len(), bytes.len() - 16)) {
        Call::MemFragRx { handle, offset, endpoint } => {
            assert_eq!((offset as usize, endpoint), (bytes.len() - 16, EndpointId::HYPERVISOR));
            Handle::new(handle)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_wrong_fragment_ends_the_transaction() {
    let endpoint = EndpointId::HYPERVISOR;
    let world = World::new(1);
    for (next, length, status) in [
        (range(VM_RX, 1), 16, Status::Denied),
        (range(page(2), 1), 16, Status::Denied),
        (range(RAM - PAGE, 1), 16, Status::Denied),
        (range(page(4), 1), 0, Status::InvalidParameters),
        (range(page(4), 1), 8, Status::InvalidParameters),
        (range(page(4), 1), 32, Status::InvalidParameters),
        (range(page(4), 1), u32::MAX, Status::InvalidParameters),
        // More pages than were announced, which only the SPMC counts.
        (range(page(4), 2), 16, Status::InvalidParameters),
    ] {
        let handle = half_a_loan(&world);
        assert_eq!(world.state(0, page(0)), PageState::Lent);
        let go_on = Call::MemFragTx { handle: handle.raw(), length, endpoint };
        world.write(0, VM_TX, &next.encode());
        assert_eq!(world.does(1, go_on), Err(Status::InvalidParameters), "it is another one's");
        assert_eq!(world.does(0, go_on), Err(status), "{next:x?} {length}");
        assert_eq!(world.state(0, page(0)), PageState::Owned);
        assert_eq!(world.does(0, go_on), Err(Status::InvalidParameters), "there is no such transaction");
        let borrowed = world.bench.retrieve(0, id(0), handle, LEND, &[sp(0)]);
        assert_eq!(borrowed.unwrap_err(), Status::InvalidParameters, "nor at the SPMC");
    }
    // It can be given up, too.
    let handle = half_a_loan(&world);
    assert_eq!(world.reclaim(0, handle), Ok(()));
    assert_eq!(world.state(0, page(2)), PageState::Owned);
    let handle = half_a_loan(&world);
    assert!(world.relay.stop(index(0), &world.spmc(0), &world.memory));
    assert_eq!(world.state(0, page(2)), PageState::Owned);
    assert_eq!(world.reclaim(0, handle), Err(Status::InvalidParameters));
}

#[test]
fn a_transaction_is_complete_or_is_not() {
    let world = World::new(1);
    let complete = world.offer(0, LEND, &[sp(0)], &[range(page(8), 1)]).unwrap();
    world.write(0, VM_TX, &range(page(9), 1).encode());
    let go_on = Call::MemFragTx { handle: complete.raw(), length: 16, endpoint: EndpointId::HYPERVISOR };
    assert_eq!(world.does(0, go_on), Err(Status::InvalidParameters));
    assert_eq!(world.state(0, page(8)), PageState::Lent, "it is as it was");
    assert_eq!(world.reclaim(0, complete), Ok(()));
}

#[test]
fn each_has_a_quota() {
    let world = World::new(1);
    // Two ranges are the buffers'.
    let room = MAX_RANGES as u64 - 2;
    let ranges: Vec<Constituent> = (0..=room).map(|number| range(page(2 * number), 1)).collect();
    assert_eq!(world.offer(0, SHARE, &[sp(0)], &ranges), Err(Status::NoMemory));
    let all = world.offer(0, SHARE, &[sp(0)], &ranges[..room as usize]).unwrap();
    assert_eq!(world.offer(0, SHARE, &[sp(0)], &[range(page(1), 1)]), Err(Status::NoMemory));
    // That keeps the other one from nothing.
    let handles: Vec<Handle> = (0..MAX_SHARES as u64)
        .map(|number| world.offer(1, LEND, &[sp(0)], &[range(page(number), 1)]).unwrap())
        .collect();
    assert_eq!(world.offer(1, LEND, &[sp(0)], &[range(page(100), 1)]), Err(Status::NoMemory));
    assert_eq!(world.reclaim(0, all), Ok(()));
    for handle in handles {
        assert_eq!(world.reclaim(1, handle), Ok(()));
    }
}

#[test]
fn without_tables_nothing_is_taken() {
    let world = World::new(1);
    *world.memory.room.lock().unwrap() = Some(2);
    let ranges = [range(page(0), 1), range(page(2), 1), range(page(4), 1)];
    assert_eq!(world.offer(0, LEND, &[sp(0)], &ranges), Err(Status::NoMemory));
    for number in [0, 2, 4] {
        assert_eq!(world.state(0, page(number)), PageState::Owned);
    }
    *world.memory.room.lock().unwrap() = None;
    assert!(world.offer(0, LEND, &[sp(0)], &ranges).is_ok());
}

#[test]
fn what_a_partition_keeps_is_not_back_when_its_owner_ends() {
    let world = World::new(1);
    let kept = world.offer(0, LEND, &[sp(0)], &[range(page(0), 1)]).unwrap();
    let _offered = world.offer(0, SHARE, &[sp(0)], &[range(page(2), 1)]).unwrap();
    assert!(world.bench.retrieve(0, id(0), kept, LEND, &[sp(0)]).is_ok());
    assert!(!world.relay.stop(index(0), &world.spmc(0), &world.memory));
    assert_eq!(world.state(0, page(0)), PageState::Lent);
    assert_eq!(world.state(0, page(2)), PageState::Owned);
    assert_eq!(world.state(0, VM_TX), PageState::Owned);
    assert_eq!(world.bench.relinquish(Who::Sp(0), kept, NONE), Ok(()));
    assert!(world.relay.stop(index(0), &world.spmc(0), &world.memory));
    assert_eq!(world.state(0, page(0)), PageState::Owned);
}

#[test]
fn memory_can_be_filled_with_zeros_on_its_way() {
    let world = World::new(1);
    world.bench.fill(physical(0, page(0)), 0x55);
    let mut zeroed = offer(id(0), LEND, &[sp(0)]);
    zeroed.flags = TransactionFlags::ZERO_MEMORY;
    let bytes = encode(Layout::V1_1, &zeroed, &[range(page(0), 1)]);
    let handle = world.send_in(0, LEND, &bytes, bytes.len()).unwrap();
    assert_eq!(world.bench.byte(physical(0, page(0))), 0);
    world.bench.fill(physical(0, page(0)), 0x66);
    assert_eq!(
        world.does(0, Call::MemReclaim { handle: handle.raw(), flags: 2 }),
        Err(Status::InvalidParameters)
    );
    assert_eq!(world.state(0, page(0)), PageState::Lent);
    assert_eq!(world.does(0, Call::MemReclaim { handle: handle.raw(), flags: 1 }), Ok(()));
    assert_eq!(world.bench.byte(physical(0, page(0))), 0);
}
