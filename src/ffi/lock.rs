//! Locks as C sees them.

use std::ffi::{c_char, c_void};
use std::ptr;

use super::callback::{Registration, UserDataFreeFn};
use super::error::{self, ErrorHandle};
use super::handle::{Shared, give, share, take};
use super::options::{OptionsHandle, snapshot};
use super::queue::consul_lock_queue_done;
use super::text::{MAX_NAME, bytes, copy_text, text};
use super::{answer, make, null, observe};
use crate::error::{Error, LostReason, Status};
use crate::key::MAX_VALUE;
use crate::lock::{Completion, Lock, LostCallback};

/// A lock on one key. Single use: acquire it once, release it, free it.
pub struct LockHandle {
    _opaque: [u8; 0],
}

impl Shared for LockHandle {
    type Inner = Lock;
}

/// Makes a lock. Reads the options and the defaults; sends nothing. The first lock that uses the
/// default client makes it, as consul_lock_client_new() does. Any thread.
///
/// @param key     What to lock: UTF-8. It is put into the default "lock_key_pattern" to make the key
///                in Consul's KV store, which has 60,000 bytes at most as it stands in a URL, where
///                all but letters, digits and -._~/ take three times their place. Refused are keys that
///                Consul would change or refuse: with a leading '/', an empty, "." or ".." segment,
///                characters that cannot be printed, spaces at either end, or '..' or a space behind
///                a percent-encoding.
/// @param options The lock's options; the defaults fill in what they leave out. NULL: all from the
///                defaults. Not kept.
/// @param error   NULL, or receives NULL or a new error, which the caller frees.
/// @return The caller frees it with consul_lock_free(). NULL on failure, with the code
///         CONSUL_LOCK_INVALID_ARGUMENT: key is NULL, not UTF-8, or refused;
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
/// generator. For bindings, whose generators run in their own language. Any thread; never blocks.
/// Before the acquire is called: which of two values a call beside it has stored is open.
///
/// @param lock  The lock.
/// @param value Any bytes. Copied. NULL only if len is 0.
/// @param len   How many bytes: at most CONSUL_LOCK_MAX_VALUE.
/// @param error NULL, or receives NULL or a new error, which the caller frees.
/// @return CONSUL_LOCK_OK; CONSUL_LOCK_ALREADY_USED: its acquire has begun before, and nothing was
///         changed; CONSUL_LOCK_NO_RESOURCES: there is no memory for the value; CONSUL_LOCK_FORKED;
///         CONSUL_LOCK_INVALID_ARGUMENT: a NULL, or too many bytes.
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

/// Takes the lock. Waits for it up to the option "acquire_timeout_ms"; its default 0 makes exactly
/// one attempt. Who waits is served in the order of coming, within the process and between processes
/// (option "fair"). Any thread; blocks; consul_lock_cancel() ends it at once.
///
/// CONSUL_LOCK_OK is 0, so `if (consul_lock_acquire(lock, NULL))` is true on FAILURE. Always compare
/// with CONSUL_LOCK_OK.
///
/// A lock is used up by its first acquire, whatever the outcome (CONSUL_LOCK_VALUE_FAILED
/// excepted). If it fails, nothing is left behind in Consul, or the message says that the session's
/// TTL will do it.
///
/// @param lock  The lock.
/// @param error NULL, or receives NULL or a new error, which the caller frees. The error of
///              CONSUL_LOCK_NOT_ACQUIRED says who holds the lock.
/// @return CONSUL_LOCK_OK: it is yours, with its whole life ahead;
///         CONSUL_LOCK_NOT_ACQUIRED: somebody else had it until the deadline;
///         CONSUL_LOCK_CANCELLED; CONSUL_LOCK_ALREADY_USED: the lock was acquired before;
///         CONSUL_LOCK_VALUE_FAILED: the value generator has no value;
///         CONSUL_LOCK_UNAVAILABLE: Consul gave no usable answer in time;
///         CONSUL_LOCK_DENIED, CONSUL_LOCK_REJECTED: Consul refused;
///         CONSUL_LOCK_REJECTED also: the key holds the data of another program, which the library
///         neither overwrites nor deletes;
///         CONSUL_LOCK_NO_RESOURCES: the system gives no thread, descriptor or memory, also for what
///         "auto_renew" promises; CONSUL_LOCK_FORKED; CONSUL_LOCK_INVALID_ARGUMENT: lock is NULL.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_acquire(
    lock: *mut LockHandle,
    error: *mut *mut ErrorHandle,
) -> Status {
    // SAFETY: pointers NULL or as the header asks.
    unsafe { answer(error, || share(lock, "lock")?.acquire()) }
}

