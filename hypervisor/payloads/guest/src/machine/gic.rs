//! The registers of the GIC (GICv3, chapter 12), where QEMU's virt board has them.

use super::{mmio, sysreg};

/// Is the distributor's frame.
pub(crate) const DISTRIBUTOR: usize = 0x0800_0000;
/// Is the first redistributor's first frame, and how far apart they are.
pub(crate) const REDISTRIBUTORS: usize = 0x080a_0000;
pub(crate) const REDISTRIBUTOR_SIZE: usize = 0x2_0000;
/// Is where the second frame of a redistributor begins: SGIs and PPIs.
pub(crate) const PRIVATE: usize = 0x1_0000;

/// Registers of the distributor; those that a redistributor's second frame has too have the same offsets there.
pub(crate) mod register {
    pub(crate) const CTLR: usize = 0x0000;
    pub(crate) const TYPER: usize = 0x0004;
    pub(crate) const IIDR: usize = 0x0008;
    pub(crate) const IGROUPR: usize = 0x0080;
    pub(crate) const ISENABLER: usize = 0x0100;
    pub(crate) const ICENABLER: usize = 0x0180;
    pub(crate) const ISPENDR: usize = 0x0200;
    pub(crate) const ICPENDR: usize = 0x0280;
    pub(crate) const ISACTIVER: usize = 0x0300;
    pub(crate) const ICACTIVER: usize = 0x0380;
    pub(crate) const IPRIORITYR: usize = 0x0400;
    pub(crate) const ITARGETSR: usize = 0x0800;
    pub(crate) const ICFGR: usize = 0x0c00;
    pub(crate) const SGIR: usize = 0x0f00;
    pub(crate) const IROUTER: usize = 0x6000;
    pub(crate) const PIDR2: usize = 0xffe8;
    /// Of a redistributor's first frame.
    pub(crate) const GICR_TYPER: usize = 0x0008;
    pub(crate) const GICR_WAKER: usize = 0x0014;
}

/// Lists SPIs that no device has.
pub(crate) const FREE: core::ops::Range<usize> = 42..48;

/// There is nothing to acknowledge.
pub(crate) const SPURIOUS: u64 = 1023;

/// Reads a register of the distributor.
pub(crate) fn distributor(offset: usize) -> u32 {
    mmio::read32(DISTRIBUTOR + offset)
}

/// Writes a register of the distributor.
pub(crate) fn set_distributor(offset: usize, value: u32) {
    mmio::write32(DISTRIBUTOR + offset, value);
}

/// Returns where the redistributor of the CPU `cpu` is.
pub(crate) fn redistributor(cpu: usize) -> usize {
    REDISTRIBUTORS + cpu * REDISTRIBUTOR_SIZE
}

/// Is an interrupt as the CPU `cpu` sees it: which frame it is in, and its number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Interrupt {
    frame: usize,
    /// Its number.
    pub(crate) intid: usize,
}

/// Returns an SGI or PPI of the CPU `cpu`.
pub(crate) fn private(cpu: usize, intid: usize) -> Interrupt {
    assert!(intid < 32, "{intid} is not private");
    Interrupt { frame: redistributor(cpu) + PRIVATE, intid }
}

/// Returns an SPI.
pub(crate) fn shared(intid: usize) -> Interrupt {
    assert!((32..1020).contains(&intid), "{intid} is not shared");
    Interrupt { frame: DISTRIBUTOR, intid }
}

impl Interrupt {
    fn word(&self, register: usize) -> usize {
        self.frame + register + self.intid / 32 * 4
    }

    fn bit(&self) -> u32 {
        1 << (self.intid % 32)
    }

    /// Reads its bit of a register with one bit for each interrupt.
    pub(crate) fn is(&self, register: usize) -> bool {
        mmio::read32(self.word(register)) & self.bit() != 0
    }

    /// Writes one to its bit of a register that sets or clears by that.
    pub(crate) fn write(&self, register: usize) {
        mmio::write32(self.word(register), self.bit());
    }

    /// Enables or disables it.
    pub(crate) fn enable(&self, on: bool) {
        self.write(if on { register::ISENABLER } else { register::ICENABLER });
    }

    /// Makes it pending or not.
    pub(crate) fn pend(&self, on: bool) {
        self.write(if on { register::ISPENDR } else { register::ICPENDR });
    }

    /// Makes it active or not.
    pub(crate) fn activate(&self, on: bool) {
        self.write(if on { register::ISACTIVER } else { register::ICACTIVER });
    }

