//! Process-wide defaults as C sees them.

use std::ffi::{c_char, c_int, c_void};
use std::ptr;
use std::sync::Arc;

use super::callback::{Registration, UserDataFreeFn};
use super::handle::share;
use super::objects::{ClientHandle, ErrorHandle, ValueHandle};
use super::text::{MAX_NAME, MAX_OPTION, text, value_bytes};
use super::{answer, observe};
use crate::client::set_default_client;
use crate::defaults;
use crate::error::Status;
use crate::memory;

/// Makes the value that a lock stores under its key: calls consul_lock_value_set() and returns 0.
/// Any other number means that there is no value: the acquire then returns
/// CONSUL_LOCK_VALUE_FAILED, and the lock can be used again.
///
/// See CALLBACKS, with this difference: consul_lock_acquire() calls it, in the caller's thread,
/// before it sends anything; several threads may do so at the same time.
pub type ValueGeneratorFn =
    Option<unsafe extern "C" fn(value: *mut ValueHandle, user_data: *mut c_void) -> c_int>;

/// Sets a process-wide default: "acquire_timeout_ms", "lock_timeout_seconds" or "lock_key_pattern".
/// consul_lock_new() reads it: a later change never touches a lock that exists.
///
/// @param name  The name of the option.
/// @param value As for consul_lock_options_set().
/// @return As consul_lock_options_set().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_defaults_set(
    name: *const c_char,
    value: *const c_char,
    error: *mut *mut ErrorHandle,
) -> Status {
    // SAFETY: pointers NULL or as the header asks.
    unsafe {
        answer(error, || {
            defaults::set(
                text(name, "name", MAX_NAME)?,
                text(value, "value", MAX_OPTION)?,
            )
        })
    }
}

/// Sets the client of the locks that are made without one. Locks that exist keep theirs.
///
/// @param client NULL: back to the client that the library makes from the environment, once, on
///               first use.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_set_default_client(client: *const ClientHandle) {
    observe((), || {
        // SAFETY: NULL or live, as the header asks.
        let client = unsafe { share(client, "client") }.ok();
        set_default_client(client.map(|client| client.as_ref().clone()));
    });
}

/// Sets the function that makes the value of later locks without the option "value". Without a
/// generator, the value is a JSON object with "locked_at", the time of the attempt that took the
/// lock.
///
/// @param generator      The function. NULL: back to "locked_at".
/// @param user_data      Given to the function at each call.
/// @param user_data_free Called when another generator has taken its place and the last lock made
///                       with this one is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_set_value_generator(
    generator: ValueGeneratorFn,
    user_data: *mut c_void,
    user_data_free: UserDataFreeFn,
) {
    let registration = Registration::new(generator, user_data, user_data_free);
    observe((), move || {
        defaults::set_value_generator(
            generator
                .map(|_| -> defaults::ValueGenerator { Arc::new(move || generate(&registration)) }),
        );
    });
}

/// Calls the host's generator.
fn generate(registration: &Registration<ValueGeneratorFn>) -> Option<Vec<u8>> {
    let generator = registration.function?;
    let mut value: Option<Vec<u8>> = None;
    let place: *mut Option<Vec<u8>> = &mut value;
    // SAFETY: `place` lives for the length of the call and is only reached through its pointer;
    // the host promised that the callback may be called so.
    let verdict = unsafe { generator(place.cast(), registration.user_data()) };
    value.filter(|_| verdict == 0)
}

/// Sets the value, for value generators. The last call counts.
///
/// @param value The place that the generator received.
/// @param bytes The value: any bytes.
/// @return CONSUL_LOCK_OK; CONSUL_LOCK_INVALID_ARGUMENT: a NULL, or too many bytes;
///         CONSUL_LOCK_NO_RESOURCES: there is no memory for them. After an error the place has no
///         value.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_value_set(
    value: *mut ValueHandle,
    bytes: *const c_void,
    len: usize,
) -> Status {
    let place: *mut Option<Vec<u8>> = value.cast();
    // SAFETY: pointers NULL or as the header asks; `generate` reads `place` only after the call.
    unsafe {
        answer(ptr::null_mut(), || {
            let place = place.as_mut().ok_or_else(|| super::null("value"))?;
            *place = None;
            *place = Some(memory::copy(value_bytes(bytes, len)?)?);
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::MAX_VALUE;
    use std::sync::atomic::{AtomicUsize, Ordering};

    unsafe extern "C" fn count(user_data: *mut c_void) {
        // SAFETY: the tests give an AtomicUsize that outlives the generator.
        unsafe { &*user_data.cast::<AtomicUsize>() }.fetch_add(1, Ordering::SeqCst);
    }

    unsafe extern "C" fn makes_a_value(value: *mut ValueHandle, _: *mut c_void) -> c_int {
        // SAFETY: called by `generate`.
        unsafe { consul_lock_value_set(value, c"made".as_ptr().cast(), 4) as c_int }
    }

    unsafe extern "C" fn refuses(value: *mut ValueHandle, _: *mut c_void) -> c_int {
        // SAFETY: called by `generate`.
        unsafe { consul_lock_value_set(value, c"made".as_ptr().cast(), 4) };
        1
    }

    unsafe extern "C" fn makes_too_much(value: *mut ValueHandle, _: *mut c_void) -> c_int {
        // SAFETY: called by `generate`; the length is refused before a byte is read.
        let status = unsafe { consul_lock_value_set(value, c"".as_ptr().cast(), MAX_VALUE + 1) };
        assert_eq!(status, Status::InvalidArgument);
        0
    }

    #[test]
    fn a_generator_says_its_value_or_that_it_has_none() {
        let made = |generator: ValueGeneratorFn| {
            generate(&Registration::new(generator, ptr::null_mut(), None))
        };
        assert_eq!(made(Some(makes_a_value)), Some(b"made".to_vec()));
        assert_eq!(made(Some(refuses)), None);
        assert_eq!(made(Some(makes_too_much)), None);
    }

    #[test]
    fn user_data_is_freed_exactly_once() {
        let freed = AtomicUsize::new(0);
        let data = ptr::from_ref(&freed).cast_mut().cast();
        drop(Registration::new((), data, Some(count)));
        assert_eq!(freed.load(Ordering::SeqCst), 1);
        // SAFETY: `freed` outlives the call, in which it is freed.
        unsafe { consul_lock_set_value_generator(None, data, Some(count)) };
        assert_eq!(freed.load(Ordering::SeqCst), 2);
    }
}
