//! The library itself: its version, and its orderly end.

use std::ffi::{CStr, c_char};
use std::time::Duration;

use super::answer;
use super::objects::ErrorHandle;
use crate::client::shutdown;
use crate::error::{Error, Status};

/// The longest time that a shutdown waits: a day, in milliseconds.
const MAX_SHUTDOWN_MS: u64 = 86_400_000;

const VERSION: &CStr =
    match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
        Ok(version) => version,
        Err(_) => c"",
    };

/// The version of the binary interface. It changes whenever a program that was compiled against an
/// older header could not run with the library.
pub const ABI_VERSION: u32 = 2;

/// Returns the version of the running library, such as "0.1.0". CONSUL_LOCK_VERSION is that of the
/// header.
///
/// @return Never NULL. Lives as long as the process.
#[unsafe(no_mangle)]
pub extern "C" fn consul_lock_version() -> *const c_char {
    VERSION.as_ptr()
}

/// Returns the version of the running library's binary interface. A program or binding whose header
/// has another CONSUL_LOCK_ABI_VERSION must not call any other function.
#[unsafe(no_mangle)]
pub extern "C" fn consul_lock_abi_version() -> u32 {
    ABI_VERSION
}

/// Ends the process's work with Consul in an orderly way: destroys the sessions kept for reuse and
/// waits for releases still in progress. Optional. Without it, the library's work on a release that
/// was UNCONFIRMED ends with the process, and Consul removes that lock after up to two TTLs. Locks
/// and clients stay usable afterwards, but the library keeps no session for reuse any more.
///
/// @param timeout_ms The longest wait, in milliseconds: 0 to 86,400,000.
/// @return CONSUL_LOCK_OK; CONSUL_LOCK_UNCONFIRMED: something was still in progress at the end of
///         the time; CONSUL_LOCK_INVALID_ARGUMENT: timeout_ms is out of range.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_shutdown(
    timeout_ms: i64,
    error: *mut *mut ErrorHandle,
) -> Status {
    // SAFETY: NULL or writable, as the header asks.
    unsafe { answer(error, || shutdown(duration(timeout_ms)?)) }
}

/// Reads the time limit of a shutdown.
pub(super) fn duration(timeout_ms: i64) -> Result<Duration, Error> {
    match u64::try_from(timeout_ms) {
        Ok(ms) if ms <= MAX_SHUTDOWN_MS => Ok(Duration::from_millis(ms)),
        _ => Err(Error::new(
            Status::InvalidArgument,
            format!("timeout_ms: {timeout_ms} is not from 0 to {MAX_SHUTDOWN_MS}"),
        )),
    }
}
