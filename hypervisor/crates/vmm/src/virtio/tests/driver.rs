//! A driver, after virtio 1.2, sections 2.7, 3.1 and 4.2.3, that shares nothing with the devices.

use std::collections::BTreeMap;
use std::vec::Vec;

use super::machine::{BASE, Memory};
use super::{Device, run};

pub(super) const VERSION_1: u64 = 1 << 32;
pub(super) const EVENT_IDX: u64 = 1 << 29;
pub(super) const INDIRECT: u64 = 1 << 28;

pub(super) const READ: bool = false;
pub(super) const WRITE: bool = true;

/// Goes through section 3.1.1, and takes those of `features` that are offered.
pub(super) fn begin(device: &mut impl Device, features: u64) -> u64 {
    assert_eq!(device.read(0, 4), 0x7472_6976);
    assert_eq!(device.read(4, 4), 2);
    device.write(0x70, 4, 0);
    assert_eq!(device.read(0x70, 4), 0);
    device.write(0x70, 4, 1);
    device.write(0x70, 4, 3);
    let mut offered = 0;
    for half in 0..2 {
        device.write(0x14, 4, half);
        offered |= device.read(0x10, 4) << (32 * half);
    }
    let accepted = offered & features;
    for half in 0..2 {
        device.write(0x24, 4, half);
        device.write(0x20, 4, accepted >> (32 * half) & 0xffff_ffff);
    }
    device.write(0x70, 4, 11);
    assert_eq!(device.read(0x70, 4), 11, "the device takes what it has offered");
    accepted
}

pub(super) fn start(device: &mut impl Device) {
    device.write(0x70, 4, 15);
    assert_eq!(device.read(0x70, 4), 15);
}

/// Is the driver's side of a queue.
pub(super) struct Queue {
    index: u64,
    pub(super) size: u16,
    features: u64,
    pub(super) area: u64,
    /// Descriptors that no chain has, and the chains that are with the device: head to its descriptors.
    free: Vec<u16>,
    out: BTreeMap<u16, Vec<u16>>,
    pub(super) available: u16,
    pub(super) used: u16,
    /// How often it has notified.
    pub(super) notified: usize,
}

impl Queue {
    /// Sets up queue `index` at `area`: descriptors, available ring, used ring, and tables of 32 entries for each.
    pub(super) fn new(
        device: &mut impl Device,
        memory: &Memory,
        index: u64,
        size: u16,
        area: u64,
        features: u64,
    ) -> Self {
        let queue = Self {
            index,
            size,
            features,
            area,
            free: (0..size).rev().collect(),
            out: BTreeMap::new(),
            available: 0,
            used: 0,
            notified: 0,
        };
        memory.poke(area, &std::vec![0; usize::from(size) * (16 + 2 + 8) + 12 + 64]);
        device.write(0x30, 4, index);
        assert!(device.read(0x34, 4) >= size.into());
        assert_eq!(device.read(0x44, 4), 0);
        device.write(0x38, 4, size.into());
        for (register, address) in
            [(0x80, queue.area), (0x90, queue.available_ring()), (0xa0, queue.used_ring())]
        {
            device.write(register, 4, address & 0xffff_ffff);
            device.write(register + 4, 4, address >> 32);
        }
        device.write(0x44, 4, 1);
        assert_eq!(device.read(0x44, 4), 1);
        queue
    }

    pub(super) fn available_ring(&self) -> u64 {
        self.area + u64::from(self.size) * 16
    }

    pub(super) fn used_ring(&self) -> u64 {
        (self.available_ring() + 6 + u64::from(self.size) * 2).next_multiple_of(4)
    }

    fn table(&self, head: u16) -> u64 {
        (self.used_ring() + 6 + u64::from(self.size) * 8).next_multiple_of(16) + u64::from(head) * 512
    }

