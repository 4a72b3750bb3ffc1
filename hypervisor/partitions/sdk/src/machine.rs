//! The only part with `unsafe`: the entry points, calls, and what the image's own memory is.

use core::arch::{asm, global_asm};
use core::cell::UnsafeCell;
use core::fmt;
use core::ops::Range;
use core::panic::PanicInfo;
use core::ptr::with_exposed_provenance;
use core::sync::atomic::{AtomicU64, Ordering};

use tantalum_ffa::Status;
use tantalum_ffa::boot_info::BootInfo;
use tantalum_types::{AddressSpace, CallRegisters, MAX_VCPUS};

use crate::buffers::Buffers;
use crate::interrupt::{Delivery, Line, take};
use crate::memory::{Memory, PageWords, WORDS_PER_PAGE};
use crate::service::{Boot, Partition, serve};
use crate::spmc::{CallError, Conduit, Spmc};
use crate::stage1::{Contents, MAIR, MapError, SCTLR, TCR, Tables, WINDOW, window_entry};

const PAGE_SIZE: usize = 4096;

/// Is the distance between the tops of two stacks: four pages, and one below that is not mapped. The linker
/// script has the same number.
const STACK_STRIDE: usize = 5 * PAGE_SIZE;

/// Bounds a manifest: the space that a package has for it.
const MANIFEST_LIMIT: usize = 0x3000;

global_asm!(
    include_str!("entry.S"),
    include_str!("hold.S"),
    TABLES = sym TABLES,
    TABLES_SIZE = const size_of::<Tables>(),
    EARLY_MAP = sym early_map,
    MAIN = sym main,
    SECONDARY_MAIN = sym secondary_main,
    EXCEPTION = sym exception,
    INTERRUPT = sym interrupt,
    MAX_VCPUS = const MAX_VCPUS,
    STACK_STRIDE = const STACK_STRIDE,
    MAIR = const MAIR,
    TCR = const TCR,
    SCTLR = const SCTLR,
);

unsafe extern "C" {
    static __image_start: u8;
    static __rodata_start: u8;
    static __data_start: u8;
    static __bss_end: u8;
    static __stacks_start: u8;

    fn tantalum_sdk_secondary_entry();
    fn tantalum_sdk_abort() -> !;
    fn tantalum_sdk_smc(registers: *mut CallRegisters);
}

unsafe extern "Rust" {
    /// What `partition!` defines.
    safe static TANTALUM_PARTITION: &'static dyn Partition;
}

/// Makes calls by SMC.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Smc;

impl Conduit for Smc {
    fn call(&self, registers: &CallRegisters) -> CallRegisters {
        let mut registers = *registers;
        self.exchange(&mut registers);
        registers
    }

    fn exchange(&self, registers: &mut CallRegisters) {
        // SAFETY: the function reads and writes the eighteen registers and keeps to the procedure call standard.
        // What the SPMC writes is memory that this partition has agreed on with it by an earlier call.
        unsafe { tantalum_sdk_smc(registers) };
    }

    fn memory(&self) -> Option<&dyn Memory> {
        Some(self)
    }
}

/// Has the RX and TX buffers.
static BUFFERS: Buffers = Buffers::new();

/// Counts the pages that the partition has for others.
const SPARE_PAGES: usize = 4;

/// Is memory that nothing lies in.
#[repr(C, align(4096))]
struct SparePages([PageWords; SPARE_PAGES]);

static SPARE: SparePages = SparePages([const { [const { AtomicU64::new(0) }; WORDS_PER_PAGE] }; SPARE_PAGES]);

impl Memory for Smc {
    fn buffers(&self) -> &Buffers {
        &BUFFERS
    }

    fn spare_page(&self, index: usize) -> Option<u64> {
        SPARE.0.get(index).map(|page| page.as_ptr().expose_provenance() as u64)
    }

