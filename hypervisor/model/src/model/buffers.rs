//! RX/TX buffers, what is in them, and indirect messages.

use tantalum_ffa::{
    Call, MessageHeader, PartitionInfo, PartitionProperties, Status, Version, Width, answer, notification,
};
use tantalum_types::{EndpointId, PAGE_SIZE};

use super::notify::Scope;
use super::{Expect, Model, NIL, Written, endpoint, nowhere};
use crate::config::{NORMAL, PAGES, PAGES_EACH, SPS, address, first_owner, id_of, sp_of};

/// Is a pair of buffers of a page each.
#[derive(Clone, Debug)]
pub(crate) struct Mailbox {
    pub tx: usize,
    pub rx: usize,
    /// Whether the endpoint has a message that it has not given back.
    pub full: bool,
    /// How many bytes the last message has filled.
    pub filled: usize,
}

impl Model {
    pub(super) fn is_buffer(&self, page: usize) -> bool {
        self.mail.iter().flatten().any(|mailbox| mailbox.tx == page || mailbox.rx == page)
    }

    /// Lets `party` write bytes into its TX buffer before it calls, of which the first `head` are read once. `None` if
    /// it has no buffer.
    pub(super) fn written(
        &mut self,
        party: usize,
        bytes: Vec<u8>,
        head: usize,
        seed: u16,
    ) -> Option<Written> {
        let page = self.mail[party].as_ref()?.tx;
        self.pages[page].write()[..bytes.len()].copy_from_slice(&bytes);
        Some(Written { page, bytes, tampered: if seed.is_multiple_of(2) { head } else { 0 } })
    }

    /// Puts a message into the RX buffer of `party`, and clears what an earlier one has left behind it.
    pub(super) fn deliver(&mut self, party: usize, message: &[u8]) {
        let mailbox = self.mail[party].as_mut().unwrap();
        let bytes = self.pages[mailbox.rx].write();
        bytes[..message.len()].copy_from_slice(message);
        if mailbox.filled > message.len() {
            bytes[message.len()..mailbox.filled].fill(0);
        }
        mailbox.filled = message.len();
        mailbox.full = true;
        self.memory_changed = true;
    }

    /// `a`: the TX buffer, `b`: the RX buffer, `c`: what is wrong.
    pub(super) fn map(&mut self, cpu: usize, party: usize, a: u16, b: u16, c: u16) -> (Call, Expect) {
        let page = |number: u16, usual: usize| {
            if number % 8 < 5 {
                party * PAGES_EACH + usual
            } else if number % 8 == 5 {
                usize::from(number / 8) % PAGES
            } else {
                party * PAGES_EACH + usize::from(number / 8) % PAGES_EACH
            }
        };
        let (tx, rx) = (page(a, PAGES_EACH - 2), page(b, PAGES_EACH - 1));
        let flaw = c % 32;
        let page_count = if flaw == 0 { [0, 17, 63][usize::from(c / 32) % 3] } else { 1 };
        let tx_address = if flaw == 1 { nowhere(c / 32) } else { address(tx) };
        let call = Call::RxtxMap { width: Width::Bits64, tx: tx_address, rx: address(rx), page_count };
        let mut faults = Vec::new();
        if flaw < 2 {
            faults.push(Status::InvalidParameters);
        }
        if self.mail[party].is_some() {
            faults.push(Status::Denied);
        }
        if tx == rx {
            faults.push(Status::InvalidParameters);
        }
        for page in [tx, rx] {
            // Memory that the party did not have at first is no buffer of it.
            if first_owner(page) != party {
                faults.push(Status::InvalidParameters);
            }
            let shared = self.shares.iter().any(|share| {
                share.ranges.iter().any(|(first, count)| (*first..*first + *count).contains(&page))
            });
            if self.pages[page].owner != party || shared || self.is_buffer(page) {
                faults.push(Status::Denied);
            }
        }
        let expect = self.unless(faults, cpu, |model| {
            model.mail[party] = Some(Mailbox { tx, rx, full: false, filled: 0 });
        });
        (call, expect)
    }

