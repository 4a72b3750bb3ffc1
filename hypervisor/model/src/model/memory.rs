//! Owners, borrowers and transactions, page by page.

use std::sync::Arc;

use tantalum_ffa::memory::{
    Composite, Constituent, DataAccess, Handle, InstructionAccess, Layout, List, MemoryAttributes,
    MemoryType, Permissions, Receiver, Relinquish, RelinquishFlags, Transaction, TransactionFlags,
    TransactionKind,
};
use tantalum_ffa::{Call, MemoryTransaction, Status, Version, Width};
use tantalum_sim::AccessKind;
use tantalum_types::{AddressSpace, EndpointId, PAGE_SIZE};

use super::{Expect, Model, Written, endpoint, nowhere};
use crate::config::{NORMAL, PAGES_EACH, SPS, address, first_owner, id_of, ipa, sp_of};

/// Counts the transactions that a partition may have open.
const SHARES_OF_PARTITION: usize = 4;

/// Says how a partition sees a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub write: bool,
    pub execute: bool,
}

impl Seen {
    pub(crate) fn allows(self, kind: AccessKind) -> bool {
        match kind {
            AccessKind::Read => true,
            AccessKind::Write => self.write,
            AccessKind::Fetch => self.execute,
        }
    }
}

/// Is a page.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    pub owner: usize,
    pub seen: [Option<Seen>; SPS],
    /// Shared until it is changed: a model is copied for each step that is tried.
    pub bytes: Arc<[u8; PAGE_SIZE as usize]>,
}

impl Page {
    pub(crate) fn new(page: usize) -> Self {
        let owner = first_owner(page);
        let own = Seen { write: true, execute: true };
        let seen = std::array::from_fn(|sp| (sp == owner).then_some(own));
        Self { owner, seen, bytes: Arc::new([page as u8 + 1; PAGE_SIZE as usize]) }
    }

    pub(super) fn write(&mut self) -> &mut [u8; PAGE_SIZE as usize] {
        Arc::make_mut(&mut self.bytes)
    }

    fn zero(&mut self) {
        self.write().fill(0);
    }

    pub(crate) fn seen_by(&self, sp: usize) -> Option<Seen> {
        self.seen[sp]
    }
}

/// Is somebody to whom memory is offered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offered {
    pub id: EndpointId,
    pub data: DataAccess,
    /// Whether he has it, whether he may write it, and whether it is to be zero afterwards.
    pub has: Option<(bool, bool)>,
}

/// Is what is still to come of a descriptor, how many bytes of it came, and how many there are.
type Arriving = (Vec<(usize, usize)>, u32, u32);

/// Is a transaction.
#[derive(Clone, Debug)]
pub(crate) struct Share {
    pub handle: u64,
    pub kind: TransactionKind,
    pub owner: usize,
    pub tag: u64,
    pub zeroed: bool,
    pub attributes: MemoryAttributes,
    pub offered: Vec<Offered>,
    /// First pages and numbers of pages.
    pub ranges: Vec<(usize, usize)>,
    pub total: (u32, u32),
    /// How the owner saw it.
    pub owners: Seen,
    /// What is still to come, how many bytes came, and how many there are.
    pub arriving: Option<Arriving>,
    pub zero_when_free: bool,
    pub owner_gone: bool,
}

impl Share {
    fn pages(&self) -> impl Iterator<Item = usize> {
        self.ranges.iter().flat_map(|(first, count)| *first..*first + *count)
    }

    fn is_had(&self) -> bool {
        self.offered.iter().any(|offered| offered.has.is_some())
    }

    fn space(&self) -> AddressSpace {
        ipa(self.ranges[0].0).space()
    }
}

/// Returns the ranges as a descriptor has them.
fn constituents(ranges: &[(usize, usize)]) -> Vec<Constituent> {
    let range =
        |(first, count): &(usize, usize)| Constituent { address: address(*first), page_count: *count as u32 };
    ranges.iter().map(range).collect()
}

fn encode_ranges(ranges: &[Constituent]) -> Vec<u8> {
    ranges.iter().flat_map(Constituent::encode).collect()
}

fn lengths(total_length: u32, fragment_length: u32, wide: bool) -> MemoryTransaction {
    let width = if wide { Width::Bits64 } else { Width::Bits32 };
    MemoryTransaction { width, total_length, fragment_length, address: 0, page_count: 0 }
}

