//! A lock, as a safe Rust API.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub use crate::callbacks::Completion;
use crate::client::{self, Client};
use crate::clock::Time;
use crate::core::messages::{Limit, Value, Want};
use crate::core::{Call, Keys, LockId, LockSpec, Patience, Phase, Upkeep, View};
use crate::defaults::{self, ValueGenerator};
use crate::error::{Error, LostReason, Status};
use crate::key::{self, Key, MAX_KEYS, MAX_SHARED_VALUE, MAX_VALUE, in_transaction};
use crate::lockorder::{Mutex, Rank};
use crate::memory;
use crate::options::{OptionPlace, OptionValues, Options};
use crate::queue::Queue;
pub use crate::runtime::losses::LostCallback;
use crate::runtime::{Handle, Shown};

/// A lock on one key: single use, held by a Consul session with a TTL.
///
/// Every method may be called from any thread at any time. Dropping a held lock releases it, and waits
/// at most `release_timeout_ms`. In a child after a fork the methods of a lock of the parent answer FORKED, and
/// dropping the lock only frees memory.
pub struct Lock {
    runtime: Arc<Handle>,
    id: LockId,
    shown: Arc<Shown>,
    /// The core may know the lock.
    used: AtomicBool,
    abandoned: AtomicBool,
    /// What an acquire asks for, without the value.
    spec: LockSpec,
    /// Never locked in a child after a fork: [`Lock::runtime`] comes first.
    value: Mutex<Option<Value>>,
    generator: Option<ValueGenerator>,
}

impl fmt::Debug for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lock")
            .field("keys", &self.spec.keys.all())
            .finish_non_exhaustive()
    }
}

impl Lock {
    /// Makes a lock on `key`, which is put into `lock_key_pattern`; without a client, with the default one.
    /// Reads options, defaults and, for the default client, the environment. Sends nothing.
    pub fn new(
        key: &str,
        options: Option<&Options>,
        client: Option<&Client>,
    ) -> Result<Lock, Error> {
        Lock::make(&[key], options, client)
    }

    /// Makes one lock on several keys, 1 to 30, each put into `lock_key_pattern`. The lock is exclusive. An acquire
    /// takes all keys or none, in one transaction; the order of the keys does not matter, and a key that comes twice
    /// counts once. The lock stores its value under each key.
    pub fn new_all(
        keys: &[&str],
        options: Option<&Options>,
        client: Option<&Client>,
    ) -> Result<Lock, Error> {
        Lock::make(keys, options, client)
    }

    fn make(
        keys: &[&str],
        options: Option<&Options>,
        client: Option<&Client>,
    ) -> Result<Lock, Error> {
        let none = Options::new();
        let given = options.unwrap_or(&none).values_for(OptionPlace::Lock)?;
        let defaults = defaults::snapshot();
        let values = given.or(&defaults.values);
        let pattern = values.text_or_default("lock_key_pattern").value;
        let keys = keys.iter().map(|key| key::full(pattern, key));
        let spec = spec(several(keys.collect::<Result<_, _>>()?)?, &values)?;
        let client = client.map_or_else(client::default_client, |client| Ok(client.clone()))?;
        let runtime = client.runtime();
        let (id, shown) = runtime.new_lock();
        let value = given.bytes("value").map(memory::copy).transpose()?;
        let lock = Lock {
            runtime,
            id,
            shown,
            used: AtomicBool::new(false),
            abandoned: AtomicBool::new(false),
            spec,
            value: Mutex::new(Rank::Leaf, value.map(|value| Value(value.into()))),
            generator: defaults.value_generator,
        };
        let value = lock.value.lock().as_ref().map_or(0, |value| value.0.len());
        lock.check_value(value).map(|()| lock)
    }

    /// Acquires the lock. Uses it up with every outcome but VALUE_FAILED.
    ///
    /// NOT_ACQUIRED: another session had the lock until the deadline, and the message names the holder.
    pub fn acquire(&self) -> Result<(), Error> {
        self.call(Call::Acquire(self.filled()?))
    }

    /// As [`Lock::acquire`], without waiting: `done` gets the outcome, exactly once, also after a cancel and
    /// when the lock is dropped.
    ///
    /// On failure nothing was begun and `done` gets nothing: FORKED, VALUE_FAILED, NO_RESOURCES (the system
    /// gives no thread). `done` gets every other outcome, ALREADY_USED too.
    pub fn acquire_start(&self, done: Completion<()>) -> Result<(), Error> {
        self.start(Call::Acquire(self.filled()?), done)
    }

