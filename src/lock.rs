//! A lock, as a safe Rust API.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub use crate::callbacks::Completion;
use crate::client::{self, Client};
use crate::clock::Time;
use crate::core::messages::Value;
use crate::core::{Call, LockId, LockSpec, Patience, Phase, Upkeep, View};
use crate::defaults::{self, ValueGenerator};
use crate::error::{Error, LostReason, Status};
use crate::key::{self, Key, MAX_VALUE, in_transaction};
use crate::lockorder::{Mutex, Rank};
use crate::memory;
use crate::options::{OptionPlace, OptionValues, Options};
use crate::queue::Queue;
pub use crate::runtime::losses::LostCallback;
use crate::runtime::{Handle, Shown};

/// A lock on one key: single use, held by a Consul session with a TTL.
///
/// Every method may be called from any thread at any time. Dropping a held lock releases it, waiting
/// at most `release_timeout_ms`. In a child after a fork a lock of the parent answers FORKED, and
/// dropping it only frees memory.
pub struct Lock {
    runtime: Arc<Handle>,
    id: LockId,
    shown: Arc<Shown>,
    /// The core has heard of it.
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
            .field("key", &self.spec.key)
            .finish_non_exhaustive()
    }
}

impl Lock {
    /// Makes a lock on `key` (put into `lock_key_pattern`); without a client, with the default one.
    /// Reads options, defaults and, for the default client, the environment; sends nothing.
    pub fn new(
        key: &str,
        options: Option<&Options>,
        client: Option<&Client>,
    ) -> Result<Lock, Error> {
        let none = Options::new();
        let given = options.unwrap_or(&none).values_for(OptionPlace::Lock)?;
        let defaults = defaults::snapshot();
        let values = given.or(&defaults.values);
        let key = key::full(&values.text_or_default("lock_key_pattern").value, key)?;
        let client = client.map_or_else(client::default_client, |client| Ok(client.clone()))?;
        let runtime = client.runtime();
        let (id, shown) = runtime.new_lock();
        let value = given.bytes("value").map(memory::copy).transpose()?;
        Ok(Lock {
            runtime,
            id,
            shown,
            used: AtomicBool::new(false),
            abandoned: AtomicBool::new(false),
            spec: spec(key, &values),
            value: Mutex::new(Rank::Leaf, value.map(|value| Value(value.into()))),
            generator: defaults.value_generator,
        })
    }

    /// Takes the lock. Uses it up, whatever the outcome (a failing value generator excepted).
    ///
    /// NOT_ACQUIRED: somebody else had it until the deadline, and the message says who.
    pub fn acquire(&self) -> Result<(), Error> {
        self.call(Call::Acquire(self.filled()?))
    }

    /// As [`Lock::acquire`], without waiting: `done` is told the outcome, exactly once, also after a
    /// cancel and when the lock is dropped.
    ///
    /// On failure nothing was begun and `done` is not told: FORKED, VALUE_FAILED, NO_RESOURCES (the
    /// system gives no thread). Everything else comes through `done`, ALREADY_USED too.
    pub fn acquire_start(&self, done: Completion<()>) -> Result<(), Error> {
        self.start(Call::Acquire(self.filled()?), done)
    }

    /// Sets the value that is stored under the key, instead of the option `value` and of the value
    /// generator. ALREADY_USED: the acquire has begun before, and nothing was changed. (Beside the call
    /// of the acquire itself, which of the two values is stored is open.)
    pub fn set_value(&self, value: &[u8]) -> Result<(), Error> {
        self.runtime()?;
        if value.len() > MAX_VALUE {
            return Err(key::too_large(value.len()));
        }
        if self.view().phase != Phase::New {
            let message = format!(
                "the lock \"{}\" has its value already: its acquire has begun",
                self.spec.key
            );
            return Err(Error::new(Status::AlreadyUsed, message));
        }
        let value = memory::copy(value)?;
        *self.value.lock() = Some(Value(value.into()));
        Ok(())
    }

    /// What an acquire asks for. Runs the value generator.
    fn filled(&self) -> Result<LockSpec, Error> {
        self.runtime()?;
        let own = self.value.lock().clone();
        let value = match own {
            Some(value) => Some(value),
            None if self.view().phase == Phase::New => self.generate()?,
            None => None,
        };
        let len = value.as_ref().map_or(0, |value| value.0.len());
        // A ticket is named twice, and has a longer key.
        if in_transaction(len, &[&self.spec.key, &self.spec.key, &self.spec.key])
            > key::MAX_TRANSACTION
        {
            return Err(key::too_large(len));
        }
        Ok(LockSpec {
            value,
            ..self.spec.clone()
        })
    }