impl Model {
    /// Tells whether a page is part of a transaction or a buffer.
    fn is_claimed(&self, page: usize) -> bool {
        self.shares.iter().any(|share| share.pages().any(|other| other == page)) || self.is_buffer(page)
    }

    /// Returns what kind of memory the pages are to their owner, or `None` if `party` cannot offer them.
    fn can_offer(&self, party: usize, ranges: &[(usize, usize)], before: &[(usize, usize)]) -> Option<Seen> {
        let pages = |ranges: &[(usize, usize)]| -> Vec<usize> {
            ranges.iter().flat_map(|(first, count)| *first..*first + *count).collect()
        };
        let mut seen_pages = pages(before);
        let mut how = None;
        for page in pages(ranges) {
            if self.pages[page].owner != party || seen_pages.contains(&page) || self.is_claimed(page) {
                return None;
            }
            seen_pages.push(page);
            let seen = match party {
                NORMAL => Seen { write: true, execute: false },
                sp => self.pages[page].seen[sp]?,
            };
            if *how.get_or_insert(seen) != seen {
                return None;
            }
        }
        let spaces: Vec<AddressSpace> = seen_pages.iter().map(|page| ipa(*page).space()).collect();
        how.filter(|_| spaces.iter().all(|space| *space == spaces[0]))
    }

    /// Draws ranges for an offer of `party`: mostly pages that are its own.
    fn draw_ranges(party: usize, b: u16, c: u16) -> Vec<(usize, usize)> {
        let whose = if b % 32 < 31 { party } else { usize::from(b / 32) % (SPS + 1) };
        let one = |number: usize| {
            let first = number % PAGES_EACH;
            let count = (1 + number / PAGES_EACH % 4 / 2).min(PAGES_EACH - first);
            (whose * PAGES_EACH + first, count)
        };
        let number = usize::from(c);
        let mut ranges = vec![one(number)];
        if number % 3 == 0 {
            // Behind the first, so that they do not overlap; else anywhere.
            let (first, count) = ranges[0];
            let behind = (first + count) % PAGES_EACH;
            ranges.push(if number % 4 == 0 { one(number / 3 + 2) } else { one(behind) });
        }
        if number % 27 == 0 {
            let other = usize::from(b / 8) % (SPS + 1) * PAGES_EACH + number / 9 % PAGES_EACH;
            ranges.push((other, 1));
        }
        ranges
    }

