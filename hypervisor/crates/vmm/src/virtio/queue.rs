//! The device's side of a split virtqueue (virtio 1.2, section 2.7).

use tantalum_types::Ipa;

use super::budget::Budget;
use super::chain::{Chain, MAX_SEGMENTS, Malformed};
use super::memory::GuestMemory;

const DESCRIPTOR_SIZE: usize = 16;
const VIRTQ_DESC_F_NEXT: u16 = 1;
const VIRTQ_DESC_F_WRITE: u16 = 2;
const VIRTQ_DESC_F_INDIRECT: u16 = 4;
const VIRTQ_AVAIL_F_NO_INTERRUPT: u16 = 1;

/// Says which of the features that change queues were agreed on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RingFeatures {
    /// VIRTIO_F_INDIRECT_DESC.
    pub(crate) indirect: bool,
    /// VIRTIO_F_EVENT_IDX.
    pub(crate) event_idx: bool,
}

/// Holds where a queue is and how far the device has come.
#[derive(Debug)]
pub(crate) struct Queue {
    max_size: u16,
    /// What the driver has set: how many descriptors, and where the three areas are.
    pub(crate) size: u32,
    pub(crate) descriptors: u64,
    pub(crate) driver: u64,
    pub(crate) device: u64,
    /// `size`, and zero while the queue is not ready.
    live_size: u16,
    /// The next entry of the available ring to look at, and the driver's index as it was last read.
    next_available: u16,
    seen_available: u16,
    /// The next entry of the used ring to write, and the index that the driver was told.
    next_used: u16,
    told_used: u16,
    /// The `avail_event` that was written last, if one was.
    told_event: Option<u16>,
}

impl Queue {
    /// Builds a queue of at most `max_size` descriptors, a power of two.
    pub(crate) const fn new(max_size: u16) -> Self {
        Self {
            max_size,
            size: 0,
            descriptors: 0,
            driver: 0,
            device: 0,
            live_size: 0,
            next_available: 0,
            seen_available: 0,
            next_used: 0,
            told_used: 0,
            told_event: None,
        }
    }

    /// Returns the queue to what it was at first.
    pub(crate) const fn reset(&mut self) {
        *self = Self::new(self.max_size);
    }

    /// Returns how many descriptors it can have.
    pub(crate) fn max_size(&self) -> u16 {
        self.max_size
    }

    /// Tells whether the driver has made it ready.
    pub(crate) fn is_ready(&self) -> bool {
        self.live_size != 0
    }

    /// Begins to use what the driver has set.
    ///
    /// # Errors
    /// If the size is not a power of two or too large, an area is not aligned (section 2.7), or one wraps.
    pub(crate) fn make_ready(&mut self) -> Result<(), Malformed> {
        let size = u16::try_from(self.size).map_err(|_| Malformed)?;
        if !size.is_power_of_two() || size > self.max_size {
            return Err(Malformed);
        }
        // No area is as large as this, and nothing of the memory map lies so high.
        let fits = |start: u64, alignment_bits: u32| {
            start.trailing_zeros() >= alignment_bits && start.checked_add(0x10_0000).is_some()
        };
        if !fits(self.descriptors, 4) || !fits(self.driver, 1) || !fits(self.device, 2) {
            return Err(Malformed);
        }
        self.live_size = size;
        self.next_available = 0;
        self.seen_available = 0;
        self.next_used = 0;
        self.told_used = 0;
        self.told_event = None;
        Ok(())
    }

    /// Stops using it; the areas stay set.
    pub(crate) fn stop(&mut self) {
        self.live_size = 0;
    }

