//! Secure Partition that owns a secure interrupt: the alarm of the real-time clock.

#![no_std]
#![no_main]

mod alarm;

use tantalum_ffa::notification::PendingNotifications;
use tantalum_ffa::{DirectMessage, FrameworkMessage};
use tantalum_protocol::interrupt::command::ARM_ALARM;
use tantalum_protocol::{Protocol, result};
use tantalum_sdk::{Boot, CallError, Delivery, Line, Partition, Spmc, mpidr, println};

use crate::alarm::Alarm;

/// Answers the test messages.
struct Irq {
    protocol: Protocol,
    alarm: Alarm,
}

static IRQ: Irq = Irq { protocol: Protocol::new("irq"), alarm: Alarm::new() };

tantalum_sdk::partition!(IRQ);

impl Partition for Irq {
    fn start(&self, spmc: &Spmc<'_>, boot: &Boot<'_>) -> Result<(), CallError> {
        println!("irq starts as {}, its manifest has {} bytes", spmc.id()?, boot.manifest.len());
        if let Err(error) = self.alarm.start(boot) {
            println!("irq has no alarm: {error}");
        }
        if spmc.enable_interrupt(alarm::INTID, Some(Line::Irq)).is_err() {
            println!("irq has no interrupt {}", alarm::INTID);
        }
        spmc.enable_notifications()?;
        // By FIQ: what its manifest leaves a managed exit to.
        spmc.enable_managed_exit(Line::Fiq).map(|_| ())
    }

    fn message(&self, spmc: &Spmc<'_>, request: &DirectMessage) -> [u64; 5] {
        match request.payload {
            [ARM_ALARM, seconds, ..] => {
                let now = self.alarm.arm(u32::try_from(seconds).unwrap_or(u32::MAX));
                [result::OK, now.into(), 0, 0, 0]
            }
            _ => self.protocol.answer(spmc, mpidr(), request),
        }
    }

    fn framework_message(
        &self,
        _spmc: &Spmc<'_>,
        message: FrameworkMessage,
        request: &DirectMessage,
    ) -> [u64; 5] {
        self.protocol.lifecycle.framework_message(message, request)
    }

    fn interrupt(&self, _spmc: &Spmc<'_>, intid: u32, delivery: Delivery) {
        if intid == alarm::INTID {
            self.alarm.stop();
        }
        self.protocol.interrupts.handle(intid, delivery);
    }

    fn notified(&self, _spmc: &Spmc<'_>, pending: &PendingNotifications, delivery: Delivery) {
        self.protocol.notifications.note(pending, delivery);
    }

    fn managed_exit(&self, _spmc: &Spmc<'_>, delivery: Delivery) {
        self.protocol.interrupts.managed_exit(delivery);
    }
}
