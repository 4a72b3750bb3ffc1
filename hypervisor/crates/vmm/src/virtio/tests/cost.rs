//! How much a request costs.

use super::driver::{BUFFERS, MEMORY_SIZE, Queue, READ, RINGS, WRITE, acknowledge, begin, start};
use super::machine::{BASE, Memory};
use super::*;

/// Counts the accesses to guest memory of a read of 4 KiB as Linux makes it, which nothing else disturbs.
#[test]
fn a_block_request_of_a_page() {
    use tantalum_types::{Pa, PageRange};
    let range = PageRange::new(Pa::non_secure(BASE), 0x20).unwrap();
    let config = BlockConfig { sectors: 256, read_only: false, erase: true, identifier: [0; 20] };
    let mut disk =
        Ram { device: Block::new(config), disk: RamDisk::new(range), memory: Memory::new(0x2_0000) };
    let memory = Memory::new(MEMORY_SIZE);
    let features = begin(&mut disk, u64::MAX);
    let mut queue = Queue::new(&mut disk, &memory, 0, 128, RINGS, features);
    start(&mut disk);
    // The first request finds a queue that has never said when it wants to be notified.
    for round in 0..4 {
        memory.poke(BUFFERS, &[0; 16]);
        queue.add(&memory, &[(BUFFERS, 16, READ), (BUFFERS + 0x1000, 4096, WRITE), (BUFFERS + 16, 1, WRITE)]);
        memory.forget_reads();
        disk.memory.forget_reads();
        assert!(disk.write(0x50, 4, 0));
        let mut budget = Budget::NORMAL;
        assert_eq!(disk.run(&memory, &mut budget), Progress::Idle);
        if round == 0 {
            acknowledge(&mut disk);
            queue.collect(&memory);
            continue;
        }
        // Reads: the index three times (before, after, and after the disk was done), the entry, the descriptor, the table,
        // the header, the driver's event. Writes: the data, the status, the element, the index, the event.
        assert_eq!(memory.accesses.get(), 13, "round {round}");
        assert_eq!(memory.moved.get(), 4096 + 3 * 2 + 2 + 16 + 48 + 16 + 2 + 1 + 8 + 2 + 2);
        assert_eq!(disk.memory.accesses.get(), 1, "the disk's data are moved once");
        assert_eq!(disk.memory.moved.get(), 4096);
        assert_eq!(Budget::NORMAL.left() - budget.left(), 8);
        assert_eq!(memory.most_reads(queue.area, 128 * 16), 1, "descriptors");
        assert_eq!(memory.most_reads(BUFFERS, 0x3000), 1, "the header");
        assert_eq!(acknowledge(&mut disk), 1);
        assert_eq!(queue.collect(&memory).len(), 1);
    }
}

/// Reads eight pages by eight requests of one notification: one interrupt, and the accesses that they share once.
#[test]
fn block_requests_share_a_notification() {
    use tantalum_types::{Pa, PageRange};
    let range = PageRange::new(Pa::non_secure(BASE), 0x20).unwrap();
    let config = BlockConfig { sectors: 256, read_only: false, erase: true, identifier: [0; 20] };
    let mut disk =
        Ram { device: Block::new(config), disk: RamDisk::new(range), memory: Memory::new(0x2_0000) };
    let memory = Memory::new(MEMORY_SIZE);
    let features = begin(&mut disk, u64::MAX);
    let mut queue = Queue::new(&mut disk, &memory, 0, 128, RINGS, features);
    start(&mut disk);
    memory.poke(BUFFERS, &[0; 16]);
    for place in 1..9 {
        let data = BUFFERS + place * 0x1000;
        queue.add(&memory, &[(BUFFERS, 16, READ), (data, 4096, WRITE), (BUFFERS + 16, 1, WRITE)]).unwrap();
    }
    memory.forget_reads();
    disk.write(0x50, 4, 0);
    disk.run(&memory, &mut Budget::NORMAL.clone());
    assert_eq!(queue.collect(&memory).len(), 8);
    assert!(memory.accesses.get() <= 8 * 7 + 8 * 2, "{} accesses", memory.accesses.get());
    assert_eq!(memory.most_reads(queue.area, 128 * 16), 1);
}
