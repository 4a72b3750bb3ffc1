//! Interrupts of a partition: how they come, and the calls about them.
//!
//! An interrupt comes in one of two ways. While the partition runs with interrupts unmasked it is an exception: an IRQ
//! or an FIQ. While it waits, or when it ends its turn with one pending, it is FFA_INTERRUPT. Either way
//! [`take`] asks the SPMC for the number, lets the partition handle it, and tells the SPMC that it has.
//!
//! The calls are the paravirtual interface that partitions of other SPMCs know too. They are no FF-A calls: a function
//! number in x0, arguments from x1 on, and one result in x0.

use core::sync::atomic::{AtomicU32, Ordering};

use tantalum_ffa::feature;
use tantalum_types::CallRegisters;

#[cfg(target_os = "none")]
use crate::machine::mpidr;
use crate::message::{FROM_ALL, is_notification};
use crate::service::Partition;
use crate::spmc::{CallError, Spmc};

/// Names the line by which a virtual interrupt is signalled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// IRQ.
    Irq,
    /// FIQ.
    Fiq,
}

/// Says how an interrupt came to a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// As an exception, while the partition ran.
    Exception(Line),
    /// By FFA_INTERRUPT, while it waited or ended its turn.
    Message,
}

/// Returns MPIDR_EL1 of the only execution context that there is on the host.
#[cfg(not(target_os = "none"))]
const fn mpidr() -> u64 {
    0x8000_0000
}

/// Says that the SPMC does not do what a paravirtual call asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused;

/// Is the number of the virtual interrupt of the emulated EL1 physical timer.
pub const TIMER: u32 = 3;

const ENABLE: u64 = 0xff03;
const GET: u64 = 0xff04;
const DEACTIVATE: u64 = 0xff08;
const RECONFIGURE: u64 = 0xff09;
const SEND_IPI: u64 = 0xff0a;

/// What RECONFIGURE changes.
const TARGET: u64 = 0;
const SECURITY: u64 = 1;
const ENABLED: u64 = 2;

/// Is what GET answers when nothing is pending.
const NO_INTERRUPT: u32 = 0xffff_ffff;

/// The number of the interrupt that asks for a managed exit, or [`NO_INTERRUPT`].
static MANAGED_EXIT: AtomicU32 = AtomicU32::new(NO_INTERRUPT);

impl Spmc<'_> {
    /// Lets the interrupt `intid` be signalled to this execution context by `line`, or with `None` not any more.
    ///
    /// # Errors
    /// Says so if it is not this partition's.
    pub fn enable_interrupt(&self, intid: u32, line: Option<Line>) -> Result<(), Refused> {
        let kind = u64::from(line == Some(Line::Fiq));
        self.paravirtual([ENABLE, intid.into(), line.is_some().into(), kind])
    }

    /// Takes the pending interrupt with the highest priority and returns its number.
    pub fn next_interrupt(&self) -> Option<u32> {
        let answer = self.paravirtual_raw([GET, 0, 0, 0]);
        (answer != NO_INTERRUPT).then_some(answer)
    }

    /// Says that an interrupt that [`Self::next_interrupt`] returned has been handled.
    ///
    /// # Errors
    /// Says so if it is not this partition's, or not active.
    pub fn end_interrupt(&self, intid: u32) -> Result<(), Refused> {
        self.paravirtual([DEACTIVATE, intid.into(), intid.into(), 0])
    }

    /// Lets a physical interrupt of this partition be signalled on the processing element with the MPIDR_EL1 `mpidr`.
    ///
    /// # Errors
    /// Says so if it is not this partition's, or private to each processing element.
    pub fn route_interrupt(&self, intid: u32, mpidr: u64) -> Result<(), Refused> {
        self.paravirtual([RECONFIGURE, intid.into(), TARGET, mpidr])
    }

    /// Gives a physical interrupt of this partition to the normal world, or takes it back.
    ///
    /// # Errors
    /// Says so if it is not this partition's.
    pub fn secure_interrupt(&self, intid: u32, secure: bool) -> Result<(), Refused> {
        self.paravirtual([RECONFIGURE, intid.into(), SECURITY, (!secure).into()])
    }

    /// Turns a physical interrupt of this partition on or off at its source, the interrupt controller.
    ///
    /// # Errors
    /// Says so if it is not this partition's.
    pub fn gate_interrupt(&self, intid: u32, open: bool) -> Result<(), Refused> {
        self.paravirtual([RECONFIGURE, intid.into(), ENABLED, open.into()])
    }

    /// Interrupts another execution context of this partition.
    ///
    /// # Errors
    /// Says so if there is no such one.
    pub fn interrupt_context(&self, vcpu: u16) -> Result<(), Refused> {
        self.paravirtual([SEND_IPI, vcpu.into(), 0, 0])
    }

    /// Lets [`Partition::managed_exit`] be called when the partition is asked to finish early, which its manifest asks
    /// for, and returns the number of the interrupt that asks.
    ///
    /// # Errors
    /// Refused with NOT_SUPPORTED if the manifest does not ask for it.
    pub fn enable_managed_exit(&self, line: Line) -> Result<u32, CallError> {
        let [intid, _] = self.features(feature::MANAGED_EXIT_INTERRUPT, 0)?;
        // It may be on already, as the manifest says.
        let _ = self.enable_interrupt(intid, Some(line));
        MANAGED_EXIT.store(intid, Ordering::Release);
        Ok(intid)
    }

    fn paravirtual(&self, call: [u64; 4]) -> Result<(), Refused> {
        if self.paravirtual_raw(call) == 0 { Ok(()) } else { Err(Refused) }
    }

    fn paravirtual_raw(&self, [x0, x1, x2, x3]: [u64; 4]) -> u32 {
        let [answer, ..] = self.raw(&CallRegisters::from_first_eight([x0, x1, x2, x3, 0, 0, 0, 0])).0;
        (answer & 0xffff_ffff) as u32
    }
}

/// Reads the notifications that are pending and passes them on.
fn notify(partition: &dyn Partition, spmc: &Spmc<'_>, delivery: Delivery) {
    let context = u16::try_from(mpidr() & 0xff).unwrap_or(0);
    let pending = spmc.id().and_then(|own| spmc.get_notifications(own, context, FROM_ALL));
    // A partition that may not read any has none.
    if let Ok(pending) = pending {
        partition.notified(spmc, &pending, delivery);
    }
}

/// Handles every interrupt that is pending, and returns how many there were.
pub fn take(partition: &dyn Partition, spmc: &Spmc<'_>, delivery: Delivery) -> u32 {
    let mut count = 0_u32;
    while let Some(intid) = spmc.next_interrupt() {
        count = count.saturating_add(1);
        if intid == MANAGED_EXIT.load(Ordering::Acquire) {
            partition.managed_exit(spmc, delivery);
        } else if is_notification(intid) {
            notify(partition, spmc, delivery);
        } else {
            partition.interrupt(spmc, intid, delivery);
        }
        // It was this partition's, or it would not have come.
        let _ = spmc.end_interrupt(intid);
    }
    count
}
