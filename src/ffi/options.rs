//! Options as C sees them.

use std::ffi::{c_char, c_void};
use std::ptr;

use super::handle::{give, share, take};
use super::objects::{ClientHandle, ErrorHandle, OfLock, OptionsHandle};
use super::text::{MAX_NAME, MAX_OPTION, bytes, text};
use super::{answer, make, observe};
use crate::error::{Error, Status};
use crate::lockorder::{Mutex, Rank};
use crate::options::{OptionPlace, Options};

/// The options of a client; None for NULL.
///
/// # Safety
/// `options` is NULL or a live handle.
pub(super) unsafe fn of_client(options: *const OptionsHandle) -> Result<Option<Options>, Error> {
    // SAFETY: the caller's contract.
    let Some(OfLock { options, client }) = (unsafe { snapshot(options) }) else {
        return Ok(None);
    };
    if client.is_some() {
        // Another mistake in the options is reported first.
        options.values_for(OptionPlace::Client)?;
        let why = "a client cannot be set here: it is an option of a lock";
        return Err(Error::new(Status::InvalidOption, why));
    }
    Ok(Some(options))
}

/// Copies what was set so far; None for NULL.
///
/// # Safety
/// `options` is NULL or a live handle.
pub(super) unsafe fn snapshot(options: *const OptionsHandle) -> Option<OfLock> {
    // SAFETY: the caller's contract.
    let options = unsafe { share(options, "options") }.ok()?;
    let copy = options.lock().clone();
    Some(copy)
}

/// Runs a setter, and remembers its refusal, also of arguments that cannot be read.
///
/// # Safety
/// `options` is NULL or a live handle; `error` is NULL or writable.
unsafe fn set(
    options: *mut OptionsHandle,
    error: *mut *mut ErrorHandle,
    setter: impl FnOnce(&mut OfLock) -> Result<(), Error>,
) -> Status {
    // SAFETY: the caller's contract.
    unsafe {
        answer(error, || {
            let options = share(options, "options")?;
            let mut options = options.lock();
            setter(&mut options).inspect_err(|refusal| options.options.refuse(refusal))
        })
    }
}

/// Makes an empty set of options.
///
/// @return Free it with consul_lock_options_free().
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn consul_lock_options_new() -> *mut OptionsHandle {
    // SAFETY: NULL is allowed.
    unsafe {
        make(ptr::null_mut(), || {
            Ok(give(Mutex::new(Rank::Options, OfLock::default())))
        })
    }
}

/// Sets an option from text. The last setting of an option counts.
///
/// @param name  The name of the option, such as "acquire_timeout_ms".
/// @param value Decimal digits with an optional minus for a number, "true" or "false" for yes or
///              no.
/// @return CONSUL_LOCK_OK; CONSUL_LOCK_INVALID_OPTION: there is no such option, it cannot be set
///         here, or the value is out of its range.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_options_set(
    options: *mut OptionsHandle,
    name: *const c_char,
    value: *const c_char,
    error: *mut *mut ErrorHandle,
) -> Status {
    // SAFETY: pointers NULL or as the header asks.
    unsafe {
        set(options, error, |options| {
            options.options.set(
                text(name, "name", MAX_NAME)?,
                text(value, "value", MAX_OPTION)?,
            )
        })
    }
}

/// Sets an option that is a number, or yes (1) or no (0).
///
/// @param name  As for consul_lock_options_set().
/// @param value The number, in the unit that the name ends in.
/// @return As consul_lock_options_set().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_options_set_int(
    options: *mut OptionsHandle,
    name: *const c_char,
    value: i64,
    error: *mut *mut ErrorHandle,
) -> Status {
    // SAFETY: pointers NULL or as the header asks.
    unsafe {
        set(options, error, |options| {
            options
                .options
                .set_int(text(name, "name", MAX_NAME)?, value)
        })
    }
}

/// Sets the option that is bytes: the value to store under the key.
///
/// @param name The name of the option: "value".
/// @return As consul_lock_options_set(); CONSUL_LOCK_NO_RESOURCES: there is no memory for the
///         value.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_options_set_bytes(
    options: *mut OptionsHandle,
    name: *const c_char,
    value: *const c_void,
    len: usize,
    error: *mut *mut ErrorHandle,
) -> Status {
    // SAFETY: pointers NULL or as the header asks.
    unsafe {
        set(options, error, |options| {
            options
                .options
                .set_bytes(text(name, "name", MAX_NAME)?, bytes(value, len, "value")?)
        })
    }
}

/// Sets the client that a lock uses, instead of the default client.
///
/// @param options The options of a lock.
/// @return CONSUL_LOCK_OK.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_options_set_client(
    options: *mut OptionsHandle,
    client: *const ClientHandle,
    error: *mut *mut ErrorHandle,
) -> Status {
    // SAFETY: pointers NULL or as the header asks.
    unsafe {
        let mut before = None;
        let status = set(options, error, |options| {
            let client = share(client, "client")?.as_ref().clone();
            before = options.client.replace(client);
            Ok(())
        });
        // Dropped after the options are unlocked, as the drop may end the work of a client.
        drop(before);
        status
    }
}

/// Frees a set of options.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_options_free(options: *mut OptionsHandle) {
    // SAFETY: NULL or live and freed once, as the header asks.
    observe((), || drop(unsafe { take(options) }));
}
