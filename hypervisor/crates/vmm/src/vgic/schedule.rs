//! What is in the list registers of a virtual CPU interface (GICv3, IHI 0069, chapter 6 and section 12.4).
//!
//! There are few of them, so that not everything that is pending or active may have one:
//!
//! - The most urgent pending one always has one, so that what is signalled is right.
//! - What is active comes next, the most urgent first: when it is ended, its list register is found by its number. One
//!   without a list register is counted when it is ended (EOIcount); since ends come in the reverse order, it is the most
//!   urgent of those. Deactivations by number (ICC_DIR_EL1) are trapped meanwhile.
//! - Then the other pending ones, the most urgent first. While some have none, the maintenance interrupt comes
//!   when no list register is pending any more (NPIE), so that there is always one.
//!
//! An interrupt that is triggered by a level raises the maintenance interrupt when it is ended: if its line is still up,
//! it comes again. One that stands for a physical interrupt does not, since the physical one comes again itself.

use core::sync::atomic::Ordering;

use spin::MutexGuard;
use tantalum_hal::vm::{ListRegister, VirtualInterface};
use tantalum_types::VcpuIndex;

use super::bits::{Bits, VcpuSet, bit};
use super::distributor::{Distributor, FIRST};
use super::redistributor::{LIST_REGISTERS, PRIVATE, Redistributor};
use super::{Vcpu, Vgic};

/// Lets the virtual CPU interface signal interrupts (ICH_HCR_EL2.En).
const ENABLE: u32 = 1;
/// Raises the maintenance interrupt while EOIcount is not zero (LRENPIE).
const COUNTED_END: u32 = 1 << 2;
/// Raises it while no list register is pending (NPIE).
const NONE_PENDING: u32 = 1 << 3;
/// Raises it while Group 0 or 1 is enabled or disabled (VGrp0EIE, VGrp0DIE, VGrp1EIE, VGrp1DIE).
const GROUP_ENABLED: [u32; 2] = [1 << 4, 1 << 6];
const GROUP_DISABLED: [u32; 2] = [1 << 5, 1 << 7];
/// Traps ICC_DIR_EL1 (TDIR).
const TRAP_DEACTIVATION: u32 = 1 << 14;
/// Says that ends do not deactivate (ICH_VMCR_EL2.VEOIM).
const TWO_STEPS: u32 = 1 << 9;
/// Is the place of EOIcount, 5 bits.
const END_COUNT: u32 = 27;

/// Says what is left to do after the list registers were changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use = "who is concerned has to be kicked or woken, and physical interrupts have to be ended"]
pub struct Entered {
    /// Has a bit for each private physical interrupt that has to be ended on this processing element: the virtual one
    /// that stood for it is gone.
    pub ended: u32,
    /// Who has to be kicked or woken.
    pub concerned: VcpuSet,
}

/// Holds both locks, and with them all that one virtual CPU can see.
struct View<'a> {
    vgic: &'a Vgic,
    vcpu: VcpuIndex,
    private: MutexGuard<'a, Redistributor>,
    shared: MutexGuard<'a, Distributor>,
    groups: u32,
}

/// Is an interrupt that wants a list register.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    priority: u8,
    intid: u32,
}

impl Redistributor {
    /// Tells whether a change of the states of `changed` concerns the virtual CPU: it holds one, or is to get one, or a
    /// physical interrupt has to be ended where it is loaded.
    pub(super) const fn concerned(&self, changed: u64, groups: u32) -> bool {
        changed & (self.bank.held | self.bank.ready(groups)) | self.bank.ending != 0
    }
}

impl Vgic {
    /// Brings the virtual CPU interface of this processing element up to date for `vcpu`, which is loaded here and about
    /// to run.
    #[inline]
    pub fn enter(&self, vcpu: VcpuIndex, interface: &impl VirtualInterface) -> Entered {
        match self.vcpu(vcpu) {
            Some(part) if part.attention.load(Ordering::SeqCst) => self.fill(vcpu, part, interface),
            _ => Entered::default(),
        }
    }

    /// Takes note that the virtual CPU interface has raised the maintenance interrupt on this processing element, on which
    /// `vcpu` is loaded. [`Self::enter`] removes the reason.
    pub fn maintain(&self, vcpu: VcpuIndex) {
        if let Some(part) = self.vcpu(vcpu) {
            part.attention.store(true, Ordering::SeqCst);
        }
    }

