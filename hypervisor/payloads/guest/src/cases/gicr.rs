//! The redistributors' registers (GICv3, section 12.11).

use crate::machine::gic::{self, PRIVATE, private, redistributor, register as r};
use crate::machine::{cpus, interrupts, mmio};
use crate::test::{Case, Test, cases};

pub(crate) const CASES: &[Case] = cases![
    gicr:
    kind, architecture, awake, enable, pending, active, priority, configuration, group, of_another_cpu, per_cpu,
    reserved,
];

/// Is a PPI that nothing has.
const PPI: usize = 17;
const SGI: usize = 7;

fn kind(t: &Test) {
    let count = cpus::count();
    for cpu in 0..count {
        let kind = mmio::read64(redistributor(cpu) + r::GICR_TYPER);
        t.equal("affinity", kind >> 32, cpu as u64);
        t.equal("processor number", kind >> 8 & 0xffff, cpu as u64);
        t.equal("last", kind >> 4 & 1, (cpu + 1 == count).into());
        t.equal("by halves", mmio::read32(redistributor(cpu) + r::GICR_TYPER + 4).into(), kind >> 32);
    }
}

fn architecture(t: &Test) {
    for cpu in 0..cpus::count() {
        t.equal("GICR_PIDR2.ArchRev", (mmio::read32(redistributor(cpu) + r::PIDR2) >> 4 & 0xf).into(), 3);
    }
}

fn awake(t: &Test) {
    for cpu in 0..cpus::count() {
        let waker = mmio::read32(redistributor(cpu) + r::GICR_WAKER);
        t.equal("ProcessorSleep and ChildrenAsleep", (waker & 6).into(), 0);
    }
}

fn enable(t: &Test) {
    cpus::on_all(|cpu| {
        for intid in [SGI, PPI] {
            let own = private(cpu, intid);
            own.enable(true);
            t.check(
                own.is(r::ISENABLER) && own.is(r::ICENABLER),
                format_args!("CPU {cpu}: {intid} is not enabled"),
            );
            own.enable(false);
            t.check(
                !own.is(r::ISENABLER) && !own.is(r::ICENABLER),
                format_args!("CPU {cpu}: {intid} is enabled"),
            );
        }
    });
}

fn pending(t: &Test) {
    cpus::on_all(|cpu| {
        for intid in [SGI, PPI] {
            let own = private(cpu, intid);
            own.enable(false);
            if intid == PPI {
                own.set_edge(true);
            }
            own.pend(true);
            t.check(
                own.is(r::ISPENDR) && own.is(r::ICPENDR),
                format_args!("CPU {cpu}: {intid} is not pending"),
            );
            own.pend(false);
            t.check(
                !own.is(r::ISPENDR) && !own.is(r::ICPENDR),
                format_args!("CPU {cpu}: {intid} is pending"),
            );
        }
    });
}

fn active(t: &Test) {
    cpus::on_all(|cpu| {
        for intid in [SGI, PPI] {
            let own = private(cpu, intid);
            own.activate(true);
            t.check(
                own.is(r::ISACTIVER) && own.is(r::ICACTIVER),
                format_args!("CPU {cpu}: {intid} is not active"),
            );
            own.activate(false);
            t.check(
                !own.is(r::ISACTIVER) && !own.is(r::ICACTIVER),
                format_args!("CPU {cpu}: {intid} is active"),
            );
        }
    });
}

fn priority(t: &Test) {
    cpus::on_all(|cpu| {
        for intid in [0, SGI, PPI, 31] {
            for priority in [0x20, 0x80, 0xc0, 0xa0] {
                private(cpu, intid).set_priority(priority);
                t.equal("priority", private(cpu, intid).priority().into(), priority.into());
            }
        }
    });
}

fn configuration(t: &Test) {
    cpus::on_all(|cpu| {
        // SGIs are edge-triggered.
        let sgis = redistributor(cpu) + PRIVATE + r::ICFGR;
        t.equal("upper bits of SGIs", (mmio::read32(sgis) & 0xaaaa_aaaa).into(), 0xaaaa_aaaa);
        mmio::write32(sgis, 0);
        t.equal("after a write", (mmio::read32(sgis) & 0xaaaa_aaaa).into(), 0xaaaa_aaaa);
    });
}

fn group(t: &Test) {
    cpus::on_all(|cpu| {
        for group1 in [false, true] {
            private(cpu, SGI).set_group1(group1);
            t.equal("group", private(cpu, SGI).is(r::IGROUPR).into(), group1.into());
        }
    });
}

fn of_another_cpu(t: &Test) {
    // Any CPU reaches the redistributor of any other.
    for cpu in cpus::others() {
        private(cpu, SGI).set_priority(0x40);
        private(cpu, SGI).enable(true);
        cpus::on(cpu, || {
            t.equal("priority", private(cpu, SGI).priority().into(), 0x40);
            t.check(private(cpu, SGI).is_enabled(), format_args!("CPU {cpu}: not enabled"));
        });
        private(cpu, SGI).retire();
    }
    // And what it makes pending arrives there.
    for cpu in cpus::others() {
        private(cpu, SGI).prepare(0xa0);
        let before = interrupts::count(cpu, SGI);
        private(cpu, SGI).pend(true);
        tantalum_payload::cpu::wait_until(|| interrupts::count(cpu, SGI) > before);
        t.equal("interrupts", (interrupts::count(cpu, SGI) - before).into(), 1);
        private(cpu, SGI).retire();
    }
}

fn per_cpu(t: &Test) {
    for cpu in 0..cpus::count() {
        private(cpu, PPI).set_priority(cpu as u8 * 0x10);
        private(cpu, PPI).enable(cpu % 2 == 0);
    }
    for cpu in 0..cpus::count() {
        t.equal("priority", private(cpu, PPI).priority().into(), cpu as u64 * 0x10);
        t.equal("enabled", private(cpu, PPI).is_enabled().into(), (cpu % 2 == 0).into());
        private(cpu, PPI).retire();
    }
}

fn reserved(t: &Test) {
    for cpu in 0..cpus::count() {
        for offset in [0x0c0, 0x7ffc, PRIVATE, PRIVATE + 0x07fc, PRIVATE + 0xc100] {
            let at = redistributor(cpu) + offset;
            mmio::write32(at, u32::MAX);
            t.equal("read after a write", mmio::read32(at).into(), 0);
        }
    }
    t.equal("nothing to acknowledge", gic::acknowledge_nothing(), gic::SPURIOUS);
}
