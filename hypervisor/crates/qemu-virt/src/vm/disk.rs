//! The machine's block devices: virtio-blk over MMIO (Virtual I/O Device 1.2, sections 2.7, 4.2 and 5.2).
//!
//! The device reads and writes the memory that a request names by itself; nothing of it is copied here. It is trusted: who
//! can replace it can replace the hypervisor. But what it answers indexes nothing without a check.

use core::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};

use spin::Mutex;
use tantalum_aarch64::memory;
use tantalum_hal::vm::{DiskEnd, DiskOperation, DiskRequest};

use super::{interrupts, layout};

/// Bounds the block devices.
const MAX_DISKS: usize = 4;

/// Bounds the requests that are under way at a time on one device.
const MAX_REQUESTS: usize = 32;

/// Counts the descriptors of a queue.
const QUEUE_SIZE: usize = 128;

/// Registers of the transport.
mod register {
    pub(super) const MAGIC: usize = 0x000;
    pub(super) const VERSION: usize = 0x004;
    pub(super) const DEVICE_ID: usize = 0x008;
    pub(super) const DEVICE_FEATURES: usize = 0x010;
    pub(super) const DEVICE_FEATURES_SELECT: usize = 0x014;
    pub(super) const DRIVER_FEATURES: usize = 0x020;
    pub(super) const DRIVER_FEATURES_SELECT: usize = 0x024;
    pub(super) const QUEUE_SELECT: usize = 0x030;
    pub(super) const QUEUE_SIZE_MAX: usize = 0x034;
    pub(super) const QUEUE_SIZE: usize = 0x038;
    pub(super) const QUEUE_READY: usize = 0x044;
    pub(super) const QUEUE_NOTIFY: usize = 0x050;
    pub(super) const INTERRUPT_STATUS: usize = 0x060;
    pub(super) const INTERRUPT_ACKNOWLEDGE: usize = 0x064;
    pub(super) const STATUS: usize = 0x070;
    pub(super) const QUEUE_DESCRIPTORS: usize = 0x080;
    pub(super) const QUEUE_DRIVER: usize = 0x090;
    pub(super) const QUEUE_DEVICE: usize = 0x0a0;
    pub(super) const CAPACITY: usize = 0x100;
}

const MAGIC: u32 = 0x7472_6976;
const VERSION: u32 = 2;
const BLOCK_DEVICE: u32 = 2;

/// Bits of the device's status.
const ACKNOWLEDGE: u32 = 1;
const DRIVER: u32 = 2;
const DRIVER_OK: u32 = 4;
const FEATURES_OK: u32 = 8;

/// Features: the device is read-only; it can flush; it is of version 1.
const READ_ONLY: u64 = 1 << 5;
const FLUSH: u64 = 1 << 9;
const VERSION_1: u64 = 1 << 32;

/// Flags of a descriptor.
const NEXT: u16 = 1;
const WRITE: u16 = 2;

/// Types of request, and the status of one that went well.
const IN: u32 = 0;
const OUT: u32 = 1;
const FLUSH_REQUEST: u32 = 4;
const OK: u8 = 0;

/// Describes a piece of memory of a request.
#[repr(C)]
struct Descriptor {
    address: AtomicU64,
    length: AtomicU32,
    flags: AtomicU16,
    next: AtomicU16,
}

/// Is what a request begins with.
#[repr(C)]
struct Header {
    kind: AtomicU32,
    reserved: AtomicU32,
    sector: AtomicU64,
}

/// Names a request that the device has ended.
#[repr(C)]
struct Used {
    id: AtomicU32,
    length: AtomicU32,
}

/// Is the memory that the device and the hypervisor talk through. All zero at first.
#[repr(C, align(4096))]
struct Shared {
    descriptors: [Descriptor; QUEUE_SIZE],
    available_flags: AtomicU16,
    available_index: AtomicU16,
    available: [AtomicU16; QUEUE_SIZE],
    used_event: AtomicU16,
    reserved: AtomicU16,
    used_flags: AtomicU16,
    used_index: AtomicU16,
    used: [Used; QUEUE_SIZE],
    available_event: AtomicU16,
    headers: [Header; MAX_REQUESTS],
    statuses: [AtomicU8; MAX_REQUESTS],
}

