//! What FFA_PARTITION_INFO_GET and FFA_PARTITION_INFO_GET_REGS answer (FF-A 1.2, sections 13.8 and 13.9).

use tantalum_ffa::{PartitionInfo, Status, Uuid, Version, answer};
use tantalum_hal::PhysicalMemory;
use tantalum_manifest::MAX_UUIDS;
use tantalum_types::{CallRegisters, MAX_PARTITIONS};

use crate::common::Caller;
use crate::partition::Partition;
use crate::spmc::Spmc;

impl Spmc {
    /// Describes the partitions that offer `uuid` in the caller's RX buffer, or only counts them. Returns w2
    /// and w3 of the answer: their number, and the size of a description for callers that know it.
    ///
    /// # Errors
    /// INVALID_PARAMETERS if nobody offers `uuid`; otherwise as [`crate::mailbox::Mailbox::deliver`].
    pub(crate) fn partition_info_get(
        &self,
        caller: &Caller<'_>,
        uuid: &Uuid,
        count_only: bool,
        memory: &impl PhysicalMemory,
    ) -> Result<[u32; 2], Status> {
        let version = caller.version();
        let with_uuid = uuid.is_nil();
        let mut message = heapless::Vec::<u8, { MAX_PARTITIONS * MAX_UUIDS * PartitionInfo::SIZE }>::new();
        let mut count: u32 = 0;
        for info in self.infos(caller, uuid) {
            let record = info.encode(version, with_uuid);
            message.extend_from_slice(record.as_bytes()).map_err(|_| Status::NoMemory)?;
            count = count.saturating_add(1);
        }
        if count == 0 && !with_uuid {
            return Err(Status::InvalidParameters);
        }
        if count_only {
            return Ok([count, 0]);
        }
        caller.endpoint().mailbox.lock().deliver(&message, memory)?;
        // In FF-A 1.0 there is one size, and w3 is reserved.
        let size = if version.minor == 0 { 0 } else { PartitionInfo::record_size(version) };
        Ok([count, u32::try_from(size).unwrap_or(0)])
    }

    /// Describes partitions that offer `uuid` in registers, from the one with the index `start_index` on.
    ///
    /// The tag says which partitions there are. So it changes when one is stopped or begins anew, and the caller, who
    /// may have missed one, begins anew too.
    ///
    /// # Errors
    /// NOT_SUPPORTED if the caller does not speak FF-A 1.2, INVALID_PARAMETERS if nobody offers `uuid`, if there is no
    /// such index, or for a tag with the first call; RETRY if the tag has changed.
    pub(crate) fn partition_info_get_regs(
        &self,
        caller: &Caller<'_>,
        uuid: &Uuid,
        start_index: u16,
        tag: u16,
    ) -> Result<CallRegisters, Status> {
        let version = caller.version();
        if version < Version::V1_2 {
            return Err(Status::NotSupported);
        }
        let bit = |partition: &Partition| 1_u16.wrapping_shl(u32::from(partition.index().as_u16()));
        let now = self.live_partitions().fold(0, |tag, partition| tag | bit(partition));
        if start_index == 0 && tag != 0 {
            return Err(Status::InvalidParameters);
        }
        if start_index != 0 && tag != now {
            return Err(Status::Retry);
        }
        let count = u16::try_from(self.infos(caller, uuid).count()).map_err(|_| Status::NoMemory)?;
        let last = count.checked_sub(1).ok_or(Status::InvalidParameters)?;
        if start_index > last {
            return Err(Status::InvalidParameters);
        }
        let mut results = [0; 16];
        let [summary, records @ ..] = &mut results;
        let mut current = start_index;
        let infos = self.infos(caller, uuid).skip(usize::from(start_index));
        let (records, _) = records.as_chunks_mut::<3>();
        for ((record, info), index) in records.iter_mut().zip(infos).zip(start_index..) {
            *record = info.encode_registers(version, uuid.is_nil());
            current = index;
        }
        let size = u64::try_from(PartitionInfo::record_size(version)).unwrap_or(0);
        *summary = size << 48 | u64::from(now) << 32 | u64::from(current) << 16 | u64::from(last);
        Ok(answer::success64(results))
    }

    /// Yields a description of every partition that offers `uuid`, and of every such service for callers who know
    /// services: before FF-A 1.2 a partition is described once, whatever it offers.
    fn infos(&self, caller: &Caller<'_>, uuid: &Uuid) -> impl Iterator<Item = PartitionInfo> {
        let (knows_services, to_normal_world) = (caller.version() >= Version::V1_2, caller.is_normal_world());
        self.live_partitions()
            .filter(move |partition| partition.offers(uuid))
            .flat_map(move |partition| partition.infos(uuid, knows_services, to_normal_world))
    }
}
