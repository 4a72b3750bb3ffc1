//! FFA_FEATURES, the ids, FFA_PARTITION_INFO_GET.

use tantalum_ffa::{Call, PartitionInfo, PartitionProperties, Status, Uuid, Version, feature, function as f};
use tantalum_types::EndpointId;

use crate::endpoint::{PARTITIONS, UNKNOWN_UUID};
use crate::machine::cpus;
use crate::mailbox::{Mailbox, RELEASE};
use crate::test::{Case, Test, cases, registers};

pub(crate) const CASES: &[Case] = cases![
    id_get,
    spm_id_get,
    features_of_calls,
    features_for_partitions_only,
    features_of_nothing,
    features_of_feature_ids,
    features_reserved_bits,
    features_rxtx_map,
    partition_info_count,
    partition_info_all,
    partition_info_by_uuid,
    partition_info_unknown_uuid,
    partition_info_reserved_flags,
    partition_info_without_buffer,
    partition_info_busy,
    partition_info_rx_tail,
    partition_info_rights,
];

fn id_get(t: &Test) {
    cpus::on_all(|_| t.all_is_well());
}

fn spm_id_get(t: &Test) {
    let [id, rest @ ..] = t.succeeds(&Call::SpmIdGet);
    t.equal("id of the SPMC", id.into(), EndpointId::SPMC.raw().into());
    t.check(rest == [0; 5], format_args!("w3 to w7 are {rest:x?}"));
}

fn features(id: u32) -> Call {
    Call::Features { id, input: 0 }
}

fn features_of_calls(t: &Test) {
    for id in [
        f::ERROR,
        f::SUCCESS_32,
        f::SUCCESS_64,
        f::INTERRUPT,
        f::VERSION,
        f::FEATURES,
        f::RX_RELEASE,
        f::RXTX_UNMAP,
        f::PARTITION_INFO_GET,
        f::ID_GET,
        f::SPM_ID_GET,
        f::RUN,
        f::DIRECT_REQ_32,
        f::DIRECT_REQ_64,
    ] {
        let results = t.succeeds(&features(id));
        t.check(results == [0; 6], format_args!("{id:#x}: w2 to w7 are {results:x?}"));
    }
}

/// What only partitions, only the SPMD or nobody may call is not there for the normal world.
fn features_for_partitions_only(t: &Test) {
    for id in [
        f::MSG_WAIT,
        f::YIELD,
        f::SECONDARY_EP_REGISTER_32,
        f::SECONDARY_EP_REGISTER_64,
        f::MEM_PERM_GET_32,
        f::MEM_PERM_GET_64,
        f::MEM_PERM_SET_32,
        f::MEM_PERM_SET_64,
        f::NORMAL_WORLD_RESUME,
        f::EL3_INTR_HANDLE,
    ] {
        t.refused(&features(id), Status::NotSupported);
    }
}

fn features_of_nothing(t: &Test) {
    // The legacy messages, both ends of the range, what 1.3 added, other services, the other widths.
    for id in [
        0x8400_006a,
        0x8400_006e,
        0x8400_005f,
        0x8400_0097,
        0x8400_0090,
        0xc400_0094,
        0x8400_0000,
        0xc400_0063,
        0xc400_0068,
        0x8400_008b,
        0x8400_008d,
        0x8000_0000,
        0xffff_ffff,
    ] {
        t.refused(&features(id), Status::NotSupported);
    }
}

/// The notification pending and the managed exit interrupt are for partitions.
fn features_of_feature_ids(t: &Test) {
    for id in [0, feature::NOTIFICATION_PENDING_INTERRUPT, feature::MANAGED_EXIT_INTERRUPT, 4, 5, 0xff] {
        t.refused(&features(id), Status::NotSupported);
    }
}

fn features_reserved_bits(t: &Test) {
    // Bits 30:8 of a feature id.
    for id in [0x100, 0x102, 0x4000_0002, 0x7fff_ff02, 0x7fff_ffff] {
        t.refused(&features(id), Status::NotSupported);
    }
    // Input properties, where there are none.
    for input in [1, 2, 4, 0x8000_0000, 0xffff_ffff] {
        t.refused(&Call::Features { id: f::VERSION, input }, Status::InvalidParameters);
        t.refused(&Call::Features { id: f::RXTX_MAP_64, input }, Status::InvalidParameters);
    }
}

/// The maximum size of the buffers is told to callers that know that field.
fn features_rxtx_map(t: &Test) {
    for id in [f::RXTX_MAP_32, f::RXTX_MAP_64] {
        let [properties, rest @ ..] = t.succeeds(&features(id));
        t.equal("granularity", u64::from(properties & 3), 0);
        t.equal("reserved bits", u64::from(properties & 0xfffc), 0);
        if t.version() >= Version::V1_2 {
            t.check(properties >> 16 >= 1, format_args!("no maximum in {properties:#x}"));
        } else {
            t.equal("high half", u64::from(properties >> 16), 0);
        }
        t.check(rest == [0; 5], format_args!("w3 to w7 are {rest:x?}"));
    }
}

fn info(uuid: Uuid, count_only: bool) -> Call {
    Call::PartitionInfoGet { uuid, count_only }
}

fn partition_info_count(t: &Test) {
    let results = t.succeeds(&info(Uuid::nil(), true));
    t.check(results == [3, 0, 0, 0, 0, 0], format_args!("expected 3 and zeros, got {results:x?}"));
    for (_, _, uuid) in PARTITIONS {
        let results = t.succeeds(&info(uuid, true));
        t.check(results == [1, 0, 0, 0, 0, 0], format_args!("expected 1 and zeros, got {results:x?}"));
    }
    // Nothing was put into a buffer, so there is nothing to release.
    let _mailbox = Mailbox::new(t);
    t.succeeds(&info(Uuid::nil(), true));
    t.refused(&RELEASE, Status::Denied);
}

