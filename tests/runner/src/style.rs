//! Colour on terminals that want it, and nothing else anywhere else.

use std::io::IsTerminal;

/// What a piece of text is, which decides its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// Good news.
    Good,
    /// Bad news.
    Bad,
    /// Worth a look.
    Notable,
    /// Of less weight than what is around it.
    Quiet,
    /// Of more weight.
    Strong,
}

/// Whether to paint.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// Use colour.
    pub colour: bool,
    /// Lines may be written over.
    pub live: bool,
}

impl Style {
    /// Text without any control sequences.
    pub const PLAIN: Self = Self { colour: false, live: false };

    /// Finds out what standard output is. `NO_COLOR` and a dumb terminal are honoured.
    pub fn of_stdout() -> Self {
        let terminal = std::io::stdout().is_terminal();
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        let declined = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { colour: terminal && !dumb && !declined, live: terminal && !dumb }
    }

    /// Paints text.
    pub fn paint(self, tone: Tone, text: &str) -> String {
        if !self.colour {
            return text.to_owned();
        }
        let code = match tone {
            Tone::Good => "32",
            Tone::Bad => "1;31",
            Tone::Notable => "36",
            Tone::Quiet => "2",
            Tone::Strong => "1",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}
