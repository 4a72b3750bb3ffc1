//! What drivers may not do.

use tantalum_types::Ipa;

use super::driver::{
    BUFFERS, EVENT_IDX, MEMORY_SIZE, Queue, RINGS, VERSION_1, WRITE, acknowledge, begin, start,
};
use super::machine::{BASE, Memory, Source};
use super::*;

const END: u64 = BASE + MEMORY_SIZE as u64;

struct Setup {
    memory: Memory,
    dice: Dice,
    queue: Queue,
}

impl Setup {
    fn new(features: u64) -> Self {
        let memory = Memory::new(MEMORY_SIZE);
        let mut dice = Dice { device: Entropy::new(), backend: Source { next: 0, left: usize::MAX } };
        let features = begin(&mut dice, features);
        let queue = Queue::new(&mut dice, &memory, 0, 8, RINGS, features);
        start(&mut dice);
        Self { memory, dice, queue }
    }

    fn descriptor(&self, table: u64, index: u64, address: u64, length: u32, flags: u16, next: u16) {
        let mut bytes = address.to_le_bytes().to_vec();
        bytes.extend(length.to_le_bytes());
        bytes.extend(flags.to_le_bytes());
        bytes.extend(next.to_le_bytes());
        self.memory.poke(table + index * 16, &bytes);
    }

    fn ring(&self, index: u64, address: u64, length: u32, flags: u16, next: u16) {
        self.descriptor(RINGS, index, address, length, flags, next);
    }

    /// Makes descriptor 0 available and expects that the device stops, touches nothing more, and works after a reset.
    fn expect_stop(mut self) {
        self.queue.make_available(&self.memory, 0);
        self.expect_stop_at_notification();
    }

    fn expect_stop_at_notification(mut self) {
        assert!(self.dice.write(0x50, 4, 0));
        self.memory.forget_reads();
        assert_eq!(self.dice.run(&self.memory, &mut Budget::NORMAL.clone()), Progress::Idle);
        assert!(self.memory.accesses.get() < 80, "{} accesses", self.memory.accesses.get());
        assert_eq!(self.dice.read(0x70, 4), 15 | 64);
        assert_eq!(acknowledge(&mut self.dice), 2, "a configuration change says so");
        assert!(!self.dice.write(0x50, 4, 0));
        self.memory.forget_reads();
        self.dice.run(&self.memory, &mut Budget::NORMAL.clone());
        assert_eq!(self.memory.accesses.get(), 0, "it is stopped");
        let features = begin(&mut self.dice, u64::MAX);
        let mut queue = Queue::new(&mut self.dice, &self.memory, 0, 8, RINGS, features);
        start(&mut self.dice);
        queue.add(&self.memory, &[(BUFFERS, 16, WRITE)]).unwrap();
        queue.kick(&self.memory, &mut self.dice, 0);
        assert_eq!(queue.collect(&self.memory), [(0, 16)]);
    }
}

#[test]
fn a_chain_that_runs_in_a_circle() {
    let setup = Setup::new(u64::MAX);
    setup.ring(0, BUFFERS, 8, 3, 1);
    setup.ring(1, BUFFERS, 8, 3, 0);
    setup.expect_stop();
    let setup = Setup::new(u64::MAX);
    setup.ring(0, BUFFERS, 8, 3, 0);
    setup.expect_stop();
}

#[test]
fn a_descriptor_that_there_is_not() {
    let setup = Setup::new(u64::MAX);
    setup.ring(0, BUFFERS, 8, 3, 8);
    setup.expect_stop();
    for head in [8, 0xffff] {
        let mut setup = Setup::new(u64::MAX);
        setup.queue.make_available(&setup.memory, head);
        setup.expect_stop_at_notification();
    }
}

#[test]
fn memory_that_there_is_not() {
    let places = [
        (END, 1),
        (END - 8, 9),
        (BASE - 1, 1),
        (BASE - 8, 16),
        (0, 16),
        (u64::MAX, 1),
        (u64::MAX - 7, 16),
        (BUFFERS, u32::MAX),
        (BUFFERS | 1 << 63, 16),
    ];
    for (address, length) in places {
        let setup = Setup::new(u64::MAX);
        setup.ring(0, address, length, 2, 0);
        let before = setup.memory.peek(BASE, 16);
        assert!(!GuestMemory::contains(&setup.memory, Ipa::non_secure(address), length));
        assert_eq!(setup.memory.peek(BASE, 16), before);
        setup.expect_stop();
        // The same behind a good one: nothing of the chain is used.
        let setup = Setup::new(u64::MAX);
        setup.ring(0, BUFFERS, 16, 3, 1);
        setup.ring(1, address, length, 2, 0);
        setup.memory.poke(BUFFERS, &[0x55; 16]);
        let source = setup.dice.backend.next;
        assert_eq!(source, 0);
        setup.expect_stop();
    }
}

#[test]
fn buffers_to_read_behind_those_to_write() {
    let setup = Setup::new(u64::MAX);
    setup.ring(0, BUFFERS, 8, 3, 1);
    setup.ring(1, BUFFERS, 8, 0, 0);
    setup.expect_stop();
}

