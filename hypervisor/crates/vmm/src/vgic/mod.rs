//! The interrupt controller of a virtual machine: a GICv3 with one Security state.
