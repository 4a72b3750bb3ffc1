//! The life of one request (virtio 1.2, section 5.2.6).

use super::super::budget::Budget;
use super::super::chain::{Chain, Cursor, Malformed};
use super::super::memory::GuestMemory;
use super::backend::{
    BlockBackend, BlockConfig, IDENTIFIER_LENGTH, IoError, Operation, SECTOR_SIZE, Submitted,
};
use super::{DATA_MAX, ERASE_MAX};

const VIRTIO_BLK_T_IN: u32 = 0;
const VIRTIO_BLK_T_OUT: u32 = 1;
const VIRTIO_BLK_T_FLUSH: u32 = 4;
const VIRTIO_BLK_T_GET_ID: u32 = 8;
const VIRTIO_BLK_T_DISCARD: u32 = 11;
const VIRTIO_BLK_T_WRITE_ZEROES: u32 = 13;

/// Is the only flag of a segment of discard and write-zeroes requests.
const UNMAP: u32 = 1;

const HEADER_SIZE: usize = 16;

/// Holds what the driver reads in the last byte of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// VIRTIO_BLK_S_OK.
    Ok = 0,
    /// VIRTIO_BLK_S_IOERR.
    IoError = 1,
    /// VIRTIO_BLK_S_UNSUPP.
    Unsupported = 2,
}

/// Says what a request asks of the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Read,
    Write,
    Flush,
    Discard,
    WriteZeroes { unmap: bool },
}

/// Says where a request is in its life. Of zeroes is a slot that is free, which so needs no place in an image.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
enum State {
    /// There is none.
    Free,
    /// It waits for the backend to begin its next piece.
    Ready(Work),
    /// The backend has a piece of it, which is `piece` of what is left.
    Waiting(Work, u64),
    /// The backend has a piece of it, and nobody asks for it any more.
    Abandoned,
    /// It is answered, after `written` bytes of data.
    Done(Answer, u32),
}

/// Says what is left to do.
#[derive(Clone, Copy, Debug)]
struct Work {
    kind: Kind,
    cursor: Cursor,
    sector: u64,
    /// Bytes of a read or write, sectors of others; one for a flush.
    left: u64,
    /// Bytes written to guest memory.
    written: u32,
}

/// Says what became of a request that was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It does not wait for the backend to begin.
    Nothing,
    /// The backend has begun its next piece.
    Begun,
    /// The backend has no room.
    Busy,
}

/// Has room for one request.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) chain: Chain,
    state: State,
}

impl Slot {
    pub(super) const fn new() -> Self {
        Self { chain: Chain::new(), state: State::Free }
    }

    pub(super) fn is_free(&self) -> bool {
        matches!(self.state, State::Free)
    }

    /// Tells whether the backend has a piece of it.
    pub(super) fn is_waiting(&self) -> bool {
        matches!(self.state, State::Waiting(..) | State::Abandoned)
    }

    /// Forgets the request; the slot is free once the backend has no piece of it.
    pub(super) fn abandon(&mut self) {
        self.state = if self.is_waiting() { State::Abandoned } else { State::Free };
    }

