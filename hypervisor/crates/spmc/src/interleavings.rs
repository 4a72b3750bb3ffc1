//! Threads in every order: the words of virtual interrupts, execution contexts, mailboxes, lives.
//!
//! `RUSTFLAGS="--cfg shuttle" cargo test -p tantalum-spmc --lib interleavings` runs them. Each test goes through every
//! order of the operations on locks and atomic words of its threads.

extern crate std;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::vec::Vec;

use shuttle::thread;
use tantalum_ffa::{Status, Version};
use tantalum_hal::{AccessError, InterruptSetting, PhysicalMemory, Trigger};
use tantalum_manifest::AbortAction;
use tantalum_types::{CpuIndex, Pa, PageRange};

use crate::lifecycle::{Life, Lifecycle, Outcome, Rest};
use crate::mailbox::Mailbox;
use crate::shared_vcpu::SharedVcpu;
use crate::sync::Mutex;
use crate::vcpu::{AfterInit, RunModel, State};
use crate::version::Negotiation;
use crate::virtual_interrupts::{ContextInterrupts, Line, OwnedInterrupts};

/// Goes through every order.
fn in_every_order(body: impl Fn() + Send + Sync + 'static) {
    shuttle::check_dfs(body, None);
}

/// Is the interrupt of the tests.
const INTID: u32 = 40;

fn owned() -> OwnedInterrupts {
    let mut owned = OwnedInterrupts::new();
    let target = CpuIndex::default();
    let setting =
        InterruptSetting { enabled: true, priority: 1, trigger: Trigger::Edge, secure: true, target };
    assert!(owned.add(INTID, setting, None));
    owned
}

/// An interrupt that comes while its owner is about to wait is got before it is ended. It once was not: what has been
/// taken from the interrupt controller was in one word before it was in the other.
#[test]
fn an_interrupt_is_ended_after_it_was_got() {
    in_every_order(|| {
        let owned = Arc::new(owned());
        let interrupts = Arc::new(ContextInterrupts::new());
        interrupts.enable(owned.slot(INTID).unwrap(), Line::Irq);
        // The interrupt controller signals it only while it is not active.
        let active = Arc::new(AtomicBool::new(false));
        let comes = {
            let (owned, interrupts, active) = (owned.clone(), interrupts.clone(), active.clone());
            thread::spawn(move || {
                if !active.swap(true, Relaxed) {
                    interrupts.pend(owned.slot(INTID).unwrap());
                }
            })
        };
        let (mut got, mut ended) = (0, 0);
        for _ in 0..2 {
            // As INTERRUPT_GET and then FFA_MSG_WAIT.
            got += interrupts.take(&owned).iter().count();
            if !interrupts.is_quiet() {
                for intid in interrupts.end_handled(&owned) {
                    assert_eq!(intid, INTID);
                    ended += 1;
                    active.store(false, Relaxed);
                }
            }
            assert!(ended <= got, "it was ended before it was got");
        }
        comes.join().unwrap();
        got += interrupts.take(&owned).iter().count();
        ended += interrupts.end_handled(&owned).count();
        assert_eq!((got, ended), (1, 1));
    });
}

/// Whoever makes an interrupt pending kicks the right processing element, or the one that enters sees it.
#[test]
fn no_interrupt_is_overlooked_by_who_is_entered() {
    in_every_order(|| {
        let owned = Arc::new(owned());
        let interrupts = Arc::new(ContextInterrupts::new());
        interrupts.enable(owned.slot(INTID).unwrap(), Line::Irq);
        let here = CpuIndex::new(3).unwrap();
        let enters = {
            let interrupts = interrupts.clone();
            thread::spawn(move || interrupts.enter_on(here).0.irq)
        };
        interrupts.pend(owned.slot(INTID).unwrap());
        let kicked = interrupts.runs_on();
        let seen = enters.join().unwrap();
        assert!(seen || kicked == Some(here), "nobody told it");
    });
}

/// Whoever stops a partition ends every interrupt that it had, though it takes one meanwhile.
#[test]
fn every_interrupt_of_a_stopped_one_is_ended() {
    in_every_order(|| {
        let owned = Arc::new(owned());
        let interrupts = Arc::new(ContextInterrupts::new());
        let slot = owned.slot(INTID).unwrap();
        interrupts.enable(slot, Line::Irq);
        interrupts.pend(slot);
        let takes = {
            let (owned, interrupts) = (owned.clone(), interrupts.clone());
            thread::spawn(move || {
                interrupts.take(&owned);
            })
        };
        let mut ended = interrupts.end_all(&owned).count();
        takes.join().unwrap();
        // With the last of its execution contexts once more.
        ended += interrupts.end_all(&owned).count();
        assert_eq!(ended, 1);
    });
}

/// One of two gives work to an execution context, whichever is first.
#[test]
fn an_execution_context_has_one_master() {
    in_every_order(|| {
        let shared = Arc::new(SharedVcpu::new());
        shared.lock().start(AfterInit::NextInBoot).unwrap();
        shared.lock().wait().unwrap();
        let entered = Arc::new(AtomicUsize::new(0));
        let both: Vec<_> = (0..2)
            .map(|_| {
                let (shared, entered) = (shared.clone(), entered.clone());
                thread::spawn(move || {
                    if shared.is_at_work() {
                        return;
                    }
                    match shared.lock().enter(RunModel::Run) {
                        Ok(()) => {
                            entered.fetch_add(1, Relaxed);
                        }
                        Err(status) => assert_eq!(status, Status::Busy),
                    }
                })
            })
            .collect();
        for one in both {
            one.join().unwrap();
        }
        assert_eq!(entered.load(Relaxed), 1);
        assert!(shared.is_at_work());
        assert_eq!(shared.lock().state(), State::Running(RunModel::Run));
    });
}

