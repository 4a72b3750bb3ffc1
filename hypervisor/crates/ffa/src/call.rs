//! Calls, and the registers that carry them.

use core::error::Error;
use core::fmt;

use tantalum_types::{CallRegisters, EndpointId};
use uuid::Uuid;

use crate::function as f;
use crate::uuids::{uuid_from_pair, uuid_from_words, uuid_to_pair, uuid_to_words};
use crate::{DirectMessage, FrameworkMessage, Status, Width};

/// Names an execution context of an endpoint (FF-A 1.2, section 12.1.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// The endpoint.
    pub endpoint: EndpointId,
    /// The number of the execution context within the endpoint.
    pub vcpu: u16,
}

impl Target {
    /// Stands where no execution context is meant: all bits are zero.
    pub const NONE: Self = Self { endpoint: EndpointId::new(0), vcpu: 0 };

    const fn from_raw(raw: u32) -> Self {
        let (endpoint, vcpu) = halves(raw);
        Self { endpoint: EndpointId::new(endpoint), vcpu }
    }

    const fn to_raw(self) -> u64 {
        joined(self.endpoint.raw(), self.vcpu)
    }
}

/// Carries characters for the log (FF-A 1.2, section 13.11).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConsoleText {
    width: Width,
    count: u8,
    words: [u64; 16],
}

impl ConsoleText {
    /// Counts the characters that one call can carry.
    pub const MAX_LENGTH: usize = 128;

    /// Counts the characters that one call of the 32-bit form can carry.
    pub const MAX_LENGTH_32: usize = 24;

    /// Takes as many characters from the beginning of `text` as one call of the form `width` can carry, and
    /// returns them with the rest. Returns `None` if `text` is empty.
    pub fn take(width: Width, text: &[u8]) -> Option<(Self, &[u8])> {
        let (limit, size) = Self::limits(width);
        let (first, rest) = text.split_at_checked(limit).unwrap_or((text, &[]));
        let count = u8::try_from(first.len()).ok().filter(|count| *count > 0)?;
        let mut words = [0; 16];
        for (word, characters) in words.iter_mut().zip(first.chunks(size)) {
            for character in characters.iter().rev() {
                *word = *word << 8 | u64::from(*character);
            }
        }
        Some((Self { width, count, words }, rest))
    }

    /// Returns the form of the call that carries the characters.
    pub const fn width(&self) -> Width {
        self.width
    }

    /// Returns the number of characters, at least one.
    pub const fn count(&self) -> usize {
        self.count as usize
    }

    /// Yields the characters.
    pub fn characters(&self) -> impl Iterator<Item = u8> + '_ {
        let (_, size) = Self::limits(self.width);
        self.words
            .iter()
            .flat_map(move |word| word.to_le_bytes().into_iter().take(size))
            .take(usize::from(self.count))
    }

    /// Returns the number of characters in a call and in a register.
    const fn limits(width: Width) -> (usize, usize) {
        match width {
            Width::Bits32 => (Self::MAX_LENGTH_32, 4),
            Width::Bits64 => (Self::MAX_LENGTH, 8),
        }
    }
}

/// Describes where the descriptor of a memory transaction is (memory management supplement 1.2, chapter 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MemoryTransaction {
    /// Which form of the call carries it.
    pub width: Width,
    /// The size of the whole descriptor in bytes.
    pub total_length: u32,
    /// The size in bytes of the part that is in the buffer.
    pub fragment_length: u32,
    /// The address of a buffer other than the TX buffer, or 0.
    pub address: u64,
    /// The size of that buffer in pages, or 0.
    pub page_count: u32,
}