    /// `a`: kind and flags, `b`, `c`: which pages, `d`: to whom, `e`: what is wrong with it, `f`: permissions,
    /// fragments.
    pub(super) fn offer(
        &mut self,
        cpu: usize,
        party: usize,
        [a, b, c, d, e, f]: [u16; 6],
    ) -> Option<(Call, Option<Written>, Expect)> {
        let kind = TransactionKind::ALL[usize::from(a) % 3];
        let zeroed = a / 3 % 4 == 0;
        let ranges = Self::draw_ranges(party, b, c);
        let mut receivers: Vec<EndpointId> =
            (0..SPS).filter(|sp| d >> sp & 1 != 0 && *sp != party).map(id_of).collect();
        if receivers.is_empty() || kind == TransactionKind::Donate {
            let sp = usize::from(d) % SPS;
            receivers = vec![id_of(if sp == party { (sp + 1) % SPS } else { sp })];
        }
        let flaw = e % 100;
        match flaw {
            3 => receivers.push(receivers[0]),
            4 => receivers[0] = endpoint(13 + d % 3),
            11 => receivers.push(id_of(party)),
            _ => {}
        }
        let alone = receivers.len() == 1;
        let open = alone && kind != TransactionKind::Share;
        let data = match kind {
            TransactionKind::Donate => DataAccess::NotSpecified,
            _ if f % 3 == 0 => DataAccess::ReadOnly,
            _ => DataAccess::ReadWrite,
        };
        let given = match (flaw, data) {
            (9, DataAccess::NotSpecified) => DataAccess::ReadWrite,
            (9, _) => DataAccess::NotSpecified,
            _ => data,
        };
        let permissions = Permissions { data: given, ..Permissions::NOT_SPECIFIED };
        let list: Vec<Receiver> = receivers.iter().map(|id| Receiver::new(*id, permissions)).collect();
        let attributes =
            if open != (flaw == 10) { MemoryAttributes::NOT_SPECIFIED } else { MemoryAttributes::NORMAL };
        let mut described = constituents(&ranges);
        match flaw {
            12 => described[0].address += 0x800,
            13 => described[0].page_count = 0,
            14 => described[0].address = nowhere(c),
            15 => described[0].page_count = u32::MAX,
            _ => {}
        }
        let pages: u32 = ranges.iter().map(|(_, count)| *count as u32).sum();
        let total_pages = if flaw == 6 { pages + 1 } else { pages };
        let tag = u64::from(c) << 32 | u64::from(f);
        let transaction = Transaction {
            sender: if flaw == 0 { endpoint(d) } else { id_of(party) },
            attributes,
            flags: if zeroed { TransactionFlags::ZERO_MEMORY } else { TransactionFlags::empty() },
            handle: if flaw == 2 { Handle::new(1) } else { Handle::NONE },
            tag,
            receivers: List::from_slice(&list)?,
            composite: Some(Composite { total_pages, range_count: ranges.len() as u32 }),
        };
        let layout = Layout::of_version(self.version_of(party));
        let mut bytes = vec![0; 512];
        let head = transaction.encode(layout, &mut bytes).ok()?;
        bytes.truncate(head);
        let now = if f % 2 == 0 && ranges.len() > 1 { 1 } else { ranges.len() };
        bytes.extend(encode_ranges(&described[..now]));
        let total = (head + 16 * ranges.len()) as u32;
        let sent = bytes.len() as u32;
        let announced = if flaw == 1 { total + 16 } else { total };
        let fragment = if flaw == 8 { announced + 16 } else { sent };
        let call = {
            let lengths = lengths(announced, fragment, a % 2 == 0);
            match kind {
                TransactionKind::Share => Call::MemShare(lengths),
                TransactionKind::Lend => Call::MemLend(lengths),
                TransactionKind::Donate => Call::MemDonate(lengths),
            }
        };
        let mut faults = self.offer_faults(party, kind, &receivers, zeroed);
        let wrong_sender =
            transaction.sender != id_of(party) && (party != NORMAL || transaction.sender.is_secure());
        let speaks_for_a_vm = !wrong_sender && transaction.sender != id_of(party);
        if speaks_for_a_vm || flaw == 6 && now < ranges.len() {
            // A hypervisor may speak for its VMs, and what a later fragment lacks is not modelled.
            return None;
        }
        let mut add = |holds: bool, status: &[Status]| {
            if holds {
                faults.extend(status)
            }
        };
        add(wrong_sender, &[Status::Denied]);
        add(matches!(flaw, 1 | 2 | 3 | 8 | 9 | 11 | 13), &[Status::InvalidParameters]);
        add(flaw == 6 && now == ranges.len(), &[Status::InvalidParameters]);
        add(flaw == 10, &[if open { Status::InvalidParameters } else { Status::Denied }]);
        add(matches!(flaw, 12 | 14 | 15), &[Status::InvalidParameters, Status::Denied]);
        let owners = self.can_offer(party, &ranges[..now], &[]);
        match owners {
            Some(owners) => {
                let reads = data == DataAccess::ReadOnly && !zeroed;
                add(party != NORMAL && !owners.write && !reads, &[Status::Denied]);
            }
            None => add(true, &[Status::Denied]),
        }
        let written = self.written(party, bytes, head, e);
        if written.is_none() {
            faults.push(Status::Denied);
        }
        if !faults.is_empty() {
            return Some((call, written, Expect::Refused(faults)));
        }
        let offered = receivers.iter().map(|id| Offered { id: *id, data, has: None }).collect();
        let rest = ranges[now..].to_vec();
        self.shares.push(Share {
            handle: 0,
            kind,
            owner: party,
            tag,
            zeroed,
            attributes,
            offered,
            ranges: ranges[..now].to_vec(),
            total: (total_pages, ranges.len() as u32),
            owners: owners.unwrap(),
            arriving: (!rest.is_empty()).then_some((rest, sent, total)),
            zero_when_free: false,
            owner_gone: false,
        });
        self.memory_changed = true;
        if now < ranges.len() {
            return Some((call, written, Expect::More { offset: sent, endpoint: id_of(NORMAL) }));
        }
        self.complete(self.shares.len() - 1);
        let _ = cpu;
        Some((call, written, Expect::Handle))
    }

