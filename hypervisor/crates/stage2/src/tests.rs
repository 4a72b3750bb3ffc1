//! Stage 2 against a simple model of what it should say, on a machine that watches how it says it.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::vec::Vec;
use std::{format, vec};

use proptest::prelude::*;
use tantalum_hal::{TableMemory, Tlb, VmId};
use tantalum_types::{AddressSpace, Ipa, PAGE_SIZE, Pa, PageRange, PartitionIndex};

use crate::descriptor::{Descriptor, ENTRIES};
use crate::{Access, Attributes, Execute, Mapping, MemoryType, PoolError, Stage2, Stage2Error, TablePool};

const PAGES: usize = 24;
const QUOTA: usize = 16;
const VMID: VmId = VmId(7);

/// Keeps table pages, and fails a test that breaks the rules of the architecture for changing them.
struct Machine {
    tables: RefCell<Vec<u64>>,
    /// Descriptors that were valid, are not any more, and may still be in a TLB.
    stale: RefCell<BTreeSet<(usize, usize)>>,
    /// The tables that such descriptors point to, which may still be walked.
    walked: RefCell<BTreeSet<u64>>,
    single: RefCell<Vec<Ipa>>,
    whole: Cell<usize>,
    /// Distance of one table page from the next; machines need not set aside one run of pages.
    stride: u64,
    /// Where the table pages lie.
    space: AddressSpace,
}

impl Machine {
    fn new() -> Self {
        Self::with_stride(PAGE_SIZE)
    }

    fn with_stride(stride: u64) -> Self {
        Self {
            tables: RefCell::new(vec![u64::MAX; PAGES * ENTRIES]),
            stale: RefCell::default(),
            walked: RefCell::default(),
            single: RefCell::default(),
            whole: Cell::new(0),
            stride,
            space: AddressSpace::Secure,
        }
    }

    fn of_the_normal_world() -> Self {
        Self { space: AddressSpace::NonSecure, ..Self::new() }
    }

    fn snapshot(&self) -> Vec<u64> {
        self.tables.borrow().clone()
    }
}

impl TableMemory for Machine {
    fn page_count(&self) -> usize {
        PAGES
    }

    fn address(&self, page: usize) -> Option<Pa> {
        (page < PAGES).then(|| Pa::new(self.space, 0x0e18_0000 + page as u64 * self.stride))
    }

    fn load(&self, page: usize, index: usize) -> u64 {
        self.tables.borrow()[page * ENTRIES + index]
    }

    fn store(&self, page: usize, index: usize, descriptor: u64) {
        let slot = &mut self.tables.borrow_mut()[page * ENTRIES + index];
        let (old, new) = (Descriptor(*slot), Descriptor(descriptor));
        let mut stale = self.stale.borrow_mut();
        let address = self.address(page).unwrap().raw();
        let mut walked = self.walked.borrow_mut();
        assert!(!walked.contains(&address), "page {page} is written while a TLB may still walk it");
        // What an unused page holds before it is emptied is not in use, and neither is what gets emptied.
        if old.is_valid() && *slot != u64::MAX {
            assert!(!new.is_valid() || old == new, "a valid descriptor is changed without a break");
            stale.insert((page, index));
            if *slot & 3 == 3 {
                // Leaves of level 3 look the same; what they map is never a table page in these tests.
                walked.insert(old.address());
            }
        }
        if new.is_valid() {
            assert!(!stale.contains(&(page, index)), "a descriptor is made before its old one is gone");
        }
        *slot = descriptor;
    }
}

impl Tlb for Machine {
    fn invalidate_page(&self, vmid: VmId, ipa: Ipa) {
        assert_eq!(vmid, VMID);
        self.single.borrow_mut().push(ipa);
        let level_three = crate::descriptor::Level::Three;
        // Only a leaf of level 3 at that index may be meant; others must be invalidated as a whole.
        self.stale.borrow_mut().retain(|(_, index)| *index != level_three.index(ipa.raw()));
    }

    fn invalidate_all(&self, vmid: VmId) {
        assert_eq!(vmid, VMID);
        self.whole.set(self.whole.get() + 1);
        self.stale.borrow_mut().clear();
        self.walked.borrow_mut().clear();
    }
}

