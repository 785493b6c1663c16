//! Observers of a key's holder, as C sees them.

use std::ffi::{c_char, c_void};
use std::ptr;

use super::callback::{Registration, UserDataFreeFn};
use super::client::client_or_default;
use super::error;
use super::handle::{give_owned, look, take_owned};
use super::objects::{ClientHandle, ErrorHandle, HolderHandle, ObserverHandle, SenderHandle};
use super::queue::consul_lock_queue_observed;
use super::text::{MAX_NAME, text};
use super::{make, null, observe};
use crate::client::{Manner, ObserverCallback, Seen};
use crate::error::Status;

/// Receives the holder of an observed key. `status` is CONSUL_LOCK_OK, and `holder` the exclusive
/// holder, or NULL: no session holds the key exclusively. Name, node and TTL of the session are not
/// known: consul_lock_holder() reads them. Another status says that the library does not know the
/// holder now, and `error` why. The callback owns `holder` and `error`.
///
/// See CALLBACKS. It may also call consul_lock_observer_free() on its observer.
pub type ObserveCallbackFn = Option<
    unsafe extern "C" fn(
        status: Status,
        holder: *mut HolderHandle,
        error: *mut ErrorHandle,
        user_data: *mut c_void,
    ),
>;

/// Begins to observe the exclusive holder of a key, for elections and dashboards. The callback
/// receives the holder soon after this call (perhaps before it returns), and again whenever another
/// session holds the key, the key became free, or its fencing token changed. What the callback
/// received last is the present state in the end; the library may skip states in between. Sessions
/// that share the key are no holders here: consul_lock_holders() shows them.
///
/// The callback receives an error once when Consul refuses to show the key, or gives no usable
/// answer for "request_timeout_ms". The library asks on, and the callback receives the holder again
/// as soon as Consul shows it.
///
/// All observers and waiters of a key in a client share one blocking query. A client observes 10
/// keys so (with 32 connections), and reads further keys every 5 seconds. This call does not wait
/// for Consul.
///
/// An observer keeps its client alive. In a child after fork an observer of the parent receives
/// nothing.
///
/// @param client         NULL: the default client.
/// @param key            As for consul_lock_new().
/// @param callback       The function. Not NULL.
/// @param user_data      Given to the function.
/// @param user_data_free Called after the last call of the function.
/// @return Free it with consul_lock_observer_free(). NULL on failure, with the code
///         CONSUL_LOCK_INVALID_ARGUMENT: the key is refused;
///         CONSUL_LOCK_INVALID_ENVIRONMENT, CONSUL_LOCK_UNAVAILABLE: the library cannot make the
///         default client;
///         CONSUL_LOCK_NO_RESOURCES: the same, or the system gives no thread.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_observe(
    client: *const ClientHandle,
    key: *const c_char,
    callback: ObserveCallbackFn,
    user_data: *mut c_void,
    user_data_free: UserDataFreeFn,
    error: *mut *mut ErrorHandle,
) -> *mut ObserverHandle {
    let registration = Registration::new(callback, user_data, user_data_free);
    // SAFETY: pointers NULL or as the header asks.
    unsafe {
        make(error, move || {
            let callback = registration.function.ok_or_else(|| null("callback"))?;
            let key = text(key, "key", MAX_NAME)?;
            // The library's own function never blocks, so the thread that has the news calls it.
            let is_of_queues = callback as *const () == consul_lock_queue_observed as *const ();
            let manner = match is_of_queues {
                true => Manner::Prompt,
                false => Manner::Hosted,
            };
            let tell: ObserverCallback = Box::new(move |seen| {
                tell(&registration, seen);
                !is_of_queues || has_reader(registration.user_data())
            });
            client_or_default(client)?
                .observe(key, manner, tell)
                .map(give_owned)
        })
    }
}

/// Calls the host's function.
fn tell(registration: &Registration<ObserveCallbackFn>, seen: Seen) {
    let (status, holder, error) = match seen {
        Ok(holder) => (Status::Ok, holder, ptr::null_mut()),
        Err(error) => (error.status, None, error::object(error)),
    };
    let holder = holder.map_or(ptr::null_mut(), give_owned);
    if let Some(callback) = registration.function {
        // SAFETY: the host promised that the callback may be called so.
        unsafe { callback(status, holder, error, registration.user_data()) };
    }
}

/// Tells whether the queue of a sender has a reader. Without one its observer ends.
fn has_reader(sender: *mut c_void) -> bool {
    // SAFETY: the host gave the sender together with the function of queues.
    unsafe { look(sender.cast::<SenderHandle>()) }.is_some_and(|sender| sender.is_read())
}

/// Ends an observer. Waits for a call of its callback that is running in another thread: so the
/// caller must hold nothing that the callback waits for. Then no callback runs any more. A callback
/// may end its own observer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_observer_free(observer: *mut ObserverHandle) {
    // SAFETY: NULL or live and freed once, as the header asks.
    observe((), || drop(unsafe { take_owned(observer) }));
}
