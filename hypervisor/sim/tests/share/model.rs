//! Random sequences of calls against a model that keeps an owner and a list of borrowers for each page.

use proptest::prelude::*;
use tantalum_ffa::Status;
use tantalum_ffa::memory::{Handle, RelinquishFlags, TransactionKind};
use tantalum_sim::AccessKind;
use tantalum_types::{EndpointId, Ipa, Pa};

use crate::bench::*;

/// Counts the partitions.
const SPS: usize = 3;
/// Counts the pages: of each partition, and of the normal world.
const PAGES_EACH: usize = 4;

const SHARE: TransactionKind = TransactionKind::Share;
const DONATE: TransactionKind = TransactionKind::Donate;

#[derive(Clone, Debug)]
enum Op {
    /// Somebody offers some pages from one on, of somebody's, to the partitions of a set.
    Offer {
        who: usize,
        kind: TransactionKind,
        whose: usize,
        first: usize,
        count: usize,
        to: u8,
    },
    /// A partition asks for one of the transactions.
    Retrieve {
        sp: usize,
        share: usize,
    },
    Relinquish {
        sp: usize,
        share: usize,
        zero: bool,
    },
    Reclaim {
        who: usize,
        share: usize,
        zero: bool,
    },
    Stop {
        sp: usize,
    },
}

fn op() -> impl Strategy<Value = Op> {
    let who = 0..=SPS;
    let kind = prop_oneof![Just(SHARE), Just(TransactionKind::Lend), Just(DONATE)];
    prop_oneof![
        6 => (who.clone(), kind, 0..=SPS, 0..PAGES_EACH, 1..3_usize, 1..8_u8).prop_map(
            |(who, kind, whose, first, count, to)| Op::Offer { who, kind, whose, first, count, to }
        ),
        8 => (0..SPS, 0..6_usize).prop_map(|(sp, share)| Op::Retrieve { sp, share }),
        4 => (0..SPS, 0..6_usize, any::<bool>())
            .prop_map(|(sp, share, zero)| Op::Relinquish { sp, share, zero }),
        5 => (who, 0..6_usize, any::<bool>())
            .prop_map(|(who, share, zero)| Op::Reclaim { who, share, zero }),
        1 => (0..SPS).prop_map(|sp| Op::Stop { sp }),
    ]
}

/// Is a transaction in the model. Partitions are counted from 0; the normal world is [`SPS`].
#[derive(Clone, Debug)]
struct Share {
    handle: Handle,
    kind: TransactionKind,
    owner: usize,
    pages: Vec<usize>,
    to: Vec<usize>,
    has: Vec<usize>,
    zero: bool,
    orphan: bool,
}

/// Says what is true of every page, one by one.
#[derive(Debug)]
struct Model {
    owner: Vec<usize>,
    byte: Vec<u8>,
    shares: Vec<Share>,
    stopped: [bool; SPS],
}

impl Model {
    fn new() -> Self {
        let owner: Vec<usize> = (0..(SPS + 1) * PAGES_EACH).map(|page| page / PAGES_EACH).collect();
        let byte = vec![0x55; owner.len()];
        Self { owner, byte, shares: Vec::new(), stopped: [false; SPS] }
    }

    /// Returns every reason to refuse an offer; which of them is told is not said.
    fn faults_of_offer(
        &self,
        who: usize,
        kind: TransactionKind,
        pages: &[usize],
        to: &[usize],
    ) -> Vec<Status> {
        let busy = |page: &usize| self.shares.iter().any(|share| share.pages.contains(page));
        let open = self.shares.iter().filter(|share| share.owner == who).count();
        let faults = [
            (to.contains(&who) || (kind == DONATE && to.len() != 1), Status::InvalidParameters),
            (to.iter().any(|sp| self.stopped[*sp]), Status::Denied),
            (pages.iter().any(|page| self.owner[*page] != who || busy(page)), Status::Denied),
            (who < SPS && open == 4, Status::NoMemory),
        ];
        faults.into_iter().filter(|(fault, _)| *fault).map(|(_, status)| status).collect()
    }

    fn may_retrieve(&self, sp: usize, index: usize) -> Result<(), Status> {
        let share = &self.shares[index];
        if share.orphan {
            return Err(Status::Denied);
        }
        if !share.to.contains(&sp) {
            // It names those to whom it was offered, and is none of them.
            return Err(Status::InvalidParameters);
        }
        if share.has.contains(&sp) { Err(Status::Denied) } else { Ok(()) }
    }

    fn zero(&mut self, pages: &[usize]) {
        pages.iter().for_each(|page| self.byte[*page] = 0);
    }

    fn give_back(&mut self, index: usize, sp: usize, zero: bool) {
        let share = &mut self.shares[index];
        share.has.retain(|has| *has != sp);
        share.zero |= zero;
        if share.has.is_empty() {
            let (pages, ends) = (share.pages.clone(), share.orphan);
            if share.zero || ends {
                share.zero = false;
                self.zero(&pages);
            }
            if ends {
                self.shares.remove(index);
            }
        }
    }

    fn stop(&mut self, sp: usize) {
        self.stopped[sp] = true;
        for index in (0..self.shares.len()).rev() {
            if self.shares[index].has.contains(&sp) {
                self.give_back(index, sp, false);
            }
        }
        self.shares.retain_mut(|share| {
            share.orphan |= share.owner == sp;
            !(share.owner == sp && share.has.is_empty())
        });
    }

