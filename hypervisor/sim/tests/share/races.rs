//! Four processing elements at once.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Barrier, Mutex};

use tantalum_ffa::Status;
use tantalum_ffa::memory::{Handle, TransactionKind};
use tantalum_ffa::{Call, memory::Layout};
use tantalum_types::Ipa;

use crate::bench::*;

const SHARE: TransactionKind = TransactionKind::Share;
const LEND: TransactionKind = TransactionKind::Lend;

/// Lets `each` run on every processing element at once.
fn on_every_cpu(each: impl Fn(usize) + Sync) {
    let barrier = Barrier::new(CPUS);
    std::thread::scope(|scope| {
        for cpu in 0..CPUS {
            let (each, barrier) = (&each, &barrier);
            scope.spawn(move || {
                barrier.wait();
                each(cpu);
            });
        }
    });
}

#[test]
fn one_of_four_reclaims() {
    let bench = bench(1);
    for round in 0..50 {
        let zero = round % 2;
        let handle = bench.offer(Who::Host, LEND, &[sp(0)], &[range(NS, 40)]).unwrap();
        let reclaimed = AtomicUsize::new(0);
        on_every_cpu(|cpu| {
            let reclaim = Call::MemReclaim { handle: handle.raw(), flags: zero };
            match ok(bench.sim.ask(cpu, reclaim)) {
                Ok(()) => {
                    reclaimed.fetch_add(1, Ordering::Relaxed);
                }
                Err(Status::InvalidParameters | Status::Busy) => {}
                Err(other) => panic!("{other}"),
            }
        });
        assert_eq!(reclaimed.into_inner(), 1);
    }
}

#[test]
fn one_of_four_gets_a_page() {
    let bench = bench(4);
    // Each partition sends the same page, which only the first owns, and one of its own.
    let page = own_page(0, 0);
    let taken = AtomicUsize::new(0);
    on_every_cpu(|cpu| {
        let to = sp((cpu + 1) % 4);
        for _ in 0..50 {
            let shared = bench.offer_on(cpu, cpu, LEND, &[to], &[range(own_page(cpu, 1), 3)]);
            let stolen = bench.offer_on(cpu, cpu, SHARE, &[to], &[range(page, 1)]);
            match stolen {
                Ok(handle) => {
                    assert_eq!(cpu, 0);
                    taken.fetch_add(1, Ordering::Relaxed);
                    assert_eq!(bench.reclaim_on(cpu, cpu, handle), Ok(()));
                }
                Err(status) => assert_eq!((status, cpu != 0), (Status::Denied, true)),
            }
            assert_eq!(bench.reclaim_on(cpu, cpu, shared.unwrap()), Ok(()));
        }
    });
    assert_eq!(taken.into_inner(), 50);
}

#[test]
fn partitions_share_with_each_other_all_the_time() {
    let bench = bench(4);
    let board: Mutex<[Option<(usize, Handle)>; CPUS]> = Mutex::default();
    let step = Barrier::new(CPUS);
    on_every_cpu(|cpu| {
        for round in 0..24 {
            // All offer something to the next one or the one behind it, all retrieve, and all give back and take back.
            let to = (cpu + 1 + round % 2) % 4;
            let kind = if round % 3 == 0 { SHARE } else { LEND };
            let pages = range(own_page(cpu, (round % 5) as u64 * 4), 3);
            step.wait();
            let handle = bench.offer_on(cpu, cpu, kind, &[sp(to)], &[pages]).unwrap();
            board.lock().unwrap()[to] = Some((cpu, handle));
            step.wait();
            let (from, theirs) = board.lock().unwrap()[cpu].take().unwrap();
            assert_eq!(bench.retrieve_on(cpu, cpu, sp(from), theirs, kind), Ok(()));
            step.wait();
            assert_eq!(bench.relinquish_on(cpu, cpu, theirs), Ok(()));
            while let Err(status) = bench.reclaim_on(cpu, cpu, handle) {
                assert_eq!(status, Status::Denied);
                std::thread::yield_now();
            }
        }
    });
    for owner in 0..4 {
        for page in [0, 4, 9, 18] {
            let ipa = Ipa::secure(own_page(owner, page));
            for index in 0..4 {
                let expected = if index == owner { "rwx" } else { "---" };
                assert_eq!(bench.access(index, ipa), expected, "{index} sees {ipa}");
            }
        }
    }
}

#[test]
fn one_fragment_is_taken_once() {
    let bench = bench(1);
    let ranges = [range(NS, 1), range(NS + 2 * PAGE, 1)];
    let bytes = encode(Layout::V1_1, &offer(HOST, SHARE, &[sp(0)]), &ranges);
    for _ in 0..30 {
        let first = bytes.len() - 16;
        let answer = bench.call(Who::Host, &bytes[..first], begin(SHARE, bytes.len(), first));
        let Call::MemFragRx { handle, .. } = answer else { panic!("{answer:?}") };
        // The next fragment is in the buffer before anybody calls.
        tantalum_hal::PhysicalMemory::write(
            bench.sim.machine(),
            tantalum_types::Pa::non_secure(TX),
            &bytes[first..],
        )
        .unwrap();
        let done = AtomicUsize::new(0);
        on_every_cpu(|cpu| {
            let next = Call::MemFragTx { handle, length: 16, endpoint: HOST };
            match ok(bench.sim.ask(cpu, next)) {
                Ok(()) => {
                    done.fetch_add(1, Ordering::Relaxed);
                }
                Err(status) => assert_eq!(status, Status::InvalidParameters),
            }
        });
        assert_eq!(done.into_inner(), 1);
        assert_eq!(bench.reclaim(Who::Host, Handle::new(handle), 0), Ok(()));
    }
}
