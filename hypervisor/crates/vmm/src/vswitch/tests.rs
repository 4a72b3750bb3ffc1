//! A switch beside what it should do.

use std::collections::VecDeque;
use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;

type Small = Switch<4, 4>;

const AGE: u64 = 1000;

fn mac(number: u8) -> [u8; 6] {
    [2, 0, 0, 0, 0, number]
}

fn switch() -> Small {
    let mut switch = Small::new();
    switch.set_age(AGE);
    for port in 0..4 {
        assert!(switch.connect(port, PortConfig { mac: mac(port as u8), limit: None }, 0));
    }
    switch
}

fn header(to: [u8; 6], from: [u8; 6]) -> [u8; 14] {
    let mut header = [0; 14];
    header[..6].copy_from_slice(&to);
    header[6..12].copy_from_slice(&from);
    header
}

fn send(switch: &mut Small, port: usize, now: u64, to: [u8; 6], from: [u8; 6], data: &[u8]) -> u32 {
    try_to_send(switch, port, now, to, from, data).expect("no frame has to wait")
}

fn try_to_send(
    switch: &mut Small,
    port: usize,
    now: u64,
    to: [u8; 6],
    from: [u8; 6],
    data: &[u8],
) -> Option<u32> {
    switch.send(port, now, &header(to, from), data.len(), |buffer| {
        buffer.copy_from_slice(data);
        true
    })
}

/// Returns a switch where frames wait up to `patience`, and port 1 has a full queue.
fn congested(patience: u64) -> Small {
    let mut switch = switch();
    switch.set_patience(patience);
    for _ in 0..4 {
        assert_eq!(send(&mut switch, 0, 0, mac(1), mac(0), b"x"), 1 << 1);
    }
    switch
}

fn take(switch: &mut Small, port: usize) -> Option<Vec<u8>> {
    let mut frame = None;
    let any = switch.take(port, |bytes| frame = Some(bytes.to_vec()));
    assert_eq!(any, frame.is_some());
    frame
}

#[test]
fn frames_go_to_whom_they_are_for() {
    let mut switch = switch();
    assert_eq!(send(&mut switch, 0, 0, mac(2), mac(0), b"hello"), 1 << 2);
    assert!(!switch.has_frame(1) && switch.has_frame(2));
    let mut expected = header(mac(2), mac(0)).to_vec();
    expected.extend(b"hello");
    assert_eq!(take(&mut switch, 2), Some(expected));
    assert_eq!(take(&mut switch, 2), None);
    assert_eq!(send(&mut switch, 0, 0, mac(0), mac(0), b""), 0, "a frame to oneself");
}

#[test]
fn frames_for_all_and_for_strangers_go_everywhere_else() {
    let mut switch = switch();
    switch.disconnect(3);
    for to in [[0xff; 6], [1, 0, 0x5e, 0, 0, 1], mac(99)] {
        assert_eq!(send(&mut switch, 1, 0, to, mac(1), b"x"), 0b101);
    }
    assert_eq!(send(&mut switch, 1, 0, [1, 0x80, 0xc2, 0, 0, 3], mac(1), b"x"), 0, "it is for the switch");
    assert_eq!(send(&mut switch, 3, 0, [0xff; 6], mac(3), b"x"), 0, "nothing is plugged in there");
}

#[test]
fn learns_who_is_behind_a_port_and_forgets_it() {
    let mut switch = switch();
    send(&mut switch, 1, 10, [0xff; 6], mac(50), b"");
    assert_eq!(send(&mut switch, 0, 10 + AGE, mac(50), mac(0), b""), 1 << 1);
    assert_eq!(send(&mut switch, 0, 11 + AGE, mac(50), mac(0), b""), 0b1110, "it was silent for too long");
    send(&mut switch, 1, 5000, [0xff; 6], mac(50), b"");
    send(&mut switch, 2, 5001, [0xff; 6], mac(50), b"");
    for port in 0..4 {
        while take(&mut switch, port).is_some() {}
    }
    assert_eq!(send(&mut switch, 0, 5002, mac(50), mac(0), b""), 1 << 2, "it has moved");
    switch.disconnect(2);
    assert_eq!(send(&mut switch, 0, 5003, mac(50), mac(0), b""), 0b1010, "it is gone");
}

