//! What becomes of memory when a partition that owns or has borrowed it is stopped.

use tantalum_ffa::Status;
use tantalum_ffa::memory::{Layout, RelinquishFlags, Transaction, TransactionFlags, TransactionKind};
use tantalum_sim::manifests::partition_base;
use tantalum_types::{Ipa, Pa};

use crate::bench::*;

const SHARE: TransactionKind = TransactionKind::Share;
const LEND: TransactionKind = TransactionKind::Lend;
const NONE: RelinquishFlags = RelinquishFlags::empty();

#[test]
fn a_stopped_borrower_has_given_everything_back() {
    let bench = bench(2);
    let shared = bench.offer(Who::Host, SHARE, &[sp(0)], &[range(NS, 1)]).unwrap();
    let lent = bench.offer(Who::Sp(1), LEND, &[sp(0)], &[range(own_page(1, 0), 1)]).unwrap();
    let secret = bench.offer(Who::Host, LEND, &[sp(0)], &[range(NS + PAGE, 1)]).unwrap();
    bench.retrieve(0, HOST, shared, SHARE, &[sp(0)]).unwrap();
    bench.retrieve(0, sp(1), lent, LEND, &[sp(0)]).unwrap();
    let wish = Transaction {
        flags: TransactionFlags::ZERO_AFTER_RELINQUISH,
        ..request(HOST, secret, LEND, &[sp(0)])
    };
    bench.retrieve_with(Who::Sp(0), Layout::V1_1, &wish).unwrap();
    bench.fill(Pa::non_secure(NS), 5);
    bench.fill(Pa::non_secure(NS + PAGE), 6);
    bench.stop(0);
    assert_eq!(bench.reclaim(Who::Host, shared, 0), Ok(()));
    assert_eq!(bench.reclaim(Who::Sp(1), lent, 0), Ok(()));
    assert_eq!(bench.reclaim(Who::Host, secret, 0), Ok(()));
    assert_eq!(bench.access(1, Ipa::secure(own_page(1, 0))), "rwx");
    assert_eq!(bench.byte(Pa::non_secure(NS)), 5);
    assert_eq!(bench.byte(Pa::non_secure(NS + PAGE)), 0, "as it asked for");
    let late = bench.offer(Who::Host, SHARE, &[sp(0)], &[range(NS, 1)]);
    assert_eq!(late, Err(Status::Denied), "nothing is sent to a stopped partition");
}

#[test]
fn what_a_stopped_owner_has_sent_stays_with_its_borrowers() {
    let bench = bench(3);
    let (shared, lent, unseen) = (own_page(0, 0), own_page(0, 1), own_page(0, 2));
    let offer = |kind, page| bench.offer(Who::Sp(0), kind, &[sp(1)], &[range(page, 1)]).unwrap();
    let (share, lend, other) = (offer(SHARE, shared), offer(LEND, lent), offer(LEND, unseen));
    bench.retrieve(1, sp(0), share, SHARE, &[sp(1)]).unwrap();
    bench.retrieve(1, sp(0), lend, LEND, &[sp(1)]).unwrap();
    bench.fill(Pa::secure(shared), 1);
    bench.fill(Pa::secure(lent), 2);
    bench.stop(0);
    assert_eq!(bench.access(1, Ipa::secure(shared)), "rw-");
    assert_eq!(bench.access(1, Ipa::secure(lent)), "rw-");
    // Nobody has retrieved this one, and now nobody can.
    let late = bench.retrieve(1, sp(0), other, LEND, &[sp(1)]);
    assert_eq!(late.unwrap_err(), Status::InvalidParameters);
    // What comes back is scrubbed, and the transaction is gone.
    for (handle, page) in [(share, shared), (lend, lent)] {
        bench.fill(Pa::secure(page), 3);
        assert_eq!(bench.relinquish(Who::Sp(1), handle, NONE), Ok(()));
        assert_eq!(bench.byte(Pa::secure(page)), 0);
        assert_eq!(bench.access(1, Ipa::secure(page)), "---");
        let again = bench.retrieve(1, sp(0), handle, SHARE, &[sp(1)]);
        assert_eq!(again.unwrap_err(), Status::InvalidParameters);
    }
}

#[test]
fn a_second_borrower_cannot_join_once_the_owner_is_stopped() {
    let bench = bench(3);
    let both = [sp(1), sp(2)];
    let page = own_page(0, 0);
    let handle = bench.offer(Who::Sp(0), SHARE, &both, &[range(page, 1)]).unwrap();
    bench.retrieve(1, sp(0), handle, SHARE, &both).unwrap();
    bench.stop(0);
    assert_eq!(bench.retrieve(2, sp(0), handle, SHARE, &both).unwrap_err(), Status::Denied);
    assert_eq!(bench.access(2, Ipa::secure(page)), "---");
    assert_eq!(bench.relinquish(Who::Sp(1), handle, NONE), Ok(()));
}

#[test]
fn a_stopped_partition_leaves_its_unfinished_descriptors_and_buffers() {
    let bench = bench(2);
    let ranges = [range(own_page(0, 0), 1), range(own_page(0, 2), 1)];
    let bytes = encode(Layout::V1_1, &offer(sp(0), SHARE, &[sp(1)]), &ranges);
    let first = bytes.len() - 16;
    let answer = bench.call(Who::Sp(0), &bytes[..first], begin(SHARE, bytes.len(), first));
    assert!(matches!(answer, tantalum_ffa::Call::MemFragRx { .. }), "{answer:?}");
    bench.stop(0);
    // Everything of it is gone from the ledger: a neighbour still cannot have any of its memory.
    let theirs = bench.offer(Who::Sp(1), SHARE, &[sp(0)], &[range(partition_base(0) + 0x8000, 1)]);
    assert_eq!(theirs, Err(Status::Denied));
}
