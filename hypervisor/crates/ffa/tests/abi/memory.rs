//! Descriptors of memory management: there and back, each fault with its error, against another implementation.

use arm_ffa::memory_management as reference;
use proptest::collection::vec;
use proptest::prelude::*;
use tantalum_ffa::memory::{
    Composite, Constituent, Constituents, DescriptorError, Handle, Layout, List, MAX_RECEIVERS,
    MemoryAttributes, Part, Permissions, Receiver, ReceiverFlags, Relinquish, RelinquishFlags, Transaction,
    TransactionFlags, TransactionKind, encode_constituents,
};
use tantalum_ffa::{Status, Version};
use tantalum_types::EndpointId;

fn layout() -> impl Strategy<Value = Layout> {
    proptest::sample::select(Layout::ALL.as_slice())
}

fn receiver(layout: Layout) -> impl Strategy<Value = Receiver> {
    let permissions: Vec<_> = (0..=u8::MAX).filter_map(|raw| Permissions::decode(raw).ok()).collect();
    (any::<u16>(), proptest::sample::select(permissions), any::<bool>(), any::<[u64; 2]>()).prop_map(
        move |(id, permissions, flag, words)| Receiver {
            endpoint: EndpointId::new(id),
            permissions,
            flags: if flag { ReceiverFlags::NON_RETRIEVAL_BORROWER } else { ReceiverFlags::empty() },
            implementation_defined: if layout == Layout::V1_2 { words } else { [0; 2] },
        },
    )
}

fn transaction(layout: Layout) -> impl Strategy<Value = Transaction> {
    let attributes: Vec<_> = (0..0x80)
        .filter_map(|raw| MemoryAttributes::decode(raw).ok())
        .filter(|attributes| layout != Layout::V1_0 || !attributes.non_secure)
        .collect();
    let composite = proptest::option::of((1..=u32::MAX, 1..=0xff_ffff_u32));
    (
        (any::<u16>(), proptest::sample::select(attributes), any::<u32>(), any::<u64>(), any::<u64>()),
        vec(receiver(layout), 0..=MAX_RECEIVERS),
        composite,
    )
        .prop_map(|((sender, attributes, flags, handle, tag), receivers, composite)| Transaction {
            sender: EndpointId::new(sender),
            attributes,
            flags: TransactionFlags::from_bits_truncate(flags),
            handle: Handle::new(handle),
            tag,
            composite: composite
                .filter(|_| !receivers.is_empty())
                .map(|(total_pages, range_count)| Composite { total_pages, range_count }),
            receivers: List::from_slice(&receivers).unwrap(),
        })
}

fn constituent() -> impl Strategy<Value = Constituent> {
    (0..1_u64 << 36, 1..1_u32 << 20)
        .prop_map(|(page, page_count)| Constituent { address: page << 12, page_count })
}

/// Describes one share to one receiver with two ranges, three pages in all.
fn share(layout: Layout) -> Vec<u8> {
    let transaction = Transaction {
        sender: EndpointId::new(0),
        attributes: MemoryAttributes::NORMAL,
        flags: TransactionFlags::empty(),
        handle: Handle::NONE,
        tag: 7,
        receivers: List::of_one(Receiver::new(EndpointId::new(0x8001), Permissions::READ_WRITE)),
        composite: Some(Composite { total_pages: 3, range_count: 2 }),
    };
    let mut bytes = vec![0xa5; 4096];
    let start = transaction.encode(layout, &mut bytes).unwrap();
    let ranges = [(0x4000_0000, 1), (0x4000_2000, 2)];
    let mut ranges = ranges.into_iter().map(|(address, page_count)| Constituent { address, page_count });
    let written = encode_constituents(&mut ranges, &mut bytes[start..]);
    bytes.truncate(start + written);
    assert_eq!(u32::try_from(bytes.len()), Ok(transaction.total_length(layout).unwrap()));
    bytes
}