    fn offer_faults(
        &self,
        party: usize,
        kind: TransactionKind,
        receivers: &[EndpointId],
        zeroed: bool,
    ) -> Vec<Status> {
        let mut faults = Vec::new();
        if zeroed && kind == TransactionKind::Share {
            faults.push(Status::InvalidParameters);
        }
        if kind == TransactionKind::Donate && receivers.len() != 1 {
            faults.push(Status::InvalidParameters);
        }
        for id in receivers {
            match sp_of(*id) {
                Some(sp) if sp == party => faults.push(Status::InvalidParameters),
                Some(sp) if !self.is_live(sp) => faults.push(Status::Denied),
                Some(_) => {}
                None if id.is_secure() => faults.push(Status::InvalidParameters),
                None if *id == id_of(party) => faults.push(Status::InvalidParameters),
                // One endpoint of the normal world may have its place beside partitions, in what its own world sends.
                None if party == NORMAL
                    && receivers.len() > 1
                    && receivers.iter().filter(|id| !id.is_secure()).count() == 1 => {}
                None => faults.push(Status::Denied),
            }
        }
        let open = self.shares.iter().filter(|share| share.owner == party).count();
        if party != NORMAL && open >= SHARES_OF_PARTITION {
            faults.push(Status::NoMemory);
        }
        faults
    }

    /// Makes the offer, now that all of it is there.
    fn complete(&mut self, at: usize) {
        let share = self.shares[at].clone();
        self.shares[at].arriving = None;
        for page in share.pages() {
            if share.kind != TransactionKind::Share && share.owner != NORMAL {
                self.pages[page].seen[share.owner] = None;
            }
            if share.zeroed {
                self.pages[page].zero();
            }
        }
    }

    /// `a`: which share, `b`: what is wrong.
    pub(super) fn fragment(
        &mut self,
        cpu: usize,
        party: usize,
        a: u16,
        b: u16,
    ) -> Option<(Call, Option<Written>, Expect)> {
        let arriving: Vec<usize> =
            (0..self.shares.len()).filter(|at| self.shares[*at].arriving.is_some()).collect();
        let at = if arriving.is_empty() {
            if !a.is_multiple_of(4) || self.shares.is_empty() {
                return None;
            }
            usize::from(a / 4) % self.shares.len()
        } else {
            arriving[usize::from(a) % arriving.len()]
        };
        let share = self.shares[at].clone();
        let endpoint_named = if b % 16 == 1 { EndpointId::new(3) } else { id_of(NORMAL) };
        let (rest, received, total) = share.arriving.clone().unwrap_or((vec![(0, 1)], 0, 0));
        let now = if b % 16 == 2 {
            0
        } else if b.is_multiple_of(3) {
            1
        } else {
            rest.len()
        };
        let mut bytes = encode_ranges(&constituents(&rest[..now]));
        let call = |length| Call::MemFragTx { handle: share.handle, length, endpoint: endpoint_named };
        let is_own = share.owner == party && share.arriving.is_some() && b % 16 != 1;
        if !is_own {
            let length = bytes.len() as u32;
            let written = self.written(party, bytes, 0, 1);
            return Some((call(length), written, Expect::Refused(vec![Status::InvalidParameters])));
        }
        if b % 16 == 3 {
            // More than was announced.
            bytes.extend(encode_ranges(&constituents(&[(party * PAGES_EACH, 1); 4])));
        }
        let length = bytes.len() as u32;
        let written = self.written(party, bytes, 0, 1)?;
        let mut faults = Vec::new();
        if now == 0 || received + length > total {
            faults.push(Status::InvalidParameters);
        }
        if b % 16 == 3 {
            faults.push(Status::Denied);
        }
        match self.can_offer(party, &rest[..now], &share.ranges) {
            Some(owners) if owners == share.owners => {}
            _ if now == 0 => {}
            _ => faults.push(Status::Denied),
        }
        self.memory_changed = true;
        if !faults.is_empty() {
            // Whatever is wrong with a fragment ends the transaction.
            self.shares.remove(at);
            return Some((call(length), Some(written), Expect::Refused(faults)));
        }
        let left = rest[now..].to_vec();
        self.shares[at].ranges.extend(&rest[..now]);
        if left.is_empty() {
            self.complete(at);
            let [low, high] = Handle::new(share.handle).to_words();
            let expect = self.answer(cpu, tantalum_ffa::answer::success32([low, high, 0, 0, 0, 0]));
            return Some((call(length), Some(written), expect));
        }
        let offset = received + length;
        self.shares[at].arriving = Some((left, offset, total));
        let next = Call::MemFragRx { handle: share.handle, offset, endpoint: id_of(NORMAL) };
        let expect = self.answer(cpu, next.encode());
        Some((call(length), Some(written), expect))
    }

