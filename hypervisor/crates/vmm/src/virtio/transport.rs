//! Virtio over MMIO, version 2: the registers of virtio 1.2, section 4.2.2.

use super::chain::Malformed;
use super::memory::GuestMemory;
use super::queue::{Queue, RingFeatures};
use super::status::Status;

/// Gives the size in bytes of a device's registers, its configuration among them.
pub const REGISTERS_SIZE: u64 = 0x200;

const MAGIC_VALUE: u64 = 0x000;
const VERSION: u64 = 0x004;
const DEVICE_ID: u64 = 0x008;
const VENDOR_ID: u64 = 0x00c;
const DEVICE_FEATURES: u64 = 0x010;
const DEVICE_FEATURES_SEL: u64 = 0x014;
const DRIVER_FEATURES: u64 = 0x020;
const DRIVER_FEATURES_SEL: u64 = 0x024;
const QUEUE_SEL: u64 = 0x030;
const QUEUE_NUM_MAX: u64 = 0x034;
const QUEUE_NUM: u64 = 0x038;
const QUEUE_READY: u64 = 0x044;
const QUEUE_NOTIFY: u64 = 0x050;
const INTERRUPT_STATUS: u64 = 0x060;
const INTERRUPT_ACK: u64 = 0x064;
const STATUS: u64 = 0x070;
const QUEUE_DESC_LOW: u64 = 0x080;
const QUEUE_DESC_HIGH: u64 = 0x084;
const QUEUE_DRIVER_LOW: u64 = 0x090;
const QUEUE_DRIVER_HIGH: u64 = 0x094;
const QUEUE_DEVICE_LOW: u64 = 0x0a0;
const QUEUE_DEVICE_HIGH: u64 = 0x0a4;
const SHM_LEN_LOW: u64 = 0x0b0;
const SHM_BASE_HIGH: u64 = 0x0bc;
const QUEUE_RESET: u64 = 0x0c0;
const CONFIG_GENERATION: u64 = 0x0fc;
const CONFIG: u64 = 0x100;

/// Is "virt" in ASCII, first character in the lowest byte.
const MAGIC: u32 = 0x7472_6976;
/// Is "TANT", in the same way.
const VENDOR: u32 = 0x544e_4154;

const VIRTIO_F_INDIRECT_DESC: u64 = 1 << 28;
const VIRTIO_F_EVENT_IDX: u64 = 1 << 29;
const VIRTIO_F_VERSION_1: u64 = 1 << 32;
const VIRTIO_F_RING_RESET: u64 = 1 << 40;

/// Holds the features that every device offers.
const COMMON_FEATURES: u64 =
    VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX | VIRTIO_F_VERSION_1 | VIRTIO_F_RING_RESET;

const USED_BUFFER: u32 = 1;
const CONFIGURATION_CHANGE: u32 = 2;

/// Returns what a register of a place without a device reads as: DeviceID is zero (section 4.2.2.1). Writes there do
/// nothing.
pub fn absent(offset: u64, size: u8) -> u64 {
    match (offset, size) {
        (MAGIC_VALUE, 4) => MAGIC.into(),
        (VERSION, 4) => 2,
        (VENDOR_ID, 4) => VENDOR.into(),
        _ => 0,
    }
}

/// Says what a device has to do after a write to its registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Nothing.
    None,
    /// Look at its queues.
    Run,
    /// Forget what it has taken from this queue, which is not used any more.
    QueueReset(usize),
    /// Forget everything.
    Reset,
}

/// Holds the registers of a device with `QUEUES` queues.
#[derive(Debug)]
pub(crate) struct Transport<const QUEUES: usize> {
    device_id: u32,
    offered: u64,
    accepted: u64,
    device_features_select: u32,
    driver_features_select: u32,
    queue_select: u32,
    queues: [Queue; QUEUES],
    status: Status,
    interrupts: u32,
    generation: u32,
}

impl<const QUEUES: usize> Transport<QUEUES> {
    /// Builds the registers of a device that offers `features` of its own, with queues of at most `size` descriptors, a
    /// power of two.
    pub(crate) const fn new(device_id: u32, features: u64, size: u16) -> Self {
        Self {
            device_id,
            offered: features | COMMON_FEATURES,
            accepted: 0,
            device_features_select: 0,
            driver_features_select: 0,
            queue_select: 0,
            queues: [const { Queue::new(0) }; QUEUES],
            status: Status::RESET,
            interrupts: 0,
            generation: 0,
        }
        .with_queues(size)
    }

