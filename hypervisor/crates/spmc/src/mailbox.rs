//! The RX/TX buffers of an endpoint, and who owns its RX buffer (FF-A 1.1, section 7.2.2).

use tantalum_ffa::Status;
use tantalum_hal::{AccessError, PhysicalMemory};
use tantalum_types::{Address, Pa, PageRange};

/// Gives the largest RX or TX buffer in pages.
pub(crate) const MAX_BUFFER_PAGES: u16 = 16;

/// Says who may write the RX buffer. Not from zero on, which so can stand for a mailbox without buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RxOwner {
    /// The SPMC: it may deliver into it.
    Producer = 1,
    /// The endpoint: it reads what was delivered until it calls FFA_RX_RELEASE.
    Consumer = 2,
}

/// Holds an endpoint's pair of buffers, if it has mapped one.
#[derive(Debug)]
pub(crate) struct Mailbox {
    buffers: Option<Buffers>,
}

/// Holds a pair.
#[derive(Debug)]
struct Buffers {
    tx: PageRange<Pa>,
    rx: PageRange<Pa>,
    rx_owner: RxOwner,
    /// How many bytes of the RX buffer the last message has filled.
    filled: u64,
}

impl Mailbox {
    /// Builds a mailbox without buffers.
    pub(crate) const fn new() -> Self {
        Self { buffers: None }
    }

    /// Takes the buffers of an endpoint, which has been shown to own them.
    ///
    /// # Errors
    /// DENIED if a pair is mapped already, INVALID_PARAMETERS if the two overlap.
    pub(crate) fn map(&mut self, tx: PageRange<Pa>, rx: PageRange<Pa>) -> Result<(), Status> {
        if self.buffers.is_some() {
            return Err(Status::Denied);
        }
        if tx.overlaps(&rx) {
            return Err(Status::InvalidParameters);
        }
        self.buffers = Some(Buffers { tx, rx, rx_owner: RxOwner::Producer, filled: 0 });
        Ok(())
    }

    /// Gives the buffers back to the endpoint and returns them, TX first; what was in them is no longer looked at.
    ///
    /// # Errors
    /// INVALID_PARAMETERS if there are none.
    pub(crate) fn unmap(&mut self) -> Result<[PageRange<Pa>; 2], Status> {
        self.buffers.take().map(|buffers| [buffers.tx, buffers.rx]).ok_or(Status::InvalidParameters)
    }

    /// Delivers `message` into the RX buffer, clears what an earlier one left there, and makes the endpoint its
    /// owner.
    ///
    /// # Errors
    /// DENIED if there is no buffer, BUSY if the endpoint still reads an earlier message, NO_MEMORY if the
    /// message does not fit, ABORTED if the memory behind the buffer cannot be reached. Nothing has changed
    /// hands then.
    pub(crate) fn deliver(&mut self, message: &[u8], memory: &impl PhysicalMemory) -> Result<(), Status> {
        self.deliver_with(message, None, memory)
    }

    /// Delivers `header` and, behind it, `size` bytes at `offset` of this TX buffer into the RX buffer of `to`. Each
    /// byte is copied once: the sender may write them at any time.
    ///
    /// # Errors
    /// DENIED if one of them has no buffers, INVALID_PARAMETERS if the bytes are not all in the TX buffer;
    /// otherwise as [`Self::deliver`].
    pub(crate) fn send(
        &self,
        offset: u32,
        size: u32,
        header: &[u8],
        to: &mut Self,
        memory: &impl PhysicalMemory,
    ) -> Result<(), Status> {
        let tx = &self.buffers.as_ref().ok_or(Status::Denied)?.tx;
        let (offset, size) = (u64::from(offset), u64::from(size));
        if offset.saturating_add(size) > tx.size() {
            return Err(Status::InvalidParameters);
        }
        let start = tx.start().checked_add(offset).ok_or(Status::InvalidParameters)?;
        to.deliver_with(header, Some((start, size)), memory)
    }

