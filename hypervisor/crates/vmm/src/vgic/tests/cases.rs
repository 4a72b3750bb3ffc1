//! Cases that are worth a name: who is told, what it costs, and what happens when list registers are few.

use tantalum_hal::vm::{ListState, VirtualInterface};
use tantalum_types::VcpuIndex;

use super::interface::{Interface, SPURIOUS};
use crate::vgic::{Entered, Frame, SgiRegister, VcpuSet, Vgic};

fn vcpu(index: usize) -> VcpuIndex {
    VcpuIndex::new(index).unwrap()
}

fn only(index: usize) -> VcpuSet {
    VcpuSet::one(vcpu(index))
}

/// Is a controller of two virtual CPUs, both loaded, with everything enabled and in Group 1.
struct Machine {
    vgic: Vgic,
    interfaces: [Interface; 2],
}

impl Machine {
    fn new(list_registers: usize) -> Self {
        let machine = Self { vgic: Vgic::new(2), interfaces: [0, 1].map(|_| Interface::new(list_registers)) };
        for index in 0..2 {
            let frame = Frame::Redistributor(vcpu(index));
            machine.vgic.load(vcpu(index), &machine.interfaces[index]);
            machine.write(index, frame, 0x1_0080, 0xffff_ffff);
            machine.write(index, frame, 0x1_0100, 0xffff_ffff);
            machine.interfaces[index].set_up(0xff, 2, false);
        }
        for block in [4, 8] {
            machine.write(0, Frame::Distributor, 0x80 + block, 0xffff_ffff);
            machine.write(0, Frame::Distributor, 0x100 + block, 0xffff_ffff);
        }
        machine.write(0, Frame::Distributor, 0, 3);
        for index in 0..2 {
            assert_eq!(machine.enter(index), Entered::default());
        }
        machine
    }

    fn write(&self, index: usize, frame: Frame, offset: u32, value: u64) -> VcpuSet {
        self.vgic.write(vcpu(index), &self.interfaces[index], frame, offset, 4, value)
    }

    fn priority(&self, intid: u32, priority: u8) {
        let interface = &self.interfaces[0];
        let frame = Frame::Distributor;
        let _concerned = self.vgic.write(vcpu(0), interface, frame, 0x400 + intid, 1, priority.into());
    }

    fn enter(&self, index: usize) -> Entered {
        self.vgic.enter(vcpu(index), &self.interfaces[index])
    }

    /// Lets the maintenance interrupt be taken if it is raised, and says whether it was.
    fn maintain(&self, index: usize) -> bool {
        let raised = self.interfaces[index].is_maintenance_needed();
        if raised {
            self.vgic.maintain(vcpu(index));
            assert_eq!(self.enter(index), Entered::default());
        }
        raised
    }
}

#[test]
fn nothing_pending_reaches_for_no_register() {
    let machine = Machine::new(4);
    let reached = machine.interfaces[0].reached.get();
    for _ in 0..10 {
        assert_eq!(machine.enter(0), Entered::default());
    }
    // Neither does something that is for another one, or that is already in a list register.
    assert_eq!(machine.vgic.send(vcpu(0), SgiRegister::Sgi1, 1 << 1), only(1));
    assert_eq!(machine.enter(0), Entered::default());
    assert_eq!(machine.interfaces[0].reached.get(), reached);
    assert_eq!(machine.enter(1), Entered::default());
    let reached = machine.interfaces[1].reached.get();
    assert_eq!(machine.enter(1), Entered::default());
    assert_eq!(machine.interfaces[1].reached.get(), reached);
}