/// Offsets of fields in what [`share`] writes.
mod at {
    pub(super) const ATTRIBUTES: usize = 2;
    pub(super) const FLAGS: usize = 4;
    pub(super) const RECORD_SIZE: usize = 24;
    pub(super) const RECORD_COUNT: usize = 28;
    pub(super) const RECORD_OFFSET: usize = 32;
    pub(super) const HEADER_RESERVED: usize = 36;
    pub(super) const RECORD: usize = 48;
    pub(super) const PERMISSIONS: usize = RECORD + 2;
    pub(super) const RECORD_FLAGS: usize = RECORD + 3;
    pub(super) const COMPOSITE_OFFSET: usize = RECORD + 4;
    pub(super) const RECORD_RESERVED: usize = RECORD + 8;
    pub(super) const COMPOSITE: usize = RECORD + 16;
}

#[test]
fn layouts_follow_versions() {
    assert_eq!(Layout::of_version(Version::V1_0), Layout::V1_0);
    assert_eq!(Layout::of_version(Version::V1_1), Layout::V1_1);
    assert_eq!(Layout::of_version(Version::V1_2), Layout::V1_2);
    let sizes = Layout::ALL.map(|layout| share(layout).len());
    assert_eq!(sizes, [32 + 16 + 16 + 32, 48 + 16 + 16 + 32, 48 + 32 + 16 + 32]);
}

#[test]
fn a_share_is_read_back() {
    for layout in Layout::ALL {
        let bytes = share(layout);
        let decoded = Transaction::decode(layout, &bytes).unwrap();
        assert_eq!(decoded.total_length as usize, bytes.len());
        assert_eq!(decoded.transaction.receivers.len(), 1);
        assert_eq!(decoded.transaction.composite, Some(Composite { total_pages: 3, range_count: 2 }));
        let ranges: Result<Vec<_>, _> = Constituents::new(decoded.constituents).unwrap().collect();
        let expected = [(0x4000_0000, 1), (0x4000_2000, 2)];
        assert_eq!(
            ranges,
            Ok(expected.map(|(address, page_count)| Constituent { address, page_count }).into())
        );
    }
}

#[test]
fn newer_endpoints_may_write_short_records() {
    let bytes = share(Layout::V1_1);
    let short = Transaction::decode(Layout::V1_2, &bytes).unwrap();
    assert_eq!(Ok(short), Transaction::decode(Layout::V1_1, &bytes));
    // But older ones do not know the long ones.
    let long = share(Layout::V1_2);
    assert_eq!(Transaction::decode(Layout::V1_1, &long), Err(DescriptorError::RecordSize(32)));
}

#[test]
fn records_may_be_anywhere_behind_the_header() {
    let mut bytes = share(Layout::V1_1);
    bytes.splice(48..48, [0xee; 32]);
    bytes[at::RECORD_OFFSET] = 80;
    bytes[at::COMPOSITE_OFFSET + 32] = 64 + 32;
    let moved = Transaction::decode(Layout::V1_1, &bytes).unwrap();
    let original = share(Layout::V1_1);
    assert_eq!(moved.transaction, Transaction::decode(Layout::V1_1, &original).unwrap().transaction);
    assert_eq!(moved.total_length as usize, bytes.len());
}

#[test]
fn a_hypervisor_asks_without_receivers() {
    // What pKVM writes to learn what it shared: a handle and nothing else.
    let mut bytes = [0; 48];
    bytes[8..16].copy_from_slice(&0x1234_5678_9abc_u64.to_le_bytes());
    for layout in [Layout::V1_1, Layout::V1_2] {
        let decoded = Transaction::decode(layout, &bytes).unwrap();
        assert_eq!(decoded.transaction.handle, Handle::new(0x1234_5678_9abc));
        assert!(decoded.transaction.receivers.is_empty() && decoded.transaction.composite.is_none());
        assert_eq!(decoded.total_length, 48);
    }
    assert_eq!(Transaction::decode(Layout::V1_0, &bytes[..32]).unwrap().total_length, 32);
}

