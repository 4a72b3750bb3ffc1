//! What a partition does, and the loop that has it do so.

use core::error::Error;
use core::fmt;

use tantalum_ffa::notification::PendingNotifications;
use tantalum_ffa::{
    Call, DirectMessage, FrameworkMessage, Uuid, Version, Width, function as f, uuid_from_pair,
};
use tantalum_types::{CallRegisters, EndpointId};

use crate::interrupt::{Delivery, take};
use crate::spmc::{CallError, Spmc, acknowledge};

/// Holds what a partition is told when it begins.
#[derive(Clone, Copy, Debug)]
pub struct Boot<'a> {
    /// The partition's manifest, a flattened device tree; empty if there is none.
    pub manifest: &'a [u8],
}

/// Is a direct request to a service of the partition: the second form, which FF-A 1.2 brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServiceRequest {
    /// Who asks.
    pub sender: EndpointId,
    /// The partition.
    pub receiver: EndpointId,
    /// Which service, or nil if the sender does not say.
    pub uuid: Uuid,
    /// x4 to x17.
    pub payload: [u64; 14],
}

/// Is what a partition does.
///
/// One value serves all execution contexts, at the same time if there are several, so what it changes is
/// behind an atomic or a lock. Give it to [`partition!`](crate::partition).
pub trait Partition: Sync {
    /// Returns the version of FF-A that the partition speaks. The SDK tells it to the SPMC before anything else.
    fn version(&self) -> Version {
        Version::V1_1
    }

    /// Prepares the partition. Called once, on the first execution context, before anything else.
    ///
    /// # Errors
    /// A partition that cannot work says why; the SPMC goes on without it.
    fn start(&self, spmc: &Spmc<'_>, boot: &Boot<'_>) -> Result<(), CallError> {
        let _ = (spmc, boot);
        Ok(())
    }

    /// Takes note that an execution context other than the first begins: at boot, and again when its processing element
    /// was off. Called on it, before anything else.
    fn secondary(&self, spmc: &Spmc<'_>) {
        let _ = spmc;
    }

    /// Answers a direct request: returns x3 to x7 of the response.
    fn message(&self, spmc: &Spmc<'_>, request: &DirectMessage) -> [u64; 5];

    /// Answers a direct request to a service: returns x4 to x17 of the response. Needs FF-A 1.2, and a manifest that
    /// says that the partition receives such requests.
    fn service(&self, spmc: &Spmc<'_>, request: &ServiceRequest) -> [u64; 14] {
        let _ = (spmc, request);
        [0; 14]
    }

    /// Handles FFA_INTERRUPT, by asking the SPMC for what is pending itself, and returns whether it did. If not, the
    /// SDK goes on to [`Partition::interrupt`].
    fn interrupted(&self, spmc: &Spmc<'_>) -> bool {
        let _ = spmc;
        false
    }

    /// Handles an interrupt, and makes its source stop asking for it. `delivery` says how it came: as an exception it
    /// stopped whatever this execution context was at, which is then in nobody's hands.
    fn interrupt(&self, spmc: &Spmc<'_>, intid: u32, delivery: Delivery) {
        let _ = (spmc, intid, delivery);
    }

    /// Takes note of notifications, which have been read: they are pending no more. See
    /// [`Spmc::enable_notifications`].
    fn notified(&self, spmc: &Spmc<'_>, pending: &PendingNotifications, delivery: Delivery) {
        let _ = (spmc, pending, delivery);
    }

    /// Takes note that the normal world wants its processing element back: the answer to the request that is being
    /// worked on should come soon. See [`Spmc::enable_managed_exit`].
    fn managed_exit(&self, spmc: &Spmc<'_>, delivery: Delivery) {
        let _ = (spmc, delivery);
    }

    /// Answers a message of the framework: returns w3 to w7 of the response, zero meaning success.
    fn framework_message(
        &self,
        spmc: &Spmc<'_>,
        message: FrameworkMessage,
        request: &DirectMessage,
    ) -> [u64; 5] {
        let _ = (spmc, message, request);
        [0; 5]
    }
}

/// Says that an execution context was resumed with something that it cannot go on from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnexpectedEvent {
    /// What the call before it was.
    pub after: u64,
    /// w0 of what came.
    pub function: u64,
    /// w2 of what came: the error code of an FFA_ERROR.
    pub detail: u64,
}

