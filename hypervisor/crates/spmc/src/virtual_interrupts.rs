//! The virtual interrupts of an execution context: which are enabled, which are pending, on which line.
//!
//! A partition at S-EL1 sees two lines, virtual IRQ and virtual FIQ, and asks by a paravirtual call which interrupt is
//! meant. There is one bit for each interrupt that it can have, so that an interrupt can be made pending from any
//! processing element without a lock, and so that whoever enters an execution context finds out by a few loads
//! whether something is pending.

use crate::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use crate::sync::Mutex;
use heapless::Vec;
use tantalum_hal::{ForeignInterrupts, InterruptSetting, VirtualInterrupts};
use tantalum_manifest::NsInterruptsAction;
use tantalum_types::CpuIndex;

/// Is the virtual interrupt of an execution context's own timer.
pub(crate) const TIMER: u32 = 3;
/// Is the virtual interrupt that tells an execution context to finish early (FF-A 1.1, section 9.3.1.1).
pub(crate) const MANAGED_EXIT: u32 = 4;
/// Is the virtual interrupt that says that notifications are pending (FF-A 1.1, section 10.4).
pub(crate) const NOTIFICATION_PENDING: u32 = 5;
/// Is the virtual interrupt that one execution context of a partition sends to another.
pub(crate) const IPI: u32 = 9;

/// Bounds the physical interrupts of one partition.
pub(crate) const MAX_OWNED: usize = 32;

/// Counts the bits for interrupts that exist only virtually. Behind them come those of the physical ones.
const VIRTUAL: u32 = 16;

/// Lists the interrupts that exist only virtually.
const VIRTUAL_ONES: [u32; 4] = [TIMER, MANAGED_EXIT, NOTIFICATION_PENDING, IPI];

/// Marks what is worth to wake an execution context that waits: everything but the notification pending interrupt,
/// for which the normal world's scheduler is told to run it, and the managed exit, which is about its turn.
const URGENT: u64 = !(1 << NOTIFICATION_PENDING | 1 << MANAGED_EXIT);

/// Marks the bits of physical interrupts.
const PHYSICAL: u64 = !0 << VIRTUAL;

/// Names the line on which a virtual interrupt is signalled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// Virtual IRQ.
    Irq,
    /// Virtual FIQ.
    Fiq,
}

/// Is an interrupt of one partition, by its place in the words of [`ContextInterrupts`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot(u32);

impl Slot {
    const fn bit(self) -> u64 {
        // A slot is below 64.
        1_u64.wrapping_shl(self.0)
    }
}

/// Is a physical interrupt that a partition owns.
#[derive(Debug)]
pub(crate) struct Owned {
    /// The number, 16 to 1019.
    pub intid: u32,
    /// The affinity of the processing element that it goes to at first, if that is said.
    pub target: Option<u64>,
    /// How it is at first.
    pub initial: InterruptSetting,
    /// How the interrupt controller has it; `None` while the partition does not run.
    pub current: Mutex<Option<InterruptSetting>>,
}

impl Owned {
    /// Tells whether each processing element has its own.
    pub(crate) const fn is_private(&self) -> bool {
        self.intid < 32
    }
}

/// Lists the physical interrupts that a partition owns, the most urgent first.
#[derive(Debug)]
pub(crate) struct OwnedInterrupts(Vec<Owned, MAX_OWNED>);

impl OwnedInterrupts {
    /// Begins an empty list.
    pub(crate) const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds an interrupt, and says whether there was room. It goes behind those that are as urgent as it is.
    pub(crate) fn add(&mut self, intid: u32, initial: InterruptSetting, target: Option<u64>) -> bool {
        let less_urgent = |owned: &Owned| owned.initial.priority > initial.priority;
        let place = self.0.iter().position(less_urgent).unwrap_or(self.0.len());
        self.0.insert(place, Owned { intid, target, initial, current: Mutex::new(None) }).is_ok()
    }

