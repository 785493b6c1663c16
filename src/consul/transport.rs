//! One keep-alive connection to Consul. The only user of ureq.
//!
//! ureq speaks HTTP; the socket is ours, through `ureq::unversioned`, for four reasons that were
//! measured: head and body go out in one write (ureq's own transport makes two writes and three
//! reads of a request), names are resolved only when a connection is made (ureq resolves for every
//! request), a request ends at a deadline without a helper thread, and another thread can end it
//! by shutting down this one socket.

use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream, ToSocketAddrs as _};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ureq::config::Config;
use ureq::http::{Response, Uri};
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport,
};
use ureq::{Agent, Body};

use super::http::{Exchange, Failure, HttpReply, HttpRequest, Method};
use crate::clock::Time;
use crate::sys;

/// A reply is at most a value of 512 KiB in base64, and its frame.
const LARGEST_REPLY: u64 = 2 << 20;

/// The list of all sessions of a datacenter is larger.
const LARGEST_LIST: u64 = 64 << 20;

/// Enough for the head of any reply of Consul's; both grow with the body where they must.
const INPUT_BUFFER: usize = 16 << 10;
const OUTPUT_BUFFER: usize = 8 << 10;

/// A token or another text that must never be shown.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(pub(crate) String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// How to reach one agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// A name or an address; an IPv6 address without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Sent as `X-Consul-Token`, never in a URL.
    pub(crate) token: Option<Secret>,
    pub(crate) connect_timeout: Duration,
}

impl Endpoint {
    /// `host:port`, with brackets where a URL wants them.
    pub(crate) fn authority(&self) -> String {
        let Endpoint { host, port, .. } = self;
        if host.contains(':') {
            format!("[{host}]:{port}")
        } else {
            format!("{host}:{port}")
        }
    }
}

/// Ends one exchange from another thread, also before it has begun. Good for one exchange.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interrupt(Arc<Mutex<Interruptible>>);

#[derive(Debug, Default)]
struct Interruptible {
    ended: bool,
    socket: Option<Arc<TcpStream>>,
}

impl Interrupt {
    /// Ends it: what blocks on its socket returns at once.
    pub(crate) fn end(&self) {
        let mut state = lock(&self.0);
        state.ended = true;
        if let Some(socket) = state.socket.take() {
            // Already closed by the peer: nothing to end.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    fn is_ended(&self) -> bool {
        lock(&self.0).ended
    }

    /// From now on `end` shuts this socket down. False: it is too late.
    fn attach(&self, socket: &Arc<TcpStream>) -> bool {
        let mut state = lock(&self.0);
        if !state.ended {
            state.socket = Some(socket.clone());
        }
        !state.ended
    }

    /// The exchange is over: its socket is somebody else's again.
    fn detach(&self) {
        lock(&self.0).socket = None;
    }
}

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
    base: String,
    token: Option<Secret>,
    line: Arc<Mutex<Line>>,
}