    fn with_page(&self, address: u64, space: AddressSpace, work: &mut dyn FnMut(&PageWords)) -> bool {
        let slot = mpidr() & 0xff;
        let Ok(at) = usize::try_from(WINDOW.wrapping_add(slot << 12)) else { return false };
        // SAFETY: once the image and the manifest are mapped, nobody makes a reference that excludes others.
        let tables = unsafe { &*TABLES.0.get() };
        let entry = usize::try_from(slot).ok().and_then(|slot| tables.window.get(slot));
        let Some(entry) = entry.filter(|entry| entry.load(Ordering::Relaxed) == 0) else { return false };
        entry.store(window_entry(address, space), Ordering::Relaxed);
        // SAFETY: a barrier. It makes the new entry visible to the MMU, which has none for this page yet.
        unsafe { asm!("dsb ishst", "isb", options(nostack, preserves_flags)) };
        // SAFETY: the page is mapped as long as `work` runs: the entry is this execution context's, and is not
        // changed before it is zero again. Others may write the memory at the same time, hence the atomics; whether
        // it is there at all is for stage 2 to say, which ends the partition if not.
        work(unsafe { &*with_exposed_provenance(at) });
        entry.store(0, Ordering::Relaxed);
        // SAFETY: drops what no longer counts from the TLBs, of every processing element, since this execution
        // context may move. Nothing refers to the page any more.
        unsafe {
            asm!(
                "dsb ishst",
                "tlbi vaae1is, {}",
                "dsb ish",
                "isb",
                in(reg) at >> 12,
                options(nostack, preserves_flags)
            );
        }
        true
    }
}

/// Returns the way to the SPMC.
fn spmc() -> Spmc<'static> {
    Spmc::new(&Smc).speaking(TANTALUM_PARTITION.version())
}

/// Keeps the tables where the entry code finds them.
struct TableMemory(UnsafeCell<Tables>);

// SAFETY: the tables are changed on the first execution context only, while no other has begun.
unsafe impl Sync for TableMemory {}

#[unsafe(link_section = ".tables")]
static TABLES: TableMemory = TableMemory(UnsafeCell::new(Tables::new()));

/// Writes text to the log, best effort: a partition that cannot log can still work.
pub fn log(text: fmt::Arguments<'_>) {
    let _ = spmc().log(text);
}

/// Returns MPIDR_EL1 as the SPMC shows it to this execution context.
pub fn mpidr() -> u64 {
    let value: u64;
    // SAFETY: reading the register has no effect.
    unsafe { asm!("mrs {}, mpidr_el1", out(reg) value, options(nomem, nostack, preserves_flags)) };
    value
}

/// Ends the partition: the SPMC takes it out of service and goes on.
pub fn abort() -> ! {
    // SAFETY: nothing of the partition runs on this execution context any more.
    unsafe { tantalum_sdk_abort() }
}

fn map(range: Range<usize>, contents: Contents) -> Result<(), MapError> {
    // SAFETY: called on the first execution context only, before it registers an entry point for others, and no
    // reference to the tables lives longer than the call. The MMU may walk them, and sees each new entry whole.
    let tables = unsafe { &mut *TABLES.0.get() };
    tables.map(TABLES.0.get().addr() as u64, range.start as u64..range.end as u64, contents)?;
    // SAFETY: a barrier. It makes the new entries visible to the MMU.
    unsafe { asm!("dsb ishst", "isb", options(nostack, preserves_flags)) };
    Ok(())
}

/// Maps the registers of a device, a page at `address`. Called while the partition starts.
pub(crate) fn map_device(address: usize) -> Option<()> {
    map(address..address.checked_add(PAGE_SIZE)?, Contents::Device).ok()
}

/// Maps the image and the boot information. Runs with the MMU off.
extern "C" fn early_map(boot_info: usize) -> bool {
    let image = [
        ((&raw const __image_start).addr()..(&raw const __rodata_start).addr(), Contents::Code),
        ((&raw const __rodata_start).addr()..(&raw const __data_start).addr(), Contents::Constants),
        ((&raw const __data_start).addr()..(&raw const __bss_end).addr(), Contents::Data),
    ];
    let stacks = (0..MAX_VCPUS).map(|index| {
        let start = (&raw const __stacks_start).addr().wrapping_add(index.wrapping_mul(STACK_STRIDE));
        (start.wrapping_add(PAGE_SIZE)..start.wrapping_add(STACK_STRIDE), Contents::Data)
    });
    let boot_info = match boot_info {
        0 => Some(0..0),
        address => pages(address, BootInfo::BLOB_SIZE),
    };
    let Some(boot_info) = boot_info.map(|range| (range, Contents::Constants)) else { return false };
    let mut all = image.into_iter().chain(stacks).chain([boot_info]);
    // SAFETY: as for `map`; the MMU is off.
    let tables = unsafe { &mut *TABLES.0.get() };
    tables.open_window(TABLES.0.get().addr() as u64).is_ok()
        && all.all(|(range, contents)| map(range, contents).is_ok())
}

