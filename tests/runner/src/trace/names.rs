//! Names of calls and of errors.

use std::sync::LazyLock;

/// A line `NAME ID` for each function of FF-A, in the order of `hypervisor/crates/ffa/src/function.rs`, from which
/// a check says that this is up to date.
const FUNCTIONS: &str = include_str!("functions.txt");

static BY_ID: LazyLock<Vec<(u32, String)>> = LazyLock::new(|| FUNCTIONS.lines().filter_map(parse).collect());

fn parse(line: &str) -> Option<(u32, String)> {
    let (name, id) = line.split_once(" 0x")?;
    // Shorter there than in the specification.
    let message = if name.starts_with("DIRECT_") { "MSG_SEND_" } else { "" };
    Some((u32::from_str_radix(id, 16).ok()?, format!("FFA_{message}{name}")))
}

/// Names a function by what a call has in x0.
pub fn function(x0: u64) -> String {
    let known = |id: u32| BY_ID.iter().find(|(known, _)| *known == id).map(|(_, name)| name.clone());
    let id = u32::try_from(x0).ok();
    id.and_then(known).unwrap_or_else(|| match x0 {
        0xff03 => "INTERRUPT_ENABLE".into(),
        0xff04 => "INTERRUPT_GET".into(),
        0xff08 => "INTERRUPT_DEACTIVATE".into(),
        0xff09 => "INTERRUPT_RECONFIGURE".into(),
        0xff0a => "INTERRUPT_SEND_IPI".into(),
        // An answer that is no FF-A call, such as a version.
        _ => format!("{x0:#x}"),
    })
}

/// Names an error by its code in 32 bits of a register.
pub fn status(register: u64) -> String {
    let names = [
        "NOT_SUPPORTED",
        "INVALID_PARAMETERS",
        "NO_MEMORY",
        "BUSY",
        "INTERRUPTED",
        "DENIED",
        "RETRY",
        "ABORTED",
        "NO_DATA",
        "NOT_READY",
    ];
    // The code is a negative number of 32 bits.
    let from_end = (register & 0xffff_ffff) ^ 0xffff_ffff;
    let name = usize::try_from(from_end).ok().and_then(|index| names.get(index));
    name.map_or_else(|| format!("{register:#x}"), |name| (*name).to_owned())
}