#[test]
fn a_chain_of_more_than_four_gigabytes() {
    let mut chain = super::super::chain::Chain::new();
    struct Everything;
    impl GuestMemory for Everything {
        fn read(&self, _: Ipa, _: &mut [u8]) -> Result<(), OutOfMemory> {
            Ok(())
        }
        fn write(&self, _: Ipa, _: &[u8]) -> Result<(), OutOfMemory> {
            Ok(())
        }
        fn contains(&self, _: Ipa, _: u32) -> bool {
            true
        }
    }
    chain.begin(0);
    assert!(chain.push(0, 0xffff_0000, false, &Everything).is_ok());
    assert!(chain.push(0, 0xffff, true, &Everything).is_ok());
    assert!(chain.push(0, 1, true, &Everything).is_err());
    assert_eq!((chain.readable(), chain.writable()), (0xffff_0000, 0xffff));
}

#[test]
fn an_index_that_jumps() {
    for index in [9u16, 0x8000, 0xffff] {
        let setup = Setup::new(u64::MAX);
        setup.memory.poke(setup.queue.available_ring() + 2, &index.to_le_bytes());
        setup.expect_stop_at_notification();
    }
}

#[test]
fn an_indirect_table_that_was_not_agreed_on() {
    let setup = Setup::new(VERSION_1);
    setup.ring(0, BUFFERS, 16, 4, 0);
    setup.descriptor(BUFFERS, 0, BUFFERS + 0x100, 16, 2, 0);
    setup.expect_stop();
}

#[test]
fn indirect_tables_that_cannot_be() {
    for (address, length, flags) in [
        (BUFFERS, 0, 4),
        (BUFFERS, 15, 4),
        (BUFFERS, 24, 4),
        (BUFFERS, 16, 5),
        (END - 16, 32, 4),
        (END, 16, 4),
        (u64::MAX - 15, 32, 4),
        (BUFFERS, 0xffff_fff0, 4),
    ] {
        let setup = Setup::new(u64::MAX);
        setup.ring(0, address, length, flags, 1);
        setup.ring(1, BUFFERS + 0x200, 16, 2, 0);
        setup.descriptor(BUFFERS, 0, BUFFERS + 0x100, 16, 2, 0);
        setup.expect_stop();
    }
}

#[test]
fn indirect_tables_with_chains_that_cannot_be() {
    for (flags, next) in [(3, 0), (3, 2), (3, 0xffff), (4, 0), (6, 0)] {
        let setup = Setup::new(u64::MAX);
        setup.ring(0, BUFFERS, 32, 4, 0);
        setup.descriptor(BUFFERS, 0, BUFFERS + 0x100, 16, 3, 1);
        setup.descriptor(BUFFERS, 1, BUFFERS + 0x100, 16, flags, next);
        setup.expect_stop();
    }
    // One that goes on longer than any device needs.
    let setup = Setup::new(u64::MAX);
    setup.ring(0, BUFFERS, 16 * 64, 4, 0);
    for index in 0..64 {
        setup.descriptor(BUFFERS, index, BUFFERS + 0x800, 1, 2 | u16::from(index < 63), index as u16 + 1);
    }
    setup.expect_stop();
}

#[test]
fn what_is_unusual_and_allowed() {
    // A table behind other descriptors, an entry of no bytes, entries out of order, and a table longer than its chain.
    let mut setup = Setup::new(!EVENT_IDX);
    setup.ring(0, BUFFERS, 4, 3, 5);
    setup.ring(5, BUFFERS + 0x1000, 16 * 100, 4, 0);
    setup.descriptor(BUFFERS + 0x1000, 0, BUFFERS + 4, 4, 3, 9);
    setup.descriptor(BUFFERS + 0x1000, 9, 0, 0, 3, 3);
    setup.descriptor(BUFFERS + 0x1000, 3, BUFFERS + 8, 4, 2, 77);
    setup.queue.make_available(&setup.memory, 0);
    assert!(setup.dice.write(0x50, 4, 0));
    assert_eq!(run(&mut setup.dice, &setup.memory), Progress::Idle);
    assert_eq!(setup.memory.peek(BUFFERS, 13), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0]);
    assert_eq!(setup.memory.peek(setup.queue.used_ring() + 2, 10), [1, 0, 0, 0, 0, 0, 12, 0, 0, 0]);
    assert_eq!(acknowledge(&mut setup.dice), 1);
}

#[test]
fn rings_that_are_no_memory() {
    for (register, value) in [(0x80, 0), (0x90, 0), (0xa0, 0), (0x90, END - 4), (0xa0, END - 4)] {
        let memory = Memory::new(MEMORY_SIZE);
        let mut dice = Dice { device: Entropy::new(), backend: Source { next: 0, left: usize::MAX } };
        let features = begin(&mut dice, u64::MAX);
        let mut queue = Queue::new(&mut dice, &memory, 0, 8, RINGS, features);
        queue.add(&memory, &[(BUFFERS, 16, WRITE)]).unwrap();
        if register == 0x90 && value != 0 {
            // The index is there, its entries are not.
            memory.poke(END - 2, &[1, 0]);
        }
        dice.write(0x44, 4, 0);
        dice.write(register, 4, value);
        dice.write(0x44, 4, 1);
        start(&mut dice);
        run(&mut dice, &memory);
        assert_eq!(dice.read(0x70, 4), 15 | 64, "{register:#x} {value:#x}");
    }
}
