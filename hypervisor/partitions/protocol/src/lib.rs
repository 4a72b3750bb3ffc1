//! The messages that the test partitions answer.
//!
//! A request carries a command in x3 and its arguments in x4 to x7; the answer carries a [`result`] in x3 and
//! values in x4 to x7. What is no command comes back as it is, so every other message is an echo. A message of
//! the 32-bit form carries the same words in w3 to w7.

#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::arithmetic_side_effects))]

use core::sync::atomic::{AtomicU64, Ordering};

use tantalum_ffa::{DirectMessage, Width};
use tantalum_sdk::{CallError, Spmc};
use tantalum_types::{CallRegisters, EndpointId};

pub mod interrupt;
pub mod lifecycle;
pub mod memory;
pub mod notify;
pub mod resident;

/// Command words, in x3 of a request.
pub mod command {
    /// Asks who the partition is: x4 its own id, x5 the SPMC's id, x6 the SPMC's version, x7 MPIDR_EL1.
    pub const IDENTITY: u64 = 0x5441_0001;
    /// Stores x4: x4 is what was stored before, x5 the number of stores so far.
    pub const EXCHANGE: u64 = 0x5441_0002;
    /// Passes the message on to the partitions named in x4, 16 bits each, the next one lowest: x5 is a value
    /// that comes back as one more, x6 counts hops, x7 collects the ids of those that were passed, 16 bits each
    /// or 4 bits each in the 32-bit form.
    pub const RELAY: u64 = 0x5441_0003;
    /// Asks FFA_FEATURES about x4 with the input properties x5: x4 is 0 or the error code, x5 and x6 are w2 and
    /// w3.
    pub const FEATURES: u64 = 0x5441_0004;
    /// Makes the call with w0 to w3 in x4 to x7: x4 to x7 are x0 to x3 of what comes back.
    pub const RAW: u64 = 0x5441_0005;
    /// Writes a line to the log: x4 is 0 or the error code.
    pub const LOG: u64 = 0x5441_0006;
}

/// Results, in x3 of an answer.
pub mod result {
    /// The command was carried out.
    pub const OK: u64 = 0;
    /// What came back to the partition was no answer to its call: x4 is w0 of it.
    pub const UNEXPECTED: u64 = 1;
    /// The next hop of a RELAY answered with an error: x4 is the error code.
    pub const REFUSED: u64 = 2;
}

/// Answers the messages, and keeps what one of them leaves for the next.
#[derive(Debug)]
pub struct Protocol {
    name: &'static str,
    stored: AtomicU64,
    stores: AtomicU64,
    memory: memory::Memory,
    /// What has been signalled.
    pub notifications: notify::Notifications,
    /// What interrupts have done.
    pub interrupts: interrupt::Interrupts,
    /// What tells one life from the next.
    pub lifecycle: lifecycle::Lifecycle,
}

impl Protocol {
    /// Answers as the partition `name`.
    pub const fn new(name: &'static str) -> Self {
        Self {
            name,
            stored: AtomicU64::new(0),
            stores: AtomicU64::new(0),
            memory: memory::Memory::new(),
            notifications: notify::Notifications::new(),
            interrupts: interrupt::Interrupts::new(),
            lifecycle: lifecycle::Lifecycle::new(),
        }
    }

    /// Answers `request`, which came on a processing element with the MPIDR_EL1 `mpidr`.
    pub fn answer(&self, spmc: &Spmc<'_>, mpidr: u64, request: &DirectMessage) -> [u64; 5] {
        let [word, arguments @ ..] = request.payload;
        let result = match word {
            command::IDENTITY => identity(spmc, mpidr),
            command::EXCHANGE => Ok(self.exchange(arguments)),
            command::RELAY => relay(spmc, request, arguments),
            command::FEATURES => features(spmc, arguments),
            command::RAW => Ok(raw(spmc, arguments)),
            command::LOG => self.log(spmc),
            _ => match self.module_answer(spmc, request) {
                Some(result) => result,
                None => Ok(request.payload),
            },
        };
        result.unwrap_or_else(failure)
    }

