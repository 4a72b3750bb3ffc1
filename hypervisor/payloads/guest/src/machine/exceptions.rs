//! Doing what raises an exception, and looking at it.

use core::arch::asm;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::{cpus, image};

/// Is what the entry code keeps, in this order.
#[repr(C)]
pub(super) struct Frame {
    /// x0 to x18.
    general: [u64; 19],
    /// x30.
    link: u64,
    elr: u64,
    spsr: u64,
}

/// Is an exception that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Caught {
    /// ESR_EL1.
    pub(crate) syndrome: u64,
    /// FAR_EL1.
    pub(crate) address: u64,
    /// How many came.
    pub(crate) count: u64,
}

impl Caught {
    /// Returns the exception class (ESR_EL1.EC).
    pub(crate) fn class(&self) -> u64 {
        self.syndrome >> 26 & 0x3f
    }

    /// Returns what the class says more (ESR_EL1.ISS).
    pub(crate) fn specifics(&self) -> u64 {
        self.syndrome & 0x1ff_ffff
    }

    /// Returns the status code of an abort (ISS.DFSC or IFSC).
    pub(crate) fn status(&self) -> u64 {
        self.syndrome & 0x3f
    }
}

/// Exception classes.
pub(crate) mod class {
    pub(crate) const UNKNOWN: u64 = 0x00;
    pub(crate) const TRAPPED_REGISTER: u64 = 0x18;
    pub(crate) const SVC: u64 = 0x15;
    pub(crate) const INSTRUCTION_ABORT: u64 = 0x21;
    pub(crate) const DATA_ABORT: u64 = 0x25;
    pub(crate) const BREAKPOINT: u64 = 0x3c;
}

/// Status codes of aborts.
pub(crate) mod status {
    /// Translation fault at level 0; the level is in the two lowest bits.
    pub(crate) const TRANSLATION: u64 = 0x04;
    /// Permission fault at level 3.
    pub(crate) const PERMISSION_3: u64 = 0x0f;
    /// Synchronous external abort, not on a table walk.
    pub(crate) const EXTERNAL: u64 = 0x10;
    /// Alignment fault.
    pub(crate) const ALIGNMENT: u64 = 0x21;
}

/// Is what a CPU expects, and what came.
struct Watch {
    expects: AtomicBool,
    count: AtomicU64,
    syndrome: AtomicU64,
    address: AtomicU64,
}

static WATCHES: [Watch; cpus::MOST] = [const {
    Watch {
        expects: AtomicBool::new(false),
        count: AtomicU64::new(0),
        syndrome: AtomicU64::new(0),
        address: AtomicU64::new(0),
    }
}; cpus::MOST];

/// Does `work`, and returns the first exception that it raises. The instruction that does is left out; a call of an
/// address that cannot be executed returns at once.
pub(crate) fn catch(work: impl FnOnce()) -> Option<Caught> {
    let watch = &WATCHES[cpus::current()];
    watch.count.store(0, Ordering::Relaxed);
    watch.expects.store(true, Ordering::SeqCst);
    work();
    watch.expects.store(false, Ordering::SeqCst);
    let count = watch.count.load(Ordering::SeqCst);
    (count > 0).then(|| Caught {
        syndrome: watch.syndrome.load(Ordering::Relaxed),
        address: watch.address.load(Ordering::Relaxed),
        count,
    })
}

/// Takes a synchronous exception.
pub(super) extern "C" fn arrived(frame: &mut Frame) {
    let (syndrome, address): (u64, u64);
    // SAFETY: reading the registers has no effect.
    unsafe {
        asm!("mrs {}, esr_el1", "mrs {}, far_el1", out(reg) syndrome, out(reg) address, options(nomem, nostack))
    };
    let watch = &WATCHES[cpus::current()];
    if !watch.expects.load(Ordering::SeqCst) {
        let (start, _) = image();
        panic!(
            "unexpected exception at image + {:#x}, called from + {:#x}: ESR_EL1 {syndrome:#x}, FAR_EL1 {address:#x}, x0 {:#x}",
            frame.elr.wrapping_sub(start),
            frame.link.wrapping_sub(start),
            frame.general[0],
        );
    }
    if watch.count.fetch_add(1, Ordering::SeqCst) == 0 {
        watch.syndrome.store(syndrome, Ordering::Relaxed);
        watch.address.store(address, Ordering::Relaxed);
    }
    match syndrome >> 26 & 0x3f {
        // Its address is that of the next instruction.
        class::SVC => {}
        class::INSTRUCTION_ABORT => frame.elr = frame.link,
        _ => frame.elr += 4,
    }
}