/// Told how a call ended that was begun by a function named _start, such as
/// consul_lock_acquire_start(). `status` is what the call without _start would have returned. `error`
/// is NULL for CONSUL_LOCK_OK, else a new error that belongs to the callback, which frees it with
/// consul_lock_error_free(), then or later, in any thread: so a binding can pass the pointer on to the
/// thread that waits for it. (It is the callback's own, and not lent, because some languages run a
/// callback after the library's thread has gone on.)
///
/// It is called exactly once, by a thread of the library that does nothing else, one call after the
/// other: one that does not return delays other callbacks of the same client, and nothing else. It may
/// call any function of the library, also consul_lock_free() on this lock. It must return: no longjmp
/// and no C++ exception may leave it.
pub type DoneFn =
    Option<unsafe extern "C" fn(status: Status, error: *mut ErrorHandle, user_data: *mut c_void)>;

/// As consul_lock_acquire(), without waiting: `done` is told the outcome. Any thread; never blocks.
///
/// While it waits it needs no thread of its own. consul_lock_cancel(), consul_lock_free() and
/// consul_lock_abandon() end it: `done` is told CONSUL_LOCK_CANCELLED, unless the outcome was decided
/// before. A lock that is freed before `done` was told CONSUL_LOCK_OK is given back by that.
///
/// @param lock      The lock.
/// @param done      Told the outcome exactly once, never inside this call, but perhaps before it
///                  returns; not at all if this call fails.
/// @param user_data Given to done. It can be freed there; if this call fails it is still the caller's.
/// @param error     NULL, or receives NULL or a new error, which the caller frees.
/// @return CONSUL_LOCK_OK: done will be called; everything that consul_lock_acquire() answers comes
///         there, CONSUL_LOCK_ALREADY_USED too, but for what follows.
///         CONSUL_LOCK_VALUE_FAILED: the value generator, which runs inside this call, has no value;
///         CONSUL_LOCK_NO_RESOURCES: the system gives no thread (for done, or for "auto_renew"), and
///         the lock is not used up;
///         CONSUL_LOCK_FORKED; CONSUL_LOCK_INVALID_ARGUMENT: lock or done is NULL.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_acquire_start(
    lock: *mut LockHandle,
    done: DoneFn,
    user_data: *mut c_void,
    error: *mut *mut ErrorHandle,
) -> Status {
    // SAFETY: pointers NULL or as the header asks.
    unsafe {
        answer(error, || {
            share(lock, "lock")?.acquire_start(telling(done, user_data)?)
        })
    }
}

/// As consul_lock_release(), without waiting: `done` is told the outcome, at the latest after the
/// client's option "release_timeout_ms". The lock may be freed at once. Any thread; never blocks.
///
/// @param lock      The lock.
/// @param done      As for consul_lock_acquire_start().
/// @param user_data As for consul_lock_acquire_start().
/// @param error     NULL, or receives NULL or a new error, which the caller frees.
/// @return CONSUL_LOCK_OK: done will be called; everything that consul_lock_release() answers comes
///         there, but for what follows.
///         CONSUL_LOCK_NO_RESOURCES: the system gives no thread, and the lock is as it was;
///         CONSUL_LOCK_FORKED; CONSUL_LOCK_INVALID_ARGUMENT: lock or done is NULL.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_release_start(
    lock: *mut LockHandle,
    done: DoneFn,
    user_data: *mut c_void,
    error: *mut *mut ErrorHandle,
) -> Status {
    // SAFETY: pointers NULL or as the header asks.
    unsafe {
        answer(error, || {
            share(lock, "lock")?.release_start(telling(done, user_data)?)
        })
    }
}

