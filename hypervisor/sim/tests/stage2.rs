//! The stage-2 tables as the simulated walker, which was written independently, and its TLBs see them.

// What goes wrong in a helper has to stop the test there.
#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects)]

use tantalum_hal::{Stage2Roots, TableMemory, TrapKind, VmId};
use tantalum_sim::{AccessKind, Machine, TABLE_PAGES};
use tantalum_stage2::{Access, Attributes, Execute, Stage2, TablePool};
use tantalum_types::{AddressSpace, CpuIndex, Ipa, MAX_CPUS, PAGE_SIZE, Pa, PageRange, PartitionIndex};

struct Bench {
    machine: Machine,
    pool: TablePool<TABLE_PAGES>,
    secure: Stage2,
    non_secure: Stage2,
}

fn bench() -> Bench {
    let machine = Machine::new();
    let mut pool = TablePool::new(TABLE_PAGES);
    let owner = PartitionIndex::new(0).unwrap();
    let mut table = |space| Stage2::new(owner, space, VmId(3), &mut pool, &machine).unwrap();
    let (secure, non_secure) = (table(AddressSpace::Secure), table(AddressSpace::NonSecure));
    Bench { machine, pool, secure, non_secure }
}

impl Bench {
    fn see(&self, cpu: usize, ipa: Ipa, kind: AccessKind) -> Result<Pa, TrapKind> {
        let roots = Stage2Roots { secure: self.secure.root(), non_secure: self.non_secure.root(), vmid: 3 };
        self.machine.translate(CpuIndex::new(cpu).unwrap(), &roots, ipa, kind)
    }

    /// Lets every TLB learn every page of `range`.
    fn touch(&self, range: &PageRange<Ipa>) {
        for cpu in 0..MAX_CPUS {
            for page in range.pages() {
                let _ = self.see(cpu, page, AccessKind::Read);
            }
        }
    }
}

fn pages(page: u64, count: u64) -> PageRange<Ipa> {
    PageRange::new(Ipa::secure(page * PAGE_SIZE), count).unwrap()
}

#[test]
fn the_walker_sees_what_was_mapped() {
    let mut bench = bench();
    let range = pages(0x3ffff, 514);
    let to = PageRange::new(Pa::secure(0x7_ffff_f000), 514).unwrap();
    for (access, execute) in [
        (Access::ReadOnly, Execute::Never),
        (Access::ReadWrite, Execute::Never),
        (Access::ReadOnly, Execute::Allowed),
        (Access::ReadWrite, Execute::Allowed),
    ] {
        let attributes = Attributes { access, execute, ..Attributes::DATA };
        bench.secure.map(range, to, attributes, &mut bench.pool, &bench.machine, &bench.machine).unwrap();
        for (index, page) in range.pages().enumerate() {
            let target = Pa::secure(0x7_ffff_f000 + index as u64 * PAGE_SIZE);
            assert_eq!(bench.see(0, page, AccessKind::Read), Ok(target));
            assert_eq!(bench.see(0, page, AccessKind::Write).is_ok(), access == Access::ReadWrite);
            assert_eq!(bench.see(0, page, AccessKind::Fetch).is_ok(), execute == Execute::Allowed);
            let other_space = Ipa::non_secure(page.raw());
            assert!(bench.see(0, other_space, AccessKind::Read).is_err());
        }
        bench.secure.unmap(range, &mut bench.pool, &bench.machine, &bench.machine).unwrap();
    }
}

#[test]
fn a_tlb_of_the_machine_keeps_what_it_has_seen() {
    let mut bench = bench();
    let range = pages(0x100, 1);
    let to = range.to_identical_pa();
    bench.secure.map(range, to, Attributes::DATA, &mut bench.pool, &bench.machine, &bench.machine).unwrap();
    assert!(bench.see(0, range.start(), AccessKind::Read).is_ok());
    // Somebody who forgets to invalidate is found out.
    for page in 0..TABLE_PAGES {
        (0..512).for_each(|index| bench.machine.store(page, index, 0));
    }
    assert!(bench.see(0, range.start(), AccessKind::Read).is_ok(), "stale");
    assert!(bench.see(1, range.start(), AccessKind::Read).is_err(), "never seen");
}

#[test]
fn no_tlb_remembers_what_was_taken_away() {
    for count in [1, 2, 40, 512, 600] {
        let mut bench = bench();
        let all = pages(0x200, 1024);
        let to = all.to_identical_pa();
        bench
            .secure
            .map(all, to, Attributes::OWN_MEMORY, &mut bench.pool, &bench.machine, &bench.machine)
            .unwrap();
        bench.touch(&all);
        let changed = pages(0x210, count);
        bench
            .secure
            .protect(changed, Attributes::READ_ONLY_DATA, &mut bench.pool, &bench.machine, &bench.machine)
            .unwrap();
        for cpu in 0..MAX_CPUS {
            for page in all.pages() {
                let writable = bench.see(cpu, page, AccessKind::Write).is_ok();
                assert_eq!(writable, !changed.contains(page), "CPU {cpu}, {page}, {count} pages");
            }
        }
        bench.touch(&all);
        bench.secure.unmap(changed, &mut bench.pool, &bench.machine, &bench.machine).unwrap();
        for cpu in 0..MAX_CPUS {
            for page in all.pages() {
                let there = bench.see(cpu, page, AccessKind::Read).is_ok();
                assert_eq!(there, !changed.contains(page), "CPU {cpu}, {page}, {count} pages");
            }
        }
    }
}