    /// Sets the value that the library stores under the key, in place of the option `value` and of the value
    /// generator. Call it before the acquire: if both run at the same time, either value may be stored.
    /// ALREADY_USED: the acquire has begun, and nothing was changed.
    pub fn set_value(&self, value: &[u8]) -> Result<(), Error> {
        self.runtime()?;
        self.check_value(value.len())?;
        if self.view().phase != Phase::New {
            let message = format!(
                "the lock \"{}\" has its value already: its acquire has begun",
                self.label()
            );
            return Err(Error::new(Status::AlreadyUsed, message));
        }
        let value = memory::copy(value)?;
        *self.value.lock() = Some(Value(value.into()));
        Ok(())
    }

    /// Refuses a value with which the transactions of this lock would be too large for Consul.
    fn check_value(&self, len: usize) -> Result<(), Error> {
        if self.spec.want != Want::Exclusive && len > MAX_SHARED_VALUE {
            let message = format!(
                "value: {len} bytes are too many; a lock that shares its key stores at most \
                 {MAX_SHARED_VALUE}"
            );
            return Err(Error::new(Status::InvalidArgument, message));
        }
        // Each key is checked and locked, its ticket is removed, and has a longer key.
        let keys = self.spec.keys.all();
        let rest = in_transaction(0, keys.iter().flat_map(|key| [&**key, key, key]));
        let stored = in_transaction(len, []) * keys.len();
        if len > MAX_VALUE || rest + stored > key::MAX_TRANSACTION {
            return Err(key::too_large(len));
        }
        Ok(())
    }

    /// What an acquire asks for, with the value. Runs the value generator.
    fn filled(&self) -> Result<LockSpec, Error> {
        self.runtime()?;
        let own = self.value.lock().clone();
        let value = match own {
            Some(value) => Some(value),
            None if self.view().phase == Phase::New => self.generate()?,
            None => None,
        };
        Ok(LockSpec {
            value,
            ..self.spec.clone()
        })
    }

    /// Releases the lock and removes the key; cancels and undoes a pending acquire. NOT_HELD: the lock was not
    /// held. LOST: the lock was lost before. UNCONFIRMED: Consul did not answer within `release_timeout_ms`; a
    /// thread of the library goes on.
    pub fn release(&self) -> Result<(), Error> {
        self.call(Call::Release)
    }

    /// As [`Lock::release`], without waiting: see [`Lock::acquire_start`].
    pub fn release_start(&self, done: Completion<()>) -> Result<(), Error> {
        self.start(Call::Release, done)
    }

    /// Ends a pending acquire at once; an acquire that comes later answers CANCELLED. Does nothing to a lock
    /// that is held. Never blocks.
    pub fn cancel(&self) {
        // A cancel always succeeds.
        let _ = self.call(Call::Cancel);
    }

    /// Extends the lease by the full TTL. LOST: this lock is not the holder any more.
    pub fn renew(&self) -> Result<(), Error> {
        self.call(Call::Renew)
    }

    /// Turns the exclusive lock into a share of its key, without a gap: no exclusive lock comes between. OK: others may
    /// share the key from now on (`limit`), and the fencing token has grown.
    pub fn downgrade(&self) -> Result<(), Error> {
        self.call(Call::Downgrade)
    }

    /// As [`Lock::downgrade`], without waiting: see [`Lock::acquire_start`].
    pub fn downgrade_start(&self, done: Completion<()>) -> Result<(), Error> {
        self.start(Call::Downgrade, done)
    }

    /// Turns the share into an exclusive lock, without a gap: what this lock has read stays true. Waits up to
    /// `timeout_ms` for the others that share the key; 0: not at all; -1: until a cancel.
    ///
    /// NOT_ACQUIRED: others still share the key, or another session has it or waits for it in the same way, which
    /// would be to wait for each other: the lock is a share, as before.
    pub fn upgrade(&self, timeout_ms: i64) -> Result<(), Error> {
        self.call(Call::Upgrade(patience(timeout_ms)?))
    }

    /// As [`Lock::upgrade`], without waiting: see [`Lock::acquire_start`].
    pub fn upgrade_start(&self, timeout_ms: i64, done: Completion<()>) -> Result<(), Error> {
        self.start(Call::Upgrade(patience(timeout_ms)?), done)
    }

