//! Making one input out of another.

/// Is a source of numbers that are the same for the same seed (SplitMix64).
#[derive(Clone, Debug)]
pub(crate) struct Random(pub u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        if limit == 0 { 0 } else { (self.next() % limit as u64) as usize }
    }
}

/// Lists numbers at which things go wrong.
const INTERESTING: [u64; 16] = [
    0,
    1,
    2,
    0xf,
    0x10,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0x8000,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0xffff_ffff_ffff_f000,
    u64::MAX,
];

/// Changes `input` in one to five places; `other` is another one to take pieces from. It never gets longer than `limit`.
pub(crate) fn mutate(random: &mut Random, input: &mut Vec<u8>, other: &[u8], limit: usize) {
    for _ in 0..=random.below(5) {
        let at = random.below(input.len() + 1);
        let left = input.len() - at;
        match random.below(9) {
            0 if left > 0 => input[at] ^= 1 << random.below(8),
            1 if left > 0 => input[at] = random.next() as u8,
            2 if left > 0 => input[at] = input[at].wrapping_add(random.below(9) as u8).wrapping_sub(4),
            3 | 4 => {
                let size = [1, 2, 4, 8][random.below(4)].min(left);
                let value = INTERESTING[random.below(INTERESTING.len())];
                let bytes = if random.below(2) == 0 {
                    value.to_le_bytes()
                } else {
                    value.rotate_left(32).to_be_bytes()
                };
                let bytes = &bytes[..size];
                input[at..at + size].copy_from_slice(bytes);
            }
            5 => {
                let size = 1 + random.below(16.min(left.max(1)));
                input.drain(at..(at + size).min(input.len()));
            }
            6 => {
                let size = 1 + random.below(16);
                let bytes: Vec<u8> = (0..size).map(|_| random.next() as u8).collect();
                input.splice(at..at, bytes);
            }
            7 if !other.is_empty() => {
                let from = random.below(other.len());
                let size = 1 + random.below((other.len() - from).min(64));
                let piece = &other[from..(from + size).min(other.len())];
                if random.below(2) == 0 {
                    input.splice(at..at, piece.iter().copied());
                } else {
                    let end = (at + piece.len()).min(input.len());
                    input.splice(at..end, piece.iter().copied());
                }
            }
            _ => {
                let size = random.below(left.min(32) + 1);
                let piece = input[at..at + size].to_vec();
                input.splice(at..at, piece);
            }
        }
    }
    input.truncate(limit);
}