    /// Answers a command of one of the modules.
    fn module_answer(&self, spmc: &Spmc<'_>, request: &DirectMessage) -> Option<Result<[u64; 5], CallError>> {
        self.memory
            .answer(spmc, request.receiver, request.payload)
            .map(Ok)
            .or_else(|| self.notifications.answer(spmc, request))
            .or_else(|| self.interrupts.answer(spmc, request))
            .or_else(|| self.lifecycle.answer(spmc, request))
    }

    fn exchange(&self, [value, ..]: [u64; 4]) -> [u64; 5] {
        let previous = self.stored.swap(value, Ordering::AcqRel);
        let count = self.stores.fetch_add(1, Ordering::AcqRel).wrapping_add(1);
        [result::OK, previous, count, 0, 0]
    }

    fn log(&self, spmc: &Spmc<'_>) -> Result<[u64; 5], CallError> {
        let code = code_of(spmc.log(format_args!("{} was asked to log a line\n", self.name)))?;
        Ok([result::OK, code, 0, 0, 0])
    }
}

fn identity(spmc: &Spmc<'_>, mpidr: u64) -> Result<[u64; 5], CallError> {
    // The version is asked for by number, because the answer is to be seen as it is.
    let version = tantalum_ffa::Call::Version { requested: spmc.spoken().to_raw() }.encode();
    let [version, ..] = spmc.raw(&version).0;
    let own = spmc.id()?.raw().into();
    Ok([result::OK, own, spmc.spmc_id()?.raw().into(), version & 0xffff_ffff, mpidr & 0xffff_ffff])
}

fn relay(
    spmc: &Spmc<'_>,
    request: &DirectMessage,
    [hops, value, count, trail]: [u64; 4],
) -> Result<[u64; 5], CallError> {
    let own = request.receiver;
    let trail = match request.width {
        Width::Bits32 => trail << 4 & 0xffff_ffff | u64::from(own.raw() & 0xf),
        Width::Bits64 => trail << 16 | u64::from(own.raw()),
    };
    let [low, high, ..] = hops.to_le_bytes();
    let next = EndpointId::new(u16::from_le_bytes([low, high]));
    if next.raw() == 0 {
        return Ok([result::OK, 0, value.wrapping_add(1), count, trail]);
    }
    let payload = [command::RELAY, hops >> 16, value, count.wrapping_add(1), trail];
    let onward =
        DirectMessage { width: request.width, sender: own, receiver: next, framework: None, payload };
    spmc.direct_request(&onward).map(|answer| answer.payload)
}

fn features(spmc: &Spmc<'_>, [id, input, ..]: [u64; 4]) -> Result<[u64; 5], CallError> {
    match spmc.features(low(id), low(input)) {
        Ok([w2, w3]) => Ok([result::OK, 0, w2.into(), w3.into(), 0]),
        Err(CallError::Refused(status)) => Ok([result::OK, status.to_raw().into(), 0, 0, 0]),
        Err(error) => Err(error),
    }
}

fn raw(spmc: &Spmc<'_>, [w0, w1, w2, w3]: [u64; 4]) -> [u64; 5] {
    let call = [w0, w1, w2, w3].map(|word| word & 0xffff_ffff);
    let [w0, w1, w2, w3] = call;
    let answer = spmc.raw(&CallRegisters::from_first_eight([w0, w1, w2, w3, 0, 0, 0, 0]));
    let [x0, x1, x2, x3, ..] = answer.0;
    [result::OK, x0, x1, x2, x3]
}

/// Returns 0 or the error code of a call that was refused.
fn code_of(result: Result<(), CallError>) -> Result<u64, CallError> {
    match result {
        Ok(()) => Ok(0),
        Err(CallError::Refused(status)) => Ok(status.to_raw().into()),
        Err(error) => Err(error),
    }
}

fn failure(error: CallError) -> [u64; 5] {
    match error {
        CallError::Refused(status) => [result::REFUSED, status.to_raw().into(), 0, 0, 0],
        CallError::Answer(function) => [result::UNEXPECTED, function.into(), 0, 0, 0],
    }
}

const fn low(register: u64) -> u32 {
    (register & 0xffff_ffff) as u32
}

#[cfg(test)]
mod tests;