    /// Puts what was saved of `vcpu` into the virtual CPU interface of this processing element. [`Self::enter`] follows.
    pub fn load(&self, vcpu: VcpuIndex, interface: &impl VirtualInterface) {
        let Some(part) = self.vcpu(vcpu) else { return };
        let mut private = part.private.lock();
        for index in 0..interface.list_register_count().min(LIST_REGISTERS) {
            interface.set_list_register(index, ListRegister::EMPTY);
        }
        private.stale = 0;
        interface.set_machine_control(private.saved.machine_control);
        interface.set_active_priorities(&private.saved.active_priorities);
        private.control = ENABLE;
        interface.set_control(ENABLE);
        part.attention.store(true, Ordering::SeqCst);
    }

    /// Takes `vcpu` out of the virtual CPU interface of this processing element and turns that off.
    ///
    /// What stands for a physical interrupt does so no longer: the physical one has to be ended, so that it can come for
    /// others. If its reason stays, it comes again when the virtual CPU is loaded.
    pub fn save(&self, vcpu: VcpuIndex, interface: &impl VirtualInterface) -> Entered {
        self.change_loaded(vcpu, interface, |view| {
            let private = &mut *view.private;
            private.bank.unlink(!0);
            private.saved.machine_control = interface.machine_control();
            private.saved.active_priorities = interface.active_priorities();
            private.control = 0;
            interface.set_control(0);
            view.leave()
        })
    }

    /// Makes a private interrupt of `vcpu`, which is loaded on this processing element, pending for the physical one of
    /// the same number, which was taken here and is active. It is ended when `vcpu` ends the virtual one, or as
    /// [`Entered::ended`] says.
    pub fn pend_linked(&self, vcpu: VcpuIndex, interface: &impl VirtualInterface, intid: u32) {
        // The last one may have been ended, which only its list register knows: it was taken back before.
        self.change_loaded(vcpu, interface, |view| {
            if (16..PRIVATE).contains(&intid) {
                view.private.bank.linked |= bit(intid);
                view.private.bank.line |= bit(intid);
            }
        });
    }

    /// Takes back what [`Self::pend_linked`] has made pending, since its reason is gone, if `vcpu` has not acknowledged
    /// it. [`Self::enter`] says that the physical one has to be ended.
    pub fn retract_linked(&self, vcpu: VcpuIndex, interface: &impl VirtualInterface, intid: u32) {
        let is_linked = |part: &Vcpu| part.private.lock().bank.linked & bit(intid) != 0;
        if intid >= PRIVATE || !self.vcpu(vcpu).is_some_and(is_linked) {
            return;
        }
        self.change_loaded(vcpu, interface, |view| {
            let pending = bit(intid) & !view.private.bank.active;
            view.private.bank.unlink(pending);
        });
    }

    /// Deactivates an interrupt as `vcpu`, which is loaded on this processing element, has asked for by ICC_DIR_EL1.
    pub fn deactivate(&self, vcpu: VcpuIndex, interface: &impl VirtualInterface, intid: u32) {
        self.change_loaded(vcpu, interface, |view| {
            if intid < PRIVATE {
                view.private.bank.deactivate(bit(intid));
            } else if let Some(one) = Distributor::index(intid).map(bit) {
                let ended = one & view.shared.at(vcpu);
                view.shared.bank.deactivate(ended);
                view.release(ended);
            }
        });
    }

    /// Looks whether `vcpu`, which is loaded on this processing element and waits for an interrupt, has one to wake for:
    /// pending and enabled, of a group that is enabled in the distributor and in its CPU interface, and more urgent than
    /// its priority mask.
    ///
    /// Whether it is more urgent than what is active is not looked at: who waits in an interrupt handler for a more
    /// urgent one goes on too early, which WFI may do.
    pub fn wait(&self, vcpu: VcpuIndex, interface: &impl VirtualInterface) -> (bool, Entered) {
        self.change_loaded(vcpu, interface, |view| (view.wakes(interface.machine_control()), view.leave()))
    }

    /// Tells the same of one that was saved.
    pub fn wakes(&self, vcpu: VcpuIndex) -> bool {
        let Some(part) = self.vcpu(vcpu) else { return false };
        let view = self.view(vcpu, part);
        view.wakes(view.private.saved.machine_control)
    }

    /// Takes back what is in the list registers, if anything is.
    pub(super) fn take_back(&self, vcpu: VcpuIndex, interface: &impl VirtualInterface) {
        self.change_loaded(vcpu, interface, |_| ());
    }

    /// Changes what `vcpu`, which is loaded on this processing element, sees, by a function that runs after what is in the
    /// list registers was taken back. [`Self::enter`] fills them anew.
    fn change_loaded<R: Default>(
        &self,
        vcpu: VcpuIndex,
        interface: &impl VirtualInterface,
        change: impl FnOnce(&mut View) -> R,
    ) -> R {
        let Some(part) = self.vcpu(vcpu) else { return R::default() };
        part.attention.store(true, Ordering::SeqCst);
        let mut view = self.view(vcpu, part);
        view.take_back(interface);
        change(&mut view)
    }

