//! macOS. The library compiles and links for macOS, and has not run there: docs/adr/0005-linux-first.md says what a Mac
//! must show first.

use std::net::TcpStream;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::net::UnixStream;

/// A `send` has no flag for that here: the sockets themselves have (`unsignalled`).
pub(super) const NO_SIGNAL: libc::c_int = 0;

unsafe extern "C" {
    fn clock_gettime_nsec_np(clock: libc::clockid_t) -> u64;
    fn issetugid() -> libc::c_int;
}

/// Nanoseconds since boot, counted through a suspend.
pub(crate) fn boot_time_ns() -> u64 {
    // This clock is mach_continuous_time (clock_gettime(3) of macOS 10.12).
    // SAFETY: takes a plain number.
    unsafe { clock_gettime_nsec_np(libc::CLOCK_MONOTONIC_RAW) }
}

/// Keeps the library loaded when a host calls `dlclose`: threads of the library may still run. The linker has no mark
/// for that here, so the library opens itself once more.
pub(super) fn pin() {
    // SAFETY: all zero is a value of the structure, which dladdr fills in. Its name is NUL-terminated, and lives as
    // long as the library is loaded.
    unsafe {
        let mut found = std::mem::zeroed::<libc::Dl_info>();
        let own = pin as *const () as *const libc::c_void;
        if libc::dladdr(own, &raw mut found) != 0 && !found.dli_fname.is_null() {
            libc::dlopen(
                found.dli_fname,
                libc::RTLD_LAZY | libc::RTLD_NOLOAD | libc::RTLD_NODELETE,
            );
        }
    }
}

/// A pair of connected sockets, which raise no signal when the other end is closed.
pub(crate) fn socket_pair() -> std::io::Result<(UnixStream, UnixStream)> {
    let (one, other) = UnixStream::pair()?;
    unsignalled(one.as_raw_fd())?;
    unsignalled(other.as_raw_fd())?;
    Ok((one, other))
}

/// A variable of the environment; NULL in a setuid program.
///
/// # Safety
/// `name` is NUL-terminated. A setenv of another thread may change the text.
pub(super) unsafe fn secure_getenv(name: *const libc::c_char) -> *const libc::c_char {
    // SAFETY: as for the caller.
    unsafe {
        if issetugid() != 0 {
            std::ptr::null()
        } else {
            libc::getenv(name)
        }
    }
}

/// Random bytes.
pub(super) fn random() -> Option<[u8; 8]> {
    let mut bytes = [0_u8; 8];
    // SAFETY: `bytes` is writable for its length.
    let failed = unsafe { libc::getentropy(bytes.as_mut_ptr().cast(), bytes.len()) };
    (failed == 0).then_some(bytes)
}

/// A socket in non-blocking mode that is not connected. Between the two calls a fork of another thread copies the
/// descriptor into a child, as there is no call that does both.
pub(super) fn unconnected(family: libc::c_int) -> std::io::Result<TcpStream> {
    // SAFETY: plain numbers.
    let descriptor = unsafe { libc::socket(family, libc::SOCK_STREAM, 0) };
    if descriptor < 0 {
        return Err(std::io::Error::last_os_error());
    }
    // SAFETY: the descriptor is new, and only this socket owns it.
    let socket = TcpStream::from(unsafe { OwnedFd::from_raw_fd(descriptor) });
    // SAFETY: plain numbers.
    if unsafe { libc::ioctl(descriptor, libc::FIOCLEX) } < 0 {
        return Err(std::io::Error::last_os_error());
    }
    unsignalled(descriptor)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Keeps the signal of a closed socket away.
fn unsignalled(descriptor: libc::c_int) -> std::io::Result<()> {
    let yes: libc::c_int = 1;
    // SAFETY: `yes` is readable for its length.
    let failed = unsafe {
        libc::setsockopt(
            descriptor,
            libc::SOL_SOCKET,
            libc::SO_NOSIGPIPE,
            (&raw const yes).cast(),
            super::length_of(&yes),
        )
    };
    if failed == 0 {
        Ok(())
    } else {
        Err(std::io::Error::last_os_error())
    }
}

/// The bytes that the C library takes from the stack of each thread: its own structure, and no thread-local variables.
pub(crate) fn stack_overhead() -> usize {
    64 << 10
}