    /// Makes buffers available, and returns the number of the chain; `None` if there are not enough descriptors.
    pub(super) fn add(&mut self, memory: &Memory, buffers: &[(u64, u32, bool)]) -> Option<u16> {
        let indirect = self.features & INDIRECT != 0 && buffers.len() > 1;
        let needed = if indirect { 1 } else { buffers.len() };
        let keep = self.free.len().checked_sub(needed)?;
        let mut chain = self.free.split_off(keep);
        chain.reverse();
        let head = chain[0];
        let entry = |place: usize, next: u16, buffer: &(u64, u32, bool)| {
            let mut bytes = buffer.0.to_le_bytes().to_vec();
            bytes.extend(buffer.1.to_le_bytes());
            let more = u16::from(place + 1 < buffers.len());
            bytes.extend((more | u16::from(buffer.2) << 1).to_le_bytes());
            bytes.extend(next.to_le_bytes());
            bytes
        };
        for (place, buffer) in buffers.iter().enumerate() {
            let (address, next) = if indirect {
                (self.table(head) + place as u64 * 16, place as u16 + 1)
            } else {
                let next = chain.get(place + 1).copied().unwrap_or(0);
                (self.area + u64::from(chain[place]) * 16, next)
            };
            memory.poke(address, &entry(place, next, buffer));
        }
        if indirect {
            let mut bytes = self.table(head).to_le_bytes().to_vec();
            bytes.extend((buffers.len() as u32 * 16).to_le_bytes());
            bytes.extend([4, 0, 0, 0]);
            memory.poke(self.area + u64::from(head) * 16, &bytes);
        }
        self.out.insert(head, chain);
        self.make_available(memory, head);
        Some(head)
    }

    /// Puts a head into the ring, whatever it is.
    pub(super) fn make_available(&mut self, memory: &Memory, head: u16) {
        let entry = u64::from(self.available % self.size) * 2;
        memory.poke(self.available_ring() + 4 + entry, &head.to_le_bytes());
        self.available = self.available.wrapping_add(1);
        memory.poke(self.available_ring() + 2, &self.available.to_le_bytes());
    }

    /// Notifies the device of what was added since there were `old`, if it asks for that, and lets it work.
    pub(super) fn kick(&mut self, memory: &Memory, device: &mut impl Device, old: u16) {
        let event = memory.peek16(self.used_ring() + 4 + u64::from(self.size) * 8);
        let wanted = self.features & EVENT_IDX == 0
            || self.available.wrapping_sub(event).wrapping_sub(1) < self.available.wrapping_sub(old);
        if wanted {
            self.notified += 1;
            if device.write(0x50, 4, self.index) {
                run(device, memory);
            }
        }
    }

    /// Takes the chains that the device has given back, with the lengths that it has written, and asks for an interrupt
    /// for the next one.
    pub(super) fn collect(&mut self, memory: &Memory) -> Vec<(u16, u32)> {
        let mut done = Vec::new();
        while self.used != memory.peek16(self.used_ring() + 2) {
            let entry = memory.peek(self.used_ring() + 4 + u64::from(self.used % self.size) * 8, 8);
            let head = u32::from_le_bytes(entry[..4].try_into().unwrap()) as u16;
            let length = u32::from_le_bytes(entry[4..].try_into().unwrap());
            let chain = self.out.remove(&head).expect("the device gives back what it has");
            self.free.extend(chain);
            self.used = self.used.wrapping_add(1);
            done.push((head, length));
        }
        if self.features & EVENT_IDX != 0 {
            memory.poke(self.available_ring() + 4 + u64::from(self.size) * 2, &self.used.to_le_bytes());
        }
        done
    }

    pub(super) fn outstanding(&self) -> usize {
        self.out.len()
    }
}

/// Acknowledges the interrupt, and returns what it was for.
pub(super) fn acknowledge(device: &mut impl Device) -> u64 {
    let status = device.read(0x60, 4);
    device.write(0x64, 4, status);
    assert!(!device.interrupt());
    status
}

/// Is where the tests put their queues and buffers: rings from here, buffers from there.
pub(super) const RINGS: u64 = BASE + 0x1000;
pub(super) const BUFFERS: u64 = BASE + 0x4_0000;
pub(super) const MEMORY_SIZE: usize = 0x10_0000;
