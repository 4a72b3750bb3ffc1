//! What the hypervisors ask of a machine.
//!
//! The hypervisors are functions from an event on a processing element to an action for it. A machine carries each
//! action out and comes back with the next event; in between it is asked for small services. The SPMC's are [`Event`],
//! [`Action`] and [`Platform`]; [`vm`] has those of the hypervisor of virtual machines. There are two machines: the
//! real one (`tantalum-aarch64` and a board) and the one on the host (`tantalum-sim`).

#![no_std]
#![forbid(unsafe_code)]

mod event;
mod platform;
pub mod vm;

pub use event::{
    Action, Arrival, Entry, Event, ForeignInterrupts, InterruptLine, RegisterAccess, Stage2Roots,
    TimerAccess, TimerRegister, Trap, TrapKind, Turn, VcpuStart, VirtualInterrupts, Way,
};
pub use platform::{
    AccessError, CodeMemory, InterruptSetting, PhysicalMemory, Platform, TableMemory, Tlb, Trigger, VmId,
};
