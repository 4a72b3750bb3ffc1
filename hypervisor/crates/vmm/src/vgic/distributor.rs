//! The distributor: shared interrupts, and to whom they go (GICv3, IHI 0069, section 12.9).

use tantalum_types::{MAX_VCPUS, VcpuIndex};

use super::bank::{BANK, Bank};
use super::bits::{Bits, VcpuSet, bit};
use super::registers::{Field, IIDR, identification, part, with_part};

/// Is the number of the first shared interrupt.
pub(super) const FIRST: u32 = 32;

/// Bounds the shared interrupts: numbers 32 to 95.
pub const MAX_SPIS: u32 = 64;

/// Marks, in GICD_IROUTER, an interrupt that goes to any one virtual CPU that takes part.
const ANY: u64 = 1 << 31;

/// Masks what of GICD_IROUTER can be written: the affinity and [`ANY`].
const ROUTE: u64 = 0xff_80ff_ffff;

/// Masks what of GICD_CTLR can be written: the enables of the two groups.
pub(super) const GROUPS: u32 = 0b11;

/// Is what of GICD_CTLR always reads as one: affinity routing (ARE), one Security state (DS).
const CONTROL: u32 = 1 << 6 | 1 << 4;

/// Holds the shared interrupts of a virtual machine.
#[derive(Debug)]
pub(super) struct Distributor {
    pub bank: Bank,
    routes: [u64; BANK],
    /// Those that go to each virtual CPU: each interrupt goes to one or to none.
    routed: [u64; MAX_VCPUS],
    /// Those that are active at each virtual CPU or in a list register of it.
    at: [u64; MAX_VCPUS],
}

impl Distributor {
    /// Builds the state after reset: every interrupt goes to virtual CPU 0.
    pub(super) const fn new() -> Self {
        let mut routed = [0; MAX_VCPUS];
        let [first, ..] = &mut routed;
        *first = !0;
        Self { bank: Bank::new(0), routes: [0; BANK], routed, at: [0; MAX_VCPUS] }
    }

    /// Returns the place of interrupt `intid` in the bank, if there is such a shared one.
    pub(super) const fn index(intid: u32) -> Option<u32> {
        match intid.checked_sub(FIRST) {
            Some(index) if index < MAX_SPIS => Some(index),
            _ => None,
        }
    }

    /// Returns those that go to `vcpu`.
    pub(super) fn routed(&self, vcpu: VcpuIndex) -> u64 {
        self.routed.get(vcpu.get()).copied().unwrap_or_default()
    }

    /// Returns those that wait for a list register of `vcpu`.
    pub(super) fn ready(&self, vcpu: VcpuIndex, groups: u32) -> u64 {
        self.bank.ready(groups) & self.routed(vcpu)
    }

    /// Returns those that are active at `vcpu` or in a list register of it.
    pub(super) fn at(&self, vcpu: VcpuIndex) -> u64 {
        self.at.get(vcpu.get()).copied().unwrap_or_default()
    }

    /// Notes that interrupts are active at `vcpu` or in a list register of it.
    pub(super) fn keep_at(&mut self, vcpu: VcpuIndex, interrupts: u64) {
        if let Some(at) = self.at.get_mut(vcpu.get()) {
            *at |= interrupts;
        }
    }

    /// Forgets where interrupts are that are neither active nor in a list register.
    pub(super) fn settle(&mut self) {
        let kept = self.bank.active | self.bank.held;
        for at in &mut self.at {
            *at &= kept;
        }
    }

    /// Returns whom a change of the states of `changed` concerns: who holds one, and who is to get one.
    pub(super) fn concerned(&self, changed: u64, groups: u32) -> VcpuSet {
        let held = changed & self.bank.held;
        let ready = changed & self.bank.ready(groups);
        if held | ready == 0 {
            return VcpuSet::EMPTY;
        }
        VcpuIndex::all()
            .zip(self.at.iter().zip(&self.routed))
            .filter(|(_, (at, routed))| **at & held | **routed & ready != 0)
            .fold(VcpuSet::EMPTY, |set, (vcpu, _)| set.union(VcpuSet::one(vcpu)))
    }

    /// Returns GICD_CTLR with these groups enabled.
    pub(super) const fn control(groups: u32) -> u32 {
        groups & GROUPS | CONTROL
    }

