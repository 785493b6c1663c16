//! Locks as C sees them.

use std::ffi::{c_char, c_void};
use std::sync::Arc;

use super::callback::{Registration, UserDataFreeFn};
use super::handle::{give, share, take};
use super::objects::{ErrorHandle, LockHandle, OptionsHandle};
use super::options::snapshot;
use super::text::{MAX_NAME, copy_text, key_and_value, text, value_bytes};
use super::{answer, make, observe};
use crate::error::{Error, LostReason, Status};
use crate::lock::{Lock, LostCallback};

/// Makes a lock. Reads the options and the defaults, and sends nothing. The first lock that uses
/// the default client makes that client, as consul_lock_client_new() does.
///
/// @param key     The work to lock. The library inserts it into "lock_key_pattern". The result may
///                be at most 60,000 bytes long when percent-encoded. A key that Consul would change
///                or refuse is refused: a leading '/', an empty, "." or ".." segment, characters
///                that cannot be printed, spaces at either end, '..' or a space behind a
///                percent-encoding. So is a segment ".fifo" or ".share": there the library keeps the
///                waiters of a key, and those that share it.
/// @param options The lock's options. The defaults fill in the rest. NULL: all from the defaults.
/// @return Free it with consul_lock_free(). NULL on failure, with the code
///         CONSUL_LOCK_INVALID_ARGUMENT: the key is refused;
///         CONSUL_LOCK_INVALID_OPTION: an option is wrong, or belongs to a client;
///         CONSUL_LOCK_INVALID_ENVIRONMENT, CONSUL_LOCK_UNAVAILABLE: the library cannot make the
///         default client (see consul_lock_client_new());
///         CONSUL_LOCK_NO_RESOURCES: the same, or there is no memory for the value.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_new(
    key: *const c_char,
    options: *const OptionsHandle,
    error: *mut *mut ErrorHandle,
) -> *mut LockHandle {
    // SAFETY: pointers NULL or as the header asks.
    unsafe {
        make(error, || {
            let key = text(key, "key", MAX_NAME)?;
            if key.is_empty() {
                return Err(Error::new(Status::InvalidArgument, "key is empty"));
            }
            let of_lock = snapshot(options).unwrap_or_default();
            Lock::new(key, Some(&of_lock.options), of_lock.client.as_ref()).map(give)
        })
    }
}

/// Sets the value that this lock will store, instead of the option "value" and of the value
/// generator. Call it before consul_lock_acquire(). If both run at the same time, either value may
/// be stored.
///
/// @param len At most CONSUL_LOCK_MAX_VALUE; at most CONSUL_LOCK_MAX_SHARED_VALUE if the option
///            "mode" is "share"; less with very long keys, and with several keys.
/// @return CONSUL_LOCK_OK; CONSUL_LOCK_ALREADY_USED: the acquire has begun, and nothing was
///         changed; CONSUL_LOCK_NO_RESOURCES: there is no memory for the value.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_set_value(
    lock: *mut LockHandle,
    value: *const c_void,
    len: usize,
    error: *mut *mut ErrorHandle,
) -> Status {
    // SAFETY: pointers NULL or as the header asks.
    unsafe {
        answer(error, || {
            share(lock, "lock")?.set_value(value_bytes(value, len)?)
        })
    }
}

