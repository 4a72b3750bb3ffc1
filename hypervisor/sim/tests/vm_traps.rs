//! What the machine makes of ESR_EL2 when a virtual CPU comes back, and what it puts into ESR_EL1 when that goes on with an
//! exception. Both are plain logic, in a crate that builds for the machine only.

// What goes wrong in a helper has to stop the test there.
#![allow(clippy::arithmetic_side_effects, clippy::panic, clippy::unreachable)]

#[path = "../../crates/aarch64/src/vm/syndrome.rs"]
mod injected;
#[path = "../../crates/aarch64/src/vm/trap.rs"]
mod trap;

use proptest::prelude::*;
use tantalum_hal::vm::{Exception, SystemRegister};
use trap::{Abort, DataAbort, SystemInstruction, Transfer, Trap};

/// Builds ESR_EL2 of a 32-bit instruction: exception class and ISS.
const fn syndrome(class: u64, iss: u64) -> u64 {
    class << 26 | 1 << 25 | iss
}

const DATA_ABORT: u64 = 0x24;
const TRANSLATION_LEVEL_3: u64 = 0x07;
const PERMISSION_LEVEL_3: u64 = 0x0f;
const EXTERNAL: u64 = 0x10;

/// ISS of a load or store that is described: ISV, SAS, SSE, SRT, SF, WnR.
const fn transfer(size: u64, sign_extend: u64, register: u64, wide: u64, write: u64) -> u64 {
    1 << 24 | size << 22 | sign_extend << 21 | register << 16 | wide << 15 | write << 6
}

#[test]
fn calls_carry_their_immediate() {
    assert_eq!(Trap::from_syndrome(syndrome(0x16, 0)), Trap::Hvc(0));
    assert_eq!(Trap::from_syndrome(syndrome(0x16, 0xffff)), Trap::Hvc(0xffff));
    assert_eq!(Trap::from_syndrome(syndrome(0x17, 0x1234)), Trap::Smc(0x1234));
}

#[test]
fn only_wfi_is_a_wait() {
    assert_eq!(Trap::from_syndrome(syndrome(0x01, 0x01e0_0000)), Trap::WaitForInterrupt);
    for other in 1..4 {
        assert_eq!(Trap::from_syndrome(syndrome(0x01, 0x01e0_0000 | other)), Trap::OtherWait);
    }
}

#[test]
fn loads_and_stores_are_described() {
    let expected = |abort, write, transfer| Trap::DataAbort(DataAbort { abort, write, transfer });
    // LDRB w3, [x0]
    assert_eq!(
        Trap::from_syndrome(syndrome(DATA_ABORT, transfer(0, 0, 3, 0, 0) | TRANSLATION_LEVEL_3)),
        expected(
            Abort::Page,
            false,
            Some(Transfer { size: 1, register: 3, sign_extend: false, wide: false, instruction_size: 4 })
        )
    );
    // STR xzr, [x0], which is not permitted
    assert_eq!(
        Trap::from_syndrome(syndrome(DATA_ABORT, transfer(3, 0, 31, 1, 1) | PERMISSION_LEVEL_3)),
        expected(
            Abort::Permission,
            true,
            Some(Transfer { size: 8, register: 31, sign_extend: false, wide: true, instruction_size: 4 })
        )
    );
    // LDRSH x7, [x0]
    assert_eq!(
        Trap::from_syndrome(syndrome(DATA_ABORT, transfer(1, 1, 7, 1, 0) | TRANSLATION_LEVEL_3)),
        expected(
            Abort::Page,
            false,
            Some(Transfer { size: 2, register: 7, sign_extend: true, wide: true, instruction_size: 4 })
        )
    );
    // The same of Thumb, 16 bits long
    let short = DATA_ABORT << 26 | transfer(2, 0, 1, 0, 0) | TRANSLATION_LEVEL_3;
    let Trap::DataAbort(DataAbort { transfer: Some(transfer), .. }) = Trap::from_syndrome(short) else {
        unreachable!()
    };
    assert_eq!(transfer.instruction_size, 2);
}

#[test]
fn what_is_not_a_load_or_store_of_one_register_is_not_described() {
    let described = transfer(2, 0, 1, 0, 0) | TRANSLATION_LEVEL_3;
    let not_described = |iss| {
        let Trap::DataAbort(abort) = Trap::from_syndrome(syndrome(DATA_ABORT, iss)) else { unreachable!() };
        assert_eq!(abort.transfer, None, "{iss:#x}");
        abort
    };
    // ISV is zero: a pair, an atomic operation.
    not_described(described & !(1 << 24));
    // CM: DC IVAC.
    not_described(described | 1 << 8);
    // S1PTW: a walk of its own tables; then the page is named whatever the fault is.
    assert_eq!(not_described(described | 1 << 7).abort, Abort::Page);
    assert_eq!(not_described(transfer(2, 0, 1, 0, 0) | 1 << 7 | PERMISSION_LEVEL_3).abort, Abort::Page);
}