#[test]
fn nobody_takes_the_frames_of_another() {
    let mut switch = switch();
    assert_eq!(send(&mut switch, 1, 0, [0xff; 6], mac(2), b""), 0);
    assert_eq!(send(&mut switch, 1, 0, [0xff; 6], [3, 0, 0, 0, 0, 1], b""), 0, "a group sends nothing");
    assert_eq!(switch.counters(1).forged, 2);
    assert_eq!(send(&mut switch, 0, 0, mac(2), mac(0), b""), 1 << 2);
    // Nor by showing more addresses than fit.
    send(&mut switch, 2, 0, [0xff; 6], mac(50), b"");
    for number in 100..200 {
        send(&mut switch, 1, 1, mac(0), mac(number), b"");
        take(&mut switch, 0);
    }
    for port in 0..4 {
        while take(&mut switch, port).is_some() {}
    }
    assert_eq!(send(&mut switch, 0, 2, mac(50), mac(0), b""), 1 << 2);
    assert_eq!(send(&mut switch, 0, 2, mac(199), mac(0), b""), 1 << 1);
    assert_eq!(send(&mut switch, 0, 2, mac(191), mac(0), b""), 0b1110, "the port keeps its last eight");
}

#[test]
fn an_address_is_of_one_port() {
    let mut switch = Small::new();
    let config = |number| PortConfig { mac: mac(number), limit: None };
    assert!(switch.connect(0, config(1), 0));
    assert!(!switch.connect(0, config(2), 0), "something is plugged in");
    assert!(!switch.connect(1, config(1), 0));
    assert!(!switch.connect(4, config(2), 0));
    assert!(!switch.connect(1, PortConfig { mac: [0xff; 6], limit: None }, 0));
    switch.disconnect(0);
    assert!(switch.connect(1, config(1), 0));
}

#[test]
fn a_port_that_takes_nothing_loses_its_own_frames() {
    let mut switch = switch();
    for _ in 0..100 {
        send(&mut switch, 0, 0, [0xff; 6], mac(0), b"all");
        assert!(take(&mut switch, 1).is_some() && take(&mut switch, 3).is_some());
    }
    let counters = switch.counters(2);
    assert_eq!((counters.received, counters.overflowed), (4, 96));
    // Every place of every other port is still there.
    for _ in 0..4 {
        assert_eq!(send(&mut switch, 0, 0, mac(1), mac(0), b"one"), 1 << 1);
        assert_eq!(send(&mut switch, 0, 0, mac(3), mac(0), b"one"), 1 << 3);
        assert_eq!(send(&mut switch, 1, 0, mac(0), mac(1), b"one"), 1);
    }
    assert_eq!(send(&mut switch, 0, 0, mac(1), mac(0), b"one"), 0);
    for port in 0..4 {
        assert!((0..4).all(|_| take(&mut switch, port).is_some()), "port {port}");
        assert!(take(&mut switch, port).is_none());
    }
}

#[test]
fn a_frame_that_goes_nowhere_is_not_copied() {
    let mut switch = switch();
    let refused = |switch: &mut Small, to, from, rest| {
        assert_eq!(switch.send(0, 0, &header(to, from), rest, |_| panic!("nobody wants it")), Some(0));
    };
    refused(&mut switch, mac(0), mac(0), 4);
    refused(&mut switch, mac(1), mac(2), 4);
    refused(&mut switch, mac(1), mac(0), 1505);
    refused(&mut switch, mac(1), mac(0), usize::MAX);
    // One that cannot be copied goes nowhere either, and its place is free again.
    for _ in 0..100 {
        assert_eq!(switch.send(0, 0, &header(mac(1), mac(0)), 4, |_| false), Some(0));
    }
    assert!(!switch.has_frame(1));
    assert_eq!(send(&mut switch, 0, 0, mac(1), mac(0), &[7; 1504]), 2);
    assert_eq!(take(&mut switch, 1).unwrap()[14..], [7; 1504]);
}

