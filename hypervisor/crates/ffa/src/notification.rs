//! What the notification calls carry beside their parameters (FF-A 1.1, chapter 10).

use tantalum_types::EndpointId;

use crate::{Call, Target, Width};

/// Asks FFA_NOTIFICATION_BIND for notifications of which each execution context has its own.
pub const BIND_PER_VCPU: u32 = 1 << 0;

/// Says, to FFA_NOTIFICATION_SET, that the notifications are for one execution context, named by bits 31:16.
pub const SET_PER_VCPU: u32 = 1 << 0;

/// Says, to FFA_NOTIFICATION_SET and FFA_MSG_SEND2, that the receiver need not be scheduled before the caller ends
/// its turn.
pub const DELAY_SCHEDULE_RECEIVER: u32 = 1 << 1;

/// Asks FFA_NOTIFICATION_GET for what partitions have signalled.
pub const GET_FROM_PARTITIONS: u32 = 1 << 0;
/// Asks FFA_NOTIFICATION_GET for what VMs have signalled.
pub const GET_FROM_VMS: u32 = 1 << 1;
/// Asks FFA_NOTIFICATION_GET for what the SPM has signalled.
pub const GET_FROM_SPM: u32 = 1 << 2;
/// Asks FFA_NOTIFICATION_GET for what the hypervisor has signalled.
pub const GET_FROM_HYPERVISOR: u32 = 1 << 3;

/// Says, among what the SPM signals, that there is a message in the RX buffer.
pub const RX_FULL: u32 = 1 << 0;

/// Returns the flags of FFA_NOTIFICATION_SET for notifications of the execution context `vcpu`.
pub const fn set_for_vcpu(vcpu: u16) -> u32 {
    (vcpu as u32) << 16 | SET_PER_VCPU
}

/// Returns the execution context that the flags of FFA_NOTIFICATION_SET name.
pub const fn vcpu_of_set(flags: u32) -> u16 {
    (flags >> 16) as u16
}

/// Holds the notifications that FFA_NOTIFICATION_GET returns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PendingNotifications {
    /// What partitions have signalled.
    pub from_partitions: u64,
    /// What VMs have signalled.
    pub from_vms: u64,
    /// What the SPM has signalled.
    pub from_spm: u32,
    /// What the hypervisor has signalled.
    pub from_hypervisor: u32,
}

impl PendingNotifications {
    /// Returns w2 to w7 of the answer.
    pub const fn encode(&self) -> [u32; 6] {
        let [w2, w3] = halves(self.from_partitions);
        let [w4, w5] = halves(self.from_vms);
        [w2, w3, w4, w5, self.from_spm, self.from_hypervisor]
    }

    /// Reads w2 to w7 of the answer.
    pub const fn decode([w2, w3, w4, w5, w6, w7]: [u32; 6]) -> Self {
        Self { from_partitions: joined(w2, w3), from_vms: joined(w4, w5), from_spm: w6, from_hypervisor: w7 }
    }
}

const fn halves(bitmap: u64) -> [u32; 2] {
    [(bitmap & 0xffff_ffff) as u32, (bitmap >> 32) as u32]
}

const fn joined(low: u32, high: u32) -> u64 {
    (high as u64) << 32 | low as u64
}

/// Lists endpoints that have notifications, as FFA_NOTIFICATION_INFO_GET returns them (FF-A 1.1, section 16.7).
///
/// The list is a sequence of entries: an endpoint, and up to three of its execution contexts; none stands for
/// notifications of the endpoint as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotificationList {
    width: Width,
    /// Whether there is more than fits.
    more: bool,
    /// How many entries there are.
    entries: usize,
    /// How many execution contexts each entry names, two bits each.
    counts: u64,
    ids: [u16; Self::MAX_IDS],
    used: usize,
}

impl NotificationList {
    /// Counts the ids that an answer of the 64-bit form has room for.
    pub const MAX_IDS: usize = 20;

    /// Counts the ids that an answer of the 32-bit form has room for.
    pub const MAX_IDS_32: usize = 10;

    /// Counts the execution contexts that an entry has room for.
    pub const MAX_VCPUS: usize = 3;

    /// Begins an empty list for an answer of the form `width`.
    pub const fn new(width: Width) -> Self {
        Self { width, more: false, entries: 0, counts: 0, ids: [0; Self::MAX_IDS], used: 0 }
    }

    /// Tells whether nothing is listed.
    pub const fn is_empty(&self) -> bool {
        self.entries == 0
    }

