//! Locks as C sees them.

use std::ffi::{c_char, c_void};

use super::callback::{Registration, UserDataFreeFn};
use super::handle::{give, share, take};
use super::objects::{ErrorHandle, LockHandle, OptionsHandle};
use super::options::snapshot;
use super::text::{MAX_NAME, copy_text, key_and_value, text, value_bytes};
use super::{answer, make, observe};
use crate::error::{Error, LostReason, Status};
use crate::lock::{Lock, LostCallback};

/// Makes a lock. Reads the options and the defaults, and sends nothing. The first lock that uses
/// the default client makes it, as consul_lock_client_new() does.
///
/// @param key     What to lock. It is inserted into "lock_key_pattern". The result may be at most
///                60,000 bytes long when percent-encoded. A key that Consul would change or refuse
///                is refused: a leading '/', an empty, "." or ".." segment, characters that cannot
///                be printed, spaces at either end, '..' or a space behind a percent-encoding.
/// @param options The lock's options. The defaults fill in the rest. NULL: all from the defaults.
/// @param error   See ERRORS.
/// @return Free it with consul_lock_free(). NULL on failure, with the code
///         CONSUL_LOCK_INVALID_ARGUMENT: the key is refused;
///         CONSUL_LOCK_INVALID_OPTION: an option is wrong, or belongs to a client;
///         CONSUL_LOCK_INVALID_ENVIRONMENT, CONSUL_LOCK_UNAVAILABLE: the default client cannot be
///         made, as for consul_lock_client_new();
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
/// @param lock  The lock.
/// @param value Any bytes. NULL only if len is 0.
/// @param len   How many bytes: at most CONSUL_LOCK_MAX_VALUE.
/// @param error See ERRORS.
/// @return CONSUL_LOCK_OK; CONSUL_LOCK_ALREADY_USED: the acquire has begun, and nothing was
///         changed;
///         CONSUL_LOCK_NO_RESOURCES: there is no memory for the value.
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

/// Takes the lock. Waits for it up to the option "acquire_timeout_ms"; the default 0 makes exactly
/// one attempt. Waiters are served first come, first served, within a process and between processes
/// (option "fair"). Blocks; consul_lock_cancel() ends the wait at once.
///
/// A lock is used up by its first acquire, whatever the outcome (except CONSUL_LOCK_VALUE_FAILED).
/// If the acquire fails, nothing is left behind in Consul, or the message says that the session's
/// TTL will remove it.
///
/// @param lock  The lock.
/// @param error See ERRORS. The error of CONSUL_LOCK_NOT_ACQUIRED says who holds the lock.
/// @return CONSUL_LOCK_OK: the caller holds the lock, with its whole life ahead;
///         CONSUL_LOCK_NOT_ACQUIRED: the lock was not free until the deadline;
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

/// Gives the lock back and removes its key. It can only ever touch this very lock. A pending
/// acquire of another thread is cancelled and undone. Blocks for at most the client's option
/// "release_timeout_ms".
///
/// @param lock  The lock.
/// @param error See ERRORS.
/// @return CONSUL_LOCK_OK: the lock was held until now;
///         CONSUL_LOCK_NOT_HELD: there was nothing to give back; harmless;
///         CONSUL_LOCK_LOST: the lock had been lost before, so others may have worked meanwhile;
///         CONSUL_LOCK_UNCONFIRMED: Consul did not confirm in time (an election of its leader takes
///         3 to 13 seconds). The library goes on in the background while the process lives. A
///         process that ends calls consul_lock_shutdown(), which waits for that: otherwise the lock
///         may stand for up to two TTLs.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_release(
    lock: *mut LockHandle,
    error: *mut *mut ErrorHandle,
) -> Status {
    // SAFETY: pointers NULL or as the header asks.
    unsafe { answer(error, || share(lock, "lock")?.release()) }
}

/// Frees a lock. A held lock is released first, which waits at most the client's option
/// "release_timeout_ms". A pending acquire of another thread is cancelled. The session of a lost
/// lock is ended in the background. In a child after fork, a lock of the parent only frees its
/// memory. Calls of other threads that have begun are safe; calls that begin afterwards are not.
///
/// @param lock The lock; not used afterwards. NULL: nothing happens.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_free(lock: *mut LockHandle) {
    observe((), || {
        // SAFETY: NULL or live and freed once, as the header asks.
        if let Some(lock) = unsafe { take(lock) } {
            lock.cancel();
        }
    });
}

/// Frees a lock without giving it back: sends nothing. A held lock stays in Consul until its TTL
/// ends it, and so does the session of a lost lock. For finalizers, and for work that may be done
/// only once per TTL. A pending acquire of another thread is cancelled.
///
/// @param lock The lock; not used afterwards. NULL: nothing happens.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_abandon(lock: *mut LockHandle) {
    observe((), || {
        // SAFETY: NULL or live and freed once, as the header asks.
        if let Some(lock) = unsafe { take(lock) } {
            lock.abandon();
        }
    });
}

/// Ends a pending acquire at once: it answers CONSUL_LOCK_CANCELLED, and is undone. An acquire that
/// comes later answers the same. A lock that is held stays held.
///
/// @param lock The lock. NULL: nothing happens.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_cancel(lock: *mut LockHandle) {
    observe((), || {
        // SAFETY: NULL or live, as the header asks.
        if let Ok(lock) = unsafe { share(lock, "lock") } {
            lock.cancel();
        }
    });
}