fn owner(index: usize) -> PartitionIndex {
    PartitionIndex::new(index).unwrap()
}

fn ipa(page: u64, count: u64) -> PageRange<Ipa> {
    PageRange::new(Ipa::secure(page * PAGE_SIZE), count).unwrap()
}

fn pa(page: u64, count: u64) -> PageRange<Pa> {
    PageRange::new(Pa::secure(page * PAGE_SIZE), count).unwrap()
}

struct Bench {
    machine: Machine,
    pool: TablePool<PAGES>,
    stage2: Stage2,
}

impl Bench {
    fn new() -> Self {
        Self::on(Machine::new(), AddressSpace::Secure)
    }

    fn on(machine: Machine, space: AddressSpace) -> Self {
        let mut pool = TablePool::new(QUOTA);
        let stage2 = Stage2::new(owner(0), space, VMID, &mut pool, &machine).unwrap();
        Self { machine, pool, stage2 }
    }

    fn map(&mut self, at: PageRange<Ipa>, to: PageRange<Pa>, a: Attributes) -> Result<(), Stage2Error> {
        self.stage2.map(at, to, a, &mut self.pool, &self.machine, &self.machine)
    }

    fn unmap(&mut self, at: PageRange<Ipa>) -> Result<(), Stage2Error> {
        self.stage2.unmap(at, &mut self.pool, &self.machine, &self.machine)
    }

    fn protect(&mut self, at: PageRange<Ipa>, a: Attributes) -> Result<(), Stage2Error> {
        self.stage2.protect(at, a, &mut self.pool, &self.machine, &self.machine)
    }

    fn page(&self, page: u64) -> Option<Mapping> {
        self.stage2.translate(Ipa::secure(page * PAGE_SIZE), &self.machine)
    }

    /// Counts the tables that can be reached from the root, the root included.
    fn reachable(&self) -> usize {
        let mut found = BTreeSet::from([self.stage2.root().raw()]);
        let mut level = vec![self.stage2.root().raw()];
        for _ in 0..2 {
            let mut next = Vec::new();
            for table in level {
                let page = (0..PAGES).find(|page| self.machine.address(*page) == Some(Pa::secure(table)));
                for index in 0..ENTRIES {
                    let descriptor = self.machine.load(page.unwrap(), index);
                    if descriptor & 3 == 3 {
                        let address = Descriptor(descriptor).address();
                        assert!(found.insert(address), "two descriptors point to one table");
                        next.push(address);
                    } else {
                        assert!(descriptor & 1 == 1 || descriptor == 0, "a broken descriptor is left");
                    }
                }
            }
            level = next;
        }
        found.len()
    }
}

const READ_WRITE: Attributes = Attributes::DATA;
const READ_ONLY: Attributes = Attributes::READ_ONLY_DATA;

#[test]
fn maps_in_the_largest_pieces_that_fit() {
    let mut bench = Bench::new();
    // 1 GiB less one page at 1 GiB + 4 KiB: pages, then blocks of 2 MiB.
    bench.map(ipa(0x40001, 0x3ffff), pa(0x80001, 0x3ffff), READ_WRITE).unwrap();
    assert_eq!(bench.pool.used_by(owner(0)), 3);
    // A whole aligned GiB takes no table at all.
    bench.map(ipa(0x80000, 0x40000), pa(0xc0000, 0x40000), READ_WRITE).unwrap();
    assert_eq!(bench.pool.used_by(owner(0)), 3);
    // 2 MiB that are aligned in one space only become pages.
    bench.map(ipa(0, 512), pa(1, 512), READ_WRITE).unwrap();
    assert_eq!(bench.pool.used_by(owner(0)), 5);
    for (from, to) in
        [(0x40001, 0x80001), (0x7ffff, 0xbffff), (0x80000, 0xc0000), (0xbffff, 0xfffff), (511, 512)]
    {
        assert_eq!(bench.page(from).unwrap().pa, Pa::secure(to * PAGE_SIZE));
    }
    assert_eq!(bench.page(0x40000), None);
    assert_eq!(bench.page(0xc0000), None);
    let offset = bench.stage2.translate(Ipa::secure(0x8000_0123), &bench.machine).unwrap();
    assert_eq!(offset.pa, Pa::secure(0xc000_0123));
    // Mapping anew never needs an invalidation.
    assert_eq!(bench.machine.whole.get(), 0);
    assert!(bench.machine.single.borrow().is_empty());
}

