//! What one large partition of the field asks of an SPMC, call by call: which function, in which form, with which
//! registers, in which order.
//!
//! It uses both conduits. Messages are waited for and answered by SMC, and its other execution contexts are
//! registered so; the SDK does that. All that is here goes by HVC. It knows no FF-A above 1.1, and does not check more
//! than it has to: an SPMC that answers otherwise than it expects is an error here.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use tantalum_ffa::{DirectMessage, Status, Version};
use tantalum_sdk::{BUFFER_SIZE, CallError, Spmc};
use tantalum_types::{AddressSpace, CallRegisters};

use crate::result;

/// Command words, in w3 of a request.
pub mod command {
    /// Asks what came of the calls at boot: w4 the own id in bits 15:0 and the SPMC's above, w5 the SPMC's version, w6
    /// the bits of [`super::refused`], w7 how many interrupts were handled.
    pub const STATE: u64 = 0x5441_0500;
    /// Retrieves the memory with the handle in w4 (low) and w5: w4 is 0 or the error code, w5 and w6 are the address
    /// (low and high), w7 counts the pages. Several ranges are one behind the other in what EXCHANGE reaches only if
    /// they are in memory.
    pub const RETRIEVE: u64 = 0x5441_0501;
    /// Stores w5 in word w4, of 64 bits, of the memory that was retrieved: w4 is 0, or 1 if there is no such word; w5 is
    /// what was there.
    pub const EXCHANGE: u64 = 0x5441_0502;
    /// Relinquishes the memory: w4 is 0 or the error code.
    pub const RELINQUISH: u64 = 0x5441_0503;
    /// Writes a line to the log: w4 is 0 or the error code.
    pub const LOG: u64 = 0x5441_0504;
    /// Makes the UART raise its interrupt, which sets notification w4 of the sender. The answer says nothing about that.
    pub const RAISE: u64 = 0x5441_0505;
    /// Asks about the interrupt that was handled last: w4 its number, w5 is 0 or the error code of the notification, w6
    /// what DEACTIVATE answered.
    pub const LAST_INTERRUPT: u64 = 0x5441_0506;
    /// Asks how often an execution context other than the first has begun, w4.
    pub const STARTS: u64 = 0x5441_0507;
}

/// Bits of what was refused at boot.
pub mod refused {
    /// FFA_NOTIFICATION_SET is no feature.
    pub const NOTIFICATIONS: u32 = 1 << 0;
    /// The interrupt cannot be enabled.
    pub const ENABLE: u32 = 1 << 1;
    /// The interrupt cannot be made Secure.
    pub const RECONFIGURE: u32 = 1 << 2;
}

/// Is the interrupt of the secure UART on the board.
pub const UART_INTERRUPT: u32 = 40;

const NOTIFICATION_SET: u64 = 0x8400_0081;
const MEM_RETRIEVE_REQ_32: u64 = 0x8400_0074;
const MEM_RETRIEVE_RESP: u64 = 0x8400_0075;
const MEM_RELINQUISH: u64 = 0x8400_0076;
const FFA_ERROR: u64 = 0x8400_0060;

/// Functions of the paravirtual interface for interrupts.
const INTERRUPT_ENABLE: u64 = 0xff03;
const INTERRUPT_GET: u64 = 0xff04;
const INTERRUPT_DEACTIVATE: u64 = 0xff08;
const INTERRUPT_RECONFIGURE: u64 = 0xff09;

/// Is what INTERRUPT_GET answers when nothing is pending.
const NO_INTERRUPT: u64 = 0xffff_ffff;

/// Asks for the schedule receiver interrupt when the SPMC returns to the normal world, not at once.
const DELAY_SRI: u64 = 1 << 1;

/// Counts the bytes of the retrieve request: the header of FF-A 1.1 and one record of 16 bytes.
const REQUEST_SIZE: usize = 0x40;
/// Is the same in the registers of the call.
const REQUEST_LENGTH: u64 = 0x40;
/// Is the type of the transaction, share, in the request.
const REQUEST_FLAGS: u32 = 0x8;
/// Says Normal, write-back, inner shareable.
const REQUEST_ATTRIBUTES: u16 = 0x2f;
/// Says read and write.
const REQUEST_PERMISSIONS: u8 = 0x2;

/// Bit 6 of the attributes in a response: the memory is Non-secure.
const NON_SECURE: u16 = 1 << 6;

