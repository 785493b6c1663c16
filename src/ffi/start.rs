//! The calls that do not wait: each begins something, and a callback is told how it ended.

use std::ffi::{c_char, c_void};
use std::ptr;

use super::callback::Registration;
use super::client::client_or_default;
use super::handle::{give_owned, share};
use super::meta::duration;
use super::objects::{ClientHandle, ErrorHandle, HolderHandle, LockHandle};
use super::queue::{consul_lock_queue_done, consul_lock_queue_holder_done};
use super::text::{MAX_NAME, key_and_value, text};
use super::{answer, error, null};
use crate::client::{Holder, shutdown_start};
use crate::error::{Error, Status};
use crate::lock::Completion;

/// Is told how a call ended that was begun by a function named _start, but
/// consul_lock_holder_start(). `status` is what the call without _start would have returned.
/// `error` is NULL for CONSUL_LOCK_OK, else a new error that belongs to the callback, which frees
/// it with consul_lock_error_free(), then or later, in any thread. (The error is not lent, as some
/// languages run a callback after the library's thread has gone on.)
///
/// It is called exactly once. See CALLBACKS; it may also call consul_lock_free() on this lock.
pub type DoneFn =
    Option<unsafe extern "C" fn(status: Status, error: *mut ErrorHandle, user_data: *mut c_void)>;

/// Is told how consul_lock_holder_start() ended. `status` is what consul_lock_holder() would have
/// returned, and `holder` what it would have stored: it belongs to the callback, as `error` does.
/// Otherwise as consul_lock_done.
pub type HolderDoneFn = Option<
    unsafe extern "C" fn(
        status: Status,
        holder: *mut HolderHandle,
        error: *mut ErrorHandle,
        user_data: *mut c_void,
    ),
>;

/// How `done` is told. Our own functions for queues never block, so they need no thread of their
/// own. Where the host has another address of them, they run on the thread for callbacks: slower,
/// and as good.
fn completion<T: 'static>(
    done: *const (),
    of_queues: *const (),
    tell: impl FnOnce(Result<T, Error>) + Send + 'static,
) -> Completion<T> {
    if done == of_queues {
        Completion::prompt(tell)
    } else {
        Completion::new(tell)
    }
}

/// Tells the host; the caller's duty is that `user_data` is for `done`.
fn telling(done: DoneFn, user_data: *mut c_void) -> Result<Completion<()>, Error> {
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
    let of_queues = consul_lock_queue_done as *const ();
    Ok(completion(done as *const (), of_queues, tell))
}

/// The same for the question for a holder.
fn telling_holder(
    done: HolderDoneFn,
    user_data: *mut c_void,
) -> Result<Completion<Option<Holder>>, Error> {
    let done = done.ok_or_else(|| null("done"))?;
    let registration = Registration::new(done, user_data, None);
    let tell = move |outcome: Result<Option<Holder>, Error>| {
        let (status, holder, error) = match outcome {
            Ok(holder) => (Status::Ok, holder, ptr::null_mut()),
            Err(error) => (error.status, None, error::object(error)),
        };
        let holder = holder.map_or(ptr::null_mut(), give_owned);
        // SAFETY: the host promised that the callback may be called so.
        unsafe { (registration.function)(status, holder, error, registration.user_data()) };
    };
    let of_queues = consul_lock_queue_holder_done as *const ();
    Ok(completion(done as *const (), of_queues, tell))
}

/// As consul_lock_acquire(), without waiting. The wait needs no thread of its own.
///
/// consul_lock_cancel(), consul_lock_free() and consul_lock_abandon() end the wait: `done` is told
/// CONSUL_LOCK_CANCELLED, unless the outcome was decided before. A lock that is freed before `done`
/// was told CONSUL_LOCK_OK is given back by that.
///
/// @param lock      The lock.
/// @param done      Is told the outcome exactly once, never inside this call, but perhaps before it
///                  returns. Not told if this call fails.
/// @param user_data Given to done, which may free it. If this call fails, it is still the caller's.
/// @param error     See ERRORS.
/// @return CONSUL_LOCK_OK: done will be called with what consul_lock_acquire() answers,
///         CONSUL_LOCK_ALREADY_USED included;
///         CONSUL_LOCK_VALUE_FAILED: the value generator, which runs inside this call, has no
///         value;
///         CONSUL_LOCK_NO_RESOURCES: the system gives no thread (for done, or for "auto_renew"),
///         and the lock is not used up.
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