impl Shared {
    const fn new() -> Self {
        const fn zero() -> AtomicU16 {
            AtomicU16::new(0)
        }
        Self {
            descriptors: [const {
                Descriptor {
                    address: AtomicU64::new(0),
                    length: AtomicU32::new(0),
                    flags: zero(),
                    next: zero(),
                }
            }; QUEUE_SIZE],
            available_flags: zero(),
            available_index: zero(),
            available: [const { zero() }; QUEUE_SIZE],
            used_event: zero(),
            reserved: zero(),
            used_flags: zero(),
            used_index: zero(),
            used: [const { Used { id: AtomicU32::new(0), length: AtomicU32::new(0) } }; QUEUE_SIZE],
            available_event: zero(),
            headers: [const {
                Header { kind: AtomicU32::new(0), reserved: AtomicU32::new(0), sector: AtomicU64::new(0) }
            }; MAX_REQUESTS],
            statuses: [const { AtomicU8::new(0) }; MAX_REQUESTS],
        }
    }
}

static SHARED: [Shared; MAX_DISKS] = [const { Shared::new() }; MAX_DISKS];

static DISKS: [Mutex<Option<Disk>>; MAX_DISKS] = [const { Mutex::new(None) }; MAX_DISKS];

/// Is what a request that is under way has.
#[derive(Clone, Copy)]
struct Pending {
    tag: u16,
    /// Its descriptors, of which the first is its number to the device.
    first: u16,
}

/// Is a block device.
pub(super) struct Disk {
    base: usize,
    intid: u32,
    sectors: u64,
    read_only: bool,
    can_flush: bool,
    shared: &'static Shared,
    /// The descriptors that are free, one after the other by their `next`; as many as `free_count`.
    free: u16,
    free_count: usize,
    /// How many of the used ring were taken.
    taken: u16,
    pending: [Option<Pending>; MAX_REQUESTS],
}

/// Looks for the block devices and takes them into use. The first of QEMU's command line has the highest address.
pub(super) fn start() {
    let mut places = DISKS.iter().zip(&SHARED);
    for slot in (0..layout::VIRTIO_SLOTS).rev() {
        let base = layout::VIRTIO_BASE.wrapping_add(slot.wrapping_mul(layout::VIRTIO_STRIDE));
        let intid = layout::VIRTIO_INTID.wrapping_add(u32::try_from(slot).unwrap_or(0));
        if read(base, register::MAGIC) != MAGIC || read(base, register::DEVICE_ID) != BLOCK_DEVICE {
            continue;
        }
        if read(base, register::VERSION) != VERSION {
            log::warn!(
                "the block device at {base:#x} is a legacy one (virtio-mmio.force-legacy): left alone"
            );
            continue;
        }
        let Some((place, shared)) = places.next() else {
            log::warn!("the block device at {base:#x} is one too many: left alone");
            continue;
        };
        match Disk::start(base, intid, shared) {
            Ok(disk) => {
                *place.lock() = Some(disk);
                interrupts::enable_shared(intid);
            }
            Err(reason) => log::warn!("the block device at {base:#x} cannot be used: {reason}"),
        }
    }
}

/// Does something with a block device, if there is such a one.
pub(super) fn with<T>(disk: usize, work: impl FnOnce(&mut Disk) -> T) -> Option<T> {
    DISKS.get(disk)?.lock().as_mut().map(work)
}

fn read(base: usize, offset: usize) -> u32 {
    let register = core::ptr::with_exposed_provenance::<u32>(base.wrapping_add(offset));
    // SAFETY: the slots of virtio devices are mapped, and empty ones read too. No register that is read here changes by it.
    unsafe { register.read_volatile() }
}

