//! Registers of devices. Each access is one instruction of the simplest form, which hypervisors can decode.

use core::arch::asm;

/// Is where RAM begins: what lies below is devices, or nothing.
const RAM: usize = 0x4000_0000;

fn check(address: usize) {
    assert!(address < RAM, "{address:#x} is not a device's");
}

macro_rules! accesses {
    ($($read:ident $write:ident $type:ty, $load:literal $store:literal $register:literal;)*) => {$(
        #[doc = concat!("Reads ", stringify!($type), " at an address of devices.")]
        pub(crate) fn $read(address: usize) -> $type {
            check(address);
            let value: u64;
            // SAFETY: no memory of the program lies there, and the devices are the suite's.
            unsafe {
                asm!(
                    concat!($load, " {value:", $register, "}, [{address}]"),
                    value = out(reg) value,
                    address = in(reg) address,
                    options(nostack, preserves_flags)
                );
            }
            value as $type
        }

        #[doc = concat!("Writes ", stringify!($type), " at an address of devices.")]
        pub(crate) fn $write(address: usize, value: $type) {
            check(address);
            // SAFETY: as above; what a device does to memory is in pages of which no references exist.
            unsafe {
                asm!(
                    concat!($store, " {value:", $register, "}, [{address}]"),
                    value = in(reg) u64::from(value),
                    address = in(reg) address,
                    options(nostack, preserves_flags)
                );
            }
        }
    )*};
}

accesses! {
    read8 write8 u8, "ldrb" "strb" "w";
    read16 write16 u16, "ldrh" "strh" "w";
    read32 write32 u32, "ldr" "str" "w";
    read64 write64 u64, "ldr" "str" "x";
}

/// Reads a byte at an address of devices and extends its sign to 64 bits.
pub(crate) fn read8_signed(address: usize) -> u64 {
    check(address);
    let value: u64;
    // SAFETY: as above.
    unsafe {
        asm!("ldrsb {}, [{}]", out(reg) value, in(reg) address, options(nostack, preserves_flags));
    }
    value
}

/// Reads a word of 32 bits at an address of devices and extends its sign to 64 bits.
pub(crate) fn read32_signed(address: usize) -> u64 {
    check(address);
    let value: u64;
    // SAFETY: as above.
    unsafe {
        asm!("ldrsw {}, [{}]", out(reg) value, in(reg) address, options(nostack, preserves_flags));
    }
    value
}

/// Reads a word of 32 bits at an address of devices, and returns how many ticks went by.
pub(crate) fn timed_read32(address: usize) -> u64 {
    check(address);
    // SAFETY: as above.
    unsafe { tantalum_payload::counter::timed_read(address) }
}

/// Reads a word of 32 bits at an address of devices into the register that holds nothing.
pub(crate) fn read32_into_nothing(address: usize) {
    check(address);
    // SAFETY: as above.
    unsafe { asm!("ldr wzr, [{}]", in(reg) address, options(nostack, preserves_flags)) };
}
