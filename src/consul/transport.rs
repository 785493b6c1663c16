//! One keep-alive connection to Consul, and HTTP/1.1 on it: one request at a time, each of them whole in memory.
//!
//! The exchange is the library's own: the bytes of a request (`request.rs`), the head of a reply, which `httparse`
//! parses (`reply.rs`), and its body (`body.rs`). Head and body of a request go out in one write. A read takes a whole
//! reply as a rule. Names are resolved only for a new connection. A request ends at a deadline without a helper thread,
//! and another thread can end a request by shutting down this one socket.

mod at_once;
mod body;
#[cfg(any(fuzzing, test))]
pub(crate) mod from_bytes;
mod incoming;
mod reply;
mod request;

use std::fmt;
use std::io::{self, Read};
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::connect::{Connected, Route};
use super::credentials::Token;
use super::errand::Wait;
use super::http::{Exchange, Failure, HttpReply, HttpRequest, Peer};
use super::interrupt::Interrupt;
use super::secrets::Secrets;
use super::stream::Stream;
use super::tls::{self, Tls};
use crate::clock::Time;
use incoming::{Broken, Incoming};
use request::Output;

/// A longer reply is not read. A reply with a value of 512 KiB in base64, and its frame, is shorter.
const LARGEST_REPLY: usize = 2 << 20;

/// The same for the list of all sessions of a datacenter, or of all keys below a prefix: some 90,000 sessions fit.
const LARGEST_LIST: usize = 32 << 20;

/// Counts connections.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    open: AtomicUsize,
    peak: AtomicUsize,
}

impl Connections {
    /// How many are open now.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// How many were open at the same time at most.
    pub(crate) fn peak(&self) -> usize {
        self.peak.load(Ordering::Relaxed)
    }

    fn opened(&self) {
        let open = self.open.fetch_add(1, Ordering::Relaxed) + 1;
        self.peak.fetch_max(open, Ordering::Relaxed);
    }

