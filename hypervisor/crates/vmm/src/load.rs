//! Puts a virtual machine's kernel, initial file system and device tree into its memory, piece by piece, so that nobody
//! who shares its CPU waits long.

use core::error::Error;
use core::fmt;

use tantalum_hal::AccessError;
use tantalum_hal::vm::{Host, Start};
use tantalum_manifest::FileRange;
use tantalum_types::{Address, PAGE_SIZE, PageRange};

use crate::device_tree::{self, Boot};
use crate::image::{HEADER_SIZE, Image, ImageError};
use crate::layout::{KERNEL_OFFSET, MEMORY, TREE_SIZE};
use crate::memory::OutsideMemory;
use crate::vm::Vm;

/// Is how much is copied at once.
const PIECE: usize = TREE_SIZE;

/// Is how much is copied before others have their turn.
const TURN: u64 = 0x4_0000;

/// Is memory to copy through.
pub type Buffer = [u8; PIECE];

/// Says why a virtual machine cannot be loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadError {
    /// Its kernel is no Image.
    Image(ImageError),
    /// Memory that a file should lie in does not exist.
    NoFile(AccessError),
    /// Its memory is too small for what has to be in it.
    TooSmall,
    /// Its device tree does not fit into the memory set aside for it.
    Tree,
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Image(error) => write!(f, "its \"kernel\" cannot be run: {error}"),
            Self::NoFile(error) => {
                write!(f, "its files cannot be read: {error}; correct \"kernel\" and \"initramfs\"")
            }
            Self::TooSmall => {
                f.write_str("its kernel and initial file system do not fit: raise \"memory-size\"")
            }
            Self::Tree => {
                f.write_str("its device tree is too large: give it fewer devices or shorter \"bootargs\"")
            }
        }
    }
}

impl Error for LoadError {}

impl From<ImageError> for LoadError {
    fn from(error: ImageError) -> Self {
        Self::Image(error)
    }
}

impl From<AccessError> for LoadError {
    fn from(error: AccessError) -> Self {
        Self::NoFile(error)
    }
}

impl From<OutsideMemory> for LoadError {
    fn from(_: OutsideMemory) -> Self {
        Self::TooSmall
    }
}

/// Says where things lie in the memory of a virtual machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    kernel: u64,
    initramfs: u64,
}

/// Says how much of a virtual machine has been loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Nothing.
    Begin,
    /// This much of its kernel.
    Kernel(Plan, u64),
    /// This much of its initial file system.
    Initramfs(Plan, u64),
    /// All but its device tree.
    Tree(Plan),
}

/// Loads another part, and says how the virtual machine starts if that was the last.
///
/// # Errors
/// Says why it cannot be loaded.
pub fn step<H: Host>(vm: &Vm, buffer: &mut Buffer, host: &H) -> Result<Option<Start>, LoadError> {
    let mut progress = vm.progress.lock();
    let kernel = &vm.manifest.kernel;
    *progress = match *progress {
        Progress::Begin => Progress::Kernel(plan(vm, host)?, 0),
        Progress::Kernel(plan, done) => match copy(vm, kernel, done, plan.kernel, buffer, host)? {
            Some(done) => Progress::Kernel(plan, done),
            None => Progress::Initramfs(plan, 0),
        },
        Progress::Initramfs(plan, done) => {
            let done = match &vm.manifest.initramfs {
                Some(file) => copy(vm, file, done, plan.initramfs, buffer, host)?,
                None => None,
            };
            done.map_or(Progress::Tree(plan), |done| Progress::Initramfs(plan, done))
        }
        Progress::Tree(plan) => return finish(vm, plan, buffer, host).map(Some),
    };
    Ok(None)
}

/// Decides where things go.
fn plan<H: Host>(vm: &Vm, host: &H) -> Result<Plan, LoadError> {
    let file = &vm.manifest.kernel;
    let mut header = [0; HEADER_SIZE];
    host.read(file.start, &mut header)?;
    let image = Image::parse(&header, file.size)?;
    let kernel = MEMORY
        .checked_add(KERNEL_OFFSET)
        .and_then(|at| at.checked_add(image.text_offset))
        .ok_or(LoadError::TooSmall)?;
    let initramfs = kernel
        .checked_add(image.memory_size)
        .and_then(|end| end.checked_next_multiple_of(PAGE_SIZE))
        .ok_or(LoadError::TooSmall)?;
    vm.memory.locate(kernel, image.memory_size).ok_or(LoadError::TooSmall)?;
    let size = vm.manifest.initramfs.map_or(0, |file| file.size);
    vm.memory.locate(initramfs, size).ok_or(LoadError::TooSmall)?;
    Ok(Plan { kernel, initramfs })
}

/// Copies a part of a file that begins behind the first `done` bytes, and returns how many are done then; `None` if that
/// is all.
fn copy<H: Host>(
    vm: &Vm,
    file: &FileRange,
    done: u64,
    to: u64,
    buffer: &mut Buffer,
    host: &H,
) -> Result<Option<u64>, LoadError> {
    let end = file.size.min(done.saturating_add(TURN));
    let mut at = done;
    while at < end {
        let size = usize::try_from(end.saturating_sub(at)).unwrap_or(PIECE).min(PIECE);
        let piece = buffer.get_mut(..size).ok_or(LoadError::TooSmall)?;
        let from = file.start.checked_add(at).ok_or(LoadError::TooSmall)?;
        host.read(from, piece)?;
        vm.memory.write(to.saturating_add(at), piece, host)?;
        at = at.saturating_add(u64::try_from(size).unwrap_or(u64::MAX));
    }
    Ok(if at < file.size { Some(at) } else { None })
}

/// Writes the device tree, and lets what was written become code.
fn finish<H: Host>(vm: &Vm, plan: Plan, buffer: &mut Buffer, host: &H) -> Result<Start, LoadError> {
    let initramfs =
        vm.manifest.initramfs.map(|file| (plan.initramfs, plan.initramfs.saturating_add(file.size)));
    let seed = (|| Some([host.random()?, host.random()?, host.random()?, host.random()?]))();
    let boot = Boot { initramfs, seed };
    let tree = device_tree::write(buffer, &vm.manifest, &boot).map_err(|_| LoadError::Tree)?;
    vm.memory.write(MEMORY, tree, host)?;
    let written = initramfs.map_or(plan.initramfs, |(_, end)| end).saturating_sub(MEMORY);
    let pages = written.div_ceil(PAGE_SIZE);
    let range = PageRange::new(vm.memory.range().start(), pages).map_err(|_| LoadError::TooSmall)?;
    host.publish(&range);
    Ok(Start { entry_point: plan.kernel, x0: MEMORY, mpidr: 0, counter_offset: host.now() })
}
