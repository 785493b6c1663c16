//! Locks on several keys as C sees them.

use std::ffi::c_char;
use std::slice;

use super::handle::{give, share};
use super::objects::{ErrorHandle, LockHandle, OptionsHandle};
use super::options::snapshot;
use super::text::{MAX_NAME, copy_text, text};
use super::{make, null, observe};
use crate::error::{Error, Status};
use crate::lock::Lock;

/// Makes one lock on several keys. An acquire takes all keys or none, in one transaction: no
/// process ever holds a part of them, and locks on overlapping keys never wait for each other in a
/// circle, whatever the order of the keys. The lock waits in line on every key. It stores its value
/// under every key, has one session and one fencing token, and is released as a whole. It is
/// exclusive. Otherwise as consul_lock_new().
///
/// A lock on several keys waits until it is the first in line on all of them. Meanwhile a key that
/// is free stays free for it, so keep the sets of keys small.
///
/// @param keys    The works to lock: an array of n texts, each as the key of consul_lock_new(). The
///                library copies and sorts them. A key that comes twice counts once.
/// @param n       The length of the array. 1 to CONSUL_LOCK_MAX_KEYS different keys.
/// @param options As for consul_lock_new(). The values under all keys must fit into one request of
///                512 KiB.
/// @return As consul_lock_new(). CONSUL_LOCK_INVALID_ARGUMENT also: there are too many keys or
///         none, or the value is too long for so many keys. CONSUL_LOCK_INVALID_OPTION also: the
///         option "mode" is "share" and there are several keys.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_new_all(
    keys: *const *const c_char,
    n: usize,
    options: *const OptionsHandle,
    error: *mut *mut ErrorHandle,
) -> *mut LockHandle {
    // SAFETY: pointers NULL or as the header asks.
    unsafe {
        make(error, || {
            let keys = texts(keys, n)?;
            let of_lock = snapshot(options).unwrap_or_default();
            Lock::new_all(&keys, Some(&of_lock.options), of_lock.client.as_ref()).map(give)
        })
    }
}

/// Reads an array of keys.
///
/// # Safety
/// `keys` is NULL or points to `n` texts as [`text`] wants them, and does not change during `'a`.
unsafe fn texts<'a>(keys: *const *const c_char, n: usize) -> Result<Vec<&'a str>, Error> {
    if keys.is_null() {
        return Err(null("keys"));
    }
    if isize::try_from(n.saturating_mul(size_of::<*const c_char>())).is_err() {
        let message = format!("keys: {n} are more than memory can hold");
        return Err(Error::new(Status::InvalidArgument, message));
    }
    // SAFETY: not NULL and `n` pointers long by the caller's contract; no longer than isize::MAX.
    let keys = unsafe { slice::from_raw_parts(keys, n) };
    let key = |(number, key): (usize, &*const c_char)| {
        // SAFETY: the caller's contract.
        unsafe { text(*key, &format!("keys[{number}]"), MAX_NAME) }
    };
    keys.iter().enumerate().map(key).collect()
}

/// Returns how many keys the lock has: 1, unless consul_lock_new_all() made it of several.
///
/// @return 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_keys_count(lock: *const LockHandle) -> usize {
    observe(0, || {
        // SAFETY: NULL or live, as the header asks.
        unsafe { share(lock, "lock") }.map_or(0, |lock| lock.keys().len())
    })
}

/// Copies a full key of the lock, as consul_lock_key() does, which copies the first.
///
/// @param index 0 to consul_lock_keys_count() - 1, in the order of the bytes of the full keys.
/// @return See TEXT AND BYTES; 0 for an index without a key.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_key_at(
    lock: *const LockHandle,
    index: usize,
    buf: *mut c_char,
    cap: usize,
) -> usize {
    observe(0, || {
        // SAFETY: pointers NULL or as the header asks.
        let lock = unsafe { share(lock, "lock") };
        let keys = lock.as_ref().map_or(Vec::new(), |lock| lock.keys());
        // SAFETY: as above.
        unsafe { copy_text(keys.get(index).copied().unwrap_or(""), buf, cap) }
    })
}
