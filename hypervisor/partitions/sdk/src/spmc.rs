//! Calls to the SPMC, typed.

use core::error::Error;
use core::fmt::{self, Write};

use tantalum_ffa::{Call, ConsoleText, DirectMessage, FrameworkMessage, Status, Target, Version, Width};
use tantalum_types::{CallRegisters, EndpointId};

use crate::memory::Memory;

/// Carries a call to the SPMC and its answer back: an SMC, or a fake in a test on the host.
pub trait Conduit {
    /// Makes the call with x0 to x17 and returns x0 to x17 of the answer.
    fn call(&self, registers: &CallRegisters) -> CallRegisters;

    /// As [`Self::call`], with the answer in place of the call.
    fn exchange(&self, registers: &mut CallRegisters) {
        *registers = self.call(registers);
    }

    /// Gives access to the partition's memory, if there is any beyond its image.
    fn memory(&self) -> Option<&dyn Memory> {
        None
    }
}

/// Says why a call did not do what it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallError {
    /// The SPMC, or who it passed the call on to, refused it.
    Refused(Status),
    /// What came back is no answer to the call; the number is its w0.
    Answer(u32),
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(status) => write!(f, "the call was refused: {status}"),
            Self::Answer(function) => write!(f, "the call came back with the function id {function:#010x}"),
        }
    }
}

impl Error for CallError {}

/// Is the way to the SPMC.
#[derive(Clone, Copy)]
pub struct Spmc<'a> {
    conduit: &'a dyn Conduit,
    spoken: Version,
}

impl fmt::Debug for Spmc<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Spmc")
    }
}

impl<'a> Spmc<'a> {
    /// Makes calls by `conduit`, and lays messages and descriptors out as FF-A 1.1 does.
    pub const fn new(conduit: &'a dyn Conduit) -> Self {
        Self { conduit, spoken: Version::V1_1 }
    }

    /// Lays messages and descriptors out as `version` does, which has to be what the SPMC was told.
    #[must_use]
    pub const fn speaking(self, version: Version) -> Self {
        Self { spoken: version, ..self }
    }

    /// Returns the version that messages and descriptors are laid out for.
    pub const fn spoken(&self) -> Version {
        self.spoken
    }

    /// Makes any call and returns what comes back, undecoded.
    pub fn raw(&self, registers: &CallRegisters) -> CallRegisters {
        self.conduit.call(registers)
    }

    /// As [`Self::raw`], with what comes back in place of the call.
    #[inline]
    pub(crate) fn exchange(&self, registers: &mut CallRegisters) {
        self.conduit.exchange(registers);
    }