#[test]
fn a_shared_interrupt_concerns_whom_it_goes_to() {
    let machine = Machine::new(4);
    assert_eq!(machine.vgic.pulse(40), only(0));
    machine.write(0, Frame::Distributor, 0x6000 + 41 * 8, 1);
    assert_eq!(machine.vgic.set_line(41, true), only(1));
    // Nobody is told of what is disabled, goes nowhere or does not exist.
    machine.write(0, Frame::Distributor, 0x184, 1 << 10);
    assert_eq!(machine.vgic.pulse(42), VcpuSet::EMPTY);
    machine.write(0, Frame::Distributor, 0x6000 + 43 * 8, 5);
    assert_eq!(machine.vgic.pulse(43), VcpuSet::EMPTY);
    for nobody in [0, 31, 96, 1020, u32::MAX] {
        assert_eq!(machine.vgic.pulse(nobody), VcpuSet::EMPTY);
        assert_eq!(machine.vgic.set_line(nobody, true), VcpuSet::EMPTY);
    }
    assert_eq!(machine.vgic.set_private_line(vcpu(1), 15, true), VcpuSet::EMPTY);
    assert_eq!(machine.vgic.set_private_line(vcpu(1), 30, true), only(1));
    assert_eq!(machine.vgic.pulse_private(vcpu(1), 8), only(1));
    assert_eq!(machine.vgic.pulse_private(vcpu(1), 32), VcpuSet::EMPTY);
    // It is told when it is enabled.
    assert_eq!(machine.write(1, Frame::Distributor, 0x104, 1 << 10), only(0));
}

#[test]
fn what_goes_to_any_one_goes_to_one_that_takes_part() {
    let machine = Machine::new(4);
    machine.write(0, Frame::Redistributor(vcpu(1)), 0x14, 0);
    machine.write(0, Frame::Distributor, 0x6000 + 40 * 8, 1 << 31);
    assert_eq!(machine.vgic.pulse(40), only(1));
    // It moves when who was to get it has not got it yet, and then goes to sleep.
    let concerned = machine.write(1, Frame::Redistributor(vcpu(0)), 0x14, 0);
    assert_eq!(concerned, only(0));
    assert_eq!(machine.enter(1), Entered::default());
    assert_eq!(machine.interfaces[1].acknowledge(), SPURIOUS);
    assert_eq!(machine.enter(0), Entered::default());
    assert_eq!(machine.interfaces[0].acknowledge(), 40);
    // Who has it keeps it.
    machine.write(0, Frame::Redistributor(vcpu(0)), 0x14, 2);
    assert_eq!(machine.enter(1), Entered::default());
    assert_eq!(machine.interfaces[1].acknowledge(), SPURIOUS);
}

#[test]
fn an_interrupt_that_is_in_a_list_register_goes_elsewhere_when_it_is_routed_there() {
    let machine = Machine::new(4);
    assert_eq!(machine.vgic.pulse(40), only(0));
    assert_eq!(machine.enter(0), Entered::default());
    // It is taken from who holds it, and then whom it goes to is told.
    assert_eq!(machine.write(1, Frame::Distributor, 0x6000 + 40 * 8, 1), only(0));
    assert_eq!(machine.enter(0), Entered { ended: 0, concerned: only(1) });
    assert_eq!(machine.interfaces[0].acknowledge(), SPURIOUS);
    assert_eq!(machine.enter(1), Entered::default());
    assert_eq!(machine.interfaces[1].acknowledge(), 40);
}

#[test]
fn a_level_comes_again_while_it_stays() {
    let machine = Machine::new(1);
    assert_eq!(machine.vgic.set_line(33, true), only(0));
    for _ in 0..3 {
        assert_eq!(machine.enter(0), Entered::default());
        assert_eq!(machine.interfaces[0].acknowledge(), 33);
        assert!(!machine.maintain(0));
        // Raised again in between, it needs nobody to be told.
        assert_eq!(machine.vgic.set_line(33, false), VcpuSet::EMPTY);
        assert_eq!(machine.vgic.set_line(33, true), VcpuSet::EMPTY);
        machine.interfaces[0].end(33);
        assert!(machine.maintain(0));
    }
    assert_eq!(machine.interfaces[0].acknowledge(), 33);
    assert_eq!(machine.vgic.set_line(33, false), VcpuSet::EMPTY);
    machine.interfaces[0].end(33);
    assert!(machine.maintain(0));
    assert_eq!(machine.interfaces[0].acknowledge(), SPURIOUS);
    assert!(!machine.maintain(0));
}