    /// Returns the share that number `which` stands for: mostly one for which `fits` holds.
    fn pick(&self, which: u16, fits: impl Fn(&Share) -> bool) -> Option<usize> {
        let fitting: Vec<usize> = (0..self.shares.len()).filter(|at| fits(&self.shares[*at])).collect();
        if !which.is_multiple_of(8) && !fitting.is_empty() {
            return Some(fitting[usize::from(which / 8) % fitting.len()]);
        }
        (!self.shares.is_empty()).then(|| usize::from(which / 8) % self.shares.len())
    }

    /// Returns a handle that means nothing: one that was, or one that never was.
    fn stale(&self, which: u16) -> u64 {
        let live = |handle: &u64| self.shares.iter().any(|share| share.handle == *handle);
        let old: Vec<u64> = self.handles.iter().copied().filter(|handle| !live(handle)).collect();
        match old.get(usize::from(which) % (old.len() + 1)) {
            Some(handle) => *handle,
            None => 0x1234_5600 | u64::from(which & 7),
        }
    }

    /// `a`: which share, `b`: what is wrong, `c`: what is asked for, `d`: flags.
    pub(super) fn retrieve(
        &mut self,
        cpu: usize,
        party: usize,
        [a, b, c, d, e, _]: [u16; 6],
    ) -> (Call, Option<Written>, Expect) {
        let id = id_of(party);
        let at = self.pick(a, |share| match party {
            NORMAL => share.owner == NORMAL,
            _ => share.offered.iter().any(|offered| offered.id == id && offered.has.is_none()),
        });
        let share = at.filter(|_| b % 32 != 1).map(|at| self.shares[at].clone());
        let mut faults = match &self.mail[party] {
            None => vec![Status::NoMemory],
            Some(mailbox) if mailbox.full => vec![Status::Busy],
            Some(_) => vec![],
        };
        let as_hypervisor = party == NORMAL || b % 32 == 2;
        let wish = Permissions {
            data: [DataAccess::NotSpecified, DataAccess::ReadOnly, DataAccess::ReadWrite][usize::from(c) % 3],
            instruction: match (&share, c / 3 % 16) {
                (_, 0) => InstructionAccess::Executable,
                (Some(share), 1..) if share.kind != TransactionKind::Share && share.offered.len() == 1 => {
                    if c % 2 == 0 { InstructionAccess::NotExecutable } else { InstructionAccess::Executable }
                }
                (_, 1) => InstructionAccess::NotExecutable,
                _ => InstructionAccess::NotSpecified,
            },
        };
        let mut flags = TransactionFlags::empty();
        if let Some(share) = &share
            && d % 3 != 0
        {
            flags = share.kind.flags();
        }
        if d / 3 % 8 == 0 {
            flags |= TransactionFlags::ZERO_AFTER_RELINQUISH;
        }
        if d / 3 % 8 == 1 {
            flags |= TransactionFlags::ZERO_MEMORY;
        }
        let mut receivers = Vec::new();
        if let Some(share) = &share
            && !as_hypervisor
        {
            receivers = share.offered.iter().map(|offered| Receiver::new(offered.id, wish)).collect();
        }
        let mut request = Transaction {
            sender: share.as_ref().map_or(id, |share| id_of(share.owner)),
            attributes: if e % 2 == 0 { MemoryAttributes::NORMAL } else { MemoryAttributes::NOT_SPECIFIED },
            flags: if as_hypervisor { TransactionFlags::empty() } else { flags },
            handle: Handle::new(share.as_ref().map_or_else(|| self.stale(c), |share| share.handle)),
            tag: share.as_ref().filter(|_| !as_hypervisor).map_or(0, |share| share.tag),
            receivers: List::EMPTY,
            composite: None,
        };
        let known = share.as_ref().filter(|share| share.arriving.is_none());
        if known.is_none() {
            faults.push(Status::InvalidParameters);
        }
        match b % 32 {
            3 => {
                request.sender = EndpointId::new(0x8000 + SPS as u16 + 2);
                faults.push(Status::Denied);
            }
            4 if !as_hypervisor => {
                request.tag ^= 1;
                faults.push(Status::InvalidParameters);
            }
            5 if !as_hypervisor && !receivers.is_empty() => {
                receivers[0].endpoint = EndpointId::new(0x8000 + SPS as u16 + 2);
                faults.extend([Status::Denied, Status::InvalidParameters]);
            }
            6 if receivers.len() > 1 => {
                receivers.pop();
                faults.push(Status::InvalidParameters);
            }
            7 => {
                request.attributes.non_secure = true;
                faults.push(Status::InvalidParameters);
            }
            _ => {}
        }
        let layout = Layout::of_version(self.version_of(party));
        request.receivers = List::from_slice(&receivers).unwrap();
        let mut bytes = vec![0; 512];
        let length = match request.encode(layout, &mut bytes) {
            Ok(length) => length,
            Err(_) => {
                // The layout of 1.0 has no place for it.
                request.attributes.non_secure = false;
                faults.retain(|status| *status != Status::InvalidParameters);
                if known.is_none() {
                    faults.push(Status::InvalidParameters);
                }
                request.encode(layout, &mut bytes).unwrap()
            }
        };
        bytes.truncate(length);
        let call = Call::MemRetrieveRequest(lengths(length as u32, length as u32, d % 2 == 0));
        let written = self.written(party, bytes, length, e);
        let Some(share) = known else { return (call, written, Expect::Refused(faults)) };
        let share = share.clone();
        if as_hypervisor {
            if party != NORMAL || share.owner != NORMAL {
                faults.push(Status::InvalidParameters);
            }
            if b % 32 == 7 {
                // What a hypervisor says of attributes does not matter.
                faults.retain(|status| *status != Status::InvalidParameters);
                if party != NORMAL || share.owner != NORMAL {
                    faults.push(Status::InvalidParameters);
                }
            }
            if !faults.is_empty() {
                return (call, written, Expect::Refused(faults));
            }
            let offers: Vec<Receiver> = share
                .offered
                .iter()
                .map(|offered| {
                    let permissions = Permissions { data: offered.data, ..Permissions::NOT_SPECIFIED };
                    Receiver::new(offered.id, permissions)
                })
                .collect();
            let expect = self.deliver_answer(cpu, party, &share, share.attributes, &offers);
            return (call, written, expect);
        }
        let (granted, more) = self.retrieve_faults(party, &share, wish, flags);
        faults.extend(more);
        if !faults.is_empty() {
            return (call, written, Expect::Refused(faults));
        }
        let at = at.unwrap();
        let zero = flags.contains(TransactionFlags::ZERO_AFTER_RELINQUISH);
        let write = granted.data == DataAccess::ReadWrite;
        let execute = granted.instruction == InstructionAccess::Executable;
        self.memory_changed = true;
        for page in share.pages() {
            self.pages[page].seen[party] = Some(Seen { write, execute });
            if share.kind == TransactionKind::Donate {
                self.pages[page].owner = party;
            }
        }
        let own = self.shares[at].offered.iter_mut().find(|offered| offered.id == id).unwrap();
        own.has = Some((write, zero));
        if share.kind == TransactionKind::Donate {
            self.shares.remove(at);
        }
        let attributes = MemoryAttributes {
            non_secure: share.space() == AddressSpace::NonSecure && self.version_of(party) >= Version::V1_1,
            memory_type: MemoryType::NORMAL,
        };
        let expect = self.deliver_answer(cpu, party, &share, attributes, &[Receiver::new(id, granted)]);
        (call, written, expect)
    }

