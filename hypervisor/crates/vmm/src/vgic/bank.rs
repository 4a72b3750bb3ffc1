//! The states of up to 64 interrupts, one bit for each in a word for each state: the shared ones of a virtual machine, or
//! the private ones of a virtual CPU.

use tantalum_hal::vm::{ListRegister, ListState};

use super::bits::{Bits, bit};
use super::registers::Field;

/// Bounds the interrupts of a bank.
pub(super) const BANK: usize = 64;

/// Keeps the bits of a priority that there are: 32 levels, as many as every virtual CPU interface has.
const PRIORITY: u8 = 0xf8;

/// Holds the states of the interrupts.
#[derive(Debug)]
pub(super) struct Bank {
    /// May be signalled (GICD_ISENABLER).
    pub enabled: u64,
    /// Of Group 1; the others are of Group 0 (GICD_IGROUPR).
    pub group1: u64,
    /// Triggered by an edge; the others by the level of their line (GICD_ICFGR).
    pub edge: u64,
    /// Pending because an edge has come, or because software has said so. Not those in a list register.
    pub latch: u64,
    /// The line is up.
    pub line: u64,
    /// Acknowledged and not deactivated. What is in a list register is as it was when it was put there.
    pub active: u64,
    /// Of the active ones, those that were acknowledged, and not only made active by software.
    pub acknowledged: u64,
    /// In a list register of some virtual CPU, which alone knows what has become of them.
    pub held: u64,
    /// Of those, the ones that were put there because of `latch`: it is set again if they come back pending.
    pub placed: u64,
    /// Of those, the ones that software has deactivated (GICD_ICACTIVER) since.
    pub ended: u64,
    /// Of those, the ones that software has made active (GICD_ISACTIVER) since.
    activated: u64,
    /// Stand for a physical interrupt, which is active and has to be deactivated when they are. Their line is up, and
    /// they are triggered by its level whatever is configured.
    pub linked: u64,
    /// Were deactivated, but the physical interrupts that they stood for were not yet.
    pub ending: u64,
    priorities: [u8; BANK],
}

impl Bank {
    /// Builds the state after reset, in which `edge` are triggered by edges.
    pub(super) const fn new(edge: u64) -> Self {
        Self {
            enabled: 0,
            group1: 0,
            edge,
            latch: 0,
            line: 0,
            active: 0,
            acknowledged: 0,
            held: 0,
            placed: 0,
            ended: 0,
            activated: 0,
            linked: 0,
            ending: 0,
            priorities: [0; BANK],
        }
    }

    /// Returns the priority of interrupt `index`.
    pub(super) fn priority(&self, index: u32) -> u8 {
        usize::try_from(index).ok().and_then(|index| self.priorities.get(index)).copied().unwrap_or(!0)
    }

    fn set_priority(&mut self, index: u32, priority: u8) {
        if let Some(entry) = usize::try_from(index).ok().and_then(|index| self.priorities.get_mut(index)) {
            *entry = priority & PRIORITY;
        }
    }

    /// Returns those whose line makes them pending.
    const fn asserted(&self) -> u64 {
        self.line & (!self.edge | self.linked)
    }

    /// Returns those that are signalled at all: enabled themselves, and so is their group, of which `groups` has bit 0
    /// for Group 0 and bit 1 for Group 1 (GICD_CTLR).
    pub(super) const fn forwarded(&self, groups: u32) -> u64 {
        self.enabled & self.in_groups(groups)
    }

    /// Returns those that are of one of the groups.
    pub(super) const fn in_groups(&self, groups: u32) -> u64 {
        let group0 = if groups & 1 != 0 { !self.group1 } else { 0 };
        let group1 = if groups & 2 != 0 { self.group1 } else { 0 };
        group0 | group1
    }

    /// Returns those that wait for a list register: pending, not active, forwarded, and in none.
    pub(super) const fn ready(&self, groups: u32) -> u64 {
        (self.latch | self.asserted()) & self.forwarded(groups) & !self.active & !self.held
    }

    /// Returns the most urgent of `among`.
    pub(super) fn most_urgent(&self, among: u64) -> Option<u32> {
        Bits(among).min_by_key(|&index| self.priority(index))
    }

    /// Lets lines be up or down, and returns those of which the state has changed: an edge has come, or a level.
    pub(super) fn set_line(&mut self, interrupt: u64, up: bool) -> u64 {
        let changed = interrupt & if up { !self.line } else { self.line };
        self.line ^= changed;
        if up {
            self.latch |= changed & self.edge;
        }
        changed
    }

    /// Takes interrupt `index` out of a list register that now has the state `state`; `linked` says whether it stood for
    /// its physical interrupt there.
    pub(super) fn take_back(&mut self, index: u32, state: ListState, linked: bool) {
        let one = bit(index);
        let (pending, mut active) = match state {
            ListState::Invalid => (false, false),
            ListState::Pending => (true, false),
            ListState::Active => (false, true),
            ListState::PendingAndActive => (true, true),
        };
        if pending {
            self.latch |= self.placed & one;
        }
        match state {
            ListState::Invalid if linked => {
                // The virtual CPU interface has deactivated the physical one too.
                self.linked &= !one;
                self.line &= !one;
            }
            ListState::Invalid => self.unlink(one),
            _ => {}
        }
        if active && self.active & one == 0 {
            self.acknowledged |= one;
        }
        if active && self.ended & one != 0 {
            active = false;
            self.unlink(one);
        }
        if !active {
            self.acknowledged &= !one;
        }
        if active || self.activated & one != 0 {
            self.active |= one;
        } else {
            self.active &= !one;
        }
        for word in [&mut self.held, &mut self.placed, &mut self.ended, &mut self.activated] {
            *word &= !one;
        }
    }

