//! Boots a composed Tantalum image under QEMU, watches both serial consoles, judges
//! what happened and writes the reports.
//!
//! The middle of the program does no input or output: [`session::Session`] takes console
//! lines and the passing of time, and [`judge`] turns what it recorded into test cases and
//! one verdict. Around it, [`supervise`] owns the QEMU process, and [`view`], [`junit`],
//! [`report`] and [`console_log`] show the result. [`trace`] reads what the SPMC has recorded.

pub mod bench;
pub mod cli;
pub mod console_log;
pub mod error;
pub mod expect;
pub mod faults;
pub mod glob;
pub mod image;
pub mod judge;
pub mod junit;
pub mod ktap;
pub mod libtest;
pub mod lines;
pub mod milestones;
pub mod qemu;
pub mod qmp;
pub mod report;
pub mod run;
pub mod scenarios;
pub mod session;
pub mod stamp;
pub mod style;
pub mod sum;
pub mod supervise;
pub mod table;
pub mod trace;
pub mod view;
pub mod vms;
