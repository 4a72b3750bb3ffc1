//! An Ethernet switch between the virtual machines.
//!
//! It learns which addresses are behind which port, and sends frames for others to every port (IEEE 802.1Q, clause 8).
//! A frame is copied once out of its sender's memory and once into each receiver's; between them it lies in one place,
//! however many ports it waits for. There are as many places as the queues of all ports can hold, so a port that takes
//! nothing fills its own queue and nobody else's.
//!
//! A frame for one port only whose queue is full is not lost: it waits in its sender's memory, until the queue is half
//! empty, so that senders go on in bursts. That holds up what its sender has for others, so it is bounded: for a port that
//! has not emptied half its queue in some time, nobody waits until it has.
//!
//! What a port can learn is bounded for each port too, and the address
//! that a port was given cannot be learned elsewhere: no port takes another's frames.

mod limit;

use heapless::Deque;

use limit::Allowance;
pub use limit::Limit;

use crate::virtio::{ETHERNET_HEADER, FRAME_MAX, NetPort};

/// Bounds the addresses that are learned behind one port.
const ADDRESSES: usize = 8;

/// Describes a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortConfig {
    /// The address of the device behind it. A frame from another port that bears it is lost.
    pub mac: [u8; 6],
    /// What it may send, if that is limited.
    pub limit: Option<Limit>,
}

/// Counts what has passed a port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Frames from the port that were taken, whether somebody got them or not.
    pub sent: u64,
    /// Frames that were put into the port's queue.
    pub received: u64,
    /// Frames from the port that were above its limit.
    pub limited: u64,
    /// Frames from the port with an address that it may not bear.
    pub forged: u64,
    /// Frames for the port that found its queue full.
    pub overflowed: u64,
}

/// Switches frames between `PORTS` ports, at most 32, each with a queue of `QUEUE` frames.
#[derive(Debug)]
pub struct Switch<const PORTS: usize, const QUEUE: usize> {
    ports: [Port<QUEUE>; PORTS],
    /// A place for each frame that can be in a queue.
    frames: [[Frame; QUEUE]; PORTS],
    /// The first place that is free again, and how many have ever been used.
    free: Option<u16>,
    used: u16,
    /// How long an address is remembered after its last frame, in the caller's unit.
    age: u64,
    /// How long frames wait for a port whose queue is full, in the caller's unit.
    patience: u64,
    /// A bit for each port whose frame need not wait any more.
    ready: u32,
}

#[derive(Debug)]
struct Port<const QUEUE: usize> {
    /// Whether something is plugged in, and what.
    connected: bool,
    config: PortConfig,
    allowance: Allowance,
    learned: [Option<Learned>; ADDRESSES],
    queue: Deque<u16, QUEUE>,
    /// When the queue was found full, until it is half empty.
    full_since: Option<u64>,
    /// A bit for each port with a frame that waits for this one.
    awaited_by: u32,
    counters: Counters,
}

#[derive(Clone, Copy, Debug)]
struct Learned {
    mac: [u8; 6],
    seen: u64,
}

#[derive(Debug)]
struct Frame {
    bytes: [u8; FRAME_MAX],
    length: u16,
    /// How many queues it is in.
    references: u8,
    next_free: Option<u16>,
}

impl<const PORTS: usize, const QUEUE: usize> Switch<PORTS, QUEUE> {
    /// Is the number of places for frames.
    // Bounded when it is built.
    #[allow(clippy::cast_possible_truncation, clippy::arithmetic_side_effects)]
    const PLACES: u16 = {
        assert!(PORTS <= 32 && QUEUE > 0 && PORTS * QUEUE < 0x1_0000);
        (PORTS * QUEUE) as u16
    };

    /// Builds a switch without anything plugged in. It is all zeroes, so it needs no place in an image.
    pub const fn new() -> Self {
        Self {
            ports: [const { Port::new() }; PORTS],
            frames: [const { [const { Frame::new() }; QUEUE] }; PORTS],
            free: None,
            used: 0,
            age: 0,
            patience: 0,
            ready: 0,
        }
    }

    /// Remembers addresses for `age` from now on. Until this is called they are forgotten at once.
    pub fn set_age(&mut self, age: u64) {
        self.age = age;
    }

    /// Lets frames wait for a port whose queue is full, but not longer than `patience`. Until this is called they are lost.
    pub fn set_patience(&mut self, patience: u64) {
        self.patience = patience;
    }

    /// Returns a bit for each port whose frame had to wait and need not any more, since this was called last. The devices
    /// there have to be run.
    pub fn take_ready(&mut self) -> u32 {
        core::mem::take(&mut self.ready)
    }