impl fmt::Display for UnexpectedEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the call {:#010x} came back with {:#010x} ({:#x} in w2)",
            self.after, self.function, self.detail
        )
    }
}

impl Error for UnexpectedEvent {}

/// Handles what an execution context was resumed with and returns the call that ends its turn.
///
/// # Errors
/// Says so if it was resumed with something else than a request, an interrupt or time to run.
pub fn handle(
    partition: &dyn Partition,
    spmc: &Spmc<'_>,
    after: &CallRegisters,
    event: &CallRegisters,
) -> Result<CallRegisters, UnexpectedEvent> {
    match Call::decode(event) {
        Ok(Call::DirectRequest(request)) => match request.framework {
            None => {
                let answer = request.answer(partition.message(spmc, &request));
                return Ok(Call::DirectResponse(answer).encode());
            }
            Some(message) => {
                if let Some(response) = acknowledge(message) {
                    let payload = partition.framework_message(spmc, message, &request);
                    let answer = request.framework_answer(response, payload);
                    return Ok(Call::DirectResponse(answer).encode());
                }
            }
        },
        Ok(Call::DirectRequest2 { sender, receiver, uuid, payload }) => {
            let payload = partition.service(spmc, &ServiceRequest { sender, receiver, uuid, payload });
            return Ok(Call::DirectResponse2 { sender: receiver, receiver: sender, payload }.encode());
        }
        Ok(Call::Interrupt { .. }) => {
            if !partition.interrupted(spmc) {
                // The number in it is that of the first that is pending.
                take(partition, spmc, Delivery::Message);
            }
            return Ok(Spmc::waiting());
        }
        Ok(Call::Run { .. }) => return Ok(Spmc::waiting()),
        _ => {}
    }
    let [function, _, detail, ..] = event.0;
    let [after, ..] = after.0;
    Err(UnexpectedEvent { after, function, detail })
}

/// Waits for events and handles them, for ever.
///
/// # Errors
/// Says so at the first event that cannot be handled.
pub fn serve(
    partition: &dyn Partition,
    spmc: &Spmc<'_>,
) -> Result<core::convert::Infallible, UnexpectedEvent> {
    let mut registers = Spmc::waiting();
    loop {
        let [after, ..] = registers.0;
        spmc.exchange(&mut registers);
        if !answered(partition, spmc, &mut registers) {
            let after = CallRegisters::from_first_eight([after, 0, 0, 0, 0, 0, 0, 0]);
            registers = handle(partition, spmc, &after, &registers)?;
        }
    }
}

/// Puts the answer to a direct request, or to time to run, in its place, and says whether it was one. These come often, so
/// they are taken from the registers as they are.
#[inline(always)]
fn answered(partition: &dyn Partition, spmc: &Spmc<'_>, registers: &mut CallRegisters) -> bool {
    let [x0, x1, x2, payload @ ..] = registers.first_eight();
    let (function, response) = match low(x0) {
        f::DIRECT_REQ_32 => (f::DIRECT_REQ_32, f::DIRECT_RESP_32),
        f::DIRECT_REQ_64 => (f::DIRECT_REQ_64, f::DIRECT_RESP_64),
        f::RUN => {
            registers.set_first_eight([f::MSG_WAIT.into(), 0, 0, 0, 0, 0, 0, 0]);
            return true;
        }
        f::DIRECT_REQ2 => {
            serve_service(partition, spmc, registers);
            return true;
        }
        _ => return false,
    };
    if low(x2) != 0 {
        return false;
    }
    let width = f::width(function);
    let own = match width {
        Width::Bits32 => 0xffff_ffff,
        Width::Bits64 => u64::MAX,
    };
    let [b0, b1, b2, b3, ..] = x1.to_le_bytes();
    let request = DirectMessage {
        width,
        sender: EndpointId::new(u16::from_le_bytes([b2, b3])),
        receiver: EndpointId::new(u16::from_le_bytes([b0, b1])),
        framework: None,
        payload: payload.map(|word| word & own),
    };
    let [x3, x4, x5, x6, x7] = partition.message(spmc, &request).map(|word| word & own);
    let ends = u64::from(u32::from_le_bytes([b2, b3, b0, b1]));
    registers.set_first_eight([response.into(), ends, 0, x3, x4, x5, x6, x7]);
    true
}

