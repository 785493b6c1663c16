//! Process-wide defaults, read once, when a lock is made.

use std::sync::Arc;

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
}

impl Default for Defaults {
    fn default() -> Defaults {
        Defaults {
            lock_key_pattern: "locks/ephemeral/%s".to_owned(),
            acquire_timeout_ms: 0,
            lock_timeout_seconds: 180,
            value_generator: None,
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

/// Sets what makes the stored value of locks that have no fixed one; None returns to `locked_at`.
pub fn set_value_generator(generator: Option<ValueGenerator>) {
    let before = with(|defaults| std::mem::replace(&mut defaults.value_generator, generator));
    // The host's own function may run when it is dropped.
    drop(before);
}