    /// As [`Lock::renew`], without waiting: see [`Lock::acquire_start`].
    pub fn renew_start(&self, done: Completion<()>) -> Result<(), Error> {
        self.start(Call::Renew, done)
    }

    /// As [`Lock::check`], without waiting: see [`Lock::acquire_start`].
    pub fn check_start(&self, done: Completion<()>) -> Result<(), Error> {
        self.start(Call::Check, done)
    }

    /// Asks Consul whether this lock is still the holder. LOST: it is not.
    pub fn check(&self) -> Result<(), Error> {
        self.call(Call::Check)
    }

    /// Writes a key of Consul's KV store in one transaction with a check that this lock is still the holder:
    /// a process that lost the lock cannot write. `key` is the plain key, not put into the pattern.
    ///
    /// LOST: the key was not written. UNCONFIRMED: Consul's answer was lost, and the key may be written.
    pub fn put_if_held(&self, key: &str, value: &[u8]) -> Result<(), Error> {
        self.call(self.write(key, Some(value))?)
    }

    /// As [`Lock::put_if_held`], without waiting: see [`Lock::acquire_start`]. This call itself fails where
    /// the library refuses the key or the value.
    pub fn put_if_held_start(
        &self,
        key: &str,
        value: &[u8],
        done: Completion<()>,
    ) -> Result<(), Error> {
        self.start(self.write(key, Some(value))?, done)
    }

    /// Deletes a key in the same way. OK also if the key does not exist.
    pub fn delete_if_held(&self, key: &str) -> Result<(), Error> {
        self.call(self.write(key, None)?)
    }

    /// As [`Lock::delete_if_held`], without waiting: see [`Lock::put_if_held_start`].
    pub fn delete_if_held_start(&self, key: &str, done: Completion<()>) -> Result<(), Error> {
        self.start(self.write(key, None)?, done)
    }

    fn write(&self, key: &str, value: Option<&[u8]>) -> Result<Call, Error> {
        let key = self.key_to_write(key, value.map_or(0, <[u8]>::len))?;
        let value = value.map(memory::copy).transpose()?;
        let value = value.map(|value| Value(value.into()));
        Ok(Call::Write { key, value })
    }

    /// Refuses a key that would break this lock, and what Consul would refuse or cut off.
    fn key_to_write(&self, key: &str, value_len: usize) -> Result<Key, Error> {
        let refused = |why: String| Err(Error::new(Status::InvalidArgument, why));
        let key = key::plain(key)?;
        if self.spec.keys.all().contains(&key) {
            return refused(format!(
                "the key \"{key}\" cannot be written: it is the lock"
            ));
        }
        let named = self.spec.keys.all().iter().chain([&key]);
        let size = in_transaction(value_len, named.map(|key| &**key));
        if value_len > MAX_VALUE || size > key::MAX_TRANSACTION {
            return Err(key::too_large(value_len));
        }
        Ok(key)
    }

    /// Sets the callback for the loss of this lock, in place of the one before; None: no callback. It runs once,
    /// on the library's thread for callbacks: at the end of the lease at the latest, at once if the lock is lost
    /// already, never if the lock is released or abandoned.
    pub fn set_lost_callback(&self, callback: Option<LostCallback>) -> Result<(), Error> {
        self.runtime()?.on_loss(self.id, callback)
    }

    /// Binds the lock to the reader of `queue`. When the queue or its reading end is closed, the library cancels
    /// a pending acquire, or releases what it took, and renews a held lock no more: its TTL ends it. The last
    /// call counts.
    ///
    /// FORKED: the lock or the queue belongs to the parent process.
    pub fn bind(&self, queue: Arc<Queue>) -> Result<(), Error> {
        let runtime = self.runtime()?;
        if !queue.is_ours() {
            let message = "the parent process made the queue, before the fork; make a queue of this \
                           process's own";
            return Err(Error::new(Status::Forked, message));
        }
        runtime.bind(self.id, queue);
        Ok(())
    }

    /// Whether the lock is held, and its lease has not ended by the local clock. Asks nothing of Consul.
    pub fn is_held(&self) -> bool {
        !self.remaining().is_zero()
    }