/// Is what the partition does with the UART.
pub trait Uart: Sync {
    /// Makes it raise its interrupt.
    fn raise(&self);

    /// Takes the interrupt back.
    fn quiet(&self);
}

/// Keeps what one call leaves for the next.
#[derive(Debug, Default)]
pub struct Resident {
    id: AtomicU32,
    spmc_id: AtomicU32,
    version: AtomicU32,
    refused: AtomicU32,
    handle: AtomicU64,
    /// Where the memory is; bit 0 is set if it is Non-secure, and zero stands for none.
    borrowed: AtomicU64,
    pages: AtomicU64,
    notification: AtomicU64,
    handled: AtomicU32,
    last: AtomicU32,
    last_notification: AtomicU32,
    last_deactivation: AtomicU32,
    starts: AtomicU32,
}

impl Resident {
    /// Builds a partition that has not begun.
    pub const fn new() -> Self {
        Self {
            id: AtomicU32::new(0),
            spmc_id: AtomicU32::new(0),
            version: AtomicU32::new(0),
            refused: AtomicU32::new(0),
            handle: AtomicU64::new(0),
            borrowed: AtomicU64::new(0),
            pages: AtomicU64::new(0),
            notification: AtomicU64::new(0),
            handled: AtomicU32::new(0),
            last: AtomicU32::new(0),
            last_notification: AtomicU32::new(0),
            last_deactivation: AtomicU32::new(0),
            starts: AtomicU32::new(0),
        }
    }

    /// Makes the calls of the first execution context up to the registration of the others.
    ///
    /// # Errors
    /// Says so if the SPMC refuses what such a partition cannot do without.
    pub fn boot(&self, hvc: &Spmc<'_>) -> Result<(), CallError> {
        let version = hvc.version(Version::V1_1).ok_or(CallError::Refused(Status::NotSupported))?;
        self.version.store(version.to_raw(), Ordering::Relaxed);
        // The SDK maps its buffers, of one page each and by the 64-bit form, when they are first taken.
        if let Some(memory) = hvc.memory() {
            drop(memory.buffers().take(hvc)?);
        }
        self.spmc_id.store(hvc.spmc_id()?.raw().into(), Ordering::Relaxed);
        self.id.store(hvc.id()?.raw().into(), Ordering::Relaxed);
        let mut refused = 0;
        if hvc.features(low(NOTIFICATION_SET), 0).is_err() {
            refused |= refused::NOTIFICATIONS;
        }
        // By IRQ.
        if call(hvc, [INTERRUPT_ENABLE, UART_INTERRUPT.into(), 1, 0, 0]) != 0 {
            refused |= refused::ENABLE;
        }
        // Its security state is to be Secure.
        if call(hvc, [INTERRUPT_RECONFIGURE, UART_INTERRUPT.into(), 1, 1, 0]) != 0 {
            refused |= refused::RECONFIGURE;
        }
        self.refused.store(refused, Ordering::Relaxed);
        hvc.log(format_args!("{:#06x} booted, refused {refused:#x}\n", self.id.load(Ordering::Relaxed)))
    }

    /// Counts that an execution context other than the first begins.
    pub fn secondary(&self) {
        self.starts.fetch_add(1, Ordering::Relaxed);
    }

    /// Answers a direct request.
    pub fn answer(&self, hvc: &Spmc<'_>, uart: &dyn Uart, request: &DirectMessage) -> [u64; 5] {
        let [word, a, b, ..] = request.payload;
        match word {
            command::STATE => [
                result::OK,
                u64::from(self.spmc_id.load(Ordering::Relaxed)) << 16
                    | u64::from(self.id.load(Ordering::Relaxed)),
                self.version.load(Ordering::Relaxed).into(),
                self.refused.load(Ordering::Relaxed).into(),
                self.handled.load(Ordering::Relaxed).into(),
            ],
            command::RETRIEVE => match self.retrieve(hvc, request.sender.raw(), b << 32 | a & 0xffff_ffff) {
                Ok([address, pages]) => [result::OK, 0, address & 0xffff_ffff, address >> 32, pages],
                Err(code) => [result::OK, code.into(), 0, 0, 0],
            },
            command::EXCHANGE => match self.exchange(hvc, a, b) {
                Some(previous) => [result::OK, 0, previous, 0, 0],
                None => [result::OK, 1, 0, 0, 0],
            },
            command::RELINQUISH => [result::OK, self.relinquish(hvc).into(), 0, 0, 0],
            command::LOG => {
                let done = hvc.log(format_args!("the resident partition was asked to log a line\n"));
                [result::OK, u64::from(done.is_err()), 0, 0, 0]
            }
            command::RAISE => {
                self.notification.store(1_u64.checked_shl(low(a)).unwrap_or(0), Ordering::Relaxed);
                uart.raise();
                [result::OK, 0, 0, 0, 0]
            }
            command::LAST_INTERRUPT => [
                result::OK,
                self.last.load(Ordering::Relaxed).into(),
                self.last_notification.load(Ordering::Relaxed).into(),
                self.last_deactivation.load(Ordering::Relaxed).into(),
                0,
            ],
            command::STARTS => [result::OK, self.starts.load(Ordering::Relaxed).into(), 0, 0, 0],
            _ => request.payload,
        }
    }