#[test]
fn limits_hold_over_time() {
    let mut switch = Small::new();
    let limit = Limit { frames: 3, bytes: 200, slice: 100 };
    switch.connect(0, PortConfig { mac: mac(0), limit: Some(limit) }, 1000);
    switch.connect(1, PortConfig { mac: mac(1), limit: None }, 1000);
    let sent = |switch: &mut Small, now, length: usize| {
        let sent = send(switch, 0, now, mac(1), mac(0), &vec![0; length - 14]) != 0;
        take(switch, 1);
        sent
    };
    assert_eq!([20, 20, 20, 20].map(|length| sent(&mut switch, 1000, length)), [true, true, true, false]);
    assert!(!sent(&mut switch, 1033, 20), "a third of a slice is not yet a frame");
    assert!(sent(&mut switch, 1034, 20));
    assert!(!sent(&mut switch, 1034, 20));
    assert_eq!(switch.counters(0).limited, 3);
    assert_eq!([150, 60, 50].map(|length| sent(&mut switch, 9000, length)), [true, false, true]);
    assert!(!sent(&mut switch, 9000, 14), "the bytes are spent, the frames are not");
    assert!(!sent(&mut switch, 0, 20), "time that runs backwards earns nothing");
}

#[test]
fn a_frame_for_a_full_port_waits_until_the_queue_is_half_empty() {
    let mut switch = congested(100);
    let refused = |switch: &mut Small, port: usize| {
        let from = mac(port as u8);
        assert_eq!(switch.send(port, 10, &header(mac(1), from), 4, |_| panic!("there is no room")), None);
    };
    refused(&mut switch, 0);
    refused(&mut switch, 2);
    assert_eq!(switch.counters(2), Counters::default(), "nothing has happened");
    assert!(take(&mut switch, 1).is_some());
    assert_eq!(switch.take_ready(), 0);
    refused(&mut switch, 0);
    assert!(take(&mut switch, 1).is_some());
    assert_eq!(switch.take_ready(), 0b101);
    assert_eq!(switch.take_ready(), 0, "it was said once");
    assert_eq!(send(&mut switch, 0, 10, mac(1), mac(0), b"x"), 1 << 1);
    assert_eq!(switch.counters(1).overflowed, 0);
}

#[test]
fn nobody_waits_long_for_a_port_that_takes_nothing() {
    let mut switch = congested(100);
    assert_eq!(try_to_send(&mut switch, 0, 1000, mac(1), mac(0), b"x"), None);
    assert_eq!(try_to_send(&mut switch, 2, 1099, mac(1), mac(2), b"x"), None, "the time is the port's");
    assert_eq!(send(&mut switch, 0, 1100, mac(1), mac(0), b"x"), 0);
    assert_eq!(send(&mut switch, 2, 9000, mac(1), mac(2), b"x"), 0);
    assert_eq!(switch.counters(1).overflowed, 2);
    // One frame taken now and then does not make others wait again, half a queue does.
    assert!(take(&mut switch, 1).is_some());
    assert_eq!(send(&mut switch, 0, 9000, mac(1), mac(0), b"x"), 1 << 1);
    assert_eq!(send(&mut switch, 0, 9000, mac(1), mac(0), b"x"), 0);
    assert!(take(&mut switch, 1).is_some() && take(&mut switch, 1).is_some());
    for _ in 0..2 {
        assert_eq!(send(&mut switch, 0, 9000, mac(1), mac(0), b"x"), 1 << 1);
    }
    assert_eq!(try_to_send(&mut switch, 0, 9000, mac(1), mac(0), b"x"), None);
    // What waits for a device that is gone need not.
    switch.disconnect(1);
    assert_eq!(switch.take_ready() & 1, 1);
    assert_eq!(send(&mut switch, 0, 9000, mac(1), mac(0), b"x"), 0b1100, "nobody knows who that is");
}

