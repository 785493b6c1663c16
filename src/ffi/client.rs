//! Clients as C sees them.

use std::ffi::c_char;

use super::error::ErrorHandle;
use super::handle::{Shared, give, share, take};
use super::options::{OptionsHandle, of_client};
use super::text::copy_text;
use super::{make, observe};
use crate::client::{self, Client};

/// How to reach Consul, and everything that the locks which use it share. A simple program needs
/// none: its locks use the default client, made from the environment (CONSUL_HTTP_ADDR
/// and the others of docs/OPTIONS.md) on first use. Reference counted; usable from any thread at any time, and in
/// a child after fork.
pub struct ClientHandle {
    _opaque: [u8; 0],
}

impl Shared for ClientHandle {
    type Inner = Client;
}

/// Makes a client. Sends nothing: a Consul that cannot be reached shows at the first use. Reads the
/// files that the options or the environment name, and waits 5 seconds at most for each kind. Any
/// thread.
///
/// @param options The client's options; the environment fills in what they leave out. NULL: all
///                from the environment. Not kept.
/// @param error   NULL, or receives NULL or a new error, which the caller frees.
/// @return The caller frees it with consul_lock_client_free(). NULL on failure, with the code
///         CONSUL_LOCK_INVALID_OPTION: an option is wrong, or belongs to a lock;
///         CONSUL_LOCK_INVALID_ENVIRONMENT: a variable is wrong. Either also for a file that it names
///         and that cannot be used, or was not read within 5 seconds;
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

/// Gives up the caller's reference to a client. Options, locks and the default that use it hold
/// their own: it ends with the last of them.
///
/// @param client The client; not used afterwards. NULL: nothing happens.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_client_free(client: *mut ClientHandle) {
    // SAFETY: NULL or live and freed once, as the header asks.
    observe((), || drop(unsafe { take(client) }));
}

/// Copies what this process did with a client until now, as one JSON object: requests by kind, Raft
/// writes, retries, locks that wait or are held, connections, threads, percentiles of how long acquires
/// and holds took. The fields are described in docs/guide.md; later versions may add some. Asks nobody.
/// Any thread; never blocks.
///
/// @param client The client. NULL: the default client; where that cannot be made, the empty text.
/// @param buf    Receives at most cap bytes, the NUL included; 2,048 are enough. NULL: nothing is
///               copied.
/// @param cap    The size of buf in bytes.
/// @return The length of the whole text in bytes, without the NUL. The numbers may be longer in the
///         next call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_client_stats(
    client: *const ClientHandle,
    buf: *mut c_char,
    cap: usize,
) -> usize {
    observe(0, || {
        // SAFETY: NULL or live, as the header asks.
        let stats = match unsafe { share(client, "client") } {
            Ok(client) => client.stats(),
            Err(_) => {
                client::default_client().map_or_else(|_| String::new(), |client| client.stats())
            }
        };
        // SAFETY: NULL or with room for `cap` bytes, as the header asks.
        unsafe { copy_text(&stats, buf, cap) }
    })
}
