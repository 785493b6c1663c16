//! The calls that do not wait: each begins a call, whose outcome a callback receives.

use std::ffi::{c_char, c_void};
use std::ptr;

use super::callback::Registration;
use super::client::client_or_default;
use super::handle::{give_owned, share};
use super::meta::duration;
use super::objects::{ClientHandle, ErrorHandle, HolderHandle, HoldersHandle, LockHandle};
use super::queue::{
    consul_lock_queue_done, consul_lock_queue_holder_done, consul_lock_queue_holders_done,
};
use super::text::{MAX_NAME, key_and_value, text};
use super::{answer, error, null};
use crate::client::{Holder, Holders, shutdown_start};
use crate::error::{Error, Status};
use crate::lock::Completion;

/// Receives the outcome of a call that a function named _start began (consul_lock_holder_start()
/// has a type of its own). `status` is what the call without _start would have returned. `error` is
/// NULL for CONSUL_LOCK_OK, else a new error. The callback owns the error and frees it with
/// consul_lock_error_free(), then or later, in any thread.
///
/// The library calls it exactly once. See CALLBACKS. It may also call consul_lock_free() on this
/// lock.
pub type DoneFn =
    Option<unsafe extern "C" fn(status: Status, error: *mut ErrorHandle, user_data: *mut c_void)>;

/// Receives the outcome of consul_lock_holder_start(): the status that consul_lock_holder() would
/// have returned, and the holder that it would have stored. The callback owns `holder` and `error`.
/// Otherwise as consul_lock_done.
pub type HolderDoneFn = Option<
    unsafe extern "C" fn(
        status: Status,
        holder: *mut HolderHandle,
        error: *mut ErrorHandle,
        user_data: *mut c_void,
    ),
>;

/// Receives the outcome of consul_lock_holders_start(): the status, the holders that
/// consul_lock_holders() would have returned, and its error. The callback owns `holders` and
/// `error`. Otherwise as consul_lock_done.
pub type HoldersDoneFn = Option<
    unsafe extern "C" fn(
        status: Status,
        holders: *mut HoldersHandle,
        error: *mut ErrorHandle,
        user_data: *mut c_void,
    ),
>;

/// Makes the completion that calls `done`. The library's own functions for queues never block, so
/// the thread that has the outcome calls them. If the host passes another address of them, the
/// thread for callbacks calls them: slower, with the same result.
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

/// Makes the completion that calls the host's `done` with `user_data`.
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

/// Makes the same for a holder.
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

/// Makes the same for all that hold a key or wait for it.
fn telling_holders(
    done: HoldersDoneFn,
    user_data: *mut c_void,
) -> Result<Completion<Holders>, Error> {
    let done = done.ok_or_else(|| null("done"))?;
    let registration = Registration::new(done, user_data, None);
    let tell = move |outcome: Result<Holders, Error>| {
        let (status, holders, error) = match outcome {
            Ok(holders) => (Status::Ok, give_owned(holders), ptr::null_mut()),
            Err(error) => (error.status, ptr::null_mut(), error::object(error)),
        };
        // SAFETY: the host promised that the callback may be called so.
        unsafe { (registration.function)(status, holders, error, registration.user_data()) };
    };
    let of_queues = consul_lock_queue_holders_done as *const ();
    Ok(completion(done as *const (), of_queues, tell))
}

/// Begins what consul_lock_acquire() does. The wait needs no thread of its own.
///
/// consul_lock_cancel(), consul_lock_free() and consul_lock_abandon() end the wait: `done` receives
/// CONSUL_LOCK_CANCELLED, unless the outcome was decided before. If the caller frees the lock
/// before `done` has received CONSUL_LOCK_OK, that releases the lock.
///
/// @param done      Receives the outcome exactly once, never inside this call, but perhaps before
///                  it returns. Not called if this call fails.
/// @param user_data Given to done, which may free it. If this call fails, the caller still owns it.
/// @return CONSUL_LOCK_OK: done will receive what consul_lock_acquire() returns,
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