    /// Returns what a borrower gets, and why it does not.
    fn retrieve_faults(
        &self,
        party: usize,
        share: &Share,
        wish: Permissions,
        flags: TransactionFlags,
    ) -> (Permissions, Vec<Status>) {
        let mut faults = Vec::new();
        let alone = share.kind != TransactionKind::Share && share.offered.len() == 1;
        let secret = share.space() == AddressSpace::Secure && share.owners.execute;
        if (wish.instruction == InstructionAccess::NotSpecified) == alone {
            faults.push(Status::InvalidParameters);
        } else if wish.instruction == InstructionAccess::Executable && !secret {
            faults.push(Status::Denied);
        }
        if share.owner_gone {
            faults.push(Status::Denied);
        }
        for offered in &share.offered {
            if offered.data == DataAccess::ReadOnly && wish.data == DataAccess::ReadWrite {
                faults.push(Status::Denied);
            }
        }
        let own = share.offered.iter().find(|offered| offered.id == id_of(party));
        match own {
            None => faults.push(Status::InvalidParameters),
            Some(own) if own.has.is_some() => faults.push(Status::Denied),
            Some(_) => {}
        }
        let reads =
            wish.data == DataAccess::ReadOnly || own.is_some_and(|own| own.data == DataAccess::ReadOnly);
        if flags.intersects(TransactionFlags::ZERO_AFTER_RELINQUISH.union(TransactionFlags::ZERO_MEMORY)) {
            if share.kind == TransactionKind::Share {
                faults.push(Status::InvalidParameters);
            }
            if reads || flags.contains(TransactionFlags::ZERO_MEMORY) && !share.zeroed {
                faults.push(Status::Denied);
            }
        }
        let granted = Permissions {
            data: if reads { DataAccess::ReadOnly } else { DataAccess::ReadWrite },
            instruction: match wish.instruction {
                InstructionAccess::Executable => InstructionAccess::Executable,
                _ => InstructionAccess::NotExecutable,
            },
        };
        (granted, faults)
    }