    /// Gives access to the partition's memory, if there is any beyond its image.
    pub fn memory(&self) -> Option<&'a dyn Memory> {
        self.conduit.memory()
    }

    /// Makes a call and returns what comes back.
    ///
    /// # Errors
    /// Says what came back if that was an error or no FF-A call at all.
    pub fn call(&self, call: &Call) -> Result<Call, CallError> {
        let registers = self.raw(&call.encode());
        match Call::decode(&registers) {
            Ok(Call::Error { status, .. }) => Err(CallError::Refused(status)),
            Ok(answer) => Ok(answer),
            Err(_) => Err(unexpected(&registers)),
        }
    }

    /// Makes a call that is answered by FFA_SUCCESS with results in w2 to w7.
    pub(crate) fn simple(&self, call: &Call) -> Result<[u32; 6], CallError> {
        match self.call(call)? {
            Call::Success32 { results, .. } => Ok(results),
            other => Err(unexpected(&other.encode())),
        }
    }

    /// Negotiates the version and returns the SPMC's, or `None` if it cannot serve `requested`.
    pub fn version(&self, requested: Version) -> Option<Version> {
        let [answer, ..] = self.raw(&Call::Version { requested: requested.to_raw() }.encode()).0;
        Version::from_raw(low(answer))
    }

    /// Asks about a call or a feature and returns what w2 and w3 say about it.
    ///
    /// # Errors
    /// Refused with NOT_SUPPORTED if it is not there.
    pub fn features(&self, id: u32, input: u32) -> Result<[u32; 2], CallError> {
        let [w2, w3, ..] = self.simple(&Call::Features { id, input })?;
        Ok([w2, w3])
    }

    /// Returns the id of this partition.
    ///
    /// # Errors
    /// Passes on what the SPMC says.
    pub fn id(&self) -> Result<EndpointId, CallError> {
        let [id, ..] = self.simple(&Call::IdGet)?;
        Ok(EndpointId::new(low16(id)))
    }

    /// Returns the id of the SPMC.
    ///
    /// # Errors
    /// Passes on what the SPMC says.
    pub fn spmc_id(&self) -> Result<EndpointId, CallError> {
        let [id, ..] = self.simple(&Call::SpmIdGet)?;
        Ok(EndpointId::new(low16(id)))
    }

    /// Registers the buffers at the addresses `tx` and `rx`, `page_count` pages of 4 KiB each.
    ///
    /// # Errors
    /// Passes on what the SPMC says.
    pub fn map_buffers(&self, tx: u64, rx: u64, page_count: u32) -> Result<(), CallError> {
        self.simple(&Call::RxtxMap { width: Width::Bits64, tx, rx, page_count }).map(|_| ())
    }

    /// Takes the buffers back.
    ///
    /// # Errors
    /// Passes on what the SPMC says.
    pub fn unmap_buffers(&self) -> Result<(), CallError> {
        self.simple(&Call::RxtxUnmap { endpoint: EndpointId::new(0) }).map(|_| ())
    }

    /// Lets the SPMC fill the RX buffer again.
    ///
    /// # Errors
    /// Passes on what the SPMC says.
    pub fn release_rx(&self) -> Result<(), CallError> {
        self.simple(&Call::RxRelease { endpoint: EndpointId::new(0) }).map(|_| ())
    }

    /// Tells the SPMC where the partition's other execution contexts begin.
    ///
    /// # Errors
    /// Refused with NOT_SUPPORTED if the partition has one only.
    pub fn register_secondary_entry(&self, entry: u64) -> Result<(), CallError> {
        self.simple(&Call::SecondaryEpRegister { width: Width::Bits64, entry }).map(|_| ())
    }

    /// Sends a direct request and returns the answer of the receiver.
    ///
    /// When the receiver is interrupted or yields, it is run again until it answers.
    ///
    /// # Errors
    /// Refused by the SPMC, or ABORTED if the receiver ended meanwhile.
    pub fn direct_request(&self, request: &DirectMessage) -> Result<DirectMessage, CallError> {
        let mut answer = self.call(&Call::DirectRequest(*request))?;
        loop {
            match answer {
                Call::DirectResponse(response) => return Ok(response),
                Call::Interrupt { target, .. } | Call::Yield { target, .. } if target != Target::NONE => {
                    answer = self.call(&Call::Run { target })?;
                }
                other => return Err(unexpected(&other.encode())),
            }
        }
    }

    /// Writes text to the log; the SPMC puts the partition's name before each line.
    ///
    /// # Errors
    /// Passes on what the SPMC says.
    pub fn log(&self, text: fmt::Arguments<'_>) -> Result<(), CallError> {
        let mut writer =
            LogWriter { spmc: *self, buffer: [0; CHARACTERS_PER_CALL], length: 0, result: Ok(()) };
        // What went wrong is in `result`, unless formatting itself gave up: then the rest is missing.
        let _ = writer.write_fmt(text);
        writer.flush();
        writer.result
    }

    /// Returns the call that ends the turn of this execution context without an answer.
    pub(crate) fn waiting() -> CallRegisters {
        tantalum_ffa::answer::msg_wait()
    }
}

/// Counts the characters of a call. FF-A 1.1 has x0 to x7 only, so later registers are left alone.
const CHARACTERS_PER_CALL: usize = 48;

/// Collects text, so that a line is few calls.
struct LogWriter<'a> {
    spmc: Spmc<'a>,
    buffer: [u8; CHARACTERS_PER_CALL],
    length: usize,
    result: Result<(), CallError>,
}

impl LogWriter<'_> {
    fn flush(&mut self) {
        let text = self.buffer.get(..self.length).unwrap_or_default();
        self.length = 0;
        if let Some((text, _)) = ConsoleText::take(Width::Bits64, text) {
            let result = self.spmc.simple(&Call::ConsoleLog(text));
            self.result = self.result.and(result.map(|_| ()));
        }
    }
}

impl Write for LogWriter<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if self.length == CHARACTERS_PER_CALL {
                self.flush();
            }
            if let Some(place) = self.buffer.get_mut(self.length) {
                *place = byte;
                self.length = self.length.saturating_add(1);
            }
        }
        Ok(())
    }
}

