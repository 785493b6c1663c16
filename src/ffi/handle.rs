//! Typed pointers to and from C. The type of a handle says how its object is owned, so the compiler
//! refuses to mix the two ways.

use std::sync::Arc;

use super::null;
use crate::error::Error;

/// A handle whose object lives until its last user is done: each call holds a reference of its own
/// while it runs, so that another thread may free the handle meanwhile.
pub(super) trait Shared {
    /// The type of the object.
    type Inner: Send + Sync;
}

/// A handle whose object is only read and then freed, by its one owner.
pub(super) trait Owned {
    /// The type of the object.
    type Inner;
}

/// Gives a shared object to C.
pub(super) fn give<H: Shared>(inner: impl Into<Arc<H::Inner>>) -> *mut H {
    Arc::into_raw(inner.into()).cast_mut().cast()
}

/// Takes a reference for one call, or refuses NULL.
///
/// # Safety
/// `handle` is NULL or came from [`give`] and was not taken back yet.
pub(super) unsafe fn share<H: Shared>(
    handle: *const H,
    what: &str,
) -> Result<Arc<H::Inner>, Error> {
    if handle.is_null() {
        return Err(null(what));
    }
    let inner: *const H::Inner = handle.cast();
    // SAFETY: `inner` came from Arc::into_raw, and C's own reference still exists.
    unsafe {
        Arc::increment_strong_count(inner);
        Ok(Arc::from_raw(inner))
    }
}

/// Takes back what [`give`] gave.
///
/// # Safety
/// As for [`share`]; `handle` is not used afterwards.
pub(super) unsafe fn take<H: Shared>(handle: *mut H) -> Option<Arc<H::Inner>> {
    let inner: *const H::Inner = handle.cast();
    // SAFETY: not NULL, so it came from Arc::into_raw, and this is C's own reference.
    (!inner.is_null()).then(|| unsafe { Arc::from_raw(inner) })
}

/// Gives an owned object to C.
pub(super) fn give_owned<H: Owned>(inner: H::Inner) -> *mut H {
    Box::into_raw(Box::new(inner)).cast()
}

/// Borrows an owned object; None for NULL.
///
/// # Safety
/// `handle` is NULL or came from [`give_owned`] and is not taken back during `'a`.
pub(super) unsafe fn look<'a, H: Owned>(handle: *const H) -> Option<&'a H::Inner> {
    let inner: *const H::Inner = handle.cast();
    // SAFETY: NULL or a live object that no thread changes, by the caller's contract.
    unsafe { inner.as_ref() }
}

/// Takes back what [`give_owned`] gave.
///
/// # Safety
/// As for [`look`]; `handle` is not used afterwards.
pub(super) unsafe fn take_owned<H: Owned>(handle: *mut H) -> Option<Box<H::Inner>> {
    let inner: *mut H::Inner = handle.cast();
    // SAFETY: not NULL, so it came from Box::into_raw, and this is its one owner.
    (!inner.is_null()).then(|| unsafe { Box::from_raw(inner) })
}
