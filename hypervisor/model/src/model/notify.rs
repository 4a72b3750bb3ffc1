//! Notifications, one by one.

use tantalum_ffa::notification::PendingNotifications;
use tantalum_ffa::{Call, Status, Version, Width, answer};
use tantalum_types::EndpointId;

use super::chain::{Context, Place};
use super::{Expect, Model, endpoint};
use crate::config::{CPUS, NORMAL, id_of, sp_of};

/// Lists the notifications that the runs use: at the ends of both words.
const BITS: [u32; 6] = [0, 1, 31, 32, 62, 63];

/// Counts the endpoints of the normal world that may have bitmaps.
const MAX_NORMAL: usize = 16;

/// Says whom a notification is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    Global,
    Vcpu(usize),
}

/// Says what follows when something has been signalled.
#[derive(Clone, Copy, Debug)]
pub(crate) struct News {
    schedule: bool,
    interrupt: bool,
}

/// Is something that waits to be read.
#[derive(Clone, Copy, Debug, Default)]
struct Waiting {
    pending: bool,
    reported: bool,
}

impl Waiting {
    fn is_new(self) -> bool {
        self.pending && !self.reported
    }
}

/// Is one notification of one direction.
#[derive(Clone, Copy, Debug, Default)]
struct Notification {
    /// Who may signal it, and whether for single execution contexts.
    bound: Option<(u16, bool)>,
    global: Waiting,
    vcpus: [Waiting; 8],
}

impl Notification {
    fn is_pending(&self) -> bool {
        self.global.pending || self.vcpus.iter().any(|vcpu| vcpu.pending)
    }

    fn at(&mut self, scope: Scope) -> &mut Waiting {
        match scope {
            Scope::Global => &mut self.global,
            Scope::Vcpu(vcpu) => &mut self.vcpus[vcpu],
        }
    }
}

/// Is an endpoint that receives notifications.
#[derive(Clone, Debug)]
pub(crate) struct Receiver {
    vcpus: usize,
    /// From partitions, and from VMs.
    from: [[Notification; BITS.len()]; 2],
    rx_full: Waiting,
    interrupted: bool,
    interrupted_vcpus: [bool; 8],
}

impl Receiver {
    pub(crate) fn new(vcpus: usize) -> Self {
        Self {
            vcpus,
            from: Default::default(),
            rx_full: Waiting::default(),
            interrupted: false,
            interrupted_vcpus: [false; 8],
        }
    }

    fn is_new(&mut self, scope: Scope) -> bool {
        let rx = scope == Scope::Global && self.rx_full.is_new();
        rx || self.from.iter_mut().flatten().any(|notification| notification.at(scope).is_new())
    }

    fn news(&mut self, scope: Scope) -> News {
        let schedule = self.is_new(scope);
        let told = match scope {
            Scope::Global => &mut self.interrupted,
            Scope::Vcpu(vcpu) => &mut self.interrupted_vcpus[vcpu],
        };
        News { schedule, interrupt: !std::mem::replace(told, true) }
    }

    /// Reports what is new in `scope`, and returns whether anything is.
    fn report(&mut self, scope: Scope) -> bool {
        let new = self.is_new(scope);
        for notification in self.from.iter_mut().flatten() {
            let waiting = notification.at(scope);
            waiting.reported = waiting.pending;
        }
        if scope == Scope::Global {
            self.rx_full.reported = self.rx_full.pending;
        }
        new
    }

    fn take(&mut self, from: usize, vcpu: usize) -> u64 {
        let mut bits = 0;
        for (notification, bit) in self.from[from].iter_mut().zip(BITS) {
            for scope in [Scope::Global, Scope::Vcpu(vcpu)] {
                if std::mem::take(notification.at(scope)).pending {
                    bits |= 1 << bit;
                }
            }
        }
        bits
    }
}