    /// Tells whether the driver has made a chain available that was not taken, and if it has not, that it shall notify
    /// the next time it does.
    ///
    /// # Errors
    /// If the ring cannot be read, or its index has gone further than there are entries.
    pub(crate) fn has_next(
        &mut self,
        features: RingFeatures,
        memory: &impl GuestMemory,
    ) -> Result<bool, Malformed> {
        if !self.is_ready() {
            return Ok(false);
        }
        if self.next_available != self.seen_available {
            return Ok(true);
        }
        if features.event_idx && self.told_event != Some(self.next_available) {
            memory.store_index(self.event_address(self.device, 8), self.next_available)?;
            self.told_event = Some(self.next_available);
            // The driver writes its index and then reads the event; so one of the two sees the other's.
            memory.barrier();
        }
        self.look(memory)
    }

    /// Reads the driver's index.
    fn look(&mut self, memory: &impl GuestMemory) -> Result<bool, Malformed> {
        let index = memory.load_index(address(self.driver, 2))?;
        if index.wrapping_sub(self.next_available) > self.live_size {
            return Err(Malformed);
        }
        self.seen_available = index;
        Ok(index != self.next_available)
    }

    /// Takes the next chain into `chain`, and tells whether there was one.
    ///
    /// # Errors
    /// If it breaks a rule.
    pub(crate) fn take(
        &mut self,
        chain: &mut Chain,
        features: RingFeatures,
        memory: &impl GuestMemory,
        budget: &mut Budget,
    ) -> Result<bool, Malformed> {
        if !self.has_next(features, memory)? {
            return Ok(false);
        }
        let mut head = [0; 2];
        let entry = u64::from(self.next_available & self.mask()).wrapping_mul(2).wrapping_add(4);
        memory.read(address(self.driver, entry), &mut head)?;
        self.walk(chain, u16::from_le_bytes(head), features, memory)?;
        self.next_available = self.next_available.wrapping_add(1);
        budget.spend(u32::try_from(chain.segment_count()).unwrap_or(u32::MAX).saturating_add(2));
        Ok(true)
    }

    /// Leaves the chain that was taken last to be taken again, from the ring on: what was read of it is forgotten. It was
    /// not given back.
    pub(crate) fn put_back(&mut self) {
        self.next_available = self.next_available.wrapping_sub(1);
    }

    /// Copies the descriptors of the chain that begins at `head`.
    fn walk(
        &self,
        chain: &mut Chain,
        head: u16,
        features: RingFeatures,
        memory: &impl GuestMemory,
    ) -> Result<(), Malformed> {
        chain.begin(head);
        let mut index = head;
        // A chain that goes on longer than there are descriptors runs in a circle.
        for _ in 0..self.live_size.min(MAX_SEGMENTS_AS_SIZE) {
            if index >= self.live_size {
                return Err(Malformed);
            }
            let mut bytes = [0; DESCRIPTOR_SIZE];
            memory.read(address(self.descriptors, u64::from(index).wrapping_mul(16)), &mut bytes)?;
            let descriptor = Descriptor::decode(&bytes);
            if descriptor.has(VIRTQ_DESC_F_INDIRECT) {
                if !features.indirect || descriptor.has(VIRTQ_DESC_F_NEXT) {
                    return Err(Malformed);
                }
                return walk_table(chain, &descriptor, memory);
            }
            chain.push(descriptor.address, descriptor.length, descriptor.has(VIRTQ_DESC_F_WRITE), memory)?;
            if !descriptor.has(VIRTQ_DESC_F_NEXT) {
                return Ok(());
            }
            index = descriptor.next;
        }
        Err(Malformed)
    }

    /// Gives a chain back of which `written` bytes were written. The driver sees it after [`Self::publish`].
    ///
    /// # Errors
    /// If the ring cannot be written.
    pub(crate) fn give_back(
        &mut self,
        head: u16,
        written: u32,
        memory: &impl GuestMemory,
    ) -> Result<(), Malformed> {
        if !self.is_ready() {
            return Ok(());
        }
        let entry = u64::from(self.next_used & self.mask()).wrapping_mul(8).wrapping_add(4);
        let element = u64::from(head) | u64::from(written) << 32;
        memory.write(address(self.device, entry), &element.to_le_bytes())?;
        self.next_used = self.next_used.wrapping_add(1);
        Ok(())
    }

