//! What the tests draw from.

use proptest::prelude::*;
use tantalum_ffa::{Width, function};
use tantalum_types::CallRegisters;

/// Returns the width, and the values as a call of that width can carry them.
pub(crate) fn wide_or_narrow<const N: usize>(wide: bool, values: [u64; N]) -> (Width, [u64; N]) {
    if wide { (Width::Bits64, values) } else { (Width::Bits32, values.map(|value| value & 0xffff_ffff)) }
}

/// Yields x1 to x17, often close to those of a call: most of them zero or small.
pub(crate) fn any_parameters() -> impl Strategy<Value = [u64; 17]> {
    proptest::array::uniform17(prop_oneof![
        6 => Just(0),
        2 => 0..32_u64,
        1 => (0..32_u64).prop_map(|bit| 1 << bit),
        1 => (0..16_u64).prop_map(|code| u64::from(u32::MAX) - code),
        1 => (0..16_u64).prop_map(|message| 1 << 31 | message),
        1 => any::<u64>(),
    ])
}

/// Yields the registers of a call of `function`, or of none.
pub(crate) fn registers_of(function: u64, parameters: [u64; 17]) -> CallRegisters {
    let mut regs = CallRegisters::ZERO;
    let [first, rest @ ..] = &mut regs.0;
    *first = function;
    *rest = parameters;
    regs
}

/// Yields registers whose function identifier is mostly one of FF-A's.
pub(crate) fn any_registers() -> impl Strategy<Value = CallRegisters> {
    let function = prop_oneof![
        30 => proptest::sample::select(function::ALL).prop_map(u64::from),
        1 => any::<u64>(),
    ];
    (function, any_parameters()).prop_map(|(function, parameters)| registers_of(function, parameters))
}
