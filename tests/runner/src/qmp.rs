//! The control channel to QEMU: its version, why it shut down, and where the CPUs are.
//!
//! A hang says nothing by itself. Asking QEMU for every CPU's exception level and program
//! counter tells in whose code the machine hangs.

use crate::milestones::Level;
use serde_json::Value;
use std::fmt;

/// Leaves the negotiation mode; QEMU answers commands only after it.
pub const CAPABILITIES: &str = r#"{"execute":"qmp_capabilities"}"#;
/// Freezes the CPUs, so that the states belong together.
pub const STOP: &str = r#"{"execute":"stop"}"#;
/// Asks for the registers of all CPUs.
pub const REGISTERS: &str = concat!(
    r#"{"execute":"human-monitor-command","id":"registers","#,
    r#""arguments":{"command-line":"info registers -a"}}"#
);

/// What QEMU says on the channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// The greeting, with the version.
    Greeting(String),
    /// It shuts down, for this reason.
    Shutdown(String),
    /// The answer to [`REGISTERS`].
    Registers(Vec<CpuState>),
}

/// Reads one line of the channel.
pub fn parse(line: &str) -> Option<Message> {
    let value: Value = serde_json::from_str(line).ok()?;
    if let Some(qemu) = value.pointer("/QMP/version/qemu") {
        let part = |name| qemu.get(name).and_then(Value::as_u64);
        let (major, minor, micro) = (part("major")?, part("minor")?, part("micro")?);
        return Some(Message::Greeting(format!("{major}.{minor}.{micro}")));
    }
    if value.get("event").and_then(Value::as_str) == Some("SHUTDOWN") {
        let reason = value.pointer("/data/reason").and_then(Value::as_str)?;
        return Some(Message::Shutdown(reason.to_owned()));
    }
    if value.get("id").and_then(Value::as_str) == Some("registers") {
        let text = value.get("return").and_then(Value::as_str).unwrap_or_default();
        return Some(Message::Registers(parse_registers(text)));
    }
    None
}

/// Where a CPU is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CpuState {
    /// Its number.
    pub cpu: u32,
    /// Its program counter.
    pub pc: u64,
    /// Its exception level.
    pub el: u8,
    /// It is in the secure state, or at EL3.
    pub secure: bool,
}

/// Below this lies the flash that BL1 runs from.
const FLASH_END: u64 = 0x0800_0000;
/// The secure SRAM, which holds BL2 and BL31.
const SECURE_SRAM: std::ops::Range<u64> = 0x0e00_0000..0x0e10_0000;

impl CpuState {
    /// Whose code runs there; `None` for a CPU that was never started.
    pub fn level(&self) -> Option<Level> {
        Some(match (self.secure, self.el) {
            _ if self.pc == 0 => return None,
            (_, 3) if self.pc < FLASH_END => Level::Bl1,
            (_, 3) => Level::Bl31,
            (true, 2) => Level::Spmc,
            (true, 1) if SECURE_SRAM.contains(&self.pc) => Level::Bl2,
            (true, _) => Level::Partition,
            (false, 2) => Level::Pkvm,
            (false, 1) => Level::Linux,
            (false, _) => Level::Init,
        })
    }
}

impl fmt::Display for CpuState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.level() {
            Some(level) => write!(f, "CPU {} in {level} at pc {:#x}", self.cpu, self.pc),
            None => write!(f, "CPU {} off", self.cpu),
        }
    }
}

/// Names the level that hangs: the first of those that the normal world cannot leave by
/// itself. CPUs that wait in Linux are no news, a CPU that stays below it is. EL3 comes last:
/// CPUs that are not started yet, or are off again, wait there, in BL1 or BL31.
pub fn suspect(cpus: &[CpuState]) -> Option<&CpuState> {
    let rank = |cpu: &CpuState| match cpu.level() {
        Some(Level::Spmc) => 5,
        Some(Level::Partition) => 4,
        Some(Level::Pkvm) => 3,
        Some(Level::Bl2) => 2,
        Some(Level::Bl1 | Level::Bl31) if cpu.cpu == 0 => 1,
        _ => 0,
    };
    cpus.iter().rev().max_by_key(|cpu| rank(cpu)).filter(|cpu| rank(cpu) > 0)
}