/// Is a call, decoded: everything that an SPMC or a partition can be asked for, or answered.
///
/// Decoding checks what can be seen from the registers alone. Whether the caller may ask for it, in its state
/// and in its version, is for the callee to decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    /// Reports an error.
    Error {
        /// Which execution context it is about, where that matters.
        target: Target,
        /// What went wrong.
        status: Status,
        /// More about it, as the failed call defines.
        argument: u32,
    },
    /// Reports success with the results in w2 to w7.
    Success32 {
        /// Which execution context it is about, where that matters.
        target: Target,
        /// The results.
        results: [u32; 6],
    },
    /// Reports success with the results in x2 to x17.
    Success64 {
        /// Which execution context it is about, where that matters.
        target: Target,
        /// The results.
        results: [u64; 16],
    },
    /// Reports an interrupt.
    Interrupt {
        /// The execution context that was interrupted, or none.
        target: Target,
        /// The number of the interrupt, or 0 where the callee is not told.
        intid: u32,
    },
    /// Negotiates the version.
    Version {
        /// What the caller asks for. See [`Version::from_raw`](crate::Version::from_raw).
        requested: u32,
    },
    /// Asks whether a call or a feature is there.
    Features {
        /// The function or feature. See [`Query`](crate::feature::Query).
        id: u32,
        /// What the caller says about itself.
        input: u32,
    },
    /// Returns the caller's id.
    IdGet,
    /// Returns the id of the SPMC.
    SpmIdGet,
    /// Registers the RX and TX buffers.
    RxtxMap {
        /// Which form of the call carries it.
        width: Width,
        /// The address of the TX buffer.
        tx: u64,
        /// The address of the RX buffer.
        rx: u64,
        /// The size of each in pages of 4 KiB, at most 63.
        page_count: u32,
    },
    /// Forgets the RX and TX buffers.
    RxtxUnmap {
        /// The VM whose buffers they are if a hypervisor forwards the call, else 0.
        endpoint: EndpointId,
    },
    /// Gives the RX buffer back to its producer.
    RxRelease {
        /// The VM whose buffer it is if a hypervisor forwards the call, else 0.
        endpoint: EndpointId,
    },
    /// Takes ownership of a VM's RX buffer.
    RxAcquire {
        /// The VM.
        endpoint: EndpointId,
    },
    /// Describes partitions in the RX buffer.
    PartitionInfoGet {
        /// Whom to describe: everybody if nil.
        uuid: Uuid,
        /// Whether only their number is asked for.
        count_only: bool,
    },
    /// Describes partitions in registers.
    PartitionInfoGetRegs {
        /// Whom to describe: everybody if nil.
        uuid: Uuid,
        /// The first one to describe.
        start_index: u16,
        /// What the previous call returned, so that a change in between is noticed; else 0.
        tag: u16,
    },
    /// Sends a direct request.
    DirectRequest(DirectMessage),
    /// Answers a direct request.
    DirectResponse(DirectMessage),
    /// Sends a direct request to a service by its UUID.
    DirectRequest2 {
        /// Who sends.
        sender: EndpointId,
        /// Who receives.
        receiver: EndpointId,
        /// The service, or nil.
        uuid: Uuid,
        /// x4 to x17.
        payload: [u64; 14],
    },
    /// Answers a direct request to a service.
    DirectResponse2 {
        /// Who sends.
        sender: EndpointId,
        /// Who receives.
        receiver: EndpointId,
        /// x4 to x17.
        payload: [u64; 14],
    },
    /// Sends the message in the TX buffer.
    MsgSend2 {
        /// The VM that sends if a hypervisor forwards the call, else 0.
        sender: EndpointId,
        /// Bit 1: do not schedule the receiver at once.
        flags: u32,
    },
    /// Waits for a message.
    MsgWait {
        /// Whether the caller keeps its RX buffer.
        retain_rx: bool,
    },
    /// Gives processor time back for a while.
    Yield {
        /// Who yields, where it is passed on to who may run it again; else none.
        target: Target,
        /// The least time in nanoseconds after which to run again, 0 if not given.
        timeout: u64,
    },
    /// Gives processor time to an execution context.
    Run {
        /// The execution context.
        target: Target,
    },
    /// Resumes the normal world after a secure interrupt.
    NormalWorldResume,
    /// Hands a Group 0 interrupt to EL3.
    El3InterruptHandle,
    /// Registers the entry point of further execution contexts.
    SecondaryEpRegister {
        /// Which form of the call carries it.
        width: Width,
        /// The entry point.
        entry: u64,
    },
    /// Writes to the log.
    ConsoleLog(ConsoleText),
    /// Makes the notification bitmaps of a VM.
    NotificationBitmapCreate {
        /// The VM.
        endpoint: EndpointId,
        /// The number of its execution contexts.
        vcpu_count: u32,
    },
    /// Removes the notification bitmaps of a VM.
    NotificationBitmapDestroy {
        /// The VM.
        endpoint: EndpointId,
    },
    /// Lets a sender use notifications.
    NotificationBind {
        /// Who may signal them.
        sender: EndpointId,
        /// Who receives them.
        receiver: EndpointId,
        /// Bit 0: each execution context has its own.
        flags: u32,
        /// Which ones.
        bitmap: u64,
    },
    /// Takes notifications from a sender.
    NotificationUnbind {
        /// Who may no longer signal them.
        sender: EndpointId,
        /// Who received them.
        receiver: EndpointId,
        /// Which ones.
        bitmap: u64,
    },
    /// Signals notifications.
    NotificationSet {
        /// Who signals.
        sender: EndpointId,
        /// Who receives.
        receiver: EndpointId,
        /// Bit 0: for one execution context, given by bits 31:16. Bit 1: do not schedule the receiver at once.
        flags: u32,
        /// Which ones.
        bitmap: u64,
    },
    /// Reads and clears the pending notifications.
    NotificationGet {
        /// Whose.
        receiver: EndpointId,
        /// Of which execution context.
        vcpu: u16,
        /// Bits 0 to 3: from partitions, from VMs, from the SPM, from the hypervisor.
        flags: u32,
    },
    /// Lists endpoints with pending notifications.
    NotificationInfoGet {
        /// Which form of the call carries it, and its answer.
        width: Width,
    },
    /// Begins to give memory away.
    MemDonate(MemoryTransaction),
    /// Begins to lend memory.
    MemLend(MemoryTransaction),
    /// Begins to share memory.
    MemShare(MemoryTransaction),
    /// Asks for memory that was offered.
    MemRetrieveRequest(MemoryTransaction),
    /// Describes memory that was retrieved.
    MemRetrieveResponse {
        /// The size of the whole descriptor in bytes.
        total_length: u32,
        /// The size in bytes of the part that is in the RX buffer.
        fragment_length: u32,
    },
    /// Gives borrowed memory back, as the TX buffer says.
    MemRelinquish,
    /// Takes lent memory back.
    MemReclaim {
        /// The memory.
        handle: u64,
        /// Bit 0: fill with zeros. Bit 1: in time slices.
        flags: u32,
    },
    /// Reports that a memory management operation takes longer than its time slice.
    MemOpPause {
        /// The memory.
        handle: u64,
    },
    /// Goes on with a paused memory management operation.
    MemOpResume {
        /// The memory.
        handle: u64,
    },
    /// Asks for the next fragment of a descriptor.
    MemFragRx {
        /// The memory.
        handle: u64,
        /// Where in the descriptor the fragment begins.
        offset: u32,
        /// The VM on whose behalf a hypervisor asks, else 0.
        endpoint: EndpointId,
    },
    /// Sends the next fragment of a descriptor.
    MemFragTx {
        /// The memory.
        handle: u64,
        /// The size of the fragment in bytes.
        length: u32,
        /// The VM on whose behalf a hypervisor sends, else 0.
        endpoint: EndpointId,
    },
    /// Returns the permissions of a page.
    MemPermGet {
        /// Which form of the call carries it.
        width: Width,
        /// The page.
        address: u64,
    },
    /// Sets the permissions of pages.
    MemPermSet {
        /// Which form of the call carries it.
        width: Width,
        /// The first page.
        address: u64,
        /// The number of pages of 4 KiB.
        page_count: u32,
        /// Bits 1:0: data access. Bit 2: no instruction access.
        permissions: u32,
    },
}