/// Tells the host; the caller's duty is that `user_data` is for `done`.
pub(super) fn telling(done: DoneFn, user_data: *mut c_void) -> Result<Completion<()>, Error> {
    let done = done.ok_or_else(|| null("done"))?;
    let registration = Registration::new(done, user_data, None);
    let tell = move |outcome: Result<(), Error>| {
        let (status, error) = match outcome {
            Ok(()) => (Status::Ok, ptr::null_mut()),
            Err(error) => (error.status, error::object(error)),
        };
        // SAFETY: the host promised that the callback may be called so.
        unsafe { (registration.function)(status, error, registration.user_data()) };
    };
    // Our own function never blocks, so it needs no thread of its own. Where the host has another
    // address of it, it runs on the one for callbacks: slower, and as good.
    if done as usize == consul_lock_queue_done as *const () as usize {
        Ok(Completion::prompt(tell))
    } else {
        Ok(Completion::new(tell))
    }
}

/// Gives the lock back and removes its key, at once. Can only ever touch this very lock. A pending
/// acquire of another thread is cancelled and undone. Any thread; blocks for at most the client's
/// option "release_timeout_ms".
///
/// @param lock  The lock.
/// @param error NULL, or receives NULL or a new error, which the caller frees.
/// @return CONSUL_LOCK_OK: it was held until now;
///         CONSUL_LOCK_NOT_HELD: there was nothing to give back; harmless;
///         CONSUL_LOCK_LOST: it had been lost before, so others may have worked meanwhile;
///         CONSUL_LOCK_UNCONFIRMED: Consul did not confirm in time (an election of its leader takes 3
///         to 13 seconds); the library goes on in the background while the process lives. A process
///         that ends calls consul_lock_shutdown(), which waits for that: otherwise the lock may stand
///         for up to two TTLs;
///         CONSUL_LOCK_FORKED; CONSUL_LOCK_INVALID_ARGUMENT: lock is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_release(
    lock: *mut LockHandle,
    error: *mut *mut ErrorHandle,
) -> Status {
    // SAFETY: pointers NULL or as the header asks.
    unsafe { answer(error, || share(lock, "lock")?.release()) }
}

/// Frees a lock. A held one is released first, waiting at most the client's option
/// "release_timeout_ms". The session of a lost one is ended in the background. A pending acquire of
/// another thread is cancelled. In a child after fork, a lock of the parent only frees its memory. Any
/// thread; a call of another thread that has begun is safe, one that begins afterwards is not.
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

/// Frees a lock without giving it back, without a request and without blocking: a held lock stays
/// in Consul until its TTL ends it, and so does the session of a lost one. For finalizers, and for
/// work that may be done only once per TTL. A pending acquire of another thread is cancelled. Any
/// thread.
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

/// Ends a pending acquire at once: it answers CONSUL_LOCK_CANCELLED, and is undone. Sticky: an
/// acquire that comes later answers so, too. Does nothing to a lock that is held. Any thread; never
/// blocks; not for signal handlers.
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

/// Extends the life of a held lock: "lock_timeout_seconds" from now. For work that takes longer than
/// was thought. Any thread; blocks for one request.
///
/// @param lock  The lock.
/// @param error NULL, or receives NULL or a new error, which the caller frees.
/// @return CONSUL_LOCK_OK; CONSUL_LOCK_LOST: it is not ours any more, stop the work;
///         CONSUL_LOCK_NOT_HELD; CONSUL_LOCK_UNAVAILABLE: Consul gave no usable answer, the lock is
///         held until consul_lock_remaining_ms() is 0; CONSUL_LOCK_DENIED; CONSUL_LOCK_REJECTED;
///         CONSUL_LOCK_FORKED; CONSUL_LOCK_INVALID_ARGUMENT: lock is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_renew(
    lock: *mut LockHandle,
    error: *mut *mut ErrorHandle,
) -> Status {
    // SAFETY: pointers NULL or as the header asks.
    unsafe { answer(error, || share(lock, "lock")?.renew()) }
}

