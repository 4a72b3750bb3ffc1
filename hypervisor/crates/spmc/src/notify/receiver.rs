//! The notifications of one endpoint as their receiver: who may signal which, and which are pending.

use tantalum_ffa::Status;
use tantalum_ffa::notification::PendingNotifications;
use tantalum_types::{EndpointId, MAX_VCPUS};

/// Counts the notifications of one direction.
const COUNT: usize = 64;

/// Says whom a notification is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// The endpoint as a whole.
    Global,
    /// One of its execution contexts.
    Vcpu(usize),
}

/// Says which pending notifications are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Those of partitions.
    pub from_partitions: bool,
    /// Those of VMs.
    pub from_vms: bool,
    /// Those of the SPM.
    pub from_spm: bool,
}

/// Says what has to follow when a notification has become pending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Signalled {
    /// Whether the normal world's scheduler has something to learn.
    pub schedule: bool,
    /// Whether the receiver itself has not been told since it last asked.
    pub interrupt: bool,
}

/// Holds notifications that have been signalled and not been read.
#[derive(Clone, Copy, Debug, Default)]
struct Pending {
    bits: u64,
    /// Which of them FFA_NOTIFICATION_INFO_GET has reported.
    reported: u64,
}

impl Pending {
    const NONE: Self = Self { bits: 0, reported: 0 };

    fn set(&mut self, bitmap: u64) {
        self.bits |= bitmap;
    }

    fn take(&mut self) -> u64 {
        core::mem::take(self).bits
    }

    fn is_unreported(&self) -> bool {
        self.bits & !self.reported != 0
    }

    fn report(&mut self) {
        self.reported = self.bits;
    }
}

/// Holds the notifications of one direction.
#[derive(Clone, Copy, Debug)]
struct Direction {
    /// Which are bound.
    bound: u64,
    /// Which of those are for single execution contexts.
    per_vcpu: u64,
    /// Who may signal each; only of those that are bound.
    senders: [EndpointId; COUNT],
    global: Pending,
    vcpus: [Pending; MAX_VCPUS],
}

impl Direction {
    const fn new() -> Self {
        Self {
            bound: 0,
            per_vcpu: 0,
            senders: [EndpointId::HYPERVISOR; COUNT],
            global: Pending::NONE,
            vcpus: [Pending::NONE; MAX_VCPUS],
        }
    }

    /// Returns every notification that is pending for anybody.
    fn pending(&self) -> u64 {
        self.vcpus.iter().fold(self.global.bits, |bits, vcpu| bits | vcpu.bits)
    }

    /// Tells whether all of `bitmap` is bound to `sender`.
    fn is_bound_to(&self, sender: EndpointId, bitmap: u64) -> bool {
        bitmap & !self.bound == 0
            && self.senders.iter().enumerate().all(|(bit, bound)| bitmap >> bit & 1 == 0 || *bound == sender)
    }

    fn bind(&mut self, sender: EndpointId, per_vcpu: bool, bitmap: u64) -> Result<(), Status> {
        if bitmap & (self.bound | self.pending()) != 0 {
            return Err(Status::Denied);
        }
        self.bound |= bitmap;
        if per_vcpu {
            self.per_vcpu |= bitmap;
        }
        for (bit, bound) in self.senders.iter_mut().enumerate() {
            if bitmap >> bit & 1 != 0 {
                *bound = sender;
            }
        }
        Ok(())
    }

    fn unbind(&mut self, sender: EndpointId, bitmap: u64) -> Result<(), Status> {
        if !self.is_bound_to(sender, bitmap) || bitmap & self.pending() != 0 {
            return Err(Status::Denied);
        }
        self.bound &= !bitmap;
        self.per_vcpu &= !bitmap;
        Ok(())
    }

    fn set(&mut self, sender: EndpointId, scope: Scope, bitmap: u64) -> Result<(), Status> {
        if !self.is_bound_to(sender, bitmap) {
            return Err(Status::Denied);
        }
        let expected = match scope {
            Scope::Global => 0,
            Scope::Vcpu(_) => bitmap,
        };
        if self.per_vcpu & bitmap != expected {
            return Err(Status::InvalidParameters);
        }
        self.slot(scope).ok_or(Status::InvalidParameters)?.set(bitmap);
        Ok(())
    }