/// Returns the bitmap that number `which` stands for.
fn bitmap(which: u16) -> u64 {
    if which % 8 < 6 {
        return 1 << BITS[usize::from(which / 8) % BITS.len()];
    }
    let some = BITS.iter().enumerate().filter(|(index, _)| which >> index & 1 != 0);
    some.fold(0, |bits, (_, bit)| bits | 1 << bit)
}

fn selected(bitmap: u64) -> impl Iterator<Item = usize> {
    (0..BITS.len()).filter(move |index| bitmap >> BITS[*index] & 1 != 0)
}

/// Returns an endpoint of the normal world that number `which` stands for.
fn normal(which: u16) -> EndpointId {
    if which % 16 == 15 { EndpointId::new(0x8002) } else { EndpointId::new(which % 3) }
}

impl Model {
    fn receiver(&mut self, id: EndpointId) -> Option<&mut Receiver> {
        match sp_of(id) {
            Some(sp) => self.partitions[sp].as_mut(),
            None => self.normal.iter_mut().find(|(known, _)| *known == id.raw()).map(|(_, it)| it),
        }
    }

    /// Refuses what a caller of 1.0 does not know.
    fn is_too_old(&self, party: usize) -> bool {
        self.version_of(party) < Version::V1_1
    }

    /// `a`: for whom, `b`: how many execution contexts.
    pub(super) fn create(&mut self, cpu: usize, party: usize, a: u16, b: u16) -> (Call, Expect) {
        let endpoint = normal(a);
        let vcpu_count =
            if b.is_multiple_of(16) { [0, 9, 99][usize::from(a) % 3] } else { 1 + u32::from(b) % 3 };
        let call = Call::NotificationBitmapCreate { endpoint, vcpu_count };
        if party != NORMAL || self.is_too_old(party) {
            return (call, Expect::Refused(vec![Status::NotSupported]));
        }
        let mut faults = Vec::new();
        if endpoint.is_secure() || vcpu_count == 0 || vcpu_count > 8 {
            faults.push(Status::InvalidParameters);
        }
        if self.receiver(endpoint).is_some() && !endpoint.is_secure() {
            faults.push(Status::Denied);
        }
        if self.normal.len() >= MAX_NORMAL {
            faults.push(Status::NoMemory);
        }
        let expect = self.unless(faults, cpu, |model| {
            model.normal.push((endpoint.raw(), Receiver::new(vcpu_count as usize)));
        });
        (call, expect)
    }

    /// `a`: of whom.
    pub(super) fn destroy(&mut self, cpu: usize, party: usize, a: u16) -> (Call, Expect) {
        let endpoint = normal(a);
        let call = Call::NotificationBitmapDestroy { endpoint };
        if party != NORMAL || self.is_too_old(party) {
            return (call, Expect::Refused(vec![Status::NotSupported]));
        }
        let faults = match self.normal.iter().find(|(known, _)| *known == endpoint.raw()) {
            _ if endpoint.is_secure() => vec![Status::InvalidParameters],
            None => vec![Status::Denied],
            Some((_, it)) => {
                let pending = it.rx_full.pending || it.from.iter().flatten().any(Notification::is_pending);
                if pending { vec![Status::Denied] } else { vec![] }
            }
        };
        let expect = self.unless(faults, cpu, |model| {
            model.normal.retain(|(known, _)| *known != endpoint.raw());
        });
        (call, expect)
    }

    /// Returns why `party` may not bind notifications of `receiver` to `sender`.
    fn binding_faults(
        &self,
        party: usize,
        sender: EndpointId,
        receiver: EndpointId,
        bitmap: u64,
    ) -> Vec<Status> {
        if self.is_too_old(party) || party != NORMAL && !self.traits[party].notified {
            return vec![Status::NotSupported];
        }
        let fits = match party {
            NORMAL => !receiver.is_secure() && sender.is_secure(),
            _ => receiver == id_of(party) && sender != receiver,
        };
        let exists = !sender.is_secure() || sp_of(sender).is_some();
        if fits && exists && bitmap != 0 { vec![] } else { vec![Status::InvalidParameters] }
    }

