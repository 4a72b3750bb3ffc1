//! Memory of the normal world, in one fragment: shared, lent, retrieved, relinquished, reclaimed.

use tantalum_ffa::memory::{
    DataAccess, Handle, InstructionAccess, Layout, MemoryType, RelinquishFlags, TransactionFlags,
    TransactionKind,
};
use tantalum_ffa::{BufferDescription, Call, EndpointBuffers, Status, Width};
use tantalum_hal::PhysicalMemory;
use tantalum_types::{EndpointId, Ipa, Pa};

use crate::bench::*;

const SHARE: TransactionKind = TransactionKind::Share;
const LEND: TransactionKind = TransactionKind::Lend;
const NONE: RelinquishFlags = RelinquishFlags::empty();
const ZERO: RelinquishFlags = RelinquishFlags::ZERO_MEMORY;

#[test]
fn a_borrower_sees_what_was_shared_until_it_gives_it_back() {
    let bench = bench(1);
    let page = Ipa::non_secure(NS);
    assert_eq!(bench.access(0, page), "---");
    let handle = bench.offer(Who::Host, SHARE, &[sp(0)], &[range(NS, 2), range(NS + 0x10_0000, 1)]).unwrap();
    assert!(!handle.is_of_hypervisor());
    assert_eq!(bench.access(0, page), "---", "offered, not retrieved");

    let (answer, ranges) = bench.retrieve(0, HOST, handle, SHARE, &[sp(0)]).unwrap();
    assert_eq!(ranges, [range(NS, 2), range(NS + 0x10_0000, 1)]);
    assert_eq!((answer.sender, answer.handle, answer.tag), (HOST, handle, 0x7a67));
    assert_eq!(answer.flags, SHARE.flags());
    assert!(answer.attributes.non_secure && answer.attributes.memory_type == MemoryType::NORMAL);
    let [receiver] = answer.receivers.as_slice() else { panic!("{answer:?}") };
    assert_eq!(receiver.endpoint, sp(0));
    assert_eq!(receiver.permissions.data, DataAccess::ReadWrite);
    assert_eq!(receiver.permissions.instruction, InstructionAccess::NotExecutable);
    for address in [NS, NS + PAGE, NS + 0x10_0000] {
        assert_eq!(bench.access(0, Ipa::non_secure(address)), "rw-");
        assert_eq!(bench.sim.machine().bytes(Pa::non_secure(address)), [0xee], "it wrote there");
        assert_eq!(bench.access(0, Ipa::secure(address)), "---", "only in the space where it lies");
    }
    assert_eq!(bench.access(0, Ipa::non_secure(NS + 2 * PAGE)), "---");

    assert_eq!(bench.reclaim(Who::Host, handle, 0), Err(Status::Denied), "it has it");
    assert_eq!(bench.relinquish(Who::Sp(0), handle, NONE), Ok(()));
    assert_eq!(bench.access(0, page), "---");
    // It may have it again, as long as the owner does not reclaim it.
    assert!(bench.retrieve(0, HOST, handle, SHARE, &[sp(0)]).is_ok());
    assert_eq!(bench.relinquish(Who::Sp(0), handle, NONE), Ok(()));
    assert_eq!(bench.relinquish(Who::Sp(0), handle, NONE), Err(Status::InvalidParameters));
    assert_eq!(bench.reclaim(Who::Host, handle, 0), Ok(()));
    assert_eq!(bench.reclaim(Who::Host, handle, 0), Err(Status::InvalidParameters));
    let late = bench.retrieve(0, HOST, handle, SHARE, &[sp(0)]);
    assert_eq!(late.unwrap_err(), Status::InvalidParameters);
}

