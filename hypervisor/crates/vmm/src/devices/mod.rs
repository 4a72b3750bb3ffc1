//! Emulated devices without queues. Each is a plain value: an access goes in, and out come what is read and whether its
//! interrupt line is up.
//!
//! | module | what lives there |
//! |---|---|
//! | [`pl011`] | the serial port |
//! | [`pl031`] | the clock |

pub mod pl011;
pub mod pl031;

/// Is what a read has answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What was read. Where there is no register it is zero.
    pub value: u32,
    /// Whether the interrupt line is up now.
    pub interrupt: bool,
}

/// Finds the register that an access of `size` bytes at `offset` is about: the registers of a PrimeCell lie 4 bytes apart,
/// and may be reached by 1, 2 or 4 of them.
const fn register(offset: u32, size: u8) -> Option<u32> {
    match (offset & 3, size) {
        (0, 1 | 2 | 4) => Some(offset),
        _ => None,
    }
}

/// Cuts a value to the bytes of an access.
const fn cut(value: u32, size: u8) -> u32 {
    match size {
        1 => value & 0xff,
        2 => value & 0xffff,
        _ => value,
    }
}

/// Returns the identification register at `offset` of a PrimeCell whose peripheral identification is `peripheral`.
const fn identification(offset: u32, peripheral: [u8; 4]) -> u32 {
    let [part, vendor, revision, configuration] = peripheral;
    (match offset {
        0xfe0 => part,
        0xfe4 => vendor,
        0xfe8 => revision,
        0xfec => configuration,
        0xff0 => 0x0d,
        0xff4 => 0xf0,
        0xff8 => 0x05,
        0xffc => 0xb1,
        _ => 0,
    }) as u32
}
