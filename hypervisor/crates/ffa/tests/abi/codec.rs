//! Properties that hold for every call and for all registers.

use crate::strategies::{any_registers, wide_or_narrow};
use proptest::collection::vec;
use proptest::prelude::*;
use tantalum_ffa::{
    Call, ConsoleText, DecodeError, DirectMessage, FrameworkMessage, MemoryTransaction, Status, Target, Uuid,
    Width, function,
};
use tantalum_types::{CallRegisters, EndpointId};

fn endpoint() -> impl Strategy<Value = EndpointId> {
    any::<u16>().prop_map(EndpointId::new)
}

fn target() -> impl Strategy<Value = Target> {
    (endpoint(), any::<u16>()).prop_map(|(endpoint, vcpu)| Target { endpoint, vcpu })
}

fn uuid() -> impl Strategy<Value = Uuid> {
    any::<[u8; 16]>().prop_map(Uuid::from_bytes)
}

/// Yields a width with values that fit into it.
fn sized<const N: usize>() -> impl Strategy<Value = (Width, [u64; N])> {
    (any::<bool>(), any::<[u64; N]>()).prop_map(|(wide, values)| wide_or_narrow(wide, values))
}

fn direct_message() -> impl Strategy<Value = DirectMessage> {
    let framework = proptest::option::of(proptest::sample::select(FrameworkMessage::ALL.as_slice()));
    (sized(), endpoint(), endpoint(), framework).prop_map(
        |((width, payload), sender, receiver, framework)| DirectMessage {
            width,
            sender,
            receiver,
            framework,
            payload,
        },
    )
}

fn transaction() -> impl Strategy<Value = MemoryTransaction> {
    (sized(), any::<[u32; 3]>()).prop_map(
        |((width, [address]), [total_length, fragment_length, page_count])| MemoryTransaction {
            width,
            total_length,
            fragment_length,
            address,
            page_count,
        },
    )
}

fn console_text() -> impl Strategy<Value = ConsoleText> {
    (any::<bool>(), vec(any::<u8>(), 1..200)).prop_map(|(wide, text)| {
        let (width, []) = wide_or_narrow(wide, []);
        ConsoleText::take(width, &text).unwrap().0
    })
}

fn any_message_call() -> impl Strategy<Value = Call> {
    prop_oneof![
        (target(), proptest::sample::select(Status::ALL.as_slice()), any::<u32>())
            .prop_map(|(target, status, argument)| Call::Error { target, status, argument }),
        (target(), any::<[u32; 6]>()).prop_map(|(target, results)| Call::Success32 { target, results }),
        (target(), any::<[u64; 16]>()).prop_map(|(target, results)| Call::Success64 { target, results }),
        (target(), any::<u32>()).prop_map(|(target, intid)| Call::Interrupt { target, intid }),
        any::<u32>().prop_map(|requested| Call::Version { requested }),
        any::<(u32, u32)>().prop_map(|(id, input)| Call::Features { id, input }),
        Just(Call::IdGet),
        Just(Call::SpmIdGet),
        (sized(), 0..64_u32).prop_map(|((width, [tx, rx]), page_count)| Call::RxtxMap {
            width,
            tx,
            rx,
            page_count
        }),
        endpoint().prop_map(|endpoint| Call::RxtxUnmap { endpoint }),
        endpoint().prop_map(|endpoint| Call::RxRelease { endpoint }),
        endpoint().prop_map(|endpoint| Call::RxAcquire { endpoint }),
        (uuid(), any::<bool>()).prop_map(|(uuid, count_only)| Call::PartitionInfoGet { uuid, count_only }),
        (uuid(), any::<u16>(), any::<u16>())
            .prop_map(|(uuid, start_index, tag)| Call::PartitionInfoGetRegs { uuid, start_index, tag }),
        direct_message().prop_map(Call::DirectRequest),
        direct_message().prop_map(Call::DirectResponse),
        (endpoint(), endpoint(), uuid(), any::<[u64; 14]>()).prop_map(|(sender, receiver, uuid, payload)| {
            Call::DirectRequest2 { sender, receiver, uuid, payload }
        }),
        (endpoint(), endpoint(), any::<[u64; 14]>())
            .prop_map(|(sender, receiver, payload)| { Call::DirectResponse2 { sender, receiver, payload } }),
        (endpoint(), any::<bool>())
            .prop_map(|(sender, delay)| Call::MsgSend2 { sender, flags: u32::from(delay) << 1 }),
        prop_oneof![Just(Call::MsgWait { retain_rx: true }), Just(Call::MsgWait { retain_rx: false })],
        (target(), any::<u64>()).prop_map(|(target, timeout)| Call::Yield { target, timeout }),
        target().prop_map(|target| Call::Run { target }),
        Just(Call::NormalWorldResume),
        Just(Call::El3InterruptHandle),
        sized().prop_map(|(width, [entry])| Call::SecondaryEpRegister { width, entry }),
        console_text().prop_map(Call::ConsoleLog),
    ]
}