#[test]
fn memory_is_in_one_transaction_at_a_time() {
    let bench = bench(2);
    let handle = bench.offer(Who::Host, SHARE, &[sp(0)], &[range(NS + PAGE, 3)]).unwrap();
    for (address, count) in [(NS + PAGE, 3), (NS, 2), (NS + 3 * PAGE, 2), (NS + 2 * PAGE, 1), (NS, 0x100)] {
        for kind in TransactionKind::ALL {
            let again = bench.offer(Who::Host, kind, &[sp(1)], &[range(address, count)]);
            assert_eq!(again, Err(Status::Denied), "{count} pages from {address:#x}");
        }
    }
    let twice = bench.offer(Who::Host, LEND, &[sp(1)], &[range(NS + 0x10_0000, 2), range(NS + 0x10_1000, 1)]);
    assert_eq!(twice, Err(Status::Denied), "a page twice in one descriptor");
    // Nothing of what was refused is left.
    let beside = bench.offer(Who::Host, LEND, &[sp(1)], &[range(NS, 1), range(NS + 0x10_0000, 2)]).unwrap();
    assert_eq!(bench.reclaim(Who::Host, handle, 0), Ok(()));
    assert!(bench.offer(Who::Host, SHARE, &[sp(1)], &[range(NS + PAGE, 3)]).is_ok());
    assert_eq!(bench.reclaim(Who::Host, beside, 0), Ok(()));
}

#[test]
fn only_ram_of_the_normal_world_is_its_own() {
    let bench = bench(1);
    for address in [
        tantalum_sim::manifests::partition_base(0),
        tantalum_sim::manifests::SPMC_BASE,
        tantalum_sim::manifests::DEVICE_BASE,
        0x4000_0000 - PAGE,
        0xc000_0000,
        (1 << 39) - PAGE,
        1 << 39,
        (1 << 47) - PAGE,
    ] {
        let refused = bench.offer(Who::Host, SHARE, &[sp(0)], &[range(address, 1)]);
        assert_eq!(refused, Err(Status::Denied), "{address:#x}");
    }
    let across = bench.offer(Who::Host, SHARE, &[sp(0)], &[range(0xc000_0000 - PAGE, 2)]);
    assert_eq!(across, Err(Status::Denied));
    let beyond = bench.offer(Who::Host, SHARE, &[sp(0)], &[range(u64::MAX - 0x1fff, 1)]);
    assert_eq!(beyond, Err(Status::InvalidParameters));
    let last = bench.offer(Who::Host, SHARE, &[sp(0)], &[range(0xc000_0000 - PAGE, 1)]).unwrap();
    assert_eq!(bench.reclaim(Who::Host, last, 0), Ok(()));
}

#[test]
fn buffers_and_transactions_exclude_each_other() {
    let bench = bench(1);
    for address in [TX, RX] {
        let refused = bench.offer(Who::Host, SHARE, &[sp(0)], &[range(address, 1)]);
        assert_eq!(refused, Err(Status::Denied));
    }
    let own = tantalum_sim::manifests::partition_base(0) + 0x8000;
    assert_eq!(bench.offer(Who::Sp(0), LEND, &[sp(0)], &[range(own, 1)]), Err(Status::InvalidParameters));
    // Behind the one-page buffers.
    let handle = bench.offer(Who::Host, SHARE, &[sp(0)], &[range(TX + PAGE, 1), range(NS, 2)]).unwrap();
    assert_eq!(ok(bench.sim.ask(0, Call::RxtxUnmap { endpoint: HOST })), Ok(()));
    let map =
        |tx, page_count| ok(bench.sim.ask(0, Call::RxtxMap { width: Width::Bits64, tx, rx: RX, page_count }));
    assert_eq!(map(TX, 2), Err(Status::Denied));
    assert_eq!(map(NS + PAGE, 1), Err(Status::Denied));
    assert_eq!(map(TX, 1), Ok(()));
    assert_eq!(bench.reclaim(Who::Host, handle, 0), Ok(()));
    assert_eq!(ok(bench.sim.ask(0, Call::RxtxUnmap { endpoint: HOST })), Ok(()));
    assert_eq!(map(TX, 2), Ok(()));
}

