//! What the registers of the frames read as, and what a write leaves.

use tantalum_types::VcpuIndex;

use super::interface::Interface;
use crate::vgic::{Frame, MAX_SPIS, VcpuSet, Vgic};

const DISTRIBUTOR: Frame = Frame::Distributor;

fn vcpu(index: usize) -> VcpuIndex {
    VcpuIndex::new(index).unwrap()
}

fn redistributor(index: usize) -> Frame {
    Frame::Redistributor(vcpu(index))
}

/// Is a controller of `count` virtual CPUs, of which the first one asks.
struct Machine(Vgic, Interface);

impl Machine {
    fn new(count: usize) -> Self {
        let machine = Self(Vgic::new(count), Interface::new(4));
        machine.0.load(vcpu(0), &machine.1);
        machine
    }

    fn read(&self, frame: Frame, offset: u32, size: u8) -> u64 {
        let (value, concerned) = self.0.read(vcpu(0), &self.1, frame, offset, size);
        assert!(concerned.is_empty(), "nothing is in a list register of another one");
        value
    }

    fn write(&self, frame: Frame, offset: u32, size: u8, value: u64) -> VcpuSet {
        self.0.write(vcpu(0), &self.1, frame, offset, size, value)
    }
}

#[test]
fn the_distributor_says_what_it_is() {
    let machine = Machine::new(4);
    assert_eq!(machine.read(DISTRIBUTOR, 0x0, 4), 1 << 6 | 1 << 4);
    let kind = machine.read(DISTRIBUTOR, 0x4, 4);
    assert_eq!(kind & 0x1f, 2, "blocks of 32 behind the first");
    assert_eq!(32 * ((kind & 0x1f) + 1), u64::from(32 + MAX_SPIS));
    assert_eq!(kind >> 19 & 0x1f, 9, "bits of a number, less one");
    assert_eq!(kind & !(0x1f | 0x1f << 19), 0, "no LPIs, no messages, no Security state but one");
    for frame in [DISTRIBUTOR, redistributor(0), redistributor(3)] {
        assert_eq!(machine.read(frame, 0xffe8, 4) >> 4 & 0xf, 3, "GICv3");
        let component = [0xfff0, 0xfff4, 0xfff8, 0xfffc].map(|offset| machine.read(frame, offset, 4));
        assert_eq!(component, [0x0d, 0xf0, 0x05, 0xb1]);
    }
    assert_eq!(machine.read(DISTRIBUTOR, 0x8, 4), machine.read(redistributor(1), 0x4, 4));
    assert_eq!(machine.read(DISTRIBUTOR, 0x8, 4) & 0xfff, 0x43b);
}

#[test]
fn groups_are_forwarded_as_the_distributor_says() {
    let machine = Machine::new(2);
    assert_eq!(machine.write(DISTRIBUTOR, 0x0, 4, 0xffff_ffff).iter().count(), 2, "that concerns everybody");
    assert_eq!(machine.read(DISTRIBUTOR, 0x0, 4), 1 << 6 | 1 << 4 | 3);
    assert!(machine.write(DISTRIBUTOR, 0x0, 4, 3).is_empty());
    let _all = machine.write(DISTRIBUTOR, 0x0, 4, 2);
    assert_eq!(machine.read(DISTRIBUTOR, 0x0, 4), 1 << 6 | 1 << 4 | 2);
}

#[test]
fn a_redistributor_says_whose_it_is() {
    let machine = Machine::new(3);
    for index in 0..3_u64 {
        let frame = redistributor(index as usize);
        let kind = machine.read(frame, 0x8, 8);
        assert_eq!(kind >> 32, index, "affinity");
        assert_eq!(kind >> 8 & 0xffff, index, "number");
        assert_eq!(kind >> 4 & 1, u64::from(index == 2), "the last one");
        assert_eq!(kind & 0xf, 0, "no LPIs");
        assert_eq!(machine.read(frame, 0x8, 4), kind & 0xffff_ffff);
        assert_eq!(machine.read(frame, 0xc, 4), kind >> 32);
    }
    assert_eq!(machine.read(redistributor(3), 0x8, 8), 0, "there is no such virtual CPU");
    assert!(machine.write(redistributor(3), 0x1_0100, 4, 1).is_empty());
}

