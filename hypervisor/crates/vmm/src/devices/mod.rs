//! Emulated devices without queues.
//!
//! | module | what lives there |
//! |---|---|
//! | [`pl011`] | the serial port |
//! | [`pl031`] | the clock |

pub mod pl011;
pub mod pl031;
