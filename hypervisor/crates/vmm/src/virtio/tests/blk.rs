//! Disks.

use proptest::prelude::*;

use super::driver::{
    BUFFERS, EVENT_IDX, INDIRECT, MEMORY_SIZE, Queue, READ, RINGS, VERSION_1, WRITE, acknowledge, begin,
    start,
};
use super::machine::{BASE, Memory, SlowDisk};
use super::*;
use std::vec;
use std::vec::Vec;

const SECTORS: u64 = 256;
const HEADER: u64 = BUFFERS;
const STATUS: u64 = BUFFERS + 16;
const DATA: u64 = BUFFERS + 0x1000;

const IDENTIFIER: [u8; 20] = *b"a disk of a test....";

fn config(read_only: bool) -> BlockConfig {
    BlockConfig { sectors: SECTORS, read_only, erase: true, identifier: IDENTIFIER }
}

struct Setup<D> {
    memory: Memory,
    disk: D,
    queue: Queue,
}

fn setup<D: Device>(mut disk: D, features: u64) -> Setup<D> {
    let memory = Memory::new(MEMORY_SIZE);
    let features = begin(&mut disk, features);
    let queue = Queue::new(&mut disk, &memory, 0, 64, RINGS, features);
    start(&mut disk);
    Setup { memory, disk, queue }
}

fn slow(read_only: bool) -> Setup<Disk> {
    let disk = Disk { device: Block::new(config(read_only)), backend: SlowDisk::new(SECTORS as usize) };
    setup(disk, u64::MAX)
}

fn header(kind: u32, sector: u64) -> Vec<u8> {
    let mut bytes = kind.to_le_bytes().to_vec();
    bytes.extend([0; 4]);
    bytes.extend(sector.to_le_bytes());
    bytes
}

impl<D: Device> Setup<D> {
    /// Adds a request with buffers between header and status.
    fn add(&mut self, kind: u32, sector: u64, buffers: &[(u64, u32, bool)]) {
        self.memory.poke(HEADER, &header(kind, sector));
        self.memory.poke(STATUS, &[0xff]);
        let mut all = vec![(HEADER, 16, READ)];
        all.extend(buffers);
        all.push((STATUS, 1, WRITE));
        let old = self.queue.available;
        self.queue.add(&self.memory, &all).unwrap();
        self.queue.kick(&self.memory, &mut self.disk, old);
    }

    /// Does a request and returns its status and the length that the driver is told.
    fn ask(&mut self, kind: u32, sector: u64, buffers: &[(u64, u32, bool)]) -> (u8, u32) {
        self.add(kind, sector, buffers);
        let done = self.queue.collect(&self.memory);
        assert_eq!(done.len(), 1);
        assert_eq!(acknowledge(&mut self.disk), 1);
        (self.memory.peek(STATUS, 1)[0], done[0].1)
    }
}

#[test]
fn reads_and_writes_where_it_says() {
    let mut setup = slow(false);
    assert_eq!(setup.ask(0, 3, &[(DATA, 512, WRITE), (DATA + 0x1000, 1024, WRITE)]), (0, 1537));
    assert_eq!(setup.memory.peek(DATA, 512), setup.disk.backend.content[3 * 512..4 * 512]);
    assert_eq!(setup.memory.peek(DATA + 0x1000, 1024), setup.disk.backend.content[4 * 512..6 * 512]);
    setup.memory.poke(DATA, &[7; 512]);
    assert_eq!(setup.ask(1, SECTORS - 1, &[(DATA, 100, READ), (DATA + 100, 412, READ)]), (0, 1));
    assert_eq!(setup.disk.backend.content[255 * 512..], [7; 512]);
    assert_eq!(setup.ask(4, 0, &[]), (0, 1));
    assert!(matches!(setup.disk.backend.log.last(), Some(Operation::Flush)));
}