    fn closed(&self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One connection, opened when it is needed.
pub(crate) struct Wire {
    route: Arc<Route>,
    connections: Arc<Connections>,
    open: Option<Open>,
    /// The library has just seen that the connection is quiet: the next request need not look again.
    is_checked: bool,
    /// When the request was sent whose reply is to be received next.
    awaited: Option<Time>,
    /// The request, in memory that is kept for the next one.
    output: Output,
    /// How many bytes of the request were sent, where the connection did not take all of them at once.
    cut_at: Option<usize>,
    /// What has come of the reply, in memory that is kept for the next one.
    input: Incoming,
    /// The index of its address in the route.
    at: usize,
    /// The TLS of the connection.
    tls: Option<Arc<Tls>>,
    /// The token of the last request.
    token: Token,
    /// The certificate of the other side, in DER.
    certificate: Option<Vec<u8>>,
    /// The header `Date` of the last reply; empty: there was none.
    date: String,
}

/// An open connection. The fields are dropped in this order: a connection is closed before it is counted as closed.
struct Open {
    stream: Stream,
    /// The other side has said something.
    is_heard: bool,
    _counted: Counted,
}

struct Counted(Arc<Connections>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.closed();
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for Wire {
    /// Without the bytes of requests and replies: a token is among them, and stored values.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire")
            .field("address", &self.route.address(self.at))
            .field("open", &self.open.as_ref().map(|open| &open.stream))
            .field("awaited", &self.awaited)
            .finish_non_exhaustive()
    }
}

impl Wire {
    /// A wire with no connection yet.
    pub(crate) fn new(route: &Arc<Route>) -> Wire {
        Wire {
            connections: Arc::default(),
            open: None,
            is_checked: false,
            awaited: None,
            output: Output::default(),
            cut_at: None,
            input: Incoming::default(),
            at: 0,
            tls: None,
            token: route.credentials().token(),
            certificate: None,
            date: String::new(),
            route: route.clone(),
        }
    }

    /// The same wire, which counts its connections in `connections`.
    pub(crate) fn counted_by(mut self, connections: &Arc<Connections>) -> Wire {
        self.connections = connections.clone();
        self
    }

    /// Whether a request can be sent at once: there is a connection that the peer has not closed, with no unexpected
    /// bytes from Consul, and no request waits for its reply there. The next request does not look again, so it is
    /// sent right after this.
    pub(crate) fn is_open(&mut self) -> bool {
        self.is_checked = match &mut self.open {
            Some(open) => self.awaited.is_none() && open.stream.is_quiet(),
            None => false,
        };
        self.is_checked
    }

    /// The index of its address in the route.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// The other end of the last connection.
    pub(crate) fn peer(&self) -> Peer {
        let socket = self.open.as_ref().map(|open| open.stream.socket());
        Peer {
            address: self.route.address(self.at),
            resolved: socket.and_then(|socket| socket.peer_addr().ok()),
            certificate: self.certificate.clone(),
            date: Some(self.date.clone()).filter(|date| !date.is_empty()),
        }
    }

    /// Whether the token was replaced since this wire sent its last request.
    pub(crate) fn has_newer_token(&self, by: Time, interrupt: &Interrupt) -> bool {
        let wait = Wait::for_files(by, interrupt);
        self.route.credentials().has_newer_token(&self.token, wait)
    }

    /// Sends one request and waits for its whole reply, until shortly after `by` at the latest.
    pub(crate) fn perform(
        &mut self,
        request: &HttpRequest,
        by: Time,
        interrupt: &Interrupt,
    ) -> Exchange {
        match self.send(request, by, interrupt) {
            Ok(()) => self.receive(request, by, interrupt),
            Err(exchange) => exchange,
        }
    }

    /// Sends one request, on a new connection if there is none. After Ok, [`Wire::receive`] waits for the reply, on
    /// any thread. Err: the exchange is over. `interrupt` ends the exchange from now on.
    ///
    /// [`Output::longest`] has the length of what is sent.
    pub(crate) fn send(
        &mut self,
        request: &HttpRequest,
        by: Time,
        interrupt: &Interrupt,
    ) -> Result<(), Exchange> {
        // Bytes that came since the last reply do not answer this request.
        if !std::mem::take(&mut self.is_checked) && !self.is_open() {
            self.close();
        }
        self.is_checked = false;
        let mut sent = None;
        let result = self
            .open(by, interrupt)
            .and_then(|()| self.write(request, by, interrupt, &mut sent));
        match result {
            Ok(()) => {
                self.awaited = sent;
                Ok(())
            }
            Err(failure) => {
                interrupt.detach();
                let result = Err(failure);
                Err(Exchange { sent, result })
            }
        }
    }

    /// Waits for the whole reply to the request that was sent, until shortly after `by` at the latest.
    ///
    /// With TLS 1.3 the refusal of the library's certificate answers the first request, which Consul has not seen.
    /// Then the request is sent once more, if the certificate was replaced.
    pub(crate) fn receive(
        &mut self,
        request: &HttpRequest,
        by: Time,
        interrupt: &Interrupt,
    ) -> Exchange {
        let mut result = self.hear(request, by, interrupt);
        let used = self.tls.clone().filter(|_| result.is_err());
        if used.is_some_and(|tls| self.route.has_newer_tls(&tls, by, interrupt)) {
            result = match self.send(request, by, interrupt) {
                Ok(()) => self.hear(request, by, interrupt),
                Err(exchange) => Ok(exchange),
            };
        }
        result.unwrap_or_else(|why| Exchange {
            sent: None,
            result: Err(Failure::Refused(why)),
        })
    }

    /// Makes sure that there is a connection, and that `interrupt` can end what happens on it.
    fn open(&mut self, by: Time, interrupt: &Interrupt) -> Result<(), Failure> {
        // A request that was ended before its turn opens no connection.
        let is_in_time = match &self.open {
            Some(open) => interrupt.attach(open.stream.socket()),
            None => !interrupt.is_ended(),
        };
        if !is_in_time {
            return Err(Failure::NotSent("interrupted".to_owned()));
        }
        if self.open.is_none() {
            let Connected { at, stream, tls } = self.route.connect(by, interrupt)?;
            (self.at, self.tls) = (at, tls);
            self.certificate = stream.certificate();
            self.connections.opened();
            self.open = Some(Open {
                stream,
                is_heard: false,
                _counted: Counted(self.connections.clone()),
            });
        }
        Ok(())
    }

    /// Writes the request to the connection. `sent` becomes the instant before the first byte.
    fn write(
        &mut self,
        request: &HttpRequest,
        by: Time,
        interrupt: &Interrupt,
        sent: &mut Option<Time>,
    ) -> Result<(), Failure> {
        self.token = self.route.credentials().token();
        let (route, token) = (&self.route, &self.token);
        let written = self.output.write(request, route, self.at, token);
        let ready = written.and_then(|()| self.input.prepare());
        ready.map_err(|error| match error.kind() {
            io::ErrorKind::OutOfMemory => Failure::NoResources(error.to_string()),
            _ => Failure::NotSent(error.to_string()),
        })?;
        let Some(open) = &mut self.open else {
            return Err(Failure::NotSent("there is no connection".to_owned()));
        };
        open.stream.set_deadline(by);
        let result = open.stream.send(self.output.bytes(), sent);
        self.output.shrink();
        result.map_err(|error| {
            self.close();
            let why = explain(&error, false, interrupt);
            match sent {
                Some(_) => Failure::Unknown(why),
                None if error.kind() == io::ErrorKind::OutOfMemory => Failure::NoResources(why),
                None => Failure::NotSent(why),
            }
        })
    }

    /// Reads the reply. Err: the reason why Consul's TLS has refused the library's certificate.
    fn hear(
        &mut self,
        request: &HttpRequest,
        by: Time,
        interrupt: &Interrupt,
    ) -> Result<Exchange, String> {
        let sent = self.awaited.take();
        let Some(open) = self.open.as_mut().filter(|_| sent.is_some()) else {
            let result = Err(Failure::NotSent("no request was sent".to_owned()));
            return Ok(Exchange { sent, result });
        };
        open.stream.set_deadline(by);
        let was_heard = open.is_heard;
        let rest = match self.cut_at.take() {
            Some(at) => {
                let rest = self.output.bytes().get(at..).unwrap_or_default();
                open.stream.send(rest, &mut None)
            }
            None => Ok(()),
        };
        let mut source = Heard {
            stream: &mut open.stream,
            anything: false,
        };
        let target = &request.target;
        let lists = target.starts_with("/v1/session/list") || target.contains("?recurse=");
        let limit = if lists { LARGEST_LIST } else { LARGEST_REPLY };
        let reply = match rest {
            Ok(()) => self.input.reply(&mut source, limit, &mut self.date),
            Err(error) => Err(Broken::Io(error)),
        };
        let anything = source.anything;
        open.is_heard |= anything;
        interrupt.detach();
        let broken = match reply {
            Ok(reply) => {
                if !reply.keeps {
                    self.close();
                }
                let secrets = match reply.status {
                    200 => Secrets::default(),
                    // Errors quote a reply other than 200, and a server may quote the request.
                    _ => self.route.credentials().secrets(&self.token),
                };
                let result = Ok(HttpReply {
                    status: reply.status,
                    index: reply.index,
                    body: reply.body,
                    secrets,
                });
                return Ok(Exchange { sent, result });
            }
            Err(broken) => broken,
        };
        self.close();
        let failure = match broken {
            Broken::TooLarge => Failure::TooLarge(format!(
                "the reply has more than {limit} bytes, and the library reads no longer one"
            )),
            Broken::Io(error) => {
                let of_tls = self.tls.as_ref().zip(tls::error_in(&error));
                if let Some((tls, error)) = of_tls
                    && !was_heard
                    && !anything
                    && !interrupt.is_ended()
                    && tls::is_about_our_certificate(error)
                {
                    return Err(tls.explain(error));
                }
                Failure::Unknown(explain(&error, anything, interrupt))
            }
        };
        let result = Err(failure);
        Ok(Exchange { sent, result })
    }

    /// Closes the connection. A request whose reply nothing will receive must not keep the socket, which its interrupt
    /// has, too.
    fn close(&mut self) {
        self.cut_at = None;
        let open = self.open.take();
        if let (Some(_), Some(open)) = (self.awaited.take(), open) {
            // The shutdown fails if the peer has closed the connection.
            let _ = open.stream.socket().shutdown(Shutdown::Both);
        }
    }
}

/// Reads from a connection, and notes whether anything came.
struct Heard<'a> {
    stream: &'a mut Stream,
    anything: bool,
}

impl Read for Heard<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.stream.receive(into)?;
        self.anything |= read > 0;
        Ok(read)
    }
}

/// The failure in one line, without anything of the request and the reply. `is_begun`: a part of the reply has come.
fn explain(error: &io::Error, is_begun: bool, interrupt: &Interrupt) -> String {
    if interrupt.is_ended() {
        return "interrupted".to_owned();
    }
    match error.kind() {
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => "no reply in time".to_owned(),
        io::ErrorKind::UnexpectedEof if is_begun => {
            "the connection was closed before the end of the reply".to_owned()
        }
        io::ErrorKind::UnexpectedEof => "the connection was closed without a reply".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests;