/// Says why registers are no call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// No call of FF-A 1.0 to 1.2 has this function identifier.
    UnknownFunction(u32),
    /// A parameter has a value that it may not have, whoever the caller is: the text names it.
    InvalidParameters(&'static str),
}

impl DecodeError {
    /// Returns the error to answer with.
    pub const fn status(self) -> Status {
        match self {
            Self::UnknownFunction(_) => Status::NotSupported,
            Self::InvalidParameters(_) => Status::InvalidParameters,
        }
    }
}

impl From<DecodeError> for Status {
    fn from(error: DecodeError) -> Self {
        error.status()
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownFunction(id) => write!(f, "no FF-A call has the function id {id:#010x}"),
            Self::InvalidParameters(what) => f.write_str(what),
        }
    }
}

impl Error for DecodeError {}

impl Call {
    /// Decodes a call.
    ///
    /// Parameters of 32 bits are read from the low halves of their registers, whatever the high halves hold
    /// (SMC Calling Convention 1.2, section 3.1). Registers that should be zero are not looked at, those that
    /// must be zero are. FF-A 1.2 has callers zero x8 to x17 too; that depends on the caller's version, so it
    /// is the callee's to check.
    ///
    /// # Errors
    /// Says what is wrong with the registers.
    #[inline]
    pub fn decode(regs: &CallRegisters) -> Result<Self, DecodeError> {
        let function = low(regs.0[0]);
        match function {
            f::DIRECT_REQ_32 | f::DIRECT_REQ_64 => Ok(Self::DirectRequest(decode_direct(function, regs)?)),
            f::DIRECT_RESP_32 | f::DIRECT_RESP_64 => Ok(Self::DirectResponse(decode_direct(function, regs)?)),
            _ => Self::decode_other(function, regs),
        }
    }