#[test]
fn each_fault_has_its_error() {
    use DescriptorError as E;
    let good = share(Layout::V1_1);
    for (offset, value, error) in [
        (at::ATTRIBUTES, 0x3f_u32, E::Attributes(0x3f)),
        (at::ATTRIBUTES, 0xaf, E::Attributes(0xaf)),
        (at::ATTRIBUTES, 0x1f, E::Attributes(0x1f)),
        (at::FLAGS, 1 << 11, E::Flags(1 << 11)),
        (at::RECORD_SIZE, 0, E::RecordSize(0)),
        (at::RECORD_SIZE, 15, E::RecordSize(15)),
        (at::RECORD_SIZE, 32, E::RecordSize(32)),
        (at::RECORD_SIZE, u32::MAX, E::RecordSize(u32::MAX)),
        (at::RECORD_COUNT, 5, E::Truncated(Part::Receiver)),
        (at::RECORD_COUNT, 0x1000_0000, E::Truncated(Part::Receiver)),
        (at::RECORD_COUNT, u32::MAX, E::Truncated(Part::Receiver)),
        (at::RECORD_OFFSET, 0, E::RecordOffset(0)),
        (at::RECORD_OFFSET, 32, E::RecordOffset(32)),
        (at::RECORD_OFFSET, 56, E::RecordOffset(56)),
        (at::RECORD_OFFSET, 0x4000_0000, E::Truncated(Part::Receiver)),
        (at::RECORD_OFFSET, 0xffff_fff0, E::Truncated(Part::Receiver)),
        (at::HEADER_RESERVED, 1, E::Reserved(Part::Header)),
        (at::HEADER_RESERVED + 8, 1 << 31, E::Reserved(Part::Header)),
        (at::COMPOSITE_OFFSET, 48, E::CompositeOffset(48)),
        (at::COMPOSITE_OFFSET, 66, E::CompositeOffset(66)),
        (at::COMPOSITE_OFFSET, 0x4000_0000, E::Truncated(Part::Composite)),
        (at::COMPOSITE_OFFSET, 0xffff_fff8, E::Truncated(Part::Composite)),
        (at::COMPOSITE_OFFSET, 104, E::Truncated(Part::Composite)),
        (at::RECORD_RESERVED, 1, E::Reserved(Part::Receiver)),
        (at::RECORD_RESERVED + 4, 1, E::Reserved(Part::Receiver)),
        (at::COMPOSITE, 0, E::NoPages),
        (at::COMPOSITE + 4, 0, E::NoRange),
        (at::COMPOSITE + 8, 1, E::Reserved(Part::Composite)),
        (at::COMPOSITE + 4, 0x1000_0000, E::TooLong),
    ] {
        let mut bad = good.clone();
        let width = if offset == at::ATTRIBUTES { 2 } else { 4 };
        bad[offset..offset + width].copy_from_slice(&value.to_le_bytes()[..width]);
        assert_eq!(Transaction::decode(Layout::V1_1, &bad), Err(error), "{value:#x} at {offset}");
        assert_eq!(error.status(), Status::InvalidParameters);
    }
    for (offset, value, error) in [
        (at::PERMISSIONS, 3, E::Permissions(3)),
        (at::PERMISSIONS, 0x12, E::Permissions(0x12)),
        (at::PERMISSIONS, 0x0e, E::Permissions(0x0e)),
        (at::RECORD_FLAGS, 2, E::Reserved(Part::Receiver)),
    ] {
        let mut bad = good.clone();
        bad[offset] = value;
        assert_eq!(Transaction::decode(Layout::V1_1, &bad), Err(error), "{value:#x} at {offset}");
    }
}