    /// Yields the interrupts.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Owned> {
        self.0.iter()
    }

    /// Returns the interrupt with the number `intid`, if the partition owns it.
    pub(crate) fn get(&self, intid: u32) -> Option<&Owned> {
        self.0.iter().find(|owned| owned.intid == intid)
    }

    /// Returns where the words of an execution context have `intid`, if the partition can have it.
    pub(crate) fn slot(&self, intid: u32) -> Option<Slot> {
        if VIRTUAL_ONES.contains(&intid) {
            return Some(Slot(intid));
        }
        let place = self.0.iter().position(|owned| owned.intid == intid)?;
        Some(Slot(u32::try_from(place).ok()?.checked_add(VIRTUAL)?))
    }

    /// Returns the interrupt that a bit of those words stands for.
    fn intid(&self, slot: Slot) -> Option<u32> {
        match slot.0.checked_sub(VIRTUAL) {
            None => Some(slot.0),
            Some(place) => Some(self.0.get(usize::try_from(place).ok()?)?.intid),
        }
    }
}

/// Holds the virtual interrupts of one execution context.
#[derive(Debug)]
pub(crate) struct ContextInterrupts {
    pending: AtomicU64,
    enabled: AtomicU64,
    /// Those that are signalled by virtual FIQ; the others are by virtual IRQ.
    fiq: AtomicU64,
    /// Physical ones that the execution context has got and not ended. Nobody else adds one.
    ///
    /// Each physical one that has been taken from the interrupt controller is in one of two words, so that there is no
    /// moment at which one that comes in looks as if it had been handled: first pending, then here, until it is ended.
    got: AtomicU64,
    /// Pending ones of which the normal world's scheduler has been told.
    reported: AtomicU64,
    /// The number of the processing element on which the execution context was entered last.
    cpu: AtomicU8,
    /// What interrupts of the normal world do in this turn, and whether [`GOT`] and [`EXITING`].
    turn: AtomicU8,
}

/// Marks, in the word of a turn, that the execution context has got an interrupt in it.
const GOT: u8 = 1 << 6;
/// Marks, in the word of a turn, that the execution context has been told to finish early.
const EXITING: u8 = 1 << 7;
/// Masks the action in the word of a turn: the lower, the more restrictive.
const ACTION: u8 = 3;

impl ContextInterrupts {
    /// Begins with none enabled and none pending.
    pub(crate) const fn new() -> Self {
        Self {
            pending: AtomicU64::new(0),
            enabled: AtomicU64::new(0),
            fiq: AtomicU64::new(0),
            got: AtomicU64::new(0),
            reported: AtomicU64::new(0),
            cpu: AtomicU8::new(0),
            turn: AtomicU8::new(0),
        }
    }

    /// Forgets everything except which physical interrupts are to be ended.
    pub(crate) fn reset(&self) {
        for word in [&self.enabled, &self.fiq, &self.reported] {
            word.store(0, Ordering::Relaxed);
        }
        let forgotten = self.pending.swap(0, Ordering::Relaxed);
        self.got.fetch_or(forgotten & PHYSICAL, Ordering::Relaxed);
        self.turn.store(0, Ordering::Relaxed);
    }

    /// Enables an interrupt on a line.
    pub(crate) fn enable(&self, slot: Slot, line: Line) {
        match line {
            Line::Irq => self.fiq.fetch_and(!slot.bit(), Ordering::Relaxed),
            Line::Fiq => self.fiq.fetch_or(slot.bit(), Ordering::Relaxed),
        };
        self.enabled.fetch_or(slot.bit(), Ordering::Relaxed);
    }

    /// Disables an interrupt, which may stay pending.
    pub(crate) fn disable(&self, slot: Slot) {
        self.enabled.fetch_and(!slot.bit(), Ordering::Relaxed);
    }

