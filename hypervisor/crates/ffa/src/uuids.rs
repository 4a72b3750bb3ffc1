//! UUIDs in registers and in device trees.
//!
//! Byte 0 of a UUID, the first two digits of its text, is the lowest byte of the first register (FF-A 1.2,
//! table 13.35). So `fef7ffd1-...` is 0xd1fff7fe in w1.

use uuid::Uuid;

/// Reads a UUID from four 32-bit registers.
pub const fn uuid_from_words(words: [u32; 4]) -> Uuid {
    let [w0, w1, w2, w3] = words;
    let [b0, b1, b2, b3] = w0.to_le_bytes();
    let [b4, b5, b6, b7] = w1.to_le_bytes();
    let [b8, b9, b10, b11] = w2.to_le_bytes();
    let [b12, b13, b14, b15] = w3.to_le_bytes();
    Uuid::from_bytes([b0, b1, b2, b3, b4, b5, b6, b7, b8, b9, b10, b11, b12, b13, b14, b15])
}

/// Returns a UUID as four 32-bit registers carry it.
pub const fn uuid_to_words(uuid: &Uuid) -> [u32; 4] {
    let [b0, b1, b2, b3, b4, b5, b6, b7, b8, b9, b10, b11, b12, b13, b14, b15] = *uuid.as_bytes();
    [
        u32::from_le_bytes([b0, b1, b2, b3]),
        u32::from_le_bytes([b4, b5, b6, b7]),
        u32::from_le_bytes([b8, b9, b10, b11]),
        u32::from_le_bytes([b12, b13, b14, b15]),
    ]
}

/// Reads a UUID from two 64-bit registers.
pub const fn uuid_from_pair(pair: [u64; 2]) -> Uuid {
    let [low, high] = pair;
    let [b0, b1, b2, b3, b4, b5, b6, b7] = low.to_le_bytes();
    let [b8, b9, b10, b11, b12, b13, b14, b15] = high.to_le_bytes();
    Uuid::from_bytes([b0, b1, b2, b3, b4, b5, b6, b7, b8, b9, b10, b11, b12, b13, b14, b15])
}

/// Returns a UUID as two 64-bit registers carry it.
pub const fn uuid_to_pair(uuid: &Uuid) -> [u64; 2] {
    let [b0, b1, b2, b3, b4, b5, b6, b7, b8, b9, b10, b11, b12, b13, b14, b15] = *uuid.as_bytes();
    [
        u64::from_le_bytes([b0, b1, b2, b3, b4, b5, b6, b7]),
        u64::from_le_bytes([b8, b9, b10, b11, b12, b13, b14, b15]),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_first_digits_are_the_lowest_byte() {
        let uuid = Uuid::parse_str("fef7ffd1-e415-4628-a04e-49bd74da1a8e").unwrap();
        assert_eq!(uuid_to_words(&uuid), [0xd1ff_f7fe, 0x2846_15e4, 0xbd49_4ea0, 0x8e1a_da74]);
        assert_eq!(uuid_to_pair(&uuid), [0x2846_15e4_d1ff_f7fe, 0x8e1a_da74_bd49_4ea0]);
    }

    proptest! {
        #[test]
        fn registers_and_back(bytes: [u8; 16]) {
            let uuid = Uuid::from_bytes(bytes);
            prop_assert_eq!(uuid_from_words(uuid_to_words(&uuid)), uuid);
            prop_assert_eq!(uuid_from_pair(uuid_to_pair(&uuid)), uuid);
        }
    }
}
