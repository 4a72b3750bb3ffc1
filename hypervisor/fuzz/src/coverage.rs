//! The counters that the compiler puts in, where it is told to: one byte for each edge of the control flow.
//!
//! They are there if the workspace is built with
//! `-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=3
//! -Cllvm-args=-sanitizer-coverage-inline-8bit-counters`.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// Holds the ranges of counters, which live as long as the program, eight at a time.
static COUNTERS: Mutex<Vec<&'static [AtomicU64]>> = Mutex::new(Vec::new());

/// Is called by each object of the program, before `main`, with the range of its counters.
///
/// # Safety
/// `start` to `stop` are bytes that live as long as the program and that nobody reads or writes but by single-byte
/// accesses, as the code that the compiler puts in does.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn __sanitizer_cov_8bit_counters_init(
    start: *const AtomicU8,
    stop: *const AtomicU8,
) {
    let first = (start as usize).next_multiple_of(8);
    let skipped = first.saturating_sub(start as usize);
    let length = (stop as usize).saturating_sub(first) / 8;
    if length > 0
        && let Ok(mut counters) = COUNTERS.lock()
    {
        // SAFETY: the caller vouches for the range, of which these are whole words on their boundaries: the few
        // counters before and behind them are left out.
        counters.push(unsafe { std::slice::from_raw_parts(start.add(skipped).cast::<AtomicU64>(), length) });
    }
}

/// Returns the number of counters, 0 if the compiler put none in.
pub(crate) fn count() -> usize {
    COUNTERS.lock().map_or(0, |counters| counters.iter().map(|range| range.len() * 8).sum())
}

/// Sets every counter to zero.
pub(crate) fn clear() {
    for range in COUNTERS.lock().unwrap().iter() {
        range.iter().for_each(|word| word.store(0, Ordering::Relaxed));
    }
}

/// Notes which counters are not zero, by how large they are, and returns whether one is in a class that it was not in
/// before.
pub(crate) fn is_new(seen: &mut Vec<[u8; 8]>) -> bool {
    let mut new = false;
    let mut at = 0;
    for range in COUNTERS.lock().unwrap().iter() {
        seen.resize(seen.len().max(at + range.len()), [0; 8]);
        for (word, seen) in range.iter().zip(&mut seen[at..]) {
            let word = word.load(Ordering::Relaxed);
            if word == 0 {
                continue;
            }
            for (counter, seen) in word.to_ne_bytes().into_iter().zip(seen) {
                let class = match counter {
                    0 => continue,
                    1 => 1,
                    2 => 2,
                    3 => 4,
                    4..8 => 8,
                    8..16 => 16,
                    16..32 => 32,
                    32..128 => 64,
                    128.. => 128,
                };
                new |= *seen & class == 0;
                *seen |= class;
            }
        }
        at += range.len();
    }
    new
}
