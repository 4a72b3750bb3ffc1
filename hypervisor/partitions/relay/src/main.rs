//! Secure Partition that relays direct messages.

#![no_std]
#![no_main]

use tantalum_ffa::notification::PendingNotifications;
use tantalum_ffa::{DirectMessage, FrameworkMessage};
use tantalum_protocol::Protocol;
use tantalum_sdk::{Boot, CallError, Delivery, Partition, Spmc, mpidr, println};

/// Answers the test messages.
struct Relay {
    protocol: Protocol,
}

static RELAY: Relay = Relay { protocol: Protocol::new("relay") };

tantalum_sdk::partition!(RELAY);

impl Partition for Relay {
    fn start(&self, spmc: &Spmc<'_>, boot: &Boot<'_>) -> Result<(), CallError> {
        println!("relay starts as {}, its manifest has {} bytes", spmc.id()?, boot.manifest.len());
        spmc.enable_notifications()
    }

    fn message(&self, spmc: &Spmc<'_>, request: &DirectMessage) -> [u64; 5] {
        self.protocol.answer(spmc, mpidr(), request)
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
        self.protocol.interrupts.handle(intid, delivery);
    }

    fn notified(&self, _spmc: &Spmc<'_>, pending: &PendingNotifications, delivery: Delivery) {
        self.protocol.notifications.note(pending, delivery);
    }

    fn managed_exit(&self, _spmc: &Spmc<'_>, delivery: Delivery) {
        self.protocol.interrupts.managed_exit(delivery);
    }
}