    /// Makes an interrupt pending. One that is so already stays so: it is got once.
    pub(crate) fn pend(&self, slot: Slot) {
        if self.pending.load(Ordering::Relaxed) & slot.bit() == 0 {
            self.reported.fetch_and(!slot.bit(), Ordering::Relaxed);
        }
        self.pending.fetch_or(slot.bit(), Ordering::SeqCst);
    }

    /// Takes back an interrupt whose cause has gone.
    pub(crate) fn retract(&self, slot: Slot) {
        self.pending.fetch_and(!slot.bit(), Ordering::Relaxed);
    }

    /// Returns the interrupt that is pending, enabled and most urgent, which then is no longer pending.
    pub(crate) fn take(&self, owned: &OwnedInterrupts) -> Option<u32> {
        // Each turn takes one bit away; only another processing element can add one.
        for _ in 0..u64::BITS {
            let slot = first(self.signalled())?;
            if self.pending.fetch_and(!slot.bit(), Ordering::Acquire) & slot.bit() != 0 {
                self.turn.fetch_or(GOT, Ordering::Relaxed);
                self.got.fetch_or(slot.bit() & PHYSICAL, Ordering::Relaxed);
                return owned.intid(slot);
            }
        }
        None
    }

    /// Returns the interrupt that [`Self::take`] would return.
    pub(crate) fn peek(&self, owned: &OwnedInterrupts) -> Option<u32> {
        owned.intid(first(self.signalled())?)
    }

    /// Tells whether an interrupt is pending and enabled.
    #[inline]
    pub(crate) fn any(&self) -> bool {
        self.signalled() != 0
    }

    /// Tells whether an interrupt is pending and enabled for which an execution context that waits is run.
    pub(crate) fn any_urgent(&self) -> bool {
        self.signalled() & URGENT != 0
    }

    /// Tells whether an interrupt is pending and enabled for which an execution context needs time, and of which the
    /// normal world's scheduler has not been told.
    pub(crate) fn is_unreported(&self) -> bool {
        self.signalled() & URGENT & !self.reported.load(Ordering::Relaxed) != 0
    }

    /// Notes that the normal world's scheduler has been told of what is pending.
    pub(crate) fn report(&self) {
        self.reported.store(self.signalled(), Ordering::Relaxed);
    }

    /// Says which lines are up.
    #[inline]
    pub(crate) fn signals(&self) -> VirtualInterrupts {
        let signalled = self.signalled();
        if signalled == 0 {
            return VirtualInterrupts::NONE;
        }
        let fiq = self.fiq.load(Ordering::Relaxed);
        VirtualInterrupts { irq: signalled & !fiq != 0, fiq: signalled & fiq != 0 }
    }

    /// Notes where the execution context runs from now on, and says which lines are up and what interrupts of the
    /// normal world do.
    ///
    /// Whoever makes an interrupt pending afterwards learns from [`Self::runs_on`] whom to kick; what was made pending
    /// before is seen here. That takes one order of both for everybody.
    #[inline]
    pub(crate) fn enter_on(&self, cpu: CpuIndex) -> (VirtualInterrupts, ForeignInterrupts) {
        // There are fewer than 256 processing elements.
        self.cpu.store(u8::try_from(cpu.get()).unwrap_or(u8::MAX), Ordering::SeqCst);
        (self.signals(), self.foreign())
    }

    /// Returns the processing element on which the execution context was entered last.
    pub(crate) fn runs_on(&self) -> Option<CpuIndex> {
        CpuIndex::new(usize::from(self.cpu.load(Ordering::SeqCst)))
    }

    /// Notes that a turn of the execution context begins in which interrupts of the normal world do `action`.
    #[inline]
    pub(crate) fn begin_turn(&self, action: NsInterruptsAction) {
        self.turn.store(restriction(action), Ordering::Relaxed);
    }

