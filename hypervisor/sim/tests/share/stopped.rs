//! What becomes of memory when a partition that owns or has borrowed it is stopped.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tantalum_ffa::memory::{Layout, RelinquishFlags, Transaction, TransactionFlags, TransactionKind};
use tantalum_ffa::{Call, DirectMessage, Status, Version, Width};
use tantalum_hal::{Entry, TrapKind};
use tantalum_sim::dtb::Node;
use tantalum_sim::manifests::partition_base;
use tantalum_sim::script::{Script, call, wait};
use tantalum_sim::{Context, SimBuilder};
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

fn restarting(count: usize) -> Bench {
    let edit = |index: usize, manifest: &mut Node| {
        if index == 0 {
            manifest.set("abort-action", 2_u32);
        }
    };
    bench_with(&vec![Version::V1_1; count], Version::V1_1, edit)
}

#[test]
fn a_partition_that_begins_anew_has_its_memory_and_nothing_else() {
    let bench = restarting(2);
    let shared = bench.offer(Who::Host, SHARE, &[sp(0)], &[range(NS, 1)]).unwrap();
    bench.retrieve(0, HOST, shared, SHARE, &[sp(0)]).unwrap();
    let (lent, sent) = (own_page(0, 0), own_page(0, 1));
    bench.offer(Who::Sp(0), LEND, &[sp(1)], &[range(lent, 1)]).unwrap();
    let back = bench.offer(Who::Sp(0), SHARE, &[sp(1)], &[range(sent, 1)]).unwrap();
    bench.retrieve(1, sp(0), back, SHARE, &[sp(1)]).unwrap();
    assert_eq!(bench.relinquish(Who::Sp(1), back, NONE), Ok(()));
    bench.stop(0);
    for page in [lent, sent] {
        assert_eq!(bench.access(0, Ipa::secure(page)), "rwx");
    }
    assert_eq!(bench.access(0, Ipa::non_secure(NS)), "---");
    bench.map_buffers_of(0);
    // All that it had open is gone.
    let ranges: Vec<_> = (0..4).map(|index| range(own_page(0, index), 1)).collect();
    for range in &ranges {
        assert!(bench.offer(Who::Sp(0), LEND, &[sp(1)], &[*range]).is_ok());
    }
    let again = bench.retrieve(0, HOST, shared, SHARE, &[sp(0)]);
    assert!(again.is_ok(), "the offer stands until it is reclaimed");
}

#[test]
fn a_partition_does_not_begin_anew_while_others_have_its_memory() {
    let bench = restarting(2);
    let page = own_page(0, 0);
    let handle = bench.offer(Who::Sp(0), LEND, &[sp(1)], &[range(page, 1)]).unwrap();
    bench.retrieve(1, sp(0), handle, LEND, &[sp(1)]).unwrap();
    bench.stop(0);
    let request = DirectMessage {
        width: Width::Bits64,
        sender: HOST,
        receiver: sp(0),
        framework: None,
        payload: [0; 5],
    };
    let ask = |cpu| bench.sim.refusal(cpu, Call::DirectRequest(request));
    assert_eq!(ask(0), Status::Aborted);
    assert_eq!(ask(1), Status::Aborted);
    assert_eq!(bench.access(1, Ipa::secure(page)), "rw-");
    assert_eq!(bench.relinquish(Who::Sp(1), handle, NONE), Ok(()));
    assert_eq!(bench.byte(Pa::secure(page)), 0);
    // With the last page back it begins anew when it is next asked, on whichever processing element. Who asks is told
    // for the last time.
    assert_eq!(ask(1), Status::Aborted);
    assert_eq!(bench.access(0, Ipa::secure(page)), "rwx");
    bench.map_buffers_of(0);
    assert!(bench.offer(Who::Sp(0), LEND, &[sp(1)], &[range(page, 1)]).is_ok(), "it lives and owns the page");
}

#[test]
fn a_partition_begins_anew_only_with_the_last_of_its_pages() {
    let bench = restarting(3);
    let pages = [own_page(0, 0), own_page(0, 1)];
    let kinds = [SHARE, LEND];
    let handles = [0, 1].map(|i| {
        let borrower = i + 1;
        let handle = bench.offer(Who::Sp(0), kinds[i], &[sp(borrower)], &[range(pages[i], 1)]).unwrap();
        bench.retrieve(borrower, sp(0), handle, kinds[i], &[sp(borrower)]).unwrap();
        handle
    });
    bench.stop(0);
    // Who asks first is told that it was stopped, whether or not it begins anew.
    let revives = || {
        let asks = || bench.serves(0);
        assert!(!asks());
        asks()
    };
    assert!(!revives());
    assert_eq!(bench.relinquish(Who::Sp(1), handles[0], NONE), Ok(()));
    assert!(!revives(), "the other page is still with its borrower");
    // A borrower that is stopped has given back what it had, too.
    bench.stop(2);
    assert!(revives());
    for page in pages {
        assert_eq!(bench.access(0, Ipa::secure(page)), "rwx");
    }
}

#[test]
fn a_fault_that_is_over_is_none() {
    // The first access faults, as it does while another processing element changes the mapping; by the time that the
    // SPMC looks, the mapping is there.
    let faults = Arc::new(AtomicUsize::new(0));
    let script = {
        let faults = faults.clone();
        let mut open: Option<DirectMessage> = None;
        Box::new(move |context: &mut Context<'_>| {
            if let Some(request) = context.request() {
                open = Some(request);
                faults.fetch_add(1, Ordering::Relaxed);
                let address = Ipa::secure(partition_base(0) + 0x2_0000);
                return Err(TrapKind::DataAbort { address, write: true });
            }
            match open.take() {
                Some(request) => {
                    assert_eq!(context.entry, Entry::Resume);
                    Ok(call(Call::DirectResponse(request.answer([7; 5]))))
                }
                None => Ok(wait()),
            }
        }) as Script
    };
    let sim = SimBuilder::new().partition("one", [script]).boot();
    let request = DirectMessage {
        width: Width::Bits64,
        sender: HOST,
        receiver: sp(0),
        framework: None,
        payload: [0; 5],
    };
    match sim.ask(0, Call::DirectRequest(request)) {
        Call::DirectResponse(answer) => assert_eq!(answer.payload, [7; 5]),
        other => panic!("{other:?}"),
    }
    assert_eq!(faults.load(Ordering::Relaxed), 1);
}