#[test]
fn maps_up_to_the_last_address_and_no_further() {
    let mut bench = Bench::new();
    let last = (1 << 27) - 1;
    bench.map(ipa(last, 1), pa(0, 1), READ_WRITE).unwrap();
    assert_eq!(bench.map(ipa(last, 2), pa(0, 2), READ_WRITE), Err(Stage2Error::OutOfRange));
    assert_eq!(bench.page(1 << 27), None);
    bench.unmap(ipa(last, 1)).unwrap();
    assert_eq!(bench.unmap(ipa(last, 2)), Err(Stage2Error::OutOfRange));
}

#[test]
fn keeps_the_address_spaces_apart() {
    let mut bench = Bench::new();
    let ns_ipa = PageRange::new(Ipa::non_secure(0x1000), 1).unwrap();
    let ns_pa = PageRange::new(Pa::non_secure(0x1000), 1).unwrap();
    assert_eq!(bench.map(ns_ipa, pa(1, 1), READ_WRITE), Err(Stage2Error::WrongSpace));
    assert_eq!(bench.map(ipa(1, 1), ns_pa, READ_WRITE), Err(Stage2Error::WrongSpace));
    bench.map(ipa(1, 1), pa(1, 1), READ_WRITE).unwrap();
    assert_eq!(bench.unmap(ns_ipa), Err(Stage2Error::WrongSpace));
    assert_eq!(bench.protect(ns_ipa, READ_ONLY), Err(Stage2Error::WrongSpace));
    assert_eq!(bench.stage2.translate(ns_ipa.start(), &bench.machine), None);
    assert!(!bench.stage2.is_mapped_with(&ns_ipa, &bench.machine, |_, _| true));

    let mut other = Bench::on(Machine::new(), AddressSpace::NonSecure);
    other.map(ns_ipa, ns_pa, READ_WRITE).unwrap();
    let mapping = other.stage2.translate(ns_ipa.start(), &other.machine).unwrap();
    assert_eq!(mapping.pa, ns_pa.start());
}

#[test]
fn never_lets_foreign_or_device_memory_be_executed() {
    let executable = Attributes::OWN_MEMORY;
    let mut ns = Bench::on(Machine::new(), AddressSpace::NonSecure);
    let ns_ipa = PageRange::new(Ipa::non_secure(0x1000), 1).unwrap();
    let ns_pa = PageRange::new(Pa::non_secure(0x1000), 1).unwrap();
    assert_eq!(ns.map(ns_ipa, ns_pa, executable), Err(Stage2Error::NeverExecutable));
    ns.map(ns_ipa, ns_pa, READ_WRITE).unwrap();
    assert_eq!(ns.protect(ns_ipa, executable), Err(Stage2Error::NeverExecutable));

    let mut bench = Bench::new();
    let device = Attributes { memory: MemoryType::Device, ..executable };
    assert_eq!(bench.map(ipa(1, 1), pa(1, 1), device), Err(Stage2Error::NeverExecutable));
    bench.map(ipa(1, 1), pa(1, 1), executable).unwrap();
    assert_eq!(bench.page(1).unwrap().attributes, executable);

    // Where the tables are the normal world's, its memory is not foreign.
    let mut vm = Bench::on(Machine::of_the_normal_world(), AddressSpace::NonSecure);
    assert_eq!(vm.map(ns_ipa, ns_pa, device), Err(Stage2Error::NeverExecutable));
    vm.map(ns_ipa, ns_pa, executable).unwrap();
    assert_eq!(vm.stage2.translate(ns_ipa.start(), &vm.machine).unwrap().attributes, executable);
}

