//! One HTTP exchange with Consul, as plain data.

use std::fmt;

use super::secrets::Secrets;
use crate::clock::Time;

/// Consul's API needs no other methods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Get,
    Put,
    /// Only a broken release deletes a key by its name.
    #[cfg(test)]
    Delete,
}

/// What goes out. The token is not part of it: the transport adds it as a header.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct HttpRequest {
    pub(crate) method: Method,
    /// Path and query, percent-encoded, such as `/v1/kv/a%20b?consistent=`.
    pub(crate) target: String,
    /// Sent with a Content-Length, never chunked: Consul ignores a chunked body.
    pub(crate) body: Option<Vec<u8>>,
}

impl fmt::Debug for HttpRequest {
    /// Without the body: it carries stored values.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = self.body.as_ref().map_or(0, Vec::len);
        write!(f, "{:?} {} ({size} bytes)", self.method, self.target)
    }
}

/// What came back, complete.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct HttpReply {
    pub(crate) status: u16,
    /// `X-Consul-Index`.
    pub(crate) index: Option<u64>,
    pub(crate) body: Vec<u8>,
    /// What was sent with the request and must not be shown, should the body quote it.
    pub(crate) secrets: Secrets,
}

/// Why there is no complete reply. The text names the cause, without secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Not one byte of the request reached the peer: resolve, connect, or a write that failed at
    /// its first byte on a connection known to be dead.
    NotSent(String),
    /// The same, for want of a descriptor or of memory in this process or on this host.
    NoResources(String),
    /// No connection that could carry it: one side refuses the other in TLS. That does not mend
    /// itself.
    Refused(String),
    /// The answer is larger than what is read of one. The next one to the same question will be, too.
    TooLarge(String),
    /// Anything else: Consul may have applied it, or may still.
    Unknown(String),
}

impl fmt::Debug for HttpReply {
    /// Without the body: it carries stored values.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HttpReply({}, {} bytes)", self.status, self.body.len())
    }
}

/// What a transport reports of one exchange.
#[derive(Debug)]
pub(crate) struct Exchange {
    /// The instant before the first byte was sent; None: nothing was sent.
    pub(crate) sent: Option<Time>,
    pub(crate) result: Result<HttpReply, Failure>,
}