    fn slot(&mut self, scope: Scope) -> Option<&mut Pending> {
        match scope {
            Scope::Global => Some(&mut self.global),
            Scope::Vcpu(index) => self.vcpus.get_mut(index),
        }
    }

    /// Takes what is pending for the endpoint as a whole and for its execution context `vcpu`.
    fn take(&mut self, vcpu: usize) -> u64 {
        self.global.take() | self.vcpus.get_mut(vcpu).map_or(0, Pending::take)
    }
}

/// Holds the notifications that one endpoint receives.
#[derive(Clone, Debug)]
pub(crate) struct Receiver {
    vcpu_count: usize,
    from_partitions: Direction,
    from_vms: Direction,
    from_spm: Pending,
    /// Whether the notification pending interrupt is out for notifications of the endpoint as a whole, and for
    /// those of its execution contexts.
    interrupted: bool,
    interrupted_vcpus: [bool; MAX_VCPUS],
}

impl Receiver {
    /// Builds the notifications of an endpoint with `vcpu_count` execution contexts, none of them bound.
    ///
    /// # Errors
    /// INVALID_PARAMETERS if the count is zero, or more than [`MAX_VCPUS`].
    pub(crate) fn new(vcpu_count: usize) -> Result<Self, Status> {
        if vcpu_count == 0 || vcpu_count > MAX_VCPUS {
            return Err(Status::InvalidParameters);
        }
        Ok(Self {
            vcpu_count,
            from_partitions: Direction::new(),
            from_vms: Direction::new(),
            from_spm: Pending::NONE,
            interrupted: false,
            interrupted_vcpus: [false; MAX_VCPUS],
        })
    }

    /// Lets `sender` signal the notifications of `bitmap`.
    ///
    /// # Errors
    /// INVALID_PARAMETERS if there are none, DENIED if one of them is bound.
    pub(crate) fn bind(&mut self, sender: EndpointId, per_vcpu: bool, bitmap: u64) -> Result<(), Status> {
        not_empty(bitmap)?;
        self.direction(sender).bind(sender, per_vcpu, bitmap)
    }

    /// Takes the notifications of `bitmap` from `sender`.
    ///
    /// # Errors
    /// INVALID_PARAMETERS if there are none, DENIED if one of them is not bound to `sender`, or is pending.
    pub(crate) fn unbind(&mut self, sender: EndpointId, bitmap: u64) -> Result<(), Status> {
        not_empty(bitmap)?;
        self.direction(sender).unbind(sender, bitmap)
    }

    /// Makes the notifications of `bitmap` pending.
    ///
    /// # Errors
    /// INVALID_PARAMETERS if there are none, if the endpoint has no such execution context, or if one of them is
    /// bound for the other scope; DENIED if one of them is not bound to `sender`.
    pub(crate) fn set(&mut self, sender: EndpointId, scope: Scope, bitmap: u64) -> Result<Signalled, Status> {
        not_empty(bitmap)?;
        if matches!(scope, Scope::Vcpu(index) if index >= self.vcpu_count) {
            return Err(Status::InvalidParameters);
        }
        self.direction(sender).set(sender, scope, bitmap)?;
        Ok(self.signalled(scope))
    }

    /// Makes notifications of the SPM pending.
    pub(crate) fn set_from_spm(&mut self, bitmap: u32) -> Signalled {
        self.from_spm.set(bitmap.into());
        self.signalled(Scope::Global)
    }

    /// Takes notifications of the SPM back that nobody has read.
    pub(crate) fn clear_from_spm(&mut self, bitmap: u32) {
        self.from_spm.bits &= !u64::from(bitmap);
        self.from_spm.reported &= !u64::from(bitmap);
    }

    /// Tells whether notifications of the SPM are pending.
    pub(crate) fn has_from_spm(&self, bitmap: u32) -> bool {
        self.from_spm.bits & u64::from(bitmap) != 0
    }