/// Begins what consul_lock_release() does. `done` receives the outcome after at most the client's
/// option "release_timeout_ms". The caller may free the lock at once.
///
/// @return CONSUL_LOCK_OK, or CONSUL_LOCK_NO_RESOURCES: the system gives no thread, and the lock is
///         as it was.
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

/// Begins what consul_lock_renew() does.
///
/// @return CONSUL_LOCK_OK, or CONSUL_LOCK_NO_RESOURCES: the system gives no thread.
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

/// Begins what consul_lock_check() does.
///
/// @return CONSUL_LOCK_OK, or CONSUL_LOCK_NO_RESOURCES: the system gives no thread.
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

/// Begins what consul_lock_put_if_held() does. Consul may apply two guarded writes that are in
/// progress at the same time in either order.
///
/// @param key As for consul_lock_put_if_held().
/// @return CONSUL_LOCK_OK; CONSUL_LOCK_NO_RESOURCES: the system gives no thread, or no memory for
///         the value; CONSUL_LOCK_INVALID_ARGUMENT: the key or the value is refused.
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

/// Begins what consul_lock_delete_if_held() does.
///
/// @param key As for consul_lock_put_if_held().
/// @return CONSUL_LOCK_OK; CONSUL_LOCK_NO_RESOURCES: the system gives no thread;
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

/// Begins what consul_lock_downgrade() does.
///
/// @return CONSUL_LOCK_OK, or CONSUL_LOCK_NO_RESOURCES: the system gives no thread.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_downgrade_start(
    lock: *mut LockHandle,
    done: DoneFn,
    user_data: *mut c_void,
    error: *mut *mut ErrorHandle,
) -> Status {
    // SAFETY: pointers NULL or as the header asks.
    unsafe {
        answer(error, || {
            share(lock, "lock")?.downgrade_start(telling(done, user_data)?)
        })
    }
}

/// Begins what consul_lock_upgrade() does. The wait needs no thread of its own, and
/// consul_lock_cancel() ends it. If the caller releases or frees the lock meanwhile, `done` receives
/// CONSUL_LOCK_NOT_HELD.
///
/// @param timeout_ms As for consul_lock_upgrade().
/// @return CONSUL_LOCK_OK; CONSUL_LOCK_NO_RESOURCES: the system gives no thread;
///         CONSUL_LOCK_INVALID_ARGUMENT: timeout_ms is out of range.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_upgrade_start(
    lock: *mut LockHandle,
    timeout_ms: i64,
    done: DoneFn,
    user_data: *mut c_void,
    error: *mut *mut ErrorHandle,
) -> Status {
    // SAFETY: pointers NULL or as the header asks.
    unsafe {
        answer(error, || {
            share(lock, "lock")?.upgrade_start(timeout_ms, telling(done, user_data)?)
        })
    }
}

/// Begins what consul_lock_holder() does.
///
/// @param client NULL: the default client.
/// @param key    As for consul_lock_new().
/// @return CONSUL_LOCK_OK; CONSUL_LOCK_INVALID_ARGUMENT: the key is refused;
///         CONSUL_LOCK_INVALID_ENVIRONMENT, CONSUL_LOCK_UNAVAILABLE: the library cannot make the
///         default client;
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

/// Begins what consul_lock_holders() does.
///
/// @param client NULL: the default client.
/// @param key    As for consul_lock_new().
/// @return The codes of consul_lock_holder_start().
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_holders_start(
    client: *const ClientHandle,
    key: *const c_char,
    done: HoldersDoneFn,
    user_data: *mut c_void,
    error: *mut *mut ErrorHandle,
) -> Status {
    // SAFETY: pointers NULL or as the header asks.
    unsafe {
        answer(error, || {
            let key = text(key, "key", MAX_NAME)?;
            let done = telling_holders(done, user_data)?;
            client_or_default(client)?.holders_start(key, done)
        })
    }
}

/// Begins what consul_lock_shutdown() does. A thread made for this call calls `done`.
///
/// @param timeout_ms As for consul_lock_shutdown().
/// @return CONSUL_LOCK_OK; CONSUL_LOCK_NO_RESOURCES: the system gives no thread;
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