/// Answers a message of the framework that a partition need not care about: "done".
pub(crate) fn acknowledge(message: FrameworkMessage) -> Option<FrameworkMessage> {
    match message {
        FrameworkMessage::PsciRequest | FrameworkMessage::WarmBoot => Some(FrameworkMessage::PmResponse),
        FrameworkMessage::VmCreated => Some(FrameworkMessage::VmCreatedResponse),
        FrameworkMessage::VmDestroyed => Some(FrameworkMessage::VmDestroyedResponse),
        FrameworkMessage::PmResponse
        | FrameworkMessage::VmCreatedResponse
        | FrameworkMessage::VmDestroyedResponse
        | FrameworkMessage::VersionRequest
        | FrameworkMessage::VersionResponse => None,
    }
}

pub(crate) fn unexpected(registers: &CallRegisters) -> CallError {
    let [function, ..] = registers.0;
    CallError::Answer(low(function))
}

const fn low(register: u64) -> u32 {
    (register & 0xffff_ffff) as u32
}

const fn low16(register: u32) -> u16 {
    (register & 0xffff) as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::Fake;
    use tantalum_ffa::answer;

    const REQUEST: DirectMessage = DirectMessage {
        width: Width::Bits64,
        sender: EndpointId::new(0x8003),
        receiver: EndpointId::new(0x8001),
        framework: None,
        payload: [1, 2, 3, 4, 5],
    };

    #[test]
    fn ids_come_from_w2() {
        let fake = Fake::new([answer::success32([0x8002, 0, 0, 0, 0, 0])]);
        assert_eq!(Spmc::new(&fake).id(), Ok(EndpointId::new(0x8002)));
        assert_eq!(fake.made(), [Call::IdGet]);
    }

    #[test]
    fn a_refusal_and_nonsense_are_told_apart() {
        let fake = Fake::new([answer::error(Status::Denied), answer::unknown_function(), answer::msg_wait()]);
        let spmc = Spmc::new(&fake);
        assert_eq!(spmc.release_rx(), Err(CallError::Refused(Status::Denied)));
        assert_eq!(spmc.release_rx(), Err(CallError::Answer(0xffff_ffff)));
        assert_eq!(spmc.release_rx(), Err(CallError::Answer(0x8400_006b)));
    }

    #[test]
    fn the_version_is_in_x0() {
        let fake = Fake::new([answer::version(Some(Version::V1_2)), answer::version(None)]);
        let spmc = Spmc::new(&fake);
        assert_eq!(spmc.version(Version::V1_1), Some(Version::V1_2));
        assert_eq!(spmc.version(Version { major: 2, minor: 0 }), None);
    }

    #[test]
    fn an_interrupted_receiver_is_run_until_it_answers() {
        let target = Target { endpoint: EndpointId::new(0x8001), vcpu: 3 };
        let response = REQUEST.answer([9, 8, 7, 6, 5]);
        let fake = Fake::new([
            answer::interrupt(target, 0),
            answer::interrupt(target, 0),
            Call::Yield { target, timeout: 0 }.encode(),
            Call::DirectResponse(response).encode(),
        ]);
        assert_eq!(Spmc::new(&fake).direct_request(&REQUEST), Ok(response));
        assert_eq!(
            fake.made(),
            [Call::DirectRequest(REQUEST), Call::Run { target }, Call::Run { target }, Call::Run { target }]
        );
    }

    #[test]
    fn a_refused_request_is_an_error() {
        let fake = Fake::new([answer::error(Status::Busy)]);
        assert_eq!(Spmc::new(&fake).direct_request(&REQUEST), Err(CallError::Refused(Status::Busy)));
    }

    #[test]
    fn a_long_line_is_cut_into_calls_of_eight_registers() {
        let fake = Fake::new([answer::success(); 3]);
        let text = "0123456789".repeat(10);
        let (begin, rest) = text.split_at(3);
        assert_eq!(Spmc::new(&fake).log(format_args!("{begin}{rest}")), Ok(()));
        let mut logged = String::new();
        for call in fake.made() {
            let Call::ConsoleLog(characters) = call else { panic!("{call:?}") };
            assert!(call.encode().0[8..].iter().all(|register| *register == 0));
            logged.extend(characters.characters().map(char::from));
        }
        assert_eq!(logged, text);
    }

    #[test]
    fn a_line_that_cannot_be_logged_is_an_error() {
        let fake = Fake::new([answer::error(Status::NotSupported)]);
        let error = CallError::Refused(Status::NotSupported);
        assert_eq!(Spmc::new(&fake).log(format_args!("text")), Err(error));
    }
}