#[test]
fn children_sleep_as_the_processor_does() {
    let machine = Machine::new(2);
    let frame = redistributor(1);
    assert_eq!(machine.read(frame, 0x14, 4), 6);
    assert!(machine.write(frame, 0x14, 4, 0).is_empty(), "nothing goes to any one");
    assert_eq!(machine.read(frame, 0x14, 4), 0);
    assert_eq!(machine.read(redistributor(0), 0x14, 4), 6);
    assert!(machine.write(frame, 0x14, 4, 2).is_empty());
    assert_eq!(machine.read(frame, 0x14, 4), 6);
}

/// Lists the registers with one bit for each interrupt: where it is set, where it is cleared.
const PAIRS: [(u32, u32); 3] = [(0x100, 0x180), (0x200, 0x280), (0x300, 0x380)];

#[test]
fn bits_are_set_and_cleared_by_registers_of_their_own() {
    let machine = Machine::new(2);
    for (frame, at) in
        [(DISTRIBUTOR, 4), (DISTRIBUTOR, 8), (redistributor(0), 0x1_0000), (redistributor(1), 0x1_0000)]
    {
        for (set, clear) in PAIRS {
            let both = || (machine.read(frame, at + set, 4), machine.read(frame, at + clear, 4));
            assert_eq!(both(), (0, 0));
            let _concerned = machine.write(frame, at + set, 4, 0x8000_0003);
            let _concerned = machine.write(frame, at + set, 4, 0x10);
            assert_eq!(both(), (0x8000_0013, 0x8000_0013), "{frame:?} {set:#x}");
            let _concerned = machine.write(frame, at + clear, 4, 0x11);
            assert_eq!(both(), (0x8000_0002, 0x8000_0002), "{frame:?} {set:#x}");
            let _concerned = machine.write(frame, at + clear, 4, 0xffff_ffff);
            assert_eq!(both(), (0, 0));
        }
        let _concerned = machine.write(frame, at + 0x80, 4, 0x1234_5678);
        assert_eq!(machine.read(frame, at + 0x80, 4), 0x1234_5678);
    }
}

#[test]
fn the_private_part_of_the_distributor_is_the_redistributors() {
    let machine = Machine::new(1);
    let _concerned = machine.write(redistributor(0), 0x1_0100, 4, 0xffff_ffff);
    for offset in [0x80, 0x100, 0x180, 0x200, 0x300, 0x400, 0xc00, 0xc04] {
        assert!(machine.write(DISTRIBUTOR, offset, 4, 0xffff_ffff).is_empty());
        assert_eq!(machine.read(DISTRIBUTOR, offset, 4), 0, "{offset:#x}");
    }
    // GICD_ITARGETSR, GICD_SGIR, GICD_CPENDSGIR are of no use with affinity routing.
    for offset in [0x800, 0x820, 0xf00, 0xf10, 0xf20] {
        assert!(machine.write(DISTRIBUTOR, offset, 4, 0xffff_ffff).is_empty());
        assert_eq!(machine.read(DISTRIBUTOR, offset, 4), 0, "{offset:#x}");
    }
}

#[test]
fn priorities_have_five_bits_and_bytes_of_their_own() {
    let machine = Machine::new(1);
    for (frame, at) in [(DISTRIBUTOR, 0x420), (DISTRIBUTOR, 0x45c), (redistributor(0), 0x1_0400)] {
        let _concerned = machine.write(frame, at, 4, 0xffa7_4f20);
        assert_eq!(machine.read(frame, at, 4), 0xf8a0_4820);
        let _concerned = machine.write(frame, at + 2, 1, 0x33);
        assert_eq!(machine.read(frame, at, 4), 0xf830_4820);
        assert_eq!(machine.read(frame, at + 1, 1), 0x48);
        for (offset, size) in [(at, 2), (at, 8), (at + 1, 4), (at + 2, 2)] {
            let _concerned = machine.write(frame, offset, size, 0);
            assert_eq!(machine.read(frame, offset, size), 0, "{size}");
        }
        assert_eq!(machine.read(frame, at, 4), 0xf830_4820);
    }
    let _concerned = machine.write(DISTRIBUTOR, 0x460, 4, 0xffff_ffff);
    assert_eq!(machine.read(DISTRIBUTOR, 0x460, 4), 0, "there is no interrupt 96");
}

