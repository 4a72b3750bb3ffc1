//! Many messages from several CPUs at once, while interrupts of both worlds come: none is lost, none is carried out
//! twice, and no state of one reaches another.
//!
//! Each CPU numbers its messages. What comes back is compared with what was sent, number by number; that each was
//! carried out once, the partitions' own counts say, and the sums of the values that they pass on. Meanwhile a timer
//! interrupts each CPU, whatever runs on it, and the partition that owns secure interrupts is kept supplied with them.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use spin::Mutex;
use tantalum_ffa::{Call, DirectMessage, Status, Width};
use tantalum_types::EndpointId;

use crate::endpoint::{ALARM_INTERRUPT, ECHO, IRQ, RELAY, TIMER_INTERRUPT, command, request, result};
use crate::machine::cpus;
use crate::machine::interrupts::{self, TIMER_EL2};
use crate::test::{Case, Test, cases};
use tantalum_payload::console::{line, ticks_per_second};

pub(crate) const CASES: &[Case] = cases![soak_briefly];

/// Is the only case of a long run.
pub(crate) const LONG: &[Case] = cases![soak];

/// Counts the CPUs that send.
const SENDERS: usize = 4;
/// Counts the kinds of messages. They take turns.
const KINDS: u64 = 16;
/// Is how many messages of a CPU lie between two looks at the secure interrupts.
const LOOK_EVERY: u64 = 32;

/// Is how many messages the long run sends.
pub(crate) static LONG_COUNT: AtomicU32 = AtomicU32::new(100_000);

fn soak_briefly(t: &Test) {
    run(t, 4_000);
}

fn soak(t: &Test) {
    run(t, LONG_COUNT.load(Ordering::Acquire).into());
}

/// Is what all CPUs count together.
#[derive(Default)]
struct Totals {
    answered: AtomicU64,
    preempted: AtomicU64,
    busy: AtomicU64,
    /// How often each partition was told to store a value; the sum of those, and the sum of what was stored before.
    stores: [AtomicU64; 2],
    stored: [AtomicU64; 2],
    returned: [AtomicU64; 2],
    secure: Mutex<Secure>,
}

/// Is how many secure interrupts were asked for.
#[derive(Default)]
struct Secure {
    timers: u64,
    alarms: u64,
    before: (u64, u64),
}

/// Lists the partitions that are told to store values.
const KEEPERS: [EndpointId; 2] = [ECHO, IRQ];

fn add(to: &AtomicU64, value: u64) {
    to.fetch_add(value, Ordering::AcqRel);
}

/// Sends a message until it is answered, and returns the answer. `None` means that its receiver was at work, which a
/// partition with one execution context may be.
#[track_caller]
fn send(t: &Test, totals: &Totals, message: &DirectMessage) -> Option<[u64; 5]> {
    let mut answer = t.call(&Call::DirectRequest(*message));
    while let Ok(Call::Interrupt { target, .. }) = Call::decode(&answer) {
        add(&totals.preempted, 1);
        answer = t.call(&Call::Run { target });
    }
    if let Ok(Call::Error { status: Status::Busy, .. }) = Call::decode(&answer) {
        t.check(message.receiver == IRQ, format_args!("{} is busy", message.receiver));
        add(&totals.busy, 1);
        return None;
    }
    Some(t.is_response(message, &answer))
}

/// Sends a message until it is answered and not by BUSY.
#[track_caller]
fn send_until_served(t: &Test, totals: &Totals, message: &DirectMessage) -> [u64; 5] {
    loop {
        if let Some(answer) = send(t, totals, message) {
            return answer;
        }
    }
}

/// Sends message number `number` of a CPU.
fn message(t: &Test, totals: &Totals, cpu: usize, number: u64) {
    let word = (cpu as u64 + 1) << 48 | number;
    match number % KINDS {
        7 | 8 => store(t, totals, 0, word),
        14 => store(t, totals, 1, word),
        9 => {
            // It keeps a pattern in all its registers for a while, as this CPU does in its own.
            let answer =
                send_until_served(t, totals, &request(ECHO, [command::HOLD, 400, word & 0xffff, 0, 0]));
            t.check(answer[..2] == [result::OK, 0], format_args!("CPU {cpu}, {number}: held {answer:x?}"));
        }
        10 | 11 => passed_on(t, totals, &[ECHO], word),
        12 => passed_on(t, totals, &[IRQ, ECHO], word),
        13 => returns(t, totals, &request(IRQ, [word, !word, 0, word << 8, 13])),
        15 => {
            let short = (cpu as u64 + 1) << 24 | number & 0xff_ffff;
            let payload = [short, !short & 0xffff_ffff, 0, 15, short ^ 0x5555_5555];
            returns(t, totals, &DirectMessage { width: Width::Bits32, ..request(RELAY, payload) });
        }
        kind => returns(t, totals, &request(ECHO, [word, !word, u64::MAX - word, word << 7, kind])),
    }
    add(&totals.answered, 1);
}

/// Sends what comes back as it is.
fn returns(t: &Test, totals: &Totals, message: &DirectMessage) {
    let answer = send_until_served(t, totals, message);
    t.check(answer == message.payload, format_args!("sent {:x?}, got {answer:x?}", message.payload));
}

/// Lets a partition store a value.
fn store(t: &Test, totals: &Totals, keeper: usize, value: u64) {
    let answer = send_until_served(t, totals, &request(KEEPERS[keeper], [command::EXCHANGE, value, 0, 0, 0]));
    t.equal("result of the partition", answer[0], result::OK);
    add(&totals.stores[keeper], 1);
    add(&totals.stored[keeper], value);
    add(&totals.returned[keeper], answer[1]);
}

