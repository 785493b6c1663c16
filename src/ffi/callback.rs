//! Functions of the host, with their user_data.

use std::ffi::c_void;

/// Frees a user_data. See CALLBACKS.
pub type UserDataFreeFn = Option<unsafe extern "C" fn(user_data: *mut c_void)>;

/// A function of the host with its user_data, which is freed when the registration ends.
///
/// In a child after fork, the registration of an object of the parent leaks with the object. The
/// value generator and the log work there, too.
pub(super) struct Registration<F> {
    /// The function.
    pub(super) function: F,
    user_data: *mut c_void,
    free: UserDataFreeFn,
}

// SAFETY: the header demands that callbacks and their data can be used by any thread.
unsafe impl<F: Send> Send for Registration<F> {}
// SAFETY: as above, and, where the header says so, by several at once.
unsafe impl<F: Sync> Sync for Registration<F> {}

impl<F> Registration<F> {
    /// Makes a registration, which owns `user_data`.
    pub(super) fn new(function: F, user_data: *mut c_void, free: UserDataFreeFn) -> Self {
        Registration {
            function,
            user_data,
            free,
        }
    }

    /// The argument for the function.
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
