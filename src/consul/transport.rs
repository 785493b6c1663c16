//! One keep-alive connection to Consul. The only user of ureq.
//!
//! ureq speaks HTTP; the socket is ours, through `ureq::unversioned`, for four reasons that were
//! measured: head and body go out in one write (ureq's own transport makes two writes and three
//! reads of a request), names are resolved only when a connection is made (ureq resolves for every
//! request), a request ends at a deadline without a helper thread, and another thread can end it
//! by shutting down this one socket.

use std::io::{self, Read as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ureq::config::Config;
use ureq::http::{Response, Uri};
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport,
};
use ureq::{Agent, Body, RequestBuilder};

use super::connect::{Connected, Route};
use super::credentials::Token;
use super::errand::Wait;
use super::http::{Exchange, Failure, HttpReply, HttpRequest, Method};
use super::interrupt::Interrupt;
use super::secrets::Secrets;
use super::stream::Stream;
use super::tls::{self, Tls};
use crate::clock::Time;
use crate::lockorder::{Mutex, Rank};
use crate::sys;

/// A reply is at most a value of 512 KiB in base64, and its frame.
const LARGEST_REPLY: u64 = 2 << 20;

/// The list of all sessions of a datacenter is larger: some 90,000 of them fit.
const LARGEST_LIST: u64 = 32 << 20;

/// Enough for the head of any reply of Consul's; both grow with the body where they must.
const INPUT_BUFFER: usize = 16 << 10;
const OUTPUT_BUFFER: usize = 8 << 10;

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
#[derive(Debug)]
pub(crate) struct Wire {
    agent: Agent,
    route: Arc<Route>,
    /// Which address of the route it leads to.
    at: usize,
    /// How TLS is spoken on it.
    tls: Option<Arc<Tls>>,
    /// What was sent as the token last.
    token: Token,
    /// The longest head of a request that it has room for.
    room: usize,
    line: Arc<Mutex<Line>>,
}

/// What the wire and its socket, which ureq owns, know of each other.
#[derive(Debug, Default)]
struct Line {
    /// Opened, and not yet taken by ureq.
    ready: Option<Stream>,
    socket: Option<Arc<TcpStream>>,
    by: Time,
    sent: Option<Time>,
    /// The other side has said something since the connection was opened.
    heard: bool,
    room: usize,
    connections: Arc<Connections>,
}

/// An agent for one connection.
fn agent(line: &Arc<Mutex<Line>>) -> Agent {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(None)
        .user_agent(concat!("libconsul_lock/", env!("CARGO_PKG_VERSION")))
        .max_idle_connections(1)
        .max_idle_connections_per_host(1)
        .max_idle_age(Duration::from_secs(86_400))
        .build();
    Agent::with_parts(config, LineConnector(line.clone()), NoResolver)
}

impl Wire {
    /// Opens nothing yet.
    pub(crate) fn new(route: &Arc<Route>) -> Wire {
        let line = Line {
            room: OUTPUT_BUFFER,
            ..Line::default()
        };
        let line = Arc::new(Mutex::new(Rank::Leaf, line));
        Wire {
            agent: agent(&line),
            route: route.clone(),
            at: 0,
            tls: None,
            token: route.credentials().token(),
            room: OUTPUT_BUFFER,
            line,
        }
    }

    /// The same, and its connections are counted there.
    pub(crate) fn counted_by(self, connections: &Arc<Connections>) -> Wire {
        self.line.lock().connections = connections.clone();
        self
    }

    /// Has a connection that the peer has not closed, and on which it has said nothing unasked.
    pub(crate) fn is_open(&self) -> bool {
        self.line
            .lock()
            .socket
            .as_ref()
            .is_some_and(|socket| sys::is_quiet(socket))
    }

    /// Which address of the route it leads to.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// The token was replaced since this wire's last request was sent.
    pub(crate) fn has_newer_token(&self, by: Time, interrupt: &Interrupt) -> bool {
        let wait = Wait::for_files(by, interrupt);
        self.route.credentials().has_newer_token(&self.token, wait)
    }

    /// Sends one request and waits for its whole reply, at the latest until shortly after `by`.
    pub(crate) fn perform(
        &mut self,
        request: &HttpRequest,
        by: Time,
        interrupt: &Interrupt,
    ) -> Exchange {
        self.make_room(request.target.len());
        // What came since the last answer is no answer to this request.
        let socket = self.line.lock().socket.clone();
        if socket.is_some_and(|socket| !sys::is_quiet(&socket)) {
            self.agent = agent(&self.line);
        }
        let mut again = false;
        loop {
            match self.try_once(request, by, interrupt) {
                Ok(exchange) => return exchange,
                // Nothing was applied: it is sent once more, if our certificate was replaced.
                Err(why) => {
                    let used = self.tls.clone().filter(|_| !again);
                    again = used.is_some_and(|tls| self.route.has_newer_tls(&tls, by, interrupt));
                    if !again {
                        return not_sent(Failure::Refused(why));
                    }
                }
            }
        }
    }