/// Sends a value along a chain.
fn passed_on(t: &Test, totals: &Totals, hops: &[EndpointId], value: u64) {
    let list = hops.iter().rev().fold(0, |list, hop| list << 16 | u64::from(hop.raw()));
    let trail = hops.iter().fold(u64::from(RELAY.raw()), |trail, hop| trail << 16 | u64::from(hop.raw()));
    let expected = [result::OK, 0, value + 1, hops.len() as u64, trail];
    let message = request(RELAY, [command::RELAY, list, value, 0, 0]);
    loop {
        let answer = send_until_served(t, totals, &message);
        if hops.contains(&IRQ) && answer[..2] == [result::REFUSED, Status::Busy.to_raw().into()] {
            // The chain has not come further than to who was at work.
            add(&totals.busy, 1);
            continue;
        }
        t.check(answer == expected, format_args!("sent {value:#x} along {hops:?}, got {answer:x?}"));
        return;
    }
}

/// Returns how often the timer and the alarm of the partition that owns them have come.
fn secure_interrupts(t: &Test, totals: &Totals) -> (u64, u64) {
    let count = |intid: u32| {
        let answer = send_until_served(t, totals, &request(IRQ, [command::COUNTS, intid.into(), 0, 0, 0]));
        t.equal("result of the partition", answer[0], result::OK);
        answer[1]
    };
    (count(TIMER_INTERRUPT), count(ALARM_INTERRUPT))
}

/// Asks for the next secure interrupts once the last ones have come; never twice for one, so that they can be counted.
fn supply(t: &Test, totals: &Totals) {
    let Some(mut secure) = totals.secure.try_lock() else { return };
    let (timers, alarms) = secure_interrupts(t, totals);
    if timers == secure.before.0 + secure.timers {
        let armed = send_until_served(t, totals, &request(IRQ, [command::ARM_TIMER, 2_000, 0, 0, 0]));
        t.equal("result of the partition", armed[0], result::OK);
        secure.timers += 1;
    }
    if alarms == secure.before.1 + secure.alarms {
        let armed = send_until_served(t, totals, &request(IRQ, [command::ARM_ALARM, 0, 0, 0, 0]));
        t.equal("result of the partition", armed[0], result::OK);
        secure.alarms += 1;
    }
}

/// Sends `count` messages.
fn run(t: &Test, count: u64) {
    let totals = Totals::default();
    totals.secure.lock().before = secure_interrupts(t, &totals);
    let kept = KEEPERS.map(|keeper| {
        let [_, value, stores, ..] = t.ask(&request(keeper, [command::EXCHANGE, 0, 0, 0, 0]));
        _ = value;
        stores
    });
    let interrupts_before: [u32; SENDERS] = core::array::from_fn(|cpu| interrupts::count(cpu, TIMER_EL2));
    let share = count / SENDERS as u64;
    // About every 100 microseconds.
    let period = ticks_per_second() / 10_000;
    let step = (count / 10).max(1);

    cpus::on_all(|cpu| {
        if cpu >= SENDERS {
            return;
        }
        interrupts::repeat_el2_timer(period);
        for number in 0..share {
            message(t, &totals, cpu, number);
            if number % LOOK_EVERY == 0 {
                supply(t, &totals);
            }
            // Only one CPU says how far all of them are.
            if cpu == 0 && number * SENDERS as u64 % step < SENDERS as u64 {
                line(format_args!(
                    "# soak: {} of {count} messages answered",
                    totals.answered.load(Ordering::Acquire)
                ));
            }
        }
        interrupts::stop_el2_timer();
    });

    let Totals { answered, preempted, busy, stores, stored, returned, secure } = &totals;
    let read = |counter: &AtomicU64| counter.load(Ordering::Acquire);
    let Secure { timers, alarms, before } = *secure.lock();
    let mut came = (0, 0);
    // The last ones may be on their way.
    for _ in 0..1_000 {
        came = secure_interrupts(t, &totals);
        if came == (before.0 + timers, before.1 + alarms) {
            break;
        }
    }
    let (timers_came, alarms_came) = (came.0 - before.0, came.1 - before.1);
    let interrupted: [u32; SENDERS] =
        core::array::from_fn(|cpu| interrupts::count(cpu, TIMER_EL2) - interrupts_before[cpu]);
    let sent = share * SENDERS as u64;
    line(format_args!("# soak: {sent} messages sent by {SENDERS} CPUs, {} answered", read(answered)));
    line(format_args!(
        "# soak: {} Non-secure interrupts, {} of them in partitions; {timers_came} of {timers} secure timers, \
         {alarms_came} of {alarms} alarms; {} times busy",
        interrupted.iter().sum::<u32>(),
        read(preempted),
        read(busy),
    ));
    t.equal("messages that were answered", read(answered), sent);
    for (index, keeper) in KEEPERS.into_iter().enumerate() {
        let [_, last, total, ..] = t.ask(&request(keeper, [command::EXCHANGE, 0, 0, 0, 0]));
        // This question is the one more.
        t.equal("values that were stored", total - kept[index] - 1, read(&stores[index]));
        // What was stored came back with the next, but for the last, and began with zero.
        t.equal("sum of the values", read(&returned[index]).wrapping_add(last), read(&stored[index]));
    }
    t.equal("secure timers that came", timers_came, timers);
    t.equal("alarms that came", alarms_came, alarms);
    for (cpu, interrupts) in interrupted.into_iter().enumerate() {
        t.check(interrupts > 0, format_args!("CPU {cpu} was not interrupted"));
    }
    t.check(read(preempted) > 0, format_args!("no partition was interrupted"));
    t.check(timers > 0 && alarms > 0, format_args!("there were no secure interrupts"));
}