    fn direction(sender: EndpointId) -> usize {
        usize::from(!sender.is_secure())
    }

    /// `a`: whose, `b`: to whom, `c`: which, `d`: for whom.
    pub(super) fn bind(
        &mut self,
        cpu: usize,
        party: usize,
        a: u16,
        b: u16,
        c: u16,
        d: u16,
    ) -> (Call, Expect) {
        let receiver = self.own_receiver(party, a);
        let (sender, bitmap, per_vcpu) = (endpoint(b), bitmap(c), d.is_multiple_of(2));
        let call = Call::NotificationBind { sender, receiver, flags: u32::from(per_vcpu), bitmap };
        let mut faults = self.binding_faults(party, sender, receiver, bitmap);
        let from = Self::direction(sender);
        match self.receiver(receiver) {
            None => faults.push(Status::Denied),
            Some(it) => {
                let taken =
                    |index: usize| it.from[from][index].bound.is_some() || it.from[from][index].is_pending();
                if selected(bitmap).any(taken) {
                    faults.push(Status::Denied);
                }
            }
        }
        if faults.contains(&Status::NotSupported) {
            faults = vec![Status::NotSupported];
        }
        let expect = self.unless(faults, cpu, |model| {
            let it = model.receiver(receiver).unwrap();
            selected(bitmap).for_each(|index| it.from[from][index].bound = Some((sender.raw(), per_vcpu)));
        });
        (call, expect)
    }

    fn own_receiver(&self, party: usize, which: u16) -> EndpointId {
        if party == NORMAL {
            normal(which)
        } else if which.is_multiple_of(16) {
            endpoint(which / 16)
        } else {
            id_of(party)
        }
    }

    /// `a`: whose, `b`: from whom, `c`: which.
    pub(super) fn unbind(&mut self, cpu: usize, party: usize, a: u16, b: u16, c: u16) -> (Call, Expect) {
        let receiver = self.own_receiver(party, a);
        let (sender, bitmap) = (endpoint(b), bitmap(c));
        let call = Call::NotificationUnbind { sender, receiver, bitmap };
        let mut faults = self.binding_faults(party, sender, receiver, bitmap);
        let from = Self::direction(sender);
        match self.receiver(receiver) {
            None => faults.push(Status::Denied),
            Some(it) => {
                let fits = |index: usize| {
                    let notification = &it.from[from][index];
                    notification.bound.is_some_and(|(bound, _)| bound == sender.raw())
                        && !notification.is_pending()
                };
                if !selected(bitmap).all(fits) {
                    faults.push(Status::Denied);
                }
            }
        }
        if faults.contains(&Status::NotSupported) {
            faults = vec![Status::NotSupported];
        }
        let expect = self.unless(faults, cpu, |model| {
            let it = model.receiver(receiver).unwrap();
            selected(bitmap).for_each(|index| it.from[from][index].bound = None);
        });
        (call, expect)
    }

