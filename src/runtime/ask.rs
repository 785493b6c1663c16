//! Questions of a tool to Consul's HTTP API that the algorithm does not ask: the same connections, TLS, token and
//! scope, one exchange each, on the thread of the caller. The core knows nothing of them.

use std::fmt;
use std::time::Duration;

use super::Runtime;
use super::wires::Lent;
use crate::clock::Time;
use crate::consul::encode::{encode, in_scope};
pub use crate::consul::http::Peer;
use crate::consul::http::{Exchange, Failure, HttpReply, HttpRequest, Method};
use crate::consul::interrupt::Interrupt;
use crate::core::Lane;
use crate::core::messages::{Found, LockTarget, Request, See};
use crate::error::{Error, Status};
use crate::text::one_line;

/// A question to Consul. A path has its query, and is percent-encoded (see [`in_path`](crate::client::in_path)). The
/// library adds datacenter, namespace and partition.
#[derive(Clone, Copy, Debug)]
pub enum Query<'a> {
    /// A `GET`, which Consul answers at once.
    Get(&'a str),
    /// A `GET` that Consul answers when the index has passed, or after `wait` (a blocking query).
    Watch {
        /// The path.
        path: &'a str,
        /// The index of the reply before.
        index: u64,
        /// How long Consul waits at most. Consul adds up to a sixteenth.
        wait: Duration,
    },
    /// A `PUT` with a body in JSON.
    Put(&'a str, &'a str),
    /// A transaction that changes nothing, and whose status is 200 if none of these keys (64 at most) exists. Consul
    /// asks for the right to write each key.
    Absent(&'a [&'a str]),
}

/// What Consul answered.
#[derive(Clone)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// `X-Consul-Index`.
    pub index: Option<u64>,
    /// The body.
    pub body: Vec<u8>,
    /// The other end of the connection.
    pub peer: Peer,
    /// Method, path, status and the text of the body, without secrets; empty for status 200.
    said: String,
}

impl fmt::Debug for Reply {
    /// Without the body, which carries stored values.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reply({}, {} bytes)", self.status, self.body.len())
    }
}

impl Reply {
    /// The error for a reply that refuses: `WHAT at ADDRESS: GET /v1/kv answered HTTP 403: Permission denied`.
    pub fn error(&self, what: &str) -> Error {
        let status = match self.status {
            401 | 403 => Status::Denied,
            408 | 429 | 500.. => Status::Unavailable,
            _ => Status::Rejected,
        };
        let message = format!("{what} at {}: {}", self.peer.address, self.said);
        Error::new(status, message).with_http(self.status)
    }
}

impl Query<'_> {
    /// How long Consul may wait before it answers.
    fn waits(&self) -> Duration {
        match self {
            Query::Watch { wait, .. } => *wait + *wait / 16,
            _ => Duration::ZERO,
        }
    }

    fn lane(&self) -> Lane {
        match self {
            Query::Watch { .. } => Lane::Long,
            _ => Lane::Make,
        }
    }
}

impl Runtime {
    /// Asks, within `limit` and the time that Consul may wait. A reply of any status is no error.
    pub(crate) fn ask_directly(&self, ask: &Query<'_>, limit: Duration) -> Result<Reply, Error> {
        let by = Time::now() + ask.waits() + limit;
        let http = self.http_of(ask)?;
        let interrupt = Interrupt::default();
        let why = |status, why: &str| {
            let why = one_line(why, 1_000);
            let what = format!("could not ask Consul at {}", self.wires.shown());
            Error::new(status, format!("{what}: {}: {why}", shown(&http)))
        };
        let mut lent = self.wires.open(ask.lane(), by);
        let Some(wire) = lent.as_mut().and_then(Lent::wire) else {
            let text = "no connection was free in time: too many requests at once";
            return Err(why(Status::Unavailable, text));
        };
        let mut exchange = wire.perform(&http, by, &interrupt);
        let is_denied = matches!(&exchange.result, Ok(HttpReply { status: 403, .. }));
        if is_denied && wire.has_newer_token(by, &interrupt) {
            exchange = wire.perform(&http, by, &interrupt);
        }
        let Exchange { result, .. } = exchange;
        let peer = wire.peer();
        if result.as_ref().map_or(true, |reply| reply.status >= 500) {
            self.wires.note_failure(wire);
        }
        let reply = result.map_err(|failure| match failure {
            Failure::NotSent(text) | Failure::Unknown(text) => why(Status::Unavailable, &text),
            Failure::NoResources(text) => why(Status::NoResources, &text),
            Failure::Refused(text) => Error {
                retryable: false,
                ..why(Status::Unavailable, &text)
            },
            Failure::TooLarge(text) => why(Status::Rejected, &text),
        })?;
        if let Some(lent) = lent {
            lent.put();
            // The timer closes the connection when it has aged.
            self.set_timer(&mut self.state.lock());
        }
        Ok(Reply {
            status: reply.status,
            index: reply.index,
            said: said(&http, &reply),
            body: reply.body,
            peer,
        })
    }

    fn http_of(&self, ask: &Query<'_>) -> Result<HttpRequest, Error> {
        let (method, path, body) = match *ask {
            Query::Get(path) => (Method::Get, path.to_owned(), None),
            Query::Watch { path, index, wait } => {
                let mark = if path.contains('?') { '&' } else { '?' };
                let ms = wait.as_millis().max(1);
                let path = format!("{path}{mark}index={index}&wait={ms}ms");
                (Method::Get, path, None)
            }
            Query::Put(path, body) => (Method::Put, path.to_owned(), Some(body.into())),
            Query::Absent(keys) => {
                let target = |key: &&str| LockTarget {
                    key: (*key).into(),
                    found: Found::Absent,
                };
                let request = Request::Survey {
                    targets: keys.iter().map(target).collect(),
                    see: See::NOTHING,
                };
                let no_memory = || Error::new(Status::NoResources, "no memory for the request");
                return encode(&request, &self.scope).ok_or_else(no_memory);
            }
        };
        let mut target = path;
        in_scope(&mut target, &self.scope);
        Ok(HttpRequest {
            method,
            target,
            body,
        })
    }
}

/// Method and path, for messages.
fn shown(http: &HttpRequest) -> String {
    let path = http.target.split('?').next().unwrap_or_default();
    let method = format!("{:?}", http.method).to_uppercase();
    format!("{method} {}", one_line(path, 120))
}

fn said(http: &HttpRequest, reply: &HttpReply) -> String {
    if reply.status == 200 {
        return String::new();
    }
    let text = String::from_utf8_lossy(&reply.body);
    let text = match one_line(&reply.secrets.hide(None, &text), 300) {
        text if text.is_empty() => "(no text)".to_owned(),
        text => text,
    };
    format!("{} answered HTTP {}: {text}", shown(http), reply.status)
}