/// What the wire and its socket, which ureq owns, know of each other.
#[derive(Debug, Default)]
struct Line {
    socket: Option<Arc<TcpStream>>,
    by: Time,
    sent: Option<Time>,
    interrupt: Interrupt,
    connections: Arc<Connections>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What it guards is valid at every instant; a panic elsewhere is not its concern.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Wire {
    /// Opens nothing yet.
    pub(crate) fn new(endpoint: &Endpoint) -> Wire {
        let line = Arc::new(Mutex::new(Line::default()));
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
        let connector = LineConnector {
            endpoint: endpoint.clone(),
            line: line.clone(),
        };
        Wire {
            agent: Agent::with_parts(config, connector, NoResolver),
            base: format!("http://{}", endpoint.authority()),
            token: endpoint.token.clone(),
            line,
        }
    }

    /// The same, and its connections are counted there.
    pub(crate) fn counted_by(self, connections: &Arc<Connections>) -> Wire {
        lock(&self.line).connections = connections.clone();
        self
    }

    /// Has a connection that the peer has not closed.
    pub(crate) fn is_open(&self) -> bool {
        lock(&self.line)
            .socket
            .as_ref()
            .is_some_and(|socket| sys::is_quiet(socket))
    }

    /// Sends one request and waits for its whole reply, at the latest until shortly after `by`.
    pub(crate) fn perform(
        &mut self,
        request: &HttpRequest,
        by: Time,
        interrupt: &Interrupt,
    ) -> Exchange {
        {
            let mut line = lock(&self.line);
            line.by = by;
            line.sent = None;
            line.interrupt = interrupt.clone();
            // What was ended while it stood in line opens no connection.
            let too_late = match &line.socket {
                Some(socket) => !interrupt.attach(socket),
                None => interrupt.is_ended(),
            };
            if too_late {
                return Exchange {
                    sent: None,
                    result: Err(not_sent("interrupted")),
                };
            }
        }
        let result = self.call(request);
        interrupt.detach();
        let sent = lock(&self.line).sent;
        let result = result.map_err(|error| {
            let why = explain(&error, interrupt, sent);
            if sent.is_some() {
                Failure::Unknown(why)
            } else {
                Failure::NotSent(why)
            }
        });
        Exchange { sent, result }
    }

    fn call(&self, request: &HttpRequest) -> Result<HttpReply, ureq::Error> {
        let url = format!("{}{}", self.base, request.target);
        let response = match request.method {
            Method::Get => {
                let call = self.agent.get(url);
                match &self.token {
                    Some(token) => call.header("X-Consul-Token", &token.0).call(),
                    None => call.call(),
                }
            }
            Method::Put => {
                let body = request.body.as_deref().unwrap_or_default();
                let call = self.agent.put(url).content_type("application/json");
                match &self.token {
                    Some(token) => call.header("X-Consul-Token", &token.0).send(body),
                    None => call.send(body),
                }
            }
            #[cfg(test)]
            Method::Delete => self.agent.delete(url).call(),
        }?;
        let limit = if request.target.starts_with("/v1/session/list") {
            LARGEST_LIST
        } else {
            LARGEST_REPLY
        };
        read_reply(response, limit)
    }
}

fn read_reply(mut response: Response<Body>, limit: u64) -> Result<HttpReply, ureq::Error> {
    let status = response.status().as_u16();
    let index = response
        .headers()
        .get("X-Consul-Index")
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.parse().ok());
    let body = response
        .body_mut()
        .with_config()
        .limit(limit)
        .read_to_vec()?;
    Ok(HttpReply {
        status,
        index,
        body,
    })
}

fn not_sent(why: &str) -> Failure {
    Failure::NotSent(why.to_owned())
}