    /// Begins the request of the chain.
    ///
    /// # Errors
    /// If the chain has no room for a header or an answer, so that the driver cannot be told.
    pub(super) fn begin(&mut self, config: &BlockConfig, memory: &impl GuestMemory) -> Result<(), Malformed> {
        let mut cursor = self.chain.reader();
        let mut header = [0; HEADER_SIZE];
        self.chain.read(&mut cursor, &mut header, memory)?;
        let [t0, t1, t2, t3, _, _, _, _, s0, s1, s2, s3, s4, s5, s6, s7] = header;
        let kind = u32::from_le_bytes([t0, t1, t2, t3]);
        let sector = u64::from_le_bytes([s0, s1, s2, s3, s4, s5, s6, s7]);
        let room = self.chain.writable().checked_sub(1).ok_or(Malformed)?;
        // The header was read, so there are as many.
        let data = self.chain.readable().saturating_sub(16);
        let answered = match kind {
            VIRTIO_BLK_T_IN => self.begin_transfer(config, Kind::Read, self.chain.writer(), sector, room),
            VIRTIO_BLK_T_OUT if config.read_only => Err(Answer::IoError),
            VIRTIO_BLK_T_OUT => self.begin_transfer(config, Kind::Write, cursor, sector, data),
            VIRTIO_BLK_T_FLUSH => Ok(Work { kind: Kind::Flush, cursor, sector: 0, left: 1, written: 0 }),
            VIRTIO_BLK_T_DISCARD | VIRTIO_BLK_T_WRITE_ZEROES if config.erase && !config.read_only => {
                self.begin_erase(config, kind, cursor, data, memory)?
            }
            VIRTIO_BLK_T_GET_ID => return self.identify(config, room, memory),
            _ => Err(Answer::Unsupported),
        };
        self.state = match answered {
            Ok(work) => State::Ready(work),
            Err(answer) => State::Done(answer, 0),
        };
        Ok(())
    }

    fn begin_transfer(
        &self,
        config: &BlockConfig,
        kind: Kind,
        cursor: Cursor,
        sector: u64,
        bytes: u32,
    ) -> Result<Work, Answer> {
        let sectors = u64::from(bytes / SECTOR_SIZE);
        let whole = bytes != 0 && bytes.is_multiple_of(SECTOR_SIZE) && bytes <= DATA_MAX;
        if !whole || !is_on_disk(config, sector, sectors) {
            return Err(Answer::IoError);
        }
        Ok(Work { kind, cursor, sector, left: bytes.into(), written: 0 })
    }

    /// Begins a discard or write-zeroes request, of one segment (`struct virtio_blk_discard_write_zeroes`).
    fn begin_erase(
        &self,
        config: &BlockConfig,
        kind: u32,
        mut cursor: Cursor,
        data: u32,
        memory: &impl GuestMemory,
    ) -> Result<Result<Work, Answer>, Malformed> {
        if data != 16 {
            return Ok(Err(Answer::IoError));
        }
        let mut segment = [0; 16];
        self.chain.read(&mut cursor, &mut segment, memory)?;
        let [s0, s1, s2, s3, s4, s5, s6, s7, n0, n1, n2, n3, f0, f1, f2, f3] = segment;
        let sector = u64::from_le_bytes([s0, s1, s2, s3, s4, s5, s6, s7]);
        let sectors = u32::from_le_bytes([n0, n1, n2, n3]);
        let flags = u32::from_le_bytes([f0, f1, f2, f3]);
        let (kind, known) = if kind == VIRTIO_BLK_T_DISCARD {
            (Kind::Discard, 0)
        } else {
            (Kind::WriteZeroes { unmap: flags & UNMAP != 0 }, UNMAP)
        };
        if flags & !known != 0 {
            return Ok(Err(Answer::Unsupported));
        }
        if sectors == 0 || sectors > ERASE_MAX || !is_on_disk(config, sector, sectors.into()) {
            return Ok(Err(Answer::IoError));
        }
        Ok(Ok(Work { kind, cursor, sector, left: sectors.into(), written: 0 }))
    }

    fn identify(
        &mut self,
        config: &BlockConfig,
        room: u32,
        memory: &impl GuestMemory,
    ) -> Result<(), Malformed> {
        let length = u32::try_from(IDENTIFIER_LENGTH).map_err(|_| Malformed)?;
        self.state = if room < length {
            State::Done(Answer::IoError, 0)
        } else {
            self.chain.write(&mut self.chain.writer(), &config.identifier, memory)?;
            State::Done(Answer::Ok, length)
        };
        Ok(())
    }