    /// Returns the endpoint that a call about buffers names, and whether that is the caller.
    fn named(which: u16) -> (EndpointId, bool) {
        let named = if which.is_multiple_of(16) { endpoint(which / 16) } else { id_of(NORMAL) };
        (named, named == id_of(NORMAL))
    }

    /// `a`: whom it names.
    pub(super) fn unmap(&mut self, cpu: usize, party: usize, a: u16) -> (Call, Expect) {
        let (named, own) = Self::named(a);
        let none = !own || self.mail[party].is_none();
        let faults = if none { vec![Status::InvalidParameters] } else { vec![] };
        let expect = self.unless(faults, cpu, |model| {
            model.mail[party] = None;
            model.clear_rx_full(party);
            // What was being sent by them has no end.
            model.shares.retain(|share| share.owner != party || share.arriving.is_none());
            model.memory_changed = true;
        });
        (Call::RxtxUnmap { endpoint: named }, expect)
    }

    /// `a`: whom it names.
    pub(super) fn release(&mut self, cpu: usize, party: usize, a: u16) -> (Call, Expect) {
        let (named, own) = Self::named(a);
        let call = Call::RxRelease { endpoint: named };
        if !own {
            let faults = vec![Status::InvalidParameters, Status::Denied];
            return (call, Expect::Refused(faults));
        }
        let full = self.mail[party].as_ref().is_some_and(|mailbox| mailbox.full);
        let faults = if full && !self.has_rx_full(party) { vec![] } else { vec![Status::Denied] };
        let expect = self.unless(faults, cpu, |model| model.mail[party].as_mut().unwrap().full = false);
        (call, expect)
    }

    /// Gives the RX buffer of a partition back that waits, unless it has not been told of what is in it.
    pub(super) fn release_if_read(&mut self, party: usize) {
        if !self.has_rx_full(party)
            && let Some(mailbox) = &mut self.mail[party]
        {
            mailbox.full = false;
        }
    }

    /// `a`: whether only the number is asked for.
    pub(super) fn info(&mut self, cpu: usize, party: usize, a: u16) -> (Call, Expect) {
        let count_only = a.is_multiple_of(4);
        let call = Call::PartitionInfoGet { uuid: NIL, count_only };
        let version = self.version_of(party);
        let mut bytes = Vec::new();
        let mut count = 0;
        for sp in (0..SPS).filter(|sp| self.is_live(*sp)) {
            bytes.extend(self.describe(sp, party).encode(version, true).as_bytes());
            count += 1;
        }
        if count_only {
            return (call, self.answer(cpu, answer::success32([count, 0, 0, 0, 0, 0])));
        }
        let faults = match &self.mail[party] {
            None => vec![Status::Denied],
            Some(mailbox) if mailbox.full => vec![Status::Busy],
            Some(_) => vec![],
        };
        if !faults.is_empty() {
            return (call, Expect::Refused(faults));
        }
        self.deliver(party, &bytes);
        let size = if version == Version::V1_0 { 0 } else { 24 };
        (call, self.answer(cpu, answer::success32([count, size, 0, 0, 0, 0])))
    }

    fn describe(&self, sp: usize, to: usize) -> PartitionInfo {
        let traits = &self.traits[sp];
        let mut properties = PartitionProperties::AARCH64 | PartitionProperties::RECEIVES_DIRECT;
        properties.set(PartitionProperties::SENDS_DIRECT, to != NORMAL);
        properties.set(PartitionProperties::RECEIVES_DIRECT2, traits.services);
        properties.set(PartitionProperties::SENDS_DIRECT2, traits.services && to != NORMAL);
        properties.set(PartitionProperties::INDIRECT, traits.indirect);
        properties.set(PartitionProperties::NOTIFICATIONS, traits.notified);
        PartitionInfo {
            id: id_of(sp),
            execution_context_count: traits.contexts() as u16,
            properties,
            uuid: tantalum_sim::manifests::partition_uuid(sp),
        }
    }