fn parse_registers(text: &str) -> Vec<CpuState> {
    let mut cpus = Vec::new();
    let mut cpu = None;
    let mut pc = 0;
    for line in text.lines() {
        let line = line.trim();
        if let Some(number) = line.strip_prefix("CPU#") {
            cpu = number.trim().parse().ok();
        }
        if let Some(hex) = line.strip_prefix("PC=") {
            let digits = hex.split(' ').next().unwrap_or(hex);
            pc = u64::from_str_radix(digits, 16).unwrap_or(0);
        }
        if let (Some(cpu), Some((secure, el))) = (cpu, parse_pstate(line)) {
            cpus.push(CpuState { cpu, pc, el, secure });
        }
    }
    cpus
}

/// Reads the end of a line such as `PSTATE=600003c9 -ZC- NS EL2h`. EL3 has no security state there, and neither has
/// any level of a machine that has no secure world.
fn parse_pstate(line: &str) -> Option<(bool, u8)> {
    let mut words = line.strip_prefix("PSTATE=")?.split_whitespace().skip(1).peekable();
    let mut secure = false;
    for word in words.by_ref() {
        match word {
            "S" => secure = true,
            _ => {
                if let Some(el) = word.strip_prefix("EL").and_then(|el| el.get(..1)) {
                    let el = el.parse().ok()?;
                    return Some((secure || el == 3, el));
                }
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const REGISTERS_TEXT: &str = "\r\nCPU#0\r\n PC=000000000e101234 X00=0000000000000000\r\n\
        X01=0000000000000000\r\nPSTATE=600003c9 -ZC- S EL2h     FPU disabled\r\n\
        \r\nCPU#1\r\n PC=ffff800080012345 X00=0\r\nPSTATE=60000005 -ZC- NS EL1h    FPCR=0\r\n\
        \r\nCPU#2\r\n PC=0000000000000000 X00=0\r\nPSTATE=400003cd -Z-- EL3h    FPCR=0\r\n";

    #[test]
    fn registers_tell_where_each_cpu_is() {
        let line = serde_json::json!({ "id": "registers", "return": REGISTERS_TEXT }).to_string();
        let Some(Message::Registers(cpus)) = parse(&line) else { panic!("no registers") };
        let levels: Vec<_> = cpus.iter().map(CpuState::level).collect();
        assert_eq!(levels, [Some(Level::Spmc), Some(Level::Linux), None]);
        assert_eq!(suspect(&cpus).map(|c| (c.cpu, c.pc)), Some((0, 0x0e10_1234)));
        assert_eq!(suspect(&cpus[1..]), None);
    }

    #[test]
    fn a_machine_without_a_secure_world_has_none() {
        assert_eq!(parse_pstate("PSTATE=60000005 -ZC- EL1h    FPCR=0"), Some((false, 1)));
        assert_eq!(parse_pstate("PSTATE=600003c9 -ZC- S EL2h"), Some((true, 2)));
        assert_eq!(parse_pstate("PSTATE=400003cd -Z-- EL3h"), Some((true, 3)));
    }

    #[test]
    fn cpus_that_wait_in_firmware_are_no_suspects() {
        let at = |cpu, secure, el, pc| CpuState { cpu, pc, el, secure };
        let parked =
            [at(0, false, 1, 0xffff_8000_0001_0000), at(1, true, 3, 0x3208), at(2, true, 3, 0x0e0a_1000)];
        assert_eq!(suspect(&parked), None);
        let bl2 = [at(0, true, 1, 0x0e01_c000), at(1, true, 3, 0x3208)];
        assert_eq!(suspect(&bl2).and_then(CpuState::level), Some(Level::Bl2));
        let bl31 = [at(0, true, 3, 0x0e0a_1000), at(1, true, 3, 0x3208)];
        assert_eq!(suspect(&bl31).and_then(CpuState::level), Some(Level::Bl31));
        let partition = [at(0, false, 1, 0xffff_8000_0001_0000), at(1, true, 1, 0x0e30_4000)];
        assert_eq!(suspect(&partition).and_then(CpuState::level), Some(Level::Partition));
    }

    #[test]
    fn greeting_and_shutdown() {
        let greeting = r#"{"QMP": {"version": {"qemu": {"micro": 2, "minor": 0, "major": 10}, "package": ""}, "capabilities": ["oob"]}}"#;
        assert_eq!(parse(greeting), Some(Message::Greeting("10.0.2".into())));
        let event = r#"{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "SHUTDOWN", "data": {"guest": true, "reason": "guest-reset"}}"#;
        assert_eq!(parse(event), Some(Message::Shutdown("guest-reset".into())));
        assert_eq!(parse(r#"{"return": {}}"#), None);
        assert_eq!(parse("not json"), None);
    }
}