#[test]
fn an_edge_that_comes_while_it_is_active_comes_again() {
    let machine = Machine::new(1);
    machine.write(0, Frame::Distributor, 0xc08, 2);
    assert_eq!(machine.vgic.set_line(32, true), only(0));
    assert_eq!(machine.enter(0), Entered::default());
    // One that comes before it is acknowledged is the same one.
    assert_eq!(machine.vgic.pulse(32), only(0));
    assert_eq!(machine.enter(0), Entered::default());
    assert_eq!(machine.interfaces[0].acknowledge(), 32);
    assert_eq!(machine.vgic.set_line(32, true), VcpuSet::EMPTY, "the line was up");
    assert_eq!(machine.vgic.set_line(32, false), only(0));
    assert_eq!(machine.vgic.set_line(32, true), only(0));
    assert_eq!(machine.enter(0), Entered::default());
    assert_eq!(machine.interfaces[0].list_register(0).state, ListState::PendingAndActive);
    machine.interfaces[0].end(32);
    assert_eq!(machine.interfaces[0].acknowledge(), 32);
    machine.interfaces[0].end(32);
    assert_eq!(machine.interfaces[0].acknowledge(), SPURIOUS);
}

#[test]
fn more_come_than_there_are_list_registers_in_the_order_of_their_priorities() {
    for list_registers in 1..=4 {
        let machine = Machine::new(list_registers);
        for place in 0..20_u8 {
            machine.priority(40 + u32::from(place), (place * 7 % 20) << 3);
            assert_eq!(machine.vgic.pulse(40 + u32::from(place)), only(0));
        }
        assert_eq!(machine.enter(0), Entered::default());
        let mut exits = 0;
        for priority in 0..20_u8 {
            let place = (0..20_u8).find(|place| place * 7 % 20 == priority).unwrap();
            let intid = machine.interfaces[0].acknowledge();
            assert_eq!(intid, 40 + u32::from(place));
            exits += usize::from(machine.maintain(0));
            machine.interfaces[0].end(intid);
            exits += usize::from(machine.maintain(0));
        }
        assert_eq!(machine.interfaces[0].acknowledge(), SPURIOUS);
        // None of them costs more than its end and that the next one comes.
        assert!(exits <= 40 / list_registers + 20, "{exits}");
    }
}

#[test]
fn what_is_more_urgent_interrupts_however_many_are_active() {
    let machine = Machine::new(2);
    // Each one that comes is more urgent than those that are active.
    for depth in 0..16_u32 {
        machine.priority(40 + depth, (31 - depth as u8) << 3);
        assert_eq!(machine.vgic.pulse(40 + depth), only(0));
        assert_eq!(machine.enter(0), Entered::default());
        assert_eq!(machine.interfaces[0].acknowledge(), 40 + depth);
        machine.maintain(0);
    }
    for depth in (0..16).rev() {
        assert_eq!(machine.interfaces[0].acknowledge(), SPURIOUS);
        machine.interfaces[0].end(40 + depth);
        machine.maintain(0);
        let frame = Frame::Distributor;
        let (active, _) = machine.vgic.read(vcpu(0), &machine.interfaces[0], frame, 0x304, 4);
        assert_eq!(active, ((1_u64 << depth) - 1) << 8, "the others are still active");
        assert_eq!(machine.enter(0), Entered::default());
    }
}

#[test]
fn what_has_no_list_register_is_deactivated_by_its_number() {
    let machine = Machine::new(1);
    let interface = &machine.interfaces[0];
    interface.set_up(0xff, 2, true);
    machine.write(0, Frame::Distributor, 0xc08, 0xaaaa_aaaa);
    for (intid, priority) in [(40, 0x80), (41, 0x40), (42, 0x20)] {
        machine.priority(intid, priority);
        assert_eq!(machine.vgic.pulse(intid), only(0));
        assert_eq!(machine.enter(0), Entered::default());
        assert_eq!(interface.acknowledge(), intid);
        interface.end(intid);
        machine.maintain(0);
    }
    let active = || {
        let (active, _) = machine.vgic.read(vcpu(0), interface, Frame::Distributor, 0x304, 4);
        assert_eq!(machine.enter(0), Entered::default());
        active
    };
    assert_eq!(active(), 0b111 << 8);
    // Not in the order in which they came.
    for (intid, left) in [(40, 0b110), (41, 0b100), (42, 0)] {
        if !interface.deactivate_by_number(intid) {
            machine.vgic.deactivate(vcpu(0), interface, intid);
            assert_eq!(machine.enter(0), Entered::default());
        }
        machine.maintain(0);
        assert_eq!(active(), left << 8, "{intid} has ended");
    }
}