    /// Plugs a device into port `port`, and tells whether that was possible: there is such a port, it is free, and no other
    /// has the address.
    pub fn connect(&mut self, port: usize, config: PortConfig, now: u64) -> bool {
        if is_group(&config.mac) || self.owner(&config.mac).is_some() {
            return false;
        }
        let Some(port) = self.ports.get_mut(port).filter(|port| !port.connected) else { return false };
        port.connected = true;
        port.config = config;
        port.counters = Counters::default();
        if let Some(limit) = config.limit {
            port.allowance = Allowance::full(&limit, now);
        }
        for other in &mut self.ports {
            other.forget(&config.mac);
        }
        true
    }

    /// Unplugs what is in port `port`: the frames that wait for it are lost, and the addresses behind it forgotten.
    pub fn disconnect(&mut self, port: usize) {
        while self.take(port, |_| {}) {}
        if let Some(port) = self.ports.get_mut(port) {
            port.connected = false;
            port.learned = [None; ADDRESSES];
        }
    }

    /// Returns what has passed port `port`, since something was plugged in.
    pub fn counters(&self, port: usize) -> Counters {
        self.ports.get(port).map(|port| port.counters).unwrap_or_default()
    }

    /// Returns a port for a device to use.
    pub fn port(&mut self, port: usize, now: u64) -> SwitchPort<'_, PORTS, QUEUE> {
        SwitchPort { switch: self, port, now, reached: 0 }
    }

    /// Tells whether frames wait for port `port`.
    pub fn has_frame(&self, port: usize) -> bool {
        self.ports.get(port).is_some_and(|port| !port.queue.is_empty())
    }

    /// Takes the frame that has waited longest for port `port`, calls `take` once with it, and tells whether there was one.
    pub fn take(&mut self, port: usize, take: impl FnOnce(&[u8])) -> bool {
        let Some(port) = self.ports.get_mut(port) else { return false };
        let Some(place) = port.queue.pop_front() else { return false };
        if port.queue.len() <= QUEUE / 2 {
            port.full_since = None;
            self.ready |= core::mem::take(&mut port.awaited_by);
        }
        if let Some(frame) = self.frame(place) {
            take(frame.bytes.get(..frame.length.into()).unwrap_or_default());
            frame.references = frame.references.saturating_sub(1);
            if frame.references == 0 {
                self.release(place);
            }
        }
        true
    }

    /// Sends a frame of `header` and `rest` bytes from port `port`, and returns a bit for each port that has got it. If
    /// there is one, `fill` is called once with a buffer for those bytes; if that says `false`, nothing is sent.
    ///
    /// Returns `None` if the frame has to wait: nothing has happened, and it is to be sent again when [`Self::take_ready`]
    /// names the port, and every now and then, since nobody tells when it has waited for too long.
    pub fn send(
        &mut self,
        port: usize,
        now: u64,
        header: &[u8; ETHERNET_HEADER],
        rest: usize,
        fill: impl FnOnce(&mut [u8]) -> bool,
    ) -> Option<u32> {
        if self.has_to_wait(port, now, header) {
            return None;
        }
        Some(self.send_now(port, now, header, rest, fill))
    }

    /// Tells whether a frame has to wait for the one port that it is for, and remembers that it does.
    fn has_to_wait(&mut self, from: usize, now: u64, header: &[u8; ETHERNET_HEADER]) -> bool {
        let (destination, source) = addresses(header);
        let is_connected = self.ports.get(from).is_some_and(|port| port.connected);
        if !is_connected || is_group(&destination) || self.is_forged(from, &source) {
            return false;
        }
        let patience = self.patience;
        let target = self.targets(from, &destination, now);
        let target = if target.is_power_of_two() { target.trailing_zeros() } else { return false };
        let target = usize::try_from(target).ok().and_then(|target| self.ports.get_mut(target));
        let Some(port) = target else { return false };
        if port.full_since.is_none() && port.queue.is_full() {
            port.full_since = Some(now);
        }
        let waits = port.full_since.is_some_and(|since| now.saturating_sub(since) < patience);
        if waits {
            port.awaited_by |= bit(from);
        }
        waits
    }

    fn send_now(
        &mut self,
        port: usize,
        now: u64,
        header: &[u8; ETHERNET_HEADER],
        rest: usize,
        fill: impl FnOnce(&mut [u8]) -> bool,
    ) -> u32 {
        let Some(targets) = self.admit(port, now, header, rest) else { return 0 };
        let targets = self.with_room(targets);
        // A queue with room has fewer frames than places, so there is a free one.
        let Some(place) = targets.checked_ilog2().and_then(|_| self.allocate()) else { return 0 };
        let Some(frame) = self.frame(place) else { return 0 };
        let length = rest.saturating_add(ETHERNET_HEADER);
        let whole = match (frame.bytes.get_mut(..length), u16::try_from(length)) {
            (Some(bytes), Ok(length)) => {
                frame.length = length;
                frame.references = u8::try_from(targets.count_ones()).unwrap_or(0);
                let (first, rest) = bytes.split_at_mut(ETHERNET_HEADER);
                first.copy_from_slice(header);
                fill(rest)
            }
            _ => false,
        };
        if !whole {
            self.release(place);
            return 0;
        }
        for (_, port) in self.ports.iter_mut().enumerate().filter(|(index, _)| is_in(targets, *index)) {
            // It has room.
            if port.queue.push_back(place).is_ok() {
                port.counters.received = port.counters.received.saturating_add(1);
            }
        }
        targets
    }

    /// Checks who sends a frame and whether it may, learns where it is, and returns a bit for each port that should get
    /// the frame.
    fn admit(&mut self, index: usize, now: u64, header: &[u8; ETHERNET_HEADER], rest: usize) -> Option<u32> {
        let (destination, source) = addresses(header);
        let (forged, owned) = (self.is_forged(index, &source), self.owner(&source).is_some());
        let port = self.ports.get_mut(index).filter(|port| port.connected)?;
        let config = port.config;
        let length = rest.checked_add(ETHERNET_HEADER).filter(|length| *length <= FRAME_MAX)?;
        let cost = u32::try_from(length).ok()?;
        if config.limit.is_some_and(|limit| !port.allowance.take(&limit, cost, now)) {
            port.counters.limited = port.counters.limited.saturating_add(1);
            return None;
        }
        if forged {
            port.counters.forged = port.counters.forged.saturating_add(1);
            return None;
        }
        port.counters.sent = port.counters.sent.saturating_add(1);
        if !owned {
            port.learn(&source, now);
            // It has moved here, if it was elsewhere.
            for (_, other) in self.ports.iter_mut().enumerate().filter(|(other, _)| *other != index) {
                other.forget(&source);
            }
        }
        Some(self.targets(index, &destination, now))
    }

    /// Returns a bit for each port that a frame from port `from` is for.
    #[inline(never)]
    fn targets(&self, from: usize, destination: &[u8; 6], now: u64) -> u32 {
        // These are for the switch itself, which speaks no such protocol (IEEE 802.1Q, table 8-1).
        if matches!(destination, [0x01, 0x80, 0xc2, 0, 0, 0..=15]) {
            return 0;
        }
        let behind = |port: &Port<QUEUE>| port.knows(destination, now, self.age);
        let known = if is_group(destination) {
            None
        } else {
            self.owner(destination).or_else(|| self.ports.iter().position(behind))
        };
        match known {
            Some(port) if port == from => 0,
            Some(port) => bit(port),
            None => {
                let others = self.ports.iter().enumerate();
                let others = others.filter(|(index, port)| *index != from && port.connected);
                others.fold(0, |set, (index, _)| set | bit(index))
            }
        }
    }

    /// Returns those of `targets` whose queue has room; for the others the frame is lost.
    fn with_room(&mut self, targets: u32) -> u32 {
        let mut with_room = 0;
        for (index, port) in self.ports.iter_mut().enumerate().filter(|(index, _)| is_in(targets, *index)) {
            if port.queue.is_full() {
                port.counters.overflowed = port.counters.overflowed.saturating_add(1);
            } else {
                with_room |= bit(index);
            }
        }
        with_room
    }

    /// Tells whether a frame from port `from` must not bear this address.
    #[inline(never)]
    fn is_forged(&self, from: usize, source: &[u8; 6]) -> bool {
        is_group(source) || self.owner(source).is_some_and(|owner| owner != from)
    }

    /// Returns the port whose device has this address.
    // Out of line, as the others here that are used more than once: the image is to be small.
    #[inline(never)]
    fn owner(&self, mac: &[u8; 6]) -> Option<usize> {
        self.ports.iter().position(|port| port.connected && port.config.mac == *mac)
    }

    #[inline(never)]
    fn frame(&mut self, place: u16) -> Option<&mut Frame> {
        let place = usize::from(place);
        self.frames.get_mut(place.checked_div(QUEUE)?)?.get_mut(place.checked_rem(QUEUE)?)
    }

    fn allocate(&mut self) -> Option<u16> {
        if let Some(place) = self.free {
            self.free = self.frame(place)?.next_free.take();
            return Some(place);
        }
        let place = self.used;
        if place >= Self::PLACES {
            return None;
        }
        self.used = place.saturating_add(1);
        Some(place)
    }

    #[inline(never)]
    fn release(&mut self, place: u16) {
        let next = self.free;
        if let Some(frame) = self.frame(place) {
            frame.next_free = next;
            self.free = Some(place);
        }
    }
}