#[test]
fn a_request_may_be_cut_anywhere() {
    // The header in pieces, data and header in one buffer, data and status in one buffer (section 2.7.4.1).
    let mut setup = slow(false);
    setup.memory.poke(HEADER, &header(1, 9));
    setup.memory.poke(HEADER + 16, &[0x5a; 512]);
    let old = setup.queue.available;
    let buffers = [(HEADER, 3, READ), (HEADER + 3, 513, READ), (HEADER + 516, 12, READ), (DATA, 1, WRITE)];
    setup.queue.add(&setup.memory, &buffers).unwrap();
    setup.queue.kick(&setup.memory, &mut setup.disk, old);
    assert_eq!(setup.queue.collect(&setup.memory).len(), 1);
    assert_eq!(setup.disk.backend.content[9 * 512..10 * 512], [0x5a; 512]);
    setup.memory.poke(HEADER, &header(0, 9));
    let old = setup.queue.available;
    setup.queue.add(&setup.memory, &[(HEADER, 16, READ), (DATA, 513, WRITE), (DATA, 0, WRITE)]).unwrap();
    setup.queue.kick(&setup.memory, &mut setup.disk, old);
    assert_eq!(setup.queue.collect(&setup.memory)[0].1, 513);
    assert_eq!(setup.memory.peek(DATA, 513)[..512], [0x5a; 512]);
    assert_eq!(setup.memory.peek(DATA + 512, 1), [0]);
}

#[test]
fn refuses_what_is_not_on_the_disk() {
    let mut setup = slow(false);
    for (sector, length) in [(SECTORS, 512), (SECTORS - 1, 1024), (u64::MAX, 512), (u64::MAX / 512, 512)] {
        assert_eq!(setup.ask(0, sector, &[(DATA, length, WRITE)]).0, 1, "{sector} {length}");
        assert_eq!(setup.ask(1, sector, &[(DATA, length, READ)]).0, 1);
    }
    for length in [0, 1, 511, 513] {
        assert_eq!(setup.ask(0, 0, &[(DATA, length, WRITE)]).0, 1, "{length} bytes");
        assert_eq!(setup.ask(1, 0, &[(DATA, length, READ)]).0, 1);
    }
    let large: Vec<_> = (0..30).map(|_| (DATA, 0x1_1000, WRITE)).collect();
    assert_eq!(setup.ask(0, 0, &large).0, 1, "more than the configuration allows");
    assert!(setup.disk.backend.log.is_empty());
}

#[test]
fn a_disk_to_be_read_is_not_written() {
    let mut setup = slow(true);
    setup.disk.write(0x14, 4, 0);
    assert_eq!(setup.disk.read(0x10, 4) & (1 << 5 | 1 << 13 | 1 << 14), 1 << 5);
    assert_eq!(setup.ask(1, 0, &[(DATA, 512, READ)]), (1, 1));
    assert_eq!(setup.ask(11, 0, &[(DATA, 16, READ)]), (2, 1));
    assert_eq!(setup.ask(13, 0, &[(DATA, 16, READ)]), (2, 1));
    assert_eq!(setup.ask(0, 0, &[(DATA, 512, WRITE)]), (0, 513));
}

#[test]
fn says_its_name() {
    let mut setup = slow(false);
    assert_eq!(setup.ask(8, 0, &[(DATA, 20, WRITE)]), (0, 21));
    assert_eq!(setup.memory.peek(DATA, 20), IDENTIFIER);
    assert_eq!(setup.ask(8, 0, &[(DATA, 19, WRITE)]), (1, 0));
    assert_eq!(setup.ask(8, 0, &[(DATA, 30, WRITE)]), (0, 20), "there is a gap before the status");
}

#[test]
fn what_it_does_not_know_is_unsupported() {
    let mut setup = slow(false);
    for kind in [2, 3, 5, 6, 7, 9, 10, 12, 14, 15, 17, 0x8000_0000, u32::MAX] {
        assert_eq!(setup.ask(kind, 0, &[(DATA, 512, READ)]).0, 2, "{kind}");
    }
    let mut config = config(false);
    config.erase = false;
    let disk = Disk { device: Block::new(config), backend: SlowDisk::new(SECTORS as usize) };
    let mut setup = super::blk::setup(disk, u64::MAX);
    assert_eq!(setup.ask(11, 0, &[(DATA, 16, READ)]).0, 2);
    assert_eq!([0x124, 0x130, 0x138].map(|offset| setup.disk.read(offset, 4)), [0; 3]);
}

