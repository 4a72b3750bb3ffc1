//! Endpoints that speak different versions of FF-A about the same memory.

use tantalum_ffa::memory::{Layout, List, Receiver, RelinquishFlags, TransactionKind};
use tantalum_ffa::{Status, Version};
use tantalum_types::Ipa;

use crate::bench::*;

const SHARE: TransactionKind = TransactionKind::Share;
const NONE: RelinquishFlags = RelinquishFlags::empty();
const VERSIONS: [(Version, Layout); 3] =
    [(Version::V1_0, Layout::V1_0), (Version::V1_1, Layout::V1_1), (Version::V1_2, Layout::V1_2)];

#[test]
fn each_reads_and_writes_its_own_layout() {
    for (sender, sent) in VERSIONS {
        for (receiver, read) in VERSIONS {
            let bench = bench_of(&[receiver], sender);
            // More than fits into one page, in each layout.
            let ranges: Vec<_> = (0..260).map(|index| range(NS + index * 2 * PAGE, 1)).collect();
            let bytes = encode(sent, &offer(HOST, SHARE, &[sp(0)]), &ranges);
            let handle = bench.send_in(Who::Host, SHARE, &bytes, 4096).unwrap();
            let wish = request(HOST, handle, SHARE, &[sp(0)]);
            let (answer, told) = bench.retrieve_with(Who::Sp(0), read, &wish).unwrap();
            assert_eq!(told, ranges, "{sender} to {receiver}");
            assert_eq!(answer.attributes.non_secure, receiver >= Version::V1_1, "{sender} to {receiver}");
            assert_eq!(bench.access(0, Ipa::non_secure(ranges[259].address)), "rw-");
            assert_eq!(bench.relinquish(Who::Sp(0), handle, NONE), Ok(()));
            assert_eq!(bench.reclaim(Who::Host, handle, 0), Ok(()));
        }
    }
}

#[test]
fn several_borrowers_of_1_0_are_told_of_themselves() {
    let bench = bench_of(&[Version::V1_0, Version::V1_0, Version::V1_2], Version::V1_0);
    let all = [sp(0), sp(1), sp(2)];
    let bytes = encode(Layout::V1_0, &offer(HOST, SHARE, &all), &[range(NS, 1)]);
    let handle = bench.send(Who::Host, SHARE, &bytes).unwrap();
    for (index, layout) in [Layout::V1_0, Layout::V1_0, Layout::V1_2].into_iter().enumerate() {
        let wish = request(HOST, handle, SHARE, &all);
        let (answer, _) = bench.retrieve_with(Who::Sp(index), layout, &wish).unwrap();
        assert_eq!(answer.receivers.iter().map(|own| own.endpoint).collect::<Vec<_>>(), [sp(index)]);
        assert_eq!(bench.access(index, Ipa::non_secure(NS)), "rw-");
    }
}

#[test]
fn a_secret_word_between_owner_and_borrower_must_match_since_1_2() {
    let bench = bench_of(&[Version::V1_2, Version::V1_1], Version::V1_2);
    let word = [0x1234, 0x5678];
    let mut sent = offer(HOST, SHARE, &[sp(0)]);
    let plain = sent.receivers[0];
    sent.receivers = List::of_one(Receiver { implementation_defined: word, ..plain });
    let bytes = encode(Layout::V1_2, &sent, &[range(NS, 1)]);
    let handle = bench.send(Who::Host, SHARE, &bytes).unwrap();
    let mut wish = request(HOST, handle, SHARE, &[sp(0)]);
    let plain = wish.receivers[0];
    for wrong in [[0, 0], [0x1234, 0], [0x5678, 0x1234]] {
        wish.receivers = List::of_one(Receiver { implementation_defined: wrong, ..plain });
        let refused = bench.retrieve_with(Who::Sp(0), Layout::V1_2, &wish);
        assert_eq!(refused.unwrap_err(), Status::InvalidParameters);
    }
    wish.receivers = List::of_one(Receiver { implementation_defined: word, ..plain });
    let (answer, _) = bench.retrieve_with(Who::Sp(0), Layout::V1_2, &wish).unwrap();
    assert_eq!(answer.receivers[0].implementation_defined, word);
    // One of 1.1 does not know of it.
    sent.receivers = List::of_one(Receiver { endpoint: sp(1), ..sent.receivers[0] });
    let bytes = encode(Layout::V1_2, &sent, &[range(NS + PAGE, 1)]);
    let handle = bench.send(Who::Host, SHARE, &bytes).unwrap();
    assert!(bench.retrieve(1, HOST, handle, SHARE, &[sp(1)]).is_ok());
}
