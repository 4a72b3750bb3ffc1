//! A machine on the host: memory tagged by address space, scripted partitions.
#![no_std]