    /// Takes the pending notifications that are `wanted`, of the endpoint as a whole and of its execution context
    /// `vcpu`.
    ///
    /// # Errors
    /// INVALID_PARAMETERS if there is no such execution context.
    pub(crate) fn get(&mut self, vcpu: usize, wanted: Wanted) -> Result<PendingNotifications, Status> {
        if vcpu >= self.vcpu_count {
            return Err(Status::InvalidParameters);
        }
        let mut pending = PendingNotifications::default();
        if wanted.from_partitions {
            pending.from_partitions = self.from_partitions.take(vcpu);
        }
        if wanted.from_vms {
            pending.from_vms = self.from_vms.take(vcpu);
        }
        if wanted.from_spm {
            // Only bits below 32 are ever set.
            pending.from_spm = u32::try_from(self.from_spm.take()).unwrap_or(u32::MAX);
        }
        self.interrupted = false;
        if let Some(interrupted) = self.interrupted_vcpus.get_mut(vcpu) {
            *interrupted = false;
        }
        Ok(pending)
    }

    /// Tells whether any notification is pending.
    pub(crate) fn has_pending(&self) -> bool {
        self.from_partitions.pending() | self.from_vms.pending() | self.from_spm.bits != 0
    }

    /// Tells whether something is pending in `scope` that has not been reported.
    pub(crate) fn is_unreported(&self, scope: Scope) -> bool {
        match scope {
            Scope::Global => {
                self.from_partitions.global.is_unreported()
                    || self.from_vms.global.is_unreported()
                    || self.from_spm.is_unreported()
            }
            Scope::Vcpu(index) => [&self.from_partitions, &self.from_vms]
                .iter()
                .any(|direction| direction.vcpus.get(index).is_some_and(Pending::is_unreported)),
        }
    }

    /// Remembers that everything pending in `scope` has been reported.
    pub(crate) fn report(&mut self, scope: Scope) {
        for direction in [&mut self.from_partitions, &mut self.from_vms] {
            if let Some(pending) = direction.slot(scope) {
                pending.report();
            }
        }
        if scope == Scope::Global {
            self.from_spm.report();
        }
    }

    /// Returns the number of execution contexts.
    pub(crate) fn vcpu_count(&self) -> usize {
        self.vcpu_count
    }

    /// Returns the notifications that endpoints of the world of `sender` may signal.
    fn direction(&mut self, sender: EndpointId) -> &mut Direction {
        if sender.is_secure() { &mut self.from_partitions } else { &mut self.from_vms }
    }

    fn signalled(&mut self, scope: Scope) -> Signalled {
        let schedule = self.is_unreported(scope);
        let interrupted = match scope {
            Scope::Global => Some(&mut self.interrupted),
            Scope::Vcpu(index) => self.interrupted_vcpus.get_mut(index),
        };
        let interrupt = interrupted.is_some_and(|interrupted| !core::mem::replace(interrupted, true));
        Signalled { schedule, interrupt }
    }
}