#[test]
fn tables_of_the_secure_world_lie_in_its_memory() {
    let refused = |machine: &Machine| {
        let mut pool = TablePool::<PAGES>::new(QUOTA);
        Stage2::new(owner(0), AddressSpace::Secure, VMID, &mut pool, machine).err()
    };
    assert_eq!(refused(&Machine::of_the_normal_world()), Some(Stage2Error::TableMemory));
    assert_eq!(refused(&Machine::new()), None);
}

#[test]
fn refuses_ranges_of_different_size_and_what_is_mapped() {
    let mut bench = Bench::new();
    assert_eq!(bench.map(ipa(1, 2), pa(1, 3), READ_WRITE), Err(Stage2Error::SizeMismatch));
    bench.map(ipa(5, 1), pa(5, 1), READ_WRITE).unwrap();
    let before = bench.machine.snapshot();
    assert_eq!(bench.map(ipa(1, 8), pa(1, 8), READ_WRITE), Err(Stage2Error::MappedAlready));
    assert_eq!(bench.map(ipa(5, 1), pa(5, 1), READ_WRITE), Err(Stage2Error::MappedAlready));
    assert_eq!(bench.unmap(ipa(5, 2)), Err(Stage2Error::NotMapped));
    assert_eq!(bench.protect(ipa(4, 2), READ_ONLY), Err(Stage2Error::NotMapped));
    assert_eq!(bench.machine.snapshot(), before);
}

#[test]
fn splits_blocks_only_at_the_ends() {
    let mut bench = Bench::new();
    bench.map(ipa(0, 0x40000), pa(0x40000, 0x40000), READ_WRITE).unwrap();
    assert_eq!(bench.pool.used_by(owner(0)), 1);
    bench.protect(ipa(513, 1022), READ_ONLY).unwrap();
    // A level 2 table, and one level 3 table at each end: 513 and 1535 lie in different blocks.
    assert_eq!(bench.pool.used_by(owner(0)), 4);
    for (page, access) in [
        (0, Access::ReadWrite),
        (512, Access::ReadWrite),
        (513, Access::ReadOnly),
        (1534, Access::ReadOnly),
        (1535, Access::ReadWrite),
        (0x3ffff, Access::ReadWrite),
    ] {
        let mapping = bench.page(page).unwrap();
        assert_eq!(mapping.attributes.access, access, "page {page}");
        assert_eq!(mapping.pa, Pa::secure((page + 0x40000) * PAGE_SIZE));
    }
    bench.unmap(ipa(0, 0x40000)).unwrap();
    assert_eq!(bench.pool.used_by(owner(0)), 1);
}

#[test]
fn changes_nothing_without_tables_for_all_of_it() {
    let mut bench = Bench::new();
    bench.map(ipa(0, 0x40000), pa(0, 0x40000), READ_WRITE).unwrap();
    while bench.pool.used_by(owner(0)) < QUOTA - 1 {
        bench.pool.allocate(owner(0)).unwrap();
    }
    let before = bench.machine.snapshot();
    let quota = Err(Stage2Error::Pool(PoolError::QuotaUsedUp));
    // One page of a GiB needs two tables, and there is one.
    assert_eq!(bench.unmap(ipa(5, 1)), quota);
    assert_eq!(bench.protect(ipa(5, 1), READ_ONLY), quota);
    assert_eq!(bench.map(ipa(0x40000, 1), pa(0, 1), READ_WRITE), quota);
    assert_eq!(bench.machine.snapshot(), before);
    // 2 MiB of a GiB needs one.
    bench.unmap(ipa(512, 512)).unwrap();
    // Ends in two blocks need a table each, and one is there.
    bench.pool.free(1);
    let before = bench.machine.snapshot();
    assert_eq!(bench.protect(ipa(1025, 1022), READ_ONLY), quota);
    assert_eq!(bench.machine.snapshot(), before);
    bench.protect(ipa(1025, 511), READ_ONLY).unwrap();
}

