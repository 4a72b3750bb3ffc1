//! Who is called: the partitions of the image, and the words of their protocol that the suite uses.
//!
//! The partitions' own crate has them too (`partitions/protocol`), but is built on the SDK for partitions, which is
//! not for the normal world.

use tantalum_ffa::function::{ERROR, SUCCESS_32};
use tantalum_ffa::{Call, DirectMessage, PartitionInfo, PartitionProperties, Status, Uuid, Width};
use tantalum_types::{CallRegisters, EndpointId};

use crate::mailbox::Mailbox;
use crate::test::{Answer, Test};

/// Is the hypervisor of the normal world: this suite.
pub(crate) const SELF: EndpointId = EndpointId::HYPERVISOR;
/// Is the multi-processor partition "echo".
pub(crate) const ECHO: EndpointId = EndpointId::new(0x8001);
/// Is the uniprocessor partition "irq".
pub(crate) const IRQ: EndpointId = EndpointId::new(0x8002);
/// Is the multi-processor partition "relay".
pub(crate) const RELAY: EndpointId = EndpointId::new(0x8003);
/// Lists the partitions in the order of their ids, with the number of their execution contexts.
pub(crate) const PARTITIONS: [(EndpointId, u16, Uuid); 3] = [
    (ECHO, 8, Uuid::from_u128(0xfef7_ffd1_e415_4628_a04e_49bd_74da_1a8e)),
    (IRQ, 1, Uuid::from_u128(0x8ec9_5f81_41cf_416a_9647_aeb3_fd7a_2d90)),
    (RELAY, 8, Uuid::from_u128(0xaf4f_2a92_f302_4f7f_93fc_28f3_4f17_a66f)),
];
/// Is an id that no partition has.
pub(crate) const NOBODY: EndpointId = EndpointId::new(0x8007);
/// Is a UUID that nobody offers.
pub(crate) const UNKNOWN_UUID: Uuid = Uuid::from_u128(0x0bad_0bad_0bad_4bad_8bad_0bad_0bad_0bad);