#[test]
fn only_a_frame_for_one_port_waits() {
    let mut switch = congested(100);
    assert_eq!(send(&mut switch, 0, 0, [0xff; 6], mac(0), b"x"), 0b1100);
    assert_eq!(send(&mut switch, 0, 0, mac(99), mac(0), b"x"), 0b1100);
    assert_eq!(send(&mut switch, 0, 0, mac(2), mac(0), b"x"), 1 << 2);
    assert_eq!(switch.counters(1).overflowed, 2);
    assert_eq!(send(&mut switch, 2, 0, mac(1), mac(3), b"x"), 0, "it is forged");
    assert_eq!(switch.counters(2).forged, 1);
    switch.disconnect(3);
    assert_eq!(send(&mut switch, 3, 0, mac(1), mac(3), b"x"), 0);
}

proptest! {
    /// Of what three senders have for one port that takes frames in time, nothing is lost and the order is kept, and
    /// every sender that waits is named when it need not.
    #[test]
    fn loses_nothing_for_a_port_that_drains(steps in prop::collection::vec((0usize..3, 1u8..7), 1..200)) {
        let mut switch = switch();
        switch.set_patience(u64::MAX);
        let mut next = [0u8; 3];
        let mut got: [Vec<u8>; 3] = Default::default();
        let mut waiting = 0;
        let mut drain = |switch: &mut Small, waiting: &mut u32, count| {
            for _ in 0..count {
                if let Some(frame) = take(switch, 3) {
                    got[usize::from(frame[11])].push(frame[14]);
                }
                *waiting &= !switch.take_ready();
            }
        };
        for (port, count) in steps {
            for _ in 0..count {
                match try_to_send(&mut switch, port, 0, mac(3), mac(port as u8), &[next[port]]) {
                    Some(reached) => {
                        prop_assert_eq!((reached, waiting & 1 << port), (1 << 3, 0));
                        next[port] = next[port].wrapping_add(1);
                    }
                    None => {
                        prop_assert!(switch.has_frame(3));
                        waiting |= 1 << port;
                        drain(&mut switch, &mut waiting, count);
                    }
                }
            }
        }
        drain(&mut switch, &mut waiting, 8);
        prop_assert_eq!(waiting, 0);
        prop_assert_eq!(switch.counters(3).overflowed, 0);
        for port in 0..3 {
            let expected: Vec<u8> = (0..got[port].len()).map(|number| number as u8).collect();
            prop_assert_eq!(got[port].len() % 256, usize::from(next[port]));
            prop_assert_eq!(&got[port], &expected);
        }
    }

    /// Against queues of whole frames.
    #[test]
    fn agrees_with_a_model(
        steps in prop::collection::vec((0usize..4, 0u8..10, 0u8..10, any::<bool>(), 0usize..1505), 1..300),
    ) {
        let mut switch = switch();
        let mut queues: [VecDeque<Vec<u8>>; 4] = Default::default();
        let mut seen: [Vec<u8>; 4] = Default::default();
        for (port, to, from, drain, length) in steps {
            if drain {
                prop_assert_eq!(take(&mut switch, port), queues[port].pop_front());
                continue;
            }
            // Addresses 0 to 3 are the ports' own, 4 to 7 can be anywhere, 8 and 9 are for all.
            let address = |number: u8| if number < 8 { mac(number) } else { [(number + 1) | 1; 6] };
            let data = vec![to; length];
            let reached = send(&mut switch, port, 0, address(to), address(from), &data);
            let mut expected = 0;
            if from < 8 && (from >= 4 || usize::from(from) == port) {
                if from >= 4 {
                    seen.iter_mut().for_each(|seen| seen.retain(|other| *other != from));
                    seen[port].push(from);
                }
                let home = if to < 4 { Some(usize::from(to)) } else { seen.iter().position(|seen| seen.contains(&to)) };
                for other in (0..4).filter(|other| *other != port) {
                    if home.is_none_or(|home| home == other) && queues[other].len() < 4 {
                        let mut frame = header(address(to), address(from)).to_vec();
                        frame.extend(&data);
                        queues[other].push_back(frame);
                        expected |= 1 << other;
                    }
                }
            }
            prop_assert_eq!(reached, expected);
        }
        for (port, queue) in queues.iter_mut().enumerate() {
            for frame in queue.drain(..) {
                prop_assert_eq!(take(&mut switch, port), Some(frame));
            }
            prop_assert_eq!(take(&mut switch, port), None);
        }
    }
}
