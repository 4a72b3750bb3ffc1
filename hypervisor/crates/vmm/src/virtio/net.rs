//! The network device (virtio 1.2, section 5.1), without offloads.

use super::budget::{Budget, Progress};
use super::chain::{Chain, Malformed};
use super::memory::GuestMemory;
use super::queue::{Queue, RingFeatures};
use super::transport::{Effect, Transport};

const DEVICE_ID: u32 = 1;
const QUEUE_SIZE: u16 = 256;
const RECEIVE: usize = 0;
const TRANSMIT: usize = 1;

const VIRTIO_NET_F_MAC: u64 = 1 << 5;
const VIRTIO_NET_F_STATUS: u64 = 1 << 16;
const VIRTIO_NET_S_LINK_UP: u8 = 1;

/// Gives the length of an Ethernet header in bytes.
pub(crate) const ETHERNET_HEADER: usize = 14;
/// Gives the length of the longest frame in bytes: 1500 of data, with the header and a VLAN tag.
pub(crate) const FRAME_MAX: usize = 1518;

/// Gives the length of `virtio_net_hdr` in bytes.
const HEADER: usize = 12;
/// Is the header of a frame that is whole and in one buffer.
const RECEIVED: [u8; HEADER] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0];
/// Bounds the frames that go one way before those that go the other way have their turn.
const BURST: usize = 32;

/// Is what a network device is plugged into.
pub trait NetPort {
    /// Sends a frame of a header and `rest` bytes, at most 1504; if it goes anywhere, `fill` is called once with a buffer
    /// for those. If that says `false`, they are not there and nothing is sent.
    ///
    /// Returns `false` if there is no room for it now: then `fill` was not called, and the frame comes again.
    fn send(&mut self, header: &[u8; 14], rest: usize, fill: impl FnOnce(&mut [u8]) -> bool) -> bool;

    /// Tells whether a frame has come. Whoever brings one runs the device.
    fn has_frame(&self) -> bool;

    /// Takes a frame that has come, if there is one, and calls `take` once with it.
    fn receive(&mut self, take: impl FnOnce(&[u8]));
}

/// Is a network device of a virtual machine.
#[derive(Debug)]
pub struct Net {
    transport: Transport<2>,
    mac: [u8; 6],
    link: bool,
    /// The chain at work; empty between runs in all but name.
    chain: Chain,
}

impl Net {
    /// Builds a device with a MAC address, whose link is up.
    pub const fn new(mac: [u8; 6]) -> Self {
        Self {
            transport: Transport::new(DEVICE_ID, VIRTIO_NET_F_MAC | VIRTIO_NET_F_STATUS, QUEUE_SIZE),
            mac,
            link: true,
            chain: Chain::new(),
        }
    }

    /// Returns what `size` bytes at `offset` of its registers read as.
    pub fn read(&self, offset: u64, size: u8) -> u64 {
        let [a, b, c, d, e, f] = self.mac;
        let status = if self.link { VIRTIO_NET_S_LINK_UP } else { 0 };
        self.transport.read(offset, size, &[a, b, c, d, e, f, status, 0])
    }

    /// Writes `size` bytes at `offset` of its registers, and tells whether [`Self::run`] has something to do.
    pub fn write(&mut self, offset: u64, size: u8, value: u64) -> bool {
        self.transport.write(offset, size, value) == Effect::Run
    }

    /// Tells whether its interrupt line is up. It may change with every write, every run and with the link.
    pub fn interrupt(&self) -> bool {
        self.transport.interrupt()
    }

    /// Plugs the cable in or out. While it is out, no frame goes or comes.
    pub fn set_link(&mut self, up: bool) {
        if self.link != up {
            self.link = up;
            self.transport.configuration_changed();
        }
    }

    /// Moves frames both ways as far as the budget goes.
    ///
    /// Has to be called after a write says so, when a frame has come, and as [`Progress`] says.
    pub fn run(
        &mut self,
        memory: &impl GuestMemory,
        port: &mut impl NetPort,
        budget: &mut Budget,
    ) -> Progress {
        if !self.transport.is_live() {
            return Progress::Idle;
        }
        let result = self.work(memory, port, budget);
        self.transport.end_run(result, memory).unwrap_or(Progress::Idle)
    }