    /// Delivers `first` and, behind it, as many bytes at an address as `rest` says.
    fn deliver_with(
        &mut self,
        first: &[u8],
        rest: Option<(Pa, u64)>,
        memory: &impl PhysicalMemory,
    ) -> Result<(), Status> {
        let buffers = self.buffers.as_mut().ok_or(Status::Denied)?;
        if buffers.rx_owner == RxOwner::Consumer {
            return Err(Status::Busy);
        }
        let begin = u64::try_from(first.len()).map_err(|_| Status::NoMemory)?;
        let length = begin.saturating_add(rest.map_or(0, |(_, size)| size));
        if length > buffers.rx.size() {
            return Err(Status::NoMemory);
        }
        let earlier = buffers.filled;
        // Should this fail half way, the next message clears what is left of both.
        buffers.filled = earlier.max(length);
        memory.write(buffers.rx.start(), first).map_err(|_| Status::Aborted)?;
        if let Some((from, size)) = rest {
            let to = buffers.rx.start().checked_add(begin).ok_or(Status::NoMemory)?;
            copy(memory, from, to, size).map_err(|_| Status::Aborted)?;
        }
        // What an earlier message left behind this one is none of the endpoint's business.
        clear(memory, &buffers.rx, length, earlier).map_err(|_| Status::Aborted)?;
        buffers.filled = length;
        buffers.rx_owner = RxOwner::Consumer;
        Ok(())
    }

    /// Copies the first `to.len()` bytes of the TX buffer, once: the endpoint may write it at any time.
    ///
    /// # Errors
    /// DENIED if there is no buffer, INVALID_PARAMETERS if it is smaller than that, ABORTED if the memory behind it
    /// cannot be reached.
    pub(crate) fn copy_from_tx(&self, to: &mut [u8], memory: &impl PhysicalMemory) -> Result<(), Status> {
        self.copy_from_tx_at(0, to, memory)
    }

    /// Copies `to.len()` bytes at `offset` of the TX buffer, once.
    ///
    /// # Errors
    /// As [`Self::copy_from_tx`].
    pub(crate) fn copy_from_tx_at(
        &self,
        offset: u32,
        to: &mut [u8],
        memory: &impl PhysicalMemory,
    ) -> Result<(), Status> {
        let buffers = self.buffers.as_ref().ok_or(Status::Denied)?;
        let at = within(&buffers.tx, offset.into(), to.len()).ok_or(Status::InvalidParameters)?;
        memory.read(at, to).map_err(|_| Status::Aborted)
    }

    /// Checks that the SPMC may write the RX buffer.
    ///
    /// # Errors
    /// NO_MEMORY if there is none, BUSY if the endpoint still reads an earlier message.
    pub(crate) fn check_rx_free(&self) -> Result<(), Status> {
        match self.buffers.as_ref().ok_or(Status::NoMemory)?.rx_owner {
            RxOwner::Producer => Ok(()),
            RxOwner::Consumer => Err(Status::Busy),
        }
    }

    /// Returns the size of the RX buffer in bytes, 0 if there is none.
    pub(crate) fn rx_size(&self) -> u64 {
        self.buffers.as_ref().map_or(0, |buffers| buffers.rx.size())
    }

    /// Writes part of a message into the RX buffer, which must be free, from `offset` on. The endpoint owns the message
    /// once it is handed over.
    ///
    /// # Errors
    /// NO_MEMORY if it does not fit, ABORTED if the memory behind the buffer cannot be reached.
    pub(crate) fn write_rx(
        &self,
        offset: u64,
        bytes: &[u8],
        memory: &impl PhysicalMemory,
    ) -> Result<(), Status> {
        let buffers = self.buffers.as_ref().ok_or(Status::NoMemory)?;
        let at = within(&buffers.rx, offset, bytes.len()).ok_or(Status::NoMemory)?;
        memory.write(at, bytes).map_err(|_| Status::Aborted)
    }