    /// `a`: to whom, `b`: which, `c`: for whom, `d`: flags.
    pub(super) fn set(&mut self, cpu: usize, party: usize, a: u16, b: u16, c: u16, d: u16) -> (Call, Expect) {
        let receiver = if a % 4 == 3 { normal(a / 4) } else { endpoint(a / 4) };
        let sender = match (party, d % 16) {
            (NORMAL, 0..8) => id_of(NORMAL),
            (NORMAL, _) => EndpointId::new(5),
            (_, 0) => endpoint(d / 16),
            _ => id_of(party),
        };
        let vcpu = if c.is_multiple_of(16) { usize::from(c / 16 % 4) } else { usize::from(c / 16) % CPUS };
        let (receiver, bitmap, per_vcpu) = match self.bound_to(sender, b) {
            Some(bound) if !c.is_multiple_of(4) => bound,
            _ => (receiver, bitmap(b), d.is_multiple_of(3)),
        };
        let delayed = (d / 16).is_multiple_of(2) && (party != NORMAL || d % 16 == 8);
        let scope = if per_vcpu { Scope::Vcpu(vcpu) } else { Scope::Global };
        let flags = u32::from(per_vcpu)
            | u32::from(delayed) << 1
            | if per_vcpu || c % 64 == 1 { (vcpu as u32) << 16 } else { 0 };
        let call = Call::NotificationSet { sender, receiver, flags, bitmap };
        if self.is_too_old(party) {
            return (call, Expect::Refused(vec![Status::NotSupported]));
        }
        let fits = match party {
            NORMAL => !sender.is_secure() && receiver.is_secure() && !delayed,
            _ => sender == id_of(party) && receiver != sender,
        };
        let mut faults = Vec::new();
        if !fits || bitmap == 0 || !per_vcpu && flags >> 16 != 0 {
            faults.push(Status::InvalidParameters);
        }
        if receiver.is_secure() {
            match sp_of(receiver) {
                None => faults.push(Status::InvalidParameters),
                Some(sp) if !self.is_live(sp) => faults.push(Status::Aborted),
                Some(_) => {}
            }
        }
        let from = Self::direction(sender);
        match self.receiver(receiver) {
            None => faults.push(Status::Denied),
            Some(it) => {
                if per_vcpu && vcpu >= it.vcpus {
                    faults.push(Status::InvalidParameters);
                }
                for index in selected(bitmap) {
                    match it.from[from][index].bound {
                        Some((bound, _)) if bound != sender.raw() => faults.push(Status::Denied),
                        Some((_, bound)) if bound != per_vcpu => faults.push(Status::InvalidParameters),
                        Some(_) => {}
                        None => faults.push(Status::Denied),
                    }
                }
            }
        }
        if !faults.is_empty() {
            return (call, Expect::Refused(faults));
        }
        let it = self.receiver(receiver).unwrap();
        for index in selected(bitmap) {
            it.from[from][index].at(scope).pending = true;
        }
        let news = it.news(scope);
        let to = sp_of(receiver).unwrap_or(NORMAL);
        self.announce(cpu, to, scope, news, delayed);
        (call, self.success(cpu))
    }

    /// Returns one of the notifications that `sender` may signal: whose, which, and whether for single execution
    /// contexts.
    fn bound_to(&self, sender: EndpointId, which: u16) -> Option<(EndpointId, u64, bool)> {
        let mut all = Vec::new();
        let partitions = self.partitions.iter().enumerate();
        let partitions = partitions.filter_map(|(sp, it)| Some((id_of(sp), it.as_ref()?)));
        let normal = self.normal.iter().map(|(id, it)| (EndpointId::new(*id), it));
        for (id, it) in partitions.chain(normal) {
            for (notification, bit) in it.from[Self::direction(sender)].iter().zip(BITS) {
                match notification.bound {
                    Some((bound, per_vcpu)) if bound == sender.raw() => all.push((id, 1 << bit, per_vcpu)),
                    _ => {}
                }
            }
        }
        (!all.is_empty()).then(|| all[usize::from(which) % all.len()])
    }

    /// Tells whoever has to know of something new for `party`.
    pub(super) fn announce(&mut self, cpu: usize, party: usize, scope: Scope, news: News, delayed: bool) {
        if news.interrupt && party != NORMAL {
            let context = match scope {
                Scope::Global => self.serves(party, cpu),
                Scope::Vcpu(index) => Context { sp: party, index },
            };
            self.pending[party][context.index] = true;
            let stopped = self.pieces.iter().any(|piece| {
                matches!(piece.place, Place::Preempted | Place::Yielded)
                    && piece.links.last().unwrap().context == context
            });
            // The scheduler has to let it go on before it can take the interrupt.
            self.tell_scheduler[cpu] |= stopped;
        }
        if news.schedule {
            if delayed {
                self.tell_scheduler[cpu] = true;
            } else {
                self.told += 1;
            }
        }
    }

