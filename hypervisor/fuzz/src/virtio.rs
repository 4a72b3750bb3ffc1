//! The targets that are drivers of virtio devices. An input is a list of steps of twelve bytes: what a driver may write
//! into registers, rings and descriptors, and how far the device may work then.

use std::cell::{Cell, RefCell};

use tantalum_hal::{AccessError, PhysicalMemory};
use tantalum_types::{Ipa, Pa, PageRange};
use tantalum_vmm::virtio::{
    Block, BlockConfig, Budget, Console, ConsoleBackend, Entropy, EntropySource, GuestMemory, Net,
    OutOfMemory, Progress, RamDisk,
};
use tantalum_vmm::vswitch::{Limit, PortConfig, Switch};

const STEP: usize = 12;

/// Is where the guest's memory begins, and how much of it there is.
const BASE: u64 = 0x4000_0000;
const SIZE: usize = 0x2_0000;

/// Is where queue `index` lies: descriptors, available ring, used ring.
const QUEUES: [u64; 2] = [BASE + 0x1000, BASE + 0x2000];
const QUEUE_SIZE: u16 = 16;
const AVAILABLE: u64 = 0x100;
const USED: u64 = 0x200;

const SECTORS: u64 = 64;

/// Is memory that knows how it was reached.
struct Memory {
    bytes: RefCell<Vec<u8>>,
    accesses: Cell<usize>,
    moved: Cell<usize>,
}

impl Memory {
    fn new(size: usize) -> Self {
        Self { bytes: RefCell::new(vec![0; size]), accesses: Cell::new(0), moved: Cell::new(0) }
    }

    fn at(&self, address: u64, length: usize) -> Option<std::ops::Range<usize>> {
        let start = usize::try_from(address.checked_sub(BASE)?).ok()?;
        let end = start.checked_add(length)?;
        (end <= self.bytes.borrow().len()).then_some(start..end)
    }

    fn access(&self, address: u64, length: usize) -> Option<std::ops::Range<usize>> {
        self.accesses.set(self.accesses.get() + 1);
        self.moved.set(self.moved.get() + length);
        self.at(address, length)
    }

    /// Writes as the driver does, where there is memory.
    fn poke(&self, address: u64, bytes: &[u8]) {
        if let Some(at) = self.at(address, bytes.len()) {
            self.bytes.borrow_mut()[at].copy_from_slice(bytes);
        }
    }

    fn peek16(&self, address: u64) -> u16 {
        let at = self.at(address, 2).unwrap();
        let bytes = self.bytes.borrow();
        u16::from_le_bytes([bytes[at.start], bytes[at.start + 1]])
    }
}

impl GuestMemory for Memory {
    fn read(&self, from: Ipa, to: &mut [u8]) -> Result<(), OutOfMemory> {
        let at = self.access(from.raw(), to.len()).ok_or(OutOfMemory)?;
        to.copy_from_slice(&self.bytes.borrow()[at]);
        Ok(())
    }

    fn write(&self, to: Ipa, from: &[u8]) -> Result<(), OutOfMemory> {
        let at = self.access(to.raw(), from.len()).ok_or(OutOfMemory)?;
        self.bytes.borrow_mut()[at].copy_from_slice(from);
        Ok(())
    }

    fn contains(&self, from: Ipa, length: u32) -> bool {
        self.at(from.raw(), length as usize).is_some()
    }
}

impl PhysicalMemory for Memory {
    fn read(&self, from: Pa, to: &mut [u8]) -> Result<(), AccessError> {
        GuestMemory::read(self, Ipa::non_secure(from.raw()), to).map_err(|_| AccessError { address: from })
    }

    fn write(&self, to: Pa, from: &[u8]) -> Result<(), AccessError> {
        GuestMemory::write(self, Ipa::non_secure(to.raw()), from).map_err(|_| AccessError { address: to })
    }

