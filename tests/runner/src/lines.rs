//! From console bytes to lines of clean text.

/// A line of a console that is longer than this is cut: no guest may make the runner's memory
/// grow, nor fill a report with one line.
const CONSOLE: usize = 8 * 1024;
/// QEMU's control channel gives the registers of all CPUs as one line.
const CONTROL: usize = 4 * 1024 * 1024;

/// Collects bytes of one source and gives whole lines.
#[derive(Debug)]
pub struct LineSplitter {
    pending: Vec<u8>,
    longest: usize,
}

impl LineSplitter {
    /// Makes one for a console.
    pub fn for_console() -> Self {
        Self { pending: Vec::new(), longest: CONSOLE }
    }

    /// Makes one for QEMU's control channel.
    pub fn for_control() -> Self {
        Self { pending: Vec::new(), longest: CONTROL }
    }

    /// Takes bytes as they come and appends the lines that they complete to `lines`.
    pub fn push(&mut self, bytes: &[u8], lines: &mut Vec<String>) {
        for &byte in bytes {
            if byte == b'\n' {
                lines.push(self.take());
                continue;
            }
            self.pending.push(byte);
            if self.pending.len() >= self.longest {
                lines.push(self.take());
            }
        }
    }

    /// Gives what came after the last newline, if anything did.
    pub fn finish(&mut self) -> Option<String> {
        (!self.pending.is_empty()).then(|| self.take())
    }

    fn take(&mut self) -> String {
        let line = clean(&self.pending);
        self.pending.clear();
        line
    }
}

/// Decodes a line: invalid UTF-8 is replaced, escape sequences and control characters go,
/// carriage returns too, tabs become one space.
fn clean(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => {
                // A control sequence is ESC [ parameters final; anything else is ESC and one.
                if chars.next() == Some('[') {
                    while chars.next().is_some_and(|c| !('@'..='~').contains(&c)) {}
                }
            }
            '\t' => out.push(' '),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out.truncate(out.trim_end().len());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(parts: &[&[u8]]) -> (Vec<String>, Option<String>) {
        let mut splitter = LineSplitter::for_console();
        let mut lines = Vec::new();
        for part in parts {
            splitter.push(part, &mut lines);
        }
        (lines, splitter.finish())
    }

    #[test]
    fn lines_may_come_in_pieces() {
        let (lines, rest) = split(&[b"NOT", b"ICE:  x\r\nsecond", b"\nthird"]);
        assert_eq!(lines, ["NOTICE:  x", "second"]);
        assert_eq!(rest.as_deref(), Some("third"));
    }

    #[test]
    fn invalid_utf8_and_escapes_do_no_harm() {
        let (lines, rest) = split(&[b"a\xff\x00b \x1b[1;31mred\x1b[0m\t.\n"]);
        assert_eq!(lines, ["a\u{fffd}b red ."]);
        assert_eq!(rest, None);
    }

    #[test]
    fn endless_lines_are_cut() {
        let (lines, rest) = split(&[&vec![b'x'; CONSOLE + 3]]);
        assert_eq!(lines.len(), 1);
        assert_eq!(rest.as_deref(), Some("xxx"));
    }
}