    /// Handles FFA_INTERRUPT: takes what is pending, one after the other, and tells the normal world.
    pub fn interrupted(&self, hvc: &Spmc<'_>, uart: &dyn Uart) {
        loop {
            let intid = call(hvc, [INTERRUPT_GET, 0, 0, 0, 0]);
            // An SPMC without these calls says that it does not know them by the same number.
            if u64::from(intid) == NO_INTERRUPT {
                return;
            }
            self.last.store(intid, Ordering::Relaxed);
            if intid == UART_INTERRUPT {
                uart.quiet();
                self.last_notification.store(self.notify(hvc), Ordering::Relaxed);
            }
            let deactivated = call(hvc, [INTERRUPT_DEACTIVATE, intid.into(), intid.into(), 0, 0]);
            self.last_deactivation.store(deactivated, Ordering::Relaxed);
            self.handled.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Sets the notification of the normal world and returns 0 or the error code.
    fn notify(&self, hvc: &Spmc<'_>) -> u32 {
        let bitmap = self.notification.load(Ordering::Relaxed);
        let sender = u64::from(self.id.load(Ordering::Relaxed)) << 16;
        code(&raw(hvc, [NOTIFICATION_SET, sender, DELAY_SRI, bitmap & 0xffff_ffff, bitmap >> 32]))
    }

    /// Retrieves shared memory and returns its address and its number of pages, or an error code.
    fn retrieve(&self, hvc: &Spmc<'_>, sender: u16, handle: u64) -> Result<[u64; 2], u32> {
        let denied = Status::Denied.to_raw();
        let memory = hvc.memory().ok_or(denied)?;
        let buffers = memory.buffers().take(hvc).map_err(|_| denied)?;
        buffers.tx().write(&self.retrieve_request(sender, handle));
        let answer = raw(hvc, [MEM_RETRIEVE_REQ_32, REQUEST_LENGTH, REQUEST_LENGTH, 0, 0]);
        let [function, total, fragment, ..] = answer.0;
        if function & 0xffff_ffff != MEM_RETRIEVE_RESP {
            return Err(code(&answer));
        }
        let mut bytes = [0; BUFFER_SIZE];
        buffers.rx().read(&mut bytes);
        let released = hvc.release_rx();
        // It takes an answer in one piece, of at most a page.
        let size = usize::try_from(total & 0xffff_ffff).unwrap_or(usize::MAX);
        let whole = bytes.get(..size).filter(|_| total & 0xffff_ffff == fragment & 0xffff_ffff);
        let described = whole.and_then(Described::read).ok_or(Status::NoMemory.to_raw())?;
        released.map_err(|_| denied)?;
        let non_secure = u64::from(described.attributes & NON_SECURE != 0);
        self.handle.store(handle, Ordering::Relaxed);
        self.pages.store(described.pages.into(), Ordering::Relaxed);
        self.borrowed.store(described.address | non_secure, Ordering::Relaxed);
        Ok([described.address, described.pages.into()])
    }

    fn retrieve_request(&self, sender: u16, handle: u64) -> [u8; REQUEST_SIZE] {
        let own = u16::try_from(self.id.load(Ordering::Relaxed)).unwrap_or(0);
        let mut request = [0; REQUEST_SIZE];
        put(&mut request, 0, &sender.to_le_bytes());
        put(&mut request, 2, &REQUEST_ATTRIBUTES.to_le_bytes());
        put(&mut request, 4, &REQUEST_FLAGS.to_le_bytes());
        put(&mut request, 8, &handle.to_le_bytes());
        // The tag, at 16, is zero. Then: one record of 16 bytes at 48.
        put(&mut request, 24, &16_u32.to_le_bytes());
        put(&mut request, 28, &1_u32.to_le_bytes());
        put(&mut request, 32, &48_u32.to_le_bytes());
        put(&mut request, 48, &own.to_le_bytes());
        put(&mut request, 50, &[REQUEST_PERMISSIONS]);
        request
    }

    /// Stores `value` in word `index` of what was retrieved and returns what was there.
    fn exchange(&self, hvc: &Spmc<'_>, index: u64, value: u64) -> Option<u64> {
        let borrowed = self.borrowed.load(Ordering::Relaxed);
        if borrowed == 0 || index >> 9 >= self.pages.load(Ordering::Relaxed) {
            return None;
        }
        let space = if borrowed & 1 == 0 { AddressSpace::Secure } else { AddressSpace::NonSecure };
        let page = (borrowed & !1).checked_add(index >> 9 << 12)?;
        let word = usize::try_from(index & 0x1ff).ok()?;
        let mut previous = None;
        let done = hvc.memory()?.with_page(page, space, &mut |words| {
            previous = words.get(word).map(|word| {
                let found = word.load(Ordering::Relaxed);
                word.store(value, Ordering::Relaxed);
                found
            });
        });
        previous.filter(|_| done)
    }

    /// Gives the memory back and returns 0 or the error code.
    fn relinquish(&self, hvc: &Spmc<'_>) -> u32 {
        let denied = Status::Denied.to_raw();
        let Some(memory) = hvc.memory() else { return denied };
        let Ok(buffers) = memory.buffers().take(hvc) else { return denied };
        let own = u16::try_from(self.id.load(Ordering::Relaxed)).unwrap_or(0);
        // Handle, flags, one endpoint.
        let mut descriptor = [0; 18];
        put(&mut descriptor, 0, &self.handle.load(Ordering::Relaxed).to_le_bytes());
        put(&mut descriptor, 12, &1_u32.to_le_bytes());
        put(&mut descriptor, 16, &own.to_le_bytes());
        buffers.tx().write(&descriptor);
        self.borrowed.store(0, Ordering::Relaxed);
        code(&raw(hvc, [MEM_RELINQUISH, 0, 0, 0, 0]))
    }
}

/// Holds what the partition wants to know of a response: attributes, and the first range.
struct Described {
    attributes: u16,
    address: u64,
    pages: u32,
}

impl Described {
    fn read(response: &[u8]) -> Option<Self> {
        let attributes = u16::from_le_bytes(take(response, 2)?);
        let records = usize::try_from(u32::from_le_bytes(take(response, 32)?)).ok()?;
        let composite = u32::from_le_bytes(take(response, records.checked_add(4)?)?);
        let composite = usize::try_from(composite).ok()?;
        let ranges = composite.checked_add(16)?;
        Some(Self {
            attributes,
            address: u64::from_le_bytes(take(response, ranges)?),
            pages: u32::from_le_bytes(take(response, ranges.checked_add(8)?)?),
        })
    }
}

fn take<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

fn put(bytes: &mut [u8], at: usize, field: &[u8]) {
    for (to, from) in bytes.iter_mut().skip(at).zip(field) {
        *to = *from;
    }
}

fn raw(hvc: &Spmc<'_>, [x0, x1, x2, x3, x4]: [u64; 5]) -> CallRegisters {
    hvc.raw(&CallRegisters::from_first_eight([x0, x1, x2, x3, x4, 0, 0, 0]))
}

/// Makes a call of the paravirtual interface, which answers in w0.
fn call(hvc: &Spmc<'_>, registers: [u64; 5]) -> u32 {
    let [answer, ..] = raw(hvc, registers).0;
    low(answer)
}

/// Returns 0, or the error code of FFA_ERROR; what is neither is NOT_SUPPORTED.
fn code(answer: &CallRegisters) -> u32 {
    let [function, _, error, ..] = answer.0;
    match function & 0xffff_ffff {
        0x8400_0061 => 0,
        FFA_ERROR => low(error),
        _ => Status::NotSupported.to_raw(),
    }
}

const fn low(register: u64) -> u32 {
    (register & 0xffff_ffff) as u32
}