#[test]
fn one_that_comes_again_does_not_keep_out_what_is_more_urgent() {
    let machine = Machine::new(2);
    machine.write(0, Frame::Distributor, 0xc08, 0xaaaa_aaaa);
    for (intid, priority) in [(40, 0x80), (41, 0x90), (42, 0xa0)] {
        machine.priority(intid, priority);
    }
    assert_eq!(machine.vgic.pulse(40), only(0));
    assert_eq!(machine.enter(0), Entered::default());
    assert_eq!(machine.interfaces[0].acknowledge(), 40);
    // It comes again, and is less urgent now than those that come with it.
    machine.priority(40, 0xb0);
    for intid in [40, 41, 42] {
        assert_eq!(machine.vgic.pulse(intid), only(0));
    }
    assert_eq!(machine.enter(0), Entered::default());
    machine.maintain(0);
    machine.interfaces[0].end(40);
    machine.maintain(0);
    for intid in [41, 42, 40] {
        assert_eq!(machine.interfaces[0].acknowledge(), intid);
        machine.maintain(0);
        machine.interfaces[0].end(intid);
        machine.maintain(0);
    }
}

#[test]
fn one_that_comes_again_comes_to_whom_it_was_routed_meanwhile() {
    let machine = Machine::new(4);
    machine.write(0, Frame::Distributor, 0xc08, 0xaaaa_aaaa);
    assert_eq!(machine.vgic.pulse(40), only(0));
    assert_eq!(machine.enter(0), Entered::default());
    assert_eq!(machine.interfaces[0].acknowledge(), 40);
    assert_eq!(machine.write(1, Frame::Distributor, 0x6000 + 40 * 8, 1), only(0));
    assert_eq!(machine.vgic.pulse(40), only(0), "who has it");
    assert_eq!(machine.enter(0), Entered::default());
    machine.interfaces[0].end(40);
    assert!(machine.interfaces[0].is_maintenance_needed());
    machine.vgic.maintain(vcpu(0));
    assert_eq!(machine.enter(0), Entered { ended: 0, concerned: only(1) });
    assert_eq!(machine.interfaces[0].acknowledge(), SPURIOUS);
    assert_eq!(machine.enter(1), Entered::default());
    assert_eq!(machine.interfaces[1].acknowledge(), 40);
}

#[test]
fn what_another_one_has_acknowledged_can_be_deactivated() {
    let machine = Machine::new(4);
    machine.write(0, Frame::Distributor, 0xc08, 0xaaaa_aaaa);
    assert_eq!(machine.vgic.pulse(40), only(0));
    assert_eq!(machine.enter(0), Entered::default());
    assert_eq!(machine.interfaces[0].acknowledge(), 40);
    assert_eq!(machine.vgic.pulse(40), only(0));
    assert_eq!(machine.write(1, Frame::Distributor, 0x384, 1 << 8), only(0));
    assert_eq!(machine.enter(0), Entered::default());
    // Its priority still runs, which only its own end drops; but it comes again then.
    assert_eq!(machine.interfaces[0].list_register(0).state, ListState::Pending);
    // The physical one that a timer stands for ends with it, and is not told apart by who has it.
    machine.vgic.pend_linked(vcpu(1), &machine.interfaces[1], 27);
    assert_eq!(machine.enter(1), Entered::default());
    assert_eq!(machine.interfaces[1].acknowledge(), 27);
    let frame = Frame::Redistributor(vcpu(1));
    assert_eq!(machine.write(0, frame, 0x1_0380, 1 << 27), only(1));
    assert_eq!(machine.enter(1), Entered { ended: 1 << 27, concerned: VcpuSet::EMPTY });
    assert_eq!(machine.interfaces[1].list_register(0).state, ListState::Invalid);
}