fn write(base: usize, offset: usize, value: u32) {
    let register = core::ptr::with_exposed_provenance_mut::<u32>(base.wrapping_add(offset));
    // SAFETY: as above; the device reads and writes only the memory that it is told of here.
    unsafe { register.write_volatile(value) };
}

/// Writes a pair of registers for 64 bits.
fn write_address(base: usize, offset: usize, value: u64) {
    let [a, b, c, d, e, f, g, h] = value.to_le_bytes();
    write(base, offset, u32::from_le_bytes([a, b, c, d]));
    write(base, offset.wrapping_add(4), u32::from_le_bytes([e, f, g, h]));
}

fn address<T>(of: &'static T) -> u64 {
    // The hypervisor's virtual addresses are physical ones.
    core::ptr::from_ref(of).expose_provenance() as u64
}

impl Disk {
    /// Resets the device and sets its queue up.
    fn start(base: usize, intid: u32, shared: &'static Shared) -> Result<Self, &'static str> {
        write(base, register::STATUS, 0);
        while read(base, register::STATUS) != 0 {
            core::hint::spin_loop();
        }
        write(base, register::STATUS, ACKNOWLEDGE | DRIVER);
        let mut features: u64 = 0;
        for (select, shift) in [(0, 0), (1, 32)] {
            write(base, register::DEVICE_FEATURES_SELECT, select);
            features |= u64::from(read(base, register::DEVICE_FEATURES)) << shift;
        }
        if features & VERSION_1 == 0 {
            return Err("it is of no version that is known");
        }
        let wanted = features & (READ_ONLY | FLUSH | VERSION_1);
        let [a, b, c, d, e, f, g, h] = wanted.to_le_bytes();
        for (select, part) in [(0, u32::from_le_bytes([a, b, c, d])), (1, u32::from_le_bytes([e, f, g, h]))] {
            write(base, register::DRIVER_FEATURES_SELECT, select);
            write(base, register::DRIVER_FEATURES, part);
        }
        write(base, register::STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK);
        if read(base, register::STATUS) & FEATURES_OK == 0 {
            return Err("it does not take the features that it has offered");
        }
        write(base, register::QUEUE_SELECT, 0);
        let size = u32::try_from(QUEUE_SIZE).unwrap_or(0);
        if read(base, register::QUEUE_SIZE_MAX) < size {
            return Err("its queue is too short");
        }
        write(base, register::QUEUE_SIZE, size);
        write_address(base, register::QUEUE_DESCRIPTORS, address(&shared.descriptors));
        write_address(base, register::QUEUE_DRIVER, address(&shared.available_flags));
        write_address(base, register::QUEUE_DEVICE, address(&shared.used_flags));
        for (next, descriptor) in (1..).zip(&shared.descriptors) {
            descriptor.next.store(next, Ordering::Relaxed);
        }
        memory::order_before_device();
        write(base, register::QUEUE_READY, 1);
        write(base, register::STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
        let sectors = u64::from(read(base, register::CAPACITY))
            | u64::from(read(base, register::CAPACITY.wrapping_add(4))) << 32;
        Ok(Self {
            base,
            intid,
            sectors,
            read_only: features & READ_ONLY != 0,
            can_flush: features & FLUSH != 0,
            shared,
            free: 0,
            free_count: QUEUE_SIZE,
            taken: 0,
            pending: [None; MAX_REQUESTS],
        })
    }

    /// Says what it is.
    pub(super) const fn describe(&self) -> tantalum_hal::vm::Disk {
        tantalum_hal::vm::Disk { sectors: self.sectors, read_only: self.read_only, intid: self.intid }
    }

    /// Gives a request to the device, and says whether there was room for it.
    pub(super) fn submit(&mut self, request: &DiskRequest<'_>) -> bool {
        let needed = request.segments.len().saturating_add(2);
        let place = self.pending.iter().position(Option::is_none);
        let (Some(place), true) = (place, needed <= self.free_count) else { return false };
        let (Some(header), Some(status)) = (self.shared.headers.get(place), self.shared.statuses.get(place))
        else {
            return false;
        };
        let (kind, flags) = match request.operation {
            DiskOperation::Read => (IN, WRITE),
            DiskOperation::Write => (OUT, 0),
            // A device that cannot flush has written when it answers: a flush reads nothing and does nothing.
            DiskOperation::Flush if self.can_flush => (FLUSH_REQUEST, 0),
            DiskOperation::Flush => (IN, WRITE),
        };
        header.kind.store(kind, Ordering::Relaxed);
        header.sector.store(request.sector, Ordering::Relaxed);
        status.store(u8::MAX, Ordering::Relaxed);

        let first = self.free;
        let header_part = (address(header), 16, 0);
        let data = request.segments.iter().map(|segment| (segment.address.raw(), segment.length, flags));
        let status_part = (address(status), 1, WRITE);
        let parts = core::iter::once(header_part).chain(data).chain(core::iter::once(status_part));
        for (number, (address, length, flags)) in parts.enumerate() {
            let Some(descriptor) = self.shared.descriptors.get(usize::from(self.free)) else { return false };
            let more = if number.saturating_add(1) < needed { NEXT } else { 0 };
            descriptor.address.store(address, Ordering::Relaxed);
            descriptor.length.store(length, Ordering::Relaxed);
            descriptor.flags.store(flags | more, Ordering::Relaxed);
            self.free = descriptor.next.load(Ordering::Relaxed);
        }
        self.free_count = self.free_count.saturating_sub(needed);
        if let Some(pending) = self.pending.get_mut(place) {
            *pending = Some(Pending { tag: request.tag, first });
        }

        let index = self.shared.available_index.load(Ordering::Relaxed);
        if let Some(entry) = self.shared.available.get(usize::from(index) & (QUEUE_SIZE - 1)) {
            entry.store(first, Ordering::Relaxed);
        }
        memory::order_before_device();
        self.shared.available_index.store(index.wrapping_add(1), Ordering::Relaxed);
        memory::order_before_device();
        write(self.base, register::QUEUE_NOTIFY, 0);
        true
    }

    /// Takes back a request that the device has ended; `None` if there is none.
    pub(super) fn finish(&mut self) -> Option<DiskEnd> {
        // Before the look at the ring, so that what comes after it raises the interrupt again.
        let status = read(self.base, register::INTERRUPT_STATUS);
        if status != 0 {
            write(self.base, register::INTERRUPT_ACKNOWLEDGE, status);
            memory::order_before_device();
        }
        loop {
            if self.shared.used_index.load(Ordering::Acquire) == self.taken {
                return None;
            }
            memory::order_before_device();
            let used = self.shared.used.get(usize::from(self.taken) & (QUEUE_SIZE - 1))?;
            self.taken = self.taken.wrapping_add(1);
            let id = used.id.load(Ordering::Relaxed);
            let place = self
                .pending
                .iter()
                .position(|pending| pending.is_some_and(|pending| u32::from(pending.first) == id));
            let Some(place) = place else {
                log::warn!("the block device at {:#x} ends a request that was not made", self.base);
                continue;
            };
            let pending = self.pending.get_mut(place)?.take()?;
            self.give_back(pending.first);
            let succeeded =
                self.shared.statuses.get(place).is_some_and(|status| status.load(Ordering::Relaxed) == OK);
            return Some(DiskEnd { tag: pending.tag, succeeded });
        }
    }

    /// Gives the descriptors of a request back, from `first` on. Their order was not changed by the device, which only
    /// reads them.
    fn give_back(&mut self, first: u16) {
        let mut current = first;
        for _ in 0..QUEUE_SIZE {
            let Some(descriptor) = self.shared.descriptors.get(usize::from(current)) else { return };
            self.free_count = self.free_count.saturating_add(1);
            if descriptor.flags.load(Ordering::Relaxed) & NEXT == 0 {
                descriptor.next.store(self.free, Ordering::Relaxed);
                self.free = first;
                return;
            }
            current = descriptor.next.load(Ordering::Relaxed);
        }
    }
}
