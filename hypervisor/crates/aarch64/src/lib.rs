//! The Arm A-profile machine at EL2: entry, vectors, contexts, system registers.
#![no_std]
