//! Who can receive notifications, and the list of those who have some.

use heapless::Vec;
use tantalum_ffa::notification::NotificationList;
use tantalum_ffa::{Status, Width};
use tantalum_types::{EndpointId, MAX_PARTITIONS, MAX_VCPUS, PartitionIndex};

use super::receiver::{Receiver, Scope};

/// Bounds the endpoints of the normal world that have notification bitmaps at a time.
pub(crate) const MAX_NORMAL_RECEIVERS: usize = 16;

/// Holds the notifications of every endpoint that receives some.
#[derive(Debug)]
pub(crate) struct Notifications {
    /// By their indices.
    partitions: Vec<Option<Receiver>, MAX_PARTITIONS>,
    normal: Vec<(EndpointId, Receiver), MAX_NORMAL_RECEIVERS>,
}

impl Notifications {
    /// Builds the state in which nobody receives notifications.
    pub(crate) const fn new() -> Self {
        Self { partitions: Vec::new(), normal: Vec::new() }
    }

    /// Lets a partition with `vcpu_count` execution contexts receive notifications; what it had bound or was
    /// pending for it, as the one it was before, is gone.
    ///
    /// # Errors
    /// As [`Receiver::new`].
    pub(crate) fn add_partition(&mut self, index: PartitionIndex, vcpu_count: usize) -> Result<(), Status> {
        let receiver = Receiver::new(vcpu_count)?;
        while self.partitions.len() <= index.get() {
            self.partitions.push(None).map_err(|_| Status::NoMemory)?;
        }
        if let Some(slot) = self.partitions.get_mut(index.get()) {
            *slot = Some(receiver);
        }
        Ok(())
    }

    /// Makes the bitmaps of an endpoint of the normal world.
    ///
    /// # Errors
    /// INVALID_PARAMETERS if it is not of the normal world, or as [`Receiver::new`]; DENIED if it has them,
    /// NO_MEMORY if [`MAX_NORMAL_RECEIVERS`] others do.
    pub(crate) fn create(&mut self, id: EndpointId, vcpu_count: usize) -> Result<(), Status> {
        if id.is_secure() {
            return Err(Status::InvalidParameters);
        }
        let receiver = Receiver::new(vcpu_count)?;
        if self.normal.iter().any(|(known, _)| *known == id) {
            return Err(Status::Denied);
        }
        self.normal.push((id, receiver)).map_err(|_| Status::NoMemory)
    }

    /// Removes the bitmaps of an endpoint of the normal world.
    ///
    /// # Errors
    /// INVALID_PARAMETERS if it is not of the normal world, DENIED if it has none or notifications are pending.
    pub(crate) fn destroy(&mut self, id: EndpointId) -> Result<(), Status> {
        if id.is_secure() {
            return Err(Status::InvalidParameters);
        }
        let has_none_pending =
            |(known, receiver): &(EndpointId, Receiver)| *known == id && !receiver.has_pending();
        let at = self.normal.iter().position(has_none_pending).ok_or(Status::Denied)?;
        self.normal.remove(at);
        Ok(())
    }

    /// Returns the notifications that endpoint `id` receives, if it does.
    pub(crate) fn receiver(&mut self, id: EndpointId) -> Option<&mut Receiver> {
        if id.is_secure() {
            return self.partitions.get_mut(id.partition_index()?.get())?.as_mut();
        }
        self.normal.iter_mut().find(|(known, _)| *known == id).map(|(_, receiver)| receiver)
    }

    /// Lists the endpoints that have notifications which were not reported before, as many as an answer of the
    /// form `width` has room for. Those that are listed have been reported then.
    pub(crate) fn report(&mut self, width: Width) -> NotificationList {
        let mut list = NotificationList::new(width);
        let normal = self.normal.iter_mut().map(|(id, receiver)| (*id, receiver));
        let partitions = PartitionIndex::all()
            .zip(&mut self.partitions)
            .filter_map(|(index, receiver)| Some((index.endpoint_id(), receiver.as_mut()?)));
        for (id, receiver) in normal.chain(partitions) {
            if !list_endpoint(&mut list, id, receiver) {
                list.set_more();
                break;
            }
        }
        list
    }
}

