//! The C interface.
//!
//! Every exported function is one expression inside [`answer`], [`make`] or [`observe`]. These catch
//! panics, keep the host's errno and defer cancellations of its thread. The comments on exported
//! items become those of `include/*.h`, so they are written for C programmers.
#![allow(unsafe_code)]
// The comment of a function in the header is its safety contract.
#![allow(clippy::missing_safety_doc)]

pub mod objects;

pub mod callback;
pub mod client;
pub mod defaults;
pub mod error;
pub mod holder;
pub mod holders;
pub mod lock;
pub mod log;
pub mod meta;
pub mod observer;
pub mod options;
pub mod queue;
pub mod several;
pub mod sharing;
pub mod start;

mod handle;
mod host;
mod text;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use crate::error::{Error, Status};
use objects::ErrorHandle;

/// Runs a call that returns a status.
///
/// # Safety
/// `error` is NULL or points to a place that can be written.
unsafe fn answer(error: *mut *mut ErrorHandle, f: impl FnOnce() -> Result<(), Error>) -> Status {
    // SAFETY: the caller's contract.
    unsafe { boundary(error, |status| status, || f().map(|()| Status::Ok)) }
}

/// Runs a call that makes an object, or returns NULL.
///
/// # Safety
/// As for [`answer`].
unsafe fn make<H>(
    error: *mut *mut ErrorHandle,
    f: impl FnOnce() -> Result<*mut H, Error>,
) -> *mut H {
    // SAFETY: the caller's contract.
    unsafe { boundary(error, |_| ptr::null_mut(), f) }
}

/// Runs a call that fails only by a defect of the library, and then returns `otherwise`.
fn observe<T>(otherwise: T, f: impl FnOnce() -> T) -> T {
    // SAFETY: NULL is allowed.
    unsafe { boundary(ptr::null_mut(), |_| otherwise, || Ok(f())) }
}

/// Runs a call of the host. Writes `*error` last and never reads it.
///
/// # Safety
/// As for [`answer`].
unsafe fn boundary<T>(
    error: *mut *mut ErrorHandle,
    failed: impl FnOnce(Status) -> T,
    f: impl FnOnce() -> Result<T, Error>,
) -> T {
    let _host = host::Kept::new();
    let outcome =
        catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|payload| Err(defect(payload.as_ref())));
    let (value, failure) = match outcome {
        Ok(value) => (value, None),
        Err(failure) => (failed(failure.status), Some(failure)),
    };
    if !error.is_null() {
        let object = failure.map_or(ptr::null_mut(), error::object);
        // SAFETY: not NULL, so writable by the caller's contract.
        unsafe { error.write(object) };
    }
    value
}

/// Makes an error of a panic.
fn defect(payload: &(dyn Any + Send)) -> Error {
    let text = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    let line = text.replace(['\n', '\r'], " ");
    Error::new(
        Status::Internal,
        format!("a defect of libconsul_lock, please report it: {line}"),
    )
}

/// Refuses a NULL in place of an object, and names the function that should have made the object.
fn null(what: &str) -> Error {
    let maker = match what {
        "lock" => "consul_lock_new()",
        "client" => "consul_lock_client_new()",
        "queue" => "consul_lock_queue_new()",
        _ => "",
    };
    let message = if maker.is_empty() {
        format!("{what} is NULL")
    } else {
        format!("{what} is NULL: {maker} failed, look at its error")
    };
    Error::new(Status::InvalidArgument, message)
}

/// Finds the value of an enumeration that has a number of C.
fn known<T: Copy, const N: usize>(all: [T; N], number: i32, number_of: fn(T) -> i32) -> Option<T> {
    all.into_iter().find(|value| number_of(*value) == number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_a_status_and_an_error() {
        let mut error = ptr::null_mut();
        // SAFETY: `error` is a local variable.
        let status = unsafe { answer(&mut error, || panic!("on\npurpose")) };
        assert_eq!(status, Status::Internal);
        // SAFETY: `error` was just made, and is freed once.
        unsafe {
            let message = std::ffi::CStr::from_ptr(error::consul_lock_error_message(error));
            assert!(message.to_str().expect("UTF-8").ends_with("on purpose"));
            error::consul_lock_error_free(error);
        }
        assert_eq!(observe(7, || panic!("on purpose")), 7);
    }

    #[test]
    fn an_error_is_written_and_never_read() {
        let mut error = ptr::without_provenance_mut(0xdead);
        // SAFETY: `error` is a local variable.
        let status = unsafe { answer(&mut error, || Ok(())) };
        assert_eq!(status, Status::Ok);
        assert!(error.is_null());
    }
}