#[test]
fn buffers_of_virtual_machines_and_transactions_exclude_each_other() {
    let bench = bench(1);
    let vm = EndpointId::new(5);
    // Maps two pages as the VM's TX and RX buffer.
    let map = |tx, rx| {
        let buffer = |address| BufferDescription { address, page_count: 1 }.encode();
        let descriptor = EndpointBuffers { endpoint: vm, rx_offset: 16, tx_offset: 48 };
        let bytes = [descriptor.encode().as_slice(), &buffer(rx), &buffer(tx)].concat();
        bench.sim.machine().write(Pa::non_secure(TX), &bytes).unwrap();
        ok(bench.sim.ask(0, Call::RxtxMap { width: Width::Bits64, tx: 0, rx: 0, page_count: 0 }))
    };
    for kind in TransactionKind::ALL {
        let handle = bench.offer(Who::Host, kind, &[sp(0)], &[range(NS, 2)]).unwrap();
        for [tx, rx] in [[NS, NS + 2 * PAGE], [NS + 2 * PAGE, NS + PAGE]] {
            assert_eq!(map(tx, rx), Err(Status::Denied), "{kind:?}");
        }
        assert_eq!(bench.reclaim(Who::Host, handle, 0), Ok(()));
        assert_eq!(map(NS, NS + PAGE), Ok(()));
        for page in [NS, NS + PAGE] {
            assert_eq!(bench.offer(Who::Host, kind, &[sp(0)], &[range(page, 1)]), Err(Status::Denied));
        }
        assert_eq!(ok(bench.sim.ask(0, Call::RxtxUnmap { endpoint: vm })), Ok(()));
    }
    // What was donated and retrieved is nobody's of the normal world.
    let donate = TransactionKind::Donate;
    let handle = bench.offer(Who::Host, donate, &[sp(0)], &[range(NS, 2)]).unwrap();
    bench.retrieve(0, HOST, handle, donate, &[sp(0)]).unwrap();
    assert_eq!(map(NS, NS + PAGE), Err(Status::Denied));
}

#[test]
fn lent_memory_is_filled_with_zeros_when_asked() {
    let bench = bench(1);
    let page = Pa::non_secure(NS);
    // When it is sent.
    bench.fill(page, 7);
    let zeroed = tantalum_ffa::memory::Transaction {
        flags: TransactionFlags::ZERO_MEMORY,
        ..offer(HOST, LEND, &[sp(0)])
    };
    let handle = bench.send(Who::Host, LEND, &encode(Layout::V1_1, &zeroed, &[range(NS, 1)])).unwrap();
    assert_eq!(bench.byte(page), 0);
    let wish = tantalum_ffa::memory::Transaction {
        flags: LEND.flags() | TransactionFlags::ZERO_MEMORY,
        ..request(HOST, handle, LEND, &[sp(0)])
    };
    let (answer, _) = bench.retrieve_with(Who::Sp(0), Layout::V1_1, &wish).unwrap();
    assert_eq!(answer.flags, LEND.flags() | TransactionFlags::ZERO_MEMORY);
    // When it is relinquished.
    bench.fill(page, 8);
    assert_eq!(bench.relinquish(Who::Sp(0), handle, ZERO), Ok(()));
    assert_eq!(bench.byte(page), 0);
    // When it is relinquished, as was asked for when it was retrieved.
    let wish = tantalum_ffa::memory::Transaction {
        flags: LEND.flags() | TransactionFlags::ZERO_AFTER_RELINQUISH,
        ..request(HOST, handle, LEND, &[sp(0)])
    };
    bench.retrieve_with(Who::Sp(0), Layout::V1_1, &wish).unwrap();
    bench.fill(page, 9);
    assert_eq!(bench.relinquish(Who::Sp(0), handle, NONE), Ok(()));
    assert_eq!(bench.byte(page), 0);
    // When it is reclaimed, and only then.
    bench.retrieve(0, HOST, handle, LEND, &[sp(0)]).unwrap();
    bench.fill(page, 10);
    assert_eq!(bench.relinquish(Who::Sp(0), handle, NONE), Ok(()));
    assert_eq!(bench.byte(page), 10);
    assert_eq!(bench.reclaim(Who::Host, handle, 2), Err(Status::InvalidParameters), "in time slices");
    assert_eq!(bench.byte(page), 10);
    assert_eq!(bench.reclaim(Who::Host, handle, 1), Ok(()));
    assert_eq!(bench.byte(page), 0);
}

