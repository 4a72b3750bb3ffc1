//! The stage-2 walker, written from the architecture and not from the code that fills the tables.

use tantalum_hal::{Stage2Roots, TrapKind};
use tantalum_types::{AddressSpace, CpuIndex, Ipa, PAGE_SIZE, Pa};

use crate::machine::Machine;

/// Holds what a TLB knows about a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TlbEntry {
    page: Pa,
    write: bool,
    execute: bool,
    device: bool,
}

/// Names what an execution context does with memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessKind {
    /// It reads data.
    Read,
    /// It writes data.
    Write,
    /// It fetches an instruction.
    Fetch,
}

impl Machine {
    /// Translates `ipa` as the MMU of `cpu` does for a partition with `roots`.
    ///
    /// # Errors
    /// Returns the abort that is taken to S-EL2.
    pub fn translate(
        &self,
        cpu: CpuIndex,
        roots: &Stage2Roots,
        ipa: Ipa,
        kind: AccessKind,
    ) -> Result<Pa, TrapKind> {
        let offset = ipa.raw() % PAGE_SIZE;
        let page = Ipa::new(ipa.space(), ipa.raw() - offset);
        let key = (roots.vmid, page);
        let mut tlb = self.tlbs[cpu.get()].lock().unwrap();
        let entry = tlb.get(&key).copied().or_else(|| self.walk(roots, page));
        if let Some(entry) = entry {
            tlb.insert(key, entry);
        }
        let allowed = entry.filter(|entry| match kind {
            AccessKind::Read => true,
            AccessKind::Write => entry.write,
            AccessKind::Fetch => entry.execute,
        });
        match (allowed, kind) {
            (Some(entry), _) => Ok(Pa::new(entry.page.space(), entry.page.raw() + offset)),
            (None, AccessKind::Fetch) => Err(TrapKind::InstructionAbort { address: ipa }),
            (None, _) => Err(TrapKind::DataAbort { address: ipa, write: kind == AccessKind::Write }),
        }
    }

    /// Tells whether the page of `ipa` is Device-nGnRnE memory to a partition with `roots`; `None` if it is not mapped.
    pub fn is_device(&self, roots: &Stage2Roots, ipa: Ipa) -> Option<bool> {
        let page = Ipa::new(ipa.space(), ipa.raw() - ipa.raw() % PAGE_SIZE);
        self.walk(roots, page).map(|entry| entry.device)
    }

    /// Walks from level 1 with 39 bits of address (Arm ARM, D8.2 and D8.3).
    fn walk(&self, roots: &Stage2Roots, page: Ipa) -> Option<TlbEntry> {
        let mut table = match page.space() {
            AddressSpace::Secure => roots.secure,
            AddressSpace::NonSecure => roots.non_secure,
        };
        if page.raw() >> 39 != 0 {
            return None;
        }
        for shift in [30, 21, 12] {
            let descriptor = self.descriptor(table, (page.raw() >> shift) as usize % 512);
            let address = descriptor & 0xffff_ffff_f000;
            match (descriptor & 0b11, shift) {
                (0b11, 30 | 21) => table = Pa::secure(address),
                (0b11, 12) | (0b01, 30 | 21) => {
                    let inside = page.raw() & ((1 << shift) - 1);
                    assert_eq!(address & ((1 << shift) - 1), 0, "a block's address is not aligned");
                    assert_ne!(descriptor & 1 << 10, 0, "the access flag of {page} is clear");
                    assert_ne!(descriptor & 1 << 6, 0, "{page} is mapped but cannot be read");
                    return Some(TlbEntry {
                        page: Pa::new(page.space(), address | inside),
                        write: descriptor & 1 << 7 != 0,
                        execute: descriptor & 0b11 << 53 == 0,
                        device: descriptor & 0b1111 << 2 == 0,
                    });
                }
                _ => return None,
            }
        }
        None
    }
}
