//! The distributor's registers (GICv3, section 12.9).

use crate::machine::gic::{self, distributor, register as r, set_distributor, shared};
use crate::machine::interrupts::DISTRIBUTOR_ON;
use crate::machine::sysreg::read;
use crate::machine::{cpus, interrupts};
use crate::test::{Case, Test, cases};

pub(crate) const CASES: &[Case] = cases![
    gicd:
    control, kind, architecture, enable, pending, active, priority, configuration, route, group, off_and_on,
    independent_bits, from_all_cpus,
];

fn control(t: &Test) {
    let control = distributor(r::CTLR);
    t.equal("affinity routing and Group 1", (control & 0x12).into(), 0x12);
    t.equal("RWP", (control >> 31).into(), 0);
}

fn kind(t: &Test) {
    let kind = distributor(r::TYPER);
    let lines = gic::lines();
    t.check((64..=1024).contains(&lines), format_args!("{lines} interrupts"));
    t.check(kind >> 19 & 0x1f >= 9, format_args!("IDbits {}", kind >> 19 & 0x1f));
    t.check(lines > 48 + 32 - 1, format_args!("{lines} interrupts do not reach the last of virtio"));
    cpus::on_all(|_| t.equal("GICD_TYPER", distributor(r::TYPER).into(), kind.into()));
}

fn architecture(t: &Test) {
    t.equal("GICD_PIDR2.ArchRev", (distributor(r::PIDR2) >> 4 & 0xf).into(), 3);
    t.check(distributor(r::IIDR) != 0, format_args!("GICD_IIDR is zero"));
}

fn enable(t: &Test) {
    for intid in gic::FREE {
        let interrupt = shared(intid);
        interrupt.enable(true);
        t.check(
            interrupt.is(r::ISENABLER) && interrupt.is(r::ICENABLER),
            format_args!("{intid} is not enabled"),
        );
        interrupt.enable(false);
        t.check(
            !interrupt.is(r::ISENABLER) && !interrupt.is(r::ICENABLER),
            format_args!("{intid} is enabled"),
        );
    }
}

fn pending(t: &Test) {
    for intid in gic::FREE {
        let interrupt = shared(intid);
        interrupt.enable(false);
        interrupt.set_edge(true);
        interrupt.pend(true);
        t.check(interrupt.is(r::ISPENDR) && interrupt.is(r::ICPENDR), format_args!("{intid} is not pending"));
        interrupt.pend(false);
        t.check(!interrupt.is(r::ISPENDR) && !interrupt.is(r::ICPENDR), format_args!("{intid} is pending"));
    }
}

fn active(t: &Test) {
    for intid in gic::FREE {
        let interrupt = shared(intid);
        interrupt.activate(true);
        t.check(
            interrupt.is(r::ISACTIVER) && interrupt.is(r::ICACTIVER),
            format_args!("{intid} is not active"),
        );
        interrupt.activate(false);
        t.check(
            !interrupt.is(r::ISACTIVER) && !interrupt.is(r::ICACTIVER),
            format_args!("{intid} is active"),
        );
    }
}

fn priority(t: &Test) {
    for intid in gic::FREE {
        for priority in [0, 0x10, 0x80, 0xa0, 0xf0] {
            shared(intid).set_priority(priority);
            t.equal("priority", shared(intid).priority().into(), priority.into());
        }
        // At least 16 levels: the upper four bits.
        shared(intid).set_priority(0xff);
        t.equal("upper bits", (shared(intid).priority() & 0xf0).into(), 0xf0);
        shared(intid).set_priority(0xa0);
    }
}

fn configuration(t: &Test) {
    for intid in gic::FREE {
        for edge in [true, false, true] {
            shared(intid).set_edge(edge);
            t.equal("upper bit", (shared(intid).configuration() >> 1).into(), edge.into());
        }
    }
}

fn route(t: &Test) {
    for intid in gic::FREE {
        for cpu in 0..cpus::count() as u64 {
            shared(intid).set_route(cpu);
            t.equal("route", shared(intid).route(), cpu);
        }
        shared(intid).set_route(1 << 31);
        t.equal("any CPU", shared(intid).route() >> 31 & 1, 1);
        shared(intid).set_route(0);
    }
}

fn group(t: &Test) {
    for intid in gic::FREE {
        for group1 in [true, false, true] {
            shared(intid).set_group1(group1);
            t.equal("group", shared(intid).is(r::IGROUPR).into(), group1.into());
        }
    }
}

fn off_and_on(t: &Test) {
    let spi = shared(gic::FREE.start);
    interrupts::masked(|| {
        spi.prepare(0xa0);
        spi.set_edge(true);
        spi.set_route(cpus::current() as u64);
        set_distributor(r::CTLR, 0);
        t.equal("enables", (distributor(r::CTLR) & 3).into(), 0);
        spi.pend(true);
        t.check(!gic::is_signalled(), format_args!("signalled while the distributor is off"));
        t.check(spi.is_pending(), format_args!("not pending"));
        set_distributor(r::CTLR, DISTRIBUTOR_ON);
        t.equal("enables", (distributor(r::CTLR) & 3).into(), 3);
        t.check(gic::is_signalled(), format_args!("not signalled when the distributor is on again"));
        t.equal("acknowledged", gic::acknowledge(), gic::FREE.start as u64);
        gic::end(gic::FREE.start as u64);
        spi.retire();
    });
    t.equal("running priority", read::icc_rpr_el1() & 0xff, 0xff);
}

fn independent_bits(t: &Test) {
    // What is written zero stays; neighbours are not touched.
    let (first, second) = (shared(gic::FREE.start), shared(gic::FREE.start + 1));
    first.enable(true);
    second.enable(false);
    set_distributor(r::ISENABLER + 4, 0);
    set_distributor(r::ICENABLER + 4, 0);
    t.check(first.is_enabled(), format_args!("a zero has disabled"));
    t.check(!second.is_enabled(), format_args!("a zero has enabled"));
    second.enable(true);
    first.enable(false);
    t.check(second.is_enabled() && !first.is_enabled(), format_args!("neighbours are not apart"));
    second.enable(false);
}

fn from_all_cpus(t: &Test) {
    // Each CPU changes a bit of its own in words that all share.
    cpus::on_all(|cpu| {
        let Some(intid) = gic::FREE.clone().nth(cpu) else { return };
        let own = shared(intid);
        // To a CPU that there is not, so that it is only looked at.
        own.set_route(0xf0);
        for round in 0..50_u8 {
            own.enable(round % 2 == 0);
            own.pend(round % 4 < 2);
            own.activate(round % 4 == 0);
            own.set_priority(round << 4);
            let as_set = own.is_enabled() == (round % 2 == 0)
                && own.is_pending() == (round % 4 < 2)
                && own.is_active() == (round % 4 == 0)
                && own.priority() == round << 4;
            t.check(as_set, format_args!("{intid} in round {round}"));
            own.enable(false);
        }
        own.retire();
        own.set_route(0);
    });
}