#[test]
fn a_virtual_machine_sends_by_its_hypervisor() {
    let bench = bench(1);
    let vm = EndpointId::new(7);
    let bytes = encode(Layout::V1_1, &offer(vm, SHARE, &[sp(0)]), &[range(NS, 1)]);
    let handle = bench.send(Who::Host, SHARE, &bytes).unwrap();
    let wrong = bench.retrieve(0, HOST, handle, SHARE, &[sp(0)]);
    assert_eq!(wrong.unwrap_err(), Status::Denied, "another has sent it");
    let (answer, _) = bench.retrieve(0, vm, handle, SHARE, &[sp(0)]).unwrap();
    assert_eq!(answer.sender, vm);
    assert_eq!(bench.relinquish(Who::Sp(0), handle, NONE), Ok(()));
    assert_eq!(bench.reclaim(Who::Host, handle, 0), Ok(()));
    for sender in [sp(0), EndpointId::SPMC, EndpointId::SPMD] {
        let bytes = encode(Layout::V1_1, &offer(sender, SHARE, &[sp(0)]), &[range(NS, 1)]);
        let refused = bench.send(Who::Host, SHARE, &bytes);
        assert!(matches!(refused, Err(Status::Denied | Status::InvalidParameters)), "{sender}");
    }
}

#[test]
fn the_normal_world_has_quotas_of_its_own() {
    let bench = bench(2);
    let mut handles = Vec::new();
    let refused = loop {
        let next = NS + handles.len() as u64 * PAGE;
        match bench.offer(Who::Host, SHARE, &[sp(0)], &[range(next, 1)]) {
            Ok(handle) => handles.push(handle),
            Err(status) => break status,
        }
    };
    assert_eq!((refused, handles.len()), (Status::NoMemory, 64));
    handles.iter().enumerate().for_each(|(index, handle)| assert!(!handles[..index].contains(handle)));
    // Partitions have theirs.
    let page = own_page(0, 0);
    let theirs = bench.offer(Who::Sp(0), SHARE, &[sp(1)], &[range(page, 1)]).unwrap();
    assert_eq!(bench.reclaim(Who::Sp(0), theirs, 0), Ok(()));
    // Handles are not used again soon.
    for _ in 0..100 {
        let old = handles.remove(0);
        assert_eq!(bench.reclaim(Who::Host, old, 0), Ok(()));
        let handle = bench.offer(Who::Host, SHARE, &[sp(0)], &[range(NS + 0x100_0000, 1)]).unwrap();
        assert_ne!(handle, old);
        for stale in [old, Handle::NONE, Handle::INVALID, Handle::new(handle.raw() ^ 1 << 63)] {
            assert_eq!(bench.reclaim(Who::Host, stale, 0), Err(Status::InvalidParameters));
        }
        assert_eq!(bench.reclaim(Who::Host, handle, 0), Ok(()));
        let fill = NS + 0x200_0000 + handles.len() as u64 * PAGE;
        handles.push(bench.offer(Who::Host, SHARE, &[sp(0)], &[range(fill, 1)]).unwrap());
        let last = handles.pop().unwrap();
        assert_eq!(bench.reclaim(Who::Host, last, 0), Ok(()));
        if handles.is_empty() {
            break;
        }
    }
}
