//! What FFA_PARTITION_INFO_GET answers (FF-A 1.2, section 13.8).

use tantalum_ffa::{PartitionInfo, Status, Uuid, Version};
use tantalum_hal::PhysicalMemory;
use tantalum_manifest::MAX_UUIDS;
use tantalum_types::MAX_PARTITIONS;

use crate::common::Caller;
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
        // Before FF-A 1.2 a partition is described once, whatever it offers.
        let knows_services = version >= Version::V1_2;
        let infos = self
            .live_partitions()
            .filter(|partition| partition.offers(uuid))
            .flat_map(|partition| partition.infos(uuid, knows_services, caller.is_normal_world()));
        for info in infos {
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
}
