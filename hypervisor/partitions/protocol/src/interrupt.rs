//! Commands about interrupts: hold registers while something preempts, arm a timer, count what came and how.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use tantalum_ffa::{Call, DirectMessage, Status, Width};
use tantalum_sdk::interrupt::TIMER;
use tantalum_sdk::processor::{
    Keys, arm_timer, counter, exchange_keys, hold, hold_call, interruptible, look, timer,
};
use tantalum_sdk::{CallError, Delivery, Line, Spmc};
use tantalum_types::EndpointId;

use crate::result;

/// Command words, in x3 of a request. All of them take the 64-bit form.
pub mod command {
    /// Holds a pattern, made of the seed x5, in the registers for x4 ticks of the system counter, with interrupts
    /// unmasked, or until it is stopped: by STOP, by a managed exit, or by its own timer. With x6 not zero, the next partition, whose id is in its low 16
    /// bits, holds instead, and this one holds the pattern while it waits. With x7 not zero, the timer of the last one
    /// goes off by IRQ x7 ticks after it began. x4 is how many registers have changed in all, x5 the turns of the loop,
    /// x6 the managed exits and x7 the interrupts that came as exceptions meanwhile, all three from the last one.
    pub const HOLD: u64 = 0x5441_0300;
    /// Arms the timer to go off in x4 ticks, signalled by IRQ, or FIQ if x5 is 1; x4 zero turns it off: x4 is
    /// CNTP_CTL_EL0 as it reads afterwards, x5 CNTP_CVAL_EL0, x6 CNTP_TVAL_EL0, x7 the counter.
    pub const ARM_TIMER: u64 = 0x5441_0301;
    /// Asks how often the interrupt x4 came: x4 is how often in all, x5 as IRQ, x6 as FIQ, x7 by FFA_INTERRUPT.
    pub const COUNTS: u64 = 0x5441_0302;
    /// Asks how often a managed exit was asked for: as COUNTS.
    pub const EXITS: u64 = 0x5441_0303;
    /// Makes a paravirtual call with x0 to x3 in x4 to x7: x4 is x0 of what comes back.
    pub const PARAVIRTUAL: u64 = 0x5441_0304;
    /// Lets the real-time clock's alarm, interrupt 34, go off in x4 seconds, at once if that is zero: x4 is the clock's
    /// time. Of the partition that owns the clock only; the others echo it.
    pub const ARM_ALARM: u64 = 0x5441_0305;
    /// Asks when things happened, as counts of the system counter: x4 is when the last HOLD of this partition began, x5
    /// when it ended, x6 when the last interrupt was handled.
    pub const TIMES: u64 = 0x5441_0306;
    /// Ends a HOLD that another execution context of this partition is at.
    pub const STOP: u64 = 0x5441_0307;
    /// Looks for the pattern made of the seed x4, which somebody else has in the FP and SIMD registers: x4 is how many
    /// of them hold it here.
    pub const LOOK: u64 = 0x5441_0308;
    /// Sets the keys of pointer authentication of this execution context by the seed x4: x4 is how many of their ten
    /// registers held what the seed x5 makes, x5 how many what the seed x6 makes, x6 the first of them.
    pub const KEYS: u64 = 0x5441_0309;
}

