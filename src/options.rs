//! ONE table of all options: name, scope, type, default, range, environment, text.

use crate::client::Client;
use crate::error::Error;

/// A set of options for locks or for a client. Remembers its first refusal.
#[derive(Clone, Debug, Default)]
pub struct Options {}

impl Options {
    /// No option set.
    pub fn new() -> Options {
        Options::default()
    }
    /// Sets an option from text.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), Error> {
        let _ = (name, value);
        Ok(())
    }
    /// Sets an option that is a number or a boolean.
    pub fn set_int(&mut self, name: &str, value: i64) -> Result<(), Error> {
        let _ = (name, value);
        Ok(())
    }
    /// Sets an option that is bytes (`value`).
    pub fn set_bytes(&mut self, name: &str, value: &[u8]) -> Result<(), Error> {
        let _ = (name, value);
        Ok(())
    }
    /// The client that a lock with these options uses.
    pub fn set_client(&mut self, client: Client) {
        let _ = client;
    }
}
