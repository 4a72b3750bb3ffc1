//! The Firmware Framework for Arm A-profile ABI: calls, registers, descriptors, errors.
#![no_std]
