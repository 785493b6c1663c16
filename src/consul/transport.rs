//! One keep-alive connection to Consul. The only user of ureq.
//!
//! ureq speaks HTTP. The socket is the library's own, through `ureq::unversioned`, for four reasons that were
//! measured: head and body go out in one write (ureq's own transport makes two writes and three reads of a
//! request); names are resolved only for a new connection (ureq resolves for every request); a request ends at a
//! deadline without a helper thread; and another thread can end a request by shutting down this one socket.

mod link;

use std::io::{self, Read as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ureq::http::{HeaderValue, Response};
use ureq::{Agent, Body, RequestBuilder};

use super::connect::{Connected, Route};
use super::credentials::Token;
use super::errand::Wait;
use super::http::{Exchange, Failure, HttpReply, HttpRequest, Method, Peer};
use super::interrupt::Interrupt;
use super::secrets::Secrets;
use super::tls::{self, Tls};
use crate::clock::Time;
use crate::lockorder::{Mutex, Rank};
use crate::sys;
use link::{Link, OUTPUT_BUFFER, agent};

/// A longer reply is not read. A reply with a value of 512 KiB in base64, and its frame, is shorter.
const LARGEST_REPLY: u64 = 2 << 20;

/// The same for the list of all sessions of a datacenter, or of all keys below a prefix: some 90,000 sessions fit.
const LARGEST_LIST: u64 = 32 << 20;

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
    /// The index of its address in the route.
    at: usize,
    /// The TLS of the connection.
    tls: Option<Arc<Tls>>,
    /// The token of the last request.
    token: Token,
    /// The certificate of the other side, in DER.
    certificate: Option<Vec<u8>>,
    /// The header `Date` of the last reply.
    date: Option<HeaderValue>,
    /// The longest head of a request that the buffer has room for.
    room: usize,
    link: Arc<Mutex<Link>>,
}

impl Wire {
    /// A wire with no connection yet.
    pub(crate) fn new(route: &Arc<Route>) -> Wire {
        let link = Link {
            room: OUTPUT_BUFFER,
            ..Link::default()
        };
        let link = Arc::new(Mutex::new(Rank::Leaf, link));
        Wire {
            agent: agent(&link),
            route: route.clone(),
            at: 0,
            tls: None,
            token: route.credentials().token(),
            certificate: None,
            date: None,
            room: OUTPUT_BUFFER,
            link,
        }
    }

    /// The same wire, which counts its connections in `connections`.
    pub(crate) fn counted_by(self, connections: &Arc<Connections>) -> Wire {
        self.link.lock().connections = connections.clone();
        self
    }

    /// Whether there is a connection that the peer has not closed, and with no unexpected bytes from Consul.
    pub(crate) fn is_open(&self) -> bool {
        self.link
            .lock()
            .socket
            .as_ref()
            .is_some_and(|socket| sys::is_quiet(socket))
    }

    /// The index of its address in the route.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// The other end of the last connection.
    pub(crate) fn peer(&self) -> Peer {
        let socket = self.link.lock().socket.clone();
        let text = |value: &HeaderValue| value.to_str().ok().map(str::to_owned);
        Peer {
            address: self.route.address(self.at),
            resolved: socket.and_then(|socket| socket.peer_addr().ok()),
            certificate: self.certificate.clone(),
            date: self.date.as_ref().and_then(text),
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
        self.make_room(request.target.len());
        // Bytes that came since the last reply do not answer this request.
        let socket = self.link.lock().socket.clone();
        if socket.is_some_and(|socket| !sys::is_quiet(&socket)) {
            self.agent = agent(&self.link);
        }
        let once = self.try_once(request, by, interrupt);
        // Consul applied nothing: the request is sent once more, if the certificate was replaced.
        let used = self.tls.clone().filter(|_| once.is_err());
        let result = match used.is_some_and(|tls| self.route.has_newer_tls(&tls, by, interrupt)) {
            true => self.try_once(request, by, interrupt),
            false => once,
        };
        result.unwrap_or_else(|why| not_sent(Failure::Refused(why)))
    }

    /// Err: the reason why Consul's TLS has refused the client certificate. With TLS 1.3 that refusal answers the
    /// first request, which Consul has not seen.
    fn try_once(
        &mut self,
        request: &HttpRequest,
        by: Time,
        interrupt: &Interrupt,
    ) -> Result<Exchange, String> {
        let socket = {
            let mut link = self.link.lock();
            link.by = by;
            link.sent = None;
            link.socket.clone()
        };
        // A request that was ended before its turn opens no connection.
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
                    self.certificate = stream.certificate();
                    let mut link = self.link.lock();
                    link.heard = false;
                    link.ready = Some(stream);
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
            let mut link = self.link.lock();
            link.ready = None;
            (link.sent, link.heard)
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
        let result = Err(match &error {
            ureq::Error::BodyExceedsLimit(_) => Failure::TooLarge(why),
            _ if sent.is_some() => Failure::Unknown(why),
            ureq::Error::Io(e) if e.kind() == io::ErrorKind::OutOfMemory => {
                Failure::NoResources(why)
            }
            _ => Failure::NotSent(why),
        });
        Ok(Exchange { sent, result })
    }

    /// ureq wants the first line of a request to fit into its buffer.
    fn make_room(&mut self, target: usize) {
        let wanted = target + (1 << 10) + self.route.longest_prefix();
        if wanted > self.room {
            self.room = wanted;
            self.link.lock().room = wanted;
            // The connection closes with the old agent.
            self.agent = agent(&self.link);
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
        self.date = response.headers().get("Date").cloned();
        let target = &request.target;
        let lists = target.starts_with("/v1/session/list") || target.contains("?recurse=");
        let limit = if lists { LARGEST_LIST } else { LARGEST_REPLY };
        let mut reply = read_reply(response, limit)?;
        // Errors quote a reply other than 200, and a server may quote the request.
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

/// Appends what may be large: the host may have no memory for the bytes.
fn append(to: &mut Vec<u8>, bytes: &[u8]) -> io::Result<()> {
    to.try_reserve(bytes.len())
        .map_err(|_| io::ErrorKind::OutOfMemory)?;
    to.extend_from_slice(bytes);
    Ok(())
}

/// The failure in one line. ureq's texts carry no header and no body.
fn explain(error: &ureq::Error, interrupt: &Interrupt) -> String {
    if interrupt.is_ended() {
        return "interrupted".to_owned();
    }
    match error {
        ureq::Error::Io(error) => match error.kind() {
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => "no reply in time".to_owned(),
            io::ErrorKind::UnexpectedEof => "the connection was closed without a reply".to_owned(),
            _ => error.to_string(),
        },
        ureq::Error::BodyExceedsLimit(most) => {
            format!("the reply has more than {most} bytes, and the library reads no longer one")
        }
        ureq::Error::Http(_) => {
            "the request cannot be sent: its URL is too long, or the token is no header".to_owned()
        }
        error => error.to_string(),
    }
}

#[cfg(test)]
mod tests;