    /// Tells whether there is more than fitted.
    pub const fn has_more(&self) -> bool {
        self.more
    }

    /// Returns how many more execution contexts an entry that is added now can name: 0 if there is room for its
    /// endpoint only, `None` if there is not even that.
    pub const fn room(&self) -> Option<usize> {
        let limit = match self.width {
            Width::Bits32 => Self::MAX_IDS_32,
            Width::Bits64 => Self::MAX_IDS,
        };
        let left = match limit.saturating_sub(self.used).checked_sub(1) {
            Some(left) => left,
            None => return None,
        };
        Some(if left < Self::MAX_VCPUS { left } else { Self::MAX_VCPUS })
    }

    /// Adds an entry for `endpoint` with the execution contexts `vcpus`, and returns whether there was room for it.
    pub fn push(&mut self, endpoint: EndpointId, vcpus: &[u16]) -> bool {
        if self.room().is_none_or(|room| vcpus.len() > room) {
            return false;
        }
        let ids = core::iter::once(endpoint.raw()).chain(vcpus.iter().copied());
        for (place, id) in self.ids.iter_mut().skip(self.used).zip(ids) {
            *place = id;
        }
        let count = (vcpus.len() & 3) as u64;
        let shift = u32::try_from(self.entries).unwrap_or(u32::MAX).saturating_mul(2);
        self.counts |= count.checked_shl(shift).unwrap_or(0);
        self.entries = self.entries.saturating_add(1);
        self.used = self.used.saturating_add(vcpus.len()).saturating_add(1);
        true
    }

    /// Says that there is more than fits.
    pub const fn set_more(&mut self) {
        self.more = true;
    }

    /// Yields the entries: an endpoint and some of its execution contexts.
    pub fn entries(&self) -> impl Iterator<Item = (EndpointId, &[u16])> {
        let mut rest = self.ids.as_slice();
        let mut counts = self.counts;
        (0..self.entries).map_while(move |_| {
            let (endpoint, others) = rest.split_first()?;
            let (vcpus, others) = others.split_at_checked((counts & 3) as usize)?;
            rest = others;
            counts >>= 2;
            Some((EndpointId::new(*endpoint), vcpus))
        })
    }

    /// Returns the answer that carries the list.
    pub fn encode(&self) -> Call {
        let flags = u64::from(self.more) | (self.entries as u64 & 0x1f) << 7 | self.counts << 12;
        match self.width {
            Width::Bits32 => {
                let mut results = [0; 6];
                let [first, words @ ..] = &mut results;
                *first = (flags & 0xffff_ffff) as u32;
                for (word, pair) in words.iter_mut().zip(self.ids.chunks_exact(2)) {
                    *word = pair.iter().rev().fold(0, |word, id| word << 16 | u32::from(*id));
                }
                Call::Success32 { target: Target::NONE, results }
            }
            Width::Bits64 => {
                let mut results = [0; 16];
                let [first, words @ ..] = &mut results;
                *first = flags;
                for (word, four) in words.iter_mut().zip(self.ids.chunks_exact(4)) {
                    *word = four.iter().rev().fold(0, |word, id| word << 16 | u64::from(*id));
                }
                Call::Success64 { target: Target::NONE, results }
            }
        }
    }