/// Takes the lock: its key alone, or, with the option "mode" "share", beside others that share the
/// key. Waits for it up to the option "acquire_timeout_ms"; the default 0 makes exactly one attempt.
/// The library serves waiters first come, first served, within a process and between processes
/// (option "fair"). Blocks; consul_lock_cancel() ends the wait at once.
///
/// The first acquire uses the lock up, whatever the outcome (except CONSUL_LOCK_VALUE_FAILED). A
/// failed acquire leaves nothing behind in Consul, or its message says that the session's TTL will
/// remove it.
///
/// @return CONSUL_LOCK_OK: the caller holds the lock, with its whole life ahead;
///         CONSUL_LOCK_NOT_ACQUIRED: the lock was not free until the deadline, and the message
///         names the holder;
///         CONSUL_LOCK_CONFLICT: others share the key with another "limit". The message names both;
///         CONSUL_LOCK_CANCELLED; CONSUL_LOCK_ALREADY_USED: the lock was acquired before;
///         CONSUL_LOCK_VALUE_FAILED: the value generator has no value;
///         CONSUL_LOCK_UNAVAILABLE: Consul gave no usable answer in time;
///         CONSUL_LOCK_DENIED: Consul refused for want of rights;
///         CONSUL_LOCK_REJECTED: Consul refused the request, or the key holds the data of another
///         program, which the library neither overwrites nor deletes;
///         CONSUL_LOCK_NO_RESOURCES: the system gives no thread, descriptor or memory, also for
///         what "auto_renew" promises.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_acquire(
    lock: *mut LockHandle,
    error: *mut *mut ErrorHandle,
) -> Status {
    // SAFETY: pointers NULL or as the header asks.
    unsafe { answer(error, || share(lock, "lock")?.acquire()) }
}

/// Releases the lock and removes its keys. Never touches another lock. Cancels and undoes a pending
/// acquire of another thread. Blocks for at most the client's option "release_timeout_ms".
///
/// @return CONSUL_LOCK_OK: the lock was held until now;
///         CONSUL_LOCK_NOT_HELD: the caller had nothing to release; harmless;
///         CONSUL_LOCK_LOST: the lock had been lost before, so other processes may have worked
///         meanwhile;
///         CONSUL_LOCK_UNCONFIRMED: Consul did not confirm in time (an election of its leader takes
///         3 to 13 seconds). The library repeats the release while the process lives. A process
///         that ends calls consul_lock_shutdown(), which waits for that. Otherwise Consul may keep
///         the lock for up to two TTLs.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_release(
    lock: *mut LockHandle,
    error: *mut *mut ErrorHandle,
) -> Status {
    // SAFETY: pointers NULL or as the header asks.
    unsafe { answer(error, || share(lock, "lock")?.release()) }
}

/// Frees a lock. Releases a held lock first, which waits for at most the client's option
/// "release_timeout_ms". Cancels a pending acquire of another thread. Ends the session of a lost
/// lock in the background. Calls of other threads that have begun are safe; calls that begin
/// afterwards are not.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_free(lock: *mut LockHandle) {
    observe((), || {
        // SAFETY: NULL or live and freed once, as the header asks.
        if let Some(lock) = unsafe { take(lock) }
            // The cancel ends a call that waits in another thread, and that call drops the lock. Without such a call
            // the drop ends all in one step: a cancel before it could have an upgrade told CANCELLED.
            && Arc::strong_count(&lock) > 1
        {
            lock.cancel();
        }
    });
}

/// Frees a lock without releasing it: sends nothing. A held lock, and the session of a lost one,
/// stay in Consul until the TTL ends them. For finalizers, and for work that may be done only once
/// per TTL. Cancels a pending acquire of another thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_abandon(lock: *mut LockHandle) {
    observe((), || {
        // SAFETY: NULL or live and freed once, as the header asks.
        if let Some(lock) = unsafe { take(lock) } {
            lock.abandon();
        }
    });
}

/// Ends a pending acquire at once: it returns CONSUL_LOCK_CANCELLED, and is undone. A later acquire
/// returns the same. A held lock stays held. If it waits in an upgrade, that returns
/// CONSUL_LOCK_CANCELLED, and the lock is a share, as before.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_cancel(lock: *mut LockHandle) {
    observe((), || {
        // SAFETY: NULL or live, as the header asks.
        if let Ok(lock) = unsafe { share(lock, "lock") } {
            lock.cancel();
        }
    });
}

/// Extends the life of a held lock to "lock_timeout_seconds" from now, for work that takes longer
/// than expected. Blocks for one request.
///
/// @return CONSUL_LOCK_OK; CONSUL_LOCK_LOST: the lock is lost, stop the work; CONSUL_LOCK_NOT_HELD;
///         CONSUL_LOCK_UNAVAILABLE: Consul gave no usable answer, and the lock is held until
///         consul_lock_remaining_ms() is 0; CONSUL_LOCK_DENIED; CONSUL_LOCK_REJECTED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_renew(
    lock: *mut LockHandle,
    error: *mut *mut ErrorHandle,
) -> Status {
    // SAFETY: pointers NULL or as the header asks.
    unsafe { answer(error, || share(lock, "lock")?.renew()) }
}

