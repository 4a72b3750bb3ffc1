//! Device trees turned into validated, typed configuration.
#![no_std]