#[test]
fn who_reads_what_another_one_holds_lets_it_come_out() {
    let machine = Machine::new(4);
    machine.write(0, Frame::Distributor, 0xc08, 2);
    assert_eq!(machine.vgic.pulse(32), only(0));
    assert_eq!(machine.enter(0), Entered::default());
    let read = |offset| machine.vgic.read(vcpu(1), &machine.interfaces[1], Frame::Distributor, offset, 4);
    assert_eq!(read(0x204), (1, only(0)));
    assert_eq!(machine.interfaces[0].acknowledge(), 32);
    assert_eq!(machine.enter(0), Entered::default());
    assert_eq!((read(0x204), read(0x304)), ((0, only(0)), (1, only(0))));
    machine.interfaces[0].end(32);
    assert_eq!(read(0x304), (1, only(0)), "it is not known yet");
    assert_eq!(machine.enter(0), Entered::default());
    assert_eq!(read(0x304), (0, VcpuSet::EMPTY));
    // What has nothing to do with states needs nobody.
    assert_eq!(machine.vgic.pulse(32), only(0));
    assert_eq!(machine.enter(0), Entered::default());
    assert_eq!(read(0x104), (0xffff_ffff, VcpuSet::EMPTY));
}

#[test]
fn a_group_that_is_off_in_the_cpu_interface_keeps_nobody_out() {
    let machine = Machine::new(1);
    // 40 is of Group 0, which is off, and more urgent than 41 of Group 1.
    machine.write(0, Frame::Distributor, 0x84, !(1 << 8) & 0xffff_ffff);
    machine.priority(40, 0);
    machine.priority(41, 0x80);
    assert_eq!(machine.vgic.pulse(40), only(0));
    assert_eq!(machine.vgic.pulse(41), only(0));
    assert_eq!(machine.enter(0), Entered::default());
    assert!(!machine.maintain(0));
    assert_eq!(machine.interfaces[0].most_urgent().unwrap().1.intid, 41);
    machine.interfaces[0].set_up(0xff, 3, false);
    assert!(machine.maintain(0));
    assert_eq!(machine.interfaces[0].acknowledge(), 40);
}

#[test]
fn an_end_of_two_steps_leaves_active_what_is_in_no_list_register() {
    for counts_every_end in [false, true] {
        let mut machine = Machine::new(1);
        machine.interfaces = machine.interfaces.map(|one| one.counting_every_end(counts_every_end));
        let interface = &machine.interfaces[0];
        interface.set_up(0xff, 2, true);
        for (intid, priority) in [(40, 0x80), (41, 0x40)] {
            machine.priority(intid, priority);
            assert_eq!(machine.vgic.pulse(intid), only(0));
            assert_eq!(machine.enter(0), Entered::default());
            assert_eq!(interface.acknowledge(), intid);
            interface.end(intid);
            machine.maintain(0);
        }
        let active = || machine.vgic.read(vcpu(0), interface, Frame::Distributor, 0x304, 4).0;
        assert_eq!(active(), 3 << 8);
        assert_eq!(machine.enter(0), Entered::default());
        assert!(!interface.deactivate_by_number(41), "it is trapped");
        machine.vgic.deactivate(vcpu(0), interface, 41);
        assert_eq!(active(), 1 << 8);
        assert_eq!(machine.enter(0), Entered::default());
        assert!(interface.deactivate_by_number(40), "it is in the list register");
        assert_eq!(active(), 0);
    }
}

#[test]
fn a_timer_ends_with_the_physical_one() {
    let machine = Machine::new(4);
    let interface = &machine.interfaces[0];
    for _ in 0..2 {
        machine.vgic.pend_linked(vcpu(0), interface, 27);
        assert_eq!(machine.enter(0), Entered::default());
        assert_eq!(interface.list_register(0).physical, Some(27));
        assert_eq!(interface.acknowledge(), 27);
        interface.end(27);
        assert_eq!(interface.deactivated.take(), [27]);
        assert!(!machine.maintain(0), "that costs nothing more");
    }
    assert_eq!(interface.acknowledge(), SPURIOUS);
}

#[test]
fn a_timer_that_is_gone_before_it_was_acknowledged_is_taken_back() {
    let machine = Machine::new(4);
    let interface = &machine.interfaces[0];
    machine.vgic.pend_linked(vcpu(0), interface, 27);
    assert_eq!(machine.enter(0), Entered::default());
    machine.vgic.retract_linked(vcpu(0), interface, 27);
    assert_eq!(machine.enter(0), Entered { ended: 1 << 27, concerned: VcpuSet::EMPTY });
    assert_eq!(interface.acknowledge(), SPURIOUS);
    // One that was acknowledged is ended by who has acknowledged it.
    machine.vgic.pend_linked(vcpu(0), interface, 27);
    assert_eq!(machine.enter(0), Entered::default());
    assert_eq!(interface.acknowledge(), 27);
    machine.vgic.retract_linked(vcpu(0), interface, 27);
    assert_eq!(machine.enter(0), Entered::default());
    interface.end(27);
    assert_eq!(interface.deactivated.take(), [27]);
}

