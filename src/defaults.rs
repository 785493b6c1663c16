//! Process-wide defaults, read once, when a lock is made.

use std::sync::Arc;

use crate::client::Client;
use crate::error::Error;

/// Makes the value to store. None: it has no value, and acquire fails with VALUE_FAILED.
pub type ValueGenerator = Arc<dyn Fn() -> Option<Vec<u8>> + Send + Sync>;

/// Sets a process-wide default by name: `lock_key_pattern`, `acquire_timeout_ms`,
/// `lock_timeout_seconds`.
pub fn set(name: &str, value: &str) -> Result<(), Error> {
    let _ = (name, value);
    Ok(())
}

/// Sets the client of locks that are given none; None returns to the environment.
pub fn set_default_client(client: Option<Client>) {
    let _ = client;
}

/// Sets what makes the stored value of locks that have no fixed one; None returns to `locked_at`.
pub fn set_value_generator(generator: Option<ValueGenerator>) {
    let _ = generator;
}

/// The client of locks that are given none: the one that was set, else one made from the
/// environment on first use.
pub fn client() -> Result<Client, Error> {
    Client::new(None)
}