    /// Says whether `sp` can read a page.
    fn reads(&self, sp: usize, page: usize) -> bool {
        let share = self.shares.iter().find(|share| share.pages.contains(&page));
        let owns = self.owner[page] == sp;
        match share {
            Some(share) => share.has.contains(&sp) || (owns && share.kind == SHARE && !share.orphan),
            None => owns,
        }
    }
}

fn address(page: usize) -> u64 {
    let (whose, index) = (page / PAGES_EACH, (page % PAGES_EACH) as u64);
    if whose == SPS { NS + index * PAGE } else { own_page(whose, index) }
}

fn ipa(page: usize) -> Ipa {
    if page / PAGES_EACH == SPS { Ipa::non_secure(address(page)) } else { Ipa::secure(address(page)) }
}

fn pa(page: usize) -> Pa {
    Pa::new(ipa(page).space(), address(page))
}

fn who(index: usize) -> Who {
    if index == SPS { Who::Host } else { Who::Sp(index) }
}

fn ids(of: &[usize]) -> Vec<EndpointId> {
    of.iter().map(|index| who(*index).id()).collect()
}

fn carry_out(bench: &Bench, model: &mut Model, op: &Op) {
    match *op {
        Op::Offer { who: sender, kind, whose, first, count, to } => {
            let to: Vec<usize> = (0..SPS).filter(|sp| to >> sp & 1 != 0).collect();
            let last = (first + count).min(PAGES_EACH);
            let pages: Vec<usize> = (first..last).map(|page| whose * PAGES_EACH + page).collect();
            if sender < SPS && model.stopped[sender] {
                return;
            }
            let ranges = [range(address(pages[0]), pages.len() as u32)];
            let done = bench.offer(who(sender), kind, &ids(&to), &ranges);
            let faults = model.faults_of_offer(sender, kind, &pages, &to);
            match done {
                Ok(handle) => {
                    assert!(faults.is_empty(), "{op:?} should be refused: {faults:?}, {model:?}");
                    let (owner, has) = (sender, Vec::new());
                    let share = Share { handle, kind, owner, pages, to, has, zero: false, orphan: false };
                    model.shares.push(share);
                }
                Err(status) => assert!(faults.contains(&status), "{op:?}: {status}, {model:?}"),
            }
        }
        Op::Retrieve { sp, share } => {
            if share >= model.shares.len() || model.stopped[sp] {
                return;
            }
            let expected = model.may_retrieve(sp, share);
            let known = model.shares[share].clone();
            let done = bench.retrieve(sp, who(known.owner).id(), known.handle, known.kind, &ids(&known.to));
            assert_eq!(done.map(|_| ()), expected, "{op:?}, {model:?}");
            if expected.is_ok() {
                if known.kind == DONATE {
                    known.pages.iter().for_each(|page| model.owner[*page] = sp);
                    model.shares.remove(share);
                } else {
                    model.shares[share].has.push(sp);
                }
            }
        }
        Op::Relinquish { sp, share, zero } => {
            if share >= model.shares.len() || model.stopped[sp] {
                return;
            }
            let known = model.shares[share].clone();
            let flags = if zero { RelinquishFlags::ZERO_MEMORY } else { RelinquishFlags::empty() };
            let done = bench.relinquish(Who::Sp(sp), known.handle, flags);
            if !known.has.contains(&sp) || (zero && known.kind == SHARE) {
                assert_eq!(done, Err(Status::InvalidParameters), "{op:?}, {model:?}");
            } else {
                assert_eq!(done, Ok(()), "{op:?}, {model:?}");
                model.give_back(share, sp, zero);
            }
        }
        Op::Reclaim { who: sender, share, zero } => {
            if share >= model.shares.len() || (sender < SPS && model.stopped[sender]) {
                return;
            }
            let known = model.shares[share].clone();
            let done = bench.reclaim(who(sender), known.handle, zero.into());
            if known.owner != sender {
                assert_eq!(done, Err(Status::InvalidParameters), "{op:?}, {model:?}");
            } else if !known.has.is_empty() {
                assert_eq!(done, Err(Status::Denied), "{op:?}, {model:?}");
            } else {
                assert_eq!(done, Ok(()), "{op:?}, {model:?}");
                model.shares.remove(share);
                if zero {
                    model.zero(&known.pages);
                }
            }
        }
        Op::Stop { sp } => {
            if !model.stopped[sp] {
                bench.stop(sp);
                model.stop(sp);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_page_is_where_the_model_says(ops in prop::collection::vec(op(), 1..40)) {
        let bench = bench(SPS);
        let mut model = Model::new();
        for page in 0..model.owner.len() {
            bench.fill(pa(page), 0x55);
        }
        for op in &ops {
            carry_out(&bench, &mut model, op);
            for page in 0..model.owner.len() {
                prop_assert_eq!(bench.byte(pa(page)), model.byte[page], "page {} after {:?}", page, op);
                for sp in (0..SPS).filter(|sp| !model.stopped[*sp]) {
                    let reads = bench.may(sp, ipa(page), AccessKind::Read);
                    prop_assert_eq!(reads, model.reads(sp, page), "{} reads {} after {:?}, {:?}", sp, page, op, model);
                }
            }
        }
    }
}