    /// Reads the list from the answer that carries it; `None` if it is another answer, or names more ids than it
    /// has room for.
    pub fn decode(answer: &Call) -> Option<Self> {
        let mut ids = [0; Self::MAX_IDS];
        let (width, flags, limit) = match answer {
            Call::Success32 { results: [flags, words @ ..], .. } => {
                for (id, value) in ids.iter_mut().zip(words.iter().flat_map(|word| [*word, word >> 16])) {
                    *id = (value & 0xffff) as u16;
                }
                (Width::Bits32, u64::from(*flags), Self::MAX_IDS_32)
            }
            Call::Success64 { results: [flags, words @ ..], .. } => {
                let words = words.iter().take(5);
                let values = words.flat_map(|word| [*word, word >> 16, word >> 32, word >> 48]);
                for (id, value) in ids.iter_mut().zip(values) {
                    *id = (value & 0xffff) as u16;
                }
                (Width::Bits64, *flags, Self::MAX_IDS)
            }
            _ => return None,
        };
        let entries = (flags >> 7 & 0x1f) as usize;
        let counts = flags >> 12 & 0xff_ffff_ffff;
        let named: u64 = (0..entries).map(|entry| counts >> (entry.saturating_mul(2) & 0x3f) & 3).sum();
        let used = entries.saturating_add(usize::try_from(named).ok()?);
        if used > limit {
            return None;
        }
        Some(Self { width, more: flags & 1 != 0, entries, counts, ids, used })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn id(raw: u16) -> EndpointId {
        EndpointId::new(raw)
    }

    #[test]
    fn pending_notifications_are_pairs_of_words() {
        let pending = PendingNotifications {
            from_partitions: 0x8000_0000_0000_0001,
            from_vms: 0x2_0000_0003,
            from_spm: RX_FULL,
            from_hypervisor: 0,
        };
        assert_eq!(pending.encode(), [1, 0x8000_0000, 3, 2, 1, 0]);
        assert_eq!(PendingNotifications::decode(pending.encode()), pending);
    }

    #[test]
    fn the_flags_of_a_set_name_the_execution_context() {
        assert_eq!(set_for_vcpu(3), 0x3_0001);
        assert_eq!(vcpu_of_set(set_for_vcpu(u16::MAX)), u16::MAX);
    }

    #[test]
    fn a_list_packs_ids_of_sixteen_bits() {
        let mut list = NotificationList::new(Width::Bits64);
        assert!(list.push(id(0), &[]));
        assert!(list.push(id(0x8001), &[1, 2, 3]));
        assert!(list.push(id(7), &[0]));
        let Call::Success64 { results, .. } = list.encode() else { panic!() };
        // Three entries, with no, three and one execution contexts.
        assert_eq!(results[0], 3 << 7 | 0b01_11_00 << 12);
        assert_eq!(results[1..4], [0x0002_0001_8001_0000, 0x0000_0000_0007_0003, 0]);
        let mut list = NotificationList::new(Width::Bits32);
        assert!(list.push(id(0), &[]));
        assert!(list.push(id(0x8001), &[2]));
        list.set_more();
        let Call::Success32 { results, .. } = list.encode() else { panic!() };
        assert_eq!(results, [1 | 2 << 7 | 0b01_00 << 12, 0x8001_0000, 2, 0, 0, 0]);
    }

    #[test]
    fn a_list_takes_as_many_ids_as_its_registers() {
        for (width, limit) in [(Width::Bits32, 10), (Width::Bits64, 20)] {
            let mut list = NotificationList::new(width);
            for entry in 0..limit - 2 {
                assert!(list.push(id(entry), &[]));
            }
            assert_eq!(list.room(), Some(1));
            assert!(!list.push(id(100), &[1, 2]));
            assert!(list.push(id(100), &[1]));
            assert_eq!(list.room(), None);
            assert!(!list.push(id(101), &[]));
            let decoded = NotificationList::decode(&list.encode()).unwrap();
            assert_eq!(decoded.entries().last(), Some((id(100), [1].as_slice())));
            assert_eq!(decoded.entries().count(), usize::from(limit) - 1);
        }
    }

    #[test]
    fn a_list_that_claims_more_than_there_is_room_for_is_none() {
        let mut results = [0; 16];
        results[0] = 21 << 7;
        assert_eq!(NotificationList::decode(&Call::Success64 { target: Target::NONE, results }), None);
        results[0] = 6 << 7 | 0xfff << 12;
        assert_eq!(NotificationList::decode(&Call::Success64 { target: Target::NONE, results }), None);
        assert_eq!(NotificationList::decode(&Call::IdGet), None);
    }

    proptest! {
        #[test]
        fn a_list_and_back(
            wide: bool,
            more: bool,
            entries in prop::collection::vec((any::<u16>(), prop::collection::vec(any::<u16>(), 0..4)), 0..25),
        ) {
            let mut list = NotificationList::new(if wide { Width::Bits64 } else { Width::Bits32 });
            let taken: Vec<_> = entries.iter().filter(|(endpoint, vcpus)| list.push(id(*endpoint), vcpus)).collect();
            if more {
                list.set_more();
            }
            let decoded = NotificationList::decode(&list.encode()).unwrap();
            prop_assert_eq!(decoded.has_more(), more);
            prop_assert_eq!(decoded.is_empty(), taken.is_empty());
            let back: Vec<_> = decoded.entries().map(|(id, vcpus)| (id.raw(), vcpus.to_vec())).collect();
            prop_assert!(back.iter().eq(taken));
        }

        #[test]
        fn decoding_takes_any_registers(results: [u64; 16]) {
            if let Some(list) = NotificationList::decode(&Call::Success64 { target: Target::NONE, results }) {
                prop_assert!(list.entries().count() <= NotificationList::MAX_IDS);
            }
        }
    }
}