    fn zero(&self, range: &PageRange<Pa>) -> Result<(), AccessError> {
        PhysicalMemory::write(self, range.start(), &vec![0; range.size() as usize])
    }
}

/// Is a device with what is behind it.
trait Device {
    const QUEUES: u64;

    fn read(&self, offset: u64, size: u8) -> u64;
    fn write(&mut self, offset: u64, size: u8, value: u64) -> bool;
    fn interrupt(&self) -> bool;
    fn run(&mut self, memory: &Memory, budget: &mut Budget) -> Progress;
}

macro_rules! device {
    ($name:ident, $queues:literal, |$self:ident, $memory:ident, $budget:ident| $run:expr) => {
        impl Device for $name {
            const QUEUES: u64 = $queues;

            fn read(&self, offset: u64, size: u8) -> u64 {
                self.device.read(offset, size)
            }

            fn write(&mut self, offset: u64, size: u8, value: u64) -> bool {
                self.device.write(offset, size, value)
            }

            fn interrupt(&self) -> bool {
                self.device.interrupt()
            }

            fn run(&mut $self, $memory: &Memory, $budget: &mut Budget) -> Progress {
                $run
            }
        }
    };
}

struct Disk {
    device: Block,
    disk: RamDisk,
    memory: Memory,
}

struct Card {
    device: Net,
    switch: Box<Switch<3, 4>>,
    now: u64,
}

struct Terminal {
    device: Console,
    other: Typist,
}

struct Dice {
    device: Entropy,
    source: Counter,
}

/// Types, and shows what is written as far as there is room.
struct Typist(usize);

/// Counts.
struct Counter(u8);

device!(Disk, 1, |self, memory, budget| self.device.run(memory, &mut self.disk.on(&self.memory), budget));
device!(Card, 2, |self, memory, budget| {
    // A neighbour that always has something to say, and one that never listens.
    self.now += 1;
    let frame = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 2, 8, 0];
    self.switch.send(1, self.now, &frame, 50, |bytes| {
        bytes.fill(7);
        true
    });
    let progress = self.device.run(memory, &mut self.switch.port(0, self.now), budget);
    while self.switch.take(1, |frame| assert!((14..=1518).contains(&frame.len()))) {}
    progress
});
device!(Terminal, 2, |self, memory, budget| self.device.run(memory, &mut self.other, budget));
device!(Dice, 1, |self, memory, budget| self.device.run(memory, &mut self.source, budget));

impl ConsoleBackend for Typist {
    fn write(&mut self, bytes: &[u8]) -> usize {
        // Now and then there is less room.
        self.0 = self.0.wrapping_mul(5).wrapping_add(3);
        bytes.len().min(self.0 % 200)
    }

    fn read(&mut self, to: &mut [u8]) -> usize {
        self.0 = self.0.wrapping_mul(5).wrapping_add(3);
        to.len().min(self.0 % 50)
    }
}

impl EntropySource for Counter {
    fn fill(&mut self, to: &mut [u8]) -> usize {
        self.0 = self.0.wrapping_add(1);
        to.fill(self.0);
        if self.0.is_multiple_of(8) { 0 } else { to.len() }
    }
}

/// Runs a driver of a block device.
pub(crate) fn blk(bytes: &[u8]) {
    let range = PageRange::from_size(Pa::non_secure(BASE + 0x1000), SECTORS * 512).unwrap();
    let config = BlockConfig {
        sectors: SECTORS,
        read_only: bytes.first().is_some_and(|first| *first == 0xff),
        erase: true,
        identifier: *b"a disk to be fuzzed.",
    };
    let memory = Memory::new(0x2000 + SECTORS as usize * 512);
    let mut disk = Disk { device: Block::new(config), disk: RamDisk::new(range), memory };
    drive(&mut disk, bytes);
    let content = disk.memory.bytes.borrow();
    let around = content[..0x1000].iter().chain(&content[0x1000 + SECTORS as usize * 512..]);
    assert!(around.copied().all(|byte| byte == 0), "something was written beside the disk");
}

