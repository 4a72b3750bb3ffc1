//! Networks.

use std::vec;
use std::vec::Vec;

use super::driver::{BUFFERS, MEMORY_SIZE, Queue, READ, RINGS, WRITE, acknowledge, begin, start};
use super::machine::{Cable, Memory};
use super::*;

struct Setup {
    memory: Memory,
    card: Card,
    receive: Queue,
    transmit: Queue,
}

fn setup() -> Setup {
    let memory = Memory::new(MEMORY_SIZE);
    let mut card = Card { device: Net::new([2, 0, 0, 0, 0, 1]), backend: Cable::default() };
    let features = begin(&mut card, u64::MAX);
    let receive = Queue::new(&mut card, &memory, 0, 16, RINGS, features);
    let transmit = Queue::new(&mut card, &memory, 1, 64, RINGS + 0x4000, features);
    start(&mut card);
    Setup { memory, card, receive, transmit }
}

fn frame(length: usize, seed: u8) -> Vec<u8> {
    (0..length).map(|index| index as u8 ^ seed).collect()
}

impl Setup {
    fn send(&mut self, header: &[u8; 12], frame: &[u8], cuts: &[u32]) {
        let mut bytes = header.to_vec();
        bytes.extend(frame);
        self.memory.poke(BUFFERS, &bytes);
        let mut buffers = Vec::new();
        let mut from = 0;
        for cut in cuts.iter().chain(&[u32::MAX]) {
            let piece = (*cut).min(bytes.len() as u32 - from);
            buffers.push((BUFFERS + u64::from(from), piece, READ));
            from += piece;
        }
        let old = self.transmit.available;
        self.transmit.add(&self.memory, &buffers).unwrap();
        self.transmit.kick(&self.memory, &mut self.card, old);
        let done = self.transmit.collect(&self.memory);
        assert_eq!(done.len(), 1);
        assert_eq!(done[0].1, 0);
    }

    fn offer(&mut self, place: u64, length: u32) {
        let old = self.receive.available;
        self.receive.add(&self.memory, &[(BUFFERS + place * 2048, length, WRITE)]).unwrap();
        self.receive.kick(&self.memory, &mut self.card, old);
    }
}

#[test]
fn sends_whole_frames() {
    let mut setup = setup();
    for (length, cuts) in [(14, &[][..]), (60, &[12]), (1514, &[5, 7, 14, 1000]), (1518, &[12, 14])] {
        setup.send(&[0; 12], &frame(length, 3), cuts);
        assert_eq!(setup.card.backend.sent.pop().unwrap(), frame(length, 3));
    }
}

#[test]
fn frames_that_cannot_be_are_lost_and_nothing_else() {
    let mut setup = setup();
    for length in [0, 13, 1519, 9000] {
        setup.send(&[0; 12], &frame(length, 3), &[]);
    }
    let mut offload = [0; 12];
    offload[0] = 1;
    setup.send(&offload, &frame(60, 3), &[]);
    offload = [0; 12];
    offload[1] = 1;
    setup.send(&offload, &frame(60, 3), &[]);
    assert!(setup.card.backend.sent.is_empty());
    setup.send(&[0; 12], &frame(60, 3), &[]);
    assert_eq!(setup.card.backend.sent.len(), 1);
    assert_eq!(setup.card.read(0x70, 4), 15);
}

#[test]
fn receives_whole_frames_with_their_header() {
    let mut setup = setup();
    for place in 0..4 {
        setup.offer(place, 2048);
    }
    setup.receive.collect(&setup.memory);
    setup.card.backend.coming.extend([frame(60, 1), frame(1514, 2)]);
    assert_eq!(run(&mut setup.card, &setup.memory), Progress::Idle);
    assert_eq!(acknowledge(&mut setup.card), 1);
    let lengths: Vec<_> =
        setup.receive.collect(&setup.memory).into_iter().map(|(_, length)| length).collect();
    assert_eq!(lengths, [72, 1526]);
    let mut expected = vec![0; 10];
    expected.extend([1, 0]);
    expected.extend(frame(60, 1));
    assert_eq!(setup.memory.peek(BUFFERS, 72), expected);
    assert_eq!(setup.memory.peek(BUFFERS + 2048 + 12, 1514), frame(1514, 2));
}