    const fn with_queues(mut self, size: u16) -> Self {
        let mut queues: &mut [Queue] = &mut self.queues;
        while let Some((first, rest)) = queues.split_first_mut() {
            *first = Queue::new(size);
            queues = rest;
        }
        self
    }

    /// Tells whether the device may look at its queues.
    pub(crate) fn is_live(&self) -> bool {
        self.status.is_live()
    }

    /// Tells whether the interrupt line is up.
    pub(crate) fn interrupt(&self) -> bool {
        self.interrupts != 0
    }

    /// Returns a queue, and the features that rule it; `None` if there is no such queue.
    pub(crate) fn queue(&mut self, index: usize) -> Option<(&mut Queue, RingFeatures)> {
        let features = self.ring_features();
        Some((self.queues.get_mut(index)?, features))
    }

    fn ring_features(&self) -> RingFeatures {
        RingFeatures {
            indirect: self.accepted & VIRTIO_F_INDIRECT_DESC != 0,
            event_idx: self.accepted & VIRTIO_F_EVENT_IDX != 0,
        }
    }

    /// Ends a run: lets the driver see what was given back, raises the interrupt if it wants one, and stops the device if
    /// the run has met a broken rule.
    pub(crate) fn end_run<T>(
        &mut self,
        result: Result<T, Malformed>,
        memory: &impl GuestMemory,
    ) -> Result<T, Malformed> {
        if !self.is_live() {
            return result;
        }
        let features = self.ring_features();
        let mut result = result;
        for queue in &mut self.queues {
            match queue.publish(features, memory) {
                Ok(true) => self.interrupts |= USED_BUFFER,
                Ok(false) => {}
                Err(error) => result = Err(error),
            }
        }
        if result.is_err() {
            self.fail();
        }
        result
    }

    /// Stops the device if what was looked at breaks a rule.
    fn look_at(&mut self, result: Result<(), Malformed>) -> Effect {
        if result.is_err() {
            self.fail();
        }
        Effect::None
    }

    /// Sets DEVICE_NEEDS_RESET, and tells the driver if it listens (section 2.1.2).
    fn fail(&mut self) {
        if self.status.has(Status::DRIVER_OK) {
            self.interrupts |= CONFIGURATION_CHANGE;
        }
        self.status = self.status.needs_reset();
    }

    /// Tells the driver that the configuration has changed.
    pub(crate) fn configuration_changed(&mut self) {
        self.generation = self.generation.wrapping_add(1);
        if self.status.has(Status::DRIVER_OK) {
            self.interrupts |= CONFIGURATION_CHANGE;
        }
    }

    /// Returns what `size` bytes at `offset` read as. Registers are read by four bytes, the configuration by one, two or
    /// four, each aligned; everything else reads zero.
    pub(crate) fn read(&self, offset: u64, size: u8, configuration: &[u8]) -> u64 {
        if let Some(offset) = offset.checked_sub(CONFIG) {
            return read_configuration(offset, size, configuration);
        }
        if size != 4 {
            return 0;
        }
        let selected = usize::try_from(self.queue_select).ok().and_then(|index| self.queues.get(index));
        let value = match offset {
            MAGIC_VALUE => MAGIC,
            VERSION => 2,
            DEVICE_ID => self.device_id,
            VENDOR_ID => VENDOR,
            DEVICE_FEATURES => half(self.offered, self.device_features_select),
            QUEUE_NUM_MAX => selected.map_or(0, |queue| queue.max_size().into()),
            QUEUE_READY => selected.map_or(0, |queue| queue.is_ready().into()),
            INTERRUPT_STATUS => self.interrupts,
            STATUS => self.status.raw().into(),
            // There is no shared memory region: length and base are all ones.
            SHM_LEN_LOW..=SHM_BASE_HIGH if offset & 3 == 0 => u32::MAX,
            CONFIG_GENERATION => self.generation,
            // A queue is reset before the write to QueueReset ends, so that reads zero too.
            _ => 0,
        };
        value.into()
    }

