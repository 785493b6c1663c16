//! One connection: its bytes in and out, and the request that it waits for.

use std::io::{self, Read as _, Write as _};

use mio::net::TcpStream;

use super::http::{Message, Parsed, Reader, write_continue, write_reply};
use crate::model::{Reply, WatchId};

/// With so many bytes of requests that have no answer yet, the server reads on only when it has served some of them. A
/// single request is smaller.
const MAX_AHEAD: usize = 2 * 1024 * 1024;

/// With so many bytes of answers that the client has not read, the server serves no further request of it.
const MAX_UNREAD: usize = 1024 * 1024;

/// An empty buffer that is larger than this gives its memory back.
const SPARE: usize = 16 * 1024;

/// After its last answer, a connection drops at most so many bytes that the client still sends.
const MAX_DROPPED: usize = 64 * 1024 * 1024;

/// What comes next on a connection.
pub(super) enum Step {
    /// Nothing, until bytes or an answer come.
    Wait,
    /// The client has gone.
    End,
    /// All is said, and the client may still send.
    Linger,
    /// The request breaks a rule of HTTP.
    Refuse(Reply),
    /// The model answers this.
    Serve(Message),
}

pub(super) struct Connection {
    stream: TcpStream,
    reader: Reader,
    output: Vec<u8>,
    sent: usize,
    /// How the answer to the present request is written.
    form: Form,
    parked: Option<WatchId>,
    /// The socket may have bytes that were not read, and no event will tell.
    is_held_up: bool,
    is_over: bool,
    has_failed: bool,
    /// The last answer has gone out: how many bytes of the client were dropped since.
    dropped: Option<usize>,
}

/// How an answer is written.
#[derive(Clone, Copy, Default)]
pub(super) struct Form {
    /// Without a body: the request is HEAD.
    pub(super) is_head: bool,
    /// The connection ends after the answer.
    pub(super) closes: bool,
}

impl Connection {
    pub(super) fn new(stream: TcpStream) -> Connection {
        Connection {
            stream,
            reader: Reader::default(),
            output: Vec::new(),
            sent: 0,
            form: Form::default(),
            parked: None,
            is_held_up: false,
            is_over: false,
            has_failed: false,
            dropped: None,
        }
    }

    /// Reads what has come, up to [`MAX_AHEAD`]. A read that does not fill the space has emptied the socket, so the
    /// next bytes have an event of their own; only the end of the stream, where it is known to have come, takes one more.
    pub(super) fn read(&mut self, scratch: &mut [u8], has_ended: bool) {
        while !self.is_over && !self.has_failed {
            self.is_held_up = self.reader.len() > MAX_AHEAD;
            if self.is_held_up {
                return;
            }
            match self.stream.read(scratch) {
                Ok(0) => self.is_over = true,
                Ok(count) => {
                    match &mut self.dropped {
                        Some(dropped) => {
                            *dropped += count;
                            self.has_failed = *dropped > MAX_DROPPED;
                        }
                        None => self.reader.take(scratch.get(..count).unwrap_or_default()),
                    }
                    if count < scratch.len() && !has_ended {
                        return;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => self.has_failed = true,
            }
        }
    }

    /// Reads on where the server has served enough of what came before. False: there is nothing to read on.
    pub(super) fn read_on(&mut self, scratch: &mut [u8]) -> bool {
        let reads = self.is_held_up && self.reader.len() <= MAX_AHEAD;
        if reads {
            // The end of the stream may have come meanwhile.
            self.read(scratch, true);
        }
        reads
    }

    /// The connection is gone on both sides, also where bytes were not read.
    pub(super) fn hang_up(&mut self) {
        self.has_failed |= self.parked.is_some();
    }

    pub(super) fn next(&mut self) -> Step {
        if self.has_failed {
            return Step::End;
        }
        if self.dropped.is_some() {
            return if self.is_over { Step::End } else { Step::Wait };
        }
        if self.parked.is_some() {
            // A client that ends its side of a connection wants no answer any more.
            return if self.is_over { Step::End } else { Step::Wait };
        }
        let unread = self.output.len() - self.sent;
        if self.form.closes || unread > MAX_UNREAD {
            return match self.flush() {
                Ok(()) if self.form.closes && self.output.is_empty() => Step::Linger,
                Ok(()) => Step::Wait,
                Err(_) => Step::End,
            };
        }
        match self.reader.next() {
            Parsed::Message(message) => {
                self.form = message.form;
                Step::Serve(message)
            }
            Parsed::Bad(reply) => {
                self.form.closes = true;
                Step::Refuse(reply)
            }
            Parsed::Partial { wants_continue } => {
                if wants_continue {
                    write_continue(&mut self.output);
                }
                if !self.is_over {
                    return Step::Wait;
                }
                // What the client has asked is answered before the connection ends.
                match self.flush() {
                    Ok(()) if !self.output.is_empty() => Step::Wait,
                    _ => Step::End,
                }
            }
        }
    }

    /// Writes the answer to the present request.
    pub(super) fn answer(&mut self, reply: &Reply) {
        self.parked = None;
        write_reply(&mut self.output, reply, self.form);
    }

    pub(super) fn park(&mut self, watch: WatchId) {
        self.parked = Some(watch);
    }

    #[cfg(test)]
    pub(super) fn is_held_up(&self) -> bool {
        self.is_held_up
    }

    pub(super) fn parked(&self) -> Option<WatchId> {
        self.parked
    }

    /// Sends what the network takes.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        while let Some(rest) = self.output.get(self.sent..)
            && !rest.is_empty()
        {
            match self.stream.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.sent = 0;
        self.output.clear();
        if self.output.capacity() > SPARE {
            self.output = Vec::new();
        }
        Ok(())
    }

    /// Ends this side. What the client still sends is dropped: a socket that is closed with bytes to read, or that
    /// gets bytes later, has the client lose the last answer by a reset.
    pub(super) fn linger(&mut self, scratch: &mut [u8]) {
        let _ = self.stream.shutdown(std::net::Shutdown::Write);
        self.reader = Reader::default();
        self.dropped = Some(0);
        self.read(scratch, false);
    }

    pub(super) fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }
}