    /// Decodes what is not a direct message.
    fn decode_other(function: u32, regs: &CallRegisters) -> Result<Self, DecodeError> {
        let [_, x1, x2, x3, x4, x5, x6, x7] = regs.first_eight();
        let width = f::width(function);
        Ok(match function {
            f::ERROR => Self::Error {
                target: Target::from_raw(low(x1)),
                status: Status::from_code(low(x2).cast_signed()).ok_or(invalid("w2: not an error code"))?,
                argument: low(x3),
            },
            f::SUCCESS_32 => Self::Success32 {
                target: Target::from_raw(low(x1)),
                results: [low(x2), low(x3), low(x4), low(x5), low(x6), low(x7)],
            },
            f::INTERRUPT => Self::Interrupt { target: Target::from_raw(low(x1)), intid: low(x2) },
            f::VERSION => Self::Version { requested: low(x1) },
            f::FEATURES => Self::Features { id: low(x1), input: low(x2) },
            f::ID_GET => Self::IdGet,
            f::SPM_ID_GET => Self::SpmIdGet,
            f::RXTX_MAP_32 | f::RXTX_MAP_64 => {
                let page_count = low(x3);
                must(page_count & !0x3f == 0, "w3: bits 31:6 must be zero")?;
                Self::RxtxMap { width, tx: sized(width, x1), rx: sized(width, x2), page_count }
            }
            f::RXTX_UNMAP => {
                let (endpoint, reserved) = halves(low(x1));
                must(reserved == 0, "w1: bits 15:0 must be zero")?;
                Self::RxtxUnmap { endpoint: EndpointId::new(endpoint) }
            }
            f::RX_RELEASE => Self::RxRelease { endpoint: low_endpoint(x1)? },
            f::RX_ACQUIRE => Self::RxAcquire { endpoint: low_endpoint(x1)? },
            f::PARTITION_INFO_GET => {
                let flags = low(x5);
                must(flags & !1 == 0, "w5: bits 31:1 must be zero")?;
                Self::PartitionInfoGet {
                    uuid: uuid_from_words([low(x1), low(x2), low(x3), low(x4)]),
                    count_only: flags & 1 != 0,
                }
            }
            f::PARTITION_INFO_GET_REGS => {
                let (tag, start_index) = halves(low(x3));
                Self::PartitionInfoGetRegs { uuid: uuid_from_pair([x1, x2]), start_index, tag }
            }
            f::MSG_SEND2 => {
                let (sender, reserved) = halves(low(x1));
                must(reserved == 0, "w1: bits 15:0 must be zero")?;
                must(low(x2) & !2 == 0, "w2: bits other than 1 must be zero")?;
                Self::MsgSend2 { sender: EndpointId::new(sender), flags: low(x2) }
            }
            f::MSG_WAIT => {
                let others = low(x1) | low(x3) | low(x4) | low(x5) | low(x6) | low(x7);
                must(others == 0, "w1, w3 to w7: must be zero")?;
                must(low(x2) & !1 == 0, "w2: bits 31:1 must be zero")?;
                Self::MsgWait { retain_rx: low(x2) & 1 != 0 }
            }
            f::YIELD => Self::Yield { target: Target::from_raw(low(x1)), timeout: pair(x2, x3) },
            f::RUN => Self::Run { target: Target::from_raw(low(x1)) },
            f::NORMAL_WORLD_RESUME => Self::NormalWorldResume,
            f::EL3_INTR_HANDLE => Self::El3InterruptHandle,
            f::SECONDARY_EP_REGISTER_32 | f::SECONDARY_EP_REGISTER_64 => {
                Self::SecondaryEpRegister { width, entry: sized(width, x1) }
            }
            f::NOTIFICATION_BITMAP_CREATE => {
                Self::NotificationBitmapCreate { endpoint: low_endpoint(x1)?, vcpu_count: low(x2) }
            }
            f::NOTIFICATION_BITMAP_DESTROY => Self::NotificationBitmapDestroy { endpoint: low_endpoint(x1)? },
            f::NOTIFICATION_BIND => {
                let (sender, receiver) = endpoints(x1);
                must(low(x2) & !1 == 0, "w2: bits 31:1 must be zero")?;
                Self::NotificationBind { sender, receiver, flags: low(x2), bitmap: pair(x3, x4) }
            }
            f::NOTIFICATION_UNBIND => {
                let (sender, receiver) = endpoints(x1);
                Self::NotificationUnbind { sender, receiver, bitmap: pair(x3, x4) }
            }
            f::NOTIFICATION_SET => {
                let (sender, receiver) = endpoints(x1);
                must(low(x2) & 0xfffc == 0, "w2: bits 15:2 must be zero")?;
                Self::NotificationSet { sender, receiver, flags: low(x2), bitmap: pair(x3, x4) }
            }
            f::NOTIFICATION_GET => {
                let (vcpu, receiver) = halves(low(x1));
                must(low(x2) & !0xf == 0, "w2: bits 31:4 must be zero")?;
                Self::NotificationGet { receiver: EndpointId::new(receiver), vcpu, flags: low(x2) }
            }
            f::NOTIFICATION_INFO_GET_32 | f::NOTIFICATION_INFO_GET_64 => Self::NotificationInfoGet { width },
            f::MEM_DONATE_32 | f::MEM_DONATE_64 => Self::MemDonate(decode_transaction(width, regs)),
            f::MEM_LEND_32 | f::MEM_LEND_64 => Self::MemLend(decode_transaction(width, regs)),
            f::MEM_SHARE_32 | f::MEM_SHARE_64 => Self::MemShare(decode_transaction(width, regs)),
            f::MEM_RETRIEVE_REQ_32 | f::MEM_RETRIEVE_REQ_64 => {
                Self::MemRetrieveRequest(decode_transaction(width, regs))
            }
            f::MEM_RETRIEVE_RESP => {
                Self::MemRetrieveResponse { total_length: low(x1), fragment_length: low(x2) }
            }
            f::MEM_RELINQUISH => Self::MemRelinquish,
            f::MEM_RECLAIM => {
                must(low(x3) & !3 == 0, "w3: bits 31:2 must be zero")?;
                Self::MemReclaim { handle: pair(x1, x2), flags: low(x3) }
            }
            f::MEM_OP_PAUSE => Self::MemOpPause { handle: pair(x1, x2) },
            f::MEM_OP_RESUME => Self::MemOpResume { handle: pair(x1, x2) },
            f::MEM_FRAG_RX => {
                let (endpoint, reserved) = halves(low(x4));
                must(reserved == 0, "w4: bits 15:0 must be zero")?;
                Self::MemFragRx { handle: pair(x1, x2), offset: low(x3), endpoint: EndpointId::new(endpoint) }
            }
            f::MEM_FRAG_TX => {
                let (endpoint, reserved) = halves(low(x4));
                must(reserved == 0, "w4: bits 15:0 must be zero")?;
                Self::MemFragTx { handle: pair(x1, x2), length: low(x3), endpoint: EndpointId::new(endpoint) }
            }
            f::MEM_PERM_GET_32 | f::MEM_PERM_GET_64 => {
                must(low(x2) == 0, "w2: must be zero")?;
                Self::MemPermGet { width, address: sized(width, x1) }
            }
            f::MEM_PERM_SET_32 | f::MEM_PERM_SET_64 => {
                must(low(x3) & !7 == 0, "w3: bits 31:3 must be zero")?;
                Self::MemPermSet {
                    width,
                    address: sized(width, x1),
                    page_count: low(x2),
                    permissions: low(x3),
                }
            }
            _ => return Self::decode_long(function, regs),
        })
    }

