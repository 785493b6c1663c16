//! Process-wide defaults, read once, when a lock is made.

use std::sync::Arc;

use crate::client::Client;
use crate::error::Error;
use crate::fork;
use crate::lockorder::{Mutex, Rank};
use crate::options::{DefaultSetting, parse_default};

/// Makes the value to store. None: it has no value, and acquire fails with VALUE_FAILED.
pub type ValueGenerator = Arc<dyn Fn() -> Option<Vec<u8>> + Send + Sync>;

/// Only touched inside [`fork::shared`]. Nothing of a user's runs while it is locked.
static DEFAULTS: Mutex<Option<Defaults>> = Mutex::new(Rank::Process, None);

/// What a lock takes over when it is made.
#[derive(Clone)]
pub(crate) struct Defaults {
    pub(crate) lock_key_pattern: String,
    pub(crate) acquire_timeout_ms: i64,
    pub(crate) lock_timeout_seconds: u64,
    pub(crate) value_generator: Option<ValueGenerator>,
    client: Option<Client>,
    /// The one made from the environment. A failure is not kept: the next lock tries again.
    from_environment: Option<Client>,
}

impl Default for Defaults {
    fn default() -> Defaults {
        Defaults {
            lock_key_pattern: "locks/ephemeral/%s".to_owned(),
            acquire_timeout_ms: 0,
            lock_timeout_seconds: 180,
            value_generator: None,
            client: None,
            from_environment: None,
        }
    }
}

fn with<T>(change: impl FnOnce(&mut Defaults) -> T) -> T {
    let _inside = fork::shared();
    let mut defaults = DEFAULTS.lock();
    change(defaults.get_or_insert_default())
}

/// As they are now.
pub(crate) fn snapshot() -> Defaults {
    with(|defaults| defaults.clone())
}

/// Sets a process-wide default by name: `lock_key_pattern`, `acquire_timeout_ms`,
/// `lock_timeout_seconds`. Locks that exist keep theirs.
pub fn set(name: &str, value: &str) -> Result<(), Error> {
    let setting = parse_default(name, value)?;
    with(|defaults| match setting {
        DefaultSetting::LockKeyPattern(pattern) => defaults.lock_key_pattern = pattern,
        DefaultSetting::AcquireTimeoutMs(ms) => defaults.acquire_timeout_ms = ms,
        DefaultSetting::LockTimeoutSeconds(seconds) => defaults.lock_timeout_seconds = seconds,
    });
    Ok(())
}

/// Sets the client of locks that are given none; None returns to the environment.
pub fn set_default_client(client: Option<Client>) {
    let before = with(|defaults| std::mem::replace(&mut defaults.client, client));
    drop(before);
}

/// Sets what makes the stored value of locks that have no fixed one; None returns to `locked_at`.
pub fn set_value_generator(generator: Option<ValueGenerator>) {
    let before = with(|defaults| std::mem::replace(&mut defaults.value_generator, generator));
    // The host's own function may run when it is dropped.
    drop(before);
}

/// The client of locks that are given none: the one that was set, else one made from the
/// environment on first use.
pub fn client() -> Result<Client, Error> {
    let known = |defaults: &mut Defaults| {
        let client = defaults.client.as_ref();
        client.or(defaults.from_environment.as_ref()).cloned()
    };
    if let Some(client) = with(known) {
        return Ok(client);
    }
    // Made outside: it reads files, which may take their time, and a fork must not wait for them.
    let made = Client::new(None)?;
    // Another thread may have been faster.
    Ok(with(|defaults| {
        let first = defaults
            .from_environment
            .get_or_insert_with(|| made.clone());
        defaults.client.as_ref().unwrap_or(first).clone()
    }))
}