    /// Lets the driver see what was given back, and tells whether it wants an interrupt for that.
    ///
    /// # Errors
    /// If the rings cannot be reached.
    pub(crate) fn publish(
        &mut self,
        features: RingFeatures,
        memory: &impl GuestMemory,
    ) -> Result<bool, Malformed> {
        if !self.is_ready() || self.told_used == self.next_used {
            return Ok(false);
        }
        memory.store_index(address(self.device, 2), self.next_used)?;
        // As in `has_next`, the other way round.
        memory.barrier();
        let (old, new) = (self.told_used, self.next_used);
        self.told_used = new;
        if features.event_idx {
            let event = memory.load_index(self.event_address(self.driver, 2))?;
            Ok(new.wrapping_sub(event).wrapping_sub(1) < new.wrapping_sub(old))
        } else {
            Ok(memory.load_index(address(self.driver, 0))? & VIRTQ_AVAIL_F_NO_INTERRUPT == 0)
        }
    }

    fn mask(&self) -> u16 {
        self.live_size.wrapping_sub(1)
    }

    /// Returns where the event index behind a ring with entries of `entry` bytes is.
    fn event_address(&self, ring: u64, entry: u64) -> Ipa {
        address(ring, u64::from(self.live_size).wrapping_mul(entry).wrapping_add(4))
    }
}

// The constant is a small one.
#[allow(clippy::cast_possible_truncation)]
const MAX_SEGMENTS_AS_SIZE: u16 = MAX_SEGMENTS as u16;

/// Returns the address `offset` bytes into an area, which was shown not to wrap.
fn address(area: u64, offset: u64) -> Ipa {
    Ipa::non_secure(area.wrapping_add(offset))
}

/// Copies the descriptors of an indirect table, of which the first [`MAX_SEGMENTS`] can be used.
fn walk_table(chain: &mut Chain, table: &Descriptor, memory: &impl GuestMemory) -> Result<(), Malformed> {
    if table.length == 0 || table.length.trailing_zeros() < 4 {
        return Err(Malformed);
    }
    if !memory.contains(Ipa::non_secure(table.address), table.length) {
        return Err(Malformed);
    }
    let mut bytes = [0; MAX_SEGMENTS * DESCRIPTOR_SIZE];
    let length = usize::try_from(table.length).map_err(|_| Malformed)?.min(bytes.len());
    let entries = bytes.get_mut(..length).ok_or(Malformed)?;
    memory.read(Ipa::non_secure(table.address), entries)?;
    let (entries, _) = entries.as_chunks::<DESCRIPTOR_SIZE>();
    let mut index = 0;
    for _ in 0..entries.len() {
        let descriptor = Descriptor::decode(entries.get(index).ok_or(Malformed)?);
        if descriptor.has(VIRTQ_DESC_F_INDIRECT) {
            return Err(Malformed);
        }
        chain.push(descriptor.address, descriptor.length, descriptor.has(VIRTQ_DESC_F_WRITE), memory)?;
        if !descriptor.has(VIRTQ_DESC_F_NEXT) {
            return Ok(());
        }
        index = descriptor.next.into();
    }
    Err(Malformed)
}

/// Holds a descriptor (section 2.7.5).
struct Descriptor {
    address: u64,
    length: u32,
    flags: u16,
    next: u16,
}

impl Descriptor {
    fn decode(bytes: &[u8; DESCRIPTOR_SIZE]) -> Self {
        let [a0, a1, a2, a3, a4, a5, a6, a7, l0, l1, l2, l3, f0, f1, n0, n1] = *bytes;
        Self {
            address: u64::from_le_bytes([a0, a1, a2, a3, a4, a5, a6, a7]),
            length: u32::from_le_bytes([l0, l1, l2, l3]),
            flags: u16::from_le_bytes([f0, f1]),
            next: u16::from_le_bytes([n0, n1]),
        }
    }

    fn has(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }
}
