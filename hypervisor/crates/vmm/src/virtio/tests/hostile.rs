//! A driver that does anything: its own device stops at worst.

use proptest::prelude::*;
use std::vec::Vec;

use super::driver::{BUFFERS, MEMORY_SIZE, Queue, READ, RINGS, WRITE, begin, start};
use super::machine::{BASE, Cable, Memory, SlowDisk, Source, Tty};
use super::*;

#[derive(Clone, Debug)]
enum Step {
    /// Write a register.
    Write { offset: u64, size: u8, value: u64 },
    /// Read one.
    Read { offset: u64, size: u8 },
    /// Write bytes where the queues are.
    Poke { at: u64, bytes: Vec<u8> },
    /// Write a descriptor that may well mean something.
    Descriptor { at: u64, address: u64, length: u32, flags: u16, next: u16 },
    /// Say that chains are available.
    Available { queue: u64, heads: Vec<u16>, index: u16 },
    /// Let the device work with that budget.
    Run { budget: u32 },
    /// Set the device up as it should be.
    Begin { features: u64 },
}

fn register() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => prop::sample::select(&[
            0x14u64, 0x20, 0x24, 0x30, 0x38, 0x44, 0x50, 0x64, 0x70, 0x80, 0x84, 0x90, 0x94, 0xa0, 0xa4, 0xac, 0xc0,
        ][..]),
        1 => 0u64..0x200,
        1 => any::<u64>(),
    ]
}

fn value() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => 0u64..16,
        2 => RINGS..RINGS + 0x8000,
        1 => any::<u32>().prop_map(u64::from),
        1 => any::<u64>(),
    ]
}

fn address() -> impl Strategy<Value = u64> {
    let end = BASE + MEMORY_SIZE as u64;
    prop_oneof![6 => BUFFERS..end - 0x2000, 1 => RINGS..RINGS + 0x4000, 1 => end - 64..end + 64, 1 => any::<u64>()]
}

fn step() -> impl Strategy<Value = Step> {
    let size = prop_oneof![8 => Just(4u8), 1 => prop::sample::select(&[1u8, 2, 8][..])];
    let length = prop_oneof![4 => 0u32..0x2000, 2 => Just(16u32), 1 => Just(48u32), 1 => any::<u32>()];
    let flags = prop_oneof![6 => 0u16..4, 2 => 4u16..8, 1 => any::<u16>()];
    let place = prop_oneof![4 => (0u64..16).prop_map(|index| RINGS + index * 16), 2 => (0u64..8).prop_map(|index| BUFFERS + index * 16)];
    prop_oneof![
        3 => (register(), size.clone(), value()).prop_map(|(offset, size, value)| Step::Write { offset, size, value }),
        1 => (register(), size).prop_map(|(offset, size)| Step::Read { offset, size }),
        1 => (RINGS..RINGS + 0x6000, prop::collection::vec(any::<u8>(), 1..64)).prop_map(|(at, bytes)| Step::Poke { at, bytes }),
        6 => (place, address(), length, flags, 0u16..18).prop_map(|(at, address, length, flags, next)| {
            Step::Descriptor { at, address, length, flags, next }
        }),
        6 => (0u64..2, prop::collection::vec(0u16..18, 1..9), prop_oneof![8 => 0u16..9, 1 => any::<u16>()])
            .prop_map(|(queue, heads, index)| Step::Available { queue, heads, index }),
        4 => prop_oneof![Just(1u32), Just(16), Just(256)].prop_map(|budget| Step::Run { budget }),
        1 => any::<u64>().prop_map(|features| Step::Begin { features }),
    ]
}

/// Counts the bytes that a run may move for each unit of its budget, and beyond it: what was begun is finished.
const PER_UNIT: usize = 4096 + 64;
const BEYOND: usize = 64 * 1024;

