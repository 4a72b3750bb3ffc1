//! The other way to the SPMC, for partitions that use both.

use core::arch::global_asm;
use core::sync::atomic::AtomicU32;

use tantalum_types::{AddressSpace, CallRegisters};

use crate::machine::Smc;
use crate::memory::{Memory, PageWords};
use crate::spmc::{Conduit, Spmc};

global_asm!(include_str!("hvc.S"));

unsafe extern "C" {
    fn tantalum_sdk_hvc(registers: *mut CallRegisters);
}

/// Makes calls by HVC.
#[derive(Clone, Copy, Debug)]
struct Hvc;

impl Conduit for Hvc {
    fn call(&self, registers: &CallRegisters) -> CallRegisters {
        let mut registers = *registers;
        // SAFETY: the function reads and writes the eighteen registers and keeps to the procedure call standard.
        // What the SPMC writes is memory that this partition has agreed on with it by an earlier call.
        unsafe { tantalum_sdk_hvc(&mut registers) };
        registers
    }

    fn memory(&self) -> Option<&dyn Memory> {
        Smc.memory()
    }
}

/// Returns the way to the SPMC by HVC. What a partition gets from the SDK goes by SMC.
pub const fn hvc() -> Spmc<'static> {
    Spmc::new(&Hvc)
}

/// Counts the 32-bit registers of a page.
const REGISTERS_PER_PAGE: usize = 1024;

/// Runs `work` on the registers of a device, which lie in the page at `address` of Secure memory, and returns whether it
/// did, as [`Memory::with_page`] does. The manifest has to name the page in a device region.
pub fn with_device(address: u64, work: &mut dyn FnMut(&[AtomicU32; REGISTERS_PER_PAGE])) -> bool {
    Smc.with_page(address, AddressSpace::Secure, &mut |page: &PageWords| {
        let registers: *const [AtomicU32; REGISTERS_PER_PAGE] = core::ptr::from_ref(page).cast();
        // SAFETY: both are the same page, of which every part may change at any time; the alignment asked for is less.
        // Nobody looks at it as 64-bit words meanwhile. Stage 2 says that it is a device's, whatever stage 1 does.
        work(unsafe { &*registers });
    })
}