#[test]
fn the_older_header_has_its_own_faults() {
    use DescriptorError as E;
    for (offset, value, error) in [
        (2, 0x6f, E::Reserved(Part::Header)),
        (3, 1, E::Reserved(Part::Header)),
        (24, 16, E::Reserved(Part::Header)),
    ] {
        let mut bad = share(Layout::V1_0);
        bad[offset] = value;
        assert_eq!(Transaction::decode(Layout::V1_0, &bad), Err(error), "{value:#x} at {offset}");
    }
    let mut transaction = Transaction::decode(Layout::V1_0, &share(Layout::V1_0)).unwrap().transaction;
    transaction.attributes.non_secure = true;
    assert_eq!(transaction.encode(Layout::V1_0, &mut [0; 4096]), Err(E::NotInLayout(Part::Header)));
    transaction.attributes.non_secure = false;
    transaction.receivers =
        List::of_one(Receiver { implementation_defined: [1, 0], ..transaction.receivers[0] });
    assert_eq!(transaction.encode(Layout::V1_1, &mut [0; 4096]), Err(E::NotInLayout(Part::Receiver)));
    assert!(transaction.encode(Layout::V1_2, &mut [0; 4096]).is_ok());
}

#[test]
fn receivers_are_bounded_and_agree() {
    let receivers = |count: usize| {
        let mut bytes = share(Layout::V1_1);
        let record: Vec<u8> = bytes[48..64].to_vec();
        for _ in 1..count {
            bytes.splice(48..48, record.iter().copied());
        }
        bytes[at::RECORD_COUNT] = u8::try_from(count).unwrap();
        for record in bytes[48..48 + 16 * count].chunks_exact_mut(16) {
            record[4] = u8::try_from(48 + 16 * count).unwrap();
        }
        bytes
    };
    let decoded = receivers(MAX_RECEIVERS);
    let decoded = Transaction::decode(Layout::V1_1, &decoded).unwrap();
    assert_eq!(decoded.transaction.receivers.len(), MAX_RECEIVERS);
    let too_many = DescriptorError::TooManyReceivers(5);
    assert_eq!(Transaction::decode(Layout::V1_1, &receivers(MAX_RECEIVERS + 1)), Err(too_many));
    assert_eq!(too_many.status(), Status::NoMemory);
    let mut disagree = receivers(2);
    disagree[at::COMPOSITE_OFFSET] += 16;
    assert_eq!(Transaction::decode(Layout::V1_1, &disagree), Err(DescriptorError::SeveralComposites));
}

#[test]
fn every_truncation_is_noticed() {
    for layout in Layout::ALL {
        let bytes = share(layout);
        let ranges = bytes.len() - 32;
        for length in 0..ranges {
            let error = Transaction::decode(layout, &bytes[..length]).unwrap_err();
            assert!(matches!(error, DescriptorError::Truncated(_)), "{error} at {length}");
        }
        for length in ranges..bytes.len() {
            // The ranges may go on in the next fragment, but not in the middle of one.
            let decoded = Transaction::decode(layout, &bytes[..length]).unwrap();
            assert_eq!(decoded.total_length as usize, bytes.len());
            assert_eq!(Constituents::new(decoded.constituents).is_ok(), (length - ranges).is_multiple_of(16));
        }
    }
}

#[test]
fn ranges_are_checked() {
    use DescriptorError as E;
    let encoded = |address: u64, page_count: u32| Constituent { address, page_count }.encode();
    for (bytes, expected) in [
        (encoded(0x1000, 1), Ok(Constituent { address: 0x1000, page_count: 1 })),
        (
            encoded(0xffff_ffff_ffff_e000, 1),
            Ok(Constituent { address: 0xffff_ffff_ffff_e000, page_count: 1 }),
        ),
        (encoded(0xffff_ffff_ffff_f000, 1), Err(E::Overflow(0xffff_ffff_ffff_f000))),
        (encoded(0xffff_f000_0000_2000, u32::MAX), Err(E::Overflow(0xffff_f000_0000_2000))),
        (encoded(0x1008, 1), Err(E::Alignment(0x1008))),
        (encoded(0x1000, 0), Err(E::NoPages)),
    ] {
        assert_eq!(Constituent::decode(&bytes), expected);
    }
    let mut reserved = encoded(0x1000, 1);
    reserved[15] = 1;
    assert_eq!(Constituent::decode(&reserved), Err(E::Reserved(Part::Constituent)));
}

