//! Commands about the life of a partition: to end it in several ways, to show that a new one has begun, to yield.

use core::sync::atomic::{AtomicU64, Ordering};

use tantalum_ffa::{Call, DirectMessage, FrameworkMessage, Target};
use tantalum_sdk::processor::{Offence, offend};
use tantalum_sdk::{CallError, Spmc};
use tantalum_types::EndpointId;

use crate::result;

/// Command words, in x3 of a request.
pub mod command {
    /// Fails in the way x4, see [`super::Failure`]. There is no answer; where the partition is still there afterwards,
    /// x3 is not OK.
    pub const FAIL: u64 = 0x5441_0400;
    /// Never answers.
    pub const LOOP: u64 = 0x5441_0401;
    /// Yields x4 times: x4 is how often that succeeded.
    pub const YIELD: u64 = 0x5441_0402;
    /// Marks the present life with x4: x4 is how many such commands this life has seen, x5 the mark before, which is
    /// [`super::FIRST_MARK`] in a fresh one, x6 how often a processing element went off, x7 how many LOOPs began.
    pub const LIFE: u64 = 0x5441_0403;
    /// Sends the words x5 to x7 to the partition x4: x4 is 0 or the error code, x5 to x7 are x3 to x5 of the answer.
    pub const FORWARD: u64 = 0x5441_0404;
    /// Answers further messages about virtual machines with the status x4: x4 is how many said that one was created, x5
    /// that one was destroyed, x6 the id in the last one, x7 its memory handle.
    pub const VMS: u64 = 0x5441_0405;
}

/// Is the mark of a life that nobody has marked. It is not zero, so that it comes from the image.
pub const FIRST_MARK: u64 = 0x5441_4652_4553_4821;

/// Counts the ways to fail.
pub const FAILURES: u64 = 5;

/// Names a way to fail, by x4 of [`command::FAIL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// 0 to 3: it does what it may not.
    Offence(Offence),
    /// 4: it panics.
    Panic,
}

impl Failure {
    /// Returns the way with the number `raw`, if there is one.
    pub const fn from_raw(raw: u64) -> Option<Self> {
        Some(match raw {
            0 => Self::Offence(Offence::Read),
            1 => Self::Offence(Offence::Jump),
            2 => Self::Offence(Offence::Call),
            3 => Self::Offence(Offence::Undefined),
            4 => Self::Panic,
            _ => return None,
        })
    }
}

/// Keeps what tells one life of a partition from the next.
#[derive(Debug)]
pub struct Lifecycle {
    mark: AtomicU64,
    commands: AtomicU64,
    loops: AtomicU64,
    powered_off: AtomicU64,
    vm_status: AtomicU64,
    vms_created: AtomicU64,
    vms_destroyed: AtomicU64,
    last_vm: AtomicU64,
    last_handle: AtomicU64,
}

impl Lifecycle {
    pub(crate) const fn new() -> Self {
        Self {
            mark: AtomicU64::new(FIRST_MARK),
            commands: AtomicU64::new(0),
            loops: AtomicU64::new(0),
            powered_off: AtomicU64::new(0),
            vm_status: AtomicU64::new(0),
            vms_created: AtomicU64::new(0),
            vms_destroyed: AtomicU64::new(0),
            last_vm: AtomicU64::new(0),
            last_handle: AtomicU64::new(0),
        }
    }

    /// Takes note of a message of the framework, and returns x3 to x7 of the answer.
    pub fn framework_message(&self, message: FrameworkMessage, request: &DirectMessage) -> [u64; 5] {
        let counter = match message {
            FrameworkMessage::PsciRequest => &self.powered_off,
            FrameworkMessage::VmCreated => &self.vms_created,
            FrameworkMessage::VmDestroyed => &self.vms_destroyed,
            _ => return [0; 5],
        };
        counter.fetch_add(1, Ordering::AcqRel);
        if message == FrameworkMessage::PsciRequest {
            return [0; 5];
        }
        let [handle_low, handle_high, vm, ..] = request.payload.map(|word| word & 0xffff_ffff);
        self.last_vm.store(vm, Ordering::Release);
        self.last_handle.store(handle_high << 32 | handle_low, Ordering::Release);
        [self.vm_status.load(Ordering::Acquire), 0, 0, 0, 0]
    }

    /// Answers a command of this module.
    pub(crate) fn answer(
        &self,
        spmc: &Spmc<'_>,
        request: &DirectMessage,
    ) -> Option<Result<[u64; 5], CallError>> {
        let [word, first, second, third, fourth] = request.payload;
        Some(match word {
            command::FAIL => Ok(fail(first)),
            command::LOOP => self.never_answer(),
            command::YIELD => yields(spmc, first),
            command::LIFE => Ok(self.life(first)),
            command::VMS => Ok(self.vms(first)),
            command::FORWARD => forward(spmc, request, [first, second, third, fourth]),
            _ => return None,
        })
    }

    fn never_answer(&self) -> ! {
        self.loops.fetch_add(1, Ordering::AcqRel);
        loop {
            core::hint::spin_loop();
        }
    }

    fn vms(&self, status: u64) -> [u64; 5] {
        self.vm_status.store(status, Ordering::Release);
        let [created, destroyed, vm, handle] =
            [&self.vms_created, &self.vms_destroyed, &self.last_vm, &self.last_handle]
                .map(|word| word.load(Ordering::Acquire));
        [result::OK, created, destroyed, vm, handle]
    }

    fn life(&self, mark: u64) -> [u64; 5] {
        let before = self.mark.swap(mark, Ordering::AcqRel);
        let commands = self.commands.fetch_add(1, Ordering::AcqRel).wrapping_add(1);
        let [off, loops] = [&self.powered_off, &self.loops].map(|counter| counter.load(Ordering::Acquire));
        [result::OK, commands, before, off, loops]
    }
}

#[expect(clippy::panic, reason = "this is what was asked for")]
fn fail(way: u64) -> [u64; 5] {
    match Failure::from_raw(way) {
        Some(Failure::Offence(offence)) => offend(offence),
        Some(Failure::Panic) => panic!("the partition was asked to"),
        None => {}
    }
    [result::UNEXPECTED, way, 0, 0, 0]
}

fn yields(spmc: &Spmc<'_>, times: u64) -> Result<[u64; 5], CallError> {
    let mut count = 0_u64;
    while count < times {
        match spmc.call(&Call::Yield { target: Target::NONE, timeout: 0 })? {
            Call::Success32 { .. } => count = count.wrapping_add(1),
            other => {
                let [function, ..] = other.encode().0;
                return Ok([result::UNEXPECTED, function, count, 0, 0]);
            }
        }
    }
    Ok([result::OK, count, 0, 0, 0])
}

fn forward(
    spmc: &Spmc<'_>,
    request: &DirectMessage,
    [to, first, second, third]: [u64; 4],
) -> Result<[u64; 5], CallError> {
    let [low, high, ..] = to.to_le_bytes();
    let onward = DirectMessage {
        sender: request.receiver,
        receiver: EndpointId::new(u16::from_le_bytes([low, high])),
        payload: [first, second, third, 0, 0],
        ..*request
    };
    match spmc.direct_request(&onward) {
        Ok(answer) => {
            let [x3, x4, x5, ..] = answer.payload;
            Ok([result::OK, 0, x3, x4, x5])
        }
        Err(CallError::Refused(status)) => Ok([result::OK, status.to_raw().into(), 0, 0, 0]),
        Err(error) => Err(error),
    }
}