    /// Has the backend begin the next piece.
    ///
    /// # Errors
    /// If the data to write were guest memory when the request was taken, and are not any more.
    pub(super) fn submit(
        &mut self,
        tag: u16,
        memory: &impl GuestMemory,
        backend: &mut impl BlockBackend,
        budget: &mut Budget,
    ) -> Result<Step, Malformed> {
        let State::Ready(mut work) = self.state else { return Ok(Step::Nothing) };
        let limit = match work.kind {
            Kind::Read | Kind::Write => backend.transfer_limit().max(SECTOR_SIZE),
            _ => backend.erase_limit().max(1),
        };
        let piece = u32::try_from(work.left).unwrap_or(u32::MAX).min(limit);
        let (sector, bytes, sectors) = (work.sector, piece, piece);
        let operation = match work.kind {
            Kind::Read => Operation::Read { sector, bytes },
            Kind::Write => Operation::Write { sector, bytes },
            Kind::Flush => Operation::Flush,
            Kind::Discard => Operation::Discard { sector, sectors },
            Kind::WriteZeroes { unmap } => Operation::WriteZeroes { sector, sectors, unmap },
        };
        let mut copied = Ok(());
        let submitted = backend.submit(tag, operation, |buffer| {
            copied = self.chain.read(&mut work.cursor, buffer, memory);
            copied.is_ok()
        });
        match (submitted, work.kind) {
            (Submitted::Busy, _) => return Ok(Step::Busy),
            (_, Kind::Write) => budget.spend_bytes(piece.into()),
            (_, Kind::Discard | Kind::WriteZeroes { .. }) => {
                budget.spend_bytes(u64::from(piece).saturating_mul(SECTOR_SIZE.into()));
            }
            _ => budget.spend(1),
        }
        self.state = State::Waiting(work, piece.into());
        copied.map(|()| Step::Begun)
    }

    /// Takes the end of a piece: moves what was read to guest memory, and is ready for the next one.
    ///
    /// # Errors
    /// If the guest memory that the request was taken with is not any more.
    pub(super) fn complete(
        &mut self,
        result: Result<&[u8], IoError>,
        memory: &impl GuestMemory,
        budget: &mut Budget,
    ) -> Result<(), Malformed> {
        let (mut work, piece) = match self.state {
            State::Waiting(work, piece) => (work, piece),
            State::Abandoned => {
                self.state = State::Free;
                return Ok(());
            }
            // The backend ends what it was not asked for.
            State::Free | State::Ready(_) | State::Done(..) => return Ok(()),
        };
        // Whatever comes now, the backend has no piece of it any more.
        self.state = State::Done(Answer::IoError, work.written);
        let Ok(data) = result else { return Ok(()) };
        let sectors = match work.kind {
            Kind::Read | Kind::Write => piece.checked_div(SECTOR_SIZE.into()).unwrap_or(0),
            _ => piece,
        };
        if work.kind == Kind::Read {
            let length = usize::try_from(piece).map_err(|_| Malformed)?;
            // A backend that gives less has failed.
            let Some(data) = data.get(..length) else { return Ok(()) };
            self.chain.write(&mut work.cursor, data, memory)?;
            work.written = work.written.saturating_add(u32::try_from(piece).unwrap_or(u32::MAX));
            budget.spend_bytes(piece);
        }
        work.sector = work.sector.saturating_add(sectors);
        work.left = work.left.saturating_sub(piece);
        self.state = if work.left == 0 { State::Done(Answer::Ok, work.written) } else { State::Ready(work) };
        Ok(())
    }

    /// Answers the request if it is done, and returns its number and how many bytes were written; the slot is free then.
    ///
    /// # Errors
    /// If the guest memory for the answer is not any more.
    pub(super) fn finish(&mut self, memory: &impl GuestMemory) -> Result<Option<(u16, u32)>, Malformed> {
        let State::Done(answer, written) = self.state else { return Ok(None) };
        self.state = State::Free;
        self.chain.write_last(answer as u8, memory)?;
        // What the driver is told begins with the first byte: the answer counts if there is no gap before it.
        let whole = written.saturating_add(1) == self.chain.writable();
        Ok(Some((self.chain.head(), written.saturating_add(whole.into()))))
    }
}

/// Tells whether `sectors` from `sector` on are on the disk.
fn is_on_disk(config: &BlockConfig, sector: u64, sectors: u64) -> bool {
    sector.checked_add(sectors).is_some_and(|end| end <= config.sectors)
}