/// Who has seen the end of the work of an execution context sees it idle.
#[test]
fn who_has_got_the_answer_sees_its_giver_idle() {
    in_every_order(|| {
        let shared = Arc::new(SharedVcpu::new());
        shared.lock().start(AfterInit::NextInBoot).unwrap();
        let answered = Arc::new(crate::sync::atomic::AtomicBool::new(false));
        let gives = {
            let (shared, answered) = (shared.clone(), answered.clone());
            thread::spawn(move || {
                shared.lock().wait().unwrap();
                answered.store(true, crate::sync::atomic::Ordering::SeqCst);
            })
        };
        if answered.load(crate::sync::atomic::Ordering::SeqCst) {
            assert!(!shared.is_at_work());
        }
        gives.join().unwrap();
    });
}

/// Is two pages of memory from 0x1000 on.
struct Memory(std::sync::Mutex<[u8; 0x3000]>);

impl PhysicalMemory for Memory {
    fn read(&self, from: Pa, to: &mut [u8]) -> Result<(), AccessError> {
        let start = usize::try_from(from.raw()).unwrap();
        to.copy_from_slice(&self.0.lock().unwrap()[start..start + to.len()]);
        Ok(())
    }

    fn write(&self, to: Pa, from: &[u8]) -> Result<(), AccessError> {
        let start = usize::try_from(to.raw()).unwrap();
        self.0.lock().unwrap()[start..start + from.len()].copy_from_slice(from);
        Ok(())
    }

    fn zero(&self, range: &PageRange<Pa>) -> Result<(), AccessError> {
        panic!("nobody asked to clear {range:?}");
    }
}

/// An RX buffer has one message at a time, whole, until its owner has given it back.
#[test]
fn a_message_is_whole_and_stays_until_it_is_given_back() {
    in_every_order(|| {
        let memory = Arc::new(Memory(std::sync::Mutex::new([0; 0x3000])));
        let page = |address| PageRange::new(Pa::non_secure(address), 1).unwrap();
        let mut mailbox = Mailbox::new();
        mailbox.map(page(0x1000), page(0x2000)).unwrap();
        let mailbox = Arc::new(Mutex::new(mailbox));
        let senders: Vec<_> = (1..=2_u8)
            .map(|sender| {
                let (memory, mailbox) = (memory.clone(), mailbox.clone());
                thread::spawn(move || match mailbox.lock().deliver(&[sender; 8], &*memory) {
                    Ok(()) => 1,
                    Err(status) => {
                        assert_eq!(status, Status::Busy);
                        0
                    }
                })
            })
            .collect();
        let mut read = 0;
        for _ in 0..2 {
            // Only who owns the buffer looks into it.
            let owns = mailbox.lock().check_rx_free() == Err(Status::Busy);
            if owns {
                let mut message = [0; 8];
                memory.read(Pa::non_secure(0x2000), &mut message).unwrap();
                assert!(message[0] != 0 && message == [message[0]; 8], "{message:?} is none");
                mailbox.lock().release().unwrap();
                read += 1;
            }
        }
        let delivered: usize = senders.into_iter().map(|sender| sender.join().unwrap()).sum();
        let left = usize::from(mailbox.lock().release().is_ok());
        assert_eq!(read + left, delivered, "a message was lost");
    });
}

/// Of two that see the end of a partition, one does the rest.
#[test]
fn one_of_two_does_the_rest_of_a_partition() {
    in_every_order(|| {
        let life = Arc::new(Lifecycle::new());
        assert!(life.claim());
        life.initialised();
        let both: Vec<_> = (0..2)
            .map(|_| {
                let life = life.clone();
                thread::spawn(move || {
                    let first = life.abort(AbortAction::Restart);
                    let rest = life.settle();
                    match rest {
                        Some(Rest::Restore) => life.rested(Outcome::Fresh),
                        Some(Rest::Bury) => life.rested(Outcome::Over),
                        None => {}
                    }
                    (usize::from(first), usize::from(rest.is_some()), usize::from(life.claim()))
                })
            })
            .collect();
        let done: Vec<_> = both.into_iter().map(|one| one.join().unwrap()).collect();
        // A second fault may come in the next life, which the first one began.
        let sum = |pick: fn(&(usize, usize, usize)) -> usize| done.iter().map(pick).sum::<usize>();
        let (ends, rests, begins) = (sum(|one| one.0), sum(|one| one.1), sum(|one| one.2));
        assert!(ends >= 1 && rests == ends, "{done:?}");
        assert!(begins <= rests, "it begins as often as it was restored: {done:?}");
        assert!(matches!(life.now(), Life::Booting | Life::Stopped), "{:?}", life.now());
    });
}

/// A version that was agreed on before another call is the one that is spoken.
#[test]
fn a_version_does_not_change_once_it_is_frozen() {
    in_every_order(|| {
        let negotiation = Arc::new(Negotiation::new(Version::V1_0));
        let asks = {
            let negotiation = negotiation.clone();
            thread::spawn(move || negotiation.request(0x1_0001).is_ok())
        };
        negotiation.freeze();
        let frozen = negotiation.version();
        let agreed = asks.join().unwrap();
        assert_eq!(negotiation.version(), frozen);
        assert_eq!(agreed, frozen == Version::V1_1);
    });
}
