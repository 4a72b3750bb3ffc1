//! What a large partition of the field does while the normal world works with it: the partition "resident", in an
//! image of its own. Its calls at run time are asked for here, by its own words.

use tantalum_ffa::{Call, DirectMessage, MemoryTransaction, Status, Target, Width};
use tantalum_types::{CallRegisters, EndpointId};

use crate::descriptor::{Descriptor, READ_WRITE};
use crate::endpoint::SELF;
use crate::machine::cpus;
use crate::machine::interrupts::{self, SCHEDULE_RECEIVER, TIMER_EL2};
use crate::machine::memory::{PAGE, Pages};
use crate::mailbox::Mailbox;
use crate::test::{Answer, Case, Test, cases};
use tantalum_payload::call::wait;
use tantalum_payload::console::ticks_per_second;

pub(crate) const CASES: &[Case] = cases![
    resident_answers_on_every_cpu,
    resident_logs,
    resident_borrows_memory,
    resident_passes_its_interrupt_on,
    resident_begins_with_its_cpu,
    resident_is_preempted,
    resident_is_preempted_anywhere,
];

/// Is the partition.
const RESIDENT: EndpointId = EndpointId::new(0x8001);
/// Is the partition beside it.
const BESIDE: EndpointId = EndpointId::new(0x8002);

/// Is the interrupt of the secure UART, which the partition owns.
const UART_INTERRUPT: u64 = 40;
/// Is the notification that the interrupt becomes.
const NOTIFICATION: u64 = 35;

/// Command words, in w3 of a request; the answer has 0 in w3.
mod command {
    /// w4: bits 15:0 the partition's id, bits 31:16 the SPMC's; w5 the SPMC's version; w6 what was refused at boot; w7
    /// how many interrupts were handled.
    pub(super) const STATE: u64 = 0x5441_0500;
    /// Retrieves the memory w4 (low) and w5: w4 is 0 or the error code, w5 and w6 the address, w7 the pages.
    pub(super) const RETRIEVE: u64 = 0x5441_0501;
    /// Stores w5 in the word w4 of the memory: w4 is 0 or 1 if there is none, w5 is what was there.
    pub(super) const EXCHANGE: u64 = 0x5441_0502;
    /// Relinquishes the memory: w4 is 0 or the error code.
    pub(super) const RELINQUISH: u64 = 0x5441_0503;
    /// Logs a line: w4 is 0 or the error code.
    pub(super) const LOG: u64 = 0x5441_0504;
    /// Makes the UART raise its interrupt, which sets notification w4.
    pub(super) const RAISE: u64 = 0x5441_0505;
    /// w4 the interrupt that was handled last, w5 the error code of the notification, w6 that of the deactivation.
    pub(super) const LAST_INTERRUPT: u64 = 0x5441_0506;
    /// w4 is how often an execution context other than the first began at its entry.
    pub(super) const STARTS: u64 = 0x5441_0507;
}

/// Builds a request in the 32-bit form, as the partition's driver does.
fn request(payload: [u64; 5]) -> DirectMessage {
    DirectMessage { width: Width::Bits32, sender: SELF, receiver: RESIDENT, framework: None, payload }
}

/// Sends a command and returns w4 to w7 of the answer.
#[track_caller]
fn tells(t: &Test, command: u64, [w4, w5]: [u64; 2]) -> [u64; 4] {
    let [result, answer @ ..] = t.ask(&request([command, w4, w5, 0, 0]));
    t.equal("result of the partition", result, 0);
    answer
}

/// Asserts that the partition answers on this CPU, with all of what it is sent.
#[track_caller]
fn answers(t: &Test) {
    let payload = [1, 0xffff_ffff, 0, 0x8000_0000, cpus::current() as u64];
    let answer = t.ask(&request(payload));
    t.check(answer == payload, format_args!("CPU {}: got {answer:x?}", cpus::current()));
}

/// Asserts that nothing was refused to the partition at boot, and that it answers on every CPU, as the one beside it
/// does. It is the first case: it says which version of FF-A is spoken.
fn resident_answers_on_every_cpu(t: &Test) {
    t.call(&Call::Version { requested: t.version().to_raw() });
    for cpu in 0..cpus::COUNT {
        cpus::on(cpu, || {
            answers(t);
            let [ids, version, refused, _] = tells(t, command::STATE, [0, 0]);
            t.equal("ids", ids, 0x8000_8001);
            t.equal("version of the SPMC", version, 0x1_0002);
            t.equal("what was refused at boot", refused, 0);
            t.echoes(BESIDE);
        });
    }
    cpus::on_all(|_| (0..20).for_each(|_| answers(t)));
}

fn resident_logs(t: &Test) {
    for cpu in 0..cpus::COUNT {
        cpus::on(cpu, || t.equal("code of the log", tells(t, command::LOG, [0, 0])[0], 0));
    }
}

