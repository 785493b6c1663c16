//! The state of the host's thread that a call must leave as it was.

use libc::c_int;

#[cfg(target_os = "macos")]
const PTHREAD_CANCEL_DISABLE: c_int = 0;
#[cfg(not(target_os = "macos"))]
const PTHREAD_CANCEL_DISABLE: c_int = 1;

unsafe extern "C" {
    fn pthread_setcancelstate(state: c_int, old: *mut c_int) -> c_int;
}

/// Keeps errno, and defers thread cancellation until after the call: `pthread_cancel` unwinds the
/// stack, and an unwinding through Rust's `catch_unwind` ends the process.
pub(super) struct Kept {
    errno: c_int,
    cancel_state: c_int,
}

impl Kept {
    pub(super) fn new() -> Kept {
        // SAFETY: the place of this thread's errno is always valid.
        let errno = unsafe { *errno_place() };
        let mut cancel_state = 0;
        // SAFETY: `cancel_state` is writable for the length of the call.
        unsafe { pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &mut cancel_state) };
        Kept {
            errno,
            cancel_state,
        }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let mut ignored = 0;
        // SAFETY: the state is the one that this thread had; the place of errno is always valid.
        unsafe {
            pthread_setcancelstate(self.cancel_state, &mut ignored);
            *errno_place() = self.errno;
        }
    }
}

fn errno_place() -> *mut c_int {
    // SAFETY: has no preconditions.
    #[cfg(target_os = "macos")]
    return unsafe { libc::__error() };
    // SAFETY: has no preconditions.
    #[cfg(not(target_os = "macos"))]
    return unsafe { libc::__errno_location() };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errno_is_the_hosts() {
        // SAFETY: errno of this thread.
        unsafe { *errno_place() = 42 };
        {
            let _kept = Kept::new();
            // SAFETY: errno of this thread.
            unsafe { *errno_place() = 7 };
        }
        // SAFETY: errno of this thread.
        assert_eq!(unsafe { *errno_place() }, 42);
    }
}
