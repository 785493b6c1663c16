//! The library itself: its version, and its orderly end.

use std::ffi::{CStr, c_char, c_void};
use std::time::Duration;

use super::answer;
use super::error::ErrorHandle;
use super::lock::{DoneFn, telling};
use crate::client::{shutdown, shutdown_start};
use crate::error::{Error, Status};

/// The longest time that a shutdown waits: a day, in milliseconds.
const MAX_SHUTDOWN_MS: u64 = 86_400_000;

const VERSION: &CStr =
    match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
        Ok(version) => version,
        Err(_) => c"",
    };

/// The interface that this library speaks: changes whenever a program that was compiled against an
/// older header could not run with it.
pub const ABI_VERSION: u32 = 2;

/// The version of the library that runs, such as "0.1.0". Compare with CONSUL_LOCK_VERSION, which
/// is that of the header.
///
/// @return Never NULL. Lives as long as the process.
#[unsafe(no_mangle)]
pub extern "C" fn consul_lock_version() -> *const c_char {
    VERSION.as_ptr()
}

/// The version of the binary interface that the library speaks: a program or binding that was made
/// for another number (CONSUL_LOCK_ABI_VERSION of its header) must not call anything else.
#[unsafe(no_mangle)]
pub extern "C" fn consul_lock_abi_version() -> u32 {
    ABI_VERSION
}

/// Waits for the releases of this process that are still under way, and ends the sessions that the
/// library keeps at hand: the one call for an orderly exit. The call is optional: the library does
/// nothing at exit. Without it the library's work on a release that was UNCONFIRMED ends with the
/// process, and Consul removes that lock after up to two TTLs. Locks and clients stay usable
/// afterwards, but no session is kept at hand any more. Any thread.
///
/// @param timeout_ms How long to wait at most, in milliseconds: 0 to 86,400,000.
/// @param error      NULL, or receives NULL or a new error, which the caller frees.
/// @return CONSUL_LOCK_OK; CONSUL_LOCK_UNCONFIRMED: something was still under way at the end of the
///         time; CONSUL_LOCK_INVALID_ARGUMENT: timeout_ms is out of range.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_shutdown(
    timeout_ms: i64,
    error: *mut *mut ErrorHandle,
) -> Status {
    // SAFETY: NULL or writable, as the header asks.
    unsafe { answer(error, || shutdown(duration(timeout_ms)?)) }
}

/// As consul_lock_shutdown(), without waiting: `done` is told the outcome. Any thread; never blocks.
///
/// @param timeout_ms As for consul_lock_shutdown().
/// @param done       As for consul_lock_acquire_start(), but on a thread made for this call.
/// @param user_data  As for consul_lock_acquire_start().
/// @param error      NULL, or receives NULL or a new error, which the caller frees.
/// @return CONSUL_LOCK_OK: done will be called; CONSUL_LOCK_NO_RESOURCES: the system gives no thread;
///         CONSUL_LOCK_INVALID_ARGUMENT: timeout_ms is out of range, or done is NULL.
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

fn duration(timeout_ms: i64) -> Result<Duration, Error> {
    match u64::try_from(timeout_ms) {
        Ok(ms) if ms <= MAX_SHUTDOWN_MS => Ok(Duration::from_millis(ms)),
        _ => Err(Error::new(
            Status::InvalidArgument,
            format!("timeout_ms: {timeout_ms} is not from 0 to {MAX_SHUTDOWN_MS}"),
        )),
    }
}