/// Shares `pages` with the partition and returns the handle.
#[track_caller]
fn share(t: &Test, mailbox: &Mailbox<'_>, pages: &Pages) -> u64 {
    let ranges = [(pages.address(), (pages.size() / PAGE) as u32)];
    let encoded = Descriptor::new(&[(RESIDENT, READ_WRITE, 0)], &ranges).encode(t.version());
    mailbox.tx.write(0, encoded.bytes());
    let length = encoded.bytes().len() as u32;
    let [w2, w3, ..] = t.succeeds(&Call::MemShare(MemoryTransaction {
        width: Width::Bits64,
        total_length: length,
        fragment_length: length,
        address: 0,
        page_count: 0,
    }));
    u64::from(w3) << 32 | u64::from(w2)
}

/// The partition retrieves memory of the normal world by its own descriptor, reads what is there, writes, and gives
/// it back. What it has written is there, and nothing else has changed.
fn resident_borrows_memory(t: &Test) {
    let mailbox = Mailbox::new(t);
    let memory = Pages::at(0x1000, 2);
    let pages = (memory.size() / PAGE) as u64;
    for cpu in [0, 1, 7] {
        memory.fill(0x5a);
        // The last word of the first page, and the second of the other.
        let words: [(u64, u64); 2] = [(511, 0x1234_5678), (513, 0x9abc_def0)];
        for (index, value) in words {
            memory.set_word(index as usize * 8, value);
        }
        let handle = share(t, &mailbox, &memory);
        let halves = [handle & 0xffff_ffff, handle >> 32];
        let reclaim = Call::MemReclaim { handle, flags: 0 };
        cpus::on(cpu, || {
            let retrieved = tells(t, command::RETRIEVE, halves);
            let expected = [0, memory.address(), 0, pages];
            t.check(retrieved == expected, format_args!("retrieved {retrieved:x?}, not {expected:x?}"));
            for (index, value) in words {
                let [code, found, ..] = tells(t, command::EXCHANGE, [index, !value & 0xffff_ffff]);
                t.check([code, found] == [0, value], format_args!("word {index}: {code}, {found:#x}"));
            }
            t.equal("a word beyond the memory", tells(t, command::EXCHANGE, [pages * 512, 1])[0], 1);
        });
        t.refused(&reclaim, Status::Denied);
        cpus::on(cpu, || t.equal("code", tells(t, command::RELINQUISH, [0, 0])[0], 0));
        t.succeeds(&reclaim);
        for (index, value) in words {
            t.equal("what it has written", memory.word(index as usize * 8), !value & 0xffff_ffff);
            memory.set_word(index as usize * 8, 0x5a5a_5a5a_5a5a_5a5a);
        }
        t.check(memory.is_filled(0, 0x5a), format_args!("it has written elsewhere"));
        let [code, ..] = tells(t, command::RETRIEVE, halves);
        t.equal("retrieved once more", code, Status::InvalidParameters.to_raw().into());
    }
}

/// Returns how often the schedule receiver interrupt has come, to any CPU.
fn schedule_receivers() -> u32 {
    (0..cpus::COUNT).map(|cpu| interrupts::count(cpu, SCHEDULE_RECEIVER)).sum()
}

/// Lets the UART raise its interrupt from `cpu`, and asserts that it becomes the notification, once.
#[track_caller]
fn passes_its_interrupt_on(t: &Test, cpu: usize) {
    let handled = tells(t, command::STATE, [0, 0])[3];
    let before = schedule_receivers();
    cpus::on(cpu, || {
        // The UART asks for its interrupt when something was sent.
        tells(t, command::LOG, [0, 0]);
        tells(t, command::RAISE, [NOTIFICATION, 0]);
    });
    let micros = ticks_per_second() / 1_000_000;
    for _ in 0..1_000 {
        if schedule_receivers() != before {
            break;
        }
        let changed = wait(10 * micros);
        t.check(changed.is_none(), format_args!("the normal world finds {changed:x?}"));
    }
    // One more would come by then.
    _ = wait(100 * micros);
    t.equal("schedule receiver interrupts", (schedule_receivers() - before).into(), 1);
    let info = t.call(&Call::NotificationInfoGet { width: Width::Bits64 });
    match Call::decode(&info) {
        Ok(Call::Success64 { results: [flags, ids, ..], .. }) => {
            // One entry, which has no execution contexts, and no more is pending.
            t.equal("what the list says", flags, 1 << 7);
            t.equal("who is listed", ids, SELF.raw().into());
        }
        _ => t.check(false, format_args!("expected FFA_SUCCESS (64-bit), got {}", Answer(&info))),
    }
    for expected in [1 << NOTIFICATION, 0] {
        let [low, high, ..] = t.succeeds(&Call::NotificationGet { receiver: SELF, vcpu: 0, flags: 1 });
        t.equal("pending notifications", u64::from(high) << 32 | u64::from(low), expected);
    }
    let last = tells(t, command::LAST_INTERRUPT, [0, 0]);
    t.check(last == [UART_INTERRUPT, 0, 0, 0], format_args!("the partition handled {last:x?}"));
    t.equal("interrupts that it handled", tells(t, command::STATE, [0, 0])[3] - handled, 1);
}

