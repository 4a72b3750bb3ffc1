//! The machine's block devices as backends of virtual ones.
//!
//! What is moved goes through memory of the hypervisor's own: a virtual machine may take its memory back at any time, and
//! the device would go on using it.

use core::sync::atomic::{AtomicU32, Ordering};

use spin::Mutex;
use tantalum_hal::vm::{DiskOperation, DiskRequest, DiskSegment, Host};
use tantalum_types::{Address, Pa, PageRange, VmIndex};

use crate::virtio::{BLOCK_REQUESTS, BlockBackend, IoError, Operation, Submitted};

/// Bounds the block devices of the machine that virtual machines can have.
pub(crate) const MAX_DISKS: usize = 4;

/// Is how many bytes one operation moves at most.
const TRANSFER_LIMIT: u32 = 0x8000;

/// Counts the bytes of memory that a disk needs: a buffer for each operation under way.
pub(crate) const DISK_MEMORY: u64 = TRANSFER_LIMIT as u64 * BLOCK_REQUESTS as u64;

/// Is what the hypervisor knows of a block device of the machine.
#[derive(Debug)]
pub(crate) struct MachineDisk {
    /// Its interrupt, or zero if nobody has it.
    intid: AtomicU32,
    owner: Mutex<Option<(VmIndex, usize)>>,
    pub(crate) work: Mutex<DiskWork>,
}

/// Is what a block device of the machine is at.
#[derive(Debug)]
pub(crate) struct DiskWork {
    /// Where its buffers are.
    memory: Option<PageRange<Pa>>,
    /// How many bytes each operation under way reads, by its tag; `None` if there is none.
    under_way: [Option<u32>; BLOCK_REQUESTS],
    /// An operation whose data could not be had.
    failed: Option<u16>,
    buffer: [u8; TRANSFER_LIMIT as usize],
}

impl MachineDisk {
    pub(crate) const fn new() -> Self {
        Self {
            intid: AtomicU32::new(0),
            owner: Mutex::new(None),
            work: Mutex::new(DiskWork {
                memory: None,
                under_way: [None; BLOCK_REQUESTS],
                failed: None,
                buffer: [0; TRANSFER_LIMIT as usize],
            }),
        }
    }

    /// Gives it to a virtual machine's device, with [`DISK_MEMORY`] bytes of memory.
    pub(crate) fn give(&self, owner: VmIndex, device: usize, intid: u32, memory: PageRange<Pa>) {
        *self.owner.lock() = Some((owner, device));
        self.work.lock().memory = Some(memory);
        self.intid.store(intid, Ordering::Release);
    }

    /// Returns whose device has to be run for an interrupt.
    pub(crate) fn owner(&self, intid: u32) -> Option<(VmIndex, usize)> {
        if self.intid.load(Ordering::Acquire) == intid { *self.owner.lock() } else { None }
    }
}

/// Is a block device of the machine as a backend.
pub(crate) struct DiskOn<'a, H> {
    pub(crate) work: &'a mut DiskWork,
    pub(crate) disk: usize,
    pub(crate) host: &'a H,
}

impl<H: Host> DiskOn<'_, H> {
    /// Returns where the buffer of an operation lies.
    fn buffer(&self, tag: u16) -> Option<Pa> {
        let memory = self.work.memory?;
        memory.start().checked_add(u64::from(TRANSFER_LIMIT).checked_mul(tag.into())?)
    }

    fn start(&mut self, tag: u16, operation: DiskOperation, sector: u64, bytes: u32) -> Submitted {
        let Some(address) = self.buffer(tag) else { return Submitted::Busy };
        let segment = [DiskSegment { address, length: bytes }];
        let segments: &[DiskSegment] = if bytes == 0 { &[] } else { &segment };
        if !self.host.start_disk(self.disk, &DiskRequest { tag, operation, sector, segments }) {
            return Submitted::Busy;
        }
        let read = if operation == DiskOperation::Read { bytes } else { 0 };
        if let Some(slot) = self.work.under_way.get_mut(usize::from(tag)) {
            *slot = Some(read);
        }
        Submitted::Accepted
    }

    /// Fills the buffer of an operation, and says whether the data are there.
    fn fill(&mut self, tag: u16, bytes: u32, fill: impl FnOnce(&mut [u8]) -> bool) -> bool {
        let Some(at) = self.buffer(tag) else { return false };
        let length = usize::try_from(bytes).unwrap_or(usize::MAX);
        let Some(buffer) = self.work.buffer.get_mut(..length) else { return false };
        fill(buffer) && self.host.write(at, buffer).is_ok()
    }
}

impl<H: Host> BlockBackend for DiskOn<'_, H> {
    fn transfer_limit(&self) -> u32 {
        TRANSFER_LIMIT
    }

    fn erase_limit(&self) -> u32 {
        1
    }

    fn submit(&mut self, tag: u16, operation: Operation, fill: impl FnOnce(&mut [u8]) -> bool) -> Submitted {
        match operation {
            Operation::Read { sector, bytes } => self.start(tag, DiskOperation::Read, sector, bytes),
            Operation::Write { .. } if self.work.failed.is_some() => Submitted::Busy,
            Operation::Write { sector, bytes } => {
                if self.fill(tag, bytes, fill) {
                    return self.start(tag, DiskOperation::Write, sector, bytes);
                }
                self.work.failed = Some(tag);
                Submitted::Accepted
            }
            Operation::Flush => self.start(tag, DiskOperation::Flush, 0, 0),
            // These are not offered.
            Operation::Discard { .. } | Operation::WriteZeroes { .. } => {
                self.work.failed = Some(tag);
                Submitted::Accepted
            }
        }
    }

    fn complete(&mut self, done: impl FnOnce(u16, Result<&[u8], IoError>)) -> bool {
        if let Some(tag) = self.work.failed.take() {
            done(tag, Err(IoError));
            return true;
        }
        let Some(end) = self.host.finish_disk(self.disk) else { return false };
        let read = self.work.under_way.get_mut(usize::from(end.tag)).and_then(Option::take);
        let length = read.and_then(|bytes| usize::try_from(bytes).ok());
        let from = self.buffer(end.tag);
        let buffer = length.and_then(|length| self.work.buffer.get_mut(..length));
        let data = match (buffer, from) {
            _ if !end.succeeded => Err(IoError),
            (Some(buffer), Some(from)) => {
                if buffer.is_empty() || self.host.read(from, buffer).is_ok() {
                    Ok(&*buffer)
                } else {
                    Err(IoError)
                }
            }
            _ => Err(IoError),
        };
        done(end.tag, data);
        true
    }
}