    /// Puts the answer to a retrieve request into the RX buffer of `party`.
    fn deliver_answer(
        &mut self,
        cpu: usize,
        party: usize,
        share: &Share,
        attributes: MemoryAttributes,
        receivers: &[Receiver],
    ) -> Expect {
        let zeroed = if share.zeroed { TransactionFlags::ZERO_MEMORY } else { TransactionFlags::empty() };
        let answer = Transaction {
            sender: id_of(share.owner),
            attributes,
            flags: zeroed | share.kind.flags(),
            handle: Handle::new(share.handle),
            tag: share.tag,
            receivers: List::from_slice(receivers).unwrap(),
            composite: Some(Composite { total_pages: share.total.0, range_count: share.total.1 }),
        };
        let mut bytes = vec![0; 512];
        let length = answer.encode(Layout::of_version(self.version_of(party)), &mut bytes).unwrap();
        bytes.truncate(length);
        bytes.extend(encode_ranges(&constituents(&share.ranges)));
        let length = bytes.len() as u32;
        self.deliver(party, &bytes);
        let response = Call::MemRetrieveResponse { total_length: length, fragment_length: length };
        self.answer(cpu, response.encode())
    }

    /// `a`: which share, `b`: whether it is to be zero, `c`: what is wrong.
    pub(super) fn relinquish(
        &mut self,
        cpu: usize,
        party: usize,
        a: u16,
        b: u16,
        c: u16,
    ) -> (Call, Option<Written>, Expect) {
        let id = id_of(party);
        let has = |share: &Share| {
            share.offered.iter().find(|offered| offered.id == id).and_then(|offered| offered.has)
        };
        let at = self.pick(a, |share| has(share).is_some()).filter(|_| c % 32 != 1);
        let handle = at.map_or_else(|| self.stale(c), |at| self.shares[at].handle);
        let zero = b.is_multiple_of(3);
        let flags = if zero { RelinquishFlags::ZERO_MEMORY } else { RelinquishFlags::empty() };
        let named = if c % 32 == 2 { endpoint(c / 32) } else { id };
        let mut bytes = [0; 18];
        let request = Relinquish { handle: Handle::new(handle), flags, endpoints: List::of_one(named) };
        request.encode(&mut bytes).unwrap();
        let written = self.written(party, bytes.to_vec(), 18, c);
        let mut faults = Vec::new();
        if written.is_none() {
            faults.push(Status::Denied);
        }
        let wrong = if party == NORMAL { named.is_secure() } else { named != id };
        match at.map(|at| (&self.shares[at], has(&self.shares[at]))) {
            Some((share, Some((write, _)))) if !wrong => {
                if zero && share.kind == TransactionKind::Share {
                    faults.push(Status::InvalidParameters);
                }
                if zero && !write {
                    faults.push(Status::Denied);
                }
            }
            _ => faults.push(Status::InvalidParameters),
        }
        let call = Call::MemRelinquish;
        if !faults.is_empty() {
            return (call, written, Expect::Refused(faults));
        }
        self.give_back(at.unwrap(), party, zero);
        (call, written, self.success(cpu))
    }