#[test]
fn software_generated_interrupts_are_edges_for_ever() {
    let machine = Machine::new(1);
    let frame = redistributor(0);
    assert_eq!(machine.read(frame, 0x1_0c00, 4), 0xaaaa_aaaa);
    assert_eq!(machine.read(frame, 0x1_0c04, 4), 0);
    let _concerned = machine.write(frame, 0x1_0c00, 4, 0);
    let _concerned = machine.write(frame, 0x1_0c04, 4, 0xffff_ffff);
    assert_eq!(machine.read(frame, 0x1_0c00, 4), 0xaaaa_aaaa);
    assert_eq!(machine.read(frame, 0x1_0c04, 4), 0xaaaa_aaaa);
    let _concerned = machine.write(DISTRIBUTOR, 0xc08, 4, 0x8000_0002);
    let _concerned = machine.write(DISTRIBUTOR, 0xc14, 4, 0x8);
    let read = [0xc08, 0xc0c, 0xc10, 0xc14].map(|offset| machine.read(DISTRIBUTOR, offset, 4));
    assert_eq!(read, [0x8000_0002, 0, 0, 8]);
}

#[test]
fn a_route_has_an_affinity_or_goes_to_any_one() {
    let machine = Machine::new(2);
    let at = |intid: u32| 0x6000 + intid * 8;
    for intid in [32, 64, 95] {
        assert_eq!(machine.read(DISTRIBUTOR, at(intid), 8), 0);
        let _concerned = machine.write(DISTRIBUTOR, at(intid), 8, !0);
        assert_eq!(machine.read(DISTRIBUTOR, at(intid), 8), 0xff_80ff_ffff);
        let _concerned = machine.write(DISTRIBUTOR, at(intid), 4, 1);
        assert_eq!(machine.read(DISTRIBUTOR, at(intid), 8), 0xff_0000_0001);
        let _concerned = machine.write(DISTRIBUTOR, at(intid) + 4, 4, 0);
        assert_eq!(machine.read(DISTRIBUTOR, at(intid), 8), 1);
        for (offset, size) in [(0, 1), (0, 2), (2, 4), (4, 8), (1, 1)] {
            let _concerned = machine.write(DISTRIBUTOR, at(intid) + offset, size, !0);
            assert_eq!(machine.read(DISTRIBUTOR, at(intid) + offset, size), 0);
        }
        assert_eq!(machine.read(DISTRIBUTOR, at(intid), 8), 1);
    }
    for nobody in [0, 31, 96, 1019] {
        let _concerned = machine.write(DISTRIBUTOR, at(nobody), 8, !0);
        assert_eq!(machine.read(DISTRIBUTOR, at(nobody), 8), 0);
    }
}

#[test]
fn what_is_reserved_reads_as_zero() {
    let machine = Machine::new(2);
    let known = |frame, offset: u32| match frame {
        Frame::Distributor => {
            matches!(offset, 0..0xc | 0x80..0x800 | 0xc00..0xd00 | 0x6000..0x8000 | 0xffd0..)
        }
        Frame::Redistributor(_) => {
            matches!(offset, 4..0x10 | 0x14..0x18 | 0xffd0..0x1_0000 | 0x1_0080..0x1_0800 | 0x1_0c00..0x1_0d00)
        }
    };
    for (frame, end) in [(DISTRIBUTOR, 0x1_0000), (redistributor(0), 0x2_0000), (redistributor(1), 0x2_0000)]
    {
        for offset in (0..end).step_by(4) {
            assert!(machine.write(frame, offset, 2, !0).is_empty());
            if !known(frame, offset) {
                assert!(machine.write(frame, offset, 4, !0).is_empty(), "{frame:?} {offset:#x}");
                assert_eq!(machine.read(frame, offset, 4), 0, "{frame:?} {offset:#x}");
                assert_eq!(machine.read(frame, offset, 8), 0, "{frame:?} {offset:#x}");
            }
            assert_eq!(machine.read(frame, offset + 1, 2), 0, "{frame:?} {offset:#x}");
        }
    }
}

#[test]
fn everything_is_as_after_reset_after_a_reset() {
    let machine = Machine::new(2);
    let registers =
        [(DISTRIBUTOR, 0x0), (DISTRIBUTOR, 0x104), (DISTRIBUTOR, 0x6100), (redistributor(1), 0x14)];
    let state = || registers.map(|(frame, offset)| machine.read(frame, offset, 4));
    let before = state();
    for (frame, offset) in registers {
        let _concerned = machine.write(frame, offset, 4, 1);
    }
    let _concerned = machine.write(redistributor(1), 0x1_0100, 4, 0xff);
    assert_ne!(state(), before);
    machine.0.reset();
    assert_eq!(state(), before);
    assert_eq!(machine.read(redistributor(1), 0x1_0100, 4), 0);
}