#[test]
fn relinquish_faults() {
    use DescriptorError as E;
    let mut good = [0; 32];
    let one = Relinquish {
        handle: Handle::new(5),
        flags: RelinquishFlags::ZERO_MEMORY,
        endpoints: List::of_one(EndpointId::new(0x8002)),
    };
    assert_eq!(one.encode(&mut good), Ok(18));
    assert_eq!(Relinquish::decode(&good), Ok(one));
    for length in 0..18 {
        assert_eq!(Relinquish::decode(&good[..length]), Err(E::Truncated(Part::Relinquish)));
        assert_eq!(one.encode(&mut [0; 32][..length]), Err(E::BufferTooSmall));
    }
    for (offset, value, error) in [
        (8, 4, E::Flags(4)),
        (12, 0, E::NoReceiver),
        (12, 5, E::TooManyReceivers(5)),
        (15, 0xff, E::TooManyReceivers(0xff00_0001)),
    ] {
        let mut bad = good;
        bad[offset] = value;
        assert_eq!(Relinquish::decode(&bad), Err(error), "{value:#x} at {offset}");
    }
}

#[test]
fn kinds_are_two_bits_of_the_flags() {
    for kind in TransactionKind::ALL {
        let flags = TransactionFlags::all().with_kind(kind);
        assert_eq!(flags.kind(), Some(kind));
        assert_eq!(flags & !TransactionFlags::KIND, TransactionFlags::all() & !TransactionFlags::KIND);
    }
    assert_eq!(TransactionFlags::empty().kind(), None);
    assert_eq!(TransactionKind::Lend.flags().bits(), 0x10);
}