    /// Takes memory from a borrower. Returns whether that was the end of the transaction.
    fn give_back(&mut self, at: usize, sp: usize, zero: bool) -> bool {
        self.memory_changed = true;
        let id = id_of(sp);
        let share = &mut self.shares[at];
        let own = share.offered.iter_mut().find(|offered| offered.id == id).unwrap();
        let (_, zero_afterwards) = own.has.take().unwrap();
        share.zero_when_free |= zero || zero_afterwards;
        let share = self.shares[at].clone();
        for page in share.pages() {
            self.pages[page].seen[sp] = None;
        }
        if share.is_had() {
            return false;
        }
        if share.zero_when_free || share.owner_gone {
            self.shares[at].zero_when_free = false;
            for page in share.pages() {
                self.pages[page].zero();
            }
        }
        if share.owner_gone {
            self.end_share(at);
        }
        share.owner_gone
    }

    /// Ends a transaction that nobody has: its owner sees the memory as before.
    fn end_share(&mut self, at: usize) {
        self.memory_changed = true;
        let share = self.shares.remove(at);
        if share.owner != NORMAL && share.arriving.is_none() {
            for page in share.pages() {
                self.pages[page].seen[share.owner] = Some(share.owners);
            }
        }
    }

    /// `a`: which share, `b`: flags.
    pub(super) fn reclaim(&mut self, cpu: usize, party: usize, a: u16, b: u16) -> (Call, Expect) {
        let at = self.pick(a, |share| share.owner == party && !share.is_had()).filter(|_| b % 16 != 1);
        let handle = at.map_or_else(|| self.stale(b), |at| self.shares[at].handle);
        let zero = b.is_multiple_of(4);
        let flags = u32::from(zero) | if b % 64 == 2 { 2 } else { 0 };
        let call = Call::MemReclaim { handle, flags };
        let mut faults = Vec::new();
        if flags & 2 != 0 {
            faults.push(Status::InvalidParameters);
        }
        match at.map(|at| &self.shares[at]) {
            Some(share) if share.owner == party => {
                if share.is_had() {
                    faults.push(Status::Denied);
                }
                if zero && share.arriving.is_none() && party != NORMAL && !share.owners.write {
                    faults.push(Status::Denied);
                }
            }
            _ => faults.push(Status::InvalidParameters),
        }
        let expect = self.unless(faults, cpu, |model| {
            let at = at.unwrap();
            if zero && model.shares[at].arriving.is_none() {
                for page in model.shares[at].clone().pages() {
                    model.pages[page].zero();
                }
            }
            model.end_share(at);
        });
        (call, expect)
    }

    /// Gives back what a partition that was stopped had of others, and takes back what it has given them.
    pub(super) fn stop_memory(&mut self, sp: usize) {
        let id = id_of(sp);
        let mut at = 0;
        while at < self.shares.len() {
            let share = &self.shares[at];
            let has = share.offered.iter().any(|offered| offered.id == id && offered.has.is_some());
            let ended = if has {
                self.give_back(at, sp, false)
            } else if share.owner != sp {
                false
            } else if share.is_had() {
                for page in self.shares[at].clone().pages() {
                    self.pages[page].seen[sp] = None;
                }
                self.shares[at].owner_gone = true;
                false
            } else {
                self.end_share(at);
                true
            };
            if !ended {
                at += 1;
            }
        }
        self.memory_changed = true;
    }
}
