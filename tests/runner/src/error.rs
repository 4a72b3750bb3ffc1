//! Errors that stop a command before it can judge anything.

use std::fmt;

/// A message for the person at the terminal: what is wrong and, where known, what to do.
#[derive(Debug)]
pub struct Error(String);

impl Error {
    /// Makes an error from its message.
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

impl From<lexopt::Error> for Error {
    fn from(error: lexopt::Error) -> Self {
        Self(error.to_string())
    }
}

/// The result of anything that can end with an [`Error`].
pub type Result<T> = std::result::Result<T, Error>;