    /// `a`: whose, `b`: of which execution context, `c`: from whom.
    pub(super) fn get(&mut self, cpu: usize, party: usize, a: u16, b: u16, c: u16) -> (Call, Expect) {
        let receiver = self.own_receiver(party, a);
        let vcpu = if b.is_multiple_of(16) { 9 } else { usize::from(b) % CPUS };
        let flags =
            if c.is_multiple_of(4) { u32::from(c / 4) % 16 } else { [7, 5][usize::from(party == NORMAL)] };
        let call = Call::NotificationGet { receiver, vcpu: vcpu as u16, flags };
        if self.is_too_old(party) || party != NORMAL && !self.traits[party].notified {
            return (call, Expect::Refused(vec![Status::NotSupported]));
        }
        let fits = match party {
            NORMAL => !receiver.is_secure() && flags & 0b1010 == 0,
            _ => receiver == id_of(party),
        };
        let Some(it) = self.receiver(receiver).filter(|it| fits && vcpu < it.vcpus) else {
            return (call, Expect::Refused(vec![Status::InvalidParameters]));
        };
        let mut pending = PendingNotifications::default();
        if flags & 1 != 0 {
            pending.from_partitions = it.take(0, vcpu);
        }
        if flags & 2 != 0 {
            pending.from_vms = it.take(1, vcpu);
        }
        if flags & 4 != 0 {
            pending.from_spm = std::mem::take(&mut it.rx_full).pending.into();
        }
        it.interrupted = false;
        it.interrupted_vcpus[vcpu] = false;
        (call, self.answer(cpu, answer::success32(pending.encode())))
    }

    /// `a`: the form.
    pub(super) fn list(&mut self, _cpu: usize, party: usize, a: u16) -> (Call, Expect) {
        let width = if a.is_multiple_of(2) { Width::Bits32 } else { Width::Bits64 };
        let call = Call::NotificationInfoGet { width };
        if party != NORMAL || self.is_too_old(party) {
            return (call, Expect::Refused(vec![Status::NotSupported]));
        }
        if self.unreported().is_empty() {
            return (call, Expect::Refused(vec![Status::NoData]));
        }
        (call, Expect::List)
    }

    /// Returns who has something that was not reported, and for whom.
    pub(crate) fn unreported(&mut self) -> Vec<(u16, Option<u16>)> {
        let mut all = Vec::new();
        let partitions = self
            .partitions
            .iter_mut()
            .enumerate()
            .filter_map(|(sp, it)| Some((id_of(sp).raw(), it.as_mut()?)));
        for (id, it) in partitions.chain(self.normal.iter_mut().map(|(id, it)| (*id, it))) {
            if it.is_new(Scope::Global) {
                all.push((id, None));
            }
            for vcpu in 0..it.vcpus {
                if it.is_new(Scope::Vcpu(vcpu)) {
                    all.push((id, Some(vcpu as u16)));
                }
            }
        }
        all
    }

    /// Notes that the normal world has been told of somebody.
    pub(crate) fn note_reported(&mut self, id: u16, vcpu: Option<u16>) {
        let scope = vcpu.map_or(Scope::Global, |vcpu| Scope::Vcpu(vcpu.into()));
        let it = self.receiver(EndpointId::new(id)).expect("a receiver is listed");
        assert!(it.report(scope), "{id:#x} is listed for nothing");
    }

    pub(super) fn has_rx_full(&mut self, party: usize) -> bool {
        self.receiver(id_of(party)).is_some_and(|it| it.rx_full.pending)
    }

    pub(super) fn clear_rx_full(&mut self, party: usize) {
        if let Some(it) = self.receiver(id_of(party)) {
            it.rx_full = Waiting::default();
        }
    }

    pub(super) fn signal_rx_full(&mut self, party: usize) -> Option<News> {
        let it = self.receiver(id_of(party))?;
        it.rx_full.pending = true;
        Some(it.news(Scope::Global))
    }
}