/// Command words, in x3 of a request; the answer has a result in x3, 0 if all is well.
pub(crate) mod command {
    /// Asks who the partition is: x4 its own id, x5 the SPMC's id, x6 the SPMC's version, x7 MPIDR_EL1.
    pub(crate) const IDENTITY: u64 = 0x5441_0001;
    /// Stores x4: x4 is what was stored before, x5 the number of stores so far.
    pub(crate) const EXCHANGE: u64 = 0x5441_0002;
    /// Passes the message on to the partitions named in x4, 16 bits each, the next one lowest: x5 is a value that
    /// comes back as one more, x6 counts hops, x7 collects the ids of those that were passed.
    pub(crate) const RELAY: u64 = 0x5441_0003;
    /// Makes the call with w0 to w3 in x4 to x7: x4 to x7 are x0 to x3 of what comes back.
    pub(crate) const RAW: u64 = 0x5441_0005;
    /// Retrieves the memory x4. x5: bits 15:0 the sender, bits 31:16 the attributes; x6 the flags; x7 the
    /// permissions. x4 is 0 or the error code.
    pub(crate) const RETRIEVE: u64 = 0x5441_0100;
    /// Gives the memory x4 back, with the flags x5: x4 is 0 or the error code.
    pub(crate) const RELINQUISH: u64 = 0x5441_0101;
    /// Reads the word at byte x5 of the memory x4: x5.
    pub(crate) const READ: u64 = 0x5441_0102;
    /// Writes x6 as the word at byte x5 of the memory x4.
    pub(crate) const WRITE: u64 = 0x5441_0103;
    /// Lets interrupts come: x4 is how often the notification pending interrupt has come since the last time, x5 what
    /// partitions have signalled then, x6 what VMs have, x7 what the SPM has.
    pub(crate) const NOTED: u64 = 0x5441_0204;
    /// Sends x5 bytes, made of the seed x6, as an indirect message from and to the endpoints in x4. x7: bits 31:0
    /// where they begin in the buffer, bits 63:32 the flags. x4 is 0 or the error code.
    pub(crate) const SEND: u64 = 0x5441_0205;
    /// Reads the message in the RX buffer: x5 has the sender and receiver, and in bits 63:32 where it begins, x6 its
    /// size, x7 its checksum.
    pub(crate) const RECEIVE: u64 = 0x5441_0206;
    /// Releases the RX buffer.
    pub(crate) const RELEASE: u64 = 0x5441_0207;
    /// Maps the buffers if x4 is 1, and unmaps them if it is 0.
    pub(crate) const BUFFERS: u64 = 0x5441_0208;
    /// Holds a pattern, made of the seed x5, in all registers for x4 ticks: x4 is how many have changed, x6 how many
    /// managed exits and x7 how many interrupts came meanwhile.
    pub(crate) const HOLD: u64 = 0x5441_0300;
    /// Arms the partition's timer to go off in x4 ticks by IRQ.
    pub(crate) const ARM_TIMER: u64 = 0x5441_0301;
    /// Asks how often the interrupt x4 came: x4, of which x5 as IRQ, x6 as FIQ, x7 by FFA_INTERRUPT.
    pub(crate) const COUNTS: u64 = 0x5441_0302;
    /// Asks how often a managed exit was asked for, as COUNTS.
    pub(crate) const EXITS: u64 = 0x5441_0303;
    /// Lets the alarm of "irq" go off in x4 seconds.
    pub(crate) const ARM_ALARM: u64 = 0x5441_0305;
    /// Sets the keys of pointer authentication by the seed x4: x4 is how many of their ten registers held what the seed x5
    /// makes, x5 how many what the seed x6 makes, x6 the first of them.
    pub(crate) const KEYS: u64 = 0x5441_0309;
    /// Fails in the way x4, without an answer.
    pub(crate) const FAIL: u64 = 0x5441_0400;
    /// Marks the present life with x4: x4 is how many such commands it has seen, x5 the mark before.
    pub(crate) const LIFE: u64 = 0x5441_0403;
    /// Sends the words x5 to x7 to the partition x4: x4 is 0 or the error code.
    pub(crate) const FORWARD: u64 = 0x5441_0404;
    /// Answers further messages about VMs with the status x4: x4 is how many said that one was created, x5 that one was
    /// destroyed, x6 the id in the last one, x7 its memory handle.
    pub(crate) const VMS: u64 = 0x5441_0405;
}

/// Results, in x3 of an answer.
pub(crate) mod result {
    /// The command was carried out.
    pub(crate) const OK: u64 = 0;
    /// The next hop of a RELAY answered with the error code in x4.
    pub(crate) const REFUSED: u64 = 2;
}

/// Is the mark of a life that nobody has marked.
pub(crate) const FIRST_MARK: u64 = 0x5441_4652_4553_4821;

/// Returns byte number `index` of an indirect message that is made of `seed`.
pub(crate) const fn pattern(seed: u64, index: usize) -> u8 {
    (seed.wrapping_add(index as u64).wrapping_mul(0x9d) >> 3 & 0xff) as u8
}

/// Returns the checksum of the first `size` bytes of such a message.
pub(crate) fn checksum(seed: u64, size: usize) -> u64 {
    (0..size).fold(0, |sum: u64, index| sum.wrapping_mul(31).wrapping_add(pattern(seed, index).into()))
}

/// Is the interrupt of a partition's own timer.
pub(crate) const TIMER_INTERRUPT: u32 = 3;
/// Is the interrupt of the alarm that "irq" owns.
pub(crate) const ALARM_INTERRUPT: u32 = 34;

/// Builds a direct request of this suite in the 64-bit form.
pub(crate) fn request(receiver: EndpointId, payload: [u64; 5]) -> DirectMessage {
    DirectMessage { width: Width::Bits64, sender: SELF, receiver, framework: None, payload }
}

impl Test {
    /// Sends a direct request that must be answered, resumes the receiver when it is interrupted, and returns x3
    /// to x7 of the answer.
    #[track_caller]
    pub(crate) fn ask(&self, message: &DirectMessage) -> [u64; 5] {
        let mut answer = self.call(&Call::DirectRequest(*message));
        while let Ok(Call::Interrupt { target, .. }) = Call::decode(&answer) {
            answer = self.call(&Call::Run { target });
        }
        self.is_response(message, &answer)
    }

