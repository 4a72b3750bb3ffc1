//! A disk in a range of physical memory.

use tantalum_hal::PhysicalMemory;
use tantalum_types::{Address, PAGE_SIZE, Pa, PageRange};

use super::blk::{BlockBackend, IoError, Operation, SECTOR_SIZE, Submitted};

/// Is how much one operation moves: a page.
const BUFFER_SIZE: usize = 4096;
const TRANSFER_LIMIT: u32 = 4096;
const ERASE_LIMIT: u32 = 128;

/// Holds a disk whose sectors lie in memory. It does one thing at a time, and at once.
#[derive(Debug)]
pub struct RamDisk {
    range: PageRange<Pa>,
    buffer: [u8; BUFFER_SIZE],
    finished: Option<Finished>,
}

/// Is a piece of work that nobody has asked for yet.
#[derive(Clone, Copy, Debug)]
struct Finished {
    tag: u16,
    /// How many bytes were read into the buffer.
    result: Result<usize, IoError>,
}

impl RamDisk {
    /// Builds the disk that `range` holds.
    pub const fn new(range: PageRange<Pa>) -> Self {
        Self { range, buffer: [0; BUFFER_SIZE], finished: None }
    }

    /// Returns how many sectors it has.
    pub fn sectors(&self) -> u64 {
        self.range.size() >> SECTOR_SIZE.trailing_zeros()
    }

    /// Returns the disk as a backend, which reaches its memory by `memory`.
    pub fn on<'a, M>(&'a mut self, memory: &'a M) -> RamDiskOn<'a, M> {
        RamDiskOn { disk: self, memory }
    }

    /// Returns the address of `bytes` from `sector` on, if they are all on the disk.
    fn address(&self, sector: u64, bytes: u64) -> Option<Pa> {
        let offset = sector.checked_mul(SECTOR_SIZE.into())?;
        let end = offset.checked_add(bytes)?;
        if end <= self.range.size() { self.range.start().checked_add(offset) } else { None }
    }

    fn execute(
        &mut self,
        operation: Operation,
        fill: impl FnOnce(&mut [u8]) -> bool,
        memory: &impl PhysicalMemory,
    ) -> Result<usize, IoError> {
        match operation {
            Operation::Read { sector, bytes } => {
                let (at, buffer) = self.transfer(sector, bytes)?;
                let length = buffer.len();
                memory.read(at, buffer).map_err(|_| IoError)?;
                Ok(length)
            }
            Operation::Write { sector, bytes } => {
                let (at, buffer) = self.transfer(sector, bytes)?;
                if !fill(buffer) {
                    return Err(IoError);
                }
                memory.write(at, buffer).map_err(|_| IoError)?;
                Ok(0)
            }
            Operation::Flush => Ok(0),
            Operation::Discard { sector, sectors } | Operation::WriteZeroes { sector, sectors, .. } => {
                self.zero(sector, sectors, memory)
            }
        }
    }

    /// Returns where `bytes` from `sector` on lie, and that much of the buffer.
    fn transfer(&mut self, sector: u64, bytes: u32) -> Result<(Pa, &mut [u8]), IoError> {
        let at = self.address(sector, bytes.into()).ok_or(IoError)?;
        let length = usize::try_from(bytes).map_err(|_| IoError)?;
        Ok((at, self.buffer.get_mut(..length).ok_or(IoError)?))
    }

    /// Writes zero to sectors: pages as such, what is before and behind them a sector at a time.
    fn zero(&self, sector: u64, sectors: u32, memory: &impl PhysicalMemory) -> Result<usize, IoError> {
        let bytes = u64::from(sectors).saturating_mul(SECTOR_SIZE.into());
        let mut at = self.address(sector, bytes).ok_or(IoError)?;
        let mut left = bytes;
        while left != 0 {
            let step = if at.is_page_aligned() && left >= PAGE_SIZE {
                let range = PageRange::new(at, left / PAGE_SIZE).map_err(|_| IoError)?;
                memory.zero(&range).map_err(|_| IoError)?;
                range.size()
            } else {
                memory.write(at, &[0; SECTOR_SIZE as usize]).map_err(|_| IoError)?;
                SECTOR_SIZE.into()
            };
            left = left.saturating_sub(step);
            at = at.checked_add(step).ok_or(IoError)?;
        }
        Ok(0)
    }
}

/// Is a [`RamDisk`] and the memory that it lies in.
#[derive(Debug)]
pub struct RamDiskOn<'a, M> {
    disk: &'a mut RamDisk,
    memory: &'a M,
}

impl<M: PhysicalMemory> BlockBackend for RamDiskOn<'_, M> {
    fn transfer_limit(&self) -> u32 {
        TRANSFER_LIMIT
    }

    fn erase_limit(&self) -> u32 {
        ERASE_LIMIT
    }

    fn submit(&mut self, tag: u16, operation: Operation, fill: impl FnOnce(&mut [u8]) -> bool) -> Submitted {
        if self.disk.finished.is_some() {
            return Submitted::Busy;
        }
        let result = self.disk.execute(operation, fill, self.memory);
        self.disk.finished = Some(Finished { tag, result });
        Submitted::Accepted
    }

    fn complete(&mut self, done: impl FnOnce(u16, Result<&[u8], IoError>)) -> bool {
        let Some(Finished { tag, result }) = self.disk.finished.take() else { return false };
        done(tag, result.and_then(|length| self.disk.buffer.get(..length).ok_or(IoError)));
        true
    }
}