/// Lists what `receiver` has that was not reported before: first the endpoint alone if there is something for all of
/// it, then its execution contexts. Returns whether all of that had room.
fn list_endpoint(list: &mut NotificationList, id: EndpointId, receiver: &mut Receiver) -> bool {
    if receiver.is_unreported(Scope::Global) {
        if !list.push(id, &[]) {
            return false;
        }
        receiver.report(Scope::Global);
    }
    let mut next = 0;
    loop {
        let mut vcpus = heapless::Vec::<u16, { NotificationList::MAX_VCPUS }>::new();
        let unreported = |vcpu: &usize| receiver.is_unreported(Scope::Vcpu(*vcpu));
        let found = (next..receiver.vcpu_count().min(MAX_VCPUS)).filter(unreported);
        for vcpu in found.take(list.room().unwrap_or(0).max(1)) {
            // There are at most as many places as `room` says, and one.
            let _ = vcpus.push(u16::try_from(vcpu).unwrap_or(u16::MAX));
            next = vcpu.saturating_add(1);
        }
        if vcpus.is_empty() {
            return true;
        }
        if !list.push(id, &vcpus) {
            return false;
        }
        for vcpu in &vcpus {
            receiver.report(Scope::Vcpu(usize::from(*vcpu)));
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec;
    use std::vec::Vec;

    use super::*;
    use crate::notify::receiver::Wanted;

    const SP: EndpointId = EndpointId::new(0x8001);

    fn vm(raw: u16) -> EndpointId {
        EndpointId::new(raw)
    }

    fn listed(list: &NotificationList) -> Vec<(u16, Vec<u16>)> {
        list.entries().map(|(id, vcpus)| (id.raw(), vcpus.to_vec())).collect()
    }

    fn signal(table: &mut Notifications, id: EndpointId, scope: Scope) {
        let per_vcpu = scope != Scope::Global;
        let bit = if per_vcpu { 2 } else { 1 };
        let receiver = table.receiver(id).unwrap();
        // The sender is known already if this is not the first time.
        let _ = receiver.bind(SP, per_vcpu, bit);
        receiver.set(SP, scope, bit).unwrap();
    }

    #[test]
    fn bitmaps_are_made_once_and_are_few() {
        let mut table = Notifications::new();
        assert_eq!(table.create(SP, 1), Err(Status::InvalidParameters));
        assert_eq!(table.create(vm(0), 0), Err(Status::InvalidParameters));
        assert_eq!(table.create(vm(0), 9), Err(Status::InvalidParameters));
        for id in 0..16 {
            assert_eq!(table.create(vm(id), 8), Ok(()));
            assert_eq!(table.create(vm(id), 8), Err(Status::Denied));
        }
        assert_eq!(table.create(vm(16), 1), Err(Status::NoMemory));
        assert_eq!(table.create(vm(15), 1), Err(Status::Denied));
        assert_eq!(table.destroy(vm(3)), Ok(()));
        assert_eq!(table.create(vm(16), 1), Ok(()));
        assert!(table.receiver(vm(3)).is_none());
        assert_eq!(table.receiver(vm(16)).unwrap().vcpu_count(), 1);
    }

    #[test]
    fn bitmaps_with_something_in_them_stay() {
        let mut table = Notifications::new();
        assert_eq!(table.destroy(vm(0)), Err(Status::Denied));
        assert_eq!(table.destroy(SP), Err(Status::InvalidParameters));
        table.create(vm(0), 1).unwrap();
        signal(&mut table, vm(0), Scope::Global);
        assert_eq!(table.destroy(vm(0)), Err(Status::Denied));
        table.receiver(vm(0)).unwrap().set_from_spm(1);
        let all = Wanted { from_partitions: true, from_vms: true, from_spm: false };
        table.receiver(vm(0)).unwrap().get(0, all).unwrap();
        assert_eq!(table.destroy(vm(0)), Err(Status::Denied));
        table.receiver(vm(0)).unwrap().clear_from_spm(1);
        assert_eq!(table.destroy(vm(0)), Ok(()));
        assert_eq!(table.destroy(vm(0)), Err(Status::Denied));
    }

    #[test]
    fn each_endpoint_is_listed_once() {
        let mut table = Notifications::new();
        assert!(table.report(Width::Bits64).is_empty());
        table.create(vm(0), 4).unwrap();
        table.add_partition(PartitionIndex::new(1).unwrap(), 8).unwrap();
        let partition = vm(0x8002);
        signal(&mut table, vm(0), Scope::Global);
        signal(&mut table, partition, Scope::Global);
        for vcpu in [0, 2, 3, 7] {
            signal(&mut table, partition, Scope::Vcpu(vcpu));
        }
        let list = table.report(Width::Bits64);
        assert!(!list.has_more());
        let expected = [(0, vec![]), (0x8002, vec![]), (0x8002, vec![0, 2, 3]), (0x8002, vec![7])];
        assert_eq!(listed(&list), expected);
        assert!(table.report(Width::Bits64).is_empty());
        signal(&mut table, partition, Scope::Vcpu(2));
        assert!(table.report(Width::Bits64).is_empty(), "it has not been read yet");
        let all = Wanted { from_partitions: true, from_vms: true, from_spm: true };
        table.receiver(partition).unwrap().get(2, all).unwrap();
        signal(&mut table, partition, Scope::Vcpu(2));
        assert_eq!(listed(&table.report(Width::Bits32)), [(0x8002, vec![2])]);
    }

    #[test]
    fn what_has_no_room_comes_next_time() {
        for (width, limit) in [(Width::Bits32, 10), (Width::Bits64, 20)] {
            let mut table = Notifications::new();
            for id in 0..16 {
                table.create(vm(id), 8).unwrap();
                signal(&mut table, vm(id), Scope::Global);
                for vcpu in 0..8 {
                    signal(&mut table, vm(id), Scope::Vcpu(vcpu));
                }
            }
            let mut seen = Vec::new();
            let mut answers = 0;
            loop {
                let list = table.report(width);
                answers += 1;
                let ids: usize = list.entries().map(|(_, vcpus)| 1 + vcpus.len()).sum();
                assert!(ids <= limit);
                for (id, vcpus) in listed(&list) {
                    match vcpus.as_slice() {
                        [] => seen.push((id, None)),
                        some => seen.extend(some.iter().map(|vcpu| (id, Some(*vcpu)))),
                    }
                }
                if !list.has_more() {
                    break;
                }
                // All of them are full, but for one id that no entry with an execution context fits in.
                assert!(ids + 1 >= limit);
            }
            let all =
                (0..16).flat_map(|id| core::iter::once((id, None)).chain((0..8).map(move |v| (id, Some(v)))));
            assert!(seen.into_iter().eq(all));
            assert!(table.report(width).is_empty());
            assert!(answers > 16 * 9 / limit);
        }
    }
}
