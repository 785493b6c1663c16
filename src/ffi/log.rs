//! The log as C sees it.

use std::ffi::{CString, c_char, c_void};
use std::ptr;

use super::callback::{Registration, UserDataFreeFn};
use super::{answer, known};
use crate::error::{Error, Status};
use crate::log::{Level, LogCallback, set_callback};

/// Receives a log line: UTF-8, without a line break, valid only during the call. A line never
/// contains a token or a stored value.
///
/// See CALLBACKS, with these differences: one thread calls it for the whole process, in the order
/// of the lines. It may block, which delays only later lines. At most 256 lines wait: the library
/// drops the rest, and a line says how many.
pub type LogCallbackFn =
    Option<unsafe extern "C" fn(level: Level, line: *const c_char, user_data: *mut c_void)>;

/// Sets the function that receives the log: lost locks, releases that Consul did not confirm,
/// outages that last. One function serves the whole process, also a child after fork. This call
/// does not wait for a call of the earlier function that has not returned yet.
///
/// @param callback       The function. NULL: the log is off, as at the beginning.
/// @param user_data      Given to the function at each call.
/// @param user_data_free Called when another function has taken its place and the last call has
///                       returned.
/// @param level          The least important consul_lock_log_level that the function receives: 1 to
///                       4.
/// @return CONSUL_LOCK_OK; CONSUL_LOCK_INVALID_ARGUMENT: there is no such level, and nothing was
///         changed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_set_log_callback(
    callback: LogCallbackFn,
    user_data: *mut c_void,
    user_data_free: UserDataFreeFn,
    level: i32,
) -> Status {
    let registration = Registration::new(callback, user_data, user_data_free);
    // SAFETY: NULL is allowed.
    unsafe {
        answer(ptr::null_mut(), move || {
            let level = known(Level::ALL, level, |known| known as i32).ok_or_else(|| {
                let why = format!("level: {level} is not from 1 to 4");
                Error::new(Status::InvalidArgument, why)
            })?;
            let callback = registration.function.map(|_| -> LogCallback {
                Box::new(move |level, line| tell(&registration, level, line))
            });
            set_callback(callback, level);
            Ok(())
        })
    }
}

/// Calls the host's function.
fn tell(registration: &Registration<LogCallbackFn>, level: Level, line: &str) {
    if let (Some(callback), Ok(line)) = (registration.function, CString::new(line)) {
        // SAFETY: the host promised that the callback may be called so.
        unsafe { callback(level, line.as_ptr(), registration.user_data()) };
    }
}
