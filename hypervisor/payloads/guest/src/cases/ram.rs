//! RAM: all of it is there, holds what is written, and belongs to nobody else.

use crate::machine::memory::{self, Pages, each_free_page, read_free, write_free};
use crate::machine::{cpus, tree};
use crate::test::{Case, Test, cases};

pub(crate) const CASES: &[Case] = cases![ram: every_page, last_bytes, patterns, sizes_of_access, written_by_one_read_by_another, large_pattern];

fn every_page(t: &Test) {
    let stamp = |address: u64| address ^ 0x5aa5_c33c_0ff0_9669;
    let mut pages = 0;
    each_free_page(|address| {
        write_free(address, stamp(address));
        pages += 1;
    });
    let mut wrong = 0;
    let mut first = 0;
    each_free_page(|address| {
        if read_free(address) != stamp(address) {
            if wrong == 0 {
                first = address;
            }
            wrong += 1;
        }
    });
    t.check(
        wrong == 0,
        format_args!("{wrong} of {pages} pages do not hold what is written, the first at {first:#x}"),
    );
    let (_, size) = tree::ram();
    t.check(pages * memory::PAGE as u64 > size / 2, format_args!("{pages} pages of {size:#x} bytes"));
}

fn last_bytes(t: &Test) {
    let mut last = 0;
    each_free_page(|address| last = address);
    let (ram, size) = tree::ram();
    t.check(last + memory::PAGE as u64 <= ram + size, format_args!("{last:#x} is behind RAM"));
    let end = last + memory::PAGE as u64 - 8;
    write_free(end, 0x0123_4567_89ab_cdef);
    t.equal("the last word", read_free(end), 0x0123_4567_89ab_cdef);
}

fn patterns(t: &Test) {
    let page = Pages::at(0, 1);
    for pattern in [0, u64::MAX, 0x5555_5555_5555_5555, 0xaaaa_aaaa_aaaa_aaaa] {
        (0..512).for_each(|at| page.write64(at * 8, pattern));
        let wrong = (0..512).filter(|at| page.read64(at * 8) != pattern).count();
        t.equal("words that are wrong", wrong as u64, 0);
    }
    for bit in 0..64 {
        page.write64(8 * bit, 1 << bit);
    }
    for bit in 0..64 {
        t.equal("one bit", page.read64(8 * bit), 1 << bit);
    }
}

fn sizes_of_access(t: &Test) {
    let page = Pages::at(0, 1);
    page.write64(0, 0x8877_6655_4433_2211);
    t.equal("byte", page.read8(3).into(), 0x44);
    t.equal("half", page.read16(2).into(), 0x4433);
    t.equal("word", page.read32(4).into(), 0x8877_6655);
    page.write8(0, 0xaa);
    page.write16(2, 0xcccc);
    page.write32(4, 0xdddd_dddd);
    t.equal("double word", page.read64(0), 0xdddd_dddd_cccc_22aa);
}

fn written_by_one_read_by_another(t: &Test) {
    let page = Pages::at(0, 1);
    for writer in 0..cpus::count() {
        cpus::on(writer, || {
            (0..512).for_each(|at| page.write64(at * 8, (writer as u64) << 32 | at as u64));
        });
        for reader in 0..cpus::count() {
            cpus::on(reader, || {
                let wrong =
                    (0..512).filter(|at| page.read64(at * 8) != (writer as u64) << 32 | *at as u64).count();
                t.equal("words that are wrong", wrong as u64, 0);
            });
        }
    }
}

fn large_pattern(t: &Test) {
    // A sequence that does not repeat, over 2 MiB, written and read by all CPUs, each its part.
    const SIZE: usize = 0x20_0000;
    let pages = Pages::at(0, SIZE / memory::PAGE);
    let next =
        |word: u64| word.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    let part = SIZE / cpus::count() / 8 * 8;
    cpus::on_all(|cpu| {
        let mut word = cpu as u64 + 1;
        for at in (cpu * part..(cpu + 1) * part).step_by(8) {
            pages.write64(at, word);
            word = next(word);
        }
    });
    cpus::on_all(|cpu| {
        // Another CPU's part.
        let cpu = (cpu + 1) % cpus::count();
        let mut word = cpu as u64 + 1;
        let mut wrong = 0;
        for at in (cpu * part..(cpu + 1) * part).step_by(8) {
            wrong += u64::from(pages.read64(at) != word);
            word = next(word);
        }
        t.equal("words that are wrong", wrong, 0);
    });
}
