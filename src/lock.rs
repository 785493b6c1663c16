//! A lock, as a safe Rust API.

use std::sync::Arc;
use std::time::Duration;

use crate::client::Client;
use crate::error::{Error, Status};
use crate::options::Options;

/// A lock on one key: single use, held by a Consul session with a TTL.
///
/// Every method may be called from any thread at any time.
#[derive(Debug)]
pub struct Lock {
    key: Arc<str>,
    #[allow(dead_code)]
    client: Client,
}

impl Lock {
    /// Makes a lock on `key` (put into `lock_key_pattern`). Reads options, defaults and, for the
    /// default client, the environment; sends nothing.
    pub fn new(key: &str, options: Option<&Options>) -> Result<Lock, Error> {
        let _ = (key, options);
        Err(Error::new(Status::Internal, "not built yet"))
    }
    /// Takes the lock. Uses it up, whatever the outcome (a failing value generator excepted).
    pub fn acquire(&self) -> Result<(), Error> {
        Err(Error::new(Status::Internal, "not built yet"))
    }
    /// Gives it back and removes the key.
    pub fn release(&self) -> Result<(), Error> {
        Err(Error::new(Status::Internal, "not built yet"))
    }
    /// Ends a pending acquire at once; sticky.
    pub fn cancel(&self) {}
    /// Extends the lease by the full TTL.
    pub fn renew(&self) -> Result<(), Error> {
        Err(Error::new(Status::Internal, "not built yet"))
    }
    /// Asks Consul whether it is still ours.
    pub fn check(&self) -> Result<(), Error> {
        Err(Error::new(Status::Internal, "not built yet"))
    }
    /// Local and cheap: held, and the lease has not ended by our own clock.
    pub fn is_held(&self) -> bool {
        false
    }
    /// How much of the lease is left; zero when not held.
    pub fn remaining(&self) -> Duration {
        Duration::ZERO
    }
    /// The fencing token; None before the lock was acquired. It stays readable after the end.
    pub fn fencing_token(&self) -> Option<u64> {
        None
    }
    /// The full key.
    pub fn key(&self) -> &str {
        &self.key
    }
    /// The session that holds (or held) it; None before the lock was acquired.
    pub fn session_id(&self) -> Option<String> {
        None
    }
    /// Forgets the lock without a request and without blocking: it stays in Consul until its TTL.
    pub fn abandon(&self) {}
}
