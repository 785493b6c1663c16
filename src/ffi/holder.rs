//! The holder of a lock as C sees it.

use std::ffi::{c_char, c_void};
use std::ptr;

use super::client::client_or_default;
use super::handle::{give_owned, look, take_owned};
use super::objects::{ClientHandle, ErrorHandle, HolderHandle};
use super::text::{MAX_NAME, copy_bytes, copy_text, text};
use super::{answer, null, observe};
use crate::error::Status;

/// Asks Consul which session holds the lock on a key. Blocks for one or two requests.
///
/// @param client NULL: the default client.
/// @param key    As for consul_lock_new().
/// @param holder Receives the holder, to be freed with consul_lock_holder_free(); NULL when the
///               lock is free, and on failure. Not NULL.
/// @return CONSUL_LOCK_OK: *holder is the holder, or NULL; CONSUL_LOCK_INVALID_ARGUMENT: the key is
///         refused; CONSUL_LOCK_INVALID_ENVIRONMENT; CONSUL_LOCK_UNAVAILABLE; CONSUL_LOCK_DENIED;
///         CONSUL_LOCK_REJECTED; CONSUL_LOCK_NO_RESOURCES.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_holder(
    client: *const ClientHandle,
    key: *const c_char,
    holder: *mut *mut HolderHandle,
    error: *mut *mut ErrorHandle,
) -> Status {
    // SAFETY: pointers NULL or as the header asks.
    unsafe {
        if !holder.is_null() {
            holder.write(ptr::null_mut());
        }
        answer(error, || {
            let key = text(key, "key", MAX_NAME)?;
            if holder.is_null() {
                return Err(null("holder"));
            }
            let found = client_or_default(client)?.holder(key)?;
            holder.write(found.map_or(ptr::null_mut(), give_owned));
            Ok(())
        })
    }
}

/// Copies the id of the session that holds the lock.
///
/// @return See TEXT AND BYTES.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_holder_session(
    holder: *const HolderHandle,
    buf: *mut c_char,
    cap: usize,
) -> usize {
    // SAFETY: pointers NULL or as the header asks.
    observe(0, || unsafe {
        copy_text(look(holder).map_or("", |h| &h.session.0), buf, cap)
    })
}

/// Copies the name of the session that holds the lock. A session of this library has a name such as
/// "consul_lock PROGRAM@HOST:PID NONCE".
///
/// @return See TEXT AND BYTES; 0: Consul would not say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_holder_name(
    holder: *const HolderHandle,
    buf: *mut c_char,
    cap: usize,
) -> usize {
    // SAFETY: pointers NULL or as the header asks.
    observe(0, || unsafe {
        copy_text(
            look(holder).and_then(|h| h.name.as_deref()).unwrap_or(""),
            buf,
            cap,
        )
    })
}

/// Copies the name of the Consul node that the session is bound to: its "session_node", else the
/// node of the agent that made it.
///
/// @return See TEXT AND BYTES; 0: Consul would not say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_holder_node(
    holder: *const HolderHandle,
    buf: *mut c_char,
    cap: usize,
) -> usize {
    // SAFETY: pointers NULL or as the header asks.
    observe(0, || unsafe {
        copy_text(
            look(holder).and_then(|h| h.node.as_deref()).unwrap_or(""),
            buf,
            cap,
        )
    })
}

/// Copies the value that is stored under the key: any bytes, without a NUL behind them. They are
/// the data of another program: trust nothing in them.
///
/// @param buf Receives at most cap bytes.
/// @return The length of the whole value in bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_holder_value(
    holder: *const HolderHandle,
    buf: *mut c_void,
    cap: usize,
) -> usize {
    // SAFETY: pointers NULL or as the header asks.
    observe(0, || unsafe {
        copy_bytes(look(holder).map_or(&[], |h| &h.value.0), buf, cap)
    })
}

/// Returns what consul_lock_fencing_token() returns to the holder. The source is the key's
/// ModifyIndex, which grows when a program writes the key without taking the lock.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_holder_fencing_token(holder: *const HolderHandle) -> u64 {
    // SAFETY: NULL or live, as the header asks.
    observe(0, || unsafe { look(holder) }.map_or(0, |h| h.fencing_token))
}

/// Returns when the holder took the lock, by the holder's clock. The source is "locked_at" in the
/// value that a lock stores by default.
///
/// @return Milliseconds since 1970-01-01 UTC; 0: unknown, as another value is stored.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_holder_since_ms(holder: *const HolderHandle) -> i64 {
    observe(0, || {
        // SAFETY: NULL or live, as the header asks.
        unsafe { look(holder) }.and_then(|h| h.since).unwrap_or(0)
    })
}

/// Returns the TTL of the session that holds the lock. A session of this library has
/// "lock_timeout_seconds".
///
/// @return Milliseconds; 0: the session has no TTL, or Consul would not say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_holder_ttl_ms(holder: *const HolderHandle) -> i64 {
    observe(0, || {
        // SAFETY: NULL or live, as the header asks.
        let ttl = unsafe { look(holder) }.and_then(|h| h.ttl);
        ttl.map_or(0, |ttl| i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX))
    })
}

/// Frees a holder.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_holder_free(holder: *mut HolderHandle) {
    // SAFETY: NULL or live and freed once, as the header asks.
    observe((), || drop(unsafe { take_owned(holder) }));
}