fn any_notification_call() -> impl Strategy<Value = Call> {
    (endpoint(), endpoint(), any::<u32>(), any::<u64>(), any::<bool>()).prop_flat_map(
        |(sender, receiver, word, bitmap, wide)| {
            prop_oneof![
                Just(Call::NotificationBitmapCreate { endpoint: receiver, vcpu_count: word }),
                Just(Call::NotificationBitmapDestroy { endpoint: receiver }),
                Just(Call::NotificationBind { sender, receiver, flags: word & 1, bitmap }),
                Just(Call::NotificationUnbind { sender, receiver, bitmap }),
                Just(Call::NotificationSet { sender, receiver, flags: word & 0xffff_0003, bitmap }),
                Just(Call::NotificationGet { receiver, vcpu: sender.raw(), flags: word & 0xf }),
                Just(Call::NotificationInfoGet { width: wide_or_narrow(wide, []).0 }),
            ]
        },
    )
}

fn any_memory_call() -> impl Strategy<Value = Call> {
    let words = (any::<u64>(), any::<u32>(), any::<u32>(), endpoint(), sized());
    prop_oneof![
        transaction().prop_map(Call::MemDonate),
        transaction().prop_map(Call::MemLend),
        transaction().prop_map(Call::MemShare),
        transaction().prop_map(Call::MemRetrieveRequest),
        words.prop_flat_map(|(handle, word, other, endpoint, (width, [address]))| prop_oneof![
            Just(Call::MemRetrieveResponse { total_length: word, fragment_length: other }),
            Just(Call::MemRelinquish),
            Just(Call::MemReclaim { handle, flags: word & 3 }),
            Just(Call::MemOpPause { handle }),
            Just(Call::MemOpResume { handle }),
            Just(Call::MemFragRx { handle, offset: word, endpoint }),
            Just(Call::MemFragTx { handle, length: word, endpoint }),
            Just(Call::MemPermGet { width, address }),
            Just(Call::MemPermSet { width, address, page_count: word, permissions: other & 7 }),
        ]),
    ]
}

fn any_call() -> impl Strategy<Value = Call> {
    prop_oneof![3 => any_message_call(), 1 => any_notification_call(), 2 => any_memory_call()]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn a_call_survives_its_registers(call in any_call()) {
        prop_assert_eq!(Call::decode(&call.encode()), Ok(call));
    }

    #[test]
    fn a_call_has_the_registers_of_its_form(call in any_call()) {
        let regs = call.encode().0;
        let function = u32::try_from(regs[0]).unwrap();
        prop_assert!(function::ALL.contains(&function));
        if function::width(function) == Width::Bits32 {
            for register in regs {
                prop_assert!(u32::try_from(register).is_ok());
            }
            prop_assert_eq!(&regs[8..], &[0; 10]);
        }
    }

    #[test]
    fn any_registers_decode_to_a_call_or_an_error(regs in any_registers()) {
        match Call::decode(&regs) {
            Ok(call) => {
                let canonical = call.encode();
                prop_assert_eq!(canonical.0[0], regs.0[0] & 0xffff_ffff);
                prop_assert_eq!(Call::decode(&canonical), Ok(call));
            }
            Err(DecodeError::UnknownFunction(function)) => {
                prop_assert_eq!(u64::from(function), regs.0[0] & 0xffff_ffff);
            }
            Err(error) => prop_assert_eq!(error.status(), Status::InvalidParameters),
        }
    }

    #[test]
    fn high_halves_do_not_matter_in_32_bit_calls(regs in any_registers(), high: [u32; 18]) {
        if function::width(u32::try_from(regs.0[0] & 0xffff_ffff).unwrap()) == Width::Bits32 {
            let mut other = regs;
            for (register, high) in other.0.iter_mut().zip(high) {
                *register = *register & 0xffff_ffff | u64::from(high) << 32;
            }
            prop_assert_eq!(Call::decode(&other), Call::decode(&regs));
        }
    }

    #[test]
    fn text_is_cut_into_calls_and_put_together_again(text: Vec<u8>, wide: bool) {
        let (width, []) = wide_or_narrow(wide, []);
        let mut rest = text.as_slice();
        let mut received = Vec::new();
        while let Some((call, after)) = ConsoleText::take(width, rest) {
            let Ok(Call::ConsoleLog(call)) = Call::decode(&Call::ConsoleLog(call).encode()) else {
                return Err(TestCaseError::fail("is no CONSOLE_LOG"));
            };
            let full = if wide { 128 } else { 24 };
            prop_assert!(after.is_empty() || call.count() == full);
            received.extend(call.characters());
            rest = after;
        }
        prop_assert_eq!(received, text);
    }
}