#[test]
fn aborts_tell_who_names_the_page() {
    let abort = |status| match Trap::from_syndrome(syndrome(0x20, status)) {
        Trap::InstructionAbort(abort) => abort,
        other => panic!("{other:?}"),
    };
    for level in 0..4 {
        assert_eq!(abort(level), Abort::Page, "address size");
        assert_eq!(abort(4 | level), Abort::Page, "translation");
        assert_eq!(abort(8 | level), Abort::Page, "access flag");
        assert_eq!(abort(12 | level), Abort::Permission, "permission");
    }
    for status in EXTERNAL..0x40 {
        assert_eq!(abort(status), Abort::External, "{status:#x}");
    }
}

#[test]
fn system_registers_are_named() {
    // MRS x5, CNTP_CTL_EL0
    let iss = 3 << 20 | 1 << 17 | 3 << 14 | 14 << 10 | 5 << 5 | 2 << 1 | 1;
    let expected =
        SystemInstruction { system: SystemRegister::new(3, 3, 14, 2, 1), register: 5, reads: true };
    assert_eq!(Trap::from_syndrome(syndrome(0x18, iss)), Trap::System(expected));
    assert!(!expected.is_ignored());
    // MSR OSLAR_EL1, xzr
    let Trap::System(lock) = Trap::from_syndrome(syndrome(0x18, 2 << 20 | 4 << 17 | 1 << 10 | 31 << 5))
    else {
        unreachable!()
    };
    assert_eq!(lock.system, SystemRegister::new(2, 0, 1, 0, 4));
    assert!(lock.is_ignored() && !lock.reads);
}

#[test]
fn what_is_ignored_is_little() {
    let ignored = |op0, op1, crn, crm, op2| {
        let system = SystemRegister::new(op0, op1, crn, crm, op2);
        SystemInstruction { system, register: 0, reads: false }.is_ignored()
    };
    assert!(ignored(3, 0, 1, 0, 1), "ACTLR_EL1");
    assert!(ignored(2, 0, 0, 2, 2), "MDSCR_EL1");
    for crm in [6, 10, 14] {
        assert!(ignored(1, 0, 7, crm, 2), "DC by set and way");
    }
    assert!(!ignored(2, 1, 0, 0, 1), "trace");
    assert!(!ignored(3, 3, 9, 12, 0), "PMCR_EL0");
    assert!(!ignored(3, 0, 12, 11, 5), "ICC_SGI1R_EL1");
    assert!(!ignored(3, 3, 14, 2, 0), "CNTP_TVAL_EL0");
    assert!(!ignored(3, 0, 10, 4, 3), "LORC_EL1");
}

proptest! {
    /// Whatever the processing element reports, what is decoded stays within what the machine can do with it.
    #[test]
    fn any_syndrome_is_decoded(syndrome: u64) {
        match Trap::from_syndrome(syndrome) {
            Trap::DataAbort(DataAbort { transfer: Some(transfer), write, .. }) => {
                prop_assert!([1, 2, 4, 8].contains(&transfer.size));
                prop_assert!(transfer.register < 32);
                prop_assert!([2, 4].contains(&transfer.instruction_size));
                prop_assert_eq!(write, syndrome & 1 << 6 != 0);
            }
            Trap::System(instruction) => prop_assert!(instruction.register < 32),
            _ => {}
        }
    }
}

#[test]
fn an_exception_says_what_it_is() {
    let abort = |class: u64, write: u64| (class << 26 | 1 << 25 | write << 6 | EXTERNAL, Some(0x1234));
    for (write, bit) in [(false, 0), (true, 1)] {
        let exception = Exception::DataAbort { virtual_address: 0x1234, write };
        assert_eq!(injected::syndrome(exception, true), abort(0x24, bit));
        assert_eq!(injected::syndrome(exception, false), abort(0x25, bit));
    }
    let exception = Exception::InstructionAbort { virtual_address: 0x1234 };
    assert_eq!(injected::syndrome(exception, true), abort(0x20, 0));
    assert_eq!(injected::syndrome(exception, false), abort(0x21, 0));
    for from_el0 in [false, true] {
        assert_eq!(injected::syndrome(Exception::Undefined, from_el0), (1 << 25, None));
    }
}
