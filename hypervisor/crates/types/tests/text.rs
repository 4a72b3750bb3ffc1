//! What people read of addresses, and values that stand for none.

use tantalum_types::{CallRegisters, Ipa, Pa, Va};

#[test]
fn an_address_says_its_space() {
    assert_eq!(Pa::secure(0x1000).to_string(), "secure 0x1000");
    assert_eq!(format!("{:?}", Ipa::non_secure(0x2000)), "non-secure 0x2000");
    assert_eq!(Va::new(0x3000).raw(), 0x3000);
}

#[test]
fn registers_are_zero_if_nothing_is_said() {
    assert_eq!(CallRegisters::default(), CallRegisters::ZERO);
}
