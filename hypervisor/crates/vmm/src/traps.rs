//! System registers that a virtual CPU reaches for and that are emulated.

use tantalum_hal::vm::SystemRegister;

use crate::timer::TimerRegister;
use crate::vgic::SgiRegister;

/// Names what a system register is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Emulated {
    /// Software-generated interrupts; written only.
    Sgi(SgiRegister),
    /// The deactivation of interrupts, ICC_DIR_EL1; written only.
    Deactivate,
    /// The EL1 physical timer.
    Timer(TimerRegister),
    /// The count of the system counter, CNTPCT_EL0; read only.
    Count,
    /// Something that is there and does nothing: it reads as zero, and writes are ignored.
    Zero,
}

/// Finds what `register` is of; `None` if there is no such register.
pub const fn find(register: SystemRegister) -> Option<Emulated> {
    if let Some(sgi) = SgiRegister::at(register) {
        return Some(Emulated::Sgi(sgi));
    }
    if let Some(timer) = TimerRegister::at(register) {
        return Some(Emulated::Timer(timer));
    }
    match register {
        SystemRegister { op0: 3, op1: 0, crn: 12, crm: 11, op2: 1 } => Some(Emulated::Deactivate),
        // CNTPCT_EL0 and CNTPCTSS_EL0.
        SystemRegister { op0: 3, op1: 3, crn: 14, crm: 0, op2: 1 | 5 } => Some(Emulated::Count),
        // Debug and trace registers: OSLAR_EL1, OSDLR_EL1, MDSCR_EL1, breakpoints, watchpoints.
        SystemRegister { op0: 2, .. } => Some(Emulated::Zero),
        // The Performance Monitors: PMCR_EL0 to PMOVSSET_EL0, PMINTENSET_EL1 to PMMIR_EL1, the event counters.
        SystemRegister { op0: 3, op1: 3, crn: 9, crm: 12..=14, .. }
        | SystemRegister { op0: 3, op1: 0, crn: 9, crm: 14, .. }
        | SystemRegister { op0: 3, op1: 3, crn: 14, crm: 8..=15, .. } => Some(Emulated::Zero),
        // ACTLR_EL1, and LORegions: LORSA_EL1 to LORID_EL1.
        SystemRegister { op0: 3, op1: 0, crn: 1, crm: 0, op2: 1 }
        | SystemRegister { op0: 3, op1: 0, crn: 10, crm: 4, .. } => Some(Emulated::Zero),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_are_found_by_their_encodings() {
        let find = |op0, op1, crn, crm, op2| find(SystemRegister::new(op0, op1, crn, crm, op2));
        assert_eq!(find(3, 0, 12, 11, 5), Some(Emulated::Sgi(SgiRegister::Sgi1)));
        assert_eq!(find(3, 0, 12, 11, 1), Some(Emulated::Deactivate));
        assert_eq!(find(3, 3, 14, 2, 1), Some(Emulated::Timer(TimerRegister::Control)));
        assert_eq!(find(3, 3, 14, 0, 1), Some(Emulated::Count));
        assert_eq!(find(2, 0, 1, 0, 4), Some(Emulated::Zero), "OSLAR_EL1");
        assert_eq!(find(3, 3, 9, 12, 0), Some(Emulated::Zero), "PMCR_EL0");
        assert_eq!(find(3, 3, 14, 15, 7), Some(Emulated::Zero), "PMCCFILTR_EL0");
        assert_eq!(find(3, 0, 1, 0, 0), None, "SCTLR_EL1 is not trapped");
        assert_eq!(find(3, 4, 1, 1, 0), None, "HCR_EL2 is not there");
    }
}