#[test]
fn erases_a_range_in_pieces() {
    let mut setup = slow(false);
    let segment = |sector: u64, sectors: u32, flags: u32| {
        let mut bytes = sector.to_le_bytes().to_vec();
        bytes.extend(sectors.to_le_bytes());
        bytes.extend(flags.to_le_bytes());
        bytes
    };
    let before = setup.disk.backend.content.clone();
    setup.memory.poke(DATA, &segment(10, 50, 1));
    assert_eq!(setup.ask(13, 0, &[(DATA, 16, READ)]), (0, 1));
    assert_eq!(setup.disk.backend.log.len(), 4);
    assert!(
        setup
            .disk
            .backend
            .log
            .iter()
            .all(|operation| { matches!(operation, Operation::WriteZeroes { unmap: true, .. }) })
    );
    assert_eq!(setup.disk.backend.content[10 * 512..60 * 512], [0; 50 * 512]);
    assert_eq!(setup.disk.backend.content[..10 * 512], before[..10 * 512]);
    assert_eq!(setup.disk.backend.content[60 * 512..], before[60 * 512..]);
    setup.memory.poke(DATA, &segment(0, 1, 0));
    assert_eq!(setup.ask(11, 0, &[(DATA, 16, READ)]), (0, 1));
    assert_eq!(setup.disk.backend.content[..512], [0; 512]);
    let count = setup.disk.backend.log.len();
    for (kind, sector, sectors, flags, status) in [
        (11, 0, 1, 1, 2),
        (11, 0, 1, 2, 2),
        (13, 0, 1, 2, 2),
        (13, 0, 1, 3, 2),
        (13, 0, 0, 0, 1),
        (13, SECTORS, 1, 0, 1),
        (11, u64::MAX, 1, 0, 1),
        (13, 0, 0x2001, 0, 1),
        (13, 0, u32::MAX, 0, 1),
    ] {
        setup.memory.poke(DATA, &segment(sector, sectors, flags));
        assert_eq!(setup.ask(kind, 0, &[(DATA, 16, READ)]), (status, 1), "{kind} {sector} {sectors} {flags}");
    }
    for length in [0, 8, 15, 17, 32] {
        assert_eq!(setup.ask(13, 0, &[(DATA, length, READ)]), (1, 1), "{length} bytes of segments");
    }
    assert_eq!(setup.disk.backend.log.len(), count);
}

#[test]
fn a_disk_that_fails_is_an_error() {
    let mut setup = slow(false);
    setup.disk.backend.fails = true;
    assert_eq!(setup.ask(0, 0, &[(DATA, 512, WRITE)]), (1, 0));
    assert_eq!(setup.ask(1, 0, &[(DATA, 512, READ)]), (1, 1));
    assert_eq!(setup.ask(4, 0, &[]), (1, 1));
    setup.disk.backend.fails = false;
    assert_eq!(setup.ask(0, 0, &[(DATA, 512, WRITE)]), (0, 513));
}

#[test]
fn a_request_without_room_for_an_answer_stops_the_device() {
    for buffers in
        [&[(HEADER, 16, READ)][..], &[(HEADER, 15, READ), (STATUS, 1, WRITE)], &[(STATUS, 1, WRITE)]]
    {
        let mut setup = slow(false);
        setup.queue.add(&setup.memory, buffers).unwrap();
        setup.queue.kick(&setup.memory, &mut setup.disk, 0);
        assert_eq!(setup.disk.read(0x70, 4), 15 | 64, "{buffers:?}");
        assert!(setup.queue.collect(&setup.memory).is_empty());
    }
}