impl<const QUEUE: usize> Port<QUEUE> {
    const fn new() -> Self {
        Self {
            connected: false,
            config: PortConfig { mac: [0; 6], limit: None },
            allowance: Allowance::EMPTY,
            learned: [None; ADDRESSES],
            queue: Deque::new(),
            full_since: None,
            awaited_by: 0,
            counters: Counters { sent: 0, received: 0, limited: 0, forged: 0, overflowed: 0 },
        }
    }

    /// Remembers that an address is here, in place of the one that has been silent longest if there are too many.
    fn learn(&mut self, mac: &[u8; 6], now: u64) {
        let known = self.learned.iter().position(|entry| entry.is_some_and(|entry| entry.mac == *mac));
        let entry = match known {
            Some(index) => self.learned.get_mut(index),
            None => self.learned.iter_mut().min_by_key(|entry| entry.map(|entry| entry.seen)),
        };
        if let Some(entry) = entry {
            *entry = Some(Learned { mac: *mac, seen: now });
        }
    }

    fn forget(&mut self, mac: &[u8; 6]) {
        for entry in self.learned.iter_mut().filter(|entry| entry.is_some_and(|entry| entry.mac == *mac)) {
            *entry = None;
        }
    }

    /// Tells whether an address was seen here, not longer than `age` ago.
    fn knows(&self, mac: &[u8; 6], now: u64, age: u64) -> bool {
        let current = |entry: &Learned| entry.mac == *mac && now.saturating_sub(entry.seen) <= age;
        self.learned.iter().flatten().any(current)
    }
}