#[test]
fn every_function_but_the_removed_ones_is_known() {
    for id in function::ALL {
        let mut regs = CallRegisters::ZERO;
        regs.0[0] = (*id).into();
        regs.0[1] = if *id & 0xffff == 0x8a { 1 } else { 0 }; // CONSOLE_LOG of nothing is refused
        regs.0[2] = if *id == function::ERROR { 0xffff_fffe } else { 0 }; // success is no error
        match Call::decode(&regs) {
            Ok(call) => assert_eq!(call.encode(), regs, "{id:#x}"),
            Err(error) => {
                assert_eq!(error, DecodeError::UnknownFunction(*id));
                assert!(matches!(*id, function::MSG_POLL | function::MSG_SEND), "{id:#x}");
            }
        }
    }
}

#[test]
fn what_must_be_zero_is_checked() {
    // Function, register, a value that it may have, a value that it may not have.
    let cases: &[(u32, usize, u64, u64)] = &[
        (function::DIRECT_REQ_32, 2, 0, 1),
        (function::DIRECT_REQ_64, 2, 0x8000_0000, 0x8000_0003),
        (function::DIRECT_REQ_32, 2, 0x8000_0008, 0x8000_0100),
        (function::DIRECT_RESP_64, 2, 0x8000_0009, 0x4000_0000),
        (function::DIRECT_RESP2, 2, 0, 1),
        (function::DIRECT_RESP2, 3, 0, 1 << 63),
        (function::RXTX_MAP_64, 3, 63, 64),
        (function::RXTX_UNMAP, 1, 0x1_0000, 1),
        (function::RX_RELEASE, 1, 1, 0x1_0000),
        (function::PARTITION_INFO_GET, 5, 1, 2),
        (function::MSG_WAIT, 2, 1, 2),
        (function::MSG_WAIT, 1, 0, 1),
        (function::MSG_WAIT, 7, 0, 1),
        (function::MSG_SEND2, 2, 2, 1),
        (function::CONSOLE_LOG_32, 1, 24, 25),
        (function::CONSOLE_LOG_64, 1, 128, 129),
        (function::CONSOLE_LOG_64, 1, 1, 0),
        (function::CONSOLE_LOG_64, 1, 1, 0x101),
        (function::NOTIFICATION_GET, 2, 15, 16),
        (function::NOTIFICATION_SET, 2, 0xffff_0003, 4),
        (function::NOTIFICATION_BIND, 2, 1, 2),
        (function::MEM_RECLAIM, 3, 3, 4),
        (function::ERROR, 2, 0xffff_ffff, 0),
        (function::ERROR, 2, 0xffff_fff6, 0xffff_fff5),
    ];
    for (id, register, good, bad) in cases {
        let mut regs = CallRegisters::ZERO;
        regs.0[0] = (*id).into();
        regs.0[*register] = *good;
        assert!(Call::decode(&regs).is_ok(), "{id:#x} x{register}={good:#x}");
        regs.0[*register] = *bad;
        assert_eq!(
            Call::decode(&regs).map_err(DecodeError::status),
            Err(Status::InvalidParameters),
            "{id:#x} x{register}={bad:#x}"
        );
    }
}

#[test]
fn a_direct_request_is_laid_out_as_specified() {
    let message = DirectMessage {
        width: Width::Bits64,
        sender: EndpointId::new(0),
        receiver: EndpointId::new(0x8001),
        framework: None,
        payload: [u64::MAX, 2, 3, 4, 5],
    };
    let regs = [0xc400_006f, 0x8001, 0, u64::MAX, 2, 3, 4, 5];
    assert_eq!(Call::DirectRequest(message).encode(), CallRegisters::from_first_eight(regs));
    let answer = [0xc400_0070, 0x8001_0000, 0, 9, 8, 7, 6, 5];
    assert_eq!(
        Call::DirectResponse(message.answer([9, 8, 7, 6, 5])).encode(),
        CallRegisters::from_first_eight(answer)
    );
}