/// Extends the life of a held lock to "lock_timeout_seconds" from now. For work that takes longer
/// than expected. Blocks for one request.
///
/// @param lock  The lock.
/// @param error See ERRORS.
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

/// Asks Consul whether the lock is still held: also finds a lock that an operator took away. Does
/// not extend its life. Blocks for one request.
///
/// @param lock  The lock.
/// @param error See ERRORS.
/// @return CONSUL_LOCK_OK: it is; else as consul_lock_renew().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_check(
    lock: *const LockHandle,
    error: *mut *mut ErrorHandle,
) -> Status {
    // SAFETY: pointers NULL or as the header asks.
    unsafe { answer(error, || share(lock, "lock")?.check()) }
}

/// Writes a key of Consul's KV store in one transaction with a check that this lock is held: a
/// holder that lost the lock cannot write, whether it knows of the loss or not. Such a write needs
/// no fencing token. Blocks for one request, which is repeated when its answer is lost.
///
/// @param lock  The lock.
/// @param key   The key to write, as it stands in the KV store (it is not inserted into
///              "lock_key_pattern"). Refused are this lock's own key and what consul_lock_new()
///              refuses.
/// @param value Any bytes. NULL only if len is 0.
/// @param len   How many bytes: at most CONSUL_LOCK_MAX_VALUE, a little less with very long keys.
/// @param error See ERRORS.
/// @return CONSUL_LOCK_OK: the key was written while the lock was held;
///         CONSUL_LOCK_LOST: the lock is lost, and nothing was written;
///         CONSUL_LOCK_UNCONFIRMED: Consul's answer was lost. The key may have been written, or may
///         be later, as long as the lock is in Consul. While the lock is held, the same call may be
///         made again;
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

/// Deletes a key of Consul's KV store in the same way. A key that does not exist is fine.
///
/// @param lock  The lock.
/// @param key   As for consul_lock_put_if_held().
/// @param error See ERRORS.
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

/// Is told that a lock is lost, and how. See CALLBACKS; it may also call consul_lock_free() on this
/// lock.
pub type LostCallbackFn = Option<unsafe extern "C" fn(reason: LostReason, user_data: *mut c_void)>;

/// Sets the function that is told when this lock is lost: once, and at the end of the lock's life
/// at the latest, also when no Consul can be reached. A loss is found (1) by the local clock when
/// the lease ends, (2) by the watch on the key while "monitor" is on (the default), (3) by a
/// renewal, (4) by any call that returns CONSUL_LOCK_LOST. A lock that is lost already is told at
/// once. A lock that was given back, abandoned or freed is never told.
///
/// @param lock           The lock, acquired or not.
/// @param callback       The function. It takes the place of the one before. NULL: none.
/// @param user_data      Given to the function.
/// @param user_data_free Called exactly once with user_data: after the call of the function, when
///                       another function has taken its place, or when the lock is freed or
///                       abandoned; within this call if it fails or callback is NULL. NULL: nothing
///                       is called.
/// @param error          See ERRORS.
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

/// The one call of the host's.
fn tell(registration: &Registration<LostCallbackFn>, reason: LostReason) {
    if let Some(callback) = registration.function {
        // SAFETY: the host promised that the callback may be called so.
        unsafe { callback(reason, registration.user_data()) };
    }
}

/// Whether the lock is held, as far as this process knows by its own clock: true from a successful
/// acquire until the release, the end of its life, or a loss that was noticed. While it is true, no
/// other process holds the lock, unless Consul ended its session, or an operator deleted its key,
/// before its time and the library has not noticed yet. Sends nothing.
///
/// @param lock The lock. NULL: false.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_is_held(lock: *const LockHandle) -> bool {
    observe(false, || {
        // SAFETY: NULL or live, as the header asks.
        unsafe { share(lock, "lock") }.is_ok_and(|lock| lock.is_held())
    })
}

/// How much is left of the lock's life, by this process's own clock, which also counts while the
/// machine sleeps. Sends nothing.
///
/// @param lock The lock. NULL: 0.
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

/// How the lock was lost. Sends nothing.
///
/// @param lock The lock. NULL: 0.
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

/// The fencing token: a number that grows with every acquisition of this key (see FENCING). Tokens
/// can be compared within one datacenter and one life of its data.
///
/// @param lock The lock. NULL: 0.
/// @return 0 before the lock was acquired. It stays the same afterwards, also when the lock is
///         over.
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

/// Copies the full key: where the lock lives in Consul's KV store, such as
/// "locks/ephemeral/nightly-report".
///
/// @param lock The lock. NULL: the empty text.
/// @param buf  Receives the text, see TEXT.
/// @param cap  The size of buf in bytes.
/// @return The length of the whole key in bytes, without the NUL.
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

/// Copies the id of the Consul session that holds, or held, the lock.
///
/// @param lock The lock. NULL: the empty text.
/// @param buf  Receives the text, see TEXT. 37 bytes are enough.
/// @param cap  The size of buf in bytes.
/// @return The length of the whole id in bytes, without the NUL; 0 before the lock was acquired.
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