    fn work(
        &mut self,
        memory: &impl GuestMemory,
        port: &mut impl NetPort,
        budget: &mut Budget,
    ) -> Result<Progress, Malformed> {
        let (chain, link) = (&mut self.chain, self.link);
        let mut more = false;
        if let Some((queue, features)) = self.transport.queue(RECEIVE) {
            more |= receive(queue, features, chain, link, memory, port, budget)?;
        }
        if let Some((queue, features)) = self.transport.queue(TRANSMIT) {
            let sent = transmit(queue, features, chain, link, memory, port, budget)?;
            return Ok(if more { Progress::More } else { sent });
        }
        Ok(if more { Progress::More } else { Progress::Idle })
    }
}

/// Gives frames to the driver, and tells whether it stopped with frames and buffers left.
fn receive(
    queue: &mut Queue,
    features: RingFeatures,
    chain: &mut Chain,
    link: bool,
    memory: &impl GuestMemory,
    port: &mut impl NetPort,
    budget: &mut Budget,
) -> Result<bool, Malformed> {
    for _ in 0..BURST {
        if !port.has_frame() {
            return Ok(false);
        }
        if !link {
            port.receive(|_| {});
            continue;
        }
        if !queue.has_next(features, memory)? {
            return Ok(false);
        }
        if budget.is_spent() {
            return Ok(true);
        }
        queue.take(chain, features, memory, budget)?;
        let mut written = Ok(0);
        port.receive(|frame| written = deliver(chain, frame, memory));
        queue.give_back(chain.head(), written?, memory)?;
        budget.spend(2);
    }
    Ok(true)
}

/// Writes a frame into the buffers of a chain, and returns how many bytes that are: none if it does not fit, which a
/// driver sees as a frame that is too short. Its buffers have to be large enough (section 5.1.6.3.1).
fn deliver(chain: &Chain, frame: &[u8], memory: &impl GuestMemory) -> Result<u32, Malformed> {
    let length = u32::try_from(frame.len().saturating_add(HEADER)).map_err(|_| Malformed)?;
    if length > chain.writable() {
        return Ok(0);
    }
    let mut cursor = chain.writer();
    chain.write(&mut cursor, &RECEIVED, memory)?;
    chain.write(&mut cursor, frame, memory)?;
    Ok(length)
}

/// Takes frames from the driver, and tells what it has left. One for which there is no room stays in the queue.
fn transmit(
    queue: &mut Queue,
    features: RingFeatures,
    chain: &mut Chain,
    link: bool,
    memory: &impl GuestMemory,
    port: &mut impl NetPort,
    budget: &mut Budget,
) -> Result<Progress, Malformed> {
    for _ in 0..BURST {
        if budget.is_spent() {
            return Ok(Progress::More);
        }
        if !queue.take(chain, features, memory, budget)? {
            return Ok(Progress::Idle);
        }
        if link {
            if !send(chain, memory, port)? {
                queue.put_back();
                return Ok(Progress::Blocked);
            }
            budget.spend(2);
        }
        queue.give_back(chain.head(), 0, memory)?;
    }
    Ok(Progress::More)
}

/// Sends the frame of a chain, and tells whether there was room. One that is too short or too long, or asks for an
/// offload, is lost.
fn send(chain: &Chain, memory: &impl GuestMemory, port: &mut impl NetPort) -> Result<bool, Malformed> {
    let mut bytes = [0; HEADER + ETHERNET_HEADER];
    let length = usize::try_from(chain.readable()).map_err(|_| Malformed)?;
    let Some(rest) = length.checked_sub(bytes.len()) else { return Ok(true) };
    if rest > FRAME_MAX - ETHERNET_HEADER {
        return Ok(true);
    }
    let mut cursor = chain.reader();
    chain.read(&mut cursor, &mut bytes, memory)?;
    let Some(([flags, segmentation, ..], header)) = bytes.split_first_chunk::<HEADER>() else {
        return Ok(true);
    };
    let Some(header) = header.first_chunk::<ETHERNET_HEADER>() else { return Ok(true) };
    if *flags != 0 || *segmentation != 0 {
        return Ok(true);
    }
    let mut copied = Ok(());
    let had_room = port.send(header, rest, |buffer| {
        copied = chain.read(&mut cursor, buffer, memory);
        copied.is_ok()
    });
    copied.map(|()| had_room)
}