/// Runs a driver of a network device.
pub(crate) fn net(bytes: &[u8]) {
    let mut switch = Box::new(Switch::new());
    switch.set_patience(3);
    let limit = Limit { frames: 20, bytes: 10_000, slice: 10 };
    for (port, limit) in [(0, Some(limit)), (1, None), (2, None)] {
        assert!(switch.connect(port, PortConfig { mac: [2, 0, 0, 0, 0, port as u8 + 1], limit }, 0));
    }
    drive(&mut Card { device: Net::new([2, 0, 0, 0, 0, 1]), switch, now: 0 }, bytes);
}

/// Runs a driver of a console.
pub(crate) fn console(bytes: &[u8]) {
    drive(&mut Terminal { device: Console::new(), other: Typist(1) }, bytes);
}

/// Runs a driver of a source of random bytes.
pub(crate) fn entropy(bytes: &[u8]) {
    drive(&mut Dice { device: Entropy::new(), source: Counter(0) }, bytes);
}

/// Sets the device up as it should be, with those of `features` that it offers.
fn set_up(device: &mut impl Device, memory: &Memory, features: u64) {
    fn queues<D: Device>(_: &D) -> u64 {
        D::QUEUES
    }
    for status in [0, 1, 3] {
        device.write(0x70, 4, status);
    }
    for half in [0, 1] {
        device.write(0x14, 4, half);
        device.write(0x24, 4, half);
        let chosen = device.read(0x10, 4) & (features | 1 << 32) >> (32 * half);
        device.write(0x20, 4, chosen);
    }
    device.write(0x70, 4, 11);
    for (index, area) in (0..queues(device)).zip(QUEUES) {
        memory.poke(area, &[0; 0x300]);
        device.write(0x30, 4, index);
        let size = u64::from(QUEUE_SIZE).min(device.read(0x34, 4));
        for (register, value) in [(0x38, size), (0x80, area), (0x90, area + AVAILABLE), (0xa0, area + USED)] {
            device.write(register, 4, value);
        }
        device.write(0x44, 4, 1);
        assert_eq!(device.read(0x44, 4), 1);
    }
    device.write(0x70, 4, 15);
    assert_eq!(device.read(0x70, 4), 15, "a reset makes up for everything");
}

fn drive(device: &mut impl Device, bytes: &[u8]) {
    let memory = Memory::new(SIZE);
    set_up(device, &memory, u64::MAX);
    for step in bytes.chunks_exact(STEP) {
        let (operation, small) = (step[0], step[1]);
        let middle = u16::from_le_bytes([step[2], step[3]]);
        let large = u64::from_le_bytes(step[4..].try_into().unwrap());
        let area = QUEUES[usize::from(small & 1)];
        match operation % 8 {
            0 => drop(device.write(u64::from(middle % 0x80) * 4, 4, large & 0xffff_ffff)),
            1 => drop(device.write(middle.into(), 1 << (small % 4), large)),
            2 => {
                // A descriptor, in its queue or in a table; most of them are in memory.
                let inside = BASE + (large & 0x1_ffff);
                let address = if large >> 62 == 3 { large } else { inside };
                let mut descriptor = address.to_le_bytes().to_vec();
                descriptor.extend(((large >> 20) as u32 & 0x3_ffff).to_le_bytes());
                descriptor.extend((middle & 7).to_le_bytes());
                descriptor.extend((middle >> 3 & 0x1f).to_le_bytes());
                let place = if small & 2 == 0 { area } else { BASE + 0x4000 };
                memory.poke(place + u64::from(small >> 2 & 0xf) * 16, &descriptor);
            }
            3 => {
                let index = memory.peek16(area + AVAILABLE + 2);
                let entry = u64::from(index % QUEUE_SIZE) * 2;
                memory.poke(area + AVAILABLE + 4 + entry, &(middle % 20).to_le_bytes());
                memory.poke(area + AVAILABLE + 2, &index.wrapping_add(1).to_le_bytes());
                device.write(0x50, 4, u64::from(small & 1));
            }
            4 => memory.poke(BASE + u64::from(middle) * 2, &step[4..]),
            5 => work(device, &memory, small.into()),
            6 => set_up(device, &memory, large),
            _ => drop(device.read(middle.into(), small)),
        }
    }
    work(device, &memory, 256);
    device.write(0x70, 4, 0);
    assert!(!device.interrupt());
    set_up(device, &memory, u64::MAX);
}