#[test]
fn one_owner_cannot_starve_another() {
    let machine = Machine::new();
    let mut pool: TablePool<PAGES> = TablePool::new(PAGES / 2);
    for _ in 0..PAGES / 2 {
        pool.allocate(owner(0)).unwrap();
    }
    assert_eq!(pool.allocate(owner(0)), Err(PoolError::QuotaUsedUp));
    for _ in 0..PAGES / 2 {
        pool.allocate(owner(1)).unwrap();
    }
    assert_eq!(pool.allocate(owner(2)), Err(PoolError::Empty));
    assert_eq!(
        Stage2::new(owner(2), AddressSpace::Secure, VMID, &mut pool, &machine).unwrap_err(),
        Stage2Error::Pool(PoolError::Empty)
    );
    pool.free(0);
    pool.free(0);
    pool.free(PAGES);
    assert_eq!(pool.used_by(owner(0)), PAGES / 2 - 1);
    assert_eq!(pool.most_used_by(owner(0)), PAGES / 2);
    assert_eq!(pool.free_count(), 1);
}

#[test]
fn refuses_a_machine_with_fewer_pages_than_the_pool() {
    let mut pool: TablePool<{ PAGES + 1 }> = TablePool::new(4);
    let error = Stage2::new(owner(0), AddressSpace::Secure, VMID, &mut pool, &Machine::new()).unwrap_err();
    assert_eq!(error, Stage2Error::TableMemory);
    assert_eq!(pool.free_count(), PAGES + 1);
}

#[test]
fn invalidates_few_pages_singly_and_many_at_once() {
    let mut bench = Bench::new();
    bench.map(ipa(0, 100), pa(0, 100), READ_WRITE).unwrap();
    bench.protect(ipa(3, 2), READ_ONLY).unwrap();
    assert_eq!(*bench.machine.single.borrow(), [Ipa::secure(0x3000), Ipa::secure(0x4000)]);
    assert_eq!(bench.machine.whole.get(), 0);
    bench.protect(ipa(0, 50), READ_ONLY).unwrap();
    assert_eq!(bench.machine.whole.get(), 1);
    // Nothing changes, so nothing is invalidated.
    bench.protect(ipa(0, 50), READ_ONLY).unwrap();
    assert_eq!(bench.machine.whole.get(), 1);
    // The last page takes its tables with it, which page invalidations do not cover.
    bench.unmap(ipa(1, 99)).unwrap();
    assert_eq!(bench.machine.whole.get(), 2);
    bench.unmap(ipa(0, 1)).unwrap();
    assert_eq!(bench.machine.whole.get(), 3);
    assert_eq!(bench.pool.used_by(owner(0)), 1);
}

#[test]
fn finds_tables_that_are_not_one_run_of_pages() {
    let mut bench = Bench::on(Machine::with_stride(3 * PAGE_SIZE), AddressSpace::Secure);
    bench.map(ipa(1, 1), pa(2, 1), READ_WRITE).unwrap();
    assert_eq!(bench.page(1).unwrap().pa, Pa::secure(2 * PAGE_SIZE));
    bench.unmap(ipa(1, 1)).unwrap();
    assert_eq!(bench.pool.used_by(owner(0)), 1);
}

#[test]
fn gives_everything_back_when_destroyed() {
    let mut bench = Bench::new();
    bench.map(ipa(0, 3), pa(0, 3), READ_WRITE).unwrap();
    bench.map(ipa(0x3ffff, 2), pa(0, 2), READ_WRITE).unwrap();
    let Bench { machine, mut pool, stage2 } = bench;
    stage2.destroy(&mut pool, &machine, &machine);
    assert_eq!(pool.free_count(), PAGES);
    assert_eq!(machine.whole.get(), 1);
}

#[derive(Clone, Debug)]
enum Operation {
    Map { at: u64, count: u64, shift: u64, attributes: Attributes },
    Unmap { at: u64, count: u64 },
    Protect { at: u64, count: u64, attributes: Attributes },
}

fn page() -> impl Strategy<Value = u64> {
    let landmarks = [4, 510, 512, 1024, 0x3fe00, 0x40000, 0x40200, 0x80000, (1 << 27) - 512];
    (proptest::sample::select(landmarks.to_vec()), 0_u64..5).prop_map(|(base, offset)| base + offset - 2)
}

fn count() -> impl Strategy<Value = u64> {
    prop_oneof![4 => 1_u64..4, 2 => 30_u64..40, 3 => 510_u64..515, 1 => Just(1024_u64), 1 => Just(0x40000_u64)]
}