    /// Decodes what uses the registers behind x7.
    fn decode_long(function: u32, regs: &CallRegisters) -> Result<Self, DecodeError> {
        let [_, x1, x2, x3, x4, x5, x6, x7] = regs.first_eight();
        let [_, _, high @ ..] = regs.0;
        Ok(match function {
            f::SUCCESS_64 => Self::Success64 { target: Target::from_raw(low(x1)), results: high },
            f::DIRECT_REQ2 => {
                let (sender, receiver) = endpoints(x1);
                let [_, _, payload @ ..] = high;
                Self::DirectRequest2 { sender, receiver, uuid: uuid_from_pair([x2, x3]), payload }
            }
            f::DIRECT_RESP2 => {
                let (sender, receiver) = endpoints(x1);
                let [_, _, payload @ ..] = high;
                must(x2 == 0 && x3 == 0, "x2, x3: must be zero")?;
                Self::DirectResponse2 { sender, receiver, payload }
            }
            f::CONSOLE_LOG_32 | f::CONSOLE_LOG_64 => {
                let width = f::width(function);
                let (limit, _) = ConsoleText::limits(width);
                let count = u8::try_from(low(x1)).map_err(|_| invalid("w1: too many characters"))?;
                must(usize::from(count) <= limit, "w1: too many characters")?;
                must(count > 0, "w1: no characters")?;
                let mut words = high;
                if width == Width::Bits32 {
                    words = [x2, x3, x4, x5, x6, x7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0].map(|x| u64::from(low(x)));
                }
                Self::ConsoleLog(ConsoleText { width, count, words })
            }
            _ => return Err(DecodeError::UnknownFunction(function)),
        })
    }