fn not_empty(bitmap: u64) -> Result<(), Status> {
    if bitmap == 0 { Err(Status::InvalidParameters) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SP: EndpointId = EndpointId::new(0x8001);
    const OTHER: EndpointId = EndpointId::new(0x8002);
    const VM: EndpointId = EndpointId::new(1);
    const ALL: Wanted = Wanted { from_partitions: true, from_vms: true, from_spm: true };

    fn receiver() -> Receiver {
        Receiver::new(4).unwrap()
    }

    #[test]
    fn an_endpoint_has_one_to_eight_execution_contexts() {
        for (count, works) in [(0, false), (1, true), (8, true), (9, false), (usize::MAX, false)] {
            assert_eq!(Receiver::new(count).is_ok(), works, "{count}");
        }
    }

    #[test]
    fn a_notification_is_bound_once() {
        let mut receiver = receiver();
        assert_eq!(receiver.bind(SP, false, 0), Err(Status::InvalidParameters));
        assert_eq!(receiver.bind(SP, false, 0b0110), Ok(()));
        for sender in [SP, OTHER] {
            assert_eq!(receiver.bind(sender, false, 0b1100), Err(Status::Denied));
        }
        // A refused one binds nothing, and the other direction has bits of its own.
        assert_eq!(receiver.bind(OTHER, false, 0b1000), Ok(()));
        assert_eq!(receiver.bind(VM, false, 0b1110), Ok(()));
    }

    #[test]
    fn only_who_it_is_bound_to_loses_it() {
        let mut receiver = receiver();
        receiver.bind(SP, false, 0b0011).unwrap();
        receiver.bind(OTHER, true, 0b0100).unwrap();
        assert_eq!(receiver.unbind(SP, 0), Err(Status::InvalidParameters));
        for (sender, bitmap) in [(OTHER, 0b0001), (SP, 0b0101), (SP, 0b1001), (VM, 0b0001)] {
            assert_eq!(receiver.unbind(sender, bitmap), Err(Status::Denied));
        }
        assert_eq!(receiver.unbind(SP, 0b0001), Ok(()));
        assert_eq!(receiver.unbind(SP, 0b0001), Err(Status::Denied));
        assert_eq!(receiver.set(SP, Scope::Global, 0b0001), Err(Status::Denied));
        assert!(receiver.set(SP, Scope::Global, 0b0010).is_ok());
        // What is for single execution contexts is forgotten with the binding.
        assert_eq!(receiver.unbind(OTHER, 0b0100), Ok(()));
        assert_eq!(receiver.bind(SP, false, 0b0100), Ok(()));
        assert!(receiver.set(SP, Scope::Global, 0b0100).is_ok());
    }

    #[test]
    fn what_is_pending_stays_bound() {
        let mut receiver = receiver();
        receiver.bind(SP, false, 0b01).unwrap();
        receiver.bind(SP, true, 0b10).unwrap();
        receiver.set(SP, Scope::Global, 0b01).unwrap();
        receiver.set(SP, Scope::Vcpu(3), 0b10).unwrap();
        assert_eq!(receiver.unbind(SP, 0b01), Err(Status::Denied));
        assert_eq!(receiver.unbind(SP, 0b10), Err(Status::Denied));
        assert!(receiver.has_pending());
        receiver.get(0, ALL).unwrap();
        assert_eq!(receiver.unbind(SP, 0b01), Ok(()));
        assert_eq!(receiver.unbind(SP, 0b10), Err(Status::Denied));
        receiver.get(3, ALL).unwrap();
        assert_eq!(receiver.unbind(SP, 0b10), Ok(()));
        assert!(!receiver.has_pending());
    }

    #[test]
    fn a_notification_is_set_for_what_it_was_bound_for() {
        let mut receiver = receiver();
        receiver.bind(SP, false, 0b01).unwrap();
        receiver.bind(SP, true, 0b10).unwrap();
        let invalid = Err(Status::InvalidParameters);
        assert_eq!(receiver.set(SP, Scope::Global, 0), invalid);
        assert_eq!(receiver.set(SP, Scope::Vcpu(0), 0b01), invalid);
        assert_eq!(receiver.set(SP, Scope::Global, 0b10), invalid);
        assert_eq!(receiver.set(SP, Scope::Global, 0b11), invalid);
        assert_eq!(receiver.set(SP, Scope::Vcpu(0), 0b11), invalid);
        assert_eq!(receiver.set(SP, Scope::Vcpu(4), 0b10), invalid);
        assert_eq!(receiver.set(OTHER, Scope::Global, 0b01), Err(Status::Denied));
        assert_eq!(receiver.set(VM, Scope::Global, 0b01), Err(Status::Denied));
        assert_eq!(receiver.set(SP, Scope::Global, 0b101), Err(Status::Denied));
        assert!(!receiver.has_pending());
    }

    #[test]
    fn reading_takes_what_was_asked_for() {
        let mut receiver = receiver();
        receiver.bind(SP, false, 1 << 63).unwrap();
        receiver.bind(SP, true, 1).unwrap();
        receiver.bind(VM, false, 2).unwrap();
        receiver.set(SP, Scope::Global, 1 << 63).unwrap();
        receiver.set(SP, Scope::Vcpu(1), 1).unwrap();
        receiver.set(VM, Scope::Global, 2).unwrap();
        receiver.set_from_spm(1);
        assert_eq!(receiver.get(4, ALL), Err(Status::InvalidParameters));
        let only = |from_partitions, from_vms, from_spm| Wanted { from_partitions, from_vms, from_spm };
        let none = PendingNotifications::default();
        assert_eq!(receiver.get(0, only(false, false, false)), Ok(none));
        let partitions = PendingNotifications { from_partitions: 1 << 63, ..none };
        assert_eq!(receiver.get(0, only(true, false, false)), Ok(partitions));
        let partitions = PendingNotifications { from_partitions: 1, ..none };
        assert_eq!(receiver.get(1, only(true, false, false)), Ok(partitions));
        assert_eq!(receiver.get(0, ALL), Ok(PendingNotifications { from_vms: 2, from_spm: 1, ..none }));
        assert_eq!(receiver.get(0, ALL), Ok(none));
    }

    #[test]
    fn news_are_reported_once() {
        let mut receiver = receiver();
        receiver.bind(SP, false, 0b011).unwrap();
        receiver.bind(SP, true, 0b100).unwrap();
        assert!(!receiver.is_unreported(Scope::Global));
        receiver.set(SP, Scope::Global, 0b001).unwrap();
        assert!(receiver.is_unreported(Scope::Global));
        assert!(!receiver.is_unreported(Scope::Vcpu(0)));
        receiver.report(Scope::Global);
        assert!(!receiver.is_unreported(Scope::Global));
        // The same again is nothing new until it has been read.
        assert!(!receiver.set(SP, Scope::Global, 0b001).unwrap().schedule);
        assert!(receiver.set(SP, Scope::Global, 0b010).unwrap().schedule);
        receiver.report(Scope::Global);
        receiver.get(0, ALL).unwrap();
        assert!(receiver.set(SP, Scope::Global, 0b001).unwrap().schedule);
        receiver.get(0, ALL).unwrap();
        assert!(!receiver.is_unreported(Scope::Global));

        receiver.set(SP, Scope::Vcpu(2), 0b100).unwrap();
        assert!(receiver.is_unreported(Scope::Vcpu(2)));
        assert!(!receiver.is_unreported(Scope::Vcpu(1)));
        assert!(!receiver.is_unreported(Scope::Global));
        receiver.report(Scope::Vcpu(2));
        assert!(!receiver.is_unreported(Scope::Vcpu(2)));
    }

    #[test]
    fn the_receiver_is_interrupted_once_until_it_asks() {
        let mut receiver = receiver();
        receiver.bind(SP, false, 0b001).unwrap();
        receiver.bind(VM, false, 0b001).unwrap();
        receiver.bind(SP, true, 0b100).unwrap();
        assert!(receiver.set(SP, Scope::Global, 0b001).unwrap().interrupt);
        assert!(!receiver.set(VM, Scope::Global, 0b001).unwrap().interrupt);
        assert!(!receiver.set_from_spm(1).interrupt);
        assert!(receiver.set(SP, Scope::Vcpu(1), 0b100).unwrap().interrupt);
        assert!(receiver.set(SP, Scope::Vcpu(2), 0b100).unwrap().interrupt);
        assert!(!receiver.set(SP, Scope::Vcpu(2), 0b100).unwrap().interrupt);
        receiver.get(2, ALL).unwrap();
        assert!(receiver.set(SP, Scope::Vcpu(2), 0b100).unwrap().interrupt);
        assert!(!receiver.set(SP, Scope::Vcpu(1), 0b100).unwrap().interrupt);
        assert!(receiver.set_from_spm(1).interrupt);
    }

    #[test]
    fn a_message_that_was_released_is_no_news() {
        let mut receiver = receiver();
        assert!(receiver.set_from_spm(1).schedule);
        assert!(receiver.has_from_spm(1));
        receiver.clear_from_spm(1);
        assert!(!receiver.has_from_spm(1));
        assert!(!receiver.has_pending());
        assert!(!receiver.is_unreported(Scope::Global));
        receiver.set_from_spm(1);
        receiver.report(Scope::Global);
        receiver.clear_from_spm(1);
        assert!(receiver.set_from_spm(1).schedule);
    }
}