    /// Err: Consul's TLS has refused our certificate, for the reason that is told. With TLS 1.3 that comes
    /// as the answer to the first request, of which it has seen nothing.
    fn try_once(
        &mut self,
        request: &HttpRequest,
        by: Time,
        interrupt: &Interrupt,
    ) -> Result<Exchange, String> {
        let socket = {
            let mut line = self.line.lock();
            line.by = by;
            line.sent = None;
            line.socket.clone()
        };
        // What was ended while it stood in line opens no connection.
        let too_late = match &socket {
            Some(socket) => !interrupt.attach(socket),
            None => interrupt.is_ended(),
        };
        if too_late {
            return Ok(not_sent(Failure::NotSent("interrupted".to_owned())));
        }
        if socket.is_none() {
            match self.route.connect(by, interrupt) {
                Ok(Connected { at, stream, tls }) => {
                    (self.at, self.tls) = (at, tls);
                    let mut line = self.line.lock();
                    line.heard = false;
                    line.ready = Some(stream);
                }
                Err(failure) => {
                    interrupt.detach();
                    return Ok(not_sent(failure));
                }
            }
        }
        let result = self.call(request);
        interrupt.detach();
        let (sent, heard) = {
            let mut line = self.line.lock();
            line.ready = None;
            (line.sent, line.heard)
        };
        let error = match result {
            Ok(reply) => {
                let result = Ok(reply);
                return Ok(Exchange { sent, result });
            }
            Err(error) => error,
        };
        if let (ureq::Error::Io(error), false) = (&error, heard || interrupt.is_ended())
            && let Some((tls, error)) = self.tls.as_ref().zip(tls::error_in(error))
            && tls::is_about_our_certificate(error)
        {
            return Err(tls.explain(error));
        }
        let why = explain(&error, interrupt);
        let starved =
            matches!(&error, ureq::Error::Io(e) if e.kind() == io::ErrorKind::OutOfMemory);
        let result = Err(if let ureq::Error::BodyExceedsLimit(_) = error {
            Failure::TooLarge(why)
        } else if sent.is_some() {
            Failure::Unknown(why)
        } else if starved {
            Failure::NoResources(why)
        } else {
            Failure::NotSent(why)
        });
        Ok(Exchange { sent, result })
    }

    /// ureq wants the first line of a request to fit into its buffer.
    fn make_room(&mut self, target: usize) {
        let wanted = target + (1 << 10) + self.route.longest_prefix();
        if wanted > self.room {
            self.room = wanted;
            self.line.lock().room = wanted;
            // The connection closes with the old one.
            self.agent = agent(&self.line);
        }
    }

    fn call(&mut self, request: &HttpRequest) -> Result<HttpReply, ureq::Error> {
        let url = format!("{}{}", self.route.base(self.at), request.target);
        self.token = self.route.credentials().token();
        let response = match request.method {
            Method::Get => self.with_credentials(self.agent.get(url)).call(),
            Method::Put => {
                let body = request.body.as_deref().unwrap_or_default();
                let call = self.agent.put(url).content_type("application/json");
                self.with_credentials(call).send(body)
            }
            #[cfg(test)]
            Method::Delete => self.agent.delete(url).call(),
        }?;
        let limit = if request.target.starts_with("/v1/session/list") {
            LARGEST_LIST
        } else {
            LARGEST_REPLY
        };
        let mut reply = read_reply(response, limit)?;
        // What is not 200 may be told, and a server may quote what it was asked.
        if reply.status != 200 {
            reply.secrets = self.route.credentials().secrets(&self.token);
        }
        Ok(reply)
    }

    fn with_credentials<Any>(&self, mut call: RequestBuilder<Any>) -> RequestBuilder<Any> {
        if let Some(token) = self.token.as_ref() {
            call = call.header("X-Consul-Token", &token.0);
        }
        if let Some(basic) = self.route.credentials().basic() {
            call = call.header("Authorization", &basic.0);
        }
        call
    }
}

fn not_sent(failure: Failure) -> Exchange {
    Exchange {
        sent: None,
        result: Err(failure),
    }
}

fn read_reply(mut response: Response<Body>, limit: u64) -> Result<HttpReply, ureq::Error> {
    let status = response.status().as_u16();
    let index = response
        .headers()
        .get("X-Consul-Index")
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.parse().ok());
    let mut reader = response.body_mut().with_config().limit(limit).reader();
    let (mut body, mut part) = (Vec::new(), [0; 4 << 10]);
    loop {
        let read = reader.read(&mut part)?;
        let part = part.get(..read).unwrap_or_default();
        if part.is_empty() {
            break;
        }
        append(&mut body, part)?;
    }
    Ok(HttpReply {
        status,
        index,
        body,
        secrets: Secrets::default(),
    })
}