/// Puts the answer to a request to a service in its place.
#[inline(always)]
fn serve_service(partition: &dyn Partition, spmc: &Spmc<'_>, registers: &mut CallRegisters) {
    let [x0, x1, x2, x3, payload @ ..] = &mut registers.0;
    let [b0, b1, b2, b3, ..] = x1.to_le_bytes();
    let request = ServiceRequest {
        sender: EndpointId::new(u16::from_le_bytes([b2, b3])),
        receiver: EndpointId::new(u16::from_le_bytes([b0, b1])),
        uuid: uuid_from_pair([*x2, *x3]),
        payload: *payload,
    };
    *payload = partition.service(spmc, &request);
    (*x0, *x1) = (f::DIRECT_RESP2.into(), u32::from_le_bytes([b2, b3, b0, b1]).into());
    (*x2, *x3) = (0, 0);
}

/// Returns the low half of a register.
const fn low(register: u64) -> u32 {
    (register & 0xffff_ffff) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::Fake;
    use std::sync::atomic::{AtomicU32, Ordering};
    use tantalum_ffa::{Status, Target, Width, answer};

    /// Answers with twice each word and remembers the last interrupt.
    #[derive(Default)]
    struct Doubler {
        interrupt: AtomicU32,
    }

    impl Partition for Doubler {
        fn message(&self, _spmc: &Spmc<'_>, request: &DirectMessage) -> [u64; 5] {
            request.payload.map(|word| word * 2)
        }

        fn service(&self, _spmc: &Spmc<'_>, request: &ServiceRequest) -> [u64; 14] {
            request.payload.map(|word| word * 2)
        }

        fn interrupt(&self, _spmc: &Spmc<'_>, intid: u32, delivery: Delivery) {
            assert_eq!(delivery, Delivery::Message);
            self.interrupt.store(intid, Ordering::Relaxed);
        }
    }

    fn request(framework: Option<FrameworkMessage>) -> DirectMessage {
        DirectMessage {
            width: Width::Bits32,
            sender: EndpointId::new(0),
            receiver: EndpointId::new(0x8001),
            framework,
            payload: [1, 2, 3, 4, 5],
        }
    }

    fn handled(event: &CallRegisters) -> Result<CallRegisters, UnexpectedEvent> {
        handle(&Doubler::default(), &Spmc::new(&Fake::new([])), &answer::msg_wait(), event)
    }

    #[test]
    fn a_service_answers_with_all_registers() {
        let (sender, receiver) = (EndpointId::new(0), EndpointId::new(0x8001));
        let payload = core::array::from_fn(|index| index as u64);
        let request = Call::DirectRequest2 { sender, receiver, uuid: Uuid::from_u128(7), payload };
        let payload = payload.map(|word| word * 2);
        let response = Call::DirectResponse2 { sender: receiver, receiver: sender, payload };
        assert_eq!(handled(&request.encode()), Ok(response.encode()));
    }

    #[test]
    fn the_straight_way_answers_as_the_other() {
        let doubler = Doubler::default();
        let target = Target { endpoint: EndpointId::new(0x8001), vcpu: 0 };
        let mut events = vec![Call::Run { target }.encode(), answer::interrupt(Target::NONE, 34)];
        for width in [Width::Bits32, Width::Bits64] {
            for framework in [None, Some(FrameworkMessage::PsciRequest)] {
                let message =
                    DirectMessage { width, payload: [1, u64::MAX / 2, 3, 1 << 40, 5], ..request(framework) };
                let plain = Call::DirectRequest(message).encode();
                // What does not belong to the message is not looked at.
                let mut padded = plain;
                padded.0[0] |= 1 << 32;
                padded.0[1] |= 1 << 32;
                padded.0[2] |= 1 << 32;
                events.extend([plain, padded]);
            }
        }
        let (sender, receiver) = (EndpointId::new(3), EndpointId::new(0x8001));
        let payload = core::array::from_fn(|index| index as u64 * 0x1_0000_0001);
        events.push(Call::DirectRequest2 { sender, receiver, uuid: Uuid::from_u128(7), payload }.encode());
        let mut answers = 0;
        for event in events {
            let mut registers = event;
            let fake = || Fake::new([]);
            if answered(&doubler, &Spmc::new(&fake()), &mut registers) {
                assert_eq!(handled(&event), Ok(registers));
                answers += 1;
            }
        }
        assert_eq!(answers, 6);
    }

    #[test]
    fn a_request_is_answered_to_its_sender_in_its_form() {
        let request = request(None);
        let response = request.answer([2, 4, 6, 8, 10]);
        assert_eq!(response.receiver, request.sender);
        assert_eq!(
            handled(&Call::DirectRequest(request).encode()),
            Ok(Call::DirectResponse(response).encode())
        );
    }

    #[test]
    fn framework_messages_are_acknowledged() {
        let pairs = [
            (FrameworkMessage::PsciRequest, FrameworkMessage::PmResponse),
            (FrameworkMessage::WarmBoot, FrameworkMessage::PmResponse),
            (FrameworkMessage::VmCreated, FrameworkMessage::VmCreatedResponse),
            (FrameworkMessage::VmDestroyed, FrameworkMessage::VmDestroyedResponse),
        ];
        for (message, response) in pairs {
            let request = request(Some(message));
            let expected = request.framework_answer(response, [0; 5]);
            assert_eq!(
                handled(&Call::DirectRequest(request).encode()),
                Ok(Call::DirectResponse(expected).encode())
            );
        }
        assert!(handled(&Call::DirectRequest(request(Some(FrameworkMessage::PmResponse))).encode()).is_err());
    }

    #[test]
    fn interrupts_are_handled_and_time_is_given_back() {
        let doubler = Doubler::default();
        // It is asked for, ended, and there is no other.
        let fake = Fake::new(
            [34, 0, 0xffff_ffff].map(|x0| CallRegisters::from_first_eight([x0, 0, 0, 0, 0, 0, 0, 0])),
        );
        let event = answer::interrupt(Target::NONE, 34);
        let call = handle(&doubler, &Spmc::new(&fake), &answer::msg_wait(), &event);
        assert_eq!(call, Ok(answer::msg_wait()));
        let made = fake.made_raw().map(|call| [call.0[0], call.0[1], call.0[2]]);
        assert_eq!(made.collect::<Vec<_>>(), [[0xff04, 0, 0], [0xff08, 34, 34], [0xff04, 0, 0]]);
        assert_eq!(doubler.interrupt.load(Ordering::Relaxed), 34);
        let target = Target { endpoint: EndpointId::new(0x8001), vcpu: 0 };
        assert_eq!(handled(&Call::Run { target }.encode()), Ok(answer::msg_wait()));
    }

    #[test]
    fn the_loop_stops_at_what_it_does_not_know() {
        let request = request(None);
        let fake = Fake::new([Call::DirectRequest(request).encode(), answer::error(Status::Denied)]);
        let Err(error) = serve(&Doubler::default(), &Spmc::new(&fake));
        assert_eq!(error, UnexpectedEvent { after: 0x8400_0070, function: 0x8400_0060, detail: 0xffff_fffa });
        let response = request.answer([2, 4, 6, 8, 10]);
        assert_eq!(fake.made(), [Call::MsgWait { retain_rx: false }, Call::DirectResponse(response)]);
    }
}
