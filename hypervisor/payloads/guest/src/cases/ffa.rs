//! FF-A, which is there if a firmware with an SPMC is, and else NOT_SUPPORTED (DEN0077, section 13.1).

use tantalum_payload::call::{self, Conduit};
use tantalum_types::CallRegisters;

use super::smccc::offers;
use crate::machine::{cpus, psci};
use crate::test::{Case, Test, cases};

pub(crate) const CASES: &[Case] = cases![ffa: absent, absent_everywhere, version, identity, features];

const VERSION: u64 = 0x8400_0063;
const FEATURES: u64 = 0x8400_0064;
const ID_GET: u64 = 0x8400_0069;
const SPM_ID_GET: u64 = 0x8400_0085;
const ERROR: u64 = 0x8400_0060;
const SUCCESS: u64 = 0x8400_0061;
const NOT_SUPPORTED: u64 = 0xffff_ffff;

/// FF-A is by SMC; where nobody takes that, HVC is asked.
fn conduit() -> Conduit {
    if offers(Conduit::Smc) { Conduit::Smc } else { psci::conduit() }
}

fn ask(function: u64, parameters: [u64; 3]) -> CallRegisters {
    psci::call_by(conduit(), function, parameters).0
}

/// Tells whether FF-A is there.
fn is_there() -> bool {
    ask(VERSION, [0x1_0001, 0, 0]).0[0] & NOT_SUPPORTED != NOT_SUPPORTED
}

/// Asserts that every function of FF-A is not there.
fn nothing(t: &Test) {
    for function in
        (0x8400_0060..=0x8400_0090).chain([0xc400_0066, 0xc400_006f, 0xc400_0071, 0xc400_0073, 0xc400_008d])
    {
        let (answer, leak) =
            call::call(conduit(), &CallRegisters::from_first_eight([function, 0, 0, 0, 0, 0, 0, 0]));
        let lower = |at: usize| answer.0[at] & 0xffff_ffff;
        let refused = lower(0) == NOT_SUPPORTED || lower(0) == ERROR && lower(2) == NOT_SUPPORTED;
        t.check(refused, format_args!("{function:#x}: {:x?}", answer.first_eight()));
        t.check(leak.is_none(), format_args!("{function:#x}: {leak:x?}"));
    }
}

fn absent(t: &Test) {
    if is_there() {
        return t.skip("there is an SPMC");
    }
    nothing(t);
}

fn absent_everywhere(t: &Test) {
    if is_there() {
        return t.skip("there is an SPMC");
    }
    cpus::on_all(|_| nothing(t));
}

fn version(t: &Test) {
    if !is_there() {
        return t.skip("there is no SPMC");
    }
    let version = ask(VERSION, [0x1_0001, 0, 0]).0[0];
    t.check((0x1_0000..0x2_0000).contains(&version), format_args!("version {version:#x}"));
    t.equal("another major", ask(VERSION, [0x7_0000, 0, 0]).0[0] & NOT_SUPPORTED, NOT_SUPPORTED);
}

fn identity(t: &Test) {
    if !is_there() {
        return t.skip("there is no SPMC");
    }
    let answer = ask(ID_GET, [0; 3]);
    t.equal("FFA_ID_GET", answer.0[0] & 0xffff_ffff, SUCCESS);
    let own = answer.0[2] & 0xffff;
    t.check(own != 0 && own & 0x8000 == 0, format_args!("a VM is not {own:#x}"));
    cpus::on_all(|_| t.equal("FFA_ID_GET", ask(ID_GET, [0; 3]).0[2] & 0xffff, own));
    let answer = ask(SPM_ID_GET, [0; 3]);
    t.equal("FFA_SPM_ID_GET", answer.0[0] & 0xffff_ffff, SUCCESS);
    t.check(answer.0[2] & 0x8000 != 0, format_args!("the SPMC is not {:#x}", answer.0[2]));
}

fn features(t: &Test) {
    if !is_there() {
        return t.skip("there is no SPMC");
    }
    for function in [VERSION, FEATURES, ID_GET] {
        t.equal("FFA_FEATURES", ask(FEATURES, [function, 0, 0]).0[0] & 0xffff_ffff, SUCCESS);
    }
    let answer = ask(FEATURES, [0x8400_00ff, 0, 0]);
    t.equal("what there is not", answer.0[0] & 0xffff_ffff, ERROR);
    t.equal("its code", answer.0[2] & 0xffff_ffff, NOT_SUPPORTED);
}
