//! Errors as C sees them.

use std::ffi::{CString, c_char};

use super::handle::{give_owned, look, take_owned};
use super::objects::{ErrorHandle, OwnedError};
use super::{known, observe};
use crate::error::{Error, LostReason, Status};

/// Makes the object that C receives.
pub(super) fn object(error: Error) -> *mut ErrorHandle {
    let message = CString::new(error.message.replace('\0', " ")).unwrap_or_default();
    give_owned(OwnedError { error, message })
}

/// Takes back what [`object`] made; None for NULL.
///
/// # Safety
/// `error` is NULL or live, and not used afterwards.
pub(super) unsafe fn taken(error: *mut ErrorHandle) -> Option<Error> {
    // SAFETY: the caller's contract.
    unsafe { take_owned(error) }.map(|failure| failure.error)
}

/// Returns the status of the failed call; CONSUL_LOCK_OK for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_error_code(error: *const ErrorHandle) -> Status {
    observe(Status::Internal, || {
        // SAFETY: NULL or live, as the header asks.
        unsafe { look(error) }.map_or(Status::Ok, |failure| failure.error.status)
    })
}

/// Returns one line for people: what failed, on which key and address, what Consul said, what to
/// do. It never contains a token or a stored value.
///
/// @return Never NULL. Lives as long as the error.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_error_message(error: *const ErrorHandle) -> *const c_char {
    observe(c"".as_ptr(), || {
        // SAFETY: NULL or live, as the header asks.
        unsafe { look(error) }.map_or(c"".as_ptr(), |failure| failure.message.as_ptr())
    })
}

/// Returns the HTTP status of Consul's answer, such as 403; 0 when the failure came without one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_error_http_status(error: *const ErrorHandle) -> i32 {
    observe(0, || {
        // SAFETY: NULL or live, as the header asks.
        unsafe { look(error) }
            .and_then(|failure| failure.error.http_status)
            .map_or(0, i32::from)
    })
}

/// Tells whether the same call may work later without any change: another process held the lock, or
/// Consul could not be reached. A lock is single use: try again with a new one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_error_is_retryable(error: *const ErrorHandle) -> bool {
    observe(false, || {
        // SAFETY: NULL or live, as the header asks.
        unsafe { look(error) }.is_some_and(|failure| failure.error.retryable)
    })
}

/// Returns how the lock was lost, for CONSUL_LOCK_LOST.
///
/// @return A consul_lock_lost_reason; 0 for any other error.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_error_why_lost(error: *const ErrorHandle) -> i32 {
    observe(0, || {
        // SAFETY: NULL or live, as the header asks.
        let failure = unsafe { look(error) };
        failure
            .and_then(|failure| failure.error.lost)
            .map_or(0, |why| why as i32)
    })
}

/// Frees an error.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_error_free(error: *mut ErrorHandle) {
    // SAFETY: NULL or live and freed once, as the header asks.
    observe((), || drop(unsafe { take_owned(error) }));
}

/// Returns the name of a status, such as "NOT_ACQUIRED".
///
/// @param status Any number: one that is not a status has the name "UNKNOWN".
/// @return Never NULL. Lives as long as the process.
#[unsafe(no_mangle)]
pub extern "C" fn consul_lock_status_name(status: i32) -> *const c_char {
    let found = known(Status::ALL, status, |known| known as i32);
    found.map_or(c"UNKNOWN", Status::c_name).as_ptr()
}

/// Returns the name of a consul_lock_lost_reason, such as "KEY_GONE".
///
/// @param reason Any number: one that is not a reason has the name "UNKNOWN".
/// @return Never NULL. Lives as long as the process.
#[unsafe(no_mangle)]
pub extern "C" fn consul_lock_lost_reason_name(reason: i32) -> *const c_char {
    let found = known(LostReason::ALL, reason, |known| known as i32);
    found.map_or(c"UNKNOWN", LostReason::c_name).as_ptr()
}