fn attributes() -> impl Strategy<Value = Attributes> {
    proptest::sample::select(vec![
        Attributes::OWN_MEMORY,
        Attributes::DATA,
        Attributes::READ_ONLY_DATA,
        Attributes::DEVICE,
        Attributes { access: Access::ReadOnly, execute: Execute::Allowed, memory: MemoryType::Normal },
    ])
}

fn operation() -> impl Strategy<Value = Operation> {
    let shift = proptest::sample::select(vec![0_u64, 1, 512, 0x40000]);
    prop_oneof![
        3 => (page(), count(), shift, attributes())
            .prop_map(|(at, count, shift, attributes)| Operation::Map { at, count, shift, attributes }),
        2 => (page(), count()).prop_map(|(at, count)| Operation::Unmap { at, count }),
        2 => (page(), count(), attributes())
            .prop_map(|(at, count, attributes)| Operation::Protect { at, count, attributes }),
    ]
}

/// Says what should be mapped: runs of pages that do not overlap, by their first page.
#[derive(Default)]
struct Model(BTreeMap<u64, Run>);

#[derive(Clone, Copy, Debug)]
struct Run {
    end: u64,
    to: u64,
    attributes: Attributes,
}

impl Model {
    fn at(&self, page: u64) -> Option<Mapping> {
        let (start, run) = self.0.range(..=page).next_back()?;
        (page < run.end).then(|| Mapping {
            pa: Pa::secure((run.to + page - start) * PAGE_SIZE),
            attributes: run.attributes,
        })
    }

    fn overlaps(&self, start: u64, end: u64) -> bool {
        self.0.iter().any(|(first, run)| *first < end && start < run.end)
    }

    fn covers(&self, start: u64, end: u64) -> bool {
        let mut next = start;
        while next < end {
            match self.0.range(..=next).next_back() {
                Some((_, run)) if run.end > next => next = run.end,
                _ => return false,
            }
        }
        true
    }

    fn cut(&mut self, at: u64) {
        let found = self.0.range(..at).next_back().map(|(start, run)| (*start, *run));
        if let Some((start, run)) = found
            && at < run.end
        {
            self.0.insert(start, Run { end: at, ..run });
            self.0.insert(at, Run { to: run.to + at - start, ..run });
        }
    }

    fn take(&mut self, start: u64, end: u64) -> Vec<(u64, Run)> {
        self.cut(start);
        self.cut(end);
        let taken: Vec<_> = self.0.range(start..end).map(|(start, run)| (*start, *run)).collect();
        self.0.retain(|first, _| !(start..end).contains(first));
        taken
    }
}

