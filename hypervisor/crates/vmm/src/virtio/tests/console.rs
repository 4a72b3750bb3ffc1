//! Consoles.

use std::string::String;

use super::driver::{BUFFERS, MEMORY_SIZE, Queue, READ, RINGS, WRITE, acknowledge, begin, start};
use super::machine::{Memory, Tty};
use super::*;

struct Setup {
    memory: Memory,
    terminal: Terminal,
    receive: Queue,
    transmit: Queue,
}

fn setup() -> Setup {
    let memory = Memory::new(MEMORY_SIZE);
    let mut terminal = Terminal { device: Console::new(), backend: Tty::default() };
    let features = begin(&mut terminal, u64::MAX);
    let receive = Queue::new(&mut terminal, &memory, 0, 16, RINGS, features);
    let transmit = Queue::new(&mut terminal, &memory, 1, 16, RINGS + 0x4000, features);
    start(&mut terminal);
    Setup { memory, terminal, receive, transmit }
}

impl Setup {
    fn write(&mut self, buffers: &[(u64, u32, bool)]) {
        let old = self.transmit.available;
        self.transmit.add(&self.memory, buffers).unwrap();
        self.transmit.kick(&self.memory, &mut self.terminal, old);
    }

    fn offer(&mut self, length: u32) {
        let old = self.receive.available;
        self.receive.add(&self.memory, &[(BUFFERS, length, WRITE)]).unwrap();
        self.receive.kick(&self.memory, &mut self.terminal, old);
    }
}

#[test]
fn shows_everything_once_and_in_order() {
    let mut setup = setup();
    let text: String = (0..1000u32).map(|number| char::from(b'a' + (number % 26) as u8)).collect();
    setup.memory.poke(BUFFERS, text.as_bytes());
    setup.write(&[(BUFFERS, 1, READ), (BUFFERS + 1, 500, READ), (BUFFERS + 501, 499, READ)]);
    assert_eq!(setup.terminal.backend.shown, text.as_bytes());
    assert_eq!(setup.transmit.collect(&setup.memory), [(0, 0)]);
    assert_eq!(acknowledge(&mut setup.terminal), 1);
    assert_eq!(setup.memory.most_reads(BUFFERS, 1000), 1);
}

#[test]
fn what_cannot_be_shown_now_is_shown_later() {
    let mut setup = setup();
    setup.memory.poke(BUFFERS, &[b'x'; 300]);
    setup.terminal.backend.room = Some(150);
    setup.write(&[(BUFFERS, 300, READ)]);
    assert_eq!(run(&mut setup.terminal, &setup.memory), Progress::Blocked);
    assert!(setup.transmit.collect(&setup.memory).is_empty());
    setup.terminal.backend.room = None;
    assert_eq!(run(&mut setup.terminal, &setup.memory), Progress::Idle);
    assert_eq!(setup.terminal.backend.shown, [b'x'; 300]);
    assert_eq!(setup.transmit.collect(&setup.memory).len(), 1);
    assert_eq!(setup.memory.most_reads(BUFFERS, 300), 1, "what waits was copied");
}

#[test]
fn what_is_typed_fits_into_the_buffers() {
    let mut setup = setup();
    setup.terminal.backend.typed.extend(0..200);
    assert_eq!(run(&mut setup.terminal, &setup.memory), Progress::Idle);
    assert_eq!(setup.terminal.backend.typed.len(), 200, "nobody reads yet");
    let mut read = std::vec::Vec::new();
    for length in [3, 200, 0, 64] {
        setup.offer(length);
        let done = setup.receive.collect(&setup.memory);
        read.extend(setup.memory.peek(BUFFERS, done[0].1 as usize));
    }
    while read.len() < 200 {
        setup.offer(50);
        let done = setup.receive.collect(&setup.memory);
        read.extend(setup.memory.peek(BUFFERS, done[0].1 as usize));
    }
    assert!(read.iter().copied().eq(0..200));
    setup.offer(50);
    assert!(setup.receive.collect(&setup.memory).is_empty(), "nothing is typed");
    setup.terminal.backend.typed.push_back(b'!');
    run(&mut setup.terminal, &setup.memory);
    assert_eq!(setup.receive.collect(&setup.memory), [(0, 1)]);
}

#[test]
fn a_reset_forgets_what_was_being_written() {
    let mut setup = setup();
    setup.memory.poke(BUFFERS, &[b'x'; 1000]);
    setup.terminal.backend.room = Some(10);
    setup.write(&[(BUFFERS, 1000, READ)]);
    setup.terminal.write(0x70, 4, 0);
    setup.terminal.backend.room = None;
    let features = begin(&mut setup.terminal, u64::MAX);
    setup.transmit = Queue::new(&mut setup.terminal, &setup.memory, 1, 16, RINGS + 0x4000, features);
    start(&mut setup.terminal);
    setup.memory.poke(BUFFERS, b"y");
    setup.write(&[(BUFFERS, 1, READ)]);
    let shown = &setup.terminal.backend.shown;
    assert!(shown.len() < 200 && shown.ends_with(b"xy"), "only what was copied already: {}", shown.len());
}