impl Frame {
    const fn new() -> Self {
        Self { bytes: [0; FRAME_MAX], length: 0, references: 0, next_free: None }
    }
}

impl<const PORTS: usize, const QUEUE: usize> Default for Switch<PORTS, QUEUE> {
    fn default() -> Self {
        Self::new()
    }
}

/// Is a port of a switch, at a time.
#[derive(Debug)]
pub struct SwitchPort<'a, const PORTS: usize, const QUEUE: usize> {
    switch: &'a mut Switch<PORTS, QUEUE>,
    port: usize,
    now: u64,
    reached: u32,
}

impl<const PORTS: usize, const QUEUE: usize> SwitchPort<'_, PORTS, QUEUE> {
    /// Returns a bit for each port that has got a frame by this one, or need not wait for it any more. The devices there
    /// have to be run.
    pub fn reached(&self) -> u32 {
        self.reached
    }
}

impl<const PORTS: usize, const QUEUE: usize> NetPort for SwitchPort<'_, PORTS, QUEUE> {
    fn send(
        &mut self,
        header: &[u8; ETHERNET_HEADER],
        rest: usize,
        fill: impl FnOnce(&mut [u8]) -> bool,
    ) -> bool {
        let reached = self.switch.send(self.port, self.now, header, rest, fill);
        self.reached |= reached.unwrap_or(0);
        reached.is_some()
    }

    fn has_frame(&self) -> bool {
        self.switch.has_frame(self.port)
    }

    fn receive(&mut self, take: impl FnOnce(&[u8])) {
        self.switch.take(self.port, take);
        self.reached |= self.switch.take_ready();
    }
}

/// Returns the destination and the source of a frame.
fn addresses(header: &[u8; ETHERNET_HEADER]) -> ([u8; 6], [u8; 6]) {
    let [d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5, _, _] = *header;
    ([d0, d1, d2, d3, d4, d5], [s0, s1, s2, s3, s4, s5])
}

fn is_group(mac: &[u8; 6]) -> bool {
    let [first, ..] = mac;
    first & 1 != 0
}

fn bit(port: usize) -> u32 {
    u32::try_from(port).ok().and_then(|port| 1u32.checked_shl(port)).unwrap_or(0)
}

fn is_in(set: u32, port: usize) -> bool {
    set & bit(port) != 0
}

#[cfg(test)]
mod tests;
