//! Commands about notifications and indirect messages: a partition binds, signals, reads and sends as it is told to.
//!
//! Two endpoints are in one word as FF-A has them: the sender in bits 31:16, the receiver in bits 15:0. An answer has
//! 0 or an error code in x4: the SPMC's own.

use core::sync::atomic::{AtomicU64, Ordering};

use tantalum_ffa::notification::{BIND_PER_VCPU, PendingNotifications};
use tantalum_ffa::{Call, DirectMessage, MessageHeader, Uuid};
use tantalum_sdk::processor::{counter, interruptible};
use tantalum_sdk::{CallError, Delivery, MemoryError, Spmc};
use tantalum_types::EndpointId;

use crate::{code_of, low, result};

/// Command words, in x3 of a request. All of them take the 64-bit form.
pub mod command {
    /// Binds the notifications x6 of the receiver in x4 to the sender in x4, with the flags x5.
    pub const BIND: u64 = 0x5441_0200;
    /// Takes the notifications x6 of the receiver in x4 from the sender in x4.
    pub const UNBIND: u64 = 0x5441_0201;
    /// Signals the notifications x6 from the sender in x4 to the receiver in x4, with the flags x5.
    pub const SET: u64 = 0x5441_0202;
    /// Reads the notifications of the receiver in bits 15:0 of x4 and its execution context in bits 31:16, with the
    /// flags x5: x5 is what partitions have signalled, x6 what VMs have, x7 what the SPM has, and in bits 63:32 what
    /// the hypervisor has.
    pub const GET: u64 = 0x5441_0203;
    /// Lets interrupts come for a moment: x4 is how often the notification pending interrupt has come since the last
    /// time, x5 to x7 what was read then, as in the answer to GET.
    pub const NOTED: u64 = 0x5441_0204;
    /// Sends x5 bytes, made of the seed x6, as an indirect message from the sender in x4 to the receiver in x4. x7:
    /// bits 31:0 where they begin in the buffer, bits 63:32 the flags of the call.
    pub const SEND: u64 = 0x5441_0205;
    /// Reads the message in the RX buffer: x5 has the sender and receiver, and in bits 63:32 where it begins, x6 is
    /// its size, x7 its [`checksum`](super::checksum).
    pub const RECEIVE: u64 = 0x5441_0206;
    /// Releases the RX buffer.
    pub const RELEASE: u64 = 0x5441_0207;
    /// Tells the SPMC of the buffers if x4 is 1, and takes them back if it is 0.
    pub const BUFFERS: u64 = 0x5441_0208;
}

/// Says that the partition has no buffers: a result.
pub const NO_BUFFERS: u64 = 0x201;

/// Returns byte number `index` of a message that is made of `seed`.
pub const fn pattern(seed: u64, index: usize) -> u8 {
    (seed.wrapping_add(index as u64).wrapping_mul(0x9d) >> 3 & 0xff) as u8
}

/// Goes on with a checksum, zero at first, by the next byte.
pub const fn checksum(sum: u64, byte: u8) -> u64 {
    sum.wrapping_mul(31).wrapping_add(byte as u64)
}

/// Keeps what was signalled to a partition and not been asked for.
#[derive(Debug)]
pub struct Notifications {
    interrupts: AtomicU64,
    from_partitions: AtomicU64,
    from_vms: AtomicU64,
    from_framework: AtomicU64,
}

impl Notifications {
    pub(crate) const fn new() -> Self {
        Self {
            interrupts: AtomicU64::new(0),
            from_partitions: AtomicU64::new(0),
            from_vms: AtomicU64::new(0),
            from_framework: AtomicU64::new(0),
        }
    }

    /// Takes note of what the notification pending interrupt has brought.
    pub fn note(&self, pending: &PendingNotifications, _delivery: Delivery) {
        self.interrupts.fetch_add(1, Ordering::AcqRel);
        let [_, from_partitions, from_vms, from_framework] = words(pending);
        self.from_partitions.fetch_or(from_partitions, Ordering::AcqRel);
        self.from_vms.fetch_or(from_vms, Ordering::AcqRel);
        self.from_framework.fetch_or(from_framework, Ordering::AcqRel);
    }