    /// The time until the lease ends; zero if the lock is not held.
    pub fn remaining(&self) -> Duration {
        if self.runtime().is_err() {
            return Duration::ZERO;
        }
        let end = self.view().lease_end;
        end.map_or(Duration::ZERO, |end| end.since(Time::now()))
    }

    /// How the lock was lost; None: this process knows of no loss.
    pub fn why_lost(&self) -> Option<LostReason> {
        self.runtime().ok()?;
        let view = self.view();
        // The core notices the end of a lease a moment later.
        let expired = view.lease_end.is_some_and(|end| Time::now() >= end);
        view.lost.or(expired.then_some(LostReason::Expired))
    }

    /// The fencing token, also after the end of the lock; None before the lock was acquired.
    pub fn fencing_token(&self) -> Option<u64> {
        self.runtime().ok()?;
        self.view().token
    }

    /// The full key of the lock; of several keys the first in the order of their bytes.
    pub fn key(&self) -> &str {
        self.spec.keys.get(0)
    }

    /// The full keys of the lock, in the order of their bytes.
    pub fn keys(&self) -> Vec<&str> {
        self.spec.keys.all().iter().map(|key| &**key).collect()
    }

    /// The number of a lock that shares its key with a `limit`: from 0 and below the limit, different from those of all
    /// others that share the key at the same time. Also after the end of the lock. None: it has none.
    pub fn slot(&self) -> Option<u16> {
        self.runtime().ok()?;
        self.view().slot
    }

    /// The keys for a message, which puts them between two quotes.
    fn label(&self) -> &Key {
        self.spec.keys.label()
    }

    /// The session that holds or held the lock; None before the lock was acquired.
    pub fn session_id(&self) -> Option<String> {
        self.runtime().ok()?;
        self.view().session.map(|id| id.to_string())
    }

    /// Forgets the lock without a request and without blocking: the lock stays in Consul until its TTL ends it.
    /// Later calls answer NOT_HELD.
    pub fn abandon(&self) {
        if self.used.load(Ordering::Acquire) && !self.abandoned.swap(true, Ordering::AcqRel) {
            let _ = self.call(Call::Abandon);
        }
    }

    /// The runtime, if it belongs to this process.
    fn runtime(&self) -> Result<&Handle, Error> {
        if self.runtime.generation.is_current() {
            return Ok(&self.runtime);
        }
        let message = format!(
            "the parent process made the lock \"{}\", before the fork; make a lock of this process's own",
            self.label()
        );
        Err(Error::new(Status::Forked, message))
    }

    fn call(&self, what: Call) -> Result<(), Error> {
        let outcome = self.used_from_now_on(&what)?.call(self.id, what);
        outcome
            .map(drop)
            .map_err(|error| named(error, self.label()))
    }

    fn start(&self, what: Call, done: Completion<()>) -> Result<(), Error> {
        let key = self.label().clone();
        let done = done
            .through_outcome(move |outcome| outcome.map(drop).map_err(|error| named(error, &key)));
        self.used_from_now_on(&what)?.start(self.id, what, done)
    }

    fn used_from_now_on(&self, what: &Call) -> Result<&Handle, Error> {
        let runtime = self.runtime()?;
        self.used.store(true, Ordering::Release);
        if self.abandoned.load(Ordering::Acquire) && !matches!(what, Call::Abandon) {
            let message = format!("the lock \"{}\" was abandoned", self.label());
            return Err(Error::new(Status::NotHeld, message));
        }
        Ok(runtime)
    }

    /// Never locked in a child after a fork: [`Lock::runtime`] comes first.
    fn view(&self) -> View {
        self.shown.view()
    }

    fn generate(&self) -> Result<Option<Value>, Error> {
        let Some(generator) = &self.generator else {
            return Ok(None);
        };
        let failed = |why: &str| {
            let message = format!("could not acquire the lock \"{}\": {why}", self.label());
            Error::new(Status::ValueFailed, message)
        };
        let value = generator().ok_or_else(|| failed("the value generator has no value"))?;
        if value.len() > MAX_VALUE {
            return Err(failed(&format!(
                "the value generator made {} bytes; a value has at most {MAX_VALUE}",
                value.len()
            )));
        }
        let checked = self.check_value(value.len());
        checked.map_err(|error| failed(&format!("the value generator: {}", error.message)))?;
        Ok(Some(Value(value.into())))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if let Ok(runtime) = self.runtime() {
            if !self.used.load(Ordering::Acquire) {
                runtime.drop_lock(self.id);
            } else if !self.abandoned.load(Ordering::Acquire) {
                // Releases a held lock. Where Consul does not confirm that, the TTL ends the lock.
                let _ = runtime.call(self.id, Call::Free);
            }
        }
    }
}

