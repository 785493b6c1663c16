// Functions of the C library that Miri lacks, for the unit tests under Miri: as much of them as the boundary needs where
// there is one process, no signal and no cancellation.

use std::ffi::{c_char, c_int, c_void};
use std::ptr;

#[unsafe(no_mangle)]
unsafe extern "C" fn strnlen(text: *const c_char, most: usize) -> usize {
    // SAFETY: the caller's contract: the text ends in NUL, or is `most` bytes long. Miri sees a read beyond.
    (0..most)
        .find(|at| unsafe { *text.add(*at) } == 0)
        .unwrap_or(most)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_setcancelstate(_: c_int, old: *mut c_int) -> c_int {
    // SAFETY: the caller gives a place to write to.
    unsafe { *old = 0 };
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn secure_getenv(_: *const c_char) -> *const c_char {
    ptr::null()
}

#[unsafe(no_mangle)]
unsafe extern "C" fn sigfillset(_: *mut libc::sigset_t) -> c_int {
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn sigdelset(_: *mut libc::sigset_t, _: c_int) -> c_int {
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_sigmask(
    _: c_int,
    _: *const libc::sigset_t,
    _: *mut libc::sigset_t,
) -> c_int {
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn dl_iterate_phdr(
    _: Option<unsafe extern "C" fn(*mut libc::dl_phdr_info, libc::size_t, *mut c_void) -> c_int>,
    _: *mut c_void,
) -> c_int {
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn gethostname(name: *mut c_char, _: usize) -> c_int {
    // SAFETY: the caller gives room for more than one byte.
    unsafe { *name = 0 };
    0
}
