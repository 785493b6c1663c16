//! Locks that share their key, and the changes between both modes, as C sees them.

use super::handle::share;
use super::objects::{ErrorHandle, LockHandle};
use super::{answer, observe};
use crate::error::Status;

/// Turns an exclusive lock into a share of its key, without a gap: no exclusive lock comes between.
/// Others may share the key from then on, at most as many as the lock's option "limit" says. The
/// lock's life goes on, and its fencing token grows. The library does not store a value of more than
/// CONSUL_LOCK_MAX_SHARED_VALUE bytes with the share, but what a lock without a value stores. Blocks
/// for one request. If Consul's answer is lost, the library asks again, until the end of the lock's
/// life at the latest.
///
/// @return CONSUL_LOCK_OK: the lock shares its key;
///         CONSUL_LOCK_INVALID_ARGUMENT: the lock shares its key already, has several keys, or
///         another downgrade or upgrade of it is still under way;
///         CONSUL_LOCK_LOST: the lock is lost, stop the work; CONSUL_LOCK_NOT_HELD;
///         CONSUL_LOCK_UNAVAILABLE, CONSUL_LOCK_DENIED, CONSUL_LOCK_REJECTED: the lock is exclusive,
///         as before.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_downgrade(
    lock: *mut LockHandle,
    error: *mut *mut ErrorHandle,
) -> Status {
    // SAFETY: pointers NULL or as the header asks.
    unsafe { answer(error, || share(lock, "lock")?.downgrade()) }
}

/// Turns a share into an exclusive lock, without a gap: what the holder has read stays true. From
/// the first moment no other lock can take the key, and the call waits until those that share it
/// have released it. Meanwhile the lock stays held. An upgrade overtakes the line of waiters once.
///
/// Of two locks that share a key only one can be upgraded at a time: the other one would wait for
/// the first, and the first for the other. So the second is refused at once. It releases its share
/// and takes a new, exclusive lock, and reads again what it has read. Blocks; consul_lock_cancel()
/// ends the wait at once. While Consul's answer is lost, as consul_lock_downgrade().
///
/// @param timeout_ms How long to wait for the others that share the key: 0 to 86,400,000. 0: not at
///                   all. -1: until a cancel.
/// @return CONSUL_LOCK_OK: the lock is exclusive. Its fencing token has grown;
///         CONSUL_LOCK_NOT_ACQUIRED: others still share the key, or another session has the key or
///         is being upgraded. The lock is a share, as before. Its token may have grown;
///         CONSUL_LOCK_CANCELLED: the lock is a share, as before;
///         CONSUL_LOCK_INVALID_ARGUMENT: the lock is exclusive already, another downgrade or
///         upgrade of it is still under way, or timeout_ms is out of range;
///         CONSUL_LOCK_LOST: the lock is lost, stop the work; CONSUL_LOCK_NOT_HELD;
///         CONSUL_LOCK_UNAVAILABLE, CONSUL_LOCK_DENIED, CONSUL_LOCK_REJECTED: the lock is a share,
///         as before.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_upgrade(
    lock: *mut LockHandle,
    timeout_ms: i64,
    error: *mut *mut ErrorHandle,
) -> Status {
    // SAFETY: pointers NULL or as the header asks.
    unsafe { answer(error, || share(lock, "lock")?.upgrade(timeout_ms)) }
}

/// Returns the slot of a lock that shares its key with a limit: a number from 0 and below the
/// limit, such as the number of a worker. No two locks that share the key at the same time have the
/// same slot. Sends nothing.
///
/// @return -1: the lock has no slot, as it was not acquired yet, is exclusive, or has no limit. The
///         slot stays the same when the lock is over.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_slot(lock: *const LockHandle) -> i32 {
    observe(-1, || {
        // SAFETY: NULL or live, as the header asks.
        let lock = unsafe { share(lock, "lock") }.ok();
        lock.and_then(|lock| lock.slot()).map_or(-1, i32::from)
    })
}