unsafe extern "C" {
    fn guest_hvc_with_immediate(x0: u64) -> u64;
    fn guest_load_pair(address: u64) -> u64;
}

/// Makes a call by HVC with an immediate that is not zero, and returns x0. Callers catch.
pub(crate) fn hvc_with_immediate(function: u64) -> u64 {
    // SAFETY: it keeps to the procedure call standard, as the calling convention does.
    unsafe { guest_hvc_with_immediate(function) }
}

/// Loads a pair of registers from an address of devices or of nothing. Callers catch.
pub(crate) fn load_pair(address: u64) -> u64 {
    assert!(address < 0x4000_0000, "{address:#x} may be memory of the program");
    // SAFETY: it keeps to the procedure call standard.
    unsafe { guest_load_pair(address) }
}

/// Executes an instruction that is defined to be undefined. Callers catch.
pub(crate) fn udf() {
    // SAFETY: it raises an exception and does nothing else.
    unsafe { asm!("udf #0x55", options(nostack, preserves_flags)) };
}

/// Reads a system register that no CPU has. Callers catch.
pub(crate) fn read_nonsense_register() {
    // SAFETY: as above.
    unsafe { asm!("mrs {}, s3_7_c15_c15_7", out(reg) _, options(nostack, preserves_flags)) };
}

/// Reads a register of EL2. Callers catch.
pub(crate) fn read_hypervisor_register() {
    // SAFETY: as above.
    unsafe { asm!("mrs {}, hcr_el2", out(reg) _, options(nostack, preserves_flags)) };
}

/// Asks the supervisor, which is ourselves. Callers catch.
pub(crate) fn svc() {
    // SAFETY: as above.
    unsafe { asm!("svc #0x1234", options(nostack, preserves_flags)) };
}

/// Executes a breakpoint instruction. Callers catch.
pub(crate) fn brk() {
    // SAFETY: as above.
    unsafe { asm!("brk #0x5678", options(nostack, preserves_flags)) };
}

/// Reads 32 bits at any address. Callers catch.
pub(crate) fn load(address: u64) -> u32 {
    let value: u32;
    // SAFETY: reading changes nothing, whatever is there.
    unsafe { asm!("ldr {:w}, [{}]", out(reg) value, in(reg) address, options(nostack, preserves_flags)) };
    value
}

/// Writes 32 bits at an address of devices, of nothing, or of the window. Callers catch.
pub(crate) fn store(address: u64, value: u32) {
    let foreign = !(0x4000_0000..0x1_0000_0000).contains(&address);
    assert!(foreign, "{address:#x} may be memory of the program");
    // SAFETY: no memory of the program is there.
    unsafe { asm!("str {:w}, [{}]", in(reg) value, in(reg) address, options(nostack, preserves_flags)) };
}

/// Calls what lies at an address of devices, of nothing, or of the window, where there is a return or an exception
/// comes. Callers catch.
pub(crate) fn execute(address: u64) {
    let foreign = !(0x4000_0000..0x1_0000_0000).contains(&address);
    assert!(foreign, "{address:#x} may be code of the program");
    // SAFETY: at most it returns.
    unsafe { asm!("blr {}", in(reg) address, clobber_abi("C")) };
}

/// Reads 64 bits exclusively at an address that is not aligned: a fault on any kind of memory. Callers catch.
pub(crate) fn load_exclusive(address: u64) {
    // SAFETY: reading changes nothing.
    unsafe { asm!("ldxr {}, [{}]", "clrex", out(reg) _, in(reg) address, options(nostack, preserves_flags)) };
}