/// As consul_lock_renew(), without waiting: `done` is told the outcome. Any thread; never
/// blocks.
///
/// @param lock      The lock.
/// @param done      As for consul_lock_acquire_start().
/// @param user_data As for consul_lock_acquire_start().
/// @param error     NULL, or receives NULL or a new error, which the caller frees.
/// @return CONSUL_LOCK_OK: done will be called; everything that consul_lock_renew()
///         answers comes there, but for what follows.
///         CONSUL_LOCK_NO_RESOURCES: the system gives no thread; CONSUL_LOCK_FORKED;
///         CONSUL_LOCK_INVALID_ARGUMENT: lock or done is NULL.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_renew_start(
    lock: *mut LockHandle,
    done: DoneFn,
    user_data: *mut c_void,
    error: *mut *mut ErrorHandle,
) -> Status {
    // SAFETY: pointers NULL or as the header asks.
    unsafe {
        answer(error, || {
            share(lock, "lock")?.renew_start(telling(done, user_data)?)
        })
    }
}

/// Asks Consul whether the lock is still held: also finds a lock that an operator took away. Does
/// not extend its life. Any thread; blocks for one request.
///
/// @param lock  The lock.
/// @param error NULL, or receives NULL or a new error, which the caller frees.
/// @return As consul_lock_renew(): CONSUL_LOCK_OK: it is.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_check(
    lock: *const LockHandle,
    error: *mut *mut ErrorHandle,
) -> Status {
    // SAFETY: pointers NULL or as the header asks.
    unsafe { answer(error, || share(lock, "lock")?.check()) }
}

/// As consul_lock_check(), without waiting: `done` is told the outcome. Any thread; never
/// blocks.
///
/// @param lock      The lock.
/// @param done      As for consul_lock_acquire_start().
/// @param user_data As for consul_lock_acquire_start().
/// @param error     NULL, or receives NULL or a new error, which the caller frees.
/// @return CONSUL_LOCK_OK: done will be called; everything that consul_lock_check()
///         answers comes there, but for what follows.
///         CONSUL_LOCK_NO_RESOURCES: the system gives no thread; CONSUL_LOCK_FORKED;
///         CONSUL_LOCK_INVALID_ARGUMENT: lock or done is NULL.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_check_start(
    lock: *const LockHandle,
    done: DoneFn,
    user_data: *mut c_void,
    error: *mut *mut ErrorHandle,
) -> Status {
    // SAFETY: pointers NULL or as the header asks.
    unsafe {
        answer(error, || {
            share(lock, "lock")?.check_start(telling(done, user_data)?)
        })
    }
}

/// Writes a key of Consul's KV store, in one transaction with a check that this lock is held: who lost
/// it, known or not, cannot write. For a result that must not be overwritten by a holder of the past;
/// it needs no fencing token. Any thread; blocks for one request, which is repeated when its answer is
/// lost.
///
/// @param lock  The lock.
/// @param key   The key to write: UTF-8, as it stands in the KV store (not put
///              into "lock_key_pattern"). Refused are what consul_lock_new() refuses, and this lock's
///              own key.
/// @param value What to store: any bytes. Copied. NULL only if len is 0.
/// @param len   How many bytes: at most CONSUL_LOCK_MAX_VALUE, a little less with very long keys.
/// @param error NULL, or receives NULL or a new error, which the caller frees.
/// @return CONSUL_LOCK_OK: it was written while the lock was held;
///         CONSUL_LOCK_LOST: the lock is not ours any more, and nothing was written;
///         CONSUL_LOCK_UNCONFIRMED: Consul's answer was lost; it may have been written, or may be
///         later, as long as the lock is in Consul. While the lock is held, the same call may be made
///         again;
///         CONSUL_LOCK_NOT_HELD; CONSUL_LOCK_UNAVAILABLE, CONSUL_LOCK_DENIED, CONSUL_LOCK_REJECTED:
///         nothing was written; CONSUL_LOCK_NO_RESOURCES: the same, for want of memory, a thread or a
///         descriptor; CONSUL_LOCK_FORKED; CONSUL_LOCK_INVALID_ARGUMENT: a NULL, or a key or value that
///         is refused.
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