/// The keys of a lock.
fn several(keys: Vec<Key>) -> Result<Keys, Error> {
    let count = keys.len();
    let refused = || {
        let message = format!(
            "{count} keys: a lock has 1 to {MAX_KEYS} (Consul takes 64 operations in a transaction)"
        );
        Error::new(Status::InvalidArgument, message)
    };
    let keys = Keys::of(keys).filter(|keys| keys.count() <= MAX_KEYS);
    keys.ok_or_else(refused)
}

/// How long to wait, from the number of a caller.
fn patience(timeout_ms: i64) -> Result<Patience, Error> {
    const LONGEST: i64 = 86_400_000;
    match timeout_ms {
        -1 => Ok(Patience::Forever),
        0 => Ok(Patience::Once),
        1..=LONGEST => Ok(Patience::For(Duration::from_millis(
            timeout_ms.unsigned_abs(),
        ))),
        _ => {
            let message = format!(
                "timeout_ms: {timeout_ms} is not -1 (until a cancel) or from 0 to {LONGEST}"
            );
            Err(Error::new(Status::InvalidArgument, message))
        }
    }
}

/// What an acquire asks for, by the options, the defaults of the process and the table.
fn spec(keys: Keys, values: &OptionValues) -> Result<LockSpec, Error> {
    let seconds = |name| Duration::from_secs(values.unsigned(name));
    let ms = |name| Duration::from_millis(values.unsigned(name));
    let longest = seconds("max_lifetime_seconds");
    let mode = values.text_or_default("mode");
    let limit = Limit::new(values.unsigned("limit"));
    // A limit alone means a share.
    let shares = mode.value == "share" || (limit.is_some() && !values.has("mode"));
    let want = match shares {
        true => Want::Share(limit.unwrap_or(Limit::READERS)),
        false => Want::Exclusive,
    };
    if want != Want::Exclusive && keys.are_several() {
        return Err(mode.wrong("a lock of several keys is exclusive; share its keys one by one"));
    }
    Ok(LockSpec {
        keys,
        want,
        limit,
        value: None,
        ttl: seconds("lock_timeout_seconds"),
        patience: match values.int("acquire_timeout_ms") {
            0 => Patience::Once,
            ..0 => Patience::Forever,
            1.. => Patience::For(ms("acquire_timeout_ms")),
        },
        fair: values.bool("fair"),
        monitor: values.bool("monitor"),
        grace: ms("queue_grace_ms"),
        upkeep: match values.bool("auto_renew") {
            true => Upkeep::For(Some(longest).filter(|longest| !longest.is_zero())),
            false => Upkeep::Off,
        },
    })
}

/// Adds the key to an error about a lock that was never acquired: the core does not know its key.
fn named(mut error: Error, key: &Key) -> Error {
    if error.status == Status::NotHeld && !error.message.contains(&**key) {
        error.message = error
            .message
            .replacen("the lock", &format!("the lock \"{key}\""), 1);
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_written_under_a_lock() {
        let lock = Lock::new("k", None, None).expect("a lock");
        for key in [
            "",
            "/a",
            "a//b",
            "a\n",
            "locks/ephemeral/k",
            "locks/ephemeral/k/.fifo/3ff",
        ] {
            for refused in [lock.put_if_held(key, b"v"), lock.delete_if_held(key)] {
                let error = refused.expect_err(key);
                assert_eq!(error.status, Status::InvalidArgument, "{error}");
                assert!(error.message.contains("cannot be written"), "{error}");
            }
        }
        // The lock is not held, so the library does not send a good key either.
        let not_held = |key: &str, len: usize| {
            let error = lock.put_if_held(key, &vec![0; len]).expect_err("not held");
            assert!(!error.message.contains("\"\""), "{error}");
            error.status == Status::NotHeld
        };
        assert!(not_held("locks/ephemeral/other", 0));
        assert!(not_held("data", MAX_VALUE) && !not_held("data", MAX_VALUE + 1));
        let long = "\"".repeat(3_000);
        assert!(not_held(&long, 380_000) && !not_held(&long, MAX_VALUE));
    }
}
