//! Random numbers.

use super::driver::{BUFFERS, MEMORY_SIZE, Queue, READ, RINGS, WRITE, begin, start};
use super::machine::{Memory, Source};
use super::*;

#[test]
fn fills_buffers_as_far_as_there_is_something() {
    let memory = Memory::new(MEMORY_SIZE);
    let mut dice = Dice { device: Entropy::new(), backend: Source { next: 0, left: 104 } };
    let features = begin(&mut dice, u64::MAX);
    let mut queue = Queue::new(&mut dice, &memory, 0, 8, RINGS, features);
    start(&mut dice);
    for length in [4096, 40, 8] {
        queue.add(&memory, &[(BUFFERS, length, WRITE)]).unwrap();
    }
    dice.write(0x50, 4, 0);
    assert_eq!(run(&mut dice, &memory), Progress::Blocked, "there is nothing for the last one");
    assert_eq!(queue.collect(&memory), [(0, 64), (1, 40)]);
    assert!(dice.interrupt());
    dice.backend.left = usize::MAX;
    assert_eq!(run(&mut dice, &memory), Progress::Idle);
    assert_eq!(queue.collect(&memory), [(2, 8)]);
    let old = queue.available;
    queue.add(&memory, &[(BUFFERS, 8, READ)]).unwrap();
    queue.kick(&memory, &mut dice, old);
    assert_eq!(queue.collect(&memory)[0].1, 0, "a buffer that cannot be written gets nothing");
}
