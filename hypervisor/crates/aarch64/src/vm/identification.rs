//! What the identification registers tell a virtual CPU (Arm ARM, D24.2; HCR_EL2.TID3).
//!
//! What is named here a virtual CPU has if the processing element has it. What is not, it is told that there is not: either
//! its state is not kept for it, or its registers trap. That holds for extensions which do not exist yet, too.

use tantalum_hal::vm::SystemRegister;

use crate::sysreg;

/// Says what is told of the 4-bit field at a bit.
struct Field {
    bit: u32,
    /// The highest value that is told. One that is signed in the architecture keeps a value of 15, which says "none".
    most: u64,
}

const fn up_to(bit: u32, most: u64) -> Field {
    Field { bit, most }
}

/// Tells all that the processing element has.
const fn all(bit: u32) -> Field {
    Field { bit, most: 15 }
}

/// EL0 and EL1 in AArch64; floating point and SIMD; GICv3; DIT; what is known of speculation.
const PFR0: &[Field] =
    &[up_to(0, 1), up_to(4, 1), all(16), all(20), up_to(24, 1), all(48), up_to(56, 1), all(60)];
/// BTI; SSBS.
const PFR1: &[Field] = &[all(0), up_to(4, 1)];
/// The debug architecture, whose registers read zero: a processing element cannot be without.
const DFR0: &[Field] = &[up_to(0, 6), up_to(12, 1), up_to(20, 1)];
/// AES, SHA1, SHA2, CRC32, atomics, RDM, SHA3, SM3, SM4, dot product, FHM, flag manipulation, TLB ranges, random numbers.
const ISAR0: &[Field] = &[
    all(4),
    all(8),
    all(12),
    all(16),
    all(20),
    all(28),
    all(32),
    all(36),
    all(40),
    all(44),
    all(48),
    all(52),
    all(56),
    all(60),
];
/// DPB, the four of pointer authentication, JSCVT, FCMA, LRCPC, GPA, GPI, FRINTTS, SB, SPECRES, BF16, DGH, I8MM.
const ISAR1: &[Field] = &[
    all(0),
    all(4),
    all(8),
    all(12),
    all(16),
    all(20),
    all(24),
    all(28),
    all(32),
    all(36),
    all(40),
    all(44),
    all(48),
    all(52),
];
/// RPRES, GPA3, APA3, MOPS, BC, PAC_frac, CLRBHB, CSSC.
const ISAR2: &[Field] =
    &[all(4), all(8), all(12), up_to(16, 1), all(20), all(24), up_to(28, 1), up_to(52, 1)];
/// At most 40 bits of physical address; ASIDs; mixed endianness; granules without 52-bit addresses.
const MMFR0: &[Field] = &[up_to(0, 2), all(4), all(8), all(16), up_to(20, 1), all(24), up_to(28, 0)];
/// Hardware flags; hierarchical permissions; PAN; ETS; alternative floating point.
const MMFR1: &[Field] = &[up_to(0, 2), all(12), all(20), all(36), all(44)];
/// CnP, UAO, LSM, 52-bit virtual addresses, CCIDX, small tables, AT, IDS, TTL, BBM, E0PD.
const MMFR2: &[Field] =
    &[all(0), all(4), all(8), all(20), all(28), all(32), all(36), all(48), all(52), all(60)];

/// Returns what the identification register `register` reads as; `None` if it is not one of them.
#[cold]
pub(super) fn read(register: SystemRegister) -> Option<u64> {
    let SystemRegister { op0: 3, op1: 0, crn: 0, crm: crm @ 1..=7, op2 } = register else { return None };
    /// Reads a register and leaves of it what `$fields` names.
    macro_rules! limited {
        ($name:literal, $fields:expr) => {
            // SAFETY: identification registers can be read at EL2, and reading them has no effect.
            limit(unsafe { sysreg::read!($name) }, $fields)
        };
    }
    Some(match (crm, op2) {
        (4, 0) => limited!("id_aa64pfr0_el1", PFR0),
        (4, 1) => limited!("id_aa64pfr1_el1", PFR1),
        // No double lock, which is told by 15.
        (5, 0) => limited!("id_aa64dfr0_el1", DFR0) | 0xf << 36,
        (6, 0) => limited!("id_aa64isar0_el1", ISAR0),
        (6, 1) => limited!("id_aa64isar1_el1", ISAR1),
        (6, 2) => limited!("s3_0_c0_c6_2", ISAR2),
        (7, 0) => limited!("id_aa64mmfr0_el1", MMFR0),
        (7, 1) => limited!("id_aa64mmfr1_el1", MMFR1),
        (7, 2) => limited!("s3_0_c0_c7_2", MMFR2),
        // Those of AArch32, which there is not, and those that are of no known use.
        _ => 0,
    })
}

/// Leaves of `value` what `fields` name.
fn limit(value: u64, fields: &[Field]) -> u64 {
    fields.iter().fold(0, |limited, field| {
        let has = value >> field.bit & 0xf;
        let told = if has == 15 { has } else { has.min(field.most) };
        limited | told << field.bit
    })
}
