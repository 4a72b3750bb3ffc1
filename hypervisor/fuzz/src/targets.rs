//! The targets that are functions of bytes.

use tantalum_ffa::boot_info::BootInfo;
use tantalum_ffa::memory::{
    Composite, Constituent, Constituents, Handle, Layout, List, MemoryAttributes, Permissions, Receiver,
    Relinquish, RelinquishFlags, Transaction, TransactionFlags, TransactionKind,
};
use tantalum_ffa::notification::NotificationList;
use tantalum_ffa::{BufferDescription, Call, EndpointBuffers, MessageHeader, PartitionInfo, Version, Width};
use tantalum_manifest::{Package, PartitionManifest, SpmcManifest, check_partition};
use tantalum_sim::manifests;
use tantalum_types::{CallRegisters, EndpointId, Pa, PageRange, PartitionIndex, Uuid};

use crate::{machine, virtio};

/// Takes bytes.
pub struct Target {
    /// Its name.
    pub name: &'static str,
    /// What it is about.
    pub about: &'static str,
    /// Bounds the inputs in bytes.
    pub limit: usize,
    /// Takes an input, and panics if something is wrong.
    pub run: fn(&[u8]),
    /// Returns inputs to begin with.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// Lists the targets.
pub const TARGETS: &[Target] = &[
    Target {
        name: "registers",
        about: "x0 to x17 of a call, and back",
        limit: 144,
        run: registers,
        seeds: register_seeds,
    },
    Target {
        name: "descriptors",
        about: "descriptors of memory transactions in each version",
        limit: 600,
        run: descriptors,
        seeds: descriptor_seeds,
    },
    Target {
        name: "messages",
        about: "headers of messages and buffers, descriptions of partitions, lists of notifications",
        limit: 160,
        run: messages,
        seeds: || vec![vec![0; 160], (0..160).collect()],
    },
    Target {
        name: "package",
        about: "the header of a partition's package",
        limit: 64,
        run: |bytes| drop(Package::parse(bytes, 0x10_0000)),
        seeds: || vec![manifests::package(&[0; 64])[..64].to_vec()],
    },
    Target {
        name: "boot-info",
        about: "the boot information of a partition",
        limit: 128,
        run: boot_info,
        seeds: || vec![BootInfo { address: 0x0e30_1000, size: 0x400 }.encode().to_vec()],
    },
    Target {
        name: "spmc-manifest",
        about: "the SPMC's manifest",
        limit: 4096,
        run: spmc_manifest,
        seeds: || vec![manifests::spmc(&[("one", 1), ("many", 4)]).to_blob()],
    },
    Target {
        name: "partition-manifest",
        about: "the manifest of a partition",
        limit: 4096,
        run: partition_manifest,
        seeds: partition_seeds,
    },
    Target {
        name: "calls",
        about: "calls with any registers and buffers, of the normal world and of partitions, on two CPUs",
        limit: 600,
        run: machine::calls,
        seeds: machine::seeds,
    },
    Target {
        name: "interrupts",
        about: "virtual interrupts: each edge is delivered once, whatever its owner does",
        limit: 300,
        run: machine::interrupts,
        seeds: machine::seeds,
    },
    Target {
        name: "virtio-blk",
        about: "a driver of a block device that does anything with registers, rings and memory",
        limit: 1200,
        run: virtio::blk,
        seeds: virtio::seeds,
    },
    Target {
        name: "virtio-net",
        about: "a driver of a network device that does anything with registers, rings and memory",
        limit: 1200,
        run: virtio::net,
        seeds: virtio::seeds,
    },
    Target {
        name: "virtio-console",
        about: "a driver of a console that does anything with registers, rings and memory",
        limit: 1200,
        run: virtio::console,
        seeds: virtio::seeds,
    },
    Target {
        name: "virtio-rng",
        about: "a driver of a source of random bytes that does anything with registers, rings and memory",
        limit: 1200,
        run: virtio::entropy,
        seeds: virtio::seeds,
    },
];

fn registers(bytes: &[u8]) {
    let mut registers = CallRegisters::ZERO;
    for (register, chunk) in registers.0.iter_mut().zip(bytes.chunks(8)) {
        let mut eight = [0; 8];
        eight[..chunk.len()].copy_from_slice(chunk);
        *register = u64::from_le_bytes(eight);
    }
    let Ok(call) = Call::decode(&registers) else { return };
    // What was decoded is all there is to the call.
    assert_eq!(Call::decode(&call.encode()), Ok(call), "{registers:x?}");
    if let Some(list) = NotificationList::decode(&call) {
        assert!(list.entries().count() <= NotificationList::MAX_IDS);
    }
}

fn register_seeds() -> Vec<Vec<u8>> {
    let functions = (0x60..0xa0_u64).flat_map(|low| [0x8400_0000 | low, 0xc400_0000 | low]);
    functions
        .map(|function| {
            let registers = [function, 0x8001_8002, 3, 4, 5, 6, 7, 8];
            registers.into_iter().flat_map(u64::to_le_bytes).collect()
        })
        .collect()
}

fn descriptors(bytes: &[u8]) {
    let Some((which, bytes)) = bytes.split_first() else { return };
    let layout = Layout::ALL[usize::from(*which) % 3];
    if let Ok(decoded) = Transaction::decode(layout, bytes) {
        let ranges = Constituents::new(decoded.constituents);
        if let Ok(ranges) = ranges {
            for range in ranges.flatten() {
                assert!(range.page_count > 0 && range.address.is_multiple_of(4096), "{range:?}");
            }
        }
        // What is written from it is read as the same.
        let mut again = [0; 1024];
        if let Ok(size) = decoded.transaction.encode(layout, &mut again) {
            let second = Transaction::decode(layout, &again[..size]).expect("it was written by us");
            assert_eq!(second.transaction, decoded.transaction);
        }
    }
    if let Ok(relinquish) = Relinquish::decode(bytes) {
        let mut again = [0; 64];
        if let Ok(size) = relinquish.encode(&mut again) {
            assert_eq!(Relinquish::decode(&again[..size]), Ok(relinquish));
        }
    }
}

fn descriptor_seeds() -> Vec<Vec<u8>> {
    let receivers = [0x8001, 0x8002].map(|id| Receiver::new(EndpointId::new(id), Permissions::READ_WRITE));
    let transaction = Transaction {
        sender: EndpointId::new(0),
        attributes: MemoryAttributes::NORMAL,
        flags: TransactionFlags::empty().with_kind(TransactionKind::Lend),
        handle: Handle::new(0x1234),
        tag: 7,
        receivers: List::from_slice(&receivers).unwrap(),
        composite: Some(Composite { total_pages: 3, range_count: 2 }),
    };
    let mut all = Vec::new();
    for (which, layout) in (0..).zip(Layout::ALL) {
        let mut bytes = vec![0; 600];
        let size = transaction.encode(layout, &mut bytes).unwrap();
        bytes.truncate(size);
        for (address, page_count) in [(0x4000_0000, 1), (0x4100_0000, 2)] {
            bytes.extend(Constituent { address, page_count }.encode());
        }
        bytes.insert(0, which);
        all.push(bytes);
    }
    let mut bytes = [0; 19];
    let endpoints = List::of_one(EndpointId::new(0x8001));
    let relinquish = Relinquish { handle: Handle::new(5), flags: RelinquishFlags::ZERO_MEMORY, endpoints };
    relinquish.encode(&mut bytes[1..]).unwrap();
    all.push(bytes.to_vec());
    all
}

fn messages(bytes: &[u8]) {
    if let Some(first) = bytes.first_chunk() {
        for version in [Version::V1_1, Version::V1_2] {
            if let Ok(header) = MessageHeader::decode(version, first) {
                assert!(header.offset >= 20);
                assert_eq!(MessageHeader::decode(version, &header.encode(version)), Ok(header));
            }
        }
    }
    if let Some(first) = bytes.first_chunk() {
        let _ = EndpointBuffers::decode(first);
    }
    if let Some(first) = bytes.first_chunk() {
        let _ = BufferDescription::decode(first);
    }
    let _ = PartitionInfo::decode(bytes);
    let mut words = bytes.chunks_exact(8).map(|eight| u64::from_le_bytes(eight.try_into().unwrap()));
    let results = std::array::from_fn(|_| words.next().unwrap_or(0));
    let wide = Call::Success64 { target: tantalum_ffa::Target::NONE, results };
    for answer in [wide, Call::NotificationInfoGet { width: Width::Bits32 }] {
        if let Some(list) = NotificationList::decode(&answer) {
            let _ = list.entries().count();
        }
    }
}

fn boot_info(bytes: &[u8]) {
    if let Ok(info) = BootInfo::decode(bytes) {
        assert_eq!(BootInfo::decode(&info.encode()), Ok(info));
    }
}

fn spmc_manifest(bytes: &[u8]) {
    if let Ok(manifest) = SpmcManifest::parse(bytes) {
        for entry in &manifest.partitions {
            let _ = entry.memory();
        }
    }
}

fn partition_manifest(bytes: &[u8]) {
    let memory = PageRange::new(Pa::secure(manifests::partition_base(0)), 256).unwrap();
    let Ok(manifest) = PartitionManifest::parse_loaded(bytes, &memory) else { return };
    let spmc = SpmcManifest::parse(&manifests::spmc(&[("one", 1), ("many", 4)]).to_blob()).unwrap();
    for index in PartitionIndex::all().take(2) {
        let _ = check_partition(&spmc, index, [], &manifest);
    }
    let _ = manifest.messaging_of(&Uuid::nil());
    assert!(manifest.context_count >= 1);
}

fn partition_seeds() -> Vec<Vec<u8>> {
    let plain = manifests::partition(0, "one", 1);
    let rich = manifests::partition(0, "rich", 1)
        .with_node(manifests::device_regions([manifests::uart()]))
        .with_node(manifests::memory_regions([manifests::region("spare", manifests::SPARE_BASE, 4, 3)]));
    vec![plain.to_blob(), rich.to_blob()]
}