/// Returns the keys of pointer authentication that `seed` makes. Those of seeds that differ have no register alike.
pub fn keys(seed: u64) -> Keys {
    core::array::from_fn(|index| (seed << 8 | index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// Bounds the interrupts that are told apart.
const SOURCES: usize = 4;

/// Counts how often an interrupt came, by how it did.
#[derive(Debug)]
struct Counts {
    irq: AtomicU64,
    fiq: AtomicU64,
    message: AtomicU64,
}

impl Counts {
    const fn new() -> Self {
        Self { irq: AtomicU64::new(0), fiq: AtomicU64::new(0), message: AtomicU64::new(0) }
    }

    fn count(&self, delivery: Delivery) {
        let counter = match delivery {
            Delivery::Exception(Line::Irq) => &self.irq,
            Delivery::Exception(Line::Fiq) => &self.fiq,
            Delivery::Message => &self.message,
        };
        counter.fetch_add(1, Ordering::AcqRel);
    }

    fn read(&self) -> [u64; 4] {
        let [irq, fiq, message] =
            [&self.irq, &self.fiq, &self.message].map(|counter| counter.load(Ordering::Acquire));
        [irq.wrapping_add(fiq).wrapping_add(message), irq, fiq, message]
    }
}

/// Keeps what interrupts have done to a partition.
#[derive(Debug)]
pub struct Interrupts {
    /// The number of each source, zero where none is known yet, and how often it came.
    sources: [(AtomicU32, Counts); SOURCES],
    exits: Counts,
    /// How many exceptions there were, on all execution contexts.
    exceptions: AtomicU64,
    /// When the last HOLD began and ended, and when the last interrupt was handled.
    began: AtomicU64,
    ended: AtomicU64,
    handled: AtomicU64,
    /// Not zero once HOLD is to end, until it has.
    stop: AtomicU32,
}

impl Interrupts {
    pub(crate) const fn new() -> Self {
        Self {
            sources: [const { (AtomicU32::new(0), Counts::new()) }; SOURCES],
            exits: Counts::new(),
            exceptions: AtomicU64::new(0),
            began: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            handled: AtomicU64::new(0),
            stop: AtomicU32::new(0),
        }
    }

    /// Counts an interrupt, and turns the timer off if it is the timer's.
    pub fn handle(&self, intid: u32, delivery: Delivery) {
        if intid == TIMER {
            arm_timer(None);
        }
        self.handled.store(counter(), Ordering::Release);
        if let Some(counts) = self.counts(intid) {
            counts.count(delivery);
        }
        if matches!(delivery, Delivery::Exception(_)) {
            self.exceptions.fetch_add(1, Ordering::AcqRel);
            self.stop.store(1, Ordering::Release);
        }
    }

    /// Ends what HOLD is at.
    pub fn managed_exit(&self, delivery: Delivery) {
        self.exits.count(delivery);
        self.stop.store(1, Ordering::Release);
    }

    /// Answers `request` if it carries a command of this module.
    pub(crate) fn answer(
        &self,
        spmc: &Spmc<'_>,
        request: &DirectMessage,
    ) -> Option<Result<[u64; 5], CallError>> {
        let [word, arguments @ ..] = request.payload;
        let [first, ..] = arguments;
        Some(match word {
            command::HOLD => self.hold(spmc, request, arguments),
            command::ARM_TIMER => Ok(arm(spmc, arguments)),
            command::COUNTS => Ok(self.count_of(arguments)),
            command::EXITS => Ok(answer(self.exits.read())),
            command::PARAVIRTUAL => Ok(paravirtual(spmc, arguments)),
            command::TIMES => Ok(self.times()),
            command::LOOK => Ok([result::OK, look(first), 0, 0, 0]),
            command::KEYS => Ok(change_keys(arguments)),
            command::STOP => {
                self.stop.store(1, Ordering::Release);
                Ok([result::OK, 0, 0, 0, 0])
            }
            _ => return None,
        })
    }

    fn hold(
        &self,
        spmc: &Spmc<'_>,
        request: &DirectMessage,
        [ticks, seed, hops, alarm]: [u64; 4],
    ) -> Result<[u64; 5], CallError> {
        if hops != 0 {
            return pass_on(spmc, request, [ticks, seed, hops, alarm]);
        }
        let exits = self.exits.read();
        let exceptions = self.exceptions.load(Ordering::Acquire);
        if alarm != 0 {
            let [result, code, ..] = arm(spmc, [alarm, 0, 0, 0]);
            if result != result::OK {
                return Ok([result, code, 0, 0, 0]);
            }
        }
        let began = counter();
        let deadline = began.saturating_add(ticks);
        let held = interruptible(|| hold(seed, deadline, &self.stop));
        // It was for this one, even if it came before the loop began.
        self.stop.store(0, Ordering::Release);
        self.began.store(began, Ordering::Release);
        self.ended.store(counter(), Ordering::Release);
        let exits = difference(self.exits.read(), exits);
        let exceptions = self.exceptions.load(Ordering::Acquire).wrapping_sub(exceptions);
        Ok([result::OK, held.changed, held.turns, exits, exceptions])
    }

    fn times(&self) -> [u64; 5] {
        let [began, ended, handled] =
            [&self.began, &self.ended, &self.handled].map(|time| time.load(Ordering::Acquire));
        [result::OK, began, ended, handled, 0]
    }

    fn count_of(&self, [intid, ..]: [u64; 4]) -> [u64; 5] {
        let counts = u32::try_from(intid).ok().and_then(|intid| self.counts(intid));
        answer(counts.map(Counts::read).unwrap_or_default())
    }

    /// Returns the place where `intid` is counted, a free one the first time; `None` if there is none left.
    fn counts(&self, intid: u32) -> Option<&Counts> {
        let (_, counts) = self.sources.iter().find(|(source, _)| {
            match source.compare_exchange(0, intid, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => true,
                Err(known) => known == intid,
            }
        })?;
        Some(counts)
    }
}

fn change_keys([seed, expected, unexpected, _]: [u64; 4]) -> [u64; 5] {
    let found = exchange_keys(keys(seed));
    let [first, ..] = found;
    let count = |seed| {
        found
            .iter()
            .zip(keys(seed))
            .fold(0, |count: u64, (found, key)| count.wrapping_add(u64::from(*found == key)))
    };
    [result::OK, count(expected), count(unexpected), first, 0]
}

/// Has the next partition hold its registers, and holds the own ones meanwhile.
fn pass_on(
    spmc: &Spmc<'_>,
    request: &DirectMessage,
    [ticks, seed, hops, alarm]: [u64; 4],
) -> Result<[u64; 5], CallError> {
    let [low, high, ..] = hops.to_le_bytes();
    // Each holds a pattern of its own.
    let payload = [command::HOLD, ticks, seed.wrapping_add(0x100), hops >> 16, alarm];
    let onward = DirectMessage {
        width: Width::Bits64,
        sender: request.receiver,
        receiver: EndpointId::new(u16::from_le_bytes([low, high])),
        framework: None,
        payload,
    };
    let (registers, changed) = hold_call(spmc, seed, &Call::DirectRequest(onward).encode());
    let response = match Call::decode(&registers) {
        Ok(Call::DirectResponse(response)) => response,
        Ok(Call::Error { status, .. }) => return Err(CallError::Refused(status)),
        _ => {
            let [function, ..] = registers.0;
            return Err(CallError::Answer((function & 0xffff_ffff) as u32));
        }
    };
    let [result, others, turns, exits, exceptions] = response.payload;
    if result == result::OK {
        Ok([result, others.wrapping_add(changed), turns, exits, exceptions])
    } else {
        Ok(response.payload)
    }
}

fn arm(spmc: &Spmc<'_>, [ticks, line, ..]: [u64; 4]) -> [u64; 5] {
    let line = if line == 1 { Line::Fiq } else { Line::Irq };
    if spmc.enable_interrupt(TIMER, Some(line)).is_err() {
        return [result::REFUSED, Status::NotSupported.to_raw().into(), 0, 0, 0];
    }
    let now = counter();
    arm_timer((ticks != 0).then(|| now.saturating_add(ticks)));
    let timer = timer();
    [result::OK, timer.control, timer.compare, timer.left, now]
}

fn paravirtual(spmc: &Spmc<'_>, [x0, x1, x2, x3]: [u64; 4]) -> [u64; 5] {
    let call = tantalum_types::CallRegisters::from_first_eight([x0, x1, x2, x3, 0, 0, 0, 0]);
    let [x0, ..] = spmc.raw(&call).0;
    [result::OK, x0, 0, 0, 0]
}

fn answer([total, irq, fiq, message]: [u64; 4]) -> [u64; 5] {
    [result::OK, total, irq, fiq, message]
}

fn difference([now, ..]: [u64; 4], [before, ..]: [u64; 4]) -> u64 {
    now.wrapping_sub(before)
}
