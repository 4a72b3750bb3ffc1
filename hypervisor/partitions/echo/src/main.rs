//! Secure Partition that echoes direct messages.

#![no_std]
#![no_main]

use tantalum_ffa::notification::PendingNotifications;
use tantalum_ffa::{DirectMessage, FrameworkMessage, Version};
use tantalum_protocol::Protocol;
use tantalum_sdk::{Boot, CallError, Delivery, Partition, ServiceRequest, Spmc, mpidr, println};

/// Answers the test messages.
struct Echo {
    protocol: Protocol,
}

static ECHO: Echo = Echo { protocol: Protocol::new("echo") };

tantalum_sdk::partition!(ECHO);

impl Partition for Echo {
    fn version(&self) -> Version {
        Version::V1_2
    }

    fn start(&self, spmc: &Spmc<'_>, boot: &Boot<'_>) -> Result<(), CallError> {
        println!("echo starts as {}, its manifest has {} bytes", spmc.id()?, boot.manifest.len());
        spmc.enable_notifications()
    }

    fn message(&self, spmc: &Spmc<'_>, request: &DirectMessage) -> [u64; 5] {
        self.protocol.answer(spmc, mpidr(), request)
    }

    fn service(&self, _spmc: &Spmc<'_>, request: &ServiceRequest) -> [u64; 14] {
        request.payload
    }

    fn framework_message(
        &self,
        _spmc: &Spmc<'_>,
        message: FrameworkMessage,
        _request: &DirectMessage,
    ) -> [u64; 5] {
        self.protocol.lifecycle.framework_message(message);
        [0; 5]
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