    /// Gives it back and removes the key. NOT_HELD: there was nothing to give back. LOST: it had been
    /// lost before. UNCONFIRMED: Consul did not answer within `release_timeout_ms`; a thread of the
    /// library goes on. A pending acquire is cancelled and undone.
    pub fn release(&self) -> Result<(), Error> {
        self.call(Call::Release)
    }

    /// As [`Lock::release`], without waiting: `done` is told the outcome as in
    /// [`Lock::acquire_start`].
    pub fn release_start(&self, done: Completion<()>) -> Result<(), Error> {
        self.start(Call::Release, done)
    }

    /// Ends a pending acquire at once; sticky: one that comes later answers CANCELLED. Does nothing
    /// to a lock that is held. Never blocks.
    pub fn cancel(&self) {
        // The outcome is always that it is done.
        let _ = self.call(Call::Cancel);
    }

    /// Extends the lease by the full TTL. LOST: it is not ours any more.
    pub fn renew(&self) -> Result<(), Error> {
        self.call(Call::Renew)
    }

    /// As [`Lock::renew`], without waiting: see [`Lock::acquire_start`].
    pub fn renew_start(&self, done: Completion<()>) -> Result<(), Error> {
        self.start(Call::Renew, done)
    }

    /// As [`Lock::check`], without waiting: see [`Lock::acquire_start`].
    pub fn check_start(&self, done: Completion<()>) -> Result<(), Error> {
        self.start(Call::Check, done)
    }

    /// Asks Consul whether it is still ours. LOST: it is not.
    pub fn check(&self) -> Result<(), Error> {
        self.call(Call::Check)
    }

    /// Writes a key of Consul's KV store in one transaction with a check that this lock is still
    /// ours: who lost it cannot write. `key` is the plain key, not put into the pattern.
    ///
    /// LOST: it was not written. UNCONFIRMED: Consul's answer was lost, and it may have been.
    pub fn put_if_held(&self, key: &str, value: &[u8]) -> Result<(), Error> {
        self.call(self.write(key, Some(value))?)
    }

    /// As [`Lock::put_if_held`], without waiting: see [`Lock::acquire_start`]. A key or a value that
    /// is refused is a failure of this call.
    pub fn put_if_held_start(
        &self,
        key: &str,
        value: &[u8],
        done: Completion<()>,
    ) -> Result<(), Error> {
        self.start(self.write(key, Some(value))?, done)
    }

    /// Deletes a key in the same way. OK also if it does not exist.
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

    /// Refuses what would break this lock, and what Consul would refuse or cut off.
    fn key_to_write(&self, key: &str, value_len: usize) -> Result<Key, Error> {
        let refused = |why: String| Err(Error::new(Status::InvalidArgument, why));
        let key = key::plain(key)?;
        if key == self.spec.key {
            return refused(format!(
                "the key \"{key}\" cannot be written: it is the lock"
            ));
        }
        let size = in_transaction(value_len, &[&key, &self.spec.key]);
        if value_len > MAX_VALUE || size > key::MAX_TRANSACTION {
            return Err(key::too_large(value_len));
        }
        Ok(key)
    }

    /// Has `callback` told, once and by the library's thread for callbacks, when this lock is lost:
    /// at the end of its lease at the latest, at once if it is lost already, never if it is given
    /// back or abandoned. Takes the place of the one before; None: nobody is told.
    pub fn set_lost_callback(&self, callback: Option<LostCallback>) -> Result<(), Error> {
        self.runtime()?.on_loss(self.id, callback)
    }

    /// Ties it to the reader of `queue`: when that is gone (the queue closed, or its reading end), a
    /// pending acquire is cancelled, or given back, and a held lock is renewed no more and left to its
    /// TTL. The last call counts.
    ///
    /// FORKED: the lock, or the queue, is the parent process's.
    pub fn bind(&self, queue: Arc<Queue>) -> Result<(), Error> {
        let runtime = self.runtime()?;
        if !queue.is_ours() {
            let message = "the queue was made by the parent process, before the fork; make a queue of \
                           this process's own";
            return Err(Error::new(Status::Forked, message));
        }
        runtime.bind(self.id, queue);
        Ok(())
    }