#[test]
fn a_timer_stays_behind_when_its_virtual_cpu_moves() {
    let machine = Machine::new(4);
    machine.vgic.pend_linked(vcpu(0), &machine.interfaces[0], 27);
    assert_eq!(machine.enter(0), Entered::default());
    assert_eq!(machine.interfaces[0].acknowledge(), 27);
    let saved = machine.vgic.save(vcpu(0), &machine.interfaces[0]);
    assert_eq!(saved, Entered { ended: 1 << 27, concerned: VcpuSet::EMPTY });
    let elsewhere = Interface::new(4);
    machine.vgic.load(vcpu(0), &elsewhere);
    // It comes again there, since its reason has stayed, and is the one that is active.
    machine.vgic.pend_linked(vcpu(0), &elsewhere, 27);
    assert_eq!(machine.vgic.enter(vcpu(0), &elsewhere), Entered::default());
    let held = elsewhere.list_register(0);
    assert_eq!((held.state, held.physical), (ListState::Active, Some(27)));
    elsewhere.end(27);
    assert_eq!(elsewhere.deactivated.take(), [27]);
}

#[test]
fn what_is_active_moves_with_its_virtual_cpu() {
    let machine = Machine::new(1);
    machine.priority(40, 0x80);
    machine.priority(41, 0x40);
    assert_eq!(machine.vgic.pulse(40), only(0));
    assert_eq!(machine.enter(0), Entered::default());
    assert_eq!(machine.interfaces[0].acknowledge(), 40);
    assert_eq!(machine.vgic.save(vcpu(0), &machine.interfaces[0]), Entered::default());
    assert_eq!(machine.interfaces[0].control(), 0);
    assert!(!machine.vgic.wakes(vcpu(0)));
    assert_eq!(machine.vgic.pulse(41), only(0));
    assert!(machine.vgic.wakes(vcpu(0)));
    let elsewhere = Interface::new(1);
    machine.vgic.load(vcpu(0), &elsewhere);
    assert_eq!(machine.vgic.enter(vcpu(0), &elsewhere), Entered::default());
    assert_eq!(elsewhere.acknowledge(), 41);
    elsewhere.end(41);
    assert!(elsewhere.is_maintenance_needed(), "for the level that has ended");
    machine.vgic.maintain(vcpu(0));
    assert_eq!(machine.vgic.enter(vcpu(0), &elsewhere), Entered::default());
    elsewhere.end(40);
    machine.vgic.maintain(vcpu(0));
    assert_eq!(machine.vgic.enter(vcpu(0), &elsewhere), Entered::default());
    assert_eq!(machine.vgic.read(vcpu(0), &elsewhere, Frame::Distributor, 0x304, 4).0, 0);
}

#[test]
fn somebody_who_waits_wakes_for_what_is_signalled() {
    let machine = Machine::new(4);
    let interface = &machine.interfaces[0];
    let wakes = || machine.vgic.wait(vcpu(0), interface).0;
    assert!(!wakes());
    machine.priority(40, 0x80);
    assert_eq!(machine.vgic.set_line(40, true), only(0));
    assert!(wakes());
    assert_eq!(machine.enter(0), Entered::default());
    assert!(wakes(), "what is in a list register counts");
    for (mask, groups, expected) in [(0x80, 2, false), (0x88, 2, true), (0xff, 1, false), (0xff, 0, false)] {
        interface.set_up(mask, groups, false);
        assert_eq!(wakes(), expected, "{mask:#x} {groups}");
    }
    interface.set_up(0xff, 2, false);
    assert_eq!(machine.enter(0), Entered::default());
    assert_eq!(interface.acknowledge(), 40);
    assert!(!wakes(), "it was acknowledged");
    assert_eq!(machine.enter(0), Entered::default());
    interface.end(40);
    assert!(wakes(), "its line is still up");
    machine.write(0, Frame::Distributor, 0, 1);
    assert!(!wakes(), "its group is not forwarded");
}

