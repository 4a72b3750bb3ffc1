//! The SMC Calling Convention 1.2: what is unknown is NOT_SUPPORTED, and registers are kept.

use tantalum_payload::call::{self, Conduit};
use tantalum_types::CallRegisters;

use crate::machine::exceptions::{self as provoke, catch};
use crate::machine::{cpus, psci};
use crate::test::{Case, Test, cases};

pub(crate) const CASES: &[Case] = cases![smccc: version, arch_features, unknown_by_hvc, unknown_by_smc, nonsense, upper_half, other_immediate, on_all_cpus];

const VERSION: u64 = 0x8000_0000;
const ARCH_FEATURES: u64 = 0x8000_0001;

/// Tells whether the machine takes calls by `conduit`: where nobody does, the instruction is undefined.
pub(crate) fn offers(conduit: Conduit) -> bool {
    catch(|| _ = psci::call_by(conduit, psci::function::VERSION, [0; 3])).is_none()
}

/// Makes a call by these registers.
#[track_caller]
fn make(t: &Test, conduit: Conduit, registers: &CallRegisters) -> CallRegisters {
    let (answer, leak) = call::call(conduit, registers);
    t.check(leak.is_none(), format_args!("{:#x} changes {leak:x?}", registers.0[0]));
    answer
}

/// Fills x1 to x17 behind a function.
fn filled(function: u64) -> CallRegisters {
    let mut registers = CallRegisters::ZERO;
    for (at, register) in registers.0.iter_mut().enumerate() {
        *register = 0x1111_2222_3333_0000 | at as u64;
    }
    registers.0[0] = function;
    registers
}

/// Asserts that a function is not there: x0 says so, and x4 to x17 are as they were.
#[track_caller]
fn not_supported(t: &Test, conduit: Conduit, function: u64) {
    let call = filled(function);
    let answer = make(t, conduit, &call);
    let wide = function >> 30 & 1 == 1;
    let mask = if wide { u64::MAX } else { 0xffff_ffff };
    t.check(answer.0[0] & mask == mask, format_args!("{function:#x}: x0 is {:#x}", answer.0[0]));
    let changed = (4..18).find(|at| answer.0[*at] != call.0[*at]);
    t.check(changed.is_none(), format_args!("{function:#x} changes x{}", changed.unwrap_or(0)));
}

fn version(t: &Test) {
    if psci::call(psci::function::FEATURES, [VERSION, 0, 0]) < 0 {
        return t.skip("the machine does not know SMCCC_VERSION");
    }
    let version = psci::call(VERSION, [0; 3]);
    t.check(
        (0x1_0001..0x2_0000).contains(&version),
        format_args!("version {version:#x} is not 1.1 or newer"),
    );
}

fn arch_features(t: &Test) {
    if psci::call(psci::function::FEATURES, [VERSION, 0, 0]) < 0 {
        return t.skip("the machine does not know SMCCC_VERSION");
    }
    t.check(psci::call(ARCH_FEATURES, [VERSION, 0, 0]) >= 0, format_args!("SMCCC_VERSION is not there"));
    t.same("what is not there", psci::call(ARCH_FEATURES, [0x8000_7fff + 0x1000_0000, 0, 0]), -1);
}

/// Lists functions of each owner that nobody has.
const UNKNOWN: [u64; 16] = [
    0x8000_7000,
    0xc000_7000,
    0x8100_0001,
    0xc100_0001,
    0x8200_0001,
    0xc200_0001,
    0x8300_0001,
    0xc300_0001,
    0x8400_00fe,
    0xc400_00fe,
    0x8500_0001,
    0x8600_fffe,
    0xb000_0001,
    0xb200_0001,
    0xbf00_0001,
    0xff00_ffff,
];

fn unknown(t: &Test, conduit: Conduit) {
    if !offers(conduit) {
        return t.skip("the machine does not take this conduit");
    }
    for function in UNKNOWN {
        not_supported(t, conduit, function);
    }
}

fn unknown_by_hvc(t: &Test) {
    unknown(t, Conduit::Hvc);
}

fn unknown_by_smc(t: &Test) {
    unknown(t, Conduit::Smc);
}

fn nonsense(t: &Test) {
    // Yielding calls, reserved bits, every bit.
    for function in [0, 1, 0x7fff_ffff, 0x0200_0001, 0x8001_0000, 0x84ff_0001, 0xffff_ffff] {
        not_supported(t, psci::conduit(), function);
    }
}

fn upper_half(t: &Test) {
    // The upper half of x0 is no part of the function's number.
    let (answer, _) = psci::call_by(psci::conduit(), 0x1234_5678_0000_0000 | psci::function::VERSION, [0; 3]);
    let lower = answer.0[0] & 0xffff_ffff;
    t.check(
        lower == psci::call(psci::function::VERSION, [0; 3]) as u64 || lower == 0xffff_ffff,
        format_args!("x0 is {:#x}", answer.0[0]),
    );
}

fn other_immediate(t: &Test) {
    // Whatever is made of HVC with an immediate, the CPU goes on.
    for _ in 0..10 {
        _ = catch(|| _ = provoke::hvc_with_immediate(0x8400_00ff));
    }
    t.check(psci::call(psci::function::VERSION, [0; 3]) > 0, format_args!("PSCI is gone"));
}

fn on_all_cpus(t: &Test) {
    cpus::on_all(|_| {
        for function in UNKNOWN {
            not_supported(t, psci::conduit(), function);
        }
    });
}