#[test]
fn requests_end_when_the_disk_has_done_them() {
    let mut setup = slow(false);
    setup.disk.backend.may_finish = 0;
    setup.add(0, 5, &[(DATA, 8192, WRITE)]);
    assert!(setup.queue.collect(&setup.memory).is_empty());
    assert!(!setup.disk.interrupt());
    assert_eq!(setup.memory.peek(DATA, 8192), [0; 8192]);
    setup.disk.backend.may_finish = 1;
    assert_eq!(run(&mut setup.disk, &setup.memory), Progress::Idle);
    assert_eq!(setup.memory.peek(DATA, 4096), setup.disk.backend.content[5 * 512..13 * 512]);
    assert!(!setup.disk.interrupt());
    setup.disk.backend.may_finish = 1;
    run(&mut setup.disk, &setup.memory);
    assert!(setup.disk.interrupt());
    assert_eq!(setup.queue.collect(&setup.memory)[0].1, 8193);
    assert_eq!(setup.memory.peek(DATA, 8192), setup.disk.backend.content[5 * 512..21 * 512]);
}

#[test]
fn a_reset_forgets_what_the_disk_still_does() {
    for reset in [(0x70, 0), (0x44, 0), (0xc0, 1)] {
        let mut setup = slow(false);
        setup.disk.backend.may_finish = 0;
        for _ in 0..3 {
            setup.add(0, 5, &[(DATA, 4096, WRITE)]);
        }
        assert_eq!(setup.disk.backend.accepted.len(), 3);
        setup.disk.write(reset.0, 4, reset.1);
        setup.disk.backend.may_finish = usize::MAX;
        setup.memory.forget_reads();
        run(&mut setup.disk, &setup.memory);
        assert_eq!(setup.memory.peek(DATA, 4096), [0; 4096], "nothing comes after {reset:x?}");
        assert!(setup.disk.backend.accepted.is_empty());
        assert!(!setup.disk.interrupt());
        let features = begin(&mut setup.disk, u64::MAX);
        setup.queue = Queue::new(&mut setup.disk, &setup.memory, 0, 64, RINGS, features);
        start(&mut setup.disk);
        assert_eq!(setup.ask(0, 1, &[(DATA, 512, WRITE)]), (0, 513));
        assert_eq!(setup.memory.peek(DATA, 512), setup.disk.backend.content[512..1024]);
    }
}

#[test]
fn a_full_backend_is_asked_again() {
    let mut setup = slow(false);
    setup.disk.backend.depth = 0;
    setup.add(0, 5, &[(DATA, 512, WRITE)]);
    assert_eq!(run(&mut setup.disk, &setup.memory), Progress::Blocked);
    setup.disk.backend.depth = 1;
    assert_eq!(run(&mut setup.disk, &setup.memory), Progress::Idle);
    assert_eq!(setup.queue.collect(&setup.memory).len(), 1);
}

#[test]
fn a_long_request_is_done_a_budget_at_a_time() {
    let mut setup = slow(false);
    setup.memory.poke(HEADER, &header(0, 0));
    let buffers: Vec<_> = (0..16).map(|piece| (DATA + piece * 8192, 8192, WRITE)).collect();
    let mut all = vec![(HEADER, 16, READ)];
    all.extend(buffers);
    all.push((STATUS, 1, WRITE));
    setup.queue.add(&setup.memory, &all).unwrap();
    assert!(setup.disk.write(0x50, 4, 0));
    let mut runs = 0;
    loop {
        setup.memory.forget_reads();
        runs += 1;
        let progress = setup.disk.run(&setup.memory, &mut Budget::new(16));
        assert!(setup.memory.moved.get() <= 16 * 4096, "{} bytes in one run", setup.memory.moved.get());
        if progress == Progress::Idle {
            break;
        }
    }
    assert!(runs >= 3, "{runs} runs");
    assert_eq!(setup.memory.peek(DATA, 0x2_0000), setup.disk.backend.content);
}