    /// Tells whether it is pending.
    pub(crate) fn is_pending(&self) -> bool {
        self.is(register::ISPENDR)
    }

    /// Tells whether it is active.
    pub(crate) fn is_active(&self) -> bool {
        self.is(register::ISACTIVER)
    }

    /// Tells whether it is enabled.
    pub(crate) fn is_enabled(&self) -> bool {
        self.is(register::ISENABLER)
    }

    /// Puts it into Group 1 or Group 0.
    pub(crate) fn set_group1(&self, group1: bool) {
        let word = self.word(register::IGROUPR);
        let others = mmio::read32(word) & !self.bit();
        mmio::write32(word, others | if group1 { self.bit() } else { 0 });
    }

    /// Returns its priority.
    pub(crate) fn priority(&self) -> u8 {
        mmio::read8(self.frame + register::IPRIORITYR + self.intid)
    }

    /// Sets its priority.
    pub(crate) fn set_priority(&self, priority: u8) {
        mmio::write8(self.frame + register::IPRIORITYR + self.intid, priority);
    }

    /// Returns its two bits of ICFGR.
    pub(crate) fn configuration(&self) -> u32 {
        mmio::read32(self.frame + register::ICFGR + self.intid / 16 * 4) >> (self.intid % 16 * 2) & 3
    }

    /// Makes it edge-triggered or level-sensitive.
    pub(crate) fn set_edge(&self, edge: bool) {
        let word = self.frame + register::ICFGR + self.intid / 16 * 4;
        let bit = 2 << (self.intid % 16 * 2);
        let others = mmio::read32(word) & !bit;
        mmio::write32(word, others | if edge { bit } else { 0 });
    }

    /// Returns where an SPI goes: IROUTER.
    pub(crate) fn route(&self) -> u64 {
        mmio::read64(self.frame + register::IROUTER + self.intid * 8)
    }

    /// Sets where an SPI goes.
    pub(crate) fn set_route(&self, affinity: u64) {
        mmio::write64(self.frame + register::IROUTER + self.intid * 8, affinity);
    }

    /// Sets it up for a case: Group 1, this priority, neither pending nor active, enabled.
    pub(crate) fn prepare(&self, priority: u8) {
        self.enable(false);
        self.pend(false);
        self.activate(false);
        self.set_group1(true);
        self.set_priority(priority);
        self.enable(true);
    }

    /// Takes it out of use: disabled, neither pending nor active.
    pub(crate) fn retire(&self) {
        self.enable(false);
        self.pend(false);
        self.activate(false);
    }
}

/// Returns the value for ICC_SGI1R_EL1 that sends the SGI `intid` to the CPUs of affinity 0.0.0 whose bits are in
/// `targets`.
pub(crate) fn sgi(intid: usize, targets: u64) -> u64 {
    (intid as u64) << 24 | targets
}

/// Is the bit of ICC_SGI1R_EL1 that sends to all CPUs but this one.
pub(crate) const ALL_BUT_SELF: u64 = 1 << 40;

/// Sends an SGI of Group 1.
pub(crate) fn send(value: u64) {
    sysreg::write::icc_sgi1r_el1(value);
}

/// Acknowledges the interrupt of Group 1 with the highest priority, and returns its number.
pub(crate) fn acknowledge() -> u64 {
    sysreg::read::icc_iar1_el1() & 0xff_ffff
}

/// Acknowledges where nothing is expected: ends what there is all the same, and returns its number.
pub(crate) fn acknowledge_nothing() -> u64 {
    let intid = acknowledge();
    if intid < 1020 {
        end(intid);
        if sysreg::ICC_CTLR_EL1.read() & 1 << 1 != 0 {
            sysreg::write::icc_dir_el1(intid);
        }
    }
    intid
}

/// Drops the priority of an interrupt of Group 1, and deactivates it unless EOImode is set.
pub(crate) fn end(intid: u64) {
    sysreg::write::icc_eoir1_el1(intid);
}

/// Returns how many numbers of interrupts the distributor has (GICD_TYPER.ITLinesNumber).
pub(crate) fn lines() -> usize {
    ((distributor(register::TYPER) as usize & 0x1f) + 1) * 32
}

/// Tells whether an interrupt is signalled to this CPU (ISR_EL1.I).
pub(crate) fn is_signalled() -> bool {
    sysreg::read::isr_el1() & 1 << 7 != 0
}