    /// Local and cheap: held, and the lease has not ended by our own clock.
    pub fn is_held(&self) -> bool {
        !self.remaining().is_zero()
    }

    /// How much of the lease is left; zero when not held.
    pub fn remaining(&self) -> Duration {
        if self.runtime().is_err() {
            return Duration::ZERO;
        }
        let end = self.view().lease_end;
        end.map_or(Duration::ZERO, |end| end.since(Time::now()))
    }

    /// How the lock was lost; None: it was not, as far as this process knows.
    pub fn why_lost(&self) -> Option<LostReason> {
        self.runtime().ok()?;
        let view = self.view();
        // The core notices the end of a lease a moment later.
        let expired = view.lease_end.is_some_and(|end| Time::now() >= end);
        view.lost.or(expired.then_some(LostReason::Expired))
    }

    /// The fencing token; None before the lock was acquired. It stays readable after the end.
    pub fn fencing_token(&self) -> Option<u64> {
        self.runtime().ok()?;
        self.view().token
    }

    /// The full key.
    pub fn key(&self) -> &str {
        &self.spec.key
    }

    /// The session that holds (or held) it; None before the lock was acquired.
    pub fn session_id(&self) -> Option<String> {
        self.runtime().ok()?;
        self.view().session.map(|id| id.to_string())
    }

    /// Forgets the lock without a request and without blocking: it stays in Consul until its TTL.
    /// What is called afterwards answers NOT_HELD.
    pub fn abandon(&self) {
        if self.used.load(Ordering::Acquire) && !self.abandoned.swap(true, Ordering::AcqRel) {
            let _ = self.call(Call::Abandon);
        }
    }

    /// The runtime, if it is this process's.
    fn runtime(&self) -> Result<&Handle, Error> {
        if self.runtime.generation.is_current() {
            return Ok(&self.runtime);
        }
        let message = format!(
            "the lock \"{}\" was made by the parent process, before the fork; make a lock \
             of this process's own",
            self.spec.key
        );
        Err(Error::new(Status::Forked, message))
    }

    fn call(&self, what: Call) -> Result<(), Error> {
        let outcome = self.used_from_now_on(&what)?.call(self.id, what);
        outcome
            .map(drop)
            .map_err(|error| named(error, &self.spec.key))
    }

    fn start(&self, what: Call, done: Completion<()>) -> Result<(), Error> {
        let key = self.spec.key.clone();
        let done = done
            .through_outcome(move |outcome| outcome.map(drop).map_err(|error| named(error, &key)));
        self.used_from_now_on(&what)?.start(self.id, what, done)
    }

    fn used_from_now_on(&self, what: &Call) -> Result<&Handle, Error> {
        let runtime = self.runtime()?;
        self.used.store(true, Ordering::Release);
        if self.abandoned.load(Ordering::Acquire) && !matches!(what, Call::Abandon) {
            let message = format!("the lock \"{}\" was abandoned", self.spec.key);
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
            let message = format!("could not acquire the lock \"{}\": {why}", self.spec.key);
            Error::new(Status::ValueFailed, message)
        };
        let value = generator().ok_or_else(|| failed("the value generator has no value"))?;
        if value.len() > MAX_VALUE {
            return Err(failed(&format!(
                "the value generator made more than {MAX_VALUE} bytes"
            )));
        }
        Ok(Some(Value(value.into())))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if let Ok(runtime) = self.runtime() {
            if !self.used.load(Ordering::Acquire) {
                runtime.drop_lock(self.id);
            } else if !self.abandoned.load(Ordering::Acquire) {
                // Gives it back if it is held. What Consul does not confirm, the TTL ends.
                let _ = runtime.call(self.id, Call::Free);
            }
        }
    }
}

/// What an acquire asks for, by the options, the defaults of the process and the table.
fn spec(key: Key, values: &OptionValues) -> LockSpec {
    let seconds = |name| Duration::from_secs(values.unsigned(name));
    let ms = |name| Duration::from_millis(values.unsigned(name));
    let longest = seconds("max_lifetime_seconds");
    LockSpec {
        key,
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
    }
}

/// The core learns the key of a lock with its acquire. An error about a lock before that gets the key here.
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
        // Not taken, so a good one is not sent either.
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