/// As consul_lock_put_if_held(), without waiting: `done` is told the outcome. Two guarded writes that are
/// under way at once may be applied in either order. Any thread; never blocks.
///
/// @param lock      The lock.
/// @param key       As for consul_lock_put_if_held(). Copied.
/// @param value     What to store: any bytes. Copied. NULL only if len is 0.
/// @param len       How many bytes: as for consul_lock_put_if_held().
/// @param done      As for consul_lock_acquire_start().
/// @param user_data As for consul_lock_acquire_start().
/// @param error     NULL, or receives NULL or a new error, which the caller frees.
/// @return CONSUL_LOCK_OK: done will be called; everything that consul_lock_put_if_held()
///         answers comes there, but for what follows.
///         CONSUL_LOCK_NO_RESOURCES: the system gives no thread, or no memory for the value;
///         CONSUL_LOCK_FORKED; CONSUL_LOCK_INVALID_ARGUMENT: a NULL, or a key or value that is refused.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_put_if_held_start(
    lock: *mut LockHandle,
    key: *const c_char,
    value: *const c_void,
    len: usize,
    done: DoneFn,
    user_data: *mut c_void,
    error: *mut *mut ErrorHandle,
) -> Status {
    // SAFETY: pointers NULL or as the header asks.
    unsafe {
        answer(error, || {
            let lock = share(lock, "lock")?;
            let (key, value) = key_and_value(key, value, len)?;
            lock.put_if_held_start(key, value, telling(done, user_data)?)
        })
    }
}

/// # Safety
/// `key` is NULL or NUL-terminated, `value` NULL or of `len` bytes, during `'a`.
unsafe fn key_and_value<'a>(
    key: *const c_char,
    value: *const c_void,
    len: usize,
) -> Result<(&'a str, &'a [u8]), Error> {
    // SAFETY: the caller's contract.
    unsafe { Ok((text(key, "key", MAX_NAME)?, value_bytes(value, len)?)) }
}

/// A value that is not too long to be stored.
///
/// # Safety
/// `value` is NULL or of `len` bytes during `'a`.
unsafe fn value_bytes<'a>(value: *const c_void, len: usize) -> Result<&'a [u8], Error> {
    if len > MAX_VALUE {
        let message = format!("value: {len} bytes are more than {MAX_VALUE}");
        return Err(Error::new(Status::InvalidArgument, message));
    }
    // SAFETY: the caller's contract.
    unsafe { bytes(value, len, "value") }
}

/// Deletes a key of Consul's KV store in the same way. A key that does not exist is fine.
///
/// @param lock  The lock.
/// @param key   As for consul_lock_put_if_held().
/// @param error NULL, or receives NULL or a new error, which the caller frees.
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

/// As consul_lock_delete_if_held(), without waiting: `done` is told the outcome. Any thread; never
/// blocks.
///
/// @param lock      The lock.
/// @param key       As for consul_lock_put_if_held(). Copied.
/// @param done      As for consul_lock_acquire_start().
/// @param user_data As for consul_lock_acquire_start().
/// @param error     NULL, or receives NULL or a new error, which the caller frees.
/// @return CONSUL_LOCK_OK: done will be called; everything that consul_lock_delete_if_held()
///         answers comes there, but for what follows.
///         CONSUL_LOCK_NO_RESOURCES: the system gives no thread; CONSUL_LOCK_FORKED;
///         CONSUL_LOCK_INVALID_ARGUMENT: a NULL, or a key that is refused.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_delete_if_held_start(
    lock: *mut LockHandle,
    key: *const c_char,
    done: DoneFn,
    user_data: *mut c_void,
    error: *mut *mut ErrorHandle,
) -> Status {
    // SAFETY: pointers NULL or as the header asks.
    unsafe {
        answer(error, || {
            let lock = share(lock, "lock")?;
            let key = text(key, "key", MAX_NAME)?;
            lock.delete_if_held_start(key, telling(done, user_data)?)
        })
    }
}

