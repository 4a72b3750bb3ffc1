//! The devices beside a driver that is written for these tests only, in memory that watches who reaches where.

mod blk;
mod console;
mod cost;
mod driver;
mod entropy;
mod hostile;
mod machine;
mod malformed;
mod net;
mod transport;

use super::*;

/// Is any device, with the backend that a test has given it.
pub(super) trait Device {
    fn read(&self, offset: u64, size: u8) -> u64;
    fn write(&mut self, offset: u64, size: u8, value: u64) -> bool;
    fn interrupt(&self) -> bool;
    fn run(&mut self, memory: &machine::Memory, budget: &mut Budget) -> Progress;
}

macro_rules! device {
    ($name:ident, $device:ty, $backend:ty) => {
        /// Is a device and its backend.
        pub(super) struct $name {
            pub(super) device: $device,
            pub(super) backend: $backend,
        }

        impl Device for $name {
            fn read(&self, offset: u64, size: u8) -> u64 {
                self.device.read(offset, size)
            }

            fn write(&mut self, offset: u64, size: u8, value: u64) -> bool {
                self.device.write(offset, size, value)
            }

            fn interrupt(&self) -> bool {
                self.device.interrupt()
            }

            fn run(&mut self, memory: &machine::Memory, budget: &mut Budget) -> Progress {
                self.device.run(memory, &mut self.backend, budget)
            }
        }
    };
}

device!(Disk, Block, machine::SlowDisk);
device!(Card, Net, machine::Cable);
device!(Terminal, Console, machine::Tty);
device!(Dice, Entropy, machine::Source);

/// Is a disk in memory.
pub(super) struct Ram {
    pub(super) device: Block,
    pub(super) disk: RamDisk,
    pub(super) memory: machine::Memory,
}

impl Device for Ram {
    fn read(&self, offset: u64, size: u8) -> u64 {
        self.device.read(offset, size)
    }

    fn write(&mut self, offset: u64, size: u8, value: u64) -> bool {
        self.device.write(offset, size, value)
    }

    fn interrupt(&self) -> bool {
        self.device.interrupt()
    }

    fn run(&mut self, memory: &machine::Memory, budget: &mut Budget) -> Progress {
        self.device.run(memory, &mut self.disk.on(&self.memory), budget)
    }
}

/// Runs a device until it has nothing left to do, and returns how it stopped.
pub(super) fn run(device: &mut impl Device, memory: &machine::Memory) -> Progress {
    // What these tests ask of a device is done in far fewer runs, so one that always wants more is noticed.
    for _ in 0..10_000 {
        let progress = device.run(memory, &mut Budget::NORMAL.clone());
        if progress != Progress::More {
            return progress;
        }
    }
    panic!("the device does not come to an end");
}