/// Lets the device work, and checks that it does not work for longer than it may, and not at all if it is stopped.
fn work(device: &mut impl Device, memory: &Memory, budget: u32) {
    let stopped = device.read(0x70, 4) & 0x44 != 4;
    memory.accesses.set(0);
    memory.moved.set(0);
    device.run(memory, &mut Budget::new(budget));
    let (accesses, moved) = (memory.accesses.get(), memory.moved.get());
    assert!(!stopped || accesses == 0, "{accesses} accesses of a device that is stopped");
    assert!(accesses < 8 * budget as usize + 400, "{accesses} accesses for {budget} units");
    assert!(moved < 4200 * budget as usize + 0x1_0000, "{moved} bytes for {budget} units");
    let status = device.read(0x70, 4);
    assert!(status & 64 == 0 || !device.write(0x50, 4, 0), "a device that is stopped is not notified");
}

/// Returns drivers that do what they should: chains of each kind for each queue.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let step = |operation: u8, small: u8, middle: u16, large: u64| {
        let mut bytes = vec![operation, small];
        bytes.extend(middle.to_le_bytes());
        bytes.extend(large.to_le_bytes());
        bytes
    };
    let descriptor = |queue: u8, index: u8, offset: u64, length: u64, flags: u16, next: u16| {
        step(2, queue | index << 2, flags | next << 3, offset | length << 20)
    };
    let header = |kind: u64, sector: u64| [step(4, 0, 0x4000, kind), step(4, 0, 0x4004, sector)].concat();
    let mut seeds: Vec<_> = [(0, 2), (1, 0), (4, 0), (8, 2), (11, 0), (13, 0), (99, 0)]
        .into_iter()
        .map(|(kind, flags)| {
            // A header, data and a status at 0x8000.
            let length = if kind > 8 { 16 } else { 512 };
            [
                header(kind, 1),
                descriptor(0, 0, 0x8000, 16, 1, 1),
                descriptor(0, 1, 0x9000, length, 1 | flags, 2),
                descriptor(0, 2, 0x8010, 1, 2, 0),
                step(3, 0, 0, 0),
                step(5, 64, 0, 0),
                step(3, 0, 0, 0),
                step(5, 1, 0, 0),
                step(5, 64, 0, 0),
            ]
            .concat()
        })
        .collect();
    // A buffer to write in the first queue, and one to read in the second, as networks and consoles have them.
    seeds.push(
        [
            descriptor(0, 0, 0x8000, 2048, 2, 0),
            step(3, 0, 0, 0),
            descriptor(1, 0, 0xa000, 80, 0, 0),
            step(4, 0, 0x5006, 0x0002_ffff_ffff_ffff),
            step(4, 0, 0x500a, 0x0008_0100_0000_0002),
            step(3, 1, 0, 0),
            step(5, 64, 0, 0),
        ]
        .concat(),
    );
    // A table.
    seeds.push(
        [
            step(4, 0, 0x4000, 0),
            descriptor(0, 3, 0x4000, 48, 4, 0),
            descriptor(2, 0, 0x8000, 16, 1, 1),
            descriptor(2, 1, 0x9000, 4096, 3, 2),
            descriptor(2, 2, 0x8010, 1, 2, 0),
            step(3, 0, 3, 0),
            step(5, 64, 0, 0),
            step(6, 0, 0, 0),
            step(3, 0, 3, 0),
            step(5, 64, 0, 0),
        ]
        .concat(),
    );
    seeds
}