/// One line that says what went wrong. ureq's texts carry no header and no body.
fn explain(error: &ureq::Error, interrupt: &Interrupt, sent: Option<Time>) -> String {
    if interrupt.is_ended() {
        return "interrupted".to_owned();
    }
    match error {
        ureq::Error::Io(error) => match error.kind() {
            io::ErrorKind::TimedOut if sent.is_none() => "no connection in time".to_owned(),
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => "no answer in time".to_owned(),
            io::ErrorKind::UnexpectedEof => {
                "the connection was closed without an answer".to_owned()
            }
            _ => error.to_string(),
        },
        ureq::Error::Http(_) => "the token cannot be sent as a header".to_owned(),
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

#[derive(Debug)]
struct LineConnector {
    endpoint: Endpoint,
    line: Arc<Mutex<Line>>,
}

impl Connector for LineConnector {
    type Out = LineTransport;

    fn connect(
        &self,
        _: &ConnectionDetails<'_>,
        _: Option<()>,
    ) -> Result<Option<LineTransport>, ureq::Error> {
        let (by, interrupt) = {
            let line = lock(&self.line);
            let by = line.by.min(Time::now() + self.endpoint.connect_timeout);
            (by, line.interrupt.clone())
        };
        let socket = connect(&self.endpoint, by, &interrupt)?;
        socket.set_nodelay(true)?;
        {
            let mut line = lock(&self.line);
            line.socket = Some(socket.clone());
            line.connections.opened();
        }
        Ok(Some(LineTransport {
            buffers: LazyBuffers::new(INPUT_BUFFER, OUTPUT_BUFFER),
            pending: Vec::new(),
            read_timeout: Duration::ZERO,
            write_timeout: Duration::ZERO,
            broken: false,
            socket,
            line: self.line.clone(),
        }))
    }
}

/// Tries every address of the host, in the resolver's order. One that swallows packets leaves the
/// others their share of the time.
fn connect(endpoint: &Endpoint, by: Time, interrupt: &Interrupt) -> io::Result<Arc<TcpStream>> {
    let addresses: Vec<_> = (endpoint.host.as_str(), endpoint.port)
        .to_socket_addrs()?
        .collect();
    let mut last = io::Error::from(io::ErrorKind::TimedOut);
    for (address, untried) in addresses.iter().zip((1..=addresses.len()).rev()) {
        let now = Time::now();
        let share = by.since(now) / u32::try_from(untried).unwrap_or(u32::MAX);
        match connect_to(address, now + share, interrupt) {
            Ok(socket) => return Ok(socket),
            Err(error) if interrupt.is_ended() => return Err(error),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn connect_to(address: &SocketAddr, by: Time, interrupt: &Interrupt) -> io::Result<Arc<TcpStream>> {
    let socket = Arc::new(sys::begin_connect(address)?);
    // Only now: a shutdown of a socket that does not connect yet would have no effect.
    if !interrupt.attach(&socket) {
        return Err(io::ErrorKind::ConnectionAborted.into());
    }
    loop {
        let left = by.since(Time::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        match sys::await_writable(&socket, left) {
            Ok(true) => break,
            Ok(false) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    if let Some(error) = socket.take_error()? {
        return Err(error);
    }
    socket.set_nonblocking(false)?;
    Ok(socket)
}

/// The socket, as ureq uses it.
#[derive(Debug)]
struct LineTransport {
    buffers: LazyBuffers,
    /// What ureq has handed over and is not sent yet: head and body leave together.
    pending: Vec<u8>,
    read_timeout: Duration,
    write_timeout: Duration,
    broken: bool,
    socket: Arc<TcpStream>,
    line: Arc<Mutex<Line>>,
}

impl LineTransport {
    fn left(&self) -> io::Result<Duration> {
        let left = lock(&self.line).by.since(Time::now());
        if left.is_zero() {
            Err(io::ErrorKind::TimedOut.into())
        } else {
            Ok(left)
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let mut rest = self.pending.as_slice();
        while !rest.is_empty() {
            let left = self.left()?;
            if differs(self.write_timeout, left) {
                self.socket.set_write_timeout(Some(left))?;
                self.write_timeout = left;
            }
            if rest.len() == self.pending.len() {
                // Before the first byte: a lease is counted from here.
                lock(&self.line).sent = Some(Time::now());
            }
            match (&*self.socket).write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                Err(error) if again(&error) => {}
                Err(error) => {
                    if rest.len() == self.pending.len() {
                        // Not one byte left this machine.
                        lock(&self.line).sent = None;
                    }
                    return Err(error);
                }
            }
        }
        self.pending.clear();
        // A large value need not stay in memory.
        self.pending.shrink_to(OUTPUT_BUFFER);
        Ok(())
    }

    fn fill(&mut self) -> io::Result<bool> {
        self.flush()?;
        loop {
            let left = self.left()?;
            if differs(self.read_timeout, left) {
                self.socket.set_read_timeout(Some(left))?;
                self.read_timeout = left;
            }
            match (&*self.socket).read(self.buffers.input_append_buf()) {
                Ok(read) => {
                    self.buffers.input_appended(read);
                    return Ok(read > 0);
                }
                Err(error) if again(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// A signal, or a time-out of the socket, which may be set a little too short: the deadline
/// decides. Linux does not restart a read with a time-out even under SA_RESTART (signal(7)).
fn again(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}

/// Whether the socket's time-out must be set anew. One that is too short only has the deadline
/// looked at more often, and one that is a little too long ends the request that much later: they
/// are left alone, which saves a system call for every request.
fn differs(set: Duration, wanted: Duration) -> bool {
    /// Later than this is late, however long the request may take.
    const LATE: Duration = Duration::from_millis(20);
    set > wanted + (wanted / 50).min(LATE) || set < wanted.min(Duration::from_secs(1)) / 2
}

impl Transport for LineTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, _: NextTimeout) -> Result<(), ureq::Error> {
        let LineTransport {
            buffers, pending, ..
        } = self;
        pending.extend_from_slice(buffers.output().get(..amount).unwrap_or_default());
        Ok(())
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

    /// [`Wire::is_open`] looks at the socket before a request; in between, what is known counts.
    fn is_open(&mut self) -> bool {
        !self.broken && self.pending.is_empty()
    }
}

impl Drop for LineTransport {
    fn drop(&mut self) {
        let mut line = lock(&self.line);
        line.socket = None;
        line.connections.closed();
    }
}

#[cfg(test)]
mod tests;