    /// Makes the endpoint the owner of the message of `length` bytes that was written into its RX buffer, and clears
    /// what an earlier one left there.
    pub(crate) fn hand_over(&mut self, length: u64, memory: &impl PhysicalMemory) {
        let Some(buffers) = self.buffers.as_mut() else { return };
        // What was written can be cleared.
        let _ = clear(memory, &buffers.rx, length, buffers.filled);
        buffers.filled = length;
        buffers.rx_owner = RxOwner::Consumer;
    }

    /// Tells whether `range` has a page of the endpoint's buffers.
    pub(crate) fn overlaps(&self, range: &PageRange<Pa>) -> bool {
        self.buffers.as_ref().is_some_and(|buffers| buffers.tx.overlaps(range) || buffers.rx.overlaps(range))
    }

    /// Makes the endpoint the owner of its RX buffer, so that another than the SPMC can fill it.
    ///
    /// # Errors
    /// DENIED if the endpoint owns it already or has none.
    pub(crate) fn acquire(&mut self) -> Result<(), Status> {
        match self.buffers.as_mut() {
            Some(buffers) if buffers.rx_owner == RxOwner::Producer => {
                buffers.rx_owner = RxOwner::Consumer;
                // Nobody knows how much of it will be filled.
                buffers.filled = buffers.rx.size();
                Ok(())
            }
            _ => Err(Status::Denied),
        }
    }

    /// Takes the RX buffer back from the endpoint.
    ///
    /// # Errors
    /// DENIED if the endpoint does not own it or has none.
    pub(crate) fn release(&mut self) -> Result<(), Status> {
        match self.buffers.as_mut() {
            Some(buffers) if buffers.rx_owner == RxOwner::Consumer => {
                buffers.rx_owner = RxOwner::Producer;
                Ok(())
            }
            _ => Err(Status::Denied),
        }
    }
}

impl Default for Mailbox {
    fn default() -> Self {
        Self::new()
    }
}

/// Returns where `length` bytes begin at `offset` of `buffer`, if they lie in it.
fn within(buffer: &PageRange<Pa>, offset: u64, length: usize) -> Option<Pa> {
    let end = offset.checked_add(u64::try_from(length).ok()?)?;
    if end > buffer.size() {
        return None;
    }
    buffer.start().checked_add(offset)
}

/// Copies `size` bytes at `from` to `to`.
fn copy(memory: &impl PhysicalMemory, from: Pa, to: Pa, size: u64) -> Result<(), AccessError> {
    let mut bytes = [0; 256];
    let mut at: u64 = 0;
    while at < size {
        let left = size.saturating_sub(at);
        let length = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
        let (Some(source), Some(target), Some(piece)) =
            (from.checked_add(at), to.checked_add(at), bytes.get_mut(..length))
        else {
            // The ranges of buffers never wrap.
            return Err(AccessError { address: from });
        };
        memory.read(source, piece)?;
        memory.write(target, piece)?;
        at = at.saturating_add(256);
    }
    Ok(())
}