#[test]
fn frames_wait_for_buffers() {
    let mut setup = setup();
    setup.card.backend.coming.push_back(frame(60, 1));
    assert_eq!(run(&mut setup.card, &setup.memory), Progress::Idle);
    assert_eq!(setup.card.backend.coming.len(), 1);
    setup.offer(0, 2048);
    assert!(setup.card.backend.coming.is_empty());
    assert_eq!(setup.receive.collect(&setup.memory), [(0, 72)]);
    // A buffer that is too small costs the frame.
    setup.offer(0, 71);
    setup.card.backend.coming.push_back(frame(60, 1));
    run(&mut setup.card, &setup.memory);
    assert_eq!(setup.receive.collect(&setup.memory), [(0, 0)]);
}

#[test]
fn nothing_passes_a_link_that_is_down() {
    let mut setup = setup();
    setup.card.device.set_link(false);
    setup.offer(0, 2048);
    setup.send(&[0; 12], &frame(60, 3), &[]);
    setup.card.backend.coming.push_back(frame(60, 1));
    run(&mut setup.card, &setup.memory);
    assert!(setup.card.backend.sent.is_empty() && setup.card.backend.coming.is_empty());
    assert!(setup.receive.collect(&setup.memory).is_empty());
}

#[test]
fn a_flood_one_way_does_not_stop_the_other() {
    let mut setup = setup();
    for place in 0..8 {
        setup.offer(place, 2048);
    }
    setup.memory.poke(BUFFERS + 0x8000, &[0; 100]);
    for _ in 0..60 {
        setup.transmit.add(&setup.memory, &[(BUFFERS + 0x8000, 100, READ)]).unwrap();
    }
    setup.card.backend.coming.extend((0..4).map(|seed| frame(60, seed)));
    let progress = setup.card.run(&setup.memory, &mut Budget::NORMAL.clone());
    assert_eq!(progress, Progress::More);
    assert_eq!(setup.card.backend.sent.len(), 32);
    assert_eq!(setup.receive.collect(&setup.memory).len(), 4);
    run(&mut setup.card, &setup.memory);
    assert_eq!(setup.card.backend.sent.len(), 60);
}

#[test]
fn a_frame_without_room_stays_in_the_queue() {
    let mut setup = setup();
    setup.card.backend.room = Some(2);
    let frames: Vec<_> = (0..4).map(|seed| frame(60, seed)).collect();
    for (place, frame) in frames.iter().enumerate() {
        let at = BUFFERS + 0x8000 + place as u64 * 128;
        setup.memory.poke(at, &[&[0; 12], &frame[..]].concat());
        setup.transmit.add(&setup.memory, &[(at, 72, READ)]).unwrap();
    }
    for _ in 0..3 {
        assert_eq!(run(&mut setup.card, &setup.memory), Progress::Blocked);
        assert_eq!(setup.card.backend.sent, frames[..2]);
    }
    assert_eq!(setup.transmit.collect(&setup.memory).len(), 2);
    // What comes is not held up.
    setup.offer(0, 2048);
    setup.card.backend.coming.push_back(frame(60, 9));
    assert_eq!(run(&mut setup.card, &setup.memory), Progress::Blocked);
    assert!(setup.card.backend.coming.is_empty());
    // With room it goes on where it was.
    setup.card.backend.room = None;
    assert_eq!(run(&mut setup.card, &setup.memory), Progress::Idle);
    assert_eq!(setup.card.backend.sent, frames);
    assert_eq!(setup.transmit.collect(&setup.memory).len(), 2);
}
