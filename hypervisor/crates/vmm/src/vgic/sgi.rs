//! Software-generated interrupts, as a virtual CPU asks for them by system registers (GICv3, IHI 0069, section 12.2).

use tantalum_hal::vm::SystemRegister;
use tantalum_types::VcpuIndex;

use super::bits::VcpuSet;

/// Names the registers that send software-generated interrupts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SgiRegister {
    /// ICC_SGI1R_EL1: those of Group 1.
    Sgi1,
    /// ICC_ASGI1R_EL1: those of the other Security state's Group 1. With one Security state, that is Group 0.
    AliasSgi1,
    /// ICC_SGI0R_EL1: those of Group 0.
    Sgi0,
}

impl SgiRegister {
    /// Finds the one with this encoding.
    pub const fn at(register: SystemRegister) -> Option<Self> {
        match register {
            SystemRegister { op0: 3, op1: 0, crn: 12, crm: 11, op2: 5 } => Some(Self::Sgi1),
            SystemRegister { op0: 3, op1: 0, crn: 12, crm: 11, op2: 6 } => Some(Self::AliasSgi1),
            SystemRegister { op0: 3, op1: 0, crn: 12, crm: 11, op2: 7 } => Some(Self::Sgi0),
            _ => None,
        }
    }

    /// Tells whether it reaches an interrupt that its receiver has put in Group 1, or else in Group 0.
    pub(super) const fn is_group1(self) -> bool {
        matches!(self, Self::Sgi1)
    }
}

/// Is what was written to one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Request {
    /// The number, 0 to 15.
    pub intid: u32,
    /// Who gets it, of those that there are.
    pub receivers: VcpuSet,
}

impl Request {
    /// Decodes what `sender`, of `count` virtual CPUs, has written. Virtual CPU n has affinity 0.0.0.n.
    pub(super) fn decode(value: u64, sender: VcpuIndex, count: usize) -> Self {
        let field = |shift: u32, bits: u64| value.wrapping_shr(shift) & bits;
        let intid = u32::try_from(field(24, 0xf)).unwrap_or_default();
        let is_named = |vcpu: &VcpuIndex| {
            if field(40, 1) != 0 {
                return *vcpu != sender; // IRM: all but who asks.
            }
            let affinity = u64::from(vcpu.as_u16());
            let cluster = field(48, 0xff) == 0 && field(32, 0xff) == 0 && field(16, 0xff) == 0;
            let range = field(44, 0xf) == affinity >> 4;
            cluster && range && value.wrapping_shr(u32::from(vcpu.as_u16() & 0xf)) & 1 != 0
        };
        let receivers = VcpuIndex::all().take(count).filter(is_named);
        Self { intid, receivers: receivers.fold(VcpuSet::EMPTY, |set, vcpu| set.union(VcpuSet::one(vcpu))) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receivers(value: u64, sender: usize, count: usize) -> std::vec::Vec<usize> {
        let request = Request::decode(value, VcpuIndex::new(sender).unwrap(), count);
        request.receivers.iter().map(VcpuIndex::get).collect()
    }

    #[test]
    fn a_list_names_the_receivers() {
        assert_eq!(receivers(0b1010, 0, 4), [1, 3]);
        // The sender may be among them; who is not there gets nothing.
        assert_eq!(receivers(0xffff, 1, 3), [0, 1, 2]);
        assert_eq!(receivers(0, 1, 3), []);
    }

    #[test]
    fn everybody_else_is_named_by_one_bit() {
        assert_eq!(receivers(1 << 40, 2, 4), [0, 1, 3]);
        assert_eq!(receivers(1 << 40 | 0xffff | 5 << 48, 0, 1), []);
    }

    #[test]
    fn another_affinity_names_nobody() {
        for elsewhere in [1 << 16, 1 << 32, 1 << 48, 1 << 44, 15 << 44] {
            assert_eq!(receivers(elsewhere | 0xffff, 0, 8), [], "{elsewhere:#x}");
        }
    }

    #[test]
    fn the_number_is_read_from_its_field() {
        let vcpu = VcpuIndex::new(0).unwrap();
        for intid in 0..16 {
            let value = u64::from(intid) << 24 | !(0xf << 24);
            assert_eq!(Request::decode(value, vcpu, 1).intid, intid);
        }
    }

    #[test]
    fn three_registers_send() {
        let at = |op2| SgiRegister::at(SystemRegister::new(3, 0, 12, 11, op2));
        assert_eq!(at(5), Some(SgiRegister::Sgi1));
        assert_eq!(at(6), Some(SgiRegister::AliasSgi1));
        assert_eq!(at(7), Some(SgiRegister::Sgi0));
        assert_eq!(at(4), None);
        assert_eq!(SgiRegister::at(SystemRegister::new(3, 0, 12, 12, 5)), None);
    }
}
