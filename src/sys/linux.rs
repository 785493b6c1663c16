//! Linux, with glibc or musl.

use std::net::TcpStream;
use std::os::fd::{FromRawFd as _, OwnedFd};
use std::os::unix::net::UnixStream;

/// Keeps the signal of a closed socket away from a `send`.
pub(super) const NO_SIGNAL: libc::c_int = libc::MSG_NOSIGNAL;

/// Nanoseconds since boot, counted through a suspend.
pub(crate) fn boot_time_ns() -> u64 {
    let mut ts = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `ts` is a valid, writable timespec for the length of the call.
    unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &mut ts) };
    let (secs, nanos) = (u64::try_from(ts.tv_sec), u64::try_from(ts.tv_nsec));
    secs.unwrap_or(0)
        .saturating_mul(1_000_000_000)
        .saturating_add(nanos.unwrap_or(0))
}

/// The library is never unmapped: the linker has marked it so (`-z nodelete` in build.rs).
pub(super) fn pin() {}

/// A pair of connected sockets.
pub(crate) fn socket_pair() -> std::io::Result<(UnixStream, UnixStream)> {
    UnixStream::pair()
}

unsafe extern "C" {
    // glibc and musl; the libc crate does not declare it.
    pub(super) fn secure_getenv(name: *const libc::c_char) -> *const libc::c_char;
}

/// Random bytes. None: the system has no randomness yet.
pub(super) fn random() -> Option<[u8; 8]> {
    let mut bytes = [0_u8; 8];
    // The system call itself: the function of glibc came with 2.25, and the packages run with 2.17.
    // SAFETY: `bytes` is writable for its length.
    let got = unsafe {
        libc::syscall(
            libc::SYS_getrandom,
            bytes.as_mut_ptr(),
            bytes.len(),
            libc::GRND_NONBLOCK,
        )
    };
    (got == 8).then_some(bytes)
}

/// A socket in non-blocking mode that is not connected.
pub(super) fn unconnected(family: libc::c_int) -> std::io::Result<TcpStream> {
    let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: plain numbers.
    let descriptor = unsafe { libc::socket(family, kind, 0) };
    if descriptor < 0 {
        return Err(std::io::Error::last_os_error());
    }
    // SAFETY: the descriptor is new, and only this socket owns it.
    Ok(TcpStream::from(unsafe { OwnedFd::from_raw_fd(descriptor) }))
}

/// The bytes that the C library takes from the stack of each thread: glibc puts the thread-local variables of the
/// host and of its libraries there, which may be megabytes.
pub(crate) fn stack_overhead() -> usize {
    minimal_stack().unwrap_or_else(|| thread_locals() + (64 << 10))
}

/// The same by glibc, with the least that a thread needs; None: another C library, or another glibc.
fn minimal_stack() -> Option<usize> {
    // SAFETY: the name is NUL-terminated.
    let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"__pthread_get_minstack".as_ptr()) };
    if found.is_null() {
        return None;
    }
    // SAFETY: glibc's function of that name takes attributes and gives a size; the attributes live from
    // before until after the call.
    unsafe {
        type Minimum = unsafe extern "C" fn(*const libc::pthread_attr_t) -> libc::size_t;
        let minimum: Minimum = std::mem::transmute(found);
        let mut attributes = std::mem::zeroed::<libc::pthread_attr_t>();
        if libc::pthread_attr_init(&raw mut attributes) != 0 {
            return None;
        }
        let size = minimum(&raw const attributes);
        libc::pthread_attr_destroy(&raw mut attributes);
        Some(size)
    }
}

/// The size of the thread-local variables that each thread has from its start.
fn thread_locals() -> usize {
    unsafe extern "C" fn add(
        object: *mut libc::dl_phdr_info,
        _: libc::size_t,
        sum: *mut libc::c_void,
    ) -> libc::c_int {
        // SAFETY: the C library gives an object with its headers, and `sum` back as it was given.
        unsafe {
            let (object, sum) = (&*object, &mut *sum.cast::<usize>());
            for number in 0..usize::from(object.dlpi_phnum) {
                let header = &*object.dlpi_phdr.add(number);
                if header.p_type == libc::PT_TLS {
                    let size = header.p_memsz.saturating_add(header.p_align);
                    *sum = sum.saturating_add(usize::try_from(size).unwrap_or(0));
                }
            }
        }
        0
    }
    let mut sum = 0_usize;
    // SAFETY: `add` is such a function, and `sum` lives until the call returns.
    unsafe { libc::dl_iterate_phdr(Some(add), (&raw mut sum).cast()) };
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_have_room_for_what_the_c_library_puts_there() {
        let least = thread_locals();
        // This program has thread-local variables, and no megabytes of them.
        assert!((1..1 << 20).contains(&least), "{least}");
        let all = stack_overhead();
        assert!((least..2 << 20).contains(&all), "{all}, {least}");
    }

    #[test]
    fn a_random_number_is_the_systems() {
        // The time in its place, in nanoseconds since boot, has its highest bit after 292 years; one random number in two
        // has it.
        assert!((0..64).any(|_| u64::from_ne_bytes(random().unwrap()) >= 1 << 63));
    }
}
