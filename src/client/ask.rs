//! What a tool asks Consul beyond locks: see [`Query`].

use super::Client;
use crate::consul::encode;
use crate::error::Error;
pub use crate::runtime::ask::{Peer, Query, Reply};

impl Client {
    /// Asks Consul's HTTP API a question that the library itself does not ask, as this client does everything: at its
    /// addresses, with its TLS, token, datacenter, namespace and partition. For tools in Rust; no part of the C
    /// interface.
    ///
    /// Blocks for one exchange, at most `request_timeout_ms` and the time that Consul may wait for a change. A reply of
    /// any status is no error here: [`Reply::error`] makes one of it.
    pub fn ask(&self, ask: &Query<'_>) -> Result<Reply, Error> {
        let limit = self.0.settings.request_timeout;
        self.runtime().ask_directly(ask, limit)
    }
}

/// A key, or another text with slashes, percent-encoded for a path.
pub fn in_path(text: &str) -> String {
    let mut path = String::new();
    encode::percent_encode(&mut path, text, b"/");
    path
}