/// Finds the manifest by the boot information.
fn find_manifest(boot_info: usize) -> &'static [u8] {
    if boot_info == 0 {
        return &[];
    }
    let rest = BootInfo::BLOB_SIZE.max(PAGE_SIZE.wrapping_sub(boot_info % PAGE_SIZE));
    // SAFETY: the SPMC wrote the boot information before the partition began and nobody writes it afterwards.
    // `early_map` has mapped the pages that it may lie in.
    let blob = unsafe { core::slice::from_raw_parts(with_exposed_provenance(boot_info), rest) };
    let manifest = match BootInfo::decode(blob) {
        Ok(manifest) => manifest,
        Err(error) => fail(format_args!("{error}")),
    };
    let (Ok(start), Ok(size)) = (usize::try_from(manifest.address), usize::try_from(manifest.size)) else {
        fail(format_args!("the manifest at {:#x} cannot be reached", manifest.address));
    };
    let Some(pages) = pages(start, size).filter(|_| size <= MANIFEST_LIMIT) else {
        fail(format_args!("the manifest of {size} bytes at {start:#x} is too large"));
    };
    if let Err(error) = map(pages, Contents::Constants) {
        fail(format_args!("the manifest at {start:#x} cannot be mapped: {error:?}"));
    }
    // SAFETY: it is mapped, and as with the boot information, nobody writes it any more.
    unsafe { core::slice::from_raw_parts(with_exposed_provenance(start), size) }
}

/// Returns the pages that `size` bytes at `start` lie in.
fn pages(start: usize, size: usize) -> Option<Range<usize>> {
    let end = start.checked_add(size)?.checked_next_multiple_of(PAGE_SIZE)?;
    Some(start & !(PAGE_SIZE.wrapping_sub(1))..end)
}

/// Goes on from the entry code on the first execution context.
extern "C" fn main(boot_info: usize) -> ! {
    let spmc = spmc();
    if spmc.version(spmc.spoken()).is_none() {
        fail(format_args!("the SPMC does not speak FF-A {}", spmc.spoken()));
    }
    let boot = Boot { manifest: find_manifest(boot_info) };
    if let Err(error) = TANTALUM_PARTITION.start(&spmc, &boot) {
        fail(format_args!("cannot start: {error}"));
    }
    let entry = tantalum_sdk_secondary_entry as *const () as u64;
    match spmc.register_secondary_entry(entry) {
        // A partition with one execution context has nothing to register.
        Ok(()) | Err(CallError::Refused(Status::NotSupported)) => {}
        Err(error) => fail(format_args!("cannot register its other execution contexts: {error}")),
    }
    run()
}

/// Goes on from the entry code on the other execution contexts.
extern "C" fn secondary_main() -> ! {
    TANTALUM_PARTITION.secondary(&spmc());
    run()
}

fn run() -> ! {
    match serve(TANTALUM_PARTITION, &spmc()) {
        Err(error) => fail(format_args!("{error}")),
    }
}

/// Handles an interrupt taken to EL1.
extern "C" fn interrupt(line: usize) {
    let line = if line == 0 { Line::Irq } else { Line::Fiq };
    take(TANTALUM_PARTITION, &spmc(), Delivery::Exception(line));
}

/// Reports any other exception taken to EL1, of which none is expected.
extern "C" fn exception(vector: usize, syndrome: u64, pc: usize, fault_address: u64) -> ! {
    const KINDS: [&str; 4] = ["synchronous exception", "IRQ", "FIQ", "SError"];
    let kind = KINDS.get(vector % 4).copied().unwrap_or_default();
    let base = (&raw const __image_start).addr();
    let what = match syndrome >> 26 & 0x3f {
        0x00 => ", unknown instruction",
        0x07 => ", floating point is not for partitions",
        0x21 => ", instruction abort",
        0x25 => ", data abort",
        0x26 => ", stack pointer not aligned",
        _ => "",
    };
    fail(format_args!(
        "{kind}{what} at image offset {:#x}: ESR_EL1 {syndrome:#x}, FAR_EL1 {fault_address:#x}",
        pc.wrapping_sub(base)
    ))
}

fn fail(reason: fmt::Arguments<'_>) -> ! {
    log(format_args!("fatal: {reason}\n"));
    abort()
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    match info.location() {
        Some(at) => fail(format_args!("panic at {}:{}: {}", at.file(), at.line(), info.message())),
        None => fail(format_args!("panic: {}", info.message())),
    }
}