    /// Returns the registers that carry the call. What it does not use is zero.
    #[inline]
    pub fn encode(&self) -> CallRegisters {
        match self {
            Self::DirectRequest(message) => encode_direct(f::DIRECT_REQ_32, f::DIRECT_REQ_64, message),
            Self::DirectResponse(message) => encode_direct(f::DIRECT_RESP_32, f::DIRECT_RESP_64, message),
            _ => self.encode_other(),
        }
    }

    /// Encodes what is not a direct message.
    fn encode_other(&self) -> CallRegisters {
        match *self {
            Self::DirectRequest(_) | Self::DirectResponse(_) => self.encode(),
            Self::Error { target, status, argument } => {
                short(f::ERROR, [target.to_raw(), status.to_raw().into(), argument.into()])
            }
            Self::Success32 { target, results } => {
                let [w2, w3, w4, w5, w6, w7] = results.map(u64::from);
                short(f::SUCCESS_32, [target.to_raw(), w2, w3, w4, w5, w6, w7])
            }
            Self::Success64 { target, results } => long(f::SUCCESS_64, target.to_raw(), results),
            Self::Interrupt { target, intid } => short(f::INTERRUPT, [target.to_raw(), intid.into()]),
            Self::Version { requested } => short(f::VERSION, [requested.into()]),
            Self::Features { id, input } => short(f::FEATURES, [id.into(), input.into()]),
            Self::IdGet => short(f::ID_GET, []),
            Self::SpmIdGet => short(f::SPM_ID_GET, []),
            Self::RxtxMap { width, tx, rx, page_count } => short(
                either(width, f::RXTX_MAP_32, f::RXTX_MAP_64),
                [sized(width, tx), sized(width, rx), page_count.into()],
            ),
            Self::RxtxUnmap { endpoint } => short(f::RXTX_UNMAP, [joined(endpoint.raw(), 0)]),
            Self::RxRelease { endpoint } => short(f::RX_RELEASE, [endpoint.raw().into()]),
            Self::RxAcquire { endpoint } => short(f::RX_ACQUIRE, [endpoint.raw().into()]),
            Self::PartitionInfoGet { uuid, count_only } => {
                let [w1, w2, w3, w4] = uuid_to_words(&uuid).map(u64::from);
                short(f::PARTITION_INFO_GET, [w1, w2, w3, w4, count_only.into()])
            }
            Self::PartitionInfoGetRegs { uuid, start_index, tag } => {
                let [x1, x2] = uuid_to_pair(&uuid);
                short(f::PARTITION_INFO_GET_REGS, [x1, x2, joined(tag, start_index)])
            }
            Self::DirectRequest2 { sender, receiver, uuid, payload } => {
                let [x2, x3] = uuid_to_pair(&uuid);
                long_message(f::DIRECT_REQ2, sender, receiver, [x2, x3], payload)
            }
            Self::DirectResponse2 { sender, receiver, payload } => {
                long_message(f::DIRECT_RESP2, sender, receiver, [0, 0], payload)
            }
            Self::MsgSend2 { sender, flags } => short(f::MSG_SEND2, [joined(sender.raw(), 0), flags.into()]),
            Self::MsgWait { retain_rx } => short(f::MSG_WAIT, [0, retain_rx.into()]),
            Self::Yield { target, timeout } => {
                let [w2, w3] = split(timeout);
                short(f::YIELD, [target.to_raw(), w2, w3])
            }
            Self::Run { target } => short(f::RUN, [target.to_raw()]),
            Self::NormalWorldResume => short(f::NORMAL_WORLD_RESUME, []),
            Self::El3InterruptHandle => short(f::EL3_INTR_HANDLE, []),
            Self::SecondaryEpRegister { width, entry } => short(
                either(width, f::SECONDARY_EP_REGISTER_32, f::SECONDARY_EP_REGISTER_64),
                [sized(width, entry)],
            ),
            Self::ConsoleLog(ConsoleText { width, count, words }) => {
                long(either(width, f::CONSOLE_LOG_32, f::CONSOLE_LOG_64), count.into(), words)
            }
            Self::NotificationBitmapCreate { endpoint, vcpu_count } => {
                short(f::NOTIFICATION_BITMAP_CREATE, [endpoint.raw().into(), vcpu_count.into()])
            }
            Self::NotificationBitmapDestroy { endpoint } => {
                short(f::NOTIFICATION_BITMAP_DESTROY, [endpoint.raw().into()])
            }
            Self::NotificationBind { sender, receiver, flags, bitmap } => {
                notification(f::NOTIFICATION_BIND, sender, receiver, flags, bitmap)
            }
            Self::NotificationUnbind { sender, receiver, bitmap } => {
                notification(f::NOTIFICATION_UNBIND, sender, receiver, 0, bitmap)
            }
            Self::NotificationSet { sender, receiver, flags, bitmap } => {
                notification(f::NOTIFICATION_SET, sender, receiver, flags, bitmap)
            }
            Self::NotificationGet { receiver, vcpu, flags } => {
                short(f::NOTIFICATION_GET, [joined(vcpu, receiver.raw()), flags.into()])
            }
            Self::NotificationInfoGet { width } => {
                short(either(width, f::NOTIFICATION_INFO_GET_32, f::NOTIFICATION_INFO_GET_64), [])
            }
            Self::MemDonate(transaction) => {
                encode_transaction(f::MEM_DONATE_32, f::MEM_DONATE_64, &transaction)
            }
            Self::MemLend(transaction) => encode_transaction(f::MEM_LEND_32, f::MEM_LEND_64, &transaction),
            Self::MemShare(transaction) => encode_transaction(f::MEM_SHARE_32, f::MEM_SHARE_64, &transaction),
            Self::MemRetrieveRequest(transaction) => {
                encode_transaction(f::MEM_RETRIEVE_REQ_32, f::MEM_RETRIEVE_REQ_64, &transaction)
            }
            Self::MemRetrieveResponse { total_length, fragment_length } => {
                short(f::MEM_RETRIEVE_RESP, [total_length.into(), fragment_length.into()])
            }
            Self::MemRelinquish => short(f::MEM_RELINQUISH, []),
            Self::MemReclaim { handle, flags } => {
                let [w1, w2] = split(handle);
                short(f::MEM_RECLAIM, [w1, w2, flags.into()])
            }
            Self::MemOpPause { handle } => short(f::MEM_OP_PAUSE, split(handle)),
            Self::MemOpResume { handle } => short(f::MEM_OP_RESUME, split(handle)),
            Self::MemFragRx { handle, offset, endpoint } => {
                let [w1, w2] = split(handle);
                short(f::MEM_FRAG_RX, [w1, w2, offset.into(), joined(endpoint.raw(), 0)])
            }
            Self::MemFragTx { handle, length, endpoint } => {
                let [w1, w2] = split(handle);
                short(f::MEM_FRAG_TX, [w1, w2, length.into(), joined(endpoint.raw(), 0)])
            }
            Self::MemPermGet { width, address } => {
                short(either(width, f::MEM_PERM_GET_32, f::MEM_PERM_GET_64), [sized(width, address)])
            }
            Self::MemPermSet { width, address, page_count, permissions } => short(
                either(width, f::MEM_PERM_SET_32, f::MEM_PERM_SET_64),
                [sized(width, address), page_count.into(), permissions.into()],
            ),
        }
    }
}

