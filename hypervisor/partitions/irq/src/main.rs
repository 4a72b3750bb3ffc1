//! Secure Partition that owns a secure interrupt.

#![no_std]
#![no_main]

use tantalum_ffa::DirectMessage;
use tantalum_protocol::Protocol;
use tantalum_sdk::{Boot, CallError, Delivery, Partition, Spmc, mpidr, println};

/// Answers the test messages.
struct Irq {
    protocol: Protocol,
}

static IRQ: Irq = Irq { protocol: Protocol::new("irq") };

tantalum_sdk::partition!(IRQ);

impl Partition for Irq {
    fn start(&self, spmc: &Spmc<'_>, boot: &Boot<'_>) -> Result<(), CallError> {
        println!("irq starts as {}, its manifest has {} bytes", spmc.id()?, boot.manifest.len());
        Ok(())
    }

    fn message(&self, spmc: &Spmc<'_>, request: &DirectMessage) -> [u64; 5] {
        self.protocol.answer(spmc, mpidr(), request)
    }
    fn interrupt(&self, _spmc: &Spmc<'_>, intid: u32, delivery: Delivery) {
        self.protocol.interrupts.handle(intid, delivery);
    }

    fn managed_exit(&self, _spmc: &Spmc<'_>, delivery: Delivery) {
        self.protocol.interrupts.managed_exit(delivery);
    }
}
