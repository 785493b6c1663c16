//! "Who has it?" as C sees it.

use std::ffi::{c_char, c_void};
use std::ptr;

use super::callback::Registration;
use super::client::ClientHandle;
use super::error::{self, ErrorHandle};
use super::handle::{Owned, give_owned, look, share, take_owned};
use super::queue::consul_lock_queue_holder_done;
use super::text::{MAX_NAME, copy_bytes, copy_text, text};
use super::{answer, null, observe};
use crate::client::{self, Client, Holder};
use crate::error::{Error, Status};
use crate::lock::Completion;

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
/// @param key    The key, as given to consul_lock_new(): UTF-8.
/// @param holder Receives who holds it, which the caller frees with consul_lock_holder_free(); NULL
///               when nobody does, and on failure. Not NULL.
/// @param error  NULL, or receives NULL or a new error, which the caller frees.
/// @return CONSUL_LOCK_OK: *holder says who, or nobody; CONSUL_LOCK_INVALID_ARGUMENT: a NULL, or a
///         key that Consul would change or refuse; CONSUL_LOCK_INVALID_ENVIRONMENT;
///         CONSUL_LOCK_UNAVAILABLE; CONSUL_LOCK_DENIED; CONSUL_LOCK_REJECTED; CONSUL_LOCK_NO_RESOURCES.
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

/// Told how a consul_lock_holder_start() ended. `status` is what consul_lock_holder() would have
/// returned, and `holder` what it would have stored: it belongs to the callback, and so does `error`,
/// which is NULL for CONSUL_LOCK_OK. Otherwise as consul_lock_done.
pub type HolderDoneFn = Option<
    unsafe extern "C" fn(
        status: Status,
        holder: *mut HolderHandle,
        error: *mut ErrorHandle,
        user_data: *mut c_void,
    ),
>;

/// As consul_lock_holder(), without waiting: `done` is told the outcome. Any thread; never blocks.
///
/// @param client    The client to ask with. NULL: the default client.
/// @param key       As for consul_lock_holder(). Copied.
/// @param done      Told the outcome exactly once; not at all if this call fails.
/// @param user_data Given to done. It can be freed there; if this call fails it is still the caller's.
/// @param error     NULL, or receives NULL or a new error, which the caller frees.
/// @return CONSUL_LOCK_OK: done will be called; CONSUL_LOCK_INVALID_ARGUMENT: a NULL, or a key that
///         Consul would change or refuse; CONSUL_LOCK_INVALID_ENVIRONMENT, CONSUL_LOCK_UNAVAILABLE: the
///         default client cannot be made; CONSUL_LOCK_NO_RESOURCES: the same, or the system gives no
///         thread.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_holder_start(
    client: *const ClientHandle,
    key: *const c_char,
    done: HolderDoneFn,
    user_data: *mut c_void,
    error: *mut *mut ErrorHandle,
) -> Status {
    // SAFETY: pointers NULL or as the header asks.
    unsafe {
        answer(error, || {
            let key = text(key, "key", MAX_NAME)?;
            let done = telling(done, user_data)?;
            client_or_default(client)?.holder_start(key, done)
        })
    }
}

/// # Safety
/// `client` is NULL or live.
unsafe fn client_or_default(client: *const ClientHandle) -> Result<Client, Error> {
    // SAFETY: the caller's contract.
    match unsafe { share(client, "client") } {
        Ok(client) => Ok(client.as_ref().clone()),
        Err(_) => client::default_client(),
    }
}

/// Tells the host; the caller's duty is that `user_data` is for `done`.
fn telling(
    done: HolderDoneFn,
    user_data: *mut c_void,
) -> Result<Completion<Option<Holder>>, Error> {
    let done = done.ok_or_else(|| null("done"))?;
    let registration = Registration::new(done, user_data, None);
    let tell = move |outcome: Result<Option<Holder>, Error>| {
        let (status, holder, error) = match outcome {
            Ok(holder) => (Status::Ok, holder, ptr::null_mut()),
            Err(error) => (error.status, None, error::object(error)),
        };
        let holder = holder.map_or(ptr::null_mut(), give_owned);
        // SAFETY: the host promised that the callback may be called so.
        unsafe { (registration.function)(status, holder, error, registration.user_data()) };
    };
    // As for the other calls: ours never blocks.
    if done as usize == consul_lock_queue_holder_done as *const () as usize {
        Ok(Completion::prompt(tell))
    } else {
        Ok(Completion::new(tell))
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
        copy_text(look(holder).map_or("", |h| &h.session.0), buf, cap)
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

/// Copies the name of the Consul node that the session is bound to: that of its "session_node", else
/// that of the agent through which it was made.
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
        copy_bytes(look(holder).map_or(&[], |h| &h.value.0), buf, cap)
    })
}

/// The holder's fencing token, as consul_lock_fencing_token() answers there: the ModifyIndex of the
/// key. A program that writes the key without taking the lock makes it larger.
///
/// @param holder The holder. NULL: 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_holder_fencing_token(holder: *const HolderHandle) -> u64 {
    // SAFETY: NULL or live, as the header asks.
    observe(0, || unsafe { look(holder) }.map_or(0, |h| h.fencing_token))
}

/// When the holder took the lock, by its own clock: the "locked_at" of the value that a lock stores by
/// default.
///
/// @param holder The holder. NULL: 0.
/// @return Milliseconds since 1970-01-01 UTC; 0: unknown, as the stored value is another one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_holder_since_ms(holder: *const HolderHandle) -> i64 {
    // SAFETY: NULL or live, as the header asks.
    observe(0, || {
        unsafe { look(holder) }.and_then(|h| h.since).unwrap_or(0)
    })
}

/// The TTL of the session that holds the lock: its "lock_timeout_seconds", for a lock of this library.
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
