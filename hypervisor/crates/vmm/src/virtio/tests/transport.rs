//! The registers.

use super::driver::{Queue, RINGS, VERSION_1, acknowledge, begin, start};
use super::machine::{Memory, Source};
use super::*;

fn dice() -> Dice {
    Dice { device: Entropy::new(), backend: Source { next: 0, left: usize::MAX } }
}

#[test]
fn says_what_it_is() {
    let dice = dice();
    assert_eq!([0, 4, 8, 0xc].map(|offset| dice.read(offset, 4)), [0x7472_6976, 2, 4, 0x544e_4154]);
    assert_eq!([0, 4, 8, 0xc, 0x70].map(|offset| absent(offset, 4)), [0x7472_6976, 2, 0, 0x544e_4154, 0]);
    for offset in [0xb0, 0xb4, 0xb8, 0xbc] {
        assert_eq!(dice.read(offset, 4), 0xffff_ffff, "there is no shared memory at {offset:#x}");
    }
}

#[test]
fn registers_are_of_four_bytes() {
    let mut dice = dice();
    for (offset, size) in [(0, 1), (0, 2), (0, 8), (1, 4), (2, 4), (0xb1, 4), (0x1_0000, 4), (u64::MAX, 4)] {
        assert_eq!(dice.read(offset, size), 0, "{size} bytes at {offset:#x}");
    }
    for size in [1, 2, 8] {
        dice.write(0x70, size, 1);
    }
    dice.write(0x71, 4, 1);
    dice.write(0x70, 4, 1 << 32 | 1);
    assert_eq!(dice.read(0x70, 4), 0);
}

#[test]
fn the_configuration_is_read_by_its_fields() {
    let config =
        BlockConfig { sectors: 0x1234_5678_9abc, read_only: false, erase: true, identifier: [0; 20] };
    let block = Block::new(config);
    assert_eq!(block.read(0x100, 4), 0x5678_9abc);
    assert_eq!(block.read(0x104, 4), 0x1234);
    assert_eq!(block.read(0x100, 1), 0xbc);
    assert_eq!(block.read(0x102, 2), 0x5678);
    assert_eq!(block.read(0x108, 4), 0x1_0000, "size_max");
    assert_eq!(block.read(0x10c, 4), 30, "seg_max");
    assert_eq!(block.read(0x114, 4), 512, "blk_size");
    assert_eq!([0x124, 0x128, 0x12c, 0x130, 0x134].map(|at| block.read(at, 4)), [0x2000, 1, 1, 0x2000, 1]);
    assert_eq!(block.read(0x138, 1), 1);
    for (offset, size) in [(0x100, 8), (0x101, 2), (0x102, 4), (0x13c, 4), (0x1fc, 4), (0x100, 3)] {
        assert_eq!(block.read(offset, size), 0, "{size} bytes at {offset:#x}");
    }
}

#[test]
fn features_that_were_not_offered_are_not_taken() {
    let mut dice = dice();
    for (low, high) in [(1, 1), (0, 0), (0, 3)] {
        dice.write(0x70, 4, 0);
        dice.write(0x70, 4, 1);
        dice.write(0x70, 4, 3);
        for (select, value) in [(0, low), (1, high), (2, 0xffff)] {
            dice.write(0x24, 4, select);
            dice.write(0x20, 4, value);
        }
        dice.write(0x70, 4, 11);
        assert_eq!(dice.read(0x70, 4), 3, "{low:#x} {high:#x}");
        dice.write(0x70, 4, 15);
        assert_eq!(dice.read(0x70, 4), 3);
    }
    dice.write(0x14, 4, 2);
    assert_eq!(dice.read(0x10, 4), 0);
}

#[test]
fn features_stay_once_they_are_agreed_on() {
    let mut dice = dice();
    begin(&mut dice, VERSION_1);
    dice.write(0x24, 4, 1);
    dice.write(0x20, 4, 0);
    start(&mut dice);
}

