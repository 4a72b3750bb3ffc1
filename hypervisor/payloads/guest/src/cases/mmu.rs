//! Stage 1 of translation, caches and the invalidation of TLBs.

use crate::machine::exceptions::{self as provoke, catch, class};
use crate::machine::memory::Pages;
use crate::machine::sysreg;
use crate::machine::window::{self, Kind};
use crate::machine::{cpus, image};
use crate::test::{Case, Test, cases};

pub(crate) const CASES: &[Case] = cases![
    mmu:
    identity, aliases, remapped, unmapped_everywhere, remapped_everywhere, non_cacheable, new_code, code_on_all_cpus,
    translation_is_asked, many_pages, device_memory,
];

fn identity(t: &Test) {
    let (start, _) = image();
    for address in [start, Pages::at(0, 1).address(), 0x0900_0000] {
        let par = sysreg::translate(address);
        t.equal("PAR_EL1.F", par & 1, 0);
        t.equal("where it leads", par & 0xff_ffff_f000, address & !0xfff);
    }
}

fn aliases(t: &Test) {
    let page = Pages::at(1, 1);
    let all = [3, 100, 511].map(|index| window::map(index, page.address(), Kind::Normal));
    for (number, address) in all.into_iter().enumerate() {
        window::write(address + 8, number as u64 + 10);
        for other in all {
            t.equal("by another address", window::read(other + 8), number as u64 + 10);
        }
        t.equal("by the identity", page.read64(8), number as u64 + 10);
    }
    [3, 100, 511].into_iter().for_each(window::unmap);
}

fn remapped(t: &Test) {
    let two = [Pages::at(1, 1), Pages::at(2, 1)];
    two[0].write64(0, 111);
    two[1].write64(0, 222);
    for _ in 0..10 {
        t.equal("the first", window::read(window::map(7, two[0].address(), Kind::Normal)), 111);
        t.equal("the second", window::read(window::map(7, two[1].address(), Kind::Normal)), 222);
    }
    window::unmap(7);
}

fn unmapped_everywhere(t: &Test) {
    let page = Pages::at(1, 1);
    page.write64(0, 5);
    let address = window::map(8, page.address(), Kind::Normal);
    cpus::on_all(|_| t.equal("what is there", window::read(address), 5));
    window::unmap(8);
    cpus::on_all(|_| {
        t.raises("nothing is there", catch(|| _ = provoke::load(address)), class::DATA_ABORT);
    });
}

fn remapped_everywhere(t: &Test) {
    let two = [Pages::at(1, 1), Pages::at(2, 1)];
    two[0].write64(0, 111);
    two[1].write64(0, 222);
    for round in 0..6 {
        // Each time another CPU does it, and all the others see it.
        let which = round % 2;
        cpus::on(round % cpus::count(), || _ = window::map(9, two[which].address(), Kind::Normal));
        cpus::on_all(|_| t.equal("what is there", window::read(window::address(9)), [111, 222][which]));
    }
    window::unmap(9);
}

fn non_cacheable(t: &Test) {
    let page = Pages::at(1, 1);
    page.write64(0, 1);
    sysreg::maintain_caches(page.address(), page.size());
    let address = window::map(10, page.address(), Kind::NonCacheable);
    t.equal("what is there", window::read(address), 1);
    window::write(address, 2);
    window::unmap(10);
    sysreg::maintain_caches(page.address(), page.size());
    t.equal("what was written", page.read64(0), 2);
}

/// Writes a function that returns `value`.
fn write_function(page: &Pages, value: u16) {
    // MOVZ x0, #value; RET
    page.write32(0, 0xd280_0000 | u32::from(value) << 5);
    page.write32(4, 0xd65f_03c0);
    sysreg::maintain_caches(page.address(), page.size());
}

fn new_code(t: &Test) {
    let page = Pages::at(3, 1);
    let address = window::map(11, page.address(), Kind::Normal);
    for value in 1..=20 {
        write_function(&page, value);
        t.equal("what it returns", window::call(address), value.into());
    }
    window::unmap(11);
}

fn code_on_all_cpus(t: &Test) {
    let page = Pages::at(3, 1);
    let address = window::map(11, page.address(), Kind::Normal);
    for value in 100..105 {
        write_function(&page, value);
        cpus::on_all(|_| {
            sysreg::isb();
            t.equal("what it returns", window::call(address), value.into());
        });
    }
    window::unmap(11);
}

fn translation_is_asked(t: &Test) {
    let page = Pages::at(4, 1);
    let address = window::map(12, page.address(), Kind::Normal);
    let par = sysreg::translate(address + 0x123);
    t.equal("PAR_EL1.F", par & 1, 0);
    t.equal("where it leads", par & 0xff_ffff_f000, page.address());
    window::unmap(12);
    let par = sysreg::translate(address);
    t.equal("PAR_EL1.F", par & 1, 1);
    t.equal("status", par >> 1 & 0x3f, 7);
}

fn many_pages(t: &Test) {
    const COUNT: usize = 400;
    let pages = Pages::at(0, COUNT);
    for index in 0..COUNT {
        // In another order than they lie.
        let physical = pages.address() + (index * 7 % COUNT * 4096) as u64;
        window::write(window::map(index, physical, Kind::Normal), index as u64);
    }
    for index in 0..COUNT {
        t.equal("by the identity", pages.read64(index * 7 % COUNT * 4096), index as u64);
    }
    (0..COUNT).for_each(window::unmap);
}

fn device_memory(t: &Test) {
    // A device by another address than its own.
    let address = window::map(13, 0x0900_0000, Kind::Device);
    t.equal("component ID", provoke::load(address + 0xff0).into(), 0x0d);
    window::unmap(13);
}