    /// Writes `size` bytes at `offset`; what the driver may not write there, or not now, is ignored.
    pub(crate) fn write(&mut self, offset: u64, size: u8, value: u64) -> Effect {
        let Ok(value) = u32::try_from(value) else { return Effect::None };
        if size != 4 {
            return Effect::None;
        }
        match offset {
            DEVICE_FEATURES_SEL => self.device_features_select = value,
            DRIVER_FEATURES_SEL => self.driver_features_select = value,
            DRIVER_FEATURES => self.choose_features(value),
            QUEUE_SEL => self.queue_select = value,
            QUEUE_NOTIFY if self.is_live() && usize::try_from(value).is_ok_and(|index| index < QUEUES) => {
                return Effect::Run;
            }
            INTERRUPT_ACK => self.interrupts &= !value,
            STATUS => return self.write_status(value),
            _ => return self.write_queue(offset, value),
        }
        Effect::None
    }

    fn choose_features(&mut self, value: u32) {
        if self.status.has(Status::FEATURES_OK) {
            return;
        }
        let (keep, new) = match self.driver_features_select {
            0 => (0xffff_ffff_0000_0000, u64::from(value)),
            1 => (0xffff_ffff, u64::from(value) << 32),
            // There is nothing to choose there.
            _ => return,
        };
        self.accepted = self.accepted & keep | new;
    }

    fn write_status(&mut self, value: u32) -> Effect {
        if value == 0 {
            self.reset();
            return Effect::Reset;
        }
        let [value, ..] = value.to_le_bytes();
        let acceptable = self.accepted & !self.offered == 0 && self.accepted & VIRTIO_F_VERSION_1 != 0;
        let was_live = self.is_live();
        self.status = self.status.written(value, acceptable);
        // A driver may have filled its queues before.
        if self.is_live() && !was_live { Effect::Run } else { Effect::None }
    }

    /// Returns everything but the configuration, and its generation, to what it was at first.
    fn reset(&mut self) {
        self.accepted = 0;
        self.device_features_select = 0;
        self.driver_features_select = 0;
        self.queue_select = 0;
        self.status = Status::RESET;
        self.interrupts = 0;
        self.queues.iter_mut().for_each(Queue::reset);
    }

    /// Writes a register of the selected queue. What describes a queue stays while the queue is ready.
    fn write_queue(&mut self, offset: u64, value: u32) -> Effect {
        let Ok(index) = usize::try_from(self.queue_select) else { return Effect::None };
        let ring_reset = self.accepted & VIRTIO_F_RING_RESET != 0;
        let Some(queue) = self.queues.get_mut(index) else { return Effect::None };
        match (offset, queue.is_ready()) {
            (QUEUE_READY, true) if value & 1 == 0 => {
                queue.stop();
                return Effect::QueueReset(index);
            }
            (QUEUE_READY, false) if value & 1 != 0 => {
                let made = queue.make_ready();
                return self.look_at(made);
            }
            (QUEUE_RESET, _) if value & 1 != 0 && ring_reset => {
                queue.reset();
                return Effect::QueueReset(index);
            }
            (QUEUE_NUM, false) => queue.size = value,
            (QUEUE_DESC_LOW, false) => set_low(&mut queue.descriptors, value),
            (QUEUE_DESC_HIGH, false) => set_high(&mut queue.descriptors, value),
            (QUEUE_DRIVER_LOW, false) => set_low(&mut queue.driver, value),
            (QUEUE_DRIVER_HIGH, false) => set_high(&mut queue.driver, value),
            (QUEUE_DEVICE_LOW, false) => set_low(&mut queue.device, value),
            (QUEUE_DEVICE_HIGH, false) => set_high(&mut queue.device, value),
            _ => {}
        }
        Effect::None
    }
}

fn read_configuration(offset: u64, size: u8, configuration: &[u8]) -> u64 {
    if !matches!(size, 1 | 2 | 4) || offset & u64::from(size).wrapping_sub(1) != 0 {
        return 0;
    }
    let Ok(offset) = usize::try_from(offset) else { return 0 };
    let bytes = configuration.iter().skip(offset).take(size.into()).rev();
    bytes.fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// Returns bits 0 to 31 of `features` for selector 0, bits 32 to 63 for 1, and none of those behind.
fn half(features: u64, select: u32) -> u32 {
    let [a, b, c, d, e, f, g, h] = features.to_le_bytes();
    match select {
        0 => u32::from_le_bytes([a, b, c, d]),
        1 => u32::from_le_bytes([e, f, g, h]),
        _ => 0,
    }
}

fn set_low(address: &mut u64, value: u32) {
    *address = *address & 0xffff_ffff_0000_0000 | u64::from(value);
}

fn set_high(address: &mut u64, value: u32) {
    *address = *address & 0xffff_ffff | u64::from(value) << 32;
}