#[test]
fn a_queue_is_described_before_it_is_ready() {
    let memory = Memory::new(0x1_0000);
    let mut dice = dice();
    begin(&mut dice, u64::MAX);
    let queue = Queue::new(&mut dice, &memory, 0, 8, RINGS, VERSION_1);
    dice.write(0x38, 4, 3);
    dice.write(0x80, 4, 1);
    dice.write(0x44, 4, 0);
    assert_eq!(dice.read(0x44, 4), 0);
    dice.write(0x44, 4, 1);
    assert_eq!(dice.read(0x44, 4), 1, "what was written while it was ready is ignored");
    dice.write(0xc0, 4, 1);
    assert_eq!([0x44, 0xc0].map(|offset| dice.read(offset, 4)), [0, 0]);
    dice.write(0x44, 4, 1);
    assert_eq!(dice.read(0x44, 4), 0, "a queue that was reset has no size");
    assert_eq!(dice.read(0x70, 4) & 64, 64);
    assert_eq!(queue.outstanding(), 0);
    dice.write(0x30, 4, 1);
    assert_eq!([0x34, 0x44].map(|offset| dice.read(offset, 4)), [0, 0], "there is no second queue");
    dice.write(0x44, 4, 1);
    assert_eq!(dice.read(0x44, 4), 0);
}

#[test]
fn a_queue_is_not_reset_unless_that_was_agreed_on() {
    let memory = Memory::new(0x1_0000);
    let mut dice = dice();
    begin(&mut dice, VERSION_1);
    Queue::new(&mut dice, &memory, 0, 8, RINGS, VERSION_1);
    dice.write(0xc0, 4, 1);
    assert_eq!(dice.read(0x44, 4), 1);
}

#[test]
fn queues_that_cannot_be_stop_the_device() {
    let good = [(0x38, 8), (0x80, RINGS), (0x90, RINGS), (0xa0, RINGS)];
    let bad = [(0x38, 0), (0x38, 3), (0x38, 16), (0x38, 0x1_0008), (0x80, RINGS + 8), (0x90, RINGS + 1)];
    let wrapping = [(0xa0, RINGS + 2), (0x84, 0xffff_ffff)];
    for (register, value) in bad.into_iter().chain(wrapping) {
        let mut dice = dice();
        begin(&mut dice, VERSION_1);
        for (register, value) in good {
            dice.write(register, 4, value);
        }
        if register == 0x84 {
            dice.write(0x80, 4, 0xffff_fff0);
        }
        dice.write(register, 4, value);
        dice.write(0x44, 4, 1);
        assert_eq!(dice.read(0x44, 4), 0, "{register:#x} {value:#x}");
        assert_eq!(dice.read(0x70, 4), 11 | 64);
        assert!(!dice.interrupt(), "a driver that does not listen yet is not interrupted");
    }
}

#[test]
fn notifications_count_while_the_device_is_live() {
    let memory = Memory::new(0x1_0000);
    let mut dice = dice();
    assert!(!dice.write(0x50, 4, 0));
    begin(&mut dice, VERSION_1);
    assert!(!dice.write(0x50, 4, 0));
    Queue::new(&mut dice, &memory, 0, 8, RINGS, VERSION_1);
    assert!(dice.write(0x70, 4, 15), "the queue may have something in it");
    assert!(dice.write(0x50, 4, 0));
    assert!(!dice.write(0x50, 4, 1), "there is no such queue");
    assert!(!dice.write(0x50, 4, 0xffff_ffff));
    dice.write(0x70, 4, 128 | 15);
    assert!(!dice.write(0x50, 4, 0), "the driver has given up");
}

#[test]
fn the_link_is_configuration_that_changes() {
    let mut card = Card { device: Net::new([2, 0, 0, 0, 0, 9]), backend: machine::Cable::default() };
    assert_eq!([0x100, 0x104].map(|offset| card.read(offset, 4)), [2, 0x1_0900]);
    let generation = card.read(0xfc, 4);
    card.device.set_link(false);
    assert!(!card.interrupt());
    assert_ne!(card.read(0xfc, 4), generation);
    assert_eq!(card.read(0x106, 2), 0);
    begin(&mut card, u64::MAX);
    start(&mut card);
    card.device.set_link(false);
    assert!(!card.interrupt(), "nothing has changed");
    card.device.set_link(true);
    assert!(card.interrupt());
    assert_eq!(acknowledge(&mut card), 2);
    assert_eq!(card.read(0x106, 2), 1);
}
