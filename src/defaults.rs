//! The process-wide defaults, which a lock takes over when it is made.

use std::sync::Arc;

use crate::error::Error;
use crate::fork;
use crate::lockorder::{Mutex, Rank};
use crate::options::{self, OptionValues};

/// Makes the value that is stored under the key. None: there is no value, and the acquire fails with
/// VALUE_FAILED.
pub type ValueGenerator = Arc<dyn Fn() -> Option<Vec<u8>> + Send + Sync>;

/// What a lock takes over when it is made.
#[derive(Clone, Default)]
pub(crate) struct Defaults {
    /// `lock_key_pattern`, `acquire_timeout_ms` and `lock_timeout_seconds`, where the host has set them.
    pub(crate) values: OptionValues,
    pub(crate) value_generator: Option<ValueGenerator>,
}

fn with<T>(change: impl FnOnce(&mut Defaults) -> T) -> T {
    /// Only touched inside [`fork::shared`]. No code of the host runs while it is locked.
    static DEFAULTS: Mutex<Option<Defaults>> = Mutex::new(Rank::Process, None);
    let _inside = fork::shared();
    let mut defaults = DEFAULTS.lock();
    change(defaults.get_or_insert_default())
}

/// The defaults as they are now.
pub(crate) fn snapshot() -> Defaults {
    with(|defaults| defaults.clone())
}

/// Sets a process-wide default by name: `lock_key_pattern`, `acquire_timeout_ms`,
/// `lock_timeout_seconds`. Locks that exist keep theirs.
pub fn set(name: &str, value: &str) -> Result<(), Error> {
    with(|defaults| options::set_default(&mut defaults.values, name, value))
}

/// Sets the function that makes the stored value of locks without the option `value`. None: the library
/// stores a JSON object with `locked_at`.
pub fn set_value_generator(generator: Option<ValueGenerator>) {
    let before = with(|defaults| std::mem::replace(&mut defaults.value_generator, generator));
    // Dropping the function may run code of the host.
    drop(before);
}
