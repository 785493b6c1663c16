//! Clients as C sees them.

use std::ffi::c_char;

use super::handle::{give, share, take};
use super::objects::{ClientHandle, ErrorHandle, OptionsHandle};
use super::options::of_client;
use super::text::copy_text;
use super::{make, observe};
use crate::client::{self, Client};
use crate::error::Error;

/// The client of the host, or the default client for NULL.
///
/// # Safety
/// `client` is NULL or live.
pub(super) unsafe fn client_or_default(client: *const ClientHandle) -> Result<Client, Error> {
    // SAFETY: the caller's contract.
    match unsafe { share(client, "client") } {
        Ok(client) => Ok(client.as_ref().clone()),
        Err(_) => client::default_client(),
    }
}

/// Makes a client. Sends nothing: a Consul that cannot be reached shows at the first use. Reads the
/// files that the options or the environment name, and waits at most 5 seconds for each kind.
///
/// @param options The client's options. The environment fills in the rest. NULL: all from the
///                environment.
/// @return Free it with consul_lock_client_free(). NULL on failure, with the code
///         CONSUL_LOCK_INVALID_OPTION: an option is wrong, or belongs to a lock;
///         CONSUL_LOCK_INVALID_ENVIRONMENT: a variable is wrong. Either code also stands for a file
///         that cannot be used, or was not read within 5 seconds;
///         CONSUL_LOCK_UNAVAILABLE: the system's CAs were not read within 5 seconds;
///         CONSUL_LOCK_NO_RESOURCES: the system gives no thread to read the files.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_client_new(
    options: *const OptionsHandle,
    error: *mut *mut ErrorHandle,
) -> *mut ClientHandle {
    // SAFETY: pointers NULL or as the header asks.
    unsafe {
        make(error, || {
            Client::new(of_client(options)?.as_ref()).map(give)
        })
    }
}

/// Gives up the caller's reference to a client. The client ends with the last of the options, locks
/// and defaults that use it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_client_free(client: *mut ClientHandle) {
    // SAFETY: NULL or live and freed once, as the header asks.
    observe((), || drop(unsafe { take(client) }));
}

/// Copies the statistics of a client as one JSON object: requests by kind, Raft writes, retries,
/// locks that wait or are held, connections, threads, percentiles of how long acquires and holds
/// took. docs/guide.md describes the fields; later versions may add some. A buffer of 2,048 bytes
/// is enough. Sends nothing.
///
/// @param client NULL: the default client. If it cannot be made, the text is empty.
/// @return See TEXT AND BYTES. The next call may have a longer text.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_client_stats(
    client: *const ClientHandle,
    buf: *mut c_char,
    cap: usize,
) -> usize {
    observe(0, || {
        // SAFETY: NULL or live, as the header asks.
        let client = unsafe { client_or_default(client) };
        let stats = client.map_or_else(|_| String::new(), |client| client.stats());
        // SAFETY: NULL or with room for `cap` bytes, as the header asks.
        unsafe { copy_text(&stats, buf, cap) }
    })
}
