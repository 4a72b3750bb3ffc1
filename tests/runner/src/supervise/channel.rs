//! One queue for everything that QEMU says, fed by a thread for each pipe.

use crate::error::{Error, Result};
use crate::session::Console;
use std::io::{PipeWriter, Read};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

/// Who speaks.
#[derive(Clone, Copy, Debug)]
pub enum Source {
    /// A console, or QEMU's standard error.
    Console(Console),
    /// The control channel.
    Qmp,
}

impl Source {
    /// All of them, by their index.
    pub const ALL: [Self; 4] = [
        Self::Console(Console::Normal),
        Self::Console(Console::Secure),
        Self::Console(Console::Qemu),
        Self::Qmp,
    ];

    /// A small number for each.
    pub fn index(self) -> usize {
        match self {
            Self::Console(Console::Normal) => 0,
            Self::Console(Console::Secure) => 1,
            Self::Console(Console::Qemu) => 2,
            Self::Qmp => 3,
        }
    }
}

/// Bytes, or the end of a source.
type Piece = (Source, Option<Vec<u8>>);

/// The queue.
pub struct Channel {
    sender: Sender<Piece>,
    receiver: Receiver<Piece>,
    open: usize,
}

impl Channel {
    /// Makes an empty queue.
    pub fn new() -> Self {
        let (sender, receiver) = mpsc::channel();
        Self { sender, receiver, open: 0 }
    }

    /// Makes a pipe, listens to it, and gives its write end.
    pub fn pipe(&mut self, source: Source) -> Result<PipeWriter> {
        let (reader, writer) =
            std::io::pipe().map_err(|error| Error::new(format!("cannot make a pipe: {error}")))?;
        self.listen(source, reader);
        Ok(writer)
    }

    /// Listens to a reader until its end.
    pub fn listen(&mut self, source: Source, mut reader: impl Read + Send + 'static) {
        let sender = self.sender.clone();
        self.open += 1;
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            loop {
                let piece = match reader.read(&mut buffer) {
                    Ok(0) => None,
                    Ok(count) => buffer.get(..count).map(<[u8]>::to_vec),
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                    Err(_) => None,
                };
                let ended = piece.is_none();
                if sender.send((source, piece)).is_err() || ended {
                    return;
                }
            }
        });
    }

    /// Whether anything can still come.
    pub fn is_open(&self) -> bool {
        self.open > 0
    }

    /// Waits for the next bytes, for at most this long.
    pub fn next(&mut self, limit: Duration) -> Option<(Source, Vec<u8>)> {
        match self.receiver.recv_timeout(limit) {
            Ok((source, Some(bytes))) => Some((source, bytes)),
            Ok((_, None)) => {
                self.open -= 1;
                None
            }
            Err(_) => None,
        }
    }
}