#[inline]
fn decode_direct(function: u32, regs: &CallRegisters) -> Result<DirectMessage, DecodeError> {
    let [_, x1, x2, x3, x4, x5, x6, x7] = regs.first_eight();
    let (sender, receiver) = endpoints(x1);
    let width = f::width(function);
    let framework = match low(x2) {
        0 => None,
        flags => Some(FrameworkMessage::from_raw(flags).ok_or(invalid("w2: no such kind of message"))?),
    };
    let payload = [x3, x4, x5, x6, x7].map(|x| sized(width, x));
    Ok(DirectMessage { width, sender, receiver, framework, payload })
}

#[inline]
fn encode_direct(narrow: u32, wide: u32, message: &DirectMessage) -> CallRegisters {
    let [x3, x4, x5, x6, x7] = message.payload.map(|x| sized(message.width, x));
    let w2 = message.framework.map_or(0, |message| message.to_raw().into());
    let w1 = joined(message.sender.raw(), message.receiver.raw());
    CallRegisters::from_first_eight([either(message.width, narrow, wide).into(), w1, w2, x3, x4, x5, x6, x7])
}

const fn decode_transaction(width: Width, regs: &CallRegisters) -> MemoryTransaction {
    let [_, x1, x2, x3, x4, ..] = regs.0;
    MemoryTransaction {
        width,
        total_length: low(x1),
        fragment_length: low(x2),
        address: sized(width, x3),
        page_count: low(x4),
    }
}

