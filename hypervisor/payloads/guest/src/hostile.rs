//! A guest that does everything that it must not, for ever: what it runs on, and others beside it, must not mind.
//!
//! `guest.hostile=SEED` starts it, and every CPU does something else that follows from the seed. With `guest.rounds=N` it
//! ends after so many rounds of each CPU, and says so.

#![forbid(unsafe_code)]

use tantalum_payload::call;
use tantalum_payload::console::line;
use tantalum_types::CallRegisters;

use crate::machine::exceptions::{self as provoke, catch};
use crate::machine::memory::Pages;
use crate::machine::{cpus, gic, interrupts, mmio, psci, tree};
use crate::virtio::queue::Queue;
use crate::virtio::{self, register, status};

/// Makes numbers that follow from a seed (xorshift64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Returns a number below `bound`.
    fn below(&mut self, bound: u64) -> u64 {
        (self.next() >> 16) % bound
    }

    /// Returns a number that is rather one of those on which things break.
    fn odd(&mut self) -> u64 {
        match self.below(6) {
            0 => 0,
            1 => u64::MAX,
            2 => 1 << self.below(64),
            3 => self.below(64),
            4 => 0x4000_0000 + self.below(0x2000_0000),
            _ => self.next(),
        }
    }
}

/// Does it on all CPUs: for ever, or `rounds` times.
pub(crate) fn run(seed: u64, rounds: Option<u64>) {
    line(format_args!("guest: hostile with seed {seed}"));
    cpus::on_all(|cpu| {
        interrupts::mask();
        let mut random = Random((seed << 8 | cpu as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let mut round = 0;
        while rounds.is_none_or(|rounds| round < rounds) {
            one(&mut random, cpu);
            round += 1;
        }
        interrupts::unmask();
    });
    line(format_args!("guest: hostile no more after {} rounds", rounds.unwrap_or(0)));
}

fn one(random: &mut Random, cpu: usize) {
    match random.below(8) {
        0 => calls(random),
        1 => distributor(random),
        2 => redistributor(random),
        3 => devices(random),
        4 => transports(random),
        5 => queues(random, cpu),
        6 => storm(random),
        _ => faults(random),
    }
}

/// Makes calls of functions that there are and are not, but none by which a CPU or the machine would stop or sleep.
fn calls(random: &mut Random) {
    for _ in 0..16 {
        let mut registers = CallRegisters::ZERO;
        for register in &mut registers.0 {
            *register = random.odd();
        }
        let owner = random.below(64) << 24;
        let wide = random.below(2) << 30;
        let function = 1 << 31 | wide | owner | random.below(0x100);
        let stops = owner == 4 << 24 && matches!(function & 0xff, 1 | 2 | 8 | 9 | 0xc | 0xe | 0x12);
        registers.0[0] = if stops { psci::function::VERSION } else { function };
        _ = catch(|| _ = call::call(psci::conduit(), &registers));
        _ = catch(|| _ = provoke::hvc_with_immediate(registers.0[0]));
    }
}

fn poke(random: &mut Random, at: usize) {
    let value = random.odd();
    _ = catch(|| match value & 7 {
        0 => mmio::write8(at, value as u8),
        1 => mmio::write64(at & !7, value),
        2 => _ = mmio::read64(at & !7),
        3 => _ = mmio::read8(at),
        4 | 5 => _ = mmio::read32(at & !3),
        _ => mmio::write32(at & !3, value as u32),
    });
}

fn distributor(random: &mut Random) {
    for _ in 0..16 {
        let offset = random.below(0x1_0000) as usize;
        poke(random, gic::DISTRIBUTOR + offset);
    }
}

fn redistributor(random: &mut Random) {
    for _ in 0..16 {
        let cpu = random.below(cpus::count() as u64 + 1) as usize;
        let offset = random.below(gic::REDISTRIBUTOR_SIZE as u64) as usize;
        // Of the other CPUs' wake-ups nobody takes anything away: they only work.
        poke(random, gic::redistributor(cpu) + offset);
    }
}

/// Pokes the serial port, without what it prints, and the clock.
fn devices(random: &mut Random) {
    for _ in 0..8 {
        let offset = 4 + random.below(0xffc) as usize;
        poke(random, 0x0900_0000 + offset);
        let offset = random.below(0x1000) as usize;
        poke(random, 0x0901_0000 + offset);
    }
}

fn transports(random: &mut Random) {
    let count = tree::compatible("virtio,mmio").count().max(1) as u64;
    for _ in 0..16 {
        let slot = random.below(count) as usize;
        let offset = random.below(0x200) as usize;
        poke(random, 0x0a00_0000 + slot * 0x200 + offset);
    }
}

/// Gives a device a queue of nonsense: descriptors to anywhere, that follow each other in any way, in any number.
fn queues(random: &mut Random, cpu: usize) {
    let devices = virtio::all().filter(|device| device.kind() != 0).count() as u64;
    if devices == 0 {
        return;
    }
    let Some(device) = virtio::all().filter(|device| device.kind() != 0).nth(random.below(devices) as usize)
    else {
        return;
    };
    device.write(register::STATUS, 0);
    device.add_status(status::ACKNOWLEDGE);
    device.add_status(status::DRIVER);
    device.take_features(device.features());
    device.add_status(status::FEATURES_OK);
    let queue = Queue::new(device, random.below(3) as u32, 1000 + cpu * 4);
    device.go();
    let own = Pages::at(1000 + cpu * 4 + 3, 1).address();
    for at in 0..queue.size {
        let address = if random.below(2) == 0 { own + random.below(4096) } else { random.odd() };
        let size = if random.below(2) == 0 { random.below(4096) } else { random.odd() };
        queue.describe(at, address, size as u32, random.below(8) as u16, random.below(70) as u16);
    }
    for _ in 0..random.below(8) {
        if queue.size > 0 {
            queue.offer(random.below(70) as u16);
        }
        queue.notify();
    }
    if random.below(4) == 0 {
        queue.set_offered(random.next() as u16);
        queue.notify();
        queue.place(random.odd(), random.odd(), random.odd());
        queue.notify();
    }
}

/// Sends interrupts to everybody, faster than they are taken.
fn storm(random: &mut Random) {
    for _ in 0..64 {
        let value = gic::sgi(random.below(15) as usize, 0) | gic::ALL_BUT_SELF;
        gic::send(if random.below(2) == 0 { value } else { random.odd() & !gic::ALL_BUT_SELF });
    }
}

/// Reaches for what is not there.
fn faults(random: &mut Random) {
    let (ram, size) = tree::ram();
    for _ in 0..4 {
        let hole = 0x0b00_0000 + random.below(0x500_0000);
        _ = catch(|| _ = provoke::load(hole & !3));
        _ = catch(|| provoke::store(hole & !3, 1));
        _ = catch(|| _ = provoke::load_pair(hole & !7));
        let behind = ram + size + random.below(0x1000_0000);
        _ = catch(|| _ = provoke::load(behind & !3));
    }
    _ = catch(provoke::udf);
    _ = catch(provoke::read_nonsense_register);
}
