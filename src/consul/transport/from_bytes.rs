//! Replies out of bytes that stand for a connection: for the properties in `fuzz/`, which say how the bytes are split
//! and how long a body may be.

use std::io::Read;

use super::incoming::{Broken, Incoming};

/// The reader of one connection.
#[derive(Default)]
pub(crate) struct Replies {
    input: Incoming,
}

/// What the library takes from a reply.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TakenReply {
    pub(crate) status: u16,
    pub(crate) index: Option<u64>,
    pub(crate) body: Vec<u8>,
    pub(crate) date: String,
    /// The connection may serve another request.
    pub(crate) keeps: bool,
}

/// Why the library takes none.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NoReply {
    TooLarge,
    /// In the words of the error.
    Broken(String),
}

impl Replies {
    /// Reads the reply to the next request, with a body of at most `limit` bytes.
    pub(crate) fn next(
        &mut self,
        source: &mut impl Read,
        limit: usize,
    ) -> Result<TakenReply, NoReply> {
        let mut date = String::new();
        let ready = self.input.prepare().map_err(Broken::Io);
        let reply = ready.and_then(|()| self.input.reply(source, limit, &mut date));
        match reply {
            Ok(reply) => Ok(TakenReply {
                status: reply.status,
                index: reply.index,
                body: reply.body,
                date,
                keeps: reply.keeps,
            }),
            Err(Broken::TooLarge) => Err(NoReply::TooLarge),
            Err(Broken::Io(error)) => Err(NoReply::Broken(error.to_string())),
        }
    }

    /// How much memory it has now.
    pub(crate) fn memory(&self) -> usize {
        self.input.memory()
    }
}
