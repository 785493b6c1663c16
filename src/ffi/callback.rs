//! Functions of the host's, and what they are called with.

use std::ffi::c_void;

/// Frees a user_data. See CALLBACKS.
pub type UserDataFreeFn = Option<unsafe extern "C" fn(user_data: *mut c_void)>;

/// A function of the host's with its data, which is freed when the last user of both is done.
///
/// In a child after a fork, one that belongs to an object of the parent's is leaked with it; one
/// that is configuration (the value generator, the log) works there, too.
pub(super) struct Registration<F> {
    /// What to call.
    pub(super) function: F,
    user_data: *mut c_void,
    free: UserDataFreeFn,
}

// SAFETY: the header demands that callbacks and their data can be used by any thread.
unsafe impl<F: Send> Send for Registration<F> {}
// SAFETY: as above, and, where the header says so, by several at once.
unsafe impl<F: Sync> Sync for Registration<F> {}

impl<F> Registration<F> {
    /// Owns `user_data` from now on.
    pub(super) fn new(function: F, user_data: *mut c_void, free: UserDataFreeFn) -> Self {
        Registration {
            function,
            user_data,
            free,
        }
    }

    /// What to call it with.
    pub(super) fn user_data(&self) -> *mut c_void {
        self.user_data
    }
}

impl<F> Drop for Registration<F> {
    fn drop(&mut self) {
        if let Some(free) = self.free {
            // SAFETY: the host gave both together, and this is the one call.
            unsafe { free(self.user_data) };
        }
    }
}