    /// `a`: to whom, `b`: how long, `c`: what is wrong, `d`: flags.
    pub(super) fn send(
        &mut self,
        cpu: usize,
        party: usize,
        [a, b, c, d]: [u16; 4],
    ) -> (Call, Option<Written>, Expect) {
        let receiver = endpoint(a);
        let version = self.version_of(party);
        let delayed = party != NORMAL && d % 2 == 0;
        let flags = if delayed || c % 32 == 4 { notification::DELAY_SCHEDULE_RECEIVER } else { 0 };
        let delayed = flags != 0;
        let vm = if c % 32 == 1 { endpoint(b) } else { id_of(NORMAL) };
        let call = Call::MsgSend2 { sender: vm, flags };
        let usual = if version < Version::V1_2 { 24 } else { 40 };
        let offset = match c % 32 {
            2 => 8,
            3 => 5000,
            _ => 40 + u32::from(c % 5) * 8,
        };
        let size = if c % 32 == 5 { 4090 } else { u32::from(b) % 600 };
        let sender = if c % 32 == 6 { endpoint(b) } else { id_of(party) };
        let header = MessageHeader { sender, receiver, offset, size, uuid: NIL };
        let mut bytes = header.encode(version).to_vec();
        bytes.resize(4096, 0);
        for (index, byte) in bytes.iter_mut().enumerate().skip(40) {
            *byte = (index as u8).wrapping_mul(7).wrapping_add(b as u8);
        }
        let _ = usual;
        let written = self.written(party, bytes.clone(), 40, c);

        let mut faults = Vec::new();
        if version < Version::V1_1 {
            return (call, written, Expect::Refused(vec![Status::NotSupported]));
        }
        if party == NORMAL && flags != 0 || vm != id_of(NORMAL) {
            faults.push(Status::InvalidParameters);
            // The buffers of a VM that has none, or of one that is none.
            faults.push(Status::Denied);
        }
        if party != NORMAL && !self.traits[party].indirect || written.is_none() {
            faults.push(Status::Denied);
        }
        if offset < 20 || version >= Version::V1_2 && offset < 40 || sender != id_of(party) {
            faults.push(Status::InvalidParameters);
        }
        if u64::from(offset) + u64::from(size) > PAGE_SIZE {
            faults.push(Status::InvalidParameters);
        }
        let to = if receiver == id_of(NORMAL) { Some(NORMAL) } else { sp_of(receiver) };
        let to = to.filter(|to| *to != party);
        match to {
            None => {
                faults.push(Status::InvalidParameters);
                if !receiver.is_secure() && self.version < Version::V1_1 {
                    // A VM without buffers, of a normal world that has no such messages.
                    faults.push(Status::Denied);
                }
            }
            Some(NORMAL) if self.version < Version::V1_1 => faults.push(Status::Denied),
            Some(NORMAL) => {}
            Some(sp) if !self.is_live(sp) => faults.push(Status::Aborted),
            Some(sp) if !self.traits[sp].indirect => faults.push(Status::Denied),
            Some(_) => {}
        }
        let mut message = Vec::new();
        if let Some(to) = to {
            let offset = if self.version_of(to) < Version::V1_2 { 24 } else { 40 };
            match &self.mail[to] {
                None => faults.push(Status::Denied),
                Some(mailbox) if mailbox.full => faults.push(Status::Busy),
                Some(_) if u64::from(offset) + u64::from(size) > PAGE_SIZE => faults.push(Status::NoMemory),
                Some(_) => {}
            }
            let new = MessageHeader { offset, ..header }.encode(self.version_of(to));
            message.extend_from_slice(&new[..offset as usize]);
        }
        if !faults.is_empty() {
            return (call, written, Expect::Refused(faults));
        }
        let to = to.unwrap();
        message.extend_from_slice(&bytes[offset as usize..][..size as usize]);
        self.deliver(to, &message);
        if let Some(news) = self.signal_rx_full(to) {
            self.announce(cpu, to, Scope::Global, news, delayed);
        }
        (call, written, self.success(cpu))
    }
}