fn ram() -> Ram {
    use tantalum_types::{Pa, PageRange};
    let memory = Memory::new(0x2_2000);
    let range = PageRange::new(Pa::non_secure(BASE + 0x1000), 0x20).unwrap();
    Ram { device: Block::new(config(false)), disk: RamDisk::new(range), memory }
}

#[test]
fn a_disk_in_memory_stays_in_its_memory() {
    let mut disk = ram();
    assert_eq!(disk.disk.sectors(), SECTORS);
    let range = disk.memory.peek(BASE, 0x2_2000).len();
    assert_eq!(range, 0x2_2000);
    let mut finish = |operation, data: u8| {
        let mut on = disk.disk.on(&disk.memory);
        assert_eq!(
            on.submit(3, operation, |buffer| {
                buffer.fill(data);
                true
            }),
            Submitted::Accepted
        );
        assert_eq!(on.submit(4, Operation::Flush, |_| true), Submitted::Busy);
        let mut result = None;
        assert!(on.complete(|tag, outcome| result = Some((tag, outcome.map(<[u8]>::to_vec)))));
        assert!(!on.complete(|_, _| ()));
        let (tag, outcome) = result.unwrap();
        assert_eq!(tag, 3);
        outcome
    };
    assert_eq!(finish(Operation::Write { sector: 255, bytes: 512 }, 9), Ok(vec![]));
    assert_eq!(finish(Operation::Read { sector: 254, bytes: 1024 }, 0).unwrap()[512..], [9; 512]);
    for (sector, bytes) in [(255, 1024), (256, 512), (u64::MAX / 512, 512), (u64::MAX, 512), (0, 8192)] {
        assert_eq!(finish(Operation::Read { sector, bytes }, 0), Err(IoError));
        assert_eq!(finish(Operation::Write { sector, bytes }, 1), Err(IoError));
    }
    assert_eq!(finish(Operation::WriteZeroes { sector: 200, sectors: 57, unmap: false }, 0), Err(IoError));
    for sector in 0..SECTORS {
        assert_eq!(finish(Operation::Write { sector, bytes: 512 }, 9), Ok(vec![]));
    }
    assert_eq!(finish(Operation::WriteZeroes { sector: 3, sectors: 30, unmap: false }, 0), Ok(vec![]));
    let content = disk.memory.peek(BASE, 0x2_2000);
    assert!(content[..0x1000].iter().chain(&content[0x2_1000..]).all(|byte| *byte == 0));
    let zeroes = content[0x1000..0x2_1000].iter().enumerate().filter(|(_, byte)| **byte == 0);
    assert!(zeroes.map(|(at, _)| at).eq(3 * 512..33 * 512));
}

/// Is what a driver asks for.
#[derive(Clone, Debug)]
struct Request {
    kind: u8,
    sector: u64,
    sectors: u32,
    /// Where the data are cut.
    cuts: Vec<u32>,
    fill: u8,
}

fn request() -> impl Strategy<Value = Request> {
    let cuts = prop::collection::vec(1u32..3000, 0..6);
    (0u8..6, 0..SECTORS + 4, 1u32..24, cuts, any::<u8>())
        .prop_map(|(kind, sector, sectors, cuts, fill)| Request { kind, sector, sectors, cuts, fill })
}

