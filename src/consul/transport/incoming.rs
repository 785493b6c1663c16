//! What has come from a connection, in memory that is kept for the next reply.

use std::io::{self, Read};

use super::request::reserve;

/// A longer head is not Consul's.
const LONGEST_HEAD: usize = 16 << 10;

/// A connection keeps that much of the memory for replies. Most replies of Consul's are shorter, head and body
/// together.
pub(super) const KEPT: usize = 4 << 10;

/// Why there is no reply.
#[derive(Debug)]
pub(super) enum Broken {
    Io(io::Error),
    /// The body is larger than the limit.
    TooLarge,
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Broken {
        Broken::Io(error)
    }
}

/// What has come from a connection, and was not used yet.
#[derive(Default)]
pub(super) struct Incoming {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Incoming {
    /// Makes the memory for the next reply ready, before its request is sent, and forgets what came before.
    pub(super) fn prepare(&mut self) -> io::Result<()> {
        (self.start, self.end) = (0, 0);
        if self.bytes.len() > KEPT {
            self.bytes = Vec::new();
        }
        self.grow(KEPT)
    }

    /// How much memory it has now.
    #[cfg(any(fuzzing, test))]
    pub(super) fn memory(&self) -> usize {
        self.bytes.capacity()
    }

    /// What has come, and was not used yet.
    pub(super) fn waiting(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    /// These bytes of what waits are used.
    pub(super) fn used(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
    }

    /// Waits for more. The end of the connection is an error here: something is missing.
    pub(super) fn fill(&mut self, source: &mut impl Read) -> io::Result<()> {
        if self.start == self.end || self.end == self.bytes.len() {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.end == self.bytes.len() {
            if self.end >= LONGEST_HEAD {
                return Err(io::Error::other(
                    "the head of the reply has more than 16 KB (Consul sends short ones: is there a proxy?)",
                ));
            }
            self.grow((2 * self.end).clamp(KEPT, LONGEST_HEAD))?;
        }
        let room = self.bytes.get_mut(self.end..).unwrap_or_default();
        let read = source.read(room)?;
        self.end += read;
        match read {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    fn grow(&mut self, length: usize) -> io::Result<()> {
        let more = length - self.bytes.len();
        reserve(&mut self.bytes, more)?;
        self.bytes.resize(length, 0);
        Ok(())
    }

    /// Gives the memory of a large head back.
    pub(super) fn shrink(&mut self) {
        if self.bytes.len() > KEPT {
            *self = Incoming::default();
        }
    }
}

pub(super) fn bad(why: &str) -> io::Error {
    let why = format!("the reply is not HTTP as the library reads it: {why}");
    io::Error::new(io::ErrorKind::InvalidData, why)
}