/// What may be large, on a host that may have no memory for it.
fn append(to: &mut Vec<u8>, bytes: &[u8]) -> io::Result<()> {
    to.try_reserve(bytes.len())
        .map_err(|_| io::ErrorKind::OutOfMemory)?;
    to.extend_from_slice(bytes);
    Ok(())
}

/// One line that says what went wrong. ureq's texts carry no header and no body.
fn explain(error: &ureq::Error, interrupt: &Interrupt) -> String {
    if interrupt.is_ended() {
        return "interrupted".to_owned();
    }
    match error {
        ureq::Error::Io(error) => match error.kind() {
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => "no answer in time".to_owned(),
            io::ErrorKind::UnexpectedEof => {
                "the connection was closed without an answer".to_owned()
            }
            _ => error.to_string(),
        },
        ureq::Error::BodyExceedsLimit(most) => {
            format!("the answer is larger than {most} bytes, which is all that is read of one")
        }
        ureq::Error::Http(_) => {
            "the request cannot be sent: its URL is too long, or the token is no header".to_owned()
        }
        error => error.to_string(),
    }
}

/// The connector resolves, when it connects; ureq's own asks for every request.
#[derive(Debug)]
struct NoResolver;

impl Resolver for NoResolver {
    fn resolve(
        &self,
        _: &Uri,
        _: &Config,
        _: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        Ok(self.empty())
    }
}

/// Hands ureq the connection that [`Wire::perform`] has opened.
#[derive(Debug)]
struct LineConnector(Arc<Mutex<Line>>);

impl Connector for LineConnector {
    type Out = LineTransport;

    fn connect(
        &self,
        _: &ConnectionDetails<'_>,
        _: Option<()>,
    ) -> Result<Option<LineTransport>, ureq::Error> {
        let mut line = self.0.lock();
        let Some(stream) = line.ready.take() else {
            return Err(io::Error::from(io::ErrorKind::NotConnected).into());
        };
        line.socket = Some(stream.socket().clone());
        line.connections.opened();
        Ok(Some(LineTransport {
            buffers: LazyBuffers::new(INPUT_BUFFER, line.room),
            pending: Vec::new(),
            broken: false,
            stream,
            line: self.0.clone(),
        }))
    }
}

/// The connection, as ureq uses it.
#[derive(Debug)]
struct LineTransport {
    buffers: LazyBuffers,
    /// What ureq has handed over and is not sent yet: head and body leave together.
    pending: Vec<u8>,
    broken: bool,
    stream: Stream,
    line: Arc<Mutex<Line>>,
}

impl LineTransport {
    fn flush(&mut self) -> io::Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let by = self.line.lock().by;
        self.stream.set_deadline(by);
        // A lease is counted from before the first byte.
        let mut sent = None;
        let result = self.stream.send(&self.pending, &mut sent);
        self.line.lock().sent = sent;
        result?;
        self.pending.clear();
        // A large value need not stay in memory.
        self.pending.shrink_to(OUTPUT_BUFFER);
        Ok(())
    }

    fn fill(&mut self) -> io::Result<bool> {
        self.flush()?;
        let room = self.buffers.input_append_buf();
        if room.is_empty() {
            let why = format!(
                "the head of the answer has more than {} KB (Consul's are short: is there a proxy?)",
                INPUT_BUFFER >> 10
            );
            return Err(io::Error::other(why));
        }
        let read = self.stream.receive(room)?;
        self.buffers.input_appended(read);
        if read > 0 {
            self.line.lock().heard = true;
        }
        Ok(read > 0)
    }
}

impl Transport for LineTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, _: NextTimeout) -> Result<(), ureq::Error> {
        let LineTransport {
            buffers, pending, ..
        } = self;
        let output = buffers.output().get(..amount).unwrap_or_default();
        Ok(append(pending, output)?)
    }

    fn await_input(&mut self, _: NextTimeout) -> Result<bool, ureq::Error> {
        match self.fill() {
            Ok(true) => Ok(true),
            Ok(false) => {
                self.broken = true;
                Ok(false)
            }
            Err(error) => {
                self.broken = true;
                Err(error.into())
            }
        }
    }

    /// ureq asks after each answer, when its own buffer is empty: what stands in the connection
    /// then belongs to no request, and would be taken for the answer to the next one. It asks before
    /// a request, too; there [`Wire::perform`] has looked already.
    fn is_open(&mut self) -> bool {
        let answered = self.line.lock().sent.is_some();
        !self.broken && self.pending.is_empty() && (!answered || self.stream.is_quiet())
    }
}

impl Drop for LineTransport {
    fn drop(&mut self) {
        let mut line = self.line.lock();
        line.socket = None;
        line.connections.closed();
    }
}

#[cfg(test)]
mod tests;