/// Asks Consul whether the lock is still held. So it also finds a loss that an operator caused.
/// Does not extend the lock's life. Blocks for one request.
///
/// @return CONSUL_LOCK_OK: the lock is held; else as consul_lock_renew().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_check(
    lock: *const LockHandle,
    error: *mut *mut ErrorHandle,
) -> Status {
    // SAFETY: pointers NULL or as the header asks.
    unsafe { answer(error, || share(lock, "lock")?.check()) }
}

/// Writes a key of Consul's KV store in one transaction with a check that this lock is held. A
/// holder that lost the lock cannot write, whether it knows of the loss or not, so the write needs
/// no fencing token. Blocks for one request, which the library repeats when the answer is lost.
///
/// @param key   The key to write, as it stands in the KV store (without "lock_key_pattern").
///              Refused are this lock's own keys and what consul_lock_new() refuses.
/// @param value The bytes to write. With very long keys the limit is a little below
///              CONSUL_LOCK_MAX_VALUE.
/// @return CONSUL_LOCK_OK: the key was written while the lock was held;
///         CONSUL_LOCK_LOST: the lock is lost, and nothing was written;
///         CONSUL_LOCK_UNCONFIRMED: Consul's answer was lost. Consul may have written the key, or
///         may write it later, as long as the lock is in Consul. While the lock is held, the caller
///         may repeat the call;
///         CONSUL_LOCK_NOT_HELD, CONSUL_LOCK_UNAVAILABLE, CONSUL_LOCK_DENIED, CONSUL_LOCK_REJECTED,
///         CONSUL_LOCK_NO_RESOURCES: nothing was written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_put_if_held(
    lock: *mut LockHandle,
    key: *const c_char,
    value: *const c_void,
    len: usize,
    error: *mut *mut ErrorHandle,
) -> Status {
    // SAFETY: pointers NULL or as the header asks.
    unsafe {
        answer(error, || {
            let lock = share(lock, "lock")?;
            let (key, value) = key_and_value(key, value, len)?;
            lock.put_if_held(key, value)
        })
    }
}

/// Deletes a key of Consul's KV store in the same way. A key that does not exist is no error.
///
/// @param key As for consul_lock_put_if_held().
/// @return As consul_lock_put_if_held().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_delete_if_held(
    lock: *mut LockHandle,
    key: *const c_char,
    error: *mut *mut ErrorHandle,
) -> Status {
    // SAFETY: pointers NULL or as the header asks.
    unsafe {
        answer(error, || {
            share(lock, "lock")?.delete_if_held(text(key, "key", MAX_NAME)?)
        })
    }
}

/// Receives the reason why a lock was lost. See CALLBACKS. It may also call consul_lock_free() on
/// this lock.
pub type LostCallbackFn = Option<unsafe extern "C" fn(reason: LostReason, user_data: *mut c_void)>;

/// Sets the function that the library calls when this lock is lost: once, at the end of the lock's
/// life at the latest, also when no Consul can be reached. The library finds a loss (1) by the
/// local clock when the lease ends, (2) by the watch on the key while "monitor" is on (the
/// default), (3) by a renewal, (4) by any call that returns CONSUL_LOCK_LOST. If the lock is lost
/// already, the library calls the function at once. It never calls the function after a release,
/// consul_lock_abandon() or consul_lock_free().
///
/// @param callback       The function. It takes the place of the one before. NULL: none.
/// @param user_data      Given to the function.
/// @param user_data_free Called after the call of the function, when another function has taken its
///                       place, or when the lock is freed or abandoned.
/// @return CONSUL_LOCK_OK; CONSUL_LOCK_NO_RESOURCES: the system gives no thread, and nothing was
///         changed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_set_lost_callback(
    lock: *mut LockHandle,
    callback: LostCallbackFn,
    user_data: *mut c_void,
    user_data_free: UserDataFreeFn,
    error: *mut *mut ErrorHandle,
) -> Status {
    let registration = Registration::new(callback, user_data, user_data_free);
    let callback = registration
        .function
        .map(|_| -> LostCallback { Box::new(move |reason| tell(&registration, reason)) });
    // SAFETY: pointers NULL or as the header asks.
    unsafe {
        answer(error, move || {
            share(lock, "lock")?.set_lost_callback(callback)
        })
    }
}

