//! Stage-2 page tables over any table memory and TLB.
#![no_std]