    /// Lets a partition carry out a command, and returns x4 to x7 of the answer.
    #[track_caller]
    pub(crate) fn tells(&self, partition: EndpointId, command: u64, arguments: [u64; 4]) -> [u64; 4] {
        let [x4, x5, x6, x7] = arguments;
        let [result, answer @ ..] = self.ask(&request(partition, [command, x4, x5, x6, x7]));
        self.equal("result of the partition", result, result::OK);
        answer
    }

    /// Lets a partition make a call with w0 to w3, and returns w0 to w3 of what comes back to it.
    #[track_caller]
    pub(crate) fn lets(&self, partition: EndpointId, call: [u32; 4]) -> [u32; 4] {
        let [w0, w1, w2, w3] = call.map(u64::from);
        let [result, answer @ ..] = self.ask(&request(partition, [command::RAW, w0, w1, w2, w3]));
        self.equal("result of the partition", result, 0);
        answer.map(|register| register as u32)
    }

    /// Lets a partition make a call that must succeed.
    #[track_caller]
    pub(crate) fn lets_succeed(&self, partition: EndpointId, call: [u32; 4]) {
        let [w0, _, w2, _] = self.lets(partition, call);
        self.check(w0 == SUCCESS_32, format_args!("{partition} makes {call:x?}: got {w0:#x}, {w2:#x}"));
    }

    /// Lets a partition make a call that must fail with `status`.
    #[track_caller]
    pub(crate) fn lets_fail(&self, partition: EndpointId, call: [u32; 4], status: Status) {
        let [w0, _, w2, _] = self.lets(partition, call);
        self.check(
            (w0, w2) == (ERROR, status.to_raw()),
            format_args!("{partition} makes {call:x?}: expected {status}, got {w0:#x}, {w2:#x}"),
        );
    }

    /// Returns the properties of a partition.
    #[track_caller]
    pub(crate) fn properties(&self, partition: EndpointId) -> PartitionProperties {
        self.properties_in(&Mailbox::new(self), partition)
    }

    /// Returns the properties of a partition, by buffers that are mapped.
    #[track_caller]
    pub(crate) fn properties_in(&self, mailbox: &Mailbox<'_>, partition: EndpointId) -> PartitionProperties {
        self.succeeds(&Call::PartitionInfoGet { uuid: Uuid::nil(), count_only: false });
        let size = PartitionInfo::record_size(self.version());
        let records = (0..PARTITIONS.len()).filter_map(|index| {
            let mut bytes = [0; PartitionInfo::SIZE];
            mailbox.rx.read(index * size, &mut bytes[..size]);
            PartitionInfo::decode(&bytes[..size])
        });
        let found = records.into_iter().find(|record| record.id == partition);
        mailbox.release();
        found.map(|record| record.properties).unwrap_or_default()
    }

    /// Asserts that an answer is the response to `message`, and returns x3 to x7.
    #[track_caller]
    pub(crate) fn is_response(&self, message: &DirectMessage, answer: &CallRegisters) -> [u64; 5] {
        match Call::decode(answer) {
            Ok(Call::DirectResponse(response)) => {
                self.check(
                    response == message.answer(response.payload),
                    format_args!("expected a response to {message:x?}, got {response:x?}"),
                );
                self.nothing_behind(answer, 8);
                response.payload
            }
            _ => {
                self.check(false, format_args!("expected a response, got {}", Answer(answer)));
                [u64::MAX; 5]
            }
        }
    }

    /// Asserts that a partition answers, with all of what it is sent.
    #[track_caller]
    pub(crate) fn echoes(&self, receiver: EndpointId) {
        let payload = [0x1111_2222_3333_4444, u64::MAX, 0, 0x8000_0000_0000_0000, receiver.raw().into()];
        let answer = self.ask(&request(receiver, payload));
        self.check(answer == payload, format_args!("{receiver}: expected {payload:x?}, got {answer:x?}"));
    }
}
