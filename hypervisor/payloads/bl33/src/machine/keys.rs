//! The keys of pointer authentication of the CPU that this runs on.

use core::arch::asm;

/// Makes functions of the ten registers of the keys.
macro_rules! registers {
    ($($register:literal)*) => {
        /// Returns what the registers hold: APIAKeyLo_EL1, APIAKeyHi_EL1, and so on with APIB, APDA, APDB and APGA.
        pub(crate) fn read() -> [u64; 10] {
            [$({
                let value: u64;
                // SAFETY: reading the register has no effect.
                unsafe {
                    asm!(concat!("mrs {}, ", $register), out(reg) value, options(nostack, preserves_flags));
                }
                value
            }),*]
        }

        /// Writes the registers.
        pub(crate) fn write(keys: [u64; 10]) {
            let mut keys = keys.into_iter();
            $({
                let value = keys.next().unwrap_or_default();
                // SAFETY: the suite is built without pointer authentication, so nothing depends on the key.
                unsafe {
                    asm!(concat!("msr ", $register, ", {}"), "isb", in(reg) value, options(nostack, preserves_flags));
                }
            })*
        }
    };
}

registers! {
    "s3_0_c2_c1_0" "s3_0_c2_c1_1" "s3_0_c2_c1_2" "s3_0_c2_c1_3" "s3_0_c2_c2_0" "s3_0_c2_c2_1" "s3_0_c2_c2_2"
    "s3_0_c2_c2_3" "s3_0_c2_c3_0" "s3_0_c2_c3_1"
}

/// Tells whether the CPU has pointer authentication, for addresses and in general.
pub(crate) fn offered() -> bool {
    let isar1: u64;
    // SAFETY: reading the register has no effect.
    unsafe { asm!("mrs {}, id_aa64isar1_el1", out(reg) isar1, options(nomem, nostack, preserves_flags)) };
    // APA and API, GPA and GPI.
    isar1 >> 4 & 0xff != 0 && isar1 >> 24 & 0xff != 0
}