/// Binds the notification while `work` lasts.
#[track_caller]
fn with_notification(t: &Test, work: impl FnOnce()) {
    let bitmap = 1 << NOTIFICATION;
    t.succeeds(&Call::NotificationBitmapCreate { endpoint: SELF, vcpu_count: cpus::COUNT as u32 });
    t.succeeds(&Call::NotificationBind { sender: RESIDENT, receiver: SELF, flags: 0, bitmap });
    work();
    t.succeeds(&Call::NotificationUnbind { sender: RESIDENT, receiver: SELF, bitmap });
    t.succeeds(&Call::NotificationBitmapDestroy { endpoint: SELF });
}

/// The interrupt of the partition's device, whichever CPU made it come, ends in a notification of the normal world.
fn resident_passes_its_interrupt_on(t: &Test) {
    with_notification(t, || {
        for cpu in [0, 0, 5, 7, 0] {
            passes_its_interrupt_on(t, cpu);
        }
    });
}

/// A CPU that was off begins anew in the partition, at the entry that was registered for it, and works.
fn resident_begins_with_its_cpu(t: &Test) {
    let starts = || tells(t, command::STARTS, [0, 0])[0];
    t.equal("execution contexts that began at boot", starts(), cpus::COUNT as u64 - 1);
    with_notification(t, || {
        for cpu in [3, 7, 3] {
            let before = starts();
            cpus::turn_off(cpu);
            answers(t);
            t.equal("execution contexts that began meanwhile", starts() - before, 0);
            t.check(cpus::turn_on(cpu).is_ok(), format_args!("CPU {cpu} does not come back"));
            cpus::on(cpu, || answers(t));
            t.equal("execution contexts that began", starts() - before, 1);
            passes_its_interrupt_on(t, cpu);
        }
    });
    cpus::on_all(|_| answers(t));
}

/// Makes a call while the timer of the normal world fires `delay` ticks later, and lets it in afterwards.
#[track_caller]
fn with_timer(t: &Test, delay: u64, call: &Call) -> CallRegisters {
    interrupts::masked(|| {
        interrupts::fire_el2_timer(delay);
        t.call(call)
    })
}

/// Asserts that `answer` says that the partition was interrupted on this CPU.
#[track_caller]
fn is_interrupted(t: &Test, answer: &CallRegisters) -> Target {
    let expected = Target { endpoint: RESIDENT, vcpu: cpus::current() as u16 };
    t.check(
        matches!(Call::decode(answer), Ok(Call::Interrupt { target, intid: 0 }) if target == expected),
        format_args!("expected FFA_INTERRUPT of {expected:?}, got {}", Answer(answer)),
    );
    expected
}

/// The partition's manifest says that an interrupt of the normal world is signaled: the normal world gets its CPU back
/// at once and the answer after FFA_RUN; till then the partition is busy on that CPU, and on no other.
fn resident_is_preempted(t: &Test) {
    for cpu in [0, 4, 7] {
        cpus::on(cpu, || {
            let message = request([5, 4, 3, 2, cpu as u64]);
            let before = interrupts::count(cpu, TIMER_EL2);
            let target = is_interrupted(t, &with_timer(t, 0, &Call::DirectRequest(message)));
            t.equal("interrupts of the timer", (interrupts::count(cpu, TIMER_EL2) - before).into(), 1);
            t.refused(&Call::DirectRequest(message), Status::Busy);
            is_interrupted(t, &with_timer(t, 0, &Call::Run { target }));
            let answer = t.is_response(&message, &t.call(&Call::Run { target }));
            t.check(answer == message.payload, format_args!("CPU {cpu}: got {answer:x?}"));
            answers(t);
        });
        answers(t);
    }
}

/// Wherever the interrupt comes while the partition works and makes calls of its own, nothing is lost.
fn resident_is_preempted_anywhere(t: &Test) {
    let mut interrupted = 0;
    let message = request([command::LOG, 0, 0, 0, 0]);
    for delay in (0..2_000).step_by(40) {
        let mut answer = with_timer(t, delay, &Call::DirectRequest(message));
        while let Ok(Call::Interrupt { .. }) = Call::decode(&answer) {
            let target = is_interrupted(t, &answer);
            interrupted += 1;
            answer = t.call(&Call::Run { target });
        }
        let answer = t.is_response(&message, &answer);
        t.check(answer == [0; 5], format_args!("after {delay} ticks: got {answer:x?}"));
    }
    interrupts::fire_el2_timer(0);
    t.check(interrupted >= 5, format_args!("only {interrupted} of 50 requests were interrupted"));
    t.echoes(BESIDE);
}