proptest! {
    #[test]
    fn transaction_and_back(
        (layout, transaction) in layout().prop_flat_map(|layout| (Just(layout), transaction(layout)))
    ) {
        let mut bytes = [0xa5; 512];
        let length = transaction.encode(layout, &mut bytes).unwrap();
        let decoded = Transaction::decode(layout, &bytes[..length]).unwrap();
        prop_assert_eq!(decoded.transaction, transaction);
        prop_assert!(decoded.constituents.is_empty());
        prop_assert_eq!(Ok(decoded.total_length), transaction.total_length(layout));
        for short in 0..length {
            prop_assert_eq!(
                transaction.encode(layout, &mut bytes[..short]),
                Err(DescriptorError::BufferTooSmall)
            );
        }
    }

    #[test]
    fn ranges_and_back_in_fragments(ranges in vec(constituent(), 1..100), room in 16..600_usize) {
        let mut left = ranges.iter().copied();
        let mut read = Vec::new();
        while left.len() > 0 {
            let mut fragment = vec![0; room];
            let written = encode_constituents(&mut left, &mut fragment);
            prop_assert!(written == room / 16 * 16 || left.len() == 0);
            for range in Constituents::new(&fragment[..written]).unwrap() {
                read.push(range.unwrap());
            }
        }
        prop_assert_eq!(read, ranges);
    }

    #[test]
    fn relinquish_and_back(handle: u64, flags in 0..4_u32, ids in vec(any::<u16>(), 1..=MAX_RECEIVERS)) {
        let ids: Vec<_> = ids.into_iter().map(EndpointId::new).collect();
        let relinquish = Relinquish {
            handle: Handle::new(handle),
            flags: RelinquishFlags::from_bits_truncate(flags),
            endpoints: List::from_slice(&ids).unwrap(),
        };
        let mut bytes = [0; 64];
        let length = relinquish.encode(&mut bytes).unwrap();
        prop_assert_eq!(Relinquish::decode(&bytes[..length]), Ok(relinquish));
    }

    #[test]
    fn decoding_takes_any_bytes(layout in layout(), bytes in vec(any::<u8>(), 0..200)) {
        let _ = Transaction::decode(layout, &bytes);
        let _ = Relinquish::decode(&bytes);
        if let Ok(ranges) = Constituents::new(&bytes) {
            prop_assert_eq!(ranges.count(), bytes.len() / 16);
        }
    }

    /// Nearly right descriptors reach further than random bytes.
    #[test]
    fn decoding_takes_damaged_descriptors(
        layout in layout(),
        writer in layout(),
        damage in vec((0..128_usize, any::<u8>()), 0..6),
        length in 0..128_usize,
    ) {
        let mut bytes = share(writer);
        for (offset, value) in damage {
            if let Some(byte) = bytes.get_mut(offset) {
                *byte = value;
            }
        }
        bytes.truncate(length.max(64));
        if let Ok(decoded) = Transaction::decode(layout, &bytes) {
            // What was taken is one whole: its parts lie in the bytes, and it can be written again.
            prop_assert!(decoded.constituents.len() <= bytes.len());
            let mut again = [0; 512];
            let length = decoded.transaction.encode(layout, &mut again);
            prop_assert!(length.is_ok());
            let reread = Transaction::decode(layout, &again[..length.unwrap()]).unwrap();
            prop_assert_eq!(reread.transaction, decoded.transaction);
        }
    }

    #[test]
    fn reads_what_another_producer_writes(
        transaction in transaction(Layout::V1_1).prop_filter("ranges", |t| t.composite.is_some()),
        ranges in vec(constituent(), 1..20),
    ) {
        let total_pages = ranges.iter().map(|range| range.page_count).sum();
        let range_count = u32::try_from(ranges.len()).unwrap();
        let composite = Some(Composite { total_pages, range_count });
        let transaction = Transaction { composite, ..transaction };
        let descriptor = reference::MemTransactionDesc {
            sender_id: transaction.sender.raw(),
            mem_region_attr: transaction.attributes.encode().try_into().unwrap(),
            flags: reference::MemTransactionFlags(transaction.flags.bits()),
            handle: reference::Handle(transaction.handle.raw()),
            tag: transaction.tag,
        };
        let receivers: Vec<_> = transaction
            .receivers
            .iter()
            .map(|receiver| reference::MemAccessPerm {
                endpoint_id: receiver.endpoint.raw(),
                instr_access: receiver.permissions.encode().try_into().unwrap(),
                data_access: receiver.permissions.encode().try_into().unwrap(),
                flags: receiver.flags.bits(),
            })
            .collect();
        let theirs: Vec<_> = ranges
            .iter()
            .map(|range| reference::ConstituentMemRegion { address: range.address, page_cnt: range.page_count })
            .collect();
        let mut bytes = [0; 4096];
        let length = descriptor.pack(&theirs, &receivers, &mut bytes);
        let decoded = Transaction::decode(Layout::V1_1, &bytes[..length]).unwrap();
        prop_assert_eq!(decoded.transaction, transaction);
        prop_assert_eq!(decoded.total_length as usize, length);
        let read: Result<Vec<_>, _> = Constituents::new(decoded.constituents).unwrap().collect();
        prop_assert_eq!(read.as_deref(), Ok(&ranges[..]));
        // The other way round, byte for byte.
        let mut ours = [0; 4096];
        let start = transaction.encode(Layout::V1_1, &mut ours).unwrap();
        encode_constituents(&mut ranges.iter().copied(), &mut ours[start..]);
        prop_assert_eq!(ours, bytes);
    }
}