    /// Answers `request` if it carries a command of this module.
    pub(crate) fn answer(
        &self,
        spmc: &Spmc<'_>,
        request: &DirectMessage,
    ) -> Option<Result<[u64; 5], CallError>> {
        let [word, x4, x5, x6, x7] = request.payload;
        let (sender, receiver) = endpoints(x4);
        let flags = low(x5);
        Some(match word {
            command::BIND if flags & !BIND_PER_VCPU == 0 => {
                code(spmc.bind_notifications(sender, receiver, flags & BIND_PER_VCPU != 0, x6))
            }
            command::BIND => {
                // Flags that nobody knows.
                code(spmc.call(&Call::NotificationBind { sender, receiver, flags, bitmap: x6 }).map(|_| ()))
            }
            command::UNBIND => code(spmc.unbind_notifications(sender, receiver, x6)),
            command::SET => code(spmc.set_notifications(sender, receiver, flags, x6)),
            // The word has the execution context where others have the sender.
            command::GET => match spmc.get_notifications(receiver, sender.raw(), flags) {
                Ok(pending) => {
                    let [code, from_partitions, from_vms, from_framework] = words(&pending);
                    Ok([result::OK, code, from_partitions, from_vms, from_framework])
                }
                Err(error) => code(Err(error)),
            },
            command::NOTED => Ok(self.noted()),
            command::SEND => message(send(spmc, sender, receiver, [x5, x6, x7]).map(|()| [0; 3])),
            command::RECEIVE => message(receive(spmc)),
            command::RELEASE => code(spmc.release_rx()),
            command::BUFFERS => message(buffers(spmc, x4 != 0).map(|()| [0; 3])),
            _ => return None,
        })
    }

    fn noted(&self) -> [u64; 5] {
        // Reading the counter takes long enough for what is pending to come first.
        interruptible(counter);
        let all = [&self.interrupts, &self.from_partitions, &self.from_vms, &self.from_framework];
        let [interrupts, from_partitions, from_vms, from_framework] =
            all.map(|word| word.swap(0, Ordering::AcqRel));
        [result::OK, interrupts, from_partitions, from_vms, from_framework]
    }
}

/// Reads sender and receiver.
fn endpoints(word: u64) -> (EndpointId, EndpointId) {
    let [r0, r1, s0, s1, ..] = word.to_le_bytes();
    (EndpointId::new(u16::from_le_bytes([s0, s1])), EndpointId::new(u16::from_le_bytes([r0, r1])))
}

/// Returns x4 to x7 of the answer about pending notifications.
fn words(pending: &PendingNotifications) -> [u64; 4] {
    let framework = u64::from(pending.from_hypervisor) << 32 | u64::from(pending.from_spm);
    [0, pending.from_partitions, pending.from_vms, framework]
}

fn code(done: Result<(), CallError>) -> Result<[u64; 5], CallError> {
    Ok([result::OK, code_of(done)?, 0, 0, 0])
}

fn message(done: Result<[u64; 3], MemoryError>) -> Result<[u64; 5], CallError> {
    match done {
        Ok([x5, x6, x7]) => Ok([result::OK, 0, x5, x6, x7]),
        Err(MemoryError::Call(error)) => code(Err(error)),
        Err(MemoryError::NoAccess | MemoryError::Descriptor(_)) => Ok([NO_BUFFERS, 0, 0, 0, 0]),
    }
}

fn send(
    spmc: &Spmc<'_>,
    sender: EndpointId,
    receiver: EndpointId,
    [size, seed, how]: [u64; 3],
) -> Result<(), MemoryError> {
    let header = MessageHeader { sender, receiver, offset: low(how), size: low(size), uuid: Uuid::nil() };
    spmc.send_message(&header, low(how >> 32), &mut |bytes| {
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = pattern(seed, index);
        }
    })
}

fn receive(spmc: &Spmc<'_>) -> Result<[u64; 3], MemoryError> {
    let mut sum = 0;
    let header = spmc.receive_message(&mut |bytes| {
        sum = bytes.iter().fold(0, |sum, byte| checksum(sum, *byte));
    })?;
    let ids = u64::from(header.sender.raw()) << 16 | u64::from(header.receiver.raw());
    Ok([u64::from(header.offset) << 32 | ids, header.size.into(), sum])
}

