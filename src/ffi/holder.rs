//! "Who has it?" as C sees it.

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
/// @param client The client to ask with. NULL: the default client.
/// @param key    The key, as given to consul_lock_new().
/// @param holder Receives the holder, which the caller frees with consul_lock_holder_free(). It
///               receives NULL when the lock is free, and on failure. Not NULL.
/// @param error  See ERRORS.
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
/// @param holder The holder. NULL: the empty text.
/// @param buf    Receives the text, see TEXT.
/// @param cap    The size of buf in bytes.
/// @return The length of the whole text in bytes, without the NUL.
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

/// Copies the name of the session that holds the lock. For a lock of this library it is such as
/// "consul_lock PROGRAM@HOST:PID NONCE".
///
/// @param holder The holder. NULL: the empty text.
/// @param buf    Receives the text, see TEXT.
/// @param cap    The size of buf in bytes.
/// @return The length of the whole text in bytes, without the NUL; 0: Consul would not say.
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

/// Copies the name of the Consul node that the session is bound to: that of its "session_node",
/// else that of the agent through which it was made.
///
/// @param holder The holder. NULL: the empty text.
/// @param buf    Receives the text, see TEXT.
/// @param cap    The size of buf in bytes.
/// @return The length of the whole text in bytes, without the NUL; 0: Consul would not say.
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

/// Copies the value that is stored under the key: any bytes; no NUL is added. It is the data of
/// another program: trust nothing in it.
///
/// @param holder The holder. NULL: no bytes.
/// @param buf    Receives at most cap bytes.
/// @param cap    The size of buf in bytes.
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

/// The holder's fencing token: what consul_lock_fencing_token() answers to the holder. It is read
/// from the ModifyIndex of the key, which grows when a program writes the key without taking the
/// lock.
///
/// @param holder The holder. NULL: 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_holder_fencing_token(holder: *const HolderHandle) -> u64 {
    // SAFETY: NULL or live, as the header asks.
    observe(0, || unsafe { look(holder) }.map_or(0, |h| h.fencing_token))
}

/// When the holder took the lock, by the holder's clock. It is read from "locked_at" in the value
/// that a lock stores by default.
///
/// @param holder The holder. NULL: 0.
/// @return Milliseconds since 1970-01-01 UTC; 0: unknown, as another value is stored.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_holder_since_ms(holder: *const HolderHandle) -> i64 {
    observe(0, || {
        // SAFETY: NULL or live, as the header asks.
        unsafe { look(holder) }.and_then(|h| h.since).unwrap_or(0)
    })
}

/// The TTL of the session that holds the lock. For a lock of this library it is
/// "lock_timeout_seconds".
///
/// @param holder The holder. NULL: 0.
/// @return Milliseconds; 0: the session has no TTL, or Consul would not say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_holder_ttl_ms(holder: *const HolderHandle) -> i64 {
    observe(0, || {
        // SAFETY: NULL or live, as the header asks.
        let ttl = unsafe { look(holder) }.and_then(|h| h.ttl);
        ttl.map_or(0, |ttl| i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX))
    })
}

/// Frees what consul_lock_holder() gave.
///
/// @param holder The holder; not used afterwards. NULL: nothing happens.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_holder_free(holder: *mut HolderHandle) {
    // SAFETY: NULL or live and freed once, as the header asks.
    observe((), || drop(unsafe { take_owned(holder) }));
}
