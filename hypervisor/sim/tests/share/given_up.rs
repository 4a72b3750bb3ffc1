//! A sender that gives up on a descriptor of which fragments are still to come.

use tantalum_ffa::memory::{Handle, Layout, TransactionKind};
use tantalum_ffa::{Call, Status};
use tantalum_types::Ipa;

use crate::bench::*;

/// Sends the first of two ranges, and returns the handle and what is left to send.
fn begun(bench: &Bench, who: Who, kind: TransactionKind, start: u64) -> (Handle, Vec<u8>) {
    let ranges = [range(start, 1), range(start + 2 * PAGE, 1)];
    let bytes = encode(Layout::V1_1, &offer(who.id(), kind, &[sp(1)]), &ranges);
    let (first, rest) = bytes.split_at(bytes.len() - 16);
    match bench.call(who, first, begin(kind, bytes.len(), first.len())) {
        Call::MemFragRx { handle, offset, .. } => {
            assert_eq!(offset as usize, first.len());
            (Handle::new(handle), rest.to_vec())
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_has_come_is_the_senders_again() {
    let bench = bench(2);
    for kind in [TransactionKind::Share, TransactionKind::Lend] {
        let (handle, rest) = begun(&bench, Who::Host, kind, NS);
        // It is in a transaction, of nobody else's.
        let again = bench.offer(Who::Host, kind, &[sp(0)], &[range(NS, 1)]);
        assert_eq!(again, Err(Status::Denied));
        for other in [Who::Sp(0), Who::Sp(1)] {
            assert_eq!(bench.reclaim(other, handle, 0), Err(Status::InvalidParameters));
        }
        let early = bench.retrieve(1, HOST, handle, kind, &[sp(1)]);
        assert_eq!(early.unwrap_err(), Status::InvalidParameters);

        assert_eq!(bench.reclaim(Who::Host, handle, 0), Ok(()));
        let length = rest.len() as u32;
        let more = Call::MemFragTx { handle: handle.raw(), length, endpoint: HOST };
        let Call::Error { status, .. } = bench.call(Who::Host, &rest, more) else { panic!("it goes on") };
        assert_eq!(status, Status::InvalidParameters);
        assert_eq!(bench.reclaim(Who::Host, handle, 0), Err(Status::InvalidParameters));
        let anew = bench.offer(Who::Host, kind, &[sp(0)], &[range(NS, 3)]).unwrap();
        assert_eq!(bench.reclaim(Who::Host, anew, 0), Ok(()));
    }
}

#[test]
fn it_costs_nothing_to_give_up() {
    let bench = bench(2);
    // More often than there are places for transactions.
    for _ in 0..200 {
        let (handle, _) = begun(&bench, Who::Host, TransactionKind::Share, NS);
        assert_eq!(bench.reclaim(Who::Host, handle, 1), Ok(()));
    }
}

#[test]
fn a_lender_never_loses_access_to_what_it_has_only_begun_to_lend() {
    let bench = bench(2);
    let start = own_page(0, 0);
    let page = Ipa::secure(start);
    let before = bench.access(0, page);
    let (handle, _) = begun(&bench, Who::Sp(0), TransactionKind::Lend, start);
    assert_eq!(bench.access(0, page), before);
    assert_eq!(bench.reclaim(Who::Sp(0), handle, 0), Ok(()));
    assert_eq!(bench.access(0, page), before);
}