fn buffers(spmc: &Spmc<'_>, mapped: bool) -> Result<(), MemoryError> {
    let buffers = spmc.memory().ok_or(MemoryError::NoAccess)?.buffers().take(spmc)?;
    if !mapped {
        buffers.unmap(spmc)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use tantalum_ffa::{Status, Width, answer};
    use tantalum_sdk::{Conduit, Line};
    use tantalum_types::CallRegisters;

    const OWN: EndpointId = EndpointId::new(0x8001);
    const HOST: EndpointId = EndpointId::new(0);
    const PENDING: PendingNotifications =
        PendingNotifications { from_partitions: 1, from_vms: 2, from_spm: 3, from_hypervisor: 4 };

    /// Refuses notification 63, grants everything else, and keeps the last call.
    struct Spm(RefCell<Option<Call>>);

    impl Conduit for Spm {
        fn call(&self, registers: &CallRegisters) -> CallRegisters {
            let call = Call::decode(registers).unwrap();
            *self.0.borrow_mut() = Some(call);
            match call {
                Call::NotificationSet { bitmap, .. } if bitmap >> 63 != 0 => answer::error(Status::Denied),
                Call::NotificationGet { .. } => answer::success32(PENDING.encode()),
                _ => answer::success(),
            }
        }
    }

    fn ask(notifications: &Notifications, payload: [u64; 5]) -> ([u64; 5], Option<Call>) {
        let spm = Spm(RefCell::new(None));
        let request =
            DirectMessage { width: Width::Bits64, sender: HOST, receiver: OWN, framework: None, payload };
        let answer = notifications.answer(&Spmc::new(&spm), &request).unwrap().unwrap();
        (answer, spm.0.take())
    }

    #[test]
    fn commands_become_calls() {
        let notifications = Notifications::new();
        let ok = [result::OK, 0, 0, 0, 0];
        let (sender, receiver) = (EndpointId::new(0x8002), OWN);
        let bitmap = 1 << 40;
        for flags in [0, 1] {
            let call = Call::NotificationBind { sender, receiver, flags, bitmap };
            let asked = ask(&notifications, [command::BIND, 0x8002_8001, flags.into(), bitmap, 0]);
            assert_eq!(asked, (ok, Some(call)));
        }
        let call = Call::NotificationUnbind { sender, receiver, bitmap };
        assert_eq!(ask(&notifications, [command::UNBIND, 0x8002_8001, 0, bitmap, 0]), (ok, Some(call)));
        let call = Call::NotificationSet { sender: OWN, receiver: HOST, flags: 2, bitmap };
        assert_eq!(ask(&notifications, [command::SET, 0x8001_0000, 2, bitmap, 0]), (ok, Some(call)));
        let (answer, _) = ask(&notifications, [command::SET, 0x8001_0000, 2, 1 << 63, 0]);
        assert_eq!(answer, [result::OK, Status::Denied.to_raw().into(), 0, 0, 0]);
        let call = Call::NotificationGet { receiver: OWN, vcpu: 3, flags: 5 };
        let (answer, asked) = ask(&notifications, [command::GET, 0x0003_8001, 5, 0, 0]);
        assert_eq!((answer, asked), ([result::OK, 0, 1, 2, 4 << 32 | 3], Some(call)));
        let call = Call::RxRelease { endpoint: HOST };
        assert_eq!(ask(&notifications, [command::RELEASE, 0, 0, 0, 0]), (ok, Some(call)));
    }

    #[test]
    fn what_was_signalled_is_told_once() {
        let notifications = Notifications::new();
        notifications.note(&PENDING, Delivery::Exception(Line::Irq));
        let more = PendingNotifications { from_vms: 8, ..PendingNotifications::default() };
        notifications.note(&more, Delivery::Message);
        let (answer, _) = ask(&notifications, [command::NOTED, 0, 0, 0, 0]);
        assert_eq!(answer, [result::OK, 2, 1, 10, 4 << 32 | 3]);
        let (answer, _) = ask(&notifications, [command::NOTED, 0, 0, 0, 0]);
        assert_eq!(answer, [result::OK, 0, 0, 0, 0]);
    }

    #[test]
    fn without_buffers_the_answer_says_so() {
        for word in [command::SEND, command::RECEIVE, command::BUFFERS] {
            let (answer, call) = ask(&Notifications::new(), [word, 0x8001_8002, 4, 0, 24]);
            assert_eq!((answer[0], call), (NO_BUFFERS, None));
        }
    }

    #[test]
    fn the_scenarios_compute_the_same() {
        let bytes = [0, 1, 2, 255, 256].map(|index| pattern(0x0123_4567, index));
        assert_eq!(bytes, [0x05, 0x19, 0x2c, 0x91, 0xa5]);
        assert_eq!(bytes.iter().fold(0, |sum, byte| checksum(sum, *byte)), 5_409_324);
    }
}
