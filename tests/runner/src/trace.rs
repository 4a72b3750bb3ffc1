//! What the SPMC has recorded of itself: read from the machine's memory, decoded, written as lines.
//!
//! An image built for it writes down every call and event in rings in the normal world's memory, one for each CPU
//! (`hypervisor/crates/trace` says how). That memory is a file of this program's while the machine runs, so the rings
//! are there however the run ends: by power-off, by a hang, by a QEMU that crashes.

mod decode;
mod memory;
mod names;
mod ring;

pub use decode::{Message, Place, Tone};
pub use memory::{KERNEL_ARGUMENT, Memory, SIZE};
pub use ring::{Record, Ring, Trace};

use crate::error::{Error, Result};
use std::fmt::Write as _;
use std::path::Path;

/// The name of the file of a report that holds the rings as they were in memory.
pub const FILE: &str = "trace.bin";

/// The partitions' names by their ids, as they gave them on the console.
#[derive(Clone, Debug, Default)]
pub struct Partitions(Vec<(u16, String)>);

impl Partitions {
    /// Collects the names from lines of consoles: each partition's lines begin with `[sp 8001 NAME]`.
    pub fn from_lines<'a>(lines: impl IntoIterator<Item = &'a str>) -> Self {
        let mut names: Vec<(u16, String)> = Vec::new();
        for line in lines {
            let Some((_, rest)) = line.split_once("[sp ") else { continue };
            let Some((id, name)) = rest.split_once(']').and_then(|(who, _)| who.split_once(' ')) else {
                continue;
            };
            let Ok(id) = u16::from_str_radix(id, 16) else { continue };
            if !names.iter().any(|(known, _)| *known == id) {
                names.push((id, name.to_owned()));
            }
        }
        Self(names)
    }

    /// Names a place in the trace.
    pub fn name(&self, place: Place) -> String {
        match place {
            Place::NormalWorld => "normal".into(),
            Place::Spmc => "SPMC".into(),
            Place::Partition(id) => self
                .0
                .iter()
                .find(|(known, _)| *known == id)
                .map_or_else(|| format!("{id:#06x}"), |(_, name)| name.clone()),
        }
    }
}

/// Reads the trace of a report: its folder, or the file in it.
pub fn read(path: &Path) -> Result<(Trace, Partitions)> {
    let file = if path.is_dir() { path.join(FILE) } else { path.to_owned() };
    let bytes = std::fs::read(&file)
        .map_err(|error| Error::new(format!("cannot read the trace {}: {error}", file.display())))?;
    let trace = Trace::parse(&bytes).map_err(|error| Error::new(format!("{}: {error}", file.display())))?;
    // Without the log beside it the partitions have no names but their ids.
    let log = std::fs::read(file.with_file_name("console.log")).unwrap_or_default();
    let partitions = Partitions::from_lines(String::from_utf8_lossy(&log).lines());
    Ok((trace, partitions))
}

/// Writes the last messages, or all of them, as lines, with a line at the top that says what is missing.
pub fn render(trace: &Trace, partitions: &Partitions, last: Option<usize>) -> String {
    let messages = trace.messages();
    let skipped = last.map_or(0, |last| messages.len().saturating_sub(last));
    let mut out = format!("# {}\n", summary(trace));
    if skipped > 0 {
        let _ = writeln!(out, "# {skipped} of these are not shown");
    }
    for message in messages.iter().skip(skipped) {
        let name = |place| partitions.name(place);
        let line = format!(
            "{:>12.6}  cpu{}  {:>8} -> {:<8}  {:<30}  {}",
            message.time.as_secs_f64(),
            message.cpu,
            name(message.from),
            name(message.to),
            message.name,
            message.detail
        );
        let _ = writeln!(out, "{}", line.trim_end());
    }
    out
}

/// Says in a line how much there is and how much was overwritten.
pub fn summary(trace: &Trace) -> String {
    let kept: usize = trace.rings.iter().map(|ring| ring.records.len()).sum();
    let lost: u64 = trace.rings.iter().map(Ring::lost).sum();
    let cpus = trace.rings.len();
    format!(
        "{kept} records of {cpus} {}{}",
        if cpus == 1 { "CPU" } else { "CPUs" },
        match lost {
            0 => String::new(),
            _ => format!("; {lost} older ones were overwritten"),
        }
    )
}

#[cfg(test)]
mod tests;
