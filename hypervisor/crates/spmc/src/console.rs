//! FFA_CONSOLE_LOG: characters of a partition become whole lines of the log (FF-A 1.2, section 13.13).

use core::fmt::Write;

use heapless::{String, Vec};
use tantalum_hal::Platform;

use crate::partition::Partition;

/// Bounds a line; a longer one is broken.
const LINE_LENGTH: usize = 120;

/// Collects the characters of an execution context until its line is whole.
///
/// Each execution context has its own, so that lines of one partition on different processing elements do not
/// mix.
#[derive(Debug)]
pub(crate) struct LineBuffer(Vec<u8, LINE_LENGTH>);

impl LineBuffer {
    /// Builds an empty buffer.
    pub(crate) const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds characters and logs each line that they complete, with the partition's id and name before it.
    ///
    /// What is no printable ASCII character is shown as a dot: a log is read on terminals, and nobody shall
    /// steer another's.
    pub(crate) fn push(
        &mut self,
        characters: impl Iterator<Item = u8>,
        partition: &Partition,
        platform: &impl Platform,
    ) {
        for character in characters {
            match character {
                b'\n' => self.flush(partition, platform),
                b'\r' | 0 => {}
                _ => {
                    let shown = if character == b'\t' || (b' '..=b'~').contains(&character) {
                        character
                    } else {
                        b'.'
                    };
                    if self.0.push(shown).is_err() {
                        self.flush(partition, platform);
                        // The buffer is empty now.
                        let _ = self.0.push(shown);
                    }
                }
            }
        }
    }

    /// Logs what has been collected as a line, even if nothing has.
    fn flush(&mut self, partition: &Partition, platform: &impl Platform) {
        let mut line: String<{ LINE_LENGTH + 64 }> = String::new();
        let text = core::str::from_utf8(&self.0).unwrap_or_default();
        // 64 bytes are enough for the prefix: a name has at most 32. A longer line would be cut, not lost.
        let _ = writeln!(line, "[sp {:04x} {}] {text}", partition.id().raw(), partition.name());
        platform.log(line.as_bytes());
        self.0.clear();
    }
}

impl Default for LineBuffer {
    fn default() -> Self {
        Self::new()
    }
}
