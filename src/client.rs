//! The client: how to reach Consul, and everything that its locks share.

use std::time::Duration;

use crate::core::Holder as CoreHolder;
use crate::error::{Error, Status};
use crate::options::Options;

/// A connection setting and the runtime behind it; cheap to clone (reference counted).
#[derive(Clone, Debug)]
pub struct Client {}

impl Client {
    /// Makes a client from the client's options, and the environment for what they leave out.
    /// Sends nothing.
    pub fn new(options: Option<&Options>) -> Result<Client, Error> {
        let _ = options;
        Err(Error::new(Status::Internal, "not built yet"))
    }
    /// Who holds the lock on `key` (put into `lock_key_pattern`), asked of Consul; None: nobody.
    pub fn holder(&self, key: &str) -> Result<Option<Holder>, Error> {
        let _ = key;
        Err(Error::new(Status::Internal, "not built yet"))
    }
}

/// Who holds a lock.
#[derive(Clone, Debug)]
pub struct Holder {
    /// The session's id.
    pub session: String,
    /// The session's name, such as `consul_lock PROGRAM@HOST:PID NONCE`; None: Consul would not say.
    pub name: Option<String>,
    /// The node of the agent that the session was made through; None: Consul would not say.
    pub node: Option<String>,
    /// The Raft index at which the key came into being.
    pub create_index: u64,
    /// What is stored under the key.
    pub value: Vec<u8>,
}

impl From<CoreHolder> for Holder {
    fn from(h: CoreHolder) -> Holder {
        Holder {
            session: h.session.to_string(),
            name: h.name,
            node: h.node,
            create_index: h.create_index,
            value: h.value.0.to_vec(),
        }
    }
}

/// For who wants an orderly end: destroys the warm sessions of every client of this process and
/// waits for releases and undoings under way, at most `timeout`. UNCONFIRMED when some are left.
/// Clients stay usable, but keep no session warm any more.
pub fn shutdown(timeout: Duration) -> Result<(), Error> {
    let _ = timeout;
    Ok(())
}