    /// Puts interrupt `index` of number `intid` into a list register. `watched` says whether its end is to be noticed
    /// even if it is triggered by an edge, and that it is not to come again there.
    pub(super) fn place(&mut self, index: u32, intid: u32, groups: u32, watched: bool) -> ListRegister {
        let one = bit(index);
        let active = self.active & one != 0;
        let latched = self.latch & self.forwarded(groups) & one != 0;
        // One that software has made pending again comes again, so its end must be noticed.
        let linked = self.linked & one != 0 && !(active && latched);
        let watched = watched || self.linked & one != 0;
        let again = latched && !watched;
        let state = match (active, again) {
            (true, true) => ListState::PendingAndActive,
            (true, false) => ListState::Active,
            (false, _) => ListState::Pending,
        };
        if state != ListState::Active {
            self.placed |= self.latch & one;
            self.latch &= !one;
        }
        self.held |= one;
        ListRegister {
            intid,
            priority: self.priority(index),
            group1: self.group1 & one != 0,
            state,
            physical: linked.then_some(intid),
            maintenance_at_end: !linked && (watched || self.edge & one == 0),
        }
    }

    /// Deactivates interrupts that are in no list register.
    pub(super) fn deactivate(&mut self, interrupts: u64) {
        self.unlink(interrupts & self.active);
        self.active &= !interrupts;
        self.acknowledged &= !interrupts;
    }

    /// Lets interrupts stand for a physical one no longer, which has to be deactivated then.
    pub(super) fn unlink(&mut self, interrupts: u64) {
        let unlinked = self.linked & interrupts;
        self.ending |= unlinked;
        self.linked &= !unlinked;
        self.line &= !unlinked;
    }

    /// Returns what a register says about the interrupts from `first` on; one in a list register of another virtual CPU
    /// is said to be as it was when it was put there.
    pub(super) fn read(&self, field: Field, first: u32, size: u8) -> u32 {
        let word = match field {
            Field::Group => self.group1,
            Field::SetEnable | Field::ClearEnable => self.enabled,
            Field::SetPending | Field::ClearPending => self.latch | self.placed | self.asserted(),
            Field::SetActive | Field::ClearActive => self.active,
            Field::Priority => return self.read_priorities(first, size),
            Field::Config => return self.read_config(first),
        };
        low_half(word.wrapping_shr(first))
    }

    /// Does what a write to a register asks for, for the interrupts from `first` on, and returns those that it was about.
    /// `fixed` are always triggered as they are now.
    pub(super) fn write(&mut self, field: Field, first: u32, size: u8, value: u32, fixed: u64) -> u64 {
        let whole = u64::from(u32::MAX).wrapping_shl(first);
        let named = u64::from(value).wrapping_shl(first);
        match field {
            Field::Group => {
                self.group1 = self.group1 & !whole | named;
                return whole;
            }
            Field::SetEnable => self.enabled |= named,
            Field::ClearEnable => self.enabled &= !named,
            Field::SetPending => self.latch |= named,
            Field::ClearPending => {
                self.latch &= !named;
                self.placed &= !named;
            }
            Field::SetActive => {
                self.activated |= named & self.held;
                self.active |= named & !self.held;
                self.ended &= !named;
            }
            Field::ClearActive => {
                self.activated &= !named;
                self.ended |= named & self.held;
                self.deactivate(named & !self.held);
            }
            Field::Priority => return self.write_priorities(first, size, value),
            Field::Config => return self.write_config(first, value, fixed),
        }
        named
    }

    fn read_priorities(&self, first: u32, size: u8) -> u32 {
        let byte = |place: u32| u32::from(self.priority(first.wrapping_add(place)));
        let bytes = u32::from(size.min(4));
        (0..bytes).fold(0, |word, place| word | byte(place).wrapping_shl(place.wrapping_mul(8)))
    }

    fn write_priorities(&mut self, first: u32, size: u8, value: u32) -> u64 {
        let bytes = value.to_le_bytes();
        let mut written = 0;
        for (index, priority) in (first..).zip(bytes).take(usize::from(size)) {
            self.set_priority(index, priority);
            written |= bit(index);
        }
        written
    }

    fn read_config(&self, first: u32) -> u32 {
        let edges = Bits(self.edge.wrapping_shr(first) & 0xffff);
        edges.fold(0, |word, place| word | 2_u32.wrapping_shl(place.wrapping_mul(2)))
    }

    fn write_config(&mut self, first: u32, value: u32, fixed: u64) -> u64 {
        let changeable = 0xffff_u64.wrapping_shl(first) & !fixed;
        let set = |place: &u32| value & 2_u32.wrapping_shl(place.wrapping_mul(2)) != 0;
        let edges =
            (0..16_u32).filter(set).fold(0, |word, place| word | bit(place)).wrapping_shl(first) & changeable;
        let changed = (self.edge ^ edges) & changeable;
        self.edge ^= changed;
        changed
    }
}

/// Returns the lower half of a word.
pub(super) const fn low_half(word: u64) -> u32 {
    // The upper half is masked off.
    #[allow(clippy::cast_possible_truncation)]
    let low = (word & 0xffff_ffff) as u32;
    low
}