    fn view<'a>(&'a self, vcpu: VcpuIndex, part: &'a Vcpu) -> View<'a> {
        let private = part.private.lock();
        let shared = self.distributor.lock();
        View { vgic: self, vcpu, private, shared, groups: self.groups.load(Ordering::SeqCst) }
    }

    #[cold]
    fn fill(&self, vcpu: VcpuIndex, part: &Vcpu, interface: &impl VirtualInterface) -> Entered {
        // Whoever sets it from now on has changed something that may not be seen here.
        part.attention.store(false, Ordering::SeqCst);
        let mut view = self.view(vcpu, part);
        view.take_back(interface);
        view.fill(interface);
        view.leave()
    }
}

impl View<'_> {
    /// Takes back what is in the list registers, and what was ended that is in none.
    fn take_back(&mut self, interface: &impl VirtualInterface) {
        if self.private.control & COUNTED_END != 0 {
            // What is active and in no list register now had none when the virtual CPU was entered: the ends that were
            // counted are theirs.
            // With EOImode set, an end deactivates nothing. The architecture does not count it then, but QEMU does. What
            // it counts then, deactivations by number, are trapped.
            let ended = if interface.machine_control() & TWO_STEPS == 0 {
                interface.control() >> END_COUNT
            } else {
                0
            };
            for _ in 0..ended {
                self.end_most_urgent();
            }
            interface.set_control(self.private.control);
        }
        let mut shared = 0;
        for (slot, intid, linked) in self.private.take_slots() {
            let state = interface.list_register(slot).state;
            match Distributor::index(intid) {
                Some(index) => {
                    self.shared.bank.take_back(index, state, linked);
                    shared |= bit(index);
                }
                None => self.private.bank.take_back(intid, state, linked),
            }
        }
        self.release(shared);
    }

    /// Deactivates the most urgent of what was acknowledged and is in no list register.
    fn end_most_urgent(&mut self) {
        let private = self.private.bank.acknowledged & !self.private.bank.held;
        let shared = self.shared.bank.acknowledged & !self.shared.bank.held & self.shared.at(self.vcpu);
        let private = self.private.bank.most_urgent(private);
        let shared = self.shared.bank.most_urgent(shared);
        match (private, shared) {
            (Some(private), Some(shared))
                if self.private.bank.priority(private) > self.shared.bank.priority(shared) =>
            {
                self.end_shared(shared);
            }
            (Some(private), _) => self.private.bank.deactivate(bit(private)),
            (None, Some(shared)) => self.end_shared(shared),
            (None, None) => {}
        }
    }

    fn end_shared(&mut self, index: u32) {
        self.shared.bank.deactivate(bit(index));
        self.release(bit(index));
    }

    /// Lets shared interrupts that were taken from the virtual CPU go where they are to go now.
    fn release(&mut self, interrupts: u64) {
        if interrupts == 0 {
            return;
        }
        self.shared.settle();
        let concerned = self.shared.concerned(interrupts, self.groups).without(self.vcpu);
        self.private.owed = self.private.owed.union(concerned);
    }

    /// Returns what is left to do, and marks who is concerned.
    fn leave(&mut self) -> Entered {
        let ended = self.private.bank.ending;
        self.private.bank.ending = 0;
        let owed = core::mem::take(&mut self.private.owed);
        // A private interrupt has a number below 32.
        Entered { ended: super::bank::low_half(ended), concerned: self.vgic.notify(owed) }
    }

    /// Tells whether something is pending that the virtual CPU interface would signal with this ICH_VMCR_EL2.
    fn wakes(&self, machine_control: u32) -> bool {
        let groups = self.groups & machine_control;
        let mask = machine_control >> 24;
        let more_urgent = |priority: u8| u32::from(priority) < mask;
        let private = &self.private.bank;
        let shared = &self.shared.bank;
        Bits(private.ready(groups)).any(|index| more_urgent(private.priority(index)))
            || Bits(self.shared.ready(self.vcpu, groups)).any(|index| more_urgent(shared.priority(index)))
    }

    /// Returns what is most urgent of these private and shared interrupts, the most urgent first.
    fn order(&self, private: u64, shared: u64) -> Order {
        let mut order = Order::new();
        for intid in Bits(private) {
            order.add(Candidate { priority: self.private.bank.priority(intid), intid });
        }
        for index in Bits(shared) {
            let intid = index.wrapping_add(FIRST);
            order.add(Candidate { priority: self.shared.bank.priority(index), intid });
        }
        order
    }

    /// Fills the list registers, none of which holds anything.
    fn fill(&mut self, interface: &impl VirtualInterface) {
        let room = interface.list_register_count().min(LIST_REGISTERS);
        let ready = [self.private.bank.ready(self.groups), self.shared.ready(self.vcpu, self.groups)];
        let active = [self.private.bank.active, self.shared.bank.active & self.shared.at(self.vcpu)];
        let count = |[private, shared]: [u64; 2]| {
            usize::try_from(private.count_ones().saturating_add(shared.count_ones())).unwrap_or(usize::MAX)
        };
        let (pending, ended_later) = (count(ready), count(active));
        let mut next = 0;
        let mut control = ENABLE;
        if pending.saturating_add(ended_later) <= room {
            for [private, shared] in [ready, active] {
                next = self.place_all(interface, next, false, self.order(private, shared).iter());
            }
        } else {
            let machine_control = interface.machine_control();
            let signalled = [
                ready[0] & self.private.bank.in_groups(machine_control),
                ready[1] & self.shared.bank.in_groups(machine_control),
            ];
            // What is of a group that is disabled in the CPU interface must not keep others out.
            let for_pending = count(signalled).min(room.saturating_sub(ended_later).max(1)).min(room);
            let for_active = room.saturating_sub(for_pending);
            let pending_order = self.order(signalled[0], signalled[1]);
            next = self.place_all(interface, next, false, pending_order.iter().take(for_pending));
            let active_order = self.order(active[0], active[1]);
            // One that comes again in its list register could be less urgent than those that wait.
            self.place_all(interface, next, true, active_order.iter().take(for_active));
            if pending > for_pending {
                control |= Self::control_while_waiting(machine_control, for_pending != 0);
            }
            if ended_later > for_active {
                control |= COUNTED_END | TRAP_DEACTIVATION;
            }
        }
        self.empty_rest(interface);
        if control != self.private.control {
            self.private.control = control;
            interface.set_control(control);
        }
    }

    /// Says when the virtual CPU interface has to ask for more, while something pending has no list register: when none
    /// is pending any more, and when software enables or disables a group.
    fn control_while_waiting(machine_control: u32, one_is_pending: bool) -> u32 {
        let mut control = if one_is_pending { NONE_PENDING } else { 0 };
        let bits = GROUP_ENABLED.into_iter().zip(GROUP_DISABLED);
        for (group, (enabled, disabled)) in [1, 2].into_iter().zip(bits) {
            control |= if machine_control & group != 0 { disabled } else { enabled };
        }
        control
    }

    /// Puts interrupts into the list registers from `next` on and returns the first that is free. `watched` says whether
    /// the end of each has to be noticed.
    fn place_all<'a>(
        &mut self,
        interface: &impl VirtualInterface,
        mut next: usize,
        watched: bool,
        candidates: impl Iterator<Item = &'a Candidate>,
    ) -> usize {
        for candidate in candidates {
            let intid = candidate.intid;
            let register = match Distributor::index(intid) {
                Some(index) => {
                    // If it goes elsewhere when it is ended, that has to be noticed.
                    let elsewhere = self.shared.routed(self.vcpu) & bit(index) == 0;
                    self.shared.keep_at(self.vcpu, bit(index));
                    self.shared.bank.place(index, intid, self.groups, watched || elsewhere)
                }
                None => self.private.bank.place(intid, intid, self.groups, watched),
            };
            interface.set_list_register(next, register);
            self.private.note_slot(next, &register);
            next = next.saturating_add(1);
        }
        next
    }

    /// Empties the list registers that hold something of old.
    fn empty_rest(&mut self, interface: &impl VirtualInterface) {
        let rest = self.private.stale & !self.private.occupied;
        for index in Bits(u64::from(rest)) {
            if let Ok(index) = usize::try_from(index) {
                interface.set_list_register(index, ListRegister::EMPTY);
            }
        }
        self.private.stale = 0;
    }
}

/// Holds the most urgent interrupts that were added, in the order of their urgency, as many as there can be list
/// registers. Of equals, the one that was added first comes first.
struct Order {
    candidates: [Candidate; LIST_REGISTERS],
    count: usize,
}

impl Order {
    const fn new() -> Self {
        Self { candidates: [Candidate { priority: 0, intid: 0 }; LIST_REGISTERS], count: 0 }
    }

    fn add(&mut self, candidate: Candidate) {
        let less_urgent = |other: &Candidate| other.priority > candidate.priority;
        let place = self.iter().position(less_urgent).unwrap_or(self.count);
        self.count = self.count.saturating_add(1).min(LIST_REGISTERS);
        let mut moved = candidate;
        for entry in self.candidates.iter_mut().take(self.count).skip(place) {
            core::mem::swap(entry, &mut moved);
        }
    }

    fn iter(&self) -> impl Iterator<Item = &Candidate> {
        self.candidates.iter().take(self.count)
    }
}