/// Told that a lock is lost, and how.
///
/// It is called by a thread of the library that does nothing else, one call after the other: one that
/// does not return delays other callbacks of the same client, and nothing else. It may call any
/// function of the library, also consul_lock_free() on this lock. It must return: no longjmp and no C++
/// exception may leave it.
pub type LostCallbackFn = Option<unsafe extern "C" fn(reason: LostReason, user_data: *mut c_void)>;

/// Sets who is told when this lock is lost: once, and at the end of the lock's life at the latest,
/// also when no Consul can be reached. The library notices what it asks about: the end of the life by
/// the clock; the end of the session when it is renewed; and what a call such as consul_lock_check(),
/// consul_lock_put_if_held() or consul_lock_release() answers with CONSUL_LOCK_LOST. A lock that is
/// lost already is told at once (by the same thread, perhaps after this call has returned). One that
/// was given back, abandoned or freed is not. Any thread; never blocks.
///
/// @param lock           The lock, acquired or not.
/// @param callback       The function; takes the place of the one before. NULL: nobody is told.
/// @param user_data      Given to the function.
/// @param user_data_free Called exactly once with user_data, after its last use, by any thread: after
///                       the call of the function, or when another one has taken its place, or when
///                       the lock is freed or abandoned; in this very call if it fails or callback is
///                       NULL. NULL: nothing is called.
/// @param error          NULL, or receives NULL or a new error, which the caller frees.
/// @return CONSUL_LOCK_OK; CONSUL_LOCK_NO_RESOURCES: the system gives no thread, and nothing was
///         changed; CONSUL_LOCK_FORKED; CONSUL_LOCK_INVALID_ARGUMENT: lock is NULL.
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

/// Whether the lock is held, as far as this process can know by its own clock: true from a
/// successful acquire until the release, the end of its life, or a loss that was noticed. While it is
/// true, no other process holds the lock, unless Consul ended its session or an operator deleted its
/// key before its time, and that was not noticed yet. Asks nobody. Any thread; never blocks.
///
/// @param lock The lock. NULL: false.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_is_held(lock: *const LockHandle) -> bool {
    observe(false, || {
        // SAFETY: NULL or live, as the header asks.
        unsafe { share(lock, "lock") }.is_ok_and(|lock| lock.is_held())
    })
}

/// How the lock was lost. Asks nobody. Any thread; never blocks.
///
/// @param lock The lock. NULL: 0.
/// @return A consul_lock_lost_reason; 0: it was not lost, as far as this process knows.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_why_lost(lock: *const LockHandle) -> i32 {
    observe(0, || {
        // SAFETY: NULL or live, as the header asks.
        let lock = unsafe { share(lock, "lock") }.ok();
        lock.and_then(|lock| lock.why_lost())
            .map_or(0, |why| why as i32)
    })
}

/// How much is left of the lock's life, by this process's own clock, which counts while the machine
/// sleeps. Asks nobody. Any thread; never blocks.
///
/// @param lock The lock. NULL: 0.
/// @return Milliseconds, rounded down; 0 when it is not held.
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

/// The fencing token: a number that grows with every acquisition of this key. Send it along with
/// what you write, and let the receiver refuse a smaller one than it has seen: that stops a holder
/// that was paused past the end of its lock. Comparable within one datacenter, and one life of its
/// data. Any thread; never blocks.
///
/// @param lock The lock. NULL: 0.
/// @return 0 before the lock was acquired; stays the same afterwards, also when it is over.
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
/// "locks/ephemeral/nightly-report". Any thread; never blocks.
///
/// @param lock The lock. NULL: the empty text.
/// @param buf  Receives at most cap bytes, the NUL included, cut where a UTF-8 character ends. NULL:
///             nothing is copied.
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

/// Copies the id of the Consul session that holds, or held, the lock. Any thread; never blocks.
///
/// @param lock The lock. NULL: the empty text.
/// @param buf  Receives at most cap bytes, the NUL included; 37 are enough. NULL: nothing is copied.
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