/// Runs requests in batches on a device and on a plain array, and compares what the driver sees.
fn compare<D: Device>(
    mut setup: Setup<D>,
    initial: Vec<u8>,
    batches: Vec<Vec<Request>>,
    mut stir: impl FnMut(&mut D),
) -> Vec<u8> {
    let mut model = initial;
    for batch in batches {
        let old = setup.queue.available;
        let mut expected = Vec::new();
        for (place, request) in batch.iter().enumerate() {
            // Requests of a batch are done in any order, so they keep to a part of the disk each.
            let sector = if request.sector < SECTORS {
                request.sector % 32 + place as u64 * 64
            } else {
                request.sector
            };
            let at = DATA + place as u64 * 0x8000;
            let (head, status, data) = (at, at + 16, at + 0x400);
            let bytes = request.sectors * 512;
            let kind = [0, 1, 4, 8, 13, 99][usize::from(request.kind)];
            setup.memory.poke(head, &header(kind, sector));
            let start = sector as usize * 512;
            let inside = sector + u64::from(request.sectors) <= SECTORS;
            let (length, writable) = match kind {
                0 => (bytes, WRITE),
                1 => (bytes, READ),
                8 => (20, WRITE),
                13 => (16, READ),
                _ => (0, READ),
            };
            if kind == 13 {
                let mut segment = sector.to_le_bytes().to_vec();
                segment.extend(request.sectors.to_le_bytes());
                segment.extend([0; 4]);
                setup.memory.poke(data, &segment);
            } else {
                setup.memory.poke(data, &vec![request.fill; length as usize]);
            }
            let range = start..start + bytes as usize;
            let (answer, content) = match kind {
                0 if inside => (0, model[range].to_vec()),
                1 if inside => {
                    model[range].fill(request.fill);
                    (0, vec![request.fill; length as usize])
                }
                13 if inside => {
                    model[range].fill(0);
                    (0, setup.memory.peek(data, 16))
                }
                0 | 1 | 13 => (1, setup.memory.peek(data, length as usize)),
                4 => (0, vec![]),
                8 => (0, IDENTIFIER.to_vec()),
                _ => (2, vec![]),
            };
            let mut buffers = vec![(head, 16, READ)];
            let mut from = 0;
            for cut in &request.cuts {
                let piece = (*cut).min(length - from);
                buffers.push((data + u64::from(from), piece, writable));
                from += piece;
            }
            buffers.push((data + u64::from(from), length - from, writable));
            buffers.push((status, 1, WRITE));
            let head = setup.queue.add(&setup.memory, &buffers).unwrap();
            expected.push((head, status, answer, data, content));
        }
        setup.queue.kick(&setup.memory, &mut setup.disk, old);
        let mut done = setup.queue.collect(&setup.memory);
        for _ in 0..2000 {
            if setup.queue.outstanding() == 0 {
                break;
            }
            stir(&mut setup.disk);
            run(&mut setup.disk, &setup.memory);
            done.extend(setup.queue.collect(&setup.memory));
        }
        assert_eq!(done.len(), expected.len(), "every request is answered once");
        acknowledge(&mut setup.disk);
        for (head, status, answer, data, content) in expected {
            assert!(done.iter().any(|(other, _)| *other == head));
            assert_eq!(setup.memory.peek(status, 1), [answer]);
            assert_eq!(setup.memory.peek(data, content.len()), content);
        }
    }
    assert_eq!(setup.memory.refused.get(), 0);
    model
}

fn batches() -> impl Strategy<Value = Vec<Vec<Request>>> {
    prop::collection::vec(prop::collection::vec(request(), 1..4), 1..10)
}

fn features() -> impl Strategy<Value = u64> {
    (any::<bool>(), any::<bool>()).prop_map(|(event, indirect)| {
        VERSION_1 | if event { EVENT_IDX } else { 0 } | if indirect { INDIRECT } else { 0 }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_disk_that_takes_its_time_is_a_disk(
        batches in batches(),
        features in features(),
        depth in 1usize..5,
        order in 0usize..5,
        limit in 1u32..10,
    ) {
        let mut backend = SlowDisk::new(SECTORS as usize);
        (backend.depth, backend.order, backend.may_finish, backend.limit) = (depth, order, 0, limit * 512);
        let initial = backend.content.clone();
        let mut device = Disk { device: Block::new(config(false)), backend };
        device.backend.content.clone_from(&initial);
        let model = compare(setup(device, features), initial, batches, |disk| {
            disk.backend.may_finish = 1;
            disk.backend.order += 1;
        });
        prop_assert_eq!(model.len(), SECTORS as usize * 512);
    }

    #[test]
    fn a_disk_in_memory_is_a_disk(batches in batches(), features in features()) {
        compare(setup(ram(), features), vec![0; SECTORS as usize * 512], batches, |_| panic!("it is done at once"));
    }
}