fn torment(device: &mut impl Device, queues: u64, steps: Vec<Step>) {
    let memory = Memory::new(MEMORY_SIZE);
    // What lies before the rings is nobody's.
    memory.poke(BASE, &[0xa5; 0x1000]);
    let set_up = |device: &mut _, features| {
        let features = begin(device, features | 1 << 32);
        for index in 0..queues {
            if device_queue_max(device, index) >= 8 {
                Queue::new(device, &memory, index, 8, RINGS + index * 0x2000, features);
            }
        }
        start(device);
    };
    set_up(device, u64::MAX);
    for step in steps {
        match step {
            Step::Write { offset, size, value } => {
                device.write(offset, size, value);
            }
            Step::Read { offset, size } => {
                device.read(offset, size);
            }
            Step::Poke { at, bytes } => memory.poke(at, &bytes),
            Step::Descriptor { at, address, length, flags, next } => {
                let mut bytes = address.to_le_bytes().to_vec();
                bytes.extend(length.to_le_bytes());
                bytes.extend(flags.to_le_bytes());
                bytes.extend(next.to_le_bytes());
                memory.poke(at, &bytes);
                memory.poke(at + 0x2000, &bytes);
            }
            Step::Available { queue, heads, index } => {
                let ring = RINGS + queue * 0x2000 + 128;
                for (place, head) in heads.iter().enumerate() {
                    memory.poke(ring + 4 + place as u64 * 2, &head.to_le_bytes());
                }
                let old = memory.peek16(ring + 2);
                memory.poke(ring + 2, &old.wrapping_add(index).to_le_bytes());
                device.write(0x50, 4, queue);
            }
            Step::Run { budget } => {
                memory.forget_reads();
                let stopped = device.read(0x70, 4) & 64 != 0;
                device.run(&memory, &mut Budget::new(budget));
                let (accesses, moved) = (memory.accesses.get(), memory.moved.get());
                assert!(accesses < 8 * budget as usize + 400, "{accesses} accesses for {budget}");
                assert!(moved < PER_UNIT * budget as usize + BEYOND, "{moved} bytes for {budget}");
                assert!(!stopped || accesses == 0, "a device that is stopped does nothing");
            }
            Step::Begin { features } => set_up(device, features),
        }
    }
    // A reset makes up for everything.
    device.write(0x70, 4, 0);
    run(device, &memory);
    assert!(!device.interrupt());
    set_up(device, u64::MAX);
    assert_eq!(device.read(0x70, 4), 15);
    assert_eq!(memory.peek(BASE, 0x1000), [0xa5; 0x1000], "no step names an address there");
}

fn device_queue_max(device: &mut impl Device, index: u64) -> u64 {
    device.write(0x30, 4, index);
    device.read(0x34, 4)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn of_a_disk(steps in prop::collection::vec(step(), 1..80), depth in 1usize..4) {
        let config = BlockConfig { sectors: 256, read_only: false, erase: true, identifier: [0; 20] };
        let mut backend = SlowDisk::new(256);
        backend.depth = depth;
        let mut device = Disk { device: Block::new(config), backend };
        torment(&mut device, 1, steps);
        prop_assert_eq!(device.backend.content.len(), 256 * 512);
    }

    #[test]
    fn of_a_network(steps in prop::collection::vec(step(), 1..80), coming in 0usize..100) {
        let mut backend = Cable::default();
        backend.coming.extend((0..coming).map(|length| std::vec![length as u8; 14 + length * 15]));
        torment(&mut Card { device: Net::new([2, 0, 0, 0, 0, 1]), backend }, 2, steps);
    }

    #[test]
    fn of_a_console(steps in prop::collection::vec(step(), 1..80), typed in 0u32..2000) {
        let mut backend = Tty::default();
        backend.typed.extend((0..typed).map(|number| number as u8));
        torment(&mut Terminal { device: Console::new(), backend }, 2, steps);
    }

    #[test]
    fn of_random_numbers(steps in prop::collection::vec(step(), 1..80), left in 0usize..10_000) {
        torment(&mut Dice { device: Entropy::new(), backend: Source { next: 0, left } }, 1, steps);
    }
}

#[test]
fn a_device_that_is_stopped_leaves_others_alone() {
    let memory = Memory::new(MEMORY_SIZE);
    let new = || Dice { device: Entropy::new(), backend: Source { next: 0, left: usize::MAX } };
    let (mut bad, mut good) = (new(), new());
    let mut queues: Vec<_> = [&mut bad, &mut good]
        .into_iter()
        .zip([RINGS, RINGS + 0x4000])
        .map(|(device, area)| {
            let features = begin(device, u64::MAX);
            let queue = Queue::new(device, &memory, 0, 8, area, features);
            start(device);
            queue
        })
        .collect();
    queues[0].add(&memory, &[(0, 16, WRITE), (BUFFERS, 16, READ)]);
    bad.write(0x50, 4, 0);
    run(&mut bad, &memory);
    assert_eq!(bad.read(0x70, 4) & 64, 64);
    for _ in 0..20 {
        let old = queues[1].available;
        queues[1].add(&memory, &[(BUFFERS, 16, WRITE)]).unwrap();
        queues[1].kick(&memory, &mut good, old);
        assert_eq!(queues[1].collect(&memory).len(), 1);
    }
}
