//! All that hold a key or wait for it, as C sees them.

use std::ffi::c_char;
use std::ptr;

use super::client::client_or_default;
use super::handle::{give_owned, look, take_owned};
use super::objects::{ClientHandle, ErrorHandle, HolderHandle, HoldersHandle};
use super::text::{MAX_NAME, copy_text, text};
use super::{make, observe};
use crate::client::{Party, Role};

/// Asks Consul which sessions hold a key and which wait for it: the exclusive holder, those that
/// share the key, and the line of waiters. Blocks for two requests, and one for each of the first
/// 64 sessions, whose names it reads. The two requests are not of one instant: a lock that changes
/// hands in between may show twice, or not at all.
///
/// @param client NULL: the default client.
/// @param key    As for consul_lock_new().
/// @return Free it with consul_lock_holders_free(). It has no entry if no session holds the key or
///         waits for it. NULL on failure, with the codes of consul_lock_holder(). The token needs
///         no rights beyond those of a waiter; entries that the token may not read are missing.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_holders(
    client: *const ClientHandle,
    key: *const c_char,
    error: *mut *mut ErrorHandle,
) -> *mut HoldersHandle {
    // SAFETY: pointers NULL or as the header asks.
    unsafe {
        make(error, || {
            let key = text(key, "key", MAX_NAME)?;
            client_or_default(client)?.holders(key).map(give_owned)
        })
    }
}

/// Returns the number of entries. The exclusive holder comes first, then those that share the key,
/// then the line in its order.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_holders_count(holders: *const HoldersHandle) -> usize {
    // SAFETY: NULL or live, as the header asks.
    observe(0, || unsafe { look(holders) }.map_or(0, |h| h.all.len()))
}

/// Returns what the session of an entry does with the key.
///
/// @param index From 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_holders_role(
    holders: *const HoldersHandle,
    index: usize,
) -> Role {
    observe(Role::None, || {
        // SAFETY: NULL or live, as the header asks.
        let party = unsafe { party(holders, index) };
        party.map_or(Role::None, |party| party.role)
    })
}

/// Returns the session of an entry, for the functions named consul_lock_holder_session() and so on.
/// Of a waiter only session, name, node and TTL are known.
///
/// @param index From 0.
/// @return It belongs to the holders and ends with them: do not free it. NULL: there is no such
///         entry.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_holders_get(
    holders: *const HoldersHandle,
    index: usize,
) -> *const HolderHandle {
    observe(ptr::null(), || {
        // SAFETY: NULL or live, as the header asks.
        let party = unsafe { party(holders, index) };
        party.map_or(ptr::null(), |party| ptr::from_ref(&party.holder).cast())
    })
}

/// Returns how many sessions may share the key with the session of an entry, or with a waiter once
/// it shares the key.
///
/// @param index From 0.
/// @return The option "limit"; 1024: no limit; 0: the session holds the key exclusively, or waits
///         for that.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_holders_limit(
    holders: *const HoldersHandle,
    index: usize,
) -> i32 {
    observe(0, || {
        // SAFETY: NULL or live, as the header asks.
        let party = unsafe { party(holders, index) };
        let limit = party.and_then(|party| party.want.limit());
        limit.map_or(0, |limit| i32::from(limit.get()))
    })
}

/// Returns the slot of a session that shares the key with a limit: consul_lock_slot() there.
///
/// @param index From 0.
/// @return From 0; -1: the session has none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_holders_slot(
    holders: *const HoldersHandle,
    index: usize,
) -> i32 {
    observe(-1, || {
        // SAFETY: NULL or live, as the header asks.
        let slot = unsafe { party(holders, index) }.and_then(Party::slot);
        slot.map_or(-1, i32::from)
    })
}

/// Returns for how many keys a waiter waits, if it waits for several at once.
///
/// @param index From 0.
/// @return 0: the session holds the key, or waits for this key alone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_holders_key_count(
    holders: *const HoldersHandle,
    index: usize,
) -> usize {
    observe(0, || {
        // SAFETY: NULL or live, as the header asks.
        unsafe { party(holders, index) }.map_or(0, |party| party.keys.len())
    })
}

/// Copies one of the several keys that a waiter waits for.
///
/// @param index  From 0.
/// @param number Which of its keys, from 0.
/// @return See TEXT AND BYTES; 0: there is no such key.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_holders_key(
    holders: *const HoldersHandle,
    index: usize,
    number: usize,
    buf: *mut c_char,
    cap: usize,
) -> usize {
    observe(0, || {
        // SAFETY: NULL or live, as the header asks.
        let key = unsafe { party(holders, index) }.and_then(|party| party.keys.get(number));
        // SAFETY: NULL or with room for `cap` bytes, as the header asks.
        unsafe { copy_text(key.map_or("", |key| key), buf, cap) }
    })
}

/// Copies all entries as one JSON object, which docs/guide.md describes.
///
/// @return See TEXT AND BYTES.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_holders_json(
    holders: *const HoldersHandle,
    buf: *mut c_char,
    cap: usize,
) -> usize {
    observe(0, || {
        // SAFETY: NULL or live, as the header asks.
        let json = unsafe { look(holders) }.map(|holders| holders.json());
        // SAFETY: NULL or with room for `cap` bytes, as the header asks.
        unsafe { copy_text(&json.unwrap_or_default(), buf, cap) }
    })
}

/// Frees holders, with all their entries.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consul_lock_holders_free(holders: *mut HoldersHandle) {
    // SAFETY: NULL or live and freed once, as the header asks.
    observe((), || drop(unsafe { take_owned(holders) }));
}

/// Borrows an entry.
///
/// # Safety
/// `holders` is NULL or live during `'a`.
unsafe fn party<'a>(holders: *const HoldersHandle, index: usize) -> Option<&'a Party> {
    // SAFETY: the caller's contract.
    unsafe { look(holders) }?.all.get(index)
}
