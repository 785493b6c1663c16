//! One HTTP exchange with Consul, as plain data.

use std::fmt;
use std::net::SocketAddr;

use super::secrets::Secrets;
use crate::clock::Time;

/// Consul's API needs no other methods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Get,
    Put,
    /// Only a defect of the simulation deletes a key by its name.
    #[cfg(test)]
    Delete,
}

/// A request. The transport adds the token as a header.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct HttpRequest {
    pub(crate) method: Method,
    /// Path and query, percent-encoded, such as `/v1/kv/a%20b?consistent=`.
    pub(crate) target: String,
    /// The transport sends the body with a Content-Length: Consul ignores a chunked body.
    pub(crate) body: Option<Vec<u8>>,
}

impl fmt::Debug for HttpRequest {
    /// Without the body, which carries stored values.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = self.body.as_ref().map_or(0, Vec::len);
        write!(f, "{:?} {} ({size} bytes)", self.method, self.target)
    }
}

/// A complete reply.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct HttpReply {
    pub(crate) status: u16,
    /// `X-Consul-Index`.
    pub(crate) index: Option<u64>,
    pub(crate) body: Vec<u8>,
    /// The secrets of the request, which the body may quote and no error may show.
    pub(crate) secrets: Secrets,
}

/// The other end of a connection.
#[derive(Clone, Debug, Default)]
pub struct Peer {
    /// The address, as the options name it.
    pub address: String,
    /// The address in numbers; None: the connection is a socket in the file system.
    pub resolved: Option<SocketAddr>,
    /// The server's certificate in DER; None: there is no TLS.
    pub certificate: Option<Vec<u8>>,
    /// The header `Date` of the last reply.
    pub date: Option<String>,
}

/// Why there is no complete reply. The text names the cause, without secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Not one byte of the request left: the look-up of the name failed, or the connecting, or the first write on
    /// a dead connection.
    NotSent(String),
    /// The same: this process or host has no descriptor or no memory left.
    NoResources(String),
    /// One side refuses the other in TLS, and will do so again.
    Refused(String),
    /// The reply is larger than what the library reads of one. So is the next reply to the same request.
    TooLarge(String),
    /// Anything else: Consul may have applied the request, or may still apply it.
    Unknown(String),
}

impl fmt::Debug for HttpReply {
    /// Without the body, which carries stored values.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HttpReply({}, {} bytes)", self.status, self.body.len())
    }
}

/// One request and what became of it.
#[derive(Debug)]
pub(crate) struct Exchange {
    /// The instant before the first byte was sent; None: nothing was sent.
    pub(crate) sent: Option<Time>,
    pub(crate) result: Result<HttpReply, Failure>,
}
