//! The board as the hypervisor of virtual machines sees it, at NS-EL2.
//!
//! It is entered by QEMU itself (`-machine virt,gic-version=3,virtualization=on -kernel`), or by TF-A as BL33.

mod console;
mod disk;
mod host;
mod interrupts;
mod layout;

pub use console::{start as start_console, write_panic};
pub use host::VmHost;
pub use layout::{MEMORY, machine_tree, regions, vm_manifest};