/// Writes zero to the bytes of `buffer` from `from` up to `to`.
fn clear(
    memory: &impl PhysicalMemory,
    buffer: &PageRange<Pa>,
    from: u64,
    to: u64,
) -> Result<(), AccessError> {
    const ZEROS: [u8; 64] = [0; 64];
    let mut at = from;
    while at < to {
        let left = to.saturating_sub(at);
        let zeros = usize::try_from(left).ok().and_then(|left| ZEROS.get(..left)).unwrap_or(&ZEROS);
        if let Some(address) = buffer.start().checked_add(at) {
            memory.write(address, zeros)?;
        }
        at = at.saturating_add(64);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use core::cell::RefCell;

    use super::*;

    /// Is one page of memory at Non-secure address 0x1000, full of 0xaa at first.
    struct Memory(RefCell<[u8; 4096]>);

    impl Memory {
        fn new() -> Self {
            Self(RefCell::new([0xaa; 4096]))
        }
    }

    impl PhysicalMemory for Memory {
        fn read(&self, from: Pa, to: &mut [u8]) -> Result<(), AccessError> {
            let start = usize::try_from(from.raw()).unwrap() - 0x1000;
            to.copy_from_slice(&self.0.borrow()[start..start + to.len()]);
            Ok(())
        }

        fn write(&self, to: Pa, from: &[u8]) -> Result<(), AccessError> {
            assert_eq!(to.space(), tantalum_types::AddressSpace::NonSecure);
            let start = usize::try_from(to.raw()).unwrap() - 0x1000;
            self.0.borrow_mut()[start..start + from.len()].copy_from_slice(from);
            Ok(())
        }

        fn zero(&self, range: &PageRange<Pa>) -> Result<(), AccessError> {
            panic!("nobody asked to clear {range:?}");
        }
    }

    fn page(address: u64) -> PageRange<Pa> {
        PageRange::new(Pa::non_secure(address), 1).unwrap()
    }

    fn mapped() -> Mailbox {
        let mut mailbox = Mailbox::new();
        mailbox.map(page(0x2000), page(0x1000)).unwrap();
        mailbox
    }

    #[test]
    fn one_pair_at_a_time() {
        let mut mailbox = Mailbox::new();
        assert_eq!(mailbox.unmap(), Err(Status::InvalidParameters));
        assert_eq!(mailbox.map(page(0x1000), page(0x1000)), Err(Status::InvalidParameters));
        assert_eq!(mailbox.map(page(0x2000), page(0x1000)), Ok(()));
        assert_eq!(mailbox.map(page(0x4000), page(0x3000)), Err(Status::Denied));
        assert_eq!(mailbox.unmap(), Ok([page(0x2000), page(0x1000)]));
        assert_eq!(mailbox.map(page(0x4000), page(0x3000)), Ok(()));
    }

    #[test]
    fn a_message_stays_until_it_is_released() {
        let memory = Memory::new();
        let mut mailbox = mapped();
        assert_eq!(mailbox.release(), Err(Status::Denied));
        assert_eq!(mailbox.deliver(&[1; 24], &memory), Ok(()));
        assert_eq!(mailbox.deliver(&[2; 24], &memory), Err(Status::Busy));
        assert_eq!(memory.0.borrow()[..24], [1; 24]);
        assert_eq!(mailbox.release(), Ok(()));
        assert_eq!(mailbox.release(), Err(Status::Denied));
        assert_eq!(mailbox.deliver(&[2; 24], &memory), Ok(()));
    }

    #[test]
    fn nothing_of_an_earlier_message_is_left() {
        let memory = Memory::new();
        let mut mailbox = mapped();
        mailbox.deliver(&[1; 200], &memory).unwrap();
        mailbox.release().unwrap();
        mailbox.deliver(&[2; 24], &memory).unwrap();
        let bytes = memory.0.borrow();
        assert_eq!(bytes[..24], [2; 24]);
        assert_eq!(bytes[24..200], [0; 176]);
        assert_eq!(bytes[200..], [0xaa; 4096 - 200]);
    }

    #[test]
    fn a_message_is_copied_from_the_beginning_of_the_tx_buffer() {
        let memory = Memory::new();
        let mut mailbox = Mailbox::new();
        let mut bytes = [0; 4];
        assert_eq!(mailbox.copy_from_tx(&mut bytes, &memory), Err(Status::Denied));
        mailbox.map(page(0x1000), page(0x2000)).unwrap();
        memory.0.borrow_mut()[..4].copy_from_slice(&[1, 2, 3, 4]);
        assert_eq!(mailbox.copy_from_tx(&mut bytes, &memory), Ok(()));
        assert_eq!(bytes, [1, 2, 3, 4]);
        assert_eq!(mailbox.copy_from_tx(&mut [0; 4097], &memory), Err(Status::InvalidParameters));
    }

    #[test]
    fn what_cannot_be_delivered_changes_nothing() {
        let memory = Memory::new();
        assert_eq!(Mailbox::new().deliver(&[1], &memory), Err(Status::Denied));
        let mut mailbox = mapped();
        assert_eq!(mailbox.deliver(&[1; 4097], &memory), Err(Status::NoMemory));
        assert_eq!(*memory.0.borrow(), [0xaa; 4096]);
        assert_eq!(mailbox.deliver(&[1; 4096], &memory), Ok(()));
    }
}
