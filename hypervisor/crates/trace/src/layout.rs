//! What lies where in the rings.
//!
//! All is made of little-endian words of 64 bits. The ring of processing element `n` begins at [`BASE`] + `n` *
//! [`RING_SIZE`] with a header:
//!
//! | word | holds |
//! |---|---|
//! | 0 | [`MAGIC`], once the processing element has been started |
//! | 1 | [`RECORD_SIZE`] |
//! | 2 | [`CAPACITY`] |
//! | 3 | the ticks of the system counter in a second |
//!
//! Its records follow at [`HEADER_SIZE`]. The record with the sequence number `s`, from 1, is record (`s` - 1) modulo
//! [`CAPACITY`], until another takes its place:
//!
//! | word | holds |
//! |---|---|
//! | 0 | the sequence number, or 0 while the rest is being written and before that |
//! | 1 | the system counter, CNTPCT_EL0 |
//! | 2 | bits 0 to 7: the kind; 8 to 15: the detail; 32 to 47: the endpoint; 48 to 63: its execution context |
//! | 3 to 20 | the values, x0 to x17 for a call |
//!
//! The endpoint is who had the turn when an event came, and who gets it by an action: 0 for the normal world, or a
//! partition's id.
//!
//! | kind | what | detail | values |
//! |---|---|---|---|
//! | 1 | the processing element was started | | |
//! | 2 | a call of the normal world or of the SPMD | | x0 to x17 |
//! | 3 | a call of a partition | | x0 to x17 |
//! | 4 | a trap | 0 data abort, 1 instruction abort, 2 instruction, 3 System Error | address, 1 for a write, PC, ESR_EL2 |
//! | 5 | a physical interrupt stops a partition | 0 secure, 1 of the normal world, 2 Group 0 | |
//! | 6 | a partition uses its timer | 0 control, 1 compare value, 2 timer value | 1 for a write, the value or the register |
//! | 7 | a call to the SPMD: the normal world goes on | | x0 to x17 |
//! | 8 | an execution context begins | signals | entry point, boot information, MPIDR_EL1 |
//! | 9 | it goes on behind its call | signals | x0 to x17 |
//! | 10 | it goes on where it was interrupted | signals | |
//! | 11 | it goes on with a register that it has read | signals | the register, the value |
//! | 12 | the processing element halts | | |
//!
//! The signals are bit 0: interrupts of the normal world stop it; bit 1: a virtual IRQ is signalled; bit 2: a virtual
//! FIQ is.

use tantalum_types::{CpuIndex, MAX_CPUS, Pa};

/// Is where the first ring begins: the last 8 MiB of the normal world's 2 GiB. The normal world must be told that it
/// has no memory there.
pub const BASE: u64 = 0xbf80_0000;

/// Counts the bytes of a ring, header included.
pub const RING_SIZE: usize = 0x10_0000;

/// Counts the bytes of a ring's header.
pub const HEADER_SIZE: usize = 64;

/// Counts the words of a record.
pub const RECORD_WORDS: usize = 21;

/// Counts the bytes of a record.
pub const RECORD_SIZE: usize = RECORD_WORDS * 8;

/// Counts the records of a ring.
pub const CAPACITY: usize = (RING_SIZE - HEADER_SIZE) / RECORD_SIZE;

/// Begins a ring: "tantrace" in ASCII.
pub const MAGIC: u64 = u64::from_le_bytes(*b"tantrace");

/// Counts the bytes of all rings.
pub const TOTAL_SIZE: usize = MAX_CPUS * RING_SIZE;

/// Returns where the ring of a processing element begins.
pub const fn ring(cpu: CpuIndex) -> Pa {
    // Far below the top of the address space.
    Pa::non_secure(BASE.wrapping_add((cpu.get() as u64).wrapping_mul(RING_SIZE as u64)))
}

/// Returns how far into a ring the record with a sequence number lies, from 1.
pub const fn offset(sequence: u64) -> u64 {
    const SLOTS: u64 = CAPACITY as u64;
    let slot = sequence.wrapping_sub(1) % SLOTS;
    // Below the size of a ring.
    (HEADER_SIZE as u64).wrapping_add(slot.wrapping_mul(RECORD_SIZE as u64))
}