    /// Says what interrupts of the normal world do in this turn: they wait, once the execution context has been told
    /// to finish early.
    #[inline]
    pub(crate) fn action(&self) -> NsInterruptsAction {
        match self.turn.load(Ordering::Relaxed) & (EXITING | ACTION) {
            2 => NsInterruptsAction::Signaled,
            1 => NsInterruptsAction::ManagedExit,
            _ => NsInterruptsAction::Queued,
        }
    }

    /// Notes that the execution context is told to finish early.
    pub(crate) fn begin_exit(&self) {
        self.turn.fetch_or(EXITING, Ordering::Relaxed);
        self.pend(Slot(MANAGED_EXIT));
    }

    /// Takes back that the execution context shall finish early, since it has, if that is so.
    #[inline]
    pub(crate) fn end_exit(&self) {
        if self.turn.load(Ordering::Relaxed) & EXITING != 0 {
            self.turn.fetch_and(!EXITING, Ordering::Relaxed);
            self.retract(Slot(MANAGED_EXIT));
        }
    }

    /// Tells whether the execution context has got an interrupt since its turn began.
    pub(crate) fn has_got(&self) -> bool {
        self.turn.load(Ordering::Relaxed) & GOT != 0
    }

    /// Tells whether the turn can end without a look at interrupts: none is pending and none is to be ended.
    #[inline]
    pub(crate) fn is_quiet(&self) -> bool {
        self.pending.load(Ordering::Relaxed) | self.got.load(Ordering::Relaxed) == 0
    }

    /// Says whether interrupts of the normal world stop the execution context in this turn.
    #[inline]
    fn foreign(&self) -> ForeignInterrupts {
        match self.action() {
            NsInterruptsAction::Queued => ForeignInterrupts::Masked,
            NsInterruptsAction::ManagedExit | NsInterruptsAction::Signaled => ForeignInterrupts::Taken,
        }
    }

    /// Notes the end of a physical interrupt, and says whether the execution context had got it and not ended it.
    pub(crate) fn end(&self, slot: Slot) -> bool {
        self.got.fetch_and(!slot.bit(), Ordering::Relaxed) & slot.bit() != 0
    }

    /// Yields the physical interrupts that the execution context has got and has not ended, and notes their end.
    pub(crate) fn end_handled<'a>(&'a self, owned: &'a OwnedInterrupts) -> impl Iterator<Item = u32> + 'a {
        let handled = self.got.swap(0, Ordering::Relaxed);
        core::iter::successors(Some(handled), |left| Some(left & left.wrapping_sub(1)))
            .map_while(first)
            .filter_map(|slot| owned.intid(slot))
    }

    /// Yields every physical interrupt that has been taken and not been ended, and notes the end of all.
    pub(crate) fn end_all<'a>(&'a self, owned: &'a OwnedInterrupts) -> impl Iterator<Item = u32> + 'a {
        let forgotten = self.pending.fetch_and(!PHYSICAL, Ordering::Relaxed);
        self.got.fetch_or(forgotten & PHYSICAL, Ordering::Relaxed);
        self.end_handled(owned)
    }

    /// Returns what is pending and enabled.
    #[inline]
    fn signalled(&self) -> u64 {
        match self.pending.load(Ordering::SeqCst) {
            0 => 0,
            pending => pending & self.enabled.load(Ordering::Relaxed),
        }
    }
}

impl Default for ContextInterrupts {
    fn default() -> Self {
        Self::new()
    }
}

/// Returns the most urgent one of `word`: what is only virtual comes first, then the physical ones in their order.
fn first(word: u64) -> Option<Slot> {
    (word != 0).then(|| Slot(word.trailing_zeros()))
}

/// Returns how little an action restricts the normal world's interrupts, from 0.
const fn restriction(action: NsInterruptsAction) -> u8 {
    match action {
        NsInterruptsAction::Queued => 0,
        NsInterruptsAction::ManagedExit => 1,
        NsInterruptsAction::Signaled => 2,
    }
}