#[test]
fn sgis_reach_the_group_that_their_register_names() {
    let machine = Machine::new(4);
    machine.write(1, Frame::Redistributor(vcpu(1)), 0x1_0080, 1 << 3);
    let send = |register, intid: u64| machine.vgic.send(vcpu(0), register, intid << 24 | 1 << 1);
    assert_eq!(send(SgiRegister::Sgi1, 3), only(1));
    assert_eq!(send(SgiRegister::Sgi1, 4), VcpuSet::EMPTY);
    for register in [SgiRegister::Sgi0, SgiRegister::AliasSgi1] {
        assert_eq!(send(register, 5), only(1));
        assert_eq!(send(register, 3), VcpuSet::EMPTY, "it is of Group 1");
    }
    let everybody = machine.vgic.send(vcpu(0), SgiRegister::Sgi0, 1 << 40 | 6 << 24);
    assert_eq!(everybody, only(1));
}

#[test]
fn a_virtual_cpu_that_is_turned_on_again_begins_anew() {
    let machine = Machine::new(4);
    assert_eq!(machine.vgic.send(vcpu(0), SgiRegister::Sgi1, 1 << 1), only(1));
    assert_eq!(machine.vgic.save(vcpu(1), &machine.interfaces[1]), Entered::default());
    machine.vgic.reset_vcpu(vcpu(1));
    machine.vgic.load(vcpu(1), &machine.interfaces[1]);
    assert_eq!(machine.enter(1), Entered::default());
    assert_eq!(machine.interfaces[1].acknowledge(), SPURIOUS);
    assert_eq!(machine.interfaces[1].machine_control(), 1 << 3);
}

#[test]
fn many_processing_elements_at_once_lose_nothing() {
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    use std::thread;

    const ROUNDS: u64 = 2_000;
    /// How often nothing may come in a row before it is said to be lost.
    const PATIENCE: u64 = 10_000_000;
    let vgic = Vgic::new(2);
    let setup = Interface::new(1);
    vgic.load(vcpu(1), &setup);
    let frame = Frame::Redistributor(vcpu(1));
    for offset in [0x1_0080, 0x1_0100] {
        let _concerned = vgic.write(vcpu(1), &setup, frame, offset, 4, 0xffff_ffff);
    }
    let _concerned = vgic.write(vcpu(1), &setup, Frame::Distributor, 0, 4, 3);
    let _saved = vgic.save(vcpu(1), &setup);
    let taken = [const { AtomicU64::new(0) }; 4];
    let lost = AtomicBool::new(false);
    thread::scope(|scope| {
        for sender in 0..4_u64 {
            let (vgic, taken, lost) = (&vgic, &taken, &lost);
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    // Each one is sent when the last one of its number was taken: so none is merged.
                    while taken[sender as usize].load(Ordering::SeqCst) < round {
                        if lost.load(Ordering::SeqCst) {
                            return;
                        }
                        thread::yield_now();
                    }
                    assert_eq!(vgic.send(vcpu(0), SgiRegister::Sgi1, sender << 24 | 1 << 1), only(1));
                }
            });
        }
        let interface = Interface::new(1);
        vgic.load(vcpu(1), &interface);
        interface.set_up(0xff, 2, false);
        let (mut left, mut patience) = (4 * ROUNDS, PATIENCE);
        while left > 0 && patience > 0 {
            patience -= 1;
            assert_eq!(vgic.enter(vcpu(1), &interface), Entered::default());
            if interface.is_maintenance_needed() {
                vgic.maintain(vcpu(1));
                continue;
            }
            let intid = interface.acknowledge();
            if intid == SPURIOUS {
                thread::yield_now();
                continue;
            }
            interface.end(intid);
            taken[intid as usize].fetch_add(1, Ordering::SeqCst);
            (left, patience) = (left - 1, PATIENCE);
        }
        lost.store(true, Ordering::SeqCst);
    });
    assert!(taken.iter().all(|count| count.load(Ordering::SeqCst) == ROUNDS));
}
