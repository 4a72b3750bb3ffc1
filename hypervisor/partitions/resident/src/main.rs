//! Secure Partition that makes the calls of a large one of the field, by the same conduits and in the same order.
//!
//! What the calls are is in `tantalum_protocol::resident`, where they are tested. Here is what only the machine has:
//! the way by HVC, and the secure UART.

#![no_std]
#![no_main]

use core::sync::atomic::{AtomicU32, Ordering};

use tantalum_ffa::DirectMessage;
use tantalum_protocol::resident::{Resident, Uart};
use tantalum_sdk::{Boot, CallError, Partition, Spmc, hvc, with_device};

/// Is where the secure PL011 lies, which the manifest asks for.
const UART: u64 = 0x0904_0000;
/// Is the place of UARTIMSC, the interrupt mask, among the 32-bit registers.
const MASK: usize = 0x38 / 4;
/// Is the place of UARTICR, which clears interrupts.
const CLEAR: usize = 0x44 / 4;
/// Is the interrupt that says that there is room for what is sent.
const TRANSMIT: u32 = 1 << 5;

/// Is the secure PL011. The SPMC logs to it as well, and does not use its interrupts.
struct Pl011;

impl Pl011 {
    fn write(register: usize, value: u32) {
        // There is one window for each execution context, and nothing else uses it meanwhile.
        let _ = with_device(UART, &mut |registers: &[AtomicU32; 1024]| {
            if let Some(register) = registers.get(register) {
                register.store(value, Ordering::Relaxed);
            }
        });
    }
}

impl Uart for Pl011 {
    fn raise(&self) {
        Self::write(MASK, TRANSMIT);
    }

    fn quiet(&self) {
        Self::write(MASK, 0);
        Self::write(CLEAR, TRANSMIT);
    }
}

/// Answers as the partition of the field does.
struct Field {
    resident: Resident,
}

static FIELD: Field = Field { resident: Resident::new() };

tantalum_sdk::partition!(FIELD);

impl Partition for Field {
    fn start(&self, _: &Spmc<'_>, _: &Boot<'_>) -> Result<(), CallError> {
        self.resident.boot(&hvc())
    }

    fn secondary(&self, _: &Spmc<'_>) {
        self.resident.secondary();
    }

    fn message(&self, _: &Spmc<'_>, request: &DirectMessage) -> [u64; 5] {
        self.resident.answer(&hvc(), &Pl011, request)
    }

    fn interrupted(&self, _: &Spmc<'_>) -> bool {
        self.resident.interrupted(&hvc(), &Pl011);
        true
    }
}