/// Calls the host's function.
fn tell(registration: &Registration<LostCallbackFn>, reason: LostReason) {
    if let Some(callback) = registration.function {
        // SAFETY: the host promised that the callback may be called so.
        unsafe { callback(reason, registration.user_data()) };
    }
}

/// Tells whether the lock is held, as far as this process knows by its own clock: true from a
/// successful acquire until the release, the end of the lock's life, or a noticed loss. While it is
/// true, no other process holds the lock (of a lock that shares its key: no other process holds the
/// key alone), unless Consul ended its session, or an operator deleted its key, before its time and
/// the library has not noticed yet. Sends nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_is_held(lock: *const LockHandle) -> bool {
    observe(false, || {
        // SAFETY: NULL or live, as the header asks.
        unsafe { share(lock, "lock") }.is_ok_and(|lock| lock.is_held())
    })
}

/// Returns how much of the lock's life is left, by this process's own clock, which also counts
/// while the machine sleeps. Sends nothing.
///
/// @return Milliseconds, rounded down; 0: the lock is not held.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_remaining_ms(lock: *const LockHandle) -> i64 {
    observe(0, || {
        // SAFETY: NULL or live, as the header asks.
        let Ok(lock) = (unsafe { share(lock, "lock") }) else {
            return 0;
        };
        i64::try_from(lock.remaining().as_millis()).unwrap_or(i64::MAX)
    })
}

/// Returns how the lock was lost. Sends nothing.
///
/// @return A consul_lock_lost_reason; 0: the lock was not lost, as far as this process knows.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_why_lost(lock: *const LockHandle) -> i32 {
    observe(0, || {
        // SAFETY: NULL or live, as the header asks.
        let lock = unsafe { share(lock, "lock") }.ok();
        lock.and_then(|lock| lock.why_lost())
            .map_or(0, |why| why as i32)
    })
}

/// Returns the fencing token: a number that grows with every acquisition of this key, and with every
/// downgrade and upgrade (see FENCING). All keys of a lock have one token. Tokens can be compared
/// within one datacenter, as long as Consul keeps its data.
///
/// @return 0 before the lock was acquired. Afterwards only consul_lock_downgrade() and
///         consul_lock_upgrade() change it. It stays the same when the lock is over.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_fencing_token(lock: *const LockHandle) -> u64 {
    observe(0, || {
        // SAFETY: NULL or live, as the header asks.
        unsafe { share(lock, "lock") }
            .ok()
            .and_then(|lock| lock.fencing_token())
            .unwrap_or(0)
    })
}

/// Copies the full key: the lock's place in Consul's KV store, such as
/// "locks/ephemeral/nightly-report". Of several keys the first, as consul_lock_key_at() counts them.
///
/// @return See TEXT AND BYTES.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_key(
    lock: *const LockHandle,
    buf: *mut c_char,
    cap: usize,
) -> usize {
    observe(0, || {
        // SAFETY: pointers NULL or as the header asks.
        let lock = unsafe { share(lock, "lock") };
        // SAFETY: as above.
        unsafe { copy_text(lock.as_ref().map_or("", |lock| lock.key()), buf, cap) }
    })
}

/// Copies the id of the Consul session that holds, or held, the lock. A buffer of 37 bytes is
/// enough.
///
/// @return See TEXT AND BYTES; 0 before the lock was acquired.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_session_id(
    lock: *const LockHandle,
    buf: *mut c_char,
    cap: usize,
) -> usize {
    observe(0, || {
        // SAFETY: pointers NULL or as the header asks.
        let id = unsafe { share(lock, "lock") }
            .ok()
            .and_then(|lock| lock.session_id());
        // SAFETY: as above.
        unsafe { copy_text(id.as_deref().unwrap_or(""), buf, cap) }
    })
}
