//! Write a Secure Partition in Rust.
//!
//! A partition is a value that implements [`Partition`], and a manifest that says how the SPMC is to run it.
//! The SDK has the rest: the entry points of all execution contexts, the translation that keeps code from being
//! written and data from being executed, the boot information, the log, and the loop that waits for messages.
//!
//! ```no_run
//! // Its main.rs begins with #![no_std] and #![no_main].
//! use tantalum_ffa::DirectMessage;
//! use tantalum_sdk::{Boot, CallError, Partition, Spmc};
//!
//! struct Adder;
//!
//! static ADDER: Adder = Adder;
//! tantalum_sdk::partition!(ADDER);
//!
//! impl Partition for Adder {
//!     fn start(&self, spmc: &Spmc<'_>, boot: &Boot<'_>) -> Result<(), CallError> {
//!         spmc.log(format_args!("I am {}, my manifest has {} bytes\n", spmc.id()?, boot.manifest.len()))
//!     }
//!
//!     fn message(&self, _spmc: &Spmc<'_>, request: &DirectMessage) -> [u64; 5] {
//!         let [a, b, ..] = request.payload;
//!         [a.wrapping_add(b), 0, 0, 0, 0]
//!     }
//! }
//! ```
//!
//! # A new partition
//!
//! 1. A folder beside `echo`: a crate `tantalum-NAME` with one binary `NAME` (`test = false`), the code above in
//!    `src/main.rs`, and this in its `build.rs`, which passes the linker's arguments on:
//!
//!    ```no_run
//!    fn main() -> Result<(), std::env::VarError> {
//!        println!("cargo::rustc-link-arg-bins=@{}", std::env::var("DEP_TANTALUM_PARTITION_ARGUMENTS")?);
//!        Ok(())
//!    }
//!    ```
//! 2. The folder among the members of the workspace.
//! 3. `manifest.dts` in the folder: which messages it takes, what becomes of interrupts while it runs. The SDK
//!    wants the boot information in x0 (`gp-register-num = <0>`).
//! 4. An entry in the list of partitions of the firmware: its UUID, its address, the number of its execution
//!    contexts.
//!
//! # What it can rely on
//!
//! It runs at S-EL1 and knows nothing of where in memory it is: it is linked as a position-independent executable
//! and relocates itself. It has 1 MiB, less 16 KiB for the package's header and the manifest. Each execution
//! context has a stack of 16 KiB with a page below that is not mapped. What is constant is mapped as read-only,
//! what is written cannot be executed. Floating point and SIMD are off.
//!
//! It speaks FF-A 1.1 unless [`Partition::version`] says otherwise. With 1.2, and bit 9 of `messaging-method` in its
//! manifest, requests to its services come to [`Partition::service`].
//!
//! [`Partition::start`] runs once, on the first execution context; messages come on all of them at the same time
//! if the manifest gives it more than one, so the value is `Sync`.
//!
//! Interrupts are masked but for what runs in [`processor::interruptible`]. One that is enabled comes to
//! [`Partition::interrupt`]: at once if they are not masked, otherwise when the partition ends its turn, or while it
//! waits. See [`interrupt`].
//!
//! It has RX and TX buffers, which the SPMC hears of when they are first needed, a few spare pages to donate, lend or
//! share, and a window through which it sees them and what others have given it, one page at a time: [`Memory`].
//! Since others may write the same memory, it appears as atomic words.
//!
//! A panic or an exception is written to the log and ends the partition; the SPMC answers its callers with
//! ABORTED and goes on without it. On the host, [`handle`] runs a partition on a fake of the SPMC, a [`Conduit`].

#![cfg_attr(not(test), no_std)]
#![cfg_attr(test, allow(clippy::arithmetic_side_effects))]

mod buffers;
mod device;
#[cfg(test)]
mod fake;
#[cfg(target_os = "none")]
mod hvc;
pub mod interrupt;
#[cfg(target_os = "none")]
mod machine;
mod memory;
pub mod message;
pub mod processor;
mod service;
mod spmc;
#[cfg_attr(not(target_os = "none"), allow(dead_code))]
mod stage1;

pub use buffers::{BUFFER_SIZE, Buffer, Buffers, TakenBuffers};
pub use device::{CannotMap, DEVICE_SIZE, Device};
#[cfg(target_os = "none")]
pub use hvc::{hvc, with_device};
pub use interrupt::{Delivery, Line};
#[cfg(target_os = "none")]
pub use machine::{abort, log, mpidr};
pub use memory::{Memory, MemoryError, PageWords, WORDS_PER_PAGE};
pub use service::{Boot, Partition, ServiceRequest, UnexpectedEvent, handle, serve};
pub use spmc::{CallError, Conduit, Spmc};

/// Writes a line to the log.
#[macro_export]
macro_rules! println {
    ($($text:tt)*) => {
        $crate::log(::core::format_args!("{}\n", ::core::format_args!($($text)*)))
    };
}

/// Makes a `static` that implements [`Partition`] the partition of the image. Once for each binary.
#[macro_export]
macro_rules! partition {
    ($partition:path) => {
        #[unsafe(no_mangle)]
        static TANTALUM_PARTITION: &dyn $crate::Partition = &$partition;
    };
}
