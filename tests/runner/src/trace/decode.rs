//! From a record to something that can be read.

use super::names;
use super::ring::{Record, Ring};
use std::time::Duration;

/// Who has a line in the chart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// The normal world, and the SPMD on the way to it.
    NormalWorld,
    /// The SPMC.
    Spmc,
    /// A partition, by its id.
    Partition(u16),
}

/// What sort of step it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// Somebody asks for something.
    Call,
    /// Somebody gets an answer, or goes on.
    Answer,
    /// The answer is an error.
    Error,
    /// An interrupt came.
    Interrupt,
    /// Something broke.
    Fault,
}

/// A step from one place to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// When, since the system counter began.
    pub time: Duration,
    /// On which CPU.
    pub cpu: usize,
    /// From where.
    pub from: Place,
    /// To where.
    pub to: Place,
    /// What it is, in a word.
    pub name: String,
    /// The rest.
    pub detail: String,
    /// Of which sort.
    pub tone: Tone,
}

/// Decodes a record of a ring.
pub fn decode(ring: &Ring, record: &Record) -> Message {
    let other = match record.endpoint {
        0 => Place::NormalWorld,
        id => Place::Partition(id),
    };
    let (inward, (name, detail, tone)) = match record.kind {
        1 => (None, plain("CPU started", Tone::Answer)),
        2 | 3 => (Some(true), call(&record.values)),
        7 | 9 => (Some(false), call(&record.values)),
        4 => (Some(true), trap(record)),
        5 => (Some(true), interrupt(record.detail)),
        6 => (Some(true), timer(record)),
        8 => {
            let [entry, boot_info, ..] = record.values;
            let detail = format!("at {entry:#x} boot_info={boot_info:#x}");
            (Some(false), ("start".into(), detail, Tone::Call))
        }
        10 => (Some(false), plain("resume", Tone::Answer)),
        11 => {
            let [register, value, ..] = record.values;
            (Some(false), ("resume".into(), format!("x{register}={value:#x}"), Tone::Answer))
        }
        12 => (None, plain("CPU halts", Tone::Fault)),
        kind => (None, (format!("unknown kind {kind}"), String::new(), Tone::Fault)),
    };
    let (from, to) = match inward {
        Some(true) => (other, Place::Spmc),
        Some(false) => (Place::Spmc, other),
        None => (Place::Spmc, Place::Spmc),
    };
    let mut parts: Vec<String> = Vec::new();
    if other != Place::NormalWorld && record.context != 0 {
        parts.push(format!("vcpu{}", record.context));
    }
    parts.extend((!detail.is_empty()).then_some(detail));
    if matches!(record.kind, 8..=11) {
        let signals = [(1, "ns-masked"), (2, "virq"), (4, "vfiq")];
        // The first bit says that interrupts of the normal world are not masked.
        let set = record.detail ^ 1;
        parts.extend(signals.iter().filter(|(bit, _)| set & bit != 0).map(|(_, word)| format!("[{word}]")));
    }
    Message {
        time: time(record.ticks, ring.frequency),
        cpu: ring.cpu,
        from,
        to,
        name,
        detail: parts.join(" "),
        tone,
    }
}

type Described = (String, String, Tone);

fn plain(name: &str, tone: Tone) -> Described {
    (name.into(), String::new(), tone)
}

fn time(ticks: u64, frequency: u64) -> Duration {
    let nanoseconds = u128::from(ticks) * 1_000_000_000 / u128::from(frequency.max(1));
    Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
}

/// Describes a call by its registers. Those that its name does not explain are shown if they hold anything.
fn call(values: &[u64; 18]) -> Described {
    let [x0, x1, x2, ..] = *values;
    let name = names::function(x0);
    let short = name.strip_prefix("FFA_").unwrap_or_default();
    let target = || format!("{:#06x}.{}", x1 >> 16 & 0xffff, x1 & 0xffff);
    let route = || format!("{:#06x} -> {:#06x}", x1 >> 16 & 0xffff, x1 & 0xffff);
    let (explained, from, tone) = match short {
        "ERROR" => (names::status(x2), 3, Tone::Error),
        "RUN" => (target(), 2, Tone::Call),
        "INTERRUPT" if x1 != 0 => (target(), 2, Tone::Interrupt),
        "INTERRUPT" => (String::new(), 1, Tone::Interrupt),
        _ if short.starts_with("MSG_SEND_DIRECT_REQ") => (route(), 2, Tone::Call),
        _ if short.starts_with("MSG_SEND_DIRECT_RESP") => (route(), 2, Tone::Answer),
        "SUCCESS_32" | "SUCCESS_64" | "MSG_WAIT" | "NORMAL_WORLD_RESUME" | "YIELD" | "MEM_RETRIEVE_RESP" => {
            (String::new(), 1, Tone::Answer)
        }
        "" if !name.starts_with("INTERRUPT_") => (String::new(), 1, Tone::Answer),
        _ => (String::new(), 1, Tone::Call),
    };
    let mut words: Vec<String> = (!explained.is_empty()).then_some(explained).into_iter().collect();
    let rest = values.iter().enumerate().skip(from).filter(|(_, value)| **value != 0);
    words.extend(rest.map(|(index, value)| format!("x{index}={value:#x}")));
    (name, words.join(" "), tone)
}

fn trap(record: &Record) -> Described {
    let [address, write, pc, syndrome, ..] = record.values;
    let access = if write == 0 { "read" } else { "write" };
    let (name, at) = match record.detail {
        0 => ("data abort", format!("{access} at {address:#x} ")),
        1 => ("instruction abort", format!("at {address:#x} ")),
        2 => ("trapped instruction", String::new()),
        _ => ("System Error", String::new()),
    };
    (name.into(), format!("{at}pc={pc:#x} esr={syndrome:#x}"), Tone::Fault)
}

fn interrupt(line: u8) -> Described {
    plain(
        match line {
            0 => "secure interrupt",
            1 => "normal world's interrupt",
            _ => "Group 0 interrupt",
        },
        Tone::Interrupt,
    )
}

fn timer(record: &Record) -> Described {
    let [write, value, ..] = record.values;
    let register = match record.detail {
        0 => "CNTP_CTL",
        1 => "CNTP_CVAL",
        _ => "CNTP_TVAL",
    };
    if write == 0 {
        (format!("reads {register}"), format!("into x{value}"), Tone::Call)
    } else {
        (format!("writes {register}"), format!("{value:#x}"), Tone::Call)
    }
}
