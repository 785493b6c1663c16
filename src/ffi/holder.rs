//! "Who has it?" as C sees it.

use std::ffi::{c_char, c_void};
use std::ptr;

use super::client::ClientHandle;
use super::error::ErrorHandle;
use super::handle::{Owned, give_owned, look, share, take_owned};
use super::text::{MAX_NAME, copy_bytes, copy_text, text};
use super::{answer, null, observe};
use crate::client::Holder;
use crate::defaults;
use crate::error::Status;

/// Who held a lock at the moment when Consul was asked. Never changes, so any number of threads may
/// read it.
pub struct HolderHandle {
    _opaque: [u8; 0],
}

impl Owned for HolderHandle {
    type Inner = Holder;
}

/// Asks Consul who holds the lock on a key. Blocks for one or two requests. Any thread.
///
/// @param client The client to ask with. NULL: the default client.
/// @param key    The key, as given to consul_lock_new(): UTF-8, 1 to 65,536 bytes.
/// @param holder Receives who holds it, which the caller frees with consul_lock_holder_free(); NULL
///               when nobody does, and on failure. Not NULL.
/// @param error  NULL, or receives NULL or a new error, which the caller frees.
/// @return CONSUL_LOCK_OK: *holder says who, or nobody; CONSUL_LOCK_INVALID_ARGUMENT: a NULL, or a
///         key that Consul would change or refuse; CONSUL_LOCK_INVALID_ENVIRONMENT;
///         CONSUL_LOCK_UNAVAILABLE; CONSUL_LOCK_DENIED; CONSUL_LOCK_REJECTED.
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
            let client = match share(client, "client") {
                Ok(client) => client.as_ref().clone(),
                Err(_) => defaults::client()?,
            };
            let found = client.holder(key)?;
            holder.write(found.map_or(ptr::null_mut(), give_owned));
            Ok(())
        })
    }
}

/// Copies the id of the session that holds the lock.
///
/// @param holder The holder. NULL: the empty text.
/// @param buf    Receives at most cap bytes, the NUL included. NULL: nothing is copied.
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
        copy_text(look(holder).map_or("", |h| &h.session), buf, cap)
    })
}

/// Copies the name of the session that holds the lock; for a lock of this library, such as
/// "consul_lock PROGRAM@HOST:PID NONCE".
///
/// @param holder The holder. NULL: the empty text.
/// @param buf    Receives at most cap bytes, the NUL included. NULL: nothing is copied.
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

/// Copies the name of the Consul node through which the session was made.
///
/// @param holder The holder. NULL: the empty text.
/// @param buf    Receives at most cap bytes, the NUL included. NULL: nothing is copied.
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

/// Copies the value that is stored under the key: any bytes, no NUL is added. Data of somebody
/// else: trust nothing in it.
///
/// @param holder The holder. NULL: no bytes.
/// @param buf    Receives at most cap bytes. NULL: nothing is copied.
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
        copy_bytes(look(holder).map_or(&[], |h| &h.value), buf, cap)
    })
}

/// The Raft index at which the key came into being: it grows from holder to holder.
///
/// @param holder The holder. NULL: 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_holder_created_index(holder: *const HolderHandle) -> u64 {
    // SAFETY: NULL or live, as the header asks.
    observe(0, || unsafe { look(holder) }.map_or(0, |h| h.create_index))
}

/// Frees what consul_lock_holder() gave.
///
/// @param holder The holder; not used afterwards. NULL: nothing happens.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_holder_free(holder: *mut HolderHandle) {
    // SAFETY: NULL or live and freed once, as the header asks.
    observe((), || drop(unsafe { take_owned(holder) }));
}