fn encode_transaction(narrow: u32, wide: u32, transaction: &MemoryTransaction) -> CallRegisters {
    let MemoryTransaction { width, total_length, fragment_length, address, page_count } = *transaction;
    short(
        either(width, narrow, wide),
        [total_length.into(), fragment_length.into(), sized(width, address), page_count.into()],
    )
}

fn notification(
    function: u32,
    sender: EndpointId,
    receiver: EndpointId,
    flags: u32,
    bitmap: u64,
) -> CallRegisters {
    let [w3, w4] = split(bitmap);
    short(function, [joined(sender.raw(), receiver.raw()), flags.into(), w3, w4])
}

/// Builds a call from the registers behind x0; the others are zero.
fn short<const N: usize>(function: u32, parameters: [u64; N]) -> CallRegisters {
    let mut regs = CallRegisters::ZERO;
    let values = core::iter::once(u64::from(function)).chain(parameters);
    for (register, value) in regs.0.iter_mut().zip(values) {
        *register = value;
    }
    regs
}

/// Builds a call that uses all registers.
fn long(function: u32, x1: u64, others: [u64; 16]) -> CallRegisters {
    let mut regs = CallRegisters::ZERO;
    let [x0_register, x1_register, other_registers @ ..] = &mut regs.0;
    *x0_register = function.into();
    *x1_register = x1;
    *other_registers = others;
    regs
}

/// Builds a message that uses all registers.
fn long_message(
    function: u32,
    sender: EndpointId,
    receiver: EndpointId,
    service: [u64; 2],
    payload: [u64; 14],
) -> CallRegisters {
    let mut others = [0; 16];
    let [x2, x3, payload_registers @ ..] = &mut others;
    [*x2, *x3] = service;
    *payload_registers = payload;
    long(function, joined(sender.raw(), receiver.raw()), others)
}

const fn either(width: Width, narrow: u32, wide: u32) -> u32 {
    match width {
        Width::Bits32 => narrow,
        Width::Bits64 => wide,
    }
}

/// Returns what a call of the form `width` sees of a register.
#[inline]
const fn sized(width: Width, x: u64) -> u64 {
    match width {
        Width::Bits32 => x & 0xffff_ffff,
        Width::Bits64 => x,
    }
}

/// Returns the low half of a register.
#[inline]
const fn low(x: u64) -> u32 {
    (x & 0xffff_ffff) as u32
}

/// Returns bits 31:16 and bits 15:0.
#[inline]
const fn halves(w: u32) -> (u16, u16) {
    ((w >> 16) as u16, (w & 0xffff) as u16)
}

/// Puts two values into bits 31:16 and bits 15:0.
#[inline]
const fn joined(high: u16, low: u16) -> u64 {
    (high as u64) << 16 | low as u64
}

/// Reads sender and receiver.
#[inline]
const fn endpoints(x: u64) -> (EndpointId, EndpointId) {
    let (sender, receiver) = halves(low(x));
    (EndpointId::new(sender), EndpointId::new(receiver))
}

/// Reads an id from the low bits of a register of which the others must be zero.
fn low_endpoint(x: u64) -> Result<EndpointId, DecodeError> {
    let (reserved, endpoint) = halves(low(x));
    must(reserved == 0, "w1: bits 31:16 must be zero")?;
    Ok(EndpointId::new(endpoint))
}

/// Joins the low halves of two registers, the first being the lower.
#[inline]
const fn pair(lower: u64, upper: u64) -> u64 {
    (low(upper) as u64) << 32 | low(lower) as u64
}

/// Splits a value over two registers, the lower half first.
const fn split(value: u64) -> [u64; 2] {
    [value & 0xffff_ffff, value >> 32]
}

const fn invalid(what: &'static str) -> DecodeError {
    DecodeError::InvalidParameters(what)
}

const fn must(holds: bool, what: &'static str) -> Result<(), DecodeError> {
    if holds { Ok(()) } else { Err(invalid(what)) }
}
