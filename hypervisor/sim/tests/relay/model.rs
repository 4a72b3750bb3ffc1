//! Random transactions of two virtual machines with two partitions: at no time is a page accessible to two sides of which
//! the ledger does not say so.

use std::collections::HashMap;

use proptest::prelude::*;
use tantalum_ffa::memory::{Constituent, Handle, RelinquishFlags, TransactionKind};
use tantalum_types::EndpointId;
use tantalum_vmm::ffa::PageState;

use crate::bench::{PAGE, Who, range, sp};
use crate::world::*;

/// Counts the pages of each virtual machine that occur.
const PAGES: u64 = 6;

#[derive(Clone, Debug)]
enum Step {
    Offer { vm: usize, kind: TransactionKind, to: usize, ranges: Vec<(u64, u32)>, first: usize },
    Reclaim { vm: usize, which: usize },
    Retrieve { sp: usize, which: usize },
    Relinquish { sp: usize, which: usize },
    Restart { vm: usize },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let kind = proptest::sample::select(TransactionKind::ALL.as_slice());
    let ranges = proptest::collection::vec((0..PAGES, 1..3_u32), 1..4);
    let step = prop_oneof![
        4 => (0..2_usize, kind, 0..2_usize, ranges, 1..4_usize)
            .prop_map(|(vm, kind, to, ranges, first)| Step::Offer { vm, kind, to, ranges, first }),
        3 => (0..2_usize, 0..8_usize).prop_map(|(vm, which)| Step::Reclaim { vm, which }),
        4 => (0..2_usize, 0..8_usize).prop_map(|(sp, which)| Step::Retrieve { sp, which }),
        3 => (0..2_usize, 0..8_usize).prop_map(|(sp, which)| Step::Relinquish { sp, which }),
        1 => (0..2_usize).prop_map(|vm| Step::Restart { vm }),
    ];
    proptest::collection::vec(step, 1..40)
}

/// Is a transaction that was begun.
struct Begun {
    vm: usize,
    kind: TransactionKind,
    handle: Handle,
    /// Which pages a partition has, by its number.
    had_by: HashMap<usize, Vec<u64>>,
}

fn pages_of(ranges: &[Constituent]) -> Vec<u64> {
    ranges
        .iter()
        .flat_map(|range| (0..u64::from(range.page_count)).map(|page| range.address + page * PAGE))
        .collect()
}

/// Asserts what has to hold between any two steps.
fn check(world: &World, begun: &[Begun]) {
    for (number, vm) in (0..PAGES + 2).flat_map(|number| [(number, 0), (number, 1)]) {
        let state = world.state(vm, page(number));
        let at = physical(vm, page(number)).raw();
        let holders = begun.iter().filter(|one| one.had_by.values().any(|pages| pages.contains(&at)));
        let kinds: Vec<TransactionKind> = holders.map(|one| one.kind).collect();
        let allowed: &[TransactionKind] = match state {
            PageState::Owned | PageState::Buffer => &[],
            PageState::Shared => &[TransactionKind::Share],
            PageState::Lent => &[TransactionKind::Lend],
            PageState::Donated => &[TransactionKind::Donate],
        };
        assert!(kinds.len() <= 1, "page {number} of {vm} is in {kinds:?}");
        assert!(
            kinds.iter().all(|kind| allowed.contains(kind)),
            "page {number} of {vm}: {state:?}, {kinds:?}"
        );
    }
}

fn run(steps: &[Step]) {
    let world = World::new(2);
    let mut begun: Vec<Begun> = Vec::new();
    for step in steps {
        match step {
            Step::Offer { vm, kind, to, ranges, first } => {
                let ranges: Vec<Constituent> =
                    ranges.iter().map(|(number, count)| range(page(*number), *count)).collect();
                let transaction = crate::bench::offer(id(*vm), *kind, &[sp(*to)]);
                let bytes = crate::bench::encode(tantalum_ffa::memory::Layout::V1_1, &transaction, &ranges);
                let size = 80 + 16 * first;
                if let Ok(handle) = world.send_in(*vm, *kind, &bytes, size) {
                    begun.push(Begun { vm: *vm, kind: *kind, handle, had_by: HashMap::new() });
                }
            }
            Step::Reclaim { vm, which } => {
                let Some(one) = begun.get(*which) else { continue };
                if world.reclaim(*vm, one.handle).is_ok() {
                    assert_eq!(one.vm, *vm, "only its owner reclaims it");
                    assert!(one.had_by.is_empty(), "nobody has it");
                    begun.remove(*which);
                }
            }
            Step::Retrieve { sp: index, which } => {
                let Some(one) = begun.get_mut(*which) else { continue };
                let from: EndpointId = id(one.vm);
                if let Ok((_, ranges)) =
                    world.bench.retrieve(*index, from, one.handle, one.kind, &[sp(*index)])
                {
                    one.had_by.insert(*index, pages_of(&ranges));
                }
            }
            Step::Relinquish { sp: index, which } => {
                let Some(one) = begun.get_mut(*which) else { continue };
                if world.bench.relinquish(Who::Sp(*index), one.handle, RelinquishFlags::empty()).is_ok() {
                    one.had_by.remove(index);
                }
            }
            Step::Restart { vm } => {
                let whole = world.relay.stop(index(*vm), &world.spmc(0), &world.memory);
                begun.retain(|one| one.vm != *vm || !one.had_by.is_empty());
                assert_eq!(whole, begun.iter().all(|one| one.vm != *vm), "whether all of it is back");
                assert_eq!(world.relay.start(index(*vm), 2, &world.spmc(0)), Ok(()));
                assert_eq!(world.does(*vm, map(VM_TX, VM_RX, 1)), Ok(()));
            }
        }
        check(&world, &begun);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn no_page_is_on_two_sides_that_the_ledger_does_not_know(steps in steps()) {
        run(&steps);
    }
}
