//! A redistributor: what is private to one virtual CPU (GICv3, IHI 0069, sections 12.10 and 12.11).

use tantalum_hal::vm::ListRegister;
use tantalum_types::VcpuIndex;

use super::bank::Bank;
use super::bits::VcpuSet;
use super::registers::{Field, IIDR, identification, part};

/// Counts the private interrupts: numbers 0 to 31, of which the first 16 are software-generated.
pub(super) const PRIVATE: u32 = 32;

/// Marks the software-generated interrupts, which are always triggered by edges.
pub(super) const SGIS: u64 = 0xffff;

/// Bounds the list registers of a virtual CPU interface.
pub(super) const LIST_REGISTERS: usize = 16;

/// Marks, in GICR_WAKER, a processing element that shall get no interrupts (ProcessorSleep).
pub(super) const SLEEP: u32 = 1 << 1;

/// Holds what is private to a virtual CPU: its interrupts, and what is in its list registers.
#[derive(Debug)]
pub(super) struct Redistributor {
    pub bank: Bank,
    /// The numbers of the interrupts in list registers.
    pub slots: [u32; LIST_REGISTERS],
    /// The list registers that hold an interrupt of this virtual CPU or did when it ran last.
    pub occupied: u16,
    /// Of those, the ones that stand for a physical interrupt.
    pub linked: u16,
    /// The list registers that may have to be emptied.
    pub stale: u16,
    /// What ICH_HCR_EL2 was set to.
    pub control: u32,
    /// Who is concerned by what was taken from this virtual CPU, and was not told yet.
    pub owed: VcpuSet,
    /// What of the virtual CPU interface is kept while the virtual CPU is not loaded.
    pub saved: Saved,
}

/// Is what software has set in its CPU interface, and what it has acknowledged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Saved {
    pub machine_control: u32,
    pub active_priorities: [[u32; 4]; 2],
}

impl Saved {
    /// Is the state after reset. VFIQEn is one where interrupts are reached by system registers.
    pub(super) const RESET: Self = Self { machine_control: 1 << 3, active_priorities: [[0; 4]; 2] };
}

impl Redistributor {
    /// Builds the state after reset.
    pub(super) const fn new() -> Self {
        Self {
            bank: Bank::new(SGIS),
            slots: [0; LIST_REGISTERS],
            occupied: 0,
            linked: 0,
            stale: 0,
            control: 0,
            owed: VcpuSet::EMPTY,
            saved: Saved::RESET,
        }
    }

    /// Returns what each list register that holds an interrupt is about: its index, the interrupt's number, whether it
    /// stands for a physical one.
    pub(super) fn take_slots(&mut self) -> impl Iterator<Item = (usize, u32, bool)> + use<> {
        let (occupied, linked, slots) = (self.occupied, self.linked, self.slots);
        self.stale |= occupied;
        (self.occupied, self.linked) = (0, 0);
        (0..).zip(slots).filter_map(move |(index, intid)| {
            let one = 1_u16.checked_shl(u32::try_from(index).ok()?)?;
            (occupied & one != 0).then_some((index, intid, linked & one != 0))
        })
    }

    /// Notes what list register `index` now holds.
    pub(super) fn note_slot(&mut self, index: usize, held: &ListRegister) {
        let Some(slot) = self.slots.get_mut(index) else { return };
        *slot = held.intid;
        let one = u32::try_from(index).map_or(0, |index| 1_u16.wrapping_shl(index));
        self.occupied |= one;
        if held.physical.is_some() {
            self.linked |= one;
        }
    }

    /// Tells whether a list register holds an interrupt whose state is at `offset`.
    pub(super) fn is_held(&self, offset: u32, size: u8) -> bool {
        let page = offset.checked_sub(0x1_0000);
        page.is_some_and(|offset| Field::states_at(offset, size, 0) & self.bank.held != 0)
    }

    /// Reads `size` bytes at `offset` of the two pages of 64 KiB of the redistributor of `vcpu`, which is the last one
    /// or not. Zero where there is nothing that can be read so.
    pub(super) fn read(&self, offset: u32, size: u8, vcpu: VcpuIndex, last: bool, asleep: bool) -> u64 {
        if let Some(offset) = offset.checked_sub(0x1_0000) {
            return match Field::at(offset, size) {
                Some((field, first)) if first < PRIVATE => u64::from(self.bank.read(field, first, size)),
                _ => 0,
            };
        }
        match (offset, size) {
            (0x0004, 4) => u64::from(IIDR),
            (0x0008..0x0010, _) => {
                let number = u64::from(vcpu.as_u16());
                part(number << 32 | number << 8 | u64::from(last) << 4, offset, size)
            }
            // GICR_WAKER: ChildrenAsleep follows ProcessorSleep at once.
            (0x0014, 4) if asleep => u64::from(SLEEP | 1 << 2),
            (0xffd0..0x1_0000, 4) => u64::from(identification(offset)),
            _ => 0,
        }
    }

    /// Writes to the second page and returns the interrupts that it was about.
    pub(super) fn write(&mut self, offset: u32, size: u8, value: u64) -> u64 {
        let field = offset.checked_sub(0x1_0000).and_then(|offset| Field::at(offset, size));
        match (field, u32::try_from(value & 0xffff_ffff)) {
            (Some((field, first)), Ok(value)) if first < PRIVATE => {
                let all = u64::from(u32::MAX);
                self.bank.write(field, first, size, value, SGIS) & all
            }
            _ => 0,
        }
    }
}