/// Returns record `index` in the RX buffer.
fn record(t: &Test, mailbox: &Mailbox<'_>, index: usize) -> PartitionInfo {
    let size = PartitionInfo::record_size(t.version());
    let mut bytes = [0; PartitionInfo::SIZE];
    mailbox.rx.read(index * size, &mut bytes[..size]);
    PartitionInfo::decode(&bytes[..size]).expect("a record has 8 bytes or more")
}

#[track_caller]
fn check_record_size(t: &Test, w3: u32) {
    let expected = if t.version() == Version::V1_0 { 0 } else { PartitionInfo::SIZE };
    t.equal("w3, the size of a record", w3.into(), expected as u64);
}

fn partition_info_all(t: &Test) {
    let mailbox = Mailbox::new(t);
    let [count, size, ..] = t.succeeds(&info(Uuid::nil(), false));
    t.equal("number of partitions", count.into(), 3);
    check_record_size(t, size);
    for (index, (id, contexts, uuid)) in PARTITIONS.into_iter().enumerate() {
        let record = record(t, &mailbox, index);
        t.equal("id", record.id.raw().into(), id.raw().into());
        t.equal("execution contexts", record.execution_context_count.into(), contexts.into());
        let expected = if t.version() == Version::V1_0 { Uuid::nil() } else { uuid };
        t.check(record.uuid == expected, format_args!("{id}: expected {expected}, got {}", record.uuid));
    }
    mailbox.release();
}

fn partition_info_by_uuid(t: &Test) {
    let mailbox = Mailbox::new(t);
    for (id, contexts, uuid) in PARTITIONS {
        let [count, size, ..] = t.succeeds(&info(uuid, false));
        t.equal("number of partitions", count.into(), 1);
        check_record_size(t, size);
        let record = record(t, &mailbox, 0);
        t.equal("id", record.id.raw().into(), id.raw().into());
        t.equal("execution contexts", record.execution_context_count.into(), contexts.into());
        t.check(record.uuid == Uuid::nil(), format_args!("the UUID that was asked for is told again"));
        mailbox.release();
    }
}

fn partition_info_unknown_uuid(t: &Test) {
    let _mailbox = Mailbox::new(t);
    let (_, _, known) = PARTITIONS[0];
    // One bit away from a known one, at each end.
    for uuid in
        [UNKNOWN_UUID, Uuid::from_u128(known.as_u128() ^ 1), Uuid::from_u128(known.as_u128() ^ 1 << 127)]
    {
        t.refused(&info(uuid, false), Status::InvalidParameters);
        t.refused(&info(uuid, true), Status::InvalidParameters);
    }
    t.refused(&RELEASE, Status::Denied);
}

fn partition_info_reserved_flags(t: &Test) {
    let _mailbox = Mailbox::new(t);
    for flags in [2, 3, 4, 0x8000_0000, 0xffff_fffe] {
        t.refused_raw(&registers(f::PARTITION_INFO_GET, [0, 0, 0, 0, flags]), Status::InvalidParameters);
    }
    t.refused(&RELEASE, Status::Denied);
}

fn partition_info_without_buffer(t: &Test) {
    let (_, _, uuid) = PARTITIONS[0];
    t.refused(&info(Uuid::nil(), false), Status::Denied);
    t.refused(&info(uuid, false), Status::Denied);
    t.succeeds(&info(uuid, true));
}

fn partition_info_busy(t: &Test) {
    let mailbox = Mailbox::new(t);
    t.succeeds(&info(Uuid::nil(), false));
    let before = mailbox.rx.word(0);
    let (_, _, uuid) = PARTITIONS[2];
    t.refused(&info(uuid, false), Status::Busy);
    t.equal("the first record", mailbox.rx.word(0), before);
    // Counting needs no buffer.
    t.succeeds(&info(uuid, true));
    mailbox.release();
    t.succeeds(&info(uuid, false));
    mailbox.release();
    t.refused(&RELEASE, Status::Denied);
}

/// Behind the records there is nothing of the SPMC's.
fn partition_info_rx_tail(t: &Test) {
    let mailbox = Mailbox::new(t);
    t.succeeds(&info(Uuid::nil(), false));
    let end = 3 * PartitionInfo::record_size(t.version());
    t.check(
        mailbox.rx.is_filled(end, 0xa5) || mailbox.rx.is_filled(end, 0),
        format_args!("behind the records is neither what was there nor zero"),
    );
    mailbox.release();
}

/// The normal world learns what it may send to partitions, in the words of its version.
fn partition_info_rights(t: &Test) {
    let mailbox = Mailbox::new(t);
    t.succeeds(&info(Uuid::nil(), false));
    for (index, (id, ..)) in PARTITIONS.into_iter().enumerate() {
        let PartitionInfo { properties, .. } = record(t, &mailbox, index);
        t.check(
            properties.contains(PartitionProperties::RECEIVES_DIRECT),
            format_args!("{id} takes no direct requests: {properties:?}"),
        );
        t.check(
            !properties.intersects(PartitionProperties::SENDS_DIRECT | PartitionProperties::SENDS_DIRECT2),
            format_args!("{id} sends requests to the normal world: {properties:?}"),
        );
        let unknown = properties - properties.known_in(t.version());
        t.check(unknown.is_empty(), format_args!("{id} has {unknown:?}, which {} lacks", t.version()));
        let aarch64 = properties.contains(PartitionProperties::AARCH64);
        t.check(aarch64 == (t.version() >= Version::V1_1), format_args!("{id}: {properties:?}"));
    }
    mailbox.release();
}
