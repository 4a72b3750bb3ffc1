//! Compares registers with those of the `arm-ffa` crate, which others wrote from the same specification.

use arm_ffa::{Interface, Version};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use tantalum_ffa::{Call, Width, function as f};
use tantalum_types::CallRegisters;

use crate::strategies::{any_parameters, registers_of};

/// Lists the calls that we refuse for reserved bits that `arm-ffa` does not look at, or for a count of zero
/// characters.
const STRICTER: &[u32] = &[
    f::RX_RELEASE,
    f::RX_ACQUIRE,
    f::RXTX_MAP_32,
    f::RXTX_MAP_64,
    f::RXTX_UNMAP,
    f::MSG_WAIT,
    f::MSG_SEND2,
    f::DIRECT_REQ_32,
    f::DIRECT_REQ_64,
    f::DIRECT_RESP_32,
    f::DIRECT_RESP_64,
    f::DIRECT_RESP2,
    f::MEM_FRAG_RX,
    f::MEM_FRAG_TX,
    f::MEM_PERM_SET_32,
    f::MEM_PERM_SET_64,
    f::NOTIFICATION_BIND,
    f::NOTIFICATION_GET,
    f::CONSOLE_LOG_32,
    f::CONSOLE_LOG_64,
];

/// Lists the calls that we leave to the callee where `arm-ffa` refuses them.
const LOOSER: &[u32] = &[
    f::ERROR,                   // NOT_READY is missing there
    f::VERSION,                 // a callee answers NOT_SUPPORTED in x0, not with an error
    f::DIRECT_REQ_32,           // contents of framework messages
    f::DIRECT_REQ_64,           // the same, and framework messages that have a 32-bit form only
    f::DIRECT_RESP_32,          // the same
    f::DIRECT_RESP_64,          // the same
    f::NOTIFICATION_SET,        // an execution context given without the flag for it
    f::MEM_PERM_SET_32,         // the reserved value of data access
    f::MEM_PERM_SET_64,         // the same
    f::PARTITION_INFO_GET_REGS, // a tag at the start is answered with RETRY
];

fn reference(regs: &CallRegisters) -> Option<CallRegisters> {
    let call = Interface::from_regs(Version(1, 2), &regs.0).ok()?;
    let mut encoded = [0; 18];
    call.to_regs(Version(1, 2), &mut encoded);
    Some(CallRegisters(encoded))
}

/// Clears what `arm-ffa` does not carry, so that the rest can be compared. Returns `None` if nothing is left.
fn comparable(function: u32, mut parameters: [u64; 17]) -> Option<[u64; 17]> {
    if f::width(function) == Width::Bits32 {
        parameters = parameters.map(|register| register & 0xffff_ffff);
    }
    let [x1, x2, x3, x4, .., _] = &mut parameters;
    match function {
        // The kind of query is of FF-A 1.3.
        f::VERSION => *x2 = 0,
        // Takes what is no function for a feature, by its lowest eight bits.
        f::FEATURES if !f::ALL.iter().any(|id| u64::from(*id) == *x1) => *x1 &= 0xff,
        // Has no parameters.
        f::YIELD => (*x1, *x2, *x3) = (0, 0, 0),
        // Carries x8 to x17, as FF-A 1.3.
        f::DIRECT_REQ_64 | f::DIRECT_RESP_64 => parameters[7..].fill(0),
        f::MEM_DONATE_32 | f::MEM_LEND_32 | f::MEM_SHARE_32 | f::MEM_RETRIEVE_REQ_32
            if *x3 == 0 || *x4 == 0 =>
        {
            (*x3, *x4) = (0, 0);
        }
        // Without a buffer it knows no 64-bit form.
        f::MEM_DONATE_64 | f::MEM_LEND_64 | f::MEM_SHARE_64 | f::MEM_RETRIEVE_REQ_64 => {
            *x4 &= 0xffff_ffff;
            if *x3 == 0 || *x4 == 0 {
                return None;
            }
        }
        _ => {}
    }
    Some(parameters)
}

#[test]
fn registers_are_those_of_another_implementation() {
    let mut runner = TestRunner::deterministic();
    let any = any_parameters();
    for function in f::ALL.iter().copied().filter(|id| !matches!(*id, f::MSG_POLL | f::MSG_SEND)) {
        let mut agreed = 0;
        for _ in 0..500 {
            let parameters = any.new_tree(&mut runner).unwrap().current();
            let Some(parameters) = comparable(function, parameters) else { continue };
            let regs = registers_of(function.into(), parameters);
            let ours = Call::decode(&regs);
            match (ours, reference(&regs)) {
                (Ok(ours), Some(theirs)) => {
                    let encoded = ours.encode();
                    // Of a framework message, only some words mean something: compare which message it is.
                    let framework = matches!(
                        ours,
                        Call::DirectRequest(message) | Call::DirectResponse(message)
                            if message.framework.is_some()
                    );
                    let compared = if framework { 3 } else { 18 };
                    assert_eq!(encoded.0[..compared], theirs.0[..compared], "{regs:x?}");
                    agreed += 1;
                }
                (Err(_), None) => {}
                (Err(error), Some(_)) => assert!(STRICTER.contains(&function), "{error}: {regs:x?}"),
                (Ok(_), None) => assert!(LOOSER.contains(&function), "{regs:x?}"),
            }
        }
        assert!(agreed >= 3, "{function:#x}: only {agreed} calls could be compared");
    }
}