fn step(bench: &mut Bench, model: &mut Model, operation: &Operation) {
    let (at, count) = match *operation {
        Operation::Map { at, count, .. }
        | Operation::Unmap { at, count }
        | Operation::Protect { at, count, .. } => (at, count),
    };
    let end = at + count;
    let range = ipa(at, count);
    let before = (bench.machine.snapshot(), bench.pool.free_count());
    let (result, allowed) = match *operation {
        Operation::Map { shift, attributes, .. } => {
            (bench.map(range, pa(at + shift, count), attributes), !model.overlaps(at, end))
        }
        Operation::Unmap { .. } => (bench.unmap(range), model.covers(at, end)),
        Operation::Protect { attributes, .. } => (bench.protect(range, attributes), model.covers(at, end)),
    };
    match result {
        Ok(()) => {
            assert!(allowed && end <= 1 << 27, "was allowed");
            match *operation {
                Operation::Map { shift, attributes, .. } => {
                    model.0.insert(at, Run { end, to: at + shift, attributes });
                }
                Operation::Unmap { .. } => drop(model.take(at, end)),
                Operation::Protect { attributes, .. } => {
                    for (start, run) in model.take(at, end) {
                        model.0.insert(start, Run { attributes, ..run });
                    }
                }
            }
        }
        Err(error) => {
            match error {
                Stage2Error::OutOfRange => assert!(end > 1 << 27),
                Stage2Error::MappedAlready | Stage2Error::NotMapped => assert!(!allowed),
                Stage2Error::Pool(PoolError::QuotaUsedUp) => assert!(allowed),
                error => panic!("{error}"),
            }
            let after = (bench.machine.snapshot(), bench.pool.free_count());
            assert!(before == after, "an error has changed something");
        }
    }
    assert!(bench.machine.stale.borrow().is_empty(), "a TLB may still hold what was taken away");
    assert_eq!(bench.reachable(), bench.pool.used_by(owner(0)), "a table is lost or shared");
    let ends = model.0.iter().flat_map(|(start, run)| [*start, run.end]);
    for boundary in ends.chain([at, end]) {
        for page in [boundary.saturating_sub(1), boundary, boundary + 1, boundary + 300] {
            assert_eq!(bench.page(page), model.at(page), "page {page:#x}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn agrees_with_the_model(operations in proptest::collection::vec(operation(), 1..24)) {
        let mut bench = Bench::new();
        let mut model = Model::default();
        for operation in &operations {
            step(&mut bench, &mut model, operation);
        }
        let runs: Vec<_> = model.0.iter().map(|(start, run)| (*start, run.end - start)).collect();
        for (at, count) in runs {
            // A run that shares a block with its neighbour may lack the table to split it; what is left
            // goes with the destruction.
            let _ = bench.unmap(ipa(at, count));
        }
        let Bench { machine, mut pool, stage2 } = bench;
        stage2.destroy(&mut pool, &machine, &machine);
        prop_assert_eq!(pool.free_count(), PAGES, "{}", format!("{operations:?}"));
    }
}

// --- Many ranges at once

#[test]
fn many_ranges_are_mapped_wholly_or_not_at_all() {
    let mut bench = Bench::new();
    // A page in every piece of 2 MiB takes a table each, besides the root and one of level 2.
    let far = |count: u64| (0..count).map(|index| ipa(index * 512 + 7, 1));
    let fits = QUOTA as u64 - 2;
    let all = |bench: &mut Bench, count| {
        let Bench { machine, pool, stage2 } = bench;
        stage2.map_all_identically(far(count), Attributes::DATA, pool, &*machine, &*machine)
    };
    let free = bench.pool.free_count();
    assert_eq!(all(&mut bench, fits + 1), Err(Stage2Error::Pool(PoolError::QuotaUsedUp)));
    assert_eq!((bench.pool.free_count(), bench.reachable()), (free, 1), "nothing is left of it");
    assert_eq!(all(&mut bench, fits), Ok(()));
    assert_eq!(bench.page(7).map(|mapping| mapping.pa), Some(Pa::secure(7 * PAGE_SIZE)));
    // One that is mapped already undoes the others, and stays.
    bench.unmap(ipa(7, 1)).unwrap();
    assert_eq!(all(&mut bench, fits), Err(Stage2Error::MappedAlready));
    assert!(bench.page(7).is_none() && bench.page(512 + 7).is_some());
}

#[test]
fn many_ranges_are_unmapped_wholly_or_not_at_all() {
    let mut bench = Bench::new();
    let block = ipa(0x200, 512);
    bench.map(block, pa(0x200, 512), Attributes::OWN_MEMORY).unwrap();
    bench.map(ipa(0x800, 1), pa(0x800, 1), Attributes::DATA).unwrap();
    let all = |bench: &mut Bench, ranges: &[PageRange<Ipa>]| {
        let Bench { machine, pool, stage2 } = bench;
        stage2.unmap_all(ranges.iter().copied(), pool, &*machine, &*machine)
    };
    let missing = [ipa(0x210, 1), ipa(0x800, 1), ipa(0x900, 1)];
    assert_eq!(all(&mut bench, &missing), Err(Stage2Error::NotMapped));
    assert!(bench.page(0x210).is_some() && bench.page(0x800).is_some());
    assert_eq!(all(&mut bench, &missing[..2]), Ok(()));
    assert!(bench.page(0x210).is_none() && bench.page(0x800).is_none());
    assert_eq!(bench.page(0x211).map(|mapping| mapping.attributes), Some(Attributes::OWN_MEMORY));
}