    /// Returns who holds an interrupt whose state is at `offset`.
    pub(super) fn holders(&self, offset: u32, size: u8) -> VcpuSet {
        self.concerned(Field::states_at(offset, size, FIRST) & self.bank.held, 0)
    }

    /// Reads `size` bytes at `offset` of the frame; `count` is how many virtual CPUs there are. Zero where there is
    /// nothing that can be read so.
    pub(super) fn read(&self, offset: u32, size: u8, groups: u32) -> u64 {
        if let Some((field, first)) = Field::at(offset, size) {
            return Self::index(first).map_or(0, |index| u64::from(self.bank.read(field, index, size)));
        }
        match (offset, size) {
            (0x0000, 4) => u64::from(Self::control(groups)),
            // GICD_TYPER: ITLinesNumber counts blocks of 32 after the private one; numbers have 10 bits.
            (0x0004, 4) => u64::from((9 << 19) | (MAX_SPIS / 32)),
            (0x0008, 4) => u64::from(IIDR),
            (0x6000..0x8000, _) => {
                let route = Self::router(offset).and_then(|index| self.routes.get(index));
                route.map_or(0, |route| part(*route, offset, size))
            }
            (0xffd0..0x1_0000, 4) => u64::from(identification(offset)),
            _ => 0,
        }
    }

    /// Writes to the frame, except to GICD_CTLR, and returns whom that concerns. `awake` are the virtual CPUs that take
    /// part in sharing what goes to any one.
    pub(super) fn write(
        &mut self,
        offset: u32,
        size: u8,
        value: u64,
        groups: u32,
        awake: VcpuSet,
    ) -> VcpuSet {
        if let Some((field, first)) = Field::at(offset, size) {
            let (Some(index), Ok(value)) = (Self::index(first), u32::try_from(value & 0xffff_ffff)) else {
                return VcpuSet::EMPTY;
            };
            let before = self.bank.active;
            let changed = self.bank.write(field, index, size, value, 0);
            self.own_active(self.bank.active & !before);
            self.settle();
            return self.concerned(changed, groups);
        }
        let Some(index) = Self::router(offset).filter(|_| (0x6000..0x8000).contains(&offset)) else {
            return VcpuSet::EMPTY;
        };
        let Some(route) = self.routes.get_mut(index) else { return VcpuSet::EMPTY };
        *route = with_part(*route, offset, size, value) & ROUTE;
        let route = *route;
        let changed = u32::try_from(index).map_or(0, bit);
        self.set_target(changed, Self::target(route, awake));
        self.concerned(changed, groups)
    }

    /// Chooses anew for what goes to any one virtual CPU that takes part, and returns whom that concerns.
    pub(super) fn share_out(&mut self, groups: u32, awake: VcpuSet) -> VcpuSet {
        let any = |(index, route): (u32, &u64)| if route & ANY != 0 { bit(index) } else { 0 };
        let changed = (0..).zip(&self.routes).map(any).fold(0, |word, one| word | one);
        self.set_target(changed, Self::target(ANY, awake));
        self.concerned(changed, groups)
    }

    /// Returns which GICD_IROUTER lies at `offset`, by its place in the bank.
    fn router(offset: u32) -> Option<usize> {
        Self::index((offset & 0x1fff) / 8).and_then(|index| usize::try_from(index).ok())
    }

    /// Returns who gets what has this route: of those that take part in sharing the first one, or else virtual CPU 0.
    fn target(route: u64, awake: VcpuSet) -> Option<VcpuIndex> {
        if route & ANY != 0 {
            return awake.iter().next().or(VcpuIndex::new(0));
        }
        usize::try_from(route).ok().and_then(VcpuIndex::new)
    }

    fn set_target(&mut self, interrupts: u64, target: Option<VcpuIndex>) {
        for (vcpu, routed) in VcpuIndex::all().zip(&mut self.routed) {
            if Some(vcpu) == target {
                *routed |= interrupts;
            } else {
                *routed &= !interrupts;
            }
        }
    }

    /// Lets interrupts that software has made active be active at who would have got them.
    fn own_active(&mut self, interrupts: u64) {
        for index in Bits(interrupts) {
            let one = bit(index);
            if self.at.iter().all(|at| at & one == 0) {
                for (at, routed) in self.at.iter_mut().zip(&self.routed) {
                    *at |= routed & one;
                }
            }
        }
    }
}