/// Returns the more restrictive of two actions, which is what a call chain gets.
#[inline]
pub(crate) const fn more_restrictive(a: NsInterruptsAction, b: NsInterruptsAction) -> NsInterruptsAction {
    if restriction(a) <= restriction(b) { a } else { b }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tantalum_hal::Trigger;

    /// Lists 40, 41 and 24, of which 41 is the most urgent, and 24 is as urgent as 40 but named later.
    fn owned() -> OwnedInterrupts {
        let mut owned = OwnedInterrupts::new();
        for (intid, priority) in [(40, 5), (41, 1), (24, 5)] {
            let target = CpuIndex::default();
            let setting =
                InterruptSetting { enabled: true, priority, trigger: Trigger::Level, secure: true, target };
            assert!(owned.add(intid, setting, None));
        }
        owned
    }

    #[test]
    fn a_partition_has_its_own_interrupts_and_the_virtual_ones() {
        let owned = owned();
        let has = |intid: &u32| owned.slot(*intid).is_some();
        assert!((0..1020).filter(has).eq([3, 4, 5, 9, 24, 40, 41]));
        for intid in [3, 4, 5, 9, 24, 40, 41] {
            assert_eq!(owned.slot(intid).and_then(|slot| owned.intid(slot)), Some(intid));
        }
        let mut full = OwnedInterrupts::new();
        let setting = owned.get(40).unwrap().initial;
        for intid in 0..32 {
            assert!(full.add(100 + intid, setting, None));
        }
        assert!(!full.add(200, setting, None));
        assert_eq!(full.slot(131), Some(Slot(47)), "the last bit that is used");
    }

    #[test]
    fn the_most_urgent_one_that_is_pending_and_enabled_is_got_and_each_once() {
        let owned = owned();
        let interrupts = ContextInterrupts::new();
        let slot = |intid| owned.slot(intid).unwrap();
        for intid in [24, 40, 41, 9, 3] {
            interrupts.pend(slot(intid));
            interrupts.pend(slot(intid));
        }
        assert_eq!((interrupts.take(&owned), interrupts.any()), (None, false), "none is enabled");
        for intid in [24, 40, 41, 3, 5] {
            interrupts.enable(slot(intid), Line::Irq);
        }
        assert!(!interrupts.has_got());
        for expected in [3, 41, 40, 24] {
            assert_eq!(interrupts.peek(&owned), Some(expected));
            assert_eq!(interrupts.take(&owned), Some(expected));
        }
        assert_eq!((interrupts.take(&owned), interrupts.has_got()), (None, true));
        interrupts.enable(slot(9), Line::Irq);
        assert_eq!(interrupts.take(&owned), Some(9), "it stayed pending");
        interrupts.pend(slot(41));
        interrupts.disable(slot(41));
        assert!(!interrupts.any());
        interrupts.enable(slot(41), Line::Irq);
        interrupts.retract(slot(41));
        assert_eq!(interrupts.take(&owned), None, "taken back");
    }

    #[test]
    fn each_line_is_up_while_one_of_its_interrupts_is_pending() {
        let owned = owned();
        let interrupts = ContextInterrupts::new();
        let slot = |intid| owned.slot(intid).unwrap();
        interrupts.enable(slot(40), Line::Irq);
        interrupts.enable(slot(41), Line::Fiq);
        let lines = || {
            let VirtualInterrupts { irq, fiq } = interrupts.signals();
            (irq, fiq)
        };
        assert_eq!(lines(), (false, false));
        interrupts.pend(slot(40));
        assert_eq!(lines(), (true, false));
        interrupts.pend(slot(41));
        assert_eq!(lines(), (true, true));
        interrupts.enable(slot(40), Line::Fiq);
        assert_eq!(lines(), (false, true));
        interrupts.disable(slot(40));
        assert_eq!(interrupts.take(&owned), Some(41));
        assert_eq!(lines(), (false, false));
    }

    #[test]
    fn only_what_is_urgent_wakes() {
        let owned = owned();
        for (intid, urgent) in [(3, true), (4, false), (5, false), (9, true), (24, true), (41, true)] {
            let interrupts = ContextInterrupts::new();
            let slot = owned.slot(intid).unwrap();
            interrupts.pend(slot);
            assert!(!interrupts.any_urgent(), "{intid} is not enabled");
            interrupts.enable(slot, Line::Irq);
            assert_eq!((interrupts.any(), interrupts.any_urgent()), (true, urgent), "{intid}");
        }
    }

    #[test]
    fn a_physical_one_ends_once_and_after_it_was_got() {
        let owned = owned();
        let interrupts = ContextInterrupts::new();
        let slot = |intid| owned.slot(intid).unwrap();
        assert!(interrupts.is_quiet());
        for intid in [40, 41] {
            interrupts.enable(slot(intid), Line::Irq);
            interrupts.pend(slot(intid));
        }
        assert!(!interrupts.end(slot(24)));
        assert!(!interrupts.end(slot(40)), "it was not got");
        assert_eq!(interrupts.end_handled(&owned).count(), 0, "none was got");
        assert_eq!(interrupts.take(&owned), Some(41));
        assert!(interrupts.end_handled(&owned).eq([41]));
        assert!(!interrupts.end(slot(41)), "it has ended");
        assert_eq!(interrupts.take(&owned), Some(40));
        assert!(!interrupts.is_quiet(), "it is to be ended");
        assert!(interrupts.end(slot(40)));
        assert!(!interrupts.end(slot(40)));
        assert!(interrupts.is_quiet());
        // What is only virtual has no end.
        interrupts.pend(slot(3));
        assert!(!interrupts.end(slot(3)));

        interrupts.pend(slot(40));
        interrupts.reset();
        assert!(interrupts.end_all(&owned).eq([40]), "a new life does not forget what is to be ended");
        assert_eq!(interrupts.end_all(&owned).count(), 0);
    }

    #[test]
    fn a_turn_has_one_managed_exit() {
        let owned = owned();
        let interrupts = ContextInterrupts::new();
        interrupts.enable(owned.slot(MANAGED_EXIT).unwrap(), Line::Fiq);
        let cpu = CpuIndex::new(2).unwrap();
        use NsInterruptsAction::{ManagedExit, Queued, Signaled};
        for (action, foreign) in [
            (Queued, ForeignInterrupts::Masked),
            (ManagedExit, ForeignInterrupts::Taken),
            (Signaled, ForeignInterrupts::Taken),
        ] {
            interrupts.begin_turn(action);
            assert_eq!(interrupts.action(), action);
            assert_eq!(interrupts.enter_on(cpu), (VirtualInterrupts::NONE, foreign));
            assert_eq!(interrupts.runs_on(), Some(cpu));
        }
        interrupts.begin_turn(ManagedExit);
        interrupts.begin_exit();
        let (signals, foreign) = interrupts.enter_on(cpu);
        assert_eq!((signals.fiq, foreign), (true, ForeignInterrupts::Masked));
        assert_eq!(interrupts.action(), Queued, "also for whom it asks");
        interrupts.end_exit();
        assert_eq!(interrupts.enter_on(cpu), (VirtualInterrupts::NONE, ForeignInterrupts::Taken));
        interrupts.begin_exit();
        assert_eq!(interrupts.take(&owned), Some(MANAGED_EXIT));
        assert_eq!(interrupts.enter_on(cpu), (VirtualInterrupts::NONE, ForeignInterrupts::Masked));
    }

    #[test]
    fn the_more_restrictive_action_counts() {
        use NsInterruptsAction::{ManagedExit, Queued, Signaled};
        let order = [Queued, ManagedExit, Signaled];
        for (i, a) in order.into_iter().enumerate() {
            for (j, b) in order.into_iter().enumerate() {
                assert_eq!(more_restrictive(a, b), order[i.min(j)]);
            }
        }
    }
}