/// As consul_lock_release(), without waiting. `done` is told at the latest after the client's
/// option "release_timeout_ms". The lock may be freed at once.
///
/// @param lock      The lock.
/// @param done      As for consul_lock_acquire_start().
/// @param user_data As for consul_lock_acquire_start().
/// @param error     See ERRORS.
/// @return CONSUL_LOCK_OK: done will be called with what consul_lock_release() answers;
///         CONSUL_LOCK_NO_RESOURCES: the system gives no thread, and the lock is as it was.
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

/// As consul_lock_renew(), without waiting.
///
/// @param lock      The lock.
/// @param done      As for consul_lock_acquire_start().
/// @param user_data As for consul_lock_acquire_start().
/// @param error     See ERRORS.
/// @return CONSUL_LOCK_OK: done will be called with what consul_lock_renew() answers;
///         CONSUL_LOCK_NO_RESOURCES: the system gives no thread.
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

/// As consul_lock_check(), without waiting.
///
/// @param lock      The lock.
/// @param done      As for consul_lock_acquire_start().
/// @param user_data As for consul_lock_acquire_start().
/// @param error     See ERRORS.
/// @return CONSUL_LOCK_OK: done will be called with what consul_lock_check() answers;
///         CONSUL_LOCK_NO_RESOURCES: the system gives no thread.
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

/// As consul_lock_put_if_held(), without waiting. Two guarded writes that are under way at the same
/// time may be applied in either order.
///
/// @param lock      The lock.
/// @param key       As for consul_lock_put_if_held().
/// @param value     Any bytes. NULL only if len is 0.
/// @param len       As for consul_lock_put_if_held().
/// @param done      As for consul_lock_acquire_start().
/// @param user_data As for consul_lock_acquire_start().
/// @param error     See ERRORS.
/// @return CONSUL_LOCK_OK: done will be called with what consul_lock_put_if_held() answers;
///         CONSUL_LOCK_NO_RESOURCES: the system gives no thread, or no memory for the value;
///         CONSUL_LOCK_INVALID_ARGUMENT: the key or the value is refused.
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

/// As consul_lock_delete_if_held(), without waiting.
///
/// @param lock      The lock.
/// @param key       As for consul_lock_put_if_held().
/// @param done      As for consul_lock_acquire_start().
/// @param user_data As for consul_lock_acquire_start().
/// @param error     See ERRORS.
/// @return CONSUL_LOCK_OK: done will be called with what consul_lock_delete_if_held() answers;
///         CONSUL_LOCK_NO_RESOURCES: the system gives no thread;
///         CONSUL_LOCK_INVALID_ARGUMENT: the key is refused.
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

/// As consul_lock_holder(), without waiting.
///
/// @param client    The client to ask with. NULL: the default client.
/// @param key       As for consul_lock_holder().
/// @param done      As for consul_lock_acquire_start().
/// @param user_data As for consul_lock_acquire_start().
/// @param error     See ERRORS.
/// @return CONSUL_LOCK_OK: done will be called with what consul_lock_holder() answers;
///         CONSUL_LOCK_INVALID_ARGUMENT: the key is refused;
///         CONSUL_LOCK_INVALID_ENVIRONMENT, CONSUL_LOCK_UNAVAILABLE: the default client cannot be
///         made;
///         CONSUL_LOCK_NO_RESOURCES: the same, or the system gives no thread.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_holder_start(
    client: *const ClientHandle,
    key: *const c_char,
    done: HolderDoneFn,
    user_data: *mut c_void,
    error: *mut *mut ErrorHandle,
) -> Status {
    // SAFETY: pointers NULL or as the header asks.
    unsafe {
        answer(error, || {
            let key = text(key, "key", MAX_NAME)?;
            let done = telling_holder(done, user_data)?;
            client_or_default(client)?.holder_start(key, done)
        })
    }
}

/// As consul_lock_shutdown(), without waiting.
///
/// @param timeout_ms As for consul_lock_shutdown().
/// @param done       As for consul_lock_acquire_start(), but on a thread made for this call.
/// @param user_data  As for consul_lock_acquire_start().
/// @param error      See ERRORS.
/// @return CONSUL_LOCK_OK: done will be called with what consul_lock_shutdown() answers;
///         CONSUL_LOCK_NO_RESOURCES: the system gives no thread;
///         CONSUL_LOCK_INVALID_ARGUMENT: timeout_ms is out of range.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_shutdown_start(
    timeout_ms: i64,
    done: DoneFn,
    user_data: *mut c_void,
    error: *mut *mut ErrorHandle,
) -> Status {
    // SAFETY: NULL or writable, as the header asks.
    unsafe {
        answer(error, || {
            shutdown_start(duration(timeout_ms)?, telling(done, user_data)?)
        })
    }
}
