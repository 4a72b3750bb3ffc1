//! The machine below the hypervisor of virtual machines: NS-EL2 with HCR_EL2.E2H = 0.
//!
//! It shares the entry, the vectors, stage 1, the register lists and the caches with the SPMC's side of the crate. What
//! is its own:
//!
//! | module | what it has |
//! |---|---|
//! | `element` | a processing element: carries out actions and says what came of them |
//! | `context` | the registers of virtual CPUs, and the pool that they live in |
//! | `trap` | what ESR_EL2 says of a virtual CPU that came back |
//! | `access` | where in its memory a virtual CPU reached |
//! | `inject`, `syndrome` | exceptions that a virtual CPU is given |
//! | `identification` | what the identification registers tell a virtual CPU |
//! | `interface` | the GIC's CPU interface, and the virtual one |
//! | `timer` | the hypervisor's timer and the virtual one |
//! | `firmware` | the calls to PSCI |
//! | `random` | random numbers |

mod access;
mod context;
mod element;
pub mod firmware;
mod identification;
mod inject;
pub mod interface;
pub mod random;
mod syndrome;
pub mod timer;
mod trap;

pub use element::VmElement;
